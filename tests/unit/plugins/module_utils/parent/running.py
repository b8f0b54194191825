# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run parent tasks against a simulator, and look at it from outside."""

from __future__ import annotations

import typing as t

from ansible_collections.vforge.vsphere.plugins.module_utils._parent import info, task
from ansible_collections.vforge.vsphere.plugins.module_utils._parent.model import InfoOptions
from ansible_collections.vforge.vsphere.plugins.modules.instant_clone_parent_info import argument_spec as info_spec
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.parent.support import options, validated
from ansible_collections.vforge.vsphere.tests.unit.plugins.running import Ran, Runner, Work, succeeded


class Parents(Runner):
    """Runs tasks against one simulator; the parent is golden-parent, and the credentials are right, unless given."""

    module = "instant_clone_parent"

    def work(self, given: dict[str, t.Any], check: bool) -> Work:
        """A task of instant_clone_parent."""
        login = {"guest_username": self.sim.guest_username, "guest_password": self.sim.guest_password}
        asked = options(**{**login, **given})
        return lambda session: task.run(session, asked, check=check)

    def info(self, **given: t.Any) -> Ran:
        """Run one task of the information module that must succeed."""
        return succeeded(self.attempt_info(**given))

    def attempt_info(self, **given: t.Any) -> Ran:
        """Run one task of the information module that may fail."""
        named = {} if "parents" in given else {"parent": {"name": "golden-parent"}}
        asked = InfoOptions.from_params(validated(info_spec(), **{**named, **given}))
        return self.documented(self.ran(lambda session: info.run(session, asked)), "instant_clone_parent_info")

    def frozen(self, name: str = "golden-parent") -> bool:
        """Whether a VM is frozen, as the simulator tells."""
        return bool(self.sim.vm(name)["frozen"])

    def left_in_guest(self, name: str = "golden-parent") -> list[str]:
        """What of ours is in a guest."""
        return [path for path in self.sim.vm(name)["guest"]["files"] if "vforge" in path]
