# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run tasks for templates against a simulator, and look at it from outside."""

from __future__ import annotations

import typing as t

from ansible_collections.vforge.vsphere.plugins.module_utils._ovf import info, task
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.ovf.support import options
from ansible_collections.vforge.vsphere.tests.unit.plugins.running import Ran, Runner, Work, succeeded


class Templates(Runner):
    """Runs tasks against one simulator; the template is web, in the first cluster, unless other options are given."""

    module = "cached_ovf_template"

    def work(self, given: dict[str, t.Any], check: bool) -> Work:
        """A task of cached_ovf_template."""
        asked = {"cluster": "DC0_C0", "default_network": "VM Network", "datacenter": "DC0", **given}
        asked = {key: value for key, value in asked.items() if value is not None}
        return lambda session: task.run(session, options(**asked), check=check)

    def run(self, source: t.Any, *, check: bool = False, **given: t.Any) -> Ran:
        """Run one task that must succeed."""
        return succeeded(self.attempt(source, check=check, **given))

    def attempt(self, source: t.Any, *, check: bool = False, **given: t.Any) -> Ran:
        """Run one task that may fail."""
        return super().attempt(check=check, source=str(source) if source else None, **given)

    def info(self, **given: t.Any) -> Ran:
        """Run one task of the information module."""
        asked = info.InfoOptions.from_params({"recurse": True, "used_by": False, **given})
        return self.documented(self.ran(lambda session: info.run(session, asked)), "cached_ovf_template_info")

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
