// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package hardware

import (
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/controlhttp"
	"vforge.vsphere/simulator/internal/core"
	"vforge.vsphere/simulator/internal/dsfiles"
	"vforge.vsphere/simulator/internal/faults"
	"vforge.vsphere/simulator/internal/vdisk"
)

// untouched is the time of a device to which nobody has written.
var untouched = time.Unix(1, 0)

const nonpersistent = string(types.VirtualDiskModeIndependent_nonpersistent)

// borrowed are the disks of others that VMs have attached so that nothing is written to them.
type borrowed struct {
	mu sync.Mutex
	of map[types.ManagedObjectReference][]vdisk.LayerKey
}

// Note records what a VM has attached now.
func (b *borrowed) Note(vm types.ManagedObjectReference, devices []types.BaseVirtualDevice) {
	var keys []vdisk.LayerKey
	for _, disk := range vdisk.DisksOf(devices) {
		if top, ok := disk.Backing.(*vdisk.FlatBacking); ok && top.DiskMode == nonpersistent {
			keys = append(keys, vdisk.KeyOf(top))
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.of == nil {
		b.of = make(map[types.ManagedObjectReference][]vdisk.LayerKey)
	}
	b.of[vm] = keys
}

// Held tells if a VM other than this one has a layer attached.
func (b *borrowed) Held(vm types.ManagedObjectReference, key vdisk.LayerKey) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for ref, keys := range b.of {
		if ref != vm && slices.Contains(keys, key) {
			return true
		}
	}
	return false
}

// Attaching looks at the disks of other VMs that a change attaches: it refuses those that are locked,
// and describes the others with the layers that they rest on, which a host reads in their descriptors.
// Nobody holds a VM's lock.
func (s *Hardware) Attaching(vm *simulator.VirtualMachine, spec *types.VirtualMachineConfigSpec) types.BaseMethodFault {
	for i, change := range spec.DeviceChange {
		c := change.GetVirtualDeviceConfigSpec()
		disk, ok := c.Device.(*types.VirtualDisk)
		if !ok || c.Operation != types.VirtualDeviceConfigSpecOperationAdd || c.FileOperation != "" {
			continue
		}
		if want, ok := disk.Backing.(*vdisk.FlatBacking); ok {
			if fault := s.attachingDisk(vm, int32(i), want); fault != nil {
				return fault
			}
		}
	}
	return nil
}

func (s *Hardware) attachingDisk(vm *simulator.VirtualMachine, index int32, want *vdisk.FlatBacking) types.BaseMethodFault {
	name, _ := dsfiles.Split(want.FileName)
	ds, ok := s.DatastoreOf(vm, name)
	if !ok {
		return nil // what is wrong with it is found later
	}
	key := vdisk.LayerKey{Datastore: ds.Self.Value, File: want.FileName}
	for _, ref := range s.LayerUsers.UsersOf(key) {
		other := s.VM(ref)
		if other == nil || ref == vm.Self {
			continue
		}
		found, locked := s.borrowable(other, key, want.DiskMode)
		if locked {
			return faults.FileLocked(want.FileName)
		}
		if found == nil {
			continue
		}
		if l, err := s.DiskLayers.Layer(found, 0); err == nil {
			if err := l.MakeFiles(); err != nil {
				log.Printf("vforge-sim: making %s: %v", want.FileName, err)
			}
		}
		if want.Parent == nil && found.Parent != nil {
			store := ds.Self
			want.Parent, want.Uuid, want.Datastore = found.Parent, found.Uuid, &store
		}
	}
	if ds.Summary.Type == string(types.HostFileSystemVolumeFileSystemTypeVsan) && !s.liesOn(vm, ds.Summary.Type) {
		return &types.InvalidDeviceBacking{InvalidDeviceSpec: types.InvalidDeviceSpec{
			InvalidVmConfig: types.InvalidVmConfig{Property: "virtualDeviceSpec.device.backing"}, DeviceIndex: index,
		}}
	}
	return nil
}

// borrowable finds a layer among those of a VM and its snapshots, and tells if the VM's host has locked it
// against being attached in a mode: what is written to is locked, what is only read can be read by others.
func (s *Hardware) borrowable(vm *simulator.VirtualMachine, key vdisk.LayerKey, mode string) (found *vdisk.FlatBacking, locked bool) {
	s.Background("").WithLock(vm, func() {
		runs := vm.Runtime.PowerState == core.PoweredOn
		devices := slices.Clone(vm.Config.Hardware.Device)
		for _, disk := range vdisk.DisksOf(devices) {
			for i, b := range vdisk.DiskChain(disk) {
				if vdisk.KeyOf(b) != key {
					continue
				}
				written := i == 0 && b.DiskMode != nonpersistent
				locked = locked || runs && (written || mode != nonpersistent)
			}
		}
		for _, snapshot := range s.SnapshotsOf(vm) {
			devices = append(devices, snapshot.Config.Hardware.Device...)
		}
		for _, disk := range vdisk.DisksOf(devices) {
			for _, b := range vdisk.DiskChain(disk) {
				if vdisk.KeyOf(b) == key && found == nil {
					found = b
				}
			}
		}
	})
	return found, locked
}

// liesOn tells if all datastores of a VM are of a kind.
func (s *Hardware) liesOn(vm *simulator.VirtualMachine, kind string) bool {
	for _, ref := range vm.Datastore {
		if ds, ok := s.Reg.Get(ref).(*simulator.Datastore); !ok || ds.Summary.Type != kind {
			return false
		}
	}
	return true
}

// hotPlug refuses a disk on a controller that takes none while the VM runs, and a place that a controller
// does not have. The disk has its place already.
func (h *Change) hotPlug(index int32, disk *types.VirtualDisk) types.BaseMethodFault {
	at := h.Find(disk.ControllerKey)
	if at < 0 || h.Fresh {
		return nil
	}
	switch c := h.Devices[at].(type) {
	case *types.VirtualIDEController:
		if h.On {
			return &types.DeviceHotPlugNotSupported{InvalidDeviceSpec: types.InvalidDeviceSpec{DeviceIndex: index}}
		}
	case types.BaseVirtualSCSIController:
		if *disk.UnitNumber > int32(Slots(c.(types.BaseVirtualController))) || *disk.UnitNumber == c.GetVirtualSCSIController().ScsiCtlrUnitNumber {
			return InvalidDevice(index, "virtualDeviceSpec.device.unitNumber")
		}
	}
	return nil
}

// KeepWritten has the disks that leave a VM keep what its guest has written to their devices. The VM still
// has them.
func (s *Hardware) KeepWritten(vm *simulator.VirtualMachine, now []types.BaseVirtualDevice) {
	folder := s.DeviceFolders.Get(vm.Self)
	if folder == "" {
		return
	}
	stay := make(map[string]bool)
	for _, disk := range vdisk.DisksOf(now) {
		if top, ok := disk.Backing.(*vdisk.FlatBacking); ok {
			stay[top.FileName] = true
		}
	}
	for name, disk := range deviceNames(vm) {
		top := disk.Backing.(*vdisk.FlatBacking)
		if stay[top.FileName] || top.DiskMode == nonpersistent {
			continue
		}
		if err := s.takeBack(filepath.Join(folder, name), top, disk.CapacityInBytes); err != nil {
			log.Printf("vforge-sim: what the guest of %s has written to %s: %v", vm.Name, top.FileName, err)
		}
	}
}

// takeBack makes what a device has the content of its disk, where anybody has written to it.
func (s *Hardware) takeBack(path string, top *vdisk.FlatBacking, capacity int64) error {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil // it did not show yet
	}
	if err != nil {
		return err
	}
	info, err := f.Stat()
	switch {
	case err != nil || info.ModTime().Equal(untouched):
	case top.Parent != nil:
		err = errors.New("it is a delta, whose devices are only read here")
	default:
		err = s.DiskLayers.Fill(top, capacity, true, func(put func(p []byte, off int64) error) error {
			return eachData(f, capacity, put)
		})
	}
	return errors.Join(err, f.Close())
}

// eachData reads what a file has that is no hole (lseek(2)).
func eachData(f *os.File, capacity int64, put func(p []byte, off int64) error) error {
	const seekData, seekHole = 3, 4
	buf := make([]byte, 1<<20)
	for end := int64(0); ; {
		at, err := f.Seek(end, seekData)
		if errors.Is(err, syscall.ENXIO) || at >= capacity {
			return nil // there is none any more
		}
		if err == nil {
			end, err = f.Seek(at, seekHole)
		}
		for ; at < end && err == nil; at += int64(len(buf)) {
			p := buf[:min(int64(len(buf)), end-at)]
			if _, err = f.ReadAt(p, at); err == nil {
				err = put(p, at)
			}
		}
		if err != nil {
			return err
		}
	}
}

// ShowDevices has the guest of a VM see its disks in the folder that was named for it: those that are
// gone at once, those that came after a moment, as udev takes one.
func (s *Hardware) ShowDevices(vm *simulator.VirtualMachine) {
	folder := s.DeviceFolders.Get(vm.Self)
	if folder == "" {
		return
	}
	names := deviceNames(vm)
	entries, err := os.ReadDir(folder)
	if err != nil {
		log.Printf("vforge-sim: devices of %s: %v", vm.Name, err)
	}
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), deviceName("")) && names[entry.Name()] == nil {
			if err := os.Remove(filepath.Join(folder, entry.Name())); err != nil {
				log.Printf("vforge-sim: devices of %s: %v", vm.Name, err)
			}
		}
	}
	ref := vm.Self
	s.Guests.After(s.Cfg.GuestTime, func() { s.makeDevices(ref) })
}

// deviceName is what udev calls a disk by the identifier that it reports.
func deviceName(uuid string) string {
	return "wwn-0x" + strings.ToLower(strings.ReplaceAll(uuid, "-", ""))
}

// seesUUIDs is whether disks report who they are. Tools write the key each in their own way, and VMs do not mind.
func seesUUIDs(config *types.VirtualMachineConfigInfo) bool {
	for _, pair := range config.ExtraConfig {
		option := pair.GetOptionValue()
		if value, ok := option.Value.(string); ok && strings.EqualFold(option.Key, "disk.EnableUUID") {
			return strings.EqualFold(value, "true")
		}
	}
	return false
}

// deviceNames are the SCSI disks that the guest can tell apart: none where they do not report who they are.
func deviceNames(vm *simulator.VirtualMachine) map[string]*types.VirtualDisk {
	out := make(map[string]*types.VirtualDisk)
	if !seesUUIDs(vm.Config) {
		return out
	}
	for _, disk := range vdisk.DisksOf(vm.Config.Hardware.Device) {
		top, ok := disk.Backing.(*vdisk.FlatBacking)
		if ok && top.Uuid != "" && isSCSI(vm.Config.Hardware.Device, disk.ControllerKey) {
			out[deviceName(top.Uuid)] = disk
		}
	}
	return out
}

func isSCSI(devices []types.BaseVirtualDevice, key int32) bool {
	for _, d := range devices {
		if _, ok := d.(types.BaseVirtualSCSIController); ok && d.GetVirtualDevice().Key == key {
			return true
		}
	}
	return false
}

// makeDevices makes the files of the disks that have none yet.
func (s *Hardware) makeDevices(ref types.ManagedObjectReference) {
	vm := s.VM(ref)
	if vm == nil {
		return
	}
	s.Background("").WithLock(vm, func() {
		folder := s.DeviceFolders.Get(ref)
		if folder == "" {
			return // it was taken away meanwhile
		}
		for name, disk := range deviceNames(vm) {
			path := filepath.Join(folder, name)
			if dsfiles.Exists(path) {
				continue
			}
			image, err := s.DiskLayers.Image(disk.Backing.(*vdisk.FlatBacking), disk.CapacityInBytes)
			if err == nil {
				err = writeDevice(path, image)
			}
			if err != nil {
				log.Printf("vforge-sim: %s: %v", path, err)
			}
		}
	})
}

// writeDevice makes a file with what a disk shows; it has its name when it is whole.
func writeDevice(path string, image *vdisk.Image) error {
	draft := path + ".part"
	f, err := os.Create(draft)
	if err != nil {
		return err
	}
	err = f.Truncate(image.Capacity)
	buf := make([]byte, 1<<20)
	for _, span := range image.Allocated() {
		for at := span.Start; at < min(span.End, image.Capacity) && err == nil; at += int64(len(buf)) {
			p := buf[:min(int64(len(buf)), span.End-at, image.Capacity-at)]
			if _, err = image.ReadAt(p, at); err == nil {
				_, err = f.WriteAt(p, at)
			}
		}
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Chtimes(draft, untouched, untouched)
	}
	if err != nil {
		return errors.Join(err, os.Remove(draft))
	}
	return os.Rename(draft, path)
}

// CheckDevices refuses a folder that is none.
func CheckDevices(folder string) error {
	info, err := os.Stat(folder)
	if folder != "" && (err != nil || !info.IsDir()) {
		return controlhttp.BadRequest(fmt.Errorf(`"devices" is %s, which is no folder of this machine`, folder))
	}
	return nil
}

// Stuck are the layers of a VM that were to be merged and cannot be, as another VM has them attached.
func (s *Hardware) Stuck(vm types.ManagedObjectReference, layers []*vdisk.FlatBacking) (file string) {
	for _, b := range layers {
		if s.Borrowed.Held(vm, vdisk.KeyOf(b)) {
			return b.FileName
		}
	}
	return ""
}
