# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The objects of Cluster API that make a workload cluster, in the forms v1beta1 and v1beta2. Pure.

They are those of CAPV's own ``clusterctl generate cluster`` (templates/cluster-template.yaml), with
two differences:

- A VSphereMachineTemplate is immutable (CAPV's webhook), and a change of a KubeadmConfigTemplate
  rolls nothing out. So both have a digest of their content in their names: a change is a new
  object, which rolls the machines.
- Sync waves of Argo CD, which removes the highest wave first and waits until it is gone
  (controller/sort_delete.go). The Cluster and its machines are in a higher wave than what they need
  to go: the VSphereCluster, the templates and the credentials. On the way up it waits until a wave is
  Healthy, so what is so only with the Cluster, such as a ClusterResourceSet, is in the wave of it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import typing as t

from .documents import Document, dump
from .model import KUBE_VIP, V1BETA1, V1BETA2, Cluster, Machine, Network, Workers

_CORE = "cluster.x-k8s.io"
_CONTROL_PLANE = "controlplane.cluster.x-k8s.io"
_BOOTSTRAP = "bootstrap.cluster.x-k8s.io"
_INFRASTRUCTURE = "infrastructure.cluster.x-k8s.io"
_ADDONS = "addons.cluster.x-k8s.io"

WAVE = "argocd.argoproj.io/sync-wave"
SYNC_OPTIONS = "argocd.argoproj.io/sync-options"
_BEFORE, _CLUSTER = "0", "1"

CLUSTER_NAME = "cluster.x-k8s.io/cluster-name"

# What kubeadm finds out about a machine that cloud-init has named.
_NAME = "{{ local_hostname }}"

_HOSTS = "127.0.0.1   {{ ds.meta_data.hostname }} {{ local_hostname }} localhost localhost.localdomain"
_COMMANDS = (
    'hostnamectl set-hostname "{{ ds.meta_data.hostname }}"',
    'echo "::1         ipv6-localhost ipv6-loopback localhost6 localhost6.localdomain6" >/etc/hosts',
    f'echo "{_HOSTS}" >>/etc/hosts',
)

# Before a cluster has its first member, admin.conf has no rights (kubeadm 1.29 and later): kube-vip
# begins with super-admin.conf.
_PREPARE = """\
#!/bin/sh
set -eu
minor="$(kubeadm version -o short | cut -d . -f 2)"
if [ "$minor" -ge 29 ] && [ -f /run/kubeadm/kubeadm.yaml ]; then
  sed -i 's#path: /etc/kubernetes/admin.conf#path: /etc/kubernetes/super-admin.conf#' /etc/kubernetes/manifests/kube-vip.yaml
fi
"""
_PREPARE_PATH = "/etc/kube-vip-prepare.sh"


def cluster_documents(cluster: Cluster) -> list[Document]:
    """All objects of a cluster, but for Secrets."""
    found = [_infrastructure(cluster), _machine_template(cluster, "cp", cluster.control_plane)]
    for workers in cluster.workers:
        found.append(_machine_template(cluster, workers.name, workers.machine))
        found.append(_bootstrap(cluster, workers))
    found += _resource_sets(cluster)
    found += [_cluster(cluster), _control_plane(cluster)]
    found += [_machine_deployment(cluster, workers) for workers in cluster.workers]
    return found


def credentials_name(cluster: Cluster) -> str:
    """The Secret of the VSphereCluster's identity. CAPV adds a finalizer to it, so each cluster has
    one of its own.
    """
    return f"{cluster.name}-vcenter"


def resource_secret(cluster: Cluster, addon: str) -> str:
    """The Secret whose content Cluster API puts into the workload cluster for an addon."""
    return f"{cluster.name}-{addon.replace('_', '-')}-credentials"


def _meta(cluster: Cluster, name: str, wave: str) -> Document:
    return {
        "name": name,
        "namespace": cluster.namespace,
        "labels": {CLUSTER_NAME: cluster.name},
        "annotations": {WAVE: wave},
    }


def _object(group: str, version: str, kind: str, metadata: Document, spec: Document) -> Document:
    return {"apiVersion": f"{group}/{version}", "kind": kind, "metadata": metadata, "spec": spec}


def _ref(cluster: Cluster, group: str, kind: str, name: str) -> Document:
    """A reference among objects: by apiVersion in v1beta1, by apiGroup in v1beta2."""
    if cluster.core_api == V1BETA2:
        return {"apiGroup": group, "kind": kind, "name": name}
    version = cluster.infrastructure_api if group == _INFRASTRUCTURE else cluster.core_api
    return {"apiVersion": f"{group}/{version}", "kind": kind, "name": name}


def _cluster(cluster: Cluster) -> Document:
    ranges = {"pods": cluster.pods, "services": cluster.services}
    network: Document = {key: {"cidrBlocks": list(blocks)} for key, blocks in ranges.items() if blocks}
    if cluster.service_domain:
        network["serviceDomain"] = cluster.service_domain
    spec = {
        **({"clusterNetwork": network} if network else {}),
        "controlPlaneRef": _ref(cluster, _CONTROL_PLANE, "KubeadmControlPlane", cluster.name),
        "infrastructureRef": _ref(cluster, _INFRASTRUCTURE, "VSphereCluster", cluster.name),
    }
    return _object(_CORE, cluster.core_api, "Cluster", _meta(cluster, cluster.name, _CLUSTER), spec)


def _infrastructure(cluster: Cluster) -> Document:
    spec: Document = {
        "controlPlaneEndpoint": {"host": cluster.endpoint.host, "port": cluster.endpoint.port},
        "identityRef": {"kind": "Secret", "name": credentials_name(cluster)},
        "server": cluster.server,
    }
    if cluster.thumbprint:
        spec["thumbprint"] = cluster.thumbprint
    meta = _meta(cluster, cluster.name, _BEFORE)
    return _object(_INFRASTRUCTURE, cluster.infrastructure_api, "VSphereCluster", meta, spec)


def _machine_spec(cluster: Cluster, machine: Machine) -> Document:
    """A machine. CAPV takes the thumbprint of the VSphereCluster, so that a new certificate
    rolls nothing (vimmachine.go).
    """
    optional = {
        "snapshot": machine.snapshot,
        "numCoresPerSocket": machine.cores_per_socket,
        "diskGiB": machine.disk_gib,
        "hardwareVersion": machine.hardware_version,
        "datastore": machine.datastore,
        "storagePolicyName": machine.storage_policy,
        "folder": machine.folder,
        "resourcePool": machine.resource_pool,
    }
    return {
        "server": cluster.server,
        "datacenter": machine.datacenter,
        "template": machine.template,
        "cloneMode": machine.clone_mode,
        "numCPUs": machine.cpus,
        "memoryMiB": machine.memory_mib,
        **{key: value for key, value in optional.items() if value},
        "network": {"devices": [_device(network) for network in machine.networks]},
        "os": "Linux",
        "powerOffMode": "trySoft",
    }


def _device(network: Network) -> Document:
    device: Document = {"networkName": network.name, "dhcp4": network.dhcp4, "dhcp6": network.dhcp6}
    if network.pools:
        device["addressesFromPools"] = [{"apiGroup": group, "kind": kind, "name": name} for group, kind, name in network.pools]
    for key, values in (("nameservers", network.nameservers), ("searchDomains", network.search_domains)):
        if values:
            device[key] = list(values)
    if network.mtu:
        device["mtu"] = network.mtu
    return device


def machine_template_name(cluster: Cluster, pool: str, machine: Machine) -> str:
    """The name of a VSphereMachineTemplate: another one for other machines."""
    return _digested(f"{cluster.name}-{pool}", _machine_spec(cluster, machine))


def _digested(name: str, content: t.Any) -> str:
    text = json.dumps(content, sort_keys=True, default=str)
    return f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def _machine_template(cluster: Cluster, pool: str, machine: Machine) -> Document:
    meta = _meta(cluster, machine_template_name(cluster, pool, machine), _BEFORE)
    # The machines of before are still of the old one until the new ones have come up.
    meta["annotations"][SYNC_OPTIONS] = "PruneLast=true"
    spec = {"template": {"spec": _machine_spec(cluster, machine)}}
    return _object(_INFRASTRUCTURE, cluster.infrastructure_api, "VSphereMachineTemplate", meta, spec)


def _kubelet(cluster: Cluster) -> Document:
    return {
        "nodeRegistration": {
            "criSocket": "/var/run/containerd/containerd.sock",
            "kubeletExtraArgs": _arguments(cluster, {"cloud-provider": "external"}),
            "name": _NAME,
        }
    }


def _arguments(cluster: Cluster, arguments: t.Mapping[str, str]) -> t.Any:
    """Arguments of a component: a mapping in v1beta1, a list in v1beta2."""
    if cluster.core_api == V1BETA1:
        return dict(arguments)
    return [{"name": name, "value": value} for name, value in arguments.items()]


def _users(cluster: Cluster) -> Document:
    if not cluster.ssh_keys:
        return {}
    user = {"name": cluster.ssh_user, "sshAuthorizedKeys": list(cluster.ssh_keys), "sudo": "ALL=(ALL) NOPASSWD:ALL"}
    return {"users": [user]}


def _bootstrap_spec(cluster: Cluster) -> Document:
    return {
        "joinConfiguration": _kubelet(cluster),
        "preKubeadmCommands": list(_COMMANDS),
        **_users(cluster),
    }


def bootstrap_name(cluster: Cluster, pool: str) -> str:
    """The name of a KubeadmConfigTemplate: another one for other nodes."""
    return _digested(f"{cluster.name}-{pool}", _bootstrap_spec(dataclasses.replace(cluster, core_api=V1BETA2)))


def _bootstrap(cluster: Cluster, workers: Workers) -> Document:
    meta = _meta(cluster, bootstrap_name(cluster, workers.name), _BEFORE)
    meta["annotations"][SYNC_OPTIONS] = "PruneLast=true"
    spec = {"template": {"spec": _bootstrap_spec(cluster)}}
    return _object(_BOOTSTRAP, cluster.core_api, "KubeadmConfigTemplate", meta, spec)


def _control_plane(cluster: Cluster) -> Document:
    config = {
        "clusterConfiguration": {
            "controllerManager": {"extraArgs": _arguments(cluster, {"cloud-provider": "external"})},
        },
        "initConfiguration": _kubelet(cluster),
        **_bootstrap_spec(cluster),
    }
    if cluster.endpoint.load_balancer == KUBE_VIP:
        config["files"] = _kube_vip_files(cluster)
        config["preKubeadmCommands"] = [*_COMMANDS, _PREPARE_PATH]
    name = machine_template_name(cluster, "cp", cluster.control_plane)
    ref = _ref(cluster, _INFRASTRUCTURE, "VSphereMachineTemplate", name)
    template = {"infrastructureRef": ref} if cluster.core_api == V1BETA1 else {"spec": {"infrastructureRef": ref}}
    spec = {
        "kubeadmConfigSpec": config,
        "machineTemplate": template,
        "replicas": cluster.control_planes,
        "version": cluster.version,
    }
    meta = _meta(cluster, cluster.name, _CLUSTER)
    return _object(_CONTROL_PLANE, cluster.core_api, "KubeadmControlPlane", meta, spec)


def _machine_deployment(cluster: Cluster, workers: Workers) -> Document:
    name = f"{cluster.name}-{workers.name}"
    machine = machine_template_name(cluster, workers.name, workers.machine)
    config = _ref(cluster, _BOOTSTRAP, "KubeadmConfigTemplate", bootstrap_name(cluster, workers.name))
    template: Document = {
        "bootstrap": {"configRef": config},
        "clusterName": cluster.name,
        "infrastructureRef": _ref(cluster, _INFRASTRUCTURE, "VSphereMachineTemplate", machine),
        "version": cluster.version,
    }
    if workers.failure_domain:
        template["failureDomain"] = workers.failure_domain
    spec: Document = {
        "clusterName": cluster.name,
        "selector": {"matchLabels": {}},
        "template": {"metadata": {"labels": {CLUSTER_NAME: cluster.name}}, "spec": template},
    }
    if workers.replicas is not None:
        spec["replicas"] = workers.replicas
    return _object(_CORE, cluster.core_api, "MachineDeployment", _meta(cluster, name, _CLUSTER), spec)


def _resource_sets(cluster: Cluster) -> list[Document]:
    """What Cluster API itself puts into the workload cluster: the credentials that the addons find
    there.
    """
    names = [resource_secret(cluster, addon) for addon in ("cloud_provider", "csi") if addon in cluster.addons]
    if not names:
        return []
    spec = {
        "clusterSelector": {"matchLabels": {CLUSTER_NAME: cluster.name}},
        "resources": [{"kind": "Secret", "name": name} for name in names],
        "strategy": "Reconcile",
    }
    meta = _meta(cluster, f"{cluster.name}-credentials", _CLUSTER)
    return [_object(_ADDONS, cluster.core_api, "ClusterResourceSet", meta, spec)]


def _kube_vip_files(cluster: Cluster) -> list[Document]:
    return [
        {
            "path": "/etc/kubernetes/manifests/kube-vip.yaml",
            "owner": "root:root",
            "permissions": "0644",
            "content": dump([_kube_vip_pod(cluster)]),
        },
        {
            "path": "/etc/kube-vip.hosts",
            "owner": "root:root",
            "permissions": "0644",
            "content": "127.0.0.1 localhost kubernetes",
        },
        {"path": _PREPARE_PATH, "owner": "root:root", "permissions": "0700", "content": _PREPARE},
    ]


def _kube_vip_pod(cluster: Cluster) -> Document:
    settings = {
        "vip_arp": "true",
        "port": str(cluster.endpoint.port),
        "vip_interface": cluster.endpoint.interface,
        "vip_cidr": "128" if ":" in cluster.endpoint.host else "32",
        "cp_enable": "true",
        "cp_namespace": "kube-system",
        "vip_ddns": "false",
        "vip_leaderelection": "true",
        "vip_leasename": "plndr-cp-lock",
        "vip_leaseduration": "15",
        "vip_renewdeadline": "10",
        "vip_retryperiod": "2",
        "address": cluster.endpoint.host,
    }
    container = {
        "name": "kube-vip",
        "image": cluster.endpoint.image,
        "imagePullPolicy": "IfNotPresent",
        "args": ["manager"],
        "env": [{"name": name, "value": value} for name, value in settings.items()],
        "securityContext": {"capabilities": {"add": ["NET_ADMIN", "NET_RAW"]}},
        "volumeMounts": [
            {"mountPath": "/etc/kubernetes/admin.conf", "name": "kubeconfig"},
            {"mountPath": "/etc/hosts", "name": "etchosts"},
        ],
    }
    volumes = [
        {"name": "kubeconfig", "hostPath": {"path": "/etc/kubernetes/admin.conf"}},
        {"name": "etchosts", "hostPath": {"path": "/etc/kube-vip.hosts", "type": "File"}},
    ]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "kube-vip", "namespace": "kube-system"},
        "spec": {"containers": [container], "hostNetwork": True, "volumes": volumes},
    }
