# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a task tells: one entry a parent and one a child, and the diff. Pure.

Of the parameters only the names of the keys are told; their values may be secrets.
"""

from __future__ import annotations

import collections
import dataclasses
import typing as t

from .._connector import differences, names
from .facts import NONPERSISTENT, PARAMETER_PREFIX, Child, Parent
from .job import ChildStanding, Job, ParentStanding
from .plan import CREATE, DESTROY, DISABLE, ENABLE, QUIESCE, RESET, SNAPSHOT, UPDATE, Step, kind_after

_DONE = {ENABLE: "enabled", SNAPSHOT: "snapshot_created", QUIESCE: "quiesced", DISABLE: "disabled", RESET: "reset"}

# What a step makes of a parent, for check mode.
_MAKES: dict[str, dict[str, t.Any]] = {
    ENABLE: {"enabled": True},
    SNAPSHOT: {},
    QUIESCE: {"quiesced": True},
    DISABLE: {"enabled": False, "group_id": ""},
    RESET: {"quiesced": False},
}


def result(job: Job, check: bool) -> dict[str, t.Any]:
    """``changed``, ``parents`` and ``children`` (one entry each), those that failed in short, ``counts`` and ``diff``.

    In check mode a change that would be made is told as if it had been, as Ansible's other modules do.
    """
    parents = [_parent_entry(standing, check) for standing in job.parents]
    children = [_child_entry(standing, job.options.ip_family) for standing in job.children]
    return {
        "changed": any(told["changed"] for told in (*parents, *children)),
        "parents": parents,
        "children": children,
        "failed_parents": [_failure(item.now.name, item) for item in job.parents if item.error is not None],
        "failed_children": [_failure(item.step.name, item) for item in job.children if item.error is not None],
        "counts": dict(collections.Counter(told["action"] for told in children)),
        "diff": _diff(job, check),
    }


def failures(job: Job) -> list[ParentStanding | ChildStanding]:
    """What failed, parents first."""
    everything: list[ParentStanding | ChildStanding] = [*job.parents, *job.children]
    return [item for item in everything if item.error is not None]


def _failure(name: str, item: ParentStanding | ChildStanding) -> dict[str, t.Any]:
    return {"name": name, **(item.error.as_result() if item.error else {})}


def _parent_entry(standing: ParentStanding, check: bool) -> dict[str, t.Any]:
    now, steps = _after(standing, check), _steps(standing, check)
    told = {
        "name": now.name,
        "moid": now.moid,
        "path": now.path,
        "instance_uuid": now.instance_uuid,
        "host": now.host_name,
        "power_state": now.power_state,
        "state": now.state,
        "enabled": now.enabled,
        "quiesced": now.quiesced,
        "fork_group_id": now.group_id or None,
        "child_type": now.child_type,
        "parent": _listed(now.origin) if now.origin is not None else None,
        "children": [_listed(child) for child in now.children],
        "actions": [_DONE[step] for step in steps],
        "changed": bool(steps),
        "seconds": standing.seconds,
        "warnings": standing.warnings,
    }
    return {**told, "error": standing.error.as_result()} if standing.error is not None else told


def _listed(child: Child) -> dict[str, t.Any]:
    return {
        "name": child.name,
        "moid": child.moid,
        "path": child.path,
        "host": child.host_name,
        "power_state": child.power_state,
        "child_type": child.child_type,
    }


def _child_entry(standing: ChildStanding, family: str) -> dict[str, t.Any]:
    step, vm = standing.step, standing.vm
    told: dict[str, t.Any] = {
        "name": step.name,
        "action": standing.action,
        "changed": standing.changed,
        "seconds": standing.seconds,
        "calls": standing.calls,
        "moid": standing.moid or None,
        "parent": standing.home.now.name,
        "persistent": step.request.persistent if vm is None else vm.child_type != NONPERSISTENT,
    }
    if step.placement is not None:
        told["folder"] = step.placement.folder_path
        told["path"] = names.join([*names.split(step.placement.folder_path), step.name])
        told["resource_pool"] = step.placement.pool.name
    if vm is not None:
        told.update(_vm_facts(vm, family))
    told["config_params"] = _parameters(step, vm)
    told["differences"] = [item.told() for item in step.differences]
    return {**told, "error": standing.error.as_result()} if standing.error is not None else told


def _vm_facts(vm: Child, family: str) -> dict[str, t.Any]:
    facts: dict[str, t.Any] = {
        "instance_uuid": vm.instance_uuid or None,
        "host": vm.host_name,
        "datastore": ", ".join(vm.datastore_names),
        "power_state": vm.power_state,
        "child_type": vm.child_type,
        "fork_group_id": vm.group_id or None,
        "ip": next(iter(vm.addresses(family)), None),
        "ip_addresses": vm.addresses(),
    }
    return {**facts, "resource_pool": vm.pool_name} if vm.pool_name else facts


def _parameters(step: Step, vm: Child | None) -> list[str]:
    keys = {*(step.request.config if step.kind != DESTROY else ()), *(vm.config if vm else ())}
    return sorted(key.removeprefix(PARAMETER_PREFIX) for key in keys if key.startswith(PARAMETER_PREFIX))


def _steps(standing: ParentStanding, check: bool) -> list[str]:
    if not check:
        return standing.done
    return list(standing.plan.steps) if standing.error is None else []


def _after(standing: ParentStanding, check: bool) -> Parent:
    """The parent now; in check mode, as it would be after its steps."""
    after = standing.now
    for step in _steps(standing, check) if check else ():
        after = dataclasses.replace(after, **_MAKES[step])
    return after


def _diff(job: Job, check: bool) -> dict[str, str]:
    before, after = [], []
    for standing in job.parents:
        if _steps(standing, check):
            before += _parent_lines(standing.found.parent)
            after += _parent_lines(_after(standing, check))
    for child in job.children:
        if child.error is None:
            old, new = _child_lines(child.step)
            before += old
            after += new
    return differences.diff(before, after)


def _parent_lines(parent: Parent) -> list[str]:
    snapshot = [] if not parent.snapshots else [f"  snapshots: {names.listing(parent.snapshots)}\n"]
    return [f"{parent.name}:\n", f"  state: {parent.state}\n", *snapshot]


def _child_lines(step: Step) -> tuple[list[str], list[str]]:
    head = f"{step.name}:\n"
    if step.kind == CREATE and step.placement is not None:
        place = step.placement
        lines = [head, f"  parent: {step.parent.name}\n", f"  child_type: {kind_after(step)}\n"]
        lines += [f"  folder: {place.folder_path}\n", f"  resource_pool: {place.pool.path}\n"]
        lines += [f"  power_state: {'poweredOn' if step.power == 'on' else 'poweredOff'}\n"]
        return [], [*lines, *(f"  {key}: (set)\n" for key in sorted(step.request.config))]
    if step.kind == DESTROY and step.existing is not None:
        return [head, f"  moid: {step.existing.moid}\n", f"  power_state: {step.existing.power_state}\n"], []
    return differences.changes(head, step.differences) if step.kind == UPDATE else ([], [])
