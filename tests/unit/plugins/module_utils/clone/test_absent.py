# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Removing clones, and never anything else."""

from __future__ import annotations

import functools

import pytest

_THREE = [{"name": "web-1"}, {"name": "web-2"}, {"name": "web-3"}]


def test_clones_are_powered_off_and_destroyed(start):
    tasks = start()
    tasks.run(clones=_THREE)
    before = tasks.names()
    ran = tasks.run(state="absent", clones=_THREE[:2])
    assert ran.actions == {"web-1": "removed", "web-2": "removed"}
    assert ran.result["changed"] is True
    assert sorted({*before} - {*tasks.names()}) == ["web-1", "web-2"]
    assert (ran.called("PowerOffVM_Task"), ran.called("Destroy_Task")) == (2, 2)
    again = tasks.run(state="absent", clones=_THREE[:2])
    assert again.actions == {"web-1": "absent", "web-2": "absent"}
    assert again.result["changed"] is False
    assert again.called("Destroy_Task") == 0


def test_a_clone_that_is_off_needs_no_power_off(start):
    tasks = start()
    tasks.run(clones=_THREE[:1])
    tasks.sim.govc("vm.power", "-off", "web-1")
    ran = tasks.run(state="absent", name="web-1")
    assert ran.actions == {"web-1": "removed"}
    assert ran.called("PowerOffVM_Task") == 0


def test_a_suspended_clone_is_removed(start):
    tasks = start()
    tasks.run(name="web-1")
    tasks.sim.govc("vm.power", "-suspend", "web-1")
    assert tasks.run(state="absent", name="web-1").actions == {"web-1": "removed"}


def test_a_clone_that_somebody_powers_off_meanwhile_is_removed(start):
    tasks = start()
    tasks.run(clones=_THREE)
    power_off = functools.partial(tasks.sim.govc, "vm.power", "-off", "web-2")
    ran = tasks.meanwhile("PowerOffVM_Task", 3, power_off, about="web-2", state="absent", clones=_THREE)
    assert ran.error is None
    assert ran.result["counts"] == {"removed": 3}


@pytest.mark.parametrize(("do", "removed"), [("task-fault-after", 3), ("task-fault", 2)])
def test_a_power_off_that_ends_in_an_error_counts_where_the_clone_is_not_off(start, do, removed):
    tasks = start()
    tasks.run(clones=_THREE)
    tasks.sim.inject(method="PowerOffVM_Task", do=do, fault="SystemError", times=1)
    ran = tasks.attempt(state="absent", clones=_THREE)
    assert (ran.result["counts"].get("removed"), ran.error is None) == (removed, removed == 3)
    assert len({"web-1", "web-2", "web-3"} & {*tasks.names()}) == 3 - removed
    tasks.sim.clear()
    assert tasks.run(state="absent", clones=_THREE).result["changed"] is (removed < 3)


@pytest.mark.parametrize("method", ["PowerOffVM_Task", "Destroy_Task"])
def test_a_clone_that_somebody_removes_meanwhile_is_absent(start, method):
    tasks = start()
    tasks.run(clones=_THREE)
    destroy = functools.partial(tasks.sim.govc, "vm.destroy", "web-2")
    ran = tasks.meanwhile(method, 3, destroy, about="web-2", state="absent", clones=_THREE)
    assert ran.error is None
    assert ran.actions == {"web-1": "removed", "web-2": "absent", "web-3": "removed"}
    assert ran.clones["web-2"]["changed"] is False


@pytest.mark.parametrize("do", ["drop", "drop-after"])
@pytest.mark.parametrize("method", ["PowerOffVM_Task", "Destroy_Task"])
def test_a_connection_that_breaks_once_costs_nothing(start, method, do):
    tasks = start()
    tasks.run(clones=_THREE)
    tasks.sim.inject(method=method, nth=2, do=do)
    ran = tasks.run(state="absent", clones=_THREE)
    assert ran.result["counts"] == {"removed": 3}
    assert not [name for name in tasks.names() if name.startswith("web-")]


def test_a_vm_of_somebody_else_stays_unless_it_is_forced(start):
    tasks = start()
    tasks.run(name="web-1")
    tasks.sim.create_vm("web-2", folder="/DC0/vm")
    ran = tasks.attempt(state="absent", clones=_THREE)
    assert ran.actions == {"web-1": "removed", "web-2": "failed", "web-3": "absent"}
    assert "force removes it all the same" in ran.clones["web-2"]["error"]["msg"]
    assert "web-2" in tasks.names()
    forced = tasks.run(state="absent", clones=_THREE, force=True)
    assert forced.actions == {"web-1": "absent", "web-2": "removed", "web-3": "absent"}
    assert "web-2" not in tasks.names()


def test_the_clone_of_another_parent_stays(start):
    tasks = start("--parents", "2")
    tasks.run(parent={"name": "golden-parent-2"}, name="web-1")
    ran = tasks.attempt(state="absent", name="web-1")
    assert "a clone of another parent" in ran.clones["web-1"]["error"]["msg"]
    assert "web-1" in tasks.names()
    assert tasks.run(state="absent", parent={"name": "golden-parent-2"}, name="web-1").actions == {"web-1": "removed"}


@pytest.mark.parametrize("force", [False, True])
def test_the_parent_is_never_removed(start, force):
    tasks = start()
    ran = tasks.attempt(state="absent", name="golden-parent", force=force)
    assert "it is the parent itself, which is never removed" in ran.clones["golden-parent"]["error"]["msg"]
    assert ran.called("PowerOffVM_Task") == ran.called("Destroy_Task") == 0
    assert "golden-parent" in tasks.names()


@pytest.mark.parametrize("force", [False, True])
def test_folders_and_templates_are_never_removed(start, force):
    tasks = start()
    tasks.sim.create_vm("gold", folder="/DC0/vm", template=True)
    ran = tasks.attempt(state="absent", clones=[{"name": "DC0_F0"}, {"name": "gold"}], force=force)
    assert "a Folder holds the name" in ran.clones["DC0_F0"]["error"]["msg"]
    assert "it is a template, not a clone" in ran.clones["gold"]["error"]["msg"]
    assert ran.called("Destroy_Task") == 0


def test_without_a_parent_clones_of_any_are_removed_from_whole_paths(start):
    tasks = start("--parents", "2")
    tasks.run(parent={"name": "golden-parent"}, name="web-1", folder="DC0_F0")
    tasks.run(parent={"name": "golden-parent-2"}, name="web-2", folder="DC0_F0")
    tasks.sim.create_vm("web-3", folder="/DC0/vm/DC0_F0")
    ran = tasks.attempt(state="absent", parent=None, folder="/DC0/vm/DC0_F0", clones=_THREE)
    assert ran.actions == {"web-1": "removed", "web-2": "removed", "web-3": "failed"}
    assert ran.result["parent"] is None
    assert "web-3" in tasks.names("/DC0/vm/DC0_F0")


def test_the_parent_of_clones_that_are_to_go_need_not_run(start):
    tasks = start()
    tasks.run(name="web-1")
    tasks.sim.govc("vm.power", "-off", "golden-parent")
    assert tasks.run(state="absent", name="web-1").actions == {"web-1": "removed"}


def test_what_cannot_be_removed_is_listed_and_the_others_go(start):
    tasks = start()
    tasks.run(clones=_THREE)
    tasks.sim.inject(method="PowerOffVM_Task", name="web-1", do="task-fault", fault="InvalidState")
    tasks.sim.inject(method="Destroy_Task", name="web-2", do="task-fault", fault="SystemError")
    ran = tasks.attempt(state="absent", clones=_THREE)
    assert ran.actions == {"web-1": "failed", "web-2": "failed", "web-3": "removed"}
    assert ran.clones["web-1"]["error"]["fault"] == "InvalidState"
    assert "2 of 3 clones failed" in ran.error.message
    assert "run again to remove the rest" in ran.error.message
    assert tasks.run(state="absent", clones=_THREE).actions == {"web-1": "removed", "web-2": "removed", "web-3": "absent"}


@pytest.mark.parametrize("force", [False, True])
def test_a_clone_whose_disks_another_vm_uses_stays(start, force):
    tasks = start()
    tasks.run(clones=_THREE[:1])
    tasks.run(parent={"name": "web-1"}, name="leaf")
    asked = {"state": "absent", "clones": _THREE[:1], "force": force}
    for check in (True, False):
        ran = tasks.attempt(**asked, check=check)
        assert ran.actions == {"web-1": "failed"}
        told = ran.clones["web-1"]["error"]["msg"]
        assert "its disks are used by leaf. Remove those first, or in the same task." in told
    assert tasks.sim.vm("web-1")["power"] == "poweredOn"
    both = tasks.run(
        state="absent",
        parent=None,
        folder="/DC0/vm",
        clones=[{"name": "web-1"}, {"name": "leaf"}],
    )
    assert both.actions == {"web-1": "removed", "leaf": "removed"}


def test_the_diff_shows_what_goes(start):
    tasks = start()
    made = tasks.run(name="web-1").clones["web-1"]
    diff = tasks.run(state="absent", name="web-1").result["diff"]
    assert diff["before"] == f"web-1:\n  moid: {made['moid']}\n  power_state: poweredOn\n"
    assert diff["after"] == ""
