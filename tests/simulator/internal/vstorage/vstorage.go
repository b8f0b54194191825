// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package vstorage

import (
	"vforge.vsphere/simulator/internal/core"
	"vforge.vsphere/simulator/internal/datastores"
	"vforge.vsphere/simulator/internal/disks"
	"vforge.vsphere/simulator/internal/fcd"
	"vforge.vsphere/simulator/internal/policies"
	"vforge.vsphere/simulator/internal/shim"
	"vforge.vsphere/simulator/internal/tasks"
)

// VStorage are the first class disks.
type VStorage struct {
	*core.Core
	Tasks      *tasks.Tasks
	Datastores *datastores.Datastores
	Disks      *disks.Disks
	Policies   *policies.Policies
	Catalogue  fcd.Catalogue
	vslm       vslmState
}

// Shims answer the calls on the manager of first class disks.
func (s *VStorage) Shims() []shim.Shim {
	return []shim.Shim{&fcdShim{shim.For("VcenterVStorageObjectManager", s)}}
}
