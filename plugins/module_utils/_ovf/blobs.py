# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bytes that can be read from any place on, wherever they are kept."""

from __future__ import annotations

import dataclasses
import io
import math
import os
import stat
import time
import typing as t

from .._errors import TimedOut
from .errors import PackageError

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


class LocalBlob:
    """A file of this machine.

    :param deadline: of ``time.monotonic()``, for all reading.
    :raises PackageError: ``source_unreadable``.
    """

    def __init__(self, path: str, deadline: float = math.inf) -> None:
        self._path = path
        self._deadline = deadline
        self.label = path
        self.key = os.path.realpath(path)
        status = self._status()
        if not stat.S_ISREG(status.st_mode):
            raise PackageError("source_unreadable", f"{path} is no file.", hint="Name the .ova or .ovf file itself.")
        self.size = status.st_size
        self.stamp = _stamp(status)

    def open(self, offset: int = 0) -> Stream:
        """Begin to read.

        :raises PackageError: ``source_unreadable``.
        """
        try:
            return _File(self._path, offset, self._deadline)
        except OSError as error:
            raise _unreadable(self._path, error) from error

    def unchanged(self) -> bool:
        """By size and time of the last change, as make and rsync judge."""
        return _stamp(self._status()) == self.stamp

    def _status(self) -> os.stat_result:
        try:
            return os.stat(self._path)
        except OSError as error:
            raise _unreadable(self._path, error) from error


class _File:
    """A file that is open; what goes wrong later, on a share for instance, is an error of the source, too."""

    def __init__(self, path: str, offset: int, deadline: float) -> None:
        self._path = path
        self._deadline = deadline
        self._file = open(path, "rb", buffering=0)  # noqa: SIM115 (who asked closes it)
        self._file.seek(offset)

    def readinto(self, buffer: memoryview) -> int:
        if time.monotonic() >= self._deadline:
            raise TimedOut(f"The time allowed for the task was over while {self._path} was read.", hint="Raise timeout.")
        try:
            return self._file.readinto(buffer)
        except OSError as error:
            raise _unreadable(self._path, error) from error

    def close(self) -> None:
        self._file.close()


def _stamp(status: os.stat_result) -> str:
    return f"{status.st_size}:{status.st_mtime_ns}"


def _unreadable(path: str, error: OSError) -> PackageError:
    return PackageError(
        "source_unreadable",
        f"{path} cannot be read ({error.strerror}).",
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
    """The pieces of one file, one after the other."""

    def __init__(self, label: str, pieces: t.Sequence[Blob]) -> None:
        self._pieces = pieces
        self.label = label
        self.key = pieces[0].key
        self.stamp = ",".join(piece.stamp for piece in pieces) if all(piece.stamp for piece in pieces) else ""
        self.size = sum(piece.size for piece in pieces)

    def open(self, offset: int = 0) -> Stream:
        """Begin to read."""
        return _Joined(self._pieces, offset)

    def unchanged(self) -> bool:
        """Whether all pieces are."""
        return all(piece.unchanged() for piece in self._pieces)


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


class Seeker(io.RawIOBase):
    """A blob as a file that can be sought in; a read that goes on where the last one ended costs no new opening.

    :param most: bytes that one read may ask for. Who parses an archive asks for what the archive says, however much that is.
    """

    def __init__(self, blob: Blob, most: int) -> None:
        self._blob = blob
        self._most = most
        self._at = 0
        self._stream: Stream | None = None
        self._stream_at = 0

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def tell(self) -> int:
        """Where the next read begins."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Only notes the place; nothing is read."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._blob.size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def read(self, size: int = -1) -> bytes:
        """Up to ``size`` bytes, fewer only at the end.

        :raises PackageError: ``unsafe_package`` when so much is asked for that it would fill the memory.
        """
        wanted = max(0, self._blob.size - self._at) if size < 0 else size
        if wanted > self._most:
            raise PackageError(
                "unsafe_package",
                f"{self._blob.label} has a header of {wanted} bytes.",
                hint="Do not trust where it comes from.",
            )
        data = bytearray(wanted)
        filled = fill(self._reach(), memoryview(data))
        self._at += filled
        self._stream_at = self._at
        return bytes(data[:filled])

    def close(self) -> None:
        """Close what is open behind it."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None
        super().close()

    def _reach(self) -> Stream:
        gap = self._at - self._stream_at
        if self._stream is not None and not 0 <= gap <= _NEAR:
            self._stream.close()
            self._stream = None
        if self._stream is None:
            self._stream, self._stream_at, gap = self._blob.open(self._at), self._at, 0
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
    if blob.size > most:
        raise PackageError(
            "unsafe_package",
            f"{blob.label} has {blob.size} bytes; at most {most} are read of such a file.",
            hint="This is not what it seems to be, or not to be trusted.",
        )
    seeker = Seeker(blob, most)
    try:
        return seeker.read()
    finally:
        seeker.close()
