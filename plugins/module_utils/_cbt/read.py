# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What there is, read from vCenter: each function is one call for any number of VMs or snapshots."""

from __future__ import annotations

import typing as t

from .._connector.find import TO_ANCESTORS, find_each
from .._connector.props import Row, collect, read
from .._connector.pyvmomi import vim
from .._vsphere import hardware_version, privileges, snapshots
from .._vsphere.disks import Disk, disks_in
from .._vsphere.snapshots import snapshots_in
from .._vsphere.vm import ABOVE, BASICS, DEVICES, basics, is_readable, reference
from .model import Vm

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
        "capability.changeTrackingSupported",
        "config.changeTrackingEnabled",
        "config.version",
    ),
    vim.SessionManager: ("currentSession.key",),
}


def find(
    session: Session, selectors: t.Sequence[Selector], datacenter: str | None
) -> tuple[list[Vm | VforgeError], str | None]:
    """The VMs that the selectors name, in their order, and the key of this session.

    :returns: in the place of a VM that cannot be found, why not; and None for a key that this user
        may not read.
    :raises VforgeError: nothing can be found, or two selectors fit the same VM.
    """
    manager = session.content.sessionManager
    rows: dict[str, Row] = {}

    def read(moids: list[str]) -> dict[str, Vm]:
        refs = [manager, *(reference(session, moid) for moid in moids)]
        rows.update((row.moid, row) for row in collect(session, refs, _VM, TO_ANCESTORS))
        return {moid: _vm(rows, rows[moid]) for moid in moids if is_readable(rows.get(moid))}

    vms = find_each(session, selectors, datacenter, read)
    key = rows.get(manager._GetMoId())
    return vms, key.get("currentSession.key") if key else None


def _vm(rows: t.Mapping[str, Row], row: Row) -> Vm:
    return Vm(
        **basics(rows, row),
        hardware=hardware_version.number_of(row.get("config.version") or ""),
        # Optional (API reference, VirtualMachineCapability): one that is not there forbids nothing.
        supported=row.get("capability.changeTrackingSupported") is not False,
        tracking=bool(row.get("config.changeTrackingEnabled")),
        disks=disks_in(row.get(DEVICES)),
        snapshots=snapshots_in(row.get("snapshot")),
    )


def read_tracking(session: Session, moids: t.Sequence[str]) -> dict[str, tuple[bool, tuple[Disk, ...]]]:
    """Whether tracking is on, and the disks with their changeIds, by moid of the VM."""
    wanted = ("config.changeTrackingEnabled", DEVICES)
    rows = read(session, [reference(session, moid) for moid in moids], vim.VirtualMachine, wanted)
    return {moid: (bool(row.get("config.changeTrackingEnabled")), disks_in(row.get(DEVICES))) for moid, row in rows.items()}


def read_snapshot_disks(session: Session, moids: t.Sequence[str]) -> dict[str, tuple[Disk, ...]]:
    """The disks as snapshots have them, by moid of the snapshot; what is gone is left out."""
    refs = [snapshots.reference(session, moid) for moid in moids]
    rows = read(session, refs, vim.vm.Snapshot, (DEVICES,))
    return {moid: disks_in(row.get(DEVICES)) for moid, row in rows.items()}


def missing_privileges(session: Session, key: str, wanted: t.Mapping[str, t.Collection[str]]) -> dict[str, list[str]]:
    """What the user of this session lacks, by moid, by one ``HasPrivilegeOnEntities``.

    :param key: of the session (``UserSession.key``). A session that has ended may do nothing, so
        nothing is returned of one.
    :param wanted: privileges by moid of the VM.
    """
    refs = [(reference(session, moid), tuple(names)) for moid, names in wanted.items()]
    return privileges.missing_privileges(session, key, refs)
