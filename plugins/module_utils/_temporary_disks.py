# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Disks of other VMs, and new ones for them, that are attached, for a moment, to the VM that the
module runs in: each is detached in every ending.

Disks that are read are attached as independent nonpersistent ones: nothing is ever written to their
files. New ones, which are written, are made by the call that attaches them, as independent
persistent ones. With the same call the proxy gets an owner mark in its extraConfig, which names the
disk, the run, the process, and whether it is written. A run that was killed leaves the disk
attached; the next one that finds such a mark, whose run is certain to be over, detaches it. That
comes before any snapshot is removed: while the disk is attached, its snapshot cannot be
consolidated. What becomes of the file of a new disk is for who has it made.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import json
import threading
import time
import typing as t

from . import _signals
from ._connector import tasks
from ._errors import Fault, StillRunning, VforgeError
from ._files import parsed
from ._temporary_snapshots import REMOVAL_SECONDS, Owner
from ._vsphere import proxy as proxies

if t.TYPE_CHECKING:
    from ._connector.session import Session
    from ._vsphere.disks import Disk
    from ._vsphere.proxy import Attached, Known

# Of the pairs in the proxy's extraConfig; the place of the disk follows.
MARK = "vforge.attached."

# For a place of a controller to be free again.
_TURN_SECONDS = 1.0

_TRIES = 3

# Makes the change that attaches a disk at a place.
_Change: t.TypeAlias = t.Callable[[tuple[int, int]], t.Any]

# What vCenter answers where a place of a controller is not free (API reference, ReconfigVM_Task).
_PLACE_TAKEN = "InvalidDeviceSpec"


class NotAttached(VforgeError):
    """A disk was not attached as it was asked for."""

    error_code = "not_attached"


@dataclasses.dataclass(frozen=True)
class Mark:
    """What the pair of a place says of the disk there.

    :ivar vm: instance UUID of the VM whose disk it is.
    :ivar until: when its run has ended in any case, by vCenter's clock.
    :ivar uuid: of the disk's backing; empty where it has none, or it was not known before it was made.
    :ivar written: whether it is a new disk that is written; else one that is read.
    """

    file: str
    vm: str
    run: str
    owner: Owner
    until: datetime.datetime
    uuid: str = ""
    written: bool = False

    @property
    def mode(self) -> str:
        """In which its disk is attached."""
        return proxies.PERSISTENT if self.written else proxies.NONPERSISTENT

    def text(self) -> str:
        """The value of the pair."""
        data = {"file": self.file, "uuid": self.uuid, "vm": self.vm, "run": self.run, "written": self.written}
        return json.dumps(data | {"until": self.until.isoformat(timespec="seconds")} | dataclasses.asdict(self.owner))

    @classmethod
    def read(cls, text: str) -> Mark | None:
        """What a value says, or None where it is none of ours."""
        try:
            data = parsed(text.encode())
            owner = Owner(str(data["place"]), int(data["pid"]), str(data["began"]))
            until = datetime.datetime.fromisoformat(str(data["until"]))
            names = str(data["file"]), str(data["vm"]), str(data["run"])
            known = cls(*names, owner, until, str(data.get("uuid") or ""), data.get("written") is True)
            return known if until.tzinfo else None
        except (ValueError, KeyError, TypeError):
            return None

    def is_over(self, now: datetime.datetime) -> bool:
        """Whether its run is certain to have ended."""
        return self.owner.is_gone() or now > self.until

    def fits(self, disk: Attached) -> bool:
        """Whether it is about a disk.

        The topmost file alone does not say so: a running VM has a redo log over it, and vCenter may
        write its path in another way. Nowhere is it promised that it does not.
        """
        return self.file in disk.files or bool(disk.uuid and disk.uuid == self.uuid)


def _key(slot: tuple[int, int]) -> str:
    return f"{MARK}{slot[0]}-{slot[1]}"


def _marks(known: Known) -> dict[str, Mark]:
    """The marks that a proxy has, by their keys."""
    read = {key: Mark.read(value) for key, value in known.config.items() if key.startswith(MARK)}
    return {key: mark for key, mark in read.items() if mark is not None}


@dataclasses.dataclass(frozen=True)
class Marked:
    """What marks are about.

    :ivar disks: by the keys of their marks, as far as they are attached.
    :ivar unclear: keys of marks at whose places is a disk, attached as theirs was, of which nobody can
        tell whether it is theirs. Such a mark stays: without it no run would look at that disk again.
    """

    disks: dict[str, Attached]
    unclear: frozenset[str]

    @classmethod
    def among(cls, known: Known, marks: t.Mapping[str, Mark]) -> Marked:
        """Look for what marks are about."""
        places = {_key(disk.slot): disk for disk in known.disks}
        there = {key: places[key] for key, mark in marks.items() if key in places and places[key].mode == mark.mode}
        disks = {key: disk for key, disk in there.items() if marks[key].fits(disk)}
        return cls(disks, frozenset(there.keys() - disks.keys()))


def _unclear(path: str, marks: t.Iterable[Mark]) -> str:
    files = ", ".join(sorted(mark.file for mark in marks))
    return f"{path} has an independent disk where this was attached, and nobody can tell whether it is that: {files}"


@dataclasses.dataclass(frozen=True)
class Leftovers:
    """What runs that are over have left attached to a proxy.

    :ivar disks: that are to be detached; ``keys`` the marks that go with them.
    :ivar files: of the disks, as they were attached, in their order.
    """

    disks: tuple[Attached, ...]
    keys: tuple[str, ...]
    files: list[str]


def leftovers(session: Session, known: Known, certain: t.Collection[str] = ()) -> Leftovers:
    """Find what runs that are over have left: one call, and none where there is no mark.

    :param certain: files of disks whose runs the caller knows to be over.
    """
    marks = _marks(known)
    if not marks:
        return Leftovers((), (), [])
    now = session.current_time()
    over = {key: mark for key, mark in marks.items() if mark.file in certain or mark.is_over(now)}
    found = Marked.among(known, over)
    if found.unclear:
        session.warn(f"{_unclear(known.proxy.path, [over[key] for key in found.unclear])}. If it is, detach it.")
    keys = tuple(key for key in over if key not in found.unclear)
    return Leftovers(tuple(found.disks.values()), keys, sorted(over[key].file for key in found.disks))


def detach_leftovers(session: Session, known: Known, found: Leftovers) -> Known:
    """Detach them, all by one call.

    :returns: the proxy as it is then.
    :raises VforgeError: they could not be.
    """
    if not found.keys:
        return known
    devices, config = [disk.device for disk in found.disks], dict.fromkeys(found.keys, "")
    _carry_out(
        session,
        lambda: proxies.start_change(session, known.proxy.moid, remove=devices, config=config),
        time.monotonic() + REMOVAL_SECONDS,
    )
    return proxies.read(session, known.proxy.moid)


@dataclasses.dataclass(frozen=True)
class Fresh:
    """A disk that is to be made.

    :ivar file: its path, where none is yet.
    :ivar provisioning: ``thin``, ``thick`` or ``eager_zeroed_thick``.
    :ivar policies: IDs of its storage policies; empty for the default of its datastore.
    """

    file: str
    capacity: int
    provisioning: str
    policies: tuple[str, ...] = ()


class Attachments:
    """Attaches disks to a proxy, each for as long as it is read or written; for any number of threads.

    :param known: the proxy, as it was when the task began.
    :param run: random; names the run in the owner marks.
    :param seconds: after which the run has ended in any case.
    :param go_on: is called while something is waited for; raises why that is to end.
    """

    def __init__(self, session: Session, known: Known, run: str, seconds: float, go_on: t.Callable[[], None]) -> None:
        self._session = session
        self._moid = known.proxy.moid
        self._path = known.proxy.path
        self._run = run
        self._go_on = go_on
        until = session.current_time() + datetime.timedelta(seconds=seconds + REMOVAL_SECONDS)
        self._until = until.replace(microsecond=0)
        self._owner = Owner.this()
        self._free = list(known.proxy.slots)
        # Places that a thread has, or that have a disk: from when they are taken until it is
        # forgotten.
        self._held: set[tuple[int, int]] = set()
        self._uuids: set[str] = set()
        self._changed = threading.Condition()
        # vCenter changes a VM by one task at a time.
        self._turn = threading.Lock()
        self._ours: dict[tuple[int, int], Mark] = {}
        # Whether a change was begun whose end was not seen: what it does may come later.
        self._unsure = False

    @contextlib.contextmanager
    def attached(
        self, disk: Disk, vm: str, what: str, deadline: float, before: t.Callable[[Disk], None]
    ) -> t.Iterator[Attached]:
        """Have a disk of a snapshot on this machine, as long as the context lasts.

        :param disk: as the snapshot has it.
        :param vm: instance UUID of its VM.
        :param what: it is, for messages.
        :param before: is called when no other disk of this UUID is attached by this run;
            raises why this one must not be.
        :raises NotAttached: it is not there after all.
        :raises Fault: vCenter refuses.
        """
        with self._alone(disk.uuid):
            before(disk)
            mark = self._mark(disk.file, vm, disk.uuid)
            with self._attached(
                mark, lambda slot: proxies.borrowed(disk.file, disk.capacity, slot, disk.backing), what, deadline
            ) as found:
                yield found

    @contextlib.contextmanager
    def made(self, new: Fresh, vm: str, what: str, deadline: float) -> t.Iterator[Attached]:
        """Make a disk, and have it on this machine, as long as the context lasts. Its file stays.

        :param vm: instance UUID of the VM that it is for.
        :param what: it is, for messages.
        :raises NotAttached: it is not there after all.
        :raises Fault: vCenter refuses; there is no file then, or it is detached by ``end``.
        """
        mark = self._mark(new.file, vm, written=True)
        with self._attached(
            mark,
            lambda slot: proxies.created(new.file, new.capacity, slot, new.provisioning, new.policies),
            what,
            deadline,
        ) as found:
            yield found

    def _mark(self, file: str, vm: str, uuid: str = "", *, written: bool = False) -> Mark:
        return Mark(file, vm, self._run, self._owner, self._until, uuid, written)

    @contextlib.contextmanager
    def _attached(self, mark: Mark, change: _Change, what: str, deadline: float) -> t.Iterator[Attached]:
        found = self._attach_somewhere(mark, change, what, deadline)
        try:
            yield found
        finally:
            # What cannot be detached here, ``end`` detaches, which also comes after a signal.
            with contextlib.suppress(VforgeError):
                self._go_on()
                self._detach_known(found)

    @contextlib.contextmanager
    def _alone(self, uuid: str) -> t.Iterator[None]:
        """Have no other disk of a UUID attached meanwhile: VMs that share a disk, or were cloned,
        may have the same.
        """
        with self._changed:
            while uuid in self._uuids:
                self._go_on()
                self._changed.wait(_TURN_SECONDS)
            self._uuids.add(uuid)
        try:
            yield
        finally:
            with self._changed:
                self._uuids.discard(uuid)
                self._changed.notify_all()

    def end(self, vm: str = "") -> dict[str, str]:
        """Detach what is still attached.

        :param vm: instance UUID of the VM whose disks are meant; all where it is empty.
        :returns: why a disk could not be detached, by the instance UUID
            of its VM; the next run does it.
        """
        why = ""
        pause = tasks.Backoff(time.monotonic() + REMOVAL_SECONDS, first=0.2)
        for number in range(_TRIES):
            left = self._left(vm)
            if not left or (number and not pause.begin()):
                break
            try:
                self._detach(list(left))
            except VforgeError as error:
                why = str(error)
        return {mark.vm: f"{mark.file} could not be detached from {self._path}: {why}" for mark in self._left(vm).values()}

    def _left(self, vm: str) -> dict[tuple[int, int], Mark]:
        with self._changed:
            return {slot: mark for slot, mark in self._ours.items() if vm in ("", mark.vm)}

    def _take_slot(self) -> tuple[int, int]:
        with self._changed:
            while not self._free:
                self._go_on()
                self._changed.wait(_TURN_SECONDS)
            slot = self._free.pop(0)
            self._held.add(slot)
            return slot

    def _attach_somewhere(self, mark: Mark, change: _Change, what: str, deadline: float) -> Attached:
        """Attach a disk where a place is free; at another one, where another run was quicker."""
        tries = 0
        while True:
            slot = self._take_slot()
            try:
                return self._attach(mark, change(slot), slot, what, deadline)
            except Fault as fault:
                tries += 1
                if fault.fault != _PLACE_TAKEN or tries == _TRIES:
                    raise
                self._look_for_places()

    def _look_for_places(self) -> None:
        """Find out which places are free now; nothing is attached or detached meanwhile."""
        with self._turn:
            slots = proxies.read(self._session, self._moid).proxy.slots
            with self._changed:
                self._free = [slot for slot in slots if slot not in self._held]
                self._changed.notify_all()

    def _attach(self, mark: Mark, change: t.Any, slot: tuple[int, int], what: str, deadline: float) -> Attached:
        config = {_key(slot): mark.text()}
        with self._turn:
            # From here on it may be attached, whatever comes.
            self._ours[slot] = mark
            try:
                self._change(deadline, add=[change], config=config)
            except Fault as fault:
                # Refused as a whole: there is no disk and no mark. Of one that was to be made
                # ``end`` makes sure of it, since its file would go next.
                if not mark.written or fault.fault == _PLACE_TAKEN:
                    self._forget([slot])
                raise
            known = proxies.read(self._session, self._moid)
            made = next((disk for disk in known.disks if disk.slot == slot and disk.mode == mark.mode), None)
            if mark.written and made is not None and not mark.fits(made):
                # It was made by this call, so it is this one, whatever vCenter calls its file. From here on its UUID says so.
                mark = dataclasses.replace(mark, uuid=made.uuid)
                self._change(deadline, config={_key(slot): mark.text()})
                self._ours[slot] = mark
                known = proxies.read(self._session, self._moid)
        found = Marked.among(known, {_key(slot): mark}).disks.get(_key(slot))
        if found is None or _marks(known).get(_key(slot)) != mark:
            raise NotAttached(f"{what} was attached to {self._path}, which does not have it.", hint="Run again.")
        return found

    def _detach_known(self, disk: Attached) -> None:
        """Detach what is certain to be there: one call."""
        with self._turn:
            self._change(time.monotonic() + REMOVAL_SECONDS, remove=[disk.device], config={_key(disk.slot): ""})
            self._forget([disk.slot])

    def _change(
        self,
        deadline: float,
        *,
        add: t.Sequence[t.Any] = (),
        remove: t.Sequence[t.Any] = (),
        config: t.Mapping[str, str],
    ) -> None:
        def start() -> t.Any:
            return proxies.start_change(self._session, self._moid, add=add, remove=remove, config=config)

        try:
            _carry_out(self._session, start, deadline)
        except Fault:
            raise
        except BaseException:
            self._unsure = True
            raise

    def _detach(self, slots: t.Sequence[tuple[int, int]]) -> None:
        """Detach what is at these places: a call to look, and one to detach.

        Where the end of a change was not seen, it is waited for first: until then what it attaches
        is not there.

        :raises NotAttached: nobody can tell whether what is at a place is ours.
        """
        with self._turn:
            mine = {slot: self._ours[slot] for slot in slots if slot in self._ours}
            if not mine:
                return
            if self._unsure:
                _wait_for_all(self._session, self._moid, time.monotonic() + REMOVAL_SECONDS)
                self._unsure = False
            known = proxies.read(self._session, self._moid)
            there = _marks(known)
            # A place that another run has taken meanwhile is left to it.
            keys = {_key(slot): mark for slot, mark in mine.items() if there.get(_key(slot)) == mark}
            found = Marked.among(known, keys)
            gone, devices = keys.keys() - found.unclear, [disk.device for disk in found.disks.values()]
            if gone:
                self._change(time.monotonic() + REMOVAL_SECONDS, remove=devices, config=dict.fromkeys(gone, ""))
            self._forget([slot for slot in mine if _key(slot) not in found.unclear])
            if found.unclear:
                raise NotAttached(_unclear(self._path, [keys[key] for key in found.unclear]))

    def _forget(self, slots: t.Sequence[tuple[int, int]]) -> None:
        with self._changed:
            for slot in slots:
                del self._ours[slot]
                self._held.discard(slot)
                self._free.append(slot)
            self._changed.notify_all()


def _carry_out(session: Session, start: t.Callable[[], t.Any], deadline: float) -> None:
    """Make a call that changes the proxy, and wait for its task; again, where another task is under
    way.

    :raises Fault: it was refused.
    :raises StillRunning: it has not ended in time.
    """
    pause = tasks.Backoff(deadline, first=0.25)
    while True:
        try:
            # A signal waits for the answer: until then nobody could tell whether there will be such a task.
            with _signals.held_back(session.stub.connections.break_off):
                task = session.retrying(start)
            _wait(session, task, deadline)
            return
        except Fault as fault:
            if fault.fault != "TaskInProgress" or not pause.begin():
                raise


def _wait(session: Session, task: t.Any, deadline: float) -> None:
    ends: list[tasks.TaskEnd] = []
    if tasks.wait_for_tasks(session, [task], deadline, lambda _moid, end: ends.append(end)):
        raise _still_running(f"The task {task._GetMoId()}")
    if ends[0].error is not None:
        raise ends[0].error


def _wait_for_all(session: Session, proxy: str, deadline: float) -> None:
    """Wait until all that the proxy is changed by has ended, also what was begun by a call without
    an answer.

    :raises StillRunning: it has not ended in time.
    """
    under_way = proxies.recent_tasks(session, proxy)
    if tasks.wait_for_tasks(session, under_way, deadline, lambda _moid, _end: None):
        raise _still_running("A task")


def _still_running(what: str) -> StillRunning:
    return StillRunning(f"{what}, which changes the VM that the module runs in, was still under way.", hint="Run again.")
