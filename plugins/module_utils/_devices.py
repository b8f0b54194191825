# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Disks of this machine, as udev names them: waited for, read, and written.

udev makes a link below ``/dev/disk/by-id`` for each SCSI disk that reports a UUID, which virtual
disks do where the VM has ``disk.EnableUUID``. The kernel tells of such links by inotify(7), so that
nothing is asked again and again.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import stat
import time
import typing as t

from ._errors import VforgeError

BY_ID = "/dev/disk/by-id"

# inotify(7): what makes a name appear in a folder, or go.
_IN_ATTRIB, _IN_MOVED_FROM, _IN_MOVED_TO, _IN_CREATE, _IN_DELETE = 0x4, 0x40, 0x80, 0x100, 0x200
_CHANGES = _IN_ATTRIB | _IN_MOVED_FROM | _IN_MOVED_TO | _IN_CREATE | _IN_DELETE
_EVENTS = 64 * 1024

# So long a wait lasts before whether it is to go on is asked again.
_TURN_SECONDS = 1.0


X = t.TypeVar("X")


class DeviceMissing(VforgeError):
    """A disk that was attached to this machine does not show in it, or not whole."""

    error_code = "device_missing"


def names_of(uuid: str) -> tuple[str, ...]:
    """What udev may call the disk with a UUID.

    :param uuid: of a virtual disk, as vSphere has it: its digits are
        those of the disk's NAA identifier.
    """
    digits = uuid.replace("-", "").lower()
    return f"wwn-0x{digits}", f"scsi-3{digits}"


def present(folder: str, uuid: str) -> str | None:
    """The path of the disk with a UUID; None where it does not show."""
    for name in names_of(uuid):
        path = os.path.join(folder, name)
        if os.path.exists(path):
            return path
    return None


def reason(folder: str) -> str:
    """Why no disk can show in a folder; empty where it can."""
    return "" if os.path.isdir(folder) else f"there is no folder {folder} where the module runs, so disks would not show"


def wait(folder: str, uuid: str, what: str, deadline: float, go_on: t.Callable[[], None]) -> str:
    """Wait until the disk with a UUID shows.

    :param what: it is, for messages.
    :param deadline: of ``time.monotonic()``.
    :param go_on: is called now and then; raises why the wait is to end.
    :returns: its path.
    :raises DeviceMissing: it does not show in time.
    """
    path = _watch(folder, lambda: present(folder, uuid), deadline, go_on)
    if path is None:
        raise DeviceMissing(
            f"{what} is attached to the VM that the module runs in, and no {names_of(uuid)[0]} shows in {folder}.",
            hint="Its guest needs udev, and a kernel that sees new SCSI disks by itself.",
        )
    return path


def wait_gone(folder: str, uuid: str, what: str, deadline: float, go_on: t.Callable[[], None]) -> None:
    """Wait until no disk with a UUID shows: one that was detached a moment ago is taken away by
    udev later.

    Parameters are those of ``wait``.

    :raises DeviceMissing: there is one for all that time, which would be taken for
        the disk that is to be attached.
    """
    if not _watch(folder, lambda: present(folder, uuid) is None, deadline, go_on):
        raise DeviceMissing(
            f"{folder} has a disk {names_of(uuid)[0]} already, which could be taken for {what}.",
            hint="Look which disk that is. A clone may have the UUID of what it was cloned from.",
        )


def _watch(folder: str, look: t.Callable[[], X], deadline: float, go_on: t.Callable[[], None]) -> X:
    """What a look at a folder finds: looked for again whenever a name in it comes or goes.

    :returns: the first thing that counts as true, or the last look when the deadline has passed.
    """
    with _watched(folder) as events:
        while True:
            # After the watch was set: what happens meanwhile is an event.
            found = look()
            left = deadline - time.monotonic()
            if found or left <= 0:
                return found
            go_on()
            if select.select([events], [], [], min(left, _TURN_SECONDS))[0]:
                os.read(events, _EVENTS)


@contextlib.contextmanager
def _watched(folder: str) -> t.Iterator[int]:
    """A descriptor that can be read whenever a name in a folder comes or goes."""
    libc = ctypes.CDLL(None, use_errno=True)
    events = libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
    if events < 0:
        raise DeviceMissing(f"{folder} cannot be watched: {os.strerror(ctypes.get_errno())}.")
    try:
        if libc.inotify_add_watch(events, os.fsencode(folder), _CHANGES) < 0:
            raise DeviceMissing(f"{folder} cannot be watched: {os.strerror(ctypes.get_errno())}.")
        yield events
    finally:
        os.close(events)


class Device:
    """A disk of this machine, open; for any number of threads.

    :param path: as ``wait`` returns it.
    :param what: it is, for messages.
    :param write: whether it is to be written: nobody else of this machine has it then, such as a
        file system or LVM.
    :ivar size: in bytes.
    """

    def __init__(self, path: str, what: str, *, write: bool = False) -> None:
        self.path = path
        self._what = what
        # Of a block device O_EXCL alone asks for it to be in nobody's use (open(2)).
        flags = os.O_RDWR | os.O_EXCL if write else os.O_RDONLY
        try:
            self._file = os.open(path, flags | os.O_CLOEXEC)
        except OSError as error:
            raise DeviceMissing(
                f"{what} shows as {path}, which cannot be {'written' if write else 'read'}: {error.strerror}.",
                hint="Run the module as root, or as a user of the group disk, and see that nothing else uses the disk.",
            ) from error
        kind = os.fstat(self._file).st_mode
        if not stat.S_ISBLK(kind) and not stat.S_ISREG(kind):
            os.close(self._file)
            raise DeviceMissing(f"{path} is neither a disk nor a file.", hint="Look at what made it.")
        self.size = os.lseek(self._file, 0, os.SEEK_END)

    def read(self, offset: int, length: int) -> bytes:
        """Bytes of the disk.

        :raises DeviceMissing: they cannot be had, since it was detached, for example.
        """
        try:
            data = os.pread(self._file, length, offset)
            while len(data) < length:
                more = os.pread(self._file, length - len(data), offset + len(data))
                if not more:
                    break
                data += more
        except OSError as error:
            raise DeviceMissing(
                f"{self._what} cannot be read at byte {offset}: {error.strerror}.",
                hint="Look whether it is still attached to the VM that the module runs in.",
            ) from error
        return data

    def forget_cached(self) -> None:
        """Have all that was written on the disk, so that what is read after that comes from there.

        :raises DeviceMissing: the disk refuses it.
        """
        try:
            os.fsync(self._file)
            os.posix_fadvise(self._file, 0, 0, os.POSIX_FADV_DONTNEED)
        except OSError as error:
            raise DeviceMissing(
                f"What was written to {self._what} did not come to the disk: {error.strerror}.",
                hint="Look whether it is still attached to the VM that the module runs in, and whether its datastore is full.",
            ) from error

    def close(self) -> None:
        """End it."""
        os.close(self._file)
