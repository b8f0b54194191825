# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Progress of long work, from a module to the person who waits for it.

A module cannot print. The action plugin therefore makes a pipe, names it in the environment of the module, and shows what
comes through while the module works. Without such a pipe nothing is told, and nothing fails.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time

VARIABLE = "VFORGE_PROGRESS"

_SECONDS_BETWEEN_LINES = 2.0


class Progress:
    """Tells at most one line in two seconds; what comes between is dropped, since the next line says more.

    :param path: of a named pipe that somebody reads, or None.
    """

    def __init__(self, path: str | None) -> None:
        self._handle = _open(path) if path else None
        self._lock = threading.Lock()
        self._last = time.monotonic()  # work that is done within two seconds needs no progress

    @classmethod
    def from_environment(cls) -> Progress:
        """The pipe that the action plugin made, if it made one."""
        return cls(os.environ.get(VARIABLE))

    def tell(self, text: str) -> None:
        """Show one line, if it is time for one. Never waits."""
        with self._lock:
            now = time.monotonic()
            if self._handle is None or now - self._last < _SECONDS_BETWEEN_LINES:
                return
            self._last = now
            # A reader that is slow or gone must not hold up the work that it reads about.
            with contextlib.suppress(BlockingIOError, BrokenPipeError):
                os.write(self._handle, text.replace("\n", " ").encode() + b"\n")


def _open(path: str) -> int | None:
    try:
        return os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return None  # nobody reads, or another user's pipe: the work itself does not need it
