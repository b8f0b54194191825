# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run tasks about processors against a simulator."""

from __future__ import annotations

import typing as t

from ansible_collections.vforge.vsphere.plugins.module_utils._cpu import task
from ansible_collections.vforge.vsphere.plugins.module_utils._cpu.model import Options
from ansible_collections.vforge.vsphere.plugins.modules import cpu_features_info
from ansible_collections.vforge.vsphere.tests.unit.plugins.accepted import accepted
from ansible_collections.vforge.vsphere.tests.unit.plugins.running import Runner, Work


class Processors(Runner):
    """Runs tasks of cpu_features_info against one simulator."""

    def work(self, given: dict[str, t.Any], _check: bool) -> Work:
        """A task that tells."""
        options = Options.from_params(accepted(cpu_features_info.argument_spec(), given))
        return lambda session: task.run(session, options)
