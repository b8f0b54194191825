// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package sim

import (
	"testing"

	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/property"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

// TaskInfo.entity is a ManagedEntity: a task of a manager has none.
func TestTasksOfManagersAreAboutNoEntity(t *testing.T) {
	b := start(t)
	dc := object.NewDatacenter(b.client, b.find("/DC0"))
	task, err := object.NewVirtualDiskManager(b.client).CreateVirtualDisk(
		b.ctx, "[LocalDS_0] lone.vmdk", dc, &types.FileBackedVirtualDiskSpec{
			CapacityKb:      1024,
			VirtualDiskSpec: types.VirtualDiskSpec{DiskType: "thin", AdapterType: "lsiLogic"},
		})
	if err != nil {
		t.Fatal(err)
	}
	b.result(task)
	off, err := b.parent().PowerOff(b.ctx)
	if err != nil {
		t.Fatal(err)
	}
	b.result(off)
	for ref, about := range map[types.ManagedObjectReference]bool{task.Reference(): false, off.Reference(): true} {
		for _, paths := range [][]string{{"info"}, {"info.entity", "info.entityName"}} {
			var read mo.Task
			if err := property.DefaultCollector(b.client).RetrieveOne(b.ctx, ref, paths, &read); err != nil {
				t.Fatal(err)
			}
			if (read.Info.Entity != nil) != about {
				t.Errorf("%s: %v is about %v", ref.Value, paths, read.Info.Entity)
			}
		}
	}
}
