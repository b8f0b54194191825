// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package disks

import (
	"cmp"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/dsfiles"
	"vforge.vsphere/simulator/internal/ids"
	"vforge.vsphere/simulator/internal/vdisk"
)

// NewBaseDisk makes the files of an empty disk and describes it.
func NewBaseDisk(ds *simulator.Datastore, file string, capacity int64) (*vdisk.FlatBacking, error) {
	if err := dsfiles.WriteDisk(ds, file, dsfiles.Layer{Capacity: capacity}); err != nil {
		return nil, err
	}
	return BaseBacking(ds, file), nil
}

// BaseBacking describes a disk that builds on no other, as its descriptor
// says.
func BaseBacking(ds *simulator.Datastore, file string) *vdisk.FlatBacking {
	ref := ds.Self
	id, thin := ids.NewUUID(0x60), true
	if desc, err := dsfiles.ReadDescriptor(dsfiles.Local(ds, file)); err == nil {
		id, thin = cmp.Or(dsfiles.PlainUUID(desc.DDB["uuid"]), id), desc.DDB["thinProvisioned"] == "1"
	}
	return &vdisk.FlatBacking{
		VirtualDeviceFileBackingInfo: types.VirtualDeviceFileBackingInfo{FileName: dsfiles.Path(ds.Name, file), Datastore: &ref},
		DiskMode:                     string(types.VirtualDiskModePersistent),
		ThinProvisioned:              types.NewBool(thin),
		Uuid:                         id,
	}
}

// CopyDisk makes one disk of what a chain of layers holds.
func (s *Disks) CopyDisk(ds *simulator.Datastore, file string, top *vdisk.FlatBacking, capacity int64) (*vdisk.FlatBacking, error) {
	made, err := NewBaseDisk(ds, file, capacity)
	if err != nil {
		return nil, err
	}
	made.DiskMode, made.ThinProvisioned, made.EagerlyScrub = top.DiskMode, top.ThinProvisioned, top.EagerlyScrub
	return made, s.CopyBytes(made, top, capacity, len(layersOf(top)))
}

// CopyLayer copies one layer; what is below it is shared.
func (s *Disks) CopyLayer(ds *simulator.Datastore, file string, layer *vdisk.FlatBacking, capacity int64) (*vdisk.FlatBacking, error) {
	made, err := NewDelta(ds, file, layer.Parent, capacity)
	if err != nil {
		return nil, err
	}
	return made, s.CopyBytes(made, layer, capacity, 1)
}

// CopyBytes writes what the upper n layers of a chain hold into a new layer.
func (s *Disks) CopyBytes(into, top *vdisk.FlatBacking, capacity int64, n int) error {
	to, err := s.DiskLayers.Layer(into, capacity)
	if err != nil {
		return err
	}
	from, err := s.DiskLayers.Image(top, capacity)
	if err != nil {
		return err
	}
	return from.CopyTo(to, n)
}

// Allocated is how many bytes a chain has.
func (s *Disks) Allocated(top *vdisk.FlatBacking, capacity int64) (int64, error) {
	image, err := s.DiskLayers.Image(top, capacity)
	if err != nil {
		return 0, err
	}
	return image.Allocated().Bytes(), nil
}

// layersOf lists a layer and those below it.
func layersOf(top *vdisk.FlatBacking) []*vdisk.FlatBacking {
	var out []*vdisk.FlatBacking
	for b := top; b != nil; b = b.Parent {
		out = append(out, b)
	}
	return out
}

// GrowBase makes a base disk larger; what is new reads as zeros.
func (s *Disks) GrowBase(b *vdisk.FlatBacking, from, to int64) error {
	l, err := s.DiskLayers.Layer(b, from)
	if err != nil {
		return err
	}
	return l.Grow(to)
}
