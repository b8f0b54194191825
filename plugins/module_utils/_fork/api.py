# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""pyVmomi's side of VMFork: its methods, which no SDK has, what to read, and the calls that change something.

The methods and their one data type are as clients of vSphere 6.0 and 6.5 have been seen to use them.
"""

from __future__ import annotations

import typing as t

from .._connector import guest, names, releases
from .._connector.find import TO_ANCESTORS
from .._connector.props import Route
from .._connector.pyvmomi import vim
from .._connector.unofficial import Method, Property, add_data_type, add_methods
from .facts import PARAMETER_PREFIX, SNAPSHOT_NAME

if t.TYPE_CHECKING:
    from .._connector.session import Session
    from .options import ChildRequest
    from .placing import Placement

VIRTUAL_MACHINE = vim.VirtualMachine

# API 6.0, which has them first.
_SINCE = "vim.version.version10"
_SPEC = "vim.vm.CreateChildSpec"
_SPEC_PROPERTIES = (
    Property("location", "vim.vm.RelocateSpec", optional=True),
    Property("persistent", "boolean"),
    Property("configParams", "vim.option.OptionValue[]", optional=True),
)
METHODS = (
    Method("EnableForkParent_Task", _SINCE),
    Method("DisableForkParent_Task", _SINCE),
    Method("CreateForkChild_Task", _SINCE, (Property("name", "string"), Property("spec", _SPEC))),
    Method("RetrieveForkChildren_Task", _SINCE),
    Method("RetrieveForkParent_Task", _SINCE),
)

_CHILD_VM = ("config.forkConfigInfo", "config.instanceUuid", "runtime.powerState", "runtime.host")
_ABOVE: dict[type, tuple[str, ...]] = {
    vim.Folder: ("name", "parent"),
    vim.Datacenter: ("name", "parent"),
    vim.VirtualApp: ("name", "parent", "parentFolder"),
}

PARENT: dict[type, tuple[str, ...]] = {
    **_ABOVE,
    guest.MANAGER: guest.MANAGERS,
    vim.VirtualMachine: (
        *guest.VM_ACCESS,
        *_CHILD_VM,
        "parent",
        "parentVApp",
        "resourcePool",
        "datastore",
        "snapshot",
        "config.uuid",
        "config.template",
        "runtime.quiescedForkParent",
        "guest.toolsVersionStatus2",
        *guest.READY,
    ),
    vim.HostSystem: (*guest.HOST_ACCESS, "name", "parent", "datastore", "runtime.inMaintenanceMode", "runtime.connectionState"),
    vim.ComputeResource: ("name",),
    vim.ResourcePool: ("name", "parent", "owner"),
    vim.Datastore: ("name", "summary.accessible"),
}
AROUND_PARENT = (
    *TO_ANCESTORS,
    Route("vm-host", vim.VirtualMachine, "runtime.host", ("host-compute", "host-datastores")),
    Route("host-compute", vim.HostSystem, "parent", ("compute-pool",)),
    Route("compute-pool", vim.ComputeResource, "resourcePool", ("pool-pools",)),
    Route("pool-pools", vim.ResourcePool, "resourcePool", ("pool-pools",)),
    Route("host-datastores", vim.HostSystem, "datastore"),
)

# What is told of the children that a parent has.
LISTED: dict[type, tuple[str, ...]] = {
    **_ABOVE,
    vim.ManagedEntity: ("name", "parent"),
    vim.VirtualMachine: (*_CHILD_VM, "parentVApp"),
    vim.HostSystem: ("name",),
}
TO_LISTED = (*TO_ANCESTORS, *guest.TO_ACCESS)

# What is compared with what is asked for.
WANTED: dict[type, tuple[str, ...]] = {
    **LISTED,
    vim.VirtualMachine: (
        *_CHILD_VM,
        "parentVApp",
        "resourcePool",
        "datastore",
        "guest.net",
        "config.extraConfig",
        "config.hardware.device",
    ),
    vim.ResourcePool: ("name",),
    vim.Datastore: ("name",),
}
TO_WANTED = (
    *TO_LISTED,
    Route("vm-pool", vim.VirtualMachine, "resourcePool"),
    Route("vm-datastores", vim.VirtualMachine, "datastore"),
)


def require_vmfork(session: Session) -> None:
    """Make sure that this vCenter has VMFork, which were the releases 6.0 and 6.5; pyVmomi then has its methods.

    :raises NotSupported: on any other; nothing was sent.
    """
    releases.require_vmfork(session)
    add_data_type(_SPEC, "VirtualMachineCreateChildSpec", _SINCE, _SPEC_PROPERTIES)
    add_methods(vim.VirtualMachine, METHODS)


def vm(session: Session, moid: str) -> t.Any:
    """A reference; nothing is sent."""
    return session.reference(vim.VirtualMachine, moid)


def kind(ref: t.Any) -> str:
    """``VirtualMachine``, ``Folder``, ``VirtualApp``..."""
    return type(ref).__name__.rsplit(".", 1)[-1]


def is_datacenter(ref: t.Any) -> bool:
    """Whether a reference is a datacenter."""
    return isinstance(ref, vim.Datacenter)


def macs(devices: t.Iterable[t.Any]) -> tuple[str, ...]:
    """The MAC addresses of the NICs among devices."""
    card = vim.vm.device.VirtualEthernetCard
    return tuple((device.macAddress or "").lower() for device in devices if isinstance(device, card))


def root_snapshots(info: t.Any) -> tuple[str, ...]:
    """The names of the snapshots that begin a VM's trees, from its property ``snapshot``."""
    return tuple(node.name for node in info.rootSnapshotList) if info is not None else ()


def start_enable(session: Session, moid: str) -> t.Any:
    """``EnableForkParent_Task``."""
    return vm(session, moid).EnableForkParent_Task()


def start_disable(session: Session, moid: str) -> t.Any:
    """``DisableForkParent_Task``."""
    return vm(session, moid).DisableForkParent_Task()


def start_children(session: Session, moid: str) -> t.Any:
    """``RetrieveForkChildren_Task``; the task's result is a list of VMs."""
    return vm(session, moid).RetrieveForkChildren_Task()


def start_parent(session: Session, moid: str) -> t.Any:
    """``RetrieveForkParent_Task``; the task's result is a VM, or nothing."""
    return vm(session, moid).RetrieveForkParent_Task()


def start_reset(session: Session, moid: str) -> t.Any:
    """``ResetVM_Task``."""
    return vm(session, moid).ResetVM_Task()


def start_snapshot(session: Session, moid: str) -> t.Any:
    """``CreateSnapshot_Task`` for persistent children; without memory, and without asking the guest."""
    about = "Persistent children of VMFork rest on it."
    return vm(session, moid).CreateSnapshot_Task(SNAPSHOT_NAME, about, False, False)


def start_child(session: Session, parent: str, request: ChildRequest, place: Placement) -> t.Any:
    """``CreateForkChild_Task``; the task's result is the new VM, powered off."""
    location = vim.vm.RelocateSpec(folder=session.reference(vim.Folder, place.folder))
    if place.pool_asked:
        location.pool = session.reference(vim.ResourcePool, place.pool.moid)
    if place.datastore:
        location.datastore = session.reference(vim.Datastore, place.datastore)
    kind_of_spec = add_data_type(_SPEC, "VirtualMachineCreateChildSpec", _SINCE, _SPEC_PROPERTIES)
    spec = kind_of_spec(location=location, persistent=request.persistent, configParams=_parameters(request.config))
    return vm(session, parent).CreateForkChild_Task(names.escape(request.name), spec)


def _parameters(config: t.Mapping[str, str]) -> list[t.Any]:
    """Whole keys of extraConfig as parameters of a child, whose keys vSphere puts the prefix to."""
    return [
        vim.option.OptionValue(key=key.removeprefix(PARAMETER_PREFIX), value=value) for key, value in sorted(config.items())
    ]


def start_update(session: Session, moid: str, config: t.Mapping[str, str]) -> t.Any:
    """``ReconfigVM_Task`` for pairs of extraConfig."""
    pairs = [vim.option.OptionValue(key=key, value=value) for key, value in sorted(config.items())]
    return vm(session, moid).ReconfigVM_Task(vim.vm.ConfigSpec(extraConfig=pairs))


def start_power_on(session: Session, moid: str) -> t.Any:
    """``PowerOnVM_Task``."""
    return vm(session, moid).PowerOnVM_Task()


def start_power_off(session: Session, moid: str) -> t.Any:
    """``PowerOffVM_Task``."""
    return vm(session, moid).PowerOffVM_Task()


def start_destroy(session: Session, moid: str) -> t.Any:
    """``Destroy_Task``: the VM and the files that are its alone."""
    return vm(session, moid).Destroy_Task()
