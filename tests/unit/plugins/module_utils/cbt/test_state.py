# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The state file: whole or not at all, keyed by VM and disk, shared by tasks; it moves on only when a question is committed."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import os
import stat
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.vforge.vsphere.plugins.module_utils._cbt import state as states
from ansible_collections.vforge.vsphere.plugins.module_utils._cbt.state import (
    MOST_PENDING,
    MOST_QUESTIONS,
    MOST_RUNS,
    Known,
    Pending,
    Point,
    QuestionUnknown,
    Record,
    Run,
    State,
    StateDamaged,
)
from ansible_collections.vforge.vsphere.plugins.module_utils._errors import InvalidOption, TimedOut
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.cbt.support import TRACKING, disk, vm


@pytest.fixture
def path(tmp_path):
    """Where the file is to be."""
    return str(tmp_path / "state.json")


def run(point, **changes):
    at = f"2026-05-{point:02}T02:00:00+00:00"
    known = Run(at, f"{TRACKING}/{point}", areas=2, changed_bytes=4096, regions=(4096, 0))
    return dataclasses.replace(known, **changes)


def change(path, make):
    """Write what ``make`` makes of a file, as a task does."""
    with states.locked(path, time.monotonic() + 60, [].append) as known:
        after = make(known)
        states.save(path, after)
    return after


def ask(path, point, machine=None, known=None, question=None):
    """A question that comes to a point; its ID is the point's number."""
    machine, found = machine or vm(), run(point)
    question = question or str(point)

    def make(state):
        return state.asked(question, found.at, [state.noted(machine, known or disk(), found, question)])

    return change(path, make)


def commit(path, question):
    return change(path, lambda state: state.moved(state.moves(str(question))))


def note(path, point, machine=None, known=None):
    """A question that is committed."""
    ask(path, point, machine, known)
    return commit(path, point)


def point_of(path, known=None):
    """The number of the point from which a disk is asked next; None for none."""
    kept = states.load(path).kept(vm(), known or disk())
    return int(kept.change_id.rpartition("/")[2]) if kept else None


def test_what_is_written_is_read_again(path):
    assert states.load(path).records == {}
    after = note(path, 1)
    assert states.load(path).records == after.records
    assert states.load(path).questions == {"1": Known(run(1).at)}
    kept = states.load(path).kept(vm(), disk())
    assert (kept.change_id, kept.identity, kept.capacity) == (f"{TRACKING}/1", disk().identity, disk().capacity)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600


def test_a_question_alone_moves_nothing_on(path):
    ask(path, 1)
    assert point_of(path) is None
    commit(path, 1)
    ask(path, 2)
    ask(path, 3)
    assert point_of(path) == 1
    assert list(states.load(path).uncommitted(vm(), disk())) == ["2", "3"]
    assert [run.change_id for run in states.load(path).runs(vm(), disk())] == [f"{TRACKING}/1", f"{TRACKING}/3"]


def test_a_later_question_may_still_be_committed_and_an_earlier_one_never_leads_back(path):
    for point in (1, 2, 3):
        ask(path, point)
    commit(path, 2)
    assert point_of(path) == 2
    assert list(states.load(path).uncommitted(vm(), disk())) == ["3"]
    for question in (1, 2):
        assert states.load(path).moves(str(question)) == []
    commit(path, 3)
    assert point_of(path) == 3


@settings(max_examples=60)
@given(st.lists(st.tuples(st.sampled_from(["ask", "commit"]), st.integers(1, 9)), max_size=20))
def test_the_point_never_goes_back_nor_beyond_what_was_committed(steps):
    state, asked, committed, before = State(), 0, {0}, 0
    for do, number in steps:
        if do == "ask":
            asked += 1
            state = state.asked(str(asked), run(asked).at, [state.noted(vm(), disk(), run(asked), str(asked))])
        elif number <= asked:
            state = state.moved(state.moves(str(number)))
            committed.add(number)
        kept = state.kept(vm(), disk())
        now = int(kept.change_id.rpartition("/")[2]) if kept else 0
        assert before <= now <= max(committed)
        before = now
    # Of those that are still known, the last one that was committed counts.
    assert before >= max(number for number in committed if number > asked - MOST_PENDING or not number)


def test_a_question_that_was_never_asked_is_reported(path):
    ask(path, 1)
    with pytest.raises(QuestionUnknown) as caught:
        states.load(path).moves("2", path="/state.json")
    assert caught.value.error_code == "question_unknown"
    assert str(caught.value).startswith("The state file /state.json knows no question 2.")
    with pytest.raises(QuestionUnknown) as caught:
        states.State().moves("2", path="/none.json")
    assert str(caught.value).startswith("The state file /none.json knows no question at all, or is not there.")


def test_old_questions_are_forgotten():
    state = State()
    for number in range(MOST_QUESTIONS + 5):
        state = state.asked(f"q{number}", run(1).at, [state.noted(vm(), disk(), run(1), f"q{number}")])
    assert len(state.questions) == MOST_QUESTIONS
    record = next(iter(state.records.values()))
    assert [pending.question for pending in record.pending] == [*state.questions][-MOST_PENDING:]


def test_a_file_of_the_first_format_is_read_and_goes_on(path):
    told = {
        "label": "Hard disk 1",
        "key": 2000,
        "capacity": disk().capacity,
        "change_id": f"{TRACKING}/7",
        "runs": [dataclasses.asdict(run(7))],
    }
    data = {"format": 1, "vms": {vm().instance_uuid: {"name": "web-1", "disks": {disk().identity: told}}}}
    with open(path, "w", encoding="utf-8") as file:
        json.dump(data, file)
    assert point_of(path) == 7
    assert states.load(path).runs(vm(), disk()) == (run(7),)
    ask(path, 8)
    assert point_of(path) == 7
    commit(path, 8)
    assert point_of(path) == 8


_TEXT = st.text(st.characters(codec="utf-8"), max_size=12)
_RUNS = st.builds(
    Run,
    at=_TEXT,
    change_id=st.just(f"{TRACKING}/7"),
    areas=st.none() | st.integers(0, 1 << 62),
    changed_bytes=st.none() | st.integers(0, 1 << 62),
    full_required=st.none() | _TEXT,
    regions=st.lists(st.integers(0, 1 << 62)).map(tuple),
)
_POINTS = st.builds(Point, st.just(f"{TRACKING}/7"), st.integers(0, 1 << 62))
_RECORDS = st.builds(
    Record,
    _TEXT,
    _TEXT,
    st.just("web"),
    st.just("/DC0/vm/web"),
    st.just("vm-1"),
    _TEXT,
    st.integers(0, 1 << 31),
    st.none() | _POINTS,
    st.lists(st.builds(Pending, _TEXT, _POINTS, _RUNS)).map(tuple),
    st.lists(_RUNS).map(tuple),
)


@settings(max_examples=10)
@given(
    st.lists(_RECORDS, max_size=5, unique_by=lambda item: (item.vm_uuid, item.key)),
    st.dictionaries(_TEXT, st.builds(Known, _TEXT)),
)
def test_any_records_survive_the_file(tmp_path_factory, records, questions):
    path = str(tmp_path_factory.mktemp("state") / "state.json")
    unique = {(item.vm_uuid, item.identity): item for item in records}
    states.save(path, State(unique, questions))
    assert states.load(path).records == unique
    assert states.load(path).questions == questions


def test_where_a_file_would_be_too_large_the_oldest_runs_go(path, monkeypatch):
    for point in range(1, 25):
        after = note(path, point)
    monkeypatch.setattr(states, "_MOST_BYTES", os.path.getsize(path) // 2)
    states.save(path, after)
    assert [run.change_id for run in states.load(path).runs(vm(), disk())] == [f"{TRACKING}/{point}" for point in range(18, 25)]
    monkeypatch.setattr(states, "_MOST_BYTES", 10)
    with pytest.raises(InvalidOption, match="a file for each group"):
        states.save(path, after)


def test_runs_are_kept_up_to_a_number(path):
    for point in range(1, MOST_RUNS + 4):
        ask(path, min(point, 28), question=f"q{point}")
        commit(path, f"q{point}")
    runs = states.load(path).runs(vm(), disk())
    assert len(runs) == MOST_RUNS
    assert runs[0].change_id == f"{TRACKING}/4"


def test_what_other_tasks_wrote_meanwhile_stays(path):
    machines = [vm(instance_uuid=f"uuid-{number}") for number in range(8)]
    threads = [threading.Thread(target=note, args=(path, 1, machine)) for machine in machines]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {uuid for uuid, _identity in states.load(path).records} == {machine.instance_uuid for machine in machines}


def test_another_disk_in_the_place_of_one_is_seen_and_takes_it_over(path):
    note(path, 1)
    other = disk(uuid="another", object_id="1-9")
    kept = states.load(path).kept(vm(), other)
    assert kept.identity == disk().identity
    assert states.load(path).runs(vm(), other) == ()
    note(path, 2, known=other)
    assert [record.identity for record in states.load(path).records.values()] == [other.identity]


def test_thousands_of_disks_are_each_looked_for_in_their_own_place():
    machines = [vm(instance_uuid=f"vm-{number}") for number in range(4_000)]
    old, new = disk(), disk(uuid="another", object_id="1-9")
    begun = time.process_time()
    known = State().asked("1", run(1).at, [State().noted(each, old, run(1), "1") for each in machines])
    known = known.moved(known.moves("1"))
    kept = [known.kept(each, new) for each in machines]
    known = known.asked("2", run(2).at, [known.noted(each, new, run(2), "2") for each in machines])
    known = known.moved(known.moves("2"))
    took = time.process_time() - begun
    assert {each.identity for each in kept if each is not None} == {old.identity}
    assert {record.identity for record in known.records.values()} == {new.identity}
    assert len(known.records) == len(machines)
    # Each with each takes six seconds; each by itself a fifth of one.
    assert took < 2


def test_a_vm_with_the_same_disks_is_another_one(path):
    note(path, 1)
    assert states.load(path).kept(vm(instance_uuid="clone"), disk()) is None


def _with(**changes):
    """A file of which one part is something else."""
    told = {
        "label": "l",
        "key": 1,
        "confirmed": {"change_id": "a/1", "capacity": 1},
        "pending": [],
        "runs": [],
        **changes,
    }
    return json.dumps({"format": 2, "questions": {}, "vms": {"a": {"name": "n", "disks": {"b": told}}}})


def _with_run(**changes):
    return _with(runs=[{"at": "2026-05-01T02:00:00+00:00", "change_id": "a/1", "regions": [], **changes}])


def test_what_the_damaged_ones_are_made_of_is_whole(path):
    for text in (_with(), _with_run()):
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        assert len(states.load(path).records) == 1


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "{}",
        "7",
        '{"format": 3, "vms": {}}',
        '{"format": true, "vms": {}}',
        '{"format": 1}',
        '{"format": 2, "vms": {}}',
        '{"format": 2, "questions": [], "vms": {}}',
        '{"format": 2, "questions": {"q": 7}, "vms": {}}',
        '{"format": 1, "vms": {"a": {"disks": {"b": {}}}}}',
        "\x00",
        "\xff",
        "[" * 3000,
        _with(key=float("inf")),
        _with(key=float("nan")),
        _with(key=1.5),
        _with(key=True),
        _with(key="2000"),
        _with(label=None),
        _with(label="\ud800"),
        _with(confirmed={"change_id": "", "capacity": 1}),
        _with(confirmed={"change_id": "a/1", "capacity": -1}),
        _with(confirmed={"change_id": "a/1", "capacity": 1 << 70}),
        _with(confirmed=[]),
        _with(pending={}),
        _with(pending=[{"question": "q"}]),
        _with(runs=None),
        _with_run(regions=["x"]),
        _with_run(regions=[-1]),
        _with_run(at=1),
        _with_run(areas="many"),
        _with_run(full_required=7),
    ],
)
def test_a_damaged_file_is_reported_and_never_overwritten(path, text):
    with open(path, "wb") as file:
        file.write(text.encode("latin-1", "surrogatepass") if text == "\xff" else text.encode())
    before = _bytes_of(path)
    for act in (lambda: states.load(path), lambda: note(path, 1)):
        with pytest.raises(StateDamaged) as caught:
            act()
        assert caught.value.error_code == "state_file_damaged"
    assert _bytes_of(path) == before


_JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
)


@settings(max_examples=100)
@given(part=st.sampled_from(["label", "key", "confirmed", "pending", "runs"]), value=_JSON)
def test_whatever_stands_in_a_file_is_understood_or_reported_as_damage(tmp_path_factory, part, value):
    path = str(tmp_path_factory.getbasetemp() / "any.json")
    with open(path, "w", encoding="utf-8") as file:
        file.write(_with(**{part: value}))
    # Anything else that it raised would be a defect.
    with contextlib.suppress(StateDamaged):
        assert states.load(path).records


def test_a_huge_file_is_not_read(path):
    with open(path, "wb") as file:
        file.truncate(states._MOST_BYTES + 1)
    with pytest.raises(InvalidOption, match="more than") as caught:
        states.load(path)
    assert caught.value.error_code == "file_refused"


def test_a_pipe_holds_nobody_up(path):
    os.mkfifo(path)
    for act in (lambda: states.load(path), lambda: states.check(path), lambda: note(path, 1)):
        with pytest.raises(InvalidOption, match="it is a named pipe") as caught:
            act()
        assert caught.value.error_code == "file_refused"


def test_a_lock_that_another_process_holds_is_waited_for_until_the_deadline_and_reported(path):
    note(path, 1)
    said = []
    with open(f"{path}.lock", "r+b") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(TimedOut) as caught, states.locked(path, time.monotonic() + 0.2, said.append):
            pytest.fail("it was locked")
    assert caught.value.error_code == "timeout"
    assert f"lock of the state file {path}.lock" in str(caught.value)
    assert f"process {os.getpid()}" in said[0]
    note(path, 2)
    assert point_of(path) == 2


def test_modes_are_kept_and_a_link_of_this_user_in_his_own_folder_is_followed(path, tmp_path):
    note(path, 1)
    os.chmod(path, 0o640)
    link = str(tmp_path / "link.json")
    os.symlink(path, link)
    note(link, 2)
    assert os.path.islink(link)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o640
    assert point_of(path) == 2
    assert sorted(os.listdir(tmp_path)) == ["link.json", "state.json", "state.json.lock"]


def test_where_nothing_can_be_written_that_is_reported_at_the_beginning(tmp_path):
    for bad in (tmp_path / "none" / "state.json", tmp_path):
        with pytest.raises(InvalidOption, match=r"cannot be written|it is a folder"):
            states.check(str(bad))
    states.check(str(tmp_path / "state.json"))
    assert os.listdir(tmp_path) == []


def _bytes_of(path):
    with open(path, "rb") as file:
        return file.read()


def test_nothing_is_known_of_a_disk_that_was_never_asked_about():
    assert State().kept(vm(), disk()) is None
