# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What tests ask of an API server, by the official client."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from kubernetes import config, dynamic
from kubernetes.client.exceptions import ApiException
from kubernetes.dynamic.exceptions import NotFoundError, ResourceNotFoundError

Document = dict[str, Any]

_MANAGER = "gate-k8s"


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

    def patch_status(self, api_version: str, kind: str, name: str, namespace: str, status: Document) -> None:
        """Say how an object is, as its controller would."""
        self.resource(api_version, kind).status.patch(
            body={"status": status}, name=name, namespace=namespace, content_type="application/merge-patch+json"
        )

    def delete(self, api_version: str, kind: str, name: str, namespace: str | None = None) -> None:
        """Have one object removed."""
        self.resource(api_version, kind).delete(name=name, namespace=namespace)
