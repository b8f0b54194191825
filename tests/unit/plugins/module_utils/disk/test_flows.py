# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Disks go out of a simulated vCenter and in again; qemu-img, libvmdk and govc say whether they are right."""

from __future__ import annotations

import os

import pytest

import vforge_disks
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.disk.running import MIB, Vms, one, sha256

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


def test_a_disk_goes_in_by_a_lease(disks, tmp_path, judges):
    raw = tmp_path / "a.raw"
    raw.write_bytes(vforge_disks.noise(2 * MIB) + bytes(6 * MIB))
    source = judges.make(raw, tmp_path / "a.qcow2", "qcow2")
    path = "[LocalDS_0] images/a.vmdk"
    ran = disks.run(state="imported", path=str(source), datastore_path=path)
    print(ran.calls, ran.result)
    assert ran.result["changed"]
    found = disks.info(datastore_path=path, digest=True).result["disk"]
    assert found["content_sha256"] == sha256(raw.read_bytes())


def test_a_disk_of_a_running_vm_goes_out_by_a_lease(disks, tmp_path, judges):
    disks.sim.create_vm("web-2", disks=[{"bytes": SIZE}])
    disks.sim.write_disk("web-2", offset=MIB, length=300_032, seed=1)
    content = disks.sim.read_disk("web-2", length=SIZE)
    target = tmp_path / "out.vmdk"
    ran = disks.run(state="exported", vm={"name": "web-2"}, path=str(target))
    entry = one(ran.result)
    print(ran.calls)
    assert (entry["transport"], entry["actions"]) == ("lease", ["exported"])
    assert entry["content_sha256"] == sha256(content) == judges.digest_by_libvmdk(target)
    assert not disks.sim.govc("snapshot.tree", "-vm", "web-2")
    assert ran.total <= 20
    again = disks.run(state="exported", vm={"name": "web-2"}, path=str(target))
    assert (again.result["changed"], one(again.result)["fetched"], again.total <= 10) == (False, 0, True)


# A VM around a disk


def test_a_vm_is_made_around_an_imported_disk(disks, tmp_path):
    raw = tmp_path / "a.raw"
    raw.write_bytes(vforge_disks.noise(2 * MIB))
    path = "[LocalDS_0] images/a.vmdk"
    disks.run(state="imported", path=str(raw), datastore_path=path)
    vms = Vms(disks.sim)
    asked = {"name": "new-1", "disks": [path], "cpus": 2, "memory": 512, "firmware": "efi", "networks": ["VM Network"]}
    assert vms.run(check=True, **asked).result["changed"]
    ran = vms.run(**asked, powered_on=True, wait_for_tools=True)
    entry = ran.result["vms"][0]
    assert (entry["actions"], entry["power_state"], entry["tools_running"]) == (["created", "powered_on"], "poweredOn", True)
    assert disks.sim.read_disk("new-1", length=2 * MIB) == raw.read_bytes()
    seen = disks.sim.govc("vm.info", "new-1")["virtualMachines"][0]["config"]
    assert (seen["hardware"]["numCPU"], seen["hardware"]["memoryMB"], seen["firmware"]) == (2, 512, "efi")
    again = vms.run(**asked, powered_on=True, wait_for_tools=True)
    assert (again.result["changed"], again.total <= 10) == (False, True)
    other = vms.attempt(**{**asked, "cpus": 4})
    assert (other.error.error_code, other.result) == ("exists", {})
    assert vms.attempt(name="new-1", state="absent", instance_uuid=entry["instance_uuid"]).error
    disks.sim.govc("vm.power", "-off", "new-1")
    assert vms.attempt(name="new-1", state="absent", instance_uuid="x").error.error_code == "exists"
    assert vms.run(name="new-1", state="absent", instance_uuid=entry["instance_uuid"]).result["changed"]
    assert not vms.run(name="new-1", state="absent", instance_uuid=entry["instance_uuid"]).result["changed"]
