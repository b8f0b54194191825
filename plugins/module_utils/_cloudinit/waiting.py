# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Wait for what guests tell of their cloud-init, for all VMs of a task at once, by updates of properties."""

from __future__ import annotations

import contextlib
import time
import typing as t

from .._connector import tasks
from .._errors import GuestError, TimedOut
from .._vsphere.reported import unconfirmed
from . import api, keys, plan, report_script
from .job import Job, Standing
from .options import FINISHED, NETWORK, NOTHING, READ

_WHAT = {READ: "have read their data", NETWORK: "have told their address", FINISHED: "have finished"}

_WHY_LATE = {
    READ: "cloud-init has not overwritten its data, so it seems not to have read them",
    NETWORK: "cloud-init has told no address",
    FINISHED: "cloud-init has not told of its end",
}


# VMware Tools look at the guest's network every thirty seconds, unless they are told otherwise.
_TOOLS_SECONDS = 60.0


def wait_for_guests(job: Job) -> None:
    """Wait until what is asked for has come from every VM; those where it has not at the deadline fail, and stay there."""
    waiting = {item.plan.machine.moid: item for item in job.standings if item.error is None and item.plan.wait != NOTHING}
    everyone = dict(waiting)
    for moid in [moid for moid, item in waiting.items() if _settled(item, job)]:
        del waiting[moid]
    if waiting:
        _watch(job, waiting)
    _wait_for_tools(job, everyone)


def _watch(job: Job, waiting: dict[str, Standing]) -> None:
    everyone = dict(waiting)
    paths = (api.POWER_STATE, api.GUEST_NET, *api.config_paths(_watched(job, list(waiting.values()))))
    total, refs = len(waiting), [api.vm(job.session, moid) for moid in waiting]
    changes = tasks.updates(job.session, refs, api.VIRTUAL_MACHINE, paths, job.deadline)
    try:
        for batch in changes:
            for update in batch:
                if update.moid in waiting and _note(waiting[update.moid], update, job):
                    del waiting[update.moid]
                else:
                    _note_tools(everyone[update.moid], update)
            job.session.tell(f"{total - len(waiting)} of {total} VMs {_WHAT[job.options.wait]}")
            if not waiting:
                break
    finally:
        changes.close()
    for item in waiting.values():
        item.reached, item.error = False, _late(item, job)


def _wait_for_tools(job: Job, told: t.Mapping[str, Standing]) -> None:
    """Give VMware Tools a little time to report the addresses that cloud-init has told: they look only twice a minute.

    Where they do not, the address is refused, and nothing else becomes of it.
    """
    if job.options.wait not in (NETWORK, FINISHED):
        return
    waiting = {moid: item for moid, item in told.items() if item.error is None and unconfirmed(item.word)}
    if not waiting:
        return
    count, refs = len(waiting), [api.vm(job.session, moid) for moid in waiting]
    deadline = min(job.deadline, time.monotonic() + _TOOLS_SECONDS)
    changes = tasks.updates(job.session, refs, api.VIRTUAL_MACHINE, (api.GUEST_NET,), deadline)
    with contextlib.closing(changes):
        for batch in changes:
            for update in batch:
                item = told[update.moid]
                _note_tools(item, update)
                if update.gone or not unconfirmed(item.word):
                    waiting.pop(update.moid, None)
            job.session.tell(f"VMware Tools report the addresses of {count - len(waiting)} of {count} VMs")
            if not waiting:
                break


def _note_tools(item: Standing, update: tasks.Update) -> None:
    if api.GUEST_NET in update.values:
        item.addresses = api.tools_addresses(update.values[api.GUEST_NET])


def _watched(job: Job, standings: t.Sequence[Standing]) -> tuple[str, ...]:
    if job.options.wait == READ:
        return tuple(sorted({keys.value(kind) for item in standings for kind in item.plan.redacting}))
    addresses = (keys.LOCAL_IPV4, keys.LOCAL_IPV6)
    return addresses if job.options.wait == NETWORK else (*addresses, keys.HOST_KEYS, job.options.finished_key)


def _note(item: Standing, update: tasks.Update, job: Job) -> bool:
    """Keep what is told of a VM; True when there is nothing more to wait for."""
    if update.gone:
        item.reached, item.error = False, TimedOut(f"{item.plan.machine.name} was removed while its guest was waited for.")
        return True
    _note_tools(item, update)
    item.config.update(api.config_in(update.values))
    item.power_state = str(update.values.get(api.POWER_STATE, item.power_state))
    return _settled(item, job)


def _settled(item: Standing, job: Job) -> bool:
    if not plan.reached(item.plan, job.options, item.config):
        return False
    item.reached = True
    if job.options.wait == FINISHED and job.options.own_report:
        _judge(item, plan.finished(item.plan, job.options, item.config))
    return True


def _judge(item: Standing, how: str | None) -> None:
    """cloud-init may have finished badly."""
    name = item.plan.machine.name
    if how == report_script.ERROR:
        item.error = GuestError(
            "cloud_init_failed",
            f"cloud-init has finished in {name}, and failed.",
            hint="Look in the guest: cloud-init status --long, /var/log/cloud-init.log.",
        )
    elif how == report_script.DEGRADED:
        item.warnings.append(
            f"cloud-init has finished in {name} with errors that it could go on after: cloud-init status --long."
        )


def _late(item: Standing, job: Job) -> TimedOut:
    name = item.plan.machine.name
    hints = {
        READ: "Check that cloud-init is in the guest and finds its VMware data source (ds-identify, vmware-rpctool).",
        NETWORK: "Check that cloud-init is in the guest, its network, and wait_on_network in the metadata.",
        FINISHED: "Look in the guest: cloud-init status --long. Users of the template may have switched vendor data off.",
    }
    error = TimedOut(
        f"{name} is {item.power_state}, but in {job.options.timeout} seconds {_WHY_LATE[item.plan.wait]}.",
        hint=hints[item.plan.wait],
    )
    error.error_code = "cloud_init_timeout"
    return error
