# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Import a package: take the name, carry the disks, let vCenter take over. What fails leaves nothing behind."""

from __future__ import annotations

import collections
import dataclasses
import time
import typing as t

from .. import _signals
from .._connector.props import read
from .._errors import Fault, VforgeError
from .._vsphere import lease as leases
from .._vsphere.policies import find_policy
from . import api, finishing, identity, lookup, placement, vmdk
from .carry import carry
from .errors import TemplateError
from .facts import OWNER_KEY, Placement
from .identity import BEFORE, STREAM
from .job import Job
from .options import PULL

# What the loser of a race for a name meets: before the lease is made, or by it.
_NAME_TAKEN = ("DuplicateName", "FileAlreadyExists", "InvalidState")

# How long a VM whose import was aborted may still be seen.
# What is told of a lease whose session is gone.
_LEASE_LOST = ("ManagedObjectNotFound", "Timedout")

_SECONDS_TO_VANISH = 15.0


@dataclasses.dataclass(frozen=True)
class Import:
    """An import that vCenter has agreed to.

    :ivar items: the files to carry (``OvfFileItem``).
    :ivar capacities: of the disks, in KiB, with how often each is to be there.
    """

    place: Placement
    spec: t.Any
    items: tuple[t.Any, ...]
    capacities: collections.Counter[int]


def prepare(job: Job, name: str) -> Import:
    """Find the place, and ask vCenter what it makes of the descriptor. Changes nothing, so check mode does it too.

    :raises PackageError: ``checksum_mismatch``, where files are read before.
    :raises InvalidOption: no place fits, or a network or property is not as the descriptor wants it.
    :raises TemplateError: ``descriptor_refused``.
    """
    _read_before(job)
    wanted, descriptor = job.options.deployment, job.package.descriptor
    around = lookup.survey(job.session, job.home)
    networks = placement.networks_for(descriptor.networks, wanted, list(around.networks.values()))
    placement.check_choices(descriptor, wanted)
    asked = job.options.place
    policy = find_policy(job.session, asked.storage_policy) if asked.storage_policy else None
    place = placement.place(around, asked, networks, policy.datastores if policy else None)
    answer = api.create_import_spec(job.session, descriptor.text, name, place, wanted, around.network_kinds)
    job.account.descriptor_warnings[:] = api.messages(answer.warning)
    if answer.error or answer.importSpec is None:
        errors = api.messages(answer.error)
        raise TemplateError(
            "descriptor_refused",
            f"vCenter refuses the descriptor of {job.package.label}: {' '.join(errors) or 'it does not say why'}",
            hint="Where it asks for properties or a deployment option, set them; else ask the maker of the package.",
            descriptor_errors=errors,
            descriptor_warnings=list(job.account.descriptor_warnings),
        )
    vmdk.check_disks(job.package, {item.path for item in answer.fileItem or ()})
    api.set_up(answer.importSpec, name, job.marks(), wanted, policy.profile if policy else None)
    return Import(place, answer.importSpec, tuple(answer.fileItem or ()), api.capacities(answer.importSpec))


def bring_in(job: Job, plan: Import) -> str | None:
    """Import; returns the moid of the VM, complete but for its layer, or None when another run took the name first.

    :raises VforgeError: what went wrong; nothing of the import is left then.
    """
    _read_what_is_not_sent(job, plan)
    lease = entity = None
    generation = job.session.generation
    try:
        # vCenter makes the VM, and we are to know by which lease.
        with _signals.held_back(job.session.stub.connections.break_off):
            lease = leases.Lease(job.session, api.import_vapp(job.session, plan.spec, plan.place, job.home.moid))
        generation = job.session.generation
        ready = lease.wait_until_ready(job.deadline)
        entity = ready.entity
        carry(job, lease, ready, plan.items)
        lease.complete()
    except BaseException as error:
        if isinstance(error, Fault) and entity is None and error.fault in _NAME_TAKEN:
            return None
        if job.session.generation != generation and isinstance(error, Fault) and error.fault in _LEASE_LOST:
            # A lease is its session's alone. What it held goes when it ends; until then it is waited for, as others' are.
            job.session.tell("the session ended, and the import with it; waiting to begin it again")
            return None
        if lease is not None:
            _give_up(job, lease, entity)
        raise
    job.account.actions.append("imported")
    return entity


def _read_before(job: Job) -> None:
    """Hold the files against their digests before anything is made, where that is asked for.

    A host that fetches the files takes what it gets, so a digest that was only remembered is made anew for it, too.
    """
    if job.options.verify == BEFORE:
        due: t.Collection[str] = job.package.files
    else:
        due = job.identity.remembered if job.options.transfer == PULL else ()
    identity.read_again(job.package, job.identity, due, job.digester, job.options.told_by_hosts)


def _read_what_is_not_sent(job: Job, plan: Import) -> None:
    """Files that vCenter does not ask for are in the manifest all the same."""
    if job.options.verify == STREAM:
        sent = {item.path for item in plan.items}
        due = [href for href in job.package.files if href not in sent]
        identity.read_again(job.package, job.identity, due, job.digester, ())


def _give_up(job: Job, lease: leases.Lease, entity: str | None) -> None:
    """Abort, and make sure that nothing stays. Its own failures are warnings: the first error is what the user has to know."""
    try:
        entity = entity or _entity(lease)
        if entity is None:
            return
        ref = api.vm(job.session, entity)
        if lease.abort() and leases.wait_until_gone(job.session, ref, time.monotonic() + _SECONDS_TO_VANISH):
            return
        row = read(job.session, [ref], api.VIRTUAL_MACHINE, [api.mark_path(OWNER_KEY)]).get(entity)
        if row is not None and api.marks_of(row.values).get(OWNER_KEY) == job.owner:
            finishing.run_task(job, "remove", lambda: api.start_destroy(job.session, entity), ("ManagedObjectNotFound",))
    except VforgeError as error:
        job.session.warn(f"The import was aborted, but whether all of it is gone is not known: {error}")


def _entity(lease: leases.Lease) -> str | None:
    """What a lease imports, as soon as it can be aborted; None when it has ended in error, whereupon nothing is left."""
    try:
        return lease.wait_until_ready(time.monotonic() + _SECONDS_TO_VANISH).entity
    except Fault:
        return None
