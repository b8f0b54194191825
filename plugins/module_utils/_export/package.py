# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of a package on this machine: written beside the place where they are to be, and put
there whole.

As an OVF a package is a folder of its name. As an OVA it is one file; its disks are received beside
it first, since an archive says the size of a file before the file.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import io
import os
import tarfile
import time
import typing as t

from .. import _files, _mounts
from .._errors import InvalidOption, TimedOut
from .._files import Draft, DraftFolder, FileMissing, Folder
from . import record
from .model import OVA
from .record import PackedFile, Record

if t.TYPE_CHECKING:
    from collections.abc import Iterator

WHAT = "OVF package"

_PART = 2**20

# The size of what is no file, and of an archive that is about to be put into its place.
_NO_FILE, _NOT_YET = -1, -2

# A field of a tar header of the standard form has room for 8 GiB; larger ones have a form that GNU
# tar, bsdtar, ovftool and vCenter read.
_MOST_USTAR = 8 * 2**30 - 1
_LONGEST_USTAR = 100


class PlaceTaken(InvalidOption):
    """Something else is in the place of a package."""

    error_code = "exists"


class FileSink:
    """Where the bytes of a file go; see ``lease.Sink``.

    :param handle: of the file; closed by whoever opened it.
    """

    def __init__(self, handle: int, path: str) -> None:
        self._handle = handle
        self._path = path

    def restart(self) -> None:
        """Empty the file."""
        with _files.explained(self._path, WHAT):
            os.ftruncate(self._handle, 0)
            os.lseek(self._handle, 0, os.SEEK_SET)

    def write(self, part: memoryview) -> None:
        """Add bytes, all of them.

        :raises FileUnwritable: as the system says, such as for a full disk.
        """
        with _files.explained(self._path, WHAT):
            while part:
                part = part[os.write(self._handle, part) :]


class Packages:
    """The folder of the packages.

    :param folder: open; None where it is not there yet, in check mode.
    :param form: of the packages.
    """

    def __init__(self, folder: Folder | None, dest: str, form: str) -> None:
        self._folder = folder
        self._dest = dest
        self.form = form

    def path(self, name: str) -> str:
        """Of the package: its descriptor, or its archive."""
        if self.form == OVA:
            return os.path.join(self._dest, f"{name}.ova")
        return os.path.join(self._dest, name, f"{name}.ovf")

    def sweep(self, name: str) -> None:
        """Remove what killed runs have left of a package.

        :raises InvalidOption: as the system says.
        """
        if self._folder is not None:
            self._folder.sweep_folders(name)
            self._folder.sweep(f"{name}.ova")

    def known(self, name: str) -> Record | None:
        """What the package is of that is there; None where there is none, or a part of it is
        missing.

        :raises InvalidOption: something else is in its place.
        """
        found, sizes = self._look(name)
        return found if found is not None and found.fits(sizes) else None

    def check_free(self, name: str, vm: str) -> None:
        """Make sure that a package may be made: what is in its place would be removed.

        :param vm: instance UUID of the VM that it is to be of.
        :raises PlaceTaken: there is something that is no package of this VM, nor a part of one.
        """
        found, there = self._look(name)
        if found is not None and found.vm == vm:
            return
        path = self.path(name) if self.form == OVA else os.path.dirname(self.path(name))
        if found is not None:
            raise PlaceTaken(
                f"{path} is the package of another VM, whose instance UUID is {found.vm}.",
                hint="Set package to another name, or remove that one.",
                path=path,
            )
        if os.path.basename(path) in there if self.form == OVA else there:
            raise PlaceTaken(
                f"{path} is there already, and vm_export has not made it.",
                hint="Set package or dest to another one, or remove it.",
                path=path,
            )

    def _look(self, name: str) -> tuple[Record | None, dict[str, int]]:
        """What is noted of a package, and what is in its folder: for a file its size, for all else
        a size that no file has.

        :raises InvalidOption: something else is in its place.
        """
        if self._folder is None:
            return None, {}
        try:
            with self._place(name) as folder:
                sizes = {file: _size(folder, file) for file in folder.names()}
                noted = _record_name(name, self.form)
                return record.parse(folder.read(noted, record.LONGEST)) if noted in sizes else None, sizes
        except FileMissing:
            return None, {}

    def all_of(self, vm: str) -> list[tuple[str, Record]]:
        """The packages of a VM that are there whole, of this form, by their names.

        :param vm: its instance UUID.
        """
        if self._folder is None:
            return []
        found = []
        for entry in sorted(self._folder.names()):
            name = entry.removesuffix(".ova.vforge.json") if self.form == OVA else entry
            if (self.form == OVA) == (name != entry) and not name.startswith("."):
                known = self._known_or_none(name)
                if known is not None and known.vm == vm:
                    found.append((name, known))
        return found

    def _known_or_none(self, name: str) -> Record | None:
        """As ``known``; None for what is none of ours."""
        try:
            return self.known(name)
        except InvalidOption:
            return None

    def remove(self, name: str) -> None:
        """Remove a package.

        :raises InvalidOption: as the system says.
        """
        folder = self._opened()
        if self.form == OVA:
            # What says that it is a package goes last: a death between leaves what the next run
            # finds.
            folder.remove(f"{name}.ova")
            folder.remove(_record_name(name, self.form))
        else:
            folder.remove_folder(name)

    @contextlib.contextmanager
    def _place(self, name: str) -> Iterator[Folder]:
        """The folder in which the files of a package are.

        :raises FileMissing: there is none.
        """
        folder = self._opened()
        if self.form == OVA:
            yield folder
            return
        inner = folder.subfolder(name)
        try:
            yield inner
        finally:
            inner.close()

    def begin(self, name: str) -> Package:
        """Begin a package.

        :raises InvalidOption: it cannot be written.
        """
        return Package(self._opened(), name, self.form)

    def _opened(self) -> Folder:
        if self._folder is None:
            raise FileMissing(f"The folder {self._dest} is not there.", hint="Make it.", path=self._dest)
        return self._folder


@contextlib.contextmanager
def opened(dest: str, form: str, *, make: bool) -> Iterator[Packages]:
    """The folder of the packages, for as long as the context lasts.

    :param make: whether it is made where there is none.
    :raises InvalidOption: it cannot be used.
    """
    _mounts.check(dest, what="folder of OVF packages")
    try:
        folder = _files.held_folder(dest, what=WHAT, make=make)
    except FileMissing:
        if make:
            raise
        yield Packages(None, dest, form)
        return
    try:
        if make:
            folder.check_access(dest)
        yield Packages(folder, dest, form)
    finally:
        folder.close()


def _record_name(name: str, form: str) -> str:
    return f"{name}.ova.vforge.json" if form == OVA else f"{name}.vforge.json"


def _size(folder: Folder, name: str) -> int:
    """Bytes of a regular file; less than none for what is no file."""
    with contextlib.suppress(OSError):
        status = os.stat(name, dir_fd=folder.handle, follow_symlinks=False)
        return status.st_size if _files.is_regular(status) else _NO_FILE
    return _NO_FILE


class Package:
    """A package in the making.

    :param folder: for it.
    """

    def __init__(self, folder: Folder, name: str, form: str) -> None:
        self.name = name
        self._folder = folder
        self._form = form
        self._draft = DraftFolder(folder, f"{name}.parts" if form == OVA else name)
        self._handles: dict[str, int] = {}

    def sink(self, name: str) -> FileSink:
        """A new file of it, to be written into."""
        self._handles[name] = self._draft.make(name)
        return FileSink(self._handles[name], self._draft.folder.path_of(name))

    def read(self, name: str, at: int, size: int) -> bytes:
        """Some bytes of a file of it."""
        return os.pread(self._handles[name], size, at)

    def add(self, name: str, data: bytes) -> str:
        """A new file of it, whole; returns its SHA-256."""
        self.sink(name).write(memoryview(data))
        return hashlib.sha256(data).hexdigest()

    def finish(
        self,
        files: t.Sequence[PackedFile],
        make_record: t.Callable[[tuple[PackedFile, ...]], Record],
        deadline: float,
    ) -> Record:
        """Put the package into its place.

        :param files: in the order in which an archive has them.
        :param make_record: is called with all files, an archive among them.
        :raises FileUnwritable: as the system says.
        :raises TimedOut: the deadline passed while files were packed.
        """
        with _files.explained(self._draft.folder.path, WHAT):
            for handle in self._handles.values():
                os.fsync(handle)
        if self._form == OVA:
            return self._archive(files, make_record, deadline)
        made = make_record(tuple(files))
        self.add(_record_name(self.name, self._form), made.as_bytes())
        # SMB gives no other name to a folder with a file in it that is open.
        self._close()
        self._draft.finish()
        return made

    def _archive(
        self,
        files: t.Sequence[PackedFile],
        make_record: t.Callable[[tuple[PackedFile, ...]], Record],
        deadline: float,
    ) -> Record:
        draft = Draft(self._folder, f"{self.name}.ova")
        try:
            target = _Hashed(draft)
            with tarfile.open(fileobj=target, mode="w|", format=_tar_format(files), bufsize=_PART) as tar:
                for file in files:
                    tar.addfile(_member(file), _Source(self._handles[file.name], deadline))
            archive = PackedFile(f"{self.name}.ova", target.size, target.digest(), "archive")
            made = make_record((archive, *files))
            # A death between the two leaves a part of a package of this VM, which the next run makes again.
            self._note(make_record((dataclasses.replace(archive, size=_NOT_YET), *files)))
            draft.finish()
        finally:
            draft.abandon()
        self._note(made)
        return made

    def _note(self, made: Record) -> None:
        """Write down beside an archive what it is."""
        self._folder.replace(_record_name(self.name, self._form), made.as_bytes())

    def abandon(self) -> None:
        """Let it go: what was not finished is removed."""
        with contextlib.suppress(InvalidOption):
            self._close()
        self._draft.abandon()

    def _close(self) -> None:
        """Close the files.

        :raises FileUnwritable: as the system says: NFS may tell only now that there was no room.
        """
        while self._handles:
            name, handle = self._handles.popitem()
            with _files.explained(self._draft.folder.path_of(name), WHAT):
                os.close(handle)


def _tar_format(files: t.Iterable[PackedFile]) -> int:
    """OVF wants the ustar form, which has no room for larger files than 8 GiB, nor for longer names
    than 100 bytes.
    """
    large = any(file.size > _MOST_USTAR or len(file.name.encode()) > _LONGEST_USTAR for file in files)
    return tarfile.GNU_FORMAT if large else tarfile.USTAR_FORMAT


def _member(file: PackedFile) -> tarfile.TarInfo:
    member = tarfile.TarInfo(file.name)
    member.size, member.mode, member.mtime = file.size, 0o644, int(time.time())
    return member


class _Source(io.RawIOBase):
    """A file that is packed, from its first byte on."""

    def __init__(self, handle: int, deadline: float) -> None:
        super().__init__()
        self._handle = handle
        self._deadline = deadline
        self._at = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: t.Any) -> int:
        if time.monotonic() > self._deadline:
            raise TimedOut(
                "The time allowed for the task was over while files were packed.",
                hint="Raise timeout.",
            )
        count = os.preadv(self._handle, [buffer], self._at)
        self._at += count
        return count


class _Hashed(io.RawIOBase):
    """Passes what is written on to a draft, and hashes it."""

    def __init__(self, draft: Draft) -> None:
        super().__init__()
        self._draft = draft
        self._hash = hashlib.sha256()
        self.size = 0

    def writable(self) -> bool:
        return True

    def write(self, data: t.Any) -> int:
        self._hash.update(data)
        self.size += len(data)
        return self._draft.write(data)

    def digest(self) -> str:
        """SHA-256 of all that was written."""
        return self._hash.hexdigest()
