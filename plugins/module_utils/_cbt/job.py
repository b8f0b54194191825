# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the VMs of a task stand, and what its parts share."""

from __future__ import annotations

import dataclasses
import secrets
import threading
import time
import typing as t

from .._connector.batch import Outcome, Work, run_batch
from .._errors import NotAttempted, Reason, VforgeError
from .areas import Area, Tally
from .changeid import FullRequired
from .facts import Disk, Snapshot, Vm
from .options import AreaOptions, Target
from .plan import Plan, Questions
from .sink import AreaFiles
from .state import State

if t.TYPE_CHECKING:
    from .._connector.session import Session


@dataclasses.dataclass
class Answer:
    """What was found of one disk.

    :ivar full: why the whole disk has to be read; ``tally`` and areas are then None.
    :ivar areas: None where they are in the file ``path``.
    :ivar error: why nothing is known, not even that.
    :ivar uncommitted: earlier questions that were asked from the same point, and when, by ID.
    """

    disk: Disk
    since: str | None
    full: FullRequired | None = None
    tally: Tally | None = None
    areas: list[Area] | None = None
    path: str | None = None
    error: VforgeError | None = None
    pages: int = 0
    uncommitted: t.Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class Standing:
    """How one VM stands: grows while the task runs, and is told at its end.

    :ivar vm: as it was last known; ``before`` as it was found.
    :ivar own: moid of the snapshot that this run made and has not removed yet.
    :ivar unsure: whether it may have made one of which it knows nothing.
    :ivar late: moid of the task that was still making it.
    :ivar used: moid of the snapshot that was asked about.
    :ivar done: what was done: leftover_removed, switched_on...
    """

    vm: Vm
    target: Target
    before: Vm
    plan: Plan
    own: str | None = None
    unsure: bool = False
    late: str | None = None
    used: str | None = None
    made: bool = False
    done: list[str] = dataclasses.field(default_factory=list)
    leftovers: list[Snapshot] = dataclasses.field(default_factory=list)
    questions: Questions = dataclasses.field(default_factory=Questions)
    answers: dict[int, Answer] = dataclasses.field(default_factory=dict)
    error: VforgeError | None = None
    warnings: list[str] = dataclasses.field(default_factory=list)

    @property
    def moid(self) -> str:
        """Of the VM."""
        return self.vm.moid

    def fail(self, error: VforgeError) -> None:
        """Note what went wrong; the first error is the one that counts."""
        self.error = self.error or error


@dataclasses.dataclass
class Job:
    """A task that was looked up.

    :ivar state: what the state file has; None where none is used.
    :ivar files: where the areas go.
    :ivar deadline: of ``time.monotonic()``.
    :ivar session_key: of the session in vCenter; None where it cannot be read.
    :ivar stopped: why the task ended early.
    :ivar unwritten: whether files of areas are not where they are told to be.
    :ivar stop: set with it; work that is under way ends as soon as it can.
    :ivar run: names this run in the marks of its snapshots, and its question in the state file.
    """

    session: Session
    options: AreaOptions
    standings: list[Standing]
    state: State | None
    files: AreaFiles
    deadline: float
    check: bool = False
    session_key: str | None = None
    stopped: Reason | None = None
    unwritten: bool = False
    stop: threading.Event = dataclasses.field(default_factory=threading.Event)
    run: str = dataclasses.field(default_factory=lambda: secrets.token_hex(8))
    phases: dict[str, float] = dataclasses.field(default_factory=dict)

    @property
    def failed(self) -> list[Standing]:
        """The VMs with an error."""
        return [standing for standing in self.standings if standing.error is not None]

    def end(self, why: Reason | None) -> None:
        """Note that the task ends early, unless that is known."""
        if why is not None:
            self.stopped = self.stopped or why
            self.stop.set()

    def lap(self, phase: str, begun: float) -> None:
        """Add the time since ``begun`` to a phase."""
        self.phases[phase] = round(self.phases.get(phase, 0.0) + time.monotonic() - begun, 3)


def batch(
    job: Job,
    standings: t.Sequence[Standing],
    start: t.Callable[[Standing], t.Any],
    doing: str,
    deadline: float | None = None,
) -> dict[str, Outcome]:
    """One call for each of these VMs, at once, and one wait for all of their tasks; the outcomes by moid."""
    works = [Work(item.vm.path, _calling(start, item)) for item in standings]
    if not works:
        return {}
    done = run_batch(job.session, works, job.options.parallel, deadline or job.deadline, doing)
    job.end(done.stopped)
    return {item.moid: done.outcomes[item.vm.path] for item in standings}


def not_attempted(standing: Standing) -> NotAttempted:
    """The error of a VM whose turn did not come."""
    return NotAttempted(f"{standing.vm.path} was not begun, since the task ended early.", hint="Run again.")


def waves(standings: t.Sequence[Standing], size: int) -> t.Iterator[list[Standing]]:
    """Some of the VMs after the other."""
    for first in range(0, len(standings), size):
        yield list(standings[first : first + size])


def _calling(start: t.Callable[[Standing], t.Any], standing: Standing) -> t.Callable[[], t.Any]:
    return lambda: start(standing)
