# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The yardstick for changed areas: pyVmomi with the calls that are needed and nothing else.

A snapshot, the pages, the removal of the snapshot. It checks nothing, merges nothing, writes nothing, and leaves the snapshot
when it fails. The job comes as JSON on standard input, its figures go as JSON to the file named in the job.
"""

from __future__ import annotations

import json
import ssl
import sys
import time
from pathlib import Path

from pyVmomi import SoapStubAdapter, vim, vmodl

Collector = vmodl.query.PropertyCollector


def main() -> None:
    """Ask for the areas of the job's disk."""
    job = json.load(sys.stdin)
    begun = time.monotonic()
    found = ask(job)
    span = time.monotonic() - begun
    Path(job["figures"]).write_text(json.dumps({"span": span, "areas": found}), encoding="utf-8")


def ask(job: dict) -> int:
    """Log in, make a snapshot, read all pages, remove the snapshot; returns the number of areas."""
    trust = ssl.create_default_context(cafile=job["ca"])
    stub = SoapStubAdapter(job["host"], job["port"], "vim25/8.0.3.0", path="/sdk", sslContext=trust)
    content = vim.ServiceInstance("ServiceInstance", stub).RetrieveContent()
    content.sessionManager.Login(job["username"], job["password"], None)
    vm = content.searchIndex.FindByInventoryPath(job["vm"])
    snapshot = finished(content.propertyCollector, vm.CreateSnapshot_Task("bench", "", False, False))
    areas, offset = [], 0
    while offset < job["capacity"]:
        page = vm.QueryChangedDiskAreas(snapshot, job["key"], offset, job["change_id"])
        areas += [(area.start, area.length) for area in page.changedArea]
        offset = page.startOffset + page.length
    finished(content.propertyCollector, snapshot.RemoveSnapshot_Task(False))
    content.sessionManager.Logout()
    stub.DropConnections()
    return len(areas)


def finished(collector: Collector, task: vim.Task) -> object:
    """Wait by a property filter until the task has ended; returns its result."""
    paths = [Collector.PropertySpec(type=vim.Task, pathSet=["info.state"])]
    collector.CreateFilter(Collector.FilterSpec(objectSet=[Collector.ObjectSpec(obj=task)], propSet=paths), True)
    version, state = "", ""
    while state not in ("success", "error"):
        answer = collector.WaitForUpdatesEx(version, Collector.WaitOptions(maxWaitSeconds=20))
        if answer is None:
            continue
        version = answer.version
        for change in (change for part in answer.filterSet for change in part.objectSet):
            state = next((item.val for item in change.changeSet), state)
    return task.info.result


if __name__ == "__main__":
    main()
