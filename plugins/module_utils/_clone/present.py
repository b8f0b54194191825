# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make clones and bring existing ones to what is asked: one batch, one reading, one wait for addresses."""

from __future__ import annotations

import time
import typing as t

from .._connector.batch import Outcome, run_batch
from .._errors import Fault, InvalidOption, Reason
from . import api, lookup, plan
from .absent import remove
from .job import Account, Job, Standing, by_title
from .plan import Step
from .waiting import wait_for_guests, wait_until_ready

_ROLLBACK_SECONDS = 300.0

# How long another run's clone of a wanted name may take to be there in full; a stranger never looks ready.
_READY_SECONDS = 60.0

_Booked = t.Sequence[tuple[Standing, Outcome]]


def make_clones(job: Job) -> Account:
    """Carry out the steps of ``state: present``."""
    standings = [_standing(step) for step in job.steps]
    due = by_title([standing for standing in standings if standing.step.writes])
    if any(standing.step.kind == plan.CREATE for standing in due.values()):
        job.kind.prepare(job)
    works = [job.kind.work(job, title, standing.step) for title, standing in due.items()]
    done = run_batch(job.session, works, job.options.parallel, job.deadline, "clones made")
    booked = [(due[title], outcome) for title, outcome in done.outcomes.items()]
    for standing, outcome in booked:
        _book(standing, outcome)
    job.timer.lap("clone")
    stopped = _look_after(job, standings, booked, done.stopped)
    if job.options.on_error == "rollback" and (stopped or any(standing.error for standing in standings)):
        _roll_back(job, standings)
        job.timer.lap("rollback")
    return Account(standings, stopped)


def _look_after(job: Job, standings: list[Standing], booked: _Booked, stopped: Reason | None) -> Reason | None:
    """Finish what was made, learn what the clones are now, and wait for their addresses.

    :param stopped: why the batch ended early, or None.
    :returns: why the task ended early, or None: whatever goes wrong here, what was made is still told.
    """
    try:
        _adopt(job, booked)
        if stopped is None:
            stopped = job.kind.finish(job, standings)
        _read_again(job, [standing for standing in standings if standing.changed])
        job.timer.lap("read")
        if stopped is None and wait_for_guests(job, standings):
            job.timer.lap("wait_for_ip" if job.options.wait_for_ip else "wait_for_wake")
    except Reason as error:
        return stopped or error
    return stopped


def check_clones(job: Job) -> Account:
    """Ask vCenter whether each missing clone could be made; change nothing."""
    standings = [_standing(step) for step in job.steps]
    due = by_title([standing for standing in standings if standing.step.kind == plan.CREATE])
    works = [job.kind.question(job, title, standing.step) for title, standing in due.items()]
    done = run_batch(job.session, works, job.options.parallel, job.deadline, "clones checked")
    for standing in standings:
        standing.changed = standing.step.kind in (plan.CREATE, plan.UPDATE)
    for title, outcome in done.outcomes.items():
        standing = due[title]
        errors, warnings = api.check_messages(outcome.result or ()) if outcome.error is None else ([], [])
        standing.warnings += warnings
        if outcome.error is not None or errors:
            standing.changed = False
            standing.fail(outcome.error or InvalidOption(f"vCenter would refuse {standing.step.name}: {'; '.join(errors)}."))
        else:
            standing.vm = job.kind.expected(standing.step)
    job.timer.lap("check")
    return Account(standings, done.stopped)


def _standing(step: Step) -> Standing:
    if step.kind == plan.CONFLICT:
        standing = Standing(step, "failed", vm=step.existing)
        standing.fail(
            InvalidOption(
                f"{step.name} is not made: {step.reason}.",
                hint="Choose another name or folder, or remove what holds the name.",
                conflict=True,
            )
        )
        return standing
    action = {plan.CREATE: "created", plan.UPDATE: "updated"}.get(step.kind, "unchanged")
    return Standing(step, action, vm=step.existing)


def _book(standing: Standing, outcome: Outcome) -> None:
    standing.seconds, standing.calls = outcome.seconds, outcome.calls
    if outcome.error is not None:
        standing.fail(outcome.error)
        return
    standing.changed = True
    if standing.step.kind == plan.CREATE:
        standing.made, standing.moid = True, outcome.result._GetMoId()


def _adopt(job: Job, booked: _Booked) -> None:
    """A name that was taken meanwhile is success where the holder is this parent's clone of that name.

    Its maker is another run, or this one: a call whose answer was lost is sent again, and then finds the name taken by
    what the first one made.
    """
    taken = {
        outcome.error.holder: (standing, outcome)
        for standing, outcome in booked
        if isinstance(outcome.error, Fault) and outcome.error.fault == "DuplicateName" and outcome.error.holder
    }
    if not taken:
        return
    owned = [(api.vm(job.session, moid), standing.step.parent) for moid, (standing, _outcome) in taken.items()]
    wait_until_ready(job.session, list(taken), job.kind.born, min(job.deadline, time.monotonic() + _READY_SECONDS))
    for moid, vm in lookup.read_existing(job.session, owned).items():
        standing, outcome = taken[moid]
        if plan.why_stranger(vm, standing.step.source.instance_uuid) == "":
            standing.error, standing.vm, standing.moid = None, vm, moid
            standing.action = "created" if outcome.repeated else "unchanged"
            standing.changed = standing.made = outcome.repeated


def _read_again(job: Job, standings: list[Standing]) -> None:
    """What the changed VMs are now, in one call for all."""
    moids = [standing.moid or (standing.vm.moid if standing.vm else "") for standing in standings]
    owned = [(api.vm(job.session, moid), item.step.parent) for item, moid in zip(standings, moids, strict=True)]
    known = lookup.read_made(job.session, owned)
    for standing, moid in zip(standings, moids, strict=True):
        standing.vm = known.get(moid, standing.vm)


def _roll_back(job: Job, standings: list[Standing]) -> None:
    """Remove what this task made, and nothing else."""
    made = [standing for standing in standings if standing.made]
    doomed = [Standing(standing.step, "removed", vm=standing.vm, moid=standing.moid) for standing in made]
    # The deadline may be what failed; cleaning up has a time of its own.
    remove(job.session, doomed, job.options.parallel, time.monotonic() + _ROLLBACK_SECONDS)
    for standing, gone in zip(made, doomed, strict=True):
        if gone.error is None:
            standing.action, standing.changed, standing.vm = "rolled_back", False, None
        else:
            standing.warnings.append(f"{standing.step.name} could not be rolled back: {gone.error}")
