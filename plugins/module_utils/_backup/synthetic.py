# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Synthetic fulls: a point whose images get all that they have from earlier points, without a VM
being read.

It is what keeps chains short: each image below another one costs whoever reads it an open file. The
order makes it safe to end at any moment:

1. The content of each image is written into a new one beside it, and proved by the digests.
2. A file in the point says that all of them are whole. Without it, the next run
    removes them; with it, it goes on.
3. They take the places of the old ones, which read the same; then the manifest is written.

Points that stand on this one find its images under the names that they had.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import typing as t

from .. import _files
from . import images
from .copying import prove
from .storage import explained, is_there, names, remove, sync, write

if t.TYPE_CHECKING:
    from .model import DiskBackup, Point
    from .repository import Machine

_DRAFT = ".full"
_MARK = "merging"


def make_full(machine: Machine, point: Point, deadline: float) -> Point:
    """Make a point one that needs no other.

    :returns: the point as it is now; it is the same where it needed none.
    :raises VforgeError: when an image is damaged, or there is no room; the point is as it was then.
    """
    due = [disk for disk in point.disks if disk.backing]
    if not due:
        return point
    try:
        for disk in due:
            _merge(machine, point, disk, deadline)
        write(os.path.join(machine.folder_of(point), _MARK), b"")
        with explained(machine.folder_of(point)):
            sync(machine.folder_of(point))
    except BaseException:
        _abandon(machine, point.id)
        raise
    return _finish(machine, point, deadline)


def put_right(machine: Machine, name: str, deadline: float) -> bool:
    """Go on with what was whole, remove what was not.

    :returns: whether there was anything.
    :raises BackupDamaged, ToolFailed: when an image that was to be replaced cannot be
        read, or stands on another one.
    """
    found = names(machine.at(name))
    if _MARK in found:
        _finish(machine, machine.read(name), deadline)
        return True
    if any(each.endswith(_DRAFT) for each in found):
        _abandon(machine, name)
        return True
    return False


def _merge(machine: Machine, point: Point, disk: DiskBackup, deadline: float) -> None:
    image = machine.image_of(point, disk)
    draft = f"{image}{_DRAFT}"
    with images.damage_of(f"{disk.label} of the backup {point.id}"):
        images.check_backing(image, disk.backing_name, deadline, machine.go_on)
    images.convert(image, draft, "qcow2", deadline, go_on=machine.go_on)
    with machine.digests_of(point, disk) as digests:
        prove(draft, digests, range(digests.count), deadline, go_on=machine.go_on)
    with explained(draft):
        sync(draft)


def _finish(machine: Machine, point: Point, deadline: float) -> Point:
    folder = machine.folder_of(point)
    with explained(folder):
        for disk in point.disks:
            image = machine.path_of(point, disk)
            # What is not there any more has its place already.
            with contextlib.suppress(FileNotFoundError):
                _files.rename(f"{image}{_DRAFT}", image)
        sync(folder)
    now = dataclasses.replace(point, disks=tuple(_as_it_is(machine, point, disk, deadline) for disk in point.disks))
    machine.rewrite(now)
    remove(os.path.join(folder, _MARK))
    with explained(folder):
        sync(folder)
    return now


def _as_it_is(machine: Machine, point: Point, disk: DiskBackup, deadline: float) -> DiskBackup:
    """A disk as its image is now. An image whose new one was lost still needs what it stands on: a
    manifest that denied that would have the next prune remove it.
    """
    image = machine.image_of(point, disk)
    with images.damage_of(f"{disk.label} of the backup {point.id}"):
        if images.backing_of(image, deadline, machine.go_on) is None:
            return dataclasses.replace(disk, backing="")
        images.check_backing(image, disk.backing_name, deadline, machine.go_on)
    return disk


def _abandon(machine: Machine, name: str) -> None:
    """Remove what is not whole; first the file that says that it is, which may be there when
    writing it failed late.
    """
    folder = machine.at(name)
    with explained(folder):
        if is_there(os.path.join(folder, _MARK)):
            remove(os.path.join(folder, _MARK))
            sync(folder)
        for each in names(folder):
            if each.endswith(_DRAFT):
                remove(os.path.join(folder, each))
