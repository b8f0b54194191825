# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run tasks for templates against a simulator, and look at it from outside."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.vforge.vsphere.plugins.module_utils._connector.options import ConnectionOptions
from ansible_collections.vforge.vsphere.plugins.module_utils._connector.session import Session
from ansible_collections.vforge.vsphere.plugins.module_utils._errors import VforgeError
from ansible_collections.vforge.vsphere.plugins.module_utils._ovf import flow, info
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.ovf.support import options

ROUNDS = ("WaitForUpdatesEx", "ContinueRetrievePropertiesEx")


@dataclasses.dataclass(frozen=True)
class Ran:
    """A task that ran: its result, or the error that it raised, and what the server counted by method."""

    result: dict[str, t.Any]
    error: VforgeError | None
    calls: dict[str, int]

    @property
    def total(self) -> int:
        """Calls in the budget."""
        return sum(count for method, count in self.calls.items() if method not in ROUNDS)

    @property
    def code(self) -> str:
        """Of the error."""
        assert self.error is not None
        return self.error.error_code


class Templates:
    """Runs tasks against one simulator; the template is web, in the first cluster, unless other options are given.

    :param counting: False where other processes work on it at the same time, whose counts would be lost.
    """

    def __init__(self, sim: t.Any, *, cache: bool = False, counting: bool = True) -> None:
        self.sim = sim
        self.counting = counting
        self.warnings: list[str] = []
        self.lines: list[str] = []
        self.connection = ConnectionOptions(
            hostname=sim.host,
            port=sim.port,
            username=sim.username,
            password=sim.password,
            ca_path=sim.ca,
            session_cache=cache,
        )

    def run(self, source: t.Any, *, check: bool = False, **given: t.Any) -> Ran:
        """Run one task that must succeed."""
        ran = self.attempt(source, check=check, **given)
        if ran.error is not None:
            raise ran.error
        return ran

    def attempt(self, source: t.Any, *, check: bool = False, **given: t.Any) -> Ran:
        """Run one task that may fail."""
        asked = {"source": str(source) if source else None, "cluster": "DC0_C0", "default_network": "VM Network"}
        asked = {key: value for key, value in {**asked, "datacenter": "DC0", **given}.items() if value is not None}
        return self._ran(lambda session: flow.run(session, options(**asked), check=check))

    def info(self, **given: t.Any) -> Ran:
        """Run one task of the information module."""
        asked = info.InfoOptions.from_params({"used_by": False, **given})
        return self._ran(lambda session: info.run(session, asked))

    def _ran(self, work: t.Callable[[Session], dict[str, t.Any]]) -> Ran:
        if self.counting:
            self.sim.reset_calls()
        result: dict[str, t.Any] = {}
        failure: VforgeError | None = None
        try:
            with Session(self.connection, self.warnings.append, self.lines.append) as session:
                result = work(session)
        except VforgeError as error:
            failure = error
        return Ran(result, failure, self.sim.calls()["by_method"])

    def policy(self, name: str, *datastores: str) -> str:
        """Make a storage policy that allows these datastores; its ID."""
        return str(self.sim.request("POST", "/policies", {"name": name, "datastores": list(datastores)})["id"])

    def uploads(self) -> list[dict[str, t.Any]]:
        """What the hosts were sent."""
        return list(self.sim.request("GET", "/uploads")["uploads"])

    def nothing_left(self) -> bool:
        """Whether no lease is open, and no file lies about that no VM refers to."""
        leases, orphans = self.sim.request("GET", "/leases"), self.sim.request("GET", "/orphans")
        assert leases["open"] == 0, leases
        assert orphans["files"] == [], orphans
        return True

    def vms(self, pattern: str = "web*") -> list[str]:
        """The paths of the VMs and templates of such names, as govc sees them."""
        found = self.sim.govc("find", "/DC0/vm", "-type", "m", "-name", pattern)
        return sorted(found or [])
