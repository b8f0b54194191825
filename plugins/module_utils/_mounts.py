# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""File systems that are mounted, and those that should be, and are not.

What is written in the place of one that is not lands in the folder below, where nobody looks for
it, and what is looked for there is not found, as if there had never been any.
"""

from __future__ import annotations

import dataclasses
import os
import re
import typing as t

from ._errors import InvalidOption

# What is mounted (proc(5)), and what is to be (fstab(5)).
MOUNTED, TABLE = "/proc/self/mountinfo", "/etc/fstab"

# A blank, and whatever else would break a line, is written as three octal digits.
_QUOTED = re.compile(r"\\([0-7]{3})")


class NotMounted(InvalidOption):
    """A folder is to be on a file system that is not mounted."""

    error_code = "not_mounted"


def check(path: str, *, what: str) -> None:
    """Refuse a folder below a place that the system's table has a file system for, while none is mounted there.

    :param what: is in it, for messages: "backup repository".
    :raises NotMounted: naming the place.
    """
    whole = os.path.realpath(path)
    # The places are not looked at themselves: the server of another one may never answer.
    above = [place for place in _wanted() if place != "/" and is_below(whole, place)]
    there = mounted() if above else {}
    for place in above if there else ():
        if place not in there:
            raise NotMounted(
                f"The {what} {path} is on a file system that is not mounted: {TABLE} has one for {place}.",
                hint=f"Mount it ('mount {place}'). If it is not meant to be mounted, take its line out of /etc/fstab.",
                path=path,
            )


def _wanted() -> t.Iterator[str]:
    """The places of the system's table."""
    for line in _lines(TABLE):
        fields = line.split()
        if len(fields) > 1 and not line.lstrip().startswith("#") and fields[1].startswith("/"):
            yield os.path.normpath(_plain(fields[1]))


@dataclasses.dataclass(frozen=True)
class Mount:
    """A file system that is mounted.

    :ivar root: the folder of it that is seen; "/" for all of it.
    :ivar kind: such as ``ext4``.
    """

    root: str
    kind: str

    @property
    def is_whole(self) -> bool:
        """Whether all of it is seen, as where it was made for what has mounted it. Of a file system
        of the node, such as its own /tmp, a folder is.
        """
        return self.root == "/"


def mounted() -> dict[str, Mount]:
    """What is mounted, by its place. Of several at one place, the last one is seen. Empty where the
    system does not say.
    """
    found = {}
    for line in _lines(MOUNTED):
        before, _dash, after = line.partition(" - ")
        fields = before.split(" ")
        found[_plain(fields[4])] = Mount(_plain(fields[3]), after.split(" ")[0])
    return found


def is_below(path: str, folder: str) -> bool:
    """Whether a path is that of a folder, or of something in it."""
    return path == folder or path.startswith(f"{folder.rstrip('/')}/")


def _lines(table: str) -> list[str]:
    """The lines of a table of the system; none where it has no such table."""
    try:
        with open(table, encoding="utf-8", errors="surrogateescape") as file:
            return file.read().splitlines()
    except OSError:
        return []


def _plain(text: str) -> str:
    return _QUOTED.sub(lambda found: chr(int(found[1], 8)), text)
