// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package sim

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/vmware/govmomi/property"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/core"
	"vforge.vsphere/simulator/internal/settings"
	"vforge.vsphere/simulator/internal/vdisk"
)

// freezeWith puts scripts on golden-parent and runs the first, which freezes it.
func (b *bench) freezeWith(scripts map[string]string) *inside {
	b.Helper()
	b.patch("golden-parent", map[string]any{"guest": map[string]any{"files": scripts}})
	in := b.inside(b.parent().Reference())
	in.start("/bin/sh", "/root/freeze.sh > /tmp/log 2>&1")
	b.frozen(in.vm)
	return in
}

func withInfo(pairs map[string]string) func(*types.VirtualMachineInstantCloneSpec) {
	return func(spec *types.VirtualMachineInstantCloneSpec) {
		for k, v := range pairs {
			spec.Config = append(spec.Config, &types.OptionValue{Key: "guestinfo." + k, Value: v})
		}
	}
}

// reports waits until a VM's guest reports as ready says.
func (b *bench) reports(vm types.ManagedObjectReference, ready func(*types.GuestInfo) bool) *types.GuestInfo {
	b.Helper()
	var last mo.VirtualMachine
	err := property.Wait(b.ctx, property.DefaultCollector(b.client), vm, []string{"guest.net", "guest.hostName", "guest.toolsRunningStatus"},
		func([]types.PropertyChange) bool {
			last = b.read(vm)
			return ready(last.Guest)
		})
	if err != nil {
		b.Fatalf("%v; the guest reports %+v", err, last.Guest)
	}
	return last.Guest
}

func nicMAC(vm mo.VirtualMachine) string {
	for _, d := range vm.Config.Hardware.Device {
		if card, ok := d.(types.BaseVirtualEthernetCard); ok {
			return card.GetVirtualEthernetCard().MacAddress
		}
	}
	return ""
}

func TestFreezingFromWithin(t *testing.T) {
	b := start(t)
	in := b.freezeWith(map[string]string{"/root/freeze.sh": "vmware-rpctool instantclone.freeze; echo on"})
	vm := b.read(in.vm)
	if vm.Runtime.PowerState != core.PoweredOn || !*vm.Runtime.InstantCloneFrozen || !*vm.Summary.Runtime.InstantCloneFrozen {
		t.Errorf("runtime is %+v", vm.Runtime)
	}
	if vm.Guest.ToolsRunningStatus != string(types.VirtualMachineToolsRunningStatusGuestToolsNotRunning) || *vm.Guest.GuestOperationsReady {
		t.Errorf("Tools of a frozen guest read as %s", vm.Guest.ToolsRunningStatus)
	}
	_, err := in.pm.ListProcesses(b.ctx, in.auth, nil)
	b.wantFault(b.callFault(err), &types.GuestOperationsUnavailable{})
	deltas := vdisk.DeltasOf(b.sim.VM(in.vm))
	b.clone("one")
	b.clone("two")
	if n := vdisk.DeltasOf(b.sim.VM(in.vm)); n != deltas {
		t.Errorf("a frozen parent went from %d deltas to %d", deltas, n)
	}
	b.reset("golden-parent")
	if vm := b.read(in.vm); *vm.Runtime.InstantCloneFrozen {
		t.Error("a reset left the parent frozen")
	}
	if log := b.guestFile("golden-parent", "/tmp/log"); log != "" {
		t.Errorf("the parent went on: %q", log)
	}
	list, err := in.pm.ListProcesses(b.ctx, in.auth, nil)
	if err != nil || len(list) != 2 { // those of the system
		t.Errorf("after the reset run %+v, %v", list, err)
	}
}

func TestACloneHasItsParentsNetworkUntilItsScriptChangesThat(t *testing.T) {
	b := start(t)
	parent := b.read(b.parent().Reference())
	b.freezeWith(map[string]string{"/root/freeze.sh": `vmware-rpctool instantclone.freeze
while [ "$(vmware-rpctool "info-get guestinfo.go" 2>/dev/null)" != yes ]; do sleep 0.01; done
modprobe -r vmxnet3
modprobe vmxnet3
hostname woken`})
	ref := b.clone("clone", withInfo(map[string]string{"ipv4": "192.0.2.99", "hostname": "ignored"}))
	g := b.reports(ref, func(g *types.GuestInfo) bool { return len(g.Net) > 0 })
	if g.IpAddress != parent.Guest.IpAddress || g.HostName != "golden-parent" || g.Net[0].MacAddress != nicMAC(parent) || g.Net[0].DeviceConfigId != -1 {
		t.Errorf("before, the clone reports %s, %s, %+v", g.HostName, g.IpAddress, g.Net)
	}
	b.result(b.reconfigured(ref, types.VirtualMachineConfigSpec{ExtraConfig: []types.BaseOptionValue{
		&types.OptionValue{Key: "guestinfo.go", Value: "yes"},
	}}))
	g = b.reports(ref, func(g *types.GuestInfo) bool { return g.HostName == "woken" })
	vm := b.read(ref)
	if g.Net[0].MacAddress != nicMAC(vm) || g.Net[0].DeviceConfigId != 4000 {
		t.Errorf("after, the clone's card is %+v", g.Net)
	}
	if g.IpAddress == parent.Guest.IpAddress || g.IpAddress == "192.0.2.99" || g.IpAddress == "" {
		t.Errorf("after, the clone has %q: not what DHCP gives to its own card", g.IpAddress)
	}
}

func TestACloneOfAParentFrozenFromOutsideSetsItselfUp(t *testing.T) {
	b := start(t)
	b.patch("golden-parent", map[string]any{"frozen": true, "guest": map[string]any{"users": map[string]string{"ann": "pw"}}})
	ref := b.clone("clone", withInfo(map[string]string{"ipv4": "192.0.2.9", "hostname": "named"}))
	g := b.reports(ref, func(g *types.GuestInfo) bool { return len(g.Net) > 0 })
	if g.HostName != "named" || g.IpAddress != "192.0.2.9" || g.Net[0].MacAddress != nicMAC(b.read(ref)) {
		t.Errorf("the clone reports %s, %s, %+v", g.HostName, g.IpAddress, g.Net)
	}
	if err := b.inside(ref).am.ValidateCredentials(b.ctx, login("ann", "pw")); err != nil {
		t.Errorf("a clone has not its parent's users: %v", err)
	}
}

func TestFreezingNeedsARelease(t *testing.T) {
	b := start(t, func(c *settings.Config) { c.APIVersion = "6.5" })
	in := b.inside(b.parent().Reference())
	if code := in.ended(in.start("/bin/sh", `-c 'vmware-rpctool instantclone.freeze' > /tmp/log 2>&1`)); code != 1 {
		t.Errorf("exit code %d", code)
	}
	if log := b.guestFile("golden-parent", "/tmp/log"); log != "Unknown command\n" {
		t.Errorf("output %q", log)
	}
}

// The scripts that come with the collection, on the guests that they are for.
func TestTheCollectionsScriptsWakeClones(t *testing.T) {
	folder := filepath.Join("..", "..", "..", "..", "plugins", "plugin_utils", "guest_scripts")
	if _, err := os.Stat(folder); err != nil {
		t.Skip("the simulator is not in the collection's tree")
	}
	part := func(name string) string {
		text, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(text) + "\n"
	}
	for name, c := range map[string]struct {
		parts   []string
		missing []string
		info    map[string]string
		addr    string // empty for DHCP
	}{
		"networkmanager":      {[]string{"networkmanager.sh", "linux_steps.sh"}, []string{"netplan"}, map[string]string{"ipv4": "192.0.2.9/25", "gateway": "192.0.2.1", "dns": "192.0.2.2,192.0.2.3"}, "192.0.2.9"},
		"networkmanager dhcp": {[]string{"networkmanager.sh", "linux_steps.sh"}, nil, nil, ""},
		"netplan":             {[]string{"netplan.sh", "linux_steps.sh"}, []string{"nmcli"}, map[string]string{"ipv4": "192.0.2.9", "gateway": "192.0.2.1", "dns": "192.0.2.2"}, "192.0.2.9"},
		"netplan dhcp":        {[]string{"netplan.sh", "linux_steps.sh"}, []string{"nmcli"}, nil, ""},
		"ifcfg":               {[]string{"ifcfg.sh", "linux_steps.sh"}, []string{"nmcli", "netplan"}, map[string]string{"ipv4": "192.0.2.9/25", "gateway": "192.0.2.1", "dns": "192.0.2.2"}, "192.0.2.9"},
		"ifcfg dhcp":          {[]string{"ifcfg.sh", "linux_steps.sh"}, []string{"nmcli", "netplan"}, nil, ""},
		"cloud-init": {[]string{"cloud_init_steps.sh"}, nil, map[string]string{
			"metadata": "instance-id: clone-1\nlocal-hostname: woken\nnetwork:\n  version: 2\n  ethernets:\n    nics:\n      match: {name: ens*}\n      addresses: [192.0.2.9/25]\n",
		}, "192.0.2.9"},
	} {
		t.Run(name, func(t *testing.T) {
			b := start(t)
			wakeUp := part("linux.sh")
			for _, p := range c.parts {
				wakeUp += part(p)
			}
			b.patch("golden-parent", map[string]any{"guest": map[string]any{"missing": append([]string{}, c.missing...)}})
			b.freezeWith(map[string]string{
				"/root/freeze.sh": "/bin/sh -n /root/wake.sh || exit 70\nvmware-rpctool instantclone.freeze || exit 72\n/bin/sh /root/wake.sh || exit 73\necho woke",
				"/root/wake.sh":   wakeUp,
			})
			info := map[string]string{"hostname": "woken"}
			for k, v := range c.info {
				info[k] = v
			}
			parent := b.read(b.parent().Reference())
			ref := b.clone("clone", withInfo(info))
			in := b.inside(ref)
			b.reports(ref, func(g *types.GuestInfo) bool { return len(g.Net) > 0 })
			var pid int64
			list, err := in.pm.ListProcesses(b.ctx, in.auth, nil)
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range list {
				pid = max(pid, p.Pid)
			}
			code := in.ended(pid)
			if log := b.guestFile("clone", "/tmp/log"); code != 0 {
				t.Fatalf("exit code %d: %s", code, log)
			}
			vm := b.read(ref)
			g := vm.Guest
			if g.HostName != "woken" || g.Net[0].MacAddress != nicMAC(vm) {
				t.Errorf("the clone reports %s, %+v", g.HostName, g.Net)
			}
			if c.addr != "" && g.IpAddress != c.addr || g.IpAddress == "" || g.IpAddress == parent.Guest.IpAddress {
				t.Errorf("the clone has %q, want %q", g.IpAddress, c.addr)
			}
			for _, file := range []string{"/etc/machine-id"} {
				if b.guestFile("clone", file) == b.guestFile("golden-parent", file) {
					t.Errorf("%s is the parent's", file)
				}
			}
		})
	}
}
