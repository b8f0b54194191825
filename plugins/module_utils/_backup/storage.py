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


def names(folder: str) -> list[str]:
    """The names in a folder, in their order; none where it is not there."""
    try:
        with explained(folder, _files.FileUnreadable):
            return sorted(os.listdir(folder))
    except _files.FileMissing:
        return []


def discard(folder: str) -> None:
    """Remove a folder with all that is in it, where it is there."""
    with explained(folder), contextlib.suppress(FileNotFoundError):
        shutil.rmtree(folder)
