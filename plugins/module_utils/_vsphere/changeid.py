# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""changeIds, and when a changeId of the past cannot be asked with any more. Pure.

A changeId is ``52 de c0 d9 b9 43 9d 10-61 d5 4c 1b e9 7b 65 63/81``: which tracking of the disk,
and a point in it. When tracking begins again, the first half is another one, and what changed
before is not known.
"""

from __future__ import annotations

import dataclasses
import re
import typing as t

if t.TYPE_CHECKING:
    from .disks import Disk

# Instead of a changeId: all areas in use.
ALL = "*"

_FORM = re.compile(r"([^/]*[^/\s][^/]*)/([0-9]{1,20})")


@dataclasses.dataclass(frozen=True)
class ChangeId:
    """Its halves.

    :ivar tracking: differs whenever tracking began again.
    :ivar point: grows with every point in time that vCenter gives out.
    """

    tracking: str
    point: int

    @classmethod
    def parse(cls, text: str) -> ChangeId | None:
        """The changeId, or None when the text is none."""
        match = _FORM.fullmatch(text.strip())
        return cls(match[1].strip().lower(), int(match[2])) if match else None


@dataclasses.dataclass(frozen=True)
class Kept:
    """What is known of a disk from an earlier time.

    :ivar identity: the ``Disk.identity`` of then; None where only the changeId was kept.
    :ivar capacity: of then, in bytes; None where only the changeId was kept.
    :ivar delta: the ``written_delta`` of then; empty, too, where only the changeId was kept.
    """

    change_id: str
    identity: str | None = None
    capacity: int | None = None
    delta: str = ""


def written_delta(disk: Disk) -> str:
    """Path of the delta disk that the guest wrote to; empty where it had none."""
    return disk.file if disk.levels else ""


@dataclasses.dataclass(frozen=True)
class FullRequired:
    """Why the whole disk has to be read. This is never the same as "nothing changed".

    :ivar code: stable, such as ``tracking_restarted``.
    """

    code: str
    reason: str


NOT_TRACKED = FullRequired("not_tracked", "It has no changeId: tracking is off, or not active yet.")

# A revert discards the delta disk that the guest wrote to. Nowhere is it promised that tracking
# begins again then, and a changeId of the states that are gone may look like an older one of those
# that came after. Where there was no delta disk, there was nothing to revert to that is older than
# what was kept.
DELTA_GONE = FullRequired(
    "delta_disk_gone",
    "The delta disk that its guest wrote to then is gone: it was reverted, or its snapshots were removed.",
)
NO_CHANGE_ID = FullRequired("no_change_id", "Nothing is known of it from an earlier time.")


def judge(kept: Kept | None, disk: Disk) -> FullRequired | None:
    """Whether what was kept can still be asked with, as far as that is known without asking.

    :param disk: as the snapshot has it that is asked about.
    :returns: why not, or None when it can.
    """
    if kept is None:
        return NO_CHANGE_ID
    if kept.change_id == ALL:
        return None
    then, now = ChangeId.parse(kept.change_id), ChangeId.parse(disk.change_id or "")
    if now is None:
        return NOT_TRACKED
    if kept.identity is not None and kept.identity != disk.identity:
        return FullRequired("disk_replaced", "It is another disk than the one that was asked about before.")
    if kept.capacity is not None and kept.capacity != disk.capacity:
        return FullRequired("capacity_changed", f"Its capacity was {kept.capacity} bytes, and is {disk.capacity} bytes now.")
    if then is None or then.tracking != now.tracking:
        return FullRequired("tracking_restarted", "Tracking began again: the first half of its changeId is another one.")
    if then.point > now.point:
        return FullRequired("change_id_newer", "The changeId is newer than the state that is asked about.")
    return DELTA_GONE if kept.delta and kept.delta not in disk.files else None
