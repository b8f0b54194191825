// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package sim

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/vdisk"
	"vforge.vsphere/simulator/internal/vhardware"
)

// small is a VM that a test has made for itself, 64 sectors small unless said otherwise.
func (b *bench) small(name string, more map[string]any) *diskBench {
	b.Helper()
	request := map[string]any{"name": name, "disks": []map[string]any{{"bytes": 64 * vdisk.SectorSize}}}
	for k, v := range more {
		request[k] = v
	}
	var told map[string]any
	if status := b.control("POST", "/vms", request, &told); status != http.StatusOK {
		b.Fatalf("%d %v", status, told)
	}
	return b.of(types.ManagedObjectReference{Type: "VirtualMachine", Value: told["moid"].(string)})
}

func (d *diskBench) setTracking(on bool) {
	d.Helper()
	task, err := d.vc.Reconfigure(d.ctx, types.VirtualMachineConfigSpec{ChangeTrackingEnabled: &on})
	if err != nil {
		d.Fatal(err)
	}
	d.result(task)
}

// tracked switches tracking on and makes it count.
func (d *diskBench) tracked() *diskBench {
	d.Helper()
	d.setTracking(true)
	d.remove(d.snap("count", false), false)
	return d
}

// changeID reads the changeId of the first disk as a client would: of the VM or of a
// snapshot.
func (d *diskBench) changeID(snapshot *types.ManagedObjectReference) string {
	d.Helper()
	devices := d.read(d.vm.Self).Config.Hardware.Device
	if snapshot != nil {
		var kept mo.VirtualMachineSnapshot
		if err := d.vc.Properties(d.ctx, *snapshot, []string{"config.hardware.device"}, &kept); err != nil {
			d.Fatal(err)
		}
		devices = kept.Config.Hardware.Device
	}
	return vdisk.DisksOf(devices)[0].Backing.(*vdisk.FlatBacking).ChangeId
}

func (d *diskBench) query(snapshot *types.ManagedObjectReference, offset int64, id string) (*types.DiskChangeInfo, error) {
	res, err := methods.QueryChangedDiskAreas(d.ctx, d.client, &types.QueryChangedDiskAreas{
		This: d.vm.Self, Snapshot: snapshot, DeviceKey: vhardware.KeyDisk, StartOffset: offset, ChangeId: id,
	})
	if err != nil {
		return nil, err
	}
	return &res.Returnval, nil
}

// changes prints the changed areas of the whole disk, in sectors.
func (d *diskBench) changes(snapshot *types.ManagedObjectReference, id string) string {
	d.Helper()
	var out []string
	for offset, capacity := int64(0), vdisk.DisksOf(d.vm.Config.Hardware.Device)[0].CapacityInBytes; offset < capacity; {
		info, err := d.query(snapshot, offset, id)
		if err != nil {
			d.Fatal(err)
		}
		if info.StartOffset != offset || info.Length <= 0 {
			d.Fatalf("%+v at %d", info, offset)
		}
		for _, a := range info.ChangedArea {
			out = append(out, fmt.Sprintf("%d+%d", a.Start/vdisk.SectorSize, a.Length/vdisk.SectorSize))
		}
		offset += info.Length
	}
	return strings.Join(out, " ")
}

func TestWhatWasWrittenIsTold(t *testing.T) {
	d := start(t).small("one", nil)
	d.put(9, 'x') // before tracking
	d.tracked()
	d.put(0, 'a')
	first := d.snap("first", false)
	d.put(1, 'b')
	d.put(2, 'b')
	d.put(40, 'b')
	second := d.snap("second", false)
	d.put(3, 'c')
	ids := map[string]string{"first": d.changeID(&first), "second": d.changeID(&second), "live": d.changeID(nil)}
	if ids["first"] == ids["second"] || ids["live"] == "" || !strings.HasPrefix(ids["first"], "52 ") {
		t.Errorf("changeIds %v", ids)
	}
	for _, c := range []struct {
		snapshot *types.ManagedObjectReference
		id, want string
	}{
		{&first, "*", "0+1 9+1"}, {&second, "*", "0+3 9+1 40+1"},
		{&second, ids["first"], "1+2 40+1"}, {&first, ids["first"], ""}, {&second, ids["second"], ""},
	} {
		if got := d.changes(c.snapshot, c.id); got != c.want {
			t.Errorf("since %s: %q, want %q", c.id, got, c.want)
		}
	}
	d.remove(first, false)
	d.remove(second, false)
	d.put(4, 'd')
	third := d.snap("third", false)
	if got := d.changes(&third, ids["first"]); got != "1+4 40+1" {
		t.Errorf("since a snapshot that is gone: %q", got)
	}
	if got := d.changes(&third, ids["live"]); got != "3+2" {
		t.Errorf("since the live changeId: %q", got)
	}
	d.put(5, 'e')
	d.power(false)
	if got := d.changes(nil, d.changeID(&third)); got != "5+1" {
		t.Errorf("of a VM that is off: %q", got)
	}
	d.control("POST", "/cbt", map[string]any{"granule": 4 * vdisk.SectorSize}, nil)
	if got := d.changes(&third, ids["first"]); got != "0+8 40+4" {
		t.Errorf("with a granule: %q", got)
	}
}

func TestTrackingTakesEffect(t *testing.T) {
	b := start(t)
	suspend := func(d *diskBench) {
		task, err := d.vc.Suspend(d.ctx)
		if err != nil {
			t.Fatal(err)
		}
		d.result(task)
	}
	for name, c := range map[string]struct {
		setUp, event func(d *diskBench) // before tracking is asked for, and after
		noStar       bool
	}{
		"power-on":        {event: func(d *diskBench) { d.power(false); d.power(true) }},
		"resume":          {event: func(d *diskBench) { suspend(d); d.power(true) }},
		"snapshot":        {event: func(d *diskBench) { d.snap("now", false) }},
		"snapshot's end":  {setUp: func(d *diskBench) { d.snap("old", false) }, event: func(d *diskBench) { d.remove(*d.vm.Snapshot.CurrentSnapshot, false) }, noStar: true},
		"migration":       {event: func(d *diskBench) { d.migrate() }},
		"another's power": {event: func(d *diskBench) {}},
	} {
		d := b.small("vm "+name, nil)
		if c.setUp != nil {
			c.setUp(d)
		}
		d.setTracking(true)
		if id := d.changeID(nil); id != "" || !*d.read(d.vm.Self).Config.ChangeTrackingEnabled {
			t.Errorf("%s: before it the changeId is %q", name, id)
		}
		c.event(d)
		if id := d.changeID(nil); (id != "") != (name != "another's power") {
			t.Errorf("%s: the changeId is %q", name, id)
			continue
		}
		if name == "another's power" {
			continue
		}
		now := d.snap("query", false)
		_, err := d.query(&now, 0, "*")
		if c.noStar {
			b.wantCBT(err, "noEpoch")
		} else if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		d.setTracking(false)
		last := d.snap("last", false)
		if id := d.changeID(&last); id != "" {
			t.Errorf("%s: switched off, and the changeId is %q", name, id)
		}
		_, err = d.query(&last, 0, "*")
		b.wantCBT(err, "noTrack")
	}
}

// migrate moves the VM to another host of its cluster.
func (d *diskBench) migrate() {
	d.Helper()
	host := d.sim.HostOf(d.vm).Self
	task, err := d.vc.Relocate(d.ctx, types.VirtualMachineRelocateSpec{Host: &host}, types.VirtualMachineMovePriorityDefaultPriority)
	if err != nil {
		d.Fatal(err)
	}
	d.result(task)
	d.until(d.vm.Self, func(vm mo.VirtualMachine) bool {
		return vdisk.DisksOf(vm.Config.Hardware.Device)[0].Backing.(*vdisk.FlatBacking).ChangeId != ""
	})
}

// What makes earlier changeIds worthless.
func TestTrackingBeginsAnew(t *testing.T) {
	b := start(t)
	for name, change := range map[string]func(d *diskBench, first types.ManagedObjectReference){
		"revert": func(d *diskBench, first types.ManagedObjectReference) { d.revert(first); d.power(true) },
		"power failure": func(d *diskBench, _ types.ManagedObjectReference) {
			d.control("POST", "/vms/"+d.vm.Self.Value+"/power-failure", nil, nil)
			_, err := d.query(nil, 0, "*")
			d.wantCBT(err, "cannotGetChanges")
			d.power(true)
		},
		"resize": func(d *diskBench, first types.ManagedObjectReference) {
			d.remove(first, false)
			d.power(false)
			d.grow(128 * vdisk.SectorSize)
			d.power(true)
		},
		"off and on": func(d *diskBench, first types.ManagedObjectReference) {
			d.setTracking(false)
			d.remove(d.snap("off", false), false)
			d.setTracking(true)
		},
	} {
		d := b.small(name, nil).tracked()
		first := d.snap("first", false)
		id := d.changeID(&first)
		d.put(1, 'a')
		change(d, first)
		d.put(2, 'b')
		later := d.snap("later", false)
		if d.changeID(&later) == "" || strings.Split(d.changeID(&later), "/")[0] == strings.Split(id, "/")[0] {
			t.Errorf("%s: changeId %q after %q", name, d.changeID(&later), id)
		}
		_, err := d.query(&later, 0, id)
		b.wantCBT(err, "cannotGetChanges")
	}
}

// grow makes the first disk larger, and shows that the file is.
func (d *diskBench) grow(to int64) {
	d.Helper()
	disk := *vdisk.DisksOf(d.read(d.vm.Self).Config.Hardware.Device)[0]
	disk.CapacityInBytes, disk.CapacityInKB = to, to/1024
	task, err := d.vc.Reconfigure(d.ctx, types.VirtualMachineConfigSpec{DeviceChange: []types.BaseVirtualDeviceConfigSpec{
		&types.VirtualDeviceConfigSpec{Operation: types.VirtualDeviceConfigSpecOperationEdit, Device: &disk},
	}})
	if err != nil {
		d.Fatal(err)
	}
	d.result(task)
}

// Disks that snapshots leave alone have no changeId, and go on as they are.
func TestDisksWithoutTracking(t *testing.T) {
	d := start(t).small("mixed", map[string]any{"disks": []map[string]any{
		{"bytes": 64 * vdisk.SectorSize}, {"bytes": 64 * vdisk.SectorSize, "mode": "independent_persistent"},
		{"bytes": 64 * vdisk.SectorSize, "rdm": "physicalMode"}, {"bytes": 64 * vdisk.SectorSize, "rdm": "virtualMode"},
	}}).tracked()
	first := d.snap("first", false)
	var kept mo.VirtualMachineSnapshot
	if err := d.vc.Properties(d.ctx, first, []string{"config"}, &kept); err != nil {
		t.Fatal(err)
	}
	var has []bool
	for _, disk := range vdisk.DisksOf(kept.Config.Hardware.Device) {
		switch b := disk.Backing.(type) {
		case *vdisk.FlatBacking:
			has = append(has, b.ChangeId != "")
		case *types.VirtualDiskRawDiskMappingVer1BackingInfo:
			has = append(has, b.ChangeId != "")
		}
	}
	if fmt.Sprint(has) != "[true false false true]" {
		t.Errorf("changeIds: %v", has)
	}
	_, err := methods.QueryChangedDiskAreas(d.ctx, d.client, &types.QueryChangedDiskAreas{This: d.vm.Self, Snapshot: &first, DeviceKey: vhardware.KeyDisk + 1, ChangeId: "*"})
	d.wantCBT(err, "noTrack")
	d.control("POST", "/vms/mixed/disks/2001/writes", map[string]any{"length": 512, "seed": 1}, nil)
	d.revert(first)
	text := d.diskOf2001()
	if text[0] == 0 {
		t.Error("a snapshot was reverted to, and an independent disk with it")
	}
	task, err := d.vc.PowerOn(d.ctx)
	if err != nil {
		t.Fatal(err)
	}
	d.result(task)
	if task, err = d.vc.CreateSnapshot(d.ctx, "memory", "", true, false); err != nil {
		t.Fatal(err)
	}
	d.wantFault(d.taskFault(task), &types.MemorySnapshotOnIndependentDisk{})
}

func (d *diskBench) diskOf2001() []byte {
	d.Helper()
	_, text := d.raw("GET", d.sim.ControlURL()+"/vms/mixed/disks/2001/bytes?length=512", http.DefaultClient, nil)
	return text
}

// Elsewhere than on VMFS nobody knows what is in use.
func TestAreasInUseElsewhere(t *testing.T) {
	d := start(t).small("one", nil)
	d.control("POST", "/datastores/LocalDS_0", map[string]any{"type": "NFS"}, nil)
	d.tracked()
	first := d.snap("first", false)
	d.put(1, 'a')
	second := d.snap("second", false)
	if got := d.changes(&second, "*"); got != "0+64" {
		t.Errorf("in use: %q", got)
	}
	if got := d.changes(&second, d.changeID(&first)); got != "1+1" {
		t.Errorf("changed: %q", got)
	}
}

func TestOldHardwareIsNotTracked(t *testing.T) {
	d := start(t).small("old", map[string]any{"hardware": "vmx-06"})
	task, err := d.vc.Reconfigure(d.ctx, types.VirtualMachineConfigSpec{ChangeTrackingEnabled: types.NewBool(true)})
	if err != nil {
		t.Fatal(err)
	}
	d.wantFault(d.taskFault(task), &types.NotSupported{})
	_, err = object.NewVirtualMachine(d.as("VirtualMachine.Config.Settings"), d.vm.Self).
		Reconfigure(d.ctx, types.VirtualMachineConfigSpec{ChangeTrackingEnabled: types.NewBool(false)})
	if fault, ok := d.callFault(err).(types.NoPermission); !ok || fault.PrivilegeId != "VirtualMachine.Config.ChangeTracking" {
		t.Errorf("without the privilege: %+v", d.callFault(err))
	}
}

// A clone's changes are not its parent's.
func TestACloneIsTrackedByItself(t *testing.T) {
	d := start(t).disks("/DC0/vm/golden-parent").tracked()
	d.put(1, 'a')
	ref := d.bench.clone("web")
	web := d.of(ref)
	id := web.changeID(nil)
	if id == "" || strings.Split(id, "/")[0] == strings.Split(d.changeID(nil), "/")[0] {
		t.Errorf("the clone has %q, its parent %q", id, d.changeID(nil))
	}
	web.put(2, 'b')
	now := web.snap("now", false)
	if got := web.changes(&now, id); got != "2+1" {
		t.Errorf("changed: %q", got)
	}
}
