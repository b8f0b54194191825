# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which transport leads to a disk, and why another one does not: the rules, and how a machine knows which VM it is."""

from __future__ import annotations

import dataclasses
import pathlib
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vforge.vsphere.plugins.module_utils._vsphere import proxy as proxies
from ansible_collections.vforge.vsphere.plugins.module_utils._vsphere import transports
from ansible_collections.vforge.vsphere.plugins.module_utils._vsphere.disks import Disk
from ansible_collections.vforge.vsphere.plugins.module_utils._vsphere.transports import Proxy, Store, Subject

DISK = Disk(2000, "Hard disk 1", "scsi0:0", ("[one] web/web.vmdk",), 1 << 20, uuid="6000c29a-0000-0000-0000-000000000001")
VM = Subject("vm-1", "poweredOff", "/DC0", {"one": Store("VMFS", frozenset({"host-1"}))})
PROXY = Proxy("vm-9", "/DC0/vm/proxy", "/DC0", "host-1", frozenset({"VMFS"}), frozenset(), ((1000, 1),))


@pytest.mark.parametrize(
    ("config", "seen"),
    [
        ({"disk.EnableUUID": "TRUE"}, True),
        ({"disk.enableUUID": "true"}, True),
        ({"disk.EnableUUID": "1", "other": "x"}, True),
        ({"disk.EnableUUID": "FALSE"}, False),
        ({"disk.EnableUUID": ""}, False),
        ({}, False),
    ],
)
def test_whether_a_guest_sees_the_uuids_of_its_disks(config, seen):
    assert proxies.names_disks(config) is seen


def disk(**changed):
    return dataclasses.replace(DISK, **changed)


def vm(**changed):
    return dataclasses.replace(VM, **changed)


def proxy(**changed):
    return dataclasses.replace(PROXY, **changed)


def store(kind, *hosts):
    return {"one": Store(kind, frozenset(hosts))}


_TWO = ("[one] web/web-000001.vmdk", "[one] web/web.vmdk")


@pytest.mark.parametrize(
    ("subject", "subject_disk", "why"),
    [
        (VM, DISK, ""),
        (vm(power_state="poweredOn"), DISK, "the VM is poweredOn, and its host has locked the file"),
        (vm(power_state="suspended"), DISK, "the VM is suspended, and its host has locked the file"),
        (VM, disk(files=_TWO), "it is a delta disk, whose content is in several files"),
        (vm(stores=store("vsan")), DISK, "vSAN has no files of disks"),
        (vm(stores=store("VVOL")), DISK, "a datastore of the kind VVOL has no files of disks"),
        (VM, disk(encrypted=True), "it is encrypted, and so is its file"),
        (VM, disk(backing="RawDiskMappingVer1"), "its backing is RawDiskMappingVer1"),
    ],
)
def test_ranges_over_the_datastore(subject, subject_disk, why):
    assert transports.datastore_http(subject, subject_disk) == why


@pytest.mark.parametrize(
    ("subject", "subject_disk", "why"),
    [
        (VM, DISK, ""),
        (vm(power_state="poweredOn"), DISK, ""),
        (VM, disk(mode="independent_persistent"), ""),
        (
            vm(power_state="poweredOn"),
            disk(mode="independent_persistent"),
            "independent disks and raw devices are in no snapshot",
        ),
        (VM, disk(encrypted=True), "it is encrypted, and vCenter exports no encrypted disks"),
    ],
)
def test_an_export_lease(subject, subject_disk, why):
    assert transports.export(subject, subject_disk) == why


@pytest.mark.parametrize(
    ("subject", "subject_disk", "of", "why"),
    [
        (VM, DISK, PROXY, ""),
        (vm(power_state="poweredOn"), disk(files=_TWO, backing="SeSparse"), PROXY, ""),
        (VM, DISK, "there is none", "there is none"),
        (vm(moid="vm-9"), DISK, PROXY, "it is the VM that the module runs in, which has its own disks already"),
        (VM, DISK, proxy(datacenter="/DC1"), "/DC0/vm/proxy, where the module runs, is in another datacenter"),
        (VM, disk(backing="RawDiskMappingVer1"), PROXY, "its backing is RawDiskMappingVer1"),
        (VM, disk(unit="ide0:0"), PROXY, "it is an IDE disk, and only SCSI disks can be attached to a running VM"),
        (VM, disk(uuid=""), PROXY, "it has no UUID by which it could be found in the guest"),
        (VM, DISK, proxy(host="host-2"), "the host of /DC0/vm/proxy does not have the datastore of [one] web/web.vmdk"),
        (vm(stores={}), DISK, PROXY, "the host of /DC0/vm/proxy does not have the datastore of [one] web/web.vmdk"),
        (vm(stores=store("vsan", "host-1")), DISK, PROXY, "it is on vSAN, and /DC0/vm/proxy is not, or not all of it"),
        (vm(stores=store("vsan", "host-1")), DISK, proxy(kinds=frozenset({"vsan"})), ""),
        (
            vm(stores=store("vsan", "host-1")),
            DISK,
            proxy(kinds=frozenset({"vsan", "NFS"})),
            "it is on vSAN, and /DC0/vm/proxy is not, or not all of it",
        ),
        (VM, disk(encrypted=True), PROXY, "it is encrypted, and /DC0/vm/proxy is not"),
        (vm(encrypted=True), DISK, PROXY, "it is encrypted, and /DC0/vm/proxy is not"),
        (vm(encrypted=True), DISK, proxy(encrypted=True), ""),
        (
            VM,
            DISK,
            proxy(uuids=frozenset({DISK.uuid})),
            "/DC0/vm/proxy has a disk with the same UUID already, and the guest could not tell them apart",
        ),
        (VM, DISK, proxy(slots=()), "no SCSI controller of /DC0/vm/proxy has a free place"),
        (
            VM,
            DISK,
            proxy(names_disks=False),
            "/DC0/vm/proxy has not disk.EnableUUID = TRUE in its extraConfig, so its guest could not find the disk",
        ),
    ],
)
def test_hotadd(subject, subject_disk, of, why):
    assert transports.hotadd(subject, subject_disk, of) == why


@pytest.mark.parametrize(
    ("subject", "unit", "of", "why"),
    [
        (VM, "scsi0:1", PROXY, ""),
        (vm(power_state="poweredOn"), "sata0:1", PROXY, ""),
        (VM, "scsi0:1", "there is none", "there is none"),
        (vm(moid="vm-9"), "scsi0:1", PROXY, "it is the VM that the module runs in, which has its own disks already"),
        (VM, "scsi0:1", proxy(datacenter="/DC1"), "/DC0/vm/proxy, where the module runs, is in another datacenter"),
        (VM, "ide0:0", PROXY, "it is an IDE disk, and only SCSI disks can be attached to a running VM"),
        (VM, "scsi0:1", proxy(host="host-2"), "the host of /DC0/vm/proxy does not have the datastore one"),
        (vm(stores=store("vsan", "host-1")), "scsi0:1", PROXY, "it is on vSAN, and /DC0/vm/proxy is not, or not all of it"),
        (vm(stores=store("vsan", "host-1")), "scsi0:1", proxy(kinds=frozenset({"vsan"})), ""),
        (VM, "scsi0:1", proxy(slots=()), "no SCSI controller of /DC0/vm/proxy has a free place"),
    ],
)
def test_hotadd_of_a_new_disk(subject, unit, of, why):
    assert transports.hotadd_new(subject, unit, "one", of) == why


def firmware(folder, vendor, product_uuid):
    (folder / "sys_vendor").write_text(f"{vendor}\n", encoding="ascii")
    if product_uuid is not None:
        (folder / "product_uuid").write_text(f"{product_uuid}\n", encoding="ascii")
    return str(folder)


def test_a_machine_is_looked_for_in_both_byte_orders(tmp_path):
    found = proxies.machine_uuids(firmware(tmp_path, "VMware, Inc.", "33221100-5544-7766-8899-AABBCCDDEEFF"))
    assert found == ["33221100-5544-7766-8899-aabbccddeeff", "00112233-4455-6677-8899-aabbccddeeff"]


@given(st.uuids())
def test_both_byte_orders_of_a_uuid_name_the_same_vms(known):
    other = uuid.UUID(bytes=known.bytes_le)
    assert uuid.UUID(bytes=other.bytes_le) == known


@pytest.mark.parametrize(
    ("vendor", "product_uuid", "why"),
    [
        ("QEMU", "33221100-5544-7766-8899-aabbccddeeff", "is no VM of vSphere"),
        ("VMware, Inc.", "Not Settable", "has no UUID"),
        ("VMware, Inc.", None, "has no UUID"),
    ],
)
def test_a_machine_that_is_no_vm_or_does_not_say_which(tmp_path, vendor, product_uuid, why):
    assert why in proxies.machine_uuids(firmware(tmp_path, vendor, product_uuid))


def test_a_machine_whose_firmware_is_not_there(tmp_path):
    assert "is no VM of vSphere" in proxies.machine_uuids(str(tmp_path / "none"))


def test_a_uuid_that_only_root_may_read(tmp_path, monkeypatch):
    folder = firmware(tmp_path, "VMware, Inc.", "33221100-5544-7766-8899-aabbccddeeff")
    real = pathlib.Path.read_text

    def refused(path, **how):
        # Root, which tests may be, can read all.
        if path.name == "product_uuid":
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, **how)

    monkeypatch.setattr(pathlib.Path, "read_text", refused)
    assert "only root may read" in proxies.machine_uuids(folder)
