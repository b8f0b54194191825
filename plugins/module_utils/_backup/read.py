# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What there is, read from vCenter: each function is one call for any number of VMs or snapshots."""

from __future__ import annotations

import dataclasses
import functools
import typing as t

from .._connector.find import TO_ANCESTORS, find_each, path_in
from .._connector.props import Route, Row, collect, read_all
from .._connector.pyvmomi import vim
from .._vsphere import snapshots
from .._vsphere.compute import NETWORKS, VM_TO_DATASTORES, networks_in
from .._vsphere.disks import Disk, disks_in
from .._vsphere.hardware import Machine, machine_of
from .._vsphere.proxy import STORE, stores_in
from .._vsphere.snapshots import snapshots_in
from .._vsphere.vm import (
    ABOVE,
    BASICS,
    DEVICES,
    basics,
    config_in,
    config_path,
    datacenter_of,
    is_readable,
    moid_of,
    name_of,
    reference,
    row_of,
)
from .options import Vm

if t.TYPE_CHECKING:
    from .._connector.find import Selector
    from .._connector.session import Session
    from .._errors import VforgeError

# Where its extraConfig names the file with the settings of its firmware, beside the configuration.
NVRAM = config_path("nvram")

_VM: dict[type, tuple[str, ...]] = {
    **ABOVE,
    **NETWORKS,
    vim.ResourcePool: ("name",),
    vim.Datastore: STORE,
    vim.VirtualMachine: (
        *BASICS,
        DEVICES,
        "config.keyId",
        "datastore",
        "snapshot",
        "runtime.consolidationNeeded",
        "guest.toolsRunningStatus",
        "runtime.host",
        "resourcePool",
        "customValue",
        "config.files.vmPathName",
        NVRAM,
    ),
}


_AROUND = (
    *TO_ANCESTORS,
    VM_TO_DATASTORES,
    Route("vm-networks", vim.VirtualMachine, "network"),
    Route("vm-pool", vim.VirtualMachine, "resourcePool"),
)


def find(session: Session, selectors: t.Sequence[Selector], datacenter: str | None) -> list[Vm | VforgeError]:
    """The VMs that the selectors name, in their order.

    :returns: in the place of one of several that cannot be found, why not.
    :raises VforgeError: nothing can be found, or two selectors fit the same VM.
    """
    return find_each(session, selectors, datacenter, functools.partial(_read_vms, session))


def _read_vms(session: Session, moids: t.Sequence[str]) -> dict[str, Vm]:
    rows = {row.moid: row for row in collect(session, [reference(session, moid) for moid in moids], _VM, _AROUND)}
    networks = {network.backing_id: network.name for network in networks_in(rows)}
    fields = _custom_fields(session) if any(row.get("customValue") for row in rows.values()) else {}
    return {moid: _vm(rows, rows[moid], networks, fields) for moid in moids if is_readable(rows.get(moid))}


def _custom_fields(session: Session) -> dict[int, str]:
    """The names of custom attributes by their keys: one call."""
    manager = session.content.customFieldsManager
    rows = collect(session, [manager], {vim.CustomFieldsManager: ("field",)}) if manager is not None else []
    return {field.key: field.name for row in rows for field in row.get("field") or ()}


def nvram_of(row: Row) -> str:
    """The file with the settings of a VM's firmware; its name is that of the configuration
    where nothing else is said.
    """
    home, _slash, name = (row.get("config.files.vmPathName") or "").rpartition("/")
    said = config_in(row.values).get("nvram") or f"{name.removesuffix('.vmx')}.nvram"
    return f"{home}/{said}" if home and "/" not in said else ""


def _vm(rows: t.Mapping[str, Row], row: Row, networks: t.Mapping[str, str], fields: t.Mapping[int, str]) -> Vm:
    above = datacenter_of(rows, row)
    # Names of datastores are unique in a datacenter only: those of the VM alone.
    own = [rows[moid_of(ref)] for ref in row.get("datastore") or () if moid_of(ref) in rows]
    return Vm(
        **basics(rows, row),
        disks=disks_in(row.get(DEVICES)),
        snapshots=snapshots_in(row.get("snapshot")),
        consolidate=bool(row.get("runtime.consolidationNeeded")),
        tools=row.get("guest.toolsRunningStatus") == "guestToolsRunning",
        networks=networks,
        host=moid_of(row.get("runtime.host")),
        pool=name_of(row_of(rows, row.get("resourcePool"))),
        attributes={fields.get(each.key, str(each.key)): str(each.value) for each in row.get("customValue") or ()},
        nvram=nvram_of(row),
        datacenter=path_in(rows, above.moid) if above is not None else "",
        stores=stores_in(own),
        encrypted=row.get("config.keyId") is not None,
    )


@dataclasses.dataclass(frozen=True)
class Snapshotted:
    """A VM as a snapshot has it: its disks, and all that it is made of.

    :ivar powered_off: whether the VM is off now; no snapshot says what its VM was.
    """

    disks: tuple[Disk, ...]
    machine: Machine
    powered_off: bool = False


_SNAPSHOTTED: dict[type, tuple[str, ...]] = {
    vim.vm.Snapshot: ("config",),
    vim.VirtualMachine: ("runtime.powerState",),
}


def read_snapshots(session: Session, vms: t.Mapping[str, Vm]) -> dict[str, Snapshotted]:
    """What VMs were when snapshots of them were made, by moid of the snapshot; what is gone is left out.

    :param vms: by the moids of the snapshots.
    """
    refs = [snapshots.reference(session, moid) for moid in vms] + [reference(session, vm.moid) for vm in vms.values()]
    rows = read_all(session, refs, _SNAPSHOTTED)
    found = {}
    for moid, vm in vms.items():
        config = rows[moid].get("config") if moid in rows else None
        if config is None:
            continue
        now = rows[vm.moid].values if vm.moid in rows else {}
        found[moid] = Snapshotted(
            disks_in(config.hardware.device),
            machine_of(config, vm.name, vm.networks, {}),
            powered_off=str(now.get("runtime.powerState")) == "poweredOff",
        )
    return found
