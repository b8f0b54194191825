// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package clones

import (
	"vforge.vsphere/simulator/internal/core"
	"vforge.vsphere/simulator/internal/datastores"
	"vforge.vsphere/simulator/internal/disks"
	"vforge.vsphere/simulator/internal/guests"
	"vforge.vsphere/simulator/internal/hardware"
	"vforge.vsphere/simulator/internal/inventory"
	"vforge.vsphere/simulator/internal/shim"
	"vforge.vsphere/simulator/internal/tasks"
)

// Clones makes VMs of others.
type Clones struct {
	*core.Core
	Tasks      *tasks.Tasks
	Datastores *datastores.Datastores
	Disks      *disks.Disks
	Guests     *guests.Guests
	Hardware   *hardware.Hardware
	Inventory  *inventory.Inventory
	// Passthrough are the VMs with a PCI passthrough device, which no instant clone can have.
	Passthrough *core.PerVM[bool]
	// goOn are the VMs whose next boot goes on where their VMFork parent is frozen.
	goOn  *core.PerVM[bool]
	forks forkTable
}

// Install completes what was made of the parts, and has guests freeze their VMs for VMFork.
func (s *Clones) Install() *Clones {
	s.Passthrough, s.goOn = core.NewPerVM[bool](s.Core), core.NewPerVM[bool](s.Core)
	s.Register(&s.forks)
	s.Guests.Quiesce = s.quiesceForkParent
	return s
}

// Shims answer the questions whether a clone could be made.
func (s *Clones) Shims() []shim.Shim {
	return []shim.Shim{&checkerShim{shim.For("VirtualMachineProvisioningChecker", s)}}
}

// VMCalls answers calls on VMs.
type VMCalls struct{ S *Clones }
