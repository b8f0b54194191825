# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The tables of the sweep of faults."""

from __future__ import annotations

from typing import Any

from devtools.faults import page, rows, table

_TALLY: dict[str, Any] = {"runs": 3, "recovered": 2, "failed": 1, "killed": 0, "wrong": []}
_REPORTS: list[dict[str, Any]] = [
    {
        "task": "vmdk",
        "seconds": 30.0,
        "kinds": {"SIGTERM": _TALLY, "SIGKILL": {**_TALLY, "wrong": [["leftover", "CloneVM_Task 1: it is left"]]}},
    },
    {"task": "evc", "seconds": 24.0, "kinds": {"SIGTERM": _TALLY}},
    {"task": "vmdk", "seconds": 0.0, "kinds": {"HTTP 503": _TALLY}},
]


def test_what_came_of_each_task_is_added_up() -> None:
    by_task, by_kind = rows(_REPORTS)
    assert {name: row.figures for name, row in by_task.items()} == {
        "evc": [3, 2, 1, 0, 0, 0, 0, 0, 0],
        "vmdk": [9, 6, 3, 0, 1, 0, 0, 0, 0],
        "all of them": [12, 8, 4, 0, 1, 0, 0, 0, 0],
    }
    assert {name: row.runs for name, row in by_kind.items()} == {"SIGTERM": 6, "SIGKILL": 3, "HTTP 503": 3, "all of them": 12}
    assert table(by_task).splitlines()[-1].split() == ["all", "of", "them", "12", "8", "4", "0", "1", "0", "0", "0", "0"]


def test_the_page_has_each_task_with_each_fault() -> None:
    text = page(_REPORTS, 4)
    assert "12 runs of 2 tasks" in text
    assert "4.5 seconds each" in text
    assert "| task | SIGTERM | SIGKILL | HTTP 503 |" in text
    assert "| vmdk | 2+1 of 3 | 2+1 of 3 !1 | 2+1 of 3 |" in text
    assert "| evc | 2+1 of 3 |  |  |" in text


def test_the_page_of_a_sweep_that_was_ended_says_so() -> None:
    assert "parts of the sweep" not in page([{**each, "of": 3} for each in _REPORTS], 2)
    assert "Of 7 parts of the sweep, 3 were run" in page([{**each, "of": 7} for each in _REPORTS], 2)
