# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The VM into which a backup is restored: what it has, and the calls that exchange its disks."""

from __future__ import annotations

import dataclasses
import typing as t

from .._connector.find import TO_ANCESTORS, find_vm, path_in
from .._connector.props import collect
from .._connector.pyvmomi import vim
from .._errors import NotFound
from .._vsphere import compute, vm
from .._vsphere.disks import Disk, controllers_in, disk_devices, disks_in
from .._vsphere.snapshots import Snapshot, snapshots_in
from .._vsphere.vm import ABOVE, BASICS, DEVICES, basics, datacenter_of, is_readable, name_of, reference
from .read import NVRAM, nvram_of

if t.TYPE_CHECKING:
    from .._connector.find import Selector
    from .._connector.session import Session

_TARGET: dict[type, tuple[str, ...]] = {
    **ABOVE,
    vim.VirtualMachine: (
        *BASICS,
        DEVICES,
        "snapshot",
        "config.files.vmPathName",
        "config.changeVersion",
        "config.firmware",
        "config.keyId",
        "runtime.consolidationNeeded",
        NVRAM,
    ),
    vim.Datastore: ("name", "summary.type"),
}
_AROUND = (*TO_ANCESTORS, compute.VM_TO_DATASTORES)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Target(vm.Vm):
    """A VM whose disks are to be replaced.

    :ivar controllers: keys of its controllers by their names, such as ``scsi0``.
    :ivar first_class: keys of its disks that are first class disks.
    :ivar thick: what its disks take on their datastores where they are not thin, by their keys.
    :ivar consolidate: whether vCenter says that its disks need consolidation.
    :ivar encrypted: whether its home is.
    :ivar version: of its configuration (``changeVersion``).
    :ivar vmx: path of its configuration file; it may lie at the top of its datastore.
    :ivar nvram: path of the settings of its firmware; empty where it is not known.
    :ivar firmware: ``bios`` or ``efi``; empty where it is not known.
    :ivar datacenter: inventory path.
    :ivar stores: kinds of its datastores by their names.
    :ivar devices: its disks, as vSphere's own objects.
    """

    disks: tuple[Disk, ...]
    controllers: t.Mapping[str, int]
    first_class: frozenset[int] = frozenset()
    thick: t.Mapping[int, str] = dataclasses.field(default_factory=dict)
    snapshots: tuple[Snapshot, ...] = ()
    consolidate: bool = False
    encrypted: bool = False
    version: str = ""
    vmx: str = ""
    nvram: str = ""
    firmware: str = ""
    datacenter: str = ""
    stores: t.Mapping[str, str] = dataclasses.field(default_factory=dict)
    devices: tuple[t.Any, ...] = dataclasses.field(default=(), repr=False, compare=False)

    def at(self, unit: str) -> Disk | None:
        """The disk at a place, such as ``scsi0:1``."""
        return next((disk for disk in self.disks if disk.unit == unit), None)


def find(session: Session, selector: Selector, datacenter: str | None) -> Target:
    """The VM that a selector names: two calls, one where it is named by its moid.

    :raises NotFound: there is none, or this user may not see it.
    """
    found = read(session, find_vm(session, selector, datacenter))
    if found is None:
        raise NotFound(f"There is no VM with the {selector}, or this user may not see it.", option="into")
    return found


def again(session: Session, target: Target) -> Target:
    """The same VM as it is now: one call.

    :raises NotFound: it is gone.
    """
    found = read(session, reference(session, target.moid))
    if found is None:
        raise NotFound(f"{target.path} is not there any more.", hint="Restore into another VM.")
    return found


def is_gone(session: Session, target: Target) -> bool:
    """Whether the VM has been removed: one call. One that this user may not read any more is not."""
    return not collect(session, [reference(session, target.moid)], {vm.VIRTUAL_MACHINE: ("name",)})


def read(session: Session, ref: t.Any) -> Target | None:
    """A VM; None where it is gone, or this user may not read it."""
    rows = {row.moid: row for row in collect(session, [ref], _TARGET, _AROUND)}
    row = rows.get(vm.moid_of(ref))
    if not is_readable(row):
        return None
    above = datacenter_of(rows, row)
    devices = row.get(DEVICES) or ()
    path = row.get("config.files.vmPathName") or ""
    own = tuple(disk_devices(devices))
    return Target(
        **basics(rows, row),
        disks=disks_in(devices, path.rpartition("/")[0]),
        controllers=controllers_in(devices),
        first_class=frozenset(disk.key for disk in own if getattr(disk, "vDiskId", None) is not None),
        thick={disk.key: kind for disk in own if (kind := _thick(disk.backing))},
        snapshots=snapshots_in(row.get("snapshot")),
        consolidate=bool(row.get("runtime.consolidationNeeded")),
        encrypted=row.get("config.keyId") is not None,
        version=row.get("config.changeVersion") or "",
        vmx=path,
        nvram=nvram_of(row),
        firmware=row.get("config.firmware") or "",
        datacenter=path_in(rows, above.moid) if above is not None else "",
        stores={
            name_of(store): str(store.get("summary.type") or "")
            for store in rows.values()
            if isinstance(store.ref, vim.Datastore)
        },
        devices=own,
    )


def _thick(backing: t.Any) -> str:
    """How a disk takes its space; empty for a thin one."""
    if getattr(backing, "thinProvisioned", None):
        return ""
    return "eager_zeroed_thick" if getattr(backing, "eagerlyScrub", None) else "thick"


@dataclasses.dataclass(frozen=True)
class Exchange:
    """A disk that takes the place of another one.

    :ivar controller: key of the controller.
    :ivar unit: number of its place there.
    :ivar file: path of the disk that comes.
    :ivar capacity: of that, in bytes.
    :ivar old: key of the disk that goes; None where the place is free.
    :ivar policies: IDs of the storage policies that the disk gets; empty
        for the default of its datastore.
    """

    controller: int
    unit: int
    file: str
    capacity: int
    old: int | None
    policies: tuple[str, ...] = ()


def start_exchange(session: Session, target: Target, exchanges: t.Sequence[Exchange]) -> t.Any:
    """``ReconfigVM_Task`` that takes disks off and puts others on, all or none.

    The disks that go keep their files. What the place has of its own (mode, shares, sharing) stays.
    A VM that was changed since it was read refuses it (ConcurrentAccess).
    """
    known = {device.key: device for device in target.devices}
    removed = [known[each.old] for each in exchanges if each.old is not None]
    changes = [vim.vm.device.VirtualDeviceSpec(operation="remove", device=device) for device in removed]
    for number, each in enumerate(exchanges):
        device = _device(each, known.get(each.old) if each.old is not None else None, -101 - number)
        profiles = [vim.vm.DefinedProfileSpec(profileId=policy) for policy in each.policies]
        changes.append(vim.vm.device.VirtualDeviceSpec(operation="add", device=device, profile=profiles))
    return _start_changes(session, target, changes)


def start_policies(session: Session, target: Target, policies: t.Mapping[int, str]) -> t.Any:
    """``ReconfigVM_Task`` that gives disks other storage policies, all or none.

    :param policies: their IDs by the keys of the disks.
    """
    changes = [
        vim.vm.device.VirtualDeviceSpec(
            operation="edit", device=device, profile=[vim.vm.DefinedProfileSpec(profileId=policies[device.key])]
        )
        for device in target.devices
        if device.key in policies
    ]
    return _start_changes(session, target, changes)


def _start_changes(session: Session, target: Target, changes: t.Sequence[t.Any]) -> t.Any:
    """A VM that was changed since it was read refuses it (ConcurrentAccess), where vCenter says its
    version.
    """
    spec = vim.vm.ConfigSpec(changeVersion=target.version or None, deviceChange=list(changes))
    return reference(session, target.moid).ReconfigVM_Task(spec)


def _device(new: Exchange, old: t.Any, key: int) -> t.Any:
    backing = vim.vm.device.VirtualDisk.FlatVer2BackingInfo(fileName=new.file, diskMode="persistent")
    disk = vim.vm.device.VirtualDisk(key=key, controllerKey=new.controller, unitNumber=new.unit, backing=backing)
    disk.capacityInKB, disk.capacityInBytes = -(-new.capacity // 1024), new.capacity
    if old is not None:
        backing.diskMode = old.backing.diskMode
        backing.sharing = getattr(old.backing, "sharing", None)
        disk.shares = old.shares
        disk.storageIOAllocation = old.storageIOAllocation
    return disk
