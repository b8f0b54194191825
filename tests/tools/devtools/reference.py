# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""`make docs`: the reference of the plugins as HTML."""

from __future__ import annotations

import shutil
from pathlib import Path

from devtools import layout, processes
from devtools.console import Console
from devtools.provision import Toolbox
from devtools.runs import new_run

_SITE = layout.BUILD / "docs"


def run(console: Console) -> int:
    """Write the reference into the build folder; returns the exit code."""
    console.title("Set up")
    tools = Toolbox(console.part).prepare(simulator=False)
    with new_run() as this:
        source, log = this.folder / "docs", this.log("docs")
        # antsibull-docs refuses a folder that others may read.
        source.mkdir(mode=0o700)
        env = tools.env(ANSIBLE_COLLECTIONS_PATH=str(this.folder))
        init: list[str | Path] = [
            tools.tool("antsibull-docs"),
            "sphinx-init",
            "--use-current",
            "--squash-hierarchy",
            "--sphinx-theme",
            "alabaster",
        ]
        init += ["--lenient", "--fail-on-error", "--dest-dir", source, f"{layout.NAMESPACE}.{layout.NAME}"]
        processes.check(init, log, env=env)
        processes.check(["bash", source / "build.sh"], log, cwd=source, env=env)
        shutil.rmtree(_SITE, ignore_errors=True)
        shutil.move(source / "build" / "html", _SITE)
    console.text(f"\n{(_SITE / 'index.html').relative_to(layout.ROOT)}")
    return 0
