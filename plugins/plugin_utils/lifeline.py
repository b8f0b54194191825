# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action plugin's end of a module's lifeline: progress comes in over it, and cutting it ends
the module.

It is a socket in a folder that only this user can open. The folder is there from before the
module starts until the module has opened the socket; what a run has left that was killed
meanwhile is removed by the next one.
"""

from __future__ import annotations

import contextlib
import fcntl
import multiprocessing
import os
import pathlib
import selectors
import signal
import socket
import struct
import tempfile
import threading
import time
import types
import typing as t

# How long a module may take, once its lifeline is cut, to cancel, to look at what is under way and
# to close its session.
SECONDS_TO_END = 90.0

# How long the kernel may take to end a process that was killed.
_SECONDS_TO_DIE = 5.0

_PREFIX = "vforge-lifeline-"
_NAME = "line"

# The longest folder below which a socket can have a name on every system.
_LONGEST_FOLDER = 60


class Lifeline:
    """Ties one module to this process, and to the ansible-playbook that has started this process.

    A thread works for it: see ``close``.

    :param show: called in that thread with each line of progress.
    :raises OSError: there is no room, or no place, for the socket.
    :raises RuntimeError: no thread can be started.
    """

    def __init__(self, show: t.Callable[[str], None]) -> None:
        self.opened = False
        self.killed = False
        self._show = show
        self._module: socket.socket | None = None
        self._rest = b""
        self._is_cut = self._is_over = False
        self._patience: float | None = None
        self._parent = _parent_handle()
        self._place = _Place()
        self._wake_read, self._wake_write = os.pipe()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._place.listener, selectors.EVENT_READ, self._open)
        self._selector.register(self._wake_read, selectors.EVENT_READ, self._end)
        if self._parent is not None:
            self._selector.register(self._parent, selectors.EVENT_READ, self._end)
        self._thread = threading.Thread(target=self._work, daemon=True, name="lifeline")
        try:
            self._thread.start()
        except RuntimeError:
            self._place.close()
            self._forget()
            raise

    @property
    def path(self) -> str:
        """The name of the socket, for the module."""
        return self._place.path

    def cut(self) -> None:
        """Let the module end; one that comes only now does not begin. Does not wait."""
        os.write(self._wake_write, b".")

    def close(self) -> None:
        """Cut the line, and wait until the module has ended. One that has not within SECONDS_TO_END
        is killed.

        ``killed`` shows whether it had to be. One that another user runs cannot be killed, and is
        not waited for any longer.
        """
        self.cut()
        self._thread.join()
        self._forget()

    def _forget(self) -> None:
        self._selector.close()
        for handle in (self._wake_read, self._wake_write, self._parent):
            if handle is not None:
                os.close(handle)

    @contextlib.contextmanager
    def nothing_left(self) -> t.Iterator[None]:
        """While the context lasts, the signals that end this process at once remove the socket's
        name first.
        """

        def tidy(number: int, _frame: types.FrameType | None) -> None:
            self._place.remove()
            signal.signal(number, before[number])
            signal.raise_signal(number)

        before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        for number in before:
            signal.signal(number, tidy)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _work(self) -> None:
        # A signal that this thread got would not wake the main thread, which has to act on it.
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        while not self._is_over:
            left = None if self._patience is None else max(0.0, self._patience - time.monotonic())
            ready = self._selector.select(left)
            if not ready:
                self._lose_patience()
            for key, _events in ready:
                key.data()
        self._place.close()

    def _open(self) -> None:
        """The module has come."""
        if self._module is not None:
            return
        with contextlib.suppress(BlockingIOError):
            self._module, _address = self._place.listener.accept()
            self.opened = True
            self._selector.unregister(self._place.listener)
            self._place.close()
            self._selector.register(self._module, selectors.EVENT_READ, self._receive)

    def _receive(self) -> None:
        module = t.cast("socket.socket", self._module)
        try:
            part = module.recv(4096)
        except ConnectionResetError:
            part = b""
        if not part:
            # It has closed its end: its work is over.
            self._is_over = True
            self._selector.unregister(module)
            module.close()
            return
        *whole, self._rest = (self._rest + part).split(b"\n")
        for line in whole:
            # What is shown goes through ansible-playbook, and would wait for ever for one that is
            # gone.
            if not parent_gone():
                self._show(line.decode(errors="replace"))

    def _end(self) -> None:
        """The task is over, or ansible-playbook is gone."""
        if self._is_cut:
            os.read(self._wake_read, 64)
            return
        self._is_cut = True
        if self._parent is not None:
            self._selector.unregister(self._parent)
        if self._module is None and not self._is_over:
            self._open()  # it may have come in this moment
        if self._module is None:
            self._is_over = True
            return
        self._patience = time.monotonic() + SECONDS_TO_END
        with contextlib.suppress(OSError):  # it has ended in this moment
            self._module.shutdown(socket.SHUT_WR)

    def _lose_patience(self) -> None:
        process = _process_of(t.cast("socket.socket", self._module))
        if self.killed or process is None:
            self._is_over = True
            return
        try:
            # The socket is open, so the process has not made room for another one of the same
            # number.
            os.kill(process, signal.SIGKILL)
        except (PermissionError, ProcessLookupError):
            self._is_over = True
            return
        self.killed = True
        self._patience = time.monotonic() + _SECONDS_TO_DIE


class _Place:
    """The folder with the socket. It is locked while its maker lives.

    ``path`` is the socket's name, ``listener`` the socket.
    """

    def __init__(self) -> None:
        remove_left()
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.setblocking(False)
        while True:
            self._folder = tempfile.mkdtemp(prefix=_PREFIX, dir=_folder())
            self.path = os.path.join(self._folder, _NAME)
            try:
                self._lock = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
                # Where the file system knows no locks, nobody else can take one, and nothing is swept.
                with contextlib.suppress(OSError):
                    fcntl.flock(self._lock, fcntl.LOCK_EX)
                self.listener.bind(self.path)
                self.listener.listen(1)
            except FileNotFoundError:
                continue  # another run has taken it for one that was left, before it was locked
            return

    def remove(self) -> None:
        """Remove the name, if it is still there."""
        _remove(self._folder)

    def close(self) -> None:
        """Remove the name and take nobody in; more than once if need be."""
        if self.listener.fileno() >= 0:
            self.listener.close()
            self.remove()
            os.close(self._lock)


def remove_left() -> None:
    """Remove the folders of runs of this user that were killed before their module had come."""
    for folder in pathlib.Path(_folder()).glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):  # it is another user's, or locked, or gone in this moment
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _remove(str(folder))
            finally:
                os.close(lock)


def _remove(folder: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(os.path.join(folder, _NAME))
    with contextlib.suppress(FileNotFoundError):
        os.rmdir(folder)


def _folder() -> str:
    usual = tempfile.gettempdir()
    # In it there is a new folder of this user's alone for each socket.
    return usual if len(os.fsencode(usual)) <= _LONGEST_FOLDER else "/tmp"  # noqa: S108


def parent_gone() -> bool:
    """Whether the ansible-playbook that started this process has ended, so that nobody waits for a
    task's result.
    """
    parent = multiprocessing.parent_process()
    return parent is not None and parent.pid != os.getppid()


def _parent_handle() -> int | None:
    """What can be read when ansible-playbook has ended; None where this process was not started for
    a task.

    :raises ProcessLookupError: it has ended.
    """
    parent = multiprocessing.parent_process()
    if parent is None:
        return None
    try:
        handle = os.pidfd_open(t.cast("int", parent.pid))
    except ProcessLookupError:
        raise
    except (AttributeError, OSError):
        # No Linux, or an old one: this one tells it later, when the tasks begun after this one have
        # ended, too.
        handle = os.dup(parent.sentinel)
    if parent_gone():
        os.close(handle)
        raise ProcessLookupError("ansible-playbook has ended")
    return handle


def _process_of(module: socket.socket) -> int | None:
    """The process at the other end, None where the system does not tell or it is not to be seen
    from here.
    """
    if not hasattr(socket, "SO_PEERCRED"):
        return None
    size = struct.calcsize("3i")
    process, _user, _group = struct.unpack("3i", module.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
    return process or None
