# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is asked for: a module's parameters as checked requests, one a clone. Pure; nothing of vSphere is needed."""

from __future__ import annotations

import collections
import dataclasses
import re
import typing as t

from .._connector import names
from .._connector.find import Selector
from .._errors import InvalidOption
from .._vsphere import customization, wake
from .._vsphere.customization import Customization
from .._vsphere.markers import CUSTOMIZED_KEY, MARKER_KEY, TEMPLATE_KEY
from .._vsphere.vm import pairs, vm_name

_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

_PLACES = ("folder", "resource_pool", "host", "datastore")


@dataclasses.dataclass(frozen=True)
class NicRequest:
    """What one NIC of the clone should be; None means: as the parent's, with a new MAC.

    :ivar label: ``Network adapter 1``, or None when ``index`` (from 0) chooses it.
    """

    label: str | None = None
    index: int | None = None
    network: str | None = None
    mac: str | None = None
    connected: bool | None = None

    def __str__(self) -> str:
        return self.label if self.label is not None else f"NIC {self.index}"


@dataclasses.dataclass(frozen=True)
class Hardware:
    """CPUs, memory and notes of a VM; None leaves what is there."""

    cpus: int | None = None
    cores_per_socket: int | None = None
    memory_mb: int | None = None
    annotation: str | None = None

    def __bool__(self) -> bool:
        return self != AS_IT_IS


AS_IT_IS = Hardware()


@dataclasses.dataclass(frozen=True)
class CloneRequest:
    """One wanted clone. ``config`` holds whole keys of extraConfig; it may hold secrets and is never in ``repr``.

    :ivar parent: the clone's own; None for that of the task.
    :ivar host: not for an instant clone, which stays with its parent; nor is ``hardware``.
    :ivar powered_on: whether it is to run; an instant clone always does.
    """

    name: str
    folder: str | None = None
    resource_pool: str | None = None
    host: str | None = None
    datastore: str | None = None
    networks: tuple[NicRequest, ...] = ()
    config: dict[str, str] = dataclasses.field(default_factory=dict, repr=False)
    bios_uuid: str | None = None
    customization: Customization | None = None
    parent: Selector | None = None
    hardware: Hardware = AS_IT_IS
    powered_on: bool = True


def parse(params: t.Mapping[str, t.Any]) -> list[CloneRequest]:
    """The requests in a module's parameters: ``name`` at the top level, or the list ``clones`` over common options.

    An empty list is no mistake: a list that a playbook works out may be empty, and then there is nothing to do.

    :raises InvalidOption: naming the clone and the option.
    """
    listed = params.get("clones")
    if bool(params.get("name")) == (listed is not None):
        raise InvalidOption("Set either name, for one clone, or clones, for a list of them.", option="name")
    if params.get("bios_uuid") and listed is not None:
        raise InvalidOption("A bios_uuid belongs to one clone: set it in the items of clones.", option="bios_uuid")
    items = [{"name": params["name"], "bios_uuid": params.get("bios_uuid")}] if listed is None else listed
    requests = [_request(item, params) for item in items]
    _refuse_duplicates(requests)
    _refuse_shared_identity(requests)
    return requests


def _request(item: t.Mapping[str, t.Any], common: t.Mapping[str, t.Any]) -> CloneRequest:
    name = vm_name(item["name"], "clone")
    where = f"clone {name!r}"
    # An empty text is what a survey or a template gives for "not set"; an empty list of networks means "none".
    places = {key: item.get(key) or common.get(key) or None for key in _PLACES}
    networks = item.get("networks") if item.get("networks") is not None else common.get("networks")
    return CloneRequest(
        name=name,
        **places,
        networks=tuple(_nic(nic, where) for nic in networks or ()),
        config=_config(common, where) | _config(item, where),
        bios_uuid=_uuid(item.get("bios_uuid"), where),
        customization=_customization(item, common, name),
        parent=Selector.from_params(item["parent"], f"{where}: parent") if item.get("parent") else None,
        hardware=_hardware(item, common, where),
        powered_on=next(on for on in (item.get("powered_on"), common.get("powered_on"), True) if on is not None),
    )


def _hardware(item: t.Mapping[str, t.Any], common: t.Mapping[str, t.Any], where: str) -> Hardware:
    """What an item asks for, each part by itself over the common one."""

    def asked(option: str, part: str) -> int | None:
        given = [(options.get(option) or {}).get(part) for options in (item, common)]
        value = next((number for number in given if number is not None), None)
        if value is not None and value < 1:
            raise InvalidOption(f"{where}: {option}.{part} must be at least 1.", option=option)
        return value

    cpus, cores, memory = asked("cpu", "cores"), asked("cpu", "cores_per_socket"), asked("memory", "size_mb")
    if cpus and cores and cpus % cores:
        raise InvalidOption(
            f"{where}: {cpus} CPU cores cannot be divided into sockets of {cores}.",
            hint="Set cpu.cores to a multiple of cpu.cores_per_socket.",
            option="cpu",
        )
    if memory and memory % 4:
        raise InvalidOption(f"{where}: memory.size_mb must be a multiple of 4.", option="memory")
    notes = [options.get("annotation") for options in (item, common)]
    return Hardware(cpus, cores, memory, next((text for text in notes if text is not None), None))


def _customization(item: t.Mapping[str, t.Any], common: t.Mapping[str, t.Any], name: str) -> Customization | None:
    """A clone that names its own customization gets the common one below it; ``{}`` is one with nothing set."""
    given = [options.get("customize") for options in (item, common)]
    if given == [None, None]:
        return None
    return customization.parse(given[0] or {}, given[1] or {}, name)


def _nic(given: t.Mapping[str, t.Any], where: str) -> NicRequest:
    label, index = given.get("label") or None, given.get("index")
    if (label is None) == (index is None):
        raise InvalidOption(f"{where}: each of networks needs either label or index.", option="networks")
    mac = None if given.get("mac") in (None, "", "automatic") else str(given["mac"]).lower().replace("-", ":")
    if mac is not None and not _MAC.fullmatch(mac):
        raise InvalidOption(
            f"{where}: {given['mac']} is not a MAC address.", hint="Write it as 00:50:56:01:02:03.", option="mac"
        )
    if mac is not None and (int(mac[:2], 16) & 1 or mac == "00:00:00:00:00:00"):
        raise InvalidOption(
            f"{where}: {mac} is no address of a single NIC.", hint="Leave it to vCenter, or choose another.", option="mac"
        )
    network = given.get("network") or None
    return NicRequest(label=label, index=index, network=network, mac=mac, connected=given.get("connected"))


def _uuid(text: str | None, where: str) -> str | None:
    if not text:
        return None
    if not _UUID.fullmatch(text.lower()):
        raise InvalidOption(
            f"{where}: {text} is not a UUID.", hint="It is written as 8-4-4-4-12 hexadecimal digits.", option="bios_uuid"
        )
    return text.lower()


def _config(given: t.Mapping[str, t.Any], where: str) -> dict[str, str]:
    """Both mappings as whole extraConfig keys; guestinfo keys get their prefix."""
    config: dict[str, str] = {}
    for option in ("guestinfo", "extra_config"):
        for key, value in pairs(given.get(option), option, where):
            whole = key if option == "extra_config" or key.startswith("guestinfo.") else f"guestinfo.{key}"
            if whole.casefold() in (MARKER_KEY, CUSTOMIZED_KEY, TEMPLATE_KEY) or wake.is_own(whole):
                raise InvalidOption(f"{where}: the key {whole} is the collection's own.", option=option)
            if whole in config:
                raise InvalidOption(
                    f"{where}: the key {whole} is given twice.",
                    hint="Write it once, with or without its prefix.",
                    option=option,
                )
            config[whole] = value
    return config


def _refuse_duplicates(requests: t.Sequence[CloneRequest]) -> None:
    """Two requests for one name in one folder could never both be met; folders are compared as written."""
    counts = collections.Counter((request.folder or request.parent, request.name) for request in requests)
    twice = sorted(name for (_place, name), count in counts.items() if count > 1)
    if twice:
        raise InvalidOption(
            f"clones names {names.listing(twice)} more than once in the same folder.",
            hint="Give each clone of a folder its own name.",
            option="clones",
        )


def _refuse_shared_identity(requests: t.Sequence[CloneRequest]) -> None:
    """A MAC or BIOS UUID in the common options of several clones, or in two items, would be theirs together."""
    macs = [("networks", nic.mac) for request in requests for nic in request.networks if nic.mac]
    uuids = [("bios_uuid", request.bios_uuid) for request in requests if request.bios_uuid]
    for (option, value), count in collections.Counter(macs + uuids).items():
        if count > 1:
            raise InvalidOption(
                f"clones gives {value} to {count} NICs or VMs.",
                hint="Give each clone its own, in its item, or leave it to vCenter.",
                option=option,
            )
