// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package vdisk

import (
	"sync"

	"github.com/vmware/govmomi/vim25/types"
)

// LayerKey names a layer: datastores of two datacenters can have the same name.
type LayerKey struct{ Datastore, File string }

// KeyOf is the key of the layer that a backing describes.
func KeyOf(b *FlatBacking) LayerKey {
	if b.Datastore == nil {
		return LayerKey{"", b.FileName}
	}
	return LayerKey{b.Datastore.Value, b.FileName}
}

// Users knows which VMs have a layer in a chain of theirs, be it that of a disk
// or that of a snapshot's disk.
type Users struct {
	mu    sync.Mutex
	users map[LayerKey]map[types.ManagedObjectReference]bool
	of    map[types.ManagedObjectReference]map[LayerKey]bool
	// abandoned are those whose own VM needs them no more; they go with their last user.
	abandoned map[LayerKey]bool
}

// Add records that vm uses all layers of the disks among devices.
func (l *Users) Add(vm types.ManagedObjectReference, devices []types.BaseVirtualDevice) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, disk := range DisksOf(devices) {
		for _, b := range DiskChain(disk) {
			l.put(vm, KeyOf(b))
		}
	}
}

func (l *Users) put(vm types.ManagedObjectReference, key LayerKey) {
	if l.users == nil {
		l.users = make(map[LayerKey]map[types.ManagedObjectReference]bool)
		l.of = make(map[types.ManagedObjectReference]map[LayerKey]bool)
	}
	if l.users[key] == nil {
		l.users[key] = make(map[types.ManagedObjectReference]bool)
	}
	if l.of[vm] == nil {
		l.of[vm] = make(map[LayerKey]bool)
	}
	l.users[key][vm], l.of[vm][key] = true, true
}

// Release forgets vm and tells which of its layers somebody else needs.
func (l *Users) Release(vm types.ManagedObjectReference) map[LayerKey]bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	shared := make(map[LayerKey]bool)
	for key := range l.of[vm] {
		delete(l.users[key], vm)
		if len(l.users[key]) > 0 {
			shared[key] = true
		} else {
			delete(l.users, key)
		}
	}
	delete(l.of, vm)
	return shared
}

// Abandon notes that a layer's own VM has no more use for it, while others have.
func (l *Users) Abandon(key LayerKey) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.abandoned == nil {
		l.abandoned = make(map[LayerKey]bool)
	}
	l.abandoned[key] = true
}

// Orphans returns, once, the abandoned layers that nobody uses any more.
func (l *Users) Orphans() (out []LayerKey) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for key := range l.abandoned {
		if len(l.users[key]) == 0 {
			out = append(out, key)
			delete(l.abandoned, key)
		}
	}
	return out
}

// Shared tells if a VM other than vm uses a layer.
func (l *Users) Shared(vm types.ManagedObjectReference, key LayerKey) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	users := l.users[key]
	return len(users) > 1 || len(users) == 1 && !users[vm]
}

// All lists the users of every layer.
func (l *Users) All() map[LayerKey][]types.ManagedObjectReference {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make(map[LayerKey][]types.ManagedObjectReference, len(l.users))
	for key, users := range l.users {
		for vm := range users {
			out[key] = append(out[key], vm)
		}
	}
	return out
}

// UsersOf lists the VMs that use a layer.
func (l *Users) UsersOf(key LayerKey) []types.ManagedObjectReference {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make([]types.ManagedObjectReference, 0, len(l.users[key]))
	for vm := range l.users[key] {
		out = append(out, vm)
	}
	return out
}

// Levels are the layers that vm uses.
func (l *Users) Levels(vm types.ManagedObjectReference) map[LayerKey]bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make(map[LayerKey]bool, len(l.of[vm]))
	for key := range l.of[vm] {
		out[key] = true
	}
	return out
}
