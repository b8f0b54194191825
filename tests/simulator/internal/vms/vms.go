// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package vms

import (
	"vforge.vsphere/simulator/internal/clones"
	"vforge.vsphere/simulator/internal/clusters"
	"vforge.vsphere/simulator/internal/core"
	"vforge.vsphere/simulator/internal/datastores"
	"vforge.vsphere/simulator/internal/disks"
	"vforge.vsphere/simulator/internal/guests"
	"vforge.vsphere/simulator/internal/hardware"
	"vforge.vsphere/simulator/internal/inventory"
	"vforge.vsphere/simulator/internal/policies"
	"vforge.vsphere/simulator/internal/shim"
	"vforge.vsphere/simulator/internal/tasks"
	"vforge.vsphere/simulator/internal/vstorage"
)

// VMs changes VMs: their power, their configuration, where they are, and whether they are.
type VMs struct {
	*core.Core
	Tasks      *tasks.Tasks
	Datastores *datastores.Datastores
	Disks      *disks.Disks
	Clusters   *clusters.Clusters
	Guests     *guests.Guests
	Policies   *policies.Policies
	Hardware   *hardware.Hardware
	VStorage   *vstorage.VStorage
	Clones     *clones.Clones
	Inventory  *inventory.Inventory
}

// Shims answer the calls on folders.
func (s *VMs) Shims() []shim.Shim { return []shim.Shim{&folderShim{shim.For("Folder", s)}} }

// VMCalls answers calls on VMs.
type VMCalls struct{ S *VMs }

// PoolCalls answers calls on resource pools.
type PoolCalls struct{ S *VMs }
