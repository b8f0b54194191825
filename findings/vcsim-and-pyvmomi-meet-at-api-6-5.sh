#!/usr/bin/env bash
# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# govmomi 0.56.0 (vcsim) with pyVmomi 9.1.1.0. Needs Go 1.24 or later.
#
# Guess: vcsim of 2026 says that it is a vCenter of about that time; a call that it does not know is answered by it.
# Seen:  it says API version 6.5. pyVmomi speaks 6.5 then, and refuses InstantClone_Task (6.7) by itself: MethodNotFound,
#        without a request. Whoever counts the requests, or tests the answer of the server, tests pyVmomi instead.
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
go mod init finding >/dev/null 2>&1
go get github.com/vmware/govmomi@v0.56.0 >/dev/null 2>&1
go mod tidy >/dev/null 2>&1
go build -o vcsim .
cat > look.py <<'CHECK'
import ssl
import subprocess

from pyVim.connect import SmartConnect
from pyVmomi import SoapAdapter, vim, vmodl

with subprocess.Popen(["./vcsim"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as simulator:
    port = int(simulator.stdout.readline())
    # A simulator of this script's own, on loopback, with a certificate that it made itself.
    context = ssl._create_unverified_context()
    service = SmartConnect(host="127.0.0.1", port=port, user="user", pwd="pass", sslContext=context)
    content = service.RetrieveContent()
    print("API version", content.about.apiVersion, "-", content.about.fullName)

    requests = []
    take = SoapAdapter.SoapStubAdapter.GetConnection
    SoapAdapter.SoapStubAdapter.GetConnection = lambda stub: requests.append(1) or take(stub)
    vm = content.rootFolder.childEntity[0].vmFolder.childEntity[0]
    before = len(requests)
    try:
        vm.InstantClone_Task(vim.vm.InstantCloneSpec(name="clone", location=vim.vm.RelocateSpec()))
        refused = False
    except vmodl.fault.MethodNotFound:
        refused = True
    print("MethodNotFound:", refused, "- requests sent for it:", len(requests) - before)
    simulator.stdin.close()
assert content.about.apiVersion == "6.5" and refused and len(requests) == before
CHECK
venv/bin/python look.py
