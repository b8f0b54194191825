# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the action plugins have in common that do all of their work on the controller, without a
module.
"""

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase

from ansible_collections.vforge.vsphere.plugins.module_utils._errors import InvalidOption, VforgeError
from ansible_collections.vforge.vsphere.plugins.module_utils._job_container import why_not_kept
from ansible_collections.vforge.vsphere.plugins.module_utils._text import shown
from ansible_collections.vforge.vsphere.plugins.plugin_utils import shapes


class ControllerAction(ActionBase):
    """Refuses arguments as the action plugins of modules do: with an ``error_code``."""

    _requires_connection = False

    def checked(self, spec: dict[str, t.Any]) -> dict[str, t.Any]:
        """The task's arguments, checked, with defaults.

        :param spec: the argument spec.
        :raises InvalidOption: what Ansible or we refuse.
        """
        self._task.args = shapes.fitted(self._task.args, spec)
        try:
            _result, args = self.validate_argument_spec(spec)
        except AnsibleError as error:
            raise InvalidOption(" ".join(str(error.message).split())) from error
        return t.cast("dict[str, t.Any]", args)

    def refused(self, result: dict[str, t.Any], error: VforgeError) -> dict[str, t.Any]:
        """The result of a task that failed; what a terminal would obey in it is made visible.

        :param result: what ActionBase made.
        """
        return {**result, "failed": True, **shown(error.as_result())}

    def warn_if_lost(self, path: str) -> None:
        """Say so where a file that is to outlive the job would be gone with it."""
        if reason := why_not_kept(path):
            self._display.warning(reason)
