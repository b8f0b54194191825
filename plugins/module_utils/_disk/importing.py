# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a file on this machine to a disk in vSphere: by an import lease, never by writing to a datastore.

vSphere imports VMs, so a VM is made for the one disk. When the disk has come, it is taken off that
VM, moved to its place, and the VM is removed. What a run that ended has left is removed by the next.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
import typing as t

from .. import _signals
from .._connector.web import Stop
from .._engine import Task
from .._errors import Fault, VforgeError
from .._progress import Meter
from .._vsphere import lease as leases
from .._vsphere.folder import DatastoreFiles, DatastorePath, NoSuchFile
from .._vsphere.vm import reference, start_destroy
from . import apply, read

if t.TYPE_CHECKING:
    from .model import DiskOptions
    from .read import Home
    from .task import DiskItem

# The pair by which a VM that was made for an import is known.
MARK = "vforge.disk.import"

# The pair that says which disk was taken off such a VM, to be moved to its place.
_DETACHED = "vforge.disk.detached"

_MOST_NOTE = 2**16
_ENDING = ".vforge"

_SECONDS_TO_CLEAN_UP = 300.0
_SECONDS_TO_VANISH = 15.0


class ImportFailed(VforgeError):
    """A disk did not come whole."""

    error_code = "incomplete_upload"


class Busy(VforgeError):
    """Another run imports to the same place."""

    error_code = "in_use"


# What is noted of a disk on a datastore


def note_of(path: DatastorePath) -> DatastorePath:
    """The file beside a disk in which is noted what it was made of."""
    return path.beside(f"{path.name}{_ENDING}")


def noted(files: DatastoreFiles, path: DatastorePath) -> dict[str, t.Any]:
    """What was noted of a disk; empty where nothing was."""
    try:
        found = json.loads(files.read(note_of(path), _MOST_NOTE))
    except (NoSuchFile, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def note(files: DatastoreFiles, path: DatastorePath, facts: t.Mapping[str, t.Any]) -> None:
    """Note what a disk was made of."""
    files.write(note_of(path), json.dumps(facts, sort_keys=True).encode())


# The import


def name_of(mark: str) -> str:
    """Of the VM that is made for an import."""
    return f"vforge-import-{mark}"


class _Source:
    """The file that is sent."""

    def __init__(self, path: str, label: str) -> None:
        self.label = label
        self.size = os.stat(path).st_size
        self._path = path

    def open(self) -> t.Any:
        """Begin to read."""
        return open(self._path, "rb", buffering=0)


def bring_in(
    task: Task[DiskItem],
    item: DiskItem,
    options: DiskOptions,
    home: Home,
    path: str,
    capacity: int,
    *,
    replace: bool,
) -> None:
    """Import a streamOptimized file, which was verified, as a disk.

    :param path: of the file.
    :param capacity: of its disk, in bytes.
    :param replace: whether a disk that is in the place is replaced.
    :raises VforgeError: it did not succeed; nothing of it is left then, as far as the server can be
        reached.
    """
    session, target = task.session, t.cast(DatastorePath, options.on_datastore)
    mark = hashlib.sha256(f"{target}".encode()).hexdigest()[:16]
    name = name_of(mark)
    source = _Source(path, item.title)
    text = apply.package(name, capacity, source.size, item.adapter)
    host = next(iter(home.hosts))
    spec = apply.import_spec(session, home, host, name, text, options.provisioning, {MARK: mark})
    lease, ready = _begin(task, item, home, host, spec, mark)
    moid = _fill(task, item, lease, ready, source)
    try:
        _keep(task, item, home, moid, target, replace=replace)
    finally:
        _destroy(task, item, moid)


def _begin(
    task: Task[DiskItem], item: DiskItem, home: Home, host: str, spec: t.Any, mark: str
) -> tuple[leases.Lease, leases.Ready]:
    """A lease that is ready. A VM that a killed run has left under the name goes before.

    :raises Busy: the name is taken by another run, or by something else.
    """
    session = task.session
    for last in (False, True):
        lease: leases.Lease | None = None
        try:
            with _signals.held_back(session.stub.connections.break_off):
                lease = leases.Lease(session, session.retrying(lambda: apply.import_vapp(home, host, spec)))
            return lease, lease.wait_until_ready(task.deadline)
        except Fault as fault:
            if fault.fault != "DuplicateName" or last:
                raise
            _remove_left(task, item, home, fault, mark)
        except BaseException:
            if lease is not None:
                _give_up(task, item, lease, "")
            raise
    raise AssertionError("the second attempt returns or raises")


def _fill(task: Task[DiskItem], item: DiskItem, lease: leases.Lease, ready: leases.Ready, source: _Source) -> str:
    """Send the file; returns the moid of the VM that has the disk then."""
    session = task.session
    meter = Meter(item.title, source.size, session.show_progress)
    sent: list[str] = []
    stop = Stop()
    sender = leases.Sender(
        session,
        1,
        task.deadline,
        stop,
        progress=meter.add,
        check=lambda _upload, digest: sent.append(digest),
    )
    try:
        device = _address(ready)
        with lease.held(ready.timeout, meter.percent, stop):
            sender.send([[leases.Upload(source.label, source, device)]])
            _compare(lease, device, source, sent)
            lease.complete(task.deadline)
    except BaseException:
        _give_up(task, item, lease, ready.entity)
        raise
    item.sent += source.size
    return ready.entity


def _address(ready: leases.Ready) -> leases.Device:
    """Where the only disk of an import goes."""
    for device in (*(each for each in ready.devices if each.disk), *ready.devices):
        return device
    raise ImportFailed("vCenter names no address for the disk.", hint="Run again.")


def _compare(lease: leases.Lease, device: leases.Device, source: _Source, sent: t.Sequence[str]) -> None:
    """Hold what the host has got against what was sent, as far as it says it."""
    have = lease.received().get(device.key)
    if have is None:
        return
    if have.size and have.size != source.size:
        raise ImportFailed(
            f"{source.label} has {source.size} bytes, and the host has got {have.size}. The import was aborted.",
            hint="Run again; if it happens again, look at what is between here and the ESXi hosts.",
        )
    known = dict(have.digests)
    if "sha256" in known and sent and known["sha256"] != sent[-1]:
        raise ImportFailed(f"The host has got other bytes of {source.label} than were sent.", hint="Run again.")


def _give_up(task: Task[DiskItem], item: DiskItem, lease: leases.Lease, entity: str) -> None:
    """vCenter removes what was imported by a lease that is aborted; what is complete is removed here."""
    session = task.session
    if session.unreachable():
        return
    try:
        if lease.abort():
            vanishing = time.monotonic() + _SECONDS_TO_VANISH
            if not entity or leases.wait_until_gone(session, reference(session, entity), vanishing):
                return
        if entity and lease.state() != "error":
            _destroy(task, item, entity)
    except VforgeError as error:
        session.warn(f"The import was broken off, but whether all of it is gone is not known: {error}")


def _keep(task: Task[DiskItem], item: DiskItem, home: Home, moid: str, target: DatastorePath, *, replace: bool) -> None:
    """Take the disk off the VM that was made for it, and put it into its place."""
    session = task.session
    found = read.carrier(session, reference(session, moid))
    if found is None or not found.file:
        raise ImportFailed("The VM that was imported has no disk.", hint="Run again.")
    item.facts["uuid"] = found.uuid
    if target.folder:
        # Before the disk belongs to no VM: from then on only this run knows of it.
        apply.make_folder(session, home.ref, target.folder)
    moves = found.file != str(target)
    marks = {_DETACHED: found.file} if moves else {}
    run(task, item, lambda: apply.start_detach(session, moid, found.devices, marks), "disks detached")
    if not moves:
        return
    try:
        run(task, item, lambda: apply.start_move(session, home.ref, found.file, str(target), force=replace), "disks moved")
    except BaseException:
        if not session.unreachable():
            _delete_detached(task, item, home, found.file)
        raise


def _delete_detached(task: Task[DiskItem], item: DiskItem, home: Home, path: str) -> None:
    """Delete a disk that was taken off the VM of an import and did not get to its place."""
    deadline = max(task.deadline, time.monotonic() + _SECONDS_TO_CLEAN_UP)

    def note(item: DiskItem, outcome: t.Any) -> None:
        fault = outcome.error.fault if isinstance(outcome.error, Fault) else ""
        if outcome.error is not None and fault != "FileNotFound":
            item.warnings.append(f"The disk {path} of the import could not be deleted: {outcome.error} Delete it by hand.")

    def start(_item: DiskItem) -> t.Any:
        return apply.start_delete(task.session, home.ref, path)

    task.call([item], start, "disks deleted", note, deadline=deadline)


def _destroy(task: Task[DiskItem], item: DiskItem, moid: str) -> None:
    deadline = max(task.deadline, time.monotonic() + _SECONDS_TO_CLEAN_UP)

    def note(item: DiskItem, outcome: t.Any) -> None:
        fault = outcome.error.fault if isinstance(outcome.error, Fault) else ""
        if outcome.error is not None and fault != "ManagedObjectNotFound":
            item.warnings.append(f"The VM {moid} that was made for the import could not be removed: {outcome.error}")

    task.call([item], lambda _item: start_destroy(task.session, moid), "VMs removed", note, deadline=deadline)


def _remove_left(task: Task[DiskItem], item: DiskItem, home: Home, taken: Fault, mark: str) -> None:
    """Remove the VM that a run to the same place has left when it was killed.

    :param taken: says who has the name.
    :raises Busy: it cannot be removed, since somebody still works with it, or it is none of ours.
    """
    session, name = task.session, name_of(mark)
    left = reference(session, taken.holder) if taken.holder else read.carrier_named(session, home.vm_folder, name)
    found = read.carrier(session, left) if left is not None else None
    if found is None:
        return
    if found.config.get(MARK) != mark:
        raise Busy(f"There is a VM {name} that was not made for an import.", hint="Rename it or remove it.") from taken
    if found.config.get(_DETACHED) and not found.file:
        _delete_detached(task, item, home, found.config[_DETACHED])
    try:
        run(task, item, lambda: start_destroy(session, found.moid), "VMs removed")
    except Fault as fault:
        if fault.fault != "ManagedObjectNotFound":
            raise Busy(
                f"Another run imports to this place, by the VM {name} ({fault.message}).",
                hint="Run again when it has ended; the lease of one that was killed ends within five minutes.",
            ) from fault


def run(task: Task[DiskItem], item: DiskItem, start: t.Callable[[], t.Any], doing: str) -> None:
    """One call, and the task that it may begin.

    :raises VforgeError: why it failed.
    """
    errors: list[VforgeError] = []

    def note(_item: DiskItem, outcome: t.Any) -> None:
        if outcome.error is not None:
            errors.append(outcome.error)

    task.call([item], lambda _item: start(), doing, note)
    if errors:
        raise errors[0]
