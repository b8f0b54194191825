// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package clones

import (
	"fmt"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/disks"
	"vforge.vsphere/simulator/internal/guests"
	"vforge.vsphere/simulator/internal/vdisk"
)

// forkDisks makes the clone's disks: for each disk of the parent a delta whose
// parent is what is the parent's top layer now. A running parent goes on writing,
// so it gets a delta of its own; a frozen one writes nothing and stays as it is.
func (s *Clones) forkDisks(ctx *simulator.Context, p *clonePlan, base string) ([]types.BaseVirtualDevice, error) {
	var out []types.BaseVirtualDevice
	for i, disk := range vdisk.DisksOf(p.parent.Config.Hardware.Device) {
		top, ok := disk.Backing.(*types.VirtualDiskFlatVer2BackingInfo)
		if !ok {
			return nil, fmt.Errorf("disk %d has a backing of type %T", disk.Key, disk.Backing)
		}
		name := base
		if i > 0 {
			name = fmt.Sprintf("%s_%d", base, i)
		}
		delta, err := disks.NewDelta(p.datastore, name+"-000001.vmdk", top, disk.CapacityInBytes)
		if err != nil {
			return nil, err
		}
		copied := *disk
		copied.Backing = delta
		out = append(out, &copied)
	}
	if guests.Frozen(p.parent) || p.fork != nil {
		return out, nil
	}
	return out, s.Disks.GrowParent(ctx, p.parent)
}
