# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One session with a vCenter; everything reaches vSphere through it.

A task logs in at most once, and not at all while a session that an earlier task kept is alive. Each process makes and
removes a PropertyCollector of its own, so that processes that share a session do not see each other's filters.
"""

from __future__ import annotations

import contextlib
import math
import threading
import time
import types
import typing as t

from .._errors import (
    CallTimedOut,
    ConnectionFailed,
    ConnectionLost,
    Fault,
    Interrupted,
    SessionExpired,
    StrangeAnswer,
    Unavailable,
    VforgeError,
)
from . import faults
from .limit import Limit
from .options import ConnectionOptions
from .pyvmomi import VmomiSupport, vim
from .store import KeptSession, SessionStore
from .stub import CallStats, Stub, not_a_vcenter, unavailable
from .tasks import MOST_SESSIONS, MOST_TRIES, Pace

T = t.TypeVar("T")

_ABOUT = ("apiVersion", "apiType", "fullName", "instanceUuid")


def _say_nothing(message: str) -> None:
    """The default for ``warn`` and ``tell``: a caller that wants to hear passes its own."""


class Session:
    """A context manager; entering connects, leaving logs out or leaves the session to later tasks.

    :param options: where and how to connect.
    :param warn: called with one sentence for what the user should know but that stops nothing.
    :param tell: called with one line whenever long work has come further; it may be called very often.
    :param begun: when the task began, of ``time.monotonic()``; its deadline counts from there. None: from when it is asked for.
    :param timeout: seconds from there that all calls together may take, clean-up apart; None for no such end.
    :raises ConnectionFailed: on entering; its ``error_code`` says at which step.

    ``content`` is the ServiceContent, ``stub`` the stub for references made from moids, ``stats`` counts calls,
    ``pace`` spaces the rounds of waiting, ``about`` is a dict of the vCenter's version facts, ``generation`` counts how
    often the session was replaced, ``limit`` is how long calls may take.
    """

    def __init__(
        self,
        options: ConnectionOptions,
        warn: t.Callable[[str], None] = _say_nothing,
        tell: t.Callable[[str], None] = _say_nothing,
        begun: float | None = None,
        timeout: float | None = None,
    ) -> None:
        self.options = options
        self.stats = CallStats()
        self.pace = Pace()
        self.about: dict[str, str] = {}
        self.content = vim.ServiceInstanceContent()
        self._begun = begun
        end = math.inf if timeout is None else self.deadline(timeout)
        self.limit = Limit(options.connection_timeout, end)
        self.stub = Stub(options, self.stats, self.limit)
        self.warn = warn
        self.tell = tell
        self._store = SessionStore(options, warn)
        self._kept = False
        self._collecting = threading.RLock()
        self._collectors: list[t.Any] = []
        self._waited_on: set[str] = set()
        self._renewing = threading.Lock()
        self.generation = 0
        self._useful = 0

    def __enter__(self) -> Session:
        try:
            kept = self._store.load()
            if kept is None or not self._resume(kept):
                self._replace(dead=kept.cookie if kept else None)
        except CallTimedOut as error:
            self.stub.DropConnections()
            raise ConnectionFailed("connection_timeout", error.message, hint=error.hint) from error
        except Unavailable as error:
            self.stub.DropConnections()
            raise unavailable(error) from error
        except BaseException:
            self.stub.DropConnections()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: types.TracebackType | None
    ) -> None:
        try:
            # A server that has just failed to answer would only be waited for once more.
            if not self.unreachable(error):
                self._close()
        except SessionExpired:
            pass  # what was to be removed went with the session
        except VforgeError as failure:
            self.warn(f"The session could not be closed: {failure}")
        finally:
            self.stub.DropConnections()

    def unreachable(self, error: BaseException | None = None) -> bool:
        """Whether one more call would only be waited for in vain.

        :param error: what the last one ended with.
        """
        return self.stub.connections.gone or isinstance(error, (ConnectionFailed, ConnectionLost))

    def deadline(self, timeout: float) -> float:
        """When a task that may take ``timeout`` seconds has to end, of ``time.monotonic()``; connecting counts, too."""
        return (time.monotonic() if self._begun is None else self._begun) + timeout

    @property
    def collector(self) -> t.Any:
        """A PropertyCollector of this process alone, to read with."""
        with self._collecting:
            if not self._collectors:
                self._collectors.append(self._new_collector())
            return self._collectors[0]

    @contextlib.contextmanager
    def collector_to_wait_on(self) -> t.Iterator[t.Any]:
        """A PropertyCollector that no other wait of this process uses, for as long as the context lasts.

        A round on a collector brings the changes of all of its filters, so two waits on one would take each other's.
        After a signal in mid-round, or a late answer, it is destroyed, since vCenter is still busy with that round; the next
        wait gets another.
        """
        with self._collecting:
            free = [known for known in self._collectors if known._GetMoId() not in self._waited_on]
            collector = free[0] if free else self._new_collector()
            if not free:
                self._collectors.append(collector)
            self._waited_on.add(collector._GetMoId())
        try:
            yield collector
        except (Interrupted, CallTimedOut):
            self._discard(collector)
            raise
        finally:
            with self._collecting:
                self._waited_on.discard(collector._GetMoId())

    def _discard(self, collector: t.Any) -> None:
        with self._collecting:
            if collector in self._collectors:
                self._collectors.remove(collector)
        if not self.unreachable():
            self._destroy(collector, "A wait could not be broken off")

    def _destroy(self, collector: t.Any, otherwise: str) -> None:
        try:
            collector.DestroyPropertyCollector()
        except SessionExpired:
            pass  # it went with the session
        except VforgeError as error:
            if not is_gone(error):
                self.warn(f"{otherwise}: {error}")

    def _new_collector(self) -> t.Any:
        return self.content.propertyCollector.CreatePropertyCollector()

    def retrying(self, do: t.Callable[[], T]) -> T:
        """Run ``do``; when the session turns out to be dead, open another and run it again.

        That goes on as long as other calls are answered in the new sessions. vCenter carries out nothing for a dead session,
        so any call may be repeated. ``do`` must take ``collector`` afresh, since the old one died with its session.
        """
        for _session in range(MOST_TRIES):
            generation = self.generation
            try:
                answer = do()
            except SessionExpired:
                self.renew(generation)
            except Fault as fault:
                # Another thread has replaced the session between two calls of ``do``, and a collector of the old one with it.
                if not is_gone(fault) or self.generation == generation:
                    raise
            else:
                self.useful(generation)
                return answer
        return do()

    def useful(self, generation: int) -> None:
        """Note that a call was answered in a session, which is worth replacing then."""
        self._useful = max(self._useful, generation)

    def renew(self, generation: int) -> None:
        """Replace the session that was found dead, unless another thread has done so since ``generation``.

        :raises SessionExpired: in the last ones no call was answered.
        """
        with self._renewing:
            if self.generation == generation:
                if generation - self._useful >= MOST_SESSIONS - 1:
                    raise faults.session_expired()
                self._replace(dead=self.stub.session_id)
                self.generation += 1

    def reference(self, kind: type[T], moid: str) -> T:
        """A managed object by its moid; nothing is sent."""
        return kind(moid, self.stub)  # type: ignore[call-arg]

    def _replace(self, dead: str | None) -> None:
        """Get a session that lives; vCenter may end the first ones at once."""
        for _session in range(MOST_SESSIONS - 1):
            try:
                return self._take_another(dead)
            except SessionExpired:
                dead = self.stub.session_id
        return self._take_another(dead)

    def _take_another(self, dead: str | None) -> None:
        """Take the session that another process has opened meanwhile, or log in; one process at a time does this.

        What can fail slowly comes before the lock: behind a vCenter that is not there nobody waits for others' time-outs.
        """
        login = self.stub.for_login()
        login.negotiate()
        content = self._service_content(login)
        with self._store.locked(self.limit.seconds()):
            kept = self._store.load()
            if kept is not None and kept.cookie != dead and self._resume(kept):
                return
            self._login(login, content)

    def _service_content(self, login: Stub) -> t.Any:
        try:
            content = vim.ServiceInstance("ServiceInstance", login).RetrieveContent()
        except StrangeAnswer as error:
            raise not_a_vcenter(self.options, "answers, but not as vSphere does") from error
        if not isinstance(content, vim.ServiceInstanceContent):
            raise not_a_vcenter(self.options, "answers, but not as vSphere does")
        if content.about.apiType != "VirtualCenter":
            raise not_a_vcenter(self.options, f"is {content.about.fullName}")
        return content

    def _login(self, login: Stub, content: t.Any) -> None:
        try:
            content.sessionManager.Login(self.options.username, self.options.password, None)
        except Fault as fault:
            raise _login_failure(fault, self.options) from fault
        cookie = login.GetSessionId()
        if not cookie:
            raise ConnectionFailed(
                "login_refused",
                f"{self.options.endpoint} accepts the login of {self.options.username}, but hands out no session.",
                hint="Look for a gateway or load balancer in between that drops the cookie vmware_soap_session.",
            )
        session = _to_keep(cookie, content)
        self._kept = self._store.save(session)
        self._adopt(session)
        self._begin()

    def _resume(self, kept: KeptSession) -> bool:
        """Go on with a kept session; the first call tells whether it is alive."""
        self._adopt(kept)
        try:
            self._begin()
        except (SessionExpired, Fault, StrangeAnswer):
            # Not expired: a vCenter that was rebuilt behind this address may not know the references.
            return False
        self._kept = True
        return True

    def _adopt(self, session: KeptSession) -> None:
        self.about = session.about
        self.stub.session_id = session.cookie
        self.stub.speak(session.about["apiVersion"])
        for name, (kind, moid) in session.references.items():
            setattr(self.content, name, VmomiSupport.GetVmodlType(kind)(moid, self.stub))

    def _begin(self) -> None:
        collector = self._new_collector()
        with self._collecting:
            # Those of a session before this one went with it.
            self._collectors = [collector]
            self._waited_on.clear()

    def _close(self) -> None:
        if not self._kept:
            self.content.sessionManager.Logout()
            return
        for collector in self._collectors:
            self._destroy(collector, "The session could not be closed")


def is_gone(error: BaseException) -> bool:
    """Whether vCenter does not know the object that was called."""
    return isinstance(error, Fault) and error.fault == "ManagedObjectNotFound"


def _to_keep(cookie: str, content: t.Any) -> KeptSession:
    references = {
        info.name: (type(value).__name__, value._GetMoId())
        for info in content._GetPropertyList()
        if isinstance(value := getattr(content, info.name), vim.ManagedObject)
    }
    about = {name: getattr(content.about, name) or "" for name in _ABOUT}
    return KeptSession(cookie=cookie, about=about, references=references)


def _login_failure(fault: Fault, options: ConnectionOptions) -> ConnectionFailed:
    user, where = options.username, options.endpoint
    # vCenter has no fault of its own for a locked account; only the words of the message tell.
    if "locked" in fault.message.lower():
        return ConnectionFailed(
            "account_locked",
            f"The account {user} is locked on {where}.",
            hint="Wait until the lockout ends (5 minutes by default) or have it unlocked, then check the password.",
        )
    if fault.fault == "PasswordExpired":
        return ConnectionFailed(
            "password_expired", f"The password of {user} has expired on {where}.", hint="Set a new one in vCenter."
        )
    if fault.fault == "InvalidLogin":
        return ConnectionFailed(
            "wrong_credentials",
            f"{where} refuses the password of {user}, or does not know the user.",
            hint="Check username, with its domain, and password. A locked account can look the same.",
        )
    return ConnectionFailed("login_refused", f"{where} refuses the login of {user}: {fault.message}", hint=fault.hint)
