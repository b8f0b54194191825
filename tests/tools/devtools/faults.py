# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""`make faults`: the sweep of faults over all tasks, and a table of what came of them."""

from __future__ import annotations

import json
import os
import shutil
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from devtools import ansible_tests, layout
from devtools.console import Console
from devtools.provision import Toolbox
from devtools.runs import new_run

_TESTS = "tests/unit/plugins/modules/test_faults.py"

# Where each part of the sweep writes what came of it.
FOLDER = layout.BUILD / "faults"


@dataclass
class Row:
    """What came of the faults of one task: runs, how many succeeded all the same, how many ended with a clear error."""

    runs: int = 0
    recovered: int = 0
    failed: int = 0
    wrong: list[str] = field(default_factory=list)

    def add(self, tally: dict[str, Any]) -> None:
        """Add what came of one kind of fault."""
        self.runs += tally["runs"]
        self.recovered += tally["recovered"]
        self.failed += tally["failed"]
        self.wrong += tally["wrong"]


def rows(reports: Iterable[dict[str, Any]]) -> dict[str, Row]:
    """The rows of the table, by task and last of all of them."""
    found: dict[str, Row] = defaultdict(Row)
    whole = Row()
    for report in reports:
        for tally in report["kinds"].values():
            found[report["task"]].add(tally)
            whole.add(tally)
    return {**dict(sorted(found.items())), "all of them": whole}


def table(found: dict[str, Row]) -> str:
    """For a terminal."""
    width = max(len(name) for name in found)
    lines = [f"{'TASK':<{width}}  {'RUNS':>5}  {'RECOVERED':>9}  {'CLEAR ERROR':>11}  {'WRONG':>5}"]
    for name, row in found.items():
        lines.append(f"{name:<{width}}  {row.runs:>5}  {row.recovered:>9}  {row.failed:>11}  {len(row.wrong):>5}")
    return "\n".join(lines)


def run(console: Console, arguments: list[str]) -> int:
    """Run the sweep; returns 1 where anything was wrong. arguments: pytest's own, such as ``-k vmdk``."""
    console.title("Set up")
    tools = Toolbox(console.part).prepare()
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    os.environ["VFORGE_FAULTS"] = str(FOLDER)
    with new_run() as this:
        words = [_TESTS, "-q", "--dist", "worksteal", *(arguments or ["-n", str((os.cpu_count() or 1) + 1)])]
        code = ansible_tests.pytest(this, tools, words)
    found = rows(_reports(FOLDER))
    console.text(table(found))
    for name, row in found.items():
        for wrong in row.wrong if name != "all of them" else ():
            console.text(f"{name}: {wrong}")
    return code


def _reports(folder: Path) -> Iterable[dict[str, Any]]:
    for path in sorted(folder.glob("*.json")):
        yield json.loads(path.read_text(encoding="utf-8"))
