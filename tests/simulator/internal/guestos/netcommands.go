// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package guestos

import (
	"fmt"
	"net/netip"
	"path"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// parseAddress reads an address with its prefix, 24 when it has none.
func parseAddress(text string) (address, error) {
	if !strings.Contains(text, "/") {
		text += "/24"
	}
	p, err := netip.ParsePrefix(text)
	if err != nil || !p.Addr().Is4() {
		return address{}, fmt.Errorf("invalid address %q", text)
	}
	return address{p.Addr().String(), int32(p.Bits())}, nil
}

// ipCommand is ip for links and addresses; routes are taken and forgotten.
func ipCommand(i *invocation) int {
	words := slices.DeleteFunc(slices.Clone(i.args[1:]), func(a string) bool { return strings.HasPrefix(a, "-") })
	if len(words) == 0 {
		return i.fail(exitUsage, "an object is needed")
	}
	action := "show"
	if len(words) > 1 {
		action = words[1]
	}
	switch object := words[0]; {
	case object == "route" || object == "r" || object == "neigh" || object == "rule":
		return 0
	case (object == "link" || object == "l") && action == "set":
		return i.linkSet(words[2:])
	case strings.HasPrefix("address", object) && slices.Contains([]string{"add", "replace", "del", "flush"}, action):
		return i.addrSet(action, words[2:])
	case strings.HasPrefix("address", object) || strings.HasPrefix("link", object):
		return i.ipShow(object[0] == 'a', wordAfter(words, "dev", lastWord(words[min(2, len(words)):])))
	}
	return i.fail(1, "Object \"%s\" is not simulated", words[0])
}

func wordAfter(words []string, key, otherwise string) string {
	if n := slices.Index(words, key); n >= 0 && n+1 < len(words) {
		return words[n+1]
	}
	return otherwise
}

func lastWord(words []string) string {
	if len(words) == 0 {
		return ""
	}
	return words[len(words)-1]
}

func (i *invocation) needRoot() bool {
	if isAdmin(i.user) {
		return true
	}
	i.fail(exitUsage, "Operation not permitted")
	return false
}

func (i *invocation) linkSet(words []string) int {
	if !i.needRoot() {
		return exitUsage
	}
	if len(words) > 0 && words[0] == "dev" {
		words = words[1:]
	}
	if len(words) < 2 {
		return i.fail(exitUsage, "a device and what to set are needed")
	}
	ok := i.sys.change(named(words[0]), func(n *nic) {
		switch words[1] {
		case "down":
			n.down, n.fixed, n.addrs = true, true, nil
		case "up":
			if n.down {
				n.down = false
				n.configure(n.stored)
			}
		case "address":
			n.mac = lastWord(words)
		}
	})
	if !ok {
		return i.fail(1, "Cannot find device \"%s\"", words[0])
	}
	return 0
}

func (i *invocation) addrSet(action string, words []string) int {
	if !i.needRoot() {
		return exitUsage
	}
	device := wordAfter(words, "dev", lastWord(words))
	var a address
	if action != "flush" {
		var err error
		if a, err = parseAddress(words[0]); err != nil {
			return i.fail(1, "%v", err)
		}
	}
	ok := i.sys.change(named(device), func(n *nic) {
		switch n.fixed = true; action {
		case "flush":
			n.addrs = nil
		case "del":
			n.addrs = slices.DeleteFunc(n.addrs, func(b address) bool { return a.addr == b.addr })
		default:
			if !slices.Contains(n.addrs, a) {
				n.addrs = append(n.addrs, a)
			}
		}
	})
	if !ok {
		return i.fail(1, "Cannot find device \"%s\"", device)
	}
	return 0
}

func (i *invocation) ipShow(addresses bool, device string) int {
	oneLine := slices.ContainsFunc(i.args, func(a string) bool { return strings.HasPrefix(a, "-") && strings.Contains(a, "o") })
	i.sys.mu.Lock()
	nics := slices.Clone(i.sys.nics)
	i.sys.mu.Unlock()
	found := false
	for at, n := range nics {
		if !n.bound || device != "" && n.name != device {
			continue
		}
		found = true
		if !addresses || !oneLine {
			end := "\n   "
			if oneLine {
				end = "\\   "
			}
			fmt.Fprintf(&i.out, "%d: %s: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 state UP%s link/ether %s brd ff:ff:ff:ff:ff:ff\n", at+2, n.name, end, n.mac)
		}
		if !addresses {
			continue
		}
		for _, a := range i.sys.addresses(at) {
			if oneLine {
				fmt.Fprintf(&i.out, "%d: %s    inet %s scope global %s\n", at+2, n.name, a, n.name)
			} else {
				fmt.Fprintf(&i.out, "    inet %s scope global %s\n", a, n.name)
			}
		}
	}
	if device != "" && !found {
		return i.fail(1, "Device \"%s\" does not exist.", device)
	}
	return 0
}

// reconnect brings cards up with what is stored for them.
func (i *invocation) reconnect(which func(*nic) bool) int {
	if !i.needRoot() {
		return exitUsage
	}
	ok := i.sys.change(which, func(n *nic) {
		n.down = false
		n.configure(n.stored)
	})
	if !ok {
		return i.fail(1, "no such device")
	}
	return 0
}

func dhclient(i *invocation) int {
	if !i.needRoot() {
		return exitUsage
	}
	short, _, rest := i.flags()
	which := everyNIC
	if len(rest) > 0 {
		which = named(lastWord(rest))
	}
	if !i.sys.change(which, func(n *nic) { n.fixed, n.addrs = strings.Contains(short, "r"), nil }) {
		return i.fail(1, "Cannot find device")
	}
	return 0
}

// networkctl reconfigures cards from what is stored.
func networkctl(i *invocation) int {
	if len(i.args) > 2 && (i.args[1] == "reconfigure" || i.args[1] == "renew" || i.args[1] == "up") {
		return i.reconnect(named(i.args[2]))
	}
	return 0
}

var networkServices = []string{"NetworkManager", "networking", "network", "systemd-networkd", "wicked"}

// systemctl knows one thing: who restarts the network configures it anew.
func systemctl(i *invocation) int {
	for _, a := range i.args[1:] {
		service := strings.TrimSuffix(a, ".service")
		if slices.Contains(networkServices, service) && (slices.Contains(i.args, "restart") || slices.Contains(i.args, "start")) {
			if code := i.loadNetplan(); code != 0 {
				return code
			}
			return i.reconnect(everyNIC)
		}
	}
	return 0
}

// modprobe loads or, with -r or as rmmod, removes the cards' driver.
func modprobe(i *invocation) int {
	if !i.needRoot() {
		return 1
	}
	short, _, rest := i.flags()
	if lastWord(rest) != driver {
		return i.fail(1, "FATAL: Module %s not found.", lastWord(rest))
	}
	bind := i.args[0] == "modprobe" && !strings.Contains(short, "r")
	err := i.sys.driveAll(bind, func(n *nic) bool { return n.bound != bind })
	if err != nil && !bind {
		return i.fail(1, "FATAL: Module %s is not in use", driver)
	}
	return 0
}

// netplan applies /etc/netplan/*.yaml.
func netplan(i *invocation) int {
	if !i.needRoot() {
		return 1
	}
	if len(i.args) < 2 || i.args[1] != "apply" {
		return 0
	}
	if code := i.loadNetplan(); code != 0 {
		return code
	}
	return i.reconnect(everyNIC)
}

type netplanFile struct {
	Network struct {
		Ethernets map[string]struct {
			Match struct {
				Name string `yaml:"name"`
				MAC  string `yaml:"macaddress"`
			} `yaml:"match"`
			DHCP4     bool     `yaml:"dhcp4"`
			Addresses []string `yaml:"addresses"`
		} `yaml:"ethernets"`
	} `yaml:"network"`
}

// loadNetplan stores what netplan's files say.
func (i *invocation) loadNetplan() int {
	list, err := i.sys.List(root, "/etc/netplan")
	if err != nil {
		return 0 // nothing of netplan's is there
	}
	for _, e := range list {
		if path.Ext(e.Name) != ".yaml" {
			continue
		}
		if err := i.sys.storeNetplan(e.Data); err != nil {
			return i.fail(1, "/etc/netplan/%s: %v", e.Name, err)
		}
	}
	return 0
}

func (s *System) storeNetplan(text []byte) error {
	var file netplanFile
	if err := yaml.Unmarshal(text, &file); err != nil {
		return err
	}
	for id, e := range file.Network.Ethernets {
		var addrs []address
		for _, t := range e.Addresses {
			a, err := parseAddress(t)
			if err != nil {
				if _, v6 := netip.ParsePrefix(t); v6 == nil {
					continue // IPv6 is taken and not simulated
				}
				return err
			}
			addrs = append(addrs, a)
		}
		s.change(func(n *nic) bool {
			switch {
			case e.Match.MAC != "":
				return strings.EqualFold(n.mac, e.Match.MAC)
			case e.Match.Name != "":
				ok, err := path.Match(e.Match.Name, n.name)
				return err == nil && ok
			}
			return n.name == id
		}, func(n *nic) { n.stored = addrs })
	}
	return nil
}

// ifup brings a card up from its ifcfg file, or from /etc/network/interfaces.
func ifup(i *invocation) int {
	name := lastWord(i.args[1:])
	text, err := i.sys.Read(root, "/etc/sysconfig/network-scripts/ifcfg-"+name)
	if err == nil {
		values := make(map[string]string)
		for _, l := range lines(text) {
			key, value, _ := strings.Cut(strings.TrimSpace(l), "=")
			values[key] = strings.Trim(value, `"'`)
		}
		if err := i.sys.storeIfcfg(name, values); err != nil {
			return i.fail(1, "%v", err)
		}
	}
	return i.reconnect(named(name))
}

func (s *System) storeIfcfg(name string, values map[string]string) error {
	var addrs []address
	if values["IPADDR"] != "" && values["BOOTPROTO"] != "dhcp" {
		text := values["IPADDR"] + "/" + values["PREFIX"]
		if mask, err := netip.ParseAddr(values["NETMASK"]); err == nil && values["PREFIX"] == "" {
			text = fmt.Sprintf("%s/%d", values["IPADDR"], maskBits(mask))
		}
		a, err := parseAddress(strings.TrimSuffix(text, "/"))
		if err != nil {
			return err
		}
		addrs = []address{a}
	}
	s.change(named(name), func(n *nic) { n.stored = addrs })
	return nil
}

// maskBits counts the ones of a network mask.
func maskBits(mask netip.Addr) int {
	bits := 0
	for _, b := range mask.AsSlice() {
		for ; b != 0; b <<= 1 {
			bits++
		}
	}
	return bits
}

func ifdown(i *invocation) int {
	if !i.needRoot() {
		return 1
	}
	if !i.sys.change(named(lastWord(i.args)), func(n *nic) { n.down, n.fixed, n.addrs = true, true, nil }) {
		return i.fail(1, "unknown interface %s", lastWord(i.args))
	}
	return 0
}
