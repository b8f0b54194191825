# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From an imported VM to a template: look at its disks, put the layer on, publish it. Any run can finish another's."""

from __future__ import annotations

import dataclasses
import time
import typing as t

from .._connector.batch import Work, run_batch
from .._connector.props import Row, collect
from .._errors import Fault
from .._vsphere.deltas import layer_changes
from . import api, lookup
from .errors import TemplateError
from .facts import IMPORTING, OWNER_KEY, READY, READY_KEY, UNPUBLISHED, Holder

if t.TYPE_CHECKING:
    from .job import Job
    from .making import Import

# Another run was faster, or works on the VM at this moment: look again.
_NOT_NOW = ("ConcurrentAccess", "TaskInProgress", "ManagedObjectNotFound")

# On these the size of a file is what it takes; elsewhere (vSAN, vVols) a disk is no file.
_PLAIN = ("VMFS", "NFS", "NFS41", "OTHER", "CIFS", "")

# A streamOptimized disk is stored unpacked, so it is never smaller than what was sent, but for the stream's own tables.
_TABLES = 2**20


@dataclasses.dataclass(frozen=True)
class Finished:
    """A template; ``published`` where it was this run that took the last step."""

    template: Holder
    published: bool


def finish(job: Job, moid: str, done: Import | None) -> Finished | None:
    """Make a template of an imported VM that this run may work on.

    :param done: the import, where this run has made it; another run's was verified before vCenter took it over.
    :returns: None when another run works on it, or it is gone.
    :raises TemplateError: ``incomplete_upload``.
    """
    rows = {row.moid: row for row in collect(job.session, [api.vm(job.session, moid)], api.FINISH, api.TO_STORES)}
    row = rows.get(moid)
    if row is None:
        return None
    holder = lookup.holder_of(moid, row.values)
    if holder.state == IMPORTING:
        if holder.owner != job.owner:
            return None
        _check_disks(job, row, rows, done)
        changes = layer_changes(row.get("config.hardware.device") or (), every=False)
        marks = {READY_KEY: holder.instance_uuid}
        start = _reconfigure(job, holder, marks, changes)
        if not run_task(job, "put the layer on", start, _NOT_NOW):
            return None
    elif holder.state not in (UNPUBLISHED, READY):
        return None
    published = holder.state != READY and _publish(job, moid)
    template = lookup.read_vms(job.session, [api.vm(job.session, moid)]).get(moid)
    return Finished(template, published) if template is not None else None


def _reconfigure(job: Job, holder: Holder, marks: dict[str, str], changes: list[t.Any]) -> t.Callable[[], t.Any]:
    return lambda: api.start_reconfigure(job.session, holder.moid, holder.change_version, marks, changes)


def claim(job: Job, holder: Holder) -> bool:
    """Take over what another run has left unfinished; False while a lease or a task works on it, or another run was faster.

    vCenter blocks the change while a lease is held, and carries out only one of two that know the same change version.
    """
    ref = api.vm(job.session, holder.moid)
    rows = collect(job.session, [ref], api.TASKS, api.TO_TASKS)
    if any(str(row.get("info.state")) in ("running", "queued") for row in rows):
        return False
    start = _reconfigure(job, holder, {OWNER_KEY: job.owner}, [])
    return run_task(job, "take over", start, (*_NOT_NOW, "InvalidState", "InvalidPowerState"))


def run_task(job: Job, doing: str, start: t.Callable[[], t.Any], harmless: t.Collection[str] = ()) -> bool:
    """One task to its end; False when it fails with one of the ``harmless`` faults.

    :raises VforgeError: any other failure.
    """
    done = run_batch(job.session, [Work(doing, start)], 1, job.deadline)
    outcome = done.outcomes[doing]
    if isinstance(outcome.error, Fault) and outcome.error.fault in harmless:
        return False
    if done.stopped is not None:
        raise done.stopped
    if outcome.error is not None:
        raise outcome.error
    return True


def _publish(job: Job, moid: str) -> bool:
    """The last step; False where another run has taken it already."""
    try:
        job.session.retrying(lambda: api.mark_as_template(job.session, moid))
    except Fault as fault:
        if fault.fault not in ("InvalidState", "NotSupported", "ManagedObjectNotFound"):
            raise
        return False
    return True


def _check_disks(job: Job, row: Row, rows: t.Mapping[str, Row], done: Import | None) -> None:
    """Make sure that every disk is there, as large as the descriptor wants it, and holds what was sent."""
    found = api.disk_facts(row.values)
    if done is not None:
        missing = done.capacities - api.count_capacities(row.get("config.hardware.device") or ())
        if missing:
            sizes = ", ".join(f"{size // 1024} MiB" for size in missing.elements())
            raise _incomplete(job, f"disks of {sizes} are not there")
    if any(str(store.get("summary.type") or "") not in _PLAIN for store in rows.values()):
        return
    sent = sorted((blob.size for href, blob in job.package.files.items() if href in _disk_files(job)), reverse=True)
    stored = sorted((size for size in found if size is not None), reverse=True)
    for number, size in enumerate(sent):
        if number >= len(stored) or stored[number] + _TABLES + size // 50 < size:
            have = stored[number] if number < len(stored) else 0
            raise _incomplete(job, f"a disk of {size} bytes was sent, and {have} bytes are there")


def _disk_files(job: Job) -> set[str]:
    """The names of the files that disks are made of."""
    by_id = {file.id: file.href for file in job.package.descriptor.files}
    return {by_id[disk.file] for disk in job.package.descriptor.disks if disk.file}


def _incomplete(job: Job, what: str) -> TemplateError:
    return TemplateError(
        "incomplete_upload",
        f"What was imported of {job.package.label} is not whole: {what}. It was removed.",
        hint="Run again; if it happens again, look at the events of the host and the datastore.",
    )


def remove_own(job: Job, moid: str) -> None:
    """Remove what this run has imported and could not finish, if it is still this run's."""
    holder = lookup.read_vms(job.session, [api.vm(job.session, moid)]).get(moid)
    if holder is None or holder.owner != job.owner or holder.state not in (IMPORTING, UNPUBLISHED):
        return
    late = dataclasses.replace(job, deadline=max(job.deadline, time.monotonic() + 30))
    run_task(late, "remove", lambda: api.start_destroy(job.session, moid), ("ManagedObjectNotFound",))
