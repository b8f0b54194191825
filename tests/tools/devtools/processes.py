# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs commands whose output goes to a log, and which never outlive this process."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Lock, local
from typing import IO

Command = Sequence[str | Path]

_GUARD = Path(__file__).with_name("guard.py")
_running: set[subprocess.Popen[bytes]] = set()
_stopped = Event()
# Held while one starts, so that `stop_all` in another thread misses none.
_starting = Lock()
_spent = local()


class Stopped(Exception):
    """No command starts any more: the whole run is being given up."""


class CommandFailed(Exception):
    """A command ended with an error; its output is in the log."""

    def __init__(self, command: Sequence[str], code: int, log: Path) -> None:
        super().__init__(f"`{' '.join(command)}` ended with exit code {code}")
        self.code = code
        self.log = log


@dataclass(frozen=True)
class Result:
    """How a command ended: its exit code, and its output (standard error included)."""

    code: int
    output: str


def start(
    command: Command,
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    output: IO[bytes] | int | None = None,
) -> subprocess.Popen[bytes]:
    """Start a command under the guard, in a process group of its own.

    output: where both its output streams go; None leaves them where ours go.
    Hand what is returned to `finish`, in a `finally`. Raises Stopped after `stop_all`.
    """
    with _starting:
        if _stopped.is_set():
            raise Stopped
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(_GUARD), *map(str, command)],
            cwd=cwd,
            env=dict(os.environ if env is None else env),
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=None if output is None else subprocess.STDOUT,
            start_new_session=True,
        )
        _running.add(process)
    return process


def finish(process: subprocess.Popen[bytes]) -> int:
    """End what `start` returned, if it still runs, and wait for it; returns its exit code."""
    if process.stdin is not None:
        process.stdin.close()
    code = process.wait()
    _running.discard(process)
    return code


def kill(process: subprocess.Popen[bytes]) -> None:
    """Kill what `start` returned and all that it started, as a power cut would, and wait for it."""
    process.send_signal(signal.SIGUSR1)
    process.wait()
    finish(process)


def stop_all() -> None:
    """End every command that any thread runs, and let no other start."""
    with _starting:
        _stopped.set()
        processes = list(_running)
    # All are asked before the first is waited for: they take their time side by side.
    for process in processes:
        if process.stdin is not None:
            process.stdin.close()
    for process in processes:
        finish(process)


def stopped() -> bool:
    """Whether `stop_all` was called."""
    return _stopped.is_set()


def spent() -> float:
    """Seconds of processor time of the commands that this thread ran to their end (Linux only; elsewhere 0)."""
    return getattr(_spent, "seconds", 0.0)


def _await(process: subprocess.Popen[bytes]) -> int:
    """Wait for a command and book what it cost to this thread; returns its exit code."""
    if Path("/proc/self/stat").exists():
        with contextlib.suppress(OSError):
            # The guard stays a zombie until `wait`, and a zombie still says what it and all that it reaped have cost.
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
            fields = Path(f"/proc/{process.pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
            _spent.seconds = spent() + sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
    return process.wait()


def run(
    command: Command,
    log: Path,
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> Result:
    """Run a command to its end, appending its output to the log file.

    Whatever ends this call early, a signal included, ends the command too.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a+b") as handle:
        handle.write(f"$ {' '.join(map(str, command))}\n".encode())
        handle.flush()
        begin = handle.tell()
        process = start(command, cwd=cwd, env=env, output=handle)
        try:
            code = _await(process)
        finally:
            finish(process)
        handle.seek(begin)
        return Result(code, handle.read().decode(errors="replace"))


def check(
    command: Command,
    log: Path,
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> str:
    """As `run`, but raise CommandFailed unless the exit code is 0; returns the output."""
    result = run(command, log, cwd=cwd, env=env)
    if result.code:
        raise CommandFailed([str(word) for word in command], result.code, log)
    return result.output
