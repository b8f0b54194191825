# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An action for targets: runs the program ``argv`` with the task's ``environment``, also in check mode.

In place of ansible.builtin.command, which starts a module for it: 0.4 s of processor time for each look with govc.
"""

from __future__ import annotations

import os
import subprocess
from typing import Any

from ansible.plugins.action import ActionBase


class ActionModule(ActionBase):
    """Needs no module."""

    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run it to its end; the result is that of ansible.builtin.command."""
        result = super().run(tmp, task_vars)
        variables: dict[str, Any] = {}
        for given in reversed(self._task.environment or []):
            variables.update(self._templar.template(given) or {})
        done = subprocess.run(
            [str(word) for word in self._task.args["argv"]],
            env={**os.environ, **{name: str(value) for name, value in variables.items()}},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        out, err = done.stdout.rstrip("\r\n"), done.stderr.rstrip("\r\n")
        told = {"rc": done.returncode, "stdout": out, "stdout_lines": out.splitlines(), "stderr": err}
        return {**result, **told, "changed": True, "failed": done.returncode != 0, "msg": err if done.returncode else ""}
