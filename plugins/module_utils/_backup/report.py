# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the result has of VMs, disks and points. Pure."""

from __future__ import annotations

import collections
import typing as t

from .. import _engine
from .._temporary_snapshots import REMOVE_LEFTOVERS, Made, Removed
from . import plan
from .plan import BACK_UP, Audit, Changes, Reading
from .scripts import RUN_AFTER

if t.TYPE_CHECKING:
    from .copying import Copied
    from .model import DiskBackup, Point
    from .task import BackupItem, BackupTask

_DONE = {BACK_UP: "backed_up", REMOVE_LEFTOVERS: "leftover_removed", RUN_AFTER: "after_script_run"}

# What the entry of a VM has that is not found.
_UNKNOWN: dict[str, t.Any] = {
    **_engine.UNTOUCHED,
    "instance_uuid": "",
    "point": None,
    "merged": None,
    "snapshot": None,
    "scripts": None,
    "transport": "",
    "transports": [],
    "disks": [],
    "warnings": [],
}


def result(job: BackupTask) -> dict[str, t.Any]:
    """``changed``, ``vms`` (one entry each), ``counts`` and ``bytes_read``."""
    entries = job.task.with_missing("vms", [_entry(item) for item in job.vms], **_UNKNOWN)
    return {
        "changed": any(entry["changed"] for entry in entries) or bool(job.sources.detached),
        "repository": job.repository.path,
        "vms": entries,
        "detached": job.sources.detached,
        "counts": dict(collections.Counter(_what_became(entry) for entry in entries)),
        "missed": [{"moid": item.vm.moid} for item in job.vms if _misses(item)],
        "bytes_read": sum(one.copied.read for item in job.vms for one in item.copied),
    }


def _what_became(entry: t.Mapping[str, t.Any]) -> str:
    if "error" in entry:
        return "failed"
    return "backed_up" if _DONE[BACK_UP] in entry["actions"] else "unchanged"


def _entry(item: BackupItem) -> dict[str, t.Any]:
    entry = {
        "name": item.vm.name,
        "moid": item.vm.moid,
        "path": item.vm.path,
        "instance_uuid": item.vm.instance_uuid,
        "actions": [_DONE[step] for step in item.done],
        "changed": bool(item.done or item.merged),
        "merged": item.merged or None,
        "point": point_entry(item.point) if item.point is not None else None,
        "snapshot": _snapshot(item),
        "scripts": item.scripts.as_result() if item.scripts is not None else None,
        "transport": item.transport,
        "transports": [way.as_result() for way in item.ways],
        "disks": [*_read(item), *_left_out(item)],
        "seconds": item.seconds,
        "warnings": [*item.warnings, *_misses(item)],
    }
    return item.with_error(entry)


def _snapshot(item: BackupItem) -> dict[str, t.Any] | None:
    """The snapshot that was made; None where there was none."""
    if not isinstance(item.own, (Made, Removed)):
        return None
    return {"moid": item.own.moid, "removed": isinstance(item.own, Removed)}


def _read(item: BackupItem) -> list[dict[str, t.Any]]:
    copied = {one.disk.key: one.copied for one in item.copied}
    return [{**_disk(item, each, copied.get(each.disk.key)), "missed": _missed(item, each)} for each in item.readings]


def _missed(item: BackupItem, reading: Reading) -> dict[str, t.Any] | None:
    """What tracking has missed of a disk; None where it was not audited."""
    found = item.missed.get(reading.disk.key)
    if found is None or not isinstance(reading, Audit):
        return None
    return {"bytes": found.bytes, "areas": [{"start": start, "length": length} for start, length in found.areas]}


def _misses(item: BackupItem) -> list[str]:
    """A sentence for each disk of which tracking has missed changes."""
    return [
        f"Changed block tracking of {item.title} has missed {found['bytes']} bytes of {each.disk.label} since the backup "
        f"{each.point.id}, the first at byte {found['areas'][0]['start']}. The new backup has them; earlier ones may lack "
        "some. Reset tracking by cbt_changed_areas with state reset."
        for each in item.readings
        if isinstance(each, Audit) and (found := _missed(item, each)) and found["bytes"]
    ]


def _disk(item: BackupItem, reading: Reading, copied: Copied | None) -> dict[str, t.Any]:
    disk = reading.disk
    return {
        "label": disk.label,
        "key": disk.key,
        "unit": disk.unit,
        "capacity": disk.capacity,
        "kind": _kind(reading),
        "reason": {"code": "", "reason": ""} if isinstance(reading, Changes) else vars(reading.why),
        "read": copied.read if copied is not None else 0,
        "skipped": disk.capacity - copied.read if copied is not None else 0,
        "written": copied.written if copied is not None else 0,
        "transport": item.transport,
        "seconds": round(copied.seconds, 3) if copied is not None else None,
        "rate": copied.rate if copied is not None else None,
        "consistency": item.point.consistency if item.point is not None else "",
    }


def _kind(reading: Reading) -> str:
    if isinstance(reading, Audit):
        return "audit"
    return "incremental" if isinstance(reading, Changes) else "full"


def _left_out(item: BackupItem) -> list[dict[str, t.Any]]:
    return [
        {
            "label": one.disk.label,
            "key": one.disk.key,
            "unit": one.disk.unit,
            "capacity": one.disk.capacity,
            "kind": "excluded",
            "reason": {"code": "excluded", "reason": one.why},
            "read": 0,
            "skipped": 0,
            "written": 0,
            "missed": None,
            "transport": "",
            "seconds": None,
            "rate": None,
            "consistency": "",
        }
        for one in plan.left_out(item.vm.disks if item.snapshotted is None else item.snapshotted)
    ]


def point_entry(point: Point) -> dict[str, t.Any]:
    """A point of a repository, as results have it."""
    return {
        "id": point.id,
        "created": point.created,
        "kind": point.kind,
        "consistency": point.consistency,
        "snapshot": point.snapshot,
        "disks": [_disk_entry(disk) for disk in point.disks],
    }


def _disk_entry(disk: DiskBackup) -> dict[str, t.Any]:
    return {
        "label": disk.label,
        "key": disk.key,
        "capacity": disk.capacity,
        "image": disk.file,
        "backing": disk.backing or None,
        "change_id": disk.change_id,
        "transport": disk.transport,
        "tracking": disk.tracking,
        "reason": disk.reason,
        "read": disk.read,
        "written": disk.written,
    }
