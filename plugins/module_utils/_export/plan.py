# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is to be done with each VM, or why it cannot be exported. Pure."""

from __future__ import annotations

import dataclasses
import datetime
import typing as t

from .._connector import names
from .._copy_source import FILE_SYSTEM, FromVm, Source, must_be_quiesced, source_of
from .._errors import InvalidOption, VforgeError
from .._vsphere.hardware import Machine
from . import record
from .model import ALWAYS, MISSING, ExportOptions, Target, Vm, plain

# The only step of a VM; snapshots come and go with it.
EXPORT = "export"

# Done to a VM that has packages which are old.
PRUNE = "prune"


class NotExportable(VforgeError):
    """A VM that vSphere exports in no way, or not in the state in which it is."""

    error_code = "not_exportable"


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is to be done with a VM.

    :ivar reason: why it is exported, or why not: ``missing``, ``changed``, ``unknown`` (nobody can
        know whether its disks were written), ``asked``, ``unchanged`` or ``present``.
    """

    source: Source
    steps: tuple[str, ...]
    reason: str


def package_name(vm: Vm, target: Target, options: ExportOptions, now: datetime.datetime) -> str:
    """What the files of a VM's package begin with.

    :param now: when it is made.
    """
    name = target.name or plain(vm.name) or vm.moid
    return f"{name}-{now.astimezone(datetime.UTC):%Y%m%dT%H%M%SZ}" if options.dated else name


def fresh(
    vm: Vm, target: Target, packages: t.Sequence[tuple[str, record.Record]], options: ExportOptions, now: datetime.datetime
) -> tuple[str, record.Record] | None:
    """The newest package of a VM, where it is new enough that none is made.

    :param packages: names and records of all that there are.
    """
    required = must_be_quiesced(vm, target.snapshot, options.quiesce)
    fitting = [each for each in packages if not required or each[1].consistency == FILE_SYSTEM]
    newest = max(fitting, key=lambda each: each[1].made, default=None)
    enough = datetime.timedelta(hours=options.fresh_hours)
    return newest if newest is not None and abs(now - newest[1].made) < enough else None


def check_names(wanted: t.Sequence[tuple[Vm, str]]) -> None:
    """Make sure that each package has a name of its own.

    :raises InvalidOption: two VMs would be one package.
    """
    taken: dict[str, Vm] = {}
    for vm, name in wanted:
        other = taken.setdefault(name.lower(), vm)
        if other is not vm:
            raise InvalidOption(
                f"{other.path} and {vm.path} would be the same package {name}.",
                hint="Set package in the items of vms.",
                option="vms",
            )


def decide(
    vm: Vm,
    source: Source,
    options: ExportOptions,
    known: record.Record | None,
    last_start: str,
) -> Plan:
    """What is to be done with a VM.

    :param known: what the package is of that is there, whole; None where there is none.
    :param last_start: of the VM, as ``record.disks_of`` takes it.
    :raises NotExportable: it cannot be exported.
    """
    reason = _reason(vm, source, options, known, last_start)
    steps = () if reason in ("unchanged", "present") else (EXPORT,)
    if steps:
        check(vm, vm.machine, source)
    return Plan(source, steps, reason)


def source(vm: Vm, target: Target, options: ExportOptions) -> Source:
    """Where the disks come from.

    :raises NotExportable: its guest is to be quiesced, and cannot be.
    :raises NotFound, Ambiguous: the snapshot that is asked for.
    """
    return source_of(vm, target.snapshot, options.quiesce, NotExportable)


def _reason(vm: Vm, source: Source, options: ExportOptions, known: record.Record | None, last_start: str) -> str:
    if known is None or known.vm != vm.instance_uuid:
        return "missing"
    if options.refresh == ALWAYS:
        return "asked"
    if options.refresh == MISSING:
        return "present"
    if known.config != record.config_of(vm, source, options):
        return "changed"
    disks = record.disks_of(vm, source, last_start)
    if not disks:
        return "unknown"
    return "unchanged" if disks == known.disks else "changed"


def check(vm: Vm, machine: Machine, source: Source) -> None:
    """Make sure that vSphere exports a VM, or a snapshot of it.

    :param machine: as the source has it.
    :raises NotExportable: it does not.
    """
    if machine.encrypted:
        raise NotExportable(
            f"{vm.path} is encrypted, and vSphere exports no encrypted VM.",
            hint="Clone it without its encryption policy, and export the clone.",
        )
    obstacles = [f"{disk.label}: {disk.obstacle}" for disk in machine.disks if disk.obstacle]
    if obstacles:
        raise NotExportable(
            f"{vm.path} cannot be exported. {names.listing(obstacles)}.",
            hint="Detach the disk for the export, or have vCenter clone the VM (backup_clone, linked_clone).",
        )
    if isinstance(source, FromVm):
        return
    independent = [disk.label for disk in machine.disks if disk.independent]
    if independent:
        raise NotExportable(
            f"{vm.path} cannot be exported from a snapshot: snapshots leave out disks that are "
            f"independent ({names.listing(independent)}).",
            hint="Power the VM off and export it then, or make the disk dependent.",
        )
