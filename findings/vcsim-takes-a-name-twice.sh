#!/usr/bin/env bash
# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# govmomi 0.56.0 (vcsim). Needs Go 1.24 or later.
#
# Guess: the simulator of govmomi refuses a second VM of the same name in the same folder, as vCenter does (DuplicateName),
#        so a test against it shows what a lost race looks like.
# Seen:  CreateVM_Task succeeds twice: two VMs of one name in one folder. CloneVM_Task and CreateFolder refuse.
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
		datacenter, err := finder.DefaultDatacenter(ctx)
		if err != nil {
			return err
		}
		folders, err := datacenter.Folders(ctx)
		if err != nil {
			return err
		}
		pool, err := finder.SetDatacenter(datacenter).ResourcePool(ctx, "DC0_C0/Resources")
		if err != nil {
			return err
		}
		spec := types.VirtualMachineConfigSpec{
			Name:  "twice",
			Files: &types.VirtualMachineFileInfo{VmPathName: "[LocalDS_0]"},
		}
		for try := 1; try <= 2; try++ {
			task, err := folders.VmFolder.CreateVM(ctx, spec, pool, nil)
			if err != nil {
				return err
			}
			_, err = task.WaitForResult(ctx)
			fmt.Printf("CreateVM_Task %d: error %v\n", try, err)
		}
		children, err := folders.VmFolder.Children(ctx)
		if err != nil {
			return err
		}
		same := 0
		for _, child := range children {
			if vm, ok := child.(*object.VirtualMachine); ok {
				if name, _ := vm.ObjectName(ctx); name == "twice" {
					same++
				}
			}
		}
		_, err = folders.VmFolder.CreateFolder(ctx, "twice-a-folder")
		if err != nil {
			return err
		}
		_, err = folders.VmFolder.CreateFolder(ctx, "twice-a-folder")
		fmt.Printf("VMs of that name: %d; second CreateFolder: %v\n", same, err)
		if same != 2 || err == nil {
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
