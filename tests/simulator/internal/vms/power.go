// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package vms

import (
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/core"
	"vforge.vsphere/simulator/internal/faults"
	"vforge.vsphere/simulator/internal/guests"
	"vforge.vsphere/simulator/internal/vhardware"
)

// PowerOnVMTask powers a VM on, or resumes it.
func (sh *VMCalls) PowerOnVMTask(ctx *simulator.Context, req *types.PowerOnVM_Task) soap.HasFault {
	task := sh.S.Tasks.OnVM(ctx, req.This, "powerOn", func(ctx *simulator.Context, vm *simulator.VirtualMachine) types.BaseMethodFault {
		switch host := sh.S.HostOf(vm); {
		case vm.Config.Template:
			return &types.NotSupported{}
		case vm.Runtime.PowerState == core.PoweredOn:
			return core.WrongPower(vm, core.PoweredOff)
		case host == nil || host.Runtime.InMaintenanceMode:
			return &types.InvalidState{}
		}
		if fault := sh.S.Clones.PowerOnChild(ctx, vm); fault != nil {
			return fault
		}
		if _, fault := sh.S.Clusters.StartFeatures(vm, sh.S.HostOf(vm)); fault != nil {
			return fault
		}
		e := sh.S.VMEvent(vm)
		if vm.Runtime.PowerState == core.PoweredOff {
			sh.S.Guests.ExpectCloudBoot(vm.Self)
		}
		sh.S.SetPower(ctx, vm, core.PoweredOn)
		sh.S.Post(ctx, &types.VmStartingEvent{VmEvent: e}, &types.VmPoweredOnEvent{VmEvent: e})
		sh.S.Clones.BootOrFork(vm.Self)
		return nil
	})
	return &methods.PowerOnVM_TaskBody{Res: &types.PowerOnVM_TaskResponse{Returnval: task}}
}

// PowerOffVMTask powers a VM off, at once. One that is suspended is not on.
func (sh *VMCalls) PowerOffVMTask(ctx *simulator.Context, req *types.PowerOffVM_Task) soap.HasFault {
	task := sh.S.Tasks.OnVM(ctx, req.This, "powerOff", func(ctx *simulator.Context, vm *simulator.VirtualMachine) types.BaseMethodFault {
		if vm.Config.Template {
			return &types.NotSupported{}
		}
		if vm.Runtime.PowerState != core.PoweredOn {
			return core.WrongPower(vm, core.PoweredOn)
		}
		sh.S.PowerOff(ctx, vm)
		return nil
	})
	return &methods.PowerOffVM_TaskBody{Res: &types.PowerOffVM_TaskResponse{Returnval: task}}
}

// RelocateVMTask moves a VM; a change of its tracking takes effect with that.
func (sh *VMCalls) RelocateVMTask(ctx *simulator.Context, req *types.RelocateVM_Task) soap.HasFault {
	vm := sh.S.VM(req.This)
	var res soap.HasFault
	ctx.WithLock(vm, func() {
		if fault := sh.S.relocateDenied(ctx, vm, &req.Spec); fault != nil {
			res = &methods.RelocateVM_TaskBody{Fault_: faults.SOAP(fault)}
			return
		}
		if fault := sh.S.Clusters.MoveFault(vm, req.Spec.Host); fault != nil {
			res = &methods.RelocateVM_TaskBody{Res: &types.RelocateVM_TaskResponse{Returnval: sh.S.Tasks.Failed(ctx, req.This, "relocate", fault)}}
			return
		}
		res = vm.RelocateVMTask(ctx, req)
	})
	if body, ok := res.(*methods.RelocateVM_TaskBody); ok && body.Res != nil {
		sh.S.Tasks.After(body.Res.Returnval, func() {
			ctx := sh.S.Background("")
			ctx.WithLock(vm, func() { sh.S.Tracks.TakeEffect(ctx, vm) })
		})
	}
	return res
}

// relocateDenied checks the caller's privileges on the VM and on the places that are asked for. The caller holds the VM's lock.
func (s *VMs) relocateDenied(ctx *simulator.Context, vm *simulator.VirtualMachine, spec *types.VirtualMachineRelocateSpec) types.BaseMethodFault {
	needs := []core.Need{core.NeedOn(vm.Self, "Resource.ColdMigrate")}
	if vm.Runtime.PowerState == core.PoweredOn {
		needs[0].Privilege = "Resource.HotMigrate"
	}
	if spec.Pool != nil {
		needs = append(needs, core.NeedOn(*spec.Pool, "Resource.AssignVMToPool"))
	}
	if spec.Datastore != nil {
		needs = append(needs, core.NeedOn(*spec.Datastore, core.AllocateSpace))
	}
	for _, disk := range spec.Disk {
		needs = append(needs, core.NeedOn(disk.Datastore, core.AllocateSpace))
	}
	return s.Lacking(ctx, needs...)
}

// SuspendVMTask suspends a VM.
func (sh *VMCalls) SuspendVMTask(ctx *simulator.Context, req *types.SuspendVM_Task) soap.HasFault {
	task := sh.S.Tasks.OnVM(ctx, req.This, "suspend", func(ctx *simulator.Context, vm *simulator.VirtualMachine) types.BaseMethodFault {
		if vm.Config.Template {
			return &types.NotSupported{}
		}
		if vm.Runtime.PowerState != core.PoweredOn {
			return core.WrongPower(vm, core.PoweredOn)
		}
		e := sh.S.VMEvent(vm)
		sh.S.SetPower(ctx, vm, core.Suspended)
		sh.S.Post(ctx, &types.VmSuspendingEvent{VmEvent: e}, &types.VmSuspendedEvent{VmEvent: e})
		return nil
	})
	return &methods.SuspendVM_TaskBody{Res: &types.SuspendVM_TaskResponse{Returnval: task}}
}

// ResetVMTask resets a VM: it boots anew, and a frozen parent runs again.
func (sh *VMCalls) ResetVMTask(ctx *simulator.Context, req *types.ResetVM_Task) soap.HasFault {
	task := sh.S.Tasks.OnVM(ctx, req.This, "reset", func(ctx *simulator.Context, vm *simulator.VirtualMachine) types.BaseMethodFault {
		if vm.Config.Template {
			return &types.NotSupported{}
		}
		if vm.Runtime.PowerState != core.PoweredOn {
			return core.WrongPower(vm, core.PoweredOn)
		}
		sh.S.restart(ctx, vm)
		sh.S.Post(ctx, &types.VmResettingEvent{VmEvent: sh.S.VMEvent(vm)})
		return nil
	})
	return &methods.ResetVM_TaskBody{Res: &types.ResetVM_TaskResponse{Returnval: task}}
}

// ShutdownGuest asks the guest to shut down, which takes as long as it takes to boot.
func (sh *VMCalls) ShutdownGuest(ctx *simulator.Context, req *types.ShutdownGuest) soap.HasFault {
	s := sh.S
	fault := sh.askGuest(ctx, req.This, func(ctx *simulator.Context, vm *simulator.VirtualMachine) {
		s.Post(ctx, &types.VmGuestShutdownEvent{VmEvent: s.VMEvent(vm)})
		s.Guests.After(s.Cfg.GuestTime, func() {
			ctx := s.Background("")
			ctx.WithLock(vm, func() {
				if vm.Runtime.PowerState == core.PoweredOn {
					s.PowerOff(ctx, vm)
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
func (sh *VMCalls) RebootGuest(ctx *simulator.Context, req *types.RebootGuest) soap.HasFault {
	fault := sh.askGuest(ctx, req.This, func(ctx *simulator.Context, vm *simulator.VirtualMachine) {
		sh.S.Post(ctx, &types.VmGuestRebootEvent{VmEvent: sh.S.VMEvent(vm)})
		sh.S.restart(ctx, vm)
	})
	if fault != nil {
		return &methods.RebootGuestBody{Fault_: faults.SOAP(fault)}
	}
	return &methods.RebootGuestBody{Res: &types.RebootGuestResponse{}}
}

// askGuest does something that needs Tools, or says why it cannot.
func (sh *VMCalls) askGuest(ctx *simulator.Context, ref types.ManagedObjectReference, do func(*simulator.Context, *simulator.VirtualMachine)) (fault types.BaseMethodFault) {
	vm := sh.S.VM(ref)
	ctx.WithLock(vm, func() {
		switch {
		case vm.Runtime.PowerState != core.PoweredOn:
			fault = core.WrongPower(vm, core.PoweredOn)
		case vm.Guest.ToolsRunningStatus != string(types.VirtualMachineToolsRunningStatusGuestToolsRunning):
			fault = &types.ToolsUnavailable{}
		default:
			do(ctx, vm)
		}
	})
	return fault
}

// PowerOff powers a VM off, with its event. The caller holds its lock.
func (s *VMs) PowerOff(ctx *simulator.Context, vm *simulator.VirtualMachine) {
	e := s.VMEvent(vm)
	s.SetPower(ctx, vm, core.PoweredOff)
	s.Post(ctx, &types.VmStoppingEvent{VmEvent: e}, &types.VmPoweredOffEvent{VmEvent: e})
}

func (s *VMs) restart(ctx *simulator.Context, vm *simulator.VirtualMachine) {
	ctx.Update(vm, []types.PropertyChange{
		{Name: "runtime.instantCloneFrozen", Val: false},
		{Name: "summary.runtime.instantCloneFrozen", Val: false},
		{Name: "runtime.bootTime", Val: time.Now()},
	})
	s.Guests.Halt(vm.Self)
	s.Clones.EndQuiescence(ctx, vm)
	s.Guests.Set(ctx, vm, guests.Off())
	s.Guests.ExpectCloudBoot(vm.Self)
	s.Guests.Boot(vm.Self)
}

// SetPower changes the power state, the cards' connections with it, and forgets what
// the guest reported. The caller holds the VM's lock.
func (s *VMs) SetPower(ctx *simulator.Context, vm *simulator.VirtualMachine, state types.VirtualMachinePowerState) {
	from := vm.Runtime.PowerState
	var boot any
	if state == core.PoweredOn {
		boot = time.Now()
	}
	ctx.Update(vm, []types.PropertyChange{
		{Name: "runtime.powerState", Val: state},
		{Name: "runtime.bootTime", Val: boot},
		{Name: "runtime.instantCloneFrozen", Val: false},
		{Name: "summary.runtime.powerState", Val: state},
		{Name: "summary.runtime.bootTime", Val: boot},
		{Name: "summary.runtime.instantCloneFrozen", Val: false},
		{Name: "config.hardware.device", Val: vhardware.Connected(vm.Config.Hardware.Device, state == core.PoweredOn)},
	})
	switch state {
	case core.PoweredOff:
		s.Guests.Halt(vm.Self)
		s.Clones.EndQuiescence(ctx, vm)
	default:
		if state == core.PoweredOn {
			s.Tracks.TakeEffect(ctx, vm)
		}
		s.Guests.Pause(vm.Self, state == core.Suspended)
	}
	if from == core.PoweredOff || state == core.PoweredOff {
		s.Clusters.UpdateFeatures(ctx, vm) // a VM that is suspended, or goes on, keeps what it found when it started
	}
	s.Guests.OutdateReport(vm.Self)
	s.Guests.Set(ctx, vm, guests.Off())
}
