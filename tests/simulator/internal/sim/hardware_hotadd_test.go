// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package sim

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/dsfiles"
	"vforge.vsphere/simulator/internal/settings"
	"vforge.vsphere/simulator/internal/vdisk"
	"vforge.vsphere/simulator/internal/vhardware"
)

// borrowedDisk attaches a disk that exists.
func borrowedDisk(file, mode string, controller, unit int32) types.VirtualMachineConfigSpec {
	disk := &types.VirtualDisk{}
	disk.Key, disk.ControllerKey, disk.UnitNumber = -1, controller, &unit
	disk.Backing = &vdisk.FlatBacking{VirtualDeviceFileBackingInfo: types.VirtualDeviceFileBackingInfo{FileName: file}, DiskMode: mode}
	return types.VirtualMachineConfigSpec{
		DeviceChange: []types.BaseVirtualDeviceConfigSpec{
			&types.VirtualDeviceConfigSpec{Operation: types.VirtualDeviceConfigSpecOperationAdd, Device: disk},
		},
		ExtraConfig: []types.BaseOptionValue{&types.OptionValue{Key: "disk.EnableUUID", Value: "TRUE"}},
	}
}

// partOf reads some bytes of a file.
func partOf(t *testing.T, path string, offset int64, length int) []byte {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	part := make([]byte, length)
	if _, err := file.ReadAt(part, offset); err != nil {
		t.Fatal(err)
	}
	return part
}

// The disk of a running VM can be read by another VM once a snapshot has put a layer on it, shows in
// its guest, and keeps the snapshot from being merged.
func TestADiskOfASnapshotIsAttachedToAnotherVM(t *testing.T) {
	b := start(t)
	d := b.disks("/DC0/vm/golden-parent")
	source, proxy := d.vm.Self, b.made("proxy", map[string]any{"on": true})
	folder := t.TempDir()
	b.patch("proxy", map[string]any{"devices": folder})
	b.guestWrites("golden-parent", map[string]any{"offset": 4096, "length": 512, "seed": 1})
	top, _ := topOf(b.sim.VM(source))
	file := top.FileName
	attach := func(mode string, controller, unit int32) types.AnyType {
		return b.taskFault(b.reconfigured(proxy, borrowedDisk(file, mode, controller, unit)))
	}
	b.wantFault(attach(independentNonpersistent, vhardware.KeySCSI, 3), &types.FileLocked{})

	snapshot := b.snapshot(source, "kept")
	b.wantFault(attach("persistent", vhardware.KeySCSI, 3), &types.FileLocked{})
	b.wantFault(attach(independentNonpersistent, 200, 1), &types.DeviceHotPlugNotSupported{})
	b.wantFault(attach(independentNonpersistent, vhardware.KeySCSI, 7), &types.InvalidDeviceSpec{})
	b.wantFault(attach(independentNonpersistent, vhardware.KeySCSI, 16), &types.InvalidDeviceSpec{})
	b.result(b.reconfigured(proxy, borrowedDisk(file, independentNonpersistent, vhardware.KeySCSI, 3)))
	device := filepath.Join(folder, deviceFile(top.Uuid))
	for until := time.Now().Add(deadline); !dsfiles.Exists(device) && time.Now().Before(until); {
		time.Sleep(time.Millisecond)
	}
	seen := partOf(t, device, 4096, 512) // it has 10 GiB
	want := b.diskBytes("golden-parent", "offset=4096&length=512&snapshot="+snapshot.Value)
	if !bytes.Equal(seen, want) || bytes.Count(want, []byte{0}) == len(want) {
		t.Error("the device has other bytes than the snapshot")
	}

	task, err := d.vc.RemoveSnapshot(b.ctx, snapshot.Value, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	b.wantFault(b.taskFault(task), &types.FileLocked{})
	if vm := b.read(source); !vm.Runtime.ConsolidationNeeded || vm.Snapshot != nil {
		t.Error("consolidation is not needed, or the snapshot is still there")
	}
	disks := vdisk.DisksOf(b.read(proxy).Config.Hardware.Device)
	b.result(b.reconfigured(proxy, types.VirtualMachineConfigSpec{DeviceChange: []types.BaseVirtualDeviceConfigSpec{
		&types.VirtualDeviceConfigSpec{Operation: types.VirtualDeviceConfigSpecOperationRemove, Device: disks[len(disks)-1]},
	}}))
	if dsfiles.Exists(device) {
		t.Error("the device is still there")
	}
}

// What a guest writes to the device of a disk that is its own is in the disk when it is detached, and
// what it writes to one that is nonpersistent is not.
func TestADiskKeepsWhatWasWrittenToItsDevice(t *testing.T) {
	b := start(t)
	proxy, folder := b.made("proxy", map[string]any{"on": true}), t.TempDir()
	b.patch("proxy", map[string]any{"devices": folder})
	spec := borrowedDisk("[LocalDS_0] proxy/made.vmdk", "independent_persistent", vhardware.KeySCSI, 3)
	made := spec.DeviceChange[0].GetVirtualDeviceConfigSpec()
	made.FileOperation = types.VirtualDeviceConfigSpecFileOperationCreate
	made.Device.(*types.VirtualDisk).CapacityInBytes = 1 << 20

	written := []byte("what the guest has written")
	through := func(spec types.VirtualMachineConfigSpec, put []byte) []byte {
		b.result(b.reconfigured(proxy, spec))
		disks := vdisk.DisksOf(b.read(proxy).Config.Hardware.Device)
		disk := disks[len(disks)-1]
		device := filepath.Join(folder, deviceFile(disk.Backing.(*vdisk.FlatBacking).Uuid))
		for until := time.Now().Add(deadline); !dsfiles.Exists(device) && time.Now().Before(until); {
			time.Sleep(time.Millisecond)
		}
		seen := partOf(t, device, 8192, len(written))
		if put != nil {
			file, err := os.OpenFile(device, os.O_WRONLY, 0)
			if err == nil {
				_, err = file.WriteAt(put, 8192)
			}
			if err != nil {
				t.Fatal(err)
			}
			_ = file.Close()
		}
		b.result(b.reconfigured(proxy, types.VirtualMachineConfigSpec{DeviceChange: []types.BaseVirtualDeviceConfigSpec{
			&types.VirtualDeviceConfigSpec{Operation: types.VirtualDeviceConfigSpecOperationRemove, Device: disk},
		}}))
		if dsfiles.Exists(device) {
			t.Error("the device is still there")
		}
		return seen
	}
	again := func(mode string) types.VirtualMachineConfigSpec {
		return borrowedDisk("[LocalDS_0] proxy/made.vmdk", mode, vhardware.KeySCSI, 3)
	}
	if seen := through(spec, written); bytes.Count(seen, []byte{0}) != len(seen) {
		t.Error("a new disk is not empty")
	}
	if seen := through(again(independentNonpersistent), []byte("what is of no account to it")[:len(written)]); !bytes.Equal(seen, written) {
		t.Errorf("it has %q", seen)
	}
	if seen := through(again("independent_persistent"), nil); !bytes.Equal(seen, written) {
		t.Errorf("it has %q", seen)
	}
}

const independentNonpersistent = string(types.VirtualDiskModeIndependent_nonpersistent)

// deviceFile is what udev calls a disk.
func deviceFile(uuid string) string {
	return "wwn-0x" + strings.ToLower(strings.ReplaceAll(uuid, "-", ""))
}

// A folder that is taken away before a guest has shown its disks in it leaves them nowhere to show.
func TestDevicesShowNowhereOnceTheirFolderIsTakenAway(t *testing.T) {
	b := start(t, func(c *settings.Config) { c.GuestTime = 300 * time.Millisecond })
	proxy := b.made("proxy", map[string]any{"on": true})
	spec := borrowedDisk("[LocalDS_0] proxy/made.vmdk", "independent_persistent", vhardware.KeySCSI, 3)
	made := spec.DeviceChange[0].GetVirtualDeviceConfigSpec()
	made.FileOperation = types.VirtualDeviceConfigSpecFileOperationCreate
	made.Device.(*types.VirtualDisk).CapacityInBytes = 1 << 20
	b.result(b.reconfigured(proxy, spec))
	b.patch("proxy", map[string]any{"devices": t.TempDir()})
	b.patch("proxy", map[string]any{"devices": ""})
	time.Sleep(2 * b.sim.Cfg.GuestTime)
	if found, err := filepath.Glob(deviceFile("*")); err != nil || len(found) > 0 {
		t.Errorf("in the folder of this process: %v, %v", found, err)
	}
}
