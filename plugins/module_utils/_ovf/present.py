# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``state: present``: decide, do, and decide anew, until the template is there."""

from __future__ import annotations

import dataclasses
import time
import typing as t

from .._connector import names, tasks
from .._errors import TimedOut, VforgeError
from . import finishing, lookup, making, plan, versions, waiting
from .errors import TemplateError
from .facts import Holder
from .job import Job
from .options import FAIL, KEEP_BOTH, version_name
from .plan import Step

# So often may a name be refused although nothing is seen to have it.
_UNSEEN_HOLDERS = 5


@dataclasses.dataclass(frozen=True)
class Ended:
    """How it ended.

    :ivar template: as it is now; None in check mode, where it would be made.
    :ivar name: of the template.
    """

    template: Holder | None
    name: str
    step: Step


def make_sure(job: Job) -> Ended:
    """Bring the template about, whoever else does at the same time.

    :raises VforgeError: it is not there; what this run had made is gone again.
    """
    plans: dict[str, making.Import] = {}
    unseen, backoff = 0, tasks.Backoff(job.deadline)
    while time.monotonic() < job.deadline:
        step = next_step(job)
        template: Holder | None = None
        if step.kind == plan.KEEP:
            return Ended(step.holder, step.holder.name if step.holder else "", step)
        if step.kind == plan.IMPORT:
            if step.name not in plans:
                plans[step.name] = making.prepare(job, step.name)
            template = _import(job, plans[step.name])
            unseen = unseen + 1 if template is None else 0
        elif step.kind == plan.WAIT and step.holder is not None:
            template, unseen = _wait(job, step.holder), 0
        elif step.holder is not None:
            _swap(job, step, step.holder)
        if template is not None and not _must_swap(job, template):
            return Ended(template, template.name, step)
        if unseen >= _UNSEEN_HOLDERS:
            raise _taken_unseen(job, step)
        if unseen > 1 and not backoff.begin():
            break
    raise TimedOut(f"The template {job.options.name} was not ready in the time allowed.", hint="Raise timeout.")


def look(job: Job) -> Ended:
    """What would be done, for check mode; the place and the descriptor are really checked."""
    step = next_step(job)
    if step.kind == plan.IMPORT:
        making.prepare(job, step.name)
    return Ended(
        step.holder if step.kind != plan.IMPORT else None, step.name or (step.holder.name if step.holder else ""), step
    )


def next_step(job: Job) -> Step:
    """Look at who has the names, and decide."""
    digest, options = job.identity.digest, job.options
    wanted = [options.name]
    if options.on_mismatch != FAIL:
        wanted.append(version_name(options.name, digest))
    holders = lookup.read_holders(job.session, job.home, wanted)
    return plan.decide(options, digest, holders.get(wanted[0]), holders.get(wanted[-1]) if len(wanted) > 1 else None)


def _import(job: Job, prepared: making.Import) -> Holder | None:
    moid = making.bring_in(job, prepared)
    done = None if moid is None else _finish(job, moid, prepared)
    return done.template if done else None


def _wait(job: Job, holder: Holder) -> Holder | None:
    if "waited" not in job.account.actions:
        job.account.actions.append("waited")
    if waiting.wait_for(job, holder) != waiting.OURS:
        return None
    done = _finish(job, holder.moid, None)
    if done is not None and done.published:
        job.account.actions.append("completed")
    return done.template if done else None


def _finish(job: Job, moid: str, prepared: making.Import | None) -> finishing.Finished | None:
    """Make a template of it; what cannot become one is removed, if it is this run's."""
    try:
        return finishing.finish(job, moid, prepared)
    except BaseException:
        try:
            finishing.remove_own(job, moid)
        except VforgeError as error:
            job.session.warn(f"What was imported could not be removed ({moid}): {error}")
        raise


def _swap(job: Job, step: Step, holder: Holder) -> None:
    if versions.swap(job, step.old, holder, step.name):
        job.account.actions.append("swapped")


def _must_swap(job: Job, template: Holder) -> bool:
    """Whether it is ready by the name of its version, and is to have the name itself."""
    return template.name != job.options.name and job.options.on_mismatch != KEEP_BOTH


def _taken_unseen(job: Job, step: Step) -> TemplateError:
    return TemplateError(
        "name_taken",
        f"vCenter refuses the name {step.name} in {job.home.path}, but nothing is seen to have it.",
        hint="It may be held by something that this user may not see: choose another name or folder.",
    )


def remove_old(job: Job, template: Holder | None, *, check: bool) -> str:
    """Remove the other versions, where that is asked for; returns what did not work."""
    if not job.options.remove_old:
        return ""
    but: t.Collection[str] = (template.moid,) if template else ()
    due = versions.others(job.session, job.home, job.options.name, but)
    gone = versions.remove(job.session, due, job.deadline, check=check)
    job.account.removed += [holder.path for holder in gone.removed]
    job.account.kept += [{"path": holder.path, "moid": holder.moid, "used_by": users} for holder, users in gone.kept]
    if gone.removed:
        job.account.actions.append("removed")
    for holder, users in gone.kept:
        job.account.warnings.append(f"{holder.path} stays, since its disks are used by {names.listing(users, most=5)}.")
    return gone.headline()
