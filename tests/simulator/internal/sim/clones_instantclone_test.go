// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package sim

import (
	"os"
	"strings"
	"testing"

	"github.com/vmware/govmomi/event"
	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/core"
	"vforge.vsphere/simulator/internal/dsfiles"
	"vforge.vsphere/simulator/internal/guestinfo"
	"vforge.vsphere/simulator/internal/lookup"
	"vforge.vsphere/simulator/internal/settings"
	"vforge.vsphere/simulator/internal/vdisk"
	"vforge.vsphere/simulator/internal/vhardware"
)

type cloneChange = func(*types.VirtualMachineInstantCloneSpec)

// firstNIC returns a VM's first card.
func firstNIC(vm mo.VirtualMachine) *types.VirtualEthernetCard {
	for _, d := range vm.Config.Hardware.Device {
		if c, ok := d.(types.BaseVirtualEthernetCard); ok {
			return c.GetVirtualEthernetCard()
		}
	}
	return nil
}

// editNIC makes an edit of the first card of the parent.
func editNIC(change func(*types.VirtualEthernetCard)) cloneChange {
	return func(s *types.VirtualMachineInstantCloneSpec) {
		card := &types.VirtualVmxnet3{}
		card.Key = vhardware.KeyNIC
		change(&card.VirtualEthernetCard)
		s.Location.DeviceChange = append(s.Location.DeviceChange, &types.VirtualDeviceConfigSpec{
			Operation: types.VirtualDeviceConfigSpecOperationEdit, Device: card,
		})
	}
}

func (b *bench) dvpg(name string) types.BaseVirtualDeviceBackingInfo {
	b.Helper()
	net, ok := b.sim.NetworkByRef(b.find("/DC0/network/" + name))
	if !ok {
		b.Fatalf("%s is no network", name)
	}
	return net.Backing()
}

func TestCloneIsLikeItsParentWithAnIdentityOfItsOwn(t *testing.T) {
	b := start(t)
	parent := b.read(b.parent().Reference())
	vm := b.read(b.clone("web-1"))
	if vm.Name != "web-1" || vm.Config.Name != "web-1" || vm.Summary.Config.Name != "web-1" {
		t.Errorf("names %q, %q, %q", vm.Name, vm.Config.Name, vm.Summary.Config.Name)
	}
	if vm.Runtime.PowerState != core.PoweredOn || *vm.Runtime.Host != *parent.Runtime.Host || *vm.ResourcePool != *parent.ResourcePool {
		t.Errorf("runtime %+v, pool %v", vm.Runtime, vm.ResourcePool)
	}
	if vm.Parent.Value != b.find("/DC0/vm").Value {
		t.Errorf("folder %v, want the datacenter's", vm.Parent)
	}
	if vm.Config.Uuid == parent.Config.Uuid || vm.Config.InstanceUuid == parent.Config.InstanceUuid || !vhardware.ValidUUID(vm.Config.Uuid) {
		t.Errorf("UUIDs %s, %s", vm.Config.Uuid, vm.Config.InstanceUuid)
	}
	nic, old := firstNIC(vm), firstNIC(parent)
	if nic.MacAddress == old.MacAddress || nic.AddressType != "assigned" || !strings.HasPrefix(nic.MacAddress, "00:50:56:") {
		t.Errorf("MAC address %s (%s), the parent's is %s", nic.MacAddress, nic.AddressType, old.MacAddress)
	}
	if vm.Config.Hardware.NumCPU != parent.Config.Hardware.NumCPU || len(vm.Config.Hardware.Device) != len(parent.Config.Hardware.Device) {
		t.Errorf("hardware %+v", vm.Config.Hardware)
	}
}

func TestCloneGoesWhereItIsTold(t *testing.T) {
	b := start(t)
	folder, pool, ds := b.find("/DC0/vm/DC0_F1"), b.find("/DC0/host/DC0_C0/Resources/DC0_C0_RP2"), b.find("/DC0/datastore/LocalDS_1")
	ref := b.clone("placed", func(s *types.VirtualMachineInstantCloneSpec) {
		s.Location.Folder, s.Location.Pool, s.Location.Datastore = &folder, &pool, &ds
		s.BiosUuid = "12345678-abcd-1234-cdef-123456789abc"
	})
	vm := b.read(ref)
	if *vm.Parent != folder || *vm.ResourcePool != pool || vm.Datastore[0] != ds || vm.Config.Uuid != "12345678-abcd-1234-cdef-123456789abc" {
		t.Errorf("folder %v, pool %v, datastores %v, UUID %s", vm.Parent, vm.ResourcePool, vm.Datastore, vm.Config.Uuid)
	}
	if !strings.HasPrefix(vm.Config.Files.VmPathName, "[LocalDS_1] placed/") {
		t.Errorf("configuration file %s", vm.Config.Files.VmPathName)
	}
	b.find("/DC0/vm/DC0_F1/placed")
}

func TestExtraConfigIsMergedOverTheParents(t *testing.T) {
	b := start(t)
	b.control("POST", "/vms", map[string]any{"name": "seeded", "extra_config": map[string]string{
		"guestinfo.kept": "parent", "guestinfo.changed": "parent", "guestinfo.dropped": "parent",
	}}, nil)
	seed := object.NewVirtualMachine(b.client, b.find("/DC0/vm/seeded"))
	task, err := seed.InstantClone(b.ctx, cloneSpec("merged", func(s *types.VirtualMachineInstantCloneSpec) {
		for k, v := range map[string]string{"guestinfo.changed": "clone", "guestinfo.new": "clone", "guestinfo.dropped": ""} {
			s.Config = append(s.Config, &types.OptionValue{Key: k, Value: v})
		}
	}))
	if err != nil {
		t.Fatal(err)
	}
	vm := b.read(b.result(task))
	for key, want := range map[string]string{
		"guestinfo.kept": "parent", "guestinfo.changed": "clone", "guestinfo.new": "clone", "guestinfo.dropped": "",
	} {
		if got := guestinfo.ExtraValue(vm.Config.ExtraConfig, key); got != want {
			t.Errorf("%s is %q, want %q", key, got, want)
		}
	}
	if n := len(b.read(seed.Reference()).Config.ExtraConfig); n != 3 {
		t.Errorf("the parent has %d pairs now", n)
	}
}

func TestCardEdits(t *testing.T) {
	b := start(t)
	for name, c := range map[string]struct {
		edit func(*bench) cloneChange
		good func(*bench, *types.VirtualEthernetCard) bool
	}{
		"distributed port group": {
			func(b *bench) cloneChange {
				return editNIC(func(n *types.VirtualEthernetCard) { n.Backing = b.dvpg("DC0_DVPG1") })
			},
			func(b *bench, n *types.VirtualEthernetCard) bool {
				ref, _ := lookup.BackingNetwork(n.Backing)
				return ref == b.find("/DC0/network/DC0_DVPG1") && n.AddressType == "assigned"
			},
		},
		"standard network": {
			func(b *bench) cloneChange {
				return editNIC(func(n *types.VirtualEthernetCard) { n.Backing = b.dvpg("VM Network") })
			},
			func(b *bench, n *types.VirtualEthernetCard) bool {
				ref, _ := lookup.BackingNetwork(n.Backing)
				return ref == b.find("/DC0/network/VM Network")
			},
		},
		"manual address": {
			func(*bench) cloneChange {
				return editNIC(func(n *types.VirtualEthernetCard) { n.AddressType, n.MacAddress = "manual", "00:50:56:01:02:03" })
			},
			func(_ *bench, n *types.VirtualEthernetCard) bool {
				return n.MacAddress == "00:50:56:01:02:03" && n.AddressType == "manual"
			},
		},
		"the parent's address sent back": {
			func(b *bench) cloneChange {
				old := *firstNIC(b.read(b.parent().Reference()))
				return editNIC(func(n *types.VirtualEthernetCard) { n.AddressType, n.MacAddress = old.AddressType, old.MacAddress })
			},
			func(b *bench, n *types.VirtualEthernetCard) bool {
				return n.AddressType == "assigned" && n.MacAddress != firstNIC(b.read(b.parent().Reference())).MacAddress
			},
		},
		"disconnected": {
			func(*bench) cloneChange {
				return editNIC(func(n *types.VirtualEthernetCard) {
					n.Connectable = &types.VirtualDeviceConnectInfo{Connected: false, StartConnected: false}
				})
			},
			func(_ *bench, n *types.VirtualEthernetCard) bool { return !n.Connectable.Connected },
		},
	} {
		t.Run(name, func(t *testing.T) {
			if nic := firstNIC(b.read(b.clone(name, c.edit(b)))); !c.good(b, nic) {
				t.Errorf("card %+v, backing %+v", nic, nic.Backing)
			}
		})
	}
}

func TestAnAddressThatWasGivenByHandIsKeptUnlessAnEditTakesIt(t *testing.T) {
	b := start(t)
	manual := editNIC(func(n *types.VirtualEthernetCard) { n.AddressType, n.MacAddress = "manual", "00:50:56:01:02:03" })
	assigned := editNIC(func(n *types.VirtualEthernetCard) { n.AddressType = "assigned" })
	parent := object.NewVirtualMachine(b.client, b.clone("by-hand", manual))
	card := func(spec types.VirtualMachineInstantCloneSpec) *types.VirtualEthernetCard {
		task, err := parent.InstantClone(b.ctx, spec)
		if err != nil {
			t.Fatal(err)
		}
		return firstNIC(b.read(b.result(task)))
	}
	kept, other := card(cloneSpec("kept")), card(cloneSpec("other", assigned))
	if kept.MacAddress != "00:50:56:01:02:03" || other.MacAddress == kept.MacAddress || other.AddressType != "assigned" {
		t.Errorf("cards %+v and %+v", kept, other)
	}
}

func TestAnAddressInUseIsNotRefused(t *testing.T) {
	b := start(t)
	manual := editNIC(func(n *types.VirtualEthernetCard) { n.AddressType, n.MacAddress = "manual", "00:50:56:01:02:03" })
	b.clone("one", manual)
	b.clone("two", manual)
}

func TestRunningParentGrowsADeltaForEachClone(t *testing.T) {
	b := start(t)
	before := b.read(b.parent().Reference())
	base := vdisk.DiskChain(vdisk.DisksOf(before.Config.Hardware.Device)[0])[0].FileName
	first := b.read(b.clone("first"))
	second := b.read(b.clone("second"))
	chain := func(vm mo.VirtualMachine) (names []string) {
		for _, l := range vdisk.DiskChain(vdisk.DisksOf(vm.Config.Hardware.Device)[0]) {
			names = append(names, strings.TrimSuffix(strings.TrimPrefix(l.FileName, "[LocalDS_0] "), ".vmdk"))
		}
		return names
	}
	parent := b.read(b.parent().Reference())
	for name, c := range map[string]struct {
		vm   mo.VirtualMachine
		want string
	}{
		"parent": {parent, "golden-parent/golden-parent-000002 golden-parent/golden-parent-000001 golden-parent/golden-parent"},
		"first":  {first, "first/first-000001 golden-parent/golden-parent"},
		"second": {second, "second/second-000001 golden-parent/golden-parent-000001 golden-parent/golden-parent"},
	} {
		if got := strings.Join(chain(c.vm), " "); got != c.want {
			t.Errorf("%s has layers %s, want %s", name, got, c.want)
		}
	}
	units := parent.LayoutEx.Disk[0].Chain
	if len(units) != 3 || parent.LayoutEx.File[units[0].FileKey[0]].Name != base {
		t.Errorf("layoutEx has %d units, the first of %v", len(units), units[0])
	}
	for _, f := range parent.LayoutEx.File {
		ds, p := dsfiles.Split(f.Name)
		at, _ := b.sim.DatastoreOf(b.sim.VM(parent.Self), ds)
		if info, err := os.Stat(dsfiles.Local(at, p)); err != nil || info.Size() != f.Size {
			t.Errorf("%s: %v, size %d", f.Name, err, f.Size)
		}
	}
	if parent.Snapshot != nil {
		t.Error("the deltas are no snapshots")
	}
}

func TestFrozenParentStaysAsItIs(t *testing.T) {
	b := start(t)
	b.patch("golden-parent", map[string]any{"frozen": true})
	before := b.read(b.parent().Reference())
	if before.Runtime.PowerState != core.PoweredOn || !*before.Runtime.InstantCloneFrozen || before.Guest.ToolsRunningStatus != "guestToolsNotRunning" {
		t.Errorf("frozen: runtime %+v, tools %s", before.Runtime, before.Guest.ToolsRunningStatus)
	}
	for _, name := range []string{"f1", "f2", "f3"} {
		vm := b.read(b.clone(name))
		if n := len(vdisk.DiskChain(vdisk.DisksOf(vm.Config.Hardware.Device)[0])); n != 2 || *vm.Runtime.InstantCloneFrozen {
			t.Errorf("%s has %d layers, frozen %v", name, n, *vm.Runtime.InstantCloneFrozen)
		}
	}
	after := b.read(b.parent().Reference())
	if n := len(vdisk.DiskChain(vdisk.DisksOf(after.Config.Hardware.Device)[0])); n != 1 || len(after.LayoutEx.File) != len(before.LayoutEx.File) {
		t.Errorf("the frozen parent has %d layers and %d files now", n, len(after.LayoutEx.File))
	}
}

func TestNamesAreEscaped(t *testing.T) {
	b := start(t)
	for name, kept := range map[string]string{
		"a/b": "a%2fb", `c\d`: "c%5cd", "50%": "50%25", "d%2fe": "d%2fe", "a%2Fc": "a%2fc", "mit Leerzeichen": "mit Leerzeichen", "grün-東京": "grün-東京",
	} {
		if vm := b.read(b.clone(name)); vm.Name != kept {
			t.Errorf("%q is kept as %q, want %q", name, vm.Name, kept)
		}
		b.find("/DC0/vm/" + kept)
	}
}

func TestEventsOfAClone(t *testing.T) {
	b := start(t)
	ref := b.clone("eventful")
	m := event.NewManager(b.client)
	kinds := func(ref types.ManagedObjectReference) (out []string) {
		events, err := m.QueryEvents(b.ctx, types.EventFilterSpec{Entity: &types.EventFilterSpecByEntity{
			Entity: ref, Recursion: types.EventFilterSpecRecursionOptionSelf,
		}})
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range events {
			switch e := e.(type) {
			case *types.VmBeingClonedEvent:
				out = append(out, "being cloned to "+e.DestName+" by "+e.UserName)
			case *types.VmClonedEvent:
				out = append(out, "cloned from "+e.SourceVm.Name)
			case *types.VmPoweredOnEvent:
				out = append(out, "on")
			}
		}
		return out
	}
	if got := strings.Join(kinds(b.parent().Reference()), ", "); !strings.Contains(got, "being cloned to eventful by "+b.sim.Cfg.Username) {
		t.Errorf("events of the parent: %s", got)
	}
	if got := strings.Join(kinds(ref), ", "); !strings.Contains(got, "cloned from golden-parent") || !strings.Contains(got, "on") {
		t.Errorf("events of the clone: %s", got)
	}
}

func TestAVMOfALargeInventoryCanBeAParent(t *testing.T) {
	b := start(t, func(c *settings.Config) { c.VMs = 500 + 1 })
	vm := object.NewVirtualMachine(b.client, b.find("/DC0/vm/server-00001"))
	before := b.read(vm.Reference())
	if before.LayoutEx.File[len(before.LayoutEx.File)-1].Size != 10<<30 {
		t.Errorf("files %+v", before.LayoutEx.File)
	}
	task, err := vm.InstantClone(b.ctx, cloneSpec("of-plain"))
	if err != nil {
		t.Fatal(err)
	}
	b.destroy(b.result(task))
	b.destroy(vm.Reference())
}
