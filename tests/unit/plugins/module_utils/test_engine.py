# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The engine that all tasks run on: stages, accounts, waits and what a failure says."""

from __future__ import annotations

import dataclasses
import threading
import time
import types

import pytest

from ansible_collections.vforge.vsphere.plugins.module_utils._connector.batch import Outcome
from ansible_collections.vforge.vsphere.plugins.module_utils._connector.find import Selector, find_vms, selectors
from ansible_collections.vforge.vsphere.plugins.module_utils._connector.pyvmomi import vim
from ansible_collections.vforge.vsphere.plugins.module_utils._engine import (
    Difference,
    Item,
    ItemOfVm,
    Missing,
    Part,
    Task,
    changes,
    diff,
    note_failure,
    reasons,
    warnings_of,
)
from ansible_collections.vforge.vsphere.plugins.module_utils._errors import (
    ConnectionLost,
    Fault,
    InvalidOption,
    NotAttempted,
    NotFound,
    PartialFailure,
    StillRunning,
    TimedOut,
)
from ansible_collections.vforge.vsphere.tests.unit.plugins.deadlines import time_over
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.connector.support import session

OFF, ON = "power_off", "power_on"
NAMES = ("server-00001", "server-00003", "server-00005")


@dataclasses.dataclass(kw_only=True)
class Machine(Item):
    moid: str
    called: str

    @property
    def title(self) -> str:
        return self.called


@pytest.fixture
def known(make_sim):
    """A session with six VMs; the three that are named run."""
    with session(make_sim("--vms", "6")) as opened:
        yield opened


def machines(known, *steps):
    refs = find_vms(known, selectors({"parents": [{"name": name} for name in NAMES]}), None)
    pairs = zip(refs, NAMES, strict=True)
    return [Machine(moid=ref._GetMoId(), called=name, steps=steps) for ref, name in pairs]


def task(known, items, **given):
    return Task(known, items, "VMs", **{"deadline": time.monotonic() + 60, "parallel": 8, **given})


def power_off(known):
    return lambda item: known.reference(vim.VirtualMachine, item.moid).PowerOffVM_Task()


def power_on(known):
    return lambda item: known.reference(vim.VirtualMachine, item.moid).PowerOnVM_Task()


def named(name, error):
    item = Machine(moid="", called=name)
    item.fail(error)
    return item


# Stages


def test_a_stage_is_done_for_what_is_due_and_for_nothing_else(known):
    items = machines(known, OFF)
    items[1].fail(InvalidOption("It is refused."))
    items[2].steps = ()
    work = task(known, items)
    work.stage(OFF, power_off(known), "VMs powered off")
    assert [item.done for item in items] == [[OFF], [], []]
    assert [item.calls for item in items] == [1, 0, 0]
    assert items[0].seconds is not None
    assert items[1].seconds is None


def test_stages_follow_each_other_and_an_item_that_fails_stops_no_other(known):
    items = machines(known, OFF, ON)
    items[2].moid = "vm-none"
    work = task(known, items)
    with work.accounted():
        work.stage(OFF, power_off(known), "VMs powered off")
        work.stage(ON, power_on(known), "VMs powered on")
    assert [item.done for item in items] == [[OFF, ON], [OFF, ON], []]
    assert isinstance(items[2].error, Fault)
    assert work.stopped is None


def test_a_part_of_a_step_is_an_action_until_the_step_is_carried_out(known):
    items = machines(known, OFF)
    work = task(known, items)
    work.call(items, power_off(known), "VMs powered off", note_failure, part=Part(OFF, "powered_off"))
    assert [item.actions({OFF: "off"}) for item in items] == [["powered_off"]] * 3
    assert all(item.changed for item in items)
    items[1].done.append(OFF)
    assert items[1].actions({OFF: "off"}) == ["off"]


def test_what_is_still_under_way_at_the_end_was_started(known):
    (item,) = machines(known, OFF)[:1]
    late = Outcome(item.title, error=StillRunning("It goes on.", task="task-1"))
    work = task(known, [item])
    work.call = lambda due, _start, _doing, note, **_more: [note(each, late) for each in due]
    work.stage(OFF, power_off(known), "VMs powered off")
    assert (item.actions({OFF: "off"}), item.changed, item.done) == (["started"], True, [])


def test_a_failure_of_the_only_item_has_its_code_and_one_of_many_has_not(known):
    refused = InvalidOption("It is refused.")
    for others, code in (([], "invalid_option"), ([Machine(moid="", called="web-2")], "partial_failure")):
        with pytest.raises(PartialFailure) as caught:
            task(known, [named("web-1", refused), *others]).finish({})
        assert caught.value.error_code == code


def test_reasons_that_differ_in_more_than_the_name_are_all_listed():
    one = named("web-1", NotFound("No VM web-1.", hint="Nearest names: web-11.", nearest=["web-11"]))
    other = named("db-1", NotFound("No VM db-1.", hint="Nearest names: db-2.", nearest=["db-2"]))
    assert len(reasons([one, other])) == 2


def test_what_is_done_already_is_done_where_the_domain_says_so(known):
    items = machines(known, ON)
    work = task(known, items)
    work.stage(ON, power_on(known), "VMs powered on", done_already="InvalidPowerState")
    assert [item.done for item in items] == [[ON]] * 3

    again = machines(known, ON)
    task(known, again).stage(ON, power_on(known), "VMs powered on")
    assert {item.error.fault for item in again} == {"InvalidPowerState"}


def test_a_power_operation_is_done_already_by_the_state_that_it_brings_about_alone(make_sim):
    sim = make_sim("--vms", "6")
    sim.govc("vm.power", "-suspend", NAMES[0])
    sim.govc("vm.power", "-off", NAMES[1])
    with session(sim) as known:
        items = machines(known, OFF)
        task(known, items).stage(OFF, power_off(known), "VMs powered off", power_state="poweredOff")
    assert [item.done for item in items] == [[], [OFF], [OFF]]
    assert items[0].error.details["existing_state"] == "suspended"


def test_what_a_step_makes_of_its_item_is_noted_once(known):
    items, seen = machines(known, OFF), []
    task(known, items).stage(OFF, power_off(known), "off", then=lambda item, _end: seen.append(item.title))
    assert sorted(seen) == list(NAMES)


def test_a_call_that_is_no_step_notes_only_what_failed(known):
    items = machines(known)
    work = task(known, items)
    work.call(items[:1], power_on(known), "VMs powered on", note_failure)
    work.call(items, power_off(known), "VMs powered off", note_failure)
    assert isinstance(items[0].error, Fault)
    assert [item.error for item in items[1:]] == [None, None]
    assert [(item.done, item.calls) for item in items] == [([], 2), ([], 1), ([], 1)]


def test_one_call_for_one_item_raises_why_it_failed_and_leaves_the_item_as_it_is(known):
    there, gone = machines(known, OFF)[:2]
    gone.moid = "vm-none"
    work = task(known, [there, gone])
    work.call_one(there, lambda: power_off(known)(there), "VMs powered off")
    with pytest.raises(Fault) as caught:
        work.call_one(gone, lambda: power_off(known)(gone), "VMs powered off")
    assert caught.value.fault == "ManagedObjectNotFound"
    assert (there.calls, gone.error, there.done, gone.done) == (1, None, [], [])


def test_check_mode_foresees_the_steps_that_are_left_of_what_has_not_failed():
    due, failed = (Machine(moid="", called=name, steps=(OFF, ON)) for name in ("due", "failed"))
    due.done.append(OFF)
    failed.fail(InvalidOption("It is refused."))
    for item in (due, failed):
        item.foresee()
    assert (due.done, failed.done) == ([OFF, ON], [])


def test_check_mode_foresees_no_wait():
    class Waiting(Machine):
        @property
        def left(self):
            return [*super().left, "waiting"]

    item = Waiting(moid="", called="web", steps=())
    item.foresee()
    assert not item.changed


def test_an_entry_has_the_error_of_what_failed_and_otherwise_none():
    well, failed = Machine(moid="", called="well"), named("failed", InvalidOption("It is refused.", option="name"))
    assert well.with_error({"name": "well"}) == {"name": "well"}
    refused = {"error_code": "invalid_option", "msg": "It is refused.", "option": "name"}
    assert failed.with_error({"name": "failed"}) == {"name": "failed", "error": refused}


def test_a_task_that_ends_early_leaves_no_item_that_seems_finished(known):
    items = machines(known, OFF, ON)
    work = task(known, items, deadline=time.monotonic() - 1)
    with work.accounted():
        work.stage(OFF, power_off(known), "VMs powered off")
        pytest.fail("the stage has ended as if there were time")
    assert isinstance(work.stopped, TimedOut)
    assert [type(item.error) for item in items] == [NotAttempted] * 3
    with pytest.raises(PartialFailure) as caught:
        work.finish({"changed": False})
    assert [failure["name"] for failure in caught.value.result["failures"]] == list(NAMES)
    assert str(caught.value).startswith(str(work.stopped))


def test_two_items_of_one_title_are_both_worked_on(known):
    items = machines(known, OFF)
    for item in items:
        item.called = "the same"
    task(known, items).stage(OFF, power_off(known), "VMs powered off")
    assert [item.done for item in items] == [[OFF]] * 3


# Waiting


def test_one_wait_sees_all_items_and_names_those_that_are_late(known):
    items = machines(known)
    by_moid = {item.moid: item for item in items}
    power_off(known)(items[0])

    def is_off(_item, update):
        return update.values.get("runtime.powerState") == "poweredOff"

    work = task(known, items)
    with time_over("WaitForUpdatesEx", saying="poweredOff"):
        late = work.wait_until(vim.VirtualMachine, ("runtime.powerState",), by_moid, is_off, "VMs are off")
    assert late == items[1:]


def test_a_wait_for_nothing_asks_nothing(known):
    before = known.stats.summary()["by_method"]
    assert task(known, []).wait_until(vim.VirtualMachine, ("name",), {}, lambda *_: True, "done") == []
    assert known.stats.summary()["by_method"] == before


# What a failure says


def test_one_item_that_fails_is_reported_with_its_own_words(known):
    item = named("web-1", InvalidOption("There is no room.", hint="Make some."))
    with pytest.raises(PartialFailure) as caught:
        task(known, [item]).finish({})
    assert (caught.value.message, caught.value.hint) == ("There is no room.", "Make some.")


def test_what_to_do_about_an_error_comes_before_what_became_of_the_rest(known):
    item = named("web-1", NotFound("web-1 has no snapshot base.", hint="There are: none."))
    with pytest.raises(PartialFailure, match=r"no snapshot base\. There are: none\. Packages stay\.$"):
        task(known, [item]).finish({}, advice="Packages stay.")


def test_check_mode_says_that_nothing_was_changed(known):
    with pytest.raises(PartialFailure, match=r"There is no room\. Nothing was changed: this was check mode\."):
        task(known, [named("web-1", InvalidOption("There is no room."))], check=True).finish({}, advice="Run again.")


def test_reasons_are_grouped_and_the_most_frequent_comes_first():
    full = [named(f"web-{n}", Fault("NoDiskSpace", "no_disk_space", f"web-{n}: no space.")) for n in range(2)]
    deep = [named(f"db-{n}", Fault("SystemError", "system_error", f"db-{n}: too deep.")) for n in range(180)]
    assert reasons([*full, *deep]) == [
        "180 (db-0, db-1, db-2, db-3, db-4 and 175 more), such as: db-0: too deep.",
        "2 (web-0, web-1), such as: web-0: no space.",
    ]


def test_what_an_error_has_of_its_item_alone_makes_no_reason_of_its_own():
    running = [
        named(f"web-{n}", StillRunning(f"web-{n} was under way in vCenter (task task-{n}).", task=f"task-{n}"))
        for n in range(300)
    ]
    (line,) = reasons(running)
    assert line.startswith("300 (web-0, ")


def test_hundreds_of_failures_are_reported_in_few_lines_with_the_hint_that_cures_most_of_them(known):
    deep = [named(f"web-{n}", Fault("SystemError", "system_error", f"web-{n}: failed.", hint="Cure it.")) for n in range(180)]
    other = [named(f"db-{n}", InvalidOption(f"Reason {chr(97 + n)}\nin two lines.")) for n in range(20)]
    with pytest.raises(PartialFailure) as caught:
        task(known, [*other, *deep]).finish({}, advice="Run again.")
    lines = str(caught.value).splitlines()
    assert len(lines) <= 20
    assert lines[0] == "200 of 200 VMs failed:"
    assert lines[1].startswith("- 180 (web-0, ")
    assert lines[1].endswith(" web-0: failed. Cure it.")
    assert lines[-1] == "Run again."


def test_a_warning_of_hundreds_is_one_line():
    items = [named(f"web-{n}", InvalidOption("It is refused.")) for n in range(300)]
    for item in items:
        item.warnings.append(f"{item.title} is deep.")
    items[7].warnings.append("web-7 is odd.")
    assert warnings_of(items) == [
        "web-0 is deep. The same of 300 in all (web-0, web-1, web-2, web-3, web-4 and 295 more).",
        "web-7 is odd.",
    ]
    for n, item in enumerate(items):
        item.warnings = [f"Warning {'x' * n}."]
    assert len(warnings_of(items)) == 11
    assert warnings_of(items)[-1] == "290 more warnings are in the entries of the result."


def test_many_reasons_are_cut():
    failed = [named(f"web-{n}", InvalidOption(f"Reason {chr(97 + n)}.")) for n in range(20)]
    told = reasons(failed)
    assert told[0] == "web-0: Reason a."
    assert told[-1] == "12 more, for other reasons."
    assert len(told) == 9


def test_the_result_has_failures_timing_and_the_warnings_of_the_items(known):
    items = machines(known)
    items[0].warnings.append("Look at it.")
    known.warn = (warned := []).append
    work = task(known, items)
    with work.phase("work"):
        pass
    result = work.finish({"changed": False, "timing": {"lookup": 1.0}})
    assert result["failures"] == []
    assert set(result["timing"]) == {"work", "lookup"}
    assert warned == ["Look at it."]


def test_between_the_rounds_of_a_wait_something_else_is_asked(known):
    items = machines(known)
    work, asked = task(known, items), []

    def between():
        asked.append(len(asked))
        return len(asked) == 3

    waiting = {item.moid: item for item in items}
    late = work.wait_until(
        vim.VirtualMachine, ("name",), waiting, lambda _item, _update: False, "", rounds=iter([1, 1, 1]), between=between
    )
    assert (asked, late) == ([0, 1, 2], items)


def test_the_error_of_work_on_one_item_is_its_failure(known):
    items = machines(known)
    work = task(known, items)
    with work.working_on(items[0]):
        raise InvalidOption("It is refused.")
    with work.working_on(items[1]):
        pass
    assert [item.error is None for item in items] == [False, True, True]
    with pytest.raises(KeyboardInterrupt), work.working_on(items[2]):
        raise KeyboardInterrupt


def test_a_task_about_one_item_fails_as_that_does(known):
    subject, other = machines(known)[:2]
    work = task(known, [subject, other])
    subject.fail(InvalidOption("It is refused.", hint="Choose another.", option="name"))
    with pytest.raises(PartialFailure) as raised:
        work.finish({"changed": False}, subject=subject)
    error = raised.value
    assert (error.error_code, error.message, error.hint) == ("invalid_option", "It is refused.", "Choose another.")
    assert error.details == {"option": "name"}
    assert error.result["failures"][0]["error_code"] == "invalid_option"


def test_a_task_about_one_item_whose_others_fail_is_a_partial_failure(known):
    subject, other = machines(known)[:2]
    work = task(known, [subject, other])
    other.fail(InvalidOption("It is refused."))
    with pytest.raises(PartialFailure) as raised:
        work.finish({"changed": True}, subject=subject, advice="The first is ready.")
    assert raised.value.error_code == "partial_failure"
    assert raised.value.message.endswith("The first is ready.")


def test_a_task_about_one_item_that_ended_early_says_why(known):
    subject = machines(known, OFF)[0]
    work = task(known, [subject])
    with work.accounted():
        raise TimedOut("The time is over.")
    with pytest.raises(PartialFailure) as raised:
        work.finish({"changed": False}, subject=subject)
    assert (raised.value.error_code, raised.value.message) == ("timeout", "The time is over.")


def test_a_message_of_many_has_why_it_ended_what_failed_and_what_to_do(known):
    def message(count, failed, stopped=None, advice=""):
        items = [Machine(moid="", called=f"web-{number}") for number in range(count)]
        for number, why in failed.items():
            items[number].fail(InvalidOption(why))
        work = task(known, items)
        work.stopped = stopped
        with pytest.raises(PartialFailure) as raised:
            work.finish({}, advice=advice)
        return raised.value.error_code, str(raised.value)

    over = TimedOut("The time is over.")
    one, two = {1: "No."}, {0: "No.", 1: "Never."}
    assert message(2, one) == ("partial_failure", "1 of 2 VMs failed: web-1: No.")
    assert message(2, one, advice="Run again.") == ("partial_failure", "1 of 2 VMs failed: web-1: No. Run again.")
    assert message(3, two) == ("partial_failure", "2 of 3 VMs failed:\n- web-0: No.\n- web-1: Never.")
    assert message(2, one, over) == ("partial_failure", "The time is over. 1 of 2 VMs failed: web-1: No.")
    assert message(2, {}, over, "Run again.") == ("partial_failure", "The time is over. Run again.")
    assert message(1, {}, over) == ("timeout", "The time is over.")
    assert message(1, {0: "No."}, over) == ("timeout", "The time is over. 1 of 1 VMs failed: web-0: No.")


# What is missing


@pytest.mark.parametrize(
    ("given", "entry"),
    [
        ({"name": "web-1", "folder": "/DC0/vm"}, ("web-1", "", "")),
        ({"path": "/DC0/vm/web%2f1"}, ("web/1", "", "/DC0/vm/web%2f1")),
        ({"path": "/"}, ("", "", "/")),
        ({"moid": "vm-7"}, ("vm-7", "vm-7", "")),
        ({"uuid": "4201"}, ("4201", "", "")),
        ({}, ("", "", "")),
    ],
)
def test_what_is_missing_is_called_by_what_names_it(given, entry):
    selector = Selector(**given)
    missing = Missing.of(selector, NotFound("Gone."))
    assert missing.entry == dict(zip(("name", "moid", "path"), entry, strict=True))
    assert (missing.title, missing.name) == (str(selector), entry[0])


def test_what_is_missing_stands_at_its_place_in_the_result_and_fails_the_task(known):
    wanted = [Selector(name=name) for name in "abcd"]
    work = task(known, [])
    gone = NotFound("Gone.")
    assert work.found("vms", [gone, "B", gone, "D"], wanted) == [(1, "B"), (3, "D")]
    entries = work.with_missing("vms", [{"name": "b"}, {"name": "d"}], changed=False)
    assert [entry["name"] for entry in entries] == ["a", "b", "c", "d"]
    assert entries[0] == {"name": "a", "moid": "", "path": "", "changed": False, "error": gone.as_result()}
    assert work.with_missing("others", [{"name": "b"}]) == [{"name": "b"}]
    assert [item.title for item in work.failed] == ["name a", "name c"]
    with pytest.raises(ValueError, match="zip"):
        work.found("vms", [gone], wanted)


@pytest.mark.parametrize(("path", "title"), [("/DC0/vm/web-1", "/DC0/vm/web-1"), ("", "vm-7")])
def test_a_vm_is_called_by_its_path_as_far_as_that_is_known(path, title):
    item = ItemOfVm(vm=types.SimpleNamespace(path=path, moid="vm-7", name="web-1"))
    assert (item.title, item.name) == (title, "web-1")


def test_the_cost_of_the_calls_of_an_item_adds_up():
    item = Machine(moid="", called="web-1")
    item.count(Outcome("web-1", calls=1))
    assert (item.calls, item.seconds) == (1, None)
    item.count(Outcome("web-1", calls=2, seconds=0.0004))
    item.count(Outcome("web-1", calls=3, seconds=1.2344))
    assert (item.calls, item.seconds) == (6, 1.234)


# Differences

SMALL = Difference("memory", "1 GiB", "2 GiB")
FIXED = Difference("firmware", "bios", "efi", why_not="It is fixed.")


def test_a_difference_says_whether_it_can_be_changed():
    known = {"what": "memory", "actual": "1 GiB", "wanted": "2 GiB", "can_change": True}
    assert SMALL.as_result() == known
    assert FIXED.as_result() == {
        "what": "firmware",
        "actual": "bios",
        "wanted": "efi",
        "can_change": False,
        "why_not": "It is fixed.",
    }


def test_a_diff_has_what_can_be_changed():
    before, after = changes("web-1:\n", [SMALL, FIXED])
    assert (before, after) == (["web-1:\n", "  memory: 1 GiB\n"], ["web-1:\n", "  memory: 2 GiB\n"])
    assert changes("web-1:\n", [FIXED]) == ([], [])
    assert diff(before, after) == {
        "before": "web-1:\n  memory: 1 GiB\n",
        "after": "web-1:\n  memory: 2 GiB\n",
        "before_header": "vCenter now",
        "after_header": "vCenter after this task",
    }


def test_a_phase_is_timed_to_the_millisecond_and_adds_up(known, monkeypatch):
    clock, work = [100.0], task(known, [])
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    for seconds in (1.2344, 0.1001):
        with work.phase("read"):
            clock[0] += seconds
    assert work.timing == {"read": 1.334}


def test_bytes_are_of_a_phase_where_nothing_else_runs_beside_it(known):
    work = task(known, [])
    with work.phase("read"):
        machines(known)
    others = threading.Thread(target=lambda: _in_phase(work, "beside", known))
    others.start()
    others.join()
    summary = known.stats.summary()
    assert set(work.timing) == {"read", "beside"}
    assert set(summary["bytes_by_phase"]) == {"read"}
    assert 0 < summary["bytes_by_phase"]["read"] < summary["bytes_received"]


def _in_phase(work, name, known):
    with work.phase(name):
        machines(known)


def _in_a_stage(work, item, start):
    work.stage(OFF, start, "VMs powered off")
    if item.error is not None:
        raise item.error


def _called(work, item, start):
    work.call([item], start, "VMs powered off", lambda _item, outcome: note_failure(item, outcome))
    if item.error is not None:
        raise item.error


def _called_alone(work, item, start):
    work.call_one(item, lambda: start(item), "VMs powered off")


@pytest.mark.parametrize("way", [_in_a_stage, _called, _called_alone])
def test_a_call_whose_answer_is_lost_is_made_again_only_where_it_may_be(make_sim, way):
    sim = make_sim("--vms", "6")
    with session(sim) as known:
        (item, *_others) = machines(known, OFF)
        sim.inject(method="PowerOffVM_Task", do="drop-after")
        with pytest.raises(ConnectionLost):
            way(task(known, [item]), item, power_off(known))
    assert sim.calls()["by_method"]["PowerOffVM_Task"] == 1
