# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A repository alone: listed, verified, pruned, restored."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
import types
from pathlib import Path

import pytest

from ansible_collections.vforge.vsphere.plugins.module_utils._backup import care as caring
from ansible_collections.vforge.vsphere.plugins.module_utils._backup import local, repository
from ansible_collections.vforge.vsphere.plugins.module_utils._backup.care import CareOptions
from ansible_collections.vforge.vsphere.plugins.module_utils._backup.local import RestoreOptions
from ansible_collections.vforge.vsphere.plugins.module_utils._backup.model import BackupDamaged
from ansible_collections.vforge.vsphere.plugins.module_utils._backup.repository import Machine
from ansible_collections.vforge.vsphere.plugins.module_utils._errors import (
    InvalidOption,
    NotFound,
    PartialFailure,
    VforgeError,
)
from ansible_collections.vforge.vsphere.plugins.module_utils._files import FileMissing
from ansible_collections.vforge.vsphere.plugins.modules import backup_repository, vm_restore
from ansible_collections.vforge.vsphere.tests.unit.plugins.accepted import accepted
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.backup import guide
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.backup.support import (
    UUID,
    Backups,
    Guest,
    nothing,
    three_points,
    why_nothing_can_be_mounted,
)

MIB = 2**20


@pytest.fixture
def backups(tmp_path):
    return three_points(tmp_path / "repository")


def care(backups, *, check=False, **given):
    options = accepted(backup_repository.argument_spec(), {"path": backups.repository.path, **given})
    return caring.care(CareOptions.from_params(options), nothing, check=check)


def restore(backups, folder, *, check=False, **given):
    asked = {"repository": backups.repository.path, "vm": "web", "dest": str(folder), "format": "raw", **given}
    options = RestoreOptions.from_params(accepted(vm_restore.argument_spec(), asked))
    return local.restore(options, nothing, check=check)


def actions(result):
    return [point["action"] for point in result["vms"][0]["points"]]


def ids(backups):
    return [point["id"] for point in local.info(backups.repository.path, UUID)["vms"][0]["points"]]


def test_the_newest_alone_is_verified_where_that_is_asked_for(backups):
    newest = care(backups, state="verified", points="newest")
    assert [(point["id"], point["read"]) for point in newest["vms"][0]["points"]] == [(ids(backups)[-1], 3 * MIB)]
    known = local.info(backups.repository.path, UUID)["vms"][0]["points"]
    assert [bool(point["verified"]) for point in known] == [False, False, True]
    # It stands on the others: what is damaged of them is what it would restore to.
    image = os.path.join(backups.repository.folder(UUID), "points", ids(backups)[0], "disk-2000.qcow2")
    with open(image, "r+b") as file:
        file.seek(-400_000, os.SEEK_END)
        file.write(b"damage" * 100)
    with pytest.raises(PartialFailure) as raised:
        care(backups, state="verified", points="newest")
    assert raised.value.result["counts"] == {"damaged": 1}


@pytest.mark.parametrize(
    "given",
    [
        {"settings": ["tags"]},
        {"storage_policy": "gold"},
        {"transport": "hotadd"},
        {"hotadd": {"device_folder": "/dev/disk/by-id"}},
        {"content": False},
    ],
    ids="".join,
)
def test_what_is_for_a_vm_is_refused_for_files(backups, tmp_path, given):
    with pytest.raises(InvalidOption, match=f"The option {''.join(given)} is for a VM") as raised:
        restore(backups, tmp_path, **given)
    assert raised.value.details["option"] == "".join(given)


def test_a_vm_is_found_by_its_name_with_one_manifest_read(backups, monkeypatch):
    read, paths = Machine.read, []
    monkeypatch.setattr(Machine, "read", lambda machine, name: paths.append(name) or read(machine, name))
    newest = max(backups.kept)
    assert local.chosen(backups.repository, "web") == [UUID]
    assert paths == [newest]
    os.unlink(os.path.join(backups.repository.folder(UUID), "points", newest, "manifest.json"))
    assert local.chosen(backups.repository, "web") == [UUID]
    with pytest.raises(NotFound):
        local.chosen(backups.repository, "db")


@pytest.mark.parametrize("wanted", ["web/1", "web%2F1", UUID, f" {UUID.upper()} "])
def test_a_vm_is_found_by_any_spelling_of_its_name_and_its_uuid(backups, monkeypatch, wanted):
    monkeypatch.setattr(Machine, "newest_name", lambda _machine: "web/1")
    assert local.chosen(backups.repository, wanted) == [UUID]


def test_of_backups_of_one_second_the_one_with_the_higher_number_has_the_name(backups, monkeypatch):
    made = {
        "20261101T000000Z-00000001": (2, "renamed"),
        "20261101T000000Z-ffffffff": (1, "web"),
        "20251101T000000Z-aaaaaaaa": (9, "old"),
    }
    monkeypatch.setattr(repository, "names", lambda _place: sorted(made))
    monkeypatch.setattr(
        Machine, "read", lambda _machine, name: types.SimpleNamespace(number=made[name][0], vm_name=made[name][1])
    )
    assert backups.repository.read(UUID).newest_name() == "renamed"


def test_what_there_is(backups):
    found = local.info(backups.repository.path, "web")["vms"]
    assert [(vm["instance_uuid"], vm["name"]) for vm in found] == [(UUID, "web")]
    assert [point["kind"] for point in found[0]["points"]] == ["full", "incremental", "incremental"]
    assert all(point["stored"] >= 500_000 and point["verified"] is None for point in found[0]["points"])


def test_an_unknown_vm_is_named(backups):
    with pytest.raises(NotFound, match=r"no backups of db in \S+\."):
        local.info(backups.repository.path, "db")
    for manifest in Path(backups.repository.path).rglob("manifest.json"):
        manifest.unlink()
    with pytest.raises(NotFound, match=f"or those of {UUID} are its"):
        local.info(backups.repository.path, "web")


def test_verifying_reads_all_and_notes_when(backups):
    result = care(backups, state="verified")
    assert (actions(result), result["counts"]) == (["verified"] * 3, {"verified": 3})
    assert all(point["read"] == 3 * MIB for point in result["vms"][0]["points"])
    assert all(point["verified"] for point in local.info(backups.repository.path, UUID)["vms"][0]["points"])


def test_a_damaged_point_is_named_and_the_others_are_verified(backups):
    path = local.info(backups.repository.path, UUID)["vms"][0]["folder"]
    newest = ids(backups)[-1]
    image = f"{path}/points/{newest}/disk-2000.qcow2"
    os.truncate(image, os.path.getsize(image) - 2 * 65536)
    with pytest.raises(PartialFailure) as raised:
        care(backups, state="verified")
    assert raised.value.error_code in ("backup_damaged", "image_tool_failed")
    assert actions(raised.value.result) == ["verified", "verified", "damaged"]


def test_pruning_in_check_mode_says_the_same_and_removes_nothing(backups):
    planned = care(backups, check=True, state="pruned", keep_last=1)
    assert len(ids(backups)) == 3
    done = care(backups, state="pruned", keep_last=1)
    assert actions(planned) == actions(done) == ["removed", "removed", "kept"]
    assert done["vms"][0]["points"][2]["kept_by"] == ["last"]
    again = care(backups, state="pruned", keep_last=1)
    assert (again["changed"], actions(again)) == (False, ["kept"])


def test_a_retention_that_keeps_nothing_is_refused(backups):
    with pytest.raises(InvalidOption, match="keeps no point"):
        care(backups, state="pruned")


def test_restored_once_and_then_left_alone(backups, tmp_path):
    folder = tmp_path / "restored"
    folder.mkdir(mode=0o700)
    assert restore(backups, folder, check=True)["changed"] is True
    assert list(folder.iterdir()) == []
    first = restore(backups, folder)
    assert [disk["action"] for disk in first["disks"]] == ["restored"]
    assert (folder / "disk-2000.raw").read_bytes() == backups.kept[first["point"]]
    assert restore(backups, folder)["changed"] is False
    noted = local.info(backups.repository.path, UUID)["vms"][0]["points"]
    assert [[each["to"] for each in point["restored"]] for point in noted] == [[], [], [str(folder)]]
    older = restore(backups, folder, point=ids(backups)[0])
    assert (folder / "disk-2000.raw").read_bytes() == backups.kept[older["point"]]


@pytest.mark.parametrize("check", [True, False], ids=["check mode", "for real"])
def test_a_folder_that_is_not_there_is_named_in_check_mode_too(backups, tmp_path, check):
    with pytest.raises(
        FileMissing, match=r"There is no folder .*/db-1 for the restored image\. Make it, or choose another one\."
    ):
        restore(backups, tmp_path / "db-1", check=check)
    assert not (tmp_path / "db-1").exists()


def test_nothing_is_restored_among_the_points(backups, tmp_path):
    vm = local.info(backups.repository.path, UUID)["vms"][0]
    (tmp_path / "link").symlink_to(f"{vm['folder']}/points/{vm['points'][0]['id']}")
    for folder in (tmp_path / "link", vm["folder"], f"{vm['folder']}/points/new"):
        with pytest.raises(InvalidOption, match="among the backups of"):
            restore(backups, folder, format="qcow2")
    assert care(backups, state="verified")["counts"] == {"verified": 3}


def test_an_image_that_reads_as_the_point_but_stands_on_it_is_replaced(backups, tmp_path):
    folder = tmp_path / "restored"
    folder.mkdir(mode=0o700)
    vm = local.info(backups.repository.path, UUID)["vms"][0]
    newest, image = f"{vm['folder']}/points/{vm['points'][-1]['id']}/disk-2000.qcow2", str(folder / "disk-2000.qcow2")
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", newest, "-F", "qcow2", image], check=True)
    assert restore(backups, folder, format="qcow2")["changed"] is True
    shutil.rmtree(backups.repository.path)
    subprocess.run(["qemu-img", "convert", "-O", "raw", image, str(folder / "raw")], check=True)
    assert (folder / "raw").read_bytes() == backups.kept[vm["points"][-1]["id"]]


def test_what_restic_has_is_verified_and_restored_from_without_bringing_it_back(backups, tmp_path, tools, monkeypatch):
    for name in ("mounted", "restored"):
        (tmp_path / name).mkdir(mode=0o700)
    if why := why_nothing_can_be_mounted(tmp_path / "mounted"):
        pytest.skip(why)
    monkeypatch.setenv("RESTIC_PASSWORD", "a-secret-of-the-test")
    restic = [tools / "restic", "-r", tmp_path / "off-site", "-q"]
    # By its own name, since everybody may write into what is above it here.
    for words in (["init"], ["backup", "repository"]):
        subprocess.run([*restic, *words], check=True, capture_output=True, cwd=tmp_path)
    there = tmp_path / "mounted/snapshots/latest/repository"
    with subprocess.Popen([*restic, "mount", tmp_path / "mounted"], stdout=subprocess.DEVNULL) as mount:
        try:
            while not there.exists():
                assert mount.poll() is None
                time.sleep(0.05)
            assert care(backups, path=str(there), state="verified")["counts"] == {"verified": 3}
            found = restore(backups, tmp_path / "restored", repository=str(there))
            assert (tmp_path / "restored/disk-2000.raw").read_bytes() == backups.kept[found["point"]]
        finally:
            subprocess.run(["umount", "--lazy", tmp_path / "mounted"], check=False)


def test_a_repository_that_is_mounted_read_only_is_restored_from_and_verified(backups, tmp_path):
    for name in ("mounted", "restored"):
        (tmp_path / name).mkdir(mode=0o700)
    if why := why_nothing_can_be_mounted(tmp_path / "mounted"):
        pytest.skip(why)
    os.unlink(f"{backups.repository.folder(UUID)}.lock")
    subprocess.run(["mount", "--bind", "-o", "ro", backups.repository.path, tmp_path / "mounted"], check=True)
    try:
        found = restore(backups, tmp_path / "restored", repository=str(tmp_path / "mounted"))
        assert (tmp_path / "restored/disk-2000.raw").read_bytes() == backups.kept[found["point"]]
        (warning,) = found["warnings"]
        assert "Read-only file system" in warning
        assert care(backups, path=str(tmp_path / "mounted"), state="verified")["counts"] == {"verified": 3}
        with pytest.raises(PartialFailure, match="Read-only file system"):
            care(backups, path=str(tmp_path / "mounted"), state="pruned", keep_last=1)
    finally:
        # A run holds its repository open, and an error what it came from.
        subprocess.run(["umount", "--lazy", tmp_path / "mounted"], check=True)


def test_damage_keeps_the_newest_from_being_restored_only_where_it_may_be_of_that(backups, tmp_path):
    folder = tmp_path / "restored"
    folder.mkdir(mode=0o700)
    first, second, third = sorted(backups.kept)
    place = Path(backups.repository.folder(UUID)) / "points"
    before = "2026-11-01T02:59:59+00:00"

    def spoil(identifier):
        (place / identifier / "manifest.json").write_text("{", encoding="utf-8")

    spoil(first)
    for asked, identifier in (({}, third), ({"before": before}, second)):
        assert restore(backups, folder, **asked)["point"] == identifier
        assert (folder / "disk-2000.raw").read_bytes() == backups.kept[identifier]
    spoil(third)
    with pytest.raises(BackupDamaged, match=third):
        restore(backups, folder)
    assert restore(backups, folder, before=before)["point"] == second
    spoil(second)
    with pytest.raises(BackupDamaged):
        restore(backups, folder, vm=UUID, before=before)


def test_a_removal_that_cannot_be_finished_keeps_no_other_point_from_being_restored(backups, tmp_path):
    folder = tmp_path / "restored"
    folder.mkdir(mode=0o700)
    vm = local.info(backups.repository.path, UUID)["vms"][0]
    oldest, newest = vm["points"][0]["id"], vm["points"][-1]["id"]
    # A run that died has begun to remove the oldest, and what is to have its images cannot be read.
    with open(f"{vm['folder']}/points/{oldest}/removing", "w", encoding="ascii") as file:
        file.write("20200101T000000Z-00000000")
    with pytest.raises(VforgeError):
        care(backups, state="verified")
    assert restore(backups, folder)["point"] == newest
    assert (folder / "disk-2000.raw").read_bytes() == backups.kept[newest]


def test_a_damaged_manifest_hides_no_other_vm(backups):
    folder = os.path.join(backups.repository.path, "vm-50000000-0000-0000-0000-000000000001")
    point = os.path.join(folder, "points", "20261101T000000Z-00000000")
    os.makedirs(point, mode=0o700)
    with open(os.path.join(point, "manifest.json"), "w", encoding="ascii") as file:
        file.write("{}")
    os.chmod(os.path.join(point, "manifest.json"), 0o600)
    found = local.info(backups.repository.path, None)["vms"]
    assert [vm.get("error", {}).get("error_code") for vm in found] == ["backup_damaged", None]
    assert local.info(backups.repository.path, "web")["vms"][0]["instance_uuid"] == UUID


@pytest.mark.parametrize("form", ["raw", "qcow2", "vmdk"])
def test_a_file_that_is_longer_than_the_disk_is_written_again(tmp_path, form):
    made, guest = Backups(tmp_path / "repository"), Guest(MIB)
    guest.write(0, b"one" * 1000)
    first = made.take(guest)
    guest.grow(MIB)
    made.take(guest)
    folder = tmp_path / "restored"
    folder.mkdir(mode=0o700)
    restore(made, folder, format=form)
    # What is behind the end of the older disk is not its content, whatever that is.
    assert restore(made, folder, format=form, point=first.id)["disks"][0]["action"] == "restored"
    assert restore(made, folder, format=form, point=first.id)["changed"] is False
    told = subprocess.run(
        ["qemu-img", "info", "-f", form, "--output=json", folder / f"disk-2000.{form}"], check=True, capture_output=True
    )
    assert json.loads(told.stdout)["virtual-size"] == MIB


def test_a_point_that_goes_while_it_is_looked_at_takes_nothing(backups, monkeypatch):
    known = Machine.known

    def going(machine):
        found = known(machine)
        for point in found.points:
            shutil.rmtree(machine.folder_of(point))
        return found

    monkeypatch.setattr(Machine, "known", going)
    (vm,) = local.info(backups.repository.path, UUID)["vms"]
    assert [point["stored"] for point in vm["points"]] == [0, 0, 0]


def test_what_is_not_read_in_check_mode_is_not_called_verified(backups):
    assert actions(care(backups, check=True, state="verified")) == ["not_read"] * 3
    (vm,) = local.info(backups.repository.path, UUID)["vms"]
    assert [point["verified"] for point in vm["points"]] == [None] * 3


def test_an_unknown_disk_is_named(backups, tmp_path):
    with pytest.raises(NotFound, match="no Hard disk 9"):
        restore(backups, tmp_path, disks=["Hard disk 9"])


def test_restic_takes_the_repository_off_site_and_back(backups, tmp_path, tools, monkeypatch):
    monkeypatch.setenv("RESTIC_PASSWORD", "a-secret-of-the-test")
    off_site = tmp_path / "off-site"
    subprocess.run([tools / "restic", "-r", off_site, "-q", "init"], check=True, capture_output=True)
    commands = guide.commands("Off-site", 0).replace("sftp:backup@elsewhere:/vforge", str(off_site))
    guide.Shell(tmp_path, backups=Path(backups.repository.path), back=tmp_path / "back").run(commands)
    there = f"{tmp_path / 'back'}{backups.repository.path}"
    assert care(backups, path=there, state="verified")["counts"] == {"verified": 3}
