# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A question counts when it is committed, and not before: whatever fails, the next question still tells the change."""

from __future__ import annotations

import fcntl
import os
import signal
import tempfile
import time

import pytest

from ansible_collections.vforge.vsphere.plugins.module_utils import _files
from ansible_collections.vforge.vsphere.plugins.module_utils._cbt import sink, task
from ansible_collections.vforge.vsphere.plugins.module_utils._cbt import state as states
from ansible_collections.vforge.vsphere.plugins.module_utils._errors import InvalidOption, NotFound, PartialFailure, VforgeError
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.cbt.support import options
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.steps import Steps, failing_at, killed_at

KIB = 1 << 10

# What the guest wrote: three areas, so that with a limit of two they go into a file.
_WRITTEN = [(0, KIB), (4 * KIB, KIB), (8 * KIB, KIB)]


@pytest.fixture
def files():
    """Every file that a question writes; in memory where that can be, since each is written many times."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108 (a folder of its own in it)
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        yield _files_in(folder)


def _files_in(folder):
    return {
        "state_file": f"{folder}/state.json",
        "areas_directory": f"{folder}/areas",
    }


@pytest.fixture
def changed(start, files):
    """A VM about which a question was committed; then its guest wrote, and somebody made a snapshot."""
    areas = start()
    areas.make("web-1")
    areas.night(**files)
    for offset, length in _WRITTEN:
        areas.sim.write_disk("web-1", offset=offset, length=length, seed=1)
    areas.snapshot("web-1", "now")
    return areas


@pytest.fixture
def asked(files):
    """A question about that snapshot, so that none has to be made."""
    return {**files, "snapshot": {"name": "now"}}


def point(files):
    """From where the disk is asked next."""
    record = next(iter(states.load(files["state_file"]).records.values()))
    return record.confirmed.change_id


def told(ran):
    return [(area["start"], area["length"]) for area in ran.disk["areas"]]


def steps_of(monkeypatch, act):
    """How many steps there are."""
    steps = Steps()
    _with(monkeypatch, steps, act)
    return steps.count


def _with(monkeypatch, steps, act):
    with monkeypatch.context() as patch:
        patch.setattr(_files, "os", steps)
        patch.setattr(sink, "os", steps)
        return act()


def test_whichever_step_of_a_question_fails_the_next_one_reports_the_change(changed, files, asked, monkeypatch):
    asked = {**asked, "areas_limit": 2}
    count = steps_of(monkeypatch, lambda: changed.run(**asked))
    assert count > 15
    before, codes = point(files), set()
    for number in range(1, count + 1):
        ran = _with(monkeypatch, failing_at(number), lambda: changed.attempt(**asked))
        assert point(files) == before
        if ran.error is not None:
            codes.add(ran.error.error_code)
            # Where nothing can be committed, no question is told.
            assert (ran.result.get("question") is None) is (ran.result.get("state_saved") is not True)
    assert codes <= {"partial_failure", "file_unwritable", "file_unreadable"}
    ran = changed.run(**{**asked, "areas_limit": 1000})
    assert ran.disk["since"] == before
    assert told(ran) == _WRITTEN


def test_a_kill_at_whichever_step_of_a_question_and_the_next_one_reports_the_change(changed, files, asked, monkeypatch):
    asked = {**asked, "areas_limit": 2}
    before, number, ended = point(files), 0, signal.SIGKILL
    while ended == signal.SIGKILL:
        number += 1
        child = os.fork()
        if child == 0:
            try:
                _with(monkeypatch, killed_at(number), lambda: changed.attempt(**asked))
            finally:
                os._exit(1)
        ended = os.WTERMSIG(os.waitpid(child, 0)[1])
        assert point(files) == before
    # The last one had fewer steps than that.
    assert number > 15
    ran = changed.run(**{**asked, "areas_limit": 1000})
    assert ran.disk["since"] == before
    assert told(ran) == _WRITTEN
    # What the killed ones had begun is gone.
    assert sorted(os.listdir(os.path.dirname(files["state_file"]))) == ["areas", "state.json", "state.json.lock"]
    assert os.listdir(files["areas_directory"]) == []


def test_whichever_step_of_committing_fails_it_is_done_or_not_and_can_be_done_again(changed, files, asked, monkeypatch):
    path = files["state_file"]
    before, ran = point(files), changed.run(**asked)
    with open(path, "rb") as file:
        noted = file.read()
    count = steps_of(monkeypatch, lambda: changed.commit(ran, path))
    after, seen = point(files), set()
    assert after == ran.disk["change_id"] != before
    for number in range(1, count + 1):
        for steps in (failing_at(number), killed_at(number)):
            _files.replace(path, noted, what="state file")
            child = os.fork()
            if child == 0:
                try:
                    _with(monkeypatch, steps, lambda: changed.commit(ran, path))
                except BaseException:  # noqa: BLE001 (whatever it is, its parent looks at the file)
                    os._exit(1)
                os._exit(0)
            ended = os.waitpid(child, 0)[1]
            seen.add((ended == 0, point(files) == after))
            assert point(files) in (before, after)
            changed.commit(ran, path)
            assert point(files) == after
    # None of them ended well, some of them were done all the same.
    assert seen == {(False, False), (False, True)}


def test_until_a_question_is_committed_the_next_one_asks_from_the_same_point_and_says_so(changed, files, asked):
    before, first = point(files), changed.run(**asked)
    second = changed.run(**asked)
    assert (first.result["uncommitted"], first.disk["uncommitted"]) == ([], [])
    assert not any("never committed" in warning for warning in changed.warnings[:-1])
    question = first.result["question"]
    assert second.result["uncommitted"] == [{"question": question["id"], "at": question["at"]}]
    assert (second.disk["uncommitted"], second.disk["since"]) == ([question["id"]], before)
    assert told(second) == _WRITTEN
    assert f"The question {question['id']} of {question['at']} was never committed. So web-1" in changed.warnings[-1]
    changed.commit(second, files["state_file"])
    third = changed.run(**asked)
    assert (third.result["uncommitted"], told(third)) == ([], [])


def test_committing_changes_once_reports_its_diff_and_nothing_in_check_mode(changed, files, asked):
    path = files["state_file"]
    before, ran = point(files), changed.run(**asked)
    checked = changed.commit(ran, path, check=True)
    assert (checked["changed"], checked["state_saved"], point(files)) == (True, False, before)
    done = changed.commit(ran, path)
    assert (done["changed"], done["state_saved"], done["diff"]) == (True, True, checked["diff"])
    assert (before in done["diff"]["before"], ran.disk["change_id"] in done["diff"]["after"]) == (True, True)
    (vm,) = done["vms"]
    assert (vm["name"], vm["moid"], vm["path"]) == ("web-1", ran.one["moid"], "/DC0/vm/web-1")
    assert vm["disks"] == [{"label": "Hard disk 1", "key": 2000, "since": before, "change_id": ran.disk["change_id"]}]
    for check in (True, False):
        again = changed.commit(ran, path, check=check)
        assert (again["changed"], again["vms"], again["state_saved"]) == (False, [], False)
        assert (again["diff"]["before"], again["diff"]["after"]) == ("", "")


def test_a_part_of_a_question_may_be_committed(changed, files):
    changed.make("web-2", on=False)
    path, both = files["state_file"], [{"name": "web-1"}, {"name": "web-2"}]
    ran = changed.run(vms=both, **files)
    uuid = ran.vms[0]["instance_uuid"]
    for selector in (
        {"name": "web-1"},
        {"name": "web-1", "folder": "/DC0/vm"},
        {"path": "/DC0/vm/web-1"},
        {"path": "web-1"},
        {"moid": ran.vms[0]["moid"]},
        {"uuid": uuid.upper(), "use_instance_uuid": True},
    ):
        assert [vm["name"] for vm in changed.commit(ran, path, check=True, vms=[selector])["vms"]] == ["web-1"]
    with pytest.raises(PartialFailure, match=r"1 of 3 VMs failed: .*no VM with the name web-3") as caught:
        changed.commit(ran, path, vms=[{"name": "web-3"}, {"name": "web-1"}, {"name": "web-1", "folder": "/DC0/vm"}])
    done = caught.value.result
    assert [(vm["name"], vm["changed"]) for vm in done["vms"]] == [("web-1", True), ("web-3", False)]
    assert ([each["error_code"] for each in done["failures"]], done["state_saved"]) == (["not_found"], True)
    since = [vm["disks"][0]["since"] for vm in changed.run(vms=both, **files).vms]
    assert since == [ran.vms[0]["disks"][0]["change_id"], None]
    with pytest.raises(NotFound, match="no VM with the name web-3"):
        changed.commit(ran, path, vms=[{"name": "web-3"}])
    with pytest.raises(InvalidOption, match="BIOS UUID"):
        changed.commit(ran, path, vms=[{"uuid": uuid}])


def test_a_question_is_committed_with_the_options_that_it_was_asked_with(start, files):
    areas = start()
    areas.sim.govc("folder.create", "/DC0/vm/prod", "/DC0/vm/a%2fb")
    for place in ("web%2f1", "prod/web", "a%2fb/web"):
        folder, _slash, name = f"/DC0/vm/{place}".rpartition("/")
        areas.sim.create_vm(name, folder=folder, disks=[{"bytes": 1 << 20}])
        areas.reconfigure(place, changeTrackingEnabled=True)
        areas.snapshot(place, "begin")
    path = files["state_file"]
    for asked in (
        {"vms": [{"name": "web/1"}]},
        {"vms": [{"name": "web%2F1"}], "datacenter": "DC0"},
        {"vms": [{"path": "/DC0/vm/a%2Fb/web/"}]},
        {"vms": [{"name": "web", "folder": "prod"}], "datacenter": "DC0"},
        {"vms": [{"name": "web", "folder": "a%2Fb"}], "datacenter": "/DC0"},
        {"vms": [{"path": "prod/web"}], "datacenter": "DC0"},
    ):
        ran = areas.run(**asked, **files)
        (done,) = areas.commit(ran, path, **asked)["vms"]
        assert (done["path"], done["changed"]) == (ran.one["path"], True), asked
        assert areas.run(**asked, **files).result["uncommitted"] == [], asked
    both = areas.run(vms=[{"path": "prod/web"}, {"path": "a%2fb/web"}], datacenter="DC0", **files)
    padded = {"uuid": f" {both.vms[0]['instance_uuid'].upper()} ", "use_instance_uuid": True}
    (done,) = areas.commit(both, path, vms=[padded])["vms"]
    assert done["path"] == "/DC0/vm/prod/web"
    with pytest.raises(NotFound, match="no VM with the name web in folder test"):
        areas.commit(both, path, vms=[{"name": "web", "folder": "test"}], datacenter="DC0")
    with pytest.raises(NotFound, match="no VM with the path prod/web"):
        areas.commit(both, path, vms=[{"path": "prod/web"}], datacenter="DC1")


@pytest.mark.parametrize(
    ("given", "option"),
    [
        ({"state": "committed", "question": "q"}, "state_file"),
        ({"state": "committed", "state_file": "s"}, "question"),
        ({"state": "queried", "question": "q"}, "question"),
        ({"state": "committed", "state_file": "s", "question": "q", "disks": [{"key": 2000}]}, "disks"),
        ({"state": "committed", "state_file": "s", "question": "q", "vms": [{"name": "a", "change_id": "*"}]}, "change_id"),
        ({"areas_limit": sink.MOST_IN_RESULT + 1}, "areas_limit"),
    ],
)
def test_what_does_not_go_together_is_reported(given, option):
    with pytest.raises(InvalidOption) as caught:
        options(**given)
    assert caught.value.details["option"] == option


def test_of_what_fails_nothing_can_be_committed_and_of_the_others_all(start, files):
    areas = start()
    for name in ("web-1", "web-2"):
        areas.make(name, on=False)
    areas.sim.inject(method="QueryChangedDiskAreas", name="web-2", times=0, do="fault", fault="SystemError", message="no")
    asked = {"vms": [{"name": "web-1"}, {"name": "web-2"}], "change_id": "*", **files}
    ran = areas.attempt(**asked)
    assert (ran.result["state_saved"], ran.result["question"]["disks"]) == (True, 1)
    assert [vm["name"] for vm in areas.commit(ran, files["state_file"])["vms"]] == ["web-1"]
    # Where nothing was found there is nothing to note.
    ran = areas.attempt(vm={"name": "web-2"}, change_id="*", **files)
    assert (ran.result["state_saved"], ran.result["question"]) == (False, None)


def test_a_pipe_in_place_of_a_file_is_reported_before_anything_is_done(changed, files, asked):
    os.unlink(files["state_file"])
    os.mkfifo(files["state_file"])
    ran = changed.attempt(**asked)
    assert isinstance(ran.error, InvalidOption)
    assert (ran.error.error_code, ran.calls) == ("file_refused", {})


def test_a_lock_that_another_process_holds_ends_with_the_task(changed, files, asked):
    with open(f"{files['state_file']}.lock", "r+b") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        begun = time.monotonic()
        ran = changed.attempt(**asked, timeout=3)
        assert time.monotonic() - begun < 30
        assert ran.result["stopped"]["error_code"] == "timeout"
        assert f"held by process {os.getpid()}" in ran.result["stopped"]["msg"]
        given = options(state="committed", state_file=files["state_file"], question="q", timeout=1)
        with pytest.raises(VforgeError) as caught:
            task.commit(given, changed.warnings.append, check=False)
        assert caught.value.error_code == "timeout"
    assert told(changed.run(**asked)) == _WRITTEN


def test_the_state_file_of_another_user_is_not_trusted(changed, files, asked):
    if os.geteuid() != 0:
        pytest.skip("only root can give a file away")
    os.chown(files["state_file"], 12345, -1)
    ran = changed.attempt(**asked)
    assert (ran.error.error_code, ran.calls) == ("file_refused", {})


def test_of_very_many_disks_the_rest_is_in_files(changed, asked, monkeypatch):
    monkeypatch.setattr(sink.AreaFiles.__init__, "__kwdefaults__", {"compress": False, "write": True, "room": 2})
    ran = changed.run(**asked)
    assert ran.disk["areas"] is None
    with open(ran.disk["areas_file"], encoding="utf-8") as file:
        assert len(file.readlines()) == 3
