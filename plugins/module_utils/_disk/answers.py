# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is said of the bytes of disks. Pure: bytes and areas in, plain values out."""

from __future__ import annotations

import dataclasses
import hashlib
import typing as t

from .asking import SECTOR

_ROW = 16
_PRINTABLE = range(0x20, 0x7F)


def dump(data: bytes, start: int) -> list[str]:
    """Bytes as rows of hexadecimal digits and text, sixteen in each; rows that repeat are one
    ``*``.

    :param start: place of the first byte on the disk.
    """
    lines: list[str] = []
    last: bytes | None = None
    for at in range(0, len(data), _ROW):
        row = data[at : at + _ROW]
        if row == last and at + _ROW < len(data):
            if lines[-1] != "*":
                lines.append("*")
            continue
        last = row
        digits = " ".join(f"{byte:02x}" for byte in row)
        text = "".join(chr(byte) if byte in _PRINTABLE else "." for byte in row)
        lines.append(f"{start + at:012x}  {digits:<47}  |{text}|")
    return lines


def blocks(areas: t.Iterable[tuple[int, int]], size: int, capacity: int) -> list[tuple[int, int]]:
    """The blocks that have something of the areas: starts and lengths, those that touch in one.

    :param areas: starts and lengths, in their order.
    :param size: of a block, in bytes.
    """
    found: list[tuple[int, int]] = []
    for start, length in areas:
        first = start // size * size
        end = min(-(-(start + length) // size) * size, capacity)
        if length <= 0 or end <= first:
            continue
        if found and first <= found[-1][0] + found[-1][1]:
            begin = found[-1][0]
            found[-1] = (begin, max(end, begin + found[-1][1]) - begin)
        else:
            found.append((first, end - first))
    return found


def union(one: t.Iterable[tuple[int, int]], other: t.Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """What is in one of two lists of areas, each byte once."""
    found: list[tuple[int, int]] = []
    for start, length in sorted([*one, *other]):
        if found and start <= found[-1][0] + found[-1][1]:
            begin = found[-1][0]
            found[-1] = (begin, max(start + length, begin + found[-1][1]) - begin)
        elif length:
            found.append((start, length))
    return found


@dataclasses.dataclass
class Differences:
    """What differs between two disks, piece by piece.

    :ivar first: place of the first byte that differs; None where none does.
    :ivar sectors: how many differ.
    """

    first: int | None = None
    sectors: int = 0

    def take(self, one: bytes, other: bytes, start: int) -> None:
        """Compare pieces of the same place. A shorter one goes on with zeros.

        :param start: place of both, a multiple of a sector.
        """
        if one == other:
            return
        size = max(len(one), len(other))
        one, other = one.ljust(size, b"\0"), other.ljust(size, b"\0")
        for at in range(0, size, SECTOR):
            mine, theirs = one[at : at + SECTOR], other[at : at + SECTOR]
            if mine == theirs:
                continue
            self.sectors += 1
            if self.first is None:
                self.first = start + at + next(i for i, (a, b) in enumerate(zip(mine, theirs, strict=True)) if a != b)


class Digests:
    """The SHA-256 of each block of a disk, from its first byte to its last one.

    :param size: of a block, in bytes.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._of_zeros = hashlib.sha256(bytes(size)).hexdigest()
        self._open = hashlib.sha256()
        self._filled = 0
        self.found: list[str] = []

    def zeros(self, length: int) -> None:
        """The next bytes are zeros; whole blocks of them cost nothing."""
        if self._filled:
            rest = min(length, self._size - self._filled)
            self.take(bytes(rest))
            length -= rest
        self.found += [self._of_zeros] * (length // self._size)
        if length % self._size:
            self.take(bytes(length % self._size))

    def take(self, data: bytes | memoryview) -> None:
        """The next bytes."""
        while data:
            part = data[: self._size - self._filled]
            self._open.update(part)
            self._filled += len(part)
            data = data[len(part) :]
            if self._filled == self._size:
                self._close()

    def end(self) -> list[str]:
        """All of them; the last block may be a shorter one."""
        if self._filled:
            self._close()
        return self.found

    def _close(self) -> None:
        self.found.append(self._open.hexdigest())
        self._open, self._filled = hashlib.sha256(), 0
