# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write files whole or not at all."""

from __future__ import annotations

import contextlib
import os
import tempfile
import typing as t

from .._errors import InvalidOption


def write_whole(path: str, text: str, mode: int = 0o600) -> None:
    """Write a file so that nobody ever sees a part of it, even when the machine fails in the middle.

    :param mode: of a new file; one that was there keeps its own.
    :raises InvalidOption: when it cannot be written; it is then as it was.
    """
    path = os.path.realpath(path)
    with told(path):
        handle, temporary = tempfile.mkstemp(dir=os.path.dirname(path), prefix=f".{os.path.basename(path)}.")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            with contextlib.suppress(FileNotFoundError):
                mode = os.stat(path).st_mode & 0o777
            os.chmod(temporary, mode)
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)
            raise


def check_writable(path: str) -> None:
    """Find out, before anything is begun, whether a file can be written at the end.

    :raises InvalidOption: when it cannot.
    """
    folder = os.path.dirname(os.path.realpath(path))
    if not os.path.isdir(folder):
        raise _unwritable(path, f"there is no folder {folder}")
    if os.path.isdir(path):
        raise _unwritable(path, "it is a folder")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise _unwritable(path, "this user may not write into its folder")


@contextlib.contextmanager
def told(path: str) -> t.Iterator[None]:
    """Turn what the system refuses about a file into an error for the user.

    :raises InvalidOption: naming the file.
    """
    try:
        yield
    except OSError as error:
        raise _unwritable(path, error.strerror or str(error)) from error


def _unwritable(path: str, why: str) -> InvalidOption:
    return InvalidOption(f"The file {path} cannot be written: {why}.", hint="Choose a folder that this user may write into.")
