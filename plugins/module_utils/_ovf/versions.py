# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Versions of one template: give the name to the newest, remove old ones that nothing depends on."""

from __future__ import annotations

import dataclasses
import typing as t

from .._connector import names
from .._connector.batch import Work, run_batch
from .._connector.props import collect
from .._errors import Reason, VforgeError
from .._vsphere.deltas import dependents
from . import api, lookup
from .facts import IMPORTING, NAME_KEY, READY, UNKNOWN, UNPUBLISHED, Holder
from .finishing import run_task
from .options import version_name

if t.TYPE_CHECKING:
    from .._connector.session import Session
    from .lookup import Home


@dataclasses.dataclass(frozen=True)
class Removal:
    """What became of templates that were to go.

    :ivar removed: or would be, in check mode.
    :ivar kept: each with the names of the VMs that depend on it.
    :ivar failed: each with the reason; ``stopped`` is why the removal ended early (a signal, the deadline), or None.
    """

    removed: list[Holder]
    kept: list[tuple[Holder, list[str]]]
    failed: list[tuple[Holder, VforgeError]] = dataclasses.field(default_factory=list)
    stopped: Reason | None = None

    def headline(self) -> str:
        """What did not work, in a sentence or two; empty when all did."""
        told = [str(self.stopped)] if self.stopped is not None else []
        told += [f"{holder.path} could not be removed: {error}" for holder, error in self.failed[:1]]
        if len(self.failed) > 1:
            told.append(f"Nor could {names.listing([holder.path for holder, _error in self.failed[1:]], most=5)}.")
        return " ".join(told)


def swap(job: t.Any, old: Holder | None, new: Holder, name: str) -> bool:
    """Give the name to another version; False when another run was faster.

    The one that has it now gets the name of its version first, so between the two calls nothing has the name. A run that dies
    there leaves what the next run finds by the version's name.
    """
    harmless = ("DuplicateName", "ManagedObjectNotFound", "TaskInProgress")
    if old is not None:
        aside = version_name(name, old.digest)
        if not run_task(job, "rename the old one", lambda: api.start_rename(job.session, old.moid, aside), harmless):
            return False
    return run_task(job, "rename the new one", lambda: api.start_rename(job.session, new.moid, name), harmless)


def others(session: Session, home: Home, name: str, but: t.Collection[str]) -> list[Holder]:
    """The other finished versions of a template in its folder: one call."""
    found = collect(session, [api.folder(session, home.moid)], api.VERSIONS, api.TO_CHILDREN)
    holders = [lookup.holder_of(row.moid, row.values, api.kind(row.ref)) for row in found]
    return [
        dataclasses.replace(holder, path=names.join([*names.split(home.path), holder.name]))
        for holder in holders
        if holder.moid not in but and holder.state == READY and holder.marks.get(NAME_KEY) == name
    ]


def remove(session: Session, due: t.Sequence[Holder], deadline: float, *, check: bool) -> Removal:
    """Remove templates, but none that a VM depends on."""
    used = dependents(session, [holder.moid for holder in due])
    kept = [(holder, used[holder.moid]) for holder in due if used.get(holder.moid)]
    free = [holder for holder in due if not used.get(holder.moid)]
    if check or not free:
        return Removal(free, kept)
    by_moid = {holder.moid: holder for holder in free}
    works = [Work(moid, _destroying(session, moid)) for moid in by_moid]
    done = run_batch(session, works, 4, deadline, "templates removed")
    failed = [(by_moid[outcome.name], outcome.error) for outcome in done.failed if outcome.error is not None]
    gone = [by_moid[moid] for moid, outcome in done.outcomes.items() if outcome.error is None]
    return Removal(gone, kept, failed, done.stopped)


def _destroying(session: Session, moid: str) -> t.Callable[[], t.Any]:
    return lambda: api.start_destroy(session, moid)


def is_being_made(holder: Holder) -> bool:
    """Whether a run works on it, or has died on it."""
    return holder.state in (IMPORTING, UNKNOWN, UNPUBLISHED)
