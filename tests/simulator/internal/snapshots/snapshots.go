// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package snapshots

import (
	"fmt"
	"log"
	"os"
	"path"
	"slices"
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/clock"
	"vforge.vsphere/simulator/internal/clones"
	"vforge.vsphere/simulator/internal/core"
	"vforge.vsphere/simulator/internal/deepcopy"
	"vforge.vsphere/simulator/internal/disks"
	"vforge.vsphere/simulator/internal/dsfiles"
	"vforge.vsphere/simulator/internal/hardware"
	"vforge.vsphere/simulator/internal/naming"
	"vforge.vsphere/simulator/internal/snaptree"
	"vforge.vsphere/simulator/internal/tasks"
	"vforge.vsphere/simulator/internal/vdisk"
	"vforge.vsphere/simulator/internal/vhardware"
	"vforge.vsphere/simulator/internal/vms"
)

// Snapshots are the snapshots of VMs.
type Snapshots struct {
	*core.Core
	Tasks    *tasks.Tasks
	Disks    *disks.Disks
	Hardware *hardware.Hardware
	Clones   *clones.Clones
	VMs      *vms.VMs
	// taken counts the snapshots that a VM ever had.
	taken *core.PerVM[int32]
}

// New takes the snapshots as they are.
func New(c *core.Core, t *tasks.Tasks, d *disks.Disks, h *hardware.Hardware, cl *clones.Clones, v *vms.VMs) *Snapshots {
	return &Snapshots{Core: c, Tasks: t, Disks: d, Hardware: h, Clones: cl, VMs: v, taken: core.NewPerVM[int32](c)}
}

// VMCalls answers calls on VMs.
type VMCalls struct{ S *Snapshots }

// SnapshotCalls answers calls on snapshots.
type SnapshotCalls struct {
	S *Snapshots
}

// snapshotTask starts a task that changes a VM's snapshots; it takes --snapshot-time.
func (s *Snapshots) snapshotTask(ctx *simulator.Context, ref types.ManagedObjectReference, id string, work func(*simulator.Context, *simulator.VirtualMachine) (types.AnyType, types.BaseMethodFault)) types.ManagedObjectReference {
	return s.Tasks.RunAlone(ctx, ref, id, func(ctx *simulator.Context) (result types.AnyType, fault types.BaseMethodFault) {
		clock.Sleep(ctx, s.Cfg.SnapshotTime)
		vm := s.VM(ref)
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
func (sh *VMCalls) CreateSnapshotTask(ctx *simulator.Context, req *types.CreateSnapshot_Task) soap.HasFault {
	spec := snapshotSpec{req.Name, req.Description, req.Memory, req.Quiesce}
	return &methods.CreateSnapshot_TaskBody{Res: &types.CreateSnapshot_TaskResponse{Returnval: sh.createSnapshot(ctx, req.This, spec)}}
}

// CreateSnapshotExTask makes a snapshot, with more to say of how the guest is quiesced.
func (sh *VMCalls) CreateSnapshotExTask(ctx *simulator.Context, req *types.CreateSnapshotEx_Task) soap.HasFault {
	spec := snapshotSpec{req.Name, req.Description, req.Memory, req.QuiesceSpec != nil}
	return &methods.CreateSnapshotEx_TaskBody{Res: &types.CreateSnapshotEx_TaskResponse{Returnval: sh.createSnapshot(ctx, req.This, spec)}}
}

func (sh *VMCalls) createSnapshot(ctx *simulator.Context, ref types.ManagedObjectReference, spec snapshotSpec) types.ManagedObjectReference {
	s := sh.S
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
func (s *Snapshots) snapshotFault(vm *simulator.VirtualMachine, spec snapshotSpec) types.BaseMethodFault {
	switch {
	case spec.name == "" || len(naming.Escape(spec.name)) > vhardware.MaxNameBytes:
		return &types.InvalidName{Name: spec.name}
	case vm.Config.Template:
		return &types.NotSupported{}
	case vm.Snapshot != nil && vm.Snapshot.CurrentSnapshot != nil &&
		len(snaptree.PathTo(vm.Snapshot.RootSnapshotList, *vm.Snapshot.CurrentSnapshot)) >= core.MaxSnapshots:
		return &types.TooManySnapshotLevels{}
	case spec.memory && vm.Runtime.PowerState == core.PoweredOn && slices.ContainsFunc(vdisk.DisksOf(vm.Config.Hardware.Device), vdisk.Independent):
		return &types.MemorySnapshotOnIndependentDisk{}
	}
	return nil
}

// takeSnapshot keeps the VM as it is: its disks go on in new layers.
func (s *Snapshots) takeSnapshot(ctx *simulator.Context, vm *simulator.VirtualMachine, spec snapshotSpec) (ref types.ManagedObjectReference, err error) {
	on := vm.Runtime.PowerState == core.PoweredOn
	s.Tracks.TakeEffect(ctx, vm)
	marks := s.Tracks.Mark(ctx, vm)
	grown, err := s.onNewLayers(vm, vm.Config.Hardware.Device)
	if err != nil {
		return ref, err
	}
	node := snaptree.Node{
		Vm: vm.Self, Name: spec.name, Description: spec.description, CreateTime: time.Now(), State: core.PoweredOff,
		Quiesced:        spec.quiesce && on && vm.Guest.ToolsRunningStatus == string(types.VirtualMachineToolsRunningStatusGuestToolsRunning),
		ReplaySupported: types.NewBool(false),
	}
	if spec.memory && on || vm.Runtime.PowerState == core.Suspended {
		node.State = vm.Runtime.PowerState
	}
	s.taken.With(vm.Self, func(last *int32) {
		*last++
		node.Id = *last
	})
	files, err := s.writeSnapshotFiles(vm, node)
	if err != nil {
		return ref, err
	}
	snapshot := &simulator.VirtualMachineSnapshot{}
	snapshot.Vm, snapshot.Config = vm.Self, keptConfig(vm.Config)
	s.Reg.Put(snapshot)
	s.SnapshotFiles.Put(snapshot.Self, files)
	s.Tracks.Keep(snapshot.Self, marks)
	node.Snapshot = snapshot.Self
	s.plantSnapshot(ctx, vm, node)
	ctx.Update(vm, disks.OtherDevices(grown))
	s.TrackLayers(vm)
	s.Disks.TellFiles(ctx, vm)
	return snapshot.Self, nil
}

// keptConfig is a copy of a configuration, for a snapshot to keep or to give back. The
// layers of the disks are not copied: they are replaced, but never changed.
func keptConfig(of *types.VirtualMachineConfigInfo) types.VirtualMachineConfigInfo {
	config := *of
	config.Hardware.Device = nil
	config = deepcopy.Of(config)
	for _, d := range of.Hardware.Device {
		if disk, ok := d.(*types.VirtualDisk); ok {
			kept := *disk
			d = &kept
		} else {
			d = deepcopy.Of(d)
		}
		config.Hardware.Device = append(config.Hardware.Device, d)
	}
	return config
}

// onNewLayers puts a new layer on each disk that snapshots keep.
func (s *Snapshots) onNewLayers(vm *simulator.VirtualMachine, devices []types.BaseVirtualDevice) ([]types.BaseVirtualDevice, error) {
	number := s.Disks.NextDelta(vm.Self)
	out := make([]types.BaseVirtualDevice, 0, len(devices))
	for _, d := range devices {
		if disk, ok := d.(*types.VirtualDisk); ok && !vdisk.Independent(disk) {
			grown, err := s.Disks.GrowDisk(vm, disk, number)
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
func (s *Snapshots) writeSnapshotFiles(vm *simulator.VirtualMachine, node snaptree.Node) (files snaptree.Files, err error) {
	dsName, vmx := dsfiles.Split(vm.Config.Files.VmPathName)
	ds, ok := s.DatastoreOf(vm, dsName)
	if !ok {
		return files, fmt.Errorf("datastore %q is not on the VM's host", dsName)
	}
	base := fmt.Sprintf("%s-Snapshot%d", vmx[:len(vmx)-len(path.Ext(vmx))], node.Id)
	if err = os.MkdirAll(dsfiles.Local(ds, path.Dir(vmx)), 0o700); err != nil {
		return files, err
	}
	files.Data = dsfiles.Path(ds.Name, base+".vmsn")
	if err = os.WriteFile(dsfiles.Local(ds, base+".vmsn"), []byte(node.Name+"\n"), 0o600); err != nil || node.State != core.PoweredOn {
		return files, err
	}
	files.Memory = dsfiles.Path(ds.Name, base+".vmem")
	return files, dsfiles.WriteSparse(dsfiles.Local(ds, base+".vmem"), int64(vm.Config.Hardware.MemoryMB)<<20)
}

// plantSnapshot shows a new snapshot in the VM's tree, as the current one.
func (s *Snapshots) plantSnapshot(ctx *simulator.Context, vm *simulator.VirtualMachine, node snaptree.Node) {
	var tree []snaptree.Node
	var current *types.ManagedObjectReference
	if vm.Snapshot != nil {
		tree, current = vm.Snapshot.RootSnapshotList, vm.Snapshot.CurrentSnapshot
	}
	s.showTree(ctx, vm, snaptree.With(tree, current, node), &node.Snapshot)
}

// showTree tells clients of a VM's snapshots.
func (s *Snapshots) showTree(ctx *simulator.Context, vm *simulator.VirtualMachine, tree []snaptree.Node, current *types.ManagedObjectReference) {
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
	snaptree.Edit(tree, func(node snaptree.Node) []snaptree.Node {
		var children []types.ManagedObjectReference
		for _, child := range node.ChildSnapshotList {
			children = append(children, child.Snapshot)
		}
		if snapshot := s.Snapshot(node.Snapshot); snapshot != nil && !slices.Equal(snapshot.ChildSnapshot, children) {
			s.Reg.AtomicUpdate(ctx, snapshot, []types.PropertyChange{{Name: "childSnapshot", Val: children}})
		}
		return []snaptree.Node{node}
	})
}
