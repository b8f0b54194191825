# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A task for one disk, from its options to its result.

What needs no vCenter is done by ``run_alone``, all else by ``run``.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import time
import typing as t

from .._disk_import import apply, importing, places
from .._engine import UNTOUCHED, Task, diff
from .._errors import Fault, NotAttempted, NotFound, VforgeError
from .._temporary_snapshots import (
    Kind,
    Made,
    SnapshotItem,
    SnapshotTask,
    find_leftovers,
    remove_leftovers,
    with_snapshots,
)
from .._vsphere import directories, receiving, snapshots, vmdk
from .._vsphere.flat import Flat, NotWhole, SeveralFiles
from .._vsphere.folder import DatastoreFiles, DatastorePath, FileLocked, NoSuchFile
from .._vsphere.vm import last_start
from . import converting, describing, exporting, image, local, metadata, notes, plan, read
from .exporting import RAW_NAME, STREAM_NAME
from .image import Image, QemuImg
from .model import (
    ABSENT,
    CONTENT,
    CONVERTED,
    COPIED,
    DATASTORE,
    DESCRIBED,
    EXPORTED,
    LEASE,
    STREAM,
    DiskOptions,
    DiskVm,
    Output,
    choose_disk,
)
from .plan import CONVERT, COPY, DELETE, DESCRIBE, EXPORT, IMPORT

if t.TYPE_CHECKING:
    from .._connector.session import Session
    from .._vsphere.disks import Disk
    from .local import Workplace

Tell: t.TypeAlias = t.Callable[[str], None]

# What is on its way is called so in the folder where it is made.
_READY_STREAM = "import.vmdk"

# Is noted of an imported disk where the VM of its import could not be removed.
_LEFT = "left"

_SECONDS_TO_CLEAN_UP = 300.0


# How the snapshots of running VMs are known that are made for exports.
KIND = Kind("vforge-vmdk", "Made for the export of a disk, and removed with it.", "vforge.vmdk ")


@dataclasses.dataclass(kw_only=True)
class DiskItem(SnapshotItem):
    """The disk of a task.

    :ivar called: where it comes from, for messages.
    :ivar place: where it is, or is to be.
    :ivar facts: what its entry in the result says of it.
    :ivar fetched, resumed, sent: bytes that came now, that had come before, and that were sent.
    """

    vm: t.Any = None
    called: str
    place: str
    facts: dict[str, t.Any] = dataclasses.field(default_factory=dict)
    fetched: int = 0
    resumed: int = 0
    sent: int = 0
    adapter: str = "lsilogic"

    @property
    def title(self) -> str:
        """What messages call it."""
        return self.called

    @property
    def name(self) -> str:
        """What its entry in the result calls it."""
        return os.path.basename(self.place)


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
        item.steps = (DELETE,) if local.is_there(options.path) else ()
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
    work = {EXPORTED: _export, COPIED: _copy, DESCRIBED: _describe_there, ABSENT: _delete}.get(options.state, _import)
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
    before = [f"{item.place}: not as asked\n" for item in items if item.done]
    after = [f"{item.place}: {', '.join(item.done)}\n" for item in items if item.done]
    return {
        "changed": any(item.done for item in items),
        "disks": [_entry(item) for item in items],
        "counts": {
            step: sum(step in item.done for item in items) for step in {*(step for item in items for step in item.done)}
        },
        "diff": diff(before, after),
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
    found = converting.source(tool, options.path, options.source_format)
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
    there = os.path.lexists(target)
    plan.check_free(target, there=there, ours=known.get("source") == options.path, force=options.force)
    item.steps = (CONVERT,)
    if check:
        return
    converting.checksum(options.path, options.checksum, tell)
    with local.scratch(target, deadline, tell) as place:
        made = converting.convert(tool, found, place.of(place.name), options.output, tell)
        _publish(tool, item, place, made, made_of)


def _publish(tool: QemuImg, item: DiskItem, place: Workplace, made: converting.Made, made_of: t.Mapping[str, t.Any]) -> None:
    """Move what was made to its place, and note what it is and was made of."""
    folder = os.path.dirname(place.target)
    old = {os.path.basename(file) for file in local.files_of(place.target)}
    new = [os.path.basename(file) for file in made.image.files]
    item.facts |= {
        **converting.described(tool, made.image),
        "content_sha256": made.content,
        "path": place.target,
        "files": [os.path.join(folder, name) for name in new],
    }
    place.publish(new, {**made_of, "facts": item.facts})
    for name in old - set(new):
        place.folder.remove(name)


# Metadata


def _describe(options: DiskOptions, item: DiskItem, deadline: float, tell: Tell, *, check: bool) -> None:
    path = options.path
    if not os.path.isfile(path):
        raise NotFound(f"{path} is no file.", hint="Name the descriptor of a VMDK.", option="path")
    old, new = _with_metadata(path, options.metadata)
    item.facts = {"path": path, "metadata": metadata.entries(vmdk.descriptor(new, path))}
    item.steps = (DESCRIBE,) if new != old else ()
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
    ref, name = places.datacenter(session, datacenter)
    with DatastoreFiles(session, name, task.deadline) as files:
        found = describing.look(files, path, options.metadata)
        text = vmdk.descriptor(found.wanted, str(path))
        item.facts |= {"datastore_path": str(path), "metadata": metadata.entries(text)}
        if found.as_asked:
            return
        place = describing.check_unused(session, ref, path)
        item.steps = (DESCRIBE,)
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


# Exports


def _export(task: Task[DiskItem], item: DiskItem, options: DiskOptions) -> None:
    session = task.session
    vm = item.vm = read.find(session, t.cast(t.Any, options.vm), options.place.datacenter)
    disk = choose_disk(vm, options.disk)
    item.called = f"{disk.label} of {vm.path}"
    item.place = options.path
    job: SnapshotTask[DiskItem] = SnapshotTask(task=task, kind=KIND, timeout=options.timeout)
    # Also where the disk is there: the run that made it may not have
    # come to the end of its snapshot.
    find_leftovers(job)
    remove_leftovers(job)
    vm = item.vm
    item.facts = {
        "vm": vm.name,
        "moid": vm.moid,
        "instance_uuid": vm.instance_uuid,
        "disk": disk.label,
        "capacity": disk.capacity,
    }
    route = plan.route(options, vm, disk)
    with DatastoreFiles(session, vm.datacenter, task.deadline) as files:
        flat = _flat(files, disk) if route.transport == DATASTORE else None
        if flat is None and options.transport == DATASTORE:
            raise plan.not_over_datastore(vm, disk, "the server does not give it, or its content is not in one file")
        item.facts["transport"] = LEASE if flat is None else DATASTORE
        before = flat.state() if flat is not None else None
        made_of = {
            **_made_of(vm, disk, options),
            "changed": before.changed if before is not None else "",
            "content": _content_now(session, vm, disk, options) if before is None else "",
        }
        known = local.noted(options.path)
        if not options.force and _is_there(vm, options, known, made_of):
            item.facts = {**item.facts, **(known.get("facts") or {})}
            return
        ours = known.get("vm") == vm.instance_uuid and known.get("disk") == disk.identity
        plan.check_free(options.path, there=os.path.lexists(options.path), ours=ours, force=options.force)
        item.steps = (EXPORT,)
        if task.check:
            return
        # Before anything is fetched, since it is of no use without.
        tool = None if options.output.streamed and flat is None else QemuImg(task.deadline)
        # A lease begins from the start, so that what came by one is of no use later.
        made_in = local.workplace if flat is not None else local.scratch
        with made_in(options.path, task.deadline, session.show_progress) as place:
            if flat is not None and before is not None:
                _fetch(task, item, vm, disk, flat, before, place)
                made = _made_of_raw(tool or QemuImg(task.deadline), options, place, session.show_progress)
            else:
                made = _made_by_lease(job, item, options, vm, disk, place, tool)
            _take(tool, item, place, made, made_of)
            place.clear()
    item.done.append(EXPORT)


def _made_of(vm: DiskVm, disk: Disk, options: DiskOptions) -> dict[str, t.Any]:
    """What an export is made of, and into what: a later run makes it again
    where one of these is another.

    :raises NotFound, Ambiguous: the snapshot that is asked for.
    """
    snapshot = snapshots.choose(vm.snapshots, options.snapshot, vm.path) if options.snapshot is not None else None
    created = snapshot.created.isoformat() if snapshot is not None and snapshot.created is not None else ""
    return {
        "kind": EXPORTED,
        "vm": vm.instance_uuid,
        "disk": disk.identity,
        "capacity": disk.capacity,
        # By its name another one could be meant.
        "snapshot": f"{snapshot.moid} {created}" if snapshot is not None else "",
        "output": dataclasses.asdict(options.output),
    }


def _content_now(session: Session, vm: DiskVm, disk: Disk, options: DiskOptions) -> str:
    """What shows of a disk that comes by a lease whether it was written since; empty where nothing does. No call, or one.

    Of a VM that is off it is the content ID, which changes when something is first written after the disk was opened.
    Where the host does not say it, the configuration and the last start of the VM.
    """
    if vm.power_state != "poweredOff" or options.snapshot is not None:
        return ""
    if disk.content or not vm.change_version:
        return disk.content
    return f"version {vm.change_version} started {last_start(session, vm.moid)}"


# What shows of a VM that is off whether its disk was written since.
_SHOWS_WRITES = ("changed", "content")


def _is_there(vm: DiskVm, options: DiskOptions, known: t.Mapping[str, t.Any], made_of: t.Mapping[str, t.Any]) -> bool:
    """Whether what an earlier run has made is what is asked for.

    :param known: what that run noted.
    :param made_of: as this run would note it; ``changed`` is when the disk's file was last written, and ``content`` what
        shows that otherwise. One of them is empty, or both where that cannot be known.
    """
    if any(known.get(name) != value for name, value in made_of.items() if name not in _SHOWS_WRITES):
        return False
    # Of a running VM what came by a lease was a moment, and that it came is what was asked for. A snapshot
    # does not change.
    if vm.power_state != "poweredOff" or options.snapshot is not None:
        return True
    shown = "changed" if made_of["changed"] else "content"
    return bool(made_of[shown]) and bool(known.get(shown) == made_of[shown])


def _flat(files: DatastoreFiles, disk: Disk) -> Flat | None:
    """The file with the content of a disk; None where it is not in one file, or the server does not
    give it.
    """
    try:
        flat = Flat(files, DatastorePath.parse(disk.file, "disk"))
    except FileLocked:
        return None
    return flat if flat.extent is not None else None


def _fetch(
    task: Task[DiskItem],
    item: DiskItem,
    vm: DiskVm,
    disk: Disk,
    flat: Flat,
    before: t.Any,
    place: Workplace,
) -> None:
    place.clear(RAW_NAME, "state.json")
    wanted = plan.spans(exporting.areas_in_use(task.session, vm, disk), flat.capacity)
    with task.phase("transfer"):
        came = exporting.download(flat, before, wanted, place, task.session.show_progress, item.title, task.deadline)
    item.fetched, item.resumed = came


def _made_of_raw(tool: QemuImg, options: DiskOptions, place: Workplace, tell: Tell) -> converting.Made:
    raw = tool.look(place.of(RAW_NAME), image.RAW)
    content = local.content_digest(raw, tool, place.of("scratch"), lambda _count: None)
    if options.output.format == image.RAW:
        os.replace(place.of(RAW_NAME), place.of(place.name))
        return converting.Made(dataclasses.replace(raw, path=place.of(place.name), files=(place.of(place.name),)), content)
    made = converting.convert(tool, raw, place.of(place.name), options.output, tell, content)
    return dataclasses.replace(made, content=content)


def _made_by_lease(
    job: SnapshotTask[DiskItem],
    item: DiskItem,
    options: DiskOptions,
    vm: DiskVm,
    disk: Disk,
    place: Workplace,
    tool: QemuImg | None,
) -> converting.Made:
    task: Task[DiskItem] = job.task
    if options.snapshot is not None:
        moid = snapshots.choose(vm.snapshots, options.snapshot, vm.path).moid
        came = exporting.by_lease(task, item, vm, disk, moid, place)
    elif vm.power_state == "poweredOff":
        came = exporting.by_lease(task, item, vm, disk, "", place)
    else:
        came = _from_own_snapshot(job, item, vm, disk, place)
    item.fetched = came.size
    path = place.of(STREAM_NAME)
    found, content, file = converting.read_stream(path, task.session.show_progress)
    item.facts["witnessed"] = exporting.compare(came, path, file, item.title) or came.witnessed
    if found.capacity != disk.capacity:
        raise NotWhole(f"{item.title} has {disk.capacity} bytes, and what came {found.capacity}.", hint="Run again.")
    if options.output.streamed:
        os.replace(path, place.of(place.name))
        own = place.of(place.name)
        return converting.Made(Image(own, image.VMDK, found.capacity, (own,), details={"create-type": STREAM}), content)
    tool = t.cast(QemuImg, tool)
    stream = tool.look(path, image.VMDK)
    made = converting.convert(tool, stream, place.of(place.name), options.output, task.session.show_progress, content)
    return dataclasses.replace(made, content=content)


def _from_own_snapshot(
    job: SnapshotTask[DiskItem], item: DiskItem, vm: DiskVm, disk: Disk, place: Workplace
) -> receiving.Exported:
    """The disk of a running VM, from a snapshot that is made for it and removed with it."""
    came: list[receiving.Exported] = []

    def use(ready: list[DiskItem]) -> None:
        for each in ready:
            moid = t.cast(Made, each.own).moid
            came.append(exporting.by_lease(job.task, each, vm, disk, moid, place))

    with_snapshots(job, [item], use)
    if not came:
        raise item.error or NotAttempted(f"{item.title}: no snapshot was made.", hint="Run again.")
    return came[0]


def _take(
    tool: QemuImg | None, item: DiskItem, place: Workplace, made: converting.Made, made_of: t.Mapping[str, t.Any]
) -> None:
    """Move what was made to its place, and note it. Without qemu-img it is a stream."""
    if tool is not None:
        _publish(tool, item, place, made, made_of)
        return
    with image.LocalBytes(made.image.path) as data:
        found = vmdk.verify(data)
    item.facts |= {
        "path": place.target,
        "format": image.VMDK,
        "subformat": STREAM,
        "capacity": found.capacity,
        "allocated": found.allocated,
        "size": os.stat(made.image.path).st_size,
        "files": [place.target],
        "content_sha256": made.content,
    }
    place.publish([place.name], {**made_of, "facts": item.facts})


# Imports


def _import(task: Task[DiskItem], item: DiskItem, options: DiskOptions) -> None:
    session, target = task.session, t.cast(DatastorePath, options.on_datastore)
    home = places.home(session, target, datacenter=options.place.datacenter, host=options.place.host)
    plan.check_verify(options, home.kind)
    plan.check_folder(target, home.kind, "datastore_path")
    made_of = {"kind": "imported", "source": {"path": options.path, **local.identity(options.path)}}
    item.adapter = options.import_adapter
    tool = QemuImg(task.deadline)
    with DatastoreFiles(session, home.path, task.deadline) as files:
        there = files.there(target)
        known = notes.noted(files, target) if there else {}
        if known and {name: known.get(name) for name in made_of} == made_of and not options.force:
            _keep(task, item, options, files, home, known)
            return
        found = converting.source(tool, options.path, options.source_format)
        if there and not options.force:
            content, verify = _same_content(task, options, tool, found, files, known)
            item.facts = known.get("facts") or {"capacity": found.capacity, "content_sha256": content}
            if not task.check:
                if not known:
                    importing.clear(task, item, home, target)
                left = bool(known.get(_LEFT)) and not _cleared(task, item, home, target)
                notes.note(files, target, _imported(made_of, content, item, left=left, verify=verify))
            return
        item.steps = (IMPORT,)
        # Once more before it is replaced, since conversion and upload may take hours.
        check = _replaceable(session, home.ref, target) if there else (lambda: None)
        if task.check:
            return
        converting.checksum(options.path, options.checksum, session.show_progress)
        with local.scratch(local.stream_of(options.path), task.deadline, session.show_progress) as place:
            made = _stream(task, tool, found, place)
            capacity, content = made.image.capacity, made.content
            new = importing.NewDisk(
                path=made.image.path,
                digest=made.file,
                capacity=capacity,
                target=target,
                adapter=item.adapter,
                provisioning=options.provisioning,
                replace=there,
                check=check,
                timeout=options.timeout,
            )
            came = _bring_in(task, item, home, new, files, known)
            item.facts["uuid"], item.sent = came.uuid, came.sent
            _tell_what_was_not_compared(item, options, came)
        if options.verify == CONTENT and _read_back(task, files, target) != content:
            _delete_wrong(task, item, options, home.ref)
        item.facts |= {"capacity": capacity, "content_sha256": content, "provisioning": options.provisioning}
        notes.note(files, target, _imported(made_of, content, item, left=not came.cleared, verify=options.verify))
    item.done.append(IMPORT)


def _keep(
    task: Task[DiskItem],
    item: DiskItem,
    options: DiskOptions,
    files: DatastoreFiles,
    home: places.Home,
    known: t.Mapping[str, t.Any],
) -> None:
    """A disk was made of this very file: what is left to do is its proof, and the end of an earlier import.

    :param known: what is noted of it.
    """
    target, now = t.cast(DatastorePath, options.on_datastore), dict(known)
    item.facts = known.get("facts") or {}
    if not _is_proved(known, options):
        _prove(task, options, files, known)
        now["verify"] = CONTENT
    if task.check:
        return
    if known.get(_LEFT) and _cleared(task, item, home, target):
        del now[_LEFT]
    if now != known:
        notes.note(files, target, now)


def _tell_what_was_not_compared(item: DiskItem, options: DiskOptions, came: importing.Imported) -> None:
    """Warn of a disk that nothing proves."""
    if came.reported != importing.DIGEST and options.verify != CONTENT:
        item.warnings.append(
            f"The host reports no digest of what it has got as {options.on_datastore}, so that was not compared. "
            "Set verify to content where its datastore has files of disks."
        )


def _bring_in(
    task: Task[DiskItem],
    item: DiskItem,
    home: places.Home,
    new: importing.NewDisk,
    files: DatastoreFiles,
    known: t.Mapping[str, t.Any],
) -> importing.Imported:
    """Import a disk. What is noted of one that it replaces goes right before, and comes back where
    that one stays.

    Were it there beside the new one, a run that ends before the proof would leave that one with a
    proof of another. Were it not there beside the old one, nobody could say on vSAN what that is.

    :param known: what is noted of the disk that is there; empty where nothing is.
    """
    old: list[bytes] = []

    def check() -> None:
        new.check()
        if known:
            old.append(files.read(new.target, vmdk.MOST_DESCRIPTOR))
            notes.note(files, new.target, {})

    try:
        return importing.bring_in(task, item, home, dataclasses.replace(new, check=check))
    except (Fault, NotAttempted):
        # Of all else it is not known whether vCenter goes on with it.
        if old:
            _note_again(item, files, new.target, old[0], known)
        raise


def _note_again(item: DiskItem, files: DatastoreFiles, target: DatastorePath, old: bytes, known: t.Mapping[str, t.Any]) -> None:
    """Note of a disk what was noted before, where it is the same one: each has another UUID in its
    descriptor.
    """
    try:
        if files.read(target, vmdk.MOST_DESCRIPTOR) == old:
            notes.note(files, target, known)
    except VforgeError as error:
        item.warnings.append(f"What was noted of {target} is lost, so the next run reads it: {error.message}")


def _imported(made_of: t.Mapping[str, t.Any], content: str, item: DiskItem, *, left: bool, verify: str) -> dict[str, t.Any]:
    """What is noted of a disk that came by an import.

    :param left: whether the VM of the import is there still, which the next run removes.
    :param verify: how it was proved.
    """
    noted = {**made_of, "content_sha256": content, "facts": item.facts, "verify": verify}
    return {**noted, _LEFT: True} if left else noted


def _is_proved(known: t.Mapping[str, t.Any], options: DiskOptions) -> bool:
    """Whether a disk was proved as the options ask for, or better."""
    return options.verify != CONTENT or known.get("verify") == CONTENT


def _prove(task: Task[DiskItem], options: DiskOptions, files: DatastoreFiles, known: t.Mapping[str, t.Any]) -> None:
    """Read a disk back that was imported without.

    :raises ImportFailed: it has another content.
    """
    target = t.cast(DatastorePath, options.on_datastore)
    if _read_back(task, files, target) != known.get("content_sha256"):
        raise importing.ImportFailed(
            f"{target} has another content than {options.path}, of which it was made.",
            hint="A VM may have written to it since. Set force to import it again.",
        )


def _cleared(task: Task[DiskItem], item: DiskItem, home: places.Home, target: DatastorePath) -> bool:
    """Remove the VM that an earlier import has left; whether it is gone. The disk is right without."""
    try:
        importing.clear(task, item, home, target)
    except importing.Busy as error:
        item.warnings.append(f"{error.message} The next run tries again.")
        return False
    return True


def _replaceable(session: Session, datacenter: t.Any, target: DatastorePath) -> t.Callable[[], None]:
    """Make sure that no VM has a disk that is to be replaced; what is returned does so once more.

    :raises InUse: both do, where one has it.
    """
    place = describing.check_nobodys(session, datacenter, target)
    return functools.partial(describing.check_still_nobodys, session, place, target)


def _delete_wrong(task: Task[DiskItem], item: DiskItem, options: DiskOptions, datacenter: t.Any) -> t.NoReturn:
    """Delete a disk that has something else than its source, unless a VM has got it meanwhile.

    :raises ImportFailed: always; it says what became of the disk.
    """
    session, target = task.session, t.cast(DatastorePath, options.on_datastore)
    wrong = f"{target} did not get the content of {options.path}"
    try:
        describing.check_nobodys(session, datacenter, target)
    except VforgeError as error:
        raise importing.ImportFailed(
            f"{wrong}, and was left, since it is not free: {error.message}", hint=error.hint
        ) from error
    importing.run(task, item, lambda: apply.start_delete(session, datacenter, str(target)), "disks deleted")
    raise importing.ImportFailed(f"{wrong}, and was deleted again.", hint="Run again.")


def _read_back(task: Task[DiskItem], files: DatastoreFiles, target: DatastorePath) -> str:
    """SHA-256 of the content of a disk on a datastore."""
    flat = Flat(files, target)
    flat.state()
    return exporting.content_of(flat, plan.spans(None, flat.capacity), task.session.show_progress, f"reading {target}")


def _same_content(
    task: Task[DiskItem],
    options: DiskOptions,
    tool: QemuImg,
    found: Image,
    files: DatastoreFiles,
    known: t.Mapping[str, t.Any],
) -> tuple[str, str]:
    """A disk in the place is the one that is asked for, where it was made of the same content.

    Where nothing is noted, a run may have ended between the import and the note: then the disk is
    read.

    :returns: SHA-256 of the content, and how the disk is proved to have it.
    :raises Exists: it was made of another one.
    """
    target = t.cast(DatastorePath, options.on_datastore)
    with local.scratch(local.stream_of(options.path), task.deadline, task.session.show_progress) as place:
        content = local.content_digest(found, tool, place.of("scratch"), lambda _count: None)
    # The content of the disk is filled up to whole sectors.
    there = known.get("content_sha256") if _is_proved(known, options) else None
    verify = CONTENT if there is None else str(known.get("verify"))
    ours = content == (_read_back(task, files, target) if there is None else there)
    plan.check_free(str(target), there=True, ours=ours, force=False)
    return content, verify


def _stream(task: Task[DiskItem], tool: QemuImg, found: Image, place: Workplace) -> converting.Made:
    """The streamOptimized form of an image, verified."""
    tell = task.session.show_progress
    if found.format == image.VMDK and found.subformat == STREAM:
        verified, content, file = converting.read_stream(found.path, tell)
        return converting.Made(dataclasses.replace(found, capacity=verified.capacity), content, file)
    return converting.convert(tool, found, place.of(_READY_STREAM), Output(image.VMDK, STREAM), tell)


# On datastores


def _copy(task: Task[DiskItem], item: DiskItem, options: DiskOptions) -> None:
    session = task.session
    source, target = t.cast(DatastorePath, options.on_datastore), t.cast(DatastorePath, options.copy_to)
    item.called, item.place = str(source), str(target)
    ref, path = places.datacenter(session, options.place.datacenter)
    with DatastoreFiles(session, path, task.deadline) as files:
        text = Flat(files, source).text
        made_of = {"kind": "copied", "source": str(source), "cid": text.values.get("cid", ""), "capacity": text.capacity}
        there = files.there(target)
        known, begun = (notes.noted(files, target), notes.begun(files, target)) if there else ({}, {})
        item.facts = {"capacity": text.capacity, **converting.of_descriptor(text)}
        if {name: known.get(name) for name in made_of} == made_of and not options.force:
            if begun and not task.check:
                _end_begun(task, item, ref, target)
            return
        ours = known.get("source") == str(source)
        left = begun.get("source") == str(source) and not ours and not options.force
        if left and _is_whole_copy(task, files, source, target):
            if not task.check:
                notes.note(files, target, made_of)
                _end_begun(task, item, ref, target)
            return
        # What is not whole is of no use to anybody.
        plan.check_free(str(target), there=there, ours=ours or left, force=options.force)
        item.steps = (COPY,)
        check = _replaceable(session, ref, target) if there else None
        if task.check:
            return
        if target.folder:
            directories.make(session, ref, target.folder, files)
        # With force the next run replaces what it finds anyway, which may be a disk that is not ours.
        with _begun(task, item, files, target, ref, {} if options.force else made_of):
            if check is None:
                _start_copy(task, item, ref, source, target)
            else:
                _replace(task, item, files, ref, source, target, check)
            notes.note(files, target, made_of)
            item.done.append(COPY)


def _start_copy(task: Task[DiskItem], item: DiskItem, datacenter: t.Any, source: DatastorePath, target: DatastorePath) -> None:
    importing.run(
        task,
        item,
        lambda: apply.start_copy(task.session, datacenter, str(source), str(target)),
        "disks copied",
    )


def _replace(
    task: Task[DiskItem],
    item: DiskItem,
    files: DatastoreFiles,
    datacenter: t.Any,
    source: DatastorePath,
    target: DatastorePath,
    check: t.Callable[[], None],
) -> None:
    """Copy a disk to the place of another one, which stays until the copy is whole.

    vCenter's copying replaces none, its moving does (API reference, VirtualDiskManager).

    :param check: that no VM has the other one.
    """
    beside = _copy_beside(target)
    if files.there(beside):
        _delete_copy(task, item, datacenter, beside)
    try:
        _start_copy(task, item, datacenter, source, beside)
        check()
        importing.run(
            task,
            item,
            lambda: apply.start_move(task.session, datacenter, str(beside), str(target), force=True),
            "disks moved",
        )
    except BaseException:
        if not task.session.unreachable():
            _delete_copy(task, item, datacenter, beside)
        raise


def _copy_beside(target: DatastorePath) -> DatastorePath:
    """Where the copy is made that takes the place of a disk."""
    return target.beside(f"{target.name.removesuffix('.vmdk')}.vforge-copy.vmdk")


def _delete_copy(task: Task[DiskItem], item: DiskItem, datacenter: t.Any, copy: DatastorePath) -> None:
    """Delete a copy that has not come to its place; where that fails, the next run does it that replaces or deletes
    the disk of the place.
    """
    _delete_beside(task, item, copy, lambda: apply.start_delete(task.session, datacenter, str(copy)), "disks deleted")


def _delete_beside(task: Task[DiskItem], item: DiskItem, file: DatastorePath, start: t.Callable[[], t.Any], title: str) -> None:
    """Delete what lies beside a disk, and warn where that fails. What is gone by then was to be deleted.

    :param start: starts the task that deletes it.
    :param title: of the progress.
    """
    deadline = max(task.deadline, time.monotonic() + _SECONDS_TO_CLEAN_UP)
    try:
        importing.run(task, item, start, title, repeatable=True, deadline=deadline)
    except VforgeError as error:
        if not isinstance(error, Fault) or error.fault != "FileNotFound":
            item.warnings.append(f"{file} stays until the next run: {error.message}")


def _is_whole_copy(task: Task[DiskItem], files: DatastoreFiles, source: DatastorePath, target: DatastorePath) -> bool:
    """Whether the copy that an earlier run has begun is whole; False where it is half made.

    Both disks are read: somebody may have put another one in the place since, and nothing else says
    what a disk was copied from.

    :raises Exists: it is another disk, or cannot be read.
    """
    there, own = Flat(files, target), Flat(files, source)
    plan.check_free(str(target), there=True, ours=there.text.capacity == own.text.capacity, force=False)
    try:
        if _is_half_made(there):
            return False
        same = _read_back(task, files, target) == _read_back(task, files, source)
    except (FileLocked, NoSuchFile, SeveralFiles) as error:
        raise plan.Exists(
            f"{target} is there already, and whether it is the copy of {source} that a run has begun "
            f"cannot be known: {error.message}",
            hint="Set force to replace it, or choose another place.",
        ) from error
    plan.check_free(str(target), there=True, ours=same, force=False)
    return True


def _is_half_made(disk: Flat) -> bool:
    """Whether a disk has less content than its descriptor says.

    :raises FileLocked, NoSuchFile, SeveralFiles: it cannot be read, as none on vSAN can.
    """
    try:
        disk.state()
    except SeveralFiles:
        raise
    except NotWhole:
        return True
    return False


@contextlib.contextmanager
def _begun(
    task: Task[DiskItem],
    item: DiskItem,
    files: DatastoreFiles,
    target: DatastorePath,
    datacenter: t.Any,
    made_of: t.Mapping[str, t.Any],
) -> t.Iterator[None]:
    """Say that a copy has begun until it is noted as whole, so that the next run knows one whose end
    this one does not see.

    :param made_of: what is said; nothing is where it is empty.
    """
    if made_of:
        notes.begin(files, target, made_of)
    try:
        yield
    except BaseException:
        if made_of and not task.session.unreachable():
            _end_begun_of(task, item, files, target, datacenter, made_of)
        raise
    if made_of:
        _end_begun(task, item, datacenter, target)


def _end_begun_of(
    task: Task[DiskItem],
    item: DiskItem,
    files: DatastoreFiles,
    target: DatastorePath,
    datacenter: t.Any,
    made_of: t.Mapping[str, t.Any],
) -> None:
    """Where it is known what became of a copy that failed, nothing is to be said of it any more."""
    try:
        if not files.there(target) or notes.noted(files, target) == made_of:
            _end_begun(task, item, datacenter, target)
    except VforgeError as error:
        item.warnings.append(f"{notes.begun_of(target)} stays until the next run: {error.message}")


def _end_begun(task: Task[DiskItem], item: DiskItem, datacenter: t.Any, target: DatastorePath) -> None:
    _delete_note(task, item, datacenter, notes.begun_of(target))


def _delete_note(task: Task[DiskItem], item: DiskItem, datacenter: t.Any, file: DatastorePath) -> None:
    """Delete what was noted beside a disk. The disk is as it was asked for all the same where that fails; then the next run
    does it.
    """
    _delete_beside(task, item, file, lambda: apply.start_delete_file(task.session, datacenter, str(file)), "notes deleted")


def _delete(task: Task[DiskItem], item: DiskItem, options: DiskOptions) -> None:
    session, target = task.session, t.cast(DatastorePath, options.on_datastore)
    ref, path = places.datacenter(session, options.place.datacenter)
    with DatastoreFiles(session, path, task.deadline) as files:
        there = files.there(target)
        if there:
            item.steps = (DELETE,)
            describing.check_nobodys(session, ref, target)
        if task.check:
            return
        if there:
            importing.run(task, item, lambda: apply.start_delete(session, ref, str(target)), "disks deleted")
            item.done.append(DELETE)
            if files.there(_copy_beside(target)):
                _delete_copy(task, item, ref, _copy_beside(target))
        for note in (notes.note_of(target), notes.begun_of(target)):
            if files.there(note):
                _delete_note(task, item, ref, note)
