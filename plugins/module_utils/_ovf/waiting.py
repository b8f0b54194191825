# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Wait for the run that makes the template, by updates of its properties; and notice when it is dead."""

from __future__ import annotations

import contextlib
import math
import time
import typing as t

from .._connector.tasks import updates
from .._errors import TimedOut
from . import api, lookup
from .facts import IMPORTING, UNPUBLISHED, Holder
from .finishing import claim
from .job import Job

_LONGEST_ROUND = 20

LOOK_AGAIN, OURS = "look again", "ours"


def wait_for(job: Job, holder: Holder) -> str:
    """Wait until something is different: it is ready, it is gone, or its maker is dead and this run has taken over.

    :returns: ``look again``, or ``ours`` when it is to be finished by this run.
    :raises TimedOut: neither happened in time.
    """
    quiet = _Quiet(job.options.takeover_after)
    known: dict[str, t.Any] = {}
    state = holder.state
    ref = api.vm(job.session, holder.moid)
    begun = time.monotonic()
    waiting = updates(job.session, [ref], api.VIRTUAL_MACHINE, api.PROGRESS, job.deadline, quiet.rounds())
    with contextlib.closing(waiting) as rounds:
        for changes in rounds:
            for change in changes:
                if change.gone:
                    return LOOK_AGAIN
                known.update(change.values)
            now = lookup.holder_of(holder.moid, known)
            if now.state != state:
                return LOOK_AGAIN
            if changes:
                quiet.broken()
            job.session.tell(f"waiting for {holder.name}, which {_maker(now)} makes ({time.monotonic() - begun:.0f} s)")
            if quiet.too_long() and now.state in (IMPORTING, UNPUBLISHED):
                if now.state == UNPUBLISHED or claim(job, now):
                    return OURS
                quiet.broken()
    raise TimedOut(
        f"{holder.path or holder.name} was not ready in the time allowed; {_maker(holder)} makes it.",
        hint="Raise timeout, or look whether that run still works.",
        owner=holder.owner,
    )


def _maker(holder: Holder) -> str:
    """Who makes it, for people: the machine and the time of the begin."""
    parts = holder.owner.split(" ")
    return f"a run on {parts[1]} since {parts[2]}" if len(parts) == 3 else "another run"


class _Quiet:
    """How long nothing has changed."""

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._since = time.monotonic()

    def broken(self) -> None:
        """Something has changed, or was tried: count anew."""
        self._since = time.monotonic()

    def too_long(self) -> bool:
        """Whether its maker would have given a sign by now."""
        return time.monotonic() - self._since >= self._limit

    def rounds(self) -> t.Iterator[int]:
        """Whole seconds that a round of waiting may take, so that its end is not missed."""
        while True:
            left = self._since + self._limit - time.monotonic()
            yield max(1, min(_LONGEST_ROUND, math.ceil(left)))
