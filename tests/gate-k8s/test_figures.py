# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How long it takes: one large cluster, and a tree of two hundred. The limits are of processor time, whatever else runs."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from gate.definitions import documents
from gate.kube import Kube
from gate.play import Player

from devtools import processes

# Seconds that a user is to wait at the most.
_ONE, _MANY = 10.0, 60.0

# What sealing takes is the user's command's own matter: this one does nothing.
_SEAL = "cat > /dev/null; echo '{apiVersion: bitnami.com/v1alpha1, kind: SealedSecret, metadata: {name: sealed}}'"


def _options(tree: Path) -> dict[str, Any]:
    return {
        "path": str(tree),
        "namespace": "default",
        "kubernetes_version": "v1.34.2",
        "vcenter": {"server": "vcenter.example.com", "datacenter": "DC0", "thumbprint": ":".join(["AB"] * 20)},
        "machines": {"template": "node", "datastore": "LocalDS_0", "networks": [{"name": "nodes"}]},
        "control_plane": {"replicas": 3},
        "workers": [{"name": "md-0", "replicas": 50}],
        "endpoint": {"host": "10.0.50.40"},
        "argocd": {"repo_url": "https://git.example.com/clusters.git"},
        "addons": {"cni": {"revision": "v3.30.3"}, "cloud_provider": {"revision": "1.34.0"}, "csi": {"revision": "v3.5.0"}},
        "credentials": {"command": ["sh", "-c", _SEAL], "username": "capv", "password": "a-secret-of-capv"},
    }


@pytest.fixture(scope="module")
def options(folder: Path) -> dict[str, Any]:
    """Of a cluster of three and fifty nodes, in a tree of its own."""
    tree = folder / "many"
    subprocess.run(["git", "init", "--quiet", str(tree)], check=True)
    return _options(tree)


def _measured(player: Player, options: dict[str, Any], first: int, end: int) -> tuple[int, float, float]:
    """How many tasks changed something, the seconds that it took, and those of the processor."""
    begin, spent = time.monotonic(), processes.spent()
    played = player.run("many", many_options=options, many_from=first, many_to=end)
    return played.changed, time.monotonic() - begin, processes.spent() - spent


def test_a_cluster_of_fifty_nodes(management: Kube, player: Player, options: dict[str, Any], record_property: Any) -> None:
    """Rendered, written, and taken by the API server in a strict dry run; a second run changes nothing."""
    changed, wall, spent = _measured(player, options, 0, 1)
    begin = time.monotonic()
    tree = Path(options["path"])
    files = [tree / "capi-cluster" / "c0" / "cluster.yaml", *sorted((tree / "app" / "c0").glob("*.yaml"))]
    manifests = [document for file in files for document in documents(file)]
    refused = {each["metadata"]["name"]: management.refused(each) for each in manifests}
    record_property("written", wall)
    record_property("validated", time.monotonic() - begin)
    print(f"3 + 50 nodes: {wall:.1f} s ({spent:.1f} s of processor), validated in {time.monotonic() - begin:.1f} s")
    assert changed == 1
    assert len(manifests) > 8
    assert {name: answer for name, answer in refused.items() if answer} == {}
    assert spent < _ONE
    assert _measured(player, options, 0, 1)[0] == 0


def test_two_hundred_clusters_in_one_tree(player: Player, options: dict[str, Any], record_property: Any) -> None:
    """All of them written, and all left as they are by a second run."""
    changed, wall, spent = _measured(player, options, 1, 201)
    record_property("written", wall)
    print(f"200 clusters: {wall:.1f} s ({spent:.1f} s of processor)")
    assert changed == 1
    written = {path.name for path in (Path(options["path"]) / "capi-cluster").iterdir()}
    assert {f"c{number}" for number in range(1, 201)} <= written
    assert spent < _MANY
    again, wall, spent = _measured(player, options, 1, 201)
    print(f"200 clusters again: {wall:.1f} s ({spent:.1f} s of processor)")
    assert again == 0
