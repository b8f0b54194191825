#!/usr/bin/env bash
# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# govmomi 0.56.0 (govc against vcsim). Needs Go 1.24 or later.
#
# Guess: `govc vm.destroy 'web[1]'` destroys the VM of that name. vSphere takes such names, and the shell was told to keep out.
# Seen:  govc reads the name as a pattern of its own. web1 is destroyed, and web[1] is still there; the exit code is 0. All
#        commands that take a VM find it like this, and so does a program that looks names up by govmomi's Finder. A backslash
#        before the bracket makes it a name.
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
	"strings"

	"github.com/vmware/govmomi/cli"
	_ "github.com/vmware/govmomi/cli/vm"
	"github.com/vmware/govmomi/find"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25"
)

func main() {
	err := simulator.VPX().Run(func(ctx context.Context, client *vim25.Client) error {
		os.Setenv("GOVC_URL", client.URL().String())
		os.Setenv("GOVC_USERNAME", "user")
		os.Setenv("GOVC_PASSWORD", "pass")
		os.Setenv("GOVC_INSECURE", "true") // a simulator of this script's own, on loopback
		govc := func(words ...string) error {
			if code := cli.Run(words); code != 0 {
				return fmt.Errorf("govc %s ended with %d", strings.Join(words, " "), code)
			}
			return nil
		}
		for _, name := range []string{"web1", "web[1]"} {
			err := govc("vm.create", "-on=false", "-ds", "LocalDS_0", "-pool", "DC0_C0/Resources", "-net", "VM Network", name)
			if err != nil {
				return err
			}
		}
		left := func(when string) (string, error) {
			vms, err := find.NewFinder(client).VirtualMachineList(ctx, "web*")
			if err != nil {
				return "", err
			}
			var names []string
			for _, vm := range vms {
				names = append(names, vm.Name())
			}
			fmt.Printf("%s: %s\n", when, strings.Join(names, " "))
			return strings.Join(names, " "), nil
		}
		if _, err := left("made"); err != nil {
			return err
		}
		if err := govc("vm.destroy", "web[1]"); err != nil {
			return err
		}
		names, err := left("left after vm.destroy web[1]")
		if err != nil {
			return err
		}
		if names != "web[1]" {
			return fmt.Errorf("this has changed")
		}
		if err := govc("vm.change", "-vm", `web\[1]`, "-annotation", "found"); err != nil {
			return err
		}
		fmt.Println(`found by the name web\[1]`)
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
