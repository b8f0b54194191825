// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package guestos

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"
	"time"
)

// image is what every guest's disk holds at first. Programs are files too, so that
// a missing one is missing for all who look.
var image = sync.OnceValue(func() *fileSystem {
	f := newFileSystem()
	now := time.Now()
	for _, dir := range []string{
		"/usr/bin", "/usr/sbin", "/usr/lib", "/etc/ssh", "/etc/netplan", "/etc/network/interfaces.d",
		"/etc/NetworkManager/system-connections", "/etc/sysconfig/network-scripts", "/etc/cloud",
		"/home", "/root", "/run", "/opt", "/dev", "/proc/sys/kernel/random", "/sys/class/net",
		"/sys/bus/pci/devices", "/sys/bus/pci/drivers", "/sys/devices/pci0000:00", "/var/lib/dbus", "/var/lib/cloud",
		"/var/lib/dhcp", "/var/log", "/usr/local/sbin", "/usr/local/bin",
	} {
		f.mkdirAll(dir, root, now)
	}
	for _, dir := range []string{"/tmp", "/var/tmp"} {
		f.nodes[dir] = &Node{Kind: Dir, Mode: 0o1777, Owner: root, Modified: now}
	}
	f.nodes["/root"] = &Node{Kind: Dir, Mode: 0o700, Owner: root, Modified: now}
	for from, to := range map[string]string{
		"/bin": "usr/bin", "/sbin": "usr/sbin", "/lib": "usr/lib", "/var/run": "/run",
		"/var/lib/dbus/machine-id": "/etc/machine-id",
	} {
		f.nodes[from] = &Node{Kind: Link, Mode: 0o777, Owner: root, Target: to, Modified: now}
	}
	file := func(name string, mode int64, text string) {
		f.nodes[name] = &Node{Data: []byte(text), Mode: mode, Owner: root, Modified: now}
	}
	file("/etc/os-release", 0o644, "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nID=debian\nVERSION_ID=\"12\"\n")
	file("/etc/hosts", 0o644, "127.0.0.1\tlocalhost\n")
	file("/etc/resolv.conf", 0o644, "")
	f.nodes["/dev/null"] = &Node{Mode: 0o666, Owner: root, device: discard, read: func(*System) string { return "" }}
	f.nodes["/proc/sys/kernel/random/uuid"] = &Node{Mode: 0o444, Owner: root, read: func(*System) string { return newUUID() + "\n" }}
	f.nodes["/proc/sys/kernel/hostname"] = &Node{Mode: 0o644, Owner: root,
		read:   func(s *System) string { return s.HostName() + "\n" },
		device: func(s *System, text string) error { return s.setHostName(strings.TrimSpace(text)) }}
	for name := range programs {
		file(programPath(name), 0o755, "\x7fELF\n")
	}
	for _, name := range slices.Concat(slices.Collect(maps.Keys(nested)), slices.Collect(maps.Keys(builtins))) {
		if !strings.ContainsAny(name, ":.[") && !keywordLike[name] {
			file(programPath(name), 0o755, "\x7fELF\n")
		}
	}
	return f
})

// keywordLike are the builtins that are no programs besides.
var keywordLike = map[string]bool{
	"break": true, "cd": true, "continue": true, "eval": true, "exec": true, "exit": true, "export": true, "local": true,
	"read": true, "readonly": true, "return": true, "set": true, "shift": true, "source": true, "trap": true, "type": true,
	"umask": true, "unset": true, "wait": true, "command": true,
}

func programPath(name string) string {
	if administrative[name] {
		return path.Join("/usr/sbin", name)
	}
	return path.Join("/usr/bin", name)
}

func discard(*System, string) error { return nil }

func newUUID() string {
	b := random(16)
	return fmt.Sprintf("%x-%x-4%x-a%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])[:36]
}

func random(n int) []byte {
	b := make([]byte, n)
	if _, err := rand.Read(b); err != nil {
		panic(err) // the system's random source is gone: nothing sensible can follow
	}
	return b
}

// hostKeys are the kinds of SSH host keys that a guest has.
var hostKeys = []string{"ecdsa", "ed25519", "rsa"}

func hostKeyPath(kind string) string { return "/etc/ssh/ssh_host_" + kind + "_key" }

// makeIdentity gives a fresh disk what is its own: name, machine id and host keys.
func (s *System) makeIdentity() {
	s.write("/etc/hostname", s.machine.Name()+"\n")
	s.write("/etc/machine-id", hex.EncodeToString(random(16))+"\n")
	for _, kind := range hostKeys {
		s.makeHostKey(kind)
	}
}

// makeHostKey writes a random private text, and a public key of the right form: the
// fields of its type, of random bytes.
func (s *System) makeHostKey(kind string) {
	secret := base64.StdEncoding.EncodeToString(random(32))
	s.write(hostKeyPath(kind), "-----BEGIN OPENSSH PRIVATE KEY-----\n"+secret+"\n-----END OPENSSH PRIVATE KEY-----\n")
	var name string
	var fields [][]byte
	switch kind {
	case "ecdsa":
		name = "ecdsa-sha2-nistp256"
		fields = [][]byte{[]byte("nistp256"), append([]byte{4}, random(64)...)}
	case "rsa":
		name = "ssh-rsa"
		fields = [][]byte{{1, 0, 1}, append([]byte{0, 0x80}, random(255)...)}
	default:
		name = "ssh-" + kind
		fields = [][]byte{random(32)}
	}
	key := base64.StdEncoding.EncodeToString(wireStrings(append([][]byte{[]byte(name)}, fields...)))
	s.write(hostKeyPath(kind)+".pub", name+" "+key+" root@"+s.HostName()+"\n")
}

// wireStrings joins fields as SSH does: each behind its length (RFC 4251, section 5).
func wireStrings(fields [][]byte) []byte {
	var out []byte
	for _, field := range fields {
		out = binary.BigEndian.AppendUint32(out, uint32(len(field)))
		out = append(out, field...)
	}
	return out
}

// write stores a file as the system itself, whatever the permissions.
func (s *System) write(name, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	mode := int64(0o644)
	if strings.HasSuffix(name, "_key") {
		mode = 0o600
	}
	s.files.nodes[name] = &Node{Data: []byte(text), Mode: mode, Owner: root, Modified: time.Now()}
}
