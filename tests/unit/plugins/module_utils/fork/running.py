# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run VMFork tasks against a simulator, and look at it from outside."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.vforge.vsphere.plugins.module_utils._connector.options import ConnectionOptions
from ansible_collections.vforge.vsphere.plugins.module_utils._connector.session import Session
from ansible_collections.vforge.vsphere.plugins.module_utils._errors import PartialFailure, VforgeError
from ansible_collections.vforge.vsphere.plugins.module_utils._fork import task
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.fork.support import options

ROUNDS = ("WaitForUpdatesEx", "ContinueRetrievePropertiesEx")

# What a child does when it goes on: it takes its own name, and its own card.
WAKE = [
    'modprobe -r vmxnet3; modprobe vmxnet3; hostnamectl set-hostname "$(vmware-rpctool "info-get guestinfo.fork.hostname")"'
]


@dataclasses.dataclass(frozen=True)
class Ran:
    """A task that ran: what it returned, the error that it raised, and what the server counted by method."""

    result: dict[str, t.Any]
    error: VforgeError | None
    calls: dict[str, int]

    @property
    def one(self) -> dict[str, t.Any]:
        """The entry of the only parent."""
        assert len(self.result["parents"]) == 1
        return t.cast("dict[str, t.Any]", self.result["parents"][0])

    @property
    def children(self) -> dict[str, dict[str, t.Any]]:
        """The entries of children by name."""
        return {child["name"]: child for child in self.result["children"]}

    @property
    def actions(self) -> dict[str, str]:
        """What was done, by the names of the children."""
        return {name: child["action"] for name, child in self.children.items()}

    @property
    def listed(self) -> list[str]:
        """The names of the children that vCenter lists of the only parent."""
        return [child["name"] for child in self.one["children"]]

    @property
    def code(self) -> str:
        """The error code of the only parent."""
        return str(self.one["error"]["error_code"])

    @property
    def total(self) -> int:
        """Calls in the budget."""
        return sum(count for method, count in self.calls.items() if method not in ROUNDS)


class Forks:
    """Runs tasks against one simulator; the parent is golden-parent, and the credentials are right, unless given."""

    def __init__(self, sim: t.Any) -> None:
        self.sim = sim
        self.tell: t.Callable[[str], None] = lambda _line: None
        self.warnings: list[str] = []
        self.connection = ConnectionOptions(
            hostname=sim.host,
            port=sim.port,
            username=sim.username,
            password=sim.password,
            ca_path=sim.ca,
            session_cache=False,
        )

    def run(self, *, check: bool = False, **given: t.Any) -> Ran:
        """Run one task that must succeed."""
        ran = self.attempt(check=check, **given)
        if ran.error is not None:
            raise ran.error
        return ran

    def attempt(self, *, check: bool = False, **given: t.Any) -> Ran:
        """Run one task that may fail."""
        login = {
            "guest_username": self.sim.guest_username,
            "guest_password": self.sim.guest_password,
            "on_wake": WAKE,
            "state": "quiesced",
        }
        asked = options(**{**login, **given})
        self.sim.reset_calls()
        result: dict[str, t.Any] = {}
        failure: VforgeError | None = None
        try:
            with Session(self.connection, self.warnings.append, self.tell) as session:
                result = task.run(session, asked, check=check)
        except PartialFailure as error:
            result, failure = error.result, error
        except VforgeError as error:
            failure = error
        return Ran(result, failure, self.sim.calls()["by_method"])

    def refused(self, **given: t.Any) -> VforgeError:
        """Run one task that must be refused as a whole, before anything is done."""
        ran = self.attempt(**given)
        assert ran.error is not None
        assert ran.result == {}
        assert not any(method.endswith("_Task") and not method.startswith("Retrieve") for method in ran.calls)
        return ran.error

    def vm(self, name: str = "golden-parent") -> dict[str, t.Any]:
        """A VM as govc sees it."""
        return t.cast("dict[str, t.Any]", self.sim.govc("vm.info", "-e", name)["virtualMachines"][0])

    def fork_info(self, name: str = "golden-parent") -> dict[str, t.Any]:
        """``config.forkConfigInfo`` as govc sees it."""
        return dict(self.vm(name)["config"].get("forkConfigInfo") or {})

    def quiesced(self, name: str = "golden-parent") -> bool:
        """Whether a VM is a quiesced parent."""
        return bool(self.vm(name)["runtime"].get("quiescedForkParent"))

    def left_in_guest(self, name: str = "golden-parent") -> list[str]:
        """What of ours is in a guest."""
        return [path for path in self.sim.vm(name)["guest"]["files"] if "vforge" in path]


def named(*names: str, **common: t.Any) -> list[dict[str, t.Any]]:
    """Items of children, each with its name as a parameter."""
    return [{"name": name, "config_params": {"hostname": name}, **common} for name in names]
