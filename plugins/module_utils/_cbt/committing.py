# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Commit a question: from now on disks are asked from where its answer ended. Needs the state file, and no vCenter."""

from __future__ import annotations

import contextlib
import time
import typing as t

from .. import _engine
from .._errors import InvalidOption, NotFound
from . import state
from .options import AreaOptions

if t.TYPE_CHECKING:
    from .._connector.find import Selector
    from .state import Move, Record, State


def commit(options: AreaOptions, tell: t.Callable[[str], None], *, check: bool) -> dict[str, t.Any]:
    """Commit the question of the options; of some VMs where these are named, else of all of its disks.

    :param tell: called with one sentence when another task has to be waited for.
    :param check: only find out what it would do.
    :returns: the module's result: ``changed``, ``question``, ``vms``, ``state_saved`` and ``diff``.
    :raises QuestionUnknown: when the state file does not know it.
    :raises NotFound: when the state file knows no VM that is named.
    :raises VforgeError: as reading and writing the state file does.
    """
    path, deadline = options.files.state, time.monotonic() + options.timeout
    if check:
        known: contextlib.AbstractContextManager[State] = contextlib.nullcontext(state.load(path, deadline))
    else:
        known = state.locked(path, deadline, tell)
    with known as found:
        moves = found.moves(options.question, _chosen(found, options), path=path)
        if moves and not check:
            state.save(path, found.moved(moves))
    return {
        "changed": bool(moves),
        "question": {"id": options.question, "at": found.questions[options.question].at, "disks": len(moves)},
        "vms": _entries(moves),
        "state_saved": bool(moves) and not check,
        "diff": {
            **_engine.diff(_lines(moves, after=False), _lines(moves, after=True)),
            "before_header": f"{path} now",
            "after_header": f"{path} after this task",
        },
    }


def _chosen(found: State, options: AreaOptions) -> t.Callable[[Record], bool]:
    selectors = [target.selector for target in options.targets]
    if not selectors:
        return lambda _record: True
    uuids: set[str] = set()
    for selector in selectors:
        fitting = {record.vm_uuid for record in found.records.values() if _fits(selector, record)}
        if not fitting:
            raise NotFound(
                f"The state file knows no VM with the {selector}.",
                hint="Name it as it was when it was asked about, or by its moid or instance UUID.",
            )
        uuids |= fitting
    return lambda record: record.vm_uuid in uuids


def _fits(selector: Selector, record: Record) -> bool:
    folder, _slash, _name = record.vm_path.rpartition("/")
    if selector.moid:
        return selector.moid == record.vm_moid
    if selector.uuid:
        if not selector.use_instance_uuid:
            hint = "Set use_instance_uuid and give the instance_uuid of the result, or name it in another way."
            raise InvalidOption("The state file does not know VMs by their BIOS UUIDs.", hint=hint)
        return selector.uuid.lower() == record.vm_uuid.lower()
    if selector.path:
        return selector.path.rstrip("/") in (record.vm_path, record.vm_path.partition("/vm/")[2])
    return selector.name == record.vm_name and (not selector.folder or selector.folder.rstrip("/") == folder)


def _entries(moves: t.Sequence[Move]) -> list[dict[str, t.Any]]:
    entries: dict[str, dict[str, t.Any]] = {}
    for move in moves:
        record = move.after
        entry = entries.setdefault(
            record.vm_uuid,
            {
                "name": record.vm_name,
                "moid": record.vm_moid,
                "path": record.vm_path,
                "instance_uuid": record.vm_uuid,
                "changed": True,
                "disks": [],
            },
        )
        told = {"label": record.label, "key": record.key, "since": _point(move.before), "change_id": _point(record)}
        entry["disks"].append(told)
    return list(entries.values())


def _lines(moves: t.Sequence[Move], *, after: bool) -> list[str]:
    lines = []
    for move in moves:
        record = move.after if after else move.before
        lines.append(f"{record.vm_path} {record.label}: {_point(record) or 'never asked about'}\n")
    return lines


def _point(record: Record) -> str | None:
    return record.confirmed.change_id if record.confirmed else None
