# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the VM is to be, and what it is if it is there."""

from __future__ import annotations

import contextlib
import dataclasses
import typing as t

from .._connector import names
from .._connector.find import TO_ANCESTORS, find_datacenter, path_in
from .._connector.props import Route, Row, collect
from .._connector.pyvmomi import vim
from .._errors import Ambiguous, Fault, InvalidOption, NotFound
from .._vsphere import compute, directories, disks, fcd, storage
from .._vsphere.datastore_files import DatastoreFiles, FileDenied, FileLocked
from .._vsphere.vm import ABOVE, BASICS, DEVICES, basics, is_readable, moid_of, name_of
from .model import MadeVm, Owner

if t.TYPE_CHECKING:
    from .._connector.session import Session
    from .._vsphere.compute import Network
    from .._vsphere.datastore_files import DatastorePath
    from .model import VmOptions

_HOME: dict[type, tuple[str, ...]] = {
    vim.Datacenter: ("name", "parent", "vmFolder"),
    vim.Folder: ("name", "parent"),
    vim.Datastore: ("name", "summary.type", "summary.url"),
    vim.HostSystem: (*compute.HOST, *compute.HOST_SEES),
    vim.ComputeResource: ("name", "parent", "resourcePool"),
    **compute.NETWORKS,
}
_TO_HOMES = (
    Route("folder-children", vim.Folder, "childEntity", ("folder-children", "datacenter-hosts", "compute-hosts")),
    Route("datacenter-hosts", vim.Datacenter, "hostFolder", ("folder-children",)),
    Route("compute-hosts", vim.ComputeResource, "host", ("host-networks", "host-datastores")),
    *compute.HOST_TO_NETWORKS,
    compute.HOST_TO_DATASTORES,
    *TO_ANCESTORS,
)

_SECURE_BOOT = "config.bootOptions.efiSecureBootEnabled"
_VM: dict[type, tuple[str, ...]] = {
    **ABOVE,
    vim.VirtualMachine: (
        *BASICS,
        DEVICES,
        "config.hardware.numCPU",
        "config.hardware.memoryMB",
        "config.guestId",
        "config.firmware",
        _SECURE_BOOT,
        "snapshot",
        "guest.toolsRunningStatus",
    ),
}


@dataclasses.dataclass(frozen=True)
class Home:
    """A datacenter with what a VM needs of it."""

    moid: str
    path: str
    folder: t.Any
    rows: t.Mapping[str, Row]


@dataclasses.dataclass(frozen=True)
class Spot:
    """The host of a VM, its root pool, and the networks of its cards."""

    host: t.Any
    pool: t.Any
    networks: tuple[Network, ...]


def home(session: Session, options: VmOptions) -> Home:
    """The datacenter and the folder: one call, with a named datacenter two, with a folder one more.

    :raises NotFound, Ambiguous: there is none, or several.
    """
    root = find_datacenter(session, options.datacenter) if options.datacenter else session.content.rootFolder
    rows = {row.moid: row for row in collect(session, [root], _HOME, _TO_HOMES)}
    found = [row for row in rows.values() if isinstance(row.ref, vim.Datacenter)]
    if options.datacenter:
        found = [row for row in found if row.moid == moid_of(root)]
    if len(found) != 1:
        known = sorted(path_in(rows, row.moid) for row in found)
        hint = f"Set datacenter to one of: {names.listing(known) or 'none that this user may see'}."
        raise Ambiguous("The option datacenter is not set.", hint=hint, option="datacenter", matches=known)
    folder = found[0].get("vmFolder")
    if options.folder:
        known_folders = compute.read_folders(session, found[0].moid, [options.folder])
        folder = session.reference(vim.Folder, known_folders[options.folder][0])
    return Home(found[0].moid, path_in(rows, found[0].moid), folder, rows)


def spot(found: Home, options: VmOptions) -> Spot:
    """The first host that can be used, has the datastores of the disks, and sees the networks.

    :raises NotFound: a host that is named is not there.
    :raises InvalidOption: none fits; the reason is that of the last one that was looked at.
    """
    rows = found.rows
    hosts = [row for row in rows.values() if isinstance(row.ref, vim.HostSystem)]
    if options.host is not None:
        hosts = [row for row in hosts if names.same(row.get("name") or "", options.host)]
        if not hosts:
            raise NotFound(f"There is no host {options.host} in {found.path}.", option="host")
    else:
        known = {store for host in hosts for store in _stores_of(found.rows, host)}
        _check_stores(options, known, f"No host of {found.path} has a", "There are")
    why = InvalidOption(f"{found.path} has no host that can be used.", option="host")
    for host in sorted(hosts, key=name_of):
        try:
            return _on(rows, host, options)
        except InvalidOption as error:
            why = error
    raise why


def _check_stores(options: VmOptions, known: t.Collection[str], whose: str, listed: str) -> None:
    """Make sure that the datastores of all disks are among these.

    :param whose: the beginning of the message, up to the word before "datastore".
    :param listed: the beginning of the hint.
    :raises InvalidOption: one is not.
    """
    missing = sorted({disk.datastore for disk in options.disks}.difference(known))
    if missing:
        raise InvalidOption(
            f"{whose} datastore {names.listing(missing)}.",
            hint=f"{listed}: {names.listing(sorted(known), most=20) or 'none that this user may see'}.",
            option="disks",
            allowed=sorted(known),
        )


def _stores_of(rows: t.Mapping[str, Row], host: Row) -> set[str]:
    return {name_of(rows[moid_of(ref)]) for ref in host.get("datastore") or () if moid_of(ref) in rows}


def _on(rows: t.Mapping[str, Row], host: Row, options: VmOptions) -> Spot:
    above = rows.get(moid_of(host.get("parent")))
    pool = above.get("resourcePool") if above is not None else None
    known = compute.host_in(host)
    if not known.available or pool is None:
        why = known.obstacle or "this user does not see its resource pool"
        raise InvalidOption(f"The host {known.name} cannot be used: {why}.", option="host")
    _check_stores(options, _stores_of(rows, host), f"The host {known.name} has no", "It has")
    offered = compute.networks_of(rows, host)
    who = f"VM '{options.name}'"
    wanted = tuple(compute.choose_network(offered, text, who) for text in options.hardware.networks)
    return Spot(host.ref, pool, wanted)


def users(session: Session, found: Home, options: VmOptions) -> dict[str, Owner]:
    """What has disks already that a new VM is to have: VMs, and first class disks.

    Two calls, four where the datastores hold many VMs; one for each datastore, more where it has first class disks; and
    one for each disk on vSAN and vVols.

    :returns: by the disks.
    """
    datacenter = found.rows[found.moid].ref
    where = storage.read(session, datacenter)
    stores = {disk.datastore: where.store_of(found.moid, str(disk)) for disk in options.disks}
    files: dict[str, frozenset[str]] = {}
    for disk in options.disks:
        try:
            store = stores[disk.datastore]
            files[str(disk)] = directories.names_of(session, datacenter, store.kind, store.url, disk)
        except Fault as fault:
            if fault.fault != "InvalidDatastorePath":
                raise
            files[str(disk)] = frozenset({str(disk)})  # it is not there, so nobody has it
    using: dict[str, Owner] = {}
    for file, vms in disks.users_of_files(session, where, datacenter, files).items():
        known = [user.name for user in vms if user.known]
        using |= {file: Owner(", ".join(known))} if known else {}
    for name, store in stores.items():
        free = {str(disk): files[str(disk)] for disk in options.disks if disk.datastore == name and str(disk) not in using}
        first_class = fcd.disks_of_files(session, fcd.Store(moid_of(store.ref), name), free)
        using |= {file: Owner(disk.title, first_class=True) for file, disk in first_class.items()}
    return using


def missing(session: Session, found: Home, options: VmOptions, deadline: float) -> tuple[str, ...]:
    """Which of the disks are not there: no call, and one question for each to the web server of the datastores.

    A disk that this server does not show to this user, or has locked, may be there.
    """
    gone = []
    with DatastoreFiles(session, found.path, deadline) as files:
        for disk in options.disks:
            with contextlib.suppress(FileDenied, FileLocked):
                if not files.there(disk):
                    gone.append(str(disk))
    return tuple(gone)


def dependents(session: Session, moid: str) -> list[str]:
    """The names of the VMs that use disks of a VM, be it that they have the same ones: three calls, five where there are
    many VMs.
    """
    return disks.dependents(session, [moid])[moid]


def _names_of(session: Session, found: Home, store: Row, disk: DatastorePath) -> frozenset[str]:
    """All names by which vCenter may list a disk: no call, one on vSAN and vVols."""
    kind, url = (str(store.get(each) or "") for each in ("summary.type", "summary.url"))
    return directories.names_of(session, found.rows[found.moid].ref, kind, url, disk)


def named(session: Session, folder: t.Any, name: str) -> MadeVm | None:
    """The VM of a name in a folder; None where there is none. One call, or two."""
    ref = session.retrying(lambda: session.manager("searchIndex").FindChild(folder, names.escape(name)))
    return made(session, ref) if isinstance(ref, vim.VirtualMachine) else None


def by_asked_paths(session: Session, found: Home, options: VmOptions, now: MadeVm) -> MadeVm:
    """A VM with the paths of its disks as they were asked for. vCenter lists some on vSAN and vVols
    by another name: one call for each that was not found, and none elsewhere.
    """
    stores = {name_of(row): row for row in found.rows.values() if isinstance(row.ref, vim.Datastore)}
    asked: dict[str, str] = {}
    for disk in options.disks:
        store = stores.get(disk.datastore)
        if store is not None and not any(str(disk) in files for files in now.disks):
            asked |= dict.fromkeys(_names_of(session, found, store, disk), str(disk))
    return dataclasses.replace(now, disks=tuple(tuple(asked.get(file, file) for file in files) for files in now.disks))


def made(session: Session, ref: t.Any) -> MadeVm | None:
    """What a VM is; None where it is gone."""
    rows = {row.moid: row for row in collect(session, [ref], _VM, TO_ANCESTORS)}
    row = rows.get(moid_of(ref))
    if not is_readable(row):
        return None
    return MadeVm(
        **basics(rows, row),
        disks=tuple(disk.files or ("",) for disk in disks.disks_in(row.get(DEVICES))),
        has_snapshots=row.get("snapshot") is not None,
        cpus=int(row.get("config.hardware.numCPU") or 0),
        memory=int(row.get("config.hardware.memoryMB") or 0),
        guest_id=str(row.get("config.guestId") or ""),
        firmware=str(row.get("config.firmware") or "bios"),
        secure_boot=bool(row.get(_SECURE_BOOT)),
        tools=row.get("guest.toolsRunningStatus") == "guestToolsRunning",
    )
