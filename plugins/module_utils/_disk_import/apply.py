# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The calls that bring a disk in, and take it to its place."""

from __future__ import annotations

import typing as t
from xml.sax.saxutils import quoteattr

from .._connector import faults, names
from .._connector.pyvmomi import vim
from .._errors import Fault, VforgeError
from .._vsphere.vm import option_values, reference

if t.TYPE_CHECKING:
    from .._connector.session import Session
    from .places import Home

_SUBTYPES = {"lsilogic": "lsilogic", "buslogic": "buslogic"}

# CIM's numbers of a SCSI and an IDE controller, and of a disk drive.
_SCSI, _IDE, _DRIVE = 6, 5, 17

# A package with one disk and nothing else, as the Open Virtualization Format has it.
_PACKAGE = """\
<?xml version="1.0" encoding="UTF-8"?>
<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1" \
xmlns:rasd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData" \
xmlns:vssd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_VirtualSystemSettingData">
  <References><File ovf:href="disk.vmdk" ovf:id="file1" ovf:size="{size}"/></References>
  <DiskSection>
    <Info>Virtual disks</Info>
    <Disk ovf:capacity="{capacity}" ovf:capacityAllocationUnits="byte" ovf:diskId="vmdisk1" ovf:fileRef="file1" \
ovf:format="http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized"/>
  </DiskSection>
  <VirtualSystem ovf:id={name}>
    <Info>A VM for one disk</Info>
    <Name>disk</Name>
    <OperatingSystemSection ovf:id="102"><Info>Any</Info></OperatingSystemSection>
    <VirtualHardwareSection>
      <Info>Virtual hardware</Info>
      <System>
        <vssd:ElementName>Virtual Hardware Family</vssd:ElementName>
        <vssd:InstanceID>0</vssd:InstanceID>
        <vssd:VirtualSystemType>vmx-10</vssd:VirtualSystemType>
      </System>
      <Item>
        <rasd:ElementName>1 CPU</rasd:ElementName><rasd:InstanceID>1</rasd:InstanceID>
        <rasd:ResourceType>3</rasd:ResourceType><rasd:VirtualQuantity>1</rasd:VirtualQuantity>
      </Item>
      <Item>
        <rasd:AllocationUnits>byte * 2^20</rasd:AllocationUnits>
        <rasd:ElementName>Memory</rasd:ElementName><rasd:InstanceID>2</rasd:InstanceID>
        <rasd:ResourceType>4</rasd:ResourceType><rasd:VirtualQuantity>32</rasd:VirtualQuantity>
      </Item>
      <Item>
        <rasd:Address>0</rasd:Address><rasd:ElementName>Controller</rasd:ElementName>
        <rasd:InstanceID>3</rasd:InstanceID>{subtype}
        <rasd:ResourceType>{controller}</rasd:ResourceType>
      </Item>
      <Item>
        <rasd:AddressOnParent>0</rasd:AddressOnParent><rasd:ElementName>Disk</rasd:ElementName>
        <rasd:HostResource>ovf:/disk/vmdisk1</rasd:HostResource><rasd:InstanceID>4</rasd:InstanceID>
        <rasd:Parent>3</rasd:Parent><rasd:ResourceType>17</rasd:ResourceType>
      </Item>
    </VirtualHardwareSection>
  </VirtualSystem>
</Envelope>
"""

_PROVISIONING = {"thin": "thin", "thick": "thick", "eager_zeroed_thick": "eagerZeroedThick"}


class ImportRefused(VforgeError):
    """vCenter does not agree to an import."""

    error_code = "import_refused"


def package(name: str, capacity: int, size: int, adapter: str) -> str:
    """The descriptor of a package with one disk.

    :param capacity: of the disk, in bytes.
    :param size: of its file.
    :param adapter: as a VMDK's descriptor names it.
    """
    kind = _SUBTYPES.get(adapter, "")
    return _PACKAGE.format(
        name=quoteattr(name),
        capacity=capacity,
        size=size,
        controller=_SCSI if kind else _IDE,
        subtype=f"\n        <rasd:ResourceSubType>{kind}</rasd:ResourceSubType>" if kind else "",
    )


def import_spec(
    session: Session, home: Home, host: str, name: str, text: str, provisioning: str, marks: t.Mapping[str, str]
) -> t.Any:
    """``CreateImportSpec``: what vCenter makes of the descriptor of a package.

    :raises ImportRefused: it does not like it.
    """
    machine, pool = home.hosts[host]
    params = vim.OvfManager.CreateImportSpecParams(
        locale="",
        deploymentOption="",
        entityName=names.escape(name),
        hostSystem=machine,
        diskProvisioning=_PROVISIONING[provisioning],
    )
    manager = session.content.ovfManager
    answer = session.retrying(lambda: manager.CreateImportSpec(text, pool, home.datastore, params))
    if answer.error or answer.importSpec is None:
        why = " ".join((fault.msg or "").strip() or faults.fault_name(fault) for fault in answer.error or ())
        raise ImportRefused(f"vCenter does not agree to the import: {why or 'it does not say why'}.")
    config = answer.importSpec.configSpec
    config.name = names.escape(name)
    config.extraConfig = [*(config.extraConfig or []), *option_values(marks)]
    return answer.importSpec


def import_vapp(home: Home, host: str, spec: t.Any) -> t.Any:
    """``ImportVApp``; its lease."""
    machine, pool = home.hosts[host]
    return pool.ImportVApp(spec, home.vm_folder, machine)


def start_detach(session: Session, moid: str, devices: t.Iterable[t.Any], marks: t.Mapping[str, str]) -> t.Any:
    """``ReconfigVM_Task`` that takes disks off a VM and leaves their files.

    :param devices: as vSphere's own objects.
    :param marks: pairs that the VM gets by the same call.
    """
    changes = [vim.vm.device.VirtualDeviceSpec(operation="remove", device=device) for device in devices]
    spec = vim.vm.ConfigSpec(deviceChange=changes, extraConfig=option_values(marks))
    return reference(session, moid).ReconfigVM_Task(spec)


def make_folder(session: Session, home_ref: t.Any, folder: str) -> None:
    """``MakeDirectory``, with those above; one that is there already is fine."""
    manager = session.content.fileManager
    try:
        session.retrying(lambda: manager.MakeDirectory(folder, home_ref, True))
    except Fault as fault:
        if fault.fault != "FileAlreadyExists":
            raise


def start_move(session: Session, datacenter: t.Any, source: str, target: str, *, force: bool) -> t.Any:
    """``MoveVirtualDisk_Task``, within one datacenter."""
    manager = session.content.virtualDiskManager
    return manager.MoveVirtualDisk_Task(source, datacenter, target, datacenter, force)


def start_delete(session: Session, datacenter: t.Any, path: str) -> t.Any:
    """``DeleteVirtualDisk_Task``: the descriptor, and all that it names."""
    return session.content.virtualDiskManager.DeleteVirtualDisk_Task(path, datacenter)
