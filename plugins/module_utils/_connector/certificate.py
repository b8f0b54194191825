# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The certificate that a vCenter shows, for programs that have to be told its thumbprint."""

from __future__ import annotations

import hashlib

from .._errors import ConnectionFailed
from . import tls, web
from .options import ConnectionOptions
from .soap import VERSIONS_PATH

# By the names of the algorithms.
SHA1, SHA256 = "sha1", "sha256"


def thumbprints(options: ConnectionOptions) -> dict[str, str]:
    """The thumbprints of the vCenter's certificate, as ``AA:BB:...``, by the name of the algorithm: one HTTPS request.

    The certificate is checked as these options say, before it counts.

    :raises ConnectionFailed: there is no connection, or the certificate is not trusted.
    """
    proxies = {"https": f"http://{options.proxy}"} if options.proxy else {}
    client = web.Client(tls.context_for(options), web.Clock(options.connection_timeout), lambda _url: proxies)
    try:
        answer = client.send("GET", f"https://{options.endpoint}{VERSIONS_PATH}", {})
        found = answer.certificate
        answer.close()
    except web.WebError as error:
        cause = error.cause if isinstance(error.cause, OSError) else OSError(error.why)
        raise tls.failure(cause, options) from error
    finally:
        client.close()
    if found is None:
        raise ConnectionFailed(
            "tls_bad_certificate", f"{options.endpoint} shows no certificate.", hint="Look at hostname and port."
        )
    return {name: _colons(hashlib.new(name, found, usedforsecurity=False).hexdigest()) for name in (SHA1, SHA256)}


def _colons(digest: str) -> str:
    return ":".join(digest[at : at + 2] for at in range(0, len(digest), 2)).upper()
