// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package vstorage

import (
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/fcd"
	"vforge.vsphere/simulator/internal/vdisk"
)

// Release is called before a VM goes. The first class disks that are to stay are detached; of the
// others the files go with the VM, and the catalogue does not know it. The caller holds the VM's lock.
func (s *VStorage) Release(vm *simulator.VirtualMachine, destroyed bool) {
	s.Catalogue.Lock()
	defer s.Catalogue.Unlock()
	for _, d := range s.Catalogue.Of(vm.Self) {
		d.VM, d.Key = nil, 0
		if destroyed && !d.Keep {
			s.removeFCDLayers(d, d.Layers)
		}
	}
}

// Wrote notes what a guest has written to a first class disk.
func (s *VStorage) Wrote(disk *types.VirtualDisk, ranges vdisk.Spans) {
	if disk.VDiskId != nil {
		s.Tracks.Wrote((&fcd.Disk{ID: disk.VDiskId.Id}).Ref(), 0, ranges)
	}
}
