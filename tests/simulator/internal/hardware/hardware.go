// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package hardware

import (
	"vforge.vsphere/simulator/internal/core"
	"vforge.vsphere/simulator/internal/datastores"
	"vforge.vsphere/simulator/internal/disks"
	"vforge.vsphere/simulator/internal/guests"
)

// Hardware is the devices of VMs.
type Hardware struct {
	*core.Core
	Datastores *datastores.Datastores
	Disks      *disks.Disks
	Guests     *guests.Guests
	// Borrowed are the disks of others that VMs have attached.
	Borrowed borrowed
	// DeviceFolders are the folders of this machine in which a guest's disks show, as below /dev/disk/by-id.
	DeviceFolders *core.PerVM[string]
}

// New takes the devices as they are.
func New(c *core.Core, ds *datastores.Datastores, d *disks.Disks, g *guests.Guests) *Hardware {
	return &Hardware{Core: c, Datastores: ds, Disks: d, Guests: g, DeviceFolders: core.NewPerVM[string](c)}
}
