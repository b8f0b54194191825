# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Gets the disk of a VM that is off by curl, over the path of its datastore or by an export lease: how fast can it be?

Reads the job, as JSON, from standard input, and writes the seconds that curl took into the file that the job names.
"""

from __future__ import annotations

import json
import ssl
import subprocess
import sys
import time
import urllib.parse
from pathlib import Path
from typing import Any

from pyVim.connect import Disconnect, SmartConnect
from pyVmomi import vim


def main() -> None:
    """Do the job."""
    job = json.load(sys.stdin)
    trusted = ssl.create_default_context(cafile=job["ca"])
    service = SmartConnect(host=job["host"], port=job["port"], user=job["username"], pwd=job["password"], sslContext=trusted)
    vm = service.content.searchIndex.FindByInventoryPath(job["vm"])
    span = over_the_datastore(job, vm, service._stub.cookie) if job["how"] == "datastore" else by_a_lease(job, vm)
    Disconnect(service)
    Path(job["figures"]).write_text(json.dumps({"span": span}), encoding="utf-8")


def over_the_datastore(job: dict[str, Any], vm: Any, cookie: str) -> float:
    """The file with the content of the only disk."""
    (disk,) = (each for each in vm.config.hardware.device if isinstance(each, vim.vm.device.VirtualDisk))
    store, _bracket, path = disk.backing.fileName.lstrip("[").partition("] ")
    query = urllib.parse.urlencode({"dcPath": "DC0", "dsName": store})
    place = urllib.parse.quote(path.removesuffix(".vmdk") + "-flat.vmdk")
    return curl(job, f"https://{job['host']}:{job['port']}/folder/{place}?{query}", "--cookie", cookie.partition(";")[0])


def by_a_lease(job: dict[str, Any], vm: Any) -> float:
    """The disk as the host writes it for an export."""
    lease = vm.ExportVm()
    while lease.state == "initializing":
        time.sleep(0.05)
    span = curl(job, next(item.url for item in lease.info.deviceUrl if item.disk))
    lease.HttpNfcLeaseComplete()
    return span


def curl(job: dict[str, Any], url: str, *more: str) -> float:
    """Seconds to get a URL into a file."""
    # The host's certificate is its own: curl looks at none, which costs it nothing.
    words = [job["curl"], "--silent", "--show-error", "--fail", "--insecure", "--output", job["file"], *more, url]
    begun = time.monotonic()
    subprocess.run(words, check=True)
    return time.monotonic() - begun


if __name__ == "__main__":
    main()
