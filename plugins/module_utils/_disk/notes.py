# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is noted of a disk on a datastore, in a file beside it."""

from __future__ import annotations

import json
import typing as t

from .._vsphere.folder import DatastoreFiles, DatastorePath, NoSuchFile

_MOST_NOTE = 2**16
_ENDING = ".vforge"


def note_of(path: DatastorePath) -> DatastorePath:
    """The file beside a disk in which is noted what it was made of."""
    return path.beside(f"{path.name}{_ENDING}")


def noted(files: DatastoreFiles, path: DatastorePath) -> dict[str, t.Any]:
    """What was noted of a disk; empty where nothing was."""
    try:
        found = json.loads(files.read(note_of(path), _MOST_NOTE))
    except (NoSuchFile, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def note(files: DatastoreFiles, path: DatastorePath, facts: t.Mapping[str, t.Any]) -> None:
    """Note what a disk was made of."""
    files.write(note_of(path), json.dumps(facts, sort_keys=True).encode())
