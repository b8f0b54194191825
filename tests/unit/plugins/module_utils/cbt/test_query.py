# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What changed, against a simulator that computes its answers from what was written."""

from __future__ import annotations

import json

import pytest
from pyVmomi import vim, vmodl

from ansible_collections.vforge.vsphere.plugins.module_utils._cbt.task import Answer
from ansible_collections.vforge.vsphere.plugins.module_utils._connector import faults
from ansible_collections.vforge.vsphere.plugins.module_utils._vsphere import tracking
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.cbt.support import MIB

KIB = 1 << 10


@pytest.fixture
def state(tmp_path):
    """Where the state file is to be."""
    return str(tmp_path / "state.json")


def text_of(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def told(disk):
    return [(area["start"], area["length"]) for area in disk["areas"]]


def test_every_night_since_the_last_one(areas, state):
    first = areas.night(state_file=state).disk
    assert (first["full_required_code"], first["areas"], first["changed_bytes"]) == ("no_change_id", None, None)
    areas.sim.write_disk("web-1", offset=8 * KIB, length=4 * KIB, seed=1)
    areas.sim.write_disk("web-1", offset=12 * KIB, length=4 * KIB, seed=2)
    areas.sim.write_disk("web-1", offset=63 * MIB, length=MIB, seed=3)
    second = areas.night(state_file=state).disk
    assert second["since"] == first["change_id"]
    assert told(second) == [(8 * KIB, 8 * KIB), (63 * MIB, MIB)]
    assert (second["area_count"], second["changed_bytes"]) == (2, MIB + 8 * KIB)
    third = areas.night(state_file=state).disk
    assert (third["areas"], third["changed_bytes"], third["full_required"]) == ([], 0, False)
    assert areas.snapshots("web-1") == []


def test_without_a_state_file_all_areas_in_use_are_reported(areas):
    areas.sim.datastore_type("LocalDS_0", "VMFS")
    areas.sim.write_disk("web-1", offset=MIB, length=MIB, seed=1)
    ran = areas.run()
    assert (ran.disk["since"], told(ran.disk)) == ("*", [(MIB, MIB)])
    assert ran.result["totals"]["bytes_to_read"] == MIB


def test_where_it_is_not_known_what_is_in_use_the_whole_disk_is_one_area(areas):
    areas.sim.datastore_type("LocalDS_0", "NFS")
    assert told(areas.run(change_id="*").disk) == [(0, 64 * MIB)]


def test_a_change_id_that_was_kept_elsewhere(areas):
    kept = areas.run().disk["change_id"]
    areas.sim.write_disk("web-1", offset=0, length=KIB, seed=1)
    areas.run()
    areas.sim.write_disk("web-1", offset=4 * KIB, length=KIB, seed=1)
    for asked in ({"change_id": kept}, {"disks": [{"label": "Hard disk 1", "change_id": kept}]}):
        assert told(areas.run(**asked).disk) == [(0, KIB), (4 * KIB, KIB)]


def _revert(areas):
    areas.snapshot("web-1", "mine")
    areas.sim.govc("snapshot.revert", "-vm", "web-1", "mine")
    areas.sim.govc("vm.power", "-on", "web-1")


def _grow(areas):
    areas.sim.govc("vm.disk.change", "-vm", "web-1", "-disk.key", "2000", "-size", "128M")


def _restart_tracking(areas):
    areas.run(state="disabled")
    areas.snapshot("web-1", "mine")  # only now it is off in truth
    areas.sim.govc("snapshot.remove", "-vm", "web-1", "*")
    areas.run(state="enabled")


def _power_failure(areas):
    areas.sim.power_failure("web-1")
    areas.sim.govc("vm.power", "-on", "web-1")


@pytest.mark.parametrize(
    ("what", "codes"),
    [
        (_revert, {"tracking_restarted"}),
        (_grow, {"capacity_changed"}),
        (_restart_tracking, {"tracking_restarted"}),
        (_power_failure, {"tracking_restarted", "change_id_unknown"}),
    ],
)
def test_what_makes_a_disk_be_read_whole(areas, state, what, codes):
    areas.night(state_file=state)
    what(areas)
    disk = areas.night(state_file=state).disk
    assert disk["full_required"] is True
    assert disk["full_required_code"] in codes
    assert (disk["areas"], disk["area_count"], disk["changed_bytes"]) == (None, None, None)
    # From there on it goes on.
    areas.sim.write_disk("web-1", offset=0, length=KIB, seed=1)
    assert told(areas.night(state_file=state).disk) == [(0, KIB)]


def test_changes_go_on_over_a_snapshot_of_the_users_and_not_once_its_delta_disk_is_gone(areas, state):
    areas.night(state_file=state)
    areas.snapshot("web-1", "mine")
    for _night in range(2):
        areas.sim.write_disk("web-1", offset=0, length=KIB, seed=1)
        assert told(areas.night(state_file=state).disk) == [(0, KIB)]
    # A revert looks the same from outside where tracking goes on.
    areas.sim.govc("snapshot.remove", "-vm", "web-1", "mine")
    disk = areas.night(state_file=state).disk
    assert (disk["full_required_code"], disk["areas"]) == ("delta_disk_gone", None)
    areas.sim.write_disk("web-1", offset=KIB, length=KIB, seed=1)
    assert told(areas.night(state_file=state).disk) == [(KIB, KIB)]


@pytest.mark.parametrize(
    ("key", "code"),
    [("noTrack", "not_tracked"), ("noEpoch", "no_epoch"), ("cannotGetChanges", "change_id_unknown"), ("", "vcenter_refused")],
)
def test_any_file_fault_means_that_the_whole_disk_is_to_be_read(key, code):
    """Those that hosts are known to answer, and one that nobody knows yet."""
    fault = vim.fault.FileLocked(
        file="x", msg="locked", faultMessage=[vmodl.LocalizableMessage(key=f"vim.hostd.vmsvc.cbt.{key}")]
    )
    error = faults.translate(fault)
    error.__cause__ = fault
    assert tracking.full_required(error).code == code


@pytest.mark.parametrize(
    ("parameter", "code"),
    [("changeId", "change_id_unknown"), (None, "change_id_unknown"), ("deviceKey", None), ("startOffset", None)],
)
def test_a_change_id_that_is_refused_means_that_the_whole_disk_is_to_be_read(parameter, code):
    fault = vmodl.fault.InvalidArgument(invalidProperty=parameter, msg="A specified parameter was not correct.")
    error = faults.translate(fault)
    error.__cause__ = fault
    meaning = tracking.full_required(error)
    assert (meaning and meaning.code) == code


def test_a_disk_in_the_place_of_another_one_is_read_whole(start, state):
    areas = start()
    areas.make("web-1", 2)
    areas.night(state_file=state)
    areas.sim.govc("device.remove", "-vm", "web-1", "disk-1000-1")
    assert areas.night(state_file=state).disk["key"] == 2000
    areas.sim.govc("vm.disk.create", "-vm", "web-1", "-name", "web-1/another", "-size", "64M", "-ds", "LocalDS_0")
    codes = [disk.get("full_required_code") for disk in areas.night(state_file=state).one["disks"]]
    assert codes == [None, "disk_replaced"]
    assert [disk["areas"] for disk in areas.night(state_file=state).one["disks"]] == [[], []]


def test_disks_of_one_label_in_several_vms_are_told_apart(areas, state):
    areas.make("web-2")
    asked = {"vms": [{"name": "web-1"}, {"name": "web-2"}], "disks": [{"label": "hard disk 1"}], "state_file": state}
    areas.night(**asked)
    areas.sim.write_disk("web-1", offset=0, length=KIB, seed=1)
    areas.sim.write_disk("web-2", offset=MIB, length=MIB, seed=1)
    assert [told(vm["disks"][0]) for vm in areas.night(**asked).vms] == [[(0, KIB)], [(MIB, MIB)]]


def test_disks_of_one_title_keep_their_own_areas(areas, state, monkeypatch):
    # As where a user may not see the folders above two VMs of one name: their paths are the same then.
    monkeypatch.setattr(Answer, "title", "Hard disk 1 (2000) of /web")
    areas.make("web-2")
    asked = {"vms": [{"name": "web-1"}, {"name": "web-2"}], "state_file": state}
    areas.night(**asked)
    areas.sim.write_disk("web-1", offset=0, length=KIB, seed=1)
    areas.sim.write_disk("web-2", offset=MIB, length=MIB, seed=1)
    assert [told(vm["disks"][0]) for vm in areas.night(**asked).vms] == [[(0, KIB)], [(MIB, MIB)]]


def test_with_fail_it_is_a_failure_and_the_state_stays(areas, state):
    areas.night(state_file=state)
    before = text_of(state)
    _revert(areas)
    ran = areas.attempt(state_file=state, on_full_required="fail")
    assert (ran.code, ran.disk["full_required"], ran.result["state_saved"]) == ("full_required", True, False)
    assert text_of(state) == before
    assert areas.snapshots("web-1") == ["mine"]


def test_tracking_on_top_of_a_snapshot_does_not_know_what_is_in_use(start):
    areas = start()
    areas.make("web-1", tracked=False)
    areas.sim.datastore_type("LocalDS_0", "VMFS")
    areas.snapshot("web-1", "mine")
    areas.reconfigure("web-1", changeTrackingEnabled=True)
    areas.snapshot("web-1", "more")
    assert areas.run(change_id="*").disk["full_required_code"] == "no_epoch"


def test_an_existing_snapshot_is_asked_and_stays(areas):
    kept = areas.run().disk["change_id"]
    areas.sim.write_disk("web-1", offset=0, length=KIB, seed=1)
    moid = areas.snapshot("web-1", "one")._GetMoId()
    areas.sim.write_disk("web-1", offset=MIB, length=KIB, seed=1)
    areas.snapshot("web-1", "two")
    for named in ({"name": "one"}, {"path": "one"}, {"moid": moid}):
        ran = areas.run(snapshot=named, change_id=kept)
        assert told(ran.disk) == [(0, KIB)]
        assert ran.one["snapshot"] == {"moid": moid, "created": False, "removed": False}
        assert "CreateSnapshot_Task" not in ran.calls
    assert told(areas.run(snapshot={"path": "one/two"}, change_id=kept).disk) == [(0, KIB), (MIB, KIB)]
    assert told(areas.run(snapshot={"current": True}, change_id=kept, check=True).disk) == [(0, KIB), (MIB, KIB)]
    assert areas.attempt(snapshot={"name": "three"}).code == "not_found"
    assert areas.snapshots("web-1") == ["one", "two"]


def test_a_vm_that_is_off_needs_no_snapshot(areas, state):
    areas.night(state_file=state)
    areas.sim.write_disk("web-1", offset=0, length=KIB, seed=1)
    areas.sim.govc("vm.power", "-off", "web-1")
    ran = areas.night(state_file=state)
    assert (told(ran.disk), ran.one["snapshot"]) == ([(0, KIB)], None)
    assert "CreateSnapshot_Task" not in ran.calls
    areas.sim.govc("vm.power", "-on", "web-1")
    areas.sim.write_disk("web-1", offset=MIB, length=KIB, seed=1)
    # Reporting too much is allowed, reporting too little is not.
    assert (MIB, KIB) in told(areas.night(state_file=state).disk)


def test_check_mode_makes_no_snapshot_and_writes_nothing(areas, state, tmp_path):
    ran = areas.run(check=True, state_file=state, areas_directory=str(tmp_path / "areas"))
    assert (ran.disk["full_required_code"], ran.disk["areas"]) == ("no_change_id", None)
    assert "CreateSnapshot_Task" not in ran.calls
    assert not list(tmp_path.glob("*.*"))


def test_disks_that_cannot_be_reported_are_listed_with_their_reasons(start):
    areas = start()
    disks = [
        {"bytes": MIB},
        {"bytes": MIB, "mode": "independent_persistent"},
        {"bytes": MIB, "rdm": "physicalMode"},
        {"bytes": MIB, "rdm": "virtualMode"},
    ]
    areas.sim.create_vm("web-1", on=False, disks=disks)
    ran = areas.run(state="enabled")
    assert ran.one["actions"] == ["switched_on", "activated"]
    areas.sim.govc("vm.power", "-on", "web-1")
    ran = areas.run()
    assert [disk["key"] for disk in ran.one["disks"]] == [2000, 2003]
    assert [(disk["key"], disk["code"]) for disk in ran.one["excluded"]] == [(2001, "independent"), (2002, "physical_rdm")]
    ran = areas.attempt(on_excluded="fail")
    assert ran.code == "disk_excluded"
    assert "CreateSnapshot_Task" not in ran.calls
    assert areas.run(on_excluded="fail", disks=[{"unit": "scsi0:0"}]).disk["key"] == 2000


def test_many_areas_go_into_a_file(areas, tmp_path):
    kept = areas.run().disk["change_id"]
    areas.sim.write_disk("web-1", offset=0, length=512, count=5000, stride=4096, seed=1)
    folder = str(tmp_path / "areas")
    ran = areas.run(change_id=kept, areas_directory=folder, areas_limit=100)
    assert (ran.disk["areas"], ran.disk["area_count"]) == (None, 5000)
    with open(ran.disk["areas_file"], encoding="utf-8") as file:
        lines = [json.loads(line) for line in file]
    assert lines == [{"start": 4096 * number, "length": 512} for number in range(5000)]
    assert ran.calls["QueryChangedDiskAreas"] == 3


def test_what_a_disk_of_two_tebibytes_with_100000_areas_costs(start, tmp_path):
    areas = start()
    areas.make("big", size=2 << 40)
    kept = areas.run(vm={"path": "/DC0/vm/big"}).disk["change_id"]
    # Every other sector, so that the simulator's file has few extents: removing 100,000 of them takes some file systems long.
    areas.sim.write_disk("big", offset=0, length=512, count=100_000, stride=1024, seed=1)
    ran = areas.run(vm={"path": "/DC0/vm/big"}, change_id=kept, areas_directory=str(tmp_path))
    assert (ran.disk["area_count"], ran.disk["changed_bytes"]) == (100_000, 51_200_000)
    assert ran.calls["QueryChangedDiskAreas"] <= 51
    assert ran.total <= 51 + 14


def test_a_damaged_state_file_is_reported_before_anything_is_done(areas, state):
    with open(state, "w", encoding="utf-8") as file:
        file.write("{")
    ran = areas.attempt(state_file=state)
    assert ran.error is not None
    assert ran.error.error_code == "state_file_damaged"
    assert ran.calls == {}
