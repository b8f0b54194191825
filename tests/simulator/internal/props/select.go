// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package props

import (
	"reflect"
	"slices"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

// selection finds the objects that one filter spec is about.
type selection struct {
	from    *Server
	ctx     *simulator.Context
	specs   map[string]*types.TraversalSpec
	visited map[visit]bool
	chosen  map[types.ManagedObjectReference]bool
	order   []types.ManagedObjectReference
	// watch is told of every object before it is read.
	watch func(types.ManagedObjectReference)
	// traversed has the objects whose properties led to others.
	traversed map[types.ManagedObjectReference]bool
}

type visit struct {
	obj  types.ManagedObjectReference
	spec *types.TraversalSpec
}

// object looks a reference up as the caller's session sees it.
func (p *Server) object(ctx *simulator.Context, ref types.ManagedObjectReference) mo.Reference {
	if ctx.Session == nil {
		return p.reg.Get(ref)
	}
	return ctx.Session.Get(ref)
}

// selectObjects returns the objects of a filter spec in the order in which they
// are met.
func (p *Server) selectObjects(ctx *simulator.Context, spec *types.PropertyFilterSpec, watch func(types.ManagedObjectReference)) (*selection, types.BaseMethodFault) {
	sel := &selection{
		from: p, ctx: ctx, watch: watch,
		visited:   make(map[visit]bool),
		chosen:    make(map[types.ManagedObjectReference]bool),
		traversed: make(map[types.ManagedObjectReference]bool),
	}
	for i := range spec.ObjectSet {
		o := &spec.ObjectSet[i]
		watch(o.Obj)
		if p.object(ctx, o.Obj) == nil {
			if spec.ReportMissingObjectsInResults != nil && *spec.ReportMissingObjectsInResults {
				continue
			}
			return nil, &types.ManagedObjectNotFound{Obj: o.Obj}
		}
		if o.Skip == nil || !*o.Skip {
			sel.choose(o.Obj)
		}
		if !p.sees(ctx, o.Obj) {
			continue // nothing is told of it, so it leads nowhere
		}
		sel.specs = make(map[string]*types.TraversalSpec)
		sel.collectNames(o.SelectSet)
		if fault := sel.follow(o.Obj, o.SelectSet); fault != nil {
			return nil, fault
		}
	}
	return sel, nil
}

func (sel *selection) choose(ref types.ManagedObjectReference) {
	if !sel.chosen[ref] {
		sel.chosen[ref] = true
		sel.order = append(sel.order, ref)
	}
}

func (sel *selection) collectNames(set []types.BaseSelectionSpec) {
	for _, b := range set {
		if ts, ok := b.(*types.TraversalSpec); ok {
			if ts.Name != "" {
				sel.specs[ts.Name] = ts
			}
			sel.collectNames(ts.SelectSet)
		}
	}
}

// follow applies selection specs to an object and goes on with what they lead to.
func (sel *selection) follow(ref types.ManagedObjectReference, set []types.BaseSelectionSpec) types.BaseMethodFault {
	for _, b := range set {
		ts, ok := b.(*types.TraversalSpec)
		if !ok {
			name := b.GetSelectionSpec().Name
			if ts = sel.specs[name]; ts == nil {
				return &types.InvalidArgument{InvalidProperty: "spec.objectSet.selectSet"}
			}
		}
		if !sel.from.mayBe(sel.ctx, ref, ts.Type) || sel.visited[visit{ref, ts}] {
			continue
		}
		sel.visited[visit{ref, ts}] = true
		next, fault := sel.step(ref, ts)
		if fault != nil {
			return fault
		}
		for _, n := range next {
			if ts.Skip == nil || !*ts.Skip {
				sel.choose(n)
			}
			if fault := sel.follow(n, ts.SelectSet); fault != nil {
				return fault
			}
		}
	}
	return nil
}

// mayBe tells if an object is of the type of that name, or of one below it. It knows by the type in the reference, without a
// lock: a traversal asks it of each of thousands of objects for each of its steps.
func (p *Server) mayBe(ctx *simulator.Context, ref types.ManagedObjectReference, name string) bool {
	key := [2]string{ref.Type, name}
	if known, ok := p.kinds.Load(key); ok {
		return known.(bool)
	}
	obj := p.object(ctx, ref)
	if obj == nil {
		return true // whoever reads it sees that it is gone
	}
	v := Managed(obj)
	if !v.IsValid() {
		return true
	}
	is := IsA(v.Type(), ref, name)
	p.kinds.Store(key, is)
	return is
}

// asksOf tells if a property spec asks for anything of an object.
func (p *Server) asksOf(ctx *simulator.Context, ref types.ManagedObjectReference, set []types.PropertySpec) bool {
	return slices.ContainsFunc(set, func(spec types.PropertySpec) bool { return p.mayBe(ctx, ref, spec.Type) })
}

// step reads the property that a traversal follows. A traversal of another type of
// object leads nowhere.
func (sel *selection) step(ref types.ManagedObjectReference, ts *types.TraversalSpec) (next []types.ManagedObjectReference, fault types.BaseMethodFault) {
	sel.watch(ref)
	obj := sel.from.object(sel.ctx, ref)
	if obj == nil {
		return nil, nil
	}
	sel.ctx.WithLock(ref, func() {
		v := Managed(obj)
		if !v.IsValid() || !IsA(v.Type(), ref, ts.Type) {
			return
		}
		sel.traversed[ref] = true
		value, ok := readProperty(v, ts.Path)
		if !ok {
			fault = &types.InvalidProperty{Name: ts.Path}
			return
		}
		next = refsOf(value)
	})
	return sel.from.seen(sel.ctx, next), fault
}

// pathsFor lists the properties that the property specs ask of an object, each
// once.
func pathsFor(v reflect.Value, ref types.ManagedObjectReference, set []types.PropertySpec) (paths []string, matched bool, fault types.BaseMethodFault) {
	seen := make(map[string]bool)
	add := func(p string) {
		if !seen[p] {
			seen[p] = true
			paths = append(paths, p)
		}
	}
	for i := range set {
		p := &set[i]
		if !IsA(v.Type(), ref, p.Type) {
			continue
		}
		matched = true
		if p.All != nil && *p.All {
			for _, path := range allPaths(v.Type()) {
				add(path)
			}
			continue
		}
		as := declaring(v.Type(), ref, p.Type)
		for _, path := range p.PathSet {
			if !knownPath(as, path) {
				return nil, true, &types.InvalidProperty{Name: path}
			}
			add(path)
		}
	}
	return paths, matched, nil
}

// knownPath tells if the first step of a path is a property of the type; the rest
// depends on the object's values.
func knownPath(t reflect.Type, path string) bool {
	end := len(path)
	for i, r := range path {
		if r == '.' || r == '[' {
			end = i
			break
		}
	}
	if end == 0 {
		return false
	}
	_, ok := field(t, path[:end])
	return ok
}
