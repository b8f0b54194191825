# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run linked clone tasks against a simulator, and look at it from outside."""

from __future__ import annotations

import typing as t

from ansible_collections.vforge.vsphere.plugins.module_utils._clone.linked import run
from ansible_collections.vforge.vsphere.plugins.module_utils._clone.model import LinkedOptions
from ansible_collections.vforge.vsphere.plugins.modules.linked_clone import argument_spec
from ansible_collections.vforge.vsphere.tests.unit.plugins.accepted import accepted
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.clone.running import Tasks
from ansible_collections.vforge.vsphere.tests.unit.plugins.running import Work


def options(**given: t.Any) -> LinkedOptions:
    """Typed options, as the module would have them."""
    return LinkedOptions.from_params(accepted(argument_spec(), given))


class LinkedTasks(Tasks):
    """Runs tasks against one simulator; the source is the VM ``golden``, whose snapshot ``base`` is cloned, unless given."""

    module = "linked_clone"

    def work(self, given: dict[str, t.Any], check: bool) -> Work:
        """A task of linked_clone."""
        common: dict[str, t.Any] = {"source": {"name": "golden"}, "snapshot": {"name": "base"}}
        return lambda session: run(session, options(**{**common, **given}), check=check)

    def prepare(self, **more: t.Any) -> dict[str, t.Any]:
        """Make the VM ``golden``, off, with a snapshot ``base``."""
        golden = self.sim.create_vm("golden", **{"on": False, **more})
        self.sim.govc("snapshot.create", "-vm", golden["path"], "-m=false", "base")
        return golden

    def as_user(self, username: str, password: str) -> LinkedTasks:
        """The same simulator as another user sees it."""
        return LinkedTasks(self.sim, username=username, password=password)
