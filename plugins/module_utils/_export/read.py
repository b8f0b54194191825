# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What there is, read from vCenter: each function is one call for any number of VMs or snapshots."""

from __future__ import annotations

import typing as t

from .._connector.find import TO_ANCESTORS, find_each, readable
from .._connector.props import Route, Row, collect, read
from .._connector.pyvmomi import vim
from .._vsphere import snapshots
from .._vsphere.compute import NETWORKS, networks_in
from .._vsphere.disks import chains_in, disks_in
from .._vsphere.snapshots import quiesced_in, snapshots_in
from .._vsphere.vm import ABOVE, BASICS, basics, is_readable, label_of, nics_in, reference
from .hardware import (
    IDE,
    SCSI,
    STORAGE,
    USB,
    Card,
    Controller,
    Drive,
    HardDisk,
    Machine,
    Product,
    Property,
)
from .model import Vm

if t.TYPE_CHECKING:
    from .._connector.find import Selector
    from .._connector.session import Session
    from .._errors import VforgeError

_FILES = ("layoutEx.disk", "layoutEx.file")
_VM: dict[type, tuple[str, ...]] = {
    **ABOVE,
    **NETWORKS,
    vim.VirtualMachine: (
        *BASICS,
        *_FILES,
        "config",
        "snapshot",
        "runtime.cleanPowerOff",
        "guest.toolsRunningStatus",
    ),
}
_AROUND = (*TO_ANCESTORS, Route("vm-networks", vim.VirtualMachine, "network"))


def find(session: Session, selectors: t.Sequence[Selector], datacenter: str | None) -> list[Vm | VforgeError]:
    """The VMs that the selectors name, in their order.

    :returns: in the place of one of several that cannot be found, why not.
    :raises VforgeError: nothing can be found, or two selectors fit the same VM.
    """
    found = find_each(session, selectors, datacenter, option="vms")
    known = read_vms(session, [moid for moid in found if isinstance(moid, str)])
    return [known[each] if isinstance(each, str) else each for each in readable(found, selectors, known)]


def read_vms(session: Session, moids: t.Sequence[str]) -> dict[str, Vm]:
    """What is known of these VMs, by moid; one that cannot be read is left out."""
    refs = [reference(session, moid) for moid in moids]
    rows = {row.moid: row for row in collect(session, refs, _VM, _AROUND)}
    names = network_names(rows)
    return {moid: _vm(rows, rows[moid], names) for moid in moids if _is_whole(rows.get(moid))}


def _is_whole(row: Row | None) -> t.TypeGuard[Row]:
    return row is not None and (is_readable(row) or row.get("config") is not None)


def network_names(rows: t.Mapping[str, Row]) -> dict[str, str]:
    """The names of networks, by what the backing of a NIC holds for them."""
    return {network.backing_id: network.name for network in networks_in(rows)}


def _vm(rows: t.Mapping[str, Row], row: Row, names: t.Mapping[str, str]) -> Vm:
    config = row.get("config")
    known = basics(rows, row)
    clean = row.get("runtime.cleanPowerOff")
    return Vm(
        **{**known, "instance_uuid": config.instanceUuid or "", "template": bool(config.template)},
        machine=machine_of(config, known["name"], names, _stored(row)),
        networks=dict(names),
        snapshots=snapshots_in(row.get("snapshot")),
        quiesced=quiesced_in(row.get("snapshot")),
        change_version=config.changeVersion or "",
        tools=row.get("guest.toolsRunningStatus") == "guestToolsRunning",
        clean=None if clean is None else bool(clean),
    )


def _stored(row: Row) -> dict[str, int]:
    """Bytes that the chain of each disk takes, by its topmost file."""
    found = {}
    for chain in chains_in(row.values):
        names = [file.name for unit in chain[-1:] for file in unit if file.type == "diskDescriptor"]
        total = sum(file.size for unit in chain for file in unit)
        found.update(dict.fromkeys(names, int(total)))
    return found


def read_snapshots(session: Session, vms: t.Mapping[str, Vm]) -> dict[str, Machine]:
    """What VMs were when snapshots of them were made, by moid of the snapshot; what is gone is left out.

    :param vms: by the moids of the snapshots.
    """
    refs = [snapshots.reference(session, moid) for moid in vms]
    rows = read(session, refs, vim.vm.Snapshot, ("config",))
    found = {}
    for moid, row in rows.items():
        vm = vms[moid]
        stored = {disk.files[0]: disk.stored for disk in vm.machine.disks if disk.files}
        found[moid] = machine_of(row.get("config"), vm.name, vm.networks, stored)
    return found


def last_start(session: Session, vm: str) -> str:
    """When a VM was last powered on, as vCenter's events have it; empty where they say nothing of it.

    :param vm: moid.
    """
    spec = vim.event.EventFilterSpec(
        entity=vim.event.EventFilterSpec.ByEntity(entity=reference(session, vm), recursion="self"),
        eventTypeId=["VmPoweredOnEvent"],
    )
    found = session.retrying(lambda: session.content.eventManager.QueryEvents(spec))
    return max((event.createdTime.isoformat() for event in found or ()), default="")


# From a configuration


def machine_of(config: t.Any, name: str, networks: t.Mapping[str, str], stored: t.Mapping[str, int]) -> Machine:
    """What a configuration says, of a VM or of a snapshot of it.

    :param config: a ``vim.vm.ConfigInfo``.
    :param networks: names by what the backings of NICs hold.
    :param stored: bytes that disks take, by their topmost file.
    """
    devices = list(config.hardware.device or ())
    by_key = {device.key: device for device in devices}
    vapp = config.vAppConfig
    return Machine(
        name=name,
        guest_id=config.guestId or "otherGuest64",
        guest_name=config.guestFullName or "",
        version=config.version or "vmx-13",
        cpus=config.hardware.numCPU,
        cores_per_socket=config.hardware.numCoresPerSocket or 1,
        memory_mib=config.hardware.memoryMB,
        annotation=config.annotation or "",
        settings=tuple(_settings(config)),
        extra=tuple((pair.key, str(pair.value)) for pair in config.extraConfig or () if pair.value is not None),
        controllers=tuple(_controllers(devices)),
        disks=tuple(_disks(devices, by_key, stored)),
        cards=tuple(_cards(devices, networks)),
        drives=tuple(_drives(devices)),
        products=tuple(_product(each) for each in (vapp.product if vapp else None) or ()),
        properties=tuple(_property(each) for each in (vapp.property if vapp else None) or ()),
        transports=tuple((vapp.ovfEnvironmentTransport if vapp else None) or ()),
        encrypted=getattr(config, "keyId", None) is not None,
    )


_FLAGS = (
    ("cpuHotAddEnabled", "cpuHotAddEnabled"),
    ("cpuHotRemoveEnabled", "cpuHotRemoveEnabled"),
    ("memoryHotAddEnabled", "memoryHotAddEnabled"),
    ("nestedHVEnabled", "nestedHVEnabled"),
    ("bootOptions.efiSecureBootEnabled", "bootOptions.efiSecureBootEnabled"),
    ("hardware.virtualICH7MPresent", "virtualICH7MPresent"),
    ("hardware.virtualSMCPresent", "virtualSMCPresent"),
    ("flags.vbsEnabled", "flags.vbsEnabled"),
    ("flags.vvtdEnabled", "flags.vvtdEnabled"),
    ("tools.syncTimeWithHost", "tools.syncTimeWithHost"),
    ("tools.afterPowerOn", "tools.afterPowerOn"),
    ("tools.afterResume", "tools.afterResume"),
    ("tools.beforeGuestShutdown", "tools.beforeGuestShutdown"),
    ("tools.beforeGuestStandby", "tools.beforeGuestStandby"),
)
_TEXTS = (
    ("firmware", "firmware"),
    ("hardware.simultaneousThreads", "simultaneousThreads"),
    ("tools.toolsUpgradePolicy", "tools.toolsUpgradePolicy"),
    ("defaultPowerOps.powerOffType", "powerOpInfo.powerOffType"),
    ("defaultPowerOps.resetType", "powerOpInfo.resetType"),
    ("defaultPowerOps.suspendType", "powerOpInfo.suspendType"),
)


def _settings(config: t.Any) -> t.Iterator[tuple[str, str]]:
    for path, key in _FLAGS:
        value = _at(config, path)
        if value is not None:
            yield key, "true" if value else "false"
    for path, key in _TEXTS:
        value = _at(config, path)
        if value:
            yield key, str(value)


def _at(value: t.Any, path: str) -> t.Any:
    """The value at a path of properties; None where there is none on the way."""
    for step in path.split("."):
        value = getattr(value, step, None)
    return value


# vSphere's classes of controllers, the most special first: CIM's number and OVF's word.
_KINDS: tuple[tuple[str, int, str], ...] = (
    ("ParaVirtualSCSIController", SCSI, "VirtualSCSI"),
    ("VirtualLsiLogicSASController", SCSI, "lsilogicsas"),
    ("VirtualLsiLogicController", SCSI, "lsilogic"),
    ("VirtualBusLogicController", SCSI, "buslogic"),
    ("VirtualIDEController", IDE, ""),
    ("VirtualAHCIController", STORAGE, "vmware.sata.ahci"),
    ("VirtualSATAController", STORAGE, "vmware.sata.ahci"),
    ("VirtualNVMEController", STORAGE, "vmware.nvme.controller"),
    ("VirtualUSBXHCIController", USB, "vmware.usb.xhci"),
    ("VirtualUSBController", USB, "vmware.usb.ehci"),
)
_CARDS: tuple[tuple[str, str], ...] = (
    ("VirtualVmxnet3Vrdma", "Vmxnet3Vrdma"),
    ("VirtualVmxnet3", "VmxNet3"),
    ("VirtualVmxnet2", "VmxNet2"),
    ("VirtualE1000e", "E1000e"),
    ("VirtualE1000", "E1000"),
    ("VirtualPCNet32", "PCNet32"),
    ("VirtualSriovEthernetCard", "vmware.sriov"),
)


def _classes(device: t.Any) -> list[str]:
    """The names of a device's classes, its own first."""
    return [kind.__name__.rsplit(".", 1)[-1] for kind in type(device).__mro__]


def _controllers(devices: t.Sequence[t.Any]) -> t.Iterator[Controller]:
    for device in sorted(devices, key=lambda one: int(one.key)):
        classes = _classes(device)
        found = next(((kind, word) for name, kind, word in _KINDS if name in classes), None)
        if found is None:
            continue
        sharing = getattr(device, "sharedBus", None)
        settings = (("sharedBus", str(sharing)),) if sharing and sharing != "noSharing" else ()
        yield Controller(
            device.key,
            *found,
            bus=device.busNumber,
            label=label_of(device, "controller"),
            settings=settings,
        )


def _disks(devices: t.Sequence[t.Any], by_key: t.Mapping[int, t.Any], stored: t.Mapping[str, int]) -> t.Iterator[HardDisk]:
    for disk in disks_in(devices):
        device = by_key[disk.key]
        controller = by_key.get(device.controllerKey)
        place = f"{_classes(controller)[0]}{controller.busNumber}:{device.unitNumber}" if controller is not None else ""
        yield HardDisk(
            key=disk.key,
            label=disk.label,
            controller=device.controllerKey or 0,
            unit=device.unitNumber or 0,
            place=place,
            capacity=disk.capacity,
            uuid=disk.uuid,
            files=disk.files,
            content=getattr(device.backing, "contentId", None) or "",
            change_id=disk.change_id or "",
            mode=disk.mode,
            stored=stored.get(disk.file, 0),
            obstacle="it is a raw device in physical mode, which has no file" if disk.physical else "",
        )


def _cards(devices: t.Sequence[t.Any], networks: t.Mapping[str, str]) -> t.Iterator[Card]:
    for nic in nics_in(devices, running=False, network_names=networks):
        classes = _classes(nic.device)
        subtype = next((word for name, word in _CARDS if name in classes), "E1000")
        wake = nic.device.wakeOnLanEnabled
        settings = (("wakeOnLanEnabled", "true" if wake else "false"),) if wake is not None else ()
        yield Card(nic.label, subtype, nic.network, nic.connected, settings)


def _drives(devices: t.Sequence[t.Any]) -> t.Iterator[Drive]:
    for device in devices:
        if isinstance(device, vim.vm.device.VirtualCdrom):
            yield Drive(label_of(device, "CD/DVD drive"), device.controllerKey or 0, device.unitNumber or 0)


def _product(info: t.Any) -> Product:
    return Product(
        class_id=info.classId or "",
        instance_id=info.instanceId or "",
        name=info.name or "",
        vendor=info.vendor or "",
        version=info.version or "",
        full_version=info.fullVersion or "",
        product_url=info.productUrl or "",
        vendor_url=info.vendorUrl or "",
        app_url=info.appUrl or "",
    )


def _property(info: t.Any) -> Property:
    return Property(
        id=info.id or "",
        kind=info.type or "string",
        label=info.label or "",
        description=info.description or "",
        category=info.category or "",
        configurable=bool(info.userConfigurable),
        default=info.defaultValue or "",
        value=info.value or "",
        class_id=info.classId or "",
        instance_id=info.instanceId or "",
    )
