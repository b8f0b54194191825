// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package clones

import (
	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/deepcopy"
	"vforge.vsphere/simulator/internal/faults"
	"vforge.vsphere/simulator/internal/hardware"
)

// planDevices copies the parent's devices for the clone and applies the edits.
// Cards get new addresses, unless theirs were given by hand, here or to the parent.
func (s *Clones) planDevices(p *clonePlan, changes []types.BaseVirtualDeviceConfigSpec) types.BaseMethodFault {
	if p.host == nil {
		return nil
	}
	p.devices = deepcopy.Of(hardware.WithoutDisks(p.parent.Config.Hardware.Device))
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

// applyEdit takes one device change. Only edits of network cards and of
// file-backed serial and parallel ports are possible.
func (s *Clones) applyEdit(p *clonePlan, index int32, c *types.VirtualDeviceConfigSpec, manual map[int32]bool) types.BaseMethodFault {
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
			return hardware.InvalidDevice(index, "virtualDeviceSpec.device.key")
		}
		return s.Hardware.EditNIC(p.host, index, old, dev.GetVirtualEthernetCard(), manual)
	case *types.VirtualSerialPort, *types.VirtualParallelPort:
		if _, ok := dev.GetVirtualDevice().Backing.(types.BaseVirtualDeviceFileBackingInfo); !ok {
			return disallowedDevice(&types.DeviceNotSupported{Device: label})
		}
		if at < 0 {
			return hardware.InvalidDevice(index, "virtualDeviceSpec.device.key")
		}
		p.devices[at] = deepcopy.Of(c.Device)
		return nil
	}
	return disallowedDevice(&types.DeviceNotSupported{Device: label})
}

func disallowedDevice(why types.BaseMethodFault) types.BaseMethodFault {
	return &types.DisallowedMigrationDeviceAttached{Fault: *faults.Localized(why)}
}
