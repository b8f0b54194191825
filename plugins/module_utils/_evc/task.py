# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The task from its options to its result: of a cluster, see ``clusters``, or of VMs with modes of their own."""

from __future__ import annotations

import typing as t

from .._engine import UNTOUCHED, Task, diff
from .._errors import VforgeError
from . import apply, clusters, cycle, plan, read
from .cycle import VmItem
from .model import PRESENT, EvcVm, Options, Release
from .plan import APPLY

if t.TYPE_CHECKING:
    from .._connector.session import Session
    from .._vsphere.processors import Mode


def run(session: Session, options: Options, *, check: bool) -> dict[str, t.Any]:
    """Do what the options ask for, or in check mode find out what that would be.

    :returns: the module's result: ``changed``, ``cluster`` with its ``obstacles``, or ``vms``;
        ``failures``, ``diff`` and ``timing``.
    :raises VforgeError: before anything was changed.
    :raises PartialFailure: when the cluster or a VM failed; it holds the whole result.
    """
    return clusters.run(session, options, check=check) if options.cluster else _run(session, options, check=check)


def _run(session: Session, options: Options, *, check: bool) -> dict[str, t.Any]:
    deadline = session.deadline(options.timeout)
    task: Task[VmItem] = Task(session, [], "VMs", deadline=deadline, parallel=options.parallel, check=check)
    with task.phase("lookup"):
        release, key, found = read.find_vms(session, options.selectors, options.datacenter)
        mode = release.mode(options.mode) if options.state == PRESENT else None
        there = task.found("vms", found, options.selectors)
        task.items = [_item(vm, options, mode) for _place, vm in there]
        cycle.check_privileges(task, task.items, key)
    with task.phase("work"), task.accounted():
        _carry_out(task, options)
    return task.finish(_result(task, release))


def _item(vm: EvcVm, options: Options, mode: Mode | None) -> VmItem:
    decided = plan.decide_vm(vm, options, mode)
    return VmItem(vm=vm, now=vm, mode=mode, steps=decided.steps, error=decided.refusal)


def _carry_out(task: Task[VmItem], options: Options) -> None:
    if task.check:
        for item in task.items:
            item.foresee()
        return
    try:
        _cycle(task, options)
    finally:
        cycle.bring_back(task, task.items)


def _cycle(task: Task[VmItem], options: Options) -> None:
    cycle.mark_all(task)
    cycle.shut_down(task, task.items, options)
    task.stage(
        APPLY,
        lambda item: apply.start_apply(task.session, item.vm.moid, item.mode, options.complete_masks),
        "VMs have their mode",
        repeatable=True,
    )
    cycle.bring_back(task, [item for item in task.items if item.error is not None])
    cycle.start_all(task, task.items, options)
    _look_again(task)
    cycle.unmark_all(task)


def _look_again(task: Task[VmItem]) -> None:
    """Whether vCenter has what it was given: one call for all VMs that were changed."""
    changed = [item for item in task.items if item.changed]
    if not changed:
        return
    known = read.read_again(task.session, [item.vm.moid for item in changed])
    for item in changed:
        item.now = known.get(item.vm.moid, item.now)
        if APPLY in item.done and item.error is None and not item.now.has_masks_of(item.mode):
            item.fail(VforgeError(f"{item.title} has other masks than those of the mode that it was given.", hint="Run again."))


def _result(task: Task[VmItem], release: Release) -> dict[str, t.Any]:
    changed = [item for item in task.items if APPLY in item.done]
    entries = [cycle.entry(item, release) for item in task.items]
    untouched = {**UNTOUCHED, "mode": None, "previous_mode": None, "needs_mode": None, "power_state": ""}
    return {
        "changed": any(item.changed for item in task.items),
        "vms": task.with_missing("vms", entries, **untouched),
        "diff": diff(
            [f"{item.title}: EVC mode {cycle.own_mode(item.vm, release) or 'none'}\n" for item in changed],
            [f"{item.title}: EVC mode {item.mode.key if item.mode else 'none'}\n" for item in changed],
        ),
    }
