# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes the manifests of a workload cluster into a Git working tree, on the controller."""

from __future__ import annotations

import typing as t

from ansible_collections.vforge.vsphere.plugins.module_utils import _argspec
from ansible_collections.vforge.vsphere.plugins.module_utils._capv import task
from ansible_collections.vforge.vsphere.plugins.module_utils._errors import InvalidOption, VforgeError
from ansible_collections.vforge.vsphere.plugins.plugin_utils.controller_action import ControllerAction

Spec = dict[str, dict[str, t.Any]]

_TEXT = {"type": "str"}
_TEXTS = {"type": "list", "elements": "str"}
_NUMBER = {"type": "int"}

_POOL: Spec = {
    "api_group": {"type": "str", "default": "ipam.cluster.x-k8s.io"},
    "kind": {"type": "str", "default": "InClusterIPPool"},
    "name": {"type": "str", "required": True},
}
_NETWORK: Spec = {
    "name": {"type": "str", "required": True},
    "dhcp4": {"type": "bool"},
    "dhcp6": {"type": "bool"},
    "nameservers": _TEXTS,
    "search_domains": _TEXTS,
    "mtu": _NUMBER,
    "address_pools": {"type": "list", "elements": "dict", "options": _POOL},
}
_MACHINE: Spec = {
    "template": _TEXT,
    "clone_mode": {"type": "str", "choices": ["linkedClone", "fullClone"]},
    "snapshot": _TEXT,
    "cpus": _NUMBER,
    "cores_per_socket": _NUMBER,
    "memory_mib": _NUMBER,
    "disk_gib": _NUMBER,
    "hardware_version": _TEXT,
    "datastore": _TEXT,
    "storage_policy": _TEXT,
    "folder": _TEXT,
    "resource_pool": _TEXT,
    "networks": {"type": "list", "elements": "dict", "options": _NETWORK},
}
_ADDON: Spec = {
    "revision": {"type": "str", "required": True},
    "repo_url": _TEXT,
    "chart": _TEXT,
    "path": _TEXT,
    "namespace": _TEXT,
    "values": {"type": "dict"},
}
_VCENTER: Spec = {
    "server": {"type": "str", "required": True},
    "datacenter": {"type": "str", "required": True},
    "thumbprint": _TEXT,
    "insecure": {"type": "bool", "default": False},
}
_WORKERS: Spec = {"name": {"type": "str", "required": True}, "replicas": _NUMBER, "failure_domain": _TEXT, **_MACHINE}
_ENDPOINT: Spec = {
    "host": {"type": "str", "required": True},
    "port": {"type": "int", "default": 6443},
    "load_balancer": {"type": "str", "choices": ["kube_vip", "external"], "default": "kube_vip"},
    "interface": _TEXT,
    "image": {"type": "str", "default": "ghcr.io/kube-vip/kube-vip:v0.6.4"},
}
_ARGOCD: Spec = {
    "repo_url": {"type": "str", "required": True},
    "revision": {"type": "str", "default": "HEAD"},
    "namespace": {"type": "str", "default": "argocd"},
    "project": {"type": "str", "default": "default"},
}
_CREDENTIALS: Spec = {
    "method": {"type": "str", "choices": ["sealed", "referenced"], "default": "sealed"},
    "command": _TEXTS,
    "username": _TEXT,
    # Not no_log: a password may be a word, which ansible-core 2.22 would look for in all that the run still shows.
    "password": {"type": "str", "no_log": False},
    "revision": {"type": "str", "default": "1", "no_log": False},
}
_REGISTRATION: Spec = {
    "ca": {"type": "str", "required": True},
    "client_certificate": _TEXT,
    "client_key": {"type": "str", "no_log": True},
    "token": {"type": "str", "no_log": True},
}
_API = {"type": "str", "choices": ["v1beta1", "v1beta2"]}

ARGUMENTS: Spec = {
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "path": {"type": "path", "required": True},
    "name": {"type": "str", "required": True},
    "namespace": {"type": "str", "default": "default"},
    "kubernetes_version": _TEXT,
    "cluster_api_version": {**_API, "default": "v1beta2"},
    "infrastructure_version": {**_API, "default": "v1beta1"},
    "vcenter": {"type": "dict", "options": _VCENTER},
    "machines": {"type": "dict", "options": _MACHINE},
    "control_plane": {"type": "dict", "default": {}, "options": {"replicas": _NUMBER, **_MACHINE}},
    "workers": {"type": "list", "elements": "dict", "default": [], "options": _WORKERS},
    "endpoint": {"type": "dict", "options": _ENDPOINT},
    "pod_cidrs": {**_TEXTS, "default": ["192.168.0.0/16"]},
    "service_cidrs": {**_TEXTS, "default": []},
    "service_domain": {"type": "str", "default": ""},
    "ssh_user": {"type": "str", "default": "capv"},
    "ssh_keys": {**_TEXTS, "default": [], "no_log": False},
    "argocd": {"type": "dict", "options": _ARGOCD},
    "addons": {
        "type": "dict",
        "options": {name: {"type": "dict", "options": _ADDON} for name in ("cni", "cloud_provider", "csi")},
    },
    "credentials": {"type": "dict", "options": _CREDENTIALS},
    "registration": {"type": "dict", "options": _REGISTRATION},
    "on_edited": {"type": "str", "choices": ["fail", "overwrite"], "default": "fail"},
    "timeout": {"type": "int", "default": 300},
}

# What a cluster cannot be written without.
_NEEDED = ("kubernetes_version", "vcenter", "endpoint", "argocd", "credentials")


class ActionModule(ControllerAction):
    """It needs neither a vCenter nor Kubernetes: what it writes is for Argo CD to apply."""

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Write the files; in check mode find out which would be written."""
        result = super().run(tmp, task_vars)
        try:
            args = self.checked(ARGUMENTS)
            _argspec.check_bounds(args)
            _check_needed(args)
            self.warn_if_lost(args["path"])
            done = task.run_task(args, check_mode=self._task.check_mode)
        except VforgeError as error:
            return self.refused(result, error)
        warnings = done.pop("warnings")
        if warnings:
            done["warnings"] = warnings
        return {**result, **done}


def _check_needed(args: t.Mapping[str, t.Any]) -> None:
    missing = [name for name in _NEEDED if not args.get(name)] if args["state"] == "present" else []
    if missing:
        raise InvalidOption(f"With state present, {', '.join(missing)} must be set.", option=missing[0])
