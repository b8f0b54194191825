// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package disks

import (
	"log"

	"github.com/vmware/govmomi/simulator"

	"vforge.vsphere/simulator/internal/vdisk"
)

// Reconfigured is called when a VM has been given other disks, or larger ones. The
// changes of a disk with another size are tracked anew. The caller holds the VM's lock.
func (s *Disks) Reconfigured(ctx *simulator.Context, vm *simulator.VirtualMachine) {
	for _, disk := range vdisk.DisksOf(vm.Config.Hardware.Device) {
		top, ok := disk.Backing.(*vdisk.FlatBacking)
		if !ok {
			continue
		}
		l, err := s.DiskLayers.Layer(top, disk.CapacityInBytes)
		if err == nil {
			err = l.Resize(disk.CapacityInBytes)
		}
		if err != nil {
			log.Printf("vforge-sim: reconfiguring %s: %v", vm.Name, err)
		}
	}
	s.Tracks.Resized(vm)
	s.Tracks.ShowIDs(ctx, vm)
	s.TrackLayers(vm)
	s.TellFiles(ctx, vm)
}
