# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The OVF descriptor that is written for a VM (DMTF DSP0243), and the manifest. Pure.

It is written here and not by vCenter's ``OvfManager.CreateDescriptor``: that one leaves out what
makes a VM start again elsewhere (firmware settings on some releases, extraConfig, NVRAM), takes its
sizes from whoever calls it, and describes the VM of now, where the disks are those of a snapshot.
"""

from __future__ import annotations

import dataclasses
import re
import typing as t
import xml.etree.ElementTree as ET

from ._vsphere.hardware import IDE, SCSI, STORAGE, USB, Card, Drive, HardDisk, Machine, Product, Property

OVF = "http://schemas.dmtf.org/ovf/envelope/1"
_CIM = "http://schemas.dmtf.org/wbem/wscim/1"
RASD = f"{_CIM}/cim-schema/2/CIM_ResourceAllocationSettingData"
VSSD = f"{_CIM}/cim-schema/2/CIM_VirtualSystemSettingData"
VMW = "http://www.vmware.com/schema/ovf"
_SPACES = {"ovf": OVF, "rasd": RASD, "vssd": VSSD, "vmw": VMW, "cim": f"{_CIM}/common"}

STREAM_OPTIMIZED = "http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized"

# CIM's numbers of the kinds of hardware.
_CPU, _MEMORY, _ETHERNET, _CDROM, _DISK = 3, 4, 10, 15, 17

# CIM's numbers of operating systems, by what vSphere's begin with; the longest that fits counts.
# vSphere itself goes by vmw:osType.
_SYSTEMS = (
    ("ubuntu64", 94),
    ("ubuntu", 93),
    ("debian", 96),
    ("rhel", 80),
    ("centos", 107),
    ("oraclelinux", 109),
    ("sles", 85),
    ("opensuse", 83),
    ("freebsd", 78),
    ("windows2019srv", 116),
    ("windows9", 120),
    ("windows8server", 116),
    ("other3xlinux64", 101),
    ("other", 1),
)
_OTHER = 1


@dataclasses.dataclass(frozen=True)
class DiskFile:
    """The file of a disk.

    :ivar size: of the file itself, in bytes.
    :ivar populated: bytes of the disk that are in use; None where that is not known.
    """

    disk: HardDisk
    href: str
    size: int
    populated: int | None = None


@dataclasses.dataclass(frozen=True)
class OtherFile:
    """The NVRAM of a VM: its firmware's settings."""

    href: str
    size: int


@dataclasses.dataclass(frozen=True)
class Content:
    """What a package has besides the machine.

    :ivar extra: pairs of extraConfig that go along.
    :ivar property_values: whether values that were set go along, those of passwords too.
    """

    disks: tuple[DiskFile, ...]
    nvram: OtherFile | None = None
    extra: tuple[tuple[str, str], ...] = dataclasses.field(default=(), repr=False)
    property_values: bool = False


def descriptor(machine: Machine, content: Content) -> bytes:
    """The descriptor, as it is written to a file."""
    for prefix, space in _SPACES.items():
        ET.register_namespace(prefix, space)
    envelope = ET.Element(_ovf("Envelope"))
    _references(envelope, content)
    _disks(envelope, content)
    _networks(envelope, machine)
    _system(envelope, machine, content)
    ET.indent(envelope)
    text: str = ET.tostring(envelope, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'.encode()


def manifest(digests: t.Iterable[tuple[str, str]]) -> bytes:
    """The manifest.

    :param digests: names of files with their SHA-256, the descriptor first.
    """
    return "".join(f"SHA256({name})= {digest}\n" for name, digest in digests).encode()


def _ovf(name: str) -> str:
    return f"{{{OVF}}}{name}"


def _add(parent: ET.Element, tag: str, text: str | None = None, /, **attributes: str) -> ET.Element:
    """An element of OVF, with attributes of OVF."""
    element = ET.SubElement(parent, _ovf(tag), {_ovf(key): value for key, value in attributes.items()})
    element.text = text
    return element


def _section(parent: ET.Element, tag: str, info: str, /, **attributes: str) -> ET.Element:
    section = _add(parent, tag, **attributes)
    _add(section, "Info", info)
    return section


def _references(envelope: ET.Element, content: Content) -> None:
    references = _add(envelope, "References")
    files: list[DiskFile | OtherFile] = [
        *content.disks,
        *([content.nvram] if content.nvram else []),
    ]
    for number, file in enumerate(files, 1):
        _add(references, "File", href=file.href, id=f"file{number}", size=str(file.size))


def _disks(envelope: ET.Element, content: Content) -> None:
    section = _section(envelope, "DiskSection", "Virtual disks")
    for number, file in enumerate(content.disks, 1):
        populated = {"populatedSize": str(file.populated)} if file.populated is not None else {}
        _add(
            section,
            "Disk",
            capacity=str(file.disk.capacity),
            capacityAllocationUnits="byte",
            diskId=f"vmdisk{number}",
            fileRef=f"file{number}",
            format=STREAM_OPTIMIZED,
            **populated,
        )


def _networks(envelope: ET.Element, machine: Machine) -> None:
    section = _section(envelope, "NetworkSection", "Networks")
    for name in machine.networks:
        _add(_add(section, "Network", name=name), "Description", f"The network {name}")


def _system(envelope: ET.Element, machine: Machine, content: Content) -> None:
    system = _section(envelope, "VirtualSystem", "A virtual machine", id=machine.name)
    _add(system, "Name", machine.name)
    _operating_system(system, machine)
    _hardware(system, machine, content)
    if machine.annotation:
        _add(_section(system, "AnnotationSection", "An annotation"), "Annotation", machine.annotation)
    for product, properties in _by_product(machine):
        _product(system, product, properties, values=content.property_values)


def _operating_system(system: ET.Element, machine: Machine) -> None:
    low = machine.guest_id.lower()
    fits = [(len(begin), number) for begin, number in _SYSTEMS if low.startswith(begin)]
    section = _section(
        system,
        "OperatingSystemSection",
        "The operating system",
        id=str(max(fits, default=(0, _OTHER))[1]),
    )
    section.set(f"{{{VMW}}}osType", machine.guest_id)
    if machine.guest_name:
        _add(section, "Description", machine.guest_name)


def _hardware(system: ET.Element, machine: Machine, content: Content) -> None:
    transport = {"transport": " ".join(machine.transports)} if machine.transports else {}
    section = _section(system, "VirtualHardwareSection", "Virtual hardware", **transport)
    about = _add(section, "System")
    for name, text in (
        ("ElementName", "Virtual Hardware Family"),
        ("InstanceID", "0"),
        ("VirtualSystemIdentifier", machine.name),
        ("VirtualSystemType", machine.version),
    ):
        ET.SubElement(about, f"{{{VSSD}}}{name}").text = text
    _Items(section, machine).write(content)
    for key, value in machine.settings:
        _config(section, key, value)
    for key, value in content.extra:
        _extra(section, key, value)
    if content.nvram is not None:
        _extra(section, "nvram", f"ovf:/file/file{len(content.disks) + 1}")


def _config(parent: ET.Element, key: str, value: str) -> None:
    """A setting that other products than vSphere may leave out."""
    attributes = {_ovf("required"): "false", f"{{{VMW}}}key": key, f"{{{VMW}}}value": value}
    ET.SubElement(parent, f"{{{VMW}}}Config", attributes)


def _extra(parent: ET.Element, key: str, value: str) -> None:
    attributes = {_ovf("required"): "false", f"{{{VMW}}}key": key, f"{{{VMW}}}value": value}
    ET.SubElement(parent, f"{{{VMW}}}ExtraConfig", attributes)


class _Items:
    """Writes the devices; each gets the next number, and devices name their controllers by theirs."""

    def __init__(self, section: ET.Element, machine: Machine) -> None:
        self._section = section
        self._machine = machine
        self._number = 0
        self._controllers: dict[int, str] = {}

    def write(self, content: Content) -> None:
        machine = self._machine
        cpus = {
            "AllocationUnits": "hertz * 10^6",
            "Description": "Number of Virtual CPUs",
            "VirtualQuantity": str(machine.cpus),
        }
        item = self._item(_CPU, f"{machine.cpus} virtual CPU(s)", cpus)
        ET.SubElement(item, f"{{{VMW}}}CoresPerSocket", {_ovf("required"): "false"}).text = str(machine.cores_per_socket)
        memory = {
            "AllocationUnits": "byte * 2^20",
            "Description": "Memory Size",
            "VirtualQuantity": str(machine.memory_mib),
        }
        self._item(_MEMORY, f"{machine.memory_mib}MB of memory", memory)
        for controller in machine.controllers:
            address = {"Address": str(controller.bus), "ResourceSubType": controller.subtype}
            item = self._item(
                controller.kind,
                controller.label,
                {**address, "Description": _WORDS[controller.kind]},
            )
            self._controllers[controller.key] = str(self._number)
            for key, value in controller.settings:
                _config(item, key, value)
        for number, file in enumerate(content.disks, 1):
            host = {"HostResource": f"ovf:/disk/vmdisk{number}"}
            self._item(_DISK, file.disk.label, {**host, **self._seat(file.disk)})
        for drive in machine.drives:
            kind = {
                "AutomaticAllocation": "false",
                "ResourceSubType": "vmware.cdrom.remotepassthrough",
            }
            item = self._item(_CDROM, drive.label, {**kind, **self._seat(drive)})
            item.set(_ovf("required"), "false")
        for card in machine.cards:
            self._card(card)

    def _card(self, card: Card) -> None:
        network = {"Connection": card.network} if card.network else {}
        about = {
            "AutomaticAllocation": "true" if card.connected else "false",
            "Description": f"{card.subtype} ethernet adapter",
            "ResourceSubType": card.subtype,
        }
        item = self._item(_ETHERNET, card.label, {**about, **network})
        for key, value in card.settings:
            _config(item, key, value)

    def _seat(self, device: HardDisk | Drive) -> dict[str, str]:
        parent = self._controllers.get(device.controller)
        return {"AddressOnParent": str(device.unit), "Parent": parent} if parent is not None else {}

    def _item(self, kind: int, name: str, values: t.Mapping[str, str]) -> ET.Element:
        """An item; CIM wants what is in it in the order of the alphabet."""
        self._number += 1
        item = _add(self._section, "Item")
        whole = {
            **values,
            "ElementName": name,
            "InstanceID": str(self._number),
            "ResourceType": str(kind),
        }
        for key in sorted(whole):
            if whole[key]:
                ET.SubElement(item, f"{{{RASD}}}{key}").text = whole[key]
        return item


_WORDS = {
    IDE: "IDE Controller",
    SCSI: "SCSI Controller",
    STORAGE: "Storage Controller",
    USB: "USB Controller",
}


# Products and properties


def _by_product(machine: Machine) -> list[tuple[Product, list[Property]]]:
    """Each product with its properties; those of no product are of one without a name."""
    found: dict[tuple[str, str], tuple[Product, list[Property]]] = {}
    for product in machine.products:
        found.setdefault((product.class_id, product.instance_id), (product, []))
    for each in machine.properties:
        place = (each.class_id, each.instance_id)
        found.setdefault(place, (Product(each.class_id, each.instance_id), []))[1].append(each)
    return list(found.values())


def _product(system: ET.Element, product: Product, properties: t.Sequence[Property], *, values: bool) -> None:
    names = {"class": product.class_id, "instance": product.instance_id}
    section = _section(
        system,
        "ProductSection",
        "Information about the installed software",
        **{key: text for key, text in names.items() if text},
    )
    for name, text in (
        ("Product", product.name),
        ("Vendor", product.vendor),
        ("Version", product.version),
        ("FullVersion", product.full_version),
        ("ProductUrl", product.product_url),
        ("VendorUrl", product.vendor_url),
        ("AppUrl", product.app_url),
    ):
        if text:
            _add(section, name, text)
    category = ""
    for each in properties:
        if each.category != category:
            category = each.category
            _add(section, "Category", category)
        _property(section, each, values=values)


def _property(section: ET.Element, each: Property, *, values: bool) -> None:
    kind = _kind(each.kind)
    attributes = {
        "key": each.id,
        "type": kind.type,
        "userConfigurable": "true" if each.configurable else "false",
    }
    if kind.qualifiers:
        attributes["qualifiers"] = kind.qualifiers
    if each.password:
        attributes |= {"password": "true"}
    # A default is the package's own; one of a password is a secret all the same.
    value = each.value or each.default if values else "" if each.password else each.default
    if value:
        attributes["value"] = value
    element = _add(section, "Property", **attributes)
    if kind.own:
        element.set(f"{{{VMW}}}qualifiers", kind.own)
    if each.label:
        _add(element, "Label", each.label)
    if each.description:
        _add(element, "Description", each.description)


class _Kind(t.NamedTuple):
    """A type of OVF, with what limits it: the standard's qualifiers, and VMware's own."""

    type: str
    qualifiers: str = ""
    own: str = ""


def _kind(text: str) -> _Kind:
    """What vSphere's type of a property is in OVF (API reference, VAppPropertyInfo.type)."""
    name, _bracket, rest = text.partition("(")
    limits = re.fullmatch(r"(-?\d*)\.\.(-?\d*)\)", rest)
    if name in ("string", "password"):
        bounds = (("MinLen", limits[1]), ("MaxLen", limits[2])) if limits else ()
        return _Kind("string", ",".join(f"{word}({bound})" for word, bound in bounds if bound))
    if name in ("int", "real"):
        kind = "sint32" if name == "int" else "real32"
        bounds = (("MinValue", limits[1]), ("MaxValue", limits[2])) if limits else ()
        return _Kind(kind, ",".join(f"{word}({bound})" for word, bound in bounds if bound))
    if text == "boolean":
        return _Kind("boolean")
    choice = re.fullmatch(r"string\[(.*)\]", text, re.DOTALL)
    if choice:
        return _Kind("string", f"ValueMap{{{choice[1]}}}")
    if text == "ip" or text.startswith("ip:"):
        network = text.partition(":")[2]
        return _Kind("string", own=f'Ip("{network}")' if network else "Ip")
    return _Kind("string")
