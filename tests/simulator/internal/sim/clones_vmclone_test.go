// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package sim

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/property"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/deepcopy"
	"vforge.vsphere/simulator/internal/dsfiles"
	"vforge.vsphere/simulator/internal/guestinfo"
	"vforge.vsphere/simulator/internal/settings"
	"vforge.vsphere/simulator/internal/vdisk"
)

type vmCloneChange func(*types.CloneVM_Task)

// cloneVM asks for a full or linked clone of a VM in the datacenter's VM folder.
func (b *bench) cloneVM(c *vim25.Client, source types.ManagedObjectReference, name string, change ...vmCloneChange) (*object.Task, error) {
	b.Helper()
	req := types.CloneVM_Task{This: source, Folder: b.find("/DC0/vm"), Name: name}
	for _, f := range change {
		f(&req)
	}
	res, err := methods.CloneVM_Task(b.ctx, c, &req)
	if err != nil {
		return nil, err
	}
	return object.NewTask(c, res.Returnval), nil
}

func (b *bench) cloned(source types.ManagedObjectReference, name string, change ...vmCloneChange) types.ManagedObjectReference {
	b.Helper()
	task, err := b.cloneVM(b.client, source, name, change...)
	if err != nil {
		b.Fatal(err)
	}
	return b.result(task)
}

// made makes a VM through the control endpoint.
func (b *bench) made(name string, options map[string]any) types.ManagedObjectReference {
	b.Helper()
	body := map[string]any{"name": name}
	for k, v := range options {
		body[k] = v
	}
	var answer map[string]any
	if status := b.control("POST", "/vms", body, &answer); status != 200 {
		b.Fatalf("POST /vms: %d %v", status, answer)
	}
	return types.ManagedObjectReference{Type: "VirtualMachine", Value: answer["moid"].(string)}
}

// snapshot takes one and returns it.
func (b *bench) snapshot(vm types.ManagedObjectReference, name string) types.ManagedObjectReference {
	b.Helper()
	task, err := object.NewVirtualMachine(b.client, vm).CreateSnapshot(b.ctx, name, "", false, false)
	if err != nil {
		b.Fatal(err)
	}
	return b.result(task)
}

func (b *bench) ref(path string) *types.ManagedObjectReference {
	ref := b.find(path)
	return &ref
}

// files lists the backings of a VM's first disk, top first.
func (b *bench) files(vm types.ManagedObjectReference) []string {
	b.Helper()
	var out []string
	for _, layer := range vdisk.DiskChain(vdisk.DisksOf(b.read(vm).Config.Hardware.Device)[0]) {
		out = append(out, layer.FileName)
	}
	return out
}

func (b *bench) ready(vm types.ManagedObjectReference) string {
	b.Helper()
	return b.until(vm, hasIP).Guest.IpAddress
}

func linked(snapshot types.ManagedObjectReference) vmCloneChange {
	return func(r *types.CloneVM_Task) {
		r.Spec.Snapshot = &snapshot
		r.Spec.Location.DiskMoveType = string(types.VirtualMachineRelocateDiskMoveOptionsCreateNewChildDiskBacking)
	}
}

func moveChildMost(r *types.CloneVM_Task) {
	r.Spec.Location.DiskMoveType = string(types.VirtualMachineRelocateDiskMoveOptionsMoveChildMostDiskBacking)
}

func poweredOnClone(r *types.CloneVM_Task) { r.Spec.PowerOn = true }

func TestFullCloneOfARunningVM(t *testing.T) {
	b := start(t)
	parent := b.parent().Reference()
	vm := b.read(b.cloned(parent, "full", poweredOnClone, func(r *types.CloneVM_Task) {
		r.Spec.Config = &types.VirtualMachineConfigSpec{
			NumCPUs: 4, MemoryMB: 4096, Annotation: "made for a test",
			ExtraConfig: []types.BaseOptionValue{&types.OptionValue{Key: "guestinfo.role", Value: "db"}},
		}
	}))
	source := b.read(parent)
	if files := b.files(vm.Self); len(files) != 1 || files[0] != "[LocalDS_0] full/full.vmdk" {
		t.Errorf("files %v", files)
	}
	if vm.Config.Hardware.NumCPU != 4 || vm.Config.Hardware.MemoryMB != 4096 || vm.Summary.Config.NumCpu != 4 ||
		vm.Config.Annotation != "made for a test" || guestinfo.ExtraValue(vm.Config.ExtraConfig, "guestinfo.role") != "db" {
		t.Errorf("config %+v", vm.Config)
	}
	if vm.Config.Uuid == source.Config.Uuid || vm.Config.InstanceUuid == source.Config.InstanceUuid ||
		firstNIC(vm).MacAddress == firstNIC(source).MacAddress || vm.Config.GuestId != source.Config.GuestId {
		t.Error("the clone has its source's identity")
	}
	if *vm.ResourcePool != *source.ResourcePool || *vm.Runtime.Host != *source.Runtime.Host {
		t.Errorf("pool %v, host %v", vm.ResourcePool, vm.Runtime.Host)
	}
	if ip := b.ready(vm.Self); ip == source.Guest.IpAddress {
		t.Errorf("both guests have %s", ip)
	}
}

// putBytes has the guest of a VM write a text to its first disk.
func (b *bench) putBytes(vm *simulator.VirtualMachine, off int64, text string) {
	b.Helper()
	top, capacity := topOf(vm)
	l, err := b.sim.DiskLayers.Layer(top, capacity)
	if err == nil {
		err = l.Write(vdisk.Spans{{Start: off, End: off + int64(len(text))}}, func(p []byte, _ int64) error {
			copy(p, text)
			return nil
		})
	}
	if err != nil {
		b.Fatal(err)
	}
}

func TestFullCloneHasItsSourcesBytes(t *testing.T) {
	b := start(t)
	parent := b.sim.VM(b.parent().Reference())
	b.putBytes(parent, 4096, "content")
	b.clone("below") // the parent's disk is two layers now
	b.putBytes(parent, 4099, "NEW")
	image, err := b.sim.DiskLayers.Image(topOf(b.sim.VM(b.cloned(parent.Self, "full"))))
	if err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 7)
	if _, err := image.ReadAt(got, 4096); err != nil || string(got) != "conNEWt" || len(image.Layers) != 1 {
		t.Errorf("%q in %d layers, %v", got, len(image.Layers), err)
	}
}

func TestLinkedCloneOfASnapshot(t *testing.T) {
	b := start(t)
	parent := b.parent().Reference()
	before := b.files(parent)
	snapshot := b.snapshot(parent, "base")
	for _, name := range []string{"one", "two"} {
		files := b.files(b.cloned(parent, name, linked(snapshot)))
		if len(files) != 1+len(before) || files[1] != before[0] || !strings.HasPrefix(files[0], "[LocalDS_0] "+name+"/") {
			t.Errorf("%s has %v, its source had %v", name, files, before)
		}
	}
}

// A source with a delta layer shares what is below it, without any snapshot; so does a clone
// that has become a template itself.
func TestLinkedClonesOfTemplatesWithALayer(t *testing.T) {
	b := start(t)
	mould := b.made("mould", map[string]any{"on": false})
	b.addLayer(mould)
	if err := object.NewVirtualMachine(b.client, mould).MarkAsTemplate(b.ctx); err != nil {
		t.Fatal(err)
	}
	pool := func(r *types.CloneVM_Task) { r.Spec.Location.Pool = b.ref("/DC0/host/DC0_C1/Resources/DC0_C1_RP1") }
	child := b.cloned(mould, "child", moveChildMost, pool)
	if files := b.files(child); len(files) != 2 || files[1] != b.files(mould)[1] {
		t.Errorf("child has %v, mould %v", files, b.files(mould))
	}
	b.addLayer(child)
	second := b.cloned(child, "second", moveChildMost, func(r *types.CloneVM_Task) { r.Spec.Template = true })
	if files := b.files(second); len(files) != 3 {
		t.Errorf("second has %v", files)
	}
	if vm := b.read(second); !vm.Config.Template || vm.ResourcePool != nil || !vm.Summary.Config.Template {
		t.Errorf("template %v in pool %v", vm.Config.Template, vm.ResourcePool)
	}
	third := b.cloned(second, "third", moveChildMost, pool, poweredOnClone)
	if files := b.files(third); len(files) != 3 {
		t.Errorf("third has %v", files)
	}
	b.ready(third)
	if host := b.read(third).Runtime.Host; *host != b.find("/DC0/host/DC0_C1/DC0_C1_H0") {
		t.Errorf("host %v", host)
	}
}

// addLayer puts a delta on each disk of a VM, as one does before making it a template.
func (b *bench) addLayer(ref types.ManagedObjectReference) {
	b.Helper()
	b.result(b.reconfigured(ref, types.VirtualMachineConfigSpec{DeviceChange: layerSpec(vdisk.DisksOf(b.read(ref).Config.Hardware.Device))}))
}

func layerSpec(disks []*types.VirtualDisk) []types.BaseVirtualDeviceConfigSpec {
	var out []types.BaseVirtualDeviceConfigSpec
	for _, disk := range disks {
		delta := deepcopy.Of(disk)
		backing := delta.Backing.(*vdisk.FlatBacking)
		name, _ := dsfiles.Split(backing.FileName)
		backing.Parent, backing.FileName = disk.Backing.(*vdisk.FlatBacking), "["+name+"]"
		out = append(out,
			&types.VirtualDeviceConfigSpec{Operation: types.VirtualDeviceConfigSpecOperationRemove, Device: disk},
			&types.VirtualDeviceConfigSpec{
				Operation: types.VirtualDeviceConfigSpecOperationAdd, Device: delta,
				FileOperation: types.VirtualDeviceConfigSpecFileOperationCreate,
			})
	}
	return out
}

func (b *bench) reconfigured(ref types.ManagedObjectReference, spec types.VirtualMachineConfigSpec) *object.Task {
	b.Helper()
	task, err := object.NewVirtualMachine(b.client, ref).Reconfigure(b.ctx, spec)
	if err != nil {
		b.Fatal(err)
	}
	return task
}

func TestCustomizationOfAClone(t *testing.T) {
	b := start(t)
	ref := b.cloned(b.parent().Reference(), "raw", poweredOnClone, func(r *types.CloneVM_Task) {
		r.Spec.Customization = linuxCustomization("web-1", "10.1.2.3")
	})
	if vm := b.until(ref, hasIP); vm.Guest.HostName != "web-1" || vm.Guest.IpAddress != "10.1.2.3" {
		t.Errorf("guest %+v", vm.Guest)
	}
}

// Of twenty that want a name at the same time one gets it, and the others learn who.
func TestANameHasOneWinner(t *testing.T) {
	b := start(t, func(c *settings.Config) { c.CloneTime = 20 * time.Millisecond })
	parent := b.parent().Reference()
	const many = 20
	var mu sync.Mutex
	var winners, holders []types.ManagedObjectReference
	var all sync.WaitGroup
	for range many {
		all.Add(1)
		go func() {
			defer all.Done()
			task, err := b.cloneVM(b.client, parent, "wanted")
			if err != nil {
				t.Error(err)
				return
			}
			info, err := task.WaitForResult(b.ctx)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				winners = append(winners, info.Result.(types.ManagedObjectReference))
			} else if fault, ok := info.Error.Fault.(*types.DuplicateName); ok {
				holders = append(holders, fault.Object)
			} else {
				t.Error(err)
			}
		}()
	}
	all.Wait()
	if len(winners) != 1 || len(holders) != many-1 {
		t.Fatalf("%d winners, %d losers", len(winners), len(holders))
	}
	for _, h := range holders {
		if h != winners[0] {
			t.Errorf("a loser was told of %v, the winner is %v", h, winners[0])
		}
	}
}

func TestClonesOfOneSourceRunBesideEachOther(t *testing.T) {
	b := start(t, func(c *settings.Config) { c.CloneTime = deadline })
	room := b.sim.Cfg.HostTasks
	var tasks []*object.Task
	for i := range room + 1 {
		task, err := b.cloneVM(b.client, b.parent().Reference(), fmt.Sprintf("web-%d", i))
		if err != nil {
			t.Fatal(err)
		}
		tasks = append(tasks, task)
	}
	for _, task := range tasks[:room] {
		err := property.Wait(b.ctx, property.DefaultCollector(b.client), task.Reference(), []string{"info.state"}, func(pc []types.PropertyChange) bool {
			return pc[0].Val == types.TaskInfoStateRunning
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if state := b.info(tasks[room]).State; state != types.TaskInfoStateQueued {
		t.Errorf("the last one is %s, and was to wait for its turn", state)
	}
	for _, task := range slices.Backward(tasks) { // the one that waits can be cancelled, and so can those that run
		if err := task.Cancel(b.ctx); err != nil {
			t.Fatal(err)
		}
		b.wantFault(b.taskFault(task), &types.RequestCanceled{})
	}
}

func TestClonesAtAPI65(t *testing.T) {
	b := start(t, func(c *settings.Config) { c.APIVersion = "6.5" })
	b.ready(b.cloned(b.parent().Reference(), "old", poweredOnClone))
}

func TestAFullCloneThatRunsCanBeCancelled(t *testing.T) {
	b := start(t, func(c *settings.Config) { c.CloneTime = deadline })
	task, err := b.cloneVM(b.client, b.parent().Reference(), "never")
	if err != nil {
		t.Fatal(err)
	}
	err = property.Wait(b.ctx, property.DefaultCollector(b.client), task.Reference(), []string{"info.cancelable", "info.state"}, func(pc []types.PropertyChange) bool {
		var read mo.Task
		if err := property.DefaultCollector(b.client).RetrieveOne(b.ctx, task.Reference(), []string{"info"}, &read); err != nil {
			t.Fatal(err)
		}
		return read.Info.State == types.TaskInfoStateRunning && read.Info.Cancelable
	})
	if err != nil {
		t.Fatal(err)
	}
	second, err := b.cloneVM(b.client, b.parent().Reference(), "never")
	if err != nil {
		t.Fatal(err)
	}
	b.wantFault(b.taskFault(second), &types.DuplicateName{}) // the name is taken while it lasts
	if err := task.Cancel(b.ctx); err != nil {
		t.Fatal(err)
	}
	b.wantFault(b.taskFault(task), &types.RequestCanceled{})
	b.nothingOf("never")
}
