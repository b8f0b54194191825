# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Snapshots of first class disks, against the simulator."""

from __future__ import annotations

import datetime
import types

import pytest

from ansible_collections.vforge.vsphere.plugins.module_utils._vsphere import fcd
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.fcd.running import (
    actions,
    entry,
)

DISK = {"name": "d"}


@pytest.fixture
def disk(disks):
    """A disk of 8 MiB; its ID."""
    return entry(disks.one(name="d", size="8 MiB"))["id"]


def test_a_snapshot_is_made_and_removed_once(disks, disk):
    wanted = {"disk": DISK, "description": "before"}
    dry = disks.snapshots(wanted, check=True)
    assert (actions(dry), entry(dry)["id"]) == (["created"], None)
    assert disks.seen(disk)["snapshots"] == 0
    made = disks.snapshots(wanted)
    assert actions(made) == ["created"]
    assert entry(made)["id"]
    again = disks.snapshots(wanted)
    assert (again.result["changed"], entry(again)["id"]) == (False, entry(made)["id"])
    assert entry(made)["id"] in disks.govc("disk.snapshot.ls", "-ds", "LocalDS_0", disk)
    assert actions(disks.snapshots({**wanted, "state": "absent"})) == ["removed"]
    assert disks.snapshots({**wanted, "state": "absent"}).result["changed"] is False
    assert disks.seen(disk)["snapshots"] == 0


@pytest.mark.parametrize("check", [True, False])
def test_a_snapshot_or_a_revert_that_two_items_name_in_two_ways_is_refused(disks, disk, check):
    first = {"disk": DISK, "id": entry(disks.snapshots({"disk": DISK, "description": "first"}))["id"]}
    second = {"disk": {"id": disk}, "description": "second"}
    disks.snapshots(second)
    reverted = [{**each, "state": "reverted"} for each in (first, second)]
    for twice in (reverted, [first, {"disk": {"id": disk}, "description": "first", "state": "absent"}]):
        refused = disks.attempt_snapshots(*twice, check=check)
        assert "snapshots has one twice" in str(refused.error)
    assert disks.seen(disk)["snapshots"] == 2


@pytest.mark.usefixtures("disk")
def test_snapshots_that_are_not_there_are_not_taken_for_one(disks):
    ids = [entry(disks.snapshots({"disk": DISK, "description": name}))["id"] for name in ("first", "second")]
    gone = [{"disk": DISK, "id": each, "state": "absent"} for each in ids]
    assert disks.snapshots(*gone).result["changed"] is True
    assert disks.snapshots(*gone).result["changed"] is False
    failed = disks.attempt_snapshots(*({**each, "state": "present"} for each in gone))
    assert [each["error_code"] for each in failed.result["failures"]] == ["not_found", "not_found"]


def test_a_disk_is_reverted_and_later_snapshots_go(disks, disk):
    disks.write(disk, 0)
    first = disks.snapshots({"disk": DISK, "description": "first"})
    disks.write(disk, 512)
    second = disks.snapshots({"disk": DISK, "description": "second"})
    disks.write(disk, 1024)
    asked = {"disk": {"id": disk}, "id": entry(first)["id"], "state": "reverted"}
    assert entry(disks.snapshots(asked, check=True))["lost"] == [entry(second)["id"]]
    ran = disks.snapshots(asked)
    assert (actions(ran), entry(ran)["lost"]) == (["reverted"], [entry(second)["id"]])
    assert "reverted to" in ran.result["diff"]["after"]
    assert disks.written(disk) == [[0, 512]]
    assert disks.seen(disk)["snapshots"] == 1


@pytest.mark.usefixtures("disk")
def test_a_disk_that_a_vm_has_is_not_reverted(disks):
    disks.sim.create_vm("box", on=False)
    disks.snapshots({"disk": DISK, "description": "s"})
    disks.one(name="d", attached_to={"name": "box"})
    ran = disks.attempt_snapshots({"disk": DISK, "description": "s", "state": "reverted"})
    assert entry(ran)["error"]["in_use"] is True
    assert "RevertVStorageObject_Task" not in ran.calls


def test_a_disk_is_made_of_a_snapshot_once(disks, disk):
    disks.write(disk, 0)
    wanted = {"disk": DISK, "description": "s", "new_disk": "of-s"}
    ran = disks.snapshots(wanted)
    assert actions(ran) == ["created", "disk_made"]
    disks.write(disk, 512)
    assert disks.written(entry(ran)["new_disk"]) == [[0, 512]]
    assert disks.snapshots(wanted).result["changed"] is False


def test_descriptions_that_repeat_are_listed_by_their_ids(disks, disk):
    for _each in range(2):
        disks.govc("disk.snapshot.create", "-ds", "LocalDS_0", disk, "same")
    ran = disks.attempt_snapshots({"disk": DISK, "description": "same", "state": "absent"})
    error = entry(ran)["error"]
    assert error["error_code"] == "ambiguous"
    assert len(error["matches"]) == 2
    removed = disks.snapshots({"disk": DISK, "id": error["matches"][0], "state": "absent"})
    assert actions(removed) == ["removed"]
    assert actions(disks.snapshots({"disk": DISK, "description": "same", "state": "absent"}))


@pytest.mark.usefixtures("disk")
def test_one_that_fails_does_not_stop_the_others(disks):
    disks.sim.inject(method="VStorageObjectCreateSnapshot_Task", do="task-fault", fault="NoDiskSpace")
    ran = disks.attempt_snapshots(
        {"disk": DISK, "description": "a"},
        {"disk": {"name": "nobody"}, "description": "b"},
        {"disk": DISK, "description": "c", "state": "reverted"},
        {"disk": DISK, "description": "d", "state": "absent"},
    )
    codes = [each.get("error", {}).get("error_code") for each in ran.result["snapshots"]]
    assert codes == ["no_disk_space", "not_found", "not_found", None]
    assert ran.result["changed"] is False


def test_snapshots_stand_in_the_order_of_their_times_whatever_vcenter_lists_first():
    """The API reference promises no order."""
    times = {f"id-{hour}": datetime.datetime(2026, 1, 1, hour, tzinfo=datetime.UTC) for hour in (3, 1, 2)}
    listed = [
        types.SimpleNamespace(id=types.SimpleNamespace(id=key), description="", createTime=at, backingObjectId="")
        for key, at in times.items()
    ]
    session = types.SimpleNamespace(
        retrying=lambda _call: types.SimpleNamespace(snapshots=listed), reference=lambda _kind, moid: moid
    )
    found = fcd.read_snapshots(session, types.SimpleNamespace(moid="datastore-1"), "disk")
    assert [each.id for each in found] == ["id-1", "id-2", "id-3"]
