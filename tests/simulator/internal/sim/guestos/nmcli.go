// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package guestos

import (
	"fmt"
	"slices"
	"strings"
)

// nmcli is NetworkManager's command. Each card has one connection, named after it.
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
	case strings.HasPrefix("modify", action) && len(action) > 2:
		return i.nmModify(target, words[3:])
	case slices.Contains([]string{"up", "reapply", "connect"}, action):
		return i.reconnect(named(target))
	case slices.Contains([]string{"down", "disconnect"}, action):
		if !i.sys.change(named(target), func(n *nic) { n.fixed, n.addrs = true, nil }) {
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

// nmModify takes pairs such as ipv4.addresses 192.0.2.7/24.
func (i *invocation) nmModify(target string, pairs []string) int {
	if !i.needRoot() {
		return 1
	}
	settings := make(map[string]string)
	for n := 0; n+1 < len(pairs); n += 2 {
		settings[strings.TrimPrefix(pairs[n], "+")] = pairs[n+1]
	}
	var addrs []address
	for _, key := range []string{"ipv4.addresses", "ipv4.address", "ip4"} {
		for _, text := range strings.FieldsFunc(settings[key], func(r rune) bool { return r == ',' || r == ' ' }) {
			a, err := parseAddress(text)
			if err != nil {
				return i.fail(exitUsage, "Error: failed to modify %s: %v", key, err)
			}
			addrs = append(addrs, a)
		}
	}
	auto := settings["ipv4.method"] == "auto"
	if !i.sys.change(named(target), func(n *nic) {
		if auto || addrs != nil {
			n.stored = addrs
		}
	}) {
		return i.fail(10, "unknown connection '%s'", target)
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
