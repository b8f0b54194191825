# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The VMs of an inventory, read in a number of calls that grows by one with each few thousand VMs.

One traversal brings the VMs, the folders above them and, where they are wanted, their hosts and
clusters. Filters by properties cost a second read: the traversal then brings nothing of the VMs but
what is filtered by, and what is asked for is read of those that pass.
"""

from __future__ import annotations

import datetime
import difflib
import typing as t

from .._connector import names
from .._connector.find import TO_NESTED_VAPPS, find_entity, path_in
from .._connector.props import Route, Row, collect, moment
from .._connector.pyvmomi import VmomiSupport, vim
from .._errors import Fault, InvalidOption, NotFound
from .._vsphere import markers
from .._vsphere.addresses import usable
from .._vsphere.vm import ABOVE, row_of
from .model import NAMES, ORIGIN, InventoryOptions, Machine, nested, origin_of, parts

if t.TYPE_CHECKING:
    from .._connector.session import Session

# Objects in one answer. A VM with the usual properties is about 3 KiB of XML, so this is some 8
# MiB; vCenter may send fewer.
_PAGE = 2500

# What is above a VM: its folders, or its vApp.
_UP = ("vm-parent", "vm-vapp")
_TO_PATHS = (
    Route("vm-parent", vim.VirtualMachine, "parent", ("parent",)),
    Route("parent", vim.ManagedEntity, "parent", ("parent",)),
    Route("vm-vapp", vim.VirtualMachine, "parentVApp", ("vapp-folder", "vapp-vapp")),
    Route("vapp-folder", vim.VirtualApp, "parentFolder", ("parent",)),
    Route("vapp-vapp", vim.VirtualApp, "parent", ("vapp-folder", "vapp-vapp")),
)

_TO_COMPUTE = (
    Route("vm-host", vim.VirtualMachine, "runtime.host", ("host-compute",)),
    Route("host-compute", vim.HostSystem, "parent"),
)

# What a folder may hold tells a folder of VMs from one of hosts.
_HOLDS = "childType"

_PLACES: dict[type, tuple[str, ...]] = {
    **ABOVE,
    vim.Folder: ("name", "parent", _HOLDS),
}
_COMPUTE_PLACES: dict[type, tuple[str, ...]] = {
    vim.HostSystem: ("name", "parent"),
    vim.ComputeResource: ("name",),
}

_MARKS = (
    markers.MARKER_KEY,
    markers.FLEET_KEY,
    markers.PACKAGE_NAME_KEY,
    markers.PACKAGE_DIGEST_KEY,
)


def read_machines(session: Session, options: InventoryOptions) -> list[Machine]:
    """The VMs of an inventory, in the order of their paths; templates too.

    :raises NotFound: nothing lies at a search path.
    :raises InvalidOption: a property that this vCenter does not have, or a
        search path of what holds no VMs.
    """
    roots = [_root(session, path) for path in options.search_paths] or [session.content.rootFolder]
    rows = _filtered(session, roots, options) if options.property_filters else _read(session, roots, options)
    fields = _custom_fields(session) if "customValue" in options.properties else {}
    parents = {uuid: _name(row) for row in rows.values() if (uuid := row.get("config.instanceUuid"))}
    vms = [row for row in rows.values() if isinstance(row.ref, vim.VirtualMachine)]
    places = _folders_of_vms(rows, roots) if options.search_paths else set()
    if places:
        vms = [row for row in vms if _is_below(rows, row, places)]
    machines = [_machine(row, rows, options, fields, parents) for row in vms]
    return sorted(machines, key=lambda machine: names.natural(machine.path))


def check_properties(options: InventoryOptions) -> None:
    """Refuse properties that VMs do not have, before anything is connected.

    :raises InvalidOption: with the nearest names.
    """
    for path in (*options.properties, *options.property_filters):
        _check_property(path)


def every_property() -> list[str]:
    """All properties of VMs that pyVmomi knows."""
    return [info.name for info in vim.VirtualMachine._GetPropertyList()]


def _read(session: Session, roots: list[t.Any], options: InventoryOptions) -> dict[str, Row]:
    """The VMs and what is around them, by moid."""
    return _collected(session, roots, {vim.VirtualMachine: _wanted(options), **_places(options)}, _routes(options, roots))


def _filtered(session: Session, roots: list[t.Any], options: InventoryOptions) -> dict[str, Row]:
    """The same of the VMs that pass the filters; of the others nothing else is read.

    The places come with the filters, so that the second call names VMs and no routes: with routes
    for each of thousands of VMs it would be many times as long as its answer.
    """
    wanted = {vim.VirtualMachine: list(options.property_filters), **_places(options)}
    rows = _collected(session, roots, wanted, _routes(options, roots), "property_filters")
    vms = {moid: row for moid, row in rows.items() if isinstance(row.ref, vim.VirtualMachine)}
    passing = [row.ref for row in vms.values() if options.passes(_plain_values(row, row.values))]
    places = {moid: row for moid, row in rows.items() if moid not in vms}
    return {**places, **_collected(session, passing, {vim.VirtualMachine: _wanted(options)}, ())}


def _wanted(options: InventoryOptions) -> list[str]:
    """The properties of VMs that are read."""
    wanted = {
        "name",
        "parent",
        "parentVApp",
        "guest.ipAddress",
        *_without_leaves(options.properties),
    }
    if options.compute:
        wanted.add("runtime.host")
    if options.origin:
        wanted |= {"config.instanceUuid", *(_pair(key) for key in _MARKS)}
    return sorted(wanted)


def _places(options: InventoryOptions) -> dict[type, tuple[str, ...]]:
    """What is read of the places that VMs are in."""
    return {**_PLACES, **_COMPUTE_PLACES} if options.compute else _PLACES


def _routes(options: InventoryOptions, roots: t.Sequence[t.Any]) -> list[Route]:
    """Down to the VMs, and from them up to the places that they are in."""
    onward = (*_UP, "vm-host") if options.compute else _UP
    routes = [*_to_vms(onward, of_compute=_may_be_compute(options, roots)), *_TO_PATHS]
    return [*routes, *_TO_COMPUTE] if options.compute else routes


def _may_be_compute(options: InventoryOptions, roots: t.Sequence[t.Any]) -> bool:
    """Whether VMs are looked for below clusters, hosts or pools: a folder of these is one by its path."""
    of_vms = all(isinstance(root, (vim.Folder, vim.Datacenter)) for root in roots)
    return not of_vms or any("host" in names.split(path) for path in options.search_paths)


def _collected(
    session: Session,
    roots: list[t.Any],
    wanted: t.Mapping[type, t.Sequence[str]],
    routes: t.Sequence[Route],
    option: str = "properties",
) -> dict[str, Row]:
    """What was read, by moid.

    :param option: that names the properties, for the message.
    """
    try:
        rows = collect(session, roots, wanted, routes, page=_PAGE)
    except Fault as fault:
        if fault.fault != "InvalidProperty":
            raise
        raise InvalidOption(
            f"This vCenter does not know one of the properties: {fault.message}",
            hint=f"It may be newer than the vCenter. Leave it out of {option}.",
            option=option,
        ) from fault
    return {row.moid: row for row in rows}


# A server that follows a route from objects of every type, as govmomi's simulator does, goes from a
# VM to its resource pool, and on to all of the VMs there.


def _folders_of_vms(rows: t.Mapping[str, Row], roots: t.Sequence[t.Any]) -> set[str]:
    """The moids of the roots, where all of them are datacenters or folders that VMs are in.

    Empty where VMs are looked for below a cluster, a host or a pool, which no VM has above it.
    """
    moids = {root._GetMoId() for root in roots}
    return moids if all(_holds_vms(root, rows.get(root._GetMoId())) for root in roots) else set()


def _holds_vms(root: t.Any, row: Row | None) -> bool:
    if isinstance(root, vim.Folder):
        return row is not None and "ComputeResource" not in (row.get(_HOLDS) or ())
    return isinstance(root, vim.Datacenter)


def _is_below(rows: t.Mapping[str, Row], vm: Row, places: t.Collection[str]) -> bool:
    """Whether one of these places is above a VM, by way of the vApps that it may be in."""
    here: Row | None = vm
    while here is not None and here.moid not in places:
        here = row_of(rows, here.get("parentVApp") or here.get("parentFolder") or here.get("parent"))
    return here is not None


def _to_vms(onward: t.Sequence[str], *, of_compute: bool) -> list[Route]:
    """From wherever VMs lie below down to them, and on along further routes.

    :param of_compute: whether that may be a cluster, a host or a pool.
    """
    pools = ("pool-pools", "pool-vms")
    further = ("compute-pool", *pools) if of_compute else ("vapp-owner",)
    down = ("folder-children", "datacenter-vms", "vapp-vms", *further, *onward)
    routes = [
        Route("folder-children", vim.Folder, "childEntity", down),
        Route("datacenter-vms", vim.Datacenter, "vmFolder", down),
        Route("vapp-vms", vim.VirtualApp, "vm", tuple(onward)),
    ]
    if not of_compute:
        return [*routes, *TO_NESTED_VAPPS]
    return [
        *routes,
        Route("compute-pool", vim.ComputeResource, "resourcePool", pools),
        Route("host-vms", vim.HostSystem, "vm", tuple(onward)),
        Route("pool-pools", vim.ResourcePool, "resourcePool", pools),
        Route("pool-vms", vim.ResourcePool, "vm", tuple(onward)),
    ]


def _root(session: Session, path: str) -> t.Any:
    found = find_entity(session, path)
    if found is None:
        raise NotFound(
            f"Nothing is at the path {path} of search_paths.",
            hint="Write whole paths, such as /DC0/vm/web for a folder or /DC0/host/cluster for a cluster.",
        )
    if not isinstance(found, (vim.Folder, vim.Datacenter, vim.ComputeResource, vim.HostSystem, vim.ResourcePool)):
        raise InvalidOption(
            f"At the path {path} of search_paths is a {type(found).__name__.rpartition('.')[2]}.",
            hint="Name datacenters, folders, clusters, hosts, resource pools or vApps.",
            option="search_paths",
        )
    return found


def _machine(
    row: Row,
    rows: t.Mapping[str, Row],
    options: InventoryOptions,
    fields: t.Mapping[int, str],
    parents: t.Mapping[str, str],
) -> Machine:
    wanted = _plain_values(row, [path for path in options.properties if row.get(path) is not None])
    if "customValue" in options.properties:
        wanted["customValue"] = {fields.get(each.key, str(each.key)): each.value for each in row.get("customValue") or ()}
    values = nested(wanted)
    values["moid"], values["path"] = row.moid, path_in(rows, row.moid)
    if options.compute:
        host = rows.get(_moid(row.get("runtime.host")))
        values["esxi_host"] = _place(host)
        values["cluster"] = _place(rows.get(_moid(host.get("parent"))) if host else None)
    if options.origin:
        pairs = {key: pair.value for key in _MARKS if (pair := row.get(_pair(key))) is not None}
        origin = origin_of(_name(row), pairs, parents)
        if origin:
            values[ORIGIN] = origin
    address = next(iter(usable([row.get("guest.ipAddress") or ""])), "")
    return Machine(row.moid, _name(row), values["path"], values, address)


def _plain_values(row: Row, paths: t.Iterable[str]) -> dict[str, t.Any]:
    """Properties of a VM as JSON has them; its name as people see it."""
    values = {path: plain(row.get(path)) for path in paths}
    return {path: names.unescape(value) if path in NAMES else value for path, value in values.items()}


def plain(value: t.Any) -> t.Any:
    """A value of vSphere as JSON has it: objects as mappings without what is unset, times as text,
    references as moids.
    """
    if value is None or type(value) in (str, int, float, bool):
        return value
    if isinstance(value, list):
        return [plain(each) for each in value]
    if isinstance(value, vim.ManagedObject):
        return value._GetMoId()
    if isinstance(value, VmomiSupport.DataObject):
        known = ((info.name, getattr(value, info.name)) for info in value._GetPropertyList())
        return {name: plain(each) for name, each in known if each is not None and not _is_empty(each)}
    if isinstance(value, datetime.datetime):
        return moment(value)
    # Enumerations, long numbers and keys are classes of their own, which Ansible would not take.
    for kind in (bool, int, float):
        if isinstance(value, kind):
            return kind(value)
    return str(value)


def _is_empty(value: t.Any) -> bool:
    # Not by comparing with []: references of pyVmomi cannot be compared with a list.
    return isinstance(value, list) and not value


def _check_property(path: str) -> None:
    """Refuse what VMs do not have, with the nearest names; what pyVmomi knows nothing of is left to
    the vCenter.

    :raises InvalidOption: naming the property.
    """
    kind: t.Any = vim.VirtualMachine
    for part in parts(path):
        name, bracket, _key = part.partition("[")
        known = {info.name: info for info in kind._GetPropertyList()} if hasattr(kind, "_GetPropertyList") else {}
        if not known:
            return
        if name not in known:
            near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
            raise InvalidOption(
                f"VMs have no property {path}: there is no {name} in it.",
                hint=f"Nearest names: {', '.join(near)}." if near else "See VirtualMachine in vSphere's API reference.",
                option="properties",
            )
        kind = known[name].type
        if issubclass(kind, list):
            if not bracket:
                return
            kind = kind.Item


def _without_leaves(paths: t.Iterable[str]) -> list[str]:
    """The paths that no other one holds."""
    whole = set(paths)
    return [path for path in whole if not any(path.startswith(f"{other}.") for other in whole)]


def _custom_fields(session: Session) -> dict[int, str]:
    """Names of the custom attributes by key."""
    manager = session.content.customFieldsManager
    if manager is None:
        return {}
    rows = collect(session, [manager], {vim.CustomFieldsManager: ("field",)})
    return {field.key: field.name for row in rows for field in row.get("field") or ()}


def _place(row: Row | None) -> dict[str, str]:
    return {"name": _name(row), "moid": row.moid} if row else {"name": "", "moid": ""}


def _pair(key: str) -> str:
    return f'config.extraConfig["{key}"]'


def _name(row: Row) -> str:
    return names.unescape(row.get("name") or "")


def _moid(ref: t.Any) -> str:
    return ref._GetMoId() if ref is not None else ""
