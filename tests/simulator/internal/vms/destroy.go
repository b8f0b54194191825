// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package vms

import (
	"log"
	"os"
	"path"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/core"
	"vforge.vsphere/simulator/internal/dsfiles"
	"vforge.vsphere/simulator/internal/faults"
	"vforge.vsphere/simulator/internal/lookup"
	"vforge.vsphere/simulator/internal/vdisk"
)

// DestroyTask deletes a VM that is not powered on, with those of its files that no
// other VM builds on. Those stay, and go with the last VM that does.
func (sh *VMCalls) DestroyTask(ctx *simulator.Context, req *types.Destroy_Task) soap.HasFault {
	task := sh.S.Tasks.OnVM(ctx, req.This, "destroy", func(ctx *simulator.Context, vm *simulator.VirtualMachine) types.BaseMethodFault {
		if vm.Runtime.PowerState == core.PoweredOn {
			return core.WrongPower(vm, core.PoweredOff)
		}
		sh.S.Destroy(ctx, vm)
		return nil
	})
	return &methods.Destroy_TaskBody{Res: &types.Destroy_TaskResponse{Returnval: task}}
}

// Destroy takes a VM out of the inventory and removes its files. The caller holds its lock.
func (s *VMs) Destroy(ctx *simulator.Context, vm *simulator.VirtualMachine) {
	s.VStorage.Release(vm, true)
	shared := s.LayerUsers.Release(vm.Self)
	files := append(s.ownFiles(vm, shared), s.disksElsewhere(vm, shared)...)
	for key := range shared {
		if path.Dir(key.File) == path.Dir(vm.Config.Files.VmPathName) {
			s.LayerUsers.Abandon(key)
		}
	}
	s.unlink(ctx, vm)
	s.Disks.RemoveOrphans()
	if err := s.DiskLayers.Remove(files); err != nil {
		log.Printf("vforge-sim: destroying %s: %v", vm.Name, err)
	}
	for _, ref := range vm.Datastore {
		if ds, ok := s.Reg.Get(ref).(*simulator.Datastore); ok {
			s.Datastores.ShowSpace(ds)
		}
	}
}

// disksElsewhere lists the files of a VM's disks that lie outside of its directory and that
// no other VM uses, and the directories that are empty without them.
func (s *VMs) disksElsewhere(vm *simulator.VirtualMachine, shared map[vdisk.LayerKey]bool) []string {
	var files []string
	for _, disk := range vdisk.DisksOf(vm.Config.Hardware.Device) {
		chain := vdisk.DiskChain(disk)
		if len(chain) == 0 || shared[vdisk.KeyOf(chain[0])] || path.Dir(chain[0].FileName) == path.Dir(vm.Config.Files.VmPathName) {
			continue
		}
		name, file := dsfiles.Split(chain[0].FileName)
		ds, ok := s.DatastoreOf(vm, name)
		if !ok {
			continue
		}
		for _, f := range []string{file, dsfiles.Extent(file, false), dsfiles.Extent(file, true)} {
			files = append(files, dsfiles.Local(ds, f))
		}
		dir := dsfiles.Local(ds, path.Dir(file))
		if entries, err := os.ReadDir(dir); err == nil && len(entries) == 2 { // the descriptor and the extent
			files = append(files, dir)
		}
	}
	return files
}

// UnregisterVM takes a VM that is not powered on out of the inventory; its files
// stay.
func (sh *VMCalls) UnregisterVM(ctx *simulator.Context, req *types.UnregisterVM) soap.HasFault {
	vm := sh.S.VM(req.This)
	var fault types.BaseMethodFault
	ctx.WithLock(vm, func() {
		if vm.Runtime.PowerState == core.PoweredOn {
			fault = core.WrongPower(vm, core.PoweredOff)
			return
		}
		sh.S.VStorage.Release(vm, false)
		sh.S.LayerUsers.Release(vm.Self)
		sh.S.unlink(ctx, vm)
	})
	if fault != nil {
		return &methods.UnregisterVMBody{Fault_: faults.SOAP(fault)}
	}
	return &methods.UnregisterVMBody{Res: &types.UnregisterVMResponse{}}
}

// ownFiles lists what is in the VM's directory, without the layers that others need, and without disks that are not
// the VM's: those that were detached with their files kept, and those that somebody put there.
func (s *VMs) ownFiles(vm *simulator.VirtualMachine, shared map[vdisk.LayerKey]bool) []string {
	dsName, vmx := dsfiles.Split(vm.Config.Files.VmPathName)
	ds, ok := s.DatastoreOf(vm, dsName)
	if !ok {
		return nil
	}
	dir := dsfiles.Local(ds, path.Dir(vmx))
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil // gone already
	}
	keep := make(map[string]bool)
	for key := range shared {
		base := path.Base(key.File)
		keep[base], keep[dsfiles.Extent(base, false)], keep[dsfiles.Extent(base, true)] = true, true, true
	}
	_, layout := s.Disks.Layout(vm)
	has := make(map[string]bool)
	for _, file := range layout.File {
		has[file.Name] = true
	}
	var out []string
	for _, e := range entries {
		stray := path.Ext(e.Name()) == ".vmdk" && !has[path.Join(path.Dir(vm.Config.Files.VmPathName), e.Name())]
		if !keep[e.Name()] && !stray {
			out = append(out, path.Join(dir, e.Name()))
		}
	}
	if len(out) == len(entries) {
		out = append(out, dir)
	}
	return out
}

// unlink takes a VM out of the inventory. The caller holds its lock.
func (s *VMs) unlink(ctx *simulator.Context, vm *simulator.VirtualMachine) {
	s.Post(ctx, &types.VmRemovedEvent{VmEvent: s.VMEvent(vm)})
	s.Index.RemoveObject(ctx, vm.Self) // the name is free from here on
	if host := s.HostOf(vm); host != nil {
		s.Reg.RemoveReference(ctx, host, &host.Vm, vm.Self)
	}
	if vm.ResourcePool != nil {
		if pool := s.Reg.Get(*vm.ResourcePool); lookup.PoolVMs(pool) != nil {
			s.Reg.RemoveReference(ctx, pool, lookup.PoolVMs(pool), vm.Self)
		}
	}
	for _, ref := range vm.Datastore {
		if ds, ok := s.Reg.Get(ref).(*simulator.Datastore); ok {
			s.Reg.RemoveReference(ctx, ds, &ds.Vm, vm.Self)
		}
	}
	for _, ref := range vm.Network {
		if net := s.Reg.Get(ref); lookup.NetworkVMs(net) != nil {
			s.Reg.RemoveReference(ctx, net, lookup.NetworkVMs(net), vm.Self)
		}
	}
	if f, ok := s.Reg.Get(*vm.Parent).(*simulator.Folder); ok {
		s.Reg.RemoveReference(ctx, f, &f.ChildEntity, vm.Self)
	}
	for _, snapshot := range s.SnapshotsOf(vm) {
		s.ForgetSnapshot(ctx, vm, snapshot.Self)
	}
	s.Reg.Remove(ctx, vm.Self)
	s.ForgetVM(vm.Self)
	s.Tracks.Drop(vm.Self)
}

// ForgetSnapshot deletes a snapshot that is in no tree any more. Its children know
// nothing of it; its disks' layers are the caller's business.
func (s *VMs) ForgetSnapshot(ctx *simulator.Context, vm *simulator.VirtualMachine, ref types.ManagedObjectReference) {
	files := s.SnapshotFiles.Get(ref)
	for _, name := range []string{files.Data, files.Memory} {
		dsName, file := dsfiles.Split(name)
		if ds, ok := s.DatastoreOf(vm, dsName); ok {
			if err := s.DiskLayers.Remove([]string{dsfiles.Local(ds, file)}); err != nil {
				log.Printf("vforge-sim: removing a snapshot of %s: %v", vm.Name, err)
			}
		}
	}
	s.SnapshotFiles.Drop(ref)
	s.Tracks.Drop(ref)
	s.Reg.Remove(ctx, ref)
}
