# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What has to be done: requests and what there is become one plan a clone. Pure.

Check mode, diff and the real run all consume the same plans.
"""

from __future__ import annotations

import dataclasses
import typing as t

from .._connector import names
from .._engine import Difference
from .._errors import InvalidOption, VforgeError
from .._vm_stages import CREATE, DESTROY, POWER_ON, UPDATE
from .._vsphere import disks
from .._vsphere.compute import Network, Place, Pool, choose_datastore, choose_network, choose_pool
from .._vsphere.markers import differing
from .._vsphere.vm import Nic
from .model import (
    ALWAYS,
    HOT_ADD,
    NEVER,
    SETTINGS,
    CloneRequest,
    Existing,
    NicRequest,
    Parent,
    Setting,
    Settings,
    same_label,
)

# The steps of a clone besides those that every VM of a task can have.
CUSTOMIZE, PUBLISH = "customize", "publish"


@dataclasses.dataclass(frozen=True)
class NicEdit:
    """A change to a NIC of the parent (for a new clone) or of the clone.

    None leaves a property as it is.
    """

    nic: Nic
    network: Network | None = None
    mac: str | None = None
    connected: bool | None = None

    def __bool__(self) -> bool:
        return not (self.network is None and self.mac is None and self.connected is None)


@dataclasses.dataclass(frozen=True)
class Placement:
    """Where a clone goes, as moids.

    :ivar pool_asked: False where the pool is the parent's own because none was asked for.
    :ivar datastore: None means the parent's.
    :ivar host: None where it is left to vCenter.
    """

    folder: str
    folder_path: str
    pool: Pool
    pool_asked: bool
    datastore: str | None
    nics: tuple[NicEdit, ...]
    host: str | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """What will be done for one request.

    Each kind of plan is a class of its own, which says what it needs.

    :ivar parent: what the clone is made from; None only where clones of any parent are removed.
    """

    request: CloneRequest
    parent: Parent | None = None
    place: Placement | None = None
    existing: Existing | None = None
    differences: tuple[Difference, ...] = ()

    @property
    def name(self) -> str:
        """The clone's name."""
        return self.request.name

    @property
    def steps(self) -> tuple[str, ...]:
        """What is done for the clone, in this order."""
        return ()

    @property
    def written(self) -> t.Mapping[str, str]:
        """The pairs of extraConfig that it writes."""
        return {}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Create(Plan):
    """Make a clone.

    :ivar customize: whether its guest is customized by calls of its own, once it is there.
    """

    parent: Parent
    place: Placement
    customize: bool = False

    @property
    def steps(self) -> tuple[str, ...]:
        """What is done for the clone, in this order."""
        return (CREATE, CUSTOMIZE) if self.customize else (CREATE,)

    @property
    def written(self) -> t.Mapping[str, str]:
        """The pairs of extraConfig that it writes."""
        return self.request.config


@dataclasses.dataclass(frozen=True, kw_only=True)
class Change(Plan):
    """Bring a clone that is there to what is asked; nothing is done where it is already.

    :ivar config: pairs of extraConfig to write.
    :ivar nics: edits of its NICs.
    :ivar settings: plain values to set.
    """

    parent: Parent
    place: Placement
    existing: Existing
    config: t.Mapping[str, str] = dataclasses.field(default_factory=dict, repr=False)
    nics: tuple[NicEdit, ...] = ()
    settings: Settings = dataclasses.field(default_factory=dict)
    move_to_pool: bool = False
    customize: bool = False
    power_on: bool = False

    @property
    def reconfigures(self) -> bool:
        """Whether its configuration changes."""
        return bool(self.config or self.nics or self.settings)

    @property
    def steps(self) -> tuple[str, ...]:
        """What is done for the clone, in this order."""
        due = {
            UPDATE: self.reconfigures or self.move_to_pool,
            CUSTOMIZE: self.customize,
            POWER_ON: self.power_on,
        }
        return tuple(step for step, wanted in due.items() if wanted)

    @property
    def written(self) -> t.Mapping[str, str]:
        """The pairs of extraConfig that it writes."""
        return self.config


@dataclasses.dataclass(frozen=True, kw_only=True)
class Leave(Plan):
    """Leave a VM as it is: it is as it should be, or another run is at work in it."""

    existing: Existing


@dataclasses.dataclass(frozen=True, kw_only=True)
class Publish(Plan):
    """Make a template of a clone."""

    parent: Parent
    existing: Existing

    @property
    def steps(self) -> tuple[str, ...]:
        """What is done for the clone, in this order."""
        return (PUBLISH,)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Remove(Plan):
    """Remove a clone."""

    existing: Existing

    @property
    def steps(self) -> tuple[str, ...]:
        """What is done for the clone, in this order."""
        return (DESTROY,)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Gone(Plan):
    """There is nothing that could be removed."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Refuse(Plan):
    """Nothing is done for this request, though something is asked for.

    :ivar error: why, and what to do about it.
    """

    error: VforgeError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Unresolved(Refuse):
    """A request that names what is not there, or what cannot be for this clone."""


def conflict(plan: Plan, doing: str, reason: str, hint: str, **details: t.Any) -> Refuse:
    """The plan for a request whose name belongs to something else.

    :param plan: what is known of the request.
    :param doing: what is not done with it: ``made``, ``removed``.
    :param details: of the error.
    """
    known = {field.name: getattr(plan, field.name) for field in dataclasses.fields(Plan)}
    error = InvalidOption(f"{plan.name} is not {doing}: {reason}.", hint=hint, conflict=True, **details)
    return Refuse(**{**known, "differences": ()}, error=error)


_ANOTHER_NAME = "Choose another name or folder, or remove what holds the name."


def present(
    request: CloneRequest,
    place: Placement,
    existing: Existing | None,
    parent: Parent,
    *,
    customizes: bool = True,
) -> Create | Change | Refuse:
    """The plan that brings a clone to what is asked.

    :param customizes: whether guests are customized once the clone is there, and not by the call
        that makes it.
    """
    customization = request.customization is not None and customizes
    if existing is None:
        return Create(request=request, parent=parent, place=place, customize=customization)
    reason = why_not_ours(existing, parent.instance_uuid)
    if reason:
        asked = Plan(request=request, parent=parent, place=place, existing=existing)
        return conflict(asked, "made", reason, _ANOTHER_NAME)
    config = differing(request.config, existing.extra_config)
    differences = [Difference(key, "another value", "the value asked for") for key in sorted(config)]
    nics = []
    for edit in _nic_edits(request, existing.nics, parent.around.networks):
        needed, found = _needed(edit, existing)
        differences += found
        nics += [needed] if needed else []
    move = bool(request.resource_pool) and existing.place.pool != place.pool.moid
    if move:
        differences.append(Difference("resource_pool", existing.place.pool_name, place.pool.path))
    customize = customization and not existing.customized()
    if customize:
        differences.append(Difference("customization", "not done", "done"))
    differences += _other_datastore(request, place, existing)
    settings, found = _settings(request.settings, existing)
    return Change(
        request=request,
        parent=parent,
        place=place,
        existing=existing,
        differences=(*differences, *found),
        config=config,
        nics=tuple(nics),
        settings=settings,
        move_to_pool=move,
        customize=customize,
    )


def absent(
    request: CloneRequest,
    existing: Existing | None,
    parent: Parent | None,
    used: t.Mapping[str, str] | None = None,
    *,
    force: bool,
    templates: bool = False,
) -> Remove | Gone | Refuse:
    """The plan that removes a clone.

    Only a marked one (of this parent, where one is given), unless forced; and never one whose disks
    others use.

    :param used: the VMs that use its disks, and stay: names by moid.
    :param templates: whether a clone may have become a template.
    """
    if existing is None:
        return Gone(request=request, parent=parent)
    asked = Plan(request=request, parent=parent, existing=existing)
    reason = _why_it_stays(existing, parent, force=force, templates=templates)
    if reason:
        return conflict(asked, "removed", reason, "Remove it by hand if it is really to go.")
    if used:
        reason = f"its disks are used by {names.listing(sorted(used.values()), most=5)}"
        hint = "Remove those first, or in the same task."
        return conflict(asked, "removed", reason, hint, user_moids=sorted(used))
    return Remove(request=request, parent=parent, existing=existing)


def still_used(title: str, users: t.Iterable[str]) -> InvalidOption:
    """The error for a clone whose disks others of the same task use, which stay."""
    return InvalidOption(
        f"{title} is not removed: its disks are used by {names.listing(sorted(users), most=5)}, which stays.",
        hint="See why, and run again.",
        conflict=True,
    )


def _why_it_stays(
    existing: Existing,
    parent: Parent | None,
    *,
    force: bool,
    templates: bool,
) -> str:
    """Why an object is not removed, or an empty text when it is."""
    if parent is not None and existing.moid == parent.moid:
        return f"it is the {parent.role} itself, which is never removed"
    if existing.kind != "VirtualMachine":
        return f"a {existing.kind} holds the name"
    reason = why_not_ours(existing, parent.instance_uuid if parent else None)
    if existing.template and (reason or not templates):
        return "it is a template, not a clone"
    return f"{reason}; force removes it all the same" if reason and not force else ""


def why_not_ours(existing: Existing, parent_uuid: str | None) -> str:
    """Why an existing object is not this parent's clone, or an empty text when it is.

    :param parent_uuid: instance UUID of the parent; None accepts the clone of any.
    """
    if existing.kind != "VirtualMachine":
        return f"a {existing.kind} holds the name"
    if existing.is_lost:
        return f"a VM that is {existing.connection}, so that vCenter does not say whose it is, holds the name"
    if existing.half_made:
        return "a VM that is still being made holds the name"
    made_from = existing.parent_uuid()
    if made_from is None:
        return "a VM that this collection did not clone holds the name"
    if parent_uuid is not None and made_from != parent_uuid:
        return f"a clone of another parent (instance UUID {made_from}) holds the name"
    return ""


def expected(plan: Create) -> Existing:
    """What a new clone will be, as far as that is known before it is made: for check mode."""
    edits = {edit.nic.key: edit for edit in plan.place.nics}
    parent, datastore = plan.parent, plan.request.datastore
    host = parent.around.host
    return Existing(
        moid="",
        name=plan.name,
        power_state="poweredOn",
        place=Place(
            host=host.moid if host else "",
            host_name=host.name if host else "",
            pool_name=plan.place.pool.name,
            datastore_names=(datastore,) if datastore else parent.place.datastore_names,
        ),
        settings=plan.request.settings,
        nics=tuple(_edited(nic, edits.get(nic.key)) for nic in parent.nics),
    )


def _edited(nic: Nic, edit: NicEdit | None) -> Nic:
    if edit is None:
        return dataclasses.replace(nic, mac="")
    return dataclasses.replace(
        nic,
        mac=edit.mac or "",
        network=edit.network.name if edit.network else nic.network,
        connected=nic.connected if edit.connected is None else edit.connected,
    )


# What a task is refused for before anything is made


def check_parent(parent: Parent) -> None:
    """Refuse, before any clone call, a parent that cannot have instant clones.

    :raises InvalidOption: saying why.
    """
    where = f"The parent {parent.path}"
    if parent.template:
        raise InvalidOption(
            f"{where} is a template.",
            hint="An instant clone needs a running VM as its parent.",
            option="parent",
        )
    if not parent.powered_on:
        raise InvalidOption(
            f"{where} is {parent.power_state or 'in an unknown state'}.",
            hint="Power it on and let its guest start: a clone goes on from where its parent is.",
            option="parent",
        )
    if parent.around.host is None:
        raise InvalidOption(
            f"{where} is on a host that this user may not see.",
            hint="Give the user the right to read the hosts of the cluster.",
            option="parent",
        )
    if not parent.host_available:
        raise InvalidOption(
            f"{where} is on the host {parent.host_name}, which is in maintenance mode or not connected.",
            hint="An instant clone lives on its parent's host: bring the host back, or use a parent on another host.",
            option="parent",
        )


def check_ip_nic(parent: Parent, label: str | None) -> None:
    """Refuse to wait for the address of a NIC that the clones will not have.

    :param label: of the NIC; None for any.
    :raises InvalidOption: with the NICs that there are.
    """
    if not any(label is None or same_label(nic.label, label) for nic in parent.nics):
        raise InvalidOption(
            f"The {parent.role} {parent.path} has no {label or 'NIC'}, so no address can be waited for.",
            hint=f"It has: {_labels(parent.nics)}.",
            option="ip_nic" if label else "wait_for_ip_address",
        )


def check_customization(request: CloneRequest, parent: Parent) -> None:
    """Refuse settings for cards that a clone will not have.

    :raises InvalidOption: with the number of those that there are.
    """
    asked = len(request.customization.cards) if request.customization is not None else 0
    if asked > len(parent.nics):
        raise InvalidOption(
            f"clone {request.name!r}: customize.nics has {asked} entries, and the {parent.role} has {len(parent.nics)} NICs.",
            hint="Give one entry for each NIC at most; the others use DHCP.",
            option="customize",
        )


# Where a clone goes: what the names of a request mean around its parent


def place(
    request: CloneRequest,
    parent: Parent,
    folders: t.Mapping[str, tuple[str, str]],
) -> Placement:
    """Turn the names of a request into what they mean around this parent.

    :param folders: the folder option as written -> (moid, path).
    :raises InvalidOption: when a name means nothing there; the hint lists what would do.
    """
    own = (parent.folder, parent.folder_path)
    folder, folder_path = folders[request.folder] if request.folder else own
    who = f"clone {request.name!r}"
    return Placement(
        folder=folder,
        folder_path=folder_path,
        pool=choose_pool(parent.around, request.resource_pool, parent.place.pool, who),
        pool_asked=bool(request.resource_pool),
        datastore=choose_datastore(parent.around, request.datastore, who),
        nics=_nic_edits(request, parent.nics, parent.around.networks),
    )


def _nic_edits(
    request: CloneRequest,
    nics: tuple[Nic, ...],
    networks: tuple[Network, ...],
) -> tuple[NicEdit, ...]:
    edits = tuple(_nic_edit(request, wanted, nics, networks) for wanted in request.networks)
    labels = [edit.nic.label for edit in edits]
    twice = sorted({label for label in labels if labels.count(label) > 1})
    if twice:
        raise InvalidOption(
            f"clone {request.name!r}: networks names {names.listing(twice)} more than once.",
            option="networks",
        )
    return edits


def _nic_edit(
    request: CloneRequest,
    wanted: NicRequest,
    nics: tuple[Nic, ...],
    networks: tuple[Network, ...],
) -> NicEdit:
    fits = [nic for at, nic in enumerate(nics) if at == wanted.index or same_label(nic.label, wanted.label or "")]
    if len(fits) != 1:
        raise InvalidOption(
            f"clone {request.name!r}: the VM has no {wanted}.",
            hint=f"It has: {_labels(nics)}.",
            option="networks",
        )
    network = None
    if wanted.network:
        network = choose_network(networks, wanted.network, f"clone {request.name!r}")
    return NicEdit(fits[0], network, wanted.mac, wanted.connected)


def _labels(nics: t.Iterable[Nic]) -> str:
    return names.listing([nic.label for nic in nics]) or "no NIC at all"


# In what an existing clone differs


def _needed(edit: NicEdit, existing: Existing) -> tuple[NicEdit, list[Difference]]:
    """Of an edit, what an existing clone still needs and may get in its power state, and every
    difference.
    """
    nic, found = edit.nic, []
    needed = NicEdit(nic)
    if edit.network and edit.network.backing_id != nic.backing_id:
        actual = nic.network or nic.backing_id
        found.append(Difference(f"{nic.label} network", actual, edit.network.name))
        needed = dataclasses.replace(needed, network=edit.network)
    if edit.connected is not None and edit.connected != nic.connected:
        found.append(Difference(f"{nic.label} connected", str(nic.connected), str(edit.connected)))
        needed = dataclasses.replace(needed, connected=edit.connected)
    if edit.mac and edit.mac != nic.mac:
        off = existing.powered_off
        why_not = "" if off else "the MAC of a VM that is not powered off is fixed"
        found.append(Difference(f"{nic.label} MAC", nic.mac, edit.mac, why_not))
        needed = dataclasses.replace(needed, mac=edit.mac if off else None)
    return needed, found


def _other_datastore(
    request: CloneRequest,
    place: Placement,
    existing: Existing,
) -> list[Difference]:
    """A clone gets its datastore when it is made, and keeps it."""
    if not place.datastore or place.datastore in existing.place.datastores:
        return []
    actual = ", ".join(existing.place.datastore_names)
    why_not = "it takes a migration, which is not this module's"
    return [Difference("datastore", actual, request.datastore or "", why_not)]


def _settings(wanted: Settings, existing: Existing) -> tuple[Settings, list[Difference]]:
    """Of the values asked for, those that the VM still needs and may get in its power state, and
    every difference.
    """
    changes, found = {}, []
    for setting in SETTINGS:
        asked, actual = wanted.get(setting), existing.settings.get(setting)
        if asked is None or asked == actual or (asked == "" and actual is None):
            continue
        why_not = _why_fixed(setting, asked, actual, existing)
        shown = "" if actual is None else str(actual)
        found.append(Difference(setting.option, shown, str(asked), why_not))
        if not why_not:
            changes[setting] = asked
    return changes, found


def _why_fixed(setting: Setting, asked: t.Any, actual: t.Any, existing: Existing) -> str:
    """Why a VM cannot get this value now, or an empty text when it can."""
    if setting.change == NEVER:
        return "the identity of an existing VM is left alone"
    if setting.change == ALWAYS or existing.powered_off:
        return ""
    if setting.change != HOT_ADD:
        return "it takes the VM to be powered off"
    if asked < (actual or 0):
        return "a running VM cannot be given less: power it off first"
    return "" if setting in existing.hot_add else "hot-add is switched off in this VM: power it off first"


# How deep the chains of disks get


class TooDeep(InvalidOption):
    """The disks of a parent have, or would get, more delta levels than vSphere allows."""

    error_code = "delta_levels"


def too_deep(parent: Parent, clones: int) -> InvalidOption | None:
    """Why a parent cannot have so many new clones, or None where it can.

    A running parent gets one more delta disk with each clone; a frozen one does not.
    """
    levels = disks.levels_after(parent.delta_levels, clones, frozen=parent.frozen)
    if clones == 0 or levels <= disks.MOST_LEVELS:
        return None
    left = max(disks.MOST_LEVELS - parent.delta_levels, 0)
    has = f"{parent.path} has {parent.delta_levels} delta levels of at most {disks.MOST_LEVELS}"
    if parent.frozen:
        what = f"{has}, so it can have no clone."
    else:
        what = f"{has} and is not frozen: it can have {left} more clones, not {clones}."
    return TooDeep(
        what,
        hint=disks.remedy(parent.disks, frozen=parent.frozen),
        option=parent.role,
        delta_levels=parent.delta_levels,
        clones_left=left if not parent.frozen else 0,
    )


def deep_warning(parent: Parent, clones: int) -> str:
    """A warning for a parent whose disks will be near the limit after so many new clones.

    Else empty.
    """
    levels = disks.levels_after(parent.delta_levels, clones, frozen=parent.frozen)
    if clones == 0 or levels < disks.MANY_LEVELS:
        return ""
    left = max(disks.MOST_LEVELS - levels, 0)
    return (
        f"{parent.name} has {levels} delta levels of at most {disks.MOST_LEVELS} after this task, which "
        f"leaves {left}. {disks.remedy(parent.disks, frozen=parent.frozen)}"
    )
