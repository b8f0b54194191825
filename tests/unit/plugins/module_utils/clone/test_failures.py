# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What goes wrong: in vCenter, on the way to it, and with other runs. What was made stays known, and nothing is made twice."""

from __future__ import annotations

import concurrent.futures
import functools

import pytest

from ansible_collections.vforge.vsphere.plugins.module_utils._clone import task as cloning
from ansible_collections.vforge.vsphere.plugins.module_utils._connector import batch
from ansible_collections.vforge.vsphere.plugins.module_utils._connector import tasks as tasks_of_vcenter
from ansible_collections.vforge.vsphere.plugins.module_utils._errors import Fault, Interrupted
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.clone.running import Tasks

_TEN = [{"name": f"web-{number}"} for number in range(10)]


def _clones_made(tasks):
    return [name for name in tasks.names() if name.startswith("web-")]


def test_what_failed_is_listed_what_succeeded_stays_and_the_next_run_makes_the_rest(start):
    tasks = start()
    tasks.sim.inject(method="InstantClone_Task", every=5, times=0, do="task-fault", fault="SystemError", message="No luck.")
    ran = tasks.attempt(clones=_TEN)
    assert ran.result["counts"] == {"created": 8, "failed": 2}
    assert ran.result["changed"] is True
    failed = [clone for clone in ran.result["clones"] if clone["action"] == "failed"]
    for clone in failed:
        assert clone["error"]["error_code"] == "system_error"
        assert clone["error"]["fault"] == "SystemError"
        assert "No luck." in str(clone["error"])
    assert sorted(item["name"] for item in ran.result["failures"]) == sorted(clone["name"] for clone in failed)
    assert "2 of 10 clones failed" in ran.error.message
    assert "run again to make only what is missing" in ran.error.message
    made = {name: clone["moid"] for name, clone in ran.clones.items() if clone["action"] == "created"}
    assert _clones_made(tasks) == sorted(made)
    tasks.sim.clear()
    again = tasks.run(clones=_TEN)
    assert again.result["counts"] == {"created": 2, "unchanged": 8}
    assert again.called("InstantClone_Task") == 2
    assert {name: again.clones[name]["moid"] for name in made} == made
    assert len(_clones_made(tasks)) == 10


@pytest.fixture
def no_results(monkeypatch):
    """vCenter returns nothing with the end of a task."""
    real = tasks_of_vcenter._task_end

    def end(moid, info, gone):
        return real(moid, {**info, "info.result": None}, gone)

    monkeypatch.setattr(tasks_of_vcenter, "_task_end", end)


@pytest.mark.usefixtures("no_results")
def test_clones_that_did_not_come_with_the_ends_of_their_tasks_are_read_together(start, monkeypatch):
    tasks, real, reads = start(), batch.read, []

    def read(session, refs, *more):
        reads.append(len(refs))
        return real(session, refs, *more)

    monkeypatch.setattr(batch, "read", read)
    ran = tasks.run(clones=_TEN)
    assert ran.result["counts"] == {"created": 10}
    assert all(clone["moid"] for clone in ran.clones.values())
    assert reads == [10]


@pytest.mark.usefixtures("no_results")
def test_a_clone_that_vcenter_does_not_return_fails_alone_and_is_found_by_the_next_run(start, monkeypatch):
    tasks, real = start(), batch.read
    monkeypatch.setattr(batch, "read", lambda session, refs, *more: real(session, refs[1:], *more))
    ran = tasks.attempt(clones=_TEN[:3])
    assert ran.result["counts"] == {"created": 2, "failed": 1}
    assert [item["error_code"] for item in ran.result["failures"]] == ["task_gone"]
    assert tasks.run(clones=_TEN[:3]).result["counts"] == {"unchanged": 3}


@pytest.mark.usefixtures("no_results")
def test_a_check_that_returned_nothing_at_first_is_read(start):
    tasks = start()
    tasks.sim.patch_vm("golden-parent", passthrough=True)
    ran = tasks.attempt(check=True, clones=_TEN[:2])
    assert ran.result["counts"] == {"failed": 2}


@pytest.mark.usefixtures("no_results")
def test_a_check_without_a_result_is_not_taken_for_a_yes_in_silence(start, monkeypatch):
    tasks = start()
    monkeypatch.setattr(batch, "read", lambda *_args: {})
    ran = tasks.run(check=True, clones=_TEN)
    assert ran.clones["web-0"]["warnings"] == ["vCenter was asked whether web-0 can be made, and returned no answer."]
    assert len(tasks.warnings) == 1
    assert tasks.warnings[0].endswith("The same of 10 in all (web-0, web-1, web-2, web-3, web-4 and 5 more).")


@pytest.mark.usefixtures("no_results")
def test_checks_whose_results_cannot_be_read_are_warned_of_once_a_task(start, monkeypatch):
    def refused(*_args):
        raise Fault("NoPermission", "no_permission", "the privilege System.Read is missing")

    tasks = start()
    monkeypatch.setattr(batch, "read", refused)
    ran = tasks.run(check=True, clones=_TEN)
    assert ran.result["counts"] == {"created": 10}
    assert [text.partition(" for ")[0] for text in tasks.warnings][:1] == ["The results of the tasks"]
    assert len(tasks.warnings) == 2


@pytest.mark.parametrize(("do", "where"), [("fault", "call"), ("task-fault", "task")])
@pytest.mark.parametrize(
    "fault",
    [
        "InsufficientResourcesFault",
        "NoDiskSpace",
        "InvalidState",
        "InvalidPowerState",
        "ManagedObjectNotFound",
        "DisallowedMigrationDeviceAttached",
    ],
)
def test_a_fault_of_the_call_or_of_its_task_is_reported_by_its_name(start, do, where, fault):
    tasks = start()
    tasks.sim.inject(method="InstantClone_Task", name="web-2", do=do, fault=fault)
    ran = tasks.attempt(clones=_TEN[:4])
    assert ran.actions == {"web-0": "created", "web-1": "created", "web-2": "failed", "web-3": "created"}, where
    assert ran.clones["web-2"]["error"]["fault"] == fault
    assert _clones_made(tasks) == ["web-0", "web-1", "web-3"]


@pytest.mark.parametrize("do", ["drop", "drop-after"])
@pytest.mark.parametrize("nth", [1, 4])
def test_a_connection_that_breaks_once_costs_nothing_and_makes_nothing_twice(start, do, nth):
    tasks = start()
    tasks.sim.inject(method="InstantClone_Task", nth=nth, do=do)
    ran = tasks.run(clones=_TEN)
    assert set(ran.actions.values()) == {"created"}
    assert _clones_made(tasks) == sorted(ran.actions)
    assert {clone["moid"] for clone in ran.result["clones"]} == {tasks.sim.vm(name)["moid"] for name in ran.actions}
    assert ran.result["changed"] is True
    assert all(clone["nics"] and clone["host"] for clone in ran.result["clones"])


def test_a_connection_that_breaks_for_one_clone_each_time_fails_that_one(start):
    tasks = start()
    tasks.sim.inject(method="InstantClone_Task", name="web-3", times=0, do="drop")
    ran = tasks.attempt(clones=_TEN)
    assert ran.result["counts"] == {"created": 9, "failed": 1}
    assert ran.clones["web-3"]["error"]["error_code"] == "connection_lost"
    tasks.sim.clear()
    assert tasks.run(clones=_TEN).result["counts"] == {"created": 1, "unchanged": 9}


@pytest.mark.parametrize("method", ["RetrievePropertiesEx", "WaitForUpdatesEx", "CreateFilter", "FindByInventoryPath"])
@pytest.mark.parametrize("nth", [1, 2])
def test_a_read_whose_connection_breaks_is_sent_again(start, method, nth):
    tasks = start("--guest-time", "500ms")
    tasks.sim.inject(method=method, nth=nth, do="drop")
    ran = tasks.run(clones=_TEN[:2], datacenter="DC0", folder="DC0_F0", wait_for_ip_address=True)
    assert ran.result["counts"] == {"created": 2}


def test_a_session_that_dies_in_mid_batch_is_replaced(start):
    tasks = start(cache=True)
    tasks.sim.inject(method="InstantClone_Task", nth=3, times=2, do="fault", fault="NotAuthenticated")
    ran = tasks.run(clones=_TEN)
    assert ran.result["counts"] == {"created": 10}
    assert len(_clones_made(tasks)) == 10


def test_two_runs_at_once_make_each_clone_once(start):
    tasks = start("--clone-time", "100ms")
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        runs = [pool.submit(tasks.attempt, clones=_TEN) for _run in range(2)]
        first, second = (run.result() for run in runs)
    assert first.error is second.error is None
    created = [name for ran in (first, second) for name, action in ran.actions.items() if action == "created"]
    assert sorted(created) == sorted(clone["name"] for clone in _TEN)
    assert len(_clones_made(tasks)) == 10
    for name, clone in first.clones.items():
        assert clone["moid"] == second.clones[name]["moid"]
    unchanged = next(clone for ran in (first, second) for clone in ran.result["clones"] if clone["action"] == "unchanged")
    assert unchanged["changed"] is False


def test_a_name_that_a_vm_of_somebody_else_takes_meanwhile_is_a_failure(start):
    """The lookup finds the name free; when the clone is made it is not."""
    tasks = start()
    tasks.sim.create_vm("web-1", folder="/DC0/vm/DC0_F0")
    taken = functools.partial(tasks.sim.create_vm, "web-1", folder="/DC0/vm")
    ran = tasks.meanwhile("InstantClone_Task", 3, taken, about="web-1", clones=_TEN[:3])
    assert ran.actions == {"web-0": "created", "web-1": "failed", "web-2": "created"}
    assert ran.clones["web-1"]["error"]["error_code"] == "duplicate_name"


def test_rollback_removes_what_this_task_made_and_nothing_else(start):
    tasks = start()
    tasks.run(clones=_TEN[:3])
    tasks.sim.create_vm("web-x", folder="/DC0/vm")
    tasks.sim.inject(method="InstantClone_Task", name="web-7", do="task-fault", fault="NoDiskSpace")
    ran = tasks.attempt(clones=_TEN, on_error="rollback")
    assert ran.result["counts"] == {"unchanged": 3, "rolled_back": 6, "failed": 1}
    assert ran.result["changed"] is False
    assert _clones_made(tasks) == ["web-0", "web-1", "web-2", "web-x"]
    assert "What this task had made was removed again." in ran.error.message
    assert [item["name"] for item in ran.result["failures"]] == ["web-7"]


def test_rollback_leaves_the_clone_of_another_run_whose_name_a_call_that_was_sent_twice_found_taken(start):
    """The first call was lost before it was done, and the other run was faster than the second."""
    tasks = start()
    other = Tasks(tasks.sim, counting=False)
    tasks.sim.inject(method="InstantClone_Task", nth=1, do="drop")
    tasks.sim.inject(method="InstantClone_Task", name="web-1", times=0, do="task-fault", fault="SystemError")
    asked = {"clones": _TEN[:2], "parallel": 1, "on_error": "rollback"}
    ran = tasks.meanwhile("InstantClone_Task", 2, lambda: other.run(name="web-0"), **asked)
    assert ran.actions == {"web-0": "unchanged", "web-1": "failed"}
    assert _clones_made(tasks) == ["web-0"]


@pytest.mark.parametrize("do", ["drop", "drop-after"])
def test_rollback_removes_what_a_call_that_was_sent_twice_has_made(start, do):
    tasks = start()
    tasks.sim.inject(method="InstantClone_Task", nth=1, do=do)
    tasks.sim.inject(method="InstantClone_Task", name="web-1", times=0, do="task-fault", fault="SystemError")
    ran = tasks.attempt(clones=_TEN[:2], parallel=1, on_error="rollback")
    assert ran.actions == {"web-0": "rolled_back", "web-1": "failed"}
    assert _clones_made(tasks) == []


# vCenter removes what a task that ends in error has made, except in a small window at its end.


def test_a_clone_that_is_there_although_its_task_failed_is_listed_and_found_by_the_next_run(start):
    tasks = start()
    tasks.sim.inject(method="InstantClone_Task", name="web-1", do="task-fault-after", fault="SystemError")
    tasks.sim.inject(method="InstantClone_Task", name="web-2", do="task-fault", fault="SystemError")
    ran = tasks.attempt(clones=_TEN[:3])
    assert ran.actions == {"web-0": "created", "web-1": "failed", "web-2": "failed"}
    assert ran.clones["web-1"]["moid"] == tasks.sim.vm("web-1")["moid"]
    assert ran.clones["web-2"]["moid"] is None
    tasks.sim.clear()
    assert tasks.run(clones=_TEN[:3]).actions == {"web-0": "unchanged", "web-1": "unchanged", "web-2": "created"}


@pytest.mark.parametrize("fault", ["SystemError", "InvalidState"])
def test_rollback_removes_a_clone_whose_task_failed_when_it_had_made_it(start, fault):
    tasks = start()
    tasks.sim.inject(method="InstantClone_Task", name="web-1", do="task-fault-after", fault=fault)
    ran = tasks.attempt(clones=_TEN[:3], on_error="rollback")
    assert ran.result["counts"] == {"rolled_back": 3}
    assert [item["name"] for item in ran.result["failures"]] == ["web-1"]
    assert ran.result["changed"] is False
    assert _clones_made(tasks) == []


def test_rollback_waits_for_clones_that_vcenter_is_still_making(start, monkeypatch):
    monkeypatch.setattr(batch, "_GRACE_SECONDS", 0.1)
    tasks = start("--clone-time", "2s")
    ran = tasks.late("WaitForUpdatesEx", saying="success", clones=_TEN[:4], parallel=2, on_error="rollback")
    assert "still_running" in {item["error_code"] for item in ran.result["failures"]}
    assert "What this task had made was removed again." in ran.error.message
    assert _clones_made(tasks) == []


def test_a_signal_while_clones_are_looked_for_does_not_keep_the_others_from_being_rolled_back(start, monkeypatch):
    def stopped(*_args):
        raise Interrupted("It was stopped.")

    monkeypatch.setattr(cloning, "read_names", stopped)
    tasks = start()
    tasks.sim.inject(method="InstantClone_Task", name="web-1", do="task-fault", fault="SystemError")
    ran = tasks.attempt(clones=_TEN[:3], on_error="rollback")
    assert ran.actions == {"web-0": "rolled_back", "web-1": "failed", "web-2": "rolled_back"}
    assert "It was stopped." in ran.error.message
    assert _clones_made(tasks) == []


def test_rollback_names_what_vcenter_may_still_make(start, monkeypatch):
    monkeypatch.setattr(batch, "_GRACE_SECONDS", 0.1)
    monkeypatch.setattr(cloning, "_MADE_SECONDS", 0.1)
    tasks = start("--clone-time", "4s")
    ran = tasks.late("WaitForUpdatesEx", saying="running", clones=_TEN[:1], on_error="rollback")
    assert ran.actions == {"web-0": "failed"}
    assert "vCenter may still make web-0." in ran.error.message


@pytest.mark.parametrize("fault", ["FileAlreadyExists", "InvalidState"])
def test_the_loser_of_a_race_takes_the_clone_of_the_winner_whatever_it_is_refused_with(start, fault):
    tasks = start()
    other = Tasks(tasks.sim, counting=False)

    def overtake():
        other.run(name="web-1")
        tasks.sim.inject(method="InstantClone_Task", name="web-1", do="task-fault", fault=fault)

    ran = tasks.meanwhile("InstantClone_Task", 1, overtake, clones=_TEN[:2], parallel=1, on_error="rollback")
    assert ran.actions == {"web-0": "created", "web-1": "unchanged"}
    assert ran.error is None
    assert _clones_made(tasks) == ["web-0", "web-1"]


def test_a_fault_of_the_state_is_none_of_a_race_where_nothing_has_the_name(start):
    tasks = start()
    tasks.sim.inject(method="InstantClone_Task", name="web-1", do="task-fault", fault="InvalidState")
    ran = tasks.attempt(clones=_TEN[:2])
    assert ran.actions == {"web-0": "created", "web-1": "failed"}
    assert ran.clones["web-1"]["error"]["error_code"] == "invalid_state"


def test_that_it_cannot_be_seen_whether_a_clone_is_there_is_warned_of(start):
    tasks = start()
    tasks.sim.inject(method="InstantClone_Task", name="web-1", do="task-fault", fault="SystemError")
    tasks.sim.inject(method="FindChild", nth=2, times=0, do="fault", fault="InvalidState")
    ran = tasks.attempt(name="web-1")
    assert ran.clones["web-1"]["error"]["error_code"] == "system_error"
    assert any("could not be looked up: web-1" in warning for warning in tasks.warnings)


def test_rollback_after_a_time_out_for_an_address(start):
    tasks = start()
    tasks.sim.patch_vm("golden-parent", guest={"hang": True})
    since = ("CreateFilter", 2)
    ran = tasks.late("WaitForUpdatesEx", since=since, clones=_TEN[:2], wait_for_ip_address=True, on_error="rollback")
    assert _clones_made(tasks) == []
    assert ran.actions == {"web-0": "rolled_back", "web-1": "rolled_back"}
    assert {item["error_code"] for item in ran.result["failures"]} == {"ip_timeout"}


def test_a_rollback_that_fails_says_what_is_left(start):
    tasks = start()
    tasks.sim.inject(method="InstantClone_Task", name="web-1", do="task-fault", fault="NoDiskSpace")
    tasks.sim.inject(method="Destroy_Task", do="task-fault", fault="InvalidState")
    ran = tasks.attempt(clones=_TEN[:2], on_error="rollback")
    assert "could be removed again: web-0" in ran.error.message
    assert "web-0 could not be rolled back" in ran.clones["web-0"]["warnings"][0]
    assert _clones_made(tasks) == ["web-0"]


def test_with_rollback_a_conflict_is_refused_before_anything_is_made(start):
    tasks = start()
    tasks.sim.create_vm("web-1", folder="/DC0/vm")
    error = tasks.refused(clones=_TEN, on_error="rollback")
    assert "Nothing was made, since on_error is rollback." in error.hint
    assert error.details["conflicts"] == ["web-1"]


def test_with_rollback_and_no_failure_everything_stays(start):
    tasks = start()
    assert tasks.run(clones=_TEN[:2], on_error="rollback").result["counts"] == {"created": 2}


def test_the_deadline_ends_the_task_with_an_exact_account(start):
    tasks = start("--clone-time", "2s")
    ran = tasks.late("WaitForUpdatesEx", saying="success", clones=_TEN, parallel=2)
    assert ran.error.as_result()["error_code"] == "partial_failure"
    assert "The time allowed for the batch is over." in ran.error.message
    created = sorted(name for name, action in ran.actions.items() if action == "created")
    assert len(created) < 10
    assert _clones_made(tasks) == created
    for clone in ran.result["failures"]:
        assert clone["error_code"] in ("cancelled", "not_attempted", "still_running")
        assert clone["name"] in clone["msg"] or clone["error_code"] == "cancelled"
    again = tasks.run(clones=_TEN)
    assert again.result["counts"] == {"created": 10 - len(created), "unchanged": len(created)}


def test_an_update_that_fails_leaves_the_clone_as_it_is(start):
    tasks = start()
    tasks.run(clones=_TEN[:2])
    tasks.sim.inject(method="ReconfigVM_Task", name="web-1", do="task-fault", fault="InvalidState")
    ran = tasks.attempt(clones=_TEN[:2], guestinfo={"a": "1"})
    assert ran.actions == {"web-0": "updated", "web-1": "failed"}
    assert ran.clones["web-1"]["moid"] == tasks.sim.vm("web-1")["moid"]
    assert tasks.run(clones=_TEN[:2], guestinfo={"a": "1"}).actions == {"web-0": "unchanged", "web-1": "updated"}
