# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Argo CD without its user interface: the cache, the server of repositories, and the controller of Applications."""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from .definitions import documents
from .kube import Document, Kube, Objects, conditions
from .pki import LOOPBACK
from .programs import Program, answers, free_port

NAMESPACE = "argocd"
API = "argoproj.io/v1alpha1"
_MANIFESTS = "manifests/crds"

# A script that the server of repositories calls, whether signatures of commits count or not.
_SCRIPTS = "hack"

# What installing it leaves in its namespace: settings, a key, and the project that its own API server makes.
_SETTINGS = {"namespace": NAMESPACE, "labels": {"app.kubernetes.io/part-of": NAMESPACE}}
_INSTALLED: tuple[Document, ...] = (
    {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
    {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "argocd-cm", **_SETTINGS}},
    {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "argocd-secret", **_SETTINGS},
        "stringData": {"server.secretkey": "of-nobody"},
    },
    {
        "apiVersion": API,
        "kind": "AppProject",
        "metadata": {"name": "default", "namespace": NAMESPACE},
        "spec": {
            "sourceRepos": ["*"],
            "destinations": [{"server": "*", "namespace": "*"}],
            "clusterResourceWhitelist": [{"group": "*", "kind": "*"}],
        },
    },
)


def install(kube: Kube, build: Path) -> None:
    """Its definitions, and what it cannot start without."""
    found = [each for each in documents(build / "manifests" / _MANIFESTS) if each["kind"] == "CustomResourceDefinition"]
    kube.apply_all(found)
    names = {each["metadata"]["name"] for each in found}
    kube.wait(found[0]["apiVersion"], found[0]["kind"], None, lambda all_: names <= _served(all_), "its definitions")
    kube.apply_all(_INSTALLED)


def _served(definitions: Objects) -> set[str]:
    return {name for name, each in definitions.items() if conditions(each).get("Established") == "True"}


@contextmanager
def running(build: Path, folder: Path, kube: Kube) -> Iterator[Program]:
    """All its parts, at one API server; the controller.

    It looks into repositories every ten seconds, where it would do so every two minutes.
    """
    program = build / "argocd"
    folder.mkdir()
    cache, manifests = free_port(), free_port()
    env = {
        **os.environ,
        # Makes of the address that Applications have of their own cluster the one that this kubeconfig has.
        "ARGOCD_FAKE_IN_CLUSTER": "true",
        "ARGOCD_GPG_ENABLED": "false",
        "KUBECONFIG": str(kube.kubeconfig),
        "TMPDIR": str(folder),
        "PATH": os.pathsep.join((str(build / "manifests" / _SCRIPTS), os.environ["PATH"])),
    }
    redis = ["--redis", f"{LOOPBACK}:{cache}"]

    def start(name: str, arguments: list[str], ready: Callable[[], bool]) -> Program:
        return Program([program, name, *arguments], folder.parent / "logs" / f"{name}.log", ready, env)

    with ExitStack() as parts:
        # The name of a socket has to be short.
        env["ARGOCD_ASK_PASS_SOCK"] = f"{parts.enter_context(tempfile.TemporaryDirectory())}/ask-pass.sock"
        parts.enter_context(start("cache", [f"{LOOPBACK}:{cache}"], _listens(cache)))
        health = free_port()
        # Without TLS it refuses authorities of clients, of which it has some by default.
        arguments = [*redis, "--disable-tls", "--client-ca-path", "", "--address", LOOPBACK, "--port", str(manifests)]
        arguments += ["--metrics-address", LOOPBACK, "--metrics-port", str(health), "--revision-cache-expiration", "5s"]
        parts.enter_context(start("argocd-repo-server", arguments, answers(health, "/healthz?full=true")))
        health = free_port()
        arguments = [*redis, "--repo-server", f"{LOOPBACK}:{manifests}", "--repo-server-plaintext", "--namespace", NAMESPACE]
        arguments += ["--metrics-port", str(health), "--app-resync", "10", "--app-resync-jitter", "0"]
        yield parts.enter_context(start("argocd-application-controller", arguments, answers(health, "/healthz")))


def _listens(port: int) -> Callable[[], bool]:
    """Whether somebody takes connections there."""

    def ready() -> bool:
        try:
            socket.create_connection((LOOPBACK, port), timeout=5).close()
        except OSError:
            return False
        return True

    return ready


def state(application: Document) -> tuple[str, str]:
    """Whether an Application is Synced, and whether Healthy, as it says itself."""
    status = application.get("status") or {}
    return (status.get("sync") or {}).get("status", ""), (status.get("health") or {}).get("status", "")
