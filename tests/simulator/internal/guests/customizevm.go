// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package guests

import (
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/apiversion"
	"vforge.vsphere/simulator/internal/core"
	"vforge.vsphere/simulator/internal/faults"
)

// cloudinitPrepSince is the API version that introduced customization by cloud-init;
// maxCloudinitPrep bounds each of its two texts.
const (
	cloudinitPrepSince = "7.0.3.0"
	maxCloudinitPrep   = 512 << 10
)

// CustomizeVMTask leaves a customization for the next start of a VM. That by cloud-init
// is done here; the others are vcsim's.
func (sh *VMCalls) CustomizeVMTask(ctx *simulator.Context, req *types.CustomizeVM_Task) soap.HasFault {
	s := sh.S
	prep, cloud := req.Spec.Identity.(*types.CustomizationCloudinitPrep)
	if !cloud {
		vm := s.VM(req.This)
		var res soap.HasFault
		ctx.WithLock(vm, func() { res = vm.CustomizeVMTask(ctx, req) })
		return res
	}
	task := sh.S.Tasks.OnVM(ctx, req.This, "customize", func(_ *simulator.Context, vm *simulator.VirtualMachine) types.BaseMethodFault {
		if fault := s.cloudinitPrepFault(vm, prep); fault != nil {
			return fault
		}
		s.States.With(vm.Self, func(st *VMState) { st.cloudPrep = prep })
		return nil
	})
	return &methods.CustomizeVM_TaskBody{Res: &types.CustomizeVM_TaskResponse{Returnval: task}}
}

// cloudinitPrepFault applies the rules; the caller holds the VM's lock.
func (s *Guests) cloudinitPrepFault(vm *simulator.VirtualMachine, prep *types.CustomizationCloudinitPrep) types.BaseMethodFault {
	st := s.States.Get(vm.Self)
	switch {
	case apiversion.Less(s.Cfg.APIVersion, cloudinitPrepSince):
		return faults.Invalid("spec.identity")
	case vm.Runtime.PowerState != core.PoweredOff:
		return core.WrongPower(vm, core.PoweredOff)
	case prep.Metadata == "" || len(prep.Metadata) > maxCloudinitPrep:
		return faults.Invalid("spec.identity.metadata")
	case len(prep.Userdata) > maxCloudinitPrep:
		return faults.Invalid("spec.identity.userdata")
	case st.Guest.NoTools:
		return &types.UncustomizableGuest{UncustomizableGuestOS: vm.Config.GuestId}
	case st.cloudPrep != nil:
		return &types.CustomizationPending{}
	}
	return nil
}
