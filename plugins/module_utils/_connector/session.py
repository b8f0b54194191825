# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One session with a vCenter; everything reaches vSphere through it.

A task logs in at most once, and not at all while a session that an earlier task kept is alive. Each
process makes and removes a PropertyCollector of its own, so that processes that share a session do
not see each other's filters.

Sessions are kept between tasks in files that only their owner can read. Such a file holds the
session cookie, the API version, the references of the service content and a salted verifier of the
password: a session is handed only to who gives the password that it was opened with. The password
itself is never kept.

The way to a vCenter: everything that several domains need, usable part by part, in a module or
outside of one.

A session. It is opened in at most three calls, in one where an earlier task has kept it; each error
has its code::

    options = ConnectionOptions.from_params({"hostname": "vc.example", "username": "u", "password": "p"})
    with Session(options, warn=print) as session:
        ...

Finding, in a number of calls that does not depend on the size of the inventory::

    vm = find_vm(session, Selector(name="golden"), datacenter="DC0")
    paths = paths_of(session, [vm])  # {"vm-42": "/DC0/vm/golden"}

Reading many properties of many objects in one call, or along routes from a root; what is gone is
left out::

    rows = read(session, [vm], vim.VirtualMachine, ["name", "runtime.host"])
    every = collect(session, [session.content.rootFolder], {vim.VirtualMachine: ("name",)}, TO_VMS)

A single call. ``retrying`` opens a new session when vCenter has ended this one, and calls once
more::

    found = session.retrying(lambda: session.manager("searchIndex").FindByInventoryPath("DC0/vm"))

Many calls at once, one wait for all of their tasks, and an account that no failure and no signal
can falsify::

    works = [Work(name, start=lambda name=name: vm.InstantClone_Task(spec(name)), repeatable=True) for name in wanted]
    done = run_batch(session, works, parallel=8, deadline=time.monotonic() + 600)
    made = [outcome.result for outcome in done.outcomes.values() if outcome.error is None]

Waiting until something holds for each of some objects, with one filter for all, at most four rounds
a second::

    paths = ["runtime.powerState"]
    is_off = lambda update: update.gone or update.state["runtime.powerState"] == "poweredOff"
    late = wait_until(session, made, vim.VirtualMachine, paths, deadline, is_off)

All parts raise ``VforgeError`` and its kinds alone (``_errors``), whose text is for the user to
read. ``faults`` makes them of vSphere's faults; ``names`` is pure. Threads may share a session,
processes may not.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import fcntl
import functools
import hashlib
import hmac
import json
import math
import os
import re
import secrets
import threading
import time
import types
import typing as t

from .. import _files, _signals
from .._errors import (
    CallTimedOut,
    Cancelled,
    ConnectionFailed,
    ConnectionLost,
    Fault,
    Interrupted,
    InvalidOption,
    NotSupported,
    SessionExpired,
    StrangeAnswer,
    Unavailable,
    VforgeError,
)
from .._files import PrivateFolder
from . import faults
from .names import is_sendable
from .options import ConnectionOptions
from .props import utc
from .pyvmomi import VmomiSupport, vim
from .soap import CallStats, Limit, Stub, not_a_vcenter, unavailable
from .tasks import MOST_SESSIONS, MOST_TRIES, Pace, Together

_FORMAT = 3

# Of the verifier of a password.
_ROUNDS_OF_DIGEST = 20_000


@dataclasses.dataclass(frozen=True)
class KeptSession:
    """What it takes to go on with a session.

    :ivar cookie: value of the ``vmware_soap_session`` cookie, as it came; never in ``repr``.
    :ivar about: ``apiVersion``, ``apiType``, ``fullName``, ``instanceUuid`` of the vCenter.
    :ivar references: the service content's managed objects, as attribute -> (type, moid).
    """

    cookie: str = dataclasses.field(repr=False)
    about: dict[str, str]
    references: dict[str, tuple[str, str]]


class SessionStore:
    """The kept session of one set of connection options.

    :param options: whose session.
    :param warn: called with one sentence when a file or folder cannot be trusted.
    """

    def __init__(self, options: ConnectionOptions, warn: t.Callable[[str], None]) -> None:
        self._password = options.password
        self._most_seconds = float(options.connection_timeout)
        self._name = options.cache_key()
        self._show = warn
        self._warned: set[str] = set()
        self._folder = PrivateFolder.find(self._warn, "sessions", "a new session is opened") if options.session_cache else None

    @contextlib.contextmanager
    def locked(self, seconds: float | None = None) -> t.Iterator[None]:
        """Hold the right to log in for these options, among all processes of this user.

        Death releases it.

        :param seconds: who waits longer goes on without it: two logins are better than
            none. None: as long as one request may take.
        """
        handle = self._open("lock", os.O_RDWR | os.O_CREAT)
        try:
            if handle is not None:
                handle = self._locked(handle, self._most_seconds if seconds is None else seconds)
            yield
        finally:
            if handle is not None:
                os.close(handle)

    def load(self) -> KeptSession | None:
        """The kept session, or None when there is none that is ours, whole and for this password.

        A file that is damaged, in whatever way, is warned of once and replaced by the next session.
        """
        text = self._read()
        if text is None:
            return None
        try:
            data = _files.parsed(text)
            if data["format"] != _FORMAT:
                return None
            # What holds for any password comes first, so that damage is reported as such.
            session = _kept_session(data)
            return session if hmac.compare_digest(_verifier(self._password, data["salt"]), data["verifier"]) else None
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError):
            self._warn("The kept session file is damaged; a new session is opened.")
            return None

    def save(self, session: KeptSession) -> bool:
        """Keep a session: whole or not at all, whoever reads at the same moment.

        False when it is not kept.
        """
        if self._folder is None:
            return False
        salt = secrets.token_hex(16)
        data: dict[str, t.Any] = {
            "format": _FORMAT,
            **dataclasses.asdict(session),
            "salt": salt,
            "verifier": _verifier(self._password, salt),
        }
        data["digest"] = _digest(data)
        try:
            self._folder.write(f"{self._name}.json", json.dumps(data).encode())
        except InvalidOption as error:
            self._warn(f"The session cannot be kept for later tasks. {error}")
            return False
        return True

    def _locked(self, handle: int, seconds: float) -> int | None:
        """The file that is locked and to be closed; None, with a warning, where it cannot be
        locked.
        """
        why = ""
        try:
            if _lock(handle, seconds):
                return handle
        except OSError as error:
            # A file system may have no locks, such as NFS without its lock manager.
            os.close(handle)
            why = f" ({error.strerror or error})"
        self._warn(f"The lock of the kept session cannot be had{why}; this task logs in beside the others.")
        return None

    def _warn(self, message: str) -> None:
        """Warn, but of one thing only once, however often the file is looked at."""
        if message not in self._warned:
            self._warned.add(message)
            self._show(message)

    def _open(self, ending: str, flags: int) -> int | None:
        """A file of ours, open.

        None, with a warning, when it may be somebody else's or others can read it.
        """
        return self._folder.open(f"{self._name}.{ending}", flags) if self._folder else None

    def _read(self) -> bytes | None:
        return self._folder.read(f"{self._name}.json") if self._folder else None


def _kept_session(data: dict[str, t.Any]) -> KeptSession:
    """:raises KeyError, TypeError, ValueError, AttributeError: when a part is missing or of another
    kind.
    """
    if data["digest"] != _digest(data):
        raise ValueError("digest")
    about = {_text(name): _text(value) for name, value in data["about"].items()}
    given = {_text(name): (_text(kind), _text(moid)) for name, (kind, moid) in data["references"].items()}
    # A newer pyVmomi, in another task, may know more of them.
    references = {name: reference for name, reference in given.items() if name in _kinds()}
    for name, (kind, moid) in references.items():
        if not issubclass(VmomiSupport.GetVmodlType(kind), _kinds()[name]) or not moid:
            raise ValueError(name)
    if not about["apiVersion"] or "propertyCollector" not in references:
        raise ValueError("a part is missing")
    cookie = _text(data["cookie"])
    bare = cookie[1:-1] if len(cookie) > 1 and cookie[0] == cookie[-1] == '"' else cookie
    if not cookie.isascii() or not cookie.isprintable() or '"' in bare:
        raise ValueError("no cookie")
    return KeptSession(cookie=cookie, about=about, references=references)


@functools.cache
def _kinds() -> dict[str, t.Any]:
    """The types of what a service content holds, by attribute."""
    return {info.name: info.type for info in vim.ServiceInstanceContent._GetPropertyList()}


def _digest(data: t.Mapping[str, t.Any]) -> str:
    """Of all that a file holds but this: with it damage is noticed wherever it is."""
    rest = {name: value for name, value in data.items() if name != "digest"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def _text(value: t.Any) -> str:
    """:raises ValueError: it is none, or one that cannot be sent."""
    if not isinstance(value, str) or not is_sendable(value):
        raise ValueError("no text")
    return value


def _lock(handle: int, seconds: float) -> bool:
    """Lock an open file; False when another process has held it for ``seconds`` seconds: it is
    closed then, or will be.

    :raises OSError: the file system refuses; the handle is still open.
    """
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        pass
    else:
        return True
    waiting = _files.LockWait(handle)
    if waiting.over.wait(seconds) and waiting.refused is None:
        return True
    waiting.give_up()
    return False


def _verifier(password: str, salt: str) -> str:
    # A few milliseconds, in every task of a play. Who could try a word list on it has read a file
    # that its owner alone can read, and has the session itself; what is left to guard is a password
    # that is used elsewhere, and so each guess still costs thousands of times a plain digest.
    # PBKDF2 also works where FIPS forbids scrypt.
    return hashlib.pbkdf2_hmac("sha256", password.encode(), bytes.fromhex(salt), _ROUNDS_OF_DIGEST).hex()


T = t.TypeVar("T")

# What every vCenter has.
_NEEDED = ("about", "rootFolder", "propertyCollector", "sessionManager")

_ABOUT = ("apiVersion", "apiType", "fullName", "instanceUuid")


def _say_nothing(message: str) -> None:
    """The default for ``warn`` and ``show``: a caller that wants to know passes its own."""


class Session:
    """A context manager; entering connects, leaving logs out or leaves the session to later tasks.

    :param options: where and how to connect.
    :param warn: called with one sentence for what the user should know but that stops nothing.
    :param show: called with one line whenever long work has come further; it may be called very
        often.
    :param begun: when the task began, of ``time.monotonic()``; its deadline counts from there.
        None: from when it is asked for.
    :param timeout: seconds from there that all calls together may take, clean-up apart; None for no
        such end.
    :raises ConnectionFailed: on entering; its ``error_code`` says at which step.

    ``content`` is the ServiceContent, ``stub`` the stub for references made from moids, ``stats``
    counts calls, ``pace`` spaces the rounds of waiting, ``about`` is a dict of the vCenter's
    version, ``generation`` counts how often the session was replaced, ``limit`` is how long
    calls may take. ``together`` is set where threads of their own wait for tasks, each for its own.
    ``owed`` is what threads could not do while no call was allowed; ``pay`` does it.
    """

    def __init__(
        self,
        options: ConnectionOptions,
        warn: t.Callable[[str], None] = _say_nothing,
        show: t.Callable[[str], None] = _say_nothing,
        begun: float | None = None,
        timeout: float | None = None,
    ) -> None:
        self.options = options
        self.stats = CallStats()
        self.pace = Pace()
        self.together: Together | None = None
        self.owed: list[t.Callable[[], None]] = []
        self.about: dict[str, str] = {}
        self.content = vim.ServiceInstanceContent()
        self._begun = begun
        end = math.inf if timeout is None else self.deadline(timeout)
        self.limit = Limit(options.connection_timeout, end)
        self.stub = Stub(options, self.stats, self.limit)
        self.warn = warn
        self.show_progress = show
        self._store = SessionStore(options, warn)
        self._logged_in = self._kept = False
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
        except Interrupted as end:
            if self._logged_in:
                self.__exit__(type(end), end, end.__traceback__)
            self.stub.DropConnections()
            raise
        except BaseException:
            self.stub.DropConnections()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: types.TracebackType | None,
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
        """When a task that may take ``timeout`` seconds has to end, of ``time.monotonic()``.

        Connecting counts, too.
        """
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
        """A PropertyCollector that no other wait of this process uses, for as long as the context
        lasts.

        A round on a collector brings the changes of all of its filters, so two waits on one would
        take each other's. After a signal in mid-round, or a late answer, it is destroyed, since
        vCenter is still busy with that round; the next wait gets another. So it does after a round
        that was cancelled, since the collector may be gone.
        """
        with self._collecting:
            free = [known for known in self._collectors if known._GetMoId() not in self._waited_on]
            collector = free[0] if free else self._new_collector()
            if not free:
                self._collectors.append(collector)
            self._waited_on.add(collector._GetMoId())
        try:
            yield collector
        except (Interrupted, CallTimedOut, Cancelled):
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

    def pay(self) -> None:
        """Do what threads could not do while no call was allowed, after a signal.

        Nothing is done as long as that lasts: what is refused is put back. None of it raises a
        VforgeError: what goes wrong is a warning.
        """
        if self.stub.connections.are_halted:
            return
        for _each in range(len(self.owed)):
            self.owed.pop(0)()

    def retrying(self, do: t.Callable[[], T]) -> T:
        """Run ``do``; when the session turns out to be dead, open another and run it again.

        That goes on as long as other calls are answered in the new sessions. vCenter carries out
        nothing for a dead session, so any call may be repeated. ``do`` must take ``collector``
        afresh, since the old one died with its session.
        """
        for _session in range(MOST_TRIES):
            generation = self.generation
            try:
                answer = do()
            except SessionExpired:
                self.renew(generation)
            except Fault as fault:
                # Another thread has replaced the session between two calls of ``do``, and a
                # collector of the old one with it.
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
        """Replace the session that was found dead, unless another thread has done so since
        ``generation``.

        :raises SessionExpired: in the last ones no call was answered.
        """
        with self._renewing:
            if self.generation == generation:
                if generation - self._useful >= MOST_SESSIONS - 1:
                    raise faults.session_expired()
                self._replace(dead=self.stub.session_id)
                self.generation += 1

    def current_time(self) -> datetime.datetime:
        """By vCenter's clock, which its objects are dated by."""
        instance = vim.ServiceInstance("ServiceInstance", self.stub)
        return t.cast(datetime.datetime, utc(self.retrying(instance.CurrentTime)))

    def manager(self, name: str) -> t.Any:
        """A manager of the service content, such as ``ovfManager``; each is optional there.

        :raises NotSupported: this server has none.
        """
        found = getattr(self.content, name)
        if found is None:
            raise NotSupported(
                f"{self.options.endpoint} has no {name}.",
                hint="Either this vCenter is too old for that, or something else answers at this address.",
            )
        return found

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
        """Take the session that another process has opened meanwhile, or log in.

        One process at a time does this.

        What can fail slowly comes before the lock: behind a vCenter that is not there nobody waits
        for others' time-outs.
        """
        login = self.stub.for_login()
        content = self._service_content(login, login.negotiate())
        with self._store.locked(self.limit.seconds()):
            kept = self._store.load()
            if kept is not None and kept.cookie != dead and self._resume(kept):
                return
            self._login(login, content)

    def _service_content(self, login: Stub, doubt: str) -> t.Any:
        """What the vCenter has, which it says to everybody.

        :param doubt: of ``negotiate``.
        """
        try:
            content = vim.ServiceInstance("ServiceInstance", login).RetrieveContent()
        except StrangeAnswer as error:
            if error.is_newer:
                raise
            raise not_a_vcenter(self.options, doubt or "answers, but not as vSphere does") from error
        except ConnectionLost as error:
            if not doubt or isinstance(error, (CallTimedOut, Unavailable)):
                raise
            raise not_a_vcenter(self.options, doubt) from error
        if not isinstance(content, vim.ServiceInstanceContent) or any(getattr(content, name) is None for name in _NEEDED):
            raise not_a_vcenter(self.options, doubt or "answers, but not as vSphere does")
        if content.about.apiType != "VirtualCenter":
            raise not_a_vcenter(self.options, f"is {content.about.fullName}")
        return content

    def _login(self, login: Stub, content: t.Any) -> None:
        """Log in; a signal waits until it is known which session that is."""
        with _signals.held_back(login.connections.break_off):
            self._log_in(login, content)

    def _log_in(self, login: Stub, content: t.Any) -> None:
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
        self._logged_in = True
        self._kept = self._store.save(session)
        self._adopt(session)
        self._begin()

    def _resume(self, kept: KeptSession) -> bool:
        """Go on with a kept session; the first call shows whether it is alive."""
        self._adopt(kept)
        try:
            self._begin()
        except (SessionExpired, Fault, StrangeAnswer):
            # Not expired: a vCenter that was rebuilt behind this address may not know the
            # references.
            return False
        self._kept = True
        return True

    def _adopt(self, session: KeptSession) -> None:
        self.about = session.about
        self.stub.session_id = session.cookie
        self.stub.speak(session.about["apiVersion"])
        # A new one: a vCenter that was rebuilt behind this address may have fewer managers.
        content = vim.ServiceInstanceContent()
        for name, (kind, moid) in session.references.items():
            setattr(content, name, VmomiSupport.GetVmodlType(kind)(moid, self.stub))
        self.content = content

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
    # vCenter has no fault of its own for a locked account; only the words of the message say so.
    if re.search(r"\blocked\b", fault.message, re.IGNORECASE):
        return ConnectionFailed(
            "account_locked",
            f"The account {user} is locked on {where}.",
            hint="Wait until the lockout ends (5 minutes by default) or have it unlocked, then check the password.",
        )
    if fault.fault == "PasswordExpired":
        return ConnectionFailed(
            "password_expired",
            f"The password of {user} has expired on {where}.",
            hint="Set a new one in vCenter.",
        )
    if fault.fault == "InvalidLogin":
        return ConnectionFailed(
            "wrong_credentials",
            f"{where} refuses the password of {user}, or does not know the user.",
            hint="Check username, with its domain, and password. A locked account can look the same.",
        )
    return ConnectionFailed("login_refused", f"{where} refuses the login of {user}: {fault.message}", hint=fault.hint)
