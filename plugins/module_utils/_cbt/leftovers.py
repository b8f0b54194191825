# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Snapshots that earlier runs have left because they were killed."""

from __future__ import annotations

import datetime
import typing as t

from . import api
from .facts import Snapshot
from .job import Job, Standing
from .marks import Mark
from .taking import remove_all

DONE = "leftover_removed"


def look(job: Job) -> None:
    """Find the left-overs of each VM. They are no snapshots of the user's, so the VM goes on without them.

    One whose run may still be at work is left alone, with a word.
    """
    marked = {
        standing.moid: found
        for standing in job.standings
        if (found := [item for item in standing.vm.snapshots if Mark.of(item, standing.vm.instance_uuid)])
    }
    if not marked:
        return
    now = api.current_time(job.session)
    for standing in job.standings:
        for snapshot in marked.get(standing.moid, ()):
            _sort(standing, snapshot, now)


def _sort(standing: Standing, snapshot: Snapshot, now: datetime.datetime) -> None:
    mark = Mark.of(snapshot, standing.vm.instance_uuid)
    if mark is not None and mark.is_over(snapshot.created, now):
        standing.leftovers.append(snapshot)
        return
    standing.warnings.append(
        f"{standing.vm.path} has the snapshot {snapshot.name} ({snapshot.moid}) of a run that may still be at work. "
        "It is left alone."
    )


def remove(job: Job) -> None:
    """Remove what was found; in check mode it is only told."""
    due = {snapshot.moid: standing.vm.path for standing in job.standings for snapshot in standing.leftovers}
    left = remove_all(job, due, "left-over snapshots removed") if due and not job.check else {}
    for standing in job.standings:
        if not standing.leftovers:
            continue
        failed = [error for moid, error in left.items() if moid in _moids(standing.leftovers)]
        if failed:
            standing.fail(failed[0])
        else:
            standing.done.append(DONE)


def without(standing: Standing) -> tuple[Snapshot, ...]:
    """The snapshots of a VM, less those that are removed."""
    gone = _moids(standing.leftovers)
    return tuple(snapshot for snapshot in standing.vm.snapshots if snapshot.moid not in gone)


def _moids(snapshots: t.Sequence[Snapshot]) -> set[str]:
    return {snapshot.moid for snapshot in snapshots}
