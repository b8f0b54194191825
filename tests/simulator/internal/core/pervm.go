// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package core

import (
	"sync"

	"github.com/vmware/govmomi/vim25/types"
)

// PerVM is what a part of the simulator knows of each VM, besides what the API says of it.
type PerVM[T any] struct {
	mu    sync.Mutex
	known map[types.ManagedObjectReference]*T
}

// Forgetter is a table from which a VM can be taken.
type Forgetter interface {
	Drop(vm types.ManagedObjectReference)
}

// NewPerVM makes a table from which VMs that are destroyed disappear.
func NewPerVM[T any](s *Core) *PerVM[T] {
	t := &PerVM[T]{known: make(map[types.ManagedObjectReference]*T)}
	s.Register(t)
	return t
}

// Register has VMs that are destroyed disappear from a table.
func (s *Core) Register(t Forgetter) { s.tables = append(s.tables, t) }

// With calls f with what is known of a VM while holding the table's lock.
func (t *PerVM[T]) With(vm types.ManagedObjectReference, f func(*T)) {
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
func (t *PerVM[T]) Get(vm types.ManagedObjectReference) T {
	t.mu.Lock()
	defer t.mu.Unlock()
	if known, ok := t.known[vm]; ok {
		return *known
	}
	return *new(T)
}

// Drop forgets a VM.
func (t *PerVM[T]) Drop(vm types.ManagedObjectReference) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.known, vm)
}

// ForgetVM drops a VM that has gone from all tables.
func (s *Core) ForgetVM(vm types.ManagedObjectReference) {
	for _, t := range s.tables {
		t.Drop(vm)
	}
}
