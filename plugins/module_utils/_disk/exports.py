# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A disk of a VM becomes a file on this machine: over its datastore, or by a lease."""

from __future__ import annotations

import dataclasses
import os
import typing as t

from .._errors import NotAttempted
from .._temporary_snapshots import Kind, Made, SnapshotTask, find_leftovers, remove_leftovers, with_snapshots
from .._vsphere import receiving, snapshots, vmdk
from .._vsphere.datastore_files import DatastoreFiles, DatastorePath, FileLocked
from .._vsphere.flat import Flat, NotWhole
from .._vsphere.vm import last_start
from . import converting, exporting, image, local, plan, read
from .exporting import RAW_NAME, STREAM_NAME
from .image import Image, QemuImg
from .job import DiskItem, publish
from .model import DATASTORE, EXPORTED, LEASE, STREAM, DiskOptions, DiskVm, choose_disk
from .plan import EXPORT

if t.TYPE_CHECKING:
    from .._connector.session import Session
    from .._engine import Task
    from .._vsphere.disks import Disk
    from .local import Workplace

# How the snapshots of running VMs are known that are made for exports.
KIND = Kind("vforge-vmdk", "Made for the export of a disk, and removed with it.", "vforge.vmdk ")


def export(task: Task[DiskItem], item: DiskItem, options: DiskOptions) -> None:
    """Bring a disk of a VM here, as a file of the format that is asked for."""
    session = task.session
    vm = item.vm = read.find(session, t.cast(t.Any, options.vm), options.place.datacenter)
    disk = choose_disk(vm, options.disk)
    item.called = f"{disk.label} of {vm.path}"
    item.place = options.path
    job: SnapshotTask[DiskItem] = SnapshotTask(task=task, kind=KIND, timeout=options.timeout)
    # Also where the disk is there: the run that made it may not have come to the end of its snapshot.
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
        plan.check_free(options.path, there=local.is_taken(options.path), ours=ours, force=options.force)
        item.steps = (EXPORT,)
        will = plan.made_in_short(options.output, disk.capacity)
        item.becomes(local.in_short(options.path), f"{will}, exported from {item.called}")
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
    """What an export is made of, and into what: a later run makes it again where one of these is another.

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


def _made_of_raw(tool: QemuImg, options: DiskOptions, place: Workplace, tell: t.Callable[[str], None]) -> converting.Made:
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
        publish(tool, item, place, made, made_of)
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
