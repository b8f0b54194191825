# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The system, in which something happens before a step of writing a file: in place of the module ``os`` that a module uses."""

from __future__ import annotations

import errno
import os
import signal
import typing as t

# The calls that change something, or make a change last.
_CHANGES = ("open", "mkdir", "write", "fchmod", "fsync", "rename", "unlink", "rmdir", "close")


class Steps:
    """Counts the calls that change something.

    :param happen: called before each of them with its number, from 1, and its name.
    :ivar count: calls until now.
    """

    def __init__(self, happen: t.Callable[[int, str], object] = lambda _number, _name: None) -> None:
        self.count = 0
        self._happen = happen

    def __getattr__(self, name: str) -> t.Any:
        real = getattr(os, name)
        if name not in _CHANGES:
            return real

        def call(*args: t.Any, **kwargs: t.Any) -> t.Any:
            self.count += 1
            self._happen(self.count, name)
            return real(*args, **kwargs)

        return call


def failing_at(number: int) -> Steps:
    """Where one call fails, as on a full disk."""

    def happen(count: int, _name: str) -> None:
        if count == number:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    return Steps(happen)


def killed_at(number: int) -> Steps:
    """Where the process is killed before one call."""
    return Steps(lambda count, _name: os.kill(os.getpid(), signal.SIGKILL) if count == number else None)
