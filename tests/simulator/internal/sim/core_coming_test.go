// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package sim

import (
	"testing"
	"time"

	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/property"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/core"
	"vforge.vsphere/simulator/internal/settings"
)

// halfMade waits until the VM of a name can be seen in the datacenter's folder, and checks
// what of it: its name, and neither configuration nor host.
func (b *bench) halfMade(name string) types.ManagedObjectReference {
	b.Helper()
	folder, collector := b.find("/DC0/vm"), property.DefaultCollector(b.client)
	var ref types.ManagedObjectReference
	err := property.Wait(b.ctx, collector, folder, []string{"childEntity"}, func([]types.PropertyChange) bool {
		found, err := object.NewSearchIndex(b.client).FindByInventoryPath(b.ctx, "/DC0/vm/"+name)
		if err == nil && found != nil {
			ref = found.Reference()
		}
		return err != nil || found != nil
	})
	if err != nil {
		b.Fatal(err)
	}
	var f mo.Folder
	if err := collector.RetrieveOne(b.ctx, folder, []string{"childEntity"}, &f); err != nil {
		b.Fatal(err)
	}
	listed := 0
	for _, child := range f.ChildEntity {
		if child == ref {
			listed++
		}
	}
	var vm mo.VirtualMachine
	paths := []string{"name", "parent", "config", "config.template", "runtime.host", "runtime.powerState", "layoutEx", "resourcePool"}
	if err := collector.RetrieveOne(b.ctx, ref, paths, &vm); err != nil {
		b.Fatal(err)
	}
	if listed != 1 || vm.Name != name || *vm.Parent != folder || vm.Runtime.PowerState != core.PoweredOff {
		b.Errorf("listed %d times, %q in %v, %s", listed, vm.Name, vm.Parent, vm.Runtime.PowerState)
	}
	if vm.Config != nil || vm.Runtime.Host != nil || vm.LayoutEx != nil || vm.ResourcePool != nil {
		b.Errorf("config %v, host %v, pool %v are seen too early", vm.Config, vm.Runtime.Host, vm.ResourcePool)
	}
	return ref
}

func TestACloneIsSeenBeforeItIsMade(t *testing.T) {
	b := start(t, func(c *settings.Config) { c.CloneTime = deadline })
	task, err := b.cloneVM(b.client, b.parent().Reference(), "half")
	if err != nil {
		t.Fatal(err)
	}
	ref := b.halfMade("half")
	_, err = object.NewVirtualMachine(b.client, ref).PowerOn(b.ctx)
	if fault, ok := b.callFault(err).(types.TaskInProgress); !ok || fault.Task != task.Reference() {
		t.Errorf("%+v", fault)
	}
	_, err = methods.QueryChangedDiskAreas(b.ctx, b.client, &types.QueryChangedDiskAreas{This: ref, ChangeId: "*"})
	if err == nil {
		t.Error("a VM without disks tells of their changes")
	}
	if status := b.control("GET", "/vms/half", nil, nil); status != 404 {
		t.Errorf("the control endpoint finds it: %d", status)
	}
	if err := task.Cancel(b.ctx); err != nil {
		t.Fatal(err)
	}
	b.wantFault(b.taskFault(task), &types.RequestCanceled{})
	b.nothingOf("half")
}

func TestAnImportThatIsAbortedBeforeItIsThere(t *testing.T) {
	b := start(t, func(c *settings.Config) { c.CloneTime = deadline })
	im := b.imported("half")
	ref := b.halfMade("half")
	if err := im.abort(); err != nil {
		t.Fatal(err)
	}
	b.nothingOf("half")
	b.imported("half") // its name is free at once
	if b.halfMade("half") == ref {
		t.Error("the second VM has the reference of the first")
	}
}

func TestAWatchedVMGetsItsConfiguration(t *testing.T) {
	b := start(t, func(c *settings.Config) { c.CloneTime = 100 * time.Millisecond })
	task, err := b.cloneVM(b.client, b.parent().Reference(), "whole")
	if err != nil {
		t.Fatal(err)
	}
	var ref types.ManagedObjectReference
	for holder := b.sim.Holder(b.find("/DC0/vm"), "whole"); ref.Value == "" && b.ctx.Err() == nil; holder = b.sim.Holder(b.find("/DC0/vm"), "whole") {
		if holder != nil {
			ref = *holder
		}
	}
	err = property.Wait(b.ctx, property.DefaultCollector(b.client), ref, []string{"config.template", "runtime.host"}, func(changes []types.PropertyChange) bool {
		for _, c := range changes {
			if c.Name == "runtime.host" && c.Val != nil {
				return true
			}
		}
		return false
	})
	if err != nil {
		t.Fatal(err)
	}
	if made := b.result(task); made != ref {
		t.Errorf("made %v, seen %v", made, ref)
	}
	var folder mo.Folder
	if err := property.DefaultCollector(b.client).RetrieveOne(b.ctx, b.find("/DC0/vm"), []string{"childEntity"}, &folder); err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, child := range folder.ChildEntity {
		if child == ref {
			seen++
		}
	}
	if seen != 1 {
		t.Errorf("its folder has it %d times", seen)
	}
}
