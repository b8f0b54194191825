// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package inventory

import (
	"vforge.vsphere/simulator/internal/clusters"
	"vforge.vsphere/simulator/internal/core"
	"vforge.vsphere/simulator/internal/disks"
	"vforge.vsphere/simulator/internal/guests"
)

// Inventory makes what there is at the start.
type Inventory struct {
	*core.Core
	Clusters *clusters.Clusters
	Disks    *disks.Disks
	Guests   *guests.Guests
	// Sites are the datacenters as they were built.
	Sites []*Site
}
