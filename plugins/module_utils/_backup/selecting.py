# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which point is meant, and which of its disks. Pure."""

from __future__ import annotations

import dataclasses
import datetime
import typing as t

from .._errors import InvalidOption, NotFound
from .model import point_id, second_of

if t.TYPE_CHECKING:
    from .model import DiskBackup, Point

# Both mean the same; results say the ID.
_NEWEST = ("newest", "latest")


@dataclasses.dataclass(frozen=True)
class PointSelector:
    """What names one point of a VM.

    :ivar point: its ID, or ``newest``.
    :ivar before: of those that were made until then the newest one; None for no such bound.
    """

    point: str = "newest"
    before: datetime.datetime | None = None

    @classmethod
    def from_params(cls, params: t.Mapping[str, t.Any]) -> PointSelector:
        """The options ``point`` and ``before``.

        :raises InvalidOption: they contradict each other, or the time is none.
        """
        point, text = params.get("point") or _NEWEST[0], params.get("before")
        if not text:
            return cls(point)
        if point not in _NEWEST:
            raise InvalidOption(
                f"point names the backup {point}, and before another time.", hint="Leave one of them out.", option="before"
            )
        return cls(point, _moment(text))

    @property
    def names_one(self) -> bool:
        """Whether it is an ID, rather than the newest of some."""
        return self.before is None and self.point not in _NEWEST

    def may_mean(self, name: str) -> bool:
        """Whether a point that cannot be read may be among those of which it takes the newest.

        :param name: its ID, which has the second when it was made.
        """
        return self.before is None or second_of(name) <= second_of(point_id(self.before.astimezone(datetime.UTC), ""))

    def choose(self, points: t.Sequence[Point], where: str) -> Point:
        """The point that it names.

        :param points: the oldest first.
        :param where: they are, for messages.
        :raises NotFound: there is none; the message lists the newest, or the oldest.
        """
        if self.before is not None:
            return self._until(points, self.before, where)
        if self.point in _NEWEST and points:
            return points[-1]
        found = next((point for point in points if point.id == self.point), None)
        if found is not None:
            return found
        newest = [point.id for point in reversed(points)][:5]
        raise NotFound(
            f"There is no backup {self.point} in {where}.",
            hint=f"The newest are {', '.join(newest)}." if newest else "There is none at all.",
            option="point",
            known=newest,
        )

    def _until(self, points: t.Sequence[Point], before: datetime.datetime, where: str) -> Point:
        # By their times, not by their numbers: a clock that was put back must not bring a later
        # state.
        fitting = [point for point in points if point.time <= before]
        if fitting:
            return max(fitting, key=lambda point: (point.time, point.number))
        oldest = min((point.time for point in points), default=None)
        raise NotFound(
            f"There is no backup of before {before.isoformat()} in {where}.",
            hint=f"The oldest is of {oldest.isoformat()}." if oldest is not None else "There is none at all.",
            option="before",
        )


def _moment(text: str) -> datetime.datetime:
    """A time of ISO 8601; UTC where it does not say its zone.

    :raises InvalidOption: it is none.
    """
    try:
        found = datetime.datetime.fromisoformat(str(text).strip())
    except ValueError as error:
        raise InvalidOption(
            f"before is {text}, which is no time.",
            hint="It looks like 2026-11-28T06:00:00+01:00, or 2026-11-28 05:00 for UTC.",
            option="before",
        ) from error
    return found if found.tzinfo is not None else found.replace(tzinfo=datetime.UTC)


def chosen_disks(point: Point, words: t.Sequence[str]) -> list[DiskBackup]:
    """The disks of a point that are named by their labels, places, keys or UUIDs; all where none
    is.

    :raises NotFound: it has no such disk.
    """
    if not words:
        return list(point.disks)
    found: dict[int, DiskBackup] = {}
    for word in words:
        fitting = [disk for disk in point.disks if word.casefold() in names_of(disk)]
        if len(fitting) != 1:
            raise NotFound(
                f"The backup {point.id} has {'no' if not fitting else 'several disks'} {word}.",
                hint=f"It has {', '.join(f'{disk.label} ({disk.unit})' for disk in point.disks)}.",
                option="disks",
                known=[disk.label for disk in point.disks],
            )
        found[fitting[0].key] = fitting[0]
    return list(found.values())


def names_of(disk: DiskBackup) -> set[str]:
    """What a disk may be called: its label, its place, its key, the UUID of its backing."""
    uuid = disk.identity.rpartition("/")[2]
    return {name.casefold() for name in (disk.label, disk.unit, str(disk.key), uuid) if name}
