# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Backups by clones, from the options to the result.

Takes plain options and a Session, so that it runs in a module as well as in an action plugin.
"""

from __future__ import annotations

import collections
import dataclasses
import datetime
import typing as t

from .._connector import names
from .._connector.batch import vm_made
from .._connector.pyvmomi import vim
from .._copy_source import TRY, CopyItem, copy_all
from .._engine import Item, Task
from .._errors import Fault, InvalidOption, VforgeError
from .._temporary_snapshots import Kind, SnapshotTask, find_leftovers, remove_leftovers
from .._vsphere import snapshots
from .._vsphere.compute import read_folders
from .._vsphere.disks import users
from .._vsphere.vm import option_values, reference, start_destroy
from . import plan, read, report
from .model import LINKED, MARK_KEY, Backup, BackupOptions, Mark, Vm, backup_name
from .plan import CLONE, PRUNE

if t.TYPE_CHECKING:
    from .._connector.batch import Outcome
    from .._connector.session import Session

KIND = Kind("vforge-backup", "Made for a backup, and removed with it.", "vforge.backup ")


# Backups of one VM that are begun in the same second, by as many runs.
_MOST_IN_A_SECOND = 9


@dataclasses.dataclass(kw_only=True)
class BackupItem(CopyItem):
    """A VM of the task.

    :ivar decided: its plan; None where it cannot be backed up.
    :ivar known: its backups, as they were found.
    :ivar folder: moid of the folder for its backup.
    :ivar made: the mark of its new backup; None where none was made.
    :ivar made_moid: moid of that.
    :ivar removed: backups that were old.
    """

    vm: Vm
    decided: plan.Plan | None = None
    known: list[Backup] = dataclasses.field(default_factory=list)
    folder: str = ""
    made: Mark | None = None
    made_moid: str = ""
    removed: list[Backup] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(kw_only=True)
class OldBackup(Item):
    """A backup that is to be removed, of one of the VMs."""

    backup: Backup
    of: BackupItem
    steps: tuple[str, ...] = (PRUNE,)

    @property
    def title(self) -> str:
        """What messages call it."""
        return self.backup.path


@dataclasses.dataclass(kw_only=True)
class BackupTask(SnapshotTask[BackupItem]):
    """A task whose VMs were found.

    :ivar now: by vCenter's clock.
    """

    kind: Kind = KIND
    options: BackupOptions
    now: datetime.datetime


def run(session: Session, options: BackupOptions, *, check: bool) -> dict[str, t.Any]:
    """Back up what the options ask for, or in check mode find out what that would be.

    :returns: the module's result: ``changed``, ``vms``, ``counts``,
        ``failures``, ``diff`` and so on.
    :raises VforgeError: before anything was made.
    :raises PartialFailure: when a VM failed; it holds the whole result.
    """
    deadline = session.deadline(options.timeout)
    task: Task[BackupItem] = Task(session, [], "VMs", deadline=deadline, parallel=options.parallel, check=check)
    with task.phase("lookup"):
        found = task.found("vms", read.find(session, options.selectors, options.datacenter), options.selectors)
        task.items = [BackupItem(vm=vm, steps=(CLONE,)) for _place, vm in found]
        known = read.backups(session)
        job = BackupTask(task=task, timeout=options.timeout, options=options, now=session.current_time())
        for item in task.items:
            item.known = known.get(item.vm.instance_uuid, [])
        _find_folders(job)
    with task.accounted():
        _carry_out(job)
    return task.finish(report.result(job), advice="Backups that were made stay; run again for the others.")


def _find_folders(job: BackupTask) -> None:
    """Where backups go: into the folder that was named, or beside their sources."""
    if not job.options.folder:
        for item in job.vms:
            item.folder = item.vm.folder
        return
    for datacenter in sorted({item.vm.datacenter for item in job.vms}):
        moid, _path = read_folders(job.session, datacenter, [job.options.folder])[job.options.folder]
        for item in job.vms:
            if item.vm.datacenter == datacenter:
                item.folder = moid


def _carry_out(job: BackupTask) -> None:
    find_leftovers(job)
    for item in job.vms:
        _decide(job, item)
    remove_leftovers(job)
    if not job.task.check:
        _clone_all(job)
    else:
        for item in job.vms:
            item.foresee()
    _prune(job)


def _decide(job: BackupTask, item: BackupItem) -> None:
    try:
        item.decided = plan.decide(item.vm, item.known, job.options, job.now)
        item.source, item.steps = item.decided.source, item.decided.steps
        if item.steps and not item.folder:
            raise InvalidOption(
                f"{item.title} has no folder that could hold its backup: it is in a vApp, or this user may not see its folder.",
                hint="Set folder.",
                option="folder",
            )
    except VforgeError as error:
        item.steps = ()
        item.fail(error)


def _clone_all(job: BackupTask) -> None:
    copy_all(
        job,
        [item for item in job.vms if item.due(CLONE)],
        lambda ready: _clone(job, ready),
        crash_consistent="backup" if job.options.quiesce == TRY else "",
    )


def _clone(job: BackupTask, items: t.Sequence[BackupItem]) -> None:
    """Clone these VMs at the same time, each with its mark."""
    named = collections.Counter((each.folder, each.vm.name) for each in job.vms)
    numbers = dict.fromkeys((item.vm.moid for item in items), 1)
    taken: list[BackupItem] = []

    def start(item: BackupItem) -> t.Any:
        decided = item.decided
        only = named[item.folder, item.vm.name] == 1
        name = backup_name(item.vm, job.now, only=only, number=numbers[item.vm.moid])
        mark = Mark(job.now, item.consistency, item.vm.instance_uuid, name)
        item.made = mark
        return start_clone(
            job.session,
            item.vm,
            mark,
            mode=job.options.mode,
            folder=item.folder,
            datastore=decided.datastore if decided is not None else None,
            snapshot=item.snapshot,
        )

    def note(item: BackupItem, outcome: Outcome) -> None:
        moid = vm_made(job.session, outcome)
        if _is_taken(outcome) and numbers[item.vm.moid] < _MOST_IN_A_SECOND:
            item.made = None
            numbers[item.vm.moid] += 1
            taken.append(item)
        elif outcome.error is not None:
            item.made = None
            item.fail(outcome.error)
        else:
            item.done.append(CLONE)
            item.made_moid = moid

    with job.task.phase("clone"):
        due = [item for item in items if item.error is None]
        while due:
            taken.clear()
            job.task.call(due, start, "VMs cloned", note)
            due = list(taken)


def _is_taken(outcome: Outcome) -> bool:
    """Whether another run has made a backup of the same name in the same second."""
    return isinstance(outcome.error, Fault) and outcome.error.fault == "DuplicateName"


def _prune(job: BackupTask) -> None:
    """Remove backups that are old, of each VM of which nothing went wrong."""
    old: list[OldBackup] = []
    for item in job.vms:
        if item.error is not None:
            continue
        made: list[tuple[datetime.datetime, Backup | None]] = [(backup.mark.at, backup) for backup in item.known]
        # The one that was made now, or would be, counts.
        made += [(job.now, None)] if CLONE in item.done else []
        for backup in job.options.retention.expired(made, job.now):
            if backup is None:
                continue
            if backup.powered_off:
                old.append(OldBackup(backup=backup, of=item))
            else:
                item.warnings.append(f"{backup.path} is an old backup of {item.title}, and stays since it is not off.")

    old = _unused(job, _not_renamed(job, old))

    def note(each: OldBackup, outcome: Outcome) -> None:
        gone = isinstance(outcome.error, Fault) and outcome.error.fault == "ManagedObjectNotFound"
        if outcome.error is not None and not gone:
            each.of.fail(outcome.error)
        else:
            _note_removed(each)

    if job.task.check:
        for each in old:
            _note_removed(each)
        return
    with job.task.phase("prune"):
        job.task.call(
            old,
            lambda each: start_destroy(job.session, each.backup.moid),
            "old backups removed",
            note,
            repeatable=True,
        )


def _not_renamed(job: BackupTask, old: t.Sequence[OldBackup]) -> list[OldBackup]:
    """Without those that somebody has renamed while VMs were cloned, which may take hours: by that they are theirs."""
    names_now = read.renamed(job.session, [each.backup for each in old])
    for each in old:
        if each.backup.moid in names_now:
            name = names_now[each.backup.moid]
            each.of.warnings.append(f"{each.backup.path} was renamed to {name} meanwhile, and so it is not removed.")
    return [each for each in old if each.backup.moid not in names_now]


def _unused(job: BackupTask, old: t.Sequence[OldBackup]) -> list[OldBackup]:
    """Those whose disks no VM uses that stays, such as a linked clone that was made of one, or a VM that a disk of one was
    attached to. The others stay, with a warning. No call where nothing is old.
    """
    used = users(job.session, [each.backup.moid for each in old]) if old else {}
    going = set(used)
    while staying := {moid for moid in going if used[moid].keys() - going}:
        going -= staying
    free = []
    for each in old:
        others = [name for moid, name in used[each.backup.moid].items() if moid not in going]
        if others:
            each.of.warnings.append(
                f"{each.backup.path} is an old backup of {each.of.title}, and stays since its disks are used by "
                f"{names.listing(sorted(others), most=5)}."
            )
        else:
            free.append(each)
    return free


def _note_removed(each: OldBackup) -> None:
    item = each.of
    item.removed.append(each.backup)
    item.done += [PRUNE] if PRUNE not in item.done else []


# How the disks of a clone come about (API reference, VirtualMachineRelocateDiskMoveOptions).
_COPY, _CHILD = "moveAllDiskBackingsAndDisallowSharing", "createNewChildDiskBacking"


def start_clone(
    session: Session,
    vm: Vm,
    mark: Mark,
    *,
    mode: str,
    folder: str,
    datastore: str | None,
    snapshot: str | None,
) -> t.Any:
    """``CloneVM_Task``; the task's result is the backup, powered off, with its mark.

    :param folder: moid.
    :param datastore: moid; None for the source's own.
    :param snapshot: moid; None for the VM as it is.
    """
    location = vim.vm.RelocateSpec(
        diskMoveType=_CHILD if mode == LINKED else _COPY,
        # Without a pool that of the source; with one a cluster without DRS needs a host, too (API reference, RelocateSpec).
        pool=None if vm.in_pool else session.reference(vim.ResourcePool, vm.root_pool),
        host=None if vm.in_pool else session.reference(vim.HostSystem, vm.host),
        datastore=session.reference(vim.Datastore, datastore) if datastore else None,
    )
    spec = vim.vm.CloneSpec(
        location=location,
        powerOn=False,
        template=False,
        snapshot=snapshots.reference(session, snapshot) if snapshot else None,
        config=vim.vm.ConfigSpec(extraConfig=option_values({MARK_KEY: str(mark)})),
    )
    home = session.reference(vim.Folder, folder)
    return reference(session, vm.moid).CloneVM_Task(home, names.escape(mark.name), spec)
