# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Waiting for tasks and for changes."""

from __future__ import annotations

import dataclasses
import os
import signal
import time

import pytest

from ansible_collections.vforge.vsphere.plugins.module_utils._connector import tasks
from ansible_collections.vforge.vsphere.plugins.module_utils._connector.pyvmomi import vim, vmodl
from ansible_collections.vforge.vsphere.plugins.module_utils._connector.session import Session
from ansible_collections.vforge.vsphere.plugins.module_utils._errors import (
    Cancelled,
    ConnectionLost,
    Fault,
    Interrupted,
    SessionExpired,
    TaskGone,
)
from ansible_collections.vforge.vsphere.tests.unit.plugins.deadlines import time_over
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.connector.support import (
    clone,
    in_round,
    options,
    plain_vms,
    session,
)


def in_a_minute() -> float:
    return time.monotonic() + 60


def calls(sim) -> dict[str, int]:
    return sim.calls()["by_method"]


def ends_of(known, started, deadline=None):
    """How each task ended, by its place in the list; None for those that did not."""
    ends: dict[str, list[tasks.TaskEnd]] = {}
    still_open = tasks.wait_for_tasks(
        known, started, deadline or in_a_minute(), lambda moid, end: ends.setdefault(moid, []).append(end)
    )
    assert all(len(told) == 1 for told in ends.values())
    assert set(ends) | still_open == {task._GetMoId() for task in started}
    return [ends.get(task._GetMoId(), [None])[0] for task in started]


def test_many_tasks_are_waited_for_with_one_filter(make_sim):
    sim = make_sim("--vms", "30", "--parents", "0")
    with session(sim) as known:
        started = [vm.Rename_Task(f"renamed-{number}") for number, vm in enumerate(plain_vms(known))]
        sim.reset_calls()
        ends = ends_of(known, started)
        counted = calls(sim)
    assert len(ends) == 30
    assert all(end.error is None for end in ends)
    assert counted["CreateFilter"] == counted["DestroyPropertyFilter"] == 1
    assert set(counted) == {"CreateFilter", "WaitForUpdatesEx", "DestroyPropertyFilter"}


def test_a_task_ends_with_its_result_or_its_fault(make_sim):
    sim = make_sim("--vms", "0")
    with session(sim) as known:
        sim.inject(method="InstantClone_Task", do="task-fault", fault="NoDiskSpace", name="b")
        good, bad = ends_of(known, [clone(known, "a"), clone(known, "b")])
    assert isinstance(good.result, vim.VirtualMachine)
    assert good.seconds >= 0
    assert good.error is None
    assert isinstance(bad.error, Fault)
    assert bad.error.error_code == "no_disk_space"
    assert bad.result is None


def test_a_fault_that_does_not_come_with_the_end_of_its_task_is_asked_for(make_sim, monkeypatch):
    """Nowhere is it promised that changes of two properties come in one update."""
    real = tasks._updates

    def in_parts(part):
        for update in real(part):
            values = {path: value for path, value in update.values.items() if path != "info.error"}
            yield dataclasses.replace(update, values=values)

    monkeypatch.setattr(tasks, "_updates", in_parts)
    sim = make_sim("--vms", "0")
    with session(sim) as known:
        sim.inject(method="InstantClone_Task", do="task-fault", fault="NoDiskSpace", name="b")
        good, bad = ends_of(known, [clone(known, "a"), clone(known, "b")])
    assert good.error is None
    assert bad.error.error_code == "no_disk_space"


def test_nothing_is_waited_for_without_tasks(shared_sim):
    with session(shared_sim) as known:
        shared_sim.reset_calls()
        assert tasks.wait_for_tasks(known, [], in_a_minute(), pytest.fail) == set()
        assert shared_sim.calls()["total"] == 0


def test_what_vcenter_does_not_know_any_more_is_gone():
    """So the API tells of objects that are missing when a filter is made (PropertyFilterSpec)."""
    missing = vmodl.query.PropertyCollector.MissingObject(
        obj=vim.Task("task-7"), fault=vmodl.fault.ManagedObjectNotFound(obj=vim.Task("task-7"))
    )
    part = vmodl.query.PropertyCollector.FilterUpdate(missingSet=[missing])
    assert list(tasks._updates(part)) == [tasks.Update("task-7", {}, gone=True)]


@pytest.mark.parametrize("of_object", [True, False])
def test_what_is_missing_for_want_of_a_session_is_not_gone(of_object):
    """A session that has ended may show so, in place of a fault of the call."""
    collector, task, fault = vmodl.query.PropertyCollector, vim.Task("task-7"), vim.fault.NotAuthenticated()
    if of_object:
        lacking = collector.MissingProperty(path="info.state", fault=fault)
        part = collector.FilterUpdate(objectSet=[collector.ObjectUpdate(kind="enter", obj=task, missingSet=[lacking])])
    else:
        part = collector.FilterUpdate(missingSet=[collector.MissingObject(obj=task, fault=fault)])
    with pytest.raises(SessionExpired):
        list(tasks._updates(part))


@pytest.mark.parametrize(
    ("info", "gone", "error"),
    [
        ({}, True, TaskGone),
        ({"info.state": "running"}, True, TaskGone),
        ({"info.state": "error", "info.error": vim.fault.NoDiskSpace()}, True, Fault),
        ({"info.state": "error", "info.error": vmodl.fault.RequestCanceled()}, False, Cancelled),
        ({"info.state": "error"}, False, Fault),
        ({"info.state": "success"}, True, None),
    ],
)
def test_a_task_that_vcenter_has_forgotten_has_ended(info, gone, error):
    end = tasks._task_end("task-7", info, gone)
    assert isinstance(end.error, error or type(None))


@pytest.mark.parametrize("info", [{}, {"info.state": "queued"}, {"info.state": "running"}])
def test_a_task_that_is_under_way_has_not_ended(info):
    assert tasks._task_end("task-7", info, gone=False) is None


def test_the_deadline_ends_the_wait_and_leaves_no_filter(make_sim):
    sim = make_sim("--vms", "0", "--clone-time", "1h")
    with session(sim) as known:
        begun = time.monotonic()
        assert ends_of(known, [clone(known, "a")], begun + 1) == [None]
        assert time.monotonic() >= begun + 0.75
        counted = calls(sim)
    assert counted["CreateFilter"] == counted["DestroyPropertyFilter"] == 1


def test_a_queued_task_can_be_cancelled_and_a_running_one_cannot(make_sim):
    sim = make_sim("--vms", "0", "--clone-time", "1h")
    with session(sim) as known:
        running, queued = clone(known, "a"), clone(known, "b")
        _wait_until_running(known, running)
        assert tasks.cancel(known, running._GetMoId()) is False
        assert tasks.cancel(known, queued._GetMoId()) is True
        (end,) = ends_of(known, [queued])
    assert isinstance(end.error, Cancelled)


def _wait_until_running(known, task):
    waiting = tasks.updates(known, [task], vim.Task, ["info.state"], in_a_minute())
    for batch in waiting:
        if any(update.values.get("info.state") == "running" for update in batch):
            waiting.close()
            return
    pytest.fail("the task did not begin")


def test_an_object_that_is_removed_is_reported(make_sim):
    sim = make_sim("--vms", "0", "--parents", "0")
    moids = [sim.create_vm(name, on=False)["moid"] for name in ("kept", "doomed")]
    with session(sim) as known:
        kept, doomed = (known.reference(vim.VirtualMachine, moid) for moid in moids)
        waiting = tasks.updates(known, [kept, doomed], vim.VirtualMachine, ["name"], in_a_minute())
        assert {update.moid for update in next(waiting)} == set(moids)
        doomed.UnregisterVM()
        gone = [update for update in next(waiting) if update.gone]
        assert [update.moid for update in gone] == [doomed._GetMoId()]
        waiting.close()
    assert calls(sim)["CreateFilter"] == calls(sim)["DestroyPropertyFilter"] == 1


def test_a_wait_within_a_wait_takes_nothing_from_it(make_sim):
    sim = make_sim("--vms", "2", "--parents", "0")
    with session(sim) as known:
        first, second = plain_vms(known)
        waiting = tasks.updates(known, [first], vim.VirtualMachine, ["name"], in_a_minute())
        assert [update.moid for update in next(waiting)] == [first._GetMoId()]
        (end,) = ends_of(known, [first.Rename_Task("renamed")])
        assert end.error is None
        assert next(waiting) == [tasks.Update(first._GetMoId(), {"name": "renamed"})]
        waiting.close()
        # One after the other they share one.
        ends_of(known, [second.Rename_Task("renamed-too")])
    assert calls(sim)["CreatePropertyCollector"] == 2
    assert calls(sim)["CreateFilter"] == calls(sim)["DestroyPropertyFilter"] == 3


@pytest.mark.parametrize("do", ["drop", "drop-after"])
def test_a_round_whose_answer_was_lost_is_asked_again(make_sim, do):
    sim = make_sim("--vms", "0")
    with session(sim) as known:
        started = clone(known, "a")
        sim.inject(method="WaitForUpdatesEx", do=do)
        (end,) = ends_of(known, [started])
    assert isinstance(end.result, vim.VirtualMachine)


def test_a_session_that_dies_while_tasks_are_waited_for_is_replaced(make_sim):
    sim = make_sim("--vms", "0")
    with session(sim) as known:
        started = [clone(known, name) for name in "abc"]
        sim.inject(method="WaitForUpdatesEx", do="fault", fault="NotAuthenticated", nth=2)
        ends = ends_of(known, started)
    assert all(isinstance(end.result, vim.VirtualMachine) for end in ends)
    assert calls(sim)["Login"] == 2


def test_a_session_that_is_closed_in_mid_round_is_replaced(make_sim):
    """The round ends as cancelled then (API reference, WaitForUpdatesEx), which no task was."""
    sim = make_sim("--vms", "0", "--clone-time", "1s")
    with session(sim) as known:
        started = [clone(known, name) for name in "abc"]
        in_round(sim, known, 2, sim.expire_sessions)
        ends = ends_of(known, started)
    assert all(isinstance(end.result, vim.VirtualMachine) for end in ends)
    assert calls(sim)["Login"] == 2


def test_a_round_that_somebody_cancels_is_begun_again_on_another_collector(make_sim):
    sim = make_sim("--vms", "0")
    with session(sim) as known:
        started = clone(known, "a")
        sim.inject(method="WaitForUpdatesEx", do="fault", fault="RequestCanceled", nth=2)
        (end,) = ends_of(known, [started])
    assert isinstance(end.result, vim.VirtualMachine)
    assert (calls(sim)["Login"], calls(sim)["CreatePropertyCollector"]) == (1, 2)


def test_a_server_that_is_lost_is_not_asked_to_tidy_up(make_sim):
    sim = make_sim("--vms", "0", "--clone-time", "1h")
    with session(sim) as known:
        started = clone(known, "a")
        sim.inject(method="WaitForUpdatesEx", do="drop", times=0)
        with pytest.raises(ConnectionLost):
            ends_of(known, [started])
        assert "DestroyPropertyFilter" not in calls(sim)


def test_a_round_is_shorter_than_a_request_may_take(make_sim):
    """With the shortest time-out a round must not be held back at all, or each would end in it."""
    sim = make_sim("--vms", "0", "--clone-time", "1500ms")
    with session(sim) as known:
        known.limit.per_call = 1.0
        (end,) = ends_of(known, [clone(known, "a")])
    assert isinstance(end.result, vim.VirtualMachine)


@pytest.fixture
def interruptible():
    """SIGALRM raises Interrupted, as the signals that end a module do."""

    def interrupt(_number, _frame):
        raise Interrupted("The run was ended by a test.")

    before = signal.signal(signal.SIGALRM, interrupt)
    yield
    signal.signal(signal.SIGALRM, before)


@pytest.mark.usefixtures("interruptible")
def test_after_an_interrupt_in_mid_round_the_session_is_as_good_as_before(make_sim):
    sim = make_sim("--vms", "0", "--parents", "2", "--clone-time", "1h")
    with session(sim) as known:
        started = clone(known, "a")
        in_round(sim, known, 2, lambda: os.kill(os.getpid(), signal.SIGALRM))
        with pytest.raises(Interrupted):
            ends_of(known, [started])
        # The round that vCenter is still busy with went with its collector.
        assert calls(sim)["CreatePropertyCollector"] == calls(sim)["DestroyPropertyCollector"] == 1
        assert ends_of(known, [started], time.monotonic() + 1) == [None]
    assert calls(sim)["CreatePropertyCollector"] == 2


def _power_states(known, count):
    """A wait for VMs that are off, and the state of each VM that it saw with each update."""
    refs, states = plain_vms(known)[:count], []

    def is_off(update: tasks.Update) -> bool:
        states.append((update.moid, dict(update.state)))
        return update.gone or str(update.state["runtime.powerState"]) == "poweredOff"

    def wait(deadline=None, **more):
        paths = ["name", "runtime.powerState"]
        return tasks.wait_until(known, refs, vim.VirtualMachine, paths, deadline or in_a_minute(), is_off, **more)

    return refs, states, wait


def test_a_wait_ends_when_it_holds_for_all_and_knows_what_did_not_change(make_sim):
    sim = make_sim("--vms", "2", "--parents", "0")
    with session(sim) as known:
        refs, states, wait = _power_states(known, 2)
        off = [ref for ref in refs if str(ref.runtime.powerState) == "poweredOff"]
        ends_of(known, [ref.PowerOnVM_Task() for ref in off])
        rounds = []

        def power_off_one_after_the_other(left, _changed):
            rounds.append(len(left))
            if left:
                known.reference(vim.VirtualMachine, min(left)).PowerOffVM_Task()

        sim.reset_calls()
        assert wait(after_round=power_off_one_after_the_other) == set()
        counted = calls(sim)
    assert rounds[0] == 2
    assert rounds[-1] == 0
    assert counted["CreateFilter"] == counted["DestroyPropertyFilter"] == 1
    # An update has only what changed; the state has the name, too.
    assert {state["name"] for _moid, state in states} == {"server-00001", "server-00002"}
    last = dict(states)
    assert {str(last[ref._GetMoId()]["runtime.powerState"]) for ref in refs} == {"poweredOff"}


def test_a_vm_for_which_it_holds_already_is_asked_about_no_more(make_sim):
    sim = make_sim("--vms", "1", "--parents", "0")
    with session(sim) as known:
        refs, states, wait = _power_states(known, 1)
        ends_of(known, [refs[0].PowerOffVM_Task()])
        assert wait() == set()
        assert len(states) == 1


def test_what_a_round_takes_off_is_waited_for_no_more(shared_sim):
    with session(shared_sim) as known:
        refs, _states, wait = _power_states(known, 2)
        gone_on = refs[0]._GetMoId()
        assert wait(after_round=lambda left, _changed: left.clear()) == set()
        with time_over("WaitForUpdatesEx"):
            assert wait(after_round=lambda left, _changed: left.discard(gone_on)) == {refs[1]._GetMoId()}


def test_without_objects_nothing_is_waited_for(shared_sim):
    with session(shared_sim) as known:
        shared_sim.reset_calls()
        assert tasks.wait_until(known, [], vim.VirtualMachine, ["name"], in_a_minute(), pytest.fail) == set()
        assert calls(shared_sim) == {}


@pytest.mark.parametrize("op", ["remove", "indirectRemove", "assign"])
def test_what_became_unset_is_reported_as_unset_however_vcenter_says_it(op):
    change = vmodl.query.PropertyCollector.Change(name="guest.net", op=op, val=None)
    vm = vmodl.query.PropertyCollector.ObjectUpdate(kind="modify", obj=vim.VirtualMachine("vm-1", None), changeSet=[change])
    (update,) = tasks._updates(vmodl.query.PropertyCollector.FilterUpdate(objectSet=[vm]))
    assert update.values == {"guest.net": None}


def test_a_wait_that_is_cancelled_fifty_times_is_given_up(make_sim):
    sim = make_sim("--vms", "0", "--parents", "0")
    with session(sim) as known:
        sim.inject(method="WaitForUpdatesEx", do="fault", fault="RequestCanceled", times=0)
        with pytest.raises(Cancelled):
            next(tasks.updates(known, [known.content.rootFolder], vim.Folder, ["name"], in_a_minute()))
        sim.clear()
        assert calls(sim)["WaitForUpdatesEx"] == 50


@pytest.mark.parametrize(
    ("fault", "warns"), [("ManagedObjectNotFound", False), ("NotAuthenticated", False), ("InvalidState", True)]
)
def test_a_filter_that_cannot_be_removed_is_warned_of_unless_it_is_gone(make_sim, fault, warns):
    sim, warned = make_sim("--vms", "0", "--parents", "0"), []
    with Session(options(sim), warned.append) as known:
        sim.inject(method="DestroyPropertyFilter", do="fault", fault=fault)
        waiting = tasks.updates(known, [known.content.rootFolder], vim.Folder, ["name"], in_a_minute())
        next(waiting)
        waiting.close()
    assert [each.startswith("A filter could not be removed: ") for each in warned] == [True] * warns
