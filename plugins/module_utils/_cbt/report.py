# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a task tells of its VMs and their disks, and the diff. Pure."""

from __future__ import annotations

import typing as t

from .. import _engine
from .facts import Disk, Exclusion
from .job import Answer, Job, Standing
from .plan import ACTIVATE, SWITCH_OFF, SWITCH_ON, Question

# In check mode a step that would be done is told as if it had been, as Ansible's other modules do.
_WOULD = {SWITCH_ON: "switched_on", SWITCH_OFF: "switched_off", ACTIVATE: "activated"}


def result(job: Job) -> dict[str, t.Any]:
    """``changed``, ``vms`` (one entry each), ``failed_vms``, ``totals`` and ``diff``."""
    vms = [entry(job, standing) for standing in job.standings]
    return {
        "changed": any(told["changed"] for told in vms),
        "vms": vms,
        "failed_vms": [
            {"name": item.vm.name, "moid": item.moid, **item.error.as_result()}
            for item in job.standings
            if item.error is not None
        ],
        "totals": totals(vms),
        "uncommitted": uncommitted(job),
        "diff": _diff(job),
    }


def entry(job: Job, standing: Standing) -> dict[str, t.Any]:
    """The result of one VM."""
    vm, steps = standing.vm, _steps(job, standing)
    told = {
        "name": vm.name,
        "moid": vm.moid,
        "path": vm.path,
        "instance_uuid": vm.instance_uuid,
        "power_state": vm.power_state,
        "tracking": _tracking_after(job, standing),
        "actions": steps,
        "changed": bool(steps),
        "snapshot": _snapshot(standing),
        "disks": [_disk(answer) for answer in answers(job, standing)],
        "excluded": [_excluded(disk, why) for disk, why in _questions(standing).excluded],
        "warnings": standing.warnings,
    }
    return {**told, "error": standing.error.as_result()} if standing.error is not None else told


def totals(vms: t.Sequence[t.Mapping[str, t.Any]]) -> dict[str, t.Any]:
    """Sums over all disks. A disk that has to be read whole counts with its capacity in what there is to read."""
    disks = [disk for vm in vms for disk in vm["disks"]]
    known = [disk for disk in disks if disk["changed_bytes"] is not None]
    full = [disk for disk in disks if disk["full_required"]]
    return {
        "vms": len(vms),
        "failed_vms": sum("error" in vm for vm in vms),
        "disks": len(disks),
        "excluded_disks": sum(len(vm["excluded"]) for vm in vms),
        "full_required_disks": len(full),
        "areas": sum(disk["area_count"] for disk in known),
        "capacity": sum(disk["capacity"] for disk in disks),
        "changed_bytes": sum(disk["changed_bytes"] for disk in known),
        "bytes_to_read": sum(disk["changed_bytes"] for disk in known) + sum(disk["capacity"] for disk in full),
    }


def _questions(standing: Standing) -> t.Any:
    """As the snapshot has the disks, or before there is one, the VM."""
    return standing.questions if standing.answers or standing.questions.excluded else standing.plan.questions


def uncommitted(job: Job) -> list[dict[str, str]]:
    """The questions that were never committed, and whose point this one asks from again: the oldest first."""
    told: dict[str, str] = {}
    for standing in job.standings:
        for answer in answers(job, standing):
            told |= answer.uncommitted
    return [{"question": question, "at": told[question]} for question in sorted(told, key=lambda name: told[name])]


def answers(job: Job, standing: Standing) -> list[Answer]:
    """What was found of each disk, or in check mode would be asked."""
    if standing.answers or not job.check:
        return list(standing.answers.values())
    return [_unasked(question) for question in standing.plan.questions.asked]


def _unasked(question: Question) -> Answer:
    return Answer(question.disk, question.since, question.full, uncommitted=question.uncommitted)


def _disk(answer: Answer) -> dict[str, t.Any]:
    disk, tally = answer.disk, answer.tally
    told: dict[str, t.Any] = {
        **_place(disk),
        "capacity": disk.capacity,
        "change_id": disk.change_id,
        "since": answer.since,
        "uncommitted": [*answer.uncommitted],
        "full_required": answer.full is not None,
        "area_count": tally.count if tally else None,
        "changed_bytes": tally.changed_bytes if tally else None,
        "changed_percent": round(100 * tally.changed_bytes / disk.capacity, 3) if tally and disk.capacity else None,
        # None is not []: without an answer nothing is known, which is never "nothing changed".
        "areas": [area._asdict() for area in answer.areas] if answer.areas is not None else None,
        "areas_file": answer.path,
    }
    if answer.full is not None:
        told |= {"full_required_code": answer.full.code, "full_required_reason": answer.full.reason}
    if answer.error is not None:
        told["error"] = answer.error.as_result()
    return told


def _excluded(disk: Disk, why: Exclusion) -> dict[str, t.Any]:
    return {**_place(disk), "capacity": disk.capacity, "code": why.code, "reason": why.reason}


def _place(disk: Disk) -> dict[str, t.Any]:
    return {"label": disk.label, "key": disk.key, "unit": disk.unit, "backing": disk.file}


def _snapshot(standing: Standing) -> dict[str, t.Any] | None:
    if standing.used is None and not standing.made:
        return None
    return {"moid": standing.used, "created": standing.made, "removed": standing.made and standing.own is None}


def _steps(job: Job, standing: Standing) -> list[str]:
    if not job.check:
        return list(standing.done)
    planned = [_WOULD[step] for step in standing.plan.steps] if standing.error is None else []
    return [*standing.done, *planned]


def _tracking_after(job: Job, standing: Standing) -> bool:
    steps = _steps(job, standing)
    return (standing.vm.tracking or _WOULD[SWITCH_ON] in steps) and _WOULD[SWITCH_OFF] not in steps


def _diff(job: Job) -> dict[str, str]:
    before, after = [], []
    for standing in job.standings:
        steps = _steps(job, standing)
        if not steps:
            continue
        left = [item.name for item in standing.leftovers]
        before += _lines(standing, standing.before.tracking, standing.before.counting, left)
        activated = standing.before.counting or _WOULD[ACTIVATE] in steps
        after += _lines(standing, _tracking_after(job, standing), activated and _WOULD[SWITCH_OFF] not in steps, [])
    return _engine.diff(before, after)


def _lines(standing: Standing, tracking: bool, counting: bool, leftovers: t.Sequence[str]) -> list[str]:
    lines = [f"{standing.vm.path}:\n", f"  change_tracking: {tracking}\n", f"  counts: {counting}\n"]
    return [*lines, f"  left_over_snapshots: {len(leftovers)}\n"]
