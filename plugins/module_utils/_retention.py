# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which of many backups are kept: by their number and by their age. Pure."""

from __future__ import annotations

import dataclasses
import datetime
import typing as t

from ._errors import InvalidOption

T = t.TypeVar("T")


@dataclasses.dataclass(frozen=True)
class Retention:
    """How many backups of a VM are kept. One that either rule keeps stays.

    :ivar last: so many of the newest; None where their number keeps none.
    :ivar days: those of so many days; None where their age keeps none.
    """

    last: int | None = None
    days: int | None = None

    @classmethod
    def from_params(cls, params: t.Mapping[str, t.Any]) -> Retention:
        """Take the options out of a module's parameters.

        :raises InvalidOption: naming the option.
        """
        for option in ("keep_last", "keep_days"):
            if params.get(option) is not None and params[option] < 1:
                raise InvalidOption(
                    f"The option {option} is {params[option]}.",
                    hint="Set it to 1 or more, or leave it out to keep all.",
                    option=option,
                )
        return cls(params.get("keep_last"), params.get("keep_days"))

    def expired(self, made: t.Iterable[tuple[datetime.datetime, T]], now: datetime.datetime) -> list[T]:
        """Those of the backups of one VM that are not kept, the oldest first; the newest always is.

        :param made: each with the time when it was made.
        """
        if self.last is None and self.days is None:
            return []
        newest_first = sorted(made, key=lambda one: one[0], reverse=True)
        last = 1 if self.last is None else self.last
        old = [backup for number, (at, backup) in enumerate(newest_first) if number >= last and not self._is_young(at, now)]
        return old[::-1]

    def _is_young(self, at: datetime.datetime, now: datetime.datetime) -> bool:
        return self.days is not None and now - at <= datetime.timedelta(days=self.days)
