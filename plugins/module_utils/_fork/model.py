# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""VMs that are, or are to be, parents of VMFork, their children, and what a task is asked to do
with them. Pure.
"""

from __future__ import annotations

import collections
import dataclasses
import typing as t

from .._connector import names
from .._connector.find import Selector, selectors
from .._errors import InvalidOption
from .._vsphere import wake
from .._vsphere.addresses import GuestNic, usable
from .._vsphere.compute import UNKNOWN, Place, Surroundings
from .._vsphere.freeze import ParentVm
from .._vsphere.guest import GuestCredentials
from .._vsphere.vm import Vm, pairs, vm_name
from .._vsphere.wake import FreezeMethod, Scripts

DISABLED, ENABLED, QUIESCED = "disabled", "enabled", "quiesced"

# The values of config.forkConfigInfo.childType. A persistent child becomes "none" with its first
# start: from then on it stands for itself.
NONE, PERSISTENT, NONPERSISTENT = "none", "persistent", "nonpersistent"

# A guest reads the parameter "hostname" as guestinfo.fork.hostname.
PARAMETER_PREFIX = "guestinfo.fork."

# The snapshot that persistent children rest on, where this collection makes it.
SNAPSHOT_NAME = "vforge-fork"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Child(Vm):
    """A child, or whatever else holds the name of one.

    :ivar kind: ``VirtualMachine``, ``Folder`` or ``VirtualApp``.
    :ivar child_type: as vCenter reports it; ``none`` for what is no child, and for a persistent one
        that was started.
    :ivar group_id: ``childForkGroupId``, which is its parent's ``parentForkGroupId``.
    :ivar macs: of its own NICs.
    :ivar config: its extraConfig as far as it was read; never in ``repr``.
    """

    kind: str = "VirtualMachine"
    place: Place = UNKNOWN
    child_type: str = NONE
    group_id: str = ""
    macs: tuple[str, ...] = ()
    guest: tuple[GuestNic, ...] = ()
    config: dict[str, str] = dataclasses.field(default_factory=dict, repr=False)

    @property
    def running(self) -> bool:
        """Whether it is on; one that is suspended needs its memory too."""
        return self.power_state not in ("", "poweredOff")

    def addresses(self, family: str = "any") -> list[str]:
        """The addresses that others can reach.

        A child goes on from its parent's memory: until its guest has bound its cards again it tells
        the parent's addresses, of cards with the parent's MACs.
        """
        return usable(
            (address for nic in self.guest if nic.mac in self.macs for address in nic.addresses),
            family,
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Parent(ParentVm):
    """A VM that is, or is to be, a parent, and what surrounds it.

    :ivar group_id: ``parentForkGroupId``; empty where VMFork is disabled.
    :ivar child_type: of a VM that is a child itself; ``none`` for others.
    :ivar known: whether vCenter keeps anything of VMFork for it, so that it can have children.
    :ivar snapshots: their names.
    :ivar place: where it is; ``around``: what its host offers to its children.
    :ivar children: as vCenter lists them; ``origin`` is its own parent.
    """

    bios_uuid: str
    enabled: bool
    quiesced: bool
    group_id: str
    child_type: str
    child_group_id: str
    known: bool
    snapshots: tuple[str, ...]
    folder: str
    folder_path: str
    datacenter: str
    place: Place
    around: Surroundings
    children: tuple[Child, ...] = ()
    origin: Child | None = None

    @property
    def state(self) -> str:
        """``disabled``, ``enabled`` or ``quiesced``."""
        if not self.enabled:
            return DISABLED
        return QUIESCED if self.quiesced else ENABLED

    @property
    def wake_scripts(self) -> int | None:
        """How many scripts its children run when they wake; None where nobody knows."""
        return self.record.wakes if self.quiesced and self.record is not None else None

    def has(self, vm: Child) -> bool:
        """Whether a VM is one of its children, as vCenter lists them or by the fork group."""
        return any(child.moid == vm.moid for child in self.children) or bool(self.group_id and vm.group_id == self.group_id)


PRESENT, ABSENT = "present", "absent"

METHOD = FreezeMethod(
    commands={
        "linux": "vmtoolsd --cmd 'vmfork-begin -1 -1'",
        "windows": "& (Join-Path $env:ProgramFiles 'VMware\\VMware Tools\\vmtoolsd.exe') --cmd 'vmfork-begin -1 -1'",
    },
    shown_by="runtime.quiescedForkParent",
    verb="quiesce",
    state=QUIESCED,
)

_PLACES = ("folder", "resource_pool", "datastore")


@dataclasses.dataclass(frozen=True)
class ChildRequest:
    """One child that is wanted, or is to go.

    :ivar parent: which of the task's VMs is its parent; None where there is only one.
    :ivar config: whole keys of extraConfig; may hold secrets and is never in ``repr``.
    """

    name: str
    state: str = PRESENT
    parent: Selector | None = None
    persistent: bool = False
    powered_on: bool = True
    folder: str | None = None
    resource_pool: str | None = None
    datastore: str | None = None
    config: dict[str, str] = dataclasses.field(default_factory=dict, repr=False)


@dataclasses.dataclass(frozen=True)
class ForkOptions:
    """What one task is asked to do.

    :ivar state: that the parents are brought to; None to leave them as they are.
    :ivar selectors: of the parents.
    :ivar credentials: of the parents' guests; needed only where one has to be quiesced.
    :ivar wait_for_wake: whether the end of the scripts that children run when they wake is waited
        for.
    :ivar timeout: seconds for all of the work, the lookup included.
    """

    state: str | None
    selectors: tuple[Selector, ...]
    datacenter: str | None
    children: tuple[ChildRequest, ...]
    credentials: GuestCredentials | None
    scripts: Scripts
    create_snapshot: bool
    allow_reset: bool
    wait_for_ip: bool
    wait_for_wake: bool
    ip_family: str
    timeout: int
    parallel: int

    @classmethod
    def from_params(cls, params: t.Mapping[str, t.Any]) -> ForkOptions:
        """Take the options out of a module's parameters.

        :raises InvalidOption: naming the option and the child.
        """
        parents = selectors(params)
        children = tuple(_child(item, params) for item in params.get("children") or ())
        _check_children(children, params.get("state"), len(parents))
        return cls(
            state=params.get("state"),
            selectors=parents,
            datacenter=params.get("datacenter"),
            children=children,
            credentials=GuestCredentials.from_params(params),
            scripts=Scripts.from_params(params, METHOD),
            create_snapshot=params["create_snapshot"],
            allow_reset=params["allow_reset"],
            wait_for_ip=params["wait_for_ip_address"],
            wait_for_wake=params["wait_for_wake"],
            ip_family=params["ip_family"],
            timeout=params["timeout"],
            parallel=params["parallel"],
        )


def _child(item: t.Mapping[str, t.Any], common: t.Mapping[str, t.Any]) -> ChildRequest:
    name = vm_name(item["name"], "child")
    where = f"child {name!r}"
    flags: dict[str, bool] = {
        key: item[key] if item.get(key) is not None else common[key] for key in ("persistent", "powered_on")
    }
    # An empty text is what a survey or a template gives for "not set".
    places: dict[str, str | None] = {key: item.get(key) or common.get(key) or None for key in _PLACES}
    return ChildRequest(
        name=name,
        state=item.get("state") or PRESENT,
        parent=Selector.from_params(item["parent"], "children[].parent") if item.get("parent") else None,
        config={**_config(common, where), **_config(item, where)},
        persistent=flags["persistent"],
        powered_on=flags["powered_on"],
        **places,
    )


def _config(given: t.Mapping[str, t.Any], where: str) -> dict[str, str]:
    """``config_params`` as whole keys; a key may be written as the guest reads it, too."""
    found = pairs(given.get("config_params"), "config_params", where)
    config = {PARAMETER_PREFIX + key.removeprefix(PARAMETER_PREFIX): value for key, value in found}
    own = [key for key in config if wake.is_own(key)]
    if own:
        raise InvalidOption(f"{where}: the key {own[0]} is the collection's own.", option="config_params")
    if len(config) < len(found):
        raise InvalidOption(
            f"{where}: config_params has a key twice.",
            hint=f"Write it once, with or without {PARAMETER_PREFIX}.",
            option="config_params",
        )
    return config


def _check_children(children: t.Sequence[ChildRequest], state: str | None, parents: int) -> None:
    wanted = [child for child in children if child.state == PRESENT]
    if wanted and state == DISABLED:
        raise InvalidOption(
            f"children asks for {wanted[0].name}, and a disabled parent can have no children made.",
            hint="Use state quiesced or enabled, or let children be absent.",
            option="children",
        )
    for child in children:
        if child.parent is None and parents > 1:
            raise InvalidOption(
                f"child {child.name!r}: with several parents each child needs to name its own.",
                hint="Set parent in its item of children, to one of parents.",
                option="children",
            )
    counts = collections.Counter((child.folder, child.name) for child in children)
    twice = sorted(name for (_folder, name), count in counts.items() if count > 1)
    if twice:
        raise InvalidOption(
            f"children names {names.listing(twice)} more than once in the same folder.",
            hint="Give each child of a folder its own name.",
            option="children",
        )
