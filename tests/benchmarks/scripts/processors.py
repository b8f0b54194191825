# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The yardstick for comparing VMs with hosts: pyVmomi reads the same properties, and nothing is compared.

Two reads with their pages: hosts, clusters and EVC modes, and every VM. The job comes as JSON on standard input, its figures go
as JSON to the file named in the job: objects that were read, the seconds of that, and what the process used.
"""

from __future__ import annotations

import json
import resource
import ssl
import sys
import time
from pathlib import Path

from pyVmomi import SoapStubAdapter, vim, vmodl

Collector = vmodl.query.PropertyCollector

PAGE = 500

PLACES = {
    vim.ServiceInstance: ["capability.supportedEVCMode"],
    vim.HostSystem: [
        "name",
        "parent",
        "runtime.inMaintenanceMode",
        "runtime.connectionState",
        "hardware.cpuFeature",
        "hardware.cpuPkg",
        "summary.maxEVCModeKey",
        "summary.currentEVCModeKey",
        "config.featureCapability",
        "config.maskedFeatureCapability",
    ],
    vim.ComputeResource: ["name", "parent", "host"],
    vim.ClusterComputeResource: ["summary.currentEVCModeKey"],
    vim.Folder: ["name", "parent"],
    vim.Datacenter: ["name", "parent"],
}
VMS = {
    vim.VirtualMachine: [
        "name",
        "runtime.powerState",
        "runtime.host",
        "config.version",
        "runtime.minRequiredEVCModeKey",
        "runtime.featureMask",
        "runtime.featureRequirement",
        "runtime.offlineFeatureRequirement",
    ],
}

# Type, property, and the steps after it.
_STEPS = {
    "children": (vim.Folder, "childEntity", ("children", "hosts", "vms", "members")),
    "hosts": (vim.Datacenter, "hostFolder", ("children",)),
    "vms": (vim.Datacenter, "vmFolder", ("children",)),
    "members": (vim.ComputeResource, "host", ()),
}


def main() -> None:
    """Read what the job's vCenter has."""
    job = json.load(sys.stdin)
    begun = time.monotonic()
    found = read(job)
    span = time.monotonic() - begun
    used = resource.getrusage(resource.RUSAGE_SELF)
    figures = {"objects": found, "span": span, "cpu": used.ru_utime + used.ru_stime, "peak_kib": used.ru_maxrss}
    Path(job["figures"]).write_text(json.dumps(figures), encoding="utf-8")


def read(job: dict) -> dict[str, int]:
    """Log in, read, log out; returns how many objects there are of each type."""
    trust = ssl.create_default_context(cafile=job["ca"])
    stub = SoapStubAdapter(job["host"], job["port"], "vim25/8.0.3.0", path="/sdk", sslContext=trust)
    instance = vim.ServiceInstance("ServiceInstance", stub)
    content = instance.RetrieveContent()
    content.sessionManager.Login(job["username"], job["password"], None)
    found: dict[str, int] = {}
    for roots, wanted, steps in (
        ([instance, content.rootFolder], PLACES, ("children", "hosts", "members")),
        ([content.rootFolder], VMS, ("children", "vms")),
    ):
        for each in pages(content.propertyCollector, roots, wanted, steps):
            kind = type(each.obj).__name__
            found[kind] = found.get(kind, 0) + 1
    content.sessionManager.Logout()
    stub.DropConnections()
    return found


def pages(collector: Collector, roots: list, wanted: dict, steps: tuple[str, ...]) -> list:
    """All objects of a read, page by page, kept as who compares them has to."""
    ask = Collector.FilterSpec(
        objectSet=[Collector.ObjectSpec(obj=root, selectSet=[step(name, steps) for name in steps]) for root in roots],
        propSet=[Collector.PropertySpec(type=kind, pathSet=paths) for kind, paths in wanted.items()],
    )
    answer = collector.RetrievePropertiesEx([ask], Collector.RetrieveOptions(maxObjects=PAGE))
    found = list(answer.objects)
    while answer.token:
        answer = collector.ContinueRetrievePropertiesEx(answer.token)
        found += answer.objects
    return found


def step(name: str, steps: tuple[str, ...]) -> Collector.TraversalSpec:
    """One step of a traversal, with those after it that are in use."""
    kind, path, then = _STEPS[name]
    after = [Collector.SelectionSpec(name=each) for each in then if each in steps]
    return Collector.TraversalSpec(name=name, type=kind, path=path, selectSet=after)


if __name__ == "__main__":
    main()
