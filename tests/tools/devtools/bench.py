# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""`make bench`: hands over to tests/benchmarks/run.py with what it needs."""

from __future__ import annotations

from devtools import layout, processes
from devtools.console import Console
from devtools.provision import Toolbox
from devtools.runs import new_run


def run(console: Console, arguments: list[str]) -> int:
    """Run the benchmark in the development environment; returns its exit code.

    It finds in its environment VFORGE_SIMULATOR, VFORGE_SINK and VFORGE_GOVC (the binaries) and VFORGE_COLLECTIONS (for
    ANSIBLE_COLLECTIONS_PATH: a copy of the checkout).
    """
    console.title("Set up")
    tools = Toolbox(console.part).prepare()
    with new_run() as this:
        env = tools.env(
            VFORGE_SIMULATOR=str(tools.simulator),
            VFORGE_SINK=str(tools.sink),
            VFORGE_GOVC=str(tools.govc),
            VFORGE_COLLECTIONS=str(this.folder),
        )
        script = layout.ROOT / "tests" / "benchmarks" / "run.py"
        process = processes.start([tools.tool("python"), script, *arguments], cwd=layout.ROOT, env=env)
        try:
            return process.wait()
        finally:
            processes.finish(process)
