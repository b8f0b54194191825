# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""VMs that are off for as long as a mode is set: their own, or that of their cluster.

A VM that runs is marked, shut down, and started again when the mode is there; the mark goes when
VMware Tools run. A run that ends between leaves the mark, and by it the next run goes on.
"""

from __future__ import annotations

import dataclasses
import time
import typing as t

from .._engine import ItemOfVm, Part, Task
from .._errors import Fault, InvalidOption, NotAttempted, TimedOut, VforgeError
from .._vm_stages import POWER_STATE, fault_of, was_taken_away, went_off
from .._vsphere import vm as vsphere
from .._vsphere.privileges import missing_privileges
from .._vsphere.processors import Mode
from . import plan
from .model import MARK_KEY, WITH_TOOLS, EvcVm, Options, Release, mark
from .plan import APPLY, COME_BACK, MARK, POWER_ON, SHUT_DOWN, UNMARK

if t.TYPE_CHECKING:
    from .._connector import tasks
    from .._connector.batch import Outcome

_ACTIONS = {SHUT_DOWN: "shut_down", APPLY: "mode_set", POWER_ON: "powered_on"}

# To start VMs again that are off in the middle of the work is not cut short by the time of the
# task.
_SECONDS_TO_BRING_BACK = 60.0

_TOOLS = "guest.toolsRunningStatus"


@dataclasses.dataclass(kw_only=True)
class VmItem(ItemOfVm):
    """A VM of the task; ``vm`` is as it was found, ``now`` as it is at the end.

    :ivar mode: that it gets; None for no mode of its own.
    :ivar own: whether that is a mode of its own, or its cluster's.
    :ivar asked: whether it may still go off, since its guest was asked to shut
        down, or nobody knows whether it was.
    :ivar settled: whether it was brought back after a failure, as far as that could be done.
    """

    vm: EvcVm
    mode: Mode | None
    now: EvcVm
    own: bool = True
    asked: bool = False
    settled: bool = False

    @property
    def waits_for_tools(self) -> bool:
        """Whether Tools ran before it was shut down, so that they are waited for."""
        return self.vm.mark == WITH_TOOLS or (not self.vm.mark and self.vm.tools)

    @property
    def is_left_off(self) -> bool:
        """Whether this task has shut it down, or may have, and has not tried to start it again."""
        if POWER_ON in self.done:
            return False
        if APPLY in self.done:
            return POWER_ON in self.steps and not isinstance(self.error, Fault)
        return SHUT_DOWN in self.done or (self.asked and self.error is None)

    @property
    def is_marked_in_vain(self) -> bool:
        """Whether this task has marked it, and done nothing else with it."""
        return MARK in self.done and SHUT_DOWN not in self.done and not self.asked


def check_privileges(task: Task[t.Any], items: t.Sequence[VmItem], key: str) -> None:
    """Let each VM fail on which this user lacks what its steps need, before the first is shut
    down: one call, where any is due.

    :param key: of the session in vCenter; empty where this user may not read it.
    """
    due = [item for item in items if item.error is None and item.steps]
    if not due or not key:
        return
    wanted = [(vsphere.reference(task.session, item.vm.moid), plan.privileges(_calls(item))) for item in due]
    missing = missing_privileges(task.session, key, wanted)
    for item in due:
        if item.vm.moid in missing:
            item.steps = ()
            item.fail(plan.not_permitted(item.vm, missing[item.vm.moid]))


def _calls(item: VmItem) -> t.Iterable[str]:
    """The steps that are calls on the VM itself."""
    return (step for step in item.steps if item.own or step != APPLY)


def mark_all(task: Task[t.Any]) -> None:
    """Mark the VMs that are to be shut down."""
    task.stage(
        MARK,
        lambda item: vsphere.start_config_change(task.session, item.vm.moid, {MARK_KEY: mark(item.vm)}),
        "VMs marked",
        repeatable=True,
    )


def start_all(task: Task[t.Any], items: t.Sequence[VmItem], options: Options) -> None:
    """Power on what is off, and wait until VMware Tools run where they ran before."""
    task.stage(
        POWER_ON,
        lambda item: vsphere.start_power_on(task.session, item.vm.moid),
        "VMs powered on",
        repeatable=True,
        power_state="poweredOn",
    )
    _await_tools(task, items, options)


def unmark_all(task: Task[t.Any]) -> None:
    """Take the mark from the VMs that are back."""
    task.stage(
        UNMARK,
        lambda item: vsphere.start_config_change(task.session, item.vm.moid, {MARK_KEY: ""}),
        "VMs without the mark",
        repeatable=True,
    )


def shut_down(task: Task[t.Any], items: t.Sequence[VmItem], options: Options) -> None:
    """Shut the guests down, or where that is allowed power the VMs off whose guests do not."""

    deaf: list[VmItem] = []

    def asked(item: VmItem, outcome: Outcome) -> None:
        fault = fault_of(outcome.error)
        gone = fault == "InvalidPowerState"  # it went down by itself meanwhile
        item.asked = gone or _may_have_worked(outcome)
        if fault == "ToolsUnavailable":
            deaf.append(item)
        elif outcome.error is not None and not gone:
            item.fail(outcome.error)

    due = [item for item in items if item.due(SHUT_DOWN)]
    gentle = [item for item in due if item.vm.tools]
    task.call(gentle, lambda item: vsphere.shut_down_guest(task.session, item.vm.moid), "guests asked to shut down", asked)
    waiting = {item.vm.moid: item for item in gentle if item.error is None and item not in deaf}
    bound = min(task.deadline, time.monotonic() + options.shutdown_timeout)
    doing = "guests are shut down"
    late = task.wait_until(vsphere.VIRTUAL_MACHINE, (POWER_STATE,), waiting, went_off, doing, deadline=bound) + deaf
    hard = [item for item in due if item.error is None and (not item.vm.tools or item in late)]
    if not options.force:
        for item in late:
            item.fail(_not_shut_down(item, _ended(task, bound, options, "shutdown_timeout")))
    for item in due:
        if item.error is None and item not in hard:
            item.done.append(SHUT_DOWN)

    def off(item: VmItem, outcome: Outcome) -> None:
        is_off = isinstance(outcome.error, Fault) and outcome.error.found("poweredOff")
        if outcome.error is None or is_off:
            item.done.append(SHUT_DOWN)
        else:
            item.asked = item.asked or _may_have_worked(outcome)
            item.fail(outcome.error)

    still = [item for item in hard if item.error is None]
    task.call(still, lambda item: vsphere.start_power_off(task.session, item.vm.moid), "VMs powered off", off, repeatable=True)


def _may_have_worked(outcome: Outcome) -> bool:
    """Whether vCenter has carried a call out, or may have: its answer may be lost."""
    return not isinstance(outcome.error, (Fault, NotAttempted))


def _ended(task: Task[t.Any], bound: float, options: Options, option: str) -> str:
    """What has ended a wait, in words: the option for it, or that for all of the task."""
    name = "timeout" if bound == task.deadline else option
    return f"{name} ({getattr(options, name)} s)"


def _not_shut_down(item: VmItem, option: str) -> VforgeError:
    """Why a VM is not off. One whose guest was asked keeps its mark: it may still go off, and
    then somebody has to start it.

    :param option: that has ended the wait.
    """
    if not item.asked:
        return InvalidOption(
            f"VMware Tools do not run in {item.title} any more, so its guest cannot be shut down.",
            hint="Set force to have it powered off hard.",
            option="force",
        )
    return TimedOut(
        f"The guest of {item.title} did not shut down within {option}.",
        hint=f"It may still do so, and keeps the mark {MARK_KEY}: run again, which goes on with it, running or off. Or set "
        "force to have it powered off hard.",
    )


def bring_back(task: Task[t.Any], items: t.Sequence[VmItem]) -> None:
    """Start those VMs again that this task has left off, whatever has ended the work, and take the
    mark from those that are as they were. What has its mode keeps the mark until a run has seen
    VMware Tools, and so does what is off, or may still go off.
    """
    left = [item for item in items if item.is_left_off and not item.settled]
    run = [item for item in items if item.is_marked_in_vain and not item.settled]
    for item in (*left, *run):
        item.settled = True

    def note(item: VmItem, outcome: Outcome) -> None:
        runs = fault_of(outcome.error) == "InvalidPowerState"
        unsure = item.asked and SHUT_DOWN not in item.done
        if runs and unsure:
            item.warnings.append(
                f"{item.title} keeps the mark {MARK_KEY}: its guest was asked to shut down, and may still do so."
            )
        elif outcome.error is None or runs:
            item.done += [SHUT_DOWN, POWER_ON] if unsure else [POWER_ON]
            run.extend([] if APPLY in item.done else [item])
        else:
            item.warnings.append(f"{item.title} was shut down and could not be started again: {outcome.error}")

    deadline = max(task.deadline, time.monotonic() + _SECONDS_TO_BRING_BACK)
    task.call(
        left,
        lambda item: vsphere.start_power_on(task.session, item.vm.moid),
        "VMs powered on",
        note,
        repeatable=True,
        deadline=deadline,
        part=Part(POWER_ON, "powered_on"),
    )

    def unmarked(item: VmItem, outcome: Outcome) -> None:
        if outcome.error is not None:
            item.warnings.append(f"{item.title} keeps the mark {MARK_KEY} in its extraConfig: {outcome.error}")

    task.call(
        run,
        lambda item: vsphere.start_config_change(task.session, item.vm.moid, {MARK_KEY: ""}),
        "VMs without the mark",
        unmarked,
        repeatable=True,
        deadline=deadline,
    )


def _await_tools(task: Task[t.Any], items: t.Sequence[VmItem], options: Options) -> None:
    """Wait until Tools run in the VMs in which they ran before: then a VM is back."""
    due = [item for item in items if item.due(COME_BACK)]
    waiting = {item.vm.moid: item for item in due if item.waits_for_tools}
    bound = min(task.deadline, time.monotonic() + options.tools_timeout)
    paths = (_TOOLS, POWER_STATE)
    late = task.wait_until(vsphere.VIRTUAL_MACHINE, paths, waiting, _runs_tools, "VMs are back", deadline=bound)
    option = _ended(task, bound, options, "tools_timeout")
    for item in late:
        item.fail(
            TimedOut(
                f"{item.title} did not come back: VMware Tools did not run within {option} after it was powered on.",
                hint="Look at its console. It has the mode, and a mark by which the next run waits for it again.",
            )
        )
    for item in due:
        if item.error is None:
            item.done.append(COME_BACK)


def _runs_tools(item: VmItem, update: tasks.Update) -> bool:
    return was_taken_away(item, update) or update.state.get(_TOOLS) == "guestToolsRunning"


def entry(item: VmItem, release: Release) -> dict[str, t.Any]:
    """What the result says of a VM."""
    own = own_mode(item.vm, release)
    if item.own and APPLY in item.done:
        own = item.mode.key if item.mode else None
    found = {
        "name": item.vm.name,
        "moid": item.vm.moid,
        "path": item.vm.path,
        "instance_uuid": item.vm.instance_uuid,
        "mode": own,
        "previous_mode": own_mode(item.vm, release),
        "needs_mode": item.now.needs.min_mode or None,
        "power_state": item.now.power_state,
        "actions": _actions(item),
        "changed": item.changed,
        "seconds": item.seconds,
    }
    return item.with_error(found)


def _actions(item: VmItem) -> list[str]:
    words = {**_ACTIONS, APPLY: "mode_set" if item.mode else "mode_removed"}
    return item.actions({step: word for step, word in words.items() if item.own or step != APPLY})


def own_mode(vm: EvcVm, release: Release) -> str | None:
    """The key of the mode that a VM has of its own; ``custom`` where its masks are no mode's."""
    if not vm.needs.masks:
        return None
    mode = release.of_masks(vm.needs.masks)
    return mode.key if mode is not None else "custom"
