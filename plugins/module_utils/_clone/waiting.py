# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Wait for what guests and vCenter do by themselves, for all VMs of a task at once."""

from __future__ import annotations

import dataclasses
import typing as t

from .._connector import tasks
from .._errors import TimedOut
from . import api
from .facts import own_guest
from .job import Job, Standing

if t.TYPE_CHECKING:
    from .._connector.session import Session


def wait_for_addresses(job: Job, standings: t.Sequence[Standing]) -> None:
    """Wait until every clone that is on has an address that others can reach, with one filter for all.

    Those that have none at the deadline fail with ``ip_timeout``; the clones themselves stay.
    """
    waiting = {item.vm.moid: item for item in standings if item.vm and not item.error and item.vm.power_state == "poweredOn"}
    for item in standings:
        if item.vm and not item.error and item.vm.power_state != "poweredOn" and item.step.request.powered_on:
            item.warnings.append(f"{item.step.name} is {item.vm.power_state}: its address is not waited for.")
    open_vms = {moid for moid, item in waiting.items() if not _has_address(item, job)}
    refs = [api.vm(job.session, moid) for moid in sorted(open_vms)]
    changes = tasks.updates(job.session, refs, api.VIRTUAL_MACHINE, ("guest.net",), job.deadline)
    try:
        for batch in changes if open_vms else ():
            for update in batch:
                if _note(waiting[update.moid], update, job):
                    open_vms.discard(update.moid)
            job.session.tell(f"{len(waiting) - len(open_vms)} of {len(waiting)} clones have an address")
            if not open_vms:
                break
    finally:
        changes.close()
    for moid in open_vms:
        waiting[moid].fail(_late(waiting[moid], job))


def _note(standing: Standing, update: tasks.Update, job: Job) -> bool:
    """Keep what the guest tells; True when that is what was waited for, or the VM is gone."""
    if update.gone:
        standing.fail(TimedOut(f"{standing.step.name} was removed while its address was waited for."))
        return True
    if "guest.net" not in update.values or standing.vm is None:
        return False
    standing.vm = dataclasses.replace(standing.vm, guest=own_guest(update.values["guest.net"] or (), standing.step.parent))
    return _has_address(standing, job)


def _has_address(standing: Standing, job: Job) -> bool:
    return bool(standing.vm and standing.vm.addresses(job.options.ip_family, job.options.ip_nic))


def _late(standing: Standing, job: Job) -> TimedOut:
    family = {"ipv4": "IPv4 ", "ipv6": "IPv6 "}.get(job.options.ip_family, "")
    on_nic = f" on {job.options.ip_nic}" if job.options.ip_nic else ""
    error = TimedOut(
        f"{standing.step.name} is there, but its guest reported no {family}address{on_nic} in {job.options.timeout} seconds.",
        hint="Check DHCP, the network of the NIC and VMware Tools in the guest. "
        "Link-local addresses do not count, nor do those that the parent has.",
    )
    error.error_code = "ip_timeout"
    return error


def wait_until_ready(session: Session, moids: t.Sequence[str], power: str, deadline: float) -> None:
    """Wait until VMs that another call is making are there in full: a VM can be seen by name long before.

    :param power: the power state that they have then; empty where any will do.
    """
    open_vms = set(moids)
    refs = [api.vm(session, moid) for moid in moids]
    changes = tasks.updates(session, refs, api.VIRTUAL_MACHINE, ("config.instanceUuid", "runtime.powerState"), deadline)
    seen: dict[str, dict[str, t.Any]] = {moid: {} for moid in open_vms}
    try:
        for batch in changes:
            for update in batch:
                known = seen[update.moid]
                known.update(update.values)
                if update.gone or _is_ready(known, power):
                    open_vms.discard(update.moid)
            if not open_vms:
                break
    finally:
        changes.close()


def _is_ready(known: t.Mapping[str, t.Any], power: str) -> bool:
    state = known.get("runtime.powerState")
    return bool(known.get("config.instanceUuid")) and (str(state) == power if power else state is not None)
