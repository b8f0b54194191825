# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Customize the guests of clones in the simulator, all at once, each with an account of its own."""

from __future__ import annotations

import json

import pytest

from ansible_collections.vforge.vsphere.plugins.module_utils._vsphere.markers import CUSTOMIZED_KEY


@pytest.fixture
def tasks(start):
    """Tasks against a simulator whose guests a test may spoil."""
    return start("--vms", "2")


def _asked(tasks, count=3, **given):
    login = {"guest_username": tasks.sim.guest_username, "guest_password": tasks.sim.guest_password}
    clones = [{"name": f"web-{n}", "customize": {"nics": [{"ip": f"10.9.8.{n}/24"}]}} for n in range(1, count + 1)]
    return {**login, "customize": {"linux": {"timezone": "UTC"}}, "clones": clones, **given}


def test_each_guest_is_named_and_addressed_and_marked(tasks):
    ran = tasks.run(**_asked(tasks, wait_for_ip_address=True))
    assert ran.actions == {"web-1": "created", "web-2": "created", "web-3": "created"}
    assert all(clone["customized"] is True for clone in ran.clones.values())
    for number in (1, 2, 3):
        seen = tasks.sim.vm(f"web-{number}")
        assert (seen["host_name"], seen["ip"]) == (f"web-{number}", f"10.9.8.{number}")
        assert ran.clones[f"web-{number}"]["ip"] == f"10.9.8.{number}"
        assert seen["extra_config"][CUSTOMIZED_KEY] == f"web-{number}"


def test_it_costs_three_calls_a_clone_and_two_waits(tasks):
    plain = tasks.run(clones=[{"name": f"db-{n}"} for n in range(6)])
    ran = tasks.run(**_asked(tasks, 6))
    more = {method: count - plain.calls.get(method, 0) for method, count in ran.calls.items()}
    more = {method: count for method, count in more.items() if count and method != "WaitForUpdatesEx"}
    filters = more.pop("CreateFilter")
    assert filters == more.pop("DestroyPropertyFilter") == 4
    assert more == {"CustomizeGuest_Task": 6, "StartGuestNetwork_Task": 6, "ReconfigVM_Task": 6}
    assert all(clone["calls"] == 4 for clone in ran.clones.values())


def test_a_second_run_customizes_nothing(tasks):
    asked = _asked(tasks)
    tasks.run(**asked)
    again = tasks.run(**asked)
    assert again.result["changed"] is False
    assert again.called("CustomizeGuest_Task") == 0
    assert again.result["diff"]["before"] == again.result["diff"]["after"] == ""


def test_a_failure_is_aborted_and_reported_of_its_clone_alone_and_the_next_run_makes_it_good(tasks):
    tasks.sim.inject(method="CustomizeGuest_Task", name="web-2", do="task-fault", fault="CustomizationFault", message="no room")
    asked = _asked(tasks)
    ran = tasks.attempt(**asked)
    assert ran.actions == {"web-1": "created", "web-2": "failed", "web-3": "created"}
    assert ran.clones["web-2"]["error"]["error_code"] == "customization_fault"
    assert [ran.called(name) for name in ("CustomizeGuest_Task", "StartGuestNetwork_Task", "AbortCustomization_Task")] == [
        3,
        2,
        1,
    ]
    assert CUSTOMIZED_KEY not in tasks.sim.vm("web-2")["extra_config"]
    again = tasks.run(**asked)
    assert again.actions == {"web-1": "unchanged", "web-2": "updated", "web-3": "unchanged"}
    assert again.clones["web-2"]["differences"][0]["what"] == "customization"
    assert [again.called(name) for name in ("InstantClone_Task", "CustomizeGuest_Task")] == [0, 1]
    assert tasks.sim.vm("web-2")["host_name"] == "web-2"


def test_a_network_that_does_not_start_is_aborted(tasks):
    tasks.sim.inject(method="StartGuestNetwork_Task", nth=2, do="task-fault", fault="CustomizationFault")
    ran = tasks.attempt(**_asked(tasks))
    assert sorted(ran.actions.values()) == ["created", "created", "failed"]
    assert ran.called("AbortCustomization_Task") == 1
    assert sum(clone.get("customized") is True for clone in ran.clones.values()) == 2


def test_a_mark_that_cannot_be_set_aborts_nothing(tasks):
    tasks.sim.inject(method="ReconfigVM_Task", do="fault", fault="NoPermission")
    ran = tasks.attempt(**_asked(tasks))
    assert sorted(ran.actions.values()) == ["created", "created", "failed"]
    assert ran.called("AbortCustomization_Task") == 0


def test_a_customization_that_hangs_is_aborted_at_the_deadline(tasks):
    tasks.sim.patch_guest("golden-parent", hang="guest-customization")
    ran = tasks.late("WaitForUpdatesEx", since=("CustomizeGuest_Task", 1), **_asked(tasks, 1))
    assert ran.actions == {"web-1": "failed"}
    assert ran.called("AbortCustomization_Task") == 1


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        ({"guest_password": "wrong"}, "guest_wrong_credentials"),
        ({"guest_username": "alice", "guest_password": "of-alice"}, "guest_permission_denied"),
        ({"customize": {"windows": {"full_name": "Owner", "organization": "Example"}}}, "guest_not_supported"),
    ],
)
def test_what_stands_in_the_way_has_a_code_of_its_own(tasks, spoil, code):
    tasks.sim.patch_guest("golden-parent", users={"alice": "of-alice"})
    ran = tasks.attempt(**_asked(tasks, 1, **spoil))
    assert ran.clones["web-1"]["error"]["error_code"] == code
    assert "web-1" in ran.clones["web-1"]["error"]["msg"]
    told = json.dumps(ran.result) + str(ran.error)
    assert "of-alice" not in told
    assert tasks.sim.guest_password not in told


def test_a_clone_without_tools_is_reported_and_kept(start):
    tasks = start("--vms", "2")
    tasks.sim.patch_vm("golden-parent", tools="notRunning")
    ran = tasks.late("WaitForUpdatesEx", since=("CreateFilter", 2), **_asked(tasks, 2))
    assert {clone["error"]["error_code"] for clone in ran.clones.values()} == {"guest_tools_not_running"}
    assert ran.called("CustomizeGuest_Task") == ran.called("AbortCustomization_Task") == 0
    assert "web-1" in tasks.names()


@pytest.mark.parametrize(
    ("words", "code"), [(["vm.destroy"], "not_found"), (["vm.power", "-off", "-force"], "guest_powered_off")]
)
def test_a_clone_that_is_taken_away_while_its_tools_are_waited_for_is_reported_at_once(start, words, code):
    tasks = start("--vms", "2")
    tasks.sim.patch_vm("golden-parent", tools="notRunning")
    asked = _asked(tasks, 1, timeout=600)
    # The first filter is that of the tasks, the second that of the wait for Tools.
    ran = tasks.meanwhile("CreateFilter", 2, lambda: tasks.sim.govc(*words, "/DC0/vm/web-1"), **asked)
    assert ran.clones["web-1"]["error"]["error_code"] == code


def test_rollback_removes_what_could_not_be_customized(tasks):
    tasks.sim.inject(method="CustomizeGuest_Task", nth=2, do="task-fault", fault="CustomizationFault")
    ran = tasks.attempt(**_asked(tasks, on_error="rollback"))
    assert not any(name.startswith("web-") for name in tasks.names())
    assert "rolled_back" in ran.actions.values()


def test_check_mode_reports_it_and_touches_no_guest(tasks):
    asked = _asked(tasks)
    ran = tasks.run(check=True, **asked)
    assert "customization: done" in ran.result["diff"]["after"]
    assert ran.called("CustomizeGuest_Task") == 0
    assert "customized" not in ran.clones["web-1"]


def test_a_vcenter_that_cannot_do_it_says_so_before_anything_is_made(start):
    tasks = start("--vms", "2", "--api-version", "6.7.3")
    error = tasks.refused(**_asked(tasks))
    assert error.error_code == "not_supported"
    assert "6.7.3" in str(error)
    assert "7.0" in str(error)


@pytest.mark.parametrize("missing", ["guest_username", "guest_password"])
def test_credentials_are_asked_for_at_once(tasks, missing):
    with pytest.raises(Exception, match=missing):
        tasks.run(**_asked(tasks, **{missing: None}))


def test_more_cards_than_the_parent_has_are_refused(tasks):
    error = tasks.refused(**_asked(tasks, customize={"nics": [{"ip": "dhcp"}] * 2}, clones=[{"name": "web-1"}]))
    assert error.details["option"] == "customize"
    assert "2 entries" in str(error)


def test_an_existing_clone_is_customized_when_that_is_asked_for_later(tasks):
    tasks.run(clones=[{"name": "web-1"}])
    ran = tasks.run(**_asked(tasks, 1))
    assert ran.actions == {"web-1": "updated"}
    assert ran.clones["web-1"]["calls"] == 3
    assert tasks.sim.vm("web-1")["host_name"] == "web-1"
