# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run instant clone tasks against a simulator, and look at it from outside."""

from __future__ import annotations

import typing as t

from ansible_collections.vforge.vsphere.plugins.module_utils._clone.instant import run
from ansible_collections.vforge.vsphere.plugins.module_utils._errors import VforgeError
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.clone.support import options
from ansible_collections.vforge.vsphere.tests.unit.plugins.running import Ran, Runner, Work, succeeded


class Tasks(Runner):
    """Runs tasks against one simulator; the parent is golden-parent unless given."""

    module = "instant_clone"

    def work(self, given: dict[str, t.Any], check: bool) -> Work:
        """A task of instant_clone."""
        return lambda session: run(session, options(**given), check=check)

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

    def wait_for_late_guests(self, **given: t.Any) -> Ran:
        """Run one task that must succeed and whose clones report their addresses when it waits for them, and not before."""
        self.sim.patch_vm("golden-parent", guest={"hang": True})

        def report() -> None:
            for clone in given["clones"]:
                self.sim.patch_vm(clone["name"], guest={"hang": False})

        # The first filter is that of the tasks, the second that of the guests.
        return succeeded(self.meanwhile("CreateFilter", 2, report, **{**given, "wait_for_ip_address": True}))
