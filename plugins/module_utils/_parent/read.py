# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What there is, read from vCenter: each function is one call for any number of parents, but for the dry run of a clone."""

from __future__ import annotations

import dataclasses
import typing as t

from .._connector import faults, names
from .._connector.find import TO_ANCESTORS, TO_VMS, find_each, path_in, unreadable
from .._connector.props import Row, collect
from .._connector.pyvmomi import vim
from .._vsphere import guest
from .._vsphere.freezing import FROZEN_PATH, Found, found_in, record_in
from .._vsphere.guest import tools_ready
from .._vsphere.markers import MARKER_KEY, parent_of
from .._vsphere.places import is_available
from .model import SNAPSHOT_NAME, Child, Disk, Obstacle, Parent, disk

if t.TYPE_CHECKING:
    from .._connector.find import Selector
    from .._connector.session import Session

PARENT: dict[type, tuple[str, ...]] = {
    guest.MANAGER: guest.MANAGERS,
    vim.VirtualMachine: (
        *guest.VM_ACCESS,
        "parent",
        "parentVApp",
        "snapshot",
        "layoutEx.disk",
        "layoutEx.file",
        "config.files.vmPathName",
        "config.hardware.device",
        "config.instanceUuid",
        "config.template",
        "runtime.powerState",
        "runtime.instantCloneFrozen",
        "guest.toolsVersionStatus2",
        *guest.READY,
        FROZEN_PATH,
    ),
    vim.HostSystem: (*guest.HOST_ACCESS, "name", "runtime.inMaintenanceMode", "runtime.connectionState"),
    vim.Folder: ("name", "parent"),
    vim.Datacenter: ("name", "parent"),
    vim.VirtualApp: ("name", "parent", "parentFolder"),
}
AROUND_PARENT = (*TO_ANCESTORS, *guest.TO_ACCESS)

# One entry of an array by its key, so that not all of every VM's configuration is read.
MARK = f'config.extraConfig["{MARKER_KEY}"]'

CHILDREN: dict[type, tuple[str, ...]] = {
    vim.VirtualMachine: ("name", "parent", "parentVApp", "runtime.powerState", "runtime.host", MARK),
    vim.HostSystem: ("name",),
    vim.Folder: ("name", "parent"),
    vim.Datacenter: ("name", "parent"),
    vim.VirtualApp: ("name", "parent", "parentFolder"),
}
TO_CHILDREN = (*(dataclasses.replace(route, then=(*route.then, guest.TO_ACCESS[0].name)) for route in TO_VMS), *guest.TO_ACCESS)


def vm(session: Session, moid: str) -> t.Any:
    """A reference; nothing is sent."""
    return session.reference(vim.VirtualMachine, moid)


def find_parents(session: Session, selectors: t.Sequence[Selector], datacenter: str | None) -> list[Found[Parent]]:
    """The VMs that the selectors name, in their order.

    :raises NotFound: one of them fits no VM.
    :raises InvalidOption: two of them fit the same one.
    """
    moids = [ref._GetMoId() for ref in find_each(session, selectors, datacenter)]
    found = read_parents(session, moids)
    for moid, selector in zip(moids, selectors, strict=True):
        if moid not in found:
            raise unreadable(selector)
    return [found[moid] for moid in moids]


def read_parents(session: Session, moids: t.Sequence[str]) -> dict[str, Found[Parent]]:
    """What is known of these VMs, by moid; one that cannot be read is left out."""
    if not moids:
        return {}
    roots = [*(vm(session, moid) for moid in moids), session.content.guestOperationsManager]
    rows = {row.moid: row for row in collect(session, roots, PARENT, AROUND_PARENT)}
    shown = [moid for moid in moids if moid in rows and rows[moid].get("config.instanceUuid")]
    return {moid: found_in(session, rows, _parent(rows, rows[moid])) for moid in shown}


def _parent(rows: t.Mapping[str, Row], vm: Row) -> Parent:
    host = rows.get(_moid(vm.get("runtime.host")))
    snapshots = snapshot_names(vm.get("snapshot"))
    return Parent(
        moid=vm.moid,
        name=names.unescape(vm.get("name") or ""),
        path=path_in(rows, vm.moid),
        instance_uuid=vm.get("config.instanceUuid") or "",
        power_state=str(vm.get("runtime.powerState")),
        template=bool(vm.get("config.template")),
        frozen=bool(vm.get("runtime.instantCloneFrozen")),
        tools=tools_ready(vm.values),
        tools_installed=vm.get("guest.toolsVersionStatus2") != "guestToolsNotInstalled",
        host=host.moid if host else "",
        host_name=names.unescape(host.get("name") or "") if host else "",
        host_available=is_available(host),
        disks=disks(vm.values),
        snapshots=tuple(name for name in snapshots if name != SNAPSHOT_NAME),
        leftover=SNAPSHOT_NAME in snapshots,
        devices=obstacles(vm.get("config.hardware.device") or ()),
        record=record_in(vm.values, vm.get("config.instanceUuid") or ""),
    )


def read_children(session: Session, parent_uuids: t.Collection[str]) -> dict[str, list[Child]]:
    """The marked clones of these parents, by the parent's instance UUID: one traversal that reads one mark a VM."""
    found: dict[str, list[Child]] = {uuid: [] for uuid in parent_uuids}
    rows = {row.moid: row for row in collect(session, [session.content.rootFolder], CHILDREN, TO_CHILDREN)}
    for row in rows.values():
        mark, name = row.get(MARK), names.unescape(row.get("name") or "")
        uuid = parent_of(str(mark.value), name) if mark is not None else None
        if uuid in found:
            found[uuid].append(_child(rows, row, name))
    return {uuid: sorted(children, key=lambda child: child.path) for uuid, children in found.items()}


def _child(rows: t.Mapping[str, Row], row: Row, name: str) -> Child:
    host = rows.get(_moid(row.get("runtime.host")))
    return Child(
        moid=row.moid,
        name=name,
        path=path_in(rows, row.moid),
        power_state=str(row.get("runtime.powerState")),
        host=names.unescape(host.get("name") or "") if host else "",
    )


def _moid(ref: t.Any) -> str:
    return ref._GetMoId() if ref is not None else ""


def disks(values: t.Mapping[str, t.Any]) -> tuple[Disk, ...]:
    """The chains of the disks, from ``layoutEx``, which lists a chain from its base on (API reference, DiskLayout.chain)."""
    files = {item.key: item.name for item in values.get("layoutEx.file") or ()}
    labels = {device.key: device.deviceInfo.label for device in values.get("config.hardware.device") or () if device.deviceInfo}
    folder = (values.get("config.files.vmPathName") or "").rpartition("/")[0]
    return tuple(
        disk(
            labels.get(each.key, f"disk {each.key}"),
            folder,
            [files.get(unit.fileKey[0], "") for unit in each.chain or () if unit.fileKey],
        )
        for each in values.get("layoutEx.disk") or ()
    )


def snapshot_names(info: t.Any) -> list[str]:
    """The names of all snapshots of a VM, from its property ``snapshot``; every branch counts."""
    found: list[str] = []
    due = list(info.rootSnapshotList) if info is not None else []
    while due:
        node = due.pop()
        found.append(node.name)
        due.extend(node.childSnapshotList or ())
    return sorted(found)


def obstacles(devices: t.Iterable[t.Any]) -> tuple[Obstacle, ...]:
    """The devices that tie a VM to its host's hardware, which no clone can share."""
    found = []
    for device in devices:
        known = _obstacle(device)
        if known is not None:
            label = device.deviceInfo.label if device.deviceInfo else f"device {device.key}"
            found.append(Obstacle(known[0], f"{label}: {known[1]}", label))
    return tuple(found)


def _obstacle(device: t.Any) -> tuple[str, str] | None:
    kinds = vim.vm.device
    if isinstance(device, kinds.VirtualPCIPassthrough):
        if isinstance(device.backing, kinds.VirtualPCIPassthrough.VmiopBackingInfo):
            return "vgpu", f"a virtual GPU ({device.backing.vgpu}) has state that cannot be cloned."
        return "passthrough", "a PCI device of the host is passed through to it."
    if isinstance(device, kinds.VirtualSriovEthernetCard):
        return "sriov", "an SR-IOV card is a function of the host's hardware."
    if isinstance(device, kinds.VirtualSCSIPassthrough):
        return "scsi_passthrough", "a SCSI device of the host is passed through to it."
    if isinstance(device, kinds.VirtualUSB) and device.connected:
        return "usb_passthrough", "a USB device of the host or of a client is connected to it."
    if isinstance(device, kinds.VirtualSCSIController) and device.sharedBus == "physicalSharing":
        return "shared_bus", "its bus is shared with VMs on other hosts."
    return None


def start_check(session: Session, moid: str) -> t.Any:
    """``CheckInstantClone_Task`` for a clone that asks for nothing; the task's result is a list of CheckResult."""
    spec = vim.vm.InstantCloneSpec(name="vforge-check", location=vim.vm.RelocateSpec())
    return session.content.vmProvisioningChecker.CheckInstantClone_Task(vm(session, moid), spec, None)


def refusals(results: t.Iterable[t.Any]) -> list[Obstacle]:
    """What vCenter found wrong in a dry run."""
    errors = [faults.translate(fault) for result in results for fault in result.error or ()]
    return [Obstacle(error.error_code, error.message) for error in errors]
