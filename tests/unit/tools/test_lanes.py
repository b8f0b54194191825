# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Steps run beside each other as far as the machine has room, say how far they are, and end together."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from threading import Barrier, Lock

import pytest

from devtools import console, lanes
from devtools.console import Console, Outcome, Progress
from devtools.lanes import Lane
from devtools.processes import CommandFailed

_PATIENCE = 300.0


def test_what_fits_runs_beside_each_other() -> None:
    together = Barrier(3, timeout=_PATIENCE)

    def meet() -> Outcome:
        together.wait()
        return Outcome(1)

    this = Console()
    lanes.run(this, [Lane(f"lane {number}", meet) for number in range(3)], capacity=3)
    assert this.summary() == 0


def test_no_more_runs_at_once_than_there_is_room_for() -> None:
    lock = Lock()
    running = 0.0
    seen: list[tuple[str, float]] = []

    def lane(name: str, load: float) -> Lane:
        def work() -> Outcome:
            nonlocal running
            with lock:
                running += load
                seen.append((name, running))
            subprocess.run([sys.executable, "-c", "pass"], check=True)
            with lock:
                running -= load
            return Outcome(1)

        return Lane(name, work, load)

    lanes.run(Console(), [lane("a", 1), lane("huge", 9), lane("b", 1), lane("c", 0.5), lane("d", 1)], capacity=2)
    assert {name for name, _load in seen} == {"a", "huge", "b", "c", "d"}
    assert max(load for name, load in seen if name != "huge") <= 2
    assert ("huge", 9.0) in seen, "one that is larger than the machine runs alone"


def test_a_lane_that_fails_stops_no_other(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "log"
    log.write_text("first line\nlast line\n", encoding="utf-8")

    def fail() -> Outcome:
        raise CommandFailed(["false"], 3, log)

    this = Console()
    lanes.run(this, [Lane("bad", fail), Lane("good", lambda: Outcome(2, skipped=1))], capacity=1)
    assert this.summary() == 1
    shown = capsys.readouterr().out
    assert "first line\nlast line\n" in shown
    assert shown.endswith("\n2 passed, 1 failed, 1 skipped\n")


def test_a_line_says_how_far_the_running_steps_are(capsys: pytest.CaptureFixture[str]) -> None:
    said = Barrier(2, timeout=_PATIENCE)
    asked = 0

    def progress() -> Progress:
        nonlocal asked
        asked += 1
        if asked == 2:
            said.wait()
        return Progress(812, 2182)

    def wait() -> Outcome:
        said.wait()
        return Outcome(1)

    this = Console()
    with this.watched(every=0.01):
        lanes.run(this, [Lane("units", wait, progress=progress), Lane("go vet", lambda: Outcome(1))], capacity=1)
    assert re.search(r"^  \.\.\. +\d+ s  units 812 of 2182$", capsys.readouterr().out, re.MULTILINE)


def test_lanes_of_a_group_count_together() -> None:
    group = lanes.counted("integration", {"one": lambda: Outcome(1), "two": lambda: Outcome(1)})
    assert [str(lane.progress()) for lane in group if lane.progress] == ["0 of 2"] * 2
    group[0].work()
    assert [str(lane.progress()) for lane in group if lane.progress] == ["1 of 2"] * 2
    assert {lane.group for lane in group} == {"integration"}


def test_a_step_says_what_its_commands_cost(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    busy = "import os\nwhile sum(os.times()[:2]) < 0.3: pass"

    def work() -> Outcome:
        console.processes.check([sys.executable, "-c", busy], tmp_path / "log")
        return Outcome(1)

    this = Console()
    this.step("busy", work)
    this.summary()
    found = re.search(r"busy +1 passed, 0 failed +[\d.]+ s +([\d.]+) s\n", capsys.readouterr().out)
    if sys.platform == "linux":
        assert found
        assert float(found[1]) >= 0.3


# Two lanes with a child each that ignores SIGTERM and holds a FIFO open, and a third that waits for its turn.
_CHILD = """
import os, signal, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
open(sys.argv[1], "wb", buffering=0).write(b"here\\n")
signal.pause()
"""
_RUN = """
import sys
sys.path.insert(0, {tools!r})
from pathlib import Path
from devtools import lanes, lifetime, processes
from devtools.console import Console, Outcome
def lane(name):
    def work():
        processes.check([sys.executable, "-c", {child!r}, Path({folder!r}) / name], Path({folder!r}) / f"{{name}}.log")
        return Outcome(1)
    return lanes.Lane(name, work)
with lifetime.bound():
    lanes.run(Console(), [lane("a"), lane("b"), lane("c")], capacity=2)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a process adopt orphans")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_every_lane(tmp_path: Path, number: signal.Signals) -> None:
    for name in ("a", "b"):
        os.mkfifo(tmp_path / name)
    code = _RUN.format(tools=str(Path(lanes.__file__).parents[1]), folder=str(tmp_path), child=_CHILD)
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with (tmp_path / "a").open() as first, (tmp_path / "b").open() as second:
        assert [first.readline(), second.readline()] == ["here\n"] * 2
        process.send_signal(number)
        # Each child holds its FIFO open as long as it lives.
        assert [first.read(), second.read()] == [""] * 2
    out, _err = process.communicate(timeout=_PATIENCE)
    assert process.returncode != 0
    assert "ok" not in out
    assert "FAILED" not in out, "what was given up did not fail"
    assert not (tmp_path / "c.log").exists()
