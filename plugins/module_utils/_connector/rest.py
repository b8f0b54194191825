# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The REST API of a vCenter, for what SOAP does not have, such as tags.

It has sessions of its own. The paths are those below ``/rest``, which every release since 6.5 has.
Newer ones have ``/api`` besides and call ``/rest`` deprecated; a server that knows nothing of
``/rest`` is asked there.
"""

from __future__ import annotations

import base64
import contextlib
import json
import math
import threading
import time
import types
import typing as t

from .. import _signals
from .._errors import ConnectionFailed, ConnectionLost, Fault, SessionExpired, StrangeAnswer, Unavailable
from . import tls, web
from .options import ConnectionOptions

_SESSION = "/com/vmware/cis/session"

# What paths below /rest are below /api (vSphere Automation API reference, cis).
_NEWER = ((_SESSION, "/session"), ("/com/vmware/", "/"), ("/id:", "/"), ("?~action=", "?action="))

# Bytes of one answer; that for a hundred thousand attached tags is some 10 MiB.
_LONGEST_ANSWER = 64 * 1024 * 1024

# What logging out may take after a signal, whose sender does not wait long.
_FAREWELL_SECONDS = 2.0

_HEADERS = {"Accept": "application/json", "Content-Type": "application/json"}


class RestSession:
    """A context manager; entering logs in, leaving logs out.

    :param options: where and how to connect, as for SOAP.
    :param warn: called with one sentence for what the user should know but that stops nothing.
    :param deadline: of ``time.monotonic()``, for all of its calls.
    :raises ConnectionFailed: on entering; its ``error_code`` says at which step.
    :raises MissingLibrary: requests is not there.
    """

    def __init__(self, options: ConnectionOptions, warn: t.Callable[[str], None], deadline: float = math.inf) -> None:
        self._options = options
        self._warn = warn
        self._token = ""
        self._newer = False
        self._clock = web.Clock(options.connection_timeout, deadline)
        self._stop = web.Stop()
        self._client = web.Client(tls.context_for(options), self._clock, lambda _url: options.proxies, self._stop)

    def __enter__(self) -> RestSession:
        pair = f"{self._options.username}:{self._options.password}".encode()
        headers = {"Authorization": f"Basic {base64.b64encode(pair).decode()}"}
        try:
            self._token = self._login(headers)
        except BaseException:
            self._client.close()
            raise
        return self

    def _login(self, headers: dict[str, str]) -> str:
        try:
            token = self._send("POST", _SESSION, None, headers)
        except Fault as fault:
            if fault.error_code != "not_found":
                raise
            self._newer = True
            token = self._send("POST", _SESSION, None, headers)
        with self.understood("its session"):
            return t.cast("str", token.strip())

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: types.TracebackType | None,
    ) -> None:
        try:
            # A server that has just failed to answer would only be waited for once more.
            if not isinstance(error, (ConnectionFailed, ConnectionLost, SessionExpired)):
                self._log_out()
        except SessionExpired:
            pass  # it is closed
        except (ConnectionFailed, ConnectionLost, Fault) as failure:
            self._warn(f"The session of the REST API could not be closed: {failure}")
        finally:
            self._client.close()

    def _log_out(self) -> None:
        farewell = threading.Timer(_FAREWELL_SECONDS, self._stop.set)
        farewell.daemon = True
        if _signals.ended():
            farewell.start()
        try:
            self.call("DELETE", _SESSION)
        finally:
            farewell.cancel()

    @contextlib.contextmanager
    def understood(self, what: str) -> t.Iterator[None]:
        """For who takes an answer apart.

        :param what: it is about, for the message.
        :raises StrangeAnswer: it has another form.
        """
        try:
            yield
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise StrangeAnswer(
                f"What the REST API of {self._options.endpoint} answers of {what} has another form than it should.",
                hint="Is there a gateway in between that answers for it?",
            ) from error

    @contextlib.contextmanager
    def broken_off(self) -> t.Iterator[None]:
        """End all calls that are under way, at once; none comes to an answer as long as the context
        lasts.
        """
        self._stop.set()
        try:
            yield
        finally:
            self._stop.clear()

    def call(self, method: str, path: str, body: t.Any = None) -> t.Any:
        """Make one call; it may be made from several threads.

        A question whose answer was lost with the connection is asked once more.

        :param path: below ``/rest``, with its query, such as ``/com/vmware/cis/tagging/tag``.
        :param body: as JSON has it, or None.
        :returns: the value of the answer; None where it has none.
        :raises Fault: the vCenter refuses it.
        :raises SessionExpired: the vCenter has ended the session.
        :raises ConnectionLost: no answer came, or none that is JSON.
        """
        headers = {"vmware-api-session-id": self._token}
        try:
            return self._send(method, path, body, headers)
        except ConnectionLost as error:
            is_question = method == "GET" or "~action=list-" in path
            answered = isinstance(error, (StrangeAnswer, Unavailable))
            if not is_question or answered or self._stop.is_set() or self._clock.over():
                raise
            return self._send(method, path, body, headers)

    def _send(self, method: str, path: str, body: t.Any, headers: dict[str, str]) -> t.Any:
        where = self._options.endpoint
        data = None if body is None else json.dumps(body).encode()
        begun = time.monotonic()
        try:
            url = f"https://{self._options.authority}{self._path(path)}"
            answer = self._client.send(method, url, {**_HEADERS, **headers}, data)
            text = answer.read(_LONGEST_ANSWER)
        except web.NotConnected as error:
            cause = error.cause if isinstance(error.cause, OSError) else OSError(error.why)
            raise tls.failure(cause, self._options) from error
        except (web.Broken, web.Late) as error:
            seconds = round(time.monotonic() - begun)
            raise ConnectionLost(
                f"{where} did not answer a call of the REST API within {seconds} s ({error.why}).",
                hint="Run again.",
            ) from error
        if answer.status == 401 and self._token:
            raise SessionExpired(f"{where} no longer knows the session of the REST API.", hint="Run again.")
        if answer.status == 401:
            raise ConnectionFailed(
                "wrong_credentials",
                f"The REST API of {where} refuses the login of {self._options.username}.",
                hint="Check username, with its domain, and password.",
            )
        if not 200 <= answer.status < 300:
            raise _refused(answer.status, self._path(path), where)
        answered = _read(text, where)
        # Below /api it comes as it is.
        return answered.get("value") if isinstance(answered, dict) and not self._newer else answered

    def _path(self, path: str) -> str:
        """Where a path below ``/rest`` is on this server."""
        if not self._newer:
            return f"/rest{path}"
        for old, new in _NEWER:
            path = path.replace(old, new, 1)
        return f"/api{path}"


def _refused(status: int, path: str, where: str) -> Exception:
    what = path.partition("?")[0]
    if status == 429:
        return Unavailable(f"The REST API of {where} takes no more calls at present (HTTP 429).", hint="Run again later.")
    if status in (502, 503, 504):
        return Unavailable(f"The REST API of {where} is not up (HTTP {status}).", hint="Wait until vCenter has started.")
    if status == 403:
        return Fault(
            "NoPermission",
            "no_permission",
            f"This user may not call {what} of {where}.",
            hint="Give it the right to read.",
        )
    if status == 404:
        return Fault(
            "NotFound",
            "not_found",
            f"{where} knows nothing of {what}.",
            hint="It may have just been removed.",
        )
    return Fault(
        "RestError",
        "rest_error",
        f"{where} refuses {what} (HTTP {status}).",
        hint="Look into vCenter's own log.",
    )


def _read(text: bytes, where: str) -> t.Any:
    if not text:
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise StrangeAnswer(
            f"What {where} answers to a call of the REST API is no JSON.",
            hint="Is there a gateway in between that answers for it?",
        ) from None
