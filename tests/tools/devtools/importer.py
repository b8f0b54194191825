# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""`make importer`: the tarball is built, and read by Galaxy's own importer, without an error or a warning."""

from __future__ import annotations

import re
from pathlib import Path

from devtools import layout, processes, quickstart
from devtools.builds import Build
from devtools.console import Console, Outcome
from devtools.processes import CommandFailed
from devtools.provision import Toolbox
from devtools.pythons import Python
from devtools.runs import Run, new_run

_IMPORTER = "galaxy-importer==0.4.44"
_PINS = (layout.ROOT / "requirements-dev.txt", layout.ROOT / "requirements-dev.lock")

# The importer says that it completed successfully, whatever it found.
_FOUND = re.compile(r"^(?:WARNING|ERROR|CRITICAL): .*", re.MULTILINE)


def environment(python: Python) -> Build:
    """The importer's own virtual environment: what it pins goes with nothing else."""

    def make(folder: Path) -> None:
        log = layout.LOGS / "importer-venv.log"
        processes.check([python.path, "-m", "venv", folder], log)
        pip: list[str | Path] = [folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--only-binary=:all:"]
        core = next(line for line in _PINS[0].read_text(encoding="utf-8").splitlines() if line.startswith("ansible-core=="))
        processes.check([*pip, _IMPORTER, core.partition(";")[0]], log)

    return Build("importer-venv", (_IMPORTER, *_PINS, python.path, python.full), make)


def run(console: Console) -> int:
    """Build it and have it read; returns the exit code."""
    console.title("Set up")
    tools = Toolbox(console.part).prepare(simulator=False)
    venv = environment(tools.python).ensure()
    with new_run() as this:
        console.title("Galaxy")
        if not console.step("tarball", lambda: quickstart.tarball(this, tools)).failed:
            console.step("galaxy-importer", lambda: _read(this, tools, venv))
    return console.summary()


def _read(this: Run, tools: Toolbox, venv: Path) -> Outcome:
    log = this.log("galaxy-importer")
    archive = next((this.folder / "built").glob("*.tar.gz"))
    env = tools.env_of(venv, tools.home)
    said = processes.check([venv / "bin" / "python", "-m", "galaxy_importer.main", archive], log, cwd=this.folder, env=env)
    if _FOUND.search(said) or "Importer processing completed successfully" not in said:
        raise CommandFailed(["galaxy_importer.main"], 1, log)
    return Outcome(1, note="no error, no warning")
