# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Other people's clients against the simulator: govc as govmomi builds it, and the modules of other collections."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from vforge_ova import Package, write_package
from vforge_sim import Simulator

_PATIENCE = 300.0

# govc's meter of an upload may be asked once more when the answer has come and the meter is closed.
_OF_ITS_OWN = "panic: send on closed channel"


class Govc:
    """Runs govc in a folder, as a shell does."""

    def __init__(self, sim: Simulator, binary: str, folder: Path) -> None:
        self._binary, self._folder = binary, folder
        own = {name: value for name, value in os.environ.items() if not name.startswith("GOVC_")}
        self.environment = {**own, **sim.govc_environment(), "GOVC_GUEST_LOGIN": f"{sim.guest_username}:{sim.guest_password}"}

    def __call__(self, *words: str | Path, given: str = "", **environment: str) -> str:
        """Run a command, which has to succeed; returns what it prints.

        Args:
            words: the command.
            given: its standard input.
            environment: variables of its own.
        """
        done = self._run(words, given, environment)
        if _OF_ITS_OWN in done.stderr:
            done = self._run(words, given, environment)
        assert done.returncode == 0, f"govc {' '.join(map(str, words))}: {done.stdout}{done.stderr}"
        return done.stdout.strip()

    def refused(self, *words: str | Path, **environment: str) -> str:
        """Run a command, which has to fail; returns what it says."""
        done = self._run(words, "", environment)
        assert done.returncode != 0, f"govc {' '.join(map(str, words))} succeeded: {done.stdout}"
        return done.stderr.strip()

    def _run(self, words: tuple[str | Path, ...], given: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self._binary, *words],
            cwd=self._folder,
            env={**self.environment, **environment},
            input=given,
            capture_output=True,
            text=True,
            timeout=_PATIENCE,
            check=False,
        )


@pytest.fixture
def sim() -> Iterator[Simulator]:
    """A vCenter of the test's own."""
    with Simulator(os.environ["VFORGE_SIMULATOR"], "--vms", "2", "--clone-time", "1ms") as found:
        yield found


@pytest.fixture
def govc(sim: Simulator, tmp_path: Path) -> Govc:
    """Govc for it, in a folder of the test's own."""
    return Govc(sim, os.environ["VFORGE_GOVC"], tmp_path)


@pytest.fixture
def package(tmp_path: Path) -> Package:
    """A small OVA, and the same as loose files."""
    return write_package(tmp_path / "ova")


@pytest.fixture
def loose_disk(package: Package, tmp_path: Path) -> Path:
    """A disk in a file of its own: streamOptimized."""
    disk = tmp_path / "loose.vmdk"
    shutil.copy(package.ovf.with_name("tiny-disk1.vmdk"), disk)
    return disk


def only(found: list[Any]) -> Any:
    """The one thing in a list."""
    assert len(found) == 1, found
    return found[0]
