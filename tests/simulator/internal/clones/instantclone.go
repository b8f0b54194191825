// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package clones

import (
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/clock"
	"vforge.vsphere/simulator/internal/core"
	"vforge.vsphere/simulator/internal/faults"
	"vforge.vsphere/simulator/internal/taskqueue"
)

// InstantCloneTask is VirtualMachine.InstantClone_Task. The call returns its task
// at once; clones of one parent are made one after the other.
func (sh *VMCalls) InstantCloneTask(ctx *simulator.Context, req *types.InstantClone_Task) soap.HasFault {
	s := sh.S
	parent := s.VM(req.This)
	if parent == nil {
		return &methods.InstantClone_TaskBody{Fault_: faults.NotFound(req.This)}
	}
	plan, fault := s.planLocked(ctx, parent, &req.Spec)
	if fault == nil {
		if denied := s.cloneDenied(ctx, plan); denied != nil {
			return &methods.InstantClone_TaskBody{Fault_: faults.SOAP(denied)}
		}
	}
	j := &cloneJob{s: s, ctx: core.Detached(ctx), vm: req.This, spec: req.Spec}
	j.task = s.Tasks.New(ctx, req.This, "instantClone", true)
	if fault != nil {
		go j.refuse(fault)
	} else {
		s.Tasks.Queues.Submit(&taskqueue.Job{Source: req.This, Alone: true, Places: s.Tasks.RoomOn(&plan.host.Self), Task: j.task, Run: j.run})
	}
	return &methods.InstantClone_TaskBody{Res: &types.InstantClone_TaskResponse{Returnval: j.task.Self}}
}

// cloneDenied checks the caller's privileges on the places of a clone; those on the
// parent are checked before.
func (s *Clones) cloneDenied(ctx *simulator.Context, p *clonePlan) types.BaseMethodFault {
	return s.Lacking(ctx,
		core.NeedOn(p.folder.Self, "VirtualMachine.Inventory.CreateFromExisting"),
		core.NeedOn(p.datastore.Self, core.AllocateSpace),
		core.NeedOn(p.pool.Reference(), "Resource.AssignVMToPool"),
	)
}

// planLocked plans a clone while nothing else changes the parent.
func (s *Clones) planLocked(ctx *simulator.Context, parent *simulator.VirtualMachine, spec *types.VirtualMachineInstantCloneSpec) (plan *clonePlan, fault types.BaseMethodFault) {
	ctx.WithLock(parent, func() { plan, fault = s.planClone(parent, spec) })
	return plan, fault
}

// cloneJob is one accepted InstantClone_Task.
type cloneJob struct {
	s    *Clones
	ctx  *simulator.Context
	vm   types.ManagedObjectReference
	spec types.VirtualMachineInstantCloneSpec
	task *simulator.Task
}

// refuse ends a task whose request cannot be carried out.
func (j *cloneJob) refuse(fault types.BaseMethodFault) {
	j.s.Tasks.Start(j.ctx, j.task)
	j.s.Tasks.Finish(j.ctx, j.task, nil, faults.Localized(fault))
}

// run makes the clone. What was true when the call was accepted may have changed
// while the job was queued, so all is checked again.
func (j *cloneJob) run() {
	s := j.s
	s.Tasks.Start(j.ctx, j.task)
	if half := s.Cfg.CloneTime / 2; half > 0 {
		clock.Sleep(j.ctx, half)
		s.Tasks.Progress(j.ctx, j.task, 50)
		clock.Sleep(j.ctx, half)
	}
	ref, fault := j.make()
	if fault != nil {
		s.Tasks.Finish(j.ctx, j.task, nil, faults.Localized(fault))
		return
	}
	s.Guests.Fork(j.vm, ref)
	s.Guests.Boot(ref)
	s.Tasks.Finish(j.ctx, j.task, ref, nil)
}

func (j *cloneJob) make() (types.ManagedObjectReference, types.BaseMethodFault) {
	s := j.s
	parent := s.VM(j.vm)
	if parent == nil {
		return types.ManagedObjectReference{}, &types.ManagedObjectNotFound{Obj: j.vm}
	}
	s.Creating.Lock()
	defer s.Creating.Unlock()
	if s.Closed {
		return types.ManagedObjectReference{}, &types.RequestCanceled{}
	}
	var clone *simulator.VirtualMachine
	var fault types.BaseMethodFault
	j.ctx.WithLock(parent, func() {
		var plan *clonePlan
		if plan, fault = s.planClone(parent, &j.spec); fault == nil {
			clone, fault = s.buildClone(j.ctx, plan)
		}
		if fault == nil {
			s.Guests.Inherit(parent, clone.Self)
		}
	})
	if fault != nil {
		return types.ManagedObjectReference{}, fault
	}
	return clone.Self, nil
}
