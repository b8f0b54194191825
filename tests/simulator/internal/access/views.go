// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package access

import (
	"slices"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/faults"
	"vforge.vsphere/simulator/internal/ids"
	"vforge.vsphere/simulator/internal/props"
	"vforge.vsphere/simulator/internal/shim"
)

// entityKinds are the types that a container view can list; those with true can be
// the container.
var entityKinds = map[string]bool{
	"ManagedEntity": true, "Folder": true, "StoragePod": true, "Datacenter": true, "ComputeResource": true,
	"ClusterComputeResource": true, "HostSystem": true, "ResourcePool": true, "VirtualApp": true,
	"VirtualMachine": false, "Datastore": false, "Network": false, "OpaqueNetwork": false,
	"DistributedVirtualPortgroup": false, "DistributedVirtualSwitch": false, "VmwareDistributedVirtualSwitch": false,
}

// viewShim makes container views. vcsim's walk the inventory without locks whenever
// an object comes; these walk it, with locks, whenever they are read.
type viewShim struct{ shim.Of[*Access] }

// CreateContainerView makes a view of all objects of some types below another.
func (sh *viewShim) CreateContainerView(ctx *simulator.Context, req *types.CreateContainerView) soap.HasFault {
	body := &methods.CreateContainerViewBody{}
	if sh.S.Reg.Get(req.Container) == nil {
		body.Fault_ = faults.NotFound(req.Container)
		return body
	}
	if fault := sh.S.Auth.Denied(ctx.Session.UserName, req.Container, "System.View"); fault != nil {
		body.Fault_ = faults.SOAP(fault)
		return body
	}
	if !entityKinds[req.Container.Type] {
		body.Fault_ = faults.SOAP(faults.Invalid("container"))
		return body
	}
	for _, kind := range req.Type {
		if _, ok := entityKinds[kind]; !ok {
			body.Fault_ = faults.SOAP(faults.Invalid("type"))
			return body
		}
	}
	v := &containerView{s: sh.S, session: ctx.Session.Registry}
	v.Container, v.Recursive, v.Type = req.Container, req.Recursive, req.Type
	v.Self = types.ManagedObjectReference{Type: "ContainerView", Value: "session[" + ctx.Session.Key + "]" + ids.NewUUID(0x52)}
	ctx.Session.Registry.Put(v)
	body.Res = &types.CreateContainerViewResponse{Returnval: v.Self}
	return body
}

// containerView is one view; it belongs to its session.
type containerView struct {
	mo.ContainerView
	s       *Access
	session *simulator.Registry
}

// DestroyView forgets the view.
func (v *containerView) DestroyView(ctx *simulator.Context, _ *types.DestroyView) soap.HasFault {
	v.session.Remove(ctx, v.Self)
	return &methods.DestroyViewBody{Res: &types.DestroyViewResponse{}}
}

// Get is called when the view's properties are read: what it lists is looked up
// then.
func (v *containerView) Get() mo.Reference {
	now := v.ContainerView
	w := &viewWalk{v: v, ctx: v.s.Background(""), seen: make(map[types.ManagedObjectReference]bool)}
	w.walk(v.Container)
	now.View = w.found
	return &now
}

type viewWalk struct {
	v     *containerView
	ctx   *simulator.Context
	seen  map[types.ManagedObjectReference]bool
	found []types.ManagedObjectReference
}

func (w *viewWalk) walk(ref types.ManagedObjectReference) {
	for _, child := range w.v.s.Children(w.ctx, ref) {
		if w.seen[child] {
			continue // a VM is a child of its folder, its pool and its host
		}
		w.seen[child] = true
		if w.lists(child) {
			w.found = append(w.found, child)
		}
		if w.v.Recursive {
			w.walk(child)
		}
	}
}

func (w *viewWalk) lists(ref types.ManagedObjectReference) bool {
	obj := w.v.s.Reg.Get(ref)
	if obj == nil {
		return false // it went while we walked
	}
	if len(w.v.Type) == 0 {
		return true
	}
	m := props.Managed(obj)
	return m.IsValid() && slices.ContainsFunc(w.v.Type, func(kind string) bool { return props.IsA(m.Type(), ref, kind) })
}
