# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is to be done in a Git working tree, from a cluster and from the files that are there. Pure.

Files of ours say in their first lines whose they are, and what their content was. So a file that
somebody has edited, one that belongs to another cluster and one that is none of ours are known
without any record beside the tree.
"""

from __future__ import annotations

import dataclasses
import typing as t

from .._errors import InvalidOption
from . import applications, manifests, secrets
from .documents import Document, at, dump, head_of, load, objects, with_head
from .model import SEALED, Cluster
from .secrets import SecretFile

FAIL, OVERWRITE = "fail", "overwrite"
CREATED, UPDATED, REMOVED = "created", "updated", "removed"

# Of the registration of the cluster with Argo CD.
PENDING, KEPT, WRITTEN, EXTERNAL = "pending", "kept", "written", "external"

MANAGEMENT_APP = "management/management-app.yaml"

# Has a folder for each cluster.
CLUSTERS = "capi-cluster"

# The app of apps of a cluster.
_APPS_APP = "apps-app.yaml"


class FilesEdited(InvalidOption):
    """Files of the tree are not as a run has left them, or never were of this cluster."""

    error_code = "files_edited"


class StillUsed(InvalidOption):
    """Something in the tree still needs the cluster."""

    error_code = "cluster_in_use"


@dataclasses.dataclass(frozen=True)
class Change:
    """A file that is to be another one. None is no file.

    :ivar secrets: what is sealed for it; ``after`` comes of that, and is empty until then.
    """

    path: str
    before: str | None
    after: str | None
    secrets: SecretFile | None = None

    @property
    def action(self) -> str:
        """What becomes of the file."""
        if self.before is None:
            return CREATED
        return REMOVED if self.after is None else UPDATED


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is to be done.

    :ivar changes: sorted by path.
    :ivar registration: what becomes of the cluster's registration with Argo CD.
    :ivar warnings: one sentence each.
    """

    changes: tuple[Change, ...]
    registration: str
    warnings: tuple[str, ...] = ()


def folders(name: str) -> tuple[str, str, str]:
    """The folders of a cluster in the tree: all that is written but one file is in them."""
    return f"{CLUSTERS}/{name}", f"management/{name}", f"app/{name}"


def manifest_of(folder: str) -> str:
    """The file with the objects of a cluster, in its first folder."""
    return f"{folder}/cluster.yaml"


def owner_of(namespace: str, name: str) -> str:
    """How files say whose they are."""
    return f"{namespace}/{name}"


def present(cluster: Cluster, files: t.Mapping[str, str], prefix: str, on_edited: str, others: t.Mapping[str, str]) -> Plan:
    """The changes that bring the tree to what the cluster is to be.

    :param files: by path in the tree: all of the cluster's folders, and ``MANAGEMENT_APP``.
    :param prefix: path of the tree in its repository, with a slash at its end, or empty.
    :param on_edited: ``FAIL`` or ``OVERWRITE``.
    :param others: by path in the tree: the objects of all clusters, as ``manifest_of`` names their files.
    :raises InvalidOption: another cluster has an object of the same name.
    :raises FilesEdited: a file that would be written is not as it was left.
    """
    owner = owner_of(cluster.namespace, cluster.name)
    _check_names(cluster, owner, others)
    wanted = {path: with_head(owner, dump(documents)) for path, documents in _open_files(cluster, files, prefix).items()}
    sealed = _secret_files(cluster)
    registration = _registration(cluster, files)
    changes = [Change(path, files.get(path), text) for path, text in wanted.items() if files.get(path) != text]
    for path, file in sealed.items():
        if not _is_sealed(files.get(path), owner, file.source):
            changes.append(Change(path, files.get(path), "", file))
    kept = {_registration_path(cluster.name)} if registration == KEPT else set()
    changes += _obsolete(files, owner, {*wanted, *sealed, *kept})
    _check(changes, owner, on_edited)
    first, warnings = _management_app(cluster, files, prefix)
    return Plan(_sorted([*first, *changes]), registration, tuple(warnings))


def absent(namespace: str, name: str, files: t.Mapping[str, str], apps: t.Mapping[str, str], on_edited: str) -> Plan:
    """The changes that remove a cluster. Everything goes in one commit: sync waves have Argo CD
    keep the order.

    :param files: by path in the tree: all of the cluster's folders.
    :param apps: files by path in which Applications may be, of all clusters.
    :raises StillUsed: Applications of somebody else go into the cluster, or would go with its app of apps.
    :raises FilesEdited: a file that would be removed is not as it was left.
    """
    owner = owner_of(namespace, name)
    changes = _obsolete(files, owner, set())
    _check(changes, owner, on_edited)
    going = {change.path for change in changes}
    users = _users(name, _server(name, files), {path: text for path, text in apps.items() if path not in going})
    if changes and users:
        raise StillUsed(
            f"The cluster {name} is not removed: {', '.join(users)} still go into it.",
            hint="Remove them first, and let Argo CD remove what they have made: volumes and load balancers need the cluster.",
            applications=users,
        )
    _check_apps_alone(name, owner, files, going)
    return Plan(_sorted(changes), EXTERNAL)


def _check_apps_alone(name: str, owner: str, files: t.Mapping[str, str], going: t.Collection[str]) -> None:
    """Make sure that the app of apps does not go while its folder has something of others, which
    Argo CD would remove with it, wherever that deploys to.

    :param going: files that are removed.
    :raises StillUsed: naming the files.
    """
    _capi, management, app = folders(name)
    others = _of_others(app, owner, files)
    if others and f"{management}/{_APPS_APP}" in going:
        raise StillUsed(
            f"The cluster {name} is not removed: with {management}/{_APPS_APP} Argo CD would also remove what it has made of "
            f"{', '.join(others)}.",
            hint="Take them out of the folder first, and have Argo CD get by another Application what is to stay.",
            others=others,
        )


def uncommitted(
    owner: str, cluster: Cluster | None, files: t.Mapping[str, str], gone: t.Mapping[str, str], prefix: str
) -> list[str]:
    """Of files that are not committed, those that runs have written or removed for a cluster. An
    edited one is not theirs.

    :param cluster: as it is to be; None where it is to be absent.
    :param files: that are there, by path.
    :param gone: that are there no more, with what they were.
    """
    found = []
    for path, text in {**files, **gone}.items():
        head = head_of(text)
        if head is not None and head.owner == owner and (path in gone or not head.edited):
            found.append(path)
    if cluster is not None and files.get(MANAGEMENT_APP) == dump([applications.management_application(cluster.argocd, prefix)]):
        found.append(MANAGEMENT_APP)
    return sorted(found)


def _check_names(cluster: Cluster, owner: str, others: t.Mapping[str, str]) -> None:
    """Make sure that no object of the cluster is another one's: the pool ``eu-md-0`` of ``prod``
    makes the same MachineDeployment as the pool ``md-0`` of ``prod-eu``. Argo CD would change it to
    and fro, and remove it with either.

    :raises InvalidOption: naming the object and the other cluster.
    """
    own = {_identity(document) for document in manifests.cluster_documents(cluster)}
    for path, text in sorted(others.items()):
        head = head_of(text)
        if head is None or head.owner == owner or not any(name in text for _kind, _namespace, name in own):
            continue
        for document in objects(load(text, path)):
            kind, _namespace, name = identity = _identity(document)
            if identity in own:
                raise InvalidOption(
                    f"The {kind} {name} would be of two clusters: {path} has it for {head.owner}.",
                    hint="Give the pool of workers another name, or the cluster.",
                    option="workers",
                    path=path,
                )


def _identity(document: Document) -> tuple[str, str, str]:
    """Kind, namespace and name of an object."""
    places = (("kind",), ("metadata", "namespace"), ("metadata", "name"))
    kind, namespace, name = (str(at(document, *place) or "") for place in places)
    return kind, namespace, name


def _sorted(changes: t.Iterable[Change]) -> tuple[Change, ...]:
    return tuple(sorted(changes, key=lambda change: change.path))


def _open_files(cluster: Cluster, files: t.Mapping[str, str], prefix: str) -> dict[str, list[Document]]:
    """All files without secrets.

    The app of apps is there as long as its folder has anything: when it goes, Argo CD removes all
    Applications that it has made, those of others included.
    """
    capi, management, app = folders(cluster.name)
    found = {
        manifest_of(capi): manifests.cluster_documents(cluster),
        f"{management}/cluster-app.yaml": [applications.cluster_application(cluster, prefix)],
    }
    if cluster.addons or _of_others(app, owner_of(cluster.namespace, cluster.name), files):
        found[f"{management}/{_APPS_APP}"] = [applications.apps_application(cluster, prefix)]
    for name, addon in cluster.addons.items():
        found[f"{app}/{name.replace('_', '-')}-app.yaml"] = [applications.addon_application(cluster, name, addon)]
    return found


def _of_others(folder: str, owner: str, files: t.Mapping[str, str]) -> list[str]:
    """The files of a folder that no run has written for the cluster."""
    heads = {path: head_of(text) for path, text in files.items() if path.startswith(f"{folder}/")}
    return sorted(path for path, head in heads.items() if head is None or head.owner != owner)


def _secret_files(cluster: Cluster) -> dict[str, SecretFile]:
    if cluster.credentials.method != SEALED:
        return {}
    found = {f"{CLUSTERS}/{cluster.name}/credentials.yaml": secrets.vcenter_secrets(cluster)}
    if cluster.registration is not None:
        found[_registration_path(cluster.name)] = secrets.registration_secret(cluster, cluster.registration)
    return found


def _registration_path(name: str) -> str:
    return f"management/{name}/registration.yaml"


def _registration(cluster: Cluster, files: t.Mapping[str, str]) -> str:
    if cluster.credentials.method != SEALED:
        return EXTERNAL
    if cluster.registration is not None:
        return WRITTEN
    return KEPT if _registration_path(cluster.name) in files else PENDING


def _is_sealed(text: str | None, owner: str, source: str) -> bool:
    """Whether a file is there that was sealed of this very content."""
    head = head_of(text) if text is not None else None
    return head is not None and (head.owner, head.source, head.edited) == (owner, source, False)


def _obsolete(files: t.Mapping[str, str], owner: str, wanted: t.Collection[str]) -> list[Change]:
    """Files that a run has written for the cluster, and that are wanted no more. What others put
    beside them stays.
    """
    found = []
    for path, text in files.items():
        head = head_of(text) if path not in wanted else None
        if head is not None and head.owner == owner:
            found.append(Change(path, text, None))
    return found


def _check(changes: t.Iterable[Change], owner: str, on_edited: str) -> None:
    wrong = []
    for change in changes:
        why = _why_not(change.before, owner) if change.before is not None else ""
        if why and (on_edited == FAIL or why.startswith("it is of")):
            wrong.append(f"{change.path} ({why})")
    if wrong:
        raise FilesEdited(
            f"Nothing was written, since files are not as a run has left them: {', '.join(wrong)}.",
            hint="Take what was edited into variables and remove the files, or set on_edited to overwrite.",
            edited=[each.partition(" ")[0] for each in wrong],
        )


def _why_not(text: str, owner: str) -> str:
    head = head_of(text)
    if head is None:
        return "no run has written it"
    if head.owner != owner:
        return f"it is of the cluster {head.owner}"
    return "it was edited" if head.edited else ""


def _management_app(cluster: Cluster, files: t.Mapping[str, str], prefix: str) -> tuple[list[Change], list[str]]:
    """The Application of all clusters: written once, and left as it is from then on."""
    text = dump([applications.management_application(cluster.argocd, prefix)])
    there = files.get(MANAGEMENT_APP)
    if there is None:
        return [Change(MANAGEMENT_APP, None, text)], []
    if there == text:
        return [], []
    return [], [f"{MANAGEMENT_APP} is left as it is, though it is not what the options of argocd say."]


def _server(name: str, files: t.Mapping[str, str]) -> str:
    """The address of the workload cluster, as its own file has it; empty where that is gone or does
    not say.
    """
    path = manifest_of(folders(name)[0])
    for document in load(files.get(path, ""), path):
        endpoint = at(document, "spec", "controlPlaneEndpoint")
        host, port = at(endpoint, "host"), at(endpoint, "port")
        if at(document, "kind") == "VSphereCluster" and host and port:
            return f"https://[{host}]:{port}" if ":" in str(host) else f"https://{host}:{port}"
    return ""


def _users(name: str, server: str, files: t.Mapping[str, str]) -> list[str]:
    """The Applications of others that go into the cluster, with their files."""
    documents = ((path, document) for path, text in sorted(files.items()) for document in objects(load(text, path)))
    users = [(path, at(document, "metadata", "name")) for path, document in documents if _goes_to(document, name, server)]
    return [f"{called or 'an Application without a name'} ({path})" for path, called in users]


def _goes_to(document: t.Any, name: str, server: str) -> bool:
    """An ApplicationSet counts by the template of its Applications."""
    above = {"Application": ("spec",), "ApplicationSet": ("spec", "template", "spec")}.get(str(at(document, "kind")))
    if above is None:
        return False
    destination = at(document, *above, "destination")
    return at(destination, "name") == name or bool(server and at(destination, "server") == server)
