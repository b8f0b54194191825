# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Backups of VMs from the options to the result.

The order of each VM is: lock its folder in the repository, read the VM as it is now, put right what
dead runs have left, refuse what cannot be, run the script before in its guest, snapshot, run the
script after, read device data from the snapshot, ask what changed, read it in parallel, remove the
snapshot, read back what was written, commit. A point is there when all of that is done, and not
before. VMs do not wait for each other.
"""

from __future__ import annotations

import array
import contextlib
import dataclasses
import datetime
import functools
import hashlib
import itertools
import os
import threading
import time
import typing as t

from .. import _files
from .._connector.find import Selector
from .._connector.web import Stops
from .._engine import Task
from .._errors import Fault, NotAttempted, NotFound, TimedOut, VforgeError
from .._progress import Meter
from .._temporary_snapshots import (
    Kind,
    Made,
    Removed,
    SnapshotItem,
    SnapshotTask,
    find_leftovers,
    remove_left,
    remove_leftovers,
    undisturbed,
    with_snapshots,
)
from .._vsphere import hardware, tracking
from .._vsphere.areas import changed_areas, merged
from .._vsphere.changeid import written_delta
from . import about, images, lanes, plan, read, report, scripts
from . import disk as disks
from .audit import Auditing, Missed, Tracked
from .copying import Copying
from .disk import Earlier, NewDisk, Staged
from .model import MACHINE_FILE, NVRAM_FILE, BackupDamaged, Point, ToolFailed, ToolNotRun, point_id
from .options import INCREMENTAL, NO, TRY, BackupOptions, Vm
from .plan import BACK_UP, Audit, Changes, Reading, Whole
from .repository import Machine, Repository
from .sources import Sources

if t.TYPE_CHECKING:
    from .._connector.batch import Outcome
    from .._connector.session import Session
    from .._vsphere.disks import Disk
    from .._vsphere.transports import Way
    from .lanes import Turn
    from .readers import Reader

KIND = Kind("vforge-backup", "Made for a backup, and removed with it.", "vforge.backup ")

CRASH, FILE_SYSTEM, APPLICATION = "crash-consistent", "file-system-consistent", "application-consistent"
POWERED_OFF = "powered-off"


@dataclasses.dataclass(kw_only=True)
class BackupItem(SnapshotItem):
    """A VM of the task.

    :ivar machine: its points; None until its folder is locked.
    :ivar ways: what each transport said of it before its snapshot;
        ``transport`` the one that reads it.
    :ivar hardware: what the VM is made of, as its snapshot has it.
    :ivar snapshotted: its disks as the snapshot has them; None until there is one.
    :ivar readings: what is read of its disks.
    :ivar staged: the folder of its new point, until that is committed; ``copied`` its disks.
    :ivar whole: whether all of its disks were copied.
    :ivar stayed_off: whether it was off before its snapshot, and after it.
    :ivar point: the new point, once it is there; or one that is new enough.
    :ivar merged: the ID of a point that was made a full one before; empty where none was.
    :ivar stands_alone: whether its new point may stand on none of the earlier ones, since what a dead run has left
        of them could not be put right.
    :ivar missed: what tracking has missed of the disks that were audited, by key.
    :ivar scripts: what became of the scripts in its guest; None where none was to run.
    :ivar held: the lock of its folder.
    :ivar over: whether nothing of it is left to be done.
    """

    vm: Vm
    machine: Machine | None = None
    ways: list[Way] = dataclasses.field(default_factory=list)
    transport: str = ""
    hardware: hardware.Machine | None = None
    snapshotted: t.Sequence[Disk] | None = None
    readings: list[Reading] = dataclasses.field(default_factory=list)
    staged: str | None = None
    copied: list[Staged] = dataclasses.field(default_factory=list)
    whole: bool = False
    stayed_off: bool = False
    point: Point | None = None
    merged: str = ""
    stands_alone: bool = False
    missed: dict[int, Missed] = dataclasses.field(default_factory=dict)
    scripts: scripts.Ran | None = None
    held: contextlib.ExitStack = dataclasses.field(default_factory=contextlib.ExitStack, repr=False)
    over: bool = False


@dataclasses.dataclass(kw_only=True)
class BackupTask(SnapshotTask[BackupItem]):
    """A task whose VMs were found.

    :ivar run: names this run in the owner marks of its snapshots, and in its points.
    :ivar around: tags and storage policies of the VMs that are due.
    :ivar lock: for what is made once for all VMs.
    """

    kind: Kind = KIND
    options: BackupOptions
    repository: Repository
    around: about.Around = dataclasses.field(default_factory=about.Around)
    end: Stops = dataclasses.field(default_factory=Stops)
    lock: threading.Lock = dataclasses.field(default_factory=threading.Lock)

    @functools.cached_property
    def sources(self) -> Sources:
        """The transports."""
        return Sources(self)

    def go_on(self) -> None:
        """Raise why the work is to end, if it is; from any thread."""
        if self.end.is_set():
            raise NotAttempted("The backup was not made to its end, since the task ended early.", hint="Run again.")
        if time.monotonic() > self.task.deadline:
            raise TimedOut("The backup was not made in the time allowed.", hint="Raise timeout; nothing of it is kept.")


def run(session: Session, options: BackupOptions, *, check: bool) -> dict[str, t.Any]:
    """Back up what the options ask for, or in check mode find out what that would be.

    :returns: the module's result: ``changed``, ``vms``, ``counts``, ``failures`` and so on.
    :raises VforgeError: before anything was begun.
    :raises PartialFailure: when a VM failed; it holds the whole result.
    """
    deadline = session.deadline(options.timeout)
    task: Task[BackupItem] = Task(session, [], "VMs", deadline=deadline, parallel=options.parallel, check=check)
    with task.phase("lookup"):
        found = task.found("vms", read.find(session, options.selectors, options.datacenter), options.selectors)
        # The step is there before its plan, so that an early end is its failure.
        task.items = [BackupItem(vm=vm, steps=(BACK_UP,)) for _place, vm in found]
    images.require()
    job = BackupTask(task=task, timeout=options.timeout, options=options, repository=Repository(options.repository))
    for doubt in job.repository.doubts:
        session.warn(doubt)
    with task.accounted():
        _carry_out(job)
    return task.finish(report.result(job), advice="Backups that are complete stay; run again for the others.")


def _carry_out(job: BackupTask) -> None:
    find_leftovers(job)
    with job.task.phase("lookup"):
        job.sources.look()
    now = datetime.datetime.now(datetime.UTC)
    for item in job.vms:
        if scripts.left_between(job.repository.folder(item.vm.instance_uuid)):
            item.steps = (scripts.RUN_AFTER, BACK_UP)
        try:
            newest = _newest(job, job.repository.read(item.vm.instance_uuid))
            item.point = plan.fresh(newest, job.options, now)
            if item.point is not None:
                item.steps = tuple(step for step in item.steps if step != BACK_UP)
            else:
                plan.check(item.vm, job.options)
        except VforgeError as error:
            # Its guest must not stay as the script before has made it.
            item.steps = tuple(step for step in item.steps if step == scripts.RUN_AFTER)
            item.fail(error)
    if job.task.check:
        _foresee(job)
        return
    due = [item for item in job.vms if item.leftovers or item.left]
    vms = [item.vm for item in due if item.due(BACK_UP)]
    if vms:
        with job.task.phase("lookup"):
            job.around = about.Around(about.tags(job.session, job.task.deadline), about.policies(job.session, vms))
    try:
        lanes.work(job, due, lambda turn: _back_up(job, turn))
    finally:
        _wind_up(job, due)


def _foresee(job: BackupTask) -> None:
    """Check mode: what a run would do, as far as that is known."""
    remove_leftovers(job)
    due = [item for item in job.vms if item.due(BACK_UP)]

    def look(item: BackupItem) -> None:
        _choose_transport(job, item)
        scripts.check(job, item)

    with job.task.phase("lookup"):
        job.task.call(due, look, "VMs looked at", _note)
    for item in due:
        if item.error is None:
            _plan(job, item, job.repository.read(item.vm.instance_uuid), item.vm.disks)
    for item in job.vms:
        scripts.foresee(job, item)
        # A VM that was refused by its plan has the script after left at most.
        item.done += item.left if item.error is None or item not in due else []


def _note(item: BackupItem, outcome: Outcome) -> None:
    if outcome.error is not None:
        item.fail(outcome.error)


def _newest(job: BackupTask, machine: Machine) -> Point | None:
    """The newest point of a VM that can be restored, read only where it may be new enough."""
    return machine.known().base() if job.options.fresh_hours else None


# One VM, in a thread


def _back_up(job: BackupTask, turn: Turn[BackupItem]) -> None:
    """All that is due of one VM, in the order that the head of this file says.

    :raises VforgeError: why it has no new point.
    """
    item = turn.each
    begun = time.monotonic()
    try:
        machine = _begin(job, turn)
        if scripts.RUN_AFTER in item.left:
            # Before anything by which the VM may be refused.
            scripts.finish_dead_run(job, item)
        _put_right(job, item, machine)
        if item.due(BACK_UP):
            plan.check(item.vm, job.options)
            _choose_transport(job, item)
        if item.due(BACK_UP) and not _made_meanwhile(job, item):
            if job.options.mode == INCREMENTAL:
                plan.check_increments(item.vm.disks, _earlier(item, machine), job.options, item.transport)
            _shorten(job, item)
            item.quiesced = plan.quiesces(item.vm, job.options)
            _copy(job, item)
            # What was read is whole, also of a VM whose snapshot could not be removed.
            if item.whole:
                with job.task.phase("proof"):
                    _commit(job, item)
                item.done.append(BACK_UP)
    finally:
        item.seconds = round(time.monotonic() - begun, 3)
        if not job.end.is_set():
            _leave(item)


def _begin(job: BackupTask, turn: Turn[BackupItem]) -> Machine:
    """Lock the folder of a VM, remove what dead runs have left in vCenter, and read it as it is now.

    :returns: its points, as dead runs have left them.
    """
    item = turn.each
    lock = job.repository.locked(
        item.vm.instance_uuid, job.task.deadline, job.session.show_progress, put_right=False, go_on=job.go_on
    )
    item.machine = machine = item.held.enter_context(lock)
    try:
        remove_leftovers(job, [item])
        _read_again(job, item)
        # It may have moved to another host or datastore, where others are read already.
        turn.look_again()
        job.go_on()
    except VforgeError:
        scripts.tell_of_dead_run(item, machine.folder)
        raise
    return machine


def _put_right(job: BackupTask, item: BackupItem, machine: Machine) -> None:
    """Finish, or undo, what runs that died have begun. Earlier points that are too damaged for that keep no
    new one from being made, which is a full one then.
    """
    try:
        machine.put_right(job.task.deadline)
    except (BackupDamaged, ToolFailed, ToolNotRun) as error:
        item.stands_alone = True
        item.warnings.append(f"What a run that was killed has left of earlier backups cannot be put right: {error}")


def _read_again(job: BackupTask, item: BackupItem) -> None:
    """Read a VM in its turn, which may come hours after the task began: it may be on by now, or off.

    Without a snapshot that a dead run had left, its disks are others, too.

    :raises NotFound: it is not there any more.
    :raises NotBackedUp: its backups would be those of another VM by now.
    """
    (found,) = read.find(job.session, [Selector(moid=item.vm.moid)], None)
    if isinstance(found, VforgeError):
        raise found
    if found.instance_uuid != item.vm.instance_uuid:
        raise plan.NotBackedUp(
            "changed_meanwhile",
            f"{item.title} has the instance UUID {found.instance_uuid}, and had {item.vm.instance_uuid} when the task began.",
            hint="Run again. Backups of a VM are kept under its instance UUID, so those of before stay under the old one.",
        )
    item.vm = found


def _shorten(job: BackupTask, item: BackupItem) -> None:
    """Make the newest point of a VM a full one whose chain of images would become too long.

    It takes as long as a full backup, so it is done before there is a snapshot.
    """
    if item.machine is not None and not item.stands_alone and plan.makes_increments(job.options, item.transport):
        with job.task.phase("merge"):
            item.merged = item.machine.shorten(job.options.max_chain, job.task.deadline)


def _choose_transport(job: BackupTask, item: BackupItem) -> None:
    """Find out by what the disks of a VM are read, before anything is made of it.

    :raises VforgeError: by nothing that was allowed.
    """
    item.ways = job.sources.ways(item.vm)
    item.transport = plan.transport(item.title, item.ways, job.options)
    warning = plan.fell_back(item.title, item.transport, item.ways, item.vm, job.options)
    item.warnings += [warning] if warning else []


def _made_meanwhile(job: BackupTask, item: BackupItem) -> bool:
    """Whether another run has made the point while this one waited."""
    if item.machine is not None:
        newest = _newest(job, item.machine)
        item.point = plan.fresh(newest, job.options, datetime.datetime.now(datetime.UTC))
    if item.point is not None:
        item.steps = tuple(step for step in item.steps if step != BACK_UP)
    return item.point is not None


def _copy(job: BackupTask, item: BackupItem) -> None:
    with_snapshots(
        job,
        [item],
        lambda ready: _copy_and_detach(job, ready),
        crash_consistent="backup" if job.options.quiesce == TRY else "",
        making=lambda _wave: scripts.around(job, item),
        ended=job.end,
    )


def _copy_and_detach(job: BackupTask, ready: t.Sequence[BackupItem]) -> None:
    """Copy disks; in every ending nothing of them stays attached, so that their snapshots can be
    removed.
    """
    try:
        _copy_snapshots(job, ready)
    finally:
        if not job.end.is_set():
            for item in ready:
                item.in_use = job.sources.end(item.vm.instance_uuid).get(item.vm.instance_uuid, "")


def _copy_snapshots(job: BackupTask, ready: t.Sequence[BackupItem]) -> None:
    """Copy the disks of VMs that have their snapshots now."""
    with job.task.phase("read"):
        known = read.read_snapshots(job.session, {_snapshot(item): item.vm for item in ready})
        for item in ready:
            found = known.get(_snapshot(item))
            if found is None:
                item.fail(NotFound(f"The snapshot {_snapshot(item)} of {item.title} is not there any more.", hint="Run again."))
            elif item.machine is not None:
                item.hardware = found.machine
                # It may have been started at any moment between the two.
                item.stayed_off = item.vm.powered_off and found.powered_off
                _plan(job, item, item.machine, found.disks)
            if item.error is None:
                # The session may end in the middle: it is begun again then.
                job.session.retrying(lambda item=item: _copy_vm(job, item))  # type: ignore[misc]
                item.whole = True


def _wind_up(job: BackupTask, items: t.Sequence[BackupItem]) -> None:
    """After an early end: what the threads of the VMs have left, in the order in which it hurts."""
    begun = [item for item in items if item.machine is not None and not item.over]
    if not begun:
        return
    try:
        for item in begun:
            undisturbed(job, lambda item=item: scripts.finish(job, item, last=True))  # type: ignore[misc]
        undisturbed(job, lambda: _detach(job, begun))
        remove_left(job, begun)
    finally:
        for item in begun:
            _leave(item)


def _detach(job: BackupTask, items: t.Sequence[BackupItem]) -> None:
    left = job.sources.end()
    for item in items:
        item.in_use = left.get(item.vm.instance_uuid, "")


def _leave(item: BackupItem) -> None:
    """The end of a VM: what was staged and is no point goes, and the folder is free. What cannot be
    removed, the next run removes.
    """
    if item.staged is not None and item.machine is not None:
        try:
            item.machine.discard(item.staged)
        except VforgeError as error:
            item.warnings.append(f"What was written of {item.title} is still there: {error} The next run removes it.")
        item.staged = None
    if item.scripts is not None and item.scripts.failure is not None:
        item.fail(item.scripts.failure)
    item.held.close()
    item.over = True


# The snapshot, and what is read of it


def _snapshot(item: BackupItem) -> str:
    return item.own.moid if isinstance(item.own, (Made, Removed)) else ""


def _plan(job: BackupTask, item: BackupItem, machine: Machine, found: t.Sequence[Disk]) -> None:
    """Plan what is read of each disk.

    :param found: as the snapshot has them; before it was made they may have been others.
    """
    item.snapshotted = found
    try:
        plan.check_disks(item.title, found, job.options)
        earlier = _earlier(item, machine)
        item.readings = [plan.reading(disk, earlier, job.options, item.transport) for disk in plan.kept(found)]
    except VforgeError as error:
        item.fail(error)


def _earlier(item: BackupItem, machine: Machine) -> plan.Earlier:
    """The newest point of a VM, on which a new one can stand; a warning names each that is damaged."""
    known = machine.known()
    said = [f"The backup {name} cannot be used: {error}" for name, error in known.damaged.items()]
    item.warnings += [each for each in said if each not in item.warnings]
    base = None if item.stands_alone else known.base()
    return plan.Earlier(base, damaged=item.stands_alone or bool(known.damaged))


def _copy_vm(job: BackupTask, item: BackupItem) -> None:
    """Copy all disks of one VM into a staged folder."""
    machine = item.machine
    if machine is None:
        raise NotAttempted(f"{item.title} was not begun.", hint="Run again.")
    if item.staged is not None:
        # A call that was made again, since its session had ended.
        machine.discard(item.staged)
        item.copied.clear()
    item.staged = machine.stage(job.run)
    with _files.explained(item.staged, "backup"):
        _copy_disks(job, item, machine, item.staged)


def _copy_disks(job: BackupTask, item: BackupItem, machine: Machine, staged: str) -> None:
    wanted = [reading.disk for reading in item.readings]
    with job.sources.opened(item, _snapshot(item), wanted, staged) as source_of:
        for place, reading in enumerate(item.readings):
            with source_of(reading.disk) as source:
                item.readings[place], areas = _areas(job, item, reading, source)
                item.copied.append(_copy_disk(job, item, machine, item.readings[place], areas, source))


def _areas(job: BackupTask, item: BackupItem, reading: Reading, source: Reader) -> tuple[Reading, t.Iterable[tuple[int, int]]]:
    """What is to be read of a disk; all of it, where vCenter cannot say what changed."""
    disk = reading.disk
    if isinstance(reading, Changes):
        ask = tracking.pages(job.session, item.vm.moid, _snapshot(item), disk.key, reading.since)
        try:
            # All of it before the first byte is read: what an answer says counts only when the
            # whole of it was right.
            return reading, Areas.of(changed_areas(ask, disk.capacity), 0 if isinstance(reading, Audit) else job.options.gap)
        except Fault as fault:
            why = tracking.full_required(fault)
            if why is None:
                raise
            if job.options.mode == INCREMENTAL:
                raise plan.full_required(disk, why) from fault
            reading = Whole(disk, why)
    return reading, source.data(disk.capacity)


class Areas:
    """Areas, kept in 16 bytes each."""

    def __init__(self) -> None:
        self._numbers = array.array("Q")

    @classmethod
    def of(cls, areas: t.Iterator[t.Any], gap: int) -> Areas:
        """Those with at most so many bytes between them joined."""
        found = cls()
        for area in merged(areas, gap):
            found._numbers.extend((area.start, area.length))
        return found

    def __iter__(self) -> t.Iterator[tuple[int, int]]:
        return zip(itertools.islice(self._numbers, 0, None, 2), itertools.islice(self._numbers, 1, None, 2), strict=True)


def _copy_disk(
    job: BackupTask,
    item: BackupItem,
    machine: Machine,
    reading: Reading,
    areas: t.Iterable[tuple[int, int]],
    source: Reader,
) -> Staged:
    disk = reading.disk
    total = disk.capacity if isinstance(reading, Audit) else sum(length for _start, length in areas)
    meter = Meter(f"{item.vm.name}, {disk.label}", total, job.session.show_progress)
    copying: Copying | Auditing
    if isinstance(reading, Audit):
        copying = Auditing(
            open_stream=source.open,
            streams=job.options.streams,
            go_on=job.go_on,
            tracked=Tracked(areas),
            report=lambda count: meter.reach(count, total),
        )
        areas = [(0, disk.capacity)]
        item.missed[disk.key] = copying.missed
    else:
        copying = Copying(
            open_stream=source.open,
            fresh=isinstance(reading, Whole),
            streams=job.options.streams,
            go_on=job.go_on,
            report=lambda count: meter.reach(count, total),
        )
    new = NewDisk(
        key=disk.key,
        label=disk.label,
        unit=disk.unit,
        capacity=disk.capacity,
        change_id=disk.change_id,
        identity=disk.identity,
        transport=item.transport,
        reason=reading.why.code if isinstance(reading, Whole) else "",
        delta=written_delta(disk),
    )
    earlier = Earlier(reading.point, reading.earlier) if isinstance(reading, Changes) else None
    return disks.copy(machine, item.staged or "", new, earlier, areas, copying, job.task.deadline)


# After the snapshot


def _commit(job: BackupTask, item: BackupItem) -> None:
    machine, staged = item.machine, item.staged
    if machine is None or staged is None:
        raise NotAttempted(f"{item.title} was not begun.", hint="Run again.")
    with _files.explained(staged, "backup"):
        written = tuple(disks.finish(one, job.go_on) for one in item.copied)
        described, nvram = _describe(job, item, staged)
    now = datetime.datetime.now(datetime.UTC)
    point = Point(
        id=point_id(now, job.run),
        number=machine.known().next_number(),
        created=now.isoformat(timespec="seconds"),
        instance_uuid=item.vm.instance_uuid,
        vm_name=item.vm.name,
        consistency=consistency(job, item),
        disks=written,
        machine=described,
        nvram=nvram,
        snapshot=_snapshot(item),
    )
    machine.commit(staged, point)
    item.point, item.staged = point, None


def _describe(job: BackupTask, item: BackupItem, staged: str) -> tuple[str, str]:
    """Write what the VM is made of, and the settings of its firmware.

    :returns: the SHA-256 of each; empty where there is none.
    """
    nvram, why = about.nvram(job.session, item.vm, job.task.deadline)
    machine = hardware.as_json(item.hardware, about.as_json(item.vm, job.around, why)) if item.hardware is not None else b""
    written = []
    for name, data in ((MACHINE_FILE, machine), (NVRAM_FILE, nvram)):
        if data:
            _files.replace(os.path.join(staged, name), data, what="file of the backup")
        written.append(hashlib.sha256(data).hexdigest() if data else "")
    return written[0], written[1]


def consistency(job: BackupTask, item: BackupItem) -> str:
    """What the disks of a backup are like.

    The script before alone does not make them application-consistent where the file systems were to
    be quiesced, and could not: what applications have written may not be on the disks then.
    """
    if item.stayed_off:
        return POWERED_OFF
    held = item.scripts is not None and item.scripts.before == scripts.SUCCEEDED
    if held and (item.quiesced or job.options.quiesce == NO):
        return APPLICATION
    return FILE_SYSTEM if item.quiesced else CRASH
