# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sends disks to a sink as the collection sends them to the hosts of a lease, every byte hashed on its way.

The job comes as JSON on standard input: port and pin of the sink, the file, its SHA-256, and how many times at once it is
sent. Its figures go as JSON to the file named in the job: the seconds and the processor seconds of the upload itself, without
the start of Python and its libraries, and the largest resident set of the process.
"""

from __future__ import annotations

import json
import resource
import sys
import time
import types
from pathlib import Path

from ansible_collections.vforge.vsphere.plugins.module_utils._connector import adapter
from ansible_collections.vforge.vsphere.plugins.module_utils._connector.options import ConnectionOptions
from ansible_collections.vforge.vsphere.plugins.module_utils._connector.web import Stop
from ansible_collections.vforge.vsphere.plugins.module_utils._ovf.blobs import LocalBlob
from ansible_collections.vforge.vsphere.plugins.module_utils._vsphere import lease, sending


def main() -> None:
    """Do the job."""
    job = json.load(sys.stdin)
    # With it comes requests, which takes as long as a hundred MiB: once a task, however much is sent.
    adapter.require()
    options = ConnectionOptions("vcenter.invalid", "nobody", job["pin"])
    blob, digests = LocalBlob(job["file"]), []
    chains = [[upload(job, blob, f"disk-{number}")] for number in range(job["at_once"])]
    sender = sending.Sender(
        types.SimpleNamespace(options=options),
        job["at_once"],
        time.monotonic() + 600,
        Stop(),
        progress=lambda _count: None,
        check=lambda _upload, digest: digests.append(digest),
    )
    begun, spent = time.monotonic(), time.process_time()
    sender.send(chains)
    figures = {"seconds": time.monotonic() - begun, "cpu": time.process_time() - spent}
    figures["peak_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    if digests != [job["sha256"]] * job["at_once"]:
        raise SystemExit("what was sent is not what is in the file")
    Path(job["figures"]).write_text(json.dumps(figures), encoding="utf-8")


def upload(job: dict, blob: LocalBlob, name: str) -> sending.Upload:
    """One disk on its way to the sink."""
    device = lease.Device(name, name, f"https://127.0.0.1:{job['port']}/{name}", job["pin"], disk=True)
    return sending.Upload(name, blob, device)


if __name__ == "__main__":
    main()
