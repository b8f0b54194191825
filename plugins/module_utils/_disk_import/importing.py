# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a file on this machine to a disk in vSphere: by an import lease, never by writing to a datastore.

vSphere imports VMs, so a VM is made for the one disk. When the disk has come, it is taken off that
VM, moved to its place, and the VM is removed. What a run that ended has left is removed by the
next.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import os
import re
import time
import typing as t
import uuid

from .. import _signals
from .._connector.tasks import Backoff
from .._connector.web import Stop
from .._engine import Task
from .._errors import ConnectionLost, Fault, NotAttempted, TimedOut, VforgeError
from .._progress import Meter
from .._temporary_snapshots import Owner, OwnerMark
from .._vsphere import directories, sending, vmdk
from .._vsphere import lease as leases
from .._vsphere.datastore_files import DatastoreFiles, DatastorePath
from .._vsphere.vm import reference, start_destroy, start_power_off
from . import apply, places

if t.TYPE_CHECKING:
    from .._connector.batch import Outcome
    from .._engine import Item
    from .places import Home

# The pair by which a VM that was made for an import is known.
MARK = "vforge.disk.import"

# The pair that says which run has made it.
_OWNER = "vforge.disk.owner"

# The pair that says which disk was taken off such a VM, to be moved to its place.
_DETACHED = "vforge.disk.detached"

# What the host has reported of a file that it has got, and it was what was sent.
DIGEST, SIZE, NOTHING = "digest", "size", "nothing"

# Removing what did not come is not cut short by the time of the task.
SECONDS_TO_CLEAN_UP = 300.0
_SECONDS_TO_VANISH = 15.0

# A lease through which nothing moves lives for 300 seconds (HttpNfcLeaseInfo.leaseTimeout).
_SECONDS_OF_A_LEASE = 360.0

# How vCenter answers for a lease whose session has ended.
_LEASE_LOST = ("ManagedObjectNotFound", "Timedout")

# How vCenter refuses to move a disk that an earlier call has moved.
_MOVED_BEFORE = ("FileNotFound", "FileAlreadyExists")

# How vCenter refuses to destroy a VM that a lease works on.
_HELD_BY_A_LEASE = ("InvalidState", "TaskInProgress")

# How vCenter refuses to destroy a VM that is on.
_RUNS = "InvalidPowerState"


class ImportFailed(VforgeError):
    """A disk did not come whole."""

    error_code = "incomplete_upload"


class Busy(VforgeError):
    """Another run imports to the same place."""

    error_code = "in_use"


# Folders


def remove_folders(task: Task[t.Any], item: Item, datacenter: t.Any, made: directories.Made, path: DatastorePath) -> None:
    """Remove the folders again that were made for a disk which did not come, where nobody has put anything into them since;
    a warning says where they stay.

    :param made: what was not there before.
    :param path: of the disk.
    """
    session = task.session
    if not any(made) or session.unreachable():
        return
    deadline = max(task.deadline, time.monotonic() + SECONDS_TO_CLEAN_UP)
    try:
        if made.folder:
            found = _found_in(task, item, datacenter, made.folder, deadline)
            if not directories.are_alone(found, path.folder.removeprefix(made.folder).strip("/")):
                return
            delete = functools.partial(apply.start_delete_file, session, datacenter, made.folder)
            task.call_one(item, delete, "folders deleted", repeatable=True, deadline=deadline)
        if made.top:
            directories.remove_object(session, datacenter, made.top)
    except VforgeError as error:
        item.warnings.append(f"The folder of {path} that was made for it may be left: {error.message}")


def _found_in(task: Task[t.Any], item: Item, datacenter: t.Any, folder: str, deadline: float) -> t.Any:
    """What is in a folder.

    :raises VforgeError: the server does not say it.
    """
    outcomes: list[Outcome] = []
    task.call(
        [item],
        lambda _item: directories.start_search(task.session, datacenter, folder),
        "folders searched",
        lambda _item, outcome: outcomes.append(outcome),
        repeatable=True,
        deadline=deadline,
        results=lambda _item: True,
    )
    (outcome,) = outcomes
    if outcome.error is not None:
        raise outcome.error
    return outcome.result


# The import


def name_of(mark: str) -> str:
    """Of the VM that is made for an import."""
    return f"vforge-import-{mark}"


class _Source:
    """The file that is sent.

    :ivar digest: of the file, once it is known.
    """

    def __init__(self, path: str, label: str, digest: str) -> None:
        self.label = label
        self.digest = digest
        self.size = os.stat(path).st_size
        self._path = path

    def open(self) -> t.Any:
        """Begin to read."""
        return open(self._path, "rb", buffering=0)


def _mark(target: DatastorePath) -> str:
    """What all imports to this place have in common."""
    return hashlib.sha256(f"{target}".encode()).hexdigest()[:16]


@dataclasses.dataclass(frozen=True, kw_only=True)
class NewDisk:
    """A disk that is brought in.

    :ivar path: of a streamOptimized file, which was verified.
    :ivar digest: of that file by ``vmdk.HOST_DIGEST``, as it was verified; empty to have it made of what is sent.
    :ivar capacity: of its disk, in bytes.
    :ivar target: where it is to be.
    :ivar adapter: as a VMDK's descriptor names it.
    :ivar provisioning: ``thin``, ``thick`` or ``eager_zeroed_thick``.
    :ivar replace: whether a disk that is in the place is replaced.
    :ivar check: is called right before it is; raises where somebody has it.
    :ivar timeout: seconds that the task may take, after which others may clean up behind it.
    :ivar policies: IDs of the storage policies that it is made with; empty for the default of its datastore.
    """

    path: str
    capacity: int
    target: DatastorePath
    adapter: str
    provisioning: str
    replace: bool
    timeout: int
    digest: str = ""
    policies: tuple[str, ...] = ()
    check: t.Callable[[], None] = lambda: None


@dataclasses.dataclass(frozen=True)
class Imported:
    """A disk that has come.

    :ivar uuid: of its backing.
    :ivar sent: bytes that were sent.
    :ivar reported: what the host has reported of them: their ``digest``, their ``size`` alone, or ``nothing``.
    :ivar cleared: whether the VM that was made for the import is gone; ``clear`` removes one that is
        not.
    """

    uuid: str
    sent: int
    reported: str
    cleared: bool


@dataclasses.dataclass(frozen=True)
class DiskImport:
    """Brings disks in for one item of a task.

    :ivar item: that the disks are for; it gets the warnings.
    :ivar home: where they are to be.
    """

    task: Task[t.Any]
    item: Item
    home: Home

    def bring_in(self, new: NewDisk) -> Imported:
        """Import a file as a disk that belongs to no VM.

        :raises VforgeError: it did not succeed; nothing of it is left then, as far as the server can be
            reached.
        """
        mark = _mark(new.target)
        name = name_of(mark)
        made: list[directories.Made] = []
        source = _Source(new.path, self.item.title, new.digest)
        host = next(iter(self.home.hosts))
        # After its time a run may still clean up, twice.
        seconds = new.timeout + 2 * int(SECONDS_TO_CLEAN_UP)
        owner = OwnerMark(mark, uuid.uuid4().hex, Owner.this(), seconds)
        marks = {MARK: mark, _OWNER: owner.as_text()}
        spec = apply.import_spec(name, new.target.datastore, new.capacity, new.adapter, new.provisioning, marks, new.policies)
        moid, reported = self._sent(host, spec, owner, source)
        try:
            backing = self._keep(moid, new, made.append)
        except BaseException as error:
            # The VM names the disk that was taken off it, so it stays where that one does: the next run
            # then removes both.
            if self._leaves_no_disk(moid, new):
                self._destroy(moid)
                if made and isinstance(error, (Fault, NotAttempted)):
                    remove_folders(self.task, self.item, self.home.ref, made[0], new.target)
            raise
        return Imported(backing, source.size, reported, self._destroy(moid, has_disk=False))

    def _sent(self, host: str, spec: t.Any, owner: OwnerMark, source: _Source) -> tuple[str, str]:
        """Send the file by a lease, and by another one where that ended with its session.

        :returns: the moid of the VM that has the disk then, and what the host has reported of it.
        :raises TimedOut: no session lasted long enough.
        """
        session, waits = self.task.session, Backoff(self.task.deadline)
        while True:
            generation = session.generation
            try:
                lease, ready = self._begin(host, spec, owner)
                return self._fill(lease, ready, source)
            except Fault as fault:
                if fault.fault not in _LEASE_LOST or session.generation == generation:
                    raise
                if not waits.begin():
                    raise TimedOut(
                        f"{self.item.title} was not imported in the time allowed: each lease ended with its session.",
                        hint="Raise timeout, or look at what ends the sessions of this user.",
                    ) from fault

    def _begin(self, host: str, spec: t.Any, owner: OwnerMark) -> tuple[leases.Lease, leases.Ready]:
        """A lease that is ready. A VM that a killed run has left under the name goes before.

        :raises Busy: the name is taken by another run, or by something else.
        """
        session = self.task.session
        for last in (False, True):
            lease: leases.Lease | None = None
            try:
                with _signals.held_back(session.stub.connections.break_off):
                    lease = leases.Lease(session, session.retrying(lambda: apply.import_vapp(self.home, host, spec)))
                return lease, lease.wait_until_ready(self.task.deadline)
            except Fault as fault:
                if fault.fault != "DuplicateName" or last:
                    raise
                self._remove_left(owner.vm, fault, own=owner.run)
            except BaseException:
                if lease is not None:
                    self._give_up(lease, "")
                raise
        raise AssertionError("the second attempt returns or raises")

    def _fill(self, lease: leases.Lease, ready: leases.Ready, source: _Source) -> tuple[str, str]:
        """Send the file; returns the moid of the VM that has the disk then, and what the host has
        reported of it.
        """
        session = self.task.session
        meter = Meter(self.item.title, source.size, session.show_progress)
        stop = Stop()

        def note(_upload: sending.Upload, digest: str) -> None:
            source.digest = digest or source.digest

        sender = sending.Sender(session, 1, self.task.deadline, stop, progress=meter.add, check=note)
        try:
            device = _address(ready)
            algorithm = "" if source.digest else vmdk.HOST_DIGEST
            with self.task.phase("transfer"), lease.held(ready.timeout, meter.percent, stop):
                sender.send([[sending.Upload(source.label, source, device, algorithm=algorithm)]])
            # From here on a sign of life may be refused because the lease is being completed.
            with lease.kept_alive(ready.timeout, lambda: 99, lambda _error: None):
                reported = _compare(lease, device, source)
                lease.complete(self.task.deadline)
        except BaseException:
            self._give_up(lease, ready.entity)
            raise
        return ready.entity, reported

    def _give_up(self, lease: leases.Lease, entity: str) -> None:
        """vCenter removes what was imported by a lease that is aborted; what is complete is removed
        here.
        """
        session = self.task.session
        if session.unreachable():
            return
        try:
            if lease.abort():
                vanishing = time.monotonic() + _SECONDS_TO_VANISH
                if not entity or leases.wait_until_gone(session, reference(session, entity), vanishing):
                    return
            if entity and lease.state() != "error":
                self._destroy(entity)
        except VforgeError as error:
            session.warn(f"The import was broken off, but whether all of it is gone is not known: {error}")

    def _keep(self, moid: str, new: NewDisk, made: t.Callable[[directories.Made], None]) -> str:
        """Take the disk off the VM that was made for it, and put it into its place; returns its
        UUID.

        :param made: is called with the folders that were made for it.
        """
        session, target = self.task.session, new.target
        found = places.carrier(session, reference(session, moid))
        if found is None or not found.file:
            raise ImportFailed("The VM that was imported has no disk.", hint="Run again.")
        if target.folder:
            # Before the disk belongs to no VM: from then on only this run knows of it.
            with DatastoreFiles(session, self.home.path, self.task.deadline) as files:
                made(directories.make(session, self.home.ref, target.folder, files))
        moves = found.file != str(target)
        marks = {_DETACHED: found.file} if moves else {}
        self.task.call_one(self.item, lambda: apply.start_detach(session, moid, found.devices, marks), "disks detached")
        if moves:
            if new.replace:
                new.check()
            self._move(found.file, new)
        return found.uuid

    def _move(self, source: str, new: NewDisk) -> None:
        """Move a disk to its place. A call whose answer was lost is made again, but not one that
        replaces a disk: a second one might replace what the first has brought.
        """
        target = str(new.target)

        def start() -> t.Any:
            return apply.start_move(self.task.session, self.home.ref, source, target, force=new.replace)

        try:
            self.task.call_one(self.item, start, "disks moved", repeatable=not new.replace)
        except (ConnectionLost, Fault) as error:
            lost = isinstance(error, ConnectionLost) or error.fault in _MOVED_BEFORE
            if not lost or not self._has_moved(source, new):
                raise

    def _has_moved(self, source: str, new: NewDisk) -> bool:
        """Whether a disk is in its place, and was not before. One that was to be replaced may be the
        old one.
        """
        if new.replace or self.task.session.unreachable():
            return False
        deadline = max(self.task.deadline, time.monotonic() + SECONDS_TO_CLEAN_UP)
        with DatastoreFiles(self.task.session, self.home.path, deadline) as files:
            return files.there(new.target) and not files.there(DatastorePath.parse(source, "path"))

    def _leaves_no_disk(self, moid: str, new: NewDisk) -> bool:
        """Delete the disk that was taken off the VM of this import, also where it is in its place
        already.

        :returns: whether the VM can go, with the disk that it may still have.
        """
        session = self.task.session
        if session.unreachable():
            return False
        try:
            found = places.carrier(session, reference(session, moid))
            if found is None or found.file or not found.config.get(_DETACHED):
                return found is not None
            source = found.config[_DETACHED]
            path = str(new.target) if self._has_moved(source, new) else source
            return self._delete_detached(path)
        except VforgeError as error:
            self.item.warnings.append(f"Whether a disk is left of the import is not known: {error} The next run looks.")
            return False

    def _delete_detached(self, path: str) -> bool:
        """Delete a disk that belongs to no VM any more; whether it is gone."""
        start = functools.partial(apply.start_delete, self.task.session, self.home.ref, path)

        def delete(deadline: float) -> None:
            self.task.call_one(self.item, start, "disks deleted", repeatable=True, deadline=deadline)

        return self._is_gone(delete, "FileNotFound", f"The disk {path} of the import", "delete")

    def _destroy(self, moid: str, *, has_disk: bool = True) -> bool:
        """Remove the VM that was made for the import; whether it is gone."""

        def remove(deadline: float) -> None:
            self._remove(moid, has_disk=has_disk, repeatable=True, deadline=deadline)

        return self._is_gone(remove, "ManagedObjectNotFound", f"The VM {moid} that was made for the import", "remove")

    def _remove(self, moid: str, *, has_disk: bool, **how: t.Any) -> None:
        """Remove a VM that was made for an import.

        One without its disk has nothing that could be lost, so it is turned off where somebody has turned it on.

        :param how: parameters of ``Task.call_one``.
        :raises VforgeError: why it could not be removed.
        """
        session = self.task.session

        def destroy() -> None:
            self.task.call_one(self.item, lambda: start_destroy(session, moid), "VMs removed", **how)

        try:
            destroy()
        except Fault as fault:
            if fault.fault != _RUNS or has_disk:
                raise
            self.task.call_one(self.item, lambda: start_power_off(session, moid), "VMs powered off", **how)
            destroy()

    def _is_gone(self, take_away: t.Callable[[float], None], absent: str, what: str, verb: str) -> bool:
        """Take something away, also when the time of the task has passed; whether it is gone, and else a warning.

        :param take_away: is given the deadline.
        :param absent: the fault that says that it was gone before.
        """
        try:
            take_away(max(self.task.deadline, time.monotonic() + SECONDS_TO_CLEAN_UP))
        except VforgeError as error:
            if not isinstance(error, Fault) or error.fault != absent:
                self.item.warnings.append(f"{what} could not be {verb}d: {error} The next run {verb}s it.")
                return False
        return True

    def clear(self, target: DatastorePath) -> None:
        """Remove what a run to the same place has left that was killed between the move of its disk
        and the end of its VM.

        :raises Busy: it cannot be removed, since somebody still works with it, or it is none of ours.
        """
        self._remove_left(_mark(target))

    def _remove_left(self, mark: str, taken: Fault | None = None, *, own: str = "") -> None:
        """Remove the VM that a run to the same place has left when it was killed, and the disk that it
        had taken off it.

        Both only when it is certain that this run is over: after its lease nothing else protects them.

        :param taken: says who has the name, where that is known.
        :param own: this run, whose lease may have ended with its session.
        :raises Busy: it cannot be removed, since somebody still works with it, or it is none of ours.
        """
        session, name = self.task.session, name_of(mark)
        held = taken is not None and taken.holder
        left = reference(session, held) if held else places.carrier_named(session, self.home.vm_folder, name)
        found = places.carrier(session, left) if left is not None else None
        if found is None:
            return
        if found.config.get(MARK) != mark:
            raise Busy(f"There is a VM {name} that was not made for an import.", hint="Rename it or remove it.")
        owner = OwnerMark.from_text(found.config.get(_OWNER, ""), mark)
        if owner is None or not (owner.run == own or owner.is_over(found.created, session.current_time())):
            raise Busy(
                f"Another run imports to this place, by the VM {name}, or was killed on another machine.",
                hint="Run again when it has ended. If there is none any more, remove that VM.",
            )
        path = found.config.get(_DETACHED, "")
        if path and not found.file:
            self._delete_left(name, path)
        try:
            self._remove(found.moid, has_disk=bool(found.file))
        except Fault as fault:
            if fault.fault == "ManagedObjectNotFound" or self._goes_by_itself(found.moid, fault):
                return
            raise Busy(
                f"The VM {name} of an earlier import to this place cannot be removed ({fault.message}).",
                hint="Somebody has turned it on: turn it off if nobody needs what it has, and run again."
                if fault.fault == _RUNS
                else "Run again later; the lease of a run that was killed ends within five minutes, and its VM with it.",
            ) from fault

    def _goes_by_itself(self, moid: str, refused: Fault) -> bool:
        """Wait until a VM is gone that only the lease of a run holds that was killed; vCenter ends
        that lease.
        """
        if refused.fault not in _HELD_BY_A_LEASE:
            return False
        self.task.session.show_progress("waiting for the lease of a run that was killed")
        end = min(self.task.deadline, time.monotonic() + _SECONDS_OF_A_LEASE)
        return leases.wait_until_gone(self.task.session, reference(self.task.session, moid), end)

    def _delete_left(self, name: str, path: str) -> None:
        """Delete the disk that a killed run has taken off its VM.

        Whoever may change the VM can write another path there, so only a disk in the folder that
        vCenter has made for this VM is deleted.

        :param name: of the VM.
        :raises Busy: it is another disk, or cannot be deleted.
        """
        if not _is_of_import(name, path):
            raise Busy(
                f"The VM {name} says that {path} was left of an import, which is not in its folder.",
                hint="Look what it is, delete it if it is nobody's, and remove that VM.",
            )
        if not self._delete_detached(path):
            raise Busy(f"The disk {path} that an import has left cannot be deleted.", hint="Run again later.")


def _address(ready: leases.Ready) -> leases.Device:
    """Where the only disk of an import goes."""
    for device in (*(each for each in ready.devices if each.disk), *ready.devices):
        return device
    raise ImportFailed("vCenter names no address for the disk.", hint="Run again.")


def _compare(lease: leases.Lease, device: leases.Device, source: _Source) -> str:
    """Hold what the host has got against the file, as far as it says it.

    :returns: what it says: ``DIGEST``, ``SIZE`` or ``NOTHING``.
    :raises ImportFailed: it is something else.
    """
    have = lease.received().get(device.key)
    if have is None:
        return NOTHING
    if have.size and have.size != source.size:
        raise ImportFailed(
            f"{source.label} has {source.size} bytes, and the host has got {have.size}. The import was aborted.",
            hint="Run again; if it happens again, look at what is between here and the ESXi hosts.",
        )
    known = dict(have.digests).get(vmdk.HOST_DIGEST)
    if known and known != source.digest:
        raise ImportFailed(
            f"The host has got other bytes of {source.label} than were verified. The import was aborted.",
            hint="Run again when nobody writes to the file.",
        )
    if known:
        return DIGEST
    return SIZE if have.size else NOTHING


def _is_of_import(name: str, path: str) -> bool:
    """Whether a disk is in the folder of the VM of an import. vCenter has named that after the VM; on
    vSAN and vVols it has an ID for its name, and the disk that of the VM.
    """
    own = re.escape(name)
    found = re.fullmatch(rf"\[[^\]]+\] (?:{own}(?:_\d+)?/[^/]+|([^/]+)/{own}(?:_\d+)?)\.vmdk", path)
    return found is not None and (found[1] is None or directories.is_real_name(found[1]))
