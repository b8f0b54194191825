# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes the metadata and user data of many VMs from templates, on the controller, and checks them."""

from __future__ import annotations

import typing as t

from ansible.utils.display import Display

from ansible_collections.vforge.vsphere.plugins.module_utils._cloudinit import checks, documents
from ansible_collections.vforge.vsphere.plugins.module_utils._errors import VforgeError
from ansible_collections.vforge.vsphere.plugins.plugin_utils import guest_documents
from ansible_collections.vforge.vsphere.plugins.plugin_utils.controller_action import ControllerAction
from ansible_collections.vforge.vsphere.plugins.plugin_utils.templates import Template

ARGUMENTS: dict[str, dict[str, t.Any]] = {
    "guests": {"type": "list", "elements": "dict", "required": True},
    "metadata_template": {"type": "str", "required": True},
    "userdata_template": {"type": "str", "required": True},
    "in_advance": {"type": "bool", "default": False},
    "report": {"type": "bool", "default": False},
    "validate": {"type": "str", "choices": list(documents.LEVELS), "default": documents.SYNTAX},
    "schema_path": {"type": "path"},
}


class ActionModule(ControllerAction):
    """What no module could do: it renders templates with the variables of the play."""

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Make the data; where one VM's are wrong, all that are wrong are named and nothing is
        returned.
        """
        result = super().run(tmp, task_vars)
        try:
            made = self._made(self.checked(ARGUMENTS))
        except VforgeError as error:
            return self.refused(result, error)
        if made.failures:
            failed = {"failed": True, "error_code": made.failures[0]["error_code"], "msg": made.message}
            return {**result, **failed, "failures": made.failures}
        for warning in made.warnings:
            Display().warning(warning)
        made_of = {"changed": False, "documents": made.documents, "clone_options": made.clone_options}
        # Shown nowhere, at no verbosity; what fails above names no value, and is shown.
        return {**result, **made_of, "_ansible_no_log": True}

    def _made(self, args: dict[str, t.Any]) -> guest_documents.Made:
        guest_documents.check_names(args["guests"])
        return guest_documents.make(
            args["guests"],
            self._template(args["metadata_template"]),
            self._template(args["userdata_template"]),
            checks.Content(args["validate"], args.get("schema_path") or None),
            guest_documents.Options(in_advance=args["in_advance"], report=args["report"]),
        )

    def _template(self, name: str) -> Template:
        search_path = [str(folder) for folder in self._task.get_search_path()]
        return Template(self._loader, self._templar, self._find_needle("templates", name), name, search_path)
