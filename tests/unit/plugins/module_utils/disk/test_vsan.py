# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Disks go to vSAN, where topmost folders are objects and disks are no files. The simulator has no
vVols, which have other names for such folders: these are held against a table.
"""

from __future__ import annotations

import pytest

import vforge_disks
from ansible_collections.vforge.vsphere.plugins.module_utils._disk_import import importing
from ansible_collections.vforge.vsphere.plugins.module_utils._vsphere import directories
from ansible_collections.vforge.vsphere.plugins.module_utils._vsphere.datastore_files import DatastorePath
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.disk.running import MIB, Vms, one

TARGET = "[LocalDS_0] images/b.vmdk"


@pytest.fixture(name="vsan")
def _vsan(disks, tmp_path):
    """Tasks against a simulator whose first datastore is vSAN, and what is imported to it."""
    disks.sim.request("POST", "/datastores/LocalDS_0", {"type": "vsan"})
    raw = tmp_path / "a.raw"
    raw.write_bytes(vforge_disks.noise(MIB) + bytes(3 * MIB))
    disks.asked = {"state": "imported", "path": str(raw)}
    disks.content = raw.read_bytes()
    return disks


def content_of(disks, path):
    """What a disk has: a VM is made with it, since no file of vSAN can be read."""
    relative = path.partition("] ")[2]
    where = ("-ds", "LocalDS_0", "-pool", "/DC0/host/DC0_C0/Resources", "-net", "VM Network")
    disks.sim.govc("vm.create", "-on=false", *where, "-disk", relative, "-link=false", "around")
    (disk,) = disks.sim.vm("around")["disks"]
    return disks.sim.read_disk("around", key=disk["key"], length=4 * MIB)


@pytest.mark.parametrize("target", [TARGET, "[LocalDS_0] images/below/deep/b.vmdk"])
def test_a_folder_is_made_as_an_object_and_the_disk_moved_into_it(vsan, target):
    ran = vsan.run(**vsan.asked, datastore_path=target)
    assert one(ran.result)["actions"] == ["imported"]
    assert ran.called("CreateDirectory") == 1
    assert content_of(vsan, target) == vsan.content
    assert not vsan.sim.govc("find", "/DC0/vm", "-name", "vforge-import-*")
    again = vsan.run(**vsan.asked, datastore_path=target)
    assert (again.result["changed"], again.called("CreateDirectory"), again.called("ImportVApp")) == (False, 0, 0)


def test_a_folder_that_is_there_is_used(vsan):
    vsan.sim.govc("datastore.mkdir", "-namespace", "-ds", "LocalDS_0", "images")
    ran = vsan.run(**vsan.asked, datastore_path=TARGET)
    assert (ran.result["changed"], ran.called("CreateDirectory")) == (True, 0)
    copy = vsan.run(state="copied", datastore_path=TARGET, destination="[LocalDS_0] copies/c.vmdk")
    assert (copy.result["changed"], copy.called("CreateDirectory")) == (True, 1)
    assert content_of(vsan, "[LocalDS_0] copies/c.vmdk") == vsan.content
    gone = vsan.run(state="absent", datastore_path=TARGET)
    assert (gone.result["changed"], vsan.run(state="absent", datastore_path=TARGET).result["changed"]) == (True, False)
    listed = vsan.sim.govc("datastore.ls", "-ds", "LocalDS_0", "images")
    assert not listed[0].get("file")


@pytest.mark.parametrize("target", [TARGET, "[LocalDS_0] images/below/b.vmdk"])
def test_a_disk_that_a_vm_has_by_another_name_is_neither_deleted_nor_replaced(vsan, target):
    """vCenter lists it by the UUID of its topmost folder, and deletes and replaces it by both names."""
    vsan.run(**vsan.asked, datastore_path=target)
    content_of(vsan, target)
    (disk,) = vsan.sim.vm("around")["disks"]
    assert disk["files"] != [target]
    for path in (target, disk["files"][0]):
        for asked in ({"state": "absent"}, {**vsan.asked, "force": True}):
            for check in (True, False):
                refused = vsan.attempt(check=check, datastore_path=path, **asked)
                assert (refused.error.error_code, "belongs to around" in str(refused.error)) == ("in_use", True)
    vsan.sim.govc("device.remove", "-vm", "around", "-keep", "disk-*")
    gone = vsan.run(state="absent", datastore_path=target)
    assert (gone.result["changed"], gone.called("ConvertNamespacePathToUuidPath")) == (True, 1)


def test_a_disk_of_a_running_vm_is_not_copied(vsan):
    vsan.sim.create_vm("on-1", datastore="LocalDS_0", disks=[{"bytes": MIB}])
    (disk,) = vsan.sim.vm("on-1")["disks"]
    asked = {"state": "copied", "datastore_path": disk["files"][0], "destination": "[LocalDS_0] copies/b.vmdk"}
    for check in (True, False):
        refused = vsan.attempt(check=check, **asked)
        assert (refused.error.error_code, "on-1 is poweredOn" in str(refused.error)) == ("in_use", True)


def test_a_vm_around_a_disk_is_made_once(vsan):
    """The second run finds its disk by the name that vCenter has for it."""
    vsan.run(**vsan.asked, datastore_path=TARGET)
    vms = Vms(vsan.sim)
    asked = {"name": "around", "disks": [TARGET], "cpus": 1, "memory": 512, "networks": ["VM Network"]}
    assert vms.run(**asked).result["changed"]
    again = vms.run(**asked)
    assert (again.result["changed"], again.called("ConvertNamespacePathToUuidPath")) == (False, 1)
    other = vms.attempt(**{**asked, "disks": ["[LocalDS_0] images/c.vmdk"]})
    assert other.error.error_code == "exists"


def test_a_disk_whose_real_folder_cannot_be_had_is_left_alone(vsan):
    vsan.run(**vsan.asked, datastore_path=TARGET)
    vsan.sim.inject(method="ConvertNamespacePathToUuidPath", do="fault", fault="InvalidDatastorePath")
    failed = vsan.attempt(state="absent", datastore_path=TARGET)
    assert (failed.error.error_code, failed.called("DeleteVirtualDisk_Task")) == ("invalid_datastore_path", 0)


def test_a_disk_outside_of_folders_is_refused_before_anything_is_sent(vsan):
    refused = vsan.attempt(**vsan.asked, datastore_path="[LocalDS_0] b.vmdk", check=True)
    assert refused.error.details["option"] == "datastore_path"
    assert "no files outside of folders" in str(refused.error)


def test_who_may_not_make_the_folder_learns_which_privilege_is_missing(vsan):
    vsan.sim.inject(method="CreateDirectory", do="fault", fault="NoPermission")
    failed = vsan.attempt(**vsan.asked, datastore_path=TARGET)
    assert failed.error.error_code == "no_permission"
    # The disk was not taken off its VM yet, and went with it.
    assert not vsan.sim.govc("find", "/DC0/vm", "-name", "vforge-import-*")
    assert [file for file in vsan.sim.request("GET", "/orphans")["files"] if "vforge-import" in file] == []


# How vCenter lists topmost folders of vSAN and vVols.
_REAL_NAMES = (
    "59427457-6c5a-a917-7997-0200103eedbc",
    "rfc4122.6aceca6c-e364-47b7-b31b-59ed0a908046",
    "naa.60002AC0000000000100BB4D0002107C",
)
_OTHER_NAMES = ("images", "rfc4122.images", "naa.images", "rfc4122.naa.60002AC0000000000100BB4D0002107C", "0" * 36)


@pytest.mark.parametrize("name", _REAL_NAMES)
@pytest.mark.parametrize("kind", directories.OF_OBJECTS)
def test_a_folder_by_its_real_name_has_no_other(name, kind):
    path = DatastorePath("Objects", f"{name}/a.vmdk")
    # No session: vCenter is not asked.
    assert directories.names_of(None, None, kind, "ds:///vmfs/volumes/objects/", path) == {str(path)}


def test_the_disk_of_a_killed_import_is_known_by_the_folder_that_vcenter_has_made():
    vm = importing.name_of("0123456789abcdef")
    own = [f"[Objects] {vm}/disk-0.vmdk", f"[Objects] {vm}_1/disk-0.vmdk"]
    own += [f"[Objects] {name}/{vm}{more}.vmdk" for name in _REAL_NAMES for more in ("", "_1")]
    others = [f"[Objects] {name}/{vm}.vmdk" for name in _OTHER_NAMES]
    others += [f"[Objects] {name}/web.vmdk" for name in _REAL_NAMES]
    others += [f"[Objects] a/{own[2].partition('] ')[2]}"]
    assert [path for path in own + others if importing._is_of_import(vm, path)] == own
