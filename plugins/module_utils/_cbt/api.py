# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""pyVmomi's side of changed block tracking: what to read, the calls, and what their faults mean."""

from __future__ import annotations

import datetime
import typing as t

from .._connector.pyvmomi import vim
from .._errors import Fault
from .areas import Page
from .changeid import FullRequired
from .facts import Disk, Snapshot

if t.TYPE_CHECKING:
    from .._connector.session import Session

VIRTUAL_MACHINE = vim.VirtualMachine
VM_SNAPSHOT = vim.vm.Snapshot

VM: dict[type, tuple[str, ...]] = {
    vim.VirtualMachine: (
        "name",
        "parent",
        "parentVApp",
        "snapshot",
        "capability.changeTrackingSupported",
        "config.changeTrackingEnabled",
        "config.hardware.device",
        "config.instanceUuid",
        "config.template",
        "config.version",
        "runtime.powerState",
    ),
    vim.Folder: ("name", "parent"),
    vim.Datacenter: ("name", "parent"),
    vim.VirtualApp: ("name", "parent", "parentFolder"),
    vim.SessionManager: ("currentSession.key",),
}

# Which everybody has who can see an object: without it, an answer about privileges is one about a session that is gone.
SEEING = "System.Read"

# What proves that tracking counts, or does not.
PROOF = ("config.changeTrackingEnabled", "config.hardware.device")

SNAPSHOT_DEVICES = ("config.hardware.device",)
SNAPSHOT_TREE = ("snapshot",)

# The keys of hostd's messages (vSphere Web Services SDK, and what hosts answer) and what they mean.
_FILE_FAULTS = {
    "cbt.noTrack": FullRequired("not_tracked", "Tracking was off when it changed, so vCenter does not know what did."),
    "cbt.noEpoch": FullRequired("no_epoch", "vCenter does not know which areas are in use: tracking began on a disk in use."),
    "cbt.cannotGetChanges": FullRequired("change_id_unknown", "vCenter has no record back to this changeId."),
}

_BUSES = {
    "VirtualSCSIController": "scsi",
    "VirtualIDEController": "ide",
    "VirtualAHCIController": "sata",
    "VirtualSATAController": "sata",
    "VirtualNVMEController": "nvme",
}


def vm(session: Session, moid: str) -> t.Any:
    """A reference; nothing is sent."""
    return session.reference(vim.VirtualMachine, moid)


def snapshot(session: Session, moid: str) -> t.Any:
    """A reference; nothing is sent."""
    return session.reference(vim.vm.Snapshot, moid)


def task(session: Session, moid: str) -> t.Any:
    """A reference; nothing is sent."""
    return session.reference(vim.Task, moid)


def session_manager(session: Session) -> t.Any:
    """What knows the key of this session."""
    return session.content.sessionManager


def missing_privileges(session: Session, key: str, wanted: t.Mapping[str, t.Collection[str]]) -> dict[str, list[str]]:
    """What the user of this session lacks, by moid of the VM, by one call of ``HasPrivilegeOnEntities``.

    :param key: of the session (``UserSession.key``). A session that is gone may do nothing, so nothing is told of one.
    :param wanted: privileges by moid.
    """
    ids = sorted({SEEING, *(name for names in wanted.values() for name in names)})
    refs = [vm(session, moid) for moid in wanted]
    manager = session.content.authorizationManager
    found = session.retrying(lambda: manager.HasPrivilegeOnEntities(refs, key, ids))
    missing = {}
    for told in found or ():
        granted = {item.privId for item in told.privAvailability if item.isGranted}
        moid = told.entity._GetMoId()
        if SEEING in granted:
            missing[moid] = [name for name in wanted[moid] if name not in granted]
    return missing


def hardware(version: str | None) -> int:
    """``vmx-19`` as 19; 0 for what is no such version."""
    digits = (version or "").rpartition("-")[2]
    return int(digits) if digits.isdigit() else 0


def disks(devices: t.Sequence[t.Any] | None) -> tuple[Disk, ...]:
    """The disks among the devices of a VM or of a snapshot."""
    known = {device.key: device for device in devices or ()}
    return tuple(_disk(device, known) for device in known.values() if isinstance(device, vim.vm.device.VirtualDisk))


def _disk(device: t.Any, devices: t.Mapping[int, t.Any]) -> Disk:
    backing = device.backing
    return Disk(
        key=device.key,
        label=device.deviceInfo.label if device.deviceInfo else f"disk {device.key}",
        unit=f"{_bus(devices.get(device.controllerKey))}:{device.unitNumber}",
        files=tuple(_files(backing)),
        capacity=int(device.capacityInBytes or device.capacityInKB * 1024),
        backing=type(backing).__name__.rsplit(".", 1)[-1].removesuffix("BackingInfo"),
        mode=str(getattr(backing, "diskMode", None) or ""),
        physical=getattr(backing, "compatibilityMode", None) == "physicalMode",
        change_id=getattr(backing, "changeId", None) or None,
        uuid=str(getattr(backing, "uuid", None) or ""),
        object_id=device.diskObjectId or "",
    )


def _bus(controller: t.Any) -> str:
    for kind in type(controller).__mro__:
        name = _BUSES.get(kind.__name__.rsplit(".", 1)[-1])
        if name is not None:
            return f"{name}{controller.busNumber}"
    return "disk"


def _files(backing: t.Any) -> t.Iterator[str]:
    while backing is not None:
        if getattr(backing, "fileName", None):
            yield backing.fileName
        backing = getattr(backing, "parent", None)


def snapshots(info: t.Any) -> tuple[Snapshot, ...]:
    """All snapshots of a VM, from its property ``snapshot``; every branch counts."""
    found: list[Snapshot] = []
    current = info.currentSnapshot._GetMoId() if info is not None and info.currentSnapshot else ""
    due = [("", node) for node in info.rootSnapshotList] if info is not None else []
    while due:
        above, node = due.pop(0)
        moid = node.snapshot._GetMoId()
        path = f"{above}/{node.name}" if above else node.name
        found.append(Snapshot(moid, node.name, path, node.description or "", node.createTime, moid == current))
        due.extend((path, child) for child in node.childSnapshotList or ())
    return tuple(found)


def current_time(session: Session) -> datetime.datetime:
    """By vCenter's clock, which snapshots are dated by."""
    now = session.retrying(lambda: vim.ServiceInstance("ServiceInstance", session.stub).CurrentTime())
    return t.cast(datetime.datetime, now)


def start_snapshot(session: Session, moid: str, name: str, description: str, *, memory: bool, quiesce: bool) -> t.Any:
    """``CreateSnapshot_Task``; the task's result is the snapshot."""
    return vm(session, moid).CreateSnapshot_Task(name, description, memory, quiesce)


def start_removal(session: Session, moid: str) -> t.Any:
    """``RemoveSnapshot_Task`` of this snapshot alone, writing its delta into the disk below."""
    return snapshot(session, moid).RemoveSnapshot_Task(False, True)


def start_tracking(session: Session, moid: str, on: bool) -> t.Any:
    """``ReconfigVM_Task`` that switches tracking on or off, and nothing else."""
    return vm(session, moid).ReconfigVM_Task(vim.vm.ConfigSpec(changeTrackingEnabled=on))


def start_power_off(session: Session, moid: str) -> t.Any:
    """``PowerOffVM_Task``."""
    return vm(session, moid).PowerOffVM_Task()


def start_power_on(session: Session, moid: str) -> t.Any:
    """``PowerOnVM_Task``."""
    return vm(session, moid).PowerOnVM_Task(None)


def ask(session: Session, vm_moid: str, snapshot_moid: str | None, key: int, change_id: str) -> t.Callable[[int], Page]:
    """What asks for one page of changed areas, by ``QueryChangedDiskAreas``.

    :param snapshot_moid: None for the VM as it is, which must be powered off.
    :raises Fault: the asking does; ``full_required`` tells which of them mean that the whole disk has to be read.
    """
    subject = snapshot(session, snapshot_moid) if snapshot_moid else None

    def page(offset: int) -> Page:
        found = session.retrying(lambda: vm(session, vm_moid).QueryChangedDiskAreas(subject, key, offset, change_id))
        return Page(found.startOffset, found.length, [(area.start, area.length) for area in found.changedArea or ()])

    return page


def full_required(fault: Fault) -> FullRequired | None:
    """What a fault of ``QueryChangedDiskAreas`` means: any FileFault, that the whole disk has to be read; others, None."""
    cause = fault.__cause__
    if not isinstance(cause, vim.fault.FileFault):
        return None
    keys = [line.key or "" for line in cause.faultMessage or ()]
    for ending, meaning in _FILE_FAULTS.items():
        if any(key.endswith(ending) for key in keys):
            return meaning
    return FullRequired("vcenter_refused", f"vCenter cannot tell what changed: {fault.message}")


def is_gone(fault: Fault) -> bool:
    """Whether a fault says that the object is not there any more."""
    return fault.fault in ("ManagedObjectNotFound", "NotFound")
