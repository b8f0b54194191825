# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bring parents to the state asked for: one call a step for each, and one wait for all that are quiesced."""

from __future__ import annotations

import dataclasses
import typing as t

from .._connector import standstill
from .._connector.guest import Guest, wait_for_tools
from .._connector.standstill import Stopping
from . import api, plan
from .job import Job, ParentStanding, batch
from .options import MANNER

if t.TYPE_CHECKING:
    from .._connector.batch import Outcome
    from .._connector.session import Session


@dataclasses.dataclass(frozen=True)
class _Call:
    """A step that is one call a parent.

    :ivar makes: what it makes of the parent.
    """

    start: t.Callable[[Session, str], t.Any]
    doing: str
    makes: t.Mapping[str, t.Any]


_CALLS = {
    plan.DISABLE: _Call(api.start_disable, "parents disabled", {"enabled": False, "group_id": ""}),
    plan.RESET: _Call(api.start_reset, "parents reset", {"quiesced": False, "tools": False}),
    plan.ENABLE: _Call(api.start_enable, "parents enabled", {"enabled": True}),
    plan.SNAPSHOT: _Call(api.start_snapshot, "parents have a snapshot", {"snapshots": ("",)}),
}


def bring(job: Job) -> None:
    """Do the steps of all parents; each that fails gets its error.

    :raises VforgeError: when the task ended early.
    """
    for step in _CALLS:
        due = [standing for standing in job.parents if standing.due(step)]
        batch(job, due, _calling(job, step), _CALLS[step].doing, _booking(step))
    _quiesce(job)


def check(job: Job) -> None:
    """In check mode: make sure that the guests take the credentials."""
    due = _reachable(job)
    for standing in due:
        if not standing.now.tools:
            standing.fail(_no_tools(standing))
    ready = [standing for standing in due if standing.error is None]
    batch(job, ready, lambda each: _guest(job, each).validate(), "parents checked", _book_failure)


def _calling(job: Job, step: str) -> t.Callable[[ParentStanding], t.Any]:
    return lambda standing: _CALLS[step].start(job.session, standing.moid)


def _booking(step: str) -> t.Callable[[ParentStanding, Outcome], None]:
    def book(standing: ParentStanding, outcome: Outcome) -> None:
        if outcome.error is not None:
            standing.fail(outcome.error)
        else:
            standing.finish(step, **_CALLS[step].makes)

    return book


def _book_failure(standing: ParentStanding, outcome: Outcome) -> None:
    if outcome.error is not None:
        standing.fail(outcome.error)


def _quiesce(job: Job) -> None:
    """Quiesce the parents that are due; nothing of one that cannot be stays in its guest."""
    _wait_for_tools(job)
    standings = {standing.moid: standing for standing in _reachable(job)}
    begun = {moid: Stopping(moid, standing.now.path, _guest(job, standing)) for moid, standing in standings.items()}
    try:
        batch(
            job,
            standings.values(),
            lambda each: standstill.begin(begun[each.moid], job.options.scripts, MANNER),
            "parents prepared",
            _book_failure,
        )
        waiting = [begun[moid] for moid, standing in standings.items() if standing.error is None]
        standstill.wait(job.session, waiting, MANNER, job.deadline, job.options.timeout, lambda item: _stands(standings, item))
    finally:
        for moid, item in begun.items():
            standings[moid].error = standings[moid].error or item.error
        standstill.clean_up(begun.values(), MANNER)


def _stands(standings: t.Mapping[str, ParentStanding], item: Stopping) -> None:
    standings[item.moid].finish(plan.QUIESCE, quiesced=True, tools=False)


def _reachable(job: Job) -> list[ParentStanding]:
    """The parents to quiesce whose guests vCenter lets this user into."""
    due = [standing for standing in job.parents if standing.due(plan.QUIESCE)]
    for standing in due:
        standing.error = standing.found.no_access
    return [standing for standing in due if standing.error is None]


def _wait_for_tools(job: Job) -> None:
    """Wait until the guests can be worked in; one without Tools fails at once."""
    waiting = {standing.moid: standing for standing in _reachable(job) if not standing.now.tools}
    for standing in waiting.values():
        if not standing.now.tools_installed:
            standing.fail(_no_tools(standing))
    refs = [api.vm(job.session, moid) for moid, standing in waiting.items() if standing.error is None]
    for moid in wait_for_tools(job.session, refs, job.deadline, "guests answer"):
        waiting[moid].fail(_no_tools(waiting[moid]))


def _guest(job: Job, standing: ParentStanding) -> Guest:
    credentials = job.options.credentials
    if credentials is None:
        raise ValueError("quiescing was planned without credentials")
    return Guest(job.session, api.vm(job.session, standing.moid), credentials, standing.found.access)


def _no_tools(standing: ParentStanding) -> t.Any:
    return standstill.no_tools(standing.now.path, MANNER, installed=standing.now.tools_installed)
