# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is done with a repository alone: listed, and restored to files. No vCenter is needed for it,
and none is asked.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import time
import typing as t

from .. import _files, _mounts
from .._connector import names
from .._descriptor import Content, DiskFile, OtherFile, descriptor, manifest
from .._errors import Ambiguous, InvalidOption, NotFound, VforgeError
from . import disk as disks
from . import images, records
from .model import Point, second_of
from .report import point_entry
from .repository import Machine, Repository
from .restore_options import IMPORT
from .selecting import PointSelector, chosen_disks
from .storage import status_of

if t.TYPE_CHECKING:
    from .._vsphere import hardware
    from .model import DiskBackup

_FORMS = {"raw": "raw", "qcow2": "qcow2", "vmdk": "vmdk", "ovf": "vmdk"}

_DEFAULT = "qcow2"

# A package of all disks, with what the VM was made of.
_PACKAGE = "ovf"
_DESCRIPTOR, _SETTINGS, _MANIFEST = "vm.ovf", "vm.nvram", "vm.mf"

# What the names of its disks begin with: a VMDK that was restored by itself has another form.
_IN_PACKAGE = "vm-"


# Which VM is meant


def chosen(repository: Repository, wanted: str | None) -> list[str]:
    """The instance UUIDs of the VMs that are meant.

    :param wanted: an instance UUID, or the name that a VM had at its newest backup; None for all.
    :raises NotFound: when there are no backups of it.
    :raises Ambiguous: when several VMs had the name.
    """
    known = repository.vms
    if wanted is None:
        return known
    if wanted.strip().lower() in known:
        return [wanted.strip().lower()]
    newest = {uuid: repository.read(uuid).newest_name() for uuid in known}
    named = [uuid for uuid, name in newest.items() if names.same(name, wanted)]
    if len(named) > 1:
        raise Ambiguous(
            f"{len(named)} VMs of {repository.path} had the name {wanted}.",
            hint=f"Name the one you mean by its instance UUID: {', '.join(named)}.",
            matches=named,
        )
    if not named:
        nameless = [uuid for uuid, name in newest.items() if not name]
        said = f"There are no backups of {wanted} in {repository.path}" + (
            f", or those of {', '.join(nameless)} are its, which do not say their name any more." if nameless else "."
        )
        raise NotFound(
            " ".join((said, *repository.doubts)),
            hint="Name the VM by its instance UUID, or by the name that it had at its newest backup. backup_info lists all.",
        )
    return named


def chosen_point(machine: Machine, wanted: PointSelector) -> Point:
    """The point that is meant. Damage of others matters only where one of them may be meant.

    :raises NotFound: there is none.
    :raises BackupDamaged: its manifest was changed, or nobody can say which point it is.
    """
    known = machine.known()
    if wanted.names_one:
        maybe = [wanted.point] if wanted.point in known.damaged else []
    else:
        maybe = list(filter(wanted.may_mean, known.damaged))
    try:
        point = wanted.choose(known.points, machine.folder)
    except NotFound as error:
        raise (known.damaged[maybe[0]] if maybe else error) from None
    for name in maybe:
        if second_of(name) >= second_of(point.id):
            raise known.damaged[name]
    return point


# Asking


def info(path: str, wanted: str | None) -> dict[str, t.Any]:
    """What a repository has.

    :returns: the module's result: ``vms``, each with its ``points``, the oldest first.
    """
    repository = Repository(path)
    found = [_vm(repository, uuid) for uuid in chosen(repository, wanted)]
    return {"changed": False, "repository": repository.path, "vms": found, "warnings": repository.doubts}


def _vm(repository: Repository, uuid: str) -> dict[str, t.Any]:
    machine = repository.read(uuid)
    entry: dict[str, t.Any] = {"instance_uuid": uuid, "name": "", "folder": machine.folder, "points": [], "damaged": []}
    try:
        found = machine.known()
        entry["points"] = [{**point_entry(point), **_stored(machine, point)} for point in found.points]
    except VforgeError as error:
        return {**entry, "error": error.as_result()}
    entry["name"] = found.points[-1].vm_name if found.points else ""
    entry["damaged"] = [{"id": name, "error": error.as_result()} for name, error in found.damaged.items()]
    return {**entry, "error": entry["damaged"][0]["error"]} if entry["damaged"] else entry


def _stored(machine: Machine, point: Point) -> dict[str, t.Any]:
    """What a point takes on its file system, and what was done with it."""
    return {
        "stored": sum(_allocated(machine.path_of(point, disk)) for disk in point.disks),
        "verified": records.verified(machine, point),
        "restored": records.restored(machine, point),
    }


def _allocated(path: str) -> int:
    """What a file takes; nothing where it is not there, since another run may just remove its point."""
    status = status_of(path)
    return status.st_blocks * 512 if status is not None else 0


# Restoring


@dataclasses.dataclass(frozen=True, kw_only=True)
class RestoreOptions:
    """What is to be restored to files of this machine.

    :ivar disks: names of disks; empty for all.
    :ivar folder: for the images.
    """

    repository: str
    vm: str
    point: PointSelector
    disks: tuple[str, ...]
    folder: str
    form: str
    timeout: int

    @classmethod
    def from_params(cls, params: t.Mapping[str, t.Any]) -> RestoreOptions:
        """The options of the module.

        :raises InvalidOption: what cannot be right.
        """
        if not params.get("dest"):
            raise InvalidOption("Neither dest nor into is set.", hint="Set one of them.", option="dest")
        unset = {"content": True, "transport": IMPORT}
        for option in ("settings", "storage_policy", "transport", "hotadd", "content"):
            if (params.get(option) or False) != unset.get(option, False):
                raise InvalidOption(
                    f"The option {option} is for a VM that is restored into.",
                    hint="Set into, or leave it out.",
                    option=option,
                )
        if params.get("format") == _PACKAGE and params.get("disks"):
            raise InvalidOption(
                "A package has all disks of the VM.", hint="Leave disks out, or choose another format.", option="disks"
            )
        return cls(
            repository=params["repository"],
            vm=params["vm"],
            point=PointSelector.from_params(params),
            disks=tuple(params.get("disks") or ()),
            folder=params["dest"],
            form=params.get("format") or _DEFAULT,
            timeout=params["timeout"],
        )


def restore(options: RestoreOptions, show: t.Callable[[str], None], *, check: bool) -> dict[str, t.Any]:
    """Write disks as they were at a point into files of this machine.

    A file that already has what the point has is left alone: it is read, and not written.

    :param show: called with one sentence when another run has to be waited for.
    :returns: the module's result.
    """
    images.require()
    deadline = time.monotonic() + options.timeout
    repository = Repository(options.repository)
    uuid = chosen(repository, options.vm)[0]
    _refuse_among_points(options.folder, repository)
    _mounts.check(options.folder, what="folder of restored images")
    _files.check_folder(options.folder, what="restored image", makes=False)
    with repository.locked(uuid, deadline, show, put_right=False, writes=False) as machine:
        point = chosen_point(machine, options.point)
        wanted = chosen_disks(point, options.disks)
        # Before the first byte is written: without it there is no package.
        about = machine.hardware_of(point) if options.form == _PACKAGE else None
        nvram = machine.nvram_of(point) if options.form == _PACKAGE else b""
        entries = [_restore(machine, point, disk, options, deadline, check=check) for disk in wanted]
    package = _package(about, nvram, point, entries, options.folder, check=check) if about is not None else None
    changed = any(entry["action"] == "restored" for entry in [*entries, *([package] if package else [])])
    noted = changed and not check
    warning = records.note_restored(machine, point, options.folder, [disk.label for disk in wanted]) if noted else ""
    return {
        "changed": changed,
        "repository": repository.path,
        "instance_uuid": uuid,
        "name": point.vm_name,
        "point": point.id,
        "package": package,
        "disks": entries,
        "warnings": [warning] if warning else [],
    }


def _refuse_among_points(folder: str, repository: Repository) -> None:
    """Refuse a folder of points: their images have the names that restored ones get, and would be replaced.

    :raises InvalidOption: it is one, or lies in one.
    """
    there = os.path.realpath(folder)
    for uuid in repository.vms:
        own = os.path.realpath(repository.folder(uuid))
        if os.path.commonpath([there, own]) == own:
            raise InvalidOption(
                f"dest is {folder}, among the backups of {uuid}, whose images restored ones could replace.",
                hint="Name another folder.",
                option="dest",
            )


def _package(
    about: hardware.Machine, nvram: bytes, point: Point, entries: t.Sequence[dict[str, t.Any]], folder: str, *, check: bool
) -> dict[str, t.Any]:
    """Write the descriptor and the manifest of a package whose disks are there, where they are not."""
    path = os.path.join(folder, _DESCRIPTOR)
    found = {
        "path": path,
        "action": "unchanged",
        "bios_uuid": about.bios_uuid,
        "nics": [{"index": index, "mac": card.mac} for index, card in enumerate(about.cards) if card.mac],
    }
    if check and any(entry["action"] == "restored" for entry in entries):
        return {**found, "action": "restored"}
    by_key = {disk.key: disk for disk in about.disks}
    paths = {entry["key"]: entry["path"] for entry in entries}
    files = tuple(
        DiskFile(by_key[disk.key], os.path.basename(paths[disk.key]), os.stat(paths[disk.key]).st_size) for disk in point.disks
    )
    settings = OtherFile(_SETTINGS, len(nvram)) if nvram else None
    text = descriptor(about, Content(files, settings, extra=about.extra))
    named = [(_DESCRIPTOR, hashlib.sha256(text).hexdigest()), *((file.href, _sha256(paths[file.disk.key])) for file in files)]
    due = {_DESCRIPTOR: text}
    if nvram:
        due[_SETTINGS] = nvram
        named.append((_SETTINGS, hashlib.sha256(nvram).hexdigest()))
    due[_MANIFEST] = manifest(named)
    if all(_has(os.path.join(folder, name), data) for name, data in due.items()):
        return found
    if not check:
        for name, data in due.items():
            _files.replace(os.path.join(folder, name), data, what="package")
    return {**found, "action": "restored"}


def _has(path: str, data: bytes) -> bool:
    try:
        with open(path, "rb") as file:
            return file.read(len(data) + 1) == data
    except OSError:
        return False


def _sha256(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _restore(
    machine: Machine, point: Point, disk: DiskBackup, options: RestoreOptions, deadline: float, *, check: bool
) -> dict[str, t.Any]:
    form = _FORMS[options.form]
    begin = _IN_PACKAGE if options.form == _PACKAGE else ""
    path = os.path.join(options.folder, f"{begin}disk-{disk.key}.{form}")
    entry = {"label": disk.label, "key": disk.key, "capacity": disk.capacity, "path": path, "action": "unchanged"}
    if disks.holds(machine, point, disk, path, form, deadline):
        return entry
    if not check:
        disks.restore(machine, point, disk, path, form, deadline, streamed=options.form == _PACKAGE)
    return {**entry, "action": "restored"}
