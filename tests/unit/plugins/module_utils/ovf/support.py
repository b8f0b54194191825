# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Packages for the tests, made as ovftool makes them."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import io
import tarfile
import typing as t
from pathlib import Path

import vforge_disks
from ansible_collections.vforge.vsphere.plugins.module_utils._ovf.model import OvfOptions
from ansible_collections.vforge.vsphere.plugins.modules.cached_ovf_template import argument_spec
from ansible_collections.vforge.vsphere.tests.unit.plugins.accepted import accepted

_NAMESPACES = (
    'xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1" '
    'xmlns:rasd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData" '
    'xmlns:vssd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_VirtualSystemSettingData"'
)


# Below that there is no room for a disk.
_SMALLEST_DISK = 16 * 2**10


@functools.cache
def content(size: int, seed: int = 1) -> bytes:
    """What a file of a package holds: a disk of 64 MiB whose file has this size, the same for the same seed.

    Where that is too small for a disk, and only somebody reads it, it is noise.
    """
    return vforge_disks.qemu(size, seed) if size >= _SMALLEST_DISK else vforge_disks.noise(size, seed)


@dataclasses.dataclass
class Made:
    """A package to be written somewhere.

    :ivar disks: name of the file -> its bytes.
    """

    name: str = "web"
    disks: dict[str, bytes] = dataclasses.field(default_factory=lambda: {"web-disk1.vmdk": content(300_000)})
    networks: tuple[str, ...] = ("VM Network",)
    capacity_mib: int = 64
    manifest: str | None = "sha256"
    properties: tuple[str, ...] = ()
    sizes: bool = True
    extra: str = ""

    def descriptor(self) -> bytes:
        """The descriptor: one VM with a SCSI controller, the disks, and a NIC for each network."""
        files, disks, items = "", "", ""
        for number, (name, data) in enumerate(self.disks.items(), 1):
            size = f' ovf:size="{len(data)}"' if self.sizes else ""
            files += f'<File ovf:href="{name}" ovf:id="file{number}"{size}/>'
            disks += (
                f'<Disk ovf:capacity="{self.capacity_mib}" ovf:capacityAllocationUnits="byte * 2^20" '
                f'ovf:diskId="vmdisk{number}" ovf:fileRef="file{number}" '
                'ovf:format="http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized"/>'
            )
            items += (
                f"<Item><rasd:AddressOnParent>{number - 1}</rasd:AddressOnParent>"
                f"<rasd:ElementName>Disk {number}</rasd:ElementName>"
                f"<rasd:HostResource>ovf:/disk/vmdisk{number}</rasd:HostResource>"
                f"<rasd:InstanceID>{9 + number}</rasd:InstanceID>"
                "<rasd:Parent>3</rasd:Parent><rasd:ResourceType>17</rasd:ResourceType></Item>"
            )
        for number, name in enumerate(self.networks):
            items += (
                f"<Item><rasd:AddressOnParent>{7 + number}</rasd:AddressOnParent>"
                f"<rasd:AutomaticAllocation>true</rasd:AutomaticAllocation><rasd:Connection>{name}</rasd:Connection>"
                f"<rasd:ElementName>NIC {number}</rasd:ElementName><rasd:InstanceID>{30 + number}</rasd:InstanceID>"
                "<rasd:ResourceSubType>VmxNet3</rasd:ResourceSubType><rasd:ResourceType>10</rasd:ResourceType></Item>"
            )
        networks = "".join(f'<Network ovf:name="{name}"><Description>{name}</Description></Network>' for name in self.networks)
        product = "".join(
            f'<Property ovf:key="{key}" ovf:type="string" ovf:userConfigurable="true"/>' for key in self.properties
        )
        return (
            f'<?xml version="1.0" encoding="UTF-8"?>\n<Envelope {_NAMESPACES}><References>{files}</References>'
            f"<DiskSection><Info>Disks</Info>{disks}</DiskSection>"
            f"<NetworkSection><Info>Networks</Info>{networks}</NetworkSection>{self.extra}"
            f'<VirtualSystem ovf:id="{self.name}"><Info>A VM</Info><Name>{self.name}</Name>'
            '<OperatingSystemSection ovf:id="100"><Info>OS</Info></OperatingSystemSection>'
            "<VirtualHardwareSection><Info>Hardware</Info><System><vssd:ElementName>Hardware</vssd:ElementName>"
            "<vssd:InstanceID>0</vssd:InstanceID><vssd:VirtualSystemType>vmx-13</vssd:VirtualSystemType></System>"
            "<Item><rasd:AllocationUnits>hertz * 10^6</rasd:AllocationUnits><rasd:ElementName>1 CPU</rasd:ElementName>"
            "<rasd:InstanceID>1</rasd:InstanceID><rasd:ResourceType>3</rasd:ResourceType>"
            "<rasd:VirtualQuantity>1</rasd:VirtualQuantity></Item>"
            "<Item><rasd:AllocationUnits>byte * 2^20</rasd:AllocationUnits><rasd:ElementName>512 MB</rasd:ElementName>"
            "<rasd:InstanceID>2</rasd:InstanceID><rasd:ResourceType>4</rasd:ResourceType>"
            "<rasd:VirtualQuantity>512</rasd:VirtualQuantity></Item>"
            "<Item><rasd:Address>0</rasd:Address><rasd:ElementName>SCSI</rasd:ElementName><rasd:InstanceID>3</rasd:InstanceID>"
            "<rasd:ResourceSubType>VirtualSCSI</rasd:ResourceSubType><rasd:ResourceType>6</rasd:ResourceType></Item>"
            f"{items}</VirtualHardwareSection><ProductSection><Info>Product</Info>{product}</ProductSection>"
            "</VirtualSystem></Envelope>"
        ).encode()

    def files(self) -> dict[str, bytes]:
        """All files, in the order in which an OVA has them."""
        found = {f"{self.name}.ovf": self.descriptor()}
        if self.manifest:
            found[f"{self.name}.mf"] = manifest({**found, **self.disks}, self.manifest)
        return {**found, **self.disks}

    def ova(self, folder: Path) -> Path:
        """Written as an OVA."""
        return archive(folder / f"{self.name}.ova", self.files())

    def ovf(self, folder: Path) -> Path:
        """Written as files; the path of the descriptor."""
        for name, data in self.files().items():
            (folder / name).write_bytes(data)
        return folder / f"{self.name}.ovf"


def manifest(files: dict[str, bytes], algorithm: str = "sha256") -> bytes:
    """A manifest of these files."""
    lines = [f"{algorithm.upper()}({name})= {hashlib.new(algorithm, data).hexdigest()}" for name, data in files.items()]
    return ("\n".join(lines) + "\n").encode()


def archive(path: Path, files: dict[str, bytes], members: t.Sequence[tarfile.TarInfo] = ()) -> Path:
    """A tar archive of these files, and of members that are headers alone."""
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as made:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            made.addfile(member, io.BytesIO(data))
        for member in members:
            made.addfile(member)
    return path


def options(**given: t.Any) -> OvfOptions:
    """Typed options; the template is web unless another name is given."""
    return OvfOptions.from_params(accepted(argument_spec(), {"name": "web", **given}))
