// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package sim

import (
	"net/http"
	"strings"
	"testing"

	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/property"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/guestinfo"
	"vforge.vsphere/simulator/internal/settings"
)

// offWith makes a VM that is off and has these pairs in its extra configuration.
func (b *bench) offWith(name string, config map[string]string) *object.VirtualMachine {
	b.Helper()
	body := map[string]any{"name": name, "on": false, "extra_config": config}
	if status := b.control("POST", "/vms", body, nil); status != http.StatusOK {
		b.Fatalf("POST /vms: %d", status)
	}
	return object.NewVirtualMachine(b.client, b.find("/DC0/vm/"+name))
}

// told waits until a pair of extra configuration has a value.
func (b *bench) told(vm types.ManagedObjectReference, key, value string) {
	b.Helper()
	err := property.Wait(b.ctx, property.DefaultCollector(b.client), vm, []string{"config.extraConfig"}, func([]types.PropertyChange) bool {
		return guestinfo.ExtraValue(b.read(vm).Config.ExtraConfig, key) == value
	})
	if err != nil {
		b.Fatal(err)
	}
}

const bootMetadata = `{"instance-id": "i-1", "local-hostname": "booted", "redact": ["userdata"],
"network": {"version": 2, "ethernets": {"nics": {"match": {"name": "ens*"}, "addresses": ["192.0.2.9/24"]}}}}`

const tellHook = "#cloud-boothook\n#!/bin/sh\nvmware-rpctool \"info-set guestinfo.told $(cat /var/lib/cloud/data/instance-id)\"\n"

func TestABootSetsAGuestUpFromGuestinfo(t *testing.T) {
	b := start(t)
	vm := b.offWith("boots", map[string]string{
		"guestinfo.metadata": bootMetadata, "guestinfo.userdata": "#!/bin/sh\ntouch /etc/by-script\n",
		"guestinfo.vendordata": tellHook,
	})
	task, err := vm.PowerOn(b.ctx)
	if err != nil {
		t.Fatal(err)
	}
	b.result(task)
	b.told(vm.Reference(), "guestinfo.told", "i-1")
	seen := b.until(vm.Reference(), hasIP)
	if seen.Guest.HostName != "booted" || seen.Guest.IpAddress != "192.0.2.9" {
		t.Errorf("the guest is %s at %s", seen.Guest.HostName, seen.Guest.IpAddress)
	}
	for key, want := range map[string]string{
		"guestinfo.local-ipv4": "192.0.2.9", "guestinfo.userdata": "---", "guestinfo.userdata.encoding": " ", "guestinfo.metadata": bootMetadata,
	} {
		if got := guestinfo.ExtraValue(seen.Config.ExtraConfig, key); got != want {
			t.Errorf("%s is %q, want %q", key, got, want)
		}
	}
	b.guestFile("boots", "/etc/by-script")
}

func TestEncodingsAreComparedLetterByLetter(t *testing.T) {
	b := start(t)
	vm := b.offWith("shouting", map[string]string{"guestinfo.metadata": "e30=", "guestinfo.metadata.encoding": "BASE64"})
	task, err := vm.PowerOn(b.ctx)
	if err != nil {
		t.Fatal(err)
	}
	b.result(task)
	if v := b.until(vm.Reference(), hasIP); guestinfo.ExtraValue(v.Config.ExtraConfig, "guestinfo.local-ipv4") != "" {
		t.Error("an encoding that cloud-init does not know was taken for one that it does")
	}
}

func prepSpec(metadata, userdata string) types.CustomizationSpec {
	return types.CustomizationSpec{
		Options: &types.CustomizationLinuxOptions{}, Identity: &types.CustomizationCloudinitPrep{Metadata: metadata, Userdata: userdata},
	}
}

func TestACustomizationByCloudInitWaitsForTheNextStart(t *testing.T) {
	b := start(t)
	vm := b.offWith("prepared", nil)
	customize := func(spec types.CustomizationSpec) *object.Task {
		t.Helper()
		task, err := vm.Customize(b.ctx, spec)
		if err != nil {
			t.Fatal(err)
		}
		return task
	}
	b.wantFault(b.taskFault(customize(prepSpec("", ""))), &types.InvalidArgument{})
	b.wantFault(b.taskFault(customize(prepSpec(strings.Repeat("x", 512<<10+1), ""))), &types.InvalidArgument{})
	b.wantFault(b.taskFault(customize(prepSpec("{}", strings.Repeat("x", 512<<10+1)))), &types.InvalidArgument{})
	b.result(customize(prepSpec(bootMetadata, "#!/bin/sh\ntouch /etc/by-script\n")))
	b.wantFault(b.taskFault(customize(prepSpec(bootMetadata, ""))), &types.CustomizationPending{})
	task, err := vm.PowerOn(b.ctx)
	if err != nil {
		t.Fatal(err)
	}
	b.result(task)
	b.told(vm.Reference(), "guestinfo.local-ipv4", "192.0.2.9")
	seen := b.until(vm.Reference(), hasIP)
	if seen.Guest.HostName != "booted" || seen.Guest.CustomizationInfo == nil {
		t.Errorf("the guest is %s, customized %+v", seen.Guest.HostName, seen.Guest.CustomizationInfo)
	}
	b.wantFault(b.taskFault(customize(prepSpec(bootMetadata, ""))), &types.InvalidPowerState{})
}

func TestOldReleasesKnowNoCustomizationByCloudInit(t *testing.T) {
	b := start(t, func(c *settings.Config) { c.APIVersion = "7.0.2.0" })
	task, err := b.offWith("old", nil).Customize(b.ctx, prepSpec("{}", ""))
	if err != nil {
		t.Fatal(err)
	}
	b.wantFault(b.taskFault(task), &types.InvalidArgument{})
}
