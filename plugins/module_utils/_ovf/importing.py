# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a package to a template.

The name is taken, files are sent, disks are looked at and get delta disks, the template is published.

Up to the end of the lease vCenter itself removes what goes wrong. From then on the disks are whole:
what stops half-way is left for the next run, which finishes it without sending anything.
"""

from __future__ import annotations

import collections
import dataclasses
import time
import typing as t

from .. import _signals
from .._connector.props import Row, collect
from .._connector.tasks import Backoff
from .._engine import Part
from .._errors import ConnectionLost, Fault, TimedOut, VforgeError
from .._vsphere import lease as leases
from .._vsphere.disks import delta_changes
from .._vsphere.policies import find_policy
from .._vsphere.privileges import NotPermitted, missing_privileges
from .._vsphere.vm import kind_of
from . import apply, identity, placement, read, takeover, vmdk
from .carry import addressed, carry, compare
from .identity import BEFORE, STREAM
from .model import (
    DISKS_KEY,
    IMPORTING,
    PULL,
    READY,
    READY_KEY,
    REPLACE,
    UNPUBLISHED,
    Existing,
    Placement,
    Surroundings,
    TemplateError,
)
from .plan import COMPLETE, IMPORT

if t.TYPE_CHECKING:
    from .task import TemplateTask

# What the loser of a race for a name meets: before the lease is made, or by it.
_NAME_TAKEN = ("DuplicateName", "FileAlreadyExists", "InvalidState")

# How vCenter answers for a lease whose session has ended.
_LEASE_LOST = ("ManagedObjectNotFound", "Timedout")

# How long a VM whose import was aborted may still be seen.
_SECONDS_TO_VANISH = 15.0

# So often is an import begun again whose answer was lost.
_MOST_LOST_ANSWERS = 3

# CIM's number of a disk drive, by which vCenter says what a file is for.
_CIM_DISK = 17

# The VM is worked on at this moment, or has just been changed: look again.
_NOT_NOW = ("ConcurrentAccess", "TaskInProgress", "ManagedObjectNotFound")

# On these the size of a file is what it takes; elsewhere (vSAN, vVols) a disk is no file.
_PLAIN = ("VMFS", "NFS", "NFS41", "OTHER", "CIFS", "")

# These may compress, so that the size which a file takes says little of what is in it.
_MAY_COMPRESS = ("NFS", "NFS41", "CIFS")

# A streamOptimized disk is stored unpacked, so it is never smaller than what was sent, but for the
# stream's own tables.
_TABLES = 2**20

# What each part of the way needs, by the object on which it is needed (API reference, the methods'
# required privileges). Those on a VM are asked for on its folder, from which it inherits them.
_POOL_NEEDS = ("VApp.Import", "Resource.AssignVMToPool")
_DATASTORE_NEEDS = ("Datastore.AllocateSpace",)
_NETWORK_NEEDS = ("Network.Assign",)
_VM_NEEDS = (
    "VApp.Import",  # on the folder, too
    "VirtualMachine.Inventory.Create",
    # An import that fails is removed, so nobody may begin one who may not end it.
    "VirtualMachine.Inventory.Delete",
    "VirtualMachine.Config.AdvancedConfig",
    "VirtualMachine.Config.AddNewDisk",
    "VirtualMachine.Config.RemoveDisk",
    "VirtualMachine.Provisioning.MarkAsTemplate",
)
_RENAME = "VirtualMachine.Config.Rename"


class IncompleteUpload(TemplateError):
    """What vCenter has is not what was sent."""

    def __init__(self, message: str) -> None:
        hint = "Run again; if it happens again, look at the events of the host and the datastore."
        super().__init__("incomplete_upload", message, hint=hint)


@dataclasses.dataclass(frozen=True)
class Prepared:
    """An import that vCenter has agreed to.

    :ivar files: those that vCenter asks for, for the hardware that was chosen (``OvfFileItem``).
    :ivar capacities: of the disks, in KiB, with how often each is to be there.
    """

    name: str
    place: Placement
    spec: t.Any
    files: tuple[t.Any, ...]
    capacities: collections.Counter[int]


@dataclasses.dataclass(frozen=True)
class Imported:
    """A VM whose files were all sent, and whose lease is complete.

    :ivar witnessed: whether the host has reported that it got every file whole.
    """

    moid: str
    prepared: Prepared
    witnessed: bool


@dataclasses.dataclass(frozen=True)
class Finished:
    """A template; ``published`` where it was this run that took the last step."""

    template: Existing
    published: bool


# Before anything is made


def prepare(task: TemplateTask, name: str) -> Prepared:
    """Find the place, and ask vCenter what it makes of the descriptor.

    Changes nothing, so check mode does it too.

    :raises PackageError: ``checksum_mismatch``, where files are read before.
    :raises InvalidOption: no place fits, or a network or property is not as the descriptor wants
        it.
    :raises NotPermitted: the user may not go the whole way.
    :raises TemplateError: ``descriptor_refused``.
    """
    _read_before(task)
    wanted, descriptor = task.options.deployment, task.package.descriptor
    around = read.surroundings(task.session, task.home)
    there = [network.name for network in around.networks]
    networks = placement.networks_for(descriptor.networks, wanted, there)
    values = placement.choices(descriptor, wanted)
    asked = task.options.place
    policy = find_policy(task.session, asked.storage_policy) if asked.storage_policy else None
    place = placement.place(around, asked, networks, policy.datastores if policy else None)
    _check_privileges(task, around, place)
    answer = apply.create_import_spec(
        task.session,
        descriptor.text,
        name,
        place,
        wanted,
        values.open,
    )
    _check_answer(task, answer)
    files = tuple(answer.fileItem or ())
    vmdk.check_disks(task.package, {item.path for item in files})
    marks = {**task.marks(), DISKS_KEY: _sizes_mark(task, files)}
    apply.set_up(answer.importSpec, name, marks, wanted, policy.profile if policy else None)
    apply.set_hidden(answer.importSpec, values.hidden)
    devices = [change.device for change in answer.importSpec.configSpec.deviceChange or ()]
    return Prepared(name, place, answer.importSpec, files, read.count_capacities(devices))


def _check_answer(task: TemplateTask, answer: t.Any) -> None:
    warnings = task.account.descriptor_warnings
    warnings[:] = apply.messages(answer.warning)
    if not answer.error and answer.importSpec is not None:
        return
    errors = apply.messages(answer.error)
    why = " ".join(errors) or "it does not say why"
    raise TemplateError(
        "descriptor_refused",
        f"vCenter refuses the descriptor of {task.package.label}: {why}",
        hint="Where it asks for properties or a deployment option, set them; else ask the maker of the package.",
        descriptor_errors=errors,
        descriptor_warnings=list(warnings),
    )


def _check_privileges(task: TemplateTask, around: Surroundings, place: Placement) -> None:
    """Ask for the privileges of the whole way.

    After the upload it would be late to find that one is missing.
    """
    if not around.session_key:
        return
    session = task.session
    vm_needs = (*_VM_NEEDS, *((_RENAME,) if task.options.on_mismatch == REPLACE else ()))
    wanted = [
        (read.folder(session, task.home.moid), vm_needs, f"folder {task.home.path}"),
        (
            apply.pool_reference(session, place.pool),
            _POOL_NEEDS,
            f"resource pool {place.compute.name}/{place.pool.path}",
        ),
        (
            apply.datastore_reference(session, place.datastore),
            _DATASTORE_NEEDS,
            f"datastore {place.datastore.name}",
        ),
    ]
    networks = {network.moid: network for network in place.networks.values()}
    for network in networks.values():
        ref = apply.network_reference(session, network)
        wanted.append((ref, _NETWORK_NEEDS, f"network {network.path or network.name}"))
    asked = [(ref, names) for ref, names, _what in wanted]
    missing = missing_privileges(session, around.session_key, asked)
    by_object = {what: missing.get(ref._GetMoId()) for ref, _names, what in wanted}
    lacking = {what: names for what, names in by_object.items() if names}
    if lacking:
        listed = "; ".join(f"{', '.join(names)} on the {what}" for what, names in lacking.items())
        raise NotPermitted(
            f"This user may not make the template {task.options.name}: missing are {listed}.",
            hint="Give the user a role with these privileges; those on the folder have to reach the VMs in it.",
            privileges=sorted({name for names in lacking.values() for name in names}),
        )


def _sizes_mark(task: TemplateTask, files: t.Iterable[t.Any]) -> str:
    """How many bytes each disk was sent in, for whoever looks at the disks later.

    ``ADDRESS=BYTES`` for each.
    """
    sizes: dict[str, int] = {}
    for item in files:
        blob = task.package.files.get(item.path)
        if blob is not None and _is_disk(item):
            # Of a disk with parent references, each file updates what is there: at least the largest stays.
            address = read.address(item.deviceId)
            sizes[address] = max(sizes.get(address, 0), blob.size)
    return " ".join(f"{address}={size}" for address, size in sizes.items())


def _is_disk(item: t.Any) -> bool:
    return bool(item.cimType == _CIM_DISK)


def _read_before(task: TemplateTask) -> None:
    """Hold the files against their digests before anything is made, where that is asked for.

    A host that fetches the files takes what it gets, so a digest that was only remembered is made
    again for it, too.
    """
    if task.options.verify == BEFORE:
        due: t.Collection[str] = task.package.files
    else:
        due = task.identity.remembered if task.options.transfer == PULL else ()
    identity.read_again(task.package, task.identity, due, task.digester, task.options.hashed_by_hosts)


# The import


def bring_in(task: TemplateTask, prepared: Prepared) -> Imported | None:
    """Import; what comes back is complete but for its delta disks.

    None: look again at who has the name.

    That is so where another run took the name first, where the session ended, and where the answer
    of ``ImportVApp`` was lost, so that an import may have been begun.

    :raises VforgeError: what went wrong; nothing of the import is left then, or it is whole and
        left for the next run.
    """
    _read_what_is_not_sent(task, prepared)
    with takeover.recorded(task) as record:
        return _import(task, prepared, record)


def _import(
    task: TemplateTask,
    prepared: Prepared,
    record: t.Callable[[str], None],
) -> Imported | None:
    lease: leases.Lease | None = None
    entity: str | None = None
    task.account.refusal = None
    generation = task.session.generation
    try:
        # vCenter makes the VM, and we are to know by which lease.
        with _signals.held_back(task.session.stub.connections.break_off):
            lease = leases.Lease(task.session, _begin(task, prepared))
        record(lease.ref._GetMoId())
        generation = task.session.generation
        ready = lease.wait_until_ready(task.deadline)
        entity = ready.entity
        return _filled(task, prepared, lease, ready)
    except BaseException as error:
        if isinstance(error, Fault) and entity is None and error.fault in _NAME_TAKEN:
            task.account.refusal = error
            return None
        if lease is None and isinstance(error, ConnectionLost) and _may_begin_again(task):
            task.session.show_progress("the answer to ImportVApp was lost; looking for what it has made")
            return None
        lost = isinstance(error, Fault) and error.fault in _LEASE_LOST
        if task.session.generation != generation and lost:
            # A lease is its session's alone. What it held goes when it ends.
            task.session.show_progress(
                "the session ended, and the import with it; waiting to begin it again",
            )
            return None
        whole = _give_up(task, lease, entity) if lease is not None else None
        if whole is not None:
            _note_import(task)
            _leave_or_remove(task, whole, error)
        raise


def _begin(task: TemplateTask, prepared: Prepared) -> t.Any:
    return apply.import_vapp(task.session, prepared.spec, prepared.place, task.home.moid)


def _may_begin_again(task: TemplateTask) -> bool:
    task.account.lost_answers += 1
    late = task.session.unreachable() or task.session.limit.over()
    return not late and task.account.lost_answers < _MOST_LOST_ANSWERS


def _filled(
    task: TemplateTask,
    prepared: Prepared,
    lease: leases.Lease,
    ready: leases.Ready,
) -> Imported:
    """Send the files, hold what has come against them, and complete the lease."""
    pairs = addressed(prepared.files, ready)
    _warn_of_left_out(task, prepared, [item for item, _device in pairs])
    carry(task, lease, ready, [item for item, _device in pairs])
    # Where vCenter has to be asked again, the lease has to live until it answers.
    with lease.kept_alive(ready.timeout, lambda: 99, lambda _error: None):
        witnessed = compare(task, lease, pairs)
        lease.complete(task.deadline)
    _note_import(task)
    return Imported(ready.entity, prepared, witnessed)


def _note_import(task: TemplateTask) -> None:
    if IMPORT not in task.template.done:
        task.template.done.append(IMPORT)


def _warn_of_left_out(task: TemplateTask, prepared: Prepared, sent: t.Collection[t.Any]) -> None:
    """A file that vCenter lists and has no place for.

    A warning, but for a disk, without which the VM is none.
    """
    left_out = [item for item in prepared.files if item not in sent]
    disks = [item.path for item in left_out if _is_disk(item)]
    if disks:
        raise TemplateError(
            "upload_failed",
            f"vCenter names no address for the disk {', '.join(disks)}.",
            hint="Run again; if it happens again, look at the tasks of the vCenter.",
        )
    for item in left_out:
        task.template.warnings.append(
            f"{item.path} was left out: this vCenter has no place for it, and it is no disk.",
        )


def _read_what_is_not_sent(task: TemplateTask, prepared: Prepared) -> None:
    """Files that vCenter does not ask for are in the manifest all the same."""
    if task.options.verify == STREAM:
        sent = {item.path for item in prepared.files}
        due = [href for href in task.package.files if href not in sent]
        identity.read_again(task.package, task.identity, due, task.digester, ())


def _give_up(task: TemplateTask, lease: leases.Lease, entity: str | None) -> str | None:
    """Abort the lease, whereupon vCenter removes what was imported.

    Failures of the abort itself are warnings: the first error is what the user has to know.

    :returns: the moid of the VM where the lease is complete already; None where nothing stays.
    """
    try:
        entity = entity or _entity(lease)
        if entity is None:
            return None  # it has ended in error
        if not lease.abort() and lease.state() == "done":
            return entity
        vanishing = time.monotonic() + _SECONDS_TO_VANISH
        if not leases.wait_until_gone(task.session, read.vm(task.session, entity), vanishing):
            takeover.remove_own(task, entity)
    except VforgeError as error:
        task.template.parts.append(Part(IMPORT, "import_started"))
        task.session.warn(
            f"The import was aborted, but whether all of it is gone is not known: {error}",
        )
    return None


def _entity(lease: leases.Lease) -> str | None:
    """What a lease imports, as soon as it can be aborted.

    None when it has ended in error: then nothing is left.
    """
    try:
        return lease.wait_until_ready(time.monotonic() + _SECONDS_TO_VANISH).entity
    except Fault:
        return None


def _leave_or_remove(task: TemplateTask, moid: str, error: BaseException) -> None:
    """What becomes of a VM that is whole: a failure leaves it to the next run, a signal removes it.

    :raises TemplateError: in place of a failure, saying that it is left.
    """
    if isinstance(error, VforgeError) and not isinstance(error, IncompleteUpload):
        raise takeover.left(task, moid, error) from error
    try:
        takeover.remove_own(task, moid)
    except VforgeError as failure:
        task.session.warn(f"What was imported could not be removed ({moid}): {failure}")
    else:
        item = task.template
        item.done = [step for step in item.done if step != IMPORT]
        item.parts = [part for part in item.parts if part.step != IMPORT]


# From the VM to the template


def finish(task: TemplateTask, moid: str, imported: Imported | None) -> Finished | None:
    """Make a template of an imported VM that this run may work on.

    :param imported: where this run has imported it.
    :returns: None when another run works on it, or it is gone.
    :raises TemplateError: the disks are not whole, and it was removed; or it was left to the next
        run.
    """
    try:
        return _finish(task, moid, imported)
    except BaseException as error:
        _leave_or_remove(task, moid, error)
        raise


def _finish(task: TemplateTask, moid: str, imported: Imported | None) -> Finished | None:
    waits = Backoff(task.deadline, first=0.25)
    published = False
    while True:
        rows = _look(task, moid)
        if moid not in rows:
            return None
        existing = read.existing_in(rows, moid)
        if existing.state == READY:
            return Finished(existing, published)
        if existing.state == IMPORTING and existing.owner == task.owner:
            _check_disks(task, rows, moid, imported)
        elif existing.state != UNPUBLISHED:
            return None
        step = COMPLETE if imported is None else IMPORT
        if existing.state == UNPUBLISHED or _add_delta_disks(task, existing, rows[moid], step):
            published = _publish(task, moid) or published
            if published:
                return Finished(_as_template(existing), published)
        if not waits.begin():
            raise TimedOut(
                f"{existing.path} was not made a template in the time allowed: vCenter works on it.",
                hint="Raise timeout, or look at the tasks of the VM.",
            )


def _look(task: TemplateTask, moid: str) -> dict[str, Row]:
    ref = read.vm(task.session, moid)
    found = collect(task.session, [ref], read.FINISH, read.AROUND_EXISTING)
    return {row.moid: row for row in found}


def _add_delta_disks(task: TemplateTask, existing: Existing, row: Row, step: str) -> bool:
    """Put a delta disk on each disk, and say that all is there.

    :param step: of which this is a part.
    :returns: False where the VM is to be looked at again.
    """
    changes = delta_changes(row.get("config.hardware.device") or (), every=False)
    marks = {READY_KEY: existing.instance_uuid, DISKS_KEY: ""}
    return task.change(
        lambda: apply.start_reconfigure(
            task.session,
            existing.moid,
            existing.change_version,
            marks,
            changes,
        ),
        _NOT_NOW,
        part=Part(step, "delta_disks_added"),
    )


def _publish(task: TemplateTask, moid: str) -> bool:
    """The last step; False where the VM is to be looked at again."""
    return task.change(
        lambda: apply.mark_as_template(task.session, moid),
        ("InvalidState", "NotSupported", "ManagedObjectNotFound", "TaskInProgress"),
        done_already=("InvalidState", "NotSupported"),
    )


def _as_template(existing: Existing) -> Existing:
    """What the last step has made of it."""
    marks = {**existing.marks, READY_KEY: existing.instance_uuid}
    return dataclasses.replace(existing, template=True, marks=marks)


# Whether all of it is there


def _check_disks(
    task: TemplateTask,
    rows: t.Mapping[str, Row],
    moid: str,
    imported: Imported | None,
) -> None:
    """Make sure that every disk is there, and holds what was sent for it.

    The strongest witness that there is decides. That is the host's own account of what it got,
    which the lease has. Only where there is none are the sizes of the files looked at: vCenter
    keeps them, and refreshes them late.

    :raises IncompleteUpload: a disk is missing or short.
    """
    row = rows[moid]
    if imported is not None:
        missing = imported.prepared.capacities - read.count_capacities(
            row.get("config.hardware.device") or (),
        )
        if missing:
            sizes = ", ".join(f"{size // 1024} MiB" for size in missing.elements())
            raise _incomplete(task, f"disks of {sizes} are not there")
        if imported.witnessed:
            return
    stores = [other for other in rows.values() if kind_of(other.ref) == "Datastore"]
    kinds = [str(store.get("summary.type") or "") for store in stores]
    if any(kind not in _PLAIN for kind in kinds) or not _short(row):
        return
    apply.refresh_storage(task.session, moid)
    short = _short(_look(task, moid).get(moid, row))
    if short and any(kind in _MAY_COMPRESS for kind in kinds):
        task.template.warnings.append(
            f"{short}. The datastore may compress, so this need not mean that something is missing.",
        )
    elif short:
        raise _incomplete(task, short)


def _short(row: Row) -> str:
    """Which disk takes less than was sent for it, each by its own address.

    Empty where none does.
    """
    sizes = read.stored(row.values)
    disks = read.addresses(row.get("config.hardware.device") or ())
    for address, sent in read.sent_sizes(read.marks_of(row.values).get(DISKS_KEY, "")).items():
        have = sizes.get(disks[address].key) if address in disks else None
        if have is not None and have + _TABLES + sent // 50 < sent:
            return f"for the disk {address} {sent} bytes were sent, and {have} bytes are there"
    return ""


def _incomplete(task: TemplateTask, what: str) -> IncompleteUpload:
    return IncompleteUpload(
        f"What was imported of {task.package.label} is not whole: {what}. It was removed.",
    )
