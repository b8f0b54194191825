# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An instant clone task from its options to its result.

Takes plain options and a Session, so that it runs in a module as well as in an action plugin.
"""

from __future__ import annotations

import time
import typing as t

from .._connector import names
from .._errors import InvalidOption, PartialFailure
from . import api, plan, report
from .absent import remove_clones
from .job import Account, Job, Standing, Timer
from .options import CloneOptions
from .plan import Step
from .present import check_clones, make_clones
from .survey import Item, Survey, survey

if t.TYPE_CHECKING:
    from .._connector.session import Session


def run(session: Session, options: CloneOptions, *, check: bool) -> dict[str, t.Any]:
    """Do what the options ask for, or in check mode find out what that would be.

    :returns: the module's result: ``changed``, ``clones``, ``diff``, ``timing`` and the counts.
    :raises VforgeError: before anything was changed.
    :raises PartialFailure: when a clone failed; it holds the whole result.
    """
    api.require_instant_clones(session)
    if options.state == "present" and any(request.customization for request in options.requests):
        api.require_customization(session)
    timer = Timer()
    deadline = time.monotonic() + options.timeout
    found = survey(session, options)
    steps = _steps(found, options)
    timer.lap("lookup")
    job = Job(session, options, found.parent, steps, check, deadline, timer)
    account = _carry_out(job)
    result = _result(job, account)
    failed = [standing for standing in account.standings if standing.error is not None]
    if failed or account.stopped is not None:
        raise PartialFailure(_headline(job, account, failed), result)
    return result


def _steps(found: Survey, options: CloneOptions) -> tuple[Step, ...]:
    if options.state == "absent":
        return tuple(plan.absent(item.request, item.existing, item.parent, options.force) for item in found.items)
    steps = tuple(_step(item, found.folders) for item in found.items)
    for parent in {step.source.moid: step.source for step in steps if step.kind == plan.CREATE}.values():
        plan.check_parent(parent)
    for parent in {step.source.moid: step.source for step in steps if options.wait_for_ip}.values():
        plan.check_ip_nic(parent, options.ip_nic)
    for step in steps:
        plan.check_customization(step.request, step.source)
    conflicts = [step for step in steps if step.kind == plan.CONFLICT]
    if conflicts and options.on_error == "rollback":
        raise InvalidOption(
            f"The name {conflicts[0].name} cannot be used: {conflicts[0].reason}.",
            hint="Nothing was made, since on_error is rollback.",
            conflicts=[step.name for step in conflicts],
        )
    return steps


def _step(item: Item, folders: dict[str, tuple[str, str]]) -> Step:
    if item.parent is None:
        raise InvalidOption("The option parent is not set.", option="parent")
    return plan.present(item.request, plan.place(item.request, item.parent, folders), item.existing, item.parent)


def _carry_out(job: Job) -> Account:
    if job.options.state == "absent":
        return remove_clones(job)
    return (check_clones if job.check else make_clones)(job)


def _result(job: Job, account: Account) -> dict[str, t.Any]:
    clones = [report.entry(standing, job.options) for standing in account.standings]
    counts: dict[str, int] = {}
    for clone in clones:
        counts[clone["action"]] = counts.get(clone["action"], 0) + 1
    return {
        "changed": any(clone["changed"] for clone in clones),
        "clones": clones,
        "failed_clones": [report.failure(standing) for standing in account.standings if standing.error is not None],
        "counts": counts,
        "parent": report.parent(job.parent) if job.parent else None,
        "diff": report.diff([standing.step for standing in account.standings if standing.error is None]),
        "timing": job.timer.phases,
    }


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
