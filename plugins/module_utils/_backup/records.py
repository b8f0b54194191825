# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was done with points, noted beside them: when each was verified last, and when it was
restored.

The notes are for people, and nothing is decided by them: one that is damaged, or cannot be written
into a repository that is only to be read, is no error of the point.
"""

from __future__ import annotations

import datetime
import json
import os
import typing as t

from .. import _files
from .._errors import InvalidOption
from .storage import remove, write

if t.TYPE_CHECKING:
    from .model import Point
    from .repository import Machine

_VERIFIED, _RESTORED = "verified.json", "restored.json"

# Of restores, the newest are kept.
_KEPT = 20
_MOST = 64 * 1024

# Of a text in a note, such as a path.
_LONGEST = 400


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def note_verified(machine: Machine, point: Point) -> None:
    """Note that every byte of a point was compared with its digests just now.

    :raises FileUnwritable: when it cannot be written.
    """
    write(_path(machine, point, _VERIFIED), json.dumps({"at": _now()}).encode())


def forget_verified(machine: Machine, point: Point) -> None:
    """What was verified is another image now."""
    remove(_path(machine, point, _VERIFIED))


def note_restored(machine: Machine, point: Point, to: str, disks: t.Sequence[str]) -> str:
    """Note that a point was restored just now.

    :param to: where, in words for people, such as ``/srv/restored`` or ``the VM web-1``.
    :param disks: labels of the disks.
    :returns: a warning where it could not be noted, else an empty text:
        the restore is good all the same.
    """
    known = restored(machine, point)
    entry = {"at": _now(), "to": to[:_LONGEST], "disks": [label[:_LONGEST] for label in disks[:_KEPT]]}
    try:
        write(_path(machine, point, _RESTORED), json.dumps([*known, entry][-_KEPT:]).encode())
    except InvalidOption as error:
        return f"That {point.id} was restored could not be noted: {error.message}"
    return ""


def verified(machine: Machine, point: Point) -> str | None:
    """When a point was verified last, in UTC; None where that is not known."""
    known = _read(_path(machine, point, _VERIFIED))
    return _moment(known.get("at")) if isinstance(known, dict) else None


def restored(machine: Machine, point: Point) -> list[dict[str, t.Any]]:
    """When a point was restored, the newest last: each ``at``, ``to`` and ``disks``."""
    known = _read(_path(machine, point, _RESTORED))
    return [found for each in (known if isinstance(known, list) else ()) if (found := _restore_in(each))]


def _restore_in(each: t.Any) -> dict[str, t.Any] | None:
    at = _moment(each.get("at")) if isinstance(each, dict) else None
    if at is None or not isinstance(each.get("disks"), list):
        return None
    return {"at": at, "to": str(each.get("to", "")), "disks": [str(label) for label in each["disks"]]}


def _moment(value: t.Any) -> str | None:
    try:
        return datetime.datetime.fromisoformat(value).isoformat(timespec="seconds")
    except (TypeError, ValueError):
        return None


def _read(path: str) -> t.Any:
    try:
        return _files.parsed(_files.read(path, _MOST, what="note of a backup"))
    except (InvalidOption, ValueError):
        return None


def _path(machine: Machine, point: Point, name: str) -> str:
    return os.path.join(machine.folder_of(point), name)
