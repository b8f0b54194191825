# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Connections to one vCenter, kept open between calls.

Every one makes its own TLS handshake under the same checked context, and no byte is sent before it is checked.
"""

from __future__ import annotations

import http.client
import select
import threading

from . import tls
from .options import ConnectionOptions

_MOST_IDLE = 64


class ConnectionPool:
    """Hands out connections; safe for many threads.

    :param options: where to connect, and how to check who answers.
    :raises ConnectionFailed: ``tls_ca_file`` when the CA file cannot be used.
    """

    def __init__(self, options: ConnectionOptions) -> None:
        self._options = options
        self._context = tls.context_for(options)
        self._lock = threading.Lock()
        self._idle: list[http.client.HTTPSConnection] = []

    def take(self) -> http.client.HTTPSConnection:
        """An open connection for the caller alone, used before or new.

        :raises ConnectionFailed: none could be opened; nothing was sent.
        """
        while True:
            with self._lock:
                connection = self._idle.pop() if self._idle else None
            if connection is None:
                return self._open()
            if _quiet(connection):
                return connection
            connection.close()

    def give_back(self, connection: http.client.HTTPSConnection) -> None:
        """Keep a connection whose answer was read to its end; one that the server has closed is dropped."""
        if connection.sock is None:
            return
        with self._lock:
            keep = len(self._idle) < _MOST_IDLE
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

    def _open(self) -> http.client.HTTPSConnection:
        options = self._options
        host, port = options.hostname, options.port
        if options.proxy_host and options.proxy_port:
            host, port = options.proxy_host, options.proxy_port
        connection = http.client.HTTPSConnection(host, port, timeout=options.connection_timeout, context=self._context)
        if options.proxy_host:
            connection.set_tunnel(options.hostname, options.port)
        try:
            connection.connect()
        except OSError as error:
            connection.close()
            raise tls.failure(error, options) from error
        except http.client.HTTPException as error:
            # The proxy answered with something that is not HTTP.
            connection.close()
            raise tls.failure(OSError(f"the answer was no HTTP: {type(error).__name__}"), options) from error
        return connection


def _quiet(connection: http.client.HTTPSConnection) -> bool:
    """Whether a connection waits for the next request. One with something to read was closed by the server meanwhile."""
    if connection.sock is None:
        return False
    poll = select.poll()
    poll.register(connection.sock, select.POLLIN)
    return not poll.poll(0)
