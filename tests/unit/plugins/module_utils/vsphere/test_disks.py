# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Disks: one type for a VM's and a snapshot's, their chains, and what is a VM's own of them."""

from __future__ import annotations

import dataclasses
import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyVmomi import SoapAdapter, vim

from ansible_collections.vforge.vsphere.plugins.module_utils._connector.find import Selector, find_datacenter, find_vm
from ansible_collections.vforge.vsphere.plugins.module_utils._connector.props import Row, collect
from ansible_collections.vforge.vsphere.plugins.module_utils._disk_import.apply import import_spec
from ansible_collections.vforge.vsphere.plugins.module_utils._errors import NotSupported
from ansible_collections.vforge.vsphere.plugins.module_utils._vsphere import disks, proxy, storage
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.connector.support import session

_DEVICE = vim.vm.device
_FLAT = _DEVICE.VirtualDisk.FlatVer2BackingInfo


def _backing(*files, **values):
    """A chain of these files, the topmost first."""
    parent = _backing(*files[1:]) if files[1:] else None
    return _FLAT(fileName=files[0], diskMode="persistent", parent=parent, **values)


def _disk(key, backing, **values):
    return _DEVICE.VirtualDisk(key=key, controllerKey=1000, unitNumber=key - 2000, capacityInKB=2048, backing=backing, **values)


SCSI = _DEVICE.ParaVirtualSCSIController(key=1000, busNumber=1)


def test_a_disk_is_read_with_its_chain():
    label = vim.Description(label="Hard disk 1", summary="")
    backing = _backing("[ds] web/web-000001.vmdk", "[ds] web/web.vmdk", changeId="52 de/7", uuid="6000C29")
    (disk,) = disks.disks_in([SCSI, _disk(2000, backing, deviceInfo=label, diskObjectId="7-2000")])
    assert (disk.label, disk.unit, disk.capacity) == ("Hard disk 1", "scsi1:0", 2048 * 1024)
    assert disk.files == ("[ds] web/web-000001.vmdk", "[ds] web/web.vmdk")
    assert (disk.file, disk.levels, disk.change_id) == ("[ds] web/web-000001.vmdk", 1, "52 de/7")
    assert (disk.backing, disk.mode, disk.identity) == ("FlatVer2", "persistent", "7-2000/6000C29")


def test_disks_come_in_the_order_of_their_keys_and_without_other_devices():
    found = disks.disks_in([_disk(2001, _backing("[ds] b.vmdk")), SCSI, _disk(2000, _backing("[ds] a.vmdk"))])
    assert [(disk.key, disk.label) for disk in found] == [(2000, "disk 2000"), (2001, "disk 2001")]
    assert disks.disks_in(None) == ()


def test_a_raw_device_in_physical_mode_is_known_by_it():
    backing = _DEVICE.VirtualDisk.RawDiskMappingVer1BackingInfo(fileName="[ds] a.vmdk", compatibilityMode="physicalMode")
    (disk,) = disks.disks_in([_disk(2000, backing)])
    assert (disk.physical, disk.mode, disk.unit) == (True, "", "disk:0")


BASE, OWN = "[ds] golden/golden.vmdk", "[ds] web/web-00000{}.vmdk"


@pytest.mark.parametrize(
    ("files", "levels", "own"),
    [
        (["[ds] web/web.vmdk"], 0, 0),
        ([OWN.format(2), OWN.format(1), "[ds] web/web.vmdk"], 2, 2),
        # A linked clone: its own first delta disk is one of the golden VM's disk, and stays.
        ([OWN.format(1), BASE], 1, 0),
        ([OWN.format(2), OWN.format(1), BASE], 2, 1),
        # A disk on another datastore than the VM.
        (["[big] web/web_1-000001.vmdk", "[big] web/web_1.vmdk"], 1, 1),
    ],
)
def test_own_levels_are_those_over_a_disk_of_the_vm_itself(files, levels, own):
    (disk,) = disks.disks_in([_disk(2000, _backing(*files))], home="[ds] web/web.vmx")
    assert (disk.levels, disk.own_levels) == (levels, own)


def test_a_disk_without_a_file_has_no_levels():
    (disk,) = disks.disks_in([_disk(2000, _DEVICE.VirtualDisk.RawDiskVer2BackingInfo(deviceName="/dev/sda"))])
    assert (disk.files, disk.levels, disk.own_levels) == ((), 0, 0)


@given(own=st.integers(0, 5), shared=st.integers(0, 5))
def test_a_collapse_leaves_what_is_not_the_vm_s_own(own, shared):
    mine = [OWN.format(number) for number in range(own + 1)]
    others = [f"[ds] golden/golden-{number}.vmdk" for number in range(shared)]
    (disk,) = disks.disks_in([_disk(2000, _backing(*mine, *others))], home="[ds] web/web.vmx")
    after = disk.collapsed()
    assert (disk.own_levels, after.levels, after.own_levels) == (own, shared, 0)


@pytest.mark.parametrize(("every", "changed"), [(True, [2000, 2001]), (False, [2001])])
def test_an_empty_delta_disk_is_put_on_what_was_there(every, changed):
    layered = _disk(2000, _backing("[ds] web/web-000001.vmdk", "[ds] web/web.vmdk"))
    plain = _disk(2001, _backing("[big] web/web_1.vmdk", thinProvisioned=True))
    changes = disks.delta_changes([SCSI, layered, plain], every=every)
    assert [(change.operation, abs(change.device.key)) for change in changes] == [
        (operation, key) for key in changed for operation in ("remove", "add")
    ]
    child = changes[-1].device
    assert (child.backing.fileName, child.backing.parent, changes[-1].fileOperation) == ("[big]", plain.backing, "create")
    assert child.backing.thinProvisioned is True


@pytest.mark.parametrize("kind", ["FlatVer1", "SeSparse", "SparseVer2"])
def test_a_delta_disk_is_of_the_kind_of_the_disk_below_it(kind):
    backing = getattr(_DEVICE.VirtualDisk, f"{kind}BackingInfo")(fileName="[ds] web/web.vmdk", diskMode="persistent")
    _remove, add = disks.delta_changes([SCSI, _disk(2000, backing)], every=True)
    assert (type(add.device.backing), add.device.backing.parent) == (type(backing), backing)


@pytest.mark.parametrize(
    "backing",
    [
        _DEVICE.VirtualDisk.RawDiskMappingVer1BackingInfo(fileName="[ds] web/raw.vmdk", compatibilityMode="physicalMode"),
        _DEVICE.VirtualDisk.RawDiskMappingVer1BackingInfo(fileName="[ds] web/raw.vmdk", compatibilityMode="virtualMode"),
        _DEVICE.VirtualDisk.RawDiskVer2BackingInfo(deviceName="/dev/sda", descriptorFileName="[ds] web/raw.vmdk"),
        _DEVICE.VirtualDisk.LocalPMemBackingInfo(fileName="[pmem] web/web.vmdk", diskMode="independent_persistent"),
    ],
)
def test_what_can_have_no_delta_disk_is_named(backing):
    plain = _disk(2000, _backing("[ds] web/web.vmdk"))
    with pytest.raises(NotSupported, match="No delta disk can be put on disk 2001") as raised:
        disks.delta_changes([SCSI, plain, _disk(2001, backing)], every=False)
    assert raised.value.details["disks"] == ["disk 2001"]


# The sector format


class _OldDisk:
    """A disk as pyVmomi before 9.0 has it."""


@pytest.mark.parametrize(
    ("known", "found"), [({}, ""), ({"virtualDiskFormat": "native_512"}, ""), ({"virtualDiskFormat": "native_4k"}, "native_4k")]
)
def test_a_4kn_disk_is_known_by_its_sector_format_and_its_child_has_the_same(known, found):
    device = _disk(2000, _backing("[ds] web/web.vmdk"), **known)
    (disk,) = disks.disks_in([SCSI, device])
    assert disk.sector_format == found
    _remove, add = disks.delta_changes([SCSI, device], every=True)
    assert add.device.virtualDiskFormat == known.get("virtualDiskFormat")


def test_what_an_older_pyvmomi_lacks_is_neither_read_nor_set():
    assert disks._sector_format(_OldDisk()) == ""
    assert vars(disks.of_512_bytes(_OldDisk())) == {}


def _written(made, version):
    return "native_512" in SoapAdapter.Serialize(made, version=version).decode()


def test_a_disk_that_is_made_for_what_is_brought_in_has_sectors_of_512_bytes():
    new = proxy.created("[ds] web/new.vmdk", 2**20, (1000, 1), "thin", [])
    imported = import_spec("vforge-import-1", "ds", 2**20, "lsilogic", "thin", {}).configSpec
    for made in (new, imported):
        assert (_written(made, "vim.version.v9_0_0_0"), _written(made, "vim.version.v8_0_3_1")) == (True, False)
    assert proxy.borrowed("[ds] web/web.vmdk", 2**20, (1000, 1), "FlatVer2").device.virtualDiskFormat is None


def test_files_of_chains_come_with_their_sizes():
    file = vim.vm.FileLayoutEx.FileInfo
    layout = vim.vm.FileLayoutEx
    values = {
        "layoutEx.file": [
            file(key=0, name="[ds] a.vmdk", type="diskDescriptor", size=1, accessible=True),
            file(key=1, name="[ds] a-flat.vmdk", type="diskExtent", size=9, accessible=True),
        ],
        "layoutEx.disk": [layout.DiskLayout(key=2000, chain=[layout.DiskUnit(fileKey=[0, 1, 7])])],
    }
    (chain,) = disks.chains_in(values)
    assert [[(each.name, each.size) for each in unit] for unit in chain] == [[("[ds] a.vmdk", 1), ("[ds] a-flat.vmdk", 9)]]
    assert disks.chains_in({}) == []


# Who uses whose files


@pytest.fixture(params=["few", "many"])
def place(request, monkeypatch):
    """A datastore with few VMs, which are read at once, or with so many that most are not."""
    if request.param == "many":
        monkeypatch.setattr(disks, "_FEW", 1)


def users_of(opened, file, datacenter="DC0"):
    """The names of the VMs that use a disk."""
    where, home = storage.read(opened), find_datacenter(opened, datacenter)
    return [user.name for user in disks.users_of_files(opened, where, home, {file: {file}})[file]]


@pytest.mark.usefixtures("place")
def test_a_disk_that_another_vm_has_in_a_snapshot_alone_is_used_by_it(make_sim):
    sim = make_sim("--vms", "0")
    for name in ("web-1", "web-2"):
        sim.create_vm(name, on=False, disks=[{"bytes": 2**20}])
    where = ("-ds", "LocalDS_0", "-disk", "web-1/web-1.vmdk", "-link=false")
    sim.govc("vm.disk.attach", "-vm", "web-2", *where)
    sim.govc("snapshot.create", "-vm", "web-2", "-m=false", "with it")
    with session(sim) as opened:
        one, two = (find_vm(opened, Selector(name=name), None)._GetMoId() for name in ("web-1", "web-2"))
        file = "[LocalDS_0] web-1/web-1.vmdk"
        sim.govc("device.remove", "-vm", "web-2", "-keep", "disk-1000-1")
        assert users_of(opened, file) == ["web-1", "web-2"]
        assert disks.users(opened, [one]) == {one: {two: "web-2"}}
        assert disks.users(opened, [one], likely=True) == {one: {two: "web-2"}}
        # A disk that only a snapshot has is not the topmost one of anything, so others may stand on it.
        sim.govc("snapshot.create", "-vm", "web-1", "-m=false", "with it")
        sim.govc("device.remove", "-vm", "web-1", "-keep", "disk-1000-0")
        assert disks.users(opened, [one], likely=True) == {one: {two: "web-2"}}


@pytest.mark.usefixtures("place")
def test_what_vcenter_lists_of_files_is_older_than_what_vms_have(make_sim):
    """``layoutEx`` is what a host found at some time: it neither frees a disk nor keeps one."""
    sim = make_sim("--vms", "0")
    for name in ("base", "late", "old"):
        sim.create_vm(name, on=False, disks=[{"bytes": 2**20}])
    where = ("-ds", "LocalDS_0", "-disk", "base/base.vmdk")
    sim.govc("snapshot.create", "-vm", "base", "-m=false", "cloned")
    sim.govc("vm.disk.attach", "-vm", "old", *where, "-link=false")
    for name in ("late", "old"):
        sim.request("PATCH", f"/vms/{name}", {"files_stale": True})
    sim.govc("vm.disk.attach", "-vm", "late", *where, "-link=true")
    sim.govc("device.remove", "-vm", "old", "-keep", "disk-1000-1")
    with session(sim) as opened:
        base, late = (find_vm(opened, Selector(name=name), None)._GetMoId() for name in ("base", "late"))
        rows = {row.get("name"): row for row in collect(opened, _vms(opened), {vim.VirtualMachine: ("name", "layoutEx.file")})}
        listed = {name: {file.name for file in row.get("layoutEx.file")} for name, row in rows.items()}
        file = "[LocalDS_0] base/base.vmdk"
        assert (file in listed["late"], file in listed["old"]) == (False, True)
        assert disks.users(opened, [base], likely=True) == {base: {late: "late"}}
        assert users_of(opened, file) == ["base", "late"]


@pytest.mark.usefixtures("place")
def test_a_disk_that_a_snapshot_alone_has_is_used_whatever_vcenter_lists(make_sim):
    sim = make_sim("--vms", "0")
    for name in ("base", "other"):
        sim.create_vm(name, on=False, disks=[{"bytes": 2**20}])
    sim.request("PATCH", "/vms/other", {"files_stale": True})
    sim.govc("vm.disk.attach", "-vm", "other", "-ds", "LocalDS_0", "-disk", "base/base.vmdk", "-link=false")
    for name in ("with it", "and below"):
        sim.govc("snapshot.create", "-vm", "other", "-m=false", name)
    sim.govc("device.remove", "-vm", "other", "-keep", "disk-1000-1")
    with session(sim) as opened:
        assert users_of(opened, "[LocalDS_0] base/base.vmdk") == ["base", "other"]
        sim.govc("snapshot.remove", "-vm", "other", "*")
        assert users_of(opened, "[LocalDS_0] base/base.vmdk") == ["base"]


@pytest.fixture
def two_datacenters(make_sim, tmp_path):
    """Two datacenters with the same storage, called otherwise in each, and with datastores of one name that are not."""
    sim, shared = make_sim("--datacenters", "2", "--vms", "0"), tmp_path / "shared"
    shared.mkdir()
    for number in (0, 1):
        host = f"/DC{number}/host/DC{number}_C0/DC{number}_C0_H0"
        sim.govc("datastore.create", "-type", "local", "-name", f"shared-{number}", "-path", str(shared), host)
    return sim


@pytest.mark.usefixtures("place")
def test_vms_of_another_datacenter_with_the_same_storage_use_a_disk(two_datacenters):
    sim = two_datacenters
    for path in ("/DC0/datastore/shared-0/base", "/DC1/datastore/LocalDS_0/there", "/DC0/datastore/LocalDS_0/there"):
        datastore, name = path.rsplit("/", 1)
        sim.create_vm(name, on=False, disks=[{"bytes": 2**20}], datacenter=path.split("/")[1], datastore=datastore)
    where = ("-ds", "/DC1/datastore/shared-1", "-disk", "base/base.vmdk", "-link=false")
    sim.govc("vm.disk.attach", "-vm", "/DC1/vm/there", *where)
    with session(sim) as opened:
        paths = ("/DC0/vm/base", "/DC1/vm/there", "/DC0/vm/there")
        base, there, other = (find_vm(opened, Selector(path=path), None)._GetMoId() for path in paths)
        assert users_of(opened, "[shared-0] base/base.vmdk") == ["base", "there"]
        assert users_of(opened, "[shared-1] base/base.vmdk", "DC1") == ["base", "there"]
        assert users_of(opened, "[LocalDS_0] base/base.vmdk") == []
        # The disks of both VMs called there have one path, each in its datacenter.
        assert disks.users(opened, [base, there, other]) == {base: {there: "there"}, there: {base: "base"}, other: {}}


def test_many_vms_are_named_in_questions_of_a_bounded_length(make_sim, monkeypatch):
    monkeypatch.setattr(disks, "_MOST_NAMED", 2)
    sim = make_sim("--vms", "0")
    for number in range(5):
        sim.create_vm(f"web-{number}", on=False, disks=[])
    with session(sim) as opened:
        moids = [find_vm(opened, Selector(name=f"web-{number}"), None)._GetMoId() for number in range(5)]
        sim.reset_calls()
        assert disks.users(opened, moids, likely=True) == {moid: {} for moid in moids}
        assert sim.calls()["by_method"] == {"RetrievePropertiesEx": 3}


def _vms(opened):
    return [find_vm(opened, Selector(name=name), None) for name in ("base", "late", "old")]


def holder(**values):
    """A VM of which these properties were read."""
    row = Row(vim.VirtualMachine("vm-1"), {"name": "web-1", **values})
    return disks._holders_in([row])["vm-1"]


@pytest.mark.parametrize("said", [True, False])
@pytest.mark.parametrize(("folder", "own"), [("web/", True), ("", True), ("other/", False)])
def test_disks_of_a_vm_s_own_folder_are_its_own_also_at_the_top_of_a_datastore(folder, own, said):
    info = vim.vm.FileLayoutEx.FileInfo
    file = f"[ds] {folder}web.vmdk"
    files = [
        info(key=0, name=file, type="diskDescriptor", size=1),
        info(key=1, name=f"[ds] {folder}vmware.log", type="log", size=1),
    ]
    path = "[ds] web.vmx" if not folder else "[ds] web/web.vmx"
    values = {disks.DEVICES: [SCSI, _disk(2000, _backing(file))]} if said else {"layoutEx.file": files}
    # What a VM writes to is its own wherever it is.
    assert holder(**{"config.files.vmPathName": path, **values}).own == ({file} if own or said else set())


def snapshot_tree(*moids):
    """The snapshots of a VM."""
    now = datetime.datetime.now(datetime.UTC)
    nodes = [
        vim.vm.SnapshotTree(
            snapshot=vim.vm.Snapshot(moid), name=moid, description="", id=1, createTime=now, state="poweredOff", quiesced=False
        )
        for moid in moids
    ]
    return vim.vm.SnapshotInfo(rootSnapshotList=nodes)


@pytest.mark.parametrize(
    ("values", "known"),
    [
        ({"layoutEx.file": [], "runtime.connectionState": "inaccessible"}, True),
        ({"runtime.connectionState": "inaccessible"}, False),
        ({"runtime.connectionState": "orphaned"}, False),
        ({"runtime.connectionState": "connected"}, True),  # it is just being made
        ({"runtime.connectionState": "invalid"}, False),
        ({}, False),  # this user may not read the VM
        ({disks.DEVICES: [], "runtime.connectionState": "disconnected"}, True),
        ({disks.DEVICES: [], "snapshot": snapshot_tree("snapshot-9")}, False),  # of which nothing was read
        ({disks.DEVICES: [], "snapshot": snapshot_tree("snapshot-9"), "layoutEx.file": []}, True),
    ],
)
def test_a_vm_whose_files_vcenter_does_not_know_may_use_any(values, known):
    assert holder(**values).known is known


_NOW = datetime.datetime(2026, 5, 4, 10, 0, tzinfo=datetime.UTC)
_LONG_AGO = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


@pytest.mark.parametrize(
    ("modified", "version", "fresh"),
    [
        (_NOW, "1777888999000000000", True),
        (_NOW + datetime.timedelta(seconds=1), "1777888999000000000", False),
        (_LONG_AGO, "2026-05-04T09:59:59.123456Z", True),
        (_LONG_AGO, "2026-05-04T10:00:01Z", False),
        (_NOW, "2026-05-04T10:00:01Z", False),
        # Of these nobody knows when the configuration was changed.
        (_LONG_AGO, "7", False),
        (_LONG_AGO, "0000-00-00T00:00:00Z", False),
        (None, None, False),
    ],
)
def test_a_list_of_files_counts_while_it_is_not_older_than_the_configuration(modified, version, fresh):
    values = {"layoutEx.timestamp": _NOW, "config.modified": modified, "config.changeVersion": version}
    row = Row(vim.VirtualMachine("vm-1"), {name: value for name, value in values.items() if value is not None})
    assert disks._is_fresh(row) is fresh
    # Servers may leave out the zone of a time, which is UTC then.
    bare = {path: value.replace(tzinfo=None) for path, value in row.values.items() if isinstance(value, datetime.datetime)}
    assert disks._is_fresh(dataclasses.replace(row, values={**row.values, **bare})) is fresh
    del row.values["layoutEx.timestamp"]
    assert not disks._is_fresh(row)
