// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package sim

import (
	"bytes"
	"net/http"
	"testing"

	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/property"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/vmdkfile"
)

// leaves leaves so many bytes free on LocalDS_0.
func (b *bench) leaves(free int64) {
	b.Helper()
	if status := b.control("POST", "/datastores/LocalDS_0", map[string]any{"free": free}, nil); status != http.StatusOK {
		b.Fatal(status)
	}
}

// freeSpace is what the API says of LocalDS_0.
func (b *bench) freeSpace() int64 {
	b.Helper()
	var ds mo.Datastore
	ref := b.find("/DC0/datastore/LocalDS_0")
	if err := property.DefaultCollector(b.client).RetrieveOne(b.ctx, ref, []string{"summary"}, &ds); err != nil {
		b.Fatal(err)
	}
	return ds.Summary.FreeSpace
}

func thick(kb int64) *types.FileBackedVirtualDiskSpec {
	spec := thin(kb)
	spec.DiskType = "thick"
	return spec
}

// A disk that has no room is not made; what is removed makes room again.
func TestDisksThatHaveNoRoom(t *testing.T) {
	b := start(t)
	m := b.manager()
	b.made("off", map[string]any{"on": false, "datastore": "LocalDS_0", "disks": []map[string]any{{"bytes": 4 << 20}}})
	b.leaves(1 << 20)
	if got := b.freeSpace(); got != 1<<20 {
		t.Errorf("%d bytes are free", got)
	}
	b.wantFault(m.done(m.CreateVirtualDisk(b.ctx, "[LocalDS_0] off/a.vmdk", m.dc, thick(2048))), &types.NoDiskSpace{})
	m.must(m.CreateVirtualDisk(b.ctx, "[LocalDS_0] off/a.vmdk", m.dc, thick(900)))
	m.must(m.CreateVirtualDisk(b.ctx, "[LocalDS_0] off/thin.vmdk", m.dc, thin(1<<20)))
	b.wantFault(m.done(m.CreateVirtualDisk(b.ctx, "[LocalDS_0] off/b.vmdk", m.dc, thick(900))), &types.NoDiskSpace{})
	if got := b.freeSpace(); got > 1<<17 {
		t.Errorf("%d bytes are free", got)
	}
	m.must(m.DeleteVirtualDisk(b.ctx, "[LocalDS_0] off/a.vmdk", m.dc))
	if got := b.freeSpace(); got < 900<<10 {
		t.Errorf("%d bytes are free", got)
	}
	m.must(m.CreateVirtualDisk(b.ctx, "[LocalDS_0] off/b.vmdk", m.dc, thick(900)))
}

// A clone and an added disk have no room; nothing of them is left.
func TestClonesThatHaveNoRoom(t *testing.T) {
	b := start(t)
	ref := b.made("full", map[string]any{"datastore": "LocalDS_0", "disks": []map[string]any{{"bytes": 4 << 20}}})
	b.guestWrites("full", map[string]any{"offset": 0, "length": 2 << 20, "seed": 1})
	b.power("full", "off")
	b.leaves(1 << 20)
	ds := b.find("/DC0/datastore/LocalDS_0")
	task, err := b.cloneVM(b.client, ref, "copy", func(r *types.CloneVM_Task) { r.Spec.Location.Datastore = &ds })
	if err != nil {
		t.Fatal(err)
	}
	b.wantFault(b.taskFault(task), &types.NoDiskSpace{})
	b.nothingOf("copy")
	b.removed(ref)
	if got := b.freeSpace(); got < 3<<20 {
		t.Errorf("%d bytes are free", got)
	}
}

// removed deletes a VM that is off.
func (b *bench) removed(ref types.ManagedObjectReference) {
	b.Helper()
	gone, err := object.NewVirtualMachine(b.client, ref).Destroy(b.ctx)
	if err != nil {
		b.Fatal(err)
	}
	b.result(gone)
}

// An import whose content has no room fails in its lease, and nothing of it is left.
func TestImportsThatHaveNoRoom(t *testing.T) {
	b := start(t)
	im := b.imported("appliance")
	l := im.ready()
	b.leaves(100_000)
	_, file := packedDisk(1, vmdkfile.Stream)
	res, err := im.put(l, 0, bytes.NewReader(file))
	if err != nil || res.StatusCode != http.StatusInternalServerError {
		t.Errorf("%v, %v", res, err)
	}
	over := im.state(types.HttpNfcLeaseStateReady)
	if over.State != types.HttpNfcLeaseStateError || over.Error == nil {
		t.Fatalf("lease %+v", over)
	}
	b.wantFault(over.Error.Fault, &types.NoDiskSpace{})
	b.nothingOf("appliance")
}
