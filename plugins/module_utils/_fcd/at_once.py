# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two runs that make the same at the same time.

vCenter takes the name of a disk twice, and the description of a snapshot, and then nobody can say any more which is meant. So
both runs look once more when they have made theirs, and take the same one: the older one, of which the run with the younger one
knows in any case.
"""

from __future__ import annotations

import dataclasses
import typing as t

if t.TYPE_CHECKING:
    from .._connector.batch import Outcome
    from .._engine import Item, Task

I = t.TypeVar("I", bound="Item")  # noqa: E741 (as the engine calls it)


@dataclasses.dataclass(frozen=True)
class Twin:
    """What another run has made, and stays; what this run has made, and goes. Both as messages call them."""

    kept: str
    own: str


def give_way(
    task: Task[t.Any],
    twins: t.Mapping[str, Twin],
    remove: t.Callable[[I], t.Any],
    doing: str,
    then: t.Callable[[I], None],
) -> None:
    """Remove again what this run has made where another run has made the same before.

    :param twins: by the titles of items.
    :param remove: makes the call of one item.
    :param doing: as of ``Task.call``.
    :param then: is called with each item whose own is gone, to go on with the other one.
    """

    def note(item: I, outcome: Outcome) -> None:
        twin = twins[item.title]
        if outcome.error is None:
            item.warnings.append(
                f"Another run has made {twin.kept} at the same time: {twin.own} of this run was removed again."
            )
            then(item)
        else:
            item.warnings.append(
                f"Another run has made {twin.kept} at the same time, and {twin.own} of this run could not be removed: "
                f"{outcome.error} Remove one of them."
            )

    task.call([item for item in task.items if item.title in twins], remove, doing, note, repeatable=True)
