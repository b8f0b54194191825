# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Wait for the run that makes the template, notice when it has ended, go on with what it left."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import math
import os
import re
import time
import typing as t

from .._connector.props import collect
from .._connector.pyvmomi import vim
from .._connector.tasks import Update
from .._engine import Part
from .._errors import InvalidOption, TimedOut, VforgeError
from .._files import PrivateFolder, parsed
from .._vsphere import lease as leases
from . import apply, read
from .model import (
    IMPORTING,
    LEFT,
    OWNER_KEY,
    UNKNOWN,
    UNPUBLISHED,
    Existing,
    TemplateError,
    owner_mark,
)
from .plan import COMPLETE

if t.TYPE_CHECKING:
    from .task import TemplateTask

_LONGEST_ROUND = 20

# How long a lease lives whose run was killed, at the longest.
_SECONDS_OF_A_LEASE = 300

# What it may take to leave something behind in order when the time is over.
_SECONDS_TO_LEAVE = 30.0

# Bytes of a record.
_LONGEST_RECORD = 4096

_RUN = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)


# Waiting


def wait_for(task: TemplateTask, existing: Existing) -> bool:
    """Wait until something is different.

    It is ready, it is gone, or its maker has ended and this run has taken over.

    :returns: True when it is to be finished by this run; False to look again at who has the name.
    :raises TimedOut: neither happened in time.
    """
    waiting = _Waiting(task, existing)
    late = task.wait_until(
        vim.VirtualMachine,
        read.PROGRESS,
        {existing.moid: task.template},
        waiting.is_over,
        "",
        rounds=waiting.rounds(),
        between=waiting.take_over,
    )
    if late and not waiting.ours:
        raise waiting.timed_out()
    return waiting.ours


class _Waiting:
    """One wait for what another run makes.

    :ivar ours: whether this run has taken over.
    """

    def __init__(self, task: TemplateTask, existing: Existing) -> None:
        self.ours = False
        self._task = task
        self._now = existing
        self._state = existing.state
        self._known: dict[str, t.Any] = {}
        self._begun = self._quiet_since = time.monotonic()
        self._ended = _Ending(task)

    def is_over(self, _item: t.Any, update: Update) -> bool:
        """Take an update; True when it is gone, or in another state."""
        if update.gone:
            return True
        self._known.update(update.values)
        self._now = dataclasses.replace(
            read.existing_of(self._now.moid, self._known),
            path=self._now.path,
        )
        self._quiet_since = time.monotonic()
        return self._now.state != self._state or self._now.is_lost

    def take_over(self) -> bool:
        """Say how far it is, and take over where its maker has ended.

        True when this run has done so.
        """
        self._task.session.show_progress(self._line())
        now = self._now
        killed = self._ended.is_known(now)
        if now.state not in (IMPORTING, UNPUBLISHED) or not (now.is_left or killed or self._is_too_quiet()):
            return False
        if now.state == UNPUBLISHED or claim(self._task, now):
            self.ours = True
        elif killed:
            self._ended.end(now)
        self._quiet_since = time.monotonic()
        return self.ours

    def rounds(self) -> t.Iterator[int]:
        """Whole seconds that a round of waiting may take, so that its end is not missed."""
        while True:
            left = self._quiet_since + self._task.options.takeover_after - time.monotonic()
            yield max(1, min(_LONGEST_ROUND, math.ceil(left)))

    def timed_out(self) -> TimedOut:
        """The error where nothing has changed in time."""
        timeout, now = self._task.options.timeout, self._now
        name = now.path or now.name
        hint = "Raise timeout, or look whether that run still works."
        if timeout < _SECONDS_OF_A_LEASE and now.state in (IMPORTING, UNKNOWN):
            hint = (
                f"If that run was killed, vCenter removes what it began when its lease ends, after "
                f"{_SECONDS_OF_A_LEASE} s at the most: timeout is {timeout}, which is less. "
                f"Raise timeout."
            )
        return TimedOut(
            f"{name} was not ready in the time allowed; {self._maker()} makes it.",
            hint=hint,
            owner=now.owner,
        )

    def _is_too_quiet(self) -> bool:
        """Whether its maker would have given a sign by now."""
        return time.monotonic() - self._quiet_since >= self._task.options.takeover_after

    def _line(self) -> str:
        waited = f"({time.monotonic() - self._begun:.0f} s)"
        if self._now.owner == self._task.owner:
            own = f"{self._now.name}, whose lease is not known"
            return f"waiting until vCenter removes {own} {waited}"
        if self._ended.is_known(self._now):
            return f"waiting until vCenter removes {self._now.name}, whose maker has ended {waited}"
        return f"waiting for {self._now.name}, which {self._maker()} makes {waited}"

    def _maker(self) -> str:
        """Who makes it, for people: the machine and the time when it began."""
        parts = self._now.owner.split(" ")
        return f"a run on {parts[1]} since {parts[2]}" if len(parts) == 3 else "another run"


def claim(task: TemplateTask, existing: Existing) -> bool:
    """Take over what another run has left unfinished; False while a lease or a task works on it.

    vCenter blocks the change while a lease is held, and carries out only one of two that know the
    same change version: so only one run takes over.
    """
    ref = read.vm(task.session, existing.moid)
    rows = collect(task.session, [ref], read.TASKS, read.TO_TASKS)
    if any(str(row.get("info.state")) in ("running", "queued") for row in rows):
        return False
    busy = (
        "ConcurrentAccess",
        "TaskInProgress",
        "ManagedObjectNotFound",
        "InvalidState",
        "InvalidPowerState",
    )
    taken_over = Part(COMPLETE, "taken_over")
    return task.change(lambda: _mark_owner(task, existing, task.owner), busy, part=taken_over)


def _mark_owner(task: TemplateTask, existing: Existing, owner: str) -> t.Any:
    marks = {OWNER_KEY: owner}
    return apply.start_reconfigure(task.session, existing.moid, existing.change_version, marks)


# Leaving, and removing what is this run's


def left(task: TemplateTask, moid: str, error: VforgeError) -> TemplateError:
    """Leave what is whole to the next run, and say so in its owner mark: nobody waits for this one.

    :returns: the error to raise in place of the one that stood in the way.
    """
    path = task.template.made_as
    try:
        existing = read.read_vms(task.session, [read.vm(task.session, moid)]).get(moid)
        if existing is not None:
            path = existing.path
            _release(task, existing)
    except VforgeError as failure:
        task.session.warn(
            f"What is left of this run could not be marked, so that the next one waits "
            f"{task.options.takeover_after:.0f} s before it goes on: {failure}",
        )
    return TemplateError(
        error.error_code,
        f"{error.message} All was sent, and stays as {path}: the next run finishes it without sending it again.",
        hint=error.hint,
        **error.details,
    )


def _release(task: TemplateTask, existing: Existing) -> None:
    if existing.owner == task.owner and existing.state in (IMPORTING, UNPUBLISHED):
        task.change(
            lambda: _mark_owner(task, existing, owner_mark(LEFT)),
            deadline=time.monotonic() + _SECONDS_TO_LEAVE,
        )


def remove_own(task: TemplateTask, moid: str) -> None:
    """Remove what this run has imported, if it is still this run's."""
    existing = read.read_vms(task.session, [read.vm(task.session, moid)]).get(moid)
    if existing is None or existing.owner != task.owner:
        return
    if existing.state in (IMPORTING, UNPUBLISHED):
        task.change(
            lambda: apply.start_destroy(task.session, moid),
            ("ManagedObjectNotFound",),
            deadline=max(task.deadline, time.monotonic() + _SECONDS_TO_LEAVE),
        )


# What is known of a run that was killed


class _Ending:
    """Ends the import of a run that has ended without doing so itself.

    Such a run keeps its lease for minutes. Where it was on this machine, its record says that it
    has ended, and which lease it had; a lease is its session's alone, which this run may share.
    """

    def __init__(self, task: TemplateTask) -> None:
        self._task = task
        self._leases: dict[str, str | None] = {}
        self._tried: set[str] = set()

    def is_known(self, existing: Existing) -> bool:
        """Whether its maker is known to have ended, or it is our own import without a lease."""
        owner = existing.owner
        if owner == self._task.owner:
            return True
        if owner not in self._leases:
            self._leases[owner] = _lease_of_ended(self._task, owner)
        return self._leases[owner] is not None

    def end(self, existing: Existing) -> None:
        """End the import, once.

        By its lease, or else by its task where vCenter lets that be cancelled.
        """
        if existing.moid in self._tried:
            return
        self._tried.add(existing.moid)
        lease = self._leases.get(existing.owner)
        ref = self._task.session.reference(vim.HttpNfcLease, lease) if lease else None
        if ref is None or not leases.Lease(self._task.session, ref).abort():
            apply.cancel_tasks(self._task.session, existing.moid)
        _forget(self._task, existing.owner)


@contextlib.contextmanager
def recorded(task: TemplateTask) -> t.Iterator[t.Callable[[str], None]]:
    """Keep, while an import lasts, what another run needs to end it should this one be killed.

    The record is a file that is locked as long as this run lives.

    :returns: notes the moid of the lease.
    """
    folder, name = _folder(task), _record_name(task.owner)
    handle = folder.open(name, os.O_RDWR | os.O_CREAT) if folder is not None and name else None
    if folder is None or handle is None:
        yield lambda _lease: None
        return
    try:
        with _without_record(task):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield lambda lease: _write(task, handle, lease)
    finally:
        with _without_record(task):
            folder.remove(name)
        os.close(handle)


@contextlib.contextmanager
def _without_record(task: TemplateTask) -> t.Iterator[None]:
    """A record that cannot be kept is no reason to fail: it only saves others a wait."""
    try:
        yield
    except (OSError, InvalidOption) as error:
        task.session.warn(
            f"The record of a run cannot be kept or removed ({error}). Should a run be killed, the "
            "next one waits until its lease ends.",
        )


def _write(task: TemplateTask, handle: int, lease: str) -> None:
    with _without_record(task):
        os.pwrite(handle, json.dumps({"lease": lease}).encode(), 0)


def _lease_of_ended(task: TemplateTask, owner: str) -> str | None:
    """The lease of a run on this machine that has ended; empty where it had none yet.

    None where nothing is known.
    """
    folder, name = _folder(task), _record_name(owner)
    handle = folder.open(name, os.O_RDONLY) if folder is not None and name else None
    if handle is None:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        content = parsed(os.pread(handle, _LONGEST_RECORD, 0) or b"{}")
        lease = content.get("lease") if isinstance(content, dict) else None
        return lease if isinstance(lease, str) else ""
    except BlockingIOError:
        return None  # it lives
    except ValueError:
        return ""
    finally:
        os.close(handle)


def _forget(task: TemplateTask, owner: str) -> None:
    folder, name = _folder(task), _record_name(owner)
    if folder is not None and name:
        with _without_record(task):
            folder.remove(name)


def _record_name(owner: str) -> str:
    """The file of a run, by its owner mark, which whoever may configure a VM can write.

    Empty where it names none.
    """
    run = owner.partition(" ")[0]
    return f"import-{run}" if _RUN.fullmatch(run) else ""


def _folder(task: TemplateTask) -> PrivateFolder | None:
    return PrivateFolder.find(
        task.session.warn,
        "imports",
        "a run that was killed is waited for until its lease ends",
    )
