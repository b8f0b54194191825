// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package sim

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/inventory"
)

func TestFullAndLinkedClonesThatAreRefused(t *testing.T) {
	b := start(t)
	parent := b.parent().Reference()
	mould := b.made("mould", map[string]any{"template": true})
	other := b.snapshot(b.made("other", map[string]any{"on": false}), "theirs")
	own := b.snapshot(parent, "own")
	gone := types.ManagedObjectReference{Type: "VirtualMachineSnapshot", Value: "snapshot-gone"}
	b.control("POST", "/hosts/DC0_C1_H0", map[string]any{"maintenance": true}, nil)
	for name, c := range map[string]struct {
		source   types.ManagedObjectReference
		change   vmCloneChange
		want     types.BaseMethodFault
		property string
	}{
		"no name":           {parent, func(r *types.CloneVM_Task) { r.Name = "" }, &types.InvalidArgument{}, "name"},
		"long name":         {parent, func(r *types.CloneVM_Task) { r.Name = strings.Repeat("n", 81) }, &types.InvalidName{}, ""},
		"taken name":        {parent, func(r *types.CloneVM_Task) { r.Name = "golden-parent" }, &types.DuplicateName{}, ""},
		"folder's name":     {parent, func(r *types.CloneVM_Task) { r.Name = "DC0_F0" }, &types.DuplicateName{}, ""},
		"no snapshot":       {parent, func(r *types.CloneVM_Task) { linked(own)(r); r.Spec.Snapshot = nil }, &types.InvalidArgument{}, "spec.snapshot"},
		"other's snapshot":  {parent, linked(other), &types.InvalidArgument{}, "spec.snapshot"},
		"gone snapshot":     {parent, linked(gone), &types.ManagedObjectNotFound{}, ""},
		"move type":         {parent, func(r *types.CloneVM_Task) { r.Spec.Location.DiskMoveType = "sideways" }, &types.InvalidArgument{}, "spec.location.diskMoveType"},
		"template, no pool": {mould, func(*types.CloneVM_Task) {}, &types.InvalidArgument{}, "spec.location.pool"},
		"pool and host": {parent, func(r *types.CloneVM_Task) {
			r.Spec.Location.Pool, r.Spec.Location.Host = b.ref("/DC0/host/DC0_C1/Resources"), b.ref("/DC0/host/DC0_C0/DC0_C0_H0")
		}, &types.InvalidArgument{}, "spec.pool"},
		"host in maintenance": {parent, func(r *types.CloneVM_Task) {
			r.Spec.Location.Pool, r.Spec.Location.Host = b.ref("/DC0/host/DC0_C1/Resources"), b.ref("/DC0/host/DC0_C1/DC0_C1_H0")
		}, &types.InvalidHostState{}, ""},
		"no host of the pool": {parent, func(r *types.CloneVM_Task) { r.Spec.Location.Pool = b.ref("/DC0/host/DC0_C1/Resources") }, &types.NoCompatibleHost{}, ""},
		"folder of hosts":     {parent, func(r *types.CloneVM_Task) { r.Folder = b.find("/DC0/host") }, &types.InvalidArgument{}, "folder"},
		"pair of no key": {parent, func(r *types.CloneVM_Task) {
			r.Spec.Config = &types.VirtualMachineConfigSpec{ExtraConfig: []types.BaseOptionValue{&types.OptionValue{}}}
		}, &types.InvalidArgument{}, "configSpec.extraConfig"},
		"odd memory": {parent, func(r *types.CloneVM_Task) { r.Spec.Config = &types.VirtualMachineConfigSpec{MemoryMB: 1023} }, &types.InvalidArgument{}, "configSpec.memoryMB"},
		"disk that is not": {parent, func(r *types.CloneVM_Task) {
			r.Spec.Location.Disk = []types.VirtualMachineRelocateSpecDiskLocator{{DiskId: 77, Datastore: b.find("/DC0/datastore/LocalDS_0")}}
		}, &types.InvalidArgument{}, "spec.location.disk.diskId"},
		"customized twice": {parent, func(r *types.CloneVM_Task) { r.Spec.Customization = linuxCustomization("web", "10.1.2.3", "10.1.2.4") }, &types.NicSettingMismatch{}, ""},
		"Sysprep for Linux": {parent, func(r *types.CloneVM_Task) {
			r.Spec.Customization = &types.CustomizationSpec{Identity: &types.CustomizationSysprep{}}
		}, &types.UncustomizableGuest{}, ""},
		"card that is not": {parent, func(r *types.CloneVM_Task) { r.Spec.Location.DeviceChange = cardEdit(4077) }, &types.InvalidDeviceSpec{}, ""},
		"other vCenter": {parent, func(r *types.CloneVM_Task) {
			r.Spec.Location.Service = &types.ServiceLocator{Credential: &types.ServiceLocatorNamePassword{}}
		}, &types.NotSupported{}, ""},
		"setting not known": {parent, func(r *types.CloneVM_Task) { r.Spec.Config = &types.VirtualMachineConfigSpec{SimultaneousThreads: 2} }, &types.NotSupported{}, ""},
		"shrunk in the config": {parent, func(r *types.CloneVM_Task) {
			r.Spec.Config = &types.VirtualMachineConfigSpec{DeviceChange: diskEdit(b.read(parent), 1<<20)}
		}, &types.InvalidDeviceOperation{}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			task, err := b.cloneVM(b.client, c.source, "new", c.change)
			if err != nil {
				t.Fatal(err)
			}
			fault := b.taskFault(task)
			b.wantFault(fault, c.want)
			if arg, ok := fault.(*types.InvalidArgument); ok && arg.InvalidProperty != c.property {
				t.Errorf("property %q, want %q", arg.InvalidProperty, c.property)
			}
			if _, err := os.Stat(filepath.Join(inventory.DatastoreDir(b.sim.Cfg.StateDir), "DC0", "LocalDS_0", "new")); err == nil {
				t.Error("a clone that failed leaves files")
			}
		})
	}
}

func cardEdit(key int32) []types.BaseVirtualDeviceConfigSpec {
	card := &types.VirtualVmxnet3{}
	card.Key = key
	return []types.BaseVirtualDeviceConfigSpec{&types.VirtualDeviceConfigSpec{Operation: types.VirtualDeviceConfigSpecOperationEdit, Device: card}}
}

func linuxCustomization(name string, addresses ...string) *types.CustomizationSpec {
	spec := &types.CustomizationSpec{Identity: &types.CustomizationLinuxPrep{HostName: &types.CustomizationFixedName{Name: name}, Domain: "example.test"}}
	for _, a := range addresses {
		spec.NicSettingMap = append(spec.NicSettingMap, types.CustomizationAdapterMapping{Adapter: types.CustomizationIPSettings{
			Ip: &types.CustomizationFixedIp{IpAddress: a}, SubnetMask: "255.255.255.0",
		}})
	}
	return spec
}

func TestAHostThatIsNotConnectedTakesNoClone(t *testing.T) {
	b := start(t)
	b.control("POST", "/hosts/DC0_C1_H0", map[string]any{"connection": "disconnected"}, nil)
	task, err := b.cloneVM(b.client, b.parent().Reference(), "new", func(r *types.CloneVM_Task) {
		r.Spec.Location.Pool, r.Spec.Location.Host = b.ref("/DC0/host/DC0_C1/Resources"), b.ref("/DC0/host/DC0_C1/DC0_C1_H0")
	})
	if err != nil {
		t.Fatal(err)
	}
	b.wantFault(b.taskFault(task), &types.HostNotConnected{})
}

// What is below a delta disk is read where it is.
func TestALinkedCloneIsMadeWhereItsLayersAreSeen(t *testing.T) {
	b := start(t)
	parent := b.parent().Reference()
	snapshot := b.snapshot(parent, "base")
	far := b.ref("/DC0/host/DC0_C1/DC0_C1_H0")
	host, other := b.sim.Reg.Get(*far).(*simulator.HostSystem), b.find("/DC0/datastore/LocalDS_1")
	b.sim.Background("").WithLock(host, func() { host.Datastore = []types.ManagedObjectReference{other} })
	task, err := b.cloneVM(b.client, parent, "far", linked(snapshot), func(r *types.CloneVM_Task) {
		r.Spec.Location.Pool, r.Spec.Location.Host, r.Spec.Location.Datastore = b.ref("/DC0/host/DC0_C1/Resources"), far, &other
	})
	if err != nil {
		t.Fatal(err)
	}
	b.wantFault(b.taskFault(task), &types.CannotAccessVmDisk{})
}

func TestPrivilegesOfFullAndLinkedClones(t *testing.T) {
	b := start(t)
	parent := b.parent().Reference()
	mould := b.made("mould", map[string]any{"template": true})
	all := []string{"VirtualMachine.Inventory.CreateFromExisting", "Datastore.AllocateSpace", "Resource.AssignVMToPool", "VirtualMachine.Provisioning.Clone"}
	toTemplate := func(r *types.CloneVM_Task) { r.Spec.Template = true }
	inPool := func(r *types.CloneVM_Task) { r.Spec.Location.Pool = b.ref("/DC0/host/DC0_C0/Resources") }
	customized := func(r *types.CloneVM_Task) { r.Spec.Customization = linuxCustomization("x", "10.0.0.1") }
	for name, c := range map[string]struct {
		source types.ManagedObjectReference
		change vmCloneChange
		have   []string
		lacks  string
	}{
		"VM from VM":             {parent, inPool, all[:3], "VirtualMachine.Provisioning.Clone"},
		"VM from template":       {mould, inPool, all, "VirtualMachine.Provisioning.DeployTemplate"},
		"template from VM":       {parent, toTemplate, all, "VirtualMachine.Provisioning.CreateTemplateFromVM"},
		"template from template": {mould, toTemplate, all, "VirtualMachine.Provisioning.CloneTemplate"},
		"customization":          {parent, customized, all, "VirtualMachine.Provisioning.Customize"},
		"folder":                 {parent, inPool, all[1:], "VirtualMachine.Inventory.CreateFromExisting"},
		"datastore":              {parent, inPool, []string{all[0], all[2], all[3]}, "Datastore.AllocateSpace"},
		"pool":                   {parent, inPool, []string{all[0], all[1], all[3]}, "Resource.AssignVMToPool"},
		"power":                  {parent, poweredOnClone, all, "VirtualMachine.Interact.PowerOn"},
		"network":                {parent, onNetwork(b, "/DC0/network/VM Network"), all, "Network.Assign"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := b.cloneVM(b.as(c.have...), c.source, "new", c.change)
			if fault, ok := b.callFault(err).(types.NoPermission); !ok || fault.PrivilegeId != c.lacks {
				t.Errorf("fault %+v, want one for %s", fault, c.lacks)
			}
		})
	}
	task, err := b.cloneVM(b.as(all...), parent, "allowed", onNetwork(b, "/DC0/network/DC0_DVPG0")) // where it is
	if err != nil {
		t.Fatal(err)
	}
	b.result(task)
}

// onNetwork puts the clone's card on a network.
func onNetwork(b *bench, path string) vmCloneChange {
	net, _ := b.sim.NetworkByRef(b.find(path))
	edit := cardEdit(4000)
	edit[0].GetVirtualDeviceConfigSpec().Device.GetVirtualDevice().Backing = net.Backing()
	return func(r *types.CloneVM_Task) { r.Spec.Location.DeviceChange = edit }
}
