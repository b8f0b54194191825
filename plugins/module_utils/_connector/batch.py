# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One engine for every operation on many objects: submit over a few connections, wait once, account for each.

An item that fails never stops the others. A signal or the deadline stops the submitting, cancels what vCenter has not
begun, waits a moment for what it has, and leaves an exact account.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import threading
import time
import typing as t

from .._errors import ConnectionFailed, ConnectionLost, Interrupted, NotAttempted, StillRunning, TimedOut, VforgeError
from .tasks import TaskEnd, cancel, wait_for_tasks

if t.TYPE_CHECKING:
    from .session import Session

# How long to wait, after an interrupt or the deadline, for tasks that vCenter had begun.
_GRACE_SECONDS = 10.0

_LOST_CALLS_MEAN_GONE = 3


@dataclasses.dataclass(frozen=True)
class Work:
    """One item of a batch.

    :ivar name: what the user calls it; unique in the batch.
    :ivar start: makes the call; returns a task, or None where the call itself did the work.
    :ivar repeatable: whether the call may be sent again when its answer was lost, because doing it twice
        has the effect of doing it once (a name that can be taken only once, for instance).
    """

    name: str
    start: t.Callable[[], t.Any]
    repeatable: bool = False


@dataclasses.dataclass
class Outcome:
    """What became of one item.

    :ivar result: the task's ``info.result``.
    :ivar error: None when it succeeded.
    :ivar seconds: from the task being queued to its end, by vCenter's clock.
    :ivar repeated: the call was sent twice, so the first one may have done the work.
    """

    name: str
    result: t.Any = None
    error: VforgeError | None = None
    seconds: float | None = None
    repeated: bool = False


@dataclasses.dataclass
class BatchResult:
    """The account of a batch.

    :ivar outcomes: one for each item, in the order of the items.
    :ivar stopped: why the batch ended early (Interrupted or TimedOut), or None.
    """

    outcomes: dict[str, Outcome]
    stopped: VforgeError | None = None

    @property
    def failed(self) -> list[Outcome]:
        """The items that did not succeed."""
        return [outcome for outcome in self.outcomes.values() if outcome.error is not None]


def run_batch(session: Session, works: t.Sequence[Work], parallel: int, deadline: float, doing: str = "done") -> BatchResult:
    """Start every item, at most ``parallel`` calls at a time, then wait for all of their tasks together.

    :param deadline: of ``time.monotonic()``.
    :param doing: for the progress: "12 of 40 " and this.
    Raises nothing: what goes wrong is in the result.
    """
    result = BatchResult({work.name: Outcome(work.name) for work in works})
    batch = _Batch(session, result, doing)
    try:
        batch.submit(works, parallel, deadline)
        batch.wait(deadline)
        if batch.open:
            result.stopped = TimedOut("The time allowed for the batch is over.", hint="Raise timeout, or run again.")
    except VforgeError as error:
        result.stopped = error
    if result.stopped is not None:
        batch.wind_down()
    return result


class _Batch:
    def __init__(self, session: Session, result: BatchResult, doing: str) -> None:
        self._session = session
        self._outcomes = result.outcomes
        self._names: dict[str, str] = {}
        self._tasks: dict[str, t.Any] = {}
        self._stop = threading.Event()
        self._lost = 0
        self._doing = doing
        self._done = 0

    @property
    def open(self) -> list[str]:
        """The moids of the tasks that have not ended."""
        return list(self._tasks)

    def submit(self, works: t.Sequence[Work], parallel: int, deadline: float) -> None:
        """Make the calls; an item whose call fails has its error, and the others go on."""
        pool = concurrent.futures.ThreadPoolExecutor(max_workers=max(1, parallel))
        futures = [pool.submit(self._start, work, deadline) for work in works]
        try:
            concurrent.futures.wait(futures)
        except Interrupted:
            self._stop.set()
            raise
        finally:
            pool.shutdown(wait=True)
        for future in futures:
            future.result()

    def _start(self, work: Work, deadline: float) -> None:
        outcome = self._outcomes[work.name]
        if self._stop.is_set() or time.monotonic() >= deadline:
            outcome.error = NotAttempted(f"{work.name} was not begun.", hint="Run again.")
            return
        try:
            task = self._call(work, outcome)
        except VforgeError as error:
            outcome.error = error
            self._note_dead_server(error)
            return
        if task is not None:
            self._names[task._GetMoId()] = work.name
            self._tasks[task._GetMoId()] = task

    def _call(self, work: Work, outcome: Outcome) -> t.Any:
        try:
            return self._session.retrying(work.start)
        except ConnectionLost:
            if not work.repeatable:
                raise
            outcome.repeated = True
            return self._session.retrying(work.start)

    def _note_dead_server(self, error: VforgeError) -> None:
        """Stop when the server is gone: each further call would wait for it in vain."""
        self._lost += isinstance(error, ConnectionLost)
        if isinstance(error, ConnectionFailed) or self._lost >= _LOST_CALLS_MEAN_GONE:
            self._stop.set()

    def wait(self, deadline: float) -> None:
        """Wait for the tasks; those that end are taken off the open ones."""
        wait_for_tasks(self._session, list(self._tasks.values()), deadline, self._ended)

    def _ended(self, moid: str, end: TaskEnd) -> None:
        del self._tasks[moid]
        outcome = self._outcomes[self._names[moid]]
        outcome.result, outcome.error, outcome.seconds = end.result, end.error, end.seconds
        self._done += 1
        self._session.tell(f"{self._done} of {len(self._outcomes)} {self._doing}")

    def wind_down(self) -> None:
        """Cancel what can be cancelled, give the rest a moment, and say of each what is known."""
        try:
            for moid in self.open:
                cancel(self._session, moid)
            self.wait(time.monotonic() + _GRACE_SECONDS)
        except VforgeError as error:
            self._session.warn(f"What was under way could not be followed to its end: {error}")
        for moid in self.open:
            self._outcomes[self._names[moid]].error = StillRunning(
                f"{self._names[moid]} was still under way in vCenter (task {moid}) when this run ended.",
                hint="Run again: what was done is then found as done.",
                task=moid,
            )
