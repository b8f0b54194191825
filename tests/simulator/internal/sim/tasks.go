// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package sim

import (
	"slices"
	"strings"
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/clock"
	"vforge.vsphere/simulator/internal/faults"
	"vforge.vsphere/simulator/internal/taskqueue"
	"vforge.vsphere/simulator/internal/wire"
)

// newTask registers a queued task on an object. vcsim's own tasks start while the
// call that made them is still answered and hold the entity's lock until they
// end; these only exist until startTask and finishTask move them on.
func (s *Sim) newTask(ctx *simulator.Context, ref types.ManagedObjectReference, id string, cancelable bool) *simulator.Task {
	name := ref.Value
	if e, ok := s.reg.Get(ref).(mo.Entity); ok {
		name = e.Entity().Name
	}
	task := &simulator.Task{}
	task.Self = s.taskRef()
	task.Info = types.TaskInfo{
		Key:           task.Self.Value,
		Task:          task.Self,
		DescriptionId: ref.Type + "." + id,
		Name:          taskMethod(id),
		Entity:        &ref,
		EntityName:    name,
		State:         types.TaskInfoStateQueued,
		Cancelable:    cancelable,
		QueueTime:     time.Now(),
		Reason:        &types.TaskReasonUser{UserName: ctx.Session.UserName},
	}
	if known, ok := taskDescriptions[id]; ok {
		task.Info.DescriptionId = known
	}
	// The task manager adds the task to its entity's recent tasks without taking
	// the entity's lock: it counts on the caller for that.
	ctx.WithLock(ref, func() { s.reg.Put(task) })
	return task
}

// taskDescriptions are those that are not the method's.
var taskDescriptions = map[string]string{
	"checkInstantClone": "vm.check.ProvisioningChecker.checkInstantClone",
	"removeSnapshot":    "vm.Snapshot.remove",
	"revertToSnapshot":  "vm.Snapshot.revert",

	"configureEvcMode":      "cluster.EVCManager.configureEvc",
	"checkConfigureEvcMode": "cluster.EVCManager.checkConfigureEvc",
	"disableEvcMode":        "cluster.EVCManager.disableEvc",
	"checkAddHostEvc":       "cluster.EVCManager.checkAddHostEvc",
}

// taskMethods are the names that do not follow from the task's description.
var taskMethods = map[string]string{
	"powerOn": "PowerOnVM_Task", "powerOff": "PowerOffVM_Task", "suspend": "SuspendVM_Task", "reset": "ResetVM_Task",
	"reconfigure": "ReconfigVM_Task", "clone": "CloneVM_Task", "createVm": "CreateVM_Task",
	"applyEvcMode": "ApplyEvcModeVM_Task",
}

// taskMethod is the WSDL name of a task method: "instantClone" runs as
// InstantClone_Task.
func taskMethod(id string) string {
	if name, ok := taskMethods[id]; ok {
		return name
	}
	return string(id[0]-'a'+'A') + id[1:] + "_Task"
}

// taskID is what newTask takes for a method.
func taskID(method string) string {
	id := strings.TrimSuffix(method, "_Task")
	return strings.ToLower(id[:1]) + id[1:]
}

func (s *Sim) startTask(ctx *simulator.Context, task *simulator.Task) {
	s.reg.AtomicUpdate(ctx, task, []types.PropertyChange{
		{Name: "info.cancelable", Val: false},
		{Name: "info.startTime", Val: time.Now()},
		{Name: "info.state", Val: types.TaskInfoStateRunning},
	})
}

// progress tells how far a running task has come.
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

// cancelTask ends a task that somebody has cancelled.
func (s *Sim) cancelTask(ctx *simulator.Context, task *simulator.Task) {
	s.reg.AtomicUpdate(ctx, task, []types.PropertyChange{{Name: "info.cancelled", Val: true}})
	s.finishTask(ctx, task, nil, faults.Localized(&types.RequestCanceled{}))
}

// runTask starts a task at once and returns its reference.
func (s *Sim) runTask(ctx *simulator.Context, ref types.ManagedObjectReference, id string, work func(*simulator.Context) (types.AnyType, types.BaseMethodFault)) types.ManagedObjectReference {
	task := s.newTask(ctx, ref, id, false)
	bg := detached(ctx)
	go func() {
		s.startTask(bg, task)
		result, fault := work(bg)
		s.finishTask(bg, task, result, faults.Localized(fault))
	}()
	return task.Self
}

// exclusiveTask is the same for a task that has its VM for itself: while it runs, no other begins that wants that too. Of two
// calls that were let through at the same moment the second one's task fails.
func (s *Sim) exclusiveTask(ctx *simulator.Context, vm types.ManagedObjectReference, id string, work func(*simulator.Context) (types.AnyType, types.BaseMethodFault)) types.ManagedObjectReference {
	task := s.newTask(ctx, vm, id, false)
	if other, taken := s.busy.LoadOrStore(vm, task.Self); taken {
		fault := &types.TaskInProgress{Task: other.(types.ManagedObjectReference)}
		work = func(*simulator.Context) (types.AnyType, types.BaseMethodFault) { return nil, fault }
	}
	bg := detached(ctx)
	go func() {
		s.startTask(bg, task)
		result, fault := work(bg)
		s.busy.CompareAndDelete(vm, task.Self) // before its end is seen
		s.finishTask(bg, task, result, faults.Localized(fault))
	}()
	return task.Self
}

// sharing are the methods that do not want the VM for themselves.
var sharing = map[string]bool{
	"CloneVM_Task": true, "InstantClone_Task": true, "CreateForkChild_Task": true, "QueryChangedDiskAreas": true, "ExportVm": true,
}

// worksOn returns the fault for a call that wants a VM for itself while a task has it, or nil.
func (s *Sim) worksOn(vm types.ManagedObjectReference, method string) types.BaseMethodFault {
	if task, ok := s.busy.Load(vm); ok && !sharing[method] {
		return &types.TaskInProgress{Task: task.(types.ManagedObjectReference)}
	}
	return nil
}

// failedTask makes a task for a call that is accepted but cannot be carried out.
func (s *Sim) failedTask(ctx *simulator.Context, ref types.ManagedObjectReference, id string, fault types.BaseMethodFault) types.ManagedObjectReference {
	return s.runTask(ctx, ref, id, func(*simulator.Context) (types.AnyType, types.BaseMethodFault) { return nil, fault })
}

// afterTask runs f when a task of vcsim's is done.
func (s *Sim) afterTask(ref types.ManagedObjectReference, f func()) {
	changed, stop := s.props.OnChange(ref)
	ctx := s.background("")
	go func() {
		defer stop()
		for !s.taskDone(ctx, ref) {
			<-changed
		}
		f()
	}()
}

func (s *Sim) taskDone(ctx *simulator.Context, ref types.ManagedObjectReference) bool {
	task, ok := s.reg.Get(ref).(*simulator.Task)
	if !ok {
		return true
	}
	done := false
	ctx.WithLock(task, func() { done = task.Info.CompleteTime != nil })
	return done
}

// vCenterRoom is how many operations a whole vCenter runs at a time.
const vCenterRoom = 640

// roomOn lists the places in which an operation takes up room: vCenter, and each of the hosts once.
func (s *Sim) roomOn(hosts ...*types.ManagedObjectReference) []taskqueue.Place {
	places := []taskqueue.Place{{Ref: s.content().RootFolder, Room: vCenterRoom}}
	for _, host := range hosts {
		known := func(p taskqueue.Place) bool { return p.Ref == *host }
		if host != nil && s.cfg.HostTasks > 0 && !slices.ContainsFunc(places, known) {
			places = append(places, taskqueue.Place{Ref: *host, Room: s.cfg.HostTasks})
		}
	}
	return places
}

// hostRef is the host that a VM is on, if any.
func (s *Sim) hostRef(vm types.ManagedObjectReference) (host *types.ManagedObjectReference) {
	if at := s.VM(vm); at != nil {
		s.background("").WithLock(at, func() { host = at.Runtime.Host })
	}
	return host
}

// failingTask makes a task for a call that is accepted and then fails. That of an
// instant clone takes its turn in the parent's queue.
func (s *Sim) failingTask(call *wire.Call, fault types.BaseMethodFault) (types.ManagedObjectReference, bool) {
	this := s.entity(call)
	if s.reg.Get(this) == nil {
		return types.ManagedObjectReference{}, false
	}
	ctx := s.background(call.Session.User)
	id := taskID(call.Method)
	queued := call.Method == "InstantClone_Task" || call.Method == "CreateForkChild_Task"
	task := s.newTask(ctx, this, id, queued)
	run := func() {
		s.startTask(ctx, task)
		if queued {
			clock.Sleep(ctx, s.cfg.CloneTime)
		}
		s.finishTask(ctx, task, nil, faults.Localized(fault))
	}
	if queued {
		s.queues.Submit(&taskqueue.Job{Source: call.This, Alone: true, Places: s.roomOn(s.hostRef(call.This)), Task: task, Run: run})
	} else {
		go run()
	}
	return task.Self, true
}

// taskShim is CancelTask as vCenter has it: vcsim marks any running task as
// cancelled and lets it run on.
type taskShim struct{ shimBase }

// CancelTask takes a queued clone out of its queue, stops a full or linked clone that runs,
// and aborts an import that may be cancelled. No other task that runs can be cancelled, nor one that is done.
func (sh *taskShim) CancelTask(ctx *simulator.Context, req *types.CancelTask) soap.HasFault {
	s := sh.s
	task, ok := s.reg.Get(req.This).(*simulator.Task)
	if !ok {
		return &methods.CancelTaskBody{Fault_: faults.NotFound(req.This)}
	}
	if s.queues.Cancel(req.This) != nil {
		s.cancelTask(ctx, task)
		return &methods.CancelTaskBody{Res: &types.CancelTaskResponse{}}
	}
	if l := s.leases.ofTask(req.This); l != nil && l.fail(&types.RequestCanceled{}) {
		return &methods.CancelTaskBody{Res: &types.CancelTaskResponse{}}
	}
	if s.queues.Stop(req.This) { // it ends by itself
		return &methods.CancelTaskBody{Res: &types.CancelTaskResponse{}}
	}
	var fault types.BaseMethodFault = &types.NotSupported{}
	ctx.WithLock(task, func() {
		if task.Info.State == types.TaskInfoStateSuccess || task.Info.State == types.TaskInfoStateError {
			fault = &types.InvalidState{}
		}
	})
	return &methods.CancelTaskBody{Fault_: faults.SOAP(fault)}
}
