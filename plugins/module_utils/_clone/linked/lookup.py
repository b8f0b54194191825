# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What there is, read from vCenter: each function is one call, whatever the inventory's size."""

from __future__ import annotations

import dataclasses
import typing as t

from ..._connector import names
from ..._connector.props import Row, collect
from ..._vsphere.places import pools_in
from .. import lookup
from ..facts import Parent
from . import api
from .facts import Compute, Host, Sight, Source

if t.TYPE_CHECKING:
    from ..._connector.session import Session


def read_source(session: Session, ref: t.Any, parent: Parent) -> Source:
    """The snapshots and disks of what is cloned, besides what is known of it."""
    row = collect(session, [ref], api.SOURCE)[0]
    snapshots, current = api.snapshots(row.get("snapshot"))
    known = {field.name: getattr(parent, field.name) for field in dataclasses.fields(Parent)}
    return Source(
        **known,
        snapshots=snapshots,
        current=current,
        disks=api.disks(row.get("config.hardware.device") or ()),
        home=_moids(row.get("datastore")),
    )


def read_compute(session: Session, datacenter: str) -> tuple[Compute, ...]:
    """The clusters of a datacenter, and the hosts that are in none, with their hosts and pools, by name."""
    root = api.datacenter(session, datacenter)
    rows = {row.moid: row for row in collect(session, [root], api.COMPUTE, api.TO_COMPUTE)}
    found = [row for row in rows.values() if api.is_compute(row.ref)]
    return tuple(sorted((_compute(row, rows) for row in found), key=lambda compute: compute.name))


def _compute(row: Row, rows: t.Mapping[str, Row]) -> Compute:
    pools = {moid: pool for moid, pool in rows.items() if _moid(pool.get("owner")) == row.moid}
    hosts = [rows[moid] for moid in _moids(row.get("host")) if moid in rows]
    return Compute(
        moid=row.moid,
        name=_name(row),
        balanced=api.balanced(row),
        pools=tuple(sorted(pools_in(pools), key=lambda pool: pool.path)),
        hosts=tuple(sorted((_host(host, row.moid) for host in hosts), key=lambda host: host.name)),
    )


def _host(row: Row, compute: str) -> Host:
    return Host(row.moid, _name(row), lookup.available(row), compute, _moids(row.get("datastore")))


def read_sights(session: Session, hosts: t.Iterable[str]) -> dict[str, Sight]:
    """What hosts see, by the moid of the host."""
    refs = [api.host(session, moid) for moid in hosts]
    rows = {row.moid: row for row in collect(session, refs, api.SIGHT, api.TO_SIGHT)}
    hosts_read = (row for row in rows.values() if api.is_host(row.ref))
    return {row.moid: Sight(lookup.networks_of(rows, row), lookup.datastores_of(rows, row)) for row in hosts_read}


def _moids(refs: t.Iterable[t.Any] | None) -> frozenset[str]:
    return frozenset(ref._GetMoId() for ref in refs or ())


def _moid(ref: t.Any) -> str:
    return ref._GetMoId() if ref is not None else ""


def _name(row: Row) -> str:
    return names.unescape(row.get("name") or "")
