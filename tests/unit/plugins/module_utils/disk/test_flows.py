# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Disks go out of a simulated vCenter and in again; qemu-img, libvmdk and govc say whether they are right."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import re
import threading
import time

import pytest

import vforge_disks
from ansible_collections.vforge.vsphere.plugins.module_utils._connector import batch, names, tasks
from ansible_collections.vforge.vsphere.plugins.module_utils._disk import converting, copies, exporting, exports, local, task
from ansible_collections.vforge.vsphere.plugins.module_utils._disk.job import OnDatastore
from ansible_collections.vforge.vsphere.plugins.module_utils._disk_import import importing, places
from ansible_collections.vforge.vsphere.plugins.module_utils._engine import Task
from ansible_collections.vforge.vsphere.plugins.module_utils._errors import (
    ConnectionLost,
    Fault,
    Interrupted,
    InvalidOption,
    NotFound,
    PartialFailure,
    TimedOut,
)
from ansible_collections.vforge.vsphere.plugins.module_utils._temporary_snapshots import Owner
from ansible_collections.vforge.vsphere.plugins.module_utils._vmfromdisks import read as vm_read
from ansible_collections.vforge.vsphere.plugins.module_utils._vmfromdisks import task as vm_task
from ansible_collections.vforge.vsphere.plugins.module_utils._vmfromdisks.model import VmOptions
from ansible_collections.vforge.vsphere.plugins.module_utils._vsphere import disks as vsphere_disks
from ansible_collections.vforge.vsphere.plugins.module_utils._vsphere import lease
from ansible_collections.vforge.vsphere.plugins.module_utils._vsphere.datastore_files import DatastoreFiles, FileDenied
from ansible_collections.vforge.vsphere.plugins.module_utils._vsphere.flat import Flat
from ansible_collections.vforge.vsphere.plugins.modules import vm_from_disks
from ansible_collections.vforge.vsphere.tests.unit.plugins.accepted import accepted
from ansible_collections.vforge.vsphere.tests.unit.plugins.deadlines import time_over
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.cbt.running import Areas
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.disk.running import MIB, Disks, Vms, one, sha256
from vforge_control import SimulatorError

SIZE = 12 * MIB


@pytest.fixture(name="vm")
def _vm(disks):
    """A powered-off VM with a disk of 12 MiB that has data at three places."""
    disks.sim.create_vm("web-1", disks=[{"bytes": SIZE}])
    for at in (0, 5 * MIB + 4096, SIZE - MIB):
        disks.sim.write_disk("web-1", offset=at, length=300_032, seed=at)
    disks.content = disks.sim.read_disk("web-1", length=SIZE)
    disks.sim.govc("vm.power", "-off", "web-1")
    return {"name": "web-1"}


def test_a_disk_that_is_off_goes_out_over_its_datastore(disks, vm, tmp_path, judges):
    target = tmp_path / "out.vmdk"
    ran = disks.run(state="exported", vm=vm, path=str(target))
    entry = one(ran.result)
    assert (entry["transport"], entry["actions"], entry["fetched"]) == ("datastore", ["exported"], SIZE)
    assert entry["content_sha256"] == sha256(disks.content) == judges.digest_by_libvmdk(target)
    raw = tmp_path / "expected.raw"
    raw.write_bytes(disks.content)
    judges.same(target, "vmdk", raw)
    assert ran.total <= 20
    again = disks.run(state="exported", vm=vm, path=str(target))
    assert (again.result["changed"], one(again.result)["fetched"], again.total <= 10) == (False, 0, True)
    assert sorted(os.listdir(tmp_path)) == [".out.vmdk.vforge", "expected.raw", "out.vmdk"]


def test_what_tracking_says_is_not_in_use_is_not_fetched(disks, tmp_path, judges):
    with contextlib.closing(Areas(disks.sim)) as tracking:
        tracking.make("web-3", size=SIZE)
    disks.sim.write_disk("web-3", offset=5 * MIB, length=300_032, seed=1)
    disks.sim.govc("vm.power", "-off", "web-3")
    ran = disks.run(state="exported", vm={"name": "web-3"}, path=str(tmp_path / "out.vmdk"))
    assert (one(ran.result)["transport"], ran.called("QueryChangedDiskAreas")) == ("datastore", 1)
    assert 300_032 <= one(ran.result)["fetched"] < MIB
    raw = tmp_path / "expected.raw"
    raw.write_bytes(disks.sim.read_disk("web-3", length=SIZE))
    judges.same(tmp_path / "out.vmdk", "vmdk", raw)


def test_a_disk_goes_in_by_a_lease(disks, tmp_path, judges):
    raw = tmp_path / "a.raw"
    raw.write_bytes(vforge_disks.noise(2 * MIB) + bytes(6 * MIB))
    source = judges.make(raw, tmp_path / "a.qcow2", "qcow2")
    path = "[LocalDS_0] images/a.vmdk"
    ran = disks.run(state="imported", path=str(source), datastore_path=path)
    assert ran.result["changed"]
    # Once, since the folder is made.
    assert (ran.total, ran.called("MakeDirectory")) == (21, 1)
    found = disks.info(datastore_path=path, digest=True).result["disk"]
    assert found["content_sha256"] == sha256(raw.read_bytes())


def test_a_file_that_somebody_writes_to_after_it_was_verified_is_not_imported(disks, tmp_path, judges, monkeypatch):
    """The host's digest is held against what was verified, not against what was sent."""
    streams = []
    for seed in (1, 2):
        raw = tmp_path / f"{seed}.raw"
        raw.write_bytes(vforge_disks.noise(2 * MIB, seed))
        streams.append(judges.make(raw, tmp_path / f"{seed}.vmdk", "vmdk", "-o", "subformat=streamOptimized"))
    source, other = streams
    assert source.stat().st_size == other.stat().st_size
    read = converting.read_stream

    def read_and_written_to(path, tell):
        found = read(path, tell)
        source.write_bytes(other.read_bytes())
        return found

    monkeypatch.setattr(converting, "read_stream", read_and_written_to)
    path = "[LocalDS_0] images/a.vmdk"
    failed = disks.attempt(state="imported", path=str(source), datastore_path=path)
    assert (failed.error.error_code, "than were verified" in str(failed.error)) == ("incomplete_upload", True)
    assert disks.sim.request("GET", "/orphans")["files"] == []


def test_a_sign_of_life_that_comes_after_the_end_of_the_lease_undoes_nothing(disks, tmp_path, monkeypatch):
    complete = lease.Lease.complete

    def signs():
        return disks.sim.calls()["by_method"].get("HttpNfcLeaseProgress", 0)

    def completed(of, deadline):
        complete(of, deadline)
        before, patience = signs(), time.monotonic() + 60
        while signs() == before and time.monotonic() < patience:
            threading.Event().wait(0.02)

    monkeypatch.setattr(lease, "_SECONDS_BETWEEN_SIGNS", 0.05)
    monkeypatch.setattr(lease.Lease, "complete", completed)
    raw = tmp_path / "a.raw"
    raw.write_bytes(vforge_disks.noise(MIB))
    path = "[LocalDS_0] images/a.vmdk"
    disks.run(state="imported", path=str(raw), datastore_path=path)
    assert disks.info(datastore_path=path, digest=True).result["disk"]["content_sha256"] == sha256(raw.read_bytes())


@pytest.mark.parametrize("size", [MIB, 40 * MIB])
def test_an_import_makes_twenty_calls_whatever_the_size(disks, tmp_path, size):
    raw = tmp_path / "a.raw"
    raw.write_bytes(vforge_disks.noise(MIB).ljust(size, b"\1"))
    disks.sim.govc("datastore.mkdir", "-ds", "LocalDS_0", "images")
    for name in ("a", "b"):
        ran = disks.run(state="imported", path=str(raw), datastore_path=f"[LocalDS_0] images/{name}.vmdk")
        # With its login and logout.
        assert (ran.total, ran.called("Login"), ran.called("MakeDirectory")) == (20, 1, 0)


def test_a_disk_of_a_running_vm_goes_out_by_a_lease(disks, tmp_path, judges):
    disks.sim.create_vm("web-2", disks=[{"bytes": SIZE}])
    disks.sim.write_disk("web-2", offset=MIB, length=300_032, seed=1)
    content = disks.sim.read_disk("web-2", length=SIZE)
    target = tmp_path / "out.vmdk"
    ran = disks.run(state="exported", vm={"name": "web-2"}, path=str(target))
    entry = one(ran.result)
    assert (entry["transport"], entry["actions"]) == ("lease", ["exported"])
    assert entry["content_sha256"] == sha256(content) == judges.digest_by_libvmdk(target)
    assert not disks.sim.govc("snapshot.tree", "-vm", "web-2")
    assert ran.total <= 20
    again = disks.run(state="exported", vm={"name": "web-2"}, path=str(target))
    assert (again.result["changed"], one(again.result)["fetched"], again.total <= 10) == (False, 0, True)


@pytest.mark.usefixtures("tools")
def test_a_4kn_disk_is_not_exported_and_those_beside_it_are(make_sim, tmp_path):
    disks = Disks(make_sim("--vms", "0", "--api-version", "9.0.0.0"))
    disks.sim.create_vm("web-1", on=False, disks=[{"bytes": SIZE}])
    with contextlib.closing(Areas(disks.sim)) as areas:
        areas.add_4kn_disk("web-1")
    asked = {"state": "exported", "vm": {"name": "web-1"}, "path": str(tmp_path / "out.vmdk")}
    for check in (True, False):
        refused = disks.attempt(**asked, disk="Hard disk 2", check=check)
        assert (refused.code, refused.error.details["option"]) == ("invalid_option", "disk")
        assert "Hard disk 2 of /DC0/vm/web-1 has the sector format native_4k" in str(refused.error)
        assert os.listdir(tmp_path) == []
    assert one(disks.run(**asked, disk="Hard disk 1").result)["actions"] == ["exported"]


@pytest.mark.parametrize("algorithm", ["sha1", "sha256"])
def test_an_export_of_which_the_host_reports_another_digest_is_no_file(disks, tmp_path, monkeypatch, algorithm):
    """What is held against it is what was read back and verified."""
    disks.sim.create_vm("web-2", disks=[{"bytes": SIZE}])
    received, digests = lease.Lease.received, {}

    def reported(of):
        return {key: dataclasses.replace(each, digests=tuple(digests.items())) for key, each in received(of).items()}

    monkeypatch.setattr(lease.Lease, "received", reported)
    digests[algorithm] = "0" * 40
    target = tmp_path / "out.vmdk"
    asked = {
        "state": "exported",
        "vm": {"name": "web-2"},
        "path": str(target),
        "format": "vmdk",
        "subformat": "streamOptimized",
    }
    failed = disks.attempt(**asked)
    assert (failed.error.error_code, f"came with the {algorithm}" in str(failed.error)) == ("export_incomplete", True)
    assert not target.exists()
    # The stream of a disk without snapshots is the same each time.
    digests[algorithm] = re.search(rf"{algorithm} ([0-9a-f]+),", str(failed.error))[1]
    entry = one(disks.run(**asked).result)
    assert (entry["witnessed"], hashlib.new(algorithm, target.read_bytes()).hexdigest()) == (True, digests[algorithm])


# A VM around a disk


def test_a_vm_is_made_around_an_imported_disk(disks, tmp_path):
    raw = tmp_path / "a.raw"
    raw.write_bytes(vforge_disks.noise(2 * MIB))
    path = "[LocalDS_0] images/a.vmdk"
    disks.run(state="imported", path=str(raw), datastore_path=path)
    vms = Vms(disks.sim)
    asked = {"name": "new-1", "disks": [path], "cpus": 2, "memory": 512, "firmware": "efi", "networks": ["VM Network"]}
    assert vms.run(check=True, **asked).result["changed"]
    assert not disks.sim.govc("find", "/DC0/vm", "-name", "new-1")
    ran = vms.run(**asked, powered_on=True, wait_for_tools=True)
    entry = ran.result["vms"][0]
    assert (entry["actions"], entry["power_state"], entry["tools_running"]) == (["created", "powered_on"], "poweredOn", True)
    assert entry["disks"] == [path]
    (disk,) = disks.sim.vm("new-1")["disks"]
    assert disks.sim.read_disk("new-1", key=disk["key"], length=2 * MIB) == raw.read_bytes()
    seen = disks.sim.govc("vm.info", "new-1")["virtualMachines"][0]["config"]
    assert (seen["hardware"]["numCPU"], seen["hardware"]["memoryMB"], seen["firmware"]) == (2, 512, "efi")
    again = vms.run(**asked, powered_on=True, wait_for_tools=True)
    assert (again.result["changed"], again.total <= 10) == (False, True)
    other = vms.attempt(**{**asked, "cpus": 4})
    assert (other.error.error_code, other.result) == ("exists", {})
    assert vms.attempt(name="new-1", state="absent", instance_uuid=entry["instance_uuid"]).error
    disks.sim.govc("snapshot.create", "-vm", "new-1", "-m=false", "before-an-upgrade")
    assert not vms.run(**asked, powered_on=True).result["changed"]
    disks.sim.govc("vm.power", "-suspend", "new-1")
    assert vms.run(**asked, powered_on=True).result["vms"][0]["actions"] == ["powered_on"]
    disks.sim.govc("snapshot.remove", "-vm", "new-1", "*")
    disks.sim.govc("vm.power", "-off", "new-1")
    another = "00000000-0000-0000-0000-000000000000"
    assert vms.attempt(name="new-1", state="absent", instance_uuid=another).error.error_code == "exists"
    assert vms.run(name="new-1", state="absent", instance_uuid=entry["instance_uuid"]).result["changed"]
    assert not vms.run(name="new-1", state="absent", instance_uuid=entry["instance_uuid"]).result["changed"]


def test_no_vm_is_made_around_a_disk_that_is_not_there(disks, tmp_path):
    """In check mode a task before may be to make it, so it is named and nothing fails."""
    there, missing = "[LocalDS_0] images/a.vmdk", "[LocalDS_0] images/b.vmdk"
    disks.run(state="imported", path=str(image(tmp_path)), datastore_path=there)
    vms, asked = Vms(disks.sim), {"name": "new", "disks": [there, missing]}
    checked = vms.run(check=True, **asked)
    assert (checked.result["changed"], checked.result["vms"][0]["missing_disks"]) == (True, [missing])
    assert checked.result["diff"]["after"] == f"new\n  {there}\n  {missing} (not there yet)\n"
    for _again in range(2):
        refused = vms.attempt(**asked)
        assert (refused.error.error_code, f"There is no disk {missing}." in str(refused.error)) == ("not_found", True)
        assert refused.called("CreateVM_Task") == 0
    disks.run(state="imported", path=str(image(tmp_path)), datastore_path=missing)
    assert vms.run(**asked).result["vms"][0]["missing_disks"] == []


def test_a_disk_that_may_not_be_looked_at_may_be_there(disks, tmp_path, monkeypatch):
    path = "[LocalDS_0] images/a.vmdk"
    disks.run(state="imported", path=str(image(tmp_path)), datastore_path=path)

    def denied(_self, asked):
        raise FileDenied(f"{asked} may not be read (403 Forbidden).")

    monkeypatch.setattr(DatastoreFiles, "state", denied)
    assert Vms(disks.sim).run(name="new", disks=[path]).result["vms"][0]["actions"] == ["created"]


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"memory": 4097}, "memory is 4097. vSphere wants a multiple of 4."),
        ({"state": "absent", "instance_uuid": "50b92de7"}, "50b92de7 is not a UUID."),
        ({"hardware_version": "19"}, "The option hardware_version is '19'. Write it as vmx-19."),
        ({"hardware_version": "vmx-019"}, "The option hardware_version is 'vmx-019'. Write it as vmx-19."),
    ],
)
def test_a_vm_that_cannot_be_is_refused_before_anything_is_asked(asked, sentence):
    with pytest.raises(InvalidOption, match=re.escape(sentence)):
        VmOptions.from_params(accepted(vm_from_disks.argument_spec(), {"name": "new", "disks": ["[ds] a.vmdk"], **asked}))


@pytest.mark.parametrize("check", [True, False])
def test_hardware_that_no_host_of_the_vcenter_has_is_refused_before_anything_is_read(disks, check):
    refused = Vms(disks.sim).attempt(check=check, name="new", disks=["[LocalDS_0] a.vmdk"], hardware_version="vmx-99")
    assert (refused.error.error_code, refused.called("RetrievePropertiesEx")) == ("not_supported", 0)
    assert "has no virtual hardware vmx-99" in str(refused.error)
    assert "Set hardware_version to vmx-21 or an older one." in str(refused.error)


def test_hardware_that_a_host_has_not_is_said(disks, tmp_path):
    """Of no release: vCenter itself refuses it."""
    path = "[LocalDS_0] images/a.vmdk"
    disks.run(state="imported", path=str(image(tmp_path)), datastore_path=path)
    vms, asked = Vms(disks.sim), {"name": "new", "disks": [path]}
    refused = vms.attempt(**asked, hardware_version="vmx-05").result["vms"][0]["error"]
    assert refused["error_code"] == "virtual_hardware_version_not_supported"
    assert refused["msg"].startswith("new could not be made: ")
    # Nothing is left of it.
    assert vms.run(**asked).result["changed"]


@pytest.mark.parametrize(("asked", "has"), [({"hardware_version": "vmx-08"}, "vmx-08"), ({}, "vmx-21")])
def test_a_vm_has_the_hardware_that_is_asked_for(disks, tmp_path, asked, has):
    path = "[LocalDS_0] images/a.vmdk"
    disks.run(state="imported", path=str(image(tmp_path)), datastore_path=path)
    Vms(disks.sim).run(name="new", disks=[path], **asked)
    assert disks.sim.govc("vm.info", "new")["virtualMachines"][0]["config"]["version"] == has


@pytest.mark.parametrize("name", ["a/b", "c%2fd", "e%f", "g\\h"])
def test_a_name_may_hold_what_vcenter_escapes(disks, tmp_path, name):
    path, kept = "[LocalDS_0] images/a.vmdk", names.escape(names.unescape(name))
    disks.run(state="imported", path=str(image(tmp_path)), datastore_path=path)
    vms, asked = Vms(disks.sim), {"name": name, "disks": [path]}
    entry = vms.run(**asked).result["vms"][0]
    assert (entry["actions"], entry["path"]) == (["created"], f"/DC0/vm/{kept}")
    assert disks.sim.govc("vm.info", f"/DC0/vm/{kept}")["virtualMachines"][0]["name"] == kept
    assert not vms.run(**asked).result["changed"]
    gone = {"name": name, "state": "absent", "instance_uuid": entry["instance_uuid"]}
    assert [vms.run(**gone).result["changed"] for _again in range(2)] == [True, False]


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (
            "InvalidDeviceSpec",
            "Look at disks, controller, networks and hardware_version, and at the task in the vSphere Client.",
        ),
        ("FileAlreadyExists", "Files of another VM lie beside the first of the disks."),
        ("VirtualHardwareVersionNotSupported", "The host has no such hardware. Set another hardware_version, or leave it out."),
        ("NoDiskSpace", "Free space on the datastore, or use another one."),
    ],
)
def test_of_a_vm_that_vcenter_refuses_to_make_is_said_which_and_what_to_look_at(disks, tmp_path, fault, said):
    path = "[LocalDS_0] images/a.vmdk"
    disks.run(state="imported", path=str(image(tmp_path)), datastore_path=path)
    disks.sim.inject(method="CreateVM_Task", do="task-fault", fault=fault)
    refused = Vms(disks.sim).attempt(name="new", disks=[path])
    assert "new could not be made: " in str(refused.error)
    assert f"({fault})" in str(refused.error)
    assert said in str(refused.error)


def test_a_datastore_that_no_host_has_is_said_with_those_that_there_are(disks):
    asked = {"name": "new", "disks": ["[LocalDS_9] x/x.vmdk"]}
    refused = Vms(disks.sim).attempt(**asked)
    assert str(refused.error).startswith("No host of /DC0 has a datastore LocalDS_9. There are: LocalDS_0, LocalDS_1")
    named = Vms(disks.sim).attempt(**asked, host="DC0_C0_H0")
    assert str(named.error).startswith("The host DC0_C0_H0 has no datastore LocalDS_9. It has: LocalDS_0, LocalDS_1")


def test_a_disk_that_a_vm_has_is_neither_deleted_nor_replaced(disks, tmp_path):
    path, other = "[LocalDS_0] images/a.vmdk", "[LocalDS_0] others/b.vmdk"
    raw = image(tmp_path)
    for each in (path, other):
        disks.run(state="imported", path=str(raw), datastore_path=each)
    Vms(disks.sim).run(name="around", disks=[path], cpus=1, memory=512, networks=["VM Network"])
    for asked in (
        {"state": "absent", "datastore_path": path},
        {"state": "imported", "path": str(raw), "datastore_path": path, "force": True},
        {"state": "copied", "datastore_path": other, "destination": path, "force": True},
    ):
        for check in (True, False):
            refused = disks.attempt(check=check, **asked)
            assert (refused.error.error_code, "belongs to around" in str(refused.error)) == ("in_use", True)
    assert disks.run(state="absent", datastore_path=other).result["changed"]


@pytest.mark.parametrize("check", [True, False])
def test_a_datastore_that_is_not_there_is_named_with_those_that_are(disks, tmp_path, check):
    path, none = "[LocalDS_0] images/a.vmdk", "[LocalDS_9] images/a.vmdk"
    raw = image(tmp_path)
    disks.run(state="imported", path=str(raw), datastore_path=path)
    for asked in (
        {"state": "absent", "datastore_path": none},
        {"state": "absent", "datastore_path": none, "datacenter": "DC0"},
        {"state": "copied", "datastore_path": none, "destination": path},
        {"state": "copied", "datastore_path": path, "destination": none},
        {"state": "described", "datastore_path": none, "metadata": {"a": "b"}},
        {"state": "imported", "datastore_path": none, "path": str(raw)},
    ):
        refused = disks.attempt(check=check, **asked)
        assert refused.error.error_code == "not_found"
        assert "/DC0 has no datastore LocalDS_9. There are: LocalDS_0" in str(refused.error)
    with pytest.raises(NotFound, match="/DC0 has no datastore LocalDS_9"):
        disks.info(datastore_path=none)


def test_blanks_behind_the_bracket_make_no_other_disk(disks, tmp_path):
    path, wide, copy = "[LocalDS_0] images/a.vmdk", "[LocalDS_0]   images/a.vmdk", "[LocalDS_0]  copies/b.vmdk"
    raw = image(tmp_path)
    disks.run(state="imported", path=str(raw), datastore_path=wide)
    assert not disks.run(state="imported", path=str(raw), datastore_path=path).result["changed"]
    assert one(disks.run(state="copied", datastore_path=wide, destination=copy).result)["place"] == "[LocalDS_0] copies/b.vmdk"
    with pytest.raises(InvalidOption, match="names a disk twice"):
        VmOptions.from_params(accepted(vm_from_disks.argument_spec(), {"name": "new", "disks": [path, wide]}))
    assert disks.run(state="absent", datastore_path=wide).result["changed"]
    assert not disks.run(state="absent", datastore_path=path).result["changed"]


def around(disks, path):
    """A VM that is off and has a disk."""
    Vms(disks.sim).run(name="around", disks=[path], cpus=1, memory=512, networks=["VM Network"])


def content_of_around(disks):
    (disk,) = disks.sim.vm("around")["disks"]
    return disks.sim.read_disk("around", key=disk["key"], length=disk["bytes"])


def test_a_disk_that_a_vm_gets_during_an_import_is_not_replaced(disks, tmp_path, monkeypatch):
    path, other = "[LocalDS_0] images/a.vmdk", tmp_path / "other.raw"
    raw = image(tmp_path)
    disks.run(state="imported", path=str(raw), datastore_path=path)
    other.write_bytes(bytes(raw.stat().st_size))
    monkeypatch.setattr(task.converting, "checksum", lambda *_asked: around(disks, path))
    refused = disks.attempt(state="imported", path=str(other), datastore_path=path, force=True)
    assert (refused.error.error_code, "belongs to around" in str(refused.error)) == ("in_use", True)
    assert content_of_around(disks) == raw.read_bytes()
    assert not disks.sim.govc("find", "/DC0/vm", "-name", "vforge-import-*")
    assert [file for file in disks.sim.request("GET", "/orphans")["files"] if "vforge-import" in file] == []


def test_a_disk_that_a_vm_gets_during_its_proof_is_not_deleted(disks, tmp_path, monkeypatch):
    path, raw = "[LocalDS_0] images/a.vmdk", image(tmp_path)

    def read_back(*_asked):
        around(disks, path)
        return "another digest"

    monkeypatch.setattr(OnDatastore, "read_back", read_back)
    failed = disks.attempt(state="imported", path=str(raw), datastore_path=path, verify="content")
    assert "and was left, since it is not free" in str(failed.error)
    assert (failed.error.error_code, failed.called("DeleteVirtualDisk_Task")) == ("incomplete_upload", 0)
    assert content_of_around(disks) == raw.read_bytes()


def test_a_disk_counts_as_a_vms_from_the_moment_it_is_attached(disks, tmp_path):
    """``layoutEx`` may be older than the devices, and does not name it then."""
    path, name = "[LocalDS_0] images/a.vmdk", "late"
    disks.run(state="imported", path=str(image(tmp_path)), datastore_path=path)
    disks.sim.create_vm(name, on=False)
    disks.sim.request("PATCH", f"/vms/{name}", {"files_stale": True})
    disks.sim.govc("vm.disk.attach", "-vm", name, "-ds", "LocalDS_0", "-disk", "images/a.vmdk", "-link=false")
    refused = disks.attempt(state="absent", datastore_path=path)
    assert (refused.error.error_code, f"belongs to {name}" in str(refused.error)) == ("in_use", True)


def test_a_disk_may_be_that_of_a_vm_whose_files_vcenter_does_not_know(disks, tmp_path, monkeypatch):
    path, name = "[LocalDS_0] images/a.vmdk", "unreadable"
    disks.run(state="imported", path=str(image(tmp_path)), datastore_path=path)
    disks.sim.create_vm(name, on=False)
    known = vsphere_disks._holders_in

    def unreadable(rows):
        """What vCenter knows of this VM's disks is nothing."""
        return known([dataclasses.replace(row, values={"name": name}) if row.get("name") == name else row for row in rows])

    monkeypatch.setattr(vsphere_disks, "_holders_in", unreadable)
    refused = disks.attempt(state="absent", datastore_path=path)
    assert (refused.error.error_code, f"does not know the files of {name}" in str(refused.error)) == ("in_use", True)


def test_a_vm_that_vcenter_does_not_return_is_found_by_the_next_run(disks, tmp_path, monkeypatch):
    path = "[LocalDS_0] images/a.vmdk"
    disks.run(state="imported", path=str(image(tmp_path)), datastore_path=path)
    vms, real = Vms(disks.sim), tasks._task_end
    asked = {"name": "unreturned", "disks": [path], "cpus": 1, "memory": 512, "networks": ["VM Network"]}
    with monkeypatch.context() as patch:
        patch.setattr(tasks, "_task_end", lambda moid, info, gone: real(moid, {**info, "info.result": None}, gone))
        patch.setattr(batch, "read", lambda *_args: {})
        ran = vms.attempt(**asked, powered_on=True)
    assert (ran.error.error_code, ran.called("PowerOnVM_Task")) == ("task_gone", 0)
    assert vms.run(**asked, powered_on=True).result["vms"][0]["actions"] == ["powered_on"]


def test_a_host_whose_pool_nobody_sees_is_not_used(disks, tmp_path, monkeypatch):
    asked = {"state": "imported", "path": str(image(tmp_path)), "datastore_path": "[LocalDS_0] images/a.vmdk"}
    disks.run(**asked)

    def unseen(real):
        def collect(*given, **how):
            rows = real(*given, **how)
            return [dataclasses.replace(row, values={**row.values, "resourcePool": None}) for row in rows]

        return collect

    for module in (places, vm_read):
        monkeypatch.setattr(module, "collect", unseen(module.collect))
    refused = disks.attempt(**{**asked, "datastore_path": "[LocalDS_0] images/b.vmdk"})
    assert "No host that can be used has the datastore LocalDS_0" in str(refused.error)
    assert "sees their resource pools" in refused.error.hint
    refused = Vms(disks.sim).attempt(
        name="new", disks=["[LocalDS_0] images/a.vmdk"], cpus=1, memory=512, networks=["VM Network"]
    )
    assert "cannot be used: this user does not see its resource pool." in str(refused.error)


def test_a_vm_that_does_not_come_up_is_named_so_that_it_can_be_removed(disks, tmp_path):
    path = "[LocalDS_0] images/a.vmdk"
    disks.run(state="imported", path=str(image(tmp_path)), datastore_path=path)
    vms, asked = Vms(disks.sim), {"name": "deaf", "disks": [path], "powered_on": True, "wait_for_tools": True}
    with time_over("PowerOnVM_Task"):
        late = vms.attempt(**asked)
    entry = late.result["vms"][0]
    assert late.error is not None
    assert entry["instance_uuid"] == disks.sim.vm("deaf")["instance_uuid"]
    assert entry["path"] == "/DC0/vm/deaf"


def test_somebody_else_may_power_a_new_vm_on(disks, tmp_path, monkeypatch):
    path = "[LocalDS_0] images/a.vmdk"
    disks.run(state="imported", path=str(image(tmp_path)), datastore_path=path)
    real = vm_task.vm.start_power_on

    def late(*given):
        disks.sim.govc("vm.power", "-on", "quick")
        return real(*given)

    monkeypatch.setattr(vm_task.vm, "start_power_on", late)
    ran = Vms(disks.sim).run(name="quick", disks=[path], powered_on=True)
    assert ran.result["vms"][0]["actions"] == ["created", "powered_on"]
    assert ran.result["vms"][0]["power_state"] == "poweredOn"


@pytest.mark.parametrize(
    ("words", "code"), [(["vm.destroy"], "not_found"), (["vm.power", "-off", "-force"], "guest_powered_off")]
)
def test_a_vm_that_is_taken_away_while_its_guest_is_waited_for_is_not_called_late(disks, tmp_path, monkeypatch, words, code):
    path = "[LocalDS_0] images/a.vmdk"
    disks.run(state="imported", path=str(image(tmp_path)), datastore_path=path)
    vms, real = Vms(disks.sim), vm_task._wait_for_tools

    def taken_away(*given):
        disks.sim.govc(*words, "brief")
        real(*given)

    monkeypatch.setattr(vm_task, "_wait_for_tools", taken_away)
    ran = vms.attempt(name="brief", disks=[path], powered_on=True, wait_for_tools=True)
    assert ran.error.error_code == code


def test_of_a_vm_that_goes_no_guest_is_waited_for(disks, tmp_path):
    path = "[LocalDS_0] images/a.vmdk"
    disks.run(state="imported", path=str(image(tmp_path)), datastore_path=path)
    vms, asked = Vms(disks.sim), {"name": "brief", "disks": [path]}
    made = vms.run(**asked).result["vms"][0]
    gone = {**asked, "state": "absent", "instance_uuid": made["instance_uuid"], "powered_on": True, "wait_for_tools": True}
    assert vms.run(**gone).result["vms"][0]["actions"] == ["removed"]
    assert not vms.run(**gone).result["changed"]


def test_a_vm_with_another_secure_boot_is_not_as_asked(disks, tmp_path):
    path = "[LocalDS_0] images/a.vmdk"
    disks.run(state="imported", path=str(image(tmp_path)), datastore_path=path)
    vms, asked = Vms(disks.sim), {"name": "safe", "disks": [path], "firmware": "efi"}
    vms.run(**asked, secure_boot=True)
    assert not vms.run(**asked, secure_boot=True).result["changed"]
    assert "secure_boot is true, not false" in str(vms.attempt(**asked).error)


@pytest.mark.usefixtures("programs")
def test_before_6_5_there_is_neither_secure_boot_nor_nvme(make_sim, tmp_path):
    """pyVmomi leaves out of a call what the vCenter does not know, or writes it as something more general."""
    path, sim = "[LocalDS_0] images/a.vmdk", make_sim("--vms", "0", "--api-version", "6.0")
    Disks(sim).run(state="imported", path=str(image(tmp_path)), datastore_path=path)
    vms, asked = Vms(sim), {"name": "old", "disks": [path], "firmware": "efi"}
    for newer in ({"secure_boot": True}, {"controller": "nvme"}):
        refused = vms.attempt(**asked, **newer)
        assert (refused.error.error_code, refused.called("CreateVM_Task")) == ("not_supported", 0)
    assert vms.run(**asked).result["changed"]
    assert not vms.run(**asked).result["changed"]


def test_a_linked_clone_of_a_disk_is_not_the_vm_around_it(disks, tmp_path):
    path = "[LocalDS_0] images/a.vmdk"
    disks.run(state="imported", path=str(image(tmp_path)), datastore_path=path)
    vms = Vms(disks.sim)
    asked = {"disks": [path], "cpus": 1, "memory": 512, "networks": ["VM Network"]}
    vms.run(name="first", **asked)
    disks.sim.govc("snapshot.create", "-vm", "first", "-m=false", "base")
    pool = ("-pool", "/DC0/host/DC0_C0/Resources")
    disks.sim.govc("vm.clone", "-vm", "first", "-snapshot", "base", "-link", "-on=false", "-ds", "LocalDS_0", *pool, "second")
    refused = vms.attempt(name="second", **asked)
    assert (refused.error.error_code, refused.called("CreateVM_Task")) == ("exists", 0)
    assert not vms.run(name="first", **asked).result["changed"]


# Out and in, by ours and by govc


def image(tmp_path, size=8 * MIB):
    """A raw image whose size is no multiple of a grain, with data and without."""
    raw = tmp_path / "a.raw"
    raw.write_bytes((vforge_disks.noise(2 * MIB) + bytes(size)).ljust(size)[: size - 512])
    return raw


@pytest.mark.parametrize("check", [True, False])
def test_a_disk_of_another_kind_than_is_asked_for_is_not_taken_for_it(disks, tmp_path, check):
    path, raw = "[LocalDS_0] images/a.vmdk", image(tmp_path)
    plain = {"state": "imported", "path": str(raw), "datastore_path": path, "provisioning": "thick"}
    asked = {**plain, "adapter": "buslogic"}
    assert one(disks.run(**asked).result)["provisioning"] == "thick"
    for other, sentence in (
        ({"provisioning": "thin"}, "with provisioning thick, and provisioning thin is asked for. Set force to import it"),
        ({"provisioning": "eager_zeroed_thick"}, "with provisioning thick, and provisioning eager_zeroed_thick is"),
        ({"adapter": "ide"}, "with adapter buslogic, and adapter ide is asked for. Set force"),
        ({"provisioning": "thin", "adapter": "ide"}, "provisioning thick and adapter buslogic, and provisioning thin and"),
    ):
        refused = disks.attempt(check=check, **{**asked, **other})
        assert (refused.error.error_code, sentence in str(refused.error)) == ("exists", True)
    # A second run is fine, and one that asks for no adapter; also when the file was written again meanwhile.
    for same in (plain, asked):
        assert not disks.run(**same).result["changed"]
    os.utime(raw, ns=(1, 1))
    assert not disks.run(**asked).result["changed"]
    assert disks.attempt(check=check, **{**asked, "adapter": "ide"}).error.error_code == "exists"
    disks.run(state="described", datastore_path=path, metadata={"adapterType": "ide"})
    for adapter in ("buslogic", "ide"):
        assert not disks.run(**{**asked, "adapter": adapter}).result["changed"]
    again = disks.run(check=check, **{**asked, "provisioning": "thin", "force": True})
    assert again.result["changed"]
    assert disks.info(datastore_path=path).result["disk"]["thin"] != check


def test_whether_a_disk_is_thin_is_known_of_one_of_which_nothing_is_noted(disks, tmp_path):
    raw = image(tmp_path)
    asked = {"state": "imported", "path": str(raw), "datastore_path": "[LocalDS_0] images/a.vmdk"}
    disks.sim.datastore_type("LocalDS_0", "VMFS")
    disks.run(**asked)
    disks.sim.govc("datastore.rm", "-ds", "LocalDS_0", "images/a.vmdk.vforge")
    refused = disks.attempt(**asked, provisioning="thick")
    assert "with provisioning thin, and provisioning thick is asked for" in str(refused.error)
    assert one(disks.run(**asked).result)["provisioning"] == "thin"
    assert disks.attempt(**asked, provisioning="thick").error.error_code == "exists"


def test_a_storage_that_makes_all_disks_thin_is_not_blamed(disks, tmp_path):
    disks.sim.datastore_type("LocalDS_0", "NFS")
    raw = image(tmp_path)
    asked = {"state": "imported", "path": str(raw), "datastore_path": "[LocalDS_0] images/a.vmdk"}
    disks.run(**asked)
    disks.sim.govc("datastore.rm", "-ds", "LocalDS_0", "images/a.vmdk.vforge")
    assert not disks.run(**asked, provisioning="thick").result["changed"]


@pytest.mark.parametrize("verify", ["manifest", "content"])
def test_an_upload_of_which_the_host_reports_no_digest_is_reported_where_nothing_else_proves_it(
    disks, tmp_path, monkeypatch, verify
):
    asked = {"state": "imported", "path": str(image(tmp_path)), "verify": verify}
    disks.run(**asked, datastore_path="[LocalDS_0] images/a.vmdk")
    assert disks.warnings == []
    monkeypatch.setattr(lease.Lease, "received", lambda _lease: {})
    disks.run(**asked, datastore_path="[LocalDS_0] images/b.vmdk")
    assert ["reports no digest of what it has got" in each for each in disks.warnings] == [True] * (verify == "manifest")


def test_an_upload_of_which_the_host_reports_another_digest_is_aborted(disks, tmp_path, monkeypatch):
    received = lease.Lease.received

    def other(of):
        return {key: dataclasses.replace(each, digests=(("sha1", "0" * 40),)) for key, each in received(of).items()}

    monkeypatch.setattr(lease.Lease, "received", other)
    failed = disks.attempt(state="imported", path=str(image(tmp_path)), datastore_path="[LocalDS_0] images/a.vmdk")
    assert failed.error.error_code == "incomplete_upload"
    assert not disks.sim.govc("find", "/DC0/vm", "-name", "vforge-import-*")


def test_an_import_is_done_once_and_proved_by_reading_the_disk(disks, tmp_path):
    raw, path = image(tmp_path), "[LocalDS_0] images/a.vmdk"
    asked = {"state": "imported", "path": str(raw), "datastore_path": path, "verify": "content"}
    check = disks.run(check=True, **asked)
    assert (check.result["changed"], check.called("ImportVApp")) == (True, 0)
    ran = disks.run(**asked)
    assert one(ran.result)["content_sha256"] == sha256(raw.read_bytes())
    again = disks.run(**asked)
    assert (again.result["changed"], one(again.result)["sent"], again.total <= 10) == (False, 0, True)
    assert not disks.sim.govc("find", "/DC0/vm", "-name", "vforge-import-*")
    assert [each.name for each in tmp_path.iterdir()] == ["a.raw"]
    # Touched, it is read; another content is refused, and taken where that is asked for.
    os.utime(raw)
    assert not disks.run(**asked).result["changed"]
    raw.write_bytes(bytes(MIB))
    refused = disks.attempt(**asked)
    assert refused.error.error_code == "exists"
    assert disks.run(**asked, force=True).result["changed"]
    assert disks.info(datastore_path=path, digest=True).result["disk"]["content_sha256"] == sha256(bytes(MIB))


def test_an_import_that_ended_before_its_proof_leaves_no_proof_of_what_it_replaced(disks, tmp_path, monkeypatch):
    raw, path = image(tmp_path), "[LocalDS_0] images/a.vmdk"
    asked = {"state": "imported", "datastore_path": path, "verify": "content"}
    disks.run(**asked, path=str(raw))
    other = tmp_path / "b.raw"
    other.write_bytes(bytes(MIB))

    def late(*_args):
        raise TimedOut("The disk was not read back in the time allowed.")

    with monkeypatch.context() as slow:
        slow.setattr(OnDatastore, "read_back", late)
        assert disks.attempt(**asked, path=str(other), force=True).error.error_code == "timeout"
    # The disk there is not the first one any more, whatever was noted of it.
    assert disks.attempt(**asked, path=str(raw)).error.error_code == "exists"
    assert not disks.run(**asked, path=str(other)).result["changed"]


def test_an_import_that_ended_before_its_note_is_found_by_its_content(disks, tmp_path):
    raw, path = image(tmp_path), "[LocalDS_0] images/a.vmdk"
    asked = {"state": "imported", "path": str(raw), "datastore_path": path}
    disks.run(**asked)
    disks.sim.govc("datastore.rm", "-ds", "LocalDS_0", "images/a.vmdk.vforge")
    found = disks.run(**asked)
    assert (found.result["changed"], found.called("ImportVApp")) == (False, 0)
    assert disks.run(**asked).total <= 10


def test_a_disk_goes_out_by_govc_and_in_by_ours_and_the_other_way_round(disks, tmp_path):
    raw, path = image(tmp_path), "[LocalDS_0] images/a.vmdk"
    disks.run(state="imported", path=str(raw), datastore_path=path)
    flat = tmp_path / "by-govc-flat.vmdk"
    disks.sim.govc("datastore.download", "-ds", "LocalDS_0", "images/a-flat.vmdk", str(flat))
    assert flat.read_bytes() == raw.read_bytes()
    disks.run(state="imported", path=str(flat), datastore_path="[LocalDS_0] images/b.vmdk")
    found = disks.info(datastore_path="[LocalDS_0] images/b.vmdk", digest=True).result["disk"]
    assert found["content_sha256"] == sha256(raw.read_bytes())
    # What ours exports is what govc imports; it refuses what is no stream.
    where = ("-ds", "LocalDS_0", "-pool", "/DC0/host/DC0_C0/Resources")
    disks.sim.govc("vm.create", "-on=false", *where, "-net", "VM Network", "-disk", "images/b.vmdk", "-link=false", "around")
    stream, sparse = tmp_path / "c.vmdk", tmp_path / "d.vmdk"
    disks.run(state="exported", vm={"name": "around"}, path=str(stream), transport="datastore")
    disks.run(state="exported", vm={"name": "around"}, path=str(sparse), subformat="monolithicSparse")
    disks.sim.govc("import.vmdk", *where, str(stream))
    with pytest.raises(SimulatorError, match="streamOptimized"):
        disks.sim.govc("import.vmdk", *where, str(sparse))


def test_a_disk_is_copied_and_deleted_on_its_datastore(disks, tmp_path):
    raw, path, copy = image(tmp_path), "[LocalDS_0] images/a.vmdk", "[LocalDS_0] copies/deep/b.vmdk"
    disks.run(state="imported", path=str(raw), datastore_path=path)
    asked = {"state": "copied", "datastore_path": path, "destination": copy}
    assert disks.run(check=True, **asked).result["changed"]
    assert one(disks.run(**asked).result)["actions"] == ["copied"]
    again = disks.run(**asked)
    assert (again.result["changed"], again.total <= 10, again.called("CopyVirtualDisk_Task")) == (False, True, 0)
    found = disks.info(datastore_path=copy, digest=True).result["disk"]
    assert found["content_sha256"] == sha256(raw.read_bytes())
    assert disks.run(check=True, state="absent", datastore_path=copy).result["changed"]
    assert disks.run(state="absent", datastore_path=copy).result["changed"]
    assert not disks.run(state="absent", datastore_path=copy).result["changed"]
    # An unmodified govc sees neither the disk nor what was noted of it.
    listed = disks.sim.govc("datastore.ls", "-ds", "LocalDS_0", "copies/deep")
    assert not listed[0].get("file")


def test_the_diff_says_what_is_there_and_what_is_to_be(disks, tmp_path):
    raw, path, copy, out = image(tmp_path), "[LocalDS_0] images/a.vmdk", "[LocalDS_0] copies/b.vmdk", tmp_path / "out.qcow2"

    def shown(**asked):
        found = [disks.run(check=check, **asked).result["diff"] for check in (True, False)]
        assert found[0] == found[1]
        return [found[0][name].removesuffix("\n") for name in ("before", "after", "before_header")]

    asked = {"state": "imported", "path": str(raw), "datastore_path": path}
    thick = f"{path}: vmdk, 8 MiB, thick, imported from {raw}"
    assert shown(**asked, provisioning="thick") == [f"{path}: not there", thick, "vCenter now"]
    there = f"{path}: vmdk (vmfs), 8 MiB, thick"
    assert shown(**asked, force=True)[:2] == [there, f"{path}: vmdk, 8 MiB, thin, imported from {raw}"]
    copied = {"state": "copied", "datastore_path": path, "destination": copy}
    assert shown(**copied)[:2] == [f"{copy}: not there", f"{copy}: vmdk (vmfs), 8 MiB, thin, copied from {path}"]
    assert shown(**copied, force=True)[0] == f"{copy}: vmdk (vmfs), 8 MiB, thin"
    assert shown(state="absent", datastore_path=copy)[:2] == [f"{copy}: vmdk (vmfs), 8 MiB, thin", f"{copy}: deleted"]
    around(disks, path)
    exported = {"state": "exported", "vm": {"name": "around"}, "path": str(out), "format": "qcow2"}
    source = f"{one(disks.run(check=True, **exported).result)['disk']} of /DC0/vm/around"
    assert shown(**exported) == [f"{out}: not there", f"{out}: qcow2, 8 MiB, exported from {source}", "this machine now"]


@pytest.fixture(name="to_copy")
def _to_copy(disks):
    """A disk of no VM, and what is asked for."""
    disks.sim.create_vm("flt-src", on=False, datastore="LocalDS_0", disks=[{"bytes": MIB}])
    disks.sim.govc("vm.unregister", "flt-src")
    path, copy = "[LocalDS_0] flt-src/flt-src.vmdk", "[LocalDS_0] flt-copies/b.vmdk"
    return {"state": "copied", "datastore_path": path, "destination": copy}


def _notes(disks):
    return [file for file in disks.sim.orphans() if ".vmdk." in file]


def test_a_note_that_cannot_be_deleted_goes_with_the_next_run_and_the_disk_is_copied_all_the_same(disks, to_copy):
    disks.sim.inject(method="DeleteDatastoreFile_Task", do="task-fault", fault="NoPermission")
    assert one(disks.run(**to_copy).result)["actions"] == ["copied"]
    assert "-begun stays until the next run" in disks.warnings[-1]
    assert len(_notes(disks)) == 2
    assert not disks.run(**to_copy).result["changed"]
    assert len(_notes(disks)) == 1


def test_notes_that_cannot_be_deleted_with_their_disk_go_with_the_next_run(disks, to_copy):
    disks.run(**to_copy)
    gone = {"state": "absent", "datastore_path": to_copy["destination"]}
    disks.sim.inject(method="DeleteDatastoreFile_Task", do="task-fault", fault="NoPermission")
    assert one(disks.run(**gone).result)["actions"] == ["deleted"]
    assert "stays until the next run" in disks.warnings[-1]
    assert _notes(disks)
    assert not disks.run(check=True, **gone).result["changed"]
    assert _notes(disks)
    assert not disks.run(**gone).result["changed"]
    assert not _notes(disks)


@pytest.mark.parametrize("do", ["drop", "drop-after"])
def test_a_note_is_deleted_though_an_answer_is_lost(disks, to_copy, do):
    disks.sim.inject(method="DeleteDatastoreFile_Task", do=do)
    assert one(disks.run(**to_copy).result)["actions"] == ["copied"]
    assert len(_notes(disks)) == 1


@pytest.mark.parametrize("do", ["drop-after", "half"])
def test_a_copy_whose_answer_was_lost_is_found_by_its_content(disks, to_copy, do):
    disks.sim.inject(method="CopyVirtualDisk_Task", do=do)
    with pytest.raises(PartialFailure, match="CopyVirtualDisk_Task"):
        disks.run(**to_copy)
    for check in (True, False):
        found = disks.run(check=check, **to_copy)
        assert (found.result["changed"], found.called("CopyVirtualDisk_Task")) == (False, 0)
    again = disks.run(**to_copy)
    assert (again.result["changed"], again.total <= 10) == (False, True)
    assert not [file for file in disks.sim.orphans() if file.endswith("-begun")]


def test_a_copy_that_a_killed_run_has_left_half_made_is_made_again(disks, to_copy, tmp_path):
    disks.sim.inject(method="CopyVirtualDisk_Task", do="drop-after")
    assert disks.attempt(**to_copy).error
    half = tmp_path / "half"
    half.write_bytes(bytes(MIB // 2))
    disks.sim.govc("datastore.upload", "-ds", "LocalDS_0", str(half), "flt-copies/b-flat.vmdk")
    assert one(disks.run(**to_copy).result)["actions"] == ["copied"]
    assert not disks.run(**to_copy).result["changed"]


@pytest.mark.parametrize("size", [MIB, 3 * MIB])
def test_another_disk_where_a_copy_was_begun_is_left_alone(disks, to_copy, tmp_path, size):
    disks.sim.inject(method="CopyVirtualDisk_Task", do="drop-after")
    assert disks.attempt(**to_copy).error
    disks.sim.govc("datastore.rm", "-ds", "LocalDS_0", "flt-copies/b.vmdk")
    assert any(file.endswith("flt-copies/b.vmdk.vforge-begun") for file in disks.sim.orphans())
    raw = tmp_path / "other.raw"
    raw.write_bytes(vforge_disks.noise(size))
    disks.run(state="imported", path=str(raw), datastore_path=to_copy["destination"])
    refused = disks.attempt(**to_copy)
    assert "was not made of this source" in str(refused.error)
    assert refused.called("CopyVirtualDisk_Task") == 0
    assert one(disks.run(**to_copy, force=True).result)["actions"] == ["copied"]


def test_what_cannot_be_read_where_a_copy_was_begun_is_left_alone(disks, to_copy):
    disks.sim.datastore_type("LocalDS_0", "vsan")
    disks.sim.inject(method="CopyVirtualDisk_Task", do="drop-after")
    assert disks.attempt(**to_copy).error
    refused = disks.attempt(**to_copy)
    assert (refused.error.error_code, "cannot be known" in str(refused.error)) == ("exists", True)
    assert refused.called("CopyVirtualDisk_Task") == 0


def test_of_a_copy_that_is_refused_nothing_is_left(disks, to_copy):
    disks.sim.inject(method="CopyVirtualDisk_Task", do="task-fault", fault="NoDiskSpace")
    with pytest.raises(PartialFailure):
        disks.run(**to_copy)
    assert not [file for file in disks.sim.orphans() if "/flt-copies/" in file]


def _folders(disks, above=""):
    found = disks.sim.govc("datastore.ls", "-ds", "LocalDS_0", above)
    return [each["path"] for each in found[0].get("file") or ()]


def test_a_folder_that_was_made_for_a_copy_that_failed_stays_with_a_warning(disks, to_copy):
    """Another run may have put a disk into it, and vCenter has no call that removes only an empty folder."""
    disks.sim.inject(method="CopyVirtualDisk_Task", do="task-fault", times=2, fault="NoDiskSpace")
    for warnings in (["The folder [LocalDS_0] flt-copies was made for the copy, and stays."], []):
        assert disks.attempt(**to_copy).error.error_code == "no_disk_space"
        assert disks.warnings == warnings
        disks.warnings.clear()
    assert disks.run(**to_copy).result["changed"]


def _folders(disks):
    return [each["path"] for each in disks.sim.govc("datastore.ls", "-ds", "LocalDS_0")[0].get("file") or ()]


def test_a_disk_of_a_running_vm_is_not_copied(disks):
    disks.sim.create_vm("flt-on", datastore="LocalDS_0", disks=[{"bytes": MIB}])
    before = _folders(disks)
    asked = {"state": "copied", "datastore_path": "[LocalDS_0] flt-on/flt-on.vmdk", "destination": "[LocalDS_0] flt-new/b.vmdk"}
    for check in (True, False):
        refused = disks.attempt(check=check, **asked)
        assert (refused.error.error_code, refused.called("CopyVirtualDisk_Task")) == ("in_use", 0)
        assert "flt-on is poweredOn, and its host has locked the file" in str(refused.error)
    assert _folders(disks) == before
    disks.sim.govc("vm.power", "-off", "flt-on")
    assert disks.run(**asked).result["changed"]


def test_a_vm_that_starts_before_its_disk_is_copied_is_named(disks, monkeypatch):
    disks.sim.create_vm("flt-on", datastore="LocalDS_0", disks=[{"bytes": MIB}])
    monkeypatch.setattr(copies, "_check_not_locked", lambda *_args: None)
    asked = {"state": "copied", "datastore_path": "[LocalDS_0] flt-on/flt-on.vmdk", "destination": "[LocalDS_0] flt-new/b.vmdk"}
    refused = disks.attempt(**asked)
    assert (refused.error.error_code, refused.called("CopyVirtualDisk_Task")) == ("in_use", 1)
    assert "flt-on is poweredOn" in str(refused.error)


def test_a_copy_makes_as_many_calls_as_it_has_to(disks, to_copy):
    ran = disks.run(**to_copy)
    assert (ran.total, ran.called("MakeDirectory"), ran.called("SearchDatastoreSubFolders_Task")) == (12, 1, 0)


@pytest.fixture(name="to_replace")
def _to_replace(disks, to_copy, tmp_path):
    """What is asked for where another disk is in the place."""
    raw = tmp_path / "other.raw"
    raw.write_bytes(vforge_disks.noise(MIB))
    disks.run(state="imported", path=str(raw), datastore_path=to_copy["destination"])
    return {**to_copy, "force": True}


def _content(disks, path):
    return disks.info(datastore_path=path, digest=True).result["disk"]["content_sha256"]


def _copies(disks):
    return [file for file in disks.sim.orphans() if ".vforge-copy" in file]


def test_a_copy_takes_the_place_of_another_disk(disks, to_replace):
    done = disks.run(**to_replace)
    assert one(done.result)["actions"] == ["copied"]
    assert _content(disks, to_replace["destination"]) == _content(disks, to_replace["datastore_path"])
    assert _copies(disks) == []
    assert not disks.run(**{**to_replace, "force": False}).result["changed"]


@pytest.mark.parametrize("method", ["CopyVirtualDisk_Task", "MoveVirtualDisk_Task"])
def test_a_disk_stays_where_its_copy_does_not_come_to_its_place(disks, to_replace, method):
    before = _content(disks, to_replace["destination"])
    disks.sim.inject(method=method, do="task-fault", fault="NoDiskSpace")
    with pytest.raises(PartialFailure) as failed:
        disks.run(**to_replace)
    assert failed.value.result["changed"] is False
    assert _content(disks, to_replace["destination"]) == before
    assert _copies(disks) == []


def test_a_copy_that_is_left_beside_its_place_goes_with_the_next_run(disks, to_replace):
    disks.sim.inject(method="CopyVirtualDisk_Task", do="drop-after")
    disks.sim.inject(method="DeleteVirtualDisk_Task", do="task-fault", fault="FileLocked")
    assert disks.attempt(**to_replace).error
    assert "b.vforge-copy.vmdk stays until the next run" in disks.warnings[-1]
    assert _copies(disks)
    assert one(disks.run(**to_replace).result)["actions"] == ["copied"]
    assert _copies(disks) == []


def test_an_interrupted_download_is_gone_on_with(disks, vm, tmp_path):
    target = tmp_path / "out.raw"
    real = Flat.pieces

    def broken(self, start, length, buffer):
        came = 0
        for part in real(self, start, length, buffer):
            yield part
            came += len(part)
            if came >= 5 * MIB:
                raise KeyboardInterrupt

    asked = {"state": "exported", "vm": vm, "path": str(target), "format": "raw"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Flat, "pieces", broken)
        with pytest.raises(KeyboardInterrupt):
            disks.run(**asked)
    assert not target.exists()
    entry = one(disks.run(**asked).result)
    assert (entry["resumed"], entry["fetched"]) == (5 * MIB, SIZE - 5 * MIB)
    assert target.read_bytes() == disks.content
    assert sorted(os.listdir(tmp_path)) == [".out.raw.vforge", "out.raw"]


def test_a_connection_that_breaks_is_gone_on_with_where_it_came_to(disks, vm, tmp_path):
    target, real, broke = tmp_path / "out.raw", Flat.pieces, []

    def broken(self, start, length, buffer):
        for number, part in enumerate(real(self, start, length, buffer)):
            yield part
            if number == 2 and len(broke) < 4:
                broke.append(start)
                raise ConnectionLost("broken")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Flat, "pieces", broken)
        entry = one(disks.run(state="exported", vm=vm, path=str(target), format="raw").result)
    assert broke == [0, 3 * MIB, 6 * MIB, 9 * MIB]
    assert (entry["fetched"], target.read_bytes()) == (SIZE, disks.content)


def test_a_disk_that_was_changed_meanwhile_is_exported_again(disks, vm, tmp_path):
    target = tmp_path / "out.raw"
    asked = {"state": "exported", "vm": vm, "path": str(target), "format": "raw"}
    disks.run(**asked)
    disks.sim.govc("vm.power", "-on", "web-1")
    disks.sim.write_disk("web-1", offset=0, length=512, seed=99)
    disks.sim.govc("vm.power", "-off", "web-1")
    # The server says when it was changed in whole seconds: let the export be one of long ago.
    note = tmp_path / ".out.raw.vforge"
    known = json.loads(note.read_bytes())
    note.write_text(json.dumps({**known, "changed": "Sun, 01 Nov 2020 00:00:00 GMT"}), encoding="utf-8")
    assert one(disks.run(**asked).result)["actions"] == ["exported"]
    assert target.read_bytes() == disks.sim.read_disk("web-1", length=SIZE)


def test_what_cannot_be_exported_as_asked_is_refused(disks, vm, tmp_path):
    asked = {"state": "exported", "path": str(tmp_path / "out.vmdk")}
    refused = disks.attempt(**asked, vm=vm, disk="Hard disk 7")
    assert (refused.error.error_code, refused.result["changed"]) == ("not_found", False)
    disks.sim.govc("vm.power", "-on", "web-1")
    refused = disks.attempt(**asked, vm=vm, transport="datastore")
    assert refused.error.error_code == "invalid_option"
    assert "not powered off" in refused.error.message
    (tmp_path / "out.vmdk").write_bytes(b"something else")
    refused = disks.attempt(**asked, vm=vm)
    assert (refused.error.error_code, (tmp_path / "out.vmdk").read_bytes()) == ("exists", b"something else")
    assert not disks.sim.govc("snapshot.tree", "-vm", "web-1")


def test_an_upload_that_fails_leaves_nothing(disks, tmp_path):
    raw, path = image(tmp_path), "[LocalDS_0] images/a.vmdk"
    disks.sim.inject(method="MoveVirtualDisk_Task", do="task-fault", fault="FileFault")
    failed = disks.attempt(state="imported", path=str(raw), datastore_path=path)
    assert failed.error
    assert not disks.sim.govc("find", "/DC0/vm", "-name", "vforge-import-*")
    assert disks.sim.open_leases() == 0
    assert orphans(disks) == []
    disks.sim.clear()
    assert disks.run(state="imported", path=str(raw), datastore_path=path).result["changed"]


def test_a_move_whose_answer_is_lost_is_found_as_done(disks, tmp_path):
    raw, path = image(tmp_path), "[LocalDS_0] images/a.vmdk"
    disks.sim.inject(method="MoveVirtualDisk_Task", do="drop-after")
    ran = disks.run(state="imported", path=str(raw), datastore_path=path)
    assert (ran.called("MoveVirtualDisk_Task"), ran.called("DeleteVirtualDisk_Task")) == (2, 0)
    assert not disks.sim.govc("find", "/DC0/vm", "-name", "vforge-import-*")
    around(disks, path)
    assert content_of_around(disks) == raw.read_bytes()


@pytest.mark.parametrize("there", [False, True])
def test_after_a_move_whose_answer_is_lost_nothing_is_left_that_nobody_knows_of(disks, tmp_path, monkeypatch, there):
    """What was in the place before stays, or what has replaced it: which of both it is, nobody knows."""
    raw, path = image(tmp_path), "[LocalDS_0] images/a.vmdk"
    asked = {"state": "imported", "path": str(raw), "datastore_path": path}
    if there:
        disks.run(**asked)
    real = Task.call_one

    def lost(*asked, **how):
        real(*asked, **how)
        if asked[-1] == "disks moved":
            raise Interrupted("A signal.")

    with monkeypatch.context() as patch:
        patch.setattr(Task, "call_one", lost)
        assert disks.attempt(**asked, force=True).error.error_code == "interrupted"
    assert not disks.sim.govc("find", "/DC0/vm", "-name", "vforge-import-*")
    assert orphans(disks) == []
    listed = disks.sim.govc("datastore.ls", "-ds", "LocalDS_0", "images")
    assert ("a.vmdk" in [file["path"] for file in listed[0].get("file") or ()]) is there


def orphans(disks):
    """Files of imports that belong to no VM."""
    return [file for file in disks.sim.request("GET", "/orphans")["files"] if "vforge-import" in file]


@pytest.fixture(name="left")
def _left(disks, tmp_path, monkeypatch):
    """What a run leaves that is killed when its disk is off the VM and not yet at its place."""
    asked = {"state": "imported", "path": str(image(tmp_path)), "datastore_path": "[LocalDS_0] images/a.vmdk"}
    disks.sim.inject(method="MoveVirtualDisk_Task", do="task-fault", fault="FileFault")
    with monkeypatch.context() as killed:
        # What a run that is killed does not come to.
        killed.setattr(importing.DiskImport, "_leaves_no_disk", lambda *_args: False)
        disks.attempt(**asked)
    disks.sim.clear()
    [vm] = disks.sim.govc("find", "/DC0/vm", "-name", "vforge-import-*")
    assert orphans(disks)
    return asked, vm


def test_a_disk_that_a_killed_run_has_taken_off_its_vm_goes_with_the_next_run(disks, left, monkeypatch):
    asked, _vm = left
    monkeypatch.setattr(Owner, "is_gone", lambda _owner: True)
    assert disks.run(**asked).result["changed"]
    assert not disks.sim.govc("find", "/DC0/vm", "-name", "vforge-import-*")
    assert orphans(disks) == []


def test_the_disk_of_an_import_that_may_still_be_at_work_is_left_alone(disks, left):
    asked, vm = left
    there = orphans(disks)
    refused = disks.attempt(**asked)
    assert (refused.error.error_code, refused.result["changed"]) == ("in_use", False)
    assert "Another run imports to this place" in str(refused.error)
    assert orphans(disks) == there
    assert disks.sim.govc("find", "/DC0/vm", "-name", "vforge-import-*") == [vm]


def test_a_disk_outside_of_the_folder_of_an_import_is_not_deleted(disks, left, monkeypatch):
    asked, vm = left
    there = orphans(disks)
    monkeypatch.setattr(Owner, "is_gone", lambda _owner: True)
    name = vm.rpartition("/")[2]
    assert there[0].rpartition("/")[0].endswith(f"LocalDS_0/{name}")
    others = ("[LocalDS_0] web/web.vmdk", f"[LocalDS_0] {name}/../web/web.vmdk", f"[LocalDS_0] {name}x/web.vmdk")
    for other in others:
        disks.sim.govc("vm.change", "-vm", vm, "-e", f"vforge.disk.detached={other}")
        refused = disks.attempt(**asked)
        assert (refused.error.error_code, other in str(refused.error)) == ("in_use", True)
        assert refused.called("DeleteVirtualDisk_Task") == 0
    assert orphans(disks) == there


def test_the_disk_of_an_import_that_cannot_be_deleted_keeps_the_vm_that_names_it(disks, tmp_path, monkeypatch):
    asked = {"state": "imported", "path": str(image(tmp_path)), "datastore_path": "[LocalDS_0] images/a.vmdk"}
    disks.sim.inject(method="MoveVirtualDisk_Task", do="task-fault", fault="FileFault")
    disks.sim.inject(method="DeleteVirtualDisk_Task", do="task-fault", fault="FileLocked")
    disks.attempt(**asked)
    disks.sim.clear()
    assert any("The next run deletes it" in warning for warning in disks.warnings)
    assert disks.sim.govc("find", "/DC0/vm", "-name", "vforge-import-*")
    monkeypatch.setattr(Owner, "is_gone", lambda _owner: True)
    assert disks.run(**asked).result["changed"]
    assert orphans(disks) == []


def test_info_of_a_disk_of_a_vm(disks, vm):
    found = disks.info(vm=vm, disk="scsi0:0", digest=True).result["disk"]
    assert (found["capacity"], found["content_sha256"]) == (SIZE, sha256(disks.content))
    assert (found["label"], found["unit"], found["vm"]) == ("Hard disk 1", "scsi0:0", "web-1")
    assert found["extents"][0]["size"] == SIZE


# vSAN


def test_a_disk_on_vsan_goes_out_by_a_lease_alone_and_is_not_read_back(disks, vm, tmp_path):
    disks.sim.request("POST", "/datastores/LocalDS_0", {"type": "vsan"})
    target = str(tmp_path / "a.vmdk")
    refused = disks.attempt(state="exported", vm=vm, path=target, transport="datastore")
    assert "a datastore of the kind vsan has no files of disks" in str(refused.error)
    out = one(disks.run(state="exported", vm=vm, path=target).result)
    assert (out["transport"], out["content_sha256"]) == ("lease", sha256(disks.content))
    asked = {"state": "imported", "path": target, "datastore_path": "[LocalDS_0] images/b.vmdk", "verify": "content"}
    late = disks.attempt(**asked)
    assert late.error.details["option"] == "verify"
    assert "cannot be read back" in str(late.error)
    assert late.called("ImportVApp") == 0


@pytest.mark.parametrize(
    "rule",
    [
        {"method": "ImportVApp", "do": "fault", "fault": "NoPermission"},
        {"method": "MoveVirtualDisk_Task", "do": "fault", "fault": "NoPermission"},
        {"method": "MoveVirtualDisk_Task", "do": "task-fault", "fault": "FileLocked"},
    ],
)
def test_a_disk_that_was_not_replaced_after_all_is_what_was_noted_of_it(disks, tmp_path, rule):
    """On vSAN nothing else says what it is."""
    disks.sim.datastore_type("LocalDS_0", "vsan")
    raw, other = image(tmp_path), tmp_path / "other.raw"
    other.write_bytes(bytes(MIB))
    asked = {"state": "imported", "datastore_path": "[LocalDS_0] flt-kept/a.vmdk"}
    disks.run(**asked, path=str(raw))
    disks.sim.inject(**rule)
    assert disks.attempt(**asked, path=str(other), force=True).error
    disks.sim.clear()
    kept = disks.run(**asked, path=str(raw))
    assert (kept.result["changed"], kept.called("ImportVApp")) == (False, 0)


def test_of_a_disk_that_was_replaced_nothing_is_noted_again(disks, tmp_path, monkeypatch):
    """Also where the move is told as failed, and was not."""
    disks.sim.datastore_type("LocalDS_0", "vsan")
    raw, other = image(tmp_path), tmp_path / "other.raw"
    other.write_bytes(bytes(raw.stat().st_size))
    asked = {"state": "imported", "datastore_path": "[LocalDS_0] flt-kept/a.vmdk"}
    disks.run(**asked, path=str(raw))
    real = importing.DiskImport._move

    def move(*given):
        real(*given)
        raise Fault("FileFault", "file_fault", "It failed.")

    with monkeypatch.context() as failing:
        failing.setattr(importing.DiskImport, "_move", move)
        assert disks.attempt(**asked, path=str(other), force=True).error
    assert disks.attempt(**asked, path=str(raw)).error


@pytest.mark.parametrize("kind", ["VMFS", "vsan"])
def test_the_vm_of_an_import_that_could_not_be_removed_is_removed_by_the_next_run(disks, tmp_path, monkeypatch, kind):
    """Also on vSAN, where no disk can be read back to find out what it is."""
    disks.sim.datastore_type("LocalDS_0", kind)
    disks.sim.inject(method="Destroy_Task", do="fault", fault="NoPermission", times=0)
    asked = {"state": "imported", "path": str(image(tmp_path)), "datastore_path": "[LocalDS_0] flt-left/a.vmdk"}
    assert one(disks.run(**asked).result)["actions"] == ["imported"]
    assert "The next run removes it." in disks.warnings[-1]
    assert disks.sim.govc("find", "/DC0/vm", "-name", "vforge-import-*")
    # The next run is another process.
    monkeypatch.setattr(Owner, "is_gone", lambda _self: True)
    os.utime(asked["path"])
    for _attempt in ("touched", "noted"):
        assert not disks.run(**asked).result["changed"]
        assert "The next run tries again." in disks.warnings[-1]
    disks.sim.clear()
    assert not disks.run(**asked).result["changed"]
    assert not disks.sim.govc("find", "/DC0/vm", "-name", "vforge-import-*")
    assert disks.run(**asked).total <= 10


# What is nobody's


def first_class_disk(disks):
    """The path of a first class disk that no VM has."""
    disks.sim.govc("disk.create", "-ds", "LocalDS_0", "-size", "4M", "volume")
    listed = disks.sim.govc("disk.ls", "-ds", "LocalDS_0", "-L", "-l")
    found = re.search(r"\[LocalDS_0\] \S+\.vmdk", str(listed))
    assert found is not None, listed
    return found[0]


def test_a_first_class_disk_that_no_vm_has_is_somebodys(disks, tmp_path):
    """A volume of Kubernetes whose pod does not run."""
    path, other, raw = first_class_disk(disks), "[LocalDS_0] others/b.vmdk", image(tmp_path)
    disks.run(state="imported", path=str(raw), datastore_path=other)
    for asked in (
        {"state": "absent", "datastore_path": path},
        {"state": "imported", "path": str(raw), "datastore_path": path, "force": True},
        {"state": "copied", "datastore_path": other, "destination": path, "force": True},
    ):
        for check in (True, False):
            refused = disks.attempt(check=check, **asked)
            assert (refused.error.error_code, "is the first class disk volume" in str(refused.error)) == ("in_use", True)
    refused = Vms(disks.sim).attempt(name="around", disks=[path])
    assert (refused.error.error_code, "is the first class disk volume" in str(refused.error)) == ("in_use", True)
    assert "by first_class_disk" in refused.error.hint
    assert disks.run(state="absent", datastore_path=other).result["changed"]


def test_first_class_disks_are_listed_once_for_all_disks_of_a_new_vm(disks, tmp_path):
    first_class_disk(disks)
    paths, raw = [f"[LocalDS_0] images/{name}.vmdk" for name in "abc"], str(image(tmp_path))
    for path in paths:
        disks.run(state="imported", path=raw, datastore_path=path)
    ran = Vms(disks.sim).run(name="around", disks=paths, cpus=1, memory=512, networks=["VM Network"])
    assert (ran.called("ListVStorageObject"), ran.result["changed"]) == (1, True)


@pytest.mark.usefixtures("tools")
def test_a_disk_on_storage_of_two_datacenters_is_that_of_a_vm_in_either(make_sim, tmp_path):
    """Each has a datastore of its own for it."""
    disks, shared, raw = Disks(make_sim("--datacenters", "2", "--vms", "0")), tmp_path / "shared", str(image(tmp_path))
    shared.mkdir()
    for number in (0, 1):
        at = f"/DC{number}/host/DC{number}_C0/DC{number}_C0_H0"
        disks.sim.govc("datastore.create", "-type", "local", "-name", f"shared-{number}", "-path", str(shared), at)
    asked = {"datacenter": "DC0", "datastore_path": "[shared-0] images/a.vmdk"}
    disks.run(state="imported", path=raw, **asked)
    there = {"datacenter": "DC1", "networks": ["VM Network"], "cpus": 1, "memory": 512}
    Vms(disks.sim).run(name="around", disks=["[shared-1] images/a.vmdk"], **there)
    for more in ({"state": "absent"}, {"state": "imported", "path": raw, "force": True}):
        refused = disks.attempt(**asked, **more)
        assert (refused.error.error_code, "belongs to around" in str(refused.error)) == ("in_use", True)
    refused = Vms(disks.sim).attempt(name="second", disks=[asked["datastore_path"]], **{**there, "datacenter": "DC0"})
    assert (refused.error.error_code, "belongs to around" in str(refused.error)) == ("in_use", True)
    assert disks.sim.vm("around")["disks"]


def test_no_second_vm_is_made_around_a_disk(disks, tmp_path):
    path = "[LocalDS_0] images/a.vmdk"
    disks.run(state="imported", path=str(image(tmp_path)), datastore_path=path)
    around(disks, path)
    for check in (True, False):
        refused = Vms(disks.sim).attempt(name="second", disks=[path], check=check)
        assert (refused.error.error_code, "belongs to around" in str(refused.error)) == ("in_use", True)
    assert not disks.sim.govc("find", "/DC0/vm", "-name", "second")


def test_a_vm_whose_disks_a_linked_clone_uses_is_not_removed(disks):
    vm = disks.sim.create_vm("base", on=False, disks=[{"bytes": MIB}])
    disks.sim.govc("snapshot.create", "-vm", "base", "-m=false", "cloned")
    disks.sim.create_vm("clone", on=False)
    disks.sim.govc("vm.disk.attach", "-vm", "clone", "-ds", "LocalDS_0", "-disk", "base/base.vmdk", "-link=true")
    named = {"name": "base", "state": "absent", "instance_uuid": vm["instance_uuid"]}
    for check in (True, False):
        refused = Vms(disks.sim).attempt(check=check, **named)
        assert (refused.error.error_code, "used by clone" in str(refused.error)) == ("in_use", True)
    disks.sim.govc("vm.destroy", "clone")
    assert Vms(disks.sim).run(**named).result["changed"]


@pytest.mark.parametrize("linked", ["-link=false", "-link=true"])
def test_a_vm_whose_disk_somebody_else_has_is_not_removed(disks, tmp_path, linked):
    """A VM goes with all of its disks."""
    path = "[LocalDS_0] images/a.vmdk"
    disks.run(state="imported", path=str(image(tmp_path)), datastore_path=path)
    around(disks, path)
    if linked == "-link=true":
        disks.sim.govc("snapshot.create", "-vm", "around", "-m=false", "cloned")
    disks.sim.create_vm("other", on=False)
    disks.sim.govc("vm.disk.attach", "-vm", "other", "-ds", "LocalDS_0", "-disk", "images/a.vmdk", linked)
    named = {"name": "around", "state": "absent", "instance_uuid": disks.sim.vm("around")["instance_uuid"]}
    for check in (True, False):
        refused = Vms(disks.sim).attempt(check=check, **named)
        assert (refused.error.error_code, "used by other" in str(refused.error)) == ("in_use", True)


@pytest.mark.parametrize(("count", "allowed"), [(4, True), (5, False)])
def test_ide_has_four_places(count, allowed):
    asked = {"name": "a", "disks": [f"[ds] a/{number}.vmdk" for number in range(count)], "controller": "ide"}
    with contextlib.nullcontext() if allowed else pytest.raises(InvalidOption):
        VmOptions.from_params(accepted(vm_from_disks.argument_spec(), asked))


# What an export is of


def test_another_snapshot_of_the_same_name_is_exported_again(disks, vm, tmp_path):
    asked = {"state": "exported", "vm": vm, "disk": "scsi0:0", "snapshot": {"name": "now"}, "path": str(tmp_path / "out.vmdk")}
    disks.sim.govc("snapshot.create", "-vm", "web-1", "-m=false", "now")
    first = one(disks.run(**asked).result)
    assert not disks.run(**asked).result["changed"]
    disks.sim.govc("snapshot.remove", "-vm", "web-1", "*")
    disks.sim.govc("vm.power", "-on", "web-1")
    disks.sim.write_disk("web-1", offset=2 * MIB, length=5120, seed=9)
    disks.sim.govc("snapshot.create", "-vm", "web-1", "-m=false", "now")
    assert disks.run(**asked, check=True).result["changed"]
    second = one(disks.run(**asked).result)
    assert (second["actions"], second["content_sha256"] != first["content_sha256"]) == (["exported"], True)


def test_a_disk_that_is_off_and_comes_by_a_lease_comes_once(disks, vm, tmp_path):
    asked = {"state": "exported", "vm": vm, "disk": "scsi0:0", "path": str(tmp_path / "out.vmdk")}
    disks.sim.govc("snapshot.create", "-vm", "web-1", "-m=false", "before")
    first = one(disks.run(**asked).result)
    assert (first["transport"], first["actions"]) == ("lease", ["exported"])
    again = disks.run(**asked)
    assert (again.result["changed"], one(again.result)["fetched"], again.total <= 10) == (False, 0, True)
    disks.sim.govc("vm.power", "-on", "web-1")
    disks.sim.write_disk("web-1", offset=2 * MIB, length=5120, seed=9)
    # Of a running VM a later state comes only where that is asked for.
    assert not disks.run(**asked).result["changed"]
    disks.sim.govc("vm.power", "-off", "web-1")
    last = one(disks.run(**asked).result)
    assert (last["actions"], last["content_sha256"] != first["content_sha256"]) == (["exported"], True)


def test_what_is_to_come_over_the_datastore_does_not_come_otherwise(disks, vm, tmp_path, monkeypatch):
    monkeypatch.setattr(exports, "_flat", lambda _files, _disk: None)
    asked = {"state": "exported", "vm": vm, "disk": "scsi0:0", "path": str(tmp_path / "out.vmdk")}
    refused = disks.attempt(**asked, transport="datastore")
    assert (refused.error.error_code, refused.error.details["option"]) == ("invalid_option", "transport")
    assert not list(tmp_path.glob("out*"))
    assert one(disks.run(**asked).result)["transport"] == "lease"


def test_a_download_is_not_gone_on_with_where_nobody_says_when_the_file_was_changed(tmp_path):
    place = local.Workplace(str(tmp_path), str(tmp_path / "a.vmdk"), None)
    (tmp_path / exporting.RAW_NAME).write_bytes(bytes(8))
    for changed, done in (("Sun", 4), ("", 0)):
        mark = {"size": 8, "changed": changed, "capacity": 8}
        (tmp_path / "state.json").write_text(json.dumps({**mark, "done": 4}))
        assert exporting._done(place, mark) == done


def test_a_disk_that_was_not_read_back_is_where_that_is_asked_for(disks, tmp_path, monkeypatch):
    raw, read_back, times = image(tmp_path), OnDatastore.read_back, []

    def counted(*asked):
        times.append(1)
        return read_back(*asked)

    monkeypatch.setattr(OnDatastore, "read_back", counted)
    asked = {"state": "imported", "path": str(raw), "datastore_path": "[LocalDS_0] images/a.vmdk"}
    disks.run(**asked)
    for count in (1, 1):
        assert not disks.run(**asked, verify="content").result["changed"]
        assert len(times) == count
    other = "[LocalDS_0] images/b.vmdk"
    disks.run(**{**asked, "datastore_path": other})
    around(disks, other)
    disks.sim.govc("vm.power", "-on", "around")
    disks.sim.write_disk("around", key=disks.sim.vm("around")["disks"][0]["key"], offset=4096, length=5120, seed=3)
    disks.sim.govc("vm.power", "-off", "around")
    for check in (True, False):
        refused = disks.attempt(check=check, **{**asked, "datastore_path": other}, verify="content")
        assert (refused.error.error_code, "has another content" in str(refused.error)) == ("incomplete_upload", True)
    assert not disks.run(**{**asked, "datastore_path": other}).result["changed"]
