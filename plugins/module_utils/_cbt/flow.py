# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A task about changed areas from its options to its result.

Takes plain options and a Session, so that it runs in a module as well as in an action plugin.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import time
import typing as t

from .. import _files
from .._connector import names
from .._errors import Interrupted, PartialFailure, Reason, VforgeError
from . import enabling, leftovers, lookup, page, plan, privileges, querying, report, sink, state
from .job import Answer, Job, Standing
from .options import FAIL, QUERIED, AreaOptions

if t.TYPE_CHECKING:
    from .._connector.session import Session

_REPORT = "report"

# For writing down what was found, where the time of the task is over.
_LAST_SECONDS = 5.0


class FullRequiredError(VforgeError):
    """A disk has to be read whole, and the task was told to fail then."""

    error_code = "full_required"


def prepare(options: AreaOptions) -> None:
    """Find out what would fail at the end, before anything is connected.

    :raises InvalidOption: a file that cannot be written, or that others may have changed.
    :raises MissingLibrary: a library that an option needs.
    :raises StateDamaged: a state file that cannot be understood.
    """
    paths = options.files
    if paths.state:
        state.check(paths.state)
        state.load(paths.state, time.monotonic() + options.timeout)
    if options.state != QUERIED:
        return
    sink.check(paths.areas if paths.tell_areas else "", compress=paths.compress)
    if paths.report:
        _files.check(paths.report, what=_REPORT)
        page.require()


def run(session: Session, options: AreaOptions, *, check: bool) -> dict[str, t.Any]:
    """Do what the options ask for, or in check mode find out what that would be.

    :returns: the module's result: ``changed``, ``vms``, ``totals``, ``question``, ``diff`` and ``timing``.
    :raises VforgeError: before anything was changed.
    :raises PartialFailure: when something of it failed; it holds the whole result.
    """
    begun, deadline = time.monotonic(), session.deadline(options.timeout)
    known = state.load(options.files.state, deadline) if options.files.state else None
    vms, key = lookup.find(session, [target.selector for target in options.targets], options.datacenter)
    standings = [Standing(vm, target, vm, plan.Plan()) for vm, target in zip(vms, options.targets, strict=True)]
    write = options.files.tell_areas and not check
    with sink.AreaFiles(options.files.areas, compress=options.files.compress, write=write) as files:
        job = Job(session, options, standings, known, files, deadline, check, session_key=key)
        job.lap("lookup", begun)
        _carry_out(job)
        _judge(job)
        _close_files(job)
        written = _write(job)
    result = {**report.result(job), **written, "timing": job.phases}
    if job.stopped is not None:
        result["stopped"] = job.stopped.as_result()
    for warning in _warnings(job):
        session.warn(warning)
    if job.failed or job.stopped is not None:
        raise PartialFailure(_headline(job, job.failed), result, hint=_hint(job, job.failed))
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
    except Reason as error:
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
        hint="Do so with on_full_required set to report, and commit that question: the next one starts from there.",
        disks=[answer.disk.label for answer in full],
    )


def _close_files(job: Job) -> None:
    """Put the files of areas where they are told to be. What a run that was broken off has found is read by nobody."""
    keep = not isinstance(job.stopped, Interrupted)
    gone = job.files.temporary and not keep
    try:
        job.files.close(keep=keep)
    except (VforgeError, Interrupted) as error:
        job.end(error)
        job.unwritten = True
    for answer in (answer for standing in job.standings for answer in standing.answers.values() if gone):
        answer.path = None


def _write(job: Job) -> dict[str, t.Any]:
    """Write the report, then the state file: each is on the disk before what is written next tells of it.

    The question is only noted as one that was asked. Until it is committed the next one asks from the same point, so that
    nothing is lost whatever becomes of this answer.
    """
    options = job.options
    told: dict[str, t.Any] = {"state_saved": False, "report": None, "question": None}
    if options.state != QUERIED or job.check or job.unwritten:
        return told
    at = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
    known: contextlib.AbstractContextManager[state.State] = contextlib.nullcontext(job.state or state.State())
    # What a run that was broken off has found is read by nobody.
    noting = bool(options.files.state) and not isinstance(job.stopped, Interrupted)
    if noting:
        known = state.locked(options.files.state, _deadline(job), job.session.tell)
    try:
        with known as found:
            records = _records(job, found, at)
            after = found.asked(job.run, at, records)
            told["report"] = _write_report(job, after, at)
            if noting and (records or not job.failed):
                state.save(options.files.state, after)
                told |= {"state_saved": True, "question": {"id": job.run, "at": at, "disks": len(records)}}
    except (VforgeError, Interrupted) as error:
        job.end(error)
    return told


def _deadline(job: Job) -> float:
    """Of writing: a task that has used its time up has a moment for it."""
    now = time.monotonic()
    return job.deadline if job.deadline > now else now + _LAST_SECONDS


def _write_report(job: Job, after: state.State, at: str) -> str | None:
    if not job.options.files.report:
        return None
    text = page.render(job, after, at).encode(errors="replace")
    _files.replace(job.options.files.report, text, 0o644, what=_REPORT)
    return job.options.files.report


def _records(job: Job, known: state.State, at: str) -> list[state.Record]:
    records = []
    for standing in job.standings:
        for answer in standing.answers.values():
            refused = answer.full is not None and job.options.on_full_required == FAIL
            if answer.error is None and not refused and answer.disk.change_id:
                records.append(known.noted(standing.vm, answer.disk, _run_of(answer, at), job.run))
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


def _warnings(job: Job) -> list[str]:
    """What nobody should overlook; of questions that were never committed once for all VMs."""
    warnings = [warning for standing in job.standings for warning in standing.warnings]
    again = report.uncommitted(job)
    if again:
        vms = [item.vm.name for item in job.standings if any(answer.uncommitted for answer in report.answers(job, item))]
        last = again[-1]
        which = f"The question {last['question']} of {last['at']}"
        which += f", and {len(again) - 1} before it, were" if len(again) > 1 else " was"
        warnings.append(
            f"{which} never committed. So {names.listing(vms, most=5)} are asked from the same point once more, and what "
            "was told then is told again. Commit a question (state committed) when its answer was used."
        )
    return warnings


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
