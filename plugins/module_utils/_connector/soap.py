# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""SOAP: pyVmomi's stub, made to count its calls, to bound each of them, and to raise typed errors
only.

``Limit`` says how long one call may take, under the deadline of its task. ``ConnectionPool`` keeps
connections to one vCenter open between calls: every one makes its own TLS handshake under the same
checked context, no byte is sent before it is checked, and each use of one is bounded as a whole,
since a server that sends a byte now and then could draw it out. ``Stub`` sends the calls. All of
them are safe for many threads.
"""

from __future__ import annotations

import collections
import contextlib
import functools
import http.client
import io
import math
import re
import select
import socket
import threading
import time
import typing as t
import weakref
import xml.parsers.expat
import zlib

from .. import _signals
from .._errors import (
    CallTimedOut,
    ConnectionFailed,
    ConnectionLost,
    InvalidOption,
    NotAttempted,
    StrangeAnswer,
    Unavailable,
)
from . import faults, tls, versions
from .options import ConnectionOptions
from .pyvmomi import SoapAdapter, SoapStubAdapter, VmomiSupport, vim, vmodl
from .tasks import Backoff

# What a call may take, at the least, when the deadline is near or over: what was begun is cleaned
# up then.
_CLEAN_UP_SECONDS = 10.0

# The same after a signal, whose sender does not wait long.
_FAREWELL_SECONDS = 5.0


class _Own(threading.local):
    """What each thread knows for itself."""

    end: float = math.inf


class Limit:
    """The most that a call may take, and when a task has to end.

    :param per_call: seconds that one call may take.
    :param end: when the task has to end, of ``time.monotonic()``; infinite where there is no such
        moment.
    """

    def __init__(self, per_call: float, end: float = math.inf) -> None:
        self.per_call = per_call
        self.end = end
        self._own = _Own()

    @contextlib.contextmanager
    def within(self, deadline: float) -> t.Iterator[None]:
        """Have the calls of this thread end at an earlier moment, as long as the context lasts.

        :param deadline: of ``time.monotonic()``; one behind the end of the task changes nothing.
        """
        before = self._own.end
        self._own.end = min(before, deadline)
        try:
            yield
        finally:
            self._own.end = before

    @property
    def deadline(self) -> float:
        """When this thread has to come to an end, of ``time.monotonic()``."""
        return min(self.end, self._own.end)

    def seconds(self) -> float:
        """What a call that begins now may take."""
        if _signals.ended():
            return min(self.per_call, _FAREWELL_SECONDS)
        return min(self.per_call, max(self.deadline - time.monotonic(), _CLEAN_UP_SECONDS))

    def finish(self) -> None:
        """The work is done: what still comes is to clean up."""
        self.end = min(self.end, time.monotonic())

    def over(self) -> bool:
        """Whether nothing is to be asked again: the time is over, or a signal has ended the run."""
        return _signals.ended() or time.monotonic() >= self.deadline

    def task_over(self) -> bool:
        """The same of the task as a whole: all that still comes is to clean up."""
        return _signals.ended() or time.monotonic() >= self.end


_MOST_IDLE = 64

# What nobody has used for so many seconds a firewall may have forgotten: a call over it would wait
# for an answer in vain.
_LONGEST_IDLE = 60.0

# What anybody may read of a vCenter; small, and no call.
VERSIONS_PATH = "/sdk/vimServiceVersions.xml"

# A server that has let a call go unanswered is tried so often, for so long each time, before it
# counts as gone.
_TRIES = 2
_LONGEST_TRY = 5.0


class ConnectionPool:
    """Hands out connections; safe for many threads.

    :param options: where to connect, and how to check who answers.
    :param limit: how long a use may take; None: as long as the options say.
    :param received: is called with the length of each piece of an answer.
    :raises ConnectionFailed: ``tls_ca_file`` when the CA file cannot be used.

    ``gone`` is set when the server does not answer at all any more: nothing is sent to it from then
    on.
    """

    def __init__(
        self,
        options: ConnectionOptions,
        limit: Limit | None = None,
        received: t.Callable[[int], None] = lambda _count: None,
    ) -> None:
        self._options = options
        self._received = received
        self.limit = limit or Limit(options.connection_timeout)
        self.gone = False
        self._context = tls.context_for(options)
        self._lock = threading.Lock()
        # Those that nobody uses, with the moments since when; the latest is the last.
        self._idle: list[tuple[http.client.HTTPSConnection, float]] = []
        self._halted = threading.Event()
        # Those in use, and sockets that are still being connected: for who breaks off what is under
        # way.
        self._busy: weakref.WeakSet[http.client.HTTPSConnection] = weakref.WeakSet()
        self._dialled: set[socket.socket] = set()

    def take(self) -> http.client.HTTPSConnection:
        """An open connection for one use by the caller alone, used before or new.

        :raises ConnectionFailed: none could be opened; nothing was sent.
        :raises NotAttempted: no call may begin at present.
        """
        if self._halted.is_set():
            raise NotAttempted("The run was ended before this call.", hint="Run again.")
        if self.gone:
            raise self._unanswering()
        until = time.monotonic() + self.limit.seconds()
        while True:
            with self._lock:
                connection, since = self._idle.pop() if self._idle else (None, 0.0)
            if connection is None:
                connection = self._open(until)
            elif time.monotonic() - since > _LONGEST_IDLE or not _quiet(connection):
                connection.close()
                continue
            tls.bound(connection.sock, until)
            with self._lock:
                self._busy.add(connection)
            if self._halted.is_set():  # since it was looked at
                tls.hang_up(connection.sock)
            return connection

    def give_back(self, connection: http.client.HTTPSConnection) -> None:
        """Keep a connection whose answer was read to its end.

        One that the server has closed is dropped.
        """
        with self._lock:
            self._busy.discard(connection)
            keep = connection.sock is not None and len(self._idle) < _MOST_IDLE
            if keep:
                self._idle.append((connection, time.monotonic()))
        if not keep:
            connection.close()

    def drop(self) -> None:
        """Close the connections that nobody uses."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection, _since in idle:
            connection.close()

    def break_off(self) -> None:
        """End all that is under way, at once."""
        with self._lock:
            open_sockets = [connection.sock for connection in self._busy if connection.sock is not None]
            open_sockets += self._dialled
        for sock in open_sockets:
            tls.hang_up(sock)

    @contextlib.contextmanager
    def halted(self, finish: t.Callable[[], None]) -> t.Iterator[None]:
        """Let no call begin, as long as the context lasts.

        :param finish: waits a while for the calls under way; those that have not ended by then are
            broken off.
        """
        self._halted.set()
        try:
            finish()
            self.break_off()
            yield
        finally:
            self._halted.clear()

    @property
    def are_halted(self) -> bool:
        """Whether no call may begin at present."""
        return self._halted.is_set()

    def pause(self, seconds: float) -> bool:
        """Let time pass; False, at once, when no call may begin any more."""
        return not self._halted.wait(seconds)

    def note_silence(self) -> None:
        """A call was not answered in time: find out whether the server is there at all.

        Sets ``gone``.
        """
        if self.gone or self._halted.is_set():
            return
        # Behind the end of the task there is no time to find out.
        self.gone = self.limit.task_over() or not any(self._answers() for _try in range(_TRIES))

    def _answers(self) -> bool:
        """Whether a new connection gets an answer, whatever it says."""
        try:
            connection = self._open(time.monotonic() + max(1.0, min(_LONGEST_TRY, self.limit.per_call / 6)))
        except ConnectionFailed:
            return False
        try:
            connection.request("GET", VERSIONS_PATH)
            connection.getresponse()
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()
        return True

    def _unanswering(self) -> ConnectionFailed:
        return ConnectionFailed(
            "connection_timeout",
            f"{self._options.endpoint} does not answer any more.",
            hint="Check network and vCenter, then run again: what was done is then found as done.",
        )

    def _open(self, until: float) -> http.client.HTTPSConnection:
        """A new connection, which has to be there at a moment of ``time.monotonic()``."""
        connection = tls.connected(self._options, self._context, lambda: _left(until), self._watched)
        connection.response_class = functools.partial(_CountedAnswer, self._received)  # type: ignore[assignment]
        tls.bound(connection.sock, until)
        return connection

    @contextlib.contextmanager
    def _watched(self, sock: socket.socket) -> t.Iterator[None]:
        """While a socket is being connected, ``break_off`` knows of it."""
        with self._lock:
            self._dialled.add(sock)
        try:
            yield
        finally:
            with self._lock:
                self._dialled.discard(sock)


class _CountedAnswer(http.client.HTTPResponse):
    """An answer whose length is counted as it is read, which pyVmomi does by ``read`` alone."""

    # For one that a signal ends while it is made: Python 3.13 and later print what fails at its close.
    fp = None  # type: ignore[assignment]

    def __init__(self, received: t.Callable[[int], None], *args: t.Any, **kwargs: t.Any) -> None:
        super().__init__(*args, **kwargs)
        self._received = received

    def read(self, amt: int | None = None) -> bytes:
        data = super().read(amt)
        self._received(len(data))
        return data


def _left(until: float) -> float:
    """Seconds until a moment of ``time.monotonic()``.

    :raises TimeoutError: nothing is left.
    """
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError("timed out")
    return left


def _quiet(connection: http.client.HTTPSConnection) -> bool:
    """Whether a connection waits for the next request.

    One with something to read was closed by the server meanwhile.
    """
    if connection.sock is None:
        return False
    poll = select.poll()
    poll.register(connection.sock, select.POLLIN)
    return not poll.poll(0)


_LONGEST_DESCRIPTION = 2**20

# Calls that may be sent a second time when the answer to the first was lost. They change nothing;
# or they make what ends with the session, and one that nobody uses costs nothing; or
# (WaitForUpdatesEx) they name the state that they continue from.
_REPEATABLE = frozenset(
    (
        "CancelTask",
        "ConvertNamespacePathToUuidPath",
        "CreateFilter",
        "CreateImportSpec",
        "CreatePropertyCollector",
        "CurrentTime",
        "EvcManager",
        "FindAllByUuid",
        "FindByInventoryPath",
        "FindChild",
        "HasPrivilegeOnEntities",
        "HttpNfcLeaseGetManifest",
        "InitiateFileTransferFromGuest",
        "InitiateFileTransferToGuest",
        "ListFilesInGuest",
        "ListProcessesInGuest",
        "ListTagsAttachedToVStorageObject",
        "ListVStorageObject",
        "PbmCheckCompatibility",
        "PbmQueryAssociatedProfiles",
        "PbmQueryProfile",
        "PbmRetrieveContent",
        "PbmRetrieveServiceContent",
        "QueryChangedDiskAreas",
        "QueryEvents",
        "RefreshStorageInfo",
        "RetrieveContent",
        "RetrievePropertiesEx",
        "RetrieveServiceContent",
        "RetrieveSnapshotDetails",
        "RetrieveSnapshotInfo",
        "RetrieveVStorageObject",
        "RetrieveVStorageObjectAssociations",
        "ValidateCredentialsInGuest",
        "VslmRetrieveVStorageObjects",
        "VstorageObjectVCenterQueryChangedDiskAreas",
        "WaitForUpdatesEx",
    )
)

# Of these, those of the catalogue of first class disks. It is a service of its own, and one that is
# not up, or hangs, is not waited for.
_OF_THE_CATALOGUE = frozenset(("RetrieveContent", "VslmRetrieveVStorageObjects"))

# Of these, besides, the one that vCenter is still busy with while its answer is late: whoever waits
# begins on another collector.
_NOT_WHILE_LATE = _OF_THE_CATALOGUE | {"WaitForUpdatesEx"}

# What may be sent again where a gateway has answered; besides, a login that nobody uses ends by
# itself.
_AFTER_A_GATEWAY = _REPEATABLE - _OF_THE_CATALOGUE | {"Login"}

# Without a deadline a late call is sent so often, and a vCenter that is not up is waited for so
# long.
_MOST_SENT = 3
_SECONDS_TO_START = 1.0

# Rounds of one long wait, which budgets of calls leave out.
_ROUNDS = frozenset(("WaitForUpdatesEx",))

_RUN_AGAIN = "Run again: what was done is then found as done."
_OLDER = "Where the vCenter is newer than the pyVmomi of the Python that the module runs with, update that."

# The session among the cookies of an answer, several of which stand in one line. It goes back as it
# came: with quotation marks or without.
_SESSION_COOKIE = re.compile(r'(?:^|[,;\s])vmware_soap_session=("[^";,\s]+"|[^";,\s]+)')

# SOAP has an answer with one, and a fault with the other.
_OF_SOAP = (http.client.OK, http.client.INTERNAL_SERVER_ERROR)

_LONGEST_REASON = 200

# What a gateway says that has too many calls, and for a service behind it that is not up.
_TOO_MANY = http.client.TOO_MANY_REQUESTS
LATER = (_TOO_MANY, http.client.BAD_GATEWAY, http.client.SERVICE_UNAVAILABLE, http.client.GATEWAY_TIMEOUT)


class CallStats:
    """How many SOAP calls were sent, by method, and how long the answers were; safe for many
    threads.

    :ivar received: bytes of all answers so far, as they come: compressed where the vCenter does so.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: collections.Counter[str] = collections.Counter()
        self._in_phases: collections.Counter[str] = collections.Counter()
        self.received = 0

    def add(self, method: str) -> None:
        """Count one call of ``method`` (its wire name)."""
        with self._lock:
            self._counts[method] += 1

    def receive(self, count: int) -> None:
        """Count bytes of an answer."""
        with self._lock:
            self.received += count

    @contextlib.contextmanager
    def phase(self, name: str) -> t.Iterator[None]:
        """Count the bytes that come in the block for a phase of the task, too."""
        before = self.received
        try:
            yield
        finally:
            self._in_phases[name] += self.received - before

    def summary(self) -> dict[str, t.Any]:
        """``total`` calls, ``update_rounds`` (waiting, not in the total), the counts ``by_method``,
        ``bytes_received`` and, of these, ``bytes_by_phase``.
        """
        with self._lock:
            counts = dict(sorted(self._counts.items()))
        rounds = sum(count for method, count in counts.items() if method in _ROUNDS)
        return {
            "total": sum(counts.values()) - rounds,
            "update_rounds": rounds,
            "by_method": counts,
            "bytes_received": self.received,
            "bytes_by_phase": dict(self._in_phases),
        }


class _Plainly:
    """A method whose answer is wanted as it came.

    :ivar method: pyVmomi's description of it; ``wsdlName`` and ``result`` are as there.
    """

    def __init__(self, method: t.Any) -> None:
        self.method = method
        self.wsdlName = method.wsdlName
        self.result = method.result


class _Reader(SoapAdapter.SoapResponseDeserializer):  # type: ignore[misc]
    """pyVmomi's reader of answers. It takes any XML for an answer without a result, also the page
    of a gateway, and the answer to another call for one to this; here it is noted what it was.

    :param method: vSphere's name of what was called.
    """

    is_answer = is_fault = False

    def __init__(self, stub: Stub, method: str) -> None:
        super().__init__(stub)
        # Behind its namespace.
        self._expected = f" {method}Response"

    def StartElementHandler(self, tag: str, attr: t.Any) -> None:  # noqa: N802 (pyVmomi's name)
        """Begin an element outside of what is returned."""
        self.is_answer = self.is_answer or tag.endswith(self._expected)
        self.is_fault = self.is_fault or tag == self.soapFaultTag
        super().StartElementHandler(tag, attr)


def _is_needed(info: t.Any) -> bool:
    """Whether a call returns a managed object, as a task, and always one."""
    optional = info.resultFlags & VmomiSupport.F_OPTIONAL
    return not optional and issubclass(info.result, vim.ManagedObject)


def _unpacked(body: bytes) -> bytes:
    """:raises http.client.HTTPException: it is not compressed as it says."""
    import gzip

    try:
        return gzip.decompress(body)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise http.client.HTTPException(f"a body that cannot be decompressed ({error})") from error


class Stub(SoapStubAdapter):  # type: ignore[misc]
    """The way to one vCenter.

    :param options: where and how to connect.
    :param stats: where calls are counted.
    :param limit: how long calls may take; None: as long as the options say.
    :param connections: to share those of another stub.
    :raises VforgeError: every method does, and nothing else.

    ``connections`` are those to the server. ``session_id`` is the session that calls are made in, as
    the cookie has it, None for none. ``GetSessionId`` returns the one that the server gave last,
    which is another where the server answers a dead session with the offer of a new one; a stub of
    its own makes each login, so that such an offer to one thread never takes the session of the
    others away.
    """

    def __init__(
        self,
        options: ConnectionOptions,
        stats: CallStats,
        limit: Limit | None = None,
        connections: ConnectionPool | None = None,
    ) -> None:
        self._options = options
        self.connections = connections or ConnectionPool(options, limit, stats.receive)
        self.stats = stats
        self.session_id: str | None = None
        super().__init__(
            host=options.hostname,
            port=options.port,
            path="/sdk",
            version=VmomiSupport.versionMap[versions.OLDEST],
        )

    @property
    def cookie(self) -> str:
        """The header ``Cookie`` of calls."""
        return f"vmware_soap_session={self.session_id}" if self.session_id else ""

    @cookie.setter
    def cookie(self, value: str) -> None:
        """Note the session that the ``Set-Cookie`` of an answer offers, for ``GetSessionId``; only a
        login takes it.
        """
        found = _SESSION_COOKIE.search(value)
        if found is not None:
            self.sessionId = found[1]  # pylint: disable=invalid-name,attribute-defined-outside-init

    @property
    def session_key(self) -> str:
        """The session as other services of the vCenter want it named; empty for none."""
        return (self.session_id or "").strip('"')

    def for_login(self) -> Stub:
        """A stub without a session, over the same connections."""
        return Stub(self._options, self.stats, connections=self.connections)

    def beside(self, path: str, version: str) -> Stub:
        """The way to another service of the same server, over the same connections, with the same
        counts.

        :param version: of pyVmomi, such as ``pbm.version.version2``.
        """
        stub = self.for_login()
        stub.path = path
        stub.ComputeVersionInfo(version)
        return stub

    def negotiate(self) -> str:
        """Ask which versions the server speaks, and use the newest that pyVmomi knows too.

        This is no SOAP call.

        A vCenter that is starting is asked again, as long as the task has time.

        :returns: what speaks against a vCenter, where the server has no description of versions, and
            so the oldest version is used; empty otherwise.
        :raises ConnectionFailed: also when what answers is no vCenter, or one that is not up yet.
        """
        waits = StartingWait(self.connections)
        while True:
            status, reason, document = self._ask_for_versions()
            if status not in LATER:
                break
            if not waits.begin():
                raise unavailable(not_now(self._options, status, reason))
        why = f"answers {status} {reason} when asked for its API versions"
        if status == http.client.NOT_FOUND:
            return why
        if status != http.client.OK:
            raise not_a_vcenter(self._options, why)
        version = versions.offered(document)
        if version is None:
            raise not_a_vcenter(self._options, "answers, but not as vSphere does")
        self.speak(version)
        return ""

    def _ask_for_versions(self) -> tuple[int, str, bytes]:
        """Status, reason and body of the answer."""
        begun = time.monotonic()
        connection = self.connections.take()
        try:
            connection.request("GET", VERSIONS_PATH)
            answer = connection.getresponse()
            document = answer.read(_LONGEST_DESCRIPTION)
        except OSError as error:
            connection.close()
            raise tls.failure(error, self._options, round(time.monotonic() - begun)) from error
        except http.client.HTTPException as error:
            connection.close()
            raise not_a_vcenter(self._options, f"does not speak HTTP ({type(error).__name__})") from error
        if answer.isclosed():
            self.connections.give_back(connection)
        else:
            connection.close()
        return answer.status, answer.reason[:_LONGEST_REASON], document

    def speak(self, api_version: str) -> None:
        """Use the newest version that both the server (``8.0.3.0``) and pyVmomi know."""
        self.ComputeVersionInfo(VmomiSupport.versionMap[versions.newest_common(api_version, VmomiSupport.versionMap)])

    def GetConnection(self) -> t.Any:  # noqa: N802 (pyVmomi's name)
        """A connection of the pool, or a new one.

        :raises ConnectionFailed: nothing was sent.
        :raises NotAttempted: likewise, since the run is being ended.
        """
        return self.connections.take()

    def ReturnConnection(self, conn: t.Any) -> None:  # noqa: N802
        """Give a connection back to the pool."""
        self.connections.give_back(conn)

    def DropConnections(self) -> None:  # noqa: N802
        """Close the connections that no call uses."""
        self.connections.drop()

    def InvokeMethod(self, mo: t.Any, info: t.Any, args: t.Any, outerStub: t.Any = None) -> t.Any:  # noqa: N802, N803
        """Send one call.

        One that may be repeated is sent again when the connection broke, and as long as the
        deadline allows when its answer is late or a gateway says that the vCenter is not up; each
        time over another connection.

        :raises Fault: vCenter refused it.
        :raises SessionExpired: it was not carried out, for want of a session.
        :raises ConnectionLost: it may have been carried out; CallTimedOut and Unavailable are kinds
            of it.
        :raises ConnectionFailed: it was not sent.
        :raises InvalidOption: it cannot be sent.
        """
        name = info.wsdlName
        waits = StartingWait(self.connections)
        sent = broken = 0
        while True:
            sent += 1
            try:
                return self._invoke(mo, info, args, outerStub)
            except CallTimedOut:
                self.connections.note_silence()
                if name not in _REPEATABLE or name in _NOT_WHILE_LATE or not self._may_ask_again(sent):
                    raise
            except Unavailable:
                if name not in _AFTER_A_GATEWAY or not waits.begin():
                    raise
            except ConnectionLost as error:
                broken += 1
                same_again = isinstance(error, StrangeAnswer) and error.is_newer
                if name not in _REPEATABLE or broken > 1 or same_again:
                    raise

    def ask_plainly(self, mo: t.Any, info: t.Any, args: t.Any) -> bytes:
        """The answer to a call as it came, for who reads it himself; otherwise as ``InvokeMethod``."""
        return t.cast(bytes, self.InvokeMethod(mo, _Plainly(info), args))

    def _exchange(self, request: bytes) -> tuple[int, str, bytes]:
        """Send a request once; status, reason and body of the answer.

        :raises OSError, http.client.HTTPException: as they come.
        """
        headers = {
            "Cookie": self.cookie,
            "SOAPAction": self.versionId,
            "Content-Type": "text/xml; charset=UTF-8",
            "Accept-Encoding": "gzip",
            "User-Agent": "vforge.vsphere",
        }
        connection = self.GetConnection()
        try:
            connection.request("POST", self.path, request, headers)
            answer = connection.getresponse()
            body = answer.read()
        except (OSError, http.client.HTTPException):
            connection.close()
            self.DropConnections()
            raise
        except BaseException:
            connection.close()
            raise
        if answer.status in _OF_SOAP:
            self.ReturnConnection(connection)
        else:
            connection.close()
        self.cookie = answer.getheader("Set-Cookie", "")
        if answer.getheader("Content-Encoding", "").lower() in ("gzip", "x-gzip"):
            body = _unpacked(body)
        return answer.status, answer.reason[:_LONGEST_REASON], body

    def _answer(self, info: t.Any, status: int, body: bytes) -> t.Any:
        """What an answer returns, for pyVmomi's objects or as it came.

        :raises vmodl.MethodFault: it is a fault.
        :raises Fault: it is one that pyVmomi does not know.
        :raises StrangeAnswer: it is none of vSphere.
        """
        if isinstance(info, _Plainly) and status == http.client.OK:
            return body
        reader = _Reader(self, info.wsdlName)
        try:
            # As a file: of bytes pyVmomi does not notice that their end is missing.
            answer = reader.Deserialize(io.BytesIO(body), info.result)
        except xml.parsers.expat.ExpatError as error:
            raise self._strange(info, str(error)) from error
        except (KeyError, AttributeError, TypeError, ValueError) as error:
            # A type, a property or a value that pyVmomi does not know.
            unknown = faults.unknown_fault(body) if reader.is_fault else None
            strange = self._strange(info, str(error), _OLDER)
            strange.is_newer = True
            raise unknown or strange from error
        if isinstance(answer, vmodl.MethodFault):
            raise answer  # also one that came with status 200
        if status != http.client.OK:
            raise self._strange(info, f"status {status} without a fault")
        if not reader.is_answer:
            raise self._strange(info, "its XML is no answer to this call")
        if answer is None and _is_needed(info):
            raise self._strange(info, f"no {faults.kind_name(info.result)}")
        return answer

    def _may_ask_again(self, sent: int) -> bool:
        limit = self.connections.limit
        without_end = math.isinf(limit.deadline)
        return not self.connections.gone and not limit.over() and not (without_end and sent >= _MOST_SENT)

    def _invoke(self, mo: t.Any, info: t.Any, args: t.Any, _outer: t.Any) -> t.Any:
        """Send a call once."""
        begun = time.monotonic()
        self.stats.add(info.wsdlName)
        try:
            request = self.SerializeRequest(mo, info.method if isinstance(info, _Plainly) else info, args)
            status, reason, body = self._exchange(request)
            if status not in _OF_SOAP:
                raise self._no_soap(info, status, reason)
            return self._answer(info, status, body)
        except StrangeAnswer:
            self.DropConnections()  # another one may lead to the vCenter
            raise
        except vmodl.MethodFault as fault:
            raise faults.translate(fault) from fault
        except TimeoutError as error:
            raise self._late(info, round(time.monotonic() - begun)) from error
        except UnicodeEncodeError as error:
            raise InvalidOption("An option has a character that cannot be sent: half of a surrogate pair.") from error
        except OSError as error:
            raise self._lost(info, f"broke the connection ({error.strerror or error})") from error
        except http.client.IncompleteRead as error:
            raise self._lost(info, "broke its answer off") from error
        except http.client.HTTPException as error:
            raise self._strange(info, str(error) or type(error).__name__) from error

    def _late(self, info: t.Any, seconds: int) -> CallTimedOut:
        # A call may take no more than what is left of the task's time.
        option = "timeout" if seconds < self._options.connection_timeout else "connection_timeout"
        return CallTimedOut(
            f"{self._options.endpoint} did not answer {info.wsdlName} within {seconds} s.",
            hint=f"Raise {option} if the vCenter is slow. Run again: what was done is then found as done.",
        )

    def _lost(self, info: t.Any, what: str) -> ConnectionLost:
        return ConnectionLost(f"{self._options.endpoint} {what} during {info.wsdlName}.", hint=_RUN_AGAIN)

    def _no_soap(self, info: t.Any, status: int, reason: str) -> ConnectionLost:
        if status in LATER:
            return not_now(self._options, status, reason, f", during {info.wsdlName}")
        return self._strange(info, f"{status} {reason}".strip())

    def _strange(self, info: t.Any, what: str, hint: str = "") -> StrangeAnswer:
        return StrangeAnswer(
            f"{self._options.endpoint} did not answer {info.wsdlName} as vSphere does ({what}).",
            hint=f"{hint} {_RUN_AGAIN}".strip(),
        )


def not_a_vcenter(options: ConnectionOptions, why: str) -> ConnectionFailed:
    """The error for an address behind which there is no vCenter."""
    return ConnectionFailed(
        "not_a_vcenter",
        f"{options.endpoint} is not a vCenter: it {why}.",
        hint="Set hostname and port to those of a vCenter Server.",
    )


def unavailable(error: Unavailable) -> ConnectionFailed:
    """The error for a vCenter that cannot be connected to since its service is not up."""
    return ConnectionFailed("vcenter_unavailable", error.message, hint=error.hint)


def not_now(options: ConnectionOptions, status: int, reason: str, during: str = "") -> Unavailable:
    """The error for a gateway that answers for the vCenter."""
    said = f"({status} {reason})".replace(" )", ")")
    if status == _TOO_MANY:
        return Unavailable(
            f"{options.endpoint} takes no more calls at present {said}{during}.",
            hint="Run again later, or with a lower parallel: what was done is then found as done.",
        )
    return Unavailable(
        f"{options.endpoint} answers, but its vCenter service does not {said}{during}.",
        hint="Wait until the vCenter has started; its management page (port 5480) shows its health. Then run again: what was "
        "done is found as done.",
    )


class StartingWait:
    """Waits for a vCenter that is starting, ever longer, as long as the task has time.

    A moment where it has no deadline.

    :param connections: to the vCenter.
    """

    def __init__(self, connections: ConnectionPool) -> None:
        self._connections = connections
        self._waits: Backoff | None = None

    def begin(self) -> bool:
        """Let time pass until the next question; False, at once, when there is to be none."""
        limit, now = self._connections.limit, time.monotonic()
        if limit.over():
            return False
        if self._waits is None:
            end = now + _SECONDS_TO_START if math.isinf(limit.deadline) else limit.deadline
            self._waits = Backoff(end, first=0.5, longest=10.0)
        rest = self._waits.pause(now)
        return rest is not None and self._connections.pause(rest)
