# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Points that go. The one that stands on such a point, its heir, gets what it has.

The order makes it safe to end at any moment; the next run goes on where it ended:

1. What the heir has itself is proved, so that nothing is begun with images that are damaged, nor without room for it.
2. A file in the point says that it goes, and who its heir is. From here on it is no point any more.
3. What the heir has is written into the point's image (``qemu-img commit``), and
   proved again. Meanwhile the heir reads as ever: what it has itself is read from
   it, and the rest does not change.
4. That image takes the place of the heir's, by one rename; then the heir's manifest is written.
5. The point's folder gets another name, and is removed.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import os
import typing as t

from .. import _files
from .._errors import NotFound, VforgeError
from . import images, records
from .copying import blocks_of, prove
from .model import BackupDamaged, ToolFailed, is_point_id
from .storage import discard, explained, is_file, is_there, names, sync, write

if t.TYPE_CHECKING:
    from .model import DiskBackup, Point
    from .repository import Known, Machine

# What the folder of a point is called when all that is of use was taken out of it.
GONE = ".removed-"

# In a point that goes: the ID of its heir, or nothing.
_MARK = "removing"
_MOST_MARK = 4096


def is_begun(machine: Machine, identifier: str) -> bool:
    """Whether a point is being removed."""
    return is_there(os.path.join(machine.at(identifier), _MARK))


def remove(machine: Machine, known: Known, point: Point, deadline: float) -> Known:
    """Remove a point.

    :param known: what there is of the VM, the point among it.
    :returns: what there is then.
    :raises BackupDamaged, ToolFailed: when what its heir has is damaged, or nobody can say
        whether it has one; nothing is begun then.
    :raises FileUnwritable: when there is no room for it; nothing is begun then, either.
    """
    heirs = heirs_of(machine, known, point, deadline)
    for heir in heirs:
        _prove_before(machine, point, heir, deadline)
        _check_room(machine, point, heir, deadline)
    write(os.path.join(machine.folder_of(point), _MARK), b"\n".join(heir.id.encode() for heir in heirs))
    with explained(machine.folder_of(point)):
        sync(machine.folder_of(point))
    now = {heir.id: heir for heir in _finish(machine, point, heirs, deadline)}
    left = tuple(now.get(each.id, each) for each in known.points if each.id != point.id)
    return dataclasses.replace(known, points=left)


def heirs_of(machine: Machine, known: Known, point: Point, deadline: float) -> list[Point]:
    """The points that stand on one: there is one at most.

    :raises BackupDamaged: there are several, or one may be among them whose manifest is damaged, or that is not there:
        with this point it would lose what it can still be restored from.
    :raises FileRefused: the folder of one lies elsewhere, so that its images could not take the places of others.
    """
    heirs = _heirs(machine, known, point, deadline)
    for each in (point, *heirs):
        _refuse_elsewhere(machine, each)
    return heirs


def _refuse_elsewhere(machine: Machine, point: Point) -> None:
    path = machine.folder_of(point)
    with explained(path, _files.FileUnreadable):
        elsewhere = os.path.islink(path) or os.stat(path).st_dev != os.stat(machine.place).st_dev
    if elsewhere:
        raise _files.FileRefused(
            f"{path} is a link, or on another file system than the other backups of its VM, so {point.id} cannot be merged.",
            hint="Move the folder itself back to this place.",
            path=path,
        )


def _heirs(machine: Machine, known: Known, point: Point, deadline: float) -> list[Point]:
    heirs = [other for other in known.points if point.id in other.backings]
    if len(heirs) > 1:
        raise BackupDamaged(
            f"{len(heirs)} points stand on {point.id}, where only one should: {', '.join(heir.id for heir in heirs)}.",
            hint="Restore the repository from another copy of it, or remove all but one of them.",
            path=machine.at(point.id),
        )
    if heirs:
        return heirs
    for name in known.damaged:
        below = _below(machine, name, deadline)
        if below is None or point.id in below:
            raise BackupDamaged(
                f"{name} {'stands' if below else 'may stand'} on {point.id}, and is damaged itself.",
                hint=f"Restore the folder {name} from another copy of the repository, or remove it.",
                path=machine.at(name),
            )
    for name, above in known.lost.items():
        if point.number < above.number:
            raise BackupDamaged(
                f"{name} may stand on {point.id}, and is not there.",
                hint=f"Restore the folder {name} from another copy of the repository, or remove {above.id}, which needs it.",
                path=machine.at(name),
            )
    return []


def _below(machine: Machine, name: str, deadline: float) -> set[str] | None:
    """The points that a damaged one stands on, as its manifest or else its images say; None where
    they do not say it.
    """
    with contextlib.suppress(VforgeError):
        return machine.read(name).backings
    folder = machine.at(name)
    found: set[str] = set()
    paths = [os.path.join(folder, each) for each in names(folder) if each.endswith(".qcow2")]
    for path in paths:
        if not is_file(path):
            return None
        try:
            backing = images.backing_of(path, deadline, machine.go_on)
        except ToolFailed:
            return None
        if backing:
            found.add(os.path.basename(os.path.dirname(backing)))
    return found if paths else None


def finish(machine: Machine, name: str, deadline: float) -> None:
    """Go on with a removal that was begun.

    :raises VforgeError: when what it needs is damaged or not there.
    """
    path = os.path.join(machine.at(name), _MARK)
    words = _files.read(path, _MOST_MARK, what="file of the backup").decode(errors="replace").split()
    try:
        heirs = [_heir(machine, word) for word in words]
        point = machine.read(name)
    except NotFound as error:
        # What was taken out of a point before may be all that its heir needed; nobody can tell
        # here.
        raise BackupDamaged(
            f"The removal of {name} cannot be finished: {error.message}",
            hint=f"Restore the folder of the VM from another copy of the repository. Where no other point has a backing "
            f"file in {name}, remove {machine.at(name)}.",
            path=path,
        ) from error
    _finish(machine, point, heirs, deadline)


def _heir(machine: Machine, word: str) -> Point:
    if not is_point_id(word):
        raise NotFound(f"There is no backup {word[:40]!r}.")
    return machine.read(word)


def _finish(machine: Machine, point: Point, heirs: t.Sequence[Point], deadline: float) -> list[Point]:
    """Hand over what a point has, and remove it; the heirs as they are then."""
    now = [_hand_over(machine, point, heir, deadline) for heir in heirs]
    gone = os.path.join(machine.place, f"{GONE}{point.id}")
    with explained(machine.at(point.id)):
        _files.rename(machine.at(point.id), gone)
        sync(machine.place)
    discard(gone)
    return now


def _shared(point: Point, heir: Point) -> t.Iterator[tuple[DiskBackup, DiskBackup]]:
    """The disks of an heir that stand on the point, each after what it stands on."""
    for disk in heir.disks:
        below = point.disk(disk.key)
        if disk.backing == point.id and below is not None:
            yield below, disk


def _prove_before(machine: Machine, point: Point, heir: Point, deadline: float) -> None:
    for below, disk in _shared(point, heir):
        source, target = machine.image_of(point, below), machine.image_of(heir, disk)
        with images.damage_of(f"{disk.label} of the backup {point.id}, or of {heir.id},"):
            images.check_backing(source, below.backing_name, deadline, machine.go_on)
            images.check_backing(target, disk.backing_name, deadline, machine.go_on)
            images.check(source, deadline, go_on=machine.go_on)
            images.check(target, deadline, go_on=machine.go_on)
            with machine.digests_of(heir, disk) as digests:
                own = images.own_areas(target, deadline, machine.go_on)
                prove(target, digests, blocks_of(own), deadline, go_on=machine.go_on)


def _check_room(machine: Machine, point: Point, heir: Point, deadline: float) -> None:
    """Refuse to begin what could not be ended: until it was, no other point could be merged, and no new one stand on any.

    :raises FileUnwritable: what the heir has, and the point has not, is more than there is room for.
    """
    needed = 0
    for below, disk in _shared(point, heir):
        own = images.own_areas(machine.path_of(heir, disk), deadline, machine.go_on, data=True)
        there = images.own_areas(machine.path_of(point, below), deadline, machine.go_on, data=True)
        needed += _more(own, there)
    with explained(machine.place, _files.FileUnreadable):
        room = os.statvfs(machine.place)
    free = room.f_bavail * room.f_frsize
    # Some file systems do not say how large they are.
    if room.f_blocks and free < needed:
        raise _files.FileUnwritable(
            f"To merge {point.id} into {heir.id}, {needed} bytes have to be free in {machine.place}, and {free} are.",
            hint="Make room on its file system, then run again.",
            path=machine.place,
        )


def _more(own: t.Sequence[tuple[int, int]], there: t.Sequence[tuple[int, int]]) -> int:
    """How many bytes of areas are in none of other areas; both are sorted, and apart from each
    other.
    """
    found, others = 0, collections.deque(there)
    for start, length in own:
        found += length
        end = start + length
        while others and others[0][0] < end:
            first, size = others[0]
            found -= max(0, min(end, first + size) - max(start, first))
            if first + size > end:
                break
            others.popleft()
    return found


def _hand_over(machine: Machine, point: Point, heir: Point, deadline: float) -> Point:
    """Give an heir the images that it stands on, with what it has itself written into them; the
    heir as it is then.
    """
    shared = {disk.key: below for below, disk in _shared(point, heir)}
    records.forget_verified(machine, heir)
    for disk in heir.disks:
        if disk.key in shared:
            _hand_over_image(machine, point, heir, shared[disk.key], disk, deadline)
    disks = [dataclasses.replace(disk, backing=shared[disk.key].backing) if disk.key in shared else disk for disk in heir.disks]
    now = dataclasses.replace(heir, disks=tuple(disks))
    machine.rewrite(now)
    return now


def _hand_over_image(machine: Machine, point: Point, heir: Point, below: DiskBackup, disk: DiskBackup, deadline: float) -> None:
    source, target = machine.path_of(point, below), machine.path_of(heir, disk)
    if not is_there(source):
        # It was renamed by a run that died then.
        images.check_backing(target, below.backing_name, deadline, machine.go_on)
        return
    own = images.own_areas(target, deadline, machine.go_on)
    # One that was broken off is made again, and may have leaked clusters.
    images.commit(target, deadline, machine.go_on)
    images.check(source, deadline, mend=True, go_on=machine.go_on)
    with machine.digests_of(heir, disk) as digests:
        prove(source, digests, blocks_of(own), deadline, go_on=machine.go_on)
    with explained(target):
        sync(source)
        _files.rename(source, target)
        sync(os.path.dirname(target))
