// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package disks

import (
	"sync/atomic"

	"vforge.vsphere/simulator/internal/core"
	"vforge.vsphere/simulator/internal/datastores"
	"vforge.vsphere/simulator/internal/shim"
	"vforge.vsphere/simulator/internal/tasks"
)

// Disks are the virtual disks of VMs, and those that are files alone.
type Disks struct {
	*core.Core
	Tasks      *tasks.Tasks
	Datastores *datastores.Datastores
	// Granule is what changed areas are widened to multiples of.
	Granule atomic.Int64
	// FilesStale: layoutEx and what else says which files there are stays as it is.
	FilesStale *core.PerVM[bool]
	// deltas counts the layers that the disks of a VM ever got; it numbers their files.
	deltas *core.PerVM[int]
}

// New takes the disks as they are.
func New(c *core.Core, t *tasks.Tasks, d *datastores.Datastores) *Disks {
	s := &Disks{Core: c, Tasks: t, Datastores: d, deltas: core.NewPerVM[int](c), FilesStale: core.NewPerVM[bool](c)}
	s.Granule.Store(c.Cfg.CBTGranule)
	return s
}

// Shims answer the calls on disks that are named by their files.
func (s *Disks) Shims() []shim.Shim { return []shim.Shim{&diskShim{shim.For("VirtualDiskManager", s)}} }

// VMCalls answers calls on VMs.
type VMCalls struct{ S *Disks }
