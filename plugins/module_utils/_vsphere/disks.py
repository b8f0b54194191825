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

import collections
import contextlib
import dataclasses
import datetime
import functools
import re
import typing as t

from .._connector import names
from .._connector.props import Route, Row, collect, collect_until, read_all, utc
from .._connector.pyvmomi import vim
from .._errors import NotFound, NotSupported
from . import storage
from .snapshots import snapshots_in
from .vm import DEVICES, label_of, moid_of

if t.TYPE_CHECKING:
    from .._connector.session import Session
    from .storage import Storage

# vSphere refuses a clone whose disks would have more delta levels (KB 67186).
MOST_LEVELS = 255

# From here on a VM that is cloned is warned of: there is room for 55 clones more.
MANY_LEVELS = 200

# Classes of controllers by the words that the options of modules have for them.
_CONTROLLERS = {
    "ParaVirtualSCSIController": "pvscsi",
    "VirtualLsiLogicSASController": "lsilogicsas",
    "VirtualLsiLogicController": "lsilogic",
    "VirtualBusLogicController": "buslogic",
    "VirtualIDEController": "ide",
    "VirtualAHCIController": "sata",
    "VirtualSATAController": "sata",
    "VirtualNVMEController": "nvme",
}

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

# The sector format of a disk of which vCenter says none (API reference, virtualDiskFormat).
_NATIVE_512 = "native_512"


@dataclasses.dataclass(frozen=True)
class Disk:
    """A virtual disk, of a VM or of a snapshot of it.

    :ivar key: of the device; unique in the VM.
    :ivar unit: controller, bus and unit, as ``scsi0:1``.
    :ivar controller: its kind, as ``pvscsi``; empty for another one.
    :ivar files: its file, and those of the disks that it is a delta disk of, the topmost first.
    :ivar capacity: in bytes.
    :ivar backing: kind of the backing, as ``FlatVer2``.
    :ivar mode: as ``persistent`` or ``independent_persistent``; empty where the backing has none.
    :ivar physical: whether it is a raw device in physical mode.
    :ivar change_id: from where changed areas count; None where tracking is not active.
    :ivar uuid: of the backing; empty where it has none.
    :ivar object_id: ``diskObjectId``; empty where there is none.
    :ivar encrypted: whether its files are.
    :ivar content: the content ID of its topmost file; empty where the host does not say it.
    :ivar own_levels: delta disks that lie in the VM's own folder, over a disk that lies there too.
        Only these can be collapsed: a linked clone's first delta disk is one of a disk of another
        VM.
    :ivar sector_format: ``native_4k`` of a 4Kn disk; empty of one with sectors of 512 bytes.
        Backups, packages and files of disks do not keep it.
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
    content: str = ""
    controller: str = ""
    sector_format: str = ""

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
        content=str(getattr(backing, "contentId", None) or ""),
        controller=_kind_of(controller, _CONTROLLERS),
        sector_format=_sector_format(device),
    )


def _sector_format(device: t.Any) -> str:
    """Of a disk whose sectors are not of 512 bytes. It came with vSphere and pyVmomi 9.0."""
    found = str(getattr(device, "virtualDiskFormat", None) or _NATIVE_512)
    return "" if found == _NATIVE_512 else found


def of_512_bytes(device: t.Any) -> t.Any:
    """A disk that is to be made with sectors of 512 bytes.

    A datastore that supports 4Kn disks alone would make one otherwise. pyVmomi leaves it out of
    calls to a vCenter before 9.0.
    """
    if hasattr(device, "virtualDiskFormat"):  # of pyVmomi 9.0 and later
        device.virtualDiskFormat = _NATIVE_512
    return device


def _bus(controller: t.Any) -> str:
    """Controller and bus, as ``scsi0``."""
    name = _kind_of(controller, _BUSES)
    return f"{name}{controller.busNumber}" if name else _NO_BUS


def _kind_of(controller: t.Any, kinds: t.Mapping[str, str]) -> str:
    """A controller's kind by its class, a subclass being one of its kind; empty for another one."""
    classes = (kind.__name__.rsplit(".", 1)[-1] for kind in type(controller).__mro__)
    return next((kinds[name] for name in classes if name in kinds), "")


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
        if getattr(disk, "virtualDiskFormat", None):  # a child has the sectors of its parent
            child.virtualDiskFormat = disk.virtualDiskFormat
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

# Whose a file is, is known by devices: those of VMs and those of their snapshots. What a host has
# found in its folders (layoutEx) may be older (VirtualMachineFileLayoutEx.timestamp,
# RefreshStorageInfo), and counts only where vCenter does not say the devices. But it is short: of
# many VMs it says whose devices are to be read.
_DECIDING = (DEVICES, "snapshot", "runtime.connectionState")
_FORK = "config.forkConfigInfo"
_STANDS_STILL = ("runtime.instantCloneFrozen", "runtime.quiescedForkParent")
_MORE = ("name", "runtime.powerState", "config.files.vmPathName", "datastore", *_STANDS_STILL, _FORK)
_HOLDERS: dict[type, tuple[str, ...]] = {vim.VirtualMachine: (*_MORE, *_DECIDING), vim.vm.Snapshot: (DEVICES,)}
_DOUBTFUL: dict[type, tuple[str, ...]] = {vim.VirtualMachine: (*_MORE, *_DECIDING, "layoutEx.file")}
_QUICK: dict[type, tuple[str, ...]] = {
    vim.VirtualMachine: ("layoutEx.file", "layoutEx.timestamp", "config.modified", "config.changeVersion", "datastore")
}

# So many VMs and snapshots are read at once: devices are long.
_FEW = 100

# So many VMs are named in one question: each is named with the ways to its snapshots, in about a thousand bytes.
_MOST_NAMED = 500

# How hosts write a changeVersion: it is when the configuration was changed. No form is promised (API reference).
_CHANGED = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z")

_TO_SNAPSHOTS = (
    Route("vm-snapshots", vim.VirtualMachine, "rootSnapshot", ("snapshots-below",)),
    Route("snapshots-below", vim.vm.Snapshot, "childSnapshot", ("snapshots-below",)),
)
_TO_VMS = (Route("datastore-vms", vim.Datastore, "vm", ("vm-snapshots",)),)

# The kind of files that backings name (vSphere API, VirtualMachineFileLayoutExFileType). Other
# files are left out: two VMs in one folder may both name one log.
_DESCRIPTOR = "diskDescriptor"

# VMs whose configuration vCenter can read (VirtualMachineConnectionState): one that is just being
# made has none yet, and is connected. Where this user may not read the VM, the state is missing,
# too.
_READABLE = ("connected", "disconnected")


# Files that are looked for, in the words of each datacenter, by its moid.
_Paths: t.TypeAlias = "t.Mapping[str, frozenset[str]]"


@dataclasses.dataclass(frozen=True)
class _Holder:
    """A VM, and the disks that it has or that only its snapshots have.

    :ivar now: the files of each disk that it has, the topmost first; ``before`` of those of its snapshots.
    :ivar certain: whether these are all. If not, ``listed`` has what vCenter knows of its files; None for nothing.
    """

    row: Row
    now: tuple[tuple[str, ...], ...]
    before: tuple[tuple[str, ...], ...]
    certain: bool
    listed: frozenset[str] | None = None

    @property
    def known(self) -> bool:
        """Whether vCenter knows its files, and says them to this user."""
        if self.certain or self.listed is not None:
            return True
        return self.row.get(DEVICES) is None and str(self.row.get("runtime.connectionState") or "") in _READABLE

    @property
    def name(self) -> str:
        """As a person reads it."""
        return names.unescape(self.row.get("name") or self.row.moid)

    @functools.cached_property
    def files(self) -> frozenset[str]:
        """The descriptors of all of its disks, those of its snapshots among them."""
        return frozenset[str]().union(*self.now, *self.before, self.listed or ())

    @property
    def own(self) -> frozenset[str]:
        """Those that it writes to, or did at a snapshot; and those in its own folder, or in that of
        the same name on another datastore.
        """
        path = self.row.get("config.files.vmPathName") or ""
        written = {files[0] for files in (*self.now, *self.before) if files}
        # At the top of a datastore a folder has no name, which is one, too.
        return frozenset(name for name in self.files if name in written or (path and _folder(name) == _folder(path)))

    def datacenter(self, where: Storage) -> str:
        """Moid of its datacenter; empty where nobody knows it."""
        return where.datacenter_of(self.row.get("datastore"))

    @property
    def is_asked_after(self) -> bool:
        """Whether others may have a disk of it.

        Of most VMs others can have those alone that lie below the ones which they write to. But a
        parent that is frozen or quiesced writes to none, so its clones have the topmost ones; and a
        disk without delta disks may be that of one that was such a parent.
        """
        tops = frozenset(files[0] for files in self.now if files)
        fork = self.row.get(_FORK)
        is_parent = any(self.row.get(path) for path in _STANDS_STILL) or bool(fork is not None and fork.parentEnabled)
        return is_parent or bool(self.own - tops) or any(len(files) == 1 for files in self.now)

    def shares(self, wanted: t.Collection[str]) -> bool:
        """Whether others build on a disk of it: delta disks of snapshots or of linked clones."""
        deltas = (set(files) for files in (*self.now, *self.before) if len(files) > 1)
        return self.row.get("snapshot") is not None or any(files.intersection(wanted) for files in deltas)


def _folder(name: str) -> str:
    """The folder of a file, whatever datastore it is on: ``[datastore] web-1/web-1.vmdk`` is in
    ``web-1``.
    """
    return name.rpartition("] ")[2].rpartition("/")[0]


def _chains(row: Row) -> tuple[tuple[str, ...], ...]:
    return tuple(disk.files for disk in disks_in(row.get(DEVICES)))


def _listed(row: Row) -> frozenset[str] | None:
    files = row.get("layoutEx.file")
    return None if files is None else frozenset(file.name for file in files if str(file.type) == _DESCRIPTOR)


def _holders_in(rows: t.Iterable[Row]) -> dict[str, _Holder]:
    """The VMs of rows of VMs and snapshots, by moid."""
    known = {row.moid: row for row in rows}
    found = {}
    for moid, row in known.items():
        if not isinstance(row.ref, vim.VirtualMachine):
            continue
        tree = [known.get(each.moid) for each in snapshots_in(row.get("snapshot"))]
        read = [each for each in tree if each is not None and each.get(DEVICES) is not None]
        certain = row.get(DEVICES) is not None and len(read) == len(tree)
        before = tuple(files for each in read for files in _chains(each))
        found[moid] = _Holder(row, _chains(row), before, certain, None if certain else _listed(row))
    return found


def _holders(session: Session, where: Storage, stores: t.Sequence[t.Any], wanted: _Paths) -> dict[str, _Holder]:
    """The VMs of datastores that may have files, with their disks, by moid: one call, or three
    where there are many, and one more where there are VMs whose devices vCenter does not say.

    :param wanted: the files that are looked for.
    """
    part = collect_until(session, stores, _HOLDERS, (*_TO_VMS, *_TO_SNAPSHOTS), _FEW, enough=lambda _read: True)
    return _completed(session, part.rows if part.whole else _candidates(session, where, stores, wanted))


def _completed(session: Session, rows: t.Sequence[Row]) -> dict[str, _Holder]:
    """The VMs of rows, by moid: no call, or one where there are VMs whose devices vCenter does not
    say.
    """
    found = _holders_in(rows)
    doubtful = [each.row.ref for each in found.values() if not each.certain]
    again = read_all(session, doubtful, _DOUBTFUL)
    return found | _holders_in([*again.values(), *(row for row in rows if row.moid not in again)]) if again else found


def _candidates(session: Session, where: Storage, stores: t.Sequence[t.Any], wanted: _Paths) -> list[Row]:
    """The rows of those among many VMs that may have files, and of their snapshots: two calls, and
    one more for each five hundred of them.
    """

    def may_have_one(row: Row) -> bool:
        files = wanted.get(where.datacenter_of(row.get("datastore")), frozenset())
        return not _is_fresh(row) or any(file.name in files for file in row.get("layoutEx.file") or ())

    return _rows_of(session, [row.ref for row in collect(session, stores, _QUICK, _TO_VMS) if may_have_one(row)])


def _rows_of(session: Session, vms: t.Sequence[t.Any]) -> list[Row]:
    """The rows of VMs, and of their snapshots: one call for each five hundred of them."""
    parts = (vms[begin : begin + _MOST_NAMED] for begin in range(0, len(vms), _MOST_NAMED))
    return [row for part in parts for row in collect(session, part, _HOLDERS, _TO_SNAPSHOTS)]


def _is_fresh(row: Row) -> bool:
    """Whether what vCenter lists of a VM's files is not older than its configuration. Where nobody
    knows it, it is not.
    """
    listed, version = utc(row.get("layoutEx.timestamp")), row.get("config.changeVersion") or ""
    changed = None
    if _CHANGED.fullmatch(version):
        with contextlib.suppress(ValueError):  # no day or hour that there is
            changed = datetime.datetime.fromisoformat(version)
    # Some hosts say 1970 of every configuration.
    known = [when for when in (utc(row.get("config.modified")), changed) if when is not None and when.year > 1970]
    return listed is not None and bool(known) and max(known) <= listed


def users(session: Session, moids: t.Sequence[str], *, likely: bool = False) -> dict[str, dict[str, str]]:
    """The VMs that use disks which are these VMs' own, as moids and names, by moid: three calls, or
    five where there are many VMs. VMs of other datacenters that have the same storage are among
    them.

    What a VM only shares, because it is a linked clone itself, is not its own.

    :param likely: whether VMs are left out whose disks others hardly ever have, such as linked clones and instant clones
        that nothing was made of. It is one call then where all are such.
    """
    rows = _rows_of(session, [session.reference(vim.VirtualMachine, moid) for moid in moids])
    doomed = _completed(session, rows)
    own = {moid: each.own for moid, each in doomed.items() if not likely or each.is_asked_after}
    if not any(own.values()):
        return {moid: {} for moid in moids}
    where = storage.read(session)
    paths = {moid: where.paths_of(doomed[moid].datacenter(where), files) for moid, files in own.items()}
    near = _holders(session, where, _stores_of(where, doomed, own), _together(paths.values()))
    having: dict[tuple[str, str], dict[str, str]] = collections.defaultdict(dict)
    for other, each in near.items():
        for file in each.files:
            having[each.datacenter(where), file][other] = each.name
    found: dict[str, dict[str, str]] = {moid: {} for moid in moids}
    for moid, of in paths.items():
        for home, files in of.items():
            for file in files:
                found[moid] |= having[home, file]
        found[moid].pop(moid, None)
    return found


def _stores_of(where: Storage, doomed: t.Mapping[str, _Holder], own: t.Mapping[str, t.Iterable[str]]) -> list[t.Any]:
    """The datastores with files of VMs, each once."""
    stores: list[storage.Store] = []
    others: dict[str, t.Any] = {}
    for moid, files in own.items():
        vm = doomed[moid]
        try:
            stores += [where.store_of(vm.datacenter(where), file) for file in files]
        except NotFound:  # of its datastores this user may see no more than the VM says
            others |= {moid_of(ref): ref for ref in vm.row.get("datastore") or ()}
    found = {moid_of(ref): ref for ref in where.same_as(stores)}
    return list((others | found).values())


def dependents(session: Session, moids: t.Sequence[str]) -> dict[str, list[str]]:
    """The names of the VMs that use disks of these VMs, by moid: see ``users``."""
    return {moid: sorted(found.values()) for moid, found in users(session, moids).items()}


@dataclasses.dataclass(frozen=True)
class DiskUser:
    """A VM that uses the file of a disk.

    :ivar shared: whether others build on the disk: delta disks of snapshots or of linked clones.
    :ivar known: False where vCenter does not know the VM's files, so that it may use the disk.
    """

    moid: str
    name: str
    power_state: str
    shared: bool
    known: bool = True


def users_of_files(
    session: Session, where: Storage, datacenter: t.Any, files: t.Mapping[str, t.Collection[str]]
) -> dict[str, list[DiskUser]]:
    """The VMs that use disks, or may use them, by these: one call, or three where their datastores
    hold many VMs, and one more where there are VMs whose devices vCenter does not say. VMs of other
    datacenters that have the same storage are among them.

    :param datacenter: whose paths these are.
    :param files: all names of each disk, by the one that is its key in what is returned, as ``[datastore] web/web.vmdk``;
        see ``directories.names_of``.
    :raises NotFound: the datacenter has no such datastore.
    """
    home = moid_of(datacenter)
    stores = [where.store_of(home, file) for file in files]
    paths = {file: where.paths_of(home, called) for file, called in files.items()}
    near = _holders(session, where, where.same_as(stores), _together(paths.values()))
    return {file: _users_among(near.values(), where, of) for file, of in paths.items()}


def _users_among(holders: t.Iterable[_Holder], where: Storage, paths: _Paths) -> list[DiskUser]:
    """Those VMs that have a disk, or may have it, by their names."""
    found = []
    for each in holders:
        wanted = paths.get(each.datacenter(where), frozenset())
        if not each.known or not wanted.isdisjoint(each.files):
            power_state = str(each.row.get("runtime.powerState") or "")
            found.append(DiskUser(each.row.moid, each.name, power_state, each.shares(wanted), each.known))
    return sorted(found, key=lambda user: user.name)


def _together(paths: t.Iterable[_Paths]) -> _Paths:
    """Files that are looked for, in one mapping."""
    found: dict[str, frozenset[str]] = collections.defaultdict(frozenset)
    for each in paths:
        for home, files in each.items():
            found[home] |= files
    return found


def unknown_among(users: t.Iterable[DiskUser]) -> str:
    """The names of those VMs that may use a disk since vCenter does not know their files; empty
    where none is.
    """
    return ", ".join(user.name for user in users if not user.known)


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
