# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Other collections for vSphere in an environment of their own, made once and kept in the build folder."""

from __future__ import annotations

import zipfile
from pathlib import Path

from devtools import layout, processes
from devtools.builds import Build

_BENCHMARKS = layout.ROOT / "tests" / "benchmarks"
_REQUIREMENTS = _BENCHMARKS / "requirements.txt"
_PEER = _BENCHMARKS / "peer.txt"
# Of the `ansible` package's hundred collections, those that are used or that these need.
_COLLECTIONS = ("ansible_collections/community/vmware/", "ansible_collections/vmware/vmware/")


def environment(python: Path) -> Path:
    """The folder with the virtual environment `venv` and the collections in `collections`.

    Raises CommandFailed, with the log of what failed.
    """

    def make(folder: Path) -> None:
        log = layout.LOGS / "bench.log"
        processes.check([python, "-m", "venv", folder / "venv"], log)
        pip: list[str | Path] = [folder / "venv" / "bin" / "python", "-m", "pip", "--disable-pip-version-check"]
        wheels = ["--quiet", "--only-binary=:all:"]
        processes.check([*pip, "install", *wheels, "-r", _REQUIREMENTS], log)
        # Installing the whole package would unpack half a gigabyte.
        processes.check([*pip, "download", *wheels, "--no-deps", "-d", folder, "-r", _PEER], log)
        (wheel,) = folder.glob("ansible-*.whl")
        with zipfile.ZipFile(wheel) as archive:
            wanted = [name for name in archive.namelist() if name.startswith(_COLLECTIONS)]
            archive.extractall(folder / "collections", wanted)
        wheel.unlink()

    return Build("bench", (_REQUIREMENTS, _PEER, str(python)), make).ensure()
