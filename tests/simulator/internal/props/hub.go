// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package props

import (
	"context"
	"sync"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

// hub hears of every change of the inventory and passes it on to the property
// collectors that watch the object.
type hub struct {
	self       types.ManagedObjectReference
	mu         sync.Mutex
	collectors map[collectorID]*collector
	contexts   map[types.ManagedObjectReference]context.Context
}

// collectorID names a collector: the root one has the same reference in every
// session.
type collectorID struct {
	session string
	ref     types.ManagedObjectReference
}

func newHub() *hub {
	return &hub{
		self:       types.ManagedObjectReference{Type: "VforgeHub", Value: "hub"},
		collectors: make(map[collectorID]*collector),
		contexts:   make(map[types.ManagedObjectReference]context.Context),
	}
}

// Reference makes the hub a handler of vcsim's registry.
func (h *hub) Reference() types.ManagedObjectReference { return h.self }

// PutObject is called when an object is added.
func (h *hub) PutObject(_ *simulator.Context, obj mo.Reference) {
	if _, ok := obj.(mo.Entity); ok {
		h.each(func(c *collector) { c.inventoryChanged() })
	}
}

// UpdateObject is called, with the object's lock held, when properties change.
func (h *hub) UpdateObject(_ *simulator.Context, obj mo.Reference, _ []types.PropertyChange) {
	ref := obj.Reference()
	h.each(func(c *collector) { c.changed(ref) })
}

// RemoveObject is called just before an object goes.
func (h *hub) RemoveObject(_ *simulator.Context, ref types.ManagedObjectReference) {
	h.each(func(c *collector) {
		c.removed(ref)
		c.inventoryChanged()
	})
}

func (h *hub) each(f func(*collector)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, c := range h.collectors {
		f(c)
	}
}

func (h *hub) add(c *collector) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.collectors[c.id] = c
}

func (h *hub) find(id collectorID) *collector {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.collectors[id]
}

// drop forgets a collector and ends its wait.
func (h *hub) drop(id collectorID) {
	h.mu.Lock()
	c := h.collectors[id]
	delete(h.collectors, id)
	h.mu.Unlock()
	if c != nil {
		c.close()
	}
}

// closeSession drops all collectors of a session that has ended.
func (h *hub) closeSession(key string) {
	h.mu.Lock()
	var ids []collectorID
	for id := range h.collectors {
		if id.session == key {
			ids = append(ids, id)
		}
	}
	h.mu.Unlock()
	for _, id := range ids {
		h.drop(id)
	}
}

// filter finds a property filter and its collector.
func (h *hub) filter(session string, ref types.ManagedObjectReference) (*collector, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for id, c := range h.collectors {
		if id.session == session && c.has(ref) {
			return c, true
		}
	}
	return nil, false
}

// Waiting lends the context of a client's request to the call on a collector, which
// vcsim does not pass on; the function that is returned takes it back.
func (h *hub) Waiting(ref types.ManagedObjectReference, ctx context.Context) func() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.contexts[ref] = ctx
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.contexts[ref] == ctx {
			delete(h.contexts, ref)
		}
	}
}

func (h *hub) requestContext(ref types.ManagedObjectReference) context.Context {
	h.mu.Lock()
	defer h.mu.Unlock()
	if ctx := h.contexts[ref]; ctx != nil {
		return ctx
	}
	return context.Background()
}
