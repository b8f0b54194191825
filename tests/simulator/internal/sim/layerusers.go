// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package sim

import (
	"github.com/vmware/govmomi/simulator"
)

// trackLayers records anew which layers a VM and its snapshots use. Whatever changes
// a disk's chain ends with this. The caller holds the VM's lock.
func (s *Sim) trackLayers(vm *simulator.VirtualMachine) {
	s.layers.Release(vm.Self)
	s.layers.Add(vm.Self, vm.Config.Hardware.Device)
	for _, snapshot := range s.SnapshotsOf(vm) {
		s.layers.Add(vm.Self, snapshot.Config.Hardware.Device)
	}
}
