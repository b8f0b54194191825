# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a disk in vSphere to files on this machine.

A disk of a VM that is off is read over the path of its datastore, piece by piece, and a later run
goes on where one was interrupted. Any other comes whole by an export lease, from a snapshot where
the VM runs.
"""

from __future__ import annotations

import functools
import json
import os
import typing as t

from .._connector.props import collect
from .._connector.pyvmomi import vim
from .._connector.tasks import Backoff
from .._errors import ConnectionLost, Fault, TimedOut
from .._progress import Meter
from .._vsphere import lease as leases
from .._vsphere import lease_devices, receiving, snapshots, vmdk
from .._vsphere.datastore_files import FileState
from .._vsphere.disks import disks_in
from .._vsphere.flat import Flat, NotWhole
from .._vsphere.vm import DEVICES, reference
from . import local, plan
from .local import Content

if t.TYPE_CHECKING:
    from .._connector.session import Session
    from .._engine import Task
    from .._vsphere.datastore_files import FileState
    from .._vsphere.disks import Disk
    from .job import DiskItem
    from .local import Workplace
    from .model import DiskVm

RAW_NAME, STREAM_NAME, _STATE_NAME = "content.raw", "stream.vmdk", "state.json"

# What is asked for at once, compared with zeros, and written.
_PART = 2**20
_BLOCK = 2**16
_ZEROS = bytes(_BLOCK)

# So often is noted how far a download is: an interruption costs no more than this.
_BETWEEN_NOTES = 2**28

_ATTEMPTS = 3

# Questions for the areas that are in use; what lies behind is taken for used.
_MOST_QUESTIONS = 5

# How vCenter answers for a lease whose session has ended.
_LEASE_LOST = ("ManagedObjectNotFound", "Timedout")


# Over the datastore


def download(
    flat: Flat,
    before: FileState,
    wanted: t.Sequence[tuple[int, int]],
    place: Workplace,
    tell: t.Callable[[str], None],
    label: str,
    deadline: float,
) -> tuple[int, int]:
    """Get the content of a disk into a sparse file, or what an interrupted run has left to get.

    :param before: what the file is. Where it was changed since, all is got again.
    :param wanted: starts and lengths of what is fetched; the rest is zeros.
    :returns: bytes that came now, and that had come before.
    :raises NotWhole: the file was changed meanwhile.
    """
    mark = {"size": before.size, "changed": before.changed, "capacity": flat.capacity}
    done = _done(place, mark)
    left = plan.rest(wanted, done)
    total = sum(length for _start, length in wanted)
    missing = sum(length for _start, length in left)
    meter = Meter(label, total, tell)
    meter.done = total - missing
    handle = os.open(place.of(RAW_NAME), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if not done:
            os.ftruncate(handle, 0)
        os.ftruncate(handle, flat.capacity)
        getting = _Getting(flat, handle, meter, lambda at: _note_done(place, mark, handle, at), done)
        getting.run(left, deadline)
    finally:
        os.close(handle)
    after = flat.state()
    if (after.size, after.changed) != (before.size, before.changed):
        place.clear()
        raise NotWhole(f"{label} was changed while it was read.", hint="Run again when nobody writes to it.")
    return missing, total - missing


class _Getting:
    """Writes what comes to where it belongs, and notes how far it is."""

    def __init__(self, flat: Flat, handle: int, meter: Meter, note: t.Callable[[int], None], done: int) -> None:
        self._flat = flat
        self._handle = handle
        self._meter = meter
        self._note = note
        self._noted = done
        self.at = done

    def run(self, left: t.Sequence[tuple[int, int]], deadline: float) -> None:
        """Get all of it; a connection that broke is made again where it came to."""
        buffer = memoryview(bytearray(_PART))
        try:
            for start, length in left:
                self.at = start
                self._get(start + length, buffer, deadline)
        finally:
            self._note(self.at)

    def _get(self, end: int, buffer: memoryview, deadline: float) -> None:
        waits, failures = Backoff(deadline), 0
        while self.at < end:
            begun = self.at
            try:
                for part in self._flat.pieces(self.at, end - self.at, buffer):
                    self._write(part)
            except ConnectionLost:
                failures = 1 if self.at > begun else failures + 1
                if failures == _ATTEMPTS or not waits.begin():
                    raise

    def _write(self, part: memoryview) -> None:
        for offset in range(0, len(part), _BLOCK):
            block = bytes(part[offset : offset + _BLOCK])
            # The file is empty or has these very bytes here, from before an interruption.
            if block != _ZEROS[: len(block)]:
                os.pwrite(self._handle, block, self.at + offset)
        self.at += len(part)
        self._meter.add(len(part))
        if self.at - self._noted >= _BETWEEN_NOTES:
            self._note(self.at)
            self._noted = self.at


def _done(place: Workplace, mark: t.Mapping[str, t.Any]) -> int:
    """Up to where an earlier run has got this state of this disk; 0 where the server does not say when it was changed."""
    if not mark["changed"]:
        return 0
    try:
        with open(place.of(_STATE_NAME), encoding="utf-8") as file:
            found = json.load(file)
        size = os.stat(place.of(RAW_NAME)).st_size
    except (FileNotFoundError, ValueError):
        return 0
    known = isinstance(found, dict) and {name: found.get(name) for name in mark} == dict(mark)
    done = found.get("done") if known else 0
    return done if isinstance(done, int) and 0 <= done <= size == mark["capacity"] else 0


def _note_done(place: Workplace, mark: t.Mapping[str, t.Any], handle: int, at: int) -> None:
    """Note how far it is, after what is noted has reached the disk."""
    os.fdatasync(handle)
    fresh = place.of(f"{_STATE_NAME}.new")
    with open(fresh, "w", encoding="utf-8") as file:
        json.dump({**mark, "done": at}, file)
    os.replace(fresh, place.of(_STATE_NAME))


def content_of(flat: Flat, wanted: t.Sequence[tuple[int, int]], tell: t.Callable[[str], None], label: str) -> str:
    """SHA-256 of the content of a disk on a datastore, of which nothing is kept."""
    content = Content(Meter(label, flat.capacity, tell).add)
    buffer = memoryview(bytearray(_PART))
    at = 0
    for start, length in wanted:
        content.take(start - at)
        for part in flat.pieces(start, length, buffer):
            content.take(bytes(part))
        at = start + length
    content.take(flat.capacity - at)
    return content.hexdigest()


def areas_in_use(session: Session, vm: DiskVm, disk: Disk) -> list[tuple[int, int]] | None:
    """The areas of a disk that are in use, where changed block tracking knows them, in a few calls at most.

    What is behind the last answer counts as used.

    :returns: starts and lengths; None where vCenter does not say it.
    """
    if disk.change_id is None:
        return None
    machine = reference(session, vm.moid)
    found: list[tuple[int, int]] = []
    at = 0
    for _question in range(_MOST_QUESTIONS):
        ask = functools.partial(machine.QueryChangedDiskAreas, None, disk.key, at, "*")
        try:
            page = session.retrying(ask)
        except Fault:
            return None  # no datastore but VMFS knows it; then all is read
        found += [(area.start, area.length) for area in page.changedArea or ()]
        end = page.startOffset + page.length
        if end <= at:
            return None
        at = end
        if at >= disk.capacity:
            return found
    return [*found, (at, disk.capacity - at)]


# By a lease


class _File:
    """Takes an exported file."""

    def __init__(self, path: str) -> None:
        self._handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)

    def restart(self) -> None:
        """The file comes again from its first byte."""
        os.ftruncate(self._handle, 0)
        os.lseek(self._handle, 0, os.SEEK_SET)

    def write(self, part: memoryview) -> None:
        """Take the next bytes."""
        while part:
            part = part[os.write(self._handle, part) :]

    def close(self) -> None:
        """No more comes."""
        os.close(self._handle)


def by_lease(
    task: Task[DiskItem], item: DiskItem, vm: DiskVm, disk: Disk, snapshot: str, place: Workplace
) -> receiving.Exported:
    """Get a disk as a streamOptimized file; again by another lease, where one ended with its session.

    :param snapshot: moid; empty for the VM itself, which is off.
    :raises NotWhole: the lease has no such disk.
    :raises TimedOut: no session lasted long enough.
    """
    waits = Backoff(task.deadline)
    while True:
        generation = task.session.generation
        try:
            return _by_one_lease(task, item, vm, disk, snapshot, place)
        except Fault as fault:
            if fault.fault not in _LEASE_LOST or task.session.generation == generation:
                raise
            if not waits.begin():
                raise TimedOut(
                    f"{item.title} was not exported in the time allowed: each lease ended with its session.",
                    hint="Raise timeout, or look at what ends the sessions of this user.",
                ) from fault


def _by_one_lease(
    task: Task[DiskItem], item: DiskItem, vm: DiskVm, disk: Disk, snapshot: str, place: Workplace
) -> receiving.Exported:
    session = task.session
    disks = _disks_of_snapshot(session, snapshot) if snapshot else vm.disks
    lease = leases.export_snapshot(session, snapshot) if snapshot else leases.export_vm(session, vm.moid)
    sink = _File(place.of(STREAM_NAME))
    try:
        with leases.exporting(lease, task.deadline) as ready:
            wanted = receiving.Wanted(_device(ready, disk, disks), sink, item.title, disk.capacity)
            meter = Meter(item.title, disk.capacity, session.show_progress)
            with task.phase("transfer"):
                (came,) = receiving.receive(
                    session, lease, ready, [wanted], gauge=meter, parallel=1, deadline=task.deadline, hashed=False
                )
            return came
    finally:
        sink.close()


def compare(came: receiving.Exported, path: str, file: str, label: str) -> bool:
    """Hold a file that came by a lease against the digest that its host has reported.

    :param file: its digest by ``vmdk.HOST_DIGEST``.
    :returns: whether the host has reported one.
    :raises NotWhole: it is another one.
    """
    own = {vmdk.HOST_DIGEST: file}
    if vmdk.HOST_DIGEST not in came.digests and "sha256" in came.digests:
        own["sha256"] = local.file_digest(path, lambda _count: None)
    for name, digest in own.items():
        if came.digests.get(name, digest) != digest:
            raise NotWhole(
                f"{label} came with the {name} {digest}, and the host has sent {came.digests[name]}.",
                hint="Run again; if it happens again, look at what is between here and the ESXi hosts.",
            )
    return not own.keys().isdisjoint(came.digests)


def _disks_of_snapshot(session: Session, snapshot: str) -> tuple[Disk, ...]:
    rows = collect(session, [snapshots.reference(session, snapshot)], {vim.vm.Snapshot: (DEVICES,)})
    return disks_in(rows[0].get(DEVICES)) if rows else ()


def _device(ready: leases.Ready, disk: Disk, disks: t.Sequence[Disk]) -> leases.Device:
    found = lease_devices.device_of(ready, disk, disks)
    if found is None:
        raise NotWhole(
            f"The lease has no file for {disk.label} ({disk.unit}).",
            hint="Independent disks and raw devices are in no snapshot.",
            offered=[device.key for device in ready.devices if device.disk],
        )
    return found
