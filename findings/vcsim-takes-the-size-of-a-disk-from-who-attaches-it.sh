#!/usr/bin/env bash
# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# govmomi 0.56.0 (vcsim). Needs Go 1.24 or later.
#
# Guess: a VM that CreateVM_Task makes around a VMDK that is there has a disk of that VMDK's size, whatever the request says.
# Seen:  vcsim takes the size of the request. A client that leaves it at 0, since the disk has one, gets a VM with a disk of 0
#        bytes, and tests of backups or exports of that VM pass with nothing in them.
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
	"github.com/vmware/govmomi/vim25/types"
)

func main() {
	err := simulator.VPX().Run(func(ctx context.Context, client *vim25.Client) error {
		finder := find.NewFinder(client)
		dc, err := finder.DefaultDatacenter(ctx)
		if err != nil {
			return err
		}
		finder.SetDatacenter(dc)
		folders, err := dc.Folders(ctx)
		if err != nil {
			return err
		}
		pool, err := finder.ResourcePool(ctx, "DC0_C0/Resources")
		if err != nil {
			return err
		}

		// A disk of 8 MiB, which belongs to no VM.
		if err := object.NewFileManager(client).MakeDirectory(ctx, "[LocalDS_0] disks", dc, true); err != nil {
			return err
		}
		spec := &types.FileBackedVirtualDiskSpec{
			VirtualDiskSpec: types.VirtualDiskSpec{DiskType: "thin", AdapterType: "lsiLogic"},
			CapacityKb:      8 * 1024,
		}
		task, err := object.NewVirtualDiskManager(client).CreateVirtualDisk(ctx, "[LocalDS_0] disks/data.vmdk", dc, spec)
		if err != nil {
			return err
		}
		if err := task.Wait(ctx); err != nil {
			return err
		}

		// A VM around it.
		var devices object.VirtualDeviceList
		controller, err := devices.CreateSCSIController("pvscsi")
		if err != nil {
			return err
		}
		devices = append(devices, controller)
		disk := devices.CreateDisk(controller.(types.BaseVirtualController), types.ManagedObjectReference{}, "[LocalDS_0] disks/data.vmdk")
		disk.Backing.(*types.VirtualDiskFlatVer2BackingInfo).Datastore = nil
		devices = append(devices, disk)
		changes, err := devices.ConfigSpec(types.VirtualDeviceConfigSpecOperationAdd)
		if err != nil {
			return err
		}
		for _, change := range changes {
			change.GetVirtualDeviceConfigSpec().FileOperation = ""
		}
		config := types.VirtualMachineConfigSpec{
			Name: "around", GuestId: "otherGuest64", NumCPUs: 1, MemoryMB: 64, DeviceChange: changes,
			Files: &types.VirtualMachineFileInfo{VmPathName: "[LocalDS_0]"},
		}
		task, err = folders.VmFolder.CreateVM(ctx, config, pool, nil)
		if err != nil {
			return err
		}
		made, err := task.WaitForResult(ctx)
		if err != nil {
			return err
		}
		found, err := object.NewVirtualMachine(client, made.Result.(types.ManagedObjectReference)).Device(ctx)
		if err != nil {
			return err
		}
		attached := found.SelectByType((*types.VirtualDisk)(nil))[0].(*types.VirtualDisk)
		fmt.Printf("the disk has %d KiB, and in the VM: %d KiB\n", spec.CapacityKb, attached.CapacityInKB)
		if attached.CapacityInKB != 0 {
			return fmt.Errorf("this has changed")
		}
		return nil
	})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}
GO
go mod init finding >/dev/null 2>&1
go get github.com/vmware/govmomi@v0.56.0 >/dev/null 2>&1
go mod tidy >/dev/null 2>&1
go run .
