# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which VM could move where, and which processor a guest is to see. Pure.

What is compared is what vCenter itself compares: the feature requirements of a VM with the feature
capabilities of a host behind its masks (API reference,
``VirtualMachineRuntimeInfo.featureRequirement``). A VM that runs has those that its guest found
when it was powered on. One that is off has only what it needs to be powered on: it may be moved
anywhere and then sees another processor.

Thousands of VMs have a few sets of requirements between them, and hosts a few sets of capabilities.
So each requirement is held against each set once, whatever the number of VMs and hosts.
"""

from __future__ import annotations

import collections
import dataclasses
import typing as t

from .._vsphere import cpuid
from .._vsphere.cpuid import Identity
from .._vsphere.features import Demand, Obstacle, Values
from .model import CpuHost, CpuVm, Places

RUNNING, OFF, UNKNOWN = "running", "powered_off", "unknown"

ALL, SOME, NONE = "all", "some", "none"

# Since no mask makes one vendor's processor the other's, a VM that runs never moves between them.
_VENDOR = "vendor"

# Of virtual hardware 8 and older vCenter has no feature requirements (API reference, HostCpuIdInfo:
# masks of CPUID bits).
_OLD = 8
_OLD_HARDWARE = (
    "it has no feature requirements, as VMs of hardware version 8 or older; only vCenter's own check at a migration tells"
)
_NOT_SHOWN = "vCenter shows no feature requirements of it, as of a VM on a host that it does not reach"


# What masks may set that is a number of the processor, and no feature.
_FAMILY, _MODEL, _STEPPING = "cpuid.family", "cpuid.model", "cpuid.stepping"
_NUMBERS = (_FAMILY, _MODEL, _STEPPING, "cpuid.numlevels", "cpuid.num_ext_levels")


@dataclasses.dataclass(frozen=True)
class Group:
    """VMs that require the same.

    :ivar basis: ``running`` (also of suspended ones), ``powered_off`` or ``unknown``.
    :ivar vendor: whose processor the VMs run on; empty for those that are off.
    :ivar why_unknown: why nobody can say what they require, or empty.
    """

    vms: tuple[CpuVm, ...]
    basis: str
    vendor: str
    requirements: Values
    why_unknown: str = ""

    @property
    def min_modes(self) -> tuple[str, ...]:
        """The least EVC modes that could admit them, as vCenter says."""
        return tuple(sorted({vm.needs.min_mode for vm in self.vms} - {""}))


@dataclasses.dataclass(frozen=True)
class Moves:
    """Where the VMs of a group could move.

    :ivar fits: the hosts to which they could move.
    :ivar unknown: hosts of which nobody can say.
    :ivar obstacles: what stands in the way, with the hosts on which it does.
    :ivar clusters: by moid ``all``, ``some`` or ``none`` of the hosts fit, or ``unknown``.
    """

    fits: tuple[CpuHost, ...]
    unknown: tuple[CpuHost, ...]
    obstacles: t.Mapping[Obstacle, tuple[CpuHost, ...]]
    clusters: t.Mapping[str, str]


def groups_of(vms: t.Iterable[CpuVm], hosts: t.Iterable[CpuHost]) -> list[Group]:
    """The VMs by what they require, the largest group first.

    :param hosts: all that there are, so that the vendors of VMs are known.
    """
    vendors = {host.moid: host.processor.vendor for host in hosts}
    found: dict[tuple[t.Any, ...], list[CpuVm]] = collections.defaultdict(list)
    for vm in vms:
        basis, why, values = _basis(vm)
        vendor = vendors.get(vm.host, "") if basis == RUNNING else ""
        found[(basis, vendor, why, tuple(values.items()))].append(vm)
    groups = [
        Group(tuple(sorted(some, key=lambda vm: (vm.name, vm.moid))), basis, vendor, dict(values), why)
        for (basis, vendor, why, values), some in found.items()
    ]
    return sorted(groups, key=lambda group: (-len(group.vms), group.vms[0].name))


def _basis(vm: CpuVm) -> tuple[str, str, Values]:
    """What there is to compare of a VM: which kind of it, why there is nothing, and its
    requirements.
    """
    needs = vm.needs
    hardware = needs.hardware_number
    if vm.powered_off:
        values = needs.requirements or {**needs.offline, **_demanded(needs.masks)}
        # One that is off may really require nothing. Of old hardware, or of a configuration that is
        # not shown, nobody knows.
        if values or hardware > _OLD:
            return OFF, "", values
    elif needs.requirements:
        return RUNNING, "", needs.requirements
    return UNKNOWN, _OLD_HARDWARE if 0 < hardware <= _OLD else _NOT_SHOWN, {}


def _demanded(masks: Values) -> Values:
    """What the masks of a VM's own EVC mode demand of the host where it is powered on.

    A mask makes no feature that the processor does not have. The numbers of a processor are shown
    as a mask sets them.
    """
    demands = (Demand.parse(key, text) for key, text in masks.items())
    return {
        each.key: "Bool:Min:1" for each in demands if each.operation == "val" and each.number == 1 and each.key not in _NUMBERS
    }


class Comparison:
    """Holds what VMs require against what hosts offer.

    :param places: the hosts and clusters that are asked about.
    """

    def __init__(self, places: Places) -> None:
        self._places = places
        self._kinds: dict[tuple[t.Any, ...], list[CpuHost]] = collections.defaultdict(list)
        self.unknown: list[CpuHost] = []
        for host in places.hosts:
            if host.why_unknown:
                self.unknown.append(host)
            else:
                self._kinds[(host.processor.vendor, *host.processor.offered.items())].append(host)
        self._known: dict[tuple[str, str], list[tuple[Obstacle, list[CpuHost]]]] = {}

    def moves_of(self, group: Group) -> Moves:
        """Where the VMs of a group could move, and what stands in the way elsewhere."""
        if group.why_unknown:
            return Moves((), self._places.hosts, {}, {each.moid: UNKNOWN for each in self._places.clusters})
        blocked: dict[Obstacle, list[CpuHost]] = collections.defaultdict(list)
        for requirement in group.requirements.items():
            for obstacle, hosts in self._against(requirement):
                blocked[obstacle] += hosts
        for host in self._of_others(group.vendor):
            blocked[Obstacle(_VENDOR, group.vendor, host.processor.vendor)].append(host)
        return self._moves(blocked)

    def _moves(self, blocked: t.Mapping[Obstacle, list[CpuHost]]) -> Moves:
        unknown = {host.moid for host in self.unknown}
        refused = {host.moid for hosts in blocked.values() for host in hosts}
        fits = tuple(host for host in self._places.hosts if host.moid not in refused and host.moid not in unknown)
        fitting = {host.moid for host in fits}
        return Moves(
            fits,
            tuple(self.unknown),
            {obstacle: tuple(hosts) for obstacle, hosts in blocked.items()},
            {each.moid: _of_cluster(each.hosts, fitting, unknown) for each in self._places.clusters},
        )

    def _against(self, requirement: tuple[str, str]) -> list[tuple[Obstacle, list[CpuHost]]]:
        """On which hosts a requirement stands in the way; each is looked at once."""
        if requirement not in self._known:
            demand = Demand.parse(*requirement)
            found: dict[Obstacle, list[CpuHost]] = collections.defaultdict(list)
            for hosts in self._kinds.values():
                has = hosts[0].processor.offered.get(demand.key)
                met = demand.met_by(has)
                if not met:
                    found[Obstacle(demand.key, demand.text, has, certain=met is not None)] += hosts
            self._known[requirement] = list(found.items())
        return self._known[requirement]

    def _of_others(self, vendor: str) -> list[CpuHost]:
        """The hosts with processors of another vendor; none where one of both is not known."""
        every = (host for hosts in self._kinds.values() for host in hosts)
        return [host for host in every if vendor and host.processor.vendor and host.processor.vendor != vendor]


def _of_cluster(hosts: t.Sequence[CpuHost], fitting: t.Collection[str], unknown: t.Collection[str]) -> str:
    known = [host.moid for host in hosts if host.moid not in unknown]
    if not known:
        return UNKNOWN
    fit = sum(moid in fitting for moid in known)
    return ALL if fit == len(known) else SOME if fit else NONE


# Which processor a guest is to see


@dataclasses.dataclass(frozen=True)
class Expected:
    """The processor that a guest is to see.

    :ivar source: ``vm_masks`` (its own EVC mode), ``evc_mode`` (its cluster's) or ``host``.
    """

    identity: Identity
    source: str


def expected_of(vm: CpuVm, host: CpuHost | None, places: Places) -> Expected | None:
    """The processor that the guest of a VM is to see when it is powered on now; None where its host
    does not say.

    The masks of an EVC mode set family, model and stepping (``cpuid.MODEL`` = ``Val:0x3f``); what
    they do not set is the host's. The name of the model, such as "Intel(R) Core(TM) i3-7100U",
    stays the host's in every mode.
    """
    real = host.processor.identity if host is not None else None
    if host is None or real is None:
        return None
    mode = places.modes.get(host.processor.current_mode)
    for source, masks in (("vm_masks", vm.needs.masks), ("evc_mode", mode.masks if mode is not None else {})):
        forced = _forced(masks)
        if forced:
            return Expected(_replaced(real, forced), source)
    return Expected(real, "host")


def _forced(masks: Values) -> dict[str, int]:
    found = {}
    for name, key in (("family", _FAMILY), ("model", _MODEL), ("stepping", _STEPPING)):
        demand = Demand.parse(key, masks[key]) if key in masks else None
        if demand is not None and demand.operation == "val" and demand.number is not None:
            found[name] = demand.number
    return found


def _replaced(real: Identity, forced: t.Mapping[str, int]) -> Identity:
    family, model, stepping = (forced.get(name, getattr(real, name)) for name in ("family", "model", "stepping"))
    return Identity(real.vendor, family, model, stepping, cpuid.encode(family, model, stepping))


def hidden(host: CpuHost) -> Values:
    """The features whose capability is another behind the host's masks, with what VMs get."""
    before, after = host.processor.capabilities, host.processor.masked
    return {key: after[key] for key in sorted(after) if before.get(key) != after[key]} if before else {}


def disagreement(host: CpuHost) -> str:
    """Where vCenter's own family, model and stepping are others than those of the leaves, one
    sentence; else empty.
    """
    identity, stated = host.processor.identity, host.processor.stated
    if identity is None or stated is None or stated == (identity.family, identity.model, identity.stepping):
        return ""
    numbers = " ".join(f"{word} {number}" for word, number in zip(("family", "model", "stepping"), stated, strict=True))
    return f"{host.name}: vCenter itself says {numbers}, and leaf 1 says {identity.title}."
