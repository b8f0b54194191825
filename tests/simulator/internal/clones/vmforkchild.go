// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package clones

import (
	"log"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/clock"
	"vforge.vsphere/simulator/internal/core"
	"vforge.vsphere/simulator/internal/faults"
	"vforge.vsphere/simulator/internal/naming"
	"vforge.vsphere/simulator/internal/taskqueue"
	"vforge.vsphere/simulator/internal/vhardware"
	"vforge.vsphere/simulator/internal/vmforkapi"
)

const (
	childNone          = string(types.VirtualMachineForkConfigInfoChildTypeNone)
	childPersistent    = string(types.VirtualMachineForkConfigInfoChildTypePersistent)
	ChildNonpersistent = string(types.VirtualMachineForkConfigInfoChildTypeNonpersistent)
)

// CreateForkChildTask makes a child of a parent, powered off. Children of one parent
// are made one after the other.
func (sh *VMCalls) CreateForkChildTask(ctx *simulator.Context, req *vmforkapi.CreateForkChildRequest) soap.HasFault {
	s := sh.S
	parent := s.VM(req.This)
	if parent == nil {
		return &vmforkapi.CreateForkChildBody{Fault_: faults.NotFound(req.This)}
	}
	bg := core.Detached(ctx)
	task := s.Tasks.New(ctx, req.This, "createForkChild", true)
	s.Tasks.Queues.Submit(&taskqueue.Job{Source: req.This, Alone: true, Places: s.Tasks.RoomOn(s.Tasks.HostRef(req.This)), Task: task, Run: func() {
		s.Tasks.Start(bg, task)
		clock.Sleep(bg, s.Cfg.CloneTime)
		child, fault := s.makeForkChild(bg, parent, req)
		if fault != nil {
			s.Tasks.Finish(bg, task, nil, faults.Localized(fault))
			return
		}
		s.Tasks.Finish(bg, task, child, nil)
	}})
	return &vmforkapi.CreateForkChildBody{Res: &vmforkapi.CreateForkChild_TaskResponse{Returnval: task.Self}}
}

func (s *Clones) makeForkChild(ctx *simulator.Context, parent *simulator.VirtualMachine, req *vmforkapi.CreateForkChildRequest) (ref types.ManagedObjectReference, fault types.BaseMethodFault) {
	s.Creating.Lock()
	defer s.Creating.Unlock()
	if s.Closed {
		return ref, &types.RequestCanceled{}
	}
	ctx.WithLock(parent, func() {
		var p *clonePlan
		if p, fault = s.planChild(ctx, parent, req); fault != nil {
			return
		}
		child, err := s.cloneVM(ctx, p)
		if err != nil {
			log.Printf("vforge-sim: fork child %s: %v", p.name, err)
			fault = &types.FileFault{File: p.name}
			return
		}
		ref = child.Self
		s.forks.add(parent.Self, ref)
		s.Guests.Inherit(parent, ref)
	})
	return ref, fault
}

// planChild applies the rules, in the order: the request, the parent, the places.
func (s *Clones) planChild(ctx *simulator.Context, parent *simulator.VirtualMachine, req *vmforkapi.CreateForkChildRequest) (*clonePlan, types.BaseMethodFault) {
	loc := req.Spec.Location
	if loc == nil {
		loc = &types.VirtualMachineRelocateSpec{}
	}
	p := &clonePlan{
		parent: parent, from: parent.Config, host: s.HostOf(parent), name: naming.Escape(req.Name), off: true,
		fork: &types.VirtualMachineForkConfigInfo{ChildForkGroupId: forkInfo(parent).ParentForkGroupId, ChildType: ChildNonpersistent},
	}
	if req.Spec.Persistent {
		p.fork.ChildType = childPersistent
	}
	for _, o := range req.Spec.ConfigParams {
		pair := *o.GetOptionValue()
		pair.Key = "guestinfo.fork." + pair.Key
		p.config = append(p.config, &pair)
	}
	for _, check := range []func() types.BaseMethodFault{
		func() types.BaseMethodFault { return checkChildSpec(req, loc) },
		func() types.BaseMethodFault { return checkForkParent(parent, req.Spec.Persistent) },
		func() types.BaseMethodFault { return s.checkHost(p) },
		func() types.BaseMethodFault { return s.placeFolder(p, loc.Folder) },
		func() types.BaseMethodFault { return s.placePool(p, loc.Pool) },
		func() types.BaseMethodFault { return s.placeDatastore(p, loc.Datastore) },
		func() types.BaseMethodFault { return s.planDevices(p, nil) },
		func() types.BaseMethodFault { return s.checkName(p) },
		func() types.BaseMethodFault { return s.cloneDenied(ctx, p) },
	} {
		if fault := check(); fault != nil {
			return nil, fault
		}
	}
	p.devices = vhardware.Connected(p.devices, false)
	return p, nil
}

// checkChildSpec refuses what a child's specification may not hold.
func checkChildSpec(req *vmforkapi.CreateForkChildRequest, loc *types.VirtualMachineRelocateSpec) types.BaseMethodFault {
	if req.Name == "" {
		return faults.Invalid("name")
	}
	if len(naming.Escape(req.Name)) > vhardware.MaxNameBytes {
		return &types.InvalidName{Name: req.Name}
	}
	for _, o := range req.Spec.ConfigParams {
		if o == nil || o.GetOptionValue().Key == "" {
			return faults.Invalid("spec.configParams")
		}
	}
	allowed := *loc
	if req.Spec.Persistent {
		allowed.Disk = nil // each of its disks may have a datastore of its own
	}
	if len(allowed.DeviceChange) > 0 {
		return faults.Invalid("spec.location.deviceChange")
	}
	return checkRelocateSpec(&allowed)
}

// checkForkParent refuses a parent that cannot have such a child now.
func checkForkParent(parent *simulator.VirtualMachine, persistent bool) types.BaseMethodFault {
	switch {
	case !isForkParent(parent):
		return &types.InvalidState{}
	case persistent && (!quiescedParent(parent) || parent.Snapshot == nil):
		return &types.InvalidState{}
	}
	return nil
}

// PowerOnChild checks and does what is special about powering a child on. The caller
// holds its lock.
func (s *Clones) PowerOnChild(ctx *simulator.Context, vm *simulator.VirtualMachine) types.BaseMethodFault {
	info := forkInfo(vm)
	if info.ChildType != childPersistent && info.ChildType != ChildNonpersistent {
		return nil
	}
	_, quiesced, _ := s.forks.parentOf(vm.Self)
	if info.ChildType == ChildNonpersistent && !quiesced {
		return &types.InvalidState{}
	}
	s.goOn.With(vm.Self, func(on *bool) { *on = quiesced })
	if info.ChildType == childPersistent { // from here on it is a linked clone
		info.ChildType = childNone
		ctx.Update(vm, []types.PropertyChange{{Name: "config.forkConfigInfo", Val: &info}})
	}
	return nil
}

// BootOrFork starts the guest of a VM that has been powered on: that of a fork's child
// goes on where its parent stands still.
func (s *Clones) BootOrFork(vm types.ManagedObjectReference) {
	forked := false
	s.goOn.With(vm, func(on *bool) { forked, *on = *on, false })
	parent, _, ok := s.forks.parentOf(vm)
	if !forked || !ok {
		s.Guests.Boot(vm)
		return
	}
	go func() { // the caller holds the VM's lock, and the guest looks at its VM
		s.Guests.Systems.Drop(vm)
		s.Guests.Fork(parent, vm)
		s.Guests.Boot(vm)
	}()
}
