# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Connections to one vCenter, kept open between calls.

Every one makes its own TLS handshake under the same checked context, and no byte is sent before it is checked. Each use of
one is bounded as a whole: a server that sends a byte now and then cannot draw it out.
"""

from __future__ import annotations

import contextlib
import http.client
import select
import socket
import threading
import time
import typing as t
import weakref

from .._errors import ConnectionFailed, NotAttempted
from . import tls
from .limit import Limit
from .options import ConnectionOptions

_MOST_IDLE = 64

# What anybody may read of a vCenter; small, and no call.
VERSIONS_PATH = "/sdk/vimServiceVersions.xml"

# A server that has let a call go unanswered is tried so often, for so long each time, before it counts as gone.
_TRIES = 2
_LONGEST_TRY = 5.0


class ConnectionPool:
    """Hands out connections; safe for many threads.

    :param options: where to connect, and how to check who answers.
    :param limit: how long a use may take; None: as long as the options say.
    :raises ConnectionFailed: ``tls_ca_file`` when the CA file cannot be used.

    ``gone`` is set when the server does not answer at all any more: nothing is sent to it from then on.
    """

    def __init__(self, options: ConnectionOptions, limit: Limit | None = None) -> None:
        self._options = options
        self.limit = limit or Limit(options.connection_timeout)
        self.gone = False
        self._context = tls.context_for(options)
        self._lock = threading.Lock()
        self._idle: list[http.client.HTTPSConnection] = []
        self._halted = threading.Event()
        # Those in use, and sockets that are still being connected: for who breaks off what is under way.
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
                connection = self._idle.pop() if self._idle else None
            if connection is None:
                connection = self._open(until)
            elif not _quiet(connection):
                connection.close()
                continue
            tls.bound(connection.sock, until)
            with self._lock:
                self._busy.add(connection)
            if self._halted.is_set():  # since it was looked at
                hang_up(connection.sock)
            return connection

    def give_back(self, connection: http.client.HTTPSConnection) -> None:
        """Keep a connection whose answer was read to its end; one that the server has closed is dropped."""
        with self._lock:
            self._busy.discard(connection)
            keep = connection.sock is not None and len(self._idle) < _MOST_IDLE
            if keep:
                self._idle.append(connection)
        if not keep:
            connection.close()

    def drop(self) -> None:
        """Close the connections that nobody uses."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def break_off(self) -> None:
        """End all that is under way, at once."""
        with self._lock:
            open_sockets = [connection.sock for connection in self._busy if connection.sock is not None]
            open_sockets += self._dialled
        for sock in open_sockets:
            hang_up(sock)

    @contextlib.contextmanager
    def halted(self, finish: t.Callable[[], None]) -> t.Iterator[None]:
        """Let no call begin, as long as the context lasts.

        :param finish: waits a while for the calls under way; those that have not ended by then are broken off.
        """
        self._halted.set()
        try:
            finish()
            self.break_off()
            yield
        finally:
            self._halted.clear()

    def pause(self, seconds: float) -> bool:
        """Let time pass; False, at once, when no call may begin any more."""
        return not self._halted.wait(seconds)

    def note_silence(self) -> None:
        """A call was not answered in time: find out whether the server is there at all. Sets ``gone``."""
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
        options = self._options
        host, port = options.hostname, options.port
        if options.proxy_host and options.proxy_port:
            host, port = options.proxy_host, options.proxy_port
        connection = http.client.HTTPSConnection(host, port, context=self._context)
        # The hook of http.client for the socket; its own gives each address of a name the whole time.
        connection._create_connection = lambda *_where: self._dial(host, port, until)  # type: ignore[attr-defined]
        if options.proxy_host:
            connection.set_tunnel(options.hostname, options.port)
        begun = time.monotonic()
        try:
            connection.connect()
        except OSError as error:
            connection.close()
            raise tls.failure(error, options, seconds=round(time.monotonic() - begun)) from error
        except http.client.HTTPException as error:
            # The proxy answered with something that is not HTTP.
            connection.close()
            raise tls.failure(OSError(f"the answer was no HTTP: {type(error).__name__}"), options) from error
        tls.bound(connection.sock, until)
        return connection

    def _dial(self, host: str, port: int, until: float) -> socket.socket:
        """Connect to the first address that takes it. The socket's time-out is what is left for the handshake.

        :raises OSError: none does.
        """
        failure: OSError | None = None
        for family, kind, protocol, _name, address in _resolve(host, port, until):
            sock = socket.socket(family, kind, protocol)
            with self._lock:
                self._dialled.add(sock)
            try:
                sock.settimeout(_left(until))
                sock.connect(address)
                sock.settimeout(_left(until))
            except BaseException as error:
                sock.close()
                if not isinstance(error, OSError):
                    raise
                failure = error
            else:
                return sock
            finally:
                with self._lock:
                    self._dialled.discard(sock)
        raise failure or OSError("the name has no address")


def _left(until: float) -> float:
    """:raises TimeoutError: nothing is left."""
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError("timed out")
    return left


def _resolve(host: str, port: int, until: float) -> list[t.Any]:
    """The addresses of a name. A resolver knows no time-out, so a thread waits for it.

    :raises OSError: there are none, or they are not told in time.
    """
    found: list[t.Any] = []
    failures: list[OSError] = []

    def ask() -> None:
        try:
            found.extend(socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM))
        except OSError as error:
            failures.append(error)
        except UnicodeError:
            failures.append(socket.gaierror(socket.EAI_NONAME, "the name cannot be looked up"))

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(_left(until))
    if failures:
        raise failures[0]
    if thread.is_alive():
        raise TimeoutError("the name was not resolved in time")
    return found


def hang_up(sock: socket.socket) -> None:
    """End a connection that another thread uses: what it waits for there fails at once."""
    # Not SSLSocket.shutdown, which takes the encryption away before it ends the connection.
    with contextlib.suppress(OSError):
        socket.socket.shutdown(sock, socket.SHUT_RDWR)


def _quiet(connection: http.client.HTTPSConnection) -> bool:
    """Whether a connection waits for the next request. One with something to read was closed by the server meanwhile."""
    if connection.sock is None:
        return False
    poll = select.poll()
    poll.register(connection.sock, select.POLLIN)
    return not poll.poll(0)
