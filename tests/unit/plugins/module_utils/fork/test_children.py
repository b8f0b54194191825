# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Children in the simulator: made, changed, removed; of both kinds, and what goes wrong with them."""

from __future__ import annotations

import functools

import pytest

from ansible_collections.vforge.vsphere.plugins.module_utils._connector import tasks as tasks_of_vcenter
from ansible_collections.vforge.vsphere.plugins.module_utils._connector.pyvmomi import vim
from ansible_collections.vforge.vsphere.plugins.module_utils._errors import Interrupted
from ansible_collections.vforge.vsphere.plugins.module_utils._fork import read
from ansible_collections.vforge.vsphere.plugins.module_utils._vsphere import compute
from ansible_collections.vforge.vsphere.tests.unit.plugins.deadlines import time_over
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.fork.running import Forks, named
from ansible_collections.vforge.vsphere.tests.unit.plugins.running import succeeded


def _absent(*names):
    return [{"name": name, "state": "absent"} for name in names]


@pytest.fixture
def forks(start):
    """Tasks with a parent that is quiesced already."""
    made = start("--clone-time", "10ms")
    made.run()
    return made


def test_a_child_that_did_not_come_with_the_end_of_its_task_is_read(forks, monkeypatch):
    real = tasks_of_vcenter._task_end
    monkeypatch.setattr(tasks_of_vcenter, "_task_end", lambda moid, info, gone: real(moid, {**info, "info.result": None}, gone))
    assert forks.run(children=named("web-1")).actions == {"web-1": "created"}


def test_children_that_did_not_come_with_the_end_of_a_task_are_known_all_the_same(forks, monkeypatch):
    """A parent that is taken for one without children would be reset under them."""
    forks.run(children=named("web-1"))
    real = tasks_of_vcenter._task_end
    monkeypatch.setattr(tasks_of_vcenter, "_task_end", lambda moid, info, gone: real(moid, {**info, "info.result": None}, gone))
    ran = forks.attempt(state="enabled", allow_reset=True)
    assert ran.error is not None
    assert "while non-persistent children of it run" in str(ran.error)
    assert forks.quiesced()


def test_a_child_of_nearly_the_same_name_is_another_one(forks, monkeypatch):
    """vCenter may leave upper and lower case aside where it looks for a child."""
    forks.run(children=named("WEB-1"))
    child, real = vim.VirtualMachine(forks.sim.vm("WEB-1")["moid"]), compute.ask_each
    monkeypatch.setattr(
        compute, "ask_each", lambda session, questions: [child if each is None else each for each in real(session, questions)]
    )
    assert forks.run(children=_absent("web-1")).actions == {"web-1": "absent"}
    assert forks.sim.vm("WEB-1")["power"] == "poweredOn"


def test_what_a_task_of_many_children_costs(start):
    names = [f"web-{n}" for n in range(20)]
    ran = start("--clone-time", "5ms", "--guest-time", "300ms").run(
        children=named(*names, folder="DC0_F0", datastore="LocalDS_1"), wait_for_ip_address=True
    )
    calls = {method: count for method, count in ran.calls.items() if method != "WaitForUpdatesEx"}
    assert calls.pop("ListProcessesInGuest", 0) <= 1
    filters = (calls.pop("CreateFilter"), calls.pop("DestroyPropertyFilter"))
    # One for each of enabling, quiescing, making, powering on and asking for children; the last is for late addresses.
    assert filters in ((5, 5), (6, 6))
    assert calls == {
        "RetrieveServiceContent": 1,
        "Login": 1,
        "CreatePropertyCollector": 1,
        "RetrievePropertiesEx": 7,
        "EnableForkParent_Task": 1,
        "CreateTemporaryDirectoryInGuest": 1,
        "ListFilesInGuest": 1,
        "InitiateFileTransferToGuest": 2,
        "StartProgramInGuest": 1,
        "CreateForkChild_Task": 20,
        "PowerOnVM_Task": 20,
        "RetrieveForkChildren_Task": 1,
        "Logout": 1,
    }


@pytest.mark.parametrize("inventory", ["10", "2000", "4000"])
def test_the_cost_does_not_depend_on_the_inventory(start, inventory):
    forks = start("--vms", inventory)
    forks.run(children=named("web-1"))
    ran = forks.run(children=named("web-1", "web-2"))
    assert ran.actions == {"web-1": "unchanged", "web-2": "created"}
    # Among many VMs the parent by its bare name is looked for in each folder, and so are two names
    # in a folder that is larger than a page.
    assert ran.total == (24 if inventory == "10" else 24 + 5 + 2)


def test_removing_is_two_calls_a_child_and_happens_once(forks):
    forks.run(children=named("web-1", "web-2", "web-3"))
    would = forks.run(check=True, children=_absent("web-1", "web-2"))
    assert (would.actions, would.listed) == ({"web-1": "removed", "web-2": "removed"}, ["web-1", "web-2", "web-3"])
    ran = forks.run(children=_absent("web-1", "web-2"))
    assert (ran.actions, ran.listed) == ({"web-1": "removed", "web-2": "removed"}, ["web-3"])
    assert (ran.calls["PowerOffVM_Task"], ran.calls["Destroy_Task"]) == (2, 2)
    assert ran.result["diff"]["before"] == would.result["diff"]["before"] != ""
    again = forks.run(children=_absent("web-1", "web-2"))
    assert (again.result["changed"], again.actions) == (False, {"web-1": "absent", "web-2": "absent"})


def test_a_child_whose_disks_another_vm_uses_stays(forks):
    forks.run(children=named("web-1", "web-2"))
    forks.sim.govc("snapshot.create", "-vm", "web-1", "-m=false", "mine")
    forks.sim.govc(
        "vm.clone",
        "-vm",
        "web-1",
        "-link",
        "-snapshot",
        "mine",
        "-ds",
        "LocalDS_0",
        "-pool",
        "DC0_C0/Resources",
        "-on=false",
        "leaf",
    )
    for check in (True, False):
        ran = forks.attempt(children=_absent("web-1", "web-2"), check=check)
        assert ran.actions == {"web-1": "failed", "web-2": "removed"}
        told = ran.children["web-1"]["error"]["msg"]
        assert told == "web-1 is not touched: its disks are used by leaf. Remove those first."
    assert forks.sim.vm("web-1")["power"] == "poweredOn"
    forks.sim.govc("vm.destroy", "leaf")
    assert forks.run(children=_absent("web-1")).actions == {"web-1": "removed"}


def test_a_child_that_is_gone_before_it_is_read_again_is_no_success(forks, monkeypatch):
    real = read.read_wanted

    def gone_by_then(session, refs):
        if len(refs) == 2:
            forks.sim.govc("vm.destroy", "web-2")
        return real(session, refs)

    monkeypatch.setattr(read, "read_wanted", gone_by_then)
    ran = forks.attempt(children=named("web-1", "web-2"))
    assert ran.actions == {"web-1": "created", "web-2": "failed"}
    assert ran.children["web-2"]["error"]["error_code"] == "not_found"
    assert ran.children["web-2"]["actions"] == ["created", "powered_on"]


def test_one_batch_makes_some_and_removes_others(forks):
    forks.run(children=named("old-1"))
    ran = forks.run(children=[*_absent("old-1"), *named("new-1")])
    assert (ran.actions, ran.listed) == ({"old-1": "removed", "new-1": "created"}, ["new-1"])


def test_a_child_is_powered_off_and_on_and_is_a_new_fork_then(forks):
    forks.run(children=named("web-1"))
    off = forks.run(children=named("web-1"), powered_on=False)
    assert (off.actions, off.children["web-1"]["power_state"]) == ({"web-1": "updated"}, "poweredOff")
    assert forks.run(children=named("web-1"), powered_on=False).result["changed"] is False
    on = forks.run(children=named("web-1"), wait_for_ip_address=True)
    assert (on.actions, on.children["web-1"]["power_state"]) == ({"web-1": "updated"}, "poweredOn")
    assert on.result["diff"]["after"] == "web-1:\n  power_state: poweredOn\n"


def test_a_parameter_that_changed_is_written_and_no_value_is_reported(forks):
    forks.run(children=named("web-1"))
    asked = [{"name": "web-1", "config_params": {"hostname": "web-1", "role": "hidden"}}]
    would = forks.run(check=True, children=asked)
    ran = forks.run(children=asked)
    assert ran.actions == would.actions == {"web-1": "updated"}
    assert ran.children["web-1"]["config_params"] == ["hostname", "role"]
    assert "hidden" not in str(ran.result)
    assert forks.sim.vm("web-1")["extra_config"]["guestinfo.fork.role"] == "hidden"
    assert forks.run(children=asked).result["changed"] is False


def test_made_and_left_off(forks):
    ran = forks.run(children=named("web-1"), powered_on=False)
    assert (ran.actions, ran.children["web-1"]["power_state"]) == ({"web-1": "created"}, "poweredOff")
    assert "PowerOnVM_Task" not in ran.calls
    assert forks.run(children=named("web-1"), powered_on=False).result["changed"] is False


def test_a_vm_of_somebody_else_of_the_name_is_left_alone(forks):
    forks.sim.create_vm("web-1")
    before = forks.vm("web-1")["config"]["changeVersion"]
    ran = forks.attempt(children=named("web-1", "web-2"))
    assert ran.actions == {"web-1": "failed", "web-2": "created"}
    assert ran.children["web-1"]["error"]["conflict"] is True
    gone = forks.attempt(children=_absent("web-1"))
    assert gone.children["web-1"]["error"]["conflict"] is True
    assert forks.vm("web-1")["config"]["changeVersion"] == before


def test_a_child_of_another_parent_is_a_vm_of_somebody_else(start):
    forks = start("--parents", "2")
    forks.run(children=named("web-1"))
    ran = forks.attempt(parent={"name": "golden-parent-2"}, children=_absent("web-1"))
    assert "no child of golden-parent-2" in str(ran.error)
    assert forks.sim.vm("web-1")["power"] == "poweredOn"


def test_persistent_children_want_a_snapshot_and_outlive_their_parent(start):
    forks = start()
    asked = {"children": named("db-1"), "persistent": True}
    refused = forks.attempt(**asked)
    assert (refused.code, refused.one["error"]["option"]) == ("invalid_option", "create_snapshot")
    assert refused.result["changed"] is False
    assert forks.fork_info() == {}
    ran = forks.run(create_snapshot=True, **asked)
    assert ran.one["actions"] == ["enabled", "snapshot_created", "quiesced"]
    assert forks.vm()["snapshot"]["rootSnapshotList"][0]["name"] == "vforge-fork"
    child = ran.children["db-1"]
    assert (child["persistent"], child["child_type"], child["power_state"]) == (True, "none", "poweredOn")
    again = forks.run(create_snapshot=True, **asked)
    assert (again.result["changed"], again.children["db-1"]["differences"]) == (False, [])
    # It needs the parent no more, so that one may be disabled and reset beside it.
    gone = forks.run(state="disabled", allow_reset=True)
    assert gone.one["actions"] == ["disabled", "reset"]
    assert forks.sim.vm("db-1")["power"] == "poweredOn"
    # And the parent is still known as such.
    removed = forks.run(state="disabled", children=_absent("db-1"))
    assert removed.actions == {"db-1": "removed"}


def test_a_persistent_child_of_a_parent_that_is_quiesced_already(forks):
    ran = forks.run(children=named("db-1"), persistent=True, create_snapshot=True, powered_on=False)
    assert ran.one["actions"] == ["snapshot_created"]
    assert ran.children["db-1"]["child_type"] == "persistent"
    on = forks.run(children=named("db-1"), persistent=True)
    assert (on.actions, on.children["db-1"]["child_type"]) == ({"db-1": "updated"}, "none")


def test_a_child_of_the_other_kind_is_reported_and_left(forks):
    forks.run(children=named("web-1"))
    ran = forks.run(children=named("web-1"), persistent=True)
    (difference,) = ran.children["web-1"]["differences"]
    assert (ran.result["changed"], difference["what"], difference["can_change"]) == (False, "persistent", False)


@pytest.mark.parametrize(
    ("asked", "option"),
    [
        ({"state": "enabled"}, "powered_on"),
        ({"state": "enabled", "persistent": True, "powered_on": False}, "persistent"),
        ({"resource_pool": "nowhere"}, "resource_pool"),
        ({"datastore": "nowhere"}, "datastore"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_done(start, asked, option):
    error = start().refused(children=named("web-1"), **asked)
    assert error.details["option"] == option


def test_a_folder_that_is_not_there_is_not_found(start):
    error = start().refused(children=named("web-1"), folder="DC0_FF")
    assert (error.error_code, "/DC0/vm/DC0_F0" in error.details["nearest"]) == ("not_found", True)


def test_places_are_taken(forks):
    ran = forks.run(children=named("web-1"), folder="DC0_F0", resource_pool="DC0_C0_RP1", datastore="LocalDS_1")
    child = ran.children["web-1"]
    assert child["path"] == "/DC0/vm/DC0_F0/web-1"
    assert (child["resource_pool"], "LocalDS_1" in child["datastore"]) == ("DC0_C0_RP1", True)
    again = forks.run(children=named("web-1"), folder="DC0_F0", resource_pool="DC0_C0_RP1", datastore="LocalDS_1")
    assert (again.result["changed"], again.children["web-1"]["differences"]) == (False, [])


def test_one_child_in_four_fails_and_the_next_run_makes_those(forks):
    names = [f"web-{n}" for n in range(8)]
    forks.sim.inject(method="CreateForkChild_Task", do="task-fault", fault="SystemError", every=4, times=0)
    ran = forks.attempt(children=named(*names))
    assert ran.result["counts"] == {"created": 6, "failed": 2}
    assert len(ran.listed) == 6
    failed = [name for name, action in ran.actions.items() if action == "failed"]
    assert all(ran.children[name]["error"]["error_code"] == "system_error" for name in failed)
    assert all(ran.children[name]["changed"] is False for name in failed)
    forks.sim.clear()
    again = forks.run(children=named(*names))
    assert {name for name, action in again.actions.items() if action == "created"} == set(failed)
    assert again.calls["CreateForkChild_Task"] == 2


def test_a_child_that_was_made_and_not_powered_on_is_reported_and_finished_by_the_next_run(forks):
    forks.sim.inject(method="PowerOnVM_Task", name="web-2", do="task-fault", fault="InsufficientResourcesFault")
    ran = forks.attempt(children=named("web-1", "web-2"))
    child = ran.children["web-2"]
    assert (child["action"], child["changed"], child["power_state"]) == ("failed", True, "poweredOff")
    assert child["error"]["error_code"] == "insufficient_resources_fault"
    again = forks.run(children=named("web-1", "web-2"))
    assert again.actions == {"web-1": "unchanged", "web-2": "updated"}


def test_an_answer_that_was_lost_makes_no_second_child(forks):
    forks.sim.inject(method="CreateForkChild_Task", name="web-1", do="drop-after")
    ran = forks.run(children=named("web-1"))
    assert (ran.actions, ran.listed, ran.calls["CreateForkChild_Task"]) == ({"web-1": "created"}, ["web-1"], 2)
    assert ran.children["web-1"]["power_state"] == "poweredOn"


@pytest.mark.parametrize("method", ["PowerOffVM_Task", "Destroy_Task"])
def test_an_answer_that_was_lost_while_removing_is_no_failure(forks, method):
    forks.run(children=named("web-1"))
    forks.sim.inject(method=method, name="web-1", do="drop-after")
    ran = forks.run(children=_absent("web-1"))
    assert (ran.actions, ran.listed) == ({"web-1": "removed"}, [])


def test_a_child_that_another_run_makes_meanwhile_is_known_whole(forks):
    """So the address that its guest reports is known for its own: it is that of a card of its own."""
    forks.run()
    other = Forks(forks.sim, counting=False)
    asked = {"children": named("web-1"), "wait_for_ip_address": True, "timeout": 600}
    ran = succeeded(forks.meanwhile("CreateForkChild_Task", 1, lambda: other.run(**asked), **asked))
    child, settled = ran.children["web-1"], other.run(**asked).children["web-1"]
    assert (child["action"], child["changed"], child["ip"] is not None) == ("unchanged", False, True)
    differing = {key for key in child if child[key] != settled.get(key)}
    assert differing <= {"calls", "seconds"}


@pytest.mark.parametrize(("before", "action"), [(False, "-on"), (True, "-off")])
def test_somebody_who_is_faster_at_powering_a_child_on_or_off_is_no_failure(forks, before, action):
    forks.run(children=named("web-1", powered_on=before))
    state = {"-on": "poweredOn", "-off": "poweredOff"}[action]
    method = {"-on": "PowerOnVM_Task", "-off": "PowerOffVM_Task"}[action]
    asked = {"children": named("web-1", powered_on=not before), "timeout": 600}
    ran = succeeded(forks.meanwhile(method, 1, lambda: forks.sim.govc("vm.power", action, "-force", "web-1"), **asked))
    child = ran.children["web-1"]
    assert (child["action"], child["changed"], child["power_state"]) == ("unchanged", False, state)


def test_a_child_that_is_off_after_a_refusal_to_power_it_on_has_failed(forks):
    """Of the fault that says that a VM is on already, only the state in it tells the two apart."""
    forks.run(children=named("web-1", powered_on=False))
    forks.sim.inject(method="PowerOnVM_Task", name="web-1", do="task-fault", fault="InvalidPowerState")
    child = forks.attempt(children=named("web-1")).children["web-1"]
    assert (child["action"], child["error"]["existing_state"], child["power_state"]) == ("failed", "poweredOff", "poweredOff")


@pytest.mark.parametrize("state", ["disabled", "enabled"])
def test_a_parent_is_spared_while_a_child_that_could_not_be_removed_runs_on_its_memory(forks, state):
    forks.run(children=named("web-1"))
    forks.sim.inject(method="PowerOffVM_Task", name="web-1", do="task-fault", fault="SystemError")
    ran = forks.attempt(state=state, allow_reset=True, children=_absent("web-1"))
    assert (ran.one["error"]["running"], ran.one["actions"]) == (["web-1"], [])
    assert not {"ResetVM_Task", "DisableForkParent_Task"} & set(ran.calls)
    assert (forks.quiesced(), forks.sim.vm("web-1")["power"]) == (True, "poweredOn")
    again = forks.run(state=state, allow_reset=True, children=_absent("web-1"))
    assert (again.one["state"], again.actions) == (state, {"web-1": "removed"})


def test_a_parent_is_spared_while_a_child_runs_on_its_memory_that_somebody_makes_meanwhile(forks):
    other = Forks(forks.sim, counting=False)
    make = functools.partial(other.run, state=None, children=named("web-1"))
    # The first is that of the lookup.
    ran = forks.meanwhile("RetrieveForkChildren_Task", 2, make, state="enabled", allow_reset=True)
    assert (ran.one["error"]["running"], ran.one["actions"]) == (["web-1"], [])
    assert (forks.quiesced(), forks.sim.vm("web-1")["power"]) == (True, "poweredOn")


def test_a_session_that_dies_in_the_middle_is_replaced(forks):
    told = []

    def expire(line):
        if "children made" in line and not told:
            told.append(forks.sim.expire_sessions())

    forks.tell = expire
    ran = forks.run(children=named("web-1", "web-2", "web-3"))
    assert (ran.result["counts"], ran.calls["Login"]) == ({"created": 3}, 2)


@pytest.mark.parametrize("doing", ["children made", "children powered on"])
def test_an_interrupt_leaves_an_exact_account(forks, doing):
    names = [f"web-{n}" for n in range(6)]
    forks.sim.latency(50, "CreateForkChild_Task" if doing == "children made" else "PowerOnVM_Task")

    sent = []

    def interrupt(line):
        if doing in line and not sent:
            sent.append(line)
            raise Interrupted("The run was ended by SIGINT.")

    forks.tell = interrupt
    ran = forks.attempt(children=named(*names), parallel=1)
    assert "SIGINT" in str(ran.error)
    made = {name for name, child in ran.children.items() if child["changed"]}
    assert set(ran.listed) == made != set()
    for name, child in ran.children.items():
        assert (child["action"] == "created") == (child.get("power_state") == "poweredOn"), child
        assert name not in made or forks.sim.vm(name)["power"] == child["power_state"]
    forks.sim.latency(0, "CreateForkChild_Task")
    again = forks.run(children=named(*names))
    assert sorted(again.listed) == sorted(names)
    assert {name for name, action in again.actions.items() if action == "created"} == set(names) - made


def test_a_guest_that_reports_no_address_of_its_own_is_reported(start):
    forks = start()
    asked = {"children": named("web-1"), "on_wake": ["echo woken\n"], "wait_for_ip_address": True, "timeout": 600}

    def woken():
        while not any(" ok " in str(value) for value in forks.sim.vm("web-1")["extra_config"].values()):
            pass  # it is soon

    # The fifth filter is that of the wait for what children report.
    with time_over("WaitForUpdatesEx", since=("CreateFilter", 5)):
        ran = forks.meanwhile("CreateFilter", 5, woken, **asked)
    child = ran.children["web-1"]
    assert (child["error"]["error_code"], child["changed"], child["ip"]) == ("ip_timeout", True, None)
    assert "parent's MAC" in child["error"]["msg"]


def test_without_a_state_only_children_are_worked_on(start):
    forks = start()
    first = forks.attempt(state=None, children=named("web-1"))
    assert (first.children["web-1"]["error"]["option"], forks.fork_info()) == ("state", {})
    forks.run()
    ran = forks.run(state=None, children=named("web-1"), guest_username=None, guest_password=None)
    assert (ran.actions, ran.one["changed"], ran.one["state"]) == ({"web-1": "created"}, False, "quiesced")
    gone = forks.run(state=None, children=_absent("web-1"))
    assert (gone.actions, gone.listed) == ({"web-1": "removed"}, [])
