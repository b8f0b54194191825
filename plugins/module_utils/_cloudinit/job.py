# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the VMs of a task stand, and what its parts share."""

from __future__ import annotations

import collections
import dataclasses
import typing as t

from .._connector.batch import Work, run_batch
from .._errors import Fault, VforgeError
from .._vsphere.reported import Word
from . import keys
from .networks import NOTHING_FIXED, Fixed
from .options import CloudOptions
from .plan import Plan

if t.TYPE_CHECKING:
    from .._connector.session import Session


@dataclasses.dataclass
class Standing:
    """How one VM stands: grows while the task runs, and is told at its end.

    :ivar done: the steps that were carried out.
    :ivar config: its pairs of extraConfig as they were last known; never in ``repr``.
    :ivar fixed: the addresses that the user gives it.
    :ivar addresses: that VMware Tools report for its own cards, as they were last known.
    :ivar reached: whether what was waited for came; None where nothing was.
    """

    plan: Plan
    config: dict[str, str] = dataclasses.field(repr=False)
    power_state: str
    fixed: Fixed = NOTHING_FIXED
    addresses: tuple[str, ...] = ()
    done: list[str] = dataclasses.field(default_factory=list)
    error: VforgeError | None = None
    seconds: float | None = None
    calls: int = 0
    reached: bool | None = None
    warnings: list[str] = dataclasses.field(default_factory=list)

    def due(self, step: str) -> bool:
        """Whether a step is still to be done."""
        return self.error is None and step in self.plan.steps and step not in self.done

    @property
    def word(self) -> Word:
        """What is said of its addresses."""
        return Word(
            self.plan.machine.name,
            told=keys.told_addresses(self.config) if self.power_state == "poweredOn" else (),
            given=self.fixed.addresses,
            firm=self.fixed.firm,
            tools=self.addresses,
        )


@dataclasses.dataclass(frozen=True)
class Job:
    """A task that was looked up and planned. ``deadline`` is of ``time.monotonic()``."""

    session: Session
    options: CloudOptions
    standings: list[Standing]
    deadline: float


def standing(plan: Plan, fixed: Fixed = NOTHING_FIXED) -> Standing:
    """A VM at the beginning of its task."""
    machine = plan.machine
    return Standing(
        plan,
        dict(machine.config),
        machine.power_state,
        fixed,
        machine.addresses,
        error=plan.refusal,
        warnings=list(plan.warnings),
    )


def carry_out(
    job: Job,
    step: str,
    start: t.Callable[[Standing], t.Any],
    doing: str,
    then: t.Callable[[Standing], None],
    *,
    repeatable: bool = True,
    forgiven: str = "",
) -> None:
    """One step of all VMs that it is due for, at once; each that fails gets its error.

    :param then: notes what a step that was done has made of its VM.
    :param repeatable: whether doing it twice is as good as doing it once.
    :param forgiven: name of the fault that means that it was done already.
    :raises Reason: why the batch ended early.
    """
    due = [item for item in job.standings if item.due(step)]
    counts = collections.Counter(item.plan.machine.name for item in due)
    by_title = {item.plan.machine.name if counts[item.plan.machine.name] == 1 else item.plan.machine.path: item for item in due}
    if not by_title:
        return
    works = [Work(title, _calling(start, item), repeatable) for title, item in by_title.items()]
    done = run_batch(job.session, works, job.options.parallel, job.deadline, doing)
    for title, outcome in done.outcomes.items():
        item = by_title[title]
        item.calls += outcome.calls
        if outcome.error is not None and not (isinstance(outcome.error, Fault) and outcome.error.fault == forgiven):
            item.error = outcome.error
            continue
        item.done.append(step)
        item.seconds = round((item.seconds or 0.0) + (outcome.seconds or 0.0), 3)
        then(item)
    if done.stopped is not None:
        raise done.stopped


def _calling(start: t.Callable[[Standing], t.Any], item: Standing) -> t.Callable[[], t.Any]:
    return lambda: start(item)
