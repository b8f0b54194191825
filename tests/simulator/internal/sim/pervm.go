// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package sim

import (
	"sync"

	"github.com/vmware/govmomi/vim25/types"
)

// perVM is what a part of the simulator knows of each VM, besides what the API says of it.
type perVM[T any] struct {
	mu    sync.Mutex
	known map[types.ManagedObjectReference]*T
}

// forgetter is a table from which a VM can be taken.
type forgetter interface {
	Drop(vm types.ManagedObjectReference)
}

// newPerVM makes a table from which VMs that are destroyed disappear.
func newPerVM[T any](s *Sim) *perVM[T] {
	t := &perVM[T]{known: make(map[types.ManagedObjectReference]*T)}
	s.Register(t)
	return t
}

// Register has VMs that are destroyed disappear from a table.
func (s *Sim) Register(t forgetter) { s.tables = append(s.tables, t) }

// With calls f with what is known of a VM while holding the table's lock.
func (t *perVM[T]) With(vm types.ManagedObjectReference, f func(*T)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	known, ok := t.known[vm]
	if !ok {
		known = new(T)
		t.known[vm] = known
	}
	f(known)
}

// Get returns a copy of what is known of a VM.
func (t *perVM[T]) Get(vm types.ManagedObjectReference) T {
	t.mu.Lock()
	defer t.mu.Unlock()
	if known, ok := t.known[vm]; ok {
		return *known
	}
	return *new(T)
}

// Drop forgets a VM.
func (t *perVM[T]) Drop(vm types.ManagedObjectReference) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.known, vm)
}

// forgetVM drops a VM that has gone from all tables.
func (s *Sim) forgetVM(vm types.ManagedObjectReference) {
	for _, t := range s.tables {
		t.Drop(vm)
	}
}
