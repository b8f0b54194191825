# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run instant clone tasks against a simulator, and look at it from outside."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import typing as t

from ansible_collections.vforge.vsphere.plugins.module_utils._clone.flow import run
from ansible_collections.vforge.vsphere.plugins.module_utils._connector.options import ConnectionOptions
from ansible_collections.vforge.vsphere.plugins.module_utils._connector.session import Session
from ansible_collections.vforge.vsphere.plugins.module_utils._errors import PartialFailure, VforgeError
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.clone.support import options

# Rounds of one long question, which budgets of calls leave out.
ROUNDS = ("WaitForUpdatesEx", "ContinueRetrievePropertiesEx")


@dataclasses.dataclass(frozen=True)
class Ran:
    """A task that ran: what it returned, the error that it raised, and what the server counted by method."""

    result: dict[str, t.Any]
    error: VforgeError | None
    calls: dict[str, int]

    @property
    def clones(self) -> dict[str, dict[str, t.Any]]:
        """The entries by the names of the clones."""
        return {clone["name"]: clone for clone in self.result["clones"]}

    @property
    def actions(self) -> dict[str, str]:
        """What was done, by the names of the clones."""
        return {name: clone["action"] for name, clone in self.clones.items()}

    @property
    def total(self) -> int:
        """Calls in the budget."""
        return sum(count for method, count in self.calls.items() if method not in ROUNDS)

    def called(self, method: str) -> int:
        """How often the server was called with this method."""
        return self.calls.get(method, 0)


class Tasks:
    """Runs tasks against one simulator; the parent is golden-parent unless given.

    username, password: of another user than the administrator. cache: whether sessions are kept.
    """

    def __init__(self, sim: t.Any, *, username: str = "", password: str = "", cache: bool = False) -> None:
        self.sim = sim
        self._connection = ConnectionOptions(
            hostname=sim.host,
            port=sim.port,
            username=username or sim.username,
            password=password or sim.password,
            ca_path=sim.ca,
            session_cache=cache,
        )
        self.warnings: list[str] = []

    def run(self, *, check: bool = False, **given: t.Any) -> Ran:
        """Run one task that must succeed."""
        ran = self.attempt(check=check, **given)
        if ran.error is not None:
            raise ran.error
        return ran

    def attempt(self, *, check: bool = False, **given: t.Any) -> Ran:
        """Run one task that may fail."""
        self.sim.reset_calls()
        result: dict[str, t.Any] = {}
        failure: VforgeError | None = None
        try:
            with Session(self._connection, self.warnings.append) as session:
                result = self._task(session, given, check)
        except PartialFailure as error:
            result, failure = error.result, error
        except VforgeError as error:
            failure = error
        return Ran(result, failure, self.sim.calls()["by_method"])

    def _task(self, session: Session, given: dict[str, t.Any], check: bool) -> dict[str, t.Any]:
        return run(session, options(**given), check=check)

    def refused(self, **given: t.Any) -> VforgeError:
        """Run one task that must be refused as a whole, with nothing made."""
        before = self.names()
        ran = self.attempt(**given)
        assert ran.error is not None
        assert ran.result == {}
        assert ran.called("InstantClone_Task") == 0
        assert self.names() == before
        return ran.error

    def names(self, folder: str = "/DC0/vm") -> list[str]:
        """The names in a folder, as govc reads them."""
        elements = self.sim.govc("ls", folder)["elements"] or []
        return sorted(element["Path"].rsplit("/", 1)[-1] for element in elements)

    def meanwhile(self, method: str, count: int, do: t.Callable[[], t.Any], **given: t.Any) -> Ran:
        """Run one task, and once the server has been called with ``method`` so often, do something beside it.

        The method must be delayed, so that the task is still at it; each look at the counts is a request of its own.
        """
        self.sim.reset_calls()  # or the counts of the task before could be taken for this one's
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            run = pool.submit(self.attempt, **given)
            while self.sim.calls()["by_method"].get(method, 0) < count and not run.done():
                pass
            do()
            return run.result()
