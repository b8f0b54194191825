# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Holds what capv_manifests writes against the schemas of Cluster API, CAPV and Argo CD, by the code of an API server.

``python vforge_judge.py JUDGE``, with the path of the program that tests/judge is built to. In forms v1beta1 and v1beta2
of both APIs,
plain and with everything that a machine can have. What is broken on purpose has to be seen, or the judge sees nothing.
"""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from typing import Any

from vforge_crds import FIXTURES

from ansible_collections.vforge.vsphere.plugins.module_utils._capv import applications, manifests
from ansible_collections.vforge.vsphere.plugins.module_utils._capv.model import Cluster
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.capv.clusters import RICH, options

_APIS = ("v1beta1", "v1beta2")

# A field of each that it cannot be without.
_BREAKS: dict[str, tuple[str, ...]] = {
    "KubeadmControlPlane": ("spec", "version"),
    "MachineDeployment": ("spec", "clusterName"),
    "VSphereMachineTemplate": ("spec", "template", "spec", "network"),
    "Application": ("spec", "destination"),
}


def written() -> list[dict[str, Any]]:
    """All manifests without secrets of clusters in all forms."""
    found: list[dict[str, Any]] = []
    for core in _APIS:
        for infrastructure in _APIS:
            for machines in ({}, RICH):
                found += _cluster(cluster_api_version=core, infrastructure_version=infrastructure, machines=machines)
    return found


def _cluster(**changes: Any) -> list[dict[str, Any]]:
    more = {"service_cidrs": ["10.96.0.0/12"], "service_domain": "cluster.local"}
    workers = [{"name": "md-0", "replicas": 2}, {"name": "md-1", "failure_domain": "zone-a"}]
    cluster = Cluster.from_params(options(**more, workers=workers, **changes))
    found = manifests.cluster_documents(cluster)
    found += [applications.addon_application(cluster, name, addon) for name, addon in cluster.addons.items()]
    found += [applications.cluster_application(cluster, "k8s/"), applications.apps_application(cluster, "k8s/")]
    return [*found, applications.management_application(cluster.argocd, "k8s/")]


def broken(documents: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One manifest of each kind with a field that nobody knows, and ones that lack or repeat something."""
    found = []
    for document in {document["kind"]: document for document in documents}.values():
        found.append({**copy.deepcopy(document), "spec": {**document["spec"], "speling": 1}})
        if path := _BREAKS.get(document["kind"]):
            lacking = copy.deepcopy(document)
            at = lacking
            for key in path[:-1]:
                at = at[key]
            del at[path[-1]]
            found.append(lacking)
    return [*found, _argument_twice(documents)]


def _argument_twice(documents: list[dict[str, Any]]) -> dict[str, Any]:
    """A control plane in the form v1beta2 with an argument given twice, which only a rule in CEL refuses."""
    found = copy.deepcopy(next(each for each in documents if each["apiVersion"] == "controlplane.cluster.x-k8s.io/v1beta2"))
    arguments = found["spec"]["kubeadmConfigSpec"]["clusterConfiguration"]["controllerManager"]["extraArgs"]
    arguments.append(dict(arguments[0], value="internal"))
    return found


def judged(program: str, documents: list[dict[str, Any]]) -> list[list[str]]:
    """What an API server would refuse of each."""
    command = [program, *map(str, sorted(FIXTURES.glob("*.json")))]
    ran = subprocess.run(command, input=json.dumps(documents), capture_output=True, text=True, check=True)
    answer: list[list[str]] = json.loads(ran.stdout)
    return answer


def main(program: str) -> int:
    """Judge all; returns the exit code."""
    documents = written()
    wrong = [(document, errors) for document, errors in zip(documents, judged(program, documents), strict=True) if errors]
    for document, errors in wrong:
        print(f"{document['kind']} {document['apiVersion']}: {'; '.join(errors)}")
    mistakes = broken(documents)
    unseen = [document for document, errors in zip(mistakes, judged(program, mistakes), strict=True) if not errors]
    for document in unseen:
        print(f"a {document['kind']} that was broken on purpose is taken")
    print(f"{len(documents)} manifests: {len(wrong)} refused; {len(mistakes)} broken ones: {len(unseen)} taken")
    return 1 if wrong or unseen else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
