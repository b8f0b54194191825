# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Everything that capv_manifests writes, in a strict dry run of a real API server, without and with the makers' webhooks."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from gate.kube import Document, Kube
from vforge_judge import broken, written

from ansible_collections.vforge.vsphere.plugins.module_utils._capv import secrets
from ansible_collections.vforge.vsphere.plugins.module_utils._capv.model import Cluster, Registration
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.capv.clusters import options

# What is written in two versions.
_TWICE = ("Cluster", "KubeadmControlPlane", "MachineDeployment", "VSphereCluster", "VSphereMachineTemplate")


def _refusals(kube: Kube, manifests: list[Document]) -> list[str]:
    answers = ((each, kube.refused(each)) for each in manifests)
    return [f"{each['apiVersion']} {each['kind']} {each['metadata']['name']}: {answer}" for each, answer in answers if answer]


def test_all_that_is_written_is_taken(management: Kube) -> None:
    """In both versions of both APIs, plain and with all that a machine can have."""
    manifests = written()
    kinds = {(each["kind"], each["apiVersion"].rpartition("/")[2]) for each in manifests}
    assert {(kind, version) for kind in _TWICE for version in ("v1beta1", "v1beta2")} <= kinds
    assert _refusals(management, manifests) == []


def test_what_is_broken_on_purpose_is_refused(management: Kube) -> None:
    """Fields that nobody knows, lacking ones, an argument given twice: or nothing would be proved."""
    mistakes = broken(written())
    assert len(mistakes) >= 10
    assert [each["kind"] for each in mistakes if not management.refused(each)] == []


def test_secrets_are_taken_too(management: Kube) -> None:
    """As they are before they are sealed."""
    cluster = Cluster.from_params(options())
    registered = Registration("ca", "", "", "token")
    files = [secrets.vcenter_secrets(cluster), secrets.registration_secret(cluster, registered)]
    manifests = [document for file in files for document in file.documents]
    assert {each["kind"] for each in manifests} == {"Secret"}
    assert _refusals(management, manifests) == []


def _served(kube: Kube) -> set[str]:
    found = set()
    for definition in kube.list("apiextensions.k8s.io/v1", "CustomResourceDefinition").values():
        spec = definition["spec"]
        found |= {f"{spec['group']}/{each['name']} {spec['names']['kind']}" for each in spec["versions"] if each["served"]}
    return found


def _for(kube: Kube, manifests: list[Document]) -> list[Document]:
    """Those of the versions that are served there."""
    served = _served(kube)
    return [each for each in manifests if f"{each['apiVersion']} {each['kind']}" in served]


def test_webhooks_take_all_of_the_versions_that_they_serve(controllers: Kube) -> None:
    """Those of Cluster API, in both versions, and of CAPV, which serves v1beta1 alone here."""
    manifests = _for(controllers, written())
    kinds = {(each["kind"], each["apiVersion"].rpartition("/")[2]) for each in manifests}
    assert {("Cluster", "v1beta1"), ("Cluster", "v1beta2"), ("KubeadmControlPlane", "v1beta2")} <= kinds
    assert {version for kind, version in kinds if kind.startswith("VSphere")} == {"v1beta1"}
    assert _refusals(controllers, manifests) == []


def test_webhooks_or_schemas_refuse_what_is_broken(controllers: Kube) -> None:
    """The definitions are the makers' own."""
    mistakes = broken(_for(controllers, written()))
    assert len(mistakes) >= 10
    assert [each["kind"] for each in mistakes if not controllers.refused(each)] == []


def _machine(kube: Kube, **change: Any) -> Document:
    """A VSphereMachineTemplate, changed."""
    machine = copy.deepcopy(next(each for each in _for(kube, written()) if each["kind"] == "VSphereMachineTemplate"))
    machine["spec"]["template"]["spec"].update(change)
    return machine


def test_capv_refuses_other_hardware_versions(controllers: Kube) -> None:
    """As the role does before it."""
    assert "hardwareVersion" in controllers.refused(_machine(controllers, hardwareVersion="19"))


@pytest.mark.parametrize("change", [{"numCPUs": 1}, {"cloneMode": "instantClone"}], ids=["one CPU", "clone mode"])
def test_what_only_the_role_refuses(controllers: Kube, change: dict[str, Any]) -> None:
    """CAPV takes one CPU, and makes two; a clone mode that it does not know makes full clones."""
    assert controllers.refused(_machine(controllers, **change)) == ""


def test_capv_has_machines_changed_by_another_template_alone(controllers: Kube) -> None:
    """So the role puts a digest of what is in a template into its name."""
    machine = _machine(controllers)
    controllers.apply(machine)
    assert "immutable" in controllers.refused(_machine(controllers, memoryMiB=16384))
    controllers.delete(machine["apiVersion"], machine["kind"], machine["metadata"]["name"], machine["metadata"]["namespace"])
