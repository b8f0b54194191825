# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""`make lock`: resolve requirements-dev.txt anew and write down what it pulled in."""

from __future__ import annotations

import re
from pathlib import Path

from devtools import layout, processes
from devtools.console import Console
from devtools.pythons import for_development
from devtools.runs import new_run

_HEADER = "# What requirements-dev.txt pulls in, pinned. `make lock` writes this file.\n"


def run(console: Console) -> int:
    """Write requirements-dev.lock; returns the exit code."""
    wanted = layout.ROOT / "requirements-dev.txt"
    direct = {name.lower() for name in re.findall(r"^([\w-]+)==", wanted.read_text(encoding="utf-8"), re.MULTILINE)}
    with new_run() as this:
        venv, log = this.folder / "venv", this.log("lock")
        processes.check([for_development().path, "-m", "venv", venv], log)
        pip: list[str | Path] = [venv / "bin" / "python", "-m", "pip"]
        processes.check([*pip, "install", "--quiet", "--only-binary=:all:", "-r", wanted], log)
        frozen = processes.check([*pip, "list", "--format=freeze", "--exclude", "pip", "--exclude", "setuptools"], log)
    pulled = [line for line in frozen.splitlines() if line.partition("==")[0].lower() not in direct]
    (layout.ROOT / "requirements-dev.lock").write_text(_HEADER + "\n".join(pulled) + "\n", encoding="utf-8")
    console.text(f"requirements-dev.lock: {len(pulled)} packages")
    return 0
