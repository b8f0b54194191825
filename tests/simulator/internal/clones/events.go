// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package clones

import (
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/core"
	"vforge.vsphere/simulator/internal/faults"
)

// beingCloned and the other clone events are those of every clone: the API has
// none of its own for instant clones.
func (s *Clones) beingCloned(p *clonePlan) types.BaseEvent {
	return &types.VmBeingClonedEvent{
		VmCloneEvent: types.VmCloneEvent{VmEvent: s.VMEvent(p.parent)},
		DestFolder:   types.FolderEventArgument{EntityEventArgument: core.EntityArgument(p.folder), Folder: p.folder.Self},
		DestName:     p.name,
		DestHost:     types.HostEventArgument{EntityEventArgument: core.EntityArgument(p.host), Host: p.host.Self},
	}
}

func (s *Clones) cloned(p *clonePlan, vm *simulator.VirtualMachine) []types.BaseEvent {
	e := s.VMEvent(vm)
	return []types.BaseEvent{
		&types.VmInstanceUuidAssignedEvent{VmEvent: e, InstanceUuid: vm.Config.InstanceUuid},
		&types.VmUuidAssignedEvent{VmEvent: e, Uuid: vm.Config.Uuid},
		&types.VmClonedEvent{
			VmCloneEvent: types.VmCloneEvent{VmEvent: e},
			SourceVm:     types.VmEventArgument{EntityEventArgument: core.EntityArgument(p.parent), Vm: p.parent.Self},
		},
		&types.VmPoweredOnEvent{VmEvent: e},
	}
}

func (s *Clones) cloneFailed(p *clonePlan, fault types.BaseMethodFault) types.BaseEvent {
	return &types.VmCloneFailedEvent{
		VmCloneEvent: types.VmCloneEvent{VmEvent: s.VMEvent(p.parent)},
		DestFolder:   types.FolderEventArgument{EntityEventArgument: core.EntityArgument(p.folder), Folder: p.folder.Self},
		DestName:     p.name,
		DestHost:     types.HostEventArgument{EntityEventArgument: core.EntityArgument(p.host), Host: p.host.Self},
		Reason:       *faults.Localized(fault),
	}
}
