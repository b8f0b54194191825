# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sources on web servers: TLS verified, credentials kept to the server they are for, broken downloads gone on with."""

from __future__ import annotations

import base64
import dataclasses
import http.client
import io
import re
import ssl
import typing as t
import urllib.error
import urllib.parse
import urllib.request

from .blobs import Stream
from .errors import PackageError

# So often is a download gone on with after its connection broke, without a byte in between.
_ATTEMPTS = 3


@dataclasses.dataclass(frozen=True)
class WebAccess:
    """How to ask web servers.

    :ivar headers: sent with each request, to the server of the source alone.
    Secrets are never in ``repr``.
    """

    username: str | None = None
    password: str | None = dataclasses.field(default=None, repr=False)
    headers: t.Mapping[str, str] = dataclasses.field(default_factory=dict, repr=False)
    ca_path: str | None = None
    validate_certs: bool = True
    timeout: float = 60.0


class Web:
    """Makes requests. Proxies are taken from the environment (``http_proxy``, ``https_proxy``, ``no_proxy``).

    :raises PackageError: ``source_unreadable`` when the CA file cannot be used.
    """

    def __init__(self, access: WebAccess) -> None:
        self._access = access
        self._context = _context(access)
        self._opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=self._context), _Redirects())

    def get(self, url: str, offset: int = 0, same_as: str = "") -> http.client.HTTPResponse:
        """Ask for a file, from a byte on.

        :param same_as: its strong validator; where the file is another meanwhile, the whole of it is answered.
        :raises PackageError: ``source_unreadable``, ``source_refused``.
        """
        # Only http and https come here; see parse_url.
        request = urllib.request.Request(url, headers={"Range": f"bytes={offset}-", "Accept-Encoding": "identity"})  # noqa: S310
        for name, value in self.own_headers().items():
            # "Unredirected": a redirection to another server must not carry them there.
            request.add_unredirected_header(name, value)
        if same_as and offset:
            request.add_unredirected_header("If-Range", same_as)
        try:
            return t.cast(http.client.HTTPResponse, self._opener.open(request, timeout=self._access.timeout))
        except urllib.error.HTTPError as error:
            error.close()
            raise _refused(url, error.code, error.reason) from error
        except (OSError, http.client.HTTPException, UnicodeError) as error:
            # UnicodeError: a part of the host's name is longer than 63 characters.
            raise _unreachable(url, error) from error

    def own_headers(self) -> dict[str, str]:
        """What is sent with each request, credentials included."""
        headers = dict(self._access.headers)
        if self._access.username is not None:
            pair = f"{self._access.username}:{self._access.password or ''}"
            headers["Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
        return headers


class RemoteBlob:
    """A file on a web server; making it asks for it once.

    :ivar certificate: of the server, which was verified; None without TLS.

    :raises PackageError: ``source_unreadable``, ``source_refused``; ``source_missing`` for 404 and 410.
    """

    def __init__(self, web: Web, url: str) -> None:
        self.url = url
        self.label = shown(url)
        self.key = url
        self._web = web
        self._first: http.client.HTTPResponse | None = web.get(url)
        self.certificate = _peer_certificate(self._first)
        self.size, self.stamp = _size(self._first, self.label), _validator(self._first)
        # "ETag", where it is a strong one, is all that If-Range takes.
        self._etag = self.stamp if self.stamp.startswith('"') else ""

    def open(self, offset: int = 0) -> Stream:
        """Begin to read; the answer to the first question serves the first reader that begins at the start."""
        if self._first is not None:
            first, self._first = self._first, None
            if offset == 0:
                return _Download(self, first, 0)
            first.close()
        return _Download(self, self.ask(offset), offset)

    def ask(self, offset: int) -> http.client.HTTPResponse:
        """A connection from a byte on.

        :raises PackageError: ``source_changed`` when the file is another meanwhile.
        """
        answer = self._web.get(self.url, offset, self._etag)
        if _size(answer, self.label) != self.size or _validator(answer) != self.stamp:
            answer.close()
            raise PackageError("source_changed", f"{self.label} was changed while it was read.", hint="Run again.")
        if answer.status != http.client.PARTIAL_CONTENT and offset:
            _skip(answer, offset, self.label)  # a server without ranges sends all, and the part before is thrown away
        return answer

    def unchanged(self) -> bool:
        """Each request for more of it has made sure of that."""
        return True

    def request_headers(self) -> dict[str, str]:
        """What a host must send that is to fetch the file itself."""
        return self._web.own_headers()


class _Download:
    """One pass over a remote file, which survives broken connections."""

    def __init__(self, blob: RemoteBlob, answer: http.client.HTTPResponse, at: int) -> None:
        self._blob = blob
        self._answer = answer
        self._at = at

    def readinto(self, buffer: memoryview) -> int:
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                read = self._answer.readinto(buffer)
            except (OSError, http.client.HTTPException) as error:
                if attempt == _ATTEMPTS:
                    raise _unreachable(self._blob.url, error) from error
                read = 0
            if read or self._at >= self._blob.size or not len(buffer):
                self._at += read
                return read
            self._answer.close()
            self._answer = self._blob.ask(self._at)
        raise PackageError("source_unreadable", f"{self._blob.label} breaks off after {self._at} bytes.", hint="Run again.")

    def close(self) -> None:
        self._answer.close()


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirections, but never from a checked connection to one that nobody checks."""

    def redirect_request(
        self, req: urllib.request.Request, fp: t.Any, code: int, msg: str, headers: t.Any, newurl: str
    ) -> urllib.request.Request | None:
        """The request to follow with.

        :raises PackageError: ``source_refused``.
        """
        old, new = urllib.parse.urlsplit(req.full_url), urllib.parse.urlsplit(newurl)
        if new.scheme not in ("http", "https") or (old.scheme == "https" and new.scheme != "https"):
            raise PackageError(
                "source_refused",
                f"{shown(req.full_url)} redirects to {shown(newurl)}, which is not protected by TLS.",
                hint="Name the source by an https address that needs no such redirection.",
            )
        request = super().redirect_request(req, fp, code, msg, headers, newurl)
        if request is not None:
            for name in ("Range", "Accept-encoding"):
                if req.has_header(name):
                    request.add_header(name, req.get_header(name) or "")
            if (old.scheme, old.netloc) == (new.scheme, new.netloc):
                for name, value in req.unredirected_hdrs.items():
                    request.add_unredirected_header(name, value)
        return request


def parse_url(text: str) -> str:
    """A checked address.

    :raises PackageError: ``invalid_source``, also for one that holds a password, which would be shown in many places.
    """
    try:
        parts = urllib.parse.urlsplit(text)
        text.encode("ascii")
    except ValueError:
        raise PackageError(
            "invalid_source",
            "The source is no address that can be asked for.",
            hint="Write characters that are not ASCII as %XX, and an IPv6 address in brackets.",
        ) from None
    if parts.username is not None or parts.password is not None:
        raise PackageError(
            "invalid_source",
            f"The address of the source on {parts.hostname} holds a user name or a password.",
            hint="Set source_username and source_password instead.",
        )
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise PackageError("invalid_source", f"{shown(text)} is no http or https address.")
    return text


def shown(url: str) -> str:
    """An address for messages: without its query, which may be a secret that somebody signed."""
    parts = urllib.parse.urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return urllib.parse.urlunsplit((parts.scheme, host, parts.path, "", ""))


def _context(access: WebAccess) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=access.ca_path or None)
    except OSError as error:
        why = "it holds no PEM certificate" if isinstance(error, ssl.SSLError) else error.strerror
        raise PackageError(
            "source_unreadable",
            f"The CA file {access.ca_path} of the source cannot be used: {why}.",
            hint="Set source_ca_path to a readable file of PEM certificates.",
        ) from error
    if not access.validate_certs:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _size(answer: http.client.HTTPResponse, label: str) -> int:
    match = re.fullmatch(r"bytes \d+-\d+/(\d+)", answer.headers.get("Content-Range", ""))
    length = match[1] if match else answer.headers.get("Content-Length", "")
    if not length.isdigit():
        raise PackageError(
            "source_refused",
            f"The server of {label} does not tell how large the file is.",
            hint="vSphere needs the size before the first byte: serve it as a plain file, or download it first.",
        )
    return int(length)


def _validator(answer: http.client.HTTPResponse) -> str:
    etag = answer.headers.get("ETag", "")
    if etag.startswith('"'):
        return etag
    modified = answer.headers.get("Last-Modified", "")
    return f"{modified} {_size(answer, 'it')}" if modified else ""


def _skip(answer: http.client.HTTPResponse, count: int, label: str) -> None:
    buffer = memoryview(bytearray(min(count, 2**20)))
    while count:
        read = answer.readinto(buffer[: min(count, len(buffer))])
        if not read:
            raise PackageError("source_unreadable", f"{label} breaks off.", hint="Run again.")
        count -= read


def _refused(url: str, status: int, reason: str) -> PackageError:
    code = "source_missing" if status in (404, 410) else "source_refused"
    hint = "Check the address." if code == "source_missing" else "Run again, or ask who runs that server."
    if status in (401, 403, 407):
        hint = "Check source_username and source_password, or source_headers."
    return PackageError(code, f"The server of {shown(url)} refuses it ({status} {reason}).", hint=hint, status=status)


def _unreachable(url: str, error: Exception) -> PackageError:
    reason = getattr(error, "reason", error)
    if isinstance(reason, ssl.SSLCertVerificationError):
        return PackageError(
            "source_untrusted",
            f"The certificate of the server of {shown(url)} does not pass verification ({reason.verify_message}).",
            hint="Set source_ca_path to the CA that signed it.",
        )
    why = getattr(reason, "strerror", None) or str(reason) or type(reason).__name__
    return PackageError(
        "source_unreadable", f"{shown(url)} cannot be read ({why}).", hint="Check the address, the network and the proxy."
    )


def _peer_certificate(answer: http.client.HTTPResponse) -> bytes | None:
    """The certificate of the server that answers, which was checked; None without TLS."""
    raw: t.Any = answer.fp
    sock = getattr(getattr(raw, "raw", raw), "_sock", None)
    return sock.getpeercert(binary_form=True) if isinstance(sock, ssl.SSLSocket) and isinstance(raw, io.IOBase) else None
