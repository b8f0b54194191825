# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The calls that change first class disks and their snapshots."""

from __future__ import annotations

import typing as t
import urllib.parse

from .._connector.pyvmomi import vim
from .._errors import Fault, NotFound
from .._vsphere.fcd import FLAGS, FirstClassDisk, Store, datastore_ref, disk_id, manager
from .._vsphere.vm import reference
from .model import AttachedTo, DiskRequest, Existing, Tag

if t.TYPE_CHECKING:
    from .._connector.session import Session


def _backing(session: Session, store: Store, provisioning: str | None) -> t.Any:
    place = vim.vslm.CreateSpec.DiskFileBackingSpec(datastore=datastore_ref(session, store))
    if provisioning:
        place.provisioningType = provisioning
    return place


def _profiles(profile: str | None) -> list[t.Any]:
    return [vim.vm.DefinedProfileSpec(profileId=profile)] if profile else []


def _named(session: Session, disk: FirstClassDisk) -> tuple[t.Any, t.Any]:
    """The first two arguments of nearly every call: the ID of a disk, and where it is."""
    return disk_id(disk.id), datastore_ref(session, disk.store)


def _pairs(metadata: t.Mapping[str, str | None]) -> list[t.Any]:
    given = {key: value for key, value in sorted(metadata.items()) if value is not None}
    return [vim.KeyValue(key=key, value=value) for key, value in given.items()]


def start_create(
    session: Session,
    request: DiskRequest,
    store: Store,
    profile: str | None,
) -> t.Any:
    """``CreateDisk_Task``; the task's result is the disk. Metadata and the flag for what
    becomes of it are set with it.
    """
    spec = vim.vslm.CreateSpec(
        name=request.new_name or request.disk.name,
        capacityInMB=request.size,
        backingSpec=_backing(session, store, request.provisioning or "thin"),
        profile=_profiles(profile),
        metadata=_pairs(request.metadata),
    )
    if "keep_after_delete_vm" in request.flags:
        spec.keepAfterDeleteVm = request.flags["keep_after_delete_vm"]
    return manager(session).CreateDisk(spec)


def start_clone(
    session: Session,
    request: DiskRequest,
    store: Store,
    source: FirstClassDisk,
    profile: str | None,
) -> t.Any:
    """``CloneVStorageObject_Task``: all of it is done or nothing, metadata included; the task's
    result is the disk.
    """
    spec = vim.vslm.CloneSpec(
        name=request.new_name or request.disk.name,
        backingSpec=_backing(session, store, request.provisioning),
        profile=_profiles(profile),
        metadata=_pairs(request.metadata),
    )
    if "keep_after_delete_vm" in request.flags:
        spec.keepAfterDeleteVm = request.flags["keep_after_delete_vm"]
    return manager(session).CloneVStorageObject(*_named(session, source), spec)


def register(session: Session, request: DiskRequest, existing: Existing, store: Store) -> t.Any:
    """``RegisterDisk``, which takes the URL of a file; returns the disk."""
    address = address_of(session.options.authority, store, existing)
    return manager(session).RegisterDisk(address, request.new_name or request.disk.name)


def address_of(authority: str, store: Store, existing: Existing) -> str:
    """The URL of a file on a datastore, as vCenter takes it of itself."""
    places = {"dcPath": store.datacenter.strip("/"), "dsName": store.name}
    query = urllib.parse.urlencode(places, quote_via=urllib.parse.quote)
    return f"https://{authority.removesuffix(':443')}/folder/{urllib.parse.quote(existing.file)}?{query}"


def start_relocate(
    session: Session,
    disk: FirstClassDisk,
    store: Store,
    provisioning: str | None,
) -> t.Any:
    """``RelocateVStorageObject_Task`` to another datastore, with all snapshots."""
    kind = provisioning or disk.provisioning or None
    spec = vim.vslm.RelocateSpec(backingSpec=_backing(session, store, kind))
    return manager(session).RelocateVStorageObject(*_named(session, disk), spec)


def rename(session: Session, disk: FirstClassDisk, name: str) -> None:
    """``RenameVStorageObject``."""
    manager(session).RenameVStorageObject(*_named(session, disk), name)


def start_grow(session: Session, disk: FirstClassDisk, size_mb: int) -> t.Any:
    """``ExtendDisk_Task``."""
    return manager(session).ExtendDisk(*_named(session, disk), size_mb)


def start_inflate(session: Session, disk: FirstClassDisk) -> t.Any:
    """``InflateDisk_Task``."""
    return manager(session).InflateDisk(*_named(session, disk))


def set_flags(session: Session, disk: FirstClassDisk, names: t.Sequence[str]) -> None:
    """``SetVStorageObjectControlFlags``, which leaves those alone that are not named."""
    flags = [FLAGS[name] for name in names]
    manager(session).SetVStorageObjectControlFlags(*_named(session, disk), flags)


def clear_flags(session: Session, disk: FirstClassDisk, names: t.Sequence[str]) -> None:
    """``ClearVStorageObjectControlFlags``, which leaves those alone that are not named."""
    flags = [FLAGS[name] for name in names]
    manager(session).ClearVStorageObjectControlFlags(*_named(session, disk), flags)


def start_metadata(
    session: Session,
    disk: FirstClassDisk,
    metadata: t.Mapping[str, str],
    remove: t.Sequence[str],
) -> t.Any:
    """``VCenterUpdateVStorageObjectMetadataEx_Task``, which leaves other keys alone."""
    return manager(session).UpdateVStorageObjectMetadataEx(*_named(session, disk), _pairs(metadata), list(remove))


def attach_tag(session: Session, disk: FirstClassDisk, tag: Tag) -> None:
    """``AttachTagToVStorageObject``."""
    try:
        manager(session).AttachTagToVStorageObject(disk_id(disk.id), tag.category, tag.name)
    except Fault as fault:
        if fault.fault != "NotFound":
            raise
        raise NotFound(
            f"There is no tag {tag.name} in a category {tag.category}, or the disk is not there any more.",
            hint="Make the tag first, and look whether this user may see it.",
            option="tags",
        ) from fault


def detach_tag(session: Session, disk: FirstClassDisk, tag: Tag) -> None:
    """``DetachTagFromVStorageObject``."""
    manager(session).DetachTagFromVStorageObject(disk_id(disk.id), tag.category, tag.name)


def start_attach(session: Session, disk: FirstClassDisk, vm: str, owner: AttachedTo) -> t.Any:
    """``AttachDisk_Task`` of a VM."""
    return reference(session, vm).AttachDisk(*_named(session, disk), owner.controller, owner.unit)


def start_detach(session: Session, disk: FirstClassDisk, vm: str) -> t.Any:
    """``DetachDisk_Task`` of a VM."""
    return reference(session, vm).DetachDisk(disk_id(disk.id))


def start_delete(session: Session, disk: FirstClassDisk) -> t.Any:
    """``DeleteVStorageObject_Task``: the disk, its snapshots and its files."""
    return manager(session).DeleteVStorageObject(*_named(session, disk))


def start_reconcile(session: Session, store: Store) -> t.Any:
    """``ReconcileDatastoreInventory_Task``: the list of disks becomes what the datastore has."""
    return manager(session).ReconcileDatastoreInventory(datastore_ref(session, store))


# Snapshots


def start_snapshot(session: Session, disk: FirstClassDisk, description: str) -> t.Any:
    """``VStorageObjectCreateSnapshot_Task``; the task's result is the ID of the snapshot."""
    return manager(session).CreateSnapshot(*_named(session, disk), description)


def start_remove(session: Session, disk: FirstClassDisk, snapshot: str) -> t.Any:
    """``DeleteSnapshot_Task``."""
    return manager(session).DeleteSnapshot(*_named(session, disk), disk_id(snapshot))


def start_revert(session: Session, disk: FirstClassDisk, snapshot: str) -> t.Any:
    """``RevertVStorageObject_Task``: later snapshots go, this one stays."""
    return manager(session).RevertVStorageObject(*_named(session, disk), disk_id(snapshot))


def start_new_disk(session: Session, disk: FirstClassDisk, snapshot: str, name: str) -> t.Any:
    """``CreateDiskFromSnapshot_Task``; the task's result is the new disk."""
    return manager(session).CreateDiskFromSnapshot(*_named(session, disk), disk_id(snapshot), name)
