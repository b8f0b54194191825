# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""qemu-img and qemu-nbd on PATH, and libnbd's module, from Debian's packages, for all tests of this folder."""

from __future__ import annotations

import ctypes
import re
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def _programs(tools, monkeypatch):
    monkeypatch.syspath_prepend(str(_only_libnbd(tools.parent)))
    _load(tools.parent, "libnbd.so.0")
    pytest.importorskip("libnbdmod", reason="Debian's libnbd is built for another Python than this one")


def _only_libnbd(root: Path) -> Path:
    """A folder with libnbd's module and none of the other modules that were unpacked."""
    folder = root / "libnbd"
    folder.mkdir(exist_ok=True)
    for path in (root / "usr/lib/python3/dist-packages").glob("*nbd*"):
        link = folder / path.name
        if not link.is_symlink():
            link.symlink_to(path)
    return folder


def _load(root: Path, name: str) -> None:
    """Load a library that was unpacked, after those that it needs: a running process cannot be told where they lie."""
    while True:
        try:
            ctypes.CDLL(next(str(path) for path in root.rglob(name)), ctypes.RTLD_GLOBAL)
            return
        except OSError as error:
            needed = re.match(r"(\S+): cannot open shared object file", str(error))
            if needed is None:
                raise
            _load(root, needed[1])
