// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package vms

import (
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/core"
	"vforge.vsphere/simulator/internal/datastores"
	"vforge.vsphere/simulator/internal/dsfiles"
	"vforge.vsphere/simulator/internal/faults"
	"vforge.vsphere/simulator/internal/lookup"
	"vforge.vsphere/simulator/internal/naming"
	"vforge.vsphere/simulator/internal/shim"
	"vforge.vsphere/simulator/internal/vdisk"
)

// MoveIntoResourcePool moves VMs to a pool of the compute resource that they are in.
func (sh *PoolCalls) MoveIntoResourcePool(ctx *simulator.Context, req *types.MoveIntoResourcePool) soap.HasFault {
	s := sh.S
	if fault := s.movable(ctx, req); fault != nil {
		return &methods.MoveIntoResourcePoolBody{Fault_: faults.SOAP(fault)}
	}
	to := s.Reg.Get(req.This)
	for _, ref := range req.List {
		vm := s.VM(ref)
		ctx.WithLock(vm, func() {
			if *vm.ResourcePool == req.This {
				return
			}
			from := s.Reg.Get(*vm.ResourcePool)
			s.Reg.RemoveReference(ctx, from, lookup.PoolVMs(from), ref)
			s.Reg.AppendReference(ctx, to, lookup.PoolVMs(to), ref)
			e := s.VMEvent(vm)
			pool := func(p mo.Reference) types.ResourcePoolEventArgument {
				return types.ResourcePoolEventArgument{EntityEventArgument: core.EntityArgument(p.(mo.Entity)), ResourcePool: p.Reference()}
			}
			ctx.Update(vm, []types.PropertyChange{{Name: "resourcePool", Val: req.This}})
			s.Post(ctx, &types.VmResourcePoolMovedEvent{VmEvent: e, OldParent: pool(from), NewParent: pool(to)})
		})
	}
	return &methods.MoveIntoResourcePoolBody{Res: &types.MoveIntoResourcePoolResponse{}}
}

// movable checks all of a move before any of it is done.
func (s *VMs) movable(ctx *simulator.Context, req *types.MoveIntoResourcePool) types.BaseMethodFault {
	target, ok := s.ComputeOf(req.This)
	if !ok {
		return &types.ManagedObjectNotFound{Obj: req.This}
	}
	for _, ref := range req.List {
		if ref.Type != "VirtualMachine" {
			return &types.NotSupported{} // pools and vApps stay where they are in this simulator
		}
		vm := s.VM(ref)
		if vm == nil {
			return &types.ManagedObjectNotFound{Obj: ref}
		}
		if fault := s.Auth.Denied(ctx.Session.UserName, ref, "Resource.AssignVMToPool"); fault != nil {
			return fault
		}
		var fault types.BaseMethodFault
		ctx.WithLock(vm, func() {
			if vm.ResourcePool == nil {
				fault = &types.NotSupported{} // a template is in no pool
			} else if now, _ := s.ComputeOf(*vm.ResourcePool); now != target {
				fault = faults.Invalid("list")
			}
		})
		if fault != nil {
			return fault
		}
	}
	return nil
}

// folderShim refuses the names that vcsim's folders would take twice.
type folderShim struct{ shim.Of[*VMs] }

// sizeAttached gives disks that are there already, and are attached to a new VM, their own capacities: whatever a request says
// of it, the disk's descriptor counts. vcsim would take the request's. On vSAN they are listed by the UUID of their directory.
func (s *VMs) sizeAttached(folder types.ManagedObjectReference, changes []types.BaseVirtualDeviceConfigSpec) {
	dc := s.DatacenterOf(folder)
	for _, change := range changes {
		spec := change.GetVirtualDeviceConfigSpec()
		disk, ok := spec.Device.(*types.VirtualDisk)
		if !ok || spec.Operation != types.VirtualDeviceConfigSpecOperationAdd || spec.FileOperation != "" {
			continue
		}
		backing, ok := disk.Backing.(*vdisk.FlatBacking)
		if !ok {
			continue
		}
		ds := s.Datastores.DatastoreIn(&dc, backing.FileName)
		if ds == nil {
			continue // vcsim says what is wrong with the name
		}
		_, file := dsfiles.Split(backing.FileName)
		backing.FileName = dsfiles.Path(ds.Name, datastores.ListedAs(ds, file))
		if desc, err := dsfiles.ReadDescriptor(dsfiles.Local(ds, file)); err == nil {
			disk.CapacityInBytes = int64(desc.Capacity())
			disk.CapacityInKB = disk.CapacityInBytes / 1024
		}
	}
}

// CreateFolder makes a folder; vcsim would escape what is escaped already.
func (sh *folderShim) CreateFolder(ctx *simulator.Context, req *types.CreateFolder) soap.HasFault {
	f := sh.S.Reg.Get(req.This).(*simulator.Folder)
	req.Name = naming.Unescape(req.Name)
	var res soap.HasFault
	ctx.WithLock(f, func() { res = f.CreateFolder(ctx, req) })
	return res
}

// MoveIntoFolderTask moves entities, unless one's name is taken there.
func (sh *folderShim) MoveIntoFolderTask(ctx *simulator.Context, req *types.MoveIntoFolder_Task) soap.HasFault {
	for _, ref := range req.List {
		e, ok := sh.S.Reg.Get(ref).(mo.Entity)
		if !ok {
			return &methods.MoveIntoFolder_TaskBody{Fault_: faults.NotFound(ref)}
		}
		if holder := sh.S.Holder(req.This, e.Entity().Name); holder != nil && *holder != ref {
			fault := &types.DuplicateName{Name: e.Entity().Name, Object: *holder}
			return &methods.MoveIntoFolder_TaskBody{Res: &types.MoveIntoFolder_TaskResponse{
				Returnval: sh.S.Tasks.Failed(ctx, req.This, "moveIntoFolder", fault),
			}}
		}
	}
	var res soap.HasFault
	f := sh.S.Reg.Get(req.This).(*simulator.Folder)
	ctx.WithLock(f, func() { res = f.MoveIntoFolderTask(ctx, req) })
	return res
}
