# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Options of a cluster, and a Git repository to write it into, for the tests of this folder."""

from __future__ import annotations

import copy
import subprocess
import sys
from pathlib import Path
from typing import Any

PASSWORD = "a-secret-of-capv"  # noqa: S105 (of no vCenter)

CERTIFICATE = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
KEY = "-----BEGIN PRIVATE KEY-----\na-key-of-nobody\n-----END PRIVATE KEY-----\n"

# Stands for kubeseal: what it prints holds nothing of what it was given but names, and is another text each time. What
# else is in the metadata goes to the Secret that comes of it.
SEAL = """
import secrets, sys, yaml
secret = yaml.safe_load(sys.stdin)
meta = secret["metadata"]
sealed = {"apiVersion": "bitnami.com/v1alpha1", "kind": "SealedSecret"}
sealed["metadata"] = {"name": meta["name"], "namespace": meta["namespace"]}
sealed["spec"] = {"encryptedData": {key: secrets.token_hex(40) for key in secret["stringData"]}, "template": {"metadata": meta}}
print(yaml.safe_dump(sealed))
"""

_MACHINE = dict.fromkeys(
    (
        "template",
        "clone_mode",
        "snapshot",
        "cpus",
        "cores_per_socket",
        "memory_mib",
        "disk_gib",
        "hardware_version",
        "datastore",
        "storage_policy",
        "folder",
        "resource_pool",
        "networks",
    )
)

# All that a machine can have.
RICH: dict[str, Any] = {
    "clone_mode": "fullClone",
    "disk_gib": 40,
    "cores_per_socket": 2,
    "cpus": 4,
    "hardware_version": "vmx-19",
    "storage_policy": "gold",
    "folder": "/DC0/vm/k8s",
    "resource_pool": "k8s",
    "networks": [
        {"name": "n", "dhcp4": True, "mtu": 9000, "nameservers": ["10.0.0.1"], "search_domains": ["example.com"]},
        {"name": "yes", "address_pools": [{"api_group": "ipam.cluster.x-k8s.io", "kind": "InClusterIPPool", "name": "p"}]},
    ],
}

OPTIONS: dict[str, Any] = {
    "state": "present",
    "path": "/nowhere",
    "name": "prod",
    "namespace": "default",
    "kubernetes_version": "v1.34.2",
    "cluster_api_version": "v1beta2",
    "infrastructure_version": "v1beta1",
    "vcenter": {"server": "vcenter.example.com", "datacenter": "DC0", "thumbprint": ":".join(["AB"] * 20)},
    "machines": {**_MACHINE, "template": "node", "datastore": "LocalDS_0", "networks": [{"name": "n"}]},
    "control_plane": {"replicas": 3},
    "workers": [{"name": "md-0", "replicas": 50}],
    "endpoint": {
        "host": "10.0.50.40",
        "port": 6443,
        "load_balancer": "kube_vip",
        "image": "ghcr.io/kube-vip/kube-vip:v0.6.4",
    },
    "pod_cidrs": ["192.168.0.0/16"],
    "service_cidrs": [],
    "service_domain": "",
    "ssh_user": "capv",
    "ssh_keys": ["ssh-ed25519 AAAA somebody"],
    "argocd": {"repo_url": "https://git.example.com/c.git", "revision": "HEAD", "namespace": "argocd", "project": "default"},
    "addons": {"cni": {"revision": "v3.30.3"}, "cloud_provider": {"revision": "1.34.0"}, "csi": {"revision": "v3.5.0"}},
    "credentials": {
        "method": "sealed",
        "command": [sys.executable, "-c", SEAL],
        "username": "capv@vsphere.local",
        "password": PASSWORD,
        "revision": "1",
    },
    "registration": None,
    "on_edited": "fail",
    "timeout": 60,
}


def options(**changes: Any) -> dict[str, Any]:
    """The options above with some of them changed; a mapping changes those of its keys that it has."""
    found = copy.deepcopy(OPTIONS)
    for name, value in changes.items():
        if isinstance(value, dict) and isinstance(found.get(name), dict):
            found[name] |= value
        else:
            found[name] = value
    return found


def repository(folder: Path) -> Path:
    """An empty repository in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    git(folder, "init", "-q")
    return folder


def git(folder: Path, *words: str) -> str:
    """What git prints."""
    who = ("-c", "user.name=Nobody", "-c", "user.email=nobody@example.com")
    return subprocess.run(["git", *who, *words], cwd=folder, check=True, capture_output=True, text=True).stdout
