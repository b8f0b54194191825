# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The errors that a user can meet, each with a stable code.

Lower layers raise these; only ``_ansible.run`` turns one into a module failure. A message is one
sentence that says what went wrong and where; ``hint`` is one sentence that says what the user can
do.
"""

from __future__ import annotations

import platform
import shlex
import sys
import typing as t

_ANOTHER_PYTHON = "set ansible_python_interpreter to a Python that has it"


class Reason(BaseException):
    """Why a task, or an item of it, ended early: an error, or the end of the run itself.

    :param message: what went wrong, where; never holds a secret.
    :param hint: what the user can do about it.
    :param details: what the result has of it besides (plain JSON types only).
    """

    error_code = "error"

    def __init__(self, message: str, *, hint: str = "", **details: t.Any) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.details = details

    def __str__(self) -> str:
        # What a program or a server says often ends without one.
        stop = "." if self.hint and (self.message[-1:].isalnum() or self.message.endswith(")")) else ""
        return f"{self.message}{stop} {self.hint}".strip()

    def as_result(self) -> dict[str, t.Any]:
        """The error as plain data: ``error_code``, ``msg`` and the details that are set."""
        details = {key: value for key, value in self.details.items() if value not in (None, "", [])}
        return {"error_code": self.error_code, "msg": str(self), **details}


class VforgeError(Reason, Exception):
    """Base of every error that is shown to a user."""


class CodedError(VforgeError):
    """An error of several codes: the one that raises it says which, and so what stood in the way."""

    def __init__(self, error_code: str, message: str, *, hint: str = "", **details: t.Any) -> None:
        super().__init__(message, hint=hint, **details)
        self.error_code = error_code


class MissingLibrary(VforgeError):
    """A Python library, or a recent enough Python, is missing where the module runs."""

    error_code = "missing_library"

    @classmethod
    def of_python(cls, message: str, package: str, otherwise: str = _ANOTHER_PYTHON) -> MissingLibrary:
        """The error of a library, with the Python that misses it and the way to install it for that one.

        :param message: one sentence that names the library.
        :param package: what pip is to install, such as ``requests>=2.32.3``.
        :param otherwise: what else can be done.
        """
        version = ".".join(str(part) for part in sys.version_info[:3])
        return cls(
            f"{message} The module runs with {sys.executable} (Python {version}) on {platform.node()}.",
            hint=f"Install it there: {sys.executable} -m pip install {shlex.quote(package)}, or {otherwise}.",
        )


class InvalidOption(VforgeError):
    """The options contradict each other, or cannot be carried out in this inventory."""

    error_code = "invalid_option"


class NoThread(VforgeError):
    """The machine lets the module start no further thread."""

    error_code = "no_thread"


class ConnectionFailed(CodedError):
    """No session with the vCenter; the code says at which step it failed."""


class ConnectionLost(VforgeError):
    """The connection broke between request and answer: the call may or may not have been carried
    out.
    """

    error_code = "connection_lost"


class CallTimedOut(ConnectionLost):
    """A call was sent and not answered in time, nor when it was asked again, where it could be."""

    error_code = "call_timeout"


class Unavailable(ConnectionLost):
    """A gateway answered in place of the vCenter service, which is not up.

    The call may have been carried out before.
    """

    error_code = "vcenter_unavailable"


class StrangeAnswer(ConnectionLost):
    """What came back is not SOAP of vSphere: something between, or something else, has answered.

    ``is_newer`` is set where it is, with a part that pyVmomi does not know.
    """

    is_newer = False


class SessionExpired(VforgeError):
    """vCenter no longer knows the session; nothing of the call was carried out."""

    error_code = "session_expired"


class NotFound(VforgeError):
    """No object fits the selector; details hold what was searched and the nearest names."""

    error_code = "not_found"

    @classmethod
    def removed_meanwhile(cls, title: str) -> NotFound:
        """What the task was at work on was there when it began."""
        return cls(f"{title} is not there any more: somebody has removed it meanwhile.", hint="Run again.")


class NotSupported(VforgeError):
    """This release of vCenter cannot do what is asked."""

    error_code = "not_supported"


class Ambiguous(VforgeError):
    """More than one object fits the selector; details hold their paths."""

    error_code = "ambiguous"


class Fault(VforgeError):
    """vCenter refused a call or ended a task in error.

    ``fault`` is the name of the vSphere fault (``DuplicateName``), ``error_code`` the same in snake
    case. ``holder`` is the moid of the object that holds a taken name, where the fault reports it.
    ``subject`` is the reference of the object on which a privilege is missing, and None otherwise;
    the message calls it by its moid until ``call_subject`` gives it a path.
    """

    def __init__(self, fault: str, error_code: str, message: str, *, hint: str = "", **details: t.Any) -> None:
        super().__init__(message, hint=hint, fault=fault, **details)
        self.fault = fault
        self.error_code = error_code
        self.subject: t.Any = None
        self.called = ""

    def call_subject(self, path: str) -> None:
        """Have the message and the details name the subject by its inventory path.

        Its moid stays in the details.
        """
        self.message = self.message.replace(self.called, path)
        self.args = (self.message,)
        self.details = {**self.details, "object": path, "moid": self.details.get("object")}
        self.subject, self.called = None, path

    @property
    def holder(self) -> str | None:
        """The moid of the object in the way, or None where the fault does not name one."""
        return self.details.get("holder")

    def found(self, power_state: str) -> bool:
        """Whether a power operation was refused because the VM is in this power state: ``poweredOff`` where it was to be
        powered off, for example. The fault has the same name where the VM is suspended.
        """
        return self.details.get("existing_state") == power_state


class TimedOut(VforgeError):
    """A deadline passed while waiting; details say what was still under way."""

    error_code = "timeout"


class Cancelled(VforgeError):
    """A task was cancelled, before it began or while it was under way."""

    error_code = "cancelled"


class NotAttempted(VforgeError):
    """An item of a batch that was not begun, because the batch ended before its turn."""

    error_code = "not_attempted"


class TaskGone(VforgeError):
    """vCenter no longer knows a task that was begun, so what became of it is not known."""

    error_code = "task_gone"


class StillRunning(VforgeError):
    """A task was still under way in vCenter when the run ended."""

    error_code = "still_running"


class GuestError(CodedError):
    """Something inside a guest could not be done; the code says what stood in the way."""


class Interrupted(Reason):
    """A signal ended the run.

    It is no VforgeError and no Exception, as KeyboardInterrupt is none: what goes on after a failed
    call must not go on after this. Whoever keeps an account of what was done catches Reason, and
    notes it there.
    """

    error_code = "interrupted"


class Abandoned(Interrupted):
    """Nobody waits for the run any more."""

    error_code = "abandoned"


class PartialFailure(VforgeError):
    """Some items of a batch failed; ``result`` is the whole account, as on success."""

    error_code = "partial_failure"

    def __init__(self, message: str, result: dict[str, t.Any], *, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.result = result
