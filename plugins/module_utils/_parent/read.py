# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What there is, read from vCenter: each function is one call for any number of parents, but for
the dry run of a clone.
"""

from __future__ import annotations

import functools
import typing as t

from .._connector import faults
from .._connector.find import TO_ANCESTORS, TO_VMS, find_each
from .._connector.props import PAGE_OF_LITTLE, Row, collect
from .._connector.pyvmomi import vim
from .._errors import VforgeError
from .._vsphere import compute, freeze, guest
from .._vsphere.disks import disks_in
from .._vsphere.freeze import Found, found_in
from .._vsphere.markers import MARKER_KEY, named_parent, parent_of
from .._vsphere.snapshots import snapshots_in
from .._vsphere.vm import (
    ABOVE,
    BASICS,
    DEVICES,
    basics,
    config_path,
    config_value,
    is_readable,
    label_of,
    name_of,
    reference,
)
from .model import SNAPSHOT_NAME, Child, Obstacle, Parent

if t.TYPE_CHECKING:
    from .._connector.find import Selector
    from .._connector.session import Session

PARENT: dict[type, tuple[str, ...]] = {
    **ABOVE,
    guest.MANAGER: guest.MANAGERS,
    vim.VirtualMachine: (
        *BASICS,
        *guest.VM_ACCESS,
        *freeze.PARENT_PATHS,
        DEVICES,
        "snapshot",
        "config.files.vmPathName",
        "runtime.instantCloneFrozen",
    ),
    vim.HostSystem: (*guest.HOST_ACCESS, *compute.HOST),
}
AROUND_PARENT = (*TO_ANCESTORS, compute.VM_TO_HOST)

# All that is read of every VM of the inventory: one pair of its extraConfig. The rest is read of
# those that have it.
MARKER = config_path(MARKER_KEY)
MARKED: dict[type, tuple[str, ...]] = {vim.VirtualMachine: (MARKER,)}

CHILDREN: dict[type, tuple[str, ...]] = {
    **ABOVE,
    vim.VirtualMachine: (*BASICS, "runtime.host", MARKER),
    vim.HostSystem: ("name",),
}


def find_parents(
    session: Session, selectors: t.Sequence[Selector], datacenter: str | None
) -> list[Found[Parent] | VforgeError]:
    """The VMs that the selectors name, in their order.

    In the place of one of several that is not found, why not.

    :raises VforgeError: nothing can be found, or two selectors fit the same VM.
    """
    return find_each(session, selectors, datacenter, functools.partial(read_parents, session), "parents")


def read_parents(session: Session, moids: t.Sequence[str]) -> dict[str, Found[Parent]]:
    """What is known of these VMs, by moid; one that cannot be read is left out."""
    if not moids:
        return {}
    roots = [*(reference(session, moid) for moid in moids), *guest.managers(session)]
    rows = {row.moid: row for row in collect(session, roots, PARENT, AROUND_PARENT)}
    shown = [moid for moid in moids if is_readable(rows.get(moid))]
    return {moid: found_in(session, rows, _parent(rows, rows[moid])) for moid in shown}


def _parent(rows: t.Mapping[str, Row], vm: Row) -> Parent:
    host = compute.host_of(rows, vm)
    snapshots = sorted(item.name for item in snapshots_in(vm.get("snapshot")))
    devices = vm.get(DEVICES) or ()
    return Parent(
        **freeze.parent_basics(rows, vm),
        frozen=bool(vm.get("runtime.instantCloneFrozen")),
        host=host.moid if host else "",
        disks=disks_in(devices, vm.get("config.files.vmPathName") or ""),
        snapshots=tuple(name for name in snapshots if name != SNAPSHOT_NAME),
        leftover=SNAPSHOT_NAME in snapshots,
        devices=obstacles(devices),
    )


def read_children(session: Session, parent_uuids: t.Collection[str]) -> dict[str, list[Child]]:
    """The marked clones of these parents, by the parent's instance UUID.

    A parent does not say which VMs were cloned of it. So one traversal reads one marker a VM, and a
    second call what there is to say of those that name one of these parents.
    """
    found: dict[str, list[Child]] = {uuid: [] for uuid in parent_uuids}
    every = collect(session, [session.content.rootFolder], MARKED, TO_VMS, page=PAGE_OF_LITTLE)
    marked = [row.ref for row in every if named_parent(config_value(row.get(MARKER))) in found]
    rows = {row.moid: row for row in collect(session, marked, CHILDREN, AROUND_PARENT)}
    for ref in marked:
        row = rows.get(ref._GetMoId())
        # A clone of a clone inherits the marker, with a name that is not its own.
        uuid = parent_of(config_value(row.get(MARKER)), name_of(row)) if row is not None else None
        if row is not None and uuid in found:
            host = compute.host_of(rows, row)
            found[uuid].append(Child(**basics(rows, row), host=host.name if host else ""))
    return {uuid: sorted(children, key=lambda child: child.path) for uuid, children in found.items()}


def obstacles(devices: t.Iterable[t.Any]) -> tuple[Obstacle, ...]:
    """The devices that tie a VM to its host's hardware, which no clone can share."""
    found = []
    for device in devices:
        known = _obstacle(device)
        if known is not None:
            label = label_of(device, "device")
            found.append(Obstacle(known[0], f"{label}: {known[1]}", label))
    return tuple(found)


def _obstacle(device: t.Any) -> tuple[str, str] | None:
    kinds = vim.vm.device
    if isinstance(device, kinds.VirtualPCIPassthrough):
        if isinstance(device.backing, kinds.VirtualPCIPassthrough.VmiopBackingInfo):
            return "vgpu", f"a virtual GPU ({device.backing.vgpu}) has state that cannot be cloned."
        return "passthrough", "a PCI device of the host is passed through to it."
    if isinstance(device, kinds.VirtualSriovEthernetCard):
        return "sriov", "an SR-IOV card is a function of the host's hardware."
    if isinstance(device, kinds.VirtualSCSIPassthrough):
        return "scsi_passthrough", "a SCSI device of the host is passed through to it."
    if isinstance(device, kinds.VirtualUSB) and device.connected:
        return "usb_passthrough", "a USB device of the host or of a client is connected to it."
    if isinstance(device, kinds.VirtualSCSIController) and device.sharedBus == "physicalSharing":
        return "shared_bus", "its bus is shared with VMs on other hosts."
    return None


def start_check(session: Session, moid: str) -> t.Any:
    """``CheckInstantClone_Task`` for a clone that asks for nothing.

    The task's result is a list of CheckResult.
    """
    spec = vim.vm.InstantCloneSpec(name="vforge-check", location=vim.vm.RelocateSpec())
    return session.manager("vmProvisioningChecker").CheckInstantClone_Task(reference(session, moid), spec, None)


def refusals(results: t.Iterable[t.Any]) -> list[Obstacle]:
    """What vCenter found wrong in a dry run."""
    errors = [faults.translate(fault) for result in results for fault in result.error or ()]
    return [Obstacle(error.error_code, error.message) for error in errors]
