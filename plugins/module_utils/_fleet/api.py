# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""pyVmomi's side of fleets: what is read."""

from __future__ import annotations

import typing as t

from .._connector.find import TO_ANCESTORS
from .._connector.props import Route, Row
from .._connector.pyvmomi import vim
from .._vsphere.markers import FLEET_KEY, MARKER_KEY
from .options import INSTANT_CLONE, VMFORK

if t.TYPE_CHECKING:
    from .._connector.session import Session

GOLDEN: dict[type, tuple[str, ...]] = {
    vim.VirtualMachine: (
        "name",
        "parent",
        "parentVApp",
        "datastore",
        "snapshot",
        "config.changeVersion",
        "config.hardware.memoryMB",
        "config.instanceUuid",
        "config.template",
        "summary.storage.committed",
    ),
    vim.Folder: ("name", "parent"),
    vim.Datacenter: ("name", "parent"),
    vim.VirtualApp: ("name", "parent", "parentFolder"),
}
AROUND_GOLDEN = TO_ANCESTORS

PLACES: dict[type, tuple[str, ...]] = {
    vim.Folder: ("name", "parent"),
    vim.Datacenter: ("name", "parent"),
    vim.ComputeResource: ("name", "parent"),
    vim.HostSystem: (
        "name",
        "parent",
        "datastore",
        "runtime.connectionState",
        "runtime.inMaintenanceMode",
        "runtime.inQuarantineMode",
        "summary.hardware.memorySize",
        "summary.quickStats.overallMemoryUsage",
    ),
    vim.Datastore: ("name", "summary.accessible", "summary.freeSpace", "summary.maintenanceMode"),
}
TO_PLACES = (
    Route("datacenter-hosts", vim.Datacenter, "hostFolder", ("folder-children",)),
    Route("folder-children", vim.Folder, "childEntity", ("folder-children", "compute-hosts")),
    Route("compute-hosts", vim.ComputeResource, "host", ("host-datastores",)),
    Route("host-datastores", vim.HostSystem, "datastore"),
)

# One entry of an array by its key, so that not all of every VM's configuration is read.
CLONE_MARK = f'config.extraConfig["{MARKER_KEY}"]'
FLEET_MARK = f'config.extraConfig["{FLEET_KEY}"]'

# The fixed address of a clone; that of a child of VMFork is below "fork".
ADDRESSES = ('config.extraConfig["guestinfo.ipv4"]', 'config.extraConfig["guestinfo.fork.ipv4"]')

MEMBERS: dict[type, tuple[str, ...]] = {
    vim.ManagedEntity: ("name", "parent"),
    vim.VirtualMachine: (
        CLONE_MARK,
        FLEET_MARK,
        *ADDRESSES,
        "config.instanceUuid",
        "guest.ipAddress",
        "runtime.host",
        "runtime.powerState",
    ),
}

# What tells of a VM whether clones can be made of it, and of which parent it is a child, by the kind of the fleet.
_OF_KIND = {
    INSTANT_CLONE: ("runtime.instantCloneFrozen",),
    VMFORK: ("runtime.quiescedForkParent", "config.forkConfigInfo"),
}
TO_MEMBERS = (Route("folder-children", vim.Folder, "childEntity"),)


def members(kind_of_fleet: str) -> dict[type, tuple[str, ...]]:
    """What is read of what lies in the folders of a fleet."""
    return {**MEMBERS, vim.VirtualMachine: (*MEMBERS[vim.VirtualMachine], *_OF_KIND[kind_of_fleet])}


def reference(session: Session, kind: str, moid: str) -> t.Any:
    """A reference to a ``Datacenter`` or a ``Folder``; nothing is sent."""
    return session.reference(getattr(vim, kind), moid)


def is_datacenter(ref: t.Any) -> bool:
    """Whether a reference is a datacenter."""
    return isinstance(ref, vim.Datacenter)


def is_compute_resource(ref: t.Any) -> bool:
    """Whether a reference is a cluster, or what a host outside of any cluster is in."""
    return isinstance(ref, vim.ComputeResource)


def is_host(ref: t.Any) -> bool:
    """Whether a reference is a host."""
    return isinstance(ref, vim.HostSystem)


def is_datastore(ref: t.Any) -> bool:
    """Whether a reference is a datastore."""
    return isinstance(ref, vim.Datastore)


def is_vm(ref: t.Any) -> bool:
    """Whether a reference is a VM."""
    return isinstance(ref, vim.VirtualMachine)


def kind(ref: t.Any) -> str:
    """``VirtualMachine``, ``Folder``, ``VirtualApp``..."""
    return type(ref).__name__.rsplit(".", 1)[-1]


def mark(row: Row, path: str) -> str:
    """The value of a mark, or an empty text."""
    pair = row.get(path)
    return str(pair.value) if pair is not None else ""


def ready(row: Row, kind_of_fleet: str) -> bool:
    """Whether clones of a fleet's parent can be made: it is on, and frozen, or an enabled and quiesced parent of VMFork."""
    stands = bool(row.get(_OF_KIND[kind_of_fleet][0]))
    return str(row.get("runtime.powerState")) == "poweredOn" and stands and (kind_of_fleet != VMFORK or bool(fork_group(row)))


def fork_group(row: Row) -> str:
    """The fork group of a VM that is an enabled parent of VMFork, or an empty text."""
    fork = row.get("config.forkConfigInfo")
    return (fork.parentForkGroupId or "") if fork is not None and fork.parentEnabled else ""


def child_group(row: Row) -> str:
    """The fork group of a VM that is a child of VMFork, or an empty text."""
    fork = row.get("config.forkConfigInfo")
    return (fork.childForkGroupId or "") if fork is not None else ""


def snapshots(info: t.Any) -> list[tuple[str, str, str]]:
    """Name, moid and time of all snapshots of a VM, from its property ``snapshot``; every branch counts."""
    found: list[tuple[str, str, str]] = []
    due = list(info.rootSnapshotList) if info is not None else []
    while due:
        node = due.pop()
        found.append((node.name, node.snapshot._GetMoId(), node.createTime.isoformat()))
        due.extend(node.childSnapshotList or ())
    return found
