# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Signals that end a run, as an error that everything passes on its way out."""

from __future__ import annotations

import contextlib
import signal
import threading
import types
import typing as t

from ._errors import Interrupted

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

# What this process sends to itself. Of all signals this one changes nothing where nobody waits for it.
_OWN = signal.SIGURG

# Why this process has sent it: the first one counts.
_why: list[Interrupted] = []

# Those that are turned into Interrupted now.
_turned: list[signal.Signals] = []

# What came in blocks that hold signals back, the innermost block last.
_held: list[list[Interrupted]] = []


@contextlib.contextmanager
def as_interrupts() -> t.Iterator[None]:
    """Turn the first signal that ends a run, or ``end_run``, into Interrupted; a second signal ends the process at once.

    One that comes after the work is ignored: the result is being written, and is the truth. One that the caller has
    switched off, as nohup does, stays off.
    """
    numbers = [number for number in _SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    came: list[int] = []

    def interrupt(number: int, _frame: types.FrameType | None) -> None:
        if number == _OWN and not _why:
            return  # it is somebody else's
        for name in (_OWN,) if number == _OWN else (*numbers, _OWN):
            signal.signal(name, signal.SIG_DFL)
        if came:
            return  # what ends a task and its module together is noticed in two ways
        what = f"The run was ended by {signal.Signals(number).name}."
        end = _why[0] if number == _OWN else Interrupted(what, hint="Run again to finish what is missing.")
        came.append(number)
        if not _held:
            raise end
        _held[-1].append(end)

    try:
        for number in (*numbers, _OWN):
            signal.signal(number, interrupt)
            _turned.append(number)
        if _why:
            interrupt(_OWN, None)
        yield
    finally:
        settle()
        _why.clear()


def end_run(why: Interrupted) -> None:
    """End the run as a signal does, from any thread; one that is ending already goes on as it is.

    :param why: what the main thread raises, also where it comes to ``as_interrupts`` only later.
    """
    _why.append(why)
    # Sent to the main thread, since it is to end the call in which that one waits.
    signal.pthread_kill(t.cast("int", threading.main_thread().ident), _OWN)


@contextlib.contextmanager
def held_back() -> t.Iterator[None]:
    """Let a signal wait until the block ends: for a call whose answer must not be lost. For the main thread.

    :raises Interrupted: at the end of the block, also of one that failed.
    """
    came: list[Interrupted] = []
    _held.append(came)
    try:
        yield
    finally:
        _held.pop()
        if came:
            raise came[0]


def settle() -> None:
    """From here on signals are ignored: what is done cannot be taken back, and is only to be told.

    For the main thread. Outside of ``as_interrupts`` it does nothing.
    """
    while _turned:
        signal.signal(_turned.pop(), signal.SIG_IGN)
