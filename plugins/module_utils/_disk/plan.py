# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is to be done with a disk, by what is asked for and what there is. Pure."""

from __future__ import annotations

import dataclasses
import typing as t

from .._errors import InvalidOption
from .._text import size
from .._vsphere import directories
from .._vsphere.flat import without_files
from .._vsphere.transports import store_of
from .model import AUTO, CONTENT, DATASTORE, LEASE, VMDK

if t.TYPE_CHECKING:
    from .._vsphere.datastore_files import DatastorePath
    from .._vsphere.disks import Disk
    from .model import DiskOptions, DiskVm, Output

# The steps, which are also what the result calls them.
EXPORT, IMPORT, COPY, CONVERT, DELETE = "exported", "imported", "copied", "converted", "deleted"
DESCRIBE = "described"

# For the diff, of a place in which there is nothing.
NOT_THERE = "not there"

# Backings of which one file has the whole content, byte by byte.
_FLAT = "FlatVer2"

# Two areas are fetched in one when what lies between them costs less than a request.
_GAP = 256 * 1024


class Exists(InvalidOption):
    """Something else is in the place of a disk that is to be made."""

    error_code = "exists"


@dataclasses.dataclass(frozen=True)
class Route:
    """How a disk of a VM comes here.

    :ivar transport: ``datastore`` or ``lease``.
    :ivar why: the other one was not chosen; for the result.
    """

    transport: str
    why: str


def route(options: DiskOptions, vm: DiskVm, disk: Disk) -> Route:
    """Choose how a disk comes.

    :raises InvalidOption: it cannot come as the options ask for.
    """
    if disk.physical or "RawDisk" in disk.backing:
        raise InvalidOption(
            f"{disk.label} of {vm.path} is a raw device, which is no file.",
            hint="Read it where it is mapped from.",
            option="disk",
        )
    if disk.sector_format:
        raise InvalidOption(
            f"{disk.label} of {vm.path} has the sector format {disk.sector_format}, which a file does not keep: imported, "
            "its sectors would have 512 bytes.",
            hint="Have vCenter clone the VM (backup_clone, linked_clone).",
            option="disk",
        )
    obstacle = _no_files(options, vm, disk)
    if options.transport == DATASTORE and obstacle:
        raise not_over_datastore(vm, disk, obstacle)
    if disk.mode.startswith("independent") and obstacle and vm.power_state != "poweredOff":
        raise InvalidOption(
            f"{disk.label} of {vm.path} is independent: no snapshot has it, so it can be exported only while the VM is off.",
            option="disk",
        )
    if options.transport == LEASE or (options.transport == AUTO and obstacle):
        return Route(LEASE, obstacle or "the options ask for a lease")
    return Route(DATASTORE, "")


def not_over_datastore(vm: DiskVm, disk: Disk, why: str) -> InvalidOption:
    """A disk was to be read over its datastore, and cannot be."""
    return InvalidOption(
        f"{disk.label} of {vm.path} cannot be read over its datastore: {why}.",
        hint="Set transport to auto or to lease.",
        option="transport",
    )


def _no_files(options: DiskOptions, vm: DiskVm, disk: Disk) -> str:
    """Why a disk cannot be read over the path of its datastore; empty where it can."""
    if options.snapshot is not None:
        return "it is that of a snapshot"
    if vm.power_state != "poweredOff":
        return "the VM is not powered off, and its host has locked the file"
    if disk.levels:
        return "it is a delta disk, whose content is in several files"
    if disk.backing != _FLAT:
        return f"its backing is {disk.backing}"
    return without_files(store_of(vm.stores, disk).kind)


def check_verify(options: DiskOptions, kind: str) -> None:
    """Make sure that an imported disk can be proved as the options ask for.

    :param kind: of its datastore.
    :raises InvalidOption: it cannot be read back.
    """
    if options.verify == CONTENT and without_files(kind):
        raise InvalidOption(
            f"{options.on_datastore} cannot be read back: {without_files(kind)}.",
            hint="Set verify to manifest.",
            option="verify",
        )


def check_folder(path: DatastorePath, kind: str, option: str) -> None:
    """Make sure that a disk is in a folder where there is no other place for it.

    :param kind: of its datastore.
    :raises InvalidOption: it is not.
    """
    if kind in directories.OF_OBJECTS and not path.folder:
        raise InvalidOption(
            f"{option} is {path}, and a datastore of the kind {kind} has no files outside of folders.",
            hint=f"Name a folder: '[{path.datastore}] images/{path.name}'. It is made.",
            option=option,
        )


def spans(areas: t.Iterable[tuple[int, int]] | None, capacity: int) -> list[tuple[int, int]]:
    """What is fetched: starts and lengths, in their order, near ones in one.

    :param areas: that are in use; None where that is not known, and all is fetched.
    """
    if areas is None:
        return [(0, capacity)] if capacity else []
    found: list[tuple[int, int]] = []
    for start, length in sorted(areas):
        end = min(start + length, capacity)
        if end <= start:
            continue
        if found and start - (found[-1][0] + found[-1][1]) <= _GAP:
            first = found[-1][0]
            found[-1] = (first, max(end, first + found[-1][1]) - first)
        else:
            found.append((start, end - start))
    return found


def rest(wanted: t.Iterable[tuple[int, int]], done: int) -> list[tuple[int, int]]:
    """What is left of the spans from a place on."""
    left = []
    for start, length in wanted:
        end = start + length
        if end > done:
            begin = max(start, done)
            left.append((begin, end - begin))
    return left


def in_short(facts: t.Mapping[str, t.Any]) -> str:
    """A disk in a few words, for the diff: its format, its capacity, and how it takes space, as far as that is known.

    :param facts: as entries of results have them.
    """
    kind = str(facts.get("format") or VMDK)
    subformat = facts.get("subformat") or facts.get("create_type")
    words = [f"{kind} ({subformat})" if subformat else kind]
    if facts.get("capacity"):
        words.append(size(facts["capacity"]))
    if facts.get("provisioning"):
        words.append(str(facts["provisioning"]))
    elif facts.get("create_type") in _ON_DATASTORES:
        words.append("thin" if facts.get("thin") else "thick")
    return ", ".join(words)


def made_in_short(output: Output, capacity: int) -> str:
    """The same, of a file that is to be made."""
    return in_short({"format": output.format, "subformat": output.subformat, "capacity": capacity})


# Kinds of VMDKs of which their descriptor says whether they are thin.
_ON_DATASTORES = ("vmfs", "vmfsThin", "vsan")


def check_kind(place: str, asked: t.Mapping[str, str], known: t.Mapping[str, t.Any]) -> None:
    """Make sure that a disk which is in the place already is of the kind that is asked for.

    :param asked: options and their values; an empty one is not asked for.
    :param known: what is known of the disk, by the same names.
    :raises Exists: it is of another kind.
    """
    other = [name for name, value in asked.items() if value and known.get(name) and known[name] != value]
    if other:
        there = " and ".join(f"{name} {known[name]}" for name in other)
        wanted = " and ".join(f"{name} {asked[name]}" for name in other)
        raise Exists(
            f"{place} is there already, with {there}, and {wanted} is asked for.",
            hint="Set force to import it again, or ask for what the disk has.",
            option=other[0],
        )


def check_free(place: str, *, there: bool, ours: bool, force: bool) -> None:
    """Make sure that a disk may be made in its place.

    :param there: whether something is there.
    :param ours: whether that is what an earlier run has made of an older state of the same source.
    :raises Exists: it may not.
    """
    if there and not ours and not force:
        raise Exists(
            f"{place} is there already, and was not made of this source.",
            hint="Set force to replace it, or choose another place.",
        )
