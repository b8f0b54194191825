// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package clusters

import (
	"vforge.vsphere/simulator/internal/core"
	"vforge.vsphere/simulator/internal/shim"
	"vforge.vsphere/simulator/internal/tasks"
)

// Clusters are the clusters with their DRS and EVC, and the processors of their hosts.
type Clusters struct {
	*core.Core
	Tasks *tasks.Tasks
	evc   evcTable
	// own are the EVC modes that VMs have of their own.
	own *core.PerVM[*vmEVC]
}

// New knows nothing of processors yet: see Install.
func New(c *core.Core, t *tasks.Tasks) *Clusters {
	return &Clusters{Core: c, Tasks: t, own: core.NewPerVM[*vmEVC](c)}
}

// Shims answer the calls on clusters and their EVC.
func (s *Clusters) Shims() []shim.Shim {
	return []shim.Shim{
		&clusterShim{shim.For("ClusterComputeResource", s)},
		&evcShim{shim.For("ClusterEVCManager", s)},
	}
}

// VMCalls answers calls on VMs.
type VMCalls struct{ S *Clusters }
