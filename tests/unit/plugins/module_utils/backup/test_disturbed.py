# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Somebody else works on a VM while it is backed up: the account is exact, and the other VMs are backed up."""

from __future__ import annotations

import dataclasses
import fcntl
import os
import signal
import time

import pytest
from pyVmomi import vim

from ansible_collections.vforge.vsphere.plugins.module_utils import _signals
from ansible_collections.vforge.vsphere.plugins.module_utils._backup import task
from ansible_collections.vforge.vsphere.plugins.module_utils._backup.repository import Repository
from ansible_collections.vforge.vsphere.plugins.module_utils._files import FileMissing, FileUnreadable
from ansible_collections.vforge.vsphere.plugins.module_utils._vsphere import lease_devices
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.backup.running import tasks
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.cbt.running import Areas, finished

MIB = 1 << 20


@pytest.fixture
def backups(make_sim, tmp_path, monkeypatch):
    """Tasks against a simulator with the VMs web-1, on which somebody else works, and web-2; both are off."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    with tasks(make_sim("--vms", "0"), tmp_path) as known:
        for name in ("web-1", "web-2"):
            known.make(name, size=2 * MIB, on=False)
        yield known


@pytest.fixture
def meanwhile(monkeypatch):
    """Has something done once, when the snapshot of web-1 is there, and before its disk is read."""
    copy_vm = task._copy_vm

    def do(what):
        due = [what]

        def disturbed(job, item):
            if item.vm.name == "web-1" and due:
                due.pop()()
            copy_vm(job, item)

        monkeypatch.setattr(task, "_copy_vm", disturbed)

    return do


def both(backups, **given):
    """Back both up, one after the other."""
    ran = backups.attempt(vms=[{"name": "web-1"}, {"name": "web-2"}], parallel=1, **given)
    assert [path.name for path in backups.repository.rglob(".staging-*")] == []
    return ran


@pytest.mark.parametrize("transport", ["nbd", "export"])
def test_a_vm_that_is_removed_fails_alone(backups, meanwhile, transport):
    meanwhile(lambda: finished(backups.vm("web-1").Destroy_Task()))
    ran = both(backups, transport=transport)
    assert ran.result["counts"] == {"failed": 1, "backed_up": 1}
    assert "error" in ran.vms[0]
    assert len(backups.points("web-2")) == 1


@pytest.mark.parametrize("transport", ["nbd", "export"])
def test_a_snapshot_that_somebody_else_removes_fails_its_vm_alone(backups, meanwhile, transport):
    meanwhile(lambda: finished(backups.vm("web-1").RemoveAllSnapshots_Task()))
    ran = both(backups, transport=transport)
    assert ran.result["counts"] == {"failed": 1, "backed_up": 1}
    # It is gone, as it was to be: there is nothing to warn of.
    assert (ran.vms[0]["snapshot"]["removed"], ran.vms[0]["warnings"]) == (True, [])
    assert (backups.points("web-1"), len(backups.points("web-2"))) == ([], 1)


def test_a_host_that_cannot_be_reached_fails_its_vms_alone(backups, monkeypatch):
    real = lease_devices.device_of

    def device_of(ready, disk, disks):
        device = real(ready, disk, disks)
        # The port of "discard", where nobody listens.
        return device if "web-2" in disk.file else dataclasses.replace(device, url="https://127.0.0.1:9/disk.vmdk")

    monkeypatch.setattr(lease_devices, "device_of", device_of)
    names = ["web-1", "web-3", "web-4", "web-2"]
    for name in names[1:3]:
        backups.make(name, size=MIB, on=False)
    ran = backups.attempt(vms=[{"name": name} for name in names], parallel=1, transport="export")
    assert ran.result["counts"] == {"failed": 3, "backed_up": 1}
    assert {entry["error"]["error_code"] for entry in ran.vms[:3]} == {"unreachable"}
    assert [backups.snapshots(name) for name in names] == [[]] * 4
    assert backups.sim.open_leases() == 0


def test_a_vm_that_is_migrated_is_backed_up(backups, meanwhile):
    def migrate():
        vm = backups.vm("web-1")
        other = next(host for host in vm.runtime.host.parent.host if host != vm.runtime.host)
        finished(vm.RelocateVM_Task(vim.vm.RelocateSpec(host=other)))

    meanwhile(migrate)
    ran = both(backups)
    assert ran.result["counts"] == {"backed_up": 2}
    assert backups.restored(0) == backups.content()


def test_a_vm_that_gets_another_instance_uuid_is_not_backed_up_among_the_points_of_the_old_one(backups, meanwhile):
    old, new = backups.vm("web-2").config.instanceUuid, "52000000-0000-4000-8000-000000000000"
    meanwhile(lambda: backups.reconfigure("web-2", instanceUuid=new))
    ran = both(backups)
    assert ran.result["counts"] == {"failed": 1, "backed_up": 1}
    assert ran.vms[1]["error"]["error_code"] == "changed_meanwhile"
    assert (old in ran.vms[1]["error"]["msg"], new in ran.vms[1]["error"]["msg"]) == (True, True)
    assert backups.run(vms=[{"name": "web-2"}]).one["disks"][0]["reason"]["code"] == "no_earlier_backup"
    assert [len(Repository(str(backups.repository)).read(uuid).points) for uuid in (old, new)] == [0, 1]


def _detach(disk):
    return vim.vm.device.VirtualDeviceSpec(operation="remove", device=disk)


def _make_independent(disk):
    disk.backing.diskMode = "independent_persistent"
    return vim.vm.device.VirtualDeviceSpec(operation="edit", device=disk)


@pytest.mark.parametrize(
    ("change", "excluded", "code"),
    [(_detach, "report", "no_disks"), (_make_independent, "report", "no_disks"), (_make_independent, "fail", "excluded_disks")],
)
def test_disks_that_become_others_before_the_snapshot_are_seen(backups, monkeypatch, change, excluded, code):
    """A point without a disk would be called a backup."""
    real = task._copy

    def changed(job, item):
        if item.vm.name == "web-1":
            devices = backups.vm("web-1").config.hardware.device
            (disk,) = [device for device in devices if isinstance(device, vim.vm.device.VirtualDisk)]
            backups.reconfigure("web-1", deviceChange=[change(disk)])
        real(job, item)

    monkeypatch.setattr(task, "_copy", changed)
    ran = both(backups, excluded_disks=excluded)
    assert ran.result["counts"] == {"failed": 1, "backed_up": 1}
    assert ran.vms[0]["error"]["error_code"] == code
    assert (backups.points("web-1"), backups.snapshots("web-1")) == ([], [])
    assert [each["kind"] for each in ran.vms[0]["disks"]] == ([] if change is _detach else ["excluded"])


def test_a_vcenter_that_restarts_keeps_nothing_from_being_whole_or_being_reported(backups, meanwhile):
    meanwhile(lambda: backups.sim.inject(method="*", do="restart", delay_ms=1500))
    ran = both(backups)
    backups.sim.clear()
    Areas.__init__(backups, backups.sim)  # the session for looking has ended, too
    failed = [entry for entry in ran.vms if "error" in entry]
    # What can be asked again is asked again; what failed says so.
    assert ran.result["counts"].get("failed", 0) == len(failed)
    for entry in ran.vms:
        assert len(backups.points(entry["name"])) == (entry["actions"] == ["backed_up"])
        assert (backups.snapshots(entry["name"]) == []) == (entry["snapshot"] is None or entry["snapshot"]["removed"])
    again = backups.run(vms=[{"name": "web-1"}, {"name": "web-2"}])
    assert again.result["counts"] == {"backed_up": 2}
    assert [backups.snapshots(name) for name in ("web-1", "web-2")] == [[], []]


def test_after_a_signal_nobody_waits_for_a_vm_that_waits_for_its_lock(backups, meanwhile):
    meanwhile(lambda: os.kill(os.getpid(), signal.SIGTERM))
    folder = Repository(str(backups.repository)).folder(backups.vm("web-2").config.instanceUuid)
    begun = time.monotonic()
    with open(f"{folder}.lock", "wb") as held, _signals.as_interrupts():
        os.fchmod(held.fileno(), 0o600)
        fcntl.flock(held, fcntl.LOCK_EX)
        ran = backups.attempt(vms=[{"name": "web-1"}, {"name": "web-2"}], parallel=2, timeout=900)
    assert time.monotonic() - begun < 300
    assert "The run was ended by SIGTERM." in str(ran.error)
    assert [backups.snapshots(name) for name in ("web-1", "web-2")] == [[], []]
    assert ran.vms[1]["error"]["error_code"] == "not_attempted"
    assert backups.left() == []


@pytest.mark.parametrize(("place", "error"), [("nowhere", FileMissing), ("a-file", FileUnreadable)])
def test_a_repository_that_is_none_is_refused_before_anything_is_made(backups, tmp_path, place, error):
    (tmp_path / "a-file").write_text("", encoding="utf-8")
    ran = backups.attempt(repository=str(tmp_path / place))
    assert isinstance(ran.error, error), ran.error
    assert (str(tmp_path / place) in str(ran.error), ran.called("CreateSnapshot_Task")) == (True, 0)


def test_a_repository_that_cannot_be_written_is_reported_for_each_vm_before_its_snapshot(backups, monkeypatch):
    real = os.open

    def read_only(path, flags, *args, **kwargs):
        if flags & os.O_CREAT:
            raise OSError(30, "Read-only file system", path)
        return real(path, flags, *args, **kwargs)

    monkeypatch.setattr(os, "open", read_only)
    ran = both(backups)
    monkeypatch.undo()
    assert ran.result["counts"] == {"failed": 2}
    assert ran.called("CreateSnapshot_Task") == 0
    assert all("Read-only file system" in entry["error"]["msg"] for entry in ran.vms)
