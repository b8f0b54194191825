# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What there is, read from vCenter: each function is one call for any number of parents."""

from __future__ import annotations

import dataclasses
import typing as t

from .._connector import names
from .._connector.find import find_each, path_in, unreadable
from .._connector.props import Row, collect
from .._errors import GuestError
from .._vsphere.freezing import record_in
from .._vsphere.guest import Access, access_in, tools_ready
from .._vsphere.markers import parent_of
from . import api
from .facts import SNAPSHOT_NAME, Child, Parent

if t.TYPE_CHECKING:
    from .._connector.find import Selector
    from .._connector.session import Session


@dataclasses.dataclass(frozen=True)
class Found:
    """A parent and the way into its guest; ``no_access`` says why there is none, where there is none."""

    parent: Parent
    access: Access | None = None
    no_access: GuestError | None = None


def find_parents(session: Session, selectors: t.Sequence[Selector], datacenter: str | None) -> list[Found]:
    """The VMs that the selectors name, in their order.

    :raises NotFound: one of them fits no VM.
    :raises InvalidOption: two of them fit the same one.
    """
    moids = [ref._GetMoId() for ref in find_each(session, selectors, datacenter)]
    found = read_parents(session, moids)
    for moid, selector in zip(moids, selectors, strict=True):
        if moid not in found:
            raise unreadable(selector)
    return [found[moid] for moid in moids]


def read_parents(session: Session, moids: t.Sequence[str]) -> dict[str, Found]:
    """What is known of these VMs, by moid; one that cannot be read is left out."""
    if not moids:
        return {}
    roots = [*(api.vm(session, moid) for moid in moids), session.content.guestOperationsManager]
    rows = {row.moid: row for row in collect(session, roots, api.PARENT, api.AROUND_PARENT)}
    return {moid: _found(session, rows, moid) for moid in moids if moid in rows and rows[moid].get("config.instanceUuid")}


def _found(session: Session, rows: t.Mapping[str, Row], moid: str) -> Found:
    parent = _parent(rows, rows[moid])
    try:
        return Found(parent, access_in(session, rows, moid))
    except GuestError as error:
        return Found(parent, no_access=error)


def _parent(rows: t.Mapping[str, Row], vm: Row) -> Parent:
    host = rows.get(_moid(vm.get("runtime.host")))
    snapshots = api.snapshot_names(vm.get("snapshot"))
    return Parent(
        moid=vm.moid,
        name=names.unescape(vm.get("name") or ""),
        path=path_in(rows, vm.moid),
        instance_uuid=vm.get("config.instanceUuid") or "",
        power_state=str(vm.get("runtime.powerState")),
        template=bool(vm.get("config.template")),
        frozen=bool(vm.get("runtime.instantCloneFrozen")),
        tools=tools_ready(vm.values),
        tools_installed=vm.get("guest.toolsVersionStatus2") != "guestToolsNotInstalled",
        host=host.moid if host else "",
        host_name=names.unescape(host.get("name") or "") if host else "",
        host_available=_available(host),
        disks=api.disks(vm.values),
        snapshots=tuple(name for name in snapshots if name != SNAPSHOT_NAME),
        leftover=SNAPSHOT_NAME in snapshots,
        devices=api.obstacles(vm.get("config.hardware.device") or ()),
        record=record_in(vm.values, vm.get("config.instanceUuid") or ""),
    )


def read_children(session: Session, parent_uuids: t.Collection[str]) -> dict[str, list[Child]]:
    """The marked clones of these parents, by the parent's instance UUID: one traversal that reads one mark a VM."""
    found: dict[str, list[Child]] = {uuid: [] for uuid in parent_uuids}
    rows = {row.moid: row for row in collect(session, [session.content.rootFolder], api.CHILDREN, api.TO_CHILDREN)}
    for row in rows.values():
        mark, name = row.get(api.MARK), names.unescape(row.get("name") or "")
        uuid = parent_of(str(mark.value), name) if mark is not None else None
        if uuid in found:
            found[uuid].append(_child(rows, row, name))
    return {uuid: sorted(children, key=lambda child: child.path) for uuid, children in found.items()}


def _child(rows: t.Mapping[str, Row], row: Row, name: str) -> Child:
    host = rows.get(_moid(row.get("runtime.host")))
    return Child(
        moid=row.moid,
        name=name,
        path=path_in(rows, row.moid),
        power_state=str(row.get("runtime.powerState")),
        host=names.unescape(host.get("name") or "") if host else "",
    )


def _available(host: Row | None) -> bool:
    if host is None:
        return False
    return not host.get("runtime.inMaintenanceMode") and str(host.get("runtime.connectionState")) == "connected"


def _moid(ref: t.Any) -> str:
    return ref._GetMoId() if ref is not None else ""
