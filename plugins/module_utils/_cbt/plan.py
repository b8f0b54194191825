# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What has to be done with each VM, from the options and what there is. Pure.

Check mode, diff and the real run all use the same plan.
"""

from __future__ import annotations

import dataclasses
import typing as t

from .._connector import names
from .._errors import InvalidOption, NotSupported, VforgeError
from .._vsphere.changeid import ALL, FullRequired, Kept, judge
from .._vsphere.disks import Disk
from .._vsphere.privileges import NotPermitted
from .._vsphere.snapshots import Snapshot, choose
from .model import (
    ALWAYS,
    DISABLED,
    ENABLED,
    FAIL,
    NEVER,
    NOT_TRACKED,
    OLDEST_HARDWARE,
    POWER_CYCLE,
    RESET,
    AreaOptions,
    Exclusion,
    Target,
    Vm,
    exclusion,
    select,
)
from .state import State

# The steps, in the order in which they are done.
SWITCH_OFF, DEACTIVATE, SWITCH_ON, ACTIVATE, QUERY = "switch_off", "deactivate", "switch_on", "activate", "query"

SWITCH = "VirtualMachine.Config.ChangeTracking"
MAKE = "VirtualMachine.State.CreateSnapshot"
REMOVE = "VirtualMachine.State.RemoveSnapshot"
READ = "VirtualMachine.Provisioning.DiskRandomRead"
POWER_OFF = "VirtualMachine.Interact.PowerOff"
POWER_ON = "VirtualMachine.Interact.PowerOn"


class DiskExcluded(VforgeError):
    """A disk that is asked for cannot be tracked."""

    error_code = "disk_excluded"


# What is asked of the disks of a VM


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


# What is done with a VM: one of these


@dataclasses.dataclass(frozen=True)
class Switch:
    """Tracking is switched on or off, or nothing of it is left to do."""

    steps: tuple[str, ...] = ()
    questions: Questions = dataclasses.field(default_factory=Questions)


@dataclasses.dataclass(frozen=True)
class AskSnapshot:
    """A snapshot that is there is asked about; of which disks, it says itself."""

    snapshot: Snapshot
    steps: tuple[str, ...] = (QUERY,)
    questions: Questions = dataclasses.field(default_factory=Questions)


@dataclasses.dataclass(frozen=True)
class AskNewSnapshot:
    """A snapshot is made, asked about, and removed."""

    questions: Questions
    steps: tuple[str, ...] = (QUERY,)


@dataclasses.dataclass(frozen=True)
class AskVm:
    """The VM is asked as it is: it is off, or there is nothing to ask."""

    questions: Questions
    steps: tuple[str, ...] = (QUERY,)


Plan: t.TypeAlias = Switch | AskSnapshot | AskNewSnapshot | AskVm


def decide(vm: Vm, target: Target, options: AreaOptions, state: State | None) -> Plan:
    """The plan for one VM.

    :param state: what the state file has; None where none is used.
    :raises VforgeError: why nothing is done with it.
    """
    if options.state == ENABLED:
        return Switch(_switching_on(vm))
    if options.state == DISABLED:
        return Switch((SWITCH_OFF,) if vm.tracking else ())
    if options.state == RESET:
        return Switch(_resetting(vm))
    return _query(vm, target, options, state)


def _resetting(vm: Vm) -> tuple[str, ...]:
    """Off, a snapshot that makes it so, on, a snapshot that makes it so.

    Without the first snapshot tracking would go on as before: both switches count from the next one
    (API reference, changeTrackingEnabled). A run that died may have switched it off already.
    """
    on = _switching_on(dataclasses.replace(vm, tracking=False))
    off = (SWITCH_OFF,) if vm.tracking else ()
    stop = (DEACTIVATE,) if any(disk.change_id for disk in vm.disks) else ()
    return (*off, *stop, *on)


def _switching_on(vm: Vm) -> tuple[str, ...]:
    if vm.hardware < OLDEST_HARDWARE:
        raise NotSupported(
            f"{vm.path} cannot track changed blocks: its virtual hardware is version {vm.hardware or 'unknown'}.",
            hint=f"Version {OLDEST_HARDWARE} or later can.",
        )
    if not vm.supported:
        raise NotSupported(
            f"{vm.path} cannot track changed blocks, as vCenter says of it (capability.changeTrackingSupported).",
            hint="Look at its disks and controllers.",
        )
    if not vm.trackable:
        reasons = [f"{disk.label}: {why.reason}" for disk in vm.disks if (why := exclusion(disk))]
        raise NotSupported(
            f"{vm.path} has no disk that can be tracked. {names.listing(reasons)}",
            hint="Make its disks dependent ones, if snapshots may hold them.",
        )
    if vm.active:
        return ()
    if vm.template:
        raise InvalidOption(
            f"{vm.path} is a template, and tracking becomes active with a snapshot.",
            hint="Convert it to a VM, switch tracking on, and convert it back.",
        )
    if vm.snapshots:
        paths = [snapshot.path for snapshot in vm.snapshots]
        raise InvalidOption(
            f"{vm.path} has snapshots ({names.listing(paths)}), and tracking that begins on top "
            "of them does not know which areas are in use.",
            hint="Remove them first.",
            snapshots=paths,
        )
    return (ACTIVATE,) if vm.tracking else (SWITCH_ON, ACTIVATE)


def cycles_power(vm: Vm, options: AreaOptions) -> bool:
    """Whether tracking is made active by a power cycle.

    A VM that is off has none; a snapshot does it there, and nobody notices.
    """
    return options.activation == POWER_CYCLE and vm.powered_on


def _query(vm: Vm, target: Target, options: AreaOptions, state: State | None) -> Plan:
    if target.snapshot is not None:
        return AskSnapshot(choose(vm.snapshots, target.snapshot, vm.path))
    questions = ask(vm, vm.disks, target, state)
    check_excluded(questions, options, vm)
    off = vm.powered_off
    if options.create == NEVER and not off:
        raise InvalidOption(
            f"{vm.path} is {vm.power_state}, and only a VM that is powered off can be asked without a snapshot.",
            hint="Name an existing snapshot, or leave create_snapshot at auto.",
            option="create_snapshot",
        )
    # A snapshot that could answer nothing would be a stun for nothing.
    if not questions.asked or (off and options.create != ALWAYS):
        return AskVm(questions)
    if vm.template:
        raise InvalidOption(
            f"{vm.path} is a template, which can have no snapshot.",
            hint="Leave create_snapshot at auto.",
        )
    return AskNewSnapshot(questions)


def ask(vm: Vm, disks: t.Sequence[Disk], target: Target, state: State | None) -> Questions:
    """What to ask of which disks.

    :param disks: as the snapshot has them, or before there is one, the VM.
    :param state: None where no state file is used.
    :raises NotFound: a disk that is selected is not there.
    """
    asked, excluded = [], []
    for disk, selector in select(disks, target.disks, vm.path):
        why = exclusion(disk) or (None if disk.change_id else NOT_TRACKED)
        if why is not None:
            excluded.append((disk, why))
            continue
        own = selector.change_id if selector is not None else None
        kept = _kept(vm, disk, own, target, state)
        # Who says himself what to compare with does not ask from where the file ends.
        uncommitted = state.uncommitted(vm, disk) if own is None and state is not None else {}
        since = kept.change_id if kept else None
        asked.append(Question(disk, since, judge(kept, disk), uncommitted))
    return Questions(tuple(asked), tuple(excluded))


def check_excluded(questions: Questions, options: AreaOptions, vm: Vm) -> None:
    """Make sure that no disk is left out, where that is asked for.

    :raises DiskExcluded: naming the disks.
    """
    if options.on_excluded == FAIL and questions.excluded:
        listed = [f"{disk.label}: {why.reason}" for disk, why in questions.excluded]
        raise DiskExcluded(
            f"What changed on {vm.path} cannot be known for {len(listed)} of its disks. {names.listing(listed)}",
            hint="Select the other disks, or set on_excluded to report.",
            disks=[disk.label for disk, _why in questions.excluded],
        )


def _kept(vm: Vm, disk: Disk, own: str | None, target: Target, state: State | None) -> Kept | None:
    """What to compare a disk with.

    What is asked of this disk, what the state file has, what is asked of all, in this order.
    """
    if own is not None:
        return Kept(own)
    if state is not None and (known := state.kept(vm, disk)) is not None:
        return known
    if target.change_id is not None:
        return Kept(target.change_id)
    return Kept(ALL) if state is None else None


# What this user has to be allowed
#
# A user who may make snapshots and may not remove them would leave one behind. So this is known
# before anything is done, and in check mode.


def privileges(vm: Vm, plan: Plan, options: AreaOptions) -> tuple[str, ...]:
    """What a plan needs (API reference, the methods' required privileges)."""
    needed: list[str] = []
    if isinstance(plan, Switch) and plan.steps:
        if SWITCH_ON in plan.steps or SWITCH_OFF in plan.steps:
            needed.append(SWITCH)
        if DEACTIVATE in plan.steps or ACTIVATE in plan.steps:
            needed += (POWER_OFF, POWER_ON) if cycles_power(vm, options) else (MAKE, REMOVE)
    if isinstance(plan, AskNewSnapshot):
        needed += (MAKE, REMOVE)
    # In a first run nothing is read yet. What is missing fails that run, not the second night's;
    # and who names a state file when tracking is switched on is going to ask.
    going_to_ask = isinstance(plan, Switch) and options.state == ENABLED and options.files.state
    if isinstance(plan, AskSnapshot) or plan.questions.asked or going_to_ask:
        needed.append(READ)
    return tuple(needed)


REMOVAL_PRIVILEGES = (REMOVE,)


def refusal(vm: Vm, lacked: t.Sequence[str]) -> NotPermitted:
    """Why nothing is done with a VM on which privileges are missing."""
    return NotPermitted(
        f"This user may not do with {vm.path} what is asked for: {', '.join(lacked)} is missing.",
        hint="Give the user a role with these privileges on this VM.",
        privileges=list(lacked),
    )
