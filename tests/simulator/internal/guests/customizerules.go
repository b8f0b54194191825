// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package guests

import (
	"bytes"
	"net"
	"net/netip"
	"strings"

	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/faults"
	"vforge.vsphere/simulator/internal/guestos"
	"vforge.vsphere/simulator/internal/ids"
)

// toolsConfig is where Tools of a Linux guest are told to take scripts.
const toolsConfig = "/etc/vmware-tools/tools.conf"

// CustomizationPlan is a customization that passed all rules.
type CustomizationPlan struct {
	name   string
	cards  []cardPlan
	script bool
}

// cardPlan is the network of one card; no address means DHCP.
type cardPlan struct {
	key    int32
	addr   string
	prefix int32
}

// planCustomization applies the rules of a specification; the first that is broken is
// the answer.
func (s *Guests) planCustomization(ref types.ManagedObjectReference, spec *types.CustomizationSpec) (plan *CustomizationPlan, fault types.BaseMethodFault) {
	vm := s.VM(ref)
	if vm == nil {
		return nil, &types.ManagedObjectNotFound{Obj: ref}
	}
	s.Background("").WithLock(vm, func() {
		plan = &CustomizationPlan{}
		windows := vm.Guest.GuestFamily == string(types.VirtualMachineGuestOsFamilyWindowsGuest)
		if fault = plan.Identity(windows, vm.Name, spec.Identity); fault == nil {
			fault = plan.Network(vm.Config.Hardware.Device, spec.NicSettingMap)
		}
	})
	return plan, fault
}

// Identity reads name and script; the kind of identity must be the guest's.
func (p *CustomizationPlan) Identity(windows bool, vm string, identity types.BaseCustomizationIdentitySettings) types.BaseMethodFault {
	switch id := identity.(type) {
	case *types.CustomizationLinuxPrep:
		if windows {
			return &types.UncustomizableGuest{UncustomizableGuestOS: string(types.VirtualMachineGuestOsFamilyWindowsGuest)}
		}
		p.script = strings.TrimSpace(id.ScriptText) != ""
		return p.called(vm, id.HostName, "spec.identity.hostName")
	case *types.CustomizationSysprep:
		if !windows {
			return &types.UncustomizableGuest{UncustomizableGuestOS: string(types.VirtualMachineGuestOsFamilyLinuxGuest)}
		}
		for _, password := range []*types.CustomizationPassword{id.GuiUnattended.Password, id.Identification.DomainAdminPassword} {
			if password != nil && !password.PlainText { // encrypted for a key that this server does not have
				return &types.CannotDecryptPasswords{}
			}
		}
		return p.called(vm, id.UserData.ComputerName, "spec.identity.userData.computerName")
	}
	return faults.Invalid("spec.identity")
}

func (p *CustomizationPlan) called(vm string, name types.BaseCustomizationName, property string) types.BaseMethodFault {
	switch n := name.(type) {
	case *types.CustomizationFixedName:
		p.name = n.Name
	case *types.CustomizationVirtualMachineName:
		p.name = vm
	case *types.CustomizationPrefixName:
		p.name = n.Base + "-" + ids.NewToken()[:8]
	}
	if p.name == "" {
		return faults.Invalid(property)
	}
	return nil
}

// Network reads the settings of the cards: one for each, in the order of their slots
// or by MAC address.
func (p *CustomizationPlan) Network(devices []types.BaseVirtualDevice, settings []types.CustomizationAdapterMapping) types.BaseMethodFault {
	var cards []*types.VirtualEthernetCard
	for _, d := range devices {
		if card, ok := d.(types.BaseVirtualEthernetCard); ok {
			cards = append(cards, card.GetVirtualEthernetCard())
		}
	}
	if len(settings) != len(cards) {
		return &types.NicSettingMismatch{NumberOfNicsInSpec: int32(len(settings)), NumberOfNicsInVM: int32(len(cards))}
	}
	for i := range settings {
		card := cards[i]
		if settings[i].MacAddress != "" {
			if card = cardWithMAC(cards, settings[i].MacAddress); card == nil {
				return faults.Invalid("spec.nicSettingMap.macAddress")
			}
		}
		c, fault := planCard(card.Key, &settings[i].Adapter)
		if fault != nil {
			return fault
		}
		p.cards = append(p.cards, c)
	}
	return nil
}

func cardWithMAC(cards []*types.VirtualEthernetCard, mac string) *types.VirtualEthernetCard {
	for _, c := range cards {
		if strings.EqualFold(c.MacAddress, mac) {
			return c
		}
	}
	return nil
}

func planCard(key int32, settings *types.CustomizationIPSettings) (cardPlan, types.BaseMethodFault) {
	c := cardPlan{key: key}
	switch ip := settings.Ip.(type) {
	case *types.CustomizationDhcpIpGenerator:
		return c, nil
	case *types.CustomizationFixedIp:
		addr, err := netip.ParseAddr(ip.IpAddress)
		if err != nil || !addr.Is4() {
			return c, faults.Invalid("spec.nicSettingMap.adapter.ip")
		}
		prefix, ok := maskPrefix(settings.SubnetMask)
		if !ok {
			return c, faults.Invalid("spec.nicSettingMap.adapter.subnetMask")
		}
		c.addr, c.prefix = addr.String(), prefix
		return c, nil
	}
	return c, faults.Invalid("spec.nicSettingMap.adapter.ip") // one that asks a person, or a program that is not there
}

// maskPrefix is the length of an IPv4 mask.
func maskPrefix(mask string) (int32, bool) {
	ip := net.ParseIP(mask).To4()
	if ip == nil {
		return 0, false
	}
	ones, bits := net.IPMask(ip).Size()
	return int32(ones), bits == 32
}

// scriptsEnabled tells if Tools take scripts of users, which they do not unless told.
func scriptsEnabled(sys *guestos.System) bool {
	text, err := sys.Read(Admin, toolsConfig)
	if err != nil {
		return false
	}
	for _, line := range bytes.Split(text, []byte("\n")) {
		key, value, _ := strings.Cut(string(line), "=")
		if strings.TrimSpace(key) == "enable-custom-scripts" && strings.TrimSpace(value) == "true" {
			return true
		}
	}
	return false
}
