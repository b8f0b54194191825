// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package sim

import (
	"bytes"
	"net/http"
	"strings"
	"testing"

	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/dsfiles"
)

// manager is the manager of disks, with the datacenter of all tests.
type manager struct {
	*bench
	*object.VirtualDiskManager
	dc *object.Datacenter
}

func (b *bench) manager() manager {
	return manager{b, object.NewVirtualDiskManager(b.client), object.NewDatacenter(b.client, b.find("/DC0"))}
}

// done waits for a task of a call, and returns its fault or that of the call.
func (m manager) done(task *object.Task, err error) types.AnyType {
	m.Helper()
	if err != nil {
		return m.callFault(err)
	}
	if _, err := task.WaitForResult(m.ctx, nil); err == nil {
		return nil
	}
	return m.taskFault(task)
}

func (m manager) must(task *object.Task, err error) {
	m.Helper()
	if fault := m.done(task, err); fault != nil {
		m.Fatalf("%T %+v", fault, fault)
	}
}

func thin(kb int64) *types.FileBackedVirtualDiskSpec {
	return &types.FileBackedVirtualDiskSpec{
		VirtualDiskSpec: types.VirtualDiskSpec{DiskType: "thin", AdapterType: "lsiLogic"}, CapacityKb: kb,
	}
}

func (m manager) descriptor(file string) string {
	m.Helper()
	status, text := m.send(http.MethodGet, "LocalDS_0", file, nil)
	if status != http.StatusOK {
		m.Fatalf("%s: %d", file, status)
	}
	return text
}

func (m manager) extend(name string, kb int64) (*object.Task, error) {
	res, err := methods.ExtendVirtualDisk_Task(m.ctx, m.client, &types.ExtendVirtualDisk_Task{
		This: m.Reference(), Name: name, Datacenter: types.NewReference(m.dc.Reference()), NewCapacityKb: kb,
	})
	if err != nil {
		return nil, err
	}
	return object.NewTask(m.client, res.Returnval), nil
}

func (m manager) inflate(name string) (*object.Task, error) {
	return m.InflateVirtualDisk(m.ctx, name, m.dc)
}

// A disk lives by its files alone: made, extended, inflated, given a UUID, attached, moved and removed.
func TestADiskThatIsAFile(t *testing.T) {
	b := start(t)
	m := b.manager()
	off := b.made("off", map[string]any{"on": false, "datastore": "LocalDS_0", "disks": []map[string]any{{"bytes": 1 << 20}}})
	const disk, moved = "[LocalDS_0] off/data.vmdk", "[LocalDS_0] off/moved.vmdk"
	m.must(m.CreateVirtualDisk(b.ctx, disk, m.dc, thin(1024)))
	first, err := m.QueryVirtualDiskUuid(b.ctx, disk, m.dc)
	if err != nil || !strings.HasPrefix(first, "60 00 c2 9") {
		t.Errorf("UUID %q, %v", first, err)
	}
	const id = "60 00 c2 9a 00 11 22 33-44 55 66 77 88 99 aa bb"
	if err := m.SetVirtualDiskUuid(b.ctx, disk, m.dc, id); err != nil {
		t.Fatal(err)
	}
	m.must(m.extend(disk, 2048))
	m.must(m.extend(disk, 2048)) // as large as it is
	text := m.descriptor("off/data.vmdk")
	for _, part := range []string{"RW 4096 VMFS", `ddb.uuid = "` + id + `"`, `thinProvisioned = "1"`} {
		if !strings.Contains(text, part) {
			t.Errorf("no %s in %s", part, text)
		}
	}
	m.must(m.inflate(disk))
	b.wantFault(m.done(m.inflate(disk)), &types.InvalidDiskFormat{})
	m.must(m.MoveVirtualDisk(b.ctx, disk, m.dc, moved, m.dc, false))
	if text := m.descriptor("off/moved.vmdk"); !strings.Contains(text, `"moved-flat.vmdk"`) || strings.Contains(text, "thinProvisioned") {
		t.Errorf("%s", text)
	}
	b.wantFault(m.done(m.DeleteVirtualDisk(b.ctx, disk, m.dc)), &types.FileNotFound{})
	b.result(b.attached(off, moved))
	if got, err := m.QueryVirtualDiskUuid(b.ctx, moved, m.dc); err != nil || got != id {
		t.Errorf("UUID %q, %v", got, err)
	}
	m.must(m.DeleteVirtualDisk(b.ctx, moved, m.dc))
	if status, _ := m.send(http.MethodGet, "LocalDS_0", "off/moved-flat.vmdk", nil); status != http.StatusNotFound {
		t.Errorf("the extent: %d", status)
	}
}

// A copy has what the chain shows, and an identity of its own.
func TestACopyOfADisk(t *testing.T) {
	b := start(t)
	m := b.manager()
	ref := b.made("box", map[string]any{"datastore": "LocalDS_0", "disks": []map[string]any{{"bytes": 1 << 20}}})
	b.guestWrites("box", map[string]any{"offset": 0, "length": 1024, "seed": 1})
	b.snapshot(ref, "first")
	b.guestWrites("box", map[string]any{"offset": 512, "length": 1024, "seed": 2})
	want := b.diskBytes("box", "")
	const top, base, to = "[LocalDS_0] box/box-000001.vmdk", "[LocalDS_0] box/box.vmdk", "[LocalDS_0] box/copy.vmdk"
	b.wantFault(m.done(m.CopyVirtualDisk(b.ctx, top, m.dc, to, m.dc, nil, false)), &types.FileLocked{})
	b.power("box", "off")
	m.must(m.CopyVirtualDisk(b.ctx, top, m.dc, to, m.dc, nil, false))
	for _, force := range []bool{false, true} {
		b.wantFault(m.done(m.CopyVirtualDisk(b.ctx, base, m.dc, to, m.dc, nil, force)), &types.FileAlreadyExists{})
	}
	_, got := b.send(http.MethodGet, "LocalDS_0", "box/copy-flat.vmdk", nil)
	if !bytes.HasPrefix([]byte(got), want) {
		t.Error("another disk was made")
	}
	m.must(m.DeleteVirtualDisk(b.ctx, to, m.dc))
	m.must(m.CopyVirtualDisk(b.ctx, base, m.dc, to, m.dc, &types.VirtualDiskSpec{DiskType: "thick", AdapterType: "ide"}, true))
	text := m.descriptor("box/copy.vmdk")
	if !strings.Contains(text, `adapterType = "ide"`) || strings.Contains(text, "thinProvisioned") {
		t.Errorf("%s", text)
	}
	one, err := dsfiles.ReadDescriptor(b.local("box/copy.vmdk"))
	other, failed := dsfiles.ReadDescriptor(b.local("box/box.vmdk"))
	if err != nil || failed != nil || one.DDB["uuid"] == other.DDB["uuid"] || one.CID == other.CID {
		t.Errorf("%+v and %+v", one, other)
	}
	for _, delta := range []types.AnyType{
		m.done(m.MoveVirtualDisk(b.ctx, top, m.dc, "[LocalDS_0] box/x.vmdk", m.dc, false)), m.done(m.extend(top, 4096)), m.done(m.inflate(top)),
	} {
		b.wantFault(delta, &types.NotSupported{})
	}
}

func TestDisksThatAreRefused(t *testing.T) {
	b := start(t)
	m := b.manager()
	b.made("off", map[string]any{"on": false, "datastore": "LocalDS_0"})
	const parent, off, free = "[LocalDS_0] golden-parent/golden-parent.vmdk", "[LocalDS_0] off/off.vmdk", "[LocalDS_0] off/new.vmdk"
	wrongType, wrongAdapter := thin(1024), thin(1024)
	wrongType.DiskType, wrongAdapter.AdapterType = "sparse2Gb", "nvme9"
	create := func(name string, spec types.BaseVirtualDiskSpec) types.AnyType {
		return m.done(m.CreateVirtualDisk(b.ctx, name, m.dc, spec))
	}
	for name, c := range map[string]struct {
		got  func() types.AnyType
		want types.BaseMethodFault
	}{
		"a disk that is there":    {func() types.AnyType { return create(off, thin(1024)) }, &types.FileAlreadyExists{}},
		"a directory that is not": {func() types.AnyType { return create("[LocalDS_0] no/new.vmdk", thin(1024)) }, &types.FileNotFound{}},
		"no size":                 {func() types.AnyType { return create(free, thin(0)) }, &types.InvalidArgument{}},
		"no files of a host's":    {func() types.AnyType { return create(free, wrongType) }, &types.InvalidArgument{}},
		"no adapter":              {func() types.AnyType { return create(free, wrongAdapter) }, &types.InvalidArgument{}},
		"no capacity at all": {func() types.AnyType {
			return create(free, &types.VirtualDiskSpec{DiskType: "thin", AdapterType: "ide"})
		}, &types.InvalidArgument{}},
		"no path":                  {func() types.AnyType { return create("off/new.vmdk", thin(1024)) }, &types.InvalidDatastorePath{}},
		"a datastore that is none": {func() types.AnyType { return create("[none] off/new.vmdk", thin(1024)) }, &types.InvalidDatastore{}},
		"no datacenter":            {func() types.AnyType { return m.done(m.CreateVirtualDisk(b.ctx, free, nil, thin(1024))) }, &types.InvalidArgument{}},
		"smaller":                  {func() types.AnyType { return m.done(m.extend(off, 1024)) }, &types.InvalidArgument{}},
		"extend what runs":         {func() types.AnyType { return m.done(m.extend(parent, 1<<30)) }, &types.FileLocked{}},
		"inflate what runs":        {func() types.AnyType { return m.done(m.inflate(parent)) }, &types.FileLocked{}},
		"delete what runs":         {func() types.AnyType { return m.done(m.DeleteVirtualDisk(b.ctx, parent, m.dc)) }, &types.FileLocked{}},
		"move what runs":           {func() types.AnyType { return m.done(m.MoveVirtualDisk(b.ctx, parent, m.dc, free, m.dc, false)) }, &types.FileLocked{}},
		"move onto another":        {func() types.AnyType { return m.done(m.MoveVirtualDisk(b.ctx, off, m.dc, parent, m.dc, false)) }, &types.FileAlreadyExists{}},
		"move onto what runs":      {func() types.AnyType { return m.done(m.MoveVirtualDisk(b.ctx, off, m.dc, parent, m.dc, true)) }, &types.FileLocked{}},
		"copy what is not there":   {func() types.AnyType { return m.done(m.CopyVirtualDisk(b.ctx, free, m.dc, off, m.dc, nil, false)) }, &types.FileNotFound{}},
		"an extent":                {func() types.AnyType { return m.done(m.extend("[LocalDS_0] off/off-flat.vmdk", 1<<30)) }, &types.InvalidDiskFormat{}},
		"the UUID of what is not":  {func() types.AnyType { _, err := m.QueryVirtualDiskUuid(b.ctx, free, m.dc); return b.callFault(err) }, &types.FileNotFound{}},
		"a UUID that is none":      {func() types.AnyType { return b.callFault(m.SetVirtualDiskUuid(b.ctx, off, m.dc, "60 00")) }, &types.InvalidArgument{}},
		"another UUID of what runs": {func() types.AnyType {
			return b.callFault(m.SetVirtualDiskUuid(b.ctx, parent, m.dc, "60"+strings.Repeat("0", 30)))
		}, &types.FileLocked{}},
		"without the privilege": {func() types.AnyType {
			_, err := object.NewVirtualDiskManager(b.as("Datastore.Browse")).CreateVirtualDisk(b.ctx, free, m.dc, thin(1024))
			return b.callFault(err)
		}, &types.NoPermission{}},
	} {
		t.Run(name, func(t *testing.T) { b.wantFault(c.got(), c.want) })
	}
}
