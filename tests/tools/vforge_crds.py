# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The schemas of Cluster API, CAPV and Argo CD, and manifests held against them as strictly as an API server can.

`tests/fixtures/crds` has the CustomResourceDefinitions of the releases named in `SOURCES`, without descriptions. This script
makes them again: ``python tests/tools/vforge_crds.py FOLDER...``, each an unpacked release or a checkout. Files of the
projects, which
are under the Apache License 2.0.

Strict is what ``kubectl apply --validate=strict`` is: a field that the schema does not know is an error. Rules in CEL
are not evaluated.
"""

from __future__ import annotations

import functools
import json
import sys
from pathlib import Path
from typing import Any

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures" / "crds"

SOURCES = {
    "cluster.x-k8s.io": "cluster-api 1.14.2",
    "controlplane.cluster.x-k8s.io": "cluster-api 1.14.2",
    "bootstrap.cluster.x-k8s.io": "cluster-api 1.14.2",
    "addons.cluster.x-k8s.io": "cluster-api 1.14.2",
    "infrastructure.cluster.x-k8s.io": "cluster-api-provider-vsphere, main branch at 111a1ba9b (August 2026)",
    "argoproj.io": "argo-cd 3.6.1",
}

_KINDS = {
    "Application",
    "Cluster",
    "ClusterResourceSet",
    "KubeadmConfigTemplate",
    "KubeadmControlPlane",
    "MachineDeployment",
    "VSphereCluster",
    "VSphereMachineTemplate",
}
_OPEN = "x-kubernetes-preserve-unknown-fields"


def compact(value: Any, *, names: bool = False) -> Any:
    """A schema without what only people read. names: whether the keys are names of fields, all of which stay."""
    if isinstance(value, dict):
        return {
            key: compact(item, names=key == "properties" and not names)
            for key, item in value.items()
            if names or key not in ("description", "default")
        }
    if isinstance(value, list):
        return [compact(item) for item in value]
    return value


def extract(folder: Path) -> None:
    """Write the fixtures of a release: a file for each kind, with the schemas by version."""
    import yaml

    for path in sorted([*folder.rglob("crd/bases/*.yaml"), *folder.rglob("application-crd.yaml")]):
        crd = yaml.safe_load(path.read_text(encoding="utf-8"))
        kind, group = crd["spec"]["names"]["kind"], crd["spec"]["group"]
        if kind not in _KINDS or group not in SOURCES:
            continue
        served = [version for version in crd["spec"]["versions"] if version["served"]]
        schemas = {version["name"]: compact(version["schema"]["openAPIV3Schema"]) for version in served}
        text = json.dumps({"group": group, "kind": kind, "schemas": schemas}, separators=(",", ":"), sort_keys=True)
        (FIXTURES / f"{kind}.json").write_text(text + "\n", encoding="utf-8")


def strict(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema of OpenAPI as one of JSON Schema that knows all fields."""
    found = {key: item for key, item in schema.items() if not key.startswith("x-") and key not in ("format", "nullable")}
    if schema.get("x-kubernetes-int-or-string"):
        return {"type": ["integer", "string"]}
    if "properties" in schema:
        found["properties"] = {name: strict(item) for name, item in schema["properties"].items()}
    if isinstance(schema.get("additionalProperties"), dict):
        found["additionalProperties"] = strict(schema["additionalProperties"])
    elif schema.get("type") == "object" and not schema.get(_OPEN) and "properties" in schema:
        found["additionalProperties"] = False
    if isinstance(schema.get("items"), dict):
        found["items"] = strict(schema["items"])
    # Of these only conditions are in the CRDs, no fields of their own.
    for word in ("allOf", "anyOf", "oneOf", "not"):
        found.pop(word, None)
    return found


@functools.cache
def _validator(kind: str, version: str) -> Any:
    import jsonschema

    kept = json.loads((FIXTURES / f"{kind}.json").read_text(encoding="utf-8"))
    schema = strict(kept["schemas"][version])
    schema["properties"]["metadata"] = {"type": "object"}
    return kept["group"], jsonschema.Draft202012Validator(schema)


def errors(document: dict[str, Any]) -> list[str]:
    """What an API server would refuse of a manifest, by path; KeyError where it does not serve its version."""
    group, _slash, version = document["apiVersion"].rpartition("/")
    wanted, validator = _validator(document["kind"], version)
    found = [] if group == wanted else [f"apiVersion: {document['kind']} is of {wanted}"]
    found += [f"{error.json_path}: {error.message[:200]}" for error in validator.iter_errors(document)]
    return sorted(found)


if __name__ == "__main__":
    FIXTURES.mkdir(exist_ok=True)
    for given in sys.argv[1:]:
        extract(Path(given))
