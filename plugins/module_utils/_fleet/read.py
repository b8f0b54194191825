# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What there is, read from vCenter in a number of calls that does not depend on the fleet or the
inventory.
"""

from __future__ import annotations

import typing as t

from .._connector import names
from .._connector.find import TO_ANCESTORS, Selector, find_folder, find_vm, path_in, unreadable
from .._connector.props import Route, Row, collect, collect_chosen
from .._connector.pyvmomi import vim
from .._errors import Ambiguous, NotFound
from .._vsphere import compute
from .._vsphere.addresses import usable
from .._vsphere.compute import Datastore, Host, read_folders
from .._vsphere.markers import FLEET_KEY, MARKER_KEY, fleet_of, parent_of
from .._vsphere.snapshots import snapshots_in
from .._vsphere.vm import (
    ABOVE,
    BASICS,
    CONNECTION,
    LOST,
    basics,
    config_path,
    config_value,
    datacenter_of,
    is_readable,
    kind_of,
    moid_of,
    name_of,
)
from .model import (
    INSTANT_CLONE,
    MIB,
    VMFORK,
    Clone,
    FleetOptions,
    Golden,
    Parent,
    Renamed,
    Situation,
    is_address,
)

if t.TYPE_CHECKING:
    from .._connector.session import Session

# The digits of the scripts' digest in a version: enough to distinguish sets of scripts, few for who
# guesses at them.
_SCRIPT_DIGITS = 8

_GOLDEN: dict[type, tuple[str, ...]] = {
    **ABOVE,
    vim.VirtualMachine: (
        *BASICS,
        "datastore",
        "snapshot",
        "config.changeVersion",
        "config.hardware.memoryMB",
        "summary.storage.committed",
    ),
}

_PLACES: dict[type, tuple[str, ...]] = {
    vim.Folder: ("name", "parent"),
    vim.Datacenter: ("name", "parent"),
    vim.ComputeResource: ("name", "parent"),
    vim.HostSystem: (
        *compute.HOST,
        *compute.HOST_QUARANTINE,
        *compute.HOST_MEMORY,
        "datastore",
    ),
    vim.Datastore: ("name", "summary.accessible", "summary.freeSpace", "summary.maintenanceMode"),
}
_TO_PLACES = (*compute.DATACENTER_TO_HOSTS, compute.HOST_TO_DATASTORES)

_CLONE_MARK = config_path(MARKER_KEY)
_FLEET_MARK = config_path(FLEET_KEY)

# The fixed address of a clone; that of a child of VMFork is below "fork".
_ADDRESSES = (config_path("guestinfo.ipv4"), config_path("guestinfo.fork.ipv4"))

_MEMBERS: dict[type, tuple[str, ...]] = {vim.ManagedEntity: ("name", "parent")}
_MEMBER_VM = (
    _CLONE_MARK,
    _FLEET_MARK,
    *_ADDRESSES,
    "config.instanceUuid",
    "guest.ipAddress",
    "runtime.host",
    "runtime.powerState",
    CONNECTION,
)
_MEMBER_OR_NOT: dict[type, tuple[str, ...]] = {**_MEMBERS, vim.VirtualMachine: (_FLEET_MARK,)}
_TO_MEMBERS = (Route("folder-children", vim.Folder, "childEntity"),)

# Whether clones can be made of a VM, and of which parent it is a child, by the kind of the fleet.
_OF_KIND = {
    INSTANT_CLONE: ("runtime.instantCloneFrozen",),
    VMFORK: ("runtime.quiescedForkParent", "config.forkConfigInfo"),
}


def situation(session: Session, options: FleetOptions) -> Situation:
    """All that the plan needs.

    :raises NotFound: the golden VM or its snapshot, a cluster, a host or a folder.
    """
    golden = read_golden(session, options.golden, options) if options.golden else None
    folder, parents_folder = _folders(session, options, golden)
    hosts, clusters, datastores = _read_hosts(session, golden.datacenter, options) if golden else ((), {}, {})
    # vCenter returns them in any order, and the plan of a fleet is to be the same each time.
    rows = sorted(_members(session, [folder[0], parents_folder[0]], options), key=lambda row: names.natural(name_of(row)))
    inside = [row for row in rows if _is_in(row, folder)]
    known_parents = [_parent(row, options, parents_folder) for row in rows]
    parents = tuple(parent for parent in known_parents if parent is not None)
    known_clones = [_clone(row, options, parents) for row in inside]
    others_like_it = _of_other_patterns(inside, options)
    found_clones = [clone for clone in known_clones if clone is not None]
    unsure = [clone.name for clone in found_clones if options.pattern.may_be_of_others(clone.number, others_like_it.values())]
    clones = tuple(clone for clone in found_clones if clone.name not in unsure)
    own = {clone.moid for clone in clones}
    others = {name_of(row): row for row in inside if row.moid not in own}
    ours = own | {parent.moid for parent in parents}
    renamed = [_renamed(row, options) for row in inside if row.moid not in ours]
    named = {name: row for name, row in others.items() if options.pattern.number(name) is not None}
    return Situation(
        golden=golden,
        folder_path=folder[1],
        parents_path=parents_folder[1],
        hosts=hosts,
        clusters=clusters,
        datastores=datastores,
        parents=parents,
        clones=clones,
        taken={name: _what_it_is(row, next(iter(others_like_it), "") if name in unsure else "") for name, row in named.items()},
        unknown=tuple(name for name, row in named.items() if name in unsure or _is_lost(row) or _is_being_made(row)),
        renamed=tuple(each for each in renamed if each is not None),
    )


# The golden VM


def read_golden(session: Session, selector: Selector, options: FleetOptions) -> Golden:
    """The golden VM and where it is.

    :raises NotFound: when there is none, or it has no such snapshot.
    """
    ref = find_vm(session, selector, options.datacenter)
    rows = {row.moid: row for row in collect(session, [ref], _GOLDEN, TO_ANCESTORS)}
    row = rows.get(ref._GetMoId())
    datacenter = datacenter_of(rows, row) if row is not None else None
    if row is None or not is_readable(row) or datacenter is None:
        raise unreadable(selector)
    known = basics(rows, row)
    return Golden(
        moid=row.moid,
        name=known["name"],
        path=known["path"],
        instance_uuid=known["instance_uuid"],
        template=known["template"],
        version=_version(row, known["path"], options),
        memory=row.get("config.hardware.memoryMB") or 0,
        disk=-(-(row.get("summary.storage.committed") or 0) // MIB),
        datacenter=datacenter.moid,
        folder_path=names.join(names.split(known["path"])[:-1]),
        datastores=tuple(moid_of(each) for each in row.get("datastore") or ()),
    )


def _version(vm: Row, path: str, options: FleetOptions) -> str:
    """A version of the golden VM and of the scripts its parents are frozen with.

    Other scripts make other parents. Their digest is salted with the golden VM's own UUID, so that
    it is the same with each run, and made slowly, since names that others can read are made of it.
    """
    version = options.version or _own_version(vm, path, options.snapshot)
    if not options.scripts:
        return version
    digest = options.scripts.digest(vm.get("config.instanceUuid"))
    return f"{version}+{digest[:_SCRIPT_DIGITS]}"


def _own_version(vm: Row, path: str, snapshot: str | None) -> str:
    """What differs between two states of the golden VM: its snapshot, or else its
    configuration's own version.
    """
    uuid = vm.get("config.instanceUuid")
    if snapshot is None:
        return f"{uuid}/{vm.get('config.changeVersion')}"
    every = snapshots_in(vm.get("snapshot"))
    found = [each for each in every if names.same(each.name, snapshot)]
    if len(found) == 1:
        created = found[0].created
        return f"{uuid}/{found[0].moid}/{created.isoformat() if created else ''}"
    if found:
        raise Ambiguous(f"{len(found)} snapshots of {path} are named {snapshot}.", hint="Rename all but one.")
    known = sorted(each.name for each in every)
    raise NotFound(
        f"{path} has no snapshot {snapshot}.",
        hint=f"It has: {names.listing(known) or 'none'}.",
        known=known,
    )


def _folders(session: Session, options: FleetOptions, golden: Golden | None) -> tuple[tuple[str, str], tuple[str, str]]:
    """Moid and path of the folders of the clones and of the parents."""
    clones = options.folder or (golden.folder_path if golden else "")
    parents = options.parents_folder or clones
    if golden is not None:
        found = read_folders(session, golden.datacenter, [clones, parents])
        return found[clones], found[parents]
    paths = {path: _folder(session, path) for path in (clones, parents)}
    return paths[clones], paths[parents]


def _folder(session: Session, path: str) -> tuple[str, str]:
    return find_folder(session, path)._GetMoId(), names.join(names.split(path))


# Hosts and datastores


def _read_hosts(
    session: Session, datacenter: str, options: FleetOptions
) -> tuple[tuple[Host, ...], dict[str, str], dict[str, Datastore]]:
    """The hosts on which the fleet may be, the names of clusters, and all datastores that are seen.

    :raises NotFound: for a cluster or host that there is not.
    """
    root = session.reference(vim.Datacenter, datacenter)
    rows = {row.moid: row for row in collect(session, [root], _PLACES, _TO_PLACES)}
    clusters = [row for row in rows.values() if isinstance(row.ref, vim.ComputeResource)]
    wanted = {_cluster(rows, clusters, text) for text in options.clusters}
    every = compute.hosts_in(rows)
    hosts = [host for host in every if not wanted or host.compute in wanted]
    return (
        _chosen(hosts, options.hosts),
        {row.moid: name_of(row) for row in clusters},
        compute.datastores_in(rows),
    )


def _cluster(rows: t.Mapping[str, Row], clusters: t.Sequence[Row], text: str) -> str:
    """The moid of the cluster of a name or path."""
    fits = [row for row in clusters if names.means(text, name_of(row), path_in(rows, row.moid))]
    if len(fits) == 1:
        return fits[0].moid
    known = sorted(path_in(rows, row.moid) for row in fits or clusters)
    if fits:
        raise Ambiguous(
            f"{len(fits)} clusters are named {text}: {names.listing(known)}.",
            hint="Give the path of one.",
        )
    raise NotFound(
        f"No cluster {text} was found in the datacenter of the golden VM.",
        hint=f"There are: {names.listing(known)}.",
        known=known,
    )


def _chosen(hosts: t.Sequence[Host], wanted: t.Sequence[str]) -> tuple[Host, ...]:
    """The hosts that are named, by their full names or the part before the first dot."""
    for text in wanted:
        if not any(_is_named(host, text) for host in hosts):
            known = sorted(host.name for host in hosts)
            raise NotFound(
                f"No host {text} was found there.",
                hint=f"There are: {names.listing(known)}.",
                known=known,
            )
    return tuple(host for host in hosts if not wanted or any(_is_named(host, text) for text in wanted))


def _is_named(host: Host, text: str) -> bool:
    name = host.name.casefold()
    return text.casefold() in (name, name.partition(".")[0])


# Parents and clones


def _members(session: Session, folders: t.Sequence[str], options: FleetOptions) -> list[Row]:
    """What is in the folders of the fleet; in a large folder, of what has neither its mark nor one
    of its names no more than its name and that mark.
    """
    roots = [session.reference(vim.Folder, moid) for moid in dict.fromkeys(folders)]
    wanted = {**_MEMBERS, vim.VirtualMachine: (*_MEMBER_VM, *_OF_KIND[options.kind])}

    def is_member(row: Row) -> bool:
        mark = fleet_of(config_value(row.get(_FLEET_MARK)))
        has_mark = mark is not None and mark[0] == options.pattern.fleet
        return has_mark or options.pattern.number(name_of(row)) is not None

    rows = collect_chosen(session, roots, wanted, _TO_MEMBERS, _MEMBER_OR_NOT, is_member)
    return [row for row in rows if moid_of(row.get("parent")) in folders and row.moid not in folders]


def _is_in(row: Row, folder: tuple[str, str]) -> bool:
    return moid_of(row.get("parent")) == folder[0]


def _parent(row: Row, options: FleetOptions, folder: tuple[str, str]) -> Parent | None:
    """A VM with the owner mark of this fleet and its own name in it.

    Clones inherit the owner mark, with a name that is not theirs.
    """
    mark, name = fleet_of(config_value(row.get(_FLEET_MARK))), name_of(row)
    if mark is None or not _is_in(row, folder):
        return None
    fleet, version, parent = mark
    if (fleet, parent) != (options.pattern.fleet, name):
        return None
    return Parent(
        moid=row.moid,
        name=name,
        path=names.join([*names.split(folder[1]), name]),
        instance_uuid=row.get("config.instanceUuid") or "",
        version=version,
        host=moid_of(row.get("runtime.host")),
        ready=_is_ready(row, options.kind),
        group=_fork_group(row),
    )


def _is_ready(row: Row, kind: str) -> bool:
    """Whether clones can be made of a parent: it is on, and frozen, or an enabled and quiesced
    parent of VMFork.
    """
    frozen = bool(row.get(_OF_KIND[kind][0]))
    on = str(row.get("runtime.powerState")) == "poweredOn"
    return on and frozen and (kind != VMFORK or bool(_fork_group(row)))


def _fork_group(row: Row) -> str:
    """The fork group of a VM that is an enabled parent of VMFork, or an empty text."""
    fork = row.get("config.forkConfigInfo")
    return (fork.parentForkGroupId or "") if fork is not None and fork.parentEnabled else ""


def _child_group(row: Row) -> str:
    """The fork group of a VM that is a child of VMFork, or an empty text."""
    fork = row.get("config.forkConfigInfo")
    return (fork.childForkGroupId or "") if fork is not None else ""


def _clone(row: Row, options: FleetOptions, parents: t.Sequence[Parent]) -> Clone | None:
    name = name_of(row)
    number, mark = options.pattern.number(name), fleet_of(config_value(row.get(_FLEET_MARK)))
    if number is None or mark is None or mark[0] != options.pattern.fleet:
        return None
    instant = parent_of(config_value(row.get(_CLONE_MARK)), name)
    of = _forked_from(row, mark[2], parents) if options.kind == VMFORK else instant
    if of is None:
        return None
    versions = [parent.version for parent in parents if parent.instance_uuid == of]
    return Clone(
        moid=row.moid,
        name=name,
        number=number,
        parent=of,
        version=versions[0] if versions else mark[1],
        host=moid_of(row.get("runtime.host")),
        address=next(iter(usable([row.get("guest.ipAddress") or ""])), ""),
        ipv4=_fixed_address(row),
    )


def _fixed_address(row: Row) -> str:
    """The address that a VM was made with, or an empty text."""
    fixed = [config_value(row.get(path)) for path in _ADDRESSES]
    return next((address for address in fixed if is_address(address)), "")


def _renamed(row: Row, options: FleetOptions) -> Renamed | None:
    """A VM that has the mark of this fleet and none of its names, where it runs with a fixed
    address.
    """
    mark, address = fleet_of(config_value(row.get(_FLEET_MARK))), _fixed_address(row)
    is_on = str(row.get("runtime.powerState")) == "poweredOn"
    if mark is None or mark[0] != options.pattern.fleet or not is_on or not address:
        return None
    return Renamed(name_of(row), address)


def _forked_from(row: Row, parent_name: str, parents: t.Sequence[Parent]) -> str | None:
    """Instance UUID of the parent of a child of VMFork; empty where that is gone, None for what is
    no child.

    The fork group that vCenter keeps says it, or, where a parent was disabled since and so has
    another one, the owner mark.
    """
    group = _child_group(row)
    if not group:
        return None
    of_group = [parent.instance_uuid for parent in parents if parent.group == group]
    of_name = [parent.instance_uuid for parent in parents if parent.name == parent_name]
    return next(iter(of_group + of_name), "")


def _of_other_patterns(rows: t.Iterable[Row], options: FleetOptions) -> dict[str, int]:
    """The clones of fleets that are called as this one, and have another number of digits in their
    names: how many, by name.
    """
    marks = ((name_of(row), fleet_of(config_value(row.get(_FLEET_MARK)))) for row in rows)
    found = {name: options.pattern.other_digits(name) for name, mark in marks if mark and mark[0] == options.pattern.fleet}
    return {name: digits for name, digits in sorted(found.items()) if digits}


def _what_it_is(row: Row, other: str) -> str:
    """What has a name of the fleet.

    :param other: a clone of another pattern, of which this one may be, too; else empty.
    """
    if other:
        return f"a VM that may be of another pattern of names, as {other} is, holds the name"
    if not isinstance(row.ref, vim.VirtualMachine):
        return f"a {kind_of(row.ref)} holds the name"
    if _is_lost(row):
        return f"a VM that is {row.get(CONNECTION)}, so that vCenter does not say whose it is, holds the name"
    if _is_being_made(row):
        return "a VM that is still being made holds the name"
    return "a VM that is not of this fleet holds the name"


def _is_lost(row: Row) -> bool:
    """Whether vCenter does not reach the files of a VM."""
    return not row.get("config.instanceUuid") and str(row.get(CONNECTION)) in LOST


def _is_being_made(row: Row) -> bool:
    """Whether somebody makes a VM at this moment: it has a name before it has a host."""
    known = row.get("config.instanceUuid") or row.get("runtime.host")
    return not known and row.get("runtime.powerState") is not None and not _is_lost(row)
