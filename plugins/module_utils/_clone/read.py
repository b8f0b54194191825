# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What there is, read from vCenter.

Each function is a constant number of calls, whatever the inventory's size.
"""

from __future__ import annotations

import dataclasses
import typing as t

from .._connector import names, tasks
from .._connector.find import TO_ANCESTORS, find_folder, path_in, unreadable
from .._connector.props import Row, collect, read_all
from .._connector.pyvmomi import vim
from .._errors import Fault, InvalidOption, NotFound, NotSupported, VforgeError
from .._vsphere import compute, freeze
from .._vsphere.addresses import guest_nics
from .._vsphere.compute import find_folders, read_names
from .._vsphere.disks import disks_in
from .._vsphere.snapshots import snapshots_in
from .._vsphere.vm import (
    ABOVE,
    BASICS,
    CONNECTION,
    DEVICES,
    LOST,
    basics,
    config_in,
    datacenter_of,
    device_path,
    devices_in,
    is_readable,
    kind_of,
    moid_of,
    nics_in,
    of_name,
    reference,
)
from .model import SETTINGS, CloneRequest, Existing, Parent, Source, no_folder, own_guest

if t.TYPE_CHECKING:
    from .._connector.session import Session

_PLACE = ("runtime.host", "resourcePool", "datastore")

_PARENT: dict[type, tuple[str, ...]] = {
    **ABOVE,
    **compute.COMPUTES,
    **compute.NETWORKS,
    vim.VirtualMachine: (
        *BASICS,
        *_PLACE,
        *freeze.PARENT_PATHS,
        "snapshot",
        "guest.net",
        "runtime.instantCloneFrozen",
        "config.files.vmPathName",
        DEVICES,
    ),
    vim.HostSystem: (*compute.HOST, *compute.HOST_SEES),
    vim.Datastore: ("name", "summary.accessible"),
}
_AROUND_PARENT = (
    *TO_ANCESTORS,
    compute.VM_TO_HOST,
    *compute.HOST_TO_POOLS,
    *compute.HOST_TO_NETWORKS,
    compute.HOST_TO_DATASTORES,
)

# The hosts, clusters and pools of a datacenter, with what decides where a clone may go.
_COMPUTE: dict[type, tuple[str, ...]] = {
    **compute.COMPUTES,
    vim.HostSystem: (*compute.HOST, "datastore"),
}
_TO_COMPUTE = (*compute.DATACENTER_TO_HOSTS, *compute.HOST_TO_POOLS)

_REACH: dict[type, tuple[str, ...]] = {
    **ABOVE,
    **compute.NETWORKS,
    vim.HostSystem: compute.HOST_SEES,
    vim.Datastore: ("name", "summary.accessible"),
}
_TO_REACH = (*TO_ANCESTORS, *compute.HOST_TO_NETWORKS, compute.HOST_TO_DATASTORES)

_MADE_VM = (
    "config.instanceUuid",
    "config.template",
    *(setting.path for setting in SETTINGS if setting.instant),
    "runtime.powerState",
    *_PLACE,
    "guest.net",
)
_CONFIGURATION = (
    *(setting.path for setting in SETTINGS if not setting.instant),
    *(setting.hot_add for setting in SETTINGS if setting.hot_add),
)
_EXISTING: dict[type, tuple[str, ...]] = {
    vim.ManagedEntity: ("name",),
    vim.VirtualMachine: (*_MADE_VM, *_CONFIGURATION, CONNECTION, DEVICES, "config.extraConfig"),
}


def require_customization(session: Session) -> None:
    """Make sure that this vCenter customizes running guests, which came with API 6.8.7.

    :raises NotSupported: on an older one.
    """
    if session.content.guestCustomizationManager is None:
        version = session.about.get("apiVersion", "")
        raise NotSupported(
            f"{session.options.endpoint} cannot customize running guests: its API version is {version}.",
            hint="customize needs vCenter 7.0 or later. Before that, let the clones set themselves up from guestinfo.",
            api_version=version,
        )


# What is cloned, and what surrounds it

P = t.TypeVar("P", bound=Parent)


def read_parents(
    session: Session,
    named: t.Sequence[tuple[t.Any, str]],
    kind: type[P],
) -> list[P | NotFound]:
    """What is cloned, with its host, the networks and datastores of that, the pools around it and
    its ancestors.

    One call for any number of them.

    :param named: references, each with its selector as text, for the message.
    :param kind: ``Parent``, or ``Source`` with its snapshots.
    :returns: in their order; in the place of one that cannot be read its error.
    """
    roots = list({ref._GetMoId(): ref for ref, _what in named}.values())
    rows = {row.moid: row for row in collect(session, roots, _PARENT, _AROUND_PARENT)}
    known: dict[str, P | NotFound] = {}
    for ref, what in named:
        if ref._GetMoId() not in known:
            known[ref._GetMoId()] = _parent(rows, ref._GetMoId(), what, kind)
    return [known[ref._GetMoId()] for ref, _what in named]


def _parent(rows: t.Mapping[str, Row], moid: str, what: str, kind: type[P]) -> P | NotFound:
    vm = rows.get(moid)
    if vm is None or not is_readable(vm):
        return unreadable(what)
    datacenter = datacenter_of(rows, vm)
    if datacenter is None:
        return NotFound(
            f"The VM with the {what} is in a datacenter that this user may not see.",
            hint="Give the user the right to read the folders and the datacenter above the VM.",
        )
    around, folder = compute.surroundings_in(rows, vm), moid_of(vm.get("parent"))
    devices = vm.get(DEVICES) or ()
    only_source: dict[str, t.Any] = {}
    if issubclass(kind, Source):
        only_source["snapshots"] = snapshots_in(vm.get("snapshot"))
    return kind(
        **freeze.parent_basics(rows, vm),
        frozen=bool(vm.get("runtime.instantCloneFrozen")),
        folder=folder,
        folder_path=path_in(rows, folder),
        datacenter=datacenter.moid,
        vms_path=names.join([*names.split(path_in(rows, datacenter.moid)), "vm"]),
        place=compute.place_in(rows, vm),
        around=around,
        nics=nics_in(devices, running=_running(vm), network_names=_network_names(around)),
        disks=disks_in(devices, vm.get("config.files.vmPathName") or ""),
        guest=tuple(guest_nics(vm.get("guest.net") or ())),
        **only_source,
    )


def _network_names(around: compute.Surroundings) -> dict[str, str]:
    return {network.backing_id: network.name for network in around.networks}


def _running(vm: Row) -> bool:
    return str(vm.get("runtime.powerState")) == "poweredOn"


def read_compute(session: Session, datacenter: str) -> tuple[compute.Compute, ...]:
    """The clusters of a datacenter, and the hosts that are in none, with their hosts and pools, by
    name: one call.
    """
    root = session.reference(vim.Datacenter, datacenter)
    rows = {row.moid: row for row in collect(session, [root], _COMPUTE, _TO_COMPUTE)}
    return compute.computes_in(rows)


def read_reach(session: Session, hosts: t.Iterable[str]) -> dict[str, compute.Surroundings]:
    """What hosts see, by the moid of the host: one call. A host that is gone sees nothing."""
    refs = {moid: session.reference(vim.HostSystem, moid) for moid in hosts}
    rows = {row.moid: row for row in collect(session, list(refs.values()), _REACH, _TO_REACH)}
    return {moid: _reach(rows, rows[moid]) if moid in rows else compute.Surroundings() for moid in refs}


def _reach(rows: t.Mapping[str, Row], host: Row) -> compute.Surroundings:
    networks, datastores = compute.networks_of(rows, host), compute.datastores_of(rows, host)
    return compute.Surroundings(networks=networks, datastores=datastores)


# What has the wanted names


@dataclasses.dataclass(frozen=True)
class Wanted:
    """A request, the parent of its clone, and what holds its name now, if anything.

    :ivar parent: None where clones of any parent are removed, and where it cannot be found.
    :ivar error: why it is not known what the request means.
    :ivar folders: the folder option as written -> (moid, path), in the parent's datacenter.
    """

    request: CloneRequest
    parent: Parent | None
    error: VforgeError | None = None
    existing: Existing | None = None
    folders: t.Mapping[str, tuple[str, str]] = dataclasses.field(default_factory=dict)

    @property
    def datacenter(self) -> str:
        """The moid of the datacenter in which the clone's folder is.

        Empty where no parent says it.
        """
        return self.parent.datacenter if self.parent else ""

    @property
    def home(self) -> str:
        """The moid of the clone's folder."""
        if self.request.folder:
            return self.folders[self.request.folder][0]
        return self.parent.folder if self.parent else ""


def read_wanted(session: Session, asked: t.Sequence[Wanted]) -> list[Wanted]:
    """The same with the folders that are asked for, and what holds the names there.

    At most three calls for any number of requests. Where parents are in several datacenters, the
    folders of each are one call.

    :raises InvalidOption: when two spellings of a folder hide that a name is asked for twice.
    """
    folders = _folders(session, [each for each in asked if each.error is None])
    placed = [_placed(each, folders.get(each.datacenter, {})) for each in asked]
    wanted: dict[str, set[str]] = {}
    for each in placed:
        if each.error is not None:
            continue
        name, taken = each.request.name, wanted.setdefault(each.home, set())
        if name in taken:
            where = f"the folder {each.request.folder}" if each.request.folder else "the parent's folder"
            raise InvalidOption(
                f"clones names {name} twice in {where}.",
                hint="The same folder is written in two ways.",
                option="clones",
            )
        taken.add(name)
    there = read_names(session, wanted)
    refs = [None if each.error else there.get((each.home, each.request.name)) for each in placed]
    owned = [(ref, each.parent) for ref, each in zip(refs, placed, strict=True) if ref is not None]
    found = read_existing(session, owned)
    return [
        dataclasses.replace(each, existing=of_name(found.get(moid_of(ref)), each.request.name))
        for ref, each in zip(refs, placed, strict=True)
    ]


# The folders of one datacenter as written, each with its moid and path, or with why it is not
# known.
_Folders = t.Mapping[str, t.Union[tuple[str, str], NotFound]]  # noqa: UP007 (as below)


def _placed(wanted: Wanted, folders: _Folders) -> Wanted:
    """The same with the folders of its datacenter; where it has none itself, with the error."""
    found = {text: folder for text, folder in folders.items() if not isinstance(folder, NotFound)}
    own = folders.get(wanted.request.folder or "")
    missing = own if isinstance(own, NotFound) else no_folder(wanted.request, wanted.parent)
    error = wanted.error or missing
    return dataclasses.replace(wanted, folders=found, error=error)


def _folders(session: Session, asked: t.Sequence[Wanted]) -> dict[str, _Folders]:
    """The folders that the requests name, by the datacenter and as written."""
    texts: dict[str, dict[str, None]] = {}
    tops = {each.parent.datacenter: each.parent.vms_path for each in asked if each.parent}
    for each in asked:
        if each.request.folder:
            texts.setdefault(each.datacenter, {})[each.request.folder] = None
    whole = {text: _folder(session, text) for text in texts.pop("", ())}
    return {
        "": whole,
        **{moid: find_folders(session, moid, known, tops[moid]) for moid, known in texts.items()},
    }


def _folder(session: Session, path: str) -> tuple[str, str] | NotFound:
    try:
        return moid_of(find_folder(session, path)), names.join(names.split(path))
    except NotFound as error:
        return error


# References, each with the parent of the clone that it is, or may be.
_Owned = t.Sequence[tuple[t.Any, t.Optional[Parent]]]  # noqa: UP045 (pylint takes the other form for an operation)


def read_existing(session: Session, owned: _Owned) -> dict[str, Existing]:
    """What is known of VMs and other objects of folders, by moid; one that is gone is left out.

    :param owned: a parent knows the networks of the NICs of its clones, and which addresses are not
        theirs.
    """
    rows = collect(session, [ref for ref, _parent in owned], _EXISTING, compute.TO_PLACES)
    return _existing_in({row.moid: row for row in rows}, owned)


def read_made(session: Session, owned: _Owned) -> dict[str, Existing]:
    """The same of VMs that this task made or changed, without what it knows already.

    That is their extraConfig, their other devices, and the names of the places around their parent.
    The name of another place, such as a host that a VM was moved to meanwhile, takes one more call.
    A route from each VM to its places would make the question as long as its answer.
    """
    parents = [parent for _ref, parent in owned if parent]
    keys = {tuple(nic.key for nic in parent.nics) for parent in parents}
    refs = [ref for ref, _parent in owned]
    try:
        # By their keys only where all have the same: a card that a VM lacks would be a wrong
        # property of it.
        rows = read_all(session, refs, _made(keys.pop() if len(keys) == 1 else ()))
    except Fault as fault:
        # Reading an element of an array by its key is the property collector's own notation, but
        # tried on the simulator alone.
        if fault.fault != "InvalidProperty":
            raise
        rows = read_all(session, refs, _made(()))
    known = {moid: name for parent in parents for moid, name in parent.around.place_names.items()}
    unknown = {moid_of(ref): ref for row in rows.values() for ref in compute.places_of(row) if moid_of(ref) not in known}
    places = read_all(session, list(unknown.values()), {vim.ManagedEntity: ("name",)})
    return _existing_in({**rows, **places}, owned, known)


def _made(nic_keys: t.Collection[int]) -> dict[type, tuple[str, ...]]:
    """What is read of a VM that was just made.

    No extraConfig, and of its devices only these, or all when none are named.

    A device is some 60 XML elements and an instant clone has its parent's: by their keys only the
    NICs are sent.
    """
    devices = [device_path(key) for key in nic_keys] or [DEVICES]
    return {vim.ManagedEntity: ("name",), vim.VirtualMachine: (*_MADE_VM, *devices)}


def _existing_in(
    rows: t.Mapping[str, Row],
    owned: _Owned,
    places: t.Mapping[str, str] | None = None,
) -> dict[str, Existing]:
    """Those of the VMs that are among the rows.

    :param places: names of places that are not, by moid.
    """
    there = [(rows[moid_of(ref)], parent) for ref, parent in owned if moid_of(ref) in rows]
    return {vm.moid: _existing(vm, compute.place_in(rows, vm, places), parent) for vm, parent in there}


def _existing(vm: Row, place: compute.Place, parent: Parent | None) -> Existing:
    networks = _network_names(parent.around) if parent else {}
    return Existing(
        **{**basics({}, vm), "path": ""},
        kind=kind_of(vm.ref),
        connection=str(vm.get(CONNECTION) or ""),
        place=place,
        settings={each: vm.get(each.path) for each in SETTINGS if vm.get(each.path) is not None},
        hot_add=frozenset(each for each in SETTINGS if each.hot_add and vm.get(each.hot_add)),
        nics=nics_in(devices_in(vm.values), running=_running(vm), network_names=networks),
        guest=own_guest(vm.get("guest.net") or (), parent),
        extra_config=config_in(vm.values),
    )


def read_disks(session: Session, moids: t.Sequence[str]) -> dict[str, Row]:
    """The devices and change versions of VMs, by moid: one call."""
    refs = [reference(session, moid) for moid in moids]
    wanted = {vim.VirtualMachine: (DEVICES, "config.changeVersion")}
    return {row.moid: row for row in collect(session, refs, wanted)}


# VMs that others are making


def wait_until_made(session: Session, moids: t.Sequence[str], power: str, deadline: float) -> None:
    """Wait until VMs that another call is making are there in full.

    A VM can be seen by name long before.

    :param power: the power state that they have then; empty where any will do.
    """
    tasks.wait_until(
        session,
        [reference(session, moid) for moid in moids],
        vim.VirtualMachine,
        ("config.instanceUuid", "runtime.powerState", CONNECTION),
        deadline,
        lambda update: update.gone or _is_made(update.state, power),
    )


def _is_made(known: t.Mapping[str, t.Any], power: str) -> bool:
    if not known.get("config.instanceUuid"):
        return str(known.get(CONNECTION)) in LOST  # there is nothing to wait for
    state = known.get("runtime.powerState")
    return str(state) == power if power else state is not None
