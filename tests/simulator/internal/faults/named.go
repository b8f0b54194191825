// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package faults

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/vmware/govmomi/vim25/types"
)

// New makes a fault of the API by the name of its type.
func New(name, message string) (types.BaseMethodFault, error) {
	kind, ok := types.TypeFunc()(name)
	if !ok {
		return nil, fmt.Errorf("%q is no type of the API", name)
	}
	fault, ok := reflect.New(kind).Interface().(types.BaseMethodFault)
	if !ok {
		return nil, fmt.Errorf("%q is no fault", name)
	}
	fillRequired(reflect.ValueOf(fault).Elem())
	if message != "" {
		fault.GetMethodFault().FaultMessage = []types.LocalizableMessage{{Key: "vforge.injected", Message: message}}
	}
	return fault, nil
}

// fillRequired gives a fault the properties without which clients cannot read it:
// references, other faults and power states. Every other zero value is a legal one.
func fillRequired(fault reflect.Value) {
	for i := range fault.NumField() {
		field := fault.Field(i)
		if strings.Contains(fault.Type().Field(i).Tag.Get("xml"), "omitempty") {
			continue
		}
		switch value := field.Addr().Interface().(type) {
		case *types.ManagedObjectReference:
			*value = types.ManagedObjectReference{Type: "VirtualMachine", Value: "vm-injected"}
			switch fault.Type().Field(i).Name {
			case "Task":
				*value = types.ManagedObjectReference{Type: "Task", Value: "task-injected"}
			case "Host":
				*value = types.ManagedObjectReference{Type: "HostSystem", Value: "host-injected"}
			}
		case *types.LocalizedMethodFault:
			*value = types.LocalizedMethodFault{Fault: &types.SystemError{}}
		case *types.VirtualMachinePowerState:
			*value = types.VirtualMachinePowerStatePoweredOff
		default:
			if field.Kind() == reflect.Struct {
				fillRequired(field)
			}
		}
	}
}

// FileLocked is how a host refuses to remove a file that another VM uses.
func FileLocked(file string) types.BaseMethodFault {
	fault := &types.FileLocked{}
	fault.File = file
	fault.FaultMessage = []types.LocalizableMessage{{
		Key: "vforge.layerInUse", Message: fmt.Sprintf("Unable to access file %s since it is locked", file),
	}}
	return fault
}
