# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The yardstick: instant or linked clones by pyVmomi with the calls that they need and nothing else.

Written to be fast rather than careful: no kept session, no check of what is there, no addresses, no result for each clone.
The job comes as JSON on standard input, its figures go as JSON to the file named in the job.
"""

from __future__ import annotations

import json
import ssl
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pyVmomi import SoapStubAdapter, vim, vmodl

Collector = vmodl.query.PropertyCollector


def main() -> None:
    """Make the clones of the job."""
    job = json.load(sys.stdin)
    begun = time.monotonic()
    made = clone(job)
    span = time.monotonic() - begun
    Path(job["figures"]).write_text(json.dumps({"span": span, "made": made}), encoding="utf-8")


def clone(job: dict) -> int:
    """Log in, find the parent and the folder, start every clone, wait once for all; returns how many succeeded."""
    trust = ssl.create_default_context(cafile=job["ca"])
    stub = SoapStubAdapter(job["host"], job["port"], "vim25/8.0.3.0", path="/sdk", poolSize=job["parallel"], sslContext=trust)
    content = vim.ServiceInstance("ServiceInstance", stub).RetrieveContent()
    content.sessionManager.Login(job["username"], job["password"], None)
    parent = content.searchIndex.FindByInventoryPath(job["parent"])
    folder = content.searchIndex.FindByInventoryPath(job["folder"])

    snapshot = parent.snapshot.currentSnapshot if job.get("linked") else None

    def start(name: str) -> vim.Task:
        config = [vim.option.OptionValue(key="guestinfo.hostname", value=name)]
        if snapshot is None:
            spec = vim.vm.InstantCloneSpec(name=name, location=vim.vm.RelocateSpec(folder=folder), config=config)
            return parent.InstantClone_Task(spec)
        location = vim.vm.RelocateSpec(diskMoveType="createNewChildDiskBacking")
        linked = vim.vm.CloneSpec(location=location, snapshot=snapshot, powerOn=True, template=False)
        linked.config = vim.vm.ConfigSpec(extraConfig=config)
        return parent.CloneVM_Task(folder, name, linked)

    with ThreadPoolExecutor(job["parallel"]) as pool:
        tasks = list(pool.map(start, job["names"]))
    made = wait(content.propertyCollector, tasks)
    content.sessionManager.Logout()
    stub.DropConnections()
    return made


def wait(collector: Collector, tasks: list[vim.Task]) -> int:
    """Wait by one property filter until every task has ended; returns how many succeeded."""
    objects = [Collector.ObjectSpec(obj=task) for task in tasks]
    paths = [Collector.PropertySpec(type=vim.Task, pathSet=["info.state"])]
    collector.CreateFilter(Collector.FilterSpec(objectSet=objects, propSet=paths), True)
    states: dict[str, str] = {}
    version = ""
    while len(states) < len(tasks):
        answer = collector.WaitForUpdatesEx(version, Collector.WaitOptions(maxWaitSeconds=20))
        if answer is None:
            continue
        version = answer.version
        for change in (change for part in answer.filterSet for change in part.objectSet):
            for item in change.changeSet:
                if item.val in ("success", "error"):
                    states[change.obj._moId] = item.val
    return sum(state == "success" for state in states.values())


if __name__ == "__main__":
    main()
