# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run parent tasks against a simulator, and look at it from outside."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.vforge.vsphere.plugins.module_utils._connector.options import ConnectionOptions
from ansible_collections.vforge.vsphere.plugins.module_utils._connector.session import Session
from ansible_collections.vforge.vsphere.plugins.module_utils._errors import PartialFailure, VforgeError
from ansible_collections.vforge.vsphere.plugins.module_utils._parent import flow, info
from ansible_collections.vforge.vsphere.plugins.modules.instant_clone_parent_info import argument_spec as info_spec
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.parent.support import options, validated

ROUNDS = ("WaitForUpdatesEx", "ContinueRetrievePropertiesEx")


@dataclasses.dataclass(frozen=True)
class Ran:
    """A task that ran: what it returned, the error that it raised, and what the server counted by method."""

    result: dict[str, t.Any]
    error: VforgeError | None
    calls: dict[str, int]

    @property
    def parents(self) -> list[dict[str, t.Any]]:
        """The entries."""
        return t.cast("list[dict[str, t.Any]]", self.result["parents"])

    @property
    def one(self) -> dict[str, t.Any]:
        """The entry of the only parent."""
        assert len(self.parents) == 1
        return self.parents[0]

    @property
    def code(self) -> str:
        """The error code of the only parent."""
        return str(self.one["error"]["error_code"])

    @property
    def total(self) -> int:
        """Calls in the budget."""
        return sum(count for method, count in self.calls.items() if method not in ROUNDS)


class Parents:
    """Runs tasks against one simulator; the parent is golden-parent, and the credentials are right, unless given."""

    def __init__(self, sim: t.Any, *, cache: bool = False) -> None:
        self.sim = sim
        self.tell: t.Callable[[str], None] = lambda _line: None
        self._connection = ConnectionOptions(
            hostname=sim.host,
            port=sim.port,
            username=sim.username,
            password=sim.password,
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
        login = {"guest_username": self.sim.guest_username, "guest_password": self.sim.guest_password}
        asked = options(**{**login, **given})
        return self._ran(lambda session: flow.run(session, asked, check=check))

    def info(self, **given: t.Any) -> Ran:
        """Run one task of the information module."""
        named = {} if "parents" in given else {"parent": {"name": "golden-parent"}}
        asked = info.InfoOptions.from_params(validated(info_spec(), **{**named, **given}))
        ran = self._ran(lambda session: info.run(session, asked))
        if ran.error is not None:
            raise ran.error
        return ran

    def _ran(self, work: t.Callable[[Session], dict[str, t.Any]]) -> Ran:
        self.sim.reset_calls()
        result: dict[str, t.Any] = {}
        failure: VforgeError | None = None
        try:
            with Session(self._connection, self.warnings.append, self.tell) as session:
                result = work(session)
        except PartialFailure as error:
            result, failure = error.result, error
        except VforgeError as error:
            failure = error
        return Ran(result, failure, self.sim.calls()["by_method"])

    def frozen(self, name: str = "golden-parent") -> bool:
        """Whether a VM is frozen, as the simulator tells."""
        return bool(self.sim.vm(name)["frozen"])

    def left_in_guest(self, name: str = "golden-parent") -> list[str]:
        """What of ours is in a guest."""
        return [path for path in self.sim.vm(name)["guest"]["files"] if "vforge" in path]
