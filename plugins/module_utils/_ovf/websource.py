# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Packages on web servers: files that are read in parts, and gone on with where a connection broke."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import http.client
import math
import re
import ssl
import typing as t
import urllib.parse

from .._connector import tls, web
from .._connector.web import (
    Answer,
    Broken,
    Client,
    Clock,
    Late,
    NotConnected,
    RedirectionRefused,
    Stop,
)
from .._errors import ConnectionFailed, TimedOut
from .blobs import PackageError, Stream

# So often is a download gone on with after its connection broke, without a byte in between.
_ATTEMPTS = 3

# So often is a server asked whether the ETag of a file goes on changing.
_PROBES = 3

_PARTIAL_CONTENT = 206

# What a server sends for people to read.
_PAGES = ("text/html", "application/xhtml+xml")


@dataclasses.dataclass(frozen=True)
class WebAccess:
    """How to ask web servers, and until when a source may be read, also one that is a file of this machine.

    :ivar headers: sent with each request, to the server of the source alone.
    :ivar silence: seconds to wait for a byte.
    :ivar deadline: the end of all waiting, of ``time.monotonic()``.
    :ivar stop: breaks off what is being read.
    Secrets are never in ``repr``.
    """

    username: str | None = None
    password: str | None = dataclasses.field(default=None, repr=False)
    headers: t.Mapping[str, str] = dataclasses.field(default_factory=dict, repr=False)
    ca_path: str | None = None
    validate_certs: bool = True
    silence: float = 60.0
    deadline: float = math.inf
    stop: Stop = dataclasses.field(default_factory=Stop, compare=False, repr=False)


class Web:
    """Asks the server of a package. Proxies are taken from the environment (``http_proxy``,
    ``https_proxy``, ``no_proxy``).

    :raises PackageError: ``source_unreadable`` when the CA file cannot be used.
    :raises MissingLibrary: requests is not there.
    """

    def __init__(self, access: WebAccess) -> None:
        self._access = access
        try:
            context = tls.by_authority(access.ca_path, "source_ca_path") if access.validate_certs else tls.unchecked()
        except ConnectionFailed as error:
            raise PackageError("source_unreadable", error.message, hint=error.hint) from error
        self._client = Client(
            context,
            Clock(access.silence, access.deadline),
            web.environment_proxies,
            access.stop,
        )

    def get(self, url: str, offset: int = 0, same_as: str = "", *, own: bool = True) -> Answer:
        """Ask for a file, from a byte on.

        :param same_as: its strong validator; where the file is another meanwhile, the whole of it
            is answered.
        :param own: whether the address is of the server of the source, which gets the credentials.
        :raises PackageError: ``source_unreadable``, ``source_untrusted``, ``source_refused``; for
            404 and 410 ``source_missing``.
        :raises TimedOut: the deadline passed.
        """
        headers = {"Range": f"bytes={offset}-", "Accept-Encoding": "identity"}
        if same_as and offset:
            headers["If-Range"] = same_as
        try:
            answer = self._client.get(url, headers, self.own_headers() if own else {})
        except RedirectionRefused as error:
            raise PackageError(
                "source_refused",
                f"{web.without_secrets(url)} {error.why}.",
                hint="Name the source by an address that needs no such redirection.",
            ) from error
        except Late as late:
            raise _too_late(late) from late
        except (NotConnected, Broken) as error:
            raise _unreachable(url, error) from error
        if answer.status >= 300:
            answer.close()
            raise _refused(url, answer.status, answer.reason)
        return answer

    def own_headers(self) -> dict[str, str]:
        """What is sent with each request to the server of the source, credentials included."""
        headers = dict(self._access.headers)
        if self._access.username is not None:
            pair = f"{self._access.username}:{self._access.password or ''}"
            headers["Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
        return headers


class RemoteBlob:
    """A file on a web server; making it asks for it once.

    Where the server redirects, the address that answers is the one for the whole task: each way
    there could lead to another server, and what a host fetches is to come from the one that was
    looked at.

    :ivar url: the address as it was given.
    :ivar resolved: the address that answers.
    :ivar key: names the file; its query, which may be a secret, only as a digest.
    :ivar certificate: of the server that answers, which was verified; None without TLS.
    :ivar seekable: whether the server sends a part of the file without all that is before it.

    :raises PackageError: as for ``Web.get``; ``source_refused`` also where the server does not say
        the size; ``invalid_package`` where it answers with a page.
    :raises TimedOut: the deadline passed.
    """

    def __init__(self, web_: Web, url: str) -> None:
        self.url = url
        self.label = web.without_secrets(url)
        query = urllib.parse.urlsplit(url).query
        self.key = f"{self.label}?{hashlib.sha256(query.encode()).hexdigest()}" if query else url
        self._web = web_
        first = web_.get(url)
        if first.headers.get("Content-Type", "").partition(";")[0].strip().lower() in _PAGES:
            first.close()
            raise page_instead(self.label)
        self._first: Answer | None = first
        self.resolved, self.certificate = first.url, first.certificate
        self.seekable = first.status == _PARTIAL_CONTENT
        self.size, self.stamp = _size(first, self.label), _validator(first)
        self._modified = first.headers.get("Last-Modified", "")
        # "ETag", where it is a strong one, is all that If-Range takes.
        self._etag = self.stamp if self.stamp.startswith('"') else ""
        self._etags_vary = False

    def open(self, offset: int = 0) -> Stream:
        """Begin to read; the answer to the first question serves the first reader that begins at
        the start.
        """
        if self._first is not None:
            first, self._first = self._first, None
            if offset == 0:
                return _Download(self, first, 0)
            first.close()
        return _Download(self, self.ask(offset), offset)

    def ask(self, offset: int) -> Answer:
        """A connection from a byte on.

        :raises PackageError: ``source_changed`` when the file is another meanwhile.
        :raises TimedOut: the deadline passed.
        """
        answer = self._answer(offset)
        if not self._is_the_same(answer) and self._is_of_another_mirror(answer):
            answer.close()
            # An ETag in the question would have a mirror that does not know it send the whole file.
            self._etag, self._etags_vary = "", True
            answer = self._answer(offset)
        if not self._is_the_same(answer):
            answer.close()
            raise PackageError(
                "source_changed",
                f"{self.label} was changed while it was read.",
                hint="Run again.",
            )
        if answer.status != _PARTIAL_CONTENT and offset:
            self._skip(
                answer,
                offset,
            )  # a server without ranges sends all, and the part before is thrown away
        return answer

    def unchanged(self) -> bool:
        """Each request for more of it has made sure of that."""
        return True

    def request_headers(self) -> dict[str, str]:
        """What a host must send that is to fetch the file itself from where it was found."""
        return self._web.own_headers() if web.same_server(self.resolved, self.url) else {}

    def _answer(self, offset: int) -> Answer:
        own = web.same_server(self.resolved, self.url)
        try:
            return self._web.get(self.resolved, offset, self._etag, own=own)
        except PackageError as error:
            if self.resolved == self.url or error.error_code not in (
                "source_refused",
                "source_missing",
            ):
                raise
        # An address that a server redirects to may be good for some minutes only: let it redirect
        # again.
        answer = self._web.get(self.url, offset, self._etag)
        self.resolved, self.certificate = answer.url, answer.certificate
        return answer

    def _is_the_same(self, answer: Answer) -> bool:
        """Whether an answer is of the file that was looked at, as far as its headers show."""
        if _size(answer, self.label) != self.size:
            return False
        if self._etags_vary:
            return answer.headers.get("Last-Modified", "") == self._modified
        return _validator(answer) == self.stamp

    def _is_of_another_mirror(self, answer: Answer) -> bool:
        """Whether only the ETag is another, as it is where several servers, each with ETags of its own, answer.

        Where there is no time of last change, the next answers decide: the ETag of a file that was
        exchanged is the same from then on, those of mirrors go on changing. Digests have the last
        word in any case.
        """
        if not self._etag or _size(answer, self.label) != self.size:
            return False
        if self._modified or answer.headers.get("Last-Modified"):
            return answer.headers.get("Last-Modified", "") == self._modified
        return any(self._etag_now() != _validator(answer) for _probe in range(_PROBES))

    def _etag_now(self) -> str:
        answer = self._answer(max(self.size - 1, 0))
        answer.close()
        return _validator(answer)

    def _skip(self, answer: Answer, count: int) -> None:
        buffer = memoryview(bytearray(min(count, 2**20)))
        try:
            while count:
                read = answer.readinto(buffer[: min(count, len(buffer))])
                if not read:
                    raise PackageError(
                        "source_unreadable",
                        f"{self.label} breaks off.",
                        hint="Run again.",
                    )
                count -= read
        except Late as late:
            raise _too_late(late) from late
        except Broken as error:
            raise _unreachable(self.url, error) from error


class _Download:
    """One pass over a remote file, which survives broken connections."""

    def __init__(self, blob: RemoteBlob, answer: Answer, at: int) -> None:
        self._blob = blob
        self._answer = answer
        self._at = at

    def readinto(self, buffer: memoryview) -> int:
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                read = self._answer.readinto(buffer)
            except Late as late:
                raise _too_late(late) from late
            except Broken as error:
                if attempt == _ATTEMPTS and not isinstance(error.cause, http.client.IncompleteRead):
                    raise _unreachable(self._blob.url, error) from error
                read = 0
            if read or self._at >= self._blob.size or not len(buffer):
                self._at += read
                return read
            self._answer.close()
            self._answer = self._blob.ask(self._at)
        raise PackageError(
            "source_unreadable",
            f"{self._blob.label} breaks off after {self._at} bytes.",
            hint="Run again.",
        )

    def close(self) -> None:
        self._answer.close()


def parse_url(text: str) -> str:
    """A checked address.

    :raises PackageError: ``invalid_source``, also for one that holds a password, which would be
        shown in many places.
    """
    try:
        parts = urllib.parse.urlsplit(text)
        text.encode("ascii")
        _port = parts.port
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
        raise PackageError(
            "invalid_source",
            f"{web.without_secrets(text)} is no http or https address.",
        )
    return text


def _size(answer: Answer, label: str) -> int:
    match = re.fullmatch(r"bytes \d+-\d+/(\d+)", answer.headers.get("Content-Range", ""))
    length = match[1] if match else answer.headers.get("Content-Length", "")
    if not re.fullmatch(r"[0-9]{1,18}", length):
        raise PackageError(
            "source_refused",
            f"The server of {label} does not say how large the file is.",
            hint="vSphere needs the size before the first byte: serve it as a plain file, or download it first.",
        )
    return int(length)


def _validator(answer: Answer) -> str:
    etag = answer.headers.get("ETag", "")
    if etag.startswith('"'):
        return etag
    modified = answer.headers.get("Last-Modified", "")
    return f"{modified} {_size(answer, 'it')}" if modified else ""


def page_instead(label: str) -> PackageError:
    """The error for a page in the place of a file."""
    return PackageError(
        "invalid_package",
        f"{label} is an HTML page, and not the file of a package: a sign-in page?",
        hint="Open the address in a browser. Where it asks who you are, set source_username and source_password, "
        "or source_headers with a token.",
    )


def _refused(url: str, status: int, reason: str) -> PackageError:
    code = "source_missing" if status in (404, 410) else "source_refused"
    hint = "Check the address." if code == "source_missing" else "Run again, or ask who runs that server."
    if status == 407:
        hint = "It is the proxy of the environment that wants a login: write it into http_proxy, as http://user:password@proxy:3128."
    if status in (401, 403):
        hint = "Check source_username and source_password, or source_headers."
        if urllib.parse.urlsplit(url).query:
            hint += (
                " An address that is presigned is good for one file and for some time: "
                "make a new one, and use it for an OVA, which is one file."
            )
    label = web.without_secrets(url)
    return PackageError(
        code,
        f"The server of {label} refuses it ({status} {reason}).",
        hint=hint,
        status=status,
    )


def _unreachable(url: str, error: NotConnected | Broken) -> PackageError:
    label = web.without_secrets(url)
    if isinstance(error.cause, ssl.SSLCertVerificationError):
        untrusted = PackageError(
            "source_untrusted",
            f"The certificate of the server of {label} does not pass verification ({error.cause.verify_message}).",
            hint="Set source_ca_path to the CA that signed it.",
        )
        if not tls.is_of_unknown_authority(error.cause):
            untrusted.hint = "Have that certificate put right, or name the server as its certificate does."
        return untrusted
    return PackageError(
        "source_unreadable",
        f"{label} cannot be read ({error.why}).",
        hint="Check the address, the network and the proxy.",
    )


def _too_late(late: Late) -> TimedOut:
    return TimedOut(
        f"The time allowed for the task was over while the source was read: {late.why}.",
        hint="Raise timeout, or look at that server and at the network in between.",
    )
