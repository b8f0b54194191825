# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Virtual disks and their chains: the one type, the one reader, and what linked clones need of
them.

A disk is a chain of files: a base disk, and on it delta disks, of which each has what changed since
the one below. Linked clones and instant clones share the lower ones with the VM that they were made
of.
"""

from __future__ import annotations

import dataclasses
import functools
import typing as t

from .._connector import names
from .._connector.props import PAGE, Route, Row, collect, collect_chosen, read_all
from .._connector.pyvmomi import vim
from .._errors import NotSupported
from .vm import DEVICES, label_of

if t.TYPE_CHECKING:
    from .._connector.session import Session

# vSphere refuses a clone whose disks would have more delta levels (KB 67186).
MOST_LEVELS = 255

# From here on a VM that is cloned is warned of: there is room for 55 clones more.
MANY_LEVELS = 200

# A controller's class, and what its disks' places begin with.
_BUSES = {
    "VirtualSCSIController": "scsi",
    "VirtualIDEController": "ide",
    "VirtualAHCIController": "sata",
    "VirtualSATAController": "sata",
    "VirtualNVMEController": "nvme",
}

# In the place of a controller that is none of these.
_NO_BUS = "disk"


@dataclasses.dataclass(frozen=True)
class Disk:
    """A virtual disk, of a VM or of a snapshot of it.

    :ivar key: of the device; unique in the VM.
    :ivar unit: controller, bus and unit, as ``scsi0:1``.
    :ivar files: its file, and those of the disks that it is a delta disk of, the topmost first.
    :ivar capacity: in bytes.
    :ivar backing: kind of the backing, as ``FlatVer2``.
    :ivar mode: as ``persistent`` or ``independent_persistent``; empty where the backing has none.
    :ivar physical: whether it is a raw device in physical mode.
    :ivar change_id: from where changed areas count; None where tracking is not active.
    :ivar uuid: of the backing; empty where it has none.
    :ivar object_id: ``diskObjectId``; empty where there is none.
    :ivar encrypted: whether its files are.
    :ivar own_levels: delta disks that lie in the VM's own folder, over a disk that lies there too.
        Only these can be collapsed: a linked clone's first delta disk is one of a disk of another
        VM.
    """

    key: int
    label: str
    unit: str
    files: tuple[str, ...]
    capacity: int
    backing: str = "FlatVer2"
    mode: str = "persistent"
    physical: bool = False
    change_id: str | None = None
    uuid: str = ""
    object_id: str = ""
    own_levels: int = 0
    encrypted: bool = False

    @property
    def levels(self) -> int:
        """Its delta disks above the base disk.

        One without has nothing that a linked clone could share.
        """
        return max(len(self.files) - 1, 0)

    def collapsed(self) -> Disk:
        """What it is once its own delta disks are written into the disk below them."""
        return dataclasses.replace(self, files=self.files[self.own_levels :], own_levels=0)

    @property
    def file(self) -> str:
        """Its topmost file, as ``[datastore] folder/name.vmdk``."""
        return self.files[0] if self.files else ""

    @property
    def identity(self) -> str:
        """What stays the same as long as it is this disk, and no other one in its place."""
        return f"{self.object_id or self.key}/{self.uuid}"


def disks_in(devices: t.Iterable[t.Any] | None, home: str = "") -> tuple[Disk, ...]:
    """The disks among devices, in the order of their keys.

    :param devices: the property ``config.hardware.device`` of a VM or of a snapshot.
    :param home: ``config.files.vmPathName`` of the VM, where ``own_levels`` are asked for.
    """
    known = {device.key: device for device in devices or ()}
    disks = disk_devices(known.values())
    return tuple(_disk(disk, known.get(disk.controllerKey), _place(home)) for disk in disks)


def disk_devices(devices: t.Iterable[t.Any]) -> list[t.Any]:
    """The disks among devices as vSphere's own objects, in the order of their keys."""
    disks = (device for device in devices if isinstance(device, vim.vm.device.VirtualDisk))
    return sorted(disks, key=lambda disk: int(disk.key))


def _disk(device: t.Any, controller: t.Any, home: str) -> Disk:
    backing, files = device.backing, tuple(_files(device.backing))
    return Disk(
        key=device.key,
        label=label_of(device, "disk"),
        unit=f"{_bus(controller)}:{device.unitNumber}",
        files=files,
        capacity=int(device.capacityInBytes or device.capacityInKB * 1024),
        backing=type(backing).__name__.rsplit(".", 1)[-1].removesuffix("BackingInfo"),
        mode=str(getattr(backing, "diskMode", None) or ""),
        physical=getattr(backing, "compatibilityMode", None) == "physicalMode",
        change_id=getattr(backing, "changeId", None) or None,
        uuid=str(getattr(backing, "uuid", None) or ""),
        object_id=device.diskObjectId or "",
        own_levels=own_levels(files, home),
        encrypted=getattr(backing, "keyId", None) is not None,
    )


def _bus(controller: t.Any) -> str:
    """Controller and bus, as ``scsi0``; a subclass of a controller is one of its kind."""
    for kind in type(controller).__mro__:
        name = _BUSES.get(kind.__name__.rsplit(".", 1)[-1])
        if name is not None:
            return f"{name}{controller.busNumber}"
    return _NO_BUS


def controllers_in(devices: t.Iterable[t.Any] | None) -> dict[str, int]:
    """The controllers of disks among devices: their keys, by their names, such as ``scsi0``."""
    named = {_bus(device): int(device.key) for device in devices or () if hasattr(device, "busNumber")}
    named.pop(_NO_BUS, None)
    return named


def _files(backing: t.Any) -> t.Iterator[str]:
    while backing is not None:
        if getattr(backing, "fileName", None):
            yield backing.fileName
        backing = getattr(backing, "parent", None)


def own_levels(files: t.Sequence[str], home: str) -> int:
    """The delta disks of a chain that lie in the VM's own folder, over a disk that lies there too.

    :param files: the topmost first.
    :param home: folder of the VM, as ``[datastore] folder``.
    """
    # A disk may lie on another datastore than the VM; its folder has the same name there.
    top = _place(files[0]) if files else ""
    own = [name for name in files if _place(name) in (home, top)]
    return max(len(own) - 1, 0)


def _place(name: str) -> str:
    """The datastore and folder of a file: ``[datastore] web-1/web-1.vmdk`` is in ``[datastore]
    web-1``.
    """
    return name.rpartition("/")[0]


def levels_after(levels: int, clones: int, *, frozen: bool) -> int:
    """The levels of the deepest chain once an instant clone's parent has so many more clones.

    A running parent gets one more level with each clone. A frozen one does not, and each clone has
    one more than it.
    """
    return levels + (min(clones, 1) if frozen else clones)


def remedy(found: t.Sequence[Disk], *, frozen: bool) -> str:
    """What to do about an instant clone's parent whose disks have many levels, as a sentence or
    two.

    :param found: its disks.
    """
    collapsible = any(disk.own_levels for disk in found)
    if any(disk.levels for disk in found) and not collapsible:
        return "Its deltas belong to the VM that it is a linked clone of: make it again as a full clone."
    if frozen:
        return "Bring it to state running, set collapse_deltas of instant_clone_parent, and freeze it again."
    freeze = "Freeze it before it is cloned (instant_clone_parent): a frozen parent gets no more deltas."
    return f"Set collapse_deltas of instant_clone_parent. {freeze}" if collapsible else freeze


# Backings on which a delta disk can lie. That of a raw device is made by a snapshot alone, and
# persistent memory has none.
_LAYERED = ("FlatVer1", "FlatVer2", "SeSparse", "SparseVer1", "SparseVer2")
UNLAYERED = "a raw device and persistent memory can have none"


def not_layered(found: t.Iterable[Disk]) -> list[str]:
    """The labels of the disks that no delta disk can be put on, as ``delta_changes`` does it."""
    return [disk.label for disk in found if disk.backing not in _LAYERED]


def delta_changes(devices: t.Iterable[t.Any], *, every: bool) -> list[t.Any]:
    """What puts an empty delta disk on the disks of a VM that is off.

    A linked clone of a VM or template shares what is below the top, so without one there would be
    nothing to share. Each disk is taken off, and put on again with what it was as its parent.

    :param every: False leaves out disks that have a delta disk.
    :returns: as ``deviceChange`` of ``ReconfigVM_Task``.
    :raises NotSupported: a disk can have none; its label is named.
    """
    due = [disk for disk in disk_devices(devices) if every or getattr(disk.backing, "parent", None) is None]
    refused = not_layered(disks_in(due))
    if refused:
        raise NotSupported(
            f"No delta disk can be put on {names.listing(refused)}: {UNLAYERED}.",
            hint="Detach it from the VM.",
            disks=refused,
        )
    changes = []
    for disk in due:
        child = vim.vm.device.VirtualDisk(
            key=-disk.key,
            controllerKey=disk.controllerKey,
            unitNumber=disk.unitNumber,
            capacityInKB=disk.capacityInKB,
            backing=_delta_on(disk.backing),
        )
        changes.append(vim.vm.device.VirtualDeviceSpec(operation="remove", device=disk))
        changes.append(vim.vm.device.VirtualDeviceSpec(operation="add", fileOperation="create", device=child))
    return changes


def _delta_on(backing: t.Any) -> t.Any:
    """The backing of a delta disk, of the same kind as the one below it."""
    made = type(backing)(
        fileName=f"[{backing.fileName.partition(']')[0].lstrip('[')}]",
        diskMode=backing.diskMode,
        parent=backing,
    )
    if hasattr(backing, "thinProvisioned"):  # of FlatVer2 alone
        made.thinProvisioned = backing.thinProvisioned
    return made


# Who uses whose files


_FILES: dict[type, tuple[str, ...]] = {
    vim.VirtualMachine: ("name", "config.files.vmPathName", "layoutEx.disk", "layoutEx.file")
}
# Kinds of files that disks are made of (vSphere API, VirtualMachineFileLayoutExFileType). Other
# files are left out: two VMs in one folder may both name one log.
_DISK_FILES = ("diskDescriptor", "diskExtent")
_FILES_ALONE: dict[type, tuple[str, ...]] = {vim.VirtualMachine: ("layoutEx.file",)}
_TO_NEIGHBOURS = (
    Route("vm-datastores", vim.VirtualMachine, "datastore", ("datastore-vms",)),
    Route("datastore-vms", vim.Datastore, "vm"),
)


def with_own_deltas(session: Session, moids: t.Collection[str]) -> list[str]:
    """Those of the VMs that have disks of their own below the topmost ones, or in snapshots alone,
    so that another VM may use one: one call.

    A VM always writes to its topmost disk, so nobody else can use that one.
    """
    refs = [session.reference(vim.VirtualMachine, moid) for moid in moids]
    rows = collect(session, refs, _FILES)
    return [row.moid for row in rows if _own(row) - _topmost(row)]


def users(session: Session, moids: t.Collection[str]) -> dict[str, dict[str, str]]:
    """The VMs that use disks which are these VMs' own, as moids and names, by moid: one call, over
    their datastores, or three where these hold many VMs.

    What a VM only shares, because it is a linked clone itself, is not its own.
    """
    if not moids:
        return {}
    refs = [session.reference(vim.VirtualMachine, moid) for moid in moids]

    @functools.cache
    def own_files() -> set[str]:
        return set().union(*(_own(row) for row in read_all(session, refs, _FILES).values()))

    def is_user(row: Row) -> bool:
        return any(file.name in own_files() for file in row.get("layoutEx.file") or ())

    # Where many VMs are on the datastores, only their files are looked at at first.
    near = collect_chosen(session, refs, _FILES, _TO_NEIGHBOURS, _FILES_ALONE, is_user, page=PAGE)
    rows = {row.moid: row for row in near}
    used = {moid: _every_file(row) for moid, row in rows.items()}
    found: dict[str, dict[str, str]] = {}
    for moid in moids:
        own = _own(rows[moid]) if moid in rows else set()
        others = (row for row in rows.values() if row.moid != moid and own & used[row.moid])
        found[moid] = {row.moid: names.unescape(row.get("name") or row.moid) for row in others}
    return found


@dataclasses.dataclass(frozen=True)
class DiskUser:
    """A VM that uses the file of a disk.

    :ivar shared: whether others build on the disk: delta disks of snapshots or of linked clones.
    :ivar known: False where vCenter does not know the VM's files, so that it may use the disk.
    """

    name: str
    power_state: str
    shared: bool
    known: bool = True


# Who has a file is looked up in both: layoutEx alone names the disks that only snapshots have, and
# it may be older than the devices (VirtualMachineFileLayoutEx.timestamp, RefreshStorageInfo).
_DECIDING = ("layoutEx.file", DEVICES, "snapshot", "runtime.connectionState")
_DECIDING_ALONE: dict[type, tuple[str, ...]] = {vim.VirtualMachine: _DECIDING}
_USERS: dict[type, tuple[str, ...]] = {vim.VirtualMachine: ("name", "runtime.powerState", "layoutEx.disk", *_DECIDING)}
_TO_VMS = (Route("datastore-vms", vim.Datastore, "vm"),)

# VMs whose configuration vCenter can read (VirtualMachineConnectionState): one that is just being
# made has none yet, and is connected. Where this user may not read the VM, the state is missing, too.
_READABLE = ("connected", "disconnected")


def users_of_file(session: Session, datastore: t.Any, file: str, also: t.Collection[str] = ()) -> list[DiskUser]:
    """The VMs of a datastore that use a disk, or may use it: one call, or three where it holds
    many VMs.

    :param file: of the disk's descriptor, ``[datastore] web/web.vmdk``.
    :param also: other names of this file, see ``directories.names_of``.
    """
    wanted = {file, *also}

    def is_user(row: Row) -> bool:
        return bool(wanted & _files_now(row)) or not _is_known(row)

    rows = collect_chosen(session, [datastore], _USERS, _TO_VMS, _DECIDING_ALONE, is_user, page=PAGE)
    return [_user(row, wanted) for row in rows if is_user(row)]


def _user(row: Row, wanted: set[str]) -> DiskUser:
    chains = [{item.name for unit in chain for item in unit} for chain in chains_in(row.values) if len(chain) > 1]
    chains += [set(disk.files) for disk in disks_in(row.get(DEVICES)) if disk.levels]
    shared = row.get("snapshot") is not None or any(wanted & chain for chain in chains)
    name = names.unescape(row.get("name") or row.moid)
    return DiskUser(name, str(row.get("runtime.powerState") or ""), shared, bool(wanted & _files_now(row)))


def _files_now(row: Row) -> set[str]:
    """The files of a VM, by what vCenter says of them and by its devices."""
    return _every_file(row).union(*(disk.files for disk in disks_in(row.get(DEVICES))))


def _is_known(row: Row) -> bool:
    """Whether vCenter knows the files of a VM, those of its snapshots among them, and says them to this user."""
    if row.get("layoutEx.file") is not None:
        return True
    if row.get(DEVICES) is None:
        return str(row.get("runtime.connectionState") or "") in _READABLE
    return row.get("snapshot") is None


def users_of(session: Session, moid: str, files: t.Collection[str], *, itself: bool = False) -> dict[str, list[DiskUser]]:
    """Other VMs that use some disks, or may use them, by the paths of these: one call, or
    three where there are many VMs.

    :param moid: of a VM on the same datastores.
    :param files: of which each has an entry in what is returned.
    :param itself: whether this VM is looked at, too, otherwise it is left out.
    """
    vm = session.reference(vim.VirtualMachine, moid)
    wanted = set(files)

    def is_user(row: Row) -> bool:
        return bool(wanted & _files_now(row)) or not _is_known(row)

    rows = collect_chosen(session, [vm], _USERS, _TO_NEIGHBOURS, _DECIDING_ALONE, is_user, page=PAGE) if wanted else []
    using: dict[str, list[DiskUser]] = {file: [] for file in wanted}
    for row in rows:
        if itself or row.moid != moid:
            for file in wanted & _files_now(row) if _is_known(row) else wanted:
                using[file].append(_user(row, {file}))
    return {file: sorted(found, key=lambda user: user.name) for file, found in using.items()}


def unknown_among(users: t.Iterable[DiskUser]) -> str:
    """The names of those VMs that may use a disk since vCenter does not know their files; empty where none is."""
    return ", ".join(user.name for user in users if not user.known)


def dependents(session: Session, moids: t.Collection[str]) -> dict[str, list[str]]:
    """The names of the VMs that use disks of these VMs, by moid: see ``users``."""
    return {moid: sorted(found.values()) for moid, found in users(session, moids).items()}


def chains_in(values: t.Mapping[str, t.Any]) -> list[list[list[t.Any]]]:
    """The files of each disk (``FileInfo``, with name, size and type), by ``layoutEx.disk`` and
    ``layoutEx.file``.

    :returns: a list a disk, in which the base comes first and each disk of the chain is a list of
        its files.
    """
    files = {item.key: item for item in values.get("layoutEx.file") or ()}

    def files_of(unit: t.Any) -> list[t.Any]:
        return [files[key] for key in unit.fileKey if key in files]

    disks = values.get("layoutEx.disk") or ()
    return [[files_of(unit) for unit in disk.chain or ()] for disk in disks]


def _topmost(vm: Row) -> set[str]:
    """The files of the disks that it writes to."""
    tops = [chain[-1] for chain in chains_in(vm.values) if chain]
    return {file.name for files in tops for file in files}


def _every_file(vm: Row) -> set[str]:
    """All of its files, those of its snapshots among them: ``layoutEx.disk`` has the
    disks alone that it has now.
    """
    return {file.name for file in vm.get("layoutEx.file") or ()}


def _own(vm: Row) -> set[str]:
    """The files of its disks, and of those that only its snapshots have, that lie in its own
    folder, or in that of the same name on another datastore.
    """
    path = vm.get("config.files.vmPathName") or ""
    chained = {file.name for chain in chains_in(vm.values) for unit in chain for file in unit}
    listed = [file for file in vm.get("layoutEx.file") or () if str(file.type) in _DISK_FILES]
    known = chained | {file.name for file in listed}
    # At the top of a datastore a folder has no name, which is one, too.
    return {name for name in known if path and _folder(name) == _folder(path)}


def _folder(name: str) -> str:
    """The folder of a file, whatever datastore it is on: ``[datastore] web-1/web-1.vmdk`` is in
    ``web-1``.
    """
    return name.rpartition("] ")[2].rpartition("/")[0]
