#!/usr/bin/env bash
# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# govmomi 0.56.0 (govc against vcsim). Needs Go 1.24 or later.
#
# Guess: `govc disk.create -size 1500K` makes a first class disk of at least 1500 KiB.
# Seen:  the size is cut down to whole MiB, without a word: the disk has 1 MiB, and what was to go on it does not fit.
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

	"github.com/vmware/govmomi/cli"
	_ "github.com/vmware/govmomi/cli/disk"
	"github.com/vmware/govmomi/find"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25"
	"github.com/vmware/govmomi/vslm"
	_ "github.com/vmware/govmomi/vslm/simulator"
)

func main() {
	err := simulator.VPX().Run(func(ctx context.Context, client *vim25.Client) error {
		os.Setenv("GOVC_URL", client.URL().String())
		os.Setenv("GOVC_USERNAME", "user")
		os.Setenv("GOVC_PASSWORD", "pass")
		os.Setenv("GOVC_INSECURE", "true") // a simulator of this script's own, on loopback
		if code := cli.Run([]string{"disk.create", "-ds", "LocalDS_0", "-size", "1500K", "data"}); code != 0 {
			return fmt.Errorf("govc disk.create ended with %d", code)
		}
		datastore, err := find.NewFinder(client).Datastore(ctx, "LocalDS_0")
		if err != nil {
			return err
		}
		manager := vslm.NewObjectManager(client)
		ids, err := manager.List(ctx, datastore)
		if err != nil {
			return err
		}
		disk, err := manager.Retrieve(ctx, datastore, ids[0].Id)
		if err != nil {
			return err
		}
		made := disk.Config.CapacityInMB
		fmt.Printf("asked for 1500 KiB, made: %d MiB\n", made)
		if made != 1 {
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
