# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""For all tests of the lane: an API server without controllers, one with Cluster API and CAPV, and a simulated vCenter."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from gate.definitions import definitions
from gate.kube import Kube
from gate.managers import PROVIDERS, Manager
from gate.pki import Authority
from gate.play import Player
from gate.servers import ApiServer, Etcd

from vforge_sim import Simulator


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where everything writes."""
    return tmp_path_factory.mktemp("gate")


@pytest.fixture(scope="session")
def builds() -> dict[str, Path]:
    """The folders with programs and manifests, by the modules of Go that they are of."""
    return {name: Path(path) for name, path in json.loads(os.environ["VFORGE_GATE_BUILDS"]).items()}


@pytest.fixture(scope="session")
def binaries(builds: dict[str, Path]) -> Path:
    """The folder of Kubernetes itself."""
    return builds["server"]


@pytest.fixture(scope="session")
def etcd(binaries: Path, folder: Path) -> Iterator[Etcd]:
    """For all API servers."""
    with Etcd(binaries, folder) as found:
        assert isinstance(found, Etcd)
        yield found


@pytest.fixture(scope="session")
def management(binaries: Path, folder: Path, etcd: Etcd) -> Iterator[Kube]:
    """The API server of a management cluster, with all definitions. No controller runs in it, and no webhook."""
    with ApiServer(binaries, folder / "management", etcd, Authority(folder / "management"), "management") as server:
        assert isinstance(server, ApiServer)
        kube = Kube(server.kubeconfig)
        kube.apply_all(definitions())
        kube.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "argocd"}})
        yield kube


@pytest.fixture(scope="session")
def controllers(builds: dict[str, Path], binaries: Path, folder: Path, etcd: Etcd) -> Iterator[Kube]:
    """A management cluster, as ``clusterctl init --infrastructure vsphere`` leaves it: controllers and webhooks run."""
    where = folder / "controllers"
    with ApiServer(binaries, where, etcd, Authority(where), "controllers") as server, ExitStack() as running:
        assert isinstance(server, ApiServer)
        kube = Kube(server.kubeconfig)
        managers = [Manager(provider, builds[provider.module], server) for provider in PROVIDERS]
        for manager in managers:
            manager.install(kube)
        for manager in managers:
            running.enter_context(manager.start())
        for manager in managers:
            manager.install_webhooks(kube)
        yield kube


@pytest.fixture(scope="session")
def simulator() -> Iterator[Simulator]:
    """The vCenter."""
    with Simulator(os.environ["VFORGE_GATE_SIMULATOR"], "--vms", "0", "--parents", "0") as found:
        yield found


@pytest.fixture(scope="session")
def player(folder: Path, simulator: Simulator) -> Player:
    """Plays the roles."""
    return Player(folder, simulator)
