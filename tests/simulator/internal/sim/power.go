// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package sim

import (
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/faults"
	"vforge.vsphere/simulator/internal/vhardware"
)

const (
	poweredOn  = types.VirtualMachinePowerStatePoweredOn
	poweredOff = types.VirtualMachinePowerStatePoweredOff
	suspended  = types.VirtualMachinePowerStateSuspended
)

// wrongPower is the fault for a VM that has another power state than a call wants.
func wrongPower(vm *simulator.VirtualMachine, wanted types.VirtualMachinePowerState) types.BaseMethodFault {
	return &types.InvalidPowerState{RequestedState: wanted, ExistingState: vm.Runtime.PowerState}
}

// PowerOnVMTask powers a VM on, or resumes it.
func (sh *vmShim) PowerOnVMTask(ctx *simulator.Context, req *types.PowerOnVM_Task) soap.HasFault {
	task := sh.S.vmTask(ctx, req.This, "powerOn", func(ctx *simulator.Context, vm *simulator.VirtualMachine) types.BaseMethodFault {
		switch host := sh.S.HostOf(vm); {
		case vm.Config.Template:
			return &types.NotSupported{}
		case vm.Runtime.PowerState == poweredOn:
			return wrongPower(vm, poweredOff)
		case host == nil || host.Runtime.InMaintenanceMode:
			return &types.InvalidState{}
		}
		if fault := sh.S.forkPowerOn(ctx, vm); fault != nil {
			return fault
		}
		if _, fault := sh.S.startFeatures(vm, sh.S.HostOf(vm)); fault != nil {
			return fault
		}
		e := sh.S.vmEvent(vm)
		if vm.Runtime.PowerState == poweredOff {
			sh.S.expectCloudBoot(vm.Self)
		}
		sh.S.setPower(ctx, vm, poweredOn)
		sh.S.post(ctx, &types.VmStartingEvent{VmEvent: e}, &types.VmPoweredOnEvent{VmEvent: e})
		sh.S.bootOrFork(vm.Self)
		return nil
	})
	return &methods.PowerOnVM_TaskBody{Res: &types.PowerOnVM_TaskResponse{Returnval: task}}
}

// PowerOffVMTask powers a VM off, at once. One that is suspended is not on.
func (sh *vmShim) PowerOffVMTask(ctx *simulator.Context, req *types.PowerOffVM_Task) soap.HasFault {
	task := sh.S.vmTask(ctx, req.This, "powerOff", func(ctx *simulator.Context, vm *simulator.VirtualMachine) types.BaseMethodFault {
		if vm.Config.Template {
			return &types.NotSupported{}
		}
		if vm.Runtime.PowerState != poweredOn {
			return wrongPower(vm, poweredOn)
		}
		sh.S.powerOff(ctx, vm)
		return nil
	})
	return &methods.PowerOffVM_TaskBody{Res: &types.PowerOffVM_TaskResponse{Returnval: task}}
}

// RelocateVMTask moves a VM; a change of its tracking takes effect with that.
func (sh *vmShim) RelocateVMTask(ctx *simulator.Context, req *types.RelocateVM_Task) soap.HasFault {
	vm := sh.S.VM(req.This)
	var res soap.HasFault
	ctx.WithLock(vm, func() {
		if fault := sh.S.relocateDenied(ctx, vm, &req.Spec); fault != nil {
			res = &methods.RelocateVM_TaskBody{Fault_: faults.SOAP(fault)}
			return
		}
		if fault := sh.S.moveFault(vm, req.Spec.Host); fault != nil {
			res = &methods.RelocateVM_TaskBody{Res: &types.RelocateVM_TaskResponse{Returnval: sh.S.failedTask(ctx, req.This, "relocate", fault)}}
			return
		}
		res = vm.RelocateVMTask(ctx, req)
	})
	if body, ok := res.(*methods.RelocateVM_TaskBody); ok && body.Res != nil {
		sh.S.afterTask(body.Res.Returnval, func() {
			ctx := sh.S.background("")
			ctx.WithLock(vm, func() { sh.S.tracks.TakeEffect(ctx, vm) })
		})
	}
	return res
}

// relocateDenied checks the caller's privileges on the VM and on the places that are asked for. The caller holds the VM's lock.
func (s *Sim) relocateDenied(ctx *simulator.Context, vm *simulator.VirtualMachine, spec *types.VirtualMachineRelocateSpec) types.BaseMethodFault {
	needs := []need{needOn(vm.Self, "Resource.ColdMigrate")}
	if vm.Runtime.PowerState == poweredOn {
		needs[0].privilege = "Resource.HotMigrate"
	}
	if spec.Pool != nil {
		needs = append(needs, needOn(*spec.Pool, "Resource.AssignVMToPool"))
	}
	if spec.Datastore != nil {
		needs = append(needs, needOn(*spec.Datastore, allocateSpace))
	}
	for _, disk := range spec.Disk {
		needs = append(needs, needOn(disk.Datastore, allocateSpace))
	}
	return s.lacking(ctx, needs...)
}

// SuspendVMTask suspends a VM.
func (sh *vmShim) SuspendVMTask(ctx *simulator.Context, req *types.SuspendVM_Task) soap.HasFault {
	task := sh.S.vmTask(ctx, req.This, "suspend", func(ctx *simulator.Context, vm *simulator.VirtualMachine) types.BaseMethodFault {
		if vm.Config.Template {
			return &types.NotSupported{}
		}
		if vm.Runtime.PowerState != poweredOn {
			return wrongPower(vm, poweredOn)
		}
		e := sh.S.vmEvent(vm)
		sh.S.setPower(ctx, vm, suspended)
		sh.S.post(ctx, &types.VmSuspendingEvent{VmEvent: e}, &types.VmSuspendedEvent{VmEvent: e})
		return nil
	})
	return &methods.SuspendVM_TaskBody{Res: &types.SuspendVM_TaskResponse{Returnval: task}}
}

// ResetVMTask resets a VM: it boots anew, and a frozen parent runs again.
func (sh *vmShim) ResetVMTask(ctx *simulator.Context, req *types.ResetVM_Task) soap.HasFault {
	task := sh.S.vmTask(ctx, req.This, "reset", func(ctx *simulator.Context, vm *simulator.VirtualMachine) types.BaseMethodFault {
		if vm.Config.Template {
			return &types.NotSupported{}
		}
		if vm.Runtime.PowerState != poweredOn {
			return wrongPower(vm, poweredOn)
		}
		sh.S.restart(ctx, vm)
		sh.S.post(ctx, &types.VmResettingEvent{VmEvent: sh.S.vmEvent(vm)})
		return nil
	})
	return &methods.ResetVM_TaskBody{Res: &types.ResetVM_TaskResponse{Returnval: task}}
}

// ShutdownGuest asks the guest to shut down, which takes as long as it takes to boot.
func (sh *vmShim) ShutdownGuest(ctx *simulator.Context, req *types.ShutdownGuest) soap.HasFault {
	s := sh.S
	fault := sh.askGuest(ctx, req.This, func(ctx *simulator.Context, vm *simulator.VirtualMachine) {
		s.post(ctx, &types.VmGuestShutdownEvent{VmEvent: s.vmEvent(vm)})
		s.after(s.cfg.GuestTime, func() {
			ctx := s.background("")
			ctx.WithLock(vm, func() {
				if vm.Runtime.PowerState == poweredOn {
					s.powerOff(ctx, vm)
				}
			})
		})
	})
	if fault != nil {
		return &methods.ShutdownGuestBody{Fault_: faults.SOAP(fault)}
	}
	return &methods.ShutdownGuestBody{Res: &types.ShutdownGuestResponse{}}
}

// RebootGuest asks the guest to reboot.
func (sh *vmShim) RebootGuest(ctx *simulator.Context, req *types.RebootGuest) soap.HasFault {
	fault := sh.askGuest(ctx, req.This, func(ctx *simulator.Context, vm *simulator.VirtualMachine) {
		sh.S.post(ctx, &types.VmGuestRebootEvent{VmEvent: sh.S.vmEvent(vm)})
		sh.S.restart(ctx, vm)
	})
	if fault != nil {
		return &methods.RebootGuestBody{Fault_: faults.SOAP(fault)}
	}
	return &methods.RebootGuestBody{Res: &types.RebootGuestResponse{}}
}

// askGuest does something that needs Tools, or says why it cannot.
func (sh *vmShim) askGuest(ctx *simulator.Context, ref types.ManagedObjectReference, do func(*simulator.Context, *simulator.VirtualMachine)) (fault types.BaseMethodFault) {
	vm := sh.S.VM(ref)
	ctx.WithLock(vm, func() {
		switch {
		case vm.Runtime.PowerState != poweredOn:
			fault = wrongPower(vm, poweredOn)
		case vm.Guest.ToolsRunningStatus != string(types.VirtualMachineToolsRunningStatusGuestToolsRunning):
			fault = &types.ToolsUnavailable{}
		default:
			do(ctx, vm)
		}
	})
	return fault
}

// powerOff powers a VM off, with its event. The caller holds its lock.
func (s *Sim) powerOff(ctx *simulator.Context, vm *simulator.VirtualMachine) {
	e := s.vmEvent(vm)
	s.setPower(ctx, vm, poweredOff)
	s.post(ctx, &types.VmStoppingEvent{VmEvent: e}, &types.VmPoweredOffEvent{VmEvent: e})
}

func (s *Sim) restart(ctx *simulator.Context, vm *simulator.VirtualMachine) {
	ctx.Update(vm, []types.PropertyChange{
		{Name: "runtime.instantCloneFrozen", Val: false},
		{Name: "summary.runtime.instantCloneFrozen", Val: false},
		{Name: "runtime.bootTime", Val: time.Now()},
	})
	s.haltGuest(vm.Self)
	s.endQuiescence(ctx, vm)
	s.setGuest(ctx, vm, guestOff())
	s.expectCloudBoot(vm.Self)
	s.bootGuest(vm.Self)
}

// setPower changes the power state, the cards' connections with it, and forgets what
// the guest reported. The caller holds the VM's lock.
func (s *Sim) setPower(ctx *simulator.Context, vm *simulator.VirtualMachine, state types.VirtualMachinePowerState) {
	from := vm.Runtime.PowerState
	var boot any
	if state == poweredOn {
		boot = time.Now()
	}
	ctx.Update(vm, []types.PropertyChange{
		{Name: "runtime.powerState", Val: state},
		{Name: "runtime.bootTime", Val: boot},
		{Name: "runtime.instantCloneFrozen", Val: false},
		{Name: "summary.runtime.powerState", Val: state},
		{Name: "summary.runtime.bootTime", Val: boot},
		{Name: "summary.runtime.instantCloneFrozen", Val: false},
		{Name: "config.hardware.device", Val: vhardware.Connected(vm.Config.Hardware.Device, state == poweredOn)},
	})
	switch state {
	case poweredOff:
		s.haltGuest(vm.Self)
		s.endQuiescence(ctx, vm)
	default:
		if state == poweredOn {
			s.tracks.TakeEffect(ctx, vm)
		}
		s.pauseGuest(vm.Self, state == suspended)
	}
	if from == poweredOff || state == poweredOff {
		s.updateFeatures(ctx, vm) // a VM that is suspended, or goes on, keeps what it found when it started
	}
	s.outdateReport(vm.Self)
	s.setGuest(ctx, vm, guestOff())
}
