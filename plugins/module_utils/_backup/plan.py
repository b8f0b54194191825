# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is to be read of each disk, from what there is and what the repository has. Pure."""

from __future__ import annotations

import dataclasses
import datetime
import typing as t

from .._connector import names
from .._errors import CodedError
from .._vsphere.changeid import FullRequired, Kept, judge
from .._vsphere.transports import EXPORT, INCREMENTS, Way
from .options import AUDIT, AUTO, FAIL, INCREMENTAL, NO, REQUIRE, TRY
from .options import FULL as FULL_MODE

if t.TYPE_CHECKING:
    from .._vsphere.disks import Disk
    from .model import DiskBackup, Point
    from .options import BackupOptions, Vm

BACK_UP = "back_up"

_ASKED = FullRequired("asked_for", "A full backup was asked for.")
_NO_POINT = FullRequired("no_earlier_backup", "There is no earlier backup of it.")

_DAMAGED = FullRequired("earlier_backup_damaged", "Its newest backup, or one that this stands on, is damaged.")


class NotBackedUp(CodedError):
    """A VM of which no backup can be made as it is."""


@dataclasses.dataclass(frozen=True)
class Whole:
    """A disk that is read whole."""

    disk: Disk
    why: FullRequired


@dataclasses.dataclass(frozen=True)
class Changes:
    """A disk of which only what changed is read.

    :ivar since: the changeId to ask from.
    """

    disk: Disk
    point: Point
    earlier: DiskBackup
    since: str


@dataclasses.dataclass(frozen=True)
class Audit(Changes):
    """A disk that is read whole and compared with its newest backup; what changed tells what
    tracking has missed.
    """


Reading: t.TypeAlias = Whole | Changes


@dataclasses.dataclass(frozen=True)
class Earlier:
    """What there is of a VM.

    :ivar point: the newest one, on which a new one can stand; None where there is none.
    :ivar damaged: whether any is damaged.
    """

    point: Point | None = None
    damaged: bool = False


@dataclasses.dataclass(frozen=True)
class LeftOut:
    """A disk that no snapshot has."""

    disk: Disk
    why: str


def left_out(disks: t.Sequence[Disk]) -> list[LeftOut]:
    """The disks that snapshots leave out, and so do backups."""
    found = []
    for disk in disks:
        if disk.mode.startswith("independent"):
            found.append(LeftOut(disk, f"Its mode is {disk.mode}, and snapshots leave independent disks out."))
        elif disk.physical:
            found.append(LeftOut(disk, "It is a raw device in physical mode, which snapshots leave out."))
    return found


def kept(disks: t.Sequence[Disk]) -> list[Disk]:
    """The disks that snapshots have."""
    out = {one.disk.key for one in left_out(disks)}
    return [disk for disk in disks if disk.key not in out]


def check(vm: Vm, options: BackupOptions) -> None:
    """Refuse, before anything is changed, a VM of which no backup can be made.

    :raises NotBackedUp: with the reason.
    """
    if vm.template:
        raise NotBackedUp(
            "template",
            f"{vm.path} is a template, and a template can have no snapshot.",
            hint="Export it with vm_export.",
        )
    if vm.consolidate:
        raise NotBackedUp(
            "consolidation_needed",
            f"The disks of {vm.path} need consolidation, so a snapshot more could fail or fill the datastore.",
            hint="Consolidate its disks (Snapshots > Consolidate), then run again.",
        )
    check_disks(vm.path, vm.disks, options)
    if options.quiesce == REQUIRE and vm.power_state == "poweredOn" and not vm.tools:
        raise NotBackedUp(
            "tools_not_running",
            f"VMware Tools do not run in {vm.path}, and nothing else can quiesce it.",
            hint="Start them, or set quiesce to try.",
        )


def check_disks(path: str, disks: t.Sequence[Disk], options: BackupOptions) -> None:
    """Refuse disks of which no backup can be made, or not as it was asked for.

    :param path: of their VM, for messages.
    :raises NotBackedUp: with the reason.
    """
    out = left_out(disks)
    if out and options.excluded == FAIL:
        listed = "; ".join(f"{one.disk.label}: {one.why}" for one in out)
        raise NotBackedUp(
            "excluded_disks",
            f"{len(out)} disks of {path} cannot be backed up. {listed}",
            hint="Change their mode, or set excluded_disks to report.",
            disks=[one.disk.label for one in out],
        )
    if len(out) == len(disks):
        raise NotBackedUp(
            "no_disks",
            f"{path} has no disk that can be backed up.",
            hint="Look at the modes of its disks.",
        )
    other = [disk for disk in kept(disks) if disk.sector_format]
    if other:
        listed = names.listing([f"{disk.label}: {disk.sector_format}" for disk in other])
        raise NotBackedUp(
            "sector_format",
            f"{path} has disks of a sector format that no backup keeps ({listed}): a restored disk has sectors of 512 bytes.",
            hint="Back it up by backup_clone, or make such a disk independent, so that it is left out.",
            disks=[disk.label for disk in other],
        )


def fresh(newest: Point | None, options: BackupOptions, now: datetime.datetime) -> Point | None:
    """The newest point of a VM, where it is new enough to make no other.

    One that a clock of tomorrow has dated far ahead is not: it would be new enough for ever.
    """
    enough = datetime.timedelta(hours=options.fresh_hours)
    return newest if newest is not None and abs(now - newest.time) < enough else None


def quiesces(vm: Vm, options: BackupOptions) -> bool:
    """Whether its snapshot is to be quiesced."""
    wanted = options.quiesce == REQUIRE or (options.quiesce == TRY and vm.tools)
    return wanted and vm.power_state == "poweredOn" and options.quiesce != NO


def transport(path: str, ways: t.Sequence[Way], options: BackupOptions) -> str:
    """Which transport reads the disks of a VM: the one that was asked for, or the first that reads
    increments, or where none does and whole disks are enough, the one that reads those.

    :param path: of the VM, for messages.
    :raises NotBackedUp: the one that was asked for cannot, or none can do what was asked for.
    """
    known = {way.name: way for way in ways}
    if options.transport != AUTO:
        wanted: tuple[str, ...] = (options.transport,)
    else:
        wanted = INCREMENTS if options.mode == INCREMENTAL else (*INCREMENTS, EXPORT)
    for name in wanted:
        if known[name].usable:
            return name
    reasons = "; ".join(f"{name}: {known[name].reason}" for name in wanted)
    what = "increments of the disks" if options.mode == INCREMENTAL else "the disks"
    raise NotBackedUp(
        "no_transport",
        f"No transport that was allowed reads {what} of {path} ({reasons}).",
        hint="Set transport to auto, or to another one; mode auto takes whole disks where no increments can be read.",
        transports=[way.as_result() for way in ways],
    )


def fell_back(path: str, chosen: str, ways: t.Sequence[Way], vm: Vm, options: BackupOptions) -> str:
    """The warning that whole disks are read although changes are tracked; empty where that is as
    asked for.
    """
    tracked = any(disk.change_id for disk in vm.disks)
    if chosen in INCREMENTS or options.transport != AUTO or not tracked:
        return ""
    reasons = "; ".join(f"{way.name}: {way.reason}" for way in ways if way.increments)
    return (
        f"{path} is read whole by {chosen}, although its changes are tracked: nothing that reads increments leads to its disks "
        f"({reasons})."
    )


def reading(disk: Disk, earlier: Earlier, options: BackupOptions, way: str) -> Reading:
    """What is read of a disk.

    :param disk: as the snapshot has it.
    :param way: the transport that reads it.
    :raises NotBackedUp: when only an increment was asked for, and there can be none.
    """
    found = _reading(disk, earlier, options, way)
    if isinstance(found, Whole) and options.mode == INCREMENTAL:
        raise full_required(disk, found.why)
    return found


def check_increments(disks: t.Sequence[Disk], earlier: Earlier, options: BackupOptions, way: str) -> None:
    """Refuse, before there is a snapshot, a VM of which a disk has to be read whole in any case.

    :param disks: as the VM has them now. Their changeIds say nothing of those that the snapshot will have.
    :raises NotBackedUp: with the reason.
    """
    for disk in kept(disks):
        known = earlier.point.disk(disk.key) if earlier.point is not None else None
        change_id = known.change_id if known is not None else None
        reading(dataclasses.replace(disk, change_id=change_id), earlier, options, way)


def _reading(disk: Disk, there: Earlier, options: BackupOptions, way: str) -> Reading:
    point = there.point
    earlier = point.disk(disk.key) if point is not None else None
    if options.mode == FULL_MODE:
        return Whole(disk, _ASKED)
    if way not in INCREMENTS and options.mode != AUDIT:
        return Whole(disk, FullRequired("whole_disks_only", "An export lease has whole disks."))
    if point is None and there.damaged:
        return Whole(disk, _DAMAGED)
    if point is None or earlier is None:
        return Whole(disk, _NO_POINT)
    # What is new reads as changed (API reference). But hosts have lost other changes of disks that were extended
    # (KB 2090639), so only an audit, which reads all of it, asks about one.
    grown = options.mode == AUDIT and earlier.capacity < disk.capacity
    capacity = disk.capacity if grown else earlier.capacity
    kept = Kept(earlier.change_id, earlier.identity, capacity, earlier.delta) if earlier.change_id else None
    why = judge(kept, disk)
    if why is not None or not earlier.change_id:
        return Whole(disk, why or _NO_POINT)
    kind = Audit if options.mode == AUDIT else Changes
    return kind(disk, point, earlier, earlier.change_id)


def makes_increments(options: BackupOptions, way: str) -> bool:
    """Whether images of a new point may stand on those of the newest one.

    :param way: the transport that reads the VM.
    """
    return options.mode == AUDIT or (options.mode != FULL_MODE and way in INCREMENTS)


def full_required(disk: Disk, why: FullRequired) -> NotBackedUp:
    """The error of a disk of which there can be no increment, where only that was asked for."""
    return NotBackedUp(
        "full_required",
        f"{disk.label} has to be read whole: {why.reason}",
        hint="Set mode to auto.",
        reason=why.code,
    )
