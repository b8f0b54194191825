# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module as a process of its own, as Ansible starts it: its result, and what signals and kills leave behind."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from ansible_collections.vforge.vsphere.plugins.module_utils._cbt.task import KIND
from ansible_collections.vforge.vsphere.plugins.modules import cbt_changed_areas
from ansible_collections.vforge.vsphere.tests.unit.plugins.modules.endings import ForkedOrStarted

# Where the folder ansible_collections lies, in the run's copy of the checkout.
_PATH = str(Path(cbt_changed_areas.__file__).parents[5])
_MIB = 1 << 20


def _vms(count):
    return [{"name": f"web-{number:02}"} for number in range(1, count + 1)]


class Module(ForkedOrStarted):
    """Starts the module against one simulator."""

    def __init__(self, sim, runtime_dir, count):
        super().__init__(sim, "cbt_changed_areas", _PATH, runtime_dir)
        for vm in _vms(count):
            sim.create_vm(vm["name"], disks=[{"bytes": _MIB}, {"bytes": _MIB}])
        self.enabled = self.run(state="enabled", vms=_vms(count), parallel=50)

    def snapshots(self, count):
        """How many snapshots of ours there are, as govc sees it."""
        trees = [self.sim.govc("snapshot.tree", "-vm", vm["name"]) for vm in _vms(count)]
        return [node["name"] for tree in trees for node in tree or ()].count(KIND.name)


@pytest.fixture
def module(make_sim, tmp_path):
    """The module against a simulator with so many tracked VMs of two disks each."""
    return lambda count: Module(make_sim("--vms", "2"), tmp_path, count)


def test_a_run_returns_what_is_documented(module, tmp_path):
    known = module(1)
    state = str(tmp_path / "state.json")
    result = known.run(vm={"name": "web-01"}, state_file=state)
    assert {"vms", "failures", "totals", "counts", "state_saved", "timing", "calls", "changed"} <= result.keys()
    # A diff is returned in diff mode alone, and Ansible itself sets failed.
    assert not {"diff", "failed"} & result.keys()
    commit = {"state": "committed", "state_file": state, "question": result["question"]["id"]}
    committed = known.run(**commit, hostname="nowhere.invalid")
    assert (committed["changed"], "calls" in committed, known.calls("RetrieveServiceContent")) == (True, False, 0)
    assert known.run(**commit)["changed"] is False
    again = known.run(vm={"name": "web-01"}, state_file=state)
    assert again["changed"] is False
    assert again["calls"]["by_method"].get("Login", 0) == 0
    assert [disk["areas"] for disk in again["vms"][0]["disks"]] == [[], []]


def test_fifty_vms_with_two_disks_each_in_one_task(module):
    known = module(50)
    assert [known.enabled["calls"]["by_method"][name] for name in ("Login", "CreateFilter")] == [1, 3]
    result = known.run(vms=_vms(50), parallel=50)
    calls = result["calls"]["by_method"]
    # One wait for the making of snapshots, and one for their removal.
    assert (calls["CreateFilter"], calls["CreateSnapshot_Task"], calls["RemoveSnapshot_Task"]) == (2, 50, 50)
    assert calls["QueryChangedDiskAreas"] == 100
    assert calls.get("Login", 0) == 0
    # Looking: where the VMs are, what they are, what their snapshots have.
    assert calls["RetrievePropertiesEx"] == 3
    assert result["totals"]["disks"] == 100
    assert known.snapshots(50) == 0


def test_with_one_in_ten_failing_the_account_is_exact_and_no_snapshot_is_left(module):
    known = module(50)
    for method in ("CreateSnapshot_Task", "RemoveSnapshot_Task"):
        known.sim.inject(method=method, nth=10, every=10, times=0, do="task-fault", fault="SystemError", message="no")
    known.sim.inject(method="QueryChangedDiskAreas", nth=10, every=10, times=0, do="fault", fault="SystemError", message="no")
    result = known.run(vms=_vms(50), parallel=8)
    assert result["failed"] is True
    assert known.snapshots(50) == 0
    # What was struck in making has no disks, what was struck in asking has one that failed; removing was tried again.
    unmade = [vm for vm in result["vms"] if not vm["disks"]]
    struck = [vm for vm in result["vms"] if any("error" in disk for disk in vm["disks"])]
    assert len(unmade) == 5
    assert sum("error" in disk for vm in struck for disk in vm["disks"]) == 9
    assert [vm["name"] for vm in result["failures"]] == [vm["name"] for vm in result["vms"] if vm in unmade or vm in struck]
    for vm in result["vms"]:
        for disk in vm["disks"]:
            assert ("error" in disk) == (disk["areas"] is None)


def test_never_more_snapshots_than_asked_for_at_a_time(module):
    known = module(7)
    known.sim.latency(100, "QueryChangedDiskAreas")
    process = known.start(vms=_vms(7), parallel=3)
    most = 0
    while process.poll() is None:
        # Both counts are of one moment: snapshots that were asked for, and whose removal was not yet.
        calls = known.sim.calls()["by_method"]
        most = max(most, calls.get("CreateSnapshot_Task", 0) - calls.get("RemoveSnapshot_Task", 0))
    assert known.result(process)["totals"]["disks"] == 14
    assert (known.calls("CreateSnapshot_Task"), known.calls("RemoveSnapshot_Task")) == (7, 7)
    assert 1 <= most <= 3


@pytest.mark.parametrize(
    ("method", "number"),
    [
        ("CreateSnapshot_Task", signal.SIGTERM),
        ("QueryChangedDiskAreas", signal.SIGINT),
        ("QueryChangedDiskAreas", signal.SIGHUP),
        ("RemoveSnapshot_Task", signal.SIGTERM),
    ],
)
def test_a_signal_at_any_step_leaves_no_snapshot(module, method, number):
    known = module(4)
    known.sim.inject(method=method, nth=2, times=0, do="delay")
    process = known.start(vms=_vms(4), parallel=2)
    known.until_called(process, method, 2)
    known.strike(process, number)
    result = known.result(process)
    assert f"The run was ended by {number.name}." in result["msg"]
    assert known.snapshots(4) == 0
    assert {vm["error_code"] for vm in result["failures"]} <= {"not_attempted", "still_running", "cancelled"}
    assert known.run(vms=_vms(4))["totals"]["disks"] == 8


def test_what_a_killed_run_has_left_goes_with_the_next_one(module):
    known = module(2)
    known.sim.inject(method="QueryChangedDiskAreas", times=0, do="delay")
    process = known.start(vms=_vms(2), parallel=2)
    known.until_called(process, "QueryChangedDiskAreas", 1)
    known.strike(process, signal.SIGKILL)
    process.communicate()
    assert known.snapshots(2) == 2
    result = known.run(vms=_vms(2))
    assert [vm["actions"] for vm in result["vms"]] == [["leftover_removed"]] * 2
    assert known.snapshots(2) == 0
    assert known.run(vms=_vms(2))["changed"] is False


@pytest.fixture
def files_of_areas(module, tmp_path):
    """The module, whose second disk is held up for long, and the folder in which it makes its own for files of areas."""
    known = module(1)
    known.sim.datastore_type("LocalDS_0", "NFS")  # where all of a disk counts as in use
    folder = tmp_path / "temporary"
    folder.mkdir()
    known.environment["TMPDIR"] = str(folder)
    known.common = {"vm": {"name": "web-01"}, "change_id": "*", "areas_limit": 0, "parallel": 1}
    return known, folder


def _held_up(known):
    known.sim.inject(method="QueryChangedDiskAreas", nth=2, times=0, do="delay")
    process = known.start()
    known.until_called(process, "QueryChangedDiskAreas", 2)
    return process


def test_files_of_areas_in_the_temporary_folder_stay_for_the_play(files_of_areas):
    known, folder = files_of_areas
    result = known.run()
    (made,) = folder.iterdir()
    assert {str(path) for path in made.iterdir()} == {disk["areas_file"] for disk in result["vms"][0]["disks"]}


def test_after_a_signal_the_temporary_folder_is_as_it_was(files_of_areas):
    known, folder = files_of_areas
    process = _held_up(known)
    assert len(list(folder.iterdir())) == 1
    known.strike(process, signal.SIGTERM)
    result = known.result(process)
    assert "The run was ended by SIGTERM." in result["msg"]
    assert {disk["areas_file"] for disk in result["vms"][0]["disks"]} == {None}
    assert list(folder.iterdir()) == []


def test_after_a_kill_the_next_run_removes_what_is_in_the_temporary_folder(files_of_areas):
    known, folder = files_of_areas
    process = _held_up(known)
    known.strike(process, signal.SIGKILL)
    process.communicate()
    (left,) = folder.iterdir()
    result = known.run()
    assert not left.exists()
    (made,) = folder.iterdir()
    assert str(made) in result["vms"][0]["disks"][0]["areas_file"]
