# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Backups of VMs, against a simulator whose disks have real bytes."""

from __future__ import annotations

import json
import pathlib
import shutil
import threading
import time

import pytest
from pyVmomi import vim

from ansible_collections.vforge.vsphere.plugins.module_utils._backup import care as caring
from ansible_collections.vforge.vsphere.plugins.module_utils._backup import disk as disks
from ansible_collections.vforge.vsphere.plugins.module_utils._backup import local
from ansible_collections.vforge.vsphere.plugins.module_utils._backup.care import CareOptions
from ansible_collections.vforge.vsphere.plugins.module_utils._backup.local import RestoreOptions
from ansible_collections.vforge.vsphere.plugins.module_utils._backup.model import BackupDamaged
from ansible_collections.vforge.vsphere.plugins.module_utils._backup.repository import Repository
from ansible_collections.vforge.vsphere.plugins.module_utils._errors import NotFound, PartialFailure
from ansible_collections.vforge.vsphere.plugins.module_utils._vsphere import lease as leases
from ansible_collections.vforge.vsphere.plugins.module_utils._vsphere import policies
from ansible_collections.vforge.vsphere.plugins.modules import backup_repository, vm_restore
from ansible_collections.vforge.vsphere.tests.unit.plugins.accepted import accepted
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.backup.running import tasks
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.backup.support import nothing, soon
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.cbt.running import finished
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.ovf.running import Templates
from ansible_collections.vforge.vsphere.tests.unit.plugins.modules.endings import Forked

KIB, MIB = 1 << 10, 1 << 20


@pytest.fixture
def backups(make_sim, tmp_path, monkeypatch):
    """Tasks against a simulator with the tracked VM web-1, whose disk has 8 MiB."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    with tasks(make_sim("--vms", "2"), tmp_path) as known:
        known.make("web-1", size=8 * MIB)
        yield known


def test_a_vm_with_a_4kn_disk_is_refused_before_it_has_a_snapshot(make_sim, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    with tasks(make_sim("--vms", "2", "--api-version", "9.0.0.0"), tmp_path) as known:
        known.make("web-1", size=8 * MIB)
        known.make("web-2", size=8 * MIB)
        known.add_4kn_disk("web-1")
        for check in (True, False):
            ran = known.attempt(vms=[{"name": "web-1"}, {"name": "web-2"}], check=check)
            error = ran.vms[0]["error"]
            assert (error["error_code"], error["disks"]) == ("sector_format", ["Hard disk 2"])
            assert "/DC0/vm/web-1 has disks of a sector format that no backup keeps" in error["msg"]
            assert ran.vms[1]["actions"] == ["backed_up"]
            assert ran.called("CreateSnapshot_Task") == (0 if check else 1)
        assert (known.points("web-1"), known.snapshots("web-1")) == ([], [])


def test_full_then_what_changed_and_each_restores(backups):
    backups.sim.write_disk("web-1", offset=0, length=3 * MIB, seed=1)
    contents = [backups.content()]
    first = backups.run()
    assert (first.one["disks"][0]["kind"], first.one["disks"][0]["reason"]["code"]) == ("full", "no_earlier_backup")
    backups.sim.write_disk("web-1", offset=5 * MIB, length=64 * KIB, seed=2)
    contents.append(backups.content())
    second = backups.run(mode="incremental")
    assert (second.one["point"]["kind"], second.one["disks"][0]["read"]) == ("incremental", 64 * KIB)
    backups.sim.write_disk("web-1", offset=0, length=4 * KIB, seed=3)
    contents.append(backups.content())
    third = backups.run()
    (disk,) = third.one["disks"]
    assert (disk["read"], disk["transport"], disk["rate"] > 0) == (4 * KIB, "nbd", True)
    assert [backups.restored(number) for number in range(3)] == contents
    assert backups.snapshots("web-1") == []


def test_progress_is_of_what_is_to_be_read(backups):
    backups.run()
    backups.sim.write_disk("web-1", offset=MIB, length=2 * MIB, seed=1)
    backups.lines.clear()
    backups.run()
    told = [line for line in backups.lines if line.startswith("web-1, Hard disk 1: ")]
    assert told
    assert all(" of 2 MiB, " in line for line in told)


def test_by_an_export_lease_each_is_whole(backups):
    backups.sim.write_disk("web-1", offset=MIB, length=2 * MIB, seed=1)
    ran = backups.run(transport="export")
    assert (ran.one["disks"][0]["kind"], ran.one["disks"][0]["reason"]["code"]) == ("full", "whole_disks_only")
    assert backups.restored(0) == backups.content()
    assert backups.snapshots("web-1") == []


def test_a_package_of_a_point_makes_the_vm_again_without_its_secrets(backups, tmp_path):
    backups.sim.write_disk("web-1", offset=MIB, length=3 * MIB, seed=1)
    backups.sim.govc("vm.power", "-off", "web-1")
    backups.sim.govc("vm.change", "-vm", "web-1", "-c", "2", "-m", "2048", "-annotation", "the shop")
    backups.sim.govc("vm.change", "-vm", "web-1", "-e", "guestinfo.userdata=hunter2-secret", "-e", "disk.EnableUUID=TRUE")
    backups.run()
    content = backups.content()
    backups.sim.govc("vm.change", "-vm", "web-1", "-c", "1")
    (about,) = backups.repository.rglob("vm.json")
    assert "hunter2" not in about.read_text(encoding="utf-8")
    assert json.loads(about.read_text(encoding="utf-8"))["left_out"] == ["guestinfo.userdata"]

    folder = tmp_path / "package"
    folder.mkdir(mode=0o700)

    def restored(*, form="ovf", check=False):
        asked = {"repository": str(backups.repository), "vm": "web-1", "dest": str(folder), "format": form}
        options = RestoreOptions.from_params(accepted(vm_restore.argument_spec(), asked))
        return local.restore(options, nothing, check=check)

    assert (restored(check=True)["changed"], list(folder.iterdir())) == (True, [])
    # A disk that was restored by itself is no disk of a package, which has another form.
    assert restored(form="vmdk")["package"] is None
    first = restored()
    assert (first["changed"], first["package"]["action"]) == (True, "restored")
    assert sorted(path.name for path in folder.iterdir()) == ["disk-2000.vmdk", "vm-disk-2000.vmdk", "vm.mf", "vm.ovf"]
    assert restored()["changed"] is False

    templates = Templates(backups.sim)
    templates.run(folder / "vm.ovf", name="again", verify="before")
    seen = backups.sim.govc("vm.info", "-e", "again")["virtualMachines"][0]["config"]
    assert (seen["hardware"]["numCPU"], seen["hardware"]["memoryMB"], seen["annotation"]) == (2, 2048, "the shop")
    extra = {pair["key"]: pair["value"] for pair in seen["extraConfig"]}
    assert extra["disk.EnableUUID"] == "TRUE"
    assert "guestinfo.userdata" not in extra
    (disk,) = backups.sim.vm("again")["disks"]
    assert backups.sim.read_disk("again", key=disk["key"], length=len(content)) == content


def test_a_point_says_where_its_vm_was_and_has_the_settings_of_its_firmware(backups, tmp_path):
    sim = backups.sim
    backups.govc("fields.add", "-type", "VirtualMachine", "owner")
    backups.govc("fields.set", "owner", "the shop", "/DC0/vm/web-1")
    backups.govc("tags.category.create", "tier")
    backups.govc("tags.create", "-c", "tier", "gold")
    backups.govc("tags.attach", "gold", "/DC0/vm/web-1")
    backups.run()
    running = _about(backups)
    assert (running["path"], running["custom_attributes"]) == ("/DC0/vm/web-1", {"owner": "the shop"})
    assert (running["tags"], running["resource_pool"]) == ({"tier": ["gold"]}, "DC0_C0_RP1")
    assert list(running["tag_ids"].values()) == ["gold"]
    assert running["nvram"] == {"file": "", "reason": "The VM is not powered off, and its host keeps the file locked."}

    sim.govc("vm.power", "-off", "web-1")
    (local_copy := tmp_path / "settings").write_bytes(b"\x00settings of the firmware" * 100)
    place = backups.vm("web-1").config.files.vmPathName.partition("] ")
    backups.govc("datastore.upload", "-ds", place[0][1:], str(local_copy), place[2].replace(".vmx", ".nvram"))
    backups.run()
    assert _about(backups)["nvram"] == {"file": "vm.nvram", "reason": ""}
    point = backups.points()[-1]
    folder = tmp_path / "package"
    folder.mkdir(mode=0o700)
    asked = {"repository": str(backups.repository), "vm": "web-1", "dest": str(folder), "format": "ovf"}
    options = RestoreOptions.from_params(accepted(vm_restore.argument_spec(), asked))
    assert local.restore(options, nothing, check=False)["changed"] is True
    assert local.restore(options, nothing, check=False)["changed"] is False
    assert (folder / "vm.nvram").read_bytes() == local_copy.read_bytes()
    assert "vm.nvram" in (folder / "vm.mf").read_text(encoding="utf-8")
    Templates(sim).run(folder / "vm.ovf", name="with-nvram", verify="before")

    (kept,) = backups.repository.rglob(f"{point.id}/vm.nvram")
    kept.write_bytes(b"something else")
    with pytest.raises(BackupDamaged, match=r"vm\.nvram"):
        local.restore(options, nothing, check=False)
    care = CareOptions.from_params(
        accepted(backup_repository.argument_spec(), {"path": str(backups.repository), "state": "verified"})
    )
    with pytest.raises(PartialFailure) as raised:
        caring.care(care, nothing, check=False)
    assert raised.value.error_code == "backup_damaged"


def _about(backups, name="web-1"):
    """What the newest point says of its VM besides its hardware."""
    point = backups.points(name)[-1]
    # Points of two VMs may have one ID.
    folder = pathlib.Path(Repository(str(backups.repository)).folder(backups.vm(name).config.instanceUuid))
    (path,) = folder.rglob(f"{point.id}/vm.json")
    return json.loads(path.read_text(encoding="utf-8"))["about"]


def test_storage_policies_are_read_for_all_vms_at_once(backups, monkeypatch):
    backups.make("web-2", size=MIB, disks=2)
    gold = backups.sim.request("POST", "/policies", {"name": "gold", "datastores": ["LocalDS_0"]})["id"]
    vm = backups.vm("web-2")
    disk = next(device for device in vm.config.hardware.device if device.key == 2001)
    profile = [vim.vm.DefinedProfileSpec(profileId=gold)]
    change = vim.vm.device.VirtualDeviceSpec(operation="edit", device=disk, profile=profile)
    finished(vm.ReconfigVM_Task(vim.vm.ConfigSpec(deviceChange=[change])))
    ran = backups.run(vms=[{"name": "web-1"}, {"name": "web-2"}])
    assert [ran.called(f"Pbm{name}") for name in ("RetrieveServiceContent", "QueryAssociatedProfiles", "RetrieveContent")] == [
        1
    ] * 3
    assert _about(backups)["storage_policies"] == {}
    assert _about(backups, "web-2")["storage_policies"] == {"2001": {"id": gold, "name": "gold"}}

    def denied(*_args):
        raise NotFound("The service for storage policies is not there.")

    monkeypatch.setattr(policies, "policies_of_all", denied)
    backups.run()
    assert _about(backups)["storage_policies"] is None
    assert [warning for warning in backups.warnings if "storage policies of disks could not be read" in warning]


def test_without_a_rest_api_a_backup_has_no_tags_and_says_so(backups, monkeypatch):
    from ansible_collections.vforge.vsphere.plugins.module_utils._connector import rest

    # A path that no vCenter has: the answer is its own.
    monkeypatch.setattr(rest, "_SESSION", "/com/vmware/cis/nowhere")
    backups.run()
    assert _about(backups)["tags"] is None
    assert [warning for warning in backups.warnings if "tags of VMs could not be read" in warning]


def test_a_changed_vm_json_is_found_and_used_for_nothing(backups, tmp_path):
    backups.run()
    (about,) = backups.repository.rglob("vm.json")
    about.write_text(about.read_text(encoding="utf-8").replace('"cpus"', ' "cpus"'), encoding="utf-8")
    care = CareOptions.from_params(
        accepted(backup_repository.argument_spec(), {"path": str(backups.repository), "state": "verified"})
    )
    with pytest.raises(PartialFailure) as raised:
        caring.care(care, nothing, check=False)
    assert raised.value.error_code == "backup_damaged"
    asked = {"repository": str(backups.repository), "vm": "web-1", "dest": str(tmp_path), "format": "ovf"}
    with pytest.raises(BackupDamaged, match=r"vm\.json"):
        local.restore(RestoreOptions.from_params(accepted(vm_restore.argument_spec(), asked)), nothing, check=False)


def test_a_server_that_offers_less_than_the_disk_has_makes_no_point(backups):
    small = {"command": ["nbdkit", "--foreground", "memory", "1M"]}
    assert backups.attempt(nbd=small).code == "wrong_disk"
    backups.run()
    backups.sim.write_disk("web-1", offset=5 * MIB, length=64 * KIB, seed=2)
    # What is behind the server's end would read as zeros.
    ran = backups.attempt(nbd=small, mode="incremental")
    assert (ran.code, len(backups.points())) == ("wrong_disk", 1)
    assert backups.snapshots("web-1") == []


def test_what_was_staged_goes_when_the_time_is_over(backups):
    backups.sim.write_disk("web-1", offset=0, length=MIB, seed=1)
    backups.sim.latency(1500, "RemoveSnapshot_Task")
    ran = backups.attempt(timeout=1)
    assert ran.error is not None
    assert backups.points() == []
    assert [path for path in backups.repository.rglob("*") if path.name.startswith(".staging")] == []
    assert backups.snapshots("web-1") == []


def test_a_lease_that_a_signal_leaves_is_ended_before_its_snapshot_is_removed(backups, tmp_path):
    asked = {"vm": {"name": "web-1"}, "repository": str(backups.repository), "transport": "export"}
    rule = {"method": "HttpNfcLeaseGetManifest", "do": "signal", "signal": "TERM", "delay_ms": 300}
    ended = Forked(backups.sim, "vm_backup", tmp_path).run(asked, rule=rule)
    assert ended.result["error_code"] == "interrupted"
    # Those of other tests of this process are in it, too, and paths have the names of tests in them.
    said = [str(each) for each in ended.result.get("warnings", ()) if "has no backup of any VM" not in str(each)]
    assert not [each for each in said if "lease" in each or "snapshot" in each]
    assert ended.calls["HttpNfcLeaseAbort"] == 1
    assert (backups.sim.open_leases(), backups.snapshots("web-1"), backups.points()) == (0, [], [])


@pytest.mark.parametrize(
    ("on", "meanwhile", "becomes"),
    [
        (False, ("vm.power", "-on"), "file-system-consistent"),
        (True, ("vm.power", "-off"), "powered-off"),
        (False, ("vm.markastemplate",), "template"),
        (False, ("vm.unregister",), "not_found"),
    ],
)
def test_a_vm_is_backed_up_as_it_is_in_its_turn(backups, on, meanwhile, becomes):
    """Also where it has changed since the task began."""
    backups.make("web-2", size=MIB, on=on)
    rule = backups.sim.inject(method="CreateSnapshot_Task", name="web-1", do="delay")

    def change():
        if backups.sim.called("CreateSnapshot_Task", 1, within=120):
            backups.govc(*meanwhile, "web-2")
            backups.sim.clear(rule)

    changing = threading.Thread(target=change)
    backups.sim.reset_calls()
    changing.start()
    ran = backups.attempt(vms=[{"name": "web-1"}, {"name": "web-2"}], parallel=1, transport="export")
    changing.join()
    first, second = ran.result["vms"]
    assert first["actions"] == ["backed_up"]
    if "error" not in second:
        assert second["point"]["consistency"] == becomes
    else:
        assert (second["error"]["error_code"], ran.called("CreateSnapshot_Task")) == (becomes, 1)


# What the snapshot is, and not what it was to be


def while_held(backups, change, **given):
    """Back web-1 up, and change something when all is read of it and its snapshot is not made yet."""
    rule = backups.sim.inject(method="CreateSnapshot_Task", name="web-1", do="delay")

    def work():
        if backups.sim.called("CreateSnapshot_Task", 1, within=30):
            change()
            backups.sim.clear(rule)

    changing = threading.Thread(target=work)
    backups.sim.reset_calls()
    changing.start()
    ran = backups.attempt(**given)
    changing.join()
    return ran


@pytest.mark.parametrize("quiesce", ["try", "require"])
def test_a_snapshot_that_was_not_quiesced_is_not_called_so(backups, quiesce):
    def stop():
        backups.sim.patch_guest("web-1", tools="notRunning")

    backups.sim.patch_guest("web-1", tools="running")
    ran = while_held(backups, stop, quiesce=quiesce)
    if quiesce == "require":
        assert (ran.code, backups.points(), backups.left()) == ("not_quiesced", [], [])
    else:
        assert ran.one["point"]["consistency"] == "crash-consistent"
        (warning,) = ran.one["warnings"]
        assert "without quiescing its file systems, so its backup is crash-consistent" in warning
    assert backups.snapshots("web-1") == []


def test_a_vm_that_is_started_before_its_snapshot_was_not_off(backups):
    backups.govc("vm.power", "-off", "web-1")
    ran = while_held(backups, lambda: backups.govc("vm.power", "-on", "web-1"))
    assert ran.one["point"]["consistency"] == "crash-consistent"
    backups.govc("vm.power", "-off", "web-1")
    assert backups.run().one["point"]["consistency"] == "powered-off"


def test_an_increment_of_what_has_no_earlier_backup_is_refused_before_there_is_a_snapshot(backups):
    foreseen = backups.attempt(mode="incremental", check=True)
    assert (foreseen.code, foreseen.one["error"]["reason"]) == ("full_required", "no_earlier_backup")
    refused = backups.attempt(mode="incremental")
    assert (refused.code, refused.one["error"]["reason"]) == ("full_required", "no_earlier_backup")
    assert (refused.called("CreateSnapshot_Task"), refused.one["snapshot"]) == (0, None)


def test_increments_go_on_over_a_snapshot_of_the_users_and_not_once_its_delta_disk_is_gone(backups):
    backups.run()
    backups.snapshot("web-1", "mine")
    contents = []
    for number in range(2):
        backups.sim.write_disk("web-1", offset=number * MIB, length=64 * KIB, seed=number)
        contents.append(backups.content())
        assert backups.run(mode="incremental").one["disks"][0]["kind"] == "incremental"
    first, second = (point.disks[0].delta for point in backups.points()[-2:])
    assert first == second != ""
    # A revert looks the same from outside where tracking goes on.
    backups.govc("snapshot.remove", "-vm", "web-1", "mine")
    refused = backups.attempt(mode="incremental")
    assert (refused.code, refused.one["error"]["reason"]) == ("full_required", "delta_disk_gone")
    assert refused.called("CreateSnapshot_Task") == 0
    ran = backups.run()
    assert (ran.one["disks"][0]["kind"], ran.one["disks"][0]["reason"]["code"]) == ("full", "delta_disk_gone")
    assert [backups.restored(number) for number in (1, 2, 3)] == [*contents, backups.content()]
    assert backups.run(mode="incremental").one["disks"][0]["kind"] == "incremental"


# Damaged points beside new ones


def next_second():
    """The names of points tell by seconds which of them is newer."""
    time.sleep(1 - time.time() % 1)


def damage(backups, number, name):
    """Damage the manifest of a point, or remove another file of it; its ID."""
    identifier = backups.points()[number].id
    (path,) = backups.repository.glob(f"vm-*/points/{identifier}/{name}")
    if name == "manifest.json":
        path.write_text("{", encoding="utf-8")
    else:
        path.unlink()
    return identifier


def readable(backups):
    """The points whose manifests can be read."""
    return Repository(str(backups.repository)).read(backups.vm("web-1").config.instanceUuid).known().points


@pytest.mark.parametrize(
    ("number", "name"),
    [(0, "manifest.json"), (1, "manifest.json"), (2, "manifest.json"), (0, "disk-2000.qcow2"), (2, "disk-2000.qcow2.sha256")],
)
def test_a_damaged_point_keeps_no_new_one_from_being_made(backups, number, name):
    for each in range(3):
        backups.sim.write_disk("web-1", offset=each * MIB, length=64 * KIB, seed=each)
        backups.run()
        next_second()
    damaged = damage(backups, number, name)
    refused = backups.attempt(mode="incremental")
    assert (refused.code, refused.one["error"]["reason"]) == ("full_required", "earlier_backup_damaged")
    assert (refused.called("CreateSnapshot_Task"), len(refused.one["warnings"])) == (0, 1)
    backups.sim.write_disk("web-1", offset=4 * MIB, length=64 * KIB, seed=9)
    content, ran = backups.content(), backups.run(fresh_hours=1)
    assert (ran.one["disks"][0]["kind"], ran.one["disks"][0]["reason"]["code"]) == ("full", "earlier_backup_damaged")
    (warning,) = ran.one["warnings"]
    assert warning.startswith(f"The backup {damaged} cannot be used: ")
    # It stands on none of them, so the next one stands on it, and it is new enough.
    assert backups.run(fresh_hours=1).one["actions"] == []
    assert backups.run(mode="incremental").one["disks"][0]["kind"] == "incremental"
    points = readable(backups)
    assert [each.number for each in points[-2:]] == [4, 5]
    repository = Repository(str(backups.repository))
    with repository.locked(backups.vm("web-1").config.instanceUuid, soon(), nothing) as machine:
        target = backups.folder / "whole.raw"
        disks.restore(machine, points[-2], points[-2].disks[0], str(target), "raw", soon())
    assert target.read_bytes() == content


def test_a_removal_that_cannot_be_finished_keeps_no_new_point_from_being_made(backups):
    for each in range(2):
        backups.sim.write_disk("web-1", offset=each * MIB, length=64 * KIB, seed=each)
        backups.run()
        next_second()
    first, heir = (point.id for point in backups.points())
    (folder,) = backups.repository.glob(f"vm-*/points/{first}")
    mark = folder / "removing"
    mark.write_text(heir, encoding="utf-8")
    mark.chmod(0o600)
    shutil.rmtree(folder.parent / heir)
    refused = backups.attempt(mode="incremental")
    assert (refused.code, refused.one["error"]["reason"]) == ("full_required", "earlier_backup_damaged")
    ran = backups.run()
    assert (ran.one["disks"][0]["kind"], ran.one["disks"][0]["reason"]["code"]) == ("full", "earlier_backup_damaged")
    assert f"The removal of {first} cannot be finished" in ran.one["warnings"][0]
    (point,) = readable(backups)
    assert (point.number, point.kind) == (2, "full")
    again = backups.run(mode="full")
    assert [point.number for point in readable(backups)] == [2, 3]
    # What can be done about it is done by hand.
    shutil.rmtree(folder)
    assert (again.one["warnings"], backups.run().one["warnings"]) == (ran.one["warnings"], [])
    assert backups.restored(0) == backups.content()


def test_an_export_of_which_the_host_says_nothing_is_reported(backups, monkeypatch):
    monkeypatch.setattr(leases.Lease, "received", lambda _lease: {})
    ran = backups.run(transport="export")
    (warning,) = ran.one["warnings"]
    assert "The host reports neither the size nor a digest of what it has sent of Hard disk 1" in warning


def test_fifty_with_one_in_ten_failing_and_the_second_run_takes_exactly_the_missing(backups):
    names = [f"app-{number:02}" for number in range(50)]
    for name in names:
        backups.sim.create_vm(name, on=False, disks=[{"bytes": MIB}])
    asked = {"vms": [{"name": name} for name in names], "transport": "export", "fresh_hours": 12}
    backups.sim.inject(method="CreateSnapshot_Task", every=10, times=0, do="task-fault", fault="InsufficientResourcesFault")
    first = backups.attempt(**asked)
    assert first.result["counts"] == {"backed_up": 45, "failed": 5}
    failed = {entry["name"] for entry in first.result["failures"]}
    assert len(failed) == 5
    assert {name for name in names if not backups.points(name)} == failed
    backups.sim.clear()
    checked = backups.run(check=True, **asked)
    assert {entry["name"] for entry in checked.result["vms"] if entry["changed"]} == failed
    second = backups.run(**asked)
    assert second.result["counts"] == {"unchanged": 45, "backed_up": 5}
    assert {entry["name"] for entry in second.result["vms"] if entry["actions"] == ["backed_up"]} == failed
    assert second.called("CreateSnapshot_Task") == 5
    assert [len(backups.points(name)) for name in names] == [1] * 50
    third = backups.run(**asked)
    assert (third.result["changed"], third.called("CreateSnapshot_Task")) == (False, 0)
    assert third.total <= 10


def test_a_run_that_waited_for_another_takes_its_point_for_fresh(backups, monkeypatch):
    asked = {"transport": "export", "fresh_hours": 12}
    real, other = Repository.locked, []

    def locked(repository, *args, **named):
        if not other:
            # What another run does before this one gets the lock.
            other.append(None)
            other[0] = backups.run(**asked)
        return real(repository, *args, **named)

    monkeypatch.setattr(Repository, "locked", locked)
    ran = backups.run(**asked)
    assert (other[0].result["changed"], ran.result["changed"], ran.result["counts"]) == (True, False, {"unchanged": 1})
    assert (len(backups.points()), ran.one["point"]) == (1, other[0].one["point"])
