# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""`make foreign`: other people's clients against the simulator."""

from __future__ import annotations

from pathlib import Path

from devtools import layout, peers, processes
from devtools.console import Console
from devtools.provision import Toolbox


def run(console: Console, arguments: list[str]) -> int:
    """Set up govc and the other collections, and run their tests; returns the exit code. arguments: for pytest."""
    console.title("Other clients")
    tools = Toolbox(console.part).prepare()
    peer = peers.environment(tools.tool("python"))
    console.part("other collections", "in an environment of their own")
    env = tools.env(
        PYTHONPATH=str(layout.TOOLS),
        PYTHONDONTWRITEBYTECODE="1",
        VFORGE_SIMULATOR=str(tools.simulator),
        VFORGE_GOVC=str(tools.govc),
        VFORGE_PEER=str(peer),
    )
    command: list[str | Path] = [tools.tool("python"), "-m", "pytest", "-p", "no:cacheprovider", "-v", *arguments]
    process = processes.start(command, cwd=layout.ROOT / "tests" / "foreign", env=env)
    try:
        return process.wait()
    finally:
        processes.finish(process)
