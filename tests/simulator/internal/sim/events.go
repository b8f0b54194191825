// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package sim

import (
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/faults"
)

// post adds events to vCenter's history. The lock of the VM that they tell of may
// be held.
func (s *Sim) post(ctx *simulator.Context, events ...types.BaseEvent) {
	m := s.reg.EventManager()
	ctx.WithLock(m, func() {
		for _, e := range events {
			m.PostEvent(ctx, &types.PostEvent{EventToPost: e})
		}
	})
}

// entityArgument names an entity in an event.
func entityArgument(e mo.Entity) types.EntityEventArgument {
	return types.EntityEventArgument{Name: e.Entity().Name}
}

// vmEvent fills in the base of an event about vm.
func (s *Sim) vmEvent(vm *simulator.VirtualMachine) types.VmEvent {
	e := types.VmEvent{Template: vm.Config.Template}
	e.Vm = &types.VmEventArgument{EntityEventArgument: types.EntityEventArgument{Name: vm.Name}, Vm: vm.Self}
	if host := s.HostOf(vm); host != nil {
		e.Host = &types.HostEventArgument{EntityEventArgument: entityArgument(host), Host: host.Self}
		if ref, ok := s.ComputeOf(host.Self); ok {
			if cr, ok := s.reg.Get(ref).(mo.Entity); ok {
				e.ComputeResource = &types.ComputeResourceEventArgument{EntityEventArgument: entityArgument(cr), ComputeResource: ref}
			}
		}
		if dc := s.Ancestor(host.Self, "Datacenter"); dc != nil {
			e.Datacenter = &types.DatacenterEventArgument{EntityEventArgument: entityArgument(dc), Datacenter: dc.Reference()}
		}
	}
	if len(vm.Datastore) > 0 {
		if ds, ok := s.reg.Get(vm.Datastore[0]).(*simulator.Datastore); ok {
			e.Ds = &types.DatastoreEventArgument{EntityEventArgument: entityArgument(ds), Datastore: ds.Self}
		}
	}
	return e
}

// beingCloned and the other clone events are those of every clone: the API has
// none of its own for instant clones.
func (s *Sim) beingCloned(p *clonePlan) types.BaseEvent {
	return &types.VmBeingClonedEvent{
		VmCloneEvent: types.VmCloneEvent{VmEvent: s.vmEvent(p.parent)},
		DestFolder:   types.FolderEventArgument{EntityEventArgument: entityArgument(p.folder), Folder: p.folder.Self},
		DestName:     p.name,
		DestHost:     types.HostEventArgument{EntityEventArgument: entityArgument(p.host), Host: p.host.Self},
	}
}

func (s *Sim) cloned(p *clonePlan, vm *simulator.VirtualMachine) []types.BaseEvent {
	e := s.vmEvent(vm)
	return []types.BaseEvent{
		&types.VmInstanceUuidAssignedEvent{VmEvent: e, InstanceUuid: vm.Config.InstanceUuid},
		&types.VmUuidAssignedEvent{VmEvent: e, Uuid: vm.Config.Uuid},
		&types.VmClonedEvent{
			VmCloneEvent: types.VmCloneEvent{VmEvent: e},
			SourceVm:     types.VmEventArgument{EntityEventArgument: entityArgument(p.parent), Vm: p.parent.Self},
		},
		&types.VmPoweredOnEvent{VmEvent: e},
	}
}

func (s *Sim) cloneFailed(p *clonePlan, fault types.BaseMethodFault) types.BaseEvent {
	return &types.VmCloneFailedEvent{
		VmCloneEvent: types.VmCloneEvent{VmEvent: s.vmEvent(p.parent)},
		DestFolder:   types.FolderEventArgument{EntityEventArgument: entityArgument(p.folder), Folder: p.folder.Self},
		DestName:     p.name,
		DestHost:     types.HostEventArgument{EntityEventArgument: entityArgument(p.host), Host: p.host.Self},
		Reason:       *faults.Localized(fault),
	}
}
