// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package snaptree

import (
	"sync"

	"github.com/vmware/govmomi/vim25/types"
)

// Files are the files of one snapshot besides its disks'.
type Files struct {
	Data   string
	Memory string // empty without memory
}

// Table knows the files of all snapshots.
type Table struct {
	mu    sync.Mutex
	files map[types.ManagedObjectReference]Files
}

// Put notes the files of a snapshot.
func (t *Table) Put(ref types.ManagedObjectReference, files Files) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.files == nil {
		t.files = make(map[types.ManagedObjectReference]Files)
	}
	t.files[ref] = files
}

// Get returns the files of a snapshot.
func (t *Table) Get(ref types.ManagedObjectReference) Files {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.files[ref]
}

// Drop forgets a snapshot.
func (t *Table) Drop(ref types.ManagedObjectReference) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.files, ref)
}
