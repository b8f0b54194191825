// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package sim

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/vdisk"
	"vforge.vsphere/simulator/internal/vhardware"
)

// Each answer lists 2,000 areas at most, and the answers together cover the disk.
func TestChangedAreasComeInPages(t *testing.T) {
	d := start(t).small("large", map[string]any{"disks": []map[string]any{{"bytes": 1 << 30}}}).tracked()
	before := d.snap("before", false)
	d.guestWrites("large", map[string]any{"length": 512, "count": 4500, "stride": 4096, "offset": 4096})
	after := d.snap("after", false)
	id, offset, areas := d.changeID(&before), int64(0), 0
	var pages []int
	for offset < 1<<30 {
		info, err := d.query(&after, offset, id)
		if err != nil {
			t.Fatal(err)
		}
		for i, a := range info.ChangedArea {
			if want := int64(areas+i+1) * 4096; a.Start != want || a.Length != 512 || a.Start+a.Length > offset+info.Length {
				t.Fatalf("area %d is %+v of %d+%d", areas+i, a, offset, info.Length)
			}
		}
		areas += len(info.ChangedArea)
		pages = append(pages, len(info.ChangedArea))
		offset += info.Length
	}
	if fmt.Sprint(pages) != "[2000 2000 500]" {
		t.Errorf("pages %v", pages)
	}
	if info, err := d.query(&after, 4096+100, id); err != nil || info.ChangedArea[0].Start != 4196 || info.ChangedArea[0].Length != 412 {
		t.Errorf("from inside an area: %+v %v", info, err)
	}
}

// wantCBT fails the test unless a call has raised the FileFault of a kind.
func (b *bench) wantCBT(err error, kind string) {
	b.Helper()
	fault, ok := b.callFault(err).(types.FileFault)
	if !ok || len(fault.FaultMessage) != 1 || fault.FaultMessage[0].Key != "vim.hostd.vmsvc.cbt."+kind || fault.File == "" {
		b.Errorf("fault %+v, want %s", fault, kind)
	}
}

func TestChangesThatCannotBeTold(t *testing.T) {
	b := start(t)
	d := b.small("one", nil).tracked()
	other := b.small("other", nil).tracked()
	first := d.snap("first", false)
	foreign := other.snap("foreign", false)
	id, snapshot := d.changeID(&first), &first
	none := types.ManagedObjectReference{Type: "VirtualMachineSnapshot", Value: "snapshot-0"}
	for name, c := range map[string]struct {
		snapshot *types.ManagedObjectReference
		key      int32
		offset   int64
		id       string
		cbt      string // the FileFault's kind
		property string // InvalidArgument's
	}{
		"running, no snapshot":   {nil, vhardware.KeyDisk, 0, id, "cannotGetChanges", ""},
		"no such snapshot":       {&none, vhardware.KeyDisk, 0, id, "", ""},
		"another VM's snapshot":  {&foreign, vhardware.KeyDisk, 0, id, "", ""},
		"no such disk":           {snapshot, 2001, 0, id, "", "deviceKey"},
		"no disk":                {snapshot, vhardware.KeySCSI, 0, id, "", "deviceKey"},
		"at the end":             {snapshot, vhardware.KeyDisk, 64 * vdisk.SectorSize, id, "", "startOffset"},
		"before the beginning":   {snapshot, vhardware.KeyDisk, -1, id, "", "startOffset"},
		"empty changeId":         {snapshot, vhardware.KeyDisk, 0, "", "", "changeId"},
		"no number":              {snapshot, vhardware.KeyDisk, 0, strings.Split(id, "/")[0], "", "changeId"},
		"number 0":               {snapshot, vhardware.KeyDisk, 0, strings.Split(id, "/")[0] + "/0", "", "changeId"},
		"not hexadecimal":        {snapshot, vhardware.KeyDisk, 0, "zz" + id[2:], "", "changeId"},
		"another disk's":         {snapshot, vhardware.KeyDisk, 0, other.changeID(&foreign), "cannotGetChanges", ""},
		"of the future":          {snapshot, vhardware.KeyDisk, 0, strings.Split(id, "/")[0] + "/99", "cannotGetChanges", ""},
		"a wrong disk is first":  {snapshot, 2001, 64 * vdisk.SectorSize, "", "", "deviceKey"},
		"a wrong offset is next": {snapshot, vhardware.KeyDisk, 64 * vdisk.SectorSize, "", "", "startOffset"},
	} {
		_, err := methods.QueryChangedDiskAreas(b.ctx, b.client, &types.QueryChangedDiskAreas{
			This: d.vm.Self, Snapshot: c.snapshot, DeviceKey: c.key, StartOffset: c.offset, ChangeId: c.id,
		})
		if err == nil {
			t.Errorf("%s: no fault", name)
			continue
		}
		switch {
		case c.cbt != "":
			b.wantCBT(err, c.cbt)
		case c.property != "":
			if fault, ok := b.callFault(err).(types.InvalidArgument); !ok || fault.InvalidProperty != c.property {
				t.Errorf("%s: %+v", name, b.callFault(err))
			}
		default:
			b.wantFault(b.callFault(err), &types.NotFound{})
		}
	}
	user := b.as("System.View")
	_, err := methods.QueryChangedDiskAreas(b.ctx, user, &types.QueryChangedDiskAreas{This: d.vm.Self, Snapshot: snapshot, DeviceKey: vhardware.KeyDisk, ChangeId: "*"})
	if fault, ok := b.callFault(err).(types.NoPermission); !ok || fault.PrivilegeId != "VirtualMachine.Provisioning.DiskRandomRead" {
		t.Errorf("without the privilege: %+v", b.callFault(err))
	}
}

// While a guest goes on writing, what differs between two snapshots is told.
func TestChangesUnderAWorkload(t *testing.T) {
	const size = 1 << 20
	d := start(t).small("busy", map[string]any{"disks": []map[string]any{{"bytes": size}}}).tracked()
	d.control("POST", "/vms/busy/disks/2000/workload", map[string]any{"seed": 3, "rate": 10000, "max_length": 2048}, nil)
	before := d.snap("before", false)
	old := d.diskBytes("busy", "snapshot="+before.Value)
	id := d.changeID(&before)
	for round := range 5 {
		after := d.snap(fmt.Sprint(round), false)
		var told vdisk.Spans
		info, err := d.query(&after, 0, id)
		if err != nil || info.Length != size {
			t.Fatalf("%+v %v", info, err)
		}
		for _, a := range info.ChangedArea {
			told.Add(vdisk.Span{Start: a.Start, End: a.Start + a.Length})
		}
		now := d.diskBytes("busy", "snapshot="+after.Value)
		for _, same := range told.Outside(vdisk.Span{Start: 0, End: size}) {
			if !bytes.Equal(old[same.Start:same.End], now[same.Start:same.End]) {
				t.Errorf("round %d: %v differs, and is not told", round, same)
			}
		}
		d.remove(after, false)
	}
	var wrote struct{ Writes int64 }
	d.control("DELETE", "/vms/busy/disks/2000/workload", nil, &wrote)
	if wrote.Writes == 0 {
		t.Error("the guest wrote nothing")
	}
}
