# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What there is where a disk is brought in: datacenters, datastores, hosts, and the VM that carries
it.
"""

from __future__ import annotations

import dataclasses
import datetime
import typing as t

from .._connector import names
from .._connector.find import TO_ANCESTORS, find_datacenter, path_in
from .._connector.props import Route, Row, collect, utc
from .._connector.pyvmomi import vim
from .._errors import Ambiguous, InvalidOption, NotFound
from .._vsphere import compute
from .._vsphere.disks import disk_devices, disks_in
from .._vsphere.vm import DEVICES, config_in, moid_of, name_of

if t.TYPE_CHECKING:
    from .._connector.session import Session
    from .._vsphere.datastore_files import DatastorePath

_HOME: dict[type, tuple[str, ...]] = {
    vim.Datacenter: ("name", "parent", "vmFolder", "datastore"),
    vim.Folder: ("name", "parent"),
    vim.Datastore: ("name", "summary.type", "host"),
    vim.HostSystem: compute.HOST,
    vim.ComputeResource: ("name", "parent", "resourcePool"),
}
_FOLDERS = ("folder-children", "datacenter-stores", "datacenter-hosts")
_TO_HOMES = (
    Route("folder-children", vim.Folder, "childEntity", (*_FOLDERS, "compute-hosts")),
    Route("datacenter-stores", vim.Datacenter, "datastore"),
    Route("datacenter-hosts", vim.Datacenter, "hostFolder", ("folder-children",)),
    Route("compute-hosts", vim.ComputeResource, "host"),
)


@dataclasses.dataclass(frozen=True)
class Home:
    """A datacenter with what an import needs of it.

    :ivar path: of the datacenter.
    :ivar kind: of the datastore (``VMFS``, ``vsan``).
    :ivar hosts: that can be used, as moids, with the host and its root pool.
    """

    ref: t.Any
    path: str
    vm_folder: t.Any
    datastore: t.Any
    kind: str
    hosts: t.Mapping[str, tuple[t.Any, t.Any]]


def datacenter(session: Session, name: str | None, *paths: DatastorePath) -> tuple[t.Any, str]:
    """A datacenter and its path; the only one where none is named. One call, or two.

    :param paths: of files on its datastores.
    :raises NotFound: there is none, or it has no such datastore.
    :raises Ambiguous: there are several.
    """
    root = find_datacenter(session, name) if name else session.content.rootFolder
    rows = {row.moid: row for row in collect(session, [root], _DATACENTERS, _TO_DATACENTERS)}
    found = _chosen(rows, root if name else None)
    path = path_in(rows, found.moid)
    for each in paths:
        _store_of(rows, found, path, each)
    return found.ref, path


_DATACENTERS: dict[type, tuple[str, ...]] = {
    vim.Datacenter: ("name", "parent", "datastore"),
    vim.Folder: ("name", "parent"),
    vim.Datastore: ("name",),
}
_TO_DATACENTERS = (
    Route("folder-children", vim.Folder, "childEntity", ("folder-children", "datacenter-stores")),
    Route("datacenter-stores", vim.Datacenter, "datastore"),
    *TO_ANCESTORS,
)


def _store_of(rows: t.Mapping[str, Row], datacenter: Row, path: str, file: DatastorePath) -> Row:
    """The datastore of a file.

    :param path: of the datacenter.
    :raises NotFound: the datacenter has none of this name.
    """
    stores = [row for ref in datacenter.get("datastore") or () if (row := rows.get(moid_of(ref))) is not None]
    store = next((row for row in stores if name_of(row) == file.datastore), None)
    if store is None:
        known = sorted(name_of(row) for row in stores)
        raise NotFound(
            f"{path} has no datastore {file.datastore}.",
            hint=f"There are: {names.listing(known) or 'none'}.",
            known=known,
        )
    return store


def _chosen(rows: t.Mapping[str, Row], ref: t.Any) -> Row:
    """The datacenter that was named, else the only one.

    :raises Ambiguous: there are several.
    """
    found = [row for row in rows.values() if isinstance(row.ref, vim.Datacenter) and ref in (None, row.ref)]
    if len(found) == 1:
        return found[0]
    known = sorted(path_in(rows, row.moid) for row in found)
    raise Ambiguous(
        "The option datacenter is not set.",
        hint=f"Set datacenter to one of: {names.listing(known) or 'none that this user may see'}.",
        option="datacenter",
        matches=known,
    )


def home(session: Session, target: DatastorePath, *, datacenter: str | None, host: str | None) -> Home:
    """Where a disk is to be imported to: one call, or two where the datacenter is named.

    :param host: name of the host that takes it; None for any that has the datastore.

    :raises NotFound: the datastore or the host is not there.
    :raises Ambiguous: there are several datacenters.
    :raises InvalidOption: no host that can be used has the datastore.
    """
    root = find_datacenter(session, datacenter) if datacenter else session.content.rootFolder
    rows = {row.moid: row for row in collect(session, [root], _HOME, (*_TO_HOMES, *TO_ANCESTORS))}
    found = _chosen(rows, root if datacenter else None)
    path = path_in(rows, found.moid)
    store = _store_of(rows, found, path, target)
    hosts = _hosts(rows, host, target, _mounted(store))
    kind = str(store.get("summary.type") or "")
    return Home(found.ref, path, found.get("vmFolder"), store.ref, kind, hosts)


def _mounted(store: Row) -> set[str]:
    """The moids of the hosts that have a datastore and may write to it."""
    return {
        moid_of(mount.key)
        for mount in store.get("host") or ()
        if mount.mountInfo.accessible is not False and mount.mountInfo.accessMode != "readOnly"
    }


def _hosts(
    rows: t.Mapping[str, Row], wanted: str | None, target: DatastorePath, mounted: set[str]
) -> dict[str, tuple[t.Any, t.Any]]:
    hosts = [row for row in rows.values() if isinstance(row.ref, vim.HostSystem)]
    if wanted is not None:
        hosts = [row for row in hosts if names.same(row.get("name") or "", wanted)]
        if not hosts:
            raise NotFound(f"There is no host {wanted} in this datacenter.", option="host")
    found = {}
    for row in hosts:
        above = rows.get(moid_of(row.get("parent")))
        # None where this user may not see the pool.
        pool = above.get("resourcePool") if above is not None else None
        if row.moid in mounted and compute.host_in(row).available and pool is not None:
            found[row.moid] = (row.ref, pool)
    if not found:
        raise InvalidOption(
            f"No host that can be used has the datastore {target.datastore}.",
            hint="Name another host or datastore, or look whether hosts are connected and this user sees their resource pools.",
            option="host" if wanted else "datastore_path",
        )
    return found


@dataclasses.dataclass(frozen=True)
class Carrier:
    """The VM under which a disk comes into the inventory, and which goes again.

    :ivar config: its pairs of extraConfig.
    :ivar created: when it was made, by vCenter's clock; None where that is not known.
    :ivar devices: its disks, as vSphere's own objects.
    """

    moid: str
    config: t.Mapping[str, str]
    created: datetime.datetime | None
    file: str
    uuid: str
    devices: tuple[t.Any, ...]


def carrier(session: Session, ref: t.Any) -> Carrier | None:
    """What a VM that was made for an import has; None where it is gone."""
    rows = collect(session, [ref], {vim.VirtualMachine: ("name", DEVICES, "config.extraConfig", "config.createDate")})
    if not rows:
        return None
    devices = rows[0].get(DEVICES) or ()
    found = disks_in(devices)
    return Carrier(
        moid=rows[0].moid,
        config=config_in(rows[0].values),
        created=utc(rows[0].get("config.createDate")),
        file=found[0].file if found else "",
        uuid=found[0].uuid if found else "",
        devices=tuple(disk_devices(devices)),
    )


def carrier_named(session: Session, folder: t.Any, name: str) -> t.Any:
    """The VM of this name in a folder, or None: one call."""
    return session.retrying(lambda: session.manager("searchIndex").FindChild(folder, names.escape(name)))
