# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The definitions of Cluster API, CAPV and Argo CD that an API server is given."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from vforge_crds import FIXTURES

from .kube import Document

# Kinds that the roles only read: what is in them is not held against anything.
_READ = ("VSphereMachine", "VSphereVM")
_ANYTHING = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


def documents(path: Path) -> list[Document]:
    """The documents of a YAML file, or of all in a folder."""
    files = sorted(path.glob("*.yaml")) if path.is_dir() else [path]
    return [each for file in files for each in yaml.safe_load_all(file.read_text(encoding="utf-8")) if each]


def definitions() -> Iterator[Document]:
    """Of all kinds that the roles write but Secrets, as ``tests/fixtures/crds`` has the schemas of the makers' releases."""
    for path in sorted(FIXTURES.glob("*.json")):
        yield _definition(json.loads(path.read_text(encoding="utf-8")))
    for kind in _READ:
        schemas = {"v1beta1": _ANYTHING, "v1beta2": _ANYTHING}
        yield _definition({"group": "infrastructure.cluster.x-k8s.io", "kind": kind, "schemas": schemas})


def _definition(kept: dict[str, Any]) -> Document:
    """A definition of the schemas that are kept of it."""
    kind = kept["kind"]
    plural = f"{kind.lower()}s"
    newest = max(kept["schemas"])
    versions = [
        {
            "name": version,
            "served": True,
            "storage": version == newest,
            "schema": {"openAPIV3Schema": schema},
            "subresources": {"status": {}},
        }
        for version, schema in sorted(kept["schemas"].items())
    ]
    names = {"kind": kind, "listKind": f"{kind}List", "plural": plural, "singular": kind.lower()}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{kept['group']}"},
        "spec": {"group": kept["group"], "names": names, "scope": "Namespaced", "versions": versions},
    }
