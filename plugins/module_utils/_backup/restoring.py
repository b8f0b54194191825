# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Restore disks into a VM that is there.

Each disk is brought in beside the one that it replaces and proved. Only then, and only if all of
them have come, is the VM changed, by one call. The disks that were replaced are deleted last. Until
then a run may end at any moment: the VM has all old disks, or all restored ones, and what belongs
to no VM is known from the record of ``restore_record``.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import time
import typing as t

from .. import _files
from .._disk_import import apply as disk_calls
from .._disk_import import importing
from .._disk_import import places as homes
from .._engine import STARTED, Item, Part, Task
from .._errors import Fault, InvalidOption, NotFound, StillRunning, VforgeError
from .._progress import Meter
from .._vsphere import snapshots, storage
from .._vsphere.datastore_files import DatastoreFiles, DatastorePath, FileDenied, FileLocked, NoSuchFile
from .._vsphere.disks import unknown_among, users_of_files
from .._vsphere.flat import Flat, NotWhole, SeveralFiles, without_files
from .._vsphere.vm import start_power_off, start_power_on
from . import images, records, restore_plan, restore_report, settings, targets, writers
from .copying import first_difference
from .local import chosen, chosen_point
from .repository import Machine, Repository
from .restore_options import CONTENT, MANIFEST, NOTHING, SIZE, IntoOptions
from .restore_plan import (
    ATTACH_TAGS,
    BRING_IN,
    DELETE_REPLACED,
    EXCHANGE,
    POWER_OFF,
    POWER_ON,
    PUT_NVRAM_BACK,
    REMOVE_LEFTOVERS,
    REMOVE_SNAPSHOTS,
    NotRestored,
    Place,
    RestoredDisk,
)
from .restore_record import Made, Record, Replaced
from .selecting import chosen_disks

if t.TYPE_CHECKING:
    from .._connector.batch import Outcome
    from .._connector.session import Session
    from .._vsphere.disks import Disk, DiskUser
    from .._vsphere.storage import Storage
    from .._vsphere.transports import Way
    from .model import Point
    from .targets import Target
    from .writers import Writer

# To start a VM again that was powered off for nothing is not cut short by the time of the task.
_SECONDS_TO_START_AGAIN = 60.0


class WhoseIsUnknown(VforgeError):
    """A disk that a VM may have whose files vCenter does not know."""

    error_code = "in_use"


@dataclasses.dataclass(kw_only=True)
class RestoreItem(Item):
    """The VM that is restored into."""

    target: Target
    disks: list[RestoredDisk] = dataclasses.field(default_factory=list)

    @property
    def title(self) -> str:
        """What messages call it."""
        return self.target.path

    @property
    def name(self) -> str:
        """What its entry in the result calls it."""
        return self.target.name

    @property
    def due_disks(self) -> list[RestoredDisk]:
        """The disks that are to be restored."""
        return [disk for disk in self.disks if not disk.unchanged]


@dataclasses.dataclass
class RestoreTask:
    """A restore of one point into one VM.

    :ivar machine: the points of the VM that was backed up; its lock is held.
    :ivar settings: what is put back besides the disks.
    :ivar writer: how disks come to their datastores; it is chosen where any is due.
    :ivar ways: what the transports that were looked at for that said of these disks.
    :ivar is_gone: whether somebody has removed the VM meanwhile.
    """

    session: Session
    options: IntoOptions
    task: Task[RestoreItem]
    item: RestoreItem
    machine: Machine
    point: Point
    record: Record
    files: DatastoreFiles
    settings: settings.Settings = dataclasses.field(default_factory=settings.Settings)
    writer: Writer = dataclasses.field(init=False)
    ways: list[Way] = dataclasses.field(default_factory=list)
    is_gone: bool = False
    _homes: dict[str, homes.Home] = dataclasses.field(default_factory=dict)
    _storage: Storage | None = None

    def home(self, path: DatastorePath) -> homes.Home:
        """Where a disk of this path is brought in; asked for once for each datastore."""
        known = self._homes.get(path.datastore)
        if known is None:
            known = homes.home(self.session, path, datacenter=self.target.datacenter, host=None)
            self._homes[path.datastore] = known
        return known

    def datacenter(self) -> t.Any:
        """A reference to the datacenter."""
        known = next(iter(self._homes.values()), None)
        return known.ref if known is not None else homes.datacenter(self.session, self.target.datacenter)[0]

    def users(self, files: t.Collection[str]) -> dict[str, list[DiskUser]]:
        """The VMs that use disks in the datacenter of the VM, or may use them: see ``users_of_files``.

        :raises NotFound: the datastore of one is not there any more.
        """
        datacenter = self.datacenter()
        self._storage = self._storage or storage.read(self.session, datacenter)
        return users_of_files(self.session, self._storage, datacenter, {file: {file} for file in files})

    @property
    def target(self) -> Target:
        """The VM, as it was read last."""
        return self.item.target


def run(session: Session, options: IntoOptions, *, check: bool) -> dict[str, t.Any]:
    """Restore what the options ask for, or in check mode find out what that would be.

    :returns: the module's result.
    :raises VforgeError: before anything was begun.
    :raises PartialFailure: it did not succeed; it holds the whole result.
    """
    deadline = session.deadline(options.timeout)
    # A VM that is not there is said before anything is waited for.
    found = targets.find(session, options.into, options.datacenter)
    images.require()
    if options.folder:
        _files.check_folder(options.folder, what=writers.WHAT, makes=False)
    repository = Repository(options.repository)
    uuid = chosen(repository, options.vm)[0]
    # What it does with disks is noted in the repository.
    writes = options.content and not check
    with repository.locked(uuid, deadline, session.show_progress, put_right=False, writes=writes) as machine:
        # Read after the wait: who held the lock may have exchanged the disks of this VM, or had a snapshot of it.
        target = targets.again(session, found)
        point = chosen_point(machine, options.point)
        wanted = chosen_disks(point, options.disks)
        item = RestoreItem(target=target)
        task: Task[RestoreItem] = Task(session, [item], "VMs", deadline=deadline, parallel=1, check=check)
        record = Record(machine.folder, target.instance_uuid)
        with DatastoreFiles(session, target.datacenter, deadline) as files:
            job = RestoreTask(session, options, task, item, machine, point, record, files)
            with task.accounted(), task.working_on(item):
                if options.content:
                    restore_plan.check(target, options)
                    item.disks = [RestoredDisk(place) for place in restore_plan.places(target, point, wanted)]
                _carry_out(job)
            if item.error is not None and task.stopped is None:
                _leave_nothing_for_one_that_is_gone(job)
        return task.finish(restore_report.result(job), advice="The next run goes on, or removes what is left.", subject=item)


def _decide(job: RestoreTask) -> restore_plan.Leftovers:
    """Find out what is to be done, and refuse what cannot be, before anything is.

    :returns: what runs that were killed have left.
    """
    item = job.item
    # Disks are compared for hours, so what is refused without that is refused before.
    job.settings = settings.missing(job)
    with job.task.phase("comparison"):
        for disk in item.disks:
            disk.unchanged = _has_it(job, disk)
    due = [disk.place for disk in item.due_disks]
    if due or job.settings.nvram:
        restore_plan.check_power(job.target, job.options)
    if due:
        settings.choose_policies(job, item.due_disks)
        for place in due:
            job.home(restore_plan.beside(job.target, place))  # refuses a datastore that no host can write to
        job.writer = writers.choose(job, due)
    left = _leftovers(job, due)
    item.steps = restore_plan.steps(
        job.target,
        job.options,
        due,
        nvram=bool(job.settings.nvram),
        tags=bool(job.settings.tags),
        leftovers=bool(left.deletable or left.carried),
        policies=bool(job.settings.policies),
    )
    return left


def _carry_out(job: RestoreTask) -> None:
    item, left = job.item, _decide(job)
    if job.task.check:
        item.done += item.left
        return
    if job.options.content:
        _clean_up(job, left)
    due = [disk.place for disk in item.due_disks]
    if due:
        _bring_all_in(job)
        with _started_again(job):
            _exchange(job)
        _delete_replaced(job)
        _note_restored(job, due)
    not_put_back = None
    try:
        _put_settings_back(job)
    except VforgeError as error:
        if not _may_start(job):
            raise
        # The VM has its disks, and does not stay off for the want of a tag.
        not_put_back = error
    job.task.stage(
        POWER_ON,
        lambda item: start_power_on(job.session, item.target.moid),
        "VMs powered on",
        repeatable=True,
        power_state="poweredOn",
    )
    if not_put_back is not None:
        raise not_put_back


def _leftovers(job: RestoreTask, due: t.Sequence[Place]) -> restore_plan.Leftovers:
    """What runs that were killed have left; where disks are not restored it is for the next run that does."""
    if not job.options.content:
        return restore_plan.Leftovers()
    wanted = {place.backup.digests for place in due}
    return restore_plan.leftovers(job.target, job.record, wanted, keep_replaced=job.options.keep_replaced)


def _may_start(job: RestoreTask) -> bool:
    """Whether the firmware has whole settings: those of the backup, or still its own."""
    item = job.item
    return PUT_NVRAM_BACK in item.done or not any(part.step == PUT_NVRAM_BACK for part in item.parts)


def _put_settings_back(job: RestoreTask) -> None:
    """Put back what was asked for besides the disks, which are there by now."""
    if job.settings.policies:
        settings.set_policies(job)
    if job.settings.nvram:
        _power_off(job)
        settings.put_nvram_back(job)
        job.item.done.append(PUT_NVRAM_BACK)
    if job.settings.tags:
        settings.attach_tags(job)
        job.item.done.append(ATTACH_TAGS)


def _note_restored(job: RestoreTask, places: t.Sequence[restore_plan.Place]) -> None:
    """Note beside the point, for people, that it was restored."""
    if job.item.error is None:
        labels = [place.backup.label for place in places]
        warning = records.note_restored(job.machine, job.point, f"the VM {job.item.title}", labels)
        job.item.warnings += [warning] if warning else []


# What is there


def _has_it(job: RestoreTask, disk: RestoredDisk) -> bool:
    """Whether the VM's disk has what the point has, as far as that can be read."""
    old = disk.place.old
    if old is None or old.capacity != disk.place.backup.capacity:
        return False
    disk.not_read = _obstacle(job, old)
    if disk.not_read:
        return False
    try:
        return _difference(job, disk, old.file, f"comparing {old.label}") is None
    except (FileLocked, FileDenied, SeveralFiles) as error:
        disk.not_read = str(error)
        return False
    except (NoSuchFile, NotWhole):
        return False  # a disk that is gone, or shorter than it says, has something else than the point


def _obstacle(job: RestoreTask, old: Disk) -> str:
    """Why a disk of the VM cannot be read, so that nobody knows whether it has what the point has;
    empty where it can.
    """
    if not job.target.powered_off:
        return "the VM is not powered off, and its host has locked the file"
    if old.levels:
        return "it is a delta disk, whose content is in several files"
    return _cannot_be_read(job, old.file)


def _cannot_be_read(job: RestoreTask, file: str) -> str:
    """Why no disk can be read over the path of this one's datastore; empty where one can."""
    return without_files(job.target.stores.get(_path(file).datastore, ""))


def _difference(job: RestoreTask, disk: RestoredDisk, file: str, what: str) -> int | None:
    backup = disk.place.backup
    flat = Flat(job.files, _path(file))
    flat.state()
    meter = Meter(what, backup.capacity, job.session.show_progress)
    with job.machine.digests_of(job.point, backup) as digests:
        return first_difference(flat, digests, job.task.deadline, meter.add)


def _path(file: str) -> DatastorePath:
    return DatastorePath.parse(file, "disk")


# What runs that were killed have left


def _clean_up(job: RestoreTask, left: restore_plan.Leftovers) -> None:
    writers.remove_ready(job)
    for file in left.kept:
        job.item.warnings.append(
            f"An earlier run has replaced {file}, and {job.item.title} has another disk in its place now. "
            "It was left alone: delete it when nobody needs it."
        )
    job.record.forget((*left.settled, *left.kept))
    attached = {file: made.proxy for file in left.deletable if (made := job.record.made.get(file)) is not None and made.proxy}
    stuck = writers.detach_left(job, attached)
    for file, why in stuck.items():
        job.item.warnings.append(f"{file} of a run that was killed is left: {why} The next restore into this VM removes it.")
    gone = [_remove_left(job, file) for file in left.deletable if file not in stuck]
    gone += [_remove_carrier(job, file) for file in left.carried]
    if any(gone):
        job.item.done.append(REMOVE_LEFTOVERS)


def _remove_left(job: RestoreTask, file: str) -> bool:
    """Remove a disk that a run has left that was killed, with the VM of its import; whether it is
    gone.
    """
    made = job.record.made.get(file)
    imported = made is not None and not made.compared and not made.proxy
    if imported and not _remove_carrier(job, file):
        return False
    return _delete(job, file)


def _remove_carrier(job: RestoreTask, file: str) -> bool:
    """Remove the VM that was made for the import of a disk, where it is left; whether it is gone."""
    path = _path(file)
    try:
        importing.DiskImport(job.task, job.item, job.home(path)).clear(path)
    except (importing.Busy, NotFound, InvalidOption) as error:
        job.item.warnings.append(
            f"What an earlier run has left of {file} stays: {error} The next restore into this VM removes it."
        )
        return False
    _forget(job, lambda: job.record.forget_carried(file))
    return True


def _forget(job: RestoreTask, forget: t.Callable[[], None]) -> None:
    """Have the record forget what was done. Where it cannot, such as in a repository that is full by now, what is left to
    be done is done all the same: the next run looks again at what the record has.
    """
    try:
        forget()
    except InvalidOption as error:
        said = f"What became of disks could not be noted: {error} The next restore into this VM looks again."
        job.item.warnings += [] if said in job.item.warnings else [said]


def _delete(job: RestoreTask, file: str, deadline: float | None = None) -> bool:
    """Delete a disk that belongs to no VM; whether it is gone. What cannot be deleted, or of which
    nobody answers whether it is, stays in the record, and a warning says so.

    :param deadline: where it is another one than that of the task.
    """
    try:
        used = _owners(job, file)
        if not used:
            ref = job.datacenter()
            start = functools.partial(disk_calls.start_delete, job.session, ref, file)
            job.task.call_one(job.item, start, "disks deleted", repeatable=True, deadline=deadline)
    except VforgeError as error:
        if not isinstance(error, Fault) or error.fault != "FileNotFound":
            job.item.warnings.append(f"{file} could not be deleted: {error} The next restore into this VM deletes it.")
            return False
        used = []
    if used:
        job.item.warnings.append(f"{file} was left alone, since {', '.join(used)} has it now.")
    _forget(job, lambda: job.record.forget([file]))
    return not used


def _owners(job: RestoreTask, file: str) -> list[str]:
    """The VMs that have a disk at this moment, the target among them, and those of other datacenters that have the same
    storage: two calls, or four where there are many VMs.

    :raises NotFound: its datastore is not there any more.
    :raises WhoseIsUnknown: vCenter does not know which files some VMs have.
    """
    # Its devices are asked first: what layoutEx says of its disks may be older than an exchange.
    if not job.is_gone:
        now = targets.again(job.session, job.target)
        if any(file in disk.files for disk in now.disks):
            return [now.name]
    found = job.users([file])[file]
    unknown = unknown_among(found)
    if unknown:
        raise WhoseIsUnknown(f"vCenter does not know the files of {unknown}, on the same datastore, which may have it.")
    return [user.name for user in found]


# Disks come


def _bring_all_in(job: RestoreTask) -> None:
    with job.task.phase("bring_in"):
        for disk in job.item.due_disks:
            _bring_in(job, disk)
    job.item.done.append(BRING_IN)


def _bring_in(job: RestoreTask, disk: RestoredDisk) -> None:
    """Have a disk beside the old one, proved; one that a run has brought in that was killed is
    used.
    """
    place = disk.place
    for made in _brought_in(job, place):
        if _use(job, disk, made):
            return
        disk.compared = ""
        _delete(job, made.file)
    attached = {file for each in job.target.disks for file in each.files}
    file = restore_plan.new_file(
        place, job.point, restore_plan.beside(job.target, place), lambda path: path in attached or job.files.there(_path(path))
    )
    made = Made(file, place.backup.digests, proxy=job.writer.proxy)
    try:
        disk.compared = job.writer.bring_in(disk, file, lambda: job.record.note_made(made))
    except BaseException as error:
        _discard(job, made, error)
        raise
    disk.file = file
    _prove(job, disk)
    job.record.note_made(dataclasses.replace(made, compared=disk.compared))
    if not job.item.parts:
        # It stays, also where another one does not come.
        job.item.parts.append(Part(BRING_IN, restore_plan.DONE[BRING_IN]))


def _discard(job: RestoreTask, made: Made, error: BaseException) -> None:
    """Delete what a way has left of a disk that did not come; an import cleans up behind itself."""
    if made.file not in job.record.made:
        return
    if isinstance(error, Fault) and error.fault == "FileAlreadyExists":
        _forget(job, lambda: job.record.forget([made.file]))  # somebody else has made it meanwhile
    elif made.proxy and made.file not in job.writer.held:
        # A disk that did not come in time is as large as one that did.
        _delete(job, made.file, max(job.task.deadline, time.monotonic() + importing.SECONDS_TO_CLEAN_UP))


def _use(job: RestoreTask, disk: RestoredDisk, made: Made) -> bool:
    """Take a disk that an earlier run has brought in; False where it is gone, is not as it was, or
    a VM has it or may have it.
    """
    file, disk.compared = made.file, made.compared
    try:
        if (
            _owners(job, file)
            or not job.files.there(_path(file))
            or not _is_reported(job, disk)
            or _compare(job, disk, file, "comparing a disk that is there") is not None
        ):
            return False
    except (NoSuchFile, NotWhole, WhoseIsUnknown):
        return False
    disk.file = file
    _tell_what_was_not_compared(job, disk)
    return True


def _is_reported(job: RestoreTask, disk: RestoredDisk) -> bool:
    """Whether the host has reported of a disk what is asked for."""
    return job.options.verify != MANIFEST or disk.compared in (MANIFEST, CONTENT)


def _brought_in(job: RestoreTask, place: Place) -> list[Made]:
    """Disks of the right content that a run has brought in that was killed, and that no other place
    takes.
    """
    near = restore_plan.beside(job.target, place)
    used = {disk.file for disk in job.item.disks}
    return [
        made
        for made in job.record.made.values()
        if made.compared
        and made.digests == place.backup.digests
        and _path(made.file) == near.beside(_path(made.file).name)
        and made.file not in used
    ]


def _prove(job: RestoreTask, disk: RestoredDisk) -> None:
    """Read back a disk that has come.

    :raises NotRestored: it has something else, and is deleted.
    :raises FileLocked, FileDenied: it cannot be read, and has to be.
    """
    if disk.compared == CONTENT:
        disk.not_read = ""
        return
    if not _is_reported(job, disk):
        raise NotRestored(
            "upload_unverified",
            f"The host reports no digest of what it has got as {disk.file}, which {_deleted(job, disk)}. "
            "The VM was not changed.",
            hint="Set verify to auto, or to content where the datastore has files of disks.",
        )
    found = _compare(job, disk, disk.file, f"comparing {disk.place.backup.label}")
    if found is not None:
        raise NotRestored(
            "read_back_failed",
            f"{disk.file} has something else at byte {found} than the backup, and {_deleted(job, disk)}. "
            "The VM was not changed.",
            hint="Run again; if it happens again, look at the storage of the datastore.",
        )
    _tell_what_was_not_compared(job, disk)


def _deleted(job: RestoreTask, disk: RestoredDisk) -> str:
    """What became of a disk that is not used."""
    return "was deleted" if _delete(job, disk.file) else "could not be deleted, see the warnings"


def _tell_what_was_not_compared(job: RestoreTask, disk: RestoredDisk) -> None:
    """Warn of a disk that may be another one than that of the backup."""
    if disk.compared not in (SIZE, NOTHING):
        return
    said = "no digest" if disk.compared == SIZE else "neither the size nor a digest"
    job.item.warnings.append(
        f"Whether {disk.file} has what {disk.place.backup.label} has in the backup was not compared: "
        f"the host reports {said} of the upload, and it cannot be read: {disk.not_read.rstrip('.')}."
    )


def _compare(job: RestoreTask, disk: RestoredDisk, file: str, what: str) -> int | None:
    """Compare a disk that has come with the digests of the point, where that is asked for and its
    datastore allows it.

    :param disk: it says what its host has reported of it, and then how it was compared.
    :returns: the byte where they differ; None where they do not.
    :raises FileLocked, FileDenied: it cannot be read, and has to be.
    :raises NoSuchFile, NotWhole: it is not there, or not whole.
    """
    disk.not_read = "" if job.options.verify == MANIFEST else _cannot_be_read(job, file)
    if disk.not_read or job.options.verify == MANIFEST:
        return None
    try:
        found = _difference(job, disk, file, what)
    except (FileLocked, FileDenied) as error:
        if job.options.verify == CONTENT:
            raise
        disk.not_read = str(error)
        return None
    disk.compared = CONTENT
    return found


def _leave_nothing_for_one_that_is_gone(job: RestoreTask) -> None:
    """Delete what was brought in for a VM that somebody has removed meanwhile: no other run comes to it."""
    files = [disk.file for disk in job.item.due_disks if disk.file]
    try:
        job.is_gone = bool(files) and targets.is_gone(job.session, job.target)
    except VforgeError:
        return  # why it failed is known
    if not job.is_gone:
        return
    deadline = max(job.task.deadline, time.monotonic() + importing.SECONDS_TO_CLEAN_UP)
    gone = [_delete(job, file, deadline) for file in files]
    if all(gone):
        job.item.done = [step for step in job.item.done if step != BRING_IN]
        job.item.parts = [part for part in job.item.parts if part.step != BRING_IN]


# They take the place of others


def _power_off(job: RestoreTask) -> None:
    job.task.stage(
        POWER_OFF,
        lambda item: start_power_off(job.session, item.target.moid),
        "VMs powered off",
        power_state="poweredOff",
    )
    if job.item.error is not None:
        raise job.item.error


@contextlib.contextmanager
def _started_again(job: RestoreTask) -> t.Iterator[None]:
    """Where the block ends early, start a VM again that ran before it and has all of its old disks."""
    was_on = job.target.powered_on
    try:
        yield
    except BaseException:
        if was_on:
            _start_again(job)
        raise


def _start_again(job: RestoreTask) -> None:
    item = job.item

    def note(_item: RestoreItem, outcome: Outcome) -> None:
        runs = isinstance(outcome.error, Fault) and outcome.error.fault == "InvalidPowerState"
        if outcome.error is not None and not runs:
            raise outcome.error

    try:
        if any(part.action == STARTED and part.step in (REMOVE_SNAPSHOTS, EXCHANGE) for part in item.parts):
            raise StillRunning("What was begun on it may still be under way in vCenter.")
        if targets.again(job.session, job.target).powered_off:
            job.task.call(
                [item],
                functools.partial(_power_on_with_old_disks, job),
                "VMs powered on",
                note,
                repeatable=True,
                deadline=max(job.task.deadline, time.monotonic() + _SECONDS_TO_START_AGAIN),
                part=Part(POWER_ON, restore_plan.DONE[POWER_ON]),
            )
    except VforgeError as error:
        item.warnings.append(f"{item.title} was powered off, and was not started again: {error}")


def _power_on_with_old_disks(job: RestoreTask, item: RestoreItem) -> t.Any:
    """``PowerOnVM_Task``. It is made again when another task on the VM has ended, which may have been the exchange.

    :raises NotRestored: the VM has restored disks.
    """
    now = targets.again(job.session, job.target)
    attached = {file for disk in now.disks for file in disk.files}
    if any(disk.file in attached for disk in item.due_disks):
        raise NotRestored(
            "changed_meanwhile", "It has the restored disks, although nobody has answered that they were exchanged."
        )
    return start_power_on(job.session, now.moid)


def _exchange(job: RestoreTask) -> None:
    item, before = job.item, job.target
    _power_off(job)
    job.task.stage(
        REMOVE_SNAPSHOTS, lambda item: snapshots.start_remove_all(job.session, item.target.moid), "snapshots removed"
    )
    if item.error is not None:
        raise item.error
    _exchange_once(job, before)
    if isinstance(item.error, Fault) and item.error.fault == "ConcurrentAccess":
        # What vCenter itself notes of a VM that was just powered off changes it, too: it is read and looked at again.
        item.error = None
        _exchange_once(job, before)
    if item.error is not None:
        raise item.error
    _forget(job, lambda: job.record.forget_made(disk.file for disk in item.due_disks))
    item.target = targets.again(job.session, before)


def _exchange_once(job: RestoreTask, before: Target) -> None:
    """Exchange the disks of the VM as it is now; what has failed is noted.

    :param before: the VM as it was when the disks were brought in.
    :raises NotRestored: it is not that any more.
    """
    session, item = job.session, job.item
    item.target = targets.again(session, before)
    _look_again(job, before)
    for disk in item.due_disks:
        old = job.target.at(disk.place.backup.unit)
        if old is not None:
            restore_plan.check_old(job.target, old)
        disk.place = dataclasses.replace(disk.place, old=old)
    _choose_what_stays(job)
    # From here on the next run knows what to do with either of the two.
    job.record.note_replaced(
        Replaced(disk.place.old.file, disk.file) for disk in item.due_disks if disk.place.old is not None and not disk.keeps
    )
    exchanges = [_exchange_of(disk) for disk in item.due_disks]
    job.task.stage(EXCHANGE, lambda item: targets.start_exchange(session, item.target, exchanges), "disks replaced")


def _exchange_of(disk: RestoredDisk) -> targets.Exchange:
    place = disk.place
    old = place.old.key if place.old is not None else None
    return targets.Exchange(place.controller, place.unit, disk.file, place.backup.capacity, old, disk.policies)


def _choose_what_stays(job: RestoreTask) -> None:
    """Which of the disks that are replaced are not deleted, and why."""
    old = {disk.place.old.file: disk for disk in job.item.due_disks if disk.place.old is not None}
    having = job.users(old) if old and not job.options.keep_replaced else {}
    used = {file: [user for user in users if user.moid != job.target.moid] for file, users in having.items()}
    for file, disk in old.items():
        if job.options.keep_replaced:
            disk.keeps = "keep_replaced is set"
        elif disk.place.old is not None and disk.place.old.levels:
            disk.keeps = "it is a delta disk of another disk"
        elif unknown_among(used[file]):
            disk.keeps = f"vCenter does not know the files of {unknown_among(used[file])}, which may have it"
        elif used[file]:
            disk.keeps = f"it is used by {', '.join(user.name for user in used[file])}"


def _look_again(job: RestoreTask, before: Target) -> None:
    """Make sure that the VM is still what it was when the disks were brought in.

    :raises NotRestored: it is not.
    """
    now = job.target
    restore_plan.check_consolidated(now)  # the removal of its snapshots may have ended so
    if not now.powered_off or now.snapshots or not restore_plan.same_disks(before, now):
        raise NotRestored(
            "changed_meanwhile",
            f"{now.path} was changed while its disks were brought in: it is {now.power_state}, "
            f"with {len(now.snapshots)} snapshots and the disks {', '.join(disk.file for disk in now.disks)}.",
            hint="Run again when nobody works on it.",
        )


def _delete_replaced(job: RestoreTask) -> None:
    with job.task.phase("deletion"):
        for disk in job.item.due_disks:
            old = disk.place.old
            if old is not None and not disk.keeps:
                disk.deleted = _delete(job, old.file)
                disk.keeps = "" if disk.deleted else "it could not be deleted, see the warnings"
    if any(disk.deleted for disk in job.item.due_disks):
        job.item.done.append(DELETE_REPLACED)
