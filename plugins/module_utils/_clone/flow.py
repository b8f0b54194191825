# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A task that clones, from its options to its result.

Takes plain options and a Session, so that it runs in a module as well as in an action plugin.
"""

from __future__ import annotations

import typing as t

from .._connector import names
from .._errors import InvalidOption, PartialFailure
from .._vsphere.addresses import refusals, warn
from . import plan, report
from .absent import remove_clones
from .instant import InstantClones
from .job import Account, Job, Standing, Timer
from .kind import Kind
from .options import CloneOptions
from .plan import Step
from .present import check_clones, make_clones
from .survey import Survey
from .waiting import wait_until_ready

if t.TYPE_CHECKING:
    from .._connector.session import Session


def run(session: Session, options: CloneOptions, *, check: bool, kind: Kind | None = None) -> dict[str, t.Any]:
    """Do what the options ask for, or in check mode find out what that would be.

    :param kind: the way of cloning; instant clones when None.
    :returns: the module's result: ``changed``, ``clones``, ``diff``, ``timing`` and the counts.
    :raises VforgeError: before anything was changed.
    :raises PartialFailure: when a clone failed; it holds the whole result.
    """
    way = kind or InstantClones(options)
    way.require(session)
    timer = Timer()
    deadline = session.deadline(options.timeout)
    found = way.survey(session)
    if _wait_for_makers(session, found, deadline):
        found = way.survey(session)
    steps = _steps(way, found, options)
    timer.lap("lookup")
    job = Job(session, options, way, found.parents, steps, check, deadline, timer)
    account = _carry_out(job)
    result = _result(job, account)
    warn(session.warn, result["refusals"])
    failed = [standing for standing in account.standings if standing.error is not None]
    if failed or account.stopped is not None:
        raise PartialFailure(_headline(job, account, failed), result)
    return result


def _wait_for_makers(session: Session, found: Survey, deadline: float) -> bool:
    """Wait until VMs that somebody else is making are there, or gone again: before that nobody can tell whose they are.

    :returns: whether there were any, so that it has to be looked up again what there is.
    """
    moids = [item.existing.moid for item in found.items if item.existing and item.existing.half_made]
    if moids:
        session.tell(f"waiting for {len(moids)} VMs that other runs are making")
        wait_until_ready(session, moids, "", deadline)
    return bool(moids)


def _steps(kind: Kind, found: Survey, options: CloneOptions) -> tuple[Step, ...]:
    if options.state == "absent":
        return tuple(kind.absent(item) for item in found.items)
    steps = tuple(kind.step(item, item.folders) for item in found.items)
    kind.check(steps)
    conflicts = [step for step in steps if step.kind == plan.CONFLICT]
    if conflicts and options.on_error == "rollback":
        raise InvalidOption(
            f"The name {conflicts[0].name} cannot be used: {conflicts[0].reason}.",
            hint="Nothing was made, since on_error is rollback.",
            conflicts=[step.name for step in conflicts],
        )
    return steps


def _carry_out(job: Job) -> Account:
    if job.options.state == "absent":
        return remove_clones(job)
    return (check_clones if job.check else make_clones)(job)


def _result(job: Job, account: Account) -> dict[str, t.Any]:
    clones = report.entries(account.standings, job.options)
    counts: dict[str, int] = {}
    for clone in clones:
        counts[clone["action"]] = counts.get(clone["action"], 0) + 1
    return {
        "changed": any(clone["changed"] for clone in clones),
        "clones": clones,
        "failed_clones": [report.failure(standing) for standing in account.standings if standing.error is not None],
        "refusals": refusals(clones),
        "counts": counts,
        **_sources(job),
        "diff": report.diff([standing.step for standing in account.standings if standing.error is None]),
        "timing": job.timer.phases,
    }


def _sources(job: Job) -> dict[str, t.Any]:
    told = [job.kind.told(parent) for parent in job.parents]
    every = {job.kind.sources: told} if job.kind.sources else {}
    return {job.kind.source: told[0] if len(told) == 1 else None, **every}


def _headline(job: Job, account: Account, failed: list[Standing]) -> str:
    total = len(account.standings)
    parts = [str(account.stopped)] if account.stopped is not None else []
    if failed:
        which = names.listing([standing.step.name for standing in failed], most=5)
        parts.append(f"{len(failed)} of {total} clones failed ({which}); the first: {failed[0].error}")
    parts.append(_what_is_left(job, account))
    return " ".join(parts)


def _what_is_left(job: Job, account: Account) -> str:
    if job.check:
        return "Nothing was changed: this was check mode."
    if job.options.state == "absent":
        return "What was removed is listed; run again to remove the rest."
    if job.options.on_error == "keep":
        return "What succeeded stays and is listed; run again to make only what is missing."
    left = [standing.step.name for standing in account.standings if standing.made and standing.action != "rolled_back"]
    if left:
        return f"Not everything that this task had made could be removed again: {names.listing(left)}."
    return "What this task had made was removed again."
