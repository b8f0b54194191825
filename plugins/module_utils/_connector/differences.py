# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How what is there differs from what is asked for, and how a result tells it. Pure."""

from __future__ import annotations

import dataclasses
import typing as t

# The lines of a diff, before and after, of a parent that is stopped anew for its scripts: its state is the same as before.
SCRIPTS = ("  scripts: others than this task asks for\n", "  scripts: those of this task\n")


@dataclasses.dataclass(frozen=True)
class Difference:
    """Something in which what is there is not as asked. ``why_not`` says why it cannot be changed, or is empty."""

    what: str
    actual: str
    wanted: str
    why_not: str = ""

    def told(self) -> dict[str, t.Any]:
        """As an entry of ``differences`` in a result."""
        told = {"what": self.what, "actual": self.actual, "wanted": self.wanted, "can_change": not self.why_not}
        return {**told, "why_not": self.why_not} if self.why_not else told


def changes(head: str, differences: t.Iterable[Difference]) -> tuple[list[str], list[str]]:
    """The lines of a diff, before and after, for those that can be changed; none where there are none.

    :param head: the line above them.
    """
    changing = [item for item in differences if not item.why_not]
    if not changing:
        return [], []
    old = [head, *(f"  {item.what}: {item.actual}\n" for item in changing)]
    return old, [head, *(f"  {item.what}: {item.wanted}\n" for item in changing)]


def diff(before: t.Iterable[str], after: t.Iterable[str]) -> dict[str, str]:
    """Ansible's ``diff`` of two lists of lines, each with its line end."""
    return {
        "before": "".join(before),
        "after": "".join(after),
        "before_header": "vCenter now",
        "after_header": "vCenter after this task",
    }
