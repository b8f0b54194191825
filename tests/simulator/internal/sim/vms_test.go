// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package sim

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/core"
	"vforge.vsphere/simulator/internal/guestinfo"
	"vforge.vsphere/simulator/internal/ids"
	"vforge.vsphere/simulator/internal/inventory"
	"vforge.vsphere/simulator/internal/settings"
)

func TestPowerOffForgetsTheGuest(t *testing.T) {
	b := start(t)
	ref := b.clone("short-lived")
	b.until(ref, hasIP)
	b.power("short-lived", "off")
	vm := b.read(ref)
	if hasIP(vm) || len(vm.Guest.Net) != 0 || vm.Guest.HostName != "" || vm.Summary.Guest.IpAddress != "" ||
		vm.Guest.ToolsRunningStatus != "guestToolsNotRunning" || vm.Runtime.BootTime != nil || firstNIC(vm).Connectable.Connected {
		t.Errorf("guest %+v, runtime %+v", vm.Guest, vm.Runtime)
	}
	b.power("short-lived", "on")
	if vm := b.until(ref, hasIP); !firstNIC(vm).Connectable.Connected || vm.Runtime.BootTime == nil {
		t.Errorf("runtime %+v", vm.Runtime)
	}
}

func TestPowerStatesThatAreRefused(t *testing.T) {
	b := start(t)
	b.control("POST", "/vms", map[string]any{"name": "off", "on": false}, nil)
	b.control("POST", "/vms", map[string]any{"name": "mould", "template": true}, nil)
	b.control("POST", "/vms", map[string]any{"name": "asleep"}, nil)
	b.power("asleep", "suspend")
	vm := func(name string) *object.VirtualMachine {
		return object.NewVirtualMachine(b.client, b.find("/DC0/vm/"+name))
	}
	for name, c := range map[string]struct {
		do   func() (*object.Task, error)
		want types.BaseMethodFault
	}{
		"on when on":         {func() (*object.Task, error) { return vm("golden-parent").PowerOn(b.ctx) }, &types.InvalidPowerState{}},
		"off when off":       {func() (*object.Task, error) { return vm("off").PowerOff(b.ctx) }, &types.InvalidPowerState{}},
		"off when suspended": {func() (*object.Task, error) { return vm("asleep").PowerOff(b.ctx) }, &types.InvalidPowerState{}},
		"off of a template":  {func() (*object.Task, error) { return vm("mould").PowerOff(b.ctx) }, &types.NotSupported{}},
		"suspend when off":   {func() (*object.Task, error) { return vm("off").Suspend(b.ctx) }, &types.InvalidPowerState{}},
		"reset when off":     {func() (*object.Task, error) { return vm("off").Reset(b.ctx) }, &types.InvalidPowerState{}},
		"on of a template":   {func() (*object.Task, error) { return vm("mould").PowerOn(b.ctx) }, &types.NotSupported{}},
		"destroy when on":    {func() (*object.Task, error) { return vm("golden-parent").Destroy(b.ctx) }, &types.InvalidPowerState{}},
		"rename to a taken":  {func() (*object.Task, error) { return vm("off").Rename(b.ctx, "mould") }, &types.DuplicateName{}},
		"rename to nothing":  {func() (*object.Task, error) { return vm("off").Rename(b.ctx, "") }, &types.InvalidName{}},
	} {
		t.Run(name, func(t *testing.T) {
			task, err := c.do()
			if err != nil {
				t.Fatal(err)
			}
			b.wantFault(b.taskFault(task), c.want)
		})
	}
	b.wantFault(b.callFault(vm("golden-parent").Unregister(b.ctx)), &types.InvalidPowerState{})
	b.wantFault(b.callFault(vm("off").ShutdownGuest(b.ctx)), &types.InvalidPowerState{})
	b.patch("golden-parent", map[string]any{"tools": "notRunning"})
	b.wantFault(b.callFault(vm("golden-parent").ShutdownGuest(b.ctx)), &types.ToolsUnavailable{})
}

func TestATaskHasItsVMForItself(t *testing.T) {
	b := start(t, func(c *settings.Config) { c.ReconfigureTime = deadline })
	b.control("POST", "/vms", map[string]any{"name": "other"}, nil)
	vm, other := b.parent(), b.find("/DC0/vm/other")
	named := func(name string) types.VirtualMachineConfigSpec {
		return types.VirtualMachineConfigSpec{Annotation: name}
	}
	first, err := vm.Reconfigure(b.ctx, named("first"))
	if err != nil {
		t.Fatal(err)
	}
	_, again := vm.Reconfigure(b.ctx, named("second"))
	_, off := vm.PowerOff(b.ctx)
	_, snapshot := vm.CreateSnapshot(b.ctx, "s", "", false, false)
	for name, err := range map[string]error{"again": again, "off": off, "a snapshot": snapshot, "a shutdown": vm.ShutdownGuest(b.ctx)} {
		if fault, ok := b.callFault(err).(types.TaskInProgress); !ok || fault.Task != first.Reference() {
			t.Errorf("%s: %+v", name, fault)
		}
	}
	b.clone("beside") // clones share it
	if _, err := object.NewVirtualMachine(b.client, other).Reconfigure(b.ctx, named("other")); err != nil {
		t.Error(err)
	}
}

func TestMaintenanceKeepsVMsOff(t *testing.T) {
	b := start(t)
	b.power("golden-parent", "off")
	b.control("POST", "/hosts/DC0_C0_H0", map[string]any{"maintenance": true}, nil)
	task, err := b.parent().PowerOn(b.ctx)
	if err != nil {
		t.Fatal(err)
	}
	b.wantFault(b.taskFault(task), &types.InvalidState{})
	b.control("POST", "/hosts/DC0_C0_H0", map[string]any{"maintenance": false}, nil)
	b.power("golden-parent", "on")
}

func TestResetThawsAParent(t *testing.T) {
	b := start(t)
	b.patch("golden-parent", map[string]any{"frozen": true})
	task, err := b.parent().Reset(b.ctx)
	if err != nil {
		t.Fatal(err)
	}
	b.result(task)
	if vm := b.until(b.parent().Reference(), hasIP); *vm.Runtime.InstantCloneFrozen {
		t.Error("it is still frozen")
	}
}

func TestGuestShutdownEndsPoweredOff(t *testing.T) {
	b := start(t)
	ref := b.clone("sleepy")
	if vm := b.until(ref, hasIP); !*vm.Guest.GuestStateChangeSupported {
		t.Error("a guest with Tools running is not ready for soft power operations")
	}
	if err := object.NewVirtualMachine(b.client, ref).ShutdownGuest(b.ctx); err != nil {
		t.Fatal(err)
	}
	vm := b.until(ref, func(vm mo.VirtualMachine) bool { return vm.Runtime.PowerState == core.PoweredOff })
	if *vm.Guest.GuestStateChangeSupported {
		t.Error("a guest that is off is ready for soft power operations")
	}
}

func TestDestroyKeepsLayersThatOthersNeed(t *testing.T) {
	b := start(t)
	keeper := b.clone("keeper")
	b.clone("second")
	root := filepath.Join(inventory.DatastoreDir(b.sim.Cfg.StateDir), "DC0", "LocalDS_0")
	exists := func(name string) bool {
		_, err := os.Stat(filepath.Join(root, name))
		return err == nil
	}
	second := b.find("/DC0/vm/second")
	b.destroy(second)
	if exists("second") || b.sim.VM(second) != nil {
		t.Error("a clone that nobody builds on leaves files or itself behind")
	}
	b.destroy(b.find("/DC0/vm/golden-parent"))
	for name, want := range map[string]bool{
		"golden-parent/golden-parent.vmdk":        true, // the first clone builds on it
		"golden-parent/golden-parent-flat.vmdk":   true,
		"golden-parent/golden-parent-000001.vmdk": false,
		"golden-parent/golden-parent-000002.vmdk": false,
		"golden-parent/golden-parent.vmx":         false,
		"keeper/keeper-000001.vmdk":               true,
	} {
		if exists(name) != want {
			t.Errorf("%s exists: %v, want %v", name, !want, want)
		}
	}
	host := b.read(keeper).Runtime.Host
	var h mo.HostSystem
	if err := object.NewCommon(b.client, *host).Properties(b.ctx, *host, []string{"vm"}, &h); err != nil {
		t.Fatal(err)
	}
	for _, ref := range h.Vm {
		if b.sim.VM(ref) == nil {
			t.Errorf("the host still lists %v", ref)
		}
	}
}

func TestANameIsFreeAgainOnceItsHolderIsGone(t *testing.T) {
	b := start(t)
	first := b.clone("again")
	b.destroy(first)
	if second := b.clone("again"); second == first {
		t.Error("the same reference was given twice")
	}
}

func TestReconfigureOfARunningVM(t *testing.T) {
	b := start(t)
	ref := b.clone("changing")
	b.until(ref, hasIP)
	vm := object.NewVirtualMachine(b.client, ref)
	change := func(spec types.VirtualMachineConfigSpec) *object.Task {
		task, err := vm.Reconfigure(b.ctx, spec)
		if err != nil {
			t.Fatal(err)
		}
		return task
	}
	nic := func(f func(*types.VirtualEthernetCard)) types.VirtualMachineConfigSpec {
		var s types.VirtualMachineInstantCloneSpec
		editNIC(f)(&s)
		return types.VirtualMachineConfigSpec{DeviceChange: s.Location.DeviceChange}
	}
	before := b.read(ref)
	b.result(change(types.VirtualMachineConfigSpec{ExtraConfig: []types.BaseOptionValue{&types.OptionValue{Key: "guestinfo.role", Value: "db"}}}))
	b.result(change(nic(func(n *types.VirtualEthernetCard) { n.Backing = b.dvpg("DC0_DVPG1") })))
	after := b.until(ref, func(vm mo.VirtualMachine) bool {
		return len(vm.Guest.Net) == 1 && vm.Guest.Net[0].Network == "DC0_DVPG1"
	})
	if guestinfo.ExtraValue(after.Config.ExtraConfig, "guestinfo.role") != "db" || after.Config.ChangeVersion == before.Config.ChangeVersion {
		t.Errorf("configuration %+v", after.Config.ExtraConfig)
	}
	if firstNIC(after).MacAddress != firstNIC(before).MacAddress || after.Guest.IpAddress != before.Guest.IpAddress || len(after.Network) != 1 {
		t.Errorf("card %+v, networks %v", firstNIC(after), after.Network)
	}
	for name, c := range map[string]struct {
		spec types.VirtualMachineConfigSpec
		want types.BaseMethodFault
	}{
		"MAC address":    {nic(func(n *types.VirtualEthernetCard) { n.AddressType, n.MacAddress = "manual", "00:50:56:01:02:03" }), &types.InvalidPowerState{}},
		"BIOS UUID":      {types.VirtualMachineConfigSpec{Uuid: ids.NewUUID(0x42)}, &types.InvalidPowerState{}},
		"CPUs":           {types.VirtualMachineConfigSpec{NumCPUs: 8}, &types.CpuHotPlugNotSupported{}},
		"memory":         {types.VirtualMachineConfigSpec{MemoryMB: 8192}, &types.MemoryHotPlugNotSupported{}},
		"unknown card":   {nic(func(n *types.VirtualEthernetCard) { n.Key = 4077 }), &types.InvalidDeviceSpec{}},
		"old version":    {types.VirtualMachineConfigSpec{ChangeVersion: before.Config.ChangeVersion}, &types.ConcurrentAccess{}},
		"taken name":     {types.VirtualMachineConfigSpec{Name: "golden-parent"}, &types.DuplicateName{}},
		"pair of no key": {types.VirtualMachineConfigSpec{ExtraConfig: []types.BaseOptionValue{&types.OptionValue{}}}, &types.InvalidArgument{}},
	} {
		t.Run(name, func(t *testing.T) { b.wantFault(b.taskFault(change(c.spec)), c.want) })
	}
}

func TestReconfigureNeedsPrivileges(t *testing.T) {
	b := start(t)
	ref := b.parent().Reference()
	for privilege, change := range map[string]types.VirtualMachineConfigSpec{
		"VirtualMachine.Config.AdvancedConfig": {ExtraConfig: []types.BaseOptionValue{&types.OptionValue{Key: "guestinfo.a", Value: "b"}}},
		"VApp.ApplicationConfig":               {VAppConfigRemoved: types.NewBool(true)},
	} {
		_, err := object.NewVirtualMachine(b.as("VirtualMachine.Config.EditDevice"), ref).Reconfigure(b.ctx, change)
		if fault, ok := b.callFault(err).(types.NoPermission); !ok || fault.PrivilegeId != privilege {
			t.Errorf("without %s: fault %+v", privilege, fault)
		}
		task, err := object.NewVirtualMachine(b.as(privilege), ref).Reconfigure(b.ctx, change)
		if err != nil {
			t.Fatal(err)
		}
		b.result(task)
	}
}

func TestReadOnlyUserMayLookButNotTouch(t *testing.T) {
	b := start(t)
	c := b.as()
	vm := object.NewVirtualMachine(c, b.parent().Reference())
	if _, err := vm.ObjectName(b.ctx); err != nil {
		t.Error(err)
	}
	_, err := vm.PowerOff(b.ctx)
	b.wantFault(b.callFault(err), &types.NoPermission{})
	_, err = vm.Destroy(b.ctx)
	b.wantFault(b.callFault(err), &types.NoPermission{})
	_, err = methods.UpgradeTools_Task(b.ctx, c, &types.UpgradeTools_Task{This: vm.Reference()})
	b.wantFault(b.callFault(err), &types.NoPermission{})
}

func TestMoveBetweenPools(t *testing.T) {
	b := start(t)
	ref := b.clone("mover")
	move := func(path string) error {
		_, err := methods.MoveIntoResourcePool(b.ctx, b.client, &types.MoveIntoResourcePool{This: b.find(path), List: []types.ManagedObjectReference{ref}})
		return err
	}
	if err := move("/DC0/host/DC0_C0/Resources/DC0_C0_RP2"); err != nil {
		t.Fatal(err)
	}
	if pool := b.read(ref).ResourcePool; *pool != b.find("/DC0/host/DC0_C0/Resources/DC0_C0_RP2") {
		t.Errorf("pool %v", pool)
	}
	b.wantFault(b.callFault(move("/DC0/host/DC0_C1/Resources")), &types.InvalidArgument{})
}

func TestFoldersTakeANameOnce(t *testing.T) {
	b := start(t)
	root := object.NewFolder(b.client, b.find("/DC0/vm"))
	pool := object.NewResourcePool(b.client, b.find("/DC0/host/DC0_C0/Resources"))
	task, err := root.CreateVM(b.ctx, types.VirtualMachineConfigSpec{
		Name: "golden-parent", Files: &types.VirtualMachineFileInfo{VmPathName: "[LocalDS_0]"},
	}, pool, nil)
	if err != nil {
		t.Fatal(err)
	}
	b.wantFault(b.taskFault(task), &types.DuplicateName{})
	task, err = b.parent().Clone(b.ctx, root, "DC0_F0", types.VirtualMachineCloneSpec{})
	if err != nil {
		t.Fatal(err)
	}
	b.wantFault(b.taskFault(task), &types.DuplicateName{})

	folder := b.find("/DC0/vm/DC0_F0")
	b.clone("twin")
	b.clone("twin", func(s *types.VirtualMachineInstantCloneSpec) { s.Location.Folder = &folder })
	task, err = root.MoveInto(b.ctx, []types.ManagedObjectReference{b.find("/DC0/vm/DC0_F0/twin")})
	if err != nil {
		t.Fatal(err)
	}
	b.wantFault(b.taskFault(task), &types.DuplicateName{})
}

func TestEscapedNamesOfFolders(t *testing.T) {
	b := start(t)
	root := object.NewFolder(b.client, b.find("/DC0/vm"))
	for _, name := range []string{"x/y", "v%2fw"} {
		if _, err := root.CreateFolder(b.ctx, name); err != nil {
			t.Fatal(err)
		}
	}
	b.find("/DC0/vm/x%2fy")
	b.find("/DC0/vm/v%2fw")
	_, err := root.CreateFolder(b.ctx, "x%2Fy")
	b.wantFault(b.callFault(err), &types.DuplicateName{})
}

func TestVMsOfVcsimsOwnMakingCanBeReadAndCloned(t *testing.T) {
	b := start(t)
	root := object.NewFolder(b.client, b.find("/DC0/vm"))
	task, err := b.parent().Clone(b.ctx, root, "full", types.VirtualMachineCloneSpec{})
	if err != nil {
		t.Fatal(err)
	}
	vm := b.read(b.result(task))
	if vm.Runtime.FaultToleranceState == "" || vm.Runtime.RecordReplayState == "" || vm.GuestHeartbeatStatus == "" {
		t.Errorf("enumerations without a value: %+v", vm.Runtime)
	}
	b.power("full", "on")
	b.until(vm.Self, hasIP)
	task, err = object.NewVirtualMachine(b.client, vm.Self).InstantClone(b.ctx, cloneSpec("instant"))
	if err != nil {
		t.Fatal(err)
	}
	b.result(task)
	b.destroy(vm.Self)
}

func TestSearchByUUIDAndAddress(t *testing.T) {
	b := start(t, func(c *settings.Config) { c.Datacenters = 2 })
	vm := b.until(b.clone("wanted"), hasIP)
	si := object.NewSearchIndex(b.client)
	dc, other := object.NewDatacenter(b.client, b.find("/DC0")), object.NewDatacenter(b.client, b.find("/DC1"))
	for name, c := range map[string]struct {
		find func() (object.Reference, error)
		hit  bool
	}{
		"instance UUID": {func() (object.Reference, error) {
			return si.FindByUuid(b.ctx, nil, vm.Config.InstanceUuid, true, types.NewBool(true))
		}, true},
		"BIOS UUID": {func() (object.Reference, error) { return si.FindByUuid(b.ctx, dc, vm.Config.Uuid, true, nil) }, true},
		"wrong kind of UUID": {func() (object.Reference, error) {
			return si.FindByUuid(b.ctx, dc, vm.Config.Uuid, true, types.NewBool(true))
		}, false},
		"another datacenter":  {func() (object.Reference, error) { return si.FindByUuid(b.ctx, other, vm.Config.Uuid, true, nil) }, false},
		"address":             {func() (object.Reference, error) { return si.FindByIp(b.ctx, nil, vm.Guest.IpAddress, true) }, true},
		"host name":           {func() (object.Reference, error) { return si.FindByDnsName(b.ctx, nil, "WANTED", true) }, true},
		"datastore path":      {func() (object.Reference, error) { return si.FindByDatastorePath(b.ctx, dc, vm.Config.Files.VmPathName) }, true},
		"child":               {func() (object.Reference, error) { return si.FindChild(b.ctx, dc, "vm") }, true},
		"path that ends here": {func() (object.Reference, error) { return si.FindByInventoryPath(b.ctx, "/DC0/vm/none/wanted") }, false},
	} {
		t.Run(name, func(t *testing.T) {
			ref, err := c.find()
			if err != nil || (ref != nil) != c.hit {
				t.Errorf("found %v, %v; want a hit: %v", ref, err, c.hit)
			}
		})
	}
}
