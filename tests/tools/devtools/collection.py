# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The collection as its users get it: built, and installed into a folder."""

from __future__ import annotations

from pathlib import Path

from devtools import layout, processes
from devtools.builds import Build
from devtools.provision import Toolbox
from devtools.runs import Run


def install(run: Run, tools: Toolbox) -> Path:
    """Build and install the run's copy, or find that this state of it is installed; returns ANSIBLE_COLLECTIONS_PATH."""
    copy = run.collection
    files = sorted(path for path in copy.rglob("*") if path.is_file() and not path.is_relative_to(copy / "tests"))
    inputs = [text for path in files for text in (str(path.relative_to(copy)), path.read_bytes().hex())]

    def make(folder: Path) -> None:
        galaxy: list[str | Path] = [tools.tool("ansible-galaxy"), "collection"]
        log = layout.LOGS / "collections.log"
        env = tools.env()
        processes.check([*galaxy, "build", "--output-path", run.folder, copy], log, cwd=run.folder, env=env)
        archive = next(run.folder.glob("*.tar.gz"))
        processes.check([*galaxy, "install", "--offline", "-p", folder, archive], log, cwd=run.folder, env=env)

    return Build("collections", (str(tools.venv), *inputs), make).ensure()
