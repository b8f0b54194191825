# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The calls that make the VM."""

from __future__ import annotations

import typing as t

from .._connector import names
from .._connector.pyvmomi import vim

if t.TYPE_CHECKING:
    from .._vsphere.compute import Network
    from .model import VmOptions
    from .read import Spot

_CONTROLLERS = {
    "pvscsi": vim.vm.device.ParaVirtualSCSIController,
    "lsilogic": vim.vm.device.VirtualLsiLogicController,
    "lsilogicsas": vim.vm.device.VirtualLsiLogicSASController,
    "buslogic": vim.vm.device.VirtualBusLogicController,
    "sata": vim.vm.device.VirtualAHCIController,
    "nvme": vim.vm.device.VirtualNVMEController,
}
_CARDS = {
    "vmxnet3": vim.vm.device.VirtualVmxnet3,
    "e1000e": vim.vm.device.VirtualE1000e,
    "e1000": vim.vm.device.VirtualE1000,
}

# Every VM has two IDE controllers of these keys, with two places each.
_IDE = (200, 201)
_CONTROLLER_KEY, _DISK_KEY, _CARD_KEY = -101, -201, -301

# Unit 7 of a SCSI bus is the controller's own.
_OWN_UNIT = 7


def start_create(folder: t.Any, spot: Spot, options: VmOptions) -> t.Any:
    """``CreateVM_Task``; its result is the VM.

    Disks are put on as they are: no file of theirs is made or changed.
    """
    hardware, home = options.hardware, options.disks[0]
    spec = vim.vm.ConfigSpec(
        name=names.escape(options.name),
        # Beside the first disk, so that one folder has all of the VM.
        files=vim.vm.FileInfo(vmPathName=f"{home.folder or f'[{home.datastore}]'}/{options.name.replace('/', '_')}.vmx"),
        numCPUs=hardware.cpus,
        memoryMB=hardware.memory,
        guestId=hardware.guest_id,
        firmware=hardware.firmware,
        annotation=options.annotation or None,
        version=f"vmx-{hardware.version:02d}" if hardware.version else None,
        deviceChange=[*_disks(options), *_cards(spot.networks, hardware.card)],
    )
    if hardware.secure_boot:
        spec.bootOptions = vim.vm.BootOptions(efiSecureBootEnabled=True)
    if not home.folder:
        spec.files.vmPathName = f"[{home.datastore}]"
    return folder.CreateVM_Task(spec, spot.pool, spot.host)


def _disks(options: VmOptions) -> list[t.Any]:
    changes: list[t.Any] = []
    kind = _CONTROLLERS.get(options.hardware.controller)
    if kind is not None:
        controller = kind(key=_CONTROLLER_KEY, busNumber=0)
        if isinstance(controller, vim.vm.device.VirtualSCSIController):
            controller.sharedBus = "noSharing"
        changes.append(_added(controller))
    for number, path in enumerate(options.disks):
        key, unit = _place(number, options.hardware.controller)
        backing = vim.vm.device.VirtualDisk.FlatVer2BackingInfo(fileName=str(path), diskMode="persistent")
        disk = vim.vm.device.VirtualDisk(key=_DISK_KEY - number, controllerKey=key, unitNumber=unit, backing=backing)
        disk.capacityInKB = 0  # that of the file counts
        changes.append(_added(disk))
    return changes


def _place(number: int, controller: str) -> tuple[int, int]:
    if controller == "ide":
        return _IDE[number // 2 % 2], number % 2
    scsi = controller not in ("sata", "nvme")
    return _CONTROLLER_KEY, number + 1 if scsi and number >= _OWN_UNIT else number


def _cards(networks: t.Iterable[Network], kind: str) -> list[t.Any]:
    return [
        _added(
            _CARDS[kind](
                key=_CARD_KEY - number,
                backing=network.backing(),
                connectable=vim.vm.device.VirtualDevice.ConnectInfo(
                    startConnected=True, allowGuestControl=True, connected=True
                ),
            )
        )
        for number, network in enumerate(networks)
    ]


def _added(device: t.Any) -> t.Any:
    return vim.vm.device.VirtualDeviceSpec(operation="add", device=device)
