// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package inventory

import (
	"testing"
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

func TestQuestionsWaitForTheTasksThatRun(t *testing.T) {
	ctx := simulator.NewContext()
	stop := settle(ctx.Map)
	task := &mo.Task{ExtensibleManagedObject: mo.ExtensibleManagedObject{Self: types.ManagedObjectReference{Type: "Task", Value: "task-1"}}}
	ctx.Map.Put(task)
	answered := make(chan struct{})
	go func() {
		_, _ = ctx.Map.Handler(ctx, &simulator.Method{Name: "WaitForUpdatesEx"})
		close(answered)
	}()
	select {
	case <-answered:
		t.Fatal("the question was answered while a task ran")
	case <-time.After(100 * time.Millisecond):
	}
	if _, fault := ctx.Map.Handler(ctx, &simulator.Method{Name: "CreateFilter"}); fault != nil {
		t.Error(fault)
	}
	ctx.Map.AtomicUpdate(ctx, task, []types.PropertyChange{{Name: "info.completeTime", Val: time.Now()}})
	<-answered
	stop()
	if ctx.Map.Handler != nil {
		t.Error("questions are held back for good")
	}
}
