# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What tests ask of an API server, by the official client: apply, look, and wait for what happens."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from kubernetes import config, dynamic
from kubernetes.client.exceptions import ApiException
from kubernetes.dynamic.exceptions import NotFoundError, ResourceNotFoundError

from .programs import PATIENCE

Document = dict[str, Any]
Objects = dict[str, Document]

_MANAGER = "gate-k8s"


class NotReached(AssertionError):
    """What was waited for did not come about in time."""


class Kube:
    """One API server. kubeconfig: how to log in to it."""

    def __init__(self, kubeconfig: Path) -> None:
        self.kubeconfig = kubeconfig
        self.client = dynamic.DynamicClient(config.new_client_from_config(str(kubeconfig)))

    def resource(self, api_version: str, kind: str) -> Any:
        """How a kind of objects is reached."""
        try:
            return self.client.resources.get(api_version=api_version, kind=kind)
        except ResourceNotFoundError:
            # A definition that has just been made.
            self.client.resources.invalidate_cache()
            return self.client.resources.get(api_version=api_version, kind=kind)

    def apply(self, document: Document, *, dry_run: bool = False) -> Document:
        """Apply it on the server's side, refusing fields that its schema does not know.

        Raises ApiException: what the server, or a webhook, refuses.
        """
        query = [("fieldManager", _MANAGER), ("fieldValidation", "Strict"), ("force", True)]
        if dry_run:
            query.append(("dryRun", "All"))
        resource = self.resource(document["apiVersion"], document["kind"])
        namespace = document["metadata"].get("namespace")
        path = resource.path(name=document["metadata"]["name"], namespace=namespace)
        answer = self.client.request(
            "patch", path, body=document, query_params=query, content_type="application/apply-patch+yaml"
        )
        found: Document = answer.to_dict()
        return found

    def apply_all(self, documents: Iterable[Document]) -> None:
        """Apply them in their order."""
        for document in documents:
            self.apply(document)

    def refused(self, document: Document) -> str:
        """What the server says against a document in a strict dry run; empty where it takes it."""
        try:
            self.apply(document, dry_run=True)
        except ApiException as error:
            return str(error.body or error.reason)
        return ""

    def get(self, api_version: str, kind: str, name: str, namespace: str | None = None) -> Document | None:
        """One object; None where there is none."""
        try:
            found: Document = self.resource(api_version, kind).get(name=name, namespace=namespace).to_dict()
        except NotFoundError:
            return None
        return found

    def list(self, api_version: str, kind: str, namespace: str | None = None) -> Objects:
        """All of a kind, by their names."""
        listing = self.resource(api_version, kind).get(namespace=namespace).to_dict()
        return {item["metadata"]["name"]: item for item in listing["items"]}

    def patch_status(self, api_version: str, kind: str, name: str, namespace: str, status: Document) -> None:
        """Say how an object is, as its controller would."""
        self.resource(api_version, kind).status.patch(
            body={"status": status}, name=name, namespace=namespace, content_type="application/merge-patch+json"
        )

    def patch(self, api_version: str, kind: str, name: str, namespace: str, change: Document) -> None:
        """Change a part of an object."""
        self.resource(api_version, kind).patch(
            body=change, name=name, namespace=namespace, content_type="application/merge-patch+json"
        )

    def delete(self, api_version: str, kind: str, name: str, namespace: str | None = None) -> None:
        """Have one object removed."""
        self.resource(api_version, kind).delete(name=name, namespace=namespace)

    def wait(
        self,
        api_version: str,
        kind: str,
        namespace: str | None,
        reached: Callable[[Objects], bool],
        what: str,
        seconds: float = PATIENCE,
    ) -> Objects:
        """Watch all of a kind in a namespace until they are as they should be; returns them.

        Raises NotReached: with ``what``, and how they are now.
        """
        resource = self.resource(api_version, kind)
        deadline = time.monotonic() + seconds
        while True:
            listing = resource.get(namespace=namespace).to_dict()
            found: Objects = {item["metadata"]["name"]: item for item in listing["items"]}
            if reached(found):
                return found
            left = int(deadline - time.monotonic())
            if left <= 0:
                raise NotReached(f"{what} was not reached in {seconds:.0f} s: {_states(found)}")
            version = listing["metadata"]["resourceVersion"]
            for event in resource.watch(namespace=namespace, resource_version=version, timeout=min(left, 60)):
                _take(found, event)
                if reached(found):
                    return found


def _take(found: Objects, event: Any) -> None:
    raw = event["raw_object"]
    if event["type"] == "DELETED":
        found.pop(raw["metadata"]["name"], None)
    elif event["type"] in ("ADDED", "MODIFIED"):
        found[raw["metadata"]["name"]] = raw


def conditions(document: Document) -> dict[str, str]:
    """The status of each condition of an object; of two of the same type the one in the form of v1beta2."""
    status = document.get("status") or {}
    listed = [*(status.get("conditions") or []), *((status.get("v1beta2") or {}).get("conditions") or [])]
    return {each["type"]: each["status"] for each in listed}


def _states(found: Objects) -> str:
    """How objects are, for a message."""
    lines = []
    for name, item in found.items():
        status = item.get("status") or {}
        wrong = [
            f"{each['type']}: {each.get('reason')}: {each.get('message')}"
            for each in status.get("conditions") or []
            if each.get("status") != "True"
        ]
        operation = status.get("operationState") or {}
        states = (status.get("phase"), (status.get("sync") or {}).get("status"), (status.get("health") or {}).get("status"))
        said = " ".join(filter(None, (*states, operation.get("phase"), operation.get("message"))))
        lines.append(f"{item['kind']} {name} {said} {'; '.join(wrong)}"[:1500])
    return "\n".join(lines) or "there is none"
