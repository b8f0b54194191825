# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What there is, read from vCenter: each function is one call for any number of VMs."""

from __future__ import annotations

import typing as t

from .._connector.find import TO_ANCESTORS, TO_VMS, find_each
from .._connector.props import Route, Row, collect, read_all
from .._connector.pyvmomi import vim
from .._vsphere import compute
from .._vsphere.disks import disks_in
from .._vsphere.snapshots import quiesced_in, snapshots_in
from .._vsphere.vm import (
    ABOVE,
    BASICS,
    DEVICES,
    basics,
    config_path,
    config_value,
    datacenter_of,
    is_readable,
    moid_of,
    name_of,
    reference,
)
from .model import MARK_KEY, Backup, Mark, Vm

if t.TYPE_CHECKING:
    from .._connector.find import Selector
    from .._connector.session import Session
    from .._errors import VforgeError

_VM: dict[type, tuple[str, ...]] = {
    **ABOVE,
    vim.VirtualMachine: (
        *BASICS,
        DEVICES,
        "snapshot",
        "resourcePool",
        "runtime.host",
        "runtime.cleanPowerOff",
        "guest.toolsRunningStatus",
    ),
    vim.HostSystem: (*compute.HOST, "datastore"),
    vim.ComputeResource: ("resourcePool",),
    vim.Datastore: ("name", "summary.accessible"),
}
_AROUND = (
    *TO_ANCESTORS,
    compute.VM_TO_HOST,
    compute.HOST_TO_DATASTORES,
    Route("host-compute", vim.HostSystem, "parent"),
)

# One pair of each VM's extraConfig, since all VMs of the inventory are read.
_MARK = config_path(MARK_KEY)
_MARKED: dict[type, tuple[str, ...]] = {**ABOVE, vim.VirtualMachine: (*BASICS, _MARK)}


def renamed(session: Session, backups: t.Sequence[Backup]) -> dict[str, str]:
    """Those that are backups no more, by their moids: the names that somebody has given them meanwhile. No call where there are
    none to look at.
    """
    refs = [reference(session, each.moid) for each in backups]
    rows = read_all(session, refs, {vim.VirtualMachine: ("name", _MARK)}) if refs else {}
    return {moid: name_of(row) for moid, row in rows.items() if Mark.of(config_value(row.get(_MARK)), name_of(row)) is None}


def find(session: Session, selectors: t.Sequence[Selector], datacenter: str | None) -> list[Vm | VforgeError]:
    """The VMs that the selectors name, in their order.

    :returns: in the place of one of several that cannot be found, why not.
    :raises VforgeError: nothing can be found, or two selectors fit the same VM.
    """

    def read(moids: list[str]) -> dict[str, Vm]:
        rows = {row.moid: row for row in collect(session, [reference(session, moid) for moid in moids], _VM, _AROUND)}
        return {moid: _vm(rows, rows[moid]) for moid in moids if is_readable(rows.get(moid))}

    return find_each(session, selectors, datacenter, read)


def _vm(rows: t.Mapping[str, Row], row: Row) -> Vm:
    around = compute.surroundings_in(rows, row)
    above = rows.get(around.host.compute) if around.host is not None else None
    home = datacenter_of(rows, row)
    disks = disks_in(row.get(DEVICES))
    return Vm(
        **basics(rows, row),
        snapshots=snapshots_in(row.get("snapshot")),
        quiesced=quiesced_in(row.get("snapshot")),
        tools=row.get("guest.toolsRunningStatus") == "guestToolsRunning",
        clean=bool(row.get("runtime.cleanPowerOff")),
        folder=moid_of(row.get("parent")),
        host=moid_of(row.get("runtime.host")),
        in_pool=compute.is_plain_pool(row.get("resourcePool")),
        root_pool=moid_of(above.get("resourcePool")) if above is not None else "",
        datacenter=home.moid if home is not None else "",
        datastores=around.datastores,
        independent=tuple(disk.label for disk in disks if disk.mode.startswith("independent")),
    )


def backups(session: Session) -> dict[str, list[Backup]]:
    """All backups of the inventory, by the instance UUIDs of their sources: one traversal that
    reads one mark of each VM.
    """
    rows = {row.moid: row for row in collect(session, [session.content.rootFolder], _MARKED, TO_VMS)}
    found: dict[str, list[Backup]] = {}
    for row in rows.values():
        mark = Mark.of(config_value(row.get(_MARK)), name_of(row))
        if mark is not None and is_readable(row):
            found.setdefault(mark.source, []).append(Backup(**basics(rows, row), mark=mark))
    return found
