# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The managers of Cluster API and of CAPV: their definitions and webhooks as their makers ship them, on this machine.

In a cluster, kustomize puts their definitions together, and cert-manager their certificates. Here both come from the folders of
the very modules that the programs were built from, with addresses of this machine for services.
"""

from __future__ import annotations

import base64
import copy
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from .kube import Document, Kube
from .pki import LOOPBACK, Authority
from .programs import Program, answers, free_port
from .servers import ApiServer

_V1BETA1 = {"cluster.x-k8s.io/v1beta1": "v1beta1"}
_BOTH = {**_V1BETA1, "cluster.x-k8s.io/v1beta2": "v1beta2"}


@dataclass(frozen=True)
class Provider:
    """One manager.

    program: its name among the binaries. module: of which module of Go it is. definitions, webhooks: folders there.
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


def documents(path: Path) -> list[Document]:
    """The documents of a YAML file, or of all in a folder."""
    files = sorted(path.glob("*.yaml")) if path.is_dir() else [path]
    return [each for file in files for each in yaml.safe_load_all(file.read_text(encoding="utf-8")) if each]


class Manager:
    """A provider at one API server.

    sources: the folders of the modules, by their names.
    It is installed first, so that its definitions are there when others start.
    """

    def __init__(self, provider: Provider, sources: dict[str, Path], server: ApiServer) -> None:
        self.provider, self.server, self.port = provider, server, free_port()
        self.source = sources[provider.module]
        self.folder = server.folder / provider.program
        authority = Authority(self.folder)
        pair = authority.issue("tls", folder=self.folder)
        # The names that controller-runtime looks for.
        assert pair.certificate.name == "tls.crt"
        self._bundle = base64.b64encode(authority.pem).decode()

    def install(self, kube: Kube) -> None:
        """Its definitions. Its webhooks come when it runs."""
        for definition in documents(self.source / self.provider.definitions):
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

    def start(self, binaries: Path) -> Program:
        """Run it; a context manager."""
        health = free_port()
        command: list[str | Path] = [binaries / self.provider.program, "--leader-elect=false", f"--webhook-port={self.port}"]
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
        for document in documents(self.source / self.provider.webhooks / "manifests.yaml"):
            found = copy.deepcopy(document)
            found["metadata"]["name"] = f"{self.provider.program}-{found['metadata']['name']}"
            for webhook in found["webhooks"]:
                service: dict[str, Any] = webhook["clientConfig"]["service"]
                webhook["clientConfig"] = self._client(service["path"])
                # A version of the review that no API server speaks any more.
                webhook["admissionReviewVersions"] = ["v1"]
            yield found
