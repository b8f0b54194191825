// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package naming

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

// Escape spells an entity's name as vCenter stores it: the slash, the
// backslash and the percent sign are kept as %2f, %5c and %25. A percent sign that
// begins such a sequence is taken for its beginning (API reference, CreateFolder).
func Escape(name string) string { return nameEscaper.Replace(Unescape(name)) }

// Unescape spells an entity's name as people read it, which is also how vcsim's
// own methods want it: they escape every percent sign.
func Unescape(name string) string { return nameUnescaper.Replace(name) }

// Index finds the child of a folder by name without looking at all of them. It
// hears of changes as a handler of vcsim's registry.
type Index struct {
	self  types.ManagedObjectReference
	reg   *simulator.Registry
	mu    sync.Mutex
	names map[Child]types.ManagedObjectReference
	of    map[types.ManagedObjectReference]Child
	// coming are the names of VMs that are being made.
	coming map[Child]types.ManagedObjectReference
}

// Child is a name in a folder.
type Child struct {
	Folder types.ManagedObjectReference
	Name   string
}

// NewIndex makes an index for the objects of a registry.
func NewIndex(reg *simulator.Registry) *Index {
	return &Index{
		self:   types.ManagedObjectReference{Type: "VforgeNames", Value: "names"},
		reg:    reg,
		names:  make(map[Child]types.ManagedObjectReference),
		of:     make(map[types.ManagedObjectReference]Child),
		coming: make(map[Child]types.ManagedObjectReference),
	}
}

// Reference makes the index a handler of vcsim's registry.
func (x *Index) Reference() types.ManagedObjectReference { return x.self }

// PutObject is called when an object is added, or moved to another folder.
func (x *Index) PutObject(_ *simulator.Context, obj mo.Reference) {
	if e, ok := obj.(mo.Entity); ok {
		x.enter(e.Entity(), e.Reference())
	}
}

// UpdateObject is called, with the object's lock held, when properties change.
func (x *Index) UpdateObject(_ *simulator.Context, obj mo.Reference, changes []types.PropertyChange) {
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
func (x *Index) RemoveObject(_ *simulator.Context, ref types.ManagedObjectReference) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.leave(ref)
}

func (x *Index) enter(e *mo.ManagedEntity, ref types.ManagedObjectReference) {
	if e.Parent == nil || e.Parent.Type != "Folder" || e.Name == "" {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.leave(ref)
	key := Child{*e.Parent, e.Name}
	x.names[key], x.of[ref] = ref, key
}

func (x *Index) leave(ref types.ManagedObjectReference) {
	if key, ok := x.of[ref]; ok {
		if x.names[key] == ref {
			delete(x.names, key)
		}
		delete(x.of, ref)
	}
}

// Find returns what has a name in a folder, also a VM that is being made.
func (x *Index) Find(folder types.ManagedObjectReference, name string) (types.ManagedObjectReference, bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	ref, ok := x.names[Child{folder, name}]
	if !ok {
		ref, ok = x.coming[Child{folder, name}]
	}
	return ref, ok
}

// Reserve takes a name for a VM that is being made. The caller holds Sim.creating, and has
// looked whether the name is free.
func (x *Index) Reserve(key Child, vm types.ManagedObjectReference) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.coming[key] = vm
}

// Unreserve gives a name back; a VM that was made has it by itself.
func (x *Index) Unreserve(key Child) {
	x.mu.Lock()
	defer x.mu.Unlock()
	delete(x.coming, key)
}

// Reserved returns the VM that a name was reserved for.
func (x *Index) Reserved(key Child) types.ManagedObjectReference {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.coming[key]
}
