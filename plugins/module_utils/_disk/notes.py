# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is noted of a disk on a datastore, in a file beside it."""

from __future__ import annotations

import json
import typing as t

from .._files import parsed
from .._vsphere.datastore_files import DatastoreFiles, DatastorePath, NoSuchFile

_MOST_NOTE = 2**16
_ENDING = ".vforge"
_BEGUN_ENDING = ".vforge-begun"


def note_of(path: DatastorePath) -> DatastorePath:
    """The file beside a disk in which is noted what it was made of."""
    return path.beside(f"{path.name}{_ENDING}")


def begun_of(path: DatastorePath) -> DatastorePath:
    """The file beside a disk that says what is being made there: a note that is written over is
    lost where that breaks off.
    """
    return path.beside(f"{path.name}{_BEGUN_ENDING}")


def begun(files: DatastoreFiles, path: DatastorePath) -> dict[str, t.Any]:
    """What a run that may have ended was making of a disk; empty where none was."""
    return _facts(files, begun_of(path))


def begin(files: DatastoreFiles, path: DatastorePath, facts: t.Mapping[str, t.Any]) -> None:
    """Say what is being made of a disk."""
    _write(files, begun_of(path), facts)


def noted(files: DatastoreFiles, path: DatastorePath) -> dict[str, t.Any]:
    """What was noted of a disk; empty where nothing was."""
    return _facts(files, note_of(path))


def note(files: DatastoreFiles, path: DatastorePath, facts: t.Mapping[str, t.Any]) -> None:
    """Note what a disk was made of."""
    _write(files, note_of(path), facts)


def _facts(files: DatastoreFiles, file: DatastorePath) -> dict[str, t.Any]:
    try:
        found = parsed(files.read(file, _MOST_NOTE))
    except (NoSuchFile, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _write(files: DatastoreFiles, file: DatastorePath, facts: t.Mapping[str, t.Any]) -> None:
    files.write(file, json.dumps(facts, sort_keys=True).encode())
