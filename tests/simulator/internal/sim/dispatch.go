// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package sim

import (
	"reflect"
	"strings"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

// shim answers calls in place of vcsim's own object. vcsim finds the method to run
// by reflection on the object that a call names, so a call is handed to a shim by
// changing that name on the way (see route); the request still holds the real one.
type shim interface {
	mo.Reference
	// Lock and Unlock keep vcsim from serialising all calls that go through the
	// shim: each of them takes the locks of the real objects that it touches.
	Lock()
	Unlock()
}

// baseShim is what all shims have.
type baseShim struct {
	// MO stands first because vcsim looks at every registered object's managed
	// object there, when it searches by UUID for one.
	MO   mo.ExtensionManager
	Self types.ManagedObjectReference
}

// newBaseShim makes the base of the shim for a kind of object.
func newBaseShim(kind string) baseShim {
	return baseShim{Self: types.ManagedObjectReference{Type: "VforgeShim", Value: kind}}
}

// Reference is the name under which vcsim's registry has the shim.
func (b *baseShim) Reference() types.ManagedObjectReference { return b.Self }

// Lock does nothing: see shim.
func (b *baseShim) Lock() {}

// Unlock does nothing: see shim.
func (b *baseShim) Unlock() {}

// shimBase is the base of the shims that need all of the simulator.
type shimBase struct {
	baseShim
	s *Sim
}

func (s *Sim) shimFor(kind string) shimBase { return shimBase{newBaseShim(kind), s} }

// installShims registers the shims and hooks them into vcsim's dispatch.
func (s *Sim) installShims() {
	s.shims = map[string]shim{
		"VirtualMachine":         &vmShim{s.shimFor("VirtualMachine")},
		"Folder":                 &folderShim{s.shimFor("Folder")},
		"ResourcePool":           &poolShim{s.shimFor("ResourcePool")},
		"VirtualApp":             &poolShim{s.shimFor("VirtualApp")},
		"SessionManager":         &sessionShim{s.shimFor("SessionManager")},
		"Task":                   &taskShim{s.shimFor("Task")},
		"ViewManager":            &viewShim{s.shimFor("ViewManager")},
		"SearchIndex":            &searchShim{s.shimFor("SearchIndex")},
		"PropertyCollector":      s.props.collectorShim(),
		"PropertyFilter":         s.props.filterShim(),
		"VirtualMachineSnapshot": &snapshotShim{s.shimFor("VirtualMachineSnapshot")},
	}
	for _, kind := range []string{"FileManager", "VirtualDiskManager"} {
		s.shims[kind] = &fileShim{s.shimFor(kind)}
	}
	s.shims["HttpNfcLease"] = &leaseShim{s.shimFor("HttpNfcLease")}
	s.shims["AuthorizationManager"] = &authorizationShim{s.shimFor("AuthorizationManager")}
	s.shims["OvfManager"] = &ovfShim{s.shimFor("OvfManager")}
	s.shims["VirtualMachineProvisioningChecker"] = &checkerShim{s.shimFor("VirtualMachineProvisioningChecker")}
	s.installGuestOperations()
	s.installGuestCustomization()
	for _, sh := range s.shims {
		s.reg.Put(sh)
	}
	s.reg.Handler = s.route
	s.reg.AddHandler(s.props.hub)
	s.reg.AddHandler(s.index)
	s.reg.AddHandler(newCompleter())
}

// ownObjects are the kinds of objects that only their shim knows.
var ownObjects = map[string]bool{"PropertyCollector": true, "PropertyFilter": true}

// route is called by vcsim for every call before it looks for the method.
func (s *Sim) route(ctx *simulator.Context, method *simulator.Method) (mo.Reference, types.BaseMethodFault) {
	sh, ok := s.shims[method.This.Type]
	if !ok || !hasMethod(sh, method.Name) {
		return nil, nil
	}
	if !ownObjects[method.This.Type] && s.reg.Get(method.This) == nil {
		return nil, nil // vcsim answers ManagedObjectNotFound
	}
	if s.coming(method.This) != nil {
		return nil, nil // it has no methods yet
	}
	if ctx.Session == nil && !openMethods[method.Name] {
		// The session has ended since the front let the call through. vcsim's own fault would
		// name the shim, whose type no client knows.
		return nil, notAuthenticated(method.This)
	}
	method.This = sh.Reference()
	return sh, nil
}

// hasMethod tells if vcsim would find name on obj: PowerOnVM_Task is the Go method
// PowerOnVMTask.
func hasMethod(obj any, name string) bool {
	if base, ok := strings.CutSuffix(name, "_Task"); ok {
		name = base + "Task"
	}
	_, ok := reflect.TypeOf(obj).MethodByName(name)
	return ok
}
