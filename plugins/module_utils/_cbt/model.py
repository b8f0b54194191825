# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a task about changed areas is asked to do, and VMs and their disks as far as tracking goes.
Pure.
"""

from __future__ import annotations

import dataclasses
import typing as t

from .._connector import names
from .._connector.find import Selector, choose
from .._errors import InvalidOption
from .._vsphere import vm
from .._vsphere.changeid import ALL, ChangeId
from .._vsphere.disks import Disk
from .._vsphere.fcd import DiskSelector as FirstClassDiskSelector
from .._vsphere.fcd import selector_from
from .._vsphere.snapshots import Snapshot, SnapshotSelector
from .sink import MOST_IN_RESULT

ENABLED, DISABLED, QUERIED, COMMITTED = "enabled", "disabled", "queried", "committed"
RESET = "reset"
AUTO, ALWAYS, NEVER = "auto", "always", "never"
SNAPSHOT, POWER_CYCLE = "snapshot", "power_cycle"
REPORT, FAIL = "report", "fail"

# Changed block tracking came with virtual hardware 7 (API reference,
# ConfigSpec.changeTrackingEnabled).
OLDEST_HARDWARE = 7

# Backings that carry a changeId (API reference: each of these has the property, no other has).
TRACKED_BACKINGS = ("FlatVer2", "SparseVer2", "RawDiskMappingVer1", "RawDiskVer2")

# What says more of a VM than which one it is.
_OF_A_QUESTION = ("disks", "change_id", "snapshot")

_WAYS = ("label", "key", "unit", "backing")


# What there is


@dataclasses.dataclass(frozen=True)
class Exclusion:
    """Why the changed areas of a disk cannot be known.

    :ivar code: stable, such as ``independent``.
    """

    code: str
    reason: str


NOT_TRACKED = Exclusion("not_tracked", "It has no changeId: tracking is off, or not active yet.")


def exclusion(disk: Disk) -> Exclusion | None:
    """Why a disk can never be tracked, or None."""
    if disk.mode.startswith("independent"):
        return Exclusion("independent", f"Its mode is {disk.mode}, and snapshots leave independent disks out.")
    if disk.physical:
        return Exclusion("physical_rdm", "It is a raw device in physical mode, which snapshots leave out.")
    if disk.backing not in TRACKED_BACKINGS:
        return Exclusion("backing", f"Disks of the kind {disk.backing} are not tracked.")
    return None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Vm(vm.Vm):
    """A VM and its tracking.

    :ivar hardware: version of its virtual hardware, 0 where it is unknown.
    :ivar supported: whether it can track at all.
    :ivar tracking: whether tracking is on; whether it is active shows in the disks' changeIds.
    """

    hardware: int
    supported: bool
    tracking: bool
    disks: tuple[Disk, ...]
    snapshots: tuple[Snapshot, ...] = ()

    @property
    def trackable(self) -> tuple[Disk, ...]:
        """The disks that can be tracked."""
        return tuple(disk for disk in self.disks if exclusion(disk) is None)

    @property
    def active(self) -> bool:
        """Whether tracking is on, and all disks that can be tracked have a changeId."""
        return self.tracking and all(disk.change_id for disk in self.trackable)


# Which disks are meant


@dataclasses.dataclass(frozen=True)
class DiskSelector:
    """What names one disk: exactly one of ``label``, ``key``, ``unit`` and ``backing``.

    :ivar change_id: what to compare it with: a changeId, ``*`` for all areas in use, or None for
        what all disks are compared with.
    """

    label: str | None = None
    key: int | None = None
    unit: str | None = None
    backing: str | None = None
    change_id: str | None = None

    def __str__(self) -> str:
        for way in _WAYS:
            if getattr(self, way) is not None:
                return f"disk with the {way} {names.shown(str(getattr(self, way)))}"
        return "disk"

    @classmethod
    def from_params(cls, params: t.Mapping[str, t.Any]) -> DiskSelector:
        """The selector in a module's suboptions.

        :raises InvalidOption: when it names no disk, or in two ways, or its changeId is none.
        """
        given = [way for way in _WAYS if params.get(way) is not None]
        if len(given) != 1:
            raise InvalidOption(
                f"A disk of the option disks is given by {' and '.join(given) or 'nothing'}.",
                hint="Set exactly one of label, key, unit and backing.",
                option="disks",
            )
        way = given[0]
        return cls(**{way: params[way]}, change_id=change_id_from(params.get("change_id")))

    def fits(self, disk: Disk) -> bool:
        """Whether it names this disk.

        A file names a disk that is a delta disk of it, too, as a disk is after a snapshot.
        """
        if self.label is not None:
            return disk.label.casefold() == self.label.strip().casefold()
        if self.key is not None:
            return disk.key == self.key
        if self.unit is not None:
            return disk.unit == self.unit.replace(" ", "").lower()
        return self.backing in disk.files


def change_id_from(text: str | None) -> str | None:
    """The changeId that an option holds.

    :raises InvalidOption: when it is none.
    """
    if text is None or text.strip() == ALL or ChangeId.parse(text):
        return text.strip() if text is not None else None
    raise InvalidOption(
        f"{text!r} is no changeId.",
        hint="It looks like '52 de c0 d9 b9 43 9d 10-61 d5 4c 1b e9 7b 65 63/81', or is '*' for all areas in use.",
        option="change_id",
    )


def select(
    disks: t.Sequence[Disk], selectors: t.Sequence[DiskSelector] | None, where: str
) -> list[tuple[Disk, DiskSelector | None]]:
    """The disks that are meant, in their own order; all of them without selectors.

    :param where: the VM, for messages.
    :raises NotFound: when a selector fits none; the message lists those that there are.
    :raises Ambiguous: when one fits several.
    :raises InvalidOption: when two fit the same.
    """
    if selectors is None:
        return [(disk, None) for disk in disks]
    chosen: dict[int, DiskSelector] = {}
    for selector in selectors:
        key = _only(disks, selector, where).key
        if key in chosen:
            raise InvalidOption(f"{chosen[key]} and {selector} are the same disk of {where}.", option="disks")
        chosen[key] = selector
    return [(disk, chosen[disk.key]) for disk in disks if disk.key in chosen]


def _only(disks: t.Sequence[Disk], selector: DiskSelector, where: str) -> Disk:
    return choose(
        disks,
        selector,
        "disk",
        where,
        listed=lambda disk: f"{disk.label} ({disk.key}, {disk.unit}, {disk.file})",
        hint="Name the one you mean by its key.",
    )


# The options


@dataclasses.dataclass(frozen=True)
class Target:
    """One VM and what is asked of it.

    :ivar disks: None for all.
    :ivar change_id: to compare with where neither the disk nor the state file has one.
    :ivar snapshot: an existing one to ask about; None for one that is made for the query, or none.
    """

    selector: Selector
    disks: tuple[DiskSelector, ...] | None = None
    change_id: str | None = None
    snapshot: SnapshotSelector | None = None


@dataclasses.dataclass(frozen=True)
class FirstClassDiskTarget:
    """One first class disk and what is asked of it.

    :ivar snapshot: ID of an existing one to ask about, or
    :ivar description: that it has; where neither is given, one is made for the query.
    """

    disk: FirstClassDiskSelector
    datastore: str
    change_id: str | None = None
    snapshot: str | None = None
    description: str | None = None

    @property
    def named(self) -> str | None:
        """What names the snapshot to ask about; None where one is made."""
        return self.snapshot or self.description


@dataclasses.dataclass(frozen=True)
class Files:
    """What is written on the machine that runs the module; empty for what is not.

    :ivar with_areas: whether the areas are kept at all, or only counted.
    :ivar most_areas: of a disk in the result; with more they go
        into a file in the folder ``areas``.
    """

    state: str = ""
    areas: str = ""
    with_areas: bool = True
    most_areas: int = 1000
    compress: bool = False


@dataclasses.dataclass(frozen=True)
class AreaOptions:
    """What one task is asked to do.

    :ivar create: whether a snapshot is made for the query: ``auto`` where the VM is not off.
    :ivar activation: how tracking is made active.
    :ivar runs: of each disk in the result, with what changed in each region of it.
    :ivar parallel: snapshots, and queries, at the same time.
    :ivar timeout: seconds for all of the work; removing snapshots has time of its own.
    :ivar question: ID of the one that is to be committed.
    :ivar disk: the first class disk that is asked about in place of VMs; None where VMs are.
    """

    state: str
    targets: tuple[Target, ...]
    disk: FirstClassDiskTarget | None = None
    datacenter: str | None = None
    create: str = AUTO
    quiesce: bool = False
    memory: bool = False
    activation: str = SNAPSHOT
    on_full_required: str = REPORT
    on_excluded: str = REPORT
    files: Files = dataclasses.field(default_factory=Files)
    runs: int = 0
    parallel: int = 8
    timeout: int = 3600
    question: str = ""

    @classmethod
    def from_params(cls, params: t.Mapping[str, t.Any]) -> AreaOptions:
        """Take the options out of a module's parameters.

        :raises InvalidOption: naming the option.
        """
        if params["quiesce"] and params["memory"]:
            raise InvalidOption(
                "A snapshot is either quiesced or has the memory of the VM.",
                hint="Set quiesce or memory.",
                option="memory",
            )
        _check_numbers(params)
        _check_state(params)
        return cls(
            state=params["state"],
            targets=_targets(params),
            disk=_first_class_disk(params),
            datacenter=params.get("datacenter"),
            create=params["create_snapshot"],
            quiesce=params["quiesce"],
            memory=params["memory"],
            activation=params["activation"],
            on_full_required=params["on_full_required"],
            on_excluded=params["on_excluded"],
            files=_files(params),
            runs=params["runs"],
            parallel=params["parallel"],
            timeout=params["timeout"],
            question=params.get("question") or "",
        )


def _files(params: t.Mapping[str, t.Any]) -> Files:
    return Files(
        state=params.get("state_file") or "",
        areas=params.get("areas_directory") or "",
        with_areas=params["return_areas"],
        most_areas=params["areas_limit"],
        compress=params["areas_compress"],
    )


def _check_numbers(params: t.Mapping[str, t.Any]) -> None:
    for option in ("areas_limit", "runs"):
        if params[option] < 0:
            raise InvalidOption(f"The option {option} is {params[option]}.", hint="The least is 0.", option=option)
    if params["areas_limit"] > MOST_IN_RESULT:
        raise InvalidOption(
            f"The option areas_limit is {params['areas_limit']}, and a result holds {MOST_IN_RESULT} areas at the most.",
            hint="Set areas_directory, and leave areas_limit as it is: more go into files there.",
            option="areas_limit",
        )


def _check_state(params: t.Mapping[str, t.Any]) -> None:
    """Make sure that a question is committed as it was asked, and that nothing else looks like
    that.

    :raises InvalidOption: naming the option.
    """
    committing = params["state"] == COMMITTED
    for name in ("state_file", "question"):
        if committing and not params.get(name):
            raise InvalidOption(f"With state committed, the option {name} is required.", option=name)
    if not committing and params.get("question"):
        raise InvalidOption(
            f"The option question is for state committed, not {params['state']}.",
            hint="Set state to committed, or leave question out.",
            option="question",
        )
    if params["state"] == RESET and params["activation"] == POWER_CYCLE:
        raise InvalidOption(
            "Tracking is reset by two snapshots, not by a power cycle.",
            hint="Leave activation at snapshot. By hand: state disabled, a power cycle, state enabled.",
            option="activation",
        )
    for name in _of_a_question(params) if committing else ():
        raise InvalidOption(
            f"The option {name} is for a question, not for state committed.",
            hint="Choose VMs by vm or vms; all of their disks are committed.",
            option=name,
        )


def _of_a_question(params: t.Mapping[str, t.Any]) -> list[str]:
    """The options of a question that are given, of the task or of one of its VMs."""
    groups = [params, *(params.get("vms") or ())]
    return [name for group in groups for name in _OF_A_QUESTION if group.get(name) is not None]


def _first_class_disk(params: t.Mapping[str, t.Any]) -> FirstClassDiskTarget | None:
    """The first class disk that is asked about, or None.

    :raises InvalidOption: it is named beside VMs, or with another state than queried.
    """
    given = params.get("first_class_disk")
    if not given:
        return None
    if params["state"] != QUERIED:
        raise InvalidOption(
            f"The option first_class_disk is for state queried, not {params['state']}.",
            hint="Its tracking is switched by change_tracking of first_class_disk. A question is committed without it.",
            option="first_class_disk",
        )
    named = given.get("snapshot") or {}
    if named.get("id") and named.get("description"):
        raise InvalidOption("A snapshot is named by its id or its description.", option="snapshot")
    return FirstClassDiskTarget(
        disk=selector_from(given, "first_class_disk"),
        datastore=given["datastore"],
        change_id=change_id_from(params.get("change_id")),
        snapshot=named.get("id") or None,
        description=named.get("description") or None,
    )


def _targets(params: t.Mapping[str, t.Any]) -> tuple[Target, ...]:
    listed = params.get("vms")
    if params.get("first_class_disk"):
        if params.get("vm") or listed is not None:
            raise InvalidOption(
                "A task is about VMs or about a first class disk.",
                hint="Set one of vm, vms and first_class_disk.",
                option="first_class_disk",
            )
        return ()
    if params["state"] == COMMITTED and not params.get("vm") and listed is None:
        return ()
    if bool(params.get("vm")) == (listed is not None):
        raise InvalidOption("Set either vm, for one VM, or vms, for a list of them.", option="vm")
    if listed is None:
        return (_target(params["vm"], params, "vm"),)
    return tuple(_target(item, params, "vms") for item in listed)


def _target(item: t.Mapping[str, t.Any], params: t.Mapping[str, t.Any], option: str) -> Target:
    """What is asked of one VM; what it leaves out is that of the task."""

    def given(name: str) -> t.Any:
        return item[name] if item.get(name) is not None else params.get(name)

    disks = given("disks")
    return Target(
        selector=Selector.from_params(item, option),
        disks=tuple(DiskSelector.from_params(disk) for disk in disks) if disks is not None else None,
        change_id=change_id_from(given("change_id")),
        snapshot=SnapshotSelector.from_params(given("snapshot")),
    )
