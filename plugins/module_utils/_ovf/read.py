# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What there is, read from vCenter.

Each function makes a number of calls that does not grow with the inventory.
"""

from __future__ import annotations

import collections
import dataclasses
import typing as t

from .._connector import names
from .._connector.find import TO_ANCESTORS, TO_VMS, datacenter_path, find_folder, path_in
from .._connector.props import Route, Row, collect
from .._connector.pyvmomi import vim
from .._errors import NotFound
from .._vsphere import compute
from .._vsphere.disks import disk_devices
from .._vsphere.vm import CONNECTION, kind_of, moid_of, name_of, row_of
from .model import DIGEST_KEY, KEYS, NAME_KEY, Existing, Place, Surroundings

if t.TYPE_CHECKING:
    from .._connector.session import Session

VIRTUAL_MACHINE = vim.VirtualMachine


def mark_path(key: str) -> str:
    """One pair of extraConfig by its key, so that not all of a VM's configuration is read."""
    return f'config.extraConfig["{key}"]'


MARKS = tuple(mark_path(key) for key in KEYS)

# What changes while a template is made; who waits for it watches this.
PROGRESS = (
    "name",
    "config.changeVersion",
    "config.template",
    "runtime.powerState",
    CONNECTION,
    "config.instanceUuid",
    *MARKS,
)

_EXISTING_VM = (*PROGRESS, "runtime.host", "datastore", "parentVApp")
EXISTING: dict[type, tuple[str, ...]] = {
    vim.ManagedEntity: ("name", "parent"),
    vim.VirtualMachine: _EXISTING_VM,
    vim.HostSystem: ("name", "parent"),
    vim.ComputeResource: ("name",),
    vim.Datastore: ("name",),
    vim.VirtualApp: ("parentFolder",),
}
AROUND_EXISTING = (
    *TO_ANCESTORS,
    Route("vm-host", vim.VirtualMachine, "runtime.host", ("host-compute",)),
    Route("host-compute", vim.HostSystem, "parent"),
    Route("vm-datastores", vim.VirtualMachine, "datastore"),
)

SURROUNDINGS: dict[type, tuple[str, ...]] = {
    vim.Folder: ("name", "parent"),
    vim.Datacenter: ("name", "parent"),
    vim.StoragePod: ("name", "parent"),
    vim.HostSystem: (*compute.HOST, *compute.HOST_SEES, *compute.HOST_MEMORY),
    vim.Datastore: compute.DATASTORE,
    **compute.COMPUTES,
    **compute.NETWORKS,
    vim.SessionManager: ("currentSession.key",),
}
# Networks lead up by a route of their own: by that of the folder they would lead down again, and a
# server that does not remember where it has been would go on for ever.
FROM_FOLDER = (
    Route(
        "folder-parent",
        vim.ManagedEntity,
        "parent",
        ("folder-parent", "datacenter-hosts", "datacenter-stores"),
    ),
    Route("parent", vim.ManagedEntity, "parent", ("parent",)),
    Route("datacenter-stores", vim.Datacenter, "datastoreFolder", ("hosts-children",)),
    *compute.DATACENTER_TO_HOSTS,
    *compute.HOST_TO_POOLS,
    *compute.HOST_TO_NETWORKS,
    compute.HOST_TO_DATASTORES,
)

# What is looked at before a VM that was imported becomes a template, and what its entry in the
# result needs.
FINISH: dict[type, tuple[str, ...]] = {
    **EXISTING,
    vim.VirtualMachine: (
        *_EXISTING_VM,
        "config.hardware.device",
        "layoutEx.disk",
        "layoutEx.file",
    ),
    vim.Datastore: ("name", "summary.type"),
}

VERSIONS: dict[type, tuple[str, ...]] = {vim.VirtualMachine: PROGRESS}

# One mark says whether a VM is made of a package: it comes with the import itself.
MARKED: dict[type, tuple[str, ...]] = {vim.VirtualMachine: (mark_path(DIGEST_KEY),)}

# And another one, of which template it is a version.
NAMED: dict[type, tuple[str, ...]] = {vim.VirtualMachine: (mark_path(NAME_KEY),)}
TO_CHILDREN = (Route("folder-children", vim.Folder, "childEntity"),)

# From a folder, the root folder included, down to every VM.
TO_ALL_VMS = TO_VMS

TASKS: dict[type, tuple[str, ...]] = {vim.Task: ("info.state",)}
TO_TASKS = (Route("vm-tasks", vim.VirtualMachine, "recentTask"),)


def vm(session: Session, moid: str) -> t.Any:
    """A reference; nothing is sent."""
    return session.reference(vim.VirtualMachine, moid)


def folder(session: Session, moid: str) -> t.Any:
    """A reference; nothing is sent."""
    return session.reference(vim.Folder, moid)


def find_child(session: Session, folder_moid: str, name: str) -> t.Any:
    """What has a name in a folder, or None."""
    home = folder(session, folder_moid)
    return session.retrying(lambda: session.manager("searchIndex").FindChild(home, names.escape(name)))


def marks_of(values: t.Mapping[str, t.Any]) -> dict[str, str]:
    """The marks among properties that were read."""
    pairs = (values.get(path) for path in MARKS)
    given = [pair for pair in pairs if pair is not None and pair.value not in (None, "")]
    return {pair.key: str(pair.value) for pair in given}


def count_capacities(devices: t.Iterable[t.Any]) -> collections.Counter[int]:
    """How many disks there are of each capacity in KiB."""
    return collections.Counter(disk.capacityInKB for disk in disk_devices(devices))


def addresses(devices: t.Iterable[t.Any]) -> dict[str, t.Any]:
    """The disks by the addresses that vCenter gives them in imports.

    ``VirtualLsiLogicController0:1``.
    """
    known = list(devices)
    kind = vim.vm.device.VirtualController
    controllers = {device.key: device for device in known if isinstance(device, kind)}
    found = {}
    for disk in disk_devices(known):
        controller = controllers.get(disk.controllerKey)
        if controller is not None:
            found[f"{kind_of(controller)}{controller.busNumber}:{disk.unitNumber or 0}"] = disk
    return found


def address(device_id: str) -> str:
    """The address in a device's ID, such as ``/web/VirtualLsiLogicController0:1``.

    There is one VM in an import, and its name is not escaped alike everywhere.
    """
    return device_id.rpartition("/")[2]


def stored(values: t.Mapping[str, t.Any]) -> dict[int, int]:
    """The bytes that the base of each disk takes, by the disk's key, from ``layoutEx``.

    Only of disks that are files.
    """
    files = {item.key: item for item in values.get("layoutEx.file") or ()}
    found = {}
    for disk in values.get("layoutEx.disk") or ():
        keys = disk.chain[0].fileKey if disk.chain else ()
        extents = [files[key] for key in keys if key in files]
        sizes = [extent.size for extent in extents if extent.type == "diskExtent"]
        if sizes:
            found[disk.key] = sum(sizes)
    return found


def sent_sizes(mark: str) -> dict[str, int]:
    """In how many bytes each disk was sent, by its address.

    :param mark: the pair that came with the import, which others may have changed.
    """
    found = {}
    for word in mark.split():
        address_text, equals, size = word.rpartition("=")
        if equals and size.isascii() and size.isdigit() and len(size) < 20:
            found[address_text] = int(size)
    return found


@dataclasses.dataclass(frozen=True)
class Home:
    """The folder of the template."""

    moid: str
    path: str


def find_home(session: Session, place: Place) -> Home:
    """The folder that the options name; the VM folder of the datacenter where they name none.

    :raises NotFound: the folder or the datacenter.
    :raises InvalidOption: no datacenter is named, and there are several.
    """
    text = place.folder or ""
    if text.startswith("/"):
        path = names.join(names.split(text))
        return Home(find_folder(session, path)._GetMoId(), path)
    if place.datacenter:
        # Right at once where the datacenter lies in the root folder or is given by its path.
        path = names.join([*names.split(place.datacenter), "vm", *names.split(text)])
        try:
            return Home(find_folder(session, path)._GetMoId(), path)
        except NotFound:
            pass
    path = names.join(
        [*names.split(datacenter_path(session, place.datacenter)), "vm", *names.split(text)],
    )
    return Home(find_folder(session, path)._GetMoId(), path)


def read_named(session: Session, home: Home, wanted: t.Sequence[str]) -> dict[str, Existing]:
    """What holds these names in the folder; a name that is free is left out."""
    found = {name: find_child(session, home.moid, name) for name in wanted}
    refs = {name: ref for name, ref in found.items() if ref is not None}
    known = read_vms(session, list(refs.values()))
    return {name: known[moid_of(ref)] for name, ref in refs.items() if moid_of(ref) in known}


def read_vms(session: Session, refs: t.Sequence[t.Any]) -> dict[str, Existing]:
    """What is known of VMs and other entities, by moid; one that is gone is left out."""
    rows = {row.moid: row for row in collect(session, refs, EXISTING, AROUND_EXISTING)}
    wanted = [ref._GetMoId() for ref in refs]
    return {moid: existing_in(rows, moid) for moid in wanted if moid in rows}


def existing_in(rows: t.Mapping[str, Row], moid: str) -> Existing:
    """An object among rows that were read with ``EXISTING`` and ``AROUND_EXISTING``."""
    row = rows[moid]
    host = row_of(rows, row.get("runtime.host"))
    stores = [row_of(rows, ref) for ref in row.get("datastore") or ()]
    owner = row_of(rows, host.get("parent")) if host else None
    return dataclasses.replace(
        existing_of(row.moid, row.values, kind_of(row.ref)),
        path=path_in(rows, row.moid),
        host_name=name_of(host),
        compute=name_of(owner),
        datastores=tuple(name_of(store) for store in stores if store is not None),
    )


def existing_of(moid: str, values: t.Mapping[str, t.Any], kind: str = "VirtualMachine") -> Existing:
    """What its own properties report of a VM."""
    return Existing(
        moid=moid,
        name=names.unescape(values.get("name") or ""),
        kind=kind,
        configured=bool(values.get("config.instanceUuid")),
        marks=marks_of(values),
        template=bool(values.get("config.template")),
        power_state=str(values.get("runtime.powerState") or "poweredOff"),
        instance_uuid=values.get("config.instanceUuid") or "",
        change_version=values.get("config.changeVersion") or "",
        connection=str(values.get(CONNECTION) or ""),
    )


def surroundings(session: Session, home: Home) -> Surroundings:
    """What the datacenter of a folder offers, and the key of the session: one call."""
    roots = [folder(session, home.moid), session.content.sessionManager]
    rows = {row.moid: row for row in collect(session, roots, SURROUNDINGS, FROM_FOLDER)}
    manager = row_of(rows, session.content.sessionManager)
    pods = [row for row in rows.values() if isinstance(row.ref, vim.StoragePod)]
    return Surroundings(
        computes=compute.computes_in(rows),
        hosts=compute.hosts_in(rows),
        datastores=tuple(compute.datastores_in(rows).values()),
        networks=compute.networks_in(rows),
        datastore_clusters={row.moid: name_of(row) for row in pods},
        session_key=(manager.get("currentSession.key") if manager is not None else None) or "",
    )
