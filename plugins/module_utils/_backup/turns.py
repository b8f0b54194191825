# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which VM is begun next, where each host and each datastore takes
only so many at the same time.
"""

from __future__ import annotations

import collections
import contextlib
import threading
import typing as t

X = t.TypeVar("X")


class Turns(t.Generic[X]):
    """Hands VMs out to workers: whoever is free gets the first one that there is room for.

    None waits for the slowest of others with which it shares neither a host nor a datastore.

    :param due: what is to be done, in its order.
    :param uses: what one of them uses: any names.
    :param room: how many may use what has this name at the same time; 0 is for any number.
    :param ended: once it is set, no more are handed out.
    """

    def __init__(
        self,
        due: t.Iterable[X],
        uses: t.Callable[[X], t.Iterable[str]],
        room: t.Callable[[str], int],
        ended: threading.Event,
    ) -> None:

        def limited(each: X) -> frozenset[str]:
            return frozenset(name for name in uses(each) if room(name))

        self._due = [(each, limited(each)) for each in due]
        self._room = room
        self._ended = ended
        self._used: collections.Counter[str] = collections.Counter()
        self._changed = threading.Condition()

    @property
    def left(self) -> int:
        """How many were not handed out."""
        return len(self._due)

    @contextlib.contextmanager
    def next(self) -> t.Iterator[X | None]:
        """The next one; its room is taken as long as the context lasts. None
        where there is none any more.
        """
        taken = self._take()
        try:
            yield taken[0] if taken else None
        finally:
            if taken:
                self._give_back(taken[1])

    def _take(self) -> tuple[X, frozenset[str]] | None:
        with self._changed:
            while self._due and not self._ended.is_set():
                place = next((place for place, (_each, uses) in enumerate(self._due) if self._fits(uses)), None)
                if place is not None:
                    self._used.update(self._due[place][1])
                    return self._due.pop(place)
                # Nothing fits, so others are at work, and each of them says when it has ended.
                self._changed.wait()
        return None

    def _give_back(self, uses: frozenset[str]) -> None:
        with self._changed:
            self._used.subtract(uses)
            self._changed.notify_all()

    def _fits(self, uses: frozenset[str]) -> bool:
        return all(self._used[name] < self._room(name) for name in uses)
