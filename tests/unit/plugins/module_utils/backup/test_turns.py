# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whose turn it is: each VM once, never more on a host or a datastore than may be, and nobody waits without need."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vforge.vsphere.plugins.module_utils._backup import task
from ansible_collections.vforge.vsphere.plugins.module_utils._backup.lanes import Turn, Turns
from ansible_collections.vforge.vsphere.plugins.module_utils._backup.options import BackupOptions
from ansible_collections.vforge.vsphere.plugins.module_utils._connector.pyvmomi import vim
from ansible_collections.vforge.vsphere.plugins.module_utils._errors import InvalidOption
from ansible_collections.vforge.vsphere.plugins.modules.vm_backup import argument_spec
from ansible_collections.vforge.vsphere.tests.unit.plugins.accepted import accepted
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.backup.running import tasks
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.cbt.running import finished

MIB = 1 << 20
_NAMES = ("host 1", "host 2", "datastore 1", "datastore 2")


def drained(turns, workers):
    """Take all turns in threads; returns what was done, and the most that ever used each name."""
    lock, using, most, done = threading.Lock(), collections.Counter(), collections.Counter(), []

    def work():
        while True:
            with turns.next() as turn:
                if turn is None:
                    return
                for moves in (False, True):
                    if moves:
                        turn.each.uses = turn.each.later
                        turn.look_again()
                    uses = set(turn.each.uses)
                    with lock:
                        using.update(uses)
                        most.update({name: max(0, using[name] - most[name]) for name in uses})
                    with lock:
                        using.subtract(uses)
                with lock:
                    done.append(turn.each.number)

    with ThreadPoolExecutor(workers) as pool:
        for worker in [pool.submit(work) for _worker in range(workers)]:
            worker.result()
    return done, most


@dataclasses.dataclass
class Moving:
    """What uses something, and something else once it was read again."""

    number: int
    uses: list[str]
    later: list[str]


_USES = st.lists(st.sampled_from(_NAMES), max_size=3)


@given(
    st.lists(st.tuples(_USES, _USES), max_size=30),
    st.fixed_dictionaries({name: st.integers(0, 3) for name in _NAMES}),
    st.integers(1, 6),
)
def test_each_has_its_turn_once_and_nothing_is_used_by_more_than_there_is_room_for(all_uses, room, workers):
    due = [Moving(number, *uses) for number, uses in enumerate(all_uses)]
    turns = Turns(due, lambda each: each.uses, room.__getitem__, threading.Event())
    done, most = drained(turns, workers)
    assert sorted(done) == list(range(len(due)))
    assert turns.left == 0
    assert all(most[name] <= room[name] for name in _NAMES if room[name])


def test_nobody_waits_for_a_slow_one_on_another_host():
    turns = Turns(["a1", "a2", "b1", "b2"], lambda name: [name[0]], lambda _name: 1, threading.Event())
    with turns.next() as slow:
        taken = []
        for _turn in range(2):
            with turns.next() as turn:
                taken.append(turn.each)
    with turns.next() as last:
        assert (slow.each, taken, last.each) == ("a1", ["b1", "b2"], "a2")


def test_one_that_has_moved_waits_for_those_of_its_new_host_and_nobody_is_begun_there_before():
    moved, there, later = (Moving(number, [host], [host]) for number, host in enumerate("aba"))
    later.uses = ["b"]
    turns = Turns([moved, there, later], lambda each: each.uses, lambda _name: 1, threading.Event())
    with ThreadPoolExecutor(1) as pool, contextlib.ExitStack() as first, contextlib.ExitStack() as second:
        turn = first.enter_context(turns.next())
        assert second.enter_context(turns.next()).each is there
        moved.uses = ["b"]
        waiting = pool.submit(turn.look_again)
        with turns._changed:
            turns._changed.wait_for(lambda: turns._awaited["b"], 300)
        second.close()
        waiting.result(300)
        assert (turns._used["a"], turns._used["b"], turns.left) == (0, 1, 1)
    with turns.next() as last:
        assert last.each is later


def test_one_that_has_moved_waits_no_longer_than_the_task():
    ended = threading.Event()
    due = [Moving(number, [host], [host]) for number, host in enumerate("ab")]
    turns = Turns(due, lambda each: each.uses, lambda _name: 1, ended)
    with ThreadPoolExecutor(1) as pool, contextlib.ExitStack() as other:
        turn = other.enter_context(turns.next())
        with turns.next() as moved:
            moved.each.uses = ["a"]
            waiting = pool.submit(moved.look_again)
            with turns._changed:
                turns._changed.wait_for(lambda: turns._awaited["a"], 300)
            ended.set()
            other.close()
            waiting.result(300)
    assert (turn.each, turns._used["a"] + turns._used["b"]) == (due[0], 0)


def test_when_the_task_ends_those_who_wait_get_nothing():
    ended = threading.Event()
    turns = Turns([1, 2], lambda _each: ["host"], lambda _name: 1, ended)
    with ThreadPoolExecutor(1) as pool, contextlib.ExitStack() as turn:
        assert turn.enter_context(turns.next()).each == 1
        waiting = pool.submit(lambda: turn_of(turns))
        ended.set()
        turn.close()
        assert waiting.result(300) is None
    assert turns.left == 1


def turn_of(turns):
    with turns.next() as turn:
        return turn


@pytest.mark.parametrize("option", ["per_host", "per_datastore"])
@pytest.mark.parametrize("number", [-1, 65])
def test_a_limit_that_cannot_be_is_refused(option, number):
    with pytest.raises(InvalidOption, match=f"The option {option} is {number}"):
        BackupOptions.from_params(accepted(argument_spec(), {"vm": {"name": "a"}, "repository": "/x", option: number}))


@pytest.mark.parametrize(("limit", "at_once"), [("per_host", 2), ("per_datastore", 2), ("streams", 4)])
def test_vms_that_share_a_host_or_a_datastore_are_backed_up_one_after_the_other(
    make_sim, tmp_path, monkeypatch, limit, at_once
):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    # So many have to be in the middle of it at the same time, or none goes on.
    together, inside, most = threading.Barrier(at_once), collections.Counter(), collections.Counter()
    lock, copy_vm = threading.Lock(), task._copy_vm

    def counted(job, item):
        place = item.vm.name[-1]
        with lock:
            inside[place] += 1
            most[place] = max(most[place], inside[place])
        together.wait(300)
        copy_vm(job, item)
        with lock:
            inside[place] -= 1

    monkeypatch.setattr(task, "_copy_vm", counted)
    with tasks(make_sim("--vms", "0"), tmp_path) as known:
        names = [f"turn-{number}-{number % 2}" for number in range(4)]
        for number, name in enumerate(names):
            place = {"host": f"DC0_C0_H{number % 2}", "datastore": f"LocalDS_{number % 2}"}
            known.sim.create_vm(name, on=False, disks=[{"bytes": MIB}], **place)
        known.run(vms=[{"name": name} for name in names], parallel=4, transport="export", **{limit: 1})
    assert set(most.values()) == {1 if at_once == 2 else 2}


def test_a_vm_that_was_moved_before_its_turn_counts_on_the_host_where_it_is(make_sim, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    there, arrives = threading.Event(), threading.Event()
    read_again, look_again, copy_vm = task._read_again, Turn.look_again, task._copy_vm

    def read_moved(job, item):
        if item.vm.name == "turn-0":
            assert there.wait(300)  # the other VM is read by now
            vm = known.vm("turn-0")
            other = known.vm("turn-1").runtime.host
            finished(vm.RelocateVM_Task(vim.vm.RelocateSpec(host=other)))
        read_again(job, item)

    def look(turn):
        if turn.each.vm.name == "turn-0":
            arrives.set()
        look_again(turn)

    def copy(job, item):
        if item.vm.name == "turn-1":
            there.set()
            assert arrives.wait(300)
        else:
            arrives.set()
        copy_vm(job, item)

    monkeypatch.setattr(task, "_read_again", read_moved)
    monkeypatch.setattr(Turn, "look_again", look)
    monkeypatch.setattr(task, "_copy_vm", copy)
    with tasks(make_sim("--vms", "0"), tmp_path) as known:
        for number in range(2):
            known.sim.create_vm(f"turn-{number}", on=False, disks=[{"bytes": MIB}], host=f"DC0_C0_H{number}")
        begun = []
        monkeypatch.setattr(task, "with_snapshots", recorded(task.with_snapshots, begun))
        known.run(vms=[{"name": "turn-0"}, {"name": "turn-1"}], parallel=2, transport="export", per_host=1)
    assert begun == ["turn-1 begins", "turn-1 ends", "turn-0 begins", "turn-0 ends"]


def recorded(real, seen):
    """The same, noting when each VM has a snapshot."""

    def noted(task, items, *args, **kwargs):
        seen.append(f"{items[0].vm.name} begins")
        real(task, items, *args, **kwargs)
        seen.append(f"{items[0].vm.name} ends")

    return noted
