# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Backups of VMs: what a repository holds, and how long points are kept. Pure."""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import json
import re
import typing as t

from .. import _files
from .._errors import VforgeError

if t.TYPE_CHECKING:
    from .._retention import Retention

# Each MiB of a disk has a digest of its own.
BLOCK = 1 << 20

SECTOR = 512

# What a manifest is written as. A reader refuses one that is newer than itself, so it goes up with each field
# that a released reader does not know.
FORMAT = 1

FULL, INCREMENTAL = "full", "incremental"

# What the VM is made of, in the folder of a point.
MACHINE_FILE = "vm.json"

# The settings of its firmware, beside it.
NVRAM_FILE = "vm.nvram"

# No colon: to qemu-img a name with one before its first slash is a protocol.
_ID = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{8}")
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*\.qcow2")


class ToolFailed(VforgeError):
    """qemu-img or qemu-nbd could not do what it was asked to."""

    error_code = "image_tool_failed"


class ToolNotRun(VforgeError):
    """qemu-img or qemu-nbd was not run to its end, or may not have an image now. That says nothing of the image."""

    error_code = "image_tool_not_run"


class ShortRead(VforgeError):
    """Of a disk fewer bytes came than were asked for; nothing of them is used."""

    error_code = "short_read"


def short_read(offset: int, wanted: int, came: int) -> ShortRead:
    """The error for one place of a disk."""
    return ShortRead(
        f"{wanted} bytes were asked for at byte {offset}, and {came} came.",
        hint="Run again; if it happens again, look at the device or server that the disk is read from.",
    )


class BackupDamaged(VforgeError):
    """What a repository holds is not what was written."""

    error_code = "backup_damaged"


@dataclasses.dataclass(frozen=True, kw_only=True)
class DiskBackup:
    """One disk of a point.

    :ivar key: of the device in the VM.
    :ivar unit: controller, bus and unit, as ``scsi0:1``.
    :ivar capacity: in bytes.
    :ivar file: the qcow2 image, in the folder of the point.
    :ivar backing: the point that holds the image's backing file; empty where it has none.
    :ivar digests: SHA-256 of the file that has the digest of each MiB.
    :ivar change_id: from where the next point asks for changed areas; None where it cannot.
    :ivar identity: what stays the same as long as it is the same disk: ``diskObjectId``, or the
        UUID of its backing.
    :ivar read: bytes read from vSphere; ``written`` bytes that are no zeros.
    :ivar tracking: ``active`` where the snapshot had a changeId of it, else ``not_active``; empty,
        as the next one, in points of earlier releases.
    :ivar reason: the code of why it was read whole, such as
        ``tracking_restarted``; empty for an increment.
    :ivar delta: path of the delta disk that the guest wrote to; empty where it had none, and in
        points of earlier releases.
    """

    key: int
    label: str
    unit: str
    capacity: int
    file: str
    backing: str
    digests: str
    change_id: str | None
    identity: str
    transport: str
    read: int
    written: int
    tracking: str = ""
    reason: str = ""
    delta: str = ""

    @property
    def map_file(self) -> str:
        """The file with the digests, in the folder of the point."""
        return f"{self.file}.sha256"

    @property
    def backing_name(self) -> str | None:
        """The name of its backing file, as the image has it; None where it needs none."""
        return f"../{self.backing}/{self.file}" if self.backing else None

    @property
    def blocks(self) -> int:
        """How many digests it has."""
        return -(-self.capacity // BLOCK)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Point:
    """What a VM was at one moment.

    :ivar id: its folder: when it was made, and by which run.
    :ivar number: points of a VM count up, whatever the clock does.
    :ivar created: ISO 8601, in UTC.
    :ivar instance_uuid: of the VM.
    :ivar consistency: ``crash-consistent``, ``file-system-consistent`` and so on.
    :ivar machine: SHA-256 of the file that says what the VM is made of; empty where there is none,
        as in points of earlier releases.
    :ivar nvram: SHA-256 of the file with the settings of its firmware; empty where there is none.
    :ivar snapshot: moid of the snapshot that was read, and is gone by now.
    """

    id: str
    number: int
    created: str
    instance_uuid: str
    vm_name: str
    consistency: str
    disks: tuple[DiskBackup, ...]
    machine: str = ""
    nvram: str = ""
    snapshot: str = ""

    @property
    def kind(self) -> str:
        """``full`` when no disk needs an earlier point."""
        return INCREMENTAL if any(disk.backing for disk in self.disks) else FULL

    @property
    def backings(self) -> set[str]:
        """The points that it needs."""
        return {disk.backing for disk in self.disks if disk.backing}

    @property
    def time(self) -> datetime.datetime:
        """When it was made, in UTC."""
        return datetime.datetime.fromisoformat(self.created)

    def disk(self, key: int) -> DiskBackup | None:
        """A disk of it by the key of the device."""
        return next((disk for disk in self.disks if disk.key == key), None)

    def as_json(self) -> bytes:
        """Its manifest, which holds a digest of itself."""
        content = {"format": FORMAT, **dataclasses.asdict(self)}
        return json.dumps({**content, "digest": _digest(content)}, indent=1).encode()

    @classmethod
    def from_json(cls, data: bytes, where: str) -> Point:
        """The point of a manifest.

        :param where: the file, for messages.
        :raises BackupDamaged: when it is none, or was changed.
        """
        try:
            content = _files.parsed(data)
            digest, form = content.pop("digest"), content.pop("format")
            if _is(form, int) and form > FORMAT:
                raise _damaged(where, "it was written by a newer release of this collection")
            if digest != _digest({"format": form, **content}):
                raise _damaged(where, "its digest is another one")
            disks = content.pop("disks")
            point = cls(**content, disks=tuple(DiskBackup(**disk) for disk in disks))
            wrong = point.wrong()
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise _damaged(where, str(error) or type(error).__name__) from error
        if wrong:
            raise _damaged(where, wrong)
        return point

    def wrong(self) -> str:
        """What it has that no point has, in words; empty where it is one."""
        things: tuple[Point | DiskBackup, ...] = (self, *self.disks)
        for thing in things:
            for field in dataclasses.fields(thing):
                if field.type in _KINDS and not _is(getattr(thing, field.name), *_KINDS[str(field.type)]):
                    return f"{field.name} is {str(getattr(thing, field.name))[:40]!r}"
        if not _ID.fullmatch(self.id) or self.number < 1 or self.time.tzinfo is None:
            return "its ID, number or time is none that a backup has"
        if len({disk.key for disk in self.disks}) != len(self.disks):
            return "two of its disks have one key"
        return next((why for disk in self.disks if (why := _wrong_disk(disk))), "")


# What the fields of a manifest may hold, by what their types are called.
_KINDS: dict[t.Any, tuple[type, ...]] = {"str": (str,), "int": (int,), "str | None": (str, type(None))}


def _is(value: t.Any, *kinds: type) -> bool:
    return isinstance(value, kinds) and not isinstance(value, bool)


def _wrong_disk(disk: DiskBackup) -> str:
    if not _FILE.fullmatch(disk.file) or (disk.backing and not _ID.fullmatch(disk.backing)):
        return f"{disk.label!r} has a file or a backing that no backup has"
    if disk.capacity < 1 or disk.read < 0 or disk.written < 0:
        return f"{disk.label!r} has a capacity, or another size, that no disk has"
    return ""


def _digest(content: t.Mapping[str, t.Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _damaged(where: str, why: str) -> BackupDamaged:
    return BackupDamaged(
        f"{where} is no manifest of a backup: {why}.",
        hint="Restore the file from another copy of the repository, or remove the folder that it is in.",
        path=where,
    )


def point_id(when: datetime.datetime, run: str) -> str:
    """The name of a point's folder.

    :param when: in UTC.
    :param run: of which run, eight hexadecimal digits at least.
    """
    return f"{when:%Y%m%dT%H%M%SZ}-{run[:8]}"


def second_of(point: str) -> str:
    """When a point was made, as its ID has it: a text that sorts as time does."""
    return point.partition("-")[0]


def is_point_id(name: str) -> bool:
    """Whether a folder has the name of a point."""
    return _ID.fullmatch(name) is not None


def is_instance_uuid(text: str) -> bool:
    """Whether a text is the instance UUID of a VM, as vCenter writes it."""
    return _UUID.fullmatch(text) is not None


# How long points are kept


def kept(points: t.Sequence[Point], retention: Retention, now: datetime.datetime) -> dict[str, list[str]]:
    """Why each point is kept, by its ID; one that is not kept is not in it.

    :param points: of one VM. The newest is the one with the highest number, whatever the clock was.
    """
    newest_first = sorted(points, key=lambda point: point.number, reverse=True)
    reasons = retention.reasons([point.time for point in newest_first], now)
    return {point.id: why for point, why in zip(newest_first, reasons, strict=True) if why}
