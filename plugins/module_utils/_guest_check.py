# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Wait for a guest and ask it, from the options to the result: a domain so small that it is one file."""

from __future__ import annotations

import dataclasses
import typing as t

from ._connector.find import TO_ANCESTORS, Selector, find_vm, unreadable
from ._connector.props import collect
from ._connector.pyvmomi import vim
from ._engine import ItemOfVm, Task
from ._errors import GuestError, InvalidOption, TimedOut
from ._vsphere.guest import (
    GONE,
    OFF,
    READY,
    Completed,
    Guest,
    GuestCredentials,
    taken_away,
    tools_ready,
    wait_for_tools,
)
from ._vsphere.vm import ABOVE, BASICS, Vm, basics, is_readable, moid_of

if t.TYPE_CHECKING:
    from ._connector.session import Session

_WANTED: dict[type, tuple[str, ...]] = {**ABOVE, vim.VirtualMachine: (*BASICS, *READY)}


def _is_path(text: str) -> bool:
    """Whether a text may be the path of a program, of Linux or of Windows; vSphere wants a whole one
    (API reference, GuestProgramSpec).
    """
    return text.startswith("/") or "\\" in text or text[1:3] == ":/"


@dataclasses.dataclass(frozen=True)
class CheckOptions:
    """What a guest is asked.

    :ivar command: a program and its arguments; empty to wait for Tools alone.
    :ivar exit_codes: of a command that succeeded.
    :ivar timeout: seconds for all of it.
    """

    selector: Selector
    datacenter: str | None
    credentials: GuestCredentials | None
    command: tuple[str, ...]
    exit_codes: tuple[int, ...]
    timeout: int

    @classmethod
    def from_params(cls, params: t.Mapping[str, t.Any]) -> CheckOptions:
        """Take the options out of a module's parameters.

        :raises InvalidOption: naming the option.
        """
        command = tuple(params.get("command") or ())
        credentials = GuestCredentials.from_params(params)
        if command and not _is_path(command[0]):
            raise InvalidOption(
                f"command begins with {command[0]!r}, which is no path of a program in the guest.",
                hint="Write it as a list: the path of the program, then each of its arguments, as in "
                "[/usr/bin/systemctl, is-active, postgresql]. For a shell's line, [/bin/sh, -c, LINE].",
                option="command",
            )
        if command and credentials is None:
            raise InvalidOption(
                "command is set, and nobody who runs it in the guest.",
                hint="Set guest_username and guest_password.",
                option="guest_username",
            )
        return cls(
            selector=Selector.from_params(params["vm"], "vm"),
            datacenter=params.get("datacenter"),
            credentials=credentials if command else None,
            command=command,
            exit_codes=tuple(params["exit_codes"]),
            timeout=params["timeout"],
        )


@dataclasses.dataclass(kw_only=True)
class GuestItem(ItemOfVm):
    """A VM whose guest is asked.

    :ivar answers: whether its Tools take guest operations.
    :ivar completed: what became of the command; None where none was run to its end.
    """

    vm: Vm
    answers: bool
    completed: Completed | None = None


def run(session: Session, options: CheckOptions, *, check: bool) -> dict[str, t.Any]:
    """Wait until Tools answer, and run the command; in check mode say what there is now.

    :returns: the module's result: ``changed``, ``vm``, ``failures`` and ``timing``.
    :raises VforgeError: before anything was asked.
    :raises PartialFailure: the guest does not answer, or the command failed; it holds the result.
    """
    deadline = session.deadline(options.timeout)
    ref = find_vm(session, options.selector, options.datacenter)
    rows = {row.moid: row for row in collect(session, [ref], _WANTED, TO_ANCESTORS)}
    row = rows.get(moid_of(ref))
    if not is_readable(row):
        raise unreadable(options.selector)
    item = GuestItem(vm=Vm(**basics(rows, row)), answers=tools_ready(row.values))
    task: Task[GuestItem] = Task(session, [item], "guests", deadline=deadline, parallel=1, check=check)
    with task.phase("work"), task.accounted(), task.working_on(item):
        if not check:
            _ask(task, item, ref, options)
    return task.finish({"changed": False, "vm": _entry(item)}, subject=item)


def _ask(task: Task[GuestItem], item: GuestItem, ref: t.Any, options: CheckOptions) -> None:
    if not item.vm.powered_on:
        raise GuestError("guest_powered_off", f"{item.title} is not powered on.", hint="Power it on and let its guest start.")
    unready = {} if item.answers else wait_for_tools(task.session, [ref], task.deadline, "guests answer")
    why = unready.get(item.vm.moid, "")
    if why in (GONE, OFF):
        raise taken_away(item.title, why)
    if why:
        raise TimedOut(
            f"VMware Tools in {item.title} did not answer within {options.timeout} s.",
            hint="Look at its console: the guest may not have started, or has no VMware Tools.",
        )
    item.answers = True
    if options.credentials is None:
        return
    guest = Guest(task.session, ref, options.credentials)
    program, *arguments = options.command
    item.completed = guest.run(program, arguments, deadline=task.deadline)
    if item.completed.exit_code not in options.exit_codes:
        raise GuestError(
            "guest_check_failed",
            f"{program} in {item.title} ended with {item.completed.exit_code}.",
            hint="vm.output of the result has what it wrote.",
        )


def _entry(item: GuestItem) -> dict[str, t.Any]:
    done = item.completed
    return {
        "name": item.vm.name,
        "moid": item.vm.moid,
        "path": item.vm.path,
        "power_state": item.vm.power_state,
        "tools_answer": item.answers,
        "exit_code": done.exit_code if done is not None else None,
        "output": done.text if done is not None else "",
    }
