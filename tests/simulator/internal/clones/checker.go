// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package clones

import (
	"fmt"
	"slices"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/accounts"
	"vforge.vsphere/simulator/internal/faults"
	"vforge.vsphere/simulator/internal/shim"
	"vforge.vsphere/simulator/internal/vdisk"
)

// manyDeltas is how many layers a disk may have before vCenter warns of them.
const manyDeltas = 100

// checkerShim adds the dry run of an instant clone to vcsim's provisioning checker.
type checkerShim struct{ shim.Of[*Clones] }

// CheckInstantCloneTask tells what would be wrong with an instant clone, and changes
// nothing. It knows the same rules as the clone itself, and tells all that are
// broken.
func (sh *checkerShim) CheckInstantCloneTask(ctx *simulator.Context, req *types.CheckInstantClone_Task) soap.HasFault {
	s := sh.S
	vm := s.VM(req.Vm)
	if vm == nil {
		return &methods.CheckInstantClone_TaskBody{Fault_: faults.NotFound(req.Vm)}
	}
	task := s.Tasks.Run(ctx, req.Vm, "checkInstantClone", func(ctx *simulator.Context) (types.AnyType, types.BaseMethodFault) {
		var result types.CheckResult
		ctx.WithLock(vm, func() { result = s.checkClone(ctx, vm, req) })
		return types.ArrayOfCheckResult{CheckResult: []types.CheckResult{result}}, nil
	})
	return &methods.CheckInstantClone_TaskBody{Res: &types.CheckInstantClone_TaskResponse{Returnval: task}}
}

func (s *Clones) checkClone(ctx *simulator.Context, vm *simulator.VirtualMachine, req *types.CheckInstantClone_Task) types.CheckResult {
	p := s.newPlan(vm, &req.Spec)
	result := types.CheckResult{Vm: &vm.Self, Host: vm.Runtime.Host}
	for _, rule := range s.cloneRules(p, &req.Spec) {
		if rule.test != "" && len(req.TestType) > 0 && !slices.Contains(req.TestType, rule.test) {
			continue
		}
		if fault := rule.check(); fault != nil {
			result.Error = append(result.Error, *faults.Localized(fault))
		}
	}
	for _, privilege := range accounts.VMPrivileges["InstantClone_Task"] {
		if fault := s.Auth.Denied(ctx.Session.UserName, vm.Self, privilege); fault != nil {
			result.Error = append(result.Error, *faults.Localized(fault))
		}
	}
	if p.folder != nil && p.datastore != nil && p.pool != nil {
		if fault := s.cloneDenied(ctx, p); fault != nil {
			result.Error = append(result.Error, *faults.Localized(fault))
		}
	}
	if n := vdisk.DeltasOf(vm); n > manyDeltas {
		warning := &types.GenericVmConfigFault{Reason: fmt.Sprintf("The disks of the virtual machine have %d redo logs.", n)}
		warning.FaultMessage = []types.LocalizableMessage{{Key: "vforge.redologs", Message: warning.Reason}}
		result.Warning = append(result.Warning, *faults.Localized(warning))
	}
	return result
}
