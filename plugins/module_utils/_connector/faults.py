# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""vSphere's faults as typed errors: a stable code, the fault's own words, and what the user can do."""

from __future__ import annotations

import re
import typing as t

from .._errors import Cancelled, Fault, SessionExpired, VforgeError
from .pyvmomi import vim, vmodl

_HINTS = {
    "NoPermission": "Give the user a role with this privilege on this object.",
    "DuplicateName": "Choose another name or folder, or remove the object that holds the name.",
    "InvalidPowerState": "Bring the VM to the power state that the operation needs.",
    "InvalidState": "Check the state of the VM and its host (maintenance, connection), then run again.",
    "InvalidRequest": "This server does not understand the call: it is another release, or no vCenter, and does not offer it.",
    "MethodNotFound": "This vCenter release does not offer the operation; a newer one is needed.",
    "ManagedObjectNotFound": "The object was removed in the meantime; run again.",
    "TaskInProgress": "Another task works on the object; run again when it has ended.",
    "HostNotConnected": "Connect the host to the vCenter again, or use another host.",
    "InsufficientResourcesFault": "Free resources in the pool or on the host, or use another one.",
    "NoDiskSpace": "Free space on the datastore, or use another one.",
    "DisallowedMigrationDeviceAttached": "Detach the device (passthrough, vGPU, ISO of a client) from the VM.",
    "SystemError": "Look at the events of the vCenter and the host for the cause. A chain of more than 255 deltas ends so too.",
}


_NO_WORDS = "vCenter refused without a message"


def snake(name: str) -> str:
    """``DuplicateName`` becomes ``duplicate_name``, ``SSLVerifyFault`` becomes
    ``ssl_verify_fault``.
    """
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


def session_expired(doing: str = "") -> SessionExpired:
    """The error for a session that vCenter does not know.

    :param doing: as in ``translate``.
    """
    prefix = f"{doing}: " if doing else ""
    return SessionExpired(
        f"{prefix}vCenter no longer knows the session.",
        hint="Run again; a new session is then opened.",
    )


def fault_name(fault: t.Any) -> str:
    """The wire name of a fault, without its namespace."""
    return kind_name(type(fault))


def kind_name(kind: type) -> str:
    """vSphere's name of one of pyVmomi's types."""
    return kind.__name__.rsplit(".", 1)[-1]


def translate(fault: t.Any, doing: str = "") -> VforgeError:
    """The typed error for a fault.

    :param doing: what was being done, in a few words ("clone web-1"); begins the message.
    :returns: SessionExpired for NotAuthenticated, Cancelled for RequestCanceled, else a Fault.
    """
    # That of a vApp is waited for as any other.
    name = "TaskInProgress" if isinstance(fault, vim.fault.TaskInProgress) else fault_name(fault)
    prefix = f"{doing}: " if doing else ""
    if isinstance(fault, vim.fault.NotAuthenticated):
        return session_expired(doing)
    if isinstance(fault, vmodl.fault.RequestCanceled):
        return Cancelled(
            f"{prefix}the task was cancelled in vCenter.",
            hint="Run again: what was done is then found as done.",
        )
    error = Fault(
        name,
        snake(name),
        f"{prefix}{_words(fault)} ({name}).",
        hint=_hint(fault),
        fault_messages=[line.message for line in fault.faultMessage or [] if line.message],
        **_facts(fault),
    )
    if isinstance(fault, vim.fault.NoPermission):
        error.subject = _denied(fault)
        error.called = _reference(error.subject)
    return error


def unknown_fault(document: bytes) -> Fault | None:
    """The fault of an answer whose type pyVmomi does not know: its name, and its own words.

    :param document: a SOAP envelope.
    :returns: None where it has no name.
    """
    # Only an error reads an answer twice.
    from xml.etree import ElementTree

    try:
        elements = list(ElementTree.fromstring(document).iter())
    except ElementTree.ParseError:
        return None
    detail = next((each[0] for each in elements if _local(each.tag) == "detail" and len(each)), None)
    if detail is None:
        return None
    kinds = (value for key, value in detail.attrib.items() if _local(key) == "type")
    name = next(kinds, _local(detail.tag).removesuffix("Fault")).rpartition(":")[2]
    words = next((each.text or "" for each in elements if _local(each.tag) == "faultstring"), "").strip()
    return Fault(name, snake(name), f"{words.rstrip('.') or _NO_WORDS} ({name}).")


def _local(name: str) -> str:
    """A name of XML without its namespace."""
    return name.rpartition("}")[2]


def _words(fault: t.Any) -> str:
    """The fault's own message, or a plain one where it has none."""
    message = (fault.msg or "").strip()
    if isinstance(fault, vim.fault.NoPermission):
        missing = fault.privilegeId or ", ".join(_missing_privileges(fault))
        return f"the privilege {missing or 'needed'} is missing on {_reference(_denied(fault)) or 'the object'}"
    if isinstance(fault, vmodl.fault.InvalidArgument) and fault.invalidProperty:
        return f"vCenter refuses {fault.invalidProperty}: {message or 'invalid argument'}"
    if isinstance(fault, vim.fault.DuplicateName):
        return f"the name {fault.name!r} is taken by {_reference(fault.object) or 'another object'}"
    if isinstance(fault, vim.fault.HttpFault):
        # What a host met that fetches a file by itself; its own message says nothing of it.
        return f"{message.rstrip('.') or 'HTTP failed'}: {fault.statusCode or ''} {fault.statusMessage or ''}".rstrip(": ")
    if isinstance(fault, vim.fault.FileFault) and fault.file and fault.file not in message:
        return f"{message.rstrip('.') or _NO_WORDS}: {fault.file}"
    if isinstance(fault, vmodl.fault.MethodNotFound):
        # Raised by pyVmomi itself, and then without a message, when the method is newer than the
        # server's version.
        return f"this vCenter does not offer {fault.method}"
    return message.rstrip(".") or _NO_WORDS


def _denied(fault: t.Any) -> t.Any:
    """The object on which a privilege is missing.

    Newer releases may name it with the privileges only.
    """
    listed = getattr(fault, "missingPrivileges", None) or []
    return fault.object or next((item.entity for item in listed), None)


def _missing_privileges(fault: t.Any) -> list[str]:
    return [name for entity in getattr(fault, "missingPrivileges", None) or [] for name in entity.privilegeIds or []]


def _hint(fault: t.Any) -> str:
    for kind in type(fault).__mro__:
        hint = _HINTS.get(kind.__name__.rsplit(".", 1)[-1])
        if hint:
            return hint
    return ""


def _facts(fault: t.Any) -> dict[str, t.Any]:
    """What the fault says besides its message."""
    if isinstance(fault, vim.fault.DuplicateName):
        return {"holder": _moid(fault.object)}
    if isinstance(fault, vim.fault.NoPermission):
        return {"privilege": fault.privilegeId, "object": _moid(_denied(fault))}
    if isinstance(fault, vmodl.fault.InvalidArgument):
        return {"invalid_property": fault.invalidProperty}
    if isinstance(fault, vim.fault.InvalidPowerState) and fault.existingState:
        return {"existing_state": str(fault.existingState)}
    if isinstance(fault, vim.fault.TaskInProgress):
        return {"task": _moid(fault.task)}
    if isinstance(fault, vmodl.fault.ManagedObjectNotFound):
        return {"object": _moid(fault.obj)}
    return {}


def _moid(reference: t.Any) -> str | None:
    return reference._GetMoId() if reference is not None else None


def _reference(reference: t.Any) -> str:
    return f"{kind_name(type(reference))} {_moid(reference)}" if reference is not None else ""
