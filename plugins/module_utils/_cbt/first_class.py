# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Changed areas of a first class disk that no VM has.

It is asked about as a disk of a VM is: at a snapshot, page by page, with the same proof that every
byte is covered, the same state file, and the same result. Only the calls are others.
"""

from __future__ import annotations

import dataclasses
import datetime
import time
import typing as t

from .._connector import names
from .._connector.find import Selector
from .._connector.tasks import TaskEnd, wait_for_tasks
from .._engine import Task
from .._errors import Ambiguous, Fault, InvalidOption, NotFound, TaskGone, TimedOut, VforgeError
from .._temporary_snapshots import REMOVAL_SECONDS, REMOVE_LEFTOVERS, Owner, OwnerMark
from .._vsphere import fcd, tracking
from .._vsphere.changeid import ALL, NOT_TRACKED, Kept, judge
from .._vsphere.disks import Disk
from .._vsphere.fcd import DiskSnapshot, FirstClassDisk
from . import plan, report, state
from .model import FAIL, NEVER, AreaOptions, FirstClassDiskTarget, Target, Vm
from .plan import QUERY
from .sink import AreaFiles, AreaSink
from .task import (
    KIND,
    Answer,
    AreaTask,
    FullRequiredError,
    VmItem,
    close_files,
    note_question,
    read_areas,
)

if t.TYPE_CHECKING:
    from .._connector.session import Session

# For removing that snapshot, where the time of the task is over.
_LAST_SECONDS = 30.0

# A first class disk is one disk, and no device of a VM.
_KEY = 0


@dataclasses.dataclass(frozen=True)
class Subject:
    """What is asked about: the disk and the ID of the snapshot.

    :ivar made: whether the snapshot was made for the query, and is to be removed.
    """

    disk: FirstClassDisk
    snapshot: str
    made: bool


def run(session: Session, options: AreaOptions, target: FirstClassDiskTarget, *, check: bool) -> dict[str, t.Any]:
    """Ask what changed on one first class disk, or in check mode find out what would be asked.

    :returns: the module's result, with ``first_class_disks`` in place of ``vms``.
    :raises VforgeError: the disk or the snapshot cannot be found, or a VM has the disk.
    :raises PartialFailure: the query failed; it holds the whole result.
    """
    deadline = session.deadline(options.timeout)
    task: Task[VmItem] = Task(session, [], "first class disks", deadline=deadline, parallel=1, check=check)
    known = state.load(options.files.state, deadline) if options.files.state else None
    with task.phase("lookup"):
        disk = _find(session, options, target)
        named = _snapshot(disk, target, options)
    item = _item(disk)
    task.items = [item]
    files = options.files
    with AreaFiles(files.areas, compress=files.compress, write=files.with_areas and not check) as sink:
        job = AreaTask(task=task, timeout=options.timeout, options=options, state=known, files=sink)
        with task.accounted(), task.working_on(item):
            _remove_leftovers(job, item, disk, named)
            with task.phase("query"):
                _query(job, item, disk, target, named)
        _judge(job, item)
        close_files(job)
        at = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
        noted = note_question(job, at)
    for warning in report.warnings(job):
        session.warn(warning)
    return task.finish({**_result(job, disk, at), **noted})


def _find(session: Session, options: AreaOptions, target: FirstClassDiskTarget) -> FirstClassDisk:
    """The disk, with its snapshots.

    :raises InvalidOption: a VM has it.
    """
    store = fcd.choose_store(fcd.read_stores(session, options.datacenter), target.datastore)
    text = target.disk.id
    if not text:
        found = fcd.read_disks(session, store, fcd.list_ids(session, store))
        disks = [each for each in found if isinstance(each, FirstClassDisk)]
        name = target.disk.name or ""
        text = fcd.only_one([each for each in disks if each.name == name], name, store).id
    disk = fcd.read_disk(session, store, text)
    owners = fcd.read_attachments(session, [(disk.id, store)])
    disk = dataclasses.replace(disk, attachments=owners.get(disk.id, ()))
    if disk.attached:
        holders = [each.vm for each in disk.attachments] or list(disk.consumers)
        raise InvalidOption(
            f"The VM {names.listing(holders)} has {disk.title}, whose changed areas are asked of that VM.",
            hint="Set vm in place of first_class_disk, or detach the disk.",
            option="first_class_disk",
            in_use=True,
        )
    return dataclasses.replace(disk, snapshots=fcd.read_snapshots(session, store, disk.id))


def _snapshot(disk: FirstClassDisk, target: FirstClassDiskTarget, options: AreaOptions) -> str | None:
    """The ID of the snapshot that is named; None where one is to be made.

    :raises NotFound: there is none.
    :raises Ambiguous: several have the description.
    :raises InvalidOption: none is named, and none may be made.
    """
    if target.named is None:
        if options.create == NEVER:
            raise InvalidOption(
                f"{disk.title} can be asked about only at a snapshot.",
                hint="Name an existing one, or leave create_snapshot at auto.",
                option="create_snapshot",
            )
        return None
    found = [each.id for each in disk.snapshots if target.named in (each.id, each.description)]
    if len(found) == 1:
        return found[0]
    known = [f"{each.id} ({each.description})" for each in disk.snapshots]
    if not found:
        raise NotFound(
            f"{disk.title} has no snapshot {target.named}.",
            hint=f"It has: {names.listing(known) or 'none'}.",
        )
    raise Ambiguous(
        f"{len(found)} snapshots of {disk.title} are called {target.named}: {names.listing(found)}.",
        hint="Name the one that is meant by its id.",
        matches=found,
    )


def _item(disk: FirstClassDisk) -> VmItem:
    """The disk as the state file and the result know disks: that of a holder with one disk alone."""
    holder = Vm(
        moid="",
        name=disk.name,
        path=f"[{disk.store.name}] {disk.name}",
        instance_uuid=disk.id,
        hardware=0,
        supported=True,
        tracking=disk.flags.get("change_tracking", False),
        disks=(_device(disk, None),),
    )
    target = Target(selector=Selector(name=disk.name))
    return VmItem(vm=holder, before=holder, target=target, steps=(QUERY,))


def _device(disk: FirstClassDisk, change_id: str | None) -> Disk:
    return Disk(
        key=_KEY,
        label=disk.name,
        unit="",
        files=(disk.path, *disk.parents),
        capacity=disk.capacity_mb << 20,
        change_id=change_id,
        uuid=disk.id,
    )


def _query(job: AreaTask, item: VmItem, disk: FirstClassDisk, target: FirstClassDiskTarget, named: str | None) -> None:
    if job.task.check and named is None:
        _answer(job, item, disk, target, None)
        item.done.append(QUERY)
        return
    subject = Subject(disk, named, made=False) if named is not None else _make(job, disk)
    item.used = subject.snapshot
    try:
        details = job.session.retrying(
            lambda: fcd.manager(job.session).RetrieveSnapshotDetails(
                fcd.disk_id(disk.id),
                fcd.datastore_ref(job.session, disk.store),
                fcd.disk_id(subject.snapshot),
            )
        )
        answer = _answer(job, item, disk, target, details.changedBlockTrackingId or None)
        if answer.full is None:
            _read(job, item, subject, answer)
        item.done.append(QUERY)
    finally:
        if subject.made:
            _remove(job, item, subject)


def _answer(
    job: AreaTask,
    item: VmItem,
    disk: FirstClassDisk,
    target: FirstClassDiskTarget,
    change_id: str | None,
) -> Answer:
    """What is known before asking: from where, and whether the whole disk has to be read anyway."""
    device = _device(disk, change_id)
    kept = job.state.kept(item.vm, device) if job.state is not None else None
    if kept is None and target.change_id is not None:
        kept = Kept(target.change_id)
    if kept is None and job.state is None:
        kept = Kept(ALL)
    # In check mode the snapshot is not made yet whose changeId would tell.
    untracked = change_id is None and not job.task.check
    full = NOT_TRACKED if untracked else judge(kept, device) if change_id else None
    answer = Answer(
        where=item.title,
        disk=device,
        since=kept.change_id if kept is not None else None,
        full=full,
        uncommitted=job.state.uncommitted(item.vm, device) if job.state is not None else {},
    )
    item.answers = {_KEY: answer}
    item.questions = plan.Questions((plan.Question(device, answer.since, full),))
    return answer


def _read(job: AreaTask, item: VmItem, subject: Subject, answer: Answer) -> None:
    files = job.options.files
    sink = AreaSink(job.files, f"{item.vm.instance_uuid}-{_KEY}", files.most_areas if files.with_areas else 0)
    ask = tracking.first_class_pages(job.session, subject.disk, subject.snapshot, answer.since or "")
    try:
        read_areas(ask, answer, sink, job.stop)
    except VforgeError as error:
        answer.error = error
        raise


def _make(job: AreaTask, disk: FirstClassDisk) -> Subject:
    """A snapshot for the query.

    :raises VforgeError: it cannot be made, or is not there in time.
    """
    session = job.session
    mark = OwnerMark(disk.id, job.run, Owner.this(), job.options.timeout + REMOVAL_SECONDS)
    task = fcd.manager(session).CreateSnapshot(
        fcd.disk_id(disk.id), fcd.datastore_ref(session, disk.store), mark.description(KIND)
    )
    end = _end_of(session, task, job.task.deadline)
    if end.error is not None:
        raise end.error
    made = end.result.id if end.result is not None else _unreturned(job, disk)
    if not made:
        raise TaskGone(f"vCenter does not return the snapshot of {disk.title}.", hint="Run again.")
    return Subject(disk, made, made=True)


def _unreturned(job: AreaTask, disk: FirstClassDisk) -> str:
    """The ID of the snapshot that this run has made of a disk, by its mark; empty where there is none: one call."""
    for each in fcd.read_snapshots(job.session, disk.store, disk.id):
        mark = OwnerMark.read(KIND, each.description, disk.id)
        if mark is not None and mark.run == job.run:
            return each.id
    return ""


def _remove_leftovers(job: AreaTask, item: VmItem, disk: FirstClassDisk, named: str | None) -> None:
    """Remove the snapshots of queries that were killed, and warn of those whose run may still be at work.

    :param named: the ID of the snapshot that is asked about, which stays.
    """
    others = [each for each in disk.snapshots if each.id and each.id != named]
    marked = [(each, mark) for each in others if (mark := OwnerMark.read(KIND, each.description, disk.id))]
    now = job.session.current_time() if marked else None
    for each, mark in marked:
        if now is None or not mark.is_over(_created(each), now):
            item.warnings.append(
                f"{disk.title} has the snapshot {each.id} of a query that may still be at work. It is left alone."
            )
            continue
        removed = job.task.check or _remove(job, item, Subject(disk, each.id, made=True))
        if removed and REMOVE_LEFTOVERS not in item.done:
            item.done.append(REMOVE_LEFTOVERS)


def _created(snapshot: DiskSnapshot) -> datetime.datetime | None:
    try:
        return datetime.datetime.fromisoformat(snapshot.created)
    except ValueError:
        return None


def _remove(job: AreaTask, item: VmItem, subject: Subject) -> bool:
    """Remove the snapshot of a query; a warning names one that stays.

    :returns: whether it is gone.
    """
    session, disk = job.session, subject.disk
    deadline = max(job.task.deadline, time.monotonic() + _LAST_SECONDS)
    try:
        task = session.retrying(
            lambda: fcd.manager(session).DeleteSnapshot(
                fcd.disk_id(disk.id),
                fcd.datastore_ref(session, disk.store),
                fcd.disk_id(subject.snapshot),
            )
        )
        error = _end_of(session, task, deadline).error
    except VforgeError as failure:
        error = failure
    if isinstance(error, Fault) and error.fault in ("NotFound", "ManagedObjectNotFound"):
        error = None  # another run has removed it
    if error is not None:
        item.warnings.append(
            f"The snapshot {subject.snapshot} of {disk.title} could not be removed: {error} "
            "Remove it with first_class_disk_snapshot."
        )
    return error is None


def _end_of(session: Session, task: t.Any, deadline: float) -> TaskEnd:
    ends: list[TaskEnd] = []
    wait_for_tasks(session, [task], deadline, lambda _moid, end: ends.append(end))
    late = TaskEnd(error=TimedOut("A snapshot was not ready in time.", hint="Set a larger timeout."))
    return ends[0] if ends else late


def _judge(job: AreaTask, item: VmItem) -> None:
    for answer in item.answers.values():
        if answer.full is None:
            continue
        if job.options.on_full_required == FAIL:
            item.fail(
                FullRequiredError(
                    f"{item.title} has to be read whole. {answer.full.reason}",
                    hint="Do so with on_full_required set to report, and commit that question.",
                )
            )
        elif answer.full == NOT_TRACKED:
            item.warnings.append(f"{item.title}: its changes are not tracked. Set change_tracking with first_class_disk.")


def _result(job: AreaTask, disk: FirstClassDisk, at: str) -> dict[str, t.Any]:
    """The result of VMs, as that of a first class disk."""
    whole = report.result(job, at)
    (entry,) = whole["vms"]
    found = entry["disks"][0] if entry["disks"] else {}
    kept = {key: value for key, value in found.items() if key not in ("label", "key", "unit", "backing")}
    shown = {
        "name": disk.name,
        "id": disk.id,
        "path": disk.path,
        "datastore": disk.store.name,
        "tracking": entry["tracking"],
        "snapshot": {"id": job.vms[0].used} if job.vms[0].used else None,
        "actions": entry["actions"],
        "changed": entry["changed"],
        "seconds": entry["seconds"],
        "warnings": entry["warnings"],
        **kept,
    }
    if "error" in entry:
        shown["error"] = entry["error"]
    whole["totals"]["vms"] = 0
    return {**whole, "vms": [], "first_class_disks": [shown]}
