# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What capv_manifests writes, held against the schemas of Cluster API, CAPV and Argo CD by the code of an API server."""

from __future__ import annotations

import os
from pathlib import Path

from devtools import layout, processes
from devtools.console import Console
from devtools.provision import Toolbox
from devtools.runs import new_run


def run(console: Console) -> int:
    """Judge them, and print what was judged; raises CommandFailed where one is refused."""
    console.title("Manifests of Cluster API")
    tools = Toolbox(console.part)
    with new_run() as copy:
        script = copy.collection / "tests" / "tools" / "vforge_judge.py"
        paths: list[Path] = [copy.folder, script.parent]
        env = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))}
        command: list[str | Path] = [tools.tool("python"), script, tools.judge]
        console.text(processes.check(command, layout.LOGS / "capv.log", cwd=copy.collection, env=env).strip())
    return 0
