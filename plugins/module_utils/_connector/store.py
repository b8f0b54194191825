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
import hashlib
import hmac
import json
import os
import secrets
import stat
import tempfile
import typing as t

from .options import ConnectionOptions

_FORMAT = 1


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
        self._name = options.cache_key()
        self._warn = warn
        self._folder = _private_folder(warn) if options.session_cache else None

    @property
    def enabled(self) -> bool:
        """False when sessions are not to be kept, or there is no safe place for them."""
        return self._folder is not None

    @contextlib.contextmanager
    def locked(self) -> t.Iterator[None]:
        """Hold the right to log in for these options, among all processes of this user; death releases it."""
        handle = self._open_lock()
        if handle is None:
            yield
            return
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def load(self) -> KeptSession | None:
        """The kept session, or None when there is none that is ours, whole and for this password."""
        data = self._read()
        if data is None or data.get("format") != _FORMAT:
            return None
        try:
            if not hmac.compare_digest(_verifier(self._password, data["salt"]), data["verifier"]):
                return None
            references = {name: (kind, moid) for name, (kind, moid) in data["references"].items()}
            return KeptSession(cookie=data["cookie"], about=dict(data["about"]), references=references)
        except (KeyError, TypeError, ValueError):
            self._warn("The kept session file is damaged; a new session is opened.")
            return None

    def save(self, session: KeptSession) -> None:
        """Keep a session: whole or not at all, whoever reads at the same moment."""
        if self._folder is None:
            return
        salt = secrets.token_hex(16)
        data = {
            "format": _FORMAT,
            **dataclasses.asdict(session),
            "salt": salt,
            "verifier": _verifier(self._password, salt),
        }
        handle, temporary = tempfile.mkstemp(dir=self._folder, prefix=f"{self._name}.")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(data, file)
            os.replace(temporary, self._path("json"))
        except OSError as error:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)
            self._warn(f"The session cannot be kept for later tasks ({error.strerror}).")

    def _open_lock(self) -> int | None:
        if self._folder is None:
            return None
        try:
            return os.open(self._path("lock"), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except OSError as error:
            self._warn(f"The lock file of the kept sessions cannot be used ({error.strerror}).")
            return None

    def _path(self, ending: str) -> str:
        return os.path.join(self._folder or "", f"{self._name}.{ending}")

    def _read(self) -> dict[str, t.Any] | None:
        if self._folder is None:
            return None
        try:
            handle = os.open(self._path("json"), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        except OSError as error:
            self._warn(f"The kept session file is refused ({error.strerror}); a new session is opened.")
            return None
        with os.fdopen(handle, encoding="utf-8") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o077:
                self._warn("The kept session file is refused: others can read or own it; a new session is opened.")
                return None
            try:
                data = json.load(file)
            except ValueError:
                self._warn("The kept session file is damaged; a new session is opened.")
                return None
        return data if isinstance(data, dict) else None


def _private_folder(warn: t.Callable[[str], None]) -> str | None:
    """A folder that is ours alone, made when missing: in the runtime directory, else the cache, else the temporary one."""
    for parent in _parents():
        folder = os.path.join(parent, f"vforge-vsphere-{os.geteuid()}")
        try:
            with contextlib.suppress(FileExistsError):
                os.mkdir(folder, 0o700)
            status = os.lstat(folder)
        except OSError:
            continue
        if stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() and not status.st_mode & 0o077:
            return folder
        warn(f"The folder {folder} is refused for kept sessions: it must be a directory of yours with mode 0700.")
        return None
    warn("Sessions are not kept: there is no folder for them.")
    return None


def _parents() -> t.Iterator[str]:
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime and os.path.isabs(runtime):
        yield runtime
    yield f"/run/user/{os.geteuid()}"
    yield tempfile.gettempdir()


def _verifier(password: str, salt: str) -> str:
    # About 20 ms and 8 MiB: dear for who tries a word list, cheap beside a login.
    return hashlib.scrypt(password.encode(), salt=bytes.fromhex(salt), n=2**13, r=8, p=1).hex()
