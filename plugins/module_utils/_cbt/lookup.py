# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What there is, read from vCenter: each function is one call for any number of VMs."""

from __future__ import annotations

import typing as t

from .._connector import names
from .._connector.find import TO_ANCESTORS, find_each, path_in, unreadable
from .._connector.props import Row, collect, read
from . import api
from .facts import Disk, Snapshot, Vm

if t.TYPE_CHECKING:
    from .._connector.find import Selector
    from .._connector.session import Session


def find(session: Session, selectors: t.Sequence[Selector], datacenter: str | None) -> tuple[list[Vm], str | None]:
    """The VMs that the selectors name, in their order, and the key of this session, where it can be read.

    :raises NotFound: one of them fits no VM.
    :raises InvalidOption: two of them fit the same one.
    """
    moids = [ref._GetMoId() for ref in find_each(session, selectors, datacenter, option="vms")]
    manager = api.session_manager(session)
    refs = [manager, *(api.vm(session, moid) for moid in moids)]
    rows = {row.moid: row for row in collect(session, refs, api.VM, TO_ANCESTORS)}
    for moid, selector in zip(moids, selectors, strict=True):
        if moid not in rows or not rows[moid].get("config.instanceUuid"):
            raise unreadable(selector)
    known = rows.get(manager._GetMoId())
    return [_vm(rows, rows[moid]) for moid in moids], known.get("currentSession.key") if known else None


def _vm(rows: t.Mapping[str, Row], row: Row) -> Vm:
    return Vm(
        moid=row.moid,
        name=names.unescape(row.get("name") or ""),
        path=path_in(rows, row.moid),
        instance_uuid=row.get("config.instanceUuid") or "",
        power_state=str(row.get("runtime.powerState")),
        template=bool(row.get("config.template")),
        hardware=api.hardware(row.get("config.version")),
        supported=bool(row.get("capability.changeTrackingSupported")),
        tracking=bool(row.get("config.changeTrackingEnabled")),
        disks=api.disks(row.get("config.hardware.device")),
        snapshots=api.snapshots(row.get("snapshot")),
    )


def read_proof(session: Session, moids: t.Sequence[str]) -> dict[str, tuple[bool, tuple[Disk, ...]]]:
    """Whether tracking is on, and the disks with their changeIds, by moid of the VM."""
    refs = [api.vm(session, moid) for moid in moids]
    rows = read(session, refs, api.VIRTUAL_MACHINE, api.PROOF)
    return {
        moid: (bool(row.get("config.changeTrackingEnabled")), api.disks(row.get("config.hardware.device")))
        for moid, row in rows.items()
    }


def read_snapshot_disks(session: Session, moids: t.Sequence[str]) -> dict[str, tuple[Disk, ...]]:
    """The disks as snapshots have them, by moid of the snapshot; what is gone is left out."""
    refs = [api.snapshot(session, moid) for moid in moids]
    rows = read(session, refs, api.VM_SNAPSHOT, api.SNAPSHOT_DEVICES)
    return {moid: api.disks(row.get("config.hardware.device")) for moid, row in rows.items()}


def read_snapshots(session: Session, moids: t.Sequence[str]) -> dict[str, tuple[Snapshot, ...]]:
    """The snapshots of VMs, by moid of the VM."""
    refs = [api.vm(session, moid) for moid in moids]
    rows = read(session, refs, api.VIRTUAL_MACHINE, api.SNAPSHOT_TREE)
    return {moid: api.snapshots(row.get("snapshot")) for moid, row in rows.items()}
