# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What ties a module to the task that it works for: a module that nobody waits for any more ends.

Ansible gives a task up without a word to its module: at the task's ``timeout``, or where
ansible-playbook is killed. The module would go on beside whatever comes next. It therefore looks at
two things, and is ended as by a signal when either goes:

- the *lifeline*, a socket that the action plugin has made on the same machine. The plugin cuts it
  when the task is over; the kernel does, when the plugin's process is. The module's progress goes
  back over it.
- its standard output, where its result goes: over a network that is all there is.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import stat
import threading
import typing as t

from . import _signals
from ._errors import Abandoned

VARIABLE = "VFORGE_LIFELINE"

_STDOUT = 1


@contextlib.contextmanager
def held() -> t.Iterator[socket.socket | None]:
    """Be ended as by a signal, in the main thread, when nobody waits for this module any more.

    :returns: the lifeline, to write progress to; None where there is none.
    :raises Abandoned: at once, when the task was given up before the module came to begin.
    """
    line = _connect(os.environ.get(VARIABLE))
    stop_read, stop_write = os.pipe()
    watch = threading.Thread(target=_watch, args=(line, stop_read), daemon=True, name="lifeline")
    watch.start()
    try:
        yield line
    finally:
        os.close(stop_write)
        watch.join()
        os.close(stop_read)
        if line is not None:
            line.close()


def abandoned() -> Abandoned:
    """The error of a module that nobody waits for."""
    return Abandoned(
        "The run was ended, since Ansible no longer waits for it.",
        hint="Run again to finish what is missing.",
    )


def _connect(path: str | None) -> socket.socket | None:
    if not path:
        return None
    line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        line.connect(path)
    except (FileNotFoundError, ConnectionRefusedError) as error:
        line.close()
        raise abandoned() from error
    except OSError:
        # Another user's, after become: there is standard output still.
        line.close()
        return None
    line.setblocking(False)
    # What kills the process group of ansible-playbook, as ansible-runner does, is to cut the line,
    # not to kill this process in the middle of its work: it can then still cancel what vCenter has
    # queued. Who leads a session, as what su starts does, has a group of his own, and may make
    # none.
    if os.getpgrp() != os.getpid():
        os.setpgid(0, 0)
    return line


def _watch(line: socket.socket | None, stop: int) -> None:
    # A signal that this thread got would not wake the main thread, which has to act on it.
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    poll = select.poll()
    poll.register(stop, select.POLLIN)
    if line is not None:
        # Nothing is ever sent this way: it can be read when it is at its end.
        poll.register(line, select.POLLIN)
    if _has_reader(_STDOUT):
        # Without any event asked for, poll reports only that the other side is gone.
        poll.register(_STDOUT, 0)
    gone = {handle for handle, _events in poll.poll()} - {stop}
    if gone:
        _signals.end_run(abandoned())


def _has_reader(handle: int) -> bool:
    """Whether somebody reads what is written there, and can be seen to have gone."""
    try:
        kind = os.fstat(handle).st_mode
    except OSError:
        return False  # it is closed
    return stat.S_ISFIFO(kind) or stat.S_ISSOCK(kind) or os.isatty(handle)
