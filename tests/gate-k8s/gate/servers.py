# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Kubernetes without nodes: etcd, an API server, and of its controllers the garbage collector."""

from __future__ import annotations

import json
from pathlib import Path

from .pki import LOOPBACK, Authority, key_pair
from .programs import Program, answers, free_port

_ADMINISTRATORS = "system:masters"


class Etcd(Program):
    """One etcd without replicas; what is in it goes with its folder."""

    def __init__(self, binaries: Path, folder: Path) -> None:
        self.url = f"http://{LOOPBACK}:{free_port()}"
        peers = f"http://{LOOPBACK}:{free_port()}"
        command: list[str | Path] = [binaries / "etcd", "--data-dir", folder / "etcd", "--name", "gate"]
        command += ["--listen-client-urls", self.url, "--advertise-client-urls", self.url]
        command += ["--listen-peer-urls", peers, "--initial-advertise-peer-urls", peers]
        # What is in it is thrown away: nothing has to be on the disk.
        command += ["--initial-cluster", f"gate={peers}", "--unsafe-no-fsync"]
        port = int(self.url.rpartition(":")[2])
        super().__init__(command, folder / "logs" / "etcd.log", answers(port, "/health"))


class ApiServer(Program):
    """A kube-apiserver on the loopback interface.

    authority: who issues its certificate and those of its clients. port: a free one by default.
    kubeconfig: an administrator's.
    """

    def __init__(self, binaries: Path, folder: Path, etcd: Etcd, authority: Authority, name: str, port: int = 0) -> None:
        self.authority, self.folder, self.port = authority, folder, port or free_port()
        self.url = f"https://{LOOPBACK}:{self.port}"
        serving = authority.issue(f"{name}-serving", folder=folder)
        tokens = key_pair(folder, f"{name}-tokens")
        self.kubeconfig = self.login("administrator")
        command: list[str | Path] = [binaries / "kube-apiserver", "--etcd-servers", etcd.url, "--etcd-prefix", f"/{name}"]
        command += ["--bind-address", LOOPBACK, "--secure-port", str(self.port), "--endpoint-reconciler-type", "none"]
        command += ["--tls-cert-file", serving.certificate, "--tls-private-key-file", serving.key]
        command += ["--client-ca-file", authority.certificate, "--authorization-mode", "RBAC"]
        command += ["--service-account-key-file", tokens.certificate, "--service-account-signing-key-file", tokens.key]
        command += ["--service-account-issuer", "https://kubernetes.default.svc", "--service-cluster-ip-range", "10.96.0.0/12"]
        # No controller makes the accounts that pods would have.
        command += ["--disable-admission-plugins", "ServiceAccount"]
        ready = answers(self.port, "/readyz", authority.certificate)
        super().__init__(command, folder / "logs" / f"{name}.log", ready)

    def login(self, name: str, organization: str = _ADMINISTRATORS) -> Path:
        """A kubeconfig with a client certificate of its own."""
        pair = self.authority.issue(name, organization, self.folder)
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {"name": "gate", "cluster": {"server": self.url, "certificate-authority": str(self.authority.certificate)}}
            ],
            "users": [{"name": name, "user": {"client-certificate": str(pair.certificate), "client-key": str(pair.key)}}],
            "contexts": [{"name": "gate", "context": {"cluster": "gate", "user": name}}],
            "current-context": "gate",
        }
        path = self.folder / f"{name}.kubeconfig"
        path.touch(mode=0o600)
        path.write_text(json.dumps(config), encoding="utf-8")
        return path


class GarbageCollector(Program):
    """Removes what has no owner any more, and what is removed in the foreground when nothing that it owns is left."""

    def __init__(self, binaries: Path, folder: Path, kubeconfig: Path) -> None:
        command: list[str | Path] = [binaries / "garbage-collector", "--kubeconfig", kubeconfig]
        # It says nothing of how far it is. What waits for it is removed when it is.
        super().__init__(command, folder / "logs" / "garbage-collector.log", lambda: True)
