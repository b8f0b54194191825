# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Snapshots that are thrown away: at most so many at a time, and each removed in every ending.

A snapshot is removed when its use is over, when it failed, when the time is over and when a signal came; what a run that
was killed has left is removed by the next one (see ``marks``).
"""

from __future__ import annotations

import time
import typing as t

from .._connector import tasks
from .._connector.batch import Outcome, Work, run_batch
from .._errors import ConnectionLost, Fault, Interrupted, Reason, StillRunning, TaskGone, TimedOut, VforgeError
from . import api, lookup
from .job import Job, Standing, batch, not_attempted, waves
from .marks import SNAPSHOT_NAME, Mark, Owner

# Removing is not cut short by the time of the task: a consolidation takes as long as it takes.
REMOVAL_SECONDS = 3600

# How long a snapshot whose making could not be followed to its end is waited for, to be removed.
_LATE_SECONDS = 120.0

_ROUNDS = 3

# After these nobody knows whether there is a snapshot.
UNSURE = (ConnectionLost, StillRunning, TaskGone, TimedOut)


def with_snapshots(
    job: Job, standings: t.Sequence[Standing], use: t.Callable[[list[Standing]], None], *, memory: bool, quiesce: bool
) -> None:
    """Make a snapshot of each VM, use it, remove it; at most ``parallel`` of them are there at any time.

    :param use: is given the VMs of which there is one now, its moid in ``own``.
    """
    for wave in waves(standings, job.options.parallel):
        if job.stopped is not None:
            for standing in wave:
                standing.fail(not_attempted(standing))
            continue
        try:
            _make(job, wave, memory=memory, quiesce=quiesce)
            ready = [standing for standing in wave if standing.own is not None]
            if ready and job.stopped is None:
                use(ready)
            elif job.stopped is not None:
                for standing in ready:
                    standing.fail(not_attempted(standing))
        except Reason as error:
            job.end(error)
        finally:
            undisturbed(job, lambda wave=wave: _remove(job, wave))  # type: ignore[misc]


def undisturbed(job: Job, do: t.Callable[[], None]) -> None:
    """Do what has to be done in every ending. A signal that comes meanwhile is noted, and it is done again.

    The first signal of a run is the only one that can come here: a second one ends the process at once.
    """
    try:
        do()
    except Interrupted as error:
        job.end(error)
        do()


def _make(job: Job, wave: t.Sequence[Standing], *, memory: bool, quiesce: bool) -> None:
    begun = time.monotonic()
    owner = Owner.this()
    seconds = job.options.timeout + REMOVAL_SECONDS

    def start(standing: Standing) -> t.Any:
        mark = Mark(standing.vm.instance_uuid, job.run, owner, seconds)
        return api.start_snapshot(job.session, standing.moid, SNAPSHOT_NAME, mark.description(), memory=memory, quiesce=quiesce)

    for standing in wave:
        # What is begun and then never heard of again is looked for.
        standing.unsure = True
    outcomes = batch(job, wave, start, "snapshots made")
    for standing in wave:
        _note(standing, outcomes[standing.moid])
    job.lap("snapshot", begun)


def _note(standing: Standing, outcome: Outcome) -> None:
    error = outcome.error
    if error is None and outcome.result is not None:
        standing.own, standing.made = outcome.result._GetMoId(), True
        standing.unsure = outcome.repeated
        return
    standing.unsure = error is None or outcome.repeated or isinstance(error, UNSURE)
    standing.fail(error or TaskGone(f"vCenter does not tell the snapshot of {standing.vm.path}.", hint="Run again."))
    if standing.unsure and isinstance(error, StillRunning):
        standing.late = error.details.get("task")


def _remove(job: Job, wave: t.Sequence[Standing]) -> None:
    begun = time.monotonic()
    try:
        _look_for_lost(job, wave)
    except VforgeError as error:
        job.session.warn(f"It is not known whether snapshots were left: {error} The next run looks for them, and removes them.")
    due = [standing for standing in wave if standing.own is not None]
    last = remove_all(job, {standing.own: standing.vm.path for standing in due if standing.own}, "snapshots removed")
    for standing in due:
        error_left = last.get(standing.own or "")
        if error_left is None:
            standing.own = None
            continue
        standing.warnings.append(
            f"The snapshot {SNAPSHOT_NAME} ({standing.own}) of {standing.vm.path} could not be removed: {error_left} "
            "The next run removes it."
        )
        standing.fail(error_left)
    job.lap("removal", begun)


def _look_for_lost(job: Job, wave: t.Sequence[Standing]) -> None:
    """Find the snapshots of this run of which nobody told."""
    unsure = [standing for standing in wave if standing.unsure and standing.own is None]
    if not unsure:
        return
    late = [api.task(job.session, standing.late) for standing in unsure if standing.late]
    tasks.wait_for_tasks(job.session, late, time.monotonic() + _LATE_SECONDS, lambda _moid, _end: None)
    trees = lookup.read_snapshots(job.session, [standing.moid for standing in unsure])
    for standing in unsure:
        for snapshot in trees.get(standing.moid, ()):
            mark = Mark.of(snapshot, standing.vm.instance_uuid)
            if mark is not None and mark.run == job.run:
                standing.own = snapshot.moid
        standing.unsure = False


def remove_all(job: Job, snapshots: t.Mapping[str, str], doing: str) -> dict[str, VforgeError]:
    """Remove snapshots; a removal that fails is tried again.

    :param snapshots: paths of their VMs by moid of the snapshot.
    :returns: the last error of each that is still there.
    """
    deadline = time.monotonic() + REMOVAL_SECONDS
    left: dict[str, VforgeError] = {}
    due = dict(snapshots)
    pause = tasks.Backoff(deadline, first=0.2)
    for _round in range(_ROUNDS):
        if not due or (left and not pause.begin()):
            break
        left = _one_round(job, due, doing, deadline)
        due = {moid: path for moid, path in due.items() if moid in left}
    return left


def _one_round(job: Job, due: t.Mapping[str, str], doing: str, deadline: float) -> dict[str, VforgeError]:
    names = {moid: f"The snapshot {moid} of {path}" for moid, path in due.items()}
    works = [Work(name, _removing(job, moid), repeatable=True) for moid, name in names.items()]
    done = run_batch(job.session, works, job.options.parallel, deadline, doing)
    if isinstance(done.stopped, Interrupted):
        job.end(done.stopped)
    failed = {moid: error for moid, name in names.items() if (error := done.outcomes[name].error) is not None}
    return {moid: error for moid, error in failed.items() if not (isinstance(error, Fault) and api.is_gone(error))}


def _removing(job: Job, moid: str) -> t.Callable[[], t.Any]:
    return lambda: api.start_removal(job.session, moid)
