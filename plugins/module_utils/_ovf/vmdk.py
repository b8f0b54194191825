# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Is a file a disk that an ESXi host takes? Seen from its first and its last bytes, before anything is made.

A host takes VMDKs of the kind streamOptimized and no others. Such a file has a header, grains
(pieces of the disk, each compressed) and tables that say where each grain is. Who writes it as a
stream knows that only at the end, so the header leaves the place of the tables open, and a copy of
the header behind the grains, the footer, has it; an end-of-stream marker closes the file. qemu-img
knows it at once, and writes neither footer nor marker. Both forms are valid.

Only what shows the kind of a file, and whether its end is there, is read: nothing is unpacked.
"""

from __future__ import annotations

import struct
import typing as t

from .blobs import Blob, Seeker, SliceBlob
from .errors import PackageError
from .package import Package
from .websource import page_instead

_SECTOR = 512

# The header of a sparse extent (Virtual Disk Format 5.0): magic, version, flags, capacity, sectors
# of a grain, place and size of the text, entries of a table, place of the second and of the first
# grain directory, sectors before the grains, a flag, four characters that text mode would spoil,
# compression.
_HEADER = struct.Struct("<4sIIQQQQIQQQB4sH")
_MAGIC = b"KDMV"
_NEWEST_TOO_OLD = 2
_COMPRESSED_GRAINS = 1 << 16
_DEFLATE = 1
_AT_THE_END = 2**64 - 1

# Before the data of a grain: the sector of the disk, and the number of bytes.
_GRAIN = struct.Struct("<QI")

# A grain directory has four bytes for 32 MiB of the disk: enough for 64 TiB, more than vSphere's
# largest.
_LARGEST_DIRECTORY = 8 * 2**20

# Of its tables, two KiB each, those of the last 64 GiB of the disk.
_MOST_TABLE_BYTES = 4 * 2**20

# Beyond these a header is damaged.
_MOST_GRAIN_SECTORS = 2**16
_MOST_TABLE_ENTRIES = 2**14

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


class _Header(t.NamedTuple):
    """What matters of a header; places and sizes in sectors."""

    version: int
    flags: int
    capacity: int
    grain: int
    entries: int
    directory: int
    compression: int


def check_disks(package: Package, wanted: t.Collection[str]) -> None:
    """Make sure that a host takes the disks that are to be sent.

    :param wanted: names of files, as the descriptor has them. Those that are no disk are left
        alone.
    :raises PackageError: ``invalid_package``, naming the disk, what it is, and how to convert it.
    """
    by_id = {file.id: file.href for file in package.descriptor.files}
    for disk in package.descriptor.disks:
        href = by_id.get(disk.file, "")
        if href in wanted and href in package.files:
            check(package.files[href], disk.capacity)


def check(blob: Blob, capacity: int | None) -> None:
    """Make sure that a host takes a disk.

    A web server that cannot send a part of a file would send all of it once more for its end. What
    its headers do not show, the host finds then.

    :param capacity: bytes of the disk in the descriptor; None where it is not known.
    :raises PackageError: as ``check_disks``.
    """
    if not blob.seekable and isinstance(blob, SliceBlob):
        return
    seeker = Seeker(blob, _LARGEST_DIRECTORY)
    try:
        header = _header(blob, seeker.read(0, _SECTOR))
        _check_capacity(blob, header, capacity)
        if not blob.seekable:
            return
        if header.directory == _AT_THE_END:
            _check_end(blob, seeker)
        else:
            _check_tables(blob, header, seeker)
    finally:
        seeker.close()


def _header(blob: Blob, head: bytes) -> _Header:
    if len(head) < _SECTOR or not head.startswith(_MAGIC):
        raise _other_kind(blob, head)
    fields = _HEADER.unpack_from(head)
    _magic, version, flags, capacity, grain, _text, _text_size, entries, _second, directory = fields[:10]
    header = _Header(version, flags, capacity, grain, entries, directory, fields[13])
    if not flags & _COMPRESSED_GRAINS or header.compression != _DEFLATE:
        raise _wrong(blob, "is a monolithicSparse VMDK, whose grains are not compressed", _CONVERT)
    if version <= _NEWEST_TOO_OLD:
        raise _wrong(
            blob,
            f"is a VMDK of version {version}, which hosts call too old: they take version 3",
            _CONVERT,
        )
    if not 0 < grain <= _MOST_GRAIN_SECTORS or not 0 < entries <= _MOST_TABLE_ENTRIES or not capacity:
        raise _wrong(blob, "has a damaged header", _GET_AGAIN)
    return header


def _other_kind(blob: Blob, head: bytes) -> PackageError:
    """The error for what is no sparse VMDK at all."""
    if head.lstrip()[:15].lower().startswith((b"<!doctype html", b"<html")):
        return page_instead(blob.label)
    kind = next((kind for magic, kind in _KINDS if head.startswith(magic)), "")
    if not kind and len(head) < _SECTOR:
        return _wrong(blob, f"has {blob.size} bytes, too few for a disk", _GET_AGAIN)
    return _wrong(blob, f"is {kind or 'a raw image, or no disk at all'}", _CONVERT)


def _check_capacity(blob: Blob, header: _Header, capacity: int | None) -> None:
    """A disk may be made larger than what is written to it, and never smaller."""
    size = header.capacity * _SECTOR
    if capacity is not None and size > -(-capacity // _SECTOR) * _SECTOR:
        raise _wrong(
            blob,
            f"is a disk of {size} bytes, and the descriptor makes one of {capacity} for it",
            "The disk was exchanged, or the descriptor was changed: correct the disk's ovf:capacity.",
        )


def _check_end(blob: Blob, seeker: Seeker) -> None:
    """The last two sectors are the footer and the end-of-stream marker."""
    end = seeker.read(max(blob.size - 2 * _SECTOR, 0), 2 * _SECTOR)
    footer, marker = end[:_SECTOR], end[_SECTOR:]
    if not footer.startswith(_MAGIC) or len(marker) != _SECTOR or marker.strip(b"\0"):
        raise _cut(blob, "its footer and end-of-stream marker are not there")
    if _HEADER.unpack_from(footer)[9] * _SECTOR >= blob.size:
        raise _cut(blob, "its grain directory is behind its end")


def _check_tables(blob: Blob, header: _Header, seeker: Seeker) -> None:
    """The grain that is last in the file is there, from its first byte to its last one."""
    count = -(-header.capacity // (header.grain * header.entries))
    if 4 * count > _LARGEST_DIRECTORY:
        raise _wrong(blob, "has a damaged header", _GET_AGAIN)
    tables = [place for place in _numbers(_bytes(blob, seeker, header.directory, 4 * count)) if place]
    last = max(_numbers(_last_tables(blob, header, seeker, tables)), default=0)
    if last > 1:  # 1 is a grain of zeros, which takes no place
        marker = _bytes(blob, seeker, last, _GRAIN.size)
        _sector, size = _GRAIN.unpack(marker)
        if last * _SECTOR + _GRAIN.size + size > blob.size:
            raise _cut(blob, "its last grain is not whole")


def _last_tables(blob: Blob, header: _Header, seeker: Seeker, tables: t.Sequence[int]) -> bytes:
    """The tables of the end of the disk, in one read where they follow one another, as qemu-img has them.

    The end of a disk is often empty, so the last table alone says nothing.
    """
    length = -(-4 * header.entries // _SECTOR)
    chosen = tables[-_MOST_TABLE_BYTES // (length * _SECTOR) :]
    if not chosen:
        return b""
    if [place - chosen[0] for place in chosen] != list(range(0, length * len(chosen), length)):
        chosen = [max(chosen)]
    return _bytes(blob, seeker, chosen[0], length * _SECTOR * len(chosen))


def _numbers(data: bytes) -> t.Iterator[int]:
    return (number for (number,) in struct.iter_unpack("<I", data))


def _bytes(blob: Blob, seeker: Seeker, sector: int, size: int) -> bytes:
    at = sector * _SECTOR
    if at + size > blob.size:
        raise _cut(blob, f"its tables lead to byte {at + size}")
    return seeker.read(at, size)


def _cut(blob: Blob, why: str) -> PackageError:
    return _wrong(blob, f"was cut short at {blob.size} bytes: {why}", _GET_AGAIN)


def _wrong(blob: Blob, what: str, hint: str) -> PackageError:
    return PackageError(
        "invalid_package",
        f"{blob.label} {what}. Hosts take streamOptimized VMDKs.",
        hint=hint,
    )
