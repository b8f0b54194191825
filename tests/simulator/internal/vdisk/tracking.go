// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package vdisk

import (
	"crypto/rand"
	"fmt"
	"strings"
	"sync"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"
)

// tracker is the change tracking of one disk. Time is cut into epochs: a changeId names
// the moment at which one began, and what is written from then on belongs to it.
type tracker struct {
	id       string  // the first half of its changeIds
	epochs   []Spans // what was written in each; moment 1 began epochs[0]
	Complete bool    // no snapshot hid what was in use when tracking was switched on
	capacity int64   // of the disk
	broken   bool    // its file did not survive a power failure
}

// moment is the one that the current epoch began with.
func (t *tracker) moment() int { return len(t.epochs) }

func (t *tracker) changeID(moment int) string { return fmt.Sprintf("%s/%d", t.id, moment) }

// since is what was written from one moment to another.
func (t *tracker) since(from, to int) Spans {
	var out Spans
	for _, epoch := range t.epochs[from-1 : to-1] {
		out = out.Union(epoch)
	}
	return out
}

// Mark is a moment of a tracker, which a snapshot keeps.
type Mark struct {
	Tracker *tracker
	moment  int
}

// Tracks holds the trackers of all disks that are tracked, by device key, and the
// marks of snapshots.
type Tracks struct {
	mu    sync.Mutex
	live  map[types.ManagedObjectReference]map[int32]*tracker
	marks map[types.ManagedObjectReference]map[int32]Mark
	// clean tells that a VM had no snapshot when tracking was switched on.
	clean map[types.ManagedObjectReference]bool
}

// NewTracks tracks no disk yet.
func NewTracks() *Tracks {
	return &Tracks{
		live:  make(map[types.ManagedObjectReference]map[int32]*tracker),
		marks: make(map[types.ManagedObjectReference]map[int32]Mark),
		clean: make(map[types.ManagedObjectReference]bool),
	}
}

// Keep records the marks of a new snapshot.
func (t *Tracks) Keep(snapshot types.ManagedObjectReference, marks map[int32]Mark) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.marks[snapshot] = marks
}

// MarkOf is the mark that a snapshot has of a disk; it has no tracker where there was none.
func (t *Tracks) MarkOf(snapshot types.ManagedObjectReference, disk int32) Mark {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.marks[snapshot][disk]
}

// Now is a mark of what was written up to this call, and not to where the epoch began.
func (t *Tracks) Now(vm types.ManagedObjectReference, disk int32) Mark {
	t.mu.Lock()
	defer t.mu.Unlock()
	if tr := t.live[vm][disk]; tr != nil {
		return Mark{tr, tr.moment() + 1}
	}
	return Mark{}
}

// IsBroken tells if the tracker of a mark did not survive a power failure.
func (t *Tracks) IsBroken(m Mark) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return m.Tracker != nil && m.Tracker.broken
}

// Since is what was written from a moment up to a mark. It returns false when the
// moment is not one of the mark's past.
func (t *Tracks) Since(id string, moment int, upTo Mark) (Spans, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if id != upTo.Tracker.id || moment > upTo.moment {
		return nil, false
	}
	return upTo.Tracker.since(moment, upTo.moment), true
}

// Drop forgets a VM or a snapshot.
func (t *Tracks) Drop(ref types.ManagedObjectReference) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.live, ref)
	delete(t.marks, ref)
	delete(t.clean, ref)
}

// Wrote records what the guest has written to a disk.
func (t *Tracks) Wrote(vm types.ManagedObjectReference, key int32, ranges Spans) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if tr := t.live[vm][key]; tr != nil {
		last := len(tr.epochs) - 1
		tr.epochs[last] = tr.epochs[last].With(ranges)
	}
}

// trackable tells if the changes of a disk can be tracked: snapshots keep it, and its
// backing can carry a changeId.
func trackable(disk *types.VirtualDisk) bool {
	_, carries := withChangeID(disk.Backing, "")
	return carries && !Independent(disk)
}

// withChangeID copies a backing with a changeId; not all kinds of backings have one.
func withChangeID(b types.BaseVirtualDeviceBackingInfo, id string) (types.BaseVirtualDeviceBackingInfo, bool) {
	switch b := b.(type) {
	case *FlatBacking:
		if b.ChangeId == id {
			return b, true
		}
		out := *b
		out.ChangeId = id
		return &out, true
	case *types.VirtualDiskRawDiskMappingVer1BackingInfo:
		if b.ChangeId == id {
			return b, true
		}
		out := *b
		out.ChangeId = id
		return &out, true
	}
	return b, false
}

// tracking tells if a VM's configuration asks for tracking.
func tracking(vm *simulator.VirtualMachine) bool {
	return vm.Config.ChangeTrackingEnabled != nil && *vm.Config.ChangeTrackingEnabled
}

// CanTrack tells if a VM's hardware and host know of change tracking.
func CanTrack(vm *simulator.VirtualMachine) bool {
	var version int
	_, err := fmt.Sscanf(vm.Config.Version, "vmx-%d", &version)
	return err == nil && version >= 7 && vm.Capability.ChangeTrackingSupported
}

// Switched is called when the configuration of a VM begins or ceases to ask for
// tracking. The caller holds the VM's lock.
func (table *Tracks) Switched(vm *simulator.VirtualMachine) {
	table.mu.Lock()
	defer table.mu.Unlock()
	table.clean[vm.Self] = vm.Snapshot == nil
}

// TakeEffect is called when a VM's disks are opened anew: then what its
// configuration asks for begins or ends. The caller holds the VM's lock.
func (table *Tracks) TakeEffect(ctx *simulator.Context, vm *simulator.VirtualMachine) {
	table.retrack(vm, func(old *tracker, disk *types.VirtualDisk) *tracker {
		if old != nil && !old.broken {
			return old
		}
		return table.newTracker(vm, disk)
	})
	table.ShowIDs(ctx, vm)
}

// Reset begins tracking anew: no earlier changeId is good for the VM's
// disks any more. The caller holds the VM's lock.
func (table *Tracks) Reset(ctx *simulator.Context, vm *simulator.VirtualMachine) {
	table.retrack(vm, func(_ *tracker, disk *types.VirtualDisk) *tracker { return table.newTracker(vm, disk) })
	table.ShowIDs(ctx, vm)
}

// Resized begins the tracking of the disks anew that have another size now. The
// caller holds the VM's lock.
func (table *Tracks) Resized(vm *simulator.VirtualMachine) {
	table.mu.Lock()
	defer table.mu.Unlock()
	live := table.live[vm.Self]
	for _, disk := range DisksOf(vm.Config.Hardware.Device) {
		if t := live[disk.Key]; t != nil && t.capacity != disk.CapacityInBytes {
			live[disk.Key] = table.newTracker(vm, disk)
		}
	}
}

// BreakAll is what a power failure does: the files of the trackers are not what
// the disks are. The caller holds the VM's lock.
func (table *Tracks) BreakAll(vm *simulator.VirtualMachine) {
	table.mu.Lock()
	defer table.mu.Unlock()
	for _, t := range table.live[vm.Self] {
		t.broken = true
	}
}

func (table *Tracks) retrack(vm *simulator.VirtualMachine, each func(*tracker, *types.VirtualDisk) *tracker) {
	table.mu.Lock()
	defer table.mu.Unlock()
	old := table.live[vm.Self]
	delete(table.live, vm.Self)
	if !tracking(vm) {
		return
	}
	now := make(map[int32]*tracker)
	for _, disk := range DisksOf(vm.Config.Hardware.Device) {
		if trackable(disk) {
			now[disk.Key] = each(old[disk.Key], disk)
		}
	}
	table.live[vm.Self] = now
}

// Begin tracks one disk that is no VM's, anew.
func (t *Tracks) Begin(ref types.ManagedObjectReference, capacity int64, complete bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.live[ref] = map[int32]*tracker{0: {id: newChangeSet(), epochs: make([]Spans, 1), capacity: capacity, Complete: complete}}
}

// MarkOne begins a new epoch on a disk that Begin knows, and returns the moment; without a tracker
// where it knows none.
func (t *Tracks) MarkOne(ref types.ManagedObjectReference) Mark {
	t.mu.Lock()
	defer t.mu.Unlock()
	tr := t.live[ref][0]
	if tr == nil {
		return Mark{}
	}
	tr.epochs = append(tr.epochs, nil)
	return Mark{tr, tr.moment()}
}

// ChangeID is the changeId of a mark; empty where there is no tracker.
func (m Mark) ChangeID() string {
	if m.Tracker == nil {
		return ""
	}
	return m.Tracker.changeID(m.moment)
}

// newTracker begins with an empty epoch. The caller holds the table's lock.
func (table *Tracks) newTracker(vm *simulator.VirtualMachine, disk *types.VirtualDisk) *tracker {
	clean, switched := table.clean[vm.Self]
	return &tracker{
		id: newChangeSet(), epochs: make([]Spans, 1), capacity: disk.CapacityInBytes,
		Complete: vm.Snapshot == nil && (clean || !switched),
	}
}

// newChangeSet makes the first half of a changeId, as vCenter prints it.
func newChangeSet() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // it never fails
	b[0] = 0x52
	text := make([]string, 0, len(b))
	for _, x := range b {
		text = append(text, fmt.Sprintf("%02x", x))
	}
	return strings.Join(text[:8], " ") + "-" + strings.Join(text[8:], " ")
}

// Mark begins a new epoch on each disk of a VM and returns the moment. The caller
// holds the VM's lock.
func (table *Tracks) Mark(ctx *simulator.Context, vm *simulator.VirtualMachine) map[int32]Mark {
	marks := make(map[int32]Mark)
	table.mu.Lock()
	for key, t := range table.live[vm.Self] {
		t.epochs = append(t.epochs, nil)
		marks[key] = Mark{t, t.moment()}
	}
	table.mu.Unlock()
	table.ShowIDs(ctx, vm)
	return marks
}

// ShowIDs puts the changeIds of a VM's disks where clients read them.
func (table *Tracks) ShowIDs(ctx *simulator.Context, vm *simulator.VirtualMachine) {
	table.mu.Lock()
	ids := make(map[int32]string)
	for key, t := range table.live[vm.Self] {
		ids[key] = t.changeID(t.moment())
	}
	table.mu.Unlock()
	changed := false
	devices := make([]types.BaseVirtualDevice, 0, len(vm.Config.Hardware.Device))
	for _, d := range vm.Config.Hardware.Device {
		if disk, ok := d.(*types.VirtualDisk); ok {
			if b, _ := withChangeID(disk.Backing, ids[disk.Key]); b != disk.Backing {
				shown := *disk
				shown.Backing, d, changed = b, &shown, true
			}
		}
		devices = append(devices, d)
	}
	if changed {
		ctx.Update(vm, []types.PropertyChange{{Name: "config.hardware.device", Val: devices}})
	}
}
