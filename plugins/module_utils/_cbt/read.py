# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What there is, read from vCenter: each function is one call for any number of VMs or snapshots."""

from __future__ import annotations

import typing as t

from .._connector.find import TO_ANCESTORS, find_each, readable
from .._connector.props import Row, collect, read
from .._connector.pyvmomi import vim
from .._errors import Fault
from .._vsphere import fcd, privileges, snapshots
from .._vsphere.disks import Disk, disks_in
from .._vsphere.fcd import FirstClassDisk
from .._vsphere.snapshots import snapshots_in
from .._vsphere.vm import ABOVE, BASICS, DEVICES, basics, is_readable, reference
from .areas import Page
from .changeid import FullRequired
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

# The keys of hostd's messages (vSphere Web Services SDK, and what hosts answer) and what they mean.
_FILE_FAULTS = {
    "cbt.noTrack": FullRequired("not_tracked", "Tracking was off when it changed, so vCenter does not know what did."),
    "cbt.noEpoch": FullRequired(
        "no_epoch",
        "vCenter does not know which areas are in use: tracking began on a disk in use.",
    ),
    "cbt.cannotGetChanges": FullRequired("change_id_unknown", "vCenter has no record back to this changeId."),
}


def find(
    session: Session, selectors: t.Sequence[Selector], datacenter: str | None
) -> tuple[list[Vm | VforgeError], str | None]:
    """The VMs that the selectors name, in their order, and the key of this session.

    :returns: in the place of a VM that cannot be found, why not; and None for a key that this user
        may not read.
    :raises VforgeError: nothing can be found, or two selectors fit the same VM.
    """
    found = find_each(session, selectors, datacenter, option="vms")
    manager = session.content.sessionManager
    refs = [manager, *(reference(session, moid) for moid in found if isinstance(moid, str))]
    rows = {row.moid: row for row in collect(session, refs, _VM, TO_ANCESTORS)}
    known = {moid: _vm(rows, row) for moid, row in rows.items() if is_readable(row)}
    key = rows.get(manager._GetMoId())
    return (
        [known[each] if isinstance(each, str) else each for each in readable(found, selectors, known)],
        key.get("currentSession.key") if key else None,
    )


def _vm(rows: t.Mapping[str, Row], row: Row) -> Vm:
    return Vm(
        **basics(rows, row),
        hardware=_hardware(row.get("config.version")),
        supported=bool(row.get("capability.changeTrackingSupported")),
        tracking=bool(row.get("config.changeTrackingEnabled")),
        disks=disks_in(row.get(DEVICES)),
        snapshots=snapshots_in(row.get("snapshot")),
    )


def _hardware(version: str | None) -> int:
    """``vmx-19`` as 19; 0 for what is no such version."""
    digits = (version or "").rpartition("-")[2]
    return int(digits) if digits.isdigit() else 0


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


def pages(session: Session, vm: str, snapshot: str | None, key: int, change_id: str) -> t.Callable[[int], Page]:
    """What asks for the page of changed areas at an offset, by ``QueryChangedDiskAreas``.

    :param vm: moid.
    :param snapshot: moid; None for the VM as it is, which must be powered off.
    :param key: of the disk.
    :raises Fault: the asking does; ``full_required`` says which of them mean that the whole disk
        has to be read.
    """
    machine = reference(session, vm)
    subject = snapshots.reference(session, snapshot) if snapshot else None

    def page(offset: int) -> Page:
        found = session.retrying(lambda: machine.QueryChangedDiskAreas(subject, key, offset, change_id))
        areas = [(area.start, area.length) for area in found.changedArea or ()]
        return Page(found.startOffset, found.length, areas)

    return page


def first_class_pages(session: Session, disk: FirstClassDisk, snapshot: str, change_id: str) -> t.Callable[[int], Page]:
    """What asks for the page of changed areas of a first class disk at an offset, by
    ``VstorageObjectVCenterQueryChangedDiskAreas``.

    :param snapshot: its ID.
    :raises Fault: the asking does; ``full_required`` says which mean that the whole disk is to be read.
    """
    store = fcd.datastore_ref(session, disk.store)
    ids = (fcd.disk_id(disk.id), fcd.disk_id(snapshot))

    def page(offset: int) -> Page:
        found = session.retrying(lambda: fcd.manager(session).QueryChangedDiskAreas(ids[0], store, ids[1], offset, change_id))
        areas = [(area.start, area.length) for area in found.changedArea or ()]
        return Page(found.startOffset, found.length, areas)

    return page


def full_required(fault: Fault) -> FullRequired | None:
    """What a fault of ``QueryChangedDiskAreas`` means.

    :returns: for any FileFault, why the whole disk has to be read; None for others.
    """
    cause = fault.__cause__
    if not isinstance(cause, vim.fault.FileFault):
        return None
    keys = [line.key or "" for line in cause.faultMessage or ()]
    for ending, meaning in _FILE_FAULTS.items():
        if any(key.endswith(ending) for key in keys):
            return meaning
    return FullRequired("vcenter_refused", f"vCenter cannot say what changed: {fault.message}")
