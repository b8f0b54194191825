# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bytes that can be read from any place on, wherever they are kept."""

from __future__ import annotations

import dataclasses
import errno
import math
import os
import re
import stat
import time
import typing as t

from .._errors import TimedOut
from .errors import PackageError

# Control characters, halves of surrogate pairs, ends of lines, what turns the direction of writing, and what XML cannot carry.
_ODD = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\u2028-\u202e\u2066-\u2069\ufffe\uffff]")

# Bytes in between that are cheaper to read than a new request is to make.
_NEAR = 256 * 2**10


class Stream(t.Protocol):
    """What is read from; ``readinto`` fills as much as it can, and 0 is the end."""

    def readinto(self, buffer: memoryview, /) -> int:
        """Fill the buffer from its start; returns how far."""

    def close(self) -> None:
        """Let go of what is behind it."""


class Blob(t.Protocol):
    """A file somewhere.

    :ivar label: for messages; never holds a secret.
    :ivar key: names it among all files, for the cache of digests.
    :ivar stamp: changes when the content does; empty where nothing tells.
    """

    @property
    def label(self) -> str: ...
    @property
    def key(self) -> str: ...
    @property
    def size(self) -> int: ...
    @property
    def stamp(self) -> str: ...

    def open(self, offset: int = 0) -> Stream:
        """Begin to read."""

    def unchanged(self) -> bool:
        """Whether it is still what it was when ``size`` and ``stamp`` were read."""


def printable(text: str) -> str:
    """Text from outside as it can be shown and sent: what is no character, or steers a terminal, becomes ``U+FFFD``."""
    return _ODD.sub("\ufffd", text)


def is_printable(text: str) -> bool:
    """Whether text can be shown and sent as it is."""
    return _ODD.search(text) is None


class LocalBlob:
    """A file of this machine.

    :param path: of the file; or, with ``folder``, its name in that folder, which may lead through folders below it.
    :param deadline: of ``time.monotonic()``, for all reading.
    :param folder: out of which no link is to lead: none is followed below it.
    :raises PackageError: ``source_unreadable``; ``source_missing`` where there is no such file; ``unsafe_package`` for a link.
    """

    def __init__(self, path: str, deadline: float = math.inf, folder: str | None = None) -> None:
        self._deadline = deadline
        self._folder = folder
        self._name = path
        self._path = path if folder is None else os.path.join(folder, path)
        self.label = printable(self._path)
        handle, status = self._opened()
        os.close(handle)
        self.key = os.path.realpath(self._path)
        self.size = status.st_size
        self.stamp = _stamp(status)

    def open(self, offset: int = 0) -> Stream:
        """Begin to read.

        :raises PackageError: as when it was made.
        """
        handle, _status = self._opened()
        return _File(self.label, handle, offset, self._deadline)

    def unchanged(self) -> bool:
        """By size and time of the last change, as make and rsync judge."""
        handle, status = self._opened()
        os.close(handle)
        return _stamp(status) == self.stamp

    def _opened(self) -> tuple[int, os.stat_result]:
        """The file, open, and what it is: no other can take its place in between."""
        try:
            handle = _open_below(self._folder, self._name) if self._folder is not None else os.open(self._path, _READING)
        except (FileNotFoundError, NotADirectoryError) as error:
            # Beside a descriptor it depends on the file whether it has to be there.
            raise _unreadable(self.label, error, "source_unreadable" if self._folder is None else "source_missing") from error
        except OSError as error:
            raise _unreadable(self.label, error) from error
        except ValueError as error:  # a character that no path can have
            raise PackageError("source_unreadable", f"{self.label} is no path.", hint="Check the name.") from error
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            os.close(handle)
            hint = (
                "Name the .ova or .ovf file itself."
                if self._folder is None
                else "Put the file that the descriptor means there."
            )
            raise PackageError("source_unreadable", f"{self.label} is no file.", hint=hint)
        return handle, status


# A pipe is not waited for, and its kind is seen when it is open.
_READING = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


def _open_below(folder: str, name: str) -> int:
    """Open a file by the descriptors of the folders that lead to it, so that no link is followed on the way.

    :raises OSError: as the system says; ELOOP for a link.
    """
    *folders, last = (part for part in name.split("/") if part not in ("", "."))
    at = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in folders:
            if stat.S_ISLNK(os.stat(part, dir_fd=at, follow_symlinks=False).st_mode):
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
            below = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=at)
            at, above = below, at
            os.close(above)
        return os.open(last, _READING | os.O_NOFOLLOW, dir_fd=at)
    finally:
        os.close(at)


class _File:
    """A file that is open; what goes wrong later, on a share for instance, is an error of the source, too."""

    def __init__(self, label: str, handle: int, offset: int, deadline: float) -> None:
        self._label = label
        self._deadline = deadline
        self._file = os.fdopen(handle, "rb", buffering=0)
        self._file.seek(offset)

    def readinto(self, buffer: memoryview) -> int:
        if time.monotonic() >= self._deadline:
            raise TimedOut(f"The time allowed for the task was over while {self._label} was read.", hint="Raise timeout.")
        try:
            return self._file.readinto(buffer) or 0
        except OSError as error:
            raise _unreadable(self._label, error) from error

    def close(self) -> None:
        self._file.close()


def _stamp(status: os.stat_result) -> str:
    return f"{status.st_size}:{status.st_mtime_ns}"


def _unreadable(label: str, error: OSError, error_code: str = "source_unreadable") -> PackageError:
    if error.errno == errno.ELOOP:
        return PackageError(
            "unsafe_package",
            f"{label} is a symbolic link, or lies behind one, and none is followed in the folder of a package.",
            hint="Put the file itself there.",
        )
    return PackageError(
        error_code,
        f"{label} cannot be read ({error.strerror}).",
        hint="The path is on the machine that the module runs on, and so is the user who must be allowed to read it.",
    )


@dataclasses.dataclass(frozen=True)
class SliceBlob:
    """A part of another blob: a member of an archive."""

    whole: Blob
    name: str
    offset: int
    size: int

    @property
    def label(self) -> str:
        """The archive and the member."""
        return f"{self.whole.label}({self.name})"

    @property
    def key(self) -> str:
        """Of the archive; the place in it is the cache's own concern."""
        return self.whole.key

    @property
    def stamp(self) -> str:
        """Of the archive."""
        return self.whole.stamp

    def open(self, offset: int = 0) -> Stream:
        """Begin to read; the end of the member is the end."""
        return _Limited(self.whole.open(self.offset + offset), self.size - offset)

    def unchanged(self) -> bool:
        """Whether the archive is."""
        return self.whole.unchanged()


class _Limited:
    def __init__(self, stream: Stream, left: int) -> None:
        self._stream = stream
        self._left = left

    def readinto(self, buffer: memoryview) -> int:
        read = self._stream.readinto(buffer[: self._left]) if self._left > 0 else 0
        self._left -= read
        return read

    def close(self) -> None:
        self._stream.close()


class JoinedBlob:
    """The pieces of one file, one after the other.

    :param pieces: by the name of each.
    :ivar pieces: the same.
    """

    def __init__(self, label: str, pieces: t.Mapping[str, Blob]) -> None:
        self.pieces = dict(pieces)
        self.label = label
        blobs = list(self.pieces.values())
        self.key = f"{blobs[0].key} and {len(blobs) - 1} more"
        self.stamp = ",".join(piece.stamp for piece in blobs) if all(piece.stamp for piece in blobs) else ""
        self.size = sum(piece.size for piece in blobs)

    def open(self, offset: int = 0) -> Stream:
        """Begin to read."""
        return _Joined(list(self.pieces.values()), offset)

    def unchanged(self) -> bool:
        """Whether all pieces are."""
        return all(piece.unchanged() for piece in self.pieces.values())


class _Joined:
    def __init__(self, pieces: t.Sequence[Blob], offset: int) -> None:
        self._due = list(pieces)
        while self._due and offset >= self._due[0].size:
            offset -= self._due.pop(0).size
        self._stream = self._due.pop(0).open(offset) if self._due else None

    def readinto(self, buffer: memoryview) -> int:
        while self._stream is not None:
            read = self._stream.readinto(buffer)
            if read:
                return read
            self._stream.close()
            self._stream = self._due.pop(0).open() if self._due else None
        return 0

    def close(self) -> None:
        if self._stream is not None:
            self._stream.close()


class Seeker:
    """Reads a blob here and there; a read that goes on where the last one ended costs no new opening.

    :param most: bytes that one read may ask for. Who reads an archive asks for what the archive says, however much that is.
    """

    def __init__(self, blob: Blob, most: int) -> None:
        self._blob = blob
        self._most = most
        self._stream: Stream | None = None
        self._stream_at = 0

    def read(self, at: int, size: int) -> bytes:
        """Up to ``size`` bytes from a place on, fewer only at the end.

        :raises PackageError: ``unsafe_package`` when so much is asked for that it would fill the memory.
        """
        if size > self._most:
            raise PackageError(
                "unsafe_package",
                f"{self._blob.label} has {size} bytes; at most {self._most} are read of such a file.",
                hint="This is not what it seems to be, or not to be trusted.",
            )
        data = bytearray(size)
        filled = fill(self._reach(at), memoryview(data))
        self._stream_at = at + filled
        return bytes(data[:filled])

    def close(self) -> None:
        """Close what is open behind it."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def _reach(self, at: int) -> Stream:
        gap = at - self._stream_at
        if self._stream is not None and not 0 <= gap <= _NEAR:
            self._stream.close()
            self._stream = None
        if self._stream is None:
            self._stream, gap = self._blob.open(at), 0
        if gap:
            fill(self._stream, memoryview(bytearray(gap)))
        return self._stream


def fill(stream: Stream, buffer: memoryview) -> int:
    """Read until the buffer is full or the stream at its end; returns how much there was."""
    done = 0
    while done < len(buffer):
        read = stream.readinto(buffer[done:])
        if not read:
            break
        done += read
    return done


def whole(blob: Blob, most: int) -> bytes:
    """All of a small file.

    :raises PackageError: ``unsafe_package`` when it is larger than ``most``.
    """
    seeker = Seeker(blob, most)
    try:
        return seeker.read(0, blob.size)
    finally:
        seeker.close()
