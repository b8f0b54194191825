// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package guestinfo

import (
	"net/netip"
	"strings"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"
	"gopkg.in/yaml.v3"

	"vforge.vsphere/simulator/internal/guestos"
)

// HostName is what the guest calls itself: what guestinfo told it, else the
// VM's name.
func HostName(vm *simulator.VirtualMachine) string {
	if v := ExtraValue(vm.Config.ExtraConfig, "guestinfo.hostname"); v != "" {
		return v
	}
	if v := metadataHostName(vm.Config.ExtraConfig); v != "" {
		return v
	}
	return vm.Name
}

// metadataHostName reads local-hostname from cloud-init's metadata, as its VMware
// data source does: plain, base64, or gzip and base64. Metadata that cannot be read
// names nothing, as in a guest.
func metadataHostName(pairs []types.BaseOptionValue) string {
	text, err := guestos.DecodeGuestinfo(
		ExtraValue(pairs, "guestinfo.metadata"), ExtraValue(pairs, "guestinfo.metadata.encoding"))
	if err != nil {
		return ""
	}
	var metadata struct {
		LocalHostname string `yaml:"local-hostname"`
	}
	if yaml.Unmarshal(text, &metadata) != nil {
		return ""
	}
	return metadata.LocalHostname
}

// IPv4 is the static address that guestinfo.ipv4 gives, with its prefix
// (24 when it has none); ok is false for none or for one that is no address.
func IPv4(vm *simulator.VirtualMachine) (addr string, prefix int32, ok bool) {
	text := ExtraValue(vm.Config.ExtraConfig, "guestinfo.ipv4")
	if text == "" {
		return "", 0, false
	}
	if !strings.Contains(text, "/") {
		text += "/24"
	}
	p, err := netip.ParsePrefix(text)
	if err != nil || !p.Addr().Is4() {
		return "", 0, false
	}
	return p.Addr().String(), int32(p.Bits()), true
}

// ExtraValue is the value of a key of the extra configuration, or nothing.
func ExtraValue(pairs []types.BaseOptionValue, key string) string {
	for _, p := range pairs {
		if o := p.GetOptionValue(); o.Key == key {
			v, _ := o.Value.(string)
			return v
		}
	}
	return ""
}
