# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which device of a lease is which disk of its VM. vCenter promises no names for them."""

from __future__ import annotations

import collections
import dataclasses
import re
import typing as t
import urllib.parse

from . import vmdk
from .lease import CONTROLLER_AND_UNIT

if t.TYPE_CHECKING:
    from .disks import Disk
    from .lease import Device, Ready

# Bytes of a grain of a streamOptimized file ("Virtual Disk Format 5.0", VMware), which its capacity
# is in whole numbers of.
_GRAIN = 128 * vmdk.SECTOR
_NUMBERED = re.compile(r"(?:^|/)disk-(\d+)\.vmdk$")
_SCSI = ("scsi", "lsilogic", "lsilogicsas", "buslogic", "paravirtualscsi", "paravirtual")
_BUSES = {**dict.fromkeys(_SCSI, "scsi"), "ide": "ide", "ahci": "sata", "sata": "sata", "nvme": "nvme"}


@dataclasses.dataclass(frozen=True)
class Expected:
    """A disk that an export is to have.

    :ivar unit: as ``scsi0:1``; empty where it is not known.
    :ivar file: its topmost one, as ``[datastore] folder/name.vmdk``.
    :ivar capacity: in bytes.
    """

    unit: str
    file: str
    capacity: int


def device_of(ready: Ready, disk: Disk, disks: t.Sequence[Disk]) -> Device | None:
    """The device of a lease that is a disk, as ``devices_of`` finds it.

    :param disks: all that the lease is of.
    """
    found = devices_of(ready.devices, [Expected(each.unit, each.file, each.capacity) for each in disks])
    keys = [each.key for each in disks]
    return found[keys.index(disk.key)] if disk.key in keys else None


def devices_of(devices: t.Sequence[Device], disks: t.Sequence[Expected]) -> list[Device | None]:
    """The device of each disk of a lease: by the controller and unit in its key, else by the name
    of its file.

    No form of keys is promised (API reference, HttpNfcLeaseDeviceUrl). What neither says is taken
    by number or order, and as a guess, where what comes will show whether that is right.

    :param disks: all that the lease is of.
    :returns: None for a disk that has no device, or where nobody can say which it is.
    """
    offered = [device for device in devices if device.disk]
    found = _by_name([disk.unit for disk in disks], {device: unit_in(device.key) for device in offered})
    for number, device in _by_name([_file_name(disk.file) for disk in disks], _file_names(offered)).items():
        if number not in found and device not in found.values():
            found[number] = device
    rest = [number for number in range(len(disks)) if number not in found]
    left = _in_order([device for device in offered if device not in found.values()], [disks[number] for number in rest])
    found |= dict(zip(rest, left, strict=False))
    return [found.get(number) for number in range(len(disks))]


def _by_name(names: t.Sequence[str], offered: t.Mapping[Device, str]) -> dict[int, Device]:
    """What has a name that nothing else has, by the place of that name."""
    often, offers = collections.Counter(names), collections.Counter(offered.values())
    by_name = {name: device for device, name in offered.items()}
    return {number: by_name[name] for number, name in enumerate(names) if name and often[name] == offers[name] == 1}


def _file_names(offered: t.Sequence[Device]) -> dict[Device, str]:
    """Names such as ``disk-0.vmdk``, which vCenter makes for the export, are those of no file."""
    names = {device: device.target or urllib.parse.unquote(urllib.parse.urlsplit(device.url).path) for device in offered}
    return {device: "" if _NUMBERED.search(name) else _file_name(name) for device, name in names.items()}


def _file_name(path: str) -> str:
    return path.rpartition("/")[2].rpartition("] ")[2]


def _in_order(left: t.Sequence[Device], disks: t.Sequence[Expected]) -> list[Device]:
    """Devices in the order of these disks; none where nobody can tell, or see that it is wrong."""
    if len(left) != len(disks):
        return []
    if len(left) == 1:
        return list(left)
    numbers = {device: int(found[1]) for device in left if (found := _NUMBERED.search(device.target))}
    if len(set(numbers.values())) == len(left):
        left = sorted(left, key=lambda device: numbers[device])
    elif len({_grains(disk.capacity) for disk in disks}) < len(disks):
        return []
    return list(left)


def _grains(capacity: int) -> int:
    """The capacity of a disk as a streamOptimized file may round it."""
    return -(-capacity // _GRAIN)


def same_grains(first: int, second: int) -> bool:
    """Whether two capacities are one, as a streamOptimized file may round it."""
    return _grains(first) == _grains(second)


def unit_in(key: str) -> str:
    """Controller and unit in the key of a device (``/vm-42/ParaVirtualSCSIController0:1``), as
    ``scsi0:1``; empty where it is of another form.
    """
    found = CONTROLLER_AND_UNIT.search(key)
    bus = _BUSES.get(found[1].lower(), "") if found else ""
    return f"{bus}{found[2]}:{found[3]}" if found and bus else ""
