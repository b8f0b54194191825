# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A folder for files that only their owner can read, kept from one task to the next: sessions, digests."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
import typing as t

from .. import _files
from .._errors import InvalidOption

# Bytes of a file in it: what is longer was not written by us.
_MOST = 1 << 20


class PrivateFolder:
    """A folder of this user alone: in the runtime directory, else in the temporary one.

    :ivar path: where it is.
    """

    def __init__(self, path: str, warn: t.Callable[[str], None], what: str, instead: str) -> None:
        self.path = path
        self._warn = warn
        self._what = what
        self._instead = instead

    @classmethod
    def find(cls, warn: t.Callable[[str], None], what: str, instead: str) -> PrivateFolder | None:
        """The folder, made when missing; None, with a warning, where there can be none.

        :param warn: called with one sentence when a file or folder cannot be trusted.
        :param what: is kept in it, in the plural ("sessions"), for the warnings.
        :param instead: what happens without it ("a new session is opened").
        """
        for parent in _parents():
            folder = os.path.join(parent, f"vforge-vsphere-{os.geteuid()}")
            try:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(folder, 0o700)
                status = os.lstat(folder)
            except OSError:
                continue
            if stat.S_ISDIR(status.st_mode) and _is_private(status):
                return cls(folder, warn, what, instead)
            must = "it must be a directory of yours with mode 0700"
            warn(f"The folder {folder} is refused for kept {what}: {must}.")
            return None
        warn(f"{what.capitalize()} are not kept: there is no folder for them.")
        return None

    def open(self, name: str, flags: int) -> int | None:
        """A file of ours, open; None when there is none, or, with a warning, when it may be somebody else's.

        :param flags: with ``os.O_CREAT`` it is made where there is none.
        """
        try:
            with self._held() as folder:
                get = folder.made if flags & os.O_CREAT else folder.open
                handle = get(name, flags)
        except _files.FileMissing:
            return None
        except InvalidOption as error:
            self._warn(f"{error.message} So {self._instead}.")
            return None
        if _is_private(os.fstat(handle)):
            return handle
        os.close(handle)
        path = os.path.join(self.path, name)
        self._warn(f"The file {path} is refused: it is not yours alone; {self._instead}.")
        return None

    def read(self, name: str) -> bytes | None:
        """What is in a file of ours; None as with ``open``."""
        handle = self.open(name, os.O_RDONLY)
        if handle is None:
            return None
        with os.fdopen(handle, "rb") as file:
            return file.read(_MOST)

    def write(self, name: str, data: bytes) -> None:
        """Put a file there: whole or not at all, whoever reads at the same moment.

        Whatever else is there gives way: nobody but this user can have put it into this folder.

        :raises InvalidOption: it could not be written.
        """
        with self._held() as folder:
            try:
                folder.replace(name, data, keep_mode=False)
            except _files.FileRefused:
                folder.remove(name)
                folder.replace(name, data, keep_mode=False)

    def _held(self) -> contextlib.AbstractContextManager[_files.Folder]:
        return _files.open_folder(self.path, what=f"file of kept {self._what}")


def _is_private(status: os.stat_result) -> bool:
    return status.st_uid == os.geteuid() and not status.st_mode & 0o077


def _parents() -> t.Iterator[str]:
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime and os.path.isabs(runtime):
        yield runtime
    yield f"/run/user/{os.geteuid()}"
    yield tempfile.gettempdir()
