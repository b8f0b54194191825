# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of disks on this machine: where they are made, what is noted of them, and their digests.

A disk is made in a folder beside the place where it is to be, and moved when it is whole. The
folder is locked as long as somebody works in it, and stays after an interruption: what can be gone
on with is gone on with by the next run.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import fcntl
import hashlib
import json
import os
import re
import stat
import typing as t

from .. import _files
from .._connector.tasks import Backoff
from .._errors import InvalidOption, TimedOut, VforgeError
from .._text import size
from .._vsphere import vmdk
from . import image, plan
from .image import Image, LocalBytes, QemuImg

_WHAT = "disk"
_PART = ".vforge-part"
_NOTE = ".vforge"
_STREAM = ".stream"
# That of a disk in pieces of 2 GiB names each of them.
_MOST_NOTE = 2**24

_PIECE = 2**20
_ZEROS = bytes(_PIECE)


@dataclasses.dataclass(frozen=True)
class Workplace:
    """A folder in which one disk is made.

    :ivar path: of the folder; absolute.
    :ivar target: path that the disk will have.
    """

    path: str
    target: str
    folder: _files.Folder

    @property
    def name(self) -> str:
        """Of the disk's file, in both folders."""
        return os.path.basename(self.target)

    def of(self, name: str) -> str:
        """The path of a file in it."""
        return os.path.join(self.path, name)

    def clear(self, *keep: str) -> None:
        """Remove what is in it, but for these names."""
        for name in os.listdir(self.path):
            if name not in keep:
                os.unlink(self.of(name))

    def rewrite(self, data: bytes, facts: t.Mapping[str, t.Any]) -> None:
        """Put other bytes in the place of the disk's own file, at once; who may read it stays.

        :param facts: as ``publish`` has them.
        """
        mode = stat.S_IMODE(os.stat(self.target).st_mode)
        with open(self.of(self.name), "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(data)
        self.publish([self.name], facts, kept=files_of(self.target)[:-1])

    def publish(self, names: t.Iterable[str], facts: t.Mapping[str, t.Any], kept: t.Iterable[str] = ()) -> None:
        """Move files to where they are to be, the disk's own last; its name then means all of it.

        :param facts: what is noted of the disk; nothing where they are empty. They are noted before, so that a run
            that ends in between leaves no disk of which nobody knows what it is.
        :param kept: paths of files that the disk has besides, which are in their place.
        """
        ordered = sorted(names, key=lambda name: name == self.name)
        for name in ordered:
            self.folder.check(name)
            _sync(self.of(name))
        if facts:
            paths = (*kept, *map(self.of, ordered))
            _note(self.target, facts, {os.path.basename(path): identity(path) for path in paths})
        if len(ordered) > 1:
            # The old disk's own file names files of these names, too.
            self.folder.remove(self.name)
        for name in ordered:
            _files.rename(self.of(name), name, to=self.folder.handle)
        self.folder.sync()


@contextlib.contextmanager
def workplace(target: str, deadline: float, tell: t.Callable[[str], None]) -> t.Iterator[Workplace]:
    """The folder in which a disk is made, for this run alone. It goes when it is empty at the end.

    :param target: path of the disk.
    :param deadline: of ``time.monotonic()``, for waiting for another run.
    :raises InvalidOption: the place is not to be trusted, or cannot be written.
    :raises TimedOut: another run works on this disk.
    """
    parent, name = os.path.split(os.path.abspath(target))
    path = _part_of(target)
    part = os.path.basename(path)
    with _files.open_folder(parent, what=_WHAT) as folder:
        folder.check(name)
        with _files.explained(path, _WHAT):
            handle = _locked(folder, part, deadline, lambda: tell(f"waiting for another run that makes {target}"))
        try:
            with _files.explained(path, _WHAT):
                yield Workplace(path, os.path.join(parent, name), folder)
        except VforgeError as error:
            _name_target(error, path, os.path.join(parent, name))
            raise
        finally:
            with contextlib.suppress(OSError):
                os.rmdir(part, dir_fd=folder.handle)
            os.close(handle)


def _name_target(error: VforgeError, part: str, target: str) -> None:
    """Have an error name the file of the user in place of one in the folder where it is made."""
    own = re.compile(rf"{re.escape(part)}/(?:{re.escape(os.path.basename(target))}|[^\s:,'\"]+)")
    called = target.removesuffix(_STREAM)
    error.message = own.sub(lambda _found: called, error.message)
    if error.details.get("path"):
        error.details["path"] = own.sub(lambda _found: called, str(error.details["path"]))


@contextlib.contextmanager
def scratch(target: str, deadline: float, tell: t.Callable[[str], None]) -> t.Iterator[Workplace]:
    """A folder as of ``workplace``, for what no later run could go on with: it is empty at the
    beginning, and at the end, whatever that is.
    """
    with workplace(target, deadline, tell) as place:
        place.clear()
        try:
            yield place
        finally:
            place.clear()


def _locked(folder: _files.Folder, part: str, deadline: float, waiting: t.Callable[[], None]) -> int:
    """The folder, open, with its lock.

    :raises InvalidOption: it is not to be trusted.
    :raises TimedOut: another run has it until the deadline.
    """
    waits = Backoff(deadline)
    while True:
        with contextlib.suppress(FileExistsError):
            os.mkdir(part, 0o700, dir_fd=folder.handle)
        with contextlib.suppress(FileNotFoundError):  # who had it may just have removed it
            handle = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder.handle)
            if _is_ours(folder, part, handle):
                return handle
            os.close(handle)
        waiting()
        if not waits.begin():
            raise TimedOut(
                f"Another run works on {folder.path_of(part)}, and did not end in the time allowed.",
                hint="Run again when it has ended.",
            )


def _is_ours(folder: _files.Folder, part: str, handle: int) -> bool:
    """Whether the lock of a folder could be had, and the folder is still in its place."""
    try:
        status = os.fstat(handle)
        if status.st_uid != os.geteuid() or status.st_mode & 0o077:
            _refuse(folder.path_of(part))
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.stat(part, dir_fd=folder.handle).st_ino == status.st_ino
    except (BlockingIOError, FileNotFoundError):
        return False
    except BaseException:
        os.close(handle)
        raise


def _refuse(path: str) -> t.NoReturn:
    raise InvalidOption(
        f"{path} belongs to somebody else, or others may write into it.",
        hint="Remove it, or choose another path.",
    )


def _sync(path: str) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


# What is noted of a disk


def identity(path: str) -> dict[str, t.Any]:
    """What changes when a file does, as far as it shows without reading it; empty where there is
    none.
    """
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return {}
    return {"size": status.st_size, "mtime": status.st_mtime_ns}


def _note(path: str, facts: t.Mapping[str, t.Any], files: t.Mapping[str, t.Any]) -> None:
    """Note what a disk was made of that is about to be in its place, in a file beside it, for the runs to come.

    What was noted of a disk that is there is true until then.

    :param files: identities of its files, by their names.
    """
    old, whole = noted(path), {**facts, "files": files}
    if old:
        whole["before"] = {**old, "files": _identities(path)}
    _files.replace(_note_of(path), json.dumps(whole, sort_keys=True).encode(), what="note of the disk")


def noted(path: str) -> dict[str, t.Any]:
    """What was noted of a disk; empty where nothing was, or the disk was changed since."""
    try:
        found = _files.parsed(_files.read(_note_of(path), _MOST_NOTE, what="note of the disk"))
        known = _identities(path)
    except (_files.FileMissing, ValueError, vmdk.NoDescriptor, image.ImageError):
        return {}
    if not known or not isinstance(found, dict):
        return {}
    for facts in (found, found.get("before")):
        if isinstance(facts, dict) and _fits(facts, path, known):
            return {name: value for name, value in facts.items() if name not in _OF_FILES}
    return {}


# What a note has of the files of its disk; older notes have the disk's own file alone.
_OF_FILES = ("files", "file", "before")


def _fits(facts: t.Mapping[str, t.Any], path: str, known: t.Mapping[str, t.Any]) -> bool:
    """Whether what is noted is noted of the files that are there."""
    if "files" not in facts:
        return bool(facts.get("file") == known.get(os.path.basename(path)))
    return bool(facts["files"] == known)


def _identities(path: str) -> dict[str, dict[str, t.Any]]:
    """What changes when a disk does, by the names of its files."""
    return {os.path.basename(file): identity(file) for file in files_of(path)}


def is_taken(path: str) -> bool:
    """Whether there is something in the place where a disk is to be made.

    :raises InvalidOption: it is nothing that may be replaced, such as a folder.
    """
    if not os.path.lexists(path):
        return False
    _files.check(path, what=_WHAT)
    return True


def in_short(path: str) -> str:
    """What is in a place, for the diff."""
    if not os.path.lexists(path):
        return "left of a run that was interrupted" if any(map(os.path.lexists, _parts_of(path))) else plan.NOT_THERE
    if not os.path.isfile(path):
        return "a link to nothing"
    facts = _facts_of(path)
    if facts:
        return plan.in_short(facts)
    with _files.explained(path, _WHAT, _files.FileUnreadable):
        try:
            own = sum(os.stat(file).st_size for file in files_of(path))
        except (vmdk.NoDescriptor, image.ImageError):
            return "a disk that is damaged"
        return f"{image.guess(path)}, {size(own)} on this machine" if image.is_disk(path) else f"a file of {size(own)}"


def _facts_of(path: str) -> dict[str, t.Any]:
    """What is noted of a disk for the result; empty also where the note is not to be trusted."""
    with contextlib.suppress(InvalidOption):
        facts = noted(path).get("facts")
        return facts if isinstance(facts, dict) else {}
    return {}


def is_to_remove(path: str, *, force: bool) -> bool:
    """Whether there is a disk, or what an interrupted run has left of one.

    :param force: whether a file goes that may be no disk.
    :raises FileRefused: there is a folder, or something else that is no file.
    :raises InvalidOption: it cannot be read, or is no disk.
    :raises NoDescriptor, ImageError: which files belong to it cannot be known.
    """
    if not _files.check_is_file(path, what=_WHAT, hint="Name the file of the disk."):
        return any(map(os.path.lexists, _parts_of(path)))
    with _files.explained(path, _WHAT, _files.FileUnreadable):
        if not force and not image.is_disk(path) and not _facts_of(path):
            raise InvalidOption(
                f"{path} is no disk, neither by its name nor by its content.",
                hint="Look whether path is right, or set force to delete it all the same.",
                option="path",
            )
        files_of(path)
    return True


def remove(path: str, deadline: float, tell: t.Callable[[str], None]) -> None:
    """Remove a disk, the files that its descriptor names, what is noted of it, and what an
    interrupted run has left of it.

    :param deadline: of ``time.monotonic()``, for waiting for a run that works on it.
    """
    for target in (path, stream_of(path)):
        if os.path.lexists(_part_of(target)):
            with scratch(target, deadline, tell):
                pass
    with _files.explained(path, _WHAT, _files.FileUnreadable):
        # A link to nothing has no files, and goes, too.
        files = dict.fromkeys((*files_of(path), os.path.abspath(path), _note_of(path)))
    for each in files:
        with _files.explained(each, _WHAT), contextlib.suppress(FileNotFoundError, NotADirectoryError):
            os.unlink(each)


def stream_of(path: str) -> str:
    """What a file that is imported is called while it is on its way."""
    return f"{path}{_STREAM}"


def _part_of(target: str) -> str:
    parent, name = os.path.split(os.path.abspath(target))
    return os.path.join(parent, f".{name}{_PART}")


def _parts_of(path: str) -> tuple[str, ...]:
    return _part_of(path), _part_of(stream_of(path))


def files_of(path: str) -> tuple[str, ...]:
    """The files of a disk: its own last. Those that its descriptor names lie beside it."""
    path = os.path.abspath(path)
    if not os.path.isfile(path):
        return ()
    extents: tuple[str, ...] = ()
    with LocalBytes(path) as source:
        head = source.read(0, vmdk.MOST_DESCRIPTOR)
    if head.startswith(b"# Disk DescriptorFile"):
        text = vmdk.descriptor(head, path)
        extents = tuple(image.beside(path, extent.file) for extent in text.extents if extent.file)
    return (*(extent for extent in dict.fromkeys(extents) if os.path.isfile(extent)), path)


def _note_of(path: str) -> str:
    folder, name = os.path.split(os.path.abspath(path))
    return os.path.join(folder, f".{name}{_NOTE}")


# Digests


def file_digest(path: str, progress: t.Callable[[int], None]) -> str:
    """SHA-256 of the bytes of a file, in hexadecimal digits."""
    digest = hashlib.sha256()
    with open(path, "rb", buffering=0) as file:
        buffer = memoryview(bytearray(_PIECE))
        while count := file.readinto(buffer):
            digest.update(buffer[:count])
            progress(count)
    return digest.hexdigest()


def content_digest(found: Image, tool: QemuImg, scratch: str, progress: t.Callable[[int], None]) -> str:
    """SHA-256 of the content of a disk, from its first byte to its last one: the same in every
    format.

    :param scratch: path of a file that may be written meanwhile, for formats that only qemu-img
        reads.
    """
    content = Content(progress)
    if found.format == image.VMDK and found.subformat == image.STREAM:
        with LocalBytes(found.path) as source:
            vmdk.verify(source, content.take)
    elif found.format == image.RAW:
        content.take_file(found.path, found.capacity)
    else:
        try:
            tool.convert(found, scratch, image.RAW, {}, lambda _percent: None)
            content.take_file(scratch, found.capacity)
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(scratch)
    return content.hexdigest()


class Content:
    """Makes the digest of a content that comes in its order."""

    def __init__(self, progress: t.Callable[[int], None]) -> None:
        self._digest = hashlib.sha256()
        self._progress = progress

    def take(self, part: bytes | int) -> None:
        """The next bytes, or how many bytes of zeros."""
        if isinstance(part, int):
            left = part
            while left:
                count = min(left, _PIECE)
                self._digest.update(_ZEROS if count == _PIECE else bytes(count))
                self._progress(count)
                left -= count
            return
        self._digest.update(part)
        self._progress(len(part))

    def take_file(self, path: str, capacity: int) -> None:
        """A raw image, which is filled up with zeros to the capacity; holes are not read."""
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            at, size = 0, min(os.fstat(handle).st_size, capacity)
            while at < size:
                start = _data_from(handle, at, size)
                if start > at:
                    self.take(start - at)
                    at = start
                    continue
                part = os.pread(handle, min(_PIECE, size - at), at)
                if not part:
                    break
                self.take(part)
                at += len(part)
            self.take(capacity - at)
        finally:
            os.close(handle)

    def hexdigest(self) -> str:
        """Of all that came."""
        return self._digest.hexdigest()


class HashedBytes:
    """A file that is read from its start to its end, as ``vmdk.Bytes``: the digest of it is made on the way.

    Some of it may be read out of turn besides, such as its end before the rest.
    """

    # What is between two places and was not read, such as tables that nobody asked for, is read for the digest alone.
    _FARTHEST = 2**26

    def __init__(self, source: LocalBytes, algorithm: str) -> None:
        self.label, self.size = source.label, source.size
        self._source = source
        self._digest = hashlib.new(algorithm, usedforsecurity=False)
        self._to = 0

    def read(self, at: int, size: int) -> bytes:
        """As ``LocalBytes.read``."""
        if self._to < at <= self._to + self._FARTHEST:
            self._hash_up_to(at)
        data = self._source.read(at, size)
        if at <= self._to < at + len(data):
            self._digest.update(memoryview(data)[self._to - at :])
            self._to = at + len(data)
        return data

    def _hash_up_to(self, end: int) -> None:
        while self._to < end and (part := self._source.read(self._to, min(_PIECE, end - self._to))):
            self._digest.update(part)
            self._to += len(part)

    def hexdigest(self) -> str:
        """Of the whole file; what was not read yet is read now."""
        self._hash_up_to(self.size)
        return self._digest.hexdigest()


def _data_from(handle: int, at: int, size: int) -> int:
    """Where the next data of a sparse file begin."""
    try:
        return min(os.lseek(handle, at, os.SEEK_DATA), size)
    except OSError as error:
        if error.errno == errno.ENXIO:
            return size
        return at  # a file system that does not know holes
