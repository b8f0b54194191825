# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Progress of long work, from a module to the person who waits for it.

A module cannot print. What it reports goes over its lifeline to the action plugin, which shows it
while the module works. Without a lifeline nothing is reported, and nothing fails.
"""

from __future__ import annotations

import contextlib
import signal
import socket
import threading
import time
import typing as t

SECONDS_BETWEEN_LINES = 2.0

_MIB = 2**20


class Progress:
    """Sends a line every two seconds, as long as its context lasts: the last that was shown, from
    the first one on.

    Work that is done within two seconds needs no line. One that was sent before is sent again with
    its age, so that who reads sees that the module works, and that it waits.

    :param line: the lifeline, which never blocks; or None.
    :param pause: waits for the event, or until so many seconds have passed; returns whether the
        event is set.
    """

    def __init__(
        self,
        line: socket.socket | None,
        pause: t.Callable[[threading.Event, float], bool] = threading.Event.wait,
    ) -> None:
        self._line = line
        self._pause = pause
        self._over = threading.Event()
        self._shown_last: tuple[str, float] | None = None
        self._thread = threading.Thread(target=self._work, daemon=True, name="progress")

    def show(self, text: str) -> None:
        """Note how far the work is. Never waits; from any thread."""
        self._shown_last = (text, time.monotonic())

    def __enter__(self) -> Progress:
        if self._line is not None:
            self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._over.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _work(self) -> None:
        # A signal that this thread got would not wake the main thread, which has to act on it.
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        sent = None
        while not self._pause(self._over, SECONDS_BETWEEN_LINES):
            last = self._shown_last
            if last is not None:
                text, at = last
                self._send(text if last is not sent else f"{text} ({time.monotonic() - at:.0f} s ago)")
                sent = last

    def _send(self, text: str) -> None:
        # A reader that is slow or gone must not hold up the work that it reads about.
        with contextlib.suppress(BlockingIOError, BrokenPipeError, ConnectionResetError):
            t.cast("socket.socket", self._line).send(text.replace("\n", " ").encode(errors="replace") + b"\n")


class Meter:
    """How far a transfer is; safe for many threads. Shows percent, rate and the time left.

    :param what: begins each line.
    """

    def __init__(self, what: str, total: int, show: t.Callable[[str], None]) -> None:
        self._what = what
        self._show = show
        self._lock = threading.Lock()
        self._begun = time.monotonic()
        self.total = total
        self.done = 0

    def add(self, count: int) -> None:
        """Note bytes that went through; a negative number takes back what has to be sent again."""
        with self._lock:
            self.done += count
        if count > 0:
            self._show(self.line(time.monotonic()))

    def reach(self, done: int, total: int) -> None:
        """Note how far it is."""
        with self._lock:
            self.done, self.total = done, total
        self._show(self.line(time.monotonic()))

    def percent(self) -> int:
        """Whole percent, 99 until the end is confirmed."""
        return min(99, 100 * self.done // self.total) if self.total else 0

    def line(self, now: float) -> str:
        """``web.ova: 43 % of 1190 MiB, 88 MiB/s, 8 s left``."""
        rate = self.done / max(now - self._begun, 0.001)
        left = f", {(self.total - self.done) / rate:.0f} s left" if rate > 0 else ""
        part = f"{self.percent()} % of {self.total / _MIB:.0f} MiB"
        return f"{self._what}: {part}, {rate / _MIB:.0f} MiB/s{left}"
