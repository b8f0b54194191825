# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From a Git repository to a cluster and what runs in it: the role commits and pushes, Argo CD takes it from there.

The tests of this file are one story, in their order. What opens the sealed Secrets is a stand-in for the controller of the
user's choice.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml
from gate.argocd import API, NAMESPACE, ArgoCd, Sealing
from gate.kube import Kube, Objects, conditions
from gate.pki import Authority
from gate.play import Played, Player
from gate.programs import free_port
from gate.servers import ApiServer, Etcd, GarbageCollector
from gate.workload import INFRASTRUCTURE, VERSION, Workload

from vforge_ova import write_package
from vforge_sim import Simulator

_CORE = "cluster.x-k8s.io/v1beta2"
_NAME, _SPACE = "gt", "gate-tree"
_TEMPLATE, _NODES = "gt-node", "/DC0/vm/gt-nodes"


@dataclasses.dataclass
class Story:
    """What the tests of this file share.

    remote: the bare repository. port: of the endpoint of the workload cluster.
    """

    management: Kube
    simulator: Simulator
    player: Player
    sealing: Sealing
    tree: Path
    remote: Path
    port: int

    def play(self, *, fails: bool = False, **more: Any) -> Played:
        """Have the role write, commit and push the cluster."""
        given: dict[str, Any] = {
            "path": str(self.tree),
            "name": _NAME,
            "namespace": _SPACE,
            "kubernetes_version": VERSION,
            "vcenter": {"server": f"{self.simulator.host}:{self.simulator.port}", "datacenter": "DC0"},
            "ca_path": self.simulator.ca,
            "machines": {
                "template": f"gt-nodes/{_TEMPLATE}",
                "datastore": "LocalDS_0",
                "folder": "gt-nodes",
                "resource_pool": "DC0_C0_RP1",
                "networks": [{"name": "VM Network"}],
            },
            "workers": [{"name": "md-0", "replicas": 1}],
            "endpoint": {"host": "127.0.0.1", "port": self.port, "load_balancer": "external"},
            "argocd": {"repo_url": self.remote.as_uri()},
            "addons": {"cni": {"repo_url": self.remote.as_uri(), "path": "addons/cni", "revision": "HEAD"}},
            "credentials": {
                "command": self.sealing.command,
                "username": self.simulator.username,
                "password": self.simulator.password,
            },
            "kubeconfig": str(self.management.kubeconfig),
            "commit": True,
            "push": True,
            "apply": True,
        }
        return self.player.play("capv_cluster", fails=fails, **{**given, **more})

    def applications(self, names: set[str], *, exactly: bool = True) -> Objects:
        """Wait until these Applications, and no others, are Synced and Healthy."""

        def fine(all_: Objects) -> bool:
            return (set(all_) == names if exactly else names <= set(all_)) and all(_fine(all_[name]) for name in names)

        return self.management.wait(API, "Application", NAMESPACE, fine, f"{sorted(names)}, Synced and Healthy")


def _fine(application: dict[str, Any]) -> bool:
    status = application.get("status") or {}
    return (status.get("sync") or {}).get("status") == "Synced" and (status.get("health") or {}).get("status") == "Healthy"


def _git(*words: str | Path) -> str:
    return subprocess.run(["git", *map(str, words)], check=True, capture_output=True, text=True).stdout


def _repository(folder: Path) -> tuple[Path, Path]:
    """A bare repository with what a user has in it before: an addon. And a clone of it."""
    remote, tree = folder / "clusters.git", folder / "clusters"
    _git("init", "--quiet", "--bare", "--initial-branch=main", remote)
    _git("clone", "--quiet", remote, tree)
    for key, value in {"user.name": "Nobody", "user.email": "nobody@example.com"}.items():
        _git("-C", tree, "config", key, value)
    (tree / "addons" / "cni").mkdir(parents=True)
    addon = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "cni"}, "data": {"network": "of a test"}}
    (tree / "addons" / "cni" / "cni.yaml").write_text(yaml.safe_dump(addon), encoding="utf-8")
    _git("-C", tree, "add", "addons")
    _git("-C", tree, "commit", "--quiet", "-m", "A network for pods")
    _git("-C", tree, "push", "--quiet", "origin", "HEAD:main")
    return remote, tree


@pytest.fixture(scope="module")
def story(
    management: Kube, server: ApiServer, player: Player, binaries: Path, sources: dict[str, Path], folder: Path
) -> Iterator[Story]:
    """A template, a repository, and Argo CD in the management cluster."""
    simulator = player.simulator
    simulator.govc("folder.create", _NODES)
    package = write_package(folder / "package")
    where = {"folder": _NODES, "cluster": "DC0_C0", "datastore": "LocalDS_0", "networks": {"front": "VM Network"}}
    player.play("capv_node_template", name=_TEMPLATE, source=str(package.ova), **where)
    remote, tree = _repository(folder)
    argocd = ArgoCd(binaries, sources["argocd"], server)
    argocd.settings(management)
    with ExitStack() as running:
        running.enter_context(GarbageCollector(binaries, server))
        running.enter_context(argocd)
        sealing = running.enter_context(Sealing(folder, sys.executable, server))
        yield Story(management, simulator, player, sealing, tree, remote, free_port())


@pytest.fixture(scope="module")
def workload(story: Story, binaries: Path, folder: Path, etcd: Etcd) -> Iterator[Workload]:
    """The API server of the cluster, and its kubelets."""
    with Workload(binaries, folder, etcd, story.management, _NAME, _SPACE, story.port) as found:
        yield found


def test_argo_cd_makes_the_cluster_from_the_repository(story: Story) -> None:
    """The role applies one Application; all others, the Secret and the first machine come from the repository."""
    assert story.play().changed
    machines = story.management.wait(
        INFRASTRUCTURE,
        "VSphereMachine",
        _SPACE,
        lambda all_: bool(all_) and all(conditions(each).get("Ready") == "True" for each in all_.values()),
        "a machine of the control plane",
    )
    assert len(machines) == 1
    assert set(story.management.list(API, "Application", NAMESPACE)) >= {"management", f"{_NAME}-cluster", f"{_NAME}-apps"}
    assert story.simulator.password not in _git("-C", story.tree, "log", "-p")


def test_a_cluster_that_is_up_is_registered_by_the_role(story: Story, workload: Workload) -> None:
    """It waits for the control plane, by kubernetes.core, and pushes the registration.

    That the cluster is Available it cannot see here: no etcd answers in simulated machines. So it fails, and says at what.
    """
    played = story.play(fails=True, wait=45)
    assert "the condition Available" in played.output
    story.management.wait("v1", "Secret", NAMESPACE, lambda all_: f"{_NAME}-registration" in all_, "the registration")
    assert _git("-C", story.tree, "status", "--porcelain") == ""
    assert workload.kube.list("v1", "Node")


def test_all_is_synced_and_healthy(story: Story, workload: Workload) -> None:
    """The machines, and what Argo CD brings into the workload cluster by our Secret."""
    names = {"management", *(f"{_NAME}-{part}" for part in ("cluster", "apps", "cni"))}
    assert set(story.applications(names)) == names
    found = workload.kube.get("v1", "ConfigMap", "cni", "tigera-operator")
    assert found is not None
    assert found["data"] == {"network": "of a test"}
    deployment = story.management.get(_CORE, "MachineDeployment", f"{_NAME}-md-0", _SPACE)
    assert deployment is not None
    assert deployment["status"]["availableReplicas"] == 1
    assert story.play().changed == 0


def test_a_rotated_certificate_is_renewed_by_a_rerun(story: Story, workload: Workload, folder: Path) -> None:
    """Where Cluster API keeps another login than before, Argo CD has it after the next run."""
    name = f"{_NAME}-kubeconfig"
    secret = story.management.get("v1", "Secret", name, _SPACE)
    authority = story.management.get("v1", "Secret", f"{_NAME}-ca", _SPACE)
    assert secret is not None
    assert authority is not None
    pem = base64.b64decode(authority["data"]["tls.crt"]), base64.b64decode(authority["data"]["tls.key"])
    pair = Authority(folder / "rotated", pem).issue("kubernetes-admin", "system:masters")
    config = yaml.safe_load(base64.b64decode(secret["data"]["value"]))
    user = config["users"][0]["user"]
    before = user["client-certificate-data"]
    user["client-certificate-data"] = _base64(pair.certificate)
    user["client-key-data"] = _base64(pair.key)
    text = base64.b64encode(yaml.safe_dump(config).encode()).decode()
    story.management.patch("v1", "Secret", name, _SPACE, {"data": {"value": text}})

    assert _registered(story) == before
    assert story.play().changed
    story.management.wait(
        "v1", "Secret", NAMESPACE, lambda _all: _registered(story) == _base64(pair.certificate), "the new certificate"
    )
    assert story.play().changed == 0
    workload.kube.delete("v1", "ConfigMap", "cni", "tigera-operator")
    workload.kube.wait("v1", "ConfigMap", "tigera-operator", lambda all_: "cni" in all_, "what Argo CD heals")


def _registered(story: Story) -> str:
    """The certificate that Argo CD logs in with."""
    secret = story.management.get("v1", "Secret", f"{_NAME}-registration", NAMESPACE)
    assert secret is not None
    config: dict[str, Any] = json.loads(base64.b64decode(secret["data"]["config"]))
    found: str = config["tlsClientConfig"]["certData"]
    return found


def _base64(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


def test_a_cluster_that_is_taken_out_of_the_tree_goes(story: Story, workload: Workload) -> None:
    """Machines first, then what they needed; the role waits for it, by kubernetes.core."""
    assert story.play(state="absent", wait=240).changed
    left = story.management.wait(
        API, "Application", NAMESPACE, lambda all_: set(all_) == {"management"}, "the end of the Applications"
    )
    assert set(left) == {"management"}
    for kind in ("VSphereCluster", "VSphereMachineTemplate", "VSphereVM"):
        assert story.management.list(INFRASTRUCTURE, kind, _SPACE) == {}
    assert story.simulator.govc("find", _NODES, "-type", "m") == [f"{_NODES}/{_TEMPLATE}"]
    assert f"{_NAME}-registration" not in story.management.list("v1", "Secret", NAMESPACE)
    assert workload.kube.list("v1", "Namespace")
