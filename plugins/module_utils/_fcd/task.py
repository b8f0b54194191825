# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A task about first class disks, from its options to its result.

It takes plain options and a Session, so that it runs in a module as well as in an action plugin.
"""

from __future__ import annotations

import contextlib
import dataclasses
import typing as t

from .._connector import versions
from .._engine import UNTOUCHED, Item, Missing, Part, Task, changes, diff
from .._errors import InvalidOption, NotFound, TaskGone, VforgeError
from .._vsphere import fcd
from .._vsphere.fcd import FirstClassDisk, Store
from .._vsphere.policies import Policy, find_policy
from . import apply, plan, read
from .at_once import Twin, give_way
from .model import (
    ABSENT,
    AttachedTo,
    CloneOf,
    DiskOptions,
    DiskRequest,
    Existing,
)
from .plan import (
    ADVICE,
    ATTACH,
    ATTACH_TAGS,
    CLEAR_FLAGS,
    CLONE,
    CREATE,
    DELETE,
    DETACH,
    DETACH_TAGS,
    GROW,
    INFLATE,
    METADATA,
    REGISTER,
    RELOCATE,
    RENAME,
    SET_FLAGS,
    DiskPlan,
    Target,
    counts,
)
from .read import Inventory

if t.TYPE_CHECKING:
    from .._connector.batch import Outcome
    from .._connector.session import Session

# What an entry of the result calls each step.
_DONE = {
    DETACH: "detached",
    DELETE: "deleted",
    CREATE: "created",
    CLONE: "cloned",
    REGISTER: "registered",
    RELOCATE: "relocated",
    RENAME: "renamed",
    GROW: "grown",
    INFLATE: "inflated",
    SET_FLAGS: "flags_set",
    CLEAR_FLAGS: "flags_cleared",
    METADATA: "metadata_changed",
    ATTACH_TAGS: "tags_attached",
    DETACH_TAGS: "tags_detached",
    ATTACH: "attached",
}

# Steps that make a disk under a name.
_MAKING = (CREATE, CLONE)

# Of several tags, where not all could be.
_SOME_ATTACHED = Part(ATTACH_TAGS, "some_tags_attached")
_SOME_DETACHED = Part(DETACH_TAGS, "some_tags_detached")


@dataclasses.dataclass(kw_only=True)
class DiskItem(Item):
    """A disk of the task.

    :ivar store: the datastore on which it is, or is to be made.
    :ivar disk: as it is now; None where it is not there.
    :ivar before: as it was found.
    :ivar goes_to: the datastore to which it is relocated; ``store`` where it stays.
    :ivar source: of a clone.
    :ivar profile: ID of the storage policy of a new disk.
    """

    request: DiskRequest
    store: Store
    goes_to: Store
    disk: FirstClassDisk | None = None
    before: FirstClassDisk | None = None
    target: Target | None = None
    source: FirstClassDisk | None = None
    profile: str | None = None
    tags: tuple[str, ...] = ()
    plan: DiskPlan = dataclasses.field(default_factory=DiskPlan)

    @property
    def title(self) -> str:
        """What messages call it."""
        return self.request.title

    @property
    def name(self) -> str:
        """What its entry in the result calls it."""
        return self.disk.name if self.disk is not None else self.request.final_name or self.request.disk.id or ""

    @property
    def was_made(self) -> bool:
        """Whether this run has made the disk."""
        return self.disk is not None and any(step in self.done for step in _MAKING)

    @property
    def there(self) -> FirstClassDisk:
        """The disk.

        :raises ValueError: it is not there.
        """
        if self.disk is None:
            raise ValueError(f"{self.title} is not there")
        return self.disk


def run(session: Session, options: DiskOptions, *, check: bool) -> dict[str, t.Any]:
    """Do what the options ask for, or in check mode find out what that would be.

    :returns: the module's result: ``changed``, ``disks``, ``reconciled``,
        ``failures``, ``diff``, ``timing``.
    :raises VforgeError: before anything was changed.
    :raises PartialFailure: when something of it failed; it holds the whole result.
    """
    read.require(session)
    deadline = session.deadline(options.timeout)
    task: Task[t.Any] = Task(session, [], "disks", deadline=deadline, parallel=options.parallel, check=check)
    inventory = read.read_inventory(session, options.datacenter)
    stores = list(dict.fromkeys(inventory.store(text) for text in options.reconcile))
    reconciled: list[ReconcileItem] = []
    with task.phase("reconcile"), task.accounted():
        reconciled = _reconcile(task, stores)
    items: list[DiskItem] = []
    if task.stopped is None:
        # What was reconciled is in the result, whatever the disks are.
        begun = any(each.changed for each in reconciled) and not check
        with task.phase("lookup"), task.accounted() if begun else contextlib.nullcontext():
            items = _items(task, inventory, options)
            task.items = [*reconciled, *items]
        with task.phase("work"), task.accounted():
            if check:
                for item in items:
                    item.foresee()
            else:
                _carry_out(session, task, inventory)
        if not check:
            with task.accounted():
                _look_again(session, items)
    entries = [_entry(item, check=check) for item in items]
    result = {
        "changed": any(item.changed for item in items) or any(each.changed for each in reconciled),
        "disks": task.with_missing("disks", entries, **UNTOUCHED),
        "reconciled": [each.entry() for each in reconciled],
        "counts": counts(items),
        "diff": _diff(items),
    }
    return task.finish(result, advice="" if len(task.failed) == 1 and task.stopped is None else ADVICE)


# Reconciling


@dataclasses.dataclass(kw_only=True)
class ReconcileItem(Item):
    """A datastore whose list of disks is put right.

    :ivar gone: IDs that were listed, and are no more; in check mode those that cannot be found.
    """

    store: Store
    before: list[str]
    gone: list[str] = dataclasses.field(default_factory=list)

    @property
    def title(self) -> str:
        """What messages call it."""
        return self.store.path or self.store.name

    @property
    def changed(self) -> bool:
        """Whether the list was changed."""
        return bool(self.gone)

    def entry(self) -> dict[str, t.Any]:
        """Its entry in the result."""
        found = {
            "datastore": self.store.name,
            "listed": len(self.before),
            "removed": self.gone,
            "changed": self.changed,
        }
        return self.with_error(found)


_RECONCILE = "reconcile"


def _reconcile(task: Task[t.Any], stores: t.Sequence[Store]) -> list[ReconcileItem]:
    """Put the lists of disks right that are named; what went is what was listed and is no more."""
    session = task.session
    items = [ReconcileItem(steps=(_RECONCILE,), store=store, before=fcd.list_ids(session, store)) for store in stores]
    task.items = list(items)
    if task.check:
        for item in items:
            found = fcd.read_disks(session, item.store, item.before)
            item.gone = [each.id for each in found if isinstance(each, fcd.Unreadable)]
            item.done = [_RECONCILE]
        return items
    task.stage(
        _RECONCILE,
        lambda item: apply.start_reconcile(session, item.store),
        "datastores reconciled",
        repeatable=True,
    )
    for item in items:
        if _RECONCILE in item.done:
            left = set(fcd.list_ids(session, item.store))
            item.gone = [text for text in item.before if text not in left]
    return items


# What is meant


def _items(task: Task[t.Any], inventory: Inventory, options: DiskOptions) -> list[DiskItem]:
    """The items of the disks that can be named; the others are missing."""
    session = task.session
    owners = [request.owner for request in options.disks]
    selectors = [owner.vm for owner in owners if isinstance(owner, AttachedTo)]
    targets = read.find_targets(session, selectors, options.datacenter)
    policies: dict[str, Policy] = {}
    items = []
    for place, request in enumerate(options.disks):
        try:
            item = _found(inventory, request)
            item.target = _target(request, targets)
            if request.policy and item.disk is None:
                item.profile = _profile(session, policies, request.policy, item.store)
        except VforgeError as error:
            if len(options.disks) == 1:
                raise
            task.miss("disks", place, _missing(request, error))
            continue
        items.append(item)
    _check_once(items)
    _complete(session, items)
    for item in items:
        _decide(session, item)
    return items


def _check_once(items: t.Sequence[DiskItem]) -> None:
    """Make sure that no two items are one disk: one may name it by its name and the other by its ID, or the datastore by its
    name and by its path.

    :raises InvalidOption: two are.
    """
    known: dict[str, DiskItem] = {}
    for item in items:
        which = item.disk.id if item.disk is not None else f"{item.store.moid} {item.name}"
        other = known.setdefault(which, item)
        if other is not item:
            raise InvalidOption(f"disks has one disk twice: as {other.title}, and as {item.title}.", option="disks")


def _missing(request: DiskRequest, error: VforgeError) -> Missing:
    entry = {
        "name": request.disk.name or "",
        "id": request.disk.id or "",
        "path": "",
        "datastore": request.datastore,
    }
    return Missing(called=request.title, entry=entry, error=error)


def _found(inventory: Inventory, request: DiskRequest) -> DiskItem:
    """The item of one request, with the disk as the catalogue has it.

    :raises VforgeError: it cannot be said which disk is meant.
    """
    session = inventory.session
    store = inventory.store(request.datastore)
    goes_to = inventory.store(request.relocate_to) if request.relocate_to else store
    plan.check_place(request, store)
    item = DiskItem(request=request, store=store, goes_to=goes_to)
    places = list(dict.fromkeys((store, goes_to)))
    if request.disk.id:
        item.disk = _by_id(session, places, request)
    else:
        found = [disk for place in places for disk in plan.candidates(request, inventory.disks(place))]
        item.disk = fcd.only_one(found, request.disk.name or "", store) if found else None
    if item.disk is None and isinstance(request.origin, CloneOf):
        item.source = _source(inventory, store, request.origin)
    return item


def _by_id(session: Session, places: t.Sequence[Store], request: DiskRequest) -> FirstClassDisk | None:
    for place in places:
        try:
            return fcd.read_disk(session, place, request.disk.id or "")
        except NotFound:
            continue
    return None


def _source(inventory: Inventory, store: Store, origin: CloneOf) -> FirstClassDisk:
    if origin.disk.id:
        return fcd.read_disk(inventory.session, store, origin.disk.id)
    name = origin.disk.name or ""
    return fcd.only_one([disk for disk in inventory.disks(store) if disk.name == name], name, store)


def _target(request: DiskRequest, targets: t.Mapping[t.Any, str | VforgeError]) -> Target | None:
    if not isinstance(request.owner, AttachedTo):
        return None
    found = targets[request.owner.vm]
    if isinstance(found, VforgeError):
        raise found
    return Target(found, str(request.owner.vm))


def _profile(session: Session, known: dict[str, Policy], name: str, store: Store) -> str:
    """The ID of a storage policy that allows a datastore.

    :param known: the policies that were found before, by name.
    :raises InvalidOption: it does not.
    """
    if name not in known:
        known[name] = find_policy(session, name)
    if store.moid not in known[name].datastores:
        raise InvalidOption(
            f"The storage policy {name} does not allow the datastore {store.name}.",
            hint="Use another datastore or another policy.",
            option="storage_policy",
        )
    return known[name].profile


def _complete(session: Session, items: t.Sequence[DiskItem]) -> None:
    """Read of each disk what the catalogue does not have: one call a disk, and one for the VMs of
    all of them.
    """
    named = [item for item in items if item.disk is not None and not item.request.disk.id]
    for item in named:
        item.disk = fcd.read_disk(session, item.there.store, item.there.id)
    sources = [item.source for item in items if item.source is not None]
    asked = [(disk.id, disk.store) for disk in (*(item.disk for item in items), *sources) if disk is not None]
    owners = fcd.read_attachments(session, asked) if asked else {}
    for item in items:
        if item.disk is not None:
            item.disk = dataclasses.replace(item.disk, attachments=owners.get(item.disk.id, ()))
            if item.request.tags and item.request.state != ABSENT:
                item.tags = read.read_tags(session, item.disk)
        if item.source is not None:
            item.source = dataclasses.replace(item.source, attachments=owners.get(item.source.id, ()))
        item.before = item.disk


def _decide(session: Session, item: DiskItem) -> None:
    goes_to = item.goes_to.moid if item.request.relocate_to else ""
    try:
        item.plan = plan.decide(item.request, item.disk, item.target, tags=item.tags, store=goes_to, source=item.source)
        _require_metadata(session, item.plan)
    except VforgeError as error:
        item.fail(error)
    else:
        item.steps = item.plan.steps


def _require_metadata(session: Session, decided: DiskPlan) -> None:
    """Make sure that this vCenter takes metadata: with a new disk later releases do, of one that is there still later ones.

    :raises NotSupported: it is older.
    """
    hint = "Leave metadata out. With a new disk it needs vCenter 6.7.2 or later, with one that is there 7.0.2."
    if METADATA in decided.steps:
        versions.require(session, "7.0.2", "cannot change the metadata of a first class disk", hint=hint)
    elif decided.metadata:
        versions.require(session, "6.7.2", "makes no first class disk with metadata", hint=hint)


# The steps


def _become(item: DiskItem, outcome: Outcome) -> None:
    """Take the disk that a task has made or moved."""
    store = item.goes_to if RELOCATE in item.done else item.store
    if outcome.result is not None:
        attachments = item.disk.attachments if item.disk is not None else ()
        item.disk = dataclasses.replace(fcd.disk_in(outcome.result, store), attachments=attachments)
    elif item.disk is not None:
        item.disk = dataclasses.replace(item.disk, store=store)
    else:
        why = f"vCenter says that {item.title} was made, and does not return it."
        item.fail(TaskGone(why, hint="Run again: what was made is then found."))


def _carry_out(session: Session, task: Task[t.Any], inventory: Inventory) -> None:
    _detach(session, task)
    task.stage(
        DELETE,
        lambda item: apply.start_delete(session, item.there),
        "disks deleted",
        done_already="NotFound",
    )
    _make(session, task)
    _yield_to_others(session, task, inventory)
    _change(session, task)
    _attach(session, task)


def _detach(session: Session, task: Task[t.Any]) -> None:
    def start(item: DiskItem) -> t.Any:
        return apply.start_detach(session, item.there, item.there.attachments[0].vm)

    def then(item: DiskItem, _outcome: Outcome) -> None:
        item.disk = dataclasses.replace(item.there, attachments=(), consumers=())

    unknown = [item for item in task.items if item.due(DETACH) and not item.there.attachments]
    for item in unknown:
        item.fail(
            NotFound(
                f"vCenter does not say which VM has {item.there.title}.",
                hint="Detach it from its VM in the vSphere Client.",
            )
        )
    task.stage(DETACH, start, "disks detached", then=then)


def _make(session: Session, task: Task[t.Any]) -> None:
    # A name can be taken twice: what was sent and not answered is not sent again.
    task.stage(
        CREATE,
        lambda item: apply.start_create(session, item.request, item.store, item.profile),
        "disks created",
        then=_become,
        results=True,
    )
    task.stage(
        CLONE,
        lambda item: apply.start_clone(session, item.request, item.store, item.source, item.profile),
        "disks cloned",
        then=_become,
        results=True,
    )

    def register(item: DiskItem) -> None:
        origin = item.request.origin
        if isinstance(origin, Existing):
            item.disk = fcd.disk_in(apply.register(session, item.request, origin, item.store), item.store)

    task.stage(REGISTER, register, "disks registered")


def _yield_to_others(session: Session, task: Task[t.Any], inventory: Inventory) -> None:
    """Delete a disk of this run where another run has made one of the same name before, and go on with that one."""
    made = [item for item in task.items if isinstance(item, DiskItem) and item.was_made and item.error is None]
    first: dict[str, FirstClassDisk] = {}
    for store in dict.fromkeys(item.store for item in made):
        mine = [item for item in made if item.store == store]
        come = inventory.come_since(store, [item.there.id for item in mine])
        first |= {item.title: plan.made_first(item.there, come) for item in mine}
    late = [item for item in made if first[item.title].id != item.there.id]

    def take(item: DiskItem) -> None:
        item.done = [step for step in item.done if step not in _MAKING]
        item.disk = first[item.title]

    twins = {item.title: Twin(first[item.title].title, item.there.title) for item in late}
    give_way(task, twins, lambda item: apply.start_delete(session, item.there), "disks deleted", take)
    yielded = [item for item in late if not item.was_made]
    _complete(session, yielded)
    for item in yielded:
        _decide(session, item)


def _change(session: Session, task: Task[t.Any]) -> None:
    def flags(item: DiskItem) -> None:
        apply.set_flags(session, item.there, item.plan.set_flags)

    def no_flags(item: DiskItem) -> None:
        apply.clear_flags(session, item.there, item.plan.clear_flags)

    def clear() -> None:
        task.stage(CLEAR_FLAGS, no_flags, "flags cleared", repeatable=True)

    clear()
    task.stage(
        RELOCATE,
        lambda item: apply.start_relocate(session, item.there, item.goes_to, item.request.provisioning),
        "disks relocated",
        then=_become,
        results=True,
    )
    task.stage(
        RENAME,
        lambda item: apply.rename(session, item.there, item.request.final_name or ""),
        "disks renamed",
        repeatable=True,
    )
    task.stage(
        GROW,
        lambda item: apply.start_grow(session, item.there, item.request.size or 0),
        "disks grown",
        repeatable=True,
    )
    task.stage(
        INFLATE,
        lambda item: apply.start_inflate(session, item.there),
        "disks inflated",
        repeatable=True,
    )
    task.stage(SET_FLAGS, flags, "flags set", repeatable=True)
    task.stage(
        METADATA,
        lambda item: apply.start_metadata(session, item.there, item.plan.metadata, item.plan.remove_keys),
        "metadata written",
        repeatable=True,
    )
    _tag(session, task)


def _tag(session: Session, task: Task[t.Any]) -> None:
    """Attach tags, and detach others. Each takes a call, and what was done before one that is refused stays done."""

    def attach(item: DiskItem) -> None:
        for tag in item.plan.attach_tags:
            apply.attach_tag(session, item.there, tag)
            note(item, _SOME_ATTACHED)

    def detach(item: DiskItem) -> None:
        for tag in item.plan.detach_tags:
            apply.detach_tag(session, item.there, tag)
            note(item, _SOME_DETACHED)

    def note(item: DiskItem, part: Part) -> None:
        if part not in item.parts:
            item.parts.append(part)

    task.stage(ATTACH_TAGS, attach, "tags attached", repeatable=True)
    task.stage(DETACH_TAGS, detach, "tags detached", repeatable=True)


def _attach(session: Session, task: Task[t.Any]) -> None:
    """Attach disks.

    Of several for one VM vCenter takes one at a time; the engine waits for the one before.
    """

    def start(item: DiskItem) -> t.Any:
        owner, target = item.request.owner, item.target
        if not isinstance(owner, AttachedTo) or target is None:
            raise TypeError(f"{item.title} is to be attached to no VM")
        return apply.start_attach(session, item.there, target.moid, owner)

    task.stage(ATTACH, start, "disks attached")


def _look_again(session: Session, items: t.Sequence[DiskItem]) -> None:
    """What the changed disks are now: one call each, and one for the VMs of all."""
    changed = [item for item in items if item.done and item.disk is not None and DELETE not in item.done]
    for item in changed:
        item.disk = fcd.read_disk(session, item.there.store, item.there.id)
    owners = fcd.read_attachments(session, [(item.there.id, item.there.store) for item in changed]) if changed else {}
    for item in changed:
        item.disk = dataclasses.replace(item.there, attachments=owners.get(item.there.id, ()))


# What is returned


def _entry(item: DiskItem, *, check: bool) -> dict[str, t.Any]:
    disk = None if DELETE in item.done else item.disk
    entry: dict[str, t.Any] = {
        "name": item.name,
        "id": item.disk.id if item.disk is not None else None,
        "path": item.disk.path if item.disk is not None else "",
        "datastore": disk.store.name if disk is not None else item.store.name,
        "state": "present" if disk is not None or (check and item.request.state != ABSENT) else "absent",
        "actions": item.actions(_DONE),
        "changed": item.changed,
        "seconds": item.seconds,
        "differences": [difference.as_result() for difference in item.plan.differences],
    }
    if disk is not None:
        entry |= known_of(disk)
    return item.with_error(entry)


def known_of(disk: FirstClassDisk) -> dict[str, t.Any]:
    """What a result says of a disk."""
    return {
        "capacity_mb": disk.capacity_mb,
        "used_mb": disk.used_mb,
        "provisioning": disk.provisioning or None,
        "created": disk.created,
        "flags": dict(disk.flags),
        "metadata": dict(disk.metadata),
        "attached_to": [{"vm": attachment.vm, "key": attachment.key} for attachment in disk.attachments],
    }


def _diff(items: t.Sequence[DiskItem]) -> dict[str, str]:
    before: list[str] = []
    after: list[str] = []
    for item in items:
        if item.error is not None and not item.done:
            continue
        old, new = _lines(item)
        before += old
        after += new
    return diff(before, after)


def _lines(item: DiskItem) -> tuple[list[str], list[str]]:
    head = f"{item.title}:\n"
    if item.before is None:
        if not item.steps:
            return [], []
        request = item.request
        lines = [head, f"  name: {request.final_name}\n"]
        lines += [f"  size: {request.size} MiB\n"] if request.size else []
        lines += [f"  {name}: {'true' if wanted else 'false'}\n" for name, wanted in sorted(request.flags.items())]
        lines += [f"  metadata.{key}: {value}\n" for key, value in sorted(item.plan.metadata.items())]
        lines += [f"  tag {tag}: attached\n" for tag in item.plan.attach_tags]
        return [], lines
    if DELETE in item.steps:
        return [head, f"  id: {item.before.id}\n", f"  size: {item.before.capacity_mb} MiB\n"], []
    return changes(head, item.plan.differences)
