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


@pytest.mark.parametrize(
    ("change", "words"),
    [({"numCPUs": 1}, "numCPUs"), ({"hardwareVersion": "19"}, "hardwareVersion"), ({"cloneMode": "instantClone"}, "")],
    ids=["one CPU", "hardware version", "clone mode"],
)
def test_what_capv_says_of_machines(controllers: Kube, change: dict[str, Any], words: str) -> None:
    """What our own rules refuse before its webhook does, and a clone mode that nobody knows, which it takes."""
    machine = copy.deepcopy(next(each for each in _for(controllers, written()) if each["kind"] == "VSphereMachineTemplate"))
    machine["spec"]["template"]["spec"].update(change)
    answer = controllers.refused(machine)
    assert (words in answer) if words else answer == ""
