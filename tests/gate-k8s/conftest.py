# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One API server for all tests of the lane, and one simulated vCenter."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from gate.definitions import definitions
from gate.kube import Kube
from gate.pki import Authority
from gate.play import Player
from gate.servers import ApiServer, Etcd

from vforge_sim import Simulator


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where everything writes."""
    return tmp_path_factory.mktemp("gate")


@pytest.fixture(scope="session")
def management(folder: Path) -> Iterator[Kube]:
    """The API server of a management cluster, with all definitions. No controller runs in it, and no webhook."""
    binaries = Path(os.environ["VFORGE_GATE_BINARIES"])
    with Etcd(binaries, folder) as etcd:
        assert isinstance(etcd, Etcd)
        with ApiServer(binaries, folder / "management", etcd, Authority(folder / "management"), "management") as server:
            assert isinstance(server, ApiServer)
            kube = Kube(server.kubeconfig)
            kube.apply_all(definitions())
            kube.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "argocd"}})
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
