// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package sim

import (
	"regexp"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"
)

// maxNameBytes is the longest entity name that vCenter takes.
const maxNameBytes = 80

var uuidPattern = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)

func validUUID(id string) bool { return uuidPattern.MatchString(id) }

// placeClone finds the clone's folder, pool and datastore, or says why not.
func (s *Sim) placeClone(p *clonePlan, loc *types.VirtualMachineRelocateSpec) types.BaseMethodFault {
	for _, place := range []func() types.BaseMethodFault{
		func() types.BaseMethodFault { return s.placeFolder(p, loc.Folder) },
		func() types.BaseMethodFault { return s.placePool(p, loc.Pool) },
		func() types.BaseMethodFault { return s.placeDatastore(p, loc.Datastore) },
	} {
		if fault := place(); fault != nil {
			return fault
		}
	}
	return nil
}

// placeFolder: without a folder the clone goes to the datacenter's VM folder, not
// to its parent's.
func (s *Sim) placeFolder(p *clonePlan, ref *types.ManagedObjectReference) types.BaseMethodFault {
	dc, _ := s.ancestor(p.parent.Self, "Datacenter").(*simulator.Datacenter)
	if dc == nil {
		return &types.ManagedObjectNotFound{Obj: p.parent.Self}
	}
	if ref == nil {
		ref = &dc.VmFolder
	}
	folder, ok := s.reg.Get(*ref).(*simulator.Folder)
	if !ok {
		return &types.ManagedObjectNotFound{Obj: *ref}
	}
	if other, _ := s.ancestor(*ref, "Datacenter").(*simulator.Datacenter); other != dc || !holdsVMs(folder) {
		return invalid("spec.location.folder")
	}
	p.folder = folder
	return nil
}

func holdsVMs(f *simulator.Folder) bool {
	for _, kind := range f.ChildType {
		if kind == "VirtualMachine" {
			return true
		}
	}
	return false
}

func (s *Sim) placePool(p *clonePlan, ref *types.ManagedObjectReference) types.BaseMethodFault {
	if ref == nil {
		ref = p.parent.ResourcePool
	}
	pool := s.reg.Get(*ref)
	if poolVMs(pool) == nil {
		return &types.ManagedObjectNotFound{Obj: *ref}
	}
	mine, _ := s.computeOf(p.host.Self)
	theirs, ok := s.computeOf(*ref)
	if !ok || mine != theirs {
		fault := &types.InvalidArgument{InvalidProperty: "spec.pool"}
		fault.FaultMessage = []types.LocalizableMessage{{
			Key:     hostPoolMismatch,
			Message: "Resource pool and host do not belong to the same compute resource.",
		}}
		return fault
	}
	p.pool = pool
	return nil
}

func (s *Sim) placeDatastore(p *clonePlan, ref *types.ManagedObjectReference) types.BaseMethodFault {
	if ref == nil {
		ref = &p.parent.Datastore[0]
	} else if s.cfg.StrictDatastore {
		return invalid("spec.location.datastore")
	}
	ds, ok := s.reg.Get(*ref).(*simulator.Datastore)
	if !ok {
		return &types.ManagedObjectNotFound{Obj: *ref}
	}
	if simulator.FindReference(p.host.Datastore, *ref) == nil {
		return invalid("spec.location.datastore")
	}
	p.datastore = ds
	return nil
}
