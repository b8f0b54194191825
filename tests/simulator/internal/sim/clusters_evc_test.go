// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package sim

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/property"
	"github.com/vmware/govmomi/vim25"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/settings"
)

// processors has one cluster, whose hosts have these processors.
func processors(names ...string) func(*settings.Config) {
	return func(c *settings.Config) {
		c.Clusters, c.Hosts, c.VMs, c.Parents, c.Processors = 1, len(names), 0, 0, names
	}
}

func (b *bench) evcManager() types.ManagedObjectReference {
	b.Helper()
	res, err := methods.EvcManager(b.ctx, b.client, &types.EvcManager{This: *b.ref("/DC0/host/DC0_C0")})
	if err != nil {
		b.Fatal(err)
	}
	return *res.Returnval
}

// configured sets a mode and returns the fault, by name.
func (b *bench) configured(key string) any {
	b.Helper()
	res, err := methods.ConfigureEvcMode_Task(b.ctx, b.client, &types.ConfigureEvcMode_Task{This: b.evcManager(), EvcModeKey: key})
	if err != nil {
		b.Fatal(err)
	}
	return b.ended(res.Returnval)
}

// ended waits for a task and returns its fault, nil for none.
func (b *bench) ended(task types.ManagedObjectReference) any {
	b.Helper()
	info, err := object.NewTask(b.client, task).WaitForResult(b.ctx, nil)
	if err == nil {
		return nil
	}
	return info.Error.Fault
}

// checked asks what stands in the way of a mode: names of faults, with those of the hosts.
func (b *bench) checked(key string) []string {
	b.Helper()
	res, err := methods.CheckConfigureEvcMode_Task(b.ctx, b.client, &types.CheckConfigureEvcMode_Task{This: b.evcManager(), EvcModeKey: key})
	if err != nil {
		b.Fatal(err)
	}
	info, err := object.NewTask(b.client, res.Returnval).WaitForResult(b.ctx, nil)
	if err != nil {
		b.Fatal(err)
	}
	var out []string
	for _, r := range info.Result.(types.ArrayOfClusterEVCManagerCheckResult).ClusterEVCManagerCheckResult {
		var hosts []string
		for _, h := range r.Host {
			hosts = append(hosts, b.sim.Host(h).Name[len("DC0_C0_"):])
		}
		out = append(out, strings.Join(append([]string{reflect.TypeOf(r.Error.Fault).Elem().Name()}, hosts...), " "))
	}
	return out
}

func (b *bench) evcState() mo.ClusterEVCManager {
	b.Helper()
	var m mo.ClusterEVCManager
	if err := property.DefaultCollector(b.client).RetrieveOne(b.ctx, b.evcManager(), nil, &m); err != nil {
		b.Fatal(err)
	}
	return m
}

func TestAClusterGetsAnEVCMode(t *testing.T) {
	b := start(t, processors("xeon-haswell", "xeon-skylake"))
	if got := b.checked("intel-haswell"); got != nil {
		t.Errorf("an empty cluster: %v", got)
	}
	if fault := b.configured("intel-haswell"); fault != nil {
		t.Fatalf("%#v", fault)
	}
	state := b.evcState().EvcState
	if state.CurrentEVCModeKey != "intel-haswell" || len(state.FeatureMask) == 0 || len(state.SupportedEVCMode) != 23 {
		t.Errorf("%s with %d masks, of %d modes", state.CurrentEVCModeKey, len(state.FeatureMask), len(state.SupportedEVCMode))
	}
	var host mo.HostSystem
	ref := b.ref("/DC0/host/DC0_C0/DC0_C0_H1")
	if err := property.DefaultCollector(b.client).RetrieveOne(b.ctx, *ref, []string{"summary", "config", "hardware"}, &host); err != nil {
		t.Fatal(err)
	}
	if host.Summary.CurrentEVCModeKey != "intel-haswell" || host.Summary.MaxEVCModeKey != "intel-skylake" {
		t.Errorf("%q of %q", host.Summary.CurrentEVCModeKey, host.Summary.MaxEVCModeKey)
	}
	if v := capability(host.Config.FeatureCapability, "cpuid.smap") + capability(host.Config.MaskedFeatureCapability, "cpuid.smap"); v != "10" {
		t.Errorf("smap and what the mode leaves of it: %s", v)
	}
	if got := host.Hardware.CpuFeature[1].Eax; got != "0000:0000:0000:0101:0000:0110:0101:0100" {
		t.Errorf("leaf 1 of 00050654: %s", got)
	}
	vm := b.made("evc-low", map[string]any{})
	if got := b.runtimeOf(vm).MinRequiredEVCModeKey; got != "intel-haswell" {
		t.Errorf("a VM that was started in the mode needs %q", got)
	}
	res, err := methods.DisableEvcMode_Task(b.ctx, b.client, &types.DisableEvcMode_Task{This: b.evcManager()})
	if err != nil || b.ended(res.Returnval) != nil {
		t.Fatal("not disabled")
	}
	if state := b.evcState().EvcState; state.CurrentEVCModeKey != "" || state.FeatureMask != nil {
		t.Error("still on")
	}
}

func capability(list []types.HostFeatureCapability, key string) string {
	for _, c := range list {
		if c.Key == key {
			return c.Value
		}
	}
	return ""
}

func (b *bench) runtimeOf(vm types.ManagedObjectReference) types.VirtualMachineRuntimeInfo {
	b.Helper()
	var m mo.VirtualMachine
	if err := property.DefaultCollector(b.client).RetrieveOne(b.ctx, vm, []string{"runtime"}, &m); err != nil {
		b.Fatal(err)
	}
	return m.Runtime
}

func TestAModeIsRefusedAsVCenterRefusesIt(t *testing.T) {
	for name, c := range map[string]struct {
		processors []string
		mode       string
		want       []string
	}{
		"a host lacks features":   {[]string{"xeon-haswell", "xeon-skylake"}, "intel-skylake", []string{"EVCModeUnsupportedByHosts H0"}},
		"another vendor's mode":   {[]string{"xeon-haswell"}, "amd-zen", []string{"EVCModeIllegalByVendor H0"}},
		"hosts of two vendors":    {[]string{"xeon-haswell", "epyc-rome"}, "intel-haswell", []string{"HeterogenousHostsBlockingEVC H0 H1"}},
		"a processor without EVC": {[]string{"xeon-cranford", "xeon-haswell"}, "intel-merom", []string{"EVCUnsupportedByHostHardware H0"}},
		"newer AMD, older mode":   {[]string{"epyc-rome"}, "amd-piledriver", []string{"EVCModeUnsupportedByHosts H0"}},
	} {
		t.Run(name, func(t *testing.T) {
			b := start(t, processors(c.processors...))
			if got := b.checked(c.mode); !slices.Equal(got, c.want) {
				t.Errorf("checked: %v", got)
			}
			first, _, _ := strings.Cut(c.want[0], " ")
			if fault := b.configured(c.mode); fault == nil || reflect.TypeOf(fault).Elem().Name() != first {
				t.Errorf("configured: %#v", fault)
			}
			if key := b.evcState().EvcState.CurrentEVCModeKey; key != "" {
				t.Errorf("it has a mode: %s", key)
			}
		})
	}
}

func TestRunningVMsBlockALowerMode(t *testing.T) {
	b := start(t, processors("xeon-broadwell"))
	vm := b.made("evc-running", map[string]any{})
	if got := b.checked("intel-haswell"); !slices.Equal(got, []string{"ActiveVMsBlockingEVC H0"}) {
		t.Errorf("running: %v", got)
	}
	if fault, ok := b.configured("intel-haswell").(*types.ActiveVMsBlockingEVC); !ok || len(fault.Faults) != 1 {
		t.Errorf("%#v", fault)
	} else if lacking := fault.Faults[0].Fault.(*types.FeatureRequirementsNotMet); *lacking.Vm != vm || len(lacking.FeatureRequirement) == 0 {
		t.Errorf("%#v", lacking)
	}
	if got := b.checked("intel-broadwell"); got != nil {
		t.Errorf("the mode of the host itself: %v", got)
	}
	if fault := b.configured("intel-broadwell"); fault != nil {
		t.Errorf("%#v", fault)
	}
	if got := b.checked("intel-haswell"); !slices.Equal(got, []string{"ActiveVMsBlockingEVC H0"}) {
		t.Errorf("lowered: %v", got)
	}
	b.powered(vm, false)
	if fault := b.configured("intel-haswell"); fault != nil {
		t.Errorf("%#v", fault)
	}
	b.control("POST", "/hosts/DC0_C0_H0", map[string]any{"connection": "disconnected"}, nil)
	if got := b.checked("intel-merom"); !slices.Equal(got, []string{"DisconnectedHostsBlockingEVC H0"}) {
		t.Errorf("disconnected, lowered: %v", got)
	}
	if got := b.checked("intel-haswell"); got != nil {
		t.Errorf("disconnected, the same: %v", got)
	}
}

func TestAHostMayHaveMoreThanItsMode(t *testing.T) {
	b := start(t, processors("xeon-skylake"))
	vm := b.made("evc-beyond", map[string]any{})
	if got := b.runtimeOf(vm).MinRequiredEVCModeKey; got != "intel-cascadelake" {
		t.Errorf("XGETBV with ECX 1 is in no lower mode than %q", got)
	}
	if got := b.checked("intel-skylake"); !slices.Equal(got, []string{"ActiveVMsBlockingEVC H0"}) {
		t.Errorf("%v", got)
	}
}

func (b *bench) powered(vm types.ManagedObjectReference, on bool) {
	b.Helper()
	if on {
		res, err := methods.PowerOnVM_Task(b.ctx, b.client, &types.PowerOnVM_Task{This: vm})
		if err != nil || b.ended(res.Returnval) != nil {
			b.Fatal("not powered on")
		}
		return
	}
	res, err := methods.PowerOffVM_Task(b.ctx, b.client, &types.PowerOffVM_Task{This: vm})
	if err != nil || b.ended(res.Returnval) != nil {
		b.Fatal("not powered off")
	}
}

func (b *bench) applied(vm types.ManagedObjectReference, mask []types.HostFeatureMask) any {
	b.Helper()
	res, err := methods.ApplyEvcModeVM_Task(b.ctx, b.client, &types.ApplyEvcModeVM_Task{This: vm, Mask: mask})
	if err != nil {
		b.Fatal(err)
	}
	return b.ended(res.Returnval)
}

func TestAVMGetsAModeOfItsOwn(t *testing.T) {
	b := start(t, processors("xeon-skylake"))
	masks := map[string][]types.HostFeatureMask{}
	for _, m := range b.evcState().EvcState.SupportedEVCMode {
		masks[m.Key] = m.FeatureMask
	}
	vm := b.made("evc-own", map[string]any{})
	if fault, ok := b.applied(vm, masks["intel-haswell"]).(*types.InvalidPowerState); !ok {
		t.Errorf("of a running VM: %#v", fault)
	}
	b.powered(vm, false)
	if got := b.runtimeOf(vm); got.MinRequiredEVCModeKey != "" || got.FeatureRequirement != nil {
		t.Errorf("off: %q", got.MinRequiredEVCModeKey)
	}
	if fault := b.applied(vm, masks["intel-haswell"]); fault != nil {
		t.Fatalf("%#v", fault)
	}
	if got := b.runtimeOf(vm); got.MinRequiredEVCModeKey != "intel-haswell" || len(got.FeatureMask) == 0 {
		t.Errorf("%q with %d masks", got.MinRequiredEVCModeKey, len(got.FeatureMask))
	}
	b.powered(vm, true)
	if got := b.checked("intel-haswell"); got != nil {
		t.Errorf("a running VM of that mode is in its way: %v", got)
	}
	b.control("POST", "/clusters/DC0_C0/evc", map[string]any{"by_host": true}, nil)
	if got := b.checked("intel-haswell"); !slices.Equal(got, []string{"ActiveVMsBlockingEVC H0"}) {
		t.Errorf("by the hosts alone: %v", got)
	}
	b.powered(vm, false)
	if fault := b.applied(vm, masks["intel-icelake"]); fault != nil {
		t.Fatalf("%#v", fault)
	}
	res, err := methods.PowerOnVM_Task(b.ctx, b.client, &types.PowerOnVM_Task{This: vm})
	if err != nil {
		t.Fatal(err)
	}
	if fault, ok := b.ended(res.Returnval).(*types.FeatureRequirementsNotMet); !ok {
		t.Errorf("started on a host that has less: %#v", fault)
	}
	if fault := b.applied(vm, nil); fault != nil {
		t.Fatalf("%#v", fault)
	}
	if got := b.runtimeOf(vm); got.MinRequiredEVCModeKey != "" || got.FeatureMask != nil {
		t.Errorf("cleared: %q", got.MinRequiredEVCModeKey)
	}
	old := b.made("evc-old", map[string]any{"hardware": "vmx-13", "on": false})
	if fault, ok := b.applied(old, masks["intel-haswell"]).(*types.NotSupported); !ok {
		t.Errorf("of hardware 13: %#v", fault)
	}
	if fault, ok := b.applied(vm, []types.HostFeatureMask{{Key: "cpuid.avx", Value: "1"}}).(*types.InvalidArgument); !ok {
		t.Errorf("a mask that is none: %#v", fault)
	}
}

func TestEVCNeedsPrivilegesAndAModeThatTheReleaseHas(t *testing.T) {
	b := start(t, processors("xeon-haswell"), func(c *settings.Config) { c.APIVersion = "6.7" })
	vm := b.made("evc-rights", map[string]any{"on": false})
	looker := b.as("VirtualMachine.Interact.PowerOn")
	manager := b.evcManager()
	_, err := methods.ConfigureEvcMode_Task(b.ctx, looker, &types.ConfigureEvcMode_Task{This: manager, EvcModeKey: "intel-haswell"})
	if f, ok := b.callFault(err).(types.NoPermission); !ok || f.PrivilegeId != "Host.Inventory.EditCluster" {
		t.Errorf("%#v", f)
	}
	_, err = methods.ApplyEvcModeVM_Task(b.ctx, looker, &types.ApplyEvcModeVM_Task{This: vm})
	if f, ok := b.callFault(err).(types.NoPermission); !ok || f.PrivilegeId != "VirtualMachine.Config.Settings" {
		t.Errorf("%#v", f)
	}
	_, err = methods.CheckConfigureEvcMode_Task(b.ctx, b.client, &types.CheckConfigureEvcMode_Task{This: manager, EvcModeKey: "intel-icelake"})
	b.wantInvalid(b.callFault(err), "evcModeKey")
	_, err = methods.CheckConfigureEvcMode_Task(b.ctx, b.client, &types.CheckConfigureEvcMode_Task{
		This: manager, EvcModeKey: "intel-haswell", EvcGraphicsModeKey: "d3d11",
	})
	b.wantInvalid(b.callFault(err), "evcGraphicsModeKey")
	var instance mo.ServiceInstance
	if err := property.DefaultCollector(b.client).RetrieveOne(b.ctx, vim25.ServiceInstance, []string{"capability"}, &instance); err != nil {
		t.Fatal(err)
	}
	if n := len(instance.Capability.SupportedEVCGraphicsMode); n > 0 || instance.Capability.SupportedEVCMode[8].Key != "intel-skylake" {
		t.Errorf("%d graphics modes; %s", n, instance.Capability.SupportedEVCMode[8].Key)
	}
}

func TestARunningVMMovesOnlyWhereItsFeaturesAre(t *testing.T) {
	b := start(t, processors("xeon-skylake", "xeon-haswell"))
	vm := b.made("evc-moving", map[string]any{"host": "DC0_C0_H0"})
	to := b.ref("/DC0/host/DC0_C0/DC0_C0_H1")
	move := func() any {
		res, err := methods.RelocateVM_Task(b.ctx, b.client, &types.RelocateVM_Task{This: vm, Spec: types.VirtualMachineRelocateSpec{Host: to}})
		if err != nil {
			t.Fatal(err)
		}
		return b.ended(res.Returnval)
	}
	if fault, ok := move().(*types.FeatureRequirementsNotMet); !ok {
		t.Errorf("%#v", fault)
	}
	b.powered(vm, false)
	if fault := move(); fault != nil {
		t.Errorf("off: %#v", fault)
	}
	if status := b.control("POST", "/hosts/DC0_C0_H1", map[string]any{"processor": "xeon-nothing"}, nil); status != 400 {
		t.Errorf("an unknown processor: %d", status)
	}
}

func TestTheCheckOfAHostToAdd(t *testing.T) {
	b := start(t, processors("xeon-skylake", "epyc-rome"), func(c *settings.Config) { c.Clusters, c.Hosts = 2, 1 })
	b.control("POST", "/hosts/DC0_C1_H0", map[string]any{"processor": "epyc-rome"}, nil)
	if fault := b.configured("intel-skylake"); fault != nil {
		t.Fatalf("%#v", fault)
	}
	res, err := methods.CheckAddHostEvc_Task(b.ctx, b.client, &types.CheckAddHostEvc_Task{
		This: b.evcManager(), CnxSpec: types.HostConnectSpec{HostName: "DC0_C1_H0"},
	})
	if err != nil {
		t.Fatal(err)
	}
	info, err := object.NewTask(b.client, res.Returnval).WaitForResult(b.ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	found := info.Result.(types.ArrayOfClusterEVCManagerCheckResult).ClusterEVCManagerCheckResult
	if _, ok := found[0].Error.Fault.(*types.EVCAdmissionFailedCPUVendor); !ok {
		t.Errorf("%#v", found)
	}
}
