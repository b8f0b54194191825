# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is done with one disk of a point on this machine: written, verified, restored."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
import typing as t

from .. import _files
from . import images
from .audit import Auditing
from .blockmap import BlockMap
from .copying import Copied, Copying, not_as_backed_up, prove, read_back
from .images import Nbd
from .model import BLOCK, BackupDamaged, DiskBackup, Point, ToolFailed, ToolNotRun
from .repository import Known, Machine

_RESTORED = "restored image"


@dataclasses.dataclass(frozen=True, kw_only=True)
class NewDisk:
    """A disk of which a backup is made.

    :ivar capacity: in bytes, as vSphere has it: what a server says may be rounded.
    :ivar change_id, identity, reason, delta: see ``DiskBackup``.
    """

    key: int
    label: str
    unit: str
    capacity: int
    change_id: str | None
    identity: str
    transport: str
    reason: str = ""
    delta: str = ""

    @property
    def file(self) -> str:
        """The name of its image."""
        return f"disk-{self.key}.qcow2"


@dataclasses.dataclass(frozen=True)
class Earlier:
    """What a disk was at the point before."""

    point: Point
    disk: DiskBackup


@dataclasses.dataclass
class Staged:
    """A disk that was copied into a staged folder, and not read back yet.

    :ivar below: path of the image that its own stands on; empty where it stands on none.
    :ivar streams: connections at the same time.
    """

    disk: NewDisk
    earlier: Earlier | None
    path: str
    below: str
    copied: Copied
    streams: int


def copy(
    machine: Machine,
    staged: str,
    disk: NewDisk,
    earlier: Earlier | None,
    areas: t.Iterable[tuple[int, int]],
    copying: Copying | Auditing,
    deadline: float,
) -> Staged:
    """Write the image of a disk into a staged folder, with the digests of what is read whole.

    :param earlier: what ``areas`` are the changes of; None where they are all that may hold data.
    :raises VforgeError: when it could not be read or written.
    """
    path = os.path.join(staged, disk.file)
    over = f"../{earlier.point.id}/{earlier.disk.file}" if earlier else None
    images.create(path, disk.capacity, over, deadline, machine.go_on)
    with (
        _new_map(machine, f"{path}.sha256", disk, earlier) as digests,
        Nbd.images(path, copying.streams, write=True) as connections,
    ):
        if earlier is not None:
            _note_grown(machine, earlier, connections[0], digests)
        copied = copying.copy(areas, connections, digests)
    below = machine.path_of(earlier.point, earlier.disk) if earlier else ""
    return Staged(disk, earlier, path, below, copied, copying.streams)


def finish(staged: Staged, go_on: t.Callable[[], None]) -> DiskBackup:
    """Read back what was written, compare it, and complete the digests.

    :param go_on: is called between two blocks; raises why it is to end.
    :raises ReadBackFailed: it does not read as it was written.
    :raises BackupDamaged: what it has from the earlier image is not what was backed up.
    """
    disk, earlier, copied = staged.disk, staged.earlier, staged.copied
    with (
        BlockMap(f"{staged.path}.sha256", disk.capacity, write=True) as digests,
        Nbd.images(staged.path, staged.streams) as connections,
        _below(staged) as below,
    ):
        read_back(copied, connections, below, digests, go_on)
        digest = digests.digest()
    return DiskBackup(
        key=disk.key,
        label=disk.label,
        unit=disk.unit,
        capacity=disk.capacity,
        file=disk.file,
        backing=earlier.point.id if earlier else "",
        digests=digest,
        change_id=disk.change_id,
        identity=disk.identity,
        transport=disk.transport,
        read=copied.read,
        written=copied.written,
        tracking="active" if disk.change_id else "not_active",
        reason=disk.reason,
        delta=disk.delta,
    )


@contextlib.contextmanager
def _below(staged: Staged) -> t.Iterator[t.Sequence[Nbd | None]]:
    """Connections to the image that a new one stands on, where they are needed."""
    if not staged.below or not staged.copied.parts:
        yield [None] * staged.streams
        return
    with Nbd.images(staged.below, staged.streams) as connections:
        yield connections


def _new_map(machine: Machine, path: str, disk: NewDisk, earlier: Earlier | None) -> BlockMap:
    if earlier is None:
        return BlockMap.create(path, disk.capacity, None)
    # Digests that were changed must not live on in new points.
    with machine.digests_of(earlier.point, earlier.disk) as known:
        return BlockMap.create(path, disk.capacity, known.path, earlier.disk.capacity)


def _note_grown(machine: Machine, earlier: Earlier, image: Nbd, digests: BlockMap) -> None:
    """Note the digest of the block in which the earlier disk ended, where there is more of it now:
    the rest is zeros yet.

    :raises BackupDamaged: the earlier image is not what its digests say.
    """
    block, there = divmod(earlier.disk.capacity, BLOCK)
    if not there or earlier.disk.capacity == digests.capacity:
        return
    data = image.read(block * BLOCK, digests.length(block))
    with machine.digests_of(earlier.point, earlier.disk) as known:
        if hashlib.sha256(data[:there]).digest() != known[block]:
            raise not_as_backed_up(block * BLOCK)
    digests[block] = hashlib.sha256(data).digest()


@dataclasses.dataclass(frozen=True)
class Verified:
    """What was found of a disk that is as it was.

    :ivar read: bytes that were compared.
    :ivar leaked: bytes that its image took for nothing; ``mended`` whether they were given back.
    """

    read: int
    leaked: int
    mended: bool


def verify(machine: Machine, point: Point, disk: DiskBackup, deadline: float, known: Known | None = None) -> Verified:
    """Read a disk whole, and compare it with its digests.

    Clusters of its image that nothing refers to are given back. Where somebody else reads the image
    meanwhile, they stay.

    :param known: what there is of the VM, where that was looked up before.
    :raises BackupDamaged: when it is something else, the chain of its images is another
        one, or their tables are damaged.
    """
    path = machine.image_of(point, disk)
    (known or machine.known()).chain(point, disk.key)
    with images.damage_of(f"{disk.label} of the backup {point.id}"):
        images.check_backing(path, disk.backing_name, deadline)
        leaked = images.check(path, deadline)
        mended = bool(leaked) and _mended(path, deadline)
        with machine.digests_of(point, disk) as digests:
            read = prove(path, digests, range(digests.count), deadline)
    return Verified(read, leaked, mended)


def _mended(path: str, deadline: float) -> bool:
    try:
        return images.check(path, deadline, mend=True) > 0
    except (ToolFailed, ToolNotRun):
        return False  # qemu-img's own lock: somebody reads it


def holds(machine: Machine, point: Point, disk: DiskBackup, path: str, form: str, deadline: float) -> bool:
    """Whether a file has a disk as it was at a point, to its last byte."""
    if not os.path.exists(path):
        return False
    try:
        if form == "qcow2" and images.backing_of(path, deadline) is not None:
            return False  # it reads so only as long as the other one is there
        with machine.digests_of(point, disk) as digests:
            prove(path, digests, range(digests.count), deadline, form)
    except (BackupDamaged, ToolFailed, ToolNotRun):
        return False
    return True


def restore(
    machine: Machine, point: Point, disk: DiskBackup, target: str, form: str, deadline: float, *, streamed: bool = False
) -> int:
    """Write a disk as it was at a point into a file of this machine.

    :param target: the file; what is there is replaced when the new one is proved, and not before.
    :param form: ``raw``, ``qcow2`` or ``vmdk``; a ``streamed`` VMDK is as packages have them.
    :returns: how many bytes were compared with the digests.
    :raises VforgeError: when it cannot be; nothing is left then.
    """
    source, what = machine.image_of(point, disk), f"{disk.label} of the backup {point.id}"
    with images.damage_of(what):
        images.backing_of(source, deadline)
    folder, name = os.path.split(os.path.abspath(target))
    with _files.open_folder(folder, what=_RESTORED) as place:
        place.sweep(name)
        draft = _files.Draft(place, name)
        try:
            images.convert(source, draft.path, form, deadline, streamed=streamed)
            with machine.digests_of(point, disk) as digests:
                compared = prove(draft.path, digests, range(digests.count), deadline, form, what)
            draft.finish()
        finally:
            draft.abandon()
    return compared
