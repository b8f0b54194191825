# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The calls that bring a disk in, and take it to its place, copy it or delete it there."""

from __future__ import annotations

import typing as t

from .._connector import names
from .._connector.pyvmomi import vim
from .._vsphere.disks import of_512_bytes
from .._vsphere.vm import option_values, reference

if t.TYPE_CHECKING:
    from .._connector.session import Session
    from .places import Home

# How descriptors call adapters. What is not named here is IDE.
_CONTROLLERS = {"lsilogic": vim.vm.device.VirtualLsiLogicController, "buslogic": vim.vm.device.VirtualBusLogicController}

# Of devices that are not there yet, in one call.
_CONTROLLER, _DISK = -100, -101

_MEBIBYTES = 32


def import_spec(
    name: str,
    datastore: str,
    capacity: int,
    adapter: str,
    provisioning: str,
    marks: t.Mapping[str, str],
    policies: t.Sequence[str] = (),
) -> t.Any:
    """What is imported: a VM with one disk. It is never powered on.

    It is the same as vCenter makes of a package with ``CreateImportSpec``, which is not asked: that
    is a call, and OpenStack's compute service has imported disks so for many years.

    :param datastore: name of that on which it is made.
    :param capacity: of the disk, in bytes.
    :param adapter: as a VMDK's descriptor names it.
    :param marks: pairs of its extraConfig.
    :param policies: IDs of the storage policies that the disk is made with; the default of the datastore where there are none.
    """
    where = f"[{datastore}]"
    config = vim.vm.ConfigSpec(
        name=names.escape(name),
        guestId="otherGuest",
        numCPUs=1,
        memoryMB=_MEBIBYTES,
        files=vim.vm.FileInfo(vmPathName=where),
        deviceChange=[
            _added(_controller(adapter)),
            _added(_disk(where, capacity, provisioning), new_file=True, policies=policies),
        ],
        extraConfig=option_values(marks),
    )
    return vim.vm.VmImportSpec(configSpec=config)


def _controller(adapter: str) -> t.Any:
    kind = _CONTROLLERS.get(adapter)
    if kind is None:
        return vim.vm.device.VirtualIDEController(key=_CONTROLLER, busNumber=0)
    return kind(key=_CONTROLLER, busNumber=0, sharedBus="noSharing")


def _disk(where: str, capacity: int, provisioning: str) -> t.Any:
    backing = vim.vm.device.VirtualDisk.FlatVer2BackingInfo(
        fileName=where,
        diskMode="persistent",
        thinProvisioned=provisioning == "thin",
        eagerlyScrub=provisioning == "eager_zeroed_thick",
    )
    disk = vim.vm.device.VirtualDisk(
        key=_DISK,
        controllerKey=_CONTROLLER,
        unitNumber=0,
        backing=backing,
        capacityInKB=-(-capacity // 1024),
        capacityInBytes=capacity,
    )
    return of_512_bytes(disk)


def _added(device: t.Any, *, new_file: bool = False, policies: t.Sequence[str] = ()) -> t.Any:
    return vim.vm.device.VirtualDeviceSpec(
        operation="add",
        fileOperation="create" if new_file else None,
        device=device,
        profile=[vim.vm.DefinedProfileSpec(profileId=policy) for policy in policies],
    )


def import_vapp(home: Home, host: str, spec: t.Any) -> t.Any:
    """``ImportVApp``; its lease."""
    machine, pool = home.hosts[host]
    return pool.ImportVApp(spec, home.vm_folder, machine)


def start_detach(session: Session, moid: str, devices: t.Iterable[t.Any], marks: t.Mapping[str, str]) -> t.Any:
    """``ReconfigVM_Task`` that takes disks off a VM and leaves their files.

    :param devices: as vSphere's own objects.
    :param marks: pairs that the VM gets by the same call.
    """
    changes = [vim.vm.device.VirtualDeviceSpec(operation="remove", device=device) for device in devices]
    spec = vim.vm.ConfigSpec(deviceChange=changes, extraConfig=option_values(marks))
    return reference(session, moid).ReconfigVM_Task(spec)


def start_move(session: Session, datacenter: t.Any, source: str, target: str, *, force: bool) -> t.Any:
    """``MoveVirtualDisk_Task``, within one datacenter."""
    manager = session.manager("virtualDiskManager")
    return manager.MoveVirtualDisk_Task(source, datacenter, target, datacenter, force)


def start_delete(session: Session, datacenter: t.Any, path: str) -> t.Any:
    """``DeleteVirtualDisk_Task``: the descriptor, and all that it names."""
    return session.manager("virtualDiskManager").DeleteVirtualDisk_Task(path, datacenter)


def start_copy(session: Session, datacenter: t.Any, source: str, target: str) -> t.Any:
    """``CopyVirtualDisk_Task``, within one datacenter, to a place where nothing is; the copy has the
    format of its source.

    The parameter destSpec is for hosts alone, and force is ignored (API reference).
    """
    manager = session.manager("virtualDiskManager")
    return manager.CopyVirtualDisk_Task(source, datacenter, target, datacenter, None, False)


def start_delete_file(session: Session, datacenter: t.Any, path: str) -> t.Any:
    """``DeleteDatastoreFile_Task``, for a file that is no disk."""
    return session.manager("fileManager").DeleteDatastoreFile_Task(path, datacenter)
