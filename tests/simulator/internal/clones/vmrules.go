// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package clones

import (
	"slices"
	"strings"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/core"
	"vforge.vsphere/simulator/internal/deepcopy"
	"vforge.vsphere/simulator/internal/faults"
	"vforge.vsphere/simulator/internal/guests"
	"vforge.vsphere/simulator/internal/hardware"
	"vforge.vsphere/simulator/internal/lookup"
	"vforge.vsphere/simulator/internal/naming"
	"vforge.vsphere/simulator/internal/vhardware"
)

// vmClonePlan is a full or linked clone that passed all rules, with every default
// filled in.
type vmClonePlan struct {
	clonePlan
	spec   *types.VirtualMachineCloneSpec
	disks  []diskClonePlan
	custom *guests.CustomizationPlan
}

// planVMClone applies the rules; the first that is broken is the answer. Whether the name
// is free is another question: see reserve. The caller holds the source's lock. Each
// rule's source is in README.md.
func (s *Clones) planVMClone(source *simulator.VirtualMachine, req *types.CloneVM_Task) (*vmClonePlan, types.BaseMethodFault) {
	spec := &req.Spec
	p := &vmClonePlan{spec: spec, clonePlan: clonePlan{
		parent: source, name: naming.Escape(req.Name), from: source.Config, off: !spec.PowerOn || spec.Template,
	}}
	if spec.Config != nil {
		p.config, p.biosUUID = spec.Config.ExtraConfig, spec.Config.Uuid
	}
	for _, check := range []func() types.BaseMethodFault{
		func() types.BaseMethodFault { return checkVMCloneSpec(req) },
		func() types.BaseMethodFault { return s.cloneFrom(p) },
		func() types.BaseMethodFault { return s.placeVMFolder(p, req.Folder) },
		func() types.BaseMethodFault { return s.placeVMPool(p) },
		func() types.BaseMethodFault { return s.placeVMHost(p) },
		func() types.BaseMethodFault { return s.placeVMDatastore(p) },
		func() types.BaseMethodFault { return s.planDisks(p) },
		func() types.BaseMethodFault { return s.planVMCards(p) },
		func() types.BaseMethodFault { return s.planFirstBoot(p) },
	} {
		if fault := check(); fault != nil {
			return nil, fault
		}
	}
	return p, nil
}

// checkVMCloneSpec refuses what a request may not hold, whatever the inventory.
func checkVMCloneSpec(req *types.CloneVM_Task) types.BaseMethodFault {
	loc := &req.Spec.Location
	switch {
	case req.Name == "":
		return faults.Invalid("name")
	case len(naming.Escape(req.Name)) > vhardware.MaxNameBytes:
		return &types.InvalidName{Name: req.Name}
	case loc.Service != nil, loc.CryptoSpec != nil:
		return &types.NotSupported{} // other vCenters and encryption are not simulated
	case loc.DiskMoveType != "" && !slices.Contains(diskMoveTypes, types.VirtualMachineRelocateDiskMoveOptions(loc.DiskMoveType)):
		return faults.Invalid("spec.location.diskMoveType")
	}
	if req.Spec.Config == nil {
		return nil
	}
	return vhardware.CheckConfigSpec(req.Spec.Config)
}

// cloneFrom finds what is cloned: the VM as it is, or as it was at a snapshot.
func (s *Clones) cloneFrom(p *vmClonePlan) types.BaseMethodFault {
	if p.parent.Runtime.ConnectionState != types.VirtualMachineConnectionStateConnected {
		return &types.InvalidState{}
	}
	ref := p.spec.Snapshot
	if ref == nil {
		return nil
	}
	snapshot, ok := s.Reg.Get(*ref).(*simulator.VirtualMachineSnapshot)
	if !ok {
		return &types.ManagedObjectNotFound{Obj: *ref}
	}
	if snapshot.Vm != p.parent.Self {
		return faults.Invalid("spec.snapshot")
	}
	p.from = &snapshot.Config
	return nil
}

// placeVMFolder finds the clone's folder, which decides the datacenter.
func (s *Clones) placeVMFolder(p *vmClonePlan, ref types.ManagedObjectReference) types.BaseMethodFault {
	folder, ok := s.Reg.Get(ref).(*simulator.Folder)
	if !ok {
		return &types.ManagedObjectNotFound{Obj: ref}
	}
	if !HoldsVMs(folder) {
		return faults.Invalid("folder")
	}
	p.folder = folder
	return nil
}

// placeVMPool finds the clone's pool. A clone of a VM goes to the VM's own without one;
// one of a template has none to go to. A template is in no pool.
func (s *Clones) placeVMPool(p *vmClonePlan) types.BaseMethodFault {
	ref := p.spec.Location.Pool
	if ref == nil {
		ref = p.parent.ResourcePool
	}
	if ref == nil {
		if p.spec.Template {
			return nil
		}
		return faults.Invalid("spec.location.pool")
	}
	pool := s.Reg.Get(*ref)
	if lookup.PoolVMs(pool) == nil {
		return &types.ManagedObjectNotFound{Obj: *ref}
	}
	p.pool = pool
	return nil
}

// placeVMHost finds the clone's host: the one asked for, which must be of the pool's
// compute resource; without one the source's own if it is of that, else the first
// compatible one. A pool of a cluster without DRS needs a host beside it.
func (s *Clones) placeVMHost(p *vmClonePlan) types.BaseMethodFault {
	if ref := p.spec.Location.Host; ref != nil {
		if p.host = s.Host(*ref); p.host == nil {
			return &types.ManagedObjectNotFound{Obj: *ref}
		}
		if p.pool != nil && !s.SameCompute(p.host.Self, p.pool.Reference()) {
			return core.PoolMismatch()
		}
		return core.HostFault(p.host)
	}
	if pool := p.spec.Location.Pool; pool != nil && !s.PlacedByDRS(*pool) {
		return faults.Invalid("spec.location.host")
	}
	p.host = s.HostOf(p.parent)
	if p.pool != nil && (p.host == nil || core.HostFault(p.host) != nil || !s.SameCompute(p.host.Self, p.pool.Reference())) {
		p.host = s.compatibleHost(p)
	}
	if p.host == nil {
		return &types.NoCompatibleHost{}
	}
	return core.HostFault(p.host)
}

// compatibleHost picks the host of a pool's compute resource that sees the datastore and
// has the fewest VMs.
func (s *Clones) compatibleHost(p *vmClonePlan) *simulator.HostSystem {
	wanted := p.spec.Location.Datastore
	if wanted == nil && len(p.parent.Datastore) > 0 {
		wanted = &p.parent.Datastore[0]
	}
	cr, _ := s.ComputeOf(p.pool.Reference())
	return s.LeastHost(cr, func(h *simulator.HostSystem) bool {
		return wanted == nil || simulator.FindReference(h.Datastore, *wanted) != nil
	})
}

// placeVMDatastore finds the datastore of the clone's own files.
func (s *Clones) placeVMDatastore(p *vmClonePlan) types.BaseMethodFault {
	ref := p.spec.Location.Datastore
	if ref == nil {
		ref = &p.parent.Datastore[0]
	}
	if s.DatacenterOf(p.folder.Self) != s.DatacenterOf(p.host.Self) {
		return faults.Invalid("folder")
	}
	ds, ok := s.Reg.Get(*ref).(*simulator.Datastore)
	if !ok {
		return &types.ManagedObjectNotFound{Obj: *ref}
	}
	if simulator.FindReference(p.host.Datastore, *ref) == nil {
		return faults.Invalid("spec.location.datastore")
	}
	p.datastore = ds
	return nil
}

// planVMCards copies the source's devices but for its disks, and applies what the
// location says of network cards; anything else there is ignored. Cards get new
// addresses, unless theirs were given by hand.
func (s *Clones) planVMCards(p *vmClonePlan) types.BaseMethodFault {
	p.devices = vhardware.Connected(deepcopy.Of(hardware.WithoutDisks(p.from.Hardware.Device)), !p.off)
	for _, d := range p.devices {
		if card, ok := d.(types.BaseVirtualEthernetCard); ok {
			nic := card.GetVirtualEthernetCard()
			if nic.AddressType != string(types.VirtualEthernetCardMacTypeManual) {
				nic.MacAddress, nic.AddressType = "", string(types.VirtualEthernetCardMacTypeAssigned)
			}
		}
	}
	h := s.Hardware.NewChange(hardware.Change{Host: p.host, Devices: p.devices})
	for i, c := range p.spec.Location.DeviceChange {
		change := c.GetVirtualDeviceConfigSpec()
		if _, ok := change.Device.(types.BaseVirtualEthernetCard); ok && change.Operation == types.VirtualDeviceConfigSpecOperationEdit {
			if fault := h.Edit(int32(i), change); fault != nil {
				return fault
			}
		}
	}
	return nil
}

// planFirstBoot checks the customization of a clone, which takes place when it first
// boots; a template is not customized.
func (s *Clones) planFirstBoot(p *vmClonePlan) types.BaseMethodFault {
	spec := p.spec.Customization
	if spec == nil || p.spec.Template {
		return nil
	}
	plan := &guests.CustomizationPlan{}
	fault := plan.Identity(strings.HasPrefix(p.from.GuestId, "win"), p.name, spec.Identity)
	if fault == nil {
		fault = plan.Network(p.devices, spec.NicSettingMap)
	}
	if fault != nil {
		return fault
	}
	p.custom = plan
	return nil
}
