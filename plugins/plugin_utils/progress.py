# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The reading end of a module's progress, for action plugins."""

from __future__ import annotations

import contextlib
import os
import selectors
import tempfile
import threading
import typing as t


@contextlib.contextmanager
def shown(show: t.Callable[[str], None]) -> t.Iterator[str]:
    """Show the lines that are written to a new named pipe, as they come, until the context is left.

    :param show: called in a thread, once a line.
    :returns: the path of the pipe, which only this user can open.
    """
    with tempfile.TemporaryDirectory(prefix="vforge-progress-") as folder:
        path = os.path.join(folder, "pipe")
        os.mkfifo(path, 0o600)
        lines = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        stop_read, stop_write = os.pipe2(os.O_CLOEXEC)
        reader = threading.Thread(target=_read, args=(lines, stop_read, show), daemon=True)
        reader.start()
        try:
            yield path
        finally:
            os.close(stop_write)
            reader.join()
            os.close(stop_read)
            os.close(lines)


def _read(lines: int, stop: int, show: t.Callable[[str], None]) -> None:
    rest = b""
    with selectors.DefaultSelector() as selector:
        selector.register(lines, selectors.EVENT_READ)
        selector.register(stop, selectors.EVENT_READ)
        while True:
            ready = {key.fd for key, _events in selector.select()}
            if lines in ready:
                part = os.read(lines, 4096)
                if not part:
                    selector.unregister(lines)  # the module has closed its end
                *whole, rest = (rest + part).split(b"\n")
                for line in whole:
                    show(line.decode(errors="replace"))
            elif stop in ready:
                return
