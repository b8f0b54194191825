// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package sim

import (
	"maps"
	"net/http"
	"slices"
	"testing"

	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/property"
	"github.com/vmware/govmomi/session"
	"github.com/vmware/govmomi/view"
	"github.com/vmware/govmomi/vim25"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/accounts"
	"vforge.vsphere/simulator/internal/settings"
)

func TestWhoMayDoWhatIsTold(t *testing.T) {
	b := start(t)
	const yes, no = "VirtualMachine.State.CreateSnapshot", "VirtualMachine.State.RemoveSnapshot"
	ask := []string{"System.Read", yes, no}
	vm := b.parent().Reference()
	c := b.as(yes)
	who, err := session.NewManager(c).UserSession(b.ctx)
	if err != nil {
		t.Fatal(err)
	}
	am := *c.ServiceContent.AuthorizationManager
	for name, x := range map[string]struct {
		key  string
		want []bool
	}{
		"this session":      {who.Key, []bool{true, true, false}},
		"a session of none": {"52000000-0000-0000-0000-000000000000", []bool{false, false, false}},
	} {
		one, err := methods.HasPrivilegeOnEntity(b.ctx, c, &types.HasPrivilegeOnEntity{This: am, Entity: vm, SessionId: x.key, PrivId: ask})
		if err != nil || !slices.Equal(one.Returnval, x.want) {
			t.Errorf("%s: %v %v, want %v", name, one, err, x.want)
		}
		req := types.HasPrivilegeOnEntities{This: am, Entity: []types.ManagedObjectReference{vm}, SessionId: x.key, PrivId: ask}
		many, err := methods.HasPrivilegeOnEntities(b.ctx, c, &req)
		if err != nil || !slices.Equal(granted(many.Returnval), x.want) {
			t.Errorf("%s: %v %v, want %v", name, many, err, x.want)
		}
	}
	req := types.HasUserPrivilegeOnEntities{This: am, Entities: []types.ManagedObjectReference{vm}, UserName: who.UserName, PrivId: ask}
	user, err := methods.HasUserPrivilegeOnEntities(b.ctx, b.client, &req)
	if err != nil || !slices.Equal(granted(user.Returnval), []bool{true, true, false}) {
		t.Errorf("by name: %v %v", user, err)
	}
	vm.Value = "vm-0"
	_, err = methods.HasPrivilegeOnEntity(b.ctx, c, &types.HasPrivilegeOnEntity{This: am, Entity: vm, SessionId: who.Key, PrivId: ask})
	b.wantFault(b.callFault(err), &types.ManagedObjectNotFound{})
}

// limited logs in as a user who has roles on these objects alone; the paths lead from the root folder.
func (b *bench) limited(roles map[string]accounts.Grant) *vim25.Client {
	b.Helper()
	const name = "limited@vsphere.local"
	b.sim.Auth.Add(accounts.User{Name: name, Password: "secret", Roles: map[string][]string{}})
	for path, role := range roles {
		b.sim.Auth.Grant(name, b.find(path), role)
	}
	return b.login(name, "secret")
}

func alone(g accounts.Grant) accounts.Grant {
	g.Propagate = false
	return g
}

func TestARoleReachesWhatIsBelowItsObject(t *testing.T) {
	const on, off = "VirtualMachine.Interact.PowerOn", "VirtualMachine.Interact.PowerOff"
	const vm, folder, pool = "/DC0/vm/DC0_F0/box", "/DC0/vm/DC0_F0", "/DC0/host/DC0_C0/Resources/DC0_C0_RP1"
	for name, x := range map[string]struct {
		roles map[string]accounts.Grant
		want  []string // of on and off
	}{
		"nowhere":                            {nil, nil},
		"on the VM":                          {map[string]accounts.Grant{vm: alone(accounts.Role(on))}, []string{on}},
		"on its folder":                      {map[string]accounts.Grant{folder: accounts.Role(on)}, []string{on}},
		"on its folder alone":                {map[string]accounts.Grant{folder: alone(accounts.Role(on))}, nil},
		"on its pool":                        {map[string]accounts.Grant{pool: accounts.Role(off)}, []string{off}},
		"both are added":                     {map[string]accounts.Grant{folder: accounts.Role(on), pool: accounts.Role(off)}, []string{on, off}},
		"on the datacenter":                  {map[string]accounts.Grant{"/DC0": accounts.Role(on)}, []string{on}},
		"the nearer one counts":              {map[string]accounts.Grant{"/DC0": accounts.Role(on), folder: accounts.Role(off), "/DC0/host": accounts.Role()}, []string{off}},
		"no access, from one of two sides":   {map[string]accounts.Grant{"/": accounts.Role(on), folder: {Propagate: true}}, []string{on}},
		"no access, on the VM":               {map[string]accounts.Grant{"/": accounts.Role(on), vm: {Propagate: true}}, nil},
		"one that does not propagate is not": {map[string]accounts.Grant{"/": accounts.Role(on), folder: alone(accounts.Role(off))}, []string{on}},
		"elsewhere":                          {map[string]accounts.Grant{"/DC0/vm/DC0_F1": accounts.Role(on, off)}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			b := start(t)
			b.control("POST", "/vms", map[string]any{"name": "box", "folder": folder, "pool": pool}, nil)
			ref := b.find(vm)
			b.limited(x.roles)
			for _, privilege := range []string{on, off} {
				if got := b.sim.Auth.May("limited@vsphere.local", ref, privilege); got != slices.Contains(x.want, privilege) {
					t.Errorf("%s: %t", privilege, got)
				}
			}
		})
	}
}

func TestWhatAUserMayNotLookAtIsNotThere(t *testing.T) {
	b := start(t, func(c *settings.Config) { c.VMs = 0 })
	b.control("POST", "/vms", map[string]any{"name": "mine", "folder": "/DC0/vm/DC0_F0"}, nil)
	mine, theirs := b.find("/DC0/vm/DC0_F0/mine"), b.parent().Reference()
	c := b.limited(map[string]accounts.Grant{
		"/": alone(accounts.Role()), "/DC0": alone(accounts.Role()), "/DC0/vm": alone(accounts.Role()), "/DC0/vm/DC0_F0": accounts.Role("VirtualMachine.Interact.PowerOff"),
	})
	vmFolder := b.find("/DC0/vm")
	t.Run("in lists", func(t *testing.T) {
		var seen mo.Folder
		if err := property.DefaultCollector(c).RetrieveOne(b.ctx, vmFolder, []string{"childEntity"}, &seen); err != nil {
			t.Fatal(err)
		}
		if want := []types.ManagedObjectReference{b.find("/DC0/vm/DC0_F0")}; !slices.Equal(seen.ChildEntity, want) {
			t.Errorf("children %v, want %v", seen.ChildEntity, want)
		}
	})
	t.Run("in views, on which reads are based", func(t *testing.T) {
		v, err := view.NewManager(c).CreateContainerView(b.ctx, c.ServiceContent.RootFolder, []string{"VirtualMachine"}, true)
		if err != nil {
			t.Fatal(err)
		}
		var found []mo.VirtualMachine
		if err := v.Retrieve(b.ctx, []string{"VirtualMachine"}, []string{"name"}, &found); err != nil {
			t.Fatal(err)
		}
		if len(found) != 1 || found[0].Self != mine {
			t.Errorf("found %v, want %v alone", found, mine)
		}
		_, err = view.NewManager(c).CreateContainerView(b.ctx, b.find("/DC0/host"), nil, true)
		b.wantFault(b.callFault(err), &types.NoPermission{})
	})
	t.Run("in searches", func(t *testing.T) {
		index := object.NewSearchIndex(c)
		for path, there := range map[string]bool{"/DC0/vm/DC0_F0/mine": true, "/DC0/vm/golden-parent": false, "/DC0/host/DC0_C0": false} {
			ref, err := index.FindByInventoryPath(b.ctx, path)
			if err != nil || (ref != nil) != there {
				t.Errorf("%s: %v %v", path, ref, err)
			}
		}
		if ref, err := index.FindChild(b.ctx, vmFolder, "golden-parent"); err != nil || ref != nil {
			t.Errorf("as a child: %v %v", ref, err)
		}
		for vm, there := range map[types.ManagedObjectReference]bool{mine: true, theirs: false} {
			ref, err := index.FindByUuid(b.ctx, nil, b.read(vm).Config.Uuid, true, nil)
			if err != nil || (ref != nil) != there {
				t.Errorf("by the UUID of %v: %v %v", vm, ref, err)
			}
		}
	})
	t.Run("by its reference each property says why", func(t *testing.T) {
		res, err := property.DefaultCollector(c).RetrieveProperties(b.ctx, types.RetrieveProperties{SpecSet: []types.PropertyFilterSpec{{
			PropSet:   []types.PropertySpec{{Type: "VirtualMachine", PathSet: []string{"name", "runtime.powerState"}}},
			ObjectSet: []types.ObjectSpec{{Obj: theirs}},
		}}})
		if err != nil {
			t.Fatal(err)
		}
		told := res.Returnval[0]
		if len(told.PropSet) != 0 || len(told.MissingSet) != 2 {
			t.Fatalf("told %+v", told)
		}
		fault, ok := told.MissingSet[0].Fault.Fault.(*types.NoPermission)
		if !ok || fault.PrivilegeId != "System.View" || *fault.Object != theirs {
			t.Errorf("fault %+v", told.MissingSet[0].Fault.Fault)
		}
	})
	t.Run("to calls, which name what is missing", func(t *testing.T) {
		_, err := object.NewVirtualMachine(c, theirs).PowerOff(b.ctx)
		fault, ok := b.callFault(err).(types.NoPermission)
		if !ok || fault.PrivilegeId != "VirtualMachine.Interact.PowerOff" || *fault.Object != theirs {
			t.Errorf("fault %+v", fault)
		}
		_, err = methods.RefreshStorageInfo(b.ctx, c, &types.RefreshStorageInfo{This: theirs})
		fault, ok = b.callFault(err).(types.NoPermission)
		if !ok || fault.PrivilegeId != "System.View" {
			t.Errorf("fault %+v", fault)
		}
		task, err := object.NewVirtualMachine(c, mine).PowerOff(b.ctx)
		if err != nil {
			t.Fatal(err)
		}
		b.result(task)
	})
}

func TestDestroyingNeedsThePrivilegeOnTheFolderToo(t *testing.T) {
	b := start(t)
	b.control("POST", "/vms", map[string]any{"name": "box", "folder": "/DC0/vm/DC0_F0", "on": false}, nil)
	ref := b.find("/DC0/vm/DC0_F0/box")
	const privilege = "VirtualMachine.Inventory.Delete"
	for _, x := range []struct {
		roles map[string]accounts.Grant
		lacks string
	}{
		{map[string]accounts.Grant{"/": accounts.Role(), "/DC0/vm/DC0_F0/box": accounts.Role(privilege)}, "/DC0/vm/DC0_F0"},
		{map[string]accounts.Grant{"/": accounts.Role(), "/DC0/vm/DC0_F0": alone(accounts.Role(privilege))}, "/DC0/vm/DC0_F0/box"},
	} {
		_, err := object.NewVirtualMachine(b.limited(x.roles), ref).Destroy(b.ctx)
		fault, ok := b.callFault(err).(types.NoPermission)
		if !ok || fault.PrivilegeId != privilege || *fault.Object != b.find(x.lacks) {
			t.Errorf("fault %+v, want one for %s on %s", fault, privilege, x.lacks)
		}
	}
	task, err := object.NewVirtualMachine(b.limited(map[string]accounts.Grant{"/": accounts.Role(), "/DC0/vm/DC0_F0": accounts.Role(privilege)}), ref).Destroy(b.ctx)
	if err != nil {
		t.Fatal(err)
	}
	b.result(task)
}

func TestPlacesOfANewVMNeedTheirPrivileges(t *testing.T) {
	b := start(t)
	all := map[string]accounts.Grant{
		"/": accounts.Role(), "/DC0/vm/DC0_F0": accounts.Role("VirtualMachine.Inventory.Create", "VirtualMachine.Config.AddNewDisk", "VirtualMachine.Config.AdvancedConfig"),
		"/DC0/host/DC0_C0/Resources": accounts.Role("Resource.AssignVMToPool"), "/DC0/datastore/LocalDS_0": accounts.Role("Datastore.AllocateSpace"),
		"/DC0/network/VM Network": accounts.Role("Network.Assign"),
	}
	network, err := object.NewNetwork(b.client, b.find("/DC0/network/VM Network")).EthernetCardBackingInfo(b.ctx)
	if err != nil {
		t.Fatal(err)
	}
	card, err := object.VirtualDeviceList{}.CreateEthernetCard("vmxnet3", network)
	if err != nil {
		t.Fatal(err)
	}
	scsi := &types.ParaVirtualSCSIController{}
	scsi.Key, scsi.SharedBus = 1000, types.VirtualSCSISharingNoSharing
	disk := &types.VirtualDisk{CapacityInKB: 1024}
	disk.ControllerKey, disk.UnitNumber = 1000, new(int32)
	disk.Backing = &types.VirtualDiskFlatVer2BackingInfo{
		VirtualDeviceFileBackingInfo: types.VirtualDeviceFileBackingInfo{FileName: "[LocalDS_0]"}, DiskMode: "persistent",
	}
	add := func(d types.BaseVirtualDevice, file types.VirtualDeviceConfigSpecFileOperation) types.BaseVirtualDeviceConfigSpec {
		return &types.VirtualDeviceConfigSpec{Operation: types.VirtualDeviceConfigSpecOperationAdd, Device: d, FileOperation: file}
	}
	spec := types.VirtualMachineConfigSpec{
		Name: "new", GuestId: "otherGuest64", NumCPUs: 1, MemoryMB: 64, Files: &types.VirtualMachineFileInfo{VmPathName: "[LocalDS_0]"},
		ExtraConfig:  []types.BaseOptionValue{&types.OptionValue{Key: "guestinfo.a", Value: "b"}},
		DeviceChange: []types.BaseVirtualDeviceConfigSpec{add(scsi, ""), add(disk, types.VirtualDeviceConfigSpecFileOperationCreate), add(card, "")},
	}
	create := func(roles map[string]accounts.Grant) (*object.Task, error) {
		c := b.limited(roles)
		pool := object.NewResourcePool(c, b.find("/DC0/host/DC0_C0/Resources"))
		return object.NewFolder(c, b.find("/DC0/vm/DC0_F0")).CreateVM(b.ctx, spec, pool, nil)
	}
	for path, g := range all {
		for i, lacks := range g.Privileges[3:] { // behind those to look
			roles := maps.Clone(all)
			roles[path] = accounts.Role(slices.Delete(slices.Clone(g.Privileges[3:]), i, i+1)...)
			_, err := create(roles)
			fault, ok := b.callFault(err).(types.NoPermission)
			if !ok || fault.PrivilegeId != lacks || *fault.Object != b.find(path) {
				t.Errorf("without %s on %s: %+v", lacks, path, fault)
			}
		}
	}
	task, err := create(all)
	if err != nil {
		t.Fatal(err)
	}
	b.result(task)
}

func TestUsersWithRolesByTheControlEndpoint(t *testing.T) {
	b := start(t)
	const name, on = "made@vsphere.local", "VirtualMachine.Interact.PowerOn"
	user := map[string]any{"username": name, "password": "secret", "roles": map[string][]string{"/DC0/vm": {on}}}
	if status := b.control("POST", "/users", user, nil); status != http.StatusOK {
		t.Fatal(status)
	}
	if vm := b.parent().Reference(); !b.sim.Auth.May(name, vm, on) || b.sim.Auth.May(name, b.find("/DC0/host"), "System.View") {
		t.Error("the role is not where it was given, or elsewhere too")
	}
	user["roles"] = map[string][]string{"/DC0/nowhere": {on}}
	if status := b.control("POST", "/users", user, nil); status != http.StatusNotFound {
		t.Errorf("a role on what is not there: %d", status)
	}
}

func TestARoleIsGivenOnAnObjectAndTakenAway(t *testing.T) {
	b := start(t)
	const folder, user = "/DC0/vm/DC0_F0", "limited@vsphere.local"
	c := b.limited(nil)
	mine := object.NewAuthorizationManager(c)
	admin := object.NewAuthorizationManager(b.client)
	_, err := mine.AddRole(b.ctx, "mine", []string{"VirtualMachine.Interact.PowerOn"})
	b.wantFault(b.callFault(err), &types.NoPermission{})
	if _, err := admin.AddRole(b.ctx, "starter", []string{"VirtualMachine.Interact.PowerOn"}); err != nil {
		t.Fatal(err)
	}
	roles, err := admin.RoleList(b.ctx)
	if err != nil {
		t.Fatal(err)
	}
	ref, starter := b.find(folder), *roles.ByName("starter")
	given := []types.Permission{{Principal: `VSPHERE.LOCAL\limited`, RoleId: starter.RoleId, Propagate: true}}
	b.wantFault(b.callFault(mine.SetEntityPermissions(b.ctx, ref, given)), &types.NoPermission{})
	if err := admin.SetEntityPermissions(b.ctx, ref, given); err != nil {
		t.Fatal(err)
	}
	may := func(privilege string) bool { return b.sim.Auth.May(user, ref, privilege) }
	if !may("VirtualMachine.Interact.PowerOn") || !may("System.View") || may("VirtualMachine.Interact.PowerOff") {
		t.Error("the role that was given has not what it is made of")
	}
	if err := admin.UpdateRole(b.ctx, starter.RoleId, "starter", []string{"VirtualMachine.Interact.PowerOff"}); err != nil {
		t.Fatal(err)
	}
	if may("VirtualMachine.Interact.PowerOn") || !may("VirtualMachine.Interact.PowerOff") {
		t.Error("a change of the role does not count where it was given")
	}
	if err := admin.RemoveEntityPermission(b.ctx, ref, `VSPHERE.LOCAL\limited`, false); err != nil {
		t.Fatal(err)
	}
	if may("System.View") {
		t.Error("a role that was taken away is still there")
	}
}

// granted are the answers for the only object that was asked about.
func granted(found []types.EntityPrivilege) []bool {
	var told []bool
	for _, p := range found[0].PrivAvailability {
		told = append(told, p.IsGranted)
	}
	return told
}
