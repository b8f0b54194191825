// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package sim

import (
	"fmt"
	"log"
	"os"
	"path"
	"slices"
	"sync"
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// maxSnapshots is how many snapshots can follow each other.
const maxSnapshots = 32

// snapshotFiles are the files of one snapshot besides its disks'.
type snapshotFiles struct {
	data   string
	memory string // empty without memory
}

// snapshotTable knows the files of all snapshots.
type snapshotTable struct {
	mu    sync.Mutex
	files map[types.ManagedObjectReference]snapshotFiles
}

func (t *snapshotTable) put(ref types.ManagedObjectReference, files snapshotFiles) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.files == nil {
		t.files = make(map[types.ManagedObjectReference]snapshotFiles)
	}
	t.files[ref] = files
}

func (t *snapshotTable) get(ref types.ManagedObjectReference) snapshotFiles {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.files[ref]
}

func (t *snapshotTable) drop(ref types.ManagedObjectReference) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.files, ref)
}

// snapshotTask starts a task that changes a VM's snapshots; it takes --snapshot-time.
func (s *Sim) snapshotTask(ctx *simulator.Context, ref types.ManagedObjectReference, id string, work func(*simulator.Context, *simulator.VirtualMachine) (types.AnyType, types.BaseMethodFault)) types.ManagedObjectReference {
	return s.runTask(ctx, ref, id, func(ctx *simulator.Context) (result types.AnyType, fault types.BaseMethodFault) {
		sleep(ctx, s.cfg.SnapshotTime)
		vm := s.vm(ref)
		if vm == nil {
			return nil, &types.ManagedObjectNotFound{Obj: ref}
		}
		ctx.WithLock(vm, func() { result, fault = work(ctx, vm) })
		return result, fault
	})
}

// snapshotSpec is what the two calls that make a snapshot ask for.
type snapshotSpec struct {
	name, description string
	memory, quiesce   bool
}

// CreateSnapshotTask makes a snapshot.
func (sh *vmShim) CreateSnapshotTask(ctx *simulator.Context, req *types.CreateSnapshot_Task) soap.HasFault {
	spec := snapshotSpec{req.Name, req.Description, req.Memory, req.Quiesce}
	return &methods.CreateSnapshot_TaskBody{Res: &types.CreateSnapshot_TaskResponse{Returnval: sh.createSnapshot(ctx, req.This, spec)}}
}

// CreateSnapshotExTask makes a snapshot, with more to say of how the guest is quiesced.
func (sh *vmShim) CreateSnapshotExTask(ctx *simulator.Context, req *types.CreateSnapshotEx_Task) soap.HasFault {
	spec := snapshotSpec{req.Name, req.Description, req.Memory, req.QuiesceSpec != nil}
	return &methods.CreateSnapshotEx_TaskBody{Res: &types.CreateSnapshotEx_TaskResponse{Returnval: sh.createSnapshot(ctx, req.This, spec)}}
}

func (sh *vmShim) createSnapshot(ctx *simulator.Context, ref types.ManagedObjectReference, spec snapshotSpec) types.ManagedObjectReference {
	s := sh.s
	return s.snapshotTask(ctx, ref, "createSnapshot", func(ctx *simulator.Context, vm *simulator.VirtualMachine) (types.AnyType, types.BaseMethodFault) {
		if fault := s.snapshotFault(vm, spec); fault != nil {
			return nil, fault
		}
		snapshot, err := s.takeSnapshot(ctx, vm, spec)
		if err != nil {
			log.Printf("vforge-sim: snapshot %s of %s: %v", spec.name, vm.Name, err)
			return nil, &types.FileFault{File: vm.Config.Files.SnapshotDirectory}
		}
		return snapshot, nil
	})
}

// snapshotFault refuses what cannot have such a snapshot.
func (s *Sim) snapshotFault(vm *simulator.VirtualMachine, spec snapshotSpec) types.BaseMethodFault {
	switch {
	case spec.name == "" || len(escapeName(spec.name)) > maxNameBytes:
		return &types.InvalidName{Name: spec.name}
	case vm.Config.Template:
		return &types.NotSupported{}
	case vm.Snapshot != nil && vm.Snapshot.CurrentSnapshot != nil &&
		len(snapshotPath(vm.Snapshot.RootSnapshotList, *vm.Snapshot.CurrentSnapshot)) >= maxSnapshots:
		return &types.TooManySnapshotLevels{}
	case spec.memory && vm.Runtime.PowerState == poweredOn && slices.ContainsFunc(disksOf(vm.Config.Hardware.Device), independent):
		return &types.MemorySnapshotOnIndependentDisk{}
	}
	return nil
}

// independent tells if snapshots leave a disk alone: for its mode, or as it is a raw
// device that the guest speaks to itself.
func independent(disk *types.VirtualDisk) bool {
	switch b := disk.Backing.(type) {
	case *flatBacking:
		return b.DiskMode == string(types.VirtualDiskModeIndependent_persistent) ||
			b.DiskMode == string(types.VirtualDiskModeIndependent_nonpersistent)
	case *types.VirtualDiskRawDiskMappingVer1BackingInfo:
		return b.CompatibilityMode == string(types.VirtualDiskCompatibilityModePhysicalMode) ||
			b.DiskMode == string(types.VirtualDiskModeIndependent_persistent)
	}
	return false
}

// takeSnapshot keeps the VM as it is: its disks go on in new layers.
func (s *Sim) takeSnapshot(ctx *simulator.Context, vm *simulator.VirtualMachine, spec snapshotSpec) (ref types.ManagedObjectReference, err error) {
	on := vm.Runtime.PowerState == poweredOn
	s.tracks.takeEffect(ctx, vm)
	marks := s.tracks.mark(ctx, vm)
	grown, err := s.onNewLayers(vm, vm.Config.Hardware.Device)
	if err != nil {
		return ref, err
	}
	node := snapshotNode{
		Vm: vm.Self, Name: spec.name, Description: spec.description, CreateTime: time.Now(), State: poweredOff,
		Quiesced:        spec.quiesce && on && vm.Guest.ToolsRunningStatus == string(types.VirtualMachineToolsRunningStatusGuestToolsRunning),
		ReplaySupported: types.NewBool(false),
	}
	if spec.memory && on || vm.Runtime.PowerState == suspended {
		node.State = vm.Runtime.PowerState
	}
	s.vms.with(vm.Self, func(st *vmState) {
		st.snapshots++
		node.Id = int32(st.snapshots)
	})
	files, err := s.writeSnapshotFiles(vm, node)
	if err != nil {
		return ref, err
	}
	snapshot := &simulator.VirtualMachineSnapshot{}
	snapshot.Vm, snapshot.Config = vm.Self, keptConfig(vm.Config)
	s.reg.Put(snapshot)
	s.snapshots.put(snapshot.Self, files)
	s.tracks.keep(snapshot.Self, marks)
	node.Snapshot = snapshot.Self
	s.plantSnapshot(ctx, vm, node)
	ctx.Update(vm, []types.PropertyChange{{Name: "config.hardware.device", Val: grown}})
	s.trackLayers(vm)
	s.tellFiles(ctx, vm)
	return snapshot.Self, nil
}

// keptConfig is a copy of a configuration, for a snapshot to keep or to give back. The
// layers of the disks are not copied: they are replaced, but never changed.
func keptConfig(of *types.VirtualMachineConfigInfo) types.VirtualMachineConfigInfo {
	config := *of
	config.Hardware.Device = nil
	config = clone(config)
	for _, d := range of.Hardware.Device {
		if disk, ok := d.(*types.VirtualDisk); ok {
			kept := *disk
			d = &kept
		} else {
			d = clone(d)
		}
		config.Hardware.Device = append(config.Hardware.Device, d)
	}
	return config
}

// onNewLayers puts a new layer on each disk that snapshots keep.
func (s *Sim) onNewLayers(vm *simulator.VirtualMachine, devices []types.BaseVirtualDevice) ([]types.BaseVirtualDevice, error) {
	number := s.nextDelta(vm.Self)
	out := make([]types.BaseVirtualDevice, 0, len(devices))
	for _, d := range devices {
		if disk, ok := d.(*types.VirtualDisk); ok && !independent(disk) {
			grown, err := s.growDisk(vm, disk, number)
			if err != nil {
				return nil, err
			}
			d = grown
		}
		out = append(out, d)
	}
	return out, nil
}

// writeSnapshotFiles makes the files of a snapshot besides its disks'.
func (s *Sim) writeSnapshotFiles(vm *simulator.VirtualMachine, node snapshotNode) (files snapshotFiles, err error) {
	dsName, vmx := splitDSPath(vm.Config.Files.VmPathName)
	ds, ok := s.datastoreOf(vm, dsName)
	if !ok {
		return files, fmt.Errorf("datastore %q is not on the VM's host", dsName)
	}
	base := fmt.Sprintf("%s-Snapshot%d", vmx[:len(vmx)-len(path.Ext(vmx))], node.Id)
	if err = os.MkdirAll(localPath(ds, path.Dir(vmx)), 0o700); err != nil {
		return files, err
	}
	files.data = dsPath(ds.Name, base+".vmsn")
	if err = os.WriteFile(localPath(ds, base+".vmsn"), []byte(node.Name+"\n"), 0o600); err != nil || node.State != poweredOn {
		return files, err
	}
	files.memory = dsPath(ds.Name, base+".vmem")
	return files, writeSparse(localPath(ds, base+".vmem"), int64(vm.Config.Hardware.MemoryMB)<<20)
}

// plantSnapshot shows a new snapshot in the VM's tree, as the current one.
func (s *Sim) plantSnapshot(ctx *simulator.Context, vm *simulator.VirtualMachine, node snapshotNode) {
	var tree []snapshotNode
	var current *types.ManagedObjectReference
	if vm.Snapshot != nil {
		tree, current = vm.Snapshot.RootSnapshotList, vm.Snapshot.CurrentSnapshot
	}
	s.showTree(ctx, vm, treeWith(tree, current, node), &node.Snapshot)
}

// showTree tells clients of a VM's snapshots.
func (s *Sim) showTree(ctx *simulator.Context, vm *simulator.VirtualMachine, tree []snapshotNode, current *types.ManagedObjectReference) {
	if len(tree) == 0 {
		ctx.Update(vm, []types.PropertyChange{{Name: "snapshot", Val: nil}, {Name: "rootSnapshot", Val: nil}})
		return
	}
	var roots []types.ManagedObjectReference
	for _, node := range tree {
		roots = append(roots, node.Snapshot)
	}
	ctx.Update(vm, []types.PropertyChange{
		{Name: "snapshot", Val: &types.VirtualMachineSnapshotInfo{CurrentSnapshot: current, RootSnapshotList: tree}},
		{Name: "rootSnapshot", Val: roots},
	})
	editTree(tree, func(node snapshotNode) []snapshotNode {
		var children []types.ManagedObjectReference
		for _, child := range node.ChildSnapshotList {
			children = append(children, child.Snapshot)
		}
		if snapshot := s.snapshot(node.Snapshot); snapshot != nil && !slices.Equal(snapshot.ChildSnapshot, children) {
			s.reg.AtomicUpdate(ctx, snapshot, []types.PropertyChange{{Name: "childSnapshot", Val: children}})
		}
		return []snapshotNode{node}
	})
}
