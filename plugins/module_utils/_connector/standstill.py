# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bring guests to a stand, in which copies are made of them: one wait sees all of them stand still.

The command that does it never returns in the guest itself, so its script is started and left to itself, and a property of the
VM tells when the guest stands.
"""

from __future__ import annotations

import dataclasses
import typing as t

from .._errors import GuestError, Interrupted, TimedOut, VforgeError
from . import tasks, wakescript
from .guest import Guest
from .pyvmomi import vim
from .wakescript import Manner, Scripts

if t.TYPE_CHECKING:
    from .session import Session

# Of the output of a script that failed, the end; it says why.
_LONGEST_OUTPUT = 4000


@dataclasses.dataclass
class Stopping:
    """A guest on its way to a stand.

    :ivar path: of its VM, for messages.
    :ivar folder: of the guest, with the scripts; ``pid`` is the process that runs them.
    :ivar over: whether nothing is left to clean up in the guest.
    """

    moid: str
    path: str
    guest: Guest
    folder: str = ""
    pid: int | None = None
    over: bool = False
    error: VforgeError | None = None


def begin(item: Stopping, scripts: Scripts, manner: Manner) -> None:
    """Write the scripts into the guest and start the one that stops it.

    :raises GuestError: what was written by then is for ``clean_up``.
    """
    guest, shell = item.guest, item.guest.shell
    item.folder = guest.make_directory()
    for path, text in wakescript.files(scripts, manner, shell, item.folder).items():
        guest.upload(path, text.encode(), mode=0o700)
    program, *options = shell.interpreter
    arguments = [*options, wakescript.main_path(manner, shell, item.folder)]
    item.pid = guest.start(program, arguments, output=wakescript.log_path(manner, shell, item.folder))


def wait(
    session: Session,
    items: t.Sequence[Stopping],
    manner: Manner,
    deadline: float,
    timeout: int,
    on_stand: t.Callable[[Stopping], None],
) -> None:
    """Wait until all of them stand still; each that does not gets its error.

    Between rounds that bring nothing it is asked whether a script has ended without stopping its guest.

    :param deadline: of ``time.monotonic()``; ``timeout`` is what the user knows it by.
    :param on_stand: called with each as soon as it is seen to stand still.
    """
    waiting = {item.moid: item for item in items}
    refs = [session.reference(vim.VirtualMachine, moid) for moid in waiting]
    changes = tasks.updates(session, refs, vim.VirtualMachine, (manner.shown_by,), deadline, tasks.growing_rounds())
    try:
        for changed in changes if waiting else ():
            for update in changed:
                _note(waiting, update, manner, on_stand)
            if not changed:
                _look_for_ends(waiting, manner)
            session.tell(f"{len(items) - len(waiting)} of {len(items)} parents are {manner.state}")
            if not waiting:
                break
    finally:
        changes.close()
    for item in waiting.values():
        item.error = _late(item, manner, timeout)


def clean_up(items: t.Iterable[Stopping], manner: Manner) -> None:
    """Leave guests that do not stand still as they were. A signal that comes meanwhile waits until that is done.

    :raises Interrupted: one came.
    """
    signal: Interrupted | None = None
    for item in items:
        try:
            _clean_up(item, manner)
        except Interrupted as error:
            # It is the only one that can come: a second one ends the process at once.
            signal = error
            _clean_up(item, manner)
    if signal is not None:
        raise signal


def _clean_up(item: Stopping, manner: Manner) -> None:
    if item.over:
        return
    if item.pid is not None:
        otherwise = f"The script to {manner.verb} was left running in {item.path}"
        item.guest.attempt(otherwise, lambda: _terminate(item, manner))
    if item.folder:
        item.guest.attempt(f"{item.folder} was left in the guest of {item.path}", lambda: _remove_folder(item))


def _terminate(item: Stopping, manner: Manner) -> None:
    if item.pid is not None:
        item.guest.terminate(item.pid, manner.verb)
        item.pid = None


def _remove_folder(item: Stopping) -> None:
    item.guest.remove_directory(item.folder)
    item.folder = ""


def no_tools(path: str, manner: Manner, *, installed: bool) -> GuestError:
    """The error for a VM whose guest cannot be worked in."""
    return GuestError(
        "guest_tools_not_running",
        f"VMware Tools {'do not answer' if installed else 'are not installed'} in {path}, and to {manner.verb} it needs them.",
        hint="Install or start VMware Tools (open-vm-tools) in the guest.",
    )


def _note(waiting: dict[str, Stopping], update: tasks.Update, manner: Manner, on_stand: t.Callable[[Stopping], None]) -> None:
    item = waiting.get(update.moid)
    if item is None:
        return
    if update.gone:
        item.error, item.over = TimedOut(f"{item.path} was removed meanwhile."), True
        del waiting[update.moid]
    elif update.values.get(manner.shown_by):
        item.over = True
        on_stand(item)
        del waiting[update.moid]


def _look_for_ends(waiting: dict[str, Stopping], manner: Manner) -> None:
    for moid, item in list(waiting.items()):
        try:
            code = item.guest.exit_code(item.pid or 0, manner.verb)
            if code is None:
                continue
            item.pid = None
            item.error = _failed(item, manner, code)
        except GuestError as error:
            if error.error_code == "guest_tools_not_running":
                continue  # a guest that has just stopped answers no more, and the update that says so is on its way
            item.error = error
        del waiting[moid]


def _failed(item: Stopping, manner: Manner, code: int) -> GuestError:
    written = ""
    if code:
        log = wakescript.log_path(manner, item.guest.shell, item.folder)
        written = item.guest.fetch(log).decode(errors="replace").strip()
    else:
        item.folder = ""  # a script that came to its end has removed it, and its output with it
    why = manner.endings.get(code, f"its script went on behind the {manner.verb} command, and ended with exit code {code}")
    last = written.splitlines()[-1] if written else "it wrote nothing"
    return GuestError(
        f"{manner.verb}_failed",
        f"{item.path} did not {manner.verb}: {why} ({last}).",
        hint="The whole output is in the result. Nothing of the scripts is left in the guest.",
        exit_code=code,
        output=written[-_LONGEST_OUTPUT:],
    )


def _late(item: Stopping, manner: Manner, timeout: int) -> VforgeError:
    error = TimedOut(
        f"{item.path} was not {manner.state} after {timeout} seconds; its script was ended.",
        hint=f"Raise timeout, or find out in the guest what the script {manner.before_option} "
        f"or the {manner.verb} command waits for.",
    )
    error.error_code = f"{manner.verb}_timeout"
    return error
