# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run the tests of the connector and the engine on a copy in which one module was changed, those first that import it.

In the folder of the collection: judge.py PYTHON
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

_TESTS = Path("tests/unit/plugins/module_utils")

# Most of the tests wait for something.
_WORKERS = "4"


def ordered(changed: str) -> list[str]:
    """The files with tests: those that name the module first, the quick ones before the long ones."""
    files = [_TESTS / "test_engine.py", *sorted((_TESTS / "connector").glob("test_*.py"))]
    names = re.compile(rf"\b{re.escape(changed)}\b")
    return [
        str(path)
        for path in sorted(files, key=lambda path: (not names.search(path.read_text(encoding="utf-8")), path.stat().st_size))
    ]


def main(python: str) -> int:
    """The exit code of the tests: 0 where none noticed anything."""
    told = subprocess.run(["git", "diff", "--name-only", "--", "plugins"], capture_output=True, text=True, check=True).stdout
    changed = Path(told.strip()).stem
    words = ["-q", "-x", "-n", _WORKERS, "--dist", "worksteal", "-p", "no:cacheprovider", "--import-mode=importlib"]
    command = [python, "-m", "pytest", *words, *ordered(changed)]
    return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
