# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Nothing that a command started outlives whoever asked for it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from devtools import processes

# A child that prints its own process ids: one in its group, one that left the group and its session, and one that did so
# and ignores SIGTERM. It then waits for ever.
_FAMILY = """
import os, signal, sys
def child(leave, ignore):
    pid = os.fork()
    if pid == 0:
        if leave:
            os.setsid()
        if ignore:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.write(1, b"%d\\n" % os.getpid())
        while True:
            signal.pause()
child(False, False), child(True, False), child(True, True)
while True:
    signal.pause()
"""

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a process adopt orphans")


def _pids(process: subprocess.Popen[bytes]) -> list[int]:
    assert process.stdout is not None
    return [int(process.stdout.readline()) for _ordinal in range(3)]


def _alive(pids: list[int]) -> list[int]:
    return [pid for pid in pids if Path(f"/proc/{pid}").exists()]


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("raise SystemExit(0)", 0),
        ("raise SystemExit(3)", 3),
        ("import os, signal; os.kill(os.getpid(), signal.SIGTERM)", 128 + signal.SIGTERM),
    ],
)
def test_the_exit_code_is_the_commands(tmp_path: Path, code: str, expected: int) -> None:
    assert processes.run([sys.executable, "-c", code], tmp_path / "log").code == expected


def test_a_command_that_is_not_there_is_reported(tmp_path: Path) -> None:
    result = processes.run(["no-such-command-anywhere"], tmp_path / "log")
    assert (result.code, result.output) == (127, "no-such-command-anywhere: No such file or directory\n")


def test_check_raises_with_the_log(tmp_path: Path) -> None:
    with pytest.raises(processes.CommandFailed, match="exit code 5") as caught:
        processes.check([sys.executable, "-c", "print('why'); raise SystemExit(5)"], tmp_path / "log")
    assert caught.value.log.read_text(encoding="utf-8").endswith("why\n")


@linux_only
@pytest.mark.parametrize("end", [processes.finish, processes.kill])
def test_ending_it_reaches_those_that_left_the_group(end: object) -> None:
    process = processes.start([sys.executable, "-c", _FAMILY], output=subprocess.PIPE)
    pids = _pids(process)
    assert _alive(pids) == pids
    assert callable(end)
    end(process)
    assert _alive(pids) == []


@linux_only
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_death_of_the_asker_ends_it(number: signal.Signals, tmp_path: Path) -> None:
    script = tmp_path / "asker.py"
    tools = Path(processes.__file__).parents[1]
    script.write_text(
        f"import sys; sys.path.insert(0, {str(tools)!r})\n"
        f"from devtools import processes\n"
        f"processes.start([sys.executable, '-c', {_FAMILY!r}]).wait()\n",
        encoding="utf-8",
    )
    asker = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE)
    pids = _pids(asker)
    os.kill(asker.pid, number)
    assert asker.stdout is not None
    # Every one of them holds the other end of this pipe, the guard too: it ends when the last of them has.
    assert asker.stdout.read() == b""
    assert _alive(pids) == []
    asker.wait()
    asker.stdout.close()
