# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a task returns: one entry a parent and one a child, and the diff. Pure.

Of the parameters only the names of the keys are shown; their values may be secrets.
"""

from __future__ import annotations

import collections
import dataclasses
import typing as t

from .. import _engine
from .._connector import names
from .._vm_stages import ACTIONS, CREATE
from .._vsphere import freeze
from .._vsphere.addresses import ReportedAddresses, UsedAddresses, refusals, vet, without_prefix
from .._vsphere.wake import is_own
from .model import NONPERSISTENT, PARAMETER_PREFIX, Child, ForkOptions, Parent
from .plan import (
    DISABLE,
    ENABLE,
    QUIESCE,
    RESET,
    SNAPSHOT,
    Change,
    ChildPlan,
    Create,
    Remove,
    expected,
    placement_of,
    type_after,
)

if t.TYPE_CHECKING:
    from .._engine import Task
    from .task import ChildItem, ParentItem

_DONE = {
    ENABLE: "enabled",
    SNAPSHOT: "snapshot_created",
    QUIESCE: "quiesced",
    DISABLE: "disabled",
    RESET: "reset",
}

# What the scripts of on_wake take for the child's address.
_IPV4 = f"{PARAMETER_PREFIX}ipv4"

# What a step makes of a parent, for check mode.
_MAKES: dict[str, dict[str, t.Any]] = {
    ENABLE: {"enabled": True},
    SNAPSHOT: {},
    QUIESCE: {"quiesced": True},
    DISABLE: {"enabled": False, "group_id": ""},
    RESET: {"quiesced": False},
}


def result(
    task: Task[t.Any],
    parents: t.Sequence[ParentItem],
    children: t.Sequence[ChildItem],
    options: ForkOptions,
) -> dict[str, t.Any]:
    """``changed``, ``parents`` and ``children`` (one entry each), ``counts`` and ``diff``.

    In check mode a change that would be made is listed as if it had been, as Ansible's other modules do.
    """
    check = task.check
    found = [_parent_entry(item, check) for item in parents]
    parent_entries = task.with_missing("parents", found, **_engine.UNTOUCHED)
    all_used = vet([_reported(item) for item in children])
    judged = zip(children, all_used, strict=True)
    made = [_child_entry(item, options, used) for item, used in judged]
    child_entries = task.with_missing("children", made, changed=False, seconds=None)
    return {
        "changed": any(entry["changed"] for entry in (*parent_entries, *child_entries)),
        "parents": parent_entries,
        "children": child_entries,
        "refusals": refusals(made),
        "counts": dict(collections.Counter(entry["action"] for entry in child_entries)),
        "diff": _diff(parents, children, check),
    }


def _parent_entry(item: ParentItem, check: bool) -> dict[str, t.Any]:
    now = _after(item, check)
    entry = {
        **now.naming,
        "host": now.host_name,
        "power_state": now.power_state,
        "state": now.state,
        "enabled": now.enabled,
        "quiesced": now.quiesced,
        "wake_scripts": now.wake_scripts,
        "fork_group_id": now.group_id or None,
        "child_type": now.child_type,
        "parent": _listed(now.origin) if now.origin is not None else None,
        "children": [_listed(child) for child in now.children],
        "actions": item.actions(_DONE),
        "changed": item.changed,
        "seconds": item.seconds,
        "warnings": item.warnings,
    }
    return item.with_error(entry)


def _listed(child: Child) -> dict[str, t.Any]:
    return {
        "name": child.name,
        "moid": child.moid,
        "path": child.path,
        "host": child.place.host_name,
        "power_state": child.power_state,
        "child_type": child.child_type,
    }


def _reported(item: ChildItem) -> ReportedAddresses:
    """What is said of a child's addresses.

    The parameter is the user's word only where this task has just written it: the guest can change
    it.
    """
    config = item.wanted.request.config
    given = (without_prefix(config[_IPV4]),) if CREATE in item.done and _IPV4 in config else ()
    tools = tuple(item.addresses("any"))
    return ReportedAddresses(item.name, reported=tools, given=given, tools=tools)


def _child_entry(item: ChildItem, options: ForkOptions, used: UsedAddresses) -> dict[str, t.Any]:
    wanted, vm = item.wanted, item.vm
    entry: dict[str, t.Any] = {
        "name": wanted.name,
        "action": item.action,
        "actions": item.actions(ACTIONS),
        "changed": item.changed,
        "seconds": item.seconds,
        "calls": item.calls,
        "moid": item.moid or None,
        "parent": item.home.now.name,
        "persistent": wanted.request.persistent if vm is None else vm.child_type != NONPERSISTENT,
    }
    placement = placement_of(wanted)
    if placement is not None:
        entry["folder"] = placement.folder_path
        entry["path"] = names.join([*names.split(placement.folder_path), wanted.name])
        entry["resource_pool"] = placement.pool.name
    if vm is not None:
        entry.update(_of_vm(vm, options.ip_family, used))
    if options.wait_for_wake:
        entry["wake"] = item.wake
    entry["config_params"] = _parameters(wanted, vm)
    differences = wanted.differences if isinstance(wanted, Change) else ()
    entry["differences"] = [difference.as_result() for difference in differences]
    return item.with_error(entry)


def _of_vm(vm: Child, family: str, used: UsedAddresses) -> dict[str, t.Any]:
    own = [address for address in vm.addresses(family) if address in used.addresses]
    entry: dict[str, t.Any] = {
        "instance_uuid": vm.instance_uuid or None,
        "host": vm.place.host_name,
        "datastore": ", ".join(vm.place.datastore_names),
        "power_state": vm.power_state,
        "child_type": vm.child_type,
        "fork_group_id": vm.group_id or None,
        "ip": next(iter(own), None),
        "ip_addresses": list(used.addresses),
        "refused": [refusal.as_result() for refusal in used.refusals],
    }
    return {**entry, "resource_pool": vm.place.pool_name} if vm.place.pool_name else entry


def _parameters(wanted: ChildPlan, vm: Child | None) -> list[str]:
    """The names of the parameters that a child has."""
    asked = () if isinstance(wanted, Remove) else wanted.request.config
    keys = {*asked, *(vm.config if vm else ())}
    shown = [key for key in keys if key.startswith(PARAMETER_PREFIX) and not is_own(key)]
    return sorted(key.removeprefix(PARAMETER_PREFIX) for key in shown)


def _after(item: ParentItem, check: bool) -> Parent:
    """The parent now; in check mode, as it would be after its steps."""
    after = item.now
    for step in item.done if check else ():
        after = dataclasses.replace(after, **_MAKES[step])
    return after


def _diff(parents: t.Sequence[ParentItem], children: t.Sequence[ChildItem], check: bool) -> dict[str, str]:
    before, after = [], []
    for parent in parents:
        if parent.done:
            before += _parent_lines(parent.found.parent)
            after += _parent_lines(_after(parent, check))
        if {RESET, QUIESCE} <= set(parent.done):
            before.append(freeze.SCRIPTS[0])
            after.append(freeze.SCRIPTS[1])
    for child in children:
        if child.error is None:
            old, new = _child_lines(child.wanted)
            before += old
            after += new
    return _engine.diff(before, after)


def _parent_lines(parent: Parent) -> list[str]:
    snapshot = [] if not parent.snapshots else [f"  snapshots: {names.listing(parent.snapshots)}\n"]
    return [f"{parent.name}:\n", f"  state: {parent.state}\n", *snapshot]


def _child_lines(wanted: ChildPlan) -> tuple[list[str], list[str]]:
    head = f"{wanted.name}:\n"
    if isinstance(wanted, Create):
        place, power = wanted.placement, expected(wanted).power_state
        lines = [
            head,
            f"  parent: {wanted.parent.name}\n",
            f"  child_type: {type_after(wanted)}\n",
            f"  folder: {place.folder_path}\n",
            f"  resource_pool: {place.pool.path}\n",
            f"  power_state: {power}\n",
        ]
        return [], [*lines, *(f"  {key}: (set)\n" for key in sorted(wanted.request.config))]
    if isinstance(wanted, Remove):
        was = wanted.existing
        return [head, f"  moid: {was.moid}\n", f"  power_state: {was.power_state}\n"], []
    if isinstance(wanted, Change) and wanted.steps:
        return _engine.changes(head, wanted.differences)
    return [], []
