# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A small HTTPS server in the test's own process, with what web servers do and do wrong."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import http.server
import ipaddress
import re
import ssl
import threading
import typing as t
import urllib.parse
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

_NAME = x509.NameOID.COMMON_NAME


@dataclasses.dataclass
class Behaviour:
    """How it answers.

    :ivar ranges: whether it knows ranges.
    :ivar break_after: bytes after which it closes the connection; the number of times it does so is ``breaks``.
    :ivar same_etag: whether a file has one ETag for ever, whatever is in it.
    :ivar redirect: path -> address.
    :ivar etags: the ETags of a file, one after the other, where several mirrors answer; ``#`` is another each time.
    :ivar modified: the time of last change that is sent, if any is.
    :ivar missing: the status for what is not there; object stores say 403.
    :ivar pages: paths that are answered with a sign-in page.
    :ivar query: what an address must have for a query, as one that is presigned.
    :ivar silent: whether requests get no answer.
    :ivar trickle: whether bodies come a byte at a time, twenty a second.
    """

    ranges: bool = True
    etag: bool = True
    same_etag: bool = False
    authorization: str = ""
    break_after: int = 0
    breaks: int = 0
    redirect: dict[str, str] = dataclasses.field(default_factory=dict)
    etags: tuple[str, ...] = ()
    modified: str = ""
    missing: int = 404
    pages: frozenset[str] = frozenset()
    query: str = ""
    silent: bool = False
    trickle: bool = False


class Server:
    """Serves a folder. ``requests`` are the paths, ranges and headers that were asked for; ``sent`` the bytes of bodies."""

    def __init__(self, folder: Path, context: ssl.SSLContext | None) -> None:
        self.behaviour = Behaviour()
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self.sent = 0
        self._answers = 0
        self._closing = threading.Event()
        owner = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                owner.answer(self, folder)

            def log_message(self, *_args: t.Any) -> None:
                """Not in the output of the tests."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        if context:
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        scheme = "https" if context else "http"
        self.url = f"{scheme}://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End it."""
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, request: http.server.BaseHTTPRequestHandler, folder: Path) -> None:
        """One request."""
        how, path = self.behaviour, request.path.split("?")[0]
        self.requests.append((path, request.headers.get("Range", ""), dict(request.headers)))
        file = folder / urllib.parse.unquote(path.lstrip("/"))
        if how.silent:
            self._closing.wait()
        elif path in how.redirect:
            self._bare(request, 302, Location=how.redirect[path])
        elif how.query and request.path.partition("?")[2] != how.query:
            self._bare(request, 403)
        elif path in how.pages:
            self._page(request)
        elif how.authorization and request.headers.get("Authorization") != how.authorization:
            self._bare(request, 401)
        elif not file.is_file():
            self._bare(request, how.missing)
        else:
            self._file(request, file.read_bytes())

    def _bare(self, request: http.server.BaseHTTPRequestHandler, status: int, **headers: str) -> None:
        request.send_response(status)
        for name, value in {**headers, "Content-Length": "0"}.items():
            request.send_header(name, value)
        request.end_headers()

    def _page(self, request: http.server.BaseHTTPRequestHandler) -> None:
        body = b"<!DOCTYPE html><html><body>Who are you?</body></html>"
        request.send_response(200)
        request.send_header("Content-Type", "text/html; charset=utf-8")
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    def _etag(self, data: bytes) -> str:
        how = self.behaviour
        if not how.etags:
            return '"same"' if how.same_etag else f'"{hash(data)}"'
        self._answers += 1
        return how.etags[self._answers % len(how.etags)].replace("#", str(self._answers))

    def _file(self, request: http.server.BaseHTTPRequestHandler, data: bytes) -> None:
        how = self.behaviour
        match = re.fullmatch(r"bytes=(\d+)-", request.headers.get("Range", ""))
        etag = self._etag(data)
        if request.headers.get("If-Range", etag) != etag:
            match = None  # it is another file, so all of it
        start = int(match[1]) if match and how.ranges else 0
        request.send_response(206 if match and how.ranges else 200)
        if match and how.ranges:
            request.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        if how.etag:
            request.send_header("ETag", etag)
        if how.modified:
            request.send_header("Last-Modified", how.modified)
        request.send_header("Content-Length", str(len(data) - start))
        request.end_headers()
        body = data[start:]
        if how.breaks and len(body) > how.break_after:
            how.breaks -= 1
            body = body[: how.break_after]
            request.close_connection = True
        with contextlib.suppress(OSError):  # who has seen enough closes
            for byte in body if how.trickle else ():
                request.wfile.write(bytes([byte]))
                if self._closing.wait(0.05):
                    return
            for at in range(0, len(body), 65536):
                request.wfile.write(body[at : at + 65536])
                self.sent += len(body[at : at + 65536])
            if request.close_connection:
                request.wfile.flush()
                request.connection.close()


@dataclasses.dataclass(frozen=True)
class Authority:
    """A certificate authority for tests."""

    key: t.Any
    certificate: x509.Certificate

    @classmethod
    def make(cls, name: str = "Test CA", **how: t.Any) -> Authority:
        """A new one."""
        key = ec.generate_private_key(ec.SECP256R1())
        return cls(key, certificate(name, key, None, ca=True, **how))

    def below(self, name: str, **how: t.Any) -> Authority:
        """One that this one vouches for."""
        key = ec.generate_private_key(ec.SECP256R1())
        return Authority(key, self.issue(name, key, **{"ca": True, **how}))

    def pem(self, path: Path) -> Path:
        """Its certificate, in a file."""
        path.write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))
        return path

    def issue(self, name: str, key: t.Any, **how: t.Any) -> x509.Certificate:
        """A certificate for 127.0.0.1."""
        return certificate(name, key, self, **how)

    def context(self, folder: Path, **how: t.Any) -> ssl.SSLContext:
        """For a server."""
        key = ec.generate_private_key(ec.SECP256R1())
        both = folder / "server.pem"
        both.write_bytes(
            key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
            + self.issue("127.0.0.1", key, **how).public_bytes(serialization.Encoding.PEM)
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(both)
        return context


def certificate(
    name: str,
    key: t.Any,
    issuer: Authority | None,
    *,
    ca: bool = False,
    days: int = 30,
    path_length: int | None = None,
    extensions: t.Sequence[x509.ExtensionType] = (),
    identifiers: bool = True,
) -> x509.Certificate:
    """A certificate; signed by itself without an issuer. A negative number of days makes one that has expired.

    :param identifiers: of its key and its issuer's, which Python wants from 3.13 on (RFC 5280).
    """
    now = datetime.datetime.now(datetime.UTC)
    subject = x509.Name([x509.NameAttribute(_NAME, name)])
    begin, end = (now - datetime.timedelta(days=1), now + datetime.timedelta(days=days))
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin if days > 0 else end - datetime.timedelta(days=1))
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=path_length), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
    )
    signer = issuer.key if issuer else key
    if identifiers:
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())
        builder = builder.add_extension(authority, critical=False)
    if ca and not any(isinstance(extension, x509.KeyUsage) for extension in extensions):
        extensions = (*extensions, key_usage("digital_signature", "key_cert_sign", "crl_sign"))
    for extension in extensions:
        builder = builder.add_extension(extension, critical=True)
    return builder.sign(signer, hashes.SHA256())


def key_usage(*names: str) -> x509.KeyUsage:
    """The extension that says what a key is for: digital_signature, key_cert_sign..."""
    every = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement")
    every += ("key_cert_sign", "crl_sign", "encipher_only", "decipher_only")
    return x509.KeyUsage(**{name: name in names for name in every})


def purpose(*names: str) -> x509.ExtendedKeyUsage:
    """The extension that says what a certificate is for: CODE_SIGNING, SERVER_AUTH..."""
    return x509.ExtendedKeyUsage([getattr(x509.ExtendedKeyUsageOID, name) for name in names])
