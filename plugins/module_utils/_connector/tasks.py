# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Wait for changes: of any objects' properties, and of tasks in particular.

All waiting is one WaitForUpdatesEx at a time on one filter, and ``wait_until`` is the one loop over
its rounds. A round comes back for every change, so rounds are paced here, and nowhere else, to at
most four in any second; in the meantime vCenter gathers the changes.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import datetime
import itertools
import math
import threading
import time
import typing as t

from .._errors import (
    CallTimedOut,
    Cancelled,
    ConnectionFailed,
    ConnectionLost,
    Fault,
    Interrupted,
    SessionExpired,
    TaskGone,
    VforgeError,
)
from . import faults
from .props import filter_spec, read
from .pyvmomi import vim, vmodl

if t.TYPE_CHECKING:
    from .session import Session

_Collector = vmodl.query.PropertyCollector

# When vCenter ends one session after the other: in so many of them a call must have been answered,
# and so often one is made.
MOST_SESSIONS = 5
MOST_TRIES = 50

_ROUNDS_A_SECOND = 4
# Seconds to a third round after two at once: it is what most batches end with.
_SOON = 0.1
# Well below the 60 seconds after which proxies tend to cut silent connections.
_LONGEST_ROUND = 20

TIMES = ("info.queueTime", "info.completeTime")
_TASK_PATHS = ("info.state", "info.result", "info.error", *TIMES)


class Pace:
    """Spaces rounds so that no second has more than four.

    After a quiet second two rounds may follow each other at once, and a third soon: a short task,
    or a batch of them, waits two or three times, and these waits are to cost it next to nothing. No
    change is seen late by more than half a second. Safe for many threads.

    This costs an operation nothing that takes longer than that: the round then waits in vCenter for
    the change.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # When the last rounds began, the oldest first.
        self._begun: collections.deque[float] = collections.deque(maxlen=_ROUNDS_A_SECOND)

    def pause(self, now: float) -> float:
        """Seconds to let pass before a round may begin at the monotonic time ``now``.

        The round is then booked.
        """
        with self._lock:
            begin = self._next(now)
            self._begun.append(begin)
            return begin - now

    def _next(self, now: float) -> float:
        """The first moment at which one more round is allowed."""
        begin = max(now, self._begun[-1]) if self._begun else now
        recent = [each for each in self._begun if begin - each < 1]
        if len(recent) == 2:
            begin = max(begin, recent[-1] + _SOON)
        elif len(recent) > 2:
            # What the third was early by, the fourth is late by, so that the fifth waits no longer
            # than any.
            gap = max(1 / _ROUNDS_A_SECOND, 2 / _ROUNDS_A_SECOND - (recent[-1] - recent[-3]))
            begin = max(begin, recent[-1] + gap)
        if len(self._begun) == _ROUNDS_A_SECOND:
            begin = max(begin, self._begun[0] + 1)
        return begin

    def begin(self, deadline: float) -> bool:
        """Let the time pass until a round may begin.

        False, at once, when that would not be before the deadline.
        """
        now = time.monotonic()
        rest = self.pause(now)
        if now + rest >= deadline:
            return False
        time.sleep(rest)
        return True


class Backoff:
    """Spaces questions whose answer no property has: soon at first, then ever further apart,
    under one deadline.

    The last question is at the deadline itself, so that what was done in time is seen.

    :param deadline: of ``time.monotonic()``.
    :param first: seconds before the first question.
    :param longest: seconds between two questions, at the most.
    """

    _GROWTH = 1.5

    def __init__(self, deadline: float, first: float = 0.1, longest: float = 5.0) -> None:
        self._deadline = deadline
        self._step = first
        self._longest = longest

    def pause(self, now: float) -> float | None:
        """Seconds to let pass before the next question at the monotonic time ``now``.

        None when there is none any more.
        """
        left = self._deadline - now
        if left <= 0:
            return None
        step, self._step = self._step, min(self._step * self._GROWTH, self._longest)
        return min(step, left)

    def begin(self) -> bool:
        """Let the time pass until the next question; False, at once, when the deadline has passed."""
        rest = self.pause(time.monotonic())
        if rest is None:
            return False
        time.sleep(rest)
        return True


def growing_rounds() -> t.Iterator[int]:
    """Lengths of rounds in seconds, for a wait in which something else is asked between rounds: 1,
    2, 4, 8...
    """
    length = 1
    while True:
        yield length
        length = min(2 * length, _LONGEST_ROUND)


@dataclasses.dataclass(frozen=True)
class Update:
    """A change of one object.

    :ivar values: what changed, by property path; of the first update all that was asked for.
    :ivar gone: whether the object was removed.
    :ivar state: in ``wait_until``, all values as they are now.
    """

    moid: str
    values: dict[str, t.Any]
    gone: bool = False
    state: t.Mapping[str, t.Any] = dataclasses.field(default_factory=dict)


def updates(
    session: Session,
    refs: t.Sequence[t.Any],
    kind: type,
    paths: t.Sequence[str],
    deadline: float,
    rounds: t.Iterator[int] | None = None,
) -> t.Generator[list[Update], None, None]:
    """Yield the state of the properties at the start and then their changes, a list a round, until
    the deadline.

    :param deadline: of ``time.monotonic()``; the iteration simply ends when it is reached.
    :param rounds: the most seconds that each round may take, for a caller who has something else to
        ask after a round that brought nothing; such a round yields an empty list. None: rounds are
        as long as they can be. The caller breaks off when it has seen enough; the filter is removed
        then. When the session dies, or an answer is late, the wait goes on with a new filter,
        beginning with the whole state, so that nothing is missed.

    :raises CallTimedOut: the server does not answer any more, or the last round before the deadline
        was not answered.
    """
    tries = 0
    while True:
        generation = session.generation
        try:
            with contextlib.closing(_one_filter(session, filter_spec(refs, kind, paths), deadline, rounds)) as batches:
                for batch in batches:
                    tries = 0
                    session.useful(generation)
                    yield batch
            return
        except (SessionExpired, Cancelled) as error:
            tries += 1
            if tries == MOST_TRIES:
                raise
            # A call that waits ends as cancelled where its session is closed meanwhile, or its
            # collector is destroyed (API reference, WaitForUpdatesEx): which of these it was, the
            # next call says.
            if isinstance(error, SessionExpired):
                session.renew(generation)
        except Fault as fault:
            # Another thread has replaced the session, and our collector went with the old one.
            if fault.fault != "ManagedObjectNotFound" or session.generation == generation:
                raise
        except CallTimedOut:
            if session.unreachable() or session.limit.over() or time.monotonic() >= deadline:
                raise


def wait_until(
    session: Session,
    refs: t.Sequence[t.Any],
    kind: type,
    paths: t.Sequence[str],
    deadline: float,
    holds: t.Callable[[Update], bool],
    *,
    rounds: t.Iterator[int] | None = None,
    after_round: t.Callable[[set[str], bool], bool] | None = None,
) -> set[str]:
    """Wait until something holds for each of these objects, by updates of their properties, with
    one filter for all.

    :param deadline: of ``time.monotonic()``.
    :param holds: is called with each update of an object that is still waited for; True ends the
        wait for it.
    :param rounds: as for ``updates``.
    :param after_round: is called after each round with the moids that are still waited for, of
        which it may take some off, and with whether the round brought anything; True ends the wait.
    :returns: the moids of those for which it does not hold at the deadline, or at the end of the
        wait.
    """
    states: dict[str, dict[str, t.Any]] = {ref._GetMoId(): {} for ref in refs}
    left = set(states)
    if not left:
        return left
    with contextlib.closing(updates(session, refs, kind, paths, deadline, rounds)) as batches:
        for batch in batches:
            for update in batch:
                state = states[update.moid]
                state.update(update.values)
                if update.moid in left and holds(dataclasses.replace(update, state=state)):
                    left.discard(update.moid)
            ended = after_round is not None and after_round(left, bool(batch))
            if ended or not left:
                break
    return left


def _one_filter(
    session: Session, spec: t.Any, deadline: float, rounds: t.Iterator[int] | None
) -> t.Generator[list[Update], None, None]:
    with session.collector_to_wait_on() as collector:
        watched = collector.CreateFilter(spec, False)
        version = ""
        try:
            while session.pace.begin(deadline):
                # Under the same deadline: a round that vCenter may hold back longer than the call
                # may take would be late.
                with session.limit.within(deadline):
                    longest = _longest_round(session, deadline)
                    # The first round, which returns the state, never has to wait.
                    options = _Collector.WaitOptions(
                        maxWaitSeconds=min(longest, next(rounds, longest)) if rounds and version else longest
                    )
                    answer = collector.WaitForUpdatesEx(version, options)
                if answer is not None:
                    version = answer.version
                    own = (part for part in answer.filterSet if part.filter._GetMoId() == watched._GetMoId())
                    yield [update for part in own for update in _updates(part)]
                elif rounds:
                    yield []
        except (ConnectionFailed, ConnectionLost, SessionExpired, Cancelled, Interrupted):
            # The filter goes with its collector or has gone with the session; or the server does
            # not answer, and one call more would only take longer.
            watched = None
            raise
        finally:
            if watched is not None:
                _drop(session, watched)


def _longest_round(session: Session, deadline: float) -> int:
    """Whole seconds that vCenter may hold an answer back, 0 for not at all.

    Less than a request may take.
    """
    left = math.ceil(deadline - time.monotonic())
    return max(0, min(_LONGEST_ROUND, int(session.limit.seconds() / 2), left))


def _updates(part: t.Any) -> t.Iterator[Update]:
    for change in part.objectSet:
        _check(change.missingSet)
        # What became unset comes as a removal from some releases, from others as nothing assigned.
        values = {item.name: item.val if item.op in ("assign", "add") else None for item in change.changeSet}
        yield Update(change.obj._GetMoId(), values, gone=change.kind == "leave")
    _check(part.missingSet)
    for missing in part.missingSet:
        yield Update(missing.obj._GetMoId(), {}, gone=True)


def _check(missing: t.Iterable[t.Any]) -> None:
    """:raises SessionExpired: objects or properties are missing for want of a session."""
    if any(isinstance(each.fault, vim.fault.NotAuthenticated) for each in missing):
        raise faults.session_expired()


def _drop(session: Session, watched: t.Any) -> None:
    if session.unreachable():
        return
    try:
        watched.DestroyPropertyFilter()
    except SessionExpired:
        pass  # the filter went with the session
    except VforgeError as error:
        if not (isinstance(error, Fault) and error.fault == "ManagedObjectNotFound"):
            session.warn(f"A filter could not be removed: {error}")


@dataclasses.dataclass(frozen=True)
class TaskEnd:
    """How a task ended.

    :ivar result: ``info.result`` of a task that succeeded.
    :ivar error: the typed error of one that did not.
    :ivar seconds: from being queued to its end, by vCenter's clock.
    """

    result: t.Any = None
    error: VforgeError | None = None
    seconds: float | None = None


def wait_for_tasks(
    session: Session,
    tasks: t.Sequence[t.Any],
    deadline: float,
    on_end: t.Callable[[str, TaskEnd], None],
    enough: t.Callable[[], bool] = lambda: False,
) -> set[str]:
    """Wait until every task has ended, with one filter for all.

    :param on_end: called once a task, with its moid, as soon as its end is seen.
    :param enough: asked after each update; True ends the wait before all have ended.
    :returns: the moids of the tasks that have not ended, at the deadline or when there was enough.
    """

    if session.together is not None:
        return session.together.wait(session, tasks, deadline, on_end, enough)
    return _wait_for_tasks(session, tasks, deadline, on_end, enough)


def _wait_for_tasks(
    session: Session,
    tasks: t.Sequence[t.Any],
    deadline: float,
    on_end: t.Callable[[str, TaskEnd], None],
    enough: t.Callable[[], bool],
    rounds: t.Iterator[int] | None = None,
) -> set[str]:
    def has_ended(update: Update) -> bool:
        end = _task_end(update.moid, {**update.state, **_fault_of(session, update)}, update.gone)
        if end is not None:
            on_end(update.moid, end)
        return end is not None

    return wait_until(
        session,
        tasks,
        vim.Task,
        _TASK_PATHS,
        deadline,
        has_ended,
        rounds=rounds,
        after_round=lambda _left, _changed: enough(),
    )


@dataclasses.dataclass(eq=False)
class _Waiter:
    """A thread that waits for tasks, and those of them that have ended."""

    tasks: dict[str, t.Any]
    ended: dict[str, TaskEnd] = dataclasses.field(default_factory=dict)


class Together:
    """Has the threads of a session wait for their tasks on one filter at a time.

    All rounds of a session are paced together, so threads that each waited by themselves would wait
    for each other. Here one of them, the first that comes, waits for the tasks of all; when its own
    have ended, another goes on.
    """

    # Seconds of a round: a task that another thread has begun meanwhile is seen after it.
    _ROUND = 1

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiters: list[_Waiter] = []
        self._led = False

    def wait(
        self,
        session: Session,
        tasks: t.Sequence[t.Any],
        deadline: float,
        on_end: t.Callable[[str, TaskEnd], None],
        enough: t.Callable[[], bool],
    ) -> set[str]:
        """As ``wait_for_tasks``."""
        own = _Waiter({task._GetMoId(): task for task in tasks})
        with self._changed:
            self._waiters.append(own)
        try:
            while own.tasks or own.ended:
                self._wait_once(session, own, deadline)
                with self._changed:
                    ended, own.ended = own.ended, {}
                for moid, end in ended.items():
                    on_end(moid, end)
                if enough() or (not ended and time.monotonic() >= deadline):
                    break
        finally:
            with self._changed:
                self._waiters.remove(own)
        return set(own.tasks)

    def _wait_once(self, session: Session, own: _Waiter, deadline: float) -> None:
        """Wait until one of these tasks has ended, or until there may be something else to do."""
        with self._changed:
            if own.ended:
                return
            if self._led:
                self._changed.wait(max(0.0, deadline - time.monotonic()))
                return
            self._led = True
            watched = {moid: task for waiter in self._waiters for moid, task in waiter.tasks.items()}
        try:
            _wait_for_tasks(
                session,
                list(watched.values()),
                deadline,
                self._note,
                enough=lambda: bool(own.ended) or self._has_others(watched),
                rounds=itertools.repeat(self._ROUND),
            )
        finally:
            with self._changed:
                self._led = False
                self._changed.notify_all()

    def _note(self, moid: str, end: TaskEnd) -> None:
        with self._changed:
            for waiter in self._waiters:
                if waiter.tasks.pop(moid, None) is not None:
                    waiter.ended[moid] = end
            self._changed.notify_all()

    def _has_others(self, watched: t.Mapping[str, t.Any]) -> bool:
        """Whether there are tasks that are not watched yet."""
        with self._changed:
            return any(moid not in watched for waiter in self._waiters for moid in waiter.tasks)


def cancel(session: Session, task_moid: str) -> bool:
    """Ask vCenter to cancel a task; False when it is past cancelling or has ended."""
    try:
        session.retrying(lambda: session.reference(vim.Task, task_moid).CancelTask())
    except Fault:
        return False
    return True


def _task_end(moid: str, info: t.Mapping[str, t.Any], gone: bool) -> TaskEnd | None:
    """How the task ended, or None when it has not."""
    state = info.get("info.state")
    if state == "success":
        return TaskEnd(result=info.get("info.result"), seconds=duration(info))
    if state == "error":
        fault = info.get("info.error") or vmodl.fault.SystemError(msg="the task failed without saying why")
        return TaskEnd(error=faults.translate(fault), seconds=duration(info))
    if gone:
        return TaskEnd(
            error=TaskGone(
                f"vCenter no longer knows the task {moid}, so what became of it is not known.",
                hint="Run again: what was done is then found as done.",
                task=moid,
            )
        )
    return None


def _fault_of(session: Session, update: Update) -> dict[str, t.Any]:
    """The fault of a task that has failed, where it did not come in one update with that: no call
    where it did.
    """
    if str(update.state.get("info.state")) != "error" or update.state.get("info.error") is not None:
        return {}
    rows = read(session, [session.reference(vim.Task, update.moid)], vim.Task, ["info.error"])
    return dict(rows[update.moid].values) if update.moid in rows else {}


def duration(info: t.Mapping[str, t.Any]) -> float | None:
    """Seconds from a task being queued to its end; None where it says nothing of these."""
    begun, ended = info.get("info.queueTime"), info.get("info.completeTime")
    if isinstance(begun, datetime.datetime) and isinstance(ended, datetime.datetime):
        return round((ended - begun).total_seconds(), 3)
    return None
