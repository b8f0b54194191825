# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A disk on a datastore is copied to another place there, or deleted."""

from __future__ import annotations

import contextlib
import typing as t

from .._disk_import import apply, places
from .._errors import Fault, VforgeError
from .._vsphere import directories
from .._vsphere.datastore_files import DatastoreFiles, DatastorePath, FileDenied, FileLocked, NoSuchFile
from .._vsphere.flat import Flat, NotWhole, SeveralFiles
from . import converting, describing, notes, plan
from .job import DiskItem, OnDatastore
from .plan import COPY, DELETE

if t.TYPE_CHECKING:
    from .._engine import Task
    from .._vsphere import vmdk
    from .model import DiskOptions


def copy(task: Task[DiskItem], item: DiskItem, options: DiskOptions) -> None:
    """Copy a disk, unless its copy is there already."""
    session = task.session
    source, target = t.cast(DatastorePath, options.on_datastore), t.cast(DatastorePath, options.copy_to)
    item.called, item.place = str(source), str(target)
    ref, path = places.datacenter(session, options.place.datacenter, source, target)
    with DatastoreFiles(session, path, task.deadline) as files:
        job = OnDatastore(task, item, files, ref, target)
        text = Flat(files, source).text
        made_of = {"kind": "copied", "source": str(source), "cid": text.values.get("cid", ""), "capacity": text.capacity}
        there = files.there(target)
        known, begun = (notes.noted(files, target), notes.begun(files, target)) if there else ({}, {})
        item.facts = {"capacity": text.capacity, **converting.of_descriptor(text)}
        if {name: known.get(name) for name in made_of} == made_of and not options.force:
            if begun and not task.check:
                _end_begun(job)
            return
        ours = known.get("source") == str(source)
        left = begun.get("source") == str(source) and not ours and not options.force
        if left and _is_whole_copy(job, source):
            if not task.check:
                notes.note(files, target, made_of)
                _end_begun(job)
            return
        # What is not whole is of no use to anybody.
        plan.check_free(str(target), there=there, ours=ours or left, force=options.force)
        item.steps = (COPY,)
        item.becomes(job.in_short() if there else plan.NOT_THERE, f"{plan.in_short(item.facts)}, copied from {source}")
        _check_not_locked(job, source, text)
        check = job.check_replaceable() if there else None
        if task.check:
            return
        # With force the next run replaces what it finds anyway, which may be a disk that is not ours.
        with _folder(job, source), _begun(job, {} if options.force else made_of):
            if check is None:
                _start_copy(job, source, target)
            else:
                _replace(job, source, check)
            notes.note(files, target, made_of)
            item.done.append(COPY)


def _check_not_locked(job: OnDatastore, source: DatastorePath, text: vmdk.Descriptor) -> None:
    """Make sure that no running VM has locked a disk that is to be copied. The server says so of its files, without a call;
    where it does not give them, the VMs of the datastore are read.

    :raises InUse: naming the VM.
    """
    extents = [extent.file for extent in text.extents if extent.file]
    try:
        for name in extents:
            if "/" not in name:
                job.files.state(source.beside(name))
        locked = False
    except FileLocked:
        locked = True
    except (NoSuchFile, FileDenied):
        return  # vCenter says what there is to be said
    if locked or any("/" in name for name in extents):
        describing.check_not_locked(job.session, job.datacenter, source, locked=locked)


@contextlib.contextmanager
def _folder(job: OnDatastore, source: DatastorePath) -> t.Iterator[None]:
    """The folder of a copy, which is made where it is not there.

    Where the copy does not come, it stays: vCenter has no call that removes a folder only if it is
    empty, and another run may have put a disk into it meanwhile.

    :raises InUse: a VM was powered on meanwhile, and has locked the source.
    """
    folder = job.path.folder
    made = bool(folder) and directories.make(job.session, job.datacenter, folder, job.files)
    try:
        yield
    except VforgeError as error:
        if made:
            job.item.warnings.append(f"The folder {folder} was made for the copy, and stays.")
        if isinstance(error, Fault) and error.fault == "FileLocked":
            describing.check_not_locked(job.session, job.datacenter, source, locked=True)
        raise


def _start_copy(job: OnDatastore, source: DatastorePath, to: DatastorePath) -> None:
    job.run(lambda: apply.start_copy(job.session, job.datacenter, str(source), str(to)), "disks copied")


def _replace(job: OnDatastore, source: DatastorePath, check: t.Callable[[], None]) -> None:
    """Copy a disk to the place of another one, which stays until the copy is whole.

    vCenter's copying replaces none, its moving does (API reference, VirtualDiskManager).

    :param check: that no VM has the other one.
    """
    beside = _copy_beside(job.path)
    if job.files.there(beside):
        job.delete_copy(beside)
    try:
        _start_copy(job, source, beside)
        check()
        job.run(
            lambda: apply.start_move(job.session, job.datacenter, str(beside), str(job.path), force=True),
            "disks moved",
        )
    except BaseException:
        if not job.session.unreachable():
            job.delete_copy(beside)
        raise


def _copy_beside(target: DatastorePath) -> DatastorePath:
    """Where the copy is made that takes the place of a disk."""
    return target.beside(f"{target.name.removesuffix('.vmdk')}.vforge-copy.vmdk")


def _is_whole_copy(job: OnDatastore, source: DatastorePath) -> bool:
    """Whether the copy that an earlier run has begun is whole; False where it is half made.

    Both disks are read: somebody may have put another one in the place since, and nothing else says
    what a disk was copied from.

    :raises Exists: it is another disk, or cannot be read.
    """
    target = job.path
    there, own = Flat(job.files, target), Flat(job.files, source)
    plan.check_free(str(target), there=True, ours=there.text.capacity == own.text.capacity, force=False)
    try:
        if _is_half_made(there):
            return False
        same = job.read_back(target) == job.read_back(source)
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
def _begun(job: OnDatastore, made_of: t.Mapping[str, t.Any]) -> t.Iterator[None]:
    """Say that a copy has begun until it is noted as whole, so that the next run knows one whose end
    this one does not see.

    :param made_of: what is said; nothing is where it is empty.
    """
    if made_of:
        notes.begin(job.files, job.path, made_of)
    try:
        yield
    except BaseException:
        if made_of and not job.session.unreachable():
            _end_begun_of(job, made_of)
        raise
    if made_of:
        _end_begun(job)


def _end_begun_of(job: OnDatastore, made_of: t.Mapping[str, t.Any]) -> None:
    """Where it is known what became of a copy that failed, nothing is to be said of it any more."""
    try:
        if not job.files.there(job.path) or notes.noted(job.files, job.path) == made_of:
            _end_begun(job)
    except VforgeError as error:
        job.item.warnings.append(f"{notes.begun_of(job.path)} stays until the next run: {error.message}")


def _end_begun(job: OnDatastore) -> None:
    job.delete_note(notes.begun_of(job.path))


def delete(task: Task[DiskItem], item: DiskItem, options: DiskOptions) -> None:
    """Delete a disk that nobody has, and what lies beside it."""
    session, target = task.session, t.cast(DatastorePath, options.on_datastore)
    ref, path = places.datacenter(session, options.place.datacenter, target)
    with DatastoreFiles(session, path, task.deadline) as files:
        job = OnDatastore(task, item, files, ref, target)
        there = files.there(target)
        if there:
            item.steps = (DELETE,)
            item.becomes(job.in_short(), DELETE)
            describing.check_nobodys(session, ref, target)
        if task.check:
            return
        if there:
            job.delete()
            item.done.append(DELETE)
            if files.there(_copy_beside(target)):
                job.delete_copy(_copy_beside(target))
        for note in (notes.note_of(target), notes.begun_of(target)):
            if files.there(note):
                job.delete_note(note)
