# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The descriptor that an export writes, read by those who read descriptors."""

from __future__ import annotations

import dataclasses
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.vforge.vsphere.plugins.module_utils import _descriptor as descriptor
from ansible_collections.vforge.vsphere.plugins.module_utils._descriptor import (
    OVF,
    RASD,
    VMW,
    Content,
    DiskFile,
    OtherFile,
)
from ansible_collections.vforge.vsphere.plugins.module_utils._ovf import descriptor as reader
from ansible_collections.vforge.vsphere.plugins.module_utils._ovf import manifest as manifests
from ansible_collections.vforge.vsphere.plugins.module_utils._vsphere.hardware import (
    IDE,
    SCSI,
    STORAGE,
    Card,
    Controller,
    Drive,
    HardDisk,
    Machine,
    Product,
    Property,
    digest_of,
    exported_extra,
    withheld,
)

HIDDEN = "a-secret-of-somebody"

MACHINE = Machine(
    name="web-1",
    guest_id="ubuntu64Guest",
    guest_name="Ubuntu Linux (64-bit)",
    version="vmx-19",
    cpus=4,
    cores_per_socket=2,
    memory_mib=3072,
    annotation="Serves <pages> & more",
    settings=(("firmware", "efi"), ("bootOptions.efiSecureBootEnabled", "true")),
    extra=(
        ("disk.EnableUUID", "TRUE"),
        ("guestinfo.userdata", HIDDEN),
        ("guestinfo.role", "web"),
        ("sched.swap.derivedName", "/vmfs/volumes/x/web-1.vswp"),
        ("vforge.clone", "a b"),
        ("nvram", "web-1.nvram"),
    ),
    controllers=(
        Controller(200, IDE, "", 0, "IDE 0"),
        Controller(1000, SCSI, "VirtualSCSI", 0, "SCSI controller 0"),
        Controller(31000, STORAGE, "vmware.nvme.controller", 0, "NVME controller 0"),
    ),
    disks=(
        HardDisk(2000, "Hard disk 1", 1000, 0, "ParaVirtualSCSIController0:0", 8 * 2**30),
        HardDisk(32000, "Hard disk 2", 31000, 3, "VirtualNVMEController0:3", 3 * 2**20 + 512),
    ),
    cards=(
        Card("Network adapter 1", "VmxNet3", "VM Network", connected=True),
        Card("Network adapter 2", "E1000e", "VM Network", connected=False),
    ),
    drives=(Drive("CD/DVD drive 1", 200, 1),),
    products=(Product(name="Shop", vendor="Somebody", version="1.2"),),
    properties=(
        Property("hostname", default="web", value="web-1", label="Name"),
        Property("admin", kind="password(8..)", default="changeme", value=HIDDEN),
        Property("size", kind='string["small", "large"]', default="small"),
        Property("mtu", kind="int(576..9000)", value="1500"),
        Property("address", kind="ip:VM Network", configurable=True),
    ),
    transports=("com.vmware.guestInfo",),
)
CONTENT = Content(
    disks=(
        DiskFile(MACHINE.disks[0], "web-1-disk1.vmdk", 70_000, populated=2**20),
        DiskFile(MACHINE.disks[1], "web-1-disk2.vmdk", 65_536),
    ),
    nvram=OtherFile("web-1.nvram", 8684),
    extra=exported_extra(MACHINE, ()),
)


def _written(machine=MACHINE, content=CONTENT):
    return ET.fromstring(descriptor.descriptor(machine, content))


def _items(envelope):
    """Each item as a mapping of what is in it."""
    found = envelope.iter(f"{{{OVF}}}Item")
    return [{child.tag.rpartition("}")[2]: child.text for child in item} for item in found]


def test_our_own_reader_takes_it_with_files_disks_networks_and_properties():
    found = reader.parse(descriptor.descriptor(MACHINE, CONTENT), "web-1.ovf")
    assert [(file.href, file.size) for file in found.files] == [
        ("web-1-disk1.vmdk", 70_000),
        ("web-1-disk2.vmdk", 65_536),
        ("web-1.nvram", 8684),
    ]
    assert [(disk.capacity, disk.file) for disk in found.disks] == [(8 * 2**30, "file1"), (3 * 2**20 + 512, "file2")]
    assert found.networks == ("VM Network",)
    assert found.properties == ("hostname", "admin", "size", "mtu", "address")
    assert found.kinds["mtu"] == "sint32"


def test_the_devices_are_at_their_places():
    items = _items(_written())
    by_number = {item["InstanceID"]: item for item in items}
    disks = [item for item in items if item["ResourceType"] == "17"]
    places = [(by_number[disk["Parent"]]["ResourceSubType"], disk["AddressOnParent"]) for disk in disks]
    assert places == [("VirtualSCSI", "0"), ("vmware.nvme.controller", "3")]
    assert [disk["HostResource"] for disk in disks] == ["ovf:/disk/vmdisk1", "ovf:/disk/vmdisk2"]
    drive = next(item for item in items if item["ResourceType"] == "15")
    assert by_number[drive["Parent"]]["ElementName"] == "IDE 0"
    cards = [
        (item["ResourceSubType"], item["Connection"], item["AutomaticAllocation"]) for item in items if "Connection" in item
    ]
    assert cards == [("VmxNet3", "VM Network", "true"), ("E1000e", "VM Network", "false")]
    assert [item["VirtualQuantity"] for item in items[:2]] == ["4", "3072"]
    assert items[0]["CoresPerSocket"] == "2"


def test_what_is_in_an_item_is_in_the_order_of_the_alphabet_as_cim_wants_it():
    for item in _written().iter(f"{{{OVF}}}Item"):
        names = [child.tag for child in item if child.tag.startswith(f"{{{RASD}}}")]
        assert names == sorted(names)


def test_firmware_nvram_and_safe_pairs_of_extra_config_go_along():
    envelope = _written()
    config = {each.get(f"{{{VMW}}}key"): each.get(f"{{{VMW}}}value") for each in envelope.iter(f"{{{VMW}}}Config")}
    extra = {each.get(f"{{{VMW}}}key"): each.get(f"{{{VMW}}}value") for each in envelope.iter(f"{{{VMW}}}ExtraConfig")}
    assert config["firmware"] == "efi"
    assert config["bootOptions.efiSecureBootEnabled"] == "true"
    assert extra == {"disk.EnableUUID": "TRUE", "nvram": "ovf:/file/file3"}


def test_no_secret_goes_along_unless_it_is_asked_for():
    assert HIDDEN not in descriptor.descriptor(MACHINE, CONTENT).decode()
    assert "changeme" not in descriptor.descriptor(MACHINE, CONTENT).decode()
    asked = dataclasses.replace(CONTENT, property_values=True, extra=exported_extra(MACHINE, ["GuestInfo.UserData"]))
    assert descriptor.descriptor(MACHINE, asked).decode().count(HIDDEN) == 2
    assert withheld(MACHINE, ()) == ["guestinfo.role", "guestinfo.userdata"]
    assert withheld(MACHINE, ["guestinfo.userdata"]) == ["guestinfo.role"]


def test_no_key_of_ours_goes_along_even_if_it_is_asked_for():
    assert "vforge.clone" not in dict(exported_extra(MACHINE, ["vforge.clone", "nvram"]))


def test_a_property_keeps_its_type_and_its_limits():
    found = {each.get(f"{{{OVF}}}key"): each for each in _written().iter(f"{{{OVF}}}Property")}
    told = {key: (each.get(f"{{{OVF}}}type"), each.get(f"{{{OVF}}}qualifiers")) for key, each in found.items()}
    assert told == {
        "hostname": ("string", None),
        "admin": ("string", "MinLen(8)"),
        "size": ("string", 'ValueMap{"small", "large"}'),
        "mtu": ("sint32", "MinValue(576),MaxValue(9000)"),
        "address": ("string", None),
    }
    assert found["admin"].get(f"{{{OVF}}}password") == "true"
    assert found["hostname"].get(f"{{{OVF}}}value") == "web"
    assert found["address"].get(f"{{{VMW}}}qualifiers") == 'Ip("VM Network")'


def test_the_populated_size_is_there_where_it_is_known():
    disks = list(_written().iter(f"{{{OVF}}}Disk"))
    assert [disk.get(f"{{{OVF}}}populatedSize") for disk in disks] == [str(2**20), None]


@pytest.mark.parametrize(
    ("guest", "number"),
    [("ubuntu64Guest", "94"), ("rhel9_64Guest", "80"), ("windows2019srvNext_64Guest", "116"), ("fantasyGuest", "1")],
)
def test_the_guest_is_named_by_vspheres_own_word_and_by_a_number_of_cim(guest, number):
    section = next(_written(dataclasses.replace(MACHINE, guest_id=guest)).iter(f"{{{OVF}}}OperatingSystemSection"))
    assert section.get(f"{{{VMW}}}osType") == guest
    assert section.get(f"{{{OVF}}}id") == number


_TEXT = st.text(st.characters(blacklist_categories=("Cs", "Cc")), max_size=40)


@given(name=_TEXT.filter(str.strip), annotation=_TEXT, value=_TEXT.filter(bool))
def test_any_text_comes_back_as_it_was(name, annotation, value):
    machine = dataclasses.replace(MACHINE, name=name, annotation=annotation, extra=(("svga.note", value),))
    envelope = _written(machine, dataclasses.replace(CONTENT, extra=exported_extra(machine, ())))
    assert next(envelope.iter(f"{{{OVF}}}Name")).text == name
    assert [each.text for each in envelope.iter(f"{{{OVF}}}Annotation")] == ([annotation] if annotation else [])
    assert value in [each.get(f"{{{VMW}}}value") for each in envelope.iter(f"{{{VMW}}}ExtraConfig")]


def test_the_manifest_is_in_the_form_that_the_standard_has():
    text = descriptor.manifest([("web-1.ovf", "a" * 64), ("web-1-disk1.vmdk", "b" * 64)])
    found = manifests.parse(text, "web-1.mf")
    assert found.oddities == ()
    assert found.digests["web-1-disk1.vmdk"] == ("sha256", "b" * 64)


def test_the_digest_of_a_machine_says_how_it_is_and_not_where_it_is():
    disk = MACHINE.disks[0]
    moved = dataclasses.replace(disk, files=("[b] web-1/web-1.vmdk",), content="12ab", stored=5, change_id="x")
    elsewhere = dataclasses.replace(MACHINE, disks=(moved, MACHINE.disks[1]))
    assert digest_of(MACHINE) == digest_of(elsewhere)
    assert digest_of(MACHINE) != digest_of(dataclasses.replace(MACHINE, memory_mib=4096))
    assert digest_of(MACHINE) != digest_of(MACHINE, "ova")
