# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From variables to a cluster that is Synced and Healthy: the role commits and pushes, Argo CD does all else.

The tests of this file are one story, in their order. The one Application that the role applies finds all others in a bare
repository on the disk. The addons are folders of the same repository: the charts of their makers are elsewhere.
"""

from __future__ import annotations

import base64
import dataclasses
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml
from gate import argocd, sealing
from gate.kube import Document, Kube, Objects, conditions
from gate.pki import Pair
from gate.play import Played, Player
from gate.programs import PATIENCE, free_port
from gate.servers import Etcd, GarbageCollector
from gate.workload import INFRASTRUCTURE, VERSION, Workload

from vforge_ova import write_package
from vforge_sim import Simulator

_CORE = "cluster.x-k8s.io/v1beta2"
_CONTROL_PLANE = "controlplane.cluster.x-k8s.io/v1beta2"
_NAME, _SPACE = "ga", "gate-argocd"
_FOLDER, _NODES = "ga-nodes", "/DC0/vm/ga-templates"
_TEMPLATE = f"{_NODES}/ga-node"

_FINE = ("Synced", "Healthy")

# The addons, as their makers have them in a folder of a repository: something for each node, something else, and a namespace.
_ADDONS: dict[str, list[Document]] = {
    "cni": [
        {
            "apiVersion": "apps/v1",
            "kind": "DaemonSet",
            "metadata": {"name": "network"},
            "spec": {
                "selector": {"matchLabels": {"app": "network"}},
                "template": {
                    "metadata": {"labels": {"app": "network"}},
                    "spec": {"containers": [{"name": "network", "image": "registry.example.com/network:1"}]},
                },
            },
        }
    ],
    "cloud_provider": [{"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "cloud-provider"}}],
    "csi": [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "csi"}, "data": {"feature": "on"}}],
}
_NETWORK_SPACE = "network"


@dataclasses.dataclass
class Story:
    """What the tests of this file share.

    tree: a clone of the repository. port: of the endpoint of the workload cluster.
    """

    management: Kube
    simulator: Simulator
    player: Player
    tree: Path
    repository: str
    seal: Path
    port: int

    def cluster(self, **more: Any) -> Played:
        """Have the role write, commit and push the cluster, and apply the Application of all clusters."""
        addon = {"repo_url": self.repository, "revision": "HEAD"}
        addons = {name: {**addon, "path": f"addons/{name}"} for name in _ADDONS}
        addons["cni"]["namespace"] = _NETWORK_SPACE
        login = {"username": self.simulator.username, "password": self.simulator.password}
        given: dict[str, Any] = {
            "path": str(self.tree),
            "name": _NAME,
            "namespace": _SPACE,
            "kubernetes_version": VERSION,
            "vcenter": {"server": f"{self.simulator.host}:{self.simulator.port}", "datacenter": "DC0"},
            "ca_path": self.simulator.ca,
            "machines": {
                "template": _TEMPLATE,
                "datastore": "LocalDS_0",
                "folder": _FOLDER,
                "resource_pool": "DC0_C0_RP1",
                "networks": [{"name": "DC0_DVPG0"}],
            },
            "workers": [{"name": "md-0", "replicas": 1}],
            # With all that the control plane can have. No guest runs, so nobody takes the address.
            "endpoint": {"host": "127.0.0.1", "port": self.port, "load_balancer": "kube_vip"},
            "ssh_keys": ["ssh-ed25519 AAAA somebody"],
            "argocd": {"repo_url": self.repository},
            "addons": addons,
            "credentials": {"command": [sys.executable, str(self.seal)], **login},
            "kubeconfig": str(self.management.kubeconfig),
            "commit": True,
            "push": True,
            "apply": True,
        }
        return self.player.play("capv_cluster", **{**given, **more})

    def applications(self, reached: Callable[[Objects], bool], what: str) -> Objects:
        """Wait for the Applications to be so; returns them."""
        return self.management.wait(argocd.API, "Application", argocd.NAMESPACE, reached, what)

    def login(self) -> str:
        """The kubeconfig that Cluster API keeps, as it is in its Secret."""
        secret = self.management.get("v1", "Secret", f"{_NAME}-kubeconfig", _SPACE)
        assert secret is not None
        return str(secret["data"]["value"])

    def registered(self) -> Document:
        """The cluster Secret of Argo CD, as it came out of Git."""
        name = f"{_NAME}-registration"
        return self.management.wait("v1", "Secret", argocd.NAMESPACE, lambda all_: name in all_, f"the Secret {name}")[name]


def _git(tree: Path, *words: str) -> None:
    subprocess.run(["git", "-C", str(tree), *words], check=True, capture_output=True)


def _write_addons(tree: Path) -> None:
    for name, manifests in _ADDONS.items():
        folder = tree / "addons" / name
        folder.mkdir(parents=True)
        (folder / "all.yaml").write_text(yaml.safe_dump_all(manifests), encoding="utf-8")
    _git(tree, "add", "addons")
    _git(tree, "commit", "--quiet", "-m", "Addons")
    _git(tree, "push", "--quiet")


@pytest.fixture(scope="module")
def story(
    builds: dict[str, Path], binaries: Path, controllers: Kube, simulator: Simulator, player: Player, folder: Path
) -> Iterator[Story]:
    """A repository and a clone of it, a template in the vCenter, Argo CD, and what makes Secrets of sealed ones."""
    bare, tree, seal = folder / "clusters.git", folder / "argocd-tree", folder / "seal-argocd.py"
    subprocess.run(["git", "init", "--quiet", "--bare", "--initial-branch", "main", str(bare)], check=True)
    subprocess.run(["git", "clone", "--quiet", str(bare), str(tree)], check=True)
    _git(tree, "config", "user.name", "Clusters")
    _git(tree, "config", "user.email", "clusters@example.com")
    _write_addons(tree)
    seal.write_text(sealing.SEAL, encoding="utf-8")
    simulator.govc("folder.create", _NODES, f"/DC0/vm/{_FOLDER}")
    where = {"folder": _NODES, "cluster": "DC0_C0", "datastore": "LocalDS_0", "networks": {"front": "VM Network"}}
    package = str(write_package(folder / "package").ova)
    player.play("capv_node_template", name=_TEMPLATE.rpartition("/")[2], source=package, **where)
    found = Story(controllers, simulator, player, tree, bare.as_uri(), seal, free_port())
    controllers.apply(sealing.definition())
    argocd.install(controllers, builds["argocd"])
    with ExitStack() as running:
        running.enter_context(GarbageCollector(binaries, folder / "controllers", controllers.kubeconfig))
        running.enter_context(sealing.Controller(controllers))
        running.enter_context(argocd.running(builds["argocd"], folder / "controllers" / "argocd", controllers))
        yield found


@pytest.fixture(scope="module")
def workload(story: Story, binaries: Path, folder: Path, etcd: Etcd) -> Iterator[Workload]:
    """The API server of the cluster, and its kubelets."""
    with Workload(binaries, folder, etcd, story.management, _NAME, _SPACE, story.port) as found:
        yield found


def _are(wanted: set[str], state: tuple[str, str] = _FINE) -> Callable[[Objects], bool]:
    """Whether these Applications are there, and so."""
    return lambda all_: wanted <= set(all_) and {argocd.state(all_[name]) for name in wanted} == {state}


def test_one_application_brings_up_the_first_machine(story: Story) -> None:
    """It finds that of the cluster, whose waves go on until CAPV has cloned a VM."""
    assert story.cluster().changed
    assert story.cluster().changed == 0
    label = "cluster.x-k8s.io/control-plane"
    machines = story.management.wait(
        INFRASTRUCTURE,
        "VSphereMachine",
        _SPACE,
        lambda all_: any(
            label in each["metadata"]["labels"] and conditions(each).get("Ready") == "True" for each in all_.values()
        ),
        "a control plane",
    )
    names = story.simulator.govc("find", f"/DC0/vm/{_FOLDER}", "-type", "m")
    assert {path.rpartition("/")[2] for path in names} <= set(machines)
    story.applications(_are({"management", f"{_NAME}-apps"}), "Applications of Applications")


def test_the_cluster_is_registered_from_git(story: Story, workload: Workload) -> None:
    """A rerun finds the login; the addons, which no cluster was there for, come by themselves."""
    waiting = story.applications(lambda all_: f"{_NAME}-cni" in all_, "the Application of the network")
    assert argocd.state(waiting[f"{_NAME}-cni"]) != _FINE
    played = story.cluster()
    assert played.changed
    assert "PRIVATE KEY" not in played.output
    secret = story.registered()
    assert secret["metadata"]["labels"]["argocd.argoproj.io/secret-type"] == "cluster"
    assert base64.b64decode(secret["data"]["name"]).decode() == _NAME
    story.applications(_are({f"{_NAME}-cloud-provider", f"{_NAME}-csi"}), "addons")
    assert workload.kube.get("v1", "ServiceAccount", "cloud-provider", "kube-system")
    assert workload.kube.get("v1", "ConfigMap", "csi", "vmware-system-csi")
    assert story.cluster().changed == 0


def test_the_network_is_healthy_when_its_nodes_are(story: Story, workload: Workload) -> None:
    """As what would run on them says."""
    story.applications(_are({f"{_NAME}-cni"}, ("Synced", "Progressing")), "a network that is coming up")
    network = workload.kube.get("apps/v1", "DaemonSet", "network", _NETWORK_SPACE)
    assert network is not None
    counts = ("currentNumberScheduled", "desiredNumberScheduled", "numberAvailable", "numberReady", "updatedNumberScheduled")
    status = {**dict.fromkeys(counts, 2), "numberMisscheduled": 0, "observedGeneration": network["metadata"]["generation"]}
    workload.kube.patch_status("apps/v1", "DaemonSet", "network", _NETWORK_SPACE, status)
    story.applications(_are({f"{_NAME}-cni"}), "a network")


def test_all_is_synced_and_healthy(story: Story, workload: Workload) -> None:
    """The cluster with all its machines, and what Cluster API has put into it: the logins of the addons."""
    story.applications(lambda all_: {argocd.state(each) for each in all_.values()} == {_FINE} and len(all_) == 6, "all of it")
    assert workload.kube.get("v1", "Secret", "vsphere-cloud-secret", "kube-system")
    assert workload.kube.get("v1", "Secret", "vsphere-config-secret", "vmware-system-csi")
    assert len(workload.kube.list("v1", "Node")) == 2


def test_a_commit_that_is_refused_does_not_stand_in_the_way_of_the_next(story: Story, workload: Workload) -> None:
    """Argo CD tries it again without an end; what the role then writes over it is taken all the same."""
    assert workload.kube.list("v1", "Node")
    path = story.tree / "capi-cluster" / _NAME / "cluster.yaml"
    good = path.read_text(encoding="utf-8")
    # Of the control plane, which comes before the workers. Its webhook refuses an even number.
    path.write_text(good.replace("  replicas: 1\n", "  replicas: 2\n", 1), encoding="utf-8")
    _git(story.tree, "commit", "--quiet", "--all", "-m", "By hand")
    _git(story.tree, "push", "--quiet")
    name = f"{_NAME}-cluster"
    story.applications(lambda all_: (all_[name]["status"].get("operationState") or {}).get("retryCount", 0) > 0, "a retry")
    assert story.cluster(on_edited="overwrite").changed
    assert path.read_text(encoding="utf-8") == good
    story.applications(_are({name}), "the cluster as the role has written it")


def test_a_stale_login_is_renewed_by_a_rerun(story: Story, workload: Workload) -> None:
    """With a certificate that has expired Argo CD loses the cluster. Cluster API renews its own, and the role takes that."""
    stale = workload.authority.issue("stale", "system:masters", expired=True)
    login = {
        "ca": workload.authority.pem.decode(),
        "client_certificate": stale.certificate.read_text(encoding="utf-8"),
        "client_key": stale.key.read_text(encoding="utf-8"),
    }
    assert story.cluster(registration=login).changed
    addons = {f"{_NAME}-cni", f"{_NAME}-cloud-provider", f"{_NAME}-csi"}
    story.applications(lambda all_: all(argocd.state(all_[name])[0] == "Unknown" for name in addons), "addons that are lost")
    _have_it_renewed(story, stale)
    assert story.cluster().changed
    story.applications(_are(addons), "addons with the new login")
    assert story.cluster().changed == 0


def _have_it_renewed(story: Story, stale: Pair) -> None:
    """Put an old certificate where Cluster API keeps its login, and wait until it has made a new one."""
    config = yaml.safe_load(base64.b64decode(story.login()))
    config["users"][0]["user"] = {
        "client-certificate-data": base64.b64encode(stale.certificate.read_bytes()).decode(),
        "client-key-data": base64.b64encode(stale.key.read_bytes()).decode(),
    }
    old = base64.b64encode(yaml.safe_dump(config).encode()).decode()
    name = f"{_NAME}-kubeconfig"
    story.management.patch("v1", "Secret", name, _SPACE, {"data": {"value": old}})
    # It looks when anything happens to the control plane.
    touched = {"metadata": {"annotations": {"example.com/touched": "yes"}}}
    story.management.patch(_CONTROL_PLANE, "KubeadmControlPlane", _NAME, _SPACE, touched)
    story.management.wait("v1", "Secret", _SPACE, lambda all_: all_[name]["data"]["value"] != old, "a login that is renewed")


def test_all_is_removed(story: Story, workload: Workload) -> None:
    """One commit takes it all away: the machines first, the login to the vCenter when nothing needs it any more."""
    assert workload.kube.list("v1", "Node")
    assert story.cluster(state="absent", wait=int(PATIENCE)).changed
    story.applications(lambda all_: set(all_) == {"management"}, "no Application but one")
    story.management.wait("v1", "Secret", _SPACE, lambda all_: not all_, "no Secret in the namespace")
    for api, kind in (
        (_CORE, "Cluster"),
        (_CORE, "Machine"),
        (INFRASTRUCTURE, "VSphereVM"),
        (INFRASTRUCTURE, "VSphereCluster"),
    ):
        assert story.management.list(api, kind, _SPACE) == {}
    # It goes by the garbage collector, after the SealedSecret that owns it.
    gone = f"{_NAME}-registration"
    story.management.wait("v1", "Secret", argocd.NAMESPACE, lambda all_: gone not in all_, "no registration")
    assert not story.simulator.govc("find", f"/DC0/vm/{_FOLDER}", "-type", "m")
