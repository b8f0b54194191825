// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package hardware

import (
	"net"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/lookup"
)

// WithoutDisks leaves the disks out.
func WithoutDisks(devices []types.BaseVirtualDevice) []types.BaseVirtualDevice {
	var out []types.BaseVirtualDevice
	for _, d := range devices {
		if _, ok := d.(*types.VirtualDisk); !ok {
			out = append(out, d)
		}
	}
	return out
}

// InvalidDevice is the fault for a property of a device in a request.
func InvalidDevice(index int32, property string) types.BaseMethodFault {
	fault := &types.InvalidDeviceSpec{DeviceIndex: index}
	fault.Property = property
	return fault
}

// EditNIC applies an edit of a network card: its network, whether it is connected,
// its address.
func (s *Hardware) EditNIC(host *simulator.HostSystem, index int32, old, edit *types.VirtualEthernetCard, manual map[int32]bool) types.BaseMethodFault {
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
			return InvalidDevice(index, "virtualDeviceSpec.device.macAddress")
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
func (s *Hardware) networkOf(host *simulator.HostSystem, index int32, b types.BaseVirtualDeviceBackingInfo) (lookup.Network, types.BaseMethodFault) {
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
	return lookup.Network{}, InvalidDevice(index, "virtualDeviceSpec.device.backing")
}
