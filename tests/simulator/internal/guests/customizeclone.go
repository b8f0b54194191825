// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package guests

import (
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"
)

// CustomizeAtBoot keeps the customization of a clone until it first boots.
func (s *Guests) CustomizeAtBoot(vm *simulator.VirtualMachine, plan *CustomizationPlan) {
	if plan != nil {
		s.States.With(vm.Self, func(st *VMState) { st.firstBoot = plan })
	}
}

// customizeFirstBoot carries out what waited for a guest to boot: its name, and the
// address of its first card.
func (s *Guests) customizeFirstBoot(ref types.ManagedObjectReference) {
	var plan *CustomizationPlan
	s.States.With(ref, func(st *VMState) {
		if plan, st.firstBoot = st.firstBoot, nil; plan == nil {
			return
		}
		st.Guest.name = plan.name
		if len(plan.cards) > 0 && plan.cards[0].addr != "" {
			st.Guest.IPv4, st.Guest.Prefix = plan.cards[0].addr, plan.cards[0].prefix
		}
	})
	if plan != nil {
		s.noteCustomization(ref, types.GuestInfoCustomizationStatusTOOLSDEPLOYPKG_RUNNING, "")
		s.noteCustomization(ref, types.GuestInfoCustomizationStatusTOOLSDEPLOYPKG_SUCCEEDED, "")
	}
}
