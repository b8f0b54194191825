# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The roles for Cluster API against real controllers: Kubernetes, Cluster API, CAPV and Argo CD, built from their modules."""

from __future__ import annotations

import json
import os
import zipfile
from dataclasses import dataclass
from pathlib import Path

from devtools import golang, layout, processes
from devtools.builds import Build
from devtools.console import Console
from devtools.golang import Go
from devtools.provision import Toolbox
from devtools.runs import Run, new_run

_LANE = layout.ROOT / "tests" / "gate-k8s"

# The collection kubernetes.core is on PyPI as a part of this package alone.
_ANSIBLE = "ansible==12.3.0"
_CORE = "ansible_collections/kubernetes/core/"

# Argo CD needs a newer Go than all others.
_NEWER_GO = "1.27.3"

_KUBERNETES = "v1.37.2"
_STAMP = "k8s.io/component-base/version"

# Cluster API's core refuses a server that says v0.0.0, as one does that was built without these.
_VERSIONS = (f"-X {_STAMP}.gitVersion={_KUBERNETES}", f"-X {_STAMP}.gitMajor=1", f"-X {_STAMP}.gitMinor=37")


@dataclass(frozen=True)
class Module:
    """A module of Go of the lane.

    name: its folder in the lane. programs: what is built of it, by names, from which packages.
    source: the module of whose folder definitions and webhooks are taken, if it is one.
    """

    name: str
    programs: dict[str, str]
    source: str = ""

    def build(self, go: Go) -> Build:
        """All its programs. Minutes of processor time for most, so only this lane asks for it."""
        folder = _LANE / self.name

        def make(target: Path) -> None:
            for program, package in self.programs.items():
                command: list[str | Path] = [go.tool("go"), "build", "-trimpath", "-p", "2", "-o", target / program]
                command += ["-ldflags", " ".join(("-s", "-w", *_VERSIONS)), package]
                env = {**go.env(), "CGO_ENABLED": "0"}
                processes.check(command, layout.LOGS / f"k8s-{self.name}.log", cwd=folder, env=env)

        return Build(f"k8s-{self.name}", (go.version, *_VERSIONS, *sorted(folder.iterdir())), make)

    def sources(self, go: Go) -> Path:
        """The folder of the module that it is about."""
        command: list[str | Path] = [go.tool("go"), "list", "-m", "-f", "{{.Dir}}", self.source]
        log = layout.LOGS / f"k8s-{self.name}.log"
        return Path(processes.check(command, log, cwd=_LANE / self.name, env=go.env()).strip())


_CLUSTER_API = "sigs.k8s.io/cluster-api"
_CAPV = "sigs.k8s.io/cluster-api-provider-vsphere"

_MODULES = (
    Module(
        "server",
        {
            "etcd": "go.etcd.io/etcd/server/v3",
            "kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver",
            "kube-controller-manager": "k8s.io/kubernetes/cmd/kube-controller-manager",
        },
    ),
    Module(
        "cluster-api",
        {
            "core": f"{_CLUSTER_API}/core",
            "bootstrap": f"{_CLUSTER_API}/bootstrap/kubeadm",
            "control-plane": f"{_CLUSTER_API}/controlplane/kubeadm",
        },
        _CLUSTER_API,
    ),
    Module("capv", {"capv": _CAPV}, _CAPV),
    Module("argocd", {"argocd": "."}, "github.com/argoproj/argo-cd/v3"),
)


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


def _collect(run: Run, built: list[Path]) -> Path:
    """One folder with all programs."""
    folder = run.folder / "programs"
    folder.mkdir()
    for program in (path for where in built for path in where.iterdir() if not path.name.startswith(".")):
        (folder / program.name).symlink_to(program)
    return folder


def run(console: Console, arguments: list[str]) -> int:
    """Build what is missing, and test; returns the exit code. arguments: for pytest."""
    console.title("Real controllers")
    tools = Toolbox(console.part)
    python = tools.tool("python")
    newer = golang.of_pypi(python, _NEWER_GO, "newer-go")
    built, sources = [], {}
    for module in _MODULES:
        go = newer if module.name == "argocd" else tools.go
        built.append(module.build(go).ensure())
        if module.source:
            sources[module.name] = str(module.sources(go))
        console.part(module.name, ", ".join(module.programs))
    libraries = _python(python).ensure()
    with new_run() as copy:
        found = _collect(copy, built)
        env = tools.env(
            PYTHONPATH=os.pathsep.join(map(str, (copy.folder, copy.collection / "tests" / "tools", libraries))),
            ANSIBLE_COLLECTIONS_PATH=os.pathsep.join(map(str, (copy.folder, libraries))),
            VFORGE_GATE_BINARIES=str(found),
            VFORGE_GATE_SOURCES=json.dumps(sources),
            VFORGE_GATE_SIMULATOR=str(tools.simulator),
            VFORGE_GATE_LOGS=str(copy.logs),
        )
        command: list[str | Path] = [python, "-m", "pytest", "-p", "no:cacheprovider", "-v", "--durations=8"]
        command += ["--basetemp", copy.folder / "pytest", *arguments]
        process = processes.start(command, cwd=copy.collection / "tests" / "gate-k8s", env=env)
        try:
            code = process.wait()
        finally:
            processes.finish(process)
    return code
