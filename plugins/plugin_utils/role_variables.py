# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Variables that begin as those of a role do, and are none of it. Pure."""

from __future__ import annotations

import typing as t

# How much of two names, behind the name of the role, is to be the same, from 0 to 1, for one to be meant by the other.
_ALIKE = 0.8


class Role(t.NamedTuple):
    """What a role knows.

    :ivar options: its variables, which the argument spec has.
    :ivar own: what it names besides, for itself alone.
    """

    name: str
    options: t.Collection[str]
    own: t.Collection[str]


class Found(t.NamedTuple):
    """Variables that a role does not know.

    :ivar misspelt: each with the variable that was meant.
    :ivar others: those that are like none of the role, and may be somebody's own.
    """

    misspelt: dict[str, str]
    others: list[str]


def look_at(names: t.Iterable[str], role: Role, is_set: t.Callable[[str], bool]) -> Found:
    """The variables of a play that a role does not know.

    :param names: of all variables of the play.
    :param is_set: whether a variable of the role is set. Then no other one was meant to set it: the list of the things that
        a loop goes through is often called by the plural.
    """
    prefix = f"{role.name}_"
    unknown = sorted(name for name in names if name.startswith(prefix) and name not in role.options and name not in role.own)
    if not unknown:
        return Found({}, [])
    # Only what is unknown is compared.
    import difflib

    unset = [name for name in role.options if not is_set(name)]
    ends = {name.removeprefix(prefix): name for name in unset}
    alike = {name: difflib.get_close_matches(name.removeprefix(prefix), ends, 1, _ALIKE) for name in unknown}
    return Found(
        {name: ends[found[0]] for name, found in alike.items() if found},
        [name for name, found in alike.items() if not found],
    )
