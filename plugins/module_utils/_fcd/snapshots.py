# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A task about snapshots of first class disks, from its options to its result."""

from __future__ import annotations

import dataclasses
import typing as t

from .._connector import names
from .._engine import UNTOUCHED, Item, Missing, Task, diff
from .._errors import InvalidOption, VforgeError
from .._vsphere import fcd
from .._vsphere.fcd import DiskSnapshot, FirstClassDisk
from . import apply, plan, read
from .at_once import Twin, give_way
from .model import REVERTED, SnapshotOptions, SnapshotRequest
from .plan import ADVICE, NEW_DISK, REMOVE, REVERT, SNAPSHOT, SnapshotPlan, counts
from .read import Inventory

if t.TYPE_CHECKING:
    from .._connector.batch import Outcome
    from .._connector.session import Session

# What an entry of the result calls each step.
_DONE = {SNAPSHOT: "created", REMOVE: "removed", REVERT: "reverted", NEW_DISK: "disk_made"}


@dataclasses.dataclass(kw_only=True)
class SnapshotItem(Item):
    """A snapshot of the task.

    :ivar made: the ID of the disk that was made of it.
    """

    request: SnapshotRequest
    disk: FirstClassDisk
    plan: SnapshotPlan = dataclasses.field(default_factory=SnapshotPlan)
    id: str = ""
    made: str = ""

    @property
    def title(self) -> str:
        """What messages call it."""
        return self.request.title

    @property
    def name(self) -> str:
        """What its entry in the result calls it."""
        return self.request.description or (self.plan.snapshot.description if self.plan.snapshot else "") or self.id


def run(session: Session, options: SnapshotOptions, *, check: bool) -> dict[str, t.Any]:
    """Do what the options ask of snapshots, or in check mode find out what that would be.

    :returns: the module's result: ``changed``, ``snapshots``,
        ``failures``, ``diff`` and ``timing``.
    :raises VforgeError: before anything was changed.
    :raises PartialFailure: when something of it failed; it holds the whole result.
    """
    read.require(session)
    deadline = session.deadline(options.timeout)
    task: Task[SnapshotItem] = Task(session, [], "snapshots", deadline=deadline, parallel=options.parallel, check=check)
    with task.phase("lookup"):
        inventory = read.read_inventory(session, options.datacenter)
        task.items = _items(task, inventory, options)
    with task.phase("work"), task.accounted():
        if check:
            for item in task.items:
                item.foresee()
        else:
            _carry_out(session, task, inventory)
    entries = [_entry(item) for item in task.items]
    lines = _lines(task.items)
    result = {
        "changed": any(item.changed for item in task.items),
        "snapshots": task.with_missing("snapshots", entries, **UNTOUCHED),
        "counts": counts(task.items),
        "diff": diff(*lines),
    }
    return task.finish(result, advice="" if len(task.failed) == 1 and task.stopped is None else ADVICE)


def _items(task: Task[t.Any], inventory: Inventory, options: SnapshotOptions) -> list[SnapshotItem]:
    known: dict[tuple[str, str], FirstClassDisk] = {}
    items = []
    for place, request in enumerate(options.snapshots):
        try:
            disk = _disk_of(inventory, request, known)
        except VforgeError as error:
            if len(options.snapshots) == 1:
                raise
            entry = {
                "name": request.description or "",
                "id": request.id or "",
                "path": "",
                "disk": str(request.disk),
            }
            task.miss("snapshots", place, Missing(called=request.title, entry=entry, error=error))
            continue
        item = SnapshotItem(request=request, disk=disk)
        try:
            made = {each.name for each in inventory.disks(disk.store)} if request.new_disk else set()
            item.plan = plan.decide_snapshot(request, disk, made)
        except VforgeError as error:
            item.fail(error)
        else:
            item.steps = item.plan.steps
            item.id = item.plan.snapshot.id if item.plan.snapshot is not None else ""
        items.append(item)
    _check_once(items)
    return items


def _check_once(items: t.Sequence[SnapshotItem]) -> None:
    """Make sure that no two items are one snapshot, or revert one disk, however each names them.

    :raises InvalidOption: two are, or do.
    """
    known: dict[tuple[str, str], SnapshotItem] = {}
    for item in items:
        request = item.request
        # One that is not there is what it is called.
        which = "its revert" if request.state == REVERTED else item.id or request.id or request.description or ""
        other = known.setdefault((item.disk.id, which), item)
        if other is not item:
            raise InvalidOption(
                f"snapshots has one twice, or reverts one disk twice: {other.title}, and {item.title}.", option="snapshots"
            )


def _disk_of(inventory: Inventory, request: SnapshotRequest, known: dict[tuple[str, str], FirstClassDisk]) -> FirstClassDisk:
    """The disk of a snapshot, with its snapshots and the VMs that have it: three calls, once for
    each disk.
    """
    session = inventory.session
    store = inventory.store(request.datastore)
    key = (store.moid, str(request.disk))
    if key not in known:
        text = request.disk.id
        if not text:
            name = request.disk.name or ""
            text = fcd.only_one([disk for disk in inventory.disks(store) if disk.name == name], name, store).id
        disk = fcd.read_disk(session, store, text)
        owners = fcd.read_attachments(session, [(disk.id, store)])
        snapshots = fcd.read_snapshots(session, store, disk.id)
        known[key] = dataclasses.replace(disk, attachments=owners.get(disk.id, ()), snapshots=snapshots)
    return known[key]


def _carry_out(session: Session, task: Task[SnapshotItem], inventory: Inventory) -> None:
    def made(item: SnapshotItem, outcome: Outcome) -> None:
        if outcome.result is not None:
            item.id = outcome.result.id

    def disk_made(item: SnapshotItem, outcome: Outcome) -> None:
        if outcome.result is not None:
            item.made = outcome.result.config.id.id

    # A description can be there twice: what was sent and not answered is not sent again.
    task.stage(
        SNAPSHOT,
        lambda item: apply.start_snapshot(session, item.disk, item.request.description or ""),
        "snapshots made",
        then=made,
        results=True,
    )
    _yield_to_others(session, task)
    task.stage(
        NEW_DISK,
        lambda item: apply.start_new_disk(session, item.disk, item.id, item.request.new_disk or ""),
        "disks made of snapshots",
        then=disk_made,
        results=True,
    )
    _yield_disks_to_others(session, task, inventory)
    task.stage(
        REVERT,
        lambda item: apply.start_revert(session, item.disk, item.id),
        "disks reverted",
        repeatable=True,
    )
    task.stage(
        REMOVE,
        lambda item: apply.start_remove(session, item.disk, item.id),
        "snapshots removed",
        repeatable=True,
        done_already="NotFound",
    )


def _yield_to_others(session: Session, task: Task[SnapshotItem]) -> None:
    """Remove a snapshot of this run where another run has made one of the same description before. One call for each disk."""
    twins: dict[str, Twin] = {}
    for item in task.items:
        if SNAPSHOT not in item.done or not item.id:
            continue
        first = _made_first(session, item)
        item.plan = dataclasses.replace(item.plan, snapshot=first)
        if first.id != item.id:
            what = f"the snapshot {item.name} of {item.disk.title}"
            twins[item.title] = Twin(f"{what} ({first.id})", f"that ({item.id})")

    def take(item: SnapshotItem) -> None:
        item.done.remove(SNAPSHOT)
        item.id = item.plan.snapshot.id if item.plan.snapshot is not None else ""

    give_way(task, twins, lambda item: apply.start_remove(session, item.disk, item.id), "snapshots removed", take)


def _yield_disks_to_others(session: Session, task: Task[SnapshotItem], inventory: Inventory) -> None:
    """The same of the disks that were made of snapshots. One call for each datastore."""
    made = [item for item in task.items if item.made]
    own: dict[str, FirstClassDisk] = {}
    first: dict[str, FirstClassDisk] = {}
    for store in dict.fromkeys(item.disk.store for item in made):
        mine = [item for item in made if item.disk.store == store]
        come = {disk.id: disk for disk in inventory.come_since(store, [item.made for item in mine])}
        for item in mine:
            # Nothing has come where all are this run's.
            if item.made in come:
                own[item.title] = come[item.made]
                first[item.title] = plan.made_first(come[item.made], come.values())

    def take(item: SnapshotItem) -> None:
        item.done.remove(NEW_DISK)
        item.made = first[item.title].id

    twins = {title: Twin(first[title].title, disk.title) for title, disk in own.items() if first[title].id != disk.id}
    give_way(task, twins, lambda item: apply.start_delete(session, own[item.title]), "disks deleted", take)


def _made_first(session: Session, item: SnapshotItem) -> DiskSnapshot:
    """Of the snapshots that were made of a disk under one description, the one that stays."""
    before = {each.id for each in item.disk.snapshots}
    there = fcd.read_snapshots(session, item.disk.store, item.disk.id)
    called = [each for each in there if each.description == item.request.description and each.id not in before]
    if item.id not in {each.id for each in called}:
        return DiskSnapshot(id=item.id, description=item.name)  # it is not listed yet, and so none is older
    return min(called, key=lambda each: (each.created, each.id))


def _entry(item: SnapshotItem) -> dict[str, t.Any]:
    snapshot = item.plan.snapshot
    entry: dict[str, t.Any] = {
        "name": item.name,
        "id": item.id or None,
        "path": item.disk.path,
        "disk": item.disk.id,
        "disk_name": item.disk.name,
        "datastore": item.disk.store.name,
        "created": snapshot.created if snapshot is not None else "",
        "new_disk": item.made or None,
        "lost": [each.id for each in item.plan.lost],
        "actions": item.actions(_DONE),
        "changed": item.changed,
        "seconds": item.seconds,
    }
    return item.with_error(entry)


def _lines(items: t.Sequence[SnapshotItem]) -> tuple[list[str], list[str]]:
    before: list[str] = []
    after: list[str] = []
    for item in items:
        head = f"{item.disk.title}:\n"
        what = item.request.description or item.id
        if REMOVE in item.done:
            before += [head, f"  snapshot: {what}\n"]
            after.append(head)
        if SNAPSHOT in item.done:
            before.append(head)
            after += [head, f"  snapshot: {what}\n"]
        if REVERT in item.done:
            lost = names.listing([_called(each) for each in item.plan.lost]) or "none"
            before += [head, f"  later snapshots: {lost}\n"]
            after += [head, f"  reverted to: {what}\n"]
        if NEW_DISK in item.done:
            after += [f"{item.request.new_disk}:\n", f"  made of the snapshot: {what}\n"]
    return before, after


def _called(snapshot: DiskSnapshot) -> str:
    return snapshot.description or snapshot.id
