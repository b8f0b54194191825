# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long one call may take, under the deadline of its task. Safe for many threads."""

from __future__ import annotations

import contextlib
import math
import threading
import time
import typing as t

from .. import _signals

# What a call may take, at the least, when the deadline is near or over: what was begun is cleaned up then.
_CLEAN_UP_SECONDS = 10.0

# The same after a signal, whose sender does not wait long.
_FAREWELL_SECONDS = 5.0


class _Own(threading.local):
    """What each thread knows for itself."""

    end: float = math.inf


class Limit:
    """The most that a call may take, and when a task has to end.

    :param per_call: seconds that one call may take.
    :param end: when the task has to end, of ``time.monotonic()``; infinite where there is no such moment.
    """

    def __init__(self, per_call: float, end: float = math.inf) -> None:
        self.per_call = per_call
        self.end = end
        self._own = _Own()

    @contextlib.contextmanager
    def within(self, deadline: float) -> t.Iterator[None]:
        """Have the calls of this thread end at an earlier moment, as long as the context lasts.

        :param deadline: of ``time.monotonic()``; one behind the end of the task changes nothing.
        """
        before = self._own.end
        self._own.end = min(before, deadline)
        try:
            yield
        finally:
            self._own.end = before

    @property
    def deadline(self) -> float:
        """When this thread has to come to an end, of ``time.monotonic()``."""
        return min(self.end, self._own.end)

    def seconds(self) -> float:
        """What a call that begins now may take."""
        if _signals.ended():
            return min(self.per_call, _FAREWELL_SECONDS)
        return min(self.per_call, max(self.deadline - time.monotonic(), _CLEAN_UP_SECONDS))

    def finish(self) -> None:
        """The work is done: what still comes is to clean up."""
        self.end = min(self.end, time.monotonic())

    def over(self) -> bool:
        """Whether nothing is to be asked again: the time is over, or a signal has ended the run."""
        return _signals.ended() or time.monotonic() >= self.deadline

    def task_over(self) -> bool:
        """The same of the task as a whole: all that still comes is to clean up."""
        return _signals.ended() or time.monotonic() >= self.end
