#!/usr/bin/env bash
# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# govmomi 0.56.0 (vcsim) with pyVmomi 8.0.3.0.1. Needs Go 1.24 or later.
#
# Guess: a client asks vcsim for storage policies in version 2.0 of their API, and is answered in 2.0, as by a vCenter.
# Seen:  each policy has a property of 9.1.0.0, k8sCompliantName. pyVmomi before 9.1 loses the whole answer by it, so that
#        nothing that reads a policy can be tried on vcsim; their IDs come.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check --no-binary=pyvmomi pyvmomi==8.0.3.0.1
cat > main.go <<'GO'
package main

import (
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"os"

	_ "github.com/vmware/govmomi/pbm/simulator"
	"github.com/vmware/govmomi/simulator"
)

func main() {
	model := simulator.VPX()
	if err := model.Create(); err != nil {
		log.Fatal(err)
	}
	defer model.Remove()
	model.Service.TLS = new(tls.Config)
	model.Service.RegisterEndpoints = true
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
from pyVmomi import SoapStubAdapter, VmomiSupport, pbm

with subprocess.Popen(["./vcsim"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as simulator:
    port = int(simulator.stdout.readline())
    # A simulator of this script's own, on loopback, with a certificate that it made itself.
    context = ssl._create_unverified_context()
    session = SmartConnect(host="127.0.0.1", port=port, user="user", pwd="pass", sslContext=context)
    cookie = session._stub.cookie.partition("=")[2].partition(";")[0].strip('"')
    VmomiSupport.GetRequestContext()["vcSessionCookie"] = cookie
    version = VmomiSupport.versionMap["pbm/2.0"]
    stub = SoapStubAdapter(host="127.0.0.1", port=port, path="/pbm", version=version, sslContext=context)
    manager = pbm.ServiceInstance("ServiceInstance", stub).RetrieveContent().profileManager
    found = manager.PbmQueryProfile(pbm.profile.ResourceType(resourceType="STORAGE"), "REQUIREMENT")
    print("asked in", stub.versionId, "- IDs come:", len(found) > 0)
    try:
        manager.PbmRetrieveContent(found)
        lost = ""
    except AttributeError as error:
        lost = str(error)
    print("AttributeError:", lost)
    simulator.stdin.close()
assert found and lost == "k8sCompliantName"
CHECK
venv/bin/python look.py
