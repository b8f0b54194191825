# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Carry files to and from the URLs that vSphere hands out; they are the ESXi hosts', each with a certificate of its own."""

from __future__ import annotations

import dataclasses
import http.client
import typing as t
import urllib.parse

from .._errors import ConnectionFailed, ConnectionLost
from .pool import ConnectionPool

if t.TYPE_CHECKING:
    from .options import ConnectionOptions

_LONGEST_REASON = 200


class TransferRefused(ConnectionLost):
    """The host answered a transfer with something else than success; nothing, or a part, was carried."""


def put(options: ConnectionOptions, url: str, data: bytes, pin: str | None) -> None:
    """Send a file.

    :param options: of the vCenter; they say through which proxy, and how long a request may take.
    :param pin: digest of the certificate of the ESXi host, as ``tls.pinned`` takes it. It is not used where the URL
        is the vCenter's own.
    :raises ConnectionFailed: the host cannot be reached, or is not the one; nothing was sent.
    :raises ConnectionLost: it may or may not have got the file.
    """
    _request(options, "PUT", url, data, pin)


def get(options: ConnectionOptions, url: str, pin: str | None) -> bytes:
    """Receive a file; parameters and errors as for ``put``."""
    return _request(options, "GET", url, None, pin)


def _request(options: ConnectionOptions, method: str, url: str, data: bytes | None, pin: str | None) -> bytes:
    where, path = endpoint(options, url, pin)
    connection = ConnectionPool(where).take()
    try:
        connection.request(method, path, body=data)
        answer = connection.getresponse()
        body = answer.read()
    except (OSError, http.client.HTTPException) as error:
        why = getattr(error, "strerror", None) or type(error).__name__
        raise ConnectionLost(f"{where.endpoint} broke the transfer off ({why}).", hint="Run again.") from error
    finally:
        connection.close()
    judge(where, answer)
    return body


def judge(where: ConnectionOptions, answer: http.client.HTTPResponse) -> None:
    """Make sure that the host has taken or given what was asked for.

    :raises TransferRefused: it has not.
    """
    if not 200 <= answer.status < 300:
        reason = f"{answer.status} {answer.reason}"[:_LONGEST_REASON]
        raise TransferRefused(f"{where.endpoint} refused the transfer ({reason}).", hint="Run again.", status=answer.status)


def endpoint(options: ConnectionOptions, url: str, pin: str | None) -> tuple[ConnectionOptions, str]:
    """How to reach what a URL leads to, and its path there.

    ``*`` for the host means the server that the client is connected to (API reference, FileTransferInformation.url).

    :raises ConnectionFailed: it leads to a host whose certificate is not known.
    """
    parts = urllib.parse.urlsplit(url)
    if parts.scheme != "https" or not parts.hostname:
        raise ConnectionFailed("transfer_url", "vCenter handed out no HTTPS address for the transfer.")
    host, port = parts.hostname, parts.port or 443
    path = urllib.parse.urlunsplit(("", "", parts.path, parts.query, ""))
    if host == "*" or (host, port) == (options.hostname.lower(), options.port):
        return options, path
    if pin is None:
        raise ConnectionFailed(
            "host_certificate_unknown",
            f"vCenter does not tell the certificate of the ESXi host {host}, so nothing is sent to it.",
            hint="Give the user the right to read the configuration of the host.",
        )
    return dataclasses.replace(options, hostname=host, port=port, thumbprint=pin), path
