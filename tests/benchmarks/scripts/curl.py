# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sends the first disk of an OVF package by curl, into an import that is then given up: how fast can it be?

Reads the job, as JSON, from standard input, and writes the seconds that curl took into the file that the job names.
"""

from __future__ import annotations

import json
import ssl
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from pyVim.connect import Disconnect, SmartConnect
from pyVmomi import vim


def begin(content: Any, job: dict[str, Any]) -> Any:
    """An import that waits for its disks; returns its lease."""
    find = content.searchIndex.FindByInventoryPath
    pool = find(f"DC0/host/{job['cluster']}/Resources")
    network = next(item for item in find("DC0").network if item.name == job["network"])
    params = vim.OvfManager.CreateImportSpecParams(
        locale="",
        entityName=job["name"],
        deploymentOption="",
        networkMapping=[vim.OvfManager.NetworkMapping(name="front", network=network)],
    )
    text = Path(job["descriptor"]).read_text(encoding="utf-8")
    answer = content.ovfManager.CreateImportSpec(text, pool, find("DC0").datastore[0], params)
    lease = pool.ImportVApp(answer.importSpec, find(job["folder"].lstrip("/")), None)
    while lease.state == "initializing":
        time.sleep(0.05)
    return lease


def main() -> None:
    """Do the job."""
    job = json.load(sys.stdin)
    trusted = ssl.create_default_context(cafile=job["ca"])
    service = SmartConnect(host=job["host"], port=job["port"], user=job["username"], pwd=job["password"], sslContext=trusted)
    lease = begin(service.content, job)
    url = next(item.url for item in lease.info.deviceUrl if item.disk)
    # The host's certificate is its own: curl looks at none, which costs it nothing.
    command = [job["curl"], "--silent", "--show-error", "--fail", "--insecure", "--request", "POST"]
    begun = time.monotonic()
    subprocess.run([*command, "--upload-file", job["disk"], url], check=True)
    span = time.monotonic() - begun
    lease.HttpNfcLeaseAbort()
    Disconnect(service)
    Path(job["figures"]).write_text(json.dumps({"span": span}), encoding="utf-8")


if __name__ == "__main__":
    main()
