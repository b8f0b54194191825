// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package core

import "github.com/vmware/govmomi/simulator"

// TrackLayers records anew which layers a VM and its snapshots use. Whatever changes
// a disk's chain ends with this. The caller holds the VM's lock.
func (s *Core) TrackLayers(vm *simulator.VirtualMachine) {
	s.LayerUsers.Release(vm.Self)
	s.LayerUsers.Add(vm.Self, vm.Config.Hardware.Device)
	for _, snapshot := range s.SnapshotsOf(vm) {
		s.LayerUsers.Add(vm.Self, snapshot.Config.Hardware.Device)
	}
}
