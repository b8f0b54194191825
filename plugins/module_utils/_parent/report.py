# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a task tells of its parents, and the diff. Pure."""

from __future__ import annotations

import dataclasses
import typing as t

from .._connector import differences
from .._errors import VforgeError
from .facts import MOST_DELTA_LEVELS, Child, Obstacle, Parent
from .job import Standing
from .plan import COLLAPSE, FREEZE, RESET

# In check mode a step that would be done is told as if it had been, as Ansible's other modules do.
_DONE = {RESET: "reset", COLLAPSE: "collapsed", FREEZE: "frozen"}


def result(standings: t.Sequence[Standing], check: bool) -> dict[str, t.Any]:
    """``changed``, ``parents`` (one entry each), ``failed_parents`` and ``diff``."""
    entries = [entry(standing, check) for standing in standings]
    return {
        "changed": any(told["changed"] for told in entries),
        "parents": entries,
        "failed_parents": [{"name": item.now.name, **item.error.as_result()} for item in standings if item.error is not None],
        "diff": _diff(standings, check),
    }


def entry(standing: Standing, check: bool) -> dict[str, t.Any]:
    """The result of one parent."""
    steps = _steps(standing, check)
    told = {
        **facts(_after(standing) if check else standing.now),
        "actions": [_DONE[step] for step in steps],
        "changed": bool(steps),
        "seconds": standing.seconds,
        "warnings": standing.warnings,
    }
    return {**told, "error": standing.error.as_result()} if standing.error is not None else told


def facts(parent: Parent) -> dict[str, t.Any]:
    """What is known of a parent, as plain data."""
    return {
        "name": parent.name,
        "moid": parent.moid,
        "path": parent.path,
        "instance_uuid": parent.instance_uuid,
        "host": parent.host_name,
        "power_state": parent.power_state,
        "state": parent.state,
        "frozen": parent.frozen,
        "wake_scripts": parent.wake_scripts,
        "delta_levels": parent.delta_levels,
        "collapsible_levels": parent.collapsible_levels,
        "clones_left": max(MOST_DELTA_LEVELS - parent.delta_levels, 0),
    }


def info(
    parent: Parent, children: t.Sequence[Child], refusals: t.Sequence[Obstacle], unknown: VforgeError | None
) -> dict[str, t.Any]:
    """One entry of the information module.

    :param unknown: why vCenter could not be asked, where it was to be; whether it would clone is not known then.
    """
    return {
        **facts(parent),
        "tools_running": parent.tools,
        "snapshots": list(parent.snapshots),
        "disks": [
            {"label": disk.label, "delta_levels": disk.levels, "collapsible_levels": disk.own_levels} for disk in parent.disks
        ],
        "children": [
            {
                "name": child.name,
                "moid": child.moid,
                "path": child.path,
                "power_state": child.power_state,
                "host": child.host,
            }
            for child in children
        ],
        "can_clone": None if unknown is not None and not refusals else not refusals,
        "not_asked": unknown.as_result() if unknown is not None else None,
        "refusals": [{"code": item.code, "reason": item.reason, "device": item.device} for item in refusals],
    }


def _steps(standing: Standing, check: bool) -> list[str]:
    if check:
        return list(standing.plan.steps) if standing.error is None else []
    return standing.done


def _after(standing: Standing) -> Parent:
    """What a parent would be after the steps that check mode leaves out."""
    after, steps = standing.now, _steps(standing, check=True)
    if RESET in steps:
        after = dataclasses.replace(after, frozen=False)
    if COLLAPSE in steps:
        disks = tuple(dataclasses.replace(disk, levels=disk.levels - disk.own_levels, own_levels=0) for disk in after.disks)
        after = dataclasses.replace(after, disks=disks)
    if FREEZE in steps:
        # In check mode nobody has frozen it, so there is no record; the scripts are those asked for.
        after = dataclasses.replace(after, frozen=True, record=None)
    return after


def _diff(standings: t.Sequence[Standing], check: bool) -> dict[str, str]:
    before, after = [], []
    for standing in standings:
        if not _steps(standing, check):
            continue
        now = _after(standing) if check else standing.now
        before += _lines(standing.found.parent)
        after += _lines(now)
    return differences.diff(before, after)


def _lines(parent: Parent) -> list[str]:
    return [f"{parent.name}:\n", f"  state: {parent.state}\n", f"  delta_levels: {parent.delta_levels}\n"]
