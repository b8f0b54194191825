// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package faults

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// SOAP makes a call fault with the text that vCenter shows for it.
func SOAP(f types.BaseMethodFault) *soap.Fault {
	return simulator.Fault(Text(f), f)
}

// Text is vCenter's English text for a fault.
func Text(f types.BaseMethodFault) string {
	switch f := f.(type) {
	case *types.InvalidArgument:
		if f.InvalidProperty == "" {
			return "A specified parameter was not correct."
		}
		return "A specified parameter was not correct: " + f.InvalidProperty
	case *types.InvalidPowerState:
		return fmt.Sprintf("The attempted operation cannot be performed in the current state (%s).", powerText(f.ExistingState))
	case *types.InvalidState:
		return "The operation is not allowed in the current state."
	case *types.DuplicateName:
		return fmt.Sprintf("The name '%s' already exists.", f.Name)
	case *types.NoPermission:
		return "Permission to perform this operation was denied."
	case *types.NotAuthenticated:
		return "The session is not authenticated."
	case *types.InvalidLogin:
		return "Cannot complete login due to an incorrect user name or password."
	case *types.ManagedObjectNotFound:
		return "The object has already been deleted or has not been completely created"
	case *types.RequestCanceled:
		return "The task was canceled by a user."
	case *types.DisallowedMigrationDeviceAttached:
		return "Migration of the virtual machine is disallowed: a device is attached that cannot be cloned."
	case *types.NotSupported:
		return "The operation is not supported on the object."
	case *types.MethodNotFound:
		return fmt.Sprintf("Unable to resolve WSDL method name %q.", f.Method)
	}
	if text, ok := guestFaultText(f); ok {
		return text
	}
	if m := f.GetMethodFault(); m != nil && len(m.FaultMessage) > 0 && m.FaultMessage[0].Message != "" {
		return m.FaultMessage[0].Message
	}
	return words(reflect.TypeOf(f).Elem().Name())
}

func powerText(s types.VirtualMachinePowerState) string {
	switch s {
	case types.VirtualMachinePowerStatePoweredOn:
		return "Powered on"
	case types.VirtualMachinePowerStatePoweredOff:
		return "Powered off"
	}
	return "Suspended"
}

// words spells a type's name as text: "HostNotReachable" is "Host not reachable."
func words(name string) string {
	var b strings.Builder
	for i, r := range name {
		if i > 0 && r >= 'A' && r <= 'Z' {
			b.WriteByte(' ')
			r += 'a' - 'A'
		}
		b.WriteRune(r)
	}
	return b.String() + "."
}

// Name is the name of a fault's type.
func Name(f types.BaseMethodFault) string { return reflect.TypeOf(f).Elem().Name() }

// Localized pairs a fault with the text that vCenter shows for it.
func Localized(f types.BaseMethodFault) *types.LocalizedMethodFault {
	if f == nil {
		return nil
	}
	return &types.LocalizedMethodFault{Fault: f, LocalizedMessage: Text(f)}
}

// LocalizedAll is Localized for each of some faults.
func LocalizedAll(faults []types.BaseMethodFault) []types.LocalizedMethodFault {
	var out []types.LocalizedMethodFault
	for _, f := range faults {
		out = append(out, *Localized(f))
	}
	return out
}

// Invalid is the fault for an argument that is not correct.
func Invalid(property string) types.BaseMethodFault {
	return &types.InvalidArgument{InvalidProperty: property}
}

// NotAuthenticated is the fault of a call without a live session.
func NotAuthenticated(object types.ManagedObjectReference) types.BaseMethodFault {
	return &types.NotAuthenticated{NoPermission: types.NoPermission{Object: &object, PrivilegeId: "System.View"}}
}

// UnknownMethod is how a server answers a method that its version does not have.
func UnknownMethod(method string) (types.BaseMethodFault, string) {
	return &types.InvalidRequest{}, "Unable to resolve WSDL method name " + method + " for namespace name urn:vim25\n\n" +
		"while parsing SOAP body"
}

// NotFound is the fault of a call on an object that is not there.
func NotFound(ref types.ManagedObjectReference) *soap.Fault {
	return SOAP(&types.ManagedObjectNotFound{Obj: ref})
}
