# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""HTTP that is not SOAP: sources of packages, and the files of guests and disks, which go to the
ESXi hosts.

All of it goes through one Client, by the library requests: one TLS context that is checked on every
connection, one clock for everything that is waited for, and one place that decides where a
redirection may lead and who gets credentials.
"""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import math
import socket
import ssl
import threading
import time
import typing as t
import urllib.parse
import weakref

from .._errors import ConnectionFailed, ConnectionLost
from . import tls

if t.TYPE_CHECKING:
    from .options import ConnectionOptions

# More than any real server needs.
_MOST_REDIRECTIONS = 10
_REDIRECTIONS = (301, 302, 303, 307, 308)

# Bytes that are read at once of what is not kept whole.
_PIECE = 64 * 1024

_LONGEST_REASON = 200

_BROKEN_OFF = "the connection was closed in mid-file"


@dataclasses.dataclass(frozen=True)
class Clock:
    """How long may be waited.

    :ivar silence: seconds without a byte.
    :ivar deadline: the end of all waiting, of ``time.monotonic()``.
    :ivar receiving: seconds without a byte where one is to come from the server; None: as
        ``silence``.
    """

    silence: float
    deadline: float = math.inf
    receiving: float | None = None

    def left(self) -> float:
        """Seconds that the next operation may take.

        :raises TimeoutError: none are left.
        """
        return self._until_deadline(self.silence)

    def left_to_receive(self) -> float:
        """The same for one that takes bytes from the server."""
        return self._until_deadline(self.silence if self.receiving is None else self.receiving)

    def _until_deadline(self, most: float) -> float:
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the deadline has passed")
        return min(most, left)

    def over(self) -> bool:
        """Whether the deadline has passed."""
        return time.monotonic() >= self.deadline


class Stop:
    """Breaks transfers off at once, those too that wait for a host which is slow to take or to
    answer.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._set = threading.Event()
        # An answer is still read after its connection was closed, so the end of a socket is when
        # nobody has it any more.
        self._open: weakref.WeakSet[socket.socket] = weakref.WeakSet()

    def set(self) -> None:
        """Break off what runs, and let nothing begin."""
        with self._lock:
            self._set.set()
            for sock in self._open:
                tls.hang_up(sock)

    def clear(self) -> None:
        """Let transfers begin again, after those that were broken off have ended."""
        self._set.clear()

    def is_set(self) -> bool:
        """Whether it was."""
        return self._set.is_set()

    def wait(self, seconds: float) -> bool:
        """Let time pass, unless it is set before; returns whether it is."""
        return self._set.wait(seconds)

    def hold(self, sock: socket.socket) -> None:
        """Let it break this connection, from before it is made until it is closed."""
        with self._lock:
            self._open.add(sock)
            if self._set.is_set():
                tls.hang_up(sock)


class Stops(threading.Event):
    """Is set when a task ends early, and breaks off the transfers that were begun under it."""

    def __init__(self) -> None:
        super().__init__()
        self._stops: list[Stop] = []

    def stop(self) -> Stop:
        """A new one, for the transfers of one item."""
        stop = Stop()
        self._stops.append(stop)
        if self.is_set():
            stop.set()
        return stop

    def set(self) -> None:
        """Break all off."""
        super().set()
        for stop in self._stops:
            stop.set()


class WebError(Exception):
    """A request that came to no answer. Callers turn it into an error for the user.

    :ivar why: what went wrong, for a message; never holds a secret.
    :ivar cause: the error of the connection.
    """

    def __init__(self, why: str, cause: Exception | None = None) -> None:
        super().__init__(why)
        self.why = why
        self.cause = cause


class NotConnected(WebError):
    """There is no connection; nothing was sent."""


class Broken(WebError):
    """The connection broke; the server may or may not have done what it was asked for."""


class Late(WebError):
    """The deadline has passed; ``why`` says while what was waited for, and from whom."""


class RedirectionRefused(WebError):
    """The server redirects to where it must not be followed."""


class Answer:
    """What a server answers; the body is read as it comes.

    :ivar url: the address that answered, behind all redirections.
    :ivar certificate: of the server, which was checked; None without TLS.
    """

    def __init__(self, response: t.Any, clock: Clock, url: str) -> None:
        self._response = response
        self._clock = clock
        self._what = without_secrets(url)
        self.url = url
        self.status: int = response.status_code
        self.reason: str = str(response.reason or "")[:_LONGEST_REASON]
        self.headers: t.Mapping[str, str] = response.headers
        self.certificate: bytes | None = getattr(response.raw.connection, "certificate", None)

    def readinto(self, buffer: memoryview) -> int:
        """Fill the buffer from its start; returns how far. 0 is the end.

        :raises Broken: the connection broke.
        :raises Late: the deadline passed.
        """
        data = self._read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def read(self, most: int | None = None) -> bytes:
        """The body, or as much of it.

        :raises Broken: the connection broke, or the body is longer than ``most``.
        :raises Late: the deadline passed.
        """
        data = self._read(None if most is None else most + 1)
        if most is not None and len(data) > most:
            raise Broken(f"more than {most} bytes came")
        self._check_length(len(data))
        return data

    def end(self, most: int) -> bytes:
        """The last bytes of the body, as many at most; no more than that is kept.

        Raises as ``read``.
        """
        kept, came = b"", 0
        while piece := self._read(_PIECE):
            kept, came = (kept + piece)[-most:], came + len(piece)
        self._check_length(came)
        return kept

    def _check_length(self, came: int) -> None:
        # One that is no number, or comes with chunks, says nothing (RFC 9112, 6.3).
        announced = self.headers.get("Content-Length", "").strip()
        if announced.isdecimal() and "Transfer-Encoding" not in self.headers and int(announced) != came:
            raise Broken(_BROKEN_OFF)

    def _read(self, most: int | None) -> bytes:
        from . import adapter

        try:
            data: bytes = self._response.raw.read(most, decode_content=False)
        except adapter.FAILURES as error:
            if self._clock.over():
                raise Late(f"reading {self._what}", error) from error
            raise Broken(_why(error), _innermost(error)) from error
        return data

    def close(self) -> None:
        """Read no more; a body that was read to its end leaves its connection for the next request."""
        self._response.close()


class Client:
    """Makes requests; safe for many threads.

    :param context: for TLS. It belongs to the client from now on.
    :param proxies: the proxies for an address, by scheme, such as ``environment_proxies`` returns;
        None: there are none.
    :param stop: to break off what is under way.
    :raises MissingLibrary: requests is not there.
    """

    def __init__(
        self,
        context: ssl.SSLContext,
        clock: Clock,
        proxies: t.Callable[[str], dict[str, str]] | None = None,
        stop: Stop | None = None,
    ) -> None:
        from . import adapter

        adapter.require()
        self.clock = clock
        self._proxies = proxies or (lambda _url: {})
        self._session = adapter.session(context, clock, stop or Stop())

    def send(self, method: str, url: str, headers: t.Mapping[str, str], body: t.Any = None) -> Answer:
        """Make one request; a redirection is an answer like every other.

        :param body: bytes, or what yields bytes and has their number by ``len``: each part is
            sent before the next is asked for, and what it raises comes through.
        :raises NotConnected: nothing was sent.
        :raises Broken: the connection broke.
        :raises Late: the deadline passed.
        """
        from . import adapter

        host, what = host_of(url), without_secrets(url)
        try:
            # Verified by the context; what is said here is said for each request, since requests
            # lets the environment overrule what a session says.
            response = self._session.request(
                method,
                url,
                headers=headers,
                data=body,
                stream=True,
                verify=True,
                proxies=self._proxies(url),
            )
        except adapter.NoConnection as error:
            cause = t.cast(Exception, error.__cause__)
            if self.clock.over():
                raise Late(f"connecting to {host}", cause) from error
            raise NotConnected(_why(cause), cause) from error
        except adapter.FAILURES as error:
            if self.clock.over():
                raise Late(f"waiting for {host} to answer ({method} {what})", error) from error
            raise Broken(_why(error), _innermost(error)) from error
        return Answer(response, self.clock, url)

    def get(self, url: str, headers: t.Mapping[str, str], credentials: t.Mapping[str, str]) -> Answer:
        """Ask for a file, and follow where the server redirects to.

        :param credentials: headers for the server of the address alone. Once it was left for
            another one they are not sent any more, also not when that one leads back.
        :raises RedirectionRefused: to another scheme than http and https, from https to http, or
        too often. Else as for ``send``. A GET changes nothing, so one whose connection broke before
        an answer came is sent once more.
        """
        for _hop in range(_MOST_REDIRECTIONS + 1):
            answer = self._get({**headers, **credentials}, url)
            location = answer.headers.get("Location")
            if answer.status not in _REDIRECTIONS or location is None:
                return answer
            answer.close()
            onward = _followed(url, location)
            if _origin(onward) != _origin(url):
                credentials = {}
            url = onward
        raise RedirectionRefused(f"redirects more than {_MOST_REDIRECTIONS} times, the last time to {without_secrets(url)}")

    def _get(self, headers: t.Mapping[str, str], url: str) -> Answer:
        try:
            return self.send("GET", url, headers)
        except Broken as error:
            if isinstance(error.cause, TimeoutError):
                raise
            return self.send("GET", url, headers)

    def close(self) -> None:
        """Close the connections that nobody uses."""
        self._session.close()


def environment_proxies(url: str) -> dict[str, str]:
    """The proxy that the environment names for an address (``http_proxy``, ``https_proxy``,
    ``no_proxy``), by scheme; empty where there is none.

    :raises NotConnected: it is no HTTP proxy.
    """
    from . import adapter

    found = adapter.environment_proxies(url)
    for scheme, proxy in found.items():
        kind, is_url, _rest = proxy.partition("://")
        if is_url and kind.lower() not in ("http", "https"):
            raise NotConnected(
                f"{scheme}_proxy in the environment names a proxy of the kind {kind}, and it has to be an HTTP one"
            )
    return found


def without_secrets(url: str) -> str:
    """An address for messages: without user and password, and without its query, which may be a
    secret that somebody signed.
    """
    parts = urllib.parse.urlsplit(url)
    return urllib.parse.urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def host_of(url: str) -> str:
    """``host:port`` of an address, for messages."""
    _scheme, host, port = _origin(url)
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def same_server(one: str, other: str) -> bool:
    """Whether two addresses lead to one server, by the same scheme: it may get the same
    credentials.
    """
    return _origin(one) == _origin(other)


def _origin(url: str) -> tuple[str, str, int]:
    parts = urllib.parse.urlsplit(url)
    return (
        parts.scheme.lower(),
        parts.hostname or "",
        parts.port or (443 if parts.scheme.lower() == "https" else 80),
    )


def _followed(url: str, location: str) -> str:
    """Where a redirection leads.

    :raises RedirectionRefused: it must not be followed.
    """
    # A header is read as ISO 8859-1; what was meant are the bytes.
    quoted = urllib.parse.quote(location.encode("latin-1", "replace"), safe="%/:=&?~#+!$,;'@()*[]")
    try:
        onward = urllib.parse.urldefrag(urllib.parse.urljoin(url, quoted)).url
        old, (new, host, _port) = urllib.parse.urlsplit(url).scheme.lower(), _origin(onward)
    except ValueError:
        raise RedirectionRefused("redirects to what is no address") from None
    if new not in ("http", "https") or (old == "https" and new != "https"):
        raise RedirectionRefused(f"redirects to {without_secrets(onward)}, which is not protected by TLS")
    if not host or "@" in urllib.parse.urlsplit(onward).netloc:
        raise RedirectionRefused("redirects to an address without a host, or with a user in it")
    return onward


def _innermost(error: BaseException) -> Exception:
    """The error of the connection itself, of those that libraries have wrapped around it."""
    while True:
        inner = [error.__cause__, getattr(error, "reason", None), *error.args]
        found = next((one for one in inner if isinstance(one, Exception)), None)
        if found is None:
            return t.cast(Exception, error)
        error = found


def _why(error: Exception) -> str:
    """What went wrong. Messages of libraries are left out: some quote headers and addresses."""
    inner = _innermost(error)
    if isinstance(inner, TimeoutError):
        return "no byte came for too long"
    if isinstance(inner, http.client.IncompleteRead):
        return _BROKEN_OFF
    if isinstance(inner, http.client.RemoteDisconnected):
        return "the connection was closed without an answer"
    if isinstance(inner, OSError) and inner.strerror:
        return inner.strerror
    if tls.PROXY_REFUSED in str(inner):
        return f"the proxy refuses: {str(inner).partition(tls.PROXY_REFUSED)[2]}"[:_LONGEST_REASON]
    return type(inner).__name__


# The thumbprint of a host is no option: vCenter has it.
_OTHER_CERTIFICATE = (
    "vCenter knows another certificate of this host. If it was renewed on purpose, connect the host to vCenter again; if not, "
    "something else answers in its place."
)


class TransferRefused(ConnectionLost):
    """The host answered a transfer with something else than success.

    Nothing, or a part, was carried.
    """


class Host:
    """What a URL leads to that vSphere hands out: an ESXi host, with a certificate of its own, or
    the vCenter itself.

    ``*`` for the host means the server that the client is connected to (API reference,
    FileTransferInformation.url).

    :param options: of the vCenter; they say through which proxy, and how long may be waited for a
        byte.
    :param pin: digest of the certificate of the ESXi host, as ``tls.pinned`` takes it. It is not
        used where the URL is the vCenter's own.
    :param clock: how long the transfer may take.
    :raises ConnectionFailed: it leads to a host whose certificate is not known.
    """

    def __init__(
        self,
        options: ConnectionOptions,
        url: str,
        pin: str | None,
        clock: Clock,
        stop: Stop | None = None,
    ) -> None:
        self._where = where = _reached(options, url, pin)
        self._is_vcenter = where is options
        parts = urllib.parse.urlsplit(url)
        self._url = urllib.parse.urlunsplit(("https", where.authority, parts.path, parts.query, ""))
        self._client = Client(tls.context_for(where), clock, lambda _url: where.proxies, stop)

    def send(
        self,
        method: str,
        headers: t.Mapping[str, str],
        body: t.Any = None,
        most: int | None = None,
        end: int | None = None,
    ) -> bytes:
        """Carry a file, and return what the host answers.

        :param body: as for ``Client.send``.
        :param most: bytes of the answer; a longer one is an error.
        :param end: bytes of the answer that are returned, its last ones, however long it is.
        :raises ConnectionFailed: the host cannot be reached, or is not the one; nothing was sent.
        :raises ConnectionLost: it may or may not have got the file.
        :raises TransferRefused: it has not taken, or not given, the file.
        :raises Late: the deadline passed.
        """
        with self._answering():
            answer = self._client.send(method, self._url, headers, body)
            data = answer.read(most) if end is None else answer.end(end)
        self._check(answer)
        return data

    @contextlib.contextmanager
    def receiving(self, headers: t.Mapping[str, str]) -> t.Iterator[Answer]:
        """Ask for a file of any size, which the block reads from the answer as it comes.

        Raises as ``send``, also for what breaks while the block reads.
        """
        with self._answering():
            answer = self._client.send("GET", self._url, headers)
            try:
                self._check(answer)
                yield answer
            finally:
                answer.close()

    @contextlib.contextmanager
    def _answering(self) -> t.Iterator[None]:
        """Say of what goes wrong in the block whose server it is."""
        where = self._where
        try:
            yield
        except NotConnected as error:
            cause = error.cause if isinstance(error.cause, OSError) else OSError(f"the answer was no HTTP: {error.why}")
            failure = tls.failure(cause, where)
            if isinstance(cause, tls.ThumbprintMismatch) and not self._is_vcenter:
                failure.hint = _OTHER_CERTIFICATE
            raise failure from error
        except Broken as error:
            raise ConnectionLost(f"{where.endpoint} broke the transfer off ({error.why}).", hint="Run again.") from error
        finally:
            self._client.close()

    def _check(self, answer: Answer) -> None:
        if not 200 <= answer.status < 300:
            reason = f"{answer.status} {answer.reason}"
            raise TransferRefused(
                f"{self._where.endpoint} refused the transfer ({reason}).",
                hint="Run again.",
                status=answer.status,
            )


def put(options: ConnectionOptions, url: str, data: bytes, pin: str | None) -> None:
    """Send a small file; parameters as for ``Host``.

    :raises ConnectionFailed: the host cannot be reached, or is not the one; nothing was sent.
    :raises ConnectionLost: it may or may not have got the file.
    """
    _small(options, "PUT", url, data, pin, None)


def get(
    options: ConnectionOptions,
    url: str,
    pin: str | None,
    most: int | None = None,
    *,
    end: int | None = None,
) -> bytes:
    """Receive a small file; parameters and errors as for ``put``.

    :param most: the bytes that are taken; a longer file is an error.
    :param end: the bytes that are kept of a file that may be long, its last ones.
    """
    return _small(options, "GET", url, None, pin, most, end)


def _small(
    options: ConnectionOptions,
    method: str,
    url: str,
    data: bytes | None,
    pin: str | None,
    most: int | None,
    end: int | None = None,
) -> bytes:
    # connection_timeout is for one request, and this is one.
    seconds = options.connection_timeout
    host = Host(options, url, pin, Clock(seconds, time.monotonic() + seconds))
    try:
        return host.send(method, {}, data, most, end)
    except Late as late:
        raise ConnectionLost(
            f"The transfer was broken off after {seconds} s ({late.why}).",
            hint="Raise connection_timeout if the host is slow.",
        ) from late


def _server_of(url: str) -> tuple[str, int]:
    """Host and port of an address that vCenter hands out.

    :raises ConnectionFailed: it has none.
    """
    with contextlib.suppress(ValueError):
        parts = urllib.parse.urlsplit(url)
        if parts.scheme == "https" and parts.hostname:
            return parts.hostname, parts.port or 443
    raise ConnectionFailed(
        "transfer_url",
        "vCenter handed out no HTTPS address for the transfer.",
        hint="Run again; if it happens again, look in the vCenter at the state and the address of the host.",
    )


def _reached(options: ConnectionOptions, url: str, pin: str | None) -> ConnectionOptions:
    host, port = _server_of(url)
    if host == "*" or options.leads_to(host, port):
        return options
    if pin is None and options.thumbprint is not None:
        raise ConnectionFailed(
            "host_certificate_unknown",
            f"vCenter does not show the certificate of the ESXi host {host}, so nothing is sent to it.",
            hint="Give the user the right to read the configuration of the host, or set ca_path in place of thumbprint.",
        )
    # Without a digest its certificate is verified as the vCenter's is: "Empty if no SSL thumbprint
    # is available or needed" (API reference, HttpNfcLeaseDeviceUrl.sslThumbprint).
    return dataclasses.replace(options, hostname=host, port=port, thumbprint=pin)
