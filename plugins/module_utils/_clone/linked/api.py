# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""pyVmomi's side of linked and full clones: what to read, and the calls that change something."""

from __future__ import annotations

import typing as t

from ..._connector import names, tasks
from ..._connector.props import Route, Row, read
from ..._connector.pyvmomi import vim
from ..._vsphere import deltas
from ..._vsphere.customization import specification
from .. import api
from ..plan import NicEdit, Step
from .facts import Disk, Snapshot

if t.TYPE_CHECKING:
    from ..._connector.session import Session

SOURCE: dict[type, tuple[str, ...]] = {
    vim.VirtualMachine: ("snapshot", "datastore", "config.hardware.device"),
}

# The hosts, clusters and pools of a datacenter, with what decides where a clone may go.
COMPUTE: dict[type, tuple[str, ...]] = {
    vim.HostSystem: ("name", "parent", "datastore", "runtime.inMaintenanceMode", "runtime.connectionState"),
    vim.ComputeResource: ("name", "host", "resourcePool"),
    vim.ClusterComputeResource: ("configuration.drsConfig",),
    vim.ResourcePool: ("name", "parent", "owner"),
}
TO_COMPUTE = (
    Route("datacenter-hosts", vim.Datacenter, "hostFolder", ("hosts-children",)),
    Route("hosts-children", vim.Folder, "childEntity", ("hosts-children", "compute-hosts", "compute-pool")),
    Route("compute-hosts", vim.ComputeResource, "host"),
    Route("compute-pool", vim.ComputeResource, "resourcePool", ("pool-pools",)),
    Route("pool-pools", vim.ResourcePool, "resourcePool", ("pool-pools",)),
)

SIGHT: dict[type, tuple[str, ...]] = {
    vim.HostSystem: ("network", "datastore"),
    **{kind: paths for kind, paths in api.AROUND_PARENT.items() if issubclass(kind, (vim.Network, vim.Datastore))},
    vim.DistributedVirtualSwitch: ("uuid",),
}
TO_SIGHT = tuple(
    route for route in api.TO_SURROUNDINGS if route.name in ("host-networks", "portgroup-switch", "host-datastores")
)

_MOVES = {
    "snapshot": "createNewChildDiskBacking",
    "layers": "moveChildMostDiskBacking",
    "full": "moveAllDiskBackingsAndDisallowSharing",
}


def datacenter(session: Session, moid: str) -> t.Any:
    """A reference; nothing is sent."""
    return session.reference(vim.Datacenter, moid)


def host(session: Session, moid: str) -> t.Any:
    """A reference; nothing is sent."""
    return session.reference(vim.HostSystem, moid)


def is_host(ref: t.Any) -> bool:
    """Whether a reference is an ESXi host."""
    return isinstance(ref, vim.HostSystem)


def is_compute(ref: t.Any) -> bool:
    """Whether a reference is a cluster, or a host that is in none."""
    return isinstance(ref, vim.ComputeResource)


def balanced(compute: Row) -> bool:
    """Whether a cluster chooses hosts for new VMs by itself."""
    drs = compute.get("configuration.drsConfig")
    return drs is not None and bool(drs.enabled) and str(drs.defaultVmBehavior or "") == "fullyAutomated"


def snapshots(info: t.Any) -> tuple[tuple[Snapshot, ...], str]:
    """The snapshots of a VM's ``snapshot`` in the order of the tree, and the moid of the current one."""
    if info is None:
        return (), ""
    current = info.currentSnapshot._GetMoId() if info.currentSnapshot else ""
    return tuple(_flat(info.rootSnapshotList, "")), current


def _flat(trees: t.Iterable[t.Any], above: str) -> t.Iterator[Snapshot]:
    for tree in trees:
        name = names.unescape(tree.name)
        path = f"{above}/{name}" if above else name
        yield Snapshot(tree.snapshot._GetMoId(), path, name)
        yield from _flat(tree.childSnapshotList or (), path)


def disks(devices: t.Iterable[t.Any]) -> tuple[Disk, ...]:
    """The virtual disks among the devices, in the order of their keys."""
    return tuple(Disk(_label(disk), deltas.count(disk)) for disk in deltas.disks(devices))


def _label(device: t.Any) -> str:
    return device.deviceInfo.label if device.deviceInfo else f"disk {device.key}"


def clone_spec(session: Session, step: Step, config: t.Mapping[str, str], how: str, snapshot: str, *, power_on: bool) -> t.Any:
    """The CloneSpec.

    :param how: ``snapshot``, ``layers`` or ``full``: what the disks of the clone are made of.
    :param snapshot: moid, or empty.
    """
    place = step.target
    location = vim.vm.RelocateSpec(
        pool=session.reference(vim.ResourcePool, place.pool.moid),
        diskMoveType=_MOVES[how],
    )
    if place.host:
        location.host = host(session, place.host)
    if place.datastore:
        location.datastore = session.reference(vim.Datastore, place.datastore)
    spec = vim.vm.CloneSpec(location=location, powerOn=power_on, template=False)
    spec.config = api.config_spec(config, step.request.hardware, _nic_changes(session, step))
    spec.config.uuid = step.request.bios_uuid
    if snapshot:
        spec.snapshot = session.reference(vim.vm.Snapshot, snapshot)
    if step.request.customization is not None:
        spec.customization = specification(step.request.customization, len(step.source.nics))
    return spec


def _nic_changes(session: Session, step: Step) -> list[t.Any]:
    """The edits asked for, and one for each NIC whose MAC somebody has set: two VMs must not have it."""
    edited = {edit.nic.key for edit in step.nics}
    kept = [nic for nic in step.source.nics if nic.key not in edited and _has_manual_mac(nic.card)]
    edits = (*step.nics, *(NicEdit(nic) for nic in kept))
    return [api.nic_change(session, edit, keep_mac=False) for edit in edits]


def _has_manual_mac(card: t.Any) -> bool:
    return str(getattr(card, "addressType", "") or "").casefold() == "manual"


def start_clone(session: Session, step: Step, spec: t.Any) -> t.Any:
    """``CloneVM_Task``; the task's result is the new VM."""
    folder = session.reference(vim.Folder, step.target.folder)
    return api.vm(session, step.source.moid).CloneVM_Task(folder=folder, name=names.escape(step.name), spec=spec)


def start_check(session: Session, step: Step, spec: t.Any) -> t.Any:
    """``CheckClone_Task``; the task's result is a list of CheckResult."""
    folder = session.reference(vim.Folder, step.target.folder)
    checker = session.content.vmProvisioningChecker
    return checker.CheckClone_Task(api.vm(session, step.source.moid), folder, names.escape(step.name), spec, None)


def start_power_on(session: Session, moid: str) -> t.Any:
    """``PowerOnVM_Task``."""
    return api.vm(session, moid).PowerOnVM_Task()


def read_devices(session: Session, moids: t.Sequence[str]) -> dict[str, Row]:
    """The devices and change versions of VMs, by moid: one call."""
    refs = [api.vm(session, moid) for moid in moids]
    return read(session, refs, vim.VirtualMachine, ("config.hardware.device", "config.changeVersion"))


def start_layering(session: Session, moid: str, known: Row, config: t.Mapping[str, str]) -> t.Any:
    """``ReconfigVM_Task`` that puts an empty layer on every disk; refused when the VM has changed since it was read."""
    spec = vim.vm.ConfigSpec(
        changeVersion=known.get("config.changeVersion"),
        extraConfig=api.option_values(config),
        deviceChange=deltas.layer_changes(known.get("config.hardware.device") or (), every=True),
    )
    return api.vm(session, moid).ReconfigVM_Task(spec)


def mark_as_template(session: Session, moid: str) -> None:
    """``MarkAsTemplate``, done when it returns."""
    api.vm(session, moid).MarkAsTemplate()


def shut_down_guest(session: Session, moid: str) -> None:
    """``ShutdownGuest``, which only begins it."""
    api.vm(session, moid).ShutdownGuest()


def wait_until_off(session: Session, moids: t.Sequence[str], deadline: float) -> set[str]:
    """Wait until VMs are powered off, with one filter for all.

    :returns: the moids of those that are not, at the deadline.
    """
    still_on = set(moids)
    refs = [api.vm(session, moid) for moid in moids]
    changes = tasks.updates(session, refs, vim.VirtualMachine, ("runtime.powerState",), deadline)
    try:
        for batch in changes if still_on else ():
            for update in batch:
                if update.gone or str(update.values.get("runtime.powerState")) == "poweredOff":
                    still_on.discard(update.moid)
            if not still_on:
                break
    finally:
        changes.close()
    return still_on
