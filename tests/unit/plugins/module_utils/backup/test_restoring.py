# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Restores into a VM that is there, against a simulator whose disks have real bytes."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
import subprocess

import pytest
from pyVim.task import WaitForTask
from pyVmomi import vim, vmodl

from ansible_collections.vforge.vsphere.plugins.module_utils import _files
from ansible_collections.vforge.vsphere.plugins.module_utils._backup import local, restore_plan, restoring, settings, targets
from ansible_collections.vforge.vsphere.plugins.module_utils._backup.model import MACHINE_FILE
from ansible_collections.vforge.vsphere.plugins.module_utils._backup.repository import Repository
from ansible_collections.vforge.vsphere.plugins.module_utils._backup.restore_record import Made, Record
from ansible_collections.vforge.vsphere.plugins.module_utils._connector.rest import RestSession
from ansible_collections.vforge.vsphere.plugins.module_utils._disk_import import importing, places
from ansible_collections.vforge.vsphere.plugins.module_utils._errors import ConnectionLost, Fault, NotFound, StillRunning
from ansible_collections.vforge.vsphere.plugins.module_utils._role.needs import privileges_of
from ansible_collections.vforge.vsphere.plugins.module_utils._temporary_snapshots import Owner
from ansible_collections.vforge.vsphere.plugins.module_utils._vsphere import disks as vsphere_disks
from ansible_collections.vforge.vsphere.plugins.module_utils._vsphere import lease as leases
from ansible_collections.vforge.vsphere.plugins.module_utils._vsphere.datastore_files import DatastoreFiles, FileLocked
from ansible_collections.vforge.vsphere.plugins.module_utils._vsphere.policies import find_policy, policies_of
from ansible_collections.vforge.vsphere.plugins.module_utils._vsphere.vm import reference
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.backup.restores import MIB, restores
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.backup.support import why_nothing_can_be_mounted
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.connector.support import session


@pytest.fixture(name="web")
def _web(make_sim, tmp_path, monkeypatch):
    """The tracked VM web-1, which is on, with a disk of 4 MiB and a backup of it."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    with restores(make_sim("--vms", "2"), tmp_path) as known:
        known.make("web-1", size=4 * MIB)
        known.write(0, seed=1)
        known.run()
        yield known


def test_a_disk_is_as_it_was_and_the_old_one_is_gone(web):
    kept, old = web.content(), web.file()
    web.write(MIB, seed=2)
    assert web.content() != kept
    web.off()
    ran = web.restore()
    assert ran.result["changed"]
    assert ran.result["into"]["actions"] == ["disks_brought_in", "disks_replaced", "replaced_disks_deleted"]
    (disk,) = ran.result["disks"]
    assert (disk["action"], disk["compared"], disk["not_read"]) == ("restored", "content", "")
    assert disk["replaced"] == {"path": old, "deleted": True, "reason": ""}
    assert ran.total <= 38
    assert web.content() == kept
    assert (web.file(), web.file() != old) == (disk["path"], True)
    web.assert_nothing_is_left()
    (vm,) = local.info(str(web.repository), None)["vms"]
    assert [(each["to"], each["disks"]) for each in vm["points"][0]["restored"]] == [("the VM /DC0/vm/web-1", ["Hard disk 1"])]


def test_what_the_vm_has_already_is_left_alone(web):
    web.off()
    ran = web.restore()
    assert (ran.result["changed"], ran.result["disks"][0]["action"]) == (False, "unchanged")
    assert (ran.result["disks"][0]["compared"], ran.result["diff"]["before"]) == ("content", ran.result["diff"]["after"])
    assert (ran.called("ReconfigVM_Task"), ran.called("ImportVApp")) == (0, 0)
    web.on()
    web.write(3 * MIB, seed=3)
    web.off()
    assert web.restore().result["changed"]
    again = web.restore()
    assert (again.result["changed"], again.called("ReconfigVM_Task")) == (False, 0)


def test_check_mode_says_what_would_be_done_and_does_nothing(web):
    web.write(MIB, seed=2)
    content, file = web.content(), web.file()
    ran = web.restore(check=True, power_off=True)
    assert ran.result["into"]["actions"] == ["disks_brought_in", "powered_off", "disks_replaced", "replaced_disks_deleted"]
    assert (ran.result["changed"], ran.result["disks"][0]["action"]) == (True, "restored")
    assert file in ran.result["diff"]["before"]
    assert ran.result["point"] in ran.result["diff"]["after"]
    assert (web.content(), web.file(), web.state()) == (content, file, "poweredOn")
    assert ran.called("ReconfigVM_Task") + ran.called("ImportVApp") + ran.called("PowerOffVM_Task") == 0
    assert [path.name for path in web.repository.rglob("restore-*")] == []


def test_a_vm_that_runs_is_powered_off_when_the_disks_have_come_and_on_again(web):
    kept = web.content()
    web.write(MIB, seed=2)
    refused = web.try_restore()
    assert (refused.error.error_code, refused.result["changed"]) == ("not_powered_off", False)
    assert refused.called("ImportVApp") == 0
    ran = web.restore(power_off=True, powered_on=True)
    assert ran.result["into"]["actions"] == [
        "disks_brought_in",
        "powered_off",
        "disks_replaced",
        "replaced_disks_deleted",
        "powered_on",
    ]
    assert (web.content(), web.state()) == (kept, "poweredOn")
    web.assert_nothing_is_left()


def test_snapshots_are_refused_or_go(web):
    kept = web.content()
    web.off()
    web.sim.govc("snapshot.create", "-vm", "web-1", "-m=false", "before the upgrade")
    web.on()
    web.write(MIB, seed=2)
    web.off()
    refused = web.try_restore()
    assert (refused.error.error_code, refused.error.details["snapshots"]) == ("snapshots", ["before the upgrade"])
    ran = web.restore(snapshots="remove")
    assert "snapshots_removed" in ran.result["into"]["actions"]
    assert (web.content(), web.snapshots("web-1")) == (kept, [])
    web.assert_nothing_is_left()


def test_the_replaced_disk_stays_where_that_is_asked_for(web):
    old = web.file()
    web.write(MIB, seed=2)
    web.off()
    (disk,) = web.restore(keep_replaced=True).result["disks"]
    assert disk["replaced"] == {"path": old, "deleted": False, "reason": "keep_replaced is set"}
    assert old in "\n".join(web.orphans()) or any(file.endswith(old.rpartition("/")[2]) for file in web.orphans())
    # Nor does a later run delete it.
    web.on()
    web.write(2 * MIB, seed=4)
    web.off()
    web.restore()
    assert any(file.endswith(old.rpartition("/")[2]) for file in web.orphans())


def test_what_a_linked_clone_builds_on_stays(web):
    web.off()
    web.sim.govc("snapshot.create", "-vm", "web-1", "-m=false", "base")
    where = ("-ds", "LocalDS_0", "-pool", "/DC0/host/DC0_C0/Resources")
    web.sim.govc("vm.clone", "-vm", "web-1", "-snapshot", "base", "-link", "-on=false", *where, "linked")
    on_clone = web.sim.read_disk("linked", length=4 * MIB)
    web.on()
    web.write(MIB, seed=2)
    web.off()
    ran = web.restore(snapshots="remove")
    assert ran.result["changed"]
    assert web.sim.read_disk("linked", length=4 * MIB) == on_clone


def test_a_disk_that_another_vm_has_as_well_stays(web):
    web.write(MIB, seed=2)
    web.off()
    old, content = web.file(), web.content()
    web.make("web-2", size=MIB, on=False, tracked=False)
    path = old.partition("] ")[2]
    web.sim.govc("vm.disk.attach", "-vm", "web-2", "-ds", "LocalDS_0", "-disk", path, "-link=false")
    (disk,) = web.restore().result["disks"]
    assert disk["replaced"] == {"path": old, "deleted": False, "reason": "it is used by web-2"}
    (shared,) = [each for each in web.sim.vm("web-2")["disks"] if each["key"] != 2000]
    assert web.sim.read_disk("web-2", key=shared["key"], length=4 * MIB) == content


def test_the_next_backup_after_a_restore_is_whole_and_right(web):
    web.write(MIB, seed=2)
    web.off()
    web.restore()
    web.on()
    web.write(2 * MIB, 65536, seed=5)
    second = web.run()
    assert (second.disk["kind"], second.disk["reason"]["code"]) == ("full", "disk_replaced")
    assert web.restored(1) == web.content()
    web.write(3 * MIB, 65536, seed=6)
    third = web.run(mode="incremental")
    assert third.disk["read"] == 65536
    assert web.restored(2) == web.content()


def test_a_vm_is_compared_with_a_repository_that_is_mounted_read_only(web, tmp_path):
    """As the role does with a VM that it has made of a package."""
    (mounted := tmp_path / "mounted").mkdir(mode=0o700)
    if why := why_nothing_can_be_mounted(mounted):
        pytest.skip(why)
    web.off()
    subprocess.run(["mount", "--bind", "-o", "ro", web.repository, mounted], check=True)
    try:
        (disk,) = web.restore(repository=str(mounted), check=True).result["disks"]
        assert disk["not_read"] == ""
        assert web.try_restore(repository=str(mounted)).error.error_code == "file_unwritable"
    finally:
        # Lazily: the error that was looked at keeps the repository open.
        subprocess.run(["umount", "--lazy", mounted], check=True)
    web.assert_nothing_is_left()


def test_any_kept_point_by_its_id_or_by_a_time(web):
    first = web.content()
    (point,) = web.points()
    web.write(MIB, seed=2)
    web.run()
    second = web.content()
    web.off()
    web.restore(point=point.id)
    assert web.content() == first
    web.restore(point="latest")
    assert web.content() == second
    missing = web.try_restore(before="2020-01-01")
    assert (missing.error.error_code, "The oldest is of" in missing.error.hint) == ("not_found", True)
    assert web.restore(before="2999-01-01T00:00:00Z").result["changed"] is False


def unknown(monkeypatch, web, name="stranger", **where):
    """Make a VM whose files vCenter does not know."""
    web.sim.create_vm(name, on=False, **where)
    known = vsphere_disks._holders_in

    def unreadable(rows):
        return known([dataclasses.replace(row, values={"name": name}) if row.get("name") == name else row for row in rows])

    monkeypatch.setattr(vsphere_disks, "_holders_in", unreadable)


def test_a_disk_that_a_vm_may_have_whose_files_are_not_known_stays(web, monkeypatch):
    web.write(MIB, seed=2)
    web.off()
    old = web.file()
    unknown(monkeypatch, web)
    ran = web.restore()
    (disk,) = ran.result["disks"]
    why = "vCenter does not know the files of stranger, which may have it"
    assert disk["replaced"] == {"path": old, "deleted": False, "reason": why}
    assert ran.called("DeleteVirtualDisk_Task") == 0


# Several disks


@pytest.fixture(name="db")
def _db(make_sim, tmp_path, monkeypatch):
    """The VM web-1, which is off, with three disks of 1 MiB, all of zeros at its backup and written to since."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    with restores(make_sim("--vms", "2"), tmp_path) as known:
        known.make("web-1", disks=3, size=MIB)
        known.run()
        for key in (2000, 2001, 2002):
            known.write(0, 65536, seed=key, key=key)
        known.off()
        yield known


def test_disks_that_are_the_same_at_the_point_are_as_many_disks(db):
    db.restore()
    assert [db.content(key=key) for key in (2000, 2001, 2002)] == [bytes(MIB)] * 3
    assert len({db.file(key=key) for key in (2000, 2001, 2002)}) == 3
    db.assert_nothing_is_left()


def test_one_disk_and_the_others_stay(db):
    others = db.file(key=2000), db.file(key=2002)
    result = db.restore(disks=["hard DISK 2"]).result
    assert [disk["unit"] for disk in result["disks"]] == ["scsi0:1"]
    assert result["left"] == ["Hard disk 1", "Hard disk 3"]
    assert db.content(key=2001) == bytes(MIB)
    assert (db.file(key=2000), db.file(key=2002)) == others
    assert db.content() != bytes(MIB)


def test_a_disk_that_was_taken_off_comes_to_its_place_again(db):
    db.sim.govc("device.remove", "-vm", "web-1", "-keep", "disk-1000-1")
    result = db.restore(disks=["scsi0:1"]).result
    assert (result["disks"][0]["action"], result["disks"][0]["replaced"]) == ("restored", None)
    assert result["into"]["actions"] == ["disks_brought_in", "disks_replaced"]
    devices = db.vm("web-1").config.hardware.device
    (key,) = [each.key for each in devices if getattr(each.backing, "fileName", "") == result["disks"][0]["path"]]
    assert db.content(key=key) == bytes(MIB)


def test_if_one_disk_does_not_come_none_is_exchanged(db):
    files = [db.file(key=key) for key in (2000, 2001, 2002)]
    db.sim.inject(method="ImportVApp", nth=3, do="task-fault", fault="NoDiskSpace")
    failed = db.try_restore()
    assert failed.error is not None
    assert (failed.result["disks"][0]["action"], failed.result["disks"][0]["replaced"]) == ("none", None)
    # Two of them have come, and stay for the next run.
    assert failed.result["into"]["actions"] == ["disks_brought_in"]
    assert failed.result["changed"]
    assert [db.file(key=key) for key in (2000, 2001, 2002)] == files
    db.sim.clear()
    again = db.restore()
    assert again.called("ImportVApp") == 1
    assert [db.content(key=key) for key in (2000, 2001, 2002)] == [bytes(MIB)] * 3
    db.assert_nothing_is_left()


def test_a_vm_that_is_changed_meanwhile_keeps_its_disks(db):
    files = [db.file(key=key) for key in (2000, 2001, 2002)]
    db.sim.inject(method="ReconfigVM_Task", nth=4, do="task-fault", fault="ConcurrentAccess", times=2)
    failed = db.try_restore()
    assert (failed.error.error_code, failed.result["disks"][0]["action"]) == ("concurrent_access", "none")
    assert [db.file(key=key) for key in (2000, 2001, 2002)] == files
    db.sim.clear()
    assert db.restore().called("ImportVApp") == 0
    db.assert_nothing_is_left()


def test_a_vm_whose_configuration_vcenter_changes_after_the_power_off_is_read_again(db):
    db.on()
    db.sim.inject(method="ReconfigVM_Task", nth=2, do="task-fault", fault="ConcurrentAccess")
    ran = db.restore(disks=["2000"], power_off=True, powered_on=True)
    assert (ran.called("ReconfigVM_Task"), db.content(), db.state()) == (3, bytes(MIB), "poweredOn")
    db.assert_nothing_is_left()


@pytest.mark.parametrize(
    ("method", "rule"),
    [
        ("ReconfigVM_Task", {"nth": 2, "times": 2, "do": "task-fault", "fault": "ConcurrentAccess"}),
        ("ReconfigVM_Task", {"nth": 2, "do": "fault", "fault": "InvalidArgument"}),
        ("ReconfigVM_Task", {"nth": 2, "do": "drop"}),
        ("PowerOffVM_Task", {"do": "task-fault-after", "fault": "SystemError"}),
    ],
    ids=["changed", "refused", "lost", "off"],
)
def test_a_vm_that_was_powered_off_for_nothing_runs_again(db, method, rule):
    db.on()
    file = db.file()
    db.sim.inject(method=method, **rule)
    failed = db.try_restore(disks=["2000"], power_off=True)
    assert failed.error is not None
    assert (db.state(), db.file()) == ("poweredOn", file)
    assert failed.result["into"]["actions"][-1] == "powered_on"
    db.sim.clear()
    assert db.restore(disks=["2000"], power_off=True).called("ImportVApp") == 0
    assert (db.state(), db.content()) == ("poweredOff", bytes(MIB))
    db.assert_nothing_is_left()


@pytest.mark.parametrize("do", ["drop", "drop-after"])
def test_a_restored_vm_is_powered_on_though_an_answer_is_lost(db, do):
    db.sim.inject(method="PowerOnVM_Task", do=do)
    ran = db.restore(disks=["2000"], powered_on=True)
    assert (ran.result["into"]["actions"][-1], db.state()) == ("powered_on", "poweredOn")


def test_a_vm_that_cannot_be_started_again_is_reported(db):
    db.on()
    db.sim.inject(method="ReconfigVM_Task", nth=2, do="fault", fault="InvalidArgument")
    db.sim.inject(method="PowerOnVM_Task", do="task-fault", fault="InsufficientResourcesFault")
    failed = db.try_restore(disks=["2000"], power_off=True)
    assert failed.error.error_code == "invalid_argument"
    assert "was not started again" in failed.result["into"]["warnings"][0]
    assert (db.state(), failed.result["into"]["actions"][-1]) == ("poweredOff", "powered_off")


def test_a_vm_whose_disks_may_be_the_restored_ones_stays_off(db):
    db.on()
    db.sim.inject(method="ReconfigVM_Task", nth=2, do="drop-after")
    failed = db.try_restore(disks=["2000"], power_off=True)
    assert (failed.called("PowerOnVM_Task"), db.state(), db.content()) == (0, "poweredOff", bytes(MIB))


def test_a_vm_is_not_started_beside_an_exchange_that_goes_on(db, monkeypatch):
    def goes_on(*_asked):
        raise StillRunning("It goes on.", task="task-1")

    db.on()
    monkeypatch.setattr(targets, "start_exchange", goes_on)
    failed = db.try_restore(disks=["2000"], power_off=True)
    assert (failed.error.error_code, failed.called("PowerOnVM_Task"), db.state()) == ("still_running", 0, "poweredOff")
    assert "was not started again: What was begun on it may still" in failed.result["into"]["warnings"][0]


def test_a_vm_that_gets_its_restored_disks_late_is_not_started_with_them(db, monkeypatch):
    """vCenter refuses to power it on while it exchanges the disks, and the call is made again after that."""
    asked, start = [], targets.start_exchange

    def unanswered(*given):
        asked.append(given)
        raise ConnectionLost("No answer has come.")

    def refused_at_first(_session, _moid):
        task = start(*asked[-1])._GetMoId()
        WaitForTask(vim.Task(task, db.vm("web-1")._stub))
        raise Fault("TaskInProgress", "task_in_progress", "Another task works on it.", task=task)

    db.on()
    monkeypatch.setattr(targets, "start_exchange", unanswered)
    monkeypatch.setattr(restoring, "start_power_on", refused_at_first)
    failed = db.try_restore(disks=["2000"], power_off=True)
    assert (failed.called("PowerOnVM_Task"), db.state(), db.content(), len(asked)) == (0, "poweredOff", bytes(MIB), 1)
    assert "was not started again: It has the restored disks" in failed.result["into"]["warnings"][0]


def test_an_exchange_whose_answer_is_lost_is_known_to_the_next_run(db):
    db.sim.inject(method="ReconfigVM_Task", nth=4, do="drop-after")
    db.try_restore()
    db.sim.clear()
    ran = db.restore()
    assert ran.called("ImportVApp") == 0
    assert [db.content(key=key) for key in (2000, 2001, 2002)] == [bytes(MIB)] * 3
    db.assert_nothing_is_left()


def test_a_restored_vm_runs_again_though_nothing_can_be_noted_any_more(db, monkeypatch):
    """Once its disks are exchanged, the file system of the repository is full, or read-only."""
    start, save, exchanged = targets.start_exchange, Record._save, []

    def exchange(*args):
        exchanged.append(True)
        return start(*args)

    def full(record):
        if exchanged:
            raise _files.FileUnwritable("The record of a restore cannot be written: No space left on device.")
        save(record)

    with monkeypatch.context() as patched:
        patched.setattr(targets, "start_exchange", exchange)
        patched.setattr(Record, "_save", full)
        ran = db.restore(disks=["2000"], powered_on=True)
    assert (db.state(), ran.result["disks"][0]["replaced"]["deleted"]) == ("poweredOn", True)
    said = [each for each in ran.result["into"]["warnings"] if "could not be noted" in each]
    assert (len(said), "No space left on device" in said[0]) == (1, True)
    db.off()
    db.restore(disks=["2000"])
    assert not db.restore(disks=["2000"]).result["changed"]
    db.assert_nothing_is_left()


def test_a_disk_that_cannot_be_deleted_goes_with_the_next_run(db):
    old = db.file()
    db.sim.inject(method="DeleteVirtualDisk_Task", do="task-fault", fault="FileLocked")
    ran = db.restore(disks=["2000"])
    assert ran.result["disks"][0]["replaced"]["deleted"] is False
    assert any(old in warning for warning in db.warnings)
    db.sim.clear()
    assert db.restore(disks=["2000"]).result["into"]["actions"] == ["leftover_removed"]
    db.assert_nothing_is_left()


def test_the_vm_of_an_import_that_could_not_be_removed_goes_with_the_next_run(web, monkeypatch):
    """Also where the VM has the restored disk by then, so that nothing is imported any more."""
    web.write(MIB, seed=2)
    web.off()
    web.sim.inject(method="Destroy_Task", do="fault", fault="NoPermission", times=0)
    assert web.restore().result["disks"][0]["action"] == "restored"
    assert any("The next run removes it." in warning for warning in web.warnings)
    assert web.carriers()
    # The next run is another process.
    monkeypatch.setattr(Owner, "is_gone", lambda _self: True)
    assert web.restore().result["into"]["actions"] == []
    assert any("The next restore into this VM removes it." in warning for warning in web.warnings)
    web.sim.clear()
    assert web.restore(check=True).result["into"]["actions"] == ["leftover_removed"]
    assert web.carriers()
    ran = web.restore()
    assert (ran.result["into"]["actions"], ran.called("ImportVApp")) == (["leftover_removed"], 0)
    web.assert_nothing_is_left()
    assert not web.restore().result["changed"]


def test_where_replaced_disks_are_kept_those_of_an_earlier_run_are_too(db):
    old = db.file()
    db.sim.inject(method="DeleteVirtualDisk_Task", do="task-fault", fault="FileLocked")
    db.restore(disks=["2000"])
    db.sim.clear()
    ran = db.restore(disks=["2000"], keep_replaced=True)
    assert (ran.result["into"]["actions"], ran.called("DeleteVirtualDisk_Task")) == ([], 0)
    assert any(f"An earlier run has replaced {old}" in warning for warning in ran.result["into"]["warnings"])
    # Nor does a later run delete it.
    assert db.restore(disks=["2000"]).called("DeleteVirtualDisk_Task") == 0
    assert any(file.endswith(old.rpartition("/")[2]) for file in db.orphans())


@pytest.mark.parametrize(
    ("do", "times"), [("drop-after", 1), ("drop-after", 0), ("drop", 0)], ids=["answer", "answers", "calls"]
)
def test_a_deletion_that_is_not_answered_keeps_the_restored_vm_from_nothing(db, do, times):
    old = db.file()
    db.sim.inject(method="DeleteVirtualDisk_Task", do=do, times=times)
    ran = db.restore(disks=["2000"], powered_on=True)
    assert (db.state(), ran.result["into"]["actions"][-1]) == ("poweredOn", "powered_on")
    # A call that was lost is made again. Where none is answered it is not known what became of the disk.
    assert ran.result["disks"][0]["replaced"]["deleted"] == (times == 1)
    assert any(old in warning for warning in db.warnings) == (times == 0)
    db.sim.clear()
    assert db.restore(disks=["2000"], power_off=True).error is None
    db.assert_nothing_is_left()


def test_a_disk_that_came_wrong_is_deleted_and_nothing_changes(db, monkeypatch):
    files = [db.file(key=key) for key in (2000, 2001, 2002)]
    monkeypatch.setattr(restoring, "first_difference", lambda *_args: 0)
    failed = db.try_restore()
    assert (failed.error.error_code, failed.result["changed"]) == ("read_back_failed", False)
    assert [db.file(key=key) for key in (2000, 2001, 2002)] == files
    db.assert_nothing_is_left()


@pytest.mark.parametrize("gone", [True, False])
def test_a_disk_that_is_gone_or_cut_off_differs_and_was_read(db, gone):
    extent = pathlib.Path(db.sim.disk("web-1")["layers"][0]["extent"])
    if gone:
        extent.unlink()
    else:
        os.truncate(extent, MIB // 2)
    (disk,) = db.restore(check=True, disks=["2000"]).result["disks"]
    # The roles take a disk that would be restored and was read for one that differs.
    assert (disk["action"], disk["not_read"]) == ("restored", "")
    (disk,) = db.restore(disks=["2000"]).result["disks"]
    assert (disk["action"], db.content()) == ("restored", bytes(MIB))


# What others do meanwhile


def test_a_restore_that_waited_for_another_one_sees_what_that_has_exchanged(web, monkeypatch):
    first = web.points()[0].id
    web.write(MIB, seed=2)
    web.run()
    web.write(2 * MIB, seed=3)
    wanted = web.content()
    web.run()
    web.off()
    locked = Repository.locked

    @contextlib.contextmanager
    def after_another_run(*args, **more):
        monkeypatch.setattr(Repository, "locked", locked)
        web.sim.inject(method="ReconfigVM_Task", nth=2, do="drop-after")
        web.try_restore(point=first)
        web.sim.clear()
        with locked(*args, **more) as machine:
            yield machine

    monkeypatch.setattr(Repository, "locked", after_another_run)
    web.restore(point="latest")
    assert web.content() == wanted
    web.assert_nothing_is_left()


def test_a_leftover_that_the_vm_has_got_meanwhile_stays(db, monkeypatch):
    db.sim.inject(method="ReconfigVM_Task", nth=2, do="task-fault", fault="ConcurrentAccess", times=2)
    db.try_restore(disks=["2000"])
    db.sim.clear()
    (left,) = [file for file in db.orphans() if "restored-" in file and "-flat" not in file]
    leftovers = restore_plan.leftovers
    path = db.file().rpartition("/")[0].partition("] ")[2] + "/" + left.rpartition("/")[2]

    def attached_after(*args, **more):
        found = leftovers(*args, **more)
        db.sim.govc("vm.disk.attach", "-vm", "web-1", "-ds", "LocalDS_0", "-disk", path, "-link=false")
        return found

    monkeypatch.setattr(restore_plan, "leftovers", attached_after)
    # Of disks that are zeros all three can use it; only one that is wanted by none is a leftover.
    db.on()
    db.write(0, 65536, seed=7)
    db.run()
    db.off()
    ran = db.restore(point="latest")
    assert any("left alone, since web-1 has it" in warning for warning in ran.result["into"]["warnings"])
    devices = db.vm("web-1").config.hardware.device
    (key,) = [each.key for each in devices if getattr(each.backing, "fileName", "") == f"[LocalDS_0] {path}"]
    assert db.content(key=key) == bytes(MIB)


def test_disks_that_need_consolidation_once_their_snapshots_went_are_left_alone_and_it_is_said(web, monkeypatch):
    web.write(MIB, seed=2)
    web.off()
    web.sim.govc("snapshot.create", "-vm", "web-1", "-m=false", "before the upgrade")
    again = targets.again

    def needing(session, target):
        return dataclasses.replace(again(session, target), consolidate=not web.snapshots("web-1"))

    with monkeypatch.context() as patched:
        patched.setattr(targets, "again", needing)
        failed = web.try_restore(snapshots="remove")
    assert failed.error.error_code == "consolidation_needed"
    assert failed.result["into"]["actions"] == ["disks_brought_in", "snapshots_removed"]
    assert web.restore().called("ImportVApp") == 0
    web.assert_nothing_is_left()


def test_a_disk_that_is_put_there_while_snapshots_go_is_left_alone(web, monkeypatch):
    web.write(MIB, seed=2)
    web.off()
    web.sim.govc("snapshot.create", "-vm", "web-1", "-m=false", "before the upgrade")
    web.make("web-2", size=MIB, on=False, tracked=False)
    other = web.file("web-2")
    again, seen = targets.again, []

    def exchanged_before(session, target):
        if not seen and not web.snapshots("web-1"):
            seen.append(web.file())
            web.sim.govc("device.remove", "-vm", "web-1", "-keep", "disk-1000-0")
            web.sim.govc("device.remove", "-vm", "web-2", "-keep", "disk-1000-0")
            where = ("-ds", "LocalDS_0", "-disk", other.partition("] ")[2], "-link=false")
            web.sim.govc("vm.disk.attach", "-vm", "web-1", *where)
        return again(session, target)

    monkeypatch.setattr(targets, "again", exchanged_before)
    failed = web.try_restore(snapshots="remove")
    assert (failed.error.error_code, len(seen)) == ("changed_meanwhile", 1)
    (device,) = [each for each in web.vm("web-1").config.hardware.device if getattr(each.backing, "fileName", "") == other]
    assert (device.unitNumber, web.content(key=device.key) == bytes(MIB)) == (0, True)


@pytest.mark.parametrize("before", ["_prove", "_exchange"])
def test_nothing_is_left_for_a_vm_that_somebody_removes_while_its_disks_come(db, monkeypatch, before):
    """When the first disk has come, and when all have."""
    real, removed = getattr(restoring, before), []

    def remove_first(*args):
        if not removed:
            removed.append(db.sim.govc("vm.destroy", "web-1"))
        return real(*args)

    monkeypatch.setattr(restoring, before, remove_first)
    failed = db.try_restore()
    assert (failed.error.error_code, "is not there any more" in str(failed.error)) == ("not_found", True)
    assert (failed.result["changed"], failed.result["into"]["actions"]) == (False, [])
    assert not db.sim.govc("find", "/DC0/vm", "-name", "vforge-import-*")
    assert [file for file in db.orphans() if file.endswith(".vmdk")] == []
    assert db.sim.open_leases() == 0


# What an earlier run has brought in


def brought_in(db, **given):
    """Have a run bring the first disk in and end before the exchange; the path of that disk in its datastore."""
    db.sim.inject(method="ReconfigVM_Task", nth=2, do="task-fault", fault="ConcurrentAccess", times=2)
    db.try_restore(disks=["2000"], **given)
    db.sim.clear()
    (left,) = [file for file in db.orphans() if "restored-" in file and "-flat" not in file]
    return db.file().rpartition("/")[0].partition("] ")[2] + "/" + left.rpartition("/")[2]


@pytest.mark.parametrize("verify", ["manifest", "auto"])
def test_a_disk_that_came_and_was_deleted_since_is_brought_in_again(db, verify):
    db.sim.govc("datastore.rm", "-ds", "LocalDS_0", brought_in(db))
    ran = db.restore(disks=["2000"], verify=verify)
    assert (ran.called("ImportVApp"), db.content()) == (1, bytes(MIB))
    assert ran.result["into"]["warnings"] == []
    db.assert_nothing_is_left()


def test_a_disk_that_came_unread_is_read_where_that_is_asked_for(db):
    brought_in(db, verify="manifest")
    folder = pathlib.Path(db.sim.disk("web-1")["layers"][0]["extent"]).parent
    (extent,) = folder.glob("restored-*-flat.vmdk")
    with extent.open("r+b") as file:
        file.write(b"somebody's own")
    ran = db.restore(disks=["2000"], verify="content")
    assert (ran.called("ImportVApp"), ran.result["disks"][0]["compared"]) == (1, "content")
    assert db.content() == bytes(MIB)
    db.assert_nothing_is_left()


def test_a_disk_that_came_and_that_another_vm_has_since_is_left_to_that(db):
    path = brought_in(db)
    db.make("web-2", size=MIB, on=False, tracked=False)
    db.sim.govc("vm.disk.attach", "-vm", "web-2", "-ds", "LocalDS_0", "-disk", path, "-link=false")
    ran = db.restore(disks=["2000"])
    assert (ran.called("ImportVApp"), ran.result["disks"][0]["action"]) == (1, "restored")
    assert ran.result["disks"][0]["path"] != f"[LocalDS_0] {path}"
    assert ran.result["into"]["warnings"] == [f"[LocalDS_0] {path} was left alone, since web-2 has it now."]


def test_a_disk_that_came_and_that_a_vm_may_have_is_left_and_stays_in_the_record(db, monkeypatch):
    path = brought_in(db)
    with monkeypatch.context() as patch:
        unknown(patch, db)
        ran = db.restore(disks=["2000"])
        assert (ran.called("ImportVApp"), ran.called("DeleteVirtualDisk_Task")) == (1, 0)
        (warning,) = ran.result["into"]["warnings"]
        assert f"[LocalDS_0] {path} could not be deleted: vCenter does not know the files of stranger" in warning
    assert db.restore(disks=["2000"]).result["into"]["actions"] == ["leftover_removed"]


def test_a_leftover_on_a_datastore_that_the_vm_has_left_stays_in_the_record_while_nobody_knows_whose_it_is(db, monkeypatch):
    unknown(monkeypatch, db, datastore="LocalDS_1")
    (folder,) = (path for path in db.repository.glob("vm-*") if path.is_dir())
    record = Record(str(folder), db.vm("web-1").config.instanceUuid)
    record.note_made(Made("[LocalDS_1] web-1/restored.vmdk", "0" * 64, compared="content"))
    (warning,) = db.restore(disks=["2000"]).result["into"]["warnings"]
    assert "could not be deleted: vCenter does not know the files of stranger" in warning
    assert "[LocalDS_1] web-1/restored.vmdk" in Record(str(folder), db.vm("web-1").config.instanceUuid).made


def test_a_leftover_on_a_datastore_that_the_vm_has_left_stays_where_another_vm_has_it(db):
    db.make("rescue", size=MIB, on=False, tracked=False, datastore="LocalDS_1")
    file = db.file("rescue")
    assert (file.startswith("[LocalDS_1] "), db.file().startswith("[LocalDS_0] ")) == (True, True)
    (folder,) = (path for path in db.repository.glob("vm-*") if path.is_dir())
    record = Record(str(folder), db.vm("web-1").config.instanceUuid)
    record.note_made(Made(file, "0" * 64, compared="content"))
    ran = db.restore(disks=["2000"])
    assert ran.result["into"]["warnings"] == [f"{file} was left alone, since rescue has it now."]
    assert db.content("rescue") == bytes(MIB)


def test_what_is_left_on_a_datastore_that_is_gone_keeps_nothing_from_being_restored(db):
    (folder,) = (path for path in db.repository.glob("vm-*") if path.is_dir())
    Record(str(folder), db.vm("web-1").config.instanceUuid).note_made(Made("[gone] web-1/restored.vmdk", "0" * 64))
    ran = db.restore(disks=["2000"])
    assert ran.result["disks"][0]["action"] == "restored"
    (warning,) = ran.result["into"]["warnings"]
    assert "has no datastore gone" in warning


def test_what_was_made_ready_for_this_vm_goes_and_that_of_other_backups_stays(web, tmp_path):
    folder = tmp_path / "ready"
    folder.mkdir(mode=0o700)
    uuid = web.vm("web-1").config.instanceUuid
    mine = [f"restore-{uuid}-{uuid}-2000.vmdk", f".restore-{uuid}-{uuid}-2000.vmdk.0123456789abcdef.vforge-part"]
    # Another backup is being restored into the same VM; its files are for its own lock to remove.
    others = [name.replace(uuid, "5029c440-85ee-c2a1-e9dd-b63e39364603", 1) for name in mine]
    for name in (*mine, *others):
        (folder / name).write_bytes(b"x")
    web.off()
    web.restore(dest=str(folder))
    assert sorted(path.name for path in folder.iterdir()) == sorted(others)


# Where it lies


def test_on_vsan_it_is_proved_by_what_the_host_says_and_said_so(web):
    kept = web.content()
    web.write(MIB, seed=2)
    web.off()
    web.sim.request("POST", "/datastores/LocalDS_0", {"type": "vsan"})
    refused = web.try_restore(verify="content")
    assert (refused.error.error_code, refused.called("ImportVApp")) == ("not_readable", 0)
    web.warnings.clear()
    (disk,) = web.restore().result["disks"]
    assert (disk["action"], disk["compared"]) == ("restored", "manifest")
    assert "a datastore of the kind vsan has no files of disks" in disk["not_read"]
    assert web.content() == kept
    assert web.warnings == []


@pytest.mark.parametrize(
    ("kept_of_it", "compared", "said"),
    [({"digests": ()}, "size", "no digest"), (None, "nothing", "neither the size nor a digest")],
    ids=["size", "nothing"],
)
def test_what_the_host_does_not_report_is_not_called_compared(web, monkeypatch, kept_of_it, compared, said):
    received = leases.Lease.received

    def less(lease):
        known = received(lease) if kept_of_it else {}
        return {key: dataclasses.replace(each, **kept_of_it) for key, each in known.items()}

    kept, file = web.content(), web.file()
    web.write(MIB, seed=2)
    web.off()
    web.sim.request("POST", "/datastores/LocalDS_0", {"type": "vsan"})
    monkeypatch.setattr(leases.Lease, "received", less)
    refused = web.try_restore(verify="manifest")
    assert (refused.error.error_code, web.file(), refused.result["changed"]) == ("upload_unverified", file, False)
    ran = web.restore()
    assert (ran.result["disks"][0]["compared"], web.content()) == (compared, kept)
    (warning,) = ran.result["into"]["warnings"]
    assert f"the host reports {said} of the upload, and it cannot be read: a datastore of the kind vsan" in warning
    web.assert_nothing_is_left()


def test_what_came_by_less_than_is_asked_for_is_not_used(db, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(leases.Lease, "received", lambda _lease: {})
        patch.setattr(restoring, "_cannot_be_read", lambda _job, _file: "it is elsewhere")
        brought_in(db)
        again = db.try_restore(disks=["2000"], verify="manifest")
    assert again.error.error_code == "upload_unverified"
    ran = db.restore(disks=["2000"], verify="manifest")
    assert (ran.called("ImportVApp"), ran.result["disks"][0]["compared"], db.content()) == (1, "manifest", bytes(MIB))
    db.assert_nothing_is_left()


def test_an_upload_of_which_the_host_has_other_bytes_changes_nothing(web, monkeypatch):
    received = leases.Lease.received

    def other(lease):
        return {key: dataclasses.replace(each, digests=(("sha1", "0" * 40),)) for key, each in received(lease).items()}

    file = web.file()
    web.write(MIB, seed=2)
    web.off()
    with monkeypatch.context() as patch:
        patch.setattr(leases.Lease, "received", other)
        failed = web.try_restore()
    assert (failed.error.error_code, web.file()) == ("incomplete_upload", file)
    assert "other bytes of" in str(failed.error)
    assert (web.orphans(), web.carriers()) == ([], None)
    web.restore()
    web.assert_nothing_is_left()


@pytest.mark.parametrize("check", [True, False])
def test_a_datastore_that_no_host_can_write_to_is_refused_before_anything_is_done(web, check):
    web.write(MIB, seed=2)
    web.off()
    for host in web.sim.govc("find", "/", "-type", "h"):
        web.govc("host.maintenance.enter", host)
    refused = web.try_restore(check=check)
    assert (refused.error.error_code, refused.called("ImportVApp")) == ("invalid_option", 0)
    assert "No host that can be used has the datastore LocalDS_0" in str(refused.error)


def test_thick_stays_thick_and_thin_stays_thin(web):
    web.sim.govc(
        "vm.disk.create", "-vm", "web-1", "-name", "web-1/thick", "-size", "2M", "-thick", "-eager", "-ds", "LocalDS_0"
    )
    web.run(mode="full")
    web.write(0, seed=8)
    web.write(0, seed=9, key=2001)
    web.off()
    web.restore()
    disks = [device.backing for device in web.vm("web-1").config.hardware.device if device.key in (2000, 2001)]
    assert [bool(backing.thinProvisioned) for backing in disks] == [True, False]


def test_a_disk_at_the_top_of_its_datastore_is_replaced_there(db):
    db.sim.govc("device.remove", "-vm", "web-1", "-keep", "disk-1000-0")
    folder = db.file(key=2001).partition("] ")[2].rpartition("/")[0]
    db.sim.govc("datastore.mv", "-ds", "LocalDS_0", f"{folder}/web-1.vmdk", "top.vmdk")
    db.sim.govc("vm.disk.attach", "-vm", "web-1", "-ds", "LocalDS_0", "-disk", "top.vmdk", "-link=false")
    (disk,) = db.restore(disks=["scsi0:0"]).result["disks"]
    assert disk["replaced"] == {"path": "[LocalDS_0] top.vmdk", "deleted": True, "reason": ""}
    assert disk["path"] == f"[LocalDS_0] restored-{db.points()[0].id}-scsi0-0.vmdk"
    db.assert_nothing_is_left()


def give(db, key, policy):
    """Give a disk of web-1 a storage policy."""
    vm = db.vm("web-1")
    disk = next(each for each in vm.config.hardware.device if each.key == key)
    profile = [vim.vm.DefinedProfileSpec(profileId=policy)]
    change = vim.vm.device.VirtualDeviceSpec(operation="edit", device=disk, profile=profile)
    WaitForTask(vm.ReconfigVM_Task(vim.vm.ConfigSpec(deviceChange=[change])))


def test_a_restored_disk_has_the_storage_policy_of_the_one_that_it_replaces(db):
    db.sim.request("POST", "/policies", {"name": "gold", "datastores": ["LocalDS_0"]})
    with session(db.sim) as opened:
        moid, gold = db.vm("web-1")._GetMoId(), find_policy(opened, "gold").profile
        give(db, 2001, gold)
        with pytest.raises(vmodl.fault.InvalidArgument):
            give(db, 2000, "no such policy")
        assert policies_of(opened, moid, [2000, 2001]) == {2000: (), 2001: (gold,)}
        db.restore()
        assert policies_of(opened, moid, [2000, 2001, 2002]) == {2000: (), 2001: (gold,), 2002: ()}


def made_with(monkeypatch, opened):
    """The storage policies of disks when they have come, before they are taken to their places."""
    seen, keep = [], importing.DiskImport._keep

    def look(self, moid, new, made):
        found = places.carrier(opened, reference(opened, moid))
        (disk,) = found.devices
        seen.append(policies_of(opened, moid, [disk.key])[disk.key])
        return keep(self, moid, new, made)

    monkeypatch.setattr(importing.DiskImport, "_keep", look)
    return seen


def written(known, *, seed):
    """The guest writes something else, and is off then."""
    known.on()
    known.write(0, seed=seed)
    known.off()


def test_a_disk_is_made_with_its_storage_policy_and_not_changed_to_it_later(db, monkeypatch):
    for name in ("gold", "silver"):
        db.sim.request("POST", "/policies", {"name": name, "datastores": ["LocalDS_0"]})
    db.sim.request("POST", "/policies", {"name": "elsewhere", "datastores": ["LocalDS_1"]})
    with session(db.sim) as opened:
        moid = db.vm("web-1")._GetMoId()
        gold, silver, elsewhere = (find_policy(opened, name).profile for name in ("gold", "silver", "elsewhere"))
        seen = made_with(monkeypatch, opened)
        give(db, 2000, gold)
        db.restore(disks=["2000"])
        assert (seen, policies_of(opened, moid, [2000])) == ([(gold,)], {2000: (gold,)})

        # The point of the fixture is of before the policies: that one says that the disks had none.
        written(db, seed=4)
        named = db.restore(disks=["2000"], storage_policy="silver", point=db.points()[0].id)
        assert named.result["disks"][0]["storage_policies"] == [silver]
        assert (seen[1:], policies_of(opened, moid, [2000])) == ([(silver,)], {2000: (silver,)})
        db.run()
        give(db, 2000, gold)
        written(db, seed=5)
        db.restore(disks=["2000"], settings=["storage_policies"])
        assert (seen[2:], policies_of(opened, moid, [2000])) == ([(silver,)], {2000: (silver,)})

        # Nothing is in its place: it has again what it had.
        db.sim.govc("device.remove", "-vm", "web-1", "disk-1000-0")
        db.restore(disks=["2000"])
        assert seen[3:] == [(silver,)]

        written(db, seed=6)
        for asked, code in (
            ({"storage_policy": "elsewhere"}, "policy_not_satisfied"),
            ({"storage_policy": "x"}, "not_found"),
        ):
            for check in (True, False):
                refused = db.try_restore(check=check, disks=["2000"], **asked)
                assert (refused.error.error_code, refused.called("ImportVApp")) == (code, 0)
        assert elsewhere not in [each for policies in seen for each in policies]
    db.assert_nothing_is_left()


def test_policies_that_cannot_be_read_are_warned_of_and_the_disks_come(db, monkeypatch):
    def denied(*_args):
        raise NotFound("The service for storage policies is not there.")

    # The simulator injects nothing into the service beside that for VMs.
    monkeypatch.setattr(settings, "policies_of", denied)
    ran = db.restore(disks=["2000"])
    assert (ran.result["disks"][0]["action"], db.content()) == ("restored", bytes(MIB))
    (warning,) = ran.result["into"]["warnings"]
    assert warning.startswith("The storage policies of the replaced disks cannot be read: ")


# What is put back besides the disks


def upload_nvram(web, folder, data):
    """Give web-1 settings of its firmware; returns their path without the datastore."""
    place = web.vm("web-1").config.files.vmPathName.partition("] ")
    path = place[2].replace(".vmx", ".nvram")
    (local_copy := folder / "settings").write_bytes(data)
    web.govc("datastore.upload", "-ds", place[0][1:], str(local_copy), path)
    return path


def nvram_now(web, folder, path):
    """The settings of the firmware of web-1."""
    copy = folder / "now"
    web.govc("datastore.download", "-ds", "LocalDS_0", path, str(copy))
    return copy.read_bytes()


def test_settings_of_the_firmware_are_put_back_where_that_is_asked_for(web, tmp_path):
    refused = web.try_restore(power_off=True, settings=["nvram"])
    assert refused.error.error_code == "no_nvram"
    assert "its host keeps the file locked" in str(refused.error)
    web.off()
    path = upload_nvram(web, tmp_path, b"kept" * 100)
    web.run()
    upload_nvram(web, tmp_path, b"another" * 200)
    assert web.restore().result["changed"] is False
    foreseen = web.restore(check=True, settings=["nvram"])
    assert (foreseen.result["into"]["actions"], nvram_now(web, tmp_path, path)) == (["nvram_put_back"], b"another" * 200)
    assert "nvram: that of the backup" in foreseen.result["diff"]["after"]
    ran = web.restore(settings=["nvram"])
    assert (ran.result["into"]["actions"], ran.result["put_back"]["nvram"]) == (["nvram_put_back"], True)
    assert (nvram_now(web, tmp_path, path), ran.called("ImportVApp")) == (b"kept" * 100, 0)
    assert web.restore(settings=["nvram"]).result["changed"] is False
    upload_nvram(web, tmp_path, b"another")
    written(web, seed=2)
    ran = web.restore(settings=["nvram"], powered_on=True)
    assert ran.result["into"]["actions"][-2:] == ["nvram_put_back", "powered_on"]
    assert (nvram_now(web, tmp_path, path), web.state()) == (b"kept" * 100, "poweredOn")


class All:
    """Has everything in it."""

    def __contains__(self, _each):
        return True


def test_tags_are_attached_where_that_is_asked_for_by_calls_that_do_not_grow(web, monkeypatch):
    web.govc("tags.category.create", "-m", "tier")
    names = [f"tag-{number}" for number in range(6)]
    for name in names:
        web.govc("tags.create", "-c", "tier", name)
    for name in names[:5]:
        web.govc("tags.attach", name, "/DC0/vm/web-1")
    web.off()
    web.run()
    for name in names[1:4]:
        web.govc("tags.detach", name, "/DC0/vm/web-1")
    web.govc("tags.attach", names[5], "/DC0/vm/web-1")
    calls, send = [], RestSession._send

    def counted(rest, method, path, *others):
        calls.append(path)
        return send(rest, method, path, *others)

    monkeypatch.setattr(RestSession, "_send", counted)
    assert (web.restore().result["changed"], calls) == (False, [])
    foreseen = web.restore(check=True, settings=["tags"])
    assert foreseen.result["put_back"]["tags"] == names[1:4]
    calls.clear()
    ran = web.restore(settings=["tags"])
    assert (ran.result["into"]["actions"], ran.result["put_back"]["tags"]) == (["tags_attached"], names[1:4])
    assert len(calls) == 8
    assert sorted(web.sim.govc("tags.attached.ls", "-r", "/DC0/vm/web-1")) == names
    assert web.restore(settings=["tags"]).result["changed"] is False
    web.govc("tags.rm", "-f", "-c", "tier", names[2])
    web.govc("tags.detach", names[1], "/DC0/vm/web-1")
    for check in (True, False):
        gone = web.try_restore(check=check, settings=["tags"])
        assert (gone.error.error_code, gone.result["changed"], gone.error.details["tags"]) == ("tags_gone", False, [names[2]])
    # One that goes right after it was looked for.
    monkeypatch.setattr(settings.tags, "known_ids", lambda _rest: All())
    late = web.try_restore(settings=["tags"])
    assert late.error.error_code == "not_found"
    assert f"1 of 2 tags were not attached to /DC0/vm/web-1: {names[2]}" in str(late.error)
    assert (late.result["changed"], late.result["put_back"]["tags"]) == (True, [names[1]])


def test_a_backup_and_a_restore_with_all_of_its_options_need_no_more_than_the_table_says(web):
    """The simulator knows no privileges of tags."""
    web.govc("tags.category.create", "-m", "tier")
    web.govc("tags.create", "-c", "tier", "gold")
    web.govc("tags.attach", "gold", "/DC0/vm/web-1")
    web.log_in_with(privileges_of(["vm_backup"], least=False))
    web.run()
    assert not [warning for warning in web.warnings if "storage policies" in warning]
    web.govc("tags.detach", "gold", "/DC0/vm/web-1")
    web.off()
    web.govc("snapshot.create", "-vm", "web-1", "-m=false", "mine")
    web.on()
    web.write(0, seed=2)
    web.log_in_with(privileges_of(["vm_restore"], least=False))
    ran = web.restore(power_off=True, powered_on=True, snapshots="remove", settings=["storage_policies", "tags"])
    done = ran.result["into"]["actions"]
    assert {"powered_off", "snapshots_removed", "tags_attached", "powered_on"} <= set(done)
    web.assert_nothing_is_left()


def test_tags_that_are_gone_are_refused_before_a_running_vm_is_touched(web):
    web.govc("tags.category.create", "-m", "tier")
    web.govc("tags.create", "-c", "tier", "gone")
    web.govc("tags.attach", "gone", "/DC0/vm/web-1")
    web.run()
    web.govc("tags.category.rm", "-f", "tier")
    web.write(MIB, seed=2)
    file, content = web.file(), web.content()
    refused = web.try_restore(power_off=True, settings=["tags"])
    assert (refused.error.error_code, refused.called("ImportVApp"), refused.result["changed"]) == ("tags_gone", 0, False)
    assert (web.state(), web.file(), web.content()) == ("poweredOn", file, content)


def test_settings_are_put_back_and_disks_left_alone_where_that_is_asked_for(db):
    for name in ("gold", "silver"):
        db.sim.request("POST", "/policies", {"name": name, "datastores": ["LocalDS_0"]})
    db.govc("tags.category.create", "-m", "tier")
    db.govc("tags.create", "-c", "tier", "first")
    db.govc("tags.attach", "first", "/DC0/vm/web-1")
    with session(db.sim) as opened:
        moid = db.vm("web-1")._GetMoId()
        gold, silver = (find_policy(opened, name).profile for name in ("gold", "silver"))
        give(db, 2000, gold)
        db.on()
        db.run()
        db.govc("tags.detach", "first", "/DC0/vm/web-1")
        for key in (2000, 2001):
            give(db, key, silver)
        db.write(0, seed=4)
        files, content = [db.file(key=key) for key in (2000, 2001, 2002)], db.content()

        asked = {"content": False, "settings": ["storage_policies", "tags"]}
        foreseen = db.restore(check=True, **asked)
        assert foreseen.result["into"]["actions"] == ["storage_policies_set", "tags_attached"]
        assert foreseen.result["put_back"] == {"nvram": False, "tags": ["first"], "storage_policies": ["Hard disk 1"]}
        assert (foreseen.called("ReconfigVM_Task"), foreseen.result["disks"]) == (0, [])
        ran = db.restore(**asked)
        assert ran.result["into"]["actions"] == ["storage_policies_set", "tags_attached"]
        # The second disk had none at the backup, so what it has now stays.
        assert policies_of(opened, moid, [2000, 2001]) == {2000: (gold,), 2001: (silver,)}
        assert db.sim.govc("tags.attached.ls", "-r", "/DC0/vm/web-1") == ["first"]
        assert (db.restore(**asked).result["changed"], db.state()) == (False, "poweredOn")
        assert ([db.file(key=key) for key in (2000, 2001, 2002)], db.content()) == (files, content)

        named = db.restore(content=False, storage_policy="silver", disks=["2000"])
        assert (named.result["changed"], policies_of(opened, moid, [2000])) == (True, {2000: (silver,)})
        db.sim.request("POST", "/policies", {"name": "elsewhere", "datastores": ["LocalDS_1"]})
        refused = db.try_restore(content=False, storage_policy="elsewhere")
        assert (refused.error.error_code, refused.called("ReconfigVM_Task")) == ("policy_not_satisfied", 0)


def test_where_only_settings_are_put_back_what_a_killed_restore_has_left_stays(db):
    brought_in(db)
    db.govc("tags.category.create", "-m", "tier")
    db.restore(content=False, settings=["tags"])
    assert db.restore(disks=["2000"]).called("ImportVApp") == 0
    db.assert_nothing_is_left()


def test_a_vm_starts_where_a_tag_cannot_be_attached(web, monkeypatch):
    web.govc("tags.category.create", "-m", "tier")
    web.govc("tags.create", "-c", "tier", "gone")
    web.govc("tags.attach", "gone", "/DC0/vm/web-1")
    web.run()
    web.govc("tags.rm", "-f", "-c", "tier", "gone")
    monkeypatch.setattr(settings.tags, "known_ids", lambda _rest: All())  # it goes meanwhile
    failed = web.try_restore(power_off=True, powered_on=True, settings=["tags"])
    assert (failed.error.error_code, web.state()) == ("not_found", "poweredOn")
    assert failed.result["into"]["actions"][-1] == "powered_on"


def with_nvram(web, folder):
    """Have a backup of settings of the firmware, and others in the VM; the path of these."""
    web.off()
    path = upload_nvram(web, folder, b"kept" * 100)
    web.run()
    upload_nvram(web, folder, b"another" * 200)
    return path


@pytest.mark.parametrize(
    ("wrong", "state", "has"),
    [
        (FileLocked("A host has locked it."), "poweredOn", ["web-1.nvram"]),
        (ConnectionLost("No answer has come."), "poweredOff", ["web-1.nvram", "web-1.nvram.vforge-old"]),
    ],
    ids=["refused", "lost"],
)
def test_a_vm_starts_with_its_own_settings_of_the_firmware_but_not_with_half_of_them(
    web, tmp_path, monkeypatch, wrong, state, has
):
    path, write = with_nvram(web, tmp_path), DatastoreFiles.write

    def ends(files, at, data):
        if at.path == path:
            raise wrong
        write(files, at, data)

    with monkeypatch.context() as patch:
        patch.setattr(DatastoreFiles, "write", ends)
        failed = web.try_restore(powered_on=True, settings=["nvram"])
    assert (failed.error.error_code, web.state()) == (wrong.error_code, state)
    folder = pathlib.Path(web.sim.disk("web-1")["layers"][0]["extent"]).parent
    assert sorted(file.name for file in folder.glob("*.nvram*")) == has
    assert failed.result["changed"]
    if state == "poweredOff":
        assert nvram_now(web, tmp_path, f"{path}.vforge-old") == b"another" * 200
        (warning,) = failed.result["into"]["warnings"]
        assert f"{path}.vforge-old" in warning
    web.off()
    web.restore(settings=["nvram"])
    assert nvram_now(web, tmp_path, path) == b"kept" * 100
    assert [file.name for file in folder.glob("*.nvram*")] == ["web-1.nvram"]


def test_settings_of_another_firmware_are_refused_before_anything_is_done(web, tmp_path):
    path = with_nvram(web, tmp_path)
    vm = web.vm("web-1")
    other = "bios" if vm.config.firmware == "efi" else "efi"
    WaitForTask(vm.ReconfigVM_Task(vim.vm.ConfigSpec(firmware=other)))
    for check in (True, False):
        assert web.try_restore(check=check, settings=["nvram"]).error.error_code == "another_firmware"
    assert nvram_now(web, tmp_path, path) == b"another" * 200


def test_a_damaged_description_of_the_vm_keeps_no_disk_from_a_free_place(db):
    db.sim.govc("device.remove", "-vm", "web-1", "-keep", "disk-1000-1")
    (path,) = db.repository.rglob(MACHINE_FILE)
    path.write_text("{}")
    ran = db.restore(disks=["scsi0:1"])
    assert ran.result["disks"][0]["action"] == "restored"
    (warning,) = ran.result["into"]["warnings"]
    assert warning.startswith("Which storage policy Hard disk 2 had at the backup is not known, and it gets the default one")


# What is refused


def test_what_cannot_be_restored_into_is_refused_before_anything_is_done(web):
    web.off()
    assert web.try_restore(into={"name": "nobody"}).error.error_code == "not_found"
    assert web.try_restore(disks=["Hard disk 9"]).error.error_code == "not_found"
    assert web.try_restore(point="20200101T000000Z-00000000").error.error_code == "not_found"
    web.sim.govc("vm.markastemplate", "web-1")
    template = web.try_restore()
    assert (template.error.error_code, template.called("ImportVApp")) == ("template", 0)


def test_a_damaged_point_changes_nothing(web):
    file, (point,) = web.file(), web.points()
    web.write(MIB, seed=2)
    web.off()
    (image,) = web.repository.rglob("disk-2000.qcow2")
    image.write_bytes(image.read_bytes()[: image.stat().st_size // 2])
    failed = web.try_restore()
    assert (failed.error.error_code, failed.called("ImportVApp")) == ("backup_damaged", 0)
    assert web.file() == file
    assert point.id in str(failed.error)
    web.assert_nothing_is_left()
