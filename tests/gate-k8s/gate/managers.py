# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The managers of Cluster API and of CAPV: their definitions and webhooks as their makers ship them, on this machine.

In a cluster, kustomize puts their definitions together, and cert-manager makes their certificates. Here definitions and
webhooks are those of the very modules that the programs were built from, with addresses of this machine for services, and
certificates are made here.
"""

from __future__ import annotations

import base64
import copy
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .definitions import documents
from .kube import Document, Kube
from .pki import LOOPBACK, Authority
from .programs import Program, answers, free_port
from .servers import ApiServer

_V1BETA1 = {"cluster.x-k8s.io/v1beta1": "v1beta1"}
_BOTH = {**_V1BETA1, "cluster.x-k8s.io/v1beta2": "v1beta2"}


@dataclass(frozen=True)
class Provider:
    """One manager.

    program: its name. module: of which module of Go it is. definitions, webhooks: folders of its manifests.
    labels: what its kustomization has its definitions say of the contracts that they keep.
    converts: whether it converts between versions. arguments: of its own.
    """

    program: str
    module: str
    definitions: str
    webhooks: str
    labels: dict[str, str]
    converts: bool = True
    arguments: tuple[str, ...] = ()


PROVIDERS = (
    Provider("core", "cluster-api", "core/config/crd/bases", "core/config/webhook", _BOTH),
    Provider("bootstrap", "cluster-api", "bootstrap/kubeadm/config/crd/bases", "bootstrap/kubeadm/config/webhook", _BOTH),
    Provider(
        "control-plane",
        "cluster-api",
        "controlplane/kubeadm/config/crd/bases",
        "controlplane/kubeadm/config/webhook",
        _BOTH,
        # No etcd runs in the simulated machines.
        arguments=("--etcd-dial-timeout-duration=2s", "--etcd-call-timeout-duration=2s"),
    ),
    Provider("capv", "capv", "config/default/crd/bases", "config/govmomi/webhook", _V1BETA1, converts=False),
)


class Manager:
    """A provider at one API server.

    build: the folder with its program and its manifests.
    It is installed before it is started, so that its definitions are there when others start.
    """

    def __init__(self, provider: Provider, build: Path, server: ApiServer) -> None:
        self.provider, self.build, self.server, self.port = provider, build, server, free_port()
        self.folder = server.folder / provider.program
        authority = Authority(self.folder)
        pair = authority.issue("tls", folder=self.folder)
        # The names that controller-runtime looks for.
        assert pair.certificate.name == "tls.crt"
        self._bundle = base64.b64encode(authority.pem).decode()

    def install(self, kube: Kube) -> None:
        """Its definitions. Its webhooks come when it runs."""
        for definition in documents(self.build / "manifests" / self.provider.definitions):
            kube.apply(self._definition(definition))

    def _definition(self, definition: Document) -> Document:
        found = copy.deepcopy(definition)
        found["metadata"].setdefault("labels", {}).update(self.provider.labels)
        found.pop("status", None)
        if self.provider.converts:
            webhook = {"conversionReviewVersions": ["v1"], "clientConfig": self._client("/convert")}
            found["spec"]["conversion"] = {"strategy": "Webhook", "webhook": webhook}
        return found

    def _client(self, path: str) -> Document:
        return {"url": f"https://{LOOPBACK}:{self.port}{path}", "caBundle": self._bundle}

    def start(self) -> Program:
        """Run it; a context manager."""
        health = free_port()
        command: list[str | Path] = [self.build / self.provider.program, "--leader-elect=false", f"--webhook-port={self.port}"]
        command += [f"--webhook-cert-dir={self.folder}", f"--health-addr={LOOPBACK}:{health}"]
        command += [f"--diagnostics-address={LOOPBACK}:{free_port()}", f"--kubeconfig={self.server.kubeconfig}"]
        if self.provider.program == "capv":
            # Of the manager as a whole; each cluster of ours names a Secret of its own.
            nobody = self.folder / "credentials.yaml"
            nobody.write_text('username: ""\npassword: ""\n', encoding="utf-8")
            command.append(f"--credentials-file={nobody}")
        log = self.server.folder / "logs" / f"{self.provider.program}.log"
        return Program([*command, *self.provider.arguments], log, answers(health, "/readyz"), cwd=self.folder)

    def install_webhooks(self, kube: Kube) -> None:
        """Have the API server ask it."""
        for configuration in self._webhooks():
            kube.apply(configuration)

    def _webhooks(self) -> Iterator[Document]:
        for document in documents(self.build / "manifests" / self.provider.webhooks / "manifests.yaml"):
            found = copy.deepcopy(document)
            found["metadata"]["name"] = f"{self.provider.program}-{found['metadata']['name']}"
            for webhook in found["webhooks"]:
                service: dict[str, Any] = webhook["clientConfig"]["service"]
                webhook["clientConfig"] = self._client(service["path"])
                # A version of the review that no API server speaks any more.
                webhook["admissionReviewVersions"] = ["v1"]
            yield found
