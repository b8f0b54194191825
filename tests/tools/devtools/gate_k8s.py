# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The roles for Cluster API against a real API server of Kubernetes and real controllers, built from their modules of Go."""

from __future__ import annotations

import json
import os
import zipfile
from dataclasses import dataclass
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

# A server that was built without these says v0.0.0, which Cluster API and clients refuse.
_VERSIONS = (f"-X {_STAMP}.gitVersion={_KUBERNETES}", f"-X {_STAMP}.gitMajor=1", f"-X {_STAMP}.gitMinor=37")

_CLUSTER_API = "sigs.k8s.io/cluster-api"
_CAPV = "sigs.k8s.io/cluster-api-provider-vsphere"
_ARGO_CD = "github.com/argoproj/argo-cd/v3"


@dataclass(frozen=True)
class Module:
    """A module of Go of the lane.

    name: its folder in the lane. programs: what is built of it, by names, from which packages.
    source, manifests: a module that it requires, and what of it is kept in ``manifests``, beside the programs: its folders with
    YAML, and scripts.
    toolchain: the release of Go that it asks for, where that is a newer one; Go gets it as it gets a module.
    """

    name: str
    programs: dict[str, str]
    source: str = ""
    manifests: tuple[str, ...] = ()
    toolchain: str = "local"

    def build(self, go: Go) -> Build:
        """All its programs. Minutes of processor time, so only this lane asks for it."""
        folder = _LANE / self.name
        log = layout.LOGS / f"k8s-{self.name}.log"
        env = {**go.env(), "GOTOOLCHAIN": self.toolchain}

        def make(target: Path) -> None:
            for program, package in self.programs.items():
                command: list[str | Path] = [go.tool("go"), "build", "-p", "2", "-o", target / program]
                command += ["-ldflags", " ".join(("-s", "-w", *_VERSIONS)), package]
                processes.check(command, log, cwd=folder, env=env)
            if self.source:
                ask: list[str | Path] = [go.tool("go"), "list", "-m", "-f", "{{.Dir}}", self.source]
                self._keep(Path(processes.check(ask, log, cwd=folder, env=env).strip()), target / "manifests")

        files = sorted(path for path in folder.rglob("*") if path.is_file())
        return Build(f"k8s-{self.name}", (go.version, self.toolchain, *_VERSIONS, *self.manifests, *files), make)

    def _keep(self, source: Path, target: Path) -> None:
        """Copy the manifests, without the modes of Go's module cache, which cannot be removed."""
        for where in self.manifests:
            files = sorted((source / where).glob("*.yaml")) or [source / where]
            for file in files:
                kept = target / file.relative_to(source)
                kept.parent.mkdir(parents=True, exist_ok=True)
                kept.write_bytes(file.read_bytes())
                if file.suffix == ".sh":
                    kept.chmod(0o755)


_MODULES = (
    Module(
        "server",
        {
            "etcd": "go.etcd.io/etcd/server/v3",
            "kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver",
            "garbage-collector": "./garbage-collector",
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
        tuple(
            f"{part}/config/{kind}"
            for part in ("core", "bootstrap/kubeadm", "controlplane/kubeadm")
            for kind in ("crd/bases", "webhook")
        ),
    ),
    Module("capv", {"capv": _CAPV}, _CAPV, ("config/default/crd/bases", "config/govmomi/webhook")),
    Module("argocd", {"argocd": "."}, _ARGO_CD, ("manifests/crds", "hack/git-verify-wrapper.sh"), "go1.27.3"),
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


def run(console: Console, arguments: list[str]) -> int:
    """Build what is missing, and test; returns the exit code. arguments: for pytest."""
    console.title("A real API server and real controllers")
    tools = Toolbox(console.part)
    python = tools.tool("python")
    built = {}
    for module in _MODULES:
        built[module.name] = str(module.build(tools.go).ensure())
        console.part(module.name, ", ".join(module.programs))
    libraries = _python(python).ensure()
    with new_run() as copy:
        env = tools.env(
            PYTHONPATH=os.pathsep.join(map(str, (copy.folder, copy.collection / "tests" / "tools", libraries))),
            ANSIBLE_COLLECTIONS_PATH=os.pathsep.join(map(str, (copy.folder, libraries))),
            VFORGE_GATE_BUILDS=json.dumps(built),
            VFORGE_GATE_SIMULATOR=str(tools.simulator),
        )
        command: list[str | Path] = [python, "-m", "pytest", "-p", "no:cacheprovider", "-v", "-s"]
        command += ["--basetemp", copy.folder / "pytest", *arguments]
        process = processes.start(command, cwd=copy.collection / "tests" / "gate-k8s", env=env)
        try:
            return process.wait()
        finally:
            processes.finish(process)
