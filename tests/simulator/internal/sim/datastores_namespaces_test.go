// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package sim

import (
	"net/http"
	"path"
	"slices"
	"testing"

	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/vim25"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

// Topmost directories of vSAN are objects, with a manager of their own; below them are directories as ever.
func TestDirectoriesOfVsan(t *testing.T) {
	b := start(t)
	m := b.manager()
	b.control("POST", "/datastores/LocalDS_0", map[string]any{"type": "vsan"}, nil)
	ds, other := object.NewDatastore(b.client, b.find("/DC0/datastore/LocalDS_0")), object.NewDatastore(b.client, b.find("/DC0/datastore/LocalDS_1"))
	spaces := object.NewDatastoreNamespaceManager(b.client)
	files := object.NewFileManager(b.client)
	space := func(c *vim25.Client, ds *object.Datastore, name string) types.AnyType {
		_, err := object.NewDatastoreNamespaceManager(c).CreateDirectory(b.ctx, ds, name, "")
		return b.callFault(err)
	}
	mkdir := func(name string, parents bool) types.AnyType {
		return b.callFault(files.MakeDirectory(b.ctx, name, m.dc, parents))
	}
	stable, err := spaces.CreateDirectory(b.ctx, ds, "images", "")
	if err != nil {
		t.Fatal(err)
	}
	create := func(name string) types.AnyType {
		return m.done(m.CreateVirtualDisk(b.ctx, name, m.dc, thin(1024)))
	}
	url := func(of *object.Datastore) string {
		var found mo.Datastore
		if err := of.Properties(b.ctx, of.Reference(), []string{"summary.url"}, &found); err != nil {
			t.Fatal(err)
		}
		return found.Summary.Url
	}
	convert := func(of *object.Datastore, file string) types.AnyType {
		_, err := spaces.ConvertNamespacePathToUuidPath(b.ctx, m.dc, path.Join(url(of), file))
		return b.callFault(err)
	}
	for name, c := range map[string]struct {
		got  types.AnyType
		want types.BaseMethodFault
	}{
		"a topmost directory by its path":     {mkdir("[LocalDS_0] others", false), &types.CannotCreateFile{}},
		"one with what is below":              {mkdir("[LocalDS_0] others/deep", true), &types.CannotCreateFile{}},
		"one that is there":                   {mkdir("[LocalDS_0] images", true), &types.FileAlreadyExists{}},
		"without what is above":               {mkdir("[LocalDS_0] images/no/deep", false), &types.FileNotFound{}},
		"another datastore's path":            {convert(other, "images"), &types.InvalidDatastore{}},
		"the path of what is not there":       {convert(ds, "no"), &types.InvalidDatastorePath{}},
		"twice":                               {space(b.client, ds, "images"), &types.FileAlreadyExists{}},
		"below another":                       {space(b.client, ds, "images/deep"), &types.CannotCreateFile{}},
		"where directories are directories":   {space(b.client, other, "images"), &types.InvalidDatastore{}},
		"without the privilege":               {space(b.as("Datastore.FileManagement"), ds, "others"), &types.NoPermission{}},
		"a disk in no directory":              {create("[LocalDS_0] a.vmdk"), &types.SystemError{}},
		"a path that is none":                 {b.callFault(spaces.DeleteDirectory(b.ctx, m.dc, "[LocalDS_0] images")), &types.InvalidDatastorePath{}},
		"a directory that is not there":       {b.callFault(spaces.DeleteDirectory(b.ctx, m.dc, stable+"0")), &types.FileNotFound{}},
		"no datacenter":                       {b.callFault(spaces.DeleteDirectory(b.ctx, nil, stable)), &types.InvalidArgument{}},
		"a file that is not there is deleted": {m.done(files.DeleteDatastoreFile(b.ctx, "[LocalDS_0] images/no.txt", m.dc)), &types.FileNotFound{}},
	} {
		t.Run(name, func(t *testing.T) { b.wantFault(c.got, c.want) })
	}
	if err := files.MakeDirectory(b.ctx, "[LocalDS_0] images/very/deep", m.dc, true); err != nil {
		t.Fatal(err)
	}
	m.must(m.CreateVirtualDisk(b.ctx, "[LocalDS_0] images/very/deep/a.vmdk", m.dc, thin(1024)))
	vm := b.made("around", map[string]any{"on": false, "datastore": "LocalDS_0"})
	if _, err := b.attached(vm, "[LocalDS_0] images/very/deep/a.vmdk").WaitForResult(b.ctx, nil); err != nil {
		t.Fatal(err)
	}
	listed := "[LocalDS_0] " + path.Base(stable) + "/very/deep/a.vmdk"
	if found := b.read(vm).LayoutEx.File; !slices.ContainsFunc(found, func(f types.VirtualMachineFileLayoutExFileInfo) bool { return f.Name == listed }) {
		t.Errorf("no %s in %v", listed, found)
	}
	m.must(m.DeleteVirtualDisk(b.ctx, "[LocalDS_0] images/very/deep/a.vmdk", m.dc))
	m.must(m.CreateVirtualDisk(b.ctx, "[LocalDS_0] images/very/deep/a.vmdk", m.dc, thin(1024)))
	if status, _ := m.send(http.MethodGet, "LocalDS_0", "images/very/deep/a.vmdk", nil); status != http.StatusOK {
		t.Errorf("the descriptor: %d", status)
	}
	want := path.Join(url(ds), path.Base(stable), "very/deep/a.vmdk")
	if got, err := spaces.ConvertNamespacePathToUuidPath(b.ctx, m.dc, path.Join(url(ds), "images/very/deep/a.vmdk")); err != nil || got != want {
		t.Errorf("%s is %s, %v", want, got, err)
	}
	ds.InventoryPath = "/DC0/datastore/LocalDS_0"
	found, err := ds.Stat(b.ctx, "images/very/deep/a.vmdk")
	if err != nil || found.GetFileInfo().FileSize == 0 {
		t.Errorf("the browser: %+v, %v", found, err)
	}
	b.wantFault(b.callFault(spaces.DeleteDirectory(b.ctx, m.dc, stable)), &types.FileFault{})
	m.must(files.DeleteDatastoreFile(b.ctx, "[LocalDS_0] images/very", m.dc))
	if err := spaces.DeleteDirectory(b.ctx, m.dc, stable); err != nil {
		t.Fatal(err)
	}
	b.wantFault(mkdir("[LocalDS_0] images/again", true), &types.CannotCreateFile{})
}
