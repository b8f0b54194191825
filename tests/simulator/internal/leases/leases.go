// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package leases

import (
	"vforge.vsphere/simulator/internal/core"
	"vforge.vsphere/simulator/internal/datastores"
	"vforge.vsphere/simulator/internal/disks"
	"vforge.vsphere/simulator/internal/hardware"
	"vforge.vsphere/simulator/internal/hosts"
	"vforge.vsphere/simulator/internal/inventory"
	"vforge.vsphere/simulator/internal/ovfmanager"
	"vforge.vsphere/simulator/internal/policies"
	"vforge.vsphere/simulator/internal/shim"
	"vforge.vsphere/simulator/internal/tasks"
	"vforge.vsphere/simulator/internal/vms"
)

// Leases are the leases of imports and exports, with the files that go in and out.
type Leases struct {
	*core.Core
	Tasks      *tasks.Tasks
	Hosts      *hosts.Hosts
	Datastores *datastores.Datastores
	Disks      *disks.Disks
	Policies   *policies.Policies
	Hardware   *hardware.Hardware
	Inventory  *inventory.Inventory
	VMs        *vms.VMs
	OvfManager *ovfmanager.OvfManager
	Uploads    uploadTable
	table      table
}

// Shims answer the calls on leases.
func (s *Leases) Shims() []shim.Shim { return []shim.Shim{&leaseShim{shim.For("HttpNfcLease", s)}} }

// VMCalls answers calls on VMs.
type VMCalls struct{ S *Leases }

// SnapshotCalls answers calls on snapshots.
type SnapshotCalls struct{ S *Leases }

// PoolCalls answers calls on resource pools.
type PoolCalls struct{ S *Leases }
