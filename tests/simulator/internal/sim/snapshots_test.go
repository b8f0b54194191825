// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package sim

import (
	"testing"

	"github.com/vmware/govmomi/object"
)

// A throw-away snapshot and its removal collapse what clones have left; the layers
// that clones build on stay.
func TestRemovingSnapshotsConsolidates(t *testing.T) {
	b := start(t)
	b.patch("golden-parent", map[string]any{"delta_levels": 4})
	vm := object.NewVirtualMachine(b.client, b.find("/DC0/vm/golden-parent"))
	removed := func() {
		t.Helper()
		task, err := vm.RemoveAllSnapshot(b.ctx, nil)
		if err == nil {
			err = task.Wait(b.ctx)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	deltas := func() int { return deltasOf(b.sim.vm(vm.Reference())) }
	removed()
	if n := deltas(); n != 4 {
		t.Fatalf("without a snapshot %d levels are left of 4", n)
	}
	task, err := vm.CreateSnapshot(b.ctx, "throw-away", "", false, false)
	if err == nil {
		err = task.Wait(b.ctx)
	}
	if err != nil {
		t.Fatal(err)
	}
	removed()
	if n := deltas(); n != 0 {
		t.Errorf("%d levels are left", n)
	}
	if b.sim.vm(vm.Reference()).Snapshot != nil {
		t.Error("the snapshot is left")
	}
}
