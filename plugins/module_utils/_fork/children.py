# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make, change and remove children: one batch for each kind of call, one reading, one wait for addresses."""

from __future__ import annotations

import contextlib
import dataclasses
import typing as t

from .._connector import tasks
from .._errors import Fault, InvalidOption, NotAttempted, TimedOut
from . import api, lookup, plan
from .job import ChildStanding, Job, ParentStanding, batch

if t.TYPE_CHECKING:
    from .._connector.batch import Outcome
    from .plan import Step

_ACTIONS = {plan.CREATE: "created", plan.UPDATE: "updated", plan.KEEP: "unchanged", plan.DESTROY: "removed"}


def standing(step: Step, home: ParentStanding, state: str | None, *, check: bool) -> ChildStanding:
    """How a child stands before anything is done; in check mode, as if it had been.

    :param state: that the task brings parents to; None where it leaves them as they are.
    """
    known = step.existing
    made = ChildStanding(step, home, _ACTIONS.get(step.kind, "absent"), vm=known, moid=known.moid if known else "")
    if step.kind == plan.CONFLICT:
        made.fail(
            InvalidOption(
                f"{step.name} is not touched: {step.reason}.",
                hint="Choose another name or folder, or remove by hand what holds the name.",
                conflict=True,
            )
        )
    elif home.error is not None and step.kind != plan.NOTHING:
        made.fail(NotAttempted(f"{step.name}: nothing was done, since its parent {home.title} is not as it should be."))
    elif (refusal := plan.too_early(step, state)) is not None:
        made.fail(refusal)
    elif check:
        made.changed = step.kind in (plan.CREATE, plan.UPDATE, plan.DESTROY)
        made.vm = plan.expected(step) if step.kind == plan.CREATE else known
    return made


def remove(job: Job) -> None:
    """Power off and destroy the children that are to go.

    :raises VforgeError: when the task ended early.
    """
    doomed = [child for child in job.children if child.due() and child.action == "removed"]
    running = [child for child in doomed if child.vm is None or child.vm.running]
    batch(job, running, _on(job, api.start_power_off), "children powered off", _book_off, repeatable=True)
    left = [child for child in doomed if child.due() and child.action == "removed"]
    batch(job, left, _on(job, api.start_destroy), "children removed", _book_destroyed, repeatable=True)


def make(job: Job) -> None:
    """Make the missing children, bring the others to what is asked, and power them on or off.

    :raises VforgeError: when the task ended early.
    """
    missing = [child for child in job.children if child.due() and child.step.kind == plan.CREATE]
    taken: dict[str, ChildStanding] = {}
    try:
        # A name can be taken only once in a folder: a call that is sent twice cannot make two children.
        batch(job, missing, _creating(job), "children made", lambda child, end: _book_made(child, end, taken), repeatable=True)
    finally:
        _adopt(job, taken)
    changing = [child for child in job.children if child.due() and child.step.config and child.step.kind == plan.UPDATE]
    update = _updating(job)
    batch(job, changing, update, "children changed", _book_changed, repeatable=True)
    for power, start, doing in (
        ("on", api.start_power_on, "children powered on"),
        ("off", api.start_power_off, "children powered off"),
    ):
        due = [child for child in job.children if child.due() and child.step.power == power and _is_made(child)]
        batch(job, due, _on(job, start), doing, _book_powered, repeatable=True)


def read_again(job: Job) -> None:
    """What the changed children are now, in one call for all."""
    changed = [child for child in job.children if child.changed and child.action != "removed"]
    known = lookup.read_wanted(job.session, [api.vm(job.session, child.moid) for child in changed])
    for child in changed:
        child.vm = known.get(child.moid, child.vm)


def wait_for_addresses(job: Job) -> None:
    """Wait until every child that is on has an address that others can reach, with one filter for all.

    Those that have none at the deadline fail with ``ip_timeout``; the children themselves stay.
    """
    asked = [child for child in job.children if child.due() and child.vm is not None and child.step.request.powered_on]
    waiting = {child.moid: child for child in asked if child.step.kind != plan.DESTROY and not _addresses(job, child)}
    count, refs = len(waiting), [api.vm(job.session, moid) for moid in waiting]
    with contextlib.closing(tasks.updates(job.session, refs, api.VIRTUAL_MACHINE, ("guest.net",), job.deadline)) as rounds:
        for changes in rounds if waiting else ():
            for change in changes:
                _note_address(job, waiting, change)
            job.session.tell(f"{count - len(waiting)} of {count} children have an address")
            if not waiting:
                break
    for child in waiting.values():
        child.fail(_late(job, child))


def _note_address(job: Job, waiting: dict[str, ChildStanding], change: tasks.Update) -> None:
    child = waiting.get(change.moid)
    if child is None:
        return
    if change.gone:
        waiting.pop(change.moid).fail(TimedOut(f"{child.title} was removed while its address was waited for."))
    elif "guest.net" in change.values and child.vm is not None:
        child.vm = dataclasses.replace(child.vm, guest=lookup.guest_of(change.values["guest.net"]))
        if _addresses(job, child):
            del waiting[change.moid]


def _addresses(job: Job, child: ChildStanding) -> list[str]:
    return child.vm.addresses(job.options.ip_family) if child.vm is not None else []


def _late(job: Job, child: ChildStanding) -> TimedOut:
    family = {"ipv4": "IPv4 ", "ipv6": "IPv6 "}.get(job.options.ip_family, "")
    error = TimedOut(
        f"{child.title} is there, but its guest reported no {family}address in {job.options.timeout} seconds.",
        hint="Check that a script of on_wake binds the network cards anew, and DHCP and the network of the NIC. "
        "Link-local addresses do not count, nor do those of cards with the parent's MAC.",
    )
    error.error_code = "ip_timeout"
    return error


def give_up(job: Job) -> None:
    """Leave the children alone whose parents could not be brought to the state asked for."""
    for child in job.children:
        if child.error is None and child.home.error is not None and child.step.kind in (plan.CREATE, plan.UPDATE):
            child.changed, child.vm = False, child.step.existing
            child.fail(
                NotAttempted(f"{child.title} was not begun: its parent {child.home.title} is not ready.", hint="Run again.")
            )


def _is_made(child: ChildStanding) -> bool:
    return bool(child.moid) and not (child.vm is not None and child.step.power == "on" and child.vm.power_state == "poweredOn")


def _on(job: Job, start: t.Callable[[t.Any, str], t.Any]) -> t.Callable[[ChildStanding], t.Any]:
    return lambda child: start(job.session, child.moid)


def _creating(job: Job) -> t.Callable[[ChildStanding], t.Any]:
    def start(child: ChildStanding) -> t.Any:
        place = child.step.placement
        if place is None:
            raise ValueError(f"the step for {child.step.name} has no placement")
        return api.start_child(job.session, child.home.moid, child.step.request, place)

    return start


def _updating(job: Job) -> t.Callable[[ChildStanding], t.Any]:
    return lambda child: api.start_update(job.session, child.moid, child.step.config)


def _book_made(child: ChildStanding, outcome: Outcome, taken: dict[str, ChildStanding]) -> None:
    _count(child, outcome)
    if outcome.error is None:
        child.changed, child.moid = True, outcome.result._GetMoId()
        return
    child.fail(outcome.error)
    if isinstance(outcome.error, Fault) and outcome.error.fault == "DuplicateName" and outcome.error.holder:
        child.moid = outcome.error.holder if outcome.repeated else ""
        taken[outcome.error.holder] = child


def _adopt(job: Job, taken: t.Mapping[str, ChildStanding]) -> None:
    """A name that was taken meanwhile is success where vCenter lists the holder among the children of this parent.

    Its maker is another run, or this one: a call whose answer was lost is sent again, and then finds the name taken by
    what the first one made.
    """
    homes = {child.home.moid: child.home.now for child in taken.values()}
    families = lookup.read_families(
        job.session, [dataclasses.replace(home, known=True) for home in homes.values()], job.deadline
    )
    for moid, child in taken.items():
        listed = {vm.moid: vm for vm in families[child.home.moid].children}
        if moid in listed:
            child.error, child.vm, child.changed = None, listed[moid], bool(child.moid)
            child.action, child.moid = "created" if child.changed else "unchanged", moid
        else:
            child.moid = ""


def _book_changed(child: ChildStanding, outcome: Outcome) -> None:
    _count(child, outcome)
    if outcome.error is not None:
        child.fail(outcome.error)
    else:
        child.changed = True


def _book_powered(child: ChildStanding, outcome: Outcome) -> None:
    _count(child, outcome)
    if outcome.error is not None and not (_is_already(outcome) and outcome.repeated):
        child.fail(outcome.error)
        return
    child.changed = child.powered = True
    child.action = "updated" if child.action == "unchanged" else child.action


def _book_off(child: ChildStanding, outcome: Outcome) -> None:
    _count(child, outcome)
    if outcome.error is None or _is_already(outcome):
        return
    if _is_gone(outcome):
        child.action = "absent"
    else:
        child.fail(outcome.error)


def _book_destroyed(child: ChildStanding, outcome: Outcome) -> None:
    _count(child, outcome)
    if _is_gone(outcome) and not outcome.repeated:
        child.action = "absent"  # somebody else was faster
    elif outcome.error is not None and not _is_gone(outcome):
        child.fail(outcome.error)
    else:
        child.changed = True


def _count(child: ChildStanding, outcome: Outcome) -> None:
    child.calls += outcome.calls
    child.seconds = outcome.seconds if child.seconds is None else round(child.seconds + (outcome.seconds or 0.0), 3)


def _is_already(outcome: Outcome) -> bool:
    return isinstance(outcome.error, Fault) and outcome.error.fault == "InvalidPowerState"


def _is_gone(outcome: Outcome) -> bool:
    return isinstance(outcome.error, Fault) and outcome.error.fault == "ManagedObjectNotFound"
