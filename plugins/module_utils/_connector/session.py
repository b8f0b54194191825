# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One session with a vCenter; everything reaches vSphere through it.

A task logs in at most once, and not at all while a session that an earlier task kept is alive. Each process makes and
removes a PropertyCollector of its own, so that processes that share a session do not see each other's filters.
"""

from __future__ import annotations

import threading
import types
import typing as t

from .._errors import ConnectionFailed, Fault, SessionExpired, VforgeError
from .options import ConnectionOptions
from .pyvmomi import VmomiSupport, vim
from .store import KeptSession, SessionStore
from .stub import CallStats, Stub, not_a_vcenter
from .tasks import Pace

T = t.TypeVar("T")

_ABOUT = ("apiVersion", "apiType", "fullName", "instanceUuid")


def _say_nothing(message: str) -> None:
    """The default for ``warn`` and ``tell``: a caller that wants to hear passes its own."""


class Session:
    """A context manager; entering connects, leaving logs out or leaves the session to later tasks.

    :param options: where and how to connect.
    :param warn: called with one sentence for what the user should know but that stops nothing.
    :param tell: called with one line whenever long work has come further; it may be called very often.
    :raises ConnectionFailed: on entering; its ``error_code`` says at which step.

    ``content`` is the ServiceContent, ``stub`` the stub for references made from moids, ``stats`` counts calls,
    ``pace`` spaces the rounds of waiting, ``about`` is a dict of the vCenter's version facts, ``generation`` counts how
    often the session was replaced.
    """

    def __init__(
        self,
        options: ConnectionOptions,
        warn: t.Callable[[str], None] = _say_nothing,
        tell: t.Callable[[str], None] = _say_nothing,
    ) -> None:
        self.options = options
        self.stats = CallStats()
        self.pace = Pace()
        self.about: dict[str, str] = {}
        self.content = vim.ServiceInstanceContent()
        self.stub = Stub(options, self.stats)
        self.warn = warn
        self.tell = tell
        self._store = SessionStore(options, warn)
        self._collector: t.Any = None
        self._renewing = threading.Lock()
        self.generation = 0

    def __enter__(self) -> Session:
        try:
            kept = self._store.load()
            if kept is None or not self._resume(kept):
                self._share_or_login(dead=kept.cookie if kept else None)
        except BaseException:
            self.stub.DropConnections()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: types.TracebackType | None
    ) -> None:
        try:
            if self._store.enabled and self._collector is not None:
                self._collector.DestroyPropertyCollector()
            elif not self._store.enabled:
                self.content.sessionManager.Logout()
        except SessionExpired:
            pass  # what was to be removed went with the session
        except VforgeError as failure:
            self.warn(f"The session could not be closed: {failure}")
        finally:
            self.stub.DropConnections()

    @property
    def collector(self) -> t.Any:
        """This process's own PropertyCollector."""
        if self._collector is None:
            raise RuntimeError("the session is not open")
        return self._collector

    def retrying(self, do: t.Callable[[], T]) -> T:
        """Run ``do``; when the session turns out to be dead, open another and run it once more.

        vCenter carries out nothing for a dead session, so any call may be repeated. ``do`` must take ``collector``
        afresh, since the old one died with its session.
        """
        generation = self.generation
        try:
            return do()
        except SessionExpired:
            self.renew(generation)
            return do()

    def renew(self, generation: int) -> None:
        """Replace the session that was found dead, unless another thread has done so since ``generation``."""
        with self._renewing:
            if self.generation == generation:
                self._share_or_login(dead=self.stub.GetSessionId())
                self.generation += 1

    def reference(self, kind: type[T], moid: str) -> T:
        """A managed object by its moid; nothing is sent."""
        return kind(moid, self.stub)  # type: ignore[call-arg]

    def _share_or_login(self, dead: str | None) -> None:
        """Take the session that another process has opened meanwhile, or log in; one process at a time does this."""
        with self._store.locked():
            kept = self._store.load()
            if kept is not None and kept.cookie != dead and self._resume(kept):
                return
            self._login()
            if self._store.enabled:
                self._store.save(self._to_keep())

    def _resume(self, kept: KeptSession) -> bool:
        """Go on with a kept session; the first call tells whether it is alive."""
        self.stub.SetSessionId(kept.cookie)
        self._adopt(kept.about, kept.references)
        try:
            self._collector = self.content.propertyCollector.CreatePropertyCollector()
        except SessionExpired:
            return False
        return True

    def _adopt(self, about: dict[str, str], references: dict[str, tuple[str, str]]) -> None:
        self.about = about
        self.stub.speak(about["apiVersion"])
        for name, (kind, moid) in references.items():
            setattr(self.content, name, VmomiSupport.GetVmodlType(kind)(moid, self.stub))

    def _login(self) -> None:
        self.stub.SetSessionId(None)
        content = vim.ServiceInstance("ServiceInstance", self.stub).RetrieveContent()
        if not isinstance(content, vim.ServiceInstanceContent):
            raise not_a_vcenter(self.options, "answers, but not as vSphere does")
        if content.about.apiType != "VirtualCenter":
            raise not_a_vcenter(self.options, f"is {content.about.fullName}")
        self.content = content
        self.about = {name: getattr(content.about, name) or "" for name in _ABOUT}
        self.stub.speak(content.about.apiVersion)
        try:
            content.sessionManager.Login(self.options.username, self.options.password, None)
        except Fault as fault:
            raise _login_failure(fault, self.options) from fault
        self._collector = content.propertyCollector.CreatePropertyCollector()

    def _to_keep(self) -> KeptSession:
        references = {
            info.name: (type(value).__name__, value._GetMoId())
            for info in self.content._GetPropertyList()
            if isinstance(value := getattr(self.content, info.name), vim.ManagedObject)
        }
        return KeptSession(cookie=self.stub.GetSessionId(), about=self.about, references=references)


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
