# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run VMFork tasks against a simulator, and look at it from outside."""

from __future__ import annotations

import typing as t

from ansible_collections.vforge.vsphere.plugins.module_utils._errors import VforgeError
from ansible_collections.vforge.vsphere.plugins.module_utils._fork import task
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.fork.support import options
from ansible_collections.vforge.vsphere.tests.unit.plugins.running import Runner, Work

# What a child does when it goes on: it takes its own name, and its own card.
WAKE = [
    'modprobe -r vmxnet3; modprobe vmxnet3; hostnamectl set-hostname "$(vmware-rpctool "info-get guestinfo.fork.hostname")"'
]


class Forks(Runner):
    """Runs tasks against one simulator; the parent is golden-parent, and the credentials are right, unless given."""

    module = "fork_parent"

    def work(self, given: dict[str, t.Any], check: bool) -> Work:
        """A task of fork_parent."""
        login = {
            "guest_username": self.sim.guest_username,
            "guest_password": self.sim.guest_password,
            "on_wake": WAKE,
            "state": "quiesced",
        }
        asked = options(**{**login, **given})
        return lambda session: task.run(session, asked, check=check)

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
