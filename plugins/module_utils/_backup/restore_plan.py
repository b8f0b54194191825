# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is to be done to restore disks into a VM, from the point and what the VM has. Pure."""

from __future__ import annotations

import dataclasses
import re
import typing as t

from .._errors import CodedError
from .._vsphere.datastore_files import DatastorePath
from .._vsphere.flat import without_files
from .restore_options import CONTENT, REFUSE

if t.TYPE_CHECKING:
    from .._vsphere.disks import Disk
    from .model import DiskBackup, Point
    from .restore_options import IntoOptions
    from .restore_record import Record
    from .targets import Target

# The steps, in their order.
REMOVE_LEFTOVERS, BRING_IN, POWER_OFF = "remove_leftovers", "bring_in", "power_off"
REMOVE_SNAPSHOTS, EXCHANGE, DELETE_REPLACED = "remove_snapshots", "exchange", "delete_replaced"
SET_POLICIES, PUT_NVRAM_BACK, ATTACH_TAGS, POWER_ON = "set_policies", "put_nvram_back", "attach_tags", "power_on"

# What the result calls them.
DONE = {
    REMOVE_LEFTOVERS: "leftover_removed",
    BRING_IN: "disks_brought_in",
    POWER_OFF: "powered_off",
    REMOVE_SNAPSHOTS: "snapshots_removed",
    EXCHANGE: "disks_replaced",
    DELETE_REPLACED: "replaced_disks_deleted",
    SET_POLICIES: "storage_policies_set",
    PUT_NVRAM_BACK: "nvram_put_back",
    ATTACH_TAGS: "tags_attached",
    POWER_ON: "powered_on",
}


class NotRestored(CodedError):
    """A VM into which nothing can be restored as it is."""


@dataclasses.dataclass(frozen=True)
class Place:
    """A disk of a point, and where it goes.

    :ivar old: the disk that is there now; None where the place is free.
    :ivar controller, unit: key of the controller, and the number of the place there.
    :ivar provisioning: ``thin``, ``thick`` or ``eager_zeroed_thick``, as the old disk has it.
    """

    backup: DiskBackup
    old: Disk | None
    controller: int
    unit: int
    provisioning: str


@dataclasses.dataclass
class RestoredDisk:
    """What became of one disk of the point.

    :ivar file: path of the restored disk; empty until it is there.
    :ivar compared: how it was proved: ``content`` or ``manifest``, ``size`` or ``nothing``; empty as
        long as it is not here.
    :ivar not_read: why it was not proved by its content; empty
        where it was, or nobody asked for it.
    :ivar unchanged: whether the VM's disk has what the point has, and was left alone.
    :ivar keeps: why the disk that it replaces stays; empty where it is deleted.
    :ivar deleted: whether that disk is deleted.
    :ivar policies: IDs of the storage policies that the restored disk has from its beginning.
    """

    place: Place
    file: str = ""
    compared: str = ""
    not_read: str = ""
    unchanged: bool = False
    keeps: str = ""
    deleted: bool = False
    policies: tuple[str, ...] = ()


def places(target: Target, point: Point, wanted: t.Sequence[DiskBackup]) -> list[Place]:
    """Where the disks of a point go: where they were.

    :raises NotRestored: a place is not there, or has what cannot be replaced.
    """
    return [_place(target, point, disk) for disk in wanted]


def _place(target: Target, point: Point, disk: DiskBackup) -> Place:
    controller, _colon, unit = disk.unit.rpartition(":")
    key = target.controllers.get(controller)
    if key is None or not unit.isdigit():
        raise NotRestored(
            "no_controller",
            f"{disk.label} of {point.id} was at {disk.unit}, and {target.path} has no controller {controller}.",
            hint=f"It has {', '.join(sorted(target.controllers)) or 'none'}. Add the controller, or name other disks.",
        )
    old = target.at(disk.unit)
    if old is not None:
        check_old(target, old)
    provisioning = target.thick.get(old.key, "thin") if old is not None else "thin"
    return Place(disk, old, key, int(unit), provisioning)


def check_old(target: Target, old: Disk) -> None:
    """Refuse a disk that no other one may take the place of.

    :raises NotRestored: with the reason.
    """
    if old.physical or "RawDisk" in old.backing:
        raise NotRestored(
            "raw_device",
            f"{old.label} of {target.path} is a raw device, which is not replaced by a disk.",
            hint="Restore to a file (dest), and write that onto the device.",
        )
    if old.sector_format:
        raise NotRestored(
            "sector_format",
            f"{old.label} of {target.path} has the sector format {old.sector_format}, "
            "and a restored disk has sectors of 512 bytes.",
            hint="Restore to a file (dest), or detach that disk first.",
        )
    if old.key in target.first_class:
        raise NotRestored(
            "first_class_disk",
            f"{old.label} of {target.path} is a first class disk, which others know by its ID.",
            hint="Detach it first, or restore to a file (dest).",
        )


def check(target: Target, options: IntoOptions) -> None:
    """Refuse, before anything is done, a VM into which nothing can be restored.

    :raises NotRestored: with the reason.
    """
    if target.template:
        raise NotRestored("template", f"{target.path} is a template.", hint="Convert it to a VM first, or restore to a new VM.")
    if target.encrypted:
        raise NotRestored(
            "encrypted",
            f"{target.path} is encrypted, and a restored disk would not be.",
            hint="Restore to files (dest), or to a new VM.",
        )
    check_consolidated(target)
    if target.snapshots and options.snapshots == REFUSE:
        raise NotRestored(
            "snapshots",
            f"{target.path} has {len(target.snapshots)} snapshots, which belong to the disks that it has now.",
            hint="Set snapshots to remove, and they go when the restored disks have come.",
            snapshots=[snapshot.path for snapshot in target.snapshots],
        )


def check_consolidated(target: Target) -> None:
    """Refuse a VM whose disks have to be consolidated first.

    :raises NotRestored: they have to.
    """
    if target.consolidate:
        raise NotRestored(
            "consolidation_needed",
            f"The disks of {target.path} need consolidation.",
            hint="Consolidate its disks (Snapshots > Consolidate), then run again.",
        )


def check_power(target: Target, options: IntoOptions) -> None:
    """Refuse a VM that runs, where disks are to be replaced.

    :raises NotRestored: and it is not to be powered off, or cannot be.
    """
    if target.power_state == "suspended":
        # PowerOffVM_Task is for VMs that are on (API reference), and what it has in memory belongs to the old disks.
        raise NotRestored(
            "not_powered_off",
            f"{target.path} is suspended, and its disks are to be replaced.",
            hint="Power it on and shut it down, then run again.",
            power_state=target.power_state,
        )
    if not target.powered_off and not options.power_off:
        raise NotRestored(
            "not_powered_off",
            f"{target.path} is not powered off, and its disks are to be replaced.",
            hint="Shut it down, or set power_off to true.",
            power_state=target.power_state,
        )


def check_verify(target: Target, options: IntoOptions, due: t.Sequence[Place]) -> None:
    """Refuse a proof that the datastores do not allow.

    :raises NotRestored: a disk would have to be read where none can be.
    """
    if options.verify != CONTENT:
        return
    for place in due:
        obstacle = without_files(target.stores.get(beside(target, place).datastore, ""))
        if obstacle:
            raise NotRestored(
                "not_readable",
                f"{place.backup.label} could not be read back: {obstacle}.",
                hint="Set verify to auto or manifest.",
            )


def same_disks(before: Target, now: Target) -> bool:
    """Whether a VM has the disks that it had, at the same places; what its snapshots had put on
    them may be gone.
    """
    if [disk.unit for disk in before.disks] != [disk.unit for disk in now.disks]:
        return False
    if not before.snapshots:
        return [disk.files for disk in before.disks] == [disk.files for disk in now.disks]
    return all(_of_base(then, disk) for then, disk in zip(before.disks, now.disks, strict=True))


def _of_base(then: Disk, now: Disk) -> bool:
    """Whether a disk is what is left of another one whose snapshots went: it has the same base, or
    is named after it, where a linked clone stands on that.
    """
    stem = "".join(then.files[-1:]).removesuffix(".vmdk")
    return then.files[-1:] == now.files[-1:] or re.fullmatch(rf"{re.escape(stem)}-\d{{6}}\.vmdk", now.file) is not None


def steps(
    target: Target,
    options: IntoOptions,
    due: t.Sequence[Place],
    *,
    nvram: bool,
    tags: bool,
    leftovers: bool,
    policies: bool = False,
) -> tuple[str, ...]:
    """What is done, in its order.

    :param due: the disks that are to be restored.
    :param nvram: whether the settings of the firmware are put back; ``tags`` whether tags are attached.
    :param leftovers: whether runs that were killed have left anything.
    :param policies: whether disks that stay get other storage policies.
    """
    found = [REMOVE_LEFTOVERS] if leftovers else []
    if due:
        found += [BRING_IN]
        found += [POWER_OFF] if not target.powered_off else []
        found += [REMOVE_SNAPSHOTS] if target.snapshots else []
        found += [EXCHANGE]
        found += [DELETE_REPLACED] if any(place.old for place in due) and not options.keep_replaced else []
    elif nvram and not target.powered_off:
        found += [POWER_OFF]
    found += [SET_POLICIES] if policies else []
    found += [PUT_NVRAM_BACK] if nvram else []
    found += [ATTACH_TAGS] if tags else []
    if options.powered_on and (due or nvram or target.powered_off):
        found += [POWER_ON]
    return tuple(found)


@dataclasses.dataclass(frozen=True)
class Leftovers:
    """What runs that were killed have left.

    :ivar deletable: disks that belong to no VM as far as the record knows.
    :ivar settled: disks of the record that need no care: the VM has them, or somebody
        else has taken the place of both.
    :ivar kept: disks that were taken off the VM and stay: in their place is another one than the
        restored, or replaced disks are to be kept.
    :ivar carried: disks of which the VM that was made for their import is left.
    """

    deletable: tuple[str, ...] = ()
    settled: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    carried: tuple[str, ...] = ()


def leftovers(target: Target, record: Record, wanted: t.Collection[str], *, keep_replaced: bool) -> Leftovers:
    """What is to become of the disks of the record.

    :param wanted: digests of the disks that are restored now: what was
        brought in for them is of use.
    :param keep_replaced: whether disks that were replaced stay, those of earlier runs among them.
    """
    attached = {file for disk in target.disks for file in disk.files}
    settled = [file for file in record.made if file in attached]
    deletable = [
        made.file
        for made in record.made.values()
        if made.file not in attached and not (made.compared and made.digests in wanted)
    ]
    kept = []
    for each in record.replaced.values():
        if each.file in attached:
            settled.append(each.file)  # they were not exchanged
        elif each.by in attached and not keep_replaced:
            deletable.append(each.file)
        else:
            kept.append(each.file)
    return Leftovers(tuple(deletable), tuple(settled), tuple(kept), tuple(sorted(record.carried)))


def beside(target: Target, place: Place) -> DatastorePath:
    """A file in whose folder the new disk is made: the old one, or that of the VM's
    configuration where the place is free.
    """
    return DatastorePath.parse(place.old.file if place.old is not None else target.vmx, "disk")


def new_file(place: Place, point: Point, near: DatastorePath, taken: t.Callable[[str], bool]) -> str:
    """The path of a new disk, with a name that nobody has.

    :param near: a file of its folder, see ``beside``; on NFS and VMFS it may
        lie at the top of its datastore.
    """
    stem = f"restored-{point.id}-{place.backup.unit.replace(':', '-')}"
    number = 1
    while taken(path := str(near.beside(f"{stem}.vmdk" if number == 1 else f"{stem}-{number}.vmdk"))):
        number += 1
    return path
