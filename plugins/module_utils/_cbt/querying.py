# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ask what changed: of many disks at once, each proved to be covered whole."""

from __future__ import annotations

import threading
import time
import typing as t

from .._connector.batch import Work, run_batch
from .._errors import Fault, NotAttempted, NotFound, VforgeError
from . import api, lookup, plan
from .areas import Page, Tally, changed_areas
from .job import Answer, Job, Standing, not_attempted
from .plan import Question
from .sink import AreaSink
from .taking import with_snapshots

if t.TYPE_CHECKING:
    from .._connector.session import Session


def query(job: Job) -> None:
    """Ask about every VM that can be asked: first those that need no snapshot of their own, then the others."""
    due = [standing for standing in job.standings if standing.error is None]
    there = [standing for standing in due if not standing.plan.create]
    for standing in there:
        if standing.plan.snapshot is not None:
            standing.used = standing.plan.snapshot.moid
    ask_all(job, there)
    if job.check:
        return
    with_snapshots(
        job,
        [standing for standing in due if standing.plan.create],
        lambda ready: ask_all(job, _used(ready)),
        memory=job.options.memory,
        quiesce=job.options.quiesce,
    )


def _used(ready: list[Standing]) -> list[Standing]:
    for standing in ready:
        standing.used = standing.own
    return ready


def ask_all(job: Job, standings: t.Sequence[Standing]) -> None:
    """Ask about all disks of these VMs, as their snapshots have them where there are snapshots."""
    begun = time.monotonic()
    with_snapshot = [standing.used for standing in standings if standing.used]
    disks = lookup.read_snapshot_disks(job.session, with_snapshot)
    for standing in standings:
        try:
            standing.questions = _questions(job, standing, disks)
        except VforgeError as error:
            standing.fail(error)
    asked = [(standing, question) for standing in standings if standing.error is None for question in standing.questions.asked]
    _ask(job, asked)
    job.lap("query", begun)


def _questions(job: Job, standing: Standing, disks: t.Mapping[str, t.Any]) -> plan.Questions:
    if standing.used is None:
        return standing.plan.questions
    if standing.used not in disks:
        raise NotFound(f"The snapshot {standing.used} of {standing.vm.path} is not there any more.", hint="Run again.")
    questions = plan.ask(standing.vm, disks[standing.used], standing.target, job.state)
    plan.check_excluded(questions, job.options, standing.vm)
    return questions


def _ask(job: Job, asked: t.Sequence[tuple[Standing, Question]]) -> None:
    works = []
    for standing, question in asked:
        answer = Answer(question.disk, question.since, question.full, uncommitted=question.uncommitted)
        standing.answers[question.disk.key] = answer
        if question.full is None:
            answer.error = not_attempted(standing)
            works.append(Work(_name(standing, question), _asking(job, standing, answer), repeatable=True))
    if not works:
        return
    done = run_batch(job.session, works, job.options.parallel, job.deadline, "disks read", stop=job.stop)
    job.end(done.stopped)
    for standing, question in asked:
        outcome = done.outcomes.get(_name(standing, question))
        if outcome is not None and outcome.error is not None:
            standing.answers[question.disk.key].error = outcome.error
            standing.fail(outcome.error)


def _name(standing: Standing, question: Question) -> str:
    return f"{question.disk.label} ({question.disk.key}) of {standing.vm.path}"


def _asking(job: Job, standing: Standing, answer: Answer) -> t.Callable[[], None]:
    def work() -> None:
        files = job.options.files
        name = f"{standing.vm.instance_uuid}-{answer.disk.key}"
        most = files.most_areas if files.tell_areas else 0
        sink = AreaSink(job.files, name, most)
        ask_disk(job.session, standing.moid, standing.used, answer, sink, job.stop)

    return work


def ask_disk(
    session: Session, vm: str, snapshot: str | None, answer: Answer, sink: AreaSink, stop: threading.Event | None = None
) -> None:
    """Ask about one disk, and fill its answer in.

    :param vm: moid of the VM; ``snapshot`` that of the snapshot, None for a VM that is powered off.
    :param answer: with the disk as the snapshot has it, and in ``since`` the changeId to compare with.
    :param sink: is given the areas, as they come.
    :param stop: breaks off between two pages.
    :raises InconsistentAreas: an answer that cannot be trusted.
    :raises Fault: as vCenter does, but for those that mean that the whole disk has to be read: these are in the answer.
    """
    disk = answer.disk
    tally, answer.pages = Tally(disk.capacity), 0
    ask = api.ask(session, vm, snapshot, disk.key, answer.since or "")

    def page(offset: int) -> Page:
        if stop is not None and stop.is_set():
            raise NotAttempted(f"{disk.label} was not read to its end, since the task ended early.", hint="Run again.")
        answer.pages += 1
        return ask(offset)

    try:
        for area in changed_areas(page, disk.capacity):
            tally.add(area)
            sink.add(area)
        sink.finish()
    except Fault as fault:
        answer.full = api.full_required(fault)
        if answer.full is None:
            raise
    else:
        answer.tally, answer.areas, answer.path = tally, sink.areas, sink.path
    finally:
        sink.abandon()
    answer.error = None
