// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package sim

import (
	"strings"
	"sync"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

var (
	nameEscaper   = strings.NewReplacer("%", "%25", "/", "%2f", `\`, "%5c")
	nameUnescaper = strings.NewReplacer("%25", "%", "%2f", "/", "%2F", "/", "%5c", `\`, "%5C", `\`)
)

// escapeName spells an entity's name as vCenter stores it: the slash, the
// backslash and the percent sign are kept as %2f, %5c and %25. A percent sign that
// begins such a sequence is taken for its beginning (API reference, CreateFolder).
func escapeName(name string) string { return nameEscaper.Replace(unescapeName(name)) }

// unescapeName spells an entity's name as people read it, which is also how vcsim's
// own methods want it: they escape every percent sign.
func unescapeName(name string) string { return nameUnescaper.Replace(name) }

// nameIndex finds the child of a folder by name without looking at all of them. It
// hears of changes as a handler of vcsim's registry.
type nameIndex struct {
	self  types.ManagedObjectReference
	reg   *simulator.Registry
	mu    sync.Mutex
	names map[childName]types.ManagedObjectReference
	of    map[types.ManagedObjectReference]childName
	// coming are the names of VMs that are being made.
	coming map[childName]types.ManagedObjectReference
}

type childName struct {
	folder types.ManagedObjectReference
	name   string
}

func newNameIndex(reg *simulator.Registry) *nameIndex {
	return &nameIndex{
		self:   types.ManagedObjectReference{Type: "VforgeNames", Value: "names"},
		reg:    reg,
		names:  make(map[childName]types.ManagedObjectReference),
		of:     make(map[types.ManagedObjectReference]childName),
		coming: make(map[childName]types.ManagedObjectReference),
	}
}

// Reference makes the index a handler of vcsim's registry.
func (x *nameIndex) Reference() types.ManagedObjectReference { return x.self }

// PutObject is called when an object is added, or moved to another folder.
func (x *nameIndex) PutObject(_ *simulator.Context, obj mo.Reference) {
	if e, ok := obj.(mo.Entity); ok {
		x.enter(e.Entity(), e.Reference())
	}
}

// UpdateObject is called, with the object's lock held, when properties change.
func (x *nameIndex) UpdateObject(_ *simulator.Context, obj mo.Reference, changes []types.PropertyChange) {
	for _, c := range changes {
		if c.Name == "name" || c.Name == "parent" {
			if e, ok := obj.(mo.Entity); ok {
				x.enter(e.Entity(), e.Reference())
			}
			return
		}
	}
}

// RemoveObject is called just before an object goes.
func (x *nameIndex) RemoveObject(_ *simulator.Context, ref types.ManagedObjectReference) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.leave(ref)
}

func (x *nameIndex) enter(e *mo.ManagedEntity, ref types.ManagedObjectReference) {
	if e.Parent == nil || e.Parent.Type != "Folder" || e.Name == "" {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.leave(ref)
	key := childName{*e.Parent, e.Name}
	x.names[key], x.of[ref] = ref, key
}

func (x *nameIndex) leave(ref types.ManagedObjectReference) {
	if key, ok := x.of[ref]; ok {
		if x.names[key] == ref {
			delete(x.names, key)
		}
		delete(x.of, ref)
	}
}

func (x *nameIndex) find(folder types.ManagedObjectReference, name string) (types.ManagedObjectReference, bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	ref, ok := x.names[childName{folder, name}]
	if !ok {
		ref, ok = x.coming[childName{folder, name}]
	}
	return ref, ok
}

// reserve takes a name for a VM that is being made. The caller holds Sim.creating, and has
// looked whether the name is free.
func (x *nameIndex) reserve(key childName, vm types.ManagedObjectReference) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.coming[key] = vm
}

// unreserve gives a name back; a VM that was made has it by itself.
func (x *nameIndex) unreserve(key childName) {
	x.mu.Lock()
	defer x.mu.Unlock()
	delete(x.coming, key)
}

func (x *nameIndex) reserved(key childName) types.ManagedObjectReference {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.coming[key]
}

// holder returns what has a name in a folder, or nil.
func (s *Sim) holder(folder types.ManagedObjectReference, name string) *types.ManagedObjectReference {
	if ref, ok := s.index.find(folder, name); ok {
		return &ref
	}
	return nil
}
