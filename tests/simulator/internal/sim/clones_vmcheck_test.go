// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package sim

import (
	"testing"

	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/types"
)

// checkVMClone asks whether a full or linked clone could be made.
func (b *bench) checkVMClone(source types.ManagedObjectReference, name string, spec types.VirtualMachineCloneSpec) types.CheckResult {
	b.Helper()
	res, err := methods.CheckClone_Task(b.ctx, b.client, &types.CheckClone_Task{
		This: *b.client.ServiceContent.VmProvisioningChecker, Vm: source, Folder: b.find("/DC0/vm"), Name: name, Spec: spec,
	})
	if err != nil {
		b.Fatal(err)
	}
	info, err := object.NewTask(b.client, res.Returnval).WaitForResult(b.ctx, nil)
	if err != nil {
		b.Fatal(err)
	}
	return info.Result.(types.ArrayOfCheckResult).CheckResult[0]
}

func TestCheckOfAGoodVMCloneChangesNothing(t *testing.T) {
	b := start(t)
	source := b.made("source", nil)
	before := len(b.sim.Reg.All("VirtualMachine"))
	result := b.checkVMClone(source, "fine", types.VirtualMachineCloneSpec{})
	if len(result.Error) != 0 || *result.Vm != source || result.Host == nil {
		t.Errorf("result %+v", result)
	}
	if now := len(b.sim.Reg.All("VirtualMachine")); now != before {
		t.Errorf("%d VMs, want %d: the check made one", now, before)
	}
}

func TestCheckOfAVMCloneTellsWhatIsWrong(t *testing.T) {
	b := start(t)
	source := b.made("source", nil)
	linked := types.VirtualMachineCloneSpec{}
	linked.Location.DiskMoveType = string(types.VirtualMachineRelocateDiskMoveOptionsCreateNewChildDiskBacking)
	for name, c := range map[string]struct {
		spec types.VirtualMachineCloneSpec
		want types.BaseMethodFault
	}{
		"source":    {types.VirtualMachineCloneSpec{}, &types.DuplicateName{}},
		"no-layers": {linked, &types.InvalidArgument{}},
	} {
		errors := b.checkVMClone(source, name, c.spec).Error
		if len(errors) != 1 {
			t.Fatalf("%s: %d errors, want 1", name, len(errors))
		}
		b.wantFault(errors[0].Fault, c.want)
	}
}
