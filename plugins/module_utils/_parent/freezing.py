# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Freeze parents: all are prepared at once, and one wait sees all of them stand still."""

from __future__ import annotations

import dataclasses
import typing as t

from .._connector import tasks
from .._connector.guest import Guest
from .._connector.guest import wait_for_tools as wait_in_guests
from .._errors import GuestError, TimedOut, VforgeError
from . import api, plan, recipe
from .job import Job, Standing, batch

# Of the output of a script that failed, the end; it says why.
_LONGEST_OUTPUT = 4000


@dataclasses.dataclass
class Freezing:
    """A parent that runs the script that freezes it; ``folder`` and ``pid`` are of its guest."""

    standing: Standing
    guest: Guest
    folder: str = ""
    pid: int | None = None
    over: bool = False


def freeze(job: Job) -> None:
    """Freeze the parents that are due; each that cannot be gets its error, and nothing of it stays in its guest."""
    due = _reachable(job)
    wait_for_tools(job, due)
    begun = {standing.moid: Freezing(standing, _guest(job, standing)) for standing in due if standing.error is None}
    try:
        batch(
            job,
            [item.standing for item in begun.values()],
            lambda each: _begin(job, begun[each.moid]),
            "parents prepared",
            _noted,
        )
        _wait(job, {moid: item for moid, item in begun.items() if item.standing.error is None})
    finally:
        for item in begun.values():
            if not item.over:
                _clean_up(item)


def check(job: Job) -> None:
    """In check mode: make sure that the guests take the credentials, where they can be asked."""
    due = _reachable(job)
    for standing in due:
        if not standing.now.frozen and not standing.now.tools:
            standing.error = _no_tools(standing)
    ready = [standing for standing in due if standing.error is None]
    batch(job, ready, lambda each: _guest(job, each).validate(), "parents checked", _noted)


def _reachable(job: Job) -> list[Standing]:
    """The parents to freeze whose guests vCenter lets this user into."""
    due = [standing for standing in job.standings if standing.due(plan.FREEZE)]
    for standing in due:
        standing.error = standing.found.no_access
    return [standing for standing in due if standing.error is None]


def wait_for_tools(job: Job, standings: t.Sequence[Standing]) -> None:
    """Wait until the guests of these parents can be worked in; one without Tools fails at once."""
    waiting = {standing.moid: standing for standing in standings if standing.error is None and not standing.now.tools}
    for standing in waiting.values():
        if not standing.now.tools_installed:
            standing.error = _no_tools(standing)
    refs = [api.vm(job.session, moid) for moid, standing in waiting.items() if standing.error is None]
    late = wait_in_guests(job.session, refs, job.deadline, "guests answer")
    for moid, standing in waiting.items():
        if moid in late:
            standing.error = _no_tools(standing)
        elif standing.error is None:
            standing.now = dataclasses.replace(standing.now, tools=True)


def _begin(job: Job, item: Freezing) -> None:
    """Write the scripts into the guest and start the one that freezes."""
    guest, shell = item.guest, item.guest.shell
    item.folder = guest.make_directory()
    for path, text in recipe.files(job.options.scripts, shell, item.folder).items():
        guest.upload(path, text.encode(), mode=0o700)
    program, *options = shell.interpreter
    arguments = [*options, recipe.main_path(shell, item.folder)]
    item.pid = guest.start(program, arguments, output=recipe.log_path(shell, item.folder))


def _noted(_standing: Standing, _outcome: object) -> None:
    """What comes next looks at the guests themselves."""


def _wait(job: Job, waiting: dict[str, Freezing]) -> None:
    """Wait until all are frozen. Between rounds that bring nothing it is asked whether a script has ended without freezing."""
    count = len(waiting)
    refs = [api.vm(job.session, moid) for moid in waiting]
    rounds = tasks.growing_rounds()
    changes = tasks.updates(job.session, refs, api.VIRTUAL_MACHINE, api.FROZEN, job.deadline, rounds)
    try:
        for changed in changes if waiting else ():
            for update in changed:
                _note(waiting, update)
            if not changed:
                _look_for_ends(waiting)
            job.session.tell(f"{count - len(waiting)} of {count} parents are frozen")
            if not waiting:
                break
    finally:
        changes.close()
    for item in waiting.values():
        item.standing.error = _late(job, item)


def _note(waiting: dict[str, Freezing], update: tasks.Update) -> None:
    item = waiting.get(update.moid)
    if item is None:
        return
    if update.gone:
        item.standing.error, item.over = _removed(item.standing), True
        del waiting[update.moid]
    elif update.values.get("runtime.instantCloneFrozen"):
        item.over = True
        item.standing.finish(plan.FREEZE, frozen=True, tools=False)
        del waiting[update.moid]


def _look_for_ends(waiting: dict[str, Freezing]) -> None:
    for moid, item in list(waiting.items()):
        try:
            code = item.guest.exit_code(item.pid or 0, recipe.MAIN)
            if code is None:
                continue
            item.pid = None
            item.standing.error = _failed(item, code)
        except GuestError as error:
            if error.error_code == "guest_tools_not_running":
                continue  # a guest that has just frozen answers no more, and the update that says so is on its way
            item.standing.error = error
        del waiting[moid]


def _failed(item: Freezing, code: int) -> GuestError:
    written = ""
    if code:
        log = recipe.log_path(item.guest.shell, item.folder)
        written = item.guest.fetch(log).decode(errors="replace").strip()
    else:
        item.folder = ""  # a script that came to its end has removed it, and its output with it
    why = recipe.ENDINGS.get(code, f"its script went on behind the freeze command, and ended with exit code {code}")
    last = written.splitlines()[-1] if written else "it wrote nothing"
    return GuestError(
        "freeze_failed",
        f"{item.standing.now.path} did not freeze: {why} ({last}).",
        hint="The whole output is in the result. Nothing of the scripts is left in the guest.",
        exit_code=code,
        output=written[-_LONGEST_OUTPUT:],
    )


def _late(job: Job, item: Freezing) -> VforgeError:
    error = TimedOut(
        f"{item.standing.now.path} was not frozen after {job.options.timeout} seconds; its script was ended.",
        hint="Raise timeout, or find out in the guest what the script before_freeze or the freeze command waits for.",
    )
    error.error_code = "freeze_timeout"
    return error


def _clean_up(item: Freezing) -> None:
    """Leave a guest that did not freeze as it was."""
    guest, where = item.guest, item.standing.now.path
    if item.pid is not None:
        pid = item.pid
        guest.attempt(f"The script that freezes was left running in {where}", lambda: guest.terminate(pid, recipe.MAIN))
    if item.folder:
        guest.attempt(f"{item.folder} was left in the guest of {where}", lambda: guest.remove_directory(item.folder))


def _guest(job: Job, standing: Standing) -> Guest:
    credentials = job.options.credentials
    if credentials is None:
        raise ValueError("freezing was planned without credentials")
    return Guest(job.session, api.vm(job.session, standing.moid), credentials, standing.found.access)


def _no_tools(standing: Standing) -> GuestError:
    what = "do not answer" if standing.now.tools_installed else "are not installed"
    return GuestError(
        "guest_tools_not_running",
        f"VMware Tools {what} in {standing.now.path}, and freezing needs them.",
        hint="Install or start VMware Tools (open-vm-tools) in the guest.",
    )


def _removed(standing: Standing) -> VforgeError:
    return TimedOut(f"{standing.now.path} was removed meanwhile.")
