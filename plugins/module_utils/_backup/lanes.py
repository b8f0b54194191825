# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Backs VMs up beside each other, each from its beginning to its end, so that
none waits for the slowest.
"""

from __future__ import annotations

import dataclasses
import time
import typing as t

from .._connector.batch import Outcome, ServerWatch
from .._connector.tasks import Together
from .._engine import Item
from .._errors import TimedOut, VforgeError
from . import plan
from .turns import Turn, Turns

if t.TYPE_CHECKING:
    from .task import BackupItem, BackupTask

_HOST, _DATASTORE = "host ", "datastore "


@dataclasses.dataclass(kw_only=True)
class Lane(Item):
    """A thread that takes one VM after the other."""

    number: int

    @property
    def title(self) -> str:
        """What nobody sees: errors are those of VMs."""
        return f"lane {self.number}"


def work(job: BackupTask, due: t.Sequence[BackupItem], back_up: t.Callable[[Turn[BackupItem]], None]) -> None:
    """Do something with each of these VMs, at most ``parallel`` at a time.

    :param back_up: in a thread of its own; what it raises is why the VM has failed. It has the
        turn look again where it has read the VM again.
    :raises Reason: why the task ended early; threads have ended by then,
        and what they have left is there.
    """
    options = job.options
    watch = ServerWatch(job.session)
    turns = Turns(due, uses, lambda name: options.per_host if name.startswith(_HOST) else options.per_datastore, job.end)
    done = 0

    def one(turn: Turn[BackupItem]) -> None:
        try:
            back_up(turn)
            watch.answered()
        except VforgeError as error:
            turn.each.fail(error)
            if watch.failed(error):
                job.end.set()

    def run(_lane: Lane) -> None:
        nonlocal done
        while time.monotonic() < job.task.deadline:
            with turns.next() as turn:
                if turn is None:
                    return
                one(turn)
            done += 1
            job.session.show_progress(f"{done} of {len(due)} VMs done")

    def note(lane: Lane, outcome: Outcome) -> None:
        lane.error = outcome.error

    count = min(options.parallel, len(due))
    job.session.together = Together()
    job.task.call([Lane(number=number) for number in range(count)], run, "", note, stop=job.end)
    if watch.gone is not None:
        raise watch.gone
    if turns.left:
        raise TimedOut("The time allowed for the backups is over.", hint="Raise timeout, or run again.")


def uses(item: BackupItem) -> t.Iterator[str]:
    """The host and the datastores that reading a VM puts a load on, as it was read last."""
    yield f"{_HOST}{item.vm.host}"
    for disk in plan.kept(item.vm.disks):
        yield f"{_DATASTORE}{disk.file.partition(']')[0]}"
