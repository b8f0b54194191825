// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package guests

import (
	"errors"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"
)

// Freeze does what instantclone.freeze does in a guest, or, thawing, what only a
// reset does in a real one.
func (s *Guests) Freeze(ctx *simulator.Context, vm *simulator.VirtualMachine, freeze bool) error {
	if vm.Runtime.PowerState != types.VirtualMachinePowerStatePoweredOn {
		return errors.New("only a VM that is powered on can be frozen")
	}
	ctx.Update(vm, []types.PropertyChange{
		{Name: "runtime.instantCloneFrozen", Val: freeze},
		{Name: "summary.runtime.instantCloneFrozen", Val: freeze},
	})
	if freeze {
		s.Pause(vm.Self, true)
		s.Set(ctx, vm, Off())
		return nil
	}
	s.Halt(vm.Self)
	s.Boot(vm.Self)
	return nil
}

// ReportAgain has the guest tell at once what has been set for it.
func (s *Guests) ReportAgain(vm *simulator.VirtualMachine) {
	st := s.States.Get(vm.Self).Guest
	if st.NoTools {
		ctx := s.Background("")
		ctx.WithLock(vm, func() { s.Set(ctx, vm, Off()) })
		return
	}
	s.Report(vm.Self, st.bootID)
}
