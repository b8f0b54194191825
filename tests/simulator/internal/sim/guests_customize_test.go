// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package sim

import (
	"testing"

	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/property"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/guests"
	"vforge.vsphere/simulator/internal/settings"
)

func linuxSpec(name, addr, mask string) types.CustomizationSpec {
	var ip types.BaseCustomizationIpGenerator = &types.CustomizationDhcpIpGenerator{}
	if addr != "" {
		ip = &types.CustomizationFixedIp{IpAddress: addr}
	}
	return types.CustomizationSpec{
		Options:       &types.CustomizationLinuxOptions{},
		Identity:      &types.CustomizationLinuxPrep{HostName: &types.CustomizationFixedName{Name: name}, Domain: "example.test"},
		NicSettingMap: []types.CustomizationAdapterMapping{{Adapter: types.CustomizationIPSettings{Ip: ip, SubnetMask: mask}}},
	}
}

func windowsSpec(password *types.CustomizationPassword) types.CustomizationSpec {
	spec := linuxSpec("", "", "")
	spec.Options = &types.CustomizationWinOptions{}
	spec.Identity = &types.CustomizationSysprep{
		GuiUnattended: types.CustomizationGuiUnattended{Password: password},
		UserData:      types.CustomizationUserData{ComputerName: &types.CustomizationFixedName{Name: "WIN"}},
	}
	return spec
}

func (i *inside) manager() types.ManagedObjectReference {
	i.Helper()
	ref := i.client.ServiceContent.GuestCustomizationManager
	if ref == nil {
		i.Fatal("there is no guest customization manager")
	}
	return *ref
}

func (i *inside) customize(spec types.CustomizationSpec) *object.Task {
	i.Helper()
	res, err := methods.CustomizeGuest_Task(i.ctx, i.client, &types.CustomizeGuest_Task{This: i.manager(), Vm: i.vm, Auth: i.auth, Spec: spec})
	if err != nil {
		i.Fatal(err)
	}
	return object.NewTask(i.client, res.Returnval)
}

func (i *inside) abort() *object.Task {
	i.Helper()
	res, err := methods.AbortCustomization_Task(i.ctx, i.client, &types.AbortCustomization_Task{This: i.manager(), Vm: i.vm, Auth: i.auth})
	if err != nil {
		i.Fatal(err)
	}
	return object.NewTask(i.client, res.Returnval)
}

func TestCustomizingARunningGuest(t *testing.T) {
	b := start(t)
	in := b.inside(b.parent().Reference())
	b.result(in.customize(linuxSpec("named", "192.0.2.7", "255.255.255.128")))
	g := b.read(in.vm).Guest
	a := g.Net[0].IpConfig.IpAddress[0]
	if g.HostName != "named" || g.IpAddress != "192.0.2.7" || a.PrefixLength != 25 {
		t.Errorf("the guest reports %s, %+v", g.HostName, a)
	}
	if g.CustomizationInfo.CustomizationStatus != string(types.GuestInfoCustomizationStatusTOOLSDEPLOYPKG_SUCCEEDED) || g.CustomizationInfo.EndTime == nil {
		t.Errorf("status %+v", g.CustomizationInfo)
	}
	b.result(in.customize(linuxSpec("other", "", "")))
	if g := b.read(in.vm).Guest; g.HostName != "other" || g.IpAddress == "192.0.2.7" || g.IpAddress == "" {
		t.Errorf("with DHCP the guest reports %s, %s", g.HostName, g.IpAddress)
	}
	b.reset("golden-parent")
	if g := b.read(in.vm).Guest; g.HostName != "other" {
		t.Errorf("after a reset it is named %s", g.HostName)
	}
}

func TestANetworkThatIsDownStaysDownUntilItIsStarted(t *testing.T) {
	b := start(t)
	in := b.inside(b.parent().Reference())
	if code := in.ended(in.start("/sbin/modprobe", "-r vmxnet3")); code != 0 {
		t.Fatal(code)
	}
	b.result(in.customize(linuxSpec("named", "192.0.2.7", "255.255.255.0")))
	if g := b.read(in.vm).Guest; g.HostName != "named" || len(g.Net) != 0 {
		t.Errorf("without a network it reports %s, %+v", g.HostName, g.Net)
	}
	res, err := methods.StartGuestNetwork_Task(b.ctx, b.client, &types.StartGuestNetwork_Task{This: in.manager(), Vm: in.vm, Auth: in.auth})
	if err != nil {
		t.Fatal(err)
	}
	b.result(object.NewTask(b.client, res.Returnval))
	if g := b.read(in.vm).Guest; g.IpAddress != "192.0.2.7" {
		t.Errorf("with its network it reports %+v", g.Net)
	}
}

func TestWhatCustomizationRefuses(t *testing.T) {
	b := start(t)
	in := b.inside(b.parent().Reference())
	script := linuxSpec("n", "", "")
	script.Identity.(*types.CustomizationLinuxPrep).ScriptText = "#!/bin/sh\n"
	none := linuxSpec("n", "", "")
	none.NicSettingMap = nil
	foreign := linuxSpec("n", "", "")
	foreign.NicSettingMap[0].MacAddress = "00:50:56:ff:ff:ff"
	asking := linuxSpec("n", "", "")
	asking.NicSettingMap[0].Adapter.Ip = &types.CustomizationUnknownIpGenerator{}
	b.patch("golden-parent", map[string]any{"guest": map[string]any{"users": map[string]string{"ann": "pw"}}})
	for name, c := range map[string]struct {
		spec types.CustomizationSpec
		auth types.BaseGuestAuthentication
		want types.BaseMethodFault
	}{
		"wrong password":        {linuxSpec("n", "", ""), login(guests.Admin, "x"), &types.InvalidGuestLogin{}},
		"not the administrator": {linuxSpec("n", "", ""), login("ann", "pw"), &types.GuestPermissionDenied{}},
		"Windows on Linux":      {windowsSpec(nil), nil, &types.UncustomizableGuest{}},
		"no name":               {linuxSpec("", "", ""), nil, &types.InvalidArgument{}},
		"too few cards":         {none, nil, &types.NicSettingMismatch{}},
		"another's card":        {foreign, nil, &types.InvalidArgument{}},
		"an address to ask for": {asking, nil, &types.InvalidArgument{}},
		"no address":            {linuxSpec("n", "192.0.2.300", "255.255.255.0"), nil, &types.InvalidArgument{}},
		"no mask":               {linuxSpec("n", "192.0.2.3", ""), nil, &types.InvalidArgument{}},
		"mask with holes":       {linuxSpec("n", "192.0.2.3", "255.0.255.0"), nil, &types.InvalidArgument{}},
		"script":                {script, nil, &types.CustomizationFault{}},
	} {
		t.Run(name, func(t *testing.T) {
			b.T, in.T = t, t
			if in.auth = c.auth; c.auth == nil {
				in.auth = login(guests.Admin, b.sim.Cfg.GuestPassword)
			}
			b.wantFault(b.taskFault(in.customize(c.spec)), c.want)
			if g := b.read(in.vm).Guest; g.HostName != "golden-parent" {
				t.Errorf("it was renamed to %s", g.HostName)
			}
		})
	}
	b.T, in.T = t, t
	in.auth = login(guests.Admin, b.sim.Cfg.GuestPassword)
	b.result(in.abort()) // the lock of the one with the script
	b.patch("golden-parent", map[string]any{"guest": map[string]any{"files": map[string]string{"/etc/vmware-tools/tools.conf": "[deployPkg]\nenable-custom-scripts = true\n"}}})
	b.result(in.customize(script))
	b.patch("golden-parent", map[string]any{"guest": map[string]any{"family": "windows"}})
	b.wantFault(b.taskFault(in.customize(linuxSpec("n", "", ""))), &types.UncustomizableGuest{})
	b.wantFault(b.taskFault(in.customize(windowsSpec(&types.CustomizationPassword{Value: "xx"}))), &types.CannotDecryptPasswords{})
	b.result(in.customize(windowsSpec(&types.CustomizationPassword{Value: "secret", PlainText: true})))
	if g := b.read(in.vm).Guest; g.HostName != "WIN" || g.GuestFamily != "windowsGuest" {
		t.Errorf("the guest reports %s, %s", g.HostName, g.GuestFamily)
	}
	b.patch("golden-parent", map[string]any{"frozen": true})
	b.wantFault(b.taskFault(in.customize(linuxSpec("n", "", ""))), &types.GuestOperationsUnavailable{})
	task, err := b.parent().PowerOff(b.ctx)
	if err != nil {
		t.Fatal(err)
	}
	b.result(task)
	b.wantFault(b.taskFault(in.customize(linuxSpec("n", "", ""))), &types.InvalidPowerState{})
}

func TestACustomizationThatFailsLeavesItsLock(t *testing.T) {
	b := start(t)
	in := b.inside(b.parent().Reference())
	b.patch("golden-parent", map[string]any{"guest": map[string]any{"fail": map[string]int{"guest-customization": 4}}})
	b.wantFault(b.taskFault(in.customize(linuxSpec("n", "", ""))), &types.CustomizationFault{})
	if info := b.read(in.vm).Guest.CustomizationInfo; info.CustomizationStatus != string(types.GuestInfoCustomizationStatusTOOLSDEPLOYPKG_FAILED) || info.ErrorMsg == "" {
		t.Errorf("status %+v", info)
	}
	b.wantFault(b.taskFault(in.customize(linuxSpec("n", "", ""))), &types.CustomizationPending{})
	b.result(in.abort())
	b.result(in.abort()) // nothing to do is no failure
	b.patch("golden-parent", map[string]any{"guest": map[string]any{"fail": map[string]int{}}})
	b.result(in.customize(linuxSpec("n", "", "")))
}

func TestACustomizationThatHangsCanBeAborted(t *testing.T) {
	b := start(t)
	in := b.inside(b.parent().Reference())
	b.patch("golden-parent", map[string]any{"guest": map[string]any{"hang": "guest-customization"}})
	for _, end := range []func(){func() { b.result(in.abort()) }, func() { b.reset("golden-parent") }} {
		task := in.customize(linuxSpec("n", "", ""))
		running := func(vm mo.VirtualMachine) bool {
			info := vm.Guest.CustomizationInfo // unset until the task has begun
			return info != nil && info.CustomizationStatus == string(types.GuestInfoCustomizationStatusTOOLSDEPLOYPKG_RUNNING)
		}
		err := property.Wait(b.ctx, property.DefaultCollector(b.client), in.vm, []string{"guest.customizationInfo"}, func([]types.PropertyChange) bool {
			return running(b.read(in.vm))
		})
		if err != nil {
			t.Fatal(err)
		}
		end()
		b.wantFault(b.taskFault(task), &types.CustomizationFault{})
	}
}

func TestCustomizationNeedsAPrivilege(t *testing.T) {
	b := start(t)
	b.client = b.as("VirtualMachine.GuestOperations.Modify")
	in := b.inside(b.parent().Reference())
	_, err := methods.CustomizeGuest_Task(b.ctx, b.client, &types.CustomizeGuest_Task{This: in.manager(), Vm: in.vm, Auth: in.auth, Spec: linuxSpec("n", "", "")})
	b.wantFault(b.callFault(err), &types.NoPermission{})
	b.client = b.as(guests.CustomizePrivilege)
	in = b.inside(in.vm)
	b.result(in.customize(linuxSpec("n", "", "")))
}

func TestCustomizationNeedsARelease(t *testing.T) {
	old := start(t, func(c *settings.Config) { c.APIVersion = "6.7.3" })
	if ref := old.client.ServiceContent.GuestCustomizationManager; ref != nil {
		t.Errorf("6.7.3 offers %v", ref)
	}
	manager := types.ManagedObjectReference{Type: "VirtualMachineGuestCustomizationManager", Value: "GuestCustomizationManager"}
	_, err := methods.CustomizeGuest_Task(old.ctx, old.client, &types.CustomizeGuest_Task{This: manager, Vm: old.parent().Reference(), Auth: login(guests.Admin, ""), Spec: linuxSpec("n", "", "")})
	old.wantFault(old.callFault(err), &types.InvalidRequest{})
}

func TestAFailureOfCustomizationCanBeInjected(t *testing.T) {
	b := start(t)
	in := b.inside(b.parent().Reference())
	b.control("POST", "/inject", map[string]any{"method": "CustomizeGuest_Task", "do": "task-fault", "fault": "CustomizationFault", "name": "golden-parent"}, nil)
	task := in.customize(linuxSpec("n", "", ""))
	b.wantFault(b.taskFault(task), &types.CustomizationFault{})
	var info mo.Task
	if err := property.DefaultCollector(b.client).RetrieveOne(b.ctx, task.Reference(), []string{"info"}, &info); err != nil {
		t.Fatal(err)
	}
	if info.Info.Entity == nil || *info.Info.Entity != in.vm {
		t.Errorf("the task is about %v", info.Info.Entity)
	}
	b.result(in.customize(linuxSpec("n", "", "")))
}
