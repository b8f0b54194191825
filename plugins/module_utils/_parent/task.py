# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An instant clone parent task from its options to its result.

Takes plain options and a Session, so that it runs in a module as well as in an action plugin.
"""

from __future__ import annotations

import dataclasses
import time
import typing as t

from .. import _freeze_stage
from .._connector.versions import require_instant_clones
from .._engine import Part, Task, note_failure
from .._freeze_stage import FreezeStage
from .._vsphere import snapshots, vm
from . import plan, read, report
from .model import METHOD, SNAPSHOT_NAME, Parent, ParentOptions
from .plan import COLLAPSE, FREEZE, RESET

if t.TYPE_CHECKING:
    from .._connector.batch import Outcome
    from .._connector.session import Session
    from .._vsphere.freeze import Found

# Calls at the same time; there are few parents, at most one a host.
PARALLEL = 8

# In the description of the snapshot by which deltas are collapsed.
_ABOUT = "Collapses the deltas of an instant clone parent; safe to remove."


@dataclasses.dataclass(kw_only=True)
class ParentItem(_freeze_stage.ParentItem[Parent]):
    """A parent of the task.

    :ivar until_last_change: seconds; freezing is the guest's work, of which vCenter knows no time.
    """

    begun: float = dataclasses.field(default_factory=time.monotonic)
    until_last_change: float = 0.0

    def become(self, **changes: t.Any) -> None:
        """Note what a step has made of it."""
        super().become(**changes)
        self.until_last_change = round(time.monotonic() - self.begun, 3)


def run(session: Session, options: ParentOptions, *, check: bool) -> dict[str, t.Any]:
    """Do what the options ask for, or in check mode find out what that would be.

    :returns: the module's result: ``changed``, ``parents``, ``failures``, ``diff`` and ``timing``.
    :raises VforgeError: before anything was changed.
    :raises PartialFailure: when a parent could not be brought to the state; it holds the whole
        result.
    """
    require_instant_clones(session)
    deadline = session.deadline(options.timeout)
    task: Task[ParentItem] = Task(session, [], "parents", deadline=deadline, parallel=PARALLEL, check=check)
    with task.phase("lookup"):
        found = read.find_parents(session, options.selectors, options.datacenter)
        there = task.found("parents", found, options.selectors)
        task.items = [_item(parent, options) for _place, parent in there]
    freezing = FreezeStage(
        task=task,
        step=FREEZE,
        method=METHOD,
        scripts=options.scripts,
        credentials=options.credentials,
        timeout=options.timeout,
        makes={"frozen": True},
    )
    with task.phase("work"), task.accounted():
        _check(task, freezing) if check else _carry_out(task, freezing)
    return task.finish(report.result(task))


def _item(found: Found[Parent], options: ParentOptions) -> ParentItem:
    decided = plan.decide(found.parent, options)
    return ParentItem(
        found=found,
        now=found.parent,
        steps=decided.steps,
        error=decided.refusal,
        warnings=list(decided.warnings),
    )


def _check(task: Task[ParentItem], freezing: FreezeStage) -> None:
    """Make sure that the guests take the credentials; what a real run would do then counts as done."""
    # A frozen one answers only after the reset that check mode leaves out.
    reachable = freezing.reachable(task.items)
    freezing.check([(item, guest) for item, guest in reachable if not item.now.frozen])
    for item in task.items:
        item.foresee()


def _carry_out(task: Task[ParentItem], freezing: FreezeStage) -> None:
    _reset(task, freezing)
    _collapse(task)
    freezing.run(task.items)
    _look_again(task)


def _reset(task: Task[ParentItem], freezing: FreezeStage) -> None:
    """Reset frozen parents, and wait until their guests are there again."""
    due = [item for item in task.items if item.due(RESET)]
    task.stage(
        RESET,
        lambda item: vm.start_reset(task.session, item.now.moid),
        "parents reset",
        then=lambda item, _outcome: item.become(frozen=False, tools=False),
    )
    freezing.wait_for_tools(due)


def _collapse(task: Task[ParentItem]) -> None:
    """Collapse deltas: a snapshot, and then its removal, which writes all levels into their base."""
    # Where an ended run has left its snapshot, that one does.
    fresh = [item for item in task.items if item.due(COLLAPSE) and not item.now.leftover]
    task.call(
        fresh,
        # Without memory, and without asking the guest.
        lambda item: snapshots.start_create(task.session, item.now.moid, SNAPSHOT_NAME, _ABOUT),
        "parents have a snapshot",
        note_failure,
        part=Part(COLLAPSE, "snapshot_created"),
    )
    _spare_snapshots(task, fresh)
    task.stage(
        COLLAPSE,
        lambda item: snapshots.start_remove_all(task.session, item.now.moid),
        "parents collapsed",
        then=lambda item, _outcome: item.become(leftover=False),
    )


def _spare_snapshots(task: Task[ParentItem], fresh: t.Sequence[ParentItem]) -> None:
    """Leave parents alone of which somebody has made a snapshot since they were read: a collapse
    removes all.

    :param fresh: those that have got the snapshot of a collapse; it is removed alone.
    """
    due = {item.now.moid: item for item in task.items if item.due(COLLAPSE)}
    known = snapshots.read_snapshots(task.session, list(due)) if due else {}
    ours: dict[str, str] = {}
    for moid, found in known.items():
        others = tuple(each.name for each in found if each.name != SNAPSHOT_NAME)
        if others:
            due[moid].fail(plan.own_snapshots(dataclasses.replace(due[moid].now, snapshots=others)))
            ours.update((moid, each.moid) for each in found if each.name == SNAPSHOT_NAME)

    def note(item: ParentItem, outcome: Outcome) -> None:
        if outcome.error is not None:
            why = f"which could not be removed: {outcome.error}"
            item.warnings.append(f"{item.title} keeps the snapshot {SNAPSHOT_NAME}, {why}")
        else:
            item.parts = [part for part in item.parts if part.step != COLLAPSE]

    task.call(
        [item for item in fresh if item.now.moid in ours],
        lambda item: snapshots.start_remove(task.session, ours[item.now.moid]),
        "snapshots removed",
        note,
    )


def _look_again(task: Task[ParentItem]) -> None:
    """How many levels there are after a collapse, in one call for all."""
    collapsed = [item for item in task.items if COLLAPSE in item.done]
    known = read.read_parents(task.session, [item.now.moid for item in collapsed])
    for item in collapsed:
        if item.now.moid in known:
            item.now = known[item.now.moid].parent
            item.warnings += plan.many_deltas(item.now)
