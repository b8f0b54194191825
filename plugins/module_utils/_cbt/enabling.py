# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Switch tracking on, make it count, and prove that it does; or switch it off."""

from __future__ import annotations

import dataclasses
import time
import typing as t

from .._errors import Fault, VforgeError
from . import api, lookup, plan
from .job import Job, Standing, batch, not_attempted, waves
from .taking import UNSURE, undisturbed, with_snapshots

DONE = {plan.SWITCH_ON: "switched_on", plan.SWITCH_OFF: "switched_off", plan.ACTIVATE: "activated"}


class NotProved(VforgeError):
    """Tracking was switched on, and yet a disk has no changeId."""

    error_code = "tracking_not_proved"


def switch(job: Job) -> None:
    """Bring all VMs to the state asked for; each that cannot be gets its error."""
    _reconfigure(job, plan.SWITCH_OFF, on=False)
    _reconfigure(job, plan.SWITCH_ON, on=True)
    due = _due(job, plan.ACTIVATE)
    _cycle(job, [standing for standing in due if plan.cycles_power(standing.vm, job.options)])
    with_snapshots(
        job,
        [standing for standing in due if not plan.cycles_power(standing.vm, job.options)],
        lambda _ready: None,
        memory=False,
        quiesce=False,
    )
    if job.stopped is None:
        _prove(job, [standing for standing in due if standing.error is None])
    for standing in job.standings:
        left = [step for step in standing.plan.steps if DONE[step] not in standing.done]
        if left and standing.error is None:
            standing.fail(not_attempted(standing))


def _due(job: Job, step: str) -> list[Standing]:
    return [standing for standing in job.standings if standing.error is None and step in standing.plan.steps]


def _reconfigure(job: Job, step: str, *, on: bool) -> None:
    begun = time.monotonic()
    due = _due(job, step)
    if not due or job.stopped is not None:
        return
    outcomes = batch(job, due, lambda each: api.start_tracking(job.session, each.moid, on), "VMs reconfigured")
    for standing in due:
        error = outcomes[standing.moid].error
        if error is None:
            standing.vm = dataclasses.replace(standing.vm, tracking=on)
            standing.done.append(DONE[step])
        else:
            standing.fail(error)
    job.lap("reconfigure", begun)


def _cycle(job: Job, standings: t.Sequence[Standing]) -> None:
    """Power VMs off and on again; what was powered off is powered on in every ending."""
    begun = time.monotonic()
    for wave in waves(standings, job.options.parallel):
        if job.stopped is not None:
            return
        off: list[Standing] = []
        try:
            outcomes = batch(job, wave, lambda each: api.start_power_off(job.session, each.moid), "VMs powered off")
            for standing in wave:
                error = outcomes[standing.moid].error
                if error is None or isinstance(error, UNSURE):
                    off.append(standing)
                if error is not None:
                    standing.fail(error)
        finally:
            undisturbed(job, lambda off=off: _power_on(job, off))  # type: ignore[misc]
    job.lap("power_cycle", begun)


def _power_on(job: Job, off: list[Standing]) -> None:
    deadline = time.monotonic() + job.options.timeout
    outcomes = batch(job, off, lambda each: api.start_power_on(job.session, each.moid), "VMs powered on", deadline)
    for standing in list(off):
        error = outcomes[standing.moid].error
        if error is None or (isinstance(error, Fault) and error.fault == "InvalidPowerState"):
            off.remove(standing)  # the latter: it was never off
        else:
            standing.warnings.append(f"{standing.vm.path} is powered off still: {error}")
            standing.fail(error)


def _prove(job: Job, standings: t.Sequence[Standing]) -> None:
    """Read the changeIds: what has one is tracked from now on."""
    if not standings:
        return
    begun = time.monotonic()
    known = lookup.read_proof(job.session, [standing.moid for standing in standings])
    for standing in standings:
        tracking, disks = known.get(standing.moid, (False, ()))
        standing.vm = dataclasses.replace(standing.vm, tracking=tracking, disks=disks)
        if standing.vm.counting and disks:
            standing.done.append(DONE[plan.ACTIVATE])
        else:
            standing.fail(_not_proved(standing))
    job.lap("proof", begun)


def _not_proved(standing: Standing) -> NotProved:
    without = [disk.label for disk in standing.vm.trackable if not disk.change_id]
    return NotProved(
        f"Tracking was switched on for {standing.vm.path}, but it does not count: "
        + (f"{', '.join(without)} has no changeId." if without else "it is off again."),
        hint="Look at the events of the VM, or let it count by a power cycle (activation: power_cycle).",
        disks=without,
    )
