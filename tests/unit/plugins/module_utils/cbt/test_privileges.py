# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a user may not do is told before anything is done; above all, no snapshot is made that could not be removed."""

from __future__ import annotations

import pytest

from ansible_collections.vforge.vsphere.plugins.module_utils._cbt import plan
from ansible_collections.vforge.vsphere.plugins.module_utils._cbt.task import KIND
from ansible_collections.vforge.vsphere.plugins.module_utils._temporary_snapshots import Owner, OwnerMark

_QUERY = [plan.MAKE, plan.REMOVE, plan.READ]
_CHANGES = {"CreateSnapshot_Task", "RemoveSnapshot_Task", "ReconfigVM_Task", "PowerOffVM_Task", "PowerOnVM_Task"}


@pytest.mark.parametrize("check", [False, True])
@pytest.mark.parametrize(
    ("asked", "needs"),
    [
        ({}, _QUERY),
        ({"snapshot": {"name": "mine"}}, [plan.READ]),
        ({"state": "disabled"}, [plan.SWITCH]),
        ({"vm": {"name": "web-2"}, "state": "enabled"}, [plan.SWITCH, plan.MAKE, plan.REMOVE]),
        (
            {"vm": {"name": "web-2"}, "state": "enabled", "activation": "power_cycle"},
            [plan.SWITCH, plan.POWER_OFF, plan.POWER_ON],
        ),
    ],
)
def test_each_privilege_that_is_missing_is_reported_and_nothing_is_done(areas, asked, needs, check):
    areas.make("web-2", tracked=False)
    areas.snapshot("web-1", "mine")
    for missing in needs:
        areas.log_in_with([name for name in needs if name != missing])
        ran = areas.attempt(check=check, **asked)
        assert (ran.code, ran.one["error"]["privileges"]) == ("no_permission", [missing])
        assert not _CHANGES & ran.calls.keys()
    areas.log_in_with(needs)
    ran = areas.run(check=check, **asked)
    assert ran.calls["HasPrivilegeOnEntities"] == 1


def test_a_vcenter_that_does_not_say_what_a_user_may_do_keeps_nobody_from_doing_it(areas):
    areas.make("web-2", tracked=False)
    areas.sim.inject(method="HasPrivilegeOnEntities", do="fault", fault="NoPermission")
    ran = areas.run(state="enabled", vms=[{"name": "web-2"}])
    assert ran.result["changed"]
    assert any("does not say which privileges" in warning for warning in areas.warnings)


def test_where_nothing_is_to_be_done_nothing_is_needed(areas):
    areas.log_in_with([])
    ran = areas.run(state="enabled")
    assert "HasPrivilegeOnEntities" not in ran.calls
    assert ran.result["changed"] is False


def test_one_call_is_enough_for_many_vms_and_the_others_go_on(areas):
    names = [f"web-{number}" for number in range(1, 5)]
    for name in names[1:]:
        areas.make(name, tracked=name != "web-3")
    areas.log_in_with([plan.SWITCH])
    ran = areas.attempt(state="enabled", vms=[{"name": name} for name in names])
    assert [entry["name"] for entry in ran.result["failures"]] == ["web-3"]
    assert ran.calls["HasPrivilegeOnEntities"] == 1


def test_a_left_over_that_may_not_be_removed_is_reported(areas):
    gone = Owner(Owner.this().place, Owner.this().pid, "1")
    text = OwnerMark(areas.vm("web-1").config.instanceUuid, "run", gone, 60).description(KIND)
    areas.sim.govc("snapshot.create", "-vm", "web-1", "-m=false", "-d", text, KIND.name)
    areas.log_in_with([plan.MAKE, plan.READ])
    ran = areas.attempt()
    assert (ran.code, ran.one["actions"]) == ("no_permission", [])
    assert "which this user may not remove" in ran.one["warnings"][0]
    assert areas.snapshots("web-1") == [KIND.name]
    assert not _CHANGES & ran.calls.keys()
