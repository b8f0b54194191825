# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The disk database of a disk on a datastore: its descriptor, a small text file, is read and written by its path.

There is no call for it in the API but that for the UUID. A file that is sent to a datastore is
replaced in place, so what was there before is kept in a file beside it until the new text has been
read back. A run that ended in between is found out by that file, and what was before is put back.
"""

from __future__ import annotations

import json
import typing as t

from .._disk_import import apply
from .._errors import InvalidOption, VforgeError
from .._files import parsed
from .._vsphere import fcd, vmdk
from .._vsphere.datastore_files import DatastoreFiles, DatastorePath, NoSuchFile
from .._vsphere.disks import unknown_among, users_of_files
from .._vsphere.flat import without_files
from .._vsphere.vm import moid_of
from . import metadata, read

if t.TYPE_CHECKING:
    from .._connector.session import Session
    from .._vsphere.disks import DiskUser

_KEPT = ".vforge-old"

# What is more than a descriptor may have is none.
_MOST = vmdk.MOST_DESCRIPTOR + 1


class InUse(VforgeError):
    """Somebody works with the disk, or disks build on it."""

    error_code = "in_use"


class NotWritten(VforgeError):
    """A descriptor did not get the text that was sent."""

    error_code = "descriptor_not_written"


class HalfWritten(NotWritten):
    """A descriptor has neither its old nor its new text."""


class Described(t.NamedTuple):
    """A descriptor.

    :ivar whole: as it is, or was before a run that ended amid writing it.
    :ivar wanted: as it is to be.
    :ivar left: whether such a run, or one before it, has left its file.
    :ivar torn: whether the descriptor is half-written.
    """

    whole: bytes
    wanted: bytes
    left: bool
    torn: bool

    @property
    def as_asked(self) -> bool:
        """Whether nothing is to be done."""
        return not self.left and self.whole == self.wanted


def look(files: DatastoreFiles, path: DatastorePath, asked: t.Mapping[str, str]) -> Described:
    """What the descriptor of a disk is, and is to be. Two files are read, no call is made.

    :raises NotWritable: the disk has no descriptor of its own, or is a delta disk.
    """
    now = files.read(path, _MOST)
    left, before, after = _kept(files, path)
    # What a run that was ended has written is the beginning of what it was to write.
    torn = now != after and after.startswith(now)
    whole = before if torn else now
    metadata.check(whole, str(path))
    if vmdk.descriptor(whole, str(path)).parent:
        raise metadata.NotWritable(
            f"{path} is a delta disk, whose metadata is that of its base.",
            hint="Remove the snapshots first, or copy the disk.",
        )
    return Described(whole, metadata.changed(whole, asked), left, torn)


def _kept(files: DatastoreFiles, path: DatastorePath) -> tuple[bool, bytes, bytes]:
    """What an earlier run has replaced and not come to an end with: whether there is anything, the
    text before, and the text after. Both are empty where it did not come to replacing it.
    """
    try:
        found = parsed(files.read(_kept_of(path), 4 * _MOST))
        return True, found["before"].encode("latin-1"), found["after"].encode("latin-1")
    except NoSuchFile:
        return False, b"", b""
    except (ValueError, KeyError, TypeError, AttributeError):
        return True, b"", b""


def check_unused(session: Session, datacenter: t.Any, path: DatastorePath) -> read.Place:
    """Make sure that nobody works with a disk, and nothing builds on it: two calls, four where its
    datastore holds many VMs.

    :returns: where the disk is.
    :raises InUse: somebody does.
    :raises InvalidOption: there are no files of disks on its datastore.
    """
    place = read.place_of(session, datacenter, path)
    if without_files(place.kind):
        raise InvalidOption(f"The metadata of {path} cannot be written: {without_files(place.kind)}.", option="metadata")
    _check_users(path, _users(session, place, path))
    return place


def check_nobodys(session: Session, datacenter: t.Any, path: DatastorePath) -> read.Place:
    """Make sure that no VM has a disk, also none that is off, and that it is no first class disk: vCenter deletes and
    replaces such a disk without a word. Three calls, five where its datastore holds many VMs; one more on vSAN and
    vVols, and some where it has first class disks.

    :returns: where the disk is.
    :raises InUse: naming the VMs, or the first class disk.
    """
    place = read.place_of(session, datacenter, path)
    check_still_nobodys(session, place, path)
    return place


def check_still_nobodys(session: Session, place: read.Place, path: DatastorePath) -> None:
    """The same once more: two calls, four where the datastore holds many VMs, and some where it has first class disks.

    :raises InUse: naming the VMs, or the first class disk.
    """
    users = _users(session, place, path)
    if users:
        raise InUse(
            f"{path} belongs to {', '.join(user.name for user in users)}, as its disk or as that of a snapshot.",
            hint="Take it off the VM first, or choose another disk.",
        )
    first_class = fcd.disk_of_file(session, fcd.Store(moid_of(place.datastore), path.datastore), place.names)
    if first_class is not None:
        raise InUse(
            f"{path} is the first class disk {first_class.title}, whether a VM has it or not.",
            hint="Delete it by first_class_disk, or choose another disk.",
        )


def _users(session: Session, place: read.Place, path: DatastorePath) -> list[DiskUser]:
    """The VMs that use a disk.

    :raises InUse: vCenter does not know which files some VMs have.
    """
    users = _found(session, place, path)
    unknown = unknown_among(users)
    if unknown:
        raise InUse(
            f"Whose {path} is cannot be known: vCenter does not know the files of {unknown}, on the same datastore.",
            hint="Have its host connected, its storage accessible and the VM readable, or take it out of the inventory.",
        )
    return users


def _found(session: Session, place: read.Place, path: DatastorePath) -> list[DiskUser]:
    """The VMs that use a disk, or may use it; those of other datacenters, too, that have the same storage."""
    return users_of_files(session, place.where, place.datacenter, {str(path): place.names})[str(path)]


def _check_users(path: DatastorePath, users: t.Sequence[DiskUser]) -> None:
    running = [user.name for user in users if user.power_state != "poweredOff"]
    if running:
        raise InUse(f"{path} is used by {', '.join(running)}, which is not powered off.", hint="Power it off first.")
    if len(users) > 1 or any(user.shared for user in users):
        raise InUse(
            f"Delta disks build on {path}, those of snapshots or of linked clones ({', '.join(user.name for user in users)}).",
            hint="Remove the snapshots first, or copy the disk.",
        )


def check_not_locked(
    session: Session,
    datacenter: t.Any,
    path: DatastorePath,
    *,
    locked: bool,
) -> None:
    """Make sure that no VM is known that runs with a disk: its host has locked it then.

    Two calls, four where its datastore holds many VMs, and one more on vSAN and vVols.

    :param locked: whether somebody has locked it for certain. If not, those VMs are left out that
        may have it below a delta disk, to which they write no more.
    :raises InUse: naming the VMs, and their power state.
    """
    users = _found(session, read.place_of(session, datacenter, path), path)
    if locked:
        running = [user for user in users if user.known and user.power_state != "poweredOff"]
    else:
        running = [user for user in users if user.known and user.power_state == "poweredOn" and not user.shared]
    if running:
        which = ", ".join(f"{user.name} is {user.power_state}" for user in running)
        raise InUse(
            f"{path} cannot be copied: {which}, and its host has locked the file.",
            hint="Power it off first, or get the disk by state exported and transport lease, which works with a running VM.",
        )


def started_meanwhile(session: Session, place: read.Place, path: DatastorePath) -> str:
    """The VM that was powered on with a disk while it was written; empty where none was. One call,
    or three where the datastore holds many VMs.
    """
    users = _found(session, place, path)
    running = [user.name for user in users if user.known and user.power_state != "poweredOff"]
    return ", ".join(running)


def write(files: DatastoreFiles, path: DatastorePath, found: Described, unreachable: t.Callable[[], bool]) -> None:
    """Write a descriptor, and read it back.

    What was before is in a file beside it then, which ``start_forget`` deletes.

    :raises NotWritten: it has another text then; what was before is put back.
    :raises HalfWritten: that did not succeed.
    :raises FileLocked, FileDenied: the server does not take it.
    """
    both = {"before": found.whole.decode("latin-1"), "after": found.wanted.decode("latin-1")}
    files.write(_kept_of(path), json.dumps(both).encode())
    try:
        _replace(files, path, found.wanted)
    except BaseException:
        if not unreachable():
            _put_back(files, path, found.whole)
        raise


def _replace(files: DatastoreFiles, path: DatastorePath, text: bytes) -> None:
    files.write(path, text)
    if files.read(path, _MOST) != text:
        raise NotWritten(f"{path} did not get the text that was sent, and has its old one again.", hint="Run again.")


def _put_back(files: DatastoreFiles, path: DatastorePath, whole: bytes) -> None:
    try:
        if files.read(path, _MOST) != whole:
            _replace(files, path, whole)
    except VforgeError as error:
        raise HalfWritten(
            f"Whether {path} has its old text is not known ({error.message}).",
            hint=f"Run again before a VM uses the disk: what was before is in {_kept_of(path)}, and is put back.",
        ) from error


def start_forget(session: Session, datacenter: t.Any, path: DatastorePath) -> t.Any:
    """Delete the file in which is kept what was before; a task."""
    return apply.start_delete_file(session, datacenter, str(_kept_of(path)))


def _kept_of(path: DatastorePath) -> DatastorePath:
    return path.beside(f"{path.name}{_KEPT}")
