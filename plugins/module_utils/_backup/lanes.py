# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Backs VMs up beside each other, each from its beginning to its end, so that none waits for the
slowest; each host and each datastore takes only so many at the same time.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import threading
import time
import typing as t

from .._connector.batch import Outcome, ServerWatch
from .._connector.tasks import Together
from .._engine import Item
from .._errors import TimedOut, VforgeError
from . import plan

if t.TYPE_CHECKING:
    from .task import BackupItem, BackupTask

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
        """The next one; its room is taken as long as the context lasts. None where there is none
        any more.
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


_HOST, _DATASTORE = "host ", "datastore "


@dataclasses.dataclass(kw_only=True)
class Lane(Item):
    """A thread that takes one VM after the other."""

    number: int

    @property
    def title(self) -> str:
        """What nobody sees: errors are those of VMs."""
        return f"lane {self.number}"


def work(job: BackupTask, due: t.Sequence[BackupItem], back_up: t.Callable[[Turn[BackupItem]], None]) -> None:
    """Do something with each of these VMs, at most ``parallel`` at a time.

    :param back_up: in a thread of its own; what it raises is why the VM has failed. It has the
        turn look again where it has read the VM again.
    :raises Reason: why the task ended early; threads have ended by then,
        and what they have left is there.
    """
    options = job.options
    watch = ServerWatch(job.session)
    turns = Turns(due, uses, lambda name: options.per_host if name.startswith(_HOST) else options.per_datastore, job.end)
    done = 0

    def one(turn: Turn[BackupItem]) -> None:
        try:
            back_up(turn)
            watch.answered()
        except VforgeError as error:
            turn.each.fail(error)
            if watch.failed(error):
                job.end.set()

    def run(_lane: Lane) -> None:
        nonlocal done
        while time.monotonic() < job.task.deadline:
            with turns.next() as turn:
                if turn is None:
                    return
                one(turn)
            done += 1
            job.session.show_progress(f"{done} of {len(due)} VMs done")

    def note(lane: Lane, outcome: Outcome) -> None:
        lane.error = outcome.error

    count = min(options.parallel, len(due))
    job.session.together = Together()
    job.task.call([Lane(number=number) for number in range(count)], run, "", note, stop=job.end)
    if watch.gone is not None:
        raise watch.gone
    if turns.left:
        raise TimedOut("The time allowed for the backups is over.", hint="Raise timeout, or run again.")


def uses(item: BackupItem) -> t.Iterator[str]:
    """The host and the datastores that reading a VM puts a load on, as it was read last."""
    yield f"{_HOST}{item.vm.host}"
    for disk in plan.kept(item.vm.disks):
        yield f"{_DATASTORE}{disk.file.partition(']')[0]}"
