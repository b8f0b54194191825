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
            .staging-<run>/                 a point that is being written
    vm-<instance UUID>.lock

A point appears by one rename. What a run that died has left is removed, or finished, by the next one
that takes the lock.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
import shutil
import typing as t

from .. import _files
from .._errors import NotFound
from .._vsphere import hardware
from . import images
from .blockmap import BlockMap
from .copying import blocks_of, prove
from .model import MACHINE_FILE, NVRAM_FILE, BackupDamaged, DiskBackup, Point, is_instance_uuid, is_point_id

MANIFEST = "manifest.json"
_WHAT = "backup repository"
_VM, _POINTS, _STAGING = "vm-", "points", ".staging-"

# Of a point that is being removed: the point that takes over what it has, or nothing.
_REMOVING = "removing"

_MOST_MANIFEST = 16 * 2**20
_MOST_MACHINE = 4 * 2**20


class Repository:
    """The folder that holds the backups of all VMs.

    :param path: of a folder that is there, and that nobody else may write into.
    :raises FileMissing, FileRefused: when it is none.
    """

    def __init__(self, path: str) -> None:
        self.path = os.path.abspath(path)
        _files.held_folder(self.path, what=_WHAT).close()

    @property
    def vms(self) -> list[str]:
        """The instance UUIDs of the VMs that have backups."""
        names = (name.removeprefix(_VM) for name in os.listdir(self.path) if name.startswith(_VM))
        return sorted(name for name in names if is_instance_uuid(name))

    def folder(self, instance_uuid: str) -> str:
        """The folder of a VM."""
        return os.path.join(self.path, f"{_VM}{instance_uuid}")

    @contextlib.contextmanager
    def locked(
        self, instance_uuid: str, deadline: float, show: t.Callable[[str], None], *, put_right: bool = True
    ) -> t.Iterator[Machine]:
        """The points of a VM, for this run alone; what runs that died have left is put right first.

        :param deadline: of ``time.monotonic()``, for others to finish.
        :param show: called with one sentence when there is something to wait for.
        :param put_right: False for who only reads: what cannot be put right must not keep whole points
            from being restored.
        :raises TimedOut: when others hold it until the deadline.
        """
        folder = self.folder(instance_uuid)
        # A qemu-nbd whose run was killed may still be writing.
        with _files.locked(folder, deadline, show, what=_WHAT, by_programs=True):
            machine = Machine(folder)
            if put_right:
                machine.put_right(deadline)
            yield machine

    def read(self, instance_uuid: str) -> Machine:
        """The points of a VM, only to look at: another run may change them meanwhile."""
        return Machine(self.folder(instance_uuid))


class Machine:
    """The points of one VM.

    :ivar folder: of the VM.
    """

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self._points = os.path.join(folder, _POINTS)

    @property
    def points(self) -> list[Point]:
        """All that are whole, the oldest first.

        :raises BackupDamaged: when a manifest was changed.
        """
        found = [self._point(name) for name in self._names() if is_point_id(name) and not self._is_removed(name)]
        return sorted(found, key=lambda point: point.number)

    def point(self, identifier: str) -> Point:
        """One of them.

        :raises NotFound: when there is none; the message lists the newest.
        """
        known = self.points
        for point in known:
            if point.id == identifier:
                return point
        newest = [point.id for point in reversed(known)][:5]
        raise NotFound(
            f"There is no backup {identifier} in {self.folder}.",
            hint=f"The newest are {', '.join(newest)}." if newest else "There is none at all.",
            known=newest,
        )

    def folder_of(self, point: Point) -> str:
        """The folder of a point."""
        return self._at(point.id)

    def path_of(self, point: Point, disk: DiskBackup) -> str:
        """The image of a disk."""
        return os.path.join(self._points, point.id, disk.file)

    def digests_of(self, point: Point, disk: DiskBackup) -> BlockMap:
        """The digests of a disk's blocks.

        :raises BackupDamaged: when they are not those that were written.
        """
        path = os.path.join(self._points, point.id, disk.map_file)
        with _explained(path):
            digests = BlockMap(path, disk.capacity)
        if digests.digest() != disk.digests:
            digests.close()
            raise BackupDamaged(
                f"{path} was changed since it was written.",
                hint="Restore it from another copy of the repository, or remove its point.",
                path=path,
            )
        return digests

    def hardware_of(self, point: Point) -> hardware.Machine:
        """What the VM was made of.

        :raises NotFound: the point does not say it.
        :raises BackupDamaged: when it is not what was written.
        """
        path = os.path.join(self._points, point.id, MACHINE_FILE)
        if not point.machine:
            raise NotFound(
                f"The backup {point.id} does not say what its VM was made of: an earlier release has made it.",
                hint="Restore its disks, and make a VM around them with vm_from_disks.",
            )
        data = _files.read(path, _MOST_MACHINE, what=_WHAT)
        try:
            if hashlib.sha256(data).hexdigest() == point.machine:
                return hardware.from_json(data)
        except ValueError:
            pass  # a newer release has written it, with what this one does not know
        raise BackupDamaged(
            f"{path} was changed since it was written, or is of a newer release of this collection.",
            hint="Restore it from another copy of the repository. The disks can be restored without it.",
            path=path,
        )

    def nvram_of(self, point: Point) -> bytes:
        """The settings of the VM's firmware; empty where the point has none.

        :raises BackupDamaged: when it is not what was written.
        """
        if not point.nvram:
            return b""
        path = os.path.join(self._points, point.id, NVRAM_FILE)
        data = _files.read(path, _MOST_MACHINE, what=_WHAT)
        if hashlib.sha256(data).hexdigest() != point.nvram:
            raise BackupDamaged(
                f"{path} was changed since it was written.",
                hint="Restore it from another copy of the repository. The disks can be restored without it.",
                path=path,
            )
        return data

    # A new point

    def stage(self, run: str) -> str:
        """An empty folder for a new point. Images in it find those of other points at ``../<id>/``."""
        folder = os.path.join(self._points, f"{_STAGING}{run}")
        with _explained(folder):
            os.makedirs(self._points, mode=0o700, exist_ok=True)
            os.mkdir(folder, 0o700)
        return folder

    def commit(self, staged: str, point: Point) -> None:
        """Make a point of a staged folder: from here on it is there, whatever happens."""
        with _explained(staged):
            _write(os.path.join(staged, MANIFEST), point.as_json())
            for name in os.listdir(staged):
                _sync(os.path.join(staged, name))
            _sync(staged)
            os.rename(staged, os.path.join(self._points, point.id))
            _sync(self._points)
            _sync(self.folder)
            # A VM's folder may be as new as its first point.
            _sync(os.path.dirname(self.folder))

    def discard(self, staged: str) -> None:
        """Remove a staged folder."""
        with _explained(staged), contextlib.suppress(FileNotFoundError):
            shutil.rmtree(staged)

    # Points that go

    def remove(self, identifier: str, deadline: float) -> None:
        """Remove a point; the one that needs it gets what it has.

        Safe to end at any moment: the next run goes on with it.
        """
        point = self.point(identifier)
        heirs = [other for other in self.points if identifier in other.backings]
        with _explained(self._at(identifier)):
            _write(os.path.join(self._at(identifier), _REMOVING), b"\n".join(heir.id.encode() for heir in heirs))
            _sync(self._at(identifier))
        self._finish_removal(point, deadline)

    def put_right(self, deadline: float) -> list[str]:
        """Finish what runs that died have begun.

        :returns: what was found, for the result.
        """
        found = []
        for name in self._names():
            if name.startswith(_STAGING):
                self.discard(os.path.join(self._points, name))
                found.append(f"removed {name}")
            elif is_point_id(name) and self._is_removed(name):
                if os.path.exists(os.path.join(self._at(name), MANIFEST)):
                    self._finish_removal(self._point(name), deadline)
                else:
                    shutil.rmtree(self._at(name))
                found.append(f"finished the removal of {name}")
        return found

    def _finish_removal(self, point: Point, deadline: float) -> None:
        folder = self._at(point.id)
        with _explained(folder):
            with open(os.path.join(folder, _REMOVING), encoding="ascii") as file:
                heirs = [self._point(name) for name in file.read().split()]
            for heir in heirs:
                self._hand_over(point, heir, deadline)
            # First the manifest: without it nothing of the point is of use any more.
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.join(folder, MANIFEST))
            _sync(folder)
            shutil.rmtree(folder)
            _sync(self._points)

    def _hand_over(self, point: Point, heir: Point, deadline: float) -> None:
        """Give an heir the images that it stands on, with what it has itself written into them."""
        disks = []
        for disk in heir.disks:
            below = point.disk(disk.key)
            if disk.backing != point.id or below is None:
                disks.append(disk)
                continue
            source, target = self.path_of(point, below), self.path_of(heir, disk)
            if os.path.exists(source):
                own = images.own_areas(target, deadline)
                # A commit that was broken off is made again: the heir reads the same all the while.
                images.commit(target, deadline)
                with self.digests_of(heir, disk) as digests:
                    prove(source, digests, blocks_of(own), deadline)
                _sync(source)
                os.rename(source, target)
                _sync(os.path.dirname(target))
            elif images.backing_of(target, deadline) != backing_name(below):
                raise BackupDamaged(
                    f"{source} is not there, and {target} needs it.",
                    hint="Restore it from another copy of the repository, or remove both points.",
                    path=source,
                )
            disks.append(dataclasses.replace(disk, backing=below.backing))
        path = os.path.join(self._at(heir.id), MANIFEST)
        _write(path, dataclasses.replace(heir, disks=tuple(disks)).as_json())
        _sync(os.path.dirname(path))

    # Files

    def _names(self) -> list[str]:
        try:
            return sorted(os.listdir(self._points))
        except FileNotFoundError:
            return []

    def _at(self, identifier: str) -> str:
        return os.path.join(self._points, identifier)

    def _is_removed(self, identifier: str) -> bool:
        return os.path.exists(os.path.join(self._at(identifier), _REMOVING))

    def _point(self, identifier: str) -> Point:
        path = os.path.join(self._at(identifier), MANIFEST)
        point = Point.from_json(_files.read(path, _MOST_MANIFEST, what="manifest"), path)
        if point.id != identifier:
            raise BackupDamaged(
                f"{path} is the manifest of {point.id}.",
                hint="Give the folder its own name again.",
                path=path,
            )
        return point


def backing_name(disk: DiskBackup) -> str | None:
    """The name of an image's backing file, as the image has it; None where it needs none."""
    return f"../{disk.backing}/{disk.file}" if disk.backing else None


def _explained(path: str) -> contextlib.AbstractContextManager[None]:
    return _files.explained(path, _WHAT)


def _write(path: str, data: bytes) -> None:
    """Write a file whole or not at all."""
    _files.replace(path, data, what="file of the backup")


def _sync(path: str) -> None:
    """Have a file, or the names in a folder, on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
