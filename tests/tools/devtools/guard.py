# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs one command and makes sure that nothing of it outlives whoever asked for it.

`python guard.py COMMAND...`: standard input is a pipe that the asker holds open. When it closes, because the
asker ended it or died of whatever signal, the command and everything that it started are ended: first asked to, after
two seconds killed; on SIGUSR1 killed at once. The exit code is the command's, 128 + N when signal N ended it.

On Linux this also reaches processes that left the process group (ansible's workers do): the guard is their
reaper, so they cannot escape by losing their parent.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
import threading
from pathlib import Path

_GRACE_SECONDS = 2.0
_PR_SET_CHILD_SUBREAPER = 36


def _adopt_orphans() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _parent_of(pid: str) -> int | None:
    try:
        stat = Path("/proc", pid, "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # The command's name is in parentheses and may hold anything, so count from the last one.
    return int(stat.rpartition(")")[2].split()[1])


def _descendants() -> list[int]:
    """Process ids of everything below this process, as far as /proc tells."""
    if not Path("/proc/self/stat").exists():
        return []
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit() and (parent := _parent_of(entry)) is not None:
            children.setdefault(parent, []).append(int(entry))
    found: list[int] = []
    ahead = [os.getpid()]
    while ahead:
        below = children.get(ahead.pop(), [])
        found += below
        ahead += below
    return found


def _send(signum: int) -> None:
    for pid in _descendants():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signum)


def _kill_all() -> None:
    """Kill and reap until nothing is left; children of the killed become ours and go in the next round."""
    while True:
        _send(signal.SIGKILL)
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def main(command: list[str]) -> int:
    """Run the command until it ends or standard input closes."""
    _adopt_orphans()
    stop_read, stop_write = os.pipe()

    def stop(signum: int, _frame: object) -> None:
        os.write(stop_write, b"k" if signum == signal.SIGUSR1 else b"s")

    for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
        signal.signal(signum, stop)
    try:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    except OSError as error:
        print(f"{command[0]}: {error.strerror}", file=sys.stderr)
        return 127
    done_read, done_write = os.pipe()

    def wait() -> None:
        process.wait()
        os.write(done_write, b"d")

    threading.Thread(target=wait, daemon=True).start()
    ready = select.select([0, stop_read, done_read], [], [])[0]
    at_once = stop_read in ready and os.read(stop_read, 1) == b"k"
    if done_read not in ready and not at_once:
        _send(signal.SIGTERM)
        select.select([done_read], [], [], _GRACE_SECONDS)
    code = process.returncode
    _kill_all()
    if code is None:
        return 128 + signal.SIGKILL
    return 128 - code if code < 0 else code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
