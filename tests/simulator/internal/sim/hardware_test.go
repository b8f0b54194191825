// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package sim

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/deepcopy"
	"vforge.vsphere/simulator/internal/dsfiles"
	"vforge.vsphere/simulator/internal/inventory"
	"vforge.vsphere/simulator/internal/vdisk"
	"vforge.vsphere/simulator/internal/vhardware"
)

// local is where a file of the first datastore lies.
func (b *bench) local(file string) string {
	return filepath.Join(inventory.DatastoreDir(b.sim.Cfg.StateDir), "DC0", "LocalDS_0", file)
}

func diskEdit(vm mo.VirtualMachine, capacity int64) []types.BaseVirtualDeviceConfigSpec {
	disk := deepcopy.Of(vdisk.DisksOf(vm.Config.Hardware.Device)[0])
	disk.CapacityInBytes, disk.CapacityInKB = capacity, capacity/1024
	return []types.BaseVirtualDeviceConfigSpec{&types.VirtualDeviceConfigSpec{Operation: types.VirtualDeviceConfigSpecOperationEdit, Device: disk}}
}

func newDiskSpec(file string, capacity int64, unit int32) *types.VirtualDeviceConfigSpec {
	disk := &types.VirtualDisk{CapacityInBytes: capacity}
	disk.Key, disk.ControllerKey, disk.UnitNumber = -1, vhardware.KeySCSI, &unit
	disk.Backing = &vdisk.FlatBacking{VirtualDeviceFileBackingInfo: types.VirtualDeviceFileBackingInfo{FileName: file}, DiskMode: "persistent"}
	return &types.VirtualDeviceConfigSpec{
		Operation: types.VirtualDeviceConfigSpecOperationAdd, FileOperation: types.VirtualDeviceConfigSpecFileOperationCreate, Device: disk,
	}
}

func TestDisksComeGrowAndGo(t *testing.T) {
	b := start(t)
	ref := b.made("store", map[string]any{"on": false})
	change := func(specs ...types.BaseVirtualDeviceConfigSpec) mo.VirtualMachine {
		t.Helper()
		b.result(b.reconfigured(ref, types.VirtualMachineConfigSpec{DeviceChange: specs}))
		return b.read(ref)
	}
	vm := change(newDiskSpec("", 1<<20, 1), newDiskSpec("[LocalDS_0] store/own.vmdk", 2<<20, 2))
	disks := vdisk.DisksOf(vm.Config.Hardware.Device)
	if len(disks) != 3 || disks[1].Key != 2001 || disks[2].Backing.(*vdisk.FlatBacking).FileName != "[LocalDS_0] store/own.vmdk" || vm.Summary.Config.NumVirtualDisks != 3 {
		t.Fatalf("%d disks", len(disks))
	}
	if b.read(ref).LayoutEx == nil || len(vm.LayoutEx.Disk) != 3 {
		t.Errorf("layout %+v", vm.LayoutEx)
	}
	grown := deepcopy.Of(disks[2])
	grown.CapacityInBytes = 4 << 20
	vm = change(&types.VirtualDeviceConfigSpec{Operation: types.VirtualDeviceConfigSpecOperationEdit, Device: grown})
	if disk := vdisk.DisksOf(vm.Config.Hardware.Device)[2]; disk.CapacityInKB != 4096 {
		t.Errorf("capacity %d KB", disk.CapacityInKB)
	}
	change(
		&types.VirtualDeviceConfigSpec{Operation: types.VirtualDeviceConfigSpecOperationRemove, Device: disks[1]},
		&types.VirtualDeviceConfigSpec{
			Operation: types.VirtualDeviceConfigSpecOperationRemove, Device: disks[2],
			FileOperation: types.VirtualDeviceConfigSpecFileOperationDestroy,
		})
	if !dsfiles.Exists(b.local("store/store_1.vmdk")) || dsfiles.Exists(b.local("store/own.vmdk")) || dsfiles.Exists(b.local("store/own-flat.vmdk")) {
		t.Error("files go only when that is asked for, and then they do")
	}
	again := newDiskSpec("[LocalDS_0] store/store_1.vmdk", 0, 1)
	again.FileOperation = ""
	if vm = change(again); vdisk.DisksOf(vm.Config.Hardware.Device)[1].CapacityInBytes != 1<<20 {
		t.Error("a disk that is attached again has its capacity")
	}
}

func TestDeviceChangesThatAreRefused(t *testing.T) {
	b := start(t)
	ref := b.made("store", map[string]any{"on": false})
	layered := b.made("layered", map[string]any{"on": false})
	b.addLayer(layered)
	edit := func(spec *types.VirtualDeviceConfigSpec, f func(*types.VirtualDisk)) *types.VirtualDeviceConfigSpec {
		f(spec.Device.(*types.VirtualDisk))
		return spec
	}
	backing := func(d *types.VirtualDisk) *vdisk.FlatBacking { return d.Backing.(*vdisk.FlatBacking) }
	for name, c := range map[string]struct {
		vm   types.ManagedObjectReference
		spec types.BaseVirtualDeviceConfigSpec
		want types.BaseMethodFault
	}{
		"file that exists":   {ref, newDiskSpec("[LocalDS_0] store/store.vmdk", 1<<20, 1), &types.FileAlreadyExists{}},
		"unit in use":        {ref, newDiskSpec("", 1<<20, 0), &types.InvalidDeviceSpec{}},
		"no unit":            {ref, edit(newDiskSpec("", 1<<20, 1), func(d *types.VirtualDisk) { d.UnitNumber = nil }), &types.InvalidDeviceSpec{}},
		"no capacity":        {ref, newDiskSpec("", 0, 1), &types.InvalidDeviceSpec{}},
		"no such controller": {ref, edit(newDiskSpec("", 1<<20, 1), func(d *types.VirtualDisk) { d.ControllerKey = 1007 }), &types.InvalidDeviceSpec{}},
		"no such datastore":  {ref, newDiskSpec("[elsewhere]", 1<<20, 1), &types.InvalidDatastorePath{}},
		"no such parent": {ref, edit(newDiskSpec("", 0, 1), func(d *types.VirtualDisk) {
			backing(d).Parent = &vdisk.FlatBacking{VirtualDeviceFileBackingInfo: types.VirtualDeviceFileBackingInfo{FileName: "[LocalDS_0] a/b.vmdk"}}
		}), &types.InvalidDeviceSpec{}},
		"sparse on a host":        {ref, edit(newDiskSpec("", 1<<20, 1), func(d *types.VirtualDisk) { d.Backing = &types.VirtualDiskSparseVer2BackingInfo{} }), &types.DeviceUnsupportedForVmPlatform{}},
		"smaller":                 {ref, diskEdit(b.read(ref), 1<<20)[0], &types.InvalidDeviceOperation{}},
		"larger, on a parent":     {layered, diskEdit(b.read(layered), 11<<30)[0], &types.InvalidDeviceOperation{}},
		"removal of what is not":  {ref, &types.VirtualDeviceConfigSpec{Operation: types.VirtualDeviceConfigSpecOperationRemove, Device: &types.VirtualDisk{VirtualDevice: types.VirtualDevice{Key: 2099}}}, &types.InvalidDeviceSpec{}},
		"controller that is used": {ref, &types.VirtualDeviceConfigSpec{Operation: types.VirtualDeviceConfigSpecOperationRemove, Device: &types.ParaVirtualSCSIController{VirtualSCSIController: types.VirtualSCSIController{SharedBus: "noSharing", VirtualController: types.VirtualController{VirtualDevice: types.VirtualDevice{Key: vhardware.KeySCSI}}}}}, &types.InvalidDeviceOperation{}},
	} {
		t.Run(name, func(t *testing.T) {
			// The disk before it is made, and is gone again when the second change fails.
			first := newDiskSpec("[LocalDS_0] "+b.read(c.vm).Name+"/first.vmdk", 1<<20, 9)
			before := b.read(c.vm).Config.ChangeVersion
			b.wantFault(b.taskFault(b.reconfigured(c.vm, types.VirtualMachineConfigSpec{
				DeviceChange: []types.BaseVirtualDeviceConfigSpec{first, c.spec},
			})), c.want)
			if dsfiles.Exists(b.local("store/first.vmdk")) || dsfiles.Exists(b.local("layered/first.vmdk")) || b.read(c.vm).Config.ChangeVersion != before {
				t.Error("a change that fails is not undone")
			}
		})
	}
}

// What others build on stays: by removal of the disk, and by destruction of its VM.
func TestLayersThatOthersBuildOnStay(t *testing.T) {
	b := start(t)
	mould := b.made("mould", map[string]any{"on": false})
	b.addLayer(mould)
	child := b.cloned(mould, "child", moveChildMost)
	base := newDiskSpec("[LocalDS_0] mould/mould.vmdk", 0, 5)
	base.FileOperation = ""
	thief := b.made("thief", map[string]any{"on": false})
	b.result(b.reconfigured(thief, types.VirtualMachineConfigSpec{DeviceChange: []types.BaseVirtualDeviceConfigSpec{base}}))
	stolen := vdisk.DisksOf(b.read(thief).Config.Hardware.Device)[1]
	b.wantFault(b.taskFault(b.reconfigured(thief, types.VirtualMachineConfigSpec{DeviceChange: []types.BaseVirtualDeviceConfigSpec{
		&types.VirtualDeviceConfigSpec{
			Operation: types.VirtualDeviceConfigSpecOperationRemove, Device: stolen,
			FileOperation: types.VirtualDeviceConfigSpecFileOperationDestroy,
		},
	}})), &types.FileLocked{})
	for _, name := range []string{"mould/mould.vmdk", "mould/mould-flat.vmdk", "mould"} {
		b.wantFault(b.taskFault(b.deleteFile("[LocalDS_0] "+name)), &types.FileLocked{})
	}
	b.wantFault(b.taskFault(b.deleteFile("[LocalDS_0] golden-parent")), &types.FileLocked{}) // it runs
	if !dsfiles.Exists(b.local("mould/mould-flat.vmdk")) {
		t.Error("the layer has gone")
	}
	destroy := func(ref types.ManagedObjectReference) {
		t.Helper()
		task, err := object.NewVirtualMachine(b.client, ref).Destroy(b.ctx)
		if err != nil {
			t.Fatal(err)
		}
		b.result(task)
	}
	destroy(mould)
	if !dsfiles.Exists(b.local("mould/mould-flat.vmdk")) || dsfiles.Exists(b.local("mould/mould-000001.vmdk")) {
		t.Error("the shared layer stays, and the other goes")
	}
	b.power("child", "on")
	b.ready(child)
}

// A disk that was detached and kept is no file of the VM any more.
func TestADiskThatWasDetachedOutlivesItsVM(t *testing.T) {
	b := start(t)
	owner := b.made("owner", map[string]any{"on": false})
	disk := vdisk.DisksOf(b.read(owner).Config.Hardware.Device)[0]
	b.result(b.reconfigured(owner, types.VirtualMachineConfigSpec{DeviceChange: []types.BaseVirtualDeviceConfigSpec{
		&types.VirtualDeviceConfigSpec{Operation: types.VirtualDeviceConfigSpecOperationRemove, Device: disk},
	}}))
	task, err := object.NewVirtualMachine(b.client, owner).Destroy(b.ctx)
	if err != nil {
		t.Fatal(err)
	}
	b.result(task)
	if !dsfiles.Exists(b.local("owner/owner.vmdk")) || !dsfiles.Exists(b.local("owner/owner-flat.vmdk")) || dsfiles.Exists(b.local("owner/owner.vmx")) {
		t.Error("the disk stays, and all else goes")
	}
}

func (b *bench) deleteFile(name string) *object.Task {
	b.Helper()
	dc := b.find("/DC0")
	res, err := methods.DeleteDatastoreFile_Task(b.ctx, b.client, &types.DeleteDatastoreFile_Task{
		This: *b.client.ServiceContent.FileManager, Name: name, Datacenter: &dc,
	})
	if err != nil {
		b.Fatal(err)
	}
	return object.NewTask(b.client, res.Returnval)
}

func TestTemplates(t *testing.T) {
	b := start(t)
	running := b.parent()
	b.wantFault(b.callFault(running.MarkAsTemplate(b.ctx)), &types.InvalidPowerState{})
	ref := b.made("mould", map[string]any{"on": false})
	vm := object.NewVirtualMachine(b.client, ref)
	pool := object.NewResourcePool(b.client, b.find("/DC0/host/DC0_C0/Resources/DC0_C0_RP1"))
	b.wantFault(b.callFault(vm.MarkAsVirtualMachine(b.ctx, *pool, nil)), &types.InvalidState{})
	if err := vm.MarkAsTemplate(b.ctx); err != nil {
		t.Fatal(err)
	}
	b.wantFault(b.callFault(vm.MarkAsTemplate(b.ctx)), &types.NotSupported{})
	if got := b.read(ref); !got.Config.Template || !got.Summary.Config.Template || got.ResourcePool != nil {
		t.Errorf("template %v, pool %v", got.Config.Template, got.ResourcePool)
	}
	var p mo.ResourcePool
	if err := pool.Properties(b.ctx, pool.Reference(), []string{"vm"}, &p); err != nil {
		t.Fatal(err)
	}
	for _, in := range p.Vm {
		if in == ref {
			t.Error("the pool still has the template")
		}
	}
	on, err := vm.PowerOn(b.ctx)
	if err != nil {
		t.Fatal(err)
	}
	b.wantFault(b.taskFault(on), &types.NotSupported{})
	for name, spec := range map[string]types.VirtualMachineConfigSpec{
		"CPUs":  {NumCPUs: 4},
		"pairs": {ExtraConfig: []types.BaseOptionValue{&types.OptionValue{Key: "a", Value: "b"}}},
		"layer": {DeviceChange: layerSpec(vdisk.DisksOf(b.read(ref).Config.Hardware.Device))},
	} {
		t.Run(name, func(*testing.T) { b.wantFault(b.taskFault(b.reconfigured(ref, spec)), &types.NotSupported{}) })
	}
	b.result(b.reconfigured(ref, types.VirtualMachineConfigSpec{Name: "mould-2", Annotation: "version 2"}))
	if got := b.read(ref); got.Name != "mould-2" || got.Config.Annotation != "version 2" || b.find("/DC0/vm/mould-2") != ref {
		t.Errorf("name %s, annotation %s", got.Name, got.Config.Annotation)
	}
	wrong := object.NewResourcePool(b.client, b.find("/DC0/host/DC0_C1/Resources"))
	b.wantFault(b.callFault(vm.MarkAsVirtualMachine(b.ctx, *wrong, nil)), &types.InvalidArgument{})
	if err := vm.MarkAsVirtualMachine(b.ctx, *pool, nil); err != nil {
		t.Fatal(err)
	}
	b.power("mould-2", "on")
	b.ready(ref)
}

func TestMarkAsTemplateLeavesNoFileBehind(t *testing.T) {
	b := start(t)
	ref := b.made("mould", map[string]any{"template": true})
	task, err := object.NewVirtualMachine(b.client, ref).Destroy(b.ctx)
	if err != nil {
		t.Fatal(err)
	}
	b.result(task)
	if _, err := os.Stat(b.local("mould")); !os.IsNotExist(err) {
		t.Error("a template that is destroyed leaves files")
	}
}
