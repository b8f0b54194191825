// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package props

import (
	"slices"
	"sync"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/apiversion"
	"vforge.vsphere/simulator/internal/faults"
	"vforge.vsphere/simulator/internal/shim"
)

// pcShim answers property collectors' calls. vcsim's own collector copies values by
// way of XML and looks at every object of every filter for each change anywhere,
// which neither large inventories nor large waits can bear.
type pcShim struct {
	shim.Base
	p *Server
}

// Server answers for all property collectors of a server.
type Server struct {
	reg      *simulator.Registry
	version  string // of the API
	sessions LoginState
	sight    Sight
	Hub      *hub
	pages    pages
	written  written
	kinds    sync.Map // [2]string of two types to whether the one is, or is below, the other
}

// LoginState is what reading properties has to know of the sessions.
type LoginState interface {
	// Alive tells if a session with this key lives.
	Alive(key string) bool
	// HidesFaults tells if reads on a dead session answer without a fault of the call.
	HidesFaults() bool
}

// Sight is what users see of the inventory.
type Sight interface {
	// SeesAll tells if nothing is hidden from a user.
	SeesAll(user string) bool
	// Sees tells if a user may look at an object.
	Sees(user string, ref types.ManagedObjectReference) bool
}

// CollectorShim answers the calls on property collectors.
func (p *Server) CollectorShim() shim.Shim { return &pcShim{shim.NewBase("PropertyCollector"), p} }

// FilterShim answers the calls on property filters.
func (p *Server) FilterShim() shim.Shim { return &filterShim{shim.NewBase("PropertyFilter"), p} }

// New answers about the objects of a registry, in an API version.
func New(reg *simulator.Registry, version string, sessions LoginState, sight Sight) *Server {
	return &Server{reg: reg, version: version, sessions: sessions, sight: sight, Hub: newHub()}
}

// collectorOf names the collector of a call. It may have no session: then nothing is answered that could be read on.
func collectorOf(ctx *simulator.Context, ref types.ManagedObjectReference) collectorID {
	if ctx.Session == nil {
		return collectorID{ref: ref}
	}
	return collectorID{ctx.Session.Key, ref}
}

// begin selects the objects of one filter spec and reads those of the first page; the rest is read page by page, since a
// client may have seen enough.
func (p *Server) begin(ctx *simulator.Context, of collectorID, spec *types.PropertyFilterSpec, size int) (*types.RetrieveResult, types.BaseMethodFault) {
	sel, fault := p.selectObjects(ctx, spec, func(types.ManagedObjectReference) {})
	if fault != nil {
		return nil, fault
	}
	return p.next(ctx, page{of: of, size: size, more: sel.order, set: spec.PropSet})
}

// next reads one more object than fit into a page, so that there is a token only where something follows.
func (p *Server) next(ctx *simulator.Context, rest page) (*types.RetrieveResult, types.BaseMethodFault) {
	for len(rest.objects) <= rest.size && len(rest.more) > 0 {
		content, ok, fault := p.read(ctx, rest.more[0], rest.set)
		if fault != nil {
			return nil, fault
		}
		if ok {
			p.written.in(content.PropSet)
			rest.objects = append(rest.objects, content)
		}
		rest.more = rest.more[1:]
	}
	if len(rest.objects) == 0 {
		return nil, nil
	}
	if len(rest.objects) <= rest.size {
		return &types.RetrieveResult{Objects: rest.objects}, nil
	}
	objects := rest.objects[:rest.size]
	rest.objects = slices.Clone(rest.objects[rest.size:])
	return &types.RetrieveResult{Objects: objects, Token: p.pages.keep(rest)}, nil
}

// RetrievePropertiesEx reads the properties of all objects of the filter specs.
func (sh *pcShim) RetrievePropertiesEx(ctx *simulator.Context, req *types.RetrievePropertiesEx) soap.HasFault {
	if size := int(req.Options.MaxObjects); len(req.SpecSet) == 1 && size > 0 {
		first, fault := sh.p.begin(ctx, collectorOf(ctx, req.This), &req.SpecSet[0], size)
		if fault != nil {
			return &methods.RetrievePropertiesExBody{Fault_: faults.SOAP(fault)}
		}
		return &methods.RetrievePropertiesExBody{Res: &types.RetrievePropertiesExResponse{Returnval: first}}
	}
	objects, fault := sh.p.retrieve(ctx, req.SpecSet)
	if fault != nil {
		return &methods.RetrievePropertiesExBody{Fault_: faults.SOAP(fault)}
	}
	body := &methods.RetrievePropertiesExBody{Res: &types.RetrievePropertiesExResponse{}}
	if len(objects) > 0 {
		first, token := sh.p.pages.first(collectorOf(ctx, req.This), objects, int(req.Options.MaxObjects))
		body.Res.Returnval = &types.RetrieveResult{Objects: first, Token: token}
	}
	return body
}

// RetrieveProperties is the old form, without pages.
func (sh *pcShim) RetrieveProperties(ctx *simulator.Context, req *types.RetrieveProperties) soap.HasFault {
	objects, fault := sh.p.retrieve(ctx, req.SpecSet)
	if fault != nil {
		return &methods.RetrievePropertiesBody{Fault_: faults.SOAP(fault)}
	}
	return &methods.RetrievePropertiesBody{Res: &types.RetrievePropertiesResponse{Returnval: objects}}
}

// ContinueRetrievePropertiesEx returns the next page.
func (sh *pcShim) ContinueRetrievePropertiesEx(ctx *simulator.Context, req *types.ContinueRetrievePropertiesEx) soap.HasFault {
	rest, ok := sh.p.pages.take(collectorOf(ctx, req.This), req.Token)
	if !ok {
		return &methods.ContinueRetrievePropertiesExBody{Fault_: faults.SOAP(faults.Invalid("token"))}
	}
	if len(rest.more) > 0 {
		answer, fault := sh.p.next(ctx, rest)
		if fault != nil {
			return &methods.ContinueRetrievePropertiesExBody{Fault_: faults.SOAP(fault)}
		}
		return &methods.ContinueRetrievePropertiesExBody{Res: &types.ContinueRetrievePropertiesExResponse{Returnval: *answer}}
	}
	objects, token := sh.p.pages.first(rest.of, rest.objects, rest.size)
	return &methods.ContinueRetrievePropertiesExBody{Res: &types.ContinueRetrievePropertiesExResponse{
		Returnval: types.RetrieveResult{Objects: objects, Token: token},
	}}
}

// CancelRetrievePropertiesEx throws the remaining pages away.
func (sh *pcShim) CancelRetrievePropertiesEx(ctx *simulator.Context, req *types.CancelRetrievePropertiesEx) soap.HasFault {
	if _, ok := sh.p.pages.take(collectorOf(ctx, req.This), req.Token); !ok {
		return &methods.CancelRetrievePropertiesExBody{Fault_: faults.SOAP(faults.Invalid("token"))}
	}
	return &methods.CancelRetrievePropertiesExBody{Res: &types.CancelRetrievePropertiesExResponse{}}
}

func (p *Server) retrieve(ctx *simulator.Context, specs []types.PropertyFilterSpec) ([]types.ObjectContent, types.BaseMethodFault) {
	var out []types.ObjectContent
	at := make(map[types.ManagedObjectReference]int)
	for i := range specs {
		sel, fault := p.selectObjects(ctx, &specs[i], func(types.ManagedObjectReference) {})
		if fault != nil {
			return nil, fault
		}
		for _, ref := range sel.order {
			content, ok, fault := p.read(ctx, ref, specs[i].PropSet)
			if fault != nil {
				return nil, fault
			}
			if !ok {
				continue
			}
			p.written.in(content.PropSet)
			if k, seen := at[ref]; seen {
				out[k] = mergeContent(out[k], content)
				continue
			}
			at[ref] = len(out)
			out = append(out, content)
		}
	}
	return out, nil
}

// read reads one object's properties. ok is false when it is gone or of a type that
// is not asked for.
func (p *Server) read(ctx *simulator.Context, ref types.ManagedObjectReference, set []types.PropertySpec) (content types.ObjectContent, ok bool, fault types.BaseMethodFault) {
	if !p.asksOf(ctx, ref, set) {
		return content, false, nil
	}
	obj := p.object(ctx, ref)
	if obj == nil {
		return content, false, nil
	}
	content.Obj = ref
	hidden := !p.sees(ctx, ref)
	ctx.WithLock(ref, func() {
		v := Managed(obj)
		if !v.IsValid() {
			return
		}
		var paths []string
		if paths, ok, fault = pathsFor(v, ref, set); !ok || fault != nil {
			return
		}
		if ctx.Session == nil && ref.Type != "ServiceInstance" {
			content.MissingSet, fault = p.withheld(ref, paths)
			return
		}
		if hidden {
			content.MissingSet = missing(paths, &types.NoPermission{Object: &ref, PrivilegeId: "System.View"})
			return
		}
		for _, path := range paths {
			value, known := readProperty(v, path)
			if !known || apiversion.Less(p.version, apiversion.PropertySince[path]) {
				fault = &types.InvalidProperty{Name: path}
				return
			}
			if value = p.visible(ctx, value); value != nil {
				content.PropSet = append(content.PropSet, types.DynamicProperty{Name: path, Val: value})
			}
		}
	})
	return content, ok, fault
}

// withheld answers a read without a live session: with a fault, or with one for each
// property. Of the session manager clients ask whether they are logged in, so that
// is never a fault of the call.
func (p *Server) withheld(ref types.ManagedObjectReference, paths []string) ([]types.MissingProperty, types.BaseMethodFault) {
	denied := &types.NotAuthenticated{NoPermission: types.NoPermission{Object: &ref, PrivilegeId: "System.View"}}
	if !p.sessions.HidesFaults() && ref.Type != "SessionManager" {
		return nil, denied
	}
	return missing(paths, denied), nil
}

// missing tells of each property why it has no value.
func missing(paths []string, why types.BaseMethodFault) []types.MissingProperty {
	var told []types.MissingProperty
	for _, path := range paths {
		told = append(told, types.MissingProperty{Path: path, Fault: types.LocalizedMethodFault{Fault: why}})
	}
	return told
}

// mergeContent joins what two filter specs of one call ask of the same object.
func mergeContent(a, b types.ObjectContent) types.ObjectContent {
	have := make(map[string]bool, len(a.PropSet))
	for _, p := range a.PropSet {
		have[p.Name] = true
	}
	for _, p := range b.PropSet {
		if !have[p.Name] {
			a.PropSet = append(a.PropSet, p)
		}
	}
	return a
}
