// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package sim

import (
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/dsfiles"
	"vforge.vsphere/simulator/internal/settings"
	"vforge.vsphere/simulator/internal/vdisk"
)

// withDisk is a VM of this name around a disk that is there, its files in the directory of the disk.
func withDisk(name, disk string) types.VirtualMachineConfigSpec {
	add := func(d types.BaseVirtualDevice) types.BaseVirtualDeviceConfigSpec {
		return &types.VirtualDeviceConfigSpec{Operation: types.VirtualDeviceConfigSpecOperationAdd, Device: d}
	}
	scsi := &types.ParaVirtualSCSIController{}
	scsi.Key, scsi.SharedBus = -101, types.VirtualSCSISharingNoSharing
	unit := int32(0)
	drive := &types.VirtualDisk{VirtualDevice: types.VirtualDevice{
		Key: -201, ControllerKey: -101, UnitNumber: &unit,
		Backing: &vdisk.FlatBacking{VirtualDeviceFileBackingInfo: types.VirtualDeviceFileBackingInfo{FileName: disk}, DiskMode: "persistent"},
	}}
	return types.VirtualMachineConfigSpec{
		Name: name, NumCPUs: 1, MemoryMB: 64, GuestId: "otherGuest64",
		Files:        &types.VirtualMachineFileInfo{VmPathName: "[LocalDS_0] loose/vm.vmx"},
		DeviceChange: []types.BaseVirtualDeviceConfigSpec{add(scsi), add(drive)},
	}
}

const looseDisk = "[LocalDS_0] loose/disk.vmdk"

// looseDisk makes the disk, which no VM has.
func (b *bench) looseDisk() {
	b.Helper()
	ref := b.find("/DC0/datastore/LocalDS_0")
	ds := b.sim.Datastores.DatastoreIn(nil, "[LocalDS_0] x")
	if ds == nil || ds.Self != ref {
		b.Fatal("no LocalDS_0")
	}
	if err := dsfiles.WriteDisk(ds, "loose/disk.vmdk", dsfiles.Layer{Capacity: 1 << 20}); err != nil {
		b.Fatal(err)
	}
}

func (b *bench) create(spec types.VirtualMachineConfigSpec) *object.Task {
	b.Helper()
	pool := object.NewResourcePool(b.client, b.find("/DC0/host/DC0_C0/Resources"))
	task, err := object.NewFolder(b.client, b.find("/DC0/vm")).CreateVM(b.ctx, spec, pool, nil)
	if err != nil {
		b.Fatal(err)
	}
	return task
}

// failure waits for a task to fail and returns what it says.
func (b *bench) failure(task *object.Task) string {
	b.Helper()
	b.taskFault(task)
	return b.info(task).Error.LocalizedMessage
}

// allFiles lists all that lies on datastores.
func (b *bench) allFiles() (found []string) {
	b.Helper()
	root := filepath.Join(b.sim.Cfg.StateDir, "datastores")
	err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		found = append(found, path)
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	return found
}

func TestCreateWithAnEscapedNameAndADisk(t *testing.T) {
	for given, kept := range map[string]string{"a/b": "a%2fb", "c%2fd": "c%2fd", "e%f": "e%25f", `g\h`: "g%5ch"} {
		t.Run(kept, func(t *testing.T) {
			b := start(t)
			b.looseDisk()
			vm := b.read(b.result(b.create(withDisk(given, looseDisk))))
			if vm.Name != kept || vm.Config.Name != kept || len(vdisk.DisksOf(vm.Config.Hardware.Device)) != 1 {
				t.Errorf("%s, %s, %+v", vm.Name, vm.Config.Name, vm.Config.Hardware.Device)
			}
			b.find("/DC0/vm/" + kept)
			b.wantFault(b.taskFault(b.create(withDisk(kept, looseDisk))), &types.DuplicateName{})
			spec := withDisk(given+"2", looseDisk)
			spec.DeviceChange, spec.Files.VmPathName = nil, "[LocalDS_0]"
			other := b.read(b.result(b.create(spec)))
			if !strings.HasPrefix(other.Config.Files.VmPathName, "[LocalDS_0] "+kept+"2/") {
				t.Errorf("it lies at %s", other.Config.Files.VmPathName)
			}
		})
	}
}

func TestEachDeviceOfANewVMIsThereOnceAndHasALabel(t *testing.T) {
	b := start(t)
	b.looseDisk()
	spec := withDisk("n", looseDisk)
	ide, drive, unit := &types.VirtualIDEController{}, &types.VirtualCdrom{}, int32(0)
	ide.Key, drive.Key, drive.ControllerKey, drive.UnitNumber = -150, -160, -150, &unit
	for _, d := range []types.BaseVirtualDevice{ide, drive} {
		spec.DeviceChange = append(spec.DeviceChange, &types.VirtualDeviceConfigSpec{Operation: "add", Device: d})
	}
	seen := make(map[int32]bool)
	for _, d := range b.read(b.result(b.create(spec))).Config.Hardware.Device {
		v := d.GetVirtualDevice()
		if seen[v.Key] || v.DeviceInfo == nil || v.DeviceInfo.GetDescription().Label == "" {
			t.Errorf("%T %+v", d, v)
		}
		seen[v.Key] = true
	}
}

func TestWhatACreateNeeds(t *testing.T) {
	b := start(t)
	nameless, nowhere, elsewhere := withDisk("", looseDisk), withDisk("n", looseDisk), withDisk("n", looseDisk)
	nowhere.Files.VmPathName, elsewhere.Files.VmPathName = "", "[LocalDS_9] n/n.vmx"
	b.wantFault(b.taskFault(b.create(nameless)), &types.InvalidVmConfig{Property: "configSpec.name"})
	b.wantFault(b.taskFault(b.create(nowhere)), &types.InvalidVmConfig{Property: "configSpec.files.vmPathName"})
	b.wantFault(b.taskFault(b.create(elsewhere)), &types.InvalidDatastorePath{})
	b.wantFault(b.taskFault(b.create(withDisk(strings.Repeat("n", 81), looseDisk))), &types.InvalidName{})
	b.wantFault(b.taskFault(b.create(withDisk("n", looseDisk))), &types.FileNotFound{})
}

func TestACreateThatFailsLeavesNothing(t *testing.T) {
	b := start(t)
	b.looseDisk()
	before := b.allFiles()
	second := withDisk("n/m", looseDisk)
	second.DeviceChange = append(second.DeviceChange, second.DeviceChange[1])
	alone := withDisk("n", looseDisk)
	alone.DeviceChange = alone.DeviceChange[1:]
	for what, spec := range map[string]types.VirtualMachineConfigSpec{
		"a disk that is not there": withDisk("n/m", "[LocalDS_0] loose/none.vmdk"),
		"two disks at one place":   second,
		"no controller":            alone,
	} {
		if text := b.failure(b.create(spec)); strings.Contains(text, "types.") || strings.Contains(text, b.sim.Cfg.StateDir) {
			t.Errorf("%s: %s", what, text)
		}
		if after := b.allFiles(); !slices.Equal(before, after) {
			t.Errorf("%s left %v", what, after)
		}
	}
	b.result(b.create(withDisk("n/m", looseDisk)))
	taken := withDisk("another", looseDisk)
	taken.DeviceChange = nil
	if text := b.failure(b.create(taken)); text != "A file named [LocalDS_0] loose/vm.vmx already exists." {
		t.Error(text)
	}
}

func TestHardwareThatAHostHasNot(t *testing.T) {
	b := start(t, func(c *settings.Config) { c.APIVersion = "7.0.2.0" })
	b.looseDisk()
	for _, version := range []string{"19", "vmx-99", "vmx-20", "vmx-1", "vmx-", "vmx-019x"} {
		spec := withDisk("n", looseDisk)
		spec.Version = version
		b.wantFault(b.taskFault(b.create(spec)), &types.VirtualHardwareVersionNotSupported{})
	}
	spec := withDisk("n", looseDisk)
	if vm := b.read(b.result(b.create(spec))); vm.Config.Version != "vmx-19" {
		t.Errorf("by default %s", vm.Config.Version)
	}
}

func TestTasksOfVcsimFailInVCentersWords(t *testing.T) {
	b := start(t)
	spec := withDisk("left to vcsim", looseDisk)
	spec.LocationId, spec.DeviceChange = "x", nil // only vcsim knows it
	b.result(b.create(spec))
	spec.Name = "another"
	if text := b.failure(b.create(spec)); text != "A file named [LocalDS_0] loose/vm.vmx already exists." {
		t.Error(text)
	}
}
