# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Customize the guests of clones, all at once: each stage is one batch, a failure is aborted and told of its clone alone."""

from __future__ import annotations

import time
import typing as t

from .._connector.batch import Work, run_batch
from .._errors import Fault, GuestError, Reason, VforgeError
from .._vsphere.guest import guest_error, wait_for_tools
from .._vsphere.markers import CUSTOMIZED_KEY
from . import api
from .job import Job, Standing, by_title

# The deadline may be what failed; ending a customization has a time of its own.
_ABORT_SECONDS = 60.0

_MARKING = "clones marked"


def customize(job: Job, standings: t.Sequence[Standing]) -> Reason | None:
    """Customize the clones that are to be and are not yet.

    :returns: why it ended early, or None.
    """
    due = {title: standing for title, standing in by_title(standings).items() if _is_due(standing)}
    if not due:
        return None
    _wait_for_guests(job, due)
    stopped = _stages(job, due)
    job.timer.lap("customize")
    return stopped


def _is_due(standing: Standing) -> bool:
    """Not a clone that another run has made meanwhile: that run may be at work in it."""
    return standing.step.customize and standing.error is None and (standing.made or standing.step.existing is not None)


def _wait_for_guests(job: Job, due: t.Mapping[str, Standing]) -> None:
    refs = [api.vm(job.session, _moid(standing)) for standing in due.values()]
    late = wait_for_tools(job.session, refs, job.deadline, "guests answer")
    for title, standing in due.items():
        if _moid(standing) in late:
            standing.fail(
                GuestError(
                    "guest_tools_not_running",
                    f"{title} is there, but VMware Tools did not answer in it in {job.options.timeout} seconds.",
                    hint="Check VMware Tools in the parent. The next run customizes the clone, unless it is removed.",
                )
            )


def _stages(job: Job, due: t.Mapping[str, Standing]) -> Reason | None:
    """Customize, start the network, and mark the clone as done, so that the next run knows."""
    session, login = job.session, job.options.credentials
    specs = {
        title: api.customization_spec(item.step.request.customization, len(item.step.source.nics))
        for title, item in due.items()
    }
    stages: tuple[tuple[str, t.Callable[[str, str], t.Any]], ...] = (
        ("guests customized", lambda title, moid: api.start_customizing(session, moid, login, specs[title])),
        ("networks started", lambda _, moid: api.start_network(session, moid, login)),
        (
            _MARKING,
            lambda title, moid: api.start_marking(session, moid, {CUSTOMIZED_KEY: due[title].step.name}),
        ),
    )
    broken: dict[str, Standing] = {}
    for doing, start in stages:
        open_items = {title: item for title, item in due.items() if item.error is None}
        works = [Work(title, _calling(start, title, item)) for title, item in open_items.items()]
        if not works:
            break
        done = run_batch(session, works, job.options.parallel, job.deadline, doing)
        for title, outcome in done.outcomes.items():
            due[title].calls += outcome.calls
            if outcome.error is not None:
                due[title].fail(_meaning(outcome.error, title, job))
                # What was done and could not be marked is not undone: the next run does it again.
                broken |= {title: due[title]} if outcome.calls and doing != _MARKING else {}
        if done.stopped is not None:
            _abort(job, broken)
            return done.stopped
    _abort(job, broken)
    for standing in due.values():
        standing.customized = standing.error is None
        standing.changed = standing.changed or standing.customized
    return None


def _meaning(error: VforgeError, title: str, job: Job) -> VforgeError:
    user = job.options.credentials.username if job.options.credentials else ""
    return guest_error(error, title, "customize its guest", user) if isinstance(error, Fault) else error


def _abort(job: Job, broken: t.Mapping[str, Standing]) -> None:
    """End what may still go on in guests whose customization failed, so that it can be begun anew."""
    works = [
        Work(title, _calling(lambda _, moid: api.start_abort(job.session, moid, job.options.credentials), title, item))
        for title, item in broken.items()
    ]
    if not works:
        return
    done = run_batch(job.session, works, job.options.parallel, time.monotonic() + _ABORT_SECONDS, "customizations aborted")
    for title, outcome in done.outcomes.items():
        broken[title].calls += outcome.calls
        if outcome.error is not None:
            broken[title].warnings.append(f"The customization of {title} could not be aborted: {outcome.error}")


def _calling(start: t.Callable[[str, str], t.Any], title: str, standing: Standing) -> t.Callable[[], t.Any]:
    return lambda: start(title, _moid(standing))


def _moid(standing: Standing) -> str:
    return standing.moid or (standing.vm.moid if standing.vm else "")
