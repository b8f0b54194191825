// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package sim

import (
	"reflect"
	"slices"
	"testing"

	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/vim25/types"
)

// searched looks for disks in a directory.
func (b *bench) searched(folder string, spec *types.HostDatastoreBrowserSearchSpec) types.HostDatastoreBrowserSearchResults {
	b.Helper()
	browser, err := object.NewDatastore(b.client, b.find("/DC0/datastore/LocalDS_0")).Browser(b.ctx)
	if err != nil {
		b.Fatal(err)
	}
	task, err := browser.SearchDatastore(b.ctx, folder, spec)
	if err != nil {
		b.Fatal(err)
	}
	info, err := task.WaitForResult(b.ctx, nil)
	if err != nil {
		b.Fatal(err)
	}
	return info.Result.(types.HostDatastoreBrowserSearchResults)
}

func TestASearchForDisks(t *testing.T) {
	b := start(t)
	ref := b.made("box", map[string]any{"datastore": "LocalDS_0", "disks": []map[string]any{{"bytes": 1 << 20}}})
	b.snapshot(ref, "first")
	yes := true
	query := &types.VmDiskFileQuery{Details: &types.VmDiskFileQueryFlags{
		DiskType: true, CapacityKb: true, HardwareVersion: true, ControllerType: &yes, DiskExtents: &yes, Thin: &yes,
	}}
	spec := types.HostDatastoreBrowserSearchSpec{Query: []types.BaseFileQuery{query}, Details: &types.FileQueryFlags{FileSize: true}}
	found := b.searched("[LocalDS_0] box", &spec)
	want := []types.VmDiskFileInfo{{
		FileInfo: types.FileInfo{Path: "box-000001.vmdk", FileSize: 64 << 10}, DiskType: "VirtualDiskFlatVer2BackingInfo", CapacityKb: 1024,
		DiskExtents: []string{"[LocalDS_0] box/box-000001-sesparse.vmdk"}, Thin: &yes,
	}, {
		FileInfo: types.FileInfo{Path: "box.vmdk", FileSize: 1 << 20}, DiskType: "VirtualDiskFlatVer2BackingInfo", CapacityKb: 1024, HardwareVersion: 21,
		ControllerType: "VirtualLsiLogicController", DiskExtents: []string{"[LocalDS_0] box/box-flat.vmdk"}, Thin: &yes,
	}}
	if len(found.File) != len(want) || found.FolderPath != "[LocalDS_0] box" {
		t.Fatalf("%+v", found)
	}
	for i := range want {
		if got := *found.File[i].(*types.VmDiskFileInfo); !reflect.DeepEqual(got, want[i]) {
			t.Errorf("%+v, want %+v", got, want[i])
		}
	}
	query.Filter = &types.VmDiskFileQueryFilter{MatchHardwareVersion: []int32{21}}
	spec.MatchPattern = []string{"box*"}
	if found := b.searched("[LocalDS_0] box", &spec); len(found.File) != 1 {
		t.Errorf("%+v", found)
	}
	// Without a query, and without patterns, all files are found.
	var names []string
	for _, f := range b.searched("[LocalDS_0] box", &types.HostDatastoreBrowserSearchSpec{}).File {
		names = append(names, f.GetFileInfo().Path)
	}
	for _, name := range []string{"box.vmx", "box.vmdk", "box-flat.vmdk"} {
		if !slices.Contains(names, name) {
			t.Errorf("no %s among %v", name, names)
		}
	}
	browser, err := object.NewDatastore(b.client, b.find("/DC0/datastore/LocalDS_0")).Browser(b.ctx)
	if err != nil {
		t.Fatal(err)
	}
	task, err := browser.SearchDatastoreSubFolders(b.ctx, "[LocalDS_0]", &types.HostDatastoreBrowserSearchSpec{Query: spec.Query})
	if err != nil {
		t.Fatal(err)
	}
	info, err := task.WaitForResult(b.ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	all := info.Result.(types.ArrayOfHostDatastoreBrowserSearchResults).HostDatastoreBrowserSearchResults
	if len(all) < 3 || all[0].FolderPath != "[LocalDS_0]" {
		t.Errorf("%+v", all)
	}
	task, err = browser.SearchDatastore(b.ctx, "[LocalDS_0] nowhere", &spec)
	if err != nil {
		t.Fatal(err)
	}
	b.wantFault(b.taskFault(task), &types.FileNotFound{})
}
