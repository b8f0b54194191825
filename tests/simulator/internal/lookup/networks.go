// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package lookup

import (
	"fmt"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"
)

// Network is a standard network or a distributed port group, reduced to what a
// virtual NIC needs of it.
type Network struct {
	Ref       types.ManagedObjectReference
	Name      string
	Summary   string
	Portgroup string // key; empty for a standard network
	SwitchID  string
}

// Backing is the backing of a NIC that is on the network.
func (n Network) Backing() types.BaseVirtualDeviceBackingInfo {
	if n.Portgroup != "" {
		return &types.VirtualEthernetCardDistributedVirtualPortBackingInfo{
			Port: types.DistributedVirtualSwitchPortConnection{PortgroupKey: n.Portgroup, SwitchUuid: n.SwitchID},
		}
	}
	ref := n.Ref
	return &types.VirtualEthernetCardNetworkBackingInfo{
		VirtualDeviceDeviceBackingInfo: types.VirtualDeviceDeviceBackingInfo{DeviceName: n.Name},
		Network:                        &ref,
	}
}

// NetworkByRef describes a network object; ok is false when ref is none.
func (f *Finder) NetworkByRef(ref types.ManagedObjectReference) (Network, bool) {
	switch n := f.reg.Get(ref).(type) {
	case *simulator.DistributedVirtualPortgroup:
		dvs, ok := f.reg.Get(*n.Config.DistributedVirtualSwitch).(*simulator.DistributedVirtualSwitch)
		if !ok {
			return Network{}, false
		}
		return Network{
			Ref: ref, Name: n.Name, Portgroup: n.Key, SwitchID: dvs.Uuid,
			Summary: fmt.Sprintf("DVSwitch: %s", dvs.Uuid),
		}, true
	case nil:
		return Network{}, false
	default:
		name, ok := networkName(n)
		return Network{Ref: ref, Name: name, Summary: name}, ok
	}
}

// NetworksOf lists the networks that NICs among devices are on, each once.
func (f *Finder) NetworksOf(devices []types.BaseVirtualDevice) []types.ManagedObjectReference {
	var refs []types.ManagedObjectReference
	for _, d := range devices {
		nic, ok := d.(types.BaseVirtualEthernetCard)
		if !ok {
			continue
		}
		if ref, ok := BackingNetwork(nic.GetVirtualEthernetCard().Backing); ok && simulator.FindReference(refs, ref) == nil {
			refs = append(refs, ref)
		}
	}
	return refs
}

// BackingNetwork is the network that a NIC's backing names. The key of a
// distributed port group is its managed object id.
func BackingNetwork(b types.BaseVirtualDeviceBackingInfo) (types.ManagedObjectReference, bool) {
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
