# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which changes `make mutation` tries, and what it says of those that no test noticed."""

from __future__ import annotations

import contextlib
import re
import sqlite3
from pathlib import Path

import pytest

from devtools import layout, mutation

_CONNECTOR = "plugins/module_utils/_connector"

_TABLES = """
CREATE TABLE mutation_specs (module_path, operator_name, occurrence, start_pos_row, start_pos_col, job_id);
CREATE TABLE work_results (worker_outcome, output, test_outcome, diff, job_id);
"""
_DIFF = "--- mutation diff ---\n--- a/tasks.py\n+++ b/tasks.py\n@@ -1 +1 @@\n-    if ready:\n+    if not ready:\n     go()\n"


@pytest.fixture
def session(tmp_path: Path) -> Path:
    """Twenty places with two changes each, and ten with an annotation."""
    path = tmp_path / "session.sqlite"
    rows = [
        ("tasks.py", f"core/{name}", 0, row, 4, f"{row}-{name}") for row in range(20) for name in ("AddNot", "NumberReplacer")
    ]
    rows += [("tasks.py", "core/ReplaceBinaryOperator_BitOr_Add", 0, row, 9, f"{row}-type") for row in range(10)]
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.executescript(_TABLES)
        database.executemany("INSERT INTO mutation_specs VALUES (?, ?, ?, ?, ?, ?)", rows)
        database.commit()
    return path


def _left(session: Path) -> list[str]:
    with contextlib.closing(sqlite3.connect(session)) as database:
        found = database.execute("SELECT job_id FROM mutation_specs WHERE job_id NOT IN (SELECT job_id FROM work_results)")
        return sorted(job for (job,) in found)


def test_one_change_of_some_places_is_tried(session: Path) -> None:
    jobs = mutation.choose(session, 5, "1")
    assert len({job.partition("-")[0] for job in jobs}) == 5
    assert mutation.choose(session, 5, "1") == jobs
    assert mutation.choose(session, 5, "2") != jobs
    mutation.leave(session, set(jobs))
    assert _left(session) == sorted(jobs)
    assert mutation.tried(session) == 0


def test_all_are_tried_but_those_of_annotations(session: Path) -> None:
    jobs = mutation.choose(session, 0, "1")
    assert len(jobs) == 40
    assert not [job for job in jobs if job.endswith("type")]


def test_what_no_test_noticed_is_shown(session: Path) -> None:
    with contextlib.closing(sqlite3.connect(session)) as database:
        results = [
            ("NORMAL", "", "SURVIVED", _DIFF, "3-AddNot"),
            ("NORMAL", "", "KILLED", _DIFF, "4-AddNot"),
            ("NORMAL", "timeout", "KILLED", _DIFF, "4-NumberReplacer"),
            ("SKIPPED", None, None, None, "5-AddNot"),
            ("EXCEPTION", "no Python", "INCOMPETENT", None, "6-AddNot"),
        ]
        database.executemany("INSERT INTO work_results VALUES (?, ?, ?, ?, ?)", results)
        database.commit()
    assert mutation.tried(session) == 3
    (left,) = mutation.survivors(session)
    assert left == mutation.Survivor("tasks.py:3: core/AddNot", "if ready:", "if not ready:")
    assert left.text == "tasks.py:3: core/AddNot\n  - if ready:\n  + if not ready:"
    assert not left.why
    assert mutation.out_of_time(session) == 1
    assert mutation.impossible(session) == 1


def test_why_no_test_notices_a_change_is_shown_beside_it() -> None:
    left = mutation.Survivor("find.py:3: core/X", "for a, b in zip(c, d, strict=True):", "for a, b in zip(c, d, strict=False):")
    assert left.why
    assert left.text.splitlines()[-1].startswith("  = Both lists")


def test_each_reason_is_for_lines_that_there_are() -> None:
    sources = [layout.ROOT / "plugins" / "module_utils" / "_engine.py", *(layout.ROOT / _CONNECTOR).glob("*.py")]
    lines = [line for path in sources for line in path.read_text(encoding="utf-8").splitlines()]
    for reason in mutation.reasons():
        assert set(reason) == {"was", "is", "why"}
        assert any(re.search(reason["was"], line) for line in lines), reason
