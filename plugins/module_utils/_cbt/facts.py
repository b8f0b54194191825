# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What there is: VMs, their disks and snapshots, as far as changed block tracking goes. Plain values, no pyVmomi."""

from __future__ import annotations

import dataclasses
import datetime

# Changed block tracking came with virtual hardware 7 (API reference, ConfigSpec.changeTrackingEnabled).
OLDEST_HARDWARE = 7

# Backings that carry a changeId (API reference: each of these has the property, no other has).
TRACKED_BACKINGS = ("FlatVer2", "SparseVer2", "RawDiskMappingVer1", "RawDiskVer2")


@dataclasses.dataclass(frozen=True)
class Exclusion:
    """Why the changed areas of a disk cannot be told."""

    code: str
    reason: str


@dataclasses.dataclass(frozen=True)
class Disk:
    """A virtual disk, of a VM or of a snapshot of it.

    :ivar key: of the device; unique in the VM.
    :ivar unit: its place, as ``scsi0:1``.
    :ivar files: its file, and those that it builds on, the topmost first.
    :ivar backing: kind of the backing, as ``FlatVer2``.
    :ivar mode: as ``persistent`` or ``independent_persistent``; empty where the backing has none.
    :ivar physical: whether it is a raw device in physical mode.
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

    def exclusion(self) -> Exclusion | None:
        """Why it can never be tracked, or None."""
        if self.mode.startswith("independent"):
            return Exclusion("independent", f"Its mode is {self.mode}, and snapshots leave independent disks out.")
        if self.physical:
            return Exclusion("physical_rdm", "It is a raw device in physical mode, which snapshots leave out.")
        if self.backing not in TRACKED_BACKINGS:
            return Exclusion("backing", f"Disks of the kind {self.backing} are not tracked.")
        return None


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """A snapshot of a VM.

    :ivar path: names from the root of the tree to it, joined by a slash.
    """

    moid: str
    name: str
    path: str
    description: str = ""
    created: datetime.datetime | None = None
    current: bool = False


@dataclasses.dataclass(frozen=True)
class Vm:
    """A VM.

    :ivar hardware: version of its virtual hardware, 0 where it is unknown.
    :ivar supported: whether it can track at all.
    :ivar tracking: whether tracking is switched on; whether it counts yet shows in the disks' changeIds.
    """

    moid: str
    name: str
    path: str
    instance_uuid: str
    power_state: str
    template: bool
    hardware: int
    supported: bool
    tracking: bool
    disks: tuple[Disk, ...]
    snapshots: tuple[Snapshot, ...] = ()

    @property
    def trackable(self) -> tuple[Disk, ...]:
        """The disks that can be tracked."""
        return tuple(disk for disk in self.disks if disk.exclusion() is None)

    @property
    def counting(self) -> bool:
        """Whether tracking is on and known to count for all disks that can be tracked."""
        return self.tracking and all(disk.change_id for disk in self.trackable)
