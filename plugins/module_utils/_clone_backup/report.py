# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the result of a task has of its VMs and their backups, and the diff. Pure."""

from __future__ import annotations

import collections
import typing as t

from .. import _engine
from .._temporary_snapshots import REMOVE_LEFTOVERS
from .model import FULL, Backup, Mark
from .plan import CLONE, PRUNE

if t.TYPE_CHECKING:
    from .task import BackupItem, BackupTask

_DONE = {CLONE: "cloned", PRUNE: "pruned", REMOVE_LEFTOVERS: "leftover_removed"}

_UNKNOWN: dict[str, t.Any] = {
    **_engine.UNTOUCHED,
    "instance_uuid": "",
    "power_state": "",
    "backup": None,
    "backups": [],
    "removed": [],
    "warnings": [],
}


def result(job: BackupTask) -> dict[str, t.Any]:
    """``changed``, ``vms`` (one entry each), ``counts`` and ``diff``."""
    entries = job.task.with_missing("vms", [_entry(job, item) for item in job.vms], **_UNKNOWN)
    return {
        "changed": any(entry["changed"] for entry in entries),
        "vms": entries,
        "counts": dict(collections.Counter(_count(entry) for entry in entries)),
        "diff": _diff(job),
    }


def _count(entry: t.Mapping[str, t.Any]) -> str:
    return "failed" if "error" in entry else "backed_up" if "cloned" in entry["actions"] else "unchanged"


def _entry(job: BackupTask, item: BackupItem) -> dict[str, t.Any]:
    kept = [backup for backup in item.known if backup not in item.removed]
    entry = {
        "name": item.vm.name,
        "moid": item.vm.moid,
        "path": item.vm.path,
        "instance_uuid": item.vm.instance_uuid,
        "power_state": item.vm.power_state,
        "actions": item.actions(_DONE),
        "changed": item.changed,
        "backup": _newest(job, item),
        "backups": sorted(backup.name for backup in kept) + ([item.made.name] if item.made is not None else []),
        "removed": [_entry_of(backup.mark, backup.moid) for backup in item.removed],
        "seconds": item.seconds,
        "warnings": item.warnings,
    }
    return item.with_error(entry)


def _newest(job: BackupTask, item: BackupItem) -> dict[str, t.Any] | None:
    """The backup that was made, or the one that is new enough."""
    if item.made is not None:
        return {**_entry_of(item.made, item.made_moid), "independent": job.options.mode == FULL}
    fresh = item.decided.fresh if item.decided is not None else None
    return {**_entry_of(fresh.mark, fresh.moid), "independent": None} if fresh is not None else None


def _entry_of(mark: Mark, moid: str) -> dict[str, t.Any]:
    return {
        "name": mark.name,
        "moid": moid,
        "at": mark.at.isoformat(timespec="seconds"),
        "consistency": mark.consistency,
    }


def _diff(job: BackupTask) -> dict[str, str]:
    before, after = [], []
    for item in job.vms:
        if not item.done and not item.removed:
            continue
        before.append(_line(item, item.known, new=False))
        kept = [backup for backup in item.known if backup not in item.removed]
        after.append(_line(item, kept, new=CLONE in item.done))
    return _engine.diff(before, after)


def _line(item: BackupItem, backups: t.Sequence[Backup], *, new: bool) -> str:
    names = sorted(backup.name for backup in backups) + (["a new one"] if new else [])
    return f"{item.vm.path}: {', '.join(names) or 'no backup'}\n"
