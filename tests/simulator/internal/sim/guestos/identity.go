// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package guestos

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/hex"
	"io"
	"strings"

	"gopkg.in/yaml.v3"
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

const (
	cloudInstance = "/var/lib/cloud/data/instance-id"
	maxMetadata   = 1 << 20
)

// cloudInit is cloud-init with its VMware data source: "clean" forgets the instance,
// "init" sets up name and network from guestinfo.metadata when its instance-id is a
// new one.
func cloudInit(i *invocation) int {
	_, long, rest := i.flags()
	if len(rest) == 0 {
		return i.fail(exitUsage, "a subcommand is needed")
	}
	if rest[0] == "status" {
		i.out.WriteString("status: done\n")
		return 0
	}
	if !i.needRoot() {
		return 1
	}
	switch rest[0] {
	case "clean":
		i.sys.forget(cloudInstance)
		if long["machine-id"] {
			i.sys.write("/etc/machine-id", "uninitialized\n")
		}
	case "init":
		if err := i.sys.cloudInit(); err != nil {
			return i.fail(1, "%v", err)
		}
	}
	return 0
}

func (s *System) forget(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.files.nodes, name)
}

// metadata is what cloud-init reads of its metadata.
type metadata struct {
	InstanceID string `yaml:"instance-id"`
	HostName   string `yaml:"local-hostname"`
	Network    any    `yaml:"network"`
	Encoding   string `yaml:"network.encoding"`
}

func (s *System) cloudInit() error {
	text, _ := s.machine.Guestinfo("metadata")
	encoding, _ := s.machine.Guestinfo("metadata.encoding")
	if text == "" {
		return nil
	}
	raw, err := decode(text, encoding)
	if err != nil {
		return err
	}
	var m metadata
	if err := yaml.Unmarshal(raw, &m); err != nil {
		return err
	}
	if seen, err := s.Read(root, cloudInstance); err == nil && strings.TrimSpace(string(seen)) == m.InstanceID {
		return nil
	}
	s.mu.Lock()
	s.files.mkdirAll("/var/lib/cloud/data", root, s.files.nodes["/"].Modified)
	s.mu.Unlock()
	s.write(cloudInstance, m.InstanceID+"\n")
	if m.HostName != "" {
		s.SetName(m.HostName)
	}
	return s.cloudNetwork(m)
}

// cloudNetwork applies a network configuration of version 2.
func (s *System) cloudNetwork(m metadata) error {
	var text []byte
	var err error
	switch network := m.Network.(type) {
	case nil:
		return nil
	case string:
		text, err = decode(network, m.Encoding)
	default:
		text, err = yaml.Marshal(network)
	}
	if err != nil {
		return err
	}
	var outer map[string]any
	if err := yaml.Unmarshal(text, &outer); err != nil {
		return err
	}
	if _, wrapped := outer["network"]; !wrapped {
		if text, err = yaml.Marshal(map[string]any{"network": outer}); err != nil {
			return err
		}
	}
	s.write("/etc/netplan/50-cloud-init.yaml", string(text))
	if err := s.storeNetplan(text); err != nil {
		return err
	}
	s.change(everyNIC, func(n *nic) { n.configure(n.stored) })
	return nil
}

// decode unpacks a guestinfo value: plain, base64, or gzip and base64.
func decode(value, encoding string) ([]byte, error) {
	encoding = strings.ToLower(strings.TrimSpace(encoding))
	packed := encoding == "gzip+base64" || encoding == "gz+b64"
	if !packed && encoding != "base64" && encoding != "b64" {
		return []byte(value), nil
	}
	raw, err := base64.StdEncoding.DecodeString(value)
	if err != nil || !packed {
		return raw, err
	}
	r, err := gzip.NewReader(bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(r, maxMetadata))
}
