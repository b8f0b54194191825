# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""VMDK files, as far as they are read: the descriptor, and disks of the kind streamOptimized.

A host takes VMDKs of the kind streamOptimized and no others. Such a file has a header, grains
(pieces of the disk, each compressed) and tables that say where each grain is. Who writes it as a
stream knows that only at the end, so the header leaves the place of the tables open, and a copy of
the header behind the grains, the footer, has it; an end-of-stream marker closes the file. qemu-img
knows it at once, and writes neither footer nor marker. Both forms are valid.

``look`` reads what shows the kind of a file and whether its end is there. ``verify`` reads all of
it, as a host does, and holds it against the tables: every grain is decompressed. Both read little
at a time, whatever the size of the disk. Nothing here writes.
"""

from __future__ import annotations

import dataclasses
import re
import struct
import typing as t
import zlib

from .._errors import VforgeError

SECTOR = 512

# Hosts of all releases make this digest of a file that they are sent. It is held against damage
# alone: TLS keeps others away.
HOST_DIGEST = "sha1"

# The header of a sparse extent (Virtual Disk Format 5.0): magic, version, flags, capacity, sectors
# of a grain, place and size of the text, entries of a table, place of the second and of the first
# grain directory, sectors before the grains, a flag, four characters that text mode would spoil,
# compression.
_HEADER = struct.Struct("<4sIIQQQQIQQQB4sH")
_MAGIC = b"KDMV"
_NEWEST_TOO_OLD = 2
_SECOND_TABLES = 1 << 1
_COMPRESSED_GRAINS = 1 << 16
_DEFLATE = 1
_AT_THE_END = 2**64 - 1

# Before the data of a grain: the sector of the disk, and the number of bytes.
_GRAIN = struct.Struct("<QI")

# Where the number of bytes would be 0: sectors of what follows, and what that is.
_MARKER = struct.Struct("<QII")
_END_OF_STREAM, _TABLE, _DIRECTORY, _FOOTER = range(4)

# A grain directory has four bytes for 32 MiB of the disk: enough for 64 TiB, more than vSphere's
# largest.
_LARGEST_DIRECTORY = 8 * 2**20

# Of its tables, two KiB each, those of the last 64 GiB of the disk.
_MOST_TABLE_BYTES = 4 * 2**20

# Beyond these a header is damaged.
_MOST_GRAIN_SECTORS = 2**16
_MOST_TABLE_ENTRIES = 2**14

# An entry of a table that is no place in the file: no grain, or one of zeros.
_NO_PLACE = (0, 1)

# The text of a descriptor is some hundred bytes; one of very many extents has some thousand.
MOST_DESCRIPTOR = 2**20

# Bytes that are read at once.
_PIECE = 2**20

# A stream ends with its footer and a marker.
_END = 2 * SECTOR

_KINDS = (
    (b"# Disk DescriptorFile", "the text part of a VMDK alone, whose data are in other files"),
    (b"COWD", "a sparse VMDK of an ESXi datastore"),
    (b"QFI\xfb", "a qcow2 image"),
    (b"vhdxfile", "a VHDX image"),
    (b"conectix", "a VHD image"),
    (b"<<< ", "a VDI image of VirtualBox"),
    (b"\x1f\x8b", "a file compressed by gzip"),
    (b"BZh", "a file compressed by bzip2"),
    (b"\xfd7zXZ", "a file compressed by xz"),
    (b"\x28\xb5\x2f\xfd", "a file compressed by zstd"),
    (b"PK", "a zip archive"),
)

_CONVERT = (
    "Convert it and pack it again: qemu-img convert -O vmdk -o subformat=streamOptimized OLD NEW, "
    "or import and export it with ovftool."
)
_GET_AGAIN = "It was not copied or downloaded to its end: get it again."
_DAMAGED = "It is damaged: get it again, or convert its source again."


class NotStreamOptimized(VforgeError):
    """A host would not take this file, or not all of it."""

    error_code = "invalid_disk"


class NoDescriptor(VforgeError):
    """A text is no descriptor of a VMDK."""

    error_code = "invalid_descriptor"


class Bytes(t.Protocol):
    """The bytes of a file, wherever they are."""

    @property
    def label(self) -> str:
        """What messages call it."""

    @property
    def size(self) -> int:
        """How many there are."""

    def read(self, at: int, size: int) -> bytes:
        """As many from there, or up to the end."""


class Ends:
    """The two ends of a file that goes by, as ``Bytes``: of one that nobody keeps, they say whether
    it is a whole stream.

    :param label: what messages call it.
    """

    def __init__(self, label: str) -> None:
        self.label = label
        self.size = 0
        self._head = b""
        self._tail = b""

    def add(self, part: memoryview) -> None:
        """The next bytes of the file."""
        self._head += bytes(part[: SECTOR - len(self._head)])
        self._tail = (self._tail + bytes(part[-_END:]))[-_END:]
        self.size += len(part)

    def read(self, at: int, size: int) -> bytes:
        """As many from there, of those that are known."""
        if at + size <= SECTOR:
            return self._head[at : at + size]
        begin = at - (self.size - len(self._tail))
        return self._tail[begin : begin + size] if begin >= 0 else b""


# Descriptors


@dataclasses.dataclass(frozen=True)
class Extent:
    """A part of a disk.

    :ivar access: ``RW``, ``RDONLY`` or ``NOACCESS``.
    :ivar sectors: of 512 bytes.
    :ivar kind: as ``FLAT``, ``VMFS``, ``SPARSE``, ``ZERO``.
    :ivar file: name of its file; empty where it has none.
    :ivar offset: sectors into that file.
    """

    access: str
    sectors: int
    kind: str
    file: str = ""
    offset: int = 0


@dataclasses.dataclass(frozen=True)
class Descriptor:
    """The text part of a VMDK.

    :ivar values: what is set in it, by lower-case name (``cid``, ``createtype``,
        ``ddb.adaptertype``).
    """

    values: t.Mapping[str, str]
    extents: tuple[Extent, ...]

    @property
    def create_type(self) -> str:
        """As ``vmfs``, ``monolithicSparse``, ``streamOptimized``."""
        return self.values.get("createtype", "")

    @property
    def capacity(self) -> int:
        """Of the disk, in bytes."""
        return sum(extent.sectors for extent in self.extents) * SECTOR

    @property
    def parent(self) -> str:
        """The descriptor of the disk that this is a delta disk of; empty where it is none."""
        return self.values.get("parentfilenamehint", "")

    @property
    def adapter(self) -> str:
        """As ``lsilogic``; empty where none is named."""
        return self.values.get("ddb.adaptertype", "")


_SET = re.compile(r'\s*([A-Za-z][\w.]*)\s*=\s*(?:"([^"]*)"|(\S+))\s*')
_EXTENT = re.compile(r'\s*(RW|RDONLY|NOACCESS)\s+(\d{1,18})\s+([A-Z]+[A-Z0-9_]*)(?:\s+"([^"]+)"(?:\s+(\d{1,18}))?)?.*')


def descriptor(data: bytes, label: str) -> Descriptor:
    """Read the text part of a VMDK, which may be filled up with zeros.

    :raises NoDescriptor: it is none.
    """
    text = data.partition(b"\0")[0]
    if b"# Disk DescriptorFile" not in text[:512]:
        raise NoDescriptor(f"{label} has no descriptor of a VMDK.", hint="Look whether it is a VMDK at all.")
    values: dict[str, str] = {}
    extents: list[Extent] = []
    for line in text.decode("utf-8", "replace").splitlines():
        if found := _EXTENT.fullmatch(line):
            access, sectors, kind, file, offset = found.groups()
            extents.append(Extent(access, int(sectors), kind, file or "", int(offset or 0)))
        elif found := _SET.fullmatch(line):
            values.setdefault(found[1].lower(), found[2] if found[2] is not None else found[3])
    return Descriptor(values, tuple(extents))


# Headers


@dataclasses.dataclass(frozen=True)
class Header:
    """What matters of a header; places and sizes in sectors.

    :ivar text: place and size of the descriptor in the file.
    """

    version: int
    flags: int
    capacity: int
    grain: int
    text: tuple[int, int]
    entries: int
    second: int
    directory: int
    overhead: int
    compression: int

    @property
    def streamed(self) -> bool:
        """Whether the place of the tables is in the footer."""
        return self.directory == _AT_THE_END

    @property
    def tables(self) -> int:
        """Entries of the grain directory."""
        return -(-self.capacity // (self.grain * self.entries))


def header_of(head: bytes) -> Header | None:
    """The header of a sparse VMDK, of whatever kind; None where the bytes begin with no such thing."""
    if len(head) < SECTOR or not head.startswith(_MAGIC):
        return None
    fields = _HEADER.unpack_from(head)
    _magic, version, flags, capacity, grain, text, text_size, entries, second, directory, overhead = fields[:11]
    return Header(version, flags, capacity, grain, (text, text_size), entries, second, directory, overhead, fields[13])


def kind_of_bytes(head: bytes) -> str:
    """What a file is that begins with these bytes, in words; empty where they do not show it."""
    return next((kind for magic, kind in _KINDS if head.startswith(magic)), "")


def embedded_descriptor(source: Bytes) -> Descriptor | None:
    """The descriptor inside a sparse VMDK; None where it is no such file, or has none in it.

    :raises NoDescriptor: what is in its place is none.
    """
    header = header_of(source.read(0, SECTOR))
    if header is None or not header.text[0]:
        return None
    place, size = (sectors * SECTOR for sectors in header.text)
    return descriptor(source.read(place, min(size, MOST_DESCRIPTOR)), source.label)


# What shows the kind of a file, and its end


def look(source: Bytes, *, to_the_end: bool = True) -> Header:
    """Make sure that a file looks like one that a host takes, from its first and its last bytes.

    :param to_the_end: whether its end can be read, too.
    :returns: the header; of a stream the one in the footer, which has the place of the tables.
    :raises NotStreamOptimized: it does not; the message says what it is, the hint what to do.
    """
    header = _header(source)
    if not to_the_end:
        return header
    if header.streamed:
        return _footer(source)
    _check_last_grain(source, header)
    return header


def look_at_ends(source: Ends) -> Header:
    """Make sure that what a host has sent begins and ends as a stream of a disk does, whatever its
    version.

    :returns: the header.
    :raises NotStreamOptimized: it does not.
    """
    header = _compressed(source)
    if header.streamed:
        _footer(source)
    return header


def _header(source: Bytes) -> Header:
    header = _compressed(source)
    if header.version <= _NEWEST_TOO_OLD:
        raise _wrong(
            source,
            f"is a VMDK of version {header.version}, which hosts call too old: they take version 3",
            _CONVERT,
        )
    if not 0 < header.grain <= _MOST_GRAIN_SECTORS or not 0 < header.entries <= _MOST_TABLE_ENTRIES:
        raise _wrong(source, "has a damaged header", _GET_AGAIN)
    if not header.capacity or 4 * header.tables > _LARGEST_DIRECTORY:
        raise _wrong(source, "has a damaged header", _GET_AGAIN)
    return header


def _compressed(source: Bytes) -> Header:
    """The header of a VMDK whose grains are compressed."""
    head = source.read(0, SECTOR)
    header = header_of(head)
    if header is None:
        raise _other_kind(source, head)
    if not header.flags & _COMPRESSED_GRAINS or header.compression != _DEFLATE:
        raise _wrong(source, "is a monolithicSparse VMDK, whose grains are not compressed", _CONVERT)
    return header


def _other_kind(source: Bytes, head: bytes) -> NotStreamOptimized:
    """The error for what is no sparse VMDK at all."""
    kind = kind_of_bytes(head)
    if not kind and len(head) < SECTOR:
        return _wrong(source, f"has {source.size} bytes, too few for a disk", _GET_AGAIN)
    return _wrong(source, f"is {kind or 'a raw image, or no disk at all'}", _CONVERT)


def _footer(source: Bytes) -> Header:
    """The last two sectors are the footer and the end-of-stream marker."""
    end = source.read(max(source.size - _END, 0), _END)
    footer, marker = header_of(end[:SECTOR]), end[SECTOR:]
    if footer is None or len(marker) != SECTOR or marker.strip(b"\0"):
        raise _cut(source, "its footer and end-of-stream marker are not there")
    if footer.directory * SECTOR >= source.size:
        raise _cut(source, "its grain directory is behind its end")
    return footer


def _check_last_grain(source: Bytes, header: Header) -> None:
    """The grain that is last in the file is there, from its first byte to its last one."""
    tables = [place for place in _numbers(_bytes(source, header.directory, 4 * header.tables)) if place]
    last = max(_numbers(_last_tables(source, header, tables)), default=0)
    if last not in _NO_PLACE:
        _sector, size = _GRAIN.unpack(_bytes(source, last, _GRAIN.size))
        if last * SECTOR + _GRAIN.size + size > source.size:
            raise _cut(source, "its last grain is not whole")


def _last_tables(source: Bytes, header: Header, tables: t.Sequence[int]) -> bytes:
    """The tables of the end of the disk, in one read where they follow one another, as qemu-img has
    them.

    The end of a disk is often empty, so the last table alone says nothing.
    """
    length = _sectors(4 * header.entries)
    chosen = tables[-_MOST_TABLE_BYTES // (length * SECTOR) :]
    if not chosen:
        return b""
    if [place - chosen[0] for place in chosen] != list(range(0, length * len(chosen), length)):
        chosen = [max(chosen)]
    return _bytes(source, chosen[0], length * SECTOR * len(chosen))


def check_sparse(source: Bytes) -> None:
    """Make sure that a sparse VMDK, of which grains are not compressed, has all grains that its
    tables name.

    :raises NotStreamOptimized: it has not; it was cut short, or is no such file.
    """
    header = header_of(source.read(0, SECTOR))
    if header is None or not 0 < header.grain <= _MOST_GRAIN_SECTORS or not 0 < header.entries <= _MOST_TABLE_ENTRIES:
        raise _wrong(source, "has a damaged header", _GET_AGAIN)
    if 4 * header.tables > _LARGEST_DIRECTORY:
        raise _wrong(source, "has a damaged header", _GET_AGAIN)
    for sector, place in grains_of_tables(source, header):
        end = place + min(header.grain, header.capacity - sector)
        if end * SECTOR > source.size:
            raise _cut(source, f"its tables name a grain up to byte {end * SECTOR}")


def grains_of_tables(source: Bytes, header: Header) -> t.Iterator[tuple[int, int]]:
    """The grains that the tables name: the sector of the disk, and that of the file."""
    sector = 0
    for place in _directory(source, header, header.directory):
        table = _bytes(source, place, 4 * header.entries) if place else b""
        for number, grain in enumerate(_numbers(table)):
            if grain not in _NO_PLACE:
                yield sector + number * header.grain, grain
        sector += header.entries * header.grain


# All of it


@dataclasses.dataclass(frozen=True)
class Verified:
    """A streamOptimized VMDK of which every byte was looked at.

    :ivar capacity: of the disk, in bytes.
    :ivar allocated: bytes of the disk that the file has; the rest is zeros.
    :ivar grains: that the file has.
    :ivar streamed: whether its tables are behind its grains.
    """

    capacity: int
    allocated: int
    grains: int
    streamed: bool


# Takes the bytes of a disk in their order: what is there, and how many bytes of zeros.
Take: t.TypeAlias = t.Callable[[bytes | int], None]


def verify(source: Bytes, take: Take | None = None) -> Verified:
    """Make sure that a host takes a file, and gets the whole disk from it.

    The file is walked from its first grain to its end, as a host reads it that gets it as a stream:
    grains are in the order of the disk, each can be decompressed to its whole length, and where the
    stream has more than grains, that is as long as it says. In lockstep the tables are read, by
    which everybody else finds the grains: both say the same.

    :param take: is called with the bytes of the disk in their order, each piece or number of zeros
        as soon as it is known; what it raises comes through.
    :raises NotStreamOptimized: it is something else, damaged, or was cut short.
    """
    header = _header(source)
    tables = dataclasses.replace(look(source), overhead=header.overhead)
    same = ("version", "flags", "capacity", "grain", "entries", "compression")
    if any(getattr(header, each) != getattr(tables, each) for each in same):
        raise _wrong(source, "has a footer that is not like its header", _DAMAGED)
    _check_text(source, header)
    if header.flags & _SECOND_TABLES and not header.streamed:
        _check_second_tables(source, header)
    return _Walk(source, tables, take, streamed=header.streamed).run()


def _check_text(source: Bytes, header: Header) -> None:
    """The descriptor in the file, where there is one, says the same as the header."""
    if not header.text[0]:
        return
    try:
        found = embedded_descriptor(source)
    except NoDescriptor:
        raise _wrong(source, "has no descriptor where its header says", _DAMAGED) from None
    if found is not None and found.create_type.lower() != "streamoptimized":
        raise _wrong(source, f"calls itself {found.create_type or 'nothing'} in its descriptor", _CONVERT)
    if found is not None and found.capacity != header.capacity * SECTOR:
        what = f"is a disk of {header.capacity * SECTOR} bytes by its header, and of {found.capacity} by its descriptor"
        raise _wrong(source, what, _DAMAGED)


def _check_second_tables(source: Bytes, header: Header) -> None:
    """A reader may take either copy of the tables."""
    size = 4 * header.entries
    both = zip(_directory(source, header, header.second), _directory(source, header, header.directory), strict=True)
    for second, first in both:
        if bool(second) != bool(first) or (first and _bytes(source, second, size) != _bytes(source, first, size)):
            raise _wrong(source, "has two copies of its tables that differ", _DAMAGED)


def _directory(source: Bytes, header: Header, place: int) -> t.Iterator[int]:
    return _numbers(_bytes(source, place, 4 * header.tables))


class _Walk:
    """From the first grain of a file to its end.

    :param header: with the place of the tables.
    """

    def __init__(self, source: Bytes, header: Header, take: Take | None, *, streamed: bool) -> None:
        self._source = source
        self._header = header
        self._streamed = streamed
        self._take = take
        self._window = _Window(source)
        self._named = grains_of_tables(source, header)
        self._sector = 0  # of the disk, up to which all is known
        self._grains = 0
        self._allocated = 0

    def run(self) -> Verified:
        """Every grain, and then the end."""
        at = self._header.overhead * SECTOR
        while at < self._source.size:
            number, size = _GRAIN.unpack(self._window.read(at, _GRAIN.size).ljust(_GRAIN.size, b"\0"))
            if size:
                at = self._grain(at, number, size)
                continue
            kind = int.from_bytes(self._window.read(at + _GRAIN.size, 4), "little")
            if kind == _END_OF_STREAM:
                self._end(at)
                break
            at = self._other(at, number, kind)
        if next(self._named, None) is not None:
            raise _cut(self._source, "its tables name a grain that it does not have")
        self._skip_to(self._header.capacity)
        capacity = self._header.capacity * SECTOR
        return Verified(capacity, self._allocated, self._grains, self._streamed)

    def _grain(self, at: int, sector: int, size: int) -> int:
        """One grain; returns where the next one begins."""
        place = f"the grain of sector {sector}, at byte {at},"
        # The tables name grains in the order of the disk, so grains out of order are found here,
        # too.
        if next(self._named, None) != (sector, at // SECTOR):
            hint = f"{_DAMAGED} The option -W of qemu-img makes such files."
            raise _wrong(self._source, f"has {place} where its tables have none, or another", hint)
        if sector >= self._header.capacity:
            raise _wrong(self._source, f"has {place} behind the end of its disk", _DAMAGED)
        whole = self._header.grain * SECTOR
        packed = self._window.read(at + _GRAIN.size, size) if size <= 2 * whole + SECTOR else b""
        if len(packed) < size:
            raise _cut(self._source, f"{place} is not whole")
        data = self._unpacked(packed, whole, place)
        rest = (self._header.capacity - sector) * SECTOR
        if len(data) < min(whole, rest):
            raise _wrong(self._source, f"has {place} of {len(data)} bytes, where {min(whole, rest)} belong", _DAMAGED)
        self._skip_to(sector)
        data = data[:rest]
        if self._take is not None:
            self._take(data)
        self._sector += len(data) // SECTOR
        self._allocated += len(data)
        self._grains += 1
        return at + _sectors(_GRAIN.size + size) * SECTOR

    def _unpacked(self, packed: bytes, whole: int, place: str) -> bytes:
        unpacking = zlib.decompressobj()
        try:
            data = unpacking.decompress(packed, whole + 1)
        except zlib.error:
            raise _wrong(self._source, f"has {place} that cannot be decompressed", _DAMAGED) from None
        if len(data) > whole or not unpacking.eof or unpacking.unused_data:
            raise _wrong(self._source, f"has {place} whose length is not what it says", _DAMAGED)
        return data

    def _other(self, at: int, sectors: int, kind: int) -> int:
        """What a stream has beside grains; returns where it ends."""
        lengths = {
            _TABLE: _sectors(4 * self._header.entries),
            _DIRECTORY: _sectors(4 * self._header.tables),
            _FOOTER: 1,
        }
        if lengths.get(kind) != sectors:
            raise _wrong(self._source, f"has a marker at byte {at} that is none", _DAMAGED)
        after = at + (1 + sectors) * SECTOR
        if after > self._source.size:
            raise _cut(self._source, f"what is at byte {at} is not whole")
        return after

    def _end(self, at: int) -> None:
        """What follows the end is nothing, or zeros that fill the last grain up."""
        rest = self._source.size - at
        filling = SECTOR if self._streamed else self._header.grain * SECTOR
        if rest > filling or self._window.read(at, rest).strip(b"\0"):
            raise _wrong(self._source, f"has something behind its end at byte {at}", _DAMAGED)

    def _skip_to(self, sector: int) -> None:
        if self._take is not None and sector > self._sector:
            self._take((sector - self._sector) * SECTOR)
        self._sector = sector


class _Window:
    """Reads a file from its start to its end, in large pieces."""

    def __init__(self, source: Bytes) -> None:
        self._source = source
        self._at = 0
        self._data = b""

    def read(self, at: int, size: int) -> bytes:
        """As ``Bytes.read``."""
        if not self._at <= at <= at + size <= self._at + len(self._data):
            self._at, self._data = at, self._source.read(at, max(size, _PIECE))
        return self._data[at - self._at :][:size]


def _sectors(size: int) -> int:
    return -(-size // SECTOR)


def _numbers(data: bytes) -> t.Iterator[int]:
    return (number for (number,) in struct.iter_unpack("<I", data))


def _bytes(source: Bytes, sector: int, size: int) -> bytes:
    at = sector * SECTOR
    if at + size > source.size:
        raise _cut(source, f"its tables lead to byte {at + size}")
    return source.read(at, size)


def _cut(source: Bytes, why: str) -> NotStreamOptimized:
    return _wrong(source, f"was cut short at {source.size} bytes: {why}", _GET_AGAIN)


def _wrong(source: Bytes, what: str, hint: str) -> NotStreamOptimized:
    return NotStreamOptimized(f"{source.label} {what}. Hosts take streamOptimized VMDKs.", hint=hint)
