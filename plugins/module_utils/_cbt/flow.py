# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A task about changed areas from its options to its result.

Takes plain options and a Session, so that it runs in a module as well as in an action plugin.
"""

from __future__ import annotations

import dataclasses
import datetime
import time
import typing as t

from .. import _signals
from .._connector import names
from .._errors import Interrupted, PartialFailure, VforgeError
from . import enabling, files, leftovers, lookup, page, plan, privileges, querying, report, sink, state
from .job import Answer, Job, Standing
from .options import FAIL, QUERIED, AreaOptions

if t.TYPE_CHECKING:
    from .._connector.session import Session


class FullRequiredError(VforgeError):
    """A disk has to be read whole, and the task was told to fail then."""

    error_code = "full_required"


def prepare(options: AreaOptions) -> None:
    """Find out what would fail at the end, before anything is connected.

    :raises InvalidOption: a file that cannot be written.
    :raises MissingLibrary: a library that an option needs.
    """
    sink.require(compress=options.files.compress)
    for path in (options.files.state, options.files.report):
        if path:
            files.check_writable(path)
    if options.files.report:
        page.require()
    if options.files.state:
        state.load(options.files.state)


def run(session: Session, options: AreaOptions, *, check: bool) -> dict[str, t.Any]:
    """Do what the options ask for, or in check mode find out what that would be.

    :returns: the module's result: ``changed``, ``vms``, ``totals``, ``diff`` and ``timing``.
    :raises VforgeError: before anything was changed.
    :raises PartialFailure: when something of it failed; it holds the whole result.
    """
    begun = time.monotonic()
    known = state.load(options.files.state) if options.files.state else None
    vms, key = lookup.find(session, [target.selector for target in options.targets], options.datacenter)
    standings = [Standing(vm, target, vm, plan.Plan()) for vm, target in zip(vms, options.targets, strict=True)]
    job = Job(session, options, standings, known, session.deadline(options.timeout), check, session_key=key)
    job.lap("lookup", begun)
    _carry_out(job)
    _judge(job)
    failed = [standing for standing in standings if standing.error is not None]
    written = _write(job, advance=not failed and job.stopped is None)
    result = {**report.result(job), **written, "timing": job.phases}
    for warning in (warning for standing in standings for warning in standing.warnings):
        session.warn(warning)
    if failed or job.stopped is not None:
        raise PartialFailure(_headline(job, failed), result, hint=_hint(job, failed))
    return result


def _carry_out(job: Job) -> None:
    try:
        leftovers.look(job)
        for standing in job.standings:
            standing.vm = dataclasses.replace(standing.vm, snapshots=leftovers.without(standing))
            standing.plan = plan.decide(standing.vm, standing.target, job.options, job.state)
            standing.error = standing.plan.refusal
        privileges.check(job)
        leftovers.remove(job)
        if job.options.state == QUERIED:
            querying.query(job)
        elif not job.check:
            enabling.switch(job)
    except VforgeError as error:
        job.end(error)


def _judge(job: Job) -> None:
    """Make failures of what the options call failures, and warnings of what nobody should overlook."""
    if job.options.state != QUERIED:
        return
    for standing in job.standings:
        full = [answer for answer in standing.answers.values() if answer.full is not None]
        if full and job.options.on_full_required == FAIL:
            standing.fail(_full_required(standing, full))
        told = standing.questions if standing.answers else standing.plan.questions
        untracked = [disk.label for disk, why in told.excluded if why == plan.NOT_TRACKED]
        if untracked and standing.error is None:
            standing.warnings.append(
                f"{standing.vm.path}: nothing is known of {names.listing(untracked)}, since tracking is off or does not count "
                "yet. Run with state enabled first."
            )


def _full_required(standing: Standing, full: t.Sequence[Answer]) -> FullRequiredError:
    first = full[0]
    return FullRequiredError(
        f"{len(full)} disks of {standing.vm.path} have to be read whole. "
        f"{first.disk.label}: {first.full.reason if first.full else ''}",
        hint="Do so, then run once with on_full_required set to report, which starts anew from there.",
        disks=[answer.disk.label for answer in full],
    )


def _write(job: Job, *, advance: bool) -> dict[str, t.Any]:
    """Write the state file and the report.

    After a failure the state stays as it was: what nobody has used is then told again by the next run, and nothing is lost.
    """
    options = job.options
    if options.state != QUERIED or job.check:
        return {"state_saved": False, "report": None}
    at = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
    saved, after = False, job.state or state.State()
    try:
        # What a run that was broken off has found is likely to be read by nobody.
        told = options.files.advance_on_failure and not isinstance(job.stopped, Interrupted)
        if options.files.state and (advance or told):
            # What was found is told once only, so that a signal must not come between the file and the result.
            after = state.update(options.files.state, lambda known: _records(job, known, at), _signals.settle)
            saved = True
        else:
            after = state.State({(item.vm_uuid, item.identity): item for item in _records(job, after, at)})
        if options.files.report:
            files.write_whole(options.files.report, page.render(job, after, at), mode=0o644)
    except VforgeError as error:
        job.end(error)
        return {"state_saved": saved, "report": None}
    return {"state_saved": saved, "report": options.files.report or None}


def _records(job: Job, known: state.State, at: str) -> list[state.Record]:
    records = []
    for standing in job.standings:
        for answer in standing.answers.values():
            refused = answer.full is not None and job.options.on_full_required == FAIL
            if answer.error is None and not refused and answer.disk.change_id:
                records.append(known.noted(standing.vm, answer.disk, _run_of(answer, at)))
    return records


def _run_of(answer: Answer, at: str) -> state.Run:
    tally = answer.tally
    return state.Run(
        at=at,
        change_id=answer.disk.change_id,
        areas=tally.count if tally else None,
        changed_bytes=tally.changed_bytes if tally else None,
        full_required=answer.full.code if answer.full else None,
        regions=tuple(tally.regions) if tally else (),
    )


def _headline(job: Job, failed: t.Sequence[Standing]) -> str:
    parts = [str(job.stopped)] if job.stopped is not None else []
    if len(job.standings) == 1 and failed and job.stopped is None:
        parts.append(failed[0].error.message if failed[0].error else "")
    elif failed:
        which = names.listing([standing.vm.name for standing in failed], most=5)
        parts.append(f"{len(failed)} of {len(job.standings)} VMs failed ({which}); the first: {failed[0].error}")
    left = [standing.vm.path for standing in job.standings if standing.own is not None]
    if left:
        parts.append(f"Snapshots were left on {names.listing(left)}; the next run removes them.")
    if job.check:
        parts.append("Nothing was changed: this was check mode.")
    return " ".join(parts)


def _hint(job: Job, failed: t.Sequence[Standing]) -> str:
    return failed[0].error.hint if len(job.standings) == 1 and failed and failed[0].error and job.stopped is None else ""
