# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The VM of a disk, read from vCenter."""

from __future__ import annotations

import typing as t

from .._connector.find import TO_ANCESTORS, find_vm, path_in
from .._connector.props import collect
from .._connector.pyvmomi import vim
from .._errors import NotFound
from .._vsphere import compute, directories, storage
from .._vsphere.disks import disks_in
from .._vsphere.proxy import STORE, stores_in
from .._vsphere.snapshots import snapshots_in
from .._vsphere.vm import ABOVE, BASICS, DEVICES, basics, datacenter_of, is_readable, moid_of
from .model import DiskVm

if t.TYPE_CHECKING:
    from .._connector.find import Selector
    from .._connector.session import Session
    from .._vsphere.datastore_files import DatastorePath
    from .._vsphere.storage import Storage

_VM: dict[type, tuple[str, ...]] = {
    **ABOVE,
    vim.VirtualMachine: (
        *BASICS,
        DEVICES,
        "snapshot",
        "config.files.vmPathName",
        "config.keyId",
        "config.changeVersion",
        "config.version",
    ),
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
        hardware=str(row.get("config.version") or "").rpartition("-")[2],
    )


class Place(t.NamedTuple):
    """Where a disk is.

    :ivar datacenter: as vSphere's own object.
    :ivar datastore: the same.
    :ivar kind: of the datastore (``VMFS``, ``vsan``).
    :ivar names: all by which vCenter may list the disk.
    :ivar where: the datastores of the inventory.
    """

    datacenter: t.Any
    datastore: t.Any
    kind: str
    names: frozenset[str]
    where: Storage


def place_of(session: Session, datacenter: t.Any, path: DatastorePath) -> Place:
    """Where a disk is: one call, two on vSAN and vVols.

    :raises NotFound: there is no datastore of the name in the datacenter.
    """
    where = storage.read(session, datacenter)
    store = where.store_of(moid_of(datacenter), str(path))
    called = directories.names_of(session, datacenter, store.kind, store.url, path)
    return Place(datacenter, store.ref, store.kind, called, where)
