# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the parents and the children of a task stand, and what its parts share."""

from __future__ import annotations

import dataclasses
import time
import typing as t

from .._connector.batch import Outcome, Work, run_batch
from .._errors import NotAttempted, VforgeError
from .facts import Child, Parent
from .lookup import Found
from .options import ForkOptions
from .plan import Plan, Step

if t.TYPE_CHECKING:
    from .._connector.session import Session


@dataclasses.dataclass
class ParentStanding:
    """How one parent stands: grows while the task runs, and is told at its end.

    :ivar done: the steps that were carried out.
    :ivar now: the parent as it was last known.
    """

    found: Found
    plan: Plan
    now: Parent
    done: list[str] = dataclasses.field(default_factory=list)
    error: VforgeError | None = None
    warnings: list[str] = dataclasses.field(default_factory=list)
    begun: float = dataclasses.field(default_factory=time.monotonic)
    seconds: float = 0.0

    @property
    def moid(self) -> str:
        """Of the VM."""
        return self.now.moid

    @property
    def title(self) -> str:
        """What messages call it."""
        return self.now.path or self.now.moid

    def due(self, step: str) -> bool:
        """Whether a step is still to be done."""
        return self.error is None and step in self.plan.steps and step not in self.done

    def finish(self, step: str, **changes: t.Any) -> None:
        """Note a step that was done and what it made of the parent."""
        self.done.append(step)
        self.now = dataclasses.replace(self.now, **changes)
        self.seconds = round(time.monotonic() - self.begun, 3)

    def fail(self, error: VforgeError) -> None:
        """Note why it is not brought to the state asked for."""
        self.error = error


@dataclasses.dataclass
class ChildStanding:
    """How one child stands.

    :ivar action: created, updated, unchanged, removed, absent or failed.
    :ivar vm: the child as it was last read.
    :ivar home: its parent.
    :ivar powered: whether it was brought to its power state.
    """

    step: Step
    home: ParentStanding
    action: str
    changed: bool = False
    vm: Child | None = None
    moid: str = ""
    error: VforgeError | None = None
    seconds: float | None = None
    calls: int = 0
    powered: bool = False

    @property
    def title(self) -> str:
        """What messages call it; two children of one name are in two folders."""
        place = self.step.placement
        return f"{self.step.name} in {place.folder_path}" if place is not None and self.step.request.folder else self.step.name

    def due(self) -> bool:
        """Whether it and its parent are well so far."""
        return self.error is None and self.home.error is None

    def fail(self, error: VforgeError) -> None:
        """Note a failure; what was made stays known."""
        self.action, self.error = "failed", error


E = t.TypeVar("E", ParentStanding, ChildStanding)


@dataclasses.dataclass(frozen=True)
class Job:
    """A task that was looked up and planned. ``deadline`` is of ``time.monotonic()``."""

    session: Session
    options: ForkOptions
    parents: list[ParentStanding]
    children: list[ChildStanding]
    deadline: float


def batch(
    job: Job,
    items: t.Iterable[E],
    start: t.Callable[[E], t.Any],
    doing: str,
    book: t.Callable[[E, Outcome], None],
    *,
    repeatable: bool = False,
) -> None:
    """One call for each of these, at once.

    :param book: called with each, however it went.
    :raises VforgeError: why it ended early, after all were booked.
    """
    by_title = {item.title: item for item in items}
    works = [Work(title, _calling(start, item), repeatable) for title, item in by_title.items()]
    if not works:
        return
    done = run_batch(job.session, works, job.options.parallel, job.deadline, doing)
    for title, outcome in done.outcomes.items():
        book(by_title[title], outcome)
    if done.stopped is not None:
        raise done.stopped


def account_for_the_rest(job: Job) -> None:
    """After an early end: each parent and child that has not come to its end says so."""
    for parent in job.parents:
        left = [step for step in parent.plan.steps if step not in parent.done]
        if left and parent.error is None:
            parent.fail(NotAttempted(f"{parent.title}: {', '.join(left)} was not done.", hint="Run again."))
    for child in job.children:
        if child.error is not None or child.action in ("unchanged", "absent"):
            continue
        if child.action == "removed" and not child.changed:
            child.fail(NotAttempted(f"{child.title} was not removed.", hint="Run again."))
        elif child.action in ("created", "updated") and not (child.changed and (child.powered or not child.step.power)):
            what = "was not powered " + child.step.power if child.changed and child.step.power else "was not begun"
            child.fail(NotAttempted(f"{child.title} {what}.", hint="Run again."))


def _calling(start: t.Callable[[E], t.Any], item: E) -> t.Callable[[], t.Any]:
    return lambda: start(item)
