// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package sim

import (
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

// completer fills in what vcsim leaves out of the VMs that it makes: enumerations
// that the schema requires, without which clients cannot decode the whole object.
type completer struct{ self types.ManagedObjectReference }

func newCompleter() *completer {
	return &completer{types.ManagedObjectReference{Type: "VforgeCompleter", Value: "completer"}}
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

// UpdateObject has nothing to fill in.
func (c *completer) UpdateObject(*simulator.Context, mo.Reference, []types.PropertyChange) {}

// RemoveObject has nothing to fill in.
func (c *completer) RemoveObject(*simulator.Context, types.ManagedObjectReference) {}
