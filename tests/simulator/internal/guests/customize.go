// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package guests

import (
	"strconv"
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/apiversion"
	"vforge.vsphere/simulator/internal/faults"
	"vforge.vsphere/simulator/internal/guestos"
	"vforge.vsphere/simulator/internal/shim"
)

// CustomizePrivilege is needed for customizations.
const CustomizePrivilege = "VirtualMachine.Provisioning.Customize"

// customizeProgram is what a customization is called in a guest, for tests that want
// it to hang or fail.
const customizeProgram = "guest-customization"

// customizationShim customizes running guests.
type customizationShim struct{ shim.Of[*Guests] }

// installCustomization offers the manager, on a release that has it.
func (s *Guests) installCustomization() {
	if apiversion.Less(s.Cfg.APIVersion, apiversion.GuestCustomizationSince) {
		return
	}
	const kind = "VirtualMachineGuestCustomizationManager"
	manager := &mo.VirtualMachineGuestCustomizationManager{Self: types.ManagedObjectReference{Type: kind, Value: "GuestCustomizationManager"}}
	s.Reg.Put(manager)
	s.Reg.Get(vim25.ServiceInstance).(*simulator.ServiceInstance).Content.GuestCustomizationManager = &manager.Self
}

// start checks the caller's privilege and runs work as a task on the VM, for a guest
// in which the credentials are the administrator's.
func (sh *customizationShim) start(ctx *simulator.Context, vm types.ManagedObjectReference, auth types.BaseGuestAuthentication, id string, work func(*workInside) types.BaseMethodFault) (types.ManagedObjectReference, types.BaseMethodFault) {
	s := sh.S
	if s.VM(vm) == nil {
		return types.ManagedObjectReference{}, &types.ManagedObjectNotFound{Obj: vm}
	}
	if fault := s.Auth.Denied(ctx.Session.UserName, vm, CustomizePrivilege); fault != nil {
		return types.ManagedObjectReference{}, fault
	}
	return s.Tasks.Run(ctx, vm, id, func(ctx *simulator.Context) (types.AnyType, types.BaseMethodFault) {
		in, fault := s.enter(ctx, vm, auth, CustomizePrivilege)
		if fault == nil && in.user != Admin {
			fault = &types.GuestPermissionDenied{}
		}
		if fault != nil {
			return nil, fault
		}
		return nil, work(in)
	}), nil
}

// CustomizeGuestTask names a running guest and configures its network.
func (sh *customizationShim) CustomizeGuestTask(ctx *simulator.Context, req *types.CustomizeGuest_Task) soap.HasFault {
	task, fault := sh.start(ctx, req.Vm, req.Auth, "customizeGuest", func(in *workInside) types.BaseMethodFault {
		return sh.S.customize(req.Vm, in.sys, &req.Spec)
	})
	if fault != nil {
		return &methods.CustomizeGuest_TaskBody{Fault_: faults.SOAP(fault)}
	}
	return &methods.CustomizeGuest_TaskBody{Res: &types.CustomizeGuest_TaskResponse{Returnval: task}}
}

// StartGuestNetworkTask brings the cards of a guest up with what is configured.
func (sh *customizationShim) StartGuestNetworkTask(ctx *simulator.Context, req *types.StartGuestNetwork_Task) soap.HasFault {
	task, fault := sh.start(ctx, req.Vm, req.Auth, "startGuestNetwork", func(in *workInside) types.BaseMethodFault {
		in.sys.StartNetwork()
		return nil
	})
	if fault != nil {
		return &methods.StartGuestNetwork_TaskBody{Fault_: faults.SOAP(fault)}
	}
	return &methods.StartGuestNetwork_TaskBody{Res: &types.StartGuestNetwork_TaskResponse{Returnval: task}}
}

// AbortCustomizationTask ends a customization that runs, and takes away the lock that
// one which failed has left.
func (sh *customizationShim) AbortCustomizationTask(ctx *simulator.Context, req *types.AbortCustomization_Task) soap.HasFault {
	task, fault := sh.start(ctx, req.Vm, req.Auth, "abortCustomization", func(*workInside) types.BaseMethodFault {
		sh.S.States.With(req.Vm, func(st *VMState) {
			if st.customizing != nil {
				close(st.customizing)
				st.customizing = nil
			}
		})
		return nil
	})
	if fault != nil {
		return &methods.AbortCustomization_TaskBody{Fault_: faults.SOAP(fault)}
	}
	return &methods.AbortCustomization_TaskBody{Res: &types.AbortCustomization_TaskResponse{Returnval: task}}
}

// customize does what CustomizeGuest_Task asks. A guest has a lock, so that two
// customizations do not meet; one that fails leaves it, until it is aborted.
func (s *Guests) customize(vm types.ManagedObjectReference, sys *guestos.System, spec *types.CustomizationSpec) types.BaseMethodFault {
	plan, fault := s.planCustomization(vm, spec)
	if fault != nil {
		return fault
	}
	var aborted chan struct{}
	s.States.With(vm, func(st *VMState) {
		if st.customizing == nil {
			st.customizing = make(chan struct{})
			aborted = st.customizing
		}
	})
	if aborted == nil {
		return &types.CustomizationPending{}
	}
	s.noteCustomization(vm, types.GuestInfoCustomizationStatusTOOLSDEPLOYPKG_RUNNING, "")
	problem := s.carryOut(sys, plan, aborted)
	if problem != "" {
		s.noteCustomization(vm, types.GuestInfoCustomizationStatusTOOLSDEPLOYPKG_FAILED, problem)
		return customizationFailed(problem)
	}
	s.States.With(vm, func(st *VMState) {
		if st.customizing == aborted {
			st.customizing = nil
		}
	})
	s.noteCustomization(vm, types.GuestInfoCustomizationStatusTOOLSDEPLOYPKG_SUCCEEDED, "")
	return nil
}

func customizationFailed(text string) types.BaseMethodFault {
	fault := &types.CustomizationFault{}
	fault.FaultMessage = []types.LocalizableMessage{{Key: "vforge.customization", Message: text}}
	return fault
}

// carryOut takes the time that a customization takes and changes the guest; it returns
// what went wrong.
func (s *Guests) carryOut(sys *guestos.System, plan *CustomizationPlan, aborted <-chan struct{}) string {
	t := time.NewTimer(s.Cfg.GuestTime)
	defer t.Stop()
	done := t.C
	hang, code, fails := sys.Trouble(customizeProgram)
	if hang {
		done = nil
	}
	select {
	case <-aborted:
		return "The customization was aborted."
	case <-sys.Halted():
		return "The guest was restarted during its customization."
	case <-done:
	}
	if fails {
		return "Customization of the guest failed: a deployment command ended with status " + strconv.Itoa(code) + "."
	}
	if plan.script && !scriptsEnabled(sys) {
		return "Customization of the guest failed: user defined scripts are disabled in VMware Tools."
	}
	sys.SetName(plan.name)
	for _, c := range plan.cards {
		sys.SetStatic(c.key, c.addr, c.prefix)
	}
	return ""
}

// noteCustomization publishes the state of a customization, on a release that does,
// and posts its event.
func (s *Guests) noteCustomization(ref types.ManagedObjectReference, status types.GuestInfoCustomizationStatus, problem string) {
	vm := s.VM(ref)
	if vm == nil {
		return
	}
	ctx := s.Background("")
	now := time.Now()
	ctx.WithLock(vm, func() {
		e := types.CustomizationEvent{VmEvent: s.VMEvent(vm)}
		info := types.GuestInfoCustomizationInfo{CustomizationStatus: string(status), StartTime: &now}
		if old := vm.Guest.CustomizationInfo; old != nil && old.StartTime != nil {
			info.StartTime = old.StartTime
		}
		switch status {
		case types.GuestInfoCustomizationStatusTOOLSDEPLOYPKG_RUNNING:
			info.StartTime = &now
			s.Post(ctx, &types.CustomizationStartedEvent{CustomizationEvent: e})
		case types.GuestInfoCustomizationStatusTOOLSDEPLOYPKG_SUCCEEDED:
			info.EndTime = &now
			s.Post(ctx, &types.CustomizationSucceeded{CustomizationEvent: e})
		default:
			info.EndTime, info.ErrorMsg = &now, problem
			s.Post(ctx, &types.CustomizationFailed{CustomizationEvent: e})
		}
		s.States.With(ref, func(st *VMState) { st.customization = &info })
		if !apiversion.Less(s.Cfg.APIVersion, apiversion.CustomizationInfoSince) {
			ctx.Update(vm, []types.PropertyChange{{Name: "guest.customizationInfo", Val: &info}})
		}
	})
}
