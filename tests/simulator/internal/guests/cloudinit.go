// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package guests

import (
	"strings"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/core"
	"vforge.vsphere/simulator/internal/guestinfo"
	"vforge.vsphere/simulator/internal/guestos"
)

// cloudKeys are the keys of guestinfo by which cloud-init finds its data source.
var cloudKeys = []string{"guestinfo.metadata", "guestinfo.userdata", "guestinfo.vendordata"}

// ExpectCloudBoot notes that a guest boots, rather than goes on, so that its cloud-init
// runs when it is up.
func (s *Guests) ExpectCloudBoot(vm types.ManagedObjectReference) {
	s.States.With(vm, func(st *VMState) { st.Guest.cloudDue = true })
}

// bootSystem has the operating system of a guest boot, where there is one. A VM with
// data for cloud-init gets one, and its cloud-init runs once a boot. No lock may be
// held.
func (s *Guests) bootSystem(ref types.ManagedObjectReference, boot int) {
	sys := s.Systems.Find(ref)
	if sys != nil {
		sys.Boot()
	}
	addr4, addr6, due := s.cloudDue(ref, boot)
	if !due {
		return
	}
	if sys == nil {
		sys = s.System(ref)
	}
	s.customizeByCloudInit(ref, sys)
	sys.CloudBoot(addr4, addr6)
}

// cloudDue tells, once a boot, if cloud-init has something to do, and what addresses
// the guest gets.
func (s *Guests) cloudDue(ref types.ManagedObjectReference, boot int) (addr4, addr6 string, due bool) {
	vm := s.VM(ref)
	if vm == nil {
		return "", "", false
	}
	found := false
	s.Background("").WithLock(vm, func() {
		found = vm.Runtime.PowerState == core.PoweredOn && (hasCloudData(vm) || s.cloudSeeded(ref))
	})
	if !found {
		return "", "", false
	}
	s.States.With(ref, func(st *VMState) {
		if boot != st.Guest.bootID || !st.Guest.cloudDue || st.Guest.NoTools {
			return
		}
		st.Guest.cloudDue, due = false, true
		if st.Guest.Hang {
			return
		}
		if st.Guest.IPv4 == "" {
			st.Guest.IPv4, st.Guest.Prefix = s.dhcp.Take()
		}
		addr4, addr6 = st.Guest.IPv4, st.Guest.IPv6
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
func (s *Guests) customizeByCloudInit(ref types.ManagedObjectReference, sys *guestos.System) {
	var prep *types.CustomizationCloudinitPrep
	s.States.With(ref, func(st *VMState) { prep, st.cloudPrep = st.cloudPrep, nil })
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
func (s *Guests) cloudSeeded(ref types.ManagedObjectReference) bool {
	if s.States.Get(ref).cloudPrep != nil {
		return true
	}
	sys := s.Systems.Find(ref)
	return sys != nil && sys.Seeded()
}
