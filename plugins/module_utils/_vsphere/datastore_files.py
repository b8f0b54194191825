# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of datastores, over HTTPS from the vCenter (``/folder``), with the cookie of the session.

The content of disks is only read this way, and only where nothing has locked them: a disk that is
written so to a vSAN datastore cannot be used.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import re
import typing as t
import urllib.parse

from .. import _signals
from .._connector import tls, web
from .._connector.soap import LATER, StartingWait, not_now
from .._errors import ConnectionLost, Interrupted, InvalidOption, TimedOut, VforgeError

if t.TYPE_CHECKING:
    from .._connector.session import Session

# However many blanks are behind the bracket, it is one path, which is compared and noted with one.
_PATH = re.compile(r"\[([^\]]+)\] *(.+)")
_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)")


class FileLocked(VforgeError):
    """The server does not give a file: a running VM has locked it, or the datastore has no such
    files.
    """

    error_code = "file_locked"


class NoSuchFile(VforgeError):
    """There is no such file on the datastore."""

    error_code = "not_found"


class FileDenied(VforgeError):
    """This user may not have a file."""

    error_code = "no_permission"


@dataclasses.dataclass(frozen=True)
class DatastorePath:
    """``[datastore] folder/file``."""

    datastore: str
    path: str

    @classmethod
    def parse(cls, text: str, option: str) -> DatastorePath:
        """The path in a text.

        :raises InvalidOption: it is none.
        """
        found = _PATH.fullmatch(text.strip())
        parts = found[2].split("/") if found else []
        if found is None or any(part in ("", ".", "..") for part in parts) or not text.isprintable():
            raise InvalidOption(
                f"{option} is {text}, which is no file of a datastore.",
                hint="It looks like '[datastore1] folder/disk.vmdk'.",
                option=option,
            )
        return cls(found[1], found[2])

    def __str__(self) -> str:
        return f"[{self.datastore}] {self.path}"

    @property
    def folder(self) -> str:
        """``[datastore] folder``; empty for a file that is in none."""
        above = self.path.rpartition("/")[0]
        return f"[{self.datastore}] {above}" if above else ""

    @property
    def name(self) -> str:
        """Of the file."""
        return self.path.rpartition("/")[2]

    def beside(self, name: str) -> DatastorePath:
        """A file that this one names; whole paths of hosts, and such with slashes, are of the same
        folder or not followed.

        :raises InvalidOption: it leads elsewhere.
        """
        if "/" in name or name in ("", ".", ".."):
            raise InvalidOption(f"{self} names {name}, which is not in its folder.")
        above = self.path.rpartition("/")[0]
        return DatastorePath(self.datastore, f"{above}/{name}" if above else name)


@dataclasses.dataclass(frozen=True)
class FileState:
    """What a file is.

    :ivar size: in bytes.
    :ivar changed: when it was changed, or which version it is, as the server says it; empty where
        it does not.
    :ivar ranges: whether parts of it can be had.
    """

    size: int
    changed: str
    ranges: bool


class DatastoreFiles:
    """The files of the datastores of one datacenter.

    :param datacenter: inventory path of the datacenter, ``/Berlin``.
    :param deadline: of ``time.monotonic()``.
    """

    def __init__(self, session: Session, datacenter: str, deadline: float = math.inf, stop: web.Stop | None = None) -> None:
        self._session = session
        self._datacenter = datacenter.removeprefix("/")
        options = session.options
        clock = web.Clock(options.connection_timeout, deadline)
        self._stop = stop or web.Stop()
        self._client = web.Client(tls.context_for(options), clock, lambda _url: options.proxies, self._stop)

    def __enter__(self) -> DatastoreFiles:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        """End the connections."""
        self._client.close()

    def state(self, path: DatastorePath) -> FileState:
        """What a file is; nothing of it is sent.

        :raises NoSuchFile, FileLocked, FileDenied: as it says.
        """
        with self._answer("HEAD", path, {}) as answer:
            size = int(answer.headers.get("Content-Length") or 0)
            changed = answer.headers.get("ETag") or answer.headers.get("Last-Modified") or ""
            return FileState(size, changed, "bytes" in (answer.headers.get("Accept-Ranges") or ""))

    def there(self, path: DatastorePath) -> bool:
        """Whether there is such a file."""
        try:
            self.state(path)
        except NoSuchFile:
            return False
        return True

    def read(self, path: DatastorePath, most: int) -> bytes:
        """The first bytes of a file, all where it has no more.

        :raises NoSuchFile, FileLocked, FileDenied: as it says.
        """
        with self.part(path, 0, most, exact=False) as answer:
            buffer = memoryview(bytearray(most))
            count = 0
            while count < most and (came := answer.readinto(buffer[count:])):
                count += came
            return bytes(buffer[:count])

    @contextlib.contextmanager
    def part(self, path: DatastorePath, start: int, length: int, *, exact: bool = True) -> t.Iterator[web.Answer]:
        """A part of a file, as it comes.

        :param exact: whether all of it has to come; otherwise it may end with the file.
        :raises FileLocked: also where the server sends no parts, or others.
        """
        wanted = {"Range": f"bytes={start}-{start + length - 1}"} if start or exact else {}
        with self._answer("GET", path, wanted) as answer:
            if wanted:
                found = _RANGE.fullmatch(answer.headers.get("Content-Range") or "")
                if answer.status != 206 or found is None or int(found[1]) != start or int(found[2]) != start + length - 1:
                    raise FileLocked(
                        f"The server does not send the bytes of {path} that were asked for.", hint="An export lease has it."
                    )
            yield answer

    def write(self, path: DatastorePath, data: bytes) -> None:
        """Write a small file: one that is no disk, or the descriptor of one, which is text.

        A signal waits for the answer, a moment at most: the server may go on writing what nobody
        waits for, after whoever cleans up has looked.

        :raises FileDenied, FileLocked: as it says.
        """
        try:
            with (
                _signals.held_back(self._stop.set),
                self._answer("PUT", path, {"Content-Type": "application/octet-stream"}, data),
            ):
                return
        except Interrupted:
            self._stop.clear()
            raise

    @contextlib.contextmanager
    def _answer(
        self, method: str, path: DatastorePath, headers: t.Mapping[str, str], body: bytes | None = None
    ) -> t.Iterator[web.Answer]:
        options = self._session.options
        query = urllib.parse.urlencode({"dcPath": self._datacenter, "dsName": path.datastore}, quote_via=urllib.parse.quote)
        url = f"https://{options.authority}/folder/{urllib.parse.quote(path.path)}?{query}"
        try:
            answer = self._sent(method, url, headers, body)
        except web.Late as late:
            raise TimedOut(f"The time allowed for the task was over: {late.why}.", hint="Raise timeout.") from late
        except web.NotConnected as error:
            cause = error.cause if isinstance(error.cause, OSError) else OSError(f"the answer was no HTTP: {error.why}")
            raise tls.failure(cause, options) from error
        except web.Broken as error:
            raise ConnectionLost(f"{options.endpoint} broke off {path} ({error.why}).", hint="Run again.") from error
        try:
            _check(answer, path, method)
            yield answer
        except web.Late as late:
            raise TimedOut(f"The time allowed for the task was over: {late.why}.", hint="Raise timeout.") from late
        except web.Broken as error:
            raise ConnectionLost(f"{options.endpoint} broke off {path} ({error.why}).", hint="Run again.") from error
        finally:
            answer.close()

    def _sent(self, method: str, url: str, headers: t.Mapping[str, str], body: bytes | None) -> web.Answer:
        """The answer of the vCenter, in a session that lives; one that is starting is waited for.

        :raises Unavailable: it does not come up in time. Nothing is known of the file then.
        """
        session, renewed = self._session, False
        waits = StartingWait(session.stub.connections)
        while True:
            generation = session.generation
            answer = self._client.send(method, url, {**headers, "Cookie": session.stub.cookie}, body)
            if answer.status in LATER:
                answer.close()
                if self._stop.is_set() or self._client.clock.over() or not waits.begin():
                    raise not_now(session.options, answer.status, answer.reason)
                continue
            # The cookie of files lives 30 minutes; a new session has a new one.
            if answer.status != 401:
                session.useful(generation)
                return answer
            if renewed:
                return answer
            answer.close()
            session.renew(generation)
            renewed = True


def _check(answer: web.Answer, path: DatastorePath, method: str) -> None:
    status = f"{answer.status} {answer.reason}"
    if 200 <= answer.status < 300:
        return
    if answer.status == 404:
        raise NoSuchFile(f"{path} is not there ({status}).", hint="Look whether datastore, datacenter and path are right.")
    if answer.status in (401, 403):
        doing = "read" if method in ("GET", "HEAD") else "written"
        raise FileDenied(f"{path} may not be {doing} ({status}).", hint="The privilege Datastore.FileManagement is needed.")
    if method == "PUT":
        raise FileLocked(f"The server does not take {path} ({status}).", hint="Look whether a running VM uses it.")
    raise FileLocked(
        f"The server does not give {path} ({status}).",
        hint="Disks of running VMs, and those on vSAN, come by an export lease alone: set transport so.",
    )
