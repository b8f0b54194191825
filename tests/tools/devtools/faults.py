# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""`make faults`: the sweep of faults over all tasks and roles, and the page with the table of what came of them."""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter, defaultdict
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

# The page with the table: written by a sweep of everything.
PAGE = layout.ROOT / "docs" / "faults.md"

# What may be wrong about a case, by the words of the sweep, and the column's head.
_WRONG = {
    "leftover": "leftovers",
    "not converged": "not converged",
    "lie": "untrue",
    "traceback": "tracebacks",
    "unclear": "unclear",
}

_HEAD = """# Every call can fail

This page is written by `make faults`. Each task and each role below was run against the simulated vCenter once for each of its
calls and each fault that such a call can have: calls of SOAP and REST, and requests for files of hosts, datastores and guests.
{which}{missing}
At some of the calls somebody works in the vSphere Client meanwhile: a VM that the task makes, or is about, is powered on or
off, suspended, renamed, moved, migrated, annotated, reverted or deleted, gets a disk or a snapshot, or loses all snapshots.
What was done so is to stand, and the next run may refuse to go on. At others the same task begins once more, as on another
controller.
After each run its result is looked at, and what is there by govc, by the datastores' files and by the simulator's leases; then
the task is run again, without a fault. What real vCenters and networks do besides, the simulator cannot show.

- **runs**: the fault struck; **recovered**: the task succeeded all the same; **clear error**: it failed, with an `error_code`
  and what to do; **killed**: by SIGKILL, so that it could say nothing.
- **leftovers**: something is there that an undisturbed run would not have left, such as VMs, snapshots, disks, files, leases,
  temporary files; **not converged**: the next run does not bring it to its end, or the one after that changes something;
  **untrue**: what is reported as done is not there, or the other way round; **unclear**: no `error_code`, or too late.

{runs} runs of {tasks} tasks, which would take {hours} hours one after the other: {each} seconds each, with the two undisturbed
runs behind it.
"""

_LEGEND = "Recovered and clear errors, of the runs; what was wrong stands behind an exclamation mark.\n"


@dataclass
class Row:
    """What came of the faults of one task, or of one kind of fault.

    Attributes:
        runs: in which the fault struck.
        recovered: that succeeded all the same.
        failed: that ended with a clear error.
        killed: that were ended by SIGKILL.
        wrong: what must not be: which of the columns it is in, and a sentence.
    """

    runs: int = 0
    recovered: int = 0
    failed: int = 0
    killed: int = 0
    wrong: list[tuple[str, str]] = field(default_factory=list)

    def add(self, tally: dict[str, Any]) -> None:
        """Add what came of one kind of fault."""
        self.runs += tally["runs"]
        self.recovered += tally["recovered"]
        self.failed += tally["failed"]
        self.killed += tally["killed"]
        self.wrong += [(str(pair[0]), str(pair[1])) for pair in tally["wrong"]]

    @property
    def figures(self) -> list[int]:
        """The row of a table."""
        wrong = Counter(what for what, _sentence in self.wrong)
        return [self.runs, self.recovered, self.failed, self.killed, *(wrong[what] for what in _WRONG)]


ALL = "all of them"


def rows(reports: Iterable[dict[str, Any]]) -> tuple[dict[str, Row], dict[str, Row]]:
    """The rows of the tables, by task and by kind of fault, and last of all of them."""
    by_task: dict[str, Row] = defaultdict(Row)
    by_kind: dict[str, Row] = defaultdict(Row)
    whole = Row()
    for report in reports:
        for kind, tally in report["kinds"].items():
            for row in (by_task[report["task"]], by_kind[kind], whole):
                row.add(tally)
    return {**dict(sorted(by_task.items())), ALL: whole}, {**by_kind, ALL: whole}


def cells(reports: Iterable[dict[str, Any]]) -> dict[str, dict[str, Row]]:
    """What came of each task with each kind of fault."""
    found: dict[str, dict[str, Row]] = defaultdict(lambda: defaultdict(Row))
    for report in reports:
        for kind, tally in report["kinds"].items():
            found[report["task"]][kind].add(tally)
    return dict(sorted(found.items()))


_COLUMNS = ["runs", "recovered", "clear error", "killed", *_WRONG.values()]


def table(found: dict[str, Row]) -> str:
    """For a terminal."""
    width = max(len(name) for name in found)
    lines = ["  ".join([f"{'TASK':<{width}}", *(name.upper() for name in _COLUMNS)])]
    for name, row in found.items():
        figures = (f"{figure:>{len(head)}}" for head, figure in zip(_COLUMNS, row.figures, strict=True))
        lines.append("  ".join([f"{name:<{width}}", *figures]))
    return "\n".join(lines)


def _markdown(first: str, heads: list[str], lines: Iterable[tuple[str, Iterable[object]]]) -> str:
    text = [f"| {first} | {' | '.join(heads)} |", f"| --- |{' ---: |' * len(heads)}"]
    text += [f"| {name} | {' | '.join(map(str, figures))} |" for name, figures in lines]
    return "\n".join(text) + "\n"


def page(reports: list[dict[str, Any]], most: int) -> str:
    """The page for readers: what came of each task, of each kind of fault, and of each task with each kind.

    most: how many calls of one method had the same fault; 0 for all.
    """
    by_task, by_kind = rows(reports)
    runs = by_task[ALL].runs
    seconds = sum(report["seconds"] for report in reports)
    each = seconds / runs if runs else 0.0
    which = f"Of the calls of one method, {most} at most have the same fault." if most else "All calls are tried."
    head = _HEAD.format(
        runs=f"{runs:,}",
        tasks=len(by_task) - 1,
        hours=f"{seconds / 3600:.1f}",
        each=f"{each:.1f}",
        which=which,
        missing=_missing(reports),
    )
    kinds = [kind for kind in by_kind if kind != ALL]
    fields = ((task, [_cell(row.get(kind)) for kind in kinds]) for task, row in cells(reports).items())
    return "\n".join(
        [
            head,
            "## By task\n",
            _markdown("task", _COLUMNS, ((name, row.figures) for name, row in by_task.items())),
            "## By fault\n",
            _markdown("fault", _COLUMNS, ((name, row.figures) for name, row in by_kind.items())),
            "## Each task with each fault\n",
            _LEGEND,
            _markdown("task", kinds, fields),
        ]
    )


def _missing(reports: list[dict[str, Any]]) -> str:
    """A sentence on what a sweep that was ended has not come to."""
    parts = max((report.get("of", 0) for report in reports), default=0)
    return f" Of {parts} parts of the sweep, {len(reports)} were run." if len(reports) < parts else ""


def _cell(row: Row | None) -> str:
    """What came of a task with one kind of fault: "3+1 of 4"."""
    if row is None or not row.runs:
        return ""
    wrong = f" !{len(row.wrong)}" if row.wrong else ""
    return f"{row.recovered}+{row.failed} of {row.runs}{wrong}"


# Among the arguments: what earlier runs have written is kept, and the page is of all of it.
_GO_ON = "--go-on"


def run(console: Console, arguments: list[str]) -> int:
    """Run the sweep; returns 1 where anything was wrong.

    The page is written by a sweep of everything, and by one that goes on with earlier ones, of which each tries some tasks.
    arguments: pytest's own, such as ``-k vmdk``, and ``--go-on``.
    """
    words = [word for word in arguments if word != _GO_ON]
    goes_on = len(words) < len(arguments)
    console.title("Set up")
    tools = Toolbox(console.part).prepare()
    if not goes_on:
        shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True, exist_ok=True)
    os.environ["VFORGE_FAULTS"] = str(FOLDER)
    with new_run() as this:
        # A run waits half of its time.
        many = ["-n", str(5 * (os.cpu_count() or 1) // 2)]
        # One after the other, in the order of the file, so that what takes longest is not left for the end.
        in_order = ["--dist", "load", "--maxschedchunk", "1"]
        code = ansible_tests.pytest(this, tools, [_TESTS, "-q", *in_order, *(words or many)])
    reports = list(_reports(FOLDER))
    if (not words or goes_on) and not os.environ.get("VFORGE_FAULTS_ONLY"):
        PAGE.write_text(page(reports, int(os.environ.get("VFORGE_FAULTS_MOST", "1"))), encoding="utf-8")
        console.text(f"written: {PAGE.relative_to(layout.ROOT)}")
    found, _by_kind = rows(reports)
    console.text(table(found))
    for name, row in found.items():
        for what, sentence in row.wrong if name != ALL else ():
            console.text(f"{what}: {name}: {sentence}")
    return code


def _reports(folder: Path) -> Iterable[dict[str, Any]]:
    for path in sorted(folder.glob("*.json")):
        yield json.loads(path.read_text(encoding="utf-8"))
