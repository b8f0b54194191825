# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What there is, read from vCenter: each function is a constant number of calls, and one task a
parent for its children.

VMFork's methods and their one data type, which no SDK has, are as clients of vSphere 6.0 and 6.5
have been seen to use them.
"""

from __future__ import annotations

import dataclasses
import typing as t

from .._connector import versions
from .._connector.batch import Work, fill_in_results, run_batch
from .._connector.find import TO_ANCESTORS, find_each, path_in
from .._connector.props import Row, collect
from .._connector.pyvmomi import vim
from .._connector.undocumented import Method, Property, add_data_type, add_methods
from .._errors import NotFound, VforgeError
from .._vsphere import compute, freeze, guest
from .._vsphere.addresses import GuestNic, guest_nics
from .._vsphere.freeze import Found, found_in
from .._vsphere.snapshots import snapshots_in
from .._vsphere.vm import (
    ABOVE,
    BASICS,
    DEVICES,
    basics,
    config_in,
    datacenter_of,
    is_readable,
    kind_of,
    moid_of,
    nics_in,
    reference,
)
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

_FORK = "config.forkConfigInfo"
_PLACE = ("runtime.host", "resourcePool", "datastore")

PARENT: dict[type, tuple[str, ...]] = {
    **ABOVE,
    **compute.COMPUTES,
    guest.MANAGER: guest.MANAGERS,
    vim.VirtualMachine: (
        *BASICS,
        *_PLACE,
        *guest.VM_ACCESS,
        *freeze.PARENT_PATHS,
        _FORK,
        "config.uuid",
        "runtime.quiescedForkParent",
        "snapshot",
    ),
    vim.HostSystem: (*guest.HOST_ACCESS, *compute.HOST, "datastore"),
    vim.Datastore: ("name", "summary.accessible"),
}
AROUND_PARENT = (
    *TO_ANCESTORS,
    compute.VM_TO_HOST,
    *compute.HOST_TO_POOLS,
    compute.HOST_TO_DATASTORES,
)

# What is said of the children that a parent has.
LISTED: dict[type, tuple[str, ...]] = {
    **ABOVE,
    vim.ManagedEntity: ("name", "parent"),
    vim.VirtualMachine: (*BASICS, _FORK, "runtime.host"),
    vim.HostSystem: ("name",),
}
TO_LISTED = (*TO_ANCESTORS, compute.VM_TO_HOST)

# What is compared with what is asked for.
WANTED: dict[type, tuple[str, ...]] = {
    **LISTED,
    vim.VirtualMachine: (*BASICS, *_PLACE, _FORK, DEVICES, "guest.net", "config.extraConfig"),
    vim.ResourcePool: ("name",),
    vim.Datastore: ("name",),
}
TO_WANTED = (*TO_ANCESTORS, *compute.TO_PLACES)


def require_vmfork(session: Session) -> None:
    """Make sure that this vCenter has VMFork, which were the releases 6.0 and 6.5.

    PyVmomi then has its methods.

    :raises NotSupported: on any other; nothing was sent.
    """
    versions.require_vmfork(session)
    child_spec()
    add_methods(vim.VirtualMachine, METHODS)


def child_spec() -> t.Any:
    """The type ``VirtualMachineCreateChildSpec``, which pyVmomi does not have by itself."""
    return add_data_type(_SPEC, "VirtualMachineCreateChildSpec", _SINCE, _SPEC_PROPERTIES)


def start_children(session: Session, moid: str) -> t.Any:
    """``RetrieveForkChildren_Task``; the task's result is a list of VMs."""
    return reference(session, moid).RetrieveForkChildren_Task()


def start_parent(session: Session, moid: str) -> t.Any:
    """``RetrieveForkParent_Task``; the task's result is a VM, or nothing."""
    return reference(session, moid).RetrieveForkParent_Task()


_PARALLEL = 8


def find_parents(
    session: Session, selectors: t.Sequence[Selector], datacenter: str | None, deadline: float
) -> list[Found[Parent] | VforgeError]:
    """The VMs that the selectors name, in their order, with their children.

    :returns: in the place of one of several that is not found, why not.
    :raises VforgeError: nothing can be found, or two selectors fit the same VM.
    """

    def read(moids: list[str]) -> dict[str, Found[Parent]]:
        known = _read_parents(session, moids)
        families = read_families(session, [each.parent for each in known.values()], deadline)
        return {moid: dataclasses.replace(each, parent=families[moid]) for moid, each in known.items()}

    return find_each(session, selectors, datacenter, read, "parents")


def read_parents(session: Session, moids: t.Sequence[str], deadline: float) -> dict[str, Parent]:
    """What is known of these parents now, with their children, by moid.

    One that cannot be read is left out.
    """
    known = [found.parent for found in _read_parents(session, moids).values()]
    return read_families(session, known, deadline)


def _read_parents(session: Session, moids: t.Sequence[str]) -> dict[str, Found[Parent]]:
    if not moids:
        return {}
    roots = [*(reference(session, moid) for moid in moids), *guest.managers(session)]
    rows = {row.moid: row for row in collect(session, roots, PARENT, AROUND_PARENT)}
    shown = [moid for moid in moids if is_readable(rows.get(moid))]
    return {moid: found_in(session, rows, _parent(rows, rows[moid])) for moid in shown}


def _parent(rows: t.Mapping[str, Row], vm: Row) -> Parent:
    fork, folder, datacenter = vm.get(_FORK), moid_of(vm.get("parent")), datacenter_of(rows, vm)
    return Parent(
        **freeze.parent_basics(rows, vm),
        bios_uuid=vm.get("config.uuid") or "",
        enabled=bool(fork and fork.parentEnabled),
        quiesced=bool(vm.get("runtime.quiescedForkParent")),
        group_id=(fork and fork.parentForkGroupId) or "",
        child_type=_child_type(fork),
        child_group_id=(fork and fork.childForkGroupId) or "",
        known=fork is not None,
        snapshots=tuple(item.name for item in snapshots_in(vm.get("snapshot"))),
        folder=folder,
        folder_path=path_in(rows, folder),
        datacenter=datacenter.moid if datacenter else "",
        place=compute.place_in(rows, vm),
        around=compute.surroundings_in(rows, vm),
    )


def _child_type(fork: t.Any) -> str:
    return str(fork.childType) if fork and fork.childType else NONE


def read_families(session: Session, parents: t.Sequence[Parent], deadline: float) -> dict[str, Parent]:
    """The parents with their children and, of one that is a child itself, its own parent, as
    vCenter reports them.

    :raises VforgeError: what kept vCenter from telling.
    """
    works = [Work(_children_of(item), _asking(start_children, session, item)) for item in parents if item.known]
    works += [Work(_parent_of(item), _asking(start_parent, session, item)) for item in parents if item.child_group_id]
    if not works:
        return {item.moid: item for item in parents}
    done = run_batch(session, works, _PARALLEL, deadline, "parents asked for their children")
    for outcome in done.failed:
        raise (outcome.error or done.stopped or NotFound(f"vCenter did not return the {outcome.name}."))
    fill_in_results(session, done.outcomes.values())
    found = {name: outcome.result for name, outcome in done.outcomes.items()}
    listed = {item.moid: list(found.get(_children_of(item)) or ()) for item in parents}
    origins = {item.moid: found.get(_parent_of(item)) for item in parents}
    refs = [
        *(ref for refs in listed.values() for ref in refs),
        *(ref for ref in origins.values() if ref is not None),
    ]
    known = read_listed(session, refs)
    return {
        item.moid: dataclasses.replace(
            item,
            children=tuple(sorted(_known(known, listed[item.moid]), key=lambda child: child.path)),
            origin=known.get(moid_of(origins[item.moid])),
        )
        for item in parents
    }


# With the moid: two VMs may have one path, where this user may not see the folders above them.


def _children_of(parent: Parent) -> str:
    return f"children of {parent.path} ({parent.moid})"


def _parent_of(parent: Parent) -> str:
    return f"parent of {parent.path} ({parent.moid})"


def _asking(start: t.Callable[[Session, str], t.Any], session: Session, parent: Parent) -> t.Callable[[], t.Any]:
    return lambda: start(session, parent.moid)


def _known(known: t.Mapping[str, Child], refs: t.Iterable[t.Any]) -> t.Iterator[Child]:
    """One that this user may not see, or that is gone by now, is left out."""
    for ref in refs:
        if moid_of(ref) in known:
            yield known[moid_of(ref)]


def read_listed(session: Session, refs: t.Sequence[t.Any]) -> dict[str, Child]:
    """What vCenter lists of the children that a parent has, by moid."""
    return _read_children(session, refs, LISTED, TO_LISTED)


def read_wanted(session: Session, refs: t.Sequence[t.Any]) -> dict[str, Child]:
    """The same with what is compared with what is asked for: place, parameters, addresses."""
    return _read_children(session, refs, WANTED, TO_WANTED)


def _read_children(
    session: Session,
    refs: t.Sequence[t.Any],
    wanted: t.Mapping[type, t.Sequence[str]],
    routes: t.Sequence[t.Any],
) -> dict[str, Child]:
    rows = {row.moid: row for row in collect(session, refs, wanted, routes)}
    return {moid_of(ref): _child(rows, rows[moid_of(ref)]) for ref in refs if moid_of(ref) in rows}


def _child(rows: t.Mapping[str, Row], vm: Row) -> Child:
    fork = vm.get(_FORK)
    return Child(
        **basics(rows, vm),
        kind=kind_of(vm.ref),
        place=compute.place_in(rows, vm),
        child_type=_child_type(fork),
        group_id=(fork and fork.childForkGroupId) or "",
        macs=tuple(nic.mac for nic in nics_in(vm.get(DEVICES) or (), running=False)),
        guest=guest_of(vm.get("guest.net")),
        config=config_in(vm.values),
    )


def guest_of(net: t.Iterable[t.Any] | None) -> tuple[GuestNic, ...]:
    """A guest's network, from ``guest.net``."""
    return tuple(guest_nics(net or ()))
