# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Snapshots that this collection makes for a moment: each is removed in every ending.

There are at most ``parallel`` of them at any time. One is removed when its use is over, when that
failed, when the time is over and when a signal came.

A run that was killed leaves its snapshot behind, and the next one removes it. A snapshot is one of
ours by its name and by an owner mark in its description, which names the VM, the run, and the
process that made it. It is removed as soon as it is certain that its run is over: when the process
is gone from this machine, or, for a run on another machine, when the time that this run had allowed
itself is over.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import hashlib
import json
import os
import pathlib
import secrets
import threading
import time
import typing as t

from ._connector import tasks
from ._connector.batch import Outcome
from ._connector.pyvmomi import vim
from ._engine import Item, ItemOfVm, Part, Task
from ._errors import (
    ConnectionLost,
    Fault,
    Interrupted,
    StillRunning,
    TaskGone,
    TimedOut,
    VforgeError,
)
from ._files import parsed
from ._vsphere import snapshots
from ._vsphere.snapshots import Snapshot

if t.TYPE_CHECKING:
    from ._connector.session import Session

# What vCenter answers where a guest's file systems cannot be quiesced (API reference, CreateSnapshot_Task).
_QUIESCE_FAULTS = (
    "ApplicationQuiesceFault",
    "FilesystemQuiesceFault",
    "SnapshotFault",
    "ToolsUnavailable",
)

# The step of an item that has left-overs.
REMOVE_LEFTOVERS = "remove_leftovers"

# Removing is not cut short by the time of the task: a consolidation takes as long as it takes.
REMOVAL_SECONDS = 3600

# How long a snapshot whose making could not be followed to its end is waited for, to be removed.
_LATE_SECONDS = 120.0

_ROUNDS = 3

_REMOVE = "remove"

# What the result calls the removal of a left-over, of one of several as well.
LEFTOVER_REMOVED = "leftover_removed"

# After these nobody knows whether a call has done its work.
UNSURE = (ConnectionLost, StillRunning, TaskGone, TimedOut)


class NotQuiesced(VforgeError):
    """A snapshot that was to be quiesced, and is not."""

    error_code = "not_quiesced"


class StillInUse(VforgeError):
    """A snapshot whose disks something still reads."""

    error_code = "snapshot_in_use"


@dataclasses.dataclass(frozen=True)
class Kind:
    """What the snapshots of one domain are called, and how theirs differ from others.

    :ivar words: what people read in the description.
    :ivar mark: begins the owner mark in it.
    """

    name: str
    words: str
    mark: str


def _not_made() -> OwnSnapshot:
    return NotMade()


@dataclasses.dataclass(kw_only=True)
class SnapshotItem(ItemOfVm):
    """A VM that a snapshot is made of for a moment.

    :ivar vm: has ``instance_uuid`` and ``snapshots``, too.
    :ivar own: what became of the snapshot that this task makes of it.
    :ivar quiesced: whether this snapshot is to be quiesced, and once it is made, whether it is.
    :ivar leftovers: snapshots of runs that were killed.
    :ivar in_use: why its snapshot must not be removed by this run; empty where it may be.
    """

    own: OwnSnapshot = dataclasses.field(default_factory=_not_made)
    in_use: str = ""
    quiesced: bool = False
    leftovers: list[Snapshot] = dataclasses.field(default_factory=list)


I = t.TypeVar("I", bound=SnapshotItem)  # noqa: E741 (as T, for items)


@dataclasses.dataclass(kw_only=True)
class SnapshotTask(t.Generic[I]):
    """A task that makes snapshots for a moment; a domain adds what else it knows of its task.

    :ivar timeout: seconds that the task may take.
    :ivar run: names this run in the owner marks.
    """

    task: Task[t.Any]
    kind: Kind
    timeout: int
    run: str = dataclasses.field(default_factory=lambda: secrets.token_hex(8))

    @property
    def session(self) -> Session:
        """In which all is done."""
        return self.task.session

    @property
    def vms(self) -> list[I]:
        """The VMs of the task that are there."""
        return self.task.items


# Whose a snapshot is


@dataclasses.dataclass(frozen=True)
class Owner:
    """A process.

    :ivar place: the machine since its start, the user and the space of process IDs in it; empty
        where that cannot be known.
    :ivar began: when the process was started, as the kernel counts.
    """

    place: str
    pid: int
    began: str

    @classmethod
    def this(cls) -> Owner:
        """This process."""
        pid = os.getpid()
        return cls(_place(), pid, _began(pid) or "")

    def is_gone(self) -> bool:
        """Whether it is certain that the process has ended; False for one of another machine."""
        here = bool(self.place) and self.place == _place()
        return here and _began(self.pid) != self.began


@dataclasses.dataclass(frozen=True)
class OwnerMark:
    """What a description says.

    :ivar vm: what it belongs to: the instance UUID of a VM, the ID of a first class disk, or
        another name that no other thing has.
    :ivar run: random, one for each task.
    :ivar seconds: after which the run has ended in any case.
    """

    vm: str
    run: str
    owner: Owner
    seconds: int

    def description(self, kind: Kind) -> str:
        """The text for the snapshot."""
        return f"{kind.words}\n{kind.mark}{self.as_text()}"

    def as_text(self) -> str:
        """The mark alone, on one line."""
        data = {"vm": self.vm, "run": self.run, "seconds": self.seconds}
        return json.dumps(data | dataclasses.asdict(self.owner))

    @classmethod
    def of(cls, kind: Kind, snapshot: Snapshot, vm: str) -> OwnerMark | None:
        """The owner mark of a snapshot of this VM, or None where it is none of ours."""
        return cls.read(kind, snapshot.description, vm) if snapshot.name == kind.name else None

    @classmethod
    def read(cls, kind: Kind, description: str, vm: str) -> OwnerMark | None:
        """The owner mark in a description, or None where it has none of this VM or first class
        disk.
        """
        _words, found, text = description.rpartition(f"\n{kind.mark}")
        return cls.from_text(text, vm) if found else None

    @classmethod
    def from_text(cls, text: str, vm: str) -> OwnerMark | None:
        """The mark of such a line, or None where it is none of this VM or first class disk."""
        try:
            data = parsed(text.encode())
            owner = Owner(str(data["place"]), int(data["pid"]), str(data["began"]))
            mark = cls(str(data["vm"]), str(data["run"]), owner, int(data["seconds"]))
        except (ValueError, KeyError, TypeError):
            return None
        return mark if mark.vm == vm else None

    def is_over(self, created: datetime.datetime | None, now: datetime.datetime) -> bool:
        """Whether the run that made the snapshot is certain to have ended.

        :param created: by vCenter's clock, as ``now``.
        """
        if self.owner.is_gone():
            return True
        return created is not None and (now - created).total_seconds() > self.seconds


def _place() -> str:
    """Where process IDs are comparable: one boot, one user, one space of process IDs."""
    try:
        boot = pathlib.Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")
        space = os.stat("/proc/self/ns/pid").st_ino
    except OSError:
        return ""
    return hashlib.sha256(f"{boot}{space}/{os.geteuid()}".encode()).hexdigest()[:16]


def _began(pid: int) -> str | None:
    """When a process was started; None where there is none.

    proc(5): it is field 22, and the second one may hold anything. The third is the state: one that
    has ended and that nobody has waited for stays as a zombie, for ever in a container without an
    init.
    """
    path = pathlib.Path(f"/proc/{pid}/stat")
    try:
        fields = path.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        return None if fields[0] in ("Z", "X") else fields[19]
    except (OSError, IndexError):
        return None


# What became of the snapshot of one VM: one of these


@dataclasses.dataclass(frozen=True)
class NotMade:
    """There is none."""


@dataclasses.dataclass(frozen=True)
class MaybeMade:
    """Nobody knows whether there is one.

    :ivar task: moid of the task that was still making it; None where that is not known either.
    """

    task: str | None = None


@dataclasses.dataclass(frozen=True)
class Made:
    """There is one."""

    moid: str


@dataclasses.dataclass(frozen=True)
class Removed:
    """There was one."""

    moid: str


OwnSnapshot: t.TypeAlias = NotMade | MaybeMade | Made | Removed


# Make, use, remove


def with_snapshots(
    job: SnapshotTask[I],
    items: t.Sequence[I],
    use: t.Callable[[list[I]], None],
    *,
    memory: bool = False,
    crash_consistent: str = "",
    making: t.Callable[[t.Sequence[I]], contextlib.AbstractContextManager[None]] = lambda _wave: contextlib.nullcontext(),
    ended: threading.Event | None = None,
) -> None:
    """Make a snapshot of each VM, quiesced where its item asks for that, use it, remove it.

    :param use: is called with VMs that have one now, at most ``parallel`` at a time.
    :param crash_consistent: what is made of the snapshot, such as ``backup``, where a guest that
        cannot be quiesced gets one that is not. Empty where that is an error.
    :param making: lasts while the snapshots are made; of an item that
        fails in its beginning none is.
    :param ended: for a thread of its own: once it is set, the main thread removes what there is, by
        ``remove_left``.
    :raises Reason: why the task ended early; no snapshot is left then, either.
    """
    for wave in waves(items, job.task.parallel):
        try:
            with making(wave):
                due = [item for item in wave if item.error is None]
                _make(job, due, memory=memory, crash_consistent=crash_consistent)
            _look_whether_quiesced(job, due, crash_consistent)
            use([item for item in wave if isinstance(item.own, Made) and item.error is None])
        finally:
            if ended is None or not ended.is_set():
                undisturbed(job, lambda wave=wave: _remove(job, wave, ended))  # type: ignore[misc]
        if job.task.stopped is not None:
            raise job.task.stopped


def remove_left(job: SnapshotTask[I], items: t.Sequence[I]) -> None:
    """Remove the snapshots of VMs whose threads have ended before they did it."""
    left = [item for item in items if isinstance(item.own, (Made, MaybeMade))]
    if left:
        undisturbed(job, lambda: _remove(job, left))


def waves(items: t.Sequence[I], size: int) -> t.Iterator[list[I]]:
    """Some of the VMs after the other."""
    for first in range(0, len(items), size):
        yield list(items[first : first + size])


def undisturbed(job: SnapshotTask[I], do: t.Callable[[], None]) -> None:
    """Do what has to be done in every ending.

    A signal that comes meanwhile is noted, and it is done again. The first signal of a run is the
    only one that can come here: a second one ends the process at once.
    """
    try:
        do()
    except Interrupted as error:
        job.task.stopped = job.task.stopped or error
        do()


def _make(job: SnapshotTask[I], wave: t.Sequence[I], *, memory: bool, crash_consistent: str) -> None:
    owner = Owner.this()
    seconds = job.timeout + REMOVAL_SECONDS
    refused: list[I] = []

    def start(item: I) -> t.Any:
        mark = OwnerMark(item.vm.instance_uuid, job.run, owner, seconds)
        return snapshots.start_create(
            job.session,
            item.vm.moid,
            job.kind.name,
            mark.description(job.kind),
            memory=memory,
            quiesce=item.quiesced,
        )

    def note(item: I, outcome: Outcome) -> None:
        error = outcome.error
        cannot = item.quiesced and isinstance(error, Fault) and error.fault in _QUIESCE_FAULTS
        if cannot and crash_consistent:
            item.quiesced = False
            item.warnings.append(
                f"The file systems of {item.title} could not be quiesced ({t.cast('Fault', error).message}), "
                f"so its {crash_consistent} is crash-consistent."
            )
            refused.append(item)
        else:
            _note_made(item, outcome)

    with job.task.phase("snapshot"):
        for item in wave:
            # What is begun and then never heard of again is looked for.
            item.own = MaybeMade()
        job.task.call(wave, start, "snapshots made", note, results=lambda _item: True)
        job.task.call(refused, start, "snapshots made", _note_made, results=lambda _item: True)
        _find_unreturned(job, [item for item in wave if item.error is None and isinstance(item.own, MaybeMade)])


def _find_unreturned(job: SnapshotTask[I], items: t.Sequence[I]) -> None:
    """Find the snapshots that were made, and that vCenter did not return: by their marks, in one call."""
    _look_for_lost(job, items)
    for item in items:
        if not isinstance(item.own, Made):
            item.fail(TaskGone(f"vCenter does not return the snapshot of {item.title}.", hint="Run again."))


def _look_whether_quiesced(job: SnapshotTask[I], wave: t.Sequence[I], crash_consistent: str) -> None:
    """Look whether snapshots that were to be quiesced are: one call.

    vSphere makes one all the same where VMware Tools stop meanwhile, and says so in the tree alone.
    """
    made = {item.own.moid: item for item in wave if item.quiesced and isinstance(item.own, Made)}
    if not made:
        return
    quiesced = snapshots.read_quiesced(job.session, [item.vm.moid for item in made.values()])
    for moid in made.keys() - quiesced:
        item = made[moid]
        item.quiesced = False
        why = f"vCenter has made the snapshot of {item.title} without quiescing its file systems"
        if crash_consistent:
            item.warnings.append(f"{why}, so its {crash_consistent} is crash-consistent.")
        else:
            item.fail(NotQuiesced(f"{why}.", hint="Look whether VMware Tools run in its guest, or do not ask for it."))


def _note_made(item: I, outcome: Outcome) -> None:
    error = outcome.error
    if error is None:
        item.own = Made(outcome.result._GetMoId()) if outcome.result is not None else item.own
        return
    if isinstance(error, StillRunning):
        item.own = MaybeMade(error.details.get("task"))
    elif not isinstance(error, UNSURE) and outcome.task is None:
        # A call that was refused. A task that ended in error may have made it all the same.
        item.own = NotMade()
    item.fail(error)


def _remove(job: SnapshotTask[I], wave: t.Sequence[I], ended: threading.Event | None = None) -> None:
    with job.task.phase("removal"):
        lost = ""
        try:
            _look_for_lost(job, wave)
        except VforgeError as error:
            lost = f"It is not known whether snapshots were left: {error} The next run looks for them, and removes them."
        made = [(item, item.own.moid) for item in wave if isinstance(item.own, Made)]
        removals = [Removal(snapshot=moid, vm=item) for item, moid in made if not item.in_use]
        remove_all(job, removals, "snapshots removed")
        if ended is not None and ended.is_set():
            return  # it is done again, and only then is it known what is left
        if lost:
            job.session.warn(lost)
        for item, moid in made:
            if item.in_use:
                item.warnings.append(
                    f"The snapshot {job.kind.name} ({moid}) of {item.title} stays: {item.in_use} The next run removes it."
                )
                item.fail(
                    StillInUse(f"The snapshot {moid} of {item.title} could not be removed: {item.in_use}", hint="Run again.")
                )
        for removal in removals:
            if removal.error is not None:
                removal.vm.warnings.append(
                    f"The snapshot {job.kind.name} ({removal.snapshot}) of {removal.vm.title} "
                    f"could not be removed: {removal.error} The next run removes it."
                )
                removal.vm.fail(removal.error)


def _look_for_lost(job: SnapshotTask[I], wave: t.Sequence[I]) -> None:
    """Find the snapshots of this run of which no call has returned."""
    unsure = [item for item in wave if isinstance(item.own, MaybeMade)]
    if not unsure:
        return
    making = [item.own.task for item in unsure if isinstance(item.own, MaybeMade)]
    late = [job.session.reference(vim.Task, moid) for moid in making if moid]
    until = time.monotonic() + _LATE_SECONDS
    running = tasks.wait_for_tasks(job.session, late, until, lambda _moid, _end: None)
    trees = snapshots.read_snapshots(job.session, [item.vm.moid for item in unsure])
    for item in unsure:
        item.own = NotMade()
        for snapshot in trees.get(item.vm.moid, ()):
            mark = OwnerMark.of(job.kind, snapshot, item.vm.instance_uuid)
            if mark is not None and mark.run == job.run:
                item.own = Made(snapshot.moid)
    for item, moid in zip(unsure, making, strict=True):
        if moid in running and isinstance(item.own, NotMade):
            item.own = MaybeMade(moid)
            item.warnings.append(
                f"vCenter is still making the snapshot {job.kind.name} of {item.title} (task {moid}). "
                "Once it is there, the next run removes it."
            )


@dataclasses.dataclass(kw_only=True)
class Removal(Item):
    """The removal of one snapshot.

    :ivar snapshot: its moid.
    :ivar vm: whose it is.
    :ivar leftover: whether a run that was killed has left it.
    """

    snapshot: str
    vm: SnapshotItem
    leftover: bool = False
    steps: tuple[str, ...] = (_REMOVE,)

    @property
    def title(self) -> str:
        """What messages call it."""
        return f"The snapshot {self.snapshot} of {self.vm.title}"


def remove_all(job: SnapshotTask[I], removals: t.Sequence[Removal], doing: str) -> None:
    """Remove snapshots; a removal that fails is tried again. Each has the last error, if any.

    :raises Interrupted: a signal came; what was not removed by then has its error.
    """
    deadline = time.monotonic() + REMOVAL_SECONDS
    pause = tasks.Backoff(deadline, first=0.2)
    due = list(removals)
    for number in range(_ROUNDS):
        if not due or (number and not pause.begin()):
            return
        _remove_once(job, due, doing, deadline)
        due = [removal for removal in due if removal.left]


def _remove_once(job: SnapshotTask[I], due: t.Sequence[Removal], doing: str, deadline: float) -> None:
    def note(removal: Removal, outcome: Outcome) -> None:
        gone = isinstance(outcome.error, Fault) and outcome.error.fault in _GONE
        removal.error = None if gone else outcome.error
        if removal.error is not None:
            return
        removal.done.append(_REMOVE)
        if removal.leftover:
            removal.vm.parts.append(Part(REMOVE_LEFTOVERS, LEFTOVER_REMOVED))
        if removal.vm.own == Made(removal.snapshot):
            removal.vm.own = Removed(removal.snapshot)

    def start(removal: Removal) -> t.Any:
        return snapshots.start_remove(job.session, removal.snapshot)

    try:
        job.task.call(due, start, doing, note, repeatable=True, deadline=deadline)
    except VforgeError as error:
        # Every removal that was not made has its own error by now, and is tried again.
        job.session.show_progress(str(error))


_GONE = ("ManagedObjectNotFound", "NotFound")


# Left-overs of runs that were killed


def find_leftovers(job: SnapshotTask[I]) -> None:
    """Find those of each VM. They are no snapshots of the user's, so the VM goes on without them.

    One whose run may still be at work is left alone, with a warning.
    """
    marked = []
    for item in job.vms:
        for snapshot in item.vm.snapshots:
            mark = OwnerMark.of(job.kind, snapshot, item.vm.instance_uuid)
            if mark:
                marked.append((item, snapshot, mark))
    if not marked:
        return
    now = job.session.current_time()
    for item, snapshot, mark in marked:
        if mark.is_over(snapshot.created, now):
            item.leftovers.append(snapshot)
        else:
            item.warnings.append(
                f"{item.title} has the snapshot {snapshot.name} ({snapshot.moid}) of a run that "
                "may still be at work. It is left alone."
            )
    for item in job.vms:
        left = tuple(each for each in item.vm.snapshots if each not in item.leftovers)
        item.vm = dataclasses.replace(item.vm, snapshots=left)


def remove_leftovers(job: SnapshotTask[I], items: t.Sequence[I] | None = None) -> None:
    """Remove what was found, also of a VM that nothing else can be done with.

    :param items: some VMs of the task; None for all.
    """
    vms = job.vms if items is None else items
    removals = [Removal(snapshot=snapshot.moid, vm=item, leftover=True) for item in vms for snapshot in item.leftovers]
    if job.task.check:
        _note_leftovers(vms, [])
        return
    try:
        remove_all(job, removals, "left-over snapshots removed")
    finally:
        _note_leftovers(vms, [removal for removal in removals if removal.left])


def _note_leftovers(vms: t.Sequence[SnapshotItem], there: t.Sequence[Removal]) -> None:
    """Note of each VM that its left-overs are gone, or why one is still there."""
    for removal in there:
        if removal.error is not None:
            removal.vm.fail(removal.error)
    still = {removal.vm.vm.moid for removal in there}
    for item in vms:
        if item.leftovers and item.vm.moid not in still:
            item.done.append(REMOVE_LEFTOVERS)
