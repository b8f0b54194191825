# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An instant clone parent task from its options to its result.

Takes plain options and a Session, so that it runs in a module as well as in an action plugin.
"""

from __future__ import annotations

import time
import typing as t

from .._connector import names
from .._connector.releases import require_instant_clones
from .._errors import NotAttempted, PartialFailure, Reason
from . import api, freezing, lookup, plan, report
from .job import Job, Standing, batch
from .options import ParentOptions

if t.TYPE_CHECKING:
    from .._connector.batch import Outcome
    from .._connector.session import Session


def run(session: Session, options: ParentOptions, *, check: bool) -> dict[str, t.Any]:
    """Do what the options ask for, or in check mode find out what that would be.

    :returns: the module's result: ``changed``, ``parents``, ``diff`` and ``timing``.
    :raises VforgeError: before anything was changed.
    :raises PartialFailure: when a parent could not be brought to the state; it holds the whole result.
    """
    require_instant_clones(session)
    begun = time.monotonic()
    found = lookup.find_parents(session, options.selectors, options.datacenter)
    standings = [_standing(item, options) for item in found]
    looked_up = time.monotonic()
    job = Job(session, options, standings, session.deadline(options.timeout))
    stopped = _carry_out(job, check)
    result = report.result(standings, check)
    result["timing"] = {"lookup": round(looked_up - begun, 3), "work": round(time.monotonic() - looked_up, 3)}
    for standing in standings:
        for warning in standing.warnings:
            session.warn(warning)
    failed = [standing for standing in standings if standing.error is not None]
    if failed or stopped is not None:
        raise PartialFailure(_headline(standings, failed, stopped, check), result, hint=_hint(standings, stopped))
    return result


def _standing(found: lookup.Found, options: ParentOptions) -> Standing:
    decided = plan.decide(found.parent, options)
    return Standing(found, decided, found.parent, error=decided.refusal, warnings=list(decided.warnings))


def _carry_out(job: Job, check: bool) -> Reason | None:
    """Do the steps of all parents, or check them; returns why the task ended early, or None."""
    try:
        if check:
            freezing.check(job)
            return None
        _reset(job)
        _collapse(job)
        freezing.freeze(job)
        _look_again(job)
    except Reason as error:
        for standing in job.standings:
            left = [step for step in standing.plan.steps if step not in standing.done]
            if left and standing.error is None:
                standing.error = NotAttempted(f"{standing.now.path}: {', '.join(left)} was not finished.", hint="Run again.")
        return error
    return None


def _reset(job: Job) -> None:
    """Reset frozen parents, and wait until their guests are there again."""
    due = [standing for standing in job.standings if standing.due(plan.RESET)]
    batch(job, due, lambda each: api.start_reset(job.session, each.moid), "parents reset", _was_reset)
    freezing.wait_for_tools(job, due)


def _was_reset(standing: Standing, _outcome: Outcome) -> None:
    standing.finish(plan.RESET, frozen=False, tools=False)


def _collapse(job: Job) -> None:
    """Collapse deltas: a snapshot, and then its removal, which writes all levels into their base."""
    due = [standing for standing in job.standings if standing.due(plan.COLLAPSE)]
    # Where an ended run has left its snapshot, that one does.
    fresh = [standing for standing in due if not standing.now.leftover]
    batch(job, fresh, lambda each: api.start_snapshot(job.session, each.moid), "parents have a snapshot", _was_noted)
    ready = [standing for standing in due if standing.error is None]
    batch(
        job,
        ready,
        lambda each: api.start_remove_snapshots(job.session, each.moid),
        "parents collapsed",
        lambda standing, _outcome: standing.finish(plan.COLLAPSE, leftover=False),
    )


def _was_noted(_standing: Standing, _outcome: Outcome) -> None:
    """Removing the snapshot is what counts."""


def _look_again(job: Job) -> None:
    """How many levels there are after a collapse, in one call for all."""
    collapsed = [standing for standing in job.standings if plan.COLLAPSE in standing.done]
    known = lookup.read_parents(job.session, [standing.moid for standing in collapsed])
    for standing in collapsed:
        if standing.moid in known:
            standing.now = known[standing.moid].parent
            standing.warnings += plan.many_deltas(standing.now)


def _headline(standings: list[Standing], failed: list[Standing], stopped: Reason | None, check: bool) -> str:
    parts = [str(stopped)] if stopped is not None else []
    if len(standings) == 1 and failed and stopped is None:
        parts.append(failed[0].error.message if failed[0].error else "")
    elif failed:
        which = names.listing([standing.now.name for standing in failed], most=5)
        parts.append(f"{len(failed)} of {len(standings)} parents failed ({which}); the first: {failed[0].error}")
    if check:
        parts.append("Nothing was changed: this was check mode.")
    return " ".join(parts)


def _hint(standings: list[Standing], stopped: Reason | None) -> str:
    """What the headline does not say yet: of several parents it quotes the first error whole."""
    alone = standings[0].error if len(standings) == 1 and stopped is None else None
    return alone.hint if alone is not None else ""
