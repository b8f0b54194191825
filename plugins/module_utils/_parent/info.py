# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is known of instant clone parents: their state, their deltas, their children, and what would
refuse a clone.
"""

from __future__ import annotations

import dataclasses
import time
import typing as t

from .._connector import names
from .._connector.versions import require_instant_clones
from .._engine import Item, Task
from .._errors import Fault, NotSupported, TaskGone, VforgeError
from . import plan, read, report
from .model import InfoOptions, Obstacle, Parent
from .task import PARALLEL

if t.TYPE_CHECKING:
    from .._connector.batch import Outcome
    from .._connector.session import Session

# A dry run only looks; this is far more than it needs.
_CHECK_SECONDS = 120.0


@dataclasses.dataclass(kw_only=True)
class ParentItem(Item):
    """A parent that is looked at.

    :ivar refusals: what vCenter would refuse a clone for.
    :ivar not_asked: why vCenter does not say, which is no failure of a task that only looks.
    """

    parent: Parent
    refusals: list[Obstacle] = dataclasses.field(default_factory=list)
    not_asked: VforgeError | None = None

    @property
    def title(self) -> str:
        """What messages call it."""
        return self.parent.path or self.parent.moid


def run(session: Session, options: InfoOptions) -> dict[str, t.Any]:
    """The module's result: ``parents``, one entry each in the order asked for. Changes nothing.

    :raises PartialFailure: a VM of several is not there, or a signal or the loss of the server kept
        vCenter from being asked; it holds the whole result.
    """
    require_instant_clones(session)
    found = read.find_parents(session, options.selectors, options.datacenter)
    deadline = min(session.limit.end, time.monotonic() + _CHECK_SECONDS)
    task: Task[ParentItem] = Task(session, [], "parents", deadline=deadline, parallel=PARALLEL)
    there = task.found("parents", found, options.selectors)
    items = task.items = [ParentItem(parent=each.parent) for _place, each in there]
    uuids = [item.parent.instance_uuid for item in items]
    children = read.read_children(session, uuids) if options.children and items else {}
    with task.accounted():
        if options.ask_vcenter:
            _ask(task)
    entries = [
        report.info(
            item.parent,
            children.get(item.parent.instance_uuid, ()),
            _merged(plan.obstacles(item.parent), item.refusals),
            item.not_asked or item.error,
        )
        for item in items
    ]
    lost = names.listing([item.title for item in items if item.error is not None], most=5)
    return task.finish(
        {"changed": False, "parents": task.with_missing("parents", entries)},
        advice=f"It is not known whether vCenter would clone {lost}." if lost else "",
    )


def _ask(task: Task[ParentItem]) -> None:
    """What vCenter would refuse a clone of each VM for, by a dry run."""

    def note(item: ParentItem, outcome: Outcome) -> None:
        error = outcome.error
        if error is None:
            item.refusals = read.refusals(outcome.result or ())
            error = _no_answer(item) if outcome.result is None else None
        elif not isinstance(error, (Fault, NotSupported)):
            item.fail(error)
            return
        if error is not None:
            item.not_asked = error
            item.warnings.append(f"vCenter could not be asked for a dry run of a clone of {item.title}: {error}")

    # vCenter says of a VM that is off only that it is off, which is known already.
    running = [item for item in task.items if item.parent.power_state == "poweredOn" and not item.parent.template]
    task.call(
        running,
        lambda item: read.start_check(task.session, item.parent.moid),
        "parents checked",
        note,
        repeatable=True,
        results=lambda _item: True,
    )


def _no_answer(item: ParentItem) -> TaskGone:
    return TaskGone(f"The dry run of a clone of {item.title} ended without a result.", hint="Run again.")


def _merged(known: t.Sequence[Obstacle], asked: t.Iterable[Obstacle]) -> list[Obstacle]:
    """What is known, and what vCenter says besides."""
    codes = {item.code for item in known}
    return [*known, *(item for item in asked if item.code not in codes)]
