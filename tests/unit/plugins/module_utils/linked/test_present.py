# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Making linked and full clones, looked at from outside."""

from __future__ import annotations

import concurrent.futures

import pytest


@pytest.mark.parametrize("disk_mode", ["linked", "full"])
def test_a_clone_is_made_kept_and_removed(start, disk_mode):
    tasks = start()
    asked = {"clones": [{"name": "a"}, {"name": "b"}], "disk_mode": disk_mode}
    made = tasks.run(**asked)
    assert made.actions == {"a": "created", "b": "created"}
    assert made.called("CloneVM_Task") == 2
    vm = tasks.sim.vm("a")
    assert vm["extra_config"]["vforge.clone"] == f"{tasks.sim.vm('golden')['instance_uuid']} a"
    assert made.clones["a"]["moid"] == vm["moid"]
    again = tasks.run(**asked)
    assert again.result["counts"] == {"unchanged": 2}
    gone = tasks.run(**asked, state="absent")
    assert gone.result["counts"] == {"removed": 2}
    assert tasks.run(**asked, state="absent").result["counts"] == {"absent": 2}


def test_check_mode_asks_vcenter_and_changes_nothing(start):
    tasks = start()
    before = tasks.names()
    ran = tasks.run(check=True, clones=[{"name": "a"}, {"name": "b"}])
    assert ran.actions == {"a": "created", "b": "created"}
    assert ran.called("CheckClone_Task") == 2
    assert ran.called("CloneVM_Task") == 0
    assert tasks.names() == before


def test_a_hundred_clones_cost_a_hundred_calls_and_some_twenty_in_an_inventory_of_any_size(start):
    """Among many VMs the source by its bare name costs five more, and the names in a large folder are two pages."""
    for vms, more in (("10", 0), ("10000", 6)):
        tasks = start("--vms", vms, "--clone-time", "5ms")
        asked = {
            "clones": [{"name": f"web-{number}"} for number in range(100)],
            "folder": "DC0_F0",
            "wait_for_ip_address": True,
        }
        ran = tasks.run(**asked)
        assert ran.result["counts"] == {"created": 100}
        assert ran.called("CloneVM_Task") == 100
        # A wait costs a filter, made and removed. For addresses there is none where all guests have reported by then.
        waits = ran.called("CreateFilter")
        assert waits in (1, 2)
        assert ran.total == 111 + more + 2 * waits, ran.calls
        again = tasks.run(**asked)
        assert again.result["counts"] == {"unchanged": 100}
        assert again.total == 11 + more, again.calls


def test_a_vm_that_another_run_is_making_is_waited_for(start):
    tasks = start("--clone-time", "3s")
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        making = pool.submit(lambda: tasks.attempt(name="a"))
        assert tasks.sim.called("CloneVM_Task", 1, within=120)
        while "a" not in tasks.names() and not making.done():
            pass
        second = tasks.attempt(name="a")
        first = making.result()
    assert (first.actions, second.actions) == ({"a": "created"}, {"a": "unchanged"})
    assert first.clones["a"]["moid"] == second.clones["a"]["moid"]


@pytest.mark.parametrize("state", ["inaccessible", "orphaned"])
def test_a_vm_that_vcenter_does_not_reach_is_no_clone_and_nobody_waits_for_it(start, state):
    tasks = start()
    tasks.sim.create_vm("a", folder="/DC0/vm", connection=state)
    ran = tasks.attempt(clones=[{"name": "a"}, {"name": "b"}], timeout=3600)
    gone = tasks.attempt(name="a", state="absent", timeout=3600)
    assert ran.actions == {"a": "failed", "b": "created"}
    why = f"a VM that is {state}, so that vCenter does not say whose it is, holds the name"
    assert all(why in str(each.clones["a"]["error"]) for each in (ran, gone))
    assert gone.called("Destroy_Task") == 0


def test_a_vm_that_somebody_makes_for_too_long_is_reported_as_such(start):
    tasks = start("--clone-time", "1h")
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        place = ("-pool", "/DC0/host/DC0_C0/Resources", "-ds", "LocalDS_0", "-folder", "/DC0/vm")
        making = pool.submit(tasks.sim.govc, "vm.clone", "-vm", "golden", "-on=false", *place, "a")
        assert tasks.sim.called("CloneVM_Task", 1, within=120)
        while "a" not in tasks.names() and not making.done():
            pass
        late = tasks.late("WaitForUpdatesEx", name="a")
        gone = tasks.late("WaitForUpdatesEx", name="a", state="absent")
        tasks.sim.request("POST", "/sessions/expire", {"as": "fault"})
        assert making.exception() is not None
    for ran in (late, gone):
        assert "a VM that is still being made holds the name" in ran.clones["a"]["error"]["msg"]
