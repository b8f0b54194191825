# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One engine for every operation on many objects: submit over a few connections, wait once, account
for each.

An item that fails never stops the others. A signal or the deadline stops the submitting, cancels
what vCenter has not begun, waits a moment for what it has, and leaves an exact account.

vSphere refuses a call for an object that another task works on (TaskInProgress). Such a call has
done nothing: it is made again when that task has ended.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import threading
import time
import typing as t

from .. import _signals
from .._errors import (
    CallTimedOut,
    Cancelled,
    ConnectionFailed,
    ConnectionLost,
    Fault,
    Interrupted,
    NotAttempted,
    Reason,
    StillRunning,
    TaskGone,
    TimedOut,
    Unavailable,
    VforgeError,
)
from . import names
from .props import read
from .pyvmomi import vim
from .soap import StartingWait
from .tasks import TIMES, Backoff, TaskEnd, cancel, duration, wait_for_tasks

if t.TYPE_CHECKING:
    from .session import Session

# How long to wait, after the deadline, for tasks that vCenter had begun; and after a signal, whose
# sender waits for us.
_GRACE_SECONDS = 10.0
_FAREWELL_SECONDS = 1.0

# How long, after a signal, calls that are under way are waited for: they return the tasks that are
# to be cancelled. One that is broken off may make what nobody knows of, so that no rollback removes
# it. vCenter answers such calls in milliseconds.
_ANSWER_SECONDS = 5.0

# One broken connection happens; this many, with no answer in between, mean that the server is gone.
_LOST_CALLS_MEAN_GONE = 3


@dataclasses.dataclass(frozen=True)
class Work:
    """One item of a batch.

    :ivar name: what the user calls it; unique in the batch.
    :ivar start: makes the call; returns a task, or None where the call itself did the work.
    :ivar repeatable: whether the call may be sent again when its answer was lost, because doing it
        twice has the effect of doing it once (a name that can be taken only once, for instance).
    """

    name: str
    start: t.Callable[[], t.Any]
    repeatable: bool = False


@dataclasses.dataclass
class Outcome:
    """What became of one item.

    :ivar result: the task's ``info.result``.
    :ivar error: None when it succeeded. It is NotAttempted until the item is begun, so that an end
        at any moment leaves no item that seems to have succeeded.
    :ivar seconds: from the task being queued to its end, by vCenter's clock.
    :ivar calls: how often its call was made.
    :ivar refused: how often that was refused because another task worked on the object.
    :ivar task: the task, once it has ended; None where there was none.
    :ivar asked: whether its result was asked for, since it did not come with the end of its task.
    """

    name: str
    result: t.Any = None
    error: VforgeError | None = None
    seconds: float | None = None
    calls: int = 0
    refused: int = 0
    task: t.Any = None
    asked: bool = False

    @property
    def repeated(self) -> bool:
        """Whether the call was sent twice, so that the first one may have done the work."""
        return self.calls - self.refused > 1


@dataclasses.dataclass
class BatchResult:
    """The account of a batch.

    :ivar outcomes: one for each item, in the order of the items.
    :ivar stopped: why the batch ended early (Interrupted, TimedOut, or the loss of the server), or
        None.
    """

    outcomes: dict[str, Outcome]
    stopped: Reason | None = None

    @property
    def failed(self) -> list[Outcome]:
        """The items that did not succeed."""
        return [outcome for outcome in self.outcomes.values() if outcome.error is not None]


def run_batch(
    session: Session,
    works: t.Sequence[Work],
    parallel: int,
    deadline: float,
    doing: str = "done",
    stop: threading.Event | None = None,
) -> BatchResult:
    """Start every item, at most ``parallel`` calls at a time, then wait for all of their tasks
    together.

    :param deadline: of ``time.monotonic()``.
    :param doing: for the progress: "12 of 40 " and this; empty for items that
        say themselves how far they are.
    :param stop: is set when no further item is to be begun, so that an item of many calls can end
    early, too. Raises nothing: what goes wrong is in the result.
    """
    result = BatchResult({work.name: Outcome(work.name, error=_not_attempted(work)) for work in works})
    batch = _Batch(session, result, doing, stop or threading.Event())
    due = list(works)
    try:
        while due:
            batch.submit(due, parallel, deadline)
            due = batch.wait(deadline)
        result.stopped = batch.why_cut_short()
    except Reason as error:
        result.stopped = error
    session.pay()
    if batch.open:
        batch.wind_down(parallel, result.stopped)
        if isinstance(result.stopped, TimedOut) and batch.is_complete:
            _tell_lateness(session, time.monotonic() - deadline)
            result.stopped = None
    return result


def fill_in_results(session: Session, outcomes: t.Iterable[Outcome]) -> None:
    """Read the results of tasks that did not come with their ends; one call, where there are any.

    ``info.result`` is optional (API reference, TaskInfo). What is None afterwards has none, and is
    not asked for again.
    """
    succeeded = [item for item in outcomes if item.error is None and item.task is not None]
    lacking = {item.task._GetMoId(): item for item in succeeded if item.result is None and not item.asked}
    for item in lacking.values():
        item.asked = True
    if not lacking:
        return
    try:
        rows = read(session, [item.task for item in lacking.values()], vim.Task, ["info.result", *TIMES])
    except VforgeError as error:
        which = names.listing([item.name for item in lacking.values()], most=5)
        session.warn(f"The results of the tasks for {which} could not be read: {error}")
        return
    for moid, row in rows.items():
        item = lacking[moid]
        item.result = row.get("info.result")
        item.seconds = duration(row.values) if item.seconds is None else item.seconds


def vm_made(session: Session, outcome: Outcome) -> str:
    """The moid of the VM that the task of an item has made; empty where the item has an error.

    Where vCenter does not return it, that is the item's error.
    """
    if outcome.error is not None:
        return ""
    fill_in_results(session, [outcome])
    made = outcome.result
    if isinstance(made, vim.VirtualMachine):
        return str(made._GetMoId())
    outcome.error = TaskGone(
        f"vCenter says that {outcome.name} was made, and does not return it.",
        hint="Run again: what was made is then found.",
    )
    return ""


def _tell_lateness(session: Session, seconds: float) -> None:
    session.warn(
        "All that was under way at the end of the task's timeout has ended too, "
        f"{max(seconds, 0.1):.1f} s after it. "
        "Raise timeout if this is how long it takes."
    )


def _wait(futures: t.Sequence[concurrent.futures.Future[None]], seconds: float) -> None:
    concurrent.futures.wait(futures, seconds)


def _not_attempted(work: Work) -> NotAttempted:
    return NotAttempted(f"{work.name} was not begun.", hint="Run again.")


class _Batch:
    def __init__(self, session: Session, result: BatchResult, doing: str, stop: threading.Event) -> None:
        self._session = session
        self._outcomes = result.outcomes
        self._works: dict[str, Work] = {}
        self._tasks: dict[str, t.Any] = {}
        self._stop = stop
        self._server = ServerWatch(session)
        self._doing = doing
        self._lock = threading.Lock()
        self._sent = self._done = 0
        # What was refused because another task works on its object, by the moid of that task.
        self._refused: dict[str, list[Work]] = {}
        self._pause: Backoff | None = None

    @property
    def open(self) -> list[str]:
        """The moids of the tasks that have not ended."""
        return list(self._tasks)

    @property
    def is_complete(self) -> bool:
        """Whether every item was followed to its end, be that a success or a failure of its own."""
        unfinished = (NotAttempted, StillRunning, Cancelled)
        return not any(isinstance(item.error, unfinished) for item in self._outcomes.values())

    def why_cut_short(self) -> Reason | None:
        """Why items were not begun or not followed to their end, None when all were."""
        unfinished = self.open or any(isinstance(item.error, NotAttempted) for item in self._outcomes.values())
        if not unfinished:
            return None
        return self._server.gone or TimedOut("The time allowed for the batch is over.", hint="Raise timeout, or run again.")

    def submit(self, works: t.Sequence[Work], parallel: int, deadline: float) -> None:
        """Make the calls; an item whose call fails has its error, and the others go on."""
        pool = concurrent.futures.ThreadPoolExecutor(max_workers=max(1, parallel))
        futures: list[concurrent.futures.Future[None]] = []
        try:
            with _signals.held_back():  # a thread that is just being started would be lost, and with it what it has begun
                futures += [pool.submit(self._start, work, deadline) for work in works]
            concurrent.futures.wait(futures)
        except Interrupted:
            self._stop.set()
            # What is under way gets its answer, if that comes soon: it has the task that is to be
            # cancelled.
            with self._session.stub.connections.halted(lambda: _wait(futures, _ANSWER_SECONDS)):
                pool.shutdown(wait=True)
            raise
        finally:
            pool.shutdown(wait=True)
        for future in futures:
            future.result()

    def _start(self, work: Work, deadline: float) -> None:
        if self._stop.is_set() or time.monotonic() >= deadline:
            return
        outcome = self._outcomes[work.name]
        try:
            with self._session.limit.within(deadline):
                task = self._call(work, outcome)
        except VforgeError as error:
            outcome.error = error
            if not self._is_refused_for_now(work, error) and self._server.failed(error):
                self._stop.set()
            return
        self._server.answered()
        if task is None:
            outcome.error = None
            return
        self._works[task._GetMoId()] = work
        self._tasks[task._GetMoId()] = task

    def _is_refused_for_now(self, work: Work, error: VforgeError | None) -> bool:
        """Whether a call was refused because another task works on its object.

        It is kept then, to be made again.
        """
        if not isinstance(error, Fault) or error.fault != "TaskInProgress":
            return False
        other = error.details.get("task")
        if not other:
            return False
        self._server.answered()
        self._outcomes[work.name].refused += 1
        self._refused.setdefault(other, []).append(work)
        return True

    def _call(self, work: Work, outcome: Outcome) -> t.Any:
        outcome.calls += 1
        if outcome.calls == 1:
            self._tell_sent(work.name)
        waits = StartingWait(self._session.stub.connections)
        while True:
            try:
                return self._session.retrying(work.start)
            except Unavailable:
                if not work.repeatable or not waits.begin():
                    raise
            except ConnectionLost:
                late = self._session.unreachable() or self._session.limit.over()
                if not work.repeatable or outcome.repeated or late:
                    raise
            outcome.calls += 1

    def _tell_sent(self, name: str) -> None:
        """Say how far the sending is; until the first task ends there is nothing else to be seen."""
        if not self._doing:
            return
        with self._lock:
            self._sent += 1
            sent, total = self._sent, len(self._outcomes)
            self._session.show_progress(f"{sent} of {total} calls sent to vCenter" if total > 1 else f"waiting for {name}")

    def wait(self, deadline: float) -> list[Work]:
        """Wait for the tasks; those that end are taken off the open ones.

        :returns: what was refused because another task worked on its object, and can be begun now
            that this one has ended.
        """
        ready: list[Work] = []

        def ended(moid: str, end: TaskEnd) -> None:
            ready.extend(self._refused.pop(moid, ()))
            if moid in self._tasks:
                self._ended(moid, end)

        others = [self._session.reference(vim.Task, moid) for moid in self._refused]
        watched = {task._GetMoId(): task for task in (*self._tasks.values(), *others)}
        wait_for_tasks(self._session, list(watched.values()), deadline, ended, enough=lambda: bool(ready))
        if not ready:
            return []
        # A server that refuses again and again is not asked again and again at once.
        pause, self._pause = self._pause, self._pause or Backoff(deadline, first=0.25)
        return ready if pause is None or pause.begin() else []

    def _ended(self, moid: str, end: TaskEnd) -> None:
        work = self._works[moid]
        outcome = self._outcomes[work.name]
        outcome.result, outcome.error, outcome.seconds = end.result, end.error, end.seconds
        outcome.task = self._tasks.pop(moid)
        if self._is_refused_for_now(work, end.error):
            return
        self._done += 1
        if len(self._outcomes) > 1:
            self._session.show_progress(f"{self._done} of {len(self._outcomes)} {self._doing}")

    def wind_down(self, parallel: int, why: Reason | None) -> None:
        """Cancel what can be cancelled, give the rest a moment, and say of each what is known."""
        for moid in self.open:
            self._outcomes[self._works[moid].name].error = StillRunning(
                f"{self._works[moid].name} was still under way in vCenter (task {moid}) when this run ended.",
                hint="Run again: what was done is then found as done.",
                task=moid,
            )
        if self._session.unreachable(why) and not isinstance(why, CallTimedOut):
            return
        grace = _FAREWELL_SECONDS if isinstance(why, Interrupted) else _GRACE_SECONDS
        try:
            self._cancel_all(parallel)
            self.wait(time.monotonic() + grace)
        except VforgeError as error:
            self._session.warn(f"What was under way could not be followed to its end: {error}")

    def _cancel_all(self, parallel: int) -> None:
        with concurrent.futures.ThreadPoolExecutor(max_workers=max(1, parallel)) as pool:
            for future in [pool.submit(cancel, self._session, moid) for moid in self.open]:
                future.result()


class ServerWatch:
    """Tells from the calls of a batch when the server is gone, so that not every item waits for it
    in vain.

    A server whose answers are late, and that takes new connections, is not gone.

    :ivar gone: the error that showed it.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._lock = threading.Lock()
        self._lost = 0
        self.gone: VforgeError | None = None

    def answered(self) -> None:
        """Note a call that was answered."""
        with self._lock:
            self._lost = 0

    def failed(self, error: VforgeError) -> bool:
        """Note a call that failed; True when no further one has a chance."""
        with self._lock:
            lost = isinstance(error, (ConnectionFailed, ConnectionLost)) and not isinstance(error, CallTimedOut)
            self._lost = self._lost + 1 if lost else 0
            if self._lost >= _LOST_CALLS_MEAN_GONE or self._session.unreachable():
                self.gone = self.gone or error
            return self.gone is not None
