// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package sim

import (
	"crypto/rand"
	"fmt"
	"net"
	"sync"

	"github.com/google/uuid"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"
)

// newUUID makes a random UUID whose first octet tells its use, as vCenter's do:
// 42 for a BIOS UUID, 50 for an instance UUID, 60 for a disk.
func newUUID(first byte) string {
	id := uuid.New()
	id[0] = first
	return id.String()
}

// macPool hands out addresses from the range that one vCenter assigns from,
// 00:50:56:80:00:00 to 00:50:56:bf:ff:ff, each only once.
type macPool struct {
	mu   sync.Mutex
	next uint32
}

func newMACPool() *macPool {
	var b [2]byte
	if _, err := rand.Read(b[:]); err != nil {
		panic(err) // the system's random source is gone: nothing sensible can follow
	}
	return &macPool{next: uint32(b[0])<<8 | uint32(b[1])}
}

func (p *macPool) take() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.next++
	n := 0x800000 + p.next%0x400000
	return net.HardwareAddr{0x00, 0x50, 0x56, byte(n >> 16), byte(n >> 8), byte(n)}.String()
}

// dhcp hands out IPv4 addresses, each only once.
type dhcp struct {
	mu   sync.Mutex
	next uint32
}

func (d *dhcp) take() (addr string, prefix int32) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.next++
	n := d.next + 256 // the first 256 of the net are the "static" ones
	return net.IPv4(10, byte(64+n>>16), byte(n>>8), byte(n)).String(), 16
}

// linkLocal derives the IPv6 link-local address from a MAC address (modified
// EUI-64), as guests without privacy addresses do.
func linkLocal(mac string) string {
	hw, err := net.ParseMAC(mac)
	if err != nil || len(hw) != 6 {
		return ""
	}
	ip := net.IP{0xfe, 0x80, 0, 0, 0, 0, 0, 0, hw[0] ^ 2, hw[1], hw[2], 0xff, 0xfe, hw[3], hw[4], hw[5]}
	return ip.String()
}

// newVMRef reserves a managed object id for a VM that is yet to be made.
func (s *Sim) newVMRef() types.ManagedObjectReference {
	return s.reg.NewEntity(&simulator.VirtualMachine{}).Reference()
}

// taskRef reserves a managed object id for a task from the registry's own
// counter, so that it never meets one that vcsim gave out.
func (s *Sim) taskRef() types.ManagedObjectReference {
	e := s.reg.NewEntity(&simulator.VirtualMachine{})
	var n int64
	if _, err := fmt.Sscanf(e.Reference().Value, "vm-%d", &n); err != nil {
		panic(fmt.Sprintf("registry gave %q for a VM: %v", e.Reference().Value, err))
	}
	return types.ManagedObjectReference{Type: "Task", Value: fmt.Sprintf("task-%d", n)}
}
