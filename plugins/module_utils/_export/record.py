# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an export has made, and of what: a file beside the package, for the next run. Pure.

A package is still right when the VM is configured as it was, and its disks have what they had.
How the second is known depends on where they come from:

- Of a VM that is off by the content ID of each disk, which changes when something is first written
  after the disk was opened. Where a host does not say it, by the change version of the VM and by
  vCenter's event of its last start.
- Of a snapshot by the snapshot itself: it does not change.
- Of a VM that runs by nothing: its guest may have written in any moment.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
import typing as t

from .._copy_source import FromSnapshot, FromVm, Source
from .._files import parsed
from .._vsphere.hardware import digest_of, exported_extra
from .model import ExportOptions, Vm

# Of a file of this name; what is longer was not written by us.
LONGEST = 1 << 20

_VERSION = 1


@dataclasses.dataclass(frozen=True)
class PackedFile:
    """A file of a package.

    :ivar role: ``descriptor``, ``manifest``, ``disk``, ``nvram`` or ``archive``.
    :ivar disk: label of the disk; empty where it is none.
    """

    name: str
    size: int
    sha256: str
    role: str
    disk: str = ""


@dataclasses.dataclass(frozen=True)
class Record:
    """What was exported.

    :ivar vm: instance UUID of the VM.
    :ivar config: digest of what the descriptor was made of.
    :ivar disks: what was on the disks; empty where that cannot be known.
    :ivar files: of the package, those in an archive included.
    """

    vm: str
    config: str
    disks: str
    consistency: str
    at: str
    files: tuple[PackedFile, ...]

    def as_bytes(self) -> bytes:
        """As it is written."""
        return json.dumps({"version": _VERSION, **dataclasses.asdict(self)}, indent=2).encode() + b"\n"

    @property
    def size(self) -> int:
        """Bytes of the package."""
        archives = [file.size for file in self.files if file.role == "archive"]
        return sum(archives) if archives else sum(file.size for file in self.files)

    @property
    def made(self) -> datetime.datetime:
        """When it was made."""
        return datetime.datetime.fromisoformat(self.at)

    @property
    def date(self) -> str:
        """When it was made, as people read it. The record says more: packages of one second have an
        order, too.
        """
        return self.made.isoformat(timespec="seconds")

    def fits(self, found: t.Mapping[str, int]) -> bool:
        """Whether the files that are there can be those of the package.

        :param found: sizes by name.
        """
        archives = [file for file in self.files if file.role == "archive"]
        due = archives or self.files
        return all(found.get(file.name) == file.size for file in due)


def parse(data: bytes) -> Record | None:
    """What a record says; None for what is none that this release writes."""
    try:
        found = parsed(data)
        if found.get("version") != _VERSION:
            return None
        files = tuple(PackedFile(**{key: each[key] for key in _FILE}) for each in found["files"])
        texts = {key: str(found[key]) for key in ("vm", "config", "disks", "consistency", "at")}
        if datetime.datetime.fromisoformat(texts["at"]).tzinfo is None:
            return None
        if not all(isinstance(file.name, str) and isinstance(file.size, int) for file in files):
            return None
        return Record(**texts, files=files)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


_FILE = tuple(field.name for field in dataclasses.fields(PackedFile))


def config_of(vm: Vm, source: Source, options: ExportOptions) -> str:
    """A digest of what the descriptor of a VM is made of; of a snapshot, which does not change, of
    the options alone.
    """
    if isinstance(source, FromSnapshot):
        return digest_of(None, sorted(options.extra_config), options.property_values, options.format)
    extra = exported_extra(vm.machine, options.extra_config)
    return digest_of(vm.machine, extra, options.property_values, options.format)


def needs_last_start(vm: Vm, source: Source) -> bool:
    """Whether only its starts tell what was done with the disks of a VM."""
    return isinstance(source, FromVm) and not all(disk.content for disk in vm.machine.disks)


def disks_of(vm: Vm, source: Source, last_start: str) -> str:
    """What shows whether the disks have what they had; empty where nothing does.

    :param last_start: when it was last powered on, where that is needed.
    """
    if isinstance(source, FromSnapshot):
        created = source.snapshot.created
        return f"snapshot {source.snapshot.moid} {created.isoformat() if created else ''}"
    if not isinstance(source, FromVm):
        return ""
    known = [[disk.key, disk.uuid, disk.content] for disk in vm.machine.disks]
    if all(disk.content for disk in vm.machine.disks):
        return f"contents {json.dumps(known)}"
    version = f"version {vm.change_version} started {last_start} {json.dumps(known)}"
    return version if vm.change_version else ""
