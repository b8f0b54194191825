# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the result has of a restore into a VM. Pure."""

from __future__ import annotations

import typing as t

from .._engine import UNTOUCHED, diff
from .restore_plan import ATTACH_TAGS, DONE, EXCHANGE, PUT_NVRAM_BACK, SET_POLICIES

if t.TYPE_CHECKING:
    from .restore_plan import RestoredDisk
    from .restoring import RestoreItem, RestoreTask


def result(job: RestoreTask) -> dict[str, t.Any]:
    """``changed``, the point, the VM as ``into``, its ``disks`` and the ``diff``."""
    item = job.item
    before = [*_lines(item), *_settings(job, done=False)]
    after = [*_lines(item, point=job.point.id), *_settings(job, done=True)]
    return {
        "changed": item.changed,
        "repository": job.options.repository,
        "instance_uuid": job.point.instance_uuid,
        "name": job.point.vm_name,
        "point": job.point.id,
        "package": None,
        "into": {
            **UNTOUCHED,
            "name": item.target.name,
            "moid": item.target.moid,
            "path": item.target.path,
            "instance_uuid": item.target.instance_uuid,
            "transport": next((way.name for way in job.ways if way.usable), job.options.transport),
            "transports": [way.as_result() for way in job.ways],
            "actions": item.actions(DONE),
            "changed": item.changed,
            "seconds": item.seconds,
            "warnings": item.warnings,
        },
        "disks": [_disk(item, disk) for disk in item.disks],
        "put_back": {
            "nvram": PUT_NVRAM_BACK in item.done,
            "tags": _tags(job),
            "storage_policies": job.settings.labels if SET_POLICIES in item.done else [],
        },
        "left": [disk.label for disk in item.target.disks if disk.unit not in {each.place.backup.unit for each in item.disks}],
        "diff": diff(before, after),
    }


def _lines(item: RestoreItem, point: str = "") -> list[str]:
    lines = []
    for disk in item.disks:
        now = f"{disk.place.backup.unit}: {disk.place.old.file if disk.place.old is not None else 'no disk'}\n"
        restored = f"{disk.place.backup.unit}: {disk.place.backup.label} of the backup {point}\n"
        exchanged = EXCHANGE in item.done and not disk.unchanged
        lines.append(restored if point and exchanged else now)
    return lines


def _settings(job: RestoreTask, *, done: bool) -> list[str]:
    """What was put back besides the disks, before or after it was."""
    lines = []
    if SET_POLICIES in job.item.done:
        what = "those that were asked for" if done else "others"
        lines += [f"storage policy of {label}: {what}\n" for label in job.settings.labels]
    if PUT_NVRAM_BACK in job.item.done:
        lines.append(f"nvram: {f'that of the backup {job.point.id}' if done else 'another one'}\n")
    if done:
        lines += [f"tag: {name}\n" for name in _tags(job)]
    return lines


def _tags(job: RestoreTask) -> list[str]:
    """The tags that were attached, or in check mode would be."""
    foreseen = job.task.check and ATTACH_TAGS in job.item.done
    return sorted(job.settings.tags.values()) if foreseen else job.settings.attached


def _disk(item: RestoreItem, disk: RestoredDisk) -> dict[str, t.Any]:
    backup, old = disk.place.backup, disk.place.old
    restored = EXCHANGE in item.done and not disk.unchanged
    return {
        "label": backup.label,
        "key": backup.key,
        "unit": backup.unit,
        "capacity": backup.capacity,
        "path": (disk.file if restored else old.file if old is not None else "") or None,
        "action": "unchanged" if disk.unchanged else "restored" if restored else "none",
        "compared": disk.compared or ("content" if disk.unchanged else None),
        "not_read": disk.not_read,
        "storage_policies": list(disk.policies) if restored else [],
        "replaced": _replaced(disk) if restored and old is not None else None,
    }


def _replaced(disk: RestoredDisk) -> dict[str, t.Any]:
    """The disk that was there before."""
    file = disk.place.old.file if disk.place.old is not None else ""
    return {"path": file, "deleted": disk.deleted, "reason": disk.keeps}
