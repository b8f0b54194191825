# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Changed block tracking, asked: the pages of changed areas, and what a refusal means."""

from __future__ import annotations

import typing as t

from .._connector.pyvmomi import vim, vmodl
from .._errors import Fault
from . import fcd, snapshots
from .areas import Page
from .changeid import FullRequired
from .vm import reference

if t.TYPE_CHECKING:
    from .._connector.session import Session
    from .fcd import FirstClassDisk

# The keys of hostd's messages (vSphere Web Services SDK, and what hosts answer) and what they mean.
_FILE_FAULTS = {
    "cbt.noTrack": FullRequired("not_tracked", "Tracking was off when it changed, so vCenter does not know what did."),
    "cbt.noEpoch": FullRequired(
        "no_epoch",
        "vCenter does not know which areas are in use: tracking began on a disk in use.",
    ),
    "cbt.cannotGetChanges": FullRequired("change_id_unknown", "vCenter has no record back to this changeId."),
}


# The other parameters of the question: who gets these wrong has made a mistake.
_NOT_OF_CHANGE_ID = ("deviceKey", "startOffset", "snapshot")

# In place of a changeId: the areas that are in use (API reference, QueryChangedDiskAreas).
IN_USE = "*"

X = t.TypeVar("X")


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
    :raises Fault: the asking does; ``full_required`` says which mean
        that the whole disk is to be read.
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

    :returns: for any FileFault, and where the changeId is refused, why the whole disk has to be read;
        None for others. "InvalidArgument: if ... changeId is invalid or change tracking is not
        supported for this particular disk" (API reference).
    """
    cause = fault.__cause__
    if isinstance(cause, vmodl.fault.InvalidArgument) and cause.invalidProperty not in _NOT_OF_CHANGE_ID:
        return FullRequired("change_id_unknown", f"vCenter does not know this changeId: {fault.message}")
    if not isinstance(cause, vim.fault.FileFault):
        return None
    keys = [line.key or "" for line in cause.faultMessage or ()]
    for ending, meaning in _FILE_FAULTS.items():
        if any(key.endswith(ending) for key in keys):
            return meaning
    return FullRequired("vcenter_refused", f"vCenter cannot say what changed: {fault.message}")


def or_whole(ask: t.Callable[[], X], whole: X) -> X:
    """What is in use, or the whole disk where vCenter cannot say it.

    :raises Fault: the asking failed for another reason than that.
    """
    try:
        return ask()
    except Fault as fault:
        if full_required(fault) is None:
            raise
        return whole
