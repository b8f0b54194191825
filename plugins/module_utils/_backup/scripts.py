# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Scripts of the user's in a guest, before and after its snapshot: what makes a backup
application-consistent.

The script after the snapshot runs in every ending of the one before it: also where that failed,
where there is no snapshot, after a signal, and when the time is over. Where a run is killed between
the two, a file in the VM's folder of the repository says so, and the next run on the VM begins with
the script after. The file has no text of a script, since that may hold secrets.

A script whose end was not seen may go on. It is ended before the script after runs; where it cannot
be ended, that one runs all the same, since it may be what the first one waits for. Each script has
a folder of its own in the guest, so those of other runs are left alone.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import json
import os
import time
import typing as t

from .. import _files
from .._errors import ConnectionFailed, ConnectionLost, GuestError, NotAttempted, VforgeError
from .._text import printable
from .._vsphere import vm
from .storage import remove

if t.TYPE_CHECKING:
    from .._vsphere.guest import Guest
    from .options import ScriptOptions
    from .task import BackupItem, BackupTask

# In the folder of a VM: the script before has begun, and the one after it has not succeeded.
MARK = "between-scripts.json"
_WHAT = "file of the backup"
_MOST_MARK = 64 * 1024

# The step of a VM in which a run that was killed has left the script before without the one after.
RUN_AFTER = "run_after"

NOT_RUN, SUCCEEDED, FAILED = "not_run", "succeeded", "failed"


@dataclasses.dataclass
class Ran:
    """What became of the scripts of one VM.

    :ivar open: whether the script before has begun, and the one after has not been tried since.
    :ivar unseen: the folders in the guest of scripts whose end was not seen.
    :ivar failure: of the script after: by then the snapshot is made,
        and its backup is as good as any.
    """

    before: str = NOT_RUN
    after: str = NOT_RUN
    open: bool = False
    unseen: list[str] = dataclasses.field(default_factory=list)
    failure: VforgeError | None = None

    def as_result(self) -> dict[str, str]:
        """For the result."""
        return {"before": self.before, "after": self.after}


def left_between(folder: str) -> bool:
    """Whether a run has left the folder of a VM between the two scripts, or is just there."""
    return os.path.exists(os.path.join(folder, MARK))


@contextlib.contextmanager
def around(job: BackupTask, item: BackupItem) -> t.Iterator[None]:
    """Run the script before, and after the block the one after.

    Where the task has ended meanwhile, the main thread runs that one, by ``finish``.
    """
    scripts = job.options.scripts
    if scripts is None or not item.vm.powered_on:
        yield
        return
    item.scripts = ran = Ran(unseen=_noted(item))
    try:
        _begin(job, item, scripts, ran)
        yield
    finally:
        if not job.end.is_set():
            finish(job, item)


def _begin(job: BackupTask, item: BackupItem, scripts: ScriptOptions, ran: Ran) -> None:
    if not scripts.before:
        ran.open = True
        return
    try:
        if item.machine is not None:
            _write_mark(item.machine.folder, job.run, ran.unseen)
        ran.open = True
        _run(job, item, ran, "before", min(job.task.deadline, time.monotonic() + scripts.timeout))
        ran.before = SUCCEEDED
    except VforgeError as error:
        ran.before = FAILED
        _note(item, scripts, error, "Its backup is made without scripts.")


def finish(job: BackupTask, item: BackupItem, *, last: bool = False) -> None:
    """Run the script after, where it is due; it has its own time, also when that of the task is
    over.

    :param last: whether nobody else will run it, where it cannot be run.
    """
    scripts, ran = job.options.scripts, item.scripts
    if scripts is None or ran is None or not ran.open:
        return
    ran.open = False
    try:
        _end_unseen(job, item, ran)
        if scripts.after:
            _run(job, item, ran, "after", time.monotonic() + scripts.timeout)
            ran.after = SUCCEEDED
    except VforgeError as error:
        ran.after = FAILED
        if job.end.is_set() and not last:
            ran.open = True  # the end of the task may have broken it off
        elif scripts.fails:
            ran.failure = error
        else:
            item.warnings.append(f"{error} Look after the guest: what the script before has stopped may not run yet.")
        return
    try:
        if item.machine is not None:
            _remove_mark(item.machine.folder)
    except VforgeError as error:
        item.warnings.append(f"{error} The next backup of {item.title} runs the script after it once more.")


def finish_dead_run(job: BackupTask, item: BackupItem) -> None:
    """Run the script after that a run which was killed has not come to.

    The lock of the VM's folder is held, so that run has ended.
    """
    machine, scripts = item.machine, job.options.scripts
    if machine is None or not left_between(machine.folder):
        item.steps = tuple(step for step in item.steps if step != RUN_AFTER)
        return
    foresee(job, item)
    if scripts is None or RUN_AFTER not in item.steps:
        tell_of_dead_run(item, machine.folder)
        return
    ran = Ran(unseen=_noted(item))
    try:
        _end_unseen(job, item, ran)
        _run(job, item, ran, "after", time.monotonic() + scripts.timeout)
        _remove_mark(machine.folder)
        item.done.append(RUN_AFTER)
    except VforgeError as error:
        otherwise = "A run that was killed has left the guest as the script before had made it."
        if item.error is not None:
            item.warnings.append(f"{error} {otherwise}")
        else:
            _note(item, scripts, error, otherwise)


def foresee(job: BackupTask, item: BackupItem) -> None:
    """Take the script after a run that was killed out of the steps, where it cannot be run."""
    scripts = job.options.scripts
    if scripts is None or not scripts.after or not item.vm.powered_on:
        item.steps = tuple(step for step in item.steps if step != RUN_AFTER)


def tell_of_dead_run(item: BackupItem, folder: str) -> None:
    """Warn where a run that was killed has left a VM between the two scripts, and the one after
    does not run now.

    :param folder: of the VM, whose lock is held.
    """
    if left_between(folder):
        item.warnings.append(_left(item, folder))


def _left(item: BackupItem, folder: str) -> str:
    path, since = os.path.join(folder, MARK), _read_mark(folder).get("created", "an unknown time")
    return (
        f"A run that was killed has begun the script before a backup in {item.title} at {since}, and the one after it has not "
        f"run since. Run again with scripts while the VM is on, or look after the guest and remove {path}."
    )


def check(job: BackupTask, item: BackupItem) -> None:
    """In check mode: whether the guest takes the credentials."""
    scripts = job.options.scripts
    if scripts is None or not item.vm.powered_on:
        return
    try:
        _guest(job, item, scripts).validate()
    except VforgeError as error:
        _note(item, scripts, error, "Its backup would be made without scripts.")


def _note(item: BackupItem, scripts: ScriptOptions, error: VforgeError, otherwise: str) -> None:
    """What a script that failed means: the end of this VM's backup, or a warning."""
    if scripts.fails or isinstance(error, (ConnectionFailed, ConnectionLost)):
        item.fail(error)
    else:
        item.warnings.append(f"{error} {otherwise}")


def _guest(job: BackupTask, item: BackupItem, scripts: ScriptOptions) -> Guest:
    from .._vsphere.guest import Guest

    return Guest(job.session, vm.reference(job.session, item.vm.moid), scripts.credentials)


def _end_unseen(job: BackupTask, item: BackupItem, ran: Ran) -> None:
    """End scripts whose end was not seen, and remove their folders.

    One that cannot be ended keeps no other from running: a warning says that it goes on.

    :raises NotAttempted: the task ended meanwhile.
    """
    scripts = job.options.scripts
    if scripts is None or not ran.unseen:
        return
    from .._vsphere.freeze import clear_folder

    guest = _guest(job, item, scripts)
    for folder in tuple(ran.unseen):
        try:
            clear_folder(guest, folder)
            ran.unseen.remove(folder)
        except NotAttempted:
            raise
        except VforgeError as error:
            item.warnings.append(
                f"A script around a backup of {item.title} may go on in its guest, in {folder}: {error.message}"
            )


def _run(job: BackupTask, item: BackupItem, ran: Ran, which: str, deadline: float) -> None:
    """Run a script in a folder of its own, which goes with it.

    :param which: ``before`` or ``after``.
    :raises VforgeError: it could not be run, did not end in time, or ended
        with another exit code than 0.
    """
    scripts = job.options.scripts
    if scripts is None:
        return
    text = scripts.before if which == "before" else scripts.after
    guest = _guest(job, item, scripts)
    job.session.show_progress(f"{item.vm.name}: the script {which} the snapshot runs")
    folder = guest.make_directory()
    try:
        ran.unseen.append(folder)
        _note_unseen(item, ran, which)
        path = guest.shell.path(folder, f"{which}{guest.shell.suffix}")
        output = guest.shell.path(folder, f"{which}.out")
        guest.upload(path, text.encode(), mode=0o700)
        program, *options = guest.shell.interpreter
        done = guest.run(program, [*options, path], deadline=deadline, output=output)
        ran.unseen.remove(folder)
    except GuestError as error:
        if error.error_code == "guest_timeout":
            raise _late(item, which, scripts, error) from error
        raise
    finally:
        guest.attempt(f"{folder} was left in {item.title}", lambda: guest.remove_directory(folder))
    if done.exit_code:
        raise _failed(item, which, done.exit_code, done.text)


def _late(item: BackupItem, which: str, scripts: ScriptOptions, error: GuestError) -> GuestError:
    return GuestError(
        "script_timeout",
        f"The script {which} the snapshot of {item.title} did not end within {scripts.timeout} s, and was terminated.",
        hint="Raise scripts.timeout, or find out in the guest what it waits for.",
        output=error.details.get("output", ""),
    )


def _failed(item: BackupItem, which: str, code: int, output: str) -> GuestError:
    written = printable(output).strip()
    last = written.splitlines()[-1] if written else "it wrote nothing"
    return GuestError(
        "script_failed",
        f"The script {which} the snapshot of {item.title} ended with exit code {code} ({last}).",
        hint="The end of its output is in the result.",
        exit_code=code,
        output=written,
    )


# The file that says that a run is between the two


def _write_mark(folder: str, run: str, unseen: t.Sequence[str]) -> None:
    with _files.explained(folder, _WHAT):
        os.makedirs(folder, mode=0o700, exist_ok=True)
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    _write(folder, {"run": run, "created": now, "folders": unseen})


def _note_unseen(item: BackupItem, ran: Ran, which: str) -> None:
    """Note the folders of scripts in the guest, for a run after this one that was killed.

    :raises VforgeError: the file cannot be written, and the script before must not begin then; the
        one after must run all the same.
    """
    found = _read_mark(item.machine.folder) if item.machine is not None else {}
    if item.machine is None or not found:
        return
    try:
        _write(item.machine.folder, {**found, "folders": ran.unseen})
    except VforgeError as error:
        if which == "before":
            raise
        item.warnings.append(f"{error} Where this run is killed, the script after may stay in the guest of {item.title}.")


def _noted(item: BackupItem) -> list[str]:
    """The folders in the guest that a run has noted which was killed."""
    folders = _read_mark(item.machine.folder).get("folders") if item.machine is not None else None
    return [str(folder) for folder in folders] if isinstance(folders, list) else []


def _read_mark(folder: str) -> dict[str, t.Any]:
    """What the file says; empty where it is not there or cannot be read."""
    try:
        found = _files.parsed(_files.read(os.path.join(folder, MARK), _MOST_MARK, what=_WHAT))
    except (VforgeError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _write(folder: str, data: t.Mapping[str, t.Any]) -> None:
    _files.replace(os.path.join(folder, MARK), json.dumps(data).encode(), what=_WHAT)


def _remove_mark(folder: str) -> None:
    remove(os.path.join(folder, MARK))
