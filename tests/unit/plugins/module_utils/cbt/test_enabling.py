# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Switch tracking on, make it count, prove it; once."""

from __future__ import annotations

import pytest

from ansible_collections.vforge.vsphere.plugins.module_utils._errors import InvalidOption


@pytest.fixture
def plain(start):
    """A running VM of two disks that is not tracked."""
    known = start()
    known.make("web-1", 2, tracked=False)
    return known


def test_tracking_is_switched_on_counts_and_is_left_alone_then(plain):
    ran = plain.run(state="enabled")
    assert (ran.one["actions"], ran.one["tracking"], ran.result["changed"]) == (["switched_on", "activated"], True, True)
    assert all(plain.change_ids("web-1"))
    assert plain.snapshots("web-1") == []
    assert "active: False" in ran.result["diff"]["before"]
    assert "active: True" in ran.result["diff"]["after"]
    again = plain.run(state="enabled")
    assert (again.one["actions"], again.result["changed"]) == ([], False)
    assert not {"ReconfigVM_Task", "CreateSnapshot_Task", "CreateFilter"} & again.calls.keys()


def test_check_mode_reports_and_changes_nothing(plain):
    checked = plain.run(check=True, state="enabled")
    assert checked.one["actions"] == ["switched_on", "activated"]
    assert not {"ReconfigVM_Task", "CreateSnapshot_Task"} & checked.calls.keys()
    done = plain.run(state="enabled")
    assert done.result["diff"] == checked.result["diff"]


def test_one_that_is_on_and_does_not_count_is_made_to_count(plain):
    plain.reconfigure("web-1", changeTrackingEnabled=True)
    assert plain.change_ids("web-1") == [None, None]
    ran = plain.run(state="enabled")
    assert ran.one["actions"] == ["activated"]
    assert "ReconfigVM_Task" not in ran.calls
    assert all(plain.change_ids("web-1"))


def test_a_power_cycle_does_it_where_that_is_asked_for(plain):
    ran = plain.run(state="enabled", activation="power_cycle")
    assert ran.one["actions"] == ["switched_on", "activated"]
    assert [ran.calls.get(name) for name in ("PowerOffVM_Task", "PowerOnVM_Task", "CreateSnapshot_Task")] == [1, 1, None]
    assert plain.vm("web-1").runtime.powerState == "poweredOn"


def test_a_vm_that_is_off_is_left_off(start):
    known = start()
    known.make("web-1", on=False, tracked=False)
    ran = known.run(state="enabled", activation="power_cycle")
    assert ran.one["actions"] == ["switched_on", "activated"]
    assert "PowerOnVM_Task" not in ran.calls
    assert known.vm("web-1").runtime.powerState == "poweredOff"
    assert all(known.change_ids("web-1"))


def test_a_vm_that_could_not_be_powered_off_is_reported_and_keeps_running(plain):
    plain.sim.inject(method="PowerOffVM_Task", do="task-fault", fault="SystemError", message="no")
    ran = plain.attempt(state="enabled", activation="power_cycle")
    assert (ran.code, ran.one["actions"]) == ("system_error", ["switched_on"])
    assert plain.vm("web-1").runtime.powerState == "poweredOn"


def test_a_vm_that_stays_off_after_a_power_cycle_says_what_was_done(plain):
    plain.sim.inject(method="PowerOnVM_Task", do="task-fault", fault="SystemError", message="no")
    ran = plain.attempt(state="enabled", activation="power_cycle")
    assert (ran.one["actions"], ran.one["changed"]) == (["switched_on", "powered_off"], True)


def test_snapshots_of_the_users_stand_in_the_way_and_stay(plain):
    plain.snapshot("web-1", "mine")
    ran = plain.attempt(state="enabled")
    assert (ran.code, ran.one["error"]["snapshots"]) == ("invalid_option", ["mine"])
    assert plain.snapshots("web-1") == ["mine"]
    assert not {"ReconfigVM_Task", "CreateSnapshot_Task", "RemoveSnapshot_Task"} & ran.calls.keys()


def test_switching_off_and_off_again(areas):
    ran = areas.run(state="disabled")
    assert (ran.one["actions"], ran.one["tracking"]) == (["switched_off"], False)
    assert areas.run(state="disabled").result["changed"] is False
    assert areas.vm("web-1").config.changeTrackingEnabled is False


def halves(ids):
    return [identifier.split("/")[0] for identifier in ids]


def test_a_reset_has_tracking_begin_again(areas):
    before = halves(areas.change_ids("web-1"))
    planned = areas.run(state="reset", check=True)
    ran = areas.run(state="reset")
    assert planned.one["actions"] == ran.one["actions"] == ["switched_off", "deactivated", "switched_on", "activated"]
    assert (ran.one["tracking"], ran.called("CreateSnapshot_Task"), areas.snapshots("web-1")) == (True, 2, [])
    after = halves(areas.change_ids("web-1"))
    assert all(after)
    assert not set(before) & set(after)
    assert areas.run(state="enabled").result["changed"] is False


def test_a_reset_goes_on_where_one_that_died_ended(areas):
    before = halves(areas.change_ids("web-1"))
    areas.reconfigure("web-1", changeTrackingEnabled=False)
    assert areas.run(state="reset").one["actions"] == ["deactivated", "switched_on", "activated"]
    assert not set(before) & set(halves(areas.change_ids("web-1")))


def test_a_reset_of_what_was_not_tracked_switches_it_on(plain):
    assert plain.run(state="reset").one["actions"] == ["switched_on", "activated"]


def test_a_reset_whose_first_snapshot_cannot_be_made_leaves_tracking_off(areas):
    areas.sim.inject(method="CreateSnapshot_Task", do="task-fault", fault="SystemError", message="no")
    ran = areas.attempt(state="reset")
    assert (ran.code, ran.one["actions"], ran.one["tracking"]) == ("system_error", ["switched_off"], False)
    assert areas.run(state="reset").one["actions"] == ["deactivated", "switched_on", "activated"]


def test_a_reset_needs_no_power_cycle_and_no_snapshots_of_others(areas):
    with pytest.raises(InvalidOption, match="not by a power cycle"):
        areas.attempt(state="reset", activation="power_cycle")
    areas.snapshot("web-1", "mine")
    assert areas.attempt(state="reset").code == "invalid_option"
    assert areas.vm("web-1").config.changeTrackingEnabled is True


def test_many_vms_in_one_task_and_one_of_them_fails(start):
    known = start()
    names = [f"web-{number}" for number in range(1, 5)]
    for name in names:
        known.make(name, tracked=False)
    known.sim.inject(method="ReconfigVM_Task", name="web-3", do="task-fault", fault="SystemError", message="no")
    ran = known.attempt(state="enabled", vms=[{"name": name} for name in names])
    assert [entry["actions"] for entry in ran.vms] == [["switched_on", "activated"]] * 2 + [[], ["switched_on", "activated"]]
    assert [entry["name"] for entry in ran.result["failures"]] == ["web-3"]
    # One wait a step: reconfiguring, making snapshots, removing them.
    assert ran.calls["CreateFilter"] == 3
    again = known.run(state="enabled", vms=[{"name": name} for name in names])
    assert [entry["changed"] for entry in again.vms] == [False, False, True, False]
