# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sessions kept between tasks, in files that only their owner can read.

A file holds the session cookie, the API version, the references of the service content and a salted verifier of the
password: a session is handed only to who gives the password it was opened with. The password itself is never kept.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import functools
import hashlib
import hmac
import json
import os
import secrets
import threading
import typing as t

from .. import _files
from .._errors import InvalidOption
from .options import ConnectionOptions
from .pairs import is_sendable
from .private import PrivateFolder
from .pyvmomi import VmomiSupport, vim

_FORMAT = 2


@dataclasses.dataclass(frozen=True)
class KeptSession:
    """What it takes to go on with a session.

    :ivar cookie: value of the ``vmware_soap_session`` cookie; never in ``repr``.
    :ivar about: ``apiVersion``, ``apiType``, ``fullName``, ``instanceUuid`` of the vCenter.
    :ivar references: the service content's managed objects, as attribute -> (type, moid).
    """

    cookie: str = dataclasses.field(repr=False)
    about: dict[str, str]
    references: dict[str, tuple[str, str]]


class SessionStore:
    """The kept session of one set of connection options.

    :param options: whose session.
    :param warn: called with one sentence when a file or folder cannot be trusted.
    """

    def __init__(self, options: ConnectionOptions, warn: t.Callable[[str], None]) -> None:
        self._password = options.password
        self._patience = float(options.connection_timeout)
        self._name = options.cache_key()
        self._tell = warn
        self._told: set[str] = set()
        self._folder = PrivateFolder.find(self._warn, "sessions", "a new session is opened") if options.session_cache else None

    @contextlib.contextmanager
    def locked(self, patience: float | None = None) -> t.Iterator[None]:
        """Hold the right to log in for these options, among all processes of this user; death releases it.

        :param patience: seconds; who waits longer goes on without it: two logins are better than none. None: as long as one
            request may take.
        """
        handle = self._open("lock", os.O_RDWR | os.O_CREAT)
        try:
            if handle is not None and not _lock(handle, self._patience if patience is None else patience):
                self._warn("The lock of the kept session cannot be had; this task logs in beside the others.")
                handle = None
            yield
        finally:
            if handle is not None:
                os.close(handle)

    def load(self) -> KeptSession | None:
        """The kept session, or None when there is none that is ours, whole and for this password.

        A file that is damaged, in whatever way, is told of once and replaced by the next session.
        """
        text = self._read()
        if text is None:
            return None
        try:
            data = _files.parsed(text)
            if data["format"] != _FORMAT:
                return None
            # What holds for any password comes first, so that damage is told of as such.
            session = _kept_session(data)
            return session if hmac.compare_digest(_verifier(self._password, data["salt"]), data["verifier"]) else None
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError):
            self._warn("The kept session file is damaged; a new session is opened.")
            return None

    def save(self, session: KeptSession) -> bool:
        """Keep a session: whole or not at all, whoever reads at the same moment. False when it is not kept."""
        if self._folder is None:
            return False
        salt = secrets.token_hex(16)
        data: dict[str, t.Any] = {
            "format": _FORMAT,
            **dataclasses.asdict(session),
            "salt": salt,
            "verifier": _verifier(self._password, salt),
        }
        data["digest"] = _digest(data)
        try:
            self._folder.write(f"{self._name}.json", json.dumps(data).encode())
        except InvalidOption as error:
            self._warn(f"The session cannot be kept for later tasks. {error}")
            return False
        return True

    def _warn(self, message: str) -> None:
        """Warn, but of one thing only once, however often the file is looked at."""
        if message not in self._told:
            self._told.add(message)
            self._tell(message)

    def _open(self, ending: str, flags: int) -> int | None:
        """A file of ours, open; None, with a warning, when it may be somebody else's or others can read it."""
        return self._folder.open(f"{self._name}.{ending}", flags) if self._folder else None

    def _read(self) -> bytes | None:
        return self._folder.read(f"{self._name}.json") if self._folder else None


def _kept_session(data: dict[str, t.Any]) -> KeptSession:
    """:raises KeyError, TypeError, ValueError, AttributeError: when a part is missing or of another kind."""
    if data["digest"] != _digest(data):
        raise ValueError("digest")
    about = {_text(name): _text(value) for name, value in data["about"].items()}
    given = {_text(name): (_text(kind), _text(moid)) for name, (kind, moid) in data["references"].items()}
    # A newer pyVmomi, in another task, may know more of them.
    references = {name: reference for name, reference in given.items() if name in _kinds()}
    for name, (kind, moid) in references.items():
        if not issubclass(VmomiSupport.GetVmodlType(kind), _kinds()[name]) or not moid:
            raise ValueError(name)
    if not about["apiVersion"] or "propertyCollector" not in references:
        raise ValueError("a part is missing")
    cookie = _text(data["cookie"])
    if not cookie.isascii() or not cookie.isprintable() or '"' in cookie:
        raise ValueError("no cookie")
    return KeptSession(cookie=cookie, about=about, references=references)


@functools.cache
def _kinds() -> dict[str, t.Any]:
    """The types of what a service content holds, by attribute."""
    return {info.name: info.type for info in vim.ServiceInstanceContent._GetPropertyList()}


def _digest(data: t.Mapping[str, t.Any]) -> str:
    """Of all that a file holds but this: with it damage is noticed wherever it is."""
    rest = {name: value for name, value in data.items() if name != "digest"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def _text(value: t.Any) -> str:
    """:raises ValueError: it is none, or one that cannot be sent."""
    if not isinstance(value, str) or not is_sendable(value):
        raise ValueError("no text")
    return value


def _lock(handle: int, patience: float) -> bool:
    """Lock an open file; False when another process has held it for ``patience`` seconds.

    flock knows no time-out, so a thread waits for it. When it is given up on, that thread is left the handle to close.
    """
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        pass
    else:
        return True
    decision = threading.Lock()
    got, given_up = threading.Event(), threading.Event()

    def wait() -> None:
        fcntl.flock(handle, fcntl.LOCK_EX)
        with decision:
            got.set()
            if given_up.is_set():
                os.close(handle)

    threading.Thread(target=wait, daemon=True).start()
    got.wait(patience)
    with decision:
        if not got.is_set():
            given_up.set()
        return got.is_set()


def _verifier(password: str, salt: str) -> str:
    # About 20 ms: dear for who tries a word list, cheap beside a login. PBKDF2 also works where FIPS forbids scrypt.
    return hashlib.pbkdf2_hmac("sha256", password.encode(), bytes.fromhex(salt), 100_000).hex()
