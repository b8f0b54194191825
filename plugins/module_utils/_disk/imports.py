# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A file on this machine becomes a disk on a datastore, and is proved."""

from __future__ import annotations

import dataclasses
import typing as t

from .._disk_import import importing, places
from .._errors import Fault, NotAttempted, VforgeError
from .._vsphere import vmdk
from .._vsphere.datastore_files import DatastoreFiles, DatastorePath
from .._vsphere.flat import Flat
from . import converting, describing, image, local, notes, plan
from .image import Image, QemuImg
from .job import DiskItem, OnDatastore
from .model import ADAPTERS, CONTENT, PROVISIONINGS, STREAM, THIN, DiskOptions, Output
from .plan import IMPORT

if t.TYPE_CHECKING:
    from .._engine import Task
    from .local import Workplace

# What is on its way is called so in the folder where it is made.
_READY_STREAM = "import.vmdk"

# What was asked for of an imported disk that its descriptor need not say.
_ASKED = "asked"

# Is noted of an imported disk where the VM of its import could not be removed.
_LEFT = "left"


def bring_in(task: Task[DiskItem], item: DiskItem, options: DiskOptions) -> None:
    """Make a disk on a datastore of a file; what has its content already stays."""
    session, target = task.session, t.cast(DatastorePath, options.on_datastore)
    home = places.home(session, target, datacenter=options.place.datacenter, host=options.place.host)
    plan.check_verify(options, home.kind)
    plan.check_folder(target, home.kind, "datastore_path")
    made_of = {"kind": "imported", "source": {"path": options.path, **local.identity(options.path)}}
    item.adapter = options.import_adapter
    tool = QemuImg(task.deadline)
    with DatastoreFiles(session, home.path, task.deadline) as files:
        job = OnDatastore(task, item, files, home.ref, target)
        there = files.there(target)
        known = notes.noted(files, target) if there else {}
        if known and {name: known.get(name) for name in made_of} == made_of and not options.force:
            _keep(job, options, home, known)
            return
        found = converting.filled(tool, options.path, options.source_format)
        if there and not options.force:
            _adopt(job, options, home, _same_content(job, options, tool, found, known), known, made_of)
            return
        item.steps = (IMPORT,)
        will = plan.in_short({"capacity": found.capacity, "provisioning": options.provisioning})
        item.becomes(job.in_short() if there else plan.NOT_THERE, f"{will}, imported from {options.path}")
        # Once more before it is replaced, since conversion and upload may take hours.
        check = job.check_replaceable() if there else (lambda: None)
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
            came = _bring_in(job, home, new, known)
            item.facts["uuid"], item.sent = came.uuid, came.sent
            _tell_what_was_not_compared(item, options, came)
        if options.verify == CONTENT and job.read_back(target) != content:
            _delete_wrong(job, options)
        item.facts |= {"capacity": capacity, "content_sha256": content, "provisioning": options.provisioning}
        asked = {"adapter": item.adapter}
        notes.note(files, target, _imported(made_of, content, item, asked, left=not came.cleared, verify=options.verify))
    item.done.append(IMPORT)


def _keep(job: OnDatastore, options: DiskOptions, home: places.Home, known: t.Mapping[str, t.Any]) -> None:
    """A disk was made of this very file: what is left to do is its proof, and the end of an earlier import.

    :param known: what is noted of it.
    """
    now = dict(known)
    job.item.facts = _checked_kind(job, options, home, known)
    if not _is_proved(known, options):
        _prove(job, options, known)
        now["verify"] = CONTENT
    if job.task.check:
        return
    if known.get(_LEFT) and _cleared(job, home):
        del now[_LEFT]
    if now != known:
        notes.note(job.files, job.path, now)


def _adopt(
    job: OnDatastore,
    options: DiskOptions,
    home: places.Home,
    same: tuple[int, str, str],
    known: t.Mapping[str, t.Any],
    made_of: t.Mapping[str, t.Any],
) -> None:
    """A disk has the content that is asked for: it stays, and what it was made of is noted.

    :param same: as ``_same_content`` returns it.
    :param known: what is noted of it; empty where nothing is.
    """
    capacity, content, verify = same
    job.item.facts = {"capacity": capacity, "content_sha256": content, **_checked_kind(job, options, home, known)}
    if job.task.check:
        return
    if not known:
        importing.DiskImport(job.task, job.item, home).clear(job.path)
    left, asked = bool(known.get(_LEFT)) and not _cleared(job, home), _mapping(known.get(_ASKED))
    notes.note(job.files, job.path, _imported(made_of, content, job.item, asked, left=left, verify=verify))


def _checked_kind(job: OnDatastore, options: DiskOptions, home: places.Home, known: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """What is known of a disk that is to stay.

    What was asked for in the run that has made it was noted then. That counts, since hosts and storages may do otherwise: a
    descriptor need not name the adapter of the VM that was imported, and NFS may make all disks thin. Where nothing is
    noted, the descriptor says of VMFS whether a disk is thin.

    :param known: what is noted of it; empty where nothing is.
    :raises Exists: another provisioning or adapter is asked for.
    """
    facts, noted = _mapping(known.get("facts")), _mapping(known.get(_ASKED))
    there = {
        "provisioning": _one_of(PROVISIONINGS, facts.get("provisioning")),
        "adapter": _one_of(ADAPTERS, noted.get("adapter")),
    }
    # An adapter that was written into the descriptor later is as good.
    asked = {
        "provisioning": options.provisioning,
        "adapter": options.adapter if options.adapter != facts.get("adapter") else "",
    }
    if not known and home.kind == "VMFS":
        thin = converting.of_descriptor(Flat(job.files, job.path).text)["thin"]
        thick = options.provisioning if options.provisioning != THIN else "thick"
        there["provisioning"] = facts["provisioning"] = THIN if thin else thick
    plan.check_kind(str(job.path), asked, there)
    return facts


def _one_of(choices: t.Collection[str], found: t.Any) -> str:
    """A word that is noted; empty where it is none of these, whoever wrote it."""
    return next((each for each in choices if each == found), "")


def _mapping(found: t.Any) -> dict[str, t.Any]:
    """A part of what is noted."""
    return dict(found) if isinstance(found, dict) else {}


def _tell_what_was_not_compared(item: DiskItem, options: DiskOptions, came: importing.Imported) -> None:
    """Warn of a disk that nothing proves."""
    if came.reported != importing.DIGEST and options.verify != CONTENT:
        item.warnings.append(
            f"The host reports no digest of what it has got as {options.on_datastore}, so that was not compared. "
            "Set verify to content where its datastore has files of disks."
        )


def _bring_in(job: OnDatastore, home: places.Home, new: importing.NewDisk, known: t.Mapping[str, t.Any]) -> importing.Imported:
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
            old.append(job.files.read(new.target, vmdk.MOST_DESCRIPTOR))
            notes.note(job.files, new.target, {})

    try:
        return importing.DiskImport(job.task, job.item, home).bring_in(dataclasses.replace(new, check=check))
    except (Fault, NotAttempted):
        # Of all else it is not known whether vCenter goes on with it.
        if old:
            _note_again(job, old[0], known)
        raise


def _note_again(job: OnDatastore, old: bytes, known: t.Mapping[str, t.Any]) -> None:
    """Note of a disk what was noted before, where it is the same one: each has another UUID in its
    descriptor.
    """
    try:
        if job.files.read(job.path, vmdk.MOST_DESCRIPTOR) == old:
            notes.note(job.files, job.path, known)
    except VforgeError as error:
        job.item.warnings.append(f"What was noted of {job.path} is lost, so the next run reads it: {error.message}")


def _imported(
    made_of: t.Mapping[str, t.Any],
    content: str,
    item: DiskItem,
    asked: t.Mapping[str, t.Any],
    *,
    left: bool,
    verify: str,
) -> dict[str, t.Any]:
    """What is noted of a disk that came by an import.

    :param asked: what was asked for that its descriptor need not say.
    :param left: whether the VM of the import is there still, which the next run removes.
    :param verify: how it was proved.
    """
    noted = {**made_of, "content_sha256": content, "facts": item.facts, "verify": verify, _ASKED: asked}
    return {**noted, _LEFT: True} if left else noted


def _is_proved(known: t.Mapping[str, t.Any], options: DiskOptions) -> bool:
    """Whether a disk was proved as the options ask for, or better."""
    return options.verify != CONTENT or known.get("verify") == CONTENT


def _prove(job: OnDatastore, options: DiskOptions, known: t.Mapping[str, t.Any]) -> None:
    """Read a disk back that was imported without.

    :raises ImportFailed: it has another content.
    """
    if job.read_back(job.path) != known.get("content_sha256"):
        raise importing.ImportFailed(
            f"{job.path} has another content than {options.path}, of which it was made.",
            hint="A VM may have written to it since. Set force to import it again.",
        )


def _cleared(job: OnDatastore, home: places.Home) -> bool:
    """Remove the VM that an earlier import has left; whether it is gone. The disk is right without."""
    try:
        importing.DiskImport(job.task, job.item, home).clear(job.path)
    except importing.Busy as error:
        job.item.warnings.append(f"{error.message} The next run tries again.")
        return False
    return True


def _delete_wrong(job: OnDatastore, options: DiskOptions) -> t.NoReturn:
    """Delete a disk that has something else than its source, unless a VM has got it meanwhile.

    :raises ImportFailed: always; it says what became of the disk.
    """
    wrong = f"{job.path} did not get the content of {options.path}"
    try:
        describing.check_nobodys(job.session, job.datacenter, job.path)
    except VforgeError as error:
        raise importing.ImportFailed(
            f"{wrong}, and was left, since it is not free: {error.message}", hint=error.hint
        ) from error
    job.delete()
    raise importing.ImportFailed(f"{wrong}, and was deleted again.", hint="Run again.")


def _same_content(
    job: OnDatastore, options: DiskOptions, tool: QemuImg, found: Image, known: t.Mapping[str, t.Any]
) -> tuple[int, str, str]:
    """A disk in the place is the one that is asked for, where it was made of the same content.

    Where nothing is noted, a run may have ended between the import and the note: then the disk is
    read.

    :returns: the capacity of the image, SHA-256 of the content, and how the disk is proved to have it.
    :raises Exists: it was made of another one.
    """
    with local.scratch(local.stream_of(options.path), job.task.deadline, job.session.show_progress) as place:
        content = local.content_digest(found, tool, place.of("scratch"), lambda _count: None)
    # The content of the disk is filled up to whole sectors.
    there = known.get("content_sha256") if _is_proved(known, options) else None
    verify = CONTENT if there is None else str(known.get("verify"))
    ours = content == (job.read_back(job.path) if there is None else there)
    plan.check_free(str(job.path), there=True, ours=ours, force=False)
    return found.capacity, content, verify


def _stream(task: Task[DiskItem], tool: QemuImg, found: Image, place: Workplace) -> converting.Made:
    """The streamOptimized form of an image, verified."""
    tell = task.session.show_progress
    if found.format == image.VMDK and found.subformat == STREAM:
        verified, content, file = converting.read_stream(found.path, tell)
        return converting.Made(dataclasses.replace(found, capacity=verified.capacity), content, file)
    return converting.convert(tool, found, place.of(_READY_STREAM), Output(image.VMDK, STREAM), tell)
