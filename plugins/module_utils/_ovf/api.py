# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""pyVmomi's side of templates made of OVF packages: what to read, and the calls that change something."""

from __future__ import annotations

import collections
import typing as t

from .._connector import faults, names
from .._connector.find import TO_ANCESTORS, TO_VMS
from .._connector.props import Route, Row
from .._connector.pyvmomi import vim
from .._vsphere import deltas
from . import facts
from .facts import Placement
from .options import Deployment

if t.TYPE_CHECKING:
    from .._connector.session import Session

VIRTUAL_MACHINE = vim.VirtualMachine


def mark_path(key: str) -> str:
    """One pair of extraConfig by its key, so that not all of a VM's configuration is read."""
    return f'config.extraConfig["{key}"]'


MARKS = tuple(mark_path(key) for key in facts.KEYS)

# What changes while a template is made; who waits for it watches this.
PROGRESS = ("name", "config.changeVersion", "config.template", "runtime.powerState", "config.instanceUuid", *MARKS)

HOLDERS: dict[type, tuple[str, ...]] = {
    vim.ManagedEntity: ("name", "parent"),
    vim.VirtualMachine: (*PROGRESS, "runtime.host", "datastore", "parentVApp"),
    vim.HostSystem: ("name", "parent"),
    vim.ComputeResource: ("name",),
    vim.Datastore: ("name",),
    vim.VirtualApp: ("parentFolder",),
}
AROUND_HOLDER = (
    *TO_ANCESTORS,
    Route("vm-host", vim.VirtualMachine, "runtime.host", ("host-compute",)),
    Route("host-compute", vim.HostSystem, "parent"),
    Route("vm-datastores", vim.VirtualMachine, "datastore"),
)

SURROUNDINGS: dict[type, tuple[str, ...]] = {
    vim.Folder: ("name", "parent"),
    vim.Datacenter: ("name", "parent"),
    vim.StoragePod: ("name", "parent"),
    vim.ComputeResource: ("name", "parent", "resourcePool"),
    vim.ResourcePool: ("name", "parent", "owner"),
    vim.HostSystem: (
        "name",
        "parent",
        "datastore",
        "network",
        "runtime.connectionState",
        "runtime.inMaintenanceMode",
        "hardware.memorySize",
        "summary.quickStats.overallMemoryUsage",
    ),
    vim.Datastore: ("name", "parent", "summary.accessible", "summary.freeSpace", "summary.maintenanceMode", "summary.type"),
    vim.Network: ("name",),
    vim.dvs.DistributedVirtualPortgroup: ("config.uplink",),
}
FROM_FOLDER = (
    Route("parent", vim.ManagedEntity, "parent", ("parent", "datacenter-hosts", "datacenter-stores")),
    Route("datacenter-hosts", vim.Datacenter, "hostFolder", ("into-hosts", "compute-hosts", "compute-pool")),
    Route("datacenter-stores", vim.Datacenter, "datastoreFolder", ("into-hosts",)),
    Route("into-hosts", vim.Folder, "childEntity", ("into-hosts", "compute-hosts", "compute-pool")),
    Route("compute-hosts", vim.ComputeResource, "host", ("host-networks", "host-datastores")),
    Route("compute-pool", vim.ComputeResource, "resourcePool", ("pool-pools",)),
    Route("pool-pools", vim.ResourcePool, "resourcePool", ("pool-pools",)),
    Route("host-networks", vim.HostSystem, "network"),
    Route("host-datastores", vim.HostSystem, "datastore"),
)

FINISH: dict[type, tuple[str, ...]] = {
    vim.VirtualMachine: (*PROGRESS, "config.hardware.device", "layoutEx.disk", "layoutEx.file"),
    vim.Datastore: ("summary.type",),
}
TO_STORES = (Route("vm-datastores", vim.VirtualMachine, "datastore"),)

VERSIONS: dict[type, tuple[str, ...]] = {vim.VirtualMachine: PROGRESS}
TO_CHILDREN = (Route("folder-children", vim.Folder, "childEntity"),)

# From a folder, the root folder included, down to every VM.
TO_ALL_VMS = TO_VMS

TASKS: dict[type, tuple[str, ...]] = {vim.Task: ("info.state",)}
TO_TASKS = (Route("vm-tasks", vim.VirtualMachine, "recentTask"),)


def vm(session: Session, moid: str) -> t.Any:
    """A reference; nothing is sent."""
    return session.reference(vim.VirtualMachine, moid)


def folder(session: Session, moid: str) -> t.Any:
    """A reference; nothing is sent."""
    return session.reference(vim.Folder, moid)


def kind(ref: t.Any) -> str:
    """``VirtualMachine``, ``Folder``, ``VirtualApp``..."""
    return type(ref).__name__.rsplit(".", 1)[-1]


def find_child(session: Session, folder_moid: str, name: str) -> t.Any:
    """What has a name in a folder, or None."""
    home = folder(session, folder_moid)
    return session.retrying(lambda: session.content.searchIndex.FindChild(home, names.escape(name)))


def takes_vms(row: Row) -> bool:
    """Whether a row is a network that VMs can be connected to; a port group for the host's own cards is none."""
    return isinstance(row.ref, vim.Network) and not row.get("config.uplink")


def _pairs(config: t.Mapping[str, str]) -> list[t.Any]:
    return [vim.option.OptionValue(key=key, value=value) for key, value in config.items()]


def marks_of(values: t.Mapping[str, t.Any]) -> dict[str, str]:
    """The marks among properties that were read."""
    pairs = (values.get(path) for path in MARKS)
    return {pair.key: str(pair.value) for pair in pairs if pair is not None and pair.value not in (None, "")}


_NETWORKS = {"DistributedVirtualPortgroup": vim.dvs.DistributedVirtualPortgroup, "OpaqueNetwork": vim.OpaqueNetwork}


def create_import_spec(
    session: Session, text: str, name: str, place: Placement, wanted: Deployment, kinds: t.Mapping[str, str]
) -> t.Any:
    """``CreateImportSpec``: what vCenter makes of the descriptor. Changes nothing.

    :param kinds: vSphere's type of each network, by moid.
    """
    params = vim.OvfManager.CreateImportSpecParams(
        locale="",
        entityName=names.escape(name),
        deploymentOption=wanted.option or "",
        hostSystem=session.reference(vim.HostSystem, place.host.moid),
        networkMapping=[
            vim.OvfManager.NetworkMapping(
                name=offered, network=session.reference(_NETWORKS.get(kinds.get(moid, ""), vim.Network), moid)
            )
            for offered, moid in place.networks.items()
        ],
        propertyMapping=[vim.KeyValue(key=key, value=value) for key, value in wanted.properties.items()],
        diskProvisioning=wanted.provisioning,
    )
    pool = session.reference(vim.ResourcePool, place.pool.moid)
    datastore = session.reference(vim.Datastore, place.datastore.moid)
    manager = session.content.ovfManager
    return session.retrying(lambda: manager.CreateImportSpec(text, pool, datastore, params))


def messages(found: t.Iterable[t.Any]) -> list[str]:
    """Errors or warnings of the descriptor, as vCenter words them."""
    return [(fault.msg or "").strip() or faults.fault_name(fault) for fault in found or ()]


def set_up(spec: t.Any, name: str, marks: t.Mapping[str, str], wanted: Deployment, policy: str | None) -> None:
    """Put into an import what comes into being together with the name: the marks, and what the options ask for."""
    config = spec.configSpec
    config.name = names.escape(name)
    config.extraConfig = [*(config.extraConfig or []), *_pairs(marks)]
    if wanted.hardware_version:
        config.version = wanted.hardware_version
    if wanted.annotation is not None:
        config.annotation = wanted.annotation
    if policy:
        profile = vim.vm.DefinedProfileSpec(profileId=policy)
        config.vmProfile = [profile]
        for change in config.deviceChange or ():
            if isinstance(change.device, vim.vm.device.VirtualDisk):
                change.profile = [profile]


def import_vapp(session: Session, spec: t.Any, place: Placement, folder_moid: str) -> t.Any:
    """``ImportVApp``; the lease. The name is taken by it, or DuplicateName comes, here or from the lease."""
    pool = session.reference(vim.ResourcePool, place.pool.moid)
    host = session.reference(vim.HostSystem, place.host.moid)
    return session.retrying(lambda: pool.ImportVApp(spec, folder(session, folder_moid), host))


def source_file(
    device_id: str, url: str, member: str | None, size: int, pin: str | None, headers: t.Mapping[str, str]
) -> t.Any:
    """What a host is told to fetch."""
    return vim.HttpNfcLease.SourceFile(
        targetDeviceId=device_id,
        url=url,
        memberName=member or "",
        create=False,
        sslThumbprint=pin or "",
        httpHeaders=[vim.KeyValue(key=name, value=value) for name, value in headers.items()],
        size=size,
    )


def count_capacities(devices: t.Iterable[t.Any]) -> collections.Counter[int]:
    """How many disks there are of each capacity in KiB."""
    return collections.Counter(disk.capacityInKB for disk in deltas.disks(devices))


def capacities(spec: t.Any) -> collections.Counter[int]:
    """The same of what an import is to make."""
    return count_capacities(change.device for change in spec.configSpec.deviceChange or ())


def disk_facts(values: t.Mapping[str, t.Any]) -> list[int | None]:
    """The bytes that the lowest layer of each disk takes, from ``layoutEx``; None where it is no file."""
    files = {item.key: item for item in values.get("layoutEx.file") or ()}
    found: list[int | None] = []
    for disk in values.get("layoutEx.disk") or ():
        keys = disk.chain[0].fileKey if disk.chain else ()
        sizes = [files[key].size for key in keys if key in files and files[key].type == "diskExtent"]
        found.append(sum(sizes) if sizes else None)
    return found


def start_reconfigure(
    session: Session, moid: str, version: str, marks: t.Mapping[str, str], changes: t.Sequence[t.Any] = ()
) -> t.Any:
    """``ReconfigVM_Task``, which fails with ConcurrentAccess when the VM is not of this change version any more."""
    spec = vim.vm.ConfigSpec(changeVersion=version, extraConfig=_pairs(marks), deviceChange=list(changes))
    return vm(session, moid).ReconfigVM_Task(spec)


def mark_as_template(session: Session, moid: str) -> None:
    """``MarkAsTemplate``, done when it returns."""
    vm(session, moid).MarkAsTemplate()


def start_rename(session: Session, moid: str, name: str) -> t.Any:
    """``Rename_Task``."""
    return vm(session, moid).Rename_Task(names.escape(name))


def start_destroy(session: Session, moid: str) -> t.Any:
    """``Destroy_Task``: the VM and the files that are its alone."""
    return vm(session, moid).Destroy_Task()
