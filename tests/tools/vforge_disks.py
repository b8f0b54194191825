# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Small streamOptimized disks for tests, as VMware's tools and as qemu-img write them. Standard library only.

Both forms have a header, a text, grains of 64 KiB that zlib compresses, and tables of where the grains are.
VMware's tools write the tables behind the grains, then a footer and an end-of-stream marker; qemu-img writes
the tables before the grains, and neither of the two others.
"""

from __future__ import annotations

import hashlib
import struct
import zlib

SECTOR = 512
MIB = 2**20

_HEADER = struct.Struct("<4sIIQQQQIQQQB4sH")
_GRAIN_SECTORS = 128
_ENTRIES = 512
_AT_THE_END = 2**64 - 1
_TABLE_SECTORS = 4 * _ENTRIES // SECTOR

# Markers: sectors of what follows, nothing, and what it is.
_MARKER = struct.Struct("<QII")
_END_OF_STREAM, _GRAIN_TABLE, _GRAIN_DIRECTORY, _FOOTER = range(4)


def noise(size: int, seed: object = 1) -> bytes:
    """Bytes that no compression makes smaller, the same for the same seed."""
    return hashlib.shake_256(str(seed).encode()).digest(size)


def qemu(size: int, seed: object = 1, capacity: int = 64 * MIB) -> bytes:
    """A disk in the form of qemu-img, whose file has exactly this size.

    size: at least 8 KiB; it is filled up with grains of noise, and at its end with zeros.
    """
    tables = -(-capacity // (SECTOR * _GRAIN_SECTORS * _ENTRIES))
    directory = 2
    first_table = directory + -(-4 * tables // SECTOR)
    overhead = first_table + _TABLE_SECTORS * tables
    grains, places, room = b"", [], size - overhead * SECTOR
    most = min(capacity // (SECTOR * _GRAIN_SECTORS), _ENTRIES * tables)
    while len(places) < most:
        grain = _grain(len(places), room - len(grains), seed)
        if not grain:
            break
        places.append(overhead + len(grains) // SECTOR)
        grains += grain
    head = _header(capacity, directory, overhead) + _text(capacity)
    head += _padded(struct.pack(f"<{tables}I", *(first_table + _TABLE_SECTORS * one for one in range(tables))))
    head += struct.pack(f"<{_ENTRIES * tables}I", *places, *[0] * (_ENTRIES * tables - len(places)))
    return (head + grains).ljust(size, b"\0")


def stream(grains: int, seed: object = 1, capacity: int = 64 * MIB) -> bytes:
    """A disk in the form of VMware's tools, with so many grains of noise."""
    data = _header(capacity, _AT_THE_END, 2) + _text(capacity)
    tables = -(-capacity // (SECTOR * _GRAIN_SECTORS * _ENTRIES))
    places = []
    for number in range(grains):
        places.append(len(data) // SECTOR)
        data += _grain(number, 2**17, seed)
    directory = []
    for number in range(tables):
        entries = places[number * _ENTRIES : (number + 1) * _ENTRIES]
        if not entries:
            directory.append(0)
            continue
        data += _marker(_TABLE_SECTORS, _GRAIN_TABLE)
        directory.append(len(data) // SECTOR)
        data += struct.pack(f"<{_ENTRIES}I", *entries, *[0] * (_ENTRIES - len(entries)))
    table = _padded(struct.pack(f"<{tables}I", *directory))
    data += _marker(len(table) // SECTOR, _GRAIN_DIRECTORY)
    place = len(data) // SECTOR
    data += table + _marker(1, _FOOTER)
    return data + _header(capacity, place, 2) + _marker(0, _END_OF_STREAM)


def contents(data: bytes) -> dict[int, bytes]:
    """What is on the disk of a file in either form: its grains that are not zeros, by their place in bytes."""
    head = _HEADER.unpack_from(data)
    if head[9] == _AT_THE_END:
        head = _HEADER.unpack_from(data, len(data) - 2 * SECTOR)
    sectors, directory = head[3], head[9]
    tables = -(-sectors // (_GRAIN_SECTORS * _ENTRIES))
    grains = {}
    for number, table in enumerate(struct.unpack_from(f"<{tables}I", data, directory * SECTOR)):
        places = struct.unpack_from(f"<{_ENTRIES}I", data, table * SECTOR) if table else ()
        for entry, place in enumerate(places):
            if place:
                at, size = struct.unpack_from("<QI", data, place * SECTOR)
                assert at == (number * _ENTRIES + entry) * _GRAIN_SECTORS, "a grain of another place"
                grains[at * SECTOR] = zlib.decompress(data[place * SECTOR + 12 :][:size])
    return {at: grain for at, grain in grains.items() if grain.strip(b"\0")}


def header(version: int = 3, flags: int = 0x30001, compression: int = 1, capacity: int = 64 * MIB) -> bytes:
    """The header alone, with what can be wrong in it."""
    return _header(capacity, 2, 128, version, flags, compression)


def _header(
    capacity: int, directory: int, overhead: int, version: int = 3, flags: int = 0x30001, compression: int = 1
) -> bytes:
    size, second = -(-capacity // SECTOR), 0 if directory == _AT_THE_END else directory
    return _HEADER.pack(
        b"KDMV", version, flags, size, _GRAIN_SECTORS, 1, 1, _ENTRIES, second, directory, overhead, 0, b"\n \r\n", compression
    ).ljust(SECTOR, b"\0")


def _text(capacity: int) -> bytes:
    lines = ("# Disk DescriptorFile", "version=1", "CID=fffffffe", "parentCID=ffffffff", 'createType="streamOptimized"')
    extent = f'RDONLY {-(-capacity // SECTOR)} SPARSE "disk.vmdk"'
    return "\n".join((*lines, extent, 'ddb.adapterType = "lsilogic"')).encode().ljust(SECTOR, b"\0")


def _grain(number: int, room: int, seed: object) -> bytes:
    """A grain that takes at most this room; empty where there is not enough of it."""
    whole = SECTOR * _GRAIN_SECTORS
    data = noise(min(whole, max(room - 2 * SECTOR, 0)), f"{seed} {number}").ljust(whole, b"\0")
    packed = zlib.compress(data, 1)
    grain = _padded(struct.pack("<QI", number * _GRAIN_SECTORS, len(packed)) + packed)
    return grain if len(grain) < room else b""


def _marker(sectors: int, kind: int) -> bytes:
    return _MARKER.pack(sectors, 0, kind).ljust(SECTOR, b"\0")


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % SECTOR)
