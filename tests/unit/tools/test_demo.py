# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the demo shows of a table is short, and says what it leaves out."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from devtools import demo, layout

_HEAD = "NAME     ACTION     HOST       POOL        IP           SECONDS  CALLS"


def _line(number: int, action: str) -> str:
    return f"web-{number:02}   {action:9}  DC0_C0_H0  DC0_C0_RP1  10.64.1.{number}         -      -"


def _play(*lines: str) -> demo._Play:
    return demo._Play([["web: a plan", "of two lines"], [_HEAD, *lines, "", "the totals"], ["a path"]])


def test_what_was_done_comes_first_and_the_rest_is_counted() -> None:
    lines = [_line(number, "unchanged") for number in range(5)] + [_line(number, "created") for number in range(5, 8)]
    play = _play(*lines)
    assert play.plan == "web: a plan"
    assert play.table() == [_HEAD, lines[5], lines[6], lines[7], lines[0], "... and 4 more", "the totals"]


@pytest.mark.parametrize("count", [1, 4])
def test_a_short_table_is_shown_whole(count: int) -> None:
    lines = [_line(number, "created") for number in range(count)]
    assert _play(*lines).table() == [_HEAD, *lines, "the totals"]


@pytest.mark.parametrize(
    "line",
    [
        "short",
        "web: " + ", ".join(["12 clones of 3 parents to make"] * 8),
        "no colon " * 30,
        "x" * 200,
        f"{'long ' * 30}: head",
    ],
)
def test_what_is_shown_fits_into_a_terminal_and_nothing_is_lost(line: str) -> None:
    parts = demo._folded(line)
    assert all(len(part) + 2 <= 80 for part in parts)
    assert "".join("".join(parts).split()) == "".join(line.split())


def test_what_is_always_shown_fits_into_a_terminal() -> None:
    assert all(len(line) <= 80 for line in demo._REAL.splitlines())


def test_messages_of_plays_reach_the_story(tmp_path: Path) -> None:
    tasks = [
        {"ansible.builtin.debug": {"msg": ["first", "", 3]}},
        {"ansible.builtin.debug": {"msg": "second"}},
        {"ansible.builtin.debug": {"var": "inventory_hostname"}},
        {"ansible.builtin.set_fact": {"x": 1}},
    ]
    play = {"name": "A play", "hosts": "localhost", "gather_facts": False, "tasks": tasks}
    (tmp_path / "play.json").write_text(json.dumps([play]), encoding="utf-8")
    story = tmp_path / "story"
    env = {
        "PATH": str(Path(sys.executable).parent),
        "HOME": str(tmp_path),
        "LC_ALL": "C.UTF-8",
        "ANSIBLE_CALLBACK_PLUGINS": str(layout.TOOLS / "callback"),
        "ANSIBLE_CALLBACKS_ENABLED": "demo_story",
        "VFORGE_DEMO_STORY": str(story),
    }
    command = [sys.executable, "-c", "from ansible.cli.playbook import main; main()", "play.json", "play.json"]
    subprocess.run(command, cwd=tmp_path, env=env, check=True, capture_output=True)
    told = [{"play": "A play"}, {"shown": ["first", "", "3"]}, {"shown": ["second"]}]
    assert [json.loads(line) for line in story.read_text(encoding="utf-8").splitlines()] == told * 2
