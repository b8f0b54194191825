# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a task that clones is asked to do, and what there is in vSphere, as plain values. Pure."""

from __future__ import annotations

import collections
import dataclasses
import re
import typing as t

from .._connector import names
from .._connector.find import Selector, as_uuid
from .._errors import InvalidOption
from .._vsphere import wake
from .._vsphere.addresses import GuestNic, guest_nics, usable
from .._vsphere.compute import UNKNOWN, Place, Surroundings
from .._vsphere.disks import Disk
from .._vsphere.freeze import ParentVm
from .._vsphere.guest import GuestCredentials
from .._vsphere.markers import CUSTOMIZED_KEY, MARKER_KEY, RUN_KEY, TEMPLATE_KEY, level_of, parent_of
from .._vsphere.snapshots import Snapshot, SnapshotSelector
from .._vsphere.vm import LOST, Nic, Vm, pairs, vm_name

if t.TYPE_CHECKING:
    from .._vsphere.customization import Customization

PRESENT, ABSENT, PUBLISHED = "present", "absent", "published"

KEEP, ROLLBACK = "keep", "rollback"

LINKED, FULL = "linked", "full"

# What the disks of a clone are made of: a snapshot of the source, the delta disks below its
# topmost, or copies.
OF_SNAPSHOT, OF_DELTAS, COPIES = "snapshot", "deltas", "full"

# How far the run is that fills a clone which is to become a template.
OPEN, DELTAS_ADDED = "open", "layered"

_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")

_PLACES = ("folder", "resource_pool", "host", "datastore")

# What the plain values of a VM's configuration are

# When a value can be changed: at any time, only while the VM is off, while it runs only to more and
# with hot-add, or never once the VM is made.
ALWAYS, WHILE_OFF, HOT_ADD, NEVER = "always", "while off", "hot-add", "never"


@dataclasses.dataclass(frozen=True)
class Setting:
    """A plain value of a VM's configuration, from its option to the call that sets it.

    :ivar option: as results call it.
    :ivar path: the property that holds it.
    :ivar spec: the field of ``VirtualMachineConfigSpec`` that sets it.
    :ivar change: when an existing VM can get another value.
    :ivar hot_add: the property that says whether a running VM can get more, where that matters.
    :ivar instant: the field of ``InstantCloneSpec`` that sets it; empty where an instant clone has
        its parent's.
    """

    option: str
    path: str
    spec: str
    change: str
    hot_add: str = ""
    instant: str = ""


BIOS_UUID = Setting("bios_uuid", "config.uuid", "uuid", NEVER, instant="biosUuid")
CPU_CORES = Setting(
    "cpu.cores",
    "config.hardware.numCPU",
    "numCPUs",
    HOT_ADD,
    "config.cpuHotAddEnabled",
)
CORES_PER_SOCKET = Setting(
    "cpu.cores_per_socket",
    "config.hardware.numCoresPerSocket",
    "numCoresPerSocket",
    WHILE_OFF,
)
MEMORY_MB = Setting(
    "memory.size_mb",
    "config.hardware.memoryMB",
    "memoryMB",
    HOT_ADD,
    "config.memoryHotAddEnabled",
)
ANNOTATION = Setting("annotation", "config.annotation", "annotation", ALWAYS)

# In the order in which results list them.
SETTINGS = (CPU_CORES, CORES_PER_SOCKET, MEMORY_MB, ANNOTATION, BIOS_UUID)

Settings = t.Mapping[Setting, t.Any]


# What is asked for


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
class CloneRequest:
    """One wanted clone.

    :ivar host: not for an instant clone, which stays with its parent.
    :ivar config: whole keys of extraConfig; it may hold secrets and is never in ``repr``.
    :ivar settings: the plain values that are asked for; an instant clone has only a BIOS UUID.
    :ivar parent: the clone's own; None for that of the task.
    :ivar powered_on: whether it is to run; an instant clone always does.
    """

    name: str
    folder: str | None = None
    resource_pool: str | None = None
    host: str | None = None
    datastore: str | None = None
    networks: tuple[NicRequest, ...] = ()
    config: dict[str, str] = dataclasses.field(default_factory=dict, repr=False)
    settings: Settings = dataclasses.field(default_factory=dict)
    customization: Customization | None = None
    parent: Selector | None = None
    powered_on: bool = True


@dataclasses.dataclass(frozen=True, kw_only=True)
class CloneOptions:
    """What one task is asked to do, whatever way the clones are made in.

    :ivar parent: of the clones that name none of their own; the source of linked clones. Without
        one, which is only for ``absent``, a clone of any parent may be removed.
    :ivar datacenter: name or path of the datacenter in which the parent is looked for.
    :ivar timeout: seconds for all of the work, the lookup included.
    :ivar ip_nic: label of the NIC whose address is waited for; None for any.
    :ivar wait_for_wake: whether the end of the scripts that clones run when they wake is waited
        for.
    """

    state: str
    requests: tuple[CloneRequest, ...]
    parent: Selector | None
    datacenter: str | None
    parallel: int
    timeout: int
    wait_for_ip: bool
    ip_family: str
    ip_nic: str | None
    on_error: str
    force: bool
    wait_for_wake: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class InstantOptions(CloneOptions):
    """What one task of instant clones is asked to do.

    :ivar credentials: of the guests; None only where no guest is customized.
    """

    credentials: GuestCredentials | None = None

    @classmethod
    def from_params(cls, params: t.Mapping[str, t.Any]) -> InstantOptions:
        """Take the options out of a module's parameters.

        :raises InvalidOption: naming the option and the clone.
        """
        parent = params.get("parent")
        requests = tuple(parse(params))
        orphans = [each for each in requests if each.parent is None] if not parent else []
        if params["state"] == PRESENT and orphans:
            raise InvalidOption(
                "The option parent is not set.",
                hint="Name the running VM to clone.",
                option="parent",
            )
        _require_whole_folders(orphans, "parent")
        credentials = GuestCredentials.from_params(params)
        customizes = any(request.customization for request in requests)
        if params["state"] == PRESENT and credentials is None and customizes:
            raise InvalidOption(
                "The option guest_username is not set.",
                hint="Customizing works in the guest: set guest_username and guest_password.",
                option="guest_username",
            )
        return cls(
            **_common(params, requests, Selector.from_params(parent, "parent") if parent else None),
            credentials=credentials,
            wait_for_wake=params["wait_for_wake"],
        )

    @property
    def parents(self) -> list[Selector]:
        """What names the parents of the task, each once; that of the task first, used or not."""
        asked = [self.parent, *(request.parent for request in self.requests)]
        return list(dict.fromkeys(selector for selector in asked if selector is not None))


@dataclasses.dataclass(frozen=True, kw_only=True)
class LinkedOptions(CloneOptions):
    """What one task of linked or full clones is asked to do; ``parent`` is the source.

    :ivar snapshot: of the source that is cloned; None for the source as it is.
    :ivar disk_mode: ``linked`` or ``full``.
    :ivar add_delta_disks: whether a source that is off and has nothing to share gets delta disks.
    :ivar as_template: whether clones are to become templates.
    :ivar owner: what the run that fills templates calls itself; empty for nothing.
    :ivar other_versions: instance UUIDs of other versions of the source, whose clones are taken
        for its own.
    """

    snapshot: SnapshotSelector | None = None
    disk_mode: str = LINKED
    add_delta_disks: bool = False
    as_template: bool = False
    owner: str = ""
    other_versions: tuple[str, ...] = ()

    @classmethod
    def from_params(cls, params: t.Mapping[str, t.Any]) -> LinkedOptions:
        """Take the options out of a module's parameters.

        :raises InvalidOption: naming the option and the clone.
        """
        source = params.get("source")
        if params["state"] != ABSENT and not source:
            raise InvalidOption(
                "The option source is not set.",
                hint="Name the VM or template to clone.",
                option="source",
            )
        requests = tuple(parse(params))
        if not source:
            _require_whole_folders(requests, "source")
        running = [request for request in requests if request.powered_on]
        if params["wait_for_ip_address"] and requests and not running:
            raise InvalidOption(
                "wait_for_ip_address is set, and powered_on is not: a VM that is off has no address.",
                hint="Set powered_on, or do not wait.",
                option="wait_for_ip_address",
            )
        return cls(
            **_common(params, requests, Selector.from_params(source, "source") if source else None),
            snapshot=SnapshotSelector.from_params(params.get("snapshot")),
            disk_mode=params["disk_mode"],
            add_delta_disks=params["add_delta_disks"],
            as_template=params["as_template"],
            owner=params.get("owner") or "",
            other_versions=tuple(uuid.strip().lower() for uuid in params.get("other_versions") or ()),
        )


def _common(
    params: t.Mapping[str, t.Any],
    requests: tuple[CloneRequest, ...],
    parent: Selector | None,
) -> dict[str, t.Any]:
    """What the options of every way of cloning have in common."""
    return {
        "state": params["state"],
        "requests": requests,
        "parent": parent,
        "datacenter": params.get("datacenter"),
        "parallel": params["parallel"],
        "timeout": params["timeout"],
        "wait_for_ip": params["wait_for_ip_address"],
        "ip_family": params["ip_family"],
        "ip_nic": params.get("ip_nic") or None,
        "on_error": params["on_error"],
        "force": params["force"],
    }


def _require_whole_folders(requests: t.Iterable[CloneRequest], option: str) -> None:
    """Refuse what cannot be found: without the parent nobody says in which folder a clone is.

    :param option: that would name the parent.
    """
    for request in requests:
        if not (request.folder or "").startswith("/"):
            raise InvalidOption(
                f"clone {request.name!r}: without a {option}, folder must be a whole path.",
                hint=f"Write it as /Datacenter/vm/folder, or set {option}.",
                option="folder",
            )


def parse(params: t.Mapping[str, t.Any]) -> list[CloneRequest]:
    """The clones that parameters ask for: ``name``, or the list ``clones`` over common options.

    An empty list is no mistake: a list that a playbook works out may be empty, and then there is
    nothing to do.

    :raises InvalidOption: naming the clone and the option.
    """
    listed = params.get("clones")
    if bool(params.get("name")) == (listed is not None):
        raise InvalidOption("Set either name, for one clone, or clones, for a list of them.", option="name")
    if params.get("bios_uuid") and listed is not None:
        raise InvalidOption(
            "A bios_uuid belongs to one clone: set it in the items of clones.",
            option="bios_uuid",
        )
    alone = {"name": params["name"], "bios_uuid": params.get("bios_uuid")}
    requests = [_request(item, params) for item in ([alone] if listed is None else listed)]
    _refuse_duplicates(requests)
    _refuse_shared_identity(requests)
    return requests


def _request(item: t.Mapping[str, t.Any], common: t.Mapping[str, t.Any]) -> CloneRequest:
    name = vm_name(item["name"], "clone")
    where = f"clone {name!r}"
    # An empty text is what a survey or a template gives for "not set"; an empty list of networks
    # means "none".
    places = {key: item.get(key) or common.get(key) or None for key in _PLACES}
    networks = _first(item.get("networks"), common.get("networks"))
    return CloneRequest(
        name=name,
        **places,
        networks=tuple(_nic(nic, where) for nic in networks or ()),
        config=_config(common, where) | _config(item, where),
        settings=_settings(item, common, where),
        customization=_customization(item, common, name),
        parent=_parent_of(item, where),
        powered_on=_first(item.get("powered_on"), common.get("powered_on"), True),
    )


def _first(*given: t.Any) -> t.Any:
    """The first of some values that is not None."""
    return next((value for value in given if value is not None), None)


def _parent_of(item: t.Mapping[str, t.Any], where: str) -> Selector | None:
    given = item.get("parent")
    return Selector.from_params(given, f"{where}: parent") if given else None


def _settings(item: t.Mapping[str, t.Any], common: t.Mapping[str, t.Any], where: str) -> Settings:
    """What an item asks for, each part by itself over the common one."""

    def number(option: str, part: str) -> int | None:
        parts = [(given.get(option) or {}).get(part) for given in (item, common)]
        value: int | None = _first(*parts)
        if value is not None and value < 1:
            raise InvalidOption(f"{where}: {option}.{part} must be at least 1.", option=option)
        return value

    cpus, cores = number("cpu", "cores"), number("cpu", "cores_per_socket")
    memory = number("memory", "size_mb")
    if cpus and cores and cpus % cores:
        raise InvalidOption(
            f"{where}: {cpus} CPU cores cannot be divided into sockets of {cores}.",
            hint="Set cpu.cores to a multiple of cpu.cores_per_socket.",
            option="cpu",
        )
    if memory and memory % 4:
        raise InvalidOption(f"{where}: memory.size_mb must be a multiple of 4.", option="memory")
    asked = {
        CPU_CORES: cpus,
        CORES_PER_SOCKET: cores,
        MEMORY_MB: memory,
        ANNOTATION: _first(item.get("annotation"), common.get("annotation")),
        BIOS_UUID: as_uuid(item["bios_uuid"], "bios_uuid", where) if item.get("bios_uuid") else None,
    }
    return {setting: value for setting, value in asked.items() if value is not None}


def _customization(
    item: t.Mapping[str, t.Any],
    common: t.Mapping[str, t.Any],
    name: str,
) -> Customization | None:
    """A clone's own customization over the common one; ``{}`` is one with nothing set."""
    own, shared = item.get("customize"), common.get("customize")
    if own is None and shared is None:
        return None
    # Most tasks customize nothing, and so need not load what does.
    from .._vsphere import customization

    return customization.parse(own or {}, shared or {}, name)


def _nic(given: t.Mapping[str, t.Any], where: str) -> NicRequest:
    label, index = given.get("label") or None, given.get("index")
    if (label is None) == (index is None):
        raise InvalidOption(
            f"{where}: each of networks needs either label or index.",
            option="networks",
        )
    return NicRequest(
        label=label,
        index=index,
        network=given.get("network") or None,
        mac=_mac(given.get("mac"), where),
        connected=given.get("connected"),
    )


def _mac(given: t.Any, where: str) -> str | None:
    if given in (None, "", "automatic"):
        return None
    mac = str(given).lower().replace("-", ":")
    if not _MAC.fullmatch(mac):
        raise InvalidOption(
            f"{where}: {given} is not a MAC address.",
            hint="Write it as 00:50:56:01:02:03.",
            option="mac",
        )
    if int(mac[:2], 16) & 1 or mac == "00:00:00:00:00:00":
        raise InvalidOption(
            f"{where}: {mac} is no address of a single NIC.",
            hint="Leave it to vCenter, or choose another.",
            option="mac",
        )
    return mac


def _config(given: t.Mapping[str, t.Any], where: str) -> dict[str, str]:
    """Both mappings as whole extraConfig keys; guestinfo keys get their prefix."""
    own = (MARKER_KEY, CUSTOMIZED_KEY, RUN_KEY, TEMPLATE_KEY)
    config: dict[str, str] = {}
    for option in ("guestinfo", "extra_config"):
        for key, value in pairs(given.get(option), option, where):
            prefixed = option == "extra_config" or key.startswith("guestinfo.")
            whole = key if prefixed else f"guestinfo.{key}"
            if whole.casefold() in own or wake.is_own(whole):
                raise InvalidOption(
                    f"{where}: the key {whole} is the collection's own.",
                    option=option,
                )
            if whole in config:
                raise InvalidOption(
                    f"{where}: the key {whole} is given twice.",
                    hint="Write it once, with or without its prefix.",
                    option=option,
                )
            config[whole] = value
    return config


def _refuse_duplicates(requests: t.Sequence[CloneRequest]) -> None:
    """Two requests for one name in one folder could never both be met.

    Folders are compared as written.
    """
    counts = collections.Counter((request.folder or request.parent, request.name) for request in requests)
    twice = sorted(name for (_place, name), count in counts.items() if count > 1)
    if twice:
        raise InvalidOption(
            f"clones names {names.listing(twice)} more than once in the same folder.",
            hint="Give each clone of a folder its own name.",
            option="clones",
        )


def _refuse_shared_identity(requests: t.Sequence[CloneRequest]) -> None:
    """A MAC or BIOS UUID that several clones are given would be theirs together."""
    asked: list[tuple[str, str]] = []
    for request in requests:
        asked += [("networks", nic.mac) for nic in request.networks if nic.mac]
        if BIOS_UUID in request.settings:
            asked.append((BIOS_UUID.option, request.settings[BIOS_UUID]))
    for (option, value), count in collections.Counter(asked).items():
        if count > 1:
            raise InvalidOption(
                f"clones gives {value} to {count} NICs or VMs.",
                hint="Give each clone its own, in its item, or leave it to vCenter.",
                option=option,
            )


# What there is


@dataclasses.dataclass(frozen=True, kw_only=True)
class Parent(ParentVm):
    """The VM that instant clones are made of, and what surrounds it.

    :cvar role: what options, messages and results call it.
    :cvar shares_memory: whether a clone goes on from its memory, and so has its addresses at first.
    :ivar datacenter: moid of its datacenter; ``vms_path``: path of the VM folder of that.
    :ivar place: where it is; ``around``: what its host offers to its clones.
    :ivar nics: in the order of their labels.
    :ivar guest: its network as its guest reports it.
    """

    role: t.ClassVar[str] = "parent"
    shares_memory: t.ClassVar[bool] = True

    frozen: bool
    folder: str
    folder_path: str
    datacenter: str
    vms_path: str
    place: Place
    around: Surroundings
    nics: tuple[Nic, ...]
    disks: tuple[Disk, ...]
    guest: tuple[GuestNic, ...]

    @property
    def wake_scripts(self) -> int:
        """How many scripts a clone of it runs when it wakes, and reports the end of."""
        return self.record.wakes if self.frozen and self.record is not None else 0

    @property
    def delta_levels(self) -> int:
        """The levels of delta disks above the base, of the disk that has most."""
        return max((disk.levels for disk in self.disks), default=0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Source(Parent):
    """What linked and full clones are made of; ``around`` is what there is where a clone goes.

    :ivar snapshots: in the order of the tree.
    :ivar send_host: whether the host goes into the call, because it was asked for or nobody else
        would choose one.
    """

    role: t.ClassVar[str] = "source"
    shares_memory: t.ClassVar[bool] = False

    snapshots: tuple[Snapshot, ...] = ()
    send_host: bool = True


def no_folder(request: CloneRequest, parent: Parent | None) -> InvalidOption | None:
    """Why nothing says in which folder a clone is; None where something does."""
    if request.folder or parent is None or parent.folder:
        return None
    return InvalidOption(
        f"clone {request.name!r}: no folder of the {parent.role} is known: it is in a vApp, or this user may not see it.",
        hint="Set folder.",
        option="folder",
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Existing(Vm):
    """What holds a wanted name: a VM, or another object of the folder.

    :ivar kind: ``VirtualMachine``, ``Folder`` or ``VirtualApp``.
    :ivar connection: as vCenter calls it; ``connected`` of a VM that it reaches.
    :ivar settings: plain values of its configuration, as far as they were read.
    :ivar hot_add: the settings of which it can get more while it runs.
    :ivar extra_config: of a VM; never in ``repr``.
    """

    kind: str = "VirtualMachine"
    connection: str = ""
    place: Place = UNKNOWN
    settings: Settings = dataclasses.field(default_factory=dict)
    hot_add: frozenset[Setting] = frozenset()
    nics: tuple[Nic, ...] = ()
    guest: tuple[GuestNic, ...] = ()
    extra_config: dict[str, str] = dataclasses.field(default_factory=dict, repr=False)

    @property
    def half_made(self) -> bool:
        """Whether somebody is still making this VM.

        It is seen by name long before it has a configuration and a host.
        """
        is_vm = self.kind == "VirtualMachine" and bool(self.power_state)
        return is_vm and not self.instance_uuid and not self.place.host and not self.is_lost

    @property
    def is_lost(self) -> bool:
        """Whether vCenter does not reach its files, so that nobody knows whose it is."""
        return not self.instance_uuid and self.connection in LOST

    @property
    def bios_uuid(self) -> str:
        """Its BIOS UUID, or empty."""
        return str(self.settings.get(BIOS_UUID) or "")

    def parent_uuid(self) -> str | None:
        """Instance UUID of the parent that its owner mark names; None where it has no such mark."""
        return parent_of(self.extra_config.get(MARKER_KEY, ""), self.name)

    def customized(self) -> bool:
        """Whether this VM is marked as one whose guest was customized."""
        return self.extra_config.get(CUSTOMIZED_KEY) == self.name

    @property
    def filled_by(self) -> str | None:
        """Who fills it to make a template of it; empty where that has no name.

        None where nobody does.
        """
        phase, owner = self._template_mark()
        return owner if phase == OPEN else None

    @property
    def has_new_deltas(self) -> bool:
        """Whether a run that publishes it has come as far as to put delta disks on its disks."""
        return self._template_mark()[0] == DELTAS_ADDED

    def _template_mark(self) -> tuple[str, str]:
        return level_of(self.extra_config.get(TEMPLATE_KEY, ""), self.name) or ("", "")

    def addresses(self, family: str = "any", label: str | None = None) -> list[str]:
        """The addresses that others can reach, of the VM's NICs only.

        A bridge inside the guest is none of them.

        :param family: ``ipv4``, ``ipv6`` or ``any``.
        :param label: of one NIC, in any case of letters; None for all.
        """
        chosen = [nic for nic in self.nics if label is None or same_label(nic.label, label)]
        keys, macs = {nic.key for nic in chosen}, {nic.mac for nic in chosen}
        own = [nic for nic in self.guest if nic.key in keys or (nic.key is None and nic.mac in macs)]
        return usable((address for nic in own for address in nic.addresses), family)


def same_label(left: str, right: str) -> bool:
    """Whether two texts are one label of a device; case does not matter."""
    return left.casefold() == right.casefold()


def own_guest(net: t.Iterable[t.Any], parent: Parent | None) -> tuple[GuestNic, ...]:
    """What a guest reports of its network in ``guest.net``, without what is still its parent's.

    A clone goes on from its parent's memory, so at first it has the addresses of its parent, and
    until its driver looks again even the MACs. To wait for an address and get that one would send
    everybody to the parent.
    """
    reported = guest_nics(net)
    if parent is None or not parent.shares_memory:
        return tuple(reported)
    theirs = {address for nic in parent.guest for address in nic.addresses}
    macs = {nic.mac for nic in parent.nics}
    return tuple(_without(nic, theirs) for nic in reported if nic.mac not in macs)


def _without(nic: GuestNic, addresses: t.Collection[str]) -> GuestNic:
    kept = tuple(address for address in nic.addresses if address not in addresses)
    return dataclasses.replace(nic, addresses=kept)
