// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package sim

import (
	"fmt"
	"testing"
	"time"

	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/property"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/settings"
)

// submit starts clones without waiting for them.
func (b *bench) submit(parent *object.VirtualMachine, names ...string) []*object.Task {
	b.Helper()
	var tasks []*object.Task
	for _, name := range names {
		task, err := parent.InstantClone(b.ctx, cloneSpec(name))
		if err != nil {
			b.Fatal(err)
		}
		tasks = append(tasks, task)
	}
	return tasks
}

func (b *bench) info(task *object.Task) types.TaskInfo {
	b.Helper()
	var t mo.Task
	if err := property.DefaultCollector(b.client).RetrieveOne(b.ctx, task.Reference(), []string{"info"}, &t); err != nil {
		b.Fatal(err)
	}
	return t.Info
}

// slow makes clones take so long that a test can look at them while they wait; it
// never waits for them to end.
func slow(c *settings.Config) { c.CloneTime = time.Hour }

func TestClonesOfOneParentAreMadeInTurn(t *testing.T) {
	b := start(t)
	var names []string
	for i := range 20 {
		names = append(names, fmt.Sprintf("turn-%02d", i))
	}
	var before time.Time
	for i, task := range b.submit(b.parent(), names...) {
		b.result(task)
		info := b.info(task)
		if info.StartTime == nil || info.CompleteTime == nil || info.StartTime.Before(before) || info.CompleteTime.Before(*info.StartTime) {
			t.Errorf("%s ran from %v to %v, the one before until %v", names[i], info.StartTime, info.CompleteTime, before)
		}
		before = *info.CompleteTime
	}
}

func TestQueuedCloneCanBeCancelled(t *testing.T) {
	b := start(t, slow)
	tasks := b.submit(b.parent(), "running", "first", "second")
	running := tasks[0]
	err := property.Wait(b.ctx, property.DefaultCollector(b.client), running.Reference(), []string{"info.state"}, func(c []types.PropertyChange) bool {
		return c[0].Val == types.TaskInfoStateRunning
	})
	if err != nil {
		t.Fatal(err)
	}
	if info := b.info(tasks[1]); info.State != types.TaskInfoStateQueued || !info.Cancelable || info.StartTime != nil {
		t.Errorf("a queued clone: %+v", info)
	}
	if err := tasks[1].Cancel(b.ctx); err != nil {
		t.Fatal(err)
	}
	b.wantFault(b.taskFault(tasks[1]), &types.RequestCanceled{})
	if info := b.info(tasks[1]); !info.Cancelled || info.State != types.TaskInfoStateError || info.Cancelable {
		t.Errorf("a cancelled clone: %+v", info)
	}
	if info := b.info(running); info.Cancelable {
		t.Error("a running clone says that it can be cancelled")
	}
	b.wantFault(b.callFault(running.Cancel(b.ctx)), &types.NotSupported{})
	b.wantFault(b.callFault(tasks[1].Cancel(b.ctx)), &types.InvalidState{})
	if info := b.info(tasks[2]); info.State != types.TaskInfoStateQueued {
		t.Errorf("the clone behind the cancelled one is %s", info.State)
	}
}

func TestParentsCloneBesideEachOther(t *testing.T) {
	b := start(t, slow, func(c *settings.Config) { c.Parents = 2 })
	other := object.NewVirtualMachine(b.client, b.find("/DC0/vm/golden-parent-2"))
	for _, task := range append(b.submit(b.parent(), "a"), b.submit(other, "b")...) {
		err := property.Wait(b.ctx, property.DefaultCollector(b.client), task.Reference(), []string{"info.state"}, func(c []types.PropertyChange) bool {
			return c[0].Val == types.TaskInfoStateRunning
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// running waits for a task to be carried out.
func (b *bench) running(task *object.Task) {
	b.Helper()
	err := property.Wait(b.ctx, property.DefaultCollector(b.client), task.Reference(), []string{"info.state"}, func(c []types.PropertyChange) bool {
		return c[0].Val == types.TaskInfoStateRunning
	})
	if err != nil {
		b.Fatal(err)
	}
}

func TestAHostHasEightClonesAtATimeWhateverTheyAreMadeOf(t *testing.T) {
	b := start(t, func(c *settings.Config) { c.CloneTime, c.Hosts = deadline, 2 })
	for name, host := range map[string]string{"one": "DC0_C0_H0", "other": "DC0_C0_H0", "elsewhere": "DC0_C1_H0"} {
		b.control("POST", "/vms", map[string]any{"name": name, "host": host}, nil)
	}
	clone := func(source, name string) *object.Task {
		task, err := b.cloneVM(b.client, b.find("/DC0/vm/"+source), name)
		if err != nil {
			t.Fatal(err)
		}
		return task
	}
	var tasks []*object.Task
	for i := range 5 {
		tasks = append(tasks, clone("one", fmt.Sprintf("one-%d", i)), clone("other", fmt.Sprintf("other-%d", i)))
	}
	for _, task := range tasks[:8] {
		b.running(task)
	}
	for _, task := range tasks[8:] {
		if info := b.info(task); info.State != types.TaskInfoStateQueued || !info.Cancelable || info.StartTime != nil {
			t.Errorf("a clone for which there is no room: %+v", info)
		}
	}
	b.running(clone("elsewhere", "from-there")) // another host has room of its own
	toHere, err := b.cloneVM(b.client, b.find("/DC0/vm/elsewhere"), "to-here", func(req *types.CloneVM_Task) {
		host, pool := b.find("/DC0/host/DC0_C0/DC0_C0_H0"), b.find("/DC0/host/DC0_C0/Resources")
		req.Spec.Location.Host, req.Spec.Location.Pool = &host, &pool
	})
	if err != nil {
		t.Fatal(err)
	}
	if state := b.info(toHere).State; state != types.TaskInfoStateQueued {
		t.Errorf("a clone to a host without room is %s", state)
	}
	if err := tasks[3].Cancel(b.ctx); err != nil {
		t.Fatal(err)
	}
	b.running(tasks[8]) // the oldest of those that wait
	if state := b.info(tasks[9]).State; state != types.TaskInfoStateQueued {
		t.Errorf("the last one is %s", state)
	}
}

func TestWithoutALimitAllClonesRun(t *testing.T) {
	b := start(t, func(c *settings.Config) { c.CloneTime, c.HostTasks = deadline, 0 })
	for i := range 10 {
		task, err := b.cloneVM(b.client, b.parent().Reference(), fmt.Sprintf("web-%d", i))
		if err != nil {
			t.Fatal(err)
		}
		b.running(task)
	}
}

func TestTaskOfAClone(t *testing.T) {
	b := start(t)
	task := b.submit(b.parent(), "described")[0]
	ref := b.result(task)
	info := b.info(task)
	reason, _ := info.Reason.(*types.TaskReasonUser)
	if info.Name != "InstantClone_Task" || info.DescriptionId != "VirtualMachine.instantClone" || info.EntityName != "golden-parent" ||
		*info.Entity != b.parent().Reference() || info.Result != ref || reason == nil || reason.UserName != b.sim.Cfg.Username {
		t.Errorf("info %+v", info)
	}
}

func TestARunningCloneTellsItsProgress(t *testing.T) {
	b := start(t, func(c *settings.Config) { c.CloneTime = 2 * time.Millisecond })
	task := b.submit(b.parent(), "progressing")[0]
	b.result(task)
	if info := b.info(task); info.Progress != 50 {
		t.Errorf("progress %d, want what was told half-way", info.Progress)
	}
}

func TestClosingWhileClonesWaitIsNoFailure(t *testing.T) {
	b := start(t)
	b.submit(b.parent(), "a", "b", "c", "d", "e", "f") // nobody waits for them
}

func TestWhatChangesWhileACloneWaitsIsSeen(t *testing.T) {
	b := start(t, func(c *settings.Config) { c.CloneTime = time.Second })
	tasks := b.submit(b.parent(), "same", "same") // both were free when they were asked for
	b.result(tasks[0])
	b.wantFault(b.taskFault(tasks[1]), &types.DuplicateName{})
}

func TestManyClonesAreQuick(t *testing.T) {
	b := start(t)
	b.patch("golden-parent", map[string]any{"frozen": true})
	var names []string
	for i := range 100 {
		names = append(names, fmt.Sprintf("many-%03d", i))
	}
	for _, task := range b.submit(b.parent(), names...) {
		b.result(task)
	}
	if n := len(b.sim.Reg.All("VirtualMachine")); n != 103 {
		t.Errorf("%d VMs, want 103", n)
	}
}

// Calls that come at the same moment may all find the VM free.
func TestOfTasksThatBeginAtTheSameMomentOneHasTheVM(t *testing.T) {
	b := start(t)
	vm, held := b.parent().Reference(), make(chan struct{})
	work := func(*simulator.Context) (types.AnyType, types.BaseMethodFault) {
		<-held
		return nil, nil
	}
	ctx := b.sim.Background("")
	first := b.sim.Tasks.RunAlone(ctx, vm, "reset", work)
	second := b.sim.Tasks.RunAlone(ctx, vm, "reset", work)
	fault := b.taskFault(object.NewTask(b.client, second))
	if busy, ok := fault.(*types.TaskInProgress); !ok || busy.Task != first {
		t.Errorf("%+v", fault)
	}
	if fault := b.sim.Tasks.WorksOn(vm, "ResetVM_Task"); fault == nil {
		t.Error("the one that failed has set the VM free")
	}
	close(held)
	b.result(object.NewTask(b.client, first))
	b.result(object.NewTask(b.client, b.sim.Tasks.RunAlone(ctx, vm, "reset", work)))
}
