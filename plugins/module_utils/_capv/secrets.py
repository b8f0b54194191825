# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Secrets of a cluster: what the vCenter and Argo CD are logged in with. None of them is ever
written as it is.

They are sealed by a command that the user chose, such as kubeseal or sops, or left to who keeps
them elsewhere. Pure but for that.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import typing as t

from .._errors import InvalidOption, VforgeError
from .documents import Document, dump, load
from .manifests import CLUSTER_NAME, WAVE, credentials_name, resource_secret
from .model import HTTPS, Cluster, Registration

# A shorter one may be anywhere by chance; of such a secret nothing is said.
_LEAST_TO_FIND = 4

# Before what needs them, after it when all goes.
_FIRST = "-1"


class SealingFailed(VforgeError):
    """The command did not seal a Secret."""

    error_code = "sealing_failed"


@dataclasses.dataclass(frozen=True)
class SecretFile:
    """Secrets that go into one file together.

    :ivar source: what they were made of, as a text that may be in Git: they
        are sealed again when it changes.
    :ivar values: those texts of them that must not be in what the command prints.
    """

    source: str
    documents: t.Sequence[Document] = dataclasses.field(repr=False)
    values: t.Sequence[str] = dataclasses.field(repr=False)


def vcenter_secrets(cluster: Cluster) -> SecretFile:
    """Of the VSphereCluster, and for the addons that log in to the vCenter."""
    nobody = dataclasses.replace(cluster, credentials=dataclasses.replace(cluster.credentials, username="", password=""))
    # All of it but the user and the password is in the tree anyway.
    public = hashlib.sha256(dump(_vcenter_documents(nobody)).encode()).hexdigest()[:16]
    source = f"revision {cluster.credentials.revision} for {public}"
    return SecretFile(source, _vcenter_documents(cluster), [cluster.credentials.password])


def _vcenter_documents(cluster: Cluster) -> list[Document]:
    user, password = cluster.credentials.username, cluster.credentials.password
    login = {"username": user, "password": password}
    found = [_secret(credentials_name(cluster), cluster.namespace, login, {CLUSTER_NAME: cluster.name})]
    if "cloud_provider" in cluster.addons:
        data = _cloud_provider_login(cluster.vcenter[0], user, password)
        namespace = cluster.addons["cloud_provider"].namespace
        found.append(_resource(cluster, "cloud_provider", [_secret("vsphere-cloud-secret", namespace, data)]))
    if "csi" in cluster.addons:
        namespace = cluster.addons["csi"].namespace
        inner = _secret("vsphere-config-secret", namespace, {"csi-vsphere.conf": _csi_config(cluster)})
        found.append(_resource(cluster, "csi", [_namespace(namespace), inner]))
    return found


def _cloud_provider_login(host: str, user: str, password: str) -> Document:
    """The login in the form that the cloud provider reads (pkg/common/credentialmanager). No key of
    a Secret has a colon, so there is another form for IPv6 addresses.
    """
    if ":" in host:
        return {"server_vcenter": host, "username_vcenter": user, "password_vcenter": password}
    return {f"{host}.username": user, f"{host}.password": password}


def registration_secret(cluster: Cluster, registration: Registration) -> SecretFile:
    """The cluster for Argo CD: a Secret of its own, with a login that was made for it.

    A Secret with a kubeconfig, as Cluster API keeps one, is none that Argo CD reads (argo-cd issue
    4651).
    """
    tls = {"caData": _base64(registration.ca)}
    if registration.token:
        config: Document = {"bearerToken": registration.token, "tlsClientConfig": tls}
    else:
        tls |= {"certData": _base64(registration.certificate), "keyData": _base64(registration.key)}
        config = {"tlsClientConfig": tls}
    data = {"name": cluster.name, "server": cluster.endpoint.url, "config": json.dumps(config, sort_keys=True)}
    labels = {"argocd.argoproj.io/secret-type": "cluster", CLUSTER_NAME: cluster.name}
    document = _secret(f"{cluster.name}-registration", cluster.argocd.namespace, data, labels)
    # The certificate is public, and the token long and random: neither is found from a digest.
    public = "\0".join((cluster.endpoint.url, registration.ca, registration.certificate, registration.token))
    source = f"login {hashlib.sha256(public.encode()).hexdigest()[:32]}"
    return SecretFile(source, [document], [text for text in (registration.key, registration.token) if text])


def _secret(name: str, namespace: str, data: Document, labels: Document | None = None) -> Document:
    metadata: Document = {"name": name, "namespace": namespace}
    if labels:
        metadata |= {"labels": labels, "annotations": {WAVE: _FIRST}}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": "Opaque", "stringData": data}


def _namespace(name: str) -> Document:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def _resource(cluster: Cluster, addon: str, inner: t.Sequence[Document]) -> Document:
    """A Secret whose content Cluster API applies in the workload cluster."""
    labels = {CLUSTER_NAME: cluster.name}
    found = _secret(resource_secret(cluster, addon), cluster.namespace, {"data": dump(inner)}, labels)
    return {**found, "type": "addons.cluster.x-k8s.io/resource-set"}


def _csi_config(cluster: Cluster) -> str:
    """The configuration of the vSphere CSI driver, as its gcfg reader takes texts: quoted."""
    host, port = cluster.vcenter
    lines = ["[Global]", f"cluster-id = {_quoted(cluster.cluster_id)}"]
    if cluster.thumbprint:
        lines.append(f"thumbprint = {_quoted(cluster.thumbprint)}")
    lines += [
        "",
        f"[VirtualCenter {_quoted(host)}]",
        f"user = {_quoted(cluster.credentials.username)}",
        f"password = {_quoted(cluster.credentials.password)}",
        f"datacenters = {_quoted(cluster.control_plane.datacenter)}",
    ]
    if port != HTTPS:
        lines.append(f"port = {_quoted(str(port))}")
    if not cluster.thumbprint:
        lines.append('insecure-flag = "true"')
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def sealed(file: SecretFile, seal: t.Callable[[str], str], where: str) -> str:
    """The file as it may be in Git.

    :param seal: one Secret in YAML to what stands for it.
    :param where: the file, for messages.
    :raises SealingFailed: the command printed something that no Secret can be,
        or that holds a secret as it is.
    """
    return "".join(_sealed_one(document, file.values, seal, where) for document in file.documents)


def _sealed_one(document: Document, values: t.Sequence[str], seal: t.Callable[[str], str], where: str) -> str:
    name = document["metadata"]["name"]
    text = seal(dump([document]))
    found = _documents(text, where)
    if len(found) != 1 or not isinstance(found[0], dict) or not found[0].get("kind"):
        raise SealingFailed(
            f"{where}: for the Secret {name}, the command of credentials printed no single manifest.",
            hint="It is given a Secret in YAML on its standard input, and prints what stands for it.",
        )
    if any(trace in text for trace in _traces(values) for text in _searched(found[0])):
        raise SealingFailed(
            f"{where}: for the Secret {name}, the command of credentials printed a secret as it is. Nothing was written.",
            hint="Choose a command that encrypts, such as kubeseal or sops.",
        )
    return dump([_in_its_wave(found[0])])


def _in_its_wave(manifest: Document) -> Document:
    """What stands for a Secret, where Argo CD has the Secret: kubeseal leaves the annotation of the
    wave to the Secret that comes of it. One that is there stays as it is: sops signs it.
    """
    metadata = manifest.get("metadata")
    if not isinstance(metadata, dict) or not isinstance(metadata.get("annotations") or {}, dict):
        return manifest
    return {**manifest, "metadata": {**metadata, "annotations": {WAVE: _FIRST, **(metadata.get("annotations") or {})}}}


def _searched(manifest: Document) -> list[str]:
    """The texts of a manifest in which a secret may be: all but its names, which may look like a
    weak password.
    """
    metadata = manifest.get("metadata")
    rest = (
        {key: item for key, item in metadata.items() if key not in ("name", "namespace")}
        if isinstance(metadata, dict)
        else metadata
    )
    return _texts({**manifest, "metadata": rest})


def _documents(text: str, where: str) -> list[t.Any]:
    try:
        return load(text, where)
    except InvalidOption as error:
        hint = "It is given a Secret in YAML on its standard input."
        raise SealingFailed(f"{where}: the command of credentials printed no YAML.", hint=hint) from error


def _traces(values: t.Sequence[str]) -> list[str]:
    """A secret as it is, and in base64."""
    found = [value for value in values if len(value) >= _LEAST_TO_FIND]
    return found + [_base64(value) for value in found]


def _texts(value: t.Any) -> list[str]:
    """All texts of a manifest, those that are base64 as what they stand for besides."""
    if isinstance(value, dict):
        return [text for item in value.values() for text in _texts(item)]
    if isinstance(value, list):
        return [text for item in value for text in _texts(item)]
    if not isinstance(value, str):
        return []
    try:
        return [value, base64.b64decode(value, validate=True).decode(errors="replace")]
    except ValueError:
        return [value]
