#!/usr/bin/env bash
# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# pyVmomi 9.1.1.0 and govc of govmomi 0.56.0, both against vcsim. Needs Go 1.24 or later.
#
# Guess: a guestinfo value with CR LF at its lines' ends, such as a PowerShell script, arrives as it was sent, whoever sends it.
# Seen:  govc sends the CR as a character reference, and it arrives. pyVmomi sends the bare character, which every reader of XML
#        has to take for part of a line's end: it is gone. A task that compares what is there with what it wants finds them
#        different for ever, and what was signed with its CRs no longer matches.
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

	"github.com/vmware/govmomi/cli"
	_ "github.com/vmware/govmomi/cli/vm"
	"github.com/vmware/govmomi/simulator"
)

func main() {
	if len(os.Args) > 1 {
		os.Exit(cli.Run(os.Args[1:]))
	}
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
go build -o vcsim-and-govc .
cat > look.py <<'CHECK'
import os
import ssl
import subprocess

from pyVim.connect import SmartConnect
from pyVim.task import WaitForTask
from pyVmomi import vim

SENT = "Set-Thing\r\nexit 0\r\n"

with subprocess.Popen(["./vcsim-and-govc"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as simulator:
    port = int(simulator.stdout.readline())
    try:
        # A simulator of this script's own, on loopback, with a certificate that it made itself.
        context = ssl._create_unverified_context()
        content = SmartConnect(host="127.0.0.1", port=port, user="user", pwd="pass", sslContext=context).RetrieveContent()
        vm = content.rootFolder.childEntity[0].vmFolder.childEntity[0]
        option = vim.option.OptionValue(key="guestinfo.by-pyvmomi", value=SENT)
        WaitForTask(vm.ReconfigVM_Task(vim.vm.ConfigSpec(extraConfig=[option])))
        subprocess.run(
            ["./vcsim-and-govc", "vm.change", "-vm", vm.name, "-e", f"guestinfo.by-govc={SENT}"],
            env={**os.environ, "GOVC_URL": f"https://user:pass@127.0.0.1:{port}/sdk", "GOVC_INSECURE": "true"},
            check=True,
        )
        arrived = {option.key: option.value for option in vm.config.extraConfig}
    finally:
        simulator.stdin.close()
for name in ("by-govc", "by-pyvmomi"):
    print(f"sent {name}: {SENT!r}, arrived: {arrived['guestinfo.' + name]!r}")
assert arrived["guestinfo.by-govc"] == SENT
assert arrived["guestinfo.by-pyvmomi"] == "Set-Thing\nexit 0\n"
CHECK
venv/bin/python look.py
