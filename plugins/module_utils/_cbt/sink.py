# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the areas of a disk go: into the result while they are few, into a file of JSON lines when they are many."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import tempfile
import typing as t

from .._errors import InvalidOption, MissingLibrary
from .areas import Area

# An encoder that is kept: there may be a line for each of a million areas.
_as_json = json.JSONEncoder().encode


class _Writes(t.Protocol):
    def write(self, data: bytes, /) -> object: ...

    def close(self) -> object: ...


class AreaSink:
    """Takes the areas of one disk; never holds more than ``most`` of them.

    :param folder: for the file; a new one, for this user alone, when empty.
    :param name: of the file, without its ending.
    :param most: areas in the result; with one more, all of them go into the file instead.
    :param compress: whether the file is compressed with zstandard.
    :param write: False where nothing may be written; what would go into the file is then dropped.
    """

    def __init__(self, folder: str, name: str, most: int, *, compress: bool = False, write: bool = True) -> None:
        self._folder = folder
        self._name = f"{name}.jsonl.zst" if compress else f"{name}.jsonl"
        self._most = most
        self._compress = compress
        self._few: list[Area] | None = []
        self._write_file = write
        self._part: str | None = None
        self._plain: t.BinaryIO | None = None
        self._file: _Writes | None = None
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
        if len(self._few) > self._most:
            few, self._few = self._few, None
            if self._write_file:
                self._open()
            for known in few:
                self._write(known)

    def finish(self) -> None:
        """Put the file in its place, if there is one; it was not there before it was whole.

        It is on the disk then, since a state file that goes on from here is written next. Where there is none, that of an
        earlier run goes, which nobody shall take for this one's.

        :raises InvalidOption: when the file cannot be written.
        """
        with _told(self._folder):
            if self._file is not None and self._plain is not None and self._part is not None:
                if self._file is not self._plain:
                    self._file.close()
                self._plain.flush()
                os.fsync(self._plain.fileno())
                self._plain.close()
                self._file = self._plain = None
                self.path = os.path.join(self._folder, self._name)
                os.replace(self._part, self.path)
                self._part = None
            elif self._folder and self._write_file:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(os.path.join(self._folder, self._name))

    def abandon(self) -> None:
        """Leave nothing behind, after a failure; after ``finish`` it does nothing."""
        for file in (self._file, self._plain):
            with contextlib.suppress(OSError):
                if file is not None:
                    file.close()
        self._file = self._plain = None
        if self._part is not None:
            with contextlib.suppress(OSError):
                os.unlink(self._part)
            self._part = None

    def _open(self) -> None:
        with _told(self._folder):
            if not self._folder:
                self._folder = tempfile.mkdtemp(prefix="vforge-changed-areas-")
            os.makedirs(self._folder, exist_ok=True)
            handle, self._part = tempfile.mkstemp(dir=self._folder, prefix=f".{self._name}.")
            self._plain = os.fdopen(handle, "wb", buffering=1 << 16)
            self._file = self._plain
            if self._compress:
                self._file = _zstandard().ZstdCompressor().stream_writer(self._plain, closefd=False)

    def _write(self, area: Area) -> None:
        if self._file is None:
            return
        try:
            self._file.write(_as_json({"start": area.start, "length": area.length}).encode() + b"\n")
        except OSError as error:
            raise _unwritable(self._folder, error) from error


def require(*, compress: bool) -> None:
    """Make sure that what the files need is there, before anything is begun.

    :raises MissingLibrary: naming it.
    """
    if compress:
        _zstandard()


def _zstandard() -> t.Any:
    try:
        return importlib.import_module("zstandard")
    except ImportError as error:
        raise MissingLibrary(
            f"The Python library zstandard cannot be imported ({error}).",
            hint="Install it (pip install zstandard) where the module runs, or set areas_compress to false.",
        ) from error


@contextlib.contextmanager
def _told(folder: str) -> t.Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _unwritable(folder, error) from error


def _unwritable(folder: str, error: OSError) -> InvalidOption:
    return InvalidOption(
        f"The areas cannot be written into {folder or 'a new folder'} ({error.strerror}).",
        hint="Set areas_directory to a folder that this user may write into, with room for them.",
        option="areas_directory",
    )
