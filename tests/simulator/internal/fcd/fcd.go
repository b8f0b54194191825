// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package fcd

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/vdisk"
)

// MB is the unit in which the API has the capacity of first class disks.
const MB = 1 << 20

// Snapshot is a snapshot of a disk: the layer of the same place in the disk's chain.
type Snapshot struct {
	ID, Description, BackingID string
	Created                    time.Time
	Mark                       vdisk.Mark // of change tracking; without a tracker where it was off
	Metadata                   []types.KeyValue
}

// Disk is one first class disk. Who reads or changes it holds its catalogue's lock.
type Disk struct {
	ID, Name, BackingID string
	Datastore           types.ManagedObjectReference
	Created             time.Time
	CapacityMB          int64
	Provisioning        string
	Keep, Fixed, CBT    bool // keepAfterDeleteVm, relocationDisabled, changedBlockTrackingEnabled
	Profile             string
	Metadata            []types.KeyValue
	Tags                []types.VslmTagEntry
	// Layers are its files, the base disk first. All but the last are those of Snapshots.
	Layers    []*vdisk.FlatBacking
	Snapshots []Snapshot
	// VM has it attached as the disk with Key; nil where no VM has.
	VM  *types.ManagedObjectReference
	Key int32
}

// Top is the layer that is written to.
func (d *Disk) Top() *vdisk.FlatBacking { return d.Layers[len(d.Layers)-1] }

// Bytes is its capacity.
func (d *Disk) Bytes() int64 { return d.CapacityMB * MB }

// Ref is what tables of layers and of change tracking have it by, beside VMs.
func (d *Disk) Ref() types.ManagedObjectReference {
	return types.ManagedObjectReference{Type: "FirstClassDisk", Value: d.ID}
}

// Device is the disk as one of a VM would be, for tables that know disks of VMs.
func (d *Disk) Device() *types.VirtualDisk {
	return &types.VirtualDisk{
		VirtualDevice:   types.VirtualDevice{Key: d.Key, Backing: d.Top()},
		CapacityInBytes: d.Bytes(), VDiskId: &types.ID{Id: d.ID},
	}
}

// SnapshotAt is the place of a snapshot, or -1.
func (d *Disk) SnapshotAt(id string) int {
	return slices.IndexFunc(d.Snapshots, func(s Snapshot) bool { return s.ID == id })
}

// Rebuild makes the chain of layers that the descriptions in layers name, from the base on: each
// gets the one before as its parent.
func Rebuild(layers []*vdisk.FlatBacking) []*vdisk.FlatBacking {
	out := make([]*vdisk.FlatBacking, 0, len(layers))
	var below *vdisk.FlatBacking
	for _, layer := range layers {
		made := *layer
		made.Parent = below
		below = &made
		out = append(out, below)
	}
	return out
}

// Object is the disk as the API shows it.
func (d *Disk) Object(consumer string) types.VStorageObject {
	var parent *types.BaseConfigInfoFileBackingInfo
	for _, b := range d.Layers[:len(d.Layers)-1] {
		parent = &types.BaseConfigInfoFileBackingInfo{
			BaseConfigInfoBackingInfo: types.BaseConfigInfoBackingInfo{Datastore: d.Datastore}, FilePath: b.FileName, Parent: parent,
		}
	}
	info := types.VStorageObjectConfigInfo{
		BaseConfigInfo: types.BaseConfigInfo{
			Id: types.ID{Id: d.ID}, Name: d.Name, CreateTime: d.Created,
			KeepAfterDeleteVm: types.NewBool(d.Keep), RelocationDisabled: types.NewBool(d.Fixed),
			NativeSnapshotSupported: types.NewBool(false), ChangedBlockTrackingEnabled: types.NewBool(d.CBT),
			Backing: &types.BaseConfigInfoDiskFileBackingInfo{
				BaseConfigInfoFileBackingInfo: types.BaseConfigInfoFileBackingInfo{
					BaseConfigInfoBackingInfo: types.BaseConfigInfoBackingInfo{Datastore: d.Datastore},
					FilePath:                  d.Top().FileName, BackingObjectId: d.BackingID, Parent: parent,
				},
				ProvisioningType: d.Provisioning,
			},
			Metadata: slices.Clone(d.Metadata),
		},
		CapacityInMB: d.CapacityMB, ConsumptionType: []string{"disk"},
	}
	if consumer != "" {
		info.ConsumerId = []types.ID{{Id: consumer}}
	}
	return types.VStorageObject{Config: info}
}

// Merged is metadata with pairs set and keys removed; an empty list is none.
func Merged(old, set []types.KeyValue, remove []string) []types.KeyValue {
	var out []types.KeyValue
	for _, pair := range old {
		again := slices.ContainsFunc(set, func(p types.KeyValue) bool { return p.Key == pair.Key })
		if !again && !slices.Contains(remove, pair.Key) {
			out = append(out, pair)
		}
	}
	out = append(out, set...)
	slices.SortFunc(out, func(a, b types.KeyValue) int { return cmp.Compare(a.Key, b.Key) })
	return out
}

// Flags sets or clears control flags; those that are not named stay. It returns false, and
// changes nothing, where one is none.
func (d *Disk) Flags(names []string, on bool) bool {
	into := map[string]*bool{
		string(types.VslmVStorageObjectControlFlagKeepAfterDeleteVm):          &d.Keep,
		string(types.VslmVStorageObjectControlFlagDisableRelocation):          &d.Fixed,
		string(types.VslmVStorageObjectControlFlagEnableChangedBlockTracking): &d.CBT,
	}
	for _, name := range names {
		if into[name] == nil {
			return false
		}
	}
	for _, name := range names {
		*into[name] = on
	}
	return true
}

// Catalogue knows all first class disks.
type Catalogue struct {
	sync.Mutex
	disks map[string]*Disk
}

// Get is the disk of an ID on a datastore, or nil. The caller holds the lock.
func (c *Catalogue) Get(datastore types.ManagedObjectReference, id string) *Disk {
	if d := c.disks[id]; d != nil && d.Datastore == datastore {
		return d
	}
	return nil
}

// Named is the disk of an ID, wherever it is, or nil. The caller holds the lock.
func (c *Catalogue) Named(id string) *Disk { return c.disks[id] }

// Put adds a disk. The caller holds the lock.
func (c *Catalogue) Put(d *Disk) {
	if c.disks == nil {
		c.disks = make(map[string]*Disk)
	}
	c.disks[d.ID] = d
}

// Remove forgets a disk. The caller holds the lock.
func (c *Catalogue) Remove(id string) { delete(c.disks, id) }

// All lists the disks of a datastore, or of all where it is nil, in the order of their IDs. The
// caller holds the lock.
func (c *Catalogue) All(datastore *types.ManagedObjectReference) []*Disk {
	var out []*Disk
	for _, d := range c.disks {
		if datastore == nil || d.Datastore == *datastore {
			out = append(out, d)
		}
	}
	slices.SortFunc(out, func(a, b *Disk) int { return cmp.Compare(a.ID, b.ID) })
	return out
}

// Of lists the disks that a VM has attached. The caller holds the lock.
func (c *Catalogue) Of(vm types.ManagedObjectReference) []*Disk {
	var out []*Disk
	for _, d := range c.All(nil) {
		if d.VM != nil && *d.VM == vm {
			out = append(out, d)
		}
	}
	return out
}
