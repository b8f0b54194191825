# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What there is, read from vCenter: each function is one call, whatever the inventory's size."""

from __future__ import annotations

import typing as t

from .._connector import names
from .._connector.find import TO_ANCESTORS, path_in, unreadable
from .._connector.props import Row, collect
from .._errors import Fault, NotFound
from .._vsphere.addresses import guest_nics
from .._vsphere.freeze import record_in
from .._vsphere.places import pools_in
from . import api
from .facts import Existing, Network, Parent, own_guest
from .request import Hardware

if t.TYPE_CHECKING:
    from .._connector.session import Session


def read_parents(session: Session, named: t.Sequence[tuple[t.Any, str]]) -> list[Parent]:
    """The parents with their hosts, the networks and datastores of these, the pools around them and their ancestors.

    :param named: references, each with its selector as text, for the message.
    :raises NotFound: when a reference names no VM.
    """
    roots = list({ref._GetMoId(): ref for ref, _what in named}.values())
    rows = {row.moid: row for row in collect(session, roots, api.AROUND_PARENT, (*TO_ANCESTORS, *api.TO_SURROUNDINGS))}
    known: dict[str, Parent] = {}
    for ref, what in named:
        if ref._GetMoId() not in known:
            known[ref._GetMoId()] = _parent(rows, ref._GetMoId(), what)
    return [known[ref._GetMoId()] for ref, _what in named]


def _parent(rows: t.Mapping[str, Row], moid: str, what: str) -> Parent:
    vm = rows.get(moid)
    if vm is None or vm.get("config.instanceUuid") is None:
        raise unreadable(what)
    host = rows.get(_moid(vm.get("runtime.host")) or "")
    compute = rows.get(_moid(host.get("parent")) or "") if host else None
    networks = networks_of(rows, host)
    folder = _moid(vm.get("parent")) or ""
    datacenter = _datacenter(rows, vm)
    if datacenter is None:
        raise NotFound(
            f"The VM with the {what} is in a datacenter that this user may not see.",
            hint="Give the user the right to read the folders and the datacenter above the VM.",
        )
    return Parent(
        moid=vm.moid,
        name=_name(vm),
        path=path_in(rows, vm.moid),
        instance_uuid=vm.get("config.instanceUuid", ""),
        power_state=str(vm.get("runtime.powerState")),
        template=bool(vm.get("config.template")),
        frozen=bool(vm.get("runtime.instantCloneFrozen")),
        folder=folder,
        folder_path=path_in(rows, folder),
        datacenter=datacenter.moid,
        pool=_moid(vm.get("resourcePool")) or "",
        host=host.moid if host else "",
        host_name=_name(host),
        host_available=available(host),
        compute_resource=_name(compute),
        nics=api.nics(vm.get("config.hardware.device") or (), networks, running=_running(vm)),
        guest=tuple(guest_nics(vm.get("guest.net") or ())),
        datastore_names=tuple(_name(rows.get(_moid(ref) or "")) for ref in vm.get("datastore") or ()),
        pools=tuple(sorted(pools_in(_pools(rows, compute)), key=lambda pool: pool.path)),
        networks=networks,
        datastores=datastores_of(rows, host),
        record=record_in(vm.values, vm.get("config.instanceUuid", "")),
    )


# References, each with the parent of the clone that it is, or may be.
_Owned = t.Sequence[tuple[t.Any, t.Optional[Parent]]]  # noqa: UP045 (pylint takes the other form for an operation)


def read_existing(session: Session, owned: _Owned) -> dict[str, Existing]:
    """What is known of VMs and other entities, by moid; one that is gone is left out.

    :param owned: a parent knows the networks of the NICs of its clones, and which addresses are not theirs.
    """
    return _read_vms(session, owned, api.EXISTING)


def read_made(session: Session, owned: _Owned) -> dict[str, Existing]:
    """The same of VMs that this task made or changed, without what it knows already: their extraConfig and other devices."""
    keys = {tuple(nic.key for nic in parent.nics) for _ref, parent in owned if parent}
    try:
        # By their keys only where all have the same: a card that a VM lacks would be a wrong property of it.
        return _read_vms(session, owned, api.existing_lean(keys.pop() if len(keys) == 1 else ()))
    except Fault as fault:
        # Reading an element of an array by its key is the property collector's own notation, but tried on the simulator alone.
        if fault.fault != "InvalidProperty":
            raise
        return _read_vms(session, owned, api.existing_lean([]))


def _read_vms(session: Session, owned: _Owned, paths: dict[type, tuple[str, ...]]) -> dict[str, Existing]:
    rows = {row.moid: row for row in collect(session, [ref for ref, _parent in owned], paths, api.TO_PLACES)}
    known = [(rows[ref._GetMoId()], parent) for ref, parent in owned if ref._GetMoId() in rows]
    return {vm.moid: _existing(vm, rows, parent) for vm, parent in known}


def _existing(vm: Row, rows: t.Mapping[str, Row], parent: Parent | None) -> Existing:
    host, pool = _moid(vm.get("runtime.host")) or "", _moid(vm.get("resourcePool")) or ""
    datastores = tuple(_moid(ref) or "" for ref in vm.get("datastore") or ())
    return Existing(
        moid=vm.moid,
        name=_name(vm),
        kind=api.kind(vm.ref),
        instance_uuid=vm.get("config.instanceUuid") or "",
        bios_uuid=vm.get("config.uuid") or "",
        power_state=str(vm.get("runtime.powerState") or ""),
        pool=pool,
        pool_name=_name(rows.get(pool)),
        host=host,
        host_name=_name(rows.get(host)),
        datastores=datastores,
        datastore_names=tuple(_name(rows.get(moid)) for moid in datastores),
        template=bool(vm.get("config.template")),
        hardware=Hardware(
            vm.get("config.hardware.numCPU"),
            vm.get("config.hardware.numCoresPerSocket"),
            vm.get("config.hardware.memoryMB"),
            vm.get("config.annotation"),
        ),
        hot_add_cpu=bool(vm.get("config.cpuHotAddEnabled")),
        hot_add_memory=bool(vm.get("config.memoryHotAddEnabled")),
        nics=api.nics(api.devices(vm), parent.networks if parent else (), running=_running(vm)),
        guest=own_guest(vm.get("guest.net") or (), parent),
        extra_config={pair.key: str(pair.value) for pair in vm.get("config.extraConfig") or ()},
    )


def _datacenter(rows: t.Mapping[str, Row], vm: Row) -> Row | None:
    """The datacenter above a VM, by way of the vApps that it may be in."""
    here: Row | None = vm
    while here is not None and not api.is_datacenter(here.ref):
        above = here.get("parentVApp") or here.get("parentFolder") or here.get("parent")
        here = rows.get(_moid(above) or "")
    return here


def _of(rows: t.Mapping[str, Row], owner: Row | None, path: str) -> list[Row]:
    """The rows that a property of an object refers to; several parents may have several hosts."""
    moids = [_moid(ref) or "" for ref in owner.get(path) or ()] if owner else []
    return [rows[moid] for moid in moids if moid in rows]


def networks_of(rows: t.Mapping[str, Row], host: Row | None) -> tuple[Network, ...]:
    """The networks of a host that a NIC can be connected to, by name."""
    found = (api.network(row, rows) for row in _of(rows, host, "network"))
    return tuple(sorted((network for network in found if network is not None), key=lambda network: network.name))


def datastores_of(rows: t.Mapping[str, Row], host: Row | None) -> dict[str, str]:
    """The moids of the accessible datastores of a host, by name."""
    return {_name(row): row.moid for row in _of(rows, host, "datastore") if row.get("summary.accessible")}


def _pools(rows: t.Mapping[str, Row], compute: Row | None) -> dict[str, Row]:
    """The rows of the resource pools of one compute resource."""
    return {row.moid: row for row in rows.values() if compute is not None and _moid(row.get("owner")) == compute.moid}


def available(host: Row | None) -> bool:
    """Whether a host takes VMs now."""
    if host is None:
        return False
    return not host.get("runtime.inMaintenanceMode") and str(host.get("runtime.connectionState")) == "connected"


def _running(vm: Row) -> bool:
    return str(vm.get("runtime.powerState")) == "poweredOn"


def _name(row: Row | None) -> str:
    return names.unescape(row.get("name") or "") if row else ""


def _moid(ref: t.Any) -> str | None:
    return ref._GetMoId() if ref is not None else None
