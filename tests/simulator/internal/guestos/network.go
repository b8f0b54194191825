// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package guestos

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"
)

// driver is the cards' driver.
const driver = "vmxnet3"

// The names and the PCI addresses that Linux gives to the cards of a virtual
// machine, by slot.
var (
	nicNames = []string{"ens192", "ens224", "ens256", "ens161", "ens193", "ens225", "ens257", "ens162", "ens194", "ens226"}
	nicSlots = []string{
		"0000:0b:00.0", "0000:13:00.0", "0000:1b:00.0", "0000:04:00.0", "0000:0c:00.0",
		"0000:14:00.0", "0000:1c:00.0", "0000:05:00.0", "0000:0d:00.0", "0000:15:00.0",
	}
)

const (
	pciDevices = "/sys/devices/pci0000:00/"
	pciDriver  = "/sys/bus/pci/drivers/" + driver
)

// address is an IPv4 address with its prefix.
type address struct {
	addr   string
	prefix int32
}

func (a address) String() string { return fmt.Sprintf("%s/%d", a.addr, a.prefix) }

// nic is a network card as the guest knows it. What the guest knows is from when the
// driver was bound: a clone has its parent's MAC address here until it binds anew.
type nic struct {
	key   int32
	name  string
	pci   string
	mac   string
	bound bool
	down  bool
	// fixed tells that addrs are the card's addresses, rather than what DHCP gives.
	fixed bool
	addrs []address
	// stored is what the configuration says that outlasts a boot; nil is DHCP.
	stored []address
}

// NIC is what Tools report of a card.
type NIC struct {
	Key    int32
	MAC    string
	Bound  bool
	Leased bool // its address is what DHCP gives
	Addrs  []string
	Prefix []int32
}

// NICs lists the cards for Tools' report; none for a guest that has not looked yet.
func (s *System) NICs() []NIC {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.unplugged {
		return nil
	}
	var out []NIC
	for _, n := range s.nics {
		report := NIC{Key: n.key, MAC: n.mac, Bound: n.bound && !n.down, Leased: !n.fixed}
		for _, a := range n.addrs {
			report.Addrs = append(report.Addrs, a.addr)
			report.Prefix = append(report.Prefix, a.prefix)
		}
		out = append(out, report)
	}
	return out
}

// plugCards finds the machine's cards, as a boot does. What was stored for one stays.
func (s *System) plugCards() {
	cards := s.machine.Cards()
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.nics
	s.nics, s.unplugged = nil, false
	s.files.removeAll("/sys/class/net")
	s.files.removeAll("/sys/devices/pci0000:00")
	s.files.removeAll(pciDriver)
	now := time.Now()
	s.files.mkdirAll("/sys/class/net/lo", root, now)
	s.files.nodes["/sys/class/net/lo/address"] = &Node{Data: []byte("00:00:00:00:00:00\n"), Mode: 0o444, Owner: root}
	s.files.mkdirAll(pciDriver, root, now)
	s.files.nodes[pciDriver+"/bind"] = &Node{Mode: 0o200, Owner: root, device: (*System).bind}
	s.files.nodes[pciDriver+"/unbind"] = &Node{Mode: 0o200, Owner: root, device: (*System).unbind}
	for i, c := range cards[:min(len(cards), len(nicNames))] {
		n := &nic{key: c.Key, name: nicNames[i], pci: nicSlots[i]}
		for _, o := range old {
			if o.key == c.Key {
				n.stored = o.stored
			}
		}
		s.nics = append(s.nics, n)
		s.files.mkdirAll(pciDevices+n.pci, root, now)
		s.files.nodes["/sys/bus/pci/devices/"+n.pci] = link(pciDevices + n.pci)
		s.attach(n, c.MAC)
	}
}

func link(target string) *Node { return &Node{Kind: Link, Mode: 0o777, Owner: root, Target: target} }

// attach makes a card known under its driver, with the MAC address that the hardware
// has now. The caller holds the lock.
func (s *System) attach(n *nic, mac string) {
	dir := pciDevices + n.pci
	n.mac, n.bound, n.down = mac, true, false
	n.configure(n.stored)
	s.files.mkdirAll(dir+"/net/"+n.name, root, time.Now())
	s.files.nodes[dir+"/driver"] = link(pciDriver)
	s.files.nodes[dir+"/net/"+n.name+"/device"] = link(dir)
	s.files.nodes[dir+"/net/"+n.name+"/address"] = &Node{Data: []byte(n.mac + "\n"), Mode: 0o444, Owner: root}
	s.files.nodes[dir+"/net/"+n.name+"/operstate"] = &Node{Data: []byte("up\n"), Mode: 0o444, Owner: root}
	s.files.nodes[pciDriver+"/"+n.pci] = link(dir)
	s.files.nodes["/sys/class/net/"+n.name] = link(dir + "/net/" + n.name)
}

// detach takes a card from its driver: its interface is gone. The caller holds the
// lock.
func (s *System) detach(n *nic) {
	n.bound, n.addrs, n.fixed = false, nil, true
	s.files.removeAll(pciDevices + n.pci + "/net")
	delete(s.files.nodes, pciDevices+n.pci+"/driver")
	delete(s.files.nodes, pciDriver+"/"+n.pci)
	delete(s.files.nodes, "/sys/class/net/"+n.name)
}

// configure gives a card its addresses: these, or with none what DHCP gives.
func (n *nic) configure(addrs []address) {
	n.fixed, n.addrs = addrs != nil, slices.Clone(addrs)
}

var errNoDevice = errors.New("no such device")

func (s *System) bind(text string) error   { return s.drive(text, true) }
func (s *System) unbind(text string) error { return s.drive(text, false) }

// drive binds or unbinds the card with a PCI address.
func (s *System) drive(text string, bind bool) error {
	slot := strings.TrimSpace(text)
	return s.driveAll(bind, func(n *nic) bool { return n.pci == slot && n.bound != bind })
}

func (s *System) driveAll(bind bool, which func(*nic) bool) error {
	macs := make(map[int32]string)
	for _, c := range s.machine.Cards() {
		macs[c.Key] = c.MAC
	}
	found := false
	s.mu.Lock()
	for _, n := range s.nics {
		if !which(n) {
			continue
		}
		found = true
		if mac, plugged := macs[n.key]; bind && plugged {
			s.attach(n, mac)
		} else {
			s.detach(n)
		}
	}
	s.mu.Unlock()
	if !found {
		return errNoDevice
	}
	s.machine.Changed()
	return nil
}

// change applies f to the cards that which picks and tells the machine.
func (s *System) change(which func(*nic) bool, f func(*nic)) bool {
	s.mu.Lock()
	found := false
	for _, n := range s.nics {
		if n.bound && which(n) {
			found = true
			f(n)
		}
	}
	s.mu.Unlock()
	if found {
		s.machine.Changed()
	}
	return found
}

func everyNIC(*nic) bool { return true }

func named(name string) func(*nic) bool { return func(n *nic) bool { return n.name == name } }

// addresses are a card's addresses now; DHCP's, if it is to give them.
func (s *System) addresses(index int) []address {
	s.mu.Lock()
	n := *s.nics[index]
	s.mu.Unlock()
	if n.fixed || !n.bound || n.down {
		return n.addrs
	}
	if index > 0 { // only the first card's network has a DHCP server
		return nil
	}
	addr, prefix := s.machine.Lease()
	return []address{{addr, prefix}}
}

// forkNetwork gives a clone's guest the network of this one: what it knows is its
// parent's, down to the MAC address. The caller holds the lock.
func (s *System) forkNetwork(child *System) {
	for _, n := range s.nics {
		copied := *n
		copied.addrs, copied.stored = slices.Clone(n.addrs), slices.Clone(n.stored)
		child.nics = append(child.nics, &copied)
	}
}

// keepAddresses fixes what DHCP gave to the guest that this one is a fork of: a clone
// wakes with its parent's address.
func (s *System) keepAddresses(from *System) {
	for i := range from.nics {
		addrs := from.addresses(i)
		s.mu.Lock()
		if n := s.nics[i]; n.bound && !n.fixed {
			n.fixed, n.addrs = true, addrs
		}
		s.mu.Unlock()
	}
}

// HostName is what the guest calls itself.
func (s *System) HostName() string {
	s.mu.Lock()
	name := s.hostName
	s.mu.Unlock()
	if name == "" {
		return s.machine.Name()
	}
	return name
}

// Named is the name that the guest was given by somebody inside, or empty.
func (s *System) Named() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.hostName
}

func (s *System) setHostName(name string) error {
	if name == "" {
		return errors.New("invalid argument")
	}
	s.mu.Lock()
	s.hostName = name
	s.mu.Unlock()
	s.machine.Changed()
	return nil
}

// storedName is the name that a boot sets. The caller holds the lock.
func (s *System) storedName() string {
	node := s.files.nodes["/etc/hostname"]
	if node == nil {
		return ""
	}
	return strings.TrimSpace(string(node.Data))
}

// SetStatic configures a card for good; no address means DHCP. A card that is down
// stays down until StartNetwork.
func (s *System) SetStatic(key int32, addr string, prefix int32) {
	s.mu.Lock()
	for _, n := range s.nics {
		if n.key != key {
			continue
		}
		n.stored = nil
		if addr != "" {
			n.stored = []address{{addr, prefix}}
		}
		if n.bound && !n.down {
			n.configure(n.stored)
		}
	}
	s.mu.Unlock()
	s.machine.Changed()
}

// StartNetwork brings all cards up with what is configured for them.
func (s *System) StartNetwork() {
	// That no card waits for its driver is no failure.
	_ = s.driveAll(true, func(n *nic) bool { return !n.bound })
	s.change(everyNIC, func(n *nic) {
		n.down = false
		n.configure(n.stored)
	})
}

// SetName names the guest for good.
func (s *System) SetName(name string) {
	s.write("/etc/hostname", name+"\n")
	if err := s.setHostName(name); err != nil {
		return // an empty name names nothing
	}
}

// SetMissing takes programs off the disk.
func (s *System) SetMissing(names []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range names {
		for _, dir := range []string{"/usr/bin", "/usr/sbin"} {
			delete(s.files.nodes, path.Join(dir, path.Base(name)))
		}
	}
}
