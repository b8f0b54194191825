# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What has to be done: options and facts become a plan for each VM. Pure.

Check mode, diff and the real run all consume the same plan.
"""

from __future__ import annotations

import dataclasses
import typing as t

from .._connector import names
from .._errors import InvalidOption, NotSupported, VforgeError
from .changeid import ALL, FullRequired, Kept, judge
from .facts import OLDEST_HARDWARE, Disk, Exclusion, Snapshot, Vm
from .options import ALWAYS, DISABLED, ENABLED, FAIL, NEVER, SNAPSHOT, AreaOptions, Target
from .selection import choose, select
from .state import State

SWITCH_ON, SWITCH_OFF, ACTIVATE = "switch_on", "switch_off", "activate"

NOT_TRACKED = Exclusion("not_tracked", "It has no changeId: tracking is off, or does not count yet.")


class DiskExcluded(VforgeError):
    """A disk that is asked for cannot be tracked."""

    error_code = "disk_excluded"


@dataclasses.dataclass(frozen=True)
class Question:
    """What is asked of one disk.

    :ivar disk: as the snapshot has it that is asked about, or before there is one, the VM.
    :ivar since: the changeId to compare with, or ``*``; None where nothing is known.
    :ivar full: why it need not even be asked.
    :ivar uncommitted: earlier questions that were asked from the same point, and when, by ID.
    """

    disk: Disk
    since: str | None
    full: FullRequired | None = None
    uncommitted: t.Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Questions:
    """What is asked of the disks of a VM, and which of them are left out, and why."""

    asked: tuple[Question, ...] = ()
    excluded: tuple[tuple[Disk, Exclusion], ...] = ()


@dataclasses.dataclass(frozen=True)
class Plan:
    """What will be done with one VM.

    :ivar steps: some of switch_on, switch_off and activate, in the order in which they are done.
    :ivar create: whether a snapshot is made for the query.
    :ivar snapshot: the existing one that is asked about.
    :ivar refusal: why nothing is done although something is asked for.
    """

    steps: tuple[str, ...] = ()
    create: bool = False
    snapshot: Snapshot | None = None
    questions: Questions = dataclasses.field(default_factory=Questions)
    refusal: VforgeError | None = None


def decide(vm: Vm, target: Target, options: AreaOptions, state: State | None) -> Plan:
    """The plan for one VM."""
    try:
        if options.state == ENABLED:
            return _enabling(vm)
        if options.state == DISABLED:
            return Plan((SWITCH_OFF,) if vm.tracking else ())
        return _query(vm, target, options, state)
    except VforgeError as error:
        return Plan(refusal=error)


def _enabling(vm: Vm) -> Plan:
    if not vm.supported or vm.hardware < OLDEST_HARDWARE:
        raise NotSupported(
            f"{vm.path} cannot track changed blocks: its virtual hardware is version {vm.hardware or 'unknown'}.",
            hint=f"Version {OLDEST_HARDWARE} or later can.",
        )
    if not vm.trackable:
        reasons = [f"{disk.label}: {told.reason}" for disk in vm.disks if (told := disk.exclusion())]
        raise NotSupported(
            f"{vm.path} has no disk that can be tracked. {names.listing(reasons)}",
            hint="Make its disks dependent ones, if snapshots may hold them.",
        )
    if vm.counting:
        return Plan()
    if vm.template:
        raise InvalidOption(
            f"{vm.path} is a template, and tracking begins to count with a snapshot.",
            hint="Convert it to a VM, switch tracking on, and convert it back.",
        )
    if vm.snapshots:
        raise InvalidOption(
            f"{vm.path} has snapshots ({names.listing([item.path for item in vm.snapshots])}), and tracking that begins on top "
            "of them does not know which areas are in use.",
            hint="Remove them first.",
            snapshots=[item.path for item in vm.snapshots],
        )
    return Plan((ACTIVATE,) if vm.tracking else (SWITCH_ON, ACTIVATE))


def cycles_power(vm: Vm, options: AreaOptions) -> bool:
    """Whether tracking is made to count by a power cycle. A VM that is off has none; a snapshot does it there, unnoticed."""
    return options.activation != SNAPSHOT and vm.power_state == "poweredOn"


def _query(vm: Vm, target: Target, options: AreaOptions, state: State | None) -> Plan:
    if target.snapshot is not None:
        return Plan(snapshot=choose(vm.snapshots, target.snapshot, vm.path))
    questions = ask(vm, vm.disks, target, state)
    check_excluded(questions, options, vm)
    off = vm.power_state == "poweredOff"
    if options.create == NEVER and not off:
        raise InvalidOption(
            f"{vm.path} is {vm.power_state}, and only a VM that is powered off can be asked without a snapshot.",
            hint="Name an existing snapshot, or leave create_snapshot at auto.",
            option="create_snapshot",
        )
    # A snapshot that could answer nothing would be a stun for nothing.
    create = bool(questions.asked) and (options.create == ALWAYS or not off)
    if create and vm.template:
        raise InvalidOption(f"{vm.path} is a template, which can have no snapshot.", hint="Leave create_snapshot at auto.")
    return Plan(create=create, questions=questions)


def ask(vm: Vm, disks: t.Sequence[Disk], target: Target, state: State | None) -> Questions:
    """What to ask of which disks.

    :param disks: as the snapshot has them, or before there is one, the VM.
    :param state: None where no state file is used.
    :raises NotFound: a disk that is selected is not there.
    """
    asked, excluded = [], []
    for disk, selector in select(disks, target.disks, vm.path):
        told = disk.exclusion() or (None if disk.change_id else NOT_TRACKED)
        if told is not None:
            excluded.append((disk, told))
            continue
        own = selector.change_id if selector is not None else None
        kept = _kept(vm, disk, own, target, state)
        by_file = own is None and state is not None
        uncommitted = state.uncommitted(vm, disk) if by_file and state is not None else {}
        asked.append(Question(disk, kept.change_id if kept else None, judge(kept, disk), uncommitted))
    return Questions(tuple(asked), tuple(excluded))


def check_excluded(questions: Questions, options: AreaOptions, vm: Vm) -> None:
    """Make sure that no disk is left out, where that is asked for.

    :raises DiskExcluded: naming the disks.
    """
    if options.on_excluded == FAIL and questions.excluded:
        listed = [f"{disk.label}: {told.reason}" for disk, told in questions.excluded]
        raise DiskExcluded(
            f"What changed on {vm.path} cannot be told for {len(listed)} of its disks. {names.listing(listed)}",
            hint="Select the other disks, or set on_excluded to report.",
            disks=[disk.label for disk, _told in questions.excluded],
        )


def _kept(vm: Vm, disk: Disk, own: str | None, target: Target, state: State | None) -> Kept | None:
    """What to compare a disk with: what is asked of it, what the state file has, what is asked of all, in this order."""
    if own is not None:
        return Kept(own)
    if state is not None and (known := state.kept(vm, disk)) is not None:
        return known
    if target.change_id is not None:
        return Kept(target.change_id)
    return Kept(ALL) if state is None else None
