// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package guestos

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// nmcli is NetworkManager's command.
func nmcli(i *invocation) int {
	fields := ""
	for _, flag := range []string{"-f", "-g", "--fields", "--get-values"} {
		if v, ok := i.option(flag); ok {
			fields = v
		}
	}
	words := slices.DeleteFunc(slices.Clone(i.args[1:]), func(a string) bool { return strings.HasPrefix(a, "-") })
	if len(words) == 0 {
		return 0
	}
	action := "show"
	if len(words) > 1 {
		action = words[1]
	}
	target := ""
	if len(words) > 2 {
		target = words[2]
		if n := len(words); (target == "id" || target == "ifname") && n > 3 {
			target = words[3]
		}
	}
	switch object := words[0]; {
	case strings.HasPrefix("general", object) && action == "hostname" && target != "":
		i.sys.SetName(target)
		return 0
	case strings.HasPrefix("general", object) || strings.HasPrefix("networking", object) && action != "on":
		return 0
	case strings.HasPrefix("networking", object):
		return i.reconnect(everyNIC)
	case strings.HasPrefix("connection", object), strings.HasPrefix("device", object):
		return i.nmObject(action, target, words, fields)
	}
	return i.fail(exitUsage, "Object '%s' is not simulated", words[0])
}

func (i *invocation) nmObject(action, target string, words []string, fields string) int {
	switch {
	case action == "add":
		return i.nmAdd(words[2:])
	case strings.HasPrefix("modify", action) && len(action) > 2:
		return i.nmModify(target, words[min(3, len(words)):])
	case action == "delete":
		return i.nmDelete(target)
	case slices.Contains([]string{"up", "reapply", "connect"}, action):
		return i.nmUp(target)
	case slices.Contains([]string{"down", "disconnect"}, action):
		p, ok := i.sys.profile(target)
		if !ok || !i.sys.change(named(p.device), func(n *nic) { n.fixed, n.addrs = true, nil }) {
			return i.fail(10, "unknown connection '%s'", target)
		}
		return 0
	case action == "reload":
		return 0
	case action == "show" || action == "status":
		return i.nmShow(target, strings.Split(fields, ","))
	}
	return i.fail(exitUsage, "'%s' is not simulated", action)
}

// profile is a connection of NetworkManager's. Every card has one of its own name, for
// DHCP, until there is another.
type profile struct {
	device string
	addrs  []address // nil is DHCP
}

func (s *System) profile(name string) (profile, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p, ok := s.profiles[name]; ok {
		return p, true
	}
	for _, n := range s.nics {
		if n.name == name {
			return profile{device: name, addrs: n.stored}, true
		}
	}
	return profile{}, false
}

func (s *System) setProfile(name string, p profile) {
	s.mu.Lock()
	defer s.mu.Unlock()
	profiles := maps.Clone(s.profiles) // a fork shares the old one
	if profiles == nil {
		profiles = make(map[string]profile)
	}
	profiles[name] = p
	s.profiles = profiles
}

// nmSettings reads pairs such as ipv4.addresses 192.0.2.7/24 into a profile.
func (p *profile) nmSettings(pairs []string) error {
	settings := make(map[string]string)
	for n := 0; n+1 < len(pairs); n += 2 {
		settings[strings.TrimPrefix(pairs[n], "+")] = pairs[n+1]
	}
	if settings["ipv4.method"] == "auto" {
		p.addrs = nil
	}
	if device := cmp.Or(settings["ifname"], settings["connection.interface-name"]); device != "" {
		p.device = device
	}
	var addrs []address
	for _, key := range []string{"ipv4.addresses", "ipv4.address", "ip4"} {
		for _, text := range strings.FieldsFunc(settings[key], func(r rune) bool { return r == ',' || r == ' ' }) {
			a, err := parseAddress(text)
			if err != nil {
				return err
			}
			addrs = append(addrs, a)
		}
	}
	if addrs != nil {
		p.addrs = addrs
	}
	if settings["ipv4.method"] == "manual" && p.addrs == nil {
		return errors.New("ipv4.addresses: this property cannot be empty for 'method=manual'")
	}
	return nil
}

func (i *invocation) nmAdd(words []string) int {
	if !i.needRoot() {
		return 1
	}
	var p profile
	if err := p.nmSettings(words); err != nil {
		return i.fail(exitUsage, "Error: %v", err)
	}
	i.sys.setProfile(wordAfter(words, "con-name", p.device), p)
	return 0
}

func (i *invocation) nmModify(name string, pairs []string) int {
	if !i.needRoot() {
		return 1
	}
	p, ok := i.sys.profile(name)
	if !ok {
		return i.fail(10, "unknown connection '%s'", name)
	}
	if err := p.nmSettings(pairs); err != nil {
		return i.fail(exitUsage, "Error: %v", err)
	}
	i.sys.setProfile(name, p)
	return 0
}

func (i *invocation) nmDelete(name string) int {
	if !i.needRoot() {
		return 1
	}
	i.sys.mu.Lock()
	defer i.sys.mu.Unlock()
	if _, ok := i.sys.profiles[name]; !ok {
		return i.fail(10, "unknown connection '%s'", name)
	}
	profiles := maps.Clone(i.sys.profiles)
	delete(profiles, name)
	i.sys.profiles = profiles
	return 0
}

// nmUp makes a profile its card's, for good.
func (i *invocation) nmUp(name string) int {
	p, ok := i.sys.profile(name)
	if !ok {
		return i.fail(10, "unknown connection '%s'", name)
	}
	if !i.needRoot() {
		return 1
	}
	ok = i.sys.change(named(p.device), func(n *nic) {
		n.down, n.stored = false, p.addrs
		n.configure(n.stored)
	})
	if !ok {
		return i.fail(4, "no device for connection '%s'", name)
	}
	return 0
}

func (i *invocation) nmShow(target string, fields []string) int {
	if len(fields) == 1 && fields[0] == "" {
		fields = []string{"NAME", "DEVICE"}
	}
	i.sys.mu.Lock()
	nics := slices.Clone(i.sys.nics)
	i.sys.mu.Unlock()
	found := false
	for _, n := range nics {
		if !n.bound || target != "" && target != n.name && strings.ToUpper(target) != target && !strings.HasPrefix(target, "-") {
			continue
		}
		found = true
		var values []string
		for _, f := range fields {
			switch f {
			case "TYPE":
				values = append(values, "ethernet")
			case "STATE":
				values = append(values, "connected")
			case "GENERAL.HWADDR":
				values = append(values, n.mac)
			default:
				values = append(values, n.name)
			}
		}
		fmt.Fprintln(&i.out, strings.Join(values, ":"))
	}
	if target != "" && !found {
		return i.fail(10, "%s - no such connection profile.", target)
	}
	return 0
}
