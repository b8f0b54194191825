# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Refuses misspelt variables of the role that it is a task of, on the controller."""

from __future__ import annotations

import re
import typing as t
from pathlib import Path

from ansible_collections.vforge.vsphere.plugins.module_utils._errors import InvalidOption, VforgeError
from ansible_collections.vforge.vsphere.plugins.plugin_utils.controller_action import ControllerAction
from ansible_collections.vforge.vsphere.plugins.plugin_utils.role_variables import Found, Role, look_at

ARGUMENTS: dict[str, dict[str, t.Any]] = {}


class ActionModule(ControllerAction):
    """What no module could do: it knows the role, and the variables of the play."""

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Fail for what is misspelt, and warn of what has no effect."""
        result = super().run(tmp, task_vars)
        try:
            self.checked(ARGUMENTS)
            role, found = self._found(task_vars or {})
            _refuse(role, found.misspelt)
        except VforgeError as error:
            return self.refused(result, error)
        if found.others:
            self._display.warning(f"The role {role.name} has no variable {', '.join(found.others)}.")
        # Not ansible_check_mode: that one is true with --check alone, and false below a check_mode of a play or a block.
        return {**result, "changed": False, "unknown": found.others, "check_mode": self._task.check_mode}

    def _found(self, variables: dict[str, t.Any]) -> tuple[Role, Found]:
        if self._task._role is None:
            raise InvalidOption("role_variables is a task of no role.", hint="Use it in the tasks of a role.")
        defaults = self._task._role.get_default_vars()
        role = _role(Path(self._task._role.get_role_path()), self._loader)

        def is_set(name: str) -> bool:
            return name in variables and not (name in defaults and variables[name] == defaults[name])

        return role, look_at(variables, role, is_set)


def _role(folder: Path, loader: t.Any) -> Role:
    """What the files of a role say of its variables."""
    entries = loader.load_from_file(str(folder / "meta" / "argument_specs.yml"))["argument_specs"].values()
    options = [str(name) for entry in entries for name in entry.get("options") or ()]
    files = [file for part in ("tasks", "vars") for file in (folder / part).glob("*.yml")]
    named = re.compile(rf"\b{folder.name}_\w+")
    own = {name for file in files for name in named.findall(file.read_text(encoding="utf-8"))}
    return Role(folder.name, options, own)


def _refuse(role: Role, misspelt: dict[str, str]) -> None:
    if not misspelt:
        return
    each = [f"no variable {name} (did you mean {meant}?)" for name, meant in misspelt.items()]
    raise InvalidOption(
        f"The role {role.name} has {' and '.join(each)}.",
        hint="Correct it: nothing was done yet.",
        option=next(iter(misspelt)),
    )
