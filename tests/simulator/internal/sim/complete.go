// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package sim

import (
	"path/filepath"
	"reflect"
	"strings"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/dsfiles"
	"vforge.vsphere/simulator/internal/faults"
)

// completer fills in what vcsim leaves out of the VMs that it makes: enumerations
// that the schema requires, without which clients cannot decode the whole object. And
// it gives the tasks of vcsim's that fail vCenter's words, with the names of files as clients
// know them: vcsim has the name of a type of Go's, and paths of this machine.
type completer struct {
	self types.ManagedObjectReference
	reg  *simulator.Registry
}

func newCompleter(reg *simulator.Registry) *completer {
	return &completer{types.ManagedObjectReference{Type: "VforgeCompleter", Value: "completer"}, reg}
}

// Reference makes the completer a handler of vcsim's registry.
func (c *completer) Reference() types.ManagedObjectReference { return c.self }

// PutObject is called when an object is added, while its maker holds its lock.
func (c *completer) PutObject(_ *simulator.Context, obj mo.Reference) {
	vm, ok := obj.(*simulator.VirtualMachine)
	if !ok {
		return
	}
	if vm.Runtime.FaultToleranceState == "" {
		vm.Runtime.FaultToleranceState = types.VirtualMachineFaultToleranceStateNotConfigured
		vm.Runtime.RecordReplayState = types.VirtualMachineRecordReplayStateInactive
		vm.Summary.Runtime.FaultToleranceState = vm.Runtime.FaultToleranceState
		vm.Summary.Runtime.RecordReplayState = vm.Runtime.RecordReplayState
	}
	if vm.GuestHeartbeatStatus == "" {
		vm.GuestHeartbeatStatus = types.ManagedEntityStatusGray
	}
}

// UpdateObject is called, with the object's lock held, when properties change.
func (c *completer) UpdateObject(_ *simulator.Context, obj mo.Reference, _ []types.PropertyChange) {
	task, ok := obj.(*mo.Task)
	if !ok || task.Info.Error == nil || !strings.HasPrefix(task.Info.Error.LocalizedMessage, "*types.") {
		return
	}
	c.nameFile(task.Info.Error.Fault)
	task.Info.Error.LocalizedMessage = faults.Text(task.Info.Error.Fault)
}

// nameFile writes the file that a fault is about as a path of its datastore.
func (c *completer) nameFile(fault types.BaseMethodFault) {
	field := reflect.ValueOf(fault).Elem().FieldByName("File")
	if !field.IsValid() || field.Kind() != reflect.String || !filepath.IsAbs(field.String()) {
		return
	}
	for _, e := range c.reg.All("Datastore") {
		ds := e.(*simulator.Datastore)
		if rest, inside := strings.CutPrefix(field.String(), strings.TrimSuffix(ds.Summary.Url, "/")+"/"); inside {
			field.SetString(dsfiles.Path(ds.Name, rest))
			return
		}
	}
	field.SetString(filepath.Base(field.String()))
}

// RemoveObject has nothing to fill in.
func (c *completer) RemoveObject(*simulator.Context, types.ManagedObjectReference) {}
