# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Groups of VMs, where they could move, and which processor a guest is to see: without a vCenter."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vforge.vsphere.plugins.module_utils._cpu import plan
from ansible_collections.vforge.vsphere.plugins.module_utils._cpu.model import CpuCluster, CpuHost, CpuVm, Places
from ansible_collections.vforge.vsphere.plugins.module_utils._vsphere.cpuid import Bits, Leaf
from ansible_collections.vforge.vsphere.plugins.module_utils._vsphere.features import obstacles
from ansible_collections.vforge.vsphere.plugins.module_utils._vsphere.processors import Mode, Needs, Processor

_KEYS = [f"cpuid.f{number}" for number in range(5)]


def host(name, has, *, cluster="", vendor="intel", **more):
    """A host that is capable of something."""
    return CpuHost(f"host-{name}", name, cluster, processor=Processor(vendor_name=vendor, capabilities=has, **more))


def vm(name, needs, *, on="poweredOn", where="", **more):
    """A VM that requires something."""
    return CpuVm(moid=f"vm-{name}", name=name, power_state=on, host=where, needs=Needs(requirements=needs, **more))


def cluster(name, *hosts):
    """A cluster of hosts."""
    return CpuCluster(f"domain-{name}", name, f"/DC/host/{name}", hosts=hosts)


NUMBERS = st.dictionaries(st.sampled_from(_KEYS), st.integers(0, 2))
HOSTS = st.lists(NUMBERS, min_size=1, max_size=5)
VMS = st.lists(NUMBERS.filter(bool), min_size=1, max_size=8)


@given(HOSTS, VMS)
def test_all_that_is_compared_at_once_is_what_each_pair_says(capabilities, requirements):
    hosts = [host(str(number), {key: str(n) for key, n in has.items()}) for number, has in enumerate(capabilities)]
    vms = [vm(str(number), {key: f"Num:Min:{n}" for key, n in needs.items()}) for number, needs in enumerate(requirements)]
    comparison = plan.Comparison(Places(hosts=tuple(hosts)))
    groups = plan.groups_of(vms, hosts)
    assert sorted(each.name for group in groups for each in group.vms) == sorted(each.name for each in vms)
    for group in groups:
        moves = comparison.moves_of(group)
        for there in (each for each in hosts if not each.why_unknown):
            alone = obstacles(group.requirements, there.processor.offered)
            assert (there in moves.fits) == (not alone)
            assert {obstacle for obstacle, where in moves.obstacles.items() if there in where} == set(alone)


def test_vms_that_require_the_same_are_one_group_and_the_largest_is_first():
    same = {"cpuid.a": "Bool:Min:1"}
    groups = plan.groups_of([vm("b", same), vm("c", {"cpuid.b": "Bool:Min:1"}), vm("a", dict(same))], [])
    assert [[each.name for each in group.vms] for group in groups] == [["a", "b"], ["c"]]


def test_each_of_many_vms_that_are_off_has_its_own_requirements():
    wanted = {f"w{n}": {f"cpuid.{n % 7}": "Num:Min:1"} for n in range(50)}
    groups = plan.groups_of([vm(name, {}, on="poweredOff", offline=each) for name, each in wanted.items()], [])
    assert {each.name: group.requirements for group in groups for each in group.vms} == wanted


def test_vms_on_processors_of_two_vendors_are_two_groups_and_stay_there():
    intel, amd = host("i", {"cpuid.a": "1"}), host("a", {"cpuid.a": "1"}, vendor="amd")
    needs = {"cpuid.a": "Bool:Min:1"}
    groups = plan.groups_of([vm("x", needs, where="host-i"), vm("y", needs, where="host-a")], [intel, amd])
    comparison = plan.Comparison(Places(hosts=(intel, amd)))
    fits = {group.vms[0].name: [each.name for each in comparison.moves_of(group).fits] for group in groups}
    assert fits == {"x": ["i"], "y": ["a"]}


@pytest.mark.parametrize(
    ("given", "basis", "why"),
    [
        (vm("w", {"cpuid.a": "Bool:Min:1"}), "running", ""),
        (vm("w", {"cpuid.a": "Bool:Min:1"}, on="suspended"), "running", ""),
        (vm("w", {}, on="poweredOff", hardware="vmx-19"), "powered_off", ""),
        (vm("w", {}, on="poweredOff", hardware="vmx-08", offline={"cpuid.lm": "Bool:Min:1"}), "powered_off", ""),
        (vm("w", {}, on="poweredOff", hardware="vmx-08"), "unknown", "hardware version 8 or older"),
        (vm("w", {}, on="poweredOff"), "unknown", "on a host that it does not reach"),
        (vm("w", {}, hardware="vmx-08"), "unknown", "hardware version 8 or older"),
        (vm("w", {}, hardware="vmx-19"), "unknown", "on a host that it does not reach"),
        (vm("w", {}, on=""), "unknown", "on a host that it does not reach"),
    ],
)
def test_what_a_vm_is_judged_by(given, basis, why):
    (group,) = plan.groups_of([given], [])
    assert group.basis == basis
    assert why in group.why_unknown
    assert bool(why) == bool(group.why_unknown)


def test_a_mode_of_its_own_demands_features_and_no_numbers_where_a_vm_is_powered_on():
    masks = {"cpuid.avx2": "Val:1", "cpuid.adx": "Val:0", "cpuid.model": "Val:1", "cpuid.ibrs": "Max:1"}
    (group,) = plan.groups_of([vm("w", {}, on="poweredOff", offline={"cpuid.lm": "Num:Min:1"}, masks=masks)], [])
    assert group.requirements == {"cpuid.lm": "Num:Min:1", "cpuid.avx2": "Bool:Min:1"}


def test_clusters_fit_whole_in_part_or_not_and_hosts_that_say_nothing_do_not_count():
    good, bad, mute = host("g", {"cpuid.a": "1"}), host("b", {"cpuid.a": "0"}), host("m", {})
    clusters = (
        cluster("all", good, mute),
        cluster("some", good, bad),
        cluster("none", bad),
        cluster("mute", mute),
        cluster("-"),
    )
    comparison = plan.Comparison(Places(hosts=(good, bad, mute), clusters=clusters))
    (group,) = plan.groups_of([vm("w", {"cpuid.a": "Bool:Min:1"})], [])
    moves = comparison.moves_of(group)
    assert [moves.clusters[each.moid] for each in clusters] == ["all", "some", "none", "unknown", "unknown"]
    assert [each.name for each in moves.unknown] == ["m"]


def test_a_disconnected_host_without_capabilities_says_why():
    assert "it is disconnected" in CpuHost("h", "h", connection="disconnected").why_unknown
    assert "does not show them to this user" in CpuHost("h", "h").why_unknown
    assert host("h", {"cpuid.a": "1"}).why_unknown == ""


def test_what_counts_is_what_is_behind_the_masks():
    masked = host("h", {"cpuid.a": "1"}, masked={"cpuid.a": "0"})
    (group,) = plan.groups_of([vm("w", {"cpuid.a": "Bool:Min:1"})], [])
    assert plan.Comparison(Places(hosts=(masked,))).moves_of(group).fits == ()
    assert plan.hidden(masked) == {"cpuid.a": "0"}


_LEAVES = {1: Leaf(1, Bits.of(0x000806E9))}


@pytest.mark.parametrize(
    ("own", "mode", "source", "numbers"),
    [
        ({}, {}, "host", (6, 142, 9)),
        ({}, {"cpuid.family": "Val:6", "cpuid.model": "Val:0x3f", "cpuid.stepping": "Val:0"}, "evc_mode", (6, 63, 0)),
        ({"cpuid.model": "Val:0x3c"}, {"cpuid.model": "Val:0x3f"}, "vm_masks", (6, 60, 9)),
        ({"cpuid.avx2": "Val:1"}, {}, "host", (6, 142, 9)),
        ({"cpuid.model": "Max:3"}, {}, "host", (6, 142, 9)),
        ({"cpuid.model": "Val:many"}, {}, "host", (6, 142, 9)),
    ],
)
def test_the_processor_that_a_guest_is_to_see(own, mode, source, numbers):
    there = host("h", {}, leaves=_LEAVES, current_mode="intel-haswell")
    places = Places(modes={"intel-haswell": Mode("intel-haswell", masks=mode)})
    found = plan.expected_of(vm("w", {}, masks=own), there, places)
    assert (found.source, (found.identity.family, found.identity.model, found.identity.stepping)) == (source, numbers)


def test_nothing_is_to_be_seen_where_the_host_does_not_say():
    assert plan.expected_of(vm("w", {}), host("h", {}), Places()) is None
    assert plan.expected_of(vm("w", {}), None, Places()) is None


@pytest.mark.parametrize(
    ("text", "number"), [("vmx-08", 8), ("vmx-19", 19), ("", 0), ("vmx-x", 0), ("vmx-\u0661", 0), ("vmx-99999", 0)]
)
def test_hardware_versions(text, number):
    assert Needs(hardware=text).hardware_number == number
