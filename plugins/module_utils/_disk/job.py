# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The disk of a task, and what is done to it in its place on a datastore."""

from __future__ import annotations

import dataclasses
import functools
import os
import time
import typing as t

from .._disk_import import apply
from .._errors import Fault, VforgeError
from .._temporary_snapshots import SnapshotItem
from .._vsphere import vmdk
from .._vsphere.datastore_files import DatastoreFiles, DatastorePath, FileDenied, FileLocked, NoSuchFile
from .._vsphere.flat import Flat
from . import converting, describing, exporting, local, plan

if t.TYPE_CHECKING:
    from .._connector.session import Session
    from .._engine import Task
    from .image import QemuImg
    from .local import Workplace

_SECONDS_TO_CLEAN_UP = 300.0


@dataclasses.dataclass(kw_only=True)
class DiskItem(SnapshotItem):
    """The disk of a task.

    :ivar called: where it comes from, for messages.
    :ivar place: where it is, or is to be.
    :ivar facts: what its entry in the result says of it.
    :ivar fetched, resumed, sent: bytes that came now, that had come before, and that were sent.
    :ivar before, after: lines of the diff, each with its line end.
    """

    vm: t.Any = None
    called: str
    place: str
    facts: dict[str, t.Any] = dataclasses.field(default_factory=dict)
    fetched: int = 0
    resumed: int = 0
    sent: int = 0
    adapter: str = "lsilogic"
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()

    def becomes(self, before: str, after: str) -> None:
        """Say for the diff what is in its place, and what is to be there."""
        self.before, self.after = (f"{self.place}: {before}\n",), (f"{self.place}: {after}\n",)

    @property
    def title(self) -> str:
        """What messages call it."""
        return self.called

    @property
    def name(self) -> str:
        """What its entry in the result calls it."""
        return os.path.basename(self.place)


def publish(tool: QemuImg, item: DiskItem, place: Workplace, made: converting.Made, made_of: t.Mapping[str, t.Any]) -> None:
    """Move what was made to its place, and note what it is and was made of."""
    folder = os.path.dirname(place.target)
    old = {os.path.basename(file) for file in local.files_of(place.target)}
    new = [os.path.basename(file) for file in made.image.files]
    item.facts |= {
        **converting.described(tool, made.image),
        "content_sha256": made.content,
        "path": place.target,
        "files": [os.path.join(folder, name) for name in new],
    }
    place.publish(new, {**made_of, "facts": item.facts})
    for name in old - set(new):
        place.folder.remove(name)


@dataclasses.dataclass(frozen=True)
class OnDatastore:
    """The place of a disk on a datastore, and what it takes to work there.

    :ivar datacenter: a reference.
    """

    task: Task[DiskItem]
    item: DiskItem
    files: DatastoreFiles
    datacenter: t.Any
    path: DatastorePath

    @property
    def session(self) -> Session:
        """In which all is done."""
        return self.task.session

    def run(self, start: t.Callable[[], t.Any], doing: str) -> None:
        """One call, and the task that it may begin.

        :raises VforgeError: why it failed.
        """
        self.task.call_one(self.item, start, doing)

    def read_back(self, path: DatastorePath) -> str:
        """SHA-256 of the content of a disk on a datastore."""
        flat = Flat(self.files, path)
        flat.state()
        wanted = plan.spans(None, flat.capacity)
        return exporting.content_of(flat, wanted, self.session.show_progress, f"reading {path}")

    def in_short(self) -> str:
        """What is in the place, for the diff. One small file is read, no call is made."""
        try:
            text = vmdk.descriptor(self.files.read(self.path, vmdk.MOST_DESCRIPTOR), str(self.path))
        except NoSuchFile:
            return plan.NOT_THERE
        except (vmdk.NoDescriptor, FileLocked, FileDenied):
            return "a file"
        return plan.in_short({"capacity": text.capacity, **converting.of_descriptor(text)})

    def check_replaceable(self) -> t.Callable[[], None]:
        """Make sure that no VM has a disk that is to be replaced; what is returned does so once more.

        :raises InUse: both do, where one has it.
        """
        place = describing.check_nobodys(self.session, self.datacenter, self.path)
        return functools.partial(describing.check_still_nobodys, self.session, place, self.path)

    def delete(self) -> None:
        """Delete the disk.

        :raises VforgeError: why it stays.
        """
        self.run(lambda: apply.start_delete(self.session, self.datacenter, str(self.path)), "disks deleted")

    def delete_copy(self, copy: DatastorePath) -> None:
        """Delete a copy that has not come to its place; where that fails, the next run does it that replaces or deletes
        the disk of the place.
        """
        self._delete_beside(copy, apply.start_delete, "disks deleted")

    def delete_note(self, note: DatastorePath) -> None:
        """Delete what was noted beside the disk. The disk is as it was asked for all the same where that fails; then the
        next run does it.
        """
        self._delete_beside(note, apply.start_delete_file, "notes deleted")

    def _delete_beside(self, file: DatastorePath, start: t.Callable[[Session, t.Any, str], t.Any], doing: str) -> None:
        """Delete what lies beside the disk, and warn where that fails. What is gone by then was to be deleted."""
        deadline = max(self.task.deadline, time.monotonic() + _SECONDS_TO_CLEAN_UP)
        call = functools.partial(start, self.session, self.datacenter, str(file))
        try:
            self.task.call_one(self.item, call, doing, repeatable=True, deadline=deadline)
        except VforgeError as error:
            if not isinstance(error, Fault) or error.fault != "FileNotFound":
                self.item.warnings.append(f"{file} stays until the next run: {error.message}")
