#!/usr/bin/env bash
# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# govmomi 0.56.0 (vcsim) with pyVmomi 9.1.1.0. Needs Go 1.24 or later.
#
# Guess: `vm.runtime` and `vm.summary` read from vcsim as from a vCenter; and where pyVmomi cannot read something, it says what.
# Seen:  vcsim writes an empty faultToleranceState, which is no value of that enum, and pyVmomi can read neither property of any
#        VM. It says "AttributeError: runtime", as if VMs had no such property, since the error behind it is an AttributeError too:
#        `hasattr` is False, and `getattr(vm, "runtime", None)` is None without any error. The path `runtime.powerState` can be read.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check pyvmomi==9.1.1.0
cat > main.go <<'GO'
package main

import (
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"os"

	"github.com/vmware/govmomi/simulator"
)

func main() {
	model := simulator.VPX()
	if err := model.Create(); err != nil {
		log.Fatal(err)
	}
	defer model.Remove()
	model.Service.TLS = new(tls.Config)
	server := model.Service.NewServer()
	defer server.Close()
	fmt.Println(server.URL.Port())
	_, _ = io.Copy(io.Discard, os.Stdin)
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
go build -o vcsim .
cat > look.py <<'CHECK'
import ssl
import subprocess

from pyVim.connect import SmartConnect
from pyVmomi import vim, vmodl

query = vmodl.query.PropertyCollector


def read(collector, vm, path):
    wanted = query.FilterSpec(
        objectSet=[query.ObjectSpec(obj=vm)], propSet=[query.PropertySpec(type=vim.VirtualMachine, pathSet=[path])]
    )
    return collector.RetrievePropertiesEx([wanted], query.RetrieveOptions()).objects[0].propSet[0].val


def error_of(call):
    try:
        call()
    except AttributeError as error:
        return str(error)
    raise SystemExit("this has changed: it was read")


with subprocess.Popen(["./vcsim"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as simulator:
    port = int(simulator.stdout.readline())
    # A simulator of this script's own, on loopback, with a certificate that it made itself.
    context = ssl._create_unverified_context()
    content = SmartConnect(host="127.0.0.1", port=port, user="user", pwd="pass", sslContext=context).RetrieveContent()
    vm = content.rootFolder.childEntity[0].vmFolder.childEntity[0]
    try:
        for name in ("runtime", "summary"):
            shown = error_of(lambda: getattr(vm, name))
            behind = error_of(lambda: read(content.propertyCollector, vm, name))
            print(f"vm.{name}: AttributeError: {shown}; behind it: {behind}; with a default: {getattr(vm, name, None)}")
            assert shown == name and "FaultToleranceState" in behind
            assert not hasattr(vm, name) and getattr(vm, name, None) is None
        power = read(content.propertyCollector, vm, "runtime.powerState")
        print("runtime.powerState:", power)
        assert power == "poweredOn"
    finally:
        simulator.stdin.close()
CHECK
venv/bin/python look.py
