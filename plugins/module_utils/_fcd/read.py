# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What there is, read from vCenter, and which of it the options mean."""

from __future__ import annotations

import dataclasses
import typing as t

from .._connector import versions
from .._connector.find import find_some
from .._connector.props import read
from .._connector.pyvmomi import vim
from .._errors import Fault, VforgeError
from .._vsphere import fcd
from .._vsphere.fcd import FirstClassDisk, Store, Unreadable
from .._vsphere.vm import name_of, reference

if t.TYPE_CHECKING:
    from .._connector.find import Selector
    from .._connector.session import Session


def require(session: Session) -> None:
    """Make sure that this vCenter has what is done with first class disks here.

    :raises NotSupported: it is older.
    """
    hint = "It needs vCenter 6.7 or later."
    versions.require(session, "6.7", "cannot do with first class disks what is asked", hint=hint)


@dataclasses.dataclass
class Inventory:
    """The datastores and their disks, as far as they were asked for.

    :ivar listed: the disks of a datastore by its moid; filled by ``disks``.
    :ivar ids: the IDs of these, and of those that cannot be read.
    """

    session: Session
    stores: list[Store]
    listed: dict[str, list[FirstClassDisk]] = dataclasses.field(default_factory=dict)
    ids: dict[str, set[str]] = dataclasses.field(default_factory=dict)

    def store(self, text: str) -> Store:
        """The datastore that a text means.

        :raises NotFound: there is none.
        :raises Ambiguous: there are several.
        """
        return fcd.choose_store(self.stores, text)

    def disks(self, store: Store) -> list[FirstClassDisk]:
        """The disks of a datastore that can be read: two calls and one for each thousand, the first
        time.
        """
        if store.moid not in self.listed:
            ids = fcd.list_ids(self.session, store)
            self.ids[store.moid] = set(ids)
            self.listed[store.moid] = _readable(self.session, store, ids)
        return self.listed[store.moid]

    def come_since(self, store: Store, own: t.Collection[str]) -> list[FirstClassDisk]:
        """The disks that have come to a datastore since it was listed: one call, and more where there are others than these.

        :param own: IDs of disks that came from here.
        :returns: none where all are of one's own.
        """
        come = set(fcd.list_ids(self.session, store)) - self.ids.get(store.moid, set())
        return _readable(self.session, store, sorted(come)) if come - set(own) else []


def _readable(session: Session, store: Store, ids: t.Sequence[str]) -> list[FirstClassDisk]:
    return [disk for disk in fcd.read_disks(session, store, ids) if not isinstance(disk, Unreadable)]


def read_inventory(session: Session, datacenter: str | None) -> Inventory:
    """The datastores: one call."""
    return Inventory(session, fcd.read_stores(session, datacenter))


def read_tags(session: Session, disk: FirstClassDisk) -> tuple[str, ...]:
    """The tags of a disk, as ``category:name``: one call."""
    found = session.retrying(lambda: fcd.manager(session).ListTagsAttachedToVStorageObject(fcd.disk_id(disk.id)))
    return tuple(sorted(f"{tag.parentCategoryName}:{tag.tagName}" for tag in found or ()))


def find_targets(
    session: Session, selectors: t.Sequence[Selector], datacenter: str | None
) -> dict[Selector, str | VforgeError]:
    """The moids of the VMs that disks are to be attached to, or why one is not found."""
    wanted = list(dict.fromkeys(selectors))
    found = find_some(session, wanted, datacenter) if wanted else []
    return {
        selector: each if isinstance(each, VforgeError) else each._GetMoId()
        for selector, each in zip(wanted, found, strict=True)
    }


def vm_names(session: Session, moids: t.Iterable[str]) -> dict[str, str]:
    """The names of VMs by moid, as far as this user may see them: one call."""
    refs = [reference(session, moid) for moid in sorted(set(moids))]
    rows = read(session, refs, vim.VirtualMachine, ("name",)) if refs else {}
    return {moid: name_of(row) for moid, row in rows.items()}


def folder_of(path: str) -> str:
    """Of a file, as ``[datastore] folder``; ``[datastore]`` where it is in none."""
    return path.rpartition("/")[0] or f"{path.partition(']')[0]}]"


def start_search(session: Session, store: Store, folder: str) -> t.Any:
    """``SearchDatastore_Task`` for the VMDKs of one folder."""
    query = vim.host.DatastoreBrowser.SearchSpec(matchPattern=["*.vmdk"])
    return session.reference(vim.host.DatastoreBrowser, store.browser).SearchDatastore_Task(folder, query)


def files_in(folder: str, result: t.Any) -> set[str]:
    """The paths of the files that a search has found.

    :param folder: as it was asked for: vCenter may call it otherwise in its answer.
    """
    between = " " if folder.endswith("]") else "/"
    return {f"{folder}{between}{each.path}" for each in result.file or ()}


def is_missing_folder(fault: Fault) -> bool:
    """Whether a search ended since its folder is not there."""
    return fault.fault in ("FileNotFound", "InvalidDatastorePath", "NotFound")
