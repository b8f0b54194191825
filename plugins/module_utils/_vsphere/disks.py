# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Virtual disks: the one type, and the one reader of them among the devices of a VM or of a snapshot."""

from __future__ import annotations

import dataclasses
import typing as t

from .._connector.pyvmomi import vim

# A controller's class, and what its disks' places begin with.
_BUSES = {
    "VirtualSCSIController": "scsi",
    "VirtualIDEController": "ide",
    "VirtualAHCIController": "sata",
    "VirtualSATAController": "sata",
    "VirtualNVMEController": "nvme",
}


@dataclasses.dataclass(frozen=True)
class Disk:
    """A virtual disk, of a VM or of a snapshot of it.

    :ivar key: of the device; unique in the VM.
    :ivar unit: controller, bus and unit, as ``scsi0:1``.
    :ivar files: its file, and those of the disks that it is a delta disk of, the topmost first.
    :ivar capacity: in bytes.
    :ivar backing: kind of the backing, as ``FlatVer2``.
    :ivar mode: as ``persistent`` or ``independent_persistent``; empty where the backing has none.
    :ivar physical: whether it is a raw device in physical mode.
    :ivar change_id: from where changed areas count; None where tracking is not active.
    :ivar uuid: of the backing; empty where it has none.
    :ivar object_id: ``diskObjectId``; empty where there is none.
    """

    key: int
    label: str
    unit: str
    files: tuple[str, ...]
    capacity: int
    backing: str = "FlatVer2"
    mode: str = "persistent"
    physical: bool = False
    change_id: str | None = None
    uuid: str = ""
    object_id: str = ""

    @property
    def file(self) -> str:
        """Its topmost file, as ``[datastore] folder/name.vmdk``."""
        return self.files[0] if self.files else ""

    @property
    def identity(self) -> str:
        """What stays the same as long as it is this disk, and no other one in its place."""
        return f"{self.object_id or self.key}/{self.uuid}"


def disks_in(devices: t.Iterable[t.Any] | None) -> tuple[Disk, ...]:
    """The disks among devices.

    :param devices: the property ``config.hardware.device`` of a VM or of a snapshot.
    """
    known = {device.key: device for device in devices or ()}
    disks = [device for device in known.values() if isinstance(device, vim.vm.device.VirtualDisk)]
    return tuple(_disk(disk, known.get(disk.controllerKey)) for disk in disks)


def _disk(device: t.Any, controller: t.Any) -> Disk:
    backing = device.backing
    return Disk(
        key=device.key,
        label=device.deviceInfo.label if device.deviceInfo else f"disk {device.key}",
        unit=f"{_bus(controller)}:{device.unitNumber}",
        files=tuple(_files(backing)),
        capacity=int(device.capacityInBytes or device.capacityInKB * 1024),
        backing=type(backing).__name__.rsplit(".", 1)[-1].removesuffix("BackingInfo"),
        mode=str(getattr(backing, "diskMode", None) or ""),
        physical=getattr(backing, "compatibilityMode", None) == "physicalMode",
        change_id=getattr(backing, "changeId", None) or None,
        uuid=str(getattr(backing, "uuid", None) or ""),
        object_id=device.diskObjectId or "",
    )


def _bus(controller: t.Any) -> str:
    """Controller and bus, as ``scsi0``; a subclass of a controller is one of its kind."""
    for kind in type(controller).__mro__:
        name = _BUSES.get(kind.__name__.rsplit(".", 1)[-1])
        if name is not None:
            return f"{name}{controller.busNumber}"
    return "disk"


def _files(backing: t.Any) -> t.Iterator[str]:
    while backing is not None:
        if getattr(backing, "fileName", None):
            yield backing.fileName
        backing = getattr(backing, "parent", None)
