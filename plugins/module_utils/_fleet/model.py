# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A fleet: what it is asked to be, how its VMs are called, and what there is of it. Pure."""

from __future__ import annotations

import dataclasses
import hashlib
import ipaddress
import re
import typing as t

from .._connector.find import Selector
from .._connector.names import is_sendable, unescape
from .._errors import InvalidOption
from .._vsphere.compute import Datastore, Host
from .._vsphere.wake import FreezeMethod, Scripts

PRESENT, ABSENT = "present", "absent"
FULL, LINKED = "full", "linked"
INSTANT_CLONE, VMFORK = "instant_clone", "vmfork"

MIB = 1024 * 1024

# Limit of the API for the name of a VM.
_LONGEST_NAME = 80

# Of scripts only the names of the options are needed here: nothing is frozen.
METHOD = FreezeMethod(commands={}, shown_by="", verb="freeze", state="frozen")

# Registered VMs of one vCenter Server 8.0 (VMware's configuration maximums); more is a slip.
MOST_VMS = 45_000


# Names and addresses


class Pattern:
    """What the names of a fleet look like: a run of ``#`` stands for a number of at least as many
    digits.

    :ivar fleet: what the fleet itself is called: the pattern without its number.
    """

    def __init__(self, given: str, count: int = 1) -> None:
        """Read a pattern.

        :param count: the highest number, whose name is the longest.
        :raises InvalidOption: it is none, or makes names that no VM can have.
        """
        text = unescape(given)
        runs = re.findall("#+", text)
        if len(runs) != 1 or "/" in text or not text.strip("#").strip():
            raise InvalidOption(
                f"The option name is {given!r}, which is no pattern of names.",
                hint="Write it with one run of # for the number, such as web-###, and without a slash.",
                option="name",
            )
        self._before, _run, self._after = text.partition(runs[0])
        self._digits = len(runs[0])
        self.fleet = "-".join(part for part in (self._before.strip("-_. "), self._after.strip("-_. ")) if part)
        if len(self.name(max(count, 1))) > _LONGEST_NAME:
            raise InvalidOption(
                f"The option name makes names of more than {_LONGEST_NAME} characters.",
                option="name",
            )

    def name(self, number: int) -> str:
        """The name of the VM with this number."""
        return f"{self._before}{number:0{self._digits}d}{self._after}"

    def number(self, name: str) -> int | None:
        """The number in a name, or None where the name is none of this fleet."""
        number = int(self._number_in(name) or 0)
        return number if number and self.name(number) == name else None

    def other_digits(self, name: str) -> int:
        """How many digits a name has that is one but for their number; 0 for any other name."""
        digits = self._number_in(name)
        return len(digits) if int(digits or 0) and self.name(int(digits)) != name else 0

    def may_be_of_others(self, number: int, others: t.Iterable[int]) -> bool:
        """Whether patterns with so many digits have the same name for a number: ``web-100`` is one
        of ``web-##`` and of ``web-###``.
        """
        return any(len(str(number)) >= max(self._digits, digits) for digits in others)

    def _number_in(self, name: str) -> str:
        found = re.fullmatch(f"{re.escape(self._before)}([0-9]+){re.escape(self._after)}", name)
        return found[1] if found else ""


def parent_name(fleet: str, host_name: str, host: str, version: str) -> str:
    """The name of the parent of one version on one host; the last part makes it the only one of
    this name.

    :param host: moid of the host.
    """
    short = host_name if re.fullmatch(r"[0-9.]+|.*:.*", host_name) else host_name.partition(".")[0]
    tail = hashlib.sha256(f"{host} {version}".encode()).hexdigest()[:6]
    return f"{f'{fleet}-parent-{short}'[: _LONGEST_NAME - len(tail) - 1]}-{tail}"


def addresses(given: t.Sequence[str], count: int) -> list[str]:
    """The fixed addresses, checked: the n-th belongs to the VM with number n. An empty list means
    DHCP.

    :raises InvalidOption: for one that is none, one that is there twice, and for too few.
    """
    if not given:
        return []
    seen: set[str] = set()
    for text in given:
        alone = _address(text)
        if alone in seen:
            raise InvalidOption(f"The option addresses names {alone} more than once.", option="addresses")
        seen.add(alone)
    if len(given) < count:
        raise InvalidOption(
            f"The option addresses has {len(given)} addresses for {count} VMs.",
            hint="Give one for each, in the order of their numbers, or none at all for DHCP.",
            option="addresses",
        )
    return list(given)


def is_address(text: str) -> bool:
    """Whether a text is an address with its prefix; a guest may have written anything."""
    try:
        return "/" in text and bool(ipaddress.ip_interface(text))
    except ValueError:
        return False


def address_alone(text: str) -> str:
    """An address without its prefix; what is none stays as it is."""
    try:
        return str(ipaddress.ip_interface(text).ip)
    except ValueError:
        return text


def _address(text: str) -> str:
    try:
        known = ipaddress.ip_interface(text) if "/" in text else None
    except ValueError:
        known = None
    if known is None:
        raise InvalidOption(
            f"The option addresses has {text!r}, which is no address with its prefix.",
            hint="Write each as 10.0.0.11/24.",
            option="addresses",
        )
    return str(known.ip)


# The options


@dataclasses.dataclass(frozen=True)
class FleetOptions:
    """What the fleet is to be.

    :ivar kind: how clones are made: as instant clones, or by VMFork.
    :ivar golden: what the parents are made of; None only where the fleet is to be absent.
    :ivar version: of the golden VM, as the user calls it; None to take it from the VM.
    :ivar snapshot: name of the snapshot of the golden VM that parents are made
        from; None for its present state.
    :ivar clusters: names or paths of the compute resources on whose hosts it may be.
    :ivar hosts: names of the hosts on which it may be; empty for all of the clusters.
    :ivar folder: of the clones; None for that of the golden VM.
    :ivar parents_folder: of the parents; None for that of the clones.
    :ivar datastore: of the parents; None for that of the golden VM where a host sees it.
    :ivar clone_memory: MiB that a clone takes of its host, apart from
        what it shares with its parent.
    :ivar scripts: that parents are frozen with; none where nobody says which.
    :ivar clone_disk: MiB that a clone takes of its datastore; None for as much as it has memory.
    """

    kind: str
    state: str
    pattern: Pattern
    count: int
    golden: Selector | None
    datacenter: str | None
    version: str | None
    snapshot: str | None
    disk_mode: str
    clusters: tuple[str, ...]
    hosts: tuple[str, ...]
    folder: str | None
    parents_folder: str | None
    datastore: str | None
    addresses: tuple[str, ...]
    clone_memory: int
    clone_disk: int | None
    batch_size: int
    scripts: Scripts = dataclasses.field(default_factory=Scripts)

    @classmethod
    def from_params(cls, params: t.Mapping[str, t.Any]) -> FleetOptions:
        """Take the options out of a module's parameters.

        :raises InvalidOption: naming the option.
        """
        state, golden = params["state"], params.get("golden")
        count = params["count"] if state == PRESENT else 0
        pattern = Pattern(params["name"], count)
        _check(params, state, golden)
        snapshot = params.get("golden_snapshot") or None
        mode = params.get("disk_mode") or (LINKED if snapshot else FULL)
        return cls(
            kind=params["kind"],
            state=state,
            pattern=pattern,
            count=count,
            golden=Selector.from_params(golden, "golden") if golden else None,
            datacenter=params.get("datacenter") or None,
            version=params.get("golden_version") or None,
            snapshot=snapshot,
            disk_mode=mode,
            clusters=tuple(params.get("clusters") or ()),
            hosts=tuple(params.get("hosts") or ()),
            folder=params.get("folder") or None,
            parents_folder=params.get("parents_folder") or None,
            datastore=params.get("datastore") or None,
            addresses=tuple(addresses(params.get("addresses") or (), count)),
            clone_memory=params["clone_memory_mb"],
            clone_disk=params.get("clone_disk_mb"),
            batch_size=params["batch_size"],
            scripts=Scripts.from_params(params, METHOD),
        )


def _check(params: t.Mapping[str, t.Any], state: str, golden: t.Any) -> None:
    least = {"count": 0, "batch_size": 1, "clone_memory_mb": 0, "clone_disk_mb": 0}
    for option, smallest in least.items():
        if params.get(option) is not None and params[option] < smallest:
            raise InvalidOption(f"The option {option} must be at least {smallest}.", option=option)
    if params["count"] > MOST_VMS:
        raise InvalidOption(f"The option count is at most {MOST_VMS}: no vCenter has more VMs.", option="count")
    if not is_sendable(params.get("golden_version") or ""):
        raise InvalidOption("The option golden_version has a control character.", option="golden_version")
    if state == PRESENT and not golden:
        raise InvalidOption(
            "The option golden is not set.",
            hint="Name the VM or template to make parents of.",
            option="golden",
        )
    if state == PRESENT and not params.get("clusters") and not params.get("hosts"):
        raise InvalidOption(
            "Neither clusters nor hosts is set.",
            hint="Say where the fleet may be.",
            option="clusters",
        )
    if not golden:
        for option in ("folder", "parents_folder"):
            if not (params.get(option) or "/").startswith("/") or (option == "folder" and not params.get(option)):
                raise InvalidOption(
                    f"Without golden, {option} must be a whole path.",
                    hint="Write it as /Datacenter/vm/folder.",
                    option=option,
                )


# What there is


@dataclasses.dataclass(frozen=True)
class Golden:
    """What the parents are made of.

    :ivar version: changes when it does.
    :ivar memory: MiB.
    :ivar disk: MiB that a full clone of it takes.
    :ivar datastores: moids of those on which it lies.
    """

    moid: str
    name: str
    path: str
    instance_uuid: str
    template: bool
    version: str
    memory: int
    disk: int
    datacenter: str
    folder_path: str
    datastores: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Parent:
    """A parent of this fleet.

    :ivar ready: whether clones can be made of it.
    :ivar host: moid.
    :ivar group: its fork group, where it is a parent of VMFork.
    """

    moid: str
    name: str
    path: str
    instance_uuid: str
    version: str
    host: str
    ready: bool
    group: str = ""


@dataclasses.dataclass(frozen=True)
class Clone:
    """A clone of this fleet.

    :ivar parent: instance UUID of its parent.
    :ivar version: of the golden VM that its parent was made of.
    :ivar host: moid.
    :ivar address: that its guest reports, or empty.
    :ivar ipv4: the fixed one that it was made with, or empty.
    """

    moid: str
    name: str
    number: int
    parent: str
    version: str
    host: str
    address: str = ""
    ipv4: str = ""


@dataclasses.dataclass(frozen=True)
class Renamed:
    """A VM that runs and was a clone of this fleet until somebody gave it another name.

    :ivar ipv4: the fixed address that it was made with.
    """

    name: str
    ipv4: str


@dataclasses.dataclass(frozen=True)
class Situation:
    """All that a plan is made from.

    :ivar golden: None only where the fleet is to be absent.
    :ivar hosts: on which it may be, in the order of their names.
    :ivar clusters: names of their clusters, by moid.
    :ivar datastores: that they see, by moid.
    :ivar taken: names of this fleet that something else has -> what that is.
    :ivar unknown: those of them of which nobody knows whose they are.
    :ivar renamed: with the addresses that nobody else may get while they run.
    """

    golden: Golden | None
    folder_path: str
    parents_path: str
    hosts: tuple[Host, ...]
    clusters: t.Mapping[str, str]
    datastores: t.Mapping[str, Datastore]
    parents: tuple[Parent, ...]
    clones: tuple[Clone, ...]
    taken: t.Mapping[str, str]
    unknown: tuple[str, ...] = ()
    renamed: tuple[Renamed, ...] = ()
