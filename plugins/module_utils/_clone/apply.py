# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The calls that make, change and remove clones, and those that ask whether one could be made; most
return a task.
"""

from __future__ import annotations

import typing as t

from .._connector import faults, names
from .._connector.pyvmomi import vim
from .._errors import VforgeError
from .._vsphere import vm as vms
from .._vsphere.disks import delta_changes
from .._vsphere.guest import authentication
from .model import COPIES, OF_DELTAS, OF_SNAPSHOT, Settings
from .plan import Change, Create, NicEdit

if t.TYPE_CHECKING:
    from .._connector.props import Row
    from .._connector.session import Session
    from .._vsphere.customization import Customization
    from .._vsphere.guest import GuestCredentials

_DISK_MOVES = {
    OF_SNAPSHOT: "createNewChildDiskBacking",
    OF_DELTAS: "moveChildMostDiskBacking",
    COPIES: "moveAllDiskBackingsAndDisallowSharing",
}

# Instant clones


def instant_spec(session: Session, plan: Create, config: t.Mapping[str, str]) -> t.Any:
    """The InstantCloneSpec.

    Name, folder, pool, datastore, edits of NICs, extraConfig, UUID; nothing else is allowed in it.

    :param config: all of its extraConfig.
    """
    place = plan.place
    location = vim.vm.RelocateSpec(
        folder=session.reference(vim.Folder, place.folder),
        deviceChange=_cloned_nics(plan),
    )
    if place.pool_asked:
        location.pool = session.reference(vim.ResourcePool, place.pool.moid)
    if place.datastore:
        location.datastore = session.reference(vim.Datastore, place.datastore)
    spec = vim.vm.InstantCloneSpec(
        name=names.escape(plan.name),
        location=location,
        config=vms.option_values(config),
    )
    for setting, value in plan.request.settings.items():
        setattr(spec, setting.instant, value)
    return spec


def start_instant_clone(session: Session, parent: str, spec: t.Any) -> t.Any:
    """``InstantClone_Task``; the task's result is the new VM."""
    return vms.reference(session, parent).InstantClone_Task(spec)


def start_instant_check(session: Session, parent: str, spec: t.Any) -> t.Any:
    """``CheckInstantClone_Task``; the task's result is a list of CheckResult."""
    checker = session.manager("vmProvisioningChecker")
    return checker.CheckInstantClone_Task(vms.reference(session, parent), spec, None)


# Linked and full clones


def clone_spec(
    session: Session,
    plan: Create,
    config: t.Mapping[str, str],
    disks: str,
    snapshot: str,
) -> t.Any:
    """The CloneSpec.

    :param config: all of its extraConfig.
    :param disks: what the disks of the clone are made of.
    :param snapshot: moid, or empty.
    """
    place, request = plan.place, plan.request
    location = vim.vm.RelocateSpec(
        pool=session.reference(vim.ResourcePool, place.pool.moid),
        diskMoveType=_DISK_MOVES[disks],
    )
    if place.host:
        location.host = session.reference(vim.HostSystem, place.host)
    if place.datastore:
        location.datastore = session.reference(vim.Datastore, place.datastore)
    spec = vim.vm.CloneSpec(location=location, powerOn=request.powered_on, template=False)
    spec.config = _config_spec(config, request.settings, _cloned_nics(plan))
    if snapshot:
        spec.snapshot = session.reference(vim.vm.Snapshot, snapshot)
    if request.customization is not None:
        from .._vsphere.customization import specification

        spec.customization = specification(request.customization, len(plan.parent.nics))
    return spec


def _cloned_nics(plan: Create) -> list[t.Any]:
    """The edits asked for, and one for each NIC whose MAC somebody has set.

    Two VMs must not have it.
    """
    edited = {edit.nic.key for edit in plan.place.nics}
    kept = [nic for nic in plan.parent.nics if nic.key not in edited and _has_manual_mac(nic.device)]
    edits = (*plan.place.nics, *(NicEdit(nic) for nic in kept))
    return [_nic_change(edit, keep_mac=False) for edit in edits]


def _has_manual_mac(card: t.Any) -> bool:
    return str(getattr(card, "addressType", "") or "").casefold() == "manual"


def start_clone(session: Session, plan: Create, spec: t.Any) -> t.Any:
    """``CloneVM_Task``; the task's result is the new VM."""
    folder = session.reference(vim.Folder, plan.place.folder)
    source = vms.reference(session, plan.parent.moid)
    return source.CloneVM_Task(folder=folder, name=names.escape(plan.name), spec=spec)


def start_check(session: Session, plan: Create, spec: t.Any) -> t.Any:
    """``CheckClone_Task``; the task's result is a list of CheckResult."""
    folder = session.reference(vim.Folder, plan.place.folder)
    source = vms.reference(session, plan.parent.moid)
    checker = session.manager("vmProvisioningChecker")
    return checker.CheckClone_Task(source, folder, names.escape(plan.name), spec, None)


# What a check finds


def check_findings(results: t.Iterable[t.Any], name: str) -> tuple[VforgeError | None, list[str]]:
    """What vCenter would refuse a clone for, with the code that the real call would have.

    And what it warns of.

    :param results: of the check of one clone.
    :param name: of the clone.
    """
    answers = list(results)
    found = [fault for answer in answers for fault in answer.error or ()]
    warnings = [fault.msg or faults.fault_name(fault) for answer in answers for fault in answer.warning or ()]
    if not found:
        return None, warnings
    first = faults.translate(found[0], f"vCenter would refuse {name}")
    others = [faults.translate(fault).message for fault in found[1:]]
    if others:
        first.message = " ".join([first.message, "Besides:", *others])
    return first, warnings


# What clones that are there get


def start_update(session: Session, plan: Change) -> t.Any:
    """Move a VM to another pool (done at once), and reconfigure it.

    A task, or None where moving was all.
    """
    moid = plan.existing.moid
    if plan.move_to_pool:
        pool = session.reference(vim.ResourcePool, plan.place.pool.moid)
        pool.MoveIntoResourcePool([vms.reference(session, moid)])
    if not plan.reconfigures:
        return None
    changes = [_nic_change(edit, keep_mac=True) for edit in plan.nics]
    spec = _config_spec(plan.config, plan.settings, changes)
    return vms.reference(session, moid).ReconfigVM_Task(spec)


def start_adding_deltas(
    session: Session,
    moid: str,
    known: Row,
    config: t.Mapping[str, str],
) -> t.Any:
    """``ReconfigVM_Task`` that puts an empty delta disk on every disk.

    Refused when the VM has changed since it was read.
    """
    devices = known.get("config.hardware.device") or ()
    spec = vim.vm.ConfigSpec(
        changeVersion=known.get("config.changeVersion") or None,
        extraConfig=vms.option_values(config),
        deviceChange=delta_changes(devices, every=True),
    )
    return vms.reference(session, moid).ReconfigVM_Task(spec)


def mark_as_template(session: Session, moid: str) -> None:
    """``MarkAsTemplate``, done when it returns."""
    vms.reference(session, moid).MarkAsTemplate()


# Guests


def start_customizing(
    session: Session,
    moid: str,
    login: GuestCredentials,
    wanted: Customization,
    cards: int,
) -> t.Any:
    """``CustomizeGuest_Task``.

    :param cards: how many the VM has.
    """
    from .._vsphere.customization import specification

    manager = session.content.guestCustomizationManager
    spec = specification(wanted, cards)
    return manager.CustomizeGuest_Task(
        vms.reference(session, moid),
        authentication(login),
        spec,
        None,
    )


def start_network(session: Session, moid: str, login: GuestCredentials) -> t.Any:
    """``StartGuestNetwork_Task``."""
    manager = session.content.guestCustomizationManager
    return manager.StartGuestNetwork_Task(vms.reference(session, moid), authentication(login))


def start_abort(session: Session, moid: str, login: GuestCredentials) -> t.Any:
    """``AbortCustomization_Task``."""
    manager = session.content.guestCustomizationManager
    return manager.AbortCustomization_Task(vms.reference(session, moid), authentication(login))


# vSphere's own objects


def _config_spec(config: t.Mapping[str, str], settings: Settings, changes: list[t.Any]) -> t.Any:
    """``VirtualMachineConfigSpec`` with what is asked for and nothing else."""
    spec = vim.vm.ConfigSpec(extraConfig=vms.option_values(config), deviceChange=changes)
    for setting, value in settings.items():
        setattr(spec, setting.spec, value)
    return spec


def _nic_change(edit: NicEdit, *, keep_mac: bool) -> t.Any:
    """An edit of one NIC: the whole card, as vSphere wants it, with the changed parts exchanged.

    :param keep_mac: True for a VM that stays itself; a clone must get a MAC of its own.
    """
    old: t.Any = edit.nic.device
    card = type(old)(key=old.key, controllerKey=old.controllerKey, unitNumber=old.unitNumber)
    card.backing = edit.network.backing() if edit.network is not None else _same_network(old.backing)
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
            startConnected=edit.connected,
            connected=edit.connected,
            allowGuestControl=True,
        )
    return vim.vm.device.VirtualDeviceSpec(operation="edit", device=card)


def _same_network(backing: t.Any) -> t.Any:
    """The backing without the switch port, which belongs to the one VM that has it now."""
    if not isinstance(backing, vim.vm.device.VirtualEthernetCard.DistributedVirtualPortBackingInfo):
        return backing
    old = backing.port
    port = vim.dvs.PortConnection(switchUuid=old.switchUuid, portgroupKey=old.portgroupKey)
    return type(backing)(port=port)
