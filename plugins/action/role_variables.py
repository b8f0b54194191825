# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The first task of a role, on the controller: it refuses misspelt variables, those that win where
they must not, and ignore_errors around the role.
"""

from __future__ import annotations

import re
import typing as t
from pathlib import Path

from ansible.module_utils.parsing.convert_bool import boolean
from ansible.playbook.role_include import IncludeRole

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
            self._refuse_going_on()
            role, found = self._found(task_vars or {})
            _refuse(role, found.misspelt)
            self._refuse_winners(role, task_vars or {})
        except VforgeError as error:
            return self.refused(result, error)
        if found.others:
            others = ", ".join(found.others)
            self._display.warning(f"The role {role.name} has no variable {others}.")
        # Not ansible_check_mode: that one is true with --check alone, and false below a check_mode
        # of a play or a block.
        done = {"changed": False, "unknown": found.others, "check_mode": self._task.check_mode}
        return {**result, **done}

    def _refuse_going_on(self) -> None:
        """A role stops where a check of it fails, such as before something is removed. With the
        ignore_errors of a play, a block or an import it would go on.

        :raises InvalidOption: it would. In check mode nothing can be lost.
        """
        inherited = self._task._get_parent_attribute("ignore_errors", omit=True)
        if not isinstance(inherited, (bool, str)) or self._task.check_mode:
            return
        if boolean(self._templar.template(inherited), strict=False):
            raise InvalidOption(
                "The role is played with ignore_errors, by which it would go on after an error, past its own checks, too.",
                hint="Include it in a block without ignore_errors, and put under rescue what is to be done after an error.",
            )

    def _refuse_winners(self, role: Role, variables: dict[str, t.Any]) -> None:
        """Extra variables win over all others, and so over what one role of a collection gives
        another one that it includes.

        :raises InvalidOption: one does, such as the network of a restored VM over the isolated one of
            a drill.
        """
        include = self._task.get_first_parent_include()
        while include is not None and not isinstance(include, IncludeRole):
            include = include.get_first_parent_include()
        outer = include._parent_role if include is not None else None
        if outer is None or outer._role_collection != self._task._role._role_collection:
            return
        given = {name: value for name, value in include.vars.items() if name in role.options}
        won = sorted(name for name, value in given.items() if variables.get(name) != value)
        if won:
            giver = outer.get_name(include_role_fqcn=False)
            raise InvalidOption(
                f"As extra variables {', '.join(won)} would win over what the role {giver} gives to the role {role.name}.",
                hint=f"Leave them out, and set the variables of {giver}.",
                option=won[0],
            )

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
