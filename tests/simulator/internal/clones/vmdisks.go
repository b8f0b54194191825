// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package clones

import (
	"log"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/disks"
	"vforge.vsphere/simulator/internal/faults"
	"vforge.vsphere/simulator/internal/vdisk"
)

var diskMoveTypes = []types.VirtualMachineRelocateDiskMoveOptions{
	types.VirtualMachineRelocateDiskMoveOptionsMoveAllDiskBackingsAndAllowSharing,
	types.VirtualMachineRelocateDiskMoveOptionsMoveAllDiskBackingsAndDisallowSharing,
	types.VirtualMachineRelocateDiskMoveOptionsMoveChildMostDiskBacking,
	types.VirtualMachineRelocateDiskMoveOptionsCreateNewChildDiskBacking,
	types.VirtualMachineRelocateDiskMoveOptionsMoveAllDiskBackingsAndConsolidate,
}

// diskClonePlan tells how one disk of a clone comes to be.
type diskClonePlan struct {
	disk      *types.VirtualDisk
	datastore *simulator.Datastore
	move      types.VirtualMachineRelocateDiskMoveOptions
}

// planDisks decides for each disk of the source what its clone shares with it.
func (s *Clones) planDisks(p *vmClonePlan) types.BaseMethodFault {
	disks := vdisk.DisksOf(p.from.Hardware.Device)
	locators, fault := s.diskLocators(p, disks)
	if fault != nil {
		return fault
	}
	for _, disk := range disks {
		d := diskClonePlan{disk: disk, datastore: p.datastore, move: types.VirtualMachineRelocateDiskMoveOptions(p.spec.Location.DiskMoveType)}
		if l, ok := locators[disk.Key]; ok {
			d.datastore = s.Reg.Get(l.Datastore).(*simulator.Datastore)
			if l.DiskMoveType != "" {
				d.move = types.VirtualMachineRelocateDiskMoveOptions(l.DiskMoveType)
			}
		}
		// Sharing what a running VM writes to would corrupt it.
		if d.move == types.VirtualMachineRelocateDiskMoveOptionsCreateNewChildDiskBacking && p.spec.Snapshot == nil {
			return faults.Invalid("spec.snapshot")
		}
		if fault := s.checkShared(p, &d); fault != nil {
			return fault
		}
		p.disks = append(p.disks, d)
	}
	return nil
}

func (s *Clones) diskLocators(p *vmClonePlan, disks []*types.VirtualDisk) (map[int32]types.VirtualMachineRelocateSpecDiskLocator, types.BaseMethodFault) {
	out := make(map[int32]types.VirtualMachineRelocateSpecDiskLocator)
	for _, l := range p.spec.Location.Disk {
		found := false
		for _, disk := range disks {
			found = found || disk.Key == l.DiskId
		}
		if !found {
			return nil, faults.Invalid("spec.location.disk.diskId")
		}
		if _, ok := s.Reg.Get(l.Datastore).(*simulator.Datastore); !ok {
			return nil, &types.ManagedObjectNotFound{Obj: l.Datastore}
		}
		if simulator.FindReference(p.host.Datastore, l.Datastore) == nil {
			return nil, faults.Invalid("spec.location.disk.datastore")
		}
		out[l.DiskId] = l
	}
	return out, nil
}

// checkShared refuses a clone on a host that does not see the layers it shares.
func (s *Clones) checkShared(p *vmClonePlan, d *diskClonePlan) types.BaseMethodFault {
	chain := vdisk.DiskChain(d.disk)
	if len(chain) == 0 {
		return &types.NotSupported{} // raw device mappings are not simulated
	}
	for _, layer := range d.shared(chain) {
		if layer.Datastore != nil && simulator.FindReference(p.host.Datastore, *layer.Datastore) == nil {
			return &types.CannotAccessVmDisk{
				CannotAccessVmDevice: types.CannotAccessVmDevice{Device: d.disk.DeviceInfo.GetDescription().Label, Backing: layer.FileName},
				Fault:                *faults.Localized(&types.InvalidDatastore{Datastore: layer.Datastore}),
			}
		}
	}
	return nil
}

// shared are the layers that the clone does not get copies of.
func (d *diskClonePlan) shared(chain []*vdisk.FlatBacking) []*vdisk.FlatBacking {
	switch d.move {
	case types.VirtualMachineRelocateDiskMoveOptionsCreateNewChildDiskBacking:
		return chain
	case types.VirtualMachineRelocateDiskMoveOptionsMoveChildMostDiskBacking:
		return chain[1:]
	}
	return nil
}

// cloneDisks makes the clone's disks: a delta on what is shared, or a copy of all.
func (s *Clones) cloneDisks(p *vmClonePlan, home *disks.Home) ([]types.BaseVirtualDevice, types.BaseMethodFault) {
	var out []types.BaseVirtualDevice
	for _, d := range p.disks {
		file := home.NewDisk(d.datastore)
		if fault := s.roomForClone(&d, file); fault != nil {
			return nil, fault
		}
		backing, err := s.cloneDisk(&d, file)
		if err != nil {
			log.Printf("vforge-sim: clone %s: %v", p.name, err)
			return nil, &types.FileFault{File: home.Name}
		}
		copied := *d.disk
		copied.Backing = backing
		out = append(out, &copied)
	}
	return out, nil
}

// roomForClone refuses a copy that its datastore has no room for. Of a chain that is shared in part
// all is counted, on the safe side.
func (s *Clones) roomForClone(d *diskClonePlan, file string) types.BaseMethodFault {
	chain, capacity := vdisk.DiskChain(d.disk), d.disk.CapacityInBytes
	shared := d.shared(chain)
	if len(shared) == len(chain) {
		return s.Datastores.Room(d.datastore, file, 0, true)
	}
	if len(shared) == 0 && (chain[0].ThinProvisioned == nil || !*chain[0].ThinProvisioned) {
		return s.Datastores.Room(d.datastore, file, capacity, false)
	}
	need, err := s.Disks.Allocated(chain[0], capacity)
	if err != nil {
		log.Printf("vforge-sim: the size of %s: %v", chain[0].FileName, err)
		return &types.FileFault{File: chain[0].FileName}
	}
	return s.Datastores.Room(d.datastore, file, need, false)
}

func (s *Clones) cloneDisk(d *diskClonePlan, file string) (*vdisk.FlatBacking, error) {
	chain := vdisk.DiskChain(d.disk)
	capacity := d.disk.CapacityInBytes
	switch shared := d.shared(chain); {
	case len(shared) == len(chain):
		return disks.NewDelta(d.datastore, file, shared[0], capacity)
	case len(shared) > 0:
		return s.Disks.CopyLayer(d.datastore, file, chain[0], capacity)
	}
	return s.Disks.CopyDisk(d.datastore, file, chain[0], capacity)
}
