// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package front

import (
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/clock"
	"vforge.vsphere/simulator/internal/faults"
	"vforge.vsphere/simulator/internal/taskqueue"
	"vforge.vsphere/simulator/internal/tasks"
	"vforge.vsphere/simulator/internal/wire"
)

// failingTask makes a task for a call that is accepted and then fails. That of an
// instant clone takes its turn in the parent's queue.
func (s *Front) failingTask(call *wire.Call, fault types.BaseMethodFault) (types.ManagedObjectReference, bool) {
	this := s.Tasks.Entity(call)
	if s.Reg.Get(this) == nil {
		return types.ManagedObjectReference{}, false
	}
	ctx := s.Background(call.Session.User)
	id := tasks.ID(call.Method)
	queued := call.Method == "InstantClone_Task" || call.Method == "CreateForkChild_Task"
	task := s.Tasks.New(ctx, this, id, queued)
	run := func() {
		s.Tasks.Start(ctx, task)
		if queued {
			clock.Sleep(ctx, s.Cfg.CloneTime)
		}
		s.Tasks.Finish(ctx, task, nil, faults.Localized(fault))
	}
	if queued {
		s.Tasks.Queues.Submit(&taskqueue.Job{Source: call.This, Alone: true, Places: s.Tasks.RoomOn(s.Tasks.HostRef(call.This)), Task: task, Run: run})
	} else {
		go run()
	}
	return task.Self, true
}
