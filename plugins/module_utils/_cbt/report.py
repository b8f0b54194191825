# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the result of a task has of its VMs and their disks, and the diff. Pure."""

from __future__ import annotations

import collections
import dataclasses
import typing as t

from .. import _engine
from .._connector import names
from .._temporary_snapshots import LEFTOVER_REMOVED, REMOVE_LEFTOVERS, Made, NotMade, Removed
from .model import FAIL, Exclusion
from .plan import ACTIVATE, DEACTIVATE, SWITCH_OFF, SWITCH_ON
from .state import Move, Record, Run

if t.TYPE_CHECKING:
    from .._vsphere.disks import Disk
    from .task import Answer, AreaTask, VmItem

# Steps that are actions; a question leaves the VM as it was.
_DONE = {
    REMOVE_LEFTOVERS: LEFTOVER_REMOVED,
    SWITCH_ON: "switched_on",
    SWITCH_OFF: "switched_off",
    DEACTIVATE: "deactivated",
    ACTIVATE: "activated",
}

# What is known of a VM that is not found.
_UNKNOWN: dict[str, t.Any] = {
    **_engine.UNTOUCHED,
    "instance_uuid": "",
    "power_state": "",
    "tracking": False,
    "snapshot": None,
    "disks": [],
    "excluded": [],
    "warnings": [],
}

# Runs in the result of one task, of all disks together: some 1 MB. Of very many disks each has
# fewer.
MOST_RUNS = 4000


def result(job: AreaTask, at: str) -> dict[str, t.Any]:
    """``changed``, ``vms`` (one entry each), ``counts``, ``totals``, ``uncommitted`` and ``diff``.

    :param at: when the question was asked, in UTC.
    """
    found = [_entry(job, item, at) for item in job.vms]
    entries = job.task.with_missing("vms", found, **_UNKNOWN)
    return {
        "changed": any(entry["changed"] for entry in entries),
        "vms": entries,
        "counts": dict(collections.Counter(_became(entry) for entry in entries)),
        "totals": totals(entries),
        "uncommitted": uncommitted(job),
        "diff": _diff(job),
    }


def totals(entries: t.Sequence[t.Mapping[str, t.Any]]) -> dict[str, t.Any]:
    """Sums over all disks of these entries.

    A disk that has to be read whole is with its capacity in what there is to read.
    """
    disks = [disk for entry in entries for disk in entry["disks"]]
    known = [disk for disk in disks if disk["changed_bytes"] is not None]
    full = [disk for disk in disks if disk["full_required"]]
    changed = sum(disk["changed_bytes"] for disk in known)
    return {
        "vms": len(entries),
        "failures": sum("error" in entry for entry in entries),
        "disks": len(disks),
        "excluded_disks": sum(len(entry["excluded"]) for entry in entries),
        "full_required_disks": len(full),
        "areas": sum(disk["area_count"] for disk in known),
        "capacity": sum(disk["capacity"] for disk in disks),
        "changed_bytes": changed,
        "bytes_to_read": changed + sum(disk["capacity"] for disk in full),
    }


def uncommitted(job: AreaTask) -> list[dict[str, str]]:
    """The questions that were never committed and are asked once more, the oldest first."""
    known: dict[str, str] = {}
    for item in job.vms:
        for answer in item.answers.values():
            known |= answer.uncommitted
    ordered = sorted(known, key=lambda question: known[question])
    return [{"question": question, "at": known[question]} for question in ordered]


def warnings(job: AreaTask) -> list[str]:
    """What nobody should overlook, once for all VMs."""
    again = uncommitted(job)
    if not again:
        return []
    vms = [item.name for item in job.vms if any(each.uncommitted for each in item.answers.values())]
    which = f"The question {again[-1]['question']} of {again[-1]['at']}"
    which += f", and {len(again) - 1} before it, were" if len(again) > 1 else " was"
    return [
        f"{which} never committed. So {names.listing(vms, most=5)} are asked from the same point "
        "once more, and what was returned then is returned again. "
        "Commit a question (state committed) when its answer was used."
    ]


# One VM


def _entry(job: AreaTask, item: VmItem, at: str) -> dict[str, t.Any]:
    vm, actions = item.vm, _actions(item)
    entry = {
        "name": vm.name,
        "moid": vm.moid,
        "path": vm.path,
        "instance_uuid": vm.instance_uuid,
        "power_state": vm.power_state,
        "tracking": _tracking_after(item),
        "actions": actions,
        "changed": bool(actions),
        "seconds": item.seconds,
        "snapshot": _snapshot(item),
        "disks": [_disk(job, item, answer, at) for answer in item.answers.values()],
        "excluded": [_excluded(disk, why) for disk, why in item.questions.excluded],
        "warnings": item.warnings,
    }
    return item.with_error(entry)


def _became(entry: t.Mapping[str, t.Any]) -> str:
    """What became of a VM, in one word."""
    if "error" in entry:
        return "failed"
    return "changed" if entry["changed"] else "unchanged"


def _actions(item: VmItem) -> list[str]:
    """What was done; in check mode, what would be.

    A snapshot that was made for a question and removed again is no action. One that is still there
    is one, and so is one that was made to activate tracking, and did not.
    """
    stays = isinstance(item.own, Made)
    in_vain = isinstance(item.own, Removed) and item.left == [ACTIVATE]
    made = ["snapshot_created"] if stays or in_vain else []
    return [*dict.fromkeys(item.actions(_DONE)), *made]


def _tracking_after(item: VmItem) -> bool:
    return SWITCH_ON in item.done or (item.vm.tracking and SWITCH_OFF not in item.done)


def _snapshot(item: VmItem) -> dict[str, t.Any] | None:
    if isinstance(item.own, (Made, Removed)):
        removed = isinstance(item.own, Removed)
        return {"moid": item.own.moid, "created": True, "removed": removed}
    if item.used is not None:
        return {"moid": item.used, "created": not isinstance(item.own, NotMade), "removed": False}
    return None


# One disk


def _disk(job: AreaTask, item: VmItem, answer: Answer, at: str) -> dict[str, t.Any]:
    disk, tally = answer.disk, answer.tally
    entry: dict[str, t.Any] = {
        **_place(disk),
        "capacity": disk.capacity,
        "change_id": disk.change_id,
        "since": answer.since,
        "uncommitted": [*answer.uncommitted],
        "full_required": answer.full is not None,
        "area_count": None,
        "changed_bytes": None,
        "changed_percent": None,
        # None is not []: without an answer nothing is known, which is never "nothing changed".
        "areas": None,
        "areas_file": answer.path,
    }
    if tally is not None:
        entry |= {"area_count": tally.count, "changed_bytes": tally.changed_bytes}
    if tally is not None and disk.capacity:
        entry["changed_percent"] = round(100 * tally.changed_bytes / disk.capacity, 3)
    if answer.areas is not None:
        entry["areas"] = [area._asdict() for area in answer.areas]
    if answer.full is not None:
        entry["full_required_code"] = answer.full.code
        entry["full_required_reason"] = answer.full.reason
    if answer.error is not None:
        entry["error"] = answer.error.as_result()
    if job.options.runs:
        entry["runs"] = [_run(run) for run in _runs(job, item, answer, at)]
    return entry


def is_found(job: AreaTask, answer: Answer) -> bool:
    """Whether an answer says from where the disk is asked next."""
    refused = answer.full is not None and job.options.on_full_required == FAIL
    return answer.error is None and not refused and bool(answer.disk.change_id)


def run_of(answer: Answer, at: str) -> Run:
    """What was found of a disk, as the state file keeps it.

    :param at: when it was asked, in UTC.
    """
    tally = answer.tally
    return Run(
        at=at,
        change_id=answer.disk.change_id,
        areas=tally.count if tally else None,
        changed_bytes=tally.changed_bytes if tally else None,
        full_required=answer.full.code if answer.full else None,
        regions=tuple(tally.regions) if tally else (),
    )


def _runs(job: AreaTask, item: VmItem, answer: Answer, at: str) -> list[Run]:
    """The last runs of a disk, this one included, the oldest first."""
    disks = sum(len(each.answers) for each in job.vms)
    most = min(job.options.runs, max(MOST_RUNS // disks, 1))
    known: tuple[Run, ...] = ()
    if is_found(job, answer) and (answer.tally or answer.full):
        # A question that was never committed is asked once more, so this run has what it found.
        earlier = job.state.committed_runs(item.vm, answer.disk) if job.state else ()
        known = (*earlier, run_of(answer, at))
    elif job.state is not None:
        known = job.state.runs(item.vm, answer.disk)
    return list(known[-most:])


def _run(run: Run) -> dict[str, t.Any]:
    return {**dataclasses.asdict(run), "regions": list(run.regions)}


def _excluded(disk: Disk, why: Exclusion) -> dict[str, t.Any]:
    return {**_place(disk), "capacity": disk.capacity, "code": why.code, "reason": why.reason}


def _place(disk: Disk) -> dict[str, t.Any]:
    return {"label": disk.label, "key": disk.key, "unit": disk.unit, "backing": disk.file}


# The diff


def _diff(job: AreaTask) -> dict[str, str]:
    before, after = [], []
    for item in job.vms:
        if not _actions(item):
            continue
        was = item.before.active
        active = ACTIVATE in item.done or (was and SWITCH_OFF not in item.done)
        before += _lines(item, item.before.tracking, was, len(item.leftovers))
        after += _lines(item, _tracking_after(item), active, 0)
    return _engine.diff(before, after)


def _lines(item: VmItem, tracking: bool, active: bool, leftovers: int) -> list[str]:
    return [
        f"{item.title}:\n",
        f"  change_tracking: {tracking}\n",
        f"  active: {active}\n",
        f"  left_over_snapshots: {leftovers}\n",
    ]


# What committing a question does


def committed(moves: t.Sequence[Move], missing: t.Sequence[_engine.Missing], path: str) -> dict[str, t.Any]:
    """``changed``, ``vms``, ``failures`` and ``diff`` of a question that is committed.

    :param missing: VMs that the state file does not know; they are behind the others.
    :param path: of the state file.
    """
    entries: dict[str, dict[str, t.Any]] = {}
    for move in moves:
        record = move.after
        entry = entries.setdefault(record.vm_uuid, _committed_vm(record))
        entry["disks"].append(
            {
                "label": record.label,
                "key": record.key,
                "since": _point(move.before),
                "change_id": _point(record),
            }
        )
    return {
        "changed": bool(moves),
        "vms": [*entries.values(), *map(_committed_nothing, missing)],
        "failures": [{"name": each.name, **_error(each)} for each in missing],
        "diff": {
            **_engine.diff(
                [_committed_line(move.before) for move in moves],
                [_committed_line(move.after) for move in moves],
            ),
            "before_header": f"{path} now",
            "after_header": f"{path} after this task",
        },
    }


def _committed_nothing(missing: _engine.Missing) -> dict[str, t.Any]:
    return {**missing.entry, "changed": False, "disks": [], "error": _error(missing)}


def _error(missing: _engine.Missing) -> dict[str, t.Any]:
    return missing.error.as_result() if missing.error is not None else {}


def _committed_vm(record: Record) -> dict[str, t.Any]:
    return {
        "name": record.vm_name,
        "moid": record.vm_moid,
        "path": record.vm_path,
        "instance_uuid": record.vm_uuid,
        "changed": True,
        "disks": [],
    }


def _committed_line(record: Record) -> str:
    return f"{record.vm_path} {record.label}: {_point(record) or 'never asked about'}\n"


def _point(record: Record) -> str | None:
    return record.confirmed.change_id if record.confirmed else None
