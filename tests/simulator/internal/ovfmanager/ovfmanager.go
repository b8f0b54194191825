// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package ovfmanager

import (
	"vforge.vsphere/simulator/internal/core"
	"vforge.vsphere/simulator/internal/shim"
)

// OvfManager reads OVF descriptors and writes them.
type OvfManager struct {
	*core.Core
	// Imports are the files that descriptors have asked for, by the names of the VMs.
	Imports importTable
}

// Shims answer the calls on the manager.
func (s *OvfManager) Shims() []shim.Shim { return []shim.Shim{&ovfShim{shim.For("OvfManager", s)}} }
