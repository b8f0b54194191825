# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run tasks of evc against a simulator, and look at it from outside."""

from __future__ import annotations

import typing as t

from ansible_collections.vforge.vsphere.plugins.module_utils._evc import task
from ansible_collections.vforge.vsphere.plugins.module_utils._evc.model import Options
from ansible_collections.vforge.vsphere.plugins.modules import evc
from ansible_collections.vforge.vsphere.tests.unit.plugins.accepted import accepted
from ansible_collections.vforge.vsphere.tests.unit.plugins.running import Ran, Runner, Work

CLUSTER = "DC0_C0"


class Evc(Runner):
    """Runs tasks against one simulator."""

    module = "evc"

    def work(self, given: dict[str, t.Any], check: bool) -> Work:
        """A task of evc."""
        options = Options.from_params(accepted(evc.argument_spec(), given))
        return lambda session: task.run(session, options, check=check)

    def cluster(self, mode: str, *, check: bool = False, **more: t.Any) -> Ran:
        """A task about the cluster that may fail."""
        return self.attempt(check=check, cluster=CLUSTER, mode=mode, **more)

    def vms(self, mode: str, *names: str, check: bool = False, **more: t.Any) -> Ran:
        """A task about VMs that may fail."""
        return self.attempt(check=check, mode=mode, vms=[{"name": name} for name in names], **more)

    def mode_of_cluster(self) -> str | None:
        """What govc sees."""
        found = self.sim.govc("object.collect", "-json", f"/DC0/host/{CLUSTER}", "summary")
        return t.cast("str | None", found[0]["val"].get("currentEVCModeKey"))

    def vm(self, name: str) -> dict[str, t.Any]:
        """What govc sees of a VM."""
        return t.cast("dict[str, t.Any]", self.sim.govc("vm.info", "-e", name)["virtualMachines"][0])

    def make(self, name: str, **options: t.Any) -> None:
        """A VM of the cluster."""
        self.sim.create_vm(name, host=f"{CLUSTER}_H0", **options)
