# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A folder for files that only their owner can read, kept from one task to the next: sessions, digests."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import tempfile
import typing as t


class PrivateFolder:
    """A folder of this user alone: in the runtime directory, else in the temporary one.

    :ivar path: where it is.
    """

    def __init__(self, path: str, warn: t.Callable[[str], None], instead: str) -> None:
        self.path = path
        self._warn = warn
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
            if stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() and not status.st_mode & 0o077:
                return cls(folder, warn, instead)
            warn(f"The folder {folder} is refused for kept {what}: it must be a directory of yours with mode 0700.")
            return None
        warn(f"{what.capitalize()} are not kept: there is no folder for them.")
        return None

    def open(self, name: str, flags: int) -> int | None:
        """A file of ours, open; None when there is none, or, with a warning, when it may be somebody else's."""
        path = os.path.join(self.path, name)
        # Without O_NONBLOCK a named pipe in its place would be waited for.
        flags |= os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            handle = os.open(path, flags, 0o600)
        except FileNotFoundError:
            return None
        except OSError as error:
            self._warn(f"The file {path} is refused ({_reason(error)}); {self._instead}.")
            return None
        status = os.fstat(handle)
        if stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid() and not status.st_mode & 0o077:
            return handle
        os.close(handle)
        self._warn(f"The file {path} is refused: it is not yours alone; {self._instead}.")
        return None

    def write(self, name: str, text: str) -> None:
        """Put a file there: whole or not at all, whoever reads at the same moment.

        :raises OSError: it could not be written.
        """
        handle, temporary = tempfile.mkstemp(dir=self.path, prefix=f"{name}.")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
            os.replace(temporary, os.path.join(self.path, name))
        except OSError:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)
            raise


def _reason(error: OSError) -> str:
    return "it is a symbolic link" if error.errno == errno.ELOOP else str(error.strerror)


def _parents() -> t.Iterator[str]:
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime and os.path.isabs(runtime):
        yield runtime
    yield f"/run/user/{os.geteuid()}"
    yield tempfile.gettempdir()
