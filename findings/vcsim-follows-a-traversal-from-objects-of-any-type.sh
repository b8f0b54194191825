#!/usr/bin/env bash
# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# govmomi 0.56.0 (vcsim). Needs Go 1.24 or later.
#
# Guess: a TraversalSpec of type VirtualApp is followed from vApps alone (API reference, TraversalSpec.type), so that a question about
#        one VM, with a way from vApps to their pools' VMs in it, is answered with that VM.
# Seen:  vcsim looks at the path, not at the type. A VM has a property resourcePool, too, and all VMs of its pool come. A client
#        that counts or trusts what comes is wrong there alone; one with a way back up goes round in circles.
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
	"github.com/vmware/govmomi/property"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25"
	"github.com/vmware/govmomi/vim25/types"
)

func main() {
	err := simulator.VPX().Run(func(ctx context.Context, client *vim25.Client) error {
		vm, err := find.NewFinder(client).VirtualMachine(ctx, "DC0_C0_RP0_VM0")
		if err != nil {
			return err
		}
		toVMs := &types.TraversalSpec{Type: "ResourcePool", Path: "vm"}
		toPools := &types.TraversalSpec{Type: "VirtualApp", Path: "resourcePool", SelectSet: []types.BaseSelectionSpec{toVMs}}
		res, err := property.DefaultCollector(client).RetrieveProperties(ctx, types.RetrieveProperties{
			SpecSet: []types.PropertyFilterSpec{{
				PropSet:   []types.PropertySpec{{Type: "VirtualMachine", PathSet: []string{"name"}}},
				ObjectSet: []types.ObjectSpec{{Obj: vm.Reference(), SelectSet: []types.BaseSelectionSpec{toPools}}},
			}},
		})
		if err != nil {
			return err
		}
		for _, found := range res.Returnval {
			fmt.Println(found.PropSet[0].Val)
		}
		if len(res.Returnval) != 2 {
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
