# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The modes of a release, clusters and VMs that have one, and what a task is asked to do. Pure."""

from __future__ import annotations

import dataclasses
import re
import typing as t

from .._connector import names
from .._connector.find import Selector
from .._errors import InvalidOption, VforgeError
from .._vsphere.features import Values, same_values
from .._vsphere.processors import Mode, Needs, Processor
from .._vsphere.vm import Vm

PRESENT, ABSENT = "present", "absent"

# The mode of a cluster that is found out: the highest one that every host supports.
HIGHEST = "highest"

# The first hardware version whose VMs can have a mode of their own (API reference, Per-VM EVC).
OLDEST_HARDWARE = 14


# Kept in the extraConfig of a VM from before it is shut down until it is back: "<tools or plain>
# <name of the VM>". By it the next run starts the VM again, where this one is ended between. A
# clone inherits the pair, with a name that is not its own.
MARK_KEY = "vforge.evc"
WITH_TOOLS, WITHOUT_TOOLS = "tools", "plain"

# vCenter's fault where running VMs stand in the way, in snake case.
ACTIVE_VMS = "active_vms_blocking_evc"


class Blocked(VforgeError):
    """Hosts or running VMs stand in the way of a mode."""

    error_code = "evc_blocked"


@dataclasses.dataclass(frozen=True)
class Release:
    """The modes that a vCenter offers, the CPU's and the graphics'."""

    modes: tuple[Mode, ...]
    graphics: tuple[Mode, ...] = ()

    def mode(self, text: str, *more: str) -> Mode:
        """The mode with a key or a label.

        :param more: what may be asked for besides, for the message.
        :raises InvalidOption: listing those that are offered.
        """
        return _named(self.modes, text, "mode", "EVC mode", more)

    def graphics_mode(self, text: str) -> Mode:
        """The graphics mode with a key or a label.

        :raises InvalidOption: listing those that are offered.
        """
        if not self.graphics:
            raise InvalidOption(
                "This vCenter has no EVC graphics modes.",
                hint="They came with vSphere 7.0 Update 1. Leave graphics_mode out.",
                option="graphics_mode",
            )
        return _named(self.graphics, text, "graphics_mode", "EVC graphics mode")

    def keyed(self, key: str | None) -> Mode | None:
        """The mode with a key; None where it has none."""
        return next((mode for mode in self.modes if mode.key == key), None)

    def of_masks(self, masks: Values) -> Mode | None:
        """The mode whose masks these are."""
        return next((mode for mode in self.modes if masks and same_values(masks, mode.masks)), None)


def plain(label: str) -> str:
    """A label without its marks and quotation marks, for comparing: ``Intel® "Haswell"
    Generation``.
    """
    return " ".join(re.sub(r"[®™\"\u201c\u201d']", "", label).split()).casefold()


def _named(modes: t.Sequence[Mode], text: str, option: str, noun: str, more: t.Sequence[str] = ()) -> Mode:
    fits = [mode for mode in modes if text == mode.key] or [mode for mode in modes if plain(text) == plain(mode.label)]
    if len(fits) == 1:
        return fits[0]
    keys = [mode.key for mode in modes]
    keys += more if keys else ()
    near = names.nearest(text, keys)
    offered = f"It offers: {', '.join(keys)}." if keys else "It offers none, or does not show them to this user."
    raise InvalidOption(
        f"This vCenter offers no {noun} {text!r}.",
        hint=f"{f'Did you mean {near[0]}? ' if near else ''}{offered}",
        option=option,
        offered=keys,
    )


@dataclasses.dataclass(frozen=True)
class Cluster:
    """A cluster and the mode that it has; None without EVC.

    :ivar hosts: their moids.
    """

    moid: str
    name: str
    path: str
    mode: str | None = None
    graphics_mode: str | None = None
    hosts: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class HostCpu:
    """A host of the cluster.

    :ivar processor: its name and the highest mode that it supports; empty where it
        supports none, or is disconnected.
    """

    moid: str
    name: str
    processor: Processor = dataclasses.field(default_factory=Processor)

    @property
    def max_mode(self) -> str | None:
        """Key of the highest mode that it supports; None for none."""
        return self.processor.max_mode or None


@dataclasses.dataclass(frozen=True)
class ActiveVm:
    """A VM that is on or suspended and stands in the way of a mode.

    :ivar needs_mode: key of the lowest mode in which it could run.
    :ivar features: that it uses and the mode hides, as far as vCenter names them.
    """

    moid: str
    name: str
    host: str
    power_state: str
    needs_mode: str | None = None
    features: tuple[str, ...] = ()

    def as_result(self) -> dict[str, t.Any]:
        """Its entry."""
        return {**dataclasses.asdict(self), "features": list(self.features)}


@dataclasses.dataclass(frozen=True)
class Obstacle:
    """What stands in the way of a mode, as vCenter's own check says.

    :ivar code: the fault in snake case.
    :ivar hosts: names of those that cause it.
    :ivar vms: that use more than the mode has, or of which nobody knows.
    :ivar within: VMs that are on such hosts and could run in the mode as they
        are, where vCenter names no VM.
    :ivar unnamed: the names of these hosts.
    """

    code: str
    hosts: tuple[str, ...] = ()
    vms: tuple[ActiveVm, ...] = ()
    within: tuple[ActiveVm, ...] = ()
    unnamed: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvcVm(Vm):
    """A VM and the mode that it has of its own.

    :ivar needs: its hardware version, the masks of its own mode, and the
        lowest mode in which it could run.
    :ivar supported: whether vCenter says that it can have a mode of its
        own; None where it says nothing.
    :ivar tools: whether VMware Tools run.
    :ivar mark: what an earlier run has left, which had shut it down: ``tools``, ``plain`` or empty.
    """

    needs: Needs = dataclasses.field(default_factory=Needs)
    supported: bool | None = None
    tools: bool = False
    mark: str = ""

    def has_masks_of(self, mode: Mode | None) -> bool:
        """Whether its own masks are those of a mode; of None, whether it has none."""
        return same_values(self.needs.masks, mode.masks if mode is not None else {})


def mark(vm: EvcVm) -> str:
    """The value of the mark of a VM."""
    return f"{WITH_TOOLS if vm.tools else WITHOUT_TOOLS} {vm.name}"


def marked(value: str, vm_name: str) -> str:
    """What such a value says on a VM of this name: ``tools``, ``plain``, or empty where it is none."""
    kind, _space, name = value.partition(" ")
    return kind if kind in (WITH_TOOLS, WITHOUT_TOOLS) and name == vm_name else ""


@dataclasses.dataclass(frozen=True)
class Options:
    """What one task is asked to do, with a cluster or with VMs.

    :ivar selectors: of VMs; beside a cluster, of those that may be off while it gets its mode.
    :ivar power_cycle: whether running VMs may be shut down and started again.
    :ivar force: whether a VM is powered off whose guest cannot be shut
        down, or does not shut down in time.
    :ivar timeout: seconds for all of it; ``shutdown_timeout`` and
        ``tools_timeout`` for these waits.
    """

    state: str
    mode: str
    graphics_mode: str
    cluster: str
    selectors: tuple[Selector, ...]
    datacenter: str | None
    complete_masks: bool
    power_cycle: bool
    force: bool
    shutdown_timeout: int
    tools_timeout: int
    parallel: int
    timeout: int

    @classmethod
    def from_params(cls, params: t.Mapping[str, t.Any]) -> Options:
        """Take the options out of a module's parameters.

        :raises InvalidOption: naming the option.
        """
        given = [("vm", params["vm"])] if params.get("vm") else [("vms", each) for each in params.get("vms") or []]
        options = cls(
            state=params["state"],
            mode=(params.get("mode") or "").strip(),
            graphics_mode=(params.get("graphics_mode") or "").strip(),
            cluster=params.get("cluster") or "",
            selectors=tuple(Selector.from_params(each, option) for option, each in given),
            datacenter=params.get("datacenter"),
            **{name: params[name] for name in _PLAIN},
        )
        options.check()
        return options

    def check(self) -> None:
        """Refuse what makes no sense together.

        :raises InvalidOption: naming the option.
        """
        if not self.cluster and not self.selectors:
            raise InvalidOption(
                "Neither a cluster nor a VM is named.",
                hint="Set cluster for the mode of a cluster, or vm or vms for the modes of single VMs.",
                option="cluster",
            )
        if self.state == PRESENT and not self.mode:
            raise InvalidOption(
                "The option mode is not set.",
                hint="Set it to the key or the label of an EVC mode, or of a cluster to highest.",
                option="mode",
            )
        if self.cluster:
            self._check_cluster()
        else:
            self._check_vms()
        for name in ("shutdown_timeout", "tools_timeout"):
            if getattr(self, name) < 1:
                raise InvalidOption(f"The option {name} must be at least 1.", option=name)
        if self.power_cycle and self.shutdown_timeout >= self.timeout:
            raise InvalidOption(
                f"shutdown_timeout is {self.shutdown_timeout} s, and timeout {self.timeout} s: one slow guest would leave no "
                "time for the other VMs.",
                hint="Set timeout to more than shutdown_timeout and tools_timeout together.",
                option="shutdown_timeout",
            )

    def _check_vms(self) -> None:
        if self.mode == HIGHEST:
            raise InvalidOption(
                "The mode of a VM cannot be highest.",
                hint="Highest is found out from the hosts of a cluster. Name the mode, as evc returns it for the cluster.",
                option="mode",
            )
        if self.graphics_mode:
            raise InvalidOption(
                "A VM has no graphics mode of its own.",
                hint="Leave graphics_mode out, or name a cluster.",
                option="graphics_mode",
            )

    def _check_cluster(self) -> None:
        if self.power_cycle and not self.selectors:
            raise InvalidOption(
                "The option power_cycle is for VMs, and none is named.",
                hint="Name in vms those that may be off while the cluster gets its mode. The role evc_baseline finds them.",
                option="power_cycle",
            )
        if self.selectors and not self.power_cycle:
            raise InvalidOption(
                "VMs are named beside a cluster, and power_cycle is not set.",
                hint="Set it to have those of them that are in the way of the mode shut down until the cluster has it, or "
                "name no VMs.",
                option="power_cycle",
            )
        if self.selectors and self.state != PRESENT:
            raise InvalidOption(
                "EVC of a cluster can be ended while VMs run.",
                hint="Name no VMs, or no cluster to take away the modes that VMs have of their own.",
                option="vms",
            )


_PLAIN = ("complete_masks", "power_cycle", "force", "shutdown_timeout", "tools_timeout", "parallel", "timeout")
