# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The state file: from where each disk is asked next, and what was found run by run.

Two steps. A question writes down where it came to as *pending*; from where the next one asks is
moved on only when the question is *committed*, which who has used the answer does. Until then the
next question asks from the same point again, so that an answer that was lost on its way is returned
again.

JSON, keyed by the VM's instance UUID and the disk's identity. It is written whole or not at all,
under a lock, and what other tasks have written meanwhile stays.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import typing as t

from .. import _files
from .._errors import InvalidOption, VforgeError
from .._vsphere.changeid import ChangeId, Kept, written_delta
from .._vsphere.disks import Disk
from .model import Vm

_WHAT = "state file"

# Of what is read. The first one had no pending questions: each was taken for used.
_FORMAT = 2
_FORMATS = (1, _FORMAT)

# Bytes of a state file: some ten thousand disks. Of more, fewer runs are kept.
_MOST_BYTES = 64 << 20

# Runs that are kept of each disk, for the report.
MOST_RUNS = 30

# Questions of a disk that may be committed at the same time, and questions that are known at all.
MOST_PENDING = 8
MOST_QUESTIONS = 200

_MOST_NUMBER = 1 << 63


class StateDamaged(VforgeError):
    """The state file cannot be understood."""

    error_code = "state_file_damaged"


class QuestionUnknown(VforgeError):
    """The state file knows no question of this ID."""

    error_code = "question_unknown"


@dataclasses.dataclass(frozen=True)
class Run:
    """What one question found of one disk.

    :ivar at: when, in UTC, as ``2026-05-01T02:00:00.000+00:00``.
    :ivar changed_bytes: None where the whole disk has to be read, and
        ``full_required`` says the code of the reason.
    :ivar regions: changed bytes by region of the disk.
    """

    at: str
    change_id: str | None
    areas: int | None = None
    changed_bytes: int | None = None
    full_required: str | None = None
    regions: tuple[int, ...] = ()


@dataclasses.dataclass(frozen=True)
class Point:
    """From where a disk is asked: its changeId, its capacity in bytes, and its ``written_delta``, of that time."""

    change_id: str
    capacity: int
    delta: str = ""


@dataclasses.dataclass(frozen=True)
class Pending:
    """What a question that was not committed yet has found.

    :ivar question: its ID.
    :ivar point: from where the disk is asked when it is committed.
    """

    question: str
    point: Point
    run: Run


@dataclasses.dataclass(frozen=True)
class Record:
    """What is kept of one disk.

    :ivar confirmed: from where it is asked; None where no question was ever committed.
    :ivar pending: the questions that were not, the oldest first.
    :ivar runs: those that were, the oldest first.
    """

    vm_uuid: str
    identity: str
    vm_name: str
    vm_path: str
    vm_moid: str
    label: str
    key: int
    confirmed: Point | None = None
    pending: tuple[Pending, ...] = ()
    runs: tuple[Run, ...] = ()

    def committed(self, question: str) -> Record:
        """The record after a question was committed; the same one where there is nothing to move
        on.

        A question that was asked later asked from no later point, and may still be committed. One
        that was asked earlier would only lead back.
        """
        for place, pending in enumerate(self.pending):
            if pending.question == question:
                runs = (*self.runs, pending.run)[-MOST_RUNS:]
                left = self.pending[place + 1 :]
                return dataclasses.replace(self, confirmed=pending.point, pending=left, runs=runs)
        return self


@dataclasses.dataclass(frozen=True)
class Known:
    """A question.

    :ivar at: when it was asked, in UTC.
    """

    at: str


@dataclasses.dataclass(frozen=True)
class Move:
    """What committing a question does to one disk."""

    before: Record
    after: Record


class State:
    """What a state file has.

    :param records: by instance UUID and identity.
    :param questions: by ID, the oldest first.
    """

    def __init__(
        self,
        records: t.Mapping[tuple[str, str], Record] | None = None,
        questions: t.Mapping[str, Known] | None = None,
    ) -> None:
        self.records = dict(records or {})
        self.questions = dict(questions or {})

    def kept(self, vm: Vm, disk: Disk) -> Kept | None:
        """What to compare a disk with. Where another disk was in its place, that one's: it is then
        seen as replaced.
        """
        record = self.records.get((vm.instance_uuid, disk.identity))
        if record is None or record.confirmed is None:
            record = self._in_place_of(vm, disk)
        if record is None or record.confirmed is None:
            return None
        point = record.confirmed
        return Kept(point.change_id, record.identity, point.capacity, point.delta)

    def runs(self, vm: Vm, disk: Disk) -> tuple[Run, ...]:
        """The earlier runs of a disk, the oldest first; the last question counts, committed or not."""
        record = self.records.get((vm.instance_uuid, disk.identity))
        if record is None:
            return ()
        return (*record.runs, *(pending.run for pending in record.pending[-1:]))

    def committed_runs(self, vm: Vm, disk: Disk) -> tuple[Run, ...]:
        """The earlier runs of a disk whose questions were committed, the oldest first."""
        record = self.records.get((vm.instance_uuid, disk.identity))
        return record.runs if record is not None else ()

    def uncommitted(self, vm: Vm, disk: Disk) -> dict[str, str]:
        """The questions about a disk that were never committed: when they were asked, by their ID."""
        record = self.records.get((vm.instance_uuid, disk.identity))
        return {pending.question: pending.run.at for pending in record.pending} if record else {}

    def _in_place_of(self, vm: Vm, disk: Disk) -> Record | None:
        there = self._by_place.get((vm.instance_uuid, disk.key), ())
        return next((record for record in there if record.confirmed), None)

    @functools.cached_property
    def _by_place(self) -> dict[tuple[str, int], list[Record]]:
        """The records of each place of a VM, by its instance UUID and the device key."""
        found: dict[tuple[str, int], list[Record]] = {}
        for record in self.records.values():
            found.setdefault((record.vm_uuid, record.key), []).append(record)
        return found

    def noted(self, vm: Vm, disk: Disk, run: Run, question: str) -> Record:
        """The record of a disk after a question; the state itself is not changed."""
        known = self.records.get((vm.instance_uuid, disk.identity))
        found = Pending(question, Point(run.change_id or "", disk.capacity, written_delta(disk)), run)
        pending = (*(known.pending if known else ()), found)[-MOST_PENDING:]
        return Record(
            vm_uuid=vm.instance_uuid,
            identity=disk.identity,
            vm_name=vm.name,
            vm_path=vm.path,
            vm_moid=vm.moid,
            label=disk.label,
            key=disk.key,
            confirmed=known.confirmed if known else None,
            pending=pending,
            runs=known.runs if known else (),
        )

    def asked(self, question: str, at: str, records: t.Iterable[Record]) -> State:
        """The state after a question.

        :param records: of the disks of which it knows, by ``noted``.
        """
        questions = [*self.questions.items(), (question, Known(at))]
        after = State(self.records, dict(questions[-MOST_QUESTIONS:]))
        after.records.update({(record.vm_uuid, record.identity): record for record in records})
        return after

    def moves(self, question: str, chosen: t.Callable[[Record], bool] = lambda _record: True, *, path: str = "") -> list[Move]:
        """What committing a question would do; nothing where it was committed before, or a later
        one was.

        :param chosen: which of its disks are meant.
        :param path: of the state file, for messages.
        :raises QuestionUnknown: when there was no such question.
        """
        if question not in self.questions:
            known = f"knows no question {question}" if self.questions else "knows no question at all, or is not there"
            raise QuestionUnknown(
                f"The state file {path} {known}.",
                hint="Give the question.id of the task that asked, and its state_file.",
            )
        pairs = [Move(record, record.committed(question)) for record in self.records.values() if chosen(record)]
        return [move for move in pairs if move.after is not move.before]

    def moved(self, moves: t.Sequence[Move]) -> State:
        """The state after these moves. A disk in the place of another one takes over its place in
        the file too.
        """
        after = State(self.records, self.questions)
        for record in (move.after for move in moves):
            after.records[record.vm_uuid, record.identity] = record
            others = (each.identity for each in self._by_place.get((record.vm_uuid, record.key), ()))
            for identity in (each for each in others if each != record.identity):
                known = after.records.get((record.vm_uuid, identity))
                if known is not None and not known.pending:
                    del after.records[record.vm_uuid, identity]
        return after


def check(path: str) -> None:
    """Find out, before anything is begun, whether a file can be written at the end.

    :raises InvalidOption: when it cannot.
    """
    _files.check(path, what=_WHAT)


def load(path: str, deadline: float | None = None) -> State:
    """The state of a file; an empty one where there is no file yet.

    :param deadline: of ``time.monotonic()``.
    :raises StateDamaged: when it is not what this module writes.
    :raises InvalidOption: when it cannot be read, or others may have changed it.
    :raises TimedOut: when the deadline passes.
    """
    try:
        data = _files.read(path, _MOST_BYTES, what=_WHAT, deadline=deadline)
    except _files.FileMissing:
        return State()
    try:
        return _state(_files.parsed(data))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _damaged(path) from error


@contextlib.contextmanager
def locked(path: str, deadline: float, show: t.Callable[[str], None]) -> t.Iterator[State]:
    """What a file has now; until the context is left, no other task writes it.

    :param deadline: of ``time.monotonic()``.
    :param show: called with one sentence when another task has to be waited for.
    :raises StateDamaged, InvalidOption, TimedOut: as ``load``.
    """
    with _files.locked(path, deadline, show, what=_WHAT):
        yield load(path, deadline)


def save(path: str, state: State) -> None:
    """Write a file, under the lock of ``locked``. Where it would be too large, the oldest runs of
    each disk go.

    :raises InvalidOption: when it cannot be written; it is then as it was.
    """
    most = MOST_RUNS
    while len(data := _text(state, most)) > _MOST_BYTES:
        if not most:
            raise InvalidOption(
                f"The state file {path} would have {len(data)} bytes, and {_MOST_BYTES} is the most.",
                hint="Use a file for each group of VMs.",
                option="state_file",
            )
        most //= 2
    _files.replace(path, data, what=_WHAT)


# --- The file.


def _text(state: State, most_runs: int) -> bytes:
    return json.dumps(_data(state, most_runs), separators=(",", ":")).encode() + b"\n"


def _data(state: State, most_runs: int) -> dict[str, t.Any]:
    vms: dict[str, t.Any] = {}
    for (uuid, identity), record in sorted(state.records.items()):
        vm = vms.setdefault(uuid, {"disks": {}})
        vm |= {"name": record.vm_name, "path": record.vm_path, "moid": record.vm_moid}
        runs = record.runs[len(record.runs) - most_runs :] if len(record.runs) > most_runs else record.runs
        vm["disks"][identity] = {
            "label": record.label,
            "key": record.key,
            "confirmed": dataclasses.asdict(record.confirmed) if record.confirmed else None,
            "pending": [dataclasses.asdict(pending) for pending in record.pending],
            "runs": [dataclasses.asdict(run) for run in runs],
        }
    questions = {question: dataclasses.asdict(known) for question, known in state.questions.items()}
    return {"format": _FORMAT, "questions": questions, "vms": vms}


def _state(data: t.Any) -> State:
    """A state; a KeyError, TypeError, ValueError or AttributeError for what none of ours is."""
    number = data["format"]
    if isinstance(number, bool) or number not in _FORMATS:
        raise ValueError
    questions = data["questions"] if number == _FORMAT else {}
    state = State(questions={_string(name): Known(_string(entry["at"])) for name, entry in questions.items()})
    for uuid, vm in data["vms"].items():
        for identity, entry in vm["disks"].items():
            record = _record(_string(uuid), _string(identity), vm, entry, number)
            state.records[record.vm_uuid, record.identity] = record
    return state


def _record(uuid: str, identity: str, vm: t.Any, entry: t.Any, number: int) -> Record:
    if number == _FORMAT:
        confirmed = _point(entry["confirmed"]) if entry["confirmed"] is not None else None
        pending = tuple(_pending(item) for item in _list(entry["pending"]))
    else:
        confirmed, pending = _point(entry), ()
    return Record(
        vm_uuid=uuid,
        identity=identity,
        vm_name=_string(vm["name"]),
        vm_path=_string(vm.get("path", "")),
        vm_moid=_string(vm.get("moid", "")),
        label=_string(entry["label"]),
        key=_whole(entry["key"], least=-_MOST_NUMBER),
        confirmed=confirmed,
        pending=pending,
        runs=tuple(_run(run) for run in _list(entry["runs"])),
    )


def _pending(entry: t.Any) -> Pending:
    return Pending(_string(entry["question"]), _point(entry["point"]), _run(entry["run"]))


def _point(entry: t.Any) -> Point:
    change_id = _string(entry["change_id"])
    if ChangeId.parse(change_id) is None:
        raise ValueError
    return Point(change_id, _whole(entry["capacity"]), _string(entry.get("delta", "")))


def _run(entry: t.Any) -> Run:
    full = entry.get("full_required")
    return Run(
        at=_string(entry["at"]),
        change_id=_string(entry["change_id"]) if entry["change_id"] is not None else None,
        areas=_count(entry.get("areas")),
        changed_bytes=_count(entry.get("changed_bytes")),
        full_required=_string(full) if full is not None else None,
        regions=tuple(_whole(count) for count in _list(entry["regions"])),
    )


def _count(value: t.Any) -> int | None:
    return _whole(value) if value is not None else None


def _whole(value: t.Any, least: int = 0) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value < _MOST_NUMBER:
        raise ValueError
    return value


def _string(value: t.Any) -> str:
    """A text that can be written anywhere: half a character cannot."""
    if not isinstance(value, str):
        raise TypeError
    value.encode()
    return value


def _list(value: t.Any) -> list[t.Any]:
    if not isinstance(value, list):
        raise TypeError
    return value


def _damaged(path: str) -> StateDamaged:
    return StateDamaged(
        f"The state file {path} is damaged, or of another kind.",
        hint="Restore it, or move it away: all disks then have to be read whole once.",
        path=path,
    )
