# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Progress of long work, from a module to the person who waits for it.

A module cannot print. What it tells goes over its lifeline to the action plugin, which shows it while the module works.
Without a lifeline nothing is told, and nothing fails.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time

_SECONDS_BETWEEN_LINES = 2.0


class Progress:
    """Tells at most one line in two seconds; what comes between is dropped, since the next line says more.

    :param line: the lifeline, which never blocks; or None.
    """

    def __init__(self, line: socket.socket | None) -> None:
        self._line = line
        self._lock = threading.Lock()
        self._last = time.monotonic()  # work that is done within two seconds needs no progress

    def tell(self, text: str) -> None:
        """Show one line, if it is time for one. Never waits."""
        with self._lock:
            now = time.monotonic()
            if self._line is None or now - self._last < _SECONDS_BETWEEN_LINES:
                return
            self._last = now
            # A reader that is slow or gone must not hold up the work that it reads about.
            with contextlib.suppress(BlockingIOError, BrokenPipeError, ConnectionResetError):
                self._line.send(text.replace("\n", " ").encode() + b"\n")
