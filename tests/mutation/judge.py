# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run the tests of the connector and the engine on a copy in which one module was changed, those first that name it.

In the folder of the collection: judge.py PYTHON
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

_TESTS = Path("tests/unit/plugins/module_utils")

# What runs on the engine shows more of it than its own tests: what becomes of lists, of parts and of reports.
_ON_THE_ENGINE = ("parent", "fork")

# Most of the tests wait for something.
_WORKERS = "3"


def near_and_far(changed: str) -> tuple[list[str], list[str]]:
    """The files with tests: those that name the module, and the others; the quick ones before the long ones."""
    files = [_TESTS / "test_engine.py", *(_TESTS / "connector").glob("test_*.py")]
    if changed == "_engine":
        files += [path for folder in _ON_THE_ENGINE for path in (_TESTS / folder).glob("test_*.py")]
    names = re.compile(rf"\b{re.escape(changed)}\b")
    near: list[str] = []
    far: list[str] = []
    for path in sorted(files, key=lambda path: path.stat().st_size):
        (near if names.search(path.read_text(encoding="utf-8")) else far).append(str(path))
    return near, far


def main(python: str) -> int:
    """The exit code of the tests: 0 where none noticed anything."""
    listed = subprocess.run(["git", "diff", "--name-only", "--", "plugins"], capture_output=True, text=True, check=True).stdout
    changed = Path(listed.strip()).stem
    words = ["-q", "-x", "-n", _WORKERS, "--dist", "worksteal", "-p", "no:cacheprovider", "--import-mode=importlib"]
    for files in near_and_far(changed):
        if files and (code := subprocess.run([python, "-m", "pytest", *words, *files], check=False).returncode):
            return code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
