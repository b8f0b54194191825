# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The state file: whole or not at all, keyed by VM and disk, shared by tasks."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import stat
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.vforge.vsphere.plugins.module_utils import _signals
from ansible_collections.vforge.vsphere.plugins.module_utils._cbt import state as states
from ansible_collections.vforge.vsphere.plugins.module_utils._cbt.files import check_writable
from ansible_collections.vforge.vsphere.plugins.module_utils._cbt.state import MOST_RUNS, Record, Run, State, StateDamaged
from ansible_collections.vforge.vsphere.plugins.module_utils._errors import Interrupted, InvalidOption
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.cbt.support import TRACKING, disk, vm


@pytest.fixture
def path(tmp_path):
    """Where the file is to be."""
    return str(tmp_path / "state.json")


def run(point, **changes):
    known = Run(f"2026-05-{point:02}T02:00:00+00:00", f"{TRACKING}/{point}", areas=2, changed_bytes=4096, regions=(4096, 0))
    return dataclasses.replace(known, **changes)


def note(path, point, machine=None, known=None):
    return states.update(path, lambda state: [state.noted(machine or vm(), known or disk(), run(point))])


def test_what_is_written_is_read_again(path):
    assert states.load(path).records == {}
    after = note(path, 1)
    assert states.load(path).records == after.records
    kept = states.load(path).kept(vm(), disk())
    assert (kept.change_id, kept.identity, kept.capacity) == (f"{TRACKING}/1", disk().identity, disk().capacity)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600


_TEXT = st.text(max_size=12)
_RUNS = st.builds(
    Run,
    at=_TEXT,
    change_id=st.just(f"{TRACKING}/7"),
    areas=st.none() | st.integers(0),
    changed_bytes=st.none() | st.integers(0),
    full_required=st.none() | _TEXT,
    regions=st.lists(st.integers(0)).map(tuple),
)
_RECORDS = st.builds(
    Record,
    _TEXT,
    _TEXT,
    st.just("web"),
    _TEXT,
    st.integers(0),
    st.integers(0),
    st.just(f"{TRACKING}/7"),
    st.lists(_RUNS).map(tuple),
)


@settings(max_examples=10)
@given(st.lists(_RECORDS, max_size=5, unique_by=lambda item: (item.vm_uuid, item.key)))
def test_any_records_survive_the_file(tmp_path_factory, records):
    path = str(tmp_path_factory.mktemp("state") / "state.json")
    unique = {(item.vm_uuid, item.identity): item for item in records}
    states.update(path, lambda _state: unique.values())
    assert states.load(path).records == unique


def test_runs_are_kept_up_to_a_number(path):
    for point in range(1, MOST_RUNS + 4):
        note(path, min(point, 28))
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


def test_a_vm_with_the_same_disks_is_another_one(path):
    note(path, 1)
    assert states.load(path).kept(vm(instance_uuid="clone"), disk()) is None


def _with_run(run):
    disk_text = f'{{"label": "l", "key": 1, "capacity": 1, "change_id": "a/1", "runs": [{run}]}}'
    return f'{{"format": 1, "vms": {{"a": {{"name": "n", "disks": {{"b": {disk_text}}}}}}}}}'


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"format": 2, "vms": {}}',
        '{"format": 1}',
        '{"format": 1, "vms": {"a": {"disks": {"b": {}}}}}',
        "\x00",
        _with_run('{"at": "2026-05-01T02:00:00+00:00", "change_id": "a/1", "regions": ["x"]}'),
        _with_run('{"at": "2026-05-01T02:00:00+00:00", "change_id": "a/1", "regions": [-1]}'),
        _with_run('{"at": 1, "change_id": "a/1", "regions": []}'),
        _with_run('{"at": "2026-05-01T02:00:00+00:00", "change_id": "a/1", "regions": [], "areas": "many"}'),
    ],
)
def test_a_damaged_file_is_told_and_never_overwritten(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    for act in (lambda: states.load(path), lambda: note(path, 1)):
        with pytest.raises(StateDamaged) as caught:
            act()
        assert caught.value.error_code == "state_file_damaged"
    with open(path, encoding="utf-8") as file:
        assert file.read() == text


def test_a_change_id_that_is_none_is_damage(path):
    note(path, 1)
    with open(path, encoding="utf-8") as file:
        data = json.load(file)
    data["vms"][vm().instance_uuid]["disks"][disk().identity]["change_id"] = ""
    with open(path, "w", encoding="utf-8") as file:
        json.dump(data, file)
    with pytest.raises(StateDamaged):
        states.load(path)


def test_a_failure_in_the_middle_leaves_the_file_as_it_was(path, monkeypatch):
    note(path, 1)
    before = states.load(path).records

    def fail(*_args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(InvalidOption, match="No space left"):
        note(path, 2)
    assert states.load(path).records == before
    assert sorted(os.listdir(os.path.dirname(path))) == ["state.json", "state.json.lock"]


def test_links_and_modes_are_kept(path, tmp_path):
    note(path, 1)
    os.chmod(path, 0o640)
    link = str(tmp_path / "link.json")
    os.symlink(path, link)
    note(link, 2)
    assert os.path.islink(link)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o640
    assert states.load(path).kept(vm(), disk()).change_id == f"{TRACKING}/2"


def test_where_nothing_can_be_written_that_is_told_at_the_begin(tmp_path):
    for bad in (tmp_path / "none" / "state.json", tmp_path):
        with pytest.raises(InvalidOption, match="cannot be written"):
            check_writable(str(bad))
    check_writable(str(tmp_path / "state.json"))


def test_nothing_is_known_of_a_disk_that_was_never_asked_about():
    assert State().kept(vm(), disk()) is None


@pytest.fixture
def interrupts():
    """Signals raise Interrupted, as they do in a module; what they did before comes back."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    with _signals.as_interrupts():
        yield
    for number, handler in before.items():
        signal.signal(number, handler)


def _strike():
    signal.raise_signal(signal.SIGTERM)


@pytest.mark.usefixtures("interrupts")
def test_a_signal_before_the_file_is_written_leaves_it_as_it_was(path):
    with pytest.raises(Interrupted):
        states.update(path, lambda _known: [_strike()], _signals.settle)
    assert not os.path.exists(path)


@pytest.mark.usefixtures("interrupts")
def test_a_signal_while_the_file_is_written_comes_too_late(path):
    """Else the file would go on, and what it went on from would be told to nobody."""

    def settle():
        _signals.settle()
        _strike()

    states.update(path, lambda known: [known.noted(vm(), disk(), run(1))], settle)
    assert states.load(path).kept(vm(), disk()) is not None
