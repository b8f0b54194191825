// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package sim

import (
	"log"
	"os"
	"path"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/dsfiles"
	"vforge.vsphere/simulator/internal/faults"
	"vforge.vsphere/simulator/internal/lookup"
	"vforge.vsphere/simulator/internal/vdisk"
)

// DestroyTask deletes a VM that is not powered on, with those of its files that no
// other VM builds on. Those stay, and go with the last VM that does.
func (sh *vmShim) DestroyTask(ctx *simulator.Context, req *types.Destroy_Task) soap.HasFault {
	task := sh.S.vmTask(ctx, req.This, "destroy", func(ctx *simulator.Context, vm *simulator.VirtualMachine) types.BaseMethodFault {
		if vm.Runtime.PowerState == poweredOn {
			return wrongPower(vm, poweredOff)
		}
		sh.S.destroy(ctx, vm)
		return nil
	})
	return &methods.Destroy_TaskBody{Res: &types.Destroy_TaskResponse{Returnval: task}}
}

// destroy takes a VM out of the inventory and removes its files. The caller holds its lock.
func (s *Sim) destroy(ctx *simulator.Context, vm *simulator.VirtualMachine) {
	s.releaseFCDs(vm, true)
	shared := s.layers.Release(vm.Self)
	files := append(s.ownFiles(vm, shared), s.disksElsewhere(vm, shared)...)
	for key := range shared {
		if path.Dir(key.File) == path.Dir(vm.Config.Files.VmPathName) {
			s.layers.Abandon(key)
		}
	}
	s.unlink(ctx, vm)
	s.removeOrphans()
	if err := s.diskLayers.Remove(files); err != nil {
		log.Printf("vforge-sim: destroying %s: %v", vm.Name, err)
	}
	for _, ref := range vm.Datastore {
		if ds, ok := s.reg.Get(ref).(*simulator.Datastore); ok {
			s.showSpace(ds)
		}
	}
}

// disksElsewhere lists the files of a VM's disks that lie outside of its directory and that
// no other VM uses, and the directories that are empty without them.
func (s *Sim) disksElsewhere(vm *simulator.VirtualMachine, shared map[vdisk.LayerKey]bool) []string {
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
func (sh *vmShim) UnregisterVM(ctx *simulator.Context, req *types.UnregisterVM) soap.HasFault {
	vm := sh.S.VM(req.This)
	var fault types.BaseMethodFault
	ctx.WithLock(vm, func() {
		if vm.Runtime.PowerState == poweredOn {
			fault = wrongPower(vm, poweredOff)
			return
		}
		sh.S.releaseFCDs(vm, false)
		sh.S.layers.Release(vm.Self)
		sh.S.unlink(ctx, vm)
	})
	if fault != nil {
		return &methods.UnregisterVMBody{Fault_: faults.SOAP(fault)}
	}
	return &methods.UnregisterVMBody{Res: &types.UnregisterVMResponse{}}
}

// ownFiles lists what is in the VM's directory, without the layers that others need, and without disks that are not
// the VM's: those that were detached with their files kept, and those that somebody put there.
func (s *Sim) ownFiles(vm *simulator.VirtualMachine, shared map[vdisk.LayerKey]bool) []string {
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
	_, layout := s.layout(vm)
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
func (s *Sim) unlink(ctx *simulator.Context, vm *simulator.VirtualMachine) {
	s.post(ctx, &types.VmRemovedEvent{VmEvent: s.vmEvent(vm)})
	s.index.RemoveObject(ctx, vm.Self) // the name is free from here on
	if host := s.HostOf(vm); host != nil {
		s.reg.RemoveReference(ctx, host, &host.Vm, vm.Self)
	}
	if vm.ResourcePool != nil {
		if pool := s.reg.Get(*vm.ResourcePool); lookup.PoolVMs(pool) != nil {
			s.reg.RemoveReference(ctx, pool, lookup.PoolVMs(pool), vm.Self)
		}
	}
	for _, ref := range vm.Datastore {
		if ds, ok := s.reg.Get(ref).(*simulator.Datastore); ok {
			s.reg.RemoveReference(ctx, ds, &ds.Vm, vm.Self)
		}
	}
	for _, ref := range vm.Network {
		if net := s.reg.Get(ref); lookup.NetworkVMs(net) != nil {
			s.reg.RemoveReference(ctx, net, lookup.NetworkVMs(net), vm.Self)
		}
	}
	if f, ok := s.reg.Get(*vm.Parent).(*simulator.Folder); ok {
		s.reg.RemoveReference(ctx, f, &f.ChildEntity, vm.Self)
	}
	for _, snapshot := range s.SnapshotsOf(vm) {
		s.forgetSnapshot(ctx, vm, snapshot.Self)
	}
	s.reg.Remove(ctx, vm.Self)
	s.forgetVM(vm.Self)
	s.tracks.Drop(vm.Self)
}
