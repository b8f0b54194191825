# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a VM is made of, as far as an OVF package or a backup says it: types, and how they are read
of a configuration.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import typing as t

from .._connector.pyvmomi import vim
from .disks import Disk, disks_in
from .vm import label_of, nics_in

# The kinds of controllers, with CIM's numbers of them.
IDE, SCSI, STORAGE, USB = 5, 6, 20, 23


@dataclasses.dataclass(frozen=True)
class Controller:
    """A controller of disks or drives, or of USB.

    :ivar key: of the device; unique in the VM.
    :ivar kind: CIM's number.
    :ivar subtype: as OVF calls it (``VirtualSCSI``); empty where the kind says all.
    :ivar settings: vCenter's own, such as how the bus is shared.
    """

    key: int
    kind: int
    subtype: str
    bus: int
    label: str
    settings: tuple[tuple[str, str], ...] = ()


@dataclasses.dataclass(frozen=True)
class HardDisk:
    """A disk.

    :ivar place: name of the controller's class, bus and unit (``ParaVirtualSCSIController0:1``), by
        which a lease names it.
    :ivar files: the topmost first.
    :ivar content: the content ID of its file; empty where the host does not say it.
    :ivar stored: bytes that its files take on the datastore; 0 where that is not known.
    :ivar obstacle: why it cannot be exported; empty where it can.
    """

    key: int
    label: str
    controller: int
    unit: int
    place: str
    capacity: int
    uuid: str = ""
    files: tuple[str, ...] = ()
    content: str = ""
    change_id: str = ""
    mode: str = "persistent"
    stored: int = 0
    obstacle: str = ""

    @property
    def file(self) -> str:
        """Its topmost file, as ``[datastore] folder/name.vmdk``."""
        return self.files[0] if self.files else ""

    @property
    def independent(self) -> bool:
        """Whether snapshots leave it out."""
        return self.mode.startswith("independent")


@dataclasses.dataclass(frozen=True)
class Card:
    """A NIC.

    :ivar subtype: as OVF calls it (``VmxNet3``).
    :ivar network: name of its network; empty where it has none that is known.
    :ivar mac: its MAC address, lower-case; empty where that is not known.
    """

    label: str
    subtype: str
    network: str
    connected: bool
    settings: tuple[tuple[str, str], ...] = ()
    mac: str = ""


@dataclasses.dataclass(frozen=True)
class Drive:
    """A CD-ROM drive; what is in it does not go along."""

    label: str
    controller: int
    unit: int


@dataclasses.dataclass(frozen=True)
class Property:
    """A vApp property.

    :ivar kind: vSphere's type of it (``string(..20)``).
    :ivar default: the value that the package's maker gave; ``value`` is the one that was set.
    """

    id: str
    kind: str = "string"
    label: str = ""
    description: str = ""
    category: str = ""
    configurable: bool = True
    default: str = ""
    value: str = ""
    class_id: str = ""
    instance_id: str = ""

    @property
    def password(self) -> bool:
        """Whether its value is a secret."""
        return self.kind.startswith("password")


@dataclasses.dataclass(frozen=True)
class Product:
    """What a vApp says of the software in it."""

    class_id: str = ""
    instance_id: str = ""
    name: str = ""
    vendor: str = ""
    version: str = ""
    full_version: str = ""
    product_url: str = ""
    vendor_url: str = ""
    app_url: str = ""


@dataclasses.dataclass(frozen=True)
class Machine:
    """A VM, or what it was when a snapshot was made.

    :ivar settings: vCenter's own, as ``vmw:Config`` has them.
    :ivar extra: pairs of extraConfig, all of them.
    :ivar encrypted: whether vSphere keeps it encrypted.
    :ivar bios_uuid: empty where it is not known.
    """

    name: str
    guest_id: str
    guest_name: str
    version: str
    cpus: int
    cores_per_socket: int
    memory_mib: int
    annotation: str = ""
    settings: tuple[tuple[str, str], ...] = ()
    extra: tuple[tuple[str, str], ...] = dataclasses.field(default=(), repr=False)
    controllers: tuple[Controller, ...] = ()
    disks: tuple[HardDisk, ...] = ()
    cards: tuple[Card, ...] = ()
    drives: tuple[Drive, ...] = ()
    products: tuple[Product, ...] = ()
    properties: tuple[Property, ...] = dataclasses.field(default=(), repr=False)
    transports: tuple[str, ...] = ()
    encrypted: bool = False
    bios_uuid: str = ""

    @property
    def networks(self) -> list[str]:
        """The names of the networks, each once."""
        return list(dict.fromkeys(card.network for card in self.cards if card.network))


# What goes along of extraConfig: what says how the VM works, wherever it runs. All else is of the
# place where it was (names of files, addresses of slots, logs), a guest's, or a secret of somebody.
_SAFE_PREFIXES = (
    "cpuid.",
    "hypervisor.cpuid.",
    "isolation.",
    "mks.",
    "monitor_control.",
    "numa.",
    "pcipassthru.64bitmmio",
    "pcipassthru.use64bitmmio",
    "sched.cpu.",
    "sched.mem.",
    "svga.",
    "time.synchronize.",
    "usb.generic.",
)
_SAFE_KEYS = (
    "devices.hotplug",
    "disk.enableuuid",
    "hpet0.present",
    "keyboard.typematicmindelay",
    "log.keepold",
    "log.rotatesize",
    "logging",
    "remotedisplay.maxconnections",
    "snapshot.maxsnapshots",
    "tools.guest.desktop.autolock",
    "tools.setinfo.sizelimit",
    "vmci0.unrestricted",
)

# What marks whose a VM is: of the VM that was exported, never of one that is made of the package.
_OWN_PREFIX = "vforge."


def as_json(machine: Machine, about: t.Mapping[str, t.Any] | None = None) -> bytes:
    """What a machine is made of, for a file: without what may be a secret.

    :param about: what else is known of the VM, as JSON takes it. It stands under ``about``.

    Of extraConfig only what goes along anywhere is in it, and of vApp properties no value that was
    set, since a password may be kept as any text.
    """
    shown = dataclasses.replace(
        machine,
        extra=exported_extra(machine, ()),
        properties=tuple(
            dataclasses.replace(each, default="" if each.password else each.default, value="") for each in machine.properties
        ),
    )
    return json.dumps(
        {**dataclasses.asdict(shown), "left_out": withheld(machine, ()), "about": dict(about or {})}, indent=1
    ).encode()


def from_json(data: bytes) -> Machine:
    """The machine of such a file.

    :raises ValueError: it is none.
    """
    try:
        found = json.loads(data)
        found.pop("left_out")
        found.pop("about", None)
        kinds = {
            "controllers": Controller,
            "disks": HardDisk,
            "cards": Card,
            "drives": Drive,
            "products": Product,
            "properties": Property,
        }
        parts: dict[str, t.Any] = {
            name: tuple(kind(**_tuples(each)) for each in found.pop(name)) for name, kind in kinds.items()
        }
        return Machine(**_tuples(found), **parts)
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"it has no machine in it: {error}") from error


def about_from_json(data: bytes) -> dict[str, t.Any]:
    """What such a file says of the VM besides what it is made of.

    :raises ValueError: it is none.
    """
    try:
        return dict(json.loads(data)["about"])
    except (TypeError, KeyError) as error:
        raise ValueError(f"it says nothing of a VM: {error}") from error


def _tuples(values: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """JSON's lists, which are pairs or texts, as tuples."""
    return {key: _tuple(value) if isinstance(value, list) else value for key, value in values.items()}


def _tuple(value: t.Sequence[t.Any]) -> tuple[t.Any, ...]:
    return tuple(tuple(each) if isinstance(each, list) else each for each in value)


def exported_extra(machine: Machine, asked: t.Collection[str]) -> tuple[tuple[str, str], ...]:
    """The pairs of extraConfig that go along, in the order of their keys.

    :param asked: keys that the user wants besides those that are safe; in whichever case.
    """
    wanted = {key.lower() for key in asked}

    def goes(key: str) -> bool:
        low = key.lower()
        if low == "nvram" or low.startswith(_OWN_PREFIX):
            return False
        return low in wanted or low in _SAFE_KEYS or low.startswith(_SAFE_PREFIXES)

    return tuple(sorted((key, value) for key, value in machine.extra if value and goes(key)))


def withheld(machine: Machine, asked: t.Collection[str]) -> list[str]:
    """The keys of guestinfo that stay behind, as a secret may."""
    gone = {key for key, _value in exported_extra(machine, asked)}
    return sorted(key for key, value in machine.extra if value and key.lower().startswith("guestinfo.") and key not in gone)


def digest_of(machine: Machine | None, *more: t.Any) -> str:
    """What a machine is like, in short; what changes with every start is left out.

    :param more: what else the package depends on.
    """
    whole = dataclasses.asdict(machine) if machine is not None else {}
    for disk in whole.get("disks", ()):
        # What is on a disk is compared apart; where its files are is no matter of the package.
        for volatile in ("files", "content", "change_id", "stored", "place"):
            del disk[volatile]
    # Of all of extraConfig only what goes along counts.
    whole.pop("extra", None)
    return hashlib.sha256(json.dumps([whole, *more], sort_keys=True, default=list).encode()).hexdigest()


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
        bios_uuid=(config.uuid or "").lower(),
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
            obstacle=_obstacle(disk),
        )


def _obstacle(disk: Disk) -> str:
    """Why a disk cannot be exported; empty where it can."""
    if disk.physical:
        return "it is a raw device in physical mode, which has no file"
    if disk.sector_format:
        return f"its sector format is {disk.sector_format}, and a disk of a package has sectors of 512 bytes"
    return ""


def _cards(devices: t.Sequence[t.Any], networks: t.Mapping[str, str]) -> t.Iterator[Card]:
    for nic in nics_in(devices, running=False, network_names=networks):
        classes = _classes(nic.device)
        subtype = next((word for name, word in _CARDS if name in classes), "E1000")
        wake = nic.device.wakeOnLanEnabled
        settings = (("wakeOnLanEnabled", "true" if wake else "false"),) if wake is not None else ()
        yield Card(nic.label, subtype, nic.network, nic.connected, settings, nic.mac)


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
