# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where each clone goes, and what has to be done for it. Pure."""

from __future__ import annotations

import dataclasses
import typing as t

from ..._connector import names
from ..._engine import Difference
from ..._errors import InvalidOption
from ..._vsphere.places import Pool, fitting_pools
from .. import plan
from ..facts import Existing, Parent
from ..plan import Placement, Step
from ..request import CloneRequest, Hardware
from . import levels
from .facts import Compute, Host, Sight, Source
from .options import FULL, LinkedOptions, SnapshotSelector

_ROOT_POOL = "Resources"


def find_snapshot(source: Source, wanted: SnapshotSelector | None) -> str:
    """The moid of the snapshot that is asked for; empty where none is.

    :raises InvalidOption: when there is no such one, or several; the hint lists those that there are.
    """
    if wanted is None:
        return ""
    fits = _fitting(source, wanted)
    if len(fits) == 1:
        return fits[0]
    listing = names.listing([f"{item.path} ({item.moid})" for item in source.snapshots]) or "none"
    if fits:
        raise InvalidOption(
            f"{len(fits)} snapshots of {source.path} are named {wanted.path}.",
            hint=f"Give the path in the tree, or the moid, of one: {listing}.",
            option="snapshot",
        )
    raise InvalidOption(f"{source.path} has no {wanted}.", hint=f"Its snapshots: {listing}.", option="snapshot")


def _fitting(source: Source, wanted: SnapshotSelector) -> list[str]:
    """The moids of the snapshots that fit; one whose whole path is given comes before those that only have the name."""
    if wanted.current:
        return [source.current] if source.current else []
    if wanted.moid:
        return [item.moid for item in source.snapshots if item.moid == wanted.moid]
    whole = [item.moid for item in source.snapshots if item.path == wanted.path]
    return whole or [item.moid for item in source.snapshots if item.name == wanted.path]


def choose_host(request: CloneRequest, source: Source, computes: t.Sequence[Compute]) -> tuple[Compute, Host, bool]:
    """The compute resource that a clone goes to, a host of it, and whether this host is to be told to vCenter.

    Where DRS would choose a host, the one here only stands for all of them: it tells what networks and datastores there are.

    :raises InvalidOption: when a name means nothing, or no host can take the clone.
    """
    if request.host:
        compute, host = _asked_host(request, computes)
        return compute, host, True
    compute = _asked_compute(request, source, computes)
    able = [host for host in compute.hosts if host.available and source.home & host.datastores]
    own = next((host for host in able if host.moid == source.host), None)
    if not able:
        raise InvalidOption(
            f"clone {request.name!r}: no host of {compute.name} can take it: each is in maintenance mode, not connected, or "
            f"does not see the datastore of {source.path}.",
            hint=f"Hosts: {names.listing([host.name for host in compute.hosts]) or 'none'}.",
            option="resource_pool",
        )
    return compute, own or able[0], not compute.balanced


def _asked_host(request: CloneRequest, computes: t.Sequence[Compute]) -> tuple[Compute, Host]:
    every = [(compute, host) for compute in computes for host in compute.hosts]
    fits = [(compute, host) for compute, host in every if request.host in (host.moid, host.name)]
    if len(fits) != 1:
        near = names.nearest(request.host or "", [host.name for _compute, host in every])
        raise InvalidOption(
            f"clone {request.name!r}: {len(fits) or 'no'} hosts of the datacenter are named {request.host}.",
            hint=f"Nearest: {names.listing(near or sorted(host.name for _compute, host in every), most=20)}.",
            option="host",
        )
    compute, host = fits[0]
    if not host.available:
        raise InvalidOption(
            f"clone {request.name!r}: the host {host.name} is in maintenance mode or not connected.",
            hint="Bring it back, or choose another.",
            option="host",
        )
    if request.resource_pool and not fitting_pools(compute.pools, compute.name, request.resource_pool):
        raise InvalidOption(
            f"clone {request.name!r}: the resource pool {request.resource_pool} is not one of {compute.name}, to which "
            f"{host.name} belongs.",
            hint=f"Pools that would do: {names.listing([pool.path for pool in compute.pools], most=20)}.",
            option="resource_pool",
        )
    return compute, host


def _asked_compute(request: CloneRequest, source: Source, computes: t.Sequence[Compute]) -> Compute:
    """Where the pool is that is asked for, first of all around the source; around it where none is asked for."""
    own = [compute for compute in computes if any(host.moid == source.host for host in compute.hosts)]
    if not request.resource_pool:
        if not own:
            raise InvalidOption(
                f"clone {request.name!r}: the host of {source.path} cannot be read, so nothing tells where it is to go.",
                hint="Set resource_pool or host.",
                option="resource_pool",
            )
        return own[0]
    for near in (own, computes):
        fits = [compute for compute in near if fitting_pools(compute.pools, compute.name, request.resource_pool)]
        if len(fits) == 1:
            return fits[0]
    paths = sorted(f"{compute.name}/{pool.path}" for compute in fits or computes for pool in compute.pools)
    raise InvalidOption(
        f"clone {request.name!r}: {len(fits) or 'no'} clusters have the resource pool {request.resource_pool}.",
        hint=f"Give the path of one, such as: {names.listing(paths, most=20)}.",
        option="resource_pool",
        allowed=paths,
    )


def around(source: Source, chosen: tuple[Compute, Host, bool], sight: Sight) -> Source:
    """The source with the surroundings of the place that a clone goes to."""
    compute, host, send = chosen
    has_pool = any(pool.moid == source.pool for pool in compute.pools)
    return dataclasses.replace(
        source,
        host=host.moid,
        host_name=host.name,
        host_available=host.available,
        compute_resource=compute.name,
        pools=compute.pools,
        pool=source.pool if has_pool else _root(compute.pools),
        networks=sight.networks,
        datastores=sight.datastores,
        send_host=send,
    )


def _root(pools: t.Iterable[Pool]) -> str:
    return next((pool.moid for pool in pools if pool.path == _ROOT_POOL), "")


def needs_layer(source: Source, options: LinkedOptions, snapshot: str) -> bool:
    """Whether the source gets a layer before it is cloned.

    :raises InvalidOption: when it has nothing that linked clones could share and gets no layer, saying what to do about it.
    """
    bare = [disk.label for disk in source.disks if disk.layers < 2]
    if options.disk_mode == FULL or snapshot or not bare:
        return False
    known = names.listing([item.path for item in source.snapshots])
    advice = f"Set snapshot to one of its snapshots ({known})." if known else "Make a snapshot and set it, or set add_layer."
    if source.template:
        advice = "Make it a VM, take a snapshot, make it a template again, and set snapshot; or use disk_mode full."
    elif options.add_layer and source.power_state == "poweredOff" and not source.snapshots:
        return True
    elif options.add_layer:
        advice = "A layer can be added only while it is off and has no snapshot. Otherwise set snapshot."
    raise InvalidOption(
        f"{source.path} has no layer that linked clones could share: {names.listing(bare)} of it.",
        hint=advice,
        option="snapshot",
    )


def disk_source(disk_mode: str, snapshot: str) -> str:
    """What the disks of a clone are made of: ``full``, ``snapshot`` or ``layers``."""
    if disk_mode == FULL:
        return "full"
    return "snapshot" if snapshot else "layers"


def place(request: CloneRequest, source: Source, folders: t.Mapping[str, tuple[str, str]]) -> Placement:
    """Turn the names of a request into what they mean where the clone goes.

    :raises InvalidOption: when a name means nothing there; the hint lists what would do.
    """
    placement = plan.place(request, source, folders)
    return dataclasses.replace(placement, host=source.host if source.send_host else None)


P = t.TypeVar("P", bound=Parent)


def made_of(existing: Existing | None, source: P, others: t.Collection[str]) -> P:
    """The source as the version that an existing clone was made of, where that is another one that counts too.

    :param others: instance UUIDs of the other versions of the source.
    """
    uuid = (existing.parent_uuid() or "").lower() if existing else ""
    return dataclasses.replace(source, instance_uuid=uuid) if uuid in others else source


def of_version(step: Step, source: Source) -> Step:
    """The step for a clone of what may be another version, as one for a clone of the source, to which it is a difference."""
    if step.source.instance_uuid == source.instance_uuid:
        return step
    actual, why_not = f"another version ({step.source.instance_uuid})", "its disks are those of the version it was made of"
    other = Difference("source", actual, source.path, f"{why_not}: remove it and make it anew")
    return dataclasses.replace(step, parent=source, differences=(other, *step.differences))


def present(
    request: CloneRequest, placement: Placement, existing: Existing | None, source: Source, options: LinkedOptions
) -> Step:
    """The step that brings a clone to what is asked."""
    if existing is not None and (existing.template or options.as_template):
        return _level(request, placement, existing, source, options)
    # It is customized by the call that makes it, never afterwards.
    step = plan.present(dataclasses.replace(request, customization=None), placement, existing, source)
    step = dataclasses.replace(step, request=request)
    if existing is None:
        return dataclasses.replace(step, hardware=request.hardware)
    if step.kind == plan.CONFLICT:
        return step
    hardware, differences = _hardware(request.hardware, existing)
    differences += _fixed(request, placement, existing)
    power_on = request.powered_on and existing.power_state != "poweredOn"
    if power_on:
        differences.append(Difference("power_state", existing.power_state, "poweredOn"))
    changes = step.kind == plan.UPDATE or hardware or power_on
    return dataclasses.replace(
        step,
        kind=plan.UPDATE if changes else plan.KEEP,
        differences=(*step.differences, *differences),
        hardware=hardware,
        power_on=power_on,
    )


def _level(request: CloneRequest, placement: Placement, existing: Existing, source: Source, options: LinkedOptions) -> Step:
    """A template, or what is to become one, is never changed: others build on it, or its maker is at work in it."""
    reason = plan.why_stranger(existing, source.instance_uuid)
    if not reason and not options.as_template:
        reason = "a template holds the name"
    if not reason and not existing.template and levels.owner_of(existing) is None and not levels.is_layered(existing):
        reason = "a clone that is not to become a template holds the name"
    return Step(request, plan.CONFLICT if reason else plan.KEEP, source, placement, existing, reason=reason)


def published(request: CloneRequest, existing: Existing | None, source: Parent) -> Step:
    """The step that makes a template of a clone."""
    reason = "it is not there" if existing is None else plan.why_stranger(existing, source.instance_uuid)
    if reason or existing is None:
        return Step(request, plan.CONFLICT, source, existing=existing, reason=reason)
    if existing.template:
        return Step(request, plan.KEEP, source, existing=existing)
    change = Difference("template", "no", "yes")
    return Step(request, plan.UPDATE, source, existing=existing, differences=(change,), publish=True)


def absent(
    request: CloneRequest, existing: Existing | None, source: Parent | None, used: t.Collection[str], *, force: bool
) -> Step:
    """The step that removes a clone, or a template that was one.

    :param used: the names of VMs that use its disks, and stay.
    """
    step = plan.absent(request, existing, source, force, templates=True)
    if step.kind != plan.DESTROY or not used:
        return step
    reason = f"its disks are used by {names.listing(sorted(used), most=5)}"
    return dataclasses.replace(step, kind=plan.CONFLICT, reason=reason, advice="Remove those first, or in the same task.")


def _hardware(wanted: Hardware, existing: Existing) -> tuple[Hardware, list[Difference]]:
    """Of the hardware asked for, what the VM still needs and may get in its power state, and every difference."""
    now, off = existing.hardware, existing.power_state == "poweredOff"
    found, changes = [], {}
    for field in dataclasses.fields(Hardware):
        asked, actual = getattr(wanted, field.name), getattr(now, field.name)
        if asked is None or asked == (actual or ("" if field.name == "annotation" else actual)):
            continue
        why_not = "" if off else _why_not_running(field.name, asked, actual, existing)
        found.append(Difference(_TITLES[field.name], _shown(actual), _shown(asked), why_not))
        if not why_not:
            changes[field.name] = asked
    return Hardware(**changes), found


_TITLES = {
    "cpus": "cpu.cores",
    "cores_per_socket": "cpu.cores_per_socket",
    "memory_mb": "memory.size_mb",
    "annotation": "annotation",
}


def _shown(value: t.Any) -> str:
    return "" if value is None else str(value)


def _why_not_running(what: str, asked: t.Any, actual: t.Any, existing: Existing) -> str:
    """Why a running VM cannot get this, or an empty text when it can."""
    hot_add = {"cpus": existing.hot_add_cpu, "memory_mb": existing.hot_add_memory}
    if what == "annotation":
        return ""
    if what not in hot_add:
        return "it takes the VM to be powered off"
    if asked < (actual or 0):
        return "a running VM cannot be given less: power it off first"
    return "" if hot_add[what] else "hot-add is switched off in this VM: power it off first"


def _fixed(request: CloneRequest, placement: Placement, existing: Existing) -> list[Difference]:
    """What a clone gets when it is made and keeps, beside what every clone does."""
    found = []
    if request.host and placement.host != existing.host:
        found.append(Difference("host", existing.host_name, request.host, "it takes a migration, which is not this module's"))
    if request.customization is not None and not existing.customized():
        found.append(Difference("customization", "not done", "done", "it is done when a clone is made"))
    return found


def expected(step: Step) -> Existing:
    """What a new clone will be, as far as that is known before it is made: for check mode."""
    vm = plan.expected(step)
    vm = dataclasses.replace(vm, power_state="poweredOn" if step.request.powered_on else "poweredOff")
    return vm if step.target.host else dataclasses.replace(vm, host="", host_name="")
