#!/usr/bin/env bash
# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# govmomi 0.56.0 (vcsim). Needs Go 1.24 or later.
#
# Guess: a test of clones and snapshots against vcsim fails where the program would fail at a vCenter.
# Seen:  three things that make it pass. RevertToSnapshot_Task succeeds and changes nothing: the VM keeps what was set after the
#        snapshot, and goes on running. A linked clone (createNewChildDiskBacking) of a VM without any snapshot is made, and its disk
#        has no parent. And a clone has the MAC address of its source, which a vCenter gives to no second card that asks for any.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

cat > main.go <<'GO'
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/vmware/govmomi/find"
	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

type state struct {
	note, mac, power string
	parents          int
}

func look(ctx context.Context, vm *object.VirtualMachine) (seen state, err error) {
	var found mo.VirtualMachine
	err = vm.Properties(ctx, vm.Reference(), []string{"config.annotation", "config.hardware.device", "runtime.powerState"}, &found)
	if err != nil {
		return seen, err
	}
	seen.note, seen.power = found.Config.Annotation, string(found.Runtime.PowerState)
	for _, device := range found.Config.Hardware.Device {
		if card, ok := device.(types.BaseVirtualEthernetCard); ok {
			seen.mac = card.GetVirtualEthernetCard().MacAddress
		}
		if disk, ok := device.(*types.VirtualDisk); ok && disk.Backing.(*types.VirtualDiskFlatVer2BackingInfo).Parent != nil {
			seen.parents++
		}
	}
	return seen, nil
}

func done(ctx context.Context, task *object.Task, err error) (*types.TaskInfo, error) {
	if err != nil {
		return nil, err
	}
	return task.WaitForResult(ctx)
}

func try(ctx context.Context, client *vim25.Client) error {
	finder := find.NewFinder(client)
	dc, err := finder.DefaultDatacenter(ctx)
	if err != nil {
		return err
	}
	folders, err := dc.Folders(ctx)
	if err != nil {
		return err
	}
	vm, err := finder.SetDatacenter(dc).VirtualMachine(ctx, "DC0_H0_VM0")
	if err != nil {
		return err
	}
	note := func(text string) error {
		task, err := vm.Reconfigure(ctx, types.VirtualMachineConfigSpec{Annotation: text})
		_, err = done(ctx, task, err)
		return err
	}

	// The linked clone comes first: the VM has no snapshot yet.
	spec := types.VirtualMachineCloneSpec{
		Location: types.VirtualMachineRelocateSpec{DiskMoveType: string(types.VirtualMachineRelocateDiskMoveOptionsCreateNewChildDiskBacking)},
	}
	task, err := vm.Clone(ctx, folders.VmFolder, "linked", spec)
	made, err := done(ctx, task, err)
	if err != nil {
		return err
	}
	clone, err := look(ctx, object.NewVirtualMachine(client, made.Result.(types.ManagedObjectReference)))
	if err != nil {
		return err
	}
	source, err := look(ctx, vm)
	if err != nil {
		return err
	}
	fmt.Printf("linked clone without a snapshot: made, disks with a parent: %d; its MAC address is the source's: %t\n",
		clone.parents, clone.mac == source.mac)

	if err := note("before"); err != nil {
		return err
	}
	task, err = vm.CreateSnapshot(ctx, "snapshot", "", false, false)
	if _, err = done(ctx, task, err); err != nil {
		return err
	}
	if err := note("after"); err != nil {
		return err
	}
	task, err = vm.RevertToSnapshot(ctx, "snapshot", false)
	if _, err = done(ctx, task, err); err != nil {
		return err
	}
	reverted, err := look(ctx, vm)
	if err != nil {
		return err
	}
	fmt.Printf("reverted: the note is %q, and the VM is %s\n", reverted.note, reverted.power)
	if clone.parents != 0 || clone.mac != source.mac || reverted.note != "after" || reverted.power != "poweredOn" {
		return fmt.Errorf("this has changed")
	}
	return nil
}

func main() {
	if err := simulator.VPX().Run(try); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}
GO
cat > go.mod <<'MOD'
module example.com/finding

go 1.24
MOD
if ! { go get github.com/vmware/govmomi@v0.56.0 && go mod tidy; } >go.log 2>&1; then
  cat go.log
  exit 1
fi
go run .
