# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""VMs: what every domain reads of one, its NICs, its extraConfig, and the calls that several
domains make.

A domain extends ``Vm`` with what it needs besides, reads that together with the properties named
here, and fills the fields of ``Vm`` by ``basics``::

    PARENT = {**ABOVE, vim.VirtualMachine: (*BASICS, "runtime.instantCloneFrozen")}
    rows = {row.moid: row for row in collect(session, refs, PARENT, TO_ANCESTORS)}
    parent = Parent(**basics(rows, row), frozen=bool(row.get("runtime.instantCloneFrozen")))
"""

from __future__ import annotations

import dataclasses
import json
import re
import typing as t

from .._connector import names
from .._connector.find import path_in
from .._connector.props import Row, moment
from .._connector.pyvmomi import vim
from .._errors import InvalidOption

if t.TYPE_CHECKING:
    from .._connector.session import Session

VIRTUAL_MACHINE = vim.VirtualMachine

# What ``basics`` needs of a VM, and of what lies above it (with ``find.TO_ANCESTORS``).
BASICS = (
    "name",
    "parent",
    "parentVApp",
    "config.instanceUuid",
    "config.template",
    "runtime.powerState",
)
ABOVE: dict[type, tuple[str, ...]] = {
    vim.Folder: ("name", "parent"),
    vim.Datacenter: ("name", "parent"),
    vim.VirtualApp: ("name", "parent", "parentFolder"),
}

DEVICES = "config.hardware.device"

# Whether vCenter reaches a VM. In one of these states it has no configuration of it, and cannot say
# whose it is: its datastore or host is away, or its files are damaged
# (VirtualMachineConnectionState). One that is just being made has none either, and is connected.
CONNECTION = "runtime.connectionState"
LOST = ("inaccessible", "invalid", "orphaned")

_CONFIG = "config.extraConfig"

# Limit of the API for the name of a VM.
_LONGEST_NAME = 80

_LINE_ENDS = re.compile(r"\r\n?")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Vm:
    """A VM.

    :ivar name: as a person reads it, without escapes.
    :ivar path: inventory path, as far up as this user may see.
    :ivar power_state: ``poweredOn``, ``poweredOff`` or ``suspended``; empty where it is unknown.
    """

    moid: str
    name: str
    path: str = ""
    instance_uuid: str = ""
    power_state: str = ""
    template: bool = False

    @property
    def naming(self) -> dict[str, str]:
        """What names it in a result."""
        return {
            "name": self.name,
            "moid": self.moid,
            "path": self.path,
            "instance_uuid": self.instance_uuid,
        }

    @property
    def powered_on(self) -> bool:
        """Whether it is powered on."""
        return self.power_state == "poweredOn"

    @property
    def powered_off(self) -> bool:
        """Whether it is powered off.

        A suspended VM is not, and neither is one of which nothing is known.
        """
        return self.power_state == "poweredOff"


def basics(rows: t.Mapping[str, Row], vm: Row) -> dict[str, t.Any]:
    """The fields of ``Vm``.

    :param rows: by moid, with those of the objects above the VM.
    :param vm: read with ``BASICS``.
    """
    return {
        "moid": vm.moid,
        "name": name_of(vm),
        "path": path_in(rows, vm.moid),
        "instance_uuid": vm.get("config.instanceUuid") or "",
        "power_state": str(vm.get("runtime.powerState") or ""),
        "template": bool(vm.get("config.template")),
    }


def is_readable(vm: Row | None) -> t.TypeGuard[Row]:
    """Whether a row is that of a VM whose configuration this user may read, and which is complete."""
    return vm is not None and bool(vm.get("config.instanceUuid"))


def moid_of(ref: t.Any) -> str:
    """The moid of a reference; empty for None, which is what an unset property is."""
    return t.cast(str, ref._GetMoId()) if ref is not None else ""


def kind_of(ref: t.Any) -> str:
    """vSphere's type of a reference: ``VirtualMachine``, ``Folder``, ``VirtualApp``..."""
    return type(ref).__name__.rsplit(".", 1)[-1]


V = t.TypeVar("V", bound=Vm)


def of_name(found: V | None, name: str) -> V | None:
    """What was found by its name, where it has just that name.

    vCenter may leave upper and lower case aside where it looks for a child, and a VM of nearly the
    same name is another one. What this user may not read the name of counts.
    """
    return found if found is not None and found.name in ("", name) else None


def name_of(row: Row | None) -> str:
    """The name of an object as a person reads it; empty where it was not read."""
    return names.unescape(row.get("name") or "") if row is not None else ""


def row_of(rows: t.Mapping[str, Row], ref: t.Any) -> Row | None:
    """What was read of the object that a property refers to, or None."""
    return rows.get(moid_of(ref))


def datacenter_of(rows: t.Mapping[str, Row], vm: Row) -> Row | None:
    """The datacenter above a VM, by way of the vApps that it may be in.

    None where this user may not see it.
    """
    here: Row | None = vm
    while here is not None and not isinstance(here.ref, vim.Datacenter):
        above = here.get("parentVApp") or here.get("parentFolder") or here.get("parent")
        here = row_of(rows, above)
    return here


@dataclasses.dataclass(frozen=True)
class Nic:
    """A virtual NIC.

    :ivar mac: lower-case, with colons; empty where it has none yet.
    :ivar backing_id: as in ``compute.Network``: what says to which network it is connected.
    :ivar connected: of a running VM whether it is, of one that is off whether it will be.
    :ivar network: name of the network, where it is known.
    :ivar device: vSphere's own object, for the edits that a domain's ``apply`` makes of it.
    """

    key: int
    label: str
    mac: str
    backing_id: str
    connected: bool
    network: str = ""
    device: t.Any = dataclasses.field(default=None, repr=False, compare=False)


def nics_in(devices: t.Iterable[t.Any], *, running: bool, network_names: t.Mapping[str, str] | None = None) -> tuple[Nic, ...]:
    """The NICs among devices, in the order of their keys, which is that of their labels.

    :param running: False for a VM that is off.
    :param network_names: names of networks by ``backing_id``.
    """
    known = network_names or {}
    cards = (item for item in devices if isinstance(item, vim.vm.device.VirtualEthernetCard))
    return tuple(_nic(card, running, known) for card in sorted(cards, key=lambda card: int(card.key)))


def _nic(card: t.Any, running: bool, network_names: t.Mapping[str, str]) -> Nic:
    backing_id, state = _backing_id(card.backing), card.connectable
    return Nic(
        key=card.key,
        label=label_of(card, "NIC"),
        mac=(card.macAddress or "").lower(),
        backing_id=backing_id,
        connected=bool(state and (state.connected if running else state.startConnected)),
        network=network_names.get(backing_id, ""),
        device=card,
    )


def _backing_id(backing: t.Any) -> str:
    card = vim.vm.device.VirtualEthernetCard
    if isinstance(backing, card.DistributedVirtualPortBackingInfo):
        return backing.port.portgroupKey or ""
    if isinstance(backing, card.OpaqueNetworkBackingInfo):
        return backing.opaqueNetworkId or ""
    return moid_of(getattr(backing, "network", None))


def label_of(device: t.Any, otherwise: str) -> str:
    """The label of a device; without one, ``otherwise`` and its key."""
    return device.deviceInfo.label if device.deviceInfo else f"{otherwise} {device.key}"


def devices_in(values: t.Mapping[str, t.Any]) -> list[t.Any]:
    """The devices among properties, which were read whole (``DEVICES``) or by ``device_path``."""
    by_key = [value for path, value in values.items() if path.startswith(f"{DEVICES}[")]
    return by_key or list(values.get(DEVICES) or ())


def device_path(key: int) -> str:
    """The path of one device, since a VM has dozens, of some 60 XML elements each."""
    return f"{DEVICES}[{key}]"


def config_path(key: str) -> str:
    """The path of one pair of extraConfig, so that not all of every VM's configuration is sent."""
    return f'{_CONFIG}["{key}"]'


def config_paths(keys: t.Iterable[str]) -> tuple[str, ...]:
    """The paths of some pairs of extraConfig."""
    return tuple(config_path(key) for key in keys)


def config_in(values: t.Mapping[str, t.Any]) -> dict[str, str]:
    """The pairs of extraConfig among properties, which were read whole or by ``config_path``.

    A pair that was removed while its property was watched is there with an empty value.
    """
    whole = {pair.key: config_value(pair) for pair in values.get(_CONFIG) or ()}
    begin = len(_CONFIG) + 2
    single = {path[begin:-2]: pair for path, pair in values.items() if path.startswith(f"{_CONFIG}[")}
    return {**whole, **{key: config_value(pair) for key, pair in single.items()}}


def config_value(pair: t.Any) -> str:
    """The value of a pair of extraConfig; empty for one that is not there."""
    return str(pair.value) if pair is not None and pair.value is not None else ""


def option_values(config: t.Mapping[str, str]) -> list[t.Any]:
    """Pairs of extraConfig as vSphere's own objects, in the order of their keys."""
    return [vim.option.OptionValue(key=key, value=value) for key, value in sorted(config.items())]


def reference(session: Session, moid: str) -> t.Any:
    """A reference to a VM; nothing is sent."""
    return session.reference(vim.VirtualMachine, moid)


def start_power_on(session: Session, moid: str) -> t.Any:
    """``PowerOnVM_Task``; vCenter chooses the host."""
    return reference(session, moid).PowerOnVM_Task()


def start_power_off(session: Session, moid: str) -> t.Any:
    """``PowerOffVM_Task``."""
    return reference(session, moid).PowerOffVM_Task()


def shut_down_guest(session: Session, moid: str) -> None:
    """``ShutdownGuest``, which only begins it."""
    reference(session, moid).ShutdownGuest()


def start_reset(session: Session, moid: str) -> t.Any:
    """``ResetVM_Task``."""
    return reference(session, moid).ResetVM_Task()


def start_destroy(session: Session, moid: str) -> t.Any:
    """``Destroy_Task``: the VM and the files that are its alone."""
    return reference(session, moid).Destroy_Task()


def start_config_change(session: Session, moid: str, config: t.Mapping[str, str]) -> t.Any:
    """``ReconfigVM_Task`` of pairs of extraConfig alone."""
    return reference(session, moid).ReconfigVM_Task(vim.vm.ConfigSpec(extraConfig=option_values(config)))


# Events match by their own type, and by none that it extends (API reference, EventFilterSpec).
_STARTS = [
    "VmPoweredOnEvent",
    "DrsVmPoweredOnEvent",
    "VmResumingEvent",
    "VmRestartedOnAlternateHostEvent",
    "com.vmware.vc.ha.VmRestartedByHAEvent",
]


def last_start(session: Session, vm: str) -> str:
    """When a VM was last powered on, which its guest needs to write to its disks, as vCenter's events have it; empty where
    they say nothing of it.

    :param vm: moid.
    """
    spec = vim.event.EventFilterSpec(
        entity=vim.event.EventFilterSpec.ByEntity(entity=reference(session, vm), recursion="self"),
        eventTypeId=_STARTS,
    )
    found = session.retrying(lambda: session.manager("eventManager").QueryEvents(spec))
    return max((moment(event.createdTime) for event in found or ()), default="")


# Names and pairs as options give them; messages name keys, never values, which may be secrets


def vm_name(given: t.Any, kind: str) -> str:
    """A name for a new VM, as a person reads it.

    :param kind: of VM (``clone``), for the message.
    :raises InvalidOption: when no VM can have it.
    """
    name = names.unescape(str(given))
    where = f"{kind} {name!r}"
    if not name.strip() or len(name) > _LONGEST_NAME:
        raise InvalidOption(f"{where}: the name must have 1 to {_LONGEST_NAME} characters.", option="name")
    if not names.is_sendable(name) or set(name) & set("\t\r\n\x7f"):
        raise InvalidOption(f"{where}: the name has a control character.", option="name")
    return name


def pairs(given: t.Any, option: str, where: str) -> list[tuple[str, str]]:
    """A mapping, or its JSON text, with every value as vSphere's text.

    :param where: begins the message (``clone 'web-1'``).
    :raises InvalidOption: naming the option and the key.
    """
    if given in (None, ""):
        return []
    try:
        mapping = json.loads(given) if isinstance(given, str) else given
    except ValueError:
        mapping = None
    if not isinstance(mapping, dict):
        raise InvalidOption(f"{where}: {option} is not a mapping of keys to values.", option=option)
    return [(_key(str(key), option, where), _text(value, f"{where}: {option}.{key}", option)) for key, value in mapping.items()]


def _key(key: str, option: str, where: str) -> str:
    if not key.strip() or not names.is_sendable(key):
        raise InvalidOption(f"{where}: {option} has a key that is empty or has a control character.", option=option)
    return key


def _text(value: t.Any, where: str, option: str) -> str:
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if not isinstance(value, (str, int, float)):
        raise InvalidOption(
            f"{where} is neither text, number nor boolean.",
            hint="Pass a mapping or list through the filter to_json.",
            option=option,
        )
    if not names.is_sendable(str(value)):
        raise InvalidOption(
            f"{where} has a character that vSphere's interface cannot carry, such as a control character.",
            hint="Pass binary data through the filter b64encode.",
            option=option,
        )
    # On its way any line end becomes a line feed (XML 1.0, section 2.11). Without this the next run
    # would see a difference.
    return _LINE_ENDS.sub("\n", str(value))
