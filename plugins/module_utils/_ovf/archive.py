# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is in an OVA: its members and where they begin. Nothing is unpacked, and no member is read.

An OVA is a tar archive (POSIX.1-1988 ustar), in which the two extensions for long names and large files are met, too: those of
POSIX.1-2001 (pax) and of GNU. The standard library reads far more than that, at a cost that the archive decides on, and its
releases differ in what they refuse. So the few fields that an OVA has are read here, and what is not among them is refused.
"""

from __future__ import annotations

import dataclasses
import posixpath
import typing as t

from .blobs import Blob, Seeker, SliceBlob, is_printable
from .errors import PackageError

_BLOCK = 512

# More than any appliance has, and little enough to remember.
_MOST_MEMBERS = 1000

# An extended header holds a long name and a few numbers; with what tar programs add of a file's attributes it stays below.
_LONGEST_EXTENSION = 16 * 2**10

# What all headers may have together: two KiB for each member.
_MOST_HEADER_BYTES = _MOST_MEMBERS * 2 * 2**10

_LONGEST_NAME = 1024

_PLAIN, _FOLDER = (b"0", b"\0", b"7"), b"5"
_LINKS = (b"1", b"2")
_GNU_NAME, _GNU_LINK, _PAX, _PAX_FOR_ALL = b"L", b"K", b"x", b"g"
_EXTENSIONS = (_GNU_NAME, _GNU_LINK, _PAX, _PAX_FOR_ALL)

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


def read(blob: Blob) -> Archive:
    """The files in an OVA.

    :raises PackageError: ``invalid_package`` when it is none, ``unsafe_package`` when it holds what no OVA needs: links,
        devices, absolute names, names that lead out of it, sparse files, one name twice, headers without end.
    """
    seeker = Seeker(blob, _LONGEST_EXTENSION)
    try:
        return _Reader(blob, seeker).read()
    finally:
        seeker.close()


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
        """The next member's header, behind those that extend it; None for it at the end of the archive."""
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
        if block[257:262] != b"ustar":
            raise self._broken(f"has no tar header at byte {at}")
        # The checksum counts its own field as blanks.
        if sum(block) - sum(block[148:156]) + 8 * ord(" ") != self._number(block[148:156]):
            raise self._broken(f"has a damaged tar header at byte {at}")
        name = block[:100].partition(b"\0")[0]
        prefix = block[345:500].partition(b"\0")[0]
        if prefix and block[257:263] == b"ustar\0":  # GNU's headers have other things there
            name = prefix + b"/" + name
        return _Header(name, block[156:157], at + _BLOCK, self._number(block[124:136]))

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
            raise PackageError("source_changed", f"{self._blob.label} has become shorter while it was read.", hint="Run again.")
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
        told = self._pax(extended).get(b"size")
        if told is None:
            return header.size
        if len(told) > 19 or not told.isdigit():
            raise self._broken("has a member whose size is no number")
        return int(told)

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
        if not name or len(name) > _LONGEST_NAME or not is_printable(name):
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
        return PackageError("invalid_package", f"{self._blob.label} is no readable OVA: it {what}.", hint="Get it again.")
