# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The VM of a disk, read from vCenter."""

from __future__ import annotations

import typing as t

from .._connector import names
from .._connector.find import TO_ANCESTORS, find_vm, path_in
from .._connector.props import PAGE_OF_LITTLE, Route, collect
from .._connector.pyvmomi import vim
from .._errors import NotFound
from .._vsphere import compute, directories
from .._vsphere.disks import disks_in
from .._vsphere.proxy import STORE, stores_in
from .._vsphere.snapshots import snapshots_in
from .._vsphere.vm import ABOVE, BASICS, DEVICES, basics, datacenter_of, is_readable, moid_of, name_of
from .model import DiskVm

if t.TYPE_CHECKING:
    from .._connector.find import Selector
    from .._connector.session import Session
    from .._vsphere.folder import DatastorePath

_VM: dict[type, tuple[str, ...]] = {
    **ABOVE,
    vim.VirtualMachine: (*BASICS, DEVICES, "snapshot", "config.files.vmPathName", "config.keyId", "config.changeVersion"),
    vim.Datastore: STORE,
}
_AROUND_VM = (*TO_ANCESTORS, compute.VM_TO_DATASTORES)


def find(session: Session, selector: Selector, datacenter: str | None) -> DiskVm:
    """The VM that a selector names, with its disks: two calls, one where it is named by its moid.

    :raises NotFound: there is none, or this user may not see it.
    """
    ref = find_vm(session, selector, datacenter)
    rows = {row.moid: row for row in collect(session, [ref], _VM, _AROUND_VM)}
    row = rows.get(moid_of(ref))
    if not is_readable(row):
        raise NotFound(f"There is no VM with the {selector}, or this user may not see it.")
    above = datacenter_of(rows, row)
    return DiskVm(
        **basics(rows, row),
        disks=disks_in(row.get(DEVICES), row.get("config.files.vmPathName") or ""),
        snapshots=snapshots_in(row.get("snapshot")),
        datacenter=path_in(rows, above.moid) if above is not None else "",
        stores=stores_in(rows.values()),
        encrypted=row.get("config.keyId") is not None,
        change_version=row.get("config.changeVersion") or "",
    )


# Of storage that hosts of several datacenters have, each of these has a datastore of its own (API reference, Datastore).
_STORES: dict[type, tuple[str, ...]] = {
    vim.Datacenter: ("datastore",),
    vim.Datastore: ("name", "summary.type", "summary.url"),
}
_TO_STORES = (
    Route("folder-children", vim.Folder, "childEntity", ("folder-children", "datacenter-stores")),
    Route("datacenter-stores", vim.Datacenter, "datastore"),
)


class Place(t.NamedTuple):
    """Where a disk is.

    :ivar datastore: as vSphere's own object.
    :ivar kind: of the datastore (``VMFS``, ``vsan``).
    :ivar names: all by which vCenter may list the disk.
    :ivar elsewhere: the same storage in other datacenters, each with what the disk is called there.
    """

    datastore: t.Any
    kind: str
    names: frozenset[str]
    elsewhere: tuple[tuple[t.Any, frozenset[str]], ...] = ()


def place_of(session: Session, datacenter: t.Any, path: DatastorePath) -> Place:
    """Where a disk is: one call, two on vSAN and vVols.

    :raises NotFound: there is no datastore of the name in the datacenter.
    """
    rows = collect(session, [datacenter, session.content.rootFolder], _STORES, _TO_STORES, PAGE_OF_LITTLE)
    own = {moid_of(ref) for row in rows if row.moid == moid_of(datacenter) for ref in row.get("datastore") or ()}
    rows = [row for row in rows if isinstance(row.ref, vim.Datastore)]
    for row in rows:
        if row.moid in own and name_of(row) == path.datastore:
            kind, url = (str(row.get(each) or "") for each in ("summary.type", "summary.url"))
            called = directories.names_of(session, datacenter, kind, url, path)
            others = [each for each in rows if each.moid not in own and url and each.get("summary.url") == url]
            elsewhere = tuple((each.ref, directories.renamed(called, name_of(each))) for each in others)
            return Place(row.ref, kind, called, elsewhere)
    raise NotFound(
        f"The datacenter has no datastore {path.datastore}.",
        hint=f"There are: {names.listing(sorted(name_of(row) for row in rows if row.moid in own)) or 'none'}.",
    )
