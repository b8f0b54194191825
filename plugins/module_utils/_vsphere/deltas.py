# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The layers of virtual disks: put one on top, so that linked clones share what is below, and know who uses which."""

from __future__ import annotations

import typing as t

from .._connector import names
from .._connector.props import Route, Row, collect
from .._connector.pyvmomi import vim

if t.TYPE_CHECKING:
    from .._connector.session import Session

_FILES: dict[type, tuple[str, ...]] = {
    vim.VirtualMachine: ("name", "config.files.vmPathName", "layoutEx.disk", "layoutEx.file")
}
_TO_NEIGHBOURS = (
    Route("vm-datastores", vim.VirtualMachine, "datastore", ("datastore-vms",)),
    Route("datastore-vms", vim.Datastore, "vm"),
)


def disks(devices: t.Iterable[t.Any]) -> list[t.Any]:
    """The virtual disks among devices, in the order of their keys."""
    return sorted((item for item in devices if isinstance(item, vim.vm.device.VirtualDisk)), key=lambda disk: int(disk.key))


def count(disk: t.Any) -> int:
    """How many layers a disk has, its base included."""
    found, backing = 0, disk.backing
    while backing is not None:
        found, backing = found + 1, getattr(backing, "parent", None)
    return found


def layer_changes(devices: t.Iterable[t.Any], *, every: bool) -> list[t.Any]:
    """What puts an empty layer on the disks of a VM that is off: each is taken off, and put on again over what it was.

    A linked clone of a VM or template shares the layers below the top one, so without it there would be nothing to share.

    :param every: False leaves out disks that have a layer.
    """
    changes = []
    for disk in disks(devices):
        if disk.backing.parent is not None and not every:
            continue
        backing = type(disk.backing)(
            fileName=f"[{disk.backing.fileName.partition(']')[0].lstrip('[')}]",
            diskMode=disk.backing.diskMode,
            thinProvisioned=disk.backing.thinProvisioned,
            parent=disk.backing,
        )
        child = vim.vm.device.VirtualDisk(
            key=-disk.key,
            controllerKey=disk.controllerKey,
            unitNumber=disk.unitNumber,
            capacityInKB=disk.capacityInKB,
            backing=backing,
        )
        changes.append(vim.vm.device.VirtualDeviceSpec(operation="remove", device=disk))
        changes.append(vim.vm.device.VirtualDeviceSpec(operation="add", fileOperation="create", device=child))
    return changes


def with_layers(session: Session, moids: t.Collection[str]) -> list[str]:
    """Those of the VMs that have more than one layer of their own on a disk, on which another VM may build: one call.

    A VM always writes to its topmost layer, so nobody else can use that one.
    """
    refs = [session.reference(vim.VirtualMachine, moid) for moid in moids]
    rows = collect(session, refs, _FILES)
    return [row.moid for row in rows if _most_layers(row, _own(row)) > 1]


def _most_layers(vm: Row, own: t.Collection[str]) -> int:
    """How many layers that have files among ``own`` a disk has, of the disk that has most."""
    files = {item.key: item.name for item in vm.get("layoutEx.file") or ()}
    chains = (disk.chain or () for disk in vm.get("layoutEx.disk") or ())
    return max((sum(any(files.get(key) in own for key in unit.fileKey) for unit in chain) for chain in chains), default=0)


def dependents(session: Session, moids: t.Collection[str]) -> dict[str, list[str]]:
    """The names of the VMs that use layers of these VMs, by moid: see ``users``."""
    return {moid: sorted(found.values()) for moid, found in users(session, moids).items()}


def users(session: Session, moids: t.Collection[str]) -> dict[str, dict[str, str]]:
    """The moids and names of the VMs that use layers which are these VMs' own, by moid: one call, over their datastores.

    What a VM only shares, because it is a linked clone itself, is not its own.
    """
    if not moids:
        return {}
    refs = [session.reference(vim.VirtualMachine, moid) for moid in moids]
    rows = {row.moid: row for row in collect(session, refs, _FILES, _TO_NEIGHBOURS)}
    used = {row.moid: {name for chain in _chains(row) for name in chain} for row in rows.values()}
    found: dict[str, dict[str, str]] = {}
    for moid in moids:
        own = _own(rows[moid]) if moid in rows else set()
        others = (row for row in rows.values() if row.moid != moid and own & used[row.moid])
        found[moid] = {row.moid: names.unescape(row.get("name") or row.moid) for row in others}
    return found


def _chains(vm: Row) -> list[list[str]]:
    """The files of each disk."""
    files = {item.key: item.name for item in vm.get("layoutEx.file") or ()}
    found = vm.get("layoutEx.disk") or ()
    return [[files[key] for unit in disk.chain or () for key in unit.fileKey if key in files] for disk in found]


def _own(vm: Row) -> set[str]:
    """The files of its disks that lie in its own folder, or in that of the same name on another datastore."""
    home = _folder(vm.get("config.files.vmPathName") or "")
    return {name for chain in _chains(vm) for name in chain if home and _folder(name) == home}


def _folder(name: str) -> str:
    """The folder of a file: ``[datastore] web-1/web-1.vmdk`` is in ``web-1``."""
    return name.rpartition("] ")[2].rpartition("/")[0]
