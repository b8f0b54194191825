// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package vdisk

import (
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"
)

// DiskChain returns the backings of a disk, top first.
func DiskChain(disk *types.VirtualDisk) []*types.VirtualDiskFlatVer2BackingInfo {
	var chain []*types.VirtualDiskFlatVer2BackingInfo
	b, _ := disk.Backing.(*types.VirtualDiskFlatVer2BackingInfo)
	for ; b != nil; b = b.Parent {
		chain = append(chain, b)
	}
	return chain
}

// DisksOf lists the disks among devices.
func DisksOf(devices []types.BaseVirtualDevice) []*types.VirtualDisk {
	var disks []*types.VirtualDisk
	for _, d := range devices {
		if disk, ok := d.(*types.VirtualDisk); ok {
			disks = append(disks, disk)
		}
	}
	return disks
}

// Independent tells if snapshots leave a disk alone: for its mode, or as it is a raw
// device that the guest speaks to itself.
func Independent(disk *types.VirtualDisk) bool {
	switch b := disk.Backing.(type) {
	case *FlatBacking:
		return b.DiskMode == string(types.VirtualDiskModeIndependent_persistent) ||
			b.DiskMode == string(types.VirtualDiskModeIndependent_nonpersistent)
	case *types.VirtualDiskRawDiskMappingVer1BackingInfo:
		return b.CompatibilityMode == string(types.VirtualDiskCompatibilityModePhysicalMode) ||
			b.DiskMode == string(types.VirtualDiskModeIndependent_persistent)
	}
	return false
}

// DeltasOf is how many delta disks the longest chain of a VM's disks has.
func DeltasOf(vm *simulator.VirtualMachine) int {
	most := 0
	for _, d := range DisksOf(vm.Config.Hardware.Device) {
		most = max(most, len(DiskChain(d))-1)
	}
	return most
}
