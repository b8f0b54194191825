# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Turn mappings that hold secrets into one string each, before Ansible learns the task's arguments.

Ansible hides every leaf of a mapping that is marked no_log wherever its text appears: a guestinfo value of "1" or "web-1"
would be starred out in the whole result. As one string it is hidden as a whole, and nothing else is.
"""

from __future__ import annotations

from ansible.plugins.action import ActionBase

from ansible_collections.vforge.vsphere.plugins.plugin_utils.secrets import sealed


class ActionModule(ActionBase):
    """Runs the module of the same name."""

    def run(self, tmp=None, task_vars=None):
        """Seal the secret options and run the module."""
        result = super().run(tmp, task_vars)
        del tmp
        result.update(
            self._execute_module(
                module_args=sealed(self._task.args, ("guestinfo", "extra_config"), lists=("clones",)),
                task_vars=task_vars,
            )
        )
        return result
