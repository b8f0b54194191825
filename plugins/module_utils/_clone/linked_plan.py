# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What linked and full clones have of their own.

Which snapshot, which host, and what becomes of templates. Pure.
"""

from __future__ import annotations

import dataclasses
import typing as t

from .._connector import names
from .._engine import Difference
from .._errors import InvalidOption
from .._vsphere import disks
from .._vsphere.compute import Compute, Host, Surroundings, fitting_pools
from . import plan
from .model import (
    COPIES,
    FULL,
    OF_DELTAS,
    OF_SNAPSHOT,
    CloneRequest,
    Existing,
    LinkedOptions,
    Parent,
    Source,
)
from .plan import Change, Create, Leave, Placement, Plan, Publish


@dataclasses.dataclass(frozen=True)
class Choice:
    """Where a clone goes: a compute resource, and a host of it.

    :ivar send_host: whether the host goes into the call. Where DRS chooses one, this host only
        shows what networks and datastores there are.
    """

    compute: Compute
    host: Host
    send_host: bool


def choose_host(request: CloneRequest, source: Source, computes: t.Sequence[Compute]) -> Choice:
    """The compute resource that a clone goes to, and a host of it.

    :raises InvalidOption: when a name means nothing, or no host can take the clone.
    """
    if request.host:
        compute, host = _asked_host(request, computes)
        return Choice(compute, host, send_host=True)
    compute, there = _asked_compute(request, source, computes), source.place.datastores
    able = [host for host in compute.hosts if host.available and host.datastores.intersection(there)]
    own = next((host for host in able if host.moid == source.place.host), None)
    if not able:
        raise InvalidOption(
            f"clone {request.name!r}: no host of {compute.name} can take it: each is in maintenance mode, not connected, "
            f"or does not see the datastore of {source.path}.",
            hint=f"Hosts: {names.listing([host.name for host in compute.hosts]) or 'none'}.",
            option="resource_pool",
        )
    # The disks of a source may be on several datastores.
    best = max(able, key=lambda host: len(host.datastores.intersection(there)))
    return Choice(compute, own or best, send_host=not compute.balanced)


def _asked_host(request: CloneRequest, computes: t.Sequence[Compute]) -> tuple[Compute, Host]:
    every = [(compute, host) for compute in computes for host in compute.hosts]
    text = request.host or ""
    fits = [(compute, host) for compute, host in every if text == host.moid or names.same(host.name, text)]
    if len(fits) != 1:
        known = [host.name for _compute, host in every]
        near = names.nearest(request.host or "", known)
        raise InvalidOption(
            f"clone {request.name!r}: {len(fits) or 'no'} hosts of the datacenter are named {request.host}.",
            hint=f"Nearest: {names.listing(near or sorted(known), most=20)}.",
            option="host",
        )
    compute, host = fits[0]
    if not host.available:
        raise InvalidOption(
            f"clone {request.name!r}: the host {host.name} is in maintenance mode or not connected.",
            hint="Bring it back, or choose another.",
            option="host",
        )
    if request.resource_pool and not fitting_pools(
        compute.pools,
        compute.name,
        request.resource_pool,
    ):
        raise InvalidOption(
            f"clone {request.name!r}: the resource pool {request.resource_pool} is not one of {compute.name}, to which "
            f"{host.name} belongs.",
            hint=f"Pools that would do: {names.listing([pool.path for pool in compute.pools], most=20)}.",
            option="resource_pool",
        )
    return compute, host


def _asked_compute(request: CloneRequest, source: Source, computes: t.Sequence[Compute]) -> Compute:
    """Where the pool is that is asked for, first of all around the source.

    Around it where none is asked for.
    """
    own = [compute for compute in computes if any(host.moid == source.place.host for host in compute.hosts)]
    if not request.resource_pool:
        if not own:
            raise InvalidOption(
                f"clone {request.name!r}: the host of {source.path} cannot be read, so nothing says where it is to go.",
                hint="Set resource_pool or host.",
                option="resource_pool",
            )
        return own[0]
    fits: list[Compute] = []
    for near in (own, computes):
        fits = [each for each in near if fitting_pools(each.pools, each.name, request.resource_pool)]
        if len(fits) == 1:
            return fits[0]
    paths = sorted(f"{each.name}/{pool.path}" for each in fits or computes for pool in each.pools)
    raise InvalidOption(
        f"clone {request.name!r}: {len(fits) or 'no'} clusters have the resource pool {request.resource_pool}.",
        hint=f"Give the path of one, such as: {names.listing(paths, most=20)}.",
        option="resource_pool",
        allowed=paths,
    )


def around(source: Source, chosen: Choice, reach: Surroundings) -> Source:
    """The source with the surroundings of the place that a clone goes to.

    :param reach: what the chosen host sees.
    """
    compute = chosen.compute
    has_pool = any(pool.moid == source.place.pool for pool in compute.pools)
    root = compute.root_pool
    pool = source.place.pool if has_pool else (root.moid if root else "")
    return dataclasses.replace(
        source,
        host_name=chosen.host.name,
        host_available=chosen.host.available,
        place=dataclasses.replace(source.place, pool=pool),
        around=dataclasses.replace(reach, host=chosen.host, compute=compute),
        send_host=chosen.send_host,
    )


def needs_deltas(source: Source, options: LinkedOptions, snapshot: str) -> bool:
    """Whether the source gets delta disks before it is cloned.

    :raises InvalidOption: when it has nothing that linked clones could share and gets none, saying
        what to do about it.
    """
    bare = [disk.label for disk in source.disks if disk.levels == 0]
    if options.disk_mode == FULL or snapshot or not bare:
        return False
    known = names.listing([item.path for item in source.snapshots])
    advice = "Make a snapshot and set it, or set add_delta_disks."
    if known:
        advice = f"Set snapshot to one of its snapshots ({known})."
    elif source.template:
        advice = "Make it a VM, take a snapshot, make it a template again, and set snapshot."
    elif options.add_delta_disks and source.powered_off and not source.snapshots:
        _refuse_unlayered(source)
        return True
    elif options.add_delta_disks:
        advice = "Delta disks can be added only while it is off and has no snapshot. Otherwise set snapshot."
    raise InvalidOption(
        f"{source.path} has nothing that linked clones could share: no delta disk on its {names.listing(bare)}.",
        hint=f"{advice} Whole copies need none of that: disk_mode full.",
        option="snapshot",
    )


def _refuse_unlayered(source: Source) -> None:
    refused = disks.not_layered(source.disks)
    if refused:
        raise InvalidOption(
            f"No delta disk can be put on {names.listing(refused)} of {source.path}: {disks.UNLAYERED}.",
            hint="Detach it from the VM, or copy whole disks: disk_mode full.",
            option="add_delta_disks",
        )


def disks_from(disk_mode: str, snapshot: str) -> str:
    """What the disks of a clone are made of."""
    if disk_mode == FULL:
        return COPIES
    return OF_SNAPSHOT if snapshot else OF_DELTAS


def place(
    request: CloneRequest,
    source: Source,
    folders: t.Mapping[str, tuple[str, str]],
) -> Placement:
    """Turn the names of a request into what they mean where the clone goes.

    :raises InvalidOption: when a name means nothing there; the hint lists what would do.
    """
    placement = plan.place(request, source, folders)
    if not placement.pool.moid:
        name = source.around.compute.name if source.around.compute else source.host_name
        raise InvalidOption(
            f"clone {request.name!r}: the root resource pool of {name} cannot be read, so nothing says where it is to be.",
            hint="Set resource_pool, or give the user the right to read that pool.",
            option="resource_pool",
        )
    host = source.around.host if source.send_host else None
    return dataclasses.replace(placement, host=host.moid if host else None)


P = t.TypeVar("P", bound=Parent)


def made_of(existing: Existing | None, source: P, others: t.Collection[str]) -> P:
    """The source as the version that an existing clone was made of, where that is another one that
    will do.

    :param others: instance UUIDs of the other versions of the source.
    """
    uuid = (existing.parent_uuid() or "").lower() if existing else ""
    return dataclasses.replace(source, instance_uuid=uuid) if uuid in others else source


def of_version(step: Plan, source: Source) -> Plan:
    """The plan for a clone of what may be another version, as one for a clone of the source, to
    which it is a difference.
    """
    if step.parent is None or step.parent.instance_uuid == source.instance_uuid:
        return step
    actual = f"another version ({step.parent.instance_uuid})"
    why_not = "its disks are those of the version it was made of: remove it and make it again"
    other = Difference("source", actual, source.path, why_not)
    return dataclasses.replace(step, parent=source, differences=(other, *step.differences))


def present(
    request: CloneRequest,
    placement: Placement,
    existing: Existing | None,
    source: Source,
    options: LinkedOptions,
) -> Plan:
    """The plan that brings a clone to what is asked."""
    if existing is not None and (existing.template or options.as_template):
        return _template(request, placement, existing, source, options)
    found = plan.present(request, placement, existing, source, customizes=False)
    if not isinstance(found, Change):
        return found
    power_on = request.powered_on and not found.existing.powered_on
    differences = [*found.differences, *_fixed(found)]
    if power_on:
        differences.append(Difference("power_state", found.existing.power_state, "poweredOn"))
    return dataclasses.replace(found, differences=tuple(differences), power_on=power_on)


def _fixed(found: Change) -> list[Difference]:
    """What a linked clone gets when it is made and keeps, beside what every clone does."""
    differences = []
    request, existing = found.request, found.existing
    if request.host and found.place.host != existing.place.host:
        why_not = "it takes a migration, which is not this module's"
        differences.append(Difference("host", existing.place.host_name, request.host, why_not))
    if request.customization is not None and not existing.customized():
        why_not = "it is done when a clone is made"
        differences.append(Difference("customization", "not done", "done", why_not))
    return differences


def _template(
    request: CloneRequest,
    placement: Placement,
    existing: Existing,
    source: Source,
    options: LinkedOptions,
) -> Plan:
    """A template, or what is to become one, is never changed.

    Others build on it, or its maker is at work in it.
    """
    reason = plan.why_not_ours(existing, source.instance_uuid)
    if not reason and not options.as_template:
        reason = "a template holds the name"
    if not reason and not existing.template and existing.filled_by is None and not existing.has_new_deltas:
        reason = "a clone that is not to become a template holds the name"
    known = Leave(request=request, parent=source, place=placement, existing=existing)
    if reason:
        return plan.conflict(
            known,
            "made",
            reason,
            "Choose another name or folder, or remove what holds the name.",
        )
    return known


def published(request: CloneRequest, existing: Existing | None, source: Parent) -> Plan:
    """The plan that makes a template of a clone."""
    asked = Plan(request=request, parent=source, existing=existing)
    hint = "Make it with as_template first, or name the clone that is to be published."
    if existing is None:
        return plan.conflict(asked, "published", "it is not there", hint)
    reason = plan.why_not_ours(existing, source.instance_uuid)
    if reason:
        return plan.conflict(asked, "published", reason, hint)
    if existing.template:
        return Leave(request=request, parent=source, existing=existing)
    change = Difference("template", "no", "yes")
    return Publish(request=request, parent=source, existing=existing, differences=(change,))


def expected(found: Create) -> Existing:
    """What a new clone will be, as far as that is known before it is made: for check mode."""
    vm = plan.expected(found)
    vm = dataclasses.replace(
        vm,
        power_state="poweredOn" if found.request.powered_on else "poweredOff",
    )
    if found.place.host:
        return vm
    return dataclasses.replace(vm, place=dataclasses.replace(vm.place, host="", host_name=""))
