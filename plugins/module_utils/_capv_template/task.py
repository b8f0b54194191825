# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The task from its options to its result."""

from __future__ import annotations

import dataclasses
import time
import typing as t

from .._engine import Item, Task, diff
from .._errors import TimedOut, VforgeError
from .._vsphere import hardware_version
from .._vsphere.vm import VIRTUAL_MACHINE, reference
from . import apply, plan, read
from .model import FULL, LINKED, NodeTemplate, Options

if t.TYPE_CHECKING:
    from .._connector.batch import Outcome
    from .._connector.session import Session

# To make it a template again is not cut short by the time of the task.
_SECONDS_TO_CLOSE = 60.0


@dataclasses.dataclass(kw_only=True)
class TemplateItem(Item):
    """The template; ``before`` is as it was found."""

    before: NodeTemplate

    @property
    def title(self) -> str:
        """What messages call it."""
        return self.before.path

    @property
    def name(self) -> str:
        """Of the template."""
        return self.before.name


def run(session: Session, options: Options, *, check: bool) -> dict[str, t.Any]:
    """Do what the options ask for, or in check mode find out what that would be.

    :returns: the module's result: ``changed``, ``template``, ``failures``, ``diff`` and ``timing``.
    :raises VforgeError: before anything was changed.
    :raises PartialFailure: when it failed; it holds the whole result.
    """
    hardware_version.require(session, options.hardware)
    template = read.find(session, options)
    item = TemplateItem(before=template, steps=plan.steps(template, options))
    deadline = session.deadline(options.timeout)
    task = Task(session, [item], "templates", deadline=deadline, parallel=1, check=check)
    with task.phase("work"), task.accounted(), task.working_on(item):
        if check:
            item.foresee()
        else:
            _carry_out(task, options)
    return task.finish(_result(session, item, options, check=check))


def _carry_out(task: Task[TemplateItem], options: Options) -> None:
    session = task.session
    try:
        while _is_taken(task):
            _wait_for_other(task, options)
        task.stage(
            plan.UPGRADE,
            lambda item: apply.start_upgrade(session, item.before.moid, options.hardware),
            "templates upgraded",
            repeatable=True,
            done_already="AlreadyUpgraded",
        )
        task.stage(plan.CLEAN, lambda item: apply.start_clean(session, item.before), "templates cleaned", repeatable=True)
        _spare_snapshot(task, options)
        task.stage(
            plan.SNAPSHOT,
            lambda item: apply.start_snapshot(session, item.before.moid, options.snapshot),
            "templates have a snapshot",
        )
        task.stage(
            plan.CLOSE,
            lambda item: apply.close_template(session, item.before.moid),
            "made templates",
            repeatable=True,
        )
    finally:
        _close(task)


def _is_taken(task: Task[TemplateItem]) -> bool:
    """Make the template a VM; True where another run was faster, and works on it now."""
    taken: list[TemplateItem] = []

    def note(item: TemplateItem, outcome: Outcome) -> None:
        is_vm = outcome.error is not None and apply.is_vm_already(task.session, item.before.moid, outcome.error)
        if is_vm and not outcome.repeated:
            taken.append(item)
        elif outcome.error is None or is_vm:
            item.done.append(plan.OPEN)
        else:
            item.fail(outcome.error)

    task.call(
        [item for item in task.items if item.due(plan.OPEN)],
        lambda item: apply.open_template(task.session, item.before),
        "templates made VMs",
        note,
        repeatable=True,
    )
    for item in taken:
        item.steps = ()  # it is the other's to make a template again
    return bool(taken)


def _wait_for_other(task: Task[TemplateItem], options: Options) -> None:
    """Wait until another run has made it a template again, and look once more what it lacks."""
    late = task.wait_until(
        VIRTUAL_MACHINE,
        (apply.TEMPLATE,),
        {item.before.moid: item for item in task.items},
        lambda _item, update: update.gone or bool(update.state.get(apply.TEMPLATE)),
        "templates that another run works on are templates again",
    )
    for item in task.items:
        if item in late:
            item.fail(
                TimedOut(
                    f"{item.title} is a VM: another run works on it, or was ended while it did.",
                    hint="Raise timeout. If there is no such run, run again, which goes on with it as a VM.",
                )
            )
        else:
            item.before = read.read(task.session, reference(task.session, item.before.moid), options)
            item.steps = plan.steps(item.before, options)


def _spare_snapshot(task: Task[TemplateItem], options: Options) -> None:
    """Make no second snapshot of the name where another run has made it meanwhile: of two CAPV takes none."""
    for item in task.items:
        if item.due(plan.SNAPSHOT):
            now = read.read(task.session, reference(task.session, item.before.moid), options)
            if now.current_snapshot == options.snapshot:
                item.steps = tuple(step for step in item.steps if step != plan.SNAPSHOT)


def _close(task: Task[TemplateItem]) -> None:
    """What was a template is one again, whatever has ended the work; also where nobody knows how
    far that was.
    """

    def note(item: TemplateItem, outcome: Outcome) -> None:
        if outcome.error is None:
            item.done.append(plan.CLOSE)
        else:
            task.session.warn(f"{item.title} is a VM, and could not be made a template again: {outcome.error}")

    due = [item for item in task.items if plan.OPEN in item.steps and item.calls and plan.CLOSE not in item.done]
    task.call(
        due,
        lambda item: apply.close_template(task.session, item.before.moid),
        "made templates again",
        note,
        repeatable=True,
        deadline=time.monotonic() + _SECONDS_TO_CLOSE,
    )


def _result(session: Session, item: TemplateItem, options: Options, *, check: bool) -> dict[str, t.Any]:
    lacked = plan.lacks(item.before, options)
    done = [step for step in item.done if step in (*plan.WORK, plan.CLOSE)]
    # A task that vCenter still works on changes the template, too. To have been a VM for a moment
    # alone is no change.
    started = [part for part in item.parts if part.step in plan.WORK and part.step not in done]
    worked = bool(started) or any(step in plan.WORK for step in done)
    changed = worked or (bool(done) and plan.OPEN not in item.steps)
    now = _now(session, item, options) if changed and not check else item.before
    return {
        "changed": changed,
        "template": {
            **now.naming,
            "template": now.template or check,
            "clone_mode": LINKED if options.snapshot else FULL,
            "snapshot": options.snapshot,
            "hardware_version": f"vmx-{max(now.hardware, options.hardware if check else 0)}",
            "lacked": [lacked[step] for step in lacked],
            "actions": [*(step for step in done if step in plan.WORK or step in lacked), *(part.action for part in started)],
            "seconds": item.seconds,
        },
        "diff": diff(
            [f"{item.title}: {lacked[step]}\n" for step in done if step in lacked],
            [f"{item.title}: {step}\n" for step in done if step in lacked],
        ),
    }


def _now(session: Session, item: TemplateItem, options: Options) -> NodeTemplate:
    """What it is now; what it was, where that cannot be read any more."""
    try:
        return read.read(session, reference(session, item.before.moid), options)
    except VforgeError:
        return item.before
