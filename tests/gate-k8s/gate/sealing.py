# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Plays Sealed Secrets: a command in the place of kubeseal, whose text can be read again, and what its controller does."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Any

from urllib3.exceptions import HTTPError

from .kube import Document, Kube

_GROUP, _VERSION, _KIND = "bitnami.com", "v1alpha1", "SealedSecret"

# As kubeseal it leaves the SealedSecret itself only its name: labels and annotations are those of the Secret that it becomes.
SEAL = """
import sys, yaml
secret = yaml.safe_load(sys.stdin)
meta = secret["metadata"]
sealed = {"apiVersion": "bitnami.com/v1alpha1", "kind": "SealedSecret"}
sealed["metadata"] = {"name": meta["name"], "namespace": meta["namespace"]}
sealed["spec"] = {
    "encryptedData": {key: value.encode().hex() for key, value in secret["stringData"].items()},
    "template": {"metadata": meta, "type": secret["type"]},
}
print(yaml.safe_dump(sealed))
"""


def unsealed(sealed: Document) -> dict[str, str]:
    """What is in a SealedSecret of ``SEAL``."""
    return {key: bytes.fromhex(value).decode() for key, value in sealed["spec"]["encryptedData"].items()}


def definition() -> Document:
    """Of SealedSecret."""
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": _VERSION, "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    plural = f"{_KIND.lower()}s"
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{_GROUP}"},
        "spec": {
            "group": _GROUP,
            "names": {"kind": _KIND, "listKind": f"{_KIND}List", "plural": plural, "singular": _KIND.lower()},
            "scope": "Namespaced",
            "versions": [{**version, "subresources": {"status": {}}}],
        },
    }


class Controller(threading.Thread):
    """Makes a Secret of each SealedSecret, which owns it; a context manager."""

    def __init__(self, kube: Kube) -> None:
        super().__init__(daemon=True, name="sealed-secrets")
        self._kube = Kube(kube.kubeconfig)
        self._sealed = self._kube.resource(f"{_GROUP}/{_VERSION}", _KIND)
        self._over = threading.Event()

    def __enter__(self) -> Controller:
        self.start()
        return self

    def run(self) -> None:
        """Watch until it is over. A watch that breaks off is taken up again."""
        while not self._over.is_set():
            try:
                for event in self._sealed.watch(timeout=5):
                    if self._over.is_set():
                        return
                    if event["type"] != "DELETED":
                        self._seen(event["raw_object"])
            except HTTPError:
                self._over.wait(1)

    def _seen(self, sealed: dict[str, Any]) -> None:
        meta = sealed["metadata"]
        if meta.get("deletionTimestamp") or (sealed.get("status") or {}).get("observedGeneration") == meta["generation"]:
            return
        owner = {"apiVersion": sealed["apiVersion"], "kind": _KIND, "name": meta["name"], "uid": meta["uid"]}
        template = sealed["spec"]["template"]
        self._kube.apply(
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {**template["metadata"], "ownerReferences": [{**owner, "controller": True}]},
                "type": template["type"],
                "stringData": unsealed(sealed),
            }
        )
        status = {"observedGeneration": meta["generation"], "conditions": [{"type": "Synced", "status": "True", "message": ""}]}
        self._kube.patch_status(sealed["apiVersion"], _KIND, meta["name"], meta["namespace"], status)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._over.set()
        self.join()
