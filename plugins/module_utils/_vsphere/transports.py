# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ways to the content of a disk, and why one of them does not lead to it. Pure.

Each rule returns a reason, as a part of a sentence, and an empty text where there is none. What
they rest on is in the documentation of backups over the API: "Best Practices for HotAdd Transport"
of the VDDK programming guide 8.0 (no IDE disks; the disk is detached before the snapshot goes),
article 306343 of Broadcom's knowledge base (HotAdd and vSAN), and "Encrypted Virtual Machine
limitations" of vSphere Security.
"""

from __future__ import annotations

import dataclasses
import typing as t

from .flat import without_files

if t.TYPE_CHECKING:
    from .disks import Disk

DATASTORE_HTTP, EXPORT, HOTADD, NBD = "datastore_http", "export", "hotadd", "nbd"

# Those by which a part of a disk can be read; a lease has whole disks.
INCREMENTS = (NBD, HOTADD, DATASTORE_HTTP)

_POWERED_OFF = "poweredOff"
_FLAT, _SPARSE = "FlatVer2", "SeSparse"
_VSAN = "vsan"


@dataclasses.dataclass(frozen=True)
class Way:
    """Whether a transport leads to the content of a VM's disks.

    :ivar reason: why it does not; empty where it does, as far as that is known before it is tried.
    """

    name: str
    reason: str = ""

    @property
    def usable(self) -> bool:
        """Whether nothing is known that speaks against it."""
        return not self.reason

    @property
    def increments(self) -> bool:
        """Whether a part of a disk can be read by it."""
        return self.name in INCREMENTS

    def as_result(self) -> dict[str, t.Any]:
        """As results have it."""
        return {"name": self.name, "usable": self.usable, "reason": self.reason}


@dataclasses.dataclass(frozen=True)
class Store:
    """A datastore, as far as it decides who can read from it.

    :ivar kind: ``VMFS``, ``NFS``, ``vsan`` and so on.
    :ivar hosts: moids of the hosts that have it.
    """

    kind: str
    hosts: frozenset[str] = frozenset()


@dataclasses.dataclass(frozen=True)
class Subject:
    """A VM whose disks are to be read.

    :ivar datacenter: inventory path.
    :ivar stores: the datastores of its disks, by their names.
    :ivar encrypted: whether its home is.
    """

    moid: str
    power_state: str
    datacenter: str
    stores: t.Mapping[str, Store]
    encrypted: bool = False


@dataclasses.dataclass(frozen=True)
class Proxy:
    """The VM that the module runs in, to which disks are attached.

    :ivar host: moid of the host that it runs on.
    :ivar kinds: kinds of the datastores that it lies on.
    :ivar uuids: of the disks that it has.
    :ivar slots: free places of its SCSI controllers: key of the controller, and unit.
    :ivar names_disks: whether its guest sees the UUIDs of its disks (``disk.EnableUUID``).
    """

    moid: str
    path: str
    datacenter: str
    host: str
    kinds: frozenset[str]
    uuids: frozenset[str]
    slots: tuple[tuple[int, int], ...]
    names_disks: bool = True
    encrypted: bool = False


def datastore_http(vm: Subject, disk: Disk) -> str:
    """Why ranges of a disk cannot be had over the path of its datastore."""
    if disk.backing != _FLAT:
        return f"its backing is {disk.backing}"
    if disk.levels:
        return "it is a delta disk, whose content is in several files"
    if store_of(vm.stores, disk).kind == _VSAN:
        return "vSAN has no files of disks"
    if without_files(store_of(vm.stores, disk).kind):
        return without_files(store_of(vm.stores, disk).kind)
    if disk.encrypted:
        return "it is encrypted, and so is its file"
    if vm.power_state != _POWERED_OFF:
        return f"the VM is {vm.power_state}, and its host has locked the file"
    return ""


def export(vm: Subject, disk: Disk) -> str:
    """Why a disk cannot come by an export lease."""
    if disk.encrypted:
        return "it is encrypted, and vCenter exports no encrypted disks"
    if vm.power_state == _POWERED_OFF and disk.backing == _FLAT:
        return ""
    return "independent disks and raw devices are in no snapshot" if disk.mode.startswith("independent") else ""


def hotadd(vm: Subject, disk: Disk, proxy: Proxy | str) -> str:
    """Why a disk cannot be attached to the VM that the module runs in.

    :param proxy: that VM, or why there is none.
    """
    if isinstance(proxy, str):
        return proxy
    reason = _not_beside(vm, proxy) or _not_by_kind(disk) or _not_there(store_of(vm.stores, disk), proxy, f"of {disk.file}")
    if not reason and (disk.encrypted or vm.encrypted) and not proxy.encrypted:
        reason = f"it is encrypted, and {proxy.path} is not"
    if not reason and disk.uuid in proxy.uuids:
        reason = f"{proxy.path} has a disk with the same UUID already, and the guest could not tell them apart"
    return reason or _not_on(proxy)


def hotadd_new(vm: Subject, unit: str, datastore: str, proxy: Proxy | str) -> str:
    """Why a new disk for a VM cannot be made on the VM that the module runs in.

    :param unit: its place on the VM that it is for, such as ``scsi0:1``.
    :param proxy: as above.
    """
    if isinstance(proxy, str):
        return proxy
    reason = _not_beside(vm, proxy)
    if not reason and unit.startswith("ide"):
        reason = "it is an IDE disk, and only SCSI disks can be attached to a running VM"
    return reason or _not_there(vm.stores.get(datastore, Store("")), proxy, datastore) or _not_on(proxy)


def _not_beside(vm: Subject, proxy: Proxy) -> str:
    if vm.moid == proxy.moid:
        return "it is the VM that the module runs in, which has its own disks already"
    if vm.datacenter != proxy.datacenter:
        return f"{proxy.path}, where the module runs, is in another datacenter"
    return ""


def _not_by_kind(disk: Disk) -> str:
    if disk.backing not in (_FLAT, _SPARSE):
        return f"its backing is {disk.backing}"
    if disk.unit.startswith("ide"):
        return "it is an IDE disk, and only SCSI disks can be attached to a running VM"
    if not disk.uuid:
        return "it has no UUID by which it could be found in the guest"
    return ""


def _not_there(store: Store, proxy: Proxy, which: str) -> str:
    if proxy.host not in store.hosts:
        return f"the host of {proxy.path} does not have the datastore {which}"
    if store.kind == _VSAN and proxy.kinds != {_VSAN}:
        return f"it is on vSAN, and {proxy.path} is not, or not all of it"
    return ""


def _not_on(proxy: Proxy) -> str:
    if not proxy.names_disks:
        return f"{proxy.path} has not disk.EnableUUID = TRUE in its extraConfig, so its guest could not find the disk"
    if not proxy.slots:
        return f"no SCSI controller of {proxy.path} has a free place"
    return ""


def store_of(stores: t.Mapping[str, Store], disk: Disk) -> Store:
    """The datastore of a disk, among those of its VM; one of no kind where it is none of them."""
    return stores.get(disk.file.partition("]")[0].lstrip("["), Store(""))
