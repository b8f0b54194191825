# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is known of first class disks, however many they are, and which of them nobody seems to use."""

from __future__ import annotations

import dataclasses
import typing as t

from .._engine import Item, Task
from .._errors import Fault, NotFound, VforgeError
from .._vsphere import fcd
from .._vsphere.fcd import FirstClassDisk, Store, Unreadable
from . import plan, read
from .model import InfoOptions
from .task import known_of

if t.TYPE_CHECKING:
    from .._connector.batch import Outcome
    from .._connector.session import Session


@dataclasses.dataclass(kw_only=True)
class DiskItem(Item):
    """A disk that is looked at."""

    disk: FirstClassDisk
    tags: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """What messages call it."""
        return self.disk.title

    @property
    def name(self) -> str:
        """What its entry in the result calls it."""
        return self.disk.name


@dataclasses.dataclass(kw_only=True)
class FolderItem(Item):
    """A folder of a datastore whose files are listed."""

    store: Store
    folder: str

    @property
    def title(self) -> str:
        """What messages call it."""
        return self.folder


@dataclasses.dataclass
class Looked:
    """What was found on the datastores.

    :ivar lost: disks that are listed and cannot be found.
    :ivar others: disks that are not asked about, as far as it has to be known what they refer to.
    :ivar files: paths of the VMDKs in each folder that was listed, by moid of the datastore and folder.
    """

    items: list[DiskItem] = dataclasses.field(default_factory=list)
    lost: list[Unreadable] = dataclasses.field(default_factory=list)
    others: list[FirstClassDisk] = dataclasses.field(default_factory=list)
    files: dict[tuple[str, str], set[str]] = dataclasses.field(default_factory=dict)

    def files_beside(self, disk: FirstClassDisk) -> set[str] | None:
        """The VMDKs in the folder of a disk; None where they were not listed."""
        return self.files.get((disk.store.moid, read.folder_of(disk.path)))


def run(session: Session, options: InfoOptions) -> dict[str, t.Any]:
    """The module's result: ``disks`` and ``datastores`` and, where it is asked for, ``orphans``. Changes nothing.

    :raises VforgeError: a datastore, or a disk that is asked for by its ID, is not there.
    :raises PartialFailure: a signal or the loss of the server ended
        the task; it holds what is known.
    """
    deadline = session.deadline(options.timeout)
    task: Task[t.Any] = Task(session, [], "disks", deadline=deadline, parallel=options.parallel)
    inventory = read.read_inventory(session, options.datacenter)
    stores = [inventory.store(text) for text in options.datastores] or inventory.stores
    looked = Looked()
    listed: dict[str, int] = {}
    with task.phase("list"):
        for store in dict.fromkeys(stores):
            ids = fcd.list_ids(session, store)
            listed[store.moid] = len(ids)
            _read(session, looked, options, store, ids)
    _check_asked(options, looked)
    task.items = list(looked.items)
    with task.phase("details"), task.accounted():
        _attachments(session, looked)
        if options.details or options.tags:
            _details(task, looked, options)
        if options.orphans:
            _list_files(task, looked)
            _confirm(session, looked)
    with task.phase("names"):
        moids = [each.vm for item in looked.items for each in item.disk.attachments]
        called = read.vm_names(session, moids) if task.stopped is None else {}
    result: dict[str, t.Any] = {
        "changed": False,
        "disks": [_entry(item, called, options) for item in looked.items],
        "datastores": [
            {
                "name": store.name,
                "moid": store.moid,
                "path": store.path,
                "disks": listed[store.moid],
            }
            for store in stores
        ],
    }
    if options.orphans:
        result["orphans"], result["orphan_snapshots"] = _orphans(looked), _snapshots(looked)
    return task.finish(result)


def _read(session: Session, looked: Looked, options: InfoOptions, store: Store, ids: t.Sequence[str]) -> None:
    asked = set(options.ids or ids)
    # Whether somebody refers to a snapshot is said by all disks.
    for each in fcd.read_disks(session, store, [text for text in ids if options.orphans or text in asked]):
        if isinstance(each, Unreadable):
            looked.lost += [each] if each.id in asked else []
        elif each.id in asked and (not options.names or each.name in options.names):
            looked.items.append(DiskItem(disk=each))
        else:
            looked.others.append(each)


def _check_asked(options: InfoOptions, looked: Looked) -> None:
    # One of the others is there, and has none of the names that are asked for.
    found = {item.disk.id for item in looked.items} | {each.id for each in looked.lost} | {each.id for each in looked.others}
    missing = [text for text in options.ids if text not in found]
    if missing:
        raise NotFound(
            f"No first class disk with the ID {missing[0]} is on these datastores.",
            hint="Leave datastores out to look on all of them.",
            id=missing[0],
        )


def _attachments(session: Session, looked: Looked) -> None:
    """Which VMs have the disks: one call for each thousand.

    A disk of which vCenter does not say it that way is asked about by itself: that it is not
    known is never "no VM has it".
    """
    disks = [(item.disk.id, item.disk.store) for item in looked.items]
    owners = fcd.read_attachments(session, disks)
    for item in list(looked.items):
        if item.disk.id in owners:
            item.disk = dataclasses.replace(item.disk, attachments=owners[item.disk.id])
            continue
        try:
            alone = fcd.read_disk(session, item.disk.store, item.disk.id)
        except NotFound as error:
            looked.items.remove(item)
            looked.lost.append(Unreadable(item.disk.id, item.disk.store, error))
        else:
            item.disk = dataclasses.replace(item.disk, consumers=alone.consumers)


def _details(task: Task[t.Any], looked: Looked, options: InfoOptions) -> None:
    """What the catalogue does not have: a call or two for each disk."""
    session = task.session

    def start(item: DiskItem) -> None:
        if options.details:
            whole = fcd.read_disk(session, item.disk.store, item.disk.id)
            # The catalogue alone says which file a snapshot is.
            paths = {each.id: each.path for each in item.disk.snapshots}
            snapshots = tuple(
                dataclasses.replace(each, path=paths.get(each.id, ""))
                for each in fcd.read_snapshots(session, item.disk.store, item.disk.id)
            )
            item.disk = dataclasses.replace(
                whole,
                attachments=item.disk.attachments,
                used_mb=item.disk.used_mb,
                snapshots=snapshots,
            )
        if options.tags:
            item.tags = read.read_tags(session, item.disk)

    def note(item: DiskItem, outcome: Outcome) -> None:
        if isinstance(outcome.error, NotFound):
            looked.lost.append(Unreadable(item.disk.id, item.disk.store, outcome.error))
            looked.items.remove(item)
        elif outcome.error is not None:
            item.fail(outcome.error)

    task.call(list(looked.items), start, "disks read", note, repeatable=True)


def _list_files(task: Task[t.Any], looked: Looked) -> None:
    """The VMDKs in the folders in which disks are: one task for each folder."""
    disks = [item.disk for item in looked.items if item.disk.path and item.disk.store.browser]
    where = {(disk.store.moid, read.folder_of(disk.path)): disk.store for disk in disks}
    folders = [FolderItem(store=where[moid, folder], folder=folder) for moid, folder in sorted(where)]

    def note(item: FolderItem, outcome: Outcome) -> None:
        place = (item.store.moid, item.folder)
        if outcome.error is None and outcome.result is not None:
            looked.files[place] = read.files_in(item.folder, outcome.result)
        elif isinstance(outcome.error, Fault) and read.is_missing_folder(outcome.error):
            looked.files[place] = set()
        else:
            why = outcome.error or "the search ended without a result"
            task.session.warn(f"The files in {item.folder} could not be listed: {why}")

    task.call(
        folders,
        lambda item: read.start_search(task.session, item.store, item.folder),
        "folders listed",
        note,
        repeatable=True,
        results=lambda _item: True,
    )


def _confirm(session: Session, looked: Looked) -> None:
    """Ask for each disk whose file is not listed by itself: what cannot be found is listed and not
    there.
    """
    for item in list(looked.items):
        if plan.VMDK_GONE not in plan.dangling(item.disk, looked.files_beside(item.disk)):
            continue
        try:
            fcd.read_disk(session, item.disk.store, item.disk.id)
        except VforgeError as error:
            looked.items.remove(item)
            looked.lost.append(Unreadable(item.disk.id, item.disk.store, error))


# What is returned


def _entry(item: DiskItem, called: t.Mapping[str, str], options: InfoOptions) -> dict[str, t.Any]:
    disk = item.disk
    entry: dict[str, t.Any] = {
        "name": disk.name,
        "id": disk.id,
        "path": disk.path,
        "datastore": disk.store.name,
        **known_of(disk),
        "attached_to": [{"vm": each.vm, "name": called.get(each.vm, ""), "key": each.key} for each in disk.attachments],
        "cns": plan.cns_of(disk.metadata),
        "snapshots": [
            {
                "id": each.id,
                "description": each.description,
                "created": each.created,
                "path": each.path,
            }
            for each in disk.snapshots
        ],
    }
    if options.tags:
        entry["tags"] = list(item.tags)
    return item.with_error(entry)


def _orphans(looked: Looked) -> list[dict[str, t.Any]]:
    """The disks that nobody seems to use, and why; those first that cannot even be found."""
    lost: list[dict[str, t.Any]] = [
        {
            "id": each.id,
            "name": "",
            "path": "",
            "datastore": each.store.name,
            "reasons": [plan.NOT_FOUND],
            "cns": {},
            "capacity_mb": None,
        }
        for each in looked.lost
    ]
    found = []
    for item in looked.items:
        reasons = plan.dangling(item.disk, looked.files_beside(item.disk))
        if reasons:
            found.append(
                {
                    "id": item.disk.id,
                    "name": item.disk.name,
                    "path": item.disk.path,
                    "datastore": item.disk.store.name,
                    "reasons": list(reasons),
                    "cns": plan.cns_of(item.disk.metadata),
                    "capacity_mb": item.disk.capacity_mb,
                }
            )
    return [*lost, *found]


def _snapshots(looked: Looked) -> list[dict[str, t.Any]]:
    disks = [item.disk for item in looked.items]
    said = plan.references([*disks, *looked.others])
    return [
        {
            "id": each.id,
            "description": each.description,
            "disk": disk.id,
            "disk_name": disk.name,
            "datastore": disk.store.name,
            "reasons": [plan.UNREFERENCED],
        }
        for disk in disks
        for each in plan.unreferenced(disk, said)
    ]
