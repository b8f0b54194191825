# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Signals that end a run, as an error that everything passes on its way out."""

from __future__ import annotations

import contextlib
import signal
import types
import typing as t

from ._errors import Interrupted

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

# Those that are turned into Interrupted now.
_turned: list[signal.Signals] = []

# What came in blocks that hold signals back, the innermost block last.
_held: list[list[Interrupted]] = []


@contextlib.contextmanager
def as_interrupts() -> t.Iterator[None]:
    """Turn the first signal that ends a run into Interrupted; a second one ends the process at once.

    One that comes after the work is ignored: the result is being written, and is the truth. One that the caller has
    switched off, as nohup does, stays off.
    """
    numbers = [number for number in _SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]

    def interrupt(number: int, _frame: types.FrameType | None) -> None:
        for name in numbers:
            signal.signal(name, signal.SIG_DFL)
        what = f"The run was ended by {signal.Signals(number).name}."
        end = Interrupted(what, hint="Run again to finish what is missing.")
        if not _held:
            raise end
        _held[-1].append(end)

    try:
        for number in numbers:
            signal.signal(number, interrupt)
        _turned.extend(numbers)
        yield
    finally:
        settle()


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
