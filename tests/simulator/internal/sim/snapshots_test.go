// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package sim

import (
	"bytes"
	"os"
	"path"
	"slices"
	"testing"

	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/core"
	"vforge.vsphere/simulator/internal/dsfiles"
	"vforge.vsphere/simulator/internal/vdisk"
	"vforge.vsphere/simulator/internal/vhardware"
)

// diskBench is a VM whose disk a test writes to and whose snapshots it changes.
type diskBench struct {
	*bench
	vm *simulator.VirtualMachine
	vc *object.VirtualMachine
}

func (b *bench) disks(path string) *diskBench {
	b.Helper()
	return b.of(b.find(path))
}

func (b *bench) of(ref types.ManagedObjectReference) *diskBench {
	return &diskBench{b, b.sim.VM(ref), object.NewVirtualMachine(b.client, ref)}
}

// put has the guest write one sector full of a letter.
func (d *diskBench) put(sector int64, letter byte) {
	d.Helper()
	var err error
	d.sim.Background("").WithLock(d.vm, func() {
		err = d.sim.Writes.Write(d.vm, vhardware.KeyDisk, vdisk.Spans{{Start: sector * vdisk.SectorSize, End: (sector + 1) * vdisk.SectorSize}}, func(p []byte, _ int64) error {
			for i := range p {
				p[i] = letter
			}
			return nil
		})
	})
	if err != nil {
		d.Fatal(err)
	}
}

// show prints the first letter of each of the disk's first sectors, of the VM as it is
// or as a snapshot keeps it.
func (d *diskBench) show(devices []types.BaseVirtualDevice) string { return d.sectors(devices)[:6] }

// sectors prints the first letter of each of the first sixteen sectors.
func (d *diskBench) sectors(devices []types.BaseVirtualDevice) string {
	d.Helper()
	disk := vdisk.DisksOf(devices)[0]
	image, err := d.sim.DiskLayers.Image(disk.Backing.(*vdisk.FlatBacking), disk.CapacityInBytes)
	if err != nil {
		d.Fatal(err)
	}
	var out bytes.Buffer
	for sector := range int64(16) {
		p := make([]byte, vdisk.SectorSize)
		if _, err := image.ReadAt(p, sector*vdisk.SectorSize); err != nil {
			d.Fatal(err)
		}
		for _, c := range p {
			if c != p[0] {
				d.Fatalf("sector %d is torn", sector)
			}
		}
		if p[0] == 0 {
			p[0] = '.'
		}
		out.WriteByte(p[0])
	}
	return out.String()
}

func (d *diskBench) live() string { return d.show(d.vm.Config.Hardware.Device) }

func (d *diskBench) kept(ref types.ManagedObjectReference) string {
	d.Helper()
	return d.show(d.sim.Snapshot(ref).Config.Hardware.Device)
}

func (d *diskBench) snap(name string, memory bool) types.ManagedObjectReference {
	d.Helper()
	task, err := d.vc.CreateSnapshot(d.ctx, name, "", memory, false)
	if err != nil {
		d.Fatal(err)
	}
	return d.result(task)
}

func (d *diskBench) remove(ref types.ManagedObjectReference, children bool) {
	d.Helper()
	res, err := methods.RemoveSnapshot_Task(d.ctx, d.client, &types.RemoveSnapshot_Task{This: ref, RemoveChildren: children})
	if err != nil {
		d.Fatal(err)
	}
	d.finished(res.Returnval)
}

// finished waits for a task to succeed.
func (d *diskBench) finished(task types.ManagedObjectReference) {
	d.Helper()
	d.result(object.NewTask(d.client, task))
}

func (d *diskBench) revert(ref types.ManagedObjectReference) {
	d.Helper()
	res, err := methods.RevertToSnapshot_Task(d.ctx, d.client, &types.RevertToSnapshot_Task{This: ref})
	if err != nil {
		d.Fatal(err)
	}
	d.finished(res.Returnval)
}

func (d *diskBench) power(on bool) {
	d.Helper()
	change := d.vc.PowerOff
	if on {
		change = d.vc.PowerOn
	}
	task, err := change(d.ctx)
	if err != nil {
		d.Fatal(err)
	}
	d.result(task)
}

// want fails the test unless the disk shows what it should.
func (d *diskBench) want(got, want, what string) {
	d.Helper()
	if got != want {
		d.Errorf("%s: the disk shows %q, want %q", what, got, want)
	}
}

// Snapshots keep the bytes of the moment; removing one changes nothing of what the
// others and the VM show; reverting brings them back.
func TestSnapshotsMoveBytes(t *testing.T) {
	d := start(t).disks("/DC0/vm/golden-parent")
	d.put(0, 'a')
	first := d.snap("first", true)
	d.put(1, 'b')
	second := d.snap("second", false)
	d.put(0, 'c')
	third := d.snap("third", true)
	d.put(2, 'd')
	d.want(d.live(), "cbd...", "live")
	d.want(d.kept(first), "a.....", "first")
	d.want(d.kept(second), "ab....", "second")

	d.remove(second, false)
	d.want(d.live(), "cbd...", "live without the second")
	d.want(d.kept(first), "a.....", "first without the second")
	d.want(d.kept(third), "cb....", "third without the second")
	if n := vdisk.DeltasOf(d.vm); n != 2 {
		t.Errorf("%d deltas, want 2", n)
	}

	d.revert(first)
	d.want(d.live(), "a.....", "reverted")
	d.put(5, 'e')
	branch := d.snap("branch", false)
	d.put(4, 'f')
	d.want(d.live(), "a...fe", "the branch")
	d.want(d.kept(third), "cb....", "the other branch")

	d.remove(first, false) // two branches rest on it: its layer stays
	d.want(d.live(), "a...fe", "without the root")
	d.want(d.kept(third), "cb....", "third without the root")
	d.remove(third, false)
	d.want(d.live(), "a...fe", "with one branch")
	d.want(d.kept(branch), "a....e", "the snapshot that is left")
	d.revert(branch)
	d.want(d.live(), "a....e", "reverted again")
	if d.vm.Runtime.PowerState != core.PoweredOff {
		t.Error("a snapshot without memory was reverted to, and the VM is on")
	}
	d.remove(branch, false)
	d.want(d.live(), "a....e", "alone")
	if n := vdisk.DeltasOf(d.vm); n != 0 || d.vm.Snapshot != nil {
		t.Errorf("%d deltas and snapshots %v are left", n, d.vm.Snapshot)
	}
	d.wantFiles("golden-parent-flat.vmdk", "golden-parent.nvram", "golden-parent.vmdk", "golden-parent.vmx", "vmware.log")
}

// wantFiles fails the test unless the VM's folder has just these files.
func (d *diskBench) wantFiles(want ...string) {
	d.Helper()
	dsName, vmx := dsfiles.Split(d.vm.Config.Files.VmPathName)
	ds, _ := d.sim.DatastoreOf(d.vm, dsName)
	entries, err := os.ReadDir(dsfiles.Local(ds, path.Dir(vmx)))
	if err != nil {
		d.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if !slices.Equal(got, want) {
		d.Errorf("files %v, want %v", got, want)
	}
	var listed []string
	for _, f := range d.read(d.vm.Self).LayoutEx.File {
		listed = append(listed, path.Base(f.Name))
	}
	slices.Sort(listed)
	if !slices.Equal(listed, want) {
		d.Errorf("layoutEx lists %v, want %v", listed, want)
	}
}

// A throw-away snapshot and its removal collapse what clones have left. The clones
// keep their bytes, and so does their parent.
func TestRemovingAllSnapshotsCollapses(t *testing.T) {
	d := start(t).disks("/DC0/vm/golden-parent")
	removeAll := func() {
		t.Helper()
		task, err := d.vc.RemoveAllSnapshot(d.ctx, nil)
		if err != nil {
			t.Fatal(err)
		}
		d.result(task)
	}
	d.put(0, 'a')
	d.patch("golden-parent", map[string]any{"delta_levels": 4})
	d.put(1, 'b')
	removeAll()
	if n := vdisk.DeltasOf(d.vm); n != 4 {
		t.Fatalf("without a snapshot %d levels are left of 4", n)
	}
	d.snap("throw-away", false)
	removeAll()
	if n := vdisk.DeltasOf(d.vm); n != 0 || d.vm.Snapshot != nil {
		t.Errorf("%d levels and snapshots %v are left", n, d.vm.Snapshot)
	}
	d.want(d.live(), "ab....", "collapsed")
	d.wantFiles("golden-parent-flat.vmdk", "golden-parent.nvram", "golden-parent.vmdk", "golden-parent.vmx", "vmware.log")

	clone := d.bench.clone("web")
	d.put(2, 'c')
	d.snap("throw-away", false)
	removeAll()
	d.put(0, 'd')
	if n := vdisk.DeltasOf(d.vm); n != 0 {
		t.Errorf("with a clone %d levels are left", n)
	}
	d.want(d.live(), "dbc...", "the parent")
	web := d.of(clone)
	web.want(web.live(), "ab....", "the clone")
}
