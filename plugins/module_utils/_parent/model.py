# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""VMs that are, or are to be, parents of instant clones, and what a task is asked to do with them.

Pure.
"""

from __future__ import annotations

import dataclasses
import typing as t

from .._connector.find import Selector, selectors
from .._errors import InvalidOption
from .._vsphere.disks import Disk
from .._vsphere.freeze import ParentVm
from .._vsphere.guest import GuestCredentials
from .._vsphere.vm import Vm
from .._vsphere.wake import FreezeMethod, Scripts

# The snapshot that collapses deltas. One that an ended run has left is known by it.
SNAPSHOT_NAME = "vforge-collapse"


@dataclasses.dataclass(frozen=True)
class Obstacle:
    """Why vSphere would refuse to clone the VM.

    :ivar code: stable, such as ``passthrough``.
    :ivar device: label of the device in question, or empty.
    """

    code: str
    reason: str
    device: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Parent(ParentVm):
    """The VM.

    :ivar snapshots: names of its snapshots, without the one of a collapse that was broken off.
    :ivar leftover: whether there is such a one.
    :ivar devices: those that keep it from being cloned.
    """

    frozen: bool
    host: str
    disks: tuple[Disk, ...]
    snapshots: tuple[str, ...] = ()
    leftover: bool = False
    devices: tuple[Obstacle, ...] = ()

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
        if not self.powered_on:
            return self.power_state
        return "frozen" if self.frozen else "running"

    @property
    def wake_scripts(self) -> int | None:
        """How many scripts its clones run when they wake; None where nobody knows."""
        return self.record.wakes if self.frozen and self.record is not None else None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Child(Vm):
    """A VM that is marked as a clone of the parent; ``host`` is the name of its host."""

    host: str


FROZEN, RUNNING = "frozen", "running"

METHOD = FreezeMethod(
    commands={
        "linux": 'vmware-rpctool "instantclone.freeze"',
        "windows": "& (Join-Path $env:ProgramFiles 'VMware\\VMware Tools\\rpctool.exe') 'instantclone.freeze'",
    },
    shown_by="runtime.instantCloneFrozen",
    verb="freeze",
    state="frozen",
)


@dataclasses.dataclass(frozen=True)
class ParentOptions:
    """What one task is asked to do.

    :ivar selectors: of the parents.
    :ivar credentials: None only where nothing is done in a guest.
    :ivar timeout: seconds for all of the work, the lookup included.
    """

    state: str
    selectors: tuple[Selector, ...]
    datacenter: str | None
    credentials: GuestCredentials | None
    scripts: Scripts
    allow_reset: bool
    collapse: bool
    timeout: int

    @classmethod
    def from_params(cls, params: t.Mapping[str, t.Any]) -> ParentOptions:
        """Take the options out of a module's parameters.

        :raises InvalidOption: naming the option.
        """
        if params["timeout"] < 1:
            raise InvalidOption("The option timeout must be at least 1.", option="timeout")
        credentials = GuestCredentials.from_params(params)
        if params["state"] == FROZEN and credentials is None:
            raise InvalidOption(
                "The option guest_username is not set.",
                hint="Freezing runs a command in the guest: set guest_username and guest_password.",
                option="guest_username",
            )
        return cls(
            state=params["state"],
            selectors=selectors(params),
            datacenter=params.get("datacenter"),
            credentials=credentials,
            scripts=Scripts.from_params(params, METHOD),
            allow_reset=params["allow_reset"],
            collapse=params["collapse_deltas"],
            timeout=params["timeout"],
        )


@dataclasses.dataclass(frozen=True)
class InfoOptions:
    """What is asked for.

    :ivar children: whether the clones are looked for, in the whole inventory.
    :ivar ask_vcenter: whether vCenter is asked for a dry run of a clone.
    """

    selectors: tuple[Selector, ...]
    datacenter: str | None
    children: bool
    ask_vcenter: bool

    @classmethod
    def from_params(cls, params: t.Mapping[str, t.Any]) -> InfoOptions:
        """Take the options out of a module's parameters.

        :raises InvalidOption: naming the option.
        """
        return cls(selectors(params), params.get("datacenter"), params["children"], params["ask_vcenter"])
