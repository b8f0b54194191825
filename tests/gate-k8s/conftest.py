# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One management cluster for all tests of the lane, with Cluster API and CAPV, and one simulated vCenter."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from gate.kube import Document, Kube
from gate.managers import PROVIDERS, Manager, documents
from gate.pki import Authority
from gate.play import Player
from gate.servers import ApiServer, Etcd
from vforge_crds import FIXTURES

from vforge_sim import Simulator


@pytest.fixture(scope="session")
def binaries() -> Path:
    """The folder with all programs."""
    return Path(os.environ["VFORGE_GATE_BINARIES"])


@pytest.fixture(scope="session")
def sources() -> dict[str, Path]:
    """The folders of the modules of Go that the programs were built from."""
    return {name: Path(path) for name, path in json.loads(os.environ["VFORGE_GATE_SOURCES"]).items()}


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where everything writes; the lane keeps the logs in it."""
    return tmp_path_factory.mktemp("gate")


@pytest.fixture(scope="session")
def etcd(binaries: Path, folder: Path) -> Iterator[Etcd]:
    """For all API servers."""
    with Etcd(binaries, folder) as found:
        assert isinstance(found, Etcd)
        yield found


@pytest.fixture(scope="session")
def server(binaries: Path, folder: Path, etcd: Etcd) -> Iterator[ApiServer]:
    """The API server of the management cluster."""
    where = folder / "management"
    with ApiServer(binaries, where, etcd, Authority(where), "management") as found:
        assert isinstance(found, ApiServer)
        yield found


@pytest.fixture(scope="session")
def management(binaries: Path, sources: dict[str, Path], server: ApiServer) -> Iterator[Kube]:
    """The management cluster, as ``clusterctl init --infrastructure vsphere`` leaves it, with Argo CD's definitions."""
    kube = Kube(server.kubeconfig)
    managers = [Manager(provider, sources, server) for provider in PROVIDERS]
    kube.apply_all(documents(sources["argocd"] / "manifests" / "crds" / "application-crd.yaml"))
    kube.apply_all(documents(sources["argocd"] / "manifests" / "crds" / "appproject-crd.yaml"))
    for manager in managers:
        manager.install(kube)
    kube.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "argocd"}})
    with ExitStack() as running:
        for manager in managers:
            running.enter_context(manager.start(binaries))
        for manager in managers:
            manager.install_webhooks(kube)
        yield kube


@pytest.fixture(scope="session")
def schemas(binaries: Path, folder: Path, etcd: Etcd, sources: dict[str, Path]) -> Iterator[Kube]:
    """An API server that serves CAPV's v1beta2, too, and runs no manager.

    Definitions alone: no release of CAPV that serves v1beta2 can be had as a module of Go.
    """
    with ApiServer(binaries, folder / "schemas", etcd, Authority(folder / "schemas"), "schemas") as server:
        assert isinstance(server, ApiServer)
        kube = Kube(server.kubeconfig)
        for provider in PROVIDERS:
            if provider.module != "capv":
                Manager(dataclasses.replace(provider, converts=False), sources, server).install(kube)
        for path in sorted(FIXTURES.glob("VSphere*.json")):
            kube.apply(_definition(json.loads(path.read_text(encoding="utf-8"))))
        kube.apply_all(documents(sources["argocd"] / "manifests" / "crds" / "application-crd.yaml"))
        kube.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "argocd"}})
        yield kube


def _definition(kept: dict[str, Any]) -> Document:
    """A definition of the schemas that are kept of it."""
    kind = kept["kind"]
    plural = f"{kind.lower()}s"
    versions = [
        {"name": version, "served": True, "storage": version == "v1beta2", "schema": {"openAPIV3Schema": schema}}
        for version, schema in sorted(kept["schemas"].items())
    ]
    names = {"kind": kind, "listKind": f"{kind}List", "plural": plural, "singular": kind.lower()}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{kept['group']}"},
        "spec": {"group": kept["group"], "names": names, "scope": "Namespaced", "versions": versions},
    }


@pytest.fixture(scope="session")
def simulator() -> Iterator[Simulator]:
    """The vCenter."""
    with Simulator(os.environ["VFORGE_GATE_SIMULATOR"], "--vms", "0", "--parents", "0") as found:
        yield found


@pytest.fixture(scope="session")
def player(folder: Path, simulator: Simulator) -> Player:
    """Plays the roles."""
    return Player(folder, simulator)
