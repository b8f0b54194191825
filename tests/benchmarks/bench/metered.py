# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One process with what it used: seconds, processor seconds of all that it started, and memory."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.tools import WrongResult, neutral

# Bytes of the output of a process that failed.
_SHOWN = 3000


@dataclass(frozen=True)
class Used:
    """What one process used; ``stopped`` where it was ended at its limit."""

    seconds: float
    cpu: float
    peak_mib: float
    stopped: bool = False


def run(command: Sequence[str | Path], log: Path, env: Mapping[str, str], limit: float | None = None) -> Used:
    """Run a command to its end. log: for its output. limit: seconds after which it is ended.

    Raises WrongResult, with the end of its output, when it fails.
    """
    with log.open("wb") as output:
        begun = time.monotonic()
        process = subprocess.Popen(command, stdout=output, stderr=output, env={**neutral(), **env})
        stopped = threading.Event()

        def stop() -> None:
            stopped.set()
            process.terminate()

        timer = threading.Timer(limit, stop) if limit else None
        if timer is not None:
            timer.start()
        _pid, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if timer is not None:
            timer.cancel()
            timer.join()
    if process.returncode and not stopped.is_set():
        told = log.read_text(encoding="utf-8", errors="replace")[-_SHOWN:]
        raise WrongResult(f"{Path(command[0]).name} ended with exit code {process.returncode}:\n{told}")
    cpu = used.ru_utime + used.ru_stime
    return Used(time.monotonic() - begun, cpu, used.ru_maxrss / 1024, stopped.is_set())
