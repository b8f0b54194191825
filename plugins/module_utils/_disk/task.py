# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A task for one disk, from its options to its result.

What needs no vCenter is done by ``run_alone``, all else by ``run``: ``exports``, ``imports`` and ``copies`` have what is done
for each state.
"""

from __future__ import annotations

import collections
import dataclasses
import os
import time
import typing as t

from .._disk_import import places
from .._engine import UNTOUCHED, Task, diff
from .._errors import NotFound
from .._vsphere import vmdk
from .._vsphere.datastore_files import DatastoreFiles, DatastorePath
from . import converting, copies, describing, exports, image, imports, local, metadata, notes, plan, read
from .image import QemuImg
from .job import DiskItem, publish
from .model import ABSENT, CONVERTED, COPIED, DESCRIBED, EXPORTED, DiskOptions, choose_disk
from .plan import CONVERT, DELETE, DESCRIBE

if t.TYPE_CHECKING:
    from .._connector.session import Session

Tell: t.TypeAlias = t.Callable[[str], None]

_SECONDS_TO_CLEAN_UP = 300.0


def run_alone(options: DiskOptions, tell: Tell, *, check: bool) -> dict[str, t.Any] | None:
    """Do what needs no vCenter; None where the options ask for something else.

    :returns: the module's result.
    :raises VforgeError: it did not succeed; nothing half-made is in the place of the disk.
    """
    if not options.alone:
        return None
    deadline = time.monotonic() + options.timeout
    if options.state == CONVERTED:
        item = DiskItem(called=options.path, place=options.destination)
        _convert(options, item, deadline, tell, check=check)
    elif options.state == DESCRIBED:
        item = DiskItem(called=options.path, place=options.path)
        _describe(options, item, deadline, tell, check=check)
    else:
        item = DiskItem(called=options.path, place=options.path)
        item.steps = (DELETE,) if local.is_to_remove(options.path, force=options.force) else ()
        if item.steps:
            item.becomes(local.in_short(options.path), DELETE)
        if item.steps and not check:
            local.remove(options.path, deadline, tell)
    item.done = list(item.steps)
    return _result([item])


def run(session: Session, options: DiskOptions, *, check: bool) -> dict[str, t.Any]:
    """Do what the options ask for, or in check mode find out what that would be.

    :returns: the module's result: ``changed``, ``disks`` with one entry, ``failures``, ``diff`` and
        ``timing``.
    :raises PartialFailure: it did not succeed; it holds the whole result.
    """
    item = DiskItem(called=_called(options), place=str(options.on_datastore or options.path))
    deadline = session.deadline(options.timeout)
    task: Task[DiskItem] = Task(session, [item], "disks", deadline=deadline, parallel=1, check=check)
    works = {EXPORTED: exports.export, COPIED: copies.copy, DESCRIBED: _describe_there, ABSENT: copies.delete}
    work = works.get(options.state, imports.bring_in)
    with task.phase("work"), task.accounted(), task.working_on(item):
        work(task, item, options)
        if check:
            item.done += item.left
    return task.finish(_result([item]), subject=item)


def _called(options: DiskOptions) -> str:
    if options.vm is not None:
        return f"{options.disk or 'disk'} of the VM with the {options.vm}"
    return options.path or str(options.on_datastore)


def _result(items: t.Sequence[DiskItem]) -> dict[str, t.Any]:
    done = [item for item in items if item.done]
    before = [line for item in done for line in item.before]
    after = [line for item in done for line in item.after]
    where = "this machine" if all(item.place.startswith("/") for item in items) else "vCenter"
    return {
        "changed": any(item.done for item in items),
        "disks": [_entry(item) for item in items],
        "counts": dict(collections.Counter(step for item in items for step in item.done)),
        "diff": diff(before, after, where),
    }


def _entry(item: DiskItem) -> dict[str, t.Any]:
    entry = {
        **UNTOUCHED,
        "name": item.name,
        "place": item.place,
        **item.facts,
        "fetched": item.fetched,
        "resumed": item.resumed,
        "sent": item.sent,
        "actions": list(item.done),
        "changed": bool(item.done),
        "seconds": item.seconds,
    }
    return item.with_error(entry)


# Conversions


def _convert(options: DiskOptions, item: DiskItem, deadline: float, tell: Tell, *, check: bool) -> None:
    target = options.destination
    tool = QemuImg(deadline)
    found = converting.filled(tool, options.path, options.source_format)
    made_of = {
        "kind": CONVERTED,
        "source": options.path,
        "of": {file: local.identity(file) for file in found.files},
        "output": dataclasses.asdict(options.output),
    }
    known = local.noted(target)
    if not options.force and {name: known.get(name) for name in made_of} == made_of:
        item.facts = known.get("facts") or {}
        return
    plan.check_free(target, there=local.is_taken(target), ours=known.get("source") == options.path, force=options.force)
    item.steps = (CONVERT,)
    will = plan.made_in_short(options.output, found.capacity)
    item.becomes(local.in_short(target), f"{will}, converted from {options.path}")
    if check:
        return
    converting.checksum(options.path, options.checksum, tell)
    with local.scratch(target, deadline, tell) as place:
        made = converting.convert(tool, found, place.of(place.name), options.output, tell)
        publish(tool, item, place, made, made_of)


# Metadata


def _describe(options: DiskOptions, item: DiskItem, deadline: float, tell: Tell, *, check: bool) -> None:
    path = options.path
    if not os.path.isfile(path):
        raise NotFound(f"{path} is no file.", hint="Name the descriptor of a VMDK.", option="path")
    old, new = _with_metadata(path, options.metadata)
    item.facts = {"path": path, "metadata": metadata.entries(vmdk.descriptor(new, path))}
    item.steps = (DESCRIBE,) if new != old else ()
    _say_metadata(item, old, new)
    if check or not item.steps:
        return
    with local.scratch(path, deadline, tell) as place:
        # Once more under the lock: another run may have made the disk again meanwhile.
        _old, new = _with_metadata(path, options.metadata)
        text = vmdk.descriptor(new, path)
        known = local.noted(path)
        if known:
            # The disk is still what it was made of: the next run need not make it again.
            known["facts"] = {**(known.get("facts") or {}), **converting.of_descriptor(text)}
        place.rewrite(new, known)
        item.facts["metadata"] = metadata.entries(text)


def _say_metadata(item: DiskItem, old: bytes, new: bytes) -> None:
    """Say for the diff which entries change."""
    entries = (metadata.entries(vmdk.descriptor(each, item.place)) for each in (old, new))
    before, after = metadata.differences(*entries)
    head = f"{item.place}\n"
    item.before, item.after = (head, *before), (head, *after)


def _describe_there(task: Task[DiskItem], item: DiskItem, options: DiskOptions) -> None:
    """The metadata of a disk on a datastore, which a VM may have that is off."""
    session, path = task.session, options.on_datastore
    datacenter = options.place.datacenter
    if options.vm is not None:
        vm = item.vm = read.find(session, options.vm, datacenter)
        disk = choose_disk(vm, options.disk)
        item.called, datacenter = f"{disk.label} of {vm.path}", vm.datacenter
        item.facts = {"vm": vm.name, "moid": vm.moid, "instance_uuid": vm.instance_uuid, "disk": disk.label}
        path = DatastorePath.parse(disk.file, "disk")
    path = t.cast(DatastorePath, path)
    item.place = str(path)
    ref, name = places.datacenter(session, datacenter, path)
    with DatastoreFiles(session, name, task.deadline) as files:
        found = describing.look(files, path, options.metadata)
        text = vmdk.descriptor(found.wanted, str(path))
        item.facts |= {"datastore_path": str(path), "metadata": metadata.entries(text)}
        if found.as_asked:
            return
        place = describing.check_unused(session, ref, path)
        item.steps = (DESCRIBE,)
        if found.whole != found.wanted:
            _say_metadata(item, found.whole, found.wanted)
        else:
            item.becomes(
                "left half-written by an earlier run" if found.torn else "with what an earlier run has kept", "as asked"
            )
        if task.check:
            return
        # Once more, since it took calls to find out that nobody uses it.
        found = describing.look(files, path, options.metadata)
        try:
            describing.write(files, path, found, session.unreachable)
        except describing.HalfWritten:
            raise
        except BaseException:
            if not session.unreachable():
                _forget(task, item, ref, path)
            raise
        _forget(task, item, ref, path)
        _note_metadata(files, path, text)
    if running := describing.started_meanwhile(session, place, path):
        item.warnings.append(f"{running} was powered on meanwhile, and may have read the old metadata of {path}.")
    item.done.append(DESCRIBE)


def _forget(task: Task[DiskItem], item: DiskItem, datacenter: t.Any, path: DatastorePath) -> None:
    """Delete what was kept of a descriptor, which is whole. A failure costs nothing but a file."""
    deadline = max(task.deadline, time.monotonic() + _SECONDS_TO_CLEAN_UP)

    def note(item: DiskItem, outcome: t.Any) -> None:
        if outcome.error is not None:
            item.warnings.append(f"What was kept of {path} could not be deleted, which the next run does: {outcome.error}")

    task.call(
        [item], lambda _item: describing.start_forget(task.session, datacenter, path), "files deleted", note, deadline=deadline
    )


def _note_metadata(files: DatastoreFiles, path: DatastorePath, text: vmdk.Descriptor) -> None:
    """What an import or a copy noted of a disk says what its descriptor says now."""
    known = notes.noted(files, path)
    if known:
        facts = {**(known.get("facts") or {}), **converting.of_descriptor(text)}
        notes.note(files, path, {**known, "facts": facts})


def _with_metadata(path: str, asked: t.Mapping[str, str]) -> tuple[bytes, bytes]:
    """A descriptor as it is, and as it is to be."""
    with image.LocalBytes(path) as source:
        old = source.read(0, vmdk.MOST_DESCRIPTOR + 1)
    metadata.check(old, path)
    return old, metadata.changed(old, asked)
