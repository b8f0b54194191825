# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is planned for a VM: pure, from options and facts."""

from __future__ import annotations

import pytest

from ansible_collections.vforge.vsphere.plugins.module_utils._cbt.model import AreaOptions
from ansible_collections.vforge.vsphere.plugins.module_utils._cbt.plan import AskNewSnapshot, AskVm, DiskExcluded, Plan, decide
from ansible_collections.vforge.vsphere.plugins.module_utils._cbt.state import Run, State
from ansible_collections.vforge.vsphere.plugins.module_utils._errors import InvalidOption, VforgeError
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.cbt.support import (
    MIB,
    TRACKING,
    disk,
    options,
    params,
    snapshot,
    vm,
)

_UNTRACKED = disk(change_id=None)


def planned(machine=None, known=None, **given) -> Plan:
    asked = options(**given)
    return decide(machine or vm(), asked.targets[0], asked, known)


@pytest.mark.parametrize(
    ("machine", "steps"),
    [
        (vm(), ()),
        (vm(disks=(_UNTRACKED,)), ("activate",)),
        (vm(disks=(disk(), disk(2001, change_id=None))), ("activate",)),
        (vm(disks=(disk(), disk(2001, change_id=None, mode="independent_persistent"))), ()),
        (vm(tracking=False, disks=(_UNTRACKED,)), ("switch_on", "activate")),
        (vm(tracking=False, disks=(_UNTRACKED,), power_state="poweredOff"), ("switch_on", "activate")),
        (vm(snapshots=(snapshot("mine"),)), ()),
    ],
)
def test_enabling(machine, steps):
    assert planned(machine, state="enabled").steps == steps


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ({"supported": False}, "not_supported", "as vCenter says of it"),
        ({"hardware": 4}, "not_supported", "version 4"),
        ({"hardware": 0}, "not_supported", "unknown"),
        ({"template": True}, "invalid_option", "template"),
        ({"snapshots": (snapshot("a/mine"),)}, "invalid_option", "a/mine"),
        ({"disks": ()}, "not_supported", "no disk"),
        ({"disks": (disk(change_id=None, physical=True),)}, "not_supported", "raw device"),
        ({"disks": (disk(change_id=None, mode="independent_nonpersistent"),)}, "not_supported", "independent"),
    ],
)
def test_enabling_is_refused_with_its_reason(changes, code, words):
    known = {"tracking": False, "disks": (_UNTRACKED,), **changes}
    with pytest.raises(VforgeError) as caught:
        planned(vm(**known), state="enabled")
    assert caught.value.error_code == code
    assert words in str(caught.value)


def test_disabling():
    assert planned(vm(), state="disabled").steps == ("switch_off",)
    assert planned(vm(tracking=False), state="disabled").steps == ()


@pytest.mark.parametrize(
    ("power_state", "create", "expected"),
    [
        ("poweredOn", "auto", True),
        ("poweredOff", "auto", False),
        ("suspended", "auto", True),
        ("poweredOff", "always", True),
        ("poweredOff", "never", False),
    ],
)
def test_whether_a_snapshot_is_made(power_state, create, expected):
    found = planned(vm(power_state=power_state), create_snapshot=create)
    assert isinstance(found, AskNewSnapshot) is expected


def test_a_running_vm_cannot_be_asked_without_a_snapshot():
    with pytest.raises(InvalidOption, match="poweredOn"):
        planned(create_snapshot="never")


def test_no_snapshot_is_made_where_there_is_nothing_to_ask():
    found = planned(vm(disks=(_UNTRACKED, disk(2001, mode="independent_persistent"))))
    assert (type(found), found.questions.asked) == (AskVm, ())
    assert [why.code for _disk, why in found.questions.excluded] == ["not_tracked", "independent"]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"mode": "independent_persistent"}, "independent"),
        ({"physical": True, "backing": "RawDiskMappingVer1"}, "physical_rdm"),
        ({"backing": "RawDiskMappingVer1"}, None),
        ({"backing": "SeSparse"}, "backing"),
        ({"change_id": None}, "not_tracked"),
    ],
)
def test_disks_that_are_left_out(changes, code):
    questions = planned(vm(disks=(disk(**changes),))).questions
    assert [why.code for _disk, why in questions.excluded] == ([code] if code else [])
    assert len(questions.asked) == (0 if code else 1)


def test_a_disk_that_is_left_out_is_a_failure_where_that_is_asked_for():
    with pytest.raises(DiskExcluded) as caught:
        planned(vm(disks=(disk(), disk(2001, mode="independent_persistent"))), on_excluded="fail")
    assert (caught.value.error_code, caught.value.details["disks"]) == ("disk_excluded", ["Hard disk 2"])


def _state(**changes):
    """What a file has after a question that was committed, and one that was not."""
    state, at = State(), "2026-05-01T02:00:00+00:00"
    state = state.asked("one", at, [state.noted(vm(), disk(**changes), Run(at, f"{TRACKING}/3"), "one")])
    state = state.moved(state.moves("one"))
    return state.asked("two", at, [state.noted(vm(), disk(**changes), Run(at, f"{TRACKING}/4"), "two")])


@pytest.mark.parametrize(
    ("known", "given", "since", "code"),
    [
        (None, {}, "*", None),
        (None, {"change_id": f"{TRACKING}/2"}, f"{TRACKING}/2", None),
        (State(), {}, None, "no_change_id"),
        (State(), {"change_id": "*"}, "*", None),
        (_state(), {}, f"{TRACKING}/3", None),
        (_state(), {"change_id": "*"}, f"{TRACKING}/3", None),
        (_state(), {"disks": [{"key": 2000, "change_id": "*"}]}, "*", None),
        (_state(), {"disks": [{"key": 2000}]}, f"{TRACKING}/3", None),
        (_state(uuid="another"), {}, f"{TRACKING}/3", "disk_replaced"),
        (_state(capacity=32 * MIB), {}, f"{TRACKING}/3", "capacity_changed"),
        (None, {"change_id": f"{TRACKING}/9"}, f"{TRACKING}/9", "change_id_newer"),
    ],
)
def test_what_a_disk_is_compared_with(known, given, since, code):
    (question,) = planned(vm(), known, **given).questions.asked
    assert (question.since, question.full.code if question.full else None) == (since, code)


def test_each_vm_of_a_list_may_have_options_of_its_own():
    asked = AreaOptions.from_params(
        params(
            vms=[
                {"name": "a"},
                {"name": "b", "change_id": f"{TRACKING}/1", "disks": [{"key": 1}], "snapshot": {"current": True}},
            ],
            change_id="*",
            disks=[{"label": "Hard disk 1"}],
        )
    )
    first, second = asked.targets
    assert (first.change_id, str(first.disks[0]), first.snapshot) == ("*", "disk with the label Hard disk 1", None)
    assert (second.change_id, str(second.disks[0]), str(second.snapshot)) == (
        f"{TRACKING}/1",
        "disk with the key 1",
        "current snapshot",
    )


@pytest.mark.parametrize(
    ("given", "option"),
    [
        ({"vm": None, "vms": None}, "vm"),
        ({"vm": {"name": "a"}, "vms": [{"name": "a"}]}, "vm"),
        ({"vm": {"name": "a", "moid": "vm-1"}}, "vm"),
        ({"quiesce": True, "memory": True}, "memory"),
        ({"areas_limit": -1}, "areas_limit"),
        ({"change_id": "yesterday"}, "change_id"),
    ],
)
def test_options_that_cannot_be_are_refused_by_name(given, option):
    with pytest.raises(InvalidOption) as caught:
        options(**given)
    assert caught.value.details["option"] == option
