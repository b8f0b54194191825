# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the roles ask of a real API server through kubernetes.core. No controller runs: the tests say how objects are.

The tests of each story are in their order.
"""

from __future__ import annotations

import base64
import dataclasses
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from gate.definitions import documents
from gate.kube import Document, Kube
from gate.pki import Authority
from gate.play import Played, Player

from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.capv.clusters import SEAL
from vforge_ova import write_package

_CORE, _INFRASTRUCTURE = "cluster.x-k8s.io/v1beta2", "infrastructure.cluster.x-k8s.io/v1beta2"
_NAME, _SPACE = "gr", "gate-roles"
_NODES = "/DC0/vm/gr-nodes"


@dataclasses.dataclass
class Story:
    """What the tests of the role capv_cluster share."""

    management: Kube
    player: Player
    tree: Path
    seal: Path
    authority: Authority

    def play(self, *, fails: bool = False, check: bool = False, **more: Any) -> Played:
        """Have the role write the cluster, and talk to the API server."""
        given: dict[str, Any] = {
            "path": str(self.tree),
            "name": _NAME,
            "namespace": _SPACE,
            "kubernetes_version": "v1.34.2",
            "vcenter": {"server": "vcenter.example.com", "datacenter": "DC0", "thumbprint": ":".join(["AB"] * 20)},
            "machines": {"template": "node", "datastore": "LocalDS_0", "networks": [{"name": "nodes"}]},
            "endpoint": {"host": "10.0.50.40"},
            "argocd": {"repo_url": "https://git.example.com/clusters.git"},
            "credentials": {"command": [sys.executable, str(self.seal)], "username": "capv", "password": "a-secret-of-capv"},
            "kubeconfig": str(self.management.kubeconfig),
            "apply": True,
        }
        return self.player.play("capv_cluster", fails=fails, check=check, **{**given, **more})

    def login(self, name: str) -> None:
        """Keep a login to the cluster, as Cluster API does."""
        pair = self.authority.issue(name, "system:masters")
        user = {"client-certificate-data": _base64(pair.certificate), "client-key-data": _base64(pair.key)}
        authority = {"certificate-authority-data": _base64(self.authority.certificate)}
        config = {"clusters": [{"name": "gr", "cluster": authority}], "users": [{"name": "gr", "user": user}]}
        meta = {"name": f"{_NAME}-kubeconfig", "namespace": _SPACE}
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "stringData": {"value": yaml.safe_dump(config)}}
        self.management.apply(secret)

    def cluster(self) -> None:
        """Put the Cluster there that the tree has."""
        manifests = documents(self.tree / "capi-cluster" / _NAME / "cluster.yaml")
        self.management.apply(next(each for each in manifests if each["kind"] == "Cluster"))

    def conditions(self, **found: str) -> None:
        """Say what Cluster API would of the Cluster."""
        when = "2026-01-01T00:00:00Z"
        listed = [
            {"type": kind, "status": status, "reason": "Said", "message": "", "lastTransitionTime": when}
            for kind, status in found.items()
        ]
        self.management.patch_status(_CORE, "Cluster", _NAME, _SPACE, {"conditions": listed})


def _base64(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


@pytest.fixture(scope="module")
def story(management: Kube, player: Player, folder: Path) -> Story:
    """A tree, and what seals Secrets."""
    tree, seal = folder / "roles-tree", folder / "seal-roles.py"
    subprocess.run(["git", "init", "--quiet", str(tree)], check=True)
    seal.write_text(SEAL, encoding="utf-8")
    management.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": _SPACE}})
    return Story(management, player, tree, seal, Authority(folder / "roles"))


def test_the_newest_versions_that_are_served_are_written(story: Story) -> None:
    """As the definitions of the API server say, and the one Application is applied. Check mode only foresees it."""
    assert story.play(check=True).changed == 1
    assert list(story.tree.iterdir()) == [story.tree / ".git"]
    assert story.management.get("argoproj.io/v1alpha1", "Application", "management", "argocd") is None
    assert story.play().changed
    assert story.play(check=True).changed == 0
    manifests = documents(story.tree / "capi-cluster" / _NAME / "cluster.yaml")
    versions = {each["kind"]: each["apiVersion"] for each in manifests}
    assert (versions["Cluster"], versions["VSphereCluster"]) == (_CORE, _INFRASTRUCTURE)
    found = story.management.get("argoproj.io/v1alpha1", "Application", "management", "argocd")
    assert found is not None
    assert found["spec"]["source"]["path"] == "management"
    assert story.play().changed == 0


def test_a_login_is_registered_and_renewed(story: Story) -> None:
    """What Cluster API keeps is sealed, once; another certificate is sealed again, and never shown."""
    assert not (story.tree / "management" / _NAME / "registration.yaml").exists()
    for login in ("first", "rotated"):
        story.login(login)
        played = story.play()
        assert played.changed
        assert "PRIVATE KEY" not in played.output
        assert (story.tree / "management" / _NAME / "registration.yaml").exists()
        assert story.play().changed == 0


def test_a_cluster_that_never_comes_up_fails_the_role(story: Story) -> None:
    """It says what it waited for: first for the control plane, then for all of it."""
    story.cluster()
    assert "the condition ControlPlaneInitialized" in _failed(story.play(fails=True, wait=5))
    story.conditions(ControlPlaneInitialized="True", Available="False")
    assert "the condition Available" in _failed(story.play(fails=True, wait=5))
    story.conditions(ControlPlaneInitialized="True", Available="True")
    assert story.play(wait=60).changed == 0


def _failed(played: Played) -> str:
    """The output up to the task that failed, from the task before it on."""
    before = played.output.partition("fatal: ")[0]
    return before[-600:]


def test_a_cluster_that_is_still_there_fails_the_removal(story: Story) -> None:
    """Its files are gone; the role waits for Argo CD, in vain where there is none."""
    assert "Wait until the cluster is gone" in _failed(story.play(fails=True, state="absent", wait=10))
    assert not (story.tree / "capi-cluster" / _NAME).exists()
    story.management.delete(_CORE, "Cluster", _NAME, _SPACE)
    assert story.play(state="absent", wait=60).changed == 0


def test_templates_that_an_object_names_stay(management: Kube, player: Player, story: Story, folder: Path) -> None:
    """The role capv_node_template reads the objects of a management cluster, and removes what none names."""
    simulator = player.simulator
    simulator.govc("folder.create", _NODES)
    package = str(write_package(folder / "package").ova)
    where = {"folder": _NODES, "cluster": "DC0_C0", "datastore": "LocalDS_0", "networks": {"front": "VM Network"}}
    given = {"source": package, "kubeconfigs": [str(management.kubeconfig)], **where}

    def there() -> set[str]:
        return {path.rpartition("/")[2] for path in simulator.govc("find", _NODES, "-type", "m")}

    management.apply(_machine("gr-uses", "gr-nodes/gr-old"))
    player.play("capv_node_template", name="gr-old", **given)
    player.play("capv_node_template", name="gr-new", unused="remove", **given)
    assert there() == {"gr-old", "gr-new"}
    management.apply(_machine("gr-next", "gr-nodes/gr-new"))
    management.delete(_INFRASTRUCTURE, "VSphereMachineTemplate", "gr-uses", _SPACE)
    player.play("capv_node_template", name="gr-new", unused="remove", **given)
    assert there() == {"gr-new"}
    assert story.tree.exists()


def _machine(name: str, template: str) -> Document:
    network = {"devices": [{"networkName": "nodes", "dhcp4": True}]}
    spec = {"template": template, "network": network, "datacenter": "DC0", "server": "vcenter.example.com"}
    meta = {"name": name, "namespace": _SPACE}
    return {
        "apiVersion": _INFRASTRUCTURE,
        "kind": "VSphereMachineTemplate",
        "metadata": meta,
        "spec": {"template": {"spec": spec}},
    }
