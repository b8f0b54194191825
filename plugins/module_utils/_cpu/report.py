# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The entries of the result of a task about processors. Pure."""

from __future__ import annotations

import typing as t

from .._vsphere import cpuid
from .._vsphere.cpuid import Identity, Leaf
from .._vsphere.processors import Processor
from .guests import Difference, Seen
from .model import CpuCluster, CpuHost, CpuVm, Places
from .plan import Comparison, Expected, Group, Moves, hidden

Entry: t.TypeAlias = "dict[str, t.Any]"


def of_identity(identity: Identity | None) -> Entry | None:
    """Vendor, family, model, stepping and name; None where they are not known."""
    if identity is None:
        return None
    return {
        "vendor": identity.vendor,
        "family": identity.family,
        "model": identity.model,
        "stepping": identity.stepping,
        "signature": f"{identity.signature:08x}",
        "microarchitecture": identity.microarchitecture,
    }


def of_mode(key: str, places: Places) -> Entry | None:
    """An EVC mode by its key, with its label; None for none."""
    return {"key": key, "label": places.label(key)} if key else None


def of_host(host: CpuHost, places: Places, cluster: CpuCluster | None) -> Entry:
    """The entry of a host."""
    processor = host.processor
    return {
        "name": host.name,
        "moid": host.moid,
        "path": host.path,
        "cluster": cluster.path if cluster is not None else "",
        "obstacle": host.obstacle,
        "cpu": of_identity(processor.identity),
        "description": processor.description,
        "packages": processor.packages,
        "cpuid": _leaves(processor),
        "max_evc_mode": of_mode(processor.max_mode, places),
        "evc_mode": of_mode(processor.current_mode, places),
        "feature_capabilities": dict(processor.capabilities),
        "masked": dict(hidden(host)),
    }


def _leaves(processor: Processor) -> dict[str, dict[str, str]]:
    """Leaves by level, as hexadecimal numbers; a register with unknown bits is left out."""
    return {f"{level:08x}": _registers(leaf) for level, leaf in sorted(processor.leaves.items())}


def _registers(leaf: Leaf) -> dict[str, str]:
    bits = {name: getattr(leaf, name) for name in cpuid.REGISTERS}
    return {name: f"{each.value:08x}" for name, each in bits.items() if each.whole}


def of_cluster(cluster: CpuCluster, places: Places) -> Entry:
    """The entry of a cluster."""
    return {
        "name": cluster.name,
        "moid": cluster.moid,
        "path": cluster.path,
        "evc_mode": of_mode(cluster.mode, places),
        "hosts": [host.name for host in cluster.hosts],
        "cpus": sorted({host.processor.identity.title for host in cluster.hosts if host.processor.identity is not None}),
        "vendors": sorted({host.processor.vendor for host in cluster.hosts} - {""}),
    }


def of_vm(vm: CpuVm, host: CpuHost | None, places: Places, expected: Expected | None) -> Entry:
    """The entry of a VM that a task names."""
    needs = vm.needs
    identity = of_identity(expected.identity if expected is not None else None)
    return {
        **vm.naming,
        "power_state": vm.power_state,
        "host": host.name if host is not None else "",
        "hardware_version": needs.hardware,
        "min_evc_mode": of_mode(needs.min_mode, places),
        "feature_requirements": dict(needs.requirements),
        "offline_feature_requirements": dict(needs.offline),
        "feature_masks": dict(needs.masks),
        "expected_cpu": {**identity, "source": expected.source} if identity is not None and expected is not None else None,
    }


def of_guest(seen: Seen, found: t.Sequence[Difference]) -> Entry:
    """What a guest sees, and what of it is another than vCenter says."""
    return {
        "cpu": of_identity(seen.identity),
        "model_name": seen.model_name,
        "hypervisor": seen.hypervisor,
        "flags": sorted(seen.flags),
        "asked_cpuid": seen.leaf_identity is not None,
        "differences": [each.as_dict() for each in found],
    }


def of_comparison(groups: t.Sequence[Group], comparison: Comparison, places: Places) -> Entry:
    """Which VM could move where."""
    return {
        "hosts": [_target(host, places) for host in places.hosts],
        "clusters": [{"name": each.name, "path": each.path, "moid": each.moid} for each in places.clusters],
        "groups": [_of_group(group, comparison.moves_of(group), places) for group in groups],
    }


def _target(host: CpuHost, places: Places) -> Entry:
    cluster = next((each.path for each in places.clusters if each.moid == host.compute), "")
    return {
        "name": host.name,
        "moid": host.moid,
        "cluster": cluster,
        "cpu": host.processor.identity.title if host.processor.identity is not None else "",
        "evc_mode": host.processor.current_mode,
        "obstacle": host.obstacle,
        "why_unknown": host.why_unknown,
    }


def _of_group(group: Group, moves: Moves, places: Places) -> Entry:
    return {
        "vms": [{"name": vm.name, "moid": vm.moid} for vm in group.vms],
        "basis": group.basis,
        "why_unknown": group.why_unknown,
        "vendor": group.vendor,
        "min_evc_modes": list(group.min_modes),
        "feature_requirements": dict(group.requirements),
        "hosts": [host.name for host in moves.fits],
        "unknown_hosts": [host.name for host in moves.unknown],
        "clusters": {each.path: moves.clusters[each.moid] for each in places.clusters},
        "obstacles": [
            {**obstacle.as_dict(), "hosts": [host.name for host in hosts]}
            for obstacle, hosts in sorted(moves.obstacles.items(), key=lambda pair: (pair[0].feature, pair[0].has or ""))
        ],
    }
