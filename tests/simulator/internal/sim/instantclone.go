// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package sim

import (
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// vmShim answers the calls on virtual machines in which vcsim differs from vCenter.
type vmShim struct{ shimBase }

// InstantCloneTask is VirtualMachine.InstantClone_Task. The call returns its task
// at once; clones of one parent are made one after the other.
func (sh *vmShim) InstantCloneTask(ctx *simulator.Context, req *types.InstantClone_Task) soap.HasFault {
	s := sh.s
	parent := s.vm(req.This)
	if parent == nil {
		return &methods.InstantClone_TaskBody{Fault_: soapFault(&types.ManagedObjectNotFound{Obj: req.This})}
	}
	job := &cloneJob{
		s:    s,
		ctx:  detached(ctx),
		vm:   req.This,
		spec: req.Spec,
		task: s.newTask(ctx, parent, "instantClone", true),
	}
	if _, fault := s.planClone(ctx, parent, &req.Spec); fault != nil {
		go job.refuse(fault)
	} else {
		s.queues.submit(job)
	}
	return &methods.InstantClone_TaskBody{
		Res: &types.InstantClone_TaskResponse{Returnval: job.task.Self},
	}
}

// cloneJob is one accepted InstantClone_Task.
type cloneJob struct {
	s    *Sim
	ctx  *simulator.Context
	vm   types.ManagedObjectReference
	spec types.VirtualMachineInstantCloneSpec
	task *simulator.Task
}

// refuse ends a task whose request cannot be carried out.
func (j *cloneJob) refuse(fault types.BaseMethodFault) {
	j.s.startTask(j.ctx, j.task)
	j.s.finishTask(j.ctx, j.task, nil, localized(fault))
}

// run makes the clone. What was true when the call was accepted may have changed
// while the job was queued, so all is checked again.
func (j *cloneJob) run() {
	s := j.s
	s.startTask(j.ctx, j.task)
	sleep(j.ctx, s.cfg.CloneTime)
	ref, fault := j.make()
	if fault != nil {
		s.finishTask(j.ctx, j.task, nil, localized(fault))
		return
	}
	s.finishTask(j.ctx, j.task, ref, nil)
	s.bootGuest(ref)
}

func (j *cloneJob) make() (types.ManagedObjectReference, types.BaseMethodFault) {
	s := j.s
	parent := s.vm(j.vm)
	if parent == nil {
		return types.ManagedObjectReference{}, &types.ManagedObjectNotFound{Obj: j.vm}
	}
	s.creating.Lock()
	defer s.creating.Unlock()
	var clone *simulator.VirtualMachine
	var fault types.BaseMethodFault
	j.ctx.WithLock(parent, func() {
		var plan *clonePlan
		if plan, fault = s.planClone(j.ctx, parent, &j.spec); fault == nil {
			clone, fault = s.buildClone(j.ctx, plan)
		}
	})
	if fault != nil {
		return types.ManagedObjectReference{}, fault
	}
	return clone.Self, nil
}
