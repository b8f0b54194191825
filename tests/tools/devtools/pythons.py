# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The Pythons of this machine, and which of them runs what."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_MINORS = range(11, 16)
_PROBE = (
    "import sys, venv, ensurepip; "
    "print('%d.%d.%d' % sys.version_info[:3], getattr(sys, '_base_executable', sys.executable), sep='\\n')"
)

# The Pythons that each ansible-core runs on as a controller, from its release notes, less those that the collection
# does not support. The first choices differ, so that together they cover every Python.
CORE_PYTHONS: dict[str, tuple[str, ...]] = {
    "2.17": ("3.11", "3.12"),
    "2.18": ("3.13", "3.12", "3.11"),
    "2.19": ("3.12", "3.11", "3.13"),
    "2.20": ("3.12", "3.13", "3.14"),
    "2.21": ("3.14", "3.13", "3.12"),
    "2.22": ("3.13", "3.14"),
}


class NoPython(Exception):
    """No Python of this machine will do."""


@dataclass(frozen=True)
class Python:
    """An interpreter that starts and can make virtual environments.

    path: the real interpreter, never one of a virtual environment or a pyenv shim.
    full: its version, such as "3.11.7".
    """

    path: str
    full: str

    @property
    def version(self) -> str:
        """Major and minor, such as "3.11"."""
        return self.full.rpartition(".")[0]


def probe(command: str) -> Python | None:
    """The interpreter behind a command, or None when it does not start or lacks venv or ensurepip."""
    try:
        answer = subprocess.run([command, "-I", "-c", _PROBE], capture_output=True, text=True, check=False)
    except OSError:
        return None
    if answer.returncode:
        return None
    full, path = answer.stdout.splitlines()
    return Python(path, full)


@cache
def installed() -> dict[str, Python]:
    """Every usable Python by its version: those on PATH first, then those of pyenv."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    found: dict[str, Python] = {}
    for minor in _MINORS:
        version = f"3.{minor}"
        candidates = [f"python{version}", *map(str, sorted(pyenv.glob(f"{version}.*/bin/python3"), reverse=True))]
        for candidate in candidates:
            if python := probe(candidate):
                found.setdefault(python.version, python)
                break
    for name in ("python3", "python"):
        if python := probe(name):
            found.setdefault(python.version, python)
    return found


def for_development() -> Python:
    """The Python that the development environment is made with.

    `PYTHON` in the environment decides; else 3.11, then the newest that ansible-core 2.19 runs on, then a newer one.
    Raises NoPython with a sentence for the user.
    """
    if wanted := os.environ.get("PYTHON"):
        python = probe(wanted)
        if python is None or tuple(map(int, python.version.split("."))) < (3, 11):
            raise NoPython(f"PYTHON={wanted} is not a Python 3.11 or later with the venv and ensurepip modules.")
        return python
    found = installed()
    for version in ("3.11", "3.13", "3.12", "3.14"):
        if version in found:
            return found[version]
    raise NoPython("Python 3.11 or later with its venv module is needed (on Debian and Ubuntu: python3-venv).")


def for_core(core: str) -> Python | None:
    """The Python of this machine to test this ansible-core with, or None."""
    found = installed()
    return next((found[version] for version in CORE_PYTHONS[core] if version in found), None)
