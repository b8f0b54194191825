# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The VM that the module runs in: found, and read as a proxy that disks are attached to."""

from __future__ import annotations

import dataclasses
import pathlib
import typing as t
import uuid

from .._connector.find import TO_ANCESTORS, Selector, find_vm, path_in
from .._connector.props import Row, collect
from .._connector.props import read as read_properties
from .._connector.pyvmomi import vim
from .._errors import Ambiguous, NotFound
from .compute import VM_TO_DATASTORES
from .disks import disks_in, of_512_bytes
from .transports import Proxy, Store
from .vm import ABOVE, BASICS, DEVICES, basics, config_in, datacenter_of, is_readable, moid_of, name_of

if t.TYPE_CHECKING:
    from .._connector.session import Session

# Disks of others are attached in the first mode, and new ones in the second; snapshots of the proxy leave both alone.
NONPERSISTENT, PERSISTENT = "independent_nonpersistent", "independent_persistent"

# What Linux knows of the machine's firmware.
FIRMWARE = "/sys/class/dmi/id"

# Below a SCSI controller are the units 0 to 15, of which one is its own (vSphere's configuration
# maximums).
_UNITS = range(16)
_OWN_UNIT = 7

# Says the same as the flag; its spelling differs from tool to tool, which a VM does not mind.
_ENABLE_UUID = "disk.enableuuid"
_FLAG = "config.flags.diskUuidEnabled"

_READ: dict[type, tuple[str, ...]] = {
    **ABOVE,
    vim.VirtualMachine: (*BASICS, DEVICES, "config.extraConfig", _FLAG, "config.keyId", "runtime.host"),
    vim.Datastore: ("name", "summary.type"),
}
_AROUND = (*TO_ANCESTORS, VM_TO_DATASTORES)

# What of a datastore says who can read from it.
STORE = ("name", "summary.type", "host")


@dataclasses.dataclass(frozen=True)
class Attached:
    """A disk of the proxy.

    :ivar slot: key of its controller, and its unit.
    :ivar files: of its chain, the topmost first.
    :ivar device: vSphere's own object, for taking it off.
    """

    slot: tuple[int, int]
    files: tuple[str, ...]
    uuid: str
    mode: str
    capacity: int
    device: t.Any = dataclasses.field(repr=False, compare=False)


@dataclasses.dataclass(frozen=True)
class Known:
    """The proxy as it is now.

    :ivar config: its extraConfig.
    """

    proxy: Proxy
    disks: tuple[Attached, ...]
    config: t.Mapping[str, str]


def machine_uuids(folder: str = FIRMWARE) -> list[str] | str:
    """The BIOS UUIDs that vCenter may know this machine by; or why it is no VM of vSphere.

    Firmware of SMBIOS 2.6 and later has the first three fields of a UUID in the other byte order,
    which Linux shows in its own way, by the version: the same VM reads either way (dmidecode(8),
    linux/drivers/firmware/dmi_scan.c).
    """
    here = pathlib.Path(folder)
    try:
        vendor = (here / "sys_vendor").read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        vendor = ""
    if not vendor.startswith("VMware"):
        return "the machine where the module runs is no VM of vSphere"
    try:
        known = uuid.UUID((here / "product_uuid").read_text(encoding="ascii", errors="replace").strip())
    except PermissionError:
        return f"only root may read {here / 'product_uuid'}, so it is not known which VM the module runs in"
    except (OSError, ValueError):
        return f"{here / 'product_uuid'} has no UUID, so it is not known which VM the module runs in"
    return list(dict.fromkeys((str(known), str(uuid.UUID(bytes=known.bytes_le)))))


def find(session: Session, named: Selector | None, datacenter: str | None = None) -> Known | str:
    """The VM that the module runs in: one call where it is named by its moid, else one or two more.

    :param named: what the user says that it is; None to find it by its BIOS UUID.
    :returns: in place of it, why there is none.
    :raises NotFound, Ambiguous: the one that is named cannot be found.
    """
    if named is not None:
        return read(session, moid_of(find_vm(session, named, datacenter)))
    uuids = machine_uuids()
    if isinstance(uuids, str):
        return uuids
    found = []
    for each in uuids:
        try:
            found.append(moid_of(find_vm(session, Selector(uuid=each))))
        except NotFound:
            continue
        except Ambiguous:
            return f"several VMs have the BIOS UUID {each} of the machine where the module runs"
    if len(found) != 1:
        many, which = len(found) or "no", " or ".join(uuids)
        return f"this vCenter has {many} VMs with the BIOS UUID {which} of the machine where the module runs"
    return read(session, found[0])


def read(session: Session, moid: str) -> Known:
    """The proxy as it is now: one call.

    :raises NotFound: it is not there, or may not be read.
    """
    ref = session.reference(vim.VirtualMachine, moid)
    rows = {row.moid: row for row in collect(session, [ref], _READ, _AROUND)}
    row = rows.get(moid)
    if not is_readable(row):
        raise NotFound(
            f"The VM {moid}, to which disks are to be attached, is not there, or this user may not see it.",
            hint="Look at its privileges on that VM.",
        )
    devices = row.get(DEVICES) or ()
    disks, config = tuple(_disks(devices)), config_in(row.values)
    return Known(_proxy(rows, row, disks, config), disks, config)


def recent_tasks(session: Session, moid: str) -> list[t.Any]:
    """The tasks of the proxy that have not ended, or not long ago (``recentTask`` of
    ManagedEntity): one call.
    """
    ref = session.reference(vim.VirtualMachine, moid)
    row = read_properties(session, [ref], vim.VirtualMachine, ["recentTask"]).get(moid)
    return list(row.get("recentTask") or ()) if row is not None else []


def _proxy(rows: t.Mapping[str, Row], row: Row, disks: t.Sequence[Attached], config: t.Mapping[str, str]) -> Proxy:
    above = datacenter_of(rows, row)
    stores = [other for other in rows.values() if isinstance(other.ref, vim.Datastore)]
    return Proxy(
        moid=row.moid,
        path=basics(rows, row)["path"],
        datacenter=path_in(rows, above.moid) if above is not None else "",
        host=moid_of(row.get("runtime.host")),
        kinds=frozenset(str(store.get("summary.type") or "") for store in stores),
        uuids=frozenset(disk.uuid for disk in disks if disk.uuid),
        slots=tuple(_slots(row.get(DEVICES) or ())),
        names_disks=bool(row.get(_FLAG)) or names_disks(config),
        encrypted=row.get("config.keyId") is not None,
    )


def names_disks(config: t.Mapping[str, str]) -> bool:
    """Whether a VM with this extraConfig lets its guest see the UUIDs of its disks."""
    return any(key.lower() == _ENABLE_UUID and value.lower() in ("true", "1") for key, value in config.items())


def _disks(devices: t.Iterable[t.Any]) -> t.Iterator[Attached]:
    by_key = {device.key: device for device in devices}
    for disk in disks_in(by_key.values()):
        device = by_key[disk.key]
        slot = (device.controllerKey, device.unitNumber)
        yield Attached(slot, disk.files, disk.uuid, disk.mode, disk.capacity, device)


def _slots(devices: t.Sequence[t.Any]) -> t.Iterator[tuple[int, int]]:
    """The free places of SCSI controllers that share their bus with no other VM."""
    taken = {(device.controllerKey, device.unitNumber) for device in devices if device.controllerKey is not None}
    for controller in devices:
        if not isinstance(controller, vim.vm.device.VirtualSCSIController) or controller.sharedBus != "noSharing":
            continue
        own = controller.scsiCtlrUnitNumber if controller.scsiCtlrUnitNumber is not None else _OWN_UNIT
        for unit in _UNITS:
            if unit != own and (controller.key, unit) not in taken:
                yield controller.key, unit


def stores_in(rows: t.Iterable[Row]) -> dict[str, Store]:
    """Datastores by their names, among rows that were read with ``STORE``."""
    found = {}
    for row in rows:
        if isinstance(row.ref, vim.Datastore):
            mounts = row.get("host") or ()
            hosts = frozenset(moid_of(mount.key) for mount in mounts if mount.mountInfo.accessible is not False)
            found[name_of(row)] = Store(str(row.get("summary.type") or ""), hosts)
    return found


def start_change(
    session: Session, proxy: str, *, add: t.Sequence[t.Any] = (), remove: t.Sequence[t.Any] = (), config: t.Mapping[str, str]
) -> t.Any:
    """``ReconfigVM_Task`` that attaches and detaches disks, whose files stay, and sets pairs of
    extraConfig with it.

    :param add: as ``borrowed`` and ``created`` make them.
    :param remove: disks as vSphere's own objects.
    """
    changes = [vim.vm.device.VirtualDeviceSpec(operation="remove", device=device) for device in remove]
    changes += add
    pairs = [vim.option.OptionValue(key=key, value=value) for key, value in sorted(config.items())]
    vm = session.reference(vim.VirtualMachine, proxy)
    return vm.ReconfigVM_Task(vim.vm.ConfigSpec(deviceChange=changes, extraConfig=pairs))


def borrowed(file: str, capacity: int, slot: tuple[int, int], kind: str) -> t.Any:
    """The change that attaches a disk that exists, so that nothing is ever written to its files.

    :param kind: of its backing, as ``FlatVer2``.
    """
    backing = getattr(vim.vm.device.VirtualDisk, f"{kind}BackingInfo")(fileName=file, diskMode=NONPERSISTENT)
    return vim.vm.device.VirtualDeviceSpec(operation="add", device=_disk(backing, capacity, slot))


def created(file: str, capacity: int, slot: tuple[int, int], provisioning: str, policies: t.Sequence[str]) -> t.Any:
    """The change that makes a disk and attaches it, so that what is written to it is in its file.

    :param file: its path, where none is yet; the folder is there.
    :param provisioning: ``thin``, ``thick`` or ``eager_zeroed_thick``.
    :param policies: IDs of its storage policies; empty for the default of its datastore.
    """
    backing = vim.vm.device.VirtualDisk.FlatVer2BackingInfo(
        fileName=file,
        diskMode=PERSISTENT,
        thinProvisioned=provisioning == "thin",
        eagerlyScrub=provisioning == "eager_zeroed_thick",
    )
    return vim.vm.device.VirtualDeviceSpec(
        operation="add",
        fileOperation="create",
        device=of_512_bytes(_disk(backing, capacity, slot)),
        profile=[vim.vm.DefinedProfileSpec(profileId=policy) for policy in policies],
    )


def _disk(backing: t.Any, capacity: int, slot: tuple[int, int]) -> t.Any:
    return vim.vm.device.VirtualDisk(
        key=-1,
        controllerKey=slot[0],
        unitNumber=slot[1],
        backing=backing,
        capacityInKB=-(-capacity // 1024),
        capacityInBytes=capacity,
    )
