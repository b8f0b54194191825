// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package sim

import (
	"fmt"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"
)

// network is a standard network or a distributed port group, reduced to what a
// virtual NIC needs of it.
type network struct {
	ref       types.ManagedObjectReference
	name      string
	summary   string
	portgroup string // key; empty for a standard network
	switchID  string
}

func (n network) backing() types.BaseVirtualDeviceBackingInfo {
	if n.portgroup != "" {
		return &types.VirtualEthernetCardDistributedVirtualPortBackingInfo{
			Port: types.DistributedVirtualSwitchPortConnection{PortgroupKey: n.portgroup, SwitchUuid: n.switchID},
		}
	}
	ref := n.ref
	return &types.VirtualEthernetCardNetworkBackingInfo{
		VirtualDeviceDeviceBackingInfo: types.VirtualDeviceDeviceBackingInfo{DeviceName: n.name},
		Network:                        &ref,
	}
}

// networkByRef describes a network object; ok is false when ref is none.
func (f *finder) networkByRef(ref types.ManagedObjectReference) (network, bool) {
	switch n := f.reg.Get(ref).(type) {
	case *simulator.DistributedVirtualPortgroup:
		dvs, ok := f.reg.Get(*n.Config.DistributedVirtualSwitch).(*simulator.DistributedVirtualSwitch)
		if !ok {
			return network{}, false
		}
		return network{
			ref: ref, name: n.Name, portgroup: n.Key, switchID: dvs.Uuid,
			summary: fmt.Sprintf("DVSwitch: %s", dvs.Uuid),
		}, true
	case nil:
		return network{}, false
	default:
		name, ok := networkName(n)
		return network{ref: ref, name: name, summary: name}, ok
	}
}

// networksOf lists the networks that NICs among devices are on, each once.
func (f *finder) networksOf(devices []types.BaseVirtualDevice) []types.ManagedObjectReference {
	var refs []types.ManagedObjectReference
	for _, d := range devices {
		nic, ok := d.(types.BaseVirtualEthernetCard)
		if !ok {
			continue
		}
		if ref, ok := backingNetwork(nic.GetVirtualEthernetCard().Backing); ok && simulator.FindReference(refs, ref) == nil {
			refs = append(refs, ref)
		}
	}
	return refs
}

// backingNetwork is the network that a NIC's backing names. The key of a
// distributed port group is its managed object id.
func backingNetwork(b types.BaseVirtualDeviceBackingInfo) (types.ManagedObjectReference, bool) {
	switch b := b.(type) {
	case *types.VirtualEthernetCardDistributedVirtualPortBackingInfo:
		return types.ManagedObjectReference{Type: "DistributedVirtualPortgroup", Value: b.Port.PortgroupKey}, true
	case *types.VirtualEthernetCardNetworkBackingInfo:
		if b.Network != nil {
			return *b.Network, true
		}
	}
	return types.ManagedObjectReference{}, false
}
