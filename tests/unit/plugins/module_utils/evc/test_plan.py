# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What options and plans say, without a vCenter."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from ansible_collections.vforge.vsphere.plugins.module_utils._errors import InvalidOption
from ansible_collections.vforge.vsphere.plugins.module_utils._evc import plan
from ansible_collections.vforge.vsphere.plugins.module_utils._evc.model import (
    ACTIVE_VMS,
    ActiveVm,
    EvcVm,
    HostCpu,
    Obstacle,
    Options,
    Release,
    mark,
    marked,
    plain,
)
from ansible_collections.vforge.vsphere.plugins.module_utils._vsphere.processors import Mode, Needs, Processor
from ansible_collections.vforge.vsphere.plugins.modules import evc
from ansible_collections.vforge.vsphere.tests.unit.plugins.accepted import accepted

INTEL = {"vendor": "intel", "track": frozenset({"intel"})}
LOW = Mode("intel-low", 'Intel® "Low" Generation', **INTEL, masks={"cpuid.avx": "Val:0"})
HIGH = Mode("intel-high", 'Intel® "High" Generation', **INTEL, tier=1, masks={"cpuid.avx": "Val:1"})
RELEASE = Release((LOW, HIGH, Mode("amd-low", "AMD Low", vendor="amd", track=frozenset({"amd"}))))
NEEDS = Needs(hardware="vmx-21")


def options(**given_options):
    return Options.from_params(accepted(evc.argument_spec(), given_options))


@pytest.mark.parametrize(
    ("given_options", "option"),
    [
        ({"cluster": "c"}, "mode"),
        ({"cluster": "c", "mode": "  "}, "mode"),
        ({"vm": {"name": "a"}, "mode": "highest"}, "mode"),
        ({"vm": {"name": "a"}, "mode": "x", "graphics_mode": "y"}, "graphics_mode"),
        ({"cluster": "c", "mode": "x", "power_cycle": True}, "power_cycle"),
        ({"cluster": "c", "mode": "x", "vms": [{"name": "a"}]}, "power_cycle"),
        ({"cluster": "c", "state": "absent", "vms": [{"name": "a"}], "power_cycle": True}, "vms"),
        ({"vms": [], "mode": "x"}, "cluster"),
        ({"vm": {"name": "a"}, "mode": "x", "tools_timeout": 0}, "tools_timeout"),
        (
            {"vm": {"name": "a"}, "mode": "x", "power_cycle": True, "shutdown_timeout": 60, "timeout": 60},
            "shutdown_timeout",
        ),
    ],
)
def test_what_makes_no_sense_together_is_refused_with_the_option(given_options, option):
    with pytest.raises(InvalidOption) as refused:
        options(**given_options)
    assert refused.value.details["option"] == option


@pytest.mark.parametrize(
    "text", ["intel-low", 'Intel® "Low" Generation', "intel low generation", " Intel \u201cLow\u201d  Generation "]
)
def test_a_mode_is_named_by_key_or_label(text):
    assert RELEASE.mode(text.strip()) is LOW


def test_a_mode_of_the_other_spelling_lists_those_that_are_offered():
    with pytest.raises(InvalidOption) as refused:
        RELEASE.mode("intel-lo")
    assert refused.value.details["offered"] == ["intel-low", "intel-high", "amd-low"]


@settings(max_examples=40)
@given(some.text())
def test_a_label_is_the_same_when_it_was_made_plain(text):
    assert plain(plain(text)) == plain(text)


ON, OFF = {"power_state": "poweredOn", "tools": True}, {"power_state": "poweredOff"}
HAS_LOW = {"needs": dataclasses.replace(NEEDS, masks={"cpuid.avx": "val:0"})}
CYCLE = [plan.MARK, plan.SHUT_DOWN, plan.APPLY, plan.POWER_ON, plan.COME_BACK, plan.UNMARK]


@pytest.mark.parametrize(
    ("vm", "given_options", "mode", "steps"),
    [
        (OFF, {}, LOW, [plan.APPLY]),
        ({**OFF, **HAS_LOW}, {}, LOW, []),
        ({**OFF, **HAS_LOW}, {}, None, [plan.APPLY]),
        (OFF, {}, None, []),
        (ON, {"power_cycle": True}, LOW, CYCLE),
        ({**ON, **HAS_LOW}, {}, LOW, []),
        # An earlier run ended: before the shutdown, before the mode, before the start, before the guest was back.
        ({**ON, "mark": "tools"}, {"power_cycle": True}, LOW, CYCLE[1:]),
        ({**OFF, "mark": "tools"}, {"power_cycle": True}, LOW, CYCLE[2:]),
        ({**OFF, **HAS_LOW, "mark": "tools"}, {"power_cycle": True}, LOW, CYCLE[3:]),
        ({**ON, **HAS_LOW, "mark": "tools"}, {"power_cycle": True}, LOW, CYCLE[4:]),
        ({**OFF, "mark": "tools"}, {}, LOW, [plan.APPLY]),
    ],
)
def test_a_run_goes_on_where_another_was_ended(vm, given_options, mode, steps):
    decided = plan.decide_vm(
        EvcVm(moid="vm-1", name="a", path="/a", supported=True, **{"needs": NEEDS, **vm}),
        options(vm={"name": "a"}, mode="x", **given_options),
        mode,
    )
    assert decided.refusal is None
    assert list(decided.steps) == steps


WITH_CLUSTER = {"cluster": "c", "vms": [{"name": "a"}], "mode": "x", "power_cycle": True}
OLD = {"needs": Needs(hardware="vmx-11")}


@pytest.mark.parametrize(
    ("vm", "in_way", "more", "steps"),
    [
        ({**ON, **OLD}, True, {}, CYCLE),
        ({**ON, **OLD, "mark": "tools"}, True, {}, CYCLE[1:]),
        # What is not in the way goes on running, and is off only as somebody wants it to be.
        ({**ON, **OLD}, False, {}, []),
        ({**OFF, **OLD}, False, {}, []),
        ({**OFF, **OLD, "mark": "tools"}, False, {}, CYCLE[3:]),
        ({**ON, **OLD, "mark": "tools"}, False, {}, CYCLE[4:]),
        ({**ON, "tools": False}, True, {"force": True}, CYCLE),
        ({**ON, "tools": False}, True, {}, "force"),
        ({"power_state": "suspended"}, True, {"force": True}, "vms"),
    ],
)
def test_vms_are_off_while_their_cluster_gets_its_mode(vm, in_way, more, steps):
    found = EvcVm(moid="vm-1", name="a", path="/a", supported=False, **{"needs": NEEDS, **vm})
    decided = plan.decide_restart(found, options(**WITH_CLUSTER, **more), in_way)
    if isinstance(steps, str):
        assert decided.refusal.details["option"] == steps
    else:
        assert decided.refusal is None
        assert list(decided.steps) == steps


def active(name):
    return ActiveVm(moid=name, name=name, host="h", power_state="poweredOn")


@pytest.mark.parametrize(
    ("off", "left"),
    [
        ((), [(("a", "b"), ("c",)), ((), ()), ((), ())]),
        (("a", "c"), [(("b",), ()), ((), ()), ((), ())]),
        (("a", "b", "c"), [((), ()), ((), ())]),
    ],
)
def test_what_is_in_the_way_when_some_vms_are_off(off, left):
    found = [
        Obstacle(ACTIVE_VMS, ("h",), (active("a"), active("b")), (active("c"),)),
        Obstacle("evc_mode_unsupported_by_hosts", ("h",)),
        # A host of which vCenter names no VM, and on which none is seen.
        Obstacle(ACTIVE_VMS, ("h2",), unnamed=("h2",)),
    ]
    assert plan.in_way(found) == {"a", "b", "c"}
    names = [(tuple(vm.name for vm in each.vms), tuple(vm.name for vm in each.within)) for each in plan.without(found, off)]
    assert names == left


def test_a_vm_without_a_mode_of_its_own_says_why():
    vm = EvcVm(moid="vm-1", name="a", path="/a", power_state="poweredOff", supported=False, needs=NEEDS)
    refused = plan.decide_vm(vm, options(vm={"name": "a"}, mode="x"), LOW).refusal
    assert "as vCenter says" in str(refused)
    assert "hardware version is" not in str(refused)


def test_a_vcenter_that_shows_no_modes_is_reported():
    with pytest.raises(InvalidOption, match="It offers none, or does not show them"):
        Release(()).mode("intel-haswell")


@settings(max_examples=40)
@given(some.text(min_size=1))
def test_a_mark_counts_only_on_the_vm_whose_name_it_has(name):
    vm = EvcVm(moid="vm-1", name=name, tools=True)
    assert marked(mark(vm), name) == "tools"
    assert marked(mark(vm), f"{name}-clone") == ""


def test_hosts_without_a_mode_in_common_are_said():
    hosts = [HostCpu("host-1", "a", Processor(max_mode="intel-high")), HostCpu("host-2", "b", Processor(max_mode="amd-low"))]
    assert plan.common(RELEASE, hosts) is None
    assert plan.common(RELEASE, hosts[:1]) is HIGH
    assert plan.common(RELEASE, []) is None
    assert plan.common(RELEASE, [*hosts[:1], HostCpu("host-3", "c")]) is None
