# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An audit: a disk is read whole and compared with its newest backup. What differs and is not among
the changes that tracking reports is what tracking has missed.

What differs is written into the new point, so that this one is right, whatever tracking says.
Tracking itself may go on missing changes: it has to be reset.
"""

from __future__ import annotations

import array
import bisect
import contextlib
import dataclasses
import hashlib
import threading
import time
import typing as t

from .copying import Copied, Stream, at_once, not_as_backed_up, pieces
from .model import BLOCK, SECTOR, short_read

if t.TYPE_CHECKING:
    from .blockmap import BlockMap
    from .images import Nbd

# What differs is written in pieces of qcow2's clusters.
_CHUNK = 64 * 1024

# Of the areas that tracking has missed, the first ones are named.
MOST_NAMED = 100


class Tracked:
    """The changes that tracking reports of a disk.

    :param areas: starts and lengths, sorted, apart from each other.
    """

    def __init__(self, areas: t.Iterable[tuple[int, int]]) -> None:
        self._starts, self._ends = array.array("Q"), array.array("Q")
        for start, length in areas:
            self._starts.append(start)
            self._ends.append(start + length)

    def touches(self, start: int, end: int) -> bool:
        """Whether any of them has something between two places."""
        first = bisect.bisect_right(self._ends, start)
        return first < len(self._starts) and self._starts[first] < end


@dataclasses.dataclass
class Missed:
    """What tracking has missed of one disk.

    :ivar bytes: in whole sectors.
    :ivar areas: the first of them, starts and lengths, sorted.
    """

    bytes: int = 0
    areas: list[tuple[int, int]] = dataclasses.field(default_factory=list)

    def add(self, start: int, length: int) -> None:
        """One more area."""
        self.bytes += length
        self.areas.append((start, length))
        if len(self.areas) > 2 * MOST_NAMED:
            self.in_order()

    def in_order(self) -> None:
        """Sort them, join those that touch, and keep the first: readers find them in any order."""
        joined: list[tuple[int, int]] = []
        for start, length in sorted(self.areas):
            if joined and sum(joined[-1]) == start:
                joined[-1] = (joined[-1][0], joined[-1][1] + length)
            else:
                joined.append((start, length))
        self.areas = joined[:MOST_NAMED]


def differing(data: bytes | bytearray, earlier: bytes | bytearray, size: int) -> t.Iterator[tuple[int, int]]:
    """Where two blocks differ, in whole pieces: offsets and lengths.

    :param size: of a piece; the last one may be shorter.
    """
    begin: int | None = None
    for offset in range(0, len(data), size):
        same = data[offset : offset + size] == earlier[offset : offset + size]
        if not same and begin is None:
            begin = offset
        elif same and begin is not None:
            yield begin, offset - begin
            begin = None
    if begin is not None:
        yield begin, len(data) - begin


@dataclasses.dataclass
class Auditing:
    """Reads all of a disk, and writes what differs from the image below. Takes the place of
    ``Copying``.

    :ivar tracked: the changes since the image below, as tracking reports them.
    :ivar open_stream, streams, go_on, report: as of ``Copying``.
    :ivar missed: what it has found, when it is over.
    """

    open_stream: t.Callable[[], Stream]
    streams: int
    go_on: t.Callable[[], None]
    tracked: Tracked
    report: t.Callable[[int], None] = lambda _read: None
    missed: Missed = dataclasses.field(default_factory=Missed)

    def copy(self, areas: t.Iterable[tuple[int, int]], images: t.Sequence[Nbd], digests: BlockMap) -> Copied:
        """Compare, and write what differs.

        :param areas: the whole disk.
        :param images: connections to the image, which reads as the disk was at the
            earlier point; one for each stream.
        :raises BackupDamaged: the earlier image is not what its digests say.
        """
        copied, begun = Copied(digests.count), time.monotonic()
        account = threading.Lock()

        def work(image: Nbd, pieces_due: t.Iterator[tuple[int, int]]) -> None:
            with contextlib.ExitStack() as held:
                stream: Stream | None = None
                for piece in pieces_due:
                    stream = stream or held.enter_context(contextlib.closing(self.open_stream()))
                    self._compare(stream, image, piece, copied, digests, account)

        at_once(images, pieces(areas), work, self.go_on)
        for image in images:
            image.flush()
        self.missed.in_order()
        copied.seconds = time.monotonic() - begun
        return copied

    def _compare(
        self,
        stream: Stream,
        image: Nbd,
        piece: tuple[int, int],
        copied: Copied,
        digests: BlockMap,
        account: threading.Lock,
    ) -> None:
        """Compare one block, which no other thread has."""
        start, length = piece
        data = stream.read(start, length)
        if len(data) != length:
            raise short_read(start, length, len(data))
        digest, block = hashlib.sha256(data).digest(), start // BLOCK
        differs = digest != digests[block]
        written, missed = self._write(image, start, data, digests[block]) if differs else (0, [])
        with account:
            copied.read += length
            copied.written += written
            for area in missed:
                self.missed.add(*area)
            if differs:
                copied.touched[block] = 1
                digests[block] = digest
        self.report(copied.read)

    def _write(self, image: Nbd, start: int, data: bytes | bytearray, expected: bytes) -> tuple[int, list[tuple[int, int]]]:
        """Write what of a block differs.

        :param expected: the digest of what the image has there.
        :returns: how many bytes that are no zeros, and the areas of it that tracking has missed.
        """
        earlier = image.read(start, len(data))
        if hashlib.sha256(earlier).digest() != expected:
            raise not_as_backed_up(start)
        written = 0
        missed: list[tuple[int, int]] = []
        for offset, length in differing(data, earlier, _CHUNK):
            part, before = data[offset : offset + length], earlier[offset : offset + length]
            if part == bytes(length):
                image.zero(start + offset, length)
            else:
                image.write(start + offset, part)
                written += length
            missed += self._missed_of(start + offset, part, before)
        return written, missed

    def _missed_of(self, start: int, data: bytes | bytearray, earlier: bytes | bytearray) -> t.Iterator[tuple[int, int]]:
        """The sectors that differ, and that tracking does not tell of."""
        for offset, length in differing(data, earlier, SECTOR):
            for sector in range(offset, offset + length, SECTOR):
                end = min(sector + SECTOR, offset + length)
                if not self.tracked.touches(start + sector, start + end):
                    yield start + sector, end - sector
