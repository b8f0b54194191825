# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What there is: VMs that are, or are to be, parents of VMFork, and their children. Plain values, no pyVmomi."""

from __future__ import annotations

import dataclasses
import typing as t

from .._connector.addresses import GuestNic, usable
from .._connector.places import Pool

DISABLED, ENABLED, QUIESCED = "disabled", "enabled", "quiesced"

# The values of config.forkConfigInfo.childType. A persistent child becomes "none" with its first start: from then on it
# stands for itself.
NONE, PERSISTENT, NONPERSISTENT = "none", "persistent", "nonpersistent"

# A guest reads the parameter "hostname" as guestinfo.fork.hostname.
PARAMETER_PREFIX = "guestinfo.fork."

# The snapshot that persistent children rest on, where this collection makes it.
SNAPSHOT_NAME = "vforge-fork"


@dataclasses.dataclass(frozen=True)
class Child:
    """A child, or whatever else holds the name of one.

    :ivar kind: ``VirtualMachine``, ``Folder`` or ``VirtualApp``.
    :ivar child_type: as vCenter tells it; ``none`` for what is no child, and for a persistent one that was started.
    :ivar group_id: ``childForkGroupId``, which is its parent's ``parentForkGroupId``.
    :ivar macs: of its own NICs.
    :ivar config: its extraConfig as far as it was read; never in ``repr``.
    """

    moid: str
    name: str
    path: str = ""
    kind: str = "VirtualMachine"
    instance_uuid: str = ""
    power_state: str = ""
    host_name: str = ""
    pool: str = ""
    pool_name: str = ""
    datastores: tuple[str, ...] = ()
    datastore_names: tuple[str, ...] = ()
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

        A child goes on from its parent's memory: until its guest has bound its cards anew it tells the parent's addresses, of
        cards with the parent's MACs.
        """
        return usable((address for nic in self.guest if nic.mac in self.macs for address in nic.addresses), family)


@dataclasses.dataclass(frozen=True)
class Parent:
    """A VM that is, or is to be, a parent, and what surrounds it.

    :ivar group_id: ``parentForkGroupId``; empty where VMFork is disabled.
    :ivar child_type: of a VM that is a child itself; ``none`` for others.
    :ivar known: whether vCenter keeps anything of VMFork for it, so that it can have children.
    :ivar tools: whether Tools run and take guest operations; not while it is quiesced.
    :ivar pools: of the compute resource of its host; ``datastores``: name -> moid of those that its host reaches.
    :ivar children: as vCenter lists them; ``origin`` is its own parent.
    """

    moid: str
    name: str
    path: str
    instance_uuid: str
    bios_uuid: str
    power_state: str
    template: bool
    enabled: bool
    quiesced: bool
    group_id: str
    child_type: str
    child_group_id: str
    known: bool
    tools: bool
    tools_installed: bool
    snapshots: tuple[str, ...]
    folder: str
    folder_path: str
    datacenter: str
    pool: str
    host_name: str
    host_available: bool
    compute_resource: str
    pools: tuple[Pool, ...]
    datastores: t.Mapping[str, str]
    datastore_names: tuple[str, ...]
    children: tuple[Child, ...] = ()
    origin: Child | None = None

    @property
    def state(self) -> str:
        """``disabled``, ``enabled`` or ``quiesced``."""
        if not self.enabled:
            return DISABLED
        return QUIESCED if self.quiesced else ENABLED

    def has(self, vm: Child) -> bool:
        """Whether a VM is one of its children, as vCenter lists them or by the fork group."""
        return any(child.moid == vm.moid for child in self.children) or bool(self.group_id and vm.group_id == self.group_id)
