# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the parents of a task stand, and what its parts share."""

from __future__ import annotations

import dataclasses
import time
import typing as t

from .._connector.batch import Outcome, Work, run_batch
from .._errors import VforgeError
from .facts import Parent
from .lookup import Found
from .options import ParentOptions
from .plan import Plan

if t.TYPE_CHECKING:
    from .._connector.session import Session

# Calls at the same time; there are few parents, at most one a host.
PARALLEL = 8


@dataclasses.dataclass
class Standing:
    """How one parent stands: grows while the task runs, and is told at its end.

    :ivar done: the steps that were carried out, or in check mode would be.
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

    def due(self, step: str) -> bool:
        """Whether a step is still to be done."""
        return self.error is None and step in self.plan.steps and step not in self.done

    def finish(self, step: str, **changes: t.Any) -> None:
        """Note a step that was done and what it made of the parent."""
        self.done.append(step)
        self.now = dataclasses.replace(self.now, **changes)
        self.seconds = round(time.monotonic() - self.begun, 3)


@dataclasses.dataclass(frozen=True)
class Job:
    """A task that was looked up and planned. ``deadline`` is of ``time.monotonic()``."""

    session: Session
    options: ParentOptions
    standings: list[Standing]
    deadline: float


def batch(
    job: Job,
    standings: t.Sequence[Standing],
    start: t.Callable[[Standing], t.Any],
    doing: str,
    on_success: t.Callable[[Standing, Outcome], None],
) -> None:
    """One call for each of these parents, at once; each that fails gets its error.

    :raises Reason: why the batch ended early, after all were noted.
    """
    by_path = {standing.now.path or standing.moid: standing for standing in standings}
    works = [Work(path, _calling(start, standing)) for path, standing in by_path.items()]
    if not works:
        return
    done = run_batch(job.session, works, PARALLEL, job.deadline, doing)
    for path, outcome in done.outcomes.items():
        if outcome.error is None:
            on_success(by_path[path], outcome)
        else:
            by_path[path].error = outcome.error
    if done.stopped is not None:
        raise done.stopped


def _calling(start: t.Callable[[Standing], t.Any], standing: Standing) -> t.Callable[[], t.Any]:
    return lambda: start(standing)
