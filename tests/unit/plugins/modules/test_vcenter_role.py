# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A role with the privileges that flows need: made, changed, refused, removed, and looked at with govc."""

from __future__ import annotations

import itertools
import json

import pytest

from ansible_collections.vforge.vsphere.plugins.module_utils._role import needs
from ansible_collections.vforge.vsphere.tests.unit.awx.stand_in import ROOT
from ansible_collections.vforge.vsphere.tests.unit.plugins.action.plays import environment
from ansible_collections.vforge.vsphere.tests.unit.plugins.modules.endings import InFork
from vforge_playbook import run_playbook

_NUMBERS = itertools.count(1)
_BUILT_IN = {"System.Anonymous", "System.Read", "System.View"}


@pytest.fixture
def role(shared_sim, tmp_path):
    """Runs the module for a role of its own."""
    name = f"vr-role-{next(_NUMBERS)}"
    module = InFork(shared_sim, "vcenter_role", tmp_path, name=name, _ansible_diff=True)
    module.name = name
    return module


def privileges(sim, name):
    """What govc sees of a role, but what each role has; None where there is none."""
    found = [each for each in sim.govc("role.ls") if each["name"] == name]
    return set(found[0]["privilege"]) - _BUILT_IN if found else None


def test_a_role_is_made_changed_and_removed(role, shared_sim):
    name = role.name
    wanted = set(needs.privileges_of(["instant_clone"], least=False))
    checked = role.run(flows=["instant_clone"], _ansible_check_mode=True)
    assert (checked["changed"], checked["role_id"], privileges(shared_sim, name)) == (True, None, None)
    made = role.run(flows=["instant_clone"])
    assert (made["actions"], made["added"]) == (["created"], sorted(wanted))
    calls = made["calls"]["by_method"]
    assert (calls["AddAuthorizationRole"], calls["RetrievePropertiesEx"]) == (1, 1)
    assert privileges(shared_sim, name) == wanted
    again = role.run(flows=["instant_clone"])
    assert (again["changed"], again["role_id"], again["diff"]["before"]) == (False, made["role_id"], again["diff"]["after"])
    less = role.run(flows=["instant_clone"], least=True, privileges=["VirtualMachine.Interact.Suspend"])
    assert (less["actions"], less["added"]) == (["updated"], ["VirtualMachine.Interact.Suspend"])
    assert "VirtualMachine.Inventory.Delete" in less["removed"]
    assert privileges(shared_sim, name) == set(less["privileges"])
    assert role.run(state="absent")["actions"] == ["removed"]
    assert privileges(shared_sim, name) is None
    assert role.run(state="absent")["changed"] is False


@pytest.mark.parametrize("check", [False, True])
@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({"name": "Admin", "flows": ["evc"]}, "system_role"),
        ({"name": "Admin", "state": "absent"}, "system_role"),
        ({"privileges": ["VirtualMachine.No.Such"]}, "unknown_privilege"),
        ({"flows": []}, "invalid_option"),
        ({"name": " ", "flows": ["evc"]}, "invalid_option"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_done(role, shared_sim, asked, code, check):
    shared_sim.reset_calls()
    assert role.run(**asked, _ansible_check_mode=check)["error_code"] == code
    assert not [name for name in shared_sim.calls()["by_method"] if name.endswith("AuthorizationRole")]


def test_an_answer_that_was_lost_makes_no_second_role_and_no_failure(role, shared_sim):
    shared_sim.inject(method="AddAuthorizationRole", do="drop-after")
    made = role.run(flows=["evc"])
    assert made["actions"] == ["created"]
    assert privileges(shared_sim, role.name) == set(made["privileges"])


def played(sim, folder, **given):
    """Plays playbooks/vcenter_role.yml, as the guide on privileges says."""
    variables = json.dumps({f"vcenter_role_{name}": value for name, value in given.items()})
    code, output = run_playbook("playbooks/vcenter_role.yml", "-e", variables, cwd=ROOT, env=environment(folder, sim))
    assert code == 0, output


def test_the_playbook_makes_a_role_of_privileges_alone_and_removes_it_by_its_name(shared_sim, tmp_path):
    played(shared_sim, tmp_path, name="vr-played", privileges=["VirtualMachine.Interact.Suspend"])
    assert privileges(shared_sim, "vr-played") == {"VirtualMachine.Interact.Suspend"}
    played(shared_sim, tmp_path, name="vr-played", state="absent")
    assert privileges(shared_sim, "vr-played") is None


def test_a_role_that_may_have_been_made_and_cannot_be_read_again_is_reported_as_made(role, shared_sim):
    shared_sim.inject(method="AddAuthorizationRole", do="drop-after")
    shared_sim.inject(method="RetrievePropertiesEx", nth=2, times=1, do="fault", fault="SystemError", message="no roles today")
    ran = role.run(flows=["evc"])
    assert (ran["failed"], ran["changed"], ran["actions"]) == (True, True, ["created"])
    assert "no roles today" in ran["msg"]
    assert ran["role_id"] is None
    assert privileges(shared_sim, role.name) == set(ran["privileges"])
    again = role.run(flows=["evc"])
    assert again["changed"] is False
