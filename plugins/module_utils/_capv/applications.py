# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Applications of Argo CD: an app of apps for all clusters, and for each cluster what makes it
and what runs in it. Pure.

The Application of the cluster and that of its addons are beside each other, in one wave: a cluster
without a network for its pods never becomes Healthy, and a wave after it would wait for ever where
Argo CD is set up to assess the health of Applications.
"""

from __future__ import annotations

import typing as t

from .documents import Document
from .manifests import WAVE
from .model import Addon, ArgoCd, Cluster

# With it, what an Application has made goes with it.
_CASCADE = "resources-finalizer.argocd.argoproj.io"

IN_CLUSTER = "https://kubernetes.default.svc"

# The network first: nothing else comes up without it. Then what sets the nodes' addresses, then
# storage.
_WAVES = {"cni": "0", "cloud_provider": "1", "csi": "2"}


def management_application(argocd: ArgoCd, prefix: str) -> Document:
    """The one Application that is applied by hand: it finds all others.

    :param prefix: path of the tree in its repository, with a slash at its end; empty for the whole.
    """
    source = _tree(argocd, f"{prefix}management", {"directory": {"recurse": True}})
    return _application(argocd, "management", source, {"server": IN_CLUSTER, "namespace": argocd.namespace}, cascade=False)


def cluster_application(cluster: Cluster, prefix: str) -> Document:
    """What makes the cluster. Its removal removes the cluster."""
    source = _tree(cluster.argocd, f"{prefix}capi-cluster/{cluster.name}")
    to = {"server": IN_CLUSTER, "namespace": cluster.namespace}
    return _application(cluster.argocd, f"{cluster.name}-cluster", source, to)


def apps_application(cluster: Cluster, prefix: str) -> Document:
    """What runs in the cluster: an app of apps, of the addons and of whatever is put into its
    folder besides.
    """
    source = _tree(cluster.argocd, f"{prefix}app/{cluster.name}")
    to = {"server": IN_CLUSTER, "namespace": cluster.argocd.namespace}
    return _application(cluster.argocd, f"{cluster.name}-apps", source, to)


def addon_application(cluster: Cluster, name: str, addon: Addon) -> Document:
    """An addon in the workload cluster. It goes with the nodes, so that its own removal waits for
    nothing there.
    """
    source: Document = {"repoURL": addon.repo_url, "targetRevision": addon.revision}
    if addon.chart:
        source["chart"] = addon.chart
        source["helm"] = {"releaseName": addon.chart}
        values = _merged(_values(cluster, name), addon.values)
        if values:
            source["helm"]["valuesObject"] = values
    else:
        source["path"] = addon.path
    called = f"{cluster.name}-{name.replace('_', '-')}"
    to = {"name": cluster.name, "namespace": addon.namespace}
    found = _application(cluster.argocd, called, source, to, cascade=False, server_side=True)
    found["metadata"]["annotations"] = {WAVE: _WAVES[name]}
    return found


def _values(cluster: Cluster, addon: str) -> Document:
    """What a chart has to know of the cluster. The chart of the cloud provider is not to make a
    Secret: there is one.

    Its ``global.config`` wins over its ``config`` (templates/configmap.yaml of vsphere-cpi).
    """
    if addon != "cloud_provider":
        return {}
    config = {
        "enabled": True,
        "vcenter": cluster.vcenter[0],
        "datacenter": cluster.control_plane.datacenter,
        "thumbprint": cluster.thumbprint,
        "secret": {"create": False, "name": "vsphere-cloud-secret"},
    }
    return {"global": {"config": config}}


def _merged(below: t.Mapping[str, t.Any], above: t.Mapping[str, t.Any]) -> Document:
    found = dict(below)
    for key, value in above.items():
        old = found.get(key)
        found[key] = _merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return found


def _tree(argocd: ArgoCd, path: str, more: Document | None = None) -> Document:
    return {"repoURL": argocd.repo_url, "targetRevision": argocd.revision, "path": path, **(more or {})}


def _application(
    argocd: ArgoCd,
    name: str,
    source: Document,
    destination: Document,
    *,
    cascade: bool = True,
    server_side: bool = False,
) -> Document:
    options = ["CreateNamespace=true"] + (["ServerSideApply=true"] if server_side else [])
    metadata: Document = {"name": name, "namespace": argocd.namespace}
    if cascade:
        metadata["finalizers"] = [_CASCADE]
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Application",
        "metadata": metadata,
        "spec": {
            "project": argocd.project,
            "source": source,
            "destination": destination,
            "syncPolicy": {
                "automated": {"prune": True, "selfHeal": True},
                "syncOptions": options,
                # The API server of a new cluster answers only after a while. A retry takes the
                # newest commit: without that, one that is refused would be tried for ever, whatever
                # commit mends it.
                "retry": {"limit": -1, "refresh": True, "backoff": {"duration": "10s", "factor": 2, "maxDuration": "3m"}},
            },
        },
    }
