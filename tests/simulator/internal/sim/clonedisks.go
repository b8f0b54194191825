// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package sim

import (
	"errors"
	"fmt"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/dsfiles"
	"vforge.vsphere/simulator/internal/vdisk"
)

// forkDisks makes the clone's disks: for each disk of the parent a delta whose
// parent is what is the parent's top layer now. A running parent goes on writing,
// so it gets a delta of its own; a frozen one writes nothing and stays as it is.
func (s *Sim) forkDisks(ctx *simulator.Context, p *clonePlan, base string) ([]types.BaseVirtualDevice, error) {
	var out []types.BaseVirtualDevice
	for i, disk := range vdisk.DisksOf(p.parent.Config.Hardware.Device) {
		top, ok := disk.Backing.(*types.VirtualDiskFlatVer2BackingInfo)
		if !ok {
			return nil, fmt.Errorf("disk %d has a backing of type %T", disk.Key, disk.Backing)
		}
		name := base
		if i > 0 {
			name = fmt.Sprintf("%s_%d", base, i)
		}
		delta, err := newDelta(p.datastore, name+"-000001.vmdk", top, disk.CapacityInBytes)
		if err != nil {
			return nil, err
		}
		copied := *disk
		copied.Backing = delta
		out = append(out, &copied)
	}
	if frozen(p.parent) || p.fork != nil {
		return out, nil
	}
	return out, s.growParent(ctx, p.parent)
}

// newDelta makes the files of a layer on top of another and describes it. The
// layer below is shared, not copied: it never changes again.
func newDelta(ds *simulator.Datastore, file string, below *types.VirtualDiskFlatVer2BackingInfo, capacity int64) (*types.VirtualDiskFlatVer2BackingInfo, error) {
	if err := dsfiles.WriteDisk(ds, file, dsfiles.Layer{Capacity: capacity, Parent: below.FileName}); err != nil {
		return nil, err
	}
	ref := ds.Self
	delta := *below
	delta.FileName, delta.Datastore = dsfiles.Path(ds.Name, file), &ref
	delta.DeltaDiskFormat = "seSparseFormat"
	delta.ContentId, delta.ChangeId = "", ""
	delta.Parent = below
	return &delta, nil
}

// growParent puts a new delta on every disk of a running parent.
func (s *Sim) growParent(ctx *simulator.Context, vm *simulator.VirtualMachine) error {
	number := s.nextDelta(vm.Self)
	devices := make([]types.BaseVirtualDevice, 0, len(vm.Config.Hardware.Device))
	var failed error
	for _, d := range vm.Config.Hardware.Device {
		if disk, ok := d.(*types.VirtualDisk); ok {
			grown, err := s.growDisk(vm, disk, number)
			if err != nil {
				failed = errors.Join(failed, err)
			} else {
				d = grown
			}
		}
		devices = append(devices, d)
	}
	s.setDevices(ctx, vm, devices)
	s.trackLayers(vm)
	return failed
}

// growDisk puts a new delta on a disk.
func (s *Sim) growDisk(vm *simulator.VirtualMachine, disk *types.VirtualDisk, number int) (*types.VirtualDisk, error) {
	top, ok := disk.Backing.(*types.VirtualDiskFlatVer2BackingInfo)
	if !ok {
		return disk, nil
	}
	ds, name, err := s.freeLayerName(vm, top, number)
	if err != nil {
		return nil, err
	}
	delta, err := newDelta(ds, name, top, disk.CapacityInBytes)
	if err != nil {
		return nil, err
	}
	delta.ChangeId = top.ChangeId
	grown := *disk
	grown.Backing = delta
	return &grown, nil
}
