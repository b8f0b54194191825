# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Exports from their options to the files: what comes, how often, and what is left."""

from __future__ import annotations

import contextlib
import json
import subprocess
import tarfile

import pytest

from ansible_collections.vforge.vsphere.plugins.module_utils import _descriptor as descriptor
from ansible_collections.vforge.vsphere.plugins.module_utils._connector import names
from ansible_collections.vforge.vsphere.plugins.module_utils._export import package
from ansible_collections.vforge.vsphere.plugins.module_utils._export.task import KIND
from ansible_collections.vforge.vsphere.plugins.module_utils._files import FileUnwritable
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.cbt.running import Areas
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.export.running import MIB, one, sums
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.ovf.running import Templates
from ansible_collections.vforge.vsphere.tests.unit.plugins.modules.endings import Forked


def test_a_vm_that_is_off_is_a_package_whose_manifest_holds(exports):
    name = exports.vm()
    entry = one(exports.run(vm=name))
    assert (entry["actions"], entry["reason"], entry["snapshot"]) == (["exported"], "missing", None)
    folder = exports.dest / name
    assert exports.files(name) == [f"{name}-disk1.vmdk", f"{name}.mf", f"{name}.ovf", f"{name}.vforge.json"]
    assert sums(folder, f"{name}.mf") == f"{name}.ovf: OK\n{name}-disk1.vmdk: OK\n"
    size = (folder / f"{name}-disk1.vmdk").stat().st_size
    assert f'ovf:size="{size}"' in (folder / f"{name}.ovf").read_text(encoding="utf-8")
    disk = entry["package"]["disks"][0]
    assert (disk["size"], disk["witnessed"]) == (size, True)
    assert disk["populated"] >= 3 * MIB
    assert {file.stat().st_mode & 0o777 for file in folder.iterdir()} == {0o600}


@pytest.mark.parametrize("on", [True, False])
def test_a_vm_with_a_4kn_disk_is_refused_before_anything_is_done(start, on):
    exports = start("--api-version", "9.0.0.0")
    name = exports.vm(on=on)
    with contextlib.closing(Areas(exports.sim)) as areas:
        areas.add_4kn_disk(name)
    ran = exports.attempt(vm=name)
    assert ran.code == "not_exportable"
    assert "Hard disk 2: its sector format is native_4k, and a disk of a package has sectors of 512 bytes" in str(ran.error)
    assert ran.called("CreateSnapshot_Task") == ran.called("ExportSnapshot") == ran.called("ExportVm") == 0
    assert not (exports.dest / name).exists()


def test_a_running_vm_is_exported_from_a_snapshot_that_is_gone_then(exports):
    name = exports.vm(on=True)
    entry = one(exports.run(vm=name))
    assert entry["snapshot"]["created"]
    assert entry["snapshot"]["removed"]
    assert exports.snapshots(name) == []
    assert exports.sim.open_leases() == 0


def test_a_second_run_of_an_unchanged_vm_receives_nothing_and_takes_few_calls(exports):
    name = exports.vm()
    first, second = exports.run(vm=name), exports.run(vm=name)
    assert first.total <= 20
    assert (second.result["changed"], second.result["bytes_received"]) == (False, 0)
    assert one(second)["reason"] == "unchanged"
    assert one(second)["package"]["files"] == one(first)["package"]["files"]
    assert second.total <= 10
    assert second.called("ExportVm") == 0


def test_a_running_vm_takes_no_more_than_twenty_calls(exports):
    assert exports.run(vm=exports.vm(on=True)).total <= 20


def test_what_changes_a_vm_makes_it_be_exported_again(exports):
    name = exports.vm()
    exports.run(vm=name)
    exports.sim.govc("vm.change", "-vm", name, "-m", "512")
    assert one(exports.run(vm=name))["reason"] == "changed"
    assert one(exports.run(vm=name))["reason"] == "unchanged"


def test_a_start_counts_as_a_change_since_the_guest_may_have_written(exports):
    name = exports.vm()
    exports.run(vm=name)
    exports.sim.govc("vm.power", "-on", name)
    exports.write(name, 1)
    exports.sim.govc("vm.power", "-off", name)
    assert one(exports.run(vm=name))["reason"] == "changed"


def test_of_a_running_vm_nobody_knows_and_missing_keeps_what_is_there(exports):
    name = exports.vm(on=True)
    exports.run(vm=name)
    assert one(exports.run(vm=name))["reason"] == "unknown"
    kept = exports.run(vm=name, refresh="missing")
    assert (one(kept)["reason"], kept.result["changed"], kept.result["bytes_received"]) == ("present", False, 0)
    assert kept.total <= 10


def test_a_package_without_one_of_its_files_is_made_again(exports):
    name = exports.vm()
    exports.run(vm=name)
    (exports.dest / name / f"{name}-disk1.vmdk").write_bytes(b"short")
    assert one(exports.run(vm=name))["reason"] == "missing"


def test_a_named_snapshot_is_exported_as_it_was_and_stays(exports):
    name = exports.vm()
    exports.run(vm=name, package="now")
    exports.sim.govc("snapshot.create", "-vm", name, "-m=false", "before")
    exports.sim.govc("vm.power", "-on", name)
    exports.write(name, 1, at=8 * MIB)
    named = {"vm": name, "snapshot": {"name": "before"}, "package": "before"}
    entry = one(exports.run(**named))
    assert not entry["snapshot"]["created"]
    assert exports.snapshots(name) == ["before"]
    disks = [one(exports.run(vm=name, package=which, refresh="missing"))["package"]["disks"][0] for which in ("now", "before")]
    assert disks[0]["sha256"] == disks[1]["sha256"]
    again = exports.run(**named)
    assert (one(again)["reason"], again.result["bytes_received"]) == ("unchanged", 0)


def test_an_ova_begins_with_its_descriptor_and_its_manifest(exports):
    name = exports.vm()
    entry = one(exports.run(vm=name, format="ova"))
    path = exports.dest / f"{name}.ova"
    assert entry["package"]["path"] == str(path)
    with tarfile.open(path) as tar:
        assert tar.getnames() == [f"{name}.ovf", f"{name}.mf", f"{name}-disk1.vmdk"]
        assert [member.isreg() for member in tar.getmembers()] == [True] * 3
        tar.extractall(exports.dest / "out", filter="data")
    assert sums(exports.dest / "out", f"{name}.mf").count("OK") == 2
    assert not exports.run(vm=name, format="ova").result["changed"]
    assert sorted(file.name for file in exports.dest.iterdir()) == ["out", f"{name}.ova", f"{name}.ova.vforge.json"]


def test_many_vms_at_once_and_one_that_is_not_there_fails_alone(exports):
    there = [exports.vm(), exports.vm(on=True)]
    ran = exports.attempt(vms=[{"name": there[0]}, {"name": "nobody"}, {"name": there[1]}])
    assert ran.result["counts"] == {"exported": 2, "failed": 1}
    assert [entry["name"] for entry in ran.vms] == [there[0], "nobody", there[1]]
    assert all((exports.dest / name).is_dir() for name in there)


def test_check_mode_writes_nothing_and_makes_no_snapshot(exports):
    name = exports.vm(on=True)
    ran = exports.run(vm=name, check=True)
    assert ran.result["changed"]
    assert one(ran)["actions"] == ["exported"]
    assert not exports.dest.exists()
    assert ran.called("CreateSnapshot_Task") == 0
    assert "a new export" in ran.result["diff"]["after"]


def test_a_secret_of_guestinfo_is_in_no_file_unless_its_key_is_given(exports):
    name = exports.vm()
    exports.sim.govc("vm.change", "-vm", name, "-e", "guestinfo.userdata=a-secret-of-somebody", "-e", "disk.EnableUUID=TRUE")
    assert one(exports.run(vm=name))["withheld"] == ["guestinfo.userdata"]
    files = [file.read_bytes() for file in (exports.dest / name).iterdir()]
    assert not any(b"a-secret-of-somebody" in data for data in files)
    assert any(b"disk.EnableUUID" in data for data in files)
    asked = one(exports.run(vm=name, extra_config=["guestinfo.userdata"]))
    assert (asked["reason"], asked["withheld"]) == ("changed", [])
    assert b"a-secret-of-somebody" in (exports.dest / name / f"{name}.ovf").read_bytes()


# Quiescing


def test_a_guest_that_cannot_be_quiesced_is_exported_as_it_is_with_a_warning(exports):
    name = exports.vm(on=True)
    exports.sim.patch_guest(name, tools="running")
    exports.sim.inject(method="CreateSnapshot_Task", nth=1, do="fault", fault="FilesystemQuiesceFault")
    entry = one(exports.run(vm=name, quiesce="try"))
    assert entry["package"]["consistency"] == "crash"
    assert "could not be quiesced" in entry["warnings"][0]
    assert exports.snapshots(name) == []


def test_a_guest_that_has_to_be_quiesced_and_cannot_be_fails(exports):
    name = exports.vm(on=True)
    exports.sim.patch_guest(name, tools="running")
    exports.sim.inject(method="CreateSnapshot_Task", nth=1, do="fault", fault="FilesystemQuiesceFault")
    ran = exports.attempt(vm=name, quiesce="require")
    assert one(ran)["error"]["error_code"] == "filesystem_quiesce_fault"
    assert not (exports.dest / name).exists()
    assert exports.snapshots(name) == []


def test_a_quiesced_guest_makes_a_package_that_is_consistent(exports):
    name = exports.vm(on=True)
    exports.sim.patch_guest(name, tools="running")
    assert one(exports.run(vm=name, quiesce="require"))["package"]["consistency"] == "file_system"


def test_without_tools_a_vm_that_has_to_be_quiesced_is_refused_before_anything(exports):
    name = exports.vm(on=True)
    exports.sim.patch_guest(name, tools="notRunning")
    ran = exports.attempt(vm=name, quiesce="require")
    assert one(ran)["error"]["error_code"] == "not_exportable"
    assert ran.called("CreateSnapshot_Task") == 0


# What goes wrong


def test_a_lease_that_fails_leaves_nothing(exports):
    name = exports.vm(on=True)
    exports.sim.inject(method="ExportSnapshot", nth=1, do="task-fault", fault="SystemError")
    ran = exports.attempt(vm=name)
    assert ran.error is not None
    assert list(exports.dest.iterdir()) == []
    assert exports.snapshots(name) == []
    assert exports.sim.open_leases() == 0
    assert one(exports.run(vm=name))["actions"] == ["exported"]


def test_a_lease_that_a_signal_leaves_is_ended_before_its_snapshot_is_removed(exports, tmp_path):
    name = exports.vm(on=True)
    rule = {"method": "HttpNfcLeaseGetManifest", "do": "signal", "signal": "TERM", "delay_ms": 300}
    asked = {"vm": {"name": name}, "dest": str(exports.dest)}
    ended = Forked(exports.sim, "vm_export", tmp_path).run(asked, rule=rule)
    assert ended.result["error_code"] == "interrupted"
    # Those of other tests of this process are in it, too.
    assert not [each for each in ended.result.get("warnings", ()) if "lease" in str(each) or "snapshot" in str(each)]
    assert (exports.sim.open_leases(), exports.snapshots(name), list(exports.dest.iterdir())) == (0, [], [])


def test_a_connection_that_breaks_once_is_tried_again_and_the_digest_holds(exports):
    name = exports.vm(data=8)
    exports.sim.disturb_uploads(drop_after=65536, times=1)
    entry = one(exports.run(vm=name))
    assert entry["package"]["disks"][0]["witnessed"]
    assert sums(exports.dest / name, f"{name}.mf").count("OK") == 2


def test_a_connection_that_always_breaks_is_an_error_and_leaves_nothing(exports):
    name = exports.vm(data=8)
    exports.sim.disturb_uploads(drop_after=65536, times=3)
    ran = exports.attempt(vm=name)
    assert one(ran)["error"]["error_code"] == "export_broken"
    assert list(exports.dest.iterdir()) == []
    assert exports.sim.open_leases() == 0


def test_a_package_that_is_there_stays_when_its_next_export_fails(exports):
    name = exports.vm(data=8)
    exports.run(vm=name)
    before = exports.files(name)
    exports.sim.govc("vm.change", "-vm", name, "-m", "512")
    exports.sim.disturb_uploads(drop_after=65536, times=3)
    assert exports.attempt(vm=name).error is not None
    assert exports.files(name) == before
    assert sums(exports.dest / name, f"{name}.mf").count("OK") == 2


def test_what_a_killed_run_has_left_is_removed_by_the_next_one(exports):
    name = exports.vm(on=True)
    left = exports.dest / f".{name}.0123456789abcdef.vforge-part"
    left.mkdir(parents=True, mode=0o700)
    exports.dest.chmod(0o700)
    (left / "half.vmdk").write_bytes(b"half")
    exports.run(vm=name)
    assert [file.name for file in exports.dest.iterdir()] == [name]


def test_a_package_that_was_away_when_a_run_was_killed_is_back(exports):
    name = exports.vm()
    exports.run(vm=name)
    (exports.dest / name).rename(exports.dest / f".{name}.0123456789abcdef.vforge-old")
    again = exports.run(vm=name)
    assert one(again)["reason"] == "unchanged"


def test_a_package_that_was_away_is_not_taken_for_one_whose_name_is_the_beginning_of_its(exports):
    name, other = exports.vm(), exports.vm()
    exports.run(vm=name, package="web.example.com")
    (exports.dest / "web.example.com").rename(exports.dest / ".web.example.com.0123456789abcdef.vforge-old")
    assert one(exports.run(vm=other, package="web"))["actions"] == ["exported"]
    assert one(exports.run(vm=name, package="web.example.com"))["reason"] == "unchanged"


@pytest.mark.parametrize("form", ["ovf", "ova"])
@pytest.mark.parametrize("check", [True, False])
def test_another_vms_package_is_neither_taken_for_this_one_nor_replaced(exports, form, check):
    first, second = exports.vm(), exports.vm()
    exports.run(vm=first, package="web", format=form)
    refused = exports.attempt(vm=second, package="web", format=form, check=check)
    assert (refused.code, refused.result["changed"]) == ("exists", False)
    assert "is the package of another VM" in str(refused.error)
    assert one(exports.run(vm=first, package="web", format=form))["reason"] == "unchanged"


@pytest.mark.parametrize("check", [True, False])
def test_what_no_export_has_made_is_not_replaced(exports, check):
    name = exports.vm()
    mine = exports.dest / name / "letters"
    mine.parent.mkdir(parents=True, mode=0o700)
    mine.write_text("mine", encoding="utf-8")
    archive = exports.dest / f"{name}.ova"
    archive.write_text("of another tool", encoding="utf-8")
    for form in ("ovf", "ova"):
        refused = exports.attempt(vm=name, format=form, check=check)
        assert refused.code == "exists"
        assert "vm_export has not made it" in str(refused.error)
    assert (mine.read_text(encoding="utf-8"), archive.read_text(encoding="utf-8")) == ("mine", "of another tool")
    assert sorted(file.name for file in exports.dest.iterdir()) == [name, archive.name]


def test_what_somebody_puts_there_meanwhile_is_not_replaced(exports, monkeypatch):
    name, mine = exports.vm(), exports.dest / "web" / "letters"
    pack = descriptor.manifest

    def meanwhile(files):
        mine.parent.mkdir()
        mine.write_text("mine", encoding="utf-8")
        return pack(files)

    monkeypatch.setattr(descriptor, "manifest", meanwhile)
    assert exports.attempt(vm=name, package="web").code == "exists"
    assert [str(file.relative_to(exports.dest)) for file in exports.dest.rglob("*")] == ["web", "web/letters"]


def test_an_empty_folder_is_a_place_for_a_package(exports):
    name = exports.vm()
    (exports.dest / name).mkdir(parents=True, mode=0o700)
    assert one(exports.run(vm=name))["actions"] == ["exported"]


@pytest.mark.parametrize("there", [True, False])
def test_an_archive_whose_run_was_killed_before_its_note_is_made_again(exports, monkeypatch, there):
    name = exports.vm()
    if there:
        exports.run(vm=name, format="ova")
        exports.sim.govc("vm.change", "-vm", name, "-m", "512")
    with monkeypatch.context() as patch:
        patch.setattr(package.Draft, "finish", _killed_after(package.Draft.finish, f"{name}.ova"))
        assert exports.attempt(vm=name, format="ova").error is not None
    assert (exports.dest / f"{name}.ova").exists()
    again = one(exports.run(vm=name, format="ova"))
    assert (again["actions"], again["reason"]) == (["exported"], "missing")
    assert one(exports.run(vm=name, format="ova"))["reason"] == "unchanged"


def _killed_after(finish, name):
    def killed(draft):
        finish(draft)
        if draft._name == name:
            raise FileUnwritable("The run ends here.", hint="It is a test.")

    return killed


def test_two_vms_of_one_package_are_refused_before_anything(exports):
    first, second = exports.vm(), exports.vm()
    ran = exports.attempt(vms=[{"name": first, "package": "web"}, {"name": second, "package": "Web"}])
    assert ran.error is not None
    assert ran.error.error_code == "invalid_option"
    assert not exports.dest.exists() or not list(exports.dest.iterdir())


def test_a_folder_in_which_others_may_write_is_refused(exports):
    exports.dest.mkdir()
    exports.dest.chmod(0o777)
    ran = exports.attempt(vm=exports.vm())
    assert ran.error is not None
    assert ran.error.error_code == "file_refused"


def test_a_vm_whose_name_leads_elsewhere_stays_in_the_folder(exports):
    name = exports.vm()
    exports.sim.govc("vm.change", "-vm", name, "-name", "../../etc/passwd")
    exports.run(vms=[{"path": "/DC0/vm/..%2f..%2fetc%2fpasswd"}])
    assert [file.name for file in exports.dest.iterdir()] == ["_.._etc_passwd"]


@pytest.mark.parametrize("name", ["a/b", "c%2fd", "e%f"])
def test_a_vm_whose_name_has_escapes_is_exported_once(exports, name):
    source = exports.vm()
    exports.sim.govc("vm.change", "-vm", source, "-name", name)
    assert exports.run(vm=name).result["changed"]
    assert not exports.run(vm=name).result["changed"]
    (package,) = exports.dest.iterdir()
    assert set(package.name) <= set("abcdef2_-.")
    exports.sim.govc("vm.destroy", "-vm.ipath", f"/DC0/vm/{names.escape(names.unescape(name))}")


def test_the_record_says_what_was_made(exports):
    name = exports.vm()
    exports.run(vm=name)
    told = json.loads((exports.dest / name / f"{name}.vforge.json").read_text(encoding="utf-8"))
    assert [file["role"] for file in told["files"]] == ["descriptor", "manifest", "disk"]


def test_snapshots_of_exports_are_recognized(exports):
    name = exports.vm(on=True)
    exports.sim.inject(method="ExportSnapshot", nth=1, do="fault", fault="SystemError")
    exports.attempt(vm=name)
    assert exports.snapshots(name) == []
    assert KIND.name == "vforge-export"


@pytest.mark.parametrize("form", ["ovf", "ova"])
def test_old_packages_of_a_vm_go_and_all_else_stays(exports, form):
    name, other = exports.vm(), exports.vm()
    exports.run(vm=other, package="other", format=form)
    for number in range(3):
        exports.run(vm=name, package=f"{name}-{number}", format=form)
        record = next(exports.dest.rglob(f"{name}-{number}*.vforge.json"))
        told = json.loads(record.read_text(encoding="utf-8"))
        record.write_text(json.dumps({**told, "at": f"2026-01-0{number + 1}T00:00:00+00:00"}), encoding="utf-8")
    (exports.dest / "mine").mkdir()
    entry = one(exports.run(vm=name, package=f"{name}-3", format=form, keep_last=2))
    assert entry["actions"] == ["exported", "pruned"]
    assert [each["name"] for each in entry["removed"]] == [f"{name}-0", f"{name}-1"]
    left = {file.name.partition(".")[0] for file in exports.dest.iterdir()}
    assert left == {"mine", "other", f"{name}-2", f"{name}-3"}
    again = exports.run(vm=name, package=f"{name}-3", format=form, keep_last=2)
    assert again.result["changed"] is False


def test_of_packages_of_one_second_the_older_one_goes(exports):
    name = exports.vm()
    entries = [one(exports.run(vm=name, package=package, keep_last=2)) for package in ("c", "b", "a")]
    assert [[each["name"] for each in entry["removed"]] for entry in entries] == [[], [], ["c"]]
    assert entries[0]["package"]["at"].endswith("+00:00")
    assert "." not in entries[0]["package"]["at"]


def test_one_package_of_each_month_stays_where_that_is_asked_for(exports):
    name = exports.vm()
    for number, day in enumerate(("2026-01-02", "2026-01-20", "2026-02-03")):
        exports.run(vm=name, package=f"{name}-{number}")
        record = next(exports.dest.rglob(f"{name}-{number}*.vforge.json"))
        told = json.loads(record.read_text(encoding="utf-8"))
        record.write_text(json.dumps({**told, "at": f"{day}T00:00:00+00:00"}), encoding="utf-8")
    entry = one(exports.run(vm=name, package=f"{name}-3", keep_monthly=12))
    assert [each["name"] for each in entry["removed"]] == [f"{name}-0"]


def test_a_dated_package_that_is_fresh_is_enough(exports):
    name = exports.vm(on=True)
    dated = {"vm": name, "dated": True, "fresh_hours": 1}
    first, second = exports.run(**dated), exports.run(**dated)
    assert one(first)["package"]["name"].startswith(f"{name}-2")
    assert (one(second)["reason"], second.result["changed"]) == ("fresh", False)
    assert one(second)["package"]["name"] == one(first)["package"]["name"]
    assert second.total <= 10


def test_a_fresh_package_that_is_not_as_consistent_as_asked_is_not_enough(exports):
    name = exports.vm(on=True)
    exports.sim.patch_guest(name, tools="running")
    dated = {"vm": name, "dated": True, "fresh_hours": 1}
    assert one(exports.run(**dated, quiesce="no"))["package"]["consistency"] == "crash"
    assert exports.run(**dated, quiesce="try").result["changed"] is False
    assert exports.run(**dated, quiesce="require", check=True).result["changed"] is True


def test_nothing_is_removed_of_a_vm_whose_export_failed(exports):
    name = exports.vm(data=8)
    exports.run(vm=name, package="first")
    exports.sim.disturb_uploads(drop_after=65536, times=3)
    assert exports.attempt(vm=name, package="second", keep_last=1).error is not None
    assert (exports.dest / "first").is_dir()


# The judges


@pytest.mark.parametrize("form", ["ovf", "ova"])
def test_govc_imports_it_and_the_vm_is_the_same(exports, form):
    name = exports.vm()
    path = one(exports.run(vm=name, format=form))["package"]["path"]
    options = exports.dest / "options.json"
    options.write_text(json.dumps({"Name": f"{name}-back"}), encoding="utf-8")
    exports.sim.govc(
        f"import.{form}", "-options", str(options), "-ds", "LocalDS_0", "-pool", "/DC0/host/DC0_C0/Resources", path
    )
    old, new = (exports.sim.govc("vm.info", each)["virtualMachines"][0]["config"] for each in (name, f"{name}-back"))
    assert new["hardware"]["memoryMB"] == old["hardware"]["memoryMB"]
    assert new["hardware"]["numCPU"] == old["hardware"]["numCPU"]
    assert new["guestId"] == old["guestId"]


def test_qemu_img_finds_in_the_package_what_is_on_the_disk(exports, tools, tmp_path):
    name = exports.vm(data=5)
    entry = one(exports.run(vm=name))
    disk = exports.dest / name / entry["package"]["disks"][0]["file"]
    raw = tmp_path / "disk.raw"
    size = 8 * MIB
    raw.write_bytes(exports.sim.read_disk(name, length=size))
    for words in (
        ["check", "-f", "vmdk", disk],
        ["convert", "-f", "vmdk", "-O", "raw", disk, tmp_path / "out.raw"],
        ["compare", "-f", "vmdk", "-F", "raw", disk, tmp_path / "out.raw"],
    ):
        done = subprocess.run([tools / "qemu-img", *words], capture_output=True, text=True, check=False)
        # 63: this format cannot be checked.
        assert done.returncode in (0, 63), (words, done.stdout, done.stderr)
    with (tmp_path / "out.raw").open("rb") as out:
        assert out.read(size) == raw.read_bytes()


@pytest.mark.parametrize("form", ["ovf", "ova"])
def test_cached_ovf_template_makes_a_template_of_it(exports, form):
    name = exports.vm()
    path = one(exports.run(vm=name, format=form))["package"]["path"]
    made = Templates(exports.sim).run(path, name=f"{name}-template")
    assert made.result["actions"] == ["imported"]
