# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Wait for what guests and vCenter do by themselves, for all VMs of a task at once."""

from __future__ import annotations

import contextlib
import dataclasses
import typing as t

from .._connector import names, tasks
from .._errors import TimedOut
from .._vsphere import wake
from . import api
from .facts import own_guest
from .job import Job, Standing

if t.TYPE_CHECKING:
    from .._connector.session import Session


# What is waited for.
_ADDRESS, _WAKE = "address", "wake"

_TOLD = {
    (_ADDRESS,): "clones have an address",
    (_WAKE,): "clones are awake",
    (_ADDRESS, _WAKE): "clones are awake and have an address",
}


def wait_for_guests(job: Job, standings: t.Sequence[Standing]) -> bool:
    """Wait for what the options ask for of clones that are on, with one filter for all.

    That is an address that others can reach, and the end of the scripts that a clone runs when it wakes. A clone in which
    one has failed fails with ``wake_failed``; what has not come at the deadline is ``ip_timeout`` or ``wake_timeout``. The
    clones themselves stay.

    :returns: whether anything was to be waited for.
    """
    waiting = {item.vm.moid: item for item in standings if item.vm and not item.error and _is_on(item, job)}
    due = {moid: _due(item, job) for moid, item in waiting.items()}
    asked = tuple(what for what in (_ADDRESS, _WAKE) if any(what in each for each in due.values()))
    if asked:
        _wait(job, waiting, due, asked)
    for moid, left in due.items():
        if left:
            item = waiting[moid]
            never_woke = wake.lateness(item.step.name, item.wake, job.options.timeout)
            item.fail(never_woke if _WAKE in left else _late(item, job))
    _warn_of_keys(job, standings)
    return job.options.wait_for_ip or bool(asked)


def _is_on(item: Standing, job: Job) -> bool:
    if item.vm is None or item.vm.power_state == "poweredOn":
        return item.vm is not None
    if item.step.request.powered_on and job.options.wait_for_ip:
        item.warnings.append(f"{item.step.name} is {item.vm.power_state}: its address is not waited for.")
    return False


def _due(item: Standing, job: Job) -> set[str]:
    """What is still to come from a clone."""
    due = {_ADDRESS} if job.options.wait_for_ip and not _has_address(item, job) else set()
    if job.options.wait_for_wake and _has_to_wake(item):
        due.add(_WAKE)
    return due if item.error is None else set()


def _has_to_wake(item: Standing) -> bool:
    """Whether the end of a clone's scripts is still to come; what an earlier run's clone has told already is taken."""
    existing = item.step.existing
    if existing is None:
        # One that another run has made meanwhile was read whole; that of an older release has no token.
        known = item.vm.extra_config if item.vm is not None else {}
        return bool(item.step.source.wake_scripts) and bool(not known or wake.token_of(known))
    if not wake.token_of(existing.extra_config):
        return False
    report = wake.report_of(existing.extra_config)
    if report is None:
        # What a guest has told may be gone with its last start.
        item.wake = "unknown"
        return False
    return not _judged(item, report)


def _wait(job: Job, waiting: dict[str, Standing], due: dict[str, set[str]], asked: tuple[str, ...]) -> None:
    open_vms = {moid for moid in waiting if due[moid]}
    paths = (*(["guest.net"] if _ADDRESS in asked else []), *(wake.PATHS if _WAKE in asked else ()))
    refs = [api.vm(job.session, moid) for moid in sorted(open_vms)]
    config: dict[str, dict[str, str]] = {moid: {} for moid in open_vms}
    with contextlib.closing(tasks.updates(job.session, refs, api.VIRTUAL_MACHINE, paths, job.deadline)) as rounds:
        for batch in rounds:
            for update in batch:
                _note(waiting[update.moid], update, due[update.moid], config[update.moid], job)
                if not due[update.moid]:
                    open_vms.discard(update.moid)
            job.session.tell(f"{len(waiting) - len(open_vms)} of {len(waiting)} {_TOLD[asked]}")
            if not open_vms:
                break


def _note(item: Standing, update: tasks.Update, due: set[str], config: dict[str, str], job: Job) -> None:
    """Keep what a clone tells, and take away what it was waited for."""
    if update.gone:
        item.fail(TimedOut(f"{item.step.name} was removed while its guest was waited for."))
    elif item.vm is not None and item.error is None:
        if "guest.net" in update.values:
            net = update.values["guest.net"] or ()
            item.vm = dataclasses.replace(item.vm, guest=own_guest(net, item.step.parent))
            if _has_address(item, job):
                due.discard(_ADDRESS)
        config.update(wake.config_in(update.values))
        report = wake.report_of(config)
        if _WAKE in due and report is not None and _judged(item, report):
            due.discard(_WAKE)
    if item.error is not None:
        due.clear()


def _judged(item: Standing, report: wake.WakeReport) -> bool:
    """Take what a clone tells; True when it is the end of its scripts."""
    item.wake = report.state
    item.parents_keys = report.parents_keys
    if report.state == wake.FAILED:
        item.fail(wake.failure(item.step.name, report))
    return report.state != wake.RUNNING


def _warn_of_keys(job: Job, standings: t.Iterable[Standing]) -> None:
    """A clone whose scripts went well can have its parent's keys still: whoever has root in one can pass for the others."""
    same = [item for item in standings if item.parents_keys and item.error is None]
    for item in same:
        item.warnings.append(f"{item.step.name} has the SSH host keys of its parent still.")
    if same:
        which = names.listing([item.step.name for item in same], most=5)
        job.session.warn(wake.keys_warning(which))


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
