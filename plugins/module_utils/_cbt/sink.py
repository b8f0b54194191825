# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where areas go: into the result while they are few, into files of JSON lines when they are many."""

from __future__ import annotations

import contextlib
import fcntl
import importlib
import json
import os
import secrets
import stat
import tempfile
import threading
import typing as t

from .. import _files
from .._errors import MissingLibrary
from .._vsphere.areas import Area

# Areas in the result of one task, of all disks together: some 70 MB, where Ansible holds the result
# several times.
MOST_IN_RESULT = 100_000

# Areas that are reserved in the result at a time.
_STEP = 1000

_BUFFER = 1 << 16

_WHAT = "file of areas"

# The folder that is made where none is given; while its task is at work, it has the other name.
_FOLDER, _WORKING = "vforge-changed-areas-", ".vforge-changed-areas-"

# An encoder that is kept: there may be a line for each of a million areas.
_as_json = json.JSONEncoder().encode


class AreaFiles:
    """Where the areas of one task go.

    :param folder: for files; a new one, for this user alone, when empty.
    :param compress: whether files are compressed with zstandard.
    :param write: False where nothing may be written; what would go into a file is then dropped.
    :param room: areas that the result may hold, of all disks together.
    """

    def __init__(self, folder: str, *, compress: bool = False, write: bool = True, room: int = MOST_IN_RESULT) -> None:
        self.compress = compress
        self.write = write
        self._given = folder
        self._lock = threading.Lock()
        self._folder: _files.Folder | None = None
        self._temporary: _Temporary | None = None
        self._room = room

    def __enter__(self) -> AreaFiles:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_rest: object) -> None:
        self.close(keep=kind is None)

    @property
    def temporary(self) -> bool:
        """Whether a folder was made for the files."""
        return self._temporary is not None

    def take(self, count: int) -> int:
        """Reserve room for so many areas in the result, or for as many as there is room for;
        returns for how many.
        """
        with self._lock:
            taken = min(count, self._room)
            self._room -= taken
            return taken

    def give_back(self, count: int) -> None:
        """Room that is not needed after all."""
        with self._lock:
            self._room += count

    def folder(self) -> _files.Folder:
        """The folder of the files, made with the first one.

        :raises InvalidOption: when there can be none.
        """
        with self._lock:
            if self._folder is None:
                self._folder = self._opened()
            return self._folder

    def given_folder(self) -> _files.Folder | None:
        """The folder that was given, where it is there; None for none."""
        if not self._given or not os.path.isdir(self._given):
            return None
        return self.folder()

    def close(self, *, keep: bool) -> None:
        """The end of the task.

        :param keep: whether files in a folder that was made for them stay. Those in a
            folder that was given always do.
        """
        folder, self._folder = self._folder, None
        temporary, self._temporary = self._temporary, None
        if folder is not None:
            try:
                if temporary is not None:
                    temporary.close(folder, keep=keep)
            finally:
                folder.close()

    def final_path(self, name: str | None) -> str | None:
        """Where a file is when the task is over."""
        if name is None:
            return None
        return os.path.join(self._temporary.final if self._temporary else self._given, name)

    def _opened(self) -> _files.Folder:
        if self._given:
            folder = _files.held_folder(self._given, what=_WHAT, make=True)
        else:
            self._temporary = _Temporary()
            folder = self._temporary.open()
        # What killed runs have left of files.
        folder.sweep()
        return folder


class _Temporary:
    """A folder in the temporary one. Its lock tells that its task is at work; without the lock, it
    is what is left of one.

    :ivar final: the path that it has when the task is over.
    """

    def __init__(self) -> None:
        self._parent = os.path.abspath(tempfile.gettempdir())
        name = secrets.token_hex(8)
        self._working, self._name = f"{_WORKING}{name}", f"{_FOLDER}{name}"
        self.final = os.path.join(self._parent, self._name)

    def open(self) -> _files.Folder:
        """Make it, when those of killed runs are gone.

        :raises InvalidOption: when it cannot be made.
        """
        with _files.open_folder(self._parent, what=_WHAT) as parent, _files.explained(self.final, _WHAT):
            for left in parent.names():
                if left.startswith(_WORKING):
                    _remove_left(parent, left)
            while True:
                os.mkdir(self._working, 0o700, dir_fd=parent.handle)
                folder = _locked(parent, self._working)
                # Another run may have taken it for one that was left, before it had its lock.
                if folder is not None:
                    return folder

    def close(self, folder: _files.Folder, *, keep: bool) -> None:
        """Give it its final name; where nothing is in it, or nothing is to be kept, remove it.

        :raises InvalidOption: when that cannot be done.
        """
        with _files.open_folder(self._parent, what=_WHAT) as parent, _files.explained(self.final, _WHAT):
            if keep and folder.names():
                _files.rename(self._working, self._name, parent.handle)
                parent.sync()
            else:
                _empty(folder)
                os.rmdir(self._working, dir_fd=parent.handle)


def _remove_left(parent: _files.Folder, name: str) -> None:
    """Remove the folder of a run that was killed; one that is at work, or somebody else's, stays."""
    with contextlib.suppress(FileNotFoundError):
        status = os.stat(name, dir_fd=parent.handle, follow_symlinks=False)
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
            return
        folder = _locked(parent, name)
        if folder is not None:
            try:
                _empty(folder)
                os.rmdir(name, dir_fd=parent.handle)
            finally:
                folder.close()


def _locked(parent: _files.Folder, name: str) -> _files.Folder | None:
    """A folder with its lock; None where another run has it, or has removed it."""
    try:
        folder = _files.held_folder(parent.path_of(name), what=_WHAT)
    except _files.FileMissing:
        return None
    try:
        fcntl.flock(folder.handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        there = os.stat(name, dir_fd=parent.handle, follow_symlinks=False)
        if os.path.samestat(there, os.fstat(folder.handle)):
            return folder
    except (BlockingIOError, FileNotFoundError):
        pass
    except BaseException:
        folder.close()
        raise
    folder.close()
    return None


def _empty(folder: _files.Folder) -> None:
    for name in folder.names():
        folder.remove(name)


class AreaSink:
    """Takes the areas of one disk; never holds more than ``most`` of them.

    :param files: of the task.
    :param name: of the file, without its ending.
    :param most: areas in the result; with one more, or where the result has no room
        left, all of them go into the file.
    :ivar path: the file, when it is finished; None where there is none.
    """

    def __init__(self, files: AreaFiles, name: str, most: int) -> None:
        self._files = files
        self._name = f"{name}.jsonl.zst" if files.compress else f"{name}.jsonl"
        self._most = most
        self._reserved = 0
        self._finished = False
        self._few: list[Area] | None = []
        self._draft: _files.Draft | None = None
        self._compressor: t.Any = None
        self._buffer = bytearray()
        self.path: str | None = None

    @property
    def areas(self) -> list[Area] | None:
        """The areas, or None where they were too many: they are in the file ``path`` then."""
        return self._few

    def add(self, area: Area) -> None:
        """Take one area.

        :raises InvalidOption: when the file cannot be written.
        """
        if self._few is None:
            self._write(area)
            return
        self._few.append(area)
        if len(self._few) > self._most or not self._has_room(len(self._few)):
            few, self._few = self._few, None
            self._give_back(0)
            if self._files.write:
                self._draft = _files.Draft(self._files.folder(), self._name)
                self._compressor = _zstandard().ZstdCompressor().compressobj() if self._files.compress else None
            for known in few:
                self._write(known)

    def finish(self) -> None:
        """Put the file in its place, if there is one; it was not there before it was whole.

        It is on the disk then, since a state file that goes on from here is written next. Where
        there is none, that of an earlier run goes, which nobody shall take for this one's.

        :raises InvalidOption: when the file cannot be written.
        """
        if self._draft is not None:
            self._flush(last=True)
            self._draft.finish()
            self._draft = None
            self.path = self._files.final_path(self._name)
        elif self._files.write and (folder := self._files.given_folder()) is not None:
            folder.remove(self._name)
        self._give_back(len(self._few or ()))
        self._finished = True

    def abandon(self) -> None:
        """Leave nothing behind, after a failure; after ``finish`` it does nothing."""
        if self._draft is not None:
            self._draft.abandon()
            self._draft = None
        if not self._finished:
            self._give_back(0)

    def _has_room(self, count: int) -> bool:
        while self._reserved < count:
            taken = self._files.take(min(_STEP, self._most - self._reserved))
            if not taken:
                return False
            self._reserved += taken
        return True

    def _give_back(self, but: int) -> None:
        self._files.give_back(self._reserved - but)
        self._reserved = but

    def _write(self, area: Area) -> None:
        if self._draft is None:
            return
        self._buffer += _as_json({"start": area.start, "length": area.length}).encode() + b"\n"
        if len(self._buffer) >= _BUFFER:
            self._flush()

    def _flush(self, *, last: bool = False) -> None:
        data = bytes(self._buffer)
        self._buffer.clear()
        if self._compressor is not None:
            data = self._compressor.compress(data) + (self._compressor.flush() if last else b"")
        if data and self._draft is not None:
            self._draft.write(data)


def check(folder: str, *, compress: bool) -> None:
    """Make sure, before anything is begun, that files can be written.

    :param folder: that was given; empty for none.
    :raises InvalidOption: when they cannot.
    :raises MissingLibrary: naming the library that is missing.
    """
    if compress:
        _zstandard()
    if folder:
        _files.check_folder(folder, what=_WHAT)


def _zstandard() -> t.Any:
    try:
        return importlib.import_module("zstandard")
    except ImportError as error:
        raise MissingLibrary.of_python(
            f"The Python library zstandard cannot be imported ({error}).",
            "zstandard>=0.22",
            "set areas_compress to false",
        ) from error
