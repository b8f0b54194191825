# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Everything that capv_manifests writes, in a strict dry run of a real API server."""

from __future__ import annotations

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
