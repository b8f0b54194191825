// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package snapshots

import (
	"fmt"
	"log"
	"slices"
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/core"
	"vforge.vsphere/simulator/internal/disks"
	"vforge.vsphere/simulator/internal/faults"
	"vforge.vsphere/simulator/internal/naming"
	"vforge.vsphere/simulator/internal/snaptree"
	"vforge.vsphere/simulator/internal/vdisk"
	"vforge.vsphere/simulator/internal/vhardware"
)

// RemoveSnapshotTask removes a snapshot, alone or with all that follow it. The VM's
// state and the other snapshots stay as they are: what the layer above had is written
// down into the layer that was the snapshot's.
func (sh *SnapshotCalls) RemoveSnapshotTask(ctx *simulator.Context, req *types.RemoveSnapshot_Task) soap.HasFault {
	s := sh.S
	body := &methods.RemoveSnapshot_TaskBody{}
	snapshot := s.Snapshot(req.This)
	if snapshot == nil {
		body.Fault_ = faults.NotFound(req.This)
		return body
	}
	merge := req.Consolidate == nil || *req.Consolidate
	task := s.snapshotTask(ctx, snapshot.Vm, "removeSnapshot", func(ctx *simulator.Context, vm *simulator.VirtualMachine) (types.AnyType, types.BaseMethodFault) {
		if vm.Snapshot == nil {
			return nil, &types.ManagedObjectNotFound{Obj: req.This}
		}
		found := snaptree.PathTo(vm.Snapshot.RootSnapshotList, req.This)
		if len(found) == 0 {
			return nil, &types.ManagedObjectNotFound{Obj: req.This}
		}
		gone := []types.ManagedObjectReference{req.This}
		if req.RemoveChildren {
			gone = snaptree.Refs(found[len(found)-1:])
		}
		return nil, s.dropSnapshots(ctx, vm, gone, func(c *disks.Consolidation, layers []*vdisk.FlatBacking) error {
			if !merge {
				ctx.Update(vm, []types.PropertyChange{
					{Name: "runtime.consolidationNeeded", Val: true}, {Name: "summary.runtime.consolidationNeeded", Val: true},
				})
				return nil
			}
			return c.Settle(layers)
		})
	})
	body.Res = &types.RemoveSnapshot_TaskResponse{Returnval: task}
	return body
}

// RemoveAllSnapshotsTask removes the snapshots of a VM and consolidates its disks, which
// collapses the levels that instant clones have left outside the snapshot tree as
// well (reported from the field). A VM without snapshots is not consolidated.
func (sh *VMCalls) RemoveAllSnapshotsTask(ctx *simulator.Context, req *types.RemoveAllSnapshots_Task) soap.HasFault {
	s := sh.S
	merge := req.Consolidate == nil || *req.Consolidate
	task := s.snapshotTask(ctx, req.This, "removeAllSnapshots", func(ctx *simulator.Context, vm *simulator.VirtualMachine) (types.AnyType, types.BaseMethodFault) {
		if vm.Snapshot == nil {
			return nil, nil
		}
		return nil, s.dropSnapshots(ctx, vm, snaptree.Refs(vm.Snapshot.RootSnapshotList), func(c *disks.Consolidation, _ []*vdisk.FlatBacking) error {
			if !merge {
				return nil
			}
			return c.Collapse()
		})
	})
	return &methods.RemoveAllSnapshots_TaskBody{Res: &types.RemoveAllSnapshots_TaskResponse{Returnval: task}}
}

// dropSnapshots takes snapshots out of a VM's tree, has their layers merged, and
// deletes the files that are not needed any more.
func (s *Snapshots) dropSnapshots(ctx *simulator.Context, vm *simulator.VirtualMachine, gone []types.ManagedObjectReference, merge func(*disks.Consolidation, []*vdisk.FlatBacking) error) types.BaseMethodFault {
	c := s.Disks.Consolidating(ctx, vm)
	removed := make(map[types.ManagedObjectReference]bool)
	var layers []*vdisk.FlatBacking
	for _, ref := range gone {
		removed[ref] = true
		for _, disk := range vdisk.DisksOf(s.Snapshot(ref).Config.Hardware.Device) {
			if chain := vdisk.DiskChain(disk); len(chain) > 0 {
				layers = append(layers, chain[0])
			}
		}
	}
	current := vm.Snapshot.CurrentSnapshot
	if current != nil {
		path := snaptree.PathTo(vm.Snapshot.RootSnapshotList, *current)
		for current = nil; len(path) > 0 && current == nil; path = path[:len(path)-1] {
			if ref := path[len(path)-1].Snapshot; !removed[ref] {
				current = &ref
			}
		}
	}
	s.showTree(ctx, vm, snaptree.Without(vm.Snapshot.RootSnapshotList, removed), current)
	for _, ref := range gone {
		s.VMs.ForgetSnapshot(ctx, vm, ref)
	}
	err := merge(c, layers)
	stuck := s.Hardware.Stuck(vm.Self, layers)
	c.Finish()
	s.Tracks.TakeEffect(ctx, vm)
	s.Disks.TellFiles(ctx, vm)
	if stuck != "" {
		ctx.Update(vm, []types.PropertyChange{
			{Name: "runtime.consolidationNeeded", Val: true}, {Name: "summary.runtime.consolidationNeeded", Val: true},
		})
		return faults.FileLocked(stuck)
	}
	return consolidationFault(vm, err)
}

func consolidationFault(vm *simulator.VirtualMachine, err error) types.BaseMethodFault {
	if err == nil {
		return nil
	}
	log.Printf("vforge-sim: consolidating %s: %v", vm.Name, err)
	return &types.FileFault{File: vm.Config.Files.VmPathName}
}

// ConsolidateVMDisksTask merges the layers that no snapshot needs.
func (sh *VMCalls) ConsolidateVMDisksTask(ctx *simulator.Context, req *types.ConsolidateVMDisks_Task) soap.HasFault {
	s := sh.S
	task := s.snapshotTask(ctx, req.This, "consolidateVMDisks", func(ctx *simulator.Context, vm *simulator.VirtualMachine) (types.AnyType, types.BaseMethodFault) {
		c := s.Disks.Consolidating(ctx, vm)
		for key := range c.Before {
			if s.Hardware.Borrowed.Held(vm.Self, key) {
				return nil, faults.FileLocked(key.File)
			}
		}
		var err error
		if vm.Snapshot == nil {
			err = c.Collapse()
		} else {
			f := c.Forest()
			var layers []*vdisk.FlatBacking
			for key := range f.Known {
				// The same layer again and again: each merge lets the next one down.
				for b := f.Known[key]; b != nil; b = b.Parent {
					layers = append(layers, b)
				}
			}
			err = c.Settle(layers)
		}
		c.Finish()
		ctx.Update(vm, []types.PropertyChange{
			{Name: "runtime.consolidationNeeded", Val: false}, {Name: "summary.runtime.consolidationNeeded", Val: false},
		})
		s.Disks.TellFiles(ctx, vm)
		return nil, consolidationFault(vm, err)
	})
	return &methods.ConsolidateVMDisks_TaskBody{Res: &types.ConsolidateVMDisks_TaskResponse{Returnval: task}}
}

// RenameSnapshot changes what a person reads of a snapshot.
func (sh *SnapshotCalls) RenameSnapshot(ctx *simulator.Context, req *types.RenameSnapshot) soap.HasFault {
	s := sh.S
	body := &methods.RenameSnapshotBody{}
	snapshot := s.Snapshot(req.This)
	if snapshot == nil {
		body.Fault_ = faults.NotFound(req.This)
		return body
	}
	if len(naming.Escape(req.Name)) > vhardware.MaxNameBytes {
		body.Fault_ = faults.SOAP(&types.InvalidName{Name: req.Name})
		return body
	}
	vm := s.VM(snapshot.Vm)
	ctx.WithLock(vm, func() {
		tree := snaptree.Edit(vm.Snapshot.RootSnapshotList, func(node snaptree.Node) []snaptree.Node {
			if node.Snapshot == req.This {
				if req.Name != "" {
					node.Name = req.Name
				}
				if req.Description != "" {
					node.Description = req.Description
				}
			}
			return []snaptree.Node{node}
		})
		s.showTree(ctx, vm, tree, vm.Snapshot.CurrentSnapshot)
	})
	body.Res = &types.RenameSnapshotResponse{}
	return body
}

// RevertToSnapshotTask makes a VM what it was when the snapshot was taken.
func (sh *SnapshotCalls) RevertToSnapshotTask(ctx *simulator.Context, req *types.RevertToSnapshot_Task) soap.HasFault {
	snapshot := sh.S.Snapshot(req.This)
	if snapshot == nil {
		return &methods.RevertToSnapshot_TaskBody{Fault_: faults.NotFound(req.This)}
	}
	stayOff := req.SuppressPowerOn != nil && *req.SuppressPowerOn
	task := sh.S.revertTask(ctx, "revertToSnapshot", snapshot.Vm, req.This, stayOff)
	return &methods.RevertToSnapshot_TaskBody{Res: &types.RevertToSnapshot_TaskResponse{Returnval: task}}
}

// RevertToCurrentSnapshotTask is the same with the snapshot that the VM goes on from.
func (sh *VMCalls) RevertToCurrentSnapshotTask(ctx *simulator.Context, req *types.RevertToCurrentSnapshot_Task) soap.HasFault {
	vm := sh.S.VM(req.This)
	var current *types.ManagedObjectReference
	ctx.WithLock(vm, func() {
		if vm.Snapshot != nil {
			current = vm.Snapshot.CurrentSnapshot
		}
	})
	if current == nil {
		return &methods.RevertToCurrentSnapshot_TaskBody{Fault_: faults.SOAP(&types.NotFound{})}
	}
	stayOff := req.SuppressPowerOn != nil && *req.SuppressPowerOn
	task := sh.S.revertTask(ctx, "revertToCurrentSnapshot", req.This, *current, stayOff)
	return &methods.RevertToCurrentSnapshot_TaskBody{Res: &types.RevertToCurrentSnapshot_TaskResponse{Returnval: task}}
}

func (s *Snapshots) revertTask(ctx *simulator.Context, id string, of, to types.ManagedObjectReference, stayOff bool) types.ManagedObjectReference {
	return s.snapshotTask(ctx, of, id, func(ctx *simulator.Context, vm *simulator.VirtualMachine) (types.AnyType, types.BaseMethodFault) {
		snapshot := s.Snapshot(to)
		if snapshot == nil || vm.Snapshot == nil {
			return nil, &types.ManagedObjectNotFound{Obj: to}
		}
		path := snaptree.PathTo(vm.Snapshot.RootSnapshotList, to)
		if len(path) == 0 {
			return nil, &types.ManagedObjectNotFound{Obj: to}
		}
		return nil, s.revert(ctx, vm, snapshot, path[len(path)-1], stayOff)
	})
}

// revert: the disks go on in new layers on the snapshot's, and what the VM has written
// since is gone.
func (s *Snapshots) revert(ctx *simulator.Context, vm *simulator.VirtualMachine, snapshot *simulator.VirtualMachineSnapshot, node snaptree.Node, stayOff bool) types.BaseMethodFault {
	c := s.Disks.Consolidating(ctx, vm)
	config := keptConfig(&snapshot.Config)
	devices, err := s.onNewLayers(vm, withLiveIndependent(config.Hardware.Device, vm.Config.Hardware.Device))
	if err != nil {
		return consolidationFault(vm, err)
	}
	if vm.Runtime.PowerState != core.PoweredOff {
		s.VMs.PowerOff(ctx, vm)
	}
	s.restoreConfig(ctx, vm, config, devices)
	s.showTree(ctx, vm, vm.Snapshot.RootSnapshotList, &node.Snapshot)
	c.Finish()
	s.Tracks.Reset(ctx, vm)
	s.Disks.TellFiles(ctx, vm)
	if node.State == core.PoweredOn && !stayOff {
		s.VMs.SetPower(ctx, vm, core.PoweredOn)
		s.Clones.BootOrFork(vm.Self)
	}
	return nil
}

// withLiveIndependent are the devices that a snapshot kept, but for the disks that
// snapshots leave alone: they are as they are now.
func withLiveIndependent(kept, live []types.BaseVirtualDevice) []types.BaseVirtualDevice {
	out := slices.Clone(kept)
	for i, d := range out {
		disk, ok := d.(*types.VirtualDisk)
		if !ok || !vdisk.Independent(disk) {
			continue
		}
		for _, now := range vdisk.DisksOf(live) {
			if now.Key == disk.Key {
				out[i] = now
			}
		}
	}
	return out
}

// restoreConfig gives a VM the configuration that a snapshot has kept. Who it is stays:
// its name, its UUIDs, its files.
func (s *Snapshots) restoreConfig(ctx *simulator.Context, vm *simulator.VirtualMachine, config types.VirtualMachineConfigInfo, devices []types.BaseVirtualDevice) {
	now := time.Now()
	config.Name, config.Uuid, config.InstanceUuid = vm.Config.Name, vm.Config.Uuid, vm.Config.InstanceUuid
	config.Files, config.Template = vm.Config.Files, vm.Config.Template
	config.ChangeVersion, config.Modified = fmt.Sprint(now.UnixNano()), now
	config.Hardware.Device = vhardware.Connected(devices, false)
	networks := s.NetworksOf(devices)
	s.VMs.RelinkNetworks(ctx, vm, networks)
	ctx.Update(vm, []types.PropertyChange{
		{Name: "config", Val: &config},
		{Name: "network", Val: networks},
		{Name: "summary.config.numCpu", Val: config.Hardware.NumCPU},
		{Name: "summary.config.memorySizeMB", Val: config.Hardware.MemoryMB},
		{Name: "summary.config.annotation", Val: config.Annotation},
	})
}
