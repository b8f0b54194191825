# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From a node OVA to machines: the role makes the template and the manifests, Cluster API and CAPV make the machines.

The tests of this file are one story, in their order: each goes on where the one before has ended. The manifests are applied
in the order of their waves, as Argo CD does. The user's Secret is put there by hand.
"""

from __future__ import annotations

import base64
import dataclasses
import gzip
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from gate.definitions import documents
from gate.kube import Document, Kube, Objects, conditions
from gate.play import Played, Player
from gate.programs import PATIENCE, free_port
from gate.sealing import SEAL, unsealed
from gate.servers import Etcd
from gate.workload import INFRASTRUCTURE, VERSION, Workload

from vforge_ova import write_package
from vforge_sim import Simulator

_CORE = "cluster.x-k8s.io/v1beta2"
_NAME, _SPACE = "gm", "gate-machines"
_FOLDER, _NODES = "gm-nodes", "/DC0/vm/gm-templates"
_OLD, _NEW = f"gm-node-{VERSION}", "gm-node-next"
_WAVE = "argocd.argoproj.io/sync-wave"


@dataclasses.dataclass
class Story:
    """What the tests of this file share.

    port: of the endpoint of the workload cluster. ova: the node package.
    """

    management: Kube
    simulator: Simulator
    player: Player
    tree: Path
    port: int
    ova: Path

    def template(self, name: str, **more: Any) -> Played:
        """Have the role make a template."""
        where = {"folder": _NODES, "cluster": "DC0_C0", "datastore": "LocalDS_0", "networks": {"front": "VM Network"}}
        return self.player.play(
            "capv_node_template", name=name, source=str(self.ova), hardware_version="vmx-19", **where, **more
        )

    def cluster(self, **more: Any) -> Played:
        """Have the role write the cluster."""
        machines = {
            "template": f"{_NODES}/{_OLD}",
            "datastore": "LocalDS_0",
            "folder": _FOLDER,
            "resource_pool": "DC0_C0_RP1",
            "networks": [{"name": "DC0_DVPG0"}],
        }
        given: dict[str, Any] = {
            "path": str(self.tree),
            "name": _NAME,
            "namespace": _SPACE,
            "kubernetes_version": VERSION,
            "vcenter": {"server": f"{self.simulator.host}:{self.simulator.port}", "datacenter": "DC0"},
            "ca_path": self.simulator.ca,
            "machines": machines,
            "workers": [{"name": "md-0", "replicas": 2}],
            "endpoint": {"host": "127.0.0.1", "port": self.port, "load_balancer": "external"},
            "argocd": {"repo_url": "https://git.example.com/clusters.git"},
            "credentials": {"method": "referenced"},
            "kubeconfig": str(self.management.kubeconfig),
        }
        return self.player.play("capv_cluster", **{**given, **more})

    def apply(self) -> None:
        """Apply the manifests of the cluster, by waves."""
        files = documents(self.tree / "capi-cluster" / _NAME)
        for document in sorted(files, key=lambda each: int(each["metadata"]["annotations"][_WAVE])):
            self.management.apply(document)

    def vm(self, name: str) -> Document:
        """What govc tells of a VM."""
        found: Document = self.simulator.govc("vm.info", "-e", "-r", f"/DC0/vm/{_FOLDER}/{name}")["virtualMachines"][0]
        return found

    def mode(self, name: str) -> str:
        """How CAPV says that it has cloned a VM. It makes a full clone where it finds no snapshot, and is content."""
        found = self.management.get(INFRASTRUCTURE, "VSphereVM", name, _SPACE)
        assert found is not None
        return str(found["status"]["cloneMode"])

    def names(self) -> set[str]:
        """The VMs in the folder of the nodes, as govc sees them."""
        found = self.simulator.govc("find", f"/DC0/vm/{_FOLDER}", "-type", "m")
        return {path.rpartition("/")[2] for path in found or []}


@pytest.fixture(scope="module")
def story(controllers: Kube, simulator: Simulator, player: Player, folder: Path) -> Story:
    """Folders in the vCenter, a Git repository, a namespace."""
    simulator.govc("folder.create", _NODES, f"/DC0/vm/{_FOLDER}")
    tree = folder / "machines-tree"
    subprocess.run(["git", "init", "--quiet", str(tree)], check=True)
    controllers.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": _SPACE}})
    secret = {"name": f"{_NAME}-vcenter", "namespace": _SPACE, "labels": {"cluster.x-k8s.io/cluster-name": _NAME}}
    login = {"username": simulator.username, "password": simulator.password}
    controllers.apply({"apiVersion": "v1", "kind": "Secret", "metadata": secret, "stringData": login})
    package = write_package(folder / "package")
    return Story(controllers, simulator, player, tree, free_port(), package.ova)


@pytest.fixture(scope="module")
def workload(story: Story, binaries: Path, folder: Path, etcd: Etcd) -> Iterator[Workload]:
    """The API server of the cluster, and its kubelets."""
    with Workload(binaries, folder, etcd, story.management, _NAME, _SPACE, story.port) as found:
        yield found


def _up(machine: Document) -> bool:
    """Whether it is ready, and Cluster API knows an address of it."""
    return conditions(machine).get("Ready") == "True" and bool(machine["status"].get("addresses"))


def _ready(machines: Objects) -> bool:
    return all(_up(each) for each in machines.values())


def _pool(machines: Objects) -> Objects:
    """Those of the workers."""
    label = "cluster.x-k8s.io/deployment-name"
    return {name: each for name, each in machines.items() if label in each["metadata"].get("labels", {})}


def _machines(story: Story, workers: int) -> Objects:
    """Wait until there is one node of the control plane, and so many workers, all of them up."""
    return story.management.wait(
        INFRASTRUCTURE,
        "VSphereMachine",
        _SPACE,
        lambda all_: len(all_) == workers + 1 and len(_pool(all_)) == workers and _ready(all_),
        f"a cluster with {workers} workers",
    )


def _first(story: Story) -> str:
    """Wait for the node of the control plane; returns its name. Workers may be waiting for it by then."""
    label = "cluster.x-k8s.io/control-plane"

    def up(all_: Objects) -> Objects:
        return {name: each for name, each in all_.items() if label in each["metadata"]["labels"] and _up(each)}

    found = story.management.wait(INFRASTRUCTURE, "VSphereMachine", _SPACE, lambda all_: len(up(all_)) == 1, "a control plane")
    return next(iter(up(found)))


def test_a_template_for_linked_clones(story: Story) -> None:
    """As the role makes it: a snapshot, no vApp properties, the hardware version."""
    story.template(_OLD)
    found = story.simulator.govc("vm.info", f"{_NODES}/{_OLD}")["virtualMachines"][0]
    assert found["config"]["template"] is True
    assert found["config"]["version"] == "vmx-19"
    assert [each["name"] for each in found["snapshot"]["rootSnapshotList"]] == ["capv"]
    assert story.template(_OLD).changed == 0


def test_the_first_machine_is_as_asked(story: Story) -> None:
    """Cluster API makes one node of the control plane, and CAPV clones it."""
    story.cluster()
    assert story.cluster().changed == 0
    story.apply()
    machine = _first(story)
    vm = story.vm(machine)
    config = vm["config"]
    assert config["version"] == "vmx-19"
    assert (config["hardware"]["numCPU"], config["hardware"]["memoryMB"]) == (2, 8192)
    assert "parent" in _disk(vm)["backing"], "a full clone"
    assert story.mode(machine) == "linkedClone"
    assert vm["runtime"]["powerState"] == "poweredOn"
    assert story.simulator.govc("find", "/DC0", "-type", "m", "-name", machine) == [f"/DC0/vm/{_FOLDER}/{machine}"]
    pool = story.simulator.govc("object.collect", f"/DC0/vm/{_FOLDER}/{machine}", "resourcePool")
    name = story.simulator.govc("object.collect", _moref(pool[0]["val"]), "name")
    assert name[0]["val"] == "DC0_C0_RP1"


def _disk(vm: Document) -> Document:
    """The first disk of a VM."""
    found: Document = next(each for each in vm["config"]["hardware"]["device"] if each.get("capacityInKB"))
    return found


def _moref(value: dict[str, str]) -> str:
    return f"{value['type']}:{value['value']}"


def test_its_network_and_what_cloud_init_is_given(story: Story) -> None:
    """The network card, kubeadm's orders in guestinfo, and the address that Cluster API has of it."""
    machine = _first(story)
    vm = story.vm(machine)
    cards = [each for each in vm["config"]["hardware"]["device"] if "macAddress" in each]
    group = story.simulator.govc("object.collect", "/DC0/network/DC0_DVPG0", "key")[0]["val"]
    assert [card["backing"]["port"]["portgroupKey"] for card in cards] == [group]
    pairs = {each["key"]: each["value"] for each in vm["config"]["extraConfig"]}
    metadata = base64.b64decode(pairs["guestinfo.metadata"]).decode()
    assert machine in metadata
    assert cards[0]["macAddress"] in metadata
    assert "kubeadm init" in _user_data(pairs)
    status = story.management.get(INFRASTRUCTURE, "VSphereMachine", machine, _SPACE)
    assert status is not None
    reported = {address for card in vm["guest"]["net"] for address in card["ipAddress"]}
    assert {each["address"] for each in status["status"]["addresses"]} & reported
    uuid = vm["config"]["uuid"]
    assert status["spec"]["providerID"] == f"vsphere://{uuid}"


def _user_data(pairs: dict[str, str]) -> str:
    data = base64.b64decode(pairs["guestinfo.userdata"])
    return (gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data).decode()


def test_workers_join_when_the_control_plane_is_up(story: Story, workload: Workload) -> None:
    """Once its API server has what kubeadm leaves there."""
    machines = _machines(story, 2)
    assert story.names() == set(machines)
    for worker in _pool(machines):
        pairs = {each["key"]: each["value"] for each in story.vm(worker)["config"]["extraConfig"]}
        assert "kubeadm join" in _user_data(pairs)
    reached = story.management.wait(
        _CORE,
        "MachineDeployment",
        _SPACE,
        lambda all_: all(each.get("status", {}).get("availableReplicas") == 2 for each in all_.values()),
        "workers that are available",
    )
    assert set(reached) == {f"{_NAME}-md-0"}
    assert set(machines) <= set(workload.kube.list("v1", "Node"))


def test_the_role_registers_a_login_that_logs_in(story: Story, folder: Path, workload: Workload) -> None:
    """Out of the Secret that Cluster API keeps it makes one that Argo CD reads; the API server knows the certificate in it."""
    tree, seal = folder / "machines-sealed", folder / "seal-machines.py"
    subprocess.run(["git", "init", "--quiet", str(tree)], check=True)
    seal.write_text(SEAL, encoding="utf-8")
    credentials = {"command": [sys.executable, str(seal)], "username": "capv", "password": "a-secret-of-capv"}
    given = {"path": str(tree), "credentials": credentials}
    played = story.cluster(**given)
    assert "PRIVATE KEY" not in played.output
    login = unsealed(documents(tree / "management" / _NAME / "registration.yaml")[0])
    assert login["server"] == f"https://127.0.0.1:{story.port}"
    config = _kubeconfig(folder / "registered.kubeconfig", login["server"], json.loads(login["config"])["tlsClientConfig"])
    assert set(Kube(config).list("v1", "Node")) == set(workload.kube.list("v1", "Node"))
    assert story.cluster(**given).changed == 0
    waited = story.cluster(**given, wait=10, fails=True).output.partition("fatal: ")[0]
    assert "the condition Available" in waited[-600:], "Cluster API calls another condition so than the role"


def _kubeconfig(path: Path, server: str, login: dict[str, str]) -> Path:
    """The login of a cluster Secret of Argo CD, as other clients read it."""
    user = {"client-certificate-data": login["certData"], "client-key-data": login["keyData"]}
    config = {
        "clusters": [{"name": "gm", "cluster": {"server": server, "certificate-authority-data": login["caData"]}}],
        "users": [{"name": "gm", "user": user}],
        "contexts": [{"name": "gm", "context": {"cluster": "gm", "user": "gm"}}],
        "current-context": "gm",
    }
    path.touch(mode=0o600)
    path.write_text(json.dumps(config), encoding="utf-8")
    return path


@pytest.mark.parametrize("workers", [3, 1], ids=["up", "down"])
def test_workers_are_scaled(story: Story, workload: Workload, workers: int) -> None:
    """As the file in the tree says, and what goes leaves nothing in the vCenter."""
    assert story.cluster(workers=[{"name": "md-0", "replicas": workers}]).changed
    story.apply()
    machines = _machines(story, workers)
    _gone(story, set(machines))
    assert workload.kube.list("v1", "Node")


def _gone(story: Story, left: set[str]) -> None:
    """Wait until CAPV has no other VMs than these, and see that the vCenter has none either."""
    story.management.wait(INFRASTRUCTURE, "VSphereVM", _SPACE, lambda all_: set(all_) == left, f"{left} alone")
    assert story.names() == left


def test_a_new_template_is_rolled(story: Story, workload: Workload) -> None:
    """Workers of the new one come, as full clones with a larger disk here; those of the old one go."""
    story.template(_NEW)
    before = set(_pool(_machines(story, 1)))
    newer = {"name": "md-0", "replicas": 1, "template": f"{_NODES}/{_NEW}", "clone_mode": "fullClone", "disk_gib": 1}
    assert story.cluster(workers=[newer]).changed
    story.apply()
    story.management.wait(
        INFRASTRUCTURE,
        "VSphereMachine",
        _SPACE,
        lambda all_: len(_pool(all_)) == 1 and not before & set(all_) and _ready(all_),
        "a worker of the new template",
    )
    machines = _machines(story, 1)
    worker = next(iter(_pool(machines)))
    assert machines[worker]["spec"]["template"] == f"{_NODES}/{_NEW}"
    assert story.mode(worker) == "fullClone"
    disk = _disk(story.vm(worker))
    assert ("parent" in disk["backing"], disk["capacityInKB"]) == (False, 1024 * 1024)
    _gone(story, set(machines))
    assert workload.kube.list("v1", "Node")


def test_templates_that_machines_refer_to_stay(story: Story) -> None:
    """The old one is still that of the control plane, as the management cluster says."""
    played = story.template(_NEW, kubeconfigs=[str(story.management.kubeconfig)], unused="remove")
    assert "Nothing refers to" not in played.output
    assert _templates(story) == {_OLD, _NEW}


def _templates(story: Story) -> set[str]:
    found = story.simulator.govc("find", _NODES, "-type", "m")
    return {path.rpartition("/")[2] for path in found}


def test_all_is_removed(story: Story, workload: Workload) -> None:
    """The role waits until the Cluster has gone, with all machines. CAPV removes the Secret of its login, whoever made it."""
    story.management.delete(_CORE, "Cluster", _NAME, _SPACE)
    assert story.cluster(state="absent", wait=int(PATIENCE)).changed
    assert story.management.list(_CORE, "Cluster", _SPACE) == {}
    assert story.management.list(INFRASTRUCTURE, "VSphereVM", _SPACE) == {}
    assert story.management.get("v1", "Secret", f"{_NAME}-vcenter", _SPACE) is None
    assert story.names() == set()
    assert workload.kube.list("v1", "Namespace")


def test_guests_were_shut_down(story: Story) -> None:
    """As ``powerOffMode: trySoft`` asks: the five machines that went were not switched off under their guests."""
    calls = story.simulator.calls()["by_method"]
    assert calls["ShutdownGuest"] >= 5
    assert "PowerOffVM_Task" not in calls


def test_templates_that_nothing_refers_to_go(story: Story) -> None:
    """With the last object that names them."""
    for name in story.management.list(INFRASTRUCTURE, "VSphereMachineTemplate", _SPACE):
        document = story.management.get(INFRASTRUCTURE, "VSphereMachineTemplate", name, _SPACE)
        assert document is not None
        if document["spec"]["template"]["spec"]["template"].endswith(_OLD):
            story.management.delete(INFRASTRUCTURE, "VSphereMachineTemplate", name, _SPACE)
    story.template(_NEW, kubeconfigs=[str(story.management.kubeconfig)], unused="remove")
    assert _templates(story) == {_NEW}
