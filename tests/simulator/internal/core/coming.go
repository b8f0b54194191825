// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package core

import (
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/naming"
)

// comingVM is a VM that is being made: everybody sees its name and where it is to be, and
// nobody its configuration or its host. The VM itself takes its place. It is no
// simulator.VirtualMachine, so that nothing takes it for one.
type comingVM struct {
	mo.VirtualMachine
	Task types.ManagedObjectReference
}

// AnnounceVM takes a name for a VM that a task makes, and shows it. The caller holds
// Sim.creating, and has looked whether the name is free.
func (s *Core) AnnounceVM(ctx *simulator.Context, key naming.Child, task types.ManagedObjectReference) types.ManagedObjectReference {
	coming := &comingVM{Task: task}
	coming.Self, coming.Name = s.newVMRef(), key.Name
	coming.Runtime.ConnectionState = types.VirtualMachineConnectionStateConnected
	coming.Runtime.PowerState = PoweredOff
	coming.Runtime.FaultToleranceState = types.VirtualMachineFaultToleranceStateNotConfigured
	coming.Runtime.RecordReplayState = types.VirtualMachineRecordReplayStateInactive
	coming.Summary.Vm, coming.Summary.Runtime = &coming.Self, coming.Runtime
	coming.GuestHeartbeatStatus = types.ManagedEntityStatusGray
	folder := s.Reg.Get(key.Folder).(*simulator.Folder)
	ctx.WithLock(folder, func() {
		folder.ChildEntity = append(folder.ChildEntity, coming.Self)
		s.Reg.PutEntity(folder, coming)
	})
	// Not before: who finds the VM by its name has to find it in the folder, too.
	s.Index.Reserve(key, coming.Self)
	return coming.Self
}

// Withdraw gives the name of a VM back. One that was made keeps it by itself; one that was not
// is seen no more. The caller holds Sim.creating.
func (s *Core) Withdraw(ctx *simulator.Context, key naming.Child, ref types.ManagedObjectReference) {
	if s.Index.Reserved(key) != ref {
		return // it was given back before, and another may have it
	}
	if s.Coming(ref) != nil {
		s.Reg.Remove(ctx, ref)
		if folder, ok := s.Reg.Get(key.Folder).(*simulator.Folder); ok {
			s.Reg.RemoveReference(ctx, folder, &folder.ChildEntity, ref)
		}
	}
	s.Index.Unreserve(key)
}

// Coming returns the VM of ref if it is being made, or nil.
func (s *Core) Coming(ref types.ManagedObjectReference) *comingVM {
	coming, _ := s.Reg.Get(ref).(*comingVM)
	return coming
}

// Arrive puts a VM that was made into its folder, in the place of what was seen of it so far.
func (s *Core) Arrive(ctx *simulator.Context, vm *simulator.VirtualMachine, folder *simulator.Folder) {
	seen := s.Coming(vm.Self) != nil
	ctx.WithLock(folder, func() {
		if !seen {
			folder.ChildEntity = append(folder.ChildEntity, vm.Self)
		}
		s.Reg.PutEntity(folder, vm)
	})
	if seen {
		s.Props.Hub.UpdateObject(ctx, vm, nil) // of all that it did not have before
	}
}
