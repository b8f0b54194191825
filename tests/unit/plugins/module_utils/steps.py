# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The system, in which something happens before a step of writing a file: in place of the module ``os`` that a module uses."""

from __future__ import annotations

import errno
import os
import signal
import typing as t

# The calls that change something, or make a change last. Of opening and closing only that of files that are made counts:
# walking to a folder changes nothing, wherever it ends.
_CHANGES = ("mkdir", "write", "fchmod", "fsync", "rename", "unlink", "rmdir")


class Steps:
    """Counts the calls that change something.

    :param happen: called before each of them with its number, from 1, and its name.
    :param every: whether opening and closing what is only looked at counts too.
    :ivar count: calls until now.
    """

    def __init__(self, happen: t.Callable[[int, str], object] = lambda _number, _name: None, *, every: bool = False) -> None:
        self.count = 0
        self._happen = happen
        self._every = every
        self._made: set[int] = set()

    def __getattr__(self, name: str) -> t.Any:
        real = getattr(os, name)
        if name not in _CHANGES:
            return real

        def call(*args: t.Any, **kwargs: t.Any) -> t.Any:
            self._step(name)
            return real(*args, **kwargs)

        return call

    def open(self, path: t.Any, flags: int, *args: t.Any, **kwargs: t.Any) -> int:
        """As ``os.open``."""
        making = bool(flags & os.O_CREAT)
        if making or self._every:
            self._step("open")
        handle = os.open(path, flags, *args, **kwargs)
        if making:
            self._made.add(handle)
        return handle

    def close(self, handle: int) -> None:
        """As ``os.close``."""
        counts = handle in self._made or self._every
        self._made.discard(handle)
        try:
            if counts:
                self._step("close")
        finally:
            # The system closes it even where it tells of a failure.
            os.close(handle)

    def _step(self, name: str) -> None:
        self.count += 1
        self._happen(self.count, name)


def failing_at(number: int, *, every: bool = False) -> Steps:
    """Where one call fails, as on a full disk."""

    def happen(count: int, _name: str) -> None:
        if count == number:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    return Steps(happen, every=every)


def killed_at(number: int, *, every: bool = False) -> Steps:
    """Where the process is killed before one call."""
    return Steps(lambda count, _name: os.kill(os.getpid(), signal.SIGKILL) if count == number else None, every=every)
