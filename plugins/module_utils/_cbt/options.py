# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of a task about changed areas, checked and typed. Pure."""

from __future__ import annotations

import dataclasses
import typing as t

from .._connector.find import Selector
from .._errors import InvalidOption
from .selection import DiskSelector, SnapshotSelector, change_id_from
from .sink import MOST_IN_RESULT

ENABLED, DISABLED, QUERIED, COMMITTED = "enabled", "disabled", "queried", "committed"
AUTO, ALWAYS, NEVER = "auto", "always", "never"
SNAPSHOT, POWER_CYCLE = "snapshot", "power_cycle"
REPORT, FAIL = "report", "fail"

# What says more of a VM than which one it is.
_OF_A_QUESTION = ("disks", "change_id", "snapshot")


@dataclasses.dataclass(frozen=True)
class Target:
    """One VM and what is asked of it.

    :ivar disks: None for all.
    :ivar change_id: to compare with where neither the disk nor the state file has one.
    :ivar snapshot: an existing one to ask about; None for one that is made for the query, or none at all.
    """

    selector: Selector
    disks: tuple[DiskSelector, ...] | None = None
    change_id: str | None = None
    snapshot: SnapshotSelector | None = None


@dataclasses.dataclass(frozen=True)
class Files:
    """Where things are written on the machine that runs the module; empty for nowhere.

    :ivar tell_areas: whether the areas are kept at all, or only counted.
    :ivar most_areas: of a disk in the result; with more they go into a file in the folder ``areas``.
    """

    state: str = ""
    report: str = ""
    areas: str = ""
    tell_areas: bool = True
    most_areas: int = 1000
    compress: bool = False


@dataclasses.dataclass(frozen=True)
class AreaOptions:
    """What one task is asked to do.

    :ivar create: whether a snapshot is made for the query: ``auto`` where the VM is not powered off.
    :ivar activation: how tracking is made to count.
    :ivar parallel: snapshots, and queries, at the same time.
    :ivar timeout: seconds for all of the work; removing snapshots has time of its own.
    :ivar question: ID of the one that is to be committed.
    """

    state: str
    targets: tuple[Target, ...]
    datacenter: str | None = None
    create: str = AUTO
    quiesce: bool = False
    memory: bool = False
    activation: str = SNAPSHOT
    on_full_required: str = REPORT
    on_excluded: str = REPORT
    files: Files = dataclasses.field(default_factory=Files)
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
                "A snapshot is either quiesced or has the memory of the VM.", hint="Set quiesce or memory.", option="memory"
            )
        if params["areas_limit"] < 0:
            raise InvalidOption(
                f"The option areas_limit is {params['areas_limit']}.", hint="The least is 0.", option="areas_limit"
            )
        if params["areas_limit"] > MOST_IN_RESULT:
            raise InvalidOption(
                f"The option areas_limit is {params['areas_limit']}, and a result holds {MOST_IN_RESULT} areas at the most.",
                hint="Set areas_directory, and leave areas_limit as it is: what is more goes into files there.",
                option="areas_limit",
            )
        _check_state(params)
        return cls(
            state=params["state"],
            targets=_targets(params),
            datacenter=params.get("datacenter"),
            create=params["create_snapshot"],
            quiesce=params["quiesce"],
            memory=params["memory"],
            activation=params["activation"],
            on_full_required=params["on_full_required"],
            on_excluded=params["on_excluded"],
            files=_files(params),
            parallel=params["parallel"],
            timeout=params["timeout"],
            question=params.get("question") or "",
        )


def _files(params: t.Mapping[str, t.Any]) -> Files:
    return Files(
        state=params.get("state_file") or "",
        report=params.get("report") or "",
        areas=params.get("areas_directory") or "",
        tell_areas=params["return_areas"],
        most_areas=params["areas_limit"],
        compress=params["areas_compress"],
    )


def _check_state(params: t.Mapping[str, t.Any]) -> None:
    """Make sure that a question is committed as it was asked, and that nothing else is taken for that.

    :raises InvalidOption: naming the option.
    """
    committing = params["state"] == COMMITTED
    for name in ("state_file", "question"):
        if committing and not params.get(name):
            raise InvalidOption(f"With state committed, the option {name} is required.", option=name)
    if not committing and params.get("question"):
        hint = "Set state to committed, or leave question out."
        raise InvalidOption(f"The option question is for state committed, not {params['state']}.", hint=hint, option="question")
    of_vms = [name for item in params.get("vms") or () for name in _OF_A_QUESTION if item.get(name) is not None]
    for name in [*(name for name in _OF_A_QUESTION if params.get(name) is not None), *of_vms]:
        if committing:
            hint = "Choose VMs by vm or vms; all of their disks are committed."
            raise InvalidOption(f"The option {name} is for a question, not for state committed.", hint=hint, option=name)


def _targets(params: t.Mapping[str, t.Any]) -> tuple[Target, ...]:
    listed = params.get("vms")
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
