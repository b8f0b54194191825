// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package clones

import (
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/core"
	"vforge.vsphere/simulator/internal/faults"
	"vforge.vsphere/simulator/internal/lookup"
)

// placeFolder finds the clone's folder. Without one in the request the clone goes to the datacenter's VM folder, not
// to its parent's.
func (s *Clones) placeFolder(p *clonePlan, ref *types.ManagedObjectReference) types.BaseMethodFault {
	dc, _ := s.Ancestor(p.parent.Self, "Datacenter").(*simulator.Datacenter)
	if dc == nil {
		return &types.ManagedObjectNotFound{Obj: p.parent.Self}
	}
	if ref == nil {
		ref = &dc.VmFolder
	}
	folder, ok := s.Reg.Get(*ref).(*simulator.Folder)
	if !ok {
		return &types.ManagedObjectNotFound{Obj: *ref}
	}
	if other, _ := s.Ancestor(*ref, "Datacenter").(*simulator.Datacenter); other != dc || !HoldsVMs(folder) {
		return faults.Invalid("spec.location.folder")
	}
	p.folder = folder
	return nil
}

// HoldsVMs tells if a folder takes VMs.
func HoldsVMs(f *simulator.Folder) bool {
	for _, kind := range f.ChildType {
		if kind == "VirtualMachine" {
			return true
		}
	}
	return false
}

// placePool finds the clone's pool, which must be of the host's compute resource.
func (s *Clones) placePool(p *clonePlan, ref *types.ManagedObjectReference) types.BaseMethodFault {
	if ref == nil {
		ref = p.parent.ResourcePool
	}
	if ref == nil || p.host == nil {
		return nil // a template, or a VM without a host: other rules refuse it
	}
	pool := s.Reg.Get(*ref)
	if lookup.PoolVMs(pool) == nil {
		return &types.ManagedObjectNotFound{Obj: *ref}
	}
	mine, _ := s.ComputeOf(p.host.Self)
	theirs, ok := s.ComputeOf(*ref)
	if !ok || mine != theirs {
		fault := &types.InvalidArgument{InvalidProperty: "spec.pool"}
		fault.FaultMessage = []types.LocalizableMessage{{
			Key:     core.HostPoolMismatch,
			Message: "Resource pool and host do not belong to the same compute resource.",
		}}
		return fault
	}
	p.pool = pool
	return nil
}

// placeDatastore finds the datastore of the clone's own files.
func (s *Clones) placeDatastore(p *clonePlan, ref *types.ManagedObjectReference) types.BaseMethodFault {
	if ref == nil {
		ref = &p.parent.Datastore[0]
	} else if s.Cfg.StrictDatastore {
		return faults.Invalid("spec.location.datastore")
	}
	ds, ok := s.Reg.Get(*ref).(*simulator.Datastore)
	if !ok {
		return &types.ManagedObjectNotFound{Obj: *ref}
	}
	if p.host != nil && simulator.FindReference(p.host.Datastore, *ref) == nil {
		return faults.Invalid("spec.location.datastore")
	}
	p.datastore = ds
	return nil
}
