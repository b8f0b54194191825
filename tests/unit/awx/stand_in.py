# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A stand-in of the collection awx.awx: its modules check their arguments by awx.awx's own specs, and write down what they
were asked for.

AWX itself is no part of the tests. What it would refuse beyond its modules' arguments is not known here.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from ansible_collections.vforge.vsphere.tests.unit.plugins.action.plays import environment
from vforge_playbook import run_playbook

ROOT = Path(__file__).resolve().parents[3]
SPECS = ROOT / "tests" / "fixtures" / "awx" / "argument_specs.json"

_ACTION = """
import json, pathlib
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.plugins.action import ActionBase

class ActionModule(ActionBase):
    _requires_connection = False

    def run(self, tmp=None, task_vars=None):
        module = self._task.action.rpartition(".")[2]
        spec = json.loads(pathlib.Path({specs!r}).read_text())["modules"][module]
        checked = ArgumentSpecValidator(spec).validate(dict(self._task.args))
        if checked.error_messages:
            return {{"failed": True, "msg": "; ".join(checked.error_messages)}}
        given = {{name: value for name, value in checked.validated_parameters.items() if value is not None}}
        with open({asked!r}, "a") as file:
            file.write(json.dumps([module, given]) + chr(10))
        # As modules do.
        return {{"changed": True, "invocation": {{"module_args": given}}}}
"""


class Awx:
    """Applies ``automation/awx`` to a stand-in of AWX, and keeps what it was asked for.

    :param folder: for the stand-in, and what it writes down.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._asked = folder / "asked.jsonl"
        actions = folder / "ansible_collections" / "awx" / "awx" / "plugins" / "action"
        actions.mkdir(parents=True)
        for module in json.loads(SPECS.read_text(encoding="utf-8"))["modules"]:
            text = _ACTION.format(specs=str(SPECS), asked=str(self._asked))
            (actions / f"{module}.py").write_text(text, encoding="utf-8")

    def apply(self, **variables: Any) -> tuple[int, str]:
        """Play apply.yml, and show all that Ansible would; returns the exit code and that.

        :param variables: of the site.
        """
        self._asked.unlink(missing_ok=True)
        site = self._folder / "site.json"
        site.write_text(json.dumps(variables), encoding="utf-8")
        known = environment(self._folder)
        paths = f"{self._folder}{os.pathsep}{known['ANSIBLE_COLLECTIONS_PATH']}"
        words = ("automation/awx/apply.yml", "-vvv", "-e", f"@{site}")
        return run_playbook(*words, cwd=ROOT, env={**known, "ANSIBLE_COLLECTIONS_PATH": paths})

    def asked(self, module: str) -> dict[str, dict[str, Any]]:
        """What a module was asked for, by the names of the objects, without the prefix."""
        lines = [json.loads(line) for line in self._asked.read_text(encoding="utf-8").splitlines()]
        return {given["name"].removeprefix("vSphere: "): given for name, given in lines if name == module}
