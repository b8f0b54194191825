// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package disks

import (
	"errors"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/dsfiles"
)

// NewDelta makes the files of a layer on top of another and describes it. The
// layer below is shared, not copied: it never changes again.
func NewDelta(ds *simulator.Datastore, file string, below *types.VirtualDiskFlatVer2BackingInfo, capacity int64) (*types.VirtualDiskFlatVer2BackingInfo, error) {
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

// GrowParent puts a new delta on every disk of a running parent.
func (s *Disks) GrowParent(ctx *simulator.Context, vm *simulator.VirtualMachine) error {
	number := s.NextDelta(vm.Self)
	devices := make([]types.BaseVirtualDevice, 0, len(vm.Config.Hardware.Device))
	var failed error
	for _, d := range vm.Config.Hardware.Device {
		if disk, ok := d.(*types.VirtualDisk); ok {
			grown, err := s.GrowDisk(vm, disk, number)
			if err != nil {
				failed = errors.Join(failed, err)
			} else {
				d = grown
			}
		}
		devices = append(devices, d)
	}
	s.SetDevices(ctx, vm, devices)
	s.TrackLayers(vm)
	return failed
}

// GrowDisk puts a new delta on a disk.
func (s *Disks) GrowDisk(vm *simulator.VirtualMachine, disk *types.VirtualDisk, number int) (*types.VirtualDisk, error) {
	top, ok := disk.Backing.(*types.VirtualDiskFlatVer2BackingInfo)
	if !ok {
		return disk, nil
	}
	ds, name, err := s.freeLayerName(vm, top, number)
	if err != nil {
		return nil, err
	}
	delta, err := NewDelta(ds, name, top, disk.CapacityInBytes)
	if err != nil {
		return nil, err
	}
	delta.ChangeId = top.ChangeId
	grown := *disk
	grown.Backing = delta
	return &grown, nil
}
