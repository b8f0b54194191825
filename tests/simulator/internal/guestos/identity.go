// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package guestos

import (
	"encoding/hex"
	"strings"
)

// hostname prints or sets the name, or prints the addresses.
func hostname(i *invocation) int {
	short, _, rest := i.flags()
	if strings.ContainsAny(short, "Ii") {
		var all []string
		i.sys.mu.Lock()
		count := len(i.sys.nics)
		i.sys.mu.Unlock()
		for n := range count {
			for _, a := range i.sys.addresses(n) {
				all = append(all, a.addr)
			}
		}
		i.out.WriteString(strings.Join(all, " ") + "\n")
		return 0
	}
	if len(rest) == 0 {
		name := i.sys.HostName()
		if strings.Contains(short, "s") {
			name, _, _ = strings.Cut(name, ".")
		}
		i.out.WriteString(name + "\n")
		return 0
	}
	if !i.needRoot() {
		return 1
	}
	if err := i.sys.setHostName(rest[0]); err != nil {
		return i.fail(1, "%v", err)
	}
	return 0
}

// hostnamectl prints the name, or sets it for good.
func hostnamectl(i *invocation) int {
	_, _, rest := i.flags()
	if len(rest) < 2 || rest[0] != "set-hostname" && rest[0] != "hostname" {
		i.out.WriteString(i.sys.HostName() + "\n")
		return 0
	}
	if !i.needRoot() {
		return 1
	}
	if rest[1] == "" {
		return i.fail(1, "invalid hostname")
	}
	i.sys.SetName(rest[1])
	return 0
}

// machineIDSetup writes a new machine id where there is none.
func machineIDSetup(i *invocation) int {
	if !i.needRoot() {
		return 1
	}
	text, err := i.sys.Read(root, "/etc/machine-id")
	if err != nil || strings.TrimSpace(string(text)) == "" || strings.TrimSpace(string(text)) == "uninitialized" {
		i.sys.write("/etc/machine-id", hex.EncodeToString(random(16))+"\n")
	}
	return 0
}

func uuidgen(i *invocation) int {
	i.out.WriteString(newUUID() + "\n")
	return 0
}

// sshKeygen makes the host keys that are missing, as ssh-keygen -A and the
// configuration of openssh-server do, or one key with -t and -f.
func sshKeygen(i *invocation) int {
	if !i.needRoot() {
		return 1
	}
	kind, one := i.option("-t")
	file, named := i.option("-f")
	for _, k := range hostKeys {
		if one && k != kind || named && file != hostKeyPath(k) {
			continue
		}
		if _, err := i.sys.Stat(hostKeyPath(k)); err != nil || one {
			i.sys.makeHostKey(k)
		}
	}
	return 0
}
