# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""`make mutation`: the connector and the engine with one place changed, by cosmic-ray; some test has to notice."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import sqlite3
import subprocess
from collections import defaultdict
from pathlib import Path

from devtools import ansible_tests, layout, processes
from devtools.builds import Build
from devtools.console import Console
from devtools.provision import Toolbox
from devtools.runs import Run, new_run

_LANE = layout.ROOT / "tests" / "mutation"
_REQUIREMENTS = _LANE / "requirements.txt"
_MODULES = ("plugins/module_utils/_engine.py", "plugins/module_utils/_connector")

# What is lost by these is an annotation, which nobody evaluates.
_OF_TYPES = "core/ReplaceBinaryOperator_BitOr_"

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


def choose(session: Path, count: int, seed: str) -> int:
    """Leave so many changes to be tried, one a place, and mark the others as skipped; returns how many are left.

    count: 0 for all of them, of each place too.
    """
    places: dict[tuple[object, ...], list[str]] = defaultdict(list)
    with contextlib.closing(sqlite3.connect(session)) as database:
        found = """SELECT module_path, start_pos_row, start_pos_col, job_id, operator_name
            FROM mutation_specs ORDER BY 1, 2, 3, 5, occurrence"""
        everything = set()
        for module, row, column, job, operator in database.execute(found):
            everything.add(job)
            if not operator.startswith(_OF_TYPES):
                places[module, row, column].append(job)
        dice = random.Random(seed)  # noqa: S311
        if count:
            of_places = dice.sample(sorted(places, key=str), min(count, len(places)))
            chosen = {dice.choice(places[place]) for place in of_places}
        else:
            chosen = {job for jobs in places.values() for job in jobs}
        skipped = [(job,) for job in sorted(everything - chosen)]
        database.executemany("INSERT INTO work_results (worker_outcome, job_id) VALUES ('SKIPPED', ?)", skipped)
        database.commit()
    return len(chosen)


def out_of_time(session: Path) -> int:
    """How many of the noticed changes were so because the tests took too long, which a busy machine can do as well."""
    query = "SELECT count(*) FROM work_results WHERE test_outcome = 'KILLED' AND output = 'timeout'"
    with contextlib.closing(sqlite3.connect(session)) as database:
        return int(database.execute(query).fetchone()[0])


def survivors(session: Path) -> tuple[int, list[str]]:
    """How many changes were tried, and those that no test noticed: where, and the changed lines."""
    query = """SELECT module_path, start_pos_row, operator_name, test_outcome, diff
        FROM work_results JOIN mutation_specs USING (job_id) WHERE worker_outcome = 'NORMAL' ORDER BY 1, 2"""
    with contextlib.closing(sqlite3.connect(session)) as database:
        tried = database.execute(query).fetchall()
    left = []
    for module, row, operator, outcome, diff in tried:
        if outcome == "SURVIVED":
            lines = [line for line in diff.splitlines() if line[:1] in "+-" and line[:3] not in {"+++", "---"}]
            left.append("\n  ".join((f"{module}:{row}: {operator}", *lines)))
    return len(tried), left


def run(console: Console, arguments: list[str]) -> int:
    """Try changes; returns 1 where fewer than 85 of a hundred were noticed."""
    parser = argparse.ArgumentParser(prog="make mutation")
    parser.add_argument("--count", type=int, default=60, help="how many places are changed")
    parser.add_argument("--all", action="store_true", help="every change of every place; that takes a day")
    parser.add_argument("--seed", default=os.environ.get("SEED", "1"), help="chooses them")
    options = parser.parse_args(arguments)
    console.title("Changes that a test has to notice")
    tools = Toolbox(console.part).prepare()
    environment = _environment(tools).ensure()
    with new_run() as this:
        session = this.logs / "mutation.sqlite"
        env = _prepare(this, tools)
        cosmic_ray = environment / "bin" / "cosmic-ray"
        # Tests that fail without any change would notice every one.
        processes.check([cosmic_ray, "baseline", "mutation.toml"], this.log("baseline"), cwd=this.collection, env=env)
        processes.check([cosmic_ray, "init", "mutation.toml", session], this.log("init"), cwd=this.collection, env=env)
        chosen = choose(session, 0 if options.all else options.count, options.seed)
        console.part("cosmic-ray", f"{chosen} changes, seed {options.seed}; {session}")
        processes.check([cosmic_ray, "exec", "mutation.toml", session], this.log("exec"), cwd=this.collection, env=env)
        tried, left = survivors(session)
        late = out_of_time(session)
    for each in left:
        console.text(each)
    console.text(f"{tried - len(left)} of {tried} were noticed, {late} of them by tests that ran out of time")
    return 0 if tried and len(left) <= 0.15 * tried else 1


def _prepare(this: Run, tools: Toolbox) -> dict[str, str]:
    """Ready the copy of the checkout; returns the environment."""
    ansible_tests.write_unit_settings(this, tools)
    command = f"{tools.tool('python')} tests/mutation/judge.py {tools.tool('python')}"
    text = _SETTINGS.format(modules=json.dumps(_MODULES), seconds=_SECONDS, command=json.dumps(command))
    (this.collection / "mutation.toml").write_text(text, encoding="utf-8")
    # So that git tells which module is changed.
    subprocess.run(["git", "add", "--force", "plugins"], cwd=this.collection, check=True)
    # What is compiled of one change must not be taken for the next, which may be as long and of the same second.
    return tools.env(PYTHONPATH=str(this.folder), PYTHONDONTWRITEBYTECODE="1")
