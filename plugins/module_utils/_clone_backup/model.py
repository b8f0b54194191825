# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The types of backups by clones. Pure."""

from __future__ import annotations

import dataclasses
import datetime
import typing as t

from .._connector.find import Selector
from .._copy_source import CRASH, FILE_SYSTEM, SourceVm
from .._errors import InvalidOption
from .._retention import Retention
from .._vsphere import vm as vms
from .._vsphere.snapshots import SnapshotSelector

FULL, LINKED = "full", "linked"

# Kept in the extraConfig of a backup: "<time> <consistency> <instance UUID of the source> <name>".
# A clone of it inherits the pair, so it is valid only on the VM whose name it holds.
MARK_KEY = "vforge.backup"

_TIME = "%Y%m%dT%H%M%SZ"
_LONGEST_NAME = 80


@dataclasses.dataclass(frozen=True)
class Mark:
    """What the mark of a backup says.

    :ivar source: instance UUID of the VM that it is a backup of.
    """

    at: datetime.datetime
    consistency: str
    source: str
    name: str

    def __str__(self) -> str:
        return f"{self.at.astimezone(datetime.UTC).strftime(_TIME)} {self.consistency} {self.source} {self.name}"

    @classmethod
    def of(cls, value: str, vm_name: str) -> Mark | None:
        """What a value says on a VM of this name, or None where it makes the VM no backup."""
        parts = value.split(" ", 3)
        if len(parts) != len(dataclasses.fields(cls)) or parts[3] != vm_name:
            return None
        try:
            at = datetime.datetime.strptime(parts[0], _TIME).replace(tzinfo=datetime.UTC)
        except ValueError:
            return None
        return cls(at, *parts[1:]) if parts[1] in (CRASH, FILE_SYSTEM) and parts[2] else None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Vm(SourceVm):
    """A VM that is to be backed up.

    :ivar folder: moid of the folder that it is in; ``host`` that of its host.
    :ivar in_pool: whether it is in a resource pool that its backup may be in, too. A template is in none, and in a vApp the
        backup would be started with it.
    :ivar root_pool: moid of the root pool where its host is; empty where this user may not see it.
    :ivar datacenter: moid.
    :ivar datastores: that its host sees, by name.
    :ivar independent: labels of the disks that no snapshot has.
    """

    folder: str = ""
    host: str = ""
    in_pool: bool = True
    root_pool: str = ""
    datacenter: str = ""
    datastores: t.Mapping[str, str] = dataclasses.field(default_factory=dict)
    independent: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Backup(vms.Vm):
    """A clone that is a backup."""

    mark: Mark


@dataclasses.dataclass(frozen=True)
class BackupOptions:
    """What one task is asked to do.

    :ivar fresh_hours: a backup that is not older is enough; 0 for a new one in each run.
    """

    selectors: tuple[Selector, ...]
    snapshot: SnapshotSelector | None
    datacenter: str | None
    mode: str
    folder: str | None
    datastore: str | None
    quiesce: str
    fresh_hours: int
    retention: Retention
    timeout: int
    parallel: int

    @classmethod
    def from_params(cls, params: t.Mapping[str, t.Any]) -> BackupOptions:
        """Take the options out of a module's parameters.

        :raises InvalidOption: naming the option.
        """
        listed = params.get("vms")
        if bool(params.get("vm")) == (listed is not None):
            raise InvalidOption("Set either vm, for one VM, or vms, for a list of them.", option="vm")
        given = [params["vm"]] if listed is None else listed
        snapshot = SnapshotSelector.from_params(params.get("snapshot"))
        if params["mode"] == LINKED and snapshot is None:
            raise InvalidOption(
                "A linked clone rests on a snapshot that has to stay.",
                hint="Set snapshot to one that is there, or leave mode on full.",
                option="snapshot",
            )
        if params["fresh_hours"] < 0:
            raise InvalidOption("The option fresh_hours must be at least 0.", option="fresh_hours")
        return cls(
            selectors=tuple(Selector.from_params(each, "vm" if listed is None else "vms") for each in given),
            snapshot=snapshot,
            datacenter=params.get("datacenter"),
            mode=params["mode"],
            folder=params.get("folder"),
            datastore=params.get("datastore"),
            quiesce=params["quiesce"],
            fresh_hours=params["fresh_hours"],
            retention=Retention.from_params(params),
            timeout=params["timeout"],
            parallel=params["parallel"],
        )


def backup_name(vm: Vm, at: datetime.datetime, *, only: bool = True, number: int = 1) -> str:
    """The name of a new backup: of the VM, and when it was made.

    :param only: whether no other VM of this name is backed up into the same folder; else the
        beginning of its instance UUID says which one it is.
    :param number: of it among those of the same second, which other runs may make.
    """
    which = "" if only else f"-{vm.instance_uuid[:8]}"
    ending = f"{which}-backup-{at.astimezone(datetime.UTC).strftime(_TIME)}{f'-{number}' if number > 1 else ''}"
    return vm.name[: _LONGEST_NAME - len(ending)] + ending
