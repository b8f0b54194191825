# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""pyVmomi's side of instant clone parents: what to read, and the calls that change something."""

from __future__ import annotations

import dataclasses
import typing as t

from .._connector import faults
from .._connector.find import TO_ANCESTORS, TO_VMS
from .._connector.pyvmomi import vim
from .._vsphere import guest
from .._vsphere.freezing import FROZEN_PATH
from .._vsphere.markers import MARKER_KEY
from . import facts

if t.TYPE_CHECKING:
    from .._connector.session import Session

VIRTUAL_MACHINE = vim.VirtualMachine

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


def disks(values: t.Mapping[str, t.Any]) -> tuple[facts.Disk, ...]:
    """The chains of the disks, from ``layoutEx``, which lists a chain from its base on (API reference, DiskLayout.chain)."""
    names = {item.key: item.name for item in values.get("layoutEx.file") or ()}
    labels = {device.key: device.deviceInfo.label for device in values.get("config.hardware.device") or () if device.deviceInfo}
    folder = (values.get("config.files.vmPathName") or "").rpartition("/")[0]
    return tuple(
        facts.disk(
            labels.get(disk.key, f"disk {disk.key}"),
            folder,
            [names.get(unit.fileKey[0], "") for unit in disk.chain or () if unit.fileKey],
        )
        for disk in values.get("layoutEx.disk") or ()
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


def obstacles(devices: t.Iterable[t.Any]) -> tuple[facts.Obstacle, ...]:
    """The devices that tie a VM to its host's hardware, which no clone can share."""
    found = []
    for device in devices:
        known = _obstacle(device)
        if known is not None:
            label = device.deviceInfo.label if device.deviceInfo else f"device {device.key}"
            found.append(facts.Obstacle(known[0], f"{label}: {known[1]}", label))
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


def start_reset(session: Session, moid: str) -> t.Any:
    """``ResetVM_Task``."""
    return vm(session, moid).ResetVM_Task()


def start_snapshot(session: Session, moid: str) -> t.Any:
    """``CreateSnapshot_Task`` for the snapshot that is thrown away; without memory, and without asking the guest."""
    return vm(session, moid).CreateSnapshot_Task(
        facts.SNAPSHOT_NAME, "Collapses the deltas of an instant clone parent; safe to remove.", False, False
    )


def start_remove_snapshots(session: Session, moid: str) -> t.Any:
    """``RemoveAllSnapshots_Task``, which writes the deltas into their bases."""
    return vm(session, moid).RemoveAllSnapshots_Task(True)


def start_check(session: Session, moid: str) -> t.Any:
    """``CheckInstantClone_Task`` for a clone that asks for nothing; the task's result is a list of CheckResult."""
    spec = vim.vm.InstantCloneSpec(name="vforge-check", location=vim.vm.RelocateSpec())
    return session.content.vmProvisioningChecker.CheckInstantClone_Task(vm(session, moid), spec, None)


def refusals(results: t.Iterable[t.Any]) -> list[facts.Obstacle]:
    """What vCenter found wrong in a dry run."""
    errors = [faults.translate(fault) for result in results for fault in result.error or ()]
    return [facts.Obstacle(error.error_code, error.message) for error in errors]
