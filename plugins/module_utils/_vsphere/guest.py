# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Work inside a guest through VMware Tools: run programs and scripts, carry files in and out.

vSphere returns no output of a program and no update of its end. So output goes through a file in
the guest that is fetched and removed, and the end is asked for, ever less often, under one
deadline.
"""

from __future__ import annotations

import contextlib
import dataclasses
import re
import shlex
import sys
import time
import typing as t

from .._connector import names, tls
from .._connector.props import Route, Row, collect
from .._connector.pyvmomi import vim
from .._connector.tasks import Backoff, Update, wait_until
from .._errors import (
    ConnectionFailed,
    ConnectionLost,
    Fault,
    GuestError,
    InvalidOption,
    NotFound,
    VforgeError,
)
from .._text import printable
from .vm import row_of

if t.TYPE_CHECKING:
    from .._connector.session import Session


@dataclasses.dataclass(frozen=True)
class GuestCredentials:
    """A user of a guest, and the password, which is never in ``repr``."""

    username: str
    password: str = dataclasses.field(repr=False)

    @classmethod
    def from_params(cls, params: t.Mapping[str, t.Any]) -> GuestCredentials | None:
        """The credentials in a module's parameters, None where there are none.

        :raises InvalidOption: when there is only one half.
        """
        username, password = (
            params.get("guest_username") or None,
            params.get("guest_password") or None,
        )
        if username is None and password is None:
            return None
        for option, value in (("guest_username", username), ("guest_password", password)):
            if value is None:
                raise InvalidOption(
                    f"The option {option} is not set.",
                    hint="A guest wants both a user and a password.",
                    option=option,
                )
        return cls(str(username), str(password))


# Fault -> code, sentence, what to do.
_FAULTS = {
    "GuestOperationsUnavailable": (
        "guest_tools_not_running",
        "VMware Tools do not answer in {vm}: they are not running, or the guest is frozen",
        "Install or start VMware Tools (open-vm-tools) in the guest. A frozen parent answers only after a reset.",
    ),
    "InvalidPowerState": (
        "guest_powered_off",
        "{vm} is not powered on",
        "Power it on and let its guest start.",
    ),
    "InvalidGuestLogin": (
        "guest_wrong_credentials",
        "the guest of {vm} refuses the password of {user}, or does not know the user",
        "Check guest_username and guest_password; they are those of the guest, not of the vCenter.",
    ),
    "GuestPermissionDenied": (
        "guest_permission_denied",
        "{user} may not do this in the guest of {vm}",
        "Use an administrator of the guest: root on Linux, an administrator without elevation prompts on Windows.",
    ),
    "OperationDisabledByGuest": (
        "guest_operations_disabled",
        "the guest of {vm} has guest operations switched off",
        "Allow them in the configuration of VMware Tools in the guest ([guestoperations] in tools.conf).",
    ),
    "OperationNotSupportedByGuest": (
        "guest_not_supported",
        "the VMware Tools of {vm} cannot do this",
        "Update VMware Tools in the guest.",
    ),
    "FileNotFound": (
        "guest_file_missing",
        "the guest of {vm} has no such program or file",
        "Check the path in the guest.",
    ),
    "FileAlreadyExists": (
        "guest_file_exists",
        "the guest of {vm} has this file already",
        "Remove it, or choose another path.",
    ),
    "GuestProcessNotFound": ("guest_process_lost", "the guest of {vm} has no such process", ""),
    "InvalidState": (
        "guest_unavailable",
        "the state of {vm} does not allow it",
        "Let its guest start, and let migrations and snapshots end; then run again.",
    ),
    "CustomizationPending": (
        "guest_customization_pending",
        "an earlier customization of {vm} has left its lock",
        "It was aborted now, which takes the lock away. Run again.",
    ),
    "UncustomizableGuest": (
        "guest_not_supported",
        "the guest of {vm} cannot be customized in this way",
        "Set customize.windows for a Windows guest, and for no other.",
    ),
    "TooManyGuestLogons": (
        "guest_unavailable",
        "too many users are logged in to the guest of {vm}",
        "Run again later.",
    ),
    "TaskInProgress": (
        "guest_unavailable",
        "another task works on {vm}",
        "Let it end; then run again.",
    ),
    "GuestComponentsOutOfDate": (
        "guest_not_supported",
        "the VMware Tools of {vm} are too old for this",
        "Update VMware Tools in the guest.",
    ),
    "CannotAccessFile": (
        "guest_permission_denied",
        "{user} may not use this program or file in the guest of {vm}",
        "Let the user use it, or use an administrator of the guest.",
    ),
}

# How long a call waits for another task that works on the VM, such as a migration or a snapshot.
_SECONDS_BUSY = 60.0


def guest_error(fault: Fault, vm: str, doing: str, user: str) -> VforgeError:
    """What a fault of guest operations means; one that is none of them stays as it is.

    :param doing: what was being done, in a few words.
    """
    known = _FAULTS.get(fault.fault)
    if known is None:
        return fault
    code, sentence, hint = known
    if code == "guest_file_missing" and doing.startswith("run "):
        code = "guest_program_missing"
    return GuestError(code, f"{vm}, {doing}: {sentence.format(vm=vm, user=user)}.", hint=hint, fault=fault.fault)


# PowerShell takes typographic single quotation marks for the plain one.
_QUOTES = re.compile("['\u2018\u2019\u201a\u201b]")

_CMD = r"C:\Windows\System32\cmd.exe"
_POWERSHELL = r"C:\Windows\System32\WindowsPowerShell\v1.0\powershell.exe"


@dataclasses.dataclass(frozen=True)
class Shell:
    """A family of guests.

    :ivar name: ``linux`` or ``windows``.
    :ivar interpreter: program that runs scripts, and its arguments before the script's path.
    :ivar suffix: of script files.
    :ivar separator: between the parts of a path.
    """

    name: str
    interpreter: tuple[str, ...]
    suffix: str
    separator: str

    def command(self, program: str, arguments: t.Sequence[str], output: str) -> tuple[str, str]:
        """Program path and argument line that run a program with all of its output in a file."""
        if self.name == "linux":
            return program, f"{shlex.join(arguments)} > {shlex.quote(output)} 2>&1".lstrip()
        line = " ".join(_for_windows(word) for word in (program, *arguments))
        # With /s, cmd takes off the outer quotation marks and no others.
        return _CMD, f'/d /s /c "{line} > {_for_windows(output)} 2>&1"'

    def quote(self, word: str) -> str:
        """A word as a script of this shell can hold it."""
        if self.name == "linux":
            return shlex.quote(word)
        return "'" + _QUOTES.sub(r"\g<0>\g<0>", word) + "'"

    def path(self, folder: str, name: str) -> str:
        """The path of a file in a folder."""
        return f"{folder.rstrip(self.separator)}{self.separator}{name}"


LINUX = Shell("linux", ("/bin/sh",), ".sh", "/")
WINDOWS = Shell(
    "windows",
    (_POWERSHELL, "-NoProfile", "-NonInteractive", "-ExecutionPolicy", "Bypass", "-File"),
    ".ps1",
    "\\",
)


def shell_of(family: str | None, guest_id: str | None) -> Shell:
    """The shell of a guest.

    :param family: ``guest.guestFamily``, which Tools report (``windowsGuest``); None while they do
        not run.
    :param guest_id: ``config.guestId``, which was chosen when the VM was made
        (``windows2019srv_64Guest``).
    """
    if family:
        return WINDOWS if family == "windowsGuest" else LINUX
    return WINDOWS if (guest_id or "").startswith("win") else LINUX


def _for_windows(word: str) -> str:
    """Always in quotation marks, for cmd's own signs.

    Backslashes before a mark are doubled (CommandLineToArgvW).
    """
    inner = re.sub(r'(\\*)"', r"\1\1\\" + '"', word)
    return '"' + re.sub(r"(\\+)$", r"\1\1", inner) + '"'


T = t.TypeVar("T")

_FILES = vim.vm.guest.FileManager

# What the names of our files and folders in guests begin with.
PREFIX = "vforge-"

# Bytes of the output of a program that are kept; its end says why it failed.
LONGEST_OUTPUT = 64 * 1024

# What ``access_in`` needs to have been read, from the VMs and the manager on; a caller that reads
# more adds it.
VM_ACCESS = ("name", "guest.guestFamily", "config.guestId", "runtime.host")
HOST_ACCESS = ("config.certificate",)
MANAGERS = ("authManager", "fileManager", "processManager")
MANAGER = vim.vm.guest.GuestOperationsManager
TO_ACCESS = (Route("vm-host", vim.VirtualMachine, "runtime.host"),)

# Of a host, what says that there is no way to it.
_NO_WAY = ("connection_timeout", "unknown_host", "unreachable")

# What shows whether a guest can be worked in. A parent that is frozen says of its Tools that they
# do not run.
READY = ("guest.toolsRunningStatus", "guest.guestOperationsReady")
_POWER_STATE = "runtime.powerState"


def authentication(credentials: GuestCredentials) -> t.Any:
    """Credentials as vSphere wants them."""
    return vim.vm.guest.NamePasswordAuthentication(
        username=credentials.username, password=credentials.password, interactiveSession=False
    )


@dataclasses.dataclass(frozen=True)
class Completed:
    """A program that ended.

    :ivar output: standard output and error as they came, together; of a long one its end.
    """

    exit_code: int
    output: bytes = dataclasses.field(repr=False)
    pid: int

    @property
    def text(self) -> str:
        """The output as text; what is no UTF-8 is shown as such."""
        return self.output.decode(errors="replace")


class Process(t.NamedTuple):
    """A program that runs in a guest.

    :ivar command: its whole command line, with its arguments.
    """

    pid: int
    command: str


class Entry(t.NamedTuple):
    """What a folder of a guest holds.

    :ivar kind: ``file``, ``directory`` or ``symlink``.
    :ivar owner: number of the user whose it is; None where the guest does not say.
    """

    name: str
    kind: str
    owner: int | None


@dataclasses.dataclass(frozen=True)
class Access:
    """The way into one VM's guest.

    :ivar auth: what checks credentials alone; None where vCenter has no such manager. Each is optional (API reference,
        GuestOperationsManager), but without the others nothing can be done.
    :ivar pin: SHA-256 of the certificate of its ESXi host, which file transfers go to; None where
        vCenter does not show it.
    """

    name: str
    shell: Shell
    auth: t.Any
    files: t.Any
    processes: t.Any
    pin: str | None


def managers(session: Session) -> list[t.Any]:
    """What ``MANAGERS`` are read of; empty where vCenter has no guest operations."""
    found = session.content.guestOperationsManager
    return [found] if found is not None else []


def access_in(session: Session, rows: t.Mapping[str, Row], moid: str) -> Access:
    """The way into a guest, from rows that were read with the paths and the route above.

    :raises GuestError: ``guest_unavailable`` when vCenter shows no guest operations, or no such VM.
    """
    manager = row_of(rows, session.content.guestOperationsManager)
    known = manager.values if manager is not None else {}
    vm = rows.get(moid)
    if vm is None or not {"fileManager", "processManager"} <= known.keys():
        raise GuestError(
            "guest_unavailable",
            f"vCenter does not show {'the VM ' + moid if vm is None else 'its guest operations'} to this user.",
            hint="Give the user the privileges VirtualMachine.GuestOperations.* on the VM.",
        )
    host = vm.get("runtime.host")
    row = rows.get(host._GetMoId()) if host is not None else None
    shell = shell_of(vm.get("guest.guestFamily"), vm.get("config.guestId"))
    return Access(
        name=names.unescape(vm.get("name") or moid),
        shell=shell,
        auth=known.get("authManager"),
        files=known["fileManager"],
        processes=known["processManager"],
        pin=_fingerprint(row.get("config.certificate") if row else None),
    )


def _fingerprint(certificate: t.Any) -> str | None:
    """SHA-256 of ``HostSystem.config.certificate``, which is PEM text as an array of signed bytes."""
    if not certificate:
        return None
    return tls.digest_of(bytes(byte & 0xFF for byte in certificate).decode("ascii", errors="replace"))


def _entry(info: t.Any) -> Entry:
    return Entry(info.path, str(info.type), getattr(info.attributes, "ownerId", None))


def tools_ready(values: t.Mapping[str, t.Any]) -> bool:
    """Whether Tools take guest operations, from the properties in ``READY``.

    An older ESXi reports only that they run.
    """
    return values.get(READY[0]) == "guestToolsRunning" and values.get(READY[1]) is not False


# Why a guest that was waited for cannot be worked in: it did not answer in time, or somebody has
# removed its VM, or powered it off, meanwhile.
LATE, GONE, OFF = "late", "gone", "off"


def taken_away(title: str, why: str) -> VforgeError:
    """The error for a VM that was ``GONE`` or ``OFF`` while its guest was waited for."""
    if why == GONE:
        return NotFound.removed_meanwhile(title)
    return GuestError(
        "guest_powered_off",
        f"{title} was powered off or suspended while its guest was waited for.",
        hint="Run again.",
    )


def wait_for_tools(session: Session, refs: t.Sequence[t.Any], deadline: float, what: str) -> dict[str, str]:
    """Wait until the guests of all these VMs, which are on, can be worked in, with one filter for
    all.

    :param deadline: of ``time.monotonic()``.
    :param what: for the progress: "3 of 5 " and this.
    :returns: of those that cannot be, by moid: ``LATE``, ``GONE`` or ``OFF``.
    """
    ended: dict[str, str] = {}

    def answers(update: Update) -> bool:
        if update.gone:
            ended[update.moid] = GONE
        elif str(update.state.get(_POWER_STATE, "poweredOn")) != "poweredOn":
            ended[update.moid] = OFF
        return update.moid in ended or tools_ready(update.state)

    def progress(left: set[str], _changed: bool) -> bool:
        session.show_progress(f"{len(refs) - len(left)} of {len(refs)} {what}")
        return False

    paths = (*READY, _POWER_STATE)
    late = wait_until(session, refs, vim.VirtualMachine, paths, deadline, answers, after_round=progress)
    return {**dict.fromkeys(late, LATE), **ended}


class Guest:
    """The guest of one VM.

    :param vm_ref: a ``vim.VirtualMachine``.
    :param access: where it was read already; else it is with the first use, in one call. Every
    method raises GuestError, and what the connection raises; its ``error_code`` says what stood in
    the way.
    """

    def __init__(
        self,
        session: Session,
        vm_ref: t.Any,
        credentials: GuestCredentials,
        access: Access | None = None,
    ) -> None:
        self._session = session
        self._vm = vm_ref
        self._credentials = credentials
        self._known = access

    @property
    def access(self) -> Access:
        """The way in."""
        if self._known is None:
            roots = [self._vm, *managers(self._session)]
            wanted = {vim.VirtualMachine: VM_ACCESS, vim.HostSystem: HOST_ACCESS, MANAGER: MANAGERS}
            rows = {row.moid: row for row in collect(self._session, roots, wanted, TO_ACCESS)}
            self._known = access_in(self._session, rows, self._vm._GetMoId())
        return self._known

    @property
    def shell(self) -> Shell:
        """How its programs and scripts are started."""
        return self.access.shell

    def validate(self) -> None:
        """Make sure that Tools answer and that the guest accepts the credentials; changes nothing."""
        auth = self.access.auth
        if auth is None:
            self.processes()  # which takes them, too
        else:
            self._ask("log in", lambda: auth.ValidateCredentialsInGuest(self._vm, self._auth()))

    def run(
        self,
        program: str,
        arguments: t.Sequence[str] = (),
        *,
        deadline: float,
        env: t.Mapping[str, str] | None = None,
        cwd: str | None = None,
        output: str = "",
    ) -> Completed:
        """Run a program to its end.

        Never put a secret into its arguments: everybody in the guest can list them.

        :param deadline: of ``time.monotonic()``.
        :param output: path of the file in the guest that gets all of its output, and stays;
            empty for one that is made and removed.
        :raises GuestError: also ``guest_timeout``; the program is then terminated, and the details
            hold its output.
        """
        with contextlib.nullcontext(output) if output else self.temporary_file(".out") as path:
            pid = self.start(program, arguments, output=path, env=env, cwd=cwd)
            code = self._end(pid, program, deadline)
            written = self.fetch(path, LONGEST_OUTPUT)
        if code is None:
            raise GuestError(
                "guest_timeout",
                f"{program} in {self.access.name} did not end in time and was terminated.",
                hint="Raise timeout, or find out in the guest what it waits for.",
                output=printable(written.decode(errors="replace")),
            )
        return Completed(code, written, pid)

    def script(
        self,
        text: str,
        *,
        deadline: float,
        env: t.Mapping[str, str] | None = None,
        cwd: str | None = None,
    ) -> Completed:
        """Run a script of the guest's own shell: POSIX sh, or PowerShell.

        Parameters and errors as for ``run``.
        """
        with self.temporary_file(self.shell.suffix) as path:
            self.upload(path, text.encode(), mode=0o700)
            program, *options = self.shell.interpreter
            return self.run(program, [*options, path], deadline=deadline, env=env, cwd=cwd)

    def start(
        self,
        program: str,
        arguments: t.Sequence[str] = (),
        *,
        output: str,
        env: t.Mapping[str, str] | None = None,
        cwd: str | None = None,
    ) -> int:
        """Start a program and leave it to itself; returns its process ID.

        :param output: path of the file in the guest that gets all of its output.
        """
        if self.shell.name == "windows":
            # There cmd is what is started, and would only report it by its exit code.
            self._ask(
                f"run {program}",
                lambda: self.access.files.ListFilesInGuest(self._vm, self._auth(), program),
            )
        path, line = self.shell.command(program, arguments, output)
        pairs = [f"{key}={value}" for key, value in sorted((env or {}).items())]
        spec = vim.vm.guest.ProcessManager.ProgramSpec(
            programPath=path, arguments=line, workingDirectory=cwd, envVariables=pairs
        )
        manager = self.access.processes
        return int(self._ask(f"run {program}", lambda: manager.StartProgramInGuest(self._vm, self._auth(), spec)))

    def exit_code(self, pid: int, program: str) -> int | None:
        """How a program ended that was started here, or None while it runs.

        :raises GuestError: ``guest_process_lost`` when the guest has no such process: it was booted
            again meanwhile.
        """
        manager = self.access.processes
        found = self._ask(
            f"look after {program}",
            lambda: manager.ListProcessesInGuest(self._vm, self._auth(), [pid]),
        )
        for process in found:
            if process.pid == pid:
                return None if process.endTime is None else int(process.exitCode or 0)
        raise GuestError(
            "guest_process_lost",
            f"The guest of {self.access.name} does not know {program} any more: it or its Tools were restarted.",
            hint="Run again.",
        )

    def terminate(self, pid: int, program: str) -> None:
        """End a program."""
        manager = self.access.processes
        self._ask(
            f"terminate {program}",
            lambda: manager.TerminateProcessInGuest(self._vm, self._auth(), pid),
        )

    def upload(self, path: str, data: bytes, mode: int = 0o600) -> None:
        """Write a file, replacing one that is there.

        :param mode: its permissions, on Linux.
        """
        from .._connector import web

        posix = self.shell.name == "linux"
        attributes = _FILES.PosixFileAttributes(permissions=mode) if posix else _FILES.FileAttributes()
        files, size = self.access.files, len(data)
        self._carry(
            f"write {path}",
            lambda: files.InitiateFileTransferToGuest(self._vm, self._auth(), path, attributes, size, True),
            lambda url: web.put(self._session.options, url, data, self.access.pin),
        )

    def fetch(self, path: str, most: int | None = None) -> bytes:
        """Read a file.

        :param most: bytes; of a longer file its end is returned, and no more than that is kept.
        """
        from .._connector import web

        files = self.access.files
        return self._carry(
            f"read {path}",
            lambda: files.InitiateFileTransferFromGuest(self._vm, self._auth(), path).url,
            lambda url: web.get(self._session.options, url, self.access.pin, end=most),
        )

    def make_directory(self) -> str:
        """Make a directory that only this user can read; returns its path."""
        files = self.access.files
        return str(
            self._ask(
                "make a directory",
                lambda: files.CreateTemporaryDirectoryInGuest(self._vm, self._auth(), PREFIX, ""),
            )
        )

    def processes(self) -> list[Process]:
        """What runs in the guest."""
        manager = self.access.processes
        found = self._ask(
            "look after programs",
            lambda: manager.ListProcessesInGuest(self._vm, self._auth(), None),
        )
        return [Process(int(each.pid), each.cmdLine or "") for each in found if each.endTime is None]

    def entries(self, folder: str, pattern: str) -> list[Entry]:
        """What lies in a folder, as far as the names match a regular expression."""
        found: list[Entry] = []
        while True:
            answer = self._listed(folder, pattern, len(found))
            found += [_entry(each) for each in answer.files or ()]
            if not answer.remaining or not answer.files:
                return found

    def _listed(self, folder: str, pattern: str, begin: int) -> t.Any:
        """A page of what lies in a folder."""
        list_files = self.access.files.ListFilesInGuest
        return self._ask(
            f"look into {folder}",
            lambda: list_files(self._vm, self._auth(), folder, begin, None, pattern),
        )

    def remove_file(self, path: str) -> None:
        """Remove a file."""
        files = self.access.files
        self._ask(f"remove {path}", lambda: files.DeleteFileInGuest(self._vm, self._auth(), path))

    def end(self, pid: int, program: str, deadline: float) -> bool:
        """Terminate a program and wait until it is gone.

        :param deadline: of ``time.monotonic()``.
        :returns: False when it runs still.
        """
        waits = Backoff(deadline)
        try:
            self.terminate(pid, program)
            while waits.begin():
                if self.exit_code(pid, program) is not None:
                    return True
        except GuestError as error:
            if error.error_code != "guest_process_lost":
                raise
            return True
        return False

    def remove_directory(self, path: str) -> None:
        """Remove a directory with all that is in it."""
        files = self.access.files
        self._ask(
            f"remove {path}",
            lambda: files.DeleteDirectoryInGuest(self._vm, self._auth(), path, True),
        )

    @contextlib.contextmanager
    def temporary_file(self, suffix: str) -> t.Iterator[str]:
        """A file that only this user can read, by its path; it is removed in every ending."""
        files = self.access.files
        path = str(
            self._ask(
                "make a file",
                lambda: files.CreateTemporaryFileInGuest(self._vm, self._auth(), PREFIX, suffix),
            )
        )
        try:
            yield path
        finally:
            self.attempt(
                f"{path} was left in {self.access.name}",
                lambda: self._ask(f"remove {path}", lambda: files.DeleteFileInGuest(self._vm, self._auth(), path)),
            )

    def attempt(self, otherwise: str, do: t.Callable[[], object]) -> None:
        """Clean up; where that fails, warn with ``otherwise``.

        While it is reported that a connection broke, nothing is tried.

        :raises Interrupted: a signal came meanwhile.
        """
        if isinstance(sys.exc_info()[1], (ConnectionFailed, ConnectionLost)):
            self._session.warn(f"{otherwise}.")
            return
        try:
            do()
        except VforgeError as error:
            if error.error_code != "guest_process_lost":
                self._session.warn(f"{otherwise}: {error}")

    def _end(self, pid: int, program: str, deadline: float) -> int | None:
        """Wait for the end of a program.

        One that has not ended, for whatever reason, is terminated. None is for late.
        """
        code, waits = None, Backoff(deadline)
        try:
            while code is None and waits.begin():
                code = self.exit_code(pid, program)
        finally:
            if code is None:
                self.attempt(
                    f"{program} was left running in {self.access.name}",
                    lambda: self.terminate(pid, program),
                )
        return code

    def _carry(self, doing: str, initiate: t.Callable[[], str], carry: t.Callable[[str], T]) -> T:
        """A transfer.

        One that broke off is made once more, from the start, since its address is good for one time
        only.
        """
        tries = 0
        while True:
            tries += 1
            address = self._ask(doing, initiate)
            try:
                return carry(address)
            except (ConnectionFailed, ConnectionLost) as error:
                if tries == 1 and isinstance(error, ConnectionLost):
                    continue
                failed = GuestError(
                    "guest_transfer_failed",
                    f"{self.access.name}, {doing}: {error.message}",
                    hint="Files go straight to the ESXi host: the machine that runs the module must reach its port 443.",
                    cause=error.error_code,
                )
                if error.error_code not in _NO_WAY:
                    failed.hint = error.hint
                raise failed from error

    def _auth(self) -> t.Any:
        return authentication(self._credentials)

    def _ask(self, doing: str, do: t.Callable[[], T]) -> T:
        """Make a call of guest operations, with its faults made clear.

        While another task works on the VM it does nothing, and is made again.
        """
        pause: Backoff | None = None
        while True:
            try:
                return self._session.retrying(do)
            except Fault as fault:
                if fault.fault == "TaskInProgress":
                    end = min(time.monotonic() + _SECONDS_BUSY, self._session.limit.deadline)
                    pause = pause or Backoff(end, first=0.25)
                    if pause.begin():
                        continue
                raise guest_error(fault, self.access.name, doing, self._credentials.username) from fault
