// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package sim

import (
	"net"

	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/deepcopy"
	"vforge.vsphere/simulator/internal/lookup"
)

// planDevices copies the parent's devices for the clone and applies the edits.
// Cards get new addresses, unless theirs were given by hand, here or to the parent.
func (s *Sim) planDevices(p *clonePlan, changes []types.BaseVirtualDeviceConfigSpec) types.BaseMethodFault {
	if p.host == nil {
		return nil
	}
	p.devices = deepcopy.Of(withoutDisks(p.parent.Config.Hardware.Device))
	manual := make(map[int32]bool)
	for _, d := range p.devices {
		if card, ok := d.(types.BaseVirtualEthernetCard); ok {
			nic := card.GetVirtualEthernetCard()
			manual[nic.Key] = nic.AddressType == string(types.VirtualEthernetCardMacTypeManual)
		}
	}
	for i, c := range changes {
		fault := s.applyEdit(p, int32(i), c.GetVirtualDeviceConfigSpec(), manual)
		if fault != nil {
			return fault
		}
	}
	for _, d := range p.devices {
		if card, ok := d.(types.BaseVirtualEthernetCard); ok {
			if nic := card.GetVirtualEthernetCard(); !manual[nic.Key] {
				nic.MacAddress, nic.AddressType = "", string(types.VirtualEthernetCardMacTypeAssigned)
			}
		}
	}
	return nil
}

// withoutDisks leaves the disks out.
func withoutDisks(devices []types.BaseVirtualDevice) []types.BaseVirtualDevice {
	var out []types.BaseVirtualDevice
	for _, d := range devices {
		if _, ok := d.(*types.VirtualDisk); !ok {
			out = append(out, d)
		}
	}
	return out
}

// applyEdit takes one device change. Only edits of network cards and of
// file-backed serial and parallel ports are possible.
func (s *Sim) applyEdit(p *clonePlan, index int32, c *types.VirtualDeviceConfigSpec, manual map[int32]bool) types.BaseMethodFault {
	if c.Device == nil {
		return &types.InvalidDeviceSpec{DeviceIndex: index}
	}
	label := object.VirtualDeviceList{}.Name(c.Device)
	if c.Operation != types.VirtualDeviceConfigSpecOperationEdit || c.FileOperation != "" {
		return disallowedDevice(&types.DeviceNotSupported{Device: label})
	}
	key := c.Device.GetVirtualDevice().Key
	at := -1
	for i, d := range p.devices {
		if d.GetVirtualDevice().Key == key {
			at = i
		}
	}
	switch dev := c.Device.(type) {
	case types.BaseVirtualEthernetCard:
		var old *types.VirtualEthernetCard
		if at >= 0 {
			if card, ok := p.devices[at].(types.BaseVirtualEthernetCard); ok {
				old = card.GetVirtualEthernetCard()
			}
		}
		if old == nil {
			return invalidDevice(index, "virtualDeviceSpec.device.key")
		}
		return s.editNIC(p.host, index, old, dev.GetVirtualEthernetCard(), manual)
	case *types.VirtualSerialPort, *types.VirtualParallelPort:
		if _, ok := dev.GetVirtualDevice().Backing.(types.BaseVirtualDeviceFileBackingInfo); !ok {
			return disallowedDevice(&types.DeviceNotSupported{Device: label})
		}
		if at < 0 {
			return invalidDevice(index, "virtualDeviceSpec.device.key")
		}
		p.devices[at] = deepcopy.Of(c.Device)
		return nil
	}
	return disallowedDevice(&types.DeviceNotSupported{Device: label})
}

// invalidDevice is the fault for a property of a device in a request.
func invalidDevice(index int32, property string) types.BaseMethodFault {
	fault := &types.InvalidDeviceSpec{DeviceIndex: index}
	fault.Property = property
	return fault
}

// editNIC applies an edit of a network card: its network, whether it is connected,
// its address.
func (s *Sim) editNIC(host *simulator.HostSystem, index int32, old, edit *types.VirtualEthernetCard, manual map[int32]bool) types.BaseMethodFault {
	if edit.Backing != nil {
		net, fault := s.networkOf(host, index, edit.Backing)
		if fault != nil {
			return fault
		}
		old.Backing = net.Backing()
		old.DeviceInfo = &types.Description{Label: old.DeviceInfo.GetDescription().Label, Summary: net.Summary}
	}
	if edit.Connectable != nil {
		connectable := *edit.Connectable
		connectable.Status = old.Connectable.Status
		old.Connectable = &connectable
	}
	if edit.WakeOnLanEnabled != nil {
		old.WakeOnLanEnabled = edit.WakeOnLanEnabled
	}
	if mac, given := wantedMAC(old, edit); given {
		if !validMAC(mac) {
			return invalidDevice(index, "virtualDeviceSpec.device.macAddress")
		}
		old.MacAddress, old.AddressType = mac, string(types.VirtualEthernetCardMacTypeManual)
		manual[old.Key] = true
	} else if edit.AddressType != "" {
		manual[old.Key] = false
	}
	return nil
}

// wantedMAC tells if an edit asks for an address: one of type manual, or one
// without a type that is not merely the parent's own sent back.
func wantedMAC(old, edit *types.VirtualEthernetCard) (string, bool) {
	switch types.VirtualEthernetCardMacType(edit.AddressType) {
	case types.VirtualEthernetCardMacTypeManual:
		return edit.MacAddress, true
	case "":
		return edit.MacAddress, edit.MacAddress != "" && edit.MacAddress != old.MacAddress
	}
	return "", false
}

// validMAC accepts a 48 bit unicast address.
func validMAC(mac string) bool {
	hw, err := net.ParseMAC(mac)
	return err == nil && len(hw) == 6 && hw[0]&1 == 0
}

// networkOf finds the network that a backing asks for among those that the host
// sees.
func (s *Sim) networkOf(host *simulator.HostSystem, index int32, b types.BaseVirtualDeviceBackingInfo) (lookup.Network, types.BaseMethodFault) {
	for _, ref := range host.Network {
		net, ok := s.NetworkByRef(ref)
		if !ok {
			continue
		}
		switch b := b.(type) {
		case *types.VirtualEthernetCardDistributedVirtualPortBackingInfo:
			if net.Portgroup != "" && net.Portgroup == b.Port.PortgroupKey && net.SwitchID == b.Port.SwitchUuid {
				return net, nil
			}
		case *types.VirtualEthernetCardNetworkBackingInfo:
			if net.Portgroup == "" && (b.DeviceName == net.Name || b.DeviceName == "" && b.Network != nil && *b.Network == ref) {
				return net, nil
			}
		}
	}
	return lookup.Network{}, invalidDevice(index, "virtualDeviceSpec.device.backing")
}
