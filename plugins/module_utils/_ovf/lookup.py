# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What there is, read from vCenter: each function makes a number of calls that does not depend on the inventory's size."""

from __future__ import annotations

import dataclasses
import typing as t

from .._connector import names
from .._connector.find import datacenter_path, find_folder, path_in
from .._connector.props import Row, collect
from .._errors import NotFound
from .._vsphere.places import pools_in
from . import api
from .facts import Compute, Datastore, Holder, Host, Surroundings
from .options import Place

if t.TYPE_CHECKING:
    from .._connector.session import Session


@dataclasses.dataclass(frozen=True)
class Home:
    """The folder of the template."""

    moid: str
    path: str


def find_home(session: Session, place: Place) -> Home:
    """The folder that the options name; the VM folder of the datacenter where they name none.

    :raises NotFound: the folder or the datacenter.
    :raises InvalidOption: no datacenter is named, and there are several.
    """
    text = place.folder or ""
    if text.startswith("/"):
        path = names.join(names.split(text))
        return Home(find_folder(session, path)._GetMoId(), path)
    if place.datacenter:
        # Right at once where the datacenter lies in the root folder or is given by its path.
        path = names.join([*names.split(place.datacenter), "vm", *names.split(text)])
        try:
            return Home(find_folder(session, path)._GetMoId(), path)
        except NotFound:
            pass
    path = names.join([*names.split(datacenter_path(session, place.datacenter)), "vm", *names.split(text)])
    return Home(find_folder(session, path)._GetMoId(), path)


def read_holders(session: Session, home: Home, wanted: t.Sequence[str]) -> dict[str, Holder]:
    """What holds these names in the folder; a name that is free is left out."""
    refs = {name: ref for name in wanted if (ref := api.find_child(session, home.moid, name)) is not None}
    known = read_vms(session, list(refs.values()))
    return {name: known[ref._GetMoId()] for name, ref in refs.items() if ref._GetMoId() in known}


def read_vms(session: Session, refs: t.Sequence[t.Any]) -> dict[str, Holder]:
    """What is known of VMs and other entities, by moid; one that is gone is left out."""
    rows = {row.moid: row for row in collect(session, refs, api.HOLDERS, api.AROUND_HOLDER)}
    wanted = [ref._GetMoId() for ref in refs]
    return {moid: _holder(rows, rows[moid]) for moid in wanted if moid in rows}


def _holder(rows: t.Mapping[str, Row], row: Row) -> Holder:
    host = _row(rows, row.get("runtime.host"))
    stores = [_row(rows, ref) for ref in row.get("datastore") or ()]
    compute = _row(rows, host.get("parent")) if host else None
    return dataclasses.replace(
        holder_of(row.moid, row.values, api.kind(row.ref)),
        path=path_in(rows, row.moid),
        host_name=_name(host),
        compute=_name(compute),
        datastores=tuple(_name(store) for store in stores if store is not None),
    )


def holder_of(moid: str, values: t.Mapping[str, t.Any], kind: str = "VirtualMachine") -> Holder:
    """What its own properties tell of a VM."""
    return Holder(
        moid=moid,
        name=names.unescape(values.get("name") or ""),
        kind=kind,
        configured=bool(values.get("config.instanceUuid")),
        marks=api.marks_of(values),
        template=bool(values.get("config.template")),
        power_state=str(values.get("runtime.powerState") or "poweredOff"),
        instance_uuid=values.get("config.instanceUuid") or "",
        change_version=values.get("config.changeVersion") or "",
    )


def survey(session: Session, home: Home) -> Surroundings:
    """What the datacenter of a folder offers: one call."""
    rows = {row.moid: row for row in collect(session, [api.folder(session, home.moid)], api.SURROUNDINGS, api.FROM_FOLDER)}
    by_kind: dict[str, list[Row]] = {}
    for row in rows.values():
        by_kind.setdefault(api.kind(row.ref), []).append(row)
    computes = [*by_kind.get("ComputeResource", ()), *by_kind.get("ClusterComputeResource", ())]
    pools = {row.moid: pool for pool in pools_in(rows) for row in [rows[pool.moid]]}
    owners = {moid: _moid(rows[moid].get("owner")) for moid in pools}
    return Surroundings(
        computes=tuple(
            Compute(
                row.moid,
                _name(row),
                path_in(rows, row.moid),
                tuple(pool for moid, pool in pools.items() if owners[moid] == row.moid),
            )
            for row in computes
        ),
        hosts=tuple(_host(row) for row in by_kind.get("HostSystem", ())),
        datastores=tuple(_datastore(row) for row in by_kind.get("Datastore", ())),
        networks={row.moid: _name(row) for row in rows.values() if api.takes_vms(row)},
        datastore_clusters={row.moid: _name(row) for row in by_kind.get("StoragePod", ())},
        network_kinds={row.moid: api.kind(row.ref) for row in rows.values() if api.takes_vms(row)},
    )


def _host(row: Row) -> Host:
    used = (row.get("summary.quickStats.overallMemoryUsage") or 0) * 2**20
    return Host(
        moid=row.moid,
        name=_name(row),
        compute=_moid(row.get("parent")),
        connected=str(row.get("runtime.connectionState")) == "connected",
        maintenance=bool(row.get("runtime.inMaintenanceMode")),
        datastores=frozenset(_moid(ref) for ref in row.get("datastore") or ()),
        networks=frozenset(_moid(ref) for ref in row.get("network") or ()),
        free_memory=(row.get("hardware.memorySize") or 0) - used,
    )


def _datastore(row: Row) -> Datastore:
    mode = row.get("summary.maintenanceMode")
    return Datastore(
        moid=row.moid,
        name=_name(row),
        free=row.get("summary.freeSpace") or 0,
        usable=bool(row.get("summary.accessible")) and (mode is None or str(mode) == "normal"),
        cluster=_moid(row.get("parent")),
        kind=str(row.get("summary.type") or ""),
    )


def _row(rows: t.Mapping[str, Row], ref: t.Any) -> Row | None:
    return rows.get(_moid(ref))


def _name(row: Row | None) -> str:
    return names.unescape(row.get("name") or "") if row else ""


def _moid(ref: t.Any) -> str:
    return ref._GetMoId() if ref is not None else ""
