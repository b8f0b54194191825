// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package sim

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"slices"
	"testing"

	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/ids"
	"vforge.vsphere/simulator/internal/settings"
)

func pairs(kv ...string) cloneChange {
	return func(s *types.VirtualMachineInstantCloneSpec) {
		for i := 0; i < len(kv); i += 2 {
			s.Config = append(s.Config, &types.OptionValue{Key: kv[i], Value: kv[i+1]})
		}
	}
}

func hasIP(vm mo.VirtualMachine) bool { return vm.Guest.IpAddress != "" }

func TestGuestReportsWhatToolsWould(t *testing.T) {
	b := start(t)
	parent := b.read(b.parent().Reference())
	vm := b.until(b.clone("reporting"), hasIP)
	g := vm.Guest
	if g.ToolsRunningStatus != "guestToolsRunning" || g.ToolsStatus != types.VirtualMachineToolsStatusToolsOk || g.HostName != "reporting" || g.GuestState != "running" {
		t.Errorf("guest %+v", g)
	}
	if g.IpAddress == parent.Guest.IpAddress || vm.Summary.Guest.IpAddress != g.IpAddress || vm.Summary.Guest.HostName != g.HostName {
		t.Errorf("address %s, summary %+v, the parent's %s", g.IpAddress, vm.Summary.Guest, parent.Guest.IpAddress)
	}
	nic := firstNIC(vm)
	if len(g.Net) != 1 || g.Net[0].MacAddress != nic.MacAddress || g.Net[0].DeviceConfigId != nic.Key || g.Net[0].Network != "DC0_DVPG0" || !g.Net[0].Connected {
		t.Fatalf("cards %+v", g.Net)
	}
	if want := []string{g.IpAddress, ids.LinkLocal(nic.MacAddress)}; !slices.Equal(g.Net[0].IpAddress, want) {
		t.Errorf("addresses %v, want %v", g.Net[0].IpAddress, want)
	}
	if ip := g.Net[0].IpConfig.IpAddress; len(ip) != 2 || ip[0].PrefixLength != 16 || ip[1].PrefixLength != 64 {
		t.Errorf("configuration %+v", ip)
	}
}

func TestLinkLocalAddress(t *testing.T) {
	for mac, want := range map[string]string{
		"00:50:56:80:d0:ec": "fe80::250:56ff:fe80:d0ec", "02:00:00:00:00:01": "fe80::ff:fe00:1", "nonsense": "",
	} {
		if got := ids.LinkLocal(mac); got != want {
			t.Errorf("%s gives %s, want %s", mac, got, want)
		}
	}
}

func TestGuestReadsItsIdentityFromGuestinfo(t *testing.T) {
	b := start(t)
	metadata := "instance-id: i-1\nlocal-hostname: from-metadata\n"
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	if _, err := z.Write([]byte(metadata)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		config   cloneChange
		hostName string
		ip       string
	}{
		"nothing":         {pairs(), "nothing", ""},
		"hostname":        {pairs("guestinfo.hostname", "web"), "web", ""},
		"metadata":        {pairs("guestinfo.metadata", metadata), "from-metadata", ""},
		"base64":          {pairs("guestinfo.metadata", base64.StdEncoding.EncodeToString([]byte(metadata)), "guestinfo.metadata.encoding", "b64"), "from-metadata", ""},
		"gzip":            {pairs("guestinfo.metadata", base64.StdEncoding.EncodeToString(packed.Bytes()), "guestinfo.metadata.encoding", "gzip+base64"), "from-metadata", ""},
		"broken metadata": {pairs("guestinfo.metadata", "\x00", "guestinfo.metadata.encoding", "b64"), "broken metadata", ""},
		"hostname wins":   {pairs("guestinfo.hostname", "web", "guestinfo.metadata", metadata), "web", ""},
		"static address":  {pairs("guestinfo.ipv4", "192.0.2.10/28"), "static address", "192.0.2.10"},
		"static, plain":   {pairs("guestinfo.ipv4", "192.0.2.11"), "static, plain", "192.0.2.11"},
		"no address":      {pairs("guestinfo.ipv4", "somewhere"), "no address", ""},
	} {
		t.Run(name, func(t *testing.T) {
			vm := b.until(b.clone(name, c.config), hasIP)
			if vm.Guest.HostName != c.hostName {
				t.Errorf("host name %q, want %q", vm.Guest.HostName, c.hostName)
			}
			if c.ip != "" && vm.Guest.IpAddress != c.ip {
				t.Errorf("address %s, want %s", vm.Guest.IpAddress, c.ip)
			}
		})
	}
}

func TestAddressesAreGivenOnce(t *testing.T) {
	b := start(t, func(c *settings.Config) { c.VMs = 100 })
	seen := make(map[string]string)
	for _, e := range b.sim.Reg.All("VirtualMachine") {
		vm := b.read(e.Reference())
		for _, n := range vm.Guest.Net {
			if other, ok := seen[n.IpAddress[0]]; ok {
				t.Errorf("%s and %s both have %s", vm.Name, other, n.IpAddress[0])
			}
			seen[n.IpAddress[0]] = vm.Name
		}
	}
}

func TestDisconnectedCardHasNoAddress(t *testing.T) {
	b := start(t)
	ref := b.clone("alone", editNIC(func(n *types.VirtualEthernetCard) {
		n.Connectable = &types.VirtualDeviceConnectInfo{}
	}))
	vm := b.until(ref, func(vm mo.VirtualMachine) bool { return vm.Guest.ToolsRunningStatus == "guestToolsRunning" })
	if vm.Guest.IpAddress != "" || len(vm.Guest.Net) != 1 || len(vm.Guest.Net[0].IpAddress) != 0 {
		t.Errorf("guest %+v", vm.Guest.Net)
	}
}

func TestGuestThatHangsReportsNoAddress(t *testing.T) {
	b := start(t)
	b.patch("golden-parent", map[string]any{"guest": map[string]any{"hang": true}})
	vm := b.until(b.clone("hung"), func(vm mo.VirtualMachine) bool { return vm.Guest.ToolsRunningStatus == "guestToolsRunning" })
	if hasIP(vm) {
		t.Errorf("it reports %s", vm.Guest.IpAddress)
	}
	b.patch("hung", map[string]any{"guest": map[string]any{"hang": false, "ipv6": "2001:db8::7"}})
	vm = b.until(vm.Self, hasIP)
	if !slices.Contains(vm.Guest.Net[0].IpAddress, "2001:db8::7") {
		t.Errorf("addresses %v", vm.Guest.Net[0].IpAddress)
	}
}

func TestCloneMayStillHaveItsParentsAddress(t *testing.T) {
	b := start(t)
	b.patch("golden-parent", map[string]any{"guest": map[string]any{"stale_ms": 3_600_000}})
	parent := b.read(b.parent().Reference())
	vm := b.until(b.clone("stale"), hasIP)
	if vm.Guest.IpAddress != parent.Guest.IpAddress || vm.Guest.Net[0].MacAddress != firstNIC(parent).MacAddress {
		t.Errorf("it reports %s on %s, the parent has %s", vm.Guest.IpAddress, vm.Guest.Net[0].MacAddress, parent.Guest.IpAddress)
	}
}

func TestToolsThatStopTakeTheReportAway(t *testing.T) {
	b := start(t)
	b.patch("golden-parent", map[string]any{"tools": "notRunning"})
	vm := b.read(b.parent().Reference())
	if vm.Guest.ToolsRunningStatus != "guestToolsNotRunning" || hasIP(vm) || len(vm.Guest.Net) != 0 {
		t.Errorf("guest %+v", vm.Guest)
	}
	b.patch("golden-parent", map[string]any{"tools": "running"})
	b.until(vm.Self, hasIP)
}
