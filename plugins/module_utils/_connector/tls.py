# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Opening connections: to one of the addresses of a name, under TLS that is checked, with errors
that say what to do.

pyVmomi's own ``thumbprint`` and ``serverPemCert`` are not used: after the first mismatch they
switch the shared context to ``CERT_NONE``, so later pooled connections are not checked. The
contexts here check each handshake by themselves.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import http.client
import queue
import re
import socket
import ssl
import threading
import time
import typing as t

from .._errors import ConnectionFailed
from .options import ConnectionOptions

# By the number of hexadecimal digits. vCenter names the hosts of its leases by SHA-1 before vSphere
# 8; an option never can.
_ALGORITHMS = {40: "sha1", 64: "sha256"}
_NAMES = {40: "SHA-1", 64: "SHA-256"}

_CERTIFICATE = re.compile("-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)


# Seconds for each address of a name but the last.
_LONGEST_OF_SEVERAL = 5.0

S = t.TypeVar("S", bound=socket.socket)


def dial(
    host: str,
    port: int,
    left: t.Callable[[], float],
    make: t.Callable[[int, int, int], S],
    watched: t.Callable[[S], t.ContextManager[object]] = contextlib.nullcontext,
) -> S:
    """Connect to the first address of a host that takes it.

    The socket's time-out is what is left then.

    :param left: seconds that are left; it raises TimeoutError where there are none.
    :param make: makes the socket, of family, kind and protocol.
    :param watched: a context that lasts while a socket is being connected, for who breaks off what
        is under way.
    :raises OSError: none takes it.
    """
    failure: OSError | None = None
    found = _resolve(host, port, left())
    for number, (family, kind, protocol, _name, address) in enumerate(found, 1):
        sock = make(family, kind, protocol)
        with watched(sock):
            try:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                # One that answers nothing, as where IPv6 leads nowhere, leaves the others their time.
                last = number == len(found)
                sock.settimeout(left() if last else min(left() / 2, _LONGEST_OF_SEVERAL))
                sock.connect(address)
                sock.settimeout(left())
            except BaseException as error:
                sock.close()
                if not isinstance(error, OSError):
                    raise
                failure = error
            else:
                return sock
    raise failure or OSError("the name has no address")


def _resolve(host: str, port: int, seconds: float) -> list[t.Any]:
    """The addresses of a name. A resolver takes no time-out, so that a thread waits for it.

    :raises OSError: there are none, or not in time.
    """
    answers: queue.SimpleQueue[list[t.Any] | Exception] = queue.SimpleQueue()

    def ask() -> None:
        try:
            answers.put(socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:
            answers.put(error)

    threading.Thread(target=ask, daemon=True).start()
    try:
        answer = answers.get(timeout=seconds)
    except queue.Empty:
        raise TimeoutError("the name was not resolved in time") from None
    if isinstance(answer, UnicodeError):
        # A part of the name is longer than 63 characters.
        raise socket.gaierror(socket.EAI_NONAME, "no such name") from answer
    if isinstance(answer, Exception):
        raise answer
    return answer


def hang_up(sock: socket.socket) -> None:
    """End a connection that another thread uses: what it waits for there fails at once."""
    # Not SSLSocket.shutdown, which takes the encryption away before it ends the connection.
    with contextlib.suppress(OSError):
        socket.socket.shutdown(sock, socket.SHUT_RDWR)


class ThumbprintMismatch(ssl.SSLError):
    """The certificate of the peer is not the pinned one.

    ``found`` is its digest, lower-case hexadecimal.
    """

    def __init__(self, found: str) -> None:
        super().__init__(f"certificate has the thumbprint {found}")
        self.found = found


class BoundedSocket(ssl.SSLSocket):
    """A socket whose use is bounded by a moment, however often the peer gives a sign of life.

    :cvar until: that moment, of ``time.monotonic()``; None where only single operations are
        bounded.
    """

    until: float | None = None

    def recv_into(self, *args: t.Any, **kwargs: t.Any) -> int:
        """As of every socket.

        :raises TimeoutError: the moment has passed.
        """
        self._bound()
        return super().recv_into(*args, **kwargs)

    def send(self, *args: t.Any, **kwargs: t.Any) -> int:
        """As of every socket; ``sendall`` is made of it.

        :raises TimeoutError: the moment has passed.
        """
        self._bound()
        return super().send(*args, **kwargs)

    def _bound(self) -> None:
        if self.until is None:
            return
        left = self.until - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        self.settimeout(left)


def bound(sock: socket.socket, until: float | None) -> None:
    """Bound the use of a socket by a moment of ``time.monotonic()``; None for no bound."""
    if isinstance(sock, BoundedSocket):
        sock.until = until


class PinnedContext(ssl.SSLContext):
    """A context that accepts exactly one certificate, on every connection, before a byte is sent
    over it.
    """

    pinned: str

    def wrap_socket(self, *args: t.Any, **kwargs: t.Any) -> ssl.SSLSocket:
        """Shake hands and compare; a mismatch closes the socket.

        :raises ThumbprintMismatch: when the peer shows another certificate.
        """
        kwargs["do_handshake_on_connect"] = True
        wrapped = super().wrap_socket(*args, **kwargs)
        algorithm = _ALGORITHMS[len(self.pinned)]
        found = hashlib.new(algorithm, wrapped.getpeercert(binary_form=True) or b"", usedforsecurity=False).hexdigest()
        if not hmac.compare_digest(found, self.pinned):
            wrapped.close()
            raise ThumbprintMismatch(found)
        return wrapped


def pinned(digest: str) -> PinnedContext:
    """A context for the peer whose certificate has this digest, in lower-case hexadecimal: a
    SHA-256, or a SHA-1.
    """
    context = PinnedContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.pinned = digest
    return context


def digest_of(pem: str) -> str | None:
    """SHA-256 of a certificate, as ``pinned`` takes it; of the first one of a chain, which is the
    server's own.

    :returns: hexadecimal digits; None where there is no certificate in the text.
    """
    found = _CERTIFICATE.search(pem)
    try:
        return hashlib.sha256(ssl.PEM_cert_to_DER_cert(found[0])).hexdigest() if found else None
    except ValueError:
        return None


def context_for(options: ConnectionOptions) -> ssl.SSLContext:
    """The context that these options ask for: pinned, unchecked at the user's wish, or verified.

    :raises ConnectionFailed: ``tls_ca_file`` when the CA file cannot be used.
    """
    context = _context_for(options)
    context.sslsocket_class = BoundedSocket
    return context


def _context_for(options: ConnectionOptions) -> ssl.SSLContext:
    if options.thumbprint:
        return pinned(options.thumbprint)
    return by_authority(options.ca_path, "ca_path") if options.verifies else unchecked()


def by_authority(ca_path: str | None, option: str) -> ssl.SSLContext:
    """A context that takes the certificates of these authorities, or of the system's.

    :param ca_path: PEM file, or None.
    :param option: that names the file.
    :raises ConnectionFailed: ``tls_ca_file`` when the CA file cannot be used.
    """
    try:
        return ssl.create_default_context(cafile=ca_path or None)
    except OSError as error:  # ssl.SSLError is one
        why = "it holds no certificate in PEM, or one that is damaged" if isinstance(error, ssl.SSLError) else error.strerror
        raise ConnectionFailed(
            "tls_ca_file",
            f"The CA file {ca_path} cannot be used: {why}.",
            hint=f"Set {option} to a readable file of PEM certificates.",
        ) from error


def unchecked() -> ssl.SSLContext:
    """A context that takes every certificate, for users who have asked for that."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


class _BareSocket(socket.socket):
    """A socket before the handshake: what a proxy answers on it is bounded as a whole, too."""

    left: t.Callable[[], float]

    def recv_into(self, *args: t.Any, **kwargs: t.Any) -> int:
        self.settimeout(self.left())
        return super().recv_into(*args, **kwargs)


class _Connection(http.client.HTTPSConnection):
    """With an address of IPv6 as proxies want it, which http.client has from 3.11.9 and 3.12.4 on."""

    _tunnel_host: str

    def _tunnel(self) -> None:
        bare = self._tunnel_host
        self._tunnel_host = f"[{bare}]" if ":" in bare else bare
        try:
            super()._tunnel()  # type: ignore[misc]
        finally:
            self._tunnel_host = bare


def connected(
    options: ConnectionOptions,
    context: ssl.SSLContext,
    left: t.Callable[[], float],
    watched: t.Callable[[socket.socket], t.ContextManager[object]] = contextlib.nullcontext,
) -> http.client.HTTPSConnection:
    """A connection to the server that the options name, through their proxy, behind the handshake.

    :param context: says which certificates it may have.
    :param left: seconds that are left; it raises TimeoutError where there are none.
    :param watched: as for ``dial``.
    :raises ConnectionFailed: there is none; nothing was sent to the server.
    """
    host, port = options.hostname, options.port
    if options.proxy_host and options.proxy_port:
        host, port = options.proxy_host, options.proxy_port
    connection = _Connection(options.server_name, options.port, context=context)

    def make(family: int, kind: int, protocol: int) -> _BareSocket:
        sock = _BareSocket(family, kind, protocol)
        sock.left = left
        return sock

    def dialled(*_where: t.Any) -> _BareSocket:
        sock = dial(host, port, left, make, watched)
        # TLS takes the socket over; by the other handle it can be hung up in the handshake, too.
        stack.enter_context(watched(stack.enter_context(sock.dup())))
        return sock

    # The hook of http.client for the socket; its own gives each address of a name the whole time.
    connection._create_connection = dialled  # type: ignore[attr-defined]
    if options.proxy_host:
        # The header is left out before Python 3.12, and has IPv6 without brackets before 3.12.4.
        connection.set_tunnel(options.server_name, options.port, {"Host": options.authority})
    begun = time.monotonic()
    with contextlib.ExitStack() as stack:
        try:
            connection.connect()
        except OSError as error:
            connection.close()
            raise failure(error, options, seconds=round(time.monotonic() - begun)) from error
        except http.client.HTTPException as error:
            # The proxy answered with something that is not HTTP.
            connection.close()
            raise failure(OSError(f"the answer was no HTTP: {type(error).__name__}"), options) from error
    return connection


def failure(error: OSError, options: ConnectionOptions, seconds: int | None = None) -> ConnectionFailed:
    """Say what went wrong when a connection could not be opened, and what to do about it.

    :param seconds: how long it was tried; None: as long as the options say.
    """
    where = options.endpoint
    if isinstance(error, ThumbprintMismatch):
        kind = _NAMES[len(error.found)]
        return ConnectionFailed(
            "tls_wrong_thumbprint",
            f"The certificate of {where} is not the pinned one: its {kind} thumbprint is {_colons(error.found)}.",
            hint="If the certificate was renewed on purpose, set thumbprint to the new value; if not, do not connect.",
        )
    if isinstance(error, ssl.SSLCertVerificationError):
        return _verification_failure(error, where)
    if isinstance(error, ssl.SSLError):
        return _handshake_failure(error, where)
    return _network_failure(error, options, options.connection_timeout if seconds is None else seconds)


# X509_V_ERR_* of OpenSSL's x509_vfy.h
_NOT_AT_THIS_TIME = (9, 10)  # CERT_NOT_YET_VALID, CERT_HAS_EXPIRED
_OTHER_NAME = (62, 64)  # HOSTNAME_MISMATCH, IP_ADDRESS_MISMATCH
# UNABLE_TO_GET_ISSUER_CERT (2) and _LOCALLY (20), DEPTH_ZERO_SELF_SIGNED_CERT (18),
# SELF_SIGNED_CERT_IN_CHAIN (19), UNABLE_TO_VERIFY_LEAF_SIGNATURE (21), CERT_UNTRUSTED (27)
_UNKNOWN_ISSUER = (2, 18, 19, 20, 21, 27)
# PATHLEN_INVALID_FOR_NON_CA (80) to EXTENSIONS_REQUIRE_VERSION_3 (93), such as
# MISSING_AUTHORITY_KEY_IDENTIFIER (85): found under VERIFY_X509_STRICT alone.
_AGAINST_RFC_5280 = range(80, 94)

# What a certificate that is shown, and not trusted, is refused with.
VERIFICATION_CODES = ("tls_expired_certificate", "tls_wrong_hostname", "tls_untrusted_ca", "tls_bad_certificate")


def is_of_unknown_authority(error: ssl.SSLCertVerificationError) -> bool:
    """Whether all that a certificate lacks is an authority that is trusted."""
    return error.verify_code in _UNKNOWN_ISSUER


def _verification_failure(error: ssl.SSLCertVerificationError, where: str) -> ConnectionFailed:
    if error.verify_code in _NOT_AT_THIS_TIME:
        return ConnectionFailed(
            "tls_expired_certificate",
            f"The certificate of {where} is not valid at this time ({error.verify_message}).",
            hint="Renew the certificate of the vCenter, or set the clock of this machine right.",
        )
    if error.verify_code in _OTHER_NAME:
        return ConnectionFailed(
            "tls_wrong_hostname",
            f"The certificate of {where} is for another name ({error.verify_message.rstrip('.')}).",
            hint="Set hostname to a name that the certificate holds, or pin the certificate with thumbprint, which the module "
            "certificate_info reads.",
        )
    if is_of_unknown_authority(error):
        return ConnectionFailed(
            "tls_untrusted_ca",
            f"The certificate of {where} is not signed by a trusted authority ({error.verify_message}).",
            hint="Set ca_path to the CA of the vCenter, which its start page offers, or pin the certificate with thumbprint, "
            "which the module certificate_info reads.",
        )
    if error.verify_code in _AGAINST_RFC_5280:
        return ConnectionFailed(
            "tls_bad_certificate",
            f"The certificate of {where} is not as RFC 5280 wants it ({error.verify_message}), on which Python insists from "
            "3.13 on.",
            hint="Have a new certificate made for the vCenter, or pin the one that it has with thumbprint, which the module "
            "certificate_info reads. An older Python takes it.",
        )
    return ConnectionFailed(
        "tls_bad_certificate",
        f"The certificate of {where} does not pass verification ({error.verify_message}).",
        hint="Have a new certificate made for the vCenter, or pin the one that it has with thumbprint, which the module "
        "certificate_info reads.",
    )


# Reasons of OpenSSL (sslerr.h): of an old server, and of one whose keys are too short.
_OLD_PROTOCOL = ("UNSUPPORTED_PROTOCOL", "TLSV1_ALERT_PROTOCOL_VERSION", "UNKNOWN_PROTOCOL", "WRONG_SSL_VERSION")
_TOO_WEAK = ("_TOO_SMALL", "_TOO_WEAK", "LEGACY_SIGALG_DISALLOWED_OR_UNSUPPORTED")


def _handshake_failure(error: ssl.SSLError, where: str) -> ConnectionFailed:
    reason = error.reason or str(error)
    # What OpenSSL takes the first bytes of a plain-text answer for differs with its release.
    if reason in (
        "WRONG_VERSION_NUMBER",
        "RECORD_LAYER_FAILURE",
        "PACKET_LENGTH_TOO_LONG",
        "HTTP_REQUEST",
    ):
        return ConnectionFailed(
            "tls_plain_port",
            f"{where} does not speak TLS on this port.",
            hint="Set port to the HTTPS port of the vCenter, usually 443.",
        )
    if reason in _OLD_PROTOCOL:
        return ConnectionFailed(
            "tls_handshake",
            f"{where} speaks no TLS 1.2, nor any later one ({reason}).",
            hint="Switch TLS 1.2 on there: what is older is not safe, and this collection does not speak it.",
        )
    if reason.endswith(_TOO_WEAK):
        return ConnectionFailed(
            "tls_handshake",
            f"What {where} offers is too weak for the OpenSSL of this machine ({reason}).",
            hint="Give the server a longer key or newer algorithms. What is enough is a setting of this machine.",
        )
    return ConnectionFailed(
        "tls_handshake",
        f"The TLS handshake with {where} failed ({reason}).",
        hint="Check that the port is the vCenter's and that nothing between cuts or rewrites TLS.",
    )


# What http.client says of a proxy that does not connect, before the proxy's own words.
PROXY_REFUSED = "Tunnel connection failed: "


def _network_failure(error: OSError, options: ConnectionOptions, seconds: int) -> ConnectionFailed:
    proxy = options.proxy
    where = f"{options.endpoint} through the proxy {proxy}" if proxy else options.endpoint
    if isinstance(error, socket.gaierror):
        return ConnectionFailed(
            "unknown_host",
            f"The name {options.proxy_host or options.hostname} cannot be resolved.",
            hint="Check the spelling of hostname and proxy_host, and the DNS of this machine.",
        )
    if isinstance(error, TimeoutError):
        return ConnectionFailed(
            "connection_timeout",
            f"{where} did not answer within {seconds} s.",
            hint="Check firewall and address, or raise connection_timeout, and timeout where that is shorter.",
        )
    if f"{PROXY_REFUSED}407" in str(error):
        return ConnectionFailed(
            "proxy_refused",
            f"The proxy {proxy} wants to know who asks it to connect to {options.endpoint} ({error}).",
            hint="No login at a proxy can be set. Have the proxy let this machine through without one, or use another.",
        )
    if PROXY_REFUSED in str(error):
        return ConnectionFailed(
            "proxy_refused",
            f"The proxy {proxy} refused to connect to {options.endpoint} ({error}).",
            hint="Check proxy_host and proxy_port, and that the proxy allows CONNECT to this port.",
        )
    return ConnectionFailed(
        "unreachable",
        f"{where} cannot be reached ({error.strerror or error}).",
        hint="Check hostname, port and firewall, and that the vCenter is up.",
    )


def _colons(digest: str) -> str:
    return ":".join(digest[at : at + 2] for at in range(0, len(digest), 2)).upper()
