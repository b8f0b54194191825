# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a task returns of its parents, and the diff. Pure."""

from __future__ import annotations

import dataclasses
import typing as t

from .. import _engine
from .._errors import VforgeError
from .._vsphere import freeze
from .._vsphere.disks import MOST_LEVELS
from .model import Child, Obstacle, Parent
from .plan import COLLAPSE, FREEZE, RESET

if t.TYPE_CHECKING:
    from .._engine import Task
    from .task import ParentItem

# In check mode a step that would be done is listed as if it had been, as Ansible's other modules
# do.
_DONE = {RESET: "reset", COLLAPSE: "collapsed", FREEZE: "frozen"}


def result(task: Task[ParentItem]) -> dict[str, t.Any]:
    """``changed``, ``parents`` (one entry each) and ``diff``."""
    found = [_entry(item, task.check) for item in task.items]
    entries = task.with_missing("parents", found, **_engine.UNTOUCHED)
    return {
        "changed": any(entry["changed"] for entry in entries),
        "parents": entries,
        "diff": _diff(task.items, task.check),
    }


def _entry(item: ParentItem, check: bool) -> dict[str, t.Any]:
    entry = {
        **known_of(_after(item, check)),
        "actions": item.actions(_DONE),
        "changed": item.changed,
        "seconds": item.until_last_change,
        "warnings": item.warnings,
    }
    return item.with_error(entry)


def known_of(parent: Parent) -> dict[str, t.Any]:
    """What is known of a parent, as plain data."""
    return {
        **parent.naming,
        "host": parent.host_name,
        "power_state": parent.power_state,
        "state": parent.state,
        "frozen": parent.frozen,
        "wake_scripts": parent.wake_scripts,
        "delta_levels": parent.delta_levels,
        "collapsible_levels": parent.collapsible_levels,
        "clones_left": max(MOST_LEVELS - parent.delta_levels, 0),
    }


def info(
    parent: Parent,
    children: t.Sequence[Child],
    refusals: t.Sequence[Obstacle],
    unknown: VforgeError | None,
) -> dict[str, t.Any]:
    """One entry of the information module.

    :param unknown: why vCenter could not be asked, where it was to be; whether it would clone is
        not known then.
    """
    return {
        **known_of(parent),
        "tools_running": parent.tools,
        "snapshots": list(parent.snapshots),
        "disks": [
            {
                "label": disk.label,
                "delta_levels": disk.levels,
                "collapsible_levels": disk.own_levels,
            }
            for disk in parent.disks
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


def _after(item: ParentItem, check: bool) -> Parent:
    """The parent now; in check mode, as it would be after its steps."""
    after = item.now
    for step in item.done if check else ():
        after = dataclasses.replace(after, **_made(after, step))
    return after


def _made(parent: Parent, step: str) -> dict[str, t.Any]:
    """What a step would make of a parent."""
    if step == RESET:
        return {"frozen": False}
    if step == COLLAPSE:
        return {"disks": tuple(disk.collapsed() for disk in parent.disks)}
    # In check mode nobody has frozen it, so there is no record; the scripts are those asked for.
    return {"frozen": True, "record": None}


def _diff(items: t.Sequence[ParentItem], check: bool) -> dict[str, str]:
    before, after = [], []
    for item in items:
        if item.done:
            before += _lines(item.found.parent)
            after += _lines(_after(item, check))
        if {RESET, FREEZE} <= set(item.done):
            before.append(freeze.SCRIPTS[0])
            after.append(freeze.SCRIPTS[1])
    return _engine.diff(before, after)


def _lines(parent: Parent) -> list[str]:
    return [
        f"{parent.name}:\n",
        f"  state: {parent.state}\n",
        f"  delta_levels: {parent.delta_levels}\n",
    ]
