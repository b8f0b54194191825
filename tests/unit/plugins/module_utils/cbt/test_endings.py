# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""No snapshot is left behind, whatever happens; what a killed run has left goes with the next one."""

from __future__ import annotations

import pytest

from ansible_collections.vforge.vsphere.plugins.module_utils._cbt.task import KIND
from ansible_collections.vforge.vsphere.plugins.module_utils._temporary_snapshots import Owner, OwnerMark
from ansible_collections.vforge.vsphere.tests.unit.plugins.unreturned import no_times

_NAMES = [f"web-{number:02}" for number in range(1, 11)]


@pytest.fixture
def ten(start):
    """Ten tracked VMs with two disks each."""
    known = start()
    for name in _NAMES:
        known.make(name, 2)
    return known


def left(known):
    return [name for name in _NAMES if known.snapshots(name)]


def test_a_question_leaves_nothing_and_is_no_change(ten):
    ran = ten.run(vms=[{"name": name} for name in _NAMES], parallel=10)
    assert ran.result["changed"] is False
    assert [entry["snapshot"]["removed"] for entry in ran.vms] == [True] * 10
    assert all(disk["change_id"] for entry in ran.vms for disk in entry["disks"])
    assert left(ten) == []
    # Of the session 4, lookup 2, what this user may do 1, snapshots 10 + 10 and a filter for each of the two waits, their
    # devices 1, and two disks each.
    assert ran.calls["CreateFilter"] == 2
    assert ran.calls["Login"] == 1
    assert ran.total == 4 + 2 + 1 + 10 + 10 + 4 + 1 + 20


@pytest.mark.parametrize(
    ("method", "how"),
    [
        ("CreateSnapshot_Task", {"do": "task-fault", "fault": "SystemError"}),
        # The snapshot is there, although its task has failed.
        ("CreateSnapshot_Task", {"do": "task-fault-after", "fault": "SystemError"}),
        ("CreateSnapshot_Task", {"do": "fault", "fault": "InvalidState"}),
        ("CreateSnapshot_Task", {"do": "drop-after"}),
        ("RemoveSnapshot_Task", {"do": "task-fault", "fault": "SystemError"}),
        ("RemoveSnapshot_Task", {"do": "fault", "fault": "InvalidState"}),
        ("RemoveSnapshot_Task", {"do": "drop-after"}),
        ("QueryChangedDiskAreas", {"do": "fault", "fault": "SystemError"}),
    ],
)
def test_one_in_five_fails_and_no_snapshot_stays(ten, method, how):
    for name in ("web-02", "web-07"):
        ten.sim.inject(method=method, name=name, **how)
    ran = ten.attempt(vms=[{"name": name} for name in _NAMES], parallel=4)
    failed = [entry["name"] for entry in ran.result["failures"]]
    assert failed == [entry["name"] for entry in ran.vms if "error" in entry]
    # What was asked for in vain is tried again where that cannot do harm: removing.
    assert failed == ([] if method == "RemoveSnapshot_Task" else ["web-02", "web-07"])
    assert left(ten) == []
    for entry in ran.vms:
        known = [disk for disk in entry["disks"] if "error" not in disk]
        assert ("error" in entry) == (len(known) < 2)


def test_a_snapshot_goes_whose_task_has_failed_and_does_not_say_when(areas, monkeypatch):
    no_times(monkeypatch)
    areas.sim.inject(method="CreateSnapshot_Task", do="task-fault-after", fault="SystemError")
    assert areas.attempt().one["error"]["error_code"] == "system_error"
    assert areas.snapshots("web-1") == []


def test_a_snapshot_that_cannot_be_removed_is_reported_and_goes_with_the_next_run(areas):
    areas.sim.inject(method="RemoveSnapshot_Task", times=0, do="task-fault", fault="SystemError", message="no")
    ran = areas.attempt()
    assert "Snapshots were left on /DC0/vm/web-1" in str(ran.error)
    assert ran.one["snapshot"]["removed"] is False
    assert areas.snapshots("web-1") == [KIND.name]
    areas.sim.clear()
    # Its run may still be at work as far as another machine knows; here, this very process is its owner.
    assert "may still be at work" in areas.run().one["warnings"][0]
    assert areas.snapshots("web-1") == [KIND.name]


def _leave(areas, owner, seconds=60, name=KIND.name, uuid=None):
    vm = areas.vm("web-1")
    text = OwnerMark(uuid or vm.config.instanceUuid, "run", owner, seconds).description(KIND)
    areas.sim.govc("snapshot.create", "-vm", "web-1", "-m=false", "-d", text, name)


def _gone():
    """A process that is over: this one's number, begun at another time."""
    this = Owner.this()
    return Owner(this.place, this.pid, "1")


def test_the_left_over_of_a_killed_run_is_removed_and_reported(areas):
    areas.snapshot("web-1", "mine")
    _leave(areas, _gone())
    assert areas.run(check=True).one["actions"] == ["leftover_removed"]
    assert areas.snapshots("web-1") == ["mine", KIND.name]
    ran = areas.run()
    assert (ran.one["actions"], ran.result["changed"]) == (["leftover_removed"], True)
    assert areas.snapshots("web-1") == ["mine"]
    assert areas.run().result["changed"] is False


def test_of_two_left_overs_one_that_is_removed_is_a_change(areas):
    _leave(areas, _gone())
    _leave(areas, _gone())
    areas.sim.inject(method="RemoveSnapshot_Task", nth=2, times=0, do="task-fault", fault="SystemError", message="no")
    ran = areas.attempt(state="disabled")
    assert ran.one["actions"][0] == "leftover_removed"
    assert (ran.code, ran.one["changed"], len(areas.snapshots("web-1"))) == ("system_error", True, 1)


def test_it_stands_in_nobodys_way_when_tracking_is_switched_on(start):
    areas = start()
    areas.make("web-1", tracked=False)
    _leave(areas, _gone())
    assert areas.run(state="enabled").one["actions"] == ["leftover_removed", "switched_on", "activated"]


@pytest.mark.parametrize(
    ("owner", "seconds", "removed"),
    [
        (Owner("another machine", 1, "1"), 3600, False),
        (Owner("another machine", 1, "1"), -10, True),
        (Owner.this(), 3600, False),
    ],
)
def test_the_snapshot_of_a_run_elsewhere_is_removed_when_its_time_is_over(areas, owner, seconds, removed):
    _leave(areas, owner, seconds)
    ran = areas.run()
    assert ("leftover_removed" in ran.one["actions"]) is removed
    assert areas.snapshots("web-1") == ([] if removed else [KIND.name])
    assert bool(ran.one["warnings"]) is not removed


@pytest.mark.parametrize("how", [{"name": "vforge-changed-areas-2"}, {"uuid": "50000000-0000-0000-0000-00000000ffff"}])
def test_what_only_looks_like_ours_is_the_users(areas, how):
    _leave(areas, _gone(), **how)
    before = areas.snapshots("web-1")
    assert areas.run().one["actions"] == []
    assert areas.snapshots("web-1") == before


def test_a_snapshot_of_our_name_without_our_mark_is_the_users(areas):
    areas.snapshot("web-1", KIND.name)
    assert areas.run().one["actions"] == []
    assert areas.snapshots("web-1") == [KIND.name]


@pytest.mark.parametrize("method", ["CreateSnapshot_Task", "QueryChangedDiskAreas", "RemoveSnapshot_Task"])
def test_a_signal_at_any_step_leaves_an_exact_account_and_no_snapshot(ten, method, tmp_path):
    state = {"state_file": str(tmp_path / "state.json"), "change_id": "*"}
    ran = ten.ended_at(method, 2, vms=[{"name": name} for name in _NAMES], parallel=3, **state)
    assert left(ten) == []
    assert ran.result["failures"]
    assert ran.result["state_saved"] is False
    for entry in ran.vms:
        known = [disk for disk in entry["disks"] if "error" not in disk]
        assert ("error" in entry) == (len(known) < 2)


def test_when_the_time_is_over_the_snapshots_go_all_the_same(ten):
    ran = ten.late("QueryChangedDiskAreas", 5, vms=[{"name": name} for name in _NAMES], parallel=1)
    assert "The time allowed" in str(ran.error)
    assert left(ten) == []
    assert {entry["error"]["error_code"] for entry in ran.vms if "error" in entry} == {"not_attempted"}
