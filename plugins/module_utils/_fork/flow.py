# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A VMFork task from its options to its result.

Takes plain options and a Session, so that it runs in a module as well as in an action plugin.
"""

from __future__ import annotations

import time
import typing as t

from .._connector import names
from .._connector.places import read_folders, read_names
from .._errors import InvalidOption, PartialFailure, VforgeError
from . import api, children, lookup, parents, placing, plan, report
from .job import ChildStanding, Job, ParentStanding, account_for_the_rest
from .options import ABSENT, ChildRequest, ForkOptions

if t.TYPE_CHECKING:
    from .._connector.session import Session
    from .facts import Parent
    from .plan import Step


def run(session: Session, options: ForkOptions, *, check: bool) -> dict[str, t.Any]:
    """Do what the options ask for, or in check mode find out what that would be.

    :returns: the module's result: ``changed``, ``parents``, ``children``, ``diff``, ``timing`` and the counts.
    :raises NotSupported: on a release without VMFork; nothing was asked of it by then.
    :raises VforgeError: before anything was changed.
    :raises PartialFailure: when a parent or a child failed; it holds the whole result.
    """
    api.require_vmfork(session)
    begun = time.monotonic()
    deadline = session.deadline(options.timeout)
    found = lookup.find_parents(session, options.selectors, options.datacenter, deadline)
    steps = _steps(session, options, [item.parent for item in found])
    plan.check_steps(steps, options)
    homes = {item.parent.moid: _parent_standing(item, options, steps) for item in found}
    standings = [children.standing(step, homes[step.parent.moid], options.state, check=check) for step in steps]
    job = Job(session, options, list(homes.values()), standings, deadline)
    looked_up = time.monotonic()
    stopped = _carry_out(job, check)
    result = report.result(job, check)
    result["timing"] = {"lookup": round(looked_up - begun, 3), "work": round(time.monotonic() - looked_up, 3)}
    for warning in (warning for home in job.parents for warning in home.warnings):
        session.warn(warning)
    failures = report.failures(job)
    if failures or stopped is not None:
        raise PartialFailure(_headline(job, failures, stopped, check), result, hint=_hint(failures))
    return result


def _steps(session: Session, options: ForkOptions, known: list[Parent]) -> list[Step]:
    """What is asked for of children, beside what there is: at most three calls for each datacenter."""
    if not options.children:
        return []
    owners = [placing.owner(request, known) for request in options.children]
    folders = _folders(session, options.children, owners)
    homes = [
        folders[parent.datacenter][request.folder][0] if request.folder else parent.folder
        for request, parent in zip(options.children, owners, strict=True)
    ]
    wanted: dict[str, set[str]] = {}
    for request, home in zip(options.children, homes, strict=True):
        if request.name in wanted.setdefault(home, set()):
            raise InvalidOption(f"children names {request.name} twice in one folder.", option="children")
        wanted[home].add(request.name)
    taken = read_names(session, wanted)
    existing = lookup.read_wanted(session, list(taken.values()))
    steps = []
    for request, parent, home in zip(options.children, owners, homes, strict=True):
        holder = taken.get((home, request.name))
        vm = existing.get(holder._GetMoId()) if holder is not None else None
        if request.state == ABSENT:
            steps.append(plan.absent(request, vm, parent))
        else:
            placement = placing.place(request, parent, folders.get(parent.datacenter, {}))
            steps.append(plan.present(request, placement, vm, parent))
    return steps


def _folders(
    session: Session, requests: t.Sequence[ChildRequest], owners: t.Sequence[Parent]
) -> dict[str, dict[str, tuple[str, str]]]:
    """The folders that children name, by the datacenter of their parents."""
    texts: dict[str, list[str]] = {}
    for request, parent in zip(requests, owners, strict=True):
        if request.folder:
            texts.setdefault(parent.datacenter, []).append(request.folder)
    return {moid: read_folders(session, moid, dict.fromkeys(wanted)) for moid, wanted in texts.items()}


def _parent_standing(found: lookup.Found, options: ForkOptions, steps: t.Sequence[Step]) -> ParentStanding:
    own = [step for step in steps if step.parent.moid == found.parent.moid]
    decided = plan.decide(found.parent, options, own)
    return ParentStanding(found, decided, found.parent, error=decided.refusal, warnings=list(decided.warnings))


def _carry_out(job: Job, check: bool) -> VforgeError | None:
    """Do all steps, or check them; returns why the task ended early, or None."""
    stopped: VforgeError | None = None
    try:
        if check:
            parents.check(job)
            children.give_up(job)
            return None
        children.remove(job)
        parents.bring(job)
        children.give_up(job)
        children.make(job)
        children.read_again(job)
        if job.options.wait_for_ip:
            children.wait_for_addresses(job)
    except VforgeError as error:
        stopped = error
        account_for_the_rest(job)
    try:
        if stopped is not None:
            children.read_again(job)
        _look_again(job)
    except VforgeError as error:
        return stopped or error
    return stopped


def _look_again(job: Job) -> None:
    """What the parents are now, and what children vCenter lists, where this task has changed any of it."""
    touched = {child.home.moid for child in job.children if child.changed}
    due = [home for home in job.parents if home.done or home.moid in touched]
    known = lookup.read_parents(job.session, [home.moid for home in due], job.deadline)
    for home in due:
        home.now = known.get(home.moid, home.now)


def _headline(job: Job, failures: t.Sequence[ParentStanding | ChildStanding], stopped: VforgeError | None, check: bool) -> str:
    parts = [str(stopped)] if stopped is not None else []
    if len(failures) == 1 and stopped is None and failures[0].error is not None:
        parts.append(failures[0].error.message)
    elif failures:
        which = names.listing([item.title for item in failures], most=5)
        total = len(job.parents) + len(job.children)
        parts.append(f"{len(failures)} of {total} parents and children failed ({which}); the first: {failures[0].error}")
    if check:
        parts.append("Nothing was changed: this was check mode.")
    elif len(failures) != 1 or stopped is not None:
        parts.append("What succeeded stays and is listed; run again to do only what is missing.")
    return " ".join(parts)


def _hint(failures: t.Sequence[ParentStanding | ChildStanding]) -> str:
    return failures[0].error.hint if len(failures) == 1 and failures[0].error else ""
