# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The library requests, made to keep to our TLS context and to our clock.

Only ``web`` imports this, and only when it is used.

By itself requests trusts what the environment names (``REQUESTS_CA_BUNDLE``, ``.netrc``), loads a
CA bundle of its own into whatever context it is given, and bounds each operation of a socket, but
never all of them together: a server that sends a byte now and then is listened to for ever. So the
connections here are made by us: the context is used as it is, and each operation of a socket gets
what is left on the clock.
"""

from __future__ import annotations

import contextlib
import http.client
import http.cookiejar
import socket
import ssl
import typing as t

from .._errors import MissingLibrary
from . import tls

try:
    import requests
    from requests import Session
    from requests.adapters import HTTPAdapter
    from urllib3 import exceptions as urllib3_errors
    from urllib3.connection import HTTPConnection, HTTPSConnection
    from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
except ImportError:
    requests = None  # type: ignore[assignment]
    urllib3_errors = None  # type: ignore[assignment]
    HTTPAdapter = Session = HTTPConnection = HTTPSConnection = object  # type: ignore[assignment, misc]
    HTTPConnectionPool = HTTPSConnectionPool = object  # type: ignore[assignment, misc]

if t.TYPE_CHECKING:
    from .web import Clock, Stop

# What a request can end in. UnicodeError: a header that cannot be sent.
FAILURES: tuple[type[Exception], ...] = (OSError, http.client.HTTPException, UnicodeError)
if urllib3_errors is not None:
    FAILURES += (urllib3_errors.HTTPError,)

# As many as files are carried at once, at the most.
_MOST_IDLE = 16


class NoConnection(Exception):
    """There is no connection, so nothing was sent.

    The cause is an OSError or an error of HTTP, of the proxy's answer.
    """


def require() -> None:
    """Make sure that requests is there.

    :raises MissingLibrary: naming the Python that runs.
    """
    # With 2.32.3 came the hook by which an adapter says which TLS settings a connection gets.
    if not hasattr(HTTPAdapter, "build_connection_pool_key_attributes"):
        raise MissingLibrary.of_python(
            "The Python library requests 2.32.3 or later, which carries files over HTTP, is missing.",
            "requests>=2.32.3",
        )


class _PlainSocket(socket.socket):
    """A socket that asks the clock before each operation, and that a stop can break."""

    clock: Clock
    stop: Stop

    def recv_into(self, *args: t.Any, **kwargs: t.Any) -> int:
        self.settimeout(self.clock.left_to_receive())
        return super().recv_into(*args, **kwargs)

    def send(self, *args: t.Any, **kwargs: t.Any) -> int:
        self.settimeout(self.clock.left())
        return super().send(*args, **kwargs)

    def sendall(self, *args: t.Any, **kwargs: t.Any) -> None:
        self.settimeout(self.clock.left())
        return super().sendall(*args, **kwargs)


class _TlsSocket(_PlainSocket, ssl.SSLSocket):
    """The same under TLS, whose ``sendall`` is made of ``send``."""

    def do_handshake(self, block: bool = False) -> None:
        # OpenSSL's own time-out is for the handshake as a whole.
        self.settimeout(self.clock.left())
        self.stop.hold(self)
        super().do_handshake(block)


class _Ours:
    """What our connections do in place of urllib3's.

    ``_new_conn`` is its hook for the socket, in all of its releases.
    """

    clock: Clock
    stop: Stop
    certificate: bytes | None = None

    def _new_conn(self: t.Any) -> socket.socket:
        return _dial(self.host, self.port, self.clock, self.stop)

    def set_tunnel(self, host: str, port: int, headers: t.Mapping[str, str] | None = None, **more: t.Any) -> None:
        """Go through a proxy, which gets the server in the header ``Host``, too; see
        ``tls.connected``.
        """
        bare = host.strip("[]")
        server = f"[{bare}]:{port}" if ":" in bare else f"{bare}:{port}"
        super().set_tunnel(host, port, {"Host": server, **(headers or {})}, **more)  # type: ignore[misc]

    def request(self: t.Any, *args: t.Any, **kwargs: t.Any) -> None:
        """Send a request, its body as one stream; see ``_whole_segments``."""
        with _whole_segments(self.sock):
            super().request(*args, **kwargs)  # type: ignore[misc]

    def connect(self: t.Any) -> None:
        """Connect, through the proxy where there is one, and shake hands.

        :raises NoConnection: there is none.
        """
        try:
            super().connect()  # type: ignore[misc]
        except FAILURES as error:
            self.close()
            raise NoConnection from error
        # Whether and how a certificate is checked is the context's concern; urllib3 would warn
        # where it pins one.
        self.is_verified = True
        if isinstance(self.sock, ssl.SSLSocket):
            self.certificate = self.sock.getpeercert(binary_form=True)


class _Adapter(HTTPAdapter):
    """Connections under one context and one clock.

    :param context: used as it is: what requests would make of ``verify`` and of its own CA bundle
        is left out.
    """

    def __init__(self, context: ssl.SSLContext, clock: Clock, stop: Stop) -> None:
        ours = {"clock": clock, "stop": stop}
        context.sslsocket_class = type("TlsSocket", (_TlsSocket,), ours)
        self._context = context
        plain, tls = (
            type("Plain", (_Ours, HTTPConnection), ours),
            type("Tls", (_Ours, HTTPSConnection), ours),
        )
        self._pools = {
            "http": type("PlainPool", (HTTPConnectionPool,), {"ConnectionCls": plain}),
            "https": type("TlsPool", (HTTPSConnectionPool,), {"ConnectionCls": tls}),
        }
        super().__init__(pool_maxsize=_MOST_IDLE)

    def init_poolmanager(self, *args: t.Any, **kwargs: t.Any) -> None:
        super().init_poolmanager(*args, **kwargs, ssl_context=self._context)
        self.poolmanager.pool_classes_by_scheme = self._pools

    def proxy_manager_for(self, proxy: str, **kwargs: t.Any) -> t.Any:
        manager = super().proxy_manager_for(proxy, **kwargs, ssl_context=self._context)
        manager.pool_classes_by_scheme = self._pools
        return manager

    def build_connection_pool_key_attributes(self, *args: t.Any, **kwargs: t.Any) -> tuple[dict[str, t.Any], dict[str, t.Any]]:
        host, _tls = super().build_connection_pool_key_attributes(*args, **kwargs)
        return host, {}

    def cert_verify(self, *_args: t.Any, **_kwargs: t.Any) -> None:
        """The context says what is trusted; this would add a CA bundle to it."""


class _Session(Session):
    def get_redirect_target(self, _response: requests.Response) -> None:
        """None: ``web`` decides where to follow.

        Requests would read the whole body of a redirection besides.
        """


def session(context: ssl.SSLContext, clock: Clock, stop: Stop) -> Session:
    """A session that takes nothing from the environment, keeps no cookies, and sends no headers of
    its own accord.
    """
    made = _Session()
    made.trust_env = False
    made.headers.clear()
    made.cookies.set_policy(http.cookiejar.DefaultCookiePolicy(allowed_domains=()))
    adapter = _Adapter(context, clock, stop)
    made.mount("https://", adapter)
    made.mount("http://", adapter)
    return made


def environment_proxies(url: str) -> dict[str, str]:
    """The proxy that the environment names for an address, by its scheme: ``http_proxy`` or
    ``https_proxy``, but for ``no_proxy``.
    """
    found = requests.utils.get_environ_proxies(url)
    return {scheme: proxy for scheme, proxy in found.items() if url.lower().startswith(f"{scheme}:")}


@contextlib.contextmanager
def _whole_segments(sock: t.Any) -> t.Iterator[None]:
    """Have Linux put the records of TLS, of 16 KiB at the most, together into segments as large as it can send.

    A tenth more of a large file goes through so, with less work at both ends. What is left at the end is sent at once.
    """
    cork = getattr(socket, "TCP_CORK", None)
    if cork is None or not isinstance(sock, socket.socket):
        yield
        return
    try:
        sock.setsockopt(socket.IPPROTO_TCP, cork, 1)
        yield
    finally:
        # A connection that has broken has its own error.
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, cork, 0)


def _dial(host: str, port: int, clock: Clock, stop: Stop) -> socket.socket:
    """Connect to a host, as long as the clock allows.

    :raises OSError: it cannot be connected to.
    """

    def make(family: int, kind: int, protocol: int) -> _PlainSocket:
        sock = _PlainSocket(family, kind, protocol)
        sock.clock = clock
        stop.hold(sock)
        return sock

    return tls.dial(host, port, clock.left, make)
