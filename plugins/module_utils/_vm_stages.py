# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is done with VMs that a task makes: the same for clones and for the children of VMFork.

They are removed, and what their guests do by themselves is waited for.
"""

from __future__ import annotations

import dataclasses
import typing as t

from ._connector import names, tasks
from ._connector.props import read
from ._engine import Item, Part, Task
from ._errors import Fault, InvalidOption, TimedOut, VforgeError
from ._vsphere import vm as vms
from ._vsphere.guest import GONE, OFF, taken_away
from ._vsphere.wake import (
    FAILED,
    PATHS,
    RUNNING,
    WakeReport,
    failure,
    keys_warning,
    lateness,
    report_of,
)

if t.TYPE_CHECKING:
    from ._connector.batch import Outcome
    from ._connector.session import Session

# The steps that clones and children have in common, and what the result calls each when it was
# carried out.
CREATE, UPDATE, POWER_ON, POWER_OFF, DESTROY = (
    "create",
    "update",
    "power_on",
    "power_off",
    "destroy",
)
ACTIONS = {
    CREATE: "created",
    UPDATE: "updated",
    POWER_ON: "powered_on",
    POWER_OFF: "powered_off",
    DESTROY: "removed",
}


@dataclasses.dataclass(kw_only=True)
class VmItem(Item):
    """A VM that a task makes, changes or removes.

    :ivar wake: how its scripts for waking went; None where it has
        none, or they were not asked after.
    :ivar parents_keys: whether it reports that its SSH host keys are its parent's.
    """

    wake: str | None = None
    parents_keys: bool = False

    @property
    def vm_moid(self) -> str:
        """The moid of the VM; empty where there is none."""
        raise NotImplementedError

    @property
    def powered_off(self) -> bool:
        """Whether the VM is known to be off."""
        raise NotImplementedError

    @property
    def to_be_absent(self) -> bool:
        """Whether it is asked that there be no such VM."""
        raise NotImplementedError

    def become(self, power_state: str) -> None:
        """Note that its VM is powered on or off now."""
        raise NotImplementedError

    @property
    def action(self) -> str:
        """What became of it, in one word."""
        if self.error is not None:
            return "failed"
        for step in (CREATE, DESTROY):
            if step in self.done:
                return ACTIONS[step]
        if self.done:
            return ACTIONS[UPDATE]
        return "absent" if self.to_be_absent else "unchanged"

    def skip(self, step: str) -> None:
        """Note that somebody else has done a step meanwhile, whatever was done of it by then."""
        self.steps = tuple(each for each in self.steps if each != step)
        self.parts = [part for part in self.parts if part.step != step]

    def judge(self, reported: WakeReport) -> bool:
        """Take what the guest reports of its scripts for waking; True when it is their end."""
        self.wake, self.parents_keys = reported.state, reported.parents_keys
        if reported.state == FAILED:
            self.fail(failure(self.title, reported))
        return reported.state != RUNNING


V = t.TypeVar("V", bound=VmItem)

# Powering on and off

_POWER: dict[str, tuple[t.Callable[[Session, str], t.Any], str, str]] = {
    POWER_ON: (vms.start_power_on, "powered on", "poweredOn"),
    POWER_OFF: (vms.start_power_off, "powered off", "poweredOff"),
}


def change_power(task: Task[t.Any], items: t.Iterable[V], step: str, noun: str) -> None:
    """Power VMs on or off, as their plans say.

    One that is so by then was made so by somebody else, which is no failure.

    :param step: ``POWER_ON`` or ``POWER_OFF``.
    :param noun: what the progress calls them, in the plural.
    :raises Reason: why the task ended early, after each item has its outcome.
    """
    start, done, power_state = _POWER[step]

    def note(item: V, outcome: Outcome) -> None:
        is_so = isinstance(outcome.error, Fault) and outcome.error.found(power_state)
        if outcome.error is not None and not is_so:
            item.fail(outcome.error)
            return
        if is_so and not outcome.repeated:
            item.skip(step)
        else:
            item.done.append(step)  # of a call that was sent twice, the first has done it
        item.become(power_state)

    task.call(
        [item for item in items if item.due(step)],
        lambda item: start(task.session, item.vm_moid),
        f"{noun} {done}",
        note,
        repeatable=True,
    )


# Removing


def remove(task: Task[t.Any], items: t.Iterable[V], noun: str) -> None:
    """Power off and destroy the VMs of items that are to go.

    One that is gone by then is no failure. One that somebody has renamed or moved while others were
    powered off stays.

    :param noun: what the progress calls them, in the plural.
    :raises Reason: why the task ended early, after each item has its outcome.
    """

    def note_off(item: V, outcome: Outcome) -> None:
        error = outcome.error
        if error is None or (isinstance(error, Fault) and error.found("poweredOff")):
            item.become("poweredOff")  # by this call or already
        elif fault_of(error) == "ManagedObjectNotFound":
            item.skip(DESTROY)
        # Whether a suspended VM can be powered off differs (the reference says that it cannot): then it goes as it is.
        elif not isinstance(error, Fault):
            item.fail(error)
        elif not error.found("suspended"):
            refused.append((item, error))

    def note_destroyed(item: V, outcome: Outcome) -> None:
        gone = fault_of(outcome.error) == "ManagedObjectNotFound"
        if gone and not outcome.repeated:
            item.skip(DESTROY)  # somebody else was faster
        elif outcome.error is not None and not gone:
            item.fail(outcome.error)
        else:
            item.done.append(DESTROY)

    refused: list[tuple[V, Fault]] = []
    doomed = [item for item in items if item.due(DESTROY)]
    running = [item for item in doomed if not item.powered_off]
    spots = read_spots(task.session, running)
    task.call(
        running,
        lambda item: vms.start_power_off(task.session, item.vm_moid),
        f"{noun} powered off",
        note_off,
        repeatable=True,
        part=Part(DESTROY, "powered_off"),
    )
    _look_whether_off(task.session, refused)
    spare_theirs(task, running, spots)  # hundreds of VMs take minutes to power off
    task.call(
        [item for item in doomed if item.due(DESTROY)],
        lambda item: vms.start_destroy(task.session, item.vm_moid),
        f"{noun} removed",
        note_destroyed,
        repeatable=True,
    )


def _look_whether_off(session: Session, refused: t.Sequence[tuple[V, Fault]]) -> None:
    """Fail the items whose VMs are not off. One call, where there are any.

    A task may end in an error when it has done its work.
    """
    refs = [vms.reference(session, item.vm_moid) for item, _fault in refused]
    rows = read(session, refs, vms.VIRTUAL_MACHINE, (POWER_STATE,)) if refs else {}
    for item, fault in refused:
        row = rows.get(item.vm_moid)
        if row is not None and row.get(POWER_STATE) == "poweredOff":
            item.become("poweredOff")
        else:
            item.fail(fault)


# The folder of a VM, by moid, and its name.
Spot: t.TypeAlias = tuple[str, str]


def read_spots(session: Session, items: t.Sequence[V]) -> dict[str, Spot]:
    """Where VMs are, by moid; one that is gone, or is not to be seen, is left out. One call, where there are any."""
    refs = [vms.reference(session, item.vm_moid) for item in items]
    rows = read(session, refs, vms.VIRTUAL_MACHINE, ("name", "parent")) if refs else {}
    seen = {moid: row for moid, row in rows.items() if row.get("name")}
    return {moid: (vms.moid_of(row.get("parent")), names.unescape(row.get("name"))) for moid, row in seen.items()}


def spare_theirs(task: Task[t.Any], items: t.Sequence[V], spots: t.Mapping[str, Spot]) -> None:
    """Leave the VMs that somebody has renamed or moved meanwhile, and so made their own.

    :param spots: where they were, by moid.
    """
    due = {item.vm_moid: item for item in items if item.due(DESTROY)}
    for moid, now in read_spots(task.session, list(due.values())).items():
        before = spots.get(moid, now)
        if now != before:
            what = f"renamed to {now[1]}" if now[1] != before[1] else "moved to another folder"
            due[moid].fail(
                InvalidOption(
                    f"{due[moid].title} was {what} meanwhile, and so it stays.",
                    hint="Somebody may need it. Remove it by the name and in the folder that it has now.",
                    conflict=True,
                )
            )


def fault_of(error: VforgeError | None) -> str:
    """The name of vSphere's fault that an error is, or empty."""
    return error.fault if isinstance(error, Fault) else ""


# Waiting

POWER_STATE = "runtime.powerState"


def was_taken_away(item: Item, update: tasks.Update) -> bool:
    """Whether somebody has removed a VM, powered it off or suspended it while its guest was waited for.

    Then its item fails. ``POWER_STATE`` is to be among what is waited on.
    """
    if update.gone:
        item.fail(taken_away(item.title, GONE))
    elif str(update.state.get(POWER_STATE, "poweredOn")) != "poweredOn":
        item.fail(taken_away(item.title, OFF))
    return item.error is not None


def went_off(item: Item, update: tasks.Update) -> bool:
    """Whether the guest of a VM has shut down, or never will: its item fails then."""
    is_off = not update.gone and str(update.state.get(POWER_STATE)) == "poweredOff"
    return is_off or was_taken_away(item, update)


# What can be still to come from a guest.
ADDRESS, WAKE = "address", "wake"

_DOING = {
    (ADDRESS,): "have an address",
    (WAKE,): "are awake",
    (ADDRESS, WAKE): "are awake and have an address",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class GuestWait(t.Generic[V]):
    """Waits for guests, with one filter for all: for addresses, and for the ends of scripts for
    waking.

    What has not come at the deadline is the failure of its VM, which stays.

    :ivar noun: what the progress calls the VMs, in the plural.
    :ivar timeout: seconds, as the user knows the deadline of the task.
    :ivar hear: keeps what a guest reports in ``guest.net``; True when it has an address.
    :ivar no_address: the error of one that has none.
    """

    task: Task[t.Any]
    noun: str
    timeout: int
    hear: t.Callable[[V, t.Any], bool]
    no_address: t.Callable[[V], TimedOut]

    def run(self, items: t.Mapping[str, V], due: t.Mapping[str, set[str]]) -> None:
        """Wait until nothing is due any more, or until the deadline.

        :param items: by the moids of their VMs, which are on.
        :param due: what is still to come from each; it is taken out as it comes.
        :raises Reason: why the task ended early.
        """
        waiting = {moid: item for moid, item in items.items() if due[moid]}
        asked = _asked(due)
        paths = (
            POWER_STATE,
            *(["guest.net"] if ADDRESS in asked else []),
            *(PATHS if WAKE in asked else ()),
        )
        config: dict[str, dict[str, str]] = {moid: {} for moid in waiting}

        def came(item: V, update: tasks.Update) -> bool:
            moid = update.moid
            config[moid].update(vms.config_in(update.values))
            self._note(item, update, due[moid], config[moid])
            return item.error is not None or not due[moid]

        doing = f"{self.noun} {_DOING.get(asked, 'are ready')}"
        for item in self.task.wait_until(vms.VIRTUAL_MACHINE, paths, waiting, came, doing):
            never_woke = lateness(item.title, item.wake, self.timeout)
            item.fail(never_woke if WAKE in due[item.vm_moid] else self.no_address(item))
        for item in items.values():
            if item.parents_keys and item.error is None:
                item.warnings.append(keys_warning(item.title))

    def _note(self, item: V, update: tasks.Update, due: set[str], config: t.Mapping[str, str]) -> None:
        """Keep what a guest reports, and take away what it was waited for."""
        # All are on when the wait begins: this is what somebody does meanwhile.
        if was_taken_away(item, update):
            return
        if "guest.net" in update.values and self.hear(item, update.values["guest.net"] or ()):
            due.discard(ADDRESS)
        reported = report_of(config)
        if WAKE in due and reported is not None and item.judge(reported):
            due.discard(WAKE)


def _asked(due: t.Mapping[str, set[str]]) -> tuple[str, ...]:
    """What any of them is waited for."""
    every = set().union(*due.values())
    return tuple(what for what in (ADDRESS, WAKE) if what in every)


class NoAddress(TimedOut):
    """The guest of a VM that is there reported no address in time."""

    error_code = "ip_timeout"


def no_address(title: str, family: str, timeout: int, *, where: str = "", hint: str) -> TimedOut:
    """The error for a VM whose guest has reported no address in time.

    :param family: ``ipv4``, ``ipv6`` or ``any``.
    :param where: the NIC that was asked for, as " on Network adapter 1"; empty for any.
    """
    kind = {"ipv4": "IPv4 ", "ipv6": "IPv6 "}.get(family, "")
    return NoAddress(f"{title} is there, but its guest reported no {kind}address{where} in {timeout} s.", hint=hint)
