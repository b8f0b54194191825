# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sets up what the other commands need: a virtual environment, Go, the simulator, a home for Ansible's tools."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from devtools import ansible_home, golang, layout, processes
from devtools.builds import Build
from devtools.golang import Go
from devtools.pythons import Python, for_development

_REQUIREMENTS = layout.ROOT / "requirements-dev.txt"
_LOCK = layout.ROOT / "requirements-dev.lock"


@dataclass(frozen=True)
class Toolbox:
    """What `provision` made.

    venv: the development environment. home: HOME for Ansible's tools. binaries: vforge-sim and govc.
    """

    python: Python
    venv: Path
    home: Path
    go: Go
    binaries: Path

    @property
    def simulator(self) -> Path:
        """The simulator."""
        return self.binaries / "vforge-sim"

    @property
    def govc(self) -> Path:
        """The unmodified govc that the simulator's module builds."""
        return self.binaries / "govc"

    def tool(self, name: str) -> Path:
        """A command of the development environment."""
        return self.venv / "bin" / name

    def env(self, **more: str) -> dict[str, str]:
        """Environment for Ansible's tools: theirs come first on PATH, and nothing reaches the user's home."""
        return ansible_home.environment(self.home, self.venv, **more)


def _venv(python: Python) -> Build:
    def make(folder: Path) -> None:
        log = layout.LOGS / "venv.log"
        processes.check([python.path, "-m", "venv", folder], log)
        pip = [folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--only-binary=:all:"]
        processes.check([*pip, "-r", _REQUIREMENTS, "-c", _LOCK], log)

    return Build("venv", (_REQUIREMENTS, _LOCK, python.path, python.full), make)


def _simulator_sources() -> list[Path]:
    """Every file of the simulator's Go module that its two binaries can depend on."""
    ignored = ("_test.go", ".md")
    files = (path for path in layout.SIMULATOR.rglob("*") if path.is_file())
    return sorted(path for path in files if not path.name.endswith(ignored) and "testdata" not in path.parts)


def _binaries(go: Go) -> Build:
    def make(folder: Path) -> None:
        command = [go.tool("go"), "build", "-trimpath", "-o"]
        log = layout.LOGS / "simulator.log"
        env = {**go.env(), "CGO_ENABLED": "0"}
        processes.check([*command, folder / "vforge-sim", "./cmd/vforge-sim"], log, cwd=layout.SIMULATOR, env=env)
        govc = "github.com/vmware/govmomi/govc"
        processes.check([*command, folder / "govc", govc], log, cwd=layout.SIMULATOR, env=env)

    return Build("bin", (go.version, *_simulator_sources()), make)


def provision(done: Callable[[str, str], None]) -> Toolbox:
    """Set up everything, or find that it is there.

    done: called with each finished part's name and what it is, from any thread.
    Raises NoPython, or CommandFailed with the log of what failed.
    """
    python = for_development()

    def environment() -> tuple[Path, Path]:
        venv = _venv(python).ensure()
        done("environment", f"Python {python.full}")
        home = ansible_home.build(venv).ensure()
        return venv, home

    def simulator() -> tuple[Go, Path]:
        go = golang.ensure(Path(python.path))
        done("go", go.version + ("" if go.own else f" ({go.root})"))
        binaries = _binaries(go).ensure()
        done("simulator", "vforge-sim, govc")
        return go, binaries

    with ThreadPoolExecutor(2) as pool:
        try:
            left, right = pool.submit(environment), pool.submit(simulator)
            venv, home = left.result()
            go, binaries = right.result()
        except BaseException:
            # Leaving the pool waits for its threads, and they wait for their commands.
            processes.stop_all()
            raise
    return Toolbox(python, venv, home, go, binaries)

