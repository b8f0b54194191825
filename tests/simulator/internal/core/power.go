// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package core

import (
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"
)

const (
	PoweredOn  = types.VirtualMachinePowerStatePoweredOn
	PoweredOff = types.VirtualMachinePowerStatePoweredOff
	Suspended  = types.VirtualMachinePowerStateSuspended
)

// WrongPower is the fault for a VM that has another power state than a call wants.
func WrongPower(vm *simulator.VirtualMachine, wanted types.VirtualMachinePowerState) types.BaseMethodFault {
	return &types.InvalidPowerState{RequestedState: wanted, ExistingState: vm.Runtime.PowerState}
}
