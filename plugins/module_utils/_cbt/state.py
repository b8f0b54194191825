# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The state file: what was asked last time, so that the next run asks "since then", and what was found run by run.

JSON, keyed by the VM's instance UUID and the disk's identity. It is written whole or not at all, under a lock, and what
other tasks have written meanwhile stays.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import os
import typing as t

from .._errors import InvalidOption, VforgeError
from . import files
from .changeid import ChangeId, Kept
from .facts import Disk, Vm

_FORMAT = 1

# Runs that are kept of each disk, for the report.
MOST_RUNS = 30


class StateDamaged(VforgeError):
    """The state file cannot be understood."""

    error_code = "state_file_damaged"


@dataclasses.dataclass(frozen=True)
class Run:
    """What one run found of one disk.

    :ivar at: when, in UTC, as ``2026-05-01T02:00:00.000+00:00``.
    :ivar changed_bytes: None where the whole disk has to be read, and ``full_required`` tells the code of the reason.
    :ivar regions: changed bytes by region of the disk.
    """

    at: str
    change_id: str | None
    areas: int | None = None
    changed_bytes: int | None = None
    full_required: str | None = None
    regions: tuple[int, ...] = ()


@dataclasses.dataclass(frozen=True)
class Record:
    """What is kept of one disk; ``change_id`` is that of the last run, ``runs`` begin with the oldest."""

    vm_uuid: str
    identity: str
    vm_name: str
    label: str
    key: int
    capacity: int
    change_id: str
    runs: tuple[Run, ...] = ()


class State:
    """The records of a state file.

    :param records: by instance UUID and identity.
    """

    def __init__(self, records: t.Mapping[tuple[str, str], Record] | None = None) -> None:
        self.records = dict(records or {})

    def kept(self, vm: Vm, disk: Disk) -> Kept | None:
        """What to compare a disk with. Where another disk was in its place, that one's: it is then seen as replaced."""
        record = self.records.get((vm.instance_uuid, disk.identity)) or self._in_place_of(vm, disk)
        return Kept(record.change_id, record.identity, record.capacity) if record else None

    def runs(self, vm: Vm, disk: Disk) -> tuple[Run, ...]:
        """The earlier runs of a disk, the oldest first."""
        record = self.records.get((vm.instance_uuid, disk.identity))
        return record.runs if record else ()

    def _in_place_of(self, vm: Vm, disk: Disk) -> Record | None:
        there = [record for (uuid, _identity), record in self.records.items() if uuid == vm.instance_uuid]
        return next((record for record in there if record.key == disk.key), None)

    def noted(self, vm: Vm, disk: Disk, run: Run) -> Record:
        """The record of a disk after a run; the state itself is not changed."""
        runs = (*self.runs(vm, disk), run)[-MOST_RUNS:]
        change_id = run.change_id or ""
        return Record(vm.instance_uuid, disk.identity, vm.name, disk.label, disk.key, disk.capacity, change_id, runs)


def load(path: str) -> State:
    """The state of a file; an empty one where there is no file yet.

    :raises StateDamaged: when it is not what this module writes.
    :raises InvalidOption: when it cannot be read.
    """
    try:
        with open(path, encoding="utf-8") as file:
            data = json.load(file)
    except FileNotFoundError:
        return State()
    except OSError as error:
        raise InvalidOption(f"The state file {path} cannot be read ({error.strerror}).", option="state_file") from error
    except ValueError as error:
        raise _damaged(path) from error
    try:
        return _state(data)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _damaged(path) from error


def update(path: str, make: t.Callable[[State], t.Iterable[Record]], settle: t.Callable[[], None] = lambda: None) -> State:
    """Add records to a file: read it again, let ``make`` tell the new records, write it whole; returns the new state.

    A disk in the place of another one takes over its place in the file too.

    :param settle: called when nothing is left to wait for, before the file is written.
    :raises StateDamaged: as ``load``.
    :raises InvalidOption: when it cannot be written; it is then as it was.
    """
    path = os.path.realpath(path)
    with files.told(path), _locked(f"{path}.lock"):
        state = load(path)
        for record in make(state):
            stale = [
                key
                for key, known in state.records.items()
                if known.vm_uuid == record.vm_uuid and known.key == record.key and known.identity != record.identity
            ]
            for key in stale:
                del state.records[key]
            state.records[record.vm_uuid, record.identity] = record
        settle()
        files.write_whole(path, json.dumps(_data(state), indent=1))
    return state


def _state(data: t.Any) -> State:
    if data["format"] != _FORMAT:
        raise ValueError
    state = State()
    for uuid, vm in data["vms"].items():
        for identity, told in vm["disks"].items():
            runs = tuple(_run(run) for run in told["runs"])
            change_id = str(told["change_id"])
            if ChangeId.parse(change_id) is None:
                raise ValueError
            state.records[uuid, identity] = Record(
                uuid, identity, str(vm["name"]), str(told["label"]), int(told["key"]), int(told["capacity"]), change_id, runs
            )
    return state


def _run(told: t.Mapping[str, t.Any]) -> Run:
    """A run; a ValueError or TypeError for what none of ours is, which would be a defect only when it is drawn."""
    run = Run(**{**told, "regions": tuple(told["regions"])})
    counts = [*run.regions, *(count for count in (run.areas, run.changed_bytes) if count is not None)]
    if not isinstance(run.at, str) or not all(isinstance(count, int) and count >= 0 for count in counts):
        raise ValueError
    return run


def _data(state: State) -> dict[str, t.Any]:
    vms: dict[str, t.Any] = {}
    for (uuid, identity), record in sorted(state.records.items()):
        vm = vms.setdefault(uuid, {"name": record.vm_name, "disks": {}})
        vm["name"] = record.vm_name
        vm["disks"][identity] = {
            "label": record.label,
            "key": record.key,
            "capacity": record.capacity,
            "change_id": record.change_id,
            "runs": [dataclasses.asdict(run) for run in record.runs],
        }
    return {"format": _FORMAT, "vms": vms}


@contextlib.contextmanager
def _locked(path: str) -> t.Iterator[None]:
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _damaged(path: str) -> StateDamaged:
    return StateDamaged(
        f"The state file {path} is damaged, or of another kind.",
        hint="Restore it, or move it away: all disks then have to be read whole once.",
        path=path,
    )
