# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What has to be done: requests and facts become one step a clone. Pure.

Check mode, diff and the real run all consume the same steps.
"""

from __future__ import annotations

import dataclasses
import typing as t

from .._connector import names
from .._engine import Difference
from .._errors import InvalidOption
from .._vsphere.places import Pool, fitting_pools
from .facts import Existing, Network, Nic, Parent
from .request import AS_IT_IS, CloneRequest, Hardware, NicRequest

CREATE, KEEP, UPDATE, DESTROY, NOTHING, CONFLICT = "create", "keep", "update", "destroy", "nothing", "conflict"


@dataclasses.dataclass(frozen=True)
class NicEdit:
    """A change to a NIC of the parent (for a new clone) or of the clone; None leaves a property as it is."""

    nic: Nic
    network: Network | None = None
    mac: str | None = None
    connected: bool | None = None


@dataclasses.dataclass(frozen=True)
class Placement:
    """Where a clone goes, as moids.

    :ivar pool_asked: False where the pool is the parent's own because none was asked for.
    :ivar datastore: None means the parent's.
    :ivar host: None where nobody is told which.
    """

    folder: str
    folder_path: str
    pool: Pool
    pool_asked: bool
    datastore: str | None
    nics: tuple[NicEdit, ...]
    host: str | None = None


@dataclasses.dataclass(frozen=True)
class Step:
    """What will be done for one request.

    :ivar kind: create, keep, update, destroy, nothing or conflict.
    :ivar parent: what the clone is made from; None only where clones of any parent are removed.
    :ivar config: pairs of extraConfig to write.
    :ivar nics: edits of NICs to make.
    :ivar hardware: CPUs, memory and notes to set.
    :ivar power_on: whether it is powered on, after all else.
    :ivar publish: whether it is made a template, after all else.
    :ivar customize: whether its guest is customized, as the last thing.
    :ivar reason: why it is a conflict.
    :ivar advice: what to do about the conflict, where that is not what one does about most.
    """

    request: CloneRequest
    kind: str
    parent: Parent | None = None
    placement: Placement | None = None
    existing: Existing | None = None
    differences: tuple[Difference, ...] = ()
    config: dict[str, str] = dataclasses.field(default_factory=dict, repr=False)
    nics: tuple[NicEdit, ...] = ()
    hardware: Hardware = AS_IT_IS
    move_to_pool: bool = False
    power_on: bool = False
    publish: bool = False
    customize: bool = False
    reason: str = ""
    advice: str = ""

    @property
    def name(self) -> str:
        """The clone's name."""
        return self.request.name

    @property
    def source(self) -> Parent:
        """What the clone is made from.

        :raises ValueError: where no parent was named, so that nothing can be made from it.
        """
        if self.parent is None:
            raise ValueError(f"the step for {self.name} has no parent")
        return self.parent

    @property
    def target(self) -> Placement:
        """Where the clone goes.

        :raises ValueError: where nothing is to be made.
        """
        if self.placement is None:
            raise ValueError(f"the step for {self.name} has no placement")
        return self.placement

    @property
    def writes(self) -> bool:
        """Whether the VM itself is made or changed, other than by customizing its guest."""
        return self.kind == CREATE or (
            self.kind == UPDATE and bool(self.config or self.nics or self.hardware or self.move_to_pool)
        )


def check_parent(parent: Parent) -> None:
    """Refuse, before any clone call, a parent that cannot have instant clones.

    :raises InvalidOption: saying why.
    """
    where = f"The parent {parent.path}"
    if parent.template:
        raise InvalidOption(
            f"{where} is a template.", hint="An instant clone needs a running VM as its parent.", option="parent"
        )
    if parent.power_state != "poweredOn":
        raise InvalidOption(
            f"{where} is {parent.power_state}.",
            hint="Power it on and let its guest start: a clone goes on from where its parent is.",
            option="parent",
        )
    if not parent.host:
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
    if not any(label is None or nic.label.casefold() == label.casefold() for nic in parent.nics):
        raise InvalidOption(
            f"The {parent.role} {parent.path} has no {label or 'NIC'}, so no address can be waited for.",
            hint=f"It has: {names.listing([nic.label for nic in parent.nics]) or 'no NIC at all'}.",
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


def place(request: CloneRequest, parent: Parent, folders: t.Mapping[str, tuple[str, str]]) -> Placement:
    """Turn the names of a request into what they mean around this parent.

    :param folders: the folder option as written -> (moid, path).
    :raises InvalidOption: when a name means nothing there; the hint lists what would do.
    """
    if not request.folder and not parent.folder:
        raise InvalidOption(
            f"clone {request.name!r}: the parent is in a vApp, which is no folder.", hint="Set folder.", option="folder"
        )
    folder, folder_path = folders[request.folder] if request.folder else (parent.folder, parent.folder_path)
    return Placement(
        folder=folder,
        folder_path=folder_path,
        pool=_pool(request, parent),
        pool_asked=bool(request.resource_pool),
        datastore=_datastore(request, parent),
        nics=_nic_edits(request, parent.nics, parent.networks),
    )


def present(request: CloneRequest, placement: Placement, existing: Existing | None, parent: Parent) -> Step:
    """The step that brings a clone to what is asked."""
    if existing is None:
        asked = request.customization is not None
        return Step(request, CREATE, parent, placement, config=request.config, nics=placement.nics, customize=asked)
    stranger = why_stranger(existing, parent.instance_uuid)
    if stranger:
        return Step(request, CONFLICT, parent, placement, existing, reason=stranger)
    config = {key: value for key, value in request.config.items() if existing.extra_config.get(key, "") != value}
    edits = _nic_edits(request, existing.nics, parent.networks)
    changes = [_needed(edit, existing) for edit in edits]
    differences = [Difference(key, "another value", "the value asked for") for key in sorted(config)]
    differences += [difference for _edit, found in changes for difference in found]
    nics = tuple(edit for edit, _found in changes if edit is not None)
    move = bool(request.resource_pool) and existing.pool != placement.pool.moid
    if move:
        differences.append(Difference("resource_pool", existing.pool_name, placement.pool.path))
    customize = request.customization is not None and not existing.customized()
    if customize:
        differences.append(Difference("customization", "not done", "done"))
    differences += _fixed_at_birth(request, placement, existing)
    kind = UPDATE if config or nics or move or customize else KEEP
    step = Step(request, kind, parent, placement, existing, tuple(differences), config=config, nics=nics)
    return dataclasses.replace(step, move_to_pool=move, customize=customize)


def absent(
    request: CloneRequest, existing: Existing | None, parent: Parent | None, force: bool, *, templates: bool = False
) -> Step:
    """The step that removes a clone: only a marked clone (of this parent, where one is given), unless forced.

    :param templates: whether a clone may have become a template.
    """
    if existing is None:
        return Step(request, NOTHING, parent)
    if parent is not None and existing.moid == parent.moid:
        return Step(
            request, CONFLICT, parent, existing=existing, reason=f"it is the {parent.role} itself, which is never removed"
        )
    if existing.kind != "VirtualMachine":
        return Step(request, CONFLICT, parent, existing=existing, reason=f"a {existing.kind} holds the name")
    stranger = why_stranger(existing, parent.instance_uuid if parent else None)
    if existing.template and (stranger or not templates):
        return Step(request, CONFLICT, parent, existing=existing, reason="it is a template, not a clone")
    if stranger and not force:
        return Step(request, CONFLICT, parent, existing=existing, reason=f"{stranger}; force removes it all the same")
    return Step(request, DESTROY, parent, existing=existing)


def expected(step: Step) -> Existing:
    """What a new clone will be, as far as that is known before it is made: for check mode."""
    edits = {edit.nic.key: edit for edit in step.nics}
    place, parent = step.placement, step.source
    return Existing(
        moid="",
        name=step.name,
        bios_uuid=step.request.bios_uuid or "",
        power_state="poweredOn",
        pool_name=place.pool.name if place else "",
        host=parent.host,
        host_name=parent.host_name,
        datastore_names=(step.request.datastore,) if step.request.datastore else parent.datastore_names,
        nics=tuple(_edited(nic, edits.get(nic.key)) for nic in parent.nics),
    )


def _edited(nic: Nic, edit: NicEdit | None) -> Nic:
    return dataclasses.replace(
        nic,
        mac=(edit and edit.mac) or "",
        network=edit.network.name if edit and edit.network else nic.network,
        connected=nic.connected if edit is None or edit.connected is None else edit.connected,
    )


def why_stranger(existing: Existing, parent_uuid: str | None) -> str:
    """Why an existing entity does not count as this parent's clone, or an empty text when it does.

    :param parent_uuid: instance UUID of the parent; None accepts the clone of any.
    """
    if existing.kind != "VirtualMachine":
        return f"a {existing.kind} holds the name"
    if existing.half_made:
        return "a VM that is still being made holds the name"
    made_from = existing.parent_uuid()
    if made_from is None:
        return "a VM that this collection did not clone holds the name"
    if parent_uuid is not None and made_from != parent_uuid:
        return f"a clone of another parent (instance UUID {made_from}) holds the name"
    return ""


def _pool(request: CloneRequest, parent: Parent) -> Pool:
    own = next((pool for pool in parent.pools if pool.moid == parent.pool), None)
    if not request.resource_pool:
        # A parent inside a vApp has a pool that is not among the compute resource's own.
        return own or Pool(parent.pool, parent.pool, parent.pool)
    fits = fitting_pools(parent.pools, parent.compute_resource, request.resource_pool)
    if len(fits) == 1:
        return fits[0]
    listing = names.listing(sorted(pool.path for pool in fits or parent.pools), most=20)
    if fits:
        raise InvalidOption(
            f"clone {request.name!r}: {len(fits)} resource pools are named {request.resource_pool}.",
            hint=f"Give the path of one: {listing}.",
            option="resource_pool",
        )
    raise InvalidOption(
        f"clone {request.name!r}: the resource pool {request.resource_pool} is not one of {parent.compute_resource}, "
        f"where the parent runs on {parent.host_name}.",
        hint=f"An instant clone stays on its parent's host. Pools that would do: {listing}.",
        option="resource_pool",
        allowed=sorted(pool.path for pool in parent.pools),
    )


def _datastore(request: CloneRequest, parent: Parent) -> str | None:
    if not request.datastore:
        return None
    for name, moid in parent.datastores.items():
        if names.same(name, request.datastore):
            return moid
    raise InvalidOption(
        f"clone {request.name!r}: the host {parent.host_name} has no accessible datastore {request.datastore}.",
        hint=f"It has: {names.listing(sorted(parent.datastores), most=20)}.",
        option="datastore",
        allowed=sorted(parent.datastores),
    )


def _nic_edits(request: CloneRequest, nics: tuple[Nic, ...], networks: tuple[Network, ...]) -> tuple[NicEdit, ...]:
    edits = tuple(_nic_edit(request, wanted, nics, networks) for wanted in request.networks)
    labels = [edit.nic.label for edit in edits]
    twice = sorted({label for label in labels if labels.count(label) > 1})
    if twice:
        raise InvalidOption(f"clone {request.name!r}: networks names {names.listing(twice)} more than once.", option="networks")
    return edits


def _nic_edit(request: CloneRequest, wanted: NicRequest, nics: tuple[Nic, ...], networks: tuple[Network, ...]) -> NicEdit:
    fits = [nic for at, nic in enumerate(nics) if at == wanted.index or nic.label.casefold() == (wanted.label or "").casefold()]
    if len(fits) != 1:
        raise InvalidOption(
            f"clone {request.name!r}: the VM has no {wanted}.",
            hint=f"It has: {names.listing([nic.label for nic in nics]) or 'no NIC at all'}.",
            option="networks",
        )
    network = _network(request, wanted.network, networks) if wanted.network else None
    return NicEdit(fits[0], network, wanted.mac, wanted.connected)


def _network(request: CloneRequest, wanted: str, networks: tuple[Network, ...]) -> Network:
    fits = [network for network in networks if names.same(network.name, wanted) or network.moid == wanted]
    if len(fits) == 1:
        return fits[0]
    if fits:
        raise InvalidOption(
            f"clone {request.name!r}: {len(fits)} networks of the host are named {wanted}.",
            hint=f"Give the moid of one: {names.listing([network.moid for network in fits])}.",
            option="networks",
        )
    raise InvalidOption(
        f"clone {request.name!r}: its host sees no network {wanted}.",
        hint=f"It sees: {names.listing(sorted(network.name for network in networks), most=20)}.",
        option="networks",
        allowed=sorted(network.name for network in networks),
    )


def _needed(edit: NicEdit, existing: Existing) -> tuple[NicEdit | None, list[Difference]]:
    """Of an edit, what an existing clone still needs and may get in its power state, and every difference."""
    nic, found = edit.nic, []
    network = edit.network if edit.network and edit.network.backing_id != nic.backing_id else None
    if network:
        found.append(Difference(f"{nic.label} network", nic.network or nic.backing_id, network.name))
    connected = edit.connected if edit.connected is not None and edit.connected != nic.connected else None
    if connected is not None:
        found.append(Difference(f"{nic.label} connected", str(nic.connected), str(connected)))
    mac = edit.mac if edit.mac and edit.mac != nic.mac else None
    if mac:
        why_not = "" if existing.power_state == "poweredOff" else "the MAC of a VM that is not powered off is fixed"
        found.append(Difference(f"{nic.label} MAC", nic.mac, mac, why_not))
        mac = None if why_not else mac
    change = NicEdit(nic, network, mac, connected) if network or mac or connected is not None else None
    return change, found


def _fixed_at_birth(request: CloneRequest, placement: Placement, existing: Existing) -> list[Difference]:
    """What an instant clone gets when it is made and keeps."""
    found = []
    if placement.datastore and placement.datastore not in existing.datastores:
        actual, why_not = ", ".join(existing.datastore_names), "it takes a migration, which is not this module's"
        found.append(Difference("datastore", actual, request.datastore or "", why_not))
    if request.bios_uuid and request.bios_uuid != existing.bios_uuid:
        why_not = "the identity of an existing VM is left alone"
        found.append(Difference("bios_uuid", existing.bios_uuid, request.bios_uuid, why_not))
    return found
