# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What has to be done with each disk and each snapshot, from the options and what there is. Pure.

Check mode, diff and the real run all use the same plan.
"""

from __future__ import annotations

import dataclasses
import typing as t

from .._connector import names
from .._engine import Difference, Item
from .._errors import Ambiguous, InvalidOption, NotFound
from .._vsphere.fcd import DiskSnapshot, FirstClassDisk, Store
from .model import (
    ABSENT,
    REVERTED,
    AttachedTo,
    CloneOf,
    Detached,
    DiskRequest,
    Existing,
    SnapshotRequest,
    Tag,
)

# Steps of a disk, in the order in which they are done.
DETACH, DELETE = "detach", "delete"
CREATE, CLONE, REGISTER = "create", "clone", "register"
RELOCATE, RENAME, GROW, INFLATE = "relocate", "rename", "grow", "inflate"
SET_FLAGS, CLEAR_FLAGS, METADATA = "set_flags", "clear_flags", "metadata"
ATTACH_TAGS, DETACH_TAGS, ATTACH = "attach_tags", "detach_tags", "attach"

# Steps of a snapshot.
SNAPSHOT, REMOVE, REVERT, NEW_DISK = "create_snapshot", "remove_snapshot", "revert", "new_disk"

# Of a task that has not done all of it.
ADVICE = "What succeeded stays and is listed; run again to do only what is missing."


def counts(items: t.Sequence[Item]) -> dict[str, int]:
    """How many disks or snapshots were changed, were as asked, and failed."""
    failed = sum(item.error is not None for item in items)
    changed = sum(bool(item.done) for item in items)
    unchanged = sum(not item.done and item.error is None for item in items)
    return {"changed": changed, "unchanged": unchanged, "failed": failed}


@dataclasses.dataclass(frozen=True)
class Target:
    """The VM that is to have a disk: its moid, and what messages call it."""

    moid: str
    title: str


@dataclasses.dataclass(frozen=True)
class DiskPlan:
    """What will be done with one disk.

    :ivar steps: in the order in which they are done.
    :ivar set_flags: control flags to set, ``clear_flags`` to clear, by the collection's names.
    :ivar metadata: pairs to set; ``remove_keys`` are those to remove.
    :ivar differences: between what there is and what is asked for.
    """

    steps: tuple[str, ...] = ()
    set_flags: tuple[str, ...] = ()
    clear_flags: tuple[str, ...] = ()
    metadata: t.Mapping[str, str] = dataclasses.field(default_factory=dict)
    remove_keys: tuple[str, ...] = ()
    attach_tags: tuple[Tag, ...] = ()
    detach_tags: tuple[Tag, ...] = ()
    differences: tuple[Difference, ...] = ()


def decide(
    request: DiskRequest,
    disk: FirstClassDisk | None,
    target: Target | None,
    *,
    tags: t.Collection[str] = (),
    store: str = "",
    source: FirstClassDisk | None = None,
) -> DiskPlan:
    """The plan for one disk.

    :param disk: as it is; None where it is not there.
    :param target: the VM that is to have it; None where none is asked for.
    :param tags: that it has, as ``category:name``.
    :param store: moid of the datastore on which it is to be; empty where it stays.
    :param source: of a clone.
    :raises VforgeError: why nothing is done with it.
    """
    if request.state == ABSENT:
        return _absent(request, disk)
    if disk is None:
        return _new(request, target, source)
    return _existing(request, disk, target, tags, store)


def _absent(request: DiskRequest, disk: FirstClassDisk | None) -> DiskPlan:
    if disk is None:
        return DiskPlan()
    if not disk.attached:
        return DiskPlan((DELETE,))
    if not isinstance(request.owner, Detached):
        raise _in_use(disk, "is not deleted", "Set detached too, to have it taken from the VM first.")
    return DiskPlan((DETACH, DELETE))


def _in_use(disk: FirstClassDisk, what: str, hint: str) -> InvalidOption:
    holders = [attachment.vm for attachment in disk.attachments] or list(disk.consumers)
    return InvalidOption(
        f"{disk.title} {what}, since the VM {names.listing(holders)} has it.",
        hint=hint,
        option="detached",
        in_use=True,
        vms=holders,
    )


def _new(request: DiskRequest, target: Target | None, source: FirstClassDisk | None) -> DiskPlan:
    if request.disk.id:
        raise NotFound(
            f"No first class disk with the ID {request.disk.id} is on the datastore {request.datastore}.",
            hint="A disk gets its ID from vCenter: name a disk that is to be made by its name.",
            id=request.disk.id,
        )
    steps = [_first_step(request, source)]
    if request.relocate_to and not isinstance(request.origin, Existing):
        raise InvalidOption(
            f"{request.title}: a disk that is not there cannot be relocated.",
            hint="Set datastore to the one on which it is to be made.",
            option="relocate_to",
        )
    if request.relocate_to:
        steps.append(RELOCATE)
    if isinstance(request.origin, Existing) and (request.size or request.inflated):
        raise InvalidOption(
            f"{request.title}: the size of a VMDK is known only once it is registered.",
            hint="Register it first, and grow or inflate it with the next task.",
            option="size",
        )
    if isinstance(request.origin, CloneOf) and request.size and source and request.size > source.capacity_mb:
        steps.append(GROW)
    if request.inflated and (request.provisioning or "thin") == "thin":
        steps.append(INFLATE)
    # What is said when the disk is made need not be said again.
    spoken = {} if isinstance(request.origin, Existing) else {"keep_after_delete_vm": False}
    if "keep_after_delete_vm" in request.flags and spoken:
        spoken["keep_after_delete_vm"] = request.flags["keep_after_delete_vm"]
    set_flags, clear_flags = _flags(request, spoken)
    metadata = {key: value for key, value in request.metadata.items() if value is not None}
    attach_tags = tuple(tag for tag in request.tags if tag.attached)
    steps += [SET_FLAGS] if set_flags else []
    steps += [CLEAR_FLAGS] if clear_flags else []
    steps += [METADATA] if metadata and isinstance(request.origin, Existing) else []
    steps += [ATTACH_TAGS] if attach_tags else []
    steps += [ATTACH] if target is not None else []
    return DiskPlan(tuple(steps), set_flags, clear_flags, metadata, (), attach_tags)


def _first_step(request: DiskRequest, source: FirstClassDisk | None) -> str:
    """How a disk is made that is not there.

    :raises InvalidOption: what is missing for it.
    """
    if isinstance(request.origin, Existing):
        return REGISTER
    if isinstance(request.origin, CloneOf):
        if source is not None and source.attached:
            raise _in_use(source, "cannot be cloned", "Detach it, or make a disk of a snapshot of it.")
        if source is not None and request.size and request.size < source.capacity_mb:
            raise _smaller(request, source)
        return CLONE
    if request.size is None:
        raise InvalidOption(
            f"{request.title} is not there, and no size is given to make it with.",
            hint="Set size.",
            option="size",
        )
    return CREATE


def _smaller(request: DiskRequest, disk: FirstClassDisk) -> InvalidOption:
    return InvalidOption(
        f"{disk.title} has {disk.capacity_mb} MiB, and {request.size} MiB are asked for: a disk is never made smaller.",
        hint="Make a smaller disk and copy what is on it.",
        option="size",
        actual_mb=disk.capacity_mb,
        wanted_mb=request.size,
    )


def _flags(request: DiskRequest, actual: t.Mapping[str, bool]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The control flags to set and those to clear; what is not named is left alone."""
    due = {name: wanted for name, wanted in request.flags.items() if actual.get(name, False) != wanted}
    return tuple(name for name, wanted in due.items() if wanted), tuple(name for name, wanted in due.items() if not wanted)


# A step, and in what the disk is not as asked for.
_Change: t.TypeAlias = tuple[str, list[Difference]]


def _existing(
    request: DiskRequest,
    disk: FirstClassDisk,
    target: Target | None,
    tags: t.Collection[str],
    store: str,
) -> DiskPlan:
    if request.size is not None and request.size < disk.capacity_mb:
        raise _smaller(request, disk)
    owner = _ownership(request, disk, target)
    moves = bool(store) and store != disk.store.moid
    body = _body(request, disk, moves=moves)
    _check_free(request, disk, owner, [step for step, _differences in body])
    set_flags, clear_flags = _flags(request, disk.flags)
    metadata, remove_keys = _metadata(request, disk)
    attach_tags = tuple(tag for tag in request.tags if tag.attached and str(tag) not in tags)
    detach_tags = tuple(tag for tag in request.tags if not tag.attached and str(tag) in tags)
    keys = [*metadata, *remove_keys]
    changes: list[_Change] = [
        (DETACH if owner == DETACH else "", [Difference("attached", "yes", "no")]),
        # As long as relocation_disabled is set, a disk cannot be moved.
        (CLEAR_FLAGS, [_flag(disk, name, wanted=False) for name in clear_flags]),
        *body,
        (SET_FLAGS, [_flag(disk, name, wanted=True) for name in set_flags]),
        (METADATA, [_pair(disk, key, metadata.get(key, "")) for key in keys]),
        (ATTACH_TAGS, [Difference(f"tag {tag}", "", "attached") for tag in attach_tags]),
        (DETACH_TAGS, [Difference(f"tag {tag}", "attached", "") for tag in detach_tags]),
        (
            ATTACH if owner == ATTACH else "",
            [Difference("attached_to", "", target.title if target is not None else "")],
        ),
    ]
    due = [(step, differences) for step, differences in changes if step and differences]
    return DiskPlan(
        steps=tuple(step for step, _differences in due),
        set_flags=set_flags,
        clear_flags=clear_flags,
        metadata=metadata,
        remove_keys=remove_keys,
        attach_tags=attach_tags,
        detach_tags=detach_tags,
        differences=(
            *(each for _step, differences in due for each in differences),
            *_fixed(request, disk),
        ),
    )


def _body(request: DiskRequest, disk: FirstClassDisk, *, moves: bool) -> list[_Change]:
    """What is changed of where a disk is, what it is called, and how large it is."""
    changes: list[_Change] = []
    if moves:
        changes.append((RELOCATE, [Difference("datastore", disk.store.name, request.relocate_to or "")]))
    if request.final_name is not None and request.final_name != disk.name:
        changes.append((RENAME, [Difference("name", disk.name, request.final_name)]))
    if request.size is not None and request.size > disk.capacity_mb:
        sizes = (f"{disk.capacity_mb} MiB", f"{request.size} MiB")
        changes.append((GROW, [Difference("size", *sizes)]))
    if request.inflated and disk.provisioning == "thin":
        changes.append((INFLATE, [Difference("provisioning", "thin", "eagerZeroedThick")]))
    return changes


def _flag(disk: FirstClassDisk, name: str, *, wanted: bool) -> Difference:
    return Difference(name, _word(disk.flags.get(name, False)), _word(wanted))


def _pair(disk: FirstClassDisk, key: str, wanted: str) -> Difference:
    return Difference(f"metadata.{key}", disk.metadata.get(key, ""), wanted)


def _word(value: bool) -> str:
    return "true" if value else "false"


def _fixed(request: DiskRequest, disk: FirstClassDisk) -> list[Difference]:
    """What a disk gets when it is made and keeps."""
    if request.inflated or not request.provisioning or request.provisioning == disk.provisioning or not disk.provisioning:
        return []
    why = "how a disk is provisioned is decided when it is made; inflated makes a thin one thick"
    return [Difference("provisioning", disk.provisioning, request.provisioning, why)]


def _metadata(request: DiskRequest, disk: FirstClassDisk) -> tuple[dict[str, str], tuple[str, ...]]:
    changed = {key: value for key, value in request.metadata.items() if value is not None and disk.metadata.get(key) != value}
    removed = tuple(key for key, value in request.metadata.items() if value is None and key in disk.metadata)
    return changed, removed


def _ownership(request: DiskRequest, disk: FirstClassDisk, target: Target | None) -> str:
    """Whether the disk is to be attached or detached; empty for neither.

    :raises InvalidOption: another VM has it.
    """
    if isinstance(request.owner, Detached):
        return DETACH if disk.attached else ""
    if not isinstance(request.owner, AttachedTo) or target is None:
        return ""
    if any(attachment.vm == target.moid for attachment in disk.attachments):
        return ""
    if disk.attached:
        raise _in_use(disk, f"is not attached to {target.title}", "Detach it by a task of its own first.")
    return ATTACH


# What vCenter does with disks only that no VM has.
_NEEDS_FREE = {RELOCATE: "be relocated", GROW: "grow", INFLATE: "be inflated"}


def _check_free(request: DiskRequest, disk: FirstClassDisk, owner: str, steps: t.Sequence[str]) -> None:
    """Refuse what cannot be done with a disk that a VM has, and goes on having.

    :param owner: DETACH where the disk is detached first.
    :raises InvalidOption: naming the VM.
    """
    asked = [_NEEDS_FREE[step] for step in steps if step in _NEEDS_FREE]
    if asked and disk.attached and owner != DETACH:
        raise _in_use(
            disk,
            f"cannot {names.listing(asked)}",
            "Set detached, and attach it again afterwards.",
        )
    fixed = disk.flags.get("relocation_disabled", False)
    if RELOCATE in steps and fixed and request.flags.get("relocation_disabled", True):
        raise InvalidOption(
            f"{disk.title} cannot be relocated: its control flag relocation_disabled is set.",
            hint="Set relocation_disabled to false in the same item.",
            option="relocation_disabled",
        )


def check_place(request: DiskRequest, store: Store) -> None:
    """Make sure that a VMDK that is registered is on the datastore of its item.

    :raises InvalidOption: it is on another one, where vCenter would not look.
    """
    origin = request.origin
    if isinstance(origin, Existing) and not names.same(origin.datastore, store.name):
        raise InvalidOption(
            f"{request.title}: {origin.path} is not on the datastore {store.name}.",
            hint=f"Set datastore to {origin.datastore}, or register a VMDK of {store.name}.",
            option="register",
        )


def same_file(disks: t.Iterable[FirstClassDisk], path: str) -> list[FirstClassDisk]:
    """The disks whose file is a path, also as the base of a chain."""
    return [disk for disk in disks if path in (disk.path, *disk.parents)]


def candidates(request: DiskRequest, disks: t.Sequence[FirstClassDisk]) -> list[FirstClassDisk]:
    """The disks that a name may mean: one that has it or, where none has, one that was renamed
    already.
    """
    if isinstance(request.origin, Existing):
        return same_file(disks, request.origin.path)
    named = [disk for disk in disks if disk.name == request.disk.name]
    if named or not request.new_name:
        return named
    return [disk for disk in disks if disk.name == request.new_name]


def made_first(disk: FirstClassDisk, come: t.Iterable[FirstClassDisk]) -> FirstClassDisk:
    """Which of several disks stays that two runs have made under one name at the same time: the one that both take for it.

    :param disk: that this run has made.
    :param come: what has come to its datastore meanwhile, with that disk as it is listed there.
    """
    called = [each for each in come if each.name == disk.name]
    # By its own entry in the list: its time may be written more exactly elsewhere. Where it is not listed yet, none is older.
    if disk.id not in {each.id for each in called}:
        return disk
    return min(called, key=lambda each: (each.created, each.id))


# Snapshots


@dataclasses.dataclass(frozen=True)
class SnapshotPlan:
    """What will be done with one snapshot.

    :ivar snapshot: as it is; None where it is not there.
    :ivar lost: later snapshots that a revert removes.
    """

    steps: tuple[str, ...] = ()
    snapshot: DiskSnapshot | None = None
    lost: tuple[DiskSnapshot, ...] = ()


def decide_snapshot(request: SnapshotRequest, disk: FirstClassDisk, made: t.Collection[str]) -> SnapshotPlan:
    """The plan for one snapshot.

    :param made: names of the disks of the datastore: one that is to be made of the
        snapshot is there where its name is.
    :raises VforgeError: why nothing is done with it.
    """
    found = _snapshot(request, disk)
    if request.state == ABSENT:
        return SnapshotPlan((REMOVE,) if found else (), found)
    if request.state == REVERTED:
        return _revert(request, disk, found)
    if found is None and request.id:
        raise _no_snapshot(request, disk)
    steps = () if found else (SNAPSHOT,)
    if request.new_disk and request.new_disk not in made:
        steps = (*steps, NEW_DISK)
    return SnapshotPlan(steps, found)


def _revert(request: SnapshotRequest, disk: FirstClassDisk, found: DiskSnapshot | None) -> SnapshotPlan:
    if found is None:
        raise _no_snapshot(request, disk)
    if disk.attached:
        raise _in_use(disk, "cannot be reverted", "Detach it first, with first_class_disk.")
    at = disk.snapshots.index(found)
    return SnapshotPlan((REVERT,), found, disk.snapshots[at + 1 :])


def _no_snapshot(request: SnapshotRequest, disk: FirstClassDisk) -> NotFound:
    known = [f"{each.id} ({each.description})" for each in disk.snapshots]
    return NotFound(
        f"{disk.title} has no snapshot {request.description or request.id}.",
        hint=f"It has: {names.listing(known) or 'none'}.",
        known=[each.id for each in disk.snapshots],
    )


def _snapshot(request: SnapshotRequest, disk: FirstClassDisk) -> DiskSnapshot | None:
    """The snapshot that is meant, or None.

    :raises Ambiguous: several have the description.
    """
    if request.id:
        return next((each for each in disk.snapshots if each.id == request.id), None)
    found = [each for each in disk.snapshots if each.description == request.description]
    if len(found) > 1:
        listed = [f"{each.id} ({each.created})" for each in found]
        raise Ambiguous(
            f"{len(found)} snapshots of {disk.title} have the description {request.description}: {names.listing(listed)}.",
            hint="Name the one that is meant by its id.",
            matches=[each.id for each in found],
        )
    return found[0] if found else None


# What nobody uses

# Why a disk or a snapshot is among those that nobody seems to use.
NOT_FOUND, NOT_ATTACHED, VMDK_GONE, UNREFERENCED = (
    "not_found",
    "not_attached",
    "vmdk_gone",
    "unreferenced",
)

# What CNS, the storage of Kubernetes on vSphere, writes into the metadata of its disks.
CNS_PREFIX = "cns."


def cns_of(metadata: t.Mapping[str, str]) -> dict[str, str]:
    """What CNS has said of a disk."""
    return {key: value for key, value in metadata.items() if key.startswith(CNS_PREFIX)}


def dangling(disk: FirstClassDisk, files: t.Collection[str] | None) -> tuple[str, ...]:
    """Why a disk may be one that nobody uses; empty where a VM has it and its file is there.

    :param files: paths of the VMDKs in its folder; None where they were not listed.
    """
    found = [] if disk.attached else [NOT_ATTACHED]
    if files is not None and disk.path and disk.path not in files:
        found.append(VMDK_GONE)
    return tuple(found)


@dataclasses.dataclass(frozen=True)
class References:
    """What disks refer to.

    :ivar words: all that their metadata says.
    :ivar files: the files that they rest on, with the IDs of those that do.
    """

    words: str
    files: t.Mapping[str, frozenset[str]]


def references(disks: t.Iterable[FirstClassDisk]) -> References:
    """What these disks refer to."""
    words: list[str] = []
    files: dict[str, set[str]] = {}
    for disk in disks:
        words += disk.metadata.values()
        for path in disk.parents:
            files.setdefault(path, set()).add(disk.id)
    return References(" ".join(words), {path: frozenset(ids) for path, ids in files.items()})


def unreferenced(disk: FirstClassDisk, said: References) -> list[DiskSnapshot]:
    """The snapshots of a disk that nothing refers to: no metadata of a disk names them, and no
    other disk rests on their file.
    """
    return [
        each for each in disk.snapshots if each.id not in said.words and not said.files.get(each.path, frozenset()) - {disk.id}
    ]
