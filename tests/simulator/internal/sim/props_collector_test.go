// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package sim

import (
	"fmt"
	"testing"

	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/property"
	"github.com/vmware/govmomi/view"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/core"
	"vforge.vsphere/simulator/internal/settings"
)

// filter makes a property filter on one object.
func (b *bench) filter(pc, ref types.ManagedObjectReference, paths ...string) types.ManagedObjectReference {
	b.Helper()
	res, err := methods.CreateFilter(b.ctx, b.client, &types.CreateFilter{This: pc, Spec: types.PropertyFilterSpec{
		PropSet:   []types.PropertySpec{{Type: ref.Type, PathSet: paths}},
		ObjectSet: []types.ObjectSpec{{Obj: ref}},
	}})
	if err != nil {
		b.Fatal(err)
	}
	return res.Returnval
}

// wait asks for updates; it returns nil when there are none in time.
func (b *bench) wait(pc types.ManagedObjectReference, version string, seconds int32) *types.UpdateSet {
	b.Helper()
	res, err := methods.WaitForUpdatesEx(b.ctx, b.client, &types.WaitForUpdatesEx{
		This: pc, Version: version, Options: &types.WaitOptions{MaxWaitSeconds: &seconds},
	})
	if err != nil {
		b.Fatal(err)
	}
	return res.Returnval
}

func (b *bench) collector() types.ManagedObjectReference {
	b.Helper()
	pc, err := property.DefaultCollector(b.client).Create(b.ctx)
	if err != nil {
		b.Fatal(err)
	}
	return pc.Reference()
}

func (b *bench) retrieve(spec types.PropertyFilterSpec, size int32) ([]types.ObjectContent, error) {
	res, err := methods.RetrievePropertiesEx(b.ctx, b.client, &types.RetrievePropertiesEx{
		This: b.client.ServiceContent.PropertyCollector, SpecSet: []types.PropertyFilterSpec{spec},
		Options: types.RetrieveOptions{MaxObjects: size},
	})
	if err != nil || res.Returnval == nil {
		return nil, err
	}
	out, token := res.Returnval.Objects, res.Returnval.Token
	for token != "" {
		next, err := methods.ContinueRetrievePropertiesEx(b.ctx, b.client, &types.ContinueRetrievePropertiesEx{
			This: b.client.ServiceContent.PropertyCollector, Token: token,
		})
		if err != nil {
			return nil, err
		}
		out, token = append(out, next.Returnval.Objects...), next.Returnval.Token
	}
	return out, nil
}

// allVMs selects every VM below the root folder, by way of folders.
func (b *bench) allVMs(paths ...string) types.PropertyFilterSpec {
	step := func(name, kind, path string, next ...string) *types.TraversalSpec {
		ts := &types.TraversalSpec{SelectionSpec: types.SelectionSpec{Name: name}, Type: kind, Path: path}
		for _, n := range next {
			ts.SelectSet = append(ts.SelectSet, &types.SelectionSpec{Name: n})
		}
		return ts
	}
	return types.PropertyFilterSpec{
		PropSet: []types.PropertySpec{{Type: "VirtualMachine", PathSet: paths}},
		ObjectSet: []types.ObjectSpec{{
			Obj: b.client.ServiceContent.RootFolder, Skip: types.NewBool(true),
			SelectSet: []types.BaseSelectionSpec{
				step("folder", "Folder", "childEntity", "folder", "datacenter"),
				step("datacenter", "Datacenter", "vmFolder", "folder"),
			},
		}},
	}
}

// What is left of an answer is its collector's, and goes with it.
func TestAnAnswerIsReadOnWithItsCollector(t *testing.T) {
	b := start(t, func(c *settings.Config) { c.VMs = 30 })
	own := b.collector()
	begun := func() string {
		res, err := methods.RetrievePropertiesEx(b.ctx, b.client, &types.RetrievePropertiesEx{
			This: own, SpecSet: []types.PropertyFilterSpec{b.allVMs("name")}, Options: types.RetrieveOptions{MaxObjects: 10},
		})
		if err != nil || res.Returnval == nil || res.Returnval.Token == "" {
			t.Fatalf("%v, %v", err, res)
		}
		return res.Returnval.Token
	}
	readOn := func(with types.ManagedObjectReference, token string) error {
		_, err := methods.ContinueRetrievePropertiesEx(b.ctx, b.client, &types.ContinueRetrievePropertiesEx{This: with, Token: token})
		return err
	}
	token := begun()
	b.wantFault(b.callFault(readOn(b.client.ServiceContent.PropertyCollector, token)), &types.InvalidArgument{})
	if err := readOn(own, token); err != nil {
		t.Error(err)
	}
	token = begun()
	if _, err := methods.DestroyPropertyCollector(b.ctx, b.client, &types.DestroyPropertyCollector{This: own}); err != nil {
		t.Fatal(err)
	}
	if readOn(own, token) == nil {
		t.Error("an answer outlives its collector")
	}
}

func TestTraversalFindsEachVMOnce(t *testing.T) {
	b := start(t, func(c *settings.Config) { c.VMs = 30 })
	for _, size := range []int32{0, 7, 31, 100} {
		objects, err := b.retrieve(b.allVMs("name"), size)
		if err != nil {
			t.Fatal(err)
		}
		seen := make(map[types.ManagedObjectReference]bool)
		for _, o := range objects {
			if seen[o.Obj] || len(o.PropSet) != 1 {
				t.Errorf("page size %d: %v twice, or %d properties", size, o.Obj, len(o.PropSet))
			}
			seen[o.Obj] = true
		}
		if len(seen) != 31 {
			t.Errorf("page size %d: %d VMs, want 31", size, len(seen))
		}
	}
}

func TestPropertyPaths(t *testing.T) {
	b := start(t)
	ref := b.clone("paths", func(s *types.VirtualMachineInstantCloneSpec) {
		s.Config = []types.BaseOptionValue{&types.OptionValue{Key: "guestinfo.role", Value: "web"}}
	})
	for path, want := range map[string]any{
		"name":                   "paths",
		"summary.config.name":    "paths",
		"config.hardware.numCPU": int32(2),
		"runtime.host":           *b.read(ref).Runtime.Host,
		"config.extraConfig[\"guestinfo.role\"].value": "web",
		"snapshot":                        nil,
		"config.extraConfig[\"no.such\"]": nil,
	} {
		objects, err := b.retrieve(types.PropertyFilterSpec{
			PropSet:   []types.PropertySpec{{Type: "VirtualMachine", PathSet: []string{path}}},
			ObjectSet: []types.ObjectSpec{{Obj: ref}},
		}, 0)
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		var got any
		if len(objects[0].PropSet) > 0 {
			got = objects[0].PropSet[0].Val
		}
		if got != want {
			t.Errorf("%s is %v, want %v", path, got, want)
		}
	}
}

func TestWhatIsWrongWithAReadIsAFault(t *testing.T) {
	b := start(t)
	ref := b.parent().Reference()
	one := func(kind, path string) types.PropertyFilterSpec {
		return types.PropertyFilterSpec{
			PropSet:   []types.PropertySpec{{Type: kind, PathSet: []string{path}}},
			ObjectSet: []types.ObjectSpec{{Obj: ref}},
		}
	}
	lost := b.allVMs("name")
	lost.ObjectSet[0].SelectSet = []types.BaseSelectionSpec{&types.SelectionSpec{Name: "nowhere"}}
	gone := one("VirtualMachine", "name")
	gone.ObjectSet[0].Obj.Value = "vm-999999"
	for name, c := range map[string]struct {
		spec types.PropertyFilterSpec
		want types.BaseMethodFault
	}{
		"no such property":           {one("VirtualMachine", "colour"), &types.InvalidProperty{}},
		"no such nested property":    {one("VirtualMachine", "config.colour"), &types.InvalidProperty{}},
		"capital letter":             {one("VirtualMachine", "Name"), &types.InvalidProperty{}},
		"property of a derived type": {one("ManagedEntity", "config"), &types.InvalidProperty{}},
		"undefined traversal":        {lost, &types.InvalidArgument{}},
		"no such object":             {gone, &types.ManagedObjectNotFound{}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := b.retrieve(c.spec, 0)
			b.wantFault(b.callFault(err), c.want)
		})
	}
	_, err := methods.ContinueRetrievePropertiesEx(b.ctx, b.client, &types.ContinueRetrievePropertiesEx{
		This: b.client.ServiceContent.PropertyCollector, Token: "made-up",
	})
	b.wantFault(b.callFault(err), &types.InvalidArgument{})
}

func TestWaitReportsOnlyChanges(t *testing.T) {
	b := start(t)
	pc, ref := b.collector(), b.parent().Reference()
	b.filter(pc, ref, "name", "runtime.powerState")
	first := b.wait(pc, "", 0)
	if len(first.FilterSet) != 1 || first.FilterSet[0].ObjectSet[0].Kind != types.ObjectUpdateKindEnter ||
		len(first.FilterSet[0].ObjectSet[0].ChangeSet) != 2 {
		t.Fatalf("first update: %+v", first)
	}
	if again := b.wait(pc, first.Version, 0); again != nil {
		t.Fatalf("nothing changed, but: %+v", again)
	}
	b.patch("golden-parent", map[string]any{"guest": map[string]any{"ipv4": "192.0.2.7"}})
	if again := b.wait(pc, first.Version, 0); again != nil {
		t.Fatalf("nothing that the filter is about changed, but: %+v", again)
	}
	task, err := b.parent().Suspend(b.ctx)
	if err != nil {
		t.Fatal(err)
	}
	next := b.wait(pc, first.Version, 30)
	b.result(task)
	u := next.FilterSet[0].ObjectSet[0]
	if u.Kind != types.ObjectUpdateKindModify || len(u.ChangeSet) != 1 || u.ChangeSet[0].Val != core.Suspended {
		t.Errorf("update: %+v", u)
	}
}

func TestVersionsOfAWait(t *testing.T) {
	b := start(t)
	pc := b.collector()
	b.filter(pc, b.parent().Reference(), "name")
	first := b.wait(pc, "", 0)
	_, err := methods.WaitForUpdatesEx(b.ctx, b.client, &types.WaitForUpdatesEx{This: pc, Version: "12345"})
	b.wantFault(b.callFault(err), &types.InvalidCollectorVersion{})
	anew := b.wait(pc, "", 0)
	if len(anew.FilterSet) != 1 || anew.Version == first.Version {
		t.Errorf("starting anew reported %+v", anew)
	}
}

func TestWaitIsCutIntoPages(t *testing.T) {
	b := start(t, func(c *settings.Config) { c.VMs = 249 })
	pc := b.collector()
	_, err := methods.CreateFilter(b.ctx, b.client, &types.CreateFilter{This: pc, Spec: b.allVMs("name")})
	if err != nil {
		t.Fatal(err)
	}
	version, sizes := "", []int{}
	for {
		set := b.wait(pc, version, 0)
		version = set.Version
		sizes = append(sizes, len(set.FilterSet[0].ObjectSet))
		if set.Truncated == nil || !*set.Truncated {
			break
		}
	}
	if fmt.Sprint(sizes) != "[100 100 50]" {
		t.Errorf("pages of %v, want 100, 100 and 50", sizes)
	}
}

func TestTraversingFilterFollowsTheInventory(t *testing.T) {
	b := start(t)
	pc := b.collector()
	_, err := methods.CreateFilter(b.ctx, b.client, &types.CreateFilter{This: pc, Spec: b.allVMs("name")})
	if err != nil {
		t.Fatal(err)
	}
	version := b.wait(pc, "", 0).Version
	ref := b.clone("newcomer")
	set := b.wait(pc, version, 30)
	u := set.FilterSet[0].ObjectSet
	if len(u) != 1 || u[0].Kind != types.ObjectUpdateKindEnter || u[0].Obj != ref {
		t.Fatalf("a new VM was reported as %+v", u)
	}
	b.destroy(ref)
	set = b.wait(pc, set.Version, 30)
	u = set.FilterSet[0].ObjectSet
	if len(u) != 1 || u[0].Kind != types.ObjectUpdateKindLeave || u[0].Obj != ref {
		t.Errorf("a VM that went was reported as %+v", u)
	}
}

func TestListViewIsFollowed(t *testing.T) {
	b := start(t)
	list, err := view.NewManager(b.client).CreateListView(b.ctx, []types.ManagedObjectReference{b.parent().Reference()})
	if err != nil {
		t.Fatal(err)
	}
	pc := b.collector()
	_, err = methods.CreateFilter(b.ctx, b.client, &types.CreateFilter{This: pc, Spec: types.PropertyFilterSpec{
		PropSet: []types.PropertySpec{{Type: "VirtualMachine", PathSet: []string{"name"}}},
		ObjectSet: []types.ObjectSpec{{Obj: list.Reference(), Skip: types.NewBool(true), SelectSet: []types.BaseSelectionSpec{
			&types.TraversalSpec{Type: "ListView", Path: "view"},
		}}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	version := b.wait(pc, "", 0).Version
	ref := b.clone("listed")
	if _, err := list.Add(b.ctx, []types.ManagedObjectReference{ref}); err != nil {
		t.Fatal(err)
	}
	var seen []types.ManagedObjectReference
	for len(seen) == 0 {
		set := b.wait(pc, version, 30)
		version = set.Version
		for _, u := range set.FilterSet[0].ObjectSet {
			seen = append(seen, u.Obj)
		}
	}
	if len(seen) != 1 || seen[0] != ref {
		t.Errorf("reported %v, want %v", seen, ref)
	}
}

func TestPartialUpdatesNameTheField(t *testing.T) {
	b := start(t)
	pc, ref := b.collector(), b.parent().Reference()
	_, err := methods.CreateFilter(b.ctx, b.client, &types.CreateFilter{This: pc, PartialUpdates: true, Spec: types.PropertyFilterSpec{
		PropSet:   []types.PropertySpec{{Type: "VirtualMachine", PathSet: []string{"runtime"}}},
		ObjectSet: []types.ObjectSpec{{Obj: ref}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	version := b.wait(pc, "", 0).Version
	b.patch("golden-parent", map[string]any{"frozen": true})
	changes := b.wait(pc, version, 30).FilterSet[0].ObjectSet[0].ChangeSet
	if len(changes) != 1 || changes[0].Name != "runtime.instantCloneFrozen" || changes[0].Val != true {
		t.Errorf("changes %+v", changes)
	}
}

func TestObjectsThatGoBeforeTheFirstWaitAreMissing(t *testing.T) {
	b := start(t)
	pc, ref := b.collector(), b.clone("brief")
	b.filter(pc, ref, "name")
	b.destroy(ref)
	set := b.wait(pc, "", 0)
	if len(set.FilterSet) != 1 || len(set.FilterSet[0].MissingSet) != 1 || set.FilterSet[0].MissingSet[0].Obj != ref {
		t.Errorf("update %+v", set)
	}
}

func TestCollectorsAreTheSessionsOwn(t *testing.T) {
	b := start(t)
	pc := b.collector()
	other := b.login(b.sim.Cfg.Username, b.sim.Cfg.Password)
	_, err := methods.DestroyPropertyCollector(b.ctx, other, &types.DestroyPropertyCollector{This: pc})
	b.wantFault(b.callFault(err), &types.ManagedObjectNotFound{})
	if _, err := methods.DestroyPropertyCollector(b.ctx, b.client, &types.DestroyPropertyCollector{This: pc}); err != nil {
		t.Fatal(err)
	}
	_, err = methods.CreateFilter(b.ctx, b.client, &types.CreateFilter{This: pc, Spec: b.allVMs("name")})
	b.wantFault(b.callFault(err), &types.ManagedObjectNotFound{})
}

func TestFiltersGoWhenTheyAreDestroyed(t *testing.T) {
	b := start(t)
	pc, ref := b.collector(), b.parent().Reference()
	f := b.filter(pc, ref, "runtime.powerState")
	version := b.wait(pc, "", 0).Version
	if _, err := methods.DestroyPropertyFilter(b.ctx, b.client, &types.DestroyPropertyFilter{This: f}); err != nil {
		t.Fatal(err)
	}
	task, err := object.NewVirtualMachine(b.client, ref).PowerOff(b.ctx)
	if err != nil {
		t.Fatal(err)
	}
	b.result(task)
	if set := b.wait(pc, version, 0); set != nil {
		t.Errorf("a destroyed filter reports %+v", set)
	}
	_, err = methods.DestroyPropertyFilter(b.ctx, b.client, &types.DestroyPropertyFilter{This: f})
	b.wantFault(b.callFault(err), &types.ManagedObjectNotFound{})
}

func TestWaitCanBeCancelled(t *testing.T) {
	b := start(t)
	pc := b.collector()
	b.filter(pc, b.parent().Reference(), "name")
	version := b.wait(pc, "", 0).Version
	ended := make(chan error, 1)
	go func() {
		_, err := methods.WaitForUpdatesEx(b.ctx, b.client, &types.WaitForUpdatesEx{This: pc, Version: version})
		ended <- err
	}()
	for {
		if _, err := methods.CancelWaitForUpdates(b.ctx, b.client, &types.CancelWaitForUpdates{This: pc}); err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-ended:
			b.wantFault(b.callFault(err), &types.RequestCanceled{})
			return
		default: // the wait had not begun: there was nothing to cancel
		}
	}
}

func TestContainerViewSeesClones(t *testing.T) {
	b := start(t)
	v, err := view.NewManager(b.client).CreateContainerView(b.ctx, b.client.ServiceContent.RootFolder, []string{"VirtualMachine"}, true)
	if err != nil {
		t.Fatal(err)
	}
	b.clone("viewed")
	var vms []mo.VirtualMachine
	if err := v.Retrieve(b.ctx, []string{"VirtualMachine"}, []string{"name"}, &vms); err != nil {
		t.Fatal(err)
	}
	if len(vms) != 4 {
		t.Errorf("%d VMs in the view, want 4", len(vms))
	}
}
