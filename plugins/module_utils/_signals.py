# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Signals that end a run, as an error that everything passes on its way out."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import types
import typing as t

from ._errors import Interrupted

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

# What this process sends to itself. Of all signals this one changes nothing where nobody waits for
# it.
_OWN = signal.SIGURG

# Why this process has sent it: the first one counts.
_why: list[Interrupted] = []

# Those that are turned into Interrupted now.
_turned: list[signal.Signals] = []

# The blocks that hold signals back, the innermost last.
_held: list[_Held] = []

# Whether a signal has come that ends the run.
_came = threading.Event()

# How long a call whose answer must not be lost may still take after a signal.
_HELD_SECONDS = 2.0

# How long the main thread is given to act on a signal before it is woken again.
_WAKING_SECONDS = 0.1


class _Held:
    """A block that holds signals back.

    :param break_off: ends the call that the block waits for.
    """

    def __init__(self, break_off: t.Callable[[], None] | None) -> None:
        self.came: Interrupted | None = None
        self._break_off = break_off
        self._timer: threading.Timer | None = None

    def note(self, end: Interrupted) -> None:
        """A signal came: the block may take a moment longer."""
        self.came = end
        if self._break_off is not None:
            self._timer = threading.Timer(_HELD_SECONDS, self._break_off)
            self._timer.daemon = True
            self._timer.start()

    def leave(self) -> None:
        """The block has ended."""
        if self._timer is not None:
            self._timer.cancel()


def ended() -> bool:
    """Whether the run is being ended by a signal, so that nothing more is to be begun or waited
    for.
    """
    return _came.is_set()


@contextlib.contextmanager
def as_interrupts() -> t.Iterator[list[Interrupted]]:
    """Turn the first signal that ends a run, or ``end_run``, into Interrupted.

    A second signal ends the process at once.

    Yields a list that holds it once it has come, whatever was made of it on its way out.

    One that comes after the work is ignored: the result is being written, and is the truth. One
    that the caller has switched off, as nohup does, stays off.
    """
    numbers = [number for number in _SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    came: list[Interrupted] = []

    def interrupt(number: int, _frame: types.FrameType | None) -> None:
        if not _turned or (number == _OWN and not _why):
            return  # the run is over; or it only wakes, or is somebody else's
        for name in (_OWN,) if number == _OWN else numbers:
            signal.signal(name, signal.SIG_DFL)
        if came:
            return  # what ends a task and its module together is noticed in two ways
        what = f"The run was ended by {signal.Signals(number).name}."
        end = _why[0] if number == _OWN else Interrupted(what, hint="Run again to finish what is missing.")
        _came.set()
        came.append(end)
        if not _held:
            raise end
        _held[-1].note(end)

    _came.clear()
    try:
        with _waking():
            for number in (*numbers, _OWN):
                signal.signal(number, interrupt)
                _turned.append(number)
            if _why:
                interrupt(_OWN, None)
            yield came
    finally:
        settle()
        _came.clear()
        _why.clear()


@contextlib.contextmanager
def _waking() -> t.Iterator[None]:
    """Have the main thread act on a signal wherever it waits.

    Python's handlers run in the main thread alone, when that one runs. A signal wakes it where the
    system has it take the signal while it waits, and neither where another thread takes it nor
    where it comes just before the wait begins. Then nothing would come of it until the wait is
    over. https://docs.python.org/3/library/signal.html#signals-and-threads
    """
    noted, note = os.pipe()
    os.set_blocking(note, False)
    before = signal.set_wakeup_fd(note, warn_on_full_buffer=False)
    waker = threading.Thread(target=_wake, args=(noted,), daemon=True, name="signals")
    waker.start()
    try:
        yield
    finally:
        settle()  # whom the waker calls now has nothing to do
        signal.set_wakeup_fd(before)
        os.close(note)
        waker.join()
        os.close(noted)


def _wake(noted: int) -> None:
    """Wake the main thread until it has acted on the first signal that ends the run.

    :param noted: where the number of each signal comes in as a byte; it ends when nobody waits for
        signals any more.
    """
    # One that this thread took would have to be noted by itself.
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    while numbers := os.read(noted, 64):
        ends = any(number in _SIGNALS for number in numbers) or bool(_why)
        while ends and not _came.wait(_WAKING_SECONDS) and _turned:
            _call_main_thread()


def end_run(why: Interrupted) -> None:
    """End the run as a signal does, from any thread; one that is ending already goes on as it is.

    :param why: what the main thread raises, also where it comes to ``as_interrupts`` only later.
    """
    _why.append(why)
    _call_main_thread()


def _call_main_thread() -> None:
    # It is to end the call in which that one waits, so it is sent to no other.
    signal.pthread_kill(t.cast("int", threading.main_thread().ident), _OWN)


@contextlib.contextmanager
def held_back(break_off: t.Callable[[], None] | None = None) -> t.Iterator[None]:
    """Let a signal wait until the block ends: for a call whose answer must not be lost.

    In another thread than the main one no signal is seen, and there is nothing to hold back.

    :param break_off: ends that call; it is called, in a thread, when the block takes too long after
        a signal.
    :raises Interrupted: at the end of the block, also of one that failed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    block = _Held(break_off)
    _held.append(block)
    try:
        yield
    finally:
        _held.pop()
        block.leave()
        if block.came is not None:
            raise block.came


def settle() -> None:
    """From here on signals are ignored: what is done cannot be taken back, and is only to be
    reported.

    For the main thread. Outside of ``as_interrupts`` it does nothing.
    """
    while _turned:
        number = _turned.pop()
        # Its handler stays, and does nothing: Python complains of a signal that was noted while its
        # handler was taken away.
        if number != _OWN:
            signal.signal(number, signal.SIG_IGN)
