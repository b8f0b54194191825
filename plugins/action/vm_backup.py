# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the module of the same name, with its scripts held back and its progress shown."""

from __future__ import annotations

import typing as t

from ansible_collections.vforge.vsphere.plugins.plugin_utils import ready_made
from ansible_collections.vforge.vsphere.plugins.plugin_utils.module_action import ModuleAction


class ActionModule(ModuleAction):
    """The scripts may hold secrets. A password of an NBD server stands in a
    file that its command names.
    """

    def meant(self) -> dict[str, t.Any]:
        """The task's arguments, with a line end after each script."""
        args = super().meant()
        scripts = args.get("scripts")
        if isinstance(scripts, dict):
            args["scripts"] = {
                key: ready_made.ended(value) if key in ("before", "after") else value for key, value in scripts.items()
            }
        return args
