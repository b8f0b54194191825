# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of a repository: written whole, and on the disk before anything counts on them."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil

from .. import _files
from .._errors import InvalidOption, VforgeError

WHAT = "backup repository"

# So often a folder is removed of which something was listed that is not there.
_ATTEMPTS = 5


def explained(path: str, kind: type[InvalidOption] = _files.FileUnwritable) -> contextlib.AbstractContextManager[None]:
    """Turn what the system refuses about a file of a repository into an error for the user."""
    return _files.explained(path, WHAT, kind)


def is_read_only(error: VforgeError) -> bool:
    """Whether a file cannot be written since its file system is mounted read-only."""
    return isinstance(error.__cause__, OSError) and error.__cause__.errno == errno.EROFS


def write(path: str, data: bytes) -> None:
    """Write a file whole or not at all."""
    _files.replace(path, data, what="file of the backup")


def sync(path: str) -> None:
    """Have a file, or the names in a folder, on the disk.

    :raises OSError: as the system says.
    """
    handle = os.open(path, os.O_RDONLY)
    try:
        _files.sync(handle)
    finally:
        os.close(handle)


def is_there(path: str) -> bool:
    """Whether there is anything of a name.

    :raises FileUnreadable: as ``status_of``.
    """
    return status_of(path) is not None


def is_file(path: str) -> bool:
    """Whether there is a file, and no link to one.

    :raises FileUnreadable: as ``status_of``.
    """
    status = status_of(path)
    return status is not None and _files.is_regular(status)


def status_of(path: str) -> os.stat_result | None:
    """What there is of a name, or the link that it is; None where there is nothing.

    :raises FileUnreadable: the system does not say it, which is another thing than no.
    """
    with explained(path, _files.FileUnreadable):
        try:
            return os.lstat(path)
        except (FileNotFoundError, NotADirectoryError):
            return None


def remove(path: str) -> None:
    """Remove a file, where it is there."""
    with explained(path), contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def make_folder(path: str) -> None:
    """Make a folder, for this user alone, where there is none: no umask has a say in it.

    :raises OSError: as the system says.
    """
    with contextlib.suppress(FileExistsError):
        os.mkdir(path, 0o700)


def names(folder: str) -> list[str]:
    """The names in a folder, in their order; none where it is not there."""
    try:
        with explained(folder, _files.FileUnreadable):
            return sorted(os.listdir(folder))
    except _files.FileMissing:
        return []


def discard(folder: str) -> None:
    """Remove a folder with all that is in it, where it is there."""
    with explained(folder):
        for _attempt in range(_ATTEMPTS):
            # Something in it may be gone although it is listed; the rest is not.
            with contextlib.suppress(FileNotFoundError):
                shutil.rmtree(folder)
            if not os.path.lexists(folder):
                return
        shutil.rmtree(folder)
