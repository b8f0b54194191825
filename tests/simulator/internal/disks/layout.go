// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package disks

import (
	"fmt"
	"os"
	"path"
	"strings"
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/dsfiles"
	"vforge.vsphere/simulator/internal/vdisk"
)

// layoutBuilder collects the files of one VM.
type layoutBuilder struct {
	size  func(name string, otherwise int64) int64
	files []types.VirtualMachineFileLayoutExFileInfo
	keys  map[string]int32
}

// add lists a file, with the size that it has or, where there is no such file, the
// one given.
func (b *layoutBuilder) add(name string, kind types.VirtualMachineFileLayoutExFileType, otherwise int64) int32 {
	if key, ok := b.keys[name]; ok {
		return key
	}
	return b.addSized(name, kind, b.size(name, otherwise))
}

// addSized lists a file of a known size.
func (b *layoutBuilder) addSized(name string, kind types.VirtualMachineFileLayoutExFileType, size int64) int32 {
	if key, ok := b.keys[name]; ok {
		return key
	}
	key := int32(len(b.files))
	b.keys[name] = key
	b.files = append(b.files, types.VirtualMachineFileLayoutExFileInfo{
		Key: key, Name: name, Type: string(kind), Size: size, UniqueSize: size, Accessible: types.NewBool(true),
	})
	return key
}

// Layout computes layout, layoutEx and the storage figures of a VM from its
// configuration file and its disks' chains. A chain is listed base first.
func (s *Disks) Layout(vm *simulator.VirtualMachine) (*types.VirtualMachineFileLayout, *types.VirtualMachineFileLayoutEx) {
	b := &layoutBuilder{size: func(name string, otherwise int64) int64 { return s.fileSize(vm, name, otherwise) }, keys: make(map[string]int32)}
	vmx := vm.Config.Files.VmPathName
	dir := path.Dir(vmx)
	base := strings.TrimSuffix(vmx, ".vmx")
	b.add(vmx, types.VirtualMachineFileLayoutExFileTypeConfig, 0)
	b.add(base+".nvram", types.VirtualMachineFileLayoutExFileTypeNvram, 0)
	b.add(dir+"/vmware.log", types.VirtualMachineFileLayoutExFileTypeLog, 0)

	ex := &types.VirtualMachineFileLayoutEx{Timestamp: time.Now()}
	flat := &types.VirtualMachineFileLayout{
		ConfigFile: []string{path.Base(base) + ".nvram"},
		LogFile:    []string{"vmware.log"},
	}
	ex.Disk, flat.Disk = s.diskLayout(b, vm.Config.Hardware.Device)
	s.snapshotLayout(vm, b, flat, ex)
	ex.File = b.files
	return flat, ex
}

// diskLayout lists the files of the disks among devices.
func (s *Disks) diskLayout(b *layoutBuilder, devices []types.BaseVirtualDevice) (ex []types.VirtualMachineFileLayoutExDiskLayout, flat []types.VirtualMachineFileLayoutDiskLayout) {
	for _, disk := range vdisk.DisksOf(devices) {
		exDisk := types.VirtualMachineFileLayoutExDiskLayout{Key: disk.Key}
		flatDisk := types.VirtualMachineFileLayoutDiskLayout{Key: disk.Key}
		chain := vdisk.DiskChain(disk)
		for i := len(chain) - 1; i >= 0; i-- {
			unit, size := chain[i], disk.CapacityInBytes
			if l, err := s.DiskLayers.Layer(unit, size); err == nil {
				size = l.Size()
			}
			exDisk.Chain = append(exDisk.Chain, types.VirtualMachineFileLayoutExDiskUnit{FileKey: []int32{
				b.add(unit.FileName, types.VirtualMachineFileLayoutExFileTypeDiskDescriptor, 0),
				b.addSized(dsfiles.Extent(unit.FileName, unit.Parent != nil), types.VirtualMachineFileLayoutExFileTypeDiskExtent, size),
			}})
			flatDisk.DiskFile = append(flatDisk.DiskFile, unit.FileName)
		}
		ex, flat = append(ex, exDisk), append(flat, flatDisk)
	}
	return ex, flat
}

// snapshotLayout lists the files of a VM's snapshots, with the disks as they were.
func (s *Disks) snapshotLayout(vm *simulator.VirtualMachine, b *layoutBuilder, flat *types.VirtualMachineFileLayout, ex *types.VirtualMachineFileLayoutEx) {
	for _, snapshot := range s.SnapshotsOf(vm) {
		files := s.SnapshotFiles.Get(snapshot.Self)
		of := types.VirtualMachineFileLayoutExSnapshotLayout{
			Key: snapshot.Self, DataKey: b.add(files.Data, types.VirtualMachineFileLayoutExFileTypeSnapshotData, 0), MemoryKey: -1,
		}
		names := []string{files.Data}
		if files.Memory != "" {
			of.MemoryKey = b.add(files.Memory, types.VirtualMachineFileLayoutExFileTypeSnapshotMemory, 0)
			names = append(names, files.Memory)
		}
		of.Disk, _ = s.diskLayout(b, snapshot.Config.Hardware.Device)
		ex.Snapshot = append(ex.Snapshot, of)
		flat.Snapshot = append(flat.Snapshot, types.VirtualMachineFileLayoutSnapshotLayout{Key: snapshot.Self, SnapshotFile: names})
	}
}

// fileSize is the size of a file of vm, or otherwise for one that is only listed.
func (s *Disks) fileSize(vm *simulator.VirtualMachine, name string, otherwise int64) int64 {
	dsName, p := dsfiles.Split(name)
	ds, ok := s.DatastoreOf(vm, dsName)
	if !ok {
		return otherwise
	}
	info, err := os.Stat(dsfiles.Local(ds, p))
	if err != nil {
		return otherwise
	}
	return info.Size()
}

// storage sums the sizes of a VM's files by datastore.
func (s *Disks) storage(vm *simulator.VirtualMachine, ex *types.VirtualMachineFileLayoutEx) *types.VirtualMachineStorageInfo {
	info := &types.VirtualMachineStorageInfo{Timestamp: time.Now()}
	index := make(map[types.ManagedObjectReference]int)
	own := path.Dir(vm.Config.Files.VmPathName) + "/"
	for _, f := range ex.File {
		name, _ := dsfiles.Split(f.Name)
		ds, ok := s.DatastoreOf(vm, name)
		if !ok {
			continue
		}
		i, seen := index[ds.Self]
		if !seen {
			i = len(info.PerDatastoreUsage)
			index[ds.Self] = i
			info.PerDatastoreUsage = append(info.PerDatastoreUsage, types.VirtualMachineUsageOnDatastore{Datastore: ds.Self})
		}
		info.PerDatastoreUsage[i].Committed += f.Size
		if strings.HasPrefix(f.Name, own) {
			info.PerDatastoreUsage[i].Unshared += f.Size
		}
	}
	return info
}

// WriteVMFiles makes the small files of a VM: configuration, NVRAM and log.
func WriteVMFiles(ds *simulator.Datastore, vmx string) error {
	base := vmx[:len(vmx)-len(path.Ext(vmx))]
	files := []struct{ name, text string }{
		{vmx, ".encoding = \"UTF-8\"\n"},
		{base + ".nvram", ""},
		{path.Join(path.Dir(vmx), "vmware.log"), fmt.Sprintf("%s vmx created\n", time.Now().UTC().Format(time.RFC3339))},
	}
	for _, f := range files {
		if err := os.WriteFile(dsfiles.Local(ds, f.name), []byte(f.text), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// RefreshFiles recomputes what the API says of a VM's files. The caller holds the
// VM's lock, or nobody else knows the VM yet.
func (s *Disks) RefreshFiles(vm *simulator.VirtualMachine) {
	if s.FilesStale.Get(vm.Self) {
		return
	}
	vm.Layout, vm.LayoutEx = s.Layout(vm)
	vm.Storage = s.storage(vm, vm.LayoutEx)
	sum := &types.VirtualMachineStorageSummary{Timestamp: vm.Storage.Timestamp}
	for _, u := range vm.Storage.PerDatastoreUsage {
		sum.Committed += u.Committed
		sum.Uncommitted += u.Uncommitted
		sum.Unshared += u.Unshared
	}
	vm.Summary.Storage = sum
}
