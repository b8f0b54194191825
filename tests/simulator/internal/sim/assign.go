// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package sim

import (
	"slices"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"
)

// assignDenied checks the privilege on every network that changes put cards on. A card that
// stays where it is needs none.
func (s *Sim) assignDenied(ctx *simulator.Context, host *simulator.HostSystem, now []types.BaseVirtualDevice, changes []types.BaseVirtualDeviceConfigSpec) types.BaseMethodFault {
	h := &hardware{devices: now}
	for i, c := range changes {
		change := c.GetVirtualDeviceConfigSpec()
		card, ok := change.Device.(types.BaseVirtualEthernetCard)
		if !ok || host == nil || change.Operation == types.VirtualDeviceConfigSpecOperationRemove || card.GetVirtualEthernetCard().Backing == nil {
			continue
		}
		net, fault := s.networkOf(host, int32(i), card.GetVirtualEthernetCard().Backing)
		if fault != nil {
			continue // the rules say what is wrong with it
		}
		if at := h.find(card.GetVirtualEthernetCard().Key); at >= 0 && slices.Contains(s.NetworksOf(now[at:at+1]), net.Ref) {
			continue
		}
		if fault := s.auth.Denied(ctx.Session.UserName, net.Ref, "Network.Assign"); fault != nil {
			return fault
		}
	}
	return nil
}
