# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the parts of one task share."""

from __future__ import annotations

import collections
import dataclasses
import time
import typing as t

from .._errors import Reason, VforgeError
from .facts import Existing, Parent
from .kind import Kind
from .options import CloneOptions
from .plan import Step

if t.TYPE_CHECKING:
    from .._connector.session import Session


class Timer:
    """Seconds by phase, for the result's ``timing``."""

    def __init__(self) -> None:
        self._last = time.monotonic()
        self.phases: dict[str, float] = {}

    def lap(self, phase: str) -> None:
        """Book the time since the last lap on ``phase``."""
        now = time.monotonic()
        self.phases[phase] = round(self.phases.get(phase, 0.0) + now - self._last, 3)
        self._last = now


@dataclasses.dataclass(frozen=True)
class Job:
    """A task that was looked up and planned.

    :ivar parents: of the clones; none only where clones of any parent are removed.
    :ivar check: only ask; change nothing.
    :ivar deadline: of ``time.monotonic()``, for all of the work.
    """

    session: Session
    options: CloneOptions
    kind: Kind
    parents: tuple[Parent, ...]
    steps: tuple[Step, ...]
    check: bool
    deadline: float
    timer: Timer


@dataclasses.dataclass
class Standing:
    """How one step stands: grows while the task runs, and is told at its end.

    :ivar action: created, updated, unchanged, removed, absent or failed.
    :ivar vm: the VM as it was last read.
    :ivar made: this task made the VM, so a rollback removes it.
    :ivar ready: whether it is a template that can be cloned; None where it is to be none.
    :ivar wake: how its scripts for waking went; None where it has none, or they were not asked after.
    :ivar parents_keys: whether it tells that its SSH host keys are its parent's.
    :ivar customized: whether its guest was customized; None where that was not asked for.
    """

    step: Step
    action: str
    changed: bool = False
    vm: Existing | None = None
    moid: str | None = None
    error: VforgeError | None = None
    seconds: float | None = None
    calls: int = 0
    made: bool = False
    customized: bool | None = None
    ready: bool | None = None
    wake: str | None = None
    parents_keys: bool = False
    warnings: list[str] = dataclasses.field(default_factory=list)

    def fail(self, error: VforgeError) -> None:
        """Note a failure; what was made stays known."""
        self.action, self.error = "failed", error


def by_title(standings: t.Sequence[Standing]) -> dict[str, Standing]:
    """The standings by what messages call them: the name, with the folder where two have it."""
    counts = collections.Counter(standing.step.name for standing in standings)
    return {_title(standing.step, counts[standing.step.name] > 1): standing for standing in standings}


def _title(step: Step, with_folder: bool) -> str:
    return f"{step.name} in {step.request.folder or 'the folder of the parent'}" if with_folder else step.name


@dataclasses.dataclass(frozen=True)
class Account:
    """The end of a task: one standing a step, and why it ended early, if it did."""

    standings: list[Standing]
    stopped: Reason | None = None
