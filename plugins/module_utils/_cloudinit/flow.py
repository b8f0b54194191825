# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A task that delivers data for cloud-init, from its options to its result.

Takes plain options and a Session, so that it runs in a module as well as in an action plugin.
"""

from __future__ import annotations

import time
import typing as t

from .._connector import names
from .._errors import NotAttempted, PartialFailure, Reason
from .._vsphere.reported import warn
from . import api, keys, lookup, plan, report
from .job import Job, Standing, carry_out, standing
from .options import CUSTOMIZATION, NOTHING, PRESENT, CloudOptions
from .waiting import wait_for_guests

if t.TYPE_CHECKING:
    from .._connector.session import Session


def run(session: Session, options: CloudOptions, *, check: bool) -> dict[str, t.Any]:
    """Do what the options ask for, or in check mode find out what that would be.

    :returns: the module's result: ``changed``, ``vms``, ``failed_vms``, ``diff`` and ``timing``.
    :raises VforgeError: before anything was changed.
    :raises PartialFailure: when a VM could not be brought to the state; it holds the whole result.
    """
    if options.transport == CUSTOMIZATION and options.state == PRESENT:
        api.require_customization(session)
    begun = time.monotonic()
    selectors = [request.selector for request in options.requests]
    found = lookup.find_machines(session, selectors, options.datacenter, [options.finished_key])
    pairs = zip(found, options.requests, strict=True)
    standings = [standing(plan.decide(machine, request, options), request.data.fixed) for machine, request in pairs]
    looked_up = time.monotonic()
    job = Job(session, options, standings, session.deadline(options.timeout))
    stopped = None if check else _carry_out(job)
    result = report.result(standings, options, check=check)
    result["timing"] = {"lookup": round(looked_up - begun, 3), "work": round(time.monotonic() - looked_up, 3)}
    for item in standings:
        for warning in item.warnings:
            session.warn(warning)
    warn(session.warn, result["refusals"])
    failed = [item for item in standings if item.error is not None]
    if failed or stopped is not None:
        raise PartialFailure(_headline(standings, failed, stopped, check=check), result, hint=_hint(standings, stopped))
    return result


def _carry_out(job: Job) -> Reason | None:
    """Do the steps of all VMs; returns why the task ended early, or None."""
    session = job.session
    try:
        carry_out(
            job,
            plan.CUSTOMIZE,
            lambda item: api.start_customization(session, item.plan.machine.moid, *item.plan.customization),
            "VMs customized",
            _as_planned,
        )
        carry_out(
            job,
            plan.WRITE,
            lambda item: api.start_write(session, item.plan.machine.moid, item.plan.config),
            "VMs have their data",
            lambda item: item.config.update(item.plan.config),
        )
        carry_out(
            job,
            plan.POWER_ON,
            lambda item: api.start_power_on(session, item.plan.machine.moid),
            "VMs powered on",
            _is_on,
            forgiven="InvalidPowerState",  # it is on: somebody else was faster, or this call was sent twice
        )
        carry_out(
            job,
            plan.REBOOT,
            lambda item: api.reboot(session, item.plan.machine.moid),
            "VMs asked to reboot",
            _as_planned,
            repeatable=False,
        )
        # Only now, so that a task which ended before leaves the reboot to the next one.
        carry_out(
            job,
            plan.SETTLE,
            lambda item: api.start_write(session, item.plan.machine.moid, {keys.PENDING: ""}),
            "VMs booting",
            _as_planned,
        )
        if job.options.wait != NOTHING:
            wait_for_guests(job)
    except Reason as error:
        for item in job.standings:
            left = [step for step in item.plan.steps if step not in item.done]
            if item.error is None and (left or item.plan.wait != NOTHING):
                item.error = NotAttempted(
                    f"{item.plan.machine.name}: {', '.join(left) or 'waiting'} was not finished.", hint="Run again."
                )
        return error
    return None


def _as_planned(_item: Standing) -> None:
    """Nothing is known but that it was done."""


def _is_on(item: Standing) -> None:
    item.power_state = "poweredOn"


def _headline(standings: list[Standing], failed: list[Standing], stopped: Reason | None, *, check: bool) -> str:
    parts = [str(stopped)] if stopped is not None else []
    if len(standings) == 1 and failed and stopped is None:
        name, said = failed[0].plan.machine.name, failed[0].error.message if failed[0].error else ""
        parts.append(said if name in said else f"{name}: {said}")
    elif failed:
        which = names.listing([item.plan.machine.name for item in failed], most=5)
        parts.append(f"{len(failed)} of {len(standings)} VMs failed ({which}); the first: {failed[0].error}")
    parts.append("Nothing was changed: this was check mode." if check else "")
    return " ".join(part for part in parts if part)


def _hint(standings: list[Standing], stopped: Reason | None) -> str:
    """What the headline does not say yet: of several VMs it quotes the first error whole."""
    alone = standings[0].error if len(standings) == 1 and stopped is None else None
    return alone.hint if alone is not None else ""
