# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Threads that wait for tasks of their own do it on one filter at a time."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from ansible_collections.vforge.vsphere.plugins.module_utils._connector import tasks
from ansible_collections.vforge.vsphere.plugins.module_utils._connector.find import Selector, find_vm
from ansible_collections.vforge.vsphere.plugins.module_utils._connector.pyvmomi import vim
from ansible_collections.vforge.vsphere.plugins.module_utils._errors import Fault
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.connector.support import session

_COUNT = 8


@pytest.fixture(params=["200ms"])
def many(make_sim, request):
    """A session whose threads wait together, and the VMs that they work on."""
    sim = make_sim("--vms", str(_COUNT), "--snapshot-time", request.param)
    with session(sim) as opened:
        opened.together = tasks.Together()
        yield sim, opened, [find_vm(opened, Selector(name=f"server-{number:05}")) for number in range(1, _COUNT + 1)]


def snapshot(opened, vm, seconds=300.0):
    """Make a snapshot and wait for it; returns its end, or None where it is late."""
    ends = {}
    task = vm.CreateSnapshot_Task("one", "", False, False)
    late = tasks.wait_for_tasks(opened, [task], time.monotonic() + seconds, ends.__setitem__)
    assert late == set() or ends == {}
    return ends.get(task._GetMoId())


def test_each_gets_the_end_of_its_own_task(many):
    sim, opened, vms = many
    sim.reset_calls()
    sim.inject(method="CreateSnapshot_Task", name="server-00003", do="task-fault", fault="SystemError")
    with ThreadPoolExecutor(_COUNT) as pool:
        ends = list(pool.map(lambda vm: snapshot(opened, vm), vms))
    failed = [end.error for end in ends if end.error is not None]
    assert [ends.index(end) for end in ends if end.error is not None] == [2]
    assert isinstance(failed[0], Fault)
    made = [end.result._GetMoId() for end in ends if end.error is None]
    assert len(set(made)) == _COUNT - 1
    calls = sim.calls()["by_method"]
    assert calls["CreateFilter"] == calls["DestroyPropertyFilter"] <= _COUNT
    # By themselves, each would need two rounds at least, of which there are four a second.
    assert calls["WaitForUpdatesEx"] < 2 * _COUNT


@pytest.mark.parametrize("many", ["1500ms"], indirect=True)
def test_who_is_late_goes_and_the_others_wait_on(many):
    _sim, opened, vms = many
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(snapshot, opened, vms[0], 0.3)
        other = pool.submit(snapshot, opened, vms[1])
        assert other.result(300).error is None
        assert first.result(300) is None


def test_who_has_what_it_waited_for_goes_while_the_task_of_another_runs(make_sim):
    sim = make_sim("--vms", str(_COUNT), "--snapshot-time", "1500ms", "--reconfigure-time", "10m")
    gone = threading.Event()
    with session(sim) as opened, ThreadPoolExecutor(_COUNT) as pool:
        opened.together = tasks.Together()
        vms = [find_vm(opened, Selector(name=f"server-{number:05}")) for number in range(1, _COUNT + 1)]
        long = vms[0].ReconfigVM_Task(vim.vm.ConfigSpec(annotation="long"))
        late = pool.submit(tasks.wait_for_tasks, opened, [long], time.monotonic() + 300, lambda *_end: None, gone.is_set)
        ends = list(pool.map(lambda vm: snapshot(opened, vm), vms[1:-1]))
        assert all(end.error is None for end in ends)
        assert not late.done()
        gone.set()
        # What another begins ends the round that it waits in.
        assert snapshot(opened, vms[-1]).error is None
        assert late.result(300) == {long._GetMoId()}


def test_one_that_fails_to_wait_leaves_it_to_another(many):
    sim, opened, vms = many
    sim.inject(method="WaitForUpdatesEx", do="fault", fault="SystemError")
    with ThreadPoolExecutor(2) as pool:
        waits = [pool.submit(snapshot, opened, vm) for vm in vms[:2]]
        errors = [wait.exception(300) for wait in waits]
    assert sorted(isinstance(error, Fault) for error in errors) == [False, True]
