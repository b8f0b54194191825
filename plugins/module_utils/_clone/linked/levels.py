# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Levels: templates that are linked clones themselves, made in two phases.

One run wins the name, fills the VM, and publishes it; the others wait until it is a template. A level that is not published is
never changed by anybody else's run: its maker may be at work in it.
"""

from __future__ import annotations

import dataclasses
import typing as t

from ..._connector import tasks
from ..._connector.batch import Work, run_batch
from ..._errors import Fault, Reason, TimedOut
from ..._vsphere.markers import TEMPLATE_KEY, level_mark, level_of
from .. import api as shared_api
from ..facts import Existing
from ..job import Job, Standing, by_title
from . import api

if t.TYPE_CHECKING:
    from ..._connector.session import Session

OPEN, LAYERED = "open", "layered"

_Due = t.Mapping[str, Standing]


def owner_of(existing: Existing) -> str | None:
    """Who fills a level: what he called himself, empty where he did not; None where it is none that is being filled."""
    phase, owner = level_of(existing.extra_config.get(TEMPLATE_KEY, ""), existing.name) or ("", "")
    return owner if phase == OPEN else None


def is_layered(existing: Existing) -> bool:
    """Whether an earlier run has come as far as to put a layer on the disks of a level."""
    phase, _owner = level_of(existing.extra_config.get(TEMPLATE_KEY, ""), existing.name) or ("", "")
    return phase == LAYERED


def wait_until_published(job: Job, standings: t.Sequence[Standing], owner: str) -> Reason | None:
    """Wait for the levels that other runs fill, with one filter for all; what this run made is its own to fill."""
    theirs: dict[str, Standing] = {}
    for standing in standings:
        standing.ready = bool(standing.vm and standing.vm.template) and standing.error is None
        mine = standing.made or bool(owner and standing.vm and owner_of(standing.vm) == owner)
        if standing.error is None and standing.vm is not None and not standing.ready and not mine:
            theirs[standing.vm.moid] = standing
    if not theirs:
        return None
    open_levels = set(theirs)
    refs = [shared_api.vm(job.session, moid) for moid in sorted(theirs)]
    changes = tasks.updates(job.session, refs, shared_api.VIRTUAL_MACHINE, ("config.template",), job.deadline)
    try:
        for batch in changes:
            for update in batch:
                if _is_settled(theirs[update.moid], update):
                    open_levels.discard(update.moid)
            job.session.tell(f"waiting for {len(open_levels)} templates that other runs fill")
            if not open_levels:
                break
    finally:
        changes.close()
    for moid in open_levels:
        theirs[moid].fail(_late(theirs[moid], job))
    job.timer.lap("wait_for_template")
    return None


def _is_settled(standing: Standing, update: tasks.Update) -> bool:
    if update.gone:
        standing.fail(TimedOut(f"{standing.step.name} was removed by the run that filled it.", hint="Run again to make it."))
        return True
    if not update.values.get("config.template") or standing.vm is None:
        return False
    standing.ready, standing.vm = True, dataclasses.replace(standing.vm, template=True, power_state="poweredOff")
    return True


def _late(standing: Standing, job: Job) -> TimedOut:
    error = TimedOut(
        f"{standing.step.name} is there, but the run that fills it did not publish it in {job.options.timeout} seconds.",
        hint="If that run is dead, go on in its place by setting owner to its own, or remove the VM with state absent.",
        owner=owner_of(standing.vm) if standing.vm else None,
    )
    error.error_code = "template_not_ready"
    return error


def publish(job: Job, standings: t.Sequence[Standing]) -> Reason | None:
    """Shut the guests down, put a layer on the disks, and make templates: the last step is what others wait for."""
    due = {title: item for title, item in by_title(standings).items() if item.step.publish and item.error is None and item.vm}
    stopped = _shut_down(job, due)
    if stopped is None:
        bare = {title: item for title, item in _alive(due).items() if item.vm and not is_layered(item.vm)}
        devices = api.read_devices(job.session, [_moid(item) for item in bare.values()])
        stopped = _stage(job, bare, "layers added", lambda item: _layer(job.session, item, devices))
    if stopped is None:
        stopped = _stage(job, _alive(due), "templates published", lambda item: api.mark_as_template(job.session, _moid(item)))
    for item in due.values():
        item.ready = item.error is None and stopped is None
    if due:
        job.timer.lap("publish")
    return stopped


def _alive(due: _Due) -> dict[str, Standing]:
    return {title: item for title, item in due.items() if item.error is None}


def _layer(session: Session, standing: Standing, devices: t.Mapping[str, t.Any]) -> t.Any:
    mark = {TEMPLATE_KEY: level_mark(standing.step.name, LAYERED, "")}
    return api.start_layering(session, _moid(standing), devices[_moid(standing)], mark)


def _stage(job: Job, due: _Due, doing: str, start: t.Callable[[Standing], t.Any]) -> Reason | None:
    """One call for each level; each failure is its standing's."""
    works = [Work(title, _calling(start, item)) for title, item in due.items()]
    if not works:
        return None
    done = run_batch(job.session, works, job.options.parallel, job.deadline, doing)
    for title, outcome in done.outcomes.items():
        due[title].calls += outcome.calls
        if outcome.error is not None:
            due[title].fail(outcome.error)
        else:
            due[title].changed = True
    return done.stopped


def _calling(start: t.Callable[[Standing], t.Any], standing: Standing) -> t.Callable[[], t.Any]:
    return lambda: start(standing)


def _shut_down(job: Job, due: _Due) -> Reason | None:
    """Let the guests shut down, and wait for it: what they hold in memory belongs on the disks."""
    running = {title: item for title, item in due.items() if item.vm and item.vm.power_state == "poweredOn"}
    stopped = _stage(job, running, "guests told to shut down", lambda item: api.shut_down_guest(job.session, _moid(item)))
    if stopped is not None:
        return stopped
    for item in running.values():
        if isinstance(item.error, Fault) and item.error.fault == "InvalidPowerState":
            item.error, item.action = None, "updated"  # it went down by itself meanwhile
    waiting = {_moid(item): item for item in _alive(running).values()}
    late = api.wait_until_off(job.session, list(waiting), job.deadline)
    for moid in late:
        waiting[moid].fail(
            TimedOut(
                f"The guest of {waiting[moid].step.name} did not shut down in {job.options.timeout} seconds.",
                hint="Shut it down, then run again.",
            )
        )
    return None


def _moid(standing: Standing) -> str:
    return standing.vm.moid if standing.vm else ""
