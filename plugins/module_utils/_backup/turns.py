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


class Turn(t.Generic[X]):
    """One that was handed out.

    :ivar each: what is to be done.
    """

    def __init__(self, turns: Turns[X], each: X, uses: frozenset[str]) -> None:
        self.each = each
        self._turns = turns
        self._uses = uses

    def look_again(self) -> None:
        """Have the room for what it uses now, which may be other than when the work was divided.

        It gives back first what it had, so nobody waits for anybody who waits. It returns without room where no more
        is to be done.
        """
        self._uses = self._turns.exchanged(self.each, self._uses)

    def end(self) -> None:
        """Give its room back."""
        self._turns.give_back(self._uses)


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
        self._uses_of = uses
        self._room = room
        self._due = [(each, self._limited(each)) for each in due]
        self._ended = ended
        self._used: collections.Counter[str] = collections.Counter()
        # What those who have begun wait for: nobody else is begun there meanwhile.
        self._awaited: collections.Counter[str] = collections.Counter()
        self._changed = threading.Condition()

    @property
    def left(self) -> int:
        """How many were not handed out."""
        return len(self._due)

    @contextlib.contextmanager
    def next(self) -> t.Iterator[Turn[X] | None]:
        """The next one; its room is taken as long as the context lasts. None
        where there is none any more.
        """
        turn = self._take()
        try:
            yield turn
        finally:
            if turn is not None:
                turn.end()

    def _take(self) -> Turn[X] | None:
        with self._changed:
            while self._due and not self._ended.is_set():
                place = next((place for place, (_each, uses) in enumerate(self._due) if self._free(uses)), None)
                if place is not None:
                    each, uses = self._due.pop(place)
                    self._used.update(uses)
                    return Turn(self, each, uses)
                # Nothing fits, so others are at work, and each of them says when it has ended.
                self._changed.wait()
        return None

    def exchanged(self, each: X, had: frozenset[str]) -> frozenset[str]:
        """Room for what one of them uses now, in place of what it had: see ``Turn.look_again``.

        :returns: what it has then.
        """
        wanted = self._limited(each)
        if wanted == had:
            return had
        with self._changed:
            self._used.subtract(had)
            self._awaited.update(wanted)
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._ended.is_set() or self._fits(wanted))
            self._awaited.subtract(wanted)
            self._changed.notify_all()
            if not self._fits(wanted):
                return frozenset()
            self._used.update(wanted)
        return wanted

    def give_back(self, uses: frozenset[str]) -> None:
        """Somebody has ended who used these."""
        with self._changed:
            self._used.subtract(uses)
            self._changed.notify_all()

    def _limited(self, each: X) -> frozenset[str]:
        return frozenset(name for name in self._uses_of(each) if self._room(name))

    def _free(self, uses: frozenset[str]) -> bool:
        """Whether one more may begin."""
        return self._fits(uses) and not any(self._awaited[name] for name in uses)

    def _fits(self, uses: frozenset[str]) -> bool:
        return all(self._used[name] < self._room(name) for name in uses)
