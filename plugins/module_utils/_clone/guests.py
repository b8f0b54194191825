# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is done in the guests of clones, and what is waited for from them, for all clones of a task
at once.
"""

from __future__ import annotations

import dataclasses
import time
import typing as t

from .._engine import Part, Task
from .._errors import Fault, GuestError
from .._vm_stages import ADDRESS, WAKE, GuestWait, no_address
from .._vsphere import vm as vms
from .._vsphere import wake
from .._vsphere.guest import GONE, OFF, GuestCredentials, guest_error, taken_away, wait_for_tools
from .._vsphere.markers import CUSTOMIZED_KEY
from . import apply
from .model import CloneOptions, own_guest
from .plan import CUSTOMIZE

if t.TYPE_CHECKING:
    from .._connector.batch import Outcome
    from .task import CloneItem

_ABORT_SECONDS = 60.0


# Customizing guests by calls of their own


def customize(task: Task[CloneItem], options: CloneOptions, login: GuestCredentials) -> None:
    """Customize the clones that are to be and are not yet.

    A failure is aborted, and is its clone's alone.

    Three calls a clone: customize, start the network, and mark it, so that the next run knows.

    :raises Reason: why the task ended early.
    """
    due = [item for item in task.items if item.due(CUSTOMIZE)]
    if not due:
        return
    with task.phase("customize"):
        _wait_for_tools(task, due, options.timeout)
        broken: list[CloneItem] = []
        try:
            _start_all(task, due, login, broken)
            _mark_all(task, due)
            for item in due:
                item.customized = CUSTOMIZE in item.done
        finally:
            _abort(task, broken, login)


def _start_all(task: Task[CloneItem], due: t.Sequence[CloneItem], login: GuestCredentials, broken: list[CloneItem]) -> None:
    """Customize the guests, then start their networks.

    :param broken: gets those in which something was begun and failed.
    """

    def note(item: CloneItem, outcome: Outcome) -> None:
        if outcome.error is None:
            return
        error = outcome.error
        if isinstance(error, Fault):
            error = guest_error(error, item.title, "customize its guest", login.username)
        item.fail(error)
        if outcome.calls:
            broken.append(item)

    task.call(
        [item for item in due if item.error is None],
        lambda item: _start_customizing(task, item, login),
        "guests customized",
        note,
        part=Part(CUSTOMIZE, "customization_started"),
    )
    task.call(
        [item for item in due if item.error is None],
        lambda item: apply.start_network(task.session, item.vm_moid, login),
        "networks started",
        note,
    )


def _mark_all(task: Task[CloneItem], due: t.Sequence[CloneItem]) -> None:
    """Mark the clones that are customized, so that the next run knows."""

    def note(item: CloneItem, outcome: Outcome) -> None:
        # What was done and could not be marked is not undone: the next run does it again.
        if outcome.error is not None:
            item.fail(outcome.error)
        else:
            item.done.append(CUSTOMIZE)

    task.call(
        [item for item in due if item.error is None],
        lambda item: vms.start_config_change(task.session, item.vm_moid, {CUSTOMIZED_KEY: item.name}),
        "clones marked",
        note,
    )


def _start_customizing(task: Task[CloneItem], item: CloneItem, login: GuestCredentials) -> t.Any:
    wanted, parent = item.plan.request.customization, item.plan.parent
    if wanted is None or parent is None:
        raise TypeError(f"{item.title} is not to be customized")
    return apply.start_customizing(task.session, item.vm_moid, login, wanted, len(parent.nics))


def _wait_for_tools(task: Task[CloneItem], due: t.Sequence[CloneItem], timeout: int) -> None:
    refs = [vms.reference(task.session, item.vm_moid) for item in due]
    unready = wait_for_tools(task.session, refs, task.deadline, "guests answer")
    for item in due:
        why = unready.get(item.vm_moid, "")
        if why in (GONE, OFF):
            item.fail(taken_away(item.title, why))
        elif why:
            item.fail(
                GuestError(
                    "guest_tools_not_running",
                    f"{item.title} is there, but VMware Tools did not answer in it in {timeout} s.",
                    hint="Check VMware Tools in the parent. The next run customizes the clone, unless it is removed.",
                )
            )


def _abort(task: Task[CloneItem], broken: t.Sequence[CloneItem], login: GuestCredentials) -> None:
    """End what may still go on in guests whose customization failed, so that it can be begun again."""

    def note(item: CloneItem, outcome: Outcome) -> None:
        if outcome.error is not None:
            item.warnings.append(
                f"The customization of {item.title} could not be aborted: {outcome.error}",
            )

    task.call(
        broken,
        lambda item: apply.start_abort(task.session, item.vm_moid, login),
        "customizations aborted",
        note,
        deadline=time.monotonic() + _ABORT_SECONDS,
    )


# Waiting for what guests do by themselves


def wait(task: Task[CloneItem], options: CloneOptions) -> None:
    """Wait for what the options ask for of clones that are on, with one filter for all.

    That is an address that others can reach, and the end of the scripts that a clone runs when it
    wakes. A clone in which one has failed fails with ``wake_failed``; what has not come at the
    deadline is ``ip_timeout`` or ``wake_timeout``. The clones themselves stay.

    :raises Reason: why the task ended early.
    """
    on = {item.vm_moid: item for item in task.items if item.error is None and _is_on(item, options)}
    due = {moid: _due(item, options) for moid, item in on.items()}
    if options.wait_for_ip or any(due.values()):
        with task.phase("wait_for_ip" if options.wait_for_ip else "wait_for_wake"):
            _guests(task, options).run(on, due)


def _guests(task: Task[CloneItem], options: CloneOptions) -> GuestWait[CloneItem]:
    where = f" on {options.ip_nic}" if options.ip_nic else ""
    hint = (
        "Check DHCP, the network of the NIC and VMware Tools in the guest. "
        "Link-local addresses are not used, nor are those that the parent has."
    )

    def hear(item: CloneItem, net: t.Any) -> bool:
        if item.vm is not None:
            item.vm = dataclasses.replace(item.vm, guest=own_guest(net, item.plan.parent))
        return _has_address(item, options)

    return GuestWait(
        task=task,
        noun="clones",
        timeout=options.timeout,
        hear=hear,
        no_address=lambda item: no_address(
            item.title,
            options.ip_family,
            options.timeout,
            where=where,
            hint=hint,
        ),
    )


def _is_on(item: CloneItem, options: CloneOptions) -> bool:
    if item.vm is None or item.vm.power_state == "poweredOn":
        return item.vm is not None
    if item.plan.request.powered_on and options.wait_for_ip:
        item.warnings.append(
            f"{item.title} is {item.vm.power_state}: its address is not waited for.",
        )
    return False


def _due(item: CloneItem, options: CloneOptions) -> set[str]:
    """What is still to come from a clone."""
    due = {ADDRESS} if options.wait_for_ip and not _has_address(item, options) else set()
    if options.wait_for_wake and _has_to_wake(item):
        due.add(WAKE)
    return due if item.error is None else set()


def _has_to_wake(item: CloneItem) -> bool:
    """Whether the end of a clone's scripts is still to come.

    What an earlier run's clone has reported already is taken.
    """
    existing, parent = item.plan.existing, item.plan.parent
    if existing is None:
        # One that another run has made meanwhile was read whole; that of an older release has no
        # token.
        known = item.vm.extra_config if item.vm is not None else {}
        scripts = parent.wake_scripts if parent is not None else 0
        return bool(scripts) and bool(not known or wake.token_of(known))
    if not wake.token_of(existing.extra_config):
        return False
    reported = wake.report_of(existing.extra_config)
    if reported is None:
        # What a guest has reported may be gone with its last start.
        item.wake = "unknown"
        return False
    return not item.judge(reported)


def _has_address(item: CloneItem, options: CloneOptions) -> bool:
    return item.vm is not None and bool(item.vm.addresses(options.ip_family, options.ip_nic))
