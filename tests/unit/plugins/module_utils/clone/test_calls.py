# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How many calls a task costs: counted by the server, exact, whatever the size of the inventory."""

from __future__ import annotations

import pytest

from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.clone.running import Tasks

# The dearest way to ask: the parent by its name in a datacenter, a folder, addresses to wait for.
_DEAREST = {
    "datacenter": "DC0",
    "folder": "DC0_F0",
    "resource_pool": "DC0_C0_RP2",
    "datastore": "LocalDS_0",
    "networks": [{"index": 0, "network": "VM Network"}],
    "wait_for_ip_address": True,
}


def _wanted(count, prefix="web"):
    return [{"name": f"{prefix}-{number}", "guestinfo": {"hostname": f"{prefix}-{number}"}} for number in range(count)]


@pytest.mark.parametrize("cache", [False, True])
def test_clones_on_a_fresh_session_cost_one_call_each_and_at_most_14_more(start, cache):
    tasks = start("--vms", "10", cache=cache)
    ran = tasks.wait_for_late_guests(clones=_wanted(12), **_DEAREST)
    assert ran.result["counts"] == {"created": 12}
    assert ran.called("InstantClone_Task") == 12
    assert ran.called("Login") == 1
    assert ran.total <= 12 + 14
    assert ran.result["parent"]["name"] == "golden-parent"


def test_in_a_large_folder_each_name_of_a_few_costs_one_call_more(start):
    """And the parent by its bare name five: that there are many VMs, the folders, one for each of three, and its name.

    A large folder is read where many names are looked for in it: 3,300 VMs in two pages.
    """
    tasks = start("--vms", "10000")
    few = tasks.wait_for_late_guests(clones=_wanted(12), **_DEAREST)
    assert few.total <= 12 + 14 + 5 + 12
    assert few.called("FindChild") == 3 + 12
    assert few.received < 600_000
    many = tasks.attempt(check=True, clones=_wanted(200, "db"), **{**_DEAREST, "wait_for_ip_address": False})
    assert many.called("FindChild") == 3
    assert many.called("ContinueRetrievePropertiesEx") == 1
    assert many.total <= 200 + 14 + 5


def test_the_calls_by_name(start):
    ran = start().wait_for_late_guests(clones=_wanted(3), **_DEAREST)
    without_rounds = {method: count for method, count in ran.calls.items() if method not in ("WaitForUpdatesEx",)}
    assert without_rounds == {
        "RetrieveServiceContent": 1,
        "Login": 1,
        "CreatePropertyCollector": 1,
        "FindByInventoryPath": 2,
        "RetrievePropertiesEx": 4,
        "InstantClone_Task": 3,
        "CreateFilter": 2,
        "DestroyPropertyFilter": 2,
        "Logout": 1,
    }


def test_one_clone_by_path_costs_the_same_among_ten_vms_and_ten_thousand(start):
    """In calls, by name, and in bytes."""
    given = {**_DEAREST, "parent": {"path": "/DC0/vm/golden-parent"}}
    small, large = (start("--vms", vms).wait_for_late_guests(clones=_wanted(1), **given) for vms in ("10", "10000"))
    for ran in (small, large):
        ran.calls.pop("WaitForUpdatesEx")
    assert small.calls == large.calls
    assert small.calls["FindChild"] == 1
    assert large.received < 1.1 * small.received


def test_by_name_it_does_not_depend_on_how_many_more(start):
    small, large = (start("--vms", vms).wait_for_late_guests(clones=_wanted(3), **_DEAREST) for vms in ("2000", "10000"))
    assert small.total == large.total
    assert large.received < 1.1 * small.received


@pytest.mark.parametrize(
    "selector",
    [
        {"name": "golden-parent"},
        {"name": "golden-parent", "folder": "/DC0/vm"},
        {"path": "/DC0/vm/golden-parent"},
        {"moid": None},
        {"uuid": None},
        {"uuid": None, "use_instance_uuid": True},
    ],
)
def test_any_selector_finds_the_parent_within_the_budget(start, selector):
    tasks = start()
    parent = tasks.sim.vm("golden-parent")
    if "moid" in selector:
        selector = {"moid": parent["moid"]}
    elif "uuid" in selector:
        of = "instance_uuid" if selector.get("use_instance_uuid") else "bios_uuid"
        selector = {**selector, "uuid": parent[of]}
    ran = tasks.run(parent=selector, name="web-1")
    assert ran.result["parent"]["moid"] == parent["moid"]
    assert ran.total <= 1 + 14


def test_a_kept_session_costs_no_login_and_no_logout(start):
    tasks = start(cache=True)
    first = tasks.run(clones=_wanted(2))
    assert (first.called("Login"), first.called("Logout")) == (1, 0)
    second = tasks.run(clones=_wanted(2, "db"))
    assert second.result["counts"] == {"created": 2}
    assert (second.called("Login"), second.called("Logout"), second.called("RetrieveServiceContent")) == (0, 0, 0)
    assert tasks.sim.sessions()["count"] == 1


def test_a_session_that_is_not_kept_is_logged_out(start):
    tasks = start()
    ran = tasks.run(name="web-1")
    assert (ran.called("Login"), ran.called("Logout")) == (1, 1)
    assert tasks.sim.sessions()["count"] == 0


@pytest.mark.parametrize("how", ["fault", "missingSet"])
def test_a_kept_session_that_died_on_the_server_is_replaced(start, how):
    tasks = start(cache=True)
    tasks.run(name="web-1")
    assert tasks.sim.expire_sessions(how) == 1
    ran = tasks.run(name="web-2")
    assert ran.actions == {"web-2": "created"}
    assert ran.called("Login") == 1
    assert tasks.warnings == []


def test_a_second_run_changes_nothing_and_costs_a_handful_of_calls(start):
    tasks = start(cache=True)
    asked = {"clones": _wanted(20), **_DEAREST}
    tasks.run(**asked)
    again = tasks.run(**asked)
    assert again.result["changed"] is False
    assert again.result["counts"] == {"unchanged": 20}
    assert again.called("InstantClone_Task") == again.called("ReconfigVM_Task") == again.called("Login") == 0
    assert again.total <= 9
    assert again.result["diff"]["before"] == again.result["diff"]["after"] == ""


def test_removing_costs_two_calls_a_clone(start):
    tasks = start(cache=True)
    tasks.run(clones=_wanted(10))
    gone = tasks.run(state="absent", clones=_wanted(10))
    assert gone.result["counts"] == {"removed": 10}
    assert (gone.called("PowerOffVM_Task"), gone.called("Destroy_Task")) == (10, 10)
    assert gone.total <= 2 * 10 + 14


def test_many_clones_of_two_folders_are_one_lookup(start):
    tasks: Tasks = start()
    one = tasks.run(clones=[{"name": "a", "folder": "DC0_F0"}])
    many = tasks.run(clones=[{"name": f"b{n}", "folder": f"DC0_F{n % 2}"} for n in range(10)])
    assert many.total - 10 == one.total - 1


def test_the_rounds_of_waiting_are_paced(start):
    """Every clone ends and every address comes at another moment; unpaced each would be a round of its own."""
    tasks = start("--clone-time", "20ms")
    ran = tasks.run(clones=_wanted(50), wait_for_ip_address=True)
    seconds = ran.result["timing"]["clone"] + ran.result["timing"]["wait_for_ip"]
    assert ran.called("WaitForUpdatesEx") <= 4 * seconds + 4
