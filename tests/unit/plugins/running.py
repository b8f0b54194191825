# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run tasks against a simulator, and keep what came of them: the one harness for the tasks of every module.

A folder's own ``running.py`` says which task it is, with which options, and how to look at the result from outside.
"""

from __future__ import annotations

import abc
import concurrent.futures
import dataclasses
import os
import signal
import threading
import typing as t

from ansible_collections.vforge.vsphere.plugins.module_utils import _signals
from ansible_collections.vforge.vsphere.plugins.module_utils._connector.options import ConnectionOptions
from ansible_collections.vforge.vsphere.plugins.module_utils._connector.session import Session
from ansible_collections.vforge.vsphere.plugins.module_utils._errors import PartialFailure, VforgeError
from ansible_collections.vforge.vsphere.tests.unit.plugins import returned
from ansible_collections.vforge.vsphere.tests.unit.plugins.deadlines import time_over

# Rounds of one long question, which budgets of calls leave out.
ROUNDS = ("WaitForUpdatesEx",)

# What a task does once there is a session; returns its result.
Work = t.Callable[[Session], dict[str, t.Any]]


def budget(calls: t.Mapping[str, int]) -> int:
    """How many of the calls, counted by method, a budget counts."""
    return sum(count for method, count in calls.items() if method not in ROUNDS)


@dataclasses.dataclass(frozen=True)
class Ran:
    """A task that ran: what it returned, the error that it raised, and what the server counted by method.

    received: bytes of all answers.
    """

    result: dict[str, t.Any]
    error: VforgeError | None
    calls: dict[str, int]
    received: int = 0

    @property
    def total(self) -> int:
        """Calls in the budget."""
        return budget(self.calls)

    def called(self, method: str) -> int:
        """How often the server was called with this method."""
        return self.calls.get(method, 0)

    @property
    def code(self) -> str:
        """The error code of the only parent or VM; where the result has no such entries, that of the task."""
        if self.result.keys() & {"parents", "vms"}:
            return str(self.one["error"]["error_code"])
        assert self.error is not None
        return self.error.error_code

    # The entries, under the names that the modules give them

    @property
    def parents(self) -> list[dict[str, t.Any]]:
        """The entries of parents."""
        return t.cast("list[dict[str, t.Any]]", self.result["parents"])

    @property
    def vms(self) -> list[dict[str, t.Any]]:
        """The entries of VMs."""
        return t.cast("list[dict[str, t.Any]]", self.result["vms"])

    @property
    def clones(self) -> dict[str, dict[str, t.Any]]:
        """The entries of clones by name."""
        return {clone["name"]: clone for clone in self.result["clones"]}

    @property
    def children(self) -> dict[str, dict[str, t.Any]]:
        """The entries of children by name."""
        return {child["name"]: child for child in self.result["children"]}

    @property
    def actions(self) -> dict[str, str]:
        """What was done, by the names of the clones or children."""
        made = self.clones if "clones" in self.result else self.children
        return {name: entry["action"] for name, entry in made.items()}

    @property
    def one(self) -> dict[str, t.Any]:
        """The entry of the only parent or VM."""
        entries = self.parents if "parents" in self.result else self.vms
        assert len(entries) == 1
        return entries[0]

    @property
    def disk(self) -> dict[str, t.Any]:
        """The only disk of the only VM."""
        assert len(self.one["disks"]) == 1
        return t.cast("dict[str, t.Any]", self.one["disks"][0])

    @property
    def listed(self) -> list[str]:
        """The names of the children that vCenter lists of the only parent."""
        return [child["name"] for child in self.one["children"]]


_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Runner(abc.ABC):
    """Runs one kind of task against one simulator. What it returns has to be as the RETURN of its module says.

    module: the module whose task it is. username, password: of another user than the administrator. cache: whether sessions
    are kept. counting: False where other processes work on the simulator at the same time, whose counts would be lost.

    warnings, lines: what tasks warned of, and what they said of their progress, so far.
    """

    module: t.ClassVar[str]

    def __init__(
        self, sim: t.Any, *, username: str = "", password: str = "", cache: bool = False, counting: bool = True
    ) -> None:
        self.sim = sim
        self.counting = counting
        self.warnings: list[str] = []
        self.lines: list[str] = []
        self.tell: t.Callable[[str], None] = self.lines.append
        self.connection = ConnectionOptions(
            hostname=sim.host,
            port=sim.port,
            username=username or sim.username,
            password=password or sim.password,
            ca_path=sim.ca,
            session_cache=cache,
        )

    @abc.abstractmethod
    def work(self, given: dict[str, t.Any], check: bool) -> Work:
        """The task with these options, and with those that are always the same in its tests."""

    def run(self, *, check: bool = False, **given: t.Any) -> Ran:
        """Run one task that must succeed."""
        return succeeded(self.attempt(check=check, **given))

    def attempt(self, *, check: bool = False, **given: t.Any) -> Ran:
        """Run one task that may fail."""
        return self.documented(self.ran(self.work(given, check)))

    def late(
        self, after: str, count: int = 1, *, since: tuple[str, int] | None = None, saying: str = "", **given: t.Any
    ) -> Ran:
        """Run one task that may fail, and whose time is over when a call has come to its end: see ``time_over``."""
        with time_over(after, count, since=since, saying=saying):
            return self.attempt(**{"timeout": 600, **given})

    def meanwhile(self, method: str, count: int, do: t.Callable[[], t.Any], about: str = "", **given: t.Any) -> Ran:
        """Run one task, and while the server holds one of its calls, do something beside it.

        :param method: what is called.
        :param count: how often it is called before something is done.
        :param about: the VM whose call is held; without it the last one of ``count`` is.
        """
        self.sim.reset_calls()  # or the counts of the task before could be taken for this one's
        held = self.sim.inject(method=method, name=about, nth=1 if about else count, do="delay")
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            run = pool.submit(self.attempt, **given)
            try:
                while not self.sim.called(method, count) and not run.done():
                    pass  # it has waited a while
                do()
            finally:
                self.sim.clear(held)
            return run.result()

    def ended_at(
        self, method: str, count: int = 1, *, ready: t.Callable[[], bool] = lambda: True, answered: bool = True, **given: t.Any
    ) -> Ran:
        """Run one task that SIGTERM ends in the middle of a call.

        :param method: of the call, which the server holds, as it does those that come after it.
        :param count: which of its calls it is.
        :param ready: what has to be so before the signal is sent.
        :param answered: whether they are answered once the task has noticed the signal; otherwise that one never is.
        """
        over = threading.Event()
        self.sim.reset_calls()
        rule = self.sim.inject(method=method, nth=count, times=0 if answered else 1, do="delay")

        def strike() -> None:
            while not over.is_set() and not (self.sim.called(method, count) and ready()):
                pass  # it has waited a while
            if not over.is_set():
                os.kill(os.getpid(), signal.SIGTERM)
            while answered and not _signals.ended() and not over.wait(0.01):
                pass
            # From its handler to where it lets no more calls begin; for those under way it waits five times as long.
            over.wait(1.0)
            if answered:
                self.sim.clear(rule)

        striker = threading.Thread(target=strike)
        # A run that a signal has ended ignores signals from then on, as a module may that is at its end.
        before = {number: signal.getsignal(number) for number in _SIGNALS}
        try:
            with _signals.as_interrupts():
                striker.start()
                ran = self.attempt(**given)
        finally:
            over.set()
            striker.join()
            if not answered:
                self.sim.clear(rule)
            for number, handler in before.items():
                signal.signal(number, handler)
        assert "The run was ended by SIGTERM." in str(ran.error)
        return ran

    def ran(self, work: Work, before: t.Callable[[], None] = lambda: None) -> Ran:
        """Do the work in a session; an error of ours is kept. before: what the module does before it connects."""
        if self.counting:
            self.sim.reset_calls()
        result: dict[str, t.Any] = {}
        failure: VforgeError | None = None
        session: Session | None = None
        try:
            before()
            session = Session(self.connection, self.warnings.append, self.tell)
            with session:
                result = work(session)
        except PartialFailure as error:
            result, failure = error.result, error
        except VforgeError as error:
            failure = error
        return Ran(result, failure, self.sim.calls()["by_method"], session.stats.received if session else 0)

    def documented(self, ran: Ran, module: str = "") -> Ran:
        """The same, if it is as the module's RETURN says: that of this kind of task, or another one."""
        failed = {"failed": True, **ran.error.as_result()} if ran.error is not None else {}
        details = ran.error.details if ran.error is not None else ()
        returned.check(module or self.module, {**failed, **ran.result}, whole=False, details=details)
        return ran


def succeeded(ran: Ran) -> Ran:
    """The same, unless it failed: then its error is raised."""
    if ran.error is not None:
        raise ran.error
    return ran
