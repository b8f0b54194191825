// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package sim

import (
	"slices"
	"testing"

	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/property"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/clones"
	"vforge.vsphere/simulator/internal/core"
	"vforge.vsphere/simulator/internal/settings"
	"vforge.vsphere/simulator/internal/vmforkapi"
)

// The calls as a client sends them.
type (
	enableCall struct {
		Req    *vmforkapi.EnableForkParentRequest `xml:"urn:vim25 EnableForkParent_Task,omitempty"`
		Res    *vmforkapi.ForkResponse            `xml:"EnableForkParent_TaskResponse,omitempty"`
		Fault_ *soap.Fault                        `xml:"http://schemas.xmlsoap.org/soap/envelope/ Fault,omitempty"`
	}
	disableCall struct {
		Req    *vmforkapi.DisableForkParentRequest `xml:"urn:vim25 DisableForkParent_Task,omitempty"`
		Res    *vmforkapi.ForkResponse             `xml:"DisableForkParent_TaskResponse,omitempty"`
		Fault_ *soap.Fault                         `xml:"http://schemas.xmlsoap.org/soap/envelope/ Fault,omitempty"`
	}
	childCall struct {
		Req    *vmforkapi.CreateForkChildRequest `xml:"urn:vim25 CreateForkChild_Task,omitempty"`
		Res    *vmforkapi.ForkResponse           `xml:"CreateForkChild_TaskResponse,omitempty"`
		Fault_ *soap.Fault                       `xml:"http://schemas.xmlsoap.org/soap/envelope/ Fault,omitempty"`
	}
	childrenCall struct {
		Req    *vmforkapi.RetrieveForkChildrenRequest `xml:"urn:vim25 RetrieveForkChildren_Task,omitempty"`
		Res    *vmforkapi.ForkResponse                `xml:"RetrieveForkChildren_TaskResponse,omitempty"`
		Fault_ *soap.Fault                            `xml:"http://schemas.xmlsoap.org/soap/envelope/ Fault,omitempty"`
	}
	parentCall struct {
		Req    *vmforkapi.RetrieveForkParentRequest `xml:"urn:vim25 RetrieveForkParent_Task,omitempty"`
		Res    *vmforkapi.ForkResponse              `xml:"RetrieveForkParent_TaskResponse,omitempty"`
		Fault_ *soap.Fault                          `xml:"http://schemas.xmlsoap.org/soap/envelope/ Fault,omitempty"`
	}
)

func (c *enableCall) Fault() *soap.Fault { return c.Fault_ }

func (c *disableCall) Fault() *soap.Fault { return c.Fault_ }

func (c *childCall) Fault() *soap.Fault { return c.Fault_ }

func (c *childrenCall) Fault() *soap.Fault { return c.Fault_ }

func (c *parentCall) Fault() *soap.Fault { return c.Fault_ }

// fork is a bench with a parent to fork.
type fork struct {
	*bench
	parent types.ManagedObjectReference
}

func startFork(t *testing.T, version string) *fork {
	t.Helper()
	b := start(t, func(c *settings.Config) { c.APIVersion = version })
	return &fork{b, b.parent().Reference()}
}

func (f *fork) enable() (*object.Task, error) {
	var c enableCall
	return f.task(f.client.RoundTrip(f.ctx, &enableCall{Req: &vmforkapi.EnableForkParentRequest{This: f.parent}}, &c), &c.Res)
}

func (f *fork) disable() *object.Task {
	f.Helper()
	var c disableCall
	return f.must(f.task(f.client.RoundTrip(f.ctx, &disableCall{Req: &vmforkapi.DisableForkParentRequest{This: f.parent}}, &c), &c.Res))
}

func (f *fork) child(name string, spec vmforkapi.VirtualMachineCreateChildSpec) *object.Task {
	f.Helper()
	var c childCall
	req := &vmforkapi.CreateForkChildRequest{This: f.parent, Name: name, Spec: spec}
	return f.must(f.task(f.client.RoundTrip(f.ctx, &childCall{Req: req}, &c), &c.Res))
}

func (f *fork) children() []types.ManagedObjectReference {
	f.Helper()
	var c childrenCall
	task := f.must(f.task(f.client.RoundTrip(f.ctx, &childrenCall{Req: &vmforkapi.RetrieveForkChildrenRequest{This: f.parent}}, &c), &c.Res))
	info, err := task.WaitForResult(f.ctx, nil)
	if err != nil {
		f.Fatal(err)
	}
	return info.Result.(types.ArrayOfManagedObjectReference).ManagedObjectReference
}

func (f *fork) parentOf(vm types.ManagedObjectReference) types.AnyType {
	f.Helper()
	var c parentCall
	task := f.must(f.task(f.client.RoundTrip(f.ctx, &parentCall{Req: &vmforkapi.RetrieveForkParentRequest{This: vm}}, &c), &c.Res))
	info, err := task.WaitForResult(f.ctx, nil)
	if err != nil {
		f.Fatal(err)
	}
	return info.Result
}

// task returns the task of a call that went well; res is read after the call.
func (f *fork) task(err error, res **vmforkapi.ForkResponse) (*object.Task, error) {
	if err != nil {
		return nil, err
	}
	return object.NewTask(f.client, (*res).Returnval), nil
}

func (f *fork) must(task *object.Task, err error) *object.Task {
	f.Helper()
	if err != nil {
		f.Fatal(err)
	}
	return task
}

// quiesce enables the parent and has its guest begin to be forked.
func (f *fork) quiesce() {
	f.Helper()
	f.result(f.must(f.enable()))
	f.patch("golden-parent", map[string]any{"guest": map[string]any{"files": map[string]string{
		"/root/fork.sh": `vmtoolsd --cmd "vmfork-begin -1 -1" || exit 1
modprobe -r vmxnet3; modprobe vmxnet3
hostnamectl set-hostname "$(vmware-rpctool "info-get guestinfo.fork.hostname")"`,
	}}})
	f.inside(f.parent).start("/bin/sh", "/root/fork.sh")
	err := property.Wait(f.ctx, property.DefaultCollector(f.client), f.parent, []string{"runtime.quiescedForkParent"},
		func(changes []types.PropertyChange) bool { return changes[0].Val == true })
	if err != nil {
		f.Fatal(err)
	}
}

func (f *fork) snapshot() {
	f.Helper()
	task, err := object.NewVirtualMachine(f.client, f.parent).CreateSnapshot(f.ctx, "base", "", false, false)
	if err != nil {
		f.Fatal(err)
	}
	f.result(task)
}

func (f *fork) powerOn(vm types.ManagedObjectReference) *object.Task {
	f.Helper()
	task, err := object.NewVirtualMachine(f.client, vm).PowerOn(f.ctx)
	if err != nil {
		f.Fatal(err)
	}
	return task
}

func hostnameParam(name string) []types.BaseOptionValue {
	return []types.BaseOptionValue{&types.OptionValue{Key: "hostname", Value: name}}
}

func TestReleasesWithVMFork(t *testing.T) {
	for version, has := range map[string]bool{"6.0": true, "6.5": true, "6.7": false, "7.0.3.2": false, "8.0.3.0": false} {
		t.Run(version, func(t *testing.T) {
			f := startFork(t, version)
			task, err := f.enable()
			if has {
				f.result(f.must(task, err))
				return
			}
			f.wantFault(f.callFault(err), &types.MethodNotFound{})
			if f.read(f.parent).Config.ForkConfigInfo != nil {
				t.Error("the VM was changed")
			}
		})
	}
}

func TestPropertiesThatAReleaseDoesNotHave(t *testing.T) {
	for version, known := range map[string]bool{"6.5": false, "6.7": true} {
		t.Run(version, func(t *testing.T) {
			f := startFork(t, version)
			var vm mo.VirtualMachine
			err := property.DefaultCollector(f.client).RetrieveOne(f.ctx, f.parent, []string{"runtime.instantCloneFrozen"}, &vm)
			if !known {
				f.wantFault(f.callFault(err), &types.InvalidProperty{})
			} else if err != nil {
				t.Error(err)
			}
		})
	}
}

func TestEnablingAndDisablingAParent(t *testing.T) {
	f := startFork(t, "6.5")
	vm := f.read(f.parent)
	if vm.Config.ForkConfigInfo != nil || *vm.Runtime.QuiescedForkParent {
		t.Errorf("at first %+v", vm.Config.ForkConfigInfo)
	}
	f.wantFault(f.taskFault(f.disable()), &types.InvalidState{})
	f.result(f.must(f.enable()))
	info := f.read(f.parent).Config.ForkConfigInfo
	if !*info.ParentEnabled || info.ParentForkGroupId == "" || info.ChildType != "none" {
		t.Errorf("enabled: %+v", info)
	}
	f.wantFault(f.taskFault(f.must(f.enable())), &types.InvalidState{})
	f.result(f.disable())
	if info := f.read(f.parent).Config.ForkConfigInfo; info.ParentEnabled != nil || info.ParentForkGroupId != "" {
		t.Errorf("disabled: %+v", info)
	}
	f.client = f.as("VirtualMachine.Provisioning.Clone")
	_, err := f.enable()
	f.wantFault(f.callFault(err), &types.NoPermission{})
	f.client = f.as("VirtualMachine.Config.ToggleForkParent")
	f.result(f.must(f.enable()))
}

func TestQuiescing(t *testing.T) {
	f := startFork(t, "6.0")
	in := f.inside(f.parent)
	if code := in.ended(in.start("/usr/bin/vmtoolsd", `--cmd "vmfork-begin -1 -1"`)); code != 1 {
		t.Errorf("in a VM that is no parent it ends with %d", code)
	}
	f.quiesce()
	vm := f.read(f.parent)
	if vm.Runtime.PowerState != core.PoweredOn || !*vm.Summary.Runtime.QuiescedForkParent || vm.Guest.ToolsRunningStatus != string(types.VirtualMachineToolsRunningStatusGuestToolsNotRunning) {
		t.Errorf("quiesced: %+v, Tools %s", vm.Runtime, vm.Guest.ToolsRunningStatus)
	}
	f.reset("golden-parent")
	if vm := f.read(f.parent); *vm.Runtime.QuiescedForkParent || !*f.sim.VM(f.parent).Config.ForkConfigInfo.ParentEnabled {
		t.Errorf("after a reset: %+v", vm.Runtime)
	}
}

func TestNonPersistentChildren(t *testing.T) {
	f := startFork(t, "6.5")
	f.wantFault(f.taskFault(f.child("early", vmforkapi.VirtualMachineCreateChildSpec{})), &types.InvalidState{})
	f.result(f.must(f.enable()))
	child := f.result(f.child("child", vmforkapi.VirtualMachineCreateChildSpec{ConfigParams: hostnameParam("forked")}))
	vm := f.read(child)
	info := vm.Config.ForkConfigInfo
	if vm.Runtime.PowerState != core.PoweredOff || info.ChildType != clones.ChildNonpersistent || info.ChildForkGroupId != f.read(f.parent).Config.ForkConfigInfo.ParentForkGroupId {
		t.Errorf("the child is %s, %+v", vm.Runtime.PowerState, info)
	}
	if *vm.Runtime.Host != *f.read(f.parent).Runtime.Host || nicMAC(vm) == nicMAC(f.read(f.parent)) {
		t.Error("the child is not on its parent's host, or has its parent's MAC address")
	}
	f.wantFault(f.taskFault(f.powerOn(child)), &types.InvalidState{})
	if got := f.children(); !slices.Equal(got, []types.ManagedObjectReference{child}) {
		t.Errorf("children %v", got)
	}
	if got := f.parentOf(child); got != f.parent {
		t.Errorf("parent %v", got)
	}
	if got := f.parentOf(f.parent); got != nil {
		t.Errorf("a parent's parent is %v", got)
	}
}

func TestAChildGoesOnWhereItsParentStandsStill(t *testing.T) {
	f := startFork(t, "6.5")
	f.quiesce()
	for _, name := range []string{"one", "two"} {
		child := f.result(f.child(name, vmforkapi.VirtualMachineCreateChildSpec{ConfigParams: hostnameParam("forked-" + name)}))
		for range 2 { // a second start is a fork again
			f.result(f.powerOn(child))
			g := f.reports(child, func(g *types.GuestInfo) bool { return g.HostName == "forked-"+name })
			if g.Net[0].MacAddress != nicMAC(f.read(child)) {
				t.Errorf("%s has the card %+v", name, g.Net)
			}
			if f.guestFile(name, "/etc/hostname") != "forked-"+name+"\n" {
				t.Errorf("%s is named by somebody else", name)
			}
			if name == "one" {
				f.wantFault(f.taskFault(f.disable()), &types.InvalidState{})
			}
			task, err := object.NewVirtualMachine(f.client, child).PowerOff(f.ctx)
			if err != nil {
				t.Fatal(err)
			}
			f.result(task)
		}
	}
	f.result(f.disable())
	if vm := f.read(f.parent); !*vm.Runtime.QuiescedForkParent {
		t.Error("disabling let the parent run")
	}
}

func TestPersistentChildren(t *testing.T) {
	f := startFork(t, "6.5")
	spec := vmforkapi.VirtualMachineCreateChildSpec{Persistent: true, ConfigParams: hostnameParam("forked")}
	f.result(f.must(f.enable()))
	f.wantFault(f.taskFault(f.child("early", spec)), &types.InvalidState{})
	f.snapshot()
	f.wantFault(f.taskFault(f.child("early", spec)), &types.InvalidState{})
	f.result(f.disable())
	f.quiesce()
	child := f.result(f.child("child", spec))
	if info := f.read(child).Config.ForkConfigInfo; info.ChildType != "persistent" {
		t.Errorf("the child is %+v", info)
	}
	f.result(f.powerOn(child))
	f.reports(child, func(g *types.GuestInfo) bool { return g.HostName == "forked" })
	if info := f.read(child).Config.ForkConfigInfo; info.ChildType != "none" {
		t.Errorf("after its first start the child is %+v", info)
	}
	f.reset("golden-parent")
	off, err := object.NewVirtualMachine(f.client, child).PowerOff(f.ctx)
	if err != nil {
		t.Fatal(err)
	}
	f.result(off)
	f.result(f.powerOn(child)) // it needs its parent no more
	f.destroy(child)
	if got := f.children(); len(got) != 0 {
		t.Errorf("children %v", got)
	}
}

func TestAPersistentChildNeedsASnapshot(t *testing.T) {
	f := startFork(t, "6.5")
	f.quiesce()
	f.wantFault(f.taskFault(f.child("child", vmforkapi.VirtualMachineCreateChildSpec{Persistent: true})), &types.InvalidState{})
}

func TestWhatAChildsSpecificationMayHold(t *testing.T) {
	f := startFork(t, "6.5")
	f.quiesce()
	f.snapshot()
	host := *f.read(f.parent).Runtime.Host
	other := f.find("/DC0/host/DC0_C1/Resources")
	if mine, _ := f.sim.ComputeOf(host); mine == f.find("/DC0/host/DC0_C1") {
		other = f.find("/DC0/host/DC0_C0/Resources")
	}
	folder, ds := f.find("/DC0/vm/DC0_F0"), f.find("/DC0/datastore/LocalDS_1")
	disk := []types.VirtualMachineRelocateSpecDiskLocator{{DiskId: 2000, Datastore: ds}}
	for name, c := range map[string]struct {
		child      string
		loc        types.VirtualMachineRelocateSpec
		persistent bool
		params     []types.BaseOptionValue
		want       types.BaseMethodFault
	}{
		"folder":              {"a", types.VirtualMachineRelocateSpec{Folder: &folder}, false, nil, nil},
		"datastore":           {"b", types.VirtualMachineRelocateSpec{Datastore: &ds}, false, nil, nil},
		"disks":               {"c", types.VirtualMachineRelocateSpec{Disk: disk}, true, nil, nil},
		"disks of a passing":  {"d", types.VirtualMachineRelocateSpec{Disk: disk}, false, nil, &types.InvalidArgument{}},
		"host":                {"e", types.VirtualMachineRelocateSpec{Host: &host}, false, nil, &types.InvalidArgument{}},
		"devices":             {"f", types.VirtualMachineRelocateSpec{DeviceChange: []types.BaseVirtualDeviceConfigSpec{&types.VirtualDeviceConfigSpec{}}}, false, nil, &types.InvalidArgument{}},
		"another pool":        {"g", types.VirtualMachineRelocateSpec{Pool: &other}, false, nil, &types.InvalidArgument{}},
		"no name":             {"", types.VirtualMachineRelocateSpec{}, false, nil, &types.InvalidArgument{}},
		"taken name":          {"golden-parent", types.VirtualMachineRelocateSpec{}, false, nil, &types.DuplicateName{}},
		"pair without a name": {"h", types.VirtualMachineRelocateSpec{}, false, []types.BaseOptionValue{&types.OptionValue{Value: "x"}}, &types.InvalidArgument{}},
	} {
		t.Run(name, func(t *testing.T) {
			f.T = t
			task := f.child(c.child, vmforkapi.VirtualMachineCreateChildSpec{Location: &c.loc, Persistent: c.persistent, ConfigParams: c.params})
			if c.want == nil {
				f.result(task)
				return
			}
			f.wantFault(f.taskFault(task), c.want)
		})
	}
}

func TestDeletingAParentForgetsItsChildren(t *testing.T) {
	f := startFork(t, "6.5")
	f.result(f.must(f.enable()))
	child := f.result(f.child("child", vmforkapi.VirtualMachineCreateChildSpec{}))
	f.destroy(f.parent)
	if got := f.parentOf(child); got != nil {
		t.Errorf("parent %v", got)
	}
	f.wantFault(f.taskFault(f.powerOn(child)), &types.InvalidState{})
}
