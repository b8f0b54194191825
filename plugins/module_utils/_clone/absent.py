# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Remove clones: power off, then destroy, each as one batch."""

from __future__ import annotations

import typing as t

from .._connector.batch import BatchResult, Outcome, Work, run_batch
from .._errors import Fault, InvalidOption, NotAttempted, Reason
from . import api, plan
from .job import Account, Job, Standing, by_title

if t.TYPE_CHECKING:
    from .._connector.session import Session


class _Stage(t.NamedTuple):
    """One call for each VM."""

    start: t.Callable[[Session, str], t.Any]
    doing: str


_POWER_OFF = _Stage(api.start_power_off, "clones powered off")
_DESTROY = _Stage(api.start_destroy, "clones removed")


def remove_clones(job: Job) -> Account:
    """Carry out the steps of ``state: absent``."""
    standings = [_standing(step, job.check) for step in job.steps]
    doomed = [standing for standing in standings if standing.action == "removed"]
    if job.check:
        return Account(standings)
    stopped = remove(job.session, doomed, job.options.parallel, job.deadline)
    job.timer.lap("remove")
    return Account(standings, stopped)


def remove(session: Session, doomed: t.Sequence[Standing], parallel: int, deadline: float) -> Reason | None:
    """Power off and destroy the VMs of these standings; each one that fails gets its error.

    :returns: why the batch ended early, or None.
    """
    by_key = by_title(doomed)
    running = {key: item for key, item in by_key.items() if item.vm is None or item.vm.power_state != "poweredOff"}
    done = _batch(session, running, _POWER_OFF, parallel, deadline)
    if done.stopped is None:
        left = {key: standing for key, standing in by_key.items() if standing.action == "removed"}
        done = _batch(session, left, _DESTROY, parallel, deadline)
    if done.stopped is not None:
        for standing in doomed:
            if standing.action == "removed" and not standing.changed:
                standing.fail(NotAttempted(f"{standing.step.name} was not removed.", hint="Run again."))
    return done.stopped


def _batch(
    session: Session,
    standings: t.Mapping[str, Standing],
    stage: _Stage,
    parallel: int,
    deadline: float,
) -> BatchResult:
    works = [Work(key, _caller(stage, session, _moid(item)), repeatable=True) for key, item in standings.items()]
    done = run_batch(session, works, parallel, deadline, stage.doing)
    for key, outcome in done.outcomes.items():
        standings[key].calls += outcome.calls
        _book(standings[key], outcome, stage)
    return done


def _book(standing: Standing, outcome: Outcome, stage: _Stage) -> None:
    fault = outcome.error.fault if isinstance(outcome.error, Fault) else ""
    if stage is _POWER_OFF and fault == "InvalidPowerState":
        return  # it is off already
    gone = fault == "ManagedObjectNotFound"
    if outcome.error is not None and not gone:
        standing.fail(outcome.error)
    elif gone and not (stage is _DESTROY and outcome.repeated):
        standing.action = "absent"  # somebody else was faster
    elif stage is _DESTROY:
        standing.seconds, standing.changed = outcome.seconds, True


def _caller(stage: _Stage, session: Session, moid: str) -> t.Callable[[], t.Any]:
    return lambda: stage.start(session, moid)


def _moid(standing: Standing) -> str:
    return standing.moid or (standing.vm.moid if standing.vm else "")


def _standing(step: plan.Step, check: bool) -> Standing:
    if step.kind == plan.CONFLICT:
        standing = Standing(step, "failed", vm=step.existing)
        hint = step.advice or "Remove it by hand if it is really to go."
        standing.fail(InvalidOption(f"{step.name} is not removed: {step.reason}.", hint=hint, conflict=True))
        return standing
    if step.kind == plan.NOTHING:
        return Standing(step, "absent")
    return Standing(step, "removed", vm=step.existing, changed=check)
