# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An audit: a disk is read whole and compared with its newest backup. What differs and is not among the changes that
tracking reports is what tracking has missed.

What differs is written into the new point, so that this one is right, whatever tracking says. Tracking itself may go
on missing changes: it has to be reset.
"""

from __future__ import annotations

import array
import bisect
import contextlib
import dataclasses
import hashlib
import threading
import typing as t
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait

from .._errors import VforgeError
from .copying import Copied, Stream, pieces
from .model import BLOCK, BackupDamaged

if t.TYPE_CHECKING:
    from .blockmap import BlockMap
    from .images import Nbd

SECTOR = 512

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
        if self.areas and sum(self.areas[-1]) == start:
            self.areas[-1] = (self.areas[-1][0], self.areas[-1][1] + length)
        elif len(self.areas) < MOST_NAMED:
            self.areas.append((start, length))

    def in_order(self) -> None:
        """Sort them, and join those that touch: readers find them in any order."""
        joined: list[tuple[int, int]] = []
        for start, length in sorted(self.areas):
            if joined and sum(joined[-1]) == start:
                joined[-1] = (joined[-1][0], joined[-1][1] + length)
            else:
                joined.append((start, length))
        self.areas = joined


def differing(data: bytes, earlier: bytes, size: int) -> t.Iterator[tuple[int, int]]:
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
    """Reads all of a disk, and writes what differs from the image below. Takes the place of ``Copying``.

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

    def copy(self, areas: t.Iterable[tuple[int, int]], image: Nbd, digests: BlockMap) -> Copied:
        """Compare, and write what differs.

        :param areas: the whole disk.
        :param image: over the one of the earlier point, so that it reads as the disk was then.
        :raises BackupDamaged: the earlier image is not what its digests say.
        """
        copied = Copied(digests.count)
        due, turn, writing = pieces(areas), threading.Lock(), threading.Lock()
        stop = threading.Event()

        def next_piece() -> tuple[int, int] | None:
            self.go_on()
            with turn:
                return None if stop.is_set() else next(due, None)

        def work() -> None:
            with contextlib.closing(self.open_stream()) as stream:
                while (piece := next_piece()) is not None:
                    self._compare(stream, image, piece, copied, digests, writing)

        with ThreadPoolExecutor(self.streams, thread_name_prefix="audit") as pool:
            readers = [pool.submit(work) for _stream in range(self.streams)]
            try:
                wait(readers, return_when=FIRST_EXCEPTION)
            finally:
                stop.set()
        for reader in readers:
            reader.result()
        image.flush()
        self.missed.in_order()
        return copied

    def _compare(
        self,
        stream: Stream,
        image: Nbd,
        piece: tuple[int, int],
        copied: Copied,
        digests: BlockMap,
        writing: threading.Lock,
    ) -> None:
        start, length = piece
        data = stream.read(start, length)
        if len(data) != length:
            raise VforgeError(f"{length} bytes were asked for at byte {start}, and {len(data)} came.")
        digest, block = hashlib.sha256(data).digest(), start // BLOCK
        with writing:
            copied.read += length
            if digest != digests[block]:
                self._write(image, start, data, copied, digests[block])
                copied.touched[block] = 1
                digests[block] = digest
        self.report(copied.read)

    def _write(self, image: Nbd, start: int, data: bytes, copied: Copied, expected: bytes) -> None:
        """Write what of a block differs, and note what of it tracking has missed."""
        earlier = image.read(start, len(data))
        if hashlib.sha256(earlier).digest() != expected:
            raise BackupDamaged(
                f"The newest backup is not what was backed up: it differs from its digests at byte {start}.",
                hint="Verify the repository. With mode full the next backup does not stand on it.",
            )
        for offset, length in differing(data, earlier, _CHUNK):
            part = data[offset : offset + length]
            if part.count(0) == length:
                image.zero(start + offset, length)
            else:
                image.write(start + offset, part)
                copied.written += length
            self._note_missed(start + offset, part, earlier[offset : offset + length])

    def _note_missed(self, start: int, data: bytes, earlier: bytes) -> None:
        for offset, length in differing(data, earlier, SECTOR):
            for sector in range(offset, offset + length, SECTOR):
                end = min(sector + SECTOR, offset + length)
                if not self.tracked.touches(start + sector, start + end):
                    self.missed.add(start + sector, end - sector)
