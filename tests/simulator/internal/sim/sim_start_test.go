// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package sim

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vmware/govmomi/find"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/certs"
	"vforge.vsphere/simulator/internal/core"
	"vforge.vsphere/simulator/internal/guests"
	"vforge.vsphere/simulator/internal/settings"
	"vforge.vsphere/simulator/internal/vdisk"
)

func TestStateFiles(t *testing.T) {
	b := start(t)
	dir := b.sim.Cfg.StateDir
	text, err := os.ReadFile(filepath.Join(dir, "ready.json"))
	if err != nil {
		t.Fatal(err)
	}
	var ready readyFile
	if err := json.Unmarshal(text, &ready); err != nil {
		t.Fatal(err)
	}
	if ready.URL != b.sim.URL().String() || ready.PID != os.Getpid() || ready.Port == 0 || ready.Control != b.sim.ControlURL() {
		t.Errorf("ready.json: %+v", ready)
	}
	for name, mode := range map[string]os.FileMode{"password": 0o600, "ca.pem": 0o644, "url": 0o644, "control-url": 0o644, "thumbprint": 0o644} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v; want %v", name, info.Mode(), err, mode)
		}
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("state directory: %v, %v", info.Mode(), err)
	}
}

func TestCloseLeavesNothingReady(t *testing.T) {
	cfg := settings.DefaultConfig()
	cfg.StateDir = t.TempDir()
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"ready.json", "datastores"} {
		if _, err := os.Stat(filepath.Join(cfg.StateDir, name)); !os.IsNotExist(err) {
			t.Errorf("%s is still there: %v", name, err)
		}
	}
}

func TestConfigIsChecked(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*settings.Config)
		says   string
	}{
		"no state directory": {func(c *settings.Config) { c.StateDir = "" }, "--state-dir"},
		"certificate":        {func(c *settings.Config) { c.Cert = "pretty" }, "--cert"},
		"API version":        {func(c *settings.Config) { c.APIVersion = "8.0" }, "--api-version"},
		"old API version":    {func(c *settings.Config) { c.APIVersion = "5.5" }, "--api-version"},
		"control address":    {func(c *settings.Config) { c.Control = "0.0.0.0:0" }, "loopback"},
		"control host":       {func(c *settings.Config) { c.Control = "example.test:0" }, "loopback"},
		"listen address":     {func(c *settings.Config) { c.Listen = "nowhere" }, "--listen"},
		"no host":            {func(c *settings.Config) { c.Hosts = 0 }, "--hosts"},
		"negative VMs":       {func(c *settings.Config) { c.VMs = -1 }, "--vms"},
		"negative time":      {func(c *settings.Config) { c.CloneTime = -1 }, "--clone-time"},
		"no user":            {func(c *settings.Config) { c.Username = "" }, "--username"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := settings.DefaultConfig()
			cfg.StateDir = t.TempDir()
			c.change(&cfg)
			if err := cfg.Validate(); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("error %v, want one that says %q", err, c.says)
			}
		})
	}
}

func TestCertificates(t *testing.T) {
	for _, kind := range settings.CertKinds {
		t.Run(string(kind), func(t *testing.T) {
			id, err := certs.New(kind)
			if err != nil {
				t.Fatal(err)
			}
			pool := x509.NewCertPool()
			if !pool.AppendCertsFromPEM(id.CAPEM) {
				t.Fatal("ca.pem holds no certificate")
			}
			leaf, err := x509.ParseCertificate(id.Leaf.Certificate[0])
			if err != nil {
				t.Fatal(err)
			}
			for _, host := range []string{"127.0.0.1", "::1", "localhost"} {
				_, err := leaf.Verify(x509.VerifyOptions{Roots: pool, DNSName: host})
				if (err == nil) != (kind == settings.CertValid) {
					t.Errorf("verifying for %s: %v", host, err)
				}
			}
			if got := certs.Thumbprint(leaf.Raw); got != id.Thumbprint || len(got) != 95 {
				t.Errorf("thumbprint %q, want %q", id.Thumbprint, got)
			}
		})
	}
}

func TestEndpointPresentsTheCertificate(t *testing.T) {
	b := start(t)
	conn, err := tls.Dial("tcp", b.sim.SDKAddress.String(), &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if got := certs.Thumbprint(conn.ConnectionState().PeerCertificates[0].Raw); got != b.sim.Identity.Thumbprint {
		t.Errorf("presented %s, announced %s", got, b.sim.Identity.Thumbprint)
	}
}

func TestInventory(t *testing.T) {
	b := start(t, func(c *settings.Config) {
		c.Datacenters, c.Clusters, c.Hosts, c.Pools, c.Datastores = 2, 2, 3, 2, 3
		c.Portgroups, c.Folders, c.VMs, c.Parents = 2, 3, 40, 3
	})
	finder := find.NewFinder(b.client)
	for kind, want := range map[string]int{
		"Datacenter": 2, "ClusterComputeResource": 4, "HostSystem": 12, "ResourcePool": 12, "Datastore": 6, "VirtualMachine": 43,
	} {
		if got := len(b.sim.Reg.All(kind)); got != want {
			t.Errorf("%d objects of type %s, want %d", got, kind, want)
		}
	}
	for _, path := range []string{
		"/DC0/vm/golden-parent", "/DC1/vm/golden-parent-2", "/DC0/vm/golden-parent-3",
		"/DC0/network/VM Network", "/DC1/network/DC1_DVPG1", "/DC1/vm/DC1_F2", "/DC0/host/DC0_C1/Resources/DC0_C1_RP2",
	} {
		if _, err := finder.ManagedObjectListChildren(b.ctx, path); err != nil {
			t.Errorf("%s: %v", path, err)
		}
		b.find(path)
	}
	for _, e := range b.sim.Reg.All("VirtualMachine") {
		vm := b.read(e.Reference())
		if on := vm.Runtime.PowerState == core.PoweredOn; on != (vm.Guest.IpAddress != "") {
			t.Errorf("%s: powered on %v, address %q", vm.Name, on, vm.Guest.IpAddress)
		}
		mine, _ := b.sim.ComputeOf(*vm.Runtime.Host)
		if pools, _ := b.sim.ComputeOf(*vm.ResourcePool); mine != pools {
			t.Errorf("%s: host and pool are of different compute resources", vm.Name)
		}
	}
}

func TestParentIsReadyToBeCloned(t *testing.T) {
	b := start(t)
	vm := b.read(b.parent().Reference())
	if vm.Runtime.PowerState != core.PoweredOn || guests.Frozen(b.sim.VM(vm.Self)) || vm.Guest.ToolsRunningStatus != "guestToolsRunning" {
		t.Errorf("runtime %+v, tools %s", vm.Runtime, vm.Guest.ToolsRunningStatus)
	}
	disks := vdisk.DisksOf(vm.Config.Hardware.Device)
	if len(disks) != 1 || disks[0].CapacityInBytes != 10<<30 || len(vdisk.DiskChain(disks[0])) != 1 {
		t.Errorf("disks %+v", disks)
	}
	nics := 0
	for _, d := range vm.Config.Hardware.Device {
		if _, ok := d.(*types.VirtualVmxnet3); ok {
			nics++
		}
	}
	if nics != 1 || len(vm.Guest.Net) != 1 {
		t.Errorf("%d vmxnet3 cards, guest reports %d", nics, len(vm.Guest.Net))
	}
}

func TestManyVMsAreFoundByName(t *testing.T) {
	b := start(t, func(c *settings.Config) { c.VMs = 60 })
	for _, name := range []string{"server-00001", "server-00060"} {
		if _, err := b.sim.FindVM(name); err != nil {
			t.Error(err)
		}
	}
	if _, err := b.sim.FindVM("server-00061"); err == nil {
		t.Error("found a VM that is not there")
	}
}
