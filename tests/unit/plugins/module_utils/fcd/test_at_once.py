# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Two runs make a disk of one name, or a snapshot of one description, at the same time: vCenter takes both, and one stays."""

from __future__ import annotations

import concurrent.futures
import threading

import pytest

from ansible_collections.vforge.vsphere.plugins.module_utils._fcd import plan
from ansible_collections.vforge.vsphere.plugins.module_utils._vsphere.fcd import FirstClassDisk, Store
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.fcd.running import Disks, actions, entry

EARLY, LATE = "2026-01-01T00:00:00.000001+00:00", "2026-01-01T00:00:00.000002+00:00"


def held(sim, method, run, other):
    """Run something whose first call of a method goes on only when another run is over; returns what both are."""
    over = threading.Event()
    sim.reset_calls()
    call = sim.inject(method=method, do="delay")

    def beside():
        while not sim.called(method, 1) and not over.is_set():
            pass  # it has waited a while
        try:
            return other()
        finally:
            sim.clear(call)

    with concurrent.futures.ThreadPoolExecutor() as pool:
        second = pool.submit(beside)
        try:
            return run(), second.result()
        finally:
            over.set()


@pytest.mark.parametrize("more", [{}, {"clone_of": {"name": "source"}}])
def test_of_two_disks_the_one_that_was_made_first_stays(disks, more):
    disks.one(name="source", size="8 MiB")
    wanted = {"name": "d", "size": "8 MiB", "metadata": {"owner": "payroll"}, "relocation_disabled": True, **more}
    method = "CloneVStorageObject_Task" if more else "CreateDisk_Task"
    late, first = held(disks.sim, method, lambda: disks.one(**wanted), lambda: Disks(disks.sim).one(**wanted))
    assert actions(first)[0] == ("cloned" if more else "created")
    assert (actions(late), late.result["changed"], entry(late)["id"]) == ([], False, entry(first)["id"])
    assert sorted(disk["name"] for disk in disks.info().result["disks"]) == ["d", "source"]
    assert (actions(disks.one(**wanted)), late.called("DeleteVStorageObject_Task")) == ([], 1)
    assert ["Another run has made d" in each for each in disks.warnings] == [True]


def test_what_is_left_of_the_work_is_done_with_the_disk_that_stays(disks):
    late, first = held(
        disks.sim,
        "CreateDisk_Task",
        lambda: disks.one(name="d", size="16 MiB", metadata={"owner": "payroll"}),
        lambda: Disks(disks.sim).one(name="d", size="8 MiB"),
    )
    assert (actions(first), actions(late)) == (["created"], ["grown", "metadata_changed"])
    assert (entry(late)["capacity_mb"], entry(late)["metadata"]) == (16, {"owner": "payroll"})


def test_what_cannot_be_removed_again_is_named(disks):
    refused = {"do": "task-fault", "fault": "SystemError", "times": 0}
    disks.sim.inject(method="DeleteVStorageObject_Task", **refused)
    disks.sim.inject(method="DeleteSnapshot_Task", **refused)
    wanted, snapshot = {"name": "d", "size": "8 MiB"}, {"disk": {"name": "e"}, "description": "s"}
    late, first = held(disks.sim, "CreateDisk_Task", lambda: disks.one(**wanted), lambda: Disks(disks.sim).one(**wanted))
    assert (actions(late), entry(late)["id"] != entry(first)["id"]) == (["created"], True)
    assert [entry(first)["id"] in each and "Remove one of them." in each for each in disks.warnings] == [True]
    disks.one(name="e", size="8 MiB")
    late, first = held(
        disks.sim,
        "VStorageObjectCreateSnapshot_Task",
        lambda: disks.snapshots(snapshot),
        lambda: Disks(disks.sim).snapshots(snapshot),
    )
    assert actions(late) == ["created"]
    assert all(entry(each)["id"] in disks.warnings[-1] for each in (late, first))


def test_of_two_snapshots_the_one_that_was_made_first_stays(disks):
    disks.one(name="d", size="8 MiB")
    wanted = {"disk": {"name": "d"}, "description": "before"}
    late, first = held(
        disks.sim,
        "VStorageObjectCreateSnapshot_Task",
        lambda: disks.snapshots(wanted),
        lambda: Disks(disks.sim).snapshots(wanted),
    )
    assert (actions(first), actions(late), entry(late)["id"]) == (["created"], [], entry(first)["id"])
    again = disks.snapshots(wanted)
    assert (actions(again), entry(again)["id"]) == ([], entry(first)["id"])
    assert ["Another run has made the snapshot before of d" in each for each in disks.warnings] == [True]


def test_of_two_disks_of_a_snapshot_the_one_that_was_made_first_stays(disks):
    disks.one(name="d", size="8 MiB")
    disks.snapshots({"disk": {"name": "d"}, "description": "before"})
    wanted = {"disk": {"name": "d"}, "description": "before", "new_disk": "e"}
    late, first = held(
        disks.sim,
        "CreateDiskFromSnapshot_Task",
        lambda: disks.snapshots(wanted),
        lambda: Disks(disks.sim).snapshots(wanted),
    )
    assert (actions(first), actions(late), entry(late)["new_disk"]) == (["disk_made"], [], entry(first)["new_disk"])
    assert sorted(disk["name"] for disk in disks.info().result["disks"]) == ["d", "e"]
    assert ["Another run has made e" in each for each in disks.warnings] == [True]


def _disk(number, name="d", created=""):
    return FirstClassDisk(id=number, name=name, store=Store("datastore-1", "LocalDS_0"), capacity_mb=8, created=created)


@pytest.mark.parametrize(
    ("come", "first"),
    [
        ([], "own"),
        ([_disk("own", created=LATE)], "own"),
        # A list that lags behind is no reason to delete one's own: the other run would do the same.
        ([_disk("b", created=EARLY)], "own"),
        ([_disk("own", created=LATE), _disk("b", created=EARLY)], "b"),
        ([_disk("own", created=EARLY), _disk("b", created=LATE)], "own"),
        ([_disk("own", created=LATE), _disk("b", "e", created=EARLY)], "own"),
        # Of the same moment both runs take the one whose ID comes first.
        ([_disk("own", created=EARLY), _disk("a", created=EARLY)], "a"),
        ([_disk("own", created=EARLY), _disk("z", created=EARLY)], "own"),
    ],
)
def test_both_runs_take_the_same_disk_for_the_one_that_stays(come, first):
    assert plan.made_first(_disk("own"), come).id == first
