# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a workload cluster has besides machines: the parts that kubeadm and kubelets play, which no simulated guest runs.

Its API server is a real one, with the certificate authority that Cluster API has made for it. What kubeadm would leave in
it, and a Node for each machine that CAPV has brought up, are put there by this.
"""

from __future__ import annotations

import base64
import threading
from pathlib import Path
from types import TracebackType
from typing import Any

from urllib3.exceptions import HTTPError

from .kube import Kube
from .pki import Authority
from .servers import ApiServer, Etcd

INFRASTRUCTURE = "infrastructure.cluster.x-k8s.io/v1beta1"

# Of Kubernetes in the workload clusters.
VERSION = "v1.34.2"

_KUBEADM = f"""\
apiVersion: kubeadm.k8s.io/v1beta4
kind: ClusterConfiguration
kubernetesVersion: {VERSION}
"""


class Workload:
    """The API server of a workload cluster; a context manager, which brings it up when Cluster API has made its authority.

    name, namespace: of the cluster in the management cluster. port: of its endpoint.
    """

    def __init__(
        self, binaries: Path, folder: Path, etcd: Etcd, management: Kube, name: str, namespace: str, port: int
    ) -> None:
        self.management, self.name, self.namespace = management, name, namespace
        self._binaries, self._folder, self._etcd, self._port = binaries, folder / name, etcd, port
        self._server: ApiServer | None = None
        self._nodes: Nodes | None = None

    def __enter__(self) -> Workload:
        secret = f"{self.name}-ca"
        found = self.management.wait("v1", "Secret", self.namespace, lambda all_: secret in all_, f"the Secret {secret}")
        data = found[secret]["data"]
        pem = base64.b64decode(data["tls.crt"]), base64.b64decode(data["tls.key"])
        self.authority = Authority(self._folder, pem)
        self._server = ApiServer(self._binaries, self._folder, self._etcd, self.authority, self.name, self._port)
        try:
            self.kube = Kube(self._server.kubeconfig)
            self._kubeadm()
            self._nodes = Nodes(self.management, self.namespace, self.kube)
        except BaseException:
            self._server.stop()
            raise
        return self

    def _kubeadm(self) -> None:
        meta = {"name": "kubeadm-config", "namespace": "kube-system"}
        data = {"ClusterConfiguration": _KUBEADM}
        self.kube.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data})

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._nodes is not None:
            self._nodes.stop()
        if self._server is not None:
            self._server.stop()


class Nodes(threading.Thread):
    """Plays the kubelets: a Node for each VSphereMachine that has its provider ID."""

    def __init__(self, management: Kube, namespace: str, workload: Kube) -> None:
        super().__init__(daemon=True, name="kubelets")
        self._machines = Kube(management.kubeconfig).resource(INFRASTRUCTURE, "VSphereMachine")
        self._namespace, self._workload = namespace, workload
        self._over = threading.Event()
        self.start()

    def run(self) -> None:
        """Watch until it is over. A watch that breaks off is taken up again."""
        while not self._over.is_set():
            try:
                for event in self._machines.watch(namespace=self._namespace, timeout=5):
                    if self._over.is_set():
                        return
                    if event["type"] != "DELETED":
                        self._seen(event["raw_object"])
            except HTTPError:
                self._over.wait(1)

    def _seen(self, machine: dict[str, Any]) -> None:
        provider = machine["spec"].get("providerID")
        name = machine["metadata"]["name"]
        if not provider or machine["metadata"].get("deletionTimestamp") or self._workload.get("v1", "Node", name):
            return
        labels = {}
        if "cluster.x-k8s.io/control-plane" in machine["metadata"].get("labels", {}):
            labels["node-role.kubernetes.io/control-plane"] = ""
        meta = {"name": name, "labels": labels}
        self._workload.apply({"apiVersion": "v1", "kind": "Node", "metadata": meta, "spec": {"providerID": provider}})
        fine = {"MemoryPressure": "False", "DiskPressure": "False", "PIDPressure": "False", "Ready": "True"}
        status = [{"type": kind, "status": value, "reason": "Kubelet", "message": ""} for kind, value in fine.items()]
        info = dict.fromkeys(
            ("machineID", "systemUUID", "bootID", "kernelVersion", "osImage", "containerRuntimeVersion", "kubeProxyVersion"), ""
        )
        info |= {"operatingSystem": "linux", "architecture": "amd64", "kubeletVersion": VERSION}
        self._workload.resource("v1", "Node").status.patch(
            body={"status": {"conditions": status, "nodeInfo": info}},
            name=name,
            content_type="application/merge-patch+json",
        )

    def stop(self) -> None:
        """End it, and wait for it."""
        self._over.set()
        self.join()
