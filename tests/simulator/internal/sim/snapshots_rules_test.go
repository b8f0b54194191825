// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package sim

import (
	"fmt"
	"path"
	"strings"
	"testing"

	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/property"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/core"
	"vforge.vsphere/simulator/internal/guestinfo"
	"vforge.vsphere/simulator/internal/snaptree"
	"vforge.vsphere/simulator/internal/vdisk"
	"vforge.vsphere/simulator/internal/vhardware"
)

func TestSnapshotsThatAreRefused(t *testing.T) {
	b := start(t)
	on := map[string]any{"disks": []map[string]any{{"bytes": 512}}}
	deep := b.small("deep", on)
	for i := range core.MaxSnapshots {
		deep.snap(fmt.Sprint(i), false)
	}
	for name, c := range map[string]struct {
		vm    *diskBench
		named string
		want  types.BaseMethodFault
	}{
		"no name":       {b.small("unnamed", on), "", &types.InvalidName{}},
		"a long name":   {b.small("long", on), strings.Repeat("n", vhardware.MaxNameBytes+1), &types.InvalidName{}},
		"of a template": {b.small("template", map[string]any{"template": true}), "first", &types.NotSupported{}},
		"too many":      {deep, "one more", &types.TooManySnapshotLevels{}},
	} {
		task, err := c.vm.vc.CreateSnapshot(b.ctx, c.named, "", false, false)
		if err != nil {
			t.Fatal(name, err)
		}
		b.wantFault(b.taskFault(task), c.want)
	}
}

// Every call on snapshots needs its privilege, can be made to fail, and counts.
func TestCallsOnSnapshots(t *testing.T) {
	d := start(t).small("one", nil)
	ref := d.snap("first", false)
	nobody := d.as("System.View")
	for privilege, call := range map[string]func() error{
		"VirtualMachine.State.CreateSnapshot": func() error {
			_, err := methods.CreateSnapshot_Task(d.ctx, nobody, &types.CreateSnapshot_Task{This: d.vm.Self, Name: "second"})
			return err
		},
		"VirtualMachine.State.RemoveSnapshot": func() error {
			_, err := methods.RemoveSnapshot_Task(d.ctx, nobody, &types.RemoveSnapshot_Task{This: ref})
			return err
		},
		"VirtualMachine.State.RevertToSnapshot": func() error {
			_, err := methods.RevertToSnapshot_Task(d.ctx, nobody, &types.RevertToSnapshot_Task{This: ref})
			return err
		},
		"VirtualMachine.State.RenameSnapshot": func() error {
			_, err := methods.RenameSnapshot(d.ctx, nobody, &types.RenameSnapshot{This: ref, Name: "other"})
			return err
		},
	} {
		if fault, ok := d.callFault(call()).(types.NoPermission); !ok || fault.PrivilegeId != privilege {
			t.Errorf("%s: %+v", privilege, fault)
		}
	}
	for _, method := range []string{"CreateSnapshot_Task", "RemoveSnapshot_Task", "RevertToSnapshot_Task"} {
		d.control("POST", "/inject", map[string]any{"method": method, "name": "one", "do": "task-fault", "fault": "SnapshotFault"}, nil)
	}
	task, err := d.vc.CreateSnapshot(d.ctx, "second", "", false, false)
	if err != nil {
		t.Fatal(err)
	}
	d.wantFault(d.taskFault(task), &types.SnapshotFault{})
	removed, err := methods.RemoveSnapshot_Task(d.ctx, d.client, &types.RemoveSnapshot_Task{This: ref})
	if err != nil {
		t.Fatal(err)
	}
	d.wantFault(d.taskFault(object.NewTask(d.client, removed.Returnval)), &types.SnapshotFault{})
	reverted, err := methods.RevertToSnapshot_Task(d.ctx, d.client, &types.RevertToSnapshot_Task{This: ref})
	if err != nil {
		t.Fatal(err)
	}
	var told mo.Task
	d.wantFault(d.taskFault(object.NewTask(d.client, reverted.Returnval)), &types.SnapshotFault{})
	if err := d.vc.Properties(d.ctx, reverted.Returnval, []string{"info"}, &told); err != nil {
		t.Fatal(err)
	}
	if *told.Info.Entity != d.vm.Self || told.Info.DescriptionId != "vm.Snapshot.revert" || told.Info.Name != "RevertToSnapshot_Task" {
		t.Errorf("task %+v", told.Info)
	}
	if tree := d.read(d.vm.Self).Snapshot; len(snaptree.Refs(tree.RootSnapshotList)) != 1 {
		t.Errorf("tree %+v", tree)
	}
	var calls struct {
		ByMethod map[string]int `json:"by_method"`
	}
	d.control("GET", "/calls", nil, &calls)
	for method, want := range map[string]int{"CreateSnapshot_Task": 3, "RemoveSnapshot_Task": 2, "RevertToSnapshot_Task": 2} {
		if calls.ByMethod[method] != want {
			t.Errorf("%s: %d calls, want %d", method, calls.ByMethod[method], want)
		}
	}
}

// What clients read of snapshots: the tree, its objects, and the files.
func TestWhatSnapshotsShow(t *testing.T) {
	d := start(t).disks("/DC0/vm/golden-parent")
	task, err := d.vc.CreateSnapshot(d.ctx, "quiet", "before the update", false, true)
	if err != nil {
		t.Fatal(err)
	}
	first := d.result(task)
	second := d.snap("with memory", true)
	d.revert(first)
	third := d.snap("branch", false)
	vm := d.read(d.vm.Self)
	root := vm.Snapshot.RootSnapshotList[0]
	if *vm.Snapshot.CurrentSnapshot != third || fmt.Sprint(vm.RootSnapshot) != fmt.Sprint([]types.ManagedObjectReference{first}) || len(root.ChildSnapshotList) != 2 {
		t.Errorf("tree %+v", vm.Snapshot)
	}
	memory, branch := root.ChildSnapshotList[0], root.ChildSnapshotList[1]
	if root.Name != "quiet" || root.Description != "before the update" || !root.Quiesced || root.State != core.PoweredOff || root.Id != 1 ||
		memory.State != core.PoweredOn || memory.Quiesced || memory.Snapshot != second || branch.Snapshot != third || branch.Vm != d.vm.Self {
		t.Errorf("nodes %+v", vm.Snapshot)
	}
	var object mo.VirtualMachineSnapshot
	if err := d.vc.Properties(d.ctx, first, nil, &object); err != nil {
		t.Fatal(err)
	}
	kept := vdisk.DisksOf(object.Config.Hardware.Device)[0].Backing.(*vdisk.FlatBacking)
	if fmt.Sprint(object.ChildSnapshot) != fmt.Sprint([]types.ManagedObjectReference{second, third}) || object.Vm != d.vm.Self ||
		kept.FileName != "[LocalDS_0] golden-parent/golden-parent.vmdk" || kept.Parent != nil {
		t.Errorf("the object %+v", object.Config.Hardware.Device)
	}
	var shown []string
	for _, of := range vm.LayoutEx.Snapshot {
		var files []string
		for _, unit := range of.Disk[0].Chain {
			files = append(files, path.Base(vm.LayoutEx.File[unit.FileKey[0]].Name))
		}
		memory := "without"
		if of.MemoryKey >= 0 {
			memory = path.Base(vm.LayoutEx.File[of.MemoryKey].Name)
		}
		shown = append(shown, strings.Join([]string{path.Base(vm.LayoutEx.File[of.DataKey].Name), memory, strings.Join(files, " ")}, ", "))
	}
	want := []string{
		"golden-parent-Snapshot1.vmsn, without, golden-parent.vmdk",
		"golden-parent-Snapshot2.vmsn, golden-parent-Snapshot2.vmem, golden-parent.vmdk golden-parent-000001.vmdk",
		"golden-parent-Snapshot3.vmsn, without, golden-parent.vmdk golden-parent-000003.vmdk",
	}
	if fmt.Sprint(shown) != fmt.Sprint(want) {
		t.Errorf("layoutEx\n%q, want\n%q", shown, want)
	}
	d.revert(second)
	if state := d.read(d.vm.Self).Runtime.PowerState; state != core.PoweredOn {
		t.Errorf("a snapshot with memory was reverted to, and the VM is %s", state)
	}
	if _, err := methods.RenameSnapshot(d.ctx, d.client, &types.RenameSnapshot{This: third, Name: "twig"}); err != nil {
		t.Fatal(err)
	}
	if name := d.read(d.vm.Self).Snapshot.RootSnapshotList[0].ChildSnapshotList[1].Name; name != "twig" {
		t.Errorf("renamed to %q", name)
	}
}

// A revert brings back the configuration, but not another name or identity.
func TestRevertingBringsTheConfigurationBack(t *testing.T) {
	d := start(t).small("one", map[string]any{"extra_config": map[string]string{"guestinfo.role": "web"}})
	before := d.read(d.vm.Self)
	ref := d.snap("first", false)
	d.power(false)
	change := types.VirtualMachineConfigSpec{
		Name: "renamed", NumCPUs: 7, MemoryMB: 512, Annotation: "changed",
		ExtraConfig: []types.BaseOptionValue{&types.OptionValue{Key: "guestinfo.role", Value: "db"}},
	}
	task, err := d.vc.Reconfigure(d.ctx, change)
	if err != nil {
		t.Fatal(err)
	}
	d.result(task)
	d.revert(ref)
	after := d.read(d.vm.Self)
	if after.Name != "renamed" || after.Config.Name != "renamed" || after.Config.InstanceUuid != before.Config.InstanceUuid {
		t.Errorf("it is %s (%s)", after.Name, after.Config.InstanceUuid)
	}
	if after.Config.Hardware.NumCPU != before.Config.Hardware.NumCPU || after.Summary.Config.MemorySizeMB != before.Summary.Config.MemorySizeMB ||
		after.Config.Annotation != "" || guestinfo.ExtraValue(after.Config.ExtraConfig, "guestinfo.role") != "web" || after.Config.ChangeVersion == before.Config.ChangeVersion {
		t.Errorf("config %+v", after.Config)
	}
}

// Whoever knows the disks by the layers on which they were cannot change them.
func TestDisksOnOtherLayersAreAnotherVersionOfTheConfiguration(t *testing.T) {
	d := start(t).small("one", nil)
	version := func() string { return d.read(d.vm.Self).Config.ChangeVersion }
	before := version()
	ref := d.snap("first", false)
	late := types.VirtualMachineConfigSpec{ChangeVersion: before, Annotation: "late"}
	d.wantFault(d.taskFault(d.reconfigured(d.vm.Self, late)), &types.ConcurrentAccess{})
	with := version()
	d.remove(ref, false)
	if after := version(); with == before || after == with {
		t.Errorf("versions %s, %s, %s", before, with, after)
	}
}

// Without consolidation the layers stay, until somebody asks for it.
func TestConsolidationCanWait(t *testing.T) {
	d := start(t).small("one", nil)
	d.put(0, 'a')
	ref := d.snap("first", false)
	d.put(1, 'b')
	res, err := methods.RemoveSnapshot_Task(d.ctx, d.client, &types.RemoveSnapshot_Task{This: ref, Consolidate: types.NewBool(false)})
	if err != nil {
		t.Fatal(err)
	}
	d.finished(res.Returnval)
	if vm := d.read(d.vm.Self); vdisk.DeltasOf(d.vm) != 1 || !vm.Runtime.ConsolidationNeeded || vm.Snapshot != nil {
		t.Errorf("%d deltas, consolidation needed: %v", vdisk.DeltasOf(d.vm), vm.Runtime.ConsolidationNeeded)
	}
	done, err := methods.ConsolidateVMDisks_Task(d.ctx, d.client, &types.ConsolidateVMDisks_Task{This: d.vm.Self})
	if err != nil {
		t.Fatal(err)
	}
	d.finished(done.Returnval)
	if vm := d.read(d.vm.Self); vdisk.DeltasOf(d.vm) != 0 || vm.Runtime.ConsolidationNeeded {
		t.Errorf("%d deltas", vdisk.DeltasOf(d.vm))
	}
	d.want(d.live(), "ab....", "consolidated")
}

// What a linked clone builds on is not merged away under it.
func TestALayerThatACloneReadsStays(t *testing.T) {
	d := start(t).disks("/DC0/vm/golden-parent")
	d.put(0, 'a')
	ref := d.snap("base", false)
	clone := d.of(d.cloned(d.vm.Self, "linked", linked(ref)))
	d.put(0, 'b')
	d.remove(ref, false)
	d.put(1, 'c')
	d.want(clone.live(), "a.....", "the clone")
	d.want(d.live(), "bc....", "its source")
	if n := vdisk.DeltasOf(d.vm); n != 1 {
		t.Errorf("the source has %d deltas", n)
	}
}

// Waiting clients hear of snapshots, changeIds and files.
func TestSnapshotsAreToldToWaiters(t *testing.T) {
	d := start(t).small("one", nil)
	d.setTracking(true)
	heard := make(map[string]bool)
	started := make(chan struct{})
	ended := make(chan error, 1)
	go func() {
		first := true
		ended <- property.Wait(d.ctx, property.DefaultCollector(d.client), d.vm.Self, []string{"snapshot", "rootSnapshot", "config.hardware.device", "layoutEx"},
			func(changes []types.PropertyChange) bool {
				if first {
					close(started)
					first = false
					return false
				}
				for _, c := range changes {
					heard[c.Name] = heard[c.Name] || c.Val != nil
				}
				return len(heard) == 4
			})
	}()
	<-started
	d.snap("first", false)
	if err := <-ended; err != nil {
		t.Errorf("%v: only %v", err, heard)
	}
}
