# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What there is: the parent, what its host offers, and the VMs that hold the wanted names. Plain values, no pyVmomi."""

from __future__ import annotations

import dataclasses
import typing as t

from .._vsphere.addresses import GuestNic, guest_nics, usable
from .._vsphere.markers import CUSTOMIZED_KEY, MARKER_KEY, parent_of
from .._vsphere.places import Pool
from .._vsphere.wake import FreezeRecord
from .request import AS_IT_IS, Hardware


@dataclasses.dataclass(frozen=True)
class Network:
    """A network that the parent's host sees.

    :ivar kind: ``standard``, ``distributed`` or ``opaque``.
    :ivar backing_id: what a NIC's backing holds for it: the moid of a standard network, the key of a port group, the ID of an
        opaque network.
    :ivar switch_uuid: of the distributed switch.
    :ivar opaque_type: type of an opaque network.
    """

    moid: str
    name: str
    kind: str
    backing_id: str
    switch_uuid: str = ""
    opaque_type: str = ""


@dataclasses.dataclass(frozen=True)
class Nic:
    """A virtual NIC. ``backing_id`` as in Network; ``network`` is its name where known.

    ``card`` is vSphere's own object, which only ``api.py`` looks into.
    """

    key: int
    label: str
    mac: str
    backing_id: str
    connected: bool
    network: str = ""
    card: object = dataclasses.field(default=None, repr=False, compare=False)


@dataclasses.dataclass(frozen=True)
class Parent:
    """The parent VM and what surrounds it.

    :ivar nics: in the order of their keys, which is the order of the labels.
    :ivar guest: its network as its guest tells it.
    :ivar datastore_names: on which it lies.
    :ivar pools: of the compute resource of its host.
    :ivar networks: that its host sees.
    :ivar datastores: name -> moid of the accessible ones that its host sees.
    :ivar record: what its guest told of itself when it was frozen last; it counts while it is frozen.
    :ivar role: what messages call it.
    :ivar shares_memory: whether a clone goes on from its memory, and so has its addresses at first.
    """

    moid: str
    name: str
    path: str
    instance_uuid: str
    power_state: str
    template: bool
    frozen: bool
    folder: str
    folder_path: str
    datacenter: str
    pool: str
    host: str
    host_name: str
    host_available: bool
    compute_resource: str
    nics: tuple[Nic, ...]
    guest: tuple[GuestNic, ...]
    datastore_names: tuple[str, ...]
    pools: tuple[Pool, ...]
    networks: tuple[Network, ...]
    datastores: dict[str, str]
    role: str = "parent"
    shares_memory: bool = True
    record: FreezeRecord | None = None

    @property
    def wake_scripts(self) -> int:
        """How many scripts a clone of it runs when it wakes, and tells the end of."""
        return self.record.wakes if self.frozen and self.record is not None else 0


@dataclasses.dataclass(frozen=True)
class Existing:
    """What holds a wanted name: a VM, or another entity of the folder.

    :ivar kind: ``VirtualMachine``, ``Folder`` or ``VirtualApp``.
    :ivar extra_config: of a VM; never in ``repr``.
    """

    moid: str
    name: str
    kind: str = "VirtualMachine"
    instance_uuid: str = ""
    bios_uuid: str = ""
    power_state: str = ""
    pool: str = ""
    pool_name: str = ""
    host: str = ""
    host_name: str = ""
    datastores: tuple[str, ...] = ()
    datastore_names: tuple[str, ...] = ()
    template: bool = False
    hardware: Hardware = AS_IT_IS
    hot_add_cpu: bool = False
    hot_add_memory: bool = False
    nics: tuple[Nic, ...] = ()
    guest: tuple[GuestNic, ...] = ()
    extra_config: dict[str, str] = dataclasses.field(default_factory=dict, repr=False)

    @property
    def half_made(self) -> bool:
        """Whether somebody is still making this VM: it is seen by name long before it has a configuration and a host."""
        return self.kind == "VirtualMachine" and bool(self.power_state) and not self.instance_uuid and not self.host

    def parent_uuid(self) -> str | None:
        """Instance UUID of the parent that this VM is marked as a clone of, or None where it is no marked clone."""
        return parent_of(self.extra_config.get(MARKER_KEY, ""), self.name)

    def customized(self) -> bool:
        """Whether this VM is marked as one whose guest was customized."""
        return self.extra_config.get(CUSTOMIZED_KEY) == self.name

    def addresses(self, family: str = "any", label: str | None = None) -> list[str]:
        """The addresses that others can reach, of the VM's NICs only: a bridge inside the guest is none of them.

        :param family: ``ipv4``, ``ipv6`` or ``any``.
        :param label: of one NIC, in any case of letters; None for all.
        """
        chosen = [nic for nic in self.nics if label is None or nic.label.casefold() == label.casefold()]
        keys, macs = {nic.key for nic in chosen}, {nic.mac for nic in chosen}
        told = [nic for nic in self.guest if nic.key in keys or (nic.key is None and nic.mac in macs)]
        return usable((address for nic in told for address in nic.addresses), family)


def own_guest(net: t.Iterable[t.Any], parent: Parent | None) -> tuple[GuestNic, ...]:
    """What a guest tells of its network in ``guest.net``, without what is still its parent's.

    A clone goes on from its parent's memory, so at first it has the addresses of its parent, and until its driver looks
    again even the MACs. To wait for an address and get that one would send everybody to the parent.
    """
    told = guest_nics(net)
    if parent is None or not parent.shares_memory:
        return tuple(told)
    theirs = {address for nic in parent.guest for address in nic.addresses}
    macs = {nic.mac for nic in parent.nics}
    return tuple(
        dataclasses.replace(nic, addresses=tuple(address for address in nic.addresses if address not in theirs))
        for nic in told
        if nic.mac not in macs
    )
