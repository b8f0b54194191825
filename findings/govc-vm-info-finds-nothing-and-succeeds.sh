#!/usr/bin/env bash
# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# govmomi 0.56.0 (govc against vcsim). Needs Go 1.24 or later.
#
# Guess: `govc vm.info NAME` fails where there is no VM of that name, so that a script can ask by it.
# Seen:  it prints nothing and ends with 0, as `pool.info` does; with -json it prints a null. `vm.power`, `vm.destroy`, `host.info`
#        and all the others say "not found" and end with 1. A script that clones unless `vm.info` succeeds never clones.
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
	_ "github.com/vmware/govmomi/cli/host"
	_ "github.com/vmware/govmomi/cli/pool"
	_ "github.com/vmware/govmomi/cli/vm"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25"
)

func main() {
	err := simulator.VPX().Run(func(ctx context.Context, client *vim25.Client) error {
		os.Setenv("GOVC_URL", client.URL().String())
		os.Setenv("GOVC_USERNAME", "user")
		os.Setenv("GOVC_PASSWORD", "pass")
		os.Setenv("GOVC_INSECURE", "true") // a simulator of this script's own, on loopback
		changed := false
		for _, try := range []struct {
			words []string
			code  int
		}{
			{[]string{"vm.info", "nothing-of-this-name"}, 0},
			{[]string{"vm.info", "-json", "nothing-of-this-name"}, 0},
			{[]string{"pool.info", "nothing-of-this-name"}, 0},
			{[]string{"vm.power", "-on", "nothing-of-this-name"}, 1},
			{[]string{"vm.destroy", "nothing-of-this-name"}, 1},
			{[]string{"host.info", "nothing-of-this-name"}, 1},
		} {
			code := cli.Run(try.words)
			fmt.Printf("%v ended with %d\n", try.words, code)
			changed = changed || code != try.code
		}
		if changed {
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
cat > go.mod <<'MOD'
module example.com/finding

go 1.24
MOD
if ! { go get github.com/vmware/govmomi@v0.56.0 && go mod tidy; } >go.log 2>&1; then
  cat go.log
  exit 1
fi
go run .
