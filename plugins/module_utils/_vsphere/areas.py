# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Changed areas, from vCenter's pages to a proved, merged list. Pure; nothing holds more than one
page of them.

vCenter answers at most about 2,000 areas a call. The next call begins where ``startOffset +
length`` of the answer ends, and only the capacity ends the loop (API reference,
QueryChangedDiskAreas): a tool that stops earlier loses data.
"""

from __future__ import annotations

import dataclasses
import typing as t

from .._errors import VforgeError

# Of a disk's address space in heat maps and in the history of a state file.
REGIONS = 64


class Area(t.NamedTuple):
    """Bytes of a disk that changed, or may have."""

    start: int
    length: int

    @property
    def end(self) -> int:
        """The first byte behind it."""
        return self.start + self.length


@dataclasses.dataclass(frozen=True)
class Page:
    """One answer: it covers ``length`` bytes from ``start`` on; all that changed there is in
    ``areas``.
    """

    start: int
    length: int
    areas: t.Sequence[tuple[int, int]]


class InconsistentAreas(VforgeError):
    """An answer that cannot be trusted: nothing of it is used."""

    error_code = "inconsistent_areas"


def changed_areas(ask: t.Callable[[int], Page], capacity: int, gap: int = 0) -> t.Iterator[Area]:
    """All areas of a disk, merged, when every byte of it is proved to be covered.

    :param ask: asks for the page that begins at an offset.
    :param capacity: of the disk, in bytes.
    :param gap: areas with at most so many unchanged bytes between them become one.
    :raises InconsistentAreas: at the page that is overlapping, unsorted, out of bounds, or leaves a
        hole. What came before is not to be used then.
    """
    return merged(_covering(ask, capacity), gap)


def _covering(ask: t.Callable[[int], Page], capacity: int) -> t.Iterator[Area]:
    offset = 0
    while offset < capacity:
        page = ask(offset)
        if page.start != offset:
            raise _refused(f"asked from byte {offset}, vCenter answered from byte {page.start}")
        if page.length <= 0:
            raise _refused(f"the answer from byte {offset} covers nothing, with {capacity - offset} bytes to go")
        yield from checked(page, capacity)
        offset += page.length


def checked(page: Page, capacity: int) -> t.Iterator[Area]:
    """The areas of a page, which must be sorted, apart from each other, not empty, and inside the
    page.

    What an area reports beyond the end of the disk is cut off, also where the page ends there:
    reporting too much is allowed, and tracking counts in units that need not divide a capacity.
    """
    end, covered = page.start, page.start + page.length
    for start, length in page.areas:
        if length <= 0:
            raise _refused(f"the area at byte {start} has the length {length}")
        if start < end:
            raise _refused(f"the area at byte {start} begins before byte {end}, where the one before it ends")
        end = start + length
        if end > covered and covered < capacity:
            raise _refused(f"the area at byte {start} ends behind byte {covered}, where its page ends")
        if start < capacity:
            yield Area(start, min(end, capacity) - start)


def merged(areas: t.Iterable[Area], gap: int = 0) -> t.Iterator[Area]:
    """Areas that touch each other, or have at most ``gap`` bytes between them, as one."""
    start = end = -1
    for area in areas:
        if start < 0:
            start, end = area.start, area.end
        elif area.start - end <= gap:
            end = area.end
        else:
            yield Area(start, end - start)
            start, end = area.start, area.end
    if start >= 0:
        yield Area(start, end - start)


class Tally:
    """Counts areas as they pass: how many, how many bytes, and how many bytes in each region of the
    disk.

    :ivar regions: changed bytes by region; regions have equal sizes, the last one may be smaller.
    """

    def __init__(self, capacity: int, regions: int = REGIONS) -> None:
        self.region_size = max(1, -(-capacity // regions))
        self.regions = [0] * -(-capacity // self.region_size)
        self.count = 0
        self.changed_bytes = 0

    def add(self, area: Area) -> None:
        """Count one area."""
        self.count += 1
        self.changed_bytes += area.length
        start, end = area.start, area.end
        while start < end:
            region = start // self.region_size
            stop = min(end, (region + 1) * self.region_size)
            self.regions[region] += stop - start
            start = stop


def _refused(why: str) -> InconsistentAreas:
    return InconsistentAreas(
        f"The answer about changed areas is inconsistent: {why}.", hint="Read the whole disk, and report this to the vendor."
    )
