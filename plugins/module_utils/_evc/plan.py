# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What has to be done; check mode, diff and the real run all use it. Pure."""

from __future__ import annotations

import dataclasses
import typing as t

from .._connector import names
from .._errors import InvalidOption, NotSupported, VforgeError
from .._vsphere.privileges import NotPermitted
from .._vsphere.processors import Mode
from .model import (
    ACTIVE_VMS,
    HIGHEST,
    OLDEST_HARDWARE,
    PRESENT,
    ActiveVm,
    Blocked,
    Cluster,
    EvcVm,
    HostCpu,
    Obstacle,
    Options,
    Release,
)

# Of a cluster.
SET, DISABLE = "set", "disable"

# Of a VM, in this order.
MARK, SHUT_DOWN, APPLY, POWER_ON, COME_BACK, UNMARK = "mark", "shut_down", "apply", "power_on", "come_back", "unmark"


@dataclasses.dataclass(frozen=True)
class ClusterPlan:
    """What will be done to a cluster.

    :ivar mode: that it gets; None where EVC ends or nothing is to be done.
    """

    steps: tuple[str, ...]
    mode: Mode | None = None
    graphics_mode: str | None = None


def is_as_asked(cluster: Cluster, options: Options) -> bool:
    """Whether what was read of the cluster alone says that nothing is to be done, so that no modes
    have to be read.
    """
    if options.state != PRESENT:
        return cluster.mode is None
    wanted_graphics = not options.graphics_mode or options.graphics_mode == cluster.graphics_mode
    return options.mode == cluster.mode and wanted_graphics


def decide_cluster(cluster: Cluster, options: Options, release: Release, hosts: t.Sequence[HostCpu]) -> ClusterPlan:
    """What brings a cluster to the mode that is asked for.

    :raises InvalidOption: the release has no such mode, or the hosts have none in common.
    """
    if options.state != PRESENT:
        return ClusterPlan((DISABLE,) if cluster.mode is not None else ())
    mode = highest(cluster, release, hosts) if options.mode == HIGHEST else release.mode(options.mode, HIGHEST)
    # A call without a graphics mode may take the one away that the cluster has.
    graphics = release.graphics_mode(options.graphics_mode).key if options.graphics_mode else cluster.graphics_mode
    as_asked = cluster.mode == mode.key and cluster.graphics_mode == graphics
    return ClusterPlan(() if as_asked else (SET,), mode, graphics)


def common(release: Release, hosts: t.Sequence[HostCpu]) -> Mode | None:
    """The highest mode that every host supports, as far as the hosts say; None where there is none."""
    best = [release.keyed(host.max_mode) for host in hosts]
    fits = [mode for mode in release.modes if best and all(top is not None and top.includes(mode) for top in best)]
    return max(fits, key=lambda mode: mode.tier, default=None)


def highest(cluster: Cluster, release: Release, hosts: t.Sequence[HostCpu]) -> Mode:
    """The highest mode that every host of a cluster supports.

    :raises InvalidOption: there is none; the message says which hosts are why.
    """
    found = common(release, hosts)
    if found is not None:
        return found
    if not hosts:
        why = "it has no hosts"
    elif none := [host.name for host in hosts if release.keyed(host.max_mode) is None]:
        why = f"{names.listing(none)} supports no mode, or tells of none"
    else:
        each = [f"{host.name} {host.max_mode}" for host in hosts]
        why = f"its hosts have no mode in common: {names.listing(each)}"
    raise InvalidOption(
        f"{cluster.path} has no highest EVC mode: {why}.",
        hint="Name a mode, or take the hosts out that differ.",
        option="mode",
    )


_WORDS = {
    "evc_mode_unsupported_by_hosts": "the processors of {hosts} lack features of it",
    "evc_unsupported_by_host_hardware": "the processors of {hosts} support no EVC",
    "evc_unsupported_by_host_software": "ESXi on {hosts} supports no EVC",
    "heterogenous_hosts_blocking_evc": "the hosts have processors of more than one vendor ({hosts})",
    "evc_mode_illegal_by_vendor": "the mode is {vendor}'s, and the processors of {hosts} are another vendor's",
    "disconnected_hosts_blocking_evc": "not connected: {hosts}",
}


def words(obstacle: Obstacle, mode: Mode, release: Release) -> str:
    """One obstacle in a part of a sentence."""
    where = names.listing(obstacle.hosts)
    if obstacle.code == ACTIVE_VMS:
        beyond = names.listing([f"{vm.name}{_needs(vm, mode, release)}" for vm in obstacle.vms])
        text = f"VMs that are on or suspended on {where} use features that it hides{f': {beyond}' if beyond else ''}"
        return f"{text}{_unnamed(obstacle)}"
    return _WORDS.get(obstacle.code, f"vCenter says {obstacle.code} of {{hosts}}").format(hosts=where, vendor=mode.vendor)


def _unnamed(obstacle: Obstacle) -> str:
    if not obstacle.unnamed:
        return ""
    within = names.listing([vm.name for vm in obstacle.within])
    return (
        f". Of {names.listing(obstacle.unnamed)} vCenter names no VM{f'; within the mode already: {within}' if within else ''}"
    )


def is_within(vm: ActiveVm, mode: Mode, release: Release) -> bool:
    """Whether vCenter says that a VM could run in a mode as it is."""
    needed = release.keyed(vm.needs_mode)
    return needed is not None and mode.includes(needed)


def _needs(vm: ActiveVm, mode: Mode, release: Release) -> str:
    needed = release.keyed(vm.needs_mode)
    return f" (needs {needed.key})" if needed is not None and not mode.includes(needed) else ""


def blocked(cluster: Cluster, mode: Mode, release: Release, found: t.Sequence[Obstacle], best: Mode | None) -> Blocked:
    """The error of a mode that something stands in the way of.

    :param best: the highest mode that all hosts support; None where there is none.
    """
    why = "; ".join(words(obstacle, mode, release) for obstacle in found)
    advice = []
    if any(obstacle.vms for obstacle in found):
        advice.append(
            "Power these VMs off until the cluster has the mode (name them in vms, with power_cycle), or give them the mode as "
            f"their own (hardware version {OLDEST_HARDWARE}). The role evc_baseline does both."
        )
    if any(obstacle.within for obstacle in found):
        advice.append("To restart those that are within the mode one by one changes nothing: they have to be off together.")
    if best is not None and not best.includes(mode):
        advice.append(f"The highest mode that all hosts support is {best.key}.")
    return Blocked(
        f"{cluster.path} cannot have the EVC mode {mode.key}: {why}.",
        hint=" ".join(advice) or "Take the hosts out of the cluster, or choose another mode.",
    )


_EXTRA_CONFIG = "VirtualMachine.Config.AdvancedConfig"
_PRIVILEGES = {
    MARK: _EXTRA_CONFIG,
    SHUT_DOWN: "VirtualMachine.Interact.PowerOff",
    APPLY: "VirtualMachine.Config.Settings",
    POWER_ON: "VirtualMachine.Interact.PowerOn",
    UNMARK: _EXTRA_CONFIG,
}


def privileges(steps: t.Iterable[str]) -> tuple[str, ...]:
    """What a user needs on a VM for these steps (API reference, of each call)."""
    return tuple(dict.fromkeys(_PRIVILEGES[step] for step in steps if step in _PRIVILEGES))


def not_permitted(vm: EvcVm, lacked: t.Sequence[str]) -> NotPermitted:
    """Why nothing is done with a VM on which privileges are missing."""
    return NotPermitted(
        f"This user may not do with {vm.path} what is asked for: {', '.join(lacked)} is missing.",
        hint="Give the user a role with these privileges on this VM.",
        privileges=list(lacked),
    )


@dataclasses.dataclass(frozen=True)
class VmPlan:
    """What will be done to a VM.

    :ivar refusal: why nothing is done although something is asked for, or None.
    """

    steps: tuple[str, ...] = ()
    refusal: VforgeError | None = None


def decide_vm(vm: EvcVm, options: Options, mode: Mode | None) -> VmPlan:
    """What brings a VM to the mode that is asked for; None for no mode of its own."""
    change = not vm.has_masks_of(mode)
    start = (POWER_ON, COME_BACK, UNMARK)
    if not change and vm.powered_on:
        return VmPlan((COME_BACK, UNMARK) if vm.mark else ())
    if not change:
        return VmPlan(start if vm.mark and options.power_cycle and vm.powered_off else ())
    refusal = _refusal(vm, options)
    if refusal is not None:
        return VmPlan(refusal=refusal)
    if vm.powered_on:
        return VmPlan((*(() if vm.mark else (MARK,)), SHUT_DOWN, APPLY, *start))
    return VmPlan((APPLY, *(start if vm.mark and options.power_cycle else ())))


def decide_restart(vm: EvcVm, options: Options, in_way: bool) -> VmPlan:
    """What is done with a VM while its cluster gets a mode.

    :param in_way: whether it stands in the way of that. One that does not goes on running.
    """
    start = (POWER_ON, COME_BACK, UNMARK)
    if vm.powered_off:
        return VmPlan(start if vm.mark else ())
    if not in_way:
        return VmPlan((COME_BACK, UNMARK) if vm.mark and vm.powered_on else ())
    refusal = _cannot_be_shut_down(vm, options)
    if refusal is not None:
        return VmPlan(refusal=refusal)
    return VmPlan((*(() if vm.mark else (MARK,)), SHUT_DOWN, APPLY, *start))


def not_restarted(cluster: Cluster, mode: Mode, vms: t.Sequence[EvcVm]) -> Blocked:
    """Why a cluster did not get its mode where VMs in its way are not off."""
    return Blocked(
        f"{cluster.path} cannot have the EVC mode {mode.key}: in its way are {names.listing([vm.path for vm in vms])}, "
        "which cannot be shut down.",
        hint="The entries of these VMs in the result say why.",
    )


def in_way(found: t.Iterable[Obstacle]) -> set[str]:
    """The moids of the VMs that stand in the way of a mode."""
    return {vm.moid for obstacle in found for vm in (*obstacle.vms, *obstacle.within)}


def without(found: t.Iterable[Obstacle], may_be_off: t.Collection[str]) -> list[Obstacle]:
    """The obstacles that are left once these VMs are off.

    :param may_be_off: moids.
    """
    left = []
    for obstacle in found:
        vms = tuple(vm for vm in obstacle.vms if vm.moid not in may_be_off)
        within = tuple(vm for vm in obstacle.within if vm.moid not in may_be_off)
        if vms or within or not (obstacle.vms or obstacle.within):
            left.append(dataclasses.replace(obstacle, vms=vms, within=within))
    return left


def _refusal(vm: EvcVm, options: Options) -> VforgeError | None:
    if vm.template:
        return InvalidOption(f"{vm.path} is a template.", hint="Make it a VM first.", option="vms")
    hardware = vm.needs.hardware_number
    if 0 < hardware < OLDEST_HARDWARE:
        return NotSupported(
            f"{vm.path} cannot have an EVC mode of its own: its hardware version is {hardware}.",
            hint=f"It takes hardware version {OLDEST_HARDWARE} and vSphere 6.7. Upgrade its hardware while it is off.",
        )
    if vm.supported is False:
        return NotSupported(
            f"{vm.path} cannot have an EVC mode of its own, as vCenter says (perVmEvcSupported).",
            hint=f"It takes hardware version {OLDEST_HARDWARE} and vSphere 6.7, of its host, too.",
        )
    return None if vm.powered_off else _cannot_be_shut_down(vm, options)


def _cannot_be_shut_down(vm: EvcVm, options: Options) -> VforgeError | None:
    if not vm.powered_on:
        return InvalidOption(
            f"{vm.path} is {vm.power_state or 'in an unknown state'}.",
            hint="Resume it or power it off: its mode can change only while it is off.",
            option="vms",
        )
    if not options.power_cycle:
        return InvalidOption(
            f"{vm.path} is powered on.",
            hint="Its mode can change only while it is off. Power it off, or set power_cycle.",
            option="power_cycle",
        )
    if not vm.tools and not options.force:
        return InvalidOption(
            f"VMware Tools do not run in {vm.path}, so its guest cannot be shut down.",
            hint="Set force to have it powered off hard.",
            option="force",
        )
    return None
