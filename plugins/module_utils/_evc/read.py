# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What there is, read from vCenter.

A cluster and the mode that it has are one call, however many clusters there are; so are the modes
that the release offers together with hosts or VMs.
"""

from __future__ import annotations

import typing as t

from .._connector import faults, names
from .._connector.find import TO_ANCESTORS, datacenter_in, find_each, path_in
from .._connector.props import PAGE_OF_LITTLE, Route, Row, collect
from .._connector.pyvmomi import vim
from .._errors import Ambiguous, NotFound, VforgeError
from .._vsphere import processors
from .._vsphere.vm import (
    ABOVE,
    BASICS,
    basics,
    config_path,
    config_value,
    datacenter_of,
    is_readable,
    moid_of,
    name_of,
    reference,
)
from .model import ACTIVE_VMS, MARK_KEY, ActiveVm, Cluster, EvcVm, HostCpu, Obstacle, Release, marked

if t.TYPE_CHECKING:
    from .._connector.find import Selector
    from .._connector.session import Session

_OFFERED: dict[type, tuple[str, ...]] = {vim.ServiceInstance: (processors.MODES, processors.GRAPHICS_MODES)}
_NOW, _GRAPHICS_NOW = "summary.currentEVCModeKey", "summary.currentEVCGraphicsModeKey"

_CLUSTERS: dict[type, tuple[str, ...]] = {
    vim.Folder: ("name", "parent"),
    vim.Datacenter: ("name", "parent"),
    vim.ClusterComputeResource: ("name", "parent", "host", _NOW, _GRAPHICS_NOW),
}
_TO_CLUSTERS = (
    Route("folder-children", vim.Folder, "childEntity", ("folder-children", "datacenter-hosts")),
    Route("datacenter-hosts", vim.Datacenter, "hostFolder", ("folder-children",)),
)
_HOSTS: dict[type, tuple[str, ...]] = {
    **_OFFERED,
    vim.HostSystem: ("name", *processors.HOST_MODE),
}

_TOOLS = "guest.toolsRunningStatus"
_MARK = config_path(MARK_KEY)

# Of each VM of a host, no more than says whether it stands in the way: there may be thousands.
_ACTIVE: dict[type, tuple[str, ...]] = {
    vim.HostSystem: ("name",),
    vim.VirtualMachine: ("name", "runtime.powerState", "runtime.host", processors.VM_MIN_MODE, _MARK),
}
_TO_VMS = (Route("host-vms", vim.HostSystem, "vm"),)

_KEY = "currentSession.key"
_VMS: dict[type, tuple[str, ...]] = {
    **ABOVE,
    **_OFFERED,
    vim.SessionManager: (_KEY,),
    vim.VirtualMachine: (
        *BASICS,
        *processors.VM_MODE,
        "capability.perVmEvcSupported",
        _TOOLS,
        _MARK,
    ),
}


def find_cluster(session: Session, text: str, datacenter: str | None) -> Cluster:
    """The cluster with a name, a moid or an inventory path, and the mode that it has: one call.

    :raises NotFound: with the clusters, or the datacenters, that there are.
    :raises Ambiguous: with the paths of those that have the name.
    """
    rows = {
        row.moid: row for row in collect(session, [session.content.rootFolder], _CLUSTERS, _TO_CLUSTERS, page=PAGE_OF_LITTLE)
    }
    clusters = [row for row in rows.values() if isinstance(row.ref, vim.ClusterComputeResource)]
    if datacenter:
        only = datacenter_in(rows, datacenter)
        homes = [(row, datacenter_of(rows, row)) for row in clusters]
        clusters = [row for row, home in homes if home is not None and home.moid == only]
    fits = [row for row in clusters if row.moid == text or names.means(text, name_of(row), path_in(rows, row.moid))]
    if len(fits) != 1:
        raise _no_cluster(text, sorted(path_in(rows, row.moid) for row in fits or clusters), bool(fits))
    row = fits[0]
    return Cluster(
        moid=row.moid,
        name=name_of(row),
        path=path_in(rows, row.moid),
        mode=row.get(_NOW),
        graphics_mode=row.get(_GRAPHICS_NOW),
        hosts=tuple(moid_of(ref) for ref in row.get("host") or ()),
    )


def _no_cluster(text: str, known: list[str], several: bool) -> VforgeError:
    if several:
        return Ambiguous(
            f"{len(known)} clusters are named {text}: {names.listing(known)}.", hint="Give the path of one.", matches=known
        )
    near = names.nearest_first(text, known)
    return NotFound(f"No cluster {text} was found.", hint=f"There are: {names.listing(near) or 'none'}.", known=known)


def read_hosts(session: Session, cluster: Cluster) -> tuple[Release, tuple[HostCpu, ...], dict[str, Row]]:
    """The modes that the release offers, the hosts of a cluster, and what ``read_in_way`` returns: one call.

    The VMs are in it although a mode may have to be checked first: where the cluster turns out to
    have its mode, that some were left off is all there is to say.
    """
    roots = [processors.service_instance(session), *(session.reference(vim.HostSystem, moid) for moid in cluster.hosts)]
    rows = collect(session, roots, {**_ACTIVE, **_HOSTS}, _TO_VMS, page=PAGE_OF_LITTLE)
    hosts = [
        HostCpu(moid=row.moid, name=name_of(row), processor=processors.processor_in(row))
        for row in rows
        if isinstance(row.ref, vim.HostSystem)
    ]
    in_order = tuple(sorted(hosts, key=lambda host: names.natural(host.name)))
    return _release(rows), in_order, {row.moid: row for row in rows}


def _release(rows: t.Collection[Row]) -> Release:
    return Release(processors.modes_in(rows), processors.graphics_modes_in(rows))


def read_in_way(session: Session, cluster: Cluster) -> dict[str, Row]:
    """The hosts of a cluster and what may make their VMs stand in the way of a mode, by moid: one
    call.
    """
    roots = [session.reference(vim.HostSystem, moid) for moid in cluster.hosts]
    return {row.moid: row for row in collect(session, roots, _ACTIVE, _TO_VMS, page=PAGE_OF_LITTLE)}


def interrupted(rows: t.Mapping[str, Row]) -> tuple[ActiveVm, ...]:
    """The VMs that a run has marked, and that it did not bring back."""
    found = [row for row in rows.values() if marked(config_value(row.get(_MARK)), name_of(row))]
    return _sorted(_active_vm(rows, row) for row in found)


def are_known(rows: t.Mapping[str, Row], results: t.Iterable[t.Any]) -> bool:
    """Whether rows that were read before a check have the VMs that the check is about, so that once is enough.

    It is not where the check names a VM that was not on then, or had not come to this host. Nor
    where it names none on a host: all are meant that are on there at the check, and VMs are started
    meanwhile.

    :param rows: as ``read_in_way`` returns them.
    """
    return all(_is_known(rows, result) for result in results if _is_about_vms(result))


def _is_known(rows: t.Mapping[str, Row], result: t.Any) -> bool:
    lacking = _lacking(result.error)
    hosts = {moid_of(ref) for ref in result.host or ()}
    on_host = {row.moid: moid_of(row.get("runtime.host")) for row in rows.values() if _is_active(row)}
    # None stands for a VM that was not on.
    hosts_with_named_vms = {on_host.get(moid) for moid in lacking}
    return hosts_with_named_vms == hosts


def _is_about_vms(result: t.Any) -> bool:
    return isinstance(result.error, vim.fault.ActiveVMsBlockingEVC)


def obstacles(
    rows: t.Mapping[str, Row], results: t.Iterable[t.Any], within: t.Callable[[ActiveVm], bool]
) -> tuple[Obstacle, ...]:
    """What vCenter's check of a mode says, with the VMs that it is about.

    vCenter names hosts, and of VMs those that it knows to use more than the mode has. Where it
    names none on a host, all may be meant that are on or suspended there.

    :param rows: as ``read_in_way`` returns them.
    :param within: whether a VM could run in the mode as it is, so that
        nothing is gained by a restart.
    """
    return tuple(_obstacle(rows, result, within) for result in results)


def _obstacle(rows: t.Mapping[str, Row], result: t.Any, within: t.Callable[[ActiveVm], bool]) -> Obstacle:
    fault = result.error
    hosts = [moid_of(ref) for ref in result.host or ()]
    called = _names(rows, hosts)
    if not _is_about_vms(result):
        return Obstacle(faults.translate(fault).error_code, called)
    lacking = _lacking(fault)
    active = [row for row in rows.values() if _is_active(row) and moid_of(row.get("runtime.host")) in hosts]
    spoken_of = {moid_of(row.get("runtime.host")) for row in active if row.moid in lacking}
    named = [_active_vm(rows, row, lacking[row.moid]) for row in active if row.moid in lacking]
    others = [_active_vm(rows, row) for row in active if moid_of(row.get("runtime.host")) not in spoken_of]
    return Obstacle(
        ACTIVE_VMS,
        called,
        _sorted([*named, *(vm for vm in others if not within(vm))]),
        _sorted(vm for vm in others if within(vm)),
        _names(rows, [host for host in hosts if host not in spoken_of]),
    )


def _names(rows: t.Mapping[str, Row], moids: t.Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted((name_of(rows.get(moid)) or moid for moid in moids), key=names.natural))


def _is_active(row: Row) -> bool:
    return isinstance(row.ref, vim.VirtualMachine) and str(row.get("runtime.powerState")) != "poweredOff"


def _lacking(fault: t.Any) -> dict[str, set[str]]:
    """The features that VMs use and the mode hides, by moid, of those VMs that vCenter names."""
    lacking: dict[str, set[str]] = {}
    for inner in fault.faults or ():
        if isinstance(inner, vim.fault.FeatureRequirementsNotMet) and inner.vm is not None:
            keys = (requirement.key for requirement in inner.featureRequirement or ())
            lacking.setdefault(moid_of(inner.vm), set()).update(keys)
    return lacking


def _active_vm(rows: t.Mapping[str, Row], row: Row, features: t.Iterable[str] = ()) -> ActiveVm:
    return ActiveVm(
        moid=row.moid,
        name=name_of(row),
        host=name_of(rows.get(moid_of(row.get("runtime.host")))),
        power_state=str(row.get("runtime.powerState") or ""),
        needs_mode=processors.needs_in(row).min_mode or None,
        features=tuple(sorted(features)),
    )


def _sorted(vms: t.Iterable[ActiveVm]) -> tuple[ActiveVm, ...]:
    return tuple(sorted(vms, key=lambda vm: names.natural(vm.name)))


def find_vms(
    session: Session, selectors: t.Sequence[Selector], datacenter: str | None
) -> tuple[Release, str, list[EvcVm | VforgeError]]:
    """The modes that the release offers, the key of the session, which is empty where this user may not read it, and the
    VMs that the selectors name, in their order. One call besides those that it takes to find them.

    In the place of one of several that is not found, why not.

    :raises VforgeError: nothing can be found, or two selectors fit the same VM.
    """
    around = [processors.service_instance(session), session.content.sessionManager]
    rows: dict[str, Row] = {}

    def read(moids: list[str]) -> dict[str, EvcVm]:
        rows.update(_rows(session, moids, around))
        return _vms(rows, moids)

    vms = find_each(session, selectors, datacenter, read)
    key = next((row.get(_KEY) for row in rows.values() if isinstance(row.ref, vim.SessionManager)), None)
    return _release(rows.values()), key or "", vms


def read_again(session: Session, moids: t.Sequence[str]) -> dict[str, EvcVm]:
    """What there is of these VMs now, by moid: one call."""
    return _vms(_rows(session, moids, ()), moids)


def _rows(session: Session, moids: t.Sequence[str], around: t.Sequence[t.Any]) -> dict[str, Row]:
    roots = [*around, *(reference(session, moid) for moid in moids)]
    return {row.moid: row for row in collect(session, roots, _VMS, TO_ANCESTORS)}


def _vms(rows: t.Mapping[str, Row], moids: t.Sequence[str]) -> dict[str, EvcVm]:
    return {moid: _vm(rows, row) for moid in moids if is_readable(row := rows.get(moid))}


def _vm(rows: t.Mapping[str, Row], row: Row) -> EvcVm:
    return EvcVm(
        **basics(rows, row),
        needs=processors.needs_in(row),
        supported=row.get("capability.perVmEvcSupported"),
        tools=row.get(_TOOLS) == "guestToolsRunning",
        mark=marked(config_value(row.get(_MARK)), name_of(row)),
    )
