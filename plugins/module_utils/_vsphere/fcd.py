# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""First class disks: the one type, the readers, and the way to the global catalogue.

A first class disk (FCD, in the API ``VStorageObject``) is a disk that has an ID of its own and
needs no VM. vCenter answers for one at a time, by its manager in the service for VMs. Its global
catalogue, a service beside it at ``/vslm/sdk``, answers for a thousand at once (vSphere API 6.7.2
and later).
"""

from __future__ import annotations

import dataclasses
import typing as t

from .._connector import names, versions
from .._connector.find import datacenter_in, path_in
from .._connector.props import Route, collect, moment
from .._connector.pyvmomi import VmomiSupport, vim, vslm
from .._errors import Ambiguous, Fault, InvalidOption, NotFound, StrangeAnswer, Unavailable, VforgeError
from .vm import datacenter_of, name_of

if t.TYPE_CHECKING:
    from .._connector.session import Session

# Of how many disks one call asks. The catalogue may answer for fewer, and is asked again then.
BATCH = 1000

_PATH = "/vslm/sdk"

# The versions of the catalogue's API with something in them that is read here, the newest first,
# and the API of the vCenter that has them.
_CATALOGUE_VERSIONS = (
    ("vslm/7.0.2.0", "7.0.2"),
    ("vslm/7.0.1.0", "7.0.1"),
    ("vslm/7.0.0.0", "7.0"),
    ("vslm/6.7.2", "6.7.2"),
)

# What says that a server does not know a method, by the name of the fault.
_UNKNOWN_METHOD = ("MethodNotFound", "InvalidRequest", "NotSupported")

_STORES: dict[type, tuple[str, ...]] = {
    vim.Folder: ("name", "parent"),
    vim.Datacenter: ("name", "parent"),
    vim.Datastore: ("name", "parent", "info.url", "browser", "summary.type"),
}
_TO_STORES = (
    Route("folder-children", vim.Folder, "childEntity", ("folder-children", "datacenter-stores")),
    Route("datacenter-stores", vim.Datacenter, "datastoreFolder", ("folder-children",)),
)

# Control flags, by the name that the collection has for each.
FLAGS = {
    "keep_after_delete_vm": "keepAfterDeleteVm",
    "relocation_disabled": "disableRelocation",
    "change_tracking": "enableChangedBlockTracking",
}


@dataclasses.dataclass(frozen=True)
class Store:
    """A datastore, as far as first class disks go.

    :ivar path: inventory path.
    :ivar datacenter: inventory path of its datacenter.
    :ivar url: as the global catalogue names it.
    :ivar browser: moid of what lists its files.
    :ivar kind: ``VMFS``, ``NFS``, ``vsan`` and so on.
    """

    moid: str
    name: str
    path: str = ""
    datacenter: str = ""
    url: str = ""
    browser: str = ""
    kind: str = ""


@dataclasses.dataclass(frozen=True)
class Attachment:
    """A VM that has a disk: its moid, and the key of the device."""

    vm: str
    key: int


@dataclasses.dataclass(frozen=True)
class DiskSnapshot:
    """A snapshot of a first class disk.

    :ivar created: in ISO 8601; empty where it was not read.
    :ivar path: of its file, where it was read.
    """

    id: str
    description: str = ""
    created: str = ""
    path: str = ""
    backing_id: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class FirstClassDisk:
    """A first class disk.

    :ivar capacity_mb: in MiB.
    :ivar path: of its topmost file, as ``[datastore]
        folder/name.vmdk``; ``parents`` are those below.
    :ivar provisioning: ``thin``, ``lazyZeroedThick`` or
        ``eagerZeroedThick``; empty where it was not read.
    :ivar flags: control flags by the collection's names, as far as they were read.
    :ivar used_mb: what it occupies; None where the catalogue does not say.
    :ivar attachments: the VMs that have it.
    :ivar consumers: IDs of what uses it, as vCenter lists them.
    """

    id: str
    name: str
    store: Store
    capacity_mb: int
    path: str = ""
    parents: tuple[str, ...] = ()
    backing_id: str = ""
    provisioning: str = ""
    created: str = ""
    flags: t.Mapping[str, bool] = dataclasses.field(default_factory=dict)
    metadata: t.Mapping[str, str] = dataclasses.field(default_factory=dict)
    used_mb: int | None = None
    attachments: tuple[Attachment, ...] = ()
    consumers: tuple[str, ...] = ()
    snapshots: tuple[DiskSnapshot, ...] = ()

    @property
    def attached(self) -> bool:
        """Whether a VM has it."""
        return bool(self.attachments or self.consumers)

    @property
    def title(self) -> str:
        """What messages call it: names may repeat, so the ID is in it."""
        return f"{self.name} ({self.id})"


def disk_id(text: str) -> t.Any:
    """The ID of a disk or a snapshot, as vSphere's own object."""
    return vim.vslm.ID(id=text)


def manager(session: Session) -> t.Any:
    """The manager of first class disks in the service for VMs.

    :raises NotSupported: there is none before vSphere 6.5.
    """
    return session.manager("vStorageObjectManager")


def datastore_ref(session: Session, store: Store) -> t.Any:
    """A reference to a datastore; nothing is sent."""
    return session.reference(vim.Datastore, store.moid)


# Datastores


def read_stores(session: Session, datacenter: str | None = None) -> list[Store]:
    """The datastores of the inventory, or of one datacenter, in the order of their paths: one call.

    :param datacenter: its name or inventory path.
    :raises NotFound: with the datacenters that there are.
    :raises Ambiguous: several datacenters have the name.
    """
    rows = {row.moid: row for row in collect(session, [session.content.rootFolder], _STORES, _TO_STORES)}
    only = datacenter_in(rows, datacenter) if datacenter else ""
    found = []
    for moid, row in rows.items():
        if not isinstance(row.ref, vim.Datastore):
            continue
        above = datacenter_of(rows, row)
        if only and (above is None or above.moid != only):
            continue
        place = path_in(rows, above.moid) if above is not None else ""
        browser = row.get("browser")
        found.append(
            Store(
                moid=moid,
                name=name_of(row),
                path=path_in(rows, moid),
                datacenter=place,
                url=row.get("info.url") or "",
                browser=browser._GetMoId() if browser is not None else "",
                kind=str(row.get("summary.type") or ""),
            )
        )
    return sorted(found, key=lambda store: store.path)


def choose_store(stores: t.Sequence[Store], text: str) -> Store:
    """The datastore that a text means: its name, its inventory path, or its moid.

    :raises NotFound: with the datastores that there are.
    :raises Ambiguous: several datacenters have one of this name.
    """
    found = [store for store in stores if text == store.moid or names.means(text, store.name, store.path)]
    if len(found) == 1:
        return found[0]
    if found:
        paths = [store.path for store in found]
        raise Ambiguous(
            f"{len(found)} datastores are called {text}: {names.listing(paths)}.",
            hint="Give the inventory path of the one that is meant, or set datacenter.",
            matches=paths,
        )
    known = [store.name for store in stores]
    raise NotFound(
        f"No datastore {text} was found.",
        hint=f"There are: {names.listing(names.nearest_first(text, known)) or 'none'}.",
        known=known,
    )


# One disk


def read_disk(session: Session, store: Store, text: str) -> FirstClassDisk:
    """A disk by its ID, with all that vCenter says of one: one call.

    :raises NotFound: there is none on this datastore, or its files are gone.
    """
    ref = datastore_ref(session, store)
    try:
        found = session.retrying(lambda: manager(session).RetrieveVStorageObject(disk_id(text), ref))
    except Fault as fault:
        if fault.fault not in ("NotFound", "FileNotFound") and not _is_unknown_id(fault):
            raise
        raise NotFound(
            f"No first class disk with the ID {text} can be found on the datastore {store.name}.",
            hint="If it is listed there, its files are gone: see first_class_disk_info with orphans, and reconcile.",
            id=text,
        ) from fault
    return disk_in(found, store)


def _is_unknown_id(fault: Fault) -> bool:
    """Whether a fault says that an ID is nobody's: some releases call that an argument that is not
    correct.
    """
    return fault.fault == "InvalidArgument" and fault.details.get("invalid_property") in (
        None,
        "",
        "id",
        "VolumeId",
    )


def disk_in(found: t.Any, store: Store) -> FirstClassDisk:
    """The disk that a ``VStorageObject`` describes."""
    config = found.config
    backing = config.backing
    parents, below = [], getattr(backing, "parent", None)
    while below is not None:
        parents.append(below.filePath)
        below = below.parent
    flags = {
        "keep_after_delete_vm": config.keepAfterDeleteVm,
        "relocation_disabled": config.relocationDisabled,
        "change_tracking": config.changedBlockTrackingEnabled,
    }
    return FirstClassDisk(
        id=config.id.id,
        name=config.name,
        store=store,
        capacity_mb=int(config.capacityInMB),
        path=getattr(backing, "filePath", ""),
        parents=tuple(parents),
        backing_id=getattr(backing, "backingObjectId", None) or "",
        provisioning=getattr(backing, "provisioningType", None) or "",
        created=moment(config.createTime),
        flags={name: bool(value) for name, value in flags.items() if value is not None},
        metadata=pairs_in(config.metadata),
        consumers=tuple(each.id for each in config.consumerId or ()),
    )


def pairs_in(found: t.Iterable[t.Any] | None) -> dict[str, str]:
    """Metadata as a mapping, in the order of its keys."""
    return {pair.key: pair.value or "" for pair in sorted(found or (), key=lambda pair: pair.key)}


def read_snapshots(session: Session, store: Store, text: str) -> tuple[DiskSnapshot, ...]:
    """The snapshots of a disk, the oldest first: one call.

    :raises Fault: as vCenter does.
    """
    ref = datastore_ref(session, store)
    found = session.retrying(lambda: manager(session).RetrieveSnapshotInfo(disk_id(text), ref))
    return tuple(
        DiskSnapshot(
            id=each.id.id if each.id is not None else "",
            description=each.description or "",
            created=moment(each.createTime),
            backing_id=each.backingObjectId or "",
        )
        # The API reference promises no order.
        for each in sorted(found.snapshots or (), key=lambda each: moment(each.createTime))
    )


# Many disks


def list_ids(session: Session, store: Store) -> list[str]:
    """The IDs of all disks that a datastore lists, whether they can be read or not: one call."""
    ref = datastore_ref(session, store)
    found = session.retrying(lambda: manager(session).ListVStorageObject(ref))
    return [each.id for each in found or ()]


def read_attachments(session: Session, disks: t.Sequence[tuple[str, Store]]) -> dict[str, tuple[Attachment, ...]]:
    """The VMs that have disks, by the disks' IDs: one call for each thousand.

    :returns: nothing of a disk that vCenter cannot say it of, or where it does not know the call.
    """
    found: dict[str, tuple[Attachment, ...]] = {}
    kind = vim.vslm.vcenter.RetrieveVStorageObjSpec
    for begin in range(0, len(disks), BATCH):
        part = disks[begin : begin + BATCH]
        asked = [kind(id=disk_id(text), datastore=datastore_ref(session, store)) for text, store in part]
        try:
            answer = session.retrying(lambda asked=asked: manager(session).RetrieveVStorageObjectAssociations(asked))  # type: ignore[misc]
        except Fault as fault:
            if fault.fault in _UNKNOWN_METHOD:
                return found
            raise
        for each in answer or ():
            if each.fault is None:
                found[each.id.id] = tuple(Attachment(vm.vmId, vm.diskKey) for vm in each.vmDiskAssociations or ())
    return found


@dataclasses.dataclass(frozen=True)
class Unreadable:
    """A disk that is listed, and of which nothing can be read.

    :ivar error: why.
    """

    id: str
    store: Store
    error: VforgeError


def read_disks(session: Session, store: Store, ids: t.Sequence[str]) -> list[FirstClassDisk | Unreadable]:
    """What the global catalogue has of disks, in their order: one call for each thousand.

    Where there is no such catalogue, each is read by itself.
    """
    if not ids:
        return []
    catalogue = Catalogue.of(session)
    if catalogue is None:
        return [_read_alone(session, store, text) for text in ids]
    known: dict[str, FirstClassDisk | Unreadable] = {}
    left = list(ids)
    while left:
        try:
            answer = catalogue.retrieve(left[:BATCH])
        except (Fault, StrangeAnswer, Unavailable) as error:
            if isinstance(error, Fault) and error.fault not in _UNKNOWN_METHOD:
                raise
            return [_read_alone(session, store, text) for text in ids]
        before = len(known)
        known |= {each.id.id: _entry(each, store) for each in answer}
        left = [text for text in left if text not in known]
        if len(known) == before:
            known |= {text: _read_alone(session, store, text) for text in left}
            break
    return [known[text] for text in ids]


def disk_of_file(session: Session, store: Store, called: t.Collection[str]) -> FirstClassDisk | None:
    """The first class disk that a file is, or that rests on it; see ``disks_of_files``.

    :param called: all names of the file, ``[datastore] web/web.vmdk``; see ``directories.names_of``.
    """
    return disks_of_files(session, store, {"": called}).get("")


def disks_of_files(session: Session, store: Store, files: t.Mapping[str, t.Collection[str]]) -> dict[str, FirstClassDisk]:
    """The first class disks that files are, or that rest on them: one call where the datastore has no such disks, otherwise
    two more, and one for each thousand. Without a global catalogue, one for each. Whether a VM has a disk says
    nothing of that.

    :param files: all names of each file, by the one that is its key in what is returned.
    """
    if not files or session.content.vStorageObjectManager is None:
        return {}  # without a manager: vSphere before 6.5
    found: dict[str, FirstClassDisk] = {}
    for disk in read_disks(session, store, list_ids(session, store)):
        if isinstance(disk, Unreadable):
            continue
        under = {disk.path, *disk.parents, *(each.path for each in disk.snapshots)}
        found |= {file: disk for file, called in files.items() if file not in found and not under.isdisjoint(called)}
    return found


def _read_alone(session: Session, store: Store, text: str) -> FirstClassDisk | Unreadable:
    try:
        return read_disk(session, store, text)
    except NotFound as error:
        return Unreadable(text, store, error)


def _entry(found: t.Any, store: Store) -> FirstClassDisk | Unreadable:
    """A disk as the catalogue has it."""
    if found.error is not None:
        why = f"The first class disk {found.id.id} is listed on the datastore {store.name}, and cannot be found."
        return Unreadable(found.id.id, store, NotFound(why, hint="Reconcile the datastore.", id=found.id.id))
    backing = found.backingObjectId
    snapshots = (
        DiskSnapshot(
            id=each.snapshotId.id if each.snapshotId is not None else "",
            description=each.description or "",
            path=each.diskPath or "",
            backing_id=each.backingObjectId.id if each.backingObjectId is not None else "",
        )
        for each in found.snapshotInfo or ()
    )
    # "Returns -1L if the space information is currently unavailable" (API reference).
    used_is_known = found.usedCapacityInMB is not None and found.usedCapacityInMB >= 0
    return FirstClassDisk(
        id=found.id.id,
        name=found.name or "",
        store=store,
        capacity_mb=int(found.capacityInMB),
        path=found.diskPath or "",
        backing_id=backing.id if backing is not None else "",
        created=moment(found.createTime),
        metadata=pairs_in(found.metadata),
        used_mb=int(found.usedCapacityInMB) if used_is_known else None,
        snapshots=tuple(snapshots),
    )


class Catalogue:
    """The global catalogue of first class disks, in the session of the service for VMs.

    :param moid: of its manager.
    :param version: of its API, as pyVmomi names it.
    """

    def __init__(self, session: Session, moid: str, version: str) -> None:
        self._session = session
        self._moid = moid
        self._version = version

    @classmethod
    def of(cls, session: Session) -> Catalogue | None:
        """The catalogue of a vCenter: one call. None where it has none."""
        server = session.about.get("apiVersion", "")
        version = next((name for name, since in _CATALOGUE_VERSIONS if versions.at_least(server, since)), None)
        known = version is not None and version in VmomiSupport.versionMap
        if not known or version is None:
            return None
        named = VmomiSupport.versionMap[version]
        try:
            content = _asking(
                session,
                named,
                lambda stub: vslm.ServiceInstance("ServiceInstance", stub).RetrieveContent(),
            )
        except (Fault, StrangeAnswer, Unavailable) as error:
            if isinstance(error, Fault) and error.fault not in _UNKNOWN_METHOD:
                raise
            return None
        return cls(session, content.vStorageObjectManager._GetMoId(), named)

    def retrieve(self, ids: t.Sequence[str]) -> list[t.Any]:
        """``VslmRetrieveVStorageObjects``: what the catalogue has of these disks, perhaps of fewer."""
        asked = [disk_id(text) for text in ids]
        kind = vslm.vso.VStorageObjectManager
        return list(
            _asking(
                self._session,
                self._version,
                lambda stub: kind(self._moid, stub).RetrieveVStorageObjects(asked),
            )
            or ()
        )


def _asking(session: Session, version: str, ask: t.Callable[[t.Any], t.Any]) -> t.Any:
    """One question in the session as it is at this moment."""

    def once() -> t.Any:
        stub = session.stub.beside(_PATH, version)
        stub.requestContext = {"vcSessionCookie": session.stub.session_key}
        return ask(stub)

    return session.retrying(once)


# Which disk is meant


@dataclasses.dataclass(frozen=True)
class DiskSelector:
    """What names one first class disk of a datastore: its ID or, where no other has it, its name."""

    id: str | None = None
    name: str | None = None

    def __str__(self) -> str:
        return f"ID {self.id}" if self.id else f"name {names.shown(self.name or '')}"


def selector_from(params: t.Mapping[str, t.Any], option: str) -> DiskSelector:
    """The disk that suboptions name.

    :raises InvalidOption: neither ID nor name is given, or both.
    """
    given = [key for key in ("id", "name") if params.get(key)]
    if len(given) != 1:
        raise InvalidOption(
            f"{option} is given by {' and '.join(given) or 'nothing'}.",
            hint="Set either id or name.",
            option=option,
        )
    return DiskSelector(id=params.get("id") or None, name=params.get("name") or None)


def only_one(found: t.Sequence[FirstClassDisk], name: str, store: Store) -> FirstClassDisk:
    """The only disk of a name.

    :raises Ambiguous: several have it; the message lists their IDs.
    :raises NotFound: none has.
    """
    if len(found) == 1:
        return found[0]
    if not found:
        raise NotFound(f"No first class disk called {name} is on the datastore {store.name}.", name=name)
    listed = [f"{disk.id} ({disk.capacity_mb} MiB, {disk.path or 'no path'})" for disk in found]
    raise Ambiguous(
        f"{len(found)} first class disks on {store.name} are called {name}: {names.listing(listed)}.",
        hint="Name the one that is meant by its id.",
        matches=[disk.id for disk in found],
    )
