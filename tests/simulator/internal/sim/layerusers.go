// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package sim

import (
	"sync"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"
)

// layerKey names a layer: datastores of two datacenters can have the same name.
type layerKey struct{ datastore, file string }

func keyOf(b *flatBacking) layerKey {
	if b.Datastore == nil {
		return layerKey{"", b.FileName}
	}
	return layerKey{b.Datastore.Value, b.FileName}
}

// layerUsers knows which VMs have a layer in a chain of theirs, be it that of a disk
// or that of a snapshot's disk.
type layerUsers struct {
	mu    sync.Mutex
	users map[layerKey]map[types.ManagedObjectReference]bool
	of    map[types.ManagedObjectReference]map[layerKey]bool
	// abandoned are those whose own VM needs them no more; they go with their last user.
	abandoned map[layerKey]bool
}

// add records that vm uses all layers of the disks among devices.
func (l *layerUsers) add(vm types.ManagedObjectReference, devices []types.BaseVirtualDevice) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, disk := range disksOf(devices) {
		for _, b := range diskChain(disk) {
			l.put(vm, keyOf(b))
		}
	}
}

func (l *layerUsers) put(vm types.ManagedObjectReference, key layerKey) {
	if l.users == nil {
		l.users = make(map[layerKey]map[types.ManagedObjectReference]bool)
		l.of = make(map[types.ManagedObjectReference]map[layerKey]bool)
	}
	if l.users[key] == nil {
		l.users[key] = make(map[types.ManagedObjectReference]bool)
	}
	if l.of[vm] == nil {
		l.of[vm] = make(map[layerKey]bool)
	}
	l.users[key][vm], l.of[vm][key] = true, true
}

// release forgets vm and tells which of its layers somebody else needs.
func (l *layerUsers) release(vm types.ManagedObjectReference) map[layerKey]bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	shared := make(map[layerKey]bool)
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

// abandon notes that a layer's own VM has no more use for it, while others have.
func (l *layerUsers) abandon(key layerKey) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.abandoned == nil {
		l.abandoned = make(map[layerKey]bool)
	}
	l.abandoned[key] = true
}

// orphans returns, once, the abandoned layers that nobody uses any more.
func (l *layerUsers) orphans() (out []layerKey) {
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

// shared tells if a VM other than vm uses a layer.
func (l *layerUsers) shared(vm types.ManagedObjectReference, key layerKey) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	users := l.users[key]
	return len(users) > 1 || len(users) == 1 && !users[vm]
}

// all lists the users of every layer.
func (l *layerUsers) all() map[layerKey][]types.ManagedObjectReference {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make(map[layerKey][]types.ManagedObjectReference, len(l.users))
	for key, users := range l.users {
		for vm := range users {
			out[key] = append(out[key], vm)
		}
	}
	return out
}

// usersOf lists the VMs that use a layer.
func (l *layerUsers) usersOf(key layerKey) []types.ManagedObjectReference {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make([]types.ManagedObjectReference, 0, len(l.users[key]))
	for vm := range l.users[key] {
		out = append(out, vm)
	}
	return out
}

// levels are the layers that vm uses.
func (l *layerUsers) levels(vm types.ManagedObjectReference) map[layerKey]bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make(map[layerKey]bool, len(l.of[vm]))
	for key := range l.of[vm] {
		out[key] = true
	}
	return out
}

// trackLayers records anew which layers a VM and its snapshots use. Whatever changes
// a disk's chain ends with this. The caller holds the VM's lock.
func (s *Sim) trackLayers(vm *simulator.VirtualMachine) {
	s.layers.release(vm.Self)
	s.layers.add(vm.Self, vm.Config.Hardware.Device)
	for _, snapshot := range s.snapshotsOf(vm) {
		s.layers.add(vm.Self, snapshot.Config.Hardware.Device)
	}
}
