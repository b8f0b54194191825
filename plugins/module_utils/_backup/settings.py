# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a restore into a VM puts back besides the bytes of its disks: storage policies, the settings of its firmware, tags."""

from __future__ import annotations

import dataclasses
import functools
import typing as t

from .._connector.rest import RestSession
from .._disk_import.apply import start_delete_file
from .._engine import Part
from .._errors import NotFound, VforgeError
from .._vsphere import tags
from .._vsphere.datastore_files import DatastorePath, FileDenied, FileLocked, NoSuchFile
from .._vsphere.policies import Policy, find_policy, policies_of
from .._vsphere.vm import moid_of
from . import restore_plan, targets
from .model import BackupDamaged
from .restore_options import NVRAM, POLICIES, TAGS
from .restore_plan import ATTACH_TAGS, DONE, PUT_NVRAM_BACK, SET_POLICIES, NotRestored, RestoredDisk
from .selecting import chosen_disks

if t.TYPE_CHECKING:
    from .restoring import RestoreTask

# What ends the name of the file in which is kept what the firmware had.
_KEPT = ".vforge-old"
_MOST_NVRAM = 8 * 2**20

_TAG = "urn:vmomi:InventoryServiceTag:"


@dataclasses.dataclass
class Settings:
    """What is to be put back, and what was.

    :ivar nvram: settings of the firmware that the VM does not have; empty where it has them, or nobody asked for it.
    :ivar tags: names by the IDs of the tags that the VM lacks; ``attached`` those that it has got.
    :ivar policies: IDs of the storage policies that disks of the VM do not have, by the keys of these.
    :ivar labels: of these disks.
    """

    nvram: bytes = b""
    policies: dict[int, str] = dataclasses.field(default_factory=dict)
    labels: list[str] = dataclasses.field(default_factory=list)
    tags: dict[str, str] = dataclasses.field(default_factory=dict)
    attached: list[str] = dataclasses.field(default_factory=list)


def missing(job: RestoreTask) -> Settings:
    """What was asked for of a point, and the VM does not have.

    :raises NotRestored: the point does not have it.
    """
    wanted = job.options.settings
    others = _other_policies(job) if job.options.asks_for_policies and not job.options.content else {}
    return Settings(
        nvram=_nvram(job) if NVRAM in wanted else b"",
        tags=_tags(job) if TAGS in wanted else {},
        policies={key: disk.policies[0] for key, disk in others.items()},
        labels=[disk.place.backup.label for disk in others.values()],
    )


# Storage policies


def choose_policies(job: RestoreTask, disks: t.Sequence[RestoredDisk]) -> None:
    """The storage policies that restored disks are made with, before anything is brought in.

    :raises NotFound: a policy that was asked for is not there.
    :raises NotRestored: it does not allow the datastore, or the point does not say it.
    """
    if job.options.storage_policy:
        policy = find_policy(job.session, job.options.storage_policy)
        for disk in disks:
            disk.policies = _allowed(job, disk, policy, job.options.storage_policy)
    elif POLICIES in job.options.settings:
        _take_those_of_point(job, disks)
    else:
        _keep_those_of_places(job, disks)


def _take_those_of_point(job: RestoreTask, disks: t.Sequence[RestoredDisk]) -> None:
    known = _policies_of_point(job)
    found: dict[str, Policy] = {}
    for disk in disks:
        of_point = known.get(str(disk.place.backup.key))
        if of_point is not None:
            profile, name = str(of_point["id"]), str(of_point["name"])
            policy = found[profile] = found.get(profile) or find_policy(job.session, name, profile)
            disk.policies = _allowed(job, disk, policy, name)


def _policies_of_point(job: RestoreTask) -> t.Mapping[str, t.Any]:
    """The storage policies that disks had at the backup, by their keys.

    :raises NotRestored: the point does not say it.
    """
    known: t.Mapping[str, t.Any] | None = job.machine.about_of(job.point).get("storage_policies")
    if known is None:
        raise NotRestored(
            "no_storage_policies",
            f"The backup {job.point.id} does not say which storage policies its disks had.",
            hint="Set storage_policy, or leave storage_policies out of settings.",
        )
    return known


def _other_policies(job: RestoreTask) -> dict[int, RestoredDisk]:
    """The disks of the VM that stay, and are to have another storage policy, by their keys.

    :raises NotRestored: one is not there, its policy does not allow its datastore, or the point does not say it.
    """
    places = restore_plan.places(job.target, job.point, chosen_disks(job.point, job.options.disks))
    disks: dict[int, RestoredDisk] = {}
    for place in places:
        if place.old is None:
            raise NotRestored(
                "no_disk",
                f"{job.target.path} has no disk at {place.backup.unit}, where {place.backup.label} was.",
                hint="Name the disks that it has in disks.",
            )
        disks[place.old.key] = RestoredDisk(place)
    if job.options.storage_policy:
        policy = find_policy(job.session, job.options.storage_policy)
        for disk in disks.values():
            disk.policies = _allowed(job, disk, policy, job.options.storage_policy)
    else:
        _take_those_of_point(job, list(disks.values()))
    now = policies_of(job.session, job.target.moid, disks) if disks else {}
    return {key: disk for key, disk in disks.items() if disk.policies and now.get(key) != disk.policies}


def set_policies(job: RestoreTask) -> None:
    """Give disks that stay the storage policies that were asked for, by one call.

    :raises VforgeError: vCenter refuses it, and none has another one.
    """
    item = job.item
    job.task.stage(
        SET_POLICIES,
        lambda item: targets.start_policies(job.session, item.target, job.settings.policies),
        "disks get their policies",
    )
    if item.error is not None:
        error, item.error = item.error, None
        raise error


def _allowed(job: RestoreTask, disk: RestoredDisk, policy: Policy, name: str) -> tuple[str, ...]:
    """The policy, for a disk whose datastore it allows.

    :raises NotRestored: it does not.
    """
    datastore = restore_plan.beside(job.target, disk.place)
    if moid_of(job.home(datastore).datastore) not in policy.datastores:
        raise NotRestored(
            "policy_not_satisfied",
            f"The storage policy {name} does not allow the datastore {datastore.datastore}, "
            f"on which {disk.place.backup.label} is restored.",
            hint="Set storage_policy to one that does.",
        )
    return (policy.profile,)


def _keep_those_of_places(job: RestoreTask, disks: t.Sequence[RestoredDisk]) -> None:
    """The policies of the disks that are replaced; where none is, that which the disk had at the point."""
    replaced = {disk.place.old.key: disk for disk in disks if disk.place.old is not None}
    try:
        if replaced:
            for key, policies in policies_of(job.session, job.target.moid, replaced).items():
                replaced[key].policies = policies
    except VforgeError as error:
        job.item.warnings.append(
            f"The storage policies of the replaced disks cannot be read: {error} "
            "The restored ones get the default policies of their datastores: set others again."
        )
    for disk in disks:
        if disk.place.old is None:
            _have_that_of_point(job, disk)


def _have_that_of_point(job: RestoreTask, disk: RestoredDisk) -> None:
    try:
        known = job.machine.about_of(job.point).get("storage_policies") or {}
    except BackupDamaged as error:
        job.item.warnings.append(
            f"Which storage policy {disk.place.backup.label} had at the backup is not known, "
            f"and it gets the default one of its datastore: {error}"
        )
        return
    of_point = known.get(str(disk.place.backup.key))
    if of_point is None:
        return
    name = str(of_point["name"])
    try:
        disk.policies = _allowed(job, disk, find_policy(job.session, name, str(of_point["id"])), name)
    except VforgeError as error:
        job.item.warnings.append(
            f"{disk.place.backup.label} had the storage policy {name} at the backup, "
            f"and gets the default one of its datastore: {error}"
        )


# The settings of the firmware


def _nvram(job: RestoreTask) -> bytes:
    wanted = job.machine.nvram_of(job.point)
    if not wanted:
        reason = (job.machine.about_of(job.point).get("nvram") or {}).get("reason") or "An earlier release has made it."
        raise NotRestored(
            "no_nvram",
            f"The backup {job.point.id} does not have the settings of the firmware: {reason}",
            hint="Name the backup of a time when the VM was powered off, or leave nvram out of settings.",
        )
    _check_firmware(job)
    if not job.target.powered_off:
        return wanted  # the file is locked
    return b"" if _read(job, len(wanted) + 1) == wanted else wanted


def _check_firmware(job: RestoreTask) -> None:
    """Refuse settings of another kind of firmware: the VM may not boot with them.

    :raises NotRestored: with both kinds.
    """
    had, has = dict(job.machine.hardware_of(job.point).settings).get("firmware", ""), job.target.firmware
    if had and has and had != has:
        raise NotRestored(
            "another_firmware",
            f"The settings of the firmware are those of {had.upper()}, and {job.target.path} has {has.upper()}.",
            hint="Leave nvram out of settings, or give the VM the firmware of the backup first.",
        )


def _read(job: RestoreTask, most: int) -> bytes:
    path = DatastorePath.parse(job.target.nvram, "nvram")
    try:
        return job.files.read(path, most)
    except NoSuchFile as error:
        raise NotRestored(
            "no_nvram",
            f"{job.target.path} has no settings of its firmware yet, in whose place others could be put.",
            hint="Power it on and off once, or leave nvram out of settings.",
        ) from error


def put_nvram_back(job: RestoreTask) -> None:
    """Write the settings of the firmware of a VM that is off, and read them back.

    What it had is in a file beside it until then. One that is there already is left: a run that was ended has written it.

    :raises NotRestored: something else was read.
    :raises FileLocked, FileDenied: the server does not take them, and the VM has what it had.
    """
    path = DatastorePath.parse(job.target.nvram, "nvram")
    kept = path.beside(f"{path.name}{_KEPT}")
    before = _read(job, _MOST_NVRAM)  # it has some: of a VM that was on, nobody could know
    if not job.files.there(kept):
        job.files.write(kept, before)
    part = Part(PUT_NVRAM_BACK, DONE[PUT_NVRAM_BACK])
    job.item.parts.append(part)  # also where nobody answers
    try:
        _write(job, path)
    except (FileLocked, FileDenied):
        job.item.parts.remove(part)
        _forget(job, kept)
        raise
    except BaseException:
        job.item.warnings.append(f"{path} may be half written. What it had before is in {kept}.")
        raise
    _forget(job, kept)


def _write(job: RestoreTask, path: DatastorePath) -> None:
    data = job.settings.nvram
    job.files.write(path, data)
    if job.files.read(path, len(data) + 1) != data:
        raise NotRestored(
            "read_back_failed", f"{path} has something else than was written into it.", hint="Run again: it is written again."
        )


def _forget(job: RestoreTask, kept: DatastorePath) -> None:
    """Delete what was kept of the settings of the firmware."""
    start = functools.partial(start_delete_file, job.session, job.datacenter(), str(kept))
    try:
        job.task.call_one(job.item, start, "files deleted", repeatable=True)
    except VforgeError as error:
        job.item.warnings.append(f"{kept}, with earlier settings of the firmware, could not be deleted: {error}")


# Tags


def _tags(job: RestoreTask) -> dict[str, str]:
    wanted = job.machine.about_of(job.point).get("tag_ids")
    if wanted is None:
        raise NotRestored(
            "no_tags",
            f"The backup {job.point.id} does not say which tags its VM had.",
            hint="Name another backup, or leave tags out of settings.",
        )
    known = {str(key): str(name) for key, name in wanted.items() if str(key).startswith(_TAG)}
    if not known:
        return {}
    with RestSession(job.session.options, job.session.warn, job.task.deadline) as rest:
        attached = tags.attached_to(rest, job.target.moid)
        missing = {key: name for key, name in known.items() if key not in attached}
        there = tags.known_ids(rest) if missing else set()
    gone = sorted(name for key, name in missing.items() if key not in there)
    if gone:
        raise NotRestored(
            "tags_gone",
            f"{len(gone)} of {len(known)} tags of the backup {job.point.id} are not in this vCenter, "
            f"or this user may not see them: {', '.join(gone)}.",
            hint="Tags are known by their IDs, so one that was made again is another one. Leave tags out of settings.",
            tags=gone,
        )
    return missing


def attach_tags(job: RestoreTask) -> None:
    """Attach the tags that the VM lacks; the calls do not grow with their number.

    :raises NotFound: some were not attached, such as those whose category allows one alone.
    """
    wanted = job.settings.tags
    with RestSession(job.session.options, job.session.warn, job.task.deadline) as rest:
        reasons = tags.attach(rest, job.target.moid, wanted)
        now = tags.attached_to(rest, job.target.moid)
    job.settings.attached = sorted(name for key, name in wanted.items() if key in now)
    left = [name for key, name in wanted.items() if key not in now]
    if left:
        if job.settings.attached:
            job.item.parts.append(Part(ATTACH_TAGS, DONE[ATTACH_TAGS]))
        why = "; ".join(reasons) or "vCenter does not say why"
        raise NotFound(
            f"{len(left)} of {len(wanted)} tags were not attached to {job.target.path}: {', '.join(sorted(left))} ({why}).",
            hint="Look whether this vCenter has them, and whether their categories allow another one.",
        )
