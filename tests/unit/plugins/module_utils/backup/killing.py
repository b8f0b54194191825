# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Kill work at random moments: `make kills` does so a hundred times, `make test` a few times."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time

_FORK = multiprocessing.get_context("fork")

# Of each of the four kinds of work.
MOMENTS = int(os.environ.get("VFORGE_KILLS", "8")) // 4

# More than any of it takes, on however busy a machine.
_LONG = 300

# Other moments of the same number.
_SEED = int(os.environ.get("VFORGE_KILLS_SEED", "16"))


def moments(kind):
    """Random moments, as parts of the time that the work takes."""
    dice = random.Random(f"{kind}-{_SEED}")  # noqa: S311 (no secret: the same moments in each worker)
    return [round(dice.random(), 3) for _moment in range(MOMENTS)]


def seconds_of(work):
    """How long something takes in a process of its own, which must come to its end."""
    begin = time.monotonic()
    assert killed(work, _LONG) == 0
    return time.monotonic() - begin


def killed(work, seconds):
    """Run something in a process of its own that is killed after so many seconds.

    :returns: its exit code: 0, or that of the signal.
    """
    process = _FORK.Process(target=work)
    process.start()
    process.join(seconds)
    if process.is_alive():
        os.kill(process.pid, signal.SIGKILL)
        process.join()
    assert process.exitcode in (0, -signal.SIGKILL)
    return process.exitcode


def killed_after(work, monkeypatch, module, name, calls=1):
    """Run something in a process of its own that is killed right after the last of so many calls of a function."""
    real, seen = getattr(module, name), []

    def end_after(*args, **kwargs):
        result = real(*args, **kwargs)
        seen.append(name)
        if len(seen) == calls:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    with monkeypatch.context() as patched:
        patched.setattr(module, name, end_after)
        assert killed(work, _LONG) == -signal.SIGKILL, f"{name} was not called {calls} times"
