// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package shim

import (
	"reflect"
	"strings"

	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

// Shim answers calls in place of vcsim's own object. vcsim finds the method to run
// by reflection on the object that a call names, so a call is handed to a shim by
// changing that name on the way (see route); the request still holds the real one.
type Shim interface {
	mo.Reference
	// Lock and Unlock keep vcsim from serialising all calls that go through the
	// shim: each of them takes the locks of the real objects that it touches.
	Lock()
	Unlock()
}

// Base is what all shims have.
type Base struct {
	// MO stands first because vcsim looks at every registered object's managed
	// object there, when it searches by UUID for one.
	MO   mo.ExtensionManager
	Self types.ManagedObjectReference
}

// NewBase makes the base of the shim for a kind of object.
func NewBase(kind string) Base {
	return Base{Self: types.ManagedObjectReference{Type: "VforgeShim", Value: kind}}
}

// Reference is the name under which vcsim's registry has the shim.
func (b *Base) Reference() types.ManagedObjectReference { return b.Self }

// Lock does nothing: see shim.
func (b *Base) Lock() {}

// Unlock does nothing: see shim.
func (b *Base) Unlock() {}

// HasMethod tells if vcsim would find name on obj: PowerOnVM_Task is the Go method
// PowerOnVMTask.
func HasMethod(obj any, name string) bool {
	if base, ok := strings.CutSuffix(name, "_Task"); ok {
		name = base + "Task"
	}
	_, ok := reflect.TypeOf(obj).MethodByName(name)
	return ok
}

// Of is the base of the shims of a part of the simulator.
type Of[T any] struct {
	Base
	S T
}

// For makes the base of a part's shim for a kind of object.
func For[T any](kind string, part T) Of[T] { return Of[T]{NewBase(kind), part} }
