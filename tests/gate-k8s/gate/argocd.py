# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Argo CD's controller and repository server, and what stands for a controller that opens sealed Secrets."""

from __future__ import annotations

import base64
import json
import os
import threading
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

from cryptography.fernet import Fernet
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

from .kube import Document, Kube
from .pki import LOOPBACK
from .programs import Program, free_port, listens
from .servers import ApiServer

NAMESPACE = "argocd"
API = "argoproj.io/v1alpha1"

_PARTS = ("argocd-application-controller", "argocd-repo-server", "redis")
_LABELS = {"app.kubernetes.io/part-of": "argocd"}


class ArgoCd:
    """Argo CD without its web server; a context manager.

    source: its module's folder, with the wrappers of gpg and git that its image has.
    """

    def __init__(self, binaries: Path, source: Path, server: ApiServer) -> None:
        self._binaries, self._source, self._server = binaries, source, server
        self._folder = server.folder / "argocd"
        self._running = ExitStack()

    def settings(self, kube: Kube) -> None:
        """What its installation makes: settings, keys, the project."""
        changes = {"timeout.reconciliation": "5s", "timeout.reconciliation.jitter": "0s"}
        for name, data in (("argocd-cm", changes), ("argocd-rbac-cm", {}), ("argocd-gpg-keys-cm", {})):
            kube.apply(_kept("ConfigMap", name, {"data": data}))
        kube.apply(_kept("Secret", "argocd-secret", {"stringData": {"server.secretkey": "of-a-test"}}))
        anything = {"sourceRepos": ["*"], "destinations": [{"server": "*", "namespace": "*"}]}
        anything["clusterResourceWhitelist"] = [{"group": "*", "kind": "*"}]
        meta = {"name": "default", "namespace": NAMESPACE}
        kube.apply({"apiVersion": API, "kind": "AppProject", "metadata": meta, "spec": anything})

    def __enter__(self) -> ArgoCd:
        self._folder.mkdir()
        for name in _PARTS:
            (self._folder / name).symlink_to(self._binaries / "argocd")
        for script in ("gpg-wrapper.sh", "git-verify-wrapper.sh"):
            copy = self._folder / script
            copy.write_bytes((self._source / "hack" / script).read_bytes())
            copy.chmod(0o755)
        redis, repository = free_port(), free_port()
        try:
            self._run("redis", redis, [f"{LOOPBACK}:{redis}"])
            self._run("argocd-repo-server", repository, self._of_repository(redis, repository))
            metrics = free_port()
            self._run("argocd-application-controller", metrics, self._of_controller(redis, repository, metrics))
        except BaseException:
            self._running.close()
            raise
        return self

    def _of_repository(self, redis: int, port: int) -> list[str]:
        words = [
            "--disable-tls",
            "--revision-cache-expiration=2s",
            f"--redis={LOOPBACK}:{redis}",
            f"--address={LOOPBACK}",
            f"--port={port}",
        ]
        return [*words, f"--metrics-address={LOOPBACK}", f"--metrics-port={free_port()}"]

    def _of_controller(self, redis: int, repository: int, metrics: int) -> list[str]:
        words = ["--repo-server-plaintext", f"--repo-server={LOOPBACK}:{repository}", f"--redis={LOOPBACK}:{redis}"]
        return [*words, f"--metrics-port={metrics}", f"--namespace={NAMESPACE}", "--app-resync=5", "--app-hard-resync=0"]

    def _run(self, name: str, port: int, arguments: list[str]) -> None:
        env = {
            **os.environ,
            "PATH": f"{self._folder}{os.pathsep}{os.environ['PATH']}",
            # Its own switch for a controller outside of the cluster.
            "ARGOCD_FAKE_IN_CLUSTER": "true",
            "KUBECONFIG": str(self._server.kubeconfig),
            "ARGOCD_GPG_ENABLED": "false",
            "ARGOCD_TLS_DATA_PATH": str(self._folder / "tls"),
            "ARGOCD_SSH_DATA_PATH": str(self._folder / "ssh"),
            "ARGOCD_GNUPGHOME": str(self._folder / "gpg"),
            "ARGOCD_PLUGINSOCKFILEPATH": str(self._folder / "plugins"),
            "TMPDIR": str(self._folder),
        }
        log = self._server.folder / "logs" / f"{name}.log"
        self._running.enter_context(Program([self._folder / name, *arguments], log, listens(port), env=env, cwd=self._folder))

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._running.close()


def _kept(kind: str, name: str, content: dict[str, Any]) -> Document:
    meta = {"name": name, "namespace": NAMESPACE, "labels": _LABELS}
    return {"apiVersion": "v1", "kind": kind, "metadata": meta, **content}


# --- sealed Secrets: a stand-in for kubeseal and its controller ---

_GROUP = "gate.vforge.example"
SEALED = f"{_GROUP}/v1"

# The program that a user would have: encrypts what is on its standard input, and prints a manifest.
_SEAL = """\
import base64, json, sys
import yaml
from cryptography.fernet import Fernet
secret = yaml.safe_load(sys.stdin)
sealed = Fernet({key!r}).encrypt(json.dumps(secret).encode()).decode()
meta = secret["metadata"]
print(yaml.safe_dump({{"apiVersion": "{api}", "kind": "Sealed", "metadata": meta, "spec": {{"text": sealed}}}}))
"""

_DEFINITION: Document = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": f"sealeds.{_GROUP}"},
    "spec": {
        "group": _GROUP,
        "names": {"kind": "Sealed", "listKind": "SealedList", "plural": "sealeds", "singular": "sealed"},
        "scope": "Namespaced",
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {"spec": {"type": "object", "properties": {"text": {"type": "string"}}}},
                    }
                },
            }
        ],
    },
}


class Sealing(threading.Thread):
    """Opens sealed Secrets in the management cluster, as their controller does; a context manager.

    command: what seals them, for the option of the role.
    """

    def __init__(self, folder: Path, python: str, server: ApiServer) -> None:
        super().__init__(daemon=True, name="sealing")
        self._fernet = Fernet(key := Fernet.generate_key())
        script = folder / "seal.py"
        script.touch(mode=0o600)
        script.write_text(_SEAL.format(key=key, api=SEALED), encoding="utf-8")
        self.command = [python, str(script)]
        self._kube = Kube(server.kubeconfig)
        self._kube.apply(_DEFINITION)
        self._over = threading.Event()

    def run(self) -> None:
        """Watch until it is over."""
        sealed = self._kube.resource(SEALED, "Sealed")
        while not self._over.is_set():
            try:
                for event in sealed.watch(timeout=3):
                    if event["type"] in ("ADDED", "MODIFIED"):
                        self._open(event["raw_object"])
            except (HTTPError, ApiException):
                self._over.wait(1)

    def _open(self, sealed: Document) -> None:
        if sealed["metadata"].get("deletionTimestamp"):
            return
        secret = json.loads(self._fernet.decrypt(sealed["spec"]["text"].encode()))
        data = {key: base64.b64encode(value.encode()).decode() for key, value in secret.pop("stringData").items()}
        owner = {"apiVersion": SEALED, "kind": "Sealed", "name": sealed["metadata"]["name"], "uid": sealed["metadata"]["uid"]}
        secret["metadata"]["ownerReferences"] = [owner]
        self._kube.apply({**secret, "data": data})

    def __enter__(self) -> Sealing:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._over.set()
        self.join()
