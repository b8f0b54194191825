# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The roles for Cluster API against a real API server of Kubernetes, built from its modules of Go."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

from devtools import layout, processes
from devtools.builds import Build
from devtools.console import Console
from devtools.golang import Go
from devtools.provision import Toolbox
from devtools.runs import new_run

_LANE = layout.ROOT / "tests" / "gate-k8s"

# The collection kubernetes.core is on PyPI as a part of this package alone.
_ANSIBLE = "ansible==12.3.0"
_CORE = "ansible_collections/kubernetes/core/"

_KUBERNETES = "v1.37.2"
_STAMP = "k8s.io/component-base/version"

# Without these a server says that it is v0.0.0, which clients refuse.
_VERSIONS = (f"-X {_STAMP}.gitVersion={_KUBERNETES}", f"-X {_STAMP}.gitMajor=1", f"-X {_STAMP}.gitMinor=37")


# What is built, by the names of the programs.
_PROGRAMS = {"etcd": "go.etcd.io/etcd/server/v3", "kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver"}


def _server(go: Go) -> Build:
    """etcd and the API server: eight minutes of processor time, so only this lane asks for them."""
    module = _LANE / "server"

    def make(folder: Path) -> None:
        for program, package in _PROGRAMS.items():
            command: list[str | Path] = [go.tool("go"), "build", "-trimpath", "-p", "2", "-o", folder / program]
            command += ["-ldflags", " ".join(("-s", "-w", *_VERSIONS)), package]
            processes.check(command, layout.LOGS / "k8s-server.log", cwd=module, env={**go.env(), "CGO_ENABLED": "0"})

    return Build("k8s-server", (go.version, *_VERSIONS, *sorted(module.iterdir())), make)


def _python(python: Path) -> Build:
    """The client of Kubernetes, and the collection kubernetes.core."""
    requirements = _LANE / "requirements.txt"
    pip: list[str | Path] = [python, "-m", "pip"]

    def make(folder: Path) -> None:
        log = layout.LOGS / "k8s-python.log"
        quiet = ("--quiet", "--no-deps", "--only-binary=:all:")
        processes.check([*pip, "install", *quiet, "--target", folder, "-r", requirements], log)
        processes.check([*pip, "download", *quiet, "-d", folder, _ANSIBLE], log)
        wheel = next(folder.glob("ansible-*.whl"))
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(folder, [name for name in archive.namelist() if name.startswith(_CORE)])
        wheel.unlink()

    return Build("k8s-python", (str(python), _ANSIBLE, requirements), make)


def run(console: Console, arguments: list[str]) -> int:
    """Build what is missing, and test; returns the exit code. arguments: for pytest."""
    console.title("A real API server")
    tools = Toolbox(console.part)
    python = tools.tool("python")
    binaries, libraries = _server(tools.go).ensure(), _python(python).ensure()
    console.part("kubernetes", ", ".join(_PROGRAMS))
    with new_run() as copy:
        env = tools.env(
            PYTHONPATH=os.pathsep.join(map(str, (copy.folder, copy.collection / "tests" / "tools", libraries))),
            ANSIBLE_COLLECTIONS_PATH=os.pathsep.join(map(str, (copy.folder, libraries))),
            VFORGE_GATE_BINARIES=str(binaries),
            VFORGE_GATE_SIMULATOR=str(tools.simulator),
        )
        command: list[str | Path] = [python, "-m", "pytest", "-p", "no:cacheprovider", "-v", "-s"]
        command += ["--basetemp", copy.folder / "pytest", *arguments]
        process = processes.start(command, cwd=copy.collection / "tests" / "gate-k8s", env=env)
        try:
            return process.wait()
        finally:
            processes.finish(process)
