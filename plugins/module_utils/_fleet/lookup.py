# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What there is, read from vCenter in a number of calls that does not depend on the fleet or the inventory."""

from __future__ import annotations

import typing as t

from .._connector import names
from .._connector.find import Selector, find_folder, find_vm, path_in, unreadable
from .._connector.props import Row, collect
from .._errors import Ambiguous, NotFound
from .._vsphere.addresses import usable
from .._vsphere.markers import fleet_of, parent_of
from .._vsphere.places import read_folders
from . import api
from .facts import Clone, Datastore, Golden, Host, Parent, Situation
from .naming import is_address
from .options import VMFORK, FleetOptions

if t.TYPE_CHECKING:
    from .._connector.session import Session

_MIB = 1024 * 1024

# Digits of the digest of scripts in a version: enough to tell one set of scripts from another, few for who guesses at them.
_SCRIPT_DIGITS = 8


def situation(session: Session, options: FleetOptions) -> Situation:
    """All that the plan needs.

    :raises NotFound: the golden VM or its snapshot, a cluster, a host or a folder.
    """
    golden = read_golden(session, options.golden, options) if options.golden else None
    folder, parents_folder = _folders(session, options, golden)
    hosts, datastores = read_hosts(session, golden.datacenter, options) if golden else ((), {})
    rows = _members(session, [folder[0], parents_folder[0]], options.kind)
    parents = tuple(parent for row in rows if (parent := _parent(row, options, parents_folder)))
    clones = tuple(clone for row in rows if _is_in(row, folder) and (clone := _clone(row, options, parents)))
    known = {clone.moid for clone in clones}
    strangers = {
        _name(row): _holder(row)
        for row in rows
        if _is_in(row, folder) and row.moid not in known and options.pattern.number(_name(row)) is not None
    }
    return Situation(golden, folder[1], parents_folder[1], hosts, datastores, parents, clones, strangers)


def read_golden(session: Session, selector: Selector, options: FleetOptions) -> Golden:
    """The golden VM and where it is.

    :raises NotFound: when there is none, or it has no such snapshot.
    """
    ref = find_vm(session, selector, options.datacenter)
    rows = {row.moid: row for row in collect(session, [ref], api.GOLDEN, api.AROUND_GOLDEN)}
    vm = rows.get(ref._GetMoId())
    datacenter = next((row.moid for row in rows.values() if api.is_datacenter(row.ref)), None)
    if vm is None or vm.get("config.instanceUuid") is None or datacenter is None:
        raise unreadable(selector)
    path = path_in(rows, vm.moid)
    return Golden(
        moid=vm.moid,
        name=_name(vm),
        path=path,
        instance_uuid=vm.get("config.instanceUuid"),
        template=bool(vm.get("config.template")),
        version=_with_scripts(options.version or _version(vm, path, options.snapshot), vm, options),
        memory=vm.get("config.hardware.memoryMB") or 0,
        disk=-(-(vm.get("summary.storage.committed") or 0) // _MIB),
        datacenter=datacenter,
        folder_path=names.join(names.split(path)[:-1]),
        datastores=tuple(_moid(each) for each in vm.get("datastore") or ()),
    )


def _with_scripts(version: str, vm: Row, options: FleetOptions) -> str:
    """A version of the golden VM, and of the scripts that its parents are frozen with: other scripts make other parents.

    The digest is salted with the golden VM's own UUID, so that it is the same with each run, and made slowly, since a name
    and a mark that others can read are made of it.
    """
    if not options.scripts:
        return version
    return f"{version}+{options.scripts.digest(vm.get('config.instanceUuid'))[:_SCRIPT_DIGITS]}"


def _version(vm: Row, path: str, snapshot: str | None) -> str:
    """What tells one state of the golden VM from another: its snapshot, or else its configuration's own version."""
    uuid = vm.get("config.instanceUuid")
    if snapshot is None:
        return f"{uuid}/{vm.get('config.changeVersion')}"
    found = [each for each in api.snapshots(vm.get("snapshot")) if each[0] == snapshot]
    if len(found) == 1:
        return f"{uuid}/{found[0][1]}/{found[0][2]}"
    if found:
        raise Ambiguous(f"{len(found)} snapshots of {path} are named {snapshot}.", hint="Rename all but one.")
    known = sorted(each[0] for each in api.snapshots(vm.get("snapshot")))
    raise NotFound(f"{path} has no snapshot {snapshot}.", hint=f"It has: {names.listing(known) or 'none'}.", known=known)


def _folders(session: Session, options: FleetOptions, golden: Golden | None) -> tuple[tuple[str, str], tuple[str, str]]:
    """Moid and path of the folders of the clones and of the parents."""
    clones = options.folder or (golden.folder_path if golden else "")
    parents = options.parents_folder or clones
    if golden is not None:
        found = read_folders(session, golden.datacenter, [clones, parents])
    else:
        found = {text: (find_folder(session, text)._GetMoId(), names.join(names.split(text))) for text in (clones, parents)}
    return found[clones], found[parents]


def read_hosts(session: Session, datacenter: str, options: FleetOptions) -> tuple[tuple[Host, ...], dict[str, Datastore]]:
    """The hosts on which the fleet may be, in the order of their names, and all datastores that they see.

    :raises NotFound: for a cluster or host that there is not.
    """
    root = api.reference(session, "Datacenter", datacenter)
    rows = {row.moid: row for row in collect(session, [root], api.PLACES, api.TO_PLACES)}
    clusters = [row for row in rows.values() if api.is_compute_resource(row.ref)]
    wanted = {_cluster(rows, clusters, text) for text in options.clusters}
    hosts = [row for row in rows.values() if api.is_host(row.ref) and (not wanted or _moid(row.get("parent")) in wanted)]
    hosts = _chosen(hosts, options.hosts)
    datastores = {row.moid: _datastore(row) for row in rows.values() if api.is_datastore(row.ref)}
    found = [_host(row, rows) for row in hosts]
    return tuple(sorted(found, key=lambda host: names.natural(host.name))), datastores


def _cluster(rows: t.Mapping[str, Row], clusters: t.Sequence[Row], text: str) -> str:
    path = names.join(names.split(text))
    fits = [row for row in clusters if (path_in(rows, row.moid) == path if "/" in text else names.same(_name(row), text))]
    if len(fits) == 1:
        return fits[0].moid
    known = sorted(path_in(rows, row.moid) for row in fits or clusters)
    if fits:
        raise Ambiguous(f"{len(fits)} clusters are named {text}: {names.listing(known)}.", hint="Give the path of one.")
    raise NotFound(
        f"No cluster {text} was found in the datacenter of the golden VM.",
        hint=f"There are: {names.listing(known)}.",
        known=known,
    )


def _chosen(hosts: list[Row], wanted: t.Sequence[str]) -> list[Row]:
    """The hosts that are named, by their full names or the part before the first dot."""
    for text in wanted:
        if not any(_is_named(row, text) for row in hosts):
            known = sorted(_name(row) for row in hosts)
            raise NotFound(f"No host {text} was found there.", hint=f"There are: {names.listing(known)}.", known=known)
    return [row for row in hosts if not wanted or any(_is_named(row, text) for text in wanted)]


def _is_named(row: Row, text: str) -> bool:
    name = _name(row).casefold()
    return text.casefold() in (name, name.partition(".")[0])


def _host(row: Row, rows: t.Mapping[str, Row]) -> Host:
    size, used = row.get("summary.hardware.memorySize"), row.get("summary.quickStats.overallMemoryUsage")
    return Host(
        moid=row.moid,
        name=_name(row),
        cluster=_name(rows[_moid(row.get("parent"))]),
        obstacle=_obstacle(row),
        free_memory=size // _MIB - used if size is not None and used is not None else None,
        datastores=tuple(_moid(each) for each in row.get("datastore") or ()),
    )


def _obstacle(row: Row) -> str:
    if row.get("runtime.inMaintenanceMode"):
        return "it is in maintenance mode"
    if row.get("runtime.inQuarantineMode"):
        return "it is in quarantine mode"
    state = str(row.get("runtime.connectionState"))
    return "" if state == "connected" else {"notResponding": "it does not respond"}.get(state, f"it is {state}")


def _datastore(row: Row) -> Datastore:
    usable = bool(row.get("summary.accessible")) and row.get("summary.maintenanceMode") in (None, "normal")
    return Datastore(row.moid, _name(row), (row.get("summary.freeSpace") or 0) // _MIB, usable)


def _members(session: Session, folders: t.Sequence[str], kind: str) -> list[Row]:
    """What lies in the folders of the fleet."""
    roots = [api.reference(session, "Folder", moid) for moid in dict.fromkeys(folders)]
    rows = collect(session, roots, api.members(kind), api.TO_MEMBERS)
    return [row for row in rows if _moid(row.get("parent")) in folders and row.moid not in folders]


def _is_in(row: Row, folder: tuple[str, str]) -> bool:
    return _moid(row.get("parent")) == folder[0]


def _parent(row: Row, options: FleetOptions, folder: tuple[str, str]) -> Parent | None:
    """A VM with the mark of this fleet and its own name in it: clones inherit the mark, with a name that is not theirs."""
    told, name = fleet_of(api.mark(row, api.FLEET_MARK)), _name(row)
    if told is None or (told[0], told[2]) != (options.pattern.fleet, name) or not _is_in(row, folder):
        return None
    path = names.join([*names.split(folder[1]), name])
    host, ready = _moid(row.get("runtime.host")), api.ready(row, options.kind)
    return Parent(row.moid, name, path, row.get("config.instanceUuid") or "", told[1], host, ready, api.fork_group(row))


def _clone(row: Row, options: FleetOptions, parents: t.Sequence[Parent]) -> Clone | None:
    name = _name(row)
    number, told = options.pattern.number(name), fleet_of(api.mark(row, api.FLEET_MARK))
    if number is None or told is None or told[0] != options.pattern.fleet:
        return None
    of = _forked_from(row, told[2], parents) if options.kind == VMFORK else parent_of(api.mark(row, api.CLONE_MARK), name)
    if of is None:
        return None
    known = next((parent.version for parent in parents if parent.instance_uuid == of), told[1])
    return Clone(
        moid=row.moid,
        name=name,
        number=number,
        parent=of,
        version=known,
        host=_moid(row.get("runtime.host")),
        address=next(iter(usable([row.get("guest.ipAddress") or ""])), ""),
        ipv4=next((address for path in api.ADDRESSES if is_address(address := api.mark(row, path))), ""),
    )


def _forked_from(row: Row, parent_name: str, parents: t.Sequence[Parent]) -> str | None:
    """Instance UUID of the parent of a child of VMFork; empty where that is gone, None for what is no child.

    The fork group that vCenter keeps tells it, or, where a parent was disabled since and so has another one, the mark.
    """
    group = api.child_group(row)
    if not group:
        return None
    of_group = [parent.instance_uuid for parent in parents if parent.group == group]
    return next(iter(of_group + [parent.instance_uuid for parent in parents if parent.name == parent_name]), "")


def _holder(row: Row) -> str:
    if not api.is_vm(row.ref):
        return f"a {api.kind(row.ref)} holds the name"
    return "a VM that is not of this fleet holds the name"


def _name(row: Row) -> str:
    return names.unescape(row.get("name") or "")


def _moid(ref: t.Any) -> str:
    return ref._GetMoId() if ref is not None else ""
