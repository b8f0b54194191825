# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which of many backups are kept: by their number, by their age, and one for each day, week and
month. Pure.
"""

from __future__ import annotations

import dataclasses
import datetime
import typing as t

from ._errors import InvalidOption

T = t.TypeVar("T")

# What a backup is the newest one of, by the name of the rule.
_PERIODS: dict[str, t.Callable[[datetime.datetime], t.Any]] = {
    "daily": lambda at: at.date(),
    "weekly": lambda at: at.isocalendar()[:2],
    "monthly": lambda at: (at.year, at.month),
}


@dataclasses.dataclass(frozen=True)
class Retention:
    """How many backups of a VM are kept. One that any rule keeps stays, and the newest always does.

    :ivar last: so many of the newest; None, as in each rule, where it keeps none.
    :ivar days: those of so many days.
    :ivar daily: the newest of each of so many days that have backups; ``weekly`` (ISO weeks) and
        ``monthly`` alike.
    """

    last: int | None = None
    days: int | None = None
    daily: int | None = None
    weekly: int | None = None
    monthly: int | None = None

    @classmethod
    def from_params(cls, params: t.Mapping[str, t.Any]) -> Retention:
        """Take the options out of a module's parameters, as ``keep_last``; what is left out keeps
        none.

        :raises InvalidOption: naming the option.
        """
        given = {field.name: params.get(f"keep_{field.name}") for field in dataclasses.fields(cls)}
        for name, count in given.items():
            if count is not None and count < 1:
                raise InvalidOption(
                    f"The option keep_{name} is {count}.",
                    hint="Set it to 1 or more, or leave it out to keep all.",
                    option=f"keep_{name}",
                )
        return cls(**given)

    @property
    def keeps_all(self) -> bool:
        """Whether there is no rule at all."""
        return not any(dataclasses.astuple(self))

    def reasons(self, newest_first: t.Sequence[datetime.datetime], now: datetime.datetime) -> list[list[str]]:
        """Which rules keep each of the backups of one VM; none for one that is not kept.

        :param newest_first: when they were made, in any zones. Days, weeks and months are those of UTC.
        :returns: in the same order. Where the newest is kept by no rule, its reason is ``newest``.
        """
        newest_first = [at.astimezone(datetime.UTC) for at in newest_first]
        found: list[list[str]] = [[] for _backup in newest_first]
        for number, at in enumerate(newest_first):
            if number < (self.last or 0):
                found[number].append("last")
            if self.days and now - at <= datetime.timedelta(days=self.days):
                found[number].append("days")
        for rule, period_of in _PERIODS.items():
            periods: set[t.Any] = set()
            for number, at in enumerate(newest_first):
                period = period_of(at)
                if period not in periods and len(periods) < (getattr(self, rule) or 0):
                    periods.add(period)
                    found[number].append(rule)
        if found and not found[0]:
            found[0].append("newest")
        return found

    def expired(self, made: t.Iterable[tuple[datetime.datetime, T]], now: datetime.datetime) -> list[T]:
        """Those of the backups of one VM that are not kept, the oldest first.

        :param made: each with the time when it was made.
        """
        if self.keeps_all:
            return []
        ordered = sorted(made, key=lambda one: one[0], reverse=True)
        reasons = self.reasons([at for at, _backup in ordered], now)
        return [backup for (_at, backup), why in zip(ordered, reasons, strict=True) if not why][::-1]
