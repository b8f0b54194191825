# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What certificate a server shows: read without trusting it, where nothing is sent but the
handshake, or checked first.
"""

from __future__ import annotations

import dataclasses
import hashlib
import ssl
import time
import typing as t

from .._errors import ConnectionFailed, MissingLibrary
from . import tls, web
from .soap import VERSIONS_PATH

if t.TYPE_CHECKING:
    from .options import ConnectionOptions

try:
    from cryptography import x509
except ImportError:
    x509 = None  # type: ignore[assignment]


# By the names of the algorithms.
SHA1, SHA256 = "sha1", "sha256"


@dataclasses.dataclass(frozen=True)
class Shown:
    """What a server shows.

    :ivar der: the certificate.
    :ivar distrust: why this machine does not trust it, None where it does.
    """

    der: bytes
    distrust: ConnectionFailed | None

    @property
    def pem(self) -> str:
        """The certificate as text."""
        return ssl.DER_cert_to_PEM_cert(self.der)

    def thumbprint(self, algorithm: str) -> str:
        """A digest of it, as vSphere writes it: ``AB:CD:...``.

        :param algorithm: as hashlib names it.
        """
        digest = hashlib.new(algorithm, self.der, usedforsecurity=False).hexdigest().upper()
        return ":".join(digest[at : at + 2] for at in range(0, len(digest), 2))


def shown(options: ConnectionOptions, deadline: float) -> Shown:
    """The certificate of a server, by two handshakes: one that takes any, and one that judges.

    The first connection is closed behind its handshake, and nothing is ever sent over it.

    :param options: the server, the way to it, and which authorities to judge by.
    :param deadline: of ``time.monotonic()``.
    :raises ConnectionFailed: there is no TLS server.
    """
    der = _handshake(options, tls.unchecked(), deadline)
    try:
        judged = _handshake(options, tls.by_authority(options.ca_path, "ca_path"), deadline)
    except ConnectionFailed as error:
        if error.error_code not in tls.VERIFICATION_CODES:
            raise
        return Shown(der, error)
    if judged != der:
        raise ConnectionFailed(
            "tls_changing_certificate",
            f"{options.endpoint} shows another certificate with each connection.",
            hint="There are several servers behind it: name one of them.",
        )
    return Shown(der, None)


def thumbprints(options: ConnectionOptions) -> dict[str, str]:
    """The thumbprints of the vCenter's certificate, as ``AA:BB:...``, by the name of the algorithm:
    one HTTPS request.

    The certificate is checked as these options say, before it counts.

    :raises ConnectionFailed: there is no connection, or the certificate is not trusted.
    """
    seconds = options.connection_timeout
    clock = web.Clock(seconds, time.monotonic() + seconds)
    client = web.Client(tls.context_for(options), clock, lambda _url: options.proxies)
    try:
        answer = client.send("GET", f"https://{options.authority}{VERSIONS_PATH}", {})
        found = answer.certificate
        answer.close()
    except web.Late as error:
        raise tls.failure(TimeoutError(error.why), options) from error
    except web.WebError as error:
        cause = error.cause if isinstance(error.cause, OSError) else OSError(error.why)
        raise tls.failure(cause, options) from error
    finally:
        client.close()
    if found is None:
        raise ConnectionFailed(
            "tls_bad_certificate", f"{options.endpoint} shows no certificate.", hint="Look at hostname and port."
        )
    return {name: Shown(found, None).thumbprint(name) for name in (SHA1, SHA256)}


def _handshake(options: ConnectionOptions, context: ssl.SSLContext, deadline: float) -> bytes:
    until = min(deadline, time.monotonic() + options.connection_timeout)

    def left() -> float:
        seconds = until - time.monotonic()
        if seconds <= 0:
            raise TimeoutError("timed out")
        return seconds

    connection = tls.connected(options, context, left)
    try:
        return t.cast("ssl.SSLSocket", connection.sock).getpeercert(binary_form=True) or b""
    finally:
        connection.close()


def details(der: bytes) -> dict[str, t.Any]:
    """What a certificate says of itself; none of it is true by being said.

    :returns: ``subject``, ``issuer``, ``serial_number``, ``not_before``, ``not_after`` and
        ``names``.
    :raises MissingLibrary: cryptography is not there.
    :raises ConnectionFailed: it cannot be read.
    """
    # Times with a zone came with release 42.
    if x509 is None or not hasattr(x509.Certificate, "not_valid_before_utc"):
        raise MissingLibrary.of_python(
            "The Python library cryptography 45 or later, which reads certificates, is missing.",
            "cryptography>=45",
        )
    strange = (ValueError, x509.InvalidVersion, x509.DuplicateExtension, x509.UnsupportedGeneralNameType)
    try:
        found = x509.load_der_x509_certificate(der)
        return {
            "subject": found.subject.rfc4514_string(),
            "issuer": found.issuer.rfc4514_string(),
            "serial_number": f"{found.serial_number:x}",
            "not_before": found.not_valid_before_utc.isoformat(),
            "not_after": found.not_valid_after_utc.isoformat(),
            "names": _names(found),
        }
    except strange as error:
        raise ConnectionFailed(
            "tls_bad_certificate",
            "The certificate cannot be read: it is not of the form that it should have.",
            hint="Have a new certificate made for the server.",
        ) from error


def _names(found: t.Any) -> list[str]:
    """The names that it is for: host names and addresses."""
    try:
        names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    hosts = names.get_values_for_type(x509.DNSName)
    return [*hosts, *(str(address) for address in names.get_values_for_type(x509.IPAddress))]
