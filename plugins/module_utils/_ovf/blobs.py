# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bytes that can be read from any place on, wherever they are kept: in a file, in pieces, in an OVA.

An OVA is a tar archive (POSIX.1-1988 ustar), in which the two extensions for long names and large
files are met, too: those of POSIX.1-2001 (pax) and of GNU. The standard library reads far more than
that, at a cost that the archive decides on, and its releases differ in what they refuse. So the few
fields that an OVA has are read here, and what is not among them is refused. Nothing is unpacked.
"""

from __future__ import annotations

import dataclasses
import errno
import math
import os
import posixpath
import re
import stat
import time
import typing as t

from .._errors import CodedError, TimedOut

# Control characters, halves of surrogate pairs, ends of lines, what turns the direction of writing,
# and what XML cannot carry.
_ODD = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\u2028-\u202e\u2066-\u2069\ufffe\uffff]")

# Bytes in between that are cheaper to read than a new request is to make.
_NEAR = 256 * 2**10


class PackageError(CodedError):
    """Something about the package that is to be brought in; the code says what.

    ``source_unreadable``, ``source_refused`` (by its server), ``unsafe_package``,
    ``invalid_package``, ``checksum_mismatch``, ``signature_invalid``, ``source_changed``.
    """


class Stream(t.Protocol):
    """What is read from; ``readinto`` fills as much as it can, and 0 is the end."""

    def readinto(self, buffer: memoryview, /) -> int:
        """Fill the buffer from its start; returns how far."""

    def close(self) -> None:
        """Let go of what is behind it."""


class Blob(t.Protocol):
    """A file somewhere."""

    @property
    def label(self) -> str:
        """For messages; never holds a secret."""

    @property
    def key(self) -> str:
        """Names it among all files, for the cache of digests."""

    @property
    def size(self) -> int:
        """Bytes."""

    @property
    def stamp(self) -> str:
        """Changes when the content does; empty where that is not known."""

    @property
    def seekable(self) -> bool:
        """Whether a part of it can be read without all that is before it."""

    def open(self, offset: int = 0) -> Stream:
        """Begin to read."""

    def unchanged(self) -> bool:
        """Whether it is still what it was when ``size`` and ``stamp`` were read."""


def printable(text: str) -> str:
    """Text from outside as it can be shown and sent: what is no character, or steers a
    terminal, becomes ``U+FFFD``.
    """
    return _ODD.sub("\ufffd", text)


def is_printable(text: str) -> bool:
    """Whether text can be shown and sent as it is."""
    return _ODD.search(text) is None


class LocalBlob:
    """A file of this machine.

    :param path: of the file; or, with ``folder``, its name in that folder, which may lead through
        folders below it.
    :param deadline: of ``time.monotonic()``, for all reading.
    :param folder: out of which no link is to lead: none is followed below it.
    :raises PackageError: ``source_unreadable``; ``source_missing`` where there is no such file;
        ``unsafe_package`` for a link.
    """

    seekable = True

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
            raise _unreadable(
                self.label,
                error,
                "source_unreadable" if self._folder is None else "source_missing",
            ) from error
        except OSError as error:
            raise _unreadable(self.label, error) from error
        except ValueError as error:  # a character that no path can have
            raise PackageError(
                "source_unreadable",
                f"{self.label} is no path.",
                hint="Check the name.",
            ) from error
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
            below = os.open(
                part,
                os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC,
                dir_fd=at,
            )
            at, above = below, at
            os.close(above)
        return os.open(last, _READING | os.O_NOFOLLOW, dir_fd=at)
    finally:
        os.close(at)


class _File:
    """A file that is open; what goes wrong later, on a share for instance, is an error of the
    source, too.
    """

    def __init__(self, label: str, handle: int, offset: int, deadline: float) -> None:
        self._label = label
        self._deadline = deadline
        self._file = os.fdopen(handle, "rb", buffering=0)
        self._file.seek(offset)

    def readinto(self, buffer: memoryview) -> int:
        if time.monotonic() >= self._deadline:
            raise TimedOut(
                f"The time allowed for the task was over while {self._label} was read.",
                hint="Raise timeout.",
            )
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

    @property
    def seekable(self) -> bool:
        """Whether the archive is."""
        return self.whole.seekable

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
        self.seekable = all(piece.seekable for piece in blobs)

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

    :param most: bytes that one read may ask for. Who reads an archive asks for what the archive
        says, however much that is.
    """

    def __init__(self, blob: Blob, most: int) -> None:
        self._blob = blob
        self._most = most
        self._stream: Stream | None = None
        self._stream_at = 0

    def read(self, at: int, size: int) -> bytes:
        """Up to ``size`` bytes from a place on, fewer only at the end.

        :raises PackageError: ``unsafe_package`` when so much is asked for that it would fill the
            memory.
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


# --- archives ---

_BLOCK = 512

# More than any appliance has, and little enough to remember.
_MOST_MEMBERS = 1000

# An extended header holds a long name and a few numbers; with what tar programs add of a file's
# attributes it stays below.
_LONGEST_EXTENSION = 16 * 2**10

# What all headers may have together: two KiB for each member.
_MOST_HEADER_BYTES = _MOST_MEMBERS * 2 * 2**10

_LONGEST_MEMBER_NAME = 1024

_PLAIN, _FOLDER = (b"0", b"\0", b"7"), b"5"
_LINKS = (b"1", b"2")
_GNU_NAME, _GNU_LINK, _PAX, _PAX_FOR_ALL = b"L", b"K", b"x", b"g"
_PAX_OF_SUN = b"X"  # what became pax later
_EXTENSIONS = (_GNU_NAME, _GNU_LINK, _PAX, _PAX_FOR_ALL)

# What differs between the tars that are met: the prefix of a name, and what a folder is.
_POSIX, _GNU, _V7 = b"posix", b"gnu", b"v7"

_DO_NOT_TRUST = "Such an OVA is broken or made to do harm: do not trust where it comes from."
_GET_AGAIN = "The file was not copied or downloaded to its end: get it again."


@dataclasses.dataclass(frozen=True)
class Archive:
    """An OVA.

    :ivar members: the files in it, by name, in its order.
    :ivar headers: what was read to know that: where it lies in the archive, and the bytes.
    """

    members: dict[str, Blob]
    headers: tuple[tuple[int, bytes], ...] = dataclasses.field(repr=False)


@dataclasses.dataclass(frozen=True)
class _Header:
    """One block that announces something; ``offset`` is where that begins, ``size`` its bytes."""

    name: bytes
    kind: bytes
    offset: int
    size: int

    @property
    def end(self) -> int:
        """Where the next header begins."""
        return self.offset + -(-self.size // _BLOCK) * _BLOCK


def read_archive(blob: Blob) -> Archive:
    """The files in an OVA.

    :raises PackageError: ``invalid_package`` when it is none, ``unsafe_package`` when it holds what
        no OVA needs: links, devices, absolute names, names that lead out of it, sparse files, one
        name twice, headers without end.
    """
    seeker = Seeker(blob, _LONGEST_EXTENSION)
    try:
        return _Reader(blob, seeker).read()
    finally:
        seeker.close()


def is_archive(head: bytes) -> bool:
    """Whether a file that begins with these bytes, one block of them, is a tar archive."""
    dialect = _dialect(head)
    if dialect != _V7:
        return dialect is not None
    digits = head[148:156].partition(b"\0")[0].strip(b" ")
    return bool(digits) and not digits.strip(b"01234567") and int(digits, 8) in _checksums(head)


def _dialect(block: bytes) -> bytes | None:
    """Which tar has written a header; None where none has."""
    magic = block[257:265]
    if magic[:5] == b"ustar":
        return _POSIX if magic[5:6] == b"\0" else _GNU
    # Tar of Unix Version 7 has no magic and nothing behind the name of a link, but a name.
    return _V7 if block[:1].strip(b"\0") and len(block) == _BLOCK and not block[257:].strip(b"\0") else None


def _checksums(block: bytes) -> tuple[int, int]:
    """The sum of a header's bytes, in which its own field counts as blanks.

    Some old programs added the bytes as signed numbers, which differs for names beyond ASCII.
    """
    others = block[:148] + block[156:_BLOCK]
    total = sum(others) + 8 * ord(" ")
    return total, total - 256 * sum(1 for byte in others if byte > 127)


class _Reader:
    def __init__(self, blob: Blob, seeker: Seeker) -> None:
        self._blob = blob
        self._seeker = seeker
        self._headers: list[tuple[int, bytes]] = []
        self._header_bytes = 0

    def read(self) -> Archive:
        found: dict[str, Blob] = {}
        at = count = 0
        while True:
            extended, header = self._next(at)
            if header is None:
                return Archive(found, tuple(self._headers))
            count += 1
            if count > _MOST_MEMBERS:
                raise self._unsafe(f"has more than {_MOST_MEMBERS} members")
            name, size = self._name(header, extended), self._size(header, extended)
            at = dataclasses.replace(header, size=size).end
            self._check(header, name, size)
            name = posixpath.normpath(name)
            if header.kind == _FOLDER:
                continue
            if name in found:
                raise self._unsafe(f"holds {name!r} twice")
            found[name] = SliceBlob(self._blob, name, header.offset, size)

    def _next(self, at: int) -> tuple[dict[bytes, bytes], _Header | None]:
        """The next member's header, behind those that extend it; None for it at the end of the
        archive.
        """
        extended: dict[bytes, bytes] = {}
        while True:
            header = self._header(at)
            if header is None or header.kind not in _EXTENSIONS:
                if header is None and extended:
                    raise self._broken("ends behind a header that announces a member")
                return extended, header
            if header.kind in extended:
                raise self._unsafe("has several headers of one kind before a member")
            if header.size > _LONGEST_EXTENSION:
                raise self._unsafe(f"has a header of {header.size} bytes")
            extended[header.kind] = self._bytes(header.offset, header.size)
            at = header.end

    def _header(self, at: int) -> _Header | None:
        block = self._bytes(at, _BLOCK)
        if not block.strip(b"\0"):
            return None
        dialect = _dialect(block)
        if dialect is None:
            raise self._broken(f"has no tar header at byte {at}")
        if self._number(block[148:156]) not in _checksums(block):
            raise self._broken(f"has a damaged tar header at byte {at}")
        name = block[:100].partition(b"\0")[0]
        kind = block[156:157].replace(_PAX_OF_SUN, _PAX)
        if dialect == _POSIX and (prefix := block[345:500].partition(b"\0")[0]):
            name = prefix + b"/" + name
        if dialect == _V7 and name.endswith(b"/") and kind in _PLAIN:
            kind = _FOLDER  # before POSIX a folder was known by its name alone
        return _Header(name, kind, at + _BLOCK, self._number(block[124:136]))

    def _bytes(self, at: int, size: int) -> bytes:
        """A part of a header, which is counted and remembered."""
        self._header_bytes += size
        if self._header_bytes > _MOST_HEADER_BYTES:
            raise self._unsafe(f"has more than {_MOST_HEADER_BYTES} bytes of headers")
        if at + size > self._blob.size:
            raise PackageError(
                "invalid_package",
                f"{self._blob.label} ends at byte {self._blob.size} without a tar archive's end.",
                hint=_GET_AGAIN,
            )
        data = self._seeker.read(at, size)
        if len(data) < size:
            raise PackageError(
                "source_changed",
                f"{self._blob.label} has become shorter while it was read.",
                hint="Run again.",
            )
        self._headers.append((at, data))
        return data

    def _number(self, field: bytes) -> int:
        """Octal digits, or, with the highest bit set, GNU's binary number."""
        if field[0] == 0x80:
            return int.from_bytes(field[1:], "big")
        digits = field.partition(b"\0")[0].strip(b" ")
        if digits.strip(b"01234567"):
            raise self._broken("has a tar header with a field that is no number")
        return int(digits or b"0", 8)

    def _name(self, header: _Header, extended: t.Mapping[bytes, bytes]) -> str:
        raw = header.name
        if _GNU_NAME in extended:
            raw = extended[_GNU_NAME].partition(b"\0")[0]
        raw = self._pax(extended).get(b"path", raw)
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError as error:
            raise self._broken(f"has a member whose name is no UTF-8 ({raw[:200]!r})") from error

    def _size(self, header: _Header, extended: t.Mapping[bytes, bytes]) -> int:
        given = self._pax(extended).get(b"size")
        if given is None:
            return header.size
        if len(given) > 19 or not given.isdigit():
            raise self._broken("has a member whose size is no number")
        return int(given)

    def _pax(self, extended: t.Mapping[bytes, bytes]) -> dict[bytes, bytes]:
        """The records of the pax header, ``LENGTH KEY=VALUE`` and a line's end."""
        if any(key in (b"path", b"size") or key.startswith(b"GNU.sparse") for key in self._records(extended.get(_PAX_FOR_ALL))):
            raise self._unsafe("has a header that gives one name or size to all members")
        records = self._records(extended.get(_PAX))
        if any(key.startswith(b"GNU.sparse") for key in records):
            raise self._unsafe("has a member that is no plain file (it is a sparse one)")
        return records

    def _records(self, body: bytes | None) -> dict[bytes, bytes]:
        found: dict[bytes, bytes] = {}
        rest = body or b""
        at = 0
        while at < len(rest) and rest[at]:
            digits = rest[at : at + 6].partition(b" ")[0]
            length = int(digits) if digits.isdigit() and len(digits) < 6 else 0
            record = rest[at : at + length]
            key, sign, value = record[len(digits) + 1 : -1].partition(b"=")
            if len(record) != length or not sign or not record.endswith(b"\n"):
                raise self._broken("has an extended header that is no pax header")
            found[key] = value
            at += length
        return found

    def _check(self, header: _Header, name: str, size: int) -> None:
        """Refuse a member that no OVA needs."""
        shown = name[:200]
        if not name or len(name) > _LONGEST_MEMBER_NAME or not is_printable(name):
            raise self._unsafe(f"has a member without a proper name ({shown!r})")
        if name.startswith("/") or "\\" in name or ".." in name.split("/"):
            raise self._unsafe(f"has a member whose name leads out of it ({shown!r})")
        if header.kind in _LINKS:
            raise self._unsafe(f"has a link ({shown!r})")
        folder = header.kind == _FOLDER
        if not folder and (header.kind not in _PLAIN or name.endswith("/")):
            raise self._unsafe(f"has a member that is no plain file ({shown!r})")
        if folder and size:
            raise self._unsafe(f"has a folder of {size} bytes ({shown!r})")
        if header.offset + size > self._blob.size:
            raise PackageError(
                "invalid_package",
                f"{self._blob.label} ends within {shown!r}: its header announces {size} bytes.",
                hint=_GET_AGAIN,
            )

    def _unsafe(self, what: str) -> PackageError:
        return PackageError("unsafe_package", f"{self._blob.label} {what}.", hint=_DO_NOT_TRUST)

    def _broken(self, what: str) -> PackageError:
        return PackageError(
            "invalid_package",
            f"{self._blob.label} is no readable OVA: it {what}.",
            hint="Get it again.",
        )
