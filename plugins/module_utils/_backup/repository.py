# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A repository: folders of points on any file system, readable without this collection.

::

    vm-<instance UUID>/
        points/
            20261129T011500Z-1f0e9c3a/      a point
                disk-2000.qcow2             over that of the point before, which lies beside it
                disk-2000.qcow2.sha256      a digest of each MiB
                vm.json                     what the VM was made of
                manifest.json               written last
                verified.json               when it was verified last; restored.json alike
            .staging-<run>/                 a point that is being written
    vm-<instance UUID>.lock

A point appears by one rename. What a run that died has left is removed, or finished, by the next
one that takes the lock.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import itertools
import os
import typing as t
import weakref

from .. import _files, _mounts
from .._errors import NotFound, VforgeError
from .._vsphere import hardware
from . import removal, synthetic
from .blockmap import BlockMap
from .images import GoOn, to_the_end
from .model import MACHINE_FILE, NVRAM_FILE, BackupDamaged, DiskBackup, Point, is_instance_uuid, is_point_id, second_of
from .storage import WHAT, discard, explained, is_file, is_read_only, is_there, make_folder, names, sync, write

MANIFEST = "manifest.json"
_VM, _POINTS, _STAGING = "vm-", "points", ".staging-"

X = t.TypeVar("X")

_MOST_MANIFEST = 16 * 2**20
_MOST_MACHINE = 4 * 2**20

_ELSEWHERE = "Restore it from another copy of the repository, or remove its point."


class RepositoryChanged(VforgeError):
    """A repository is not what it was when the run began with it."""

    error_code = "repository_changed"


class Repository:
    """The folder that holds the backups of all VMs.

    It is held open: as long as it lives, nobody can have mounted something in its place, or taken
    it away, without it being noticed.

    :param path: of a folder that is there, and that nobody else may write into.
    :raises FileMissing, FileRefused: when it is none.
    :raises NotMounted: it is to be on a file system of its own that is not there.
    """

    def __init__(self, path: str) -> None:
        self.path = os.path.abspath(path)
        _mounts.check(self.path, what=WHAT)
        self._held = _files.held_folder(self.path, what=WHAT)
        weakref.finalize(self, self._held.close)

    def still_there(self) -> None:
        """Make sure that its path leads to the folder that it led to.

        :raises RepositoryChanged: it does not.
        """
        try:
            if os.path.samestat(os.stat(self.path), os.fstat(self._held.handle)):
                return
            why = "another folder is in its place"
        except OSError as error:
            why = error.strerror or str(error)
        raise RepositoryChanged(
            f"The {WHAT} {self.path} is not there any more: {why}.",
            hint="Look whether its file system is still mounted, then run again.",
            path=self.path,
        )

    @property
    def vms(self) -> list[str]:
        """The instance UUIDs of the VMs that have backups."""
        found = [name.removeprefix(_VM) for name in names(self.path) if name.startswith(_VM)]
        self.still_there()
        return [name for name in found if is_instance_uuid(name) and self._has_any(name)]

    def _has_any(self, instance_uuid: str) -> bool:
        """Whether there is anything of a VM. Of one whose first backup has failed there is an empty folder."""
        try:
            return bool(names(os.path.join(self.folder(instance_uuid), _POINTS)))
        except _files.FileUnreadable:
            return True

    @property
    def doubts(self) -> list[str]:
        """A warning where it has no backup at all."""
        said = f"{self.path} has no backup of any VM. If it should have some, look whether its file system is mounted."
        return [] if self.vms else [said]

    def folder(self, instance_uuid: str) -> str:
        """The folder of a VM."""
        return os.path.join(self.path, f"{_VM}{instance_uuid}")

    @contextlib.contextmanager
    def locked(
        self,
        instance_uuid: str,
        deadline: float,
        show: t.Callable[[str], None],
        *,
        put_right: bool = True,
        writes: bool = True,
        go_on: GoOn = to_the_end,
    ) -> t.Iterator[Machine]:
        """The points of a VM, for this run alone; what runs that died have left is put right first.

        :param deadline: of ``time.monotonic()``, for others to finish.
        :param show: called with one sentence when there is something to wait for.
        :param put_right: False for who only reads: what cannot be put right must not keep
            whole points from being restored.
        :param writes: False for who only reads: where the repository is mounted read-only, it is not locked then. Should
            somebody change it elsewhere meanwhile, the digests say so.
        :param go_on: is called each second while the lock, a program or an image is waited
            for; raises why that is to end.
        :raises TimedOut: when others hold it until the deadline.
        """
        folder = self.folder(instance_uuid)
        # A qemu-nbd whose run was killed may still be writing.
        lock = _files.locked(folder, deadline, show, what=WHAT, by_programs=True, go_on=go_on)
        with contextlib.ExitStack() as held:
            try:
                held.enter_context(lock)
            except _files.FileUnwritable as error:
                if writes or not is_read_only(error):
                    raise
            # It may have been waited for for hours.
            self.still_there()
            machine = Machine(folder, self.still_there, go_on)
            if put_right:
                machine.put_right(deadline)
            yield machine

    def read(self, instance_uuid: str) -> Machine:
        """The points of a VM, only to look at: another run may change them meanwhile."""
        return Machine(self.folder(instance_uuid), self.still_there)


@dataclasses.dataclass(frozen=True)
class Known:
    """What there is of a VM.

    :ivar points: whose manifests are as they were written, and whose images are there, the oldest first.
    :ivar damaged: why it is none, by the names of the other folders.
    :ivar leaving: points whose removal a run has begun that died; whoever stands on them reads as ever.
    """

    points: tuple[Point, ...]
    damaged: t.Mapping[str, VforgeError]
    leaving: tuple[Point, ...] = ()

    @functools.cached_property
    def by_id(self) -> dict[str, Point]:
        """All that read as they were written, also while they are leaving."""
        return {each.id: each for each in (*self.leaving, *self.points)}

    @functools.cached_property
    def broken(self) -> dict[str, BackupDamaged]:
        """Why points cannot be read, although their manifests are as they were written: one that
        they stand on is damaged, or not there. By their IDs.
        """
        found = {}
        for point in self.points:
            try:
                self.longest_chain(point)
            except BackupDamaged as error:
                found[point.id] = error
        return found

    @property
    def lost(self) -> dict[str, Point]:
        """The points that are not there, and are stood on: by their IDs, with the point that stands
        on each.
        """
        there = self.by_id.keys() | self.damaged.keys()
        return {name: point for point in self.points for name in point.backings - there}

    @property
    def whole(self) -> list[Point]:
        """The points of which nothing is known that keeps them from being restored, the oldest
        first.
        """
        return [point for point in self.points if point.id not in self.broken]

    def chain(self, point: Point, key: int) -> list[Point]:
        """A point, and those that its image of a disk stands on, down to the base.

        :raises BackupDamaged: when one of them is not there, or does not have the disk.
        """
        found = [point]
        while (disk := found[-1].disk(key)) is not None and disk.backing:
            below = self.by_id.get(disk.backing)
            if below is None or below.disk(key) is None or below.number >= found[-1].number:
                raise BackupDamaged(
                    f"The backup {point.id} needs {disk.backing}, which is damaged or not there.",
                    hint=f"Restore the folder {disk.backing} from another copy of the repository, or remove both.",
                    point=disk.backing,
                )
            found.append(below)
        return found

    def longest_chain(self, point: Point) -> int:
        """How many images a reader of a point has open at most for one disk."""
        return max((len(self.chain(point, disk.key)) for disk in point.disks), default=0)

    def base(self) -> Point | None:
        """The newest point, where a new one can stand on it.

        None where there is none, where it stands on one that is damaged, and where one that is
        damaged may be newer: two points that stand on one could not be merged any more.
        """
        newest = self.points[-1] if self.points else None
        if newest is None or self._damaged_after(newest):
            return None
        try:
            self.longest_chain(newest)
        except BackupDamaged:
            return None
        return newest

    def next_number(self) -> int:
        """The number of a new point, which none of those has that are damaged, or leaving."""
        newest = self.points[-1] if self.points else None
        return max((each.number for each in (*self.points, *self.leaving)), default=0) + self._damaged_after(newest) + 1

    def _damaged_after(self, point: Point | None) -> int:
        """How many that are damaged may be newer than a point, as the seconds in their names say."""
        return sum(point is None or second_of(name) >= second_of(point.id) for name in self.damaged)


class Machine:
    """The points of one VM.

    :ivar folder: of the VM.
    :ivar go_on: is called each second while a program or an image is waited
        for; raises why that is to end.
    :ivar still_there: raises ``RepositoryChanged`` where the repository is not what it was.
    """

    def __init__(self, folder: str, still_there: t.Callable[[], None], go_on: GoOn = to_the_end) -> None:
        self.folder = folder
        self.still_there = still_there
        self.go_on = go_on
        self.place = os.path.join(folder, _POINTS)

    # What there is

    def known(self) -> Known:
        """All points, and what should be one and is none."""
        found: list[Point] = []
        leaving: list[Point] = []
        damaged: dict[str, VforgeError] = {}
        for name in filter(is_point_id, names(self.place)):
            begun = False
            try:
                begun = removal.is_begun(self, name)
                (leaving if begun else found).append(self.read(name) if begun else self._with_files(name))
            except NotFound:
                pass  # it was just removed
            except VforgeError as error:
                if not begun:
                    damaged[name] = error
        # What is not there may be all of it.
        self.still_there()
        return Known(tuple(sorted(found, key=lambda point: point.number)), damaged, tuple(leaving))

    def _with_files(self, name: str) -> Point:
        """The point of a folder, with the files of all its disks.

        :raises VforgeError: as ``read``; one of the files is not there.
        """
        point = self.read(name)
        for disk in point.disks:
            self.image_of(point, disk)
            self._map_of(point, disk)
        return point

    def newest_name(self) -> str:
        """The name that the VM had at its newest backup, by the times in their IDs; empty where
        none can be read: one damaged VM must not hide the others.

        It reads one manifest, unless that is damaged or there are several of one second: a VM is
        found by its name among thousands.
        """
        with contextlib.suppress(VforgeError):
            newest_first = filter(is_point_id, reversed(names(self.place)))
            for _second, same in itertools.groupby(newest_first, second_of):
                found = []
                for name in same:
                    with contextlib.suppress(VforgeError):
                        found.append(self.read(name))
                if found:
                    return max(found, key=lambda point: point.number).vm_name
        return ""

    @property
    def points(self) -> list[Point]:
        """All of them, the oldest first.

        :raises BackupDamaged: when a manifest was changed, or is not there.
        """
        found = self.known()
        for error in found.damaged.values():
            raise error
        return list(found.points)

    def point(self, identifier: str) -> Point:
        """One of them.

        :raises NotFound: when there is none; the message lists the newest.
        :raises BackupDamaged: when its manifest was changed. Those of others do not matter.
        """
        if is_point_id(identifier) and not removal.is_begun(self, identifier):
            with contextlib.suppress(NotFound):
                return self.read(identifier)
        newest = [point.id for point in reversed(self.known().points)][:5]
        raise NotFound(
            f"There is no backup {identifier} in {self.folder}.",
            hint=f"The newest are {', '.join(newest)}." if newest else "There is none at all.",
            known=newest,
        )

    def read(self, name: str) -> Point:
        """The point of a folder.

        :raises NotFound: when the folder is not there.
        :raises BackupDamaged: when its manifest was changed, or is not there.
        """
        path = os.path.join(self.at(name), MANIFEST)
        try:
            point = Point.from_json(_files.read(path, _MOST_MANIFEST, what="manifest"), path)
        except _files.FileMissing as error:
            if removal.is_begun(self, name) or not is_there(self.at(name)):
                raise NotFound(f"There is no backup {name} in {self.folder}.", hint="It was just removed.") from error
            raise BackupDamaged(f"{self.at(name)} has no manifest.", hint=_ELSEWHERE, path=path) from error
        uuid = os.path.basename(self.folder).removeprefix(_VM)
        if (point.id, point.instance_uuid) != (name, uuid):
            raise BackupDamaged(
                f"{path} is the manifest of {point.id} of the VM {point.instance_uuid}.",
                hint="Give each folder its own name again, or restore it from another copy of the repository.",
                path=path,
            )
        return point

    def at(self, identifier: str) -> str:
        """The folder of a point."""
        return os.path.join(self.place, identifier)

    def folder_of(self, point: Point) -> str:
        """The folder of a point."""
        return self.at(point.id)

    def path_of(self, point: Point, disk: DiskBackup) -> str:
        """The image of a disk."""
        return os.path.join(self.at(point.id), disk.file)

    def image_of(self, point: Point, disk: DiskBackup) -> str:
        """The same, of an image that is there.

        :raises BackupDamaged: when it is not, or is no file.
        """
        path = self.path_of(point, disk)
        if not is_file(path):
            raise BackupDamaged(
                f"{path}, the image of {disk.label}, is {'no file' if is_there(path) else 'not there'}.",
                hint=_ELSEWHERE,
                path=path,
            )
        return path

    def digests_of(self, point: Point, disk: DiskBackup) -> BlockMap:
        """The digests of a disk's blocks.

        :raises BackupDamaged: when they are not those that were written.
        """
        path = self._map_of(point, disk)
        with contextlib.ExitStack() as held:
            digests = held.enter_context(BlockMap(path, disk.capacity))
            if digests.digest() != disk.digests:
                raise BackupDamaged(f"{path} was changed since it was written.", hint=_ELSEWHERE, path=path)
            held.pop_all()
        return digests

    def _map_of(self, point: Point, disk: DiskBackup) -> str:
        path = os.path.join(self.at(point.id), disk.map_file)
        if not is_file(path):
            raise BackupDamaged(f"{path}, the digests of {disk.label}, is not there.", hint=_ELSEWHERE, path=path)
        return path

    def hardware_of(self, point: Point) -> hardware.Machine:
        """What the VM was made of.

        :raises NotFound: the point does not say it.
        :raises BackupDamaged: when it is not what was written.
        """
        if not point.machine:
            raise NotFound(
                f"The backup {point.id} does not say what its VM was made of: an earlier release has made it.",
                hint="Restore its disks, and make a VM around them with vm_from_disks.",
            )
        return self._said_of(point, hardware.from_json)

    def about_of(self, point: Point) -> dict[str, t.Any]:
        """What else the point says of its VM, such as its tags; empty where it says nothing.

        :raises BackupDamaged: when it is not what was written.
        """
        return self._said_of(point, hardware.about_from_json) if point.machine else {}

    def _said_of(self, point: Point, parsed: t.Callable[[bytes], X]) -> X:
        path = os.path.join(self.at(point.id), MACHINE_FILE)
        try:
            data = _files.read(path, _MOST_MACHINE, what=WHAT)
            if hashlib.sha256(data).hexdigest() == point.machine:
                return parsed(data)
        except (ValueError, _files.FileMissing):
            pass  # a newer release has written it, with what this one does not know
        raise BackupDamaged(
            f"{path} is not there, was changed since it was written, or is of a newer release of this collection.",
            hint="Restore it from another copy of the repository. The disks can be restored without it.",
            path=path,
        )

    def nvram_of(self, point: Point) -> bytes:
        """The settings of the VM's firmware; empty where the point has none.

        :raises BackupDamaged: when it is not what was written.
        """
        if not point.nvram:
            return b""
        path = os.path.join(self.place, point.id, NVRAM_FILE)
        try:
            data = _files.read(path, _MOST_MACHINE, what=WHAT)
        except _files.FileMissing:
            data = b""
        if hashlib.sha256(data).hexdigest() != point.nvram:
            raise BackupDamaged(
                f"{path} is not there, or was changed since it was written.",
                hint="Restore it from another copy of the repository. The disks can be restored without it.",
                path=path,
            )
        return data

    # A new point

    def stage(self, run: str) -> str:
        """An empty folder for a new point. Images in it find those of other points at ``../<id>/``."""
        folder = os.path.join(self.place, f"{_STAGING}{run}")
        self.still_there()
        with explained(folder):
            for each in (self.folder, self.place, folder):
                make_folder(each)
        return folder

    def commit(self, staged: str, point: Point) -> None:
        """Make a point of a staged folder: from here on it is there, whatever happens.

        :raises RepositoryChanged: it could not stand on what it was made over.
        """
        self._refuse_overtaken(point)
        with explained(staged):
            write(os.path.join(staged, MANIFEST), point.as_json())
            for name in os.listdir(staged):
                sync(os.path.join(staged, name))
            sync(staged)
            _files.rename(staged, self.at(point.id))
            sync(self.place)
            sync(self.folder)
            # A VM's folder may be as new as its first point.
            sync(os.path.dirname(self.folder))

    def _refuse_overtaken(self, point: Point) -> None:
        """Refuse a point over one that has another one over it by now, or is gone. The lock keeps
        others from that; not all file systems have locks that hold, and on NFS what a folder had a
        minute ago may be listed.
        """
        known = self.known()
        for below in sorted(point.backings):
            above = [each.id for each in known.points if below in each.backings]
            if below in known.damaged:
                raise known.damaged[below]
            if above or all(each.id != below for each in known.points):
                raise RepositoryChanged(
                    f"The new backup would stand on {below}, "
                    + (f"on which {', '.join(above)} stands by now" if above else "which is not there any more")
                    + f": another run works on {self.folder}, although this one has its lock.",
                    hint="Run again. Look at the locks of the repository's file system: all machines have to see them.",
                    path=self.folder,
                )

    def discard(self, staged: str) -> None:
        """Remove a staged folder."""
        discard(staged)

    # Points that change, and points that go

    def rewrite(self, point: Point) -> None:
        """Write the manifest of a point whose images are others now."""
        path = os.path.join(self.at(point.id), MANIFEST)
        write(path, point.as_json())
        with explained(path):
            sync(self.at(point.id))

    def remove(self, identifier: str, deadline: float) -> None:
        """Remove a point; the one that needs it gets what it has. See ``removal``."""
        removal.remove(self, self.known(), self.point(identifier), deadline)

    def make_full(self, point: Point, deadline: float) -> Point:
        """Give a point all that its images have from earlier ones. See ``synthetic``."""
        return synthetic.make_full(self, point, deadline)

    def shorten(self, max_chain: int, deadline: float) -> str:
        """Make the newest point a full one where a point more would have longer chains than that.

        :returns: its ID; empty where nothing was done.
        """
        known = self.known()
        newest = known.base()
        if newest is None or known.longest_chain(newest) < max_chain:
            return ""
        return self.make_full(newest, deadline).id

    def put_right(self, deadline: float) -> list[str]:
        """Finish, or undo, what runs that died have begun.

        :returns: what was found, for the result.
        """
        found = []
        for name in names(self.place):
            path = os.path.join(self.place, name)
            if name.startswith((_STAGING, removal.GONE)):
                discard(path)
                found.append(f"removed {name}")
            elif is_point_id(name) and removal.is_begun(self, name):
                removal.finish(self, name, deadline)
                found.append(f"finished the removal of {name}")
            elif is_point_id(name) and synthetic.put_right(self, name, deadline):
                found.append(f"put {name} right")
        return found
