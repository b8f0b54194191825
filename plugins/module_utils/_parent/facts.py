# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What there is: a VM that is, or is to be, the parent of instant clones. Plain values, no pyVmomi."""

from __future__ import annotations

import dataclasses
import typing as t

from .._vsphere.wakestate import FreezeRecord

# vSphere refuses a clone whose disks would have more levels (KB 67186).
MOST_DELTA_LEVELS = 255

# From here on the parent is worth a word: there is room for 55 clones more.
MANY_DELTA_LEVELS = 200

# The snapshot that collapses deltas. One that an ended run has left is known by it.
SNAPSHOT_NAME = "vforge-collapse"


@dataclasses.dataclass(frozen=True)
class Disk:
    """One disk as ``layoutEx`` tells it.

    :ivar levels: deltas above the base disk.
    :ivar own_levels: those of them that lie in the VM's own folder, over a disk that lies there too. Only these can be
        collapsed: a linked clone's first delta rests on a disk of another VM.
    """

    label: str
    levels: int
    own_levels: int


@dataclasses.dataclass(frozen=True)
class Obstacle:
    """Why vSphere would refuse to clone the VM.

    :ivar code: stable, such as ``passthrough``.
    :ivar device: label of the device in question, or empty.
    """

    code: str
    reason: str
    device: str = ""


@dataclasses.dataclass(frozen=True)
class Parent:
    """The VM.

    :ivar snapshots: names of its snapshots, without the one of a collapse that was broken off.
    :ivar leftover: whether there is such a one.
    :ivar tools: whether Tools run and take guest operations; not while it is frozen.
    :ivar tools_installed: False where vSphere knows that there are none.
    :ivar devices: those that keep it from being cloned.
    :ivar record: what its guest told of itself when it was frozen last; it counts while it is frozen.
    """

    moid: str
    name: str
    path: str
    instance_uuid: str
    power_state: str
    template: bool
    frozen: bool
    tools: bool
    tools_installed: bool
    host: str
    host_name: str
    host_available: bool
    disks: tuple[Disk, ...]
    snapshots: tuple[str, ...] = ()
    leftover: bool = False
    devices: tuple[Obstacle, ...] = ()
    record: FreezeRecord | None = None

    @property
    def delta_levels(self) -> int:
        """Of the disk that has most."""
        return max((disk.levels for disk in self.disks), default=0)

    @property
    def collapsible_levels(self) -> int:
        """How many of them a collapse takes away."""
        return max((disk.own_levels for disk in self.disks), default=0)

    @property
    def state(self) -> str:
        """``frozen``, ``running``, or the power state of a VM that is not powered on."""
        if self.power_state != "poweredOn":
            return self.power_state
        return "frozen" if self.frozen else "running"

    @property
    def wake_scripts(self) -> int | None:
        """How many scripts its clones run when they wake; None where nobody knows."""
        return self.record.wakes if self.frozen and self.record is not None else None


@dataclasses.dataclass(frozen=True)
class Child:
    """A VM that is marked as a clone of the parent."""

    moid: str
    name: str
    path: str
    power_state: str
    host: str


def disk(label: str, folder: str, files: t.Sequence[str]) -> Disk:
    """A disk from the files of its chain.

    :param folder: of the VM, as ``[datastore] folder``.
    :param files: the descriptor of each level, the base first.
    """
    # A disk may lie on another datastore than the VM; its folder has the same name there.
    top = _folder(files[-1]) if files else ""
    own = [name for name in files if _folder(name) in (folder, top)]
    return Disk(label, max(len(files) - 1, 0), max(len(own) - 1, 0))


def _folder(name: str) -> str:
    return name.rpartition("/")[0]
