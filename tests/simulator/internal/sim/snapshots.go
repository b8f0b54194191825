// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package sim

import (
	"log"
	"path"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// RemoveAllSnapshotsTask removes the snapshots of a VM and consolidates its disks, which
// collapses the levels that instant clones have left outside the snapshot tree as
// well (reported from the field). A VM without snapshots is not consolidated.
func (sh *vmShim) RemoveAllSnapshotsTask(ctx *simulator.Context, req *types.RemoveAllSnapshots_Task) soap.HasFault {
	s := sh.s
	task := sh.vmTask(ctx, req.This, "removeAllSnapshots", func(ctx *simulator.Context, vm *simulator.VirtualMachine) types.BaseMethodFault {
		if vm.Snapshot == nil {
			return nil
		}
		refs := snapshotsIn(vm.Snapshot.RootSnapshotList)
		ctx.Update(vm, []types.PropertyChange{{Name: "snapshot", Val: nil}, {Name: "rootSnapshot", Val: nil}})
		for _, ref := range refs {
			s.reg.Remove(ctx, ref)
		}
		s.consolidate(ctx, vm)
		return nil
	})
	return &methods.RemoveAllSnapshots_TaskBody{Res: &types.RemoveAllSnapshots_TaskResponse{Returnval: task}}
}

// snapshotsIn lists the snapshots of a tree, all branches of it.
func snapshotsIn(tree []types.VirtualMachineSnapshotTree) []types.ManagedObjectReference {
	var refs []types.ManagedObjectReference
	for _, node := range tree {
		refs = append(refs, node.Snapshot)
		refs = append(refs, snapshotsIn(node.ChildSnapshotList)...)
	}
	return refs
}

// consolidate writes the levels of a VM's disks that lie in its own folder into the
// lowest one there; a linked clone keeps the one that rests on another VM's disk. The
// files of a level go, unless a clone builds on them. The caller holds the VM's lock.
func (s *Sim) consolidate(ctx *simulator.Context, vm *simulator.VirtualMachine) {
	devices := make([]types.BaseVirtualDevice, 0, len(vm.Config.Hardware.Device))
	var gone []*types.VirtualDiskFlatVer2BackingInfo
	for _, d := range vm.Config.Hardware.Device {
		if disk, ok := d.(*types.VirtualDisk); ok {
			if own := ownLevels(vm, disk); len(own) > 1 {
				merged := *disk
				merged.Backing = own[len(own)-1]
				gone = append(gone, own[:len(own)-1]...)
				d = &merged
			}
		}
		devices = append(devices, d)
	}
	if len(gone) == 0 {
		return
	}
	shared := s.layers.release(vm.Self)
	s.setDevices(ctx, vm, devices)
	s.layers.add(vm.Self, devices)
	for _, level := range gone {
		if !shared[level.FileName] {
			s.removeLevel(vm, level)
		}
	}
}

// ownLevels are the levels of a disk that lie in the VM's folder, top first.
func ownLevels(vm *simulator.VirtualMachine, disk *types.VirtualDisk) []*types.VirtualDiskFlatVer2BackingInfo {
	chain := diskChain(disk)
	for i, level := range chain {
		if path.Dir(level.FileName) != path.Dir(vm.Config.Files.VmPathName) {
			return chain[:i]
		}
	}
	return chain
}

func (s *Sim) removeLevel(vm *simulator.VirtualMachine, level *types.VirtualDiskFlatVer2BackingInfo) {
	name, file := splitDSPath(level.FileName)
	ds, ok := s.datastoreOf(vm, name)
	if !ok {
		return
	}
	files := []string{localPath(ds, file), localPath(ds, extentName(file, level.Parent != nil))}
	if err := s.removeFiles(files); err != nil {
		log.Printf("vforge-sim: consolidating %s: %v", vm.Name, err)
	}
}

// setDevices replaces a VM's devices and tells what that makes of its files.
func (s *Sim) setDevices(ctx *simulator.Context, vm *simulator.VirtualMachine, devices []types.BaseVirtualDevice) {
	ctx.Update(vm, []types.PropertyChange{{Name: "config.hardware.device", Val: devices}})
	s.refreshFiles(vm)
	ctx.Update(vm, []types.PropertyChange{
		{Name: "layout", Val: vm.Layout},
		{Name: "layoutEx", Val: vm.LayoutEx},
		{Name: "storage", Val: vm.Storage},
		{Name: "summary.storage", Val: vm.Summary.Storage},
	})
}
