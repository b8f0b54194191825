# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""`make mutation`: the connector and the engine with one place changed, by cosmic-ray; some test has to notice."""

from __future__ import annotations

import argparse
import contextlib
import functools
import json
import os
import random
import re
import shutil
import sqlite3
import subprocess
import tomllib
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from devtools import ansible_tests, lanes, layout, processes
from devtools.builds import Build
from devtools.console import Console, Outcome, Progress
from devtools.lanes import Lane
from devtools.provision import Toolbox
from devtools.runs import Run, new_run

_LANE = layout.ROOT / "tests" / "mutation"
_REQUIREMENTS = _LANE / "requirements.txt"
_REASONS = _LANE / "reasons.toml"
_MODULES = ("plugins/module_utils/_engine.py", "plugins/module_utils/_connector")

# What is lost by these is an annotation, which nobody evaluates.
_OF_TYPES = "core/ReplaceBinaryOperator_BitOr_"

_AT_ONCE = 2 * lanes.cores()

# Tests that hang count as noticing; none take so long on an idle machine.
_SECONDS = 1200

_SETTINGS = """[cosmic-ray]
module-path = {modules}
timeout = {seconds}.0
excluded-modules = []
test-command = {command}

[cosmic-ray.distributor]
name = "local"
"""


def _environment(tools: Toolbox) -> Build:
    def make(folder: Path) -> None:
        log = layout.LOGS / "mutation.log"
        processes.check([tools.tool("python"), "-m", "venv", folder], log)
        # One of its libraries is published as a source alone.
        pip: list[str | Path] = [folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--no-deps"]
        processes.check([*pip, "-r", _REQUIREMENTS], log)

    return Build("mutation", (_REQUIREMENTS, str(tools.tool("python"))), make)


def choose(session: Path, count: int, seed: str) -> list[str]:
    """The jobs of the changes that are to be tried, one a place, in the order in which they are drawn.

    count: 0 for all of them, of each place too.
    """
    places: dict[tuple[object, ...], list[str]] = defaultdict(list)
    with contextlib.closing(sqlite3.connect(session)) as database:
        found = """SELECT module_path, start_pos_row, start_pos_col, job_id, operator_name
            FROM mutation_specs ORDER BY 1, 2, 3, 5, occurrence"""
        for module, row, column, job, operator in database.execute(found):
            if not operator.startswith(_OF_TYPES):
                places[module, row, column].append(job)
    if not count:
        return [job for jobs in places.values() for job in jobs]
    dice = random.Random(seed)  # noqa: S311
    return [dice.choice(places[place]) for place in dice.sample(sorted(places, key=str), min(count, len(places)))]


def leave(session: Path, jobs: Collection[str]) -> None:
    """Mark all changes but these as skipped."""
    with contextlib.closing(sqlite3.connect(session)) as database:
        others = [row for row in database.execute("SELECT job_id FROM mutation_specs") if row[0] not in jobs]
        database.executemany("INSERT INTO work_results (worker_outcome, job_id) VALUES ('SKIPPED', ?)", others)
        database.commit()


def tried(session: Path) -> int:
    """How many changes have been tried so far."""
    with contextlib.closing(sqlite3.connect(session)) as database:
        return int(database.execute("SELECT count(*) FROM work_results WHERE worker_outcome = 'NORMAL'").fetchone()[0])


def impossible(session: Path) -> int:
    """How many changes cannot be made: what would come of them is no Python."""
    with contextlib.closing(sqlite3.connect(session)) as database:
        return int(database.execute("SELECT count(*) FROM work_results WHERE test_outcome = 'INCOMPETENT'").fetchone()[0])


def out_of_time(session: Path) -> int:
    """How many of the noticed changes were so because the tests took too long, which a busy machine can do as well."""
    query = "SELECT count(*) FROM work_results WHERE test_outcome = 'KILLED' AND output = 'timeout'"
    with contextlib.closing(sqlite3.connect(session)) as database:
        return int(database.execute(query).fetchone()[0])


@dataclass(frozen=True)
class Survivor:
    """A change that no test noticed.

    where: module, line and kind of change; before, after: the lines that it changed.
    """

    where: str
    before: str
    after: str

    @property
    def why(self) -> str:
        """Why no test notices it; empty where that is not known."""
        meant = (each for each in reasons() if re.search(each["was"], self.before) and re.search(each["is"], self.after))
        return next((each["why"] for each in meant), "")

    @property
    def text(self) -> str:
        """All of it."""
        lines = [f"- {self.before}", f"+ {self.after}", *([f"= {self.why}"] if self.why else [])]
        return "\n  ".join((self.where, *lines))


@functools.cache
def reasons() -> list[dict[str, str]]:
    """Why no test notices changes: regular expressions of what a line `was` and `is`, and `why`."""
    found: list[dict[str, str]] = tomllib.loads(_REASONS.read_text(encoding="utf-8"))["reason"]
    return found


def survivors(session: Path) -> list[Survivor]:
    """The changes that no test noticed."""
    query = """SELECT module_path, start_pos_row, operator_name, diff
        FROM work_results JOIN mutation_specs USING (job_id)
        WHERE worker_outcome = 'NORMAL' AND test_outcome = 'SURVIVED' ORDER BY 1, 2"""
    with contextlib.closing(sqlite3.connect(session)) as database:
        left = database.execute(query).fetchall()
    return [
        Survivor(f"{module}:{row}: {operator}", _lines(diff, "-"), _lines(diff, "+")) for module, row, operator, diff in left
    ]


def _lines(diff: str, sign: str) -> str:
    """The lines of a diff that were removed, or added, in one."""
    return " ".join(line[1:].strip() for line in diff.splitlines() if line[:1] == sign and line[:3] != 3 * sign)


def run(console: Console, arguments: list[str]) -> int:
    """Try changes; returns 1 where fewer than 85 of a hundred were noticed."""
    parser = argparse.ArgumentParser(prog="make mutation")
    parser.add_argument("--count", type=int, default=60, help="how many places are changed")
    parser.add_argument("--all", action="store_true", help="every change of every place; that takes a day")
    parser.add_argument("--seed", default=os.environ.get("SEED", "1"), help="chooses them")
    options = parser.parse_args(arguments)
    console.title("Changes that a test has to notice")
    tools = Toolbox(console.part).prepare()
    cosmic_ray = _environment(tools).ensure() / "bin" / "cosmic-ray"
    with new_run() as this:
        session = this.logs / "mutation.sqlite"
        env = _prepare(this, tools)
        processes.check([cosmic_ray, "init", "mutation.toml", session], this.log("init"), cwd=this.collection, env=env)
        jobs = choose(session, 0 if options.all else options.count, options.seed)
        console.part("cosmic-ray", f"{len(jobs)} changes, seed {options.seed}; {this.logs}")
        # Their tests wait most of the time, so that more are tried at once than there are cores.
        shares = [share for number in range(_AT_ONCE) if (share := jobs[number::_AT_ONCE])]
        parts = [_Part(this, tools, cosmic_ray, number, share) for number, share in enumerate(shares)]

        def progress() -> Progress:
            return Progress(sum(tried(part.session) for part in parts), len(jobs))

        for part in parts:
            shutil.copy(session, part.session)
            leave(part.session, set(part.jobs))
        with console.watched():
            # Tests that fail without any change would notice every one.
            unchanged = Lane("no change", lambda: _baseline(this, cosmic_ray, env))
            lanes.run(console, [unchanged, *(part.lane(progress) for part in parts)], capacity=_AT_ONCE + 1)
        count = sum(tried(part.session) for part in parts)
        left = [each for part in parts for each in survivors(part.session)]
        late = sum(out_of_time(part.session) for part in parts)
        none = sum(impossible(part.session) for part in parts)
    for each in left:
        console.text(each.text)
    unexplained = sum(not each.why for each in left)
    console.text(f"{count - len(left)} of {count} were noticed, {late} of them by tests that ran out of time")
    console.text(f"{len(left) - unexplained} of the others are explained in tests/mutation/reasons.toml, {unexplained} are not")
    if none:
        console.text(f"{none} more could not be made: what would come of them is no Python")
    failed = console.summary()
    return 0 if not failed and count + none == len(jobs) and len(left) <= 0.15 * count else 1


def _baseline(this: Run, cosmic_ray: Path, env: Mapping[str, str]) -> Outcome:
    log = this.log("baseline")
    processes.check([cosmic_ray, "baseline", "mutation.toml"], log, cwd=this.collection, env=env)
    return Outcome(1, log=log)


@dataclass(frozen=True)
class _Part:
    """Some of the changes, tried one after the other in a copy of the checkout that only these change."""

    this: Run
    tools: Toolbox
    cosmic_ray: Path
    number: int
    jobs: list[str]

    @property
    def session(self) -> Path:
        return self.this.logs / f"mutation-{self.number}.sqlite"

    def lane(self, progress: Callable[[], Progress]) -> Lane:
        """progress: of all parts together."""
        return Lane(f"changes, part {self.number + 1}", self._work, progress=progress, group="changes")

    def _work(self) -> Outcome:
        run = self.this.copy(f"mutation-{self.number}")
        env = _prepare(run, self.tools)
        log = self.this.log(f"exec {self.number}")
        processes.check([self.cosmic_ray, "exec", "mutation.toml", self.session], log, cwd=run.collection, env=env)
        return Outcome(tried(self.session), log=log)


def _prepare(this: Run, tools: Toolbox) -> dict[str, str]:
    """Ready a copy of the checkout; returns the environment."""
    ansible_tests.write_unit_settings(this, tools)
    command = f"{tools.tool('python')} tests/mutation/judge.py {tools.tool('python')}"
    text = _SETTINGS.format(modules=json.dumps(_MODULES), seconds=_SECONDS, command=json.dumps(command))
    (this.collection / "mutation.toml").write_text(text, encoding="utf-8")
    # So that git tells which module is changed.
    subprocess.run(["git", "add", "--force", "plugins"], cwd=this.collection, check=True)
    # What is compiled of one change must not be taken for the next, which may be as long and of the same second.
    return tools.env(PYTHONPATH=str(this.folder), PYTHONDONTWRITEBYTECODE="1")
