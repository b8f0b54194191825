# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Transfers of disks that something breaks: what is said, what is left, and what the next run makes of it."""

from __future__ import annotations

import concurrent.futures
import os
import threading

import pytest

import vforge_disks
from ansible_collections.vforge.vsphere.plugins.module_utils._temporary_snapshots import OwnerMark
from ansible_collections.vforge.vsphere.plugins.module_utils._vsphere.datastore_files import DatastoreFiles
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.disk.running import MIB, Disks, one, sha256

TARGET = "[LocalDS_0] images/a.vmdk"

# No whole number of grains (64 KiB), of the table of a grain directory (32 MiB), or of MiB.
ODD = 33 * MIB + 5 * 512


@pytest.fixture
def disks(make_sim, tools):
    """Tasks of vmdk against a simulator of the test's own."""
    assert tools
    return Disks(make_sim("--vms", "2", "--clone-time", "10ms", "--lease-timeout", "20s"))


@pytest.fixture
def asked(tmp_path):
    """An import of 3 MiB of data."""
    raw = tmp_path / "a.raw"
    raw.write_bytes(vforge_disks.noise(3 * MIB))
    return {"state": "imported", "path": str(raw), "datastore_path": TARGET}


def nothing_is_left(disks, tmp_path):
    """Of an import: no VM, no lease, no file on a datastore, none here."""
    assert not disks.sim.govc("find", "/DC0/vm", "-name", "vforge-import-*")
    assert disks.sim.open_leases() == 0
    assert [file for file in disks.sim.orphans() if "vforge-import" in file or "images/" in file] == []
    assert sorted(os.listdir(tmp_path)) == ["a.raw"]


def converges(disks, asked):
    """The next run does it, and the one after that nothing."""
    assert disks.run(**asked).result["changed"]
    assert not disks.run(**asked).result["changed"]
    with open(asked["path"], "rb") as file:
        content = sha256(file.read())
    assert disks.info(datastore_path=TARGET, digest=True).result["disk"]["content_sha256"] == content


def test_a_datastore_without_room_takes_nothing(disks, asked, tmp_path):
    disks.sim.request("POST", "/datastores/LocalDS_0", {"free": MIB})
    failed = disks.attempt(**asked)
    assert (failed.error.error_code, failed.result["changed"]) == ("no_disk_space", False)
    nothing_is_left(disks, tmp_path)
    disks.sim.request("POST", "/datastores/LocalDS_0", {"free": 100 * MIB})
    converges(disks, asked)


@pytest.mark.parametrize(
    "method",
    [
        "ImportVApp",
        "HttpNfcLeaseGetManifest",
        "HttpNfcLeaseComplete",
        "ReconfigVM_Task",
        "MoveVirtualDisk_Task",
        "Destroy_Task",
    ],
)
def test_a_session_that_ends_during_an_import_costs_nothing(disks, asked, tmp_path, method):
    disks.sim.inject(method=method, do="expire")
    ran = disks.attempt(**asked)
    disks.sim.clear()
    if ran.error is not None:
        # vCenter ends a lease with its session; then the next run does it all.
        nothing_is_left(disks, tmp_path)
        converges(disks, asked)
    else:
        assert (
            disks.info(datastore_path=TARGET, digest=True).result["disk"]["content_sha256"] == one(ran.result)["content_sha256"]
        )
        assert not disks.sim.govc("find", "/DC0/vm", "-name", "vforge-import-*")


def silent(disks):
    """vCenter hears no sign of life any more, and the lease ends before the upload does."""
    disks.sim.disturb_uploads(rate=MIB // 2, times=0, file="*")
    disks.sim.inject(method="HttpNfcLeaseProgress", do="drop", times=0)
    disks.sim.inject(method="POST /nfc", do="lease-timeout")


def late(disks):
    """The lease has ended when it is to be completed."""
    disks.sim.inject(method="HttpNfcLeaseComplete", do="fault", fault="Timedout")


@pytest.mark.parametrize("trouble", [silent, late])
def test_a_lease_that_vcenter_ends_is_reported_and_leaves_nothing(disks, asked, tmp_path, trouble):
    trouble(disks)
    failed = disks.attempt(**asked)
    assert failed.error.error_code not in ("internal_error", "")
    disks.sim.clear()
    nothing_is_left(disks, tmp_path)
    converges(disks, asked)


def test_an_export_whose_connection_breaks_leaves_nothing(disks, tmp_path):
    disks.sim.create_vm("web-1", disks=[{"bytes": 4 * MIB}])
    disks.sim.write_disk("web-1", offset=0, length=2 * MIB, seed=1)
    disks.sim.disturb_uploads(drop_after=MIB, times=0, file="*")
    asked = {"state": "exported", "vm": {"name": "web-1"}, "path": str(tmp_path / "out.vmdk")}
    assert disks.attempt(**asked).error.error_code == "export_broken"
    assert os.listdir(tmp_path) == []
    assert not disks.sim.govc("snapshot.tree", "-vm", "web-1")
    disks.sim.clear()
    assert one(disks.run(**asked).result)["actions"] == ["exported"]


def test_the_session_ends_in_the_middle_of_a_download(disks, tmp_path, monkeypatch):
    disks.sim.create_vm("web-1", on=False, disks=[{"bytes": 12 * MIB}])
    real, parts = DatastoreFiles.part, []

    def expiring(self, path, start, length, **more):
        parts.append(start)
        if len(parts) == 2:
            disks.sim.expire_sessions()
        return real(self, path, start, length, **more)

    monkeypatch.setattr(DatastoreFiles, "part", expiring)
    target = tmp_path / "out.raw"
    entry = one(disks.run(state="exported", vm={"name": "web-1"}, path=str(target), format="raw", transport="datastore").result)
    assert (entry["fetched"], target.read_bytes() == bytes(12 * MIB), len(parts) > 1) == (12 * MIB, True, True)


@pytest.mark.parametrize(("on", "transport"), [(False, "lease"), (False, "datastore"), (True, "lease")])
def test_a_disk_of_no_whole_number_of_grains_goes_out_and_in(disks, tmp_path, judges, on, transport):
    disks.sim.create_vm("odd-1", disks=[{"bytes": ODD}])
    disks.sim.write_disk("odd-1", offset=ODD - 3 * 512, length=3 * 512, seed=3)
    disks.sim.write_disk("odd-1", offset=32 * MIB - 512, length=1024, seed=4)
    content = disks.sim.read_disk("odd-1", length=ODD)
    if not on:
        disks.sim.govc("vm.power", "-off", "odd-1")
    target = tmp_path / "odd.vmdk"
    entry = one(disks.run(state="exported", vm={"name": "odd-1"}, path=str(target), transport=transport).result)
    assert (entry["capacity"], entry["content_sha256"]) == (ODD, sha256(content))
    assert judges.digest_by_libvmdk(target) == sha256(content)
    back = disks.run(state="imported", path=str(target), datastore_path=TARGET, verify="content")
    assert one(back.result)["content_sha256"] == sha256(content)


@pytest.mark.parametrize("method", ["MakeDirectory", "MoveVirtualDisk_Task"])
def test_a_vm_of_an_import_that_somebody_turns_on_is_removed_all_the_same(disks, asked, method):
    """Its disk is where it was to be, so there is nothing in it that could be lost."""
    over = threading.Event()
    disks.sim.inject(method=method, do="delay")

    def turn_on():
        while not disks.sim.called(method, 1) and not over.is_set():
            pass  # it has waited a while
        (path,) = disks.sim.govc("find", "/DC0/vm", "-name", "vforge-import-*")
        disks.sim.govc("vm.power", "-on", path)
        disks.sim.clear()

    with concurrent.futures.ThreadPoolExecutor() as pool:
        turned_on = pool.submit(turn_on)
        try:
            ran = disks.run(**asked)
        finally:
            over.set()
        turned_on.result()
    assert (one(ran.result)["actions"], ran.called("PowerOffVM_Task"), ran.called("Destroy_Task")) == (["imported"], 1, 2)
    assert ran.result.get("warnings", []) == []
    assert not disks.sim.govc("find", "/DC0/vm", "-name", "vforge-import-*")
    assert not disks.run(**asked).result["changed"]


def test_a_vm_that_an_import_has_left_with_its_disk_and_somebody_uses_stays(disks, asked, monkeypatch):
    disks.sim.inject(method="ReconfigVM_Task", do="task-fault", fault="SystemError")
    disks.sim.inject(method="Destroy_Task", do="task-fault", fault="SystemError")
    assert disks.attempt(**asked).error
    disks.sim.clear()
    (path,) = disks.sim.govc("find", "/DC0/vm", "-name", "vforge-import-*")
    disks.sim.govc("vm.power", "-on", path)
    # As of a run that was killed, which this process is not.
    monkeypatch.setattr(OwnerMark, "is_over", lambda *_asked: True)
    refused = disks.attempt(**asked).error
    assert (refused.error_code, refused.hint.split(":")[0]) == ("in_use", "Somebody has turned it on")
    disks.sim.govc("vm.power", "-off", path)  # which is refused for one that is off
    converges(disks, asked)
    assert not disks.sim.govc("find", "/DC0/vm", "-name", "vforge-import-*")
