# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What there is, read from vCenter: hosts, clusters and EVC modes in one call, VMs in another, and
their pages.
"""

from __future__ import annotations

import dataclasses
import typing as t

from .._connector import names
from .._connector.find import TO_ANCESTORS, TO_VMS, find_datacenter, find_each, path_in
from .._connector.props import Route, Row, collect, collect_plainly
from .._connector.pyvmomi import vim
from .._errors import VforgeError
from .._vsphere import compute, processors
from .._vsphere.vm import ABOVE, BASICS, basics, is_readable, moid_of, reference
from .model import CpuCluster, CpuHost, CpuVm, Places

if t.TYPE_CHECKING:
    from .._connector.find import Selector
    from .._connector.plain import PlainRow
    from .._connector.session import Session

_PLACES: dict[type, tuple[str, ...]] = {
    vim.ServiceInstance: (processors.MODES,),
    vim.HostSystem: (*compute.HOST, *processors.HOST),
    vim.ComputeResource: ("name", "parent", "host"),
    vim.ClusterComputeResource: processors.CLUSTER,
    vim.Folder: ("name", "parent"),
    vim.Datacenter: ("name", "parent"),
}

_TO_HOSTS = (
    Route("any-children", vim.Folder, "childEntity", ("any-children", "datacenter-computes", "compute-hosts")),
    Route("datacenter-computes", vim.Datacenter, "hostFolder", ("any-children",)),
    Route("compute-hosts", vim.ComputeResource, "host"),
)

# Of the VMs that a task names; their paths are in the result.
_NAMED: dict[type, tuple[str, ...]] = {**ABOVE, vim.VirtualMachine: (*BASICS, "runtime.host", *processors.VM)}

# Of every VM: no more than the comparison needs.
_EVERY: dict[type, tuple[str, ...]] = {
    vim.VirtualMachine: ("name", "runtime.powerState", "runtime.host", *processors.VM),
}


def read_places(session: Session, datacenter: str | None) -> Places:
    """The hosts, the clusters and the EVC modes: one call, and one more to find the datacenter.

    :raises NotFound: there is no such datacenter.
    """
    top = find_datacenter(session, datacenter) if datacenter else session.content.rootFolder
    roots = [processors.service_instance(session), top]
    every = collect(session, roots, _PLACES, (*_TO_HOSTS, *_ABOVE_DATACENTER) if datacenter else _TO_HOSTS)
    rows = {row.moid: row for row in every}
    hosts = [_host(rows, row) for row in every if isinstance(row.ref, vim.HostSystem)]
    hosts.sort(key=lambda host: (names.natural(host.name), host.path))
    clusters = [_cluster(rows, row, hosts) for row in every if isinstance(row.ref, vim.ClusterComputeResource)]
    return Places(
        hosts=tuple(hosts),
        clusters=tuple(sorted(clusters, key=lambda cluster: names.natural(cluster.path))),
        modes={mode.key: mode for mode in processors.modes_in(every)},
    )


# A datacenter may lie in folders, whose names are in the paths.
_ABOVE_DATACENTER = (
    Route("datacenter-above", vim.Datacenter, "parent", ("folder-above",)),
    Route("folder-above", vim.Folder, "parent", ("folder-above",)),
)


def _host(rows: t.Mapping[str, Row], row: Row) -> CpuHost:
    known = compute.host_in(row)
    above = rows.get(known.compute)
    path = path_in(rows, row.moid)
    if above is not None and not isinstance(above.ref, vim.ClusterComputeResource):
        # A host alone has a compute resource of its own name above it.
        path = path_in(rows, above.moid)
    return CpuHost(
        **{field.name: getattr(known, field.name) for field in dataclasses.fields(known)},
        path=path,
        processor=processors.processor_in(row),
    )


def _cluster(rows: t.Mapping[str, Row], row: Row, hosts: t.Sequence[CpuHost]) -> CpuCluster:
    return CpuCluster(
        moid=row.moid,
        name=names.unescape(row.get("name") or ""),
        path=path_in(rows, row.moid),
        mode=row.get("summary.currentEVCModeKey") or "",
        hosts=tuple(host for host in hosts if host.compute == row.moid),
    )


def read_vms(session: Session, selectors: t.Sequence[Selector], datacenter: str | None) -> list[CpuVm | VforgeError]:
    """The VMs that the selectors name, in their order: one call, and those that it takes to find them.

    In the place of one of several that is not found, why not.

    :raises VforgeError: nothing can be found, or two selectors fit the same VM.
    """

    def read(moids: list[str]) -> dict[str, CpuVm]:
        refs = [reference(session, moid) for moid in moids]
        rows = {row.moid: row for row in collect(session, refs, _NAMED, TO_ANCESTORS)} if refs else {}
        return {moid: _vm(rows, rows[moid]) for moid in moids if is_readable(rows.get(moid))}

    return find_each(session, selectors, datacenter, read)


def read_every_vm(session: Session, datacenter: str | None) -> list[CpuVm]:
    """Every VM, without its path: one call and its pages, and one more to find the datacenter."""
    top = find_datacenter(session, datacenter) if datacenter else session.content.rootFolder
    needs = processors.PlainNeeds()

    def shape(row: PlainRow) -> CpuVm:
        return CpuVm(
            moid=row.moid,
            name=names.unescape(row.text("name")),
            power_state=row.text("runtime.powerState"),
            host=row.text("runtime.host"),
            needs=needs.of(row),
        )

    return collect_plainly(session, [top], _EVERY, TO_VMS, shape)


def _vm(rows: t.Mapping[str, Row], row: Row) -> CpuVm:
    return CpuVm(**basics(rows, row), host=moid_of(row.get("runtime.host")), needs=processors.needs_in(row))
