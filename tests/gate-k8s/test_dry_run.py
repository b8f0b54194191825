# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Everything that capv_manifests writes, in a strict dry run of a real API server with the makers' own webhooks."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from gate.kube import Document, Kube
from vforge_judge import broken, written

from ansible_collections.vforge.vsphere.plugins.module_utils._capv import secrets
from ansible_collections.vforge.vsphere.plugins.module_utils._capv.model import Cluster, Registration
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.capv.clusters import options

_INFRASTRUCTURE = "infrastructure.cluster.x-k8s.io"


def _served(kube: Kube) -> set[str]:
    found = set()
    for definition in kube.list("apiextensions.k8s.io/v1", "CustomResourceDefinition").values():
        spec = definition["spec"]
        found |= {f"{spec['group']}/{each['name']} {spec['names']['kind']}" for each in spec["versions"] if each["served"]}
    return found


def _parts(kube: Kube) -> tuple[list[Document], list[Document]]:
    """The manifests whose versions are served there, and the others."""
    served = _served(kube)
    here: list[Document] = []
    elsewhere: list[Document] = []
    for document in written():
        (here if f"{document['apiVersion']} {document['kind']}" in served else elsewhere).append(document)
    return here, elsewhere


def _refusals(kube: Kube, manifests: list[Document]) -> list[str]:
    answers = ((each, kube.refused(each)) for each in manifests)
    return [f"{each['apiVersion']} {each['kind']} {each['metadata']['name']}: {answer}" for each, answer in answers if answer]


def test_the_management_cluster_takes_all_of_the_versions_that_it_serves(management: Kube) -> None:
    """Cluster API's own, and CAPV's v1beta1, with the webhooks of both."""
    manifests, others = _parts(management)
    kinds = {f"{each['kind']} {each['apiVersion'].rpartition('/')[2]}" for each in manifests}
    assert {"Cluster v1beta1", "Cluster v1beta2", "VSphereMachineTemplate v1beta1", "KubeadmControlPlane v1beta2"} <= kinds
    assert {each["apiVersion"] for each in others} == {f"{_INFRASTRUCTURE}/v1beta2"}
    assert _refusals(management, manifests) == []


def test_it_sees_what_is_broken_on_purpose(management: Kube) -> None:
    """Or nothing would be proved."""
    mistakes = broken(_parts(management)[0])
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


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"numCPUs": 1}, "spec.template.spec.numCPUs"),
        ({"hardwareVersion": "19"}, "hardwareVersion"),
        ({"cloneMode": "instantClone"}, ""),
    ],
    ids=["one CPU", "hardware version", "clone mode"],
)
def test_what_capv_says_of_machines(management: Kube, change: dict[str, Any], words: str) -> None:
    """Its webhook and its schema: what our own rules refuse before that, and what only ours refuse."""
    manifests, _others = _parts(management)
    machine = copy.deepcopy(next(each for each in manifests if each["kind"] == "VSphereMachineTemplate"))
    machine["spec"]["template"]["spec"].update(change)
    answer = management.refused(machine)
    assert (words in answer) if words else answer == ""


def test_schemas_of_capv_v1beta2_take_theirs(schemas: Kube) -> None:
    """Both versions of CAPV's API, in all forms."""
    manifests, others = _parts(schemas)
    assert f"{_INFRASTRUCTURE}/v1beta2" in {each["apiVersion"] for each in manifests}
    assert others == []
    assert _refusals(schemas, manifests) == []


def test_schemas_of_capv_v1beta2_refuse_what_is_broken(schemas: Kube) -> None:
    """With fields that nobody knows, and without what has to be there."""
    mistakes = [each for each in broken(_parts(schemas)[0]) if _INFRASTRUCTURE in each["apiVersion"]]
    assert mistakes
    assert [each["kind"] for each in mistakes if not schemas.refused(each)] == []
