# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What there is, read from vCenter: each function is a constant number of calls, and one task a parent for its children.

VMFork's methods and their one data type, which no SDK has, are as clients of vSphere 6.0 and 6.5 have been seen to use them.
"""

from __future__ import annotations

import dataclasses
import typing as t

from .._connector import names, releases
from .._connector.batch import Work, run_batch
from .._connector.find import TO_ANCESTORS, find_each, path_in, unreadable
from .._connector.props import Route, Row, collect
from .._connector.pyvmomi import vim
from .._connector.unofficial import Method, Property, add_data_type, add_methods
from .._errors import NotFound
from .._vsphere import guest
from .._vsphere.addresses import GuestNic, guest_nics
from .._vsphere.freezing import FROZEN_PATH, Found, found_in, record_in
from .._vsphere.guest import tools_ready
from .._vsphere.places import Pool, is_available, pools_in
from .model import NONE, Child, Parent

if t.TYPE_CHECKING:
    from .._connector.find import Selector
    from .._connector.session import Session

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
        FROZEN_PATH,
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
    child_spec()
    add_methods(vim.VirtualMachine, METHODS)


def child_spec() -> t.Any:
    """The type ``VirtualMachineCreateChildSpec``, which pyVmomi does not have by itself."""
    return add_data_type(_SPEC, "VirtualMachineCreateChildSpec", _SINCE, _SPEC_PROPERTIES)


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


def start_children(session: Session, moid: str) -> t.Any:
    """``RetrieveForkChildren_Task``; the task's result is a list of VMs."""
    return vm(session, moid).RetrieveForkChildren_Task()


def start_parent(session: Session, moid: str) -> t.Any:
    """``RetrieveForkParent_Task``; the task's result is a VM, or nothing."""
    return vm(session, moid).RetrieveForkParent_Task()


_PARALLEL = 8


def find_parents(
    session: Session, selectors: t.Sequence[Selector], datacenter: str | None, deadline: float
) -> list[Found[Parent]]:
    """The VMs that the selectors name, in their order, with their children.

    :raises NotFound: one of them fits no VM.
    :raises InvalidOption: two of them fit the same one.
    """
    moids = [ref._GetMoId() for ref in find_each(session, selectors, datacenter)]
    found = _read_parents(session, moids)
    for moid, selector in zip(moids, selectors, strict=True):
        if moid not in found:
            raise unreadable(selector)
    families = read_families(session, [found[moid].parent for moid in moids], deadline)
    return [dataclasses.replace(found[moid], parent=families[moid]) for moid in moids]


def read_parents(session: Session, moids: t.Sequence[str], deadline: float) -> dict[str, Parent]:
    """What is known of these parents now, with their children, by moid; one that cannot be read is left out."""
    known = [found.parent for found in _read_parents(session, moids).values()]
    return read_families(session, known, deadline)


def _read_parents(session: Session, moids: t.Sequence[str]) -> dict[str, Found[Parent]]:
    if not moids:
        return {}
    roots = [*(vm(session, moid) for moid in moids), session.content.guestOperationsManager]
    rows = {row.moid: row for row in collect(session, roots, PARENT, AROUND_PARENT)}
    shown = [moid for moid in moids if moid in rows and rows[moid].get("config.instanceUuid")]
    return {moid: found_in(session, rows, _parent(rows, rows[moid])) for moid in shown}


def _parent(rows: t.Mapping[str, Row], vm: Row) -> Parent:
    host = rows.get(_moid(vm.get("runtime.host")))
    compute = rows.get(_moid(host.get("parent"))) if host else None
    folder = _moid(vm.get("parent"))
    fork = vm.get("config.forkConfigInfo")
    return Parent(
        moid=vm.moid,
        name=_name(vm),
        path=path_in(rows, vm.moid),
        instance_uuid=vm.get("config.instanceUuid") or "",
        bios_uuid=vm.get("config.uuid") or "",
        power_state=str(vm.get("runtime.powerState")),
        template=bool(vm.get("config.template")),
        enabled=bool(fork and fork.parentEnabled),
        quiesced=bool(vm.get("runtime.quiescedForkParent")),
        group_id=(fork and fork.parentForkGroupId) or "",
        child_type=str(fork.childType) if fork and fork.childType else NONE,
        child_group_id=(fork and fork.childForkGroupId) or "",
        known=fork is not None,
        tools=tools_ready(vm.values),
        tools_installed=vm.get("guest.toolsVersionStatus2") != "guestToolsNotInstalled",
        snapshots=root_snapshots(vm.get("snapshot")),
        folder=folder,
        folder_path=path_in(rows, folder),
        datacenter=_datacenter(rows, vm),
        pool=_moid(vm.get("resourcePool")),
        host_name=_name(host),
        host_available=is_available(host),
        compute_resource=_name(compute),
        pools=tuple(sorted(_own_pools(rows, compute), key=lambda pool: pool.path)),
        datastores={_name(rows[moid]): moid for moid in _datastores(rows, host)},
        datastore_names=tuple(_name(rows.get(_moid(ref))) for ref in vm.get("datastore") or ()),
        record=record_in(vm.values, vm.get("config.instanceUuid") or ""),
    )


def read_families(session: Session, parents: t.Sequence[Parent], deadline: float) -> dict[str, Parent]:
    """The parents with their children and, of one that is a child itself, its own parent, as vCenter tells them.

    :raises VforgeError: what kept vCenter from telling.
    """
    works = [Work(f"children of {item.path}", _asking(start_children, session, item)) for item in parents if item.known]
    works += [Work(f"parent of {item.path}", _asking(start_parent, session, item)) for item in parents if item.child_group_id]
    if not works:
        return {item.moid: item for item in parents}
    done = run_batch(session, works, _PARALLEL, deadline, "parents asked for their children")
    for outcome in done.failed:
        raise outcome.error or done.stopped or NotFound(f"The {outcome.name} are not told.")
    told = {name: outcome.result for name, outcome in done.outcomes.items()}
    listed = {item.moid: list(told.get(f"children of {item.path}") or ()) for item in parents}
    origins = {item.moid: told.get(f"parent of {item.path}") for item in parents}
    refs = [*(ref for refs in listed.values() for ref in refs), *(ref for ref in origins.values() if ref is not None)]
    known = read_listed(session, refs)
    return {
        item.moid: dataclasses.replace(
            item,
            children=tuple(sorted(_known(known, listed[item.moid]), key=lambda child: child.path)),
            origin=known.get(_moid(origins[item.moid])),
        )
        for item in parents
    }


def _asking(start: t.Callable[[Session, str], t.Any], session: Session, parent: Parent) -> t.Callable[[], t.Any]:
    return lambda: start(session, parent.moid)


def _known(known: t.Mapping[str, Child], refs: t.Iterable[t.Any]) -> t.Iterator[Child]:
    """One that this user may not see, or that is gone by now, is left out."""
    for ref in refs:
        if _moid(ref) in known:
            yield known[_moid(ref)]


def read_listed(session: Session, refs: t.Sequence[t.Any]) -> dict[str, Child]:
    """What is told of the children that a parent has, by moid."""
    return _read_children(session, refs, LISTED, TO_LISTED)


def read_wanted(session: Session, refs: t.Sequence[t.Any]) -> dict[str, Child]:
    """The same with what is compared with what is asked for: place, parameters, addresses."""
    return _read_children(session, refs, WANTED, TO_WANTED)


def _read_children(
    session: Session, refs: t.Sequence[t.Any], wanted: t.Mapping[type, t.Sequence[str]], routes: t.Sequence[t.Any]
) -> dict[str, Child]:
    rows = {row.moid: row for row in collect(session, refs, wanted, routes)}
    return {_moid(ref): _child(rows, rows[_moid(ref)]) for ref in refs if _moid(ref) in rows}


def _child(rows: t.Mapping[str, Row], vm: Row) -> Child:
    fork = vm.get("config.forkConfigInfo")
    datastores = tuple(_moid(ref) for ref in vm.get("datastore") or ())
    pool = _moid(vm.get("resourcePool"))
    return Child(
        moid=vm.moid,
        name=_name(vm),
        path=path_in(rows, vm.moid),
        kind=kind(vm.ref),
        instance_uuid=vm.get("config.instanceUuid") or "",
        power_state=str(vm.get("runtime.powerState") or ""),
        host_name=_name(rows.get(_moid(vm.get("runtime.host")))),
        pool=pool,
        pool_name=_name(rows.get(pool)),
        datastores=datastores,
        datastore_names=tuple(_name(rows.get(moid)) for moid in datastores),
        child_type=str(fork.childType) if fork and fork.childType else NONE,
        group_id=(fork and fork.childForkGroupId) or "",
        macs=macs(vm.get("config.hardware.device") or ()),
        guest=guest_of(vm.get("guest.net")),
        config={pair.key: str(pair.value) for pair in vm.get("config.extraConfig") or ()},
    )


def guest_of(net: t.Iterable[t.Any] | None) -> tuple[GuestNic, ...]:
    """A guest's network, from ``guest.net``."""
    return tuple(guest_nics(net or ()))


def _own_pools(rows: t.Mapping[str, Row], compute: Row | None) -> t.Iterator[Pool]:
    """The pools of one compute resource: with parents on several hosts there are those of others among the rows."""
    own = {moid: row for moid, row in rows.items() if compute is not None and _moid(row.get("owner")) == compute.moid}
    return pools_in(own)


def _datastores(rows: t.Mapping[str, Row], host: Row | None) -> list[str]:
    """The datastores that a host reaches."""
    moids = [_moid(ref) for ref in (host.get("datastore") if host else None) or ()]
    return [moid for moid in moids if moid in rows and rows[moid].get("summary.accessible")]


def _datacenter(rows: t.Mapping[str, Row], vm: Row) -> str:
    here: Row | None = vm
    while here is not None and not is_datacenter(here.ref):
        above = here.get("parentVApp") or here.get("parentFolder") or here.get("parent")
        here = rows.get(_moid(above))
    return here.moid if here is not None else ""


def _name(row: Row | None) -> str:
    return names.unescape(row.get("name") or "") if row else ""


def _moid(ref: t.Any) -> str:
    return ref._GetMoId() if ref is not None else ""
