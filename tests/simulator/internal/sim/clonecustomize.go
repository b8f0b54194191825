// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package sim

import (
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"
)

// customizeAtBoot keeps the customization of a clone until it first boots.
func (s *Sim) customizeAtBoot(vm *simulator.VirtualMachine, plan *customizationPlan) {
	if plan != nil {
		s.guestStates.With(vm.Self, func(st *vmState) { st.firstBoot = plan })
	}
}

// customizeFirstBoot carries out what waited for a guest to boot: its name, and the
// address of its first card.
func (s *Sim) customizeFirstBoot(ref types.ManagedObjectReference) {
	var plan *customizationPlan
	s.guestStates.With(ref, func(st *vmState) {
		if plan, st.firstBoot = st.firstBoot, nil; plan == nil {
			return
		}
		st.guest.name = plan.name
		if len(plan.cards) > 0 && plan.cards[0].addr != "" {
			st.guest.ipv4, st.guest.prefix = plan.cards[0].addr, plan.cards[0].prefix
		}
	})
	if plan != nil {
		s.noteCustomization(ref, types.GuestInfoCustomizationStatusTOOLSDEPLOYPKG_RUNNING, "")
		s.noteCustomization(ref, types.GuestInfoCustomizationStatusTOOLSDEPLOYPKG_SUCCEEDED, "")
	}
}
