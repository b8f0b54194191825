# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the result of a task has of its VMs and packages, and the diff. Pure."""

from __future__ import annotations

import collections
import typing as t

from .. import _engine
from .._copy_source import FromSnapshot
from .._temporary_snapshots import REMOVE_LEFTOVERS, Made, Removed
from .._vsphere.hardware import withheld
from .plan import EXPORT, PRUNE

if t.TYPE_CHECKING:
    from .record import Record
    from .task import ExportItem, ExportTask

_MIB = 2**20

_DONE = {EXPORT: "exported", PRUNE: "pruned", REMOVE_LEFTOVERS: "leftover_removed"}

# What the entry of a VM has that is not found.
_UNKNOWN: dict[str, t.Any] = {
    **_engine.UNTOUCHED,
    "instance_uuid": "",
    "power_state": "",
    "reason": "",
    "package": None,
    "snapshot": None,
    "removed": [],
    "withheld": [],
    "warnings": [],
}


def result(job: ExportTask) -> dict[str, t.Any]:
    """``changed``, ``vms`` (one entry each), ``counts``, ``bytes`` and ``diff``."""
    entries = job.task.with_missing("vms", [_entry(job, item) for item in job.vms], **_UNKNOWN)
    return {
        "changed": any(entry["changed"] for entry in entries),
        "vms": entries,
        "counts": dict(collections.Counter(_count(entry) for entry in entries)),
        "bytes_received": sum(one.size for item in job.vms for one in item.received.values()),
        "diff": _diff(job),
    }


def _count(entry: t.Mapping[str, t.Any]) -> str:
    return "failed" if "error" in entry else "exported" if "exported" in entry["actions"] else "unchanged"


def _entry(job: ExportTask, item: ExportItem) -> dict[str, t.Any]:
    entry = {
        "name": item.vm.name,
        "moid": item.vm.moid,
        "path": item.vm.path,
        "instance_uuid": item.vm.instance_uuid,
        "power_state": item.vm.power_state,
        "actions": item.actions(_DONE),
        "changed": item.changed,
        "reason": "fresh" if item.enough else item.decided.reason if item.decided is not None else "",
        "package": _package(job, item),
        "snapshot": _snapshot(item),
        "removed": [{"name": name, "at": known.date, "size": known.size} for name, known in item.removed],
        "withheld": withheld(item.vm.machine, job.options.extra_config),
        "seconds": item.seconds,
        "warnings": item.warnings,
    }
    return item.with_error(entry)


def _snapshot(item: ExportItem) -> dict[str, t.Any] | None:
    """The snapshot that was exported; None where there was none."""
    if isinstance(item.own, (Made, Removed)):
        return {"moid": item.own.moid, "created": True, "removed": isinstance(item.own, Removed)}
    if isinstance(item.source, FromSnapshot):
        return {"moid": item.source.snapshot.moid, "created": False, "removed": False}
    return None


def _package(job: ExportTask, item: ExportItem) -> dict[str, t.Any] | None:
    """The package that is there; None where there is none."""
    known = item.after
    if known is None:
        return None
    return {
        "name": item.package,
        "format": job.packages.form,
        "path": job.packages.path(item.package),
        "at": known.date,
        "consistency": known.consistency,
        "memory": False,
        "size": known.size,
        "files": [{"name": file.name, "size": file.size, "sha256": file.sha256, "role": file.role} for file in known.files],
        "disks": [_disk(item, known, label) for label in _labels(known)],
    }


def _labels(known: Record) -> list[str]:
    return [file.disk for file in known.files if file.role == "disk"]


def _disk(item: ExportItem, known: Record, label: str) -> dict[str, t.Any]:
    """A disk of the package; rates are known of one that was received in this run."""
    file = next(file for file in known.files if file.disk == label)
    capacity = next((disk.capacity for disk in item.vm.machine.disks if disk.label == label), None)
    came = item.received.get(label)
    return {
        "label": label,
        "file": file.name,
        "size": file.size,
        "sha256": file.sha256,
        "capacity": capacity,
        "populated": came.populated if came is not None else None,
        "seconds": round(came.seconds, 3) if came is not None else None,
        "mib_per_second": round(came.size / _MIB / max(came.seconds, 0.001), 1) if came is not None else None,
        "witnessed": came.witnessed if came is not None else None,
    }


def _diff(job: ExportTask) -> dict[str, str]:
    before, after = [], []
    for item in job.vms:
        for name, known in item.removed:
            before.append(f"{job.packages.path(name)}: {_line(known)}\n")
            after.append(f"{job.packages.path(name)}: not there\n")
        if EXPORT not in item.done:
            continue
        path = job.packages.path(item.package)
        was, now = item.before, item.after
        before.append(f"{path}: {_line(was)}\n")
        # In check mode nobody knows what it would have.
        after.append(f"{path}: {'a new export' if job.task.check else _line(now)}\n")
    whole = _engine.diff(before, after)
    return {**whole, "before_header": "packages now", "after_header": "packages after this task"}


def _line(known: Record | None) -> str:
    if known is None:
        return "not there"
    return f"{known.size} bytes of {known.date}, {known.consistency}"
