// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package disks

import (
	"errors"
	"fmt"
	"log"
	"maps"
	"os"
	"path"
	"regexp"
	"strings"
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/dsfiles"
	"vforge.vsphere/simulator/internal/ids"
	"vforge.vsphere/simulator/internal/vdisk"
)

// Consolidation merges layers of one VM's disks. The caller holds the VM's lock and
// calls finish at the end.
type Consolidation struct {
	s      *Disks
	ctx    *simulator.Context
	vm     *simulator.VirtualMachine
	Before map[vdisk.LayerKey]bool
}

// Consolidating begins a consolidation of the disks of a VM.
func (s *Disks) Consolidating(ctx *simulator.Context, vm *simulator.VirtualMachine) *Consolidation {
	return &Consolidation{s, ctx, vm, s.LayerUsers.Levels(vm.Self)}
}

// Finish deletes the layers that have fallen out of all chains, as far as they are the
// VM's own. One that others build on goes with the last of them.
func (c *Consolidation) Finish() {
	c.s.TrackLayers(c.vm)
	now := c.s.LayerUsers.Levels(c.vm.Self)
	for key := range c.Before {
		switch {
		case now[key] || !c.own(key):
		case c.s.LayerUsers.Shared(c.vm.Self, key):
			c.s.LayerUsers.Abandon(key)
		default:
			c.s.RemoveLevel(key)
		}
	}
	c.s.RemoveOrphans()
}

// own tells if a layer lies in the VM's folder.
func (c *Consolidation) own(key vdisk.LayerKey) bool {
	return path.Dir(key.File) == path.Dir(c.vm.Config.Files.VmPathName)
}

// free tells if a layer may be written to or deleted: it is the VM's, and no other VM
// reads it.
func (c *Consolidation) free(b *vdisk.FlatBacking) bool {
	return c.own(vdisk.KeyOf(b)) && !c.s.LayerUsers.Shared(c.vm.Self, vdisk.KeyOf(b))
}

// forest is how the layers of a VM's disks rest on each other: those of its current
// disks and those of all snapshots.
type forest struct {
	Known map[vdisk.LayerKey]*vdisk.FlatBacking
	sizes map[vdisk.LayerKey]int64
	above map[vdisk.LayerKey]map[vdisk.LayerKey]bool // the layers that rest on one
	tops  map[vdisk.LayerKey]bool                    // what a disk or a snapshot's disk begins with
}

// Forest collects the layers that the VM and its snapshots have.
func (c *Consolidation) Forest() *forest {
	f := &forest{
		Known: make(map[vdisk.LayerKey]*vdisk.FlatBacking), sizes: make(map[vdisk.LayerKey]int64),
		above: make(map[vdisk.LayerKey]map[vdisk.LayerKey]bool), tops: make(map[vdisk.LayerKey]bool),
	}
	f.add(c.vm.Config.Hardware.Device)
	for _, snapshot := range c.s.SnapshotsOf(c.vm) {
		f.add(snapshot.Config.Hardware.Device)
	}
	return f
}

func (f *forest) add(devices []types.BaseVirtualDevice) {
	for _, disk := range vdisk.DisksOf(devices) {
		for i, b := range vdisk.DiskChain(disk) {
			key := vdisk.KeyOf(b)
			f.Known[key], f.sizes[key] = b, disk.CapacityInBytes
			if i == 0 {
				f.tops[key] = true
			}
			if b.Parent == nil {
				continue
			}
			below := vdisk.KeyOf(b.Parent)
			if f.above[below] == nil {
				f.above[below] = make(map[vdisk.LayerKey]bool)
			}
			f.above[below][key] = true
		}
	}
}

// Settle merges, for each of the layers that are no snapshot's any more, the one layer
// that rests on it into it, if that is possible: none of the two is read by others,
// and nothing else rests on it.
func (c *Consolidation) Settle(layers []*vdisk.FlatBacking) error {
	var failed error
	for _, b := range layers {
		f := c.Forest()
		for b != nil && f.Known[vdisk.KeyOf(b)] == nil {
			b = b.Parent // an abandoned branch: what it grew from may be in the way now
		}
		if b == nil || f.tops[vdisk.KeyOf(b)] || len(f.above[vdisk.KeyOf(b)]) != 1 || !c.free(b) {
			continue
		}
		for key := range maps.Keys(f.above[vdisk.KeyOf(b)]) {
			if upper := f.Known[key]; c.free(upper) {
				failed = errors.Join(failed, c.merge(upper, f.sizes[key]))
			}
		}
	}
	return failed
}

// merge writes a layer into the one below it, which takes its place in all chains.
func (c *Consolidation) merge(upper *vdisk.FlatBacking, capacity int64) error {
	image, err := c.s.DiskLayers.Image(upper, capacity)
	if err != nil {
		return err
	}
	if err := image.CopyTo(image.Layers[1], 1); err != nil {
		return err
	}
	gone := vdisk.KeyOf(upper)
	c.rechain(func(b *vdisk.FlatBacking) *vdisk.FlatBacking { return without(b, gone) })
	return nil
}

// without cuts a layer out of a chain. What is the disk's, and not the layer's, stays
// when it was the top one.
func without(b *vdisk.FlatBacking, gone vdisk.LayerKey) *vdisk.FlatBacking {
	if b == nil {
		return nil
	}
	if vdisk.KeyOf(b) == gone {
		below := *b.Parent
		below.DiskMode, below.ChangeId = b.DiskMode, b.ChangeId
		return &below
	}
	below := without(b.Parent, gone)
	if below == b.Parent {
		return b
	}
	out := *b
	out.Parent = below
	return &out
}

// rechain gives the disks of the VM and of its snapshots other chains.
func (c *Consolidation) rechain(change func(*vdisk.FlatBacking) *vdisk.FlatBacking) {
	if devices, changed := rechained(c.vm.Config.Hardware.Device, change); changed {
		c.ctx.Update(c.vm, OtherDevices(devices))
	}
	for _, snapshot := range c.s.SnapshotsOf(c.vm) {
		if devices, changed := rechained(snapshot.Config.Hardware.Device, change); changed {
			c.s.Reg.AtomicUpdate(c.ctx, snapshot, []types.PropertyChange{{Name: "config.hardware.device", Val: devices}})
		}
	}
}

func rechained(devices []types.BaseVirtualDevice, change func(*vdisk.FlatBacking) *vdisk.FlatBacking) (out []types.BaseVirtualDevice, changed bool) {
	for _, d := range devices {
		if disk, ok := d.(*types.VirtualDisk); ok {
			if b, ok := disk.Backing.(*vdisk.FlatBacking); ok {
				if other := change(b); other != b {
					moved := *disk
					moved.Backing, d, changed = other, &moved, true
				}
			}
		}
		out = append(out, d)
	}
	return out, changed
}

// Collapse leaves one layer of those of each disk that are the VM's own: what shows
// of them all. A linked clone keeps the layers of other VMs below it. Where nobody
// else reads the VM's layers, the upper ones are written into the lowest; else that
// would change what others read, and the disk gets a new file.
func (c *Consolidation) Collapse() error {
	var failed error
	c.rechain(func(top *vdisk.FlatBacking) *vdisk.FlatBacking {
		own := c.ownLevels(top)
		if len(own) < 2 {
			return top
		}
		merged, err := c.collapseDisk(own)
		if err != nil {
			failed = errors.Join(failed, err)
			return top
		}
		return merged
	})
	return failed
}

// ownLevels are the levels of a disk that lie in the VM's folder, top first.
func (c *Consolidation) ownLevels(top *vdisk.FlatBacking) []*vdisk.FlatBacking {
	var own []*vdisk.FlatBacking
	for b := top; b != nil && c.own(vdisk.KeyOf(b)); b = b.Parent {
		own = append(own, b)
	}
	return own
}

func (c *Consolidation) collapseDisk(own []*vdisk.FlatBacking) (*vdisk.FlatBacking, error) {
	top, lowest := own[0], own[len(own)-1]
	capacity := c.Forest().sizes[vdisk.KeyOf(top)]
	image, err := c.s.DiskLayers.Image(top, capacity)
	if err != nil {
		return nil, err
	}
	merged := *lowest
	merged.DiskMode, merged.ChangeId = top.DiskMode, top.ChangeId
	for _, b := range own {
		if !c.free(b) {
			return c.detached(image, len(own), &merged)
		}
	}
	return &merged, image.CopyTo(image.Layers[len(own)-1], len(own)-1)
}

// detached writes the upper n layers of a disk into a new file.
func (c *Consolidation) detached(image *vdisk.Image, n int, like *vdisk.FlatBacking) (*vdisk.FlatBacking, error) {
	ds, file, err := c.s.freeLayerName(c.vm, like, c.s.NextDelta(c.vm.Self))
	if err != nil {
		return nil, err
	}
	out, ref := *like, ds.Self
	out.FileName, out.Datastore, out.Uuid = dsfiles.Path(ds.Name, file), &ref, ids.NewUUID(0x60)
	into, err := c.s.DiskLayers.Layer(&out, image.Capacity)
	if err != nil {
		return nil, err
	}
	return &out, image.CopyTo(into, n)
}

// numbered is the end of the name of a file that had another before it.
var numbered = regexp.MustCompile(`-\d{6}$`)

// freeLayerName is a name that no layer has yet, beside the VM's other files: that of
// the disk's base with a number, from the given one on.
func (s *Disks) freeLayerName(vm *simulator.VirtualMachine, b *vdisk.FlatBacking, number int) (*simulator.Datastore, string, error) {
	for b.Parent != nil {
		b = b.Parent
	}
	dsName, vmx := dsfiles.Split(vm.Config.Files.VmPathName)
	ds, ok := s.DatastoreOf(vm, dsName)
	if !ok {
		return nil, "", fmt.Errorf("datastore %q is not on the VM's host", dsName)
	}
	// The layer lies beside the VM's own files, also where the disk began as another VM's.
	_, file := dsfiles.Split(b.FileName)
	base := path.Join(path.Dir(vmx), numbered.ReplaceAllString(strings.TrimSuffix(path.Base(file), path.Ext(file)), ""))
	for taken := s.LayerUsers.Levels(vm.Self); ; number++ {
		file := fmt.Sprintf("%s-%06d.vmdk", base, number)
		_, err := os.Stat(dsfiles.Local(ds, file))
		if errors.Is(err, os.ErrNotExist) && !taken[vdisk.LayerKey{Datastore: ds.Self.Value, File: dsfiles.Path(ds.Name, file)}] {
			return ds, file, nil
		}
	}
}

// NextDelta numbers the layers that a VM's disks get.
func (s *Disks) NextDelta(vm types.ManagedObjectReference) (number int) {
	s.deltas.With(vm, func(last *int) {
		*last++
		number = *last
	})
	return number
}

// RemoveLevel deletes the files of a layer, and its folder with the last of them.
func (s *Disks) RemoveLevel(key vdisk.LayerKey) {
	ds, ok := s.Reg.Get(types.ManagedObjectReference{Type: "Datastore", Value: key.Datastore}).(*simulator.Datastore)
	if !ok {
		return
	}
	_, file := dsfiles.Split(key.File)
	err := s.DiskLayers.Remove([]string{
		dsfiles.Local(ds, file), dsfiles.Local(ds, dsfiles.Extent(file, true)), dsfiles.Local(ds, dsfiles.Extent(file, false)),
	})
	if err != nil {
		log.Printf("vforge-sim: removing %s: %v", key.File, err)
	}
	if left, err := os.ReadDir(dsfiles.Local(ds, path.Dir(file))); err == nil && len(left) == 0 {
		if err := os.Remove(dsfiles.Local(ds, path.Dir(file))); err != nil {
			log.Printf("vforge-sim: removing %s: %v", path.Dir(file), err)
		}
	}
}

// RemoveOrphans deletes the layers whose last user has gone.
func (s *Disks) RemoveOrphans() {
	for _, key := range s.LayerUsers.Orphans() {
		s.RemoveLevel(key)
	}
}

// SetDevices replaces a VM's devices and tells what that makes of its files.
func (s *Disks) SetDevices(ctx *simulator.Context, vm *simulator.VirtualMachine, devices []types.BaseVirtualDevice) {
	ctx.Update(vm, OtherDevices(devices))
	s.TellFiles(ctx, vm)
}

// OtherDevices is what changes of a VM that has other devices, or disks on other layers: its configuration is of another version.
func OtherDevices(devices []types.BaseVirtualDevice) []types.PropertyChange {
	return []types.PropertyChange{
		{Name: "config.hardware.device", Val: devices},
		{Name: "config.changeVersion", Val: fmt.Sprint(time.Now().UnixNano())},
	}
}

// TellFiles tells clients what files a VM has now.
func (s *Disks) TellFiles(ctx *simulator.Context, vm *simulator.VirtualMachine) {
	s.RefreshFiles(vm)
	ctx.Update(vm, []types.PropertyChange{
		{Name: "layout", Val: vm.Layout},
		{Name: "layoutEx", Val: vm.LayoutEx},
		{Name: "storage", Val: vm.Storage},
		{Name: "summary.storage", Val: vm.Summary.Storage},
	})
}

// LayerNamed finds the layer of a disk that a file is, or nil.
func LayerNamed(disk *types.VirtualDisk, ds *simulator.Datastore, file string) *vdisk.FlatBacking {
	for _, b := range vdisk.DiskChain(disk) {
		if _, f := dsfiles.Split(b.FileName); f == file && b.Datastore != nil && *b.Datastore == ds.Self {
			return b
		}
	}
	return nil
}
