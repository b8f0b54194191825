#!/usr/bin/env bash
# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# govmomi 0.56.0 (vcsim). Needs Go 1.24 or later.
#
# Guess: FileManager.MakeDirectory of a directory that is there fails with FileAlreadyExists, as the API reference has it, whether
#        or not its parents are to be made, so that a program can see who was first.
# Seen:  it fails without createParentDirectories, and succeeds with it, the second time too.
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
)

func main() {
	err := simulator.VPX().Run(func(ctx context.Context, client *vim25.Client) error {
		datacenter, err := find.NewFinder(client).DefaultDatacenter(ctx)
		if err != nil {
			return err
		}
		files := object.NewFileManager(client)
		for _, parents := range []bool{false, true} {
			for try := 1; try <= 2; try++ {
				path := fmt.Sprintf("[LocalDS_0] made-%t", parents)
				err := files.MakeDirectory(ctx, path, datacenter, parents)
				fmt.Printf("createParentDirectories %t, time %d: refused %t\n", parents, try, err != nil)
			}
		}
		return nil
	})
	if err != nil {
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
go run . | tee seen
diff - seen <<'SEEN'
createParentDirectories false, time 1: refused false
createParentDirectories false, time 2: refused true
createParentDirectories true, time 1: refused false
createParentDirectories true, time 2: refused false
SEEN
