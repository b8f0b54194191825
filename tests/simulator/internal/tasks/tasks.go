// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package tasks

import (
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/clock"
	"vforge.vsphere/simulator/internal/core"
	"vforge.vsphere/simulator/internal/faults"
	"vforge.vsphere/simulator/internal/taskqueue"
)

// Tasks are the tasks of the API.
type Tasks struct {
	*core.Core
	// Queues are the clones that wait for their turn.
	Queues taskqueue.Queues
	// busy has the tasks that have a VM for themselves, by the VM.
	busy sync.Map
}

// New registers a queued task on an object. vcsim's own tasks start while the
// call that made them is still answered and hold the entity's lock until they
// end; these only exist until Start and Finish move them on.
func (s *Tasks) New(ctx *simulator.Context, ref types.ManagedObjectReference, id string, cancelable bool) *simulator.Task {
	name := ref.Value
	if e, ok := s.Reg.Get(ref).(mo.Entity); ok {
		name = e.Entity().Name
	}
	task := &simulator.Task{}
	task.Self = s.TaskRef()
	task.Info = types.TaskInfo{
		Key:           task.Self.Value,
		Task:          task.Self,
		DescriptionId: ref.Type + "." + id,
		Name:          method(id),
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
	ctx.WithLock(ref, func() { s.Reg.Put(task) })
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

// method is the WSDL name of a task method: "instantClone" runs as
// InstantClone_Task.
func method(id string) string {
	if name, ok := taskMethods[id]; ok {
		return name
	}
	return string(id[0]-'a'+'A') + id[1:] + "_Task"
}

// ID is what New takes for a method.
func ID(method string) string {
	id := strings.TrimSuffix(method, "_Task")
	return strings.ToLower(id[:1]) + id[1:]
}

// Start has a queued task run.
func (s *Tasks) Start(ctx *simulator.Context, task *simulator.Task) {
	s.Reg.AtomicUpdate(ctx, task, []types.PropertyChange{
		{Name: "info.cancelable", Val: false},
		{Name: "info.startTime", Val: time.Now()},
		{Name: "info.state", Val: types.TaskInfoStateRunning},
	})
}

// Progress tells how far a running task has come.
func (s *Tasks) Progress(ctx *simulator.Context, task *simulator.Task, percent int32) {
	s.Reg.AtomicUpdate(ctx, task, []types.PropertyChange{{Name: "info.progress", Val: percent}})
}

// Finish ends a task with its result, or with a fault.
func (s *Tasks) Finish(ctx *simulator.Context, task *simulator.Task, result types.AnyType, fault *types.LocalizedMethodFault) {
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
	s.Reg.AtomicUpdate(ctx, task, changes)
}

// Cancel ends a task that somebody has cancelled.
func (s *Tasks) Cancel(ctx *simulator.Context, task *simulator.Task) {
	s.Reg.AtomicUpdate(ctx, task, []types.PropertyChange{{Name: "info.cancelled", Val: true}})
	s.Finish(ctx, task, nil, faults.Localized(&types.RequestCanceled{}))
}

// Run starts a task at once and returns its reference.
func (s *Tasks) Run(ctx *simulator.Context, ref types.ManagedObjectReference, id string, work func(*simulator.Context) (types.AnyType, types.BaseMethodFault)) types.ManagedObjectReference {
	task := s.New(ctx, ref, id, false)
	bg := core.Detached(ctx)
	go func() {
		s.Start(bg, task)
		result, fault := work(bg)
		s.Finish(bg, task, result, faults.Localized(fault))
	}()
	return task.Self
}

// RunAlone is the same for a task that has its VM for itself: while it runs, no other begins that wants that too. Of two
// calls that were let through at the same moment the second one's task fails.
func (s *Tasks) RunAlone(ctx *simulator.Context, vm types.ManagedObjectReference, id string, work func(*simulator.Context) (types.AnyType, types.BaseMethodFault)) types.ManagedObjectReference {
	task := s.New(ctx, vm, id, false)
	if other, taken := s.busy.LoadOrStore(vm, task.Self); taken {
		fault := &types.TaskInProgress{Task: other.(types.ManagedObjectReference)}
		work = func(*simulator.Context) (types.AnyType, types.BaseMethodFault) { return nil, fault }
	}
	bg := core.Detached(ctx)
	go func() {
		s.Start(bg, task)
		result, fault := work(bg)
		s.busy.CompareAndDelete(vm, task.Self) // before its end is seen
		s.Finish(bg, task, result, faults.Localized(fault))
	}()
	return task.Self
}

// sharing are the methods that do not want the VM for themselves.
var sharing = map[string]bool{
	"CloneVM_Task": true, "InstantClone_Task": true, "CreateForkChild_Task": true, "QueryChangedDiskAreas": true, "ExportVm": true,
}

// WorksOn returns the fault for a call that wants a VM for itself while a task has it, or nil.
func (s *Tasks) WorksOn(vm types.ManagedObjectReference, method string) types.BaseMethodFault {
	if task, ok := s.busy.Load(vm); ok && !sharing[method] {
		return &types.TaskInProgress{Task: task.(types.ManagedObjectReference)}
	}
	return nil
}

// Failed makes a task for a call that is accepted but cannot be carried out.
func (s *Tasks) Failed(ctx *simulator.Context, ref types.ManagedObjectReference, id string, fault types.BaseMethodFault) types.ManagedObjectReference {
	return s.Run(ctx, ref, id, func(*simulator.Context) (types.AnyType, types.BaseMethodFault) { return nil, fault })
}

// After runs f when a task of vcsim's is done.
func (s *Tasks) After(ref types.ManagedObjectReference, f func()) {
	changed, stop := s.Props.OnChange(ref)
	ctx := s.Background("")
	go func() {
		defer stop()
		for !s.done(ctx, ref) {
			<-changed
		}
		f()
	}()
}

func (s *Tasks) done(ctx *simulator.Context, ref types.ManagedObjectReference) bool {
	task, ok := s.Reg.Get(ref).(*simulator.Task)
	if !ok {
		return true
	}
	done := false
	ctx.WithLock(task, func() { done = task.Info.CompleteTime != nil })
	return done
}

// vCenterRoom is how many operations a whole vCenter runs at a time.
const vCenterRoom = 640

// RoomOn lists the places in which an operation takes up room: vCenter, and each of the hosts once.
func (s *Tasks) RoomOn(hosts ...*types.ManagedObjectReference) []taskqueue.Place {
	places := []taskqueue.Place{{Ref: s.Content().RootFolder, Room: vCenterRoom}}
	for _, host := range hosts {
		known := func(p taskqueue.Place) bool { return p.Ref == *host }
		if host != nil && s.Cfg.HostTasks > 0 && !slices.ContainsFunc(places, known) {
			places = append(places, taskqueue.Place{Ref: *host, Room: s.Cfg.HostTasks})
		}
	}
	return places
}

// HostRef is the host that a VM is on, if any.
func (s *Tasks) HostRef(vm types.ManagedObjectReference) (host *types.ManagedObjectReference) {
	if at := s.VM(vm); at != nil {
		s.Background("").WithLock(at, func() { host = at.Runtime.Host })
	}
	return host
}

// OnVM starts a task that works on one VM with the VM's lock held.
func (s *Tasks) OnVM(ctx *simulator.Context, ref types.ManagedObjectReference, id string, work func(*simulator.Context, *simulator.VirtualMachine) types.BaseMethodFault) types.ManagedObjectReference {
	return s.SlowOnVM(ctx, ref, id, 0, work)
}

// SlowOnVM is the same, with a task that runs for a while before it does anything.
func (s *Tasks) SlowOnVM(ctx *simulator.Context, ref types.ManagedObjectReference, id string, takes time.Duration, work func(*simulator.Context, *simulator.VirtualMachine) types.BaseMethodFault) types.ManagedObjectReference {
	return s.RunAlone(ctx, ref, id, func(ctx *simulator.Context) (types.AnyType, types.BaseMethodFault) {
		clock.Sleep(ctx, takes)
		vm := s.VM(ref)
		if vm == nil {
			return nil, &types.ManagedObjectNotFound{Obj: ref}
		}
		var fault types.BaseMethodFault
		ctx.WithLock(vm, func() { fault = work(ctx, vm) })
		return nil, fault
	})
}
