# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the figures depend on: the machine and the versions."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from pathlib import Path

from bench.tools import Installed
from devtools import layout

_ASK = "import sys, importlib.metadata as m; print(*(m.version(name) for name in sys.argv[1:]))"


def describe(installed: Installed) -> dict[str, str]:
    """The machine, and what ran on it."""
    ours = _versions(installed.python, "ansible-core", "pyvmomi")
    theirs = _versions(installed.peer / "venv" / "bin" / "python", "ansible-core", "pyvmomi")
    return {
        "machine": f"{os.cpu_count()} cores ({platform.machine()}), {platform.system()}, the simulator on the same cores",
        "Python": platform.python_version(),
        "vforge.vsphere": f"{_collection(installed.collections, 'vforge', 'vsphere')} on {ours}",
        "community.vmware": f"{_collection(installed.peer / 'collections', 'community', 'vmware')} on {theirs}",
        "govc": _govmomi(),
    }


def _versions(python: Path, *packages: str) -> str:
    done = subprocess.run([python, "-c", _ASK, *packages], capture_output=True, text=True, check=True)
    return ", ".join(f"{name} {version}" for name, version in zip(packages, done.stdout.split(), strict=True))


def _govmomi() -> str:
    """The version that govc and the simulator are built from; govc itself tells one only in the vendor's builds."""
    words = (layout.SIMULATOR / "go.mod").read_text(encoding="utf-8").split()
    return words[words.index("github.com/vmware/govmomi") + 1]


def _collection(collections: Path, namespace: str, name: str) -> str:
    folder = collections / "ansible_collections" / namespace / name
    manifest = folder / "MANIFEST.json"
    if manifest.exists():
        return str(json.loads(manifest.read_text(encoding="utf-8"))["collection_info"]["version"])
    lines = (folder / "galaxy.yml").read_text(encoding="utf-8").splitlines()
    return next(line.partition(":")[2].strip() for line in lines if line.startswith("version:"))
