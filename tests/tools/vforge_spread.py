# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The order of tests for several workers. Standard library only."""

from __future__ import annotations

from collections.abc import Sequence


def spread(tests: Sequence[tuple[str, bool]], workers: int) -> list[int]:
    """In which order to run tests, so that each worker begins with those that wait.

    pytest-xdist gives each worker one piece of the list, and who is done takes from the end of another's. So what waits
    is at the beginning of each piece, beside the other steps of `make test`, and what computes is at the end, where
    nothing else is left to do.

    Args:
        tests: the file of each, and whether it waits most of its time.
        workers: how many pieces the list is cut into.

    Returns:
        their places in ``tests``; those of one file and kind stay together.
    """
    files: dict[tuple[bool, str], list[int]] = {}
    for place, (file, waits) in enumerate(tests):
        files.setdefault((waits, file), []).append(place)
    pieces: list[list[int]] = [[] for _worker in range(workers)]
    for kind in (True, False):
        long_ones_first = sorted((places for (waits, _file), places in files.items() if waits is kind), key=len, reverse=True)
        for places in long_ones_first:
            min(pieces, key=len).extend(places)
    return [place for piece in pieces for place in piece]
