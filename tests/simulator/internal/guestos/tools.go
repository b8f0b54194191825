// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package guestos

import "strings"

// programs are those that run by themselves, as one step of their process.
var programs map[string]func(*invocation) int

// administrative are the programs in /usr/sbin.
var administrative = map[string]bool{
	"ifup": true, "ifdown": true, "ip": true, "dhclient": true, "modprobe": true, "rmmod": true, "netplan": true,
	"dpkg-reconfigure": true,
}

func init() {
	nothing := func(*invocation) int { return 0 }
	programs = map[string]func(*invocation) int{
		"vmware-rpctool": rpctool, "vmtoolsd": vmtoolsd,
		"sleep": sleepFor, "cat": cat, "ls": ls, "readlink": readlink, "realpath": readlink, "basename": basename,
		"dirname": dirname, "rm": rm, "rmdir": rmdir, "mkdir": mkdir, "mv": mv, "cp": cp, "chmod": chmod, "chown": chown,
		"ln": ln, "touch": touch, "mktemp": mktemp, "tee": tee, "date": date, "id": id, "whoami": id, "uname": uname,
		"head": head, "tail": head, "cut": cut, "tr": tr, "sed": sed, "grep": grep, "wc": wc, "sort": sorted, "uniq": sorted,
		"seq": seq, "awk": awk, "base64": base64Text, "logger": nothing, "sync": nothing, "udevadm": nothing,
		"hostname": hostname, "hostnamectl": hostnamectl, "systemd-machine-id-setup": machineIDSetup,
		"dbus-uuidgen": machineIDSetup, "uuidgen": uuidgen, "ssh-keygen": sshKeygen, "dpkg-reconfigure": sshKeygen,
		"systemctl": systemctl, "service": systemctl, "ip": ipCommand, "dhclient": dhclient,
		"nmcli": nmcli, "netplan": netplan, "networkctl": networkctl, "ifup": ifup, "ifdown": ifdown,
		"modprobe": modprobe, "rmmod": modprobe, "cloud-init": cloudInit, "resolvectl": nothing, "timedatectl": nothing,
	}
}

// rpctool is vmware-rpctool: one command to the hypervisor.
func rpctool(i *invocation) int {
	if len(i.args) < 2 {
		return i.fail(1, "usage: vmware-rpctool \"COMMAND\"")
	}
	return i.rpc(strings.Join(i.args[1:], " "))
}

// vmtoolsd is the Tools' program: only its --cmd is for scripts.
func vmtoolsd(i *invocation) int {
	for n, arg := range i.args[1:] {
		if text, ok := strings.CutPrefix(arg, "--cmd="); ok {
			return i.rpc(text)
		}
		if (arg == "--cmd" || arg == "-c") && n+2 < len(i.args) {
			return i.rpc(i.args[n+2])
		}
	}
	return i.fail(1, "--cmd COMMAND is needed: the daemon runs already")
}

// rpc carries out a command for the hypervisor: an answer on standard output and 0,
// or a refusal on standard error and 1.
func (i *invocation) rpc(command string) int {
	name, rest, _ := strings.Cut(strings.TrimSpace(command), " ")
	m := i.sys.machine
	switch name {
	case "info-get":
		value, ok := m.Guestinfo(strings.TrimPrefix(strings.TrimSpace(rest), "guestinfo."))
		if !ok {
			return i.refuse("No value found")
		}
		i.out.WriteString(value + "\n")
		return 0
	case "info-set":
		key, value, _ := strings.Cut(strings.TrimSpace(rest), " ")
		key, ok := strings.CutPrefix(key, "guestinfo.")
		if !ok {
			return i.refuse("Unknown command")
		}
		m.SetGuestinfo(key, value)
		i.out.WriteString("\n")
		return 0
	case "instantclone.freeze":
		return i.freeze(InstantClone)
	case "vmfork-begin":
		if strings.Join(strings.Fields(rest), " ") != "-1 -1" {
			return i.refuse("Invalid arguments")
		}
		return i.freeze(VMFork)
	}
	return i.refuse("Unknown command")
}

// refuse prints what the hypervisor says of a command that it does not carry out.
func (i *invocation) refuse(text string) int {
	i.errs.WriteString(text + "\n")
	return 1
}

func (i *invocation) freeze(how Freezing) int {
	if err := i.p.freeze(how); err != nil {
		return i.refuse(err.Error())
	}
	return 0
}
