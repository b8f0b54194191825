# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""pyVmomi's side of instant clones: what to read, and the calls that change something."""

from __future__ import annotations

import typing as t

from .._connector import faults, names
from .._connector.props import Route, Row
from .._connector.pyvmomi import vim
from .._errors import NotSupported
from .._vsphere.customization import specification
from .._vsphere.freeze import FROZEN_PATH
from .._vsphere.guest import authentication
from . import facts
from .plan import NicEdit, Placement, Step

if t.TYPE_CHECKING:
    from .._connector.session import Session
    from .._vsphere.customization import Customization
    from .._vsphere.guest import GuestCredentials
    from .request import Hardware

_DISTRIBUTED = vim.dvs.DistributedVirtualPortgroup

AROUND_PARENT: dict[type, tuple[str, ...]] = {
    vim.VirtualMachine: (
        "name",
        "parent",
        "parentVApp",
        "resourcePool",
        "datastore",
        "guest.net",
        "runtime.host",
        "runtime.powerState",
        "runtime.instantCloneFrozen",
        "config.instanceUuid",
        "config.template",
        "config.hardware.device",
        FROZEN_PATH,
    ),
    vim.HostSystem: ("name", "parent", "network", "datastore", "runtime.inMaintenanceMode", "runtime.connectionState"),
    vim.ComputeResource: ("name",),
    vim.ResourcePool: ("name", "parent", "owner"),
    vim.Network: ("name",),
    _DISTRIBUTED: ("key", "config.distributedVirtualSwitch", "config.uplink"),
    vim.OpaqueNetwork: ("summary",),
    vim.DistributedVirtualSwitch: ("uuid",),
    vim.Datastore: ("name", "summary.accessible"),
    vim.Folder: ("name", "parent"),
    vim.Datacenter: ("name", "parent"),
    vim.VirtualApp: ("name", "parent", "parentFolder"),
}

TO_SURROUNDINGS = (
    Route("vm-host", vim.VirtualMachine, "runtime.host", ("host-compute", "host-networks", "host-datastores")),
    Route("host-compute", vim.HostSystem, "parent", ("compute-pool",)),
    Route("compute-pool", vim.ComputeResource, "resourcePool", ("pool-pools",)),
    Route("pool-pools", vim.ResourcePool, "resourcePool", ("pool-pools",)),
    Route("host-networks", vim.HostSystem, "network", ("portgroup-switch",)),
    Route("portgroup-switch", _DISTRIBUTED, "config.distributedVirtualSwitch"),
    Route("host-datastores", vim.HostSystem, "datastore"),
)

_DEVICES = "config.hardware.device"

_EXISTING_VM = (
    "config.instanceUuid",
    "config.uuid",
    "config.template",
    "runtime.powerState",
    "runtime.host",
    "resourcePool",
    "datastore",
    "guest.net",
)
_HARDWARE = (
    "config.hardware.numCPU",
    "config.hardware.numCoresPerSocket",
    "config.hardware.memoryMB",
    "config.annotation",
    "config.cpuHotAddEnabled",
    "config.memoryHotAddEnabled",
)
EXISTING: dict[type, tuple[str, ...]] = {
    vim.ManagedEntity: ("name",),
    vim.VirtualMachine: (*_EXISTING_VM, *_HARDWARE, _DEVICES, "config.extraConfig"),
}


def existing_lean(nic_keys: t.Collection[int]) -> dict[type, tuple[str, ...]]:
    """What is read of a VM that was just made: no extraConfig, and of its devices only these, or all when none are named.

    A device is some 60 XML elements and an instant clone has its parent's: by their keys only the NICs are sent.
    """
    devices = [f"{_DEVICES}[{key}]" for key in nic_keys] or [_DEVICES]
    return {vim.ManagedEntity: ("name",), vim.VirtualMachine: (*_EXISTING_VM, *devices)}


def devices(row: Row) -> list[t.Any]:
    """The devices that were read of a VM, whole or by their keys."""
    by_key = [value for path, value in row.values.items() if path.startswith(f"{_DEVICES}[")]
    return by_key or list(row.get(_DEVICES) or ())


TO_PLACES = (
    Route("vm-host", vim.VirtualMachine, "runtime.host"),
    Route("vm-pool", vim.VirtualMachine, "resourcePool"),
    Route("vm-datastores", vim.VirtualMachine, "datastore"),
)


def vm(session: Session, moid: str) -> t.Any:
    """A reference; nothing is sent."""
    return session.reference(vim.VirtualMachine, moid)


def kind(ref: t.Any) -> str:
    """``VirtualMachine``, ``Folder``, ``VirtualApp``..."""
    return type(ref).__name__.rsplit(".", 1)[-1]


def is_datacenter(ref: t.Any) -> bool:
    """Whether a reference is a datacenter."""
    return isinstance(ref, vim.Datacenter)


def network(row: Row, rows: t.Mapping[str, Row]) -> facts.Network | None:
    """The network that a row is, or None when it is nothing that a NIC can be connected to."""
    ref = row.ref
    name = row.get("name") or ""
    if isinstance(ref, _DISTRIBUTED):
        if row.get("config.uplink"):
            return None  # a port group for the host's own cards, which takes no VM
        switch = row.get("config.distributedVirtualSwitch")
        uuid = rows[switch._GetMoId()].get("uuid") if switch is not None and switch._GetMoId() in rows else ""
        return facts.Network(row.moid, name, "distributed", row.get("key") or row.moid, switch_uuid=uuid or "")
    if isinstance(ref, vim.OpaqueNetwork):
        summary = row.get("summary")
        return facts.Network(row.moid, name, "opaque", summary.opaqueNetworkId, opaque_type=summary.opaqueNetworkType)
    return facts.Network(row.moid, name, "standard", row.moid) if isinstance(ref, vim.Network) else None


def nics(devices: t.Iterable[t.Any], networks: t.Iterable[facts.Network], *, running: bool) -> tuple[facts.Nic, ...]:
    """The virtual NICs among the devices, in the order of their keys.

    :param running: False for a VM that is off, whose NICs are all disconnected until they are as they are to start.
    """
    known = {item.backing_id: item.name for item in networks}
    found = []
    for device in devices:
        if isinstance(device, vim.vm.device.VirtualEthernetCard):
            backing_id = _backing_id(device.backing)
            found.append(
                facts.Nic(
                    key=device.key,
                    label=device.deviceInfo.label if device.deviceInfo else f"NIC {device.key}",
                    mac=(device.macAddress or "").lower(),
                    backing_id=backing_id,
                    connected=_connected(device.connectable, running),
                    network=known.get(backing_id, ""),
                    card=device,
                )
            )
    return tuple(sorted(found, key=lambda nic: nic.key))


def _connected(state: t.Any, running: bool) -> bool:
    return bool(state and (state.connected if running else state.startConnected))


def _backing_id(backing: t.Any) -> str:
    card = vim.vm.device.VirtualEthernetCard
    if isinstance(backing, card.DistributedVirtualPortBackingInfo):
        return backing.port.portgroupKey or ""
    if isinstance(backing, card.OpaqueNetworkBackingInfo):
        return backing.opaqueNetworkId or ""
    ref = getattr(backing, "network", None)
    return ref._GetMoId() if ref is not None else ""


def clone_spec(
    session: Session, name: str, config: t.Mapping[str, str], placement: Placement, bios_uuid: str | None = None
) -> t.Any:
    """The InstantCloneSpec: name, folder, pool, datastore, edits of NICs, extraConfig, UUID; nothing else is allowed in it."""
    location = vim.vm.RelocateSpec(
        folder=session.reference(vim.Folder, placement.folder),
        deviceChange=[nic_change(session, edit, keep_mac=False) for edit in placement.nics],
    )
    if placement.pool_asked:
        location.pool = session.reference(vim.ResourcePool, placement.pool.moid)
    if placement.datastore:
        location.datastore = session.reference(vim.Datastore, placement.datastore)
    return vim.vm.InstantCloneSpec(name=names.escape(name), location=location, config=option_values(config), biosUuid=bios_uuid)


def option_values(config: t.Mapping[str, str]) -> list[t.Any]:
    """extraConfig pairs as vSphere's own objects, in the order of their keys."""
    return [vim.option.OptionValue(key=key, value=value) for key, value in sorted(config.items())]


def nic_change(session: Session, edit: NicEdit, *, keep_mac: bool) -> t.Any:
    """An edit of one NIC: the whole card, as vSphere wants it, with the changed parts exchanged.

    :param keep_mac: True for a VM that stays itself; a clone must get a MAC of its own.
    """
    old: t.Any = edit.nic.card
    card = type(old)(key=old.key, controllerKey=old.controllerKey, unitNumber=old.unitNumber)
    card.backing = _backing(session, edit.network) if edit.network is not None else _same_network(old.backing)
    card.connectable = old.connectable
    if keep_mac:
        card.addressType, card.macAddress = old.addressType, old.macAddress
    else:
        # A parent's "manual" would ask for a MAC that is given, and none is.
        card.addressType = "assigned"
    if edit.mac is not None:
        card.addressType, card.macAddress = "manual", edit.mac
    if edit.connected is not None:
        card.connectable = vim.vm.device.VirtualDevice.ConnectInfo(
            startConnected=edit.connected, connected=edit.connected, allowGuestControl=True
        )
    return vim.vm.device.VirtualDeviceSpec(operation="edit", device=card)


def _same_network(backing: t.Any) -> t.Any:
    """The backing without the switch port, which belongs to the one VM that has it now."""
    if not isinstance(backing, vim.vm.device.VirtualEthernetCard.DistributedVirtualPortBackingInfo):
        return backing
    port = vim.dvs.PortConnection(switchUuid=backing.port.switchUuid, portgroupKey=backing.port.portgroupKey)
    return type(backing)(port=port)


def _backing(session: Session, wanted: facts.Network) -> t.Any:
    card = vim.vm.device.VirtualEthernetCard
    if wanted.kind == "distributed":
        port = vim.dvs.PortConnection(switchUuid=wanted.switch_uuid, portgroupKey=wanted.backing_id)
        return card.DistributedVirtualPortBackingInfo(port=port)
    if wanted.kind == "opaque":
        return card.OpaqueNetworkBackingInfo(opaqueNetworkId=wanted.backing_id, opaqueNetworkType=wanted.opaque_type)
    return card.NetworkBackingInfo(deviceName=wanted.name, network=session.reference(vim.Network, wanted.moid))


def start_clone(session: Session, parent: str, spec: t.Any) -> t.Any:
    """``InstantClone_Task``; the task's result is the new VM."""
    return vm(session, parent).InstantClone_Task(spec)


def start_check(session: Session, parent: str, spec: t.Any) -> t.Any:
    """``CheckInstantClone_Task``; the task's result is a list of CheckResult."""
    checker = session.content.vmProvisioningChecker
    return checker.CheckInstantClone_Task(vm(session, parent), spec, None)


def check_messages(results: t.Iterable[t.Any]) -> tuple[list[str], list[str]]:
    """The errors and the warnings of a dry run, as text."""
    errors = [faults.translate(fault).message.rstrip(".") for result in results for fault in result.error or ()]
    warnings = [fault.msg or kind(fault) for result in results for fault in result.warning or ()]
    return errors, warnings


def start_update(session: Session, step: Step) -> t.Any:
    """Move a VM to another pool (done at once), and reconfigure it; a task, or None where moving was all."""
    if step.existing is None:
        raise ValueError(f"{step.name} is not there to be changed")
    moid = step.existing.moid
    if step.move_to_pool:
        session.reference(vim.ResourcePool, step.target.pool.moid).MoveIntoResourcePool([vm(session, moid)])
    if not step.config and not step.nics and not step.hardware:
        return None
    changes = [nic_change(session, edit, keep_mac=True) for edit in step.nics]
    return vm(session, moid).ReconfigVM_Task(config_spec(step.config, step.hardware, changes))


def config_spec(config: t.Mapping[str, str], hardware: Hardware, changes: list[t.Any]) -> t.Any:
    """``VirtualMachineConfigSpec`` with what is asked for and nothing else."""
    spec = vim.vm.ConfigSpec(extraConfig=option_values(config), deviceChange=changes)
    spec.numCPUs, spec.numCoresPerSocket = hardware.cpus, hardware.cores_per_socket
    spec.memoryMB, spec.annotation = hardware.memory_mb, hardware.annotation
    return spec


def start_marking(session: Session, moid: str, config: t.Mapping[str, str]) -> t.Any:
    """``ReconfigVM_Task`` of extraConfig alone."""
    return vm(session, moid).ReconfigVM_Task(vim.vm.ConfigSpec(extraConfig=option_values(config)))


def require_customization(session: Session) -> None:
    """Make sure that this vCenter customizes running guests, which came with API 6.8.7.

    :raises NotSupported: on an older one.
    """
    version = session.about.get("apiVersion", "")
    if session.content.guestCustomizationManager is None:
        raise NotSupported(
            f"{session.options.endpoint} cannot customize running guests: its API version is {version}.",
            hint="customize needs vCenter 7.0 or later. Before that, let the clones set themselves up from guestinfo.",
            api_version=version,
        )


def customization_spec(wanted: Customization | None, cards: int) -> t.Any:
    """``CustomizationSpec`` for a VM with so many cards."""
    if wanted is None:
        raise ValueError("a customization was planned that nobody asked for")
    return specification(wanted, cards)


def start_customizing(session: Session, moid: str, login: GuestCredentials | None, spec: t.Any) -> t.Any:
    """``CustomizeGuest_Task``."""
    return session.content.guestCustomizationManager.CustomizeGuest_Task(vm(session, moid), _auth(login), spec, None)


def start_network(session: Session, moid: str, login: GuestCredentials | None) -> t.Any:
    """``StartGuestNetwork_Task``."""
    return session.content.guestCustomizationManager.StartGuestNetwork_Task(vm(session, moid), _auth(login))


def start_abort(session: Session, moid: str, login: GuestCredentials | None) -> t.Any:
    """``AbortCustomization_Task``."""
    return session.content.guestCustomizationManager.AbortCustomization_Task(vm(session, moid), _auth(login))


def _auth(login: GuestCredentials | None) -> t.Any:
    if login is None:
        raise ValueError("work in a guest was planned without credentials")
    return authentication(login)


def start_power_off(session: Session, moid: str) -> t.Any:
    """``PowerOffVM_Task``."""
    return vm(session, moid).PowerOffVM_Task()


def start_destroy(session: Session, moid: str) -> t.Any:
    """``Destroy_Task``: the VM and the files that are its alone."""
    return vm(session, moid).Destroy_Task()


VIRTUAL_MACHINE = vim.VirtualMachine
