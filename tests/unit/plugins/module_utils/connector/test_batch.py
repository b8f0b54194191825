# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Many operations at once: what fails, what is lost, what is interrupted, and the account of it."""

from __future__ import annotations

import concurrent.futures
import os
import signal
import threading
import time

import pytest

from ansible_collections.vforge.vsphere.plugins.module_utils import _signals
from ansible_collections.vforge.vsphere.plugins.module_utils._connector import batch as batches
from ansible_collections.vforge.vsphere.plugins.module_utils._connector.batch import Work, run_batch, vm_made
from ansible_collections.vforge.vsphere.plugins.module_utils._connector.pyvmomi import vim
from ansible_collections.vforge.vsphere.plugins.module_utils._connector.session import Session
from ansible_collections.vforge.vsphere.plugins.module_utils._errors import (
    CallTimedOut,
    Cancelled,
    ConnectionFailed,
    ConnectionLost,
    Fault,
    Interrupted,
    NotAttempted,
    StillRunning,
    TaskGone,
    TimedOut,
)
from ansible_collections.vforge.vsphere.tests.unit.plugins.deadlines import time_over
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.connector.support import (
    clone,
    impatient,
    in_round,
    options,
    session,
)

EMPTY = ("--vms", "0")


def in_a_minute() -> float:
    return time.monotonic() + 60


def clones(known, names, repeatable=True) -> list[Work]:
    return [Work(name, lambda name=name: clone(known, name), repeatable=repeatable) for name in names]


def errors(result) -> dict[str, type]:
    return {name: type(outcome.error) for name, outcome in result.outcomes.items()}


def calls(sim) -> dict[str, int]:
    return sim.calls()["by_method"]


@pytest.fixture
def short_grace(monkeypatch):
    """How long what is under way is waited for after the end, when it takes an hour anyway."""
    monkeypatch.setattr(batches, "_GRACE_SECONDS", 0.5)
    monkeypatch.setattr(batches, "_FAREWELL_SECONDS", 0.5)


@pytest.fixture
def interruptible():
    """A function that sends this process the signal that ends a module."""
    with _signals.as_interrupts():
        yield lambda: os.kill(os.getpid(), signal.SIGTERM)


# All goes well


def test_every_item_is_made_with_one_wait_for_all(make_sim):
    sim = make_sim(*EMPTY)
    names = [f"web-{number}" for number in range(20)]
    told: list[str] = []
    with Session(options(sim), pytest.fail, told.append) as known:
        sim.reset_calls()
        result = run_batch(known, clones(known, names), 8, in_a_minute(), "clones made")
        counted = calls(sim)
    assert list(result.outcomes) == names
    assert result.stopped is None
    assert result.failed == []
    assert all(isinstance(outcome.result, vim.VirtualMachine) for outcome in result.outcomes.values())
    assert counted["InstantClone_Task"] == 20
    assert counted["CreateFilter"] == counted["DestroyPropertyFilter"] == 1
    assert told[-1] == "20 of 20 clones made"


def test_a_vm_that_did_not_come_with_the_end_of_its_task_is_read(make_sim):
    sim = make_sim(*EMPTY)
    with session(sim) as known:
        outcome = run_batch(known, clones(known, ["web-1"]), 1, in_a_minute()).outcomes["web-1"]
        moid = outcome.result._GetMoId()
        sim.reset_calls()
        assert vm_made(known, outcome) == moid
        assert sim.calls()["total"] == 0
        outcome.result = None
        assert vm_made(known, outcome) == moid
        assert sim.calls()["total"] == 1
    assert outcome.error is None


def test_how_long_a_task_took_is_read_with_its_result_where_its_end_did_not_say(make_sim):
    sim = make_sim(*EMPTY)
    with session(sim) as known:
        outcomes = run_batch(known, clones(known, ["a", "b"]), 2, in_a_minute()).outcomes
        a, b = outcomes["a"], outcomes["b"]
        took = a.seconds
        assert took is not None
        a.result = b.result = a.seconds = None
        b.seconds = 7.5
        sim.reset_calls()
        batches.fill_in_results(known, outcomes.values())
        assert sim.calls()["total"] == 1
    assert (a.seconds, b.seconds) == (took, 7.5)


def test_results_that_cannot_be_read_are_warned_of_and_not_asked_for_again(make_sim):
    sim, warned = make_sim(*EMPTY), []
    with Session(options(sim), warned.append) as known:
        outcomes = run_batch(known, clones(known, "abcdefg"), 8, in_a_minute()).outcomes
        for outcome in outcomes.values():
            outcome.result = None
        sim.inject(method="RetrievePropertiesEx", do="fault", fault="InvalidState", times=0)
        batches.fill_in_results(known, outcomes.values())
        sim.clear()
        sim.reset_calls()
        batches.fill_in_results(known, outcomes.values())
        assert sim.calls()["total"] == 0
        assert vm_made(known, outcomes["a"]) == ""
    (warning,) = warned
    assert warning.startswith("The results of the tasks for a, b, c, d, e and 2 more could not be read: ")


def test_a_task_that_returns_no_vm_is_an_error_of_its_item(make_sim):
    sim = make_sim("--vms", "1")
    with session(sim) as known:
        (folder,) = [entity.vmFolder for entity in known.content.rootFolder.childEntity]
        works = [Work("renamed", lambda: folder.childEntity[0].Rename_Task("another"))]
        outcome = run_batch(known, works, 1, in_a_minute()).outcomes["renamed"]
        assert outcome.error is None
        assert vm_made(known, outcome) == ""
        assert isinstance(outcome.error, TaskGone)
        # What failed says why already.
        sim.reset_calls()
        assert vm_made(known, outcome) == ""
        assert sim.calls()["total"] == 0


def test_calls_that_make_no_task_are_done_when_they_return(shared_sim):
    with session(shared_sim) as known:
        works = [Work(str(number), lambda: None) for number in range(3)]
        result = run_batch(known, works, 2, in_a_minute())
    assert result.failed == []
    assert result.stopped is None


def test_a_batch_of_nothing_is_done(shared_sim):
    with session(shared_sim) as known:
        shared_sim.reset_calls()
        result = run_batch(known, [], 8, in_a_minute())
        assert shared_sim.calls()["total"] == 0
    assert result.outcomes == {}
    assert result.stopped is None


def test_no_more_calls_are_made_at_once_than_is_asked(shared_sim):
    at_once, most, lock = 0, 0, threading.Lock()

    def start():
        nonlocal at_once, most
        with lock:
            at_once += 1
            most = max(most, at_once)
        known.content.searchIndex.FindByInventoryPath("DC0")
        with lock:
            at_once -= 1

    with session(shared_sim) as known:
        run_batch(known, [Work(str(number), start) for number in range(40)], 3, in_a_minute())
    assert 1 <= most <= 3


# Some fail


def test_what_fails_is_reported_and_what_does_not_is_made(make_sim):
    sim = make_sim(*EMPTY)
    with session(sim) as known:
        sim.inject(method="InstantClone_Task", do="task-fault", fault="NoDiskSpace", name="b")
        sim.inject(method="InstantClone_Task", do="fault", fault="InvalidState", name="d")
        result = run_batch(known, clones(known, "abcde"), 2, in_a_minute())
    assert errors(result) == {"a": type(None), "b": Fault, "c": type(None), "d": Fault, "e": type(None)}
    assert result.outcomes["b"].error.error_code == "no_disk_space"
    assert result.outcomes["d"].error.error_code == "invalid_state"
    assert [outcome.name for outcome in result.failed] == ["b", "d"]
    assert result.stopped is None


# Answers are lost


def test_a_call_that_was_lost_before_it_was_made_is_made_again(make_sim):
    sim = make_sim(*EMPTY)
    with session(sim) as known:
        sim.inject(method="InstantClone_Task", do="drop", name="b")
        result = run_batch(known, clones(known, "abc"), 1, in_a_minute())
    assert result.failed == []
    assert {name: outcome.repeated for name, outcome in result.outcomes.items()} == {"a": False, "b": True, "c": False}


def test_a_call_whose_answer_was_lost_finds_the_name_taken_by_what_it_made(make_sim):
    sim = make_sim(*EMPTY)
    with session(sim) as known:
        sim.inject(method="InstantClone_Task", do="drop-after", name="b")
        result = run_batch(known, clones(known, "abc"), 1, in_a_minute())
    outcome = result.outcomes["b"]
    assert outcome.repeated
    assert outcome.error.fault == "DuplicateName"
    assert outcome.error.holder == sim.vm("b")["moid"]
    assert result.failed == [outcome]


@pytest.mark.parametrize("do", ["drop", "drop-after"])
def test_a_call_that_must_not_be_repeated_is_not(make_sim, do):
    sim = make_sim(*EMPTY)
    with session(sim) as known:
        sim.inject(method="InstantClone_Task", do=do, name="b")
        result = run_batch(known, clones(known, "abc", repeatable=False), 1, in_a_minute())
    assert errors(result) == {"a": type(None), "b": ConnectionLost, "c": type(None)}
    assert not result.outcomes["b"].repeated
    assert calls(sim)["InstantClone_Task"] == 3
    assert result.stopped is None


def test_broken_connections_with_answers_in_between_do_not_end_a_batch(make_sim):
    sim = make_sim(*EMPTY)
    with session(sim) as known:
        sim.inject(method="InstantClone_Task", do="drop", nth=2, every=2, times=0)
        result = run_batch(known, clones(known, "abcdefgh", repeatable=False), 1, in_a_minute())
    assert list(errors(result).values()) == [type(None), ConnectionLost] * 4
    assert result.stopped is None


# Somebody else works on the object


def test_an_object_that_another_task_works_on_is_waited_for(make_sim):
    sim = make_sim("--vms", "1", "--clone-time", "4s")
    with session(sim) as known, concurrent.futures.ThreadPoolExecutor(1) as pool:
        making = pool.submit(linked_clone, sim, "a")
        coming = when_seen(known, "a")
        sim.reset_calls()
        works = [Work("a", coming.PowerOnVM_Task), Work("other", lambda: None)]
        result = run_batch(known, works, 2, in_a_minute())
        making.result()
    outcome = result.outcomes["a"]
    assert (result.failed, result.stopped) == ([], None)
    assert (outcome.calls, outcome.refused, outcome.repeated) == (2, 1, False)
    assert calls(sim)["PowerOnVM_Task"] == 2
    assert sim.vm("a")["power"] == "poweredOn"


def test_who_is_refused_again_and_again_learns_why_at_the_deadline(make_sim):
    sim = make_sim("--vms", "1", "--clone-time", "1h")
    with session(sim) as known, concurrent.futures.ThreadPoolExecutor(1) as pool:
        making = pool.submit(linked_clone, sim, "a")
        coming = when_seen(known, "a")
        with time_over("PowerOnVM_Task"):
            result = run_batch(known, [Work("a", coming.PowerOnVM_Task)], 2, in_a_minute())
        sim.request("POST", "/sessions/expire", {"as": "fault"})
        assert making.exception() is not None
    assert result.outcomes["a"].error.error_code == "task_in_progress"


def linked_clone(sim, name):
    place = ("-pool", "/DC0/host/DC0_C0/Resources", "-ds", "LocalDS_0", "-folder", "/DC0/vm")
    sim.govc("vm.clone", "-vm", "golden-parent", "-on=false", *place, name)


def when_seen(known, name):
    """A VM, as soon as it is seen by its name."""
    while True:
        found = known.content.searchIndex.FindByInventoryPath(f"DC0/vm/{name}")
        if found is not None:
            return found


# The session dies


def test_a_session_that_dies_in_mid_batch_is_replaced_unnoticed(make_sim):
    sim = make_sim(*EMPTY)
    died = threading.Event()

    def start(name):
        if name == "5" and not died.is_set():
            died.set()
            sim.expire_sessions()
        return clone(known, name)

    with session(sim) as known:
        works = [Work(str(number), lambda name=str(number): start(name)) for number in range(12)]
        result = run_batch(known, works, 4, in_a_minute())
    assert result.failed == []
    assert calls(sim)["Login"] == 2


# The server dies


def test_a_server_that_dies_in_mid_batch_is_not_asked_for_every_item(make_sim):
    sim = make_sim(*EMPTY)
    asked: list[str] = []

    def start(name):
        asked.append(name)
        if name == "2":
            sim.stop()
        return clone(known, name)

    warnings: list[str] = []
    with Session(options(sim), warnings.append) as known:
        works = [Work(str(number), lambda name=str(number): start(name), repeatable=True) for number in range(50)]
        result = run_batch(known, works, 1, in_a_minute())
    assert isinstance(result.stopped, ConnectionFailed)
    assert asked[-1] != "49"
    assert len(set(asked)) <= 2 + batches._LOST_CALLS_MEAN_GONE
    # Those that were begun may have been made; of the others it is certain that they were not.
    assert set(errors(result).values()) == {StillRunning, ConnectionFailed, NotAttempted}
    assert errors(result)["0"] is StillRunning
    assert errors(result)["49"] is NotAttempted


@pytest.mark.parametrize("how", ["silence", "freeze"])
def test_a_server_that_stops_answering_is_not_waited_for_with_every_item(make_sim, how):
    sim = make_sim(*EMPTY)
    warnings: list[str] = []
    with Session(options(sim), warnings.append) as known:
        known.limit.per_call = 1.0
        works = [
            Work(str(number), lambda: known.content.searchIndex.FindByInventoryPath("DC0"), repeatable=True)
            for number in range(50)
        ]
        sim.inject(method="FindByInventoryPath", do=how)
        result = run_batch(known, works, 1, in_a_minute())
        told = errors(result)
    # One call was waited for, and then it was found out that the server is gone. It is not asked to close the session either.
    assert isinstance(result.stopped, CallTimedOut)
    assert list(told.values()) == [CallTimedOut] + 49 * [NotAttempted]
    assert known.stats.summary()["by_method"]["FindByInventoryPath"] == 1
    assert "Logout" not in known.stats.summary()["by_method"]


def test_late_answers_of_a_server_that_is_there_do_not_end_a_batch(make_sim):
    sim = make_sim(*EMPTY)
    with session(sim) as known:
        sim.inject(method="InstantClone_Task", do="delay", times=4)
        impatient(known, "InstantClone_Task", 1, 2, 3, 4)
        result = run_batch(known, clones(known, "abcdefgh", repeatable=False), 1, in_a_minute())
    assert list(errors(result).values()) == 4 * [CallTimedOut] + 4 * [type(None)]
    assert result.stopped is None
    assert calls(sim)["InstantClone_Task"] == 8  # none was sent again


def test_a_late_answer_to_a_call_that_may_be_repeated_is_asked_for_again(make_sim):
    sim = make_sim(*EMPTY)
    with session(sim) as known:
        sim.inject(method="InstantClone_Task", name="b", do="half", delay_ms=600_000)
        impatient(known, "InstantClone_Task", 2)
        result = run_batch(known, clones(known, "abc"), 1, in_a_minute())
    assert result.outcomes["b"].repeated
    assert result.outcomes["b"].error.holder == sim.vm("b")["moid"]
    assert result.failed == [result.outcomes["b"]]


def test_a_vcenter_that_restarts_in_mid_batch_is_waited_for(make_sim):
    sim = make_sim(*EMPTY)
    with session(sim) as known:
        sim.inject(method="InstantClone_Task", name="c", do="restart", delay_ms=2000)
        result = run_batch(known, clones(known, "abcd"), 1, in_a_minute())
    assert result.failed == []
    assert result.stopped is None
    assert calls(sim)["Login"] == 2


# The time is over


def test_after_the_deadline_nothing_is_begun(make_sim):
    sim = make_sim(*EMPTY)
    with session(sim) as known:
        sim.reset_calls()
        result = run_batch(known, clones(known, "abc"), 2, time.monotonic())
        assert sim.calls()["total"] == 0
    assert set(errors(result).values()) == {NotAttempted}
    assert isinstance(result.stopped, TimedOut)


@pytest.mark.usefixtures("short_grace")
def test_at_the_deadline_what_waits_is_cancelled_and_what_runs_is_reported(make_sim):
    sim = make_sim(*EMPTY, "--clone-time", "1h")
    with session(sim) as known, time_over("WaitForUpdatesEx", saying="running"):
        result = run_batch(known, clones(known, "abc"), 1, in_a_minute())
    assert errors(result) == {"a": StillRunning, "b": Cancelled, "c": Cancelled}
    assert isinstance(result.stopped, TimedOut)
    assert result.outcomes["a"].error.details["task"].startswith("task-")
    assert "task-" in str(result.outcomes["a"].error)


def test_what_ends_within_the_grace_is_reported_as_it_ended(make_sim):
    sim = make_sim(*EMPTY, "--clone-time", "3s")
    with session(sim) as known, time_over("WaitForUpdatesEx", saying="running"):
        result = run_batch(known, clones(known, "ab"), 1, in_a_minute())
    assert errors(result) == {"a": type(None), "b": Cancelled}
    assert isinstance(result.outcomes["a"].result, vim.VirtualMachine)
    assert isinstance(result.stopped, TimedOut)


@pytest.mark.parametrize("fault", ["", "NoDiskSpace"])
def test_a_batch_of_which_nothing_is_missing_is_late_and_no_failure(make_sim, fault):
    sim = make_sim(*EMPTY, "--clone-time", "3s")
    warned: list[str] = []
    with Session(options(sim), warned.append) as known:
        if fault:
            sim.inject(method="InstantClone_Task", do="task-fault", fault=fault, name="a")
        with time_over("WaitForUpdatesEx", saying="running"):
            result = run_batch(known, clones(known, "a"), 1, in_a_minute())
    assert result.stopped is None
    assert [outcome.error.fault for outcome in result.failed] == ([fault] if fault else [])
    (warning,) = warned
    assert "has ended too" in warning
    assert "Raise timeout" in warning


# Interrupts


@pytest.mark.usefixtures("short_grace")
def test_an_interrupt_while_tasks_are_waited_for(make_sim, interruptible):
    sim = make_sim(*EMPTY, "--clone-time", "1h")
    with session(sim) as known:
        in_round(sim, known, 2, interruptible)
        result = run_batch(known, clones(known, "abc"), 1, in_a_minute())
    assert isinstance(result.stopped, Interrupted)
    assert errors(result) == {"a": StillRunning, "b": Cancelled, "c": Cancelled}


@pytest.mark.usefixtures("short_grace")
def test_an_interrupt_while_calls_are_made(make_sim, interruptible):
    """What was sent is accounted for, what was not is known not to be begun, and no call begins any more."""
    sim = make_sim(*EMPTY, "--clone-time", "1h")
    begun: list[str] = []

    def start(name):
        begun.append(name)
        if len(begun) == 3:
            interruptible()
            interrupted.wait(60)  # until the main thread has seen it
        return clone(known, name)

    interrupted = threading.Event()
    with session(sim) as known:
        original = concurrent.futures.ThreadPoolExecutor.shutdown

        def shutdown(pool, **how):
            interrupted.set()
            original(pool, **how)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(concurrent.futures.ThreadPoolExecutor, "shutdown", shutdown)
            works = [Work(str(number), lambda name=str(number): start(name)) for number in range(50)]
            result = run_batch(known, works, 1, in_a_minute())
    assert isinstance(result.stopped, Interrupted)
    told = errors(result)
    assert begun == ["0", "1", "2"]
    assert [told[name] for name in begun] == [StillRunning, Cancelled, NotAttempted]
    assert {told[str(number)] for number in range(3, 50)} == {NotAttempted}
    assert calls(sim)["InstantClone_Task"] == 2


@pytest.mark.usefixtures("short_grace")
def test_an_interrupt_breaks_off_a_call_that_is_not_answered(make_sim, interruptible):
    sim = make_sim(*EMPTY)
    with session(sim) as known:
        sim.inject(method="InstantClone_Task", do="delay", times=0)
        sim.reset_calls()
        begun = time.monotonic()
        threading.Thread(target=lambda: sim.called("InstantClone_Task", 2, within=120) and interruptible()).start()
        result = run_batch(known, clones(known, "abc"), 2, in_a_minute())
    assert isinstance(result.stopped, Interrupted)
    # Of the two that were sent it is not known whether they were made.
    assert errors(result) == {"a": ConnectionLost, "b": ConnectionLost, "c": NotAttempted}
    assert time.monotonic() - begun < 20


def test_what_a_thread_could_not_do_is_not_tried_again_as_long_as_no_call_is_allowed(shared_sim):
    """A batch of another thread may end meanwhile: it would try for ever, and the run would never end."""
    tried: list[str] = []

    def end_lease():
        try:
            known.current_time()
            tried.append("done")
        except NotAttempted:
            tried.append("refused")
            if len(tried) < 100:  # that is, for ever
                known.owed.append(end_lease)

    with session(shared_sim) as known:
        with known.stub.connections.halted(lambda: None):
            known.owed.append(end_lease)
            with concurrent.futures.ThreadPoolExecutor(1) as pool:
                pool.submit(run_batch, known, [], 1, in_a_minute()).result()
            assert tried == []
        run_batch(known, [], 1, in_a_minute())
    assert (tried, known.owed) == (["done"], [])


def test_an_interrupt_between_two_ends_falsifies_neither(make_sim, interruptible):
    sim = make_sim(*EMPTY)
    told: list[str] = []

    def tell(text):
        if text.endswith(" done"):
            told.append(text)
        if len(told) == 1:
            interruptible()

    with Session(options(sim), pytest.fail, tell) as known:
        result = run_batch(known, clones(known, "abcd"), 1, in_a_minute())
    assert isinstance(result.stopped, Interrupted)
    for outcome in result.outcomes.values():
        # Made, or cancelled before it began: never "succeeded" without a result.
        assert isinstance(outcome.result, vim.VirtualMachine) == (outcome.error is None)
        assert outcome.error is None or isinstance(outcome.error, Cancelled)
    made = [outcome for outcome in result.outcomes.values() if outcome.error is None]
    assert len(made) >= 1


def test_progress_is_reported_from_the_first_call_that_is_sent(make_sim):
    told: list[str] = []
    with Session(options(make_sim(*EMPTY)), pytest.fail, told.append) as known:
        run_batch(known, clones(known, "abc"), 1, in_a_minute(), "clones made")
        assert told[:3] == [f"{number} of 3 calls sent to vCenter" for number in (1, 2, 3)]
        assert told[3:] == [f"{number} of 3 clones made" for number in (1, 2, 3)]
        del told[:]
        run_batch(known, clones(known, "d"), 1, in_a_minute(), "clones made")
        assert told == ["waiting for d"]
