// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package clones

import (
	"errors"
	"slices"
	"sync"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/apiversion"
	"vforge.vsphere/simulator/internal/core"
	"vforge.vsphere/simulator/internal/guests"
	"vforge.vsphere/simulator/internal/ids"
	"vforge.vsphere/simulator/internal/vmforkapi"
	"vforge.vsphere/simulator/internal/wire"
)

// forkTable knows which VMs are children of which, and which parents stand still. It
// saves looking at two VMs, and so holding two locks, at once.
type forkTable struct {
	mu       sync.Mutex
	parents  map[types.ManagedObjectReference]types.ManagedObjectReference // by child
	children map[types.ManagedObjectReference][]types.ManagedObjectReference
	quiesced map[types.ManagedObjectReference]bool
}

func (t *forkTable) add(parent, child types.ManagedObjectReference) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.parents == nil {
		t.parents = make(map[types.ManagedObjectReference]types.ManagedObjectReference)
		t.children = make(map[types.ManagedObjectReference][]types.ManagedObjectReference)
	}
	t.parents[child] = parent
	t.children[parent] = append(t.children[parent], child)
}

// Drop forgets a VM that has gone.
func (t *forkTable) Drop(vm types.ManagedObjectReference) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if parent, ok := t.parents[vm]; ok {
		t.children[parent] = slices.DeleteFunc(t.children[parent], func(c types.ManagedObjectReference) bool { return c == vm })
		delete(t.parents, vm)
	}
	for _, child := range t.children[vm] {
		delete(t.parents, child)
	}
	delete(t.children, vm)
	delete(t.quiesced, vm)
}

func (t *forkTable) setQuiesced(vm types.ManagedObjectReference, on bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.quiesced == nil {
		t.quiesced = make(map[types.ManagedObjectReference]bool)
	}
	t.quiesced[vm] = on
}

// parentOf returns the parent of a child, and if it stands still.
func (t *forkTable) parentOf(child types.ManagedObjectReference) (parent types.ManagedObjectReference, quiesced, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	parent, ok = t.parents[child]
	return parent, t.quiesced[parent], ok
}

func (t *forkTable) childrenOf(parent types.ManagedObjectReference) []types.ManagedObjectReference {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.children[parent])
}

// ForkMethodFault refuses the methods of VMFork on a release that lacks them, and to a
// client that speaks an older version.
func (s *Clones) ForkMethodFault(call *wire.Call) types.BaseMethodFault {
	if vmforkapi.ForkRequests[call.Method] == nil || s.HasVMFork() && !apiversion.Less(call.Version, "6.0") {
		return nil
	}
	this := call.This
	return &types.MethodNotFound{Receiver: this, Method: call.Method}
}

// forkInfo is config.forkConfigInfo of a VM, or an empty one.
func forkInfo(vm *simulator.VirtualMachine) types.VirtualMachineForkConfigInfo {
	if vm.Config.ForkConfigInfo == nil {
		return types.VirtualMachineForkConfigInfo{}
	}
	return *vm.Config.ForkConfigInfo
}

func isForkParent(vm *simulator.VirtualMachine) bool {
	enabled := forkInfo(vm).ParentEnabled
	return enabled != nil && *enabled
}

func quiescedParent(vm *simulator.VirtualMachine) bool {
	return vm.Runtime.QuiescedForkParent != nil && *vm.Runtime.QuiescedForkParent
}

// EnableForkParentTask makes a VM a parent that can be forked.
func (sh *VMCalls) EnableForkParentTask(ctx *simulator.Context, req *vmforkapi.EnableForkParentRequest) soap.HasFault {
	task := sh.S.Tasks.OnVM(ctx, req.This, "enableForkParent", func(ctx *simulator.Context, vm *simulator.VirtualMachine) types.BaseMethodFault {
		info := forkInfo(vm)
		switch {
		case vm.Config.Template:
			return &types.NotSupported{}
		case isForkParent(vm) || info.ChildForkGroupId != "" && info.ChildType != string(types.VirtualMachineForkConfigInfoChildTypeNone):
			return &types.InvalidState{}
		}
		info.ParentEnabled, info.ParentForkGroupId = types.NewBool(true), ids.NewUUID(0x52)
		if info.ChildType == "" {
			info.ChildType = string(types.VirtualMachineForkConfigInfoChildTypeNone)
		}
		ctx.Update(vm, []types.PropertyChange{{Name: "config.forkConfigInfo", Val: &info}})
		return nil
	})
	return &vmforkapi.EnableForkParentBody{Res: &vmforkapi.EnableForkParent_TaskResponse{Returnval: task}}
}

// DisableForkParentTask undoes EnableForkParent_Task, as long as no child that depends
// on the parent's memory runs. A parent that stands still goes on standing still until
// it is reset or powered off.
func (sh *VMCalls) DisableForkParentTask(ctx *simulator.Context, req *vmforkapi.DisableForkParentRequest) soap.HasFault {
	busy := sh.S.forkChildrenRun(req.This)
	task := sh.S.Tasks.OnVM(ctx, req.This, "disableForkParent", func(ctx *simulator.Context, vm *simulator.VirtualMachine) types.BaseMethodFault {
		if !isForkParent(vm) || busy {
			return &types.InvalidState{}
		}
		info := forkInfo(vm)
		info.ParentEnabled, info.ParentForkGroupId = nil, ""
		ctx.Update(vm, []types.PropertyChange{{Name: "config.forkConfigInfo", Val: &info}})
		return nil
	})
	return &vmforkapi.DisableForkParentBody{Res: &vmforkapi.DisableForkParent_TaskResponse{Returnval: task}}
}

// forkChildrenRun tells if a non-persistent child of a parent is powered on. No lock
// may be held.
func (s *Clones) forkChildrenRun(parent types.ManagedObjectReference) (run bool) {
	for _, ref := range s.forks.childrenOf(parent) {
		child := s.VM(ref)
		if child == nil {
			continue
		}
		s.Background("").WithLock(child, func() {
			run = run || child.Runtime.PowerState == core.PoweredOn &&
				forkInfo(child).ChildType == string(types.VirtualMachineForkConfigInfoChildTypeNonpersistent)
		})
	}
	return run
}

// RetrieveForkChildrenTask lists a parent's children, persistent ones too.
func (sh *VMCalls) RetrieveForkChildrenTask(ctx *simulator.Context, req *vmforkapi.RetrieveForkChildrenRequest) soap.HasFault {
	s := sh.S
	task := s.Tasks.Run(ctx, req.This, "retrieveForkChildren", func(*simulator.Context) (types.AnyType, types.BaseMethodFault) {
		return types.ArrayOfManagedObjectReference{ManagedObjectReference: s.forks.childrenOf(req.This)}, nil
	})
	return &vmforkapi.RetrieveForkChildrenBody{Res: &vmforkapi.RetrieveForkChildren_TaskResponse{Returnval: task}}
}

// RetrieveForkParentTask finds a child's parent; that of any other VM is nothing.
func (sh *VMCalls) RetrieveForkParentTask(ctx *simulator.Context, req *vmforkapi.RetrieveForkParentRequest) soap.HasFault {
	s := sh.S
	task := s.Tasks.Run(ctx, req.This, "retrieveForkParent", func(*simulator.Context) (types.AnyType, types.BaseMethodFault) {
		if parent, _, ok := s.forks.parentOf(req.This); ok {
			return parent, nil
		}
		return nil, nil
	})
	return &vmforkapi.RetrieveForkParentBody{Res: &vmforkapi.RetrieveForkParent_TaskResponse{Returnval: task}}
}

// errNoForkParent is what the host says to vmfork-begin in a VM that is no parent.
var errNoForkParent = errors.New("VMFork is not enabled for this virtual machine")

// quiesceForkParent does what vmfork-begin does in a guest. The caller holds the VM's
// lock.
func (s *Clones) quiesceForkParent(ctx *simulator.Context, vm *simulator.VirtualMachine) error {
	if !s.HasVMFork() {
		return guests.ErrUnknownCommand
	}
	if !isForkParent(vm) {
		return errNoForkParent
	}
	s.setQuiesced(ctx, vm, true)
	s.Guests.Set(ctx, vm, guests.Off())
	return nil
}

func (s *Clones) setQuiesced(ctx *simulator.Context, vm *simulator.VirtualMachine, on bool) {
	s.forks.setQuiesced(vm.Self, on)
	ctx.Update(vm, []types.PropertyChange{
		{Name: "runtime.quiescedForkParent", Val: on},
		{Name: "summary.runtime.quiescedForkParent", Val: on},
	})
}

// EndQuiescence is for a parent that boots anew or is powered off. The caller holds
// its lock.
func (s *Clones) EndQuiescence(ctx *simulator.Context, vm *simulator.VirtualMachine) {
	if quiescedParent(vm) {
		s.setQuiesced(ctx, vm, false)
	}
}
