# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a VM is made of, as far as an OVF package says it. Pure."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import typing as t

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
    def independent(self) -> bool:
        """Whether snapshots leave it out."""
        return self.mode.startswith("independent")


@dataclasses.dataclass(frozen=True)
class Card:
    """A NIC.

    :ivar subtype: as OVF calls it (``VmxNet3``).
    :ivar network: name of its network; empty where it has none that is known.
    """

    label: str
    subtype: str
    network: str
    connected: bool
    settings: tuple[tuple[str, str], ...] = ()


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
