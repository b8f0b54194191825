// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package core

import (
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

// Post adds events to vCenter's history. The lock of the VM that they tell of may
// be held.
func (s *Core) Post(ctx *simulator.Context, events ...types.BaseEvent) {
	m := s.Reg.EventManager()
	ctx.WithLock(m, func() {
		for _, e := range events {
			m.PostEvent(ctx, &types.PostEvent{EventToPost: e})
		}
	})
}

// EntityArgument names an entity in an event.
func EntityArgument(e mo.Entity) types.EntityEventArgument {
	return types.EntityEventArgument{Name: e.Entity().Name}
}

// VMEvent fills in the base of an event about vm.
func (s *Core) VMEvent(vm *simulator.VirtualMachine) types.VmEvent {
	e := types.VmEvent{Template: vm.Config.Template}
	e.Vm = &types.VmEventArgument{EntityEventArgument: types.EntityEventArgument{Name: vm.Name}, Vm: vm.Self}
	if host := s.HostOf(vm); host != nil {
		e.Host = &types.HostEventArgument{EntityEventArgument: EntityArgument(host), Host: host.Self}
		if ref, ok := s.ComputeOf(host.Self); ok {
			if cr, ok := s.Reg.Get(ref).(mo.Entity); ok {
				e.ComputeResource = &types.ComputeResourceEventArgument{EntityEventArgument: EntityArgument(cr), ComputeResource: ref}
			}
		}
		if dc := s.Ancestor(host.Self, "Datacenter"); dc != nil {
			e.Datacenter = &types.DatacenterEventArgument{EntityEventArgument: EntityArgument(dc), Datacenter: dc.Reference()}
		}
	}
	if len(vm.Datastore) > 0 {
		if ds, ok := s.Reg.Get(vm.Datastore[0]).(*simulator.Datastore); ok {
			e.Ds = &types.DatastoreEventArgument{EntityEventArgument: EntityArgument(ds), Datastore: ds.Self}
		}
	}
	return e
}
