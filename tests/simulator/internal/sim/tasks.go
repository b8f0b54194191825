// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package sim

import (
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

// newTask registers a queued task on entity. vcsim's own tasks start while the
// call that made them is still answered and hold the entity's lock until they
// end; these only exist until startTask and finishTask move them on.
func (s *Sim) newTask(ctx *simulator.Context, entity mo.Entity, id string, cancelable bool) *simulator.Task {
	ref := entity.Reference()
	task := &simulator.Task{}
	task.Self = s.taskRef()
	task.Info = types.TaskInfo{
		Key:           task.Self.Value,
		Task:          task.Self,
		DescriptionId: ref.Type + "." + id,
		Name:          taskMethod(id),
		Entity:        &ref,
		EntityName:    entity.Entity().Name,
		State:         types.TaskInfoStateQueued,
		Cancelable:    cancelable,
		QueueTime:     time.Now(),
		Reason:        &types.TaskReasonUser{UserName: ctx.Session.UserName},
	}
	// The task manager adds the task to its entity's recent tasks without taking
	// the entity's lock: it counts on the caller for that.
	ctx.WithLock(entity, func() { s.reg.Put(task) })
	return task
}

// taskMethod is the WSDL name of a task method: "instantClone" runs as
// InstantClone_Task.
func taskMethod(id string) string {
	return string(id[0]-'a'+'A') + id[1:] + "_Task"
}

func (s *Sim) startTask(ctx *simulator.Context, task *simulator.Task) {
	s.reg.AtomicUpdate(ctx, task, []types.PropertyChange{
		{Name: "info.cancelable", Val: false},
		{Name: "info.startTime", Val: time.Now()},
		{Name: "info.state", Val: types.TaskInfoStateRunning},
	})
}

func (s *Sim) progress(ctx *simulator.Context, task *simulator.Task, percent int32) {
	s.reg.AtomicUpdate(ctx, task, []types.PropertyChange{{Name: "info.progress", Val: percent}})
}

// finishTask ends a task with its result, or with a fault.
func (s *Sim) finishTask(ctx *simulator.Context, task *simulator.Task, result types.AnyType, fault *types.LocalizedMethodFault) {
	changes := []types.PropertyChange{
		{Name: "info.cancelable", Val: false},
		{Name: "info.completeTime", Val: time.Now()},
	}
	if fault != nil {
		changes = append(changes,
			types.PropertyChange{Name: "info.error", Val: *fault},
			types.PropertyChange{Name: "info.state", Val: types.TaskInfoStateError})
	} else {
		changes = append(changes,
			types.PropertyChange{Name: "info.result", Val: result},
			types.PropertyChange{Name: "info.state", Val: types.TaskInfoStateSuccess})
	}
	s.reg.AtomicUpdate(ctx, task, changes)
}
