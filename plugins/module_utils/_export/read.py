# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What there is, read from vCenter: each function is one call for any
number of VMs or snapshots.
"""

from __future__ import annotations

import functools
import typing as t

from .._connector.find import TO_ANCESTORS, find_each
from .._connector.props import Route, Row, collect, read
from .._connector.pyvmomi import vim
from .._vsphere import snapshots
from .._vsphere.compute import NETWORKS, networks_in
from .._vsphere.disks import chains_in
from .._vsphere.hardware import Machine, machine_of
from .._vsphere.snapshots import quiesced_in, snapshots_in
from .._vsphere.vm import ABOVE, BASICS, basics, reference
from .model import Vm

if t.TYPE_CHECKING:
    from .._connector.find import Selector
    from .._connector.session import Session
    from .._errors import VforgeError

_FILES = ("layoutEx.disk", "layoutEx.file")
_VM: dict[type, tuple[str, ...]] = {
    **ABOVE,
    **NETWORKS,
    vim.VirtualMachine: (
        *BASICS,
        *_FILES,
        "config",
        "snapshot",
        "runtime.cleanPowerOff",
        "guest.toolsRunningStatus",
    ),
}
_AROUND = (*TO_ANCESTORS, Route("vm-networks", vim.VirtualMachine, "network"))


def find(session: Session, selectors: t.Sequence[Selector], datacenter: str | None) -> list[Vm | VforgeError]:
    """The VMs that the selectors name, in their order.

    :returns: in the place of one of several that cannot be found, why not.
    :raises VforgeError: nothing can be found, or two selectors fit the same VM.
    """
    return find_each(session, selectors, datacenter, functools.partial(read_vms, session))


def read_vms(session: Session, moids: t.Sequence[str]) -> dict[str, Vm]:
    """What is known of these VMs, by moid; one that cannot be read is left out."""
    refs = [reference(session, moid) for moid in moids]
    rows = {row.moid: row for row in collect(session, refs, _VM, _AROUND)}
    names = network_names(rows)
    return {moid: _vm(rows, rows[moid], names) for moid in moids if _is_whole(rows.get(moid))}


def _is_whole(row: Row | None) -> t.TypeGuard[Row]:
    return row is not None and row.get("config") is not None


def network_names(rows: t.Mapping[str, Row]) -> dict[str, str]:
    """The names of networks, by what the backing of a NIC holds for them."""
    return {network.backing_id: network.name for network in networks_in(rows)}


def _vm(rows: t.Mapping[str, Row], row: Row, names: t.Mapping[str, str]) -> Vm:
    config = row.get("config")
    known = basics(rows, row)
    clean = row.get("runtime.cleanPowerOff")
    return Vm(
        **{**known, "instance_uuid": (config.instanceUuid or "").lower(), "template": bool(config.template)},
        machine=machine_of(config, known["name"], names, _stored(row)),
        networks=dict(names),
        snapshots=snapshots_in(row.get("snapshot")),
        quiesced=quiesced_in(row.get("snapshot")),
        change_version=config.changeVersion or "",
        tools=row.get("guest.toolsRunningStatus") == "guestToolsRunning",
        clean=None if clean is None else bool(clean),
    )


def _stored(row: Row) -> dict[str, int]:
    """Bytes that the chain of each disk takes, by its topmost file."""
    found = {}
    for chain in chains_in(row.values):
        names = [file.name for unit in chain[-1:] for file in unit if file.type == "diskDescriptor"]
        total = sum(file.size for unit in chain for file in unit)
        found.update(dict.fromkeys(names, int(total)))
    return found


def read_snapshots(session: Session, vms: t.Mapping[str, Vm]) -> dict[str, Machine]:
    """What VMs were when snapshots of them were made, by moid of the
    snapshot; what is gone is left out.

    :param vms: by the moids of the snapshots.
    """
    refs = [snapshots.reference(session, moid) for moid in vms]
    rows = read(session, refs, vim.vm.Snapshot, ("config",))
    found = {}
    for moid, row in rows.items():
        vm = vms[moid]
        if row.get("config") is None:
            continue
        stored = {disk.files[0]: disk.stored for disk in vm.machine.disks if disk.files}
        found[moid] = machine_of(row.get("config"), vm.name, vm.networks, stored)
    return found
