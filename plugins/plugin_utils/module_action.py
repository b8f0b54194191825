# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the action plugins of all modules do: seal the secrets, show the progress, run the module of the same name."""

from __future__ import annotations

import contextlib
import typing as t

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.vforge.vsphere.plugins.module_utils._progress import VARIABLE
from ansible_collections.vforge.vsphere.plugins.plugin_utils import ready_made
from ansible_collections.vforge.vsphere.plugins.plugin_utils.progress import shown
from ansible_collections.vforge.vsphere.plugins.plugin_utils.secrets import sealed


class ModuleAction(ActionBase):
    """Runs the module of the same name.

    :cvar SECRET: options that are mappings with secrets in them.
    :cvar LISTS: options that are lists of mappings, in which SECRET holds too.
    """

    SECRET: t.ClassVar[tuple[str, ...]] = ()
    LISTS: t.ClassVar[tuple[str, ...]] = ()

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Run the module; its result is the task's."""
        self._supports_async = True
        result = super().run(tmp, task_vars)
        args = self.arguments()
        with self._progress(task_vars or {}):
            result.update(self._execute_module(module_args=args, task_vars=task_vars, wrap_async=bool(self._task.async_val)))
        return result

    def arguments(self) -> dict[str, t.Any]:
        """What the module is given: the task's arguments, with the secrets sealed."""
        return sealed(self._task.args, self.SECRET, self.LISTS)

    @contextlib.contextmanager
    def _progress(self, task_vars: dict[str, t.Any]) -> t.Iterator[None]:
        """Show the module's progress where it can reach us, which is on this machine and not in the background."""
        if self._connection.transport != "local" or self._task.async_val:
            yield
            return
        host = task_vars.get("inventory_hostname", "localhost")
        with shown(lambda line: Display().display(f"  [{host}] {line}")) as pipe:
            before = self._task.environment
            self._task.environment = [*(before or []), {VARIABLE: pipe}]
            try:
                yield
            finally:
                self._task.environment = before


class ScriptsAction(ModuleAction):
    """For a module with scripts for guests. It has no files of its own, so those of the collection are read on the controller.

    :cvar BEFORE: option for the script that runs before a guest is brought to a stand.
    """

    BEFORE: t.ClassVar[str]

    def arguments(self) -> dict[str, t.Any]:
        """The task's arguments, with the names of ready-made scripts replaced by their texts."""
        args = super().arguments()
        if "on_wake" in args:
            args["on_wake"] = ready_made.resolved(args["on_wake"])
        if self.BEFORE in args:
            args[self.BEFORE] = ready_made.ended(args[self.BEFORE])
        return args
