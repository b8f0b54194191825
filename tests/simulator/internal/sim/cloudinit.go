// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package sim

import (
	"strings"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/guestinfo"
	"vforge.vsphere/simulator/internal/guestos"
)

// cloudKeys are the keys of guestinfo by which cloud-init finds its data source.
var cloudKeys = []string{"guestinfo.metadata", "guestinfo.userdata", "guestinfo.vendordata"}

// expectCloudBoot notes that a guest boots, rather than goes on, so that its cloud-init
// runs when it is up.
func (s *Sim) expectCloudBoot(vm types.ManagedObjectReference) {
	s.guestStates.With(vm, func(st *vmState) { st.guest.cloudDue = true })
}

// bootSystem has the operating system of a guest boot, where there is one. A VM with
// data for cloud-init gets one, and its cloud-init runs once a boot. No lock may be
// held.
func (s *Sim) bootSystem(ref types.ManagedObjectReference, boot int) {
	sys := s.guests.find(ref)
	if sys != nil {
		sys.Boot()
	}
	addr4, addr6, due := s.cloudDue(ref, boot)
	if !due {
		return
	}
	if sys == nil {
		sys = s.system(ref)
	}
	s.customizeByCloudInit(ref, sys)
	sys.CloudBoot(addr4, addr6)
}

// cloudDue tells, once a boot, if cloud-init has something to do, and what addresses
// the guest gets.
func (s *Sim) cloudDue(ref types.ManagedObjectReference, boot int) (addr4, addr6 string, due bool) {
	vm := s.VM(ref)
	if vm == nil {
		return "", "", false
	}
	found := false
	s.background("").WithLock(vm, func() {
		found = vm.Runtime.PowerState == poweredOn && (hasCloudData(vm) || s.cloudSeeded(ref))
	})
	if !found {
		return "", "", false
	}
	s.guestStates.With(ref, func(st *vmState) {
		if boot != st.guest.bootID || !st.guest.cloudDue || st.guest.noTools {
			return
		}
		st.guest.cloudDue, due = false, true
		if st.guest.hang {
			return
		}
		if st.guest.ipv4 == "" {
			st.guest.ipv4, st.guest.prefix = s.dhcp.Take()
		}
		addr4, addr6 = st.guest.ipv4, st.guest.ipv6
	})
	return addr4, addr6, due
}

func hasCloudData(vm *simulator.VirtualMachine) bool {
	for _, key := range cloudKeys {
		if v := strings.TrimSpace(guestinfo.ExtraValue(vm.Config.ExtraConfig, key)); v != "" && v != "---" {
			return true
		}
	}
	return false
}

// customizeByCloudInit hands a guest what a customization has left for its next start.
func (s *Sim) customizeByCloudInit(ref types.ManagedObjectReference, sys *guestos.System) {
	var prep *types.CustomizationCloudinitPrep
	s.guestStates.With(ref, func(st *vmState) { prep, st.cloudPrep = st.cloudPrep, nil })
	if prep == nil {
		return
	}
	s.noteCustomization(ref, types.GuestInfoCustomizationStatusTOOLSDEPLOYPKG_RUNNING, "")
	if err := sys.SetCloudData(prep.Metadata, prep.Userdata); err != nil {
		s.noteCustomization(ref, types.GuestInfoCustomizationStatusTOOLSDEPLOYPKG_FAILED, err.Error())
		return
	}
	s.noteCustomization(ref, types.GuestInfoCustomizationStatusTOOLSDEPLOYPKG_SUCCEEDED, "")
}

// cloudSeeded tells that a guest has, or is about to get, data by a customization.
func (s *Sim) cloudSeeded(ref types.ManagedObjectReference) bool {
	if s.guestStates.Get(ref).cloudPrep != nil {
		return true
	}
	sys := s.guests.find(ref)
	return sys != nil && sys.Seeded()
}
