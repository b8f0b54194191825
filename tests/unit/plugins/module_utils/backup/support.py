# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A disk that changes, as vSphere would show it, and what the tests keep of it by themselves."""

from __future__ import annotations

import ctypes
import datetime
import os
import time
from pathlib import Path

from ansible_collections.vforge.vsphere.plugins.module_utils._backup import disk as disks
from ansible_collections.vforge.vsphere.plugins.module_utils._backup.audit import Auditing, Tracked
from ansible_collections.vforge.vsphere.plugins.module_utils._backup.copying import Copying
from ansible_collections.vforge.vsphere.plugins.module_utils._backup.model import Point, point_id
from ansible_collections.vforge.vsphere.plugins.module_utils._backup.repository import Machine, Repository

UUID = "5029c440-85ee-c2a1-e9dd-b63e39364603"
KEY = 2000

# What changed block tracking counts in (seen on ESXi 8.0.3).
UNIT = 64 * 1024


def soon():
    """A deadline that only a hanging program misses."""
    return time.monotonic() + 60


def nothing(*_args):
    """For what a test does not look at."""


def why_nothing_can_be_mounted(folder):
    """Empty where it can: a container may forbid it to root, too."""
    try:
        os.close(os.open("/dev/fuse", os.O_RDWR))
    except OSError as error:
        return f"there is no FUSE here: {error}"
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"none", os.fsencode(folder), b"tmpfs", 0, None):
        return f"this user may mount nothing here: {os.strerror(ctypes.get_errno())}"
    libc.umount2(os.fsencode(folder), 0)
    return ""


class Memory:
    """Reads a disk that lies in memory."""

    def __init__(self, data):
        self._data = data

    def read(self, offset, length):
        return bytes(self._data[offset : offset + length])

    def close(self):
        """There is nothing to end."""


class Guest:
    """A disk that a guest writes, and the changes since any moment.

    :ivar writes: how many there were.
    """

    def __init__(self, capacity):
        self.data = bytearray(capacity)
        self.writes = 0
        self._changed = {}

    def write(self, offset, data):
        self.writes += 1
        self.data[offset : offset + len(data)] = data
        self._changed |= dict.fromkeys(range(offset // UNIT, -(-(offset + len(data)) // UNIT)), self.writes)

    def grow(self, size):
        self.data += bytes(size)

    def changes(self, since):
        """The changed areas since there were so many writes."""
        units = sorted(unit for unit, number in self._changed.items() if number > since)
        return [(unit * UNIT, min(UNIT, len(self.data) - unit * UNIT)) for unit in units]


class Backups:
    """Backups of one disk, and copies that the test keeps of what it was."""

    def __init__(self, folder: Path):
        folder.mkdir(mode=0o700, exist_ok=True)
        self.repository = Repository(str(folder))
        self.kept = {}
        self._writes = {}

    def locked(self):
        return self.repository.locked(UUID, soon(), nothing)

    def take(self, guest, *, full=False, streams=2, audit=False):
        """Make a point, and return it."""
        with self.locked() as machine:
            known = machine.points
            number = known[-1].number + 1 if known else 1
            if known and not full:
                # The newest may have been removed since: what it had goes with it.
                earlier, areas = disks.Earlier(known[-1], known[-1].disk(KEY)), guest.changes(self._writes.get(known[-1].id, 0))
            else:
                earlier, areas = None, [(0, len(guest.data))]
            point = take_point(machine, guest, number, earlier, areas, streams, audit=audit)
        self.kept[point.id] = bytes(guest.data)
        self._writes[point.id] = guest.writes
        return point

    def verified(self, machine: Machine, point: Point) -> bool:
        """Whether every byte of a point is as its digests say; raises what is wrong."""
        return all(disks.verify(machine, point, disk, soon()).read == disk.capacity for disk in point.disks)

    def content(self, machine: Machine, point: Point, folder: Path) -> bytes:
        """What a point restores to."""
        target = folder / "restored.raw"
        disks.restore(machine, point, point.disk(KEY), str(target), "raw", soon())
        return target.read_bytes()


def take_point(machine, guest, number, earlier, areas, streams=2, *, audit=False):
    """Stage and commit a point of a guest's disk."""
    run = f"{number:08x}"
    staged = machine.stage(run)
    when = datetime.datetime(2026, 11, 1, tzinfo=datetime.UTC) + datetime.timedelta(hours=number)
    copying = Copying(
        open_stream=lambda: Memory(guest.data),
        fresh=earlier is None,
        streams=streams,
        go_on=nothing,
    )
    if audit:
        copying = Auditing(
            open_stream=lambda: Memory(guest.data),
            streams=streams,
            go_on=nothing,
            tracked=Tracked(areas),
        )
        areas = [(0, len(guest.data))]
    new = disks.NewDisk(
        key=KEY,
        label="Hard disk 1",
        unit="scsi0:0",
        capacity=len(guest.data),
        change_id=f"52 de/{number}",
        identity="disk",
        transport="memory",
    )
    copied = disks.copy(machine, staged, new, earlier, areas, copying, soon())
    done = disks.finish(copied, nothing)
    point = Point(
        id=point_id(when, run),
        number=number,
        created=when.isoformat(),
        instance_uuid=UUID,
        vm_name="web",
        consistency="crash-consistent",
        disks=(done,),
    )
    machine.commit(staged, point)
    return point


def three_points(folder):
    """Backups with three points of one disk of 3 MiB, an hour apart; ``guest`` is who writes on it."""
    made = Backups(folder)
    made.guest = Guest(3 << 20)
    for number in range(3):
        made.guest.write(number << 20, bytes([number + 1]) * 500_000)
        made.take(made.guest)
    return made
