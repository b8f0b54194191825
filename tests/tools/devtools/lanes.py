# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Steps that run beside each other, as many as keep the processor busy and no more.

Most of what the tests do is waiting, so one step after the other leaves the processor idle most of the time; and all at
once would have them wait for each other so long that their deadlines pass. So each says what load it is.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

from devtools import processes
from devtools.console import Console, Outcome, Progress

# How many cores' worth of steps run at once on each core: loads are what a step takes at most, not all the time.
_OVERLAP = 1.5


@dataclass(frozen=True)
class Lane:
    """One step.

    load: how many cores it keeps busy; group: the name that it has together with others, where it is a part of something.
    """

    name: str
    work: Callable[[], Outcome]
    load: float = 1.0
    progress: Callable[[], Progress] | None = None
    group: str = ""


def counted(group: str, steps: Mapping[str, Callable[[], Outcome]], load: float = 1.0) -> list[Lane]:
    """A lane for each step, by its name; together they say how many of them have ended."""
    ended: list[str] = []

    def lane(name: str, work: Callable[[], Outcome]) -> Lane:
        def counting() -> Outcome:
            try:
                return work()
            finally:
                ended.append(name)

        return Lane(name, counting, load, progress=lambda: Progress(len(ended), len(steps)), group=group)

    return [lane(name, work) for name, work in steps.items()]


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run(console: Console, lanes: Sequence[Lane], capacity: float | None = None) -> None:
    """Run them all, whichever fail; those that come first begin first.

    capacity: the load that may run at once; by default what the machine has cores for. Whatever ends this call early ends
    what it has begun. What a lane raises besides CommandFailed is raised here, after the others were ended.
    """
    waiting = list(lanes)
    running: dict[Future[Outcome], Lane] = {}
    limit = capacity or cores() * _OVERLAP
    with ThreadPoolExecutor(max(1, len(waiting))) as pool:
        try:
            while waiting or running:
                while lane := _next(waiting, limit - sum(lane.load for lane in running.values()), alone=not running):
                    waiting.remove(lane)
                    running[pool.submit(console.step, lane.name, lane.work, lane.progress, lane.group)] = lane
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    del running[future]
                    future.result()
        except BaseException:
            # Leaving the pool waits for its threads, and they wait for their commands.
            processes.stop_all()
            raise


def _next(waiting: Sequence[Lane], free: float, *, alone: bool) -> Lane | None:
    """The first that fits into what is free; one that is larger than the machine runs alone."""
    return next((lane for lane in waiting if alone or lane.load <= free), None)
