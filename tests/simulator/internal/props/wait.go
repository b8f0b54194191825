// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package props

import (
	"context"
	"path"
	"reflect"
	"strings"
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/clock"
	"vforge.vsphere/simulator/internal/deepcopy"
	"vforge.vsphere/simulator/internal/faults"
	"vforge.vsphere/simulator/internal/ids"
	"vforge.vsphere/simulator/internal/shim"
)

// settle is how long a wait lets further changes gather after the first one.
const settle = 10 * time.Millisecond

// maxObjectUpdates is vCenter's own limit to the objects in one answer; a client can
// only ask for less.
const maxObjectUpdates = 100

// collector returns the collector that a call names. Every session has the root one
// from the start.
func (sh *pcShim) collector(ctx *simulator.Context, ref types.ManagedObjectReference) *collector {
	id := collectorID{ctx.Session.Key, ref}
	if c := sh.p.Hub.find(id); c != nil {
		return c
	}
	if ref != sh.p.rootCollector() {
		return nil
	}
	c := newCollector(sh.p, id)
	sh.p.Hub.add(c)
	return c
}

func (p *Server) rootCollector() types.ManagedObjectReference {
	return types.ManagedObjectReference{Type: "PropertyCollector", Value: "propertyCollector"}
}

// CreatePropertyCollector makes a collector of the session's own.
func (sh *pcShim) CreatePropertyCollector(ctx *simulator.Context, _ *types.CreatePropertyCollector) soap.HasFault {
	ref := types.ManagedObjectReference{
		Type: "PropertyCollector", Value: "session[" + ctx.Session.Key + "]" + ids.NewUUID(0x52),
	}
	sh.p.Hub.add(newCollector(sh.p, collectorID{ctx.Session.Key, ref}))
	return &methods.CreatePropertyCollectorBody{Res: &types.CreatePropertyCollectorResponse{Returnval: ref}}
}

// DestroyPropertyCollector destroys a collector with its filters; a wait on it ends.
func (sh *pcShim) DestroyPropertyCollector(ctx *simulator.Context, req *types.DestroyPropertyCollector) soap.HasFault {
	if sh.collector(ctx, req.This) == nil {
		return &methods.DestroyPropertyCollectorBody{Fault_: faults.NotFound(req.This)}
	}
	id := collectorOf(ctx, req.This)
	sh.p.Hub.drop(id)
	sh.p.pages.drop(func(of collectorID) bool { return of == id })
	return &methods.DestroyPropertyCollectorBody{Res: &types.DestroyPropertyCollectorResponse{}}
}

// CreateFilter adds a filter. What it asks for is checked now.
func (sh *pcShim) CreateFilter(ctx *simulator.Context, req *types.CreateFilter) soap.HasFault {
	c := sh.collector(ctx, req.This)
	if c == nil {
		return &methods.CreateFilterBody{Fault_: faults.NotFound(req.This)}
	}
	if _, fault := sh.p.selectObjects(ctx, &req.Spec, func(types.ManagedObjectReference) {}); fault != nil {
		return &methods.CreateFilterBody{Fault_: faults.SOAP(fault)}
	}
	return &methods.CreateFilterBody{Res: &types.CreateFilterResponse{Returnval: c.addFilter(req.Spec, req.PartialUpdates)}}
}

// FilterShim answers the calls on property filters.
type filterShim struct {
	shim.Base
	p *Server
}

// DestroyPropertyFilter takes a filter away from its collector.
func (sh *filterShim) DestroyPropertyFilter(ctx *simulator.Context, req *types.DestroyPropertyFilter) soap.HasFault {
	c, ok := sh.p.Hub.filter(ctx.Session.Key, req.This)
	if !ok {
		return &methods.DestroyPropertyFilterBody{Fault_: faults.NotFound(req.This)}
	}
	c.dropFilter(req.This)
	return &methods.DestroyPropertyFilterBody{Res: &types.DestroyPropertyFilterResponse{}}
}

// CancelWaitForUpdates ends a wait that is going on.
func (sh *pcShim) CancelWaitForUpdates(ctx *simulator.Context, req *types.CancelWaitForUpdates) soap.HasFault {
	c := sh.collector(ctx, req.This)
	if c == nil {
		return &methods.CancelWaitForUpdatesBody{Fault_: faults.NotFound(req.This)}
	}
	c.mu.Lock()
	c.cancels++
	c.wake()
	c.mu.Unlock()
	return &methods.CancelWaitForUpdatesBody{Res: &types.CancelWaitForUpdatesResponse{}}
}

// WaitForUpdatesEx returns what changed since a version, waiting for it if need be.
func (sh *pcShim) WaitForUpdatesEx(ctx *simulator.Context, req *types.WaitForUpdatesEx) soap.HasFault {
	set, fault := sh.wait(ctx, req)
	if fault != nil {
		return &methods.WaitForUpdatesExBody{Fault_: faults.SOAP(fault)}
	}
	return &methods.WaitForUpdatesExBody{Res: &types.WaitForUpdatesExResponse{Returnval: set}}
}

// WaitForUpdates is the old form, which waits without end.
func (sh *pcShim) WaitForUpdates(ctx *simulator.Context, req *types.WaitForUpdates) soap.HasFault {
	set, fault := sh.wait(ctx, &types.WaitForUpdatesEx{This: req.This, Version: req.Version})
	if fault != nil {
		return &methods.WaitForUpdatesBody{Fault_: faults.SOAP(fault)}
	}
	return &methods.WaitForUpdatesBody{Res: &types.WaitForUpdatesResponse{Returnval: *set}}
}

// CheckForUpdates is the old form that does not wait.
func (sh *pcShim) CheckForUpdates(ctx *simulator.Context, req *types.CheckForUpdates) soap.HasFault {
	zero := int32(0)
	set, fault := sh.wait(ctx, &types.WaitForUpdatesEx{
		This: req.This, Version: req.Version, Options: &types.WaitOptions{MaxWaitSeconds: &zero},
	})
	if fault != nil {
		return &methods.CheckForUpdatesBody{Fault_: faults.SOAP(fault)}
	}
	return &methods.CheckForUpdatesBody{Res: &types.CheckForUpdatesResponse{Returnval: set}}
}

func (sh *pcShim) wait(ctx *simulator.Context, req *types.WaitForUpdatesEx) (*types.UpdateSet, types.BaseMethodFault) {
	c := sh.collector(ctx, req.This)
	if c == nil {
		return nil, sh.p.whyGone(ctx.Session.Key, req.This)
	}
	client, stop := context.WithCancel(sh.p.Hub.requestContext(req.This))
	defer stop()
	limit, patient := maxObjectUpdates, true
	if o := req.Options; o != nil {
		if o.MaxObjectUpdates > 0 && int(o.MaxObjectUpdates) < limit {
			limit = int(o.MaxObjectUpdates)
		}
		if o.MaxWaitSeconds != nil {
			patient = *o.MaxWaitSeconds > 0
			t := time.AfterFunc(time.Duration(*o.MaxWaitSeconds)*time.Second, stop)
			defer t.Stop()
		}
	}
	return c.wait(ctx, client, req.Version, limit, patient)
}

// wait holds the collector's call lock only while it looks: filters can be added
// and removed during a wait.
func (c *collector) wait(ctx *simulator.Context, client context.Context, version string, limit int, patient bool) (*types.UpdateSet, types.BaseMethodFault) {
	cancels := c.cancelCount()
	first := true
	for {
		set, fault := c.look(ctx, version, limit, first)
		if set != nil || fault != nil || !patient {
			return set, fault
		}
		first = false
		select {
		case <-c.signal:
			clock.Sleep(client, settle)
		case <-client.Done():
			return nil, nil
		}
		if c.cancelCount() != cancels {
			return nil, &types.RequestCanceled{}
		}
	}
}

func (c *collector) cancelCount() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cancels
}

func (c *collector) isClosed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closed
}

// look returns an update if there is one. The first look of a call checks the
// version that the client has.
func (c *collector) look(ctx *simulator.Context, version string, limit int, first bool) (*types.UpdateSet, types.BaseMethodFault) {
	c.call.Lock()
	defer c.call.Unlock()
	if c.isClosed() {
		// Its session was closed, or it was destroyed, after the call was received.
		return nil, &types.RequestCanceled{}
	}
	if first && version == "" {
		c.restart()
	} else if version != "" && version != c.versionText() {
		return nil, &types.InvalidCollectorVersion{}
	}
	updates := c.rest
	c.rest = nil
	if len(updates) == 0 {
		var fault types.BaseMethodFault
		if updates, fault = c.changes(ctx); fault != nil {
			return nil, fault
		}
	}
	if len(updates) == 0 && version != "" {
		return nil, nil
	}
	set := &types.UpdateSet{}
	set.FilterSet, c.rest = splitUpdates(updates, limit)
	if len(c.rest) > 0 {
		set.Truncated = types.NewBool(true)
	}
	c.version++
	set.Version = c.versionText()
	return set, nil
}

// whyGone tells why there is no such collector: it was destroyed, or its whole session was.
func (p *Server) whyGone(session string, ref types.ManagedObjectReference) types.BaseMethodFault {
	if !p.sessions.Alive(session) {
		return &types.NotAuthenticated{NoPermission: types.NoPermission{Object: &ref, PrivilegeId: "System.View"}}
	}
	return &types.ManagedObjectNotFound{Obj: ref}
}

// splitUpdates cuts off what is more than limit objects.
func splitUpdates(updates []types.PropertyFilterUpdate, limit int) (now, later []types.PropertyFilterUpdate) {
	for i, u := range updates {
		if len(u.ObjectSet) <= limit {
			limit -= len(u.ObjectSet)
			now = append(now, u)
			continue
		}
		if limit > 0 {
			now = append(now, types.PropertyFilterUpdate{Filter: u.Filter, ObjectSet: u.ObjectSet[:limit]})
		}
		later = append(later, types.PropertyFilterUpdate{Filter: u.Filter, ObjectSet: u.ObjectSet[limit:]})
		return now, append(later, updates[i+1:]...)
	}
	return now, nil
}

// partialChanges reports a changed structure field by field, as a filter with
// partial updates asks.
func partialChanges(name string, before, now reflect.Value) []types.PropertyChange {
	before, now = deref(before), deref(now)
	whole := func() []types.PropertyChange {
		change := types.PropertyChange{Name: name, Op: types.PropertyChangeOpAssign}
		if now.IsValid() {
			change.Val = wrap(now)
		}
		return []types.PropertyChange{change}
	}
	if !before.IsValid() || !now.IsValid() || now.Kind() != reflect.Struct || before.Type() != now.Type() ||
		now.Type() == deepcopy.TimeType || isReference(now.Type()) || strings.HasPrefix(now.Type().Name(), "ArrayOf") {
		return whole()
	}
	var out []types.PropertyChange
	for i := range now.NumField() {
		f := now.Type().Field(i)
		a, b := before.Field(i), now.Field(i)
		if !f.IsExported() || reflect.DeepEqual(a.Interface(), b.Interface()) {
			continue
		}
		sub := name
		if !f.Anonymous {
			tag, _, _ := strings.Cut(f.Tag.Get("xml"), ",")
			sub = name + "." + path.Base(tag)
		}
		if unset(b) {
			out = append(out, types.PropertyChange{Name: sub, Op: types.PropertyChangeOpAssign})
			continue
		}
		out = append(out, partialChanges(sub, a, b)...)
	}
	return out
}

func isReference(t reflect.Type) bool {
	return t == reflect.TypeOf(types.ManagedObjectReference{})
}
