// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package clones

import (
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/core"
	"vforge.vsphere/simulator/internal/faults"
	"vforge.vsphere/simulator/internal/lookup"
)

// setTemplate makes a VM a template, which is in no resource pool, or a VM again.
func setTemplate(vm *simulator.VirtualMachine, template bool) {
	vm.Config.Template, vm.Summary.Config.Template = template, template
	if template {
		vm.ResourcePool = nil
	}
}

// MarkAsTemplate turns a VM that is powered off into a template, at once.
func (sh *VMCalls) MarkAsTemplate(ctx *simulator.Context, req *types.MarkAsTemplate) soap.HasFault {
	s := sh.S
	vm := s.VM(req.This)
	var fault types.BaseMethodFault
	ctx.WithLock(vm, func() {
		switch {
		case vm.Config.Template:
			fault = &types.NotSupported{}
		case vm.Runtime.PowerState != core.PoweredOff:
			fault = core.WrongPower(vm, core.PoweredOff)
		case vm.Runtime.ConnectionState != types.VirtualMachineConnectionStateConnected:
			fault = &types.InvalidState{}
		}
		if fault != nil {
			return
		}
		if vm.ResourcePool != nil {
			pool := s.Reg.Get(*vm.ResourcePool)
			s.Reg.RemoveReference(ctx, pool, lookup.PoolVMs(pool), vm.Self)
		}
		setTemplate(vm, true)
		ctx.Update(vm, []types.PropertyChange{
			{Name: "config.template", Val: true}, {Name: "summary.config.template", Val: true}, {Name: "resourcePool", Val: nil},
		})
	})
	if fault != nil {
		return &methods.MarkAsTemplateBody{Fault_: faults.SOAP(fault)}
	}
	return &methods.MarkAsTemplateBody{Res: &types.MarkAsTemplateResponse{}}
}

// MarkAsVirtualMachine turns a template into a VM of a pool, at once.
func (sh *VMCalls) MarkAsVirtualMachine(ctx *simulator.Context, req *types.MarkAsVirtualMachine) soap.HasFault {
	s := sh.S
	vm := s.VM(req.This)
	fault := s.Auth.Denied(ctx.Session.UserName, req.Pool, "Resource.AssignVMToPool")
	if fault == nil {
		ctx.WithLock(vm, func() { fault = s.markAsVM(ctx, vm, req) })
	}
	if fault != nil {
		return &methods.MarkAsVirtualMachineBody{Fault_: faults.SOAP(fault)}
	}
	return &methods.MarkAsVirtualMachineBody{Res: &types.MarkAsVirtualMachineResponse{}}
}

func (s *Clones) markAsVM(ctx *simulator.Context, vm *simulator.VirtualMachine, req *types.MarkAsVirtualMachine) types.BaseMethodFault {
	pool := s.Reg.Get(req.Pool)
	if lookup.PoolVMs(pool) == nil {
		return &types.ManagedObjectNotFound{Obj: req.Pool}
	}
	if !vm.Config.Template {
		return &types.InvalidState{}
	}
	host := s.HostOf(vm)
	if req.Host != nil {
		if host = s.Host(*req.Host); host == nil {
			return &types.ManagedObjectNotFound{Obj: *req.Host}
		}
	} else if !s.PlacedByDRS(req.Pool) {
		return faults.Invalid("host")
	}
	if host == nil || !s.SameCompute(host.Self, req.Pool) {
		return core.PoolMismatch()
	}
	if fault := core.HostFault(host); fault != nil {
		return fault
	}
	for _, ref := range vm.Datastore {
		if simulator.FindReference(host.Datastore, ref) == nil {
			return &types.InvalidDatastore{Datastore: &ref}
		}
	}
	if old := s.HostOf(vm); old != host {
		s.Reg.RemoveReference(ctx, old, &old.Vm, vm.Self)
		s.Reg.AddReference(ctx, host, &host.Vm, vm.Self)
	}
	s.Reg.AppendReference(ctx, pool, lookup.PoolVMs(pool), vm.Self)
	setTemplate(vm, false)
	ctx.Update(vm, []types.PropertyChange{
		{Name: "config.template", Val: false}, {Name: "summary.config.template", Val: false},
		{Name: "resourcePool", Val: req.Pool}, {Name: "runtime.host", Val: host.Self}, {Name: "summary.runtime.host", Val: host.Self},
	})
	return nil
}
