# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Freeze parents: all are prepared at once, and one wait sees all of them stand still."""

from __future__ import annotations

import dataclasses
import typing as t

from .._errors import GuestError, Reason
from .._vsphere import freezing
from .._vsphere.freezing import Stopping
from .._vsphere.guest import Guest
from .._vsphere.guest import wait_for_tools as wait_in_guests
from .._vsphere.wakestate import new_run
from . import api, plan
from .job import Job, Standing, batch
from .options import MANNER


def freeze(job: Job) -> None:
    """Freeze the parents that are due; each that cannot be gets its error, and nothing of it stays in its guest."""
    due = _reachable(job)
    wait_for_tools(job, due)
    standings = {standing.moid: standing for standing in due if standing.error is None}
    salt = new_run()
    begun = {moid: _stopping(job, standing, salt) for moid, standing in standings.items()}
    try:
        batch(
            job,
            list(standings.values()),
            lambda each: freezing.begin(begun[each.moid], job.options.scripts, MANNER),
            "parents prepared",
            _noted,
        )
        waiting = [begun[moid] for moid, standing in standings.items() if standing.error is None]
        freezing.wait(
            job.session,
            waiting,
            MANNER,
            job.options.scripts,
            job.deadline,
            job.options.timeout,
            lambda item: _frozen(standings, item),
        )
    except Reason:
        freezing.clean_up(begun.values(), MANNER)
        freezing.settle(job.session, begun.values(), MANNER, lambda item: _frozen(standings, item))
        raise
    finally:
        for moid, item in begun.items():
            standings[moid].error = item.error or standings[moid].error
        freezing.clean_up(begun.values(), MANNER)


def check(job: Job) -> None:
    """In check mode: make sure that the guests take the credentials, where they can be asked."""
    due = _reachable(job)
    for standing in due:
        if not standing.now.frozen and not standing.now.tools:
            standing.error = _no_tools(standing)
    # A frozen one answers only after the reset that check mode leaves out.
    ready = [standing for standing in due if standing.error is None and not standing.now.frozen]
    batch(job, ready, lambda each: _guest(job, each).validate(), "parents checked", _noted)


def _reachable(job: Job) -> list[Standing]:
    """The parents to freeze whose guests vCenter lets this user into."""
    due = [standing for standing in job.standings if standing.due(plan.FREEZE)]
    for standing in due:
        standing.error = standing.found.no_access
    return [standing for standing in due if standing.error is None]


def wait_for_tools(job: Job, standings: t.Sequence[Standing]) -> None:
    """Wait until the guests of these parents can be worked in; one without Tools fails at once."""
    waiting = {standing.moid: standing for standing in standings if standing.error is None and not standing.now.tools}
    for standing in waiting.values():
        if not standing.now.tools_installed:
            standing.error = _no_tools(standing)
    refs = [api.vm(job.session, moid) for moid, standing in waiting.items() if standing.error is None]
    late = wait_in_guests(job.session, refs, job.deadline, "guests answer")
    for moid, standing in waiting.items():
        if moid in late:
            standing.error = _no_tools(standing)
        elif standing.error is None:
            standing.now = dataclasses.replace(standing.now, tools=True)


def _frozen(standings: t.Mapping[str, Standing], item: Stopping) -> None:
    standings[item.moid].error = None
    standings[item.moid].finish(plan.FREEZE, frozen=True, tools=False, record=item.shown)


def _stopping(job: Job, standing: Standing, salt: str) -> Stopping:
    record = freezing.new_record(standing.now.instance_uuid, job.options.scripts, salt)
    return Stopping(standing.moid, standing.now.path, _guest(job, standing), record)


def _noted(_standing: Standing, _outcome: object) -> None:
    """What comes next looks at the guests themselves."""


def _guest(job: Job, standing: Standing) -> Guest:
    credentials = job.options.credentials
    if credentials is None:
        raise ValueError("freezing was planned without credentials")
    return Guest(job.session, api.vm(job.session, standing.moid), credentials, standing.found.access)


def _no_tools(standing: Standing) -> GuestError:
    return freezing.no_tools(standing.now.path, MANNER, installed=standing.now.tools_installed)
