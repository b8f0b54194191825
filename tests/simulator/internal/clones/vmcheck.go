// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package clones

import (
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/faults"
)

// CheckCloneTask tells what would be wrong with a full or linked clone, and changes
// nothing. It knows the rules of the clone itself, and tells the first that is broken,
// whether the name is taken, and which privilege is missing.
func (sh *checkerShim) CheckCloneTask(ctx *simulator.Context, req *types.CheckClone_Task) soap.HasFault {
	s := sh.S
	vm := s.VM(req.Vm)
	if vm == nil {
		return &methods.CheckClone_TaskBody{Fault_: faults.NotFound(req.Vm)}
	}
	task := s.Tasks.Run(ctx, req.Vm, "checkClone", func(ctx *simulator.Context) (types.AnyType, types.BaseMethodFault) {
		var result types.CheckResult
		ctx.WithLock(vm, func() { result = s.checkVMClone(ctx, vm, req) })
		return types.ArrayOfCheckResult{CheckResult: []types.CheckResult{result}}, nil
	})
	return &methods.CheckClone_TaskBody{Res: &types.CheckClone_TaskResponse{Returnval: task}}
}

func (s *Clones) checkVMClone(ctx *simulator.Context, vm *simulator.VirtualMachine, req *types.CheckClone_Task) types.CheckResult {
	asked := &types.CloneVM_Task{This: vm.Self, Folder: req.Folder, Name: req.Name, Spec: req.Spec}
	result := types.CheckResult{Vm: &vm.Self}
	plan, fault := s.planVMClone(vm, asked)
	if fault == nil {
		result.Host = &plan.host.Self
		fault = s.checkName(&plan.clonePlan)
	}
	for _, found := range []types.BaseMethodFault{fault, s.vmCloneDenied(ctx, vm, asked)} {
		if found != nil {
			result.Error = append(result.Error, *faults.Localized(found))
		}
	}
	return result
}
