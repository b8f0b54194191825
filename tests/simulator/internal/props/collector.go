// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package props

import (
	"reflect"
	"slices"
	"strconv"
	"sync"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/faults"
	"vforge.vsphere/simulator/internal/ids"
)

// collector is one property collector: its filters, and what has changed since its
// client was last told.
type collector struct {
	from *Server
	id   collectorID

	// call is held by the one call that reads or changes the filters.
	call    sync.Mutex
	filters []*filter
	version int
	rest    []types.PropertyFilterUpdate // what did not fit in the last answer

	// mu guards what other goroutines tell the collector. It is never held while an
	// object's lock is taken: they hold object locks when they come here.
	mu      sync.Mutex
	refs    []types.ManagedObjectReference // the filters' references
	watched map[types.ManagedObjectReference]bool
	dirty   map[types.ManagedObjectReference]bool
	gone    map[types.ManagedObjectReference]bool
	moved   bool // entities came or went
	closed  bool
	cancels int
	signal  chan struct{}
}

// filter is one property filter with the values that its client knows.
type filter struct {
	ref       types.ManagedObjectReference
	spec      types.PropertyFilterSpec
	partial   bool
	fresh     bool // nothing reported yet
	known     map[types.ManagedObjectReference]map[string]any
	order     []types.ManagedObjectReference
	traversed map[types.ManagedObjectReference]bool
}

func newCollector(from *Server, id collectorID) *collector {
	return &collector{
		from: from, id: id,
		watched: make(map[types.ManagedObjectReference]bool),
		dirty:   make(map[types.ManagedObjectReference]bool),
		gone:    make(map[types.ManagedObjectReference]bool),
		signal:  make(chan struct{}, 1),
	}
}

func (c *collector) wake() {
	select {
	case c.signal <- struct{}{}:
	default:
	}
}

func (c *collector) changed(ref types.ManagedObjectReference) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.watched[ref] {
		c.dirty[ref] = true
		c.wake()
	}
}

func (c *collector) removed(ref types.ManagedObjectReference) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.watched[ref] {
		c.dirty[ref], c.gone[ref] = true, true
		c.wake()
	}
}

func (c *collector) inventoryChanged() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.watched) > 0 {
		c.moved = true
		c.wake()
	}
}

func (c *collector) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	c.wake()
}

func (c *collector) has(ref types.ManagedObjectReference) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Contains(c.refs, ref)
}

func (c *collector) watch(ref types.ManagedObjectReference) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.watched[ref] = true
}

// addFilter adds a filter whose objects are reported by the next wait.
func (c *collector) addFilter(spec types.PropertyFilterSpec, partial bool) types.ManagedObjectReference {
	f := &filter{
		ref:     types.ManagedObjectReference{Type: "PropertyFilter", Value: "session[" + c.id.session + "]" + ids.NewUUID(0x52)},
		spec:    spec,
		partial: partial,
		fresh:   true,
	}
	c.call.Lock()
	defer c.call.Unlock()
	c.filters = append(c.filters, f)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refs = append(c.refs, f.ref)
	c.wake()
	return f.ref
}

func (c *collector) dropFilter(ref types.ManagedObjectReference) {
	c.call.Lock()
	defer c.call.Unlock()
	c.filters = slices.DeleteFunc(c.filters, func(f *filter) bool { return f.ref == ref })
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refs = slices.DeleteFunc(c.refs, func(r types.ManagedObjectReference) bool { return r == ref })
	c.rewatch()
}

// rewatch forgets the objects that no filter is about any more. The caller holds
// both locks.
func (c *collector) rewatch() {
	clear(c.watched)
	for _, f := range c.filters {
		for _, o := range f.spec.ObjectSet {
			c.watched[o.Obj] = true
		}
		for ref := range f.known {
			c.watched[ref] = true
		}
		for ref := range f.traversed {
			c.watched[ref] = true
		}
	}
}

// restart forgets what the client was told: it asked for everything anew.
func (c *collector) restart() {
	c.rest = nil
	for _, f := range c.filters {
		f.fresh, f.known, f.order, f.traversed = true, nil, nil, nil
	}
}

func (c *collector) versionText() string { return strconv.Itoa(c.version) }

// changes works out what the client has not been told yet.
func (c *collector) changes(ctx *simulator.Context) ([]types.PropertyFilterUpdate, types.BaseMethodFault) {
	c.mu.Lock()
	dirty, gone, moved := c.dirty, c.gone, c.moved
	c.dirty, c.moved = make(map[types.ManagedObjectReference]bool), false
	c.gone = make(map[types.ManagedObjectReference]bool)
	c.mu.Unlock()

	var out []types.PropertyFilterUpdate
	for _, f := range c.filters {
		missing := c.missing(ctx, f)
		set, fault := c.filterChanges(ctx, f, dirty, gone, moved)
		if fault != nil {
			return nil, fault
		}
		if len(set) > 0 || len(missing) > 0 {
			out = append(out, types.PropertyFilterUpdate{Filter: f.ref, ObjectSet: set, MissingSet: missing})
		}
	}
	return out, nil
}

// missing lists, for a filter that has reported nothing yet, the objects of its spec
// that went before it could.
func (c *collector) missing(ctx *simulator.Context, f *filter) []types.MissingObject {
	if !f.fresh {
		return nil
	}
	var out []types.MissingObject
	for _, o := range f.spec.ObjectSet {
		if c.from.object(ctx, o.Obj) == nil {
			out = append(out, types.MissingObject{Obj: o.Obj, Fault: *faults.Localized(&types.ManagedObjectNotFound{Obj: o.Obj})})
		}
	}
	return out
}

func (c *collector) filterChanges(ctx *simulator.Context, f *filter, dirty, gone map[types.ManagedObjectReference]bool, moved bool) ([]types.ObjectUpdate, types.BaseMethodFault) {
	var set []types.ObjectUpdate
	if f.fresh || f.leadsElsewhere(dirty, moved) {
		left, fault := c.reselect(ctx, f, gone)
		if fault != nil {
			return nil, fault
		}
		set = left
	}
	for _, ref := range f.order {
		known, reported := f.known[ref], f.known[ref] != nil
		if reported && !dirty[ref] && !(moved && listsOthers(ref)) {
			continue
		}
		content, ok, fault := c.from.read(ctx, ref, f.spec.PropSet)
		if fault != nil {
			return nil, fault
		}
		if !ok || gone[ref] {
			if reported {
				set = append(set, types.ObjectUpdate{Kind: types.ObjectUpdateKindLeave, Obj: ref})
				delete(f.known, ref)
			}
			continue
		}
		values := make(map[string]any, len(content.PropSet))
		for _, p := range content.PropSet {
			values[p.Name] = p.Val
		}
		f.known[ref] = values
		if !reported {
			set = append(set, entered(content))
		} else if diff := f.diff(known, content, values); len(diff) > 0 {
			set = append(set, types.ObjectUpdate{Kind: types.ObjectUpdateKindModify, Obj: ref, ChangeSet: diff})
		}
	}
	f.order = slices.DeleteFunc(f.order, func(r types.ManagedObjectReference) bool { return f.known[r] == nil })
	f.fresh = false
	return set, nil
}

// listsOthers tells if an object lists entities: those lists change without notice
// when entities come and go.
func listsOthers(ref types.ManagedObjectReference) bool {
	return ref.Type != "VirtualMachine" && ref.Type != "Task"
}

// leadsElsewhere tells if a change can have changed which objects a filter is about.
func (f *filter) leadsElsewhere(dirty map[types.ManagedObjectReference]bool, moved bool) bool {
	if len(f.traversed) == 0 {
		return false
	}
	if moved {
		return true
	}
	for ref := range dirty {
		if f.traversed[ref] {
			return true
		}
	}
	return false
}

// reselect finds the filter's objects again and returns the ones that left.
func (c *collector) reselect(ctx *simulator.Context, f *filter, gone map[types.ManagedObjectReference]bool) ([]types.ObjectUpdate, types.BaseMethodFault) {
	spec := f.spec
	// An object that went since the filter was made is reported as such, and is no
	// fault.
	spec.ReportMissingObjectsInResults = types.NewBool(true)
	sel, fault := c.from.selectObjects(ctx, &spec, c.watch)
	if fault != nil {
		return nil, fault
	}
	var left []types.ObjectUpdate
	for _, ref := range f.order {
		if (!sel.chosen[ref] || gone[ref]) && f.known[ref] != nil {
			left = append(left, types.ObjectUpdate{Kind: types.ObjectUpdateKindLeave, Obj: ref})
			delete(f.known, ref)
		}
	}
	if f.known == nil {
		f.known = make(map[types.ManagedObjectReference]map[string]any)
	}
	f.order = slices.DeleteFunc(sel.order, func(r types.ManagedObjectReference) bool { return gone[r] })
	f.traversed = sel.traversed
	for _, ref := range f.order {
		c.watch(ref)
	}
	return left, nil
}

func entered(content types.ObjectContent) types.ObjectUpdate {
	u := types.ObjectUpdate{Kind: types.ObjectUpdateKindEnter, Obj: content.Obj, MissingSet: content.MissingSet}
	for _, p := range content.PropSet {
		u.ChangeSet = append(u.ChangeSet, types.PropertyChange{Name: p.Name, Op: types.PropertyChangeOpAssign, Val: p.Val})
	}
	return u
}

// diff lists what changed between two readings of an object.
func (f *filter) diff(old map[string]any, content types.ObjectContent, now map[string]any) []types.PropertyChange {
	var out []types.PropertyChange
	for _, p := range content.PropSet {
		before, was := old[p.Name]
		switch {
		case was && reflect.DeepEqual(before, p.Val):
		case was && f.partial:
			out = append(out, partialChanges(p.Name, reflect.ValueOf(before), reflect.ValueOf(p.Val))...)
		default:
			out = append(out, types.PropertyChange{Name: p.Name, Op: types.PropertyChangeOpAssign, Val: p.Val})
		}
	}
	for name := range old {
		if _, still := now[name]; !still {
			out = append(out, types.PropertyChange{Name: name, Op: types.PropertyChangeOpAssign})
		}
	}
	return out
}

// OnChange returns a channel that has a value when an object has changed, and the
// function that ends this.
func (p *Server) OnChange(ref types.ManagedObjectReference) (changed <-chan struct{}, stop func()) {
	c := newCollector(p, collectorID{ref: ref})
	c.watch(ref)
	p.Hub.add(c)
	return c.signal, func() { p.Hub.drop(c.id) }
}
