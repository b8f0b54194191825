// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package sim

import (
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/faults"
	"vforge.vsphere/simulator/internal/shim"
)

// taskShim is CancelTask as vCenter has it: vcsim marks any running task as
// cancelled and lets it run on.
type taskShim struct{ shim.Of[*Sim] }

// CancelTask takes a queued clone out of its queue, stops a full or linked clone that runs,
// and aborts an import that may be cancelled. No other task that runs can be cancelled, nor one that is done.
func (sh *taskShim) CancelTask(ctx *simulator.Context, req *types.CancelTask) soap.HasFault {
	s := sh.S
	task, ok := s.Reg.Get(req.This).(*simulator.Task)
	if !ok {
		return &methods.CancelTaskBody{Fault_: faults.NotFound(req.This)}
	}
	if s.Tasks.Queues.Cancel(req.This) != nil {
		s.Tasks.Cancel(ctx, task)
		return &methods.CancelTaskBody{Res: &types.CancelTaskResponse{}}
	}
	if s.Leases.CancelImport(req.This) {
		return &methods.CancelTaskBody{Res: &types.CancelTaskResponse{}}
	}
	if s.Tasks.Queues.Stop(req.This) { // it ends by itself
		return &methods.CancelTaskBody{Res: &types.CancelTaskResponse{}}
	}
	var fault types.BaseMethodFault = &types.NotSupported{}
	ctx.WithLock(task, func() {
		if task.Info.State == types.TaskInfoStateSuccess || task.Info.State == types.TaskInfoStateError {
			fault = &types.InvalidState{}
		}
	})
	return &methods.CancelTaskBody{Fault_: faults.SOAP(fault)}
}
