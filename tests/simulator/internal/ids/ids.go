// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package ids

import (
	"crypto/rand"
	"encoding/hex"
	"net"
	"sync"

	"github.com/google/uuid"
)

// NewUUID makes a random UUID whose first octet tells its use, as vCenter's do:
// 42 for a BIOS UUID, 50 for an instance UUID, 60 for a disk.
func NewUUID(first byte) string {
	id := uuid.New()
	id[0] = first
	return id.String()
}

// MACPool hands out addresses from the range that one vCenter assigns from,
// 00:50:56:80:00:00 to 00:50:56:bf:ff:ff, each only once.
type MACPool struct {
	mu   sync.Mutex
	next uint32
}

// NewMACPool begins at a random place of the range.
func NewMACPool() *MACPool {
	var b [2]byte
	if _, err := rand.Read(b[:]); err != nil {
		panic(err) // the system's random source is gone: nothing sensible can follow
	}
	return &MACPool{next: uint32(b[0])<<8 | uint32(b[1])}
}

// Take returns the next address.
func (p *MACPool) Take() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.next++
	n := 0x800000 + p.next%0x400000
	return net.HardwareAddr{0x00, 0x50, 0x56, byte(n >> 16), byte(n >> 8), byte(n)}.String()
}

// DHCP hands out IPv4 addresses, each only once.
type DHCP struct {
	mu   sync.Mutex
	next uint32
}

// Take returns the next address.
func (d *DHCP) Take() (addr string, prefix int32) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.next++
	n := d.next + 256 // the first 256 of the net are the "static" ones
	return net.IPv4(10, byte(64+n>>16), byte(n>>8), byte(n)).String(), 16
}

// LinkLocal derives the IPv6 link-local address from a MAC address (modified
// EUI-64), as guests without privacy addresses do.
func LinkLocal(mac string) string {
	hw, err := net.ParseMAC(mac)
	if err != nil || len(hw) != 6 {
		return ""
	}
	ip := net.IP{0xfe, 0x80, 0, 0, 0, 0, 0, 0, hw[0] ^ 2, hw[1], hw[2], 0xff, 0xfe, hw[3], hw[4], hw[5]}
	return ip.String()
}

// NewToken makes a random word that nobody guesses.
func NewToken() string {
	var b [20]byte
	if _, err := rand.Read(b[:]); err != nil {
		panic(err) // the system's random source is gone: nothing sensible can follow
	}
	return hex.EncodeToString(b[:])
}
