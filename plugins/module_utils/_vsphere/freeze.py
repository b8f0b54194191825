# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Freeze guests, of which clones are made then: one wait sees all of them frozen.

The command that does it never returns in the guest itself, so its script is started and left to
itself, and a property of the VM shows when the guest is frozen.

Runs that were killed leave things in a guest: scripts that go on, and folders with scripts in them.
A script that goes on would freeze the guest with the scripts of that run. A folder would be copied
into each clone, with the secrets that scripts hold. Both are known by the names that this
collection alone gives.
"""

from __future__ import annotations

import dataclasses
import hmac
import re
import time
import typing as t

from .._connector import tasks
from .._connector.props import read
from .._connector.pyvmomi import vim
from .._errors import CodedError, GuestError, Interrupted, InvalidOption, NotFound, StillRunning, TimedOut, VforgeError
from .._text import printable
from . import wake
from .compute import host_of
from .guest import LONGEST_OUTPUT, PREFIX, READY, Access, Guest, access_in, tools_ready
from .vm import Vm, basics, config_path
from .wake import FreezeMethod, FreezeRecord, Scripts

if t.TYPE_CHECKING:
    from .._connector.props import Row
    from .._connector.session import Session

# Of the output of a script that failed, the end; it says why.
_LONGEST_OUTPUT = 4000

# Seconds by which what the guest reports may come later than the property that shows it frozen.
_RECORD_SECONDS = 10.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class ParentVm(Vm):
    """What is known of every VM that is, or is to be, a parent.

    :ivar tools: whether Tools run and take guest operations; not while it is frozen.
    :ivar tools_installed: False where vSphere knows that there are none.
    :ivar record: what its guest reported of itself when it was frozen last; valid while it is
        frozen.
    """

    tools: bool
    tools_installed: bool
    host_name: str
    host_available: bool
    record: FreezeRecord | None = None


P = t.TypeVar("P", bound=ParentVm)


@dataclasses.dataclass(frozen=True)
class Found(t.Generic[P]):
    """A parent and the way into its guest; in its place, why this user has none."""

    parent: P
    way: Access | GuestError


def found_in(session: Session, rows: t.Mapping[str, Row], parent: P) -> Found[P]:
    """A parent with the way into its guest.

    :param rows: read with the paths and routes of ``guest``.
    """
    try:
        return Found(parent, access_in(session, rows, parent.moid))
    except GuestError as error:
        return Found(parent, error)


@dataclasses.dataclass
class Freezing:
    """A guest that is being frozen.

    :ivar path: of its VM, for messages.
    :ivar record: what the guest is to report when it is frozen.
    :ivar folder: of the guest, with the scripts; ``pid`` is the process that runs them.
    :ivar started: whether the script may run, or have run.
    :ivar over: whether nothing is left to clean up in the guest.
    :ivar frozen_since: when it was seen frozen first, of ``time.monotonic()``.
    :ivar shown: the record that it shows.
    """

    moid: str
    path: str
    guest: Guest
    record: FreezeRecord
    folder: str = ""
    pid: int | None = None
    started: bool = False
    over: bool = False
    error: VforgeError | None = None
    frozen_since: float | None = None
    shown: FreezeRecord | None = None

    @property
    def is_ours(self) -> bool:
        """Whether the guest is frozen with the scripts of this run."""
        return self.frozen_since is not None and self.shown == self.record

    @property
    def left_behind(self) -> bool:
        """Whether scripts of this run are still in a guest that they have not frozen."""
        return bool(self.folder) and not self.over


def new_record(instance_uuid: str, scripts: Scripts, salt: str) -> FreezeRecord:
    """What a VM is to report when this run has frozen it.

    :param salt: one for all VMs of a task, since each digest takes its time.
    """
    return FreezeRecord(instance_uuid, wake.new_run(), len(scripts.wake), salt, scripts.digest(salt))


def begin(item: Freezing, scripts: Scripts, method: FreezeMethod) -> None:
    """Remove what earlier runs have left, write the scripts into the guest and start the one that
    freezes it.

    :raises GuestError: what was written by then is for ``clean_up``.
    """
    guest, shell = item.guest, item.guest.shell
    item.folder = guest.make_directory()
    clear_leftovers(guest, item.folder)
    for path, text in wake.files(scripts, method, shell, item.folder, item.record).items():
        guest.upload(path, text.encode(), mode=0o700)
    program, *options = shell.interpreter
    arguments = [*options, wake.main_path(method, shell, item.folder)]
    item.started = True
    item.pid = guest.start(program, arguments, output=wake.log_path(method, shell, item.folder))


def wait(
    session: Session,
    items: t.Sequence[Freezing],
    method: FreezeMethod,
    scripts: Scripts,
    deadline: float,
    timeout: int,
    on_frozen: t.Callable[[Freezing], None],
) -> None:
    """Wait until all of them are frozen, with the scripts of this run.

    Each that is not gets its error.

    Between rounds that bring nothing it is asked whether a script has ended without freezing its
    guest.

    :param deadline: of ``time.monotonic()``; ``timeout`` is what the user knows it by.
    :param on_frozen: called with each as soon as it is seen to be frozen.
    """
    waiting = {item.moid: item for item in items}
    refs = [session.reference(vim.VirtualMachine, moid) for moid in waiting]
    paths = (method.shown_by, FROZEN_PATH)

    def came(update: tasks.Update) -> bool:
        _note(waiting, update, method, on_frozen)
        return update.moid not in waiting

    def after_round(left: set[str], changed: bool) -> bool:
        _refuse_others(waiting, method)
        if not changed:
            _look_for_ends(waiting, method, scripts)
        left.intersection_update(waiting)
        session.show_progress(f"{len(items) - len(waiting)} of {len(items)} parents are {method.state}")
        return False

    tasks.wait_until(
        session,
        refs,
        vim.VirtualMachine,
        paths,
        deadline,
        came,
        rounds=tasks.growing_rounds(),
        after_round=after_round,
    )
    for item in waiting.values():
        item.error = _late(item, method, timeout)


# The lines of a diff, before and after, of a parent that is frozen again for its scripts: its state
# is the same.
SCRIPTS = ("  scripts: others than this task asks for\n", "  scripts: those of this task\n")

FROZEN_PATH = config_path(wake.FROZEN_KEY)

# What ``parent_basics`` looks at besides ``vm.BASICS``.
PARENT_PATHS = ("guest.toolsVersionStatus2", *READY, FROZEN_PATH)


def parent_basics(rows: t.Mapping[str, Row], vm: Row) -> dict[str, t.Any]:
    """The fields of ``ParentVm``.

    :param vm: read with ``vm.BASICS``, ``PARENT_PATHS`` and ``runtime.host``; its host with
        ``compute.HOST``.
    """
    host = host_of(rows, vm)
    known = basics(rows, vm)
    return {
        **known,
        "tools": tools_ready(vm.values),
        "tools_installed": vm.get("guest.toolsVersionStatus2") != "guestToolsNotInstalled",
        "host_name": host.name if host else "",
        "host_available": host is not None and host.available,
        "record": record_in(vm.values, known["instance_uuid"]),
    }


def record_in(values: t.Mapping[str, t.Any], instance_uuid: str) -> FreezeRecord | None:
    """The record among properties of a VM that were read with ``FROZEN_PATH``."""
    pair = values.get(FROZEN_PATH)
    return FreezeRecord.parse(str(pair.value), instance_uuid) if pair is not None else None


def is_up_to_date(record: FreezeRecord | None, scripts: Scripts) -> bool:
    """Whether a frozen VM is frozen with these scripts.

    One that shows none is, where none are asked for.
    """
    if record is None:
        return not scripts
    return hmac.compare_digest(record.digest, scripts.digest(record.salt))


def no_credentials(path: str, method: FreezeMethod) -> InvalidOption:
    """The error for a VM that cannot be frozen, since no credentials for its guest are given."""
    return InvalidOption(
        f"{path} is not {method.state} yet, and the option guest_username is not set.",
        hint="It takes a command in the guest: set guest_username and guest_password.",
        option="guest_username",
    )


def out_of_date(path: str, method: FreezeMethod, record: FreezeRecord | None) -> GuestError:
    """The error for a VM that is frozen with other scripts than those asked for."""
    how = "with other scripts than" if record else "and does not show with which scripts; they may be others than"
    return GuestError(
        "parent_out_of_date",
        f"{path} is {method.state} {how} those that this task asks for. Its clones run what it is {method.state} with.",
        hint=f"Set allow_reset to have it reset and {method.state} again with these scripts. What "
        "its memory holds "
        "is lost then; clones that are there go on as they are.",
    )


def clean_up(items: t.Iterable[Freezing], method: FreezeMethod) -> None:
    """Leave guests that are not frozen as they were.

    A signal that comes meanwhile waits until that is done.

    :raises Interrupted: one came.
    """
    signal: Interrupted | None = None
    for item in items:
        try:
            _clean_up(item, method)
        except Interrupted as error:
            # It is the only one that can come: a second one ends the process at once.
            signal = error
            _clean_up(item, method)
    if signal is not None:
        raise signal


def _clean_up(item: Freezing, method: FreezeMethod) -> None:
    if item.over:
        return
    if item.pid is not None:
        otherwise = f"The script to {method.verb}, in {item.folder}, was left running in {item.path}"
        item.guest.attempt(otherwise, lambda: _terminate(item, method))
    # Where a script was left running its folder stays, too: by that the next run knows that there
    # is one.
    if item.folder and item.pid is None:
        item.guest.attempt(f"{item.folder} was left in the guest of {item.path}", lambda: _remove_folder(item))


def _terminate(item: Freezing, method: FreezeMethod) -> None:
    if item.pid is not None:
        try:
            item.guest.terminate(item.pid, method.verb)
        except GuestError as error:
            if error.error_code != "guest_process_lost":
                raise
        item.pid = None


def _remove_folder(item: Freezing) -> None:
    item.guest.remove_directory(item.folder)
    item.folder = ""


def settle(
    session: Session,
    items: t.Iterable[Freezing],
    method: FreezeMethod,
    on_frozen: t.Callable[[Freezing], None],
) -> None:
    """After an early end: find out which of those that were begun are frozen after all, in one
    call.

    Of each of which that cannot be found out it is said.
    """
    unsure = {item.moid: item for item in items if item.started and not item.is_ours}
    if not unsure:
        return
    refs = [session.reference(vim.VirtualMachine, moid) for moid in unsure]
    try:
        rows = read(session, refs, vim.VirtualMachine, [method.shown_by, FROZEN_PATH])
    except VforgeError as error:
        for item in unsure.values():
            item.error = _not_known(item, method, str(error))
        return
    for moid, row in rows.items():
        if not row.get(method.shown_by):
            continue
        item = unsure[moid]
        item.over, item.frozen_since = True, time.monotonic()
        item.shown = record_in(row.values, item.record.vm)
        if item.is_ours:
            on_frozen(item)
        else:
            item.error = _not_known(item, method, "it does not show with which scripts.")


def _not_known(item: Freezing, method: FreezeMethod, why: str) -> StillRunning:
    return StillRunning(
        f"It is not known whether {item.path} is {method.state} by this run: {why}",
        hint="Run again.",
    )


def no_tools(path: str, method: FreezeMethod, *, installed: bool) -> GuestError:
    """The error for a VM whose guest cannot be worked in."""
    return GuestError(
        "guest_tools_not_running",
        f"VMware Tools {'do not answer' if installed else 'are not installed'} in {path}, and to {method.verb} it needs them.",
        hint="Install or start VMware Tools (open-vm-tools) in the guest.",
    )


def _note(
    waiting: dict[str, Freezing],
    update: tasks.Update,
    method: FreezeMethod,
    on_frozen: t.Callable[[Freezing], None],
) -> None:
    item = waiting.get(update.moid)
    if item is None:
        return
    if update.gone:
        item.error, item.over = NotFound.removed_meanwhile(item.path), True
        del waiting[update.moid]
        return
    if FROZEN_PATH in update.values:
        item.shown = record_in(update.values, item.record.vm)
    if update.values.get(method.shown_by) and item.frozen_since is None:
        # Nobody works in the guest from here on, so nothing can be cleaned up in it either.
        item.over, item.frozen_since = True, time.monotonic()
    if item.is_ours:
        on_frozen(item)
        del waiting[update.moid]


def _refuse_others(waiting: dict[str, Freezing], method: FreezeMethod) -> None:
    """A guest that is frozen, and not by this run: somebody else was faster, with scripts of their
    own.
    """
    for moid, item in list(waiting.items()):
        if item.frozen_since is not None and time.monotonic() - item.frozen_since > _RECORD_SECONDS:
            item.error = out_of_date(item.path, method, item.shown)
            del waiting[moid]


def _look_for_ends(waiting: dict[str, Freezing], method: FreezeMethod, scripts: Scripts) -> None:
    for moid, item in list(waiting.items()):
        if item.frozen_since is not None:
            continue
        try:
            code = item.guest.exit_code(item.pid or 0, method.verb)
            if code is None:
                continue
            item.pid = None
            item.error = _failed(item, method, scripts, code)
        except GuestError as error:
            if error.error_code == "guest_tools_not_running":
                continue  # a guest that has just stopped answers no more, and the update that says so is on its way
            item.error = error
        del waiting[moid]


def _failed(item: Freezing, method: FreezeMethod, scripts: Scripts, code: int) -> GuestError:
    written = ""
    if code:
        log = wake.log_path(method, item.guest.shell, item.folder)
        written = printable(item.guest.fetch(log, LONGEST_OUTPUT).decode(errors="replace")).strip()
    else:
        item.folder = ""  # a script that came to its end has removed it, and its output with it
    lacking = wake.missing_in(written, scripts.needs) if code == wake.NEEDS else []
    if lacking:
        return _lacks(item, method, lacking)
    why = method.endings.get(
        code,
        f"its script went on behind the {method.verb} command, and ended with exit code {code}",
    )
    last = written.splitlines()[-1] if written else "it wrote nothing"
    return GuestError(
        f"{method.verb}_failed",
        f"{item.path} did not {method.verb}: {why} ({last}).",
        hint="The end of the output is in the result. Nothing of the scripts is left in the guest.",
        exit_code=code,
        output=printable(written, _LONGEST_OUTPUT),
    )


def _lacks(item: Freezing, method: FreezeMethod, lacking: list[str]) -> GuestError:
    which = ", ".join(lacking)
    return GuestError(
        "wake_script_needs",
        f"{item.path} was not {method.state}: its guest lacks {which}, which the scripts of on_wake need.",
        hint="Install it in the guest, or use the ready-made script for what sets the network of "
        "this guest. "
        "Without it each clone would keep the name, addresses and SSH host keys of its parent.",
        missing=lacking,
    )


class NotInTime(CodedError, TimedOut):
    """A parent was not brought to rest in time; the code says in which way it was to be."""


def _late(item: Freezing, method: FreezeMethod, timeout: int) -> VforgeError:
    return NotInTime(
        f"{method.verb}_timeout",
        f"{item.path} was not {method.state} after {timeout} s; its script was ended.",
        hint=f"Raise timeout, or find out in the guest what the script {method.before_option} "
        f"or the {method.verb} command waits for.",
    )


# A script of ours in a command line, in a folder of ours; its number tells in which order they are
# ended.
_SCRIPT = re.compile(rf"[/\\]{PREFIX}[\w.-]+[/\\](?:(?P<main>freeze|quiesce)|before|after|wake-\d+)\.(?:sh|ps1)\b")

# How long a program may take to end that was terminated.
_SECONDS_TO_END = 20.0


def clear_leftovers(guest: Guest, own: str) -> list[str]:
    """End and remove what earlier runs of this user have left.

    A script that goes on has its folder, which is removed only when the script has ended: where
    there is no folder, nothing is asked of the guest but that.

    :param own: the folder of this run, which stays; it says where to look, and whose files are
        ours.
    :returns: the paths of what was there.
    :raises GuestError: ``guest_script_left`` when a script cannot be ended; the guest must not be
        frozen beside it.
    """
    separator = guest.shell.separator
    place, _separator, name = own.rstrip(separator).rpartition(separator)
    entries = guest.entries(place or separator, re.escape(PREFIX) + ".*")
    owners = {entry.owner for entry in entries if entry.name == name}
    left = [entry for entry in entries if entry.name != name and entry.name.startswith(PREFIX) and entry.owner in owners]
    if left:
        _end_scripts(guest)
    paths = {guest.shell.path(place, entry.name): entry.kind for entry in left}
    for path, kind in paths.items():
        if kind == "directory":
            guest.remove_directory(path)
        else:
            guest.remove_file(path)
    return list(paths)


def clear_folder(guest: Guest, folder: str) -> None:
    """End the scripts of one folder of ours and remove it; those of other runs go on.

    :raises GuestError: ``guest_script_left`` when one cannot be ended; the folder stays then.
    """
    _end_scripts(guest, folder)
    separator = guest.shell.separator
    place, _separator, name = folder.rstrip(separator).rpartition(separator)
    if guest.entries(place or separator, f"^{re.escape(name)}$"):
        guest.remove_directory(folder)


def _end_scripts(guest: Guest, folder: str = "") -> None:
    """End the scripts of earlier runs, those first that would go on to freeze the guest.

    :param folder: those in it alone; empty for all.
    :raises GuestError: ``guest_script_left`` when one cannot be ended; the guest must not be frozen
        beside it.
    """
    within = guest.shell.path(folder, "") if folder else ""
    found = [(process, _SCRIPT.search(process.command)) for process in guest.processes() if within in process.command]
    ours = [(match["main"] is None, process) for process, match in found if match is not None]
    deadline = time.monotonic() + _SECONDS_TO_END
    for _second, process in sorted(ours, key=lambda item: item[0]):
        if not guest.end(process.pid, "a script of an earlier run", deadline):
            raise GuestError(
                "guest_script_left",
                f"A script of an earlier run goes on in {guest.access.name} (process {process.pid}), and cannot be ended.",
                hint="End it in the guest: it could freeze the guest with the scripts of that run.",
            )
