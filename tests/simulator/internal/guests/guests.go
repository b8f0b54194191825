// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package guests

import (
	"github.com/vmware/govmomi/simulator"

	"vforge.vsphere/simulator/internal/core"
	"vforge.vsphere/simulator/internal/hosts"
	"vforge.vsphere/simulator/internal/ids"
	"vforge.vsphere/simulator/internal/shim"
	"vforge.vsphere/simulator/internal/tasks"
)

// Guests are the operating systems inside VMs.
type Guests struct {
	*core.Core
	Tasks *tasks.Tasks
	Hosts *hosts.Hosts
	// States are what is known of each guest besides what its VM reports.
	States *core.PerVM[VMState]
	// Systems are those that somebody has worked inside of.
	Systems systems
	// Quiesce freezes a VM whose guest asked for it, for VMFork.
	Quiesce func(*simulator.Context, *simulator.VirtualMachine) error
	// transfers are the files on their way to and from guests.
	transfers transfers
	dhcp      ids.DHCP
}

// New has no guest run yet.
func New(c *core.Core, t *tasks.Tasks, h *hosts.Hosts) *Guests {
	s := &Guests{Core: c, Tasks: t, Hosts: h, States: core.NewPerVM[VMState](c)}
	c.Register(&s.Systems)
	s.installOperations()
	s.installCustomization()
	return s
}

// Shims answer the calls on what is inside guests.
func (s *Guests) Shims() []shim.Shim {
	return []shim.Shim{
		&guestAuthShim{shim.For("GuestAuthManager", s)},
		&guestFileShim{shim.For("GuestFileManager", s)},
		&guestProcessShim{shim.For("GuestProcessManager", s)},
		&customizationShim{shim.For("VirtualMachineGuestCustomizationManager", s)},
	}
}

// VMCalls answers calls on VMs.
type VMCalls struct{ S *Guests }
