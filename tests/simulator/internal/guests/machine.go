// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package guests

import (
	"errors"
	"sync"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/apiversion"
	"vforge.vsphere/simulator/internal/guestinfo"
	"vforge.vsphere/simulator/internal/guestos"
	"vforge.vsphere/simulator/internal/vhardware"
)

// systems holds the operating systems of the VMs that somebody has worked inside
// of. Any other guest is only its report: see guest.go.
type systems struct {
	mu      sync.Mutex
	systems map[types.ManagedObjectReference]*guestos.System
}

// Find returns the operating system of a VM, or nil.
func (t *systems) Find(vm types.ManagedObjectReference) *guestos.System {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.systems[vm]
}

// put keeps a guest, unless the VM has got one meanwhile; it returns the VM's.
func (t *systems) put(vm types.ManagedObjectReference, sys *guestos.System) *guestos.System {
	t.mu.Lock()
	defer t.mu.Unlock()
	if there := t.systems[vm]; there != nil {
		return there
	}
	if t.systems == nil {
		t.systems = make(map[types.ManagedObjectReference]*guestos.System)
	}
	t.systems[vm] = sys
	return sys
}

// Drop ends the guest of a VM that goes, and forgets it.
func (t *systems) Drop(vm types.ManagedObjectReference) {
	t.mu.Lock()
	sys := t.systems[vm]
	delete(t.systems, vm)
	t.mu.Unlock()
	if sys != nil {
		sys.Halt()
	}
}

// HaltAll ends all that runs in all guests.
func (t *systems) HaltAll() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, sys := range t.systems {
		sys.Halt()
	}
}

// System returns the guest of a VM, booted on first use. No lock may be held.
func (s *Guests) System(vm types.ManagedObjectReference) *guestos.System {
	if sys := s.Systems.Find(vm); sys != nil {
		return sys
	}
	return s.Systems.put(vm, guestos.New(&guestMachine{s, vm}, Admin, s.Cfg.GuestPassword))
}

// Halt ends what runs in a guest that is powered off or boots anew; its disk
// stays.
func (s *Guests) Halt(vm types.ManagedObjectReference) {
	if sys := s.Systems.Find(vm); sys != nil {
		sys.Halt()
	}
}

// Pause stops what runs in a guest, or lets it go on.
func (s *Guests) Pause(vm types.ManagedObjectReference, on bool) {
	if sys := s.Systems.Find(vm); sys != nil {
		sys.Stop(on)
	}
}

// Fork gives a clone the guest of its parent as it is now. No lock may be held.
func (s *Guests) Fork(parent, clone types.ManagedObjectReference) {
	if sys := s.Systems.Find(parent); sys != nil {
		s.Systems.put(clone, sys.Fork(&guestMachine{s, clone})).Wake()
	}
}

// guestAwake tells that a guest went on in the script that froze its parent: that
// script sets it up, and nobody else.
func (s *Guests) guestAwake(vm types.ManagedObjectReference) bool {
	sys := s.Systems.Find(vm)
	return sys != nil && sys.Awake()
}

// cardsSeen is what a guest knows of its cards, by their keys.
func (s *Guests) cardsSeen(vm types.ManagedObjectReference) map[int32]guestos.NIC {
	sys := s.Systems.Find(vm)
	if sys == nil {
		return nil
	}
	out := make(map[int32]guestos.NIC)
	for _, n := range sys.NICs() {
		out[n.Key] = n
	}
	return out
}

// guestMachine is a VM as its guest sees it.
type guestMachine struct {
	s  *Guests
	vm types.ManagedObjectReference
}

// with calls f with the VM and its lock, unless the VM has gone.
func (m *guestMachine) with(f func(*simulator.Context, *simulator.VirtualMachine)) {
	if vm := m.s.VM(m.vm); vm != nil {
		ctx := m.s.Background("")
		ctx.WithLock(vm, func() { f(ctx, vm) })
	}
}

// Name is the name that guestinfo gives, or the VM's.
func (m *guestMachine) Name() (name string) {
	m.with(func(_ *simulator.Context, vm *simulator.VirtualMachine) { name = guestinfo.HostName(vm) })
	return name
}

// Cards lists the VM's network cards.
func (m *guestMachine) Cards() (cards []guestos.Card) {
	m.with(func(_ *simulator.Context, vm *simulator.VirtualMachine) {
		for _, d := range vm.Config.Hardware.Device {
			if card, ok := d.(types.BaseVirtualEthernetCard); ok {
				nic := card.GetVirtualEthernetCard()
				cards = append(cards, guestos.Card{Key: nic.Key, MAC: nic.MacAddress})
			}
		}
	})
	return cards
}

// Lease is the address that the VM's guest reports, unless it has one of its own.
func (m *guestMachine) Lease() (addr string, prefix int32) {
	m.s.States.With(m.vm, func(st *VMState) {
		if st.Guest.IPv4 == "" {
			st.Guest.IPv4, st.Guest.Prefix = m.s.dhcp.Take()
		}
		addr, prefix = st.Guest.IPv4, st.Guest.Prefix
	})
	return addr, prefix
}

// Guestinfo reads guestinfo.KEY from the VM's extra configuration.
func (m *guestMachine) Guestinfo(key string) (value string, ok bool) {
	m.with(func(_ *simulator.Context, vm *simulator.VirtualMachine) {
		for _, o := range vm.Config.ExtraConfig {
			if o.GetOptionValue().Key == "guestinfo."+key {
				value, ok = o.GetOptionValue().Value.(string)
			}
		}
	})
	return value, ok
}

// SetGuestinfo writes guestinfo.KEY.
func (m *guestMachine) SetGuestinfo(key, value string) {
	m.with(func(ctx *simulator.Context, vm *simulator.VirtualMachine) {
		pairs := []types.BaseOptionValue{&types.OptionValue{Key: "guestinfo." + key, Value: value}}
		ctx.Update(vm, []types.PropertyChange{{Name: "config.extraConfig", Val: vhardware.MergeExtra(vm.Config.ExtraConfig, pairs)}})
	})
}

// ErrUnknownCommand is what a host says that does not know a command.
var ErrUnknownCommand = errors.New("Unknown command")

// Freeze freezes the VM as its guest asked.
func (m *guestMachine) Freeze(how guestos.Freezing) (err error) {
	err = errors.New("Not powered on")
	m.with(func(ctx *simulator.Context, vm *simulator.VirtualMachine) {
		if how == guestos.VMFork {
			err = m.s.Quiesce(ctx, vm)
			return
		}
		if apiversion.Less(m.s.Cfg.APIVersion, apiversion.InstantCloneSince) {
			err = ErrUnknownCommand
			return
		}
		err = m.s.Freeze(ctx, vm, true)
	})
	return err
}

// Changed has Tools report again, if they run.
func (m *guestMachine) Changed() {
	running := false
	m.with(func(_ *simulator.Context, vm *simulator.VirtualMachine) {
		running = vm.Guest.ToolsRunningStatus == string(types.VirtualMachineToolsRunningStatusGuestToolsRunning)
	})
	if running {
		m.s.Report(m.vm, m.s.States.Get(m.vm).Guest.bootID)
	}
}
