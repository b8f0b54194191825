// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package guestos

import (
	"fmt"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

const (
	cloudInstance = "/var/lib/cloud/data/instance-id"
	cloudName     = "/var/lib/cloud/data/previous-hostname"
	cloudResult   = "/run/cloud-init/result"
	cloudScripts  = "/var/lib/cloud/instance/scripts/"
	cloudSeed     = "/var/lib/cloud/seed/vmware/"
	maxMetadata   = 1 << 20
)

// The words of a status, and the exit codes of "cloud-init status".
const (
	cloudDone  = "done"
	cloudError = "error"
)

// cloudInit is cloud-init with its VMware data source: "clean" forgets the instance,
// "init" sets up name and network from guestinfo when the instance-id is a new one,
// "modules --mode=final" runs the scripts.
func cloudInit(i *invocation) int {
	_, long, rest := i.flags()
	if len(rest) == 0 {
		return i.fail(exitUsage, "a subcommand is needed")
	}
	if rest[0] == "status" {
		text, err := i.sys.Read(root, cloudResult)
		if err == nil && strings.TrimSpace(string(text)) == cloudError {
			i.out.WriteString("status: error\n")
			return 1
		}
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
		data, err := i.sys.cloudSetUp()
		if err != nil {
			return i.fail(1, "%v", err)
		}
		i.sys.cloudKeep(data)
	case "modules":
		if !long["mode=final"] {
			return 0
		}
		if data := i.sys.cloudKept(); data != nil {
			i.sys.cloudTell(data, i.sys.firstAddress(), "")
			go i.sys.cloudRun(data)
		}
	}
	return 0
}

// cloudKeep remembers what one stage has found for the next ones: after the first one
// it may be redacted.
func (s *System) cloudKeep(data *cloudData) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if data != nil && (s.cloud == nil || data.fresh) {
		s.cloud = data
	}
}

// cloudKept returns it, once.
func (s *System) cloudKept() *cloudData {
	s.mu.Lock()
	defer s.mu.Unlock()
	data := s.cloud
	s.cloud = nil
	return data
}

// firstAddress is the first address that the guest has.
func (s *System) firstAddress() string {
	s.mu.Lock()
	count := len(s.nics)
	s.mu.Unlock()
	for n := range count {
		if all := s.addresses(n); len(all) > 0 {
			return all[0].addr
		}
	}
	return ""
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
	Redact     any    `yaml:"redact"`
	Cleanup    any    `yaml:"cleanup-guestinfo"`
	Wait       struct {
		IPv4 bool `yaml:"ipv4"`
		IPv6 bool `yaml:"ipv6"`
	} `yaml:"wait-on-network"`
}

// cloudData is what the data source found.
type cloudData struct {
	metadata
	user, vendor string
	fresh        bool // a new instance
}

// cloudSetUp does what cloud-init does before the network is there: it reads its
// data, overwrites what is to be redacted, and sets name and network of a new
// instance. There are no data when the data source finds none.
func (s *System) cloudSetUp() (*cloudData, error) {
	texts, err := s.cloudTexts()
	if err != nil {
		return nil, err
	}
	data := &cloudData{user: texts["userdata"], vendor: texts["vendordata"]}
	if texts["metadata"]+data.user+data.vendor == "" {
		return nil, nil
	}
	if err := yaml.Unmarshal([]byte(texts["metadata"]), &data.metadata); err != nil {
		return nil, err
	}
	if !s.Seeded() { // only what came by guestinfo is overwritten there
		for _, key := range data.redacted() {
			s.machine.SetGuestinfo(key, "---")
			s.machine.SetGuestinfo(key+".encoding", " ")
		}
	}
	if seen, err := s.Read(root, cloudInstance); err != nil || strings.TrimSpace(string(seen)) != data.InstanceID {
		data.fresh = true
	}
	s.mu.Lock()
	s.files.mkdirAll("/var/lib/cloud/data", root, s.files.nodes["/"].Modified)
	s.files.mkdirAll("/run/cloud-init", root, s.files.nodes["/"].Modified)
	s.mu.Unlock()
	s.write(cloudInstance, data.InstanceID+"\n")
	s.cloudHostName(data)
	if !data.fresh {
		return data, nil
	}
	return data, s.cloudNetwork(data.metadata)
}

// SetCloudData hands over what a customization brings; it comes before guestinfo at the
// next boot, and stays on the disk as the guest's data source.
func (s *System) SetCloudData(metadata, userdata string) error {
	var m any
	if err := yaml.Unmarshal([]byte(metadata), &m); err != nil {
		return err
	}
	s.mu.Lock()
	s.files.mkdirAll("/var/lib/cloud/seed/vmware", root, s.files.nodes["/"].Modified)
	s.mu.Unlock()
	s.write(cloudSeed+"metadata", metadata)
	s.write(cloudSeed+"userdata", userdata)
	return nil
}

// Seeded tells that a customization has left data on the disk.
func (s *System) Seeded() bool {
	_, err := s.Stat(cloudSeed + "metadata")
	return err == nil
}

// cloudTexts are the data by their kinds, unpacked.
func (s *System) cloudTexts() (map[string]string, error) {
	texts := make(map[string]string)
	if seed, err := s.Read(root, cloudSeed+"metadata"); err == nil {
		user, _ := s.Read(root, cloudSeed+"userdata")
		texts["metadata"], texts["userdata"] = string(seed), string(user)
		return texts, nil
	}
	for _, kind := range []string{"metadata", "userdata", "vendordata"} {
		text, err := s.cloudValue(kind)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", kind, err)
		}
		texts[kind] = text
	}
	return texts, nil
}

// cloudHostName sets the name at each boot, unless somebody has given another one
// meanwhile (update_hostname).
func (s *System) cloudHostName(data *cloudData) {
	previous, err := s.Read(root, cloudName)
	if data.HostName == "" || !data.fresh && err == nil && strings.TrimSpace(string(previous)) != s.Named() {
		return
	}
	s.SetName(data.HostName)
	s.write(cloudName, data.HostName+"\n")
}

// cloudValue reads one value as the data source does: trailing space does not count,
// and "---" is nothing.
func (s *System) cloudValue(kind string) (string, error) {
	value, _ := s.machine.Guestinfo(kind)
	if text := trimmed(value); text == "" || text == "---" {
		return "", nil
	}
	encoding, _ := s.machine.Guestinfo(kind + ".encoding")
	raw, err := DecodeGuestinfo(value, encoding)
	return string(raw), err
}

// redacted lists the keys that are to be overwritten: one, or a list.
func (m *metadata) redacted() []string {
	asked := m.Redact
	if asked == nil {
		asked = m.Cleanup
	}
	switch keys := asked.(type) {
	case string:
		return []string{keys}
	case []any:
		var out []string
		for _, k := range keys {
			out = append(out, fmt.Sprint(k))
		}
		return out
	}
	return nil
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

// CloudBoot is what cloud-init does at a boot of the machine. addr4 and addr6 are what
// DHCP gives to its first card; empty for none.
func (s *System) CloudBoot(addr4, addr6 string) {
	if hang, _, fails := s.trouble([]string{"/usr/bin/cloud-init", "boot"}); hang || fails || s.lacks("cloud-init") {
		return
	}
	data, err := s.cloudSetUp()
	if err != nil || data == nil {
		return // cloud-init logs it and goes on without the data
	}
	if static := s.staticAddress(); static != "" {
		addr4 = static
	}
	if s.cloudTell(data, addr4, addr6) {
		go s.cloudRun(data)
	}
}

// cloudTell tells the guest's addresses once it has what is to be waited for; false
// while it waits, which is without a limit.
func (s *System) cloudTell(data *cloudData, addr4, addr6 string) bool {
	if data.Wait.IPv4 && addr4 == "" || data.Wait.IPv6 && addr6 == "" {
		return false
	}
	for key, addr := range map[string]string{"local-ipv4": addr4, "local-ipv6": addr6} {
		if addr != "" {
			s.machine.SetGuestinfo(key, addr)
		}
	}
	return true
}

func (s *System) lacks(program string) bool {
	_, err := s.Stat("/usr/bin/" + program)
	return err != nil
}

// staticAddress is the first address that is configured for good.
func (s *System) staticAddress() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, n := range s.nics {
		if len(n.stored) > 0 {
			return n.stored[0].addr
		}
	}
	return ""
}

// cloudRun runs what is to run: shell scripts once an instance, boothooks at each
// boot. What boothooks leave in the background waits for the rest, so they come last
// here; nothing else of user data is simulated.
func (s *System) cloudRun(data *cloudData) {
	s.write(cloudResult, cloudDone+"\n")
	hooks := []string{}
	for _, part := range slices.Concat(cloudParts(data.vendor), cloudParts(data.user)) {
		switch {
		case strings.HasPrefix(part, "#cloud-boothook"):
			hooks = append(hooks, strings.TrimPrefix(part, "#cloud-boothook\n"))
		case strings.HasPrefix(part, "#!") && data.fresh:
			if s.cloudScript(part) != 0 {
				s.write(cloudResult, cloudError+"\n")
			}
		}
	}
	for _, hook := range hooks {
		s.cloudScript(hook)
	}
}

func (s *System) cloudScript(text string) int {
	s.mu.Lock()
	s.files.mkdirAll(strings.TrimSuffix(cloudScripts, "/"), root, s.files.nodes["/"].Modified)
	name := fmt.Sprintf("%spart-%03d", cloudScripts, s.nextPID)
	s.mu.Unlock()
	s.write(name, text)
	return s.runToEnd("/bin/sh", quote(name))
}
